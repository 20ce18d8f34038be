r"""Relative value iteration: value iteration whose constant drift is taken off."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels.evaluation import take_rows
from mdpkit.models.canonical import Canonical
from mdpkit.reductions.communicating import Communicating, communicating
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Floats, Ints

__all__ = ["RelativeValueIteration", "State"]


class Plan(NamedTuple):
    """What is computed once: the classes, and the pairs inside them with the states put one class after another."""

    classes: Communicating
    order: Ints
    class_ptr: Ints
    pairs: Ints
    pair_ptr: Ints
    rows: tuple[Ints, Any, Floats]
    r: Floats
    ones: Floats


class State(NamedTuple):
    """Relative values of the states in classes, and the least and largest rise of each class."""

    h: Floats
    choice: Ints
    low: Floats
    high: Floats
    gap: float
    plan: Plan


@dataclass(frozen=True)
class RelativeValueIteration(IterativeSolver[State]):
    r"""Relative value iteration with the aperiodicity transform, on each communicating class.

    .. math::

       h_{k+1} = h_k + \tau (Th_k - h_k) - c_k, \qquad
       \min_s (Th_k - h_k)(s) \le g^* \le \max_s (Th_k - h_k)(s)

    with :math:`(Th)(s) = \max_a \{ r(s,a) + \sum_{s'} P(s'|s,a) h(s') \}` over the actions that keep to the class, and c the
    change at the class's first state. The gains of the classes are then mixed as well as the model allows, by policy iteration
    on the quotient.

    **Guarantee.** The bounds enclose the gain of each class for every k and, as :math:`\tau < 1` makes every chain aperiodic,
    close. Checked by ``schweitzer1971:span``.

    *Departures.* The papers assume that all optimal policies have one recurrent class, or that the model is communicating;
    here each maximal end component is swept as a model of its own, and states outside all of them have no part in the sweeps.

    Parameters
    ----------
    tau : float
        Probability, in (0, 1], with which a transition of the model is made; else the state is kept. One leaves periodic
        models without convergence.

    References
    ----------
    ``white1963``, ``odoni1969``, ``schweitzer1971``, ``puterman1994`` (Sections 8.5 and 9.4, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> sol = mk.solve(mk.instances.make("howard-toymaker").under(mk.AverageReward()), RelativeValueIteration())
    >>> sol.lower <= 2 <= sol.upper
    True
    """

    tau: float = 0.9
    cites: ClassVar = ("white1963", "odoni1969", "schweitzer1971", "puterman1994")
    claims: ClassVar = ("schweitzer1971:span",)
    kinds: ClassVar = ("average",)
    stalls: ClassVar = True

    def __post_init__(self) -> None:
        if not isinstance(self.tau, (int, float)) or not 0 < self.tau <= 1:
            raise OptionError("tau is no probability of moving", found=self.tau, needed="0 < tau <= 1")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Zero."""
        plan = _plan(problem)
        n = len(plan.order)
        nowhere = np.full(plan.classes.n, np.inf)
        return State(np.zeros(n), plan.pair_ptr[:-1].copy(), -nowhere, nowhere, np.inf, plan)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One sweep of all classes."""
        fast: Any = import_module("mdpkit.kernels.fast")
        plan, h = state.plan, state.h
        out, choice = np.empty_like(h), np.empty(len(h), dtype=np.int64)
        fast.backup(plan.pair_ptr, *plan.rows, plan.r, plan.ones, h, out, choice)
        rise = out - h
        low, high = np.minimum.reduceat(rise, plan.class_ptr[:-1]), np.maximum.reduceat(rise, plan.class_ptr[:-1])
        h = h + self.tau * rise
        h -= np.repeat(h[plan.class_ptr[:-1]], np.diff(plan.class_ptr))
        return State(h, choice, low, high, float(np.max(high - low)), plan)

    def finished(self, state: State) -> bool:
        """Whether the rise differs between states by rounding only."""
        return state.gap <= 2.0**-50 * float(np.max(np.abs(state.h), initial=0.0))

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The relative values, and the policy that is greedy inside the classes and moves to the best of them."""
        plan = state.plan
        h = np.zeros(problem.n_states)
        h[plan.order] = state.h
        stay = np.full(problem.n_states, -1, dtype=np.int64)
        stay[plan.order] = plan.pairs[state.choice]
        _, moves = plan.classes.best(np.where(np.isfinite(state.low), state.low, 0.0))
        return Answer(h, plan.classes.policy(moves, stay))


def _plan(problem: Canonical) -> Plan:
    com = communicating(problem)
    P, S = problem.P, problem.n_states
    order = np.concatenate(com.classes)
    local = np.full(S, -1, dtype=np.int64)
    local[order] = np.arange(len(order))
    pairs = np.flatnonzero(com.inside)
    pairs = pairs[np.argsort(local[problem.state[pairs]], kind="stable")]
    indptr, columns, data = take_rows(P.indptr, P.indices, P.data, pairs)
    counts = np.bincount(local[problem.state[pairs]], minlength=len(order))
    sizes = np.array([len(c) for c in com.classes])
    return Plan(
        com,
        order,
        np.concatenate(([0], np.cumsum(sizes))),
        pairs,
        np.concatenate(([0], np.cumsum(counts))),
        (indptr, local[columns].astype(np.uint32), data),
        problem.r[pairs],
        np.ones(len(pairs)),
    )
