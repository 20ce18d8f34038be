r"""Real-time dynamic programming: backups along trials from the initial state, with labels and bounds from both sides."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import ModelError
from mdpkit.kernels import graph as g
from mdpkit.kernels.evaluation import solve_policy, take_rows
from mdpkit.models.canonical import Canonical
from mdpkit.operators.rows import Bounds, OrderedRows, answer, rows_of
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Bools, Floats, Ints

__all__ = ["LabeledRTDP", "State"]

COARSE = 2.0**-6
FINER = 2.0**-3
FINEST = 2.0**-54
BUDGET = 1 << 24
LOOKS = 8


class State(NamedTuple):
    """Bounds of the classes of the quotient: ``below`` is minus infinity outside what the policy ``choice`` visits.

    ``visited`` are the states that ``choice`` visits from the initial ones, ``value`` is its value there, ``touched`` the
    mask of all classes that were ever backed up and ``n_touched`` their number.
    """

    above: Floats
    below: Floats
    choice: Ints
    gap: float
    n_touched: int
    epsilon: float
    touched: Bools
    visited: Ints
    value: Floats
    greedy: Ints
    solved: Bools
    mark: Ints
    stamp: int
    seed: Any
    plan: Plan


class Plan(NamedTuple):
    """What is computed once: the rows, the initial classes and their probabilities."""

    rows: OrderedRows
    starts: Ints
    weight: Floats


@dataclass(frozen=True)
class LabeledRTDP(IterativeSolver[State]):
    r"""Labeled real-time dynamic programming for goal problems, from the initial states, with both bounds.

    .. math::

       s_0 \sim \rho, \quad a_t \in \operatorname{greedy}(U)(s_t), \quad U(s_t) \leftarrow (TU)(s_t), \quad
       s_{t+1} \sim P(\cdot|s_t, a_t); \qquad L = V^\sigma,\ \sigma = \operatorname{greedy}(U)

    A trial follows the greedy policy of an optimistic bound U, updating it, until a state labeled as solved; then the states
    of the trial are checked from its end: where no state that the greedy policy reaches has a Bellman error above a tolerance,
    all of these are labeled. Once the initial states are, the greedy policy is evaluated where it goes, which gives the
    lower bound L there (none elsewhere), and the tolerance is divided by 8. Only what good policies reach is ever backed up.

    The model must have initial states, and rewards of at most zero: costs that a minimizer pays, until a target or for ever,
    or the probability of reaching a target or of staying safe, maximized or minimized. The optimistic bound is zero, or one
    for the largest probability. States that are not visited keep it, so certified gaps are those of the initial states: use
    another solver where all states matter.

    **Guarantee.** :math:`L \le V^* \le U` in all states at all times, U falls, and the label of a state says that
    :math:`U - T_\sigma U \le \varepsilon` in all states that :math:`\sigma` visits from it, so :math:`U - V^\sigma` is there
    at most :math:`\varepsilon` times the expected number of steps of :math:`\sigma`. Checked by ``bonet2003:labels`` and, where
    states are merged, by ``bonet2003:enclosure``.

    *Departures.* Bonet and Geffner stop at a tolerance of the residual, which bounds nothing by itself; here the policy is
    evaluated, as in bounded RTDP (``mcmahan2005``, ``smith2006``), but exactly and only when it is labeled. A bound U close
    to its value is tried too, and kept if it is inductive. A trial ends when it has paid what its start is believed to cost,
    or entered as many new states as an eighth of the known ones. The problem is the quotient by end components without
    reward.

    References
    ----------
    ``bonet2003``, ``barto1995``, ``mcmahan2005``, ``smith2006``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> sol = mk.solve(mk.instances.make("maze"), LabeledRTDP())
    >>> sol.value.__round__(9), sol.status.ok
    (18.0, True)
    """

    cites: ClassVar = ("bonet2003", "barto1995", "mcmahan2005", "smith2006")
    claims: ClassVar = ("bonet2003:labels", "bonet2003:enclosure")
    kinds: ClassVar = ("total",)
    needs: ClassVar = "initial states, and with costs or a probability: rewards of at most zero"
    randomized: ClassVar = True
    bounding: ClassVar = True

    def accepts(self, problem: Canonical) -> bool:
        """Whether the problem has initial states and only costs."""
        return problem.kind == "total" and problem.mdp.rho is not None and bool(np.all(problem.r <= 0))

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The optimistic bound, and no lower one."""
        rows = rows_of(problem)
        q, n = rows.quotient, rows.n
        assert q is not None and problem.mdp.rho is not None
        above = np.zeros(n)
        if problem.fixed is not None and problem.fixed_value is not None:
            worth = np.where(problem.fixed, problem.fixed_value, 0.0)
            reaching = g.can_reach(problem.graph, worth > 0) & (q.class_of >= 0)
            above[q.class_of[reaching]] = np.max(worth)
        weight = np.asarray(
            np.bincount(q.class_of[q.class_of >= 0], problem.mdp.rho[q.class_of >= 0], minlength=n), dtype=np.float64
        )
        starts = np.flatnonzero(weight)
        seed = 0 if rng is None else int(rng.integers(2**63))
        return State(
            above=above,
            below=np.full(n, -np.inf),
            choice=rows.proper(),
            gap=np.inf if len(starts) else 0.0,
            n_touched=0,
            epsilon=COARSE,
            touched=np.zeros(n, dtype=bool),
            visited=np.zeros(0, dtype=np.int64),
            value=np.zeros(0),
            greedy=rows.proper(),
            solved=np.zeros(n, dtype=bool),
            mark=np.zeros(n, dtype=np.int64),
            stamp=0,
            seed=np.array([seed], dtype=np.uint64),
            plan=Plan(rows, starts, weight[starts]),
        )

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """Trials until the initial states are labeled at the tolerance; then the lower bound."""
        kernels: Any = import_module("mdpkit.kernels.trials")
        rows, starts, _ = state.plan
        above, greedy, solved, touched = (x.copy() for x in (state.above, state.greedy, state.solved, state.touched))
        mark, seed = state.mark.copy(), state.seed.copy()
        done, stamp = kernels.search(
            starts,
            state.epsilon,
            BUDGET,
            *rows.arrays,
            rows.margin,
            above,
            greedy,
            solved,
            touched,
            mark,
            state.stamp,
            seed,
        )
        state = state._replace(above=above, greedy=greedy, solved=solved, touched=touched, mark=mark, seed=seed)
        state = state._replace(stamp=stamp + 1, n_touched=int(np.count_nonzero(touched)))
        if not done:
            return state
        visited = kernels.envelope(starts, greedy, rows.indptr, rows.indices, mark, stamp + 1)
        state = _bounded(state, visited)
        return state._replace(solved=np.zeros(rows.n, dtype=bool), epsilon=state.epsilon * FINER)

    def finished(self, state: State) -> bool:
        """Whether the initial states are known, or labels at a finer tolerance would say no more."""
        return not len(state.plan.starts) or state.epsilon < FINEST

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The bounds, and the policy that supports the lower one where there is one, else some proper policy."""
        rows = state.plan.rows
        choice = np.where(np.isfinite(state.below), state.choice, rows.proper())
        bounds = Bounds(state.below, state.above, choice)
        found = answer(problem, rows, state.above, bounds)
        assert found.above is not None
        return found._replace(V=np.where(np.isfinite(found.V), found.V, found.above))


def _bounded(state: State, visited: Ints) -> State:
    """The state with the value of its greedy policy as the lower bound, and as an upper one if that is inductive."""
    kernels: Any = import_module("mdpkit.kernels.components")
    rows, starts, weight = state.plan
    value, choice, below = state.value, state.choice, state.below
    pairs = state.greedy[visited]
    if not (np.array_equal(visited, state.visited) and np.array_equal(pairs, choice[visited])):
        indptr, columns, data = take_rows(rows.indptr, rows.indices, rows.data, pairs)
        place = np.empty(rows.n, dtype=np.int64)
        place[visited] = np.arange(len(visited))
        try:
            value = solve_policy(indptr, place[columns], data, rows.r[pairs])
        except ModelError:
            return state  # the policy does not leave: a finer tolerance will tell it
        if not np.all(np.isfinite(value)):
            return state
    V = np.zeros(rows.n)
    V[visited] = value
    floor = kernels.FLOOR * float(np.max(np.abs(value)))
    inward = visited[::-1].copy()

    def guess(side: int, bound: Floats, witness: Ints) -> bool:
        return bool(
            kernels.enclose(inward, side, 2.0**-45, floor, LOOKS, LOOKS, *rows.arrays, rows.margin, V, bound, witness)
        )

    trial, witness = np.full(rows.n, -np.inf), state.greedy.copy()
    if guess(-1, trial, witness) and not weight @ trial[starts] < weight @ below[starts]:
        below, choice = trial, witness
    above = state.above
    trial = above.copy()
    if guess(1, trial, witness.copy()):
        above = np.minimum(above, trial)
    gap = float(weight @ (above[starts] - below[starts]))
    return state._replace(above=above, below=below, choice=choice, gap=gap, visited=visited, value=value)
