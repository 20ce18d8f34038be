"""Compiled twins of :mod:`mdpkit.kernels.ensemble`, and the loop of conservative dual policy optimization."""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit

from mdpkit.kernels.ensemble import LEAST
from mdpkit.kernels.online.episodes import value_of_law, walk_law
from mdpkit.kernels.online.optimism import backward
from mdpkit.kernels.online.posterior import draw_laws

__all__ = ["ascent", "cdpo", "reference", "slopes"]


@njit(cache=True, nogil=True)
def _visits(law, pi, pair_ptr, before, after):
    """Probabilities of states one stage later."""
    for t in range(after.size):
        total = 0.0
        for s in range(before.size):
            if before[s] > 0.0:
                for k in range(pair_ptr[s], pair_ptr[s + 1]):
                    total += law[t, k] * (before[s] * pi[k])
        after[t] = total


@njit(cache=True, nogil=True)
def _action_values(r, law, after, q):
    q[:] = 0.0
    for t in range(law.shape[0]):
        v = after[t]
        for k in range(law.shape[1]):
            q[k] += law[t, k] * v
    for k in range(q.size):
        q[k] = r[k] + q[k]


@njit(cache=True, nogil=True)
def slopes(r, models, pi, pair_ptr, rho, G, Q, V, d, e):
    """Derivatives of the mean value into G ``(H, L)``; returns the mean value. Q ``(H, L)``, V, d, e ``(S,)``: work space."""
    M, H, S = models.shape[0], pi.shape[0], rho.size
    G[:] = 0.0
    value = 0.0
    for m in range(M):
        V[:] = 0.0
        for h in range(H - 1, -1, -1):
            _action_values(r[h if r.shape[0] > 1 else 0], models[m, h if models.shape[1] > 1 else 0], V, Q[h])
            for s in range(S):
                total = 0.0
                for k in range(pair_ptr[s], pair_ptr[s + 1]):
                    total += pi[h, k] * Q[h, k]
                V[s] = total
        for s in range(S):
            value += rho[s] * V[s]
        d[:] = rho
        for h in range(H):
            for s in range(S):
                for k in range(pair_ptr[s], pair_ptr[s + 1]):
                    G[h, k] += d[s] * Q[h, k]
            if h + 1 < H:
                _visits(models[m, h if models.shape[1] > 1 else 0], pi[h], pair_ptr, d, e)
                d[:] = e
    G /= M
    return value / M


@njit(cache=True, nogil=True)
def reference(r, model, pair_ptr, H, rho, V, choice, weights, q, pi):
    """Optimal values, pairs and weights of one model, into V, choice and weights; q ``(L,)``, pi ``(L,)``: work space."""
    S = rho.size
    backward(r, model, pair_ptr, H, V, choice, q)
    weights[0] = rho
    for h in range(H - 1):
        pi[:] = 0.0
        for s in range(S):
            pi[choice[h, s]] = 1.0
        _visits(model[h if model.shape[0] > 1 else 0], pi, pair_ptr, weights[h], weights[h + 1])
    weights /= H


@njit(cache=True, nogil=True)
def ascent(r, models, pair_ptr, rho, choice, weights, eta, pi, moved, other, G, Q, V, d, e):
    """The policy that ascent ends in, written into pi ``(H, L)``; returns its mean value."""
    H, S = choice.shape
    pi[:] = 0.0
    moved[:] = 0.0
    other[:] = choice
    for h in range(H):
        for s in range(S):
            pi[h, choice[h, s]] = 1.0
    left = eta
    for _ in range(8 * H * S):
        slopes(r, models, pi, pair_ptr, rho, G, Q, V, d, e)
        best_h, best_s, best_k, best_mass, best_free, best_rate = -1, 0, 0, 0.0, False, 0.0
        for h in range(H):
            for s in range(S):
                q = choice[h, s]
                k = q
                for j in range(pair_ptr[s], pair_ptr[s + 1]):
                    if G[h, j] > G[h, k]:
                        k = j
                now = moved[h, s] * (G[h, other[h, s]] - G[h, q])
                mass = 0.0
                w = weights[h, s]
                if k != q:
                    mass = 1.0 if w == 0.0 or moved[h, s] * w + left >= w else max(moved[h, s] + left / w, 0.0)
                gain = mass * (G[h, k] - G[h, q]) - now
                used = w * (mass - moved[h, s])
                if gain <= LEAST:
                    continue
                free = used <= 0.0
                rate = gain if free else gain / used
                if best_h < 0 or (free and not best_free) or (free == best_free and rate > best_rate):
                    best_h, best_s, best_k, best_mass, best_free, best_rate = h, s, k, mass, free, rate
        if best_h < 0:
            break
        h, s, q = best_h, best_s, choice[best_h, best_s]
        left = left - weights[h, s] * (best_mass - moved[h, s])
        moved[h, s] = best_mass
        other[h, s] = best_k
        for k in range(pair_ptr[s], pair_ptr[s + 1]):
            pi[h, k] = 0.0
        pi[h, q] = 1.0 - best_mass
        pi[h, best_k] += best_mass
    return slopes(r, models, pi, pair_ptr, rho, G, Q, V, d, e)


@njit(cache=True, nogil=True)
def cdpo(arena, r, visits, moves, model, models, V, choice, weights, pi, value, prior, eta, outer, own, log):
    """Episodes of conservative dual policy optimization; one for each row of the log."""
    first, values, series, states, pairs, rewards = log
    H, S, L = arena.H, arena.rho.size, pi.shape[1]
    n = moves.shape[0]
    keep = states.shape[0] > 0
    path, taken, paid = np.empty(H + 1, dtype=np.int64), np.empty(H, dtype=np.int64), np.empty(H)
    A, B, alpha, law, q, greedy = np.empty(S), np.empty(S), np.empty(S), np.empty(S), np.empty(L), np.empty(L)
    moved, other, G, Q = np.zeros((H, S)), np.zeros((H, S), dtype=np.int64), np.empty((H, L)), np.empty((H, L))
    C, d, e = np.empty(S), np.empty(S), np.empty(S)
    for m in range(values.size):
        table = arena.which[min(first + m, arena.which.size - 1)]
        values[m] = value_of_law(arena, table, pi, A, B)
        index, distance = 0.0, 0.0
        for s in range(S):
            index += arena.rho[s] * V[0, s]
        for h in range(H):
            for s in range(S):
                distance += weights[h, s] * (1.0 - pi[h, choice[h, s]])
        series[m, 0] = index
        series[m, 1] = value[0]
        series[m, 2] = distance
        walk_law(arena, table, pi, outer, path, taken, paid)
        if keep:
            states[m] = path
            pairs[m] = taken
            rewards[m] = paid
        for h in range(H):
            i = h if n > 1 else 0
            visits[i, taken[h]] += 1.0
            moves[i, path[h + 1], taken[h]] += 1.0
        for i in range(n):
            for k in range(L):
                total = 0.0
                for t in range(S):
                    total += prior + moves[i, t, k]
                for t in range(S):
                    model[i, t, k] = (prior + moves[i, t, k]) / total
        for j in range(models.shape[0]):
            draw_laws(prior, moves, own, models[j], alpha, law)
        reference(r, model, arena.pair_ptr, H, arena.rho, V, choice, weights, q, greedy)
        value[0] = ascent(
            r, models, arena.pair_ptr, arena.rho, choice, weights, eta, pi, moved, other, G, Q, C, d, e
        )  # fmt: skip
