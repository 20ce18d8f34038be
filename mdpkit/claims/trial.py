"""Where a claim meets the code under test: everything that is tested is reached through these functions.

The engine runs each claim again with a fault in the solver (see :mod:`mdpkit.claims.mutations`). The fault is there only
while the solver's own code runs, that is, inside the functions of this module; the judge's arithmetic stays sound.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mdpkit.errors import UnsupportedError
from mdpkit.models.arithmetic import Arithmetic, in_arithmetic
from mdpkit.models.canonical import Canonical, canonical
from mdpkit.models.mdp import MDP
from mdpkit.operators.task import Task
from mdpkit.solver import Answer, DirectSolver, Estimator, IterativeSolver, Solver

if TYPE_CHECKING:
    from mdpkit.claims.mutations import Fault

__all__ = ["answer", "call", "estimates", "iterates", "pose", "pose_task", "under"]

T = TypeVar("T")

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
