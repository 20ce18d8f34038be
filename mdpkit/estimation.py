"""Estimating the value of a given policy, next to its exact value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.evaluation import evaluate
from mdpkit.kernels import segments
from mdpkit.models.canonical import canonical
from mdpkit.models.mdp import MDP
from mdpkit.models.sampling import check_count, check_generator
from mdpkit.operators.task import Task
from mdpkit.solver import Estimator
from mdpkit.typing import Array, Floats, Ints

__all__ = ["Estimate", "estimate"]

RECORDED = 64
"""About so many estimates are kept of a run, evenly on a scale of logarithms."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """An estimate of the value of a policy, with the exact value beside it.

    Attributes
    ----------
    value : (S,) or (L,) float
        The last estimate: of the states, or where the features are of pairs, of the admissible pairs (action values).
    exact : like value
        The value that :func:`mdpkit.evaluate` certifies.
    marks : (m,) int
        The steps after which the estimate was recorded; the first is 0.
    values : (m, S) or (m, L) float
        The recorded estimates.
    draws : int
        Transitions drawn; 0 for expected updates.
    fixed_point : like value, or None
        What the estimator tends to, if it says so.
    estimator : Estimator
    task : Task
    """

    value: Floats
    exact: Floats
    marks: Ints
    values: Floats
    draws: int
    fixed_point: Floats | None
    estimator: Estimator[Any] = field(repr=False)
    task: Task = field(repr=False)

    @property
    def steps(self) -> int:
        """The number of steps taken."""
        return int(self.marks[-1])

    @property
    def errors(self) -> Floats:
        """Largest error of each recorded estimate, ``(m,)``."""
        return np.max(np.abs(self.values - self.exact), axis=1)

    @cached_property
    def weighted_errors(self) -> Floats:
        r"""Errors :math:`\|\hat V - V^\pi\|_D` with the nodes weighted by how often the behavior visits them, ``(m,)``.

        Raises
        ------
        ModelError
            If the behavior has several recurrent classes and no weights were given.
        """
        d = self.task.weights / self.task.weights.sum()
        return np.sqrt(((self.values - self.exact) ** 2) @ d)

    @property
    def error(self) -> float:
        """Largest error of the last estimate."""
        return float(self.errors[-1])

    @property
    def fixed_point_error(self) -> float | None:
        """Largest error of the fixed point: what no number of steps removes; None where no fixed point is known."""
        return None if self.fixed_point is None else float(np.max(np.abs(self.fixed_point - self.exact)))

    def __repr__(self) -> str:
        limit = "" if self.fixed_point is None else f", fixed point off by {self.fixed_point_error:.3g}"
        what = "action values" if self.task.by_pairs else "values"
        return (
            f"Estimate({type(self.estimator).__name__}: {len(self.value)} {what}, {self.steps} steps, {self.draws} draws, "
            f"largest error {self.error:.3g}{limit})"
        )


def estimate(
    mdp: MDP,
    policy: Any,
    estimator: Estimator[Any] | str,
    *,
    steps: int,
    rng: np.random.Generator | None = None,
    behavior: Any = None,
    features: Any = None,
    weights: Any = None,
    marks: Iterable[int] | None = None,
) -> Estimate:
    """Estimate the value of a policy step by step, and compare with its exact value.

    Parameters
    ----------
    mdp : MDP
        Discounted, with one discount factor.
    policy : policy
        The target: a :class:`Stationary`, actions ``(S,)``, or probabilities ``(S, A)`` or ``(L,)``.
    estimator : Estimator or str
        For example :class:`mdpkit.solvers.evaluation.TemporalDifferences`, or its name, ``"temporal_differences?eta=0.1"``.
    steps : int
        Number of steps: of sampled methods, transitions.
    rng : numpy Generator, optional
        Needed by methods that draw.
    behavior : policy, optional
        The policy that the transitions come from; by default the target.
    features : "states", "pairs", (S, d) or (L, d) numbers, optional
        See :class:`mdpkit.operators.task.Task`; one a state by default.
    weights : (S,) numbers, optional
        How often expected updates visit each state; by default the stationary law of the behavior.
    marks : ints, optional
        The steps after which to record the estimate; by default about 64, evenly on a scale of logarithms.

    Returns
    -------
    Estimate

    Raises
    ------
    OptionError
        For an estimator that is none, or one that draws without a generator.
    UnsupportedError
        If the estimator does not value policies under the model's criterion.

    Examples
    --------
    Two features for four states, each shared by two neighbors, leave an error that no step removes:

    >>> import numpy as np, mdpkit as mk
    >>> from mdpkit.solvers.evaluation import TemporalDifferences
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> td = TemporalDifferences(eta=0.2, decay=0.001)
    >>> phi = [[1, 0], [1, 0], [0, 1], [0, 1]]
    >>> found = mk.estimate(mdp, [1, 1, 1, 1], td, steps=10_000, rng=np.random.default_rng(0), features=phi)
    >>> found.draws, found.fixed_point_error > 0.8
    (10000, True)
    >>> bool(np.max(np.abs(found.value - found.fixed_point)) < 0.5)
    True
    """
    if not isinstance(mdp, MDP):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError(
            "the first argument of estimate is no model", found=type(mdp).__name__, needed="an mdpkit.MDP"
        )
    if isinstance(estimator, str):
        from mdpkit.choose import estimator as named

        estimator = named(estimator)
    elif not isinstance(estimator, Estimator):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError(
            "this is no estimator",
            found=repr(estimator),
            needed="an estimator such as mdpkit.solvers.evaluation.TemporalDifferences(), or its name",
        )
    check_count(steps, "steps")
    if rng is not None:
        check_generator(rng)
    problem = canonical(mdp)
    if not estimator.accepts(problem):
        raise UnsupportedError(
            f"{type(estimator).__name__} does not value policies under {mdp.criterion}", needed=estimator.needs
        )
    task = Task(problem, policy, behavior, features, weights)
    at = _marks(int(steps), marks)
    kept: list[Array] = []
    with np.errstate(over="ignore", invalid="ignore"):  # an estimate that diverges does so without a word
        state = estimator.init(task, rng)
        for k in range(int(at[-1]) + 1):
            if k:
                state = estimator.step(task, state, rng)
            if k == at[len(kept)]:
                kept.append(problem.value(segments.floats(estimator.answer(task, state))))
    limit = estimator.fixed_point(task)
    return Estimate(
        value=kept[-1],
        exact=_exact(mdp, task),
        marks=at,
        values=np.array(kept),
        draws=int(state.draws),
        fixed_point=None if limit is None else problem.value(segments.floats(limit)),
        estimator=estimator,
        task=task,
    )


def _exact(mdp: MDP, task: Task) -> Floats:
    found = evaluate(mdp, task.pi)
    return np.asarray(found.Q[mdp.state, mdp.action] if task.by_pairs else found.V, dtype=np.float64)


def _marks(steps: int, marks: Iterable[int] | None) -> Ints:
    if marks is None:
        spaced = np.geomspace(1, max(steps, 1), RECORDED)
        return np.unique(np.concatenate(([0, steps], np.minimum(spaced.astype(np.int64), steps))))
    given = [int(k) for k in marks]
    if any(not 0 <= k <= steps for k in given):
        raise OptionError("a mark is out of range", found=given, needed=f"steps from 0 to {steps}")
    return np.unique(np.array([0, *given, steps], dtype=np.int64))
