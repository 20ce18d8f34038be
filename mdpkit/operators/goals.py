r"""Goals as inference: the policy of a reference conditioned on arriving in time, and what subgoals cost.

With a reference policy :math:`\mu`, a goal g and a chance :math:`\lambda` to live on at each step, the desirability
:math:`h_g(s) = \mathrm{E}_\mu[\lambda^{T_g} | s]` is the chance of arriving alive. For every policy

.. math:: \mathrm{E}_\pi[T_g] \log \lambda - \mathrm{KL}(p_\pi \| p_\mu) \le \log h_g(s),

the evidence lower bound. Where transitions are deterministic it is attained by the transform of Doob,
:math:`\pi_g(a|s) \propto \mu(a|s) (P h_g)(s,a)`; where they are not, no policy attains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import desirability
from mdpkit.models.canonical import Canonical
from mdpkit.models.policy import FiniteMemory
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.typing import Array

__all__ = ["Goal", "subgoal_bound", "subgoal_policy"]


class Goal:
    """A set of goal states, seen from a reference policy.

    Parameters
    ----------
    problem : Canonical
        Discounted; its factor is the chance to live on. In any arithmetic. Rewards are of no consequence.
    goal : int, mask or indices
        The states to enter.
    reference : (L,), optional
        Probabilities of the reference policy; the uniform one if left out.
    """

    def __init__(self, problem: Canonical, goal: Any, reference: Array | None = None):
        self.on = OnPolicy(problem)
        self.goal = problem.mdp.states_of([goal] if isinstance(goal, (int, np.integer)) else goal)
        if not self.goal.any():
            raise OptionError("the goal is empty", needed="at least one state")
        self.reference = self.on.uniform() if reference is None else reference

    @cached_property
    def h(self) -> Array:
        r"""The desirability :math:`\mathrm{E}_\mu[\lambda^{T_g} | s]`, ``(S,)``."""
        on = self.on
        return desirability.hitting(on.P, on.gamma, self.reference, on.pair_ptr, self.goal)

    @cached_property
    def policy(self) -> Array:
        r"""Doob's transform :math:`\mu(a|s) (P h)(s,a) / (P_\mu h)(s)`, ``(L,)``; the reference where no path arrives."""
        return desirability.tilted(self.reference, self.on.P @ self.h, self.on.pair_ptr)


def legs(problem: Canonical, goals: Sequence[int], reference: Array | None = None) -> list[Goal]:
    """The goals of a sequence, each seen from the same reference policy.

    Raises
    ------
    OptionError
        Without a goal.
    """
    if not len(goals):
        raise OptionError("the sequence of subgoals is empty", needed="at least the goal itself")
    return [Goal(problem, g, reference) for g in goals]


def subgoal_bound(problem: Canonical, start: int, goals: Sequence[int], reference: Array | None = None) -> Array:
    r"""Desirabilities of the legs :math:`h_{g_1}(s_0), h_{g_2}(g_1), \dots`, whose product is at most :math:`h_{g_N}(s_0)`.

    ``(N,)``. The product is the chance of arriving alive through all the subgoals in this order, so that it equals the
    whole where every path of the reference that arrives passes them: where they are doorways.
    """
    from_ = [start, *goals[:-1]]
    return np.array([leg.h[s] for leg, s in zip(legs(problem, goals, reference), from_, strict=True)])


def subgoal_policy(problem: Canonical, goals: Sequence[int], reference: Array | None = None) -> FiniteMemory:
    """The policy that pursues one subgoal after the other, each by its transform; its memory is the number of those reached."""
    found = legs(problem, goals, reference)
    mdp, n = problem.mdp, problem.mdp.n_actions
    tables: list[Array] = []
    for leg in found:
        table = np.zeros((mdp.n_states, n))
        table[mdp.state, mdp.action] = leg.policy.astype(np.float64)
        tables.append(table)

    def reached(memory: int, s: int) -> int:
        while memory < len(goals) and s == goals[memory]:
            memory += 1
        return memory

    def rule(memory: int, s: int) -> Array:
        return tables[min(memory, len(goals) - 1)][s]

    return FiniteMemory(lambda s: reached(0, s), rule, lambda memory, s, a, t: reached(memory, t), n)
