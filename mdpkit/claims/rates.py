"""Slopes of measured curves, as intervals, and what they say about a declared rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from mdpkit.claims.claim import Rate
from mdpkit.claims.enclosure import Outcome, Row

__all__ = ["Slope", "decide", "fit"]

FEWEST = 4


class Slope(NamedTuple):
    """A fitted slope and its 95 % interval."""

    value: float
    lower: float
    upper: float
    n: int


def fit(rows: Sequence[Row], scale: str = "power") -> Slope | None:
    """Least-squares slope of log(value) against log(k) (against k for ``"geometric"``); None from fewer than four points.

    The interval is Student's, widened by what the enclosures of the values leave open. Points of one k (several seeds) count
    each for itself.
    """
    stats: Any = import_module("scipy.stats")
    usable = [row for row in rows if row.k is not None and row.ends[0] > 0 and math.isfinite(row.ends[1])]
    if scale == "power":
        usable = [row for row in usable if row.k and row.k > 0]
    if len({row.k for row in usable}) < FEWEST:
        return None
    x = np.array([math.log(row.k) if scale == "power" else row.k for row in usable], dtype=float)  # type: ignore[arg-type]
    y = np.log([row.left for row in usable])
    spread = np.log([row.ends[1] for row in usable]) - np.log([row.ends[0] for row in usable])
    result = stats.linregress(x, y)
    half = float(stats.t.ppf(0.975, len(x) - 2) * result.stderr)
    if not math.isfinite(half):  # scipy's word for points on a line parallel to the axis
        half = 0.0
    # The largest change of the slope when every value moves inside its enclosure.
    centered = x - x.mean()
    half += float(np.abs(centered) @ (spread / 2) / (centered @ centered))
    slope = float(result.slope)
    return Slope(slope, slope - half, slope + half, len(x))


def decide(slope: Slope | None, rate: Rate) -> Outcome:
    """Whether the slope's interval agrees with the rate, contradicts it, or neither."""
    if slope is None:
        return Outcome.UNDECIDED
    low, high = rate.exponent - rate.within, rate.exponent + rate.within
    if rate.side == "at_most":
        return _side(slope.upper <= high, slope.lower > high)
    if rate.side == "at_least":
        return _side(slope.lower >= low, slope.upper < low)
    return _side(low <= slope.lower and slope.upper <= high, slope.upper < low or slope.lower > high)


def _side(holds: bool, violated: bool) -> Outcome:
    return Outcome.HOLDS if holds else Outcome.VIOLATED if violated else Outcome.UNDECIDED
