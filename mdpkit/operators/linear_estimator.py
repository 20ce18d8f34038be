"""What linear temporal-difference methods have in common: traces along a trajectory, or their exact means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from mdpkit.errors import ModelError, OptionError
from mdpkit.kernels import traces
from mdpkit.operators.projected import Moments, moments, projected_value
from mdpkit.operators.task import Task, Transition
from mdpkit.solver import Estimator
from mdpkit.typing import Array

__all__ = ["LinearEstimator", "SteppingEstimator", "Walk", "number_tuple"]

S = TypeVar("S")


class Walk(NamedTuple):
    """Where a trajectory is, and what it carries along.

    ``e`` is the eligibility trace ``(d,)`` before the importance ratio of the last action of a state counts, ``follow`` the
    follow-on trace of emphatic methods, ``ratio`` that importance ratio.
    """

    at: int
    e: Array
    follow: Any
    ratio: Any


def number_tuple(values: Any, what: str) -> tuple[Any, ...] | None:
    """Numbers as a frozen dataclass keeps them.

    Raises
    ------
    OptionError
        For what is no vector.
    """
    if values is None:
        return None
    rows = np.asarray(values, dtype=object)
    if isinstance(values, str) or rows.ndim != 1 or not rows.size:
        raise OptionError(f"{what} is no vector of numbers", found=values, needed="None, or a number for each feature")
    return tuple(rows.tolist())


@dataclass(frozen=True)
class LinearEstimator(Estimator[S]):
    """A method that draws one transition a step and carries an eligibility trace, or takes the exact means of them."""

    randomized: ClassVar[bool] = True
    emphatic: ClassVar[bool] = False

    lambda_: Any = 0
    expected: bool = False

    def __post_init__(self) -> None:
        self.not_negative("lambda_")
        if self.lambda_ > 1:
            raise OptionError("lambda_ is above one", found=self.lambda_, needed="0 <= lambda_ <= 1")
        if not isinstance(self.expected, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise OptionError("expected is neither true nor false", found=self.expected, needed="True or False")

    def walk(self, task: Task, rng: np.random.Generator | None) -> Walk | None:
        """The start of a trajectory; None for expected updates."""
        return None if self.expected else self.walk_from(task, task.start(rng))

    def walk_from(self, task: Task, state: int) -> Walk:
        """The start of a trajectory in a state."""
        zero = task.gamma * 0
        return Walk(state, task.zeros(), zero, zero + 1)

    def extended(self, task: Task, walk: Walk, seen: Transition) -> Walk:
        """The trajectory after one more transition.

        For values of states the ratio of the action before decays the trace; for action values, that of the action at hand.
        """
        into = task.ratio[seen.pair] if task.by_pairs else walk.ratio
        lambda_, phi = task.on.number(self.lambda_), task.phi[task.node(seen)]
        follow = traces.accumulated(walk.follow, task.gamma * into, 1)
        if self.emphatic:
            phi = (lambda_ + (1 - lambda_) * follow) * phi
        return Walk(
            seen.next_state, traces.accumulated(walk.e, task.gamma * lambda_ * into, phi), follow, task.ratio[seen.pair]
        )

    def eligibility(self, task: Task, walk: Walk) -> Array:
        """What the last temporal difference is credited to, ``(d,)``."""
        return walk.e if task.by_pairs else walk.ratio * walk.e

    def difference(self, task: Task, seen: Transition) -> tuple[Array, Any]:
        r"""The temporal difference :math:`\delta = r - x^\top w` of a transition as x, ``(d,)``, and r."""
        x = task.phi[task.node(seen)] - task.gamma * task.next_phi[seen.next_state]
        return x, task.on.r[seen.pair]

    def moments(self, task: Task) -> Moments:
        """The means of what is drawn."""
        return moments(task, self.lambda_, emphatic=self.emphatic)

    def fixed_point(self, task: Task) -> Array | None:
        """The solution of the projected equation; None if it has not just one."""
        return projected_value(task, self.lambda_, emphatic=self.emphatic)


@dataclass(frozen=True)
class SteppingEstimator(LinearEstimator[S]):
    r"""One that steps by :math:`\eta_k = \eta / (1 + k \cdot \mathrm{decay})` from the parameters ``start``."""

    eta: Any = 0.1
    decay: Any = 0
    start: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.positive("eta")
        self.not_negative("decay")
        object.__setattr__(self, "start", number_tuple(self.start, "start"))

    def first(self, task: Task) -> Array:
        """The parameters to begin with, ``(d,)``.

        Raises
        ------
        ModelError
            If they are not as many as the features.
        """
        if self.start is None:
            return task.zeros()
        if len(self.start) != task.dim:
            raise ModelError("start and features differ in number", found=len(self.start), needed=f"{task.dim} numbers")
        return task.on.number(np.array(self.start, dtype=object))

    def step_size(self, task: Task, k: int) -> Any:
        """The size of step k."""
        return task.on.number(self.eta) / (1 + k * task.on.number(self.decay))
