r"""Mirror-descent value iteration in features: regression on a core set, and sums of all regressions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import ModelError, OptionError
from mdpkit.kernels import reference, softmax
from mdpkit.models.canonical import Canonical
from mdpkit.operators.backups import BackupRule, ExactBackup
from mdpkit.operators.feature_solver import FeatureSolver
from mdpkit.operators.linear_features import HUNDREDTH, LinearFeatures
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.weighted_regression import WeightedRegression
from mdpkit.solver import Answer
from mdpkit.typing import Array

__all__ = ["State", "WeightedLeastSquaresMDVI"]


class State(NamedTuple):
    r"""The last regression's coefficients and the discounted sum of all of them, with the values of both kinds.

    ``w`` (S,) is the maximum of the summed action values, ``V`` (S,) its increment v, which is backed up next; ``mass`` is
    :math:`A_k = \sum_{j<k} \alpha^j`.
    """

    theta: Array
    total: Array
    w: Array
    V: Array
    mass: Any
    k: int
    draws: int
    gap: float
    regression: WeightedRegression


@dataclass(frozen=True)
class WeightedLeastSquaresMDVI(FeatureSolver[State]):
    r"""WLS-MDVI: mirror-descent value iteration for linear MDPs, by weighted least squares on a core set.

    .. math::

       \theta_k &= \arg\min_\theta \sum_{i \in C_f} \frac{\rho_f(i)}{f_i^2}
                   \bigl(\phi_i^\top \theta - (r + \gamma \hat P_k v_{k-1})_i\bigr)^2, \qquad
       \bar\theta_k = \theta_k + \alpha \bar\theta_{k-1} \\
       w_k(s) &= \max_a \phi(s,a)^\top \bar\theta_k, \qquad v_k = w_k - \alpha w_{k-1}

    with a design :math:`\rho_f` that is G-optimal, up to :math:`\varepsilon`, for the features divided by f. The policy is
    greedy in :math:`\bar\theta_k`, and :math:`w_k / A_k`, :math:`A_k = (1-\alpha^k)/(1-\alpha)`, estimates the value.

    **Guarantee.** With exact backups the sums telescope, whatever f: :math:`\phi^\top\bar\theta_k = A_k r + \gamma P w_{k-1}`,
    and for :math:`\alpha = \gamma` the estimate converges at the rate :math:`k \gamma^k`; checked by ``vwls-mdvi:telescoping``.
    A regression whose matrix has 1/f in place of the square breaks that (``vwls-mdvi:one-over-f``). Where f is the standard
    deviation of what is observed, no pair's error is larger than :math:`f \sqrt{d(1+\varepsilon)}`
    (``vwls-mdvi:weighted-design``). With one-hot features and a positive temperature the method is mirror-descent value
    iteration (``vwls-mdvi:one-hot``).

    *Departures.* The maximum is that of temperature zero by default, the limit which the paper's analysis takes.

    Parameters
    ----------
    alpha : number, optional
        In [0, 1); the discount factor by default.
    scale : (L,) positive numbers, optional
        f; one by default.
    backup : BackupRule
        The backup at the core set: exact, disturbed or sampled; see :mod:`mdpkit.operators.backups`.
    temperature : number
        At least zero.
    eps : number
        How far from optimal the design may be.

    References
    ----------
    ``vwls-mdvi`` (Algorithm 1, recalled), ``md-vi``.

    Examples
    --------
    >>> import mdpkit as mk, numpy as np
    >>> mdp = mk.instances.make("linear-mdp", S=4, A=3, d=3)
    >>> sol = mk.solve(mdp, WeightedLeastSquaresMDVI(), max_steps=200)
    >>> bool(np.max(sol.certificate.upper - sol.certificate.lower) < 1e-5)
    True
    """

    cites: ClassVar = ("vwls-mdvi", "md-vi")
    claims: ClassVar = (
        "vwls-mdvi:telescoping",
        "vwls-mdvi:one-over-f",
        "vwls-mdvi:weighted-design",
        "vwls-mdvi:one-hot",
    )
    kinds: ClassVar = ("discounted",)
    sublinear: ClassVar = True

    alpha: Any = None
    scale: Any = None
    backup: BackupRule = field(default_factory=ExactBackup)
    temperature: Any = 0
    eps: Any = HUNDREDTH

    def __post_init__(self) -> None:
        self.positive("eps")
        self.not_negative("temperature")
        if self.alpha is not None:
            self.not_negative("alpha")
            if not self.alpha < 1:
                raise OptionError("alpha is out of range", found=self.alpha, needed="0 <= alpha < 1")
        if self.scale is not None:
            object.__setattr__(self, "scale", tuple(np.asarray(self.scale, dtype=object).ravel().tolist()))

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The design, and coefficients of zero.

        Raises
        ------
        ModelError
            If the features are of deficient rank, or the scale is not a positive number for each pair.
        """
        on = OnPolicy(problem)
        scale = None
        if self.scale is not None:
            if len(self.scale) != on.n_pairs:
                raise ModelError(
                    "scale and pairs differ in number", found=len(self.scale), needed=f"{on.n_pairs} numbers"
                )
            scale = on.number(np.array(self.scale, dtype=object))
        regression = WeightedRegression.of(on, scale, self.eps)
        zero = on.number(np.zeros(LinearFeatures(problem).dim))
        w = self.largest(on, on.number(np.zeros(on.n_pairs)))
        v = w - self.decay(on) * w
        return State(zero, zero, w, v, on.number(0.0), 0, 0, np.inf, regression)

    def decay(self, on: OnPolicy) -> Any:
        r""":math:`\alpha` in the problem's arithmetic."""
        return on.gamma[0] if self.alpha is None else on.number(self.alpha)

    def largest(self, on: OnPolicy, s: Array) -> Array:
        """The maximum of summed action values ``(L,)`` of each state, ``(S,)``."""
        if self.temperature == 0:
            return reference.best(s, on.pair_ptr)
        return softmax.soft_maximum(s, on.number(self.temperature), on.pair_ptr)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One regression."""
        on, alpha = OnPolicy(problem), self.decay(OnPolicy(problem))
        y, draws = self.backup(on, state.V, state.k + 1, rng, state.regression.core)
        theta = state.regression.fit(y)
        total = theta + alpha * state.total
        w = self.largest(on, state.regression.phi @ total)
        mass = 1 + alpha * state.mass
        gap = np.inf
        if isinstance(self.backup, ExactBackup) and y.dtype != object:
            mean = w / mass
            gap = on.span_gap(mean, on.q(mean))
        v = w - alpha * state.w
        return State(theta, total, w, v, mass, state.k + 1, state.draws + draws, gap, state.regression)

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The greedy policy, and the value's estimate."""
        s = state.regression.phi @ state.total
        V = state.w / state.mass if state.k else state.w
        return Answer(V, reference.greedy(s, problem.pair_ptr))
