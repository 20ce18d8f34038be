"""Where a claim meets the code under test: everything that is tested is reached through these functions.

The engine runs each claim again with a fault in the solver (see :mod:`mdpkit.claims.mutations`). The fault is there only
while the solver's own code runs, that is, inside the functions of this module; the judge's arithmetic stays sound.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mdpkit.environment import environment_of
from mdpkit.errors import UnsupportedError
from mdpkit.learner import Learner, View
from mdpkit.models.arithmetic import Arithmetic, in_arithmetic
from mdpkit.models.canonical import Canonical, canonical
from mdpkit.models.mdp import MDP
from mdpkit.operators.task import Task
from mdpkit.play import Round
from mdpkit.solver import Answer, DirectSolver, Estimator, IterativeSolver, Solver

if TYPE_CHECKING:
    from mdpkit.claims.mutations import Fault
    from mdpkit.regret import Regret

online: Any = import_module("mdpkit.play")  # by its full name: mdpkit.play is the function

__all__ = ["answer", "call", "estimates", "iterates", "play", "pose", "pose_task", "rounds", "under"]

T = TypeVar("T")


def _plain(mdp: MDP) -> MDP:
    """The model as it is."""
    return mdp


class _Deaf(Learner[Any]):
    """A learner that is not told of the first rounds."""

    learner: Learner[Any]
    rounds: int

    def __init__(self, learner: Learner[Any], rounds: int):
        for name, value in (("learner", learner), ("rounds", rounds), ("series", learner.series)):
            object.__setattr__(self, name, value)

    def accepts(self, view: View) -> bool:
        return self.learner.accepts(view)

    def begin(self, view: View, rng: np.random.Generator) -> Any:
        return self.learner.begin(view, rng)

    def policy(self, state: Any) -> Any:
        return self.learner.policy(state)

    def observe(self, state: Any, feedback: Any, rng: np.random.Generator) -> Any:
        first: int = feedback.t if hasattr(feedback, "t") else feedback.k
        return state if first < self.rounds else self.learner.observe(state, feedback, rng)

    def notes(self, state: Any) -> tuple[float, ...]:
        return self.learner.notes(state)

    def bound(self, view: View, rounds: Any) -> Any:
        return self.learner.bound(view, rounds)


_fault: ContextVar[Fault | None] = ContextVar("fault", default=None)
LONGEST = 100_000


@contextmanager
def under(fault: Fault | None) -> Generator[None]:
    """Run the block with a fault in whatever is tested."""
    token = _fault.set(fault)
    try:
        yield
    finally:
        _fault.reset(token)


@contextmanager
def _inside() -> Generator[None]:
    fault = _fault.get()
    if fault is None:
        yield
    else:
        with fault.installed():
            yield


def pose(
    mdp: MDP, solver: Solver | Estimator[Any] | None = None, arithmetic: Arithmetic = "float"
) -> tuple[Canonical, Any]:
    """The canonical problem in an arithmetic, and the solver, both as the code under test sees them.

    Raises
    ------
    UnsupportedError
        If the solver does not accept the problem.
    """
    fault = _fault.get()
    if fault is not None:
        mdp, solver = fault.problem(mdp), fault.solver(solver)
    problem = canonical(mdp)
    if solver is not None and not solver.accepts(problem):
        raise UnsupportedError(f"{type(solver).__name__} does not solve problems under {mdp.criterion}")
    return in_arithmetic(problem, arithmetic), solver


def iterates(
    mdp: MDP,
    solver: IterativeSolver[Any],
    n: int,
    *,
    arithmetic: Arithmetic = "ball",
    rng: np.random.Generator | None = None,
) -> Iterator[Any]:
    """The states 0 to n of an iterative solver, in floats, Fractions or balls."""
    with _inside():
        problem, tested = pose(mdp, solver, arithmetic)
        state = tested.init(problem, rng)
    fault = _fault.get()
    for _ in range(0 if fault is None else fault.skipped()):
        with _inside():
            state = tested.step(problem, state, rng)
    yield state
    for _ in range(n):
        with _inside():
            state = tested.step(problem, state, rng)
        yield state


def answer(
    mdp: MDP,
    solver: Solver,
    *,
    gap: float = 0.0,
    arithmetic: Arithmetic = "float",
    rng: np.random.Generator | None = None,
    most: int = LONGEST,
) -> Answer:
    """The raw answer of a solver, uncertified: of an iterative one, once it is finished or its gap is at most ``gap``."""
    with _inside():
        problem, tested = pose(mdp, solver, arithmetic)
        if isinstance(tested, DirectSolver):
            return tested.run(problem, rng)
        state = tested.init(problem, rng)
        for _ in range(most):
            if tested.finished(state) or state.gap <= gap:
                break
            state = tested.step(problem, state, rng)
        return tested.answer(problem, state)


def rounds(
    mdp: MDP, learner: Learner[Any], n: int, rng: np.random.Generator, *, wrap: Callable[[MDP], Any] = _plain
) -> Iterator[Round]:
    """The rounds of a learner, one by one, as its methods define them; its state may be changed in place by the next one.

    ``wrap`` makes the environment from the model: noise, an adversary, delays.
    """
    with _inside():
        tested, learner = _played(mdp, learner)
        playing = online.rounds(wrap(tested), learner, n, rng)
    for _ in range(n):
        with _inside():
            played = next(playing)
        yield played


def play(
    mdp: MDP,
    learner: Learner[Any],
    n: int,
    rng: np.random.Generator,
    *,
    wrap: Callable[[MDP], Any] = _plain,
    keep: bool = True,
    compiled: bool | None = None,
) -> Regret:
    """A whole run of a learner, with its history; where faults are to reach its functions, as its methods define it.

    ``compiled=True`` always takes the compiled loop, which only faults of the problem and of parameters reach.
    """
    with _inside():
        tested, learner = _played(mdp, learner, deaf=not compiled)
        environment = environment_of(wrap(tested))
        unit = "steps" if environment.base.problem.kind == "average" else "episodes"
        if compiled is None and _fault.get() is not None:
            compiled = False
        options: dict[str, Any] = {unit: n, "rng": rng, "keep": keep, "compiled": compiled}
        return online.play(environment, learner, **options)


def _played(mdp: MDP, learner: Any, *, deaf: bool = True) -> tuple[MDP, Any]:
    fault = _fault.get()
    if fault is None:
        return mdp, learner
    learner, lost = fault.solver(learner), fault.skipped() if deaf else 0
    return fault.problem(mdp), _Deaf(learner, lost) if lost else learner


def pose_task(
    mdp: MDP,
    policy: Any,
    estimator: Estimator[Any] | None = None,
    *,
    behavior: Any = None,
    features: Any = None,
    weights: Any = None,
    arithmetic: Arithmetic = "ball",
) -> tuple[Task, Any]:
    """The evaluation of a policy as a task in an arithmetic, and the estimator, as the code under test sees them."""
    with _inside():
        problem, tested = pose(mdp, estimator, arithmetic)
        return Task(problem, policy, behavior, features, weights), tested


def estimates(
    mdp: MDP,
    policy: Any,
    estimator: Estimator[Any],
    n: int,
    *,
    behavior: Any = None,
    features: Any = None,
    weights: Any = None,
    arithmetic: Arithmetic = "ball",
    rng: np.random.Generator | None = None,
) -> Iterator[Any]:
    """The states 0 to n of an estimator, in floats, Fractions or balls."""
    with _inside():
        task, tested = pose_task(
            mdp, policy, estimator, behavior=behavior, features=features, weights=weights, arithmetic=arithmetic
        )
        state = tested.init(task, rng)
    fault = _fault.get()
    for _ in range(0 if fault is None else fault.skipped()):
        with _inside():
            state = tested.step(task, state, rng)
    yield state
    for _ in range(n):
        with _inside():
            state = tested.step(task, state, rng)
        yield state


def call(function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Call any function as the code under test: an estimator, a kernel, an operator."""
    with _inside():
        fault = _fault.get()
        return (function if fault is None else fault.replaced(function))(*arguments, **options)
