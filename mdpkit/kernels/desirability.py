r"""Desirability: how likely a policy's discounted path is to arrive, and the policies that are tilted by it.

The desirability of a state is :math:`h(s) = \mathrm{E}_\pi[\lambda^{T} | s_0 = s]`, T the time at which a set of goals is first
entered: one there, and elsewhere the solution of :math:`h = \lambda P_\pi h`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.kernels import occupancy, segments
from mdpkit.kernels.sparse import sp
from mdpkit.typing import Array, Bools, Ints

__all__ = ["hitting", "tilted"]


def hitting(P: Any, gamma: Array, pi: Array, pair_ptr: Ints, goal: Bools) -> Array:
    r""":math:`\mathrm{E}_\pi[\gamma^{T}]` of each state, T the time at which ``goal`` is first entered, ``(S,)``."""
    M: Any = occupancy.induced(P, gamma, pi, pair_ptr)
    inside = goal.astype(np.int64)
    if isinstance(M, np.ndarray):
        return segments.solve(np.eye(len(inside), dtype=np.int64) - M * (1 - inside)[:, None], inside + 0 * M[:, 0])
    from mdpkit.kernels.evaluation import Factorization

    kept: Any = sp.csr_array(sp.diags_array((1 - inside).astype(np.float64)) @ M)
    return Factorization(kept.indptr, kept.indices, kept.data).solve(inside.astype(np.float64))


def tilted(pi: Array, weights: Array, pair_ptr: Ints) -> Array:
    r""":math:`\pi(a|s) w(s,a) / \sum_b \pi(b|s) w(s,b)`; where all weights are zero, :math:`\pi` itself, ``(L,)``."""
    mean = segments.mean(pi, weights, pair_ptr)
    some = np.array([bool(x > 0) for x in mean])
    scale = segments.spread(np.where(some, mean, 1), pair_ptr)
    return np.where(segments.spread(some, pair_ptr), pi * weights / scale, pi)
