r"""Soft policy iteration: evaluate a policy with its entropy, and replace it by the softmax of its action values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from mdpkit.models.canonical import Canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Array

__all__ = ["SoftPolicyIteration", "State"]


class State(NamedTuple):
    """A policy, in logarithms, with its value."""

    log_pi: Array
    V: Array
    gap: float


@dataclass(frozen=True)
class SoftPolicyIteration(IterativeSolver[State]):
    r"""Policy iteration with entropy: the exact, tabular core of the soft actor-critic.

    .. math:: Q_k = r + \gamma P V_k, \qquad V_k = \langle \pi_k, Q_k \rangle - \tau \mathrm{KL}(\pi_k \| \mu), \qquad
              \pi_{k+1} \propto \mu \exp(Q_k / \tau)

    It starts from the reference policy, or from the uniform one where the regularizer is the entropy.

    **Guarantee.** Each step is Newton's, :math:`V_{k+1} = V_k + (I - \gamma P_{\pi_{k+1}})^{-1} (T_\tau V_k - V_k)`; checked
    by ``sac:newton``. Hence :math:`V_{k+1} \ge T_\tau V_k \ge V_k`; checked by ``sac:monotone``. The error falls quadratically,
    :math:`\|V^*_\tau - V_{k+1}\|_\infty \le \frac{\gamma^2}{8\tau(1-\gamma)} \|V^*_\tau - V_k\|_\infty^2`; checked by
    ``sac:quadratic-rate``. The entropy costs little, :math:`0 \le V^*_\tau - V^* \le \frac{\tau \log |A|}{1-\gamma}`; checked
    by ``sac:entropy-gap``, attained in ``sac:entropy-gap-tight``, and vanishing with the temperature in
    ``sac:zero-temperature``.

    References
    ----------
    ``sac`` (Lemmas 1 and 2, Theorem 1, recalled; Newton's step and the rate are derived in the documentation), ``geist2019``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("puterman-two-state").under(mk.EntropyRegularized("19/20", "1/2"))
    >>> sol = mk.solve(mdp, SoftPolicyIteration())
    >>> sol.V.round(4), sol.pi[0].round(4)
    (array([ -8.3011, -20.    ]), array([0.7529, 0.2471]))
    """

    cites: ClassVar = ("sac", "geist2019")
    claims: ClassVar = (
        "sac:newton",
        "sac:monotone",
        "sac:quadratic-rate",
        "sac:entropy-gap",
        "sac:entropy-gap-tight",
        "sac:zero-temperature",
    )
    kinds: ClassVar = ("regularized",)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The reference policy, or the uniform one."""
        on = OnPolicy(problem)
        return self._at(on, on.start())

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """The softmax of the action values, and its value."""
        on = OnPolicy(problem)
        return self._at(on, on.log_softmax(on.q(state.V)))

    def _at(self, on: OnPolicy, log_pi: Array) -> State:
        V = on.own_value(log_pi)
        return State(log_pi, V, on.gap(V))

    def finished(self, state: State) -> bool:
        """Whether no state's value can rise."""
        return state.gap == 0

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The policy's value."""
        return Answer(state.V, None, policy=np.exp(state.log_pi))
