r"""N-VR-PG: normalized variance-reduced policy gradient, for the return and for general utilities of the occupancy."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import momentum
from mdpkit.models.canonical import Canonical
from mdpkit.operators.log_linear import Trajectories, generator
from mdpkit.operators.sampled_solver import SampledPolicyGradient, valued
from mdpkit.operators.utilities import Return, Utility
from mdpkit.typing import Array

__all__ = ["NormalizedVarianceReducedPolicyGradient", "State"]


class State(NamedTuple):
    """Parameters now and before, estimates of occupancy and gradient, and the lagged rewards.

    ``reward`` is :math:`r_{t-1}`, ``lagged`` :math:`r_{t-2}`; ``V`` is an exact evaluation of the policy under the
    model's rewards, which the method itself never reads.
    """

    theta: Array
    previous: Array
    occupancy: Array
    direction: Array
    reward: Array
    lagged: Array
    log_pi: Array
    V: Array
    gap: float
    k: int
    draws: int
    batch: Trajectories | None


@dataclass(frozen=True)
class NormalizedVarianceReducedPolicyGradient(SampledPolicyGradient):
    r"""Normalized variance-reduced policy gradient for a concave utility F of the occupancy; one trajectory a step.

    .. math::

       \lambda_t &= \beta_t \hat\lambda(\tau_t) + (1-\beta_t) \bigl(\lambda_{t-1} + (1 - w_t) \hat\lambda(\tau_t)\bigr), \qquad
                    r_t = \nabla F(\lambda_t), \quad w_t = \frac{p(\tau_t|\theta_{t-1})}{p(\tau_t|\theta_t)} \\
       d_t &= \beta_t\, g(\tau_t, \theta_t, r_{t-1}) + (1-\beta_t) \bigl(d_{t-1} + g(\tau_t, \theta_t, r_{t-1})
              - w_t\, g(\tau_t, \theta_{t-1}, r_{t-2})\bigr) \\
       \theta_{t+1} &= \theta_t + \frac{\eta}{(t+2)^{p}} \frac{d_t}{\|d_t\|}, \qquad
                       \beta_t = (2/(t+2))^{p}, \; \tau_t \sim \pi_{\theta_t}

    The rewards lag by one step, since :math:`r_t` depends on the trajectory. The start is the uniform policy and an
    occupancy of zero.

    **Guarantee.** The gradient of F is the policy gradient of the rewards :math:`\nabla F` (``n-vr-pg:gradient``).
    Given the past, both corrections are unbiased, which the lag and the direction of the ratio ensure
    (``n-vr-pg:occupancy-correction``, ``n-vr-pg:lagged-estimate``).

    *Departures.* The schedules are recalled: p = 2/3 for stationary points, p = 1 for optima.

    Parameters
    ----------
    eta : number
        Scale of the steps, positive.
    features : None, "minimal", or (L, d) numbers
        Tabular softmax, tabular softmax with the last logit of each state fixed at zero, or the features of a
        log-linear policy.
    length : int, optional
        Length of the trajectories; by default such that a hundredth of the discounted weight is left out.
    utility : Utility, optional
        What is maximized, see :mod:`mdpkit.operators.utilities`; by default the return. The certificate is about the return.
    power : number
        The exponent p of the schedules, in (0, 1].

    References
    ----------
    ``n-vr-pg`` (Algorithm 1, recalled).

    Examples
    --------
    >>> import mdpkit as mk, numpy as np
    >>> from mdpkit.operators.utilities import Distance
    >>> mdp = mk.MDP([[[1.0], [1.0]]], [[0.2, 0.8]], mk.Discounted("1/2"), rho=0)
    >>> solver = NormalizedVarianceReducedPolicyGradient(eta=0.3, power=1, length=8, utility=Distance((1.5, 0.5)))
    >>> sol = mk.solve(mdp, solver, max_steps=300, rng=np.random.default_rng(0))
    >>> sol.last_policy[0].round(1).tolist()
    [0.8, 0.2]
    """

    cites: ClassVar = ("n-vr-pg",)
    claims: ClassVar = ("n-vr-pg:gradient", "n-vr-pg:occupancy-correction", "n-vr-pg:lagged-estimate")

    utility: Utility | None = None
    power: Any = Fraction(2, 3)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.power <= 1:
            raise OptionError("the exponent of the schedules is out of range", found=self.power, needed="(0, 1]")

    @property
    def objective(self) -> Utility:
        """The utility, or the return."""
        return Return() if self.utility is None else self.utility

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The uniform policy, at rest."""
        policies = self.policies(problem)
        theta = policies.zeros()
        nothing = policies.on.number(np.zeros(policies.on.n_pairs))
        r = self.objective.gradient(policies.on, nothing)
        return State(theta, theta, nothing, theta, r, r, *valued(policies, theta), 0, 0, None)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """Correct and mix both estimates with one trajectory, and take a step of known length."""
        policies, t = self.policies(problem), state.k
        on = policies.on
        weight = on.number(Fraction(2, t + 2)) ** on.number(self.power)
        batch = policies.draw(np.exp(state.log_pi), generator(rng, t), 1, self.horizon(policies))
        visits, shift, g, change = (x[0] for x in self.corrections(policies, batch, state))
        occupancy = momentum.recursive(state.occupancy, visits, shift, weight)
        direction = momentum.recursive(state.direction, g, change, weight)
        alpha = on.number(self.eta) / on.number(Fraction(t + 2)) ** on.number(self.power)
        theta = momentum.normalized(state.theta, direction, alpha)
        r = self.objective.gradient(on, occupancy)
        return State(
            theta,
            state.theta,
            occupancy,
            direction,
            r,
            state.reward,
            *valued(policies, theta),
            t + 1,
            state.draws + batch.draws,
            batch,
        )

    def corrections(self, policies: Any, batch: Trajectories, state: State) -> tuple[Array, Array, Array, Array]:
        r"""For each trajectory, what estimates the occupancy, its change, the gradient, and its change.

        That is :math:`\hat\lambda`, :math:`(1-w) \hat\lambda`, :math:`g(\tau, \theta_t, r_{t-1})` and
        :math:`g(\tau, \theta_t, r_{t-1}) - w\, g(\tau, \theta_{t-1}, r_{t-2})`.
        """
        log_before = policies.log_pi(state.previous)
        w = policies.ratios(batch, state.log_pi, log_before)[:, None]
        visits = policies.occupancies(batch)
        g = policies.gradients(batch, np.exp(state.log_pi), state.reward)
        before = policies.gradients(batch, np.exp(log_before), state.lagged)
        return visits, (1 - w) * visits, g, g - w * before
