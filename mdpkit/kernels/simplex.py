r"""Projection onto the probability simplex in every state, in floats, Fractions or balls.

The nearest point of the simplex to y is :math:`\max(y - \theta, 0)` with the threshold

.. math:: \theta = \max_{j} \frac1j \Bigl( \sum_{i \le j} y_{(i)} - 1 \Bigr),

where :math:`y_{(1)} \ge y_{(2)} \ge \dots`. For :math:`\sum_a \max(y_a - \theta, 0) = 1` gives
:math:`\sum_{a \in B} (y_a - \theta) \le 1` for every set B, with equality for the support (``held1974``, recalled; the usual
rule searches for the support instead, as in ``duchi2008``). No comparison is decided, so that balls enclose the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.kernels import segments
from mdpkit.typing import Array, Ints

__all__ = ["project", "threshold"]


def project(y: Array, pair_ptr: Ints) -> Array:
    """The nearest policy in the Euclidean norm: of each state, the projection of its entries onto the simplex, ``(L,)``."""
    if y.dtype != object:
        # Less the largest entry, beside which the threshold would be lost where the entries are huge.
        y = y - segments.spread(segments.largest(y, pair_ptr), pair_ptr)
        return np.maximum(y - segments.spread(threshold(y, pair_ptr), pair_ptr), 0.0)
    moved = y - segments.spread(threshold(y, pair_ptr), pair_ptr)
    out = np.empty(len(y), dtype=object)
    out[:] = [_larger(x, 0 * x) for x in moved]
    return out


def threshold(y: Array, pair_ptr: Ints) -> Array:
    r"""The threshold :math:`\theta` of each state, ``(S,)``."""
    S, count = len(pair_ptr) - 1, np.diff(pair_ptr)
    if y.dtype == object:
        entries: list[Any] = list(y)
        out = np.empty(S, dtype=object)
        out[:] = [_threshold(entries[pair_ptr[s] : pair_ptr[s + 1]]) for s in range(S)]
        return out
    wide = np.full((S, int(count.max())), -np.inf)  # rows padded with minus infinity
    state = np.repeat(np.arange(S), count)
    wide[state, np.arange(len(y)) - pair_ptr[:-1][state]] = y
    sums = np.cumsum(-np.sort(-wide, axis=1), axis=1)
    return np.max((sums - 1) / np.arange(1, wide.shape[1] + 1), axis=1)


def _threshold(y: list[Any]) -> Any:
    # A sorting network of maxima and minima: of balls, it encloses the order statistics.
    for last in range(len(y) - 1, 0, -1):
        for i in range(last):
            y[i], y[i + 1] = _larger(y[i], y[i + 1]), _smaller(y[i], y[i + 1])
    total, best = 0, None
    for j, x in enumerate(y, 1):
        total = total + x
        mean = (total - 1) / j
        best = mean if best is None else _larger(best, mean)
    return best


def _larger(x: Any, y: Any) -> Any:
    return x.max(y) if segments.is_ball(x) else max(x, y)


def _smaller(x: Any, y: Any) -> Any:
    return x.min(y) if segments.is_ball(x) else min(x, y)
