r"""Rules for the step sizes of mirror descent, each with a field ``eta``; a plain number is a constant step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import segments
from mdpkit.operators.mirror_maps import MirrorMap
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.typing import Array

__all__ = ["Adaptive", "Constant", "Increasing", "StepSize", "rule"]

LARGEST = 1e200
"""The largest step in floats; beyond, products would overflow."""


class StepSize(Protocol):
    """What a rule of step sizes can do."""

    @property
    def eta(self) -> Any:
        """What the steps are proportional to."""
        ...

    def __call__(self, k: int, on: OnPolicy, mirror: MirrorMap, point: Array, q: Array) -> Any:
        """The step size of step k from the policy with this point, whose action values are ``q``."""
        ...


def _check(eta: Any) -> None:
    if isinstance(eta, str) or not 0 < eta < np.inf:
        raise OptionError("the step size eta is not positive and finite", found=eta, needed="0 < eta < inf")


@dataclass(frozen=True)
class Constant:
    r"""Always :math:`\eta`."""

    eta: Any = 1.0

    def __post_init__(self) -> None:
        _check(self.eta)

    def __call__(self, k: int, on: OnPolicy, mirror: MirrorMap, point: Array, q: Array) -> Any:
        """The step size."""
        return on.number(self.eta)


@dataclass(frozen=True)
class Increasing:
    r"""Geometric, :math:`\eta_k = \eta \, c^k`.

    Parameters
    ----------
    eta : number
        The first step.
    factor : number, optional
        The factor c, at least 1; :math:`1/\gamma` by default.
    """

    eta: Any = 1.0
    factor: Any = None

    def __post_init__(self) -> None:
        _check(self.eta)
        if self.factor is not None and not self.factor >= 1:
            raise OptionError("the factor of increasing steps is below one", found=self.factor, needed="factor >= 1")

    def __call__(self, k: int, on: OnPolicy, mirror: MirrorMap, point: Array, q: Array) -> Any:
        """The step size."""
        return _grown(on, self.eta, 1 / on.gamma[0] if self.factor is None else on.number(self.factor), k)


@dataclass(frozen=True)
class Adaptive:
    r"""So large that the step is nearly one of policy iteration.

    .. math:: \eta_k = \eta \, \gamma^{-2k} \max_s \min_{a \in \arg\max Q_k(s,\cdot)} D(e_a \,\|\, \pi_k(\cdot|s))

    The step then loses at most :math:`c_k = \gamma^{2k}/\eta` against a step of policy iteration (``johnson2023``).

    Parameters
    ----------
    eta : number
        The reciprocal of the first loss allowed.
    """

    eta: Any = 1.0

    def __post_init__(self) -> None:
        _check(self.eta)

    def __call__(self, k: int, on: OnPolicy, mirror: MirrorMap, point: Array, q: Array) -> Any:
        """The step size."""
        far = mirror.from_vertex(on, point)
        best = on.spread(segments.largest(q, on.pair_ptr))
        # Of balls, those that may be largest.
        worse = (q < best).astype(bool)
        least: list[Any] = []
        for s in range(on.n_states):
            here = slice(on.pair_ptr[s], on.pair_ptr[s + 1])
            least.append(-segments.largest(-far[here][~worse[here]], np.array([0, int((~worse[here]).sum())]))[0])
        values = np.array(least, dtype=far.dtype)
        distance = segments.largest(values, np.array([0, len(values)]))[0]
        return _grown(on, on.number(self.eta) * distance, 1 / on.gamma[0] ** 2, k)


def _grown(on: OnPolicy, eta: Any, factor: Any, k: int) -> Any:
    if on.r.dtype == object:
        return on.number(eta) * factor**k
    with np.errstate(over="ignore"):
        return min(float(eta) * min(float(np.float64(factor) ** k), LARGEST), LARGEST)


def rule(eta: Any) -> StepSize:
    """The rule that a parameter ``eta`` means: itself, or a constant step."""
    found: Any = eta if callable(eta) else Constant(eta)
    return found
