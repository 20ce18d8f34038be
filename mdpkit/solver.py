"""The abstract classes of all algorithms: hyper-parameters in a frozen dataclass, state in a NamedTuple, no loops."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.models.canonical import Canonical
from mdpkit.typing import Array, Ints

if TYPE_CHECKING:
    from mdpkit.operators.task import Task

__all__ = ["Answer", "DirectSolver", "Estimator", "IterativeSolver", "Method", "Solver"]

State = TypeVar("State")


class Answer(NamedTuple):
    """A solver's raw answer, in the canonical (maximizing) form; nobody believes it until it is certified.

    ``below`` and ``above`` are bounds the solver offers, if any; the certificate checks them. For average reward V is a
    bias, or any relative values. ``policy`` holds the probabilities of pairs ``(L,)`` of a method's own randomized policy,
    ``(H, L)`` where it depends on the stage.
    """

    V: Array
    choice: Ints | None
    below: Array | None = None
    above: Array | None = None
    dual: Array | None = None
    steps: int = 1
    policy: Array | None = None


@dataclass(frozen=True)
class Method(ABC):
    """Base of solvers and learners: hyper-parameters in a frozen dataclass.

    Class attributes: ``cites`` (keys of ``docs/references.bib``), ``claims`` (ids of the statements promised in the
    docstring) and ``kinds``, the canonical problems it accepts.
    """

    cites: ClassVar[tuple[str, ...]] = ()
    claims: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[str] = ""

    def positive(self, *names: str) -> None:
        """Check that parameters are positive numbers, and finite.

        Raises
        ------
        OptionError
            If one is not.
        """
        for name in names:
            if not self._number(name, f"{name} > 0") > 0:
                raise OptionError(f"{name} is not positive", found=getattr(self, name), needed=f"{name} > 0")

    def not_negative(self, *names: str) -> None:
        """Check that parameters are zero or positive numbers, and finite.

        Raises
        ------
        OptionError
            If one is not.
        """
        for name in names:
            if not self._number(name, f"{name} >= 0") >= 0:
                raise OptionError(f"{name} is negative", found=getattr(self, name), needed=f"{name} >= 0")

    def probability(self, *names: str) -> None:
        """Check that parameters are numbers strictly between zero and one.

        Raises
        ------
        OptionError
            If one is not.
        """
        for name in names:
            if not 0 < self._number(name, f"0 < {name} < 1") < 1:
                raise OptionError(f"{name} is no probability", found=getattr(self, name), needed=f"0 < {name} < 1")

    def _number(self, name: str, needed: str) -> Any:
        value = getattr(self, name)
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            raise OptionError(f"{name} is no finite number", found=repr(value), needed=needed)
        return value


@dataclass(frozen=True)
class Solver(Method):
    """Base of all solvers.

    Class attributes: ``cites`` (keys of ``docs/references.bib``), ``claims`` (ids of the statements promised in the
    docstring) and ``kinds``, the canonical problems it accepts (``"discounted"``, ``"finite"``, ``"total"``, ``"average"``,
    ``"regularized"``). Where :meth:`accepts` asks for more, ``needs`` says what; ``randomized`` solvers draw from the generator
    they are given; ``sublinear`` ones come near the solution too slowly for a narrow gap, or not to it at all: give
    ``max_steps``.
    """

    randomized: ClassVar[bool] = False
    sublinear: ClassVar[bool] = False

    def accepts(self, problem: Canonical) -> bool:
        """Whether the solver solves problems of this kind."""
        return problem.kind in self.kinds


@dataclass(frozen=True)
class IterativeSolver(Solver, Generic[State]):
    """A solver that improves a state step by step.

    The state is a NamedTuple with a field ``gap``: a bound, in the scale of the stop rule, on the width of the
    certificate that :meth:`answer` would give (``inf`` where none is known yet). ``bounding`` solvers carry bounds in
    their state, so that certifying costs one check and is tried as the run goes on. A solver that ``stalls`` may keep its
    gap for long before it falls again; it says itself when it is :meth:`finished`.
    """

    bounding: ClassVar[bool] = False
    stalls: ClassVar[bool] = False

    @abstractmethod
    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The first state."""

    @abstractmethod
    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """The next state."""

    @abstractmethod
    def answer(self, problem: Canonical, state: State) -> Answer:
        """The answer that the state holds."""

    def finished(self, state: Any) -> bool:
        """Whether further steps would change nothing."""
        return False


@dataclass(frozen=True)
class DirectSolver(Solver):
    """A solver that runs to its end in one call."""

    @abstractmethod
    def run(self, problem: Canonical, rng: np.random.Generator | None = None) -> Answer:
        """Solve the problem."""


@dataclass(frozen=True)
class Estimator(Method, Generic[State]):
    """A method that estimates the value of a policy, on a :class:`~mdpkit.operators.task.Task`.

    Class attributes are those of a :class:`Solver`. The state is a NamedTuple with a field ``draws``: the transitions drawn
    so far, which stays zero for exact (expected) updates. Those are written once for floats, Fractions and balls.
    """

    cites: ClassVar[tuple[str, ...]] = ()
    claims: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[str, ...]] = ("discounted",)
    needs: ClassVar[str] = "one discount factor"
    randomized: ClassVar[bool] = False

    def accepts(self, problem: Canonical) -> bool:
        """Whether the estimator values policies of problems of this kind."""
        return problem.kind in self.kinds and problem.one_discount

    @abstractmethod
    def init(self, task: Task, rng: np.random.Generator | None = None) -> State:
        """The first state."""

    @abstractmethod
    def step(self, task: Task, state: State, rng: np.random.Generator | None = None) -> State:
        """The next state."""

    @abstractmethod
    def answer(self, task: Task, state: State) -> Array:
        """The estimate on the task's nodes, ``(S,)`` or, of action values, ``(L,)``."""

    def fixed_point(self, task: Task) -> Array | None:
        """What the estimates tend to, exactly, on the task's nodes; None where no such thing is known."""
        return None
