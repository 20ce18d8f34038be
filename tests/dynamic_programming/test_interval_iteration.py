"""Interval iteration: sound at every step, where plain value iteration stops at the wrong number."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.solvers.dynamic_programming import IntervalIteration

F = Fraction
CASES: list[tuple[str, dict[str, int]]] = [
    ("haddad-monmege", {"n": 8}),
    ("leaving", {}),
    ("free-loop", {}),
    ("gambler", {"goal": 20}),
    ("maze", {}),
]


@pytest.mark.parametrize(("name", "params"), CASES)
def test_sound_sides_enclose_at_every_step_and_only_tighten(name: str, params: dict[str, int]) -> None:
    mdp = mk.instances.make(name, **params)
    solver = IntervalIteration()
    exact: Any = mk.solve(mdp, exact=True).exact
    sign = -1 if mdp.minimize else 1
    before = None
    for state in islice(mk.iterates(mdp, solver), 200):
        q = state.plan.quotient
        value = sign * exact[q.members]
        low, high = state.sound
        assert not low or all(F(b) <= v for b, v in zip(state.below, value, strict=True))
        assert not high or all(F(a) >= v for a, v in zip(state.above, value, strict=True))
        if before is not None:
            assert not (before.sound[0] and low) or np.all(state.below >= before.below)
            assert not (before.sound[1] and high) or np.all(state.above <= before.above)
        before = state


@pytest.mark.parametrize("n", [3, 10, 15])
def test_haddad_and_monmege(n: int) -> None:
    """One half for every n; plain value iteration stopped at residual 1e-6 says 0.45086 at n = 15."""
    mdp = mk.instances.make("haddad-monmege", n=n)
    sol = mk.solve(mdp, IntervalIteration(), until=mk.Gap(rel=1e-6))
    assert sol.status is mk.Status.SOLVED
    assert sol.lower <= 0.5 <= sol.upper
    assert sol.upper - sol.lower <= 0.5e-6
    early = mk.solve(mdp, IntervalIteration(), max_steps=5)
    assert early.status is mk.Status.STEPS
    assert early.lower <= 0.5 <= early.upper
    assert early.certificate.verify(mdp, exact=True)


def test_leaving() -> None:
    """Exactly -100."""
    sol = mk.solve(mk.instances.make("leaving"), IntervalIteration())
    assert sol.lower <= -100 <= sol.upper
    assert sol.status.ok


def test_the_policy_stays_where_staying_is_best() -> None:
    """A ring that may be left for a target or a trap: a minimizer stays in it, and the witness must say so."""
    rows = [(s, a, (s + a) % 4, 1, 0) for s in range(4) for a in (-1, 1)]
    rows += [(0, 2, 4, "1/3", 0), (0, 2, 5, "2/3", 0), (4, 0, 4, 1, 0), (5, 0, 5, 1, 0)]
    mdp = mk.MDP.from_transitions(rows, mk.Reachability([4]), rho=[1, 0, 0, 0, 0, 0], minimize=True)
    sol = mk.solve(mdp, IntervalIteration())
    assert (sol.lower, sol.upper) == (0.0, 0.0)
    assert mk.evaluate(mdp, sol.pi, exact=True).exact_value == 0
    best = mdp.under(mdp.criterion, minimize=False)
    assert mk.evaluate(best, mk.solve(best, IntervalIteration()).pi, exact=True).exact_value == F(1, 3)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_value_of_zero_is_found_by_the_signs(sign: int) -> None:
    # 0: end for nothing, or go to 1, which loses 1/10 on the way out; only the first is worth it
    P = [[[0, 0, 1], [0, 1, 0]], [[0, "1/2", "1/2"], [0, "1/2", "1/2"]], [[0, 0, 1], [0, 0, 1]]]
    r = [[0, 0], [str(-sign * 0.1)] * 2, [0, 0]]
    mdp = mk.MDP(P, r, mk.TotalReward([2]), rho=0, minimize=sign < 0)
    sol = mk.solve(mdp, IntervalIteration())
    assert sol.status.ok
    assert (sol.lower, sol.upper) == (0.0, 0.0)
    assert sol.certificate.lower[1] <= -sign * F(1, 5) <= sol.certificate.upper[1]
    assert sol.certificate.gap > 0
