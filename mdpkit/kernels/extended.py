r"""Extended value iteration: planning over all models in a confidence set, for the average reward; the definition.

A model of the set has, for each pair, a law within ``width`` of ``law`` in the L1 norm, and the reward ``r``. Arrays are
``(S, L)`` for laws, next state first, and ``(L,)``; of floats, Fractions or balls. The compiled twins in
:mod:`mdpkit.kernels.online.extended` give the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.kernels import optimism
from mdpkit.typing import Array, Ints

__all__ = ["backup", "empirical", "iterate", "law_width", "optimistic_law", "ranked", "reward_width"]


def law_width(visits: Array, n_states: int, log: Any) -> Array:
    r""":math:`\sqrt{14 S \ell / n}`, the radius of the L1 ball around the empirical law of n next states, ``(L,)``."""
    return np.sqrt(14 * n_states * log / visits)


def reward_width(visits: Array, log: Any) -> Array:
    r""":math:`\sqrt{7 \ell / 2n}`, how far the mean of n rewards may lie below its expectation, ``(L,)``."""
    return np.sqrt(7 * log / (2 * visits))


def empirical(moves: Array, visits: Array) -> Array:
    """Empirical laws of next states ``(S, L)``; uniform where a pair was never taken."""
    seen = visits > 0
    return np.where(seen, moves / np.where(seen, visits, 1), 1 / len(moves))


def ranked(u: Array) -> Ints:
    """The states from the best to the worst, ``(S,)``; equals in their own order."""
    return np.argsort(-u, kind="stable")


def optimistic_law(law: Array, width: Array, order: Ints) -> Array:
    r"""The law of each pair in its ball that makes the expectation largest, ``(S, L)``.

    .. math:: \max \{ p u : \|p - \hat p\|_1 \le d,\; p \ge 0,\; \textstyle\sum p = 1 \}

    Half of d goes to the best state, as far as there is room, and is taken from the worst ones.
    """
    p = np.array(law)
    best = order[0]
    moved = np.minimum(1 - p[best], width / 2)
    p[best] = p[best] + moved
    for t in order[:0:-1]:
        taken = np.minimum(p[t], moved)
        p[t] = p[t] - taken
        moved = moved - taken
    return p


def backup(r: Array, law: Array, width: Array, u: Array, pair_ptr: Ints) -> tuple[Array, Ints]:
    r"""The best one-step value of each state over pairs and models, ``(S,)``, and its pairs.

    .. math:: (\tilde T u)(s) = \max_a \{ r(s,a) + \max_{p} p u \}
    """
    return optimism.greedy(r + optimism.expected(optimistic_law(law, width, ranked(u)), u), pair_ptr)


def iterate(
    r: Array, law: Array, width: Array, pair_ptr: Ints, stop: Any, lazy: Any = 1
) -> tuple[Array, Any, Any, Ints]:
    r"""Values ``u (S,)``, bounds on the optimistic gain, and greedy pairs, once the bounds are closer than ``stop``.

    .. math:: u \leftarrow u + \ell (\tilde T u - u), \qquad \min_s (\tilde T u - u) \le \tilde g \le \max_s (\tilde T u - u)

    from u = 0, less the smallest entry after each sweep. :math:`\ell < 1` makes periodic models converge. After 50/stop^2
    sweeps it ends in any case: with bounds that hold, but are wider.
    """
    u = np.zeros(len(pair_ptr) - 1, dtype=law.dtype)
    most = int(50 / (stop * stop)) + 1
    for sweep in range(most):
        value, choice = backup(r, law, width, u, pair_ptr)
        step = value - u
        low, high = step.min(), step.max()
        if high - low < stop or sweep == most - 1:
            return u, low, high, choice
        u = value if lazy == 1 else u + lazy * step
        u = u - u.min()
    raise AssertionError
