r"""Trajectories of a fixed length as arrays: drawn or enumerated, their probabilities, and what estimators sum along them.

A batch is ``pairs (N, H)`` with ``states (N, H + 1)``. Sums along trajectories are taken pair by pair, ``(L, N)``: a gradient
of logarithms of softmax probabilities depends on a trajectory only through the weights that it puts on the pairs. Floats,
Fractions or balls.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.kernels import segments
from mdpkit.typing import Array, Bools, Floats, Ints

__all__ = [
    "counts",
    "curvature",
    "discounts",
    "paths",
    "place",
    "probability",
    "rewards_to_go",
    "rollouts",
    "scores",
]


def rollouts(
    u: Floats, start: Array, choice: Array, pair_ptr: Ints, indptr: Ints, indices: Array, cum: Array
) -> tuple[Ints, Ints]:
    """The definition of :func:`mdpkit.kernels.sampling.rollouts`: ``(states, pairs)``, by inverting cumulative sums."""
    n, H = len(u), (u.shape[1] - 1) // 2
    states, pairs = np.empty((n, H + 1), dtype=np.int64), np.empty((n, H), dtype=np.int64)
    for i in range(n):
        s = states[i, 0] = place(start, u[i, 0])
        for h in range(H):
            first, last = pair_ptr[s], pair_ptr[s + 1]
            k = pairs[i, h] = int(first) + place(choice[first:last], u[i, 1 + 2 * h])
            first, last = indptr[k], indptr[k + 1]
            entry = int(first) + place(cum[first:last], u[i, 2 + 2 * h])
            s = states[i, h + 1] = int(indices[entry])
    return states, pairs


def place(cumulative: Array, u: float) -> int:
    """The first entry whose cumulative sum exceeds a uniform number of [0, 1)."""
    found: Any = np.searchsorted(cumulative, u, side="right")
    return int(found)


def paths(support: Bools, pair_ptr: Ints, H: int, starts: Ints) -> tuple[Ints, Ints]:
    """All trajectories of H steps from ``starts``, states, through the next states ``support (L, S)`` of each pair."""
    states, pairs = np.asarray(starts, dtype=np.int64)[:, None], np.empty((len(starts), 0), dtype=np.int64)
    for _ in range(H):
        rows: list[int] = []
        chosen: list[int] = []
        after: list[int] = []
        for i, s in enumerate(states[:, -1]):
            for k in range(pair_ptr[s], pair_ptr[s + 1]):
                for t in np.flatnonzero(support[k]):
                    rows.append(i)
                    chosen.append(k)
                    after.append(int(t))
        pairs = np.column_stack([pairs[rows], np.array(chosen, dtype=np.int64)])
        states = np.column_stack([states[rows], np.array(after, dtype=np.int64)])
    return states, pairs


def probability(states: Ints, pairs: Ints, P: Array, pi: Array, start: Array) -> Array:
    r""":math:`\rho(s_0) \prod_h \pi(a_h|s_h) P(s_{h+1}|s_h, a_h)` of each trajectory, ``(N,)``; ``P`` is ``(L, S)``."""
    out = start[states[:, 0]]
    for h in range(pairs.shape[1]):
        out = out * pi[pairs[:, h]] * P[pairs[:, h], states[:, h + 1]]
    return out


def discounts(gamma: Any, H: int) -> Array:
    """Powers 0 to H - 1 of the discount factor, ``(H,)``."""
    out = np.empty(H, dtype=float if isinstance(gamma, float) else object)
    power = gamma * 0 + 1
    for h in range(H):
        out[h] = power
        power = power * gamma
    return out


def rewards_to_go(rewards: Array, gamma: Any) -> Array:
    r""":math:`\Psi_h = \sum_{h' \ge h} \gamma^{h'} r_{h'}`, discounted to the start, of rewards ``(N, H)``."""
    paid = rewards * discounts(gamma, rewards.shape[1])
    return np.cumsum(paid[:, ::-1], axis=1)[:, ::-1]


def counts(pairs: Ints, weights: Array, L: int) -> Array:
    """What each trajectory puts on each pair: the weights ``(N, H)`` of its visits, added up, ``(L, N)``."""
    out = np.zeros((L, len(pairs)), dtype=weights.dtype)
    np.add.at(out, (pairs, np.arange(len(pairs))[:, None]), weights)
    return out


def scores(weights: Array, pi: Array, pair_ptr: Ints) -> Array:
    r""":math:`\sum_h w_h \nabla \log \pi(a_h|s_h)` in the logits, from :func:`counts` ``(L, N)``."""
    return weights - pi[:, None] * _at_pairs(segments.total(weights, pair_ptr), pair_ptr)


def curvature(weights: Array, direction: Array, pi: Array, pair_ptr: Ints) -> Array:
    r""":math:`\sum_h w_h \nabla^2 \log \pi(a_h|s_h)\, x` in the logits, for a ``direction`` x of logits ``(L,)``.

    The Hessian is minus the covariance of the actions, whatever the action taken.
    """
    centered = direction - segments.spread(segments.mean(pi, direction, pair_ptr), pair_ptr)
    return -(pi * centered)[:, None] * _at_pairs(segments.total(weights, pair_ptr), pair_ptr)


def _at_pairs(x: Array, pair_ptr: Ints) -> Array:
    return np.repeat(x, np.diff(pair_ptr), axis=0)
