r"""HARPG and N-HARPG: a recursive policy gradient, corrected by Hessian-vector products of trajectories."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import momentum
from mdpkit.models.canonical import Canonical
from mdpkit.operators.log_linear import Trajectories, generator
from mdpkit.operators.sampled_solver import SampledPolicyGradient, single, valued
from mdpkit.typing import Array

__all__ = ["HessianAidedPolicyGradient", "State"]


class State(NamedTuple):
    """Parameters now and before, the recursive direction, and the two trajectories that the last step drew.

    ``between`` is the point at which the first of them was drawn; ``V`` is an exact evaluation, which the method itself never
    reads.
    """

    theta: Array
    previous: Array
    direction: Array
    log_pi: Array
    V: Array
    gap: float
    k: int
    draws: int
    batches: tuple[Trajectories, Trajectories] | None
    between: Array | None


@dataclass(frozen=True)
class HessianAidedPolicyGradient(SampledPolicyGradient):
    r"""Hessian-aided recursive policy gradient: two trajectories a step.

    .. math::

       v_t &= B(\hat\tau_t, \hat\theta_t)(\theta_t - \theta_{t-1}), \quad \hat\theta_t = q \theta_t + (1-q) \theta_{t-1}, \;
              q \sim U(0,1), \; \hat\tau_t \sim \pi_{\hat\theta_t} \\
       d_t &= (1-\beta_t)(d_{t-1} + v_t) + \beta_t\, g(\tau_t, \theta_t), \quad
              \beta_t = \tfrac{2}{t+2}, \; \tau_t \sim \pi_{\theta_t} \\
       \theta_{t+1} &= \theta_t + \tfrac{\eta}{t+2}\, d_t / \|d_t\|

    where :math:`B = \nabla\Phi\, \nabla\log p^\top + \nabla^2\Phi` with :math:`\Phi = \sum_h \log\pi(a_h|s_h)
    \sum_{h' \ge h} \gamma^{h'} r_{h'}` and p the probability of the trajectory. Over q and the trajectory the mean of
    :math:`v_t` is how the gradient changed. Without ``normalized`` the step is :math:`\eta/(t+2)\, d_t`.

    **Guarantee.** The mean of B is the Hessian of the H-step objective (``n-pg-igt:hessian``). The gap falls at least like
    :math:`T^{-1/2}` on the bandits of ``n-pg-igt:hessian-aided-rate``.

    *Departures.* Trajectories have a fixed length; ``eta`` stands for constants of the problem that are not known in advance.

    Parameters
    ----------
    eta : number
        Scale of the steps, positive.
    features : None, "minimal", or (L, d) numbers
        Tabular softmax, tabular softmax with the last logit of each state fixed at zero, or the features of a
        log-linear policy.
    length : int, optional
        Length of the trajectories; by default such that a hundredth of the discounted weight is left out.
    normalized : bool
        Whether steps have a known length (N-HARPG).

    References
    ----------
    ``n-pg-igt`` (Algorithm 2, recalled).

    Examples
    --------
    >>> import mdpkit as mk, numpy as np
    >>> mdp = mk.MDP([[[1.0], [1.0]]], [[0.2, 0.8]], mk.Discounted("1/2"), rho=0)
    >>> solver = HessianAidedPolicyGradient(eta=1.0, features="minimal", length=5)
    >>> sol = mk.solve(mdp, solver, max_steps=200, rng=np.random.default_rng(0))
    >>> bool(sol.last_policy[0, 1] > 0.7)
    True
    """

    cites: ClassVar = ("n-pg-igt",)
    claims: ClassVar = ("n-pg-igt:hessian", "n-pg-igt:hessian-aided-rate")

    normalized: bool = True

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The uniform policy, at rest."""
        policies = self.policies(problem)
        theta = policies.zeros()
        return State(theta, theta, theta, *valued(policies, theta), 0, 0, None, None)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """Correct the direction for the last step, mix in a new estimate, and move."""
        policies, t, rng = self.policies(problem), state.k, generator(rng, state.k)
        on, H = policies.on, self.horizon(policies)
        weight = on.number(Fraction(2, t + 2))
        q = on.number(rng.random())
        between = q * state.theta + (1 - q) * state.previous
        pi = np.exp(policies.log_pi(between))
        first = policies.draw(pi, rng, 1, H)
        change = policies.hessians(first, pi, state.theta - state.previous)[0]
        pi = np.exp(state.log_pi)
        second = policies.draw(pi, rng, 1, H)
        direction = momentum.recursive(state.direction, policies.gradients(second, pi)[0], change, weight)
        alpha = on.number(self.eta) / (t + 2)
        theta = (
            momentum.normalized(state.theta, direction, alpha) if self.normalized else state.theta + alpha * direction
        )
        draws = state.draws + first.draws + second.draws
        return State(theta, state.theta, direction, *valued(policies, theta), t + 1, draws, (first, second), between)

    def _loop(self) -> tuple[Any, Any, tuple[Any, ...]]:
        from mdpkit.kernels import ascent

        kernels: Any = ascent
        return kernels.hessian_aided, _pair, (self.normalized,)


def _pair(H: int) -> int:
    """One number for the point between, and two trajectories."""
    return 1 + 2 * single(H)
