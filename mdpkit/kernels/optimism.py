r"""Optimistic planning from counts: the definition, on numpy arrays of floats, Fractions or balls.

Counts are ``visits (n, L)`` and ``model (n, S, L)``: of each pair (of each stage where n = H), how often it was taken, and the
empirical law of its next state, next state first so that a backup adds whole rows of pairs. Sums run over next states in
order, so that the compiled twins in :mod:`mdpkit.kernels.online.optimism` give the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mdpkit.kernels import reference
from mdpkit.typing import Array, Ints

__all__ = [
    "backward",
    "ball_iota",
    "bernstein_bonus",
    "count",
    "discounted",
    "expected",
    "greedy",
    "hoeffding_bonus",
    "pessimistic",
    "plan",
    "variance",
]

THETA = 0.6
C1 = math.sqrt(3.0) / THETA
C2 = 3.5 / (1 - THETA)
r"""Constants of the Bernstein bonus, with which it is monotone in the value and wide enough; derived in the theory page.

:math:`c_1^2 \le c_2` makes :math:`v \mapsto pv + \max\{c_1 \sqrt{\mathrm{Var}_p(v) \iota/n}, c_2 \iota/n\}` monotone for v in
[0, 1]; for n >= 3 the empirical Bernstein bound is at most :math:`\sqrt{3 \mathrm{Var} \iota/n} + 3.5 \iota/n`, which is at
most the larger of the two terms over 0.6 and 0.4.
"""


def count(visits: Array, moves: Array, model: Array, pairs: Ints, states: Ints) -> None:
    """Add an episode's steps to ``visits`` and ``moves`` and renew the empirical laws of its pairs, in place."""
    n = len(visits)
    for h, k in enumerate(pairs):
        i = h if n > 1 else 0
        visits[i, k] += 1
        moves[i, states[h + 1], k] += 1
    for h, k in enumerate(pairs):
        i = h if n > 1 else 0
        model[i, :, k] = moves[i, :, k] / visits[i, k]


def expected(law: Array, V: Array) -> Array:
    r""":math:`\sum_{s'} \hat P(s'|s,a) V(s')` of all pairs, ``(L,)``, from a law ``(S, L)``."""
    total = np.zeros(law.shape[1], dtype=law.dtype)
    for t in range(len(law)):
        total = total + law[t] * V[t]
    return total


def variance(law: Array, V: Array) -> Array:
    """Variance of V at the next state of all pairs, ``(L,)``, not below zero."""
    total = np.zeros(law.shape[1], dtype=law.dtype)
    mean = expected(law, V)
    for t in range(len(law)):
        total = total + (law[t] * V[t]) * V[t]
    return np.maximum(total - mean * mean, 0)


def hoeffding_bonus(visits: Array, iota: Any, rest: Any) -> Array:
    r""":math:`R \sqrt{\iota / 2n}`, how far a mean of n numbers of range R may lie below its expectation, ``(L,)``."""
    return rest * np.sqrt(iota / (2 * visits))


def ball_iota(n_states: int, logarithm: Any) -> Any:
    r""":math:`S \ln 2 + \ln(1/\delta)`, with which Hoeffding's bonus serves all values of the range at once.

    An empirical law of n draws is off by at most :math:`\sqrt{2 \iota / n}` in the 1-norm (Weissman et al. 2003, recalled), and
    the expectation of values of range R by R/2 times that: :math:`\tfrac R2 \sqrt{2 \iota / n} = R \sqrt{\iota / 2n}`.
    """
    return n_states * math.log(2) + logarithm


def bernstein_bonus(law: Array, V: Array, visits: Array, iota: Any, rest: Any) -> Array:
    r""":math:`\max\{c_1 \sqrt{\mathrm{Var}_{\hat P}(V)\, \iota/n},\, c_2 R \iota/n\}`, ``(L,)``, for V of range R."""
    share = iota / visits
    return np.maximum(C1 * np.sqrt(variance(law, V) * share), C2 * rest * share)


def greedy(q: Array, pair_ptr: Ints) -> tuple[Array, Ints]:
    """The largest entry among each state's pairs, and the first pair that has it, ``(S,)`` each."""
    V = reference.best(q, pair_ptr)
    at_best = q == np.repeat(V, np.diff(pair_ptr))
    places = np.where(at_best, np.arange(len(q)), len(q))
    return V, np.minimum.reduceat(places, pair_ptr[:-1])


