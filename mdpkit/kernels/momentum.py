r"""Directions of stochastic gradient methods with a memory: averages, transport, recursion, and normalized steps.

In floats or balls.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.kernels import segments
from mdpkit.typing import Array

__all__ = ["adapted", "average", "length", "normalized", "recursive", "transport", "within"]


def average(d: Array, g: Array, eta: Any) -> Array:
    r""":math:`(1 - \eta) d + \eta g`."""
    return (1 - eta) * d + eta * g


def transport(theta: Array, previous: Array, eta: Any) -> Array:
    r"""Where implicit gradient transport samples: :math:`\theta + \frac{1-\eta}{\eta} (\theta - \theta^-)`."""
    return theta + (1 - eta) / eta * (theta - previous)


def recursive(d: Array, g: Array, change: Array, eta: Any) -> Array:
    r""":math:`(1 - \eta)(d + v) + \eta g`, where v estimates how the gradient changed since d."""
    return (1 - eta) * (d + change) + eta * g


def length(d: Array) -> Any:
    """Euclidean norm, as a number of the array's kind."""
    return np.sqrt(np.sum(d * d))


def normalized(theta: Array, d: Array, step: Any) -> Array:
    r""":math:`\theta + \alpha\, d / \|d\|`; no step along a zero direction."""
    if np.all(d == 0):
        return theta
    return theta + step / length(d) * d


def adapted(theta: Array, d: Array, step: Any, square: Any) -> Array:
    r""":math:`\theta + \alpha\, d / \sqrt{G}` (AdaGrad-norm), G the sum of all :math:`\|d\|^2`; no step where that is zero."""
    return theta if square == 0 else theta + step / np.sqrt(square) * d


def within(x: Array, radius: Any) -> Array:
    """The nearest point of the Euclidean ball around zero."""
    norm = length(x)
    return radius / norm * x if segments.at_least(norm, radius, strict=True) else x
