r"""FixPO: a penalty on the relative entropy, then a second phase that goes on until the trust region holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import segments, softmax, surrogate
from mdpkit.models.canonical import Canonical
from mdpkit.operators.advantages import AdvantageEstimator, ExactAdvantages
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import PolicySolver
from mdpkit.typing import Array

__all__ = ["FixPO", "State"]


PATIENCE = 200
"""Repairs after which the logits go half the way back at once."""


class State(NamedTuple):
    """A policy, in logarithms, with its value, the coefficient of the penalty, and the steps of the last second phase."""

    log_pi: Array
    V: Array
    beta: Any
    repairs: int
    gap: float


@dataclass(frozen=True)
class FixPO(PolicySolver[State]):
    r"""Gradient ascent on the surrogate with an adaptive penalty, and repairs until every state is in the trust region.

    .. math:: \theta \leftarrow \theta + \eta \nabla_\theta\, \mathbb{E}_d \bigl[ \langle \pi_\theta, A \rangle
              - \beta\, \mathrm{KL}(\pi_k \| \pi_\theta) \bigr], \qquad
              \beta \leftarrow \max\bigl(b,\; \beta + \eta_\beta\, (c \max_s \mathrm{KL}(\pi_k \| \pi_\theta) - \epsilon)\bigr)

    ``inner`` times from :math:`\pi_k`, both from the same :math:`\theta`; then, while
    :math:`\max_s \mathrm{KL}(\pi_k \| \pi_\theta) > \epsilon`, the same without the first term, so that the policy is pulled
    back. It starts from the uniform policy.

    **Guarantee.** :math:`\max_s \mathrm{KL}(\pi_k \| \pi_{k+1})(s) \le \epsilon` after every update, and so
    :math:`J(\pi_{k+1}) \ge L_{\pi_k}(\pi_{k+1}) - \frac{2\gamma\epsilon}{(1-\gamma)^2} \max |A|`; checked by
    ``fixpo:trust-region``. The second phase ends (``fixpo:repairs``).

    *Departures.* The whole problem is the batch, and plain gradient ascent takes the place of Adam, for the policy and the
    coefficient. The code's floor of the coefficient is b = 0, at which a repair moves nothing until the coefficient has grown;
    here b > 0. The step of a repair is at most 2, above which it could overshoot, and from the 200th on a repair takes half the
    way back.

    Parameters
    ----------
    epsilon : number
        Radius of the trust region, positive.
    eta : number
        Step size of the ascent, positive.
    inner : int
        Steps of the first phase.
    beta : number
        First coefficient, positive.
    eta_beta : number
        Step size of the coefficient, positive.
    margin : number
        Factor c: the first phase aims at the radius over c. At least one.
    floor : number
        Least coefficient b, positive.
    advantages : AdvantageEstimator

    References
    ----------
    ``fixpo`` (the rule is read from code that states it; the bound is derived in the documentation).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, FixPO(), max_steps=60)
    >>> bool(sol.last_policy[0, 1] > 0.95)
    True
    """

    cites: ClassVar = ("fixpo",)
    claims: ClassVar = ("fixpo:trust-region", "fixpo:repairs")

    epsilon: Any = Fraction(1, 5)
    eta: Any = 1
    inner: int = 20
    beta: Any = 1
    eta_beta: Any = Fraction(1, 100)
    margin: Any = 2
    floor: Any = Fraction(1, 1000)
    advantages: AdvantageEstimator = field(default_factory=ExactAdvantages)

    def __post_init__(self) -> None:
        self.positive("epsilon", "eta", "inner", "beta", "eta_beta", "floor")
        if not self.margin >= 1:
            raise OptionError("the margin is out of range", found=self.margin, needed="margin >= 1")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The uniform policy and the first coefficient."""
        log_pi, V, gap = self.start_log(problem)
        return State(log_pi, V, OnPolicy(problem).number(self.beta), 0, gap)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """Both phases of an update."""
        on = OnPolicy(problem)
        old = state.log_pi
        pi, epsilon, eta = np.exp(old), on.number(self.epsilon), on.number(self.eta)
        A = self.advantages(on, pi, rng)
        d = (1 - on.gamma[0]) * on.visits(pi)
        log_pi, beta = old, state.beta
        for _ in range(self.inner):
            far = self.size(softmax.relative_entropy(pi, old, log_pi, on.pair_ptr), d)
            penalty = partial(surrogate.kl, beta=beta)
            log_pi = log_pi + eta * surrogate.gradient(log_pi, old, A, d, on.pair_ptr, penalty)
            log_pi = softmax.log_softmax(log_pi, on.pair_ptr)
            beta = self._next(on, beta, far)
        repairs = 0
        while True:
            far = self.size(softmax.relative_entropy(pi, old, log_pi, on.pair_ptr), d)
            if segments.at_least(epsilon, far):
                break
            if repairs >= PATIENCE:
                log_pi = softmax.log_softmax((old + log_pi) / 2, on.pair_ptr)
                repairs += 1
                continue
            step = eta * beta if segments.at_least(2, eta * beta) else on.number(2)
            log_pi = log_pi + surrogate.gradient(log_pi, old, 0 * A, d, on.pair_ptr, partial(surrogate.kl, beta=step))
            log_pi = softmax.log_softmax(log_pi, on.pair_ptr)
            beta = self._next(on, beta, far)
            repairs += 1
        log_pi, V, gap = self.valued_log(on, log_pi)
        return State(log_pi, V, beta, repairs, gap)

    def size(self, divergence: Array, d: Array) -> Any:
        """What must not exceed the radius: the largest divergence of a state, not its mean over the visits d."""
        return segments.norm(divergence)

    def _next(self, on: OnPolicy, beta: Any, far: Any) -> Any:
        """The coefficient's own step."""
        beta = beta + on.number(self.eta_beta) * (on.number(self.margin) * far - on.number(self.epsilon))
        floor = on.number(self.floor)
        return beta if segments.at_least(beta, floor) else floor
