r"""Natural policy gradient of the tabular softmax policy, with exact gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import softmax
from mdpkit.models.canonical import Canonical
from mdpkit.operators import step_sizes
from mdpkit.operators.mirror_maps import KullbackLeibler
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import PolicySolver
from mdpkit.typing import Array

__all__ = ["NaturalPolicyGradient", "State"]

ROUNDING = 1e-12
"""How far the weight of the last policy may be below zero: the longest step in floats."""


class State(NamedTuple):
    """A policy, in logarithms, with its value and its number."""

    log_pi: Array
    V: Array
    k: int
    gap: float


@dataclass(frozen=True)
class NaturalPolicyGradient(PolicySolver[State]):
    r"""Natural policy gradient for tabular softmax policies: multiplicative weights in every state.

    .. math:: \theta_{k+1} = \theta_k + \eta F(\theta_k)^\dagger \nabla V^{\pi_k}(\rho), \qquad
              \pi_{k+1}(a|s) \propto \pi_k(a|s) \exp\bigl(\tfrac{\eta}{1-\gamma} A^{\pi_k}(s,a)\bigr)

    The pseudo-inverse of the Fisher information cancels the visits, so that the step depends on no initial law. It starts
    from the uniform policy. Under an :class:`~mdpkit.models.EntropyRegularized` criterion the gradient is that of the
    regularized value, and

    .. math:: \pi_{k+1} \propto \pi_k^{1-\eta\tau/(1-\gamma)} \exp\bigl(\tfrac{\eta}{1-\gamma} Q_\tau^{\pi_k}\bigr), \qquad
              \eta \le (1-\gamma)/\tau,

    (with a reference, times :math:`\mu^{\eta\tau/(1-\gamma)}`); the longest step is soft policy iteration.

    **Guarantee.** The step is the preconditioned gradient, ``kakade2001:fisher``.
    :math:`V^*(\rho) - V^{\pi_K}(\rho) \le \frac{\log |A|}{\eta K} + \frac{1}{(1-\gamma)^2 K}` for rewards in
    [0, 1], whatever the numbers of states and the initial law, ``agarwal2021:npg-rate``. In the end the gap falls like
    :math:`e^{-\Delta \sum_j \eta_j/(1-\gamma)}` with the least gap :math:`\Delta` of suboptimal actions, so geometrically for
    constant steps and faster for increasing ones, ``khodadadian2022:geometric``. With entropy it is linear at the rate
    :math:`1-\eta\tau`, ``cen2022:linear-rate``.

    Parameters
    ----------
    eta : number or rule
        Step size in the space of parameters: a positive number, or a rule such as
        :class:`~mdpkit.operators.step_sizes.Increasing`.

    References
    ----------
    ``kakade2001``, ``agarwal2021`` (Theorem 16, recalled), ``khodadadian2022``, ``cen2022`` (Theorem 1, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, NaturalPolicyGradient(eta=100.0), max_steps=50)
    >>> sol.status.ok, bool(sol.last_policy[0, 1] > 0.99)
    (True, True)
    """

    cites: ClassVar = ("kakade2001", "agarwal2021", "khodadadian2022", "cen2022")
    claims: ClassVar = (
        "kakade2001:fisher",
        "agarwal2021:npg-rate",
        "khodadadian2022:geometric",
        "cen2022:linear-rate",
    )
    kinds: ClassVar = ("discounted", "regularized")
    needs: ClassVar = "one discount factor, and of regularized problems tau <= (1 - gamma)/eta"

    eta: Any = 1.0

    def __post_init__(self) -> None:
        step_sizes.rule(self.eta)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The uniform policy."""
        on = OnPolicy(problem)
        return self._valued(on, np.log(on.uniform()), 0)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One natural gradient step, and its policy's value."""
        on = OnPolicy(problem)
        A = on.advantage(state.V)
        eta = step_sizes.rule(self.eta)(state.k, on, KullbackLeibler(), state.log_pi, A) / (1 - on.gamma[0])
        if problem.kind != "regularized":
            log_pi = softmax.mirror_step(state.log_pi, A, eta, on.pair_ptr)
        else:
            kept = 1 - eta * problem.tau
            if kept < -ROUNDING:
                raise OptionError(
                    "the step size eta is too long for the temperature",
                    found=f"eta = {self.eta}, tau = {float(problem.tau):g}",
                    needed="eta <= (1 - gamma)/tau",
                    way_out="the longest step is soft policy iteration",
                )
            kept = max(kept, 0.0) if isinstance(kept, float) else kept
            pull = eta * problem.tau
            log_pi = softmax.penalized_step(state.log_pi, eta * A, kept, on.pair_ptr, pull, on.log_reference)
        return self._valued(on, log_pi, state.k + 1)

    def _valued(self, on: OnPolicy, log_pi: Array, k: int) -> State:
        V = on.own_value(log_pi)
        return State(log_pi, V, k, on.gap(V))
