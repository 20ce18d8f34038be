r"""Minorization and maximization of the surrogate: the policy iteration that trust regions come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import segments, surrogate
from mdpkit.models.canonical import Canonical
from mdpkit.operators.advantages import AdvantageEstimator, ExactAdvantages
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import PolicySolver, ProbabilityPolicy

__all__ = ["MinorizeMaximize"]


@dataclass(frozen=True)
class MinorizeMaximize(PolicySolver[ProbabilityPolicy]):
    r"""Policy iteration that maximizes a lower bound of the return, which touches it at the current policy.

    .. math:: \pi_{k+1} = \arg\max_\pi\; L_{\pi_k}(\pi) - C_k \max_s D(\pi_k, \pi)(s), \qquad
              L_{\pi_k}(\pi) = J(\pi_k) + \sum_s d^{\pi_k}(s) \sum_a \pi(a|s) A^{\pi_k}(s,a), \qquad
              C_k = c \frac{\gamma}{(1-\gamma)^2} \max_{s,a} |A^{\pi_k}(s,a)|

    with the unnormalized discounted visits d, and for D the squared total variation, or the relative entropy
    :math:`\mathrm{KL}(\pi_k \| \pi)`. Both maximizers are exact: the first is rational in rational models, the second needs
    one number a state (:mod:`mdpkit.kernels.surrogate`). It starts from the uniform policy.

    **Guarantee.** With c = 4 the bound holds for either D, so that J never falls (``trpo:tv-bound``, ``trpo:monotone-tv``,
    ``trpo:monotone``); with the relative entropy c = 2 is enough, by Pinsker's inequality (``trpo:kl-bound``). No smaller
    constants would do.

    Parameters
    ----------
    divergence : {"kl", "tv"}
        Relative entropy, or the square of the total variation.
    constant : number
        The factor c.
    advantages : AdvantageEstimator
        The guarantee is for exact ones.

    References
    ----------
    ``trpo`` (Theorem 1 and Algorithm 1, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("garnet", S=5, A=2, branching=2, seed=1, gamma="1/10")
    >>> mk.solve(mdp, MinorizeMaximize(divergence="tv"), max_steps=40).status.ok
    True
    """

    cites: ClassVar = ("trpo",)
    claims: ClassVar = ("trpo:tv-bound", "trpo:kl-bound", "trpo:monotone", "trpo:monotone-tv")
    needs: ClassVar = "one discount factor, not zero"

    divergence: str = "kl"
    constant: Any = 4
    advantages: AdvantageEstimator = field(default_factory=ExactAdvantages)

    def __post_init__(self) -> None:
        if self.divergence not in ("kl", "tv"):
            raise OptionError("the divergence is unknown", found=repr(self.divergence), needed="'kl' or 'tv'")
        self.positive("constant")

    def accepts(self, problem: Canonical) -> bool:
        """Whether the problem is discounted by one positive factor."""
        return super().accepts(problem) and bool(problem.gamma[0] > 0)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> ProbabilityPolicy:
        """The uniform policy."""
        return self.start(problem)

    def step(
        self, problem: Canonical, state: ProbabilityPolicy, rng: np.random.Generator | None = None
    ) -> ProbabilityPolicy:
        """The maximizer of the penalized surrogate, and its value."""
        on = OnPolicy(problem)
        A = self.advantages(on, state.pi, rng)
        C = on.number(self.constant) * on.gamma[0] / (1 - on.gamma[0]) ** 2 * segments.norm(A)
        if C <= 0:
            return state
        visits = on.visits(state.pi)
        if self.divergence == "tv":
            return self.valued(on, surrogate.maximize_tv_max(state.pi, A, visits, C, on.pair_ptr))
        log_pi = surrogate.maximize_kl_max(np.log(state.pi), A, visits, C, on.pair_ptr)
        return self.valued(on, np.exp(log_pi))
