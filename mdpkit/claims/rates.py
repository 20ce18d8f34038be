"""Slopes of measured curves, as intervals, and what they say about a declared rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from mdpkit.claims.claim import Rate
from mdpkit.claims.enclosure import Outcome, Row

__all__ = ["Slope", "decide", "fit", "slope"]

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
    usable = [row for row in rows if row.k is not None and row.ends[0] > 0 and math.isfinite(row.ends[1])]
    if scale == "power":
        usable = [row for row in usable if row.k and row.k > 0]
    k = np.array([row.k for row in usable], dtype=float)
    ends = np.array([row.ends[:2] for row in usable], dtype=float).reshape(-1, 2)
    return slope(k, np.array([row.left for row in usable], dtype=float), scale, np.diff(np.log(ends), axis=1)[:, 0])


def slope(k: Any, values: Any, scale: str = "power", spread: Any = None) -> Slope | None:
    """Least-squares slope of log(values) against log(k) (against k for ``"geometric"``); None from fewer than four k.

    Parameters
    ----------
    k, values : (n,) float
        Positive values (and k, unless the scale is geometric).
    scale : {"power", "geometric"}
    spread : (n,) float, optional
        Widths of enclosures of log(values), by which the interval is widened.
    """
    stats: Any = import_module("scipy.stats")
    at, y = np.asarray(k, dtype=float), np.log(np.asarray(values, dtype=float))
    if len(np.unique(at)) < FEWEST:
        return None
    x = np.array([math.log(one) for one in at.tolist()]) if scale == "power" else at
    result = stats.linregress(x, y)
    half = float(stats.t.ppf(0.975, len(x) - 2) * result.stderr)
    if not math.isfinite(half):  # scipy's word for points on a line parallel to the axis
        half = 0.0
    if spread is not None:
        # The largest change of the slope when every value moves inside its enclosure.
        centered = x - x.mean()
        half += float(np.abs(centered) @ (np.asarray(spread) / 2) / (centered @ centered))
    value = float(result.slope)
    return Slope(value, value - half, value + half, len(x))


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
