"""Compiled twins of :mod:`mdpkit.kernels.optimism`: the same bits, for the loops of learners."""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit

from mdpkit.kernels.online.episodes import best_pairs, value_of_choice, walk_choice
from mdpkit.kernels.optimism import C1, C2

__all__ = ["backward", "count", "pessimistic", "plan", "ucbvi"]


@njit(cache=True, nogil=True)
def count(visits, moves, model, pairs, states):
    """Add an episode's steps, and renew the empirical laws of its pairs, in place."""
    n = visits.shape[0]
    for h in range(pairs.size):
        i = h if n > 1 else 0
        visits[i, pairs[h]] += 1.0
        moves[i, states[h + 1], pairs[h]] += 1.0
    for h in range(pairs.size):
        i = h if n > 1 else 0
        k = pairs[h]
        for t in range(model.shape[1]):
            model[i, t, k] = moves[i, t, k] / visits[i, k]


@njit(cache=True, nogil=True)
def plan(r, model, visits, pair_ptr, H, iota, scale, bernstein, V, choice, q, square):
    """Optimistic values and greedy pairs, written into V ``(H + 1, S)`` and choice ``(H, S)``; q, square: work ``(L,)``."""
    S, L = model.shape[1], model.shape[2]
    V[H] = 0.0
    for h in range(H - 1, -1, -1):
        i = h if visits.shape[0] > 1 else 0
        rest = float(H - 1 - h)
        law, n, reward = model[i], visits[i], r[h if r.shape[0] > 1 else 0]
        after = V[h + 1]
        q[:] = 0.0
        if bernstein:
            square[:] = 0.0
            for t in range(S):
                v = after[t]
                for k in range(L):
                    x = law[t, k] * v
                    q[k] += x
                    square[k] += x * v
        else:
            for t in range(S):
                v = after[t]
                for k in range(L):
                    q[k] += law[t, k] * v
        for k in range(L):
            if n[k] > 0.0:
                if bernstein:
                    share = iota / n[k]
                    spread = np.sqrt(max(square[k] - q[k] * q[k], 0.0) * share)
                    width = max(C1 * spread, C2 * rest * share)
                else:
                    width = rest * np.sqrt(iota / (2.0 * n[k]))
                q[k] = reward[k] + min(q[k] + scale * width, rest)
            else:
                q[k] = reward[k] + rest
        best_pairs(q, pair_ptr, V[h], choice[h])


@njit(cache=True, nogil=True)
def pessimistic(r, law, visits, pair_ptr, pi, after, iota, rest, scale, V, q):
    """Values of one stage of a policy from below, written into V ``(S,)``, which is not ``after``; q: work ``(L,)``."""
    S, L = law.shape
    q[:] = 0.0
    for t in range(S):
        v = after[t]
        for k in range(L):
            q[k] += law[t, k] * v
    for s in range(S):
        total = 0.0
        for k in range(pair_ptr[s], pair_ptr[s + 1]):
            if pi[k] > 0.0:
                value = r[k]
                if visits[k] > 0.0:
                    value += max(q[k] - scale * (rest * np.sqrt(iota / (2.0 * visits[k]))), 0.0)
                total += pi[k] * value
        V[s] = total


@njit(cache=True, nogil=True)
def backward(r, model, pair_ptr, H, V, choice, q):
    """Values and greedy pairs of a model, written into V ``(H + 1, S)`` and choice ``(H, S)``; q is work space ``(L,)``."""
    S, L = model.shape[1], model.shape[2]
    V[H] = 0.0
    for h in range(H - 1, -1, -1):
        law, reward = model[h if model.shape[0] > 1 else 0], r[h if r.shape[0] > 1 else 0]
        q[:] = 0.0
        for t in range(S):
            v = V[h + 1, t]
            for k in range(L):
                q[k] += law[t, k] * v
        for k in range(L):
            q[k] = reward[k] + q[k]
        best_pairs(q, pair_ptr, V[h], choice[h])


@njit(cache=True, nogil=True)
def ucbvi(arena, r, visits, moves, model, V, choice, iota, scale, bernstein, outer, log):
    """Episodes of UCBVI, which plans again after each; one for each row of the log."""
    first, values, series, states, pairs, rewards = log
    H, S, L = arena.H, model.shape[1], model.shape[2]
    keep = states.shape[0] > 0
    path, taken, paid = np.empty(H + 1, dtype=np.int64), np.empty(H, dtype=np.int64), np.empty(H)
    q, square, A, B = np.empty(L), np.empty(L), np.empty(S), np.empty(S)
    before = np.full_like(choice, -1)
    value = 0.0
    for m in range(values.size):
        table = arena.which[min(first + m, arena.which.size - 1)]
        changed = False
        for h in range(H):
            for s in range(S):
                if choice[h, s] != before[h, s]:
                    changed = True
                    before[h, s] = choice[h, s]
        if changed:
            value = value_of_choice(arena, table, choice, A, B)
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
        count(visits, moves, model, taken, path)
        plan(r, model, visits, arena.pair_ptr, H, iota, scale, bernstein, V, choice, q, square)
