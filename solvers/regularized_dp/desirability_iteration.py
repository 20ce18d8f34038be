r"""Desirability iteration: each policy becomes its own Doob transform, tilted by the value of what its actions lead to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import desirability
from mdpkit.models.canonical import Canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Array

__all__ = ["DesirabilityIteration", "State"]


class State(NamedTuple):
    """A policy, as probabilities of pairs, with its value."""

    pi: Array
    V: Array
    gap: float


@dataclass(frozen=True)
class DesirabilityIteration(IterativeSolver[State]):
    r"""The posterior of the last policy, given that it is paid; the first step is the KL-optimal control of a goal.

    .. math:: \pi_{k+1}(a|s) = \pi_k(a|s) \frac{Q^{\pi_k}(s,a)}{V^{\pi_k}(s)}

    It starts from the uniform policy. Where nothing can be earned, it stays. For a goal, that is a reward of one where it is
    entered and a discount :math:`\lambda`, the value is the desirability :math:`h(s) = \mathrm{E}[\lambda^T]` of the policy,
    and a step is its transform by h. Subgoals are in :mod:`mdpkit.operators.goals`.

    **Guarantee.** :math:`V^{\pi_{k+1}} \ge V^{\pi_k}`: the mean of Q under the new policy is :math:`\mathrm{E}_{\pi_k}[Q^2] /
    \mathrm{E}_{\pi_k}[Q]`; checked by ``vsc-rl:iterated-transform``. With one state :math:`\pi_k \propto r^k`. Where
    transitions are deterministic the first step attains the evidence lower bound of the goal; checked by ``vsc-rl:doob``. Where
    they are random no policy does: see ``vsc-rl:random-transitions``. Subgoals one after another are worth at most the goal,
    and as much where they are doorways; checked by ``vsc-rl:subgoals``. Elsewhere less: see ``vsc-rl:no-doorway``.

    *Departures.* The paper fits a network by weighted regression, with an imitation loss that is a forward divergence, and lets
    a model of language choose the subgoals; here values and policies are exact, and subgoals are given.

    References
    ----------
    ``vsc-rl`` (recalled; its equivalence holds under the hypotheses that are named here), ``todorov2007``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, DesirabilityIteration(), max_steps=50)
    >>> bool(sol.last_policy[0, 1] > 0.99)
    True
    """

    cites: ClassVar = ("vsc-rl", "todorov2007")
    claims: ClassVar = (
        "vsc-rl:iterated-transform",
        "vsc-rl:doob",
        "vsc-rl:random-transitions",
        "vsc-rl:subgoals",
        "vsc-rl:no-doorway",
    )
    kinds: ClassVar = ("discounted",)
    needs: ClassVar = "rewards that are not negative (costs that are not positive)"
    sublinear: ClassVar = True

    def accepts(self, problem: Canonical) -> bool:
        """Whether no reward is negative."""
        return super().accepts(problem) and bool(np.all(problem.r >= 0))

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The uniform policy."""
        on = OnPolicy(problem)
        return self._at(on, on.uniform())

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """The policy tilted by its own action values, and its value."""
        on = OnPolicy(problem)
        return self._at(on, desirability.tilted(state.pi, on.q(state.V), on.pair_ptr))

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The policy's value."""
        return Answer(state.V, None, policy=state.pi)

    def _at(self, on: OnPolicy, pi: Array) -> State:
        V = on.value(pi)
        return State(pi, V, on.gap(V))
