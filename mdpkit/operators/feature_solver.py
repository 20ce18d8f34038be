"""What solvers of linear MDPs share: which problems they take, and the draws and the design of their regressions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from mdpkit.kernels.rational import to_fraction
from mdpkit.models.canonical import Canonical
from mdpkit.models.sampling import check_count
from mdpkit.operators.linear_features import HUNDREDTH, has_features
from mdpkit.solver import IterativeSolver

__all__ = ["DesignSolver", "FeatureSolver"]

S = TypeVar("S")


@dataclass(frozen=True)
class FeatureSolver(IterativeSolver[S]):
    """A solver of models that are linear in features which they keep, with one discount factor."""

    needs: ClassVar = "features (an mk.LinearMDP) and one discount factor"

    def accepts(self, problem: Canonical) -> bool:
        """Whether the problem's model is linear in features that it keeps, and has one discount factor."""
        return super().accepts(problem) and problem.one_discount and has_features(problem)


@dataclass(frozen=True)
class DesignSolver(FeatureSolver[S]):
    """One that regresses on an optimal design, from exact moments or from ``samples`` draws."""

    samples: int | None = None
    eps: Any = HUNDREDTH

    def __post_init__(self) -> None:
        if self.samples is not None:
            check_count(self.samples, "the number of samples", 1)
        object.__setattr__(self, "eps", to_fraction(self.eps, what="eps"))
        self.positive("eps")
