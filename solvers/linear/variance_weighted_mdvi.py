r"""Mirror-descent value iteration in features whose regression is weighted by estimated variances."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import segments
from mdpkit.models.canonical import Canonical
from mdpkit.models.sampling import check_count
from mdpkit.operators import weighted_regression
from mdpkit.operators.backups import BackupRule, ExactBackup
from mdpkit.operators.feature_solver import FeatureSolver
from mdpkit.operators.linear_features import HUNDREDTH
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.weighted_regression import Differences, VarianceRule
from mdpkit.solver import Answer
from mdpkit.solvers.linear.weighted_least_squares_mdvi import State as Inner
from mdpkit.solvers.linear.weighted_least_squares_mdvi import WeightedLeastSquaresMDVI
from mdpkit.typing import Array

__all__ = ["State", "VarianceWeightedMDVI"]


class State(NamedTuple):
    """The state of the run that goes on, with the scale of its regression once there is one."""

    inner: Inner
    scale: Array | None
    variance: Array | None
    k: int
    draws: int
    gap: float

    @property
    def V(self) -> Array:
        """The value that the run backs up next."""
        return self.inner.V


@dataclass(frozen=True)
class VarianceWeightedMDVI(FeatureSolver[State]):
    r"""VWLS-MDVI: learn a value, estimate its variance at the next state, and learn again with errors weighted by it.

    .. math::

       f = \min\Bigl\{ \sqrt{\max(\hat\sigma^2, 0)} + \sqrt H,\; H \Bigr\}, \qquad H = \frac{1}{1-\gamma},

    where :math:`\hat\sigma^2(s,a)` estimates the variance of the first run's :math:`v` at the next state. The first run is
    :class:`WeightedLeastSquaresMDVI` with f = 1 and ``first`` steps; the second one, with this f, begins anew and goes on.

    **Guarantee.** Both runs and the change between them are pinned down by ``vwls-mdvi:phases``. Half the squared difference
    of two draws has the variance for its mean (``vwls-mdvi:drawn-variance``), but the variance is not linear in the features,
    and its regression may be off by a constant share of :math:`H^2` (``vwls-mdvi:regressed-variance``). On a family of models
    weighting by f from regressed moments takes :math:`H^3/\varepsilon^2` samples for a value where f = 1 takes
    :math:`H^4/\varepsilon^2` (``vwls-mdvi:horizon``); where the features are in a simplex with its corners, f = 1 is as good
    (``vwls-mdvi:anchors``).

    *Departures.* ``variance=Moments()`` regresses the first two moments, which are linear; the paper's is ``Differences()``.

    Parameters
    ----------
    first : int
        Steps of the first run.
    backup : BackupRule
        The backup of both runs: exact, disturbed or sampled.
    variance : VarianceRule
        :class:`~mdpkit.operators.weighted_regression.Differences` or
        :class:`~mdpkit.operators.weighted_regression.Moments`, with draws or exact.
    alpha : number, optional
        In [0, 1); the discount factor by default.
    eps : number
        How far from optimal the designs may be.

    References
    ----------
    ``vwls-mdvi`` (Algorithms 2 and 3, recalled; f and the regression as in the authors' code).

    Examples
    --------
    >>> import mdpkit as mk, numpy as np
    >>> mdp = mk.instances.make("linear-mdp", S=4, A=3, d=3)
    >>> sol = mk.solve(mdp, VarianceWeightedMDVI(first=20), max_steps=200)
    >>> bool(np.max(sol.certificate.upper - sol.certificate.lower) < 1e-5)
    True
    """

    cites: ClassVar = ("vwls-mdvi",)
    claims: ClassVar = (
        "vwls-mdvi:phases",
        "vwls-mdvi:drawn-variance",
        "vwls-mdvi:regressed-variance",
        "vwls-mdvi:horizon",
        "vwls-mdvi:anchors",
    )
    kinds: ClassVar = ("discounted",)
    sublinear: ClassVar = True

    first: int = 100
    backup: BackupRule = field(default_factory=ExactBackup)
    variance: VarianceRule = field(default_factory=Differences)
    alpha: Any = None
    eps: Any = HUNDREDTH

    def __post_init__(self) -> None:
        check_count(self.first, "the steps of the first run", 1)
        self.run()  # which checks the other parameters

    def run(self) -> WeightedLeastSquaresMDVI:
        """The method of the first run."""
        return WeightedLeastSquaresMDVI(alpha=self.alpha, backup=self.backup, eps=self.eps)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The first run's start."""
        return State(self.run().init(problem, rng), None, None, 0, 0, np.inf)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """A step of the run that goes on; after the first one, the variance and the second run's start come before."""
        inner, scale, variance, draws = state.inner, state.scale, state.variance, state.draws
        run = self.run()
        if state.k == self.first:
            on = OnPolicy(problem)
            found = self.variance(on, inner.regression, inner.V, rng)
            variance, draws = found.values, draws + found.draws
            horizon = 1 / (1 - float(segments.floats(on.gamma)[0]))
            scale = on.number(weighted_regression.deviation(segments.floats(variance), horizon))
            inner = replace(run, scale=scale).init(problem, rng)
        before = inner.draws
        inner = run.step(problem, inner, rng)
        return State(inner, scale, variance, state.k + 1, draws + inner.draws - before, inner.gap)

    def answer(self, problem: Canonical, state: State) -> Answer:
        """That of the run that goes on."""
        return self.run().answer(problem, state.inner)
