"""Confidence intervals that hold at every sample size they are stated for; no normal approximation."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.claims.enclosure import Interval
from mdpkit.errors import OptionError

__all__ = ["bounded_mean", "proportion"]


def proportion(successes: int, trials: int, delta: float) -> Interval:
    """Clopper and Pearson's interval of a probability, at level 1 - delta; ``clopper1934``."""
    beta: Any = import_module("scipy.stats").beta
    _check(trials, delta)
    low = 0.0 if successes == 0 else float(beta.ppf(delta / 2, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(beta.ppf(1 - delta / 2, successes + 1, trials - successes))
    return Interval(low, high)


def bounded_mean(samples: Any, low: float, high: float, delta: float) -> Interval:
    r"""An interval of the mean of independent samples in [low, high], at level 1 - delta.

    The smaller of Hoeffding's and of the empirical Bernstein interval, each at half of delta. The latter is two-sided by a
    union (``maurer2009``, Theorem 4, recalled):
    :math:`|m - \bar x| \le \sqrt{2 v \log(4/\delta)/n} + 7 (b - a) \log(4/\delta) / (3(n-1))`.
    """
    x = np.asarray(samples, dtype=np.float64)
    n = len(x)
    _check(n, delta)
    if n < 2 or np.any(x < low - 1e-12 * abs(low)) or np.any(x > high + 1e-12 * abs(high)):
        raise OptionError("the samples leave their range", found=f"[{x.min()}, {x.max()}]", needed=f"[{low}, {high}]")
    width = high - low
    hoeffding = width * math.sqrt(math.log(4 / delta) / (2 * n))
    logs = math.log(8 / delta)
    bernstein = math.sqrt(2 * float(x.var(ddof=1)) * logs / n) + 7 * width * logs / (3 * (n - 1))
    half = min(hoeffding, bernstein)
    mean = float(x.mean())
    return Interval(max(low, mean - half), min(high, mean + half))


def _check(n: int, delta: float) -> None:
    if n < 1 or not 0 < delta < 1:
        raise OptionError(
            "no confidence interval", found=f"n = {n}, delta = {delta}", needed="n >= 1 and 0 < delta < 1"
        )
