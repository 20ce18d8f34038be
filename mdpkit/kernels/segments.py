r"""Sums, maxima and solutions of linear systems in whatever numbers the arrays hold: floats, Fractions, or balls.

Balls are the ``arb`` of python-flint: midpoint and radius, with every operation rounded outward, so that a result encloses
the exact one. An array of them, as of Fractions, has dtype object. Pairs are sorted by state, those of state s being rows
``pair_ptr[s]`` to ``pair_ptr[s + 1] - 1``.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import ModelError, PrecisionError
from mdpkit.typing import Array, Floats, Ints

__all__ = [
    "at_least",
    "ball",
    "each",
    "floats",
    "is_ball",
    "largest",
    "mean",
    "middle",
    "middles",
    "norm",
    "solve",
    "spread",
    "total",
    "widened",
]


INTEGERS: Any = (bool, int, np.integer)
FLOATS: Any = (float, np.floating)


@cache
def _flint() -> Any:
    return import_module("flint")


def is_ball(x: Any) -> bool:
    """Whether a number is a ball."""
    return type(x).__name__ == "arb"


def ball(x: Any) -> Any:
    """A number as a ball: a float by its bits, a Fraction within an ulp of the working precision."""
    flint = _flint()
    if is_ball(x):
        return x
    if isinstance(x, Fraction):
        return flint.arb(flint.fmpq(x.numerator, x.denominator))
    if isinstance(x, INTEGERS):
        return flint.arb(int(x))
    if isinstance(x, FLOATS):
        return flint.arb(float(x))
    return flint.arb(x)


def middle(x: Any) -> Any:
    """The midpoint of a ball; another number as it is."""
    return x.mid() if is_ball(x) else x


def each(x: Array, f: Callable[[Any], Any]) -> Array:
    """A function of each entry, as an object array."""
    out = np.empty(len(x), dtype=object)
    out[:] = [f(v) for v in x]
    return out


def middles(x: Array) -> Array:
    """The midpoints of balls; other numbers as they are."""
    return x if x.dtype != object else each(x, middle)


def floats(x: Array) -> Floats:
    """The nearest floats, of balls those of their midpoints."""
    if x.dtype != object:
        return np.asarray(x, dtype=np.float64)
    return np.array([float(middle(v)) for v in x.flat]).reshape(x.shape)


def widened(x: Any, radius: Any) -> Any:
    """A ball and all that is within ``radius`` of it."""
    flint = _flint()
    return x + flint.arb(0, ball(radius).upper())


def spread(x: Array, pair_ptr: Ints) -> Array:
    """A value for each state, repeated for each of its pairs, ``(L,)``."""
    return np.repeat(x, np.diff(pair_ptr))


def total(x: Array, pair_ptr: Ints) -> Array:
    """Sum over the pairs of each state, ``(S,)``; ``x`` is ``(L,)`` or ``(L, m)``."""
    return np.add.reduceat(x, pair_ptr[:-1], axis=0)


def mean(weights: Array, x: Array, pair_ptr: Ints) -> Array:
    r"""Expectation over the pairs of each state, :math:`\sum_a \pi(a|s) x(s,a)`, ``(S,)``."""
    return total(weights * x, pair_ptr)


def largest(x: Array, pair_ptr: Ints) -> Array:
    """Largest entry of each state, ``(S,)``; of balls, a ball that contains it."""
    if x.dtype != object:
        return np.maximum.reduceat(x, pair_ptr[:-1])
    out = np.empty(len(pair_ptr) - 1, dtype=object)
    for s in range(len(out)):
        best = x[pair_ptr[s]]
        for y in x[pair_ptr[s] + 1 : pair_ptr[s + 1]]:
            best = best.max(y) if is_ball(best) else max(best, y)
        out[s] = best
    return out


def norm(x: Array) -> Any:
    """Largest magnitude; of balls, a ball that contains it."""
    return largest(np.abs(x), np.array([0, len(x)]))[0]


def solve(A: Array, b: Array) -> Array:
    """The solution of Ax = b, ``A`` dense ``(n, n)`` and ``b`` ``(n,)`` or ``(n, m)``.

    Raises
    ------
    ModelError
        If the matrix is singular.
    PrecisionError
        If a matrix of balls is not certainly regular at the working precision.
    """
    if A.dtype != object and b.dtype != object:
        return np.linalg.solve(A, b)
    flint = _flint()
    n = len(A)
    columns = b.reshape(n, -1)
    balls = is_ball(A.flat[0]) or is_ball(b.flat[0])
    if balls:
        left = flint.arb_mat(n, n, [ball(x) for x in A.flat])
        right = flint.arb_mat(n, columns.shape[1], [ball(x) for x in columns.flat])
    else:
        left = flint.fmpq_mat(n, n, [_rational(flint, x) for x in A.flat])
        right = flint.fmpq_mat(n, columns.shape[1], [_rational(flint, x) for x in columns.flat])
    try:
        x = left.solve(right)
    except ZeroDivisionError:
        if balls:
            raise PrecisionError("a linear system of balls is not certainly regular", needed="more bits") from None
        raise ModelError("the linear system has no unique solution", needed="a regular matrix") from None
    out = np.empty(n * columns.shape[1], dtype=object)
    out[:] = x.entries() if balls else [Fraction(int(y.p), int(y.q)) for y in x.entries()]
    return out.reshape(b.shape)


def _rational(flint: Any, x: Any) -> Any:
    f = Fraction(x)
    return flint.fmpq(f.numerator, f.denominator)


def at_least(x: Any, y: Any, *, strict: bool = False) -> bool:
    """Whether ``x >= y`` (``x > y`` where strict), decided.

    Raises
    ------
    PrecisionError
        If balls cannot tell.
    """
    if bool(x > y if strict else x >= y):
        return True
    if bool(x <= y if strict else x < y):
        return False
    raise PrecisionError("two balls cannot be told apart", found=f"{x} and {y}", needed="more bits")
