"""What solvers that improve a randomized policy of a discounted problem have in common."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from mdpkit.models.canonical import Canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Array

__all__ = ["LogPolicy", "PenalizedSolver", "PolicySolver", "ProbabilityPolicy"]

S = TypeVar("S")


class LogPolicy(NamedTuple):
    """A policy, in logarithms, with its value."""

    log_pi: Array
    V: Array
    gap: float


class ProbabilityPolicy(NamedTuple):
    """A policy, some of whose probabilities may be zero, with its value."""

    pi: Array
    V: Array
    gap: float


class PolicySolver(IterativeSolver[S]):
    """A solver whose state holds a policy, in ``log_pi`` or ``pi``, and its value ``V``."""

    kinds: ClassVar[tuple[str, ...]] = ("discounted",)
    needs: ClassVar[str] = "one discount factor"
    sublinear: ClassVar[bool] = True

    def accepts(self, problem: Canonical) -> bool:
        """Whether the problem is discounted by one factor."""
        return super().accepts(problem) and problem.one_discount

    def policy(self, state: Any) -> Array:
        """The probabilities of pairs."""
        return state.pi if hasattr(state, "pi") else np.exp(state.log_pi)

    def start_log(self, problem: Canonical) -> LogPolicy:
        """The uniform policy, in logarithms."""
        pi, V, gap = self.start(problem)
        return LogPolicy(np.log(pi), V, gap)

    def start(self, problem: Canonical) -> ProbabilityPolicy:
        """The uniform policy."""
        return self.valued(OnPolicy(problem), OnPolicy(problem).uniform())

    def valued(self, on: OnPolicy, pi: Array) -> ProbabilityPolicy:
        """A policy with its value."""
        V = on.value(pi)
        return ProbabilityPolicy(pi, V, on.gap(V))

    def valued_log(self, on: OnPolicy, log_pi: Array) -> LogPolicy:
        """A policy, in logarithms, with its value."""
        V = on.value(np.exp(log_pi))
        return LogPolicy(log_pi, V, on.gap(V))

    def answer(self, problem: Canonical, state: Any) -> Answer:
        """The policy, and the value that the state holds for it."""
        return Answer(state.V, None, policy=self.policy(state))


class PenalizedSolver(PolicySolver[S]):
    """A policy solver with a KL penalty of weight ``lambda_`` to the last policy: it or the problem must regularize."""

    kinds: ClassVar[tuple[str, ...]] = ("discounted", "regularized")
    needs: ClassVar[str] = "one discount factor, and lambda_ > 0 unless it is regularized"

    lambda_: Any

    def __post_init__(self) -> None:
        self.not_negative("lambda_")

    def accepts(self, problem: Canonical) -> bool:
        """Whether the problem has one discount factor and something is regularized."""
        return super().accepts(problem) and (problem.kind == "regularized" or self.lambda_ > 0)
