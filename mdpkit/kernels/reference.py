r"""The mathematics on numpy arrays of floats or of Fractions: the definition to which the fast kernels are held.

``P`` is anything with ``P @ V``; pairs are sorted by state, those of state s being rows ``pair_ptr[s]`` to
``pair_ptr[s + 1] - 1``; everything maximizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.typing import Array, Ints

__all__ = ["backup", "best", "greedy", "greedy_stable", "q_values", "shortfall"]


def q_values(P: Any, r: Array, gamma: Array, V: Array) -> Array:
    r"""Action values over pairs, :math:`Q = r + \gamma P V`, ``(L,)``."""
    return r + gamma * (P @ V)


def best(q: Array, pair_ptr: Ints) -> Array:
    r"""Best action value of each state, :math:`\max_a Q(s, a)`, ``(S,)``."""
    return np.maximum.reduceat(q, pair_ptr[:-1])


def greedy(q: Array, pair_ptr: Ints) -> Ints:
    """First pair of each state that attains the maximum, ``(S,)``."""
    state = np.repeat(np.arange(len(pair_ptr) - 1), np.diff(pair_ptr))
    hit = np.flatnonzero(q == best(q, pair_ptr)[state])
    first = np.searchsorted(state[hit], np.arange(len(pair_ptr) - 1))
    return hit[first]


def greedy_stable(q: Array, pair_ptr: Ints, current: Ints, margin: Any = 0) -> Ints:
    """Greedy pairs that leave ``current`` only for an improvement by more than ``margin`` (number or ``(S,)``)."""
    better = best(q, pair_ptr) > q[current] + margin
    return np.where(better, greedy(q, pair_ptr), current)


def backup(P: Any, r: Array, gamma: Array, V: Array, pair_ptr: Ints) -> tuple[Array, Ints]:
    r"""Bellman optimality backup :math:`TV` and a greedy pair of each state."""
    q = q_values(P, r, gamma, V)
    return best(q, pair_ptr), greedy(q, pair_ptr)


def shortfall(P: Any, r: Array, gamma: Array, V: Array, state: Ints) -> Array:
    r"""What each pair lacks to support V: :math:`V(s) - r(s,a) - \gamma \sum_{s'} P(s'|s,a) V(s')`, ``(L,)``.

    V is a supersolution where all of these are nonnegative, and a subsolution where in each state one is nonpositive.
    """
    return V[state] - q_values(P, r, gamma, V)
