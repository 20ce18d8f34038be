r"""Trust region policy optimization: a natural gradient step as long as a mean divergence allows."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import segments, softmax
from mdpkit.models.canonical import Canonical
from mdpkit.operators.advantages import AdvantageEstimator, ExactAdvantages
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import LogPolicy, PolicySolver

__all__ = ["TrustRegionPolicyOptimization"]

MOST = 60
"""Step sizes tried before the policy is kept."""


@dataclass(frozen=True)
class TrustRegionPolicyOptimization(PolicySolver[LogPolicy]):
    r"""Natural gradient steps of a softmax policy, scaled to a mean relative entropy, with backtracking.

    .. math:: \theta_{k+1} = \theta_k + b^j \sqrt{\frac{2\delta}{g^\top F^\dagger g}}\, F^\dagger g
              = \theta_k + b^j \sqrt{\frac{2\delta}{\mathbb{E}_{d,\pi_k}[(A^{\pi_k})^2]}}\, A^{\pi_k}

    with the least j such that :math:`\mathbb{E}_{s \sim d}\, \mathrm{KL}(\pi_k \| \pi_{k+1})(s) \le \delta`; d are the
    normalized discounted visits. The equality is that of a tabular softmax policy, whose natural gradient is the advantage.
    It starts from the uniform policy.

    **Guarantee.** The step is the natural gradient's, of length :math:`\delta` in the quadratic model, and the divergence comes
    to :math:`\delta` as that falls; ``trpo:natural-step``. The surrogate has the gradient of the return, and misses it by a
    second-order term that does not vanish; ``trpo:second-order``.

    *Departures.* The paper solves for the direction by conjugate gradients and samples the visits; here both are exact. It
    also asks whether the surrogate improves, which it always does here: a tilt by A raises the mean of A in every state.

    Parameters
    ----------
    delta : number
        Bound on the mean relative entropy, positive.
    shrink : number
        Factor b of the backtracking, between zero and one.
    advantages : AdvantageEstimator

    References
    ----------
    ``trpo`` (Section 6 and Appendix C, recalled), ``kakade2001``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, TrustRegionPolicyOptimization(delta=0.1), max_steps=60)
    >>> bool(sol.last_policy[0, 1] > 0.99)
    True
    """

    cites: ClassVar = ("trpo", "kakade2001")
    claims: ClassVar = ("trpo:natural-step", "trpo:second-order")

    delta: Any = Fraction(1, 100)
    shrink: Any = Fraction(1, 2)
    advantages: AdvantageEstimator = field(default_factory=ExactAdvantages)

    def __post_init__(self) -> None:
        self.positive("delta")
        if not 0 < self.shrink < 1:
            raise OptionError("the factor shrink is out of range", found=self.shrink, needed="0 < shrink < 1")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> LogPolicy:
        """The uniform policy."""
        return self.start_log(problem)

    def step(self, problem: Canonical, state: LogPolicy, rng: np.random.Generator | None = None) -> LogPolicy:
        """One step with backtracking, and its policy's value."""
        on = OnPolicy(problem)
        pi, delta, shrink = np.exp(state.log_pi), on.number(self.delta), on.number(self.shrink)
        A = self.advantages(on, pi, rng)
        d = (1 - on.gamma[0]) * on.visits(pi)
        length = d @ on.mean(pi, A * A)
        if not segments.at_least(length, 0, strict=True):
            return state
        move = np.sqrt(2 * delta / length) * A
        for _ in range(MOST):
            log_pi = softmax.log_softmax(state.log_pi + move, on.pair_ptr)
            far = d @ softmax.relative_entropy(pi, state.log_pi, log_pi, on.pair_ptr)
            if segments.at_least(delta, far):
                break
            move = move * shrink
        else:
            return state
        return self.valued_log(on, log_pi)
