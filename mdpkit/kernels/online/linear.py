"""Compiled twins of :mod:`mdpkit.kernels.optimistic_least_squares`, for the loops of learners with linear features."""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit

from mdpkit.kernels.online.episodes import best_pairs, value_of_choice, walk_choice

__all__ = ["collect", "cooperative", "grow", "plan"]


@njit(cache=True, nogil=True)
def collect(Lambda, b, M, phi, pairs, rewards, states):
    """Add an episode to the sums of each stage, in place."""
    d = phi.shape[1]
    for h in range(pairs.size):
        x = phi[pairs[h]]
        for i in range(d):
            b[h, i] += x[i] * rewards[h]
            M[h, i, states[h + 1]] += x[i]
            for j in range(d):
                Lambda[h, i, j] += x[i] * x[j]


@njit(cache=True, nogil=True)
def grow(inverse, ratio, phi, pairs):
    """Inverses and ratios of determinants after an episode, in place."""
    d = phi.shape[1]
    for h in range(pairs.size):
        x = phi[pairs[h]]
        y = inverse[h] @ x
        norm = 0.0
        for i in range(d):
            norm += x[i] * y[i]
        ratio[h] *= 1.0 + norm
        for i in range(d):
            for j in range(d):
                inverse[h, i, j] -= y[i] * y[j] / (1.0 + norm)


@njit(cache=True, nogil=True)
def plan(Lambda, b, M, phi, pair_ptr, lambda_, beta, w, Q, V, inverse, choice):
    """Plan backward, into w, Q, V, inverse and choice."""
    H, d = b.shape
    L = phi.shape[0]
    ridge = lambda_ * np.eye(d)
    V[H] = 0.0
    for h in range(H - 1, -1, -1):
        inverse[h] = np.linalg.solve(Lambda[h] + ridge, np.eye(d))
        w[h] = inverse[h] @ (b[h] + M[h] @ V[h + 1])
        ceiling = float(H - h)
        X = phi @ inverse[h]
        q = phi @ w[h]
        for k in range(L):
            norm = 0.0
            for i in range(d):
                norm += X[k, i] * phi[k, i]
            Q[h, k] = min(max(q[k] + beta[h] * np.sqrt(norm), 0.0), ceiling)
        best_pairs(Q[h], pair_ptr, V[h], choice[h])


@njit(cache=True, nogil=True)
def cooperative(arena, phi, lambda_, beta, threshold, order, server, agents, active, counts, direct, outer, log):
    """Episodes of agents that share their sums, one for each row of the log; ``order (n,)`` says who acts after each.

    ``server`` are its sums; ``agents`` the agents' local sums, plans, inverses and ratios, stacked. With ``direct`` there is
    one agent, whose data go to the server at once, and a communication is a plan. Returns who acts next.
    """
    first, values, series, states, pairs, rewards = log
    Lambda, b, M = server
    local_Lambda, local_b, local_M, w, Q, V, planned, choice, inverse, ratio = agents
    H, S = arena.H, V.shape[2]
    keep = states.shape[0] > 0
    path, taken, paid = np.empty(H + 1, dtype=np.int64), np.empty(H, dtype=np.int64), np.empty(H)
    A, B = np.empty(S), np.empty(S)
    for n in range(values.size):
        table = arena.which[min(first + n, arena.which.size - 1)]
        m = active
        values[n] = value_of_choice(arena, table, choice[m], A, B)
        index = 0.0
        for s in range(S):
            index += arena.rho[s] * V[m, 0, s]
        series[n, 0] = index
        series[n, 1] = counts[0]
        if series.shape[1] > 2:
            series[n, 2] = m
        walk_choice(arena, table, choice[m], outer, path, taken, paid)
        if keep:
            states[n] = path
            pairs[n] = taken
            rewards[n] = paid
        if direct:
            collect(Lambda, b, M, phi, taken, paid, path)
        else:
            collect(local_Lambda[m], local_b[m], local_M[m], phi, taken, paid, path)
        grow(inverse[m], ratio[m], phi, taken)
        if np.max(ratio[m]) > threshold:
            if not direct:
                Lambda += local_Lambda[m]
                b += local_b[m]
                M += local_M[m]
                local_Lambda[m] = 0.0
                local_b[m] = 0.0
                local_M[m] = 0.0
            plan(Lambda, b, M, phi, arena.pair_ptr, lambda_, beta, w[m], Q[m], V[m], planned[m], choice[m])
            inverse[m] = planned[m]
            ratio[m] = 1.0
            counts[0] += 1
        active = order[n]
    return active
