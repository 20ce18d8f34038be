r"""Projected policy gradient in the probabilities themselves, with exact gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mdpkit.kernels import simplex
from mdpkit.models.canonical import Canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import PolicySolver, ProbabilityPolicy

__all__ = ["ProjectedPolicyGradient"]


@dataclass(frozen=True)
class ProjectedPolicyGradient(PolicySolver[ProbabilityPolicy]):
    r"""Projected gradient ascent in the direct parameterization, where the parameters are the probabilities.

    .. math:: \pi_{k+1} = \mathrm{proj}_{\Delta(A)^S} \bigl( \pi_k + \eta \nabla_\pi V^{\pi_k}(\rho) \bigr), \qquad
              \frac{\partial V^\pi(\rho)}{\partial \pi(a|s)} = d_\rho^\pi(s) \, Q^\pi(s,a),

    where the visits :math:`d_\rho^\pi(s) = \sum_t \gamma^t \Pr(s_t = s)` are not normalized. It starts from the uniform policy
    and is Euclidean mirror descent with the step :math:`\eta d(s)` in state s. Exact in rationals.

    **Guarantee.** The step is the projection of the gradient step, ``agarwal2021:direct-gradient``. Whatever the step size, the
    value increases in every state, and it closes in like 1/K, ``xiao2022:projected-gradient``. Where optimal actions are unique
    it ends at the optimal policy after finitely many steps, ``xiao2022:finite-end``.

    Parameters
    ----------
    eta : number
        Step size, positive.

    References
    ----------
    ``agarwal2021``, ``xiao2022`` (recalled; proofs in the documentation).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, ProjectedPolicyGradient(eta=10), max_steps=200)
    >>> sol.status.ok, sol.last_policy[:, 1].tolist()
    (True, [1.0, 1.0, 1.0, 1.0])
    """

    cites: ClassVar = ("agarwal2021", "xiao2022")
    claims: ClassVar = ("agarwal2021:direct-gradient", "xiao2022:projected-gradient", "xiao2022:finite-end")

    eta: Any = 1.0

    def __post_init__(self) -> None:
        self.positive("eta")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> ProbabilityPolicy:
        """The uniform policy."""
        return self.start(problem)

    def step(
        self, problem: Canonical, state: ProbabilityPolicy, rng: np.random.Generator | None = None
    ) -> ProbabilityPolicy:
        """One projected gradient step, and its policy's value."""
        on = OnPolicy(problem)
        gradient = on.spread(on.visits(state.pi)) * on.q(state.V)
        return self.valued(on, simplex.project(state.pi + on.number(self.eta) * gradient, on.pair_ptr))
