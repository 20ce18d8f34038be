"""Running a solver until a certified stop rule is met: the only loops over k."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mdpkit.certificates import Certificate, certify, certify_exact
from mdpkit.certificates.certificate import middle, width
from mdpkit.certificates.soft import no_rationals
from mdpkit.errors import ModelError, OptionError, UndefinedValueError, UnsupportedError
from mdpkit.models.canonical import Canonical, canonical
from mdpkit.models.criterion import Invariance, Reachability, TotalReward
from mdpkit.models.mdp import MDP
from mdpkit.models.policy import Markov, Stationary
from mdpkit.models.sampling import check_count
from mdpkit.solution import Solution, Status
from mdpkit.solver import Answer, DirectSolver, IterativeSolver, Solver

__all__ = ["Gap", "Residual", "Steps", "StopRule", "iterates", "run"]

logger = logging.getLogger("mdpkit")


@dataclass(frozen=True)
class StopRule:
    """Base of the stop rules."""

    def target(self, certificate: Certificate, problem: MDP) -> tuple[float, float]:
        """``(certified gap, largest gap allowed)``."""
        raise NotImplementedError


@dataclass(frozen=True)
class Gap(StopRule):
    r"""Stop when the certified bounds are close: ``upper - lower <= max(abs, rel * scale)``.

    Parameters
    ----------
    abs, rel : float
        Absolute and relative gap.
    where : {"all", "initial"} or None
        In all states, with the largest ``|V|`` as the scale, or at the initial state, whose value is then the scale. By
        default ``"initial"`` for reachability and total reward with a known initial state, else ``"all"``.
    """

    abs: float = 0.0
    rel: float = 1e-9
    where: str | None = None

    def __post_init__(self) -> None:
        for name in ("abs", "rel"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not value >= 0:
                raise OptionError(f"Gap's {name} is no tolerance", found=value, needed="a number >= 0")
        if self.where not in (None, "all", "initial"):
            raise OptionError("Gap's where is unknown", found=self.where, needed="'all' or 'initial'")

    def place(self, problem: MDP) -> str:
        """Where the gap is measured for this problem."""
        if self.where is not None:
            return self.where
        c = problem.criterion
        initial = isinstance(c, (Invariance, Reachability, TotalReward))
        return "initial" if initial and problem.rho is not None else "all"

    def _at_law(self, certificate: Certificate, problem: MDP) -> tuple[float, float] | None:
        """The bounds at the initial law, if the gap is measured there; a law of no value is an error if it was asked for."""
        if self.place(problem) != "initial":
            return None
        try:
            return certificate.initial(problem)
        except UndefinedValueError:
            if self.where is not None:
                raise
            return None

    def target(self, certificate: Certificate, problem: MDP) -> tuple[float, float]:
        """The certificate's gap and the largest allowed one."""
        bounds = self._at_law(certificate, problem)
        if bounds is not None:
            low, high = bounds
            gap = float(width(np.array(low), np.array(high)))
            scale = max(abs(low), abs(high)) if np.isfinite(low) and np.isfinite(high) else 0.0
            if low <= 0 <= high:
                scale = 0.0
            return gap, max(self.abs, self.rel * scale)
        lower, upper = (np.asarray(x, dtype=np.float64) for x in (certificate.lower, certificate.upper))
        finite = np.isfinite(lower) & np.isfinite(upper)
        scale = float(np.max(np.maximum(np.abs(lower[finite]), np.abs(upper[finite])), initial=0.0))
        return float(np.max(width(lower, upper), initial=0.0)), max(self.abs, self.rel * scale)


@dataclass(frozen=True)
class Residual(StopRule):
    """Stop when the last step changed no state by more than ``abs``. Says nothing about the error; the certificate does."""

    abs: float = 1e-9

    def __post_init__(self) -> None:
        if not isinstance(self.abs, (int, float)) or not self.abs >= 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise OptionError("Residual's abs is no tolerance", found=self.abs, needed="a number >= 0")


@dataclass(frozen=True)
class Steps(StopRule):
    """Stop after n steps. Says nothing about the error; the certificate does."""

    n: int = 1000

    def __post_init__(self) -> None:
        check_count(self.n, "Steps' n")


def iterates(mdp: MDP, solver: IterativeSolver[Any], rng: np.random.Generator | None = None) -> Iterator[Any]:
    """The states of an iterative solver, one by one, for ever: ``itertools.islice`` them.

    Values in the states are in the canonical (maximizing) form; for a maximizing model that is the model's own.
    """
    problem = _problem(mdp, solver)
    state = solver.init(problem, rng)
    while True:
        yield state
        state = solver.step(problem, state, rng)


