r"""The backup :math:`r + \gamma PV` of approximate value iteration: exact, with errors added, or drawn from a generative model.

A backup is called with a problem, the value V of the next state, the number of the call and a generator; it returns action
values ``Q (L,)`` and how many transitions it drew. A solver that takes one (``backup=``) runs with all of them alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.models.sampling import GenerativeModel, check_count, check_generator
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.typing import Array, Ints

__all__ = ["ActionValues", "BackupRule", "DisturbedBackup", "ExactBackup", "SampledBackup"]


class ActionValues(NamedTuple):
    """Action values of the pairs, and the number of transitions drawn for them."""

    q: Array
    draws: int = 0


class BackupRule(Protocol):
    """What every backup can do."""

    def __call__(
        self, on: OnPolicy, V: Array, k: int, rng: np.random.Generator | None = None, pairs: Ints | None = None
    ) -> ActionValues:
        """The k-th backup of V, at all pairs or at those that are given."""
        ...

    def gap(self, on: OnPolicy, V: Array, q: Array) -> float:
        """The width of the bounds on the optimal value that V and its backup q give; infinite where q is not exact."""
        ...


def _at(q: Array, pairs: Ints | None) -> Array:
    return q if pairs is None else q[pairs]


@dataclass(frozen=True)
class ExactBackup:
    r""":math:`r + \gamma PV`, in the problem's arithmetic."""

    def __call__(
        self, on: OnPolicy, V: Array, k: int, rng: np.random.Generator | None = None, pairs: Ints | None = None
    ) -> ActionValues:
        """The exact backup."""
        return ActionValues(_at(on.q(V), pairs))

    def gap(self, on: OnPolicy, V: Array, q: Array) -> float:
        """From the least and the largest change."""
        return on.span_gap(V, q)


@dataclass(frozen=True)
class DisturbedBackup:
    r""":math:`r + \gamma PV + \epsilon_k`: independent errors of mean zero, the same ones in every run.

    The entries of :math:`\epsilon_k` are ``scale`` times thousandths, uniform on [-1, 1].

    Parameters
    ----------
    scale : number
        The largest error, nonnegative.
    seed : int
    """

    scale: Any = Fraction(1, 10)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.scale >= 0:
            raise OptionError("the scale of the errors is negative", found=self.scale, needed="scale >= 0")
        check_count(self.seed, "the seed")

    def errors(self, n_pairs: int, k: int) -> Array:
        """The errors of the k-th backup, as Fractions, ``(L,)``."""
        scale, draw = Fraction(self.scale), np.random.default_rng([self.seed, k])
        out = np.empty(n_pairs, dtype=object)
        out[:] = [scale * Fraction(int(x), 1000) for x in draw.integers(-1000, 1001, size=n_pairs)]
        return out

    def __call__(
        self, on: OnPolicy, V: Array, k: int, rng: np.random.Generator | None = None, pairs: Ints | None = None
    ) -> ActionValues:
        """The exact backup and the k-th errors."""
        return ActionValues(_at(on.q(V) + on.number(self.errors(on.n_pairs, k)), pairs))

    def gap(self, on: OnPolicy, V: Array, q: Array) -> float:
        """Unknown."""
        return np.inf


@dataclass(frozen=True)
class SampledBackup:
    r""":math:`\hat r + \gamma V(s')` averaged over n transitions of each pair, drawn anew at each call; floats only.

    Parameters
    ----------
    n : int
        Draws for each pair at each call.
    """

    n: int = 1

    def __post_init__(self) -> None:
        check_count(self.n, "the number of draws n", 1)

    def __call__(
        self, on: OnPolicy, V: Array, k: int, rng: np.random.Generator | None = None, pairs: Ints | None = None
    ) -> ActionValues:
        """Means over fresh draws."""
        if V.dtype == object:
            raise OptionError(
                "transitions are drawn in floats only", found="another arithmetic", needed="a problem in floats"
            )
        oracle = GenerativeModel(on.problem.mdp)
        drawn = np.arange(on.n_pairs) if pairs is None else pairs
        following, rewards = oracle.sample_pairs(np.repeat(drawn, self.n).reshape(-1, self.n), check_generator(rng))
        q = on.problem.sign * rewards + on.gamma[drawn, None] * V[following]
        return ActionValues(q.mean(axis=1), oracle.calls)

    def gap(self, on: OnPolicy, V: Array, q: Array) -> float:
        """Unknown."""
        return np.inf
