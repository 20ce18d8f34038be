r"""Advantages of a policy for the methods that improve it: exact ones, and estimates with one face.

An estimator is called with a problem seen from a policy, the policy and a generator, and returns ``A (L,)``; a solver that
takes one (``advantages=``) runs with exact and with sampled advantages alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mdpkit.operators.on_policy import OnPolicy
from mdpkit.typing import Array

__all__ = ["AdvantageEstimator", "ExactAdvantages"]


class AdvantageEstimator(Protocol):
    """What every estimator of advantages can do."""

    def __call__(self, on: OnPolicy, pi: Array, rng: np.random.Generator | None = None) -> Array:
        """Advantages of the pairs under the policy ``pi (L,)``, ``(L,)``."""
        ...


@dataclass(frozen=True)
class ExactAdvantages:
    r""":math:`A^\pi(s,a) = Q^\pi(s,a) - V^\pi(s)` from a linear solve, in the problem's arithmetic."""

    def __call__(self, on: OnPolicy, pi: Array, rng: np.random.Generator | None = None) -> Array:
        """The exact advantages, ``(L,)``."""
        return on.advantage(on.value(pi))
