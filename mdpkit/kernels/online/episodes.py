r"""Acting in an environment and the exact value of what is played, compiled; parts of every loop.

``arena`` is a :class:`mdpkit.learner.Arena`. Draws of an episode: the first state, then for each step the action (randomized
policies alone), the next state, and the coin of a noisy reward.
"""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

import numpy as np
from numba import njit

from mdpkit.kernels.sampling import _first_above

__all__ = ["act", "best_pairs", "first_state", "step", "value_of_choice", "value_of_law", "walk_choice", "walk_law"]


@njit(cache=True, nogil=True)
def first_state(arena, rng):
    """The state in which an episode begins."""
    return _first_above(arena.start, 0, arena.start.size, rng.random())


@njit(cache=True, nogil=True)
def step(arena, table, h, k, rng):
    """``(next state, reward)`` of pair k at stage h, where the mean rewards are ``tables[table]``."""
    row = h * arena.stride + k
    e = _first_above(arena.cum, arena.indptr[row], arena.indptr[row + 1], rng.random())
    own = arena.tables[table, min(h, arena.tables.shape[1] - 1), k]
    reward = arena.extra[e] if arena.extra.size else own
    if arena.noise:
        reward = 1.0 if rng.random() < reward else 0.0
    return np.int64(arena.indices[e]), reward


@njit(cache=True, nogil=True)
def act(pi, i, j, rng):
    """The pair drawn from the probabilities ``pi[i:j]`` of a state's pairs; they sum to one up to rounding."""
    u = rng.random()
    total = 0.0
    last = i
    for k in range(i, j):
        if pi[k] > 0.0:
            last = k
            total += pi[k]
            if u < total:
                return k
    return last


@njit(cache=True, nogil=True)
def walk_choice(arena, table, choice, rng, states, pairs, rewards):
    """Play an episode with the pairs ``choice (H, S)``; writes states, pairs and rewards."""
    s = first_state(arena, rng)
    states[0] = s
    for h in range(arena.H):
        k = choice[h, s]
        s, reward = step(arena, table, h, k, rng)
        pairs[h] = k
        rewards[h] = reward
        states[h + 1] = s


@njit(cache=True, nogil=True)
def walk_law(arena, table, pi, rng, states, pairs, rewards):
    """Play an episode with the probabilities ``pi (H, L)``; writes states, pairs and rewards."""
    s = first_state(arena, rng)
    states[0] = s
    for h in range(arena.H):
        k = act(pi[h], arena.pair_ptr[s], arena.pair_ptr[s + 1], rng)
        s, reward = step(arena, table, h, k, rng)
        pairs[h] = k
        rewards[h] = reward
        states[h + 1] = s


@njit(cache=True, nogil=True)
def value_of_choice(arena, table, choice, V, W):
    """Exact value at the initial law of the pairs ``choice (H, S)``; V and W are work space ``(S,)``."""
    S = V.size
    n = arena.tables.shape[1]
    V[:] = 0.0
    for h in range(arena.H - 1, -1, -1):
        r = arena.tables[table, min(h, n - 1)]
        for s in range(S):
            k = choice[h, s]
            row = h * arena.stride + k
            total = 0.0
            for e in range(arena.indptr[row], arena.indptr[row + 1]):
                total += arena.data[e] * V[arena.indices[e]]
            W[s] = r[k] + total
        V[:] = W
    out = 0.0
    for s in range(S):
        out += arena.rho[s] * V[s]
    return out


@njit(cache=True, nogil=True)
def value_of_law(arena, table, pi, V, W):
    """Exact value at the initial law of the probabilities ``pi (H, L)``; V and W are work space ``(S,)``."""
    S = V.size
    n = arena.tables.shape[1]
    V[:] = 0.0
    for h in range(arena.H - 1, -1, -1):
        r = arena.tables[table, min(h, n - 1)]
        for s in range(S):
            value = 0.0
            for k in range(arena.pair_ptr[s], arena.pair_ptr[s + 1]):
                if pi[h, k] > 0.0:
                    row = h * arena.stride + k
                    total = 0.0
                    for e in range(arena.indptr[row], arena.indptr[row + 1]):
                        total += arena.data[e] * V[arena.indices[e]]
                    value += pi[h, k] * (r[k] + total)
            W[s] = value
        V[:] = W
    out = 0.0
    for s in range(S):
        out += arena.rho[s] * V[s]
    return out


@njit(cache=True, nogil=True)
def best_pairs(q, pair_ptr, V, choice):
    """The largest entry of q ``(L,)`` among each state's pairs into V ``(S,)``, and the first pair that has it."""
    for s in range(V.size):
        best = pair_ptr[s]
        for k in range(best + 1, pair_ptr[s + 1]):
            if q[k] > q[best]:
                best = k
        V[s] = q[best]
        choice[s] = best
