r"""Anchored value iteration: each backup is averaged with the start, whose weight falls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from mdpkit.models.canonical import Canonical
from mdpkit.operators.bellman import Sweeper, span_gap
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.solvers.dynamic_programming.value_iteration import ValueIteration
from mdpkit.typing import Floats, Ints

__all__ = ["AnchoredValueIteration", "State"]


class State(NamedTuple):
    """The backup of the last iterate, its greedy policy, change and gap; the next iterate and the anchor's weight in it."""

    V: Floats
    choice: Ints
    residual: float
    gap: float
    anchored: Floats
    weight: float


@dataclass(frozen=True)
class AnchoredValueIteration(IterativeSolver[State]):
    r"""Value iteration with Halpern's anchor (Anc-VI).

    .. math::

       V_k = \beta_k V_0 + (1 - \beta_k)\, T V_{k-1}, \qquad \beta_k = \Big( \sum_{i=0}^{k} \gamma^{-2i} \Big)^{-1}

    **Guarantee.** With :math:`\hat V` the value of the worst policy,

    .. math::

       \|TV_k - V_k\| \le \frac{(\gamma^{-1} - \gamma)(1 + 2\gamma - \gamma^{k+1})}{\gamma^{-(k+1)} - \gamma^{k+1}}
       \max \{ \|V_0 - V^*\|, \|V_0 - \hat V\| \} ,

    which is O(1/k) for :math:`\gamma` near one, where value iteration's :math:`(1 + \gamma)\gamma^k` stands still. From
    :math:`V_0 \le TV_0` the iterates increase, :math:`\hat V` drops out and :math:`2\gamma` becomes :math:`\gamma`. Checked
    by ``lee2023:bellman-error``. The error of the iterate itself falls no faster than value iteration's bound:
    :math:`\|V_k - V^*\| \le \gamma^k \frac{1 + \gamma}{1 + \gamma^{k+1}} \|V_0 - V^*\|`. Checked by ``lee2023:error``.

    The constants were recalled; they are derived in the documentation and tested in rationals. Without :math:`\hat V` the
    first bound is false: a test has a model of two states that breaks it. In the limit its gain over value iteration is
    the constant factor :math:`(1 - \gamma)(1 + 2\gamma)`, and the span of value iteration's changes often falls faster
    than either bound says: measure before you choose this solver.

    *Departures.* With a discount by pairs :math:`\gamma` is the largest factor, for which the proof holds. The answer is
    the backup :math:`TV_{k-1}`, not its average with the anchor.

    Parameters
    ----------
    V0 : float
        Initial value of every state, the anchor.

    References
    ----------
    ``lee2023`` (Theorems 1 and 2, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mk.solve(mk.instances.make("puterman-two-state"), AnchoredValueIteration()).value.__round__(6)
    -8.571429
    """

    V0: float = 0.0
    cites: ClassVar = ("lee2023",)
    claims: ClassVar = ("lee2023:bellman-error", "lee2023:error")
    kinds: ClassVar = ("discounted",)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Start at the anchor ``V0``, with weight one."""
        start = ValueIteration(self.V0).init(problem)
        return State(*start, anchored=start.V, weight=1.0)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One sweep, whose change gives the bounds, and the average with the anchor."""
        V, choice, low, high = Sweeper(problem).backup(state.anchored)
        ratio = float(np.max(problem.gamma)) ** 2 * state.weight  # of two neighboring weights: b / (1 - b), b the next
        weight = ratio / (1 + ratio)
        anchored = weight * (float(self.V0) * problem.sign) + (1 - weight) * V
        return State(V, choice, max(abs(low), abs(high)), span_gap(problem, low, high), anchored, weight)

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The last backup; its certificate shifts it to the middle of the bounds."""
        return Answer(state.V, state.choice)
