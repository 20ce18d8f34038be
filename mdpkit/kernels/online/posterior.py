"""Compiled twins of :mod:`mdpkit.kernels.posterior`: the same draws and the same bits, for the loops of learners."""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math

import numpy as np
from numba import njit

from mdpkit.kernels.online.episodes import first_state, step, value_of_choice, walk_choice
from mdpkit.kernels.online.extended import iterate
from mdpkit.kernels.online.optimism import backward, count

__all__ = ["dirichlet", "draw_laws", "draw_means", "psrl", "tsde"]


@njit(cache=True, nogil=True)
def dirichlet(alpha, rng, out):
    """A law drawn from the Dirichlet law of parameters ``alpha (n,)``, written into ``out (n,)``."""
    total = 0.0
    for i in range(alpha.size):
        out[i] = rng.standard_gamma(alpha[i])
        total += out[i]
    if total == 0.0:
        for i in range(alpha.size):
            out[i] = alpha[i]
            total += alpha[i]
    for i in range(alpha.size):
        out[i] = out[i] / total


@njit(cache=True, nogil=True)
def draw_laws(prior, moves, rng, out, alpha, law):
    """Laws drawn from the posteriors of all pairs, into ``out (n, S, L)``; ``alpha`` and ``law`` are work space ``(S,)``."""
    for i in range(moves.shape[0]):
        for k in range(moves.shape[2]):
            for t in range(moves.shape[1]):
                alpha[t] = prior + moves[i, t, k]
            dirichlet(alpha, rng, law)
            for t in range(moves.shape[1]):
                out[i, t, k] = law[t]


@njit(cache=True, nogil=True)
def draw_means(wins, losses, rng, out, alpha, law):
    """Means drawn from the Beta laws of all coins, into ``out (n, L)``; ``alpha`` and ``law`` are work space ``(2,)``."""
    for i in range(wins.shape[0]):
        for k in range(wins.shape[1]):
            alpha[0] = wins[i, k]
            alpha[1] = losses[i, k]
            dirichlet(alpha, rng, law)
            out[i, k] = law[0]


@njit(cache=True, nogil=True)
def _know(known, wins, losses, own, r, alpha, law):
    if known.size:
        r[:] = known
    else:
        draw_means(wins, losses, own, r, alpha, law)


@njit(cache=True, nogil=True)
def psrl(arena, known, prior, visits, moves, model, wins, losses, law, r, V, choice, outer, own, log):
    """Episodes of posterior sampling; one for each row of the log. ``known (n, L)`` are known rewards, or empty."""
    first, values, series, states, pairs, rewards = log
    H, S, L = arena.H, moves.shape[1], moves.shape[2]
    keep = states.shape[0] > 0
    path, taken, paid = np.empty(H + 1, dtype=np.int64), np.empty(H, dtype=np.int64), np.empty(H)
    q, A, B, alpha, drawn, two, coin = (
        np.empty(L), np.empty(S), np.empty(S), np.empty(S), np.empty(S), np.empty(2), np.empty(2)
    )  # fmt: skip
    for m in range(values.size):
        table = arena.which[min(first + m, arena.which.size - 1)]
        values[m] = value_of_choice(arena, table, choice, A, B)
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
        if not known.size:
            for h in range(H):
                i = h if wins.shape[0] > 1 else 0
                wins[i, taken[h]] += paid[h]
                losses[i, taken[h]] += 1 - paid[h]
        draw_laws(prior, moves, own, law, alpha, drawn)
        _know(known, wins, losses, own, r, two, coin)
        backward(r, law, arena.pair_ptr, H, V, choice, q)


@njit(cache=True, nogil=True)
def tsde(arena, known, prior, visits, before, moves, wins, losses, law, r, u, choice, marks, at, outer, own, log):
    """Steps of posterior sampling with dynamic episodes; one for each row of the log."""
    first, values, series, states, pairs, rewards = log
    S, L = moves.shape[1], moves.shape[2]
    keep = states.shape[0] > 0
    still = np.zeros(L)
    alpha, drawn, two, coin = np.empty(S), np.empty(S), np.empty(2), np.empty(2)
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
        moves[0, s_next, k] += 1.0
        if not known.size:
            wins[0, k] += reward
            losses[0, k] += 1 - reward
        at[0] = s_next
        t = first + m + 2
        if t > marks[2] + marks[3] or visits[k] > 2 * before[k]:
            draw_laws(prior, moves, own, law, alpha, drawn)
            _know(known, wins, losses, own, r, two, coin)
            _, high = iterate(r[0], law[0], still, arena.pair_ptr, 1 / math.sqrt(t), 0.5, u, choice)
            before[:] = visits
            marks[3] = t - marks[2]
            marks[2] = t
            marks[0] = high
            marks[1] += 1.0
