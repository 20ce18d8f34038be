r"""Rules of eligibility traces: how much credit a pair keeps for the temporal-difference errors after it.

A trace is born with weight :math:`\beta_0 = 1` when its pair is visited, and each later pair :math:`x_t` changes it: by the
ratio :math:`\rho_t = \pi(a_t|s_t)/\mu(a_t|s_t)`, by the target's probability, or by which pair it is. Rules act on arrays of
traces at once, in whatever numbers the arrays hold; what they remember of a trace is a tuple of arrays whose first is
:math:`\beta`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import segments
from mdpkit.typing import Array, Ints

__all__ = [
    "BinaryTrace",
    "ClippedTrace",
    "FullTrace",
    "ImportanceSampling",
    "Memory",
    "PerDecision",
    "RecencyBounded",
    "RecursiveRetrace",
    "Retrace",
    "TraceRule",
    "TreeBackup",
    "TruncatedImportanceSampling",
]

Memory = tuple[Array, ...]
"""What is remembered of n traces: arrays ``(n,)``, the first of them their weights."""


def real(x: Any) -> bool:
    """Whether this is a real number."""
    return isinstance(x, Real) and not isinstance(x, bool)


def least(x: Array, y: Any) -> Array:
    """The smaller of both, entry by entry; of balls, a ball that contains it."""
    if x.dtype != object:
        return np.minimum(x, y)
    pairs = zip(*(part.tolist() for part in np.broadcast_arrays(x, np.asarray(y, dtype=object))), strict=True)
    out = np.empty(len(x), dtype=object)
    out[:] = [a.min(b) if segments.is_ball(a) else min(a, b) for a, b in pairs]
    return out


@dataclass(frozen=True)
class TraceRule:
    r"""Base of the rules.

    Parameters
    ----------
    lambda_ : number in [0, 1]
        How far credit reaches.
    """

    lambda_: Any = 1

    lawful: ClassVar[bool] = True
    r"""Whether :math:`0 \le \beta_t \le \rho_t \beta_{t-1}` always holds, which makes the operator a contraction."""

    def __post_init__(self) -> None:
        x: Any = self.lambda_
        if not real(x) or not 0 <= x <= 1:
            raise OptionError("lambda_ is no share", found=repr(x), needed="0 <= lambda_ <= 1")

    def converted(self, convert: Callable[[Any], Any]) -> Any:
        """The same rule with its numbers in another arithmetic."""
        out = copy.copy(self)
        for field in fields(self):
            value = getattr(self, field.name)
            if real(value) and field.name != "pairs":
                object.__setattr__(out, field.name, convert(value))
        return out

    def start(self, like: Array) -> Memory:
        """New traces, as many as ``like`` has entries, in its numbers."""
        return (like * 0 + 1,)

    def advance(self, memory: Memory, ratio: Array, target: Array, pairs: Ints) -> Memory:
        """The traces after one more pair each.

        Parameters
        ----------
        memory : tuple of (n,) arrays
        ratio, target : (n,) arrays
            The ratio and the target's probability of the pair that follows each trace.
        pairs : (n,) integers
            That pair.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class PerDecision(TraceRule):
    r"""Rules whose weights are products: :math:`\beta_t = \beta_{t-1} c(x_t)`; this one has :math:`c = \min(\lambda, \rho)`."""

    def factor(self, ratio: Array, target: Array) -> Array:
        """The factor of each pair, ``(n,)``."""
        return least(ratio, self.lambda_)

    def advance(self, memory: Memory, ratio: Array, target: Array, pairs: Ints) -> Memory:
        """The weights times the factors."""
        return (memory[0] * self.factor(ratio, target),)


@dataclass(frozen=True)
class Retrace(PerDecision):
    r""":math:`c = \lambda \min(1, \rho)` (Munos et al. 2016)."""

    def factor(self, ratio: Array, target: Array) -> Array:
        """The factor of each pair, ``(n,)``."""
        return self.lambda_ * least(ratio, ratio * 0 + 1)


@dataclass(frozen=True)
class TreeBackup(PerDecision):
    r""":math:`c = \lambda \pi(a|s)` (Precup et al. 2000)."""

    def factor(self, ratio: Array, target: Array) -> Array:
        """The factor of each pair, ``(n,)``."""
        return self.lambda_ * target


