"""Roots of decreasing functions, in floats or enclosed by balls, many at once."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import PrecisionError
from mdpkit.kernels import segments
from mdpkit.typing import Array

__all__ = ["decreasing"]

DOUBLINGS = 2000
"""Scales that are tried for a bracket: enough for all floats."""
ENOUGH = 2000
WIDER = 64


def decreasing(f: Callable[[Array], Array], start: Array) -> Array:
    r"""The root :math:`x_i > 0` of each :math:`f_i`, which decreases from plus to minus: ``(n,)``, from positive guesses.

    ``f`` takes all the abscissae at once, and ``f(x)[i]`` depends on ``x[i]`` alone. Of balls the root is first found among
    midpoints, then enclosed: between points where f is certainly positive and certainly negative.

    Raises
    ------
    PrecisionError
        If f keeps its sign on all scales, or balls are too wide to show the signs near the root.
    """
    low, high = _bracket(f, start)
    at_low, at_high = segments.middles(f(low)), segments.middles(f(high))
    x, still, side = low, 0, np.zeros(len(start), dtype=int)
    for _ in range(ENOUGH):
        # Regula falsi that halves the value of an end which stays (Illinois); bisection where that leaves the bracket.
        old, drop = x, at_low - at_high
        x = segments.middles(low + (high - low) * (at_low / drop))
        inside = np.array([bool(a < v < b) for a, v, b in zip(low, x, high, strict=True)], dtype=bool)
        x = np.where(inside, x, segments.middles((low + high) / 2))
        still = still + 1 if all(_same(v, w) for v, w in zip(x, old, strict=True)) else 0
        if still == 2:
            break
        y = segments.middles(f(x))
        up = np.array([bool(v > 0) for v in y], dtype=bool)
        side = np.where(up, np.maximum(side, 0) + 1, np.minimum(side, 0) - 1)
        low, at_low = np.where(up, x, low), np.where(up, y, np.where(side < -1, at_low / 2, at_low))
        high, at_high = np.where(up, high, x), np.where(up, np.where(side > 1, at_high / 2, at_high), y)
    return _enclosed(f, x) if len(start) and segments.is_ball(start[0]) else x


def _same(x: Any, y: Any) -> bool:
    """Whether two abscissae agree to all digits but the last ones."""
    if not segments.is_ball(x):
        return bool(abs(x - y) <= 4e-16 * x)
    flint: Any = import_module("flint")
    return bool(abs(x - y) <= x * segments.ball(2) ** (10 - int(flint.ctx.prec)))


def _bracket(f: Callable[[Array], Array], start: Array) -> tuple[Array, Array]:
    low, high = segments.middles(start), segments.middles(start)
    for end, outside in (("low", 0.5), ("high", 2)):
        for _ in range(DOUBLINGS):
            y = f(low if end == "low" else high)
            bad = np.array([not (v > 0 if end == "low" else v < 0) for v in y], dtype=bool)
            if not bad.any():
                break
            if end == "low":
                low = np.where(bad, low * outside, low)
            else:
                high = np.where(bad, high * outside, high)
        else:
            raise PrecisionError(
                "no bracket of a root was found", found=f"{start}", needed="a function that changes sign"
            )
    return low, high


def _enclosed(f: Callable[[Array], Array], x: Array) -> Array:
    flint: Any = import_module("flint")
    radius: Array = x * segments.ball(2) ** (12 - int(flint.ctx.prec))
    for _ in range(WIDER):
        below = np.array([v > 0 for v in f(segments.middles(x - radius))], dtype=bool)
        above = np.array([v < 0 for v in f(segments.middles(x + radius))], dtype=bool)
        if np.all(below & above):
            out = np.empty(len(x), dtype=object)
            out[:] = [flint.arb(v, r.upper()) for v, r in zip(segments.middles(x), radius, strict=True)]
            return out
        radius = np.where(below & above, radius, radius * 4)
    raise PrecisionError("a root could not be enclosed", needed="more bits")
