r"""Prioritized sweeping: the state whose value is most out of date is backed up first."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import improvement
from mdpkit.models.canonical import Canonical
from mdpkit.operators.rows import Bounds, OrderedRows, answer, enclose, rows_of
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Array, Floats, Ints

__all__ = ["PrioritizedSweeping", "State"]

COARSE = 2.0**-10
CLOSER = 2.0**-3


class State(NamedTuple):
    """The value (of classes for total reward), the keys that bound its Bellman errors, and their heap.

    ``residual`` is the largest key, ``tried`` the one at which bounds of total reward were last looked for.
    """

    V: Floats
    key: Floats
    heap: Ints
    place: Ints
    residual: float
    gap: float
    bounds: Bounds | None
    tried: float
    plan: Plan


class Plan(NamedTuple):
    """What is computed once: the rows, and the states that lead to each state."""

    rows: OrderedRows
    before: tuple[Array, ...]


@dataclass(frozen=True)
class PrioritizedSweeping(IterativeSolver[State]):
    r"""Backups one state at a time, where the Bellman error may be largest.

    .. math::

       s = \arg\max_t H(t), \qquad \Delta = |(TV)(s) - V(s)|, \qquad V(s) \leftarrow (TV)(s), \qquad H(s) \leftarrow 0, \\
       H(t) \leftarrow H(t) + \gamma \max_a P(s|t,a)\, \Delta \quad \text{ for all } t \text{ that lead to } s

    One step is S backups. It starts from a value on one side of its own backup (:math:`V_0 \le TV_0`, or
    :math:`V_0 \ge TV_0` for total reward whose rewards are all at most zero), and stays there.

    **Guarantee.** :math:`|TV - V| \le H` at all times, so :math:`\|V - V^*\| \le \max H / (1-\gamma)` under a discount; and
    among the first N backups there is one before which :math:`\max H \le (\sum_s H_0(s) + c \sum_s |V^* - V_0|(s)) / N`,
    where :math:`c = \gamma \max_s \sum_t \max_a P(s|t,a)`. Checked by ``moore1993:priorities``.

    *Departures.* Moore and Atkeson set :math:`H(t)` to the larger of the old and the new priority, which may lie below the
    error; the sum, after Peng and Williams, never does. The model is known, not learned. For total reward the backups are
    those of the quotient by end components without reward, and bounds are guessed around its value and verified, as
    optimistic value iteration does (``hartmanns2020``).

    References
    ----------
    ``moore1993``, ``peng1993``, ``wingate2005``, ``hartmanns2020``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mk.solve(mk.instances.make("puterman-two-state"), PrioritizedSweeping()).value.__round__(6)
    -8.571429
    """

    cites: ClassVar = ("moore1993", "peng1993", "wingate2005", "hartmanns2020")
    claims: ClassVar = ("moore1993:priorities",)
    kinds: ClassVar = ("discounted", "total")
    bounding: ClassVar = True

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Start on one side of the backup, with exact errors as keys."""
        kernels: Any = import_module("mdpkit.kernels.prioritized")
        rows = rows_of(problem)
        V = _start(problem, rows)
        key, heap, place = np.empty(rows.n), np.empty(rows.n, dtype=np.int64), np.empty(rows.n, dtype=np.int64)
        kernels.errors(*rows.arrays, V, key)
        kernels.arrange(key, heap, place)
        state = State(V, key, heap, place, 0.0, np.inf, None, np.inf, Plan(rows, rows.before()))
        return self._bounded(problem, state)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """As many backups as there are states."""
        kernels: Any = import_module("mdpkit.kernels.prioritized")
        rows, before = state.plan
        V, key, heap, place = (x.copy() for x in (state.V, state.key, state.heap, state.place))
        kernels.sweep(rows.n, *rows.arrays, *before, V, key, heap, place)
        return self._bounded(problem, state._replace(V=V, key=key, heap=heap, place=place))

    def _bounded(self, problem: Canonical, state: State) -> State:
        """The state with its gap: by the largest key, or by bounds for total reward, looked for as the key falls."""
        rows, V = state.plan.rows, state.V
        if rows.n == 0:
            return state._replace(gap=0.0)
        residual = float(state.key[state.heap[0]])
        if rows.quotient is None:
            return state._replace(residual=residual, gap=residual / (1 - float(np.max(problem.gamma))))
        largest = float(np.max(np.abs(V)))
        if residual > COARSE * largest or residual > CLOSER * state.tried:
            return state._replace(residual=residual)
        relative = np.divide(state.key, np.abs(V) + COARSE**2 * largest, out=np.zeros(rows.n), where=state.key > 0)
        bounds = enclose(rows, V, np.maximum.reduceat(relative[rows.order], rows.first[:-1])) or state.bounds
        gap = np.inf if bounds is None else float(np.max(bounds.above - bounds.below))
        return state._replace(residual=residual, gap=gap, bounds=bounds, tried=residual)

    def finished(self, state: State) -> bool:
        """Whether no state is out of date."""
        return state.residual == 0.0 and (state.gap < np.inf or state.tried == 0.0)

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The value, and for total reward its bounds and the policy that supports the lower one."""
        return answer(problem, state.plan.rows, state.V, state.bounds)


def _start(problem: Canonical, rows: OrderedRows) -> Floats:
    """A value on one side of its own backup."""
    if rows.quotient is None:
        constants = problem.r / (1 - problem.gamma)  # each is at most its own backup by its pair
        return np.full(rows.n, np.min(np.maximum.reduceat(constants, rows.pair_ptr[:-1])))
    if np.all(rows.r >= 0) or np.all(rows.r <= 0):
        return np.zeros(rows.n)
    return improvement.evaluate(rows.quotient, rows.quotient.r, rows.proper())
