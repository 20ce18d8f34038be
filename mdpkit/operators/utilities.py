r"""Concave utilities of an occupancy measure: what problems with general utilities maximize.

Occupancies are unnormalized, :math:`\lambda(s,a) = \sum_h \gamma^h \Pr(s_h = s, a_h = a)`. A utility is called with the problem
seen from its policies, which convert its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mdpkit.errors import ModelError, OptionError
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.typing import Array

__all__ = ["Distance", "Entropy", "Return", "Utility"]


class Utility(Protocol):
    """What every utility can do."""

    def value(self, on: OnPolicy, occupancy: Array) -> Any:
        """F, a number."""
        ...

    def gradient(self, on: OnPolicy, occupancy: Array) -> Array:
        """The derivatives of F, ``(L,)``: the rewards whose policy gradient is that of F."""
        ...


@dataclass(frozen=True)
class Return:
    r""":math:`F(\lambda) = \langle \lambda, r \rangle`: the model's own rewards."""

    def value(self, on: OnPolicy, occupancy: Array) -> Any:
        """The expected return."""
        return on.r @ occupancy

    def gradient(self, on: OnPolicy, occupancy: Array) -> Array:
        """The rewards, ``(L,)``."""
        return on.r


@dataclass(frozen=True)
class Distance:
    r""":math:`F(\lambda) = -\|\lambda - \lambda_0\|_2^2`: to visit pairs as often as in ``target``.

    Parameters
    ----------
    target : (L,) numbers
        The wanted occupancy.
    """

    target: Any

    def __post_init__(self) -> None:
        target = np.asarray(self.target, dtype=object)
        if target.ndim != 1 or not target.size:
            raise OptionError("the target is no vector", found=self.target, needed="a number for each pair")
        object.__setattr__(self, "target", tuple(target.tolist()))

    def _away(self, on: OnPolicy, occupancy: Array) -> Array:
        if len(self.target) != len(occupancy):
            raise ModelError("the target has another size", found=len(self.target), needed=f"{len(occupancy)} numbers")
        return occupancy - on.number(np.array(self.target, dtype=object))

    def value(self, on: OnPolicy, occupancy: Array) -> Any:
        """Minus the squared distance."""
        away = self._away(on, occupancy)
        return -(away @ away)

    def gradient(self, on: OnPolicy, occupancy: Array) -> Array:
        """Twice the way to the target, ``(L,)``."""
        return -2 * self._away(on, occupancy)


@dataclass(frozen=True)
class Entropy:
    r""":math:`F(\lambda) = -\sum (\lambda + \epsilon) \log (\lambda + \epsilon)`: to explore.

    Parameters
    ----------
    smoothing : number
        The positive :math:`\epsilon`, without which the gradient is unbounded at pairs that are never visited. An
        estimate that is lower than :math:`-\epsilon/2` counts as that.
    """

    smoothing: Any = 0.01

    def __post_init__(self) -> None:
        if not self.smoothing > 0:
            raise OptionError("the smoothing is not positive", found=self.smoothing, needed="smoothing > 0")

    def _lifted(self, on: OnPolicy, occupancy: Array) -> Array:
        epsilon = on.number(self.smoothing)
        least = epsilon / 2
        return np.array([x + epsilon if x + epsilon > least else least for x in occupancy], dtype=occupancy.dtype)

    def value(self, on: OnPolicy, occupancy: Array) -> Any:
        """The entropy of the smoothed occupancy."""
        x = self._lifted(on, occupancy)
        return -(x @ np.log(x))

    def gradient(self, on: OnPolicy, occupancy: Array) -> Array:
        """Minus one, less the logarithm, ``(L,)``."""
        return -1 - np.log(self._lifted(on, occupancy))
