"""Comparing enclosures: each side of a statement is a ball or a point, and a row holds, is violated, or is undecided.

A row *holds* where upper(left) <= lower(right) and is *violated* where lower(left) > upper(right). Two sides are equal where
their enclosures meet and are no wider than a resolution, and differ where they are apart. Nothing else is ever concluded: no
tolerance is added to either side.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import UnsupportedError
from mdpkit.kernels import segments

__all__ = [
    "Interval",
    "Outcome",
    "Row",
    "all_equal",
    "all_leq",
    "equal",
    "fact",
    "geq",
    "leq",
    "point",
    "precision",
    "premise",
]

RESOLUTION = 1e-9
"""Enclosures that meet decide an equality if they are no wider than this times the larger of one and their magnitude."""


FLOATS: Any = (float, np.floating)
INTEGERS: Any = (bool, np.bool_, int, np.integer)


class Outcome(Enum):
    """What the enclosures of a row say."""

    HOLDS = "holds"
    VIOLATED = "violated"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Interval:
    """An enclosure given by its ends: a confidence interval, or bounds of a certificate."""

    lower: Any
    upper: Any


@contextmanager
def precision(bits: int) -> Generator[None]:
    """Balls of so many bits inside the block.

    Raises
    ------
    UnsupportedError
        Without python-flint.
    """
    try:
        ctx: Any = import_module("flint").ctx
    except ImportError:
        raise UnsupportedError(
            "claims are checked in the ball arithmetic of python-flint, which is not installed",
            needed="python-flint",
            way_out="pip install 'mdpkit[claims]'",
        ) from None
    before = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = before


def _ends(x: Any) -> tuple[Any, Any]:
    """Lower and upper end: Fractions or infinities, exactly."""
    if isinstance(x, Interval):
        return _ends(x.lower)[0], _ends(x.upper)[1]
    if segments.is_ball(x):
        return _end(x.lower(), -math.inf), _end(x.upper(), math.inf)
    if isinstance(x, FLOATS):
        value = float(x)
        if math.isnan(value):
            return -math.inf, math.inf
        return (value, value) if math.isinf(value) else (Fraction(value), Fraction(value))
    if isinstance(x, INTEGERS):
        return Fraction(int(x)), Fraction(int(x))
    if isinstance(x, Fraction):
        return x, x
    if type(x).__name__ in ("fmpq", "fmpz"):
        value = Fraction(int(x.p), int(x.q)) if hasattr(x, "p") else Fraction(int(x))
        return value, value
    raise TypeError(f"no enclosure: {x!r}")


def _end(x: Any, unknown: float) -> Any:
    if not x.is_finite():
        # An overflowed ball is the whole line.
        return unknown if x.is_nan() or not math.isinf(float(x)) else float(x)
    mantissa, exponent = (int(part) for part in x.mid().man_exp())
    return Fraction(mantissa) * (Fraction(2) ** exponent)


def _float(x: Any) -> float:
    try:
        return float(x)
    except OverflowError:
        return math.inf if x > 0 else -math.inf


def _middle(low: Any, high: Any) -> float:
    low, high = _float(low), _float(high)
    return low if low == high else 0.5 * (low + high)


@dataclass(frozen=True)
class Row:
    """One comparison that a claim makes.

    Attributes
    ----------
    relation : str
        ``"<="``, ``"=="``, ``"fact"`` or ``"point"`` (a measurement for a rate, which is not compared).
    left, right : float
        Middles of both sides, for tables and pictures.
    outcome : Outcome
    slack : float
        Of an inequality: lower(right) - upper(left), rounded. Of an equality: the largest difference allowed by the enclosures.
    at : str
        Where: ``"k=3, s=1"``.
    k : float or None
        The abscissa, for pictures and rates.
    series : str
        Which curve the row belongs to.
    ends : tuple
        Left and right ends as floats: ``(left low, left high, right low, right high)``.
    sharp : bool
        Whether both sides are points, so that the row is exact.
    premise : bool
        Whether a counterexample rests on it: it must hold, and its violation is no violation of the false statement.
    """

    relation: str
    left: float
    right: float
    outcome: Outcome
    slack: float
    at: str = ""
    k: float | None = None
    series: str = ""
    ends: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    sharp: bool = False
    premise: bool = False

    @property
    def relative(self) -> float:
        """The slack of an inequality over the larger magnitude of its sides."""
        size = max(abs(self.left), abs(self.right))
        return self.slack / size if size > 0 else self.slack


def leq(left: Any, right: Any, at: str = "", *, k: float | None = None, series: str = "") -> Row:
    """``left <= right``; with ``k``, a point of the picture of the measured left side under its bound."""
    a, b = _ends(left)
    c, d = _ends(right)
    outcome = Outcome.HOLDS if b <= c else Outcome.VIOLATED if a > d else Outcome.UNDECIDED
    return Row(
        "<=",
        _middle(a, b),
        _middle(c, d),
        outcome,
        _float(_minus(c, b)),
        at,
        k,
        series,
        _floats(a, b, c, d),
        a == b and c == d,
    )


def geq(left: Any, right: Any, at: str = "", *, k: float | None = None, series: str = "") -> Row:
    """``left >= right``, written as ``right <= left``."""
    return leq(right, left, at, k=k, series=series)


def equal(
    left: Any, right: Any, at: str = "", *, k: float | None = None, series: str = "", resolution: float = RESOLUTION
) -> Row:
    """``left == right``: exactly for points; of enclosures, that they meet and are narrow."""
    a, b = _ends(left)
    c, d = _ends(right)
    furthest = max(abs(_minus(d, a)), abs(_minus(b, c)))
    if a > d or c > b:
        outcome = Outcome.VIOLATED
    elif furthest != math.inf and furthest <= _exact(resolution) * max(
        Fraction(1), min(abs(a), abs(b)), min(abs(c), abs(d))
    ):
        outcome = Outcome.HOLDS
    else:
        outcome = Outcome.UNDECIDED
    return Row(
        "==",
        _middle(a, b),
        _middle(c, d),
        outcome,
        _float(furthest),
        at,
        k,
        series,
        _floats(a, b, c, d),
        a == b and c == d,
    )


def fact(true: Any, at: str = "", *, k: float | None = None, series: str = "") -> Row:
    """A statement that is decided without numbers: a set of actions, a formula that simplifies to zero."""
    truth = bool(true)
    outcome = Outcome.HOLDS if truth else Outcome.VIOLATED
    return Row("fact", float(truth), 1.0, outcome, 0.0, at, k, series, sharp=True)


def point(k: Any, value: Any, at: str = "", *, series: str = "") -> Row:
    """A measurement at abscissa k; the slope of a claim's points is compared with its rate."""
    a, b = _ends(value)
    return Row(
        "point", _middle(a, b), math.nan, Outcome.HOLDS, math.nan, at, float(k), series, _floats(a, b, 0, 0), a == b
    )


