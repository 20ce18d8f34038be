r"""Natural policy gradient of the tabular softmax policy, with exact gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import softmax
from mdpkit.models.canonical import Canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Array

__all__ = ["NaturalPolicyGradient", "State"]


class State(NamedTuple):
    """A policy, in logarithms, with its value."""

    log_pi: Array
    V: Array
    gap: float


@dataclass(frozen=True)
class NaturalPolicyGradient(IterativeSolver[State]):
    r"""Natural policy gradient for tabular softmax policies: multiplicative weights in every state.

    .. math:: \theta_{k+1} = \theta_k + \eta F(\theta_k)^\dagger \nabla V^{\pi_k}(\rho), \qquad
              \pi_{k+1}(a|s) \propto \pi_k(a|s) \exp\bigl(\tfrac{\eta}{1-\gamma} A^{\pi_k}(s,a)\bigr)

    The pseudo-inverse of the Fisher information cancels the visits, so that the step depends on no initial law. It starts
    from the uniform policy.

    **Guarantee.** :math:`V^*(\rho) - V^{\pi_K}(\rho) \le \frac{\log |A|}{\eta K} + \frac{1}{(1-\gamma)^2 K}` for rewards in
    [0, 1], whatever the numbers of states and the initial law; checked by ``agarwal2021:npg-rate``.

    Parameters
    ----------
    eta : number
        Step size in the space of parameters, positive.

    References
    ----------
    ``kakade2001``, ``agarwal2021`` (Theorem 16, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, NaturalPolicyGradient(eta=100.0), max_steps=50)
    >>> sol.status.ok, bool(sol.last_policy[0, 1] > 0.99)
    (True, True)
    """

    cites: ClassVar = ("kakade2001", "agarwal2021")
    claims: ClassVar = ("agarwal2021:npg-rate",)
    kinds: ClassVar = ("discounted",)
    needs: ClassVar = "one discount factor"
    sublinear: ClassVar = True

    eta: Any = 1.0

    def __post_init__(self) -> None:
        if not self.eta > 0:
            raise OptionError("the step size eta is not positive", found=self.eta, needed="eta > 0")

    def accepts(self, problem: Canonical) -> bool:
        """Whether the problem is discounted by one factor."""
        return super().accepts(problem) and bool(np.all(problem.gamma == problem.gamma[0]))

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The uniform policy."""
        on = OnPolicy(problem)
        pi = on.uniform()
        V = on.value(pi)
        return State(np.log(pi), V, on.gap(V))

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One natural gradient step, and its policy's value."""
        on = OnPolicy(problem)
        eta = on.number(self.eta) / (1 - on.gamma[0])
        log_pi = softmax.mirror_step(state.log_pi, on.advantage(state.V), eta, on.pair_ptr)
        V = on.value(np.exp(log_pi))
        return State(log_pi, V, on.gap(V))

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The policy's value."""
        return Answer(state.V, None, policy=np.exp(state.log_pi))
