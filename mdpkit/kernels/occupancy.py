r"""Values and discounted visits of a randomized policy by linear solves, in floats, Fractions or balls.

``P`` holds a row of transition probabilities a pair, ``pi`` a probability a pair, ``gamma`` a discount a pair.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.kernels import segments
from mdpkit.kernels.evaluation import Factorization
from mdpkit.kernels.sparse import sp
from mdpkit.typing import Array, Ints

__all__ = ["evaluate", "induced", "visits"]


def induced(P: Any, gamma: Array, pi: Array, pair_ptr: Ints) -> Any:
    r""":math:`\gamma P_\pi`, ``(S, S)``: an array, or a csr_array of scipy's where P is sparse."""
    weights = gamma * pi
    if P.dense is not None:
        return segments.total(weights[:, None] * P.dense, pair_ptr)
    S = len(pair_ptr) - 1
    rows = sp.csr_array((P.data, P.indices.astype(np.int64), P.indptr), shape=(P.n_rows, P.n_states))
    chosen = sp.csr_array((weights, np.arange(len(pi)), pair_ptr), shape=(S, len(pi)))
    return sp.csr_array(chosen @ rows)


def evaluate(P: Any, r: Array, gamma: Array, pi: Array, pair_ptr: Ints) -> Array:
    r"""The value :math:`V^\pi = (I - \gamma P_\pi)^{-1} r_\pi`, ``(S,)``; ``r`` is ``(L,)``, or ``(L, m)`` for m rewards."""
    M = induced(P, gamma, pi, pair_ptr)
    weights = pi if r.ndim == 1 else pi[:, None]
    return _solve(M, segments.total(weights * r, pair_ptr), False)


def visits(P: Any, gamma: Array, pi: Array, pair_ptr: Ints, rho: Array) -> Array:
    r"""Expected discounted visits to each state, :math:`\sum_t \gamma^t \Pr(s_t = s)`, ``(S,)``; they sum to 1/(1-gamma)."""
    return _solve(induced(P, gamma, pi, pair_ptr), rho, True)


def _solve(M: Any, b: Array, transposed: bool) -> Array:
    if not isinstance(M, np.ndarray):
        return Factorization(M.indptr, M.indices, M.data).solve(b, transposed=transposed)
    dense: Array = M  # pyright: ignore[reportUnknownVariableType]
    A = np.eye(len(dense), dtype=int if dense.dtype == object else float) - dense
    return segments.solve(A.T if transposed else A, b)
