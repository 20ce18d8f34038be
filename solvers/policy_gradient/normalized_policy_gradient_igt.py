r"""N-PG-IGT: normalized policy gradient whose average of estimates is transported to where the parameters have moved."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import momentum
from mdpkit.models.canonical import Canonical
from mdpkit.models.sampling import check_count
from mdpkit.operators.log_linear import Trajectories, generator
from mdpkit.operators.sampled_solver import SampledPolicyGradient, single, valued
from mdpkit.typing import Array

__all__ = ["NormalizedPolicyGradientIGT", "State"]


class State(NamedTuple):
    """Parameters now and before, the averaged direction, and what the last step drew, at which point.

    ``V`` is an exact evaluation, which the method itself never reads.
    """

    theta: Array
    previous: Array
    direction: Array
    log_pi: Array
    V: Array
    gap: float
    k: int
    draws: int
    batch: Trajectories | None
    point: Array | None


@dataclass(frozen=True)
class NormalizedPolicyGradientIGT(SampledPolicyGradient):
    r"""Normalized policy gradient with implicit gradient transport: one trajectory a step.

    .. math::

       \tilde\theta_t = \theta_t + \tfrac{1-\beta_t}{\beta_t} (\theta_t - \theta_{t-1}), \quad
       d_t = (1-\beta_t) d_{t-1} + \beta_t\, g(\tau_t, \tilde\theta_t), \; \tau_t \sim \pi_{\tilde\theta_t}, \quad
       \theta_{t+1} = \theta_t + \frac{\eta}{t+2} \frac{d_t}{\|d_t\|}

    with :math:`\beta_t = (2/(t+2))^{p}` and the estimates g of :class:`Reinforce`, from the uniform policy. Sampling at
    :math:`\tilde\theta_t` makes the average follow the gradient at :math:`\theta_t`, without importance weights or Hessians.

    **Guarantee.** The transport is exact where the objective is quadratic (``n-pg-igt:transport``). The gap is
    bounded by the gradient, as far as the class represents advantages (``n-pg-igt:relaxed-domination``), on which the
    rate rests: the gap falls at least like :math:`T^{-2/5}` on the bandits of ``n-pg-igt:rate``. Normalized steps go
    no further than their sum, so that the step size limits every run (``n-pg-igt:step-budget``), while long ones are
    trapped at bad policies (``n-pg-igt:commits``): Fisher information vanishes at deterministic policies
    (``n-pg-igt:fisher-degenerates``).

    *Departures.* Trajectories have a fixed length; ``eta`` stands for :math:`6 M_g/\mu_F`, which is not known in advance.

    Parameters
    ----------
    eta : number
        Scale of the steps :math:`\eta/(t+2)`, positive.
    features : None, "minimal", or (L, d) numbers
        Tabular softmax, tabular softmax with the last logit of each state fixed at zero, or the features of a
        log-linear policy.
    length : int, optional
        Length of the trajectories; by default such that a hundredth of the discounted weight is left out.
    episodes : int
        Trajectories a step.
    power : number
        The exponent p of the averaging weights, in (0, 1].

    References
    ----------
    ``n-pg-igt`` (Algorithm 1, recalled).

    Examples
    --------
    >>> import mdpkit as mk, numpy as np
    >>> mdp = mk.MDP([[[1.0], [1.0]]], [[0.2, 0.8]], mk.Discounted("1/2"), rho=0)
    >>> solver = NormalizedPolicyGradientIGT(eta=0.8, features="minimal", length=5)
    >>> sol = mk.solve(mdp, solver, max_steps=200, rng=np.random.default_rng(0))
    >>> bool(sol.last_policy[0, 1] > 0.8)
    True
    """

    cites: ClassVar = ("n-pg-igt",)
    claims: ClassVar = (
        "n-pg-igt:transport",
        "n-pg-igt:relaxed-domination",
        "n-pg-igt:rate",
        "n-pg-igt:step-budget",
        "n-pg-igt:commits",
        "n-pg-igt:fisher-degenerates",
    )

    episodes: int = 1
    power: Any = Fraction(4, 5)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.episodes, "episodes", 1)
        if not 0 < self.power <= 1:
            raise OptionError(
                "the exponent of the averaging weights is out of range", found=self.power, needed="(0, 1]"
            )

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The uniform policy, at rest."""
        policies = self.policies(problem)
        theta = policies.zeros()
        return State(theta, theta, theta, *valued(policies, theta), 0, 0, None, None)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """Sample ahead, average, and take a step of known length."""
        policies, t = self.policies(problem), state.k
        on = policies.on
        weight = on.number(Fraction(2, t + 2)) ** on.number(self.power)
        point = momentum.transport(state.theta, state.previous, weight)
        pi = np.exp(policies.log_pi(point))
        batch = policies.draw(pi, generator(rng, t), self.episodes, self.horizon(policies))
        g = policies.gradients(batch, pi).sum(axis=0) / self.episodes
        direction = momentum.average(state.direction, g, weight)
        theta = momentum.normalized(state.theta, direction, on.number(self.eta) / (t + 2))
        return State(
            theta, state.theta, direction, *valued(policies, theta), t + 1, state.draws + batch.draws, batch, point
        )

    def _loop(self) -> tuple[Any, Any, tuple[Any, ...]]:
        if self.episodes > 1:
            return super()._loop()
        from mdpkit.kernels import ascent

        kernels: Any = ascent
        return kernels.transported, single, (float(self.power),)
