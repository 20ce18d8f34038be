"""Means over seeds with intervals, comparisons of learners on the same seeds, and what so many seeds can tell apart.

Seeds are independent runs, and a mean over them gets Student's interval: it is exact for normal runs, and near its level
for other laws once there are ten seeds or so; the bootstrap's are too narrow for few seeds. One seed has no interval.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.typing import Floats

__all__ = ["Comparison", "Mean", "check_confidence", "compared", "mean_of", "quantile", "seeds_needed"]


class Mean(NamedTuple):
    """A mean over seeds and its interval; the ends are None (nan in arrays) for one seed."""

    value: Any
    lower: Any
    upper: Any
    n: int
    confidence: float


def quantile(n: int, confidence: float) -> float:
    """Student's quantile for a two-sided interval from n values."""
    stats: Any = import_module("scipy.stats")
    return float(stats.t.ppf(0.5 + confidence / 2, n - 1))


def check_confidence(confidence: float) -> None:
    """Refuse what is no level of confidence.

    Raises
    ------
    OptionError
        Outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise OptionError("the confidence is no probability", found=confidence, needed="0 < confidence < 1")


def mean_of(values: Any, confidence: float = 0.95) -> Mean:
    """The mean over the first axis (seeds) with Student's interval, pointwise.

    Examples
    --------
    >>> mean = mean_of([1.0, 2.0, 3.0])
    >>> mean.value, round(mean.lower, 6), round(mean.upper, 6), mean.n
    (2.0, -0.484138, 4.484138, 3)
    """
    check_confidence(confidence)
    x: Floats = np.asarray(values, dtype=np.float64)
    n = len(x)
    center: Any = x.mean(axis=0)
    if n < 2:
        half: Any = np.full(x.shape[1:], np.nan)
    else:
        half = quantile(n, confidence) * x.std(axis=0, ddof=1) / math.sqrt(n)
    if x.ndim > 1:
        return Mean(center, center - half, center + half, n, confidence)
    if n < 2:
        return Mean(float(center), None, None, n, confidence)
    return Mean(float(center), float(center - half), float(center + half), n, confidence)


class Comparison(NamedTuple):
    """The mean difference ``a - b`` over common seeds, with its interval.

    ``separated`` says whether the interval leaves zero out; ``needed`` is how many seeds would separate a difference as large
    as the one observed, with a spread as large as the one observed: a guess from the same data, None where it says nothing.
    """

    problem: str
    a: str
    b: str
    difference: float
    lower: float | None
    upper: float | None
    n: int
    confidence: float
    needed: int | None

    @property
    def separated(self) -> bool:
        """Whether the seeds tell the two apart."""
        return self.lower is not None and self.upper is not None and (self.lower > 0 or self.upper < 0)

    def sentence(self, what: str = "regret") -> str:
        """What the seeds say, in words."""
        level = f"{100 * self.confidence:.4g} %"
        seeds = f"{self.n} common seeds"
        if self.n == 0:
            return f"{self.a} and {self.b} have no common seeds: nothing is known of their difference."
        if self.lower is None or self.upper is None:
            return f"One seed cannot tell {self.a} from {self.b}: there is no measure of the luck in it."
        if self.lower == self.upper:
            same = "the same" if self.difference == 0 else f"apart by {self.difference:.4g}"
            return f"{self.a} and {self.b} are {same} in each of {seeds}: no luck is involved, and no interval needed."
        size = f"{abs(self.difference):.4g}, {level} interval [{_ends(self)}]"
        if self.separated:
            low, high = (self.b, self.a) if self.difference > 0 else (self.a, self.b)
            return f"{low} has less {what} than {high}, by {size} over {seeds}."
        more = (
            ""
            if self.needed is None
            else f"; a difference and a spread like these would take about {self.needed} seeds"
        )
        least = (self.upper - self.lower) / 2
        return (
            f"{seeds[0].upper()}{seeds[1:]} do not tell {self.a} from {self.b}: the difference of {size}, contains 0. "
            f"Only differences beyond about {least:.3g} could show{more}."
        )


def _ends(c: Comparison) -> str:
    assert c.lower is not None and c.upper is not None
    low, high = (c.lower, c.upper) if c.difference > 0 else (-c.upper, -c.lower)
    return f"{low:.4g}, {high:.4g}"


def compared(problem: str, a: str, b: str, first: Floats, second: Floats, confidence: float = 0.95) -> Comparison:
    """Compare two learners on common seeds, pair by pair.

    Parameters
    ----------
    problem, a, b : str
        Labels.
    first, second : (n,) float
        The totals of a and b, by seed.
    confidence : float
        Of the interval of the mean difference.
    """
    d = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    if not len(d):
        check_confidence(confidence)
        return Comparison(problem, a, b, math.nan, None, None, 0, confidence, None)
    m = mean_of(d, confidence)
    needed = None
    if m.lower is not None and m.upper is not None and m.lower < 0 < m.upper:
        needed = seeds_needed(m.value, float(d.std(ddof=1)), confidence)
    return Comparison(problem, a, b, m.value, m.lower, m.upper, m.n, confidence, needed)


def seeds_needed(difference: float, spread: float, confidence: float, most: int = 100_000) -> int | None:
    """The least number of seeds whose interval would leave zero out; None beyond ``most``."""
    if not difference or not math.isfinite(difference):
        return None
    if spread == 0:
        return 2
    normal = quantile(most, confidence)
    n = max(2, math.floor((normal * spread / difference) ** 2))  # no more seeds than Student's quantile asks for
    while n <= most and quantile(n, confidence) * spread / math.sqrt(n) >= abs(difference):
        n += 1
    return n if n <= most else None
