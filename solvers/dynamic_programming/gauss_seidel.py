r"""Gauss--Seidel value iteration: each state is backed up with the newest values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mdpkit.models.canonical import Canonical
from mdpkit.operators.bellman import Sweeper
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.solvers.dynamic_programming.value_iteration import State, ValueIteration

__all__ = ["GaussSeidel"]


@dataclass(frozen=True)
class GaussSeidel(IterativeSolver[State]):
    r"""Value iteration in place, in the order of the states.

    .. math::

       V_{k+1}(s) = \max_a \{ r(s,a) + \gamma \sum_{s'<s} P(s'|s,a) V_{k+1}(s') + \gamma \sum_{s'\ge s} P(s'|s,a) V_k(s') \}

    **Guarantee.** :math:`\|V_k - V^*\| \le \gamma^k \|V_0 - V^*\|`, and never slower than value iteration when started
    from :math:`V_0 \le TV_0`. Checked by ``puterman1994:gauss-seidel``.

    *Departures.* The sweep's operator is no shift of constants, so MacQueen's bounds do not hold for its changes; the gap
    is the cautious :math:`2\overline{|d|}/(1-\gamma)`, and the certificate measures the Bellman residual itself.

    Parameters
    ----------
    V0 : float
        Initial value of every state.

    References
    ----------
    ``puterman1994`` (Section 6.3.3, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mk.solve(mk.instances.make("puterman-two-state"), GaussSeidel()).value.__round__(6)
    -8.571429
    """

    V0: float = 0.0
    cites: ClassVar = ("puterman1994",)
    claims: ClassVar = ("puterman1994:gauss-seidel",)
    kinds: ClassVar = ("discounted",)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Start at ``V0``."""
        return ValueIteration(self.V0).init(problem)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One sweep in place."""
        V, choice, low, high = Sweeper(problem).gauss_seidel(state.V)
        change = max(abs(low), abs(high))
        return State(V, choice, change, 2 * change / (1 - float(np.max(problem.gamma))))

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The last iterate with a policy greedy for it."""
        _, choice, _, _ = Sweeper(problem).backup(state.V)
        return Answer(state.V, choice)
