r"""Points of the simplex of least Tsallis potential in every state, in floats or balls.

The point of the simplex that minimizes :math:`\langle p, y \rangle + \sum_a \frac{-p_a^q}{q(1-q)}` for 0 < q < 1, and
:math:`\langle p, y \rangle - \sum_a \log p_a` (the log-barrier) for q = 0, is in both cases

.. math:: p_a = \bigl((1-q)(\lambda + y_a)\bigr)^{-1/(1-q)}, \qquad \sum_a p_a = 1, \quad \lambda > -\min_a y_a,

since the potential's derivative is :math:`-p^{q-1}/(1-q)`. The sum decreases in :math:`\lambda` and is convex, so that
Newton's method from the left rises to the root. For q = 1/2 it is :math:`p_a = 4 (\lambda + y_a)^{-2}`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.kernels import segments
from mdpkit.typing import Array, Ints

__all__ = ["LEAST", "STEPS", "tsallis"]

LEAST = 1e-300
"""The least probability in floats, whose negative powers do not overflow."""
STEPS = 100
"""Newton steps at most."""


def tsallis(y: Array, pair_ptr: Ints, q: Any) -> Array:
    """The minimizing point of each state, ``(L,)``, for an index 0 <= q < 1, a number or a Fraction."""
    balls = y.dtype == object
    rest: Any = 1 - segments.ball(q) if balls else float(1 - q)
    if balls and not segments.is_ball(y[0]):
        y = segments.each(y, segments.ball)
    least = -segments.largest(-y, pair_ptr)
    y = y - segments.spread(least, pair_ptr)
    if not balls:
        y = np.maximum(y, 0.0)
    power = -1 / rest
    one: Any = segments.ball(1) if balls else 1.0
    sizes = np.diff(pair_ptr)
    low, high = np.repeat(one / rest, len(sizes)), _roots(sizes, rest, balls) / rest

    def excess(level: Array) -> tuple[Array, Array]:
        """The sum less one, and minus its derivative."""
        base = rest * (segments.spread(level, pair_ptr) + y)
        weights = base**power
        return segments.total(weights, pair_ptr) - 1, segments.total(weights / base, pair_ptr)

    level = segments.middles(low)
    for _ in range(STEPS):
        above, slope = excess(level)
        ahead = segments.middles(level + above / slope)
        if not any(bool(x < z) for x, z in zip(level, ahead, strict=True)):
            break
        level = ahead
    if balls:
        level = _enclosed(level, excess(level)[0], excess(_ends(level, high))[1])
    p = (rest * (segments.spread(level, pair_ptr) + y)) ** power
    if balls:
        return p
    return np.maximum(p / segments.spread(segments.total(p, pair_ptr), pair_ptr), LEAST)


def _roots(sizes: Ints, rest: Any, balls: bool) -> Array:
    """The numbers of actions to the power 1 - q."""
    if not balls:
        return sizes.astype(np.float64) ** rest
    return segments.each(sizes, lambda n: segments.ball(int(n))) ** rest


def _ends(level: Array, high: Array) -> Array:
    """The right ends of the brackets."""
    out = np.empty(len(level), dtype=object)
    out[:] = [x.max(y) for x, y in zip(level, high, strict=True)]
    return out


def _enclosed(level: Array, above: Array, slope: Array) -> Array:
    """Balls around the roots: by the mean value theorem, with the least slope of the bracket."""
    out = np.empty(len(level), dtype=object)
    out[:] = [segments.widened(x, abs(f) / d) for x, f, d in zip(level, above, slope, strict=True)]
    return out
