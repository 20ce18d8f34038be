r"""Policy gradient for general utilities with a linear model of the occupancy, for state spaces too large to count visits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import ModelError, OptionError
from mdpkit.models.canonical import Canonical
from mdpkit.models.sampling import check_count
from mdpkit.operators.log_linear import LogLinear, Trajectories, frozen, generator
from mdpkit.operators.sampled_solver import SampledPolicyGradient, valued
from mdpkit.operators.utilities import Return, Utility
from mdpkit.typing import Array

__all__ = ["OccupancyRegressionPolicyGradient", "State"]


class State(NamedTuple):
    """Parameters, the weights of the occupancy's model, and what the last step drew.

    ``batches`` are the trajectories of the regression and those of the gradient, ``pairs`` where the regression
    looked. ``V`` is an exact evaluation of the policy under the model's rewards, which the method itself never reads.
    """

    theta: Array
    weights: Array
    log_pi: Array
    V: Array
    gap: float
    k: int
    draws: int
    batches: tuple[Trajectories, Trajectories] | None
    pairs: Array | None


@dataclass(frozen=True)
class OccupancyRegressionPolicyGradient(SampledPolicyGradient):
    r"""Policy gradient for a concave utility F of the occupancy, which a linear model approximates.

    .. math::

       \omega \leftarrow \omega - 2\alpha \bigl(\langle \psi(x_i), \omega\rangle - \hat\lambda_i(x_i)\bigr) \psi(x_i), \;
       i = 1, \dots, n, \qquad
       \theta_{k+1} = \theta_k + \frac{\eta}{N} \sum_{j=1}^N g(\tau_j, \theta_k, r), \quad r = \nabla F(\Psi\omega)

    The regression is by stochastic gradient steps on pairs :math:`x_i` drawn uniformly, with the discounted visits
    :math:`\hat\lambda_i` of a trajectory of its own for each, and starts from zero at every step of the policy. The
    trajectories of the gradient are others, so that the rewards do not know them.

    **Guarantee.** The mean step of the regression is a gradient step on the squared error, and vanishes at its
    least-squares fit (``n-vr-pg:occupancy-regression``).

    *Departures.* Pairs are drawn uniformly, and the last iterate of the regression is used.

    Parameters
    ----------
    eta : number
        Step size of the policy, positive.
    features : None, "minimal", or (L, d) numbers
        Of the policy: tabular softmax, tabular softmax with the last logit of each state fixed at zero, or the features of a
        log-linear policy.
    length : int, optional
        Length of the trajectories; by default such that a hundredth of the discounted weight is left out.
    utility : Utility, optional
        What is maximized, see :mod:`mdpkit.operators.utilities`; by default the return. The certificate is about the return.
    model : None, or (L, m) numbers
        Features :math:`\psi` of the occupancy; by default one a pair.
    alpha : number
        Step size of the regression, positive.
    regression, episodes : int
        Trajectories a step for the regression and for the gradient.

    References
    ----------
    ``n-vr-pg`` (Section 5, recalled).

    Examples
    --------
    >>> import mdpkit as mk, numpy as np
    >>> from mdpkit.operators.utilities import Distance
    >>> mdp = mk.MDP([[[1.0], [1.0]]], [[0.2, 0.8]], mk.Discounted("1/2"), rho=0)
    >>> solver = OccupancyRegressionPolicyGradient(eta=0.1, length=8, utility=Distance((1.5, 0.5)))
    >>> sol = mk.solve(mdp, solver, max_steps=200, rng=np.random.default_rng(0))
    >>> bool(0.65 < sol.last_policy[0, 0] < 0.85)
    True
    """

    cites: ClassVar = ("n-vr-pg",)
    claims: ClassVar = ("n-vr-pg:occupancy-regression",)

    utility: Utility | None = None
    model: Any = None
    alpha: Any = 0.1
    regression: int = 30
    episodes: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        self.positive("alpha")
        check_count(self.regression, "regression", 1)
        check_count(self.episodes, "episodes", 1)
        if isinstance(self.model, str):
            raise OptionError(
                "the model of the occupancy is no matrix", found=self.model, needed="None or (L, m) numbers"
            )
        object.__setattr__(self, "model", frozen(self.model))

    @property
    def objective(self) -> Utility:
        """The utility, or the return."""
        return Return() if self.utility is None else self.utility

    def basis(self, policies: LogLinear) -> Array:
        """Features of the occupancy, ``(L, m)``.

        Raises
        ------
        ModelError
            If they have not a row for each pair.
        """
        L = policies.on.n_pairs
        if self.model is not None and len(self.model) != L:
            raise ModelError("features and pairs differ in number", found=len(self.model), needed=f"{L} rows")
        rows = np.eye(L) if self.model is None else np.asarray(self.model, dtype=object)
        return policies.on.number(rows)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The uniform policy."""
        policies = self.policies(problem)
        theta = policies.zeros()
        weights = policies.on.number(np.zeros(self.basis(policies).shape[1]))
        return State(theta, weights, *valued(policies, theta), 0, 0, None, None)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """Fit the occupancy, take its utility's derivatives as rewards, and follow their gradient."""
        policies, rng = self.policies(problem), generator(rng, state.k)
        on, H, psi = policies.on, self.horizon(policies), self.basis(policies)
        pi = np.exp(state.log_pi)
        pairs = np.minimum((rng.random(self.regression) * on.n_pairs).astype(np.int64), on.n_pairs - 1)
        fitted = policies.draw(pi, rng, self.regression, H)
        visits = policies.occupancies(fitted)
        weights = on.number(np.zeros(psi.shape[1]))
        for i, x in enumerate(pairs):
            weights = weights + on.number(self.alpha) * self.direction(psi[x], visits[i, x], weights)
        batch = policies.draw(pi, rng, self.episodes, H)
        r = self.objective.gradient(on, psi @ weights)
        theta = state.theta + on.number(self.eta) * policies.gradients(batch, pi, r).sum(axis=0) / self.episodes
        draws = state.draws + fitted.draws + batch.draws
        return State(theta, weights, *valued(policies, theta), state.k + 1, draws, (fitted, batch), pairs)

    @staticmethod
    def direction(row: Array, visits: Any, weights: Array) -> Array:
        """Minus the gradient of the squared error at one pair, ``(m,)``."""
        return 2 * (visits - row @ weights) * row
