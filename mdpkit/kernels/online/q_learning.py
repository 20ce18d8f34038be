"""Compiled twins of :mod:`mdpkit.kernels.q_learning`: the same bits, for the loops of learners."""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math

import numpy as np
from numba import njit

from mdpkit.kernels.online.episodes import value_of_choice, walk_choice

__all__ = ["learn", "optimistic_q_learning"]


@njit(cache=True, nogil=True)
def learn(Q, V, visits, choice, states, pairs, rewards, pair_ptr, iota, scale, noise):
    """Move the action values along an episode, first stage first, in place; whether a greedy pair has changed."""
    H = Q.shape[0]
    changed = False
    for h in range(H):
        s, k = states[h], pairs[h]
        visits[h, k] += 1.0
        n = visits[h, k]
        alpha = (H + 1) / (H + n)
        bonus = scale * ((H - 1 - h + noise) * math.sqrt(H * iota / n))
        Q[h, k] = (1 - alpha) * Q[h, k] + alpha * (rewards[h] + V[h + 1, states[h + 1]] + bonus)
        best = pair_ptr[s]
        for j in range(best + 1, pair_ptr[s + 1]):
            if Q[h, j] > Q[h, best]:
                best = j
        if choice[h, s] != best:
            changed = True
            choice[h, s] = best
        V[h, s] = min(float(H - h), Q[h, best])
    return changed


@njit(cache=True, nogil=True)
def optimistic_q_learning(arena, r, Q, V, visits, choice, iota, scale, noise, outer, log):
    """Episodes of optimistic Q-learning; one for each row of the log. ``r (n, L)`` are known rewards, or empty."""
    first, values, series, states, pairs, rewards = log
    H, S = Q.shape[0], V.shape[1]
    keep = states.shape[0] > 0
    path, taken, paid = np.empty(H + 1, dtype=np.int64), np.empty(H, dtype=np.int64), np.empty(H)
    earned, A, B = np.empty(H), np.empty(S), np.empty(S)
    changed, value, last = True, 0.0, -1
    for m in range(values.size):
        table = arena.which[min(first + m, arena.which.size - 1)]
        if changed or table != last:
            value = value_of_choice(arena, table, choice, A, B)
            last = table
        values[m] = value
        index = 0.0
        for s in range(S):
            index += arena.rho[s] * V[0, s]
        series[m, 0] = index
        walk_choice(arena, table, choice, outer, path, taken, paid)
        if keep:
            states[m] = path
            pairs[m] = taken
            rewards[m] = paid
        for h in range(H):
            earned[h] = r[min(h, r.shape[0] - 1), taken[h]] if r.size else paid[h]
        changed = learn(Q, V, visits, choice, path, taken, earned, arena.pair_ptr, iota, scale, noise)
