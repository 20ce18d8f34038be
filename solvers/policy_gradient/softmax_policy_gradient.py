r"""Policy gradient of the tabular softmax policy, with exact gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import softmax
from mdpkit.models.canonical import Canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import PolicySolver
from mdpkit.typing import Array

__all__ = ["SoftmaxPolicyGradient", "State"]


class State(NamedTuple):
    """Parameters, with the logarithms and the value of their policy."""

    theta: Array
    log_pi: Array
    V: Array
    gap: float


@dataclass(frozen=True)
class SoftmaxPolicyGradient(PolicySolver[State]):
    r"""Gradient ascent in the logits of a tabular softmax policy.

    .. math:: \theta_{k+1} = \theta_k + \eta \nabla_\theta V^{\pi_k}(\rho), \qquad
              \frac{\partial V^\pi(\rho)}{\partial \theta(s,a)} = d_\rho^\pi(s) \, \pi(a|s) \, A^\pi(s,a),

    where the visits :math:`d_\rho^\pi(s) = \sum_t \gamma^t \Pr(s_t = s)` are not normalized. It starts from the uniform policy.
    Under an :class:`~mdpkit.models.EntropyRegularized` criterion the advantage is
    :math:`Q - \tau \log \pi - V`, or :math:`Q - \tau \log (\pi/\mu) - V`.

    **Guarantee.** The direction is the gradient, ``agarwal2021:softmax-gradient``. For :math:`\eta \le 2(1-\gamma)^2` and
    rewards in [0, 1] the value increases in every state, by a multiple of the squared gradient, ``mei2020:monotone``, and
    closes in like 1/K, with a constant that depends on the smallest probability of an optimal action,
    ``mei2020:domination``. On bandits 1/K is attained, with a limit that depends on neither the rewards nor the discount,
    ``mei2020:bandit-rate``. With entropy it is linear, checked on two-armed bandits, ``mei2020:entropy-rate``.

    *Departures.* Larger steps than :math:`(1-\gamma)^3/8` of the paper are covered.

    Parameters
    ----------
    eta : number
        Step size, positive.

    References
    ----------
    ``mei2020``, ``agarwal2021`` (recalled; proofs in the documentation). The constant in the rate can be exponentially bad in
    the number of states: ``li2023``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="1/2")
    >>> sol = mk.solve(mdp, SoftmaxPolicyGradient(eta=2), max_steps=50)
    >>> sol.certificate.valid, bool(sol.last_policy[3, 1] > 0.5)
    (True, True)
    """

    cites: ClassVar = ("mei2020", "agarwal2021", "li2023")
    claims: ClassVar = (
        "agarwal2021:softmax-gradient",
        "mei2020:monotone",
        "mei2020:domination",
        "mei2020:bandit-rate",
        "mei2020:entropy-rate",
    )
    kinds: ClassVar = ("discounted", "regularized")

    eta: Any = 1.0

    def __post_init__(self) -> None:
        self.positive("eta")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Logits zero: the uniform policy."""
        on = OnPolicy(problem)
        return self._valued(on, 0 * on.uniform())

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One gradient step, and its policy's value."""
        on = OnPolicy(problem)
        pi = np.exp(state.log_pi)
        advantage = on.advantage(state.V)
        if problem.kind == "regularized":
            reference = 0 if on.log_reference is None else on.log_reference
            advantage = advantage - problem.tau * (state.log_pi - reference)
        gradient = on.spread(on.visits(pi)) * pi * advantage
        return self._valued(on, state.theta + on.number(self.eta) * gradient)

    def _valued(self, on: OnPolicy, theta: Array) -> State:
        log_pi = softmax.log_softmax(theta, on.pair_ptr)
        V = on.own_value(log_pi)
        return State(theta, log_pi, V, on.gap(V))