def _problem(mdp: MDP, solver: Solver) -> Canonical:
    if not isinstance(solver, Solver):  # pyright: ignore[reportUnnecessaryIsInstance]
        a_class = isinstance(solver, type) and issubclass(solver, Solver)
        raise OptionError(
            "the solver is a class, not a solver" if a_class else "this is no solver",
            found=solver.__name__ if a_class else repr(solver),
            needed="a solver such as ValueIteration(), or the name of one",
            way_out=f"write {solver.__name__}()" if a_class else "leave it out, or see `mdpkit methods`",
        )
    problem = canonical(mdp)
    if not solver.accepts(problem):
        names = {"finite": "a finite-horizon", "average": "an average-reward", "regularized": "an entropy-regularized"}
        needed = f"{' or '.join(names.get(kind, f'a {kind}') for kind in solver.kinds)} problem"
        raise UnsupportedError(
            f"{type(solver).__name__} does not solve problems under {mdp.criterion}",
            needed=f"{needed} with {solver.needs}" if solver.needs else needed,
            way_out="call mdpkit.solve without a solver, or see `mdpkit methods`",
        )
    return problem


@np.errstate(over="ignore", invalid="ignore")  # a certificate refuses what overflows
def run(
    mdp: MDP,
    solver: Solver,
    *,
    until: StopRule | None = None,
    max_steps: int | None = None,
    exact: bool = False,
    dyadic: bool = False,
    rng: np.random.Generator | None = None,
    why: str = "",
    progress: Callable[[int, float, float], None] | None = None,
) -> Solution:
    """Run one solver and certify its answer; :func:`mdpkit.solve` calls this after choosing.

    Parameters
    ----------
    mdp : MDP
    solver : Solver
    until : StopRule
        ``Gap(rel=1e-9)`` by default.
    max_steps : int, optional
        Largest number of steps; one million by default.
    exact : bool
        Improve the answer in rational arithmetic until it is exactly optimal.
    dyadic : bool
        With ``exact``: take floats as their bits.
    rng : numpy Generator, optional
        For randomized solvers.
    progress : (step, gap, goal) -> None, optional
        Called as the run goes on.

    Returns
    -------
    Solution
        Also after Ctrl-C (status INTERRUPTED), with valid bounds.
    """
    problem = _problem(mdp, solver)
    if exact and problem.kind == "regularized":
        raise no_rationals()
    until = Gap() if until is None else until
    if not isinstance(until, StopRule):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError(
            "until is no stop rule",
            found=until,
            needed="Gap(…), Residual(…) or Steps(…)",
            way_out="until=mk.Gap(rel=1e-6)",
        )
    if max_steps is not None:
        check_count(max_steps, "max_steps")
    started = time.perf_counter()
    interrupted = False
    trace: list[tuple[int, float, float]] = []
    if isinstance(solver, IterativeSolver):
        iterative = cast("IterativeSolver[Any]", solver)
        answer, certificate, status, steps = _iterate(
            mdp, problem, iterative, until, max_steps, rng, trace, progress, certifying=not exact
        )
        interrupted = status is Status.INTERRUPTED
    else:
        assert isinstance(solver, DirectSolver)
        try:
            answer = solver.run(problem, rng)
        except KeyboardInterrupt:
            interrupted = True
            answer = Answer(np.zeros(problem.n_states), None)
            if problem.kind == "finite":
                raise
        steps = answer.steps
        certificate, status = None, Status.SOLVED
    if exact and not interrupted:
        try:
            certificate = certify_exact(mdp, answer.choice, dyadic=dyadic)
            if not certificate.valid:
                raise ModelError("the exact answer does not pass its check", found=certificate.checked)
            status = Status.EXACT
            answer = answer._replace(choice=certificate.choice)
        except KeyboardInterrupt:
            logger.warning("interrupted in rational arithmetic; the answer is that of floats")
            interrupted, status = True, Status.INTERRUPTED
    if certificate is None:
        certificate = certify(mdp, answer, quick=interrupted)
        if interrupted:
            status = Status.INTERRUPTED
        elif isinstance(until, Gap):
            gap, goal = until.target(certificate, mdp)
            status = Status.SOLVED if gap <= goal else Status.ROUNDING
    seconds = time.perf_counter() - started
    return _solution(mdp, problem, cast(Solver, solver), answer, certificate, status, steps, trace, why, seconds)


