r"""Multi-level Monte Carlo for averages along one path: the mean of an average over n samples at the cost of about log n.

A level J is drawn with :math:`\Pr(J = j) = 2^{-j}`, j = 1, 2, …, and a path of :math:`2^J` samples, or of one if
:math:`2^J` would be longer than allowed. With :math:`g^j` the average of the first :math:`2^j` samples,

.. math:: g = g^0 + 2^J (g^J - g^{J-1}), \qquad \text{or } g = g^0 \text{ for a path of one sample.}

The probability of a level and the factor before its difference cancel, so that the mean telescopes to that of the longest
average. Nothing is asked of the law of the path; the three averages share its first samples. Floats, Fractions or balls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mdpkit.typing import Array

__all__ = ["averages", "combined", "expectation", "expected_length", "length", "level", "weights"]


def level(u: float) -> int:
    r"""The level that a uniform number of [0, 1) draws: j with probability :math:`2^{-j}`, j = 1, 2, …."""
    return max(1, 1 - math.frexp(1.0 - u)[1])


def length(j: int, most: int) -> int:
    """How many samples level j takes where ``most`` is the highest one that is drawn."""
    return 2**j if j <= most else 1


def combined(first: Any, half: Any, full: Any, n: int) -> Any:
    """The estimate from the first of n samples and from the averages of the first half of them and of all."""
    return first if n == 1 else first + n * (full - half)


def weights(n: int, one: Any = 1.0) -> Array:
    """What each of n samples, a power of two, counts in the estimate, in the numbers of ``one``, ``(n,)``."""
    kind = float if isinstance(one, float) else object
    first, half, full = (np.full(n, 0 * one, dtype=kind) for _ in range(3))
    first[0] = one
    half[: max(1, n // 2)] = one / max(1, n // 2)
    full[:] = one / n
    return combined(first, half, full, n)


def averages(P: Any, h: Array, most: int) -> list[Array]:
    r"""Means of the averages of :math:`h(s_0), \dots, h(s_{2^j-1})` by the first state, j = 0, …, ``most``, ``(S,)`` each.

    ``P (S, S)`` is the chain; its powers are squared, :math:`m_{j+1} = (m_j + P^{2^j} m_j) / 2`.
    """
    out, power = [h], P
    for _ in range(most):
        out.append((out[-1] + power @ out[-1]) / 2)
        power = power @ power
    return out


def expectation(means: Sequence[Any], one: Any = 1.0) -> Any:
    r"""The mean of the estimate by enumerating the level, from the means of :math:`g^0, \dots, g^m`."""
    most = len(means) - 1
    out = means[0] * (one / length(most, most))  # the levels beyond the highest one take a single sample
    for j in range(1, most + 1):
        n = length(j, most)
        out = out + one / n * combined(means[0], means[j - 1], means[j], n)
    return out


def expected_length(most: int, one: Any = 1.0) -> Any:
    r"""The mean number of samples, :math:`m + 2^{-m}` for the highest level m."""
    return most + one / 2**most