def premise(row: Row) -> Row:
    """What must hold where a counterexample refutes a statement: the iterates, or the part of the statement that is true."""
    return replace(row, premise=True)


def all_leq(left: Iterable[Any], right: Iterable[Any], at: str = "", **more: Any) -> Row:
    """The row of least slack among ``left[i] <= right[i]``; violated if one is."""
    return _worst([leq(x, y, f"{at}[{i}]", **more) for i, (x, y) in enumerate(_pairs(left, right))], min)


def all_equal(left: Iterable[Any], right: Iterable[Any], at: str = "", **more: Any) -> Row:
    """The row of largest difference among ``left[i] == right[i]``; violated if one is."""
    return _worst([equal(x, y, f"{at}[{i}]", **more) for i, (x, y) in enumerate(_pairs(left, right))], max)


def _pairs(left: Any, right: Any) -> list[tuple[Any, Any]]:
    a, b = np.asarray(left, dtype=object), np.asarray(right, dtype=object)
    a, b = np.broadcast_arrays(a, b)
    if not a.size:
        raise ValueError("nothing to compare: both sides are empty")
    return list(zip(a.flat, b.flat, strict=True))


def _worst(rows: list[Row], extreme: Any) -> Row:
    for outcome in (Outcome.VIOLATED, Outcome.UNDECIDED):
        bad = [row for row in rows if row.outcome is outcome]
        if bad:
            return extreme(bad, key=_slack)
    return extreme(rows, key=_slack)


def _slack(row: Row) -> float:
    return row.slack


def _minus(x: Any, y: Any) -> Any:
    if isinstance(x, float) or isinstance(y, float):  # an infinity
        difference = _float(x) - _float(y)
        return math.inf if math.isnan(difference) else difference
    return x - y


def _exact(x: float) -> Fraction:
    return Fraction(x)


def _floats(*ends: Any) -> Any:
    return tuple(_float(end) for end in ends)