def _iterate(
    mdp: MDP,
    problem: Canonical,
    solver: IterativeSolver[Any],
    until: StopRule,
    max_steps: int | None,
    rng: np.random.Generator | None,
    trace: list[tuple[int, float, float]],
    progress: Callable[[int, float, float], None] | None,
    *,
    certifying: bool,
) -> tuple[Answer, Certificate | None, Status, int]:
    started = time.perf_counter()
    limit = 1_000_000 if max_steps is None else max_steps
    short = isinstance(until, Steps) and until.n > limit and max_steps is not None
    if isinstance(until, Steps) and not short:
        limit = until.n
    state = solver.init(problem, rng)
    steps = 0
    goal = _inner_goal(until, problem, solver, state)
    best: Certificate | None = None
    closest = np.inf  # the best certificate's gap where the rule measures it
    stalled = 0
    least, least_at = np.inf, 0
    status = Status.STEPS if short or not isinstance(until, Steps) else Status.SOLVED
    record, attempt = 1, 16
    try:
        while steps < limit:
            if state.gap < least:
                least, least_at = float(state.gap), steps
            # A gap that no longer falls at all has met the rounding of floats.
            stuck = isinstance(until, Gap) and np.isfinite(least) and steps > 2 * least_at + 1000 and not solver.stalls
            done = solver.finished(state) or stuck
            trying = solver.bounding and steps >= attempt and np.isfinite(state.gap)
            if (
                done
                or (isinstance(until, Gap) and (state.gap <= goal or trying))
                or (isinstance(until, Residual) and steps and getattr(state, "residual", state.gap) <= until.abs)
            ):
                if not isinstance(until, Gap):
                    status = Status.SOLVED
                    break
                if not certifying and done:
                    status = Status.SOLVED
                    break
                try:
                    certificate = certify(mdp, solver.answer(problem, state))
                except ModelError:
                    if certifying:
                        raise
                    break  # numbers beyond floats are left to rational arithmetic
                gap, allowed = until.target(certificate, mdp)
                logger.debug("step %d: certified gap %.3g, goal %.3g", steps, gap, allowed)
                if best is None or gap <= closest:
                    stalled = stalled + 1 if best is not None and gap >= 0.5 * closest else 0
                    best, closest = certificate, gap
                else:
                    stalled += 1
                if gap <= allowed:
                    if not trace or trace[-1][0] < steps:
                        trace.append((steps, float(state.gap), time.perf_counter() - started))
                    return solver.answer(problem, state), certificate, Status.SOLVED, steps
                if done or (stalled >= 3 and not trying):
                    status = Status.STALLED if solver.sublinear and solver.finished(state) else Status.ROUNDING
                    break
                if trying:
                    attempt = 2 * steps
                goal = min(goal, state.gap) / 4 if np.isfinite(state.gap) else goal / 4
            state = solver.step(problem, state, rng)
            steps += 1
            if steps == record:
                trace.append((steps, float(state.gap), time.perf_counter() - started))
                record = max(steps + 1, int(record * 1.3))
            if progress is not None:
                progress(steps, float(state.gap), goal)
    except KeyboardInterrupt:
        logger.warning("interrupted after %d steps", steps)
        return solver.answer(problem, state), None, Status.INTERRUPTED, steps
    answer = solver.answer(problem, state)
    certificate = None
    if certifying:
        certificate = certify(mdp, answer)
        if isinstance(until, Gap):
            gap, allowed = until.target(certificate, mdp)
            if best is not None and closest < gap:
                certificate = best
                gap, allowed = until.target(certificate, mdp)
            if gap <= allowed:
                status = Status.SOLVED
    trace.append((steps, float(state.gap), time.perf_counter() - started))
    return answer, certificate, status, steps


def _inner_goal(until: StopRule, problem: Canonical, solver: IterativeSolver[Any], state: Any) -> float:
    """A first gap at which certifying is worth trying; refined by what the certificates say."""
    if not isinstance(until, Gap):
        return 0.0
    gamma = float(np.max(problem.gamma, initial=0.0))
    largest = float(np.max(np.abs(problem.r), initial=0.0))
    scale = largest / (1 - gamma) if gamma < 1 else max(largest, 1.0)
    return max(until.abs, until.rel * scale)


def _solution(
    mdp: MDP,
    problem: Canonical,
    solver: Solver,
    answer: Answer,
    certificate: Certificate,
    status: Status,
    steps: int,
    trace: list[tuple[int, float, float]],
    why: str,
    seconds: float,
) -> Solution:
    exact = certificate.lower if certificate.arithmetic == "exact" else None
    if exact is not None:
        try:
            V = exact.astype(np.float64)
        except OverflowError:
            raise ModelError(
                "an exact value is beyond the range of floats",
                needed="numbers below 1e308",
                way_out="choose a larger unit",
            ) from None
    else:
        lower, upper = certificate.lower, certificate.upper
        inner = problem.value(answer.V)
        if not certificate.whole or inner.shape != lower.shape:
            inner = inner[0] if inner.ndim == 2 else inner
        close = problem.kind != "average" and np.all((lower <= inner) & (inner <= upper))  # an average's V is the bias
        if close:
            V = inner
        elif answer.policy is not None and not status.ok:  # on its way: what the policy is certified to be worth
            V = lower if problem.sign > 0 else upper
        else:
            V = middle(lower, upper)
    pi: Any
    if certificate.policy is not None:
        pi = Stationary.of(mdp, certificate.policy)
    elif certificate.choice.ndim == 2:
        pi = Markov(tuple(Stationary.from_pairs(mdp, stage) for stage in certificate.choice))
    else:
        pi = Stationary.from_pairs(mdp, certificate.choice)
    dual = answer.dual
    return Solution(
        V=V,
        pi=pi,
        status=status,
        steps=steps,
        solver=solver,
        certificate=certificate,
        problem=mdp,
        dual=dual,
        exact=exact,
        trace=tuple((step, gap) for step, gap, _ in trace),
        times=tuple(at for *_, at in trace),
        why=why,
        seconds=seconds,
        last_policy=_last_policy(mdp, answer.policy),
    )


def _last_policy(mdp: MDP, weights: Any) -> Any:
    """A method's own randomized policy; ``(H, L)`` where it depends on the stage."""
    if weights is None:
        return None
    return Markov.of(mdp, weights) if weights.ndim == 2 else Stationary.of(mdp, weights)
