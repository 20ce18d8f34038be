"""Compiled twins of :mod:`mdpkit.kernels.conservative`, for the loops of learners."""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit

from mdpkit.kernels.online.episodes import value_of_choice, value_of_law, walk_choice, walk_law
from mdpkit.kernels.online.optimism import count, pessimistic, plan

__all__ = ["conservative", "lower_bound"]


@njit(cache=True, nogil=True)
def _at(rho, V):
    out = 0.0
    for s in range(V.size):
        out += rho[s] * V[s]
    return out


@njit(cache=True, nogil=True)
def lower_bound(r, model, visits, pair_ptr, policy, n, H, iota, scale, V, q):
    """Values from below of the first n of H stages' policy, written into V ``(H + 1, S)``, of which row n is given."""
    for h in range(n - 1, -1, -1):
        i = h if visits.shape[0] > 1 else 0
        pessimistic(
            r[h if r.shape[0] > 1 else 0], model[i], visits[i], pair_ptr, policy[h], V[h + 1], iota, float(H - 1 - h), scale,
            V[h], q,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _mix(r, model, visits, pair_ptr, rho, greedy, baseline, threshold, iota, scale, whole, bounds, mixture, low, W, q):
    """Writes bounds ``(H + 1,)`` and mixture: first, share, lower."""
    H = baseline.shape[0]
    bounds[:] = np.nan
    low[H] = 0.0
    lower_bound(r, model, visits, pair_ptr, greedy, H, H, iota, scale, low, q)
    bounds[0] = _at(rho, low[0])
    if bounds[0] >= threshold:
        mixture[0], mixture[1], mixture[2] = 0.0, 0.0, bounds[0]
        return
    last = 0
    for h in range(H if whole else 1, H + 1):
        W[h] = low[h]
        lower_bound(r, model, visits, pair_ptr, baseline, h, H, iota, scale, W, q)
        bounds[h] = _at(rho, W[0])
        if bounds[h] >= threshold:
            mixture[0] = 0.0 if whole else float(h - 1)
            mixture[1] = (threshold - bounds[last]) / (bounds[h] - bounds[last])
            mixture[2] = threshold
            return
        last = h
    mixture[0], mixture[1], mixture[2] = (0.0, 1.0, bounds[H]) if whole else (float(H), 0.0, bounds[H])


@njit(cache=True, nogil=True)
def conservative(
    arena, r, visits, moves, model, V, choice, baseline, bounds, mixture, threshold, iota, scale, whole, outer, own, log
):
    """Episodes of StepMix, or of EpsMix (``whole``); one for each row of the log."""
    values, series, states, pairs, rewards = log[1:]
    H, S, L = arena.H, model.shape[1], model.shape[2]
    keep = states.shape[0] > 0
    path, taken, paid = np.empty(H + 1, dtype=np.int64), np.empty(H, dtype=np.int64), np.empty(H)
    q, square, A, B = np.empty(L), np.empty(L), np.empty(S), np.empty(S)
    low, W = np.zeros((H + 1, S)), np.zeros((H + 1, S))
    greedy, policy = np.zeros((H, L)), np.empty((H, L))
    for h in range(H):
        for s in range(S):
            greedy[h, choice[h, s]] = 1.0
    safe = value_of_law(arena, 0, baseline, A, B)
    for m in range(values.size):
        start, share = int(mixture[0]), mixture[1]
        series[m, 0] = _at(arena.rho, V[0])
        series[m, 1] = mixture[2]
        series[m, 2] = start + share
        if whole:
            values[m] = share * safe + (1.0 - share) * value_of_choice(arena, 0, choice, A, B)
            if own.random() < share:
                walk_law(arena, 0, baseline, outer, path, taken, paid)
            else:
                walk_choice(arena, 0, choice, outer, path, taken, paid)
        elif start == 0 and share == 0.0:
            values[m] = value_of_choice(arena, 0, choice, A, B)
            walk_choice(arena, 0, choice, outer, path, taken, paid)
        else:
            policy[:] = greedy
            policy[:start] = baseline[:start]
            if start < H:
                for k in range(L):
                    policy[start, k] = share * baseline[start, k] + (1.0 - share) * greedy[start, k]
            values[m] = value_of_law(arena, 0, policy, A, B)
            walk_law(arena, 0, policy, outer, path, taken, paid)
        if keep:
            states[m] = path
            pairs[m] = taken
            rewards[m] = paid
        count(visits, moves, model, taken, path)
        for h in range(H):
            for s in range(S):
                greedy[h, choice[h, s]] = 0.0
        plan(r, model, visits, arena.pair_ptr, H, iota, scale, False, V, choice, q, square)
        for h in range(H):
            for s in range(S):
                greedy[h, choice[h, s]] = 1.0
        _mix(
            r, model, visits, arena.pair_ptr, arena.rho, greedy, baseline, threshold, iota, scale, whole, bounds, mixture,
            low, W, q,
        )  # fmt: skip