def plan(
    r: Array,
    model: Array,
    visits: Array,
    pair_ptr: Ints,
    H: int,
    *,
    iota: float,
    scale: float = 1.0,
    bernstein: bool = False,
) -> tuple[Array, Ints]:
    r"""Optimistic values ``(H + 1, S)`` and their greedy pairs ``(H, S)``, for rewards in [0, 1].

    .. math:: \bar Q_h = r_h + \min\{\hat P_h \bar V_{h+1} + b_h,\; H - 1 - h\}, \qquad \bar V_h = \max_a \bar Q_h

    with :math:`b_h = (H-1-h) \sqrt{\iota/2n}`, or
    :math:`b_h = \max\{c_1 \sqrt{\mathrm{Var}_{\hat P}(\bar V_{h+1})\, \iota/n},\, c_2 (H-1-h) \iota / n\}` (``bernstein``).
    """
    S = len(pair_ptr) - 1
    V, choice = np.zeros((H + 1, S)), np.zeros((H, S), dtype=np.int64)
    for h in range(H - 1, -1, -1):
        i, rest = (h if len(visits) > 1 else 0), float(H - 1 - h)
        flow = expected(model[i], V[h + 1])
        seen = visits[i] > 0
        value = np.full(len(flow), rest)
        if seen.any():
            n = np.where(seen, visits[i], 1)
            width = bernstein_bonus(model[i], V[h + 1], n, iota, rest) if bernstein else hoeffding_bonus(n, iota, rest)
            value = np.where(seen, np.minimum(flow + scale * width, rest), rest)
        q = r[h if len(r) > 1 else 0] + value
        V[h], choice[h] = greedy(q, pair_ptr)
    return V, choice


def pessimistic(
    r: Array,
    law: Array,
    visits: Array,
    pair_ptr: Ints,
    pi: Array,
    after: Array,
    *,
    iota: Any,
    rest: Any,
    scale: Any = 1.0,
) -> Array:
    r"""Values of one stage of a policy from below, ``(S,)``, for rewards in [0, 1] and ``after``, those of the next stage.

    .. math:: \underline V(s) = \sum_a \pi(a|s) \bigl[ r + \max\{\hat P \underline V_+ - b,\; 0\} \bigr], \qquad
        b = R \sqrt{\iota/2n}

    with R = ``rest``, the range of ``after``; a pair that was never taken is worth its reward.
    """
    flow = expected(law, after)
    seen = visits > 0
    width = hoeffding_bonus(np.where(seen, visits, 1), iota, rest)
    value = np.where(seen, np.maximum(flow - scale * width, 0), 0)
    return np.add.reduceat(pi * (r + value), pair_ptr[:-1])


def discounted(
    r: Array, law: Array, visits: Array, V: Array, gamma: float, *, capital: float, top: float, scale: float = 1.0
) -> Array:
    r"""Optimistic action values of a discounted problem, ``(L,)``, for rewards in [0, 1] and V in [0, ``top``].

    .. math:: Q = \min\{ r + \gamma \hat P V + b,\; \mathrm{top} \}, \qquad
        b = \gamma\, \mathrm{top} \sqrt{(\mathrm{capital} + \ln n(n+1)) / 2n}

    The logarithm pays for all counts at once, as :math:`\sum_n \tfrac{1}{n(n+1)} = 1`.
    """
    seen = visits > 0
    n = np.where(seen, visits, 1.0)
    width = hoeffding_bonus(n, capital + np.log(n * (n + 1.0)), gamma * top)
    return np.where(seen, np.minimum(r + gamma * expected(law, V) + scale * width, top), top)


def backward(r: Array, model: Array, pair_ptr: Ints, H: int) -> tuple[Array, Ints]:
    r"""Values ``(H + 1, S)`` and greedy pairs ``(H, S)`` of a model taken at its word: no bonus, no cap.

    .. math:: Q_h = r_h + P_h V_{h+1}, \qquad V_h = \max_a Q_h

    for rewards ``r (n, L)`` and laws ``model (n, S, L)``, n = 1 or H each.
    """
    S = len(pair_ptr) - 1
    V, choice = np.zeros((H + 1, S), dtype=model.dtype), np.zeros((H, S), dtype=np.int64)
    for h in range(H - 1, -1, -1):
        q = r[h if len(r) > 1 else 0] + expected(model[h if len(model) > 1 else 0], V[h + 1])
        V[h], choice[h] = greedy(q, pair_ptr)
    return V, choice
