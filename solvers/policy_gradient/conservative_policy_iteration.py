r"""Conservative policy iteration with exact advantages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import reference, segments
from mdpkit.models.canonical import Canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import PolicySolver, ProbabilityPolicy
from mdpkit.typing import Array

__all__ = ["ConservativePolicyIteration"]


@dataclass(frozen=True)
class ConservativePolicyIteration(PolicySolver[ProbabilityPolicy]):
    r"""Conservative policy iteration: a small step to the greedy policy, as long as the bound promises improvement.

    .. math:: \pi_{k+1} = (1-\alpha_k) \pi_k + \alpha_k \pi'_k, \qquad \pi'_k \in \arg\max_a A^{\pi_k}, \qquad
              \alpha_k = \min\Bigl(1, \frac{(1-\gamma) \bar A_k}{4 \gamma \varepsilon_k}\Bigr)

    with :math:`\bar A_k = E_{s \sim (1-\gamma) d^{\pi_k}_\rho} \max_a A^{\pi_k}(s,a)` and
    :math:`\varepsilon_k = \max_s \max_a A^{\pi_k}(s,a)`. It starts from the uniform policy. Exact in rationals.

    **Guarantee.** For every step :math:`\alpha`, with :math:`V = V^{\pi_k}` and :math:`V^+ = V^{\pi_{k+1}}`,
    :math:`(1-\gamma)(V^+ - V)(\rho) \ge \alpha \bigl(\bar A - \frac{\alpha \gamma \varepsilon}{1 - \gamma(1-\alpha)}\bigr)`,
    where the paper has twice the last term: ``kakade2002:improvement``. With the step above the value increases by at least
    :math:`\frac{3}{16} \bar A^2 / (\gamma \varepsilon)`, ``kakade2002:best-step``, and a policy with small
    :math:`\bar A` is nearly optimal, ``kakade2002:stop``.

    *Departures.* :math:`\varepsilon` in place of its bound by the largest reward.

    Parameters
    ----------
    alpha : number, optional
        A constant step in (0, 1]; by default the one above. With 1 it is policy iteration.

    References
    ----------
    ``kakade2002``; ``scherrer2014`` compares it with others.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, ConservativePolicyIteration(), max_steps=20)
    >>> sol.certificate.valid, bool(sol.last_policy[3, 1] > 0.5)
    (True, True)
    """

    cites: ClassVar = ("kakade2002", "scherrer2014")
    claims: ClassVar = (
        "kakade2002:improvement",
        "kakade2002:best-step",
        "kakade2002:stop",
    )

    alpha: Any = None

    def __post_init__(self) -> None:
        if self.alpha is not None and not 0 < self.alpha <= 1:
            raise OptionError("the step alpha is outside (0, 1]", found=self.alpha, needed="0 < alpha <= 1, or None")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> ProbabilityPolicy:
        """The uniform policy."""
        return self.start(problem)

    def step(
        self, problem: Canonical, state: ProbabilityPolicy, rng: np.random.Generator | None = None
    ) -> ProbabilityPolicy:
        """One mixture with the greedy policy, and its value."""
        on = OnPolicy(problem)
        advantage = on.advantage(state.V)
        best = reference.greedy(advantage, on.pair_ptr)
        alpha = on.number(self.alpha) if self.alpha is not None else self._best_step(on, state.pi, advantage[best])
        moved = (1 - alpha) * state.pi
        moved[best] = moved[best] + alpha
        return self.valued(on, moved)

    def _best_step(self, on: OnPolicy, pi: Array, largest: Array) -> Any:
        gamma = on.gamma[0]
        mean = (1 - gamma) * (on.visits(pi) @ largest)
        bound = 4 * gamma * segments.largest(largest, np.array([0, on.n_states]))[0]
        if not bound > 0:  # the policy is optimal, or only the next reward counts
            return on.number(1)
        return min(on.number(1), (1 - gamma) * mean / bound)
