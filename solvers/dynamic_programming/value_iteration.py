r"""Value iteration: :math:`V_{k+1} = T V_k`, stopped by the span of the last change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from mdpkit.models.canonical import Canonical
from mdpkit.operators.bellman import Sweeper, span_gap
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Floats, Ints

__all__ = ["State", "ValueIteration"]


class State(NamedTuple):
    """An iterate: its value, a greedy policy, the last change, and the width of the MacQueen bounds."""

    V: Floats
    choice: Ints
    residual: float
    gap: float


@dataclass(frozen=True)
class ValueIteration(IterativeSolver[State]):
    r"""Successive approximation of the optimal discounted value.

    .. math:: V_{k+1}(s) = \max_a \{ r(s,a) + \gamma \sum_{s'} P(s'|s,a) V_k(s') \}

    **Guarantee.** :math:`\|V_k - V^*\| \le \gamma^k \|V_0 - V^*\|`. Checked by ``puterman1994:geometric-rate``. With
    :math:`\underline{d}, \overline{d}` the least and the largest change of a step, :math:`TV + \frac{\gamma}{1-\gamma}
    \underline{d} \le V^* \le TV + \frac{\gamma}{1-\gamma}\overline{d}`. Checked by ``macqueen1966:bounds``. So the span of
    the change, not its norm, decides when to stop, and the answer is shifted to the middle of the bounds.

    *Departures.* With a discount by pairs the bounds use the largest or the smallest factor, whichever is safe.

    Parameters
    ----------
    V0 : float
        Initial value of every state.

    References
    ----------
    ``puterman1994`` (Section 6.3, recalled), ``macqueen1966``.

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> P = np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    >>> mdp = mk.MDP(P, np.array([[5.0, 10.0], [-1.0, -1.0]]), mk.Discounted(0.95), rho=0)
    >>> mk.solve(mdp, ValueIteration()).V.round(6)
    array([ -8.571429, -20.      ])
    """

    V0: float = 0.0
    cites: ClassVar = ("puterman1994", "macqueen1966")
    claims: ClassVar = ("puterman1994:geometric-rate", "macqueen1966:bounds")
    kinds: ClassVar = ("discounted",)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Start at ``V0``."""
        V = np.full(problem.n_states, float(self.V0) * problem.sign)
        return State(V, problem.pair_ptr[:-1].copy(), np.inf, np.inf)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One sweep."""
        V, choice, low, high = Sweeper(problem).backup(state.V)
        return State(V, choice, max(abs(low), abs(high)), span_gap(problem, low, high))

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The last iterate; its certificate shifts it to the middle of the bounds."""
        return Answer(state.V, state.choice)