@dataclass(frozen=True)
class ImportanceSampling(PerDecision):
    r""":math:`c = \lambda \rho`: per-decision importance sampling."""

    def factor(self, ratio: Array, target: Array) -> Array:
        """The factor of each pair, ``(n,)``."""
        return self.lambda_ * ratio


@dataclass(frozen=True)
class FullTrace(PerDecision):
    r""":math:`c = \lambda`, whatever the ratio: :math:`Q(\lambda)` with off-policy corrections (Harutyunyan et al. 2016)."""

    lawful: ClassVar[bool] = False

    def factor(self, ratio: Array, target: Array) -> Array:
        """The factor of each pair, ``(n,)``."""
        return ratio * 0 + self.lambda_


@dataclass(frozen=True)
class ClippedTrace(PerDecision):
    r""":math:`c = \lambda \min(\bar c, \rho)`, the traces of V-trace (Espeholt et al. 2018).

    Parameters
    ----------
    lambda_ : number in [0, 1]
    ceiling : number
        :math:`\bar c`, positive.
    """

    ceiling: Any = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        c: Any = self.ceiling
        if not real(c) or not c > 0:
            raise OptionError("the ceiling of ratios is not positive", found=repr(c), needed="ceiling > 0")

    def factor(self, ratio: Array, target: Array) -> Array:
        """The factor of each pair, ``(n,)``."""
        return self.lambda_ * least(ratio, self.ceiling)


@dataclass(frozen=True)
class RecursiveRetrace(TraceRule):
    r""":math:`\beta_t = \lambda \min(1, \rho_t \beta_{t-1})` (Munos et al. 2016, section 3, recalled)."""

    def advance(self, memory: Memory, ratio: Array, target: Array, pairs: Ints) -> Memory:
        """The weights after one more pair."""
        return (self.lambda_ * least(ratio * memory[0], ratio * 0 + 1),)


@dataclass(frozen=True)
class RecencyBounded(TraceRule):
    r""":math:`\beta_t = \min(\lambda^t, \rho_t \beta_{t-1})`: recency-bounded importance sampling (RBIS)."""

    def start(self, like: Array) -> Memory:
        """Weights, and powers of lambda."""
        return (like * 0 + 1, like * 0 + 1)

    def advance(self, memory: Memory, ratio: Array, target: Array, pairs: Ints) -> Memory:
        """The weights after one more pair."""
        beta, power = memory
        power = power * self.lambda_
        return (least(ratio * beta, power), power)


@dataclass(frozen=True)
class TruncatedImportanceSampling(TraceRule):
    r""":math:`\beta_t = \lambda^t \min(1, \prod_{i \le t} \rho_i)`: the ratio of the whole path, truncated.

    The weights can recover by more than the ratio, and the operator need not be a contraction.
    """

    lawful: ClassVar[bool] = False

    def start(self, like: Array) -> Memory:
        """Weights, powers of lambda, and products of ratios."""
        return (like * 0 + 1, like * 0 + 1, like * 0 + 1)

    def advance(self, memory: Memory, ratio: Array, target: Array, pairs: Ints) -> Memory:
        """The weights after one more pair."""
        _, power, product = memory
        power, product = power * self.lambda_, product * ratio
        return (power * least(product, product * 0 + 1), power, product)


@dataclass(frozen=True)
class BinaryTrace(TraceRule):
    r""":math:`\beta_t = \lambda^t` after the pairs that keep credit, and zero after the others.

    What was cut comes back with the next pair that keeps credit: this is what the conditions of convergence forbid.

    Parameters
    ----------
    lambda_ : number in [0, 1]
    pairs : tuple of int
        The pairs that keep credit.
    """

    pairs: tuple[int, ...] = (0,)

    lawful: ClassVar[bool] = False

    def start(self, like: Array) -> Memory:
        """Weights, and powers of lambda."""
        return (like * 0 + 1, like * 0 + 1)

    def advance(self, memory: Memory, ratio: Array, target: Array, pairs: Ints) -> Memory:
        """The weights after one more pair."""
        power = memory[1] * self.lambda_
        kept = np.isin(pairs, self.pairs).astype(int)
        return (power * kept, power)
