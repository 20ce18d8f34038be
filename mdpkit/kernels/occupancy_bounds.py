r"""Occupancies of a policy over a confidence set of laws: the definition, on numpy arrays of floats or Fractions.

A *set* is ``law (n, S, L)`` with ``radius (n, L)``: of each pair (of each stage where n = H), all laws of the next state
within ``radius`` of ``law`` in the norm :math:`\ell_1`, next state first as in :mod:`mdpkit.kernels.optimism`. A known law is
the set of radius zero. Sums run over states in order, so that the compiled twins in
:mod:`mdpkit.kernels.online.policy_optimization` give the same numbers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mdpkit.kernels import extended, optimism, segments
from mdpkit.typing import Array, Floats, Ints

__all__ = ["dense", "dilated", "forward", "most", "occupancies", "radius", "stage_bounds", "union"]


def dense(P: Any, n: int, S: int, L: int) -> Floats:
    """A known law as ``(n, S, L)``."""
    out = np.zeros((n * L, S))
    np.add.at(out, (P.row_of, P.indices.astype(np.int64)), P.data)
    return np.ascontiguousarray(out.reshape(n, L, S).transpose(0, 2, 1))


def union(n: int, S: int, L: int, most: int, delta: float) -> float:
    r""":math:`S \ln 2 + \ln(n L N / \delta)`: over subsets of states, laws, and counts up to N."""
    return S * math.log(2) + math.log(n * L * most / delta)


def radius(visits: Array, iota: float) -> Array:
    r""":math:`\min\{2, \sqrt{2 \iota / n}\}`, how far the empirical law of n draws lies from the law at most, ``(n, L)``.

    By Hoeffding's inequality for each subset of states: :math:`\|\hat p - p\|_1 = 2 \max_B (\hat p(B) - p(B))`.
    """
    return np.where(visits > 0, np.minimum(np.sqrt(2 * iota / np.maximum(visits, 1)), 2.0), 2.0)


def most(law: Array, radius: Array, V: Array) -> Array:
    """Largest expectation of V at the next state over the set, of all pairs, ``(L,)``."""
    return optimism.expected(extended.optimistic_law(law, radius, extended.ranked(V)), V)


def forward(mu: Array, law: Array, pi: Array, pair_ptr: Ints) -> Array:
    """The law of the next stage's state, ``(S,)``, from this one's and the probabilities ``pi (L,)``."""
    flow = segments.spread(mu, pair_ptr) * pi
    out = 0 * mu
    for k in range(len(flow)):
        out = out + flow[k] * law[:, k]
    return out


def stage_bounds(
    h: int, start: Array, law: Array, radius: Array, pi: Array, pair_ptr: Ints, *, lower: bool = False
) -> Array:
    """The largest (least) probability with which a policy is in each state at stage h, over the set, ``(S,)``.

    Exact for sets by stage; of one law for all stages the set of laws by stage that it lies in is taken. Only the stages
    before h of ``pi (H, L)`` matter.
    """
    n, S = law.shape[0], law.shape[1]
    out = 0 * start
    for s in range(S):
        V = 0 * start
        V[s] = V[s] + (-1 if lower else 1)
        for j in range(h - 1, -1, -1):
            i = j if n > 1 else 0
            V = segments.total(pi[j] * most(law[i], radius[i], V), pair_ptr)
        total = 0 * start[0]
        for t in range(S):
            total = total + start[t] * V[t]
        out[s] = -total if lower else total
    return out


def occupancies(start: Array, law: Array, radius: Array | None, pi: Array, pair_ptr: Ints) -> tuple[Array, Array]:
    """Least and largest probabilities of states at each stage, ``(H, S)`` each; equal for a known law (``radius`` None)."""
    H, S = len(pi), len(start)
    upper = np.empty((H, S), dtype=start.dtype)
    if radius is None:
        upper[0] = start
        for h in range(1, H):
            upper[h] = forward(upper[h - 1], law[h - 1 if len(law) > 1 else 0], pi[h - 1], pair_ptr)
        return upper, upper
    lower = np.empty((H, S), dtype=start.dtype)
    for h in range(H):
        upper[h] = stage_bounds(h, start, law, radius, pi, pair_ptr)
        lower[h] = stage_bounds(h, start, law, radius, pi, pair_ptr, lower=True)
    return lower, upper


def dilated(bonus: Array, law: Array, radius: Array | None, pi: Array, pair_ptr: Ints, dilation: Any) -> Array:
    r"""The dilated bonus-to-go :math:`B_h(s,a) = b_h(s) + c \max_P \sum_{s'} P(s'|s,a) \langle \pi, B_{h+1} \rangle(s')`.

    ``bonus (H, S)``, ``pi (H, L)``; the result is ``(H, L)``. The dilation c is 1 + 1/H in dilated policy optimization.
    """
    H = len(bonus)
    out = np.empty(pi.shape, dtype=bonus.dtype)
    after = 0 * bonus[0]
    for h in range(H - 1, -1, -1):
        i = h if len(law) > 1 else 0
        flow = optimism.expected(law[i], after) if radius is None else most(law[i], radius[i], after)
        out[h] = segments.spread(bonus[h], pair_ptr) + dilation * flow
        after = segments.total(pi[h] * out[h], pair_ptr)
    return out
