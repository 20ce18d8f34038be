"""Compiled twins of :mod:`mdpkit.kernels.extended`: the same bits, and the loop of UCRL2."""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math

import numpy as np
from numba import njit

from mdpkit.kernels.online.episodes import best_pairs, first_state, step

__all__ = ["empirical", "iterate", "ranked", "ucrl2"]


@njit(cache=True, nogil=True)
def empirical(moves, visits, law):
    """Empirical laws of next states, into ``law (S, L)``; uniform where a pair was never taken."""
    S = moves.shape[0]
    for t in range(S):
        for k in range(visits.size):
            law[t, k] = moves[t, k] / visits[k] if visits[k] > 0.0 else 1 / S


@njit(cache=True, nogil=True)
def ranked(u, order):
    """The states from the best to the worst, into ``order (S,)``; equals in their own order."""
    for i in range(u.size):
        j = i
        while j > 0 and u[order[j - 1]] < u[i]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i


@njit(cache=True, nogil=True)
def iterate(r, law, width, pair_ptr, stop, lazy, u, choice):
    """Extended value iteration; writes u ``(S,)`` and choice ``(S,)``, returns the bounds on the gain."""
    S, L = law.shape
    value, q, p, order = np.empty(S), np.empty(L), np.empty(S), np.empty(S, dtype=np.int64)
    u[:] = 0.0
    low, high = 0.0, 0.0
    most = int(50 / (stop * stop)) + 1
    for sweep in range(most):
        ranked(u, order)
        best = order[0]
        for k in range(L):
            for t in range(S):
                p[t] = law[t, k]
            moved = min(1 - p[best], width[k] / 2)
            p[best] += moved
            for i in range(S - 1, 0, -1):
                t = order[i]
                taken = min(p[t], moved)
                p[t] -= taken
                moved -= taken
            total = 0.0
            for t in range(S):
                total += p[t] * u[t]
            q[k] = r[k] + total
        best_pairs(q, pair_ptr, value, choice)
        low, high = value[0] - u[0], value[0] - u[0]
        for s in range(1, S):
            low = min(low, value[s] - u[s])
            high = max(high, value[s] - u[s])
        if high - low < stop or sweep == most - 1:
            break
        least = np.inf
        for s in range(S):
            u[s] = value[s] if lazy == 1.0 else u[s] + lazy * (value[s] - u[s])
            least = min(least, u[s])
        for s in range(S):
            u[s] -= least
    return low, high


@njit(cache=True, nogil=True)
def _plan(pair_ptr, most, t, delta, scale, visits, moves, paid, law, width, r, u, choice):
    S, L = law.shape
    empirical(moves, visits, law)
    for k in range(L):
        n = visits[k] if visits[k] > 0.0 else 1.0
        wide = scale * np.sqrt(14 * S * math.log(2 * most * t / delta) / n)
        more = scale * np.sqrt(7 * math.log(2 * L * t / delta) / (2 * n))
        width[k] = wide if visits[k] > 0.0 else 2.0
        r[k] = min(paid[k] / n + more, 1.0) if visits[k] > 0.0 else 1.0
    return iterate(r, law, width, pair_ptr, 1 / math.sqrt(t), 1.0, u, choice)


@njit(cache=True, nogil=True)
def ucrl2(arena, most, delta, scale, visits, before, moves, paid, u, choice, marks, at, outer, log):
    """Steps of UCRL2, which plans again whenever a count has doubled; one for each row of the log."""
    first, values, series, states, pairs, rewards = log
    S, L = moves.shape
    keep = states.shape[0] > 0
    law, width, r = np.empty((S, L)), np.empty(L), np.empty(L)
    if at[0] < 0:
        at[0] = first_state(arena, outer)
    for m in range(values.size):
        s = at[0]
        k = choice[s]
        s_next, reward = step(arena, 0, 0, k, outer)
        values[m] = arena.tables[0, 0, k]
        series[m, 0] = marks[0]
        series[m, 1] = marks[1]
        if keep:
            states[m, 0] = s
            states[m, 1] = s_next
            pairs[m, 0] = k
            rewards[m, 0] = reward
        visits[k] += 1.0
        moves[s_next, k] += 1.0
        paid[k] += reward
        at[0] = s_next
        after = choice[s_next]
        if visits[after] - before[after] >= max(1.0, before[after]):
            _, high = _plan(
                arena.pair_ptr, most, first + m + 2, delta, scale, visits, moves, paid, law, width, r, u, choice
            )
            before[:] = visits
            marks[0] = high
            marks[1] += 1.0
