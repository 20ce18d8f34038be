r"""Interval iteration: sound value iteration for total reward, from both sides."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.certificates.certificate import width
from mdpkit.kernels import graph as g
from mdpkit.models.canonical import Canonical
from mdpkit.reductions.end_components import Quotient, Structure, analyze
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Array, Bools, Floats, Ints

__all__ = ["IntervalIteration", "State"]

FIRST_GUESS = 8
PATIENCE = 4


class State(NamedTuple):
    """Bounds of the classes of the quotient; a side that is not inductive yet is only a hint (``sound`` says which)."""

    below: Floats
    above: Floats
    choice: Ints
    sound: tuple[bool, bool]
    gap: float
    change: float
    k: int
    guess: int
    plan: Any


class Plan(NamedTuple):
    """What is computed once: the quotient, the order of the sweeps, the rounding margins, classes of value zero by signs."""

    structure: Structure
    quotient: Quotient
    order: Ints
    margin: Floats
    zero: Bools


@dataclass(frozen=True)
class IntervalIteration(IterativeSolver[State]):
    r"""Lower and upper bounds of reachability and total reward, swept toward each other.

    .. math:: L_{k+1} = \max(L_k, T L_k), \qquad U_{k+1} = \min(U_k, T U_k), \qquad L_k \le TL_k,\ U_k \ge TU_k

    on the quotient by end components without reward, whose Bellman equation has one solution. Sweeps are Gauss--Seidel, in
    the order of the strongly connected components from the last to the first, and are rounded outward. A side that has no
    inductive start (zero is one for rewards of one sign) is guessed a little outside the other and kept once it is inductive.

    **Guarantee.** :math:`L_k \le V^* \le U_k` for each k at which both sides are sound, and both converge to :math:`V^*`.
    Checked by ``haddad2018:enclosure``; that the quotient has this value, by ``haddad2018:quotient``.

    *Departures.* Haddad and Monmege start reachability from 0 and 1; here the upper side starts from a guess that is
    verified, as in optimistic value iteration (``hartmanns2020``), which needs no bound beforehand for rewards.

    References
    ----------
    ``haddad2018``, ``baier2017``, ``hartmanns2020``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> sol = mk.solve(mk.instances.make("haddad-monmege", n=10), IntervalIteration())
    >>> sol.lower <= 0.5 <= sol.upper
    True
    """

    cites: ClassVar = ("haddad2018", "baier2017", "hartmanns2020")
    claims: ClassVar = ("haddad2018:enclosure", "haddad2018:quotient")
    kinds: ClassVar = ("total",)
    bounding: ClassVar = True

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Zero on the side where it is inductive; elsewhere zero is a hint."""
        st = analyze(problem)
        q = st.quotient
        label, _ = g.strong_components(q.graph)
        order = np.argsort(label[: q.n], kind="stable").astype(np.int64)
        margin = np.zeros(len(q.pair))
        margin[q.pair >= 0] = 2 * problem.r_error[q.pair[q.pair >= 0]]
        rising, falling = bool(np.all(q.r >= 0)), bool(np.all(q.r <= 0))
        plan = Plan(st, q, order, margin, _worth_nothing(q, rising, falling))
        zero = np.zeros(q.n)
        gap = 0.0 if q.n == 0 else np.inf
        return State(zero, zero.copy(), q.proper_choice(), (rising, falling), gap, np.inf, 0, FIRST_GUESS, plan)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One sweep of each side; now and then a guess of the side that is missing."""
        plan: Plan = state.plan
        low_sound, high_sound = state.sound
        below, above, choice = state.below.copy(), state.above.copy(), state.choice.copy()
        change = 0.0
        if low_sound or not high_sound:
            _, moved = _sweep(plan, -1 if low_sound else 0, below, choice)
            change = max(change, moved)
        if high_sound:
            _, moved = _sweep(plan, 1, above, choice.copy())
            change = max(change, moved)
        k, guess = state.k + 1, state.guess
        if k >= guess and not (low_sound and high_sound):
            center = above if high_sound else below
            far = max(change, 2.0**-45) * 4 * k
            reach = far * (np.abs(center) + np.max(np.abs(center), initial=0.0) * 2.0**-20)
            if not high_sound:
                above, high_sound = _guess(plan, 1, center + reach, choice.copy(), PATIENCE * k)
            if not low_sound:
                trial = choice.copy()
                below_trial, low_sound = _guess(plan, -1, center - reach, trial, PATIENCE * k)
                if low_sound:
                    below, choice = below_trial, trial
            guess = 2 * k
        gap = float(np.max(above - below, initial=0.0)) if low_sound and high_sound else np.inf
        return State(below, above, choice, (low_sound, high_sound), gap, change, k, guess, plan)

    def finished(self, state: State) -> bool:
        """Whether neither side moves any more."""
        return state.plan.quotient.n == 0 or (all(state.sound) and state.change == 0.0)

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The bounds, a value between them, and the policy that supports the lower one."""
        plan: Plan = state.plan
        st, q = plan.structure, plan.quotient
        known = st.infinite.copy()
        if problem.fixed is not None and problem.fixed_value is not None:
            known[problem.fixed] = problem.fixed_value[problem.fixed]
        low_sound, high_sound = state.sound
        below = q.expand(state.below if low_sound else np.full(q.n, -np.inf), known)
        above = q.expand(state.above if high_sound else np.full(q.n, np.inf), known)
        middle = np.where(width(below, above) < np.inf, below, np.where(np.isfinite(below), below, 0.0))
        return Answer(middle, q.policy(state.choice), below, above, steps=state.k)


def _sweep(plan: Plan, side: int, V: Floats, choice: Ints) -> tuple[int, float]:
    fast: Any = import_module("mdpkit.kernels.fast")
    q = plan.quotient
    broken, change = fast.bound_sweep(
        plan.order, q.pair_ptr, q.indptr, q.indices, q.data, q.r, plan.margin, side, V, choice
    )
    return int(broken), float(change)


def _worth_nothing(q: Quotient, rising: bool, falling: bool) -> Bools:
    """Classes whose value is zero: no policy meets a reward or, where there are only costs, some policy meets none."""
    loud = np.concatenate((q.r != 0, [False]))  # the last pair is that of having left
    if rising:
        return ~g.can_reach(q.graph, np.bincount(q.graph.pair_state[loud], minlength=q.n + 1) > 0)[: q.n]
    if falling:
        forced = np.bincount(q.graph.pair_state[~loud], minlength=q.n + 1) == 0
        return ~g.prob_min_positive(q.graph, forced, pairs=~loud)[: q.n]
    return np.zeros(q.n, dtype=bool)


def _guess(plan: Plan, side: int, V: Floats, choice: Ints, patience: int) -> tuple[Array, bool]:
    """Sweep a guessed bound until a whole sweep finds it inductive, or patience ends."""
    V[plan.zero] = 0.0
    for _ in range(patience):
        broken, change = _sweep(plan, side, V, choice)
        if broken == 0:
            return V, True
        if change == 0.0:
            return V, False
    return V, False
