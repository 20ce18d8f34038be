r"""Topological value iteration: each strongly connected component is solved before those that lead to it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.models.canonical import Canonical
from mdpkit.operators.rows import Bounds, OrderedRows, answer, enclose, rows_of
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Floats, Ints

__all__ = ["State", "TopologicalValueIteration"]

SMALL = 512
FASTER = 2.0**-5
SWEEPS = 4096


class State(NamedTuple):
    """The value after a pass (of classes for total reward), the policy of small components, what the bounds are.

    ``residual`` is the largest change of a component's last sweep, ``bounds`` the bounds below and above with a witness,
    once there are some.
    """

    V: Floats
    policy: Ints
    epsilon: float
    residual: float
    gap: float
    bounds: Bounds | None
    rows: OrderedRows


@dataclass(frozen=True)
class TopologicalValueIteration(IterativeSolver[State]):
    r"""Value iteration on one strongly connected component after another, in reverse topological order.

    .. math::

       V(s) &\leftarrow \max_a \{ r(s,a) + \gamma \sum_{t \in C} P(t|s,a) V(t) + \gamma \sum_{t \notin C} P(t|s,a) V(t) \},
       \quad s \in C, \\
       V(s) &= \max_a \frac{r(s,a) + \gamma \sum_{t \ne s} P(t|s,a) V(t)}{1 - \gamma P(s|s,a)} \ \text{ if } C = \{s\}

    where the values outside C are those of components already solved. One step is a pass over all components, each swept
    until nothing in it changes by more than a tolerance, which every step divides by 32; a component goes on from where the
    last step left it, so nothing is solved twice. For total reward the components are those of the quotient by end
    components without reward.

    **Guarantee.** A graph without cycles but loops is solved by one pass, in which each state is backed up once. If no
    component's last sweep changes a value by more than :math:`\varepsilon`, then :math:`\|V - V^*\| \le
    \gamma\varepsilon / (1-\gamma)` under a discount. Checked by ``dai2011:topological``. For total reward the bounds of each
    pass are inductive as floats, without any allowance. Checked by ``dai2011:bounds``.

    *Departures.* Components are swept to and fro. One of at most 512 states that has been swept for as long as an
    elimination takes is solved by policy iteration, whose work does not depend on how slowly it mixes. For total reward,
    bounds are guessed around the value and verified component by component, as optimistic value iteration does
    (``hartmanns2020``).

    References
    ----------
    ``dai2007``, ``dai2011``, ``hartmanns2020``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> sol = mk.solve(mk.instances.make("gambler", goal=8), TopologicalValueIteration())
    >>> sol.lower <= sol.value <= sol.upper, sol.status.ok
    (True, True)
    """

    cites: ClassVar = ("dai2007", "dai2011", "hartmanns2020")
    claims: ClassVar = ("dai2011:topological", "dai2011:bounds")
    kinds: ClassVar = ("discounted", "total")
    bounding: ClassVar = True

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Start at zero."""
        rows = rows_of(problem)
        gap = 0.0 if rows.n == 0 else np.inf
        return State(np.zeros(rows.n), rows.proper(), 2.0**-10, np.inf, gap, None, rows)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One pass over the components, at a tolerance 32 times tighter than that of the last one."""
        kernels: Any = import_module("mdpkit.kernels.components")
        rows, V, policy = state.rows, state.V.copy(), state.policy.copy()
        epsilon = max(state.epsilon * FASTER, 2.0**-52)
        slack = np.empty(len(rows.first) - 1)
        change = float(
            kernels.solve_components(rows.first, rows.order, *rows.arrays, epsilon, SWEEPS, SMALL, policy, V, slack)
        )
        bounds = state.bounds
        if rows.quotient is None:
            gamma = float(np.max(problem.gamma))
            gap = 2 * gamma * change / (1 - gamma)
        else:
            bounds = enclose(rows, V, slack) or bounds
            gap = np.inf if bounds is None else float(np.max(bounds.above - bounds.below, initial=0.0))
        return State(V, policy, epsilon, change, gap, bounds, rows)

    def finished(self, state: State) -> bool:
        """Whether the last pass changed nothing but at the level of rounding."""
        return state.rows.n == 0 or (state.epsilon <= 2.0**-50 and state.residual == 0.0)

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The value, and for total reward its bounds and the policy that supports the lower one."""
        return answer(problem, state.rows, state.V, state.bounds)
