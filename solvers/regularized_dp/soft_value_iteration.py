r"""Soft value iteration: the log-sum-exp of the action values in place of their maximum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.models.canonical import Canonical
from mdpkit.operators.bellman import span_gap
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Array

__all__ = ["SoftValueIteration", "State"]


class State(NamedTuple):
    """An iterate, the last change, and the width of the bounds that the change gives."""

    V: Array
    residual: float
    gap: float


@dataclass(frozen=True)
class SoftValueIteration(IterativeSolver[State]):
    r"""Successive approximation of the optimal entropy-regularized value.

    .. math:: V_{k+1}(s) = \tau \log \sum_a \mu(a|s) \exp \frac{r(s,a) + \gamma \sum_{s'} P(s'|s,a) V_k(s')}{\tau}

    Without a reference policy each action counts :math:`\mu = 1`, and the regularizer is the entropy.

    **Guarantee.** :math:`\|V_k - V^*_\tau\|_\infty \le \gamma^k \|V_0 - V^*_\tau\|_\infty`, with equality from a start that is
    off by a constant; checked by ``geist2019:soft-rate``. The least and the largest change of a step bound the error, as
    MacQueen's do without entropy; checked by ``geist2019:soft-bounds``.

    Parameters
    ----------
    V0 : number
        Initial value of every state.

    References
    ----------
    ``geist2019`` (Section 4.1, recalled), ``haarnoja2017``, ``ziebart2010``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("puterman-two-state").under(mk.EntropyRegularized("19/20", "1/2"))
    >>> mk.solve(mdp, SoftValueIteration()).V.round(4)
    array([ -8.3011, -20.    ])
    """

    V0: Any = 0.0
    cites: ClassVar = ("geist2019", "haarnoja2017", "ziebart2010")
    claims: ClassVar = ("geist2019:soft-rate", "geist2019:soft-bounds")
    kinds: ClassVar = ("regularized",)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Start at ``V0``."""
        on = OnPolicy(problem)
        return State(problem.sign * on.number(self.V0) * on.number(np.ones(on.n_states)), np.inf, np.inf)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One sweep."""
        on = OnPolicy(problem)
        V = on.soft_maximum(on.q(state.V))
        if V.dtype == object:
            return State(V, np.inf, np.inf)
        low, high = float(np.min(V - state.V)), float(np.max(V - state.V))
        return State(V, max(abs(low), abs(high)), span_gap(problem, low, high))

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The last iterate; its certificate shifts it to the middle of the bounds."""
        return Answer(state.V, None)
