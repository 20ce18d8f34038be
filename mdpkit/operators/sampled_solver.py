"""What solvers that draw trajectories of log-linear policies have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mdpkit.errors import UnsupportedError
from mdpkit.models.canonical import Canonical
from mdpkit.models.sampling import check_count
from mdpkit.operators.log_linear import LogLinear, frozen, horizon
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import PolicySolver
from mdpkit.typing import Array, Floats

__all__ = ["SampledPolicyGradient", "single", "valued"]


@dataclass(frozen=True)
class SampledPolicyGradient(PolicySolver[Any]):
    """What the methods that draw trajectories of log-linear policies share."""

    randomized: ClassVar = True

    eta: Any = 1.0
    features: Any = None
    length: int | None = None

    def __post_init__(self) -> None:
        self.positive("eta")
        object.__setattr__(self, "features", frozen(self.features))
        if self.length is not None:
            check_count(self.length, "the length of trajectories", 1)

    def policies(self, problem: Canonical) -> LogLinear:
        """The class of policies on the problem."""
        return LogLinear(OnPolicy(problem), self.features)

    def horizon(self, policies: LogLinear) -> int:
        """The length of the trajectories."""
        return horizon(self.length, policies.gamma)

    def trace(self, problem: Canonical, marks: Any, rng: np.random.Generator) -> Floats:
        """The parameters after each of ``marks`` steps, in one compiled loop, ``(len(marks), d)``.

        From the same generator it draws the same trajectories as step after step, and comes to the same parameters up to
        rounding: for long runs whose values are not wanted on the way.

        Raises
        ------
        UnsupportedError
            If the method, or the method with these parameters, has no compiled loop.
        """
        loop, width, options = self._loop()
        steps = np.unique(np.asarray(marks, dtype=np.int64))
        policies = self.policies(problem)
        H, P, law = self.horizon(policies), problem.P, np.cumsum(policies.on.rho)
        out = np.empty((len(steps), policies.dim))
        u = rng.random((int(steps[-1]), width(H)))
        ptr = np.asarray(policies.ptr, dtype=np.int64)
        model = (policies.on.r, policies.gamma, policies.matrix, ptr, P.indptr, P.indices, P.cumulative)
        loop(u, law / law[-1], *model, float(self.eta), *options, steps, out)
        return out

    def _loop(self) -> tuple[Any, Any, tuple[Any, ...]]:
        """The compiled loop, how many numbers a step draws, and its options."""
        raise UnsupportedError(
            f"{type(self).__name__} with these parameters has no compiled loop", way_out="call iterates() instead"
        )


def single(H: int) -> int:
    """How many uniform numbers a trajectory takes."""
    return 1 + 2 * H


def valued(policies: LogLinear, theta: Array) -> tuple[Array, Array, float]:
    """The policy's logarithms, its exact value, and a bound on its distance to the optimum."""
    on = policies.on
    log_pi = policies.log_pi(theta)
    V = on.value(np.exp(log_pi))
    return log_pi, V, on.gap(V)
