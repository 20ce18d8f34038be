r"""Proximal policy optimization: the clipped surrogate, and the penalty that adapts."""

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
from mdpkit.operators.policy_solver import LogPolicy, PolicySolver
from mdpkit.typing import Array

__all__ = ["PenalizedPolicyOptimization", "PenaltyState", "ProximalPolicyOptimization"]


class PenaltyState(NamedTuple):
    """A policy, in logarithms, with its value; the coefficient of the next penalty, and the last mean divergence."""

    log_pi: Array
    V: Array
    beta: Any
    divergence: Any
    gap: float


@dataclass(frozen=True)
class ProximalPolicyOptimization(PolicySolver[LogPolicy]):
    r"""Proximal policy optimization with the clipped surrogate, by gradient ascent in the logits.

    .. math:: \theta \leftarrow \theta + \eta \nabla_\theta\, \mathbb{E}_{d, \pi_k} \bigl[
              \min(\rho A,\, \mathrm{clip}(\rho, 1 - \epsilon, 1 + \epsilon) A) \bigr],
              \qquad \rho = \pi_\theta / \pi_k

    from :math:`\pi_k`, ``inner`` times for each :math:`\pi_{k+1}`; d are the normalized discounted visits. It starts from the
    uniform policy.

    **Guarantee.** The clipped surrogate is below the linear one, equal exactly where the clip would help or does not act
    (``ppo:pessimism``), and has the policy gradient at :math:`\pi_k` (``ppo:gradient``); the policies are those of the ascent
    (``ppo:ascent``). It is no trust region: ratios leave
    :math:`[1 - \epsilon, 1 + \epsilon]`, dragged by the actions that are not clipped (``ppo:ratios-escape``).

    *Departures.* The whole problem is the batch, and plain gradient ascent takes the place of Adam.

    Parameters
    ----------
    epsilon : number
        Width of the clip, positive.
    eta : number
        Step size of the ascent, positive.
    inner : int
        Its steps for each policy.
    advantages : AdvantageEstimator

    References
    ----------
    ``ppo`` (Section 3, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, ProximalPolicyOptimization(eta=20.0, inner=20), max_steps=60)
    >>> bool(sol.last_policy[0, 1] > 0.99)
    True
    """

    cites: ClassVar = ("ppo",)
    claims: ClassVar = ("ppo:pessimism", "ppo:gradient", "ppo:ascent", "ppo:ratios-escape")

    epsilon: Any = Fraction(1, 5)
    eta: Any = 1
    inner: int = 20
    advantages: AdvantageEstimator = field(default_factory=ExactAdvantages)

    def __post_init__(self) -> None:
        self.positive("epsilon", "eta", "inner")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> LogPolicy:
        """The uniform policy."""
        return self.start_log(problem)

    def step(self, problem: Canonical, state: LogPolicy, rng: np.random.Generator | None = None) -> LogPolicy:
        """The ascent from the current policy, and its value."""
        on = OnPolicy(problem)
        pi = np.exp(state.log_pi)
        A = self.advantages(on, pi, rng)
        d = (1 - on.gamma[0]) * on.visits(pi)
        penalty = partial(surrogate.clip, epsilon=on.number(self.epsilon))
        log_pi = surrogate.ascend(state.log_pi, A, d, on.pair_ptr, penalty, on.number(self.eta), self.inner)
        return self.valued_log(on, log_pi)


@dataclass(frozen=True)
class PenalizedPolicyOptimization(PolicySolver[PenaltyState]):
    r"""Proximal policy optimization with a penalty on the relative entropy, whose coefficient adapts.

    .. math:: \pi_{k+1} = \arg\max_\pi\; \mathbb{E}_{d, \pi_k} [\rho A] - \beta_k\, \mathbb{E}_d\, \mathrm{KL}(\pi_k \| \pi),
              \qquad \pi_{k+1}(a|s) = \frac{\beta_k \pi_k(a|s)}{\nu(s) - A(s,a)}

    and afterwards, for :math:`\kappa = \mathbb{E}_d\, \mathrm{KL}(\pi_k \| \pi_{k+1})`: :math:`\beta_{k+1} = 2 \beta_k` if
    :math:`\kappa > 1.5\, \delta`, :math:`\beta_k / 2` if :math:`\kappa < \delta / 1.5`. The maximization is exact, one number
    :math:`\nu` a state. It starts from the uniform policy.

    **Guarantee.** The update is the maximizer, and the coefficient follows the rule (``ppo:penalty``). That the divergence
    comes to its target is false: doubling the coefficient divides a small divergence by four, and a band of 1.5 each way is
    narrower than that, so that it may be hopped over for ever (``ppo:target-missed``).

    *Departures.* The maximizer takes the place of some epochs of stochastic gradient ascent.

    Parameters
    ----------
    delta : number
        Target of the mean relative entropy, positive.
    beta : number
        First coefficient, positive.
    factor : number
        By which the coefficient is multiplied or divided, above one.
    advantages : AdvantageEstimator

    References
    ----------
    ``ppo`` (Section 4, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, PenalizedPolicyOptimization(delta=0.1), max_steps=60)
    >>> bool(sol.last_policy[0, 1] > 0.99)
    True
    """

    cites: ClassVar = ("ppo",)
    claims: ClassVar = ("ppo:penalty", "ppo:target-missed")

    delta: Any = Fraction(1, 100)
    beta: Any = 1
    factor: Any = 2
    advantages: AdvantageEstimator = field(default_factory=ExactAdvantages)

    def __post_init__(self) -> None:
        self.positive("delta", "beta")
        if not self.factor > 1:
            raise OptionError("the factor is out of range", found=self.factor, needed="factor > 1")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> PenaltyState:
        """The uniform policy and the first coefficient."""
        on = OnPolicy(problem)
        log_pi, V, gap = self.start_log(problem)
        return PenaltyState(log_pi, V, on.number(self.beta), on.number(0), gap)

    def step(self, problem: Canonical, state: PenaltyState, rng: np.random.Generator | None = None) -> PenaltyState:
        """The maximizer of the penalized surrogate, its value, and the next coefficient."""
        on = OnPolicy(problem)
        pi = np.exp(state.log_pi)
        A = self.advantages(on, pi, rng)
        d = (1 - on.gamma[0]) * on.visits(pi)
        betas = np.full(on.n_states, state.beta)
        log_pi = surrogate.maximize_kl(state.log_pi, A, betas, on.pair_ptr)
        far = d @ softmax.relative_entropy(pi, state.log_pi, log_pi, on.pair_ptr)
        delta, factor = on.number(self.delta), on.number(self.factor)
        band = on.number(Fraction(3, 2))
        beta = state.beta
        if segments.at_least(far, band * delta, strict=True):
            beta = beta * factor
        elif segments.at_least(delta / band, far, strict=True):
            beta = beta / factor
        log_pi, V, gap = self.valued_log(on, log_pi)
        return PenaltyState(log_pi, V, beta, far, gap)
