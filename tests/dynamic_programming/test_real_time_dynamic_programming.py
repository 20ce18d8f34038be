"""Labeled RTDP: bounds from both sides at every step, labels that mean something, and most of a large model left alone."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import pytest
import strategies as g

import mdpkit as mk
from mdpkit.errors import UnsupportedError
from mdpkit.kernels import trials
from mdpkit.models.canonical import canonical
from mdpkit.solvers.dynamic_programming import LabeledRTDP

F = Fraction
INSTANCES: list[tuple[str, dict[str, int]]] = [
    ("haddad-monmege", {"n": 5}),
    ("gambler", {"goal": 20}),
    ("maze", {}),
    ("free-loop", {}),
    ("leaving", {}),
    ("gridworld-4-1", {}),
]


def field(width: int, goal: int, *, rho: Any = None, sideways: bool = True) -> mk.MDP:
    """Steps of cost 1 on an open square: 8/10 in the direction chosen, else to either side, or not at all; to a target."""
    rows: list[tuple[int, int, int, F, int]] = []
    moves = [(0, 1), (1, 0), (0, -1), (-1, 0)]

    def to(s: int, d: int) -> int:
        x, y = s % width + moves[d % 4][0], s // width + moves[d % 4][1]
        return y * width + x if 0 <= x < width and 0 <= y < width else s

    for s in range(width * width):
        for a in range(4):
            law: dict[int, F] = {}
            aside = [to(s, a + 1), to(s, a - 1)] if sideways else [s, s]
            for t, p in zip([to(s, a), *aside], (F(8, 10), F(1, 10), F(1, 10)), strict=True):
                law[t] = law.get(t, F(0)) + p
            rows += [(s, a, t, p, 1) for t, p in law.items()]
    middle = (width // 2) * width + width // 2
    return mk.MDP.from_transitions(
        rows, mk.TotalReward(target=[goal]), rho=middle if rho is None else rho, minimize=True
    )


@pytest.mark.parametrize(("name", "params"), INSTANCES)
def test_bounds_enclose_at_every_step_and_the_upper_one_falls(name: str, params: dict[str, int]) -> None:
    mdp = mk.instances.make(name, **params)
    exact: Any = mk.solve(mdp, exact=True).exact
    before = None
    for state in islice(mk.iterates(mdp, LabeledRTDP()), 12):
        value = canonical(mdp).sign * exact[state.plan.rows.quotient.members]
        assert all(F(a) >= v for a, v in zip(state.above, value, strict=True))
        assert all(b == -np.inf or F(b) <= v for b, v in zip(state.below, value, strict=True))
        if before is not None:
            assert np.all(state.above <= before.above)
            assert state.gap <= before.gap
        before = state
    assert before is not None
    assert before.gap <= 1e-9 * max(1.0, np.abs(before.above).max())


@pytest.mark.parametrize("epsilon", [2.0**-4, 2.0**-7, 2.0**-14])
def test_a_label_bounds_the_errors_of_all_that_is_visited(epsilon: float) -> None:
    """And so the greedy policy's value, by the expected number of its steps: costs are 1 a step, so that is its cost."""
    mdp = field(12, 0)
    first = next(iter(mk.iterates(mdp, LabeledRTDP())))
    rows, starts, _ = first.plan
    kernels: Any = trials
    U, greedy, solved = first.above.copy(), first.greedy.copy(), first.solved.copy()
    mark = first.mark.copy()
    done, stamp = kernels.search(
        starts, epsilon, 2**40, *rows.arrays, rows.margin, U, greedy, solved, first.touched.copy(), mark, 0,
        np.array([7], dtype=np.uint64),
    )  # fmt: skip
    assert done
    visited = kernels.envelope(starts, greedy, rows.indptr, rows.indices, mark, stamp + 1).tolist()
    assert np.all(solved[visited])
    assert set(starts.tolist()) <= set(visited)
    error = epsilon * np.abs(U[starts]).max()
    P, r = np.zeros((rows.n, rows.n)), np.zeros(rows.n)
    for s in visited:
        k = greedy[s]
        assert rows.pair_ptr[s] <= k < rows.pair_ptr[s + 1]
        part = slice(rows.indptr[k], rows.indptr[k + 1])
        P[s, rows.indices[part]], r[s] = rows.data[part], rows.r[k]
        assert set(rows.indices[part].tolist()) <= set(visited)
        assert U[s] - (r[s] + P[s] @ U) <= error * (1 + 1e-12)
    V = np.linalg.solve(np.eye(rows.n) - P, r)
    steps = np.linalg.solve(np.eye(rows.n) - P, (r != 0).astype(float))
    assert np.all((U - V)[visited] <= error * steps[visited] * (1 + 1e-9))


def test_the_irrelevant_part_is_left_alone() -> None:
    """A corridor of 30 steps to the target, each of cost 1, beside a door to 20000 states of which each step costs 50.

    From the far side of the door nothing cheaper than 50 comes back, so the value is 30 and the optimistic bound, zero
    there, is raised only where a trial looked.
    """
    n, far = 30, 20_000
    S = n + 1 + far
    rng = np.random.default_rng(3)
    rows: list[tuple[int, int, int, float, float]] = []
    for i in range(n):
        rows += [(i, 0, i + 1, 1.0, 1.0), (i, 1, n + 1 + 7 * i, 1.0, 50.0)]
    rows.append((n, 0, n, 1.0, 0.0))
    for s in range(n + 1, S):
        for a, t in enumerate(rng.integers(n + 1, S, size=2).tolist()):
            rows += [(s, a, t, 0.5, 50.0), (s, a, int(rng.integers(n)), 0.5, 50.0)]
    mdp = mk.MDP.from_transitions(rows, mk.TotalReward(target=[n]), rho=0, minimize=True)
    sol = mk.solve(mdp, LabeledRTDP())
    assert sol.status is mk.Status.SOLVED
    assert sol.lower <= 30 <= sol.upper
    assert sol.certificate.verify(mdp)
    state = next(islice(mk.iterates(mdp, LabeledRTDP()), sol.steps, None))
    assert 30 <= state.n_touched <= 60
    assert state.n_touched == state.touched.sum()
    assert np.isfinite(state.below).sum() == 30
    assert mk.evaluate(mdp, sol.pi).value == pytest.approx(30, rel=1e-12)


def test_a_goal_nearby_on_a_large_field() -> None:
    """Five steps that succeed with 8/10 on 10000 states: 25/4, found in a small part of them."""
    mdp = field(100, 50 * 100 + 55, sideways=False)
    sol = mk.solve(mdp, LabeledRTDP())
    assert sol.status is mk.Status.SOLVED
    assert F(sol.lower) <= F(25, 4) <= F(sol.upper)
    assert sol.certificate.verify(mdp)
    state = next(islice(mk.iterates(mdp, LabeledRTDP()), sol.steps, None))
    assert state.n_touched <= 150
    assert np.isfinite(state.below).sum() == 5


def test_a_loop_that_looks_cheap_at_first() -> None:
    """A loop of cost 1/16 beside an exit of cost 10: the bound must rise step by step until leaving looks better."""
    rows = [(0, 0, 0, 1, "1/16"), (0, 1, 1, 1, 10), (1, 0, 1, 1, 0)]
    mdp = mk.MDP.from_transitions(rows, mk.TotalReward(target=[1]), rho=0, minimize=True)
    g.judge(mk.solve(mdp, LabeledRTDP()), [F(10), F(0)])


def test_the_seed_decides_the_trials_and_not_the_value() -> None:
    mdp = field(12, 0)

    def run(seed: int | None) -> tuple[mk.Solution, int]:
        rng = None if seed is None else np.random.default_rng(seed)
        sol = mk.solve(mdp, LabeledRTDP(), rng=rng)
        rng = None if seed is None else np.random.default_rng(seed)
        return sol, next(islice(mk.iterates(mdp, LabeledRTDP(), rng), 1, None)).n_touched

    found = {seed: run(seed) for seed in (None, 1, 2, 3)}
    again, touched = run(2)
    assert touched == found[2][1]
    assert again.certificate.upper.tolist() == found[2][0].certificate.upper.tolist()
    assert len({found[seed][0].certificate.upper.tobytes() for seed in found}) > 1
    for sol, _ in found.values():
        assert sol.status.ok
        assert sol.certificate.verify(mdp)
        assert sol.lower <= found[None][0].upper and found[None][0].lower <= sol.upper


def test_random_problems_against_every_policy() -> None:
    solved = 0
    for mdp, truth in g.problems(31, 45):
        if not LabeledRTDP().accepts(canonical(mdp)):
            continue
        sol = mk.solve(mdp, LabeledRTDP())
        g.judge(sol, truth)
        solved += 1
    assert solved > 60


def test_a_law_over_initial_states() -> None:
    rho = np.zeros(144)
    rho[[3, 50, 143, 0]] = 0.25  # the target itself is one of them
    mdp = field(12, 0, rho=rho)
    sol = mk.solve(mdp, LabeledRTDP())
    full = mk.solve(mdp, exact=True)
    assert sol.status is mk.Status.SOLVED
    assert sol.lower <= full.value <= sol.upper


@pytest.mark.parametrize("rho", [0, 2])
def test_an_initial_value_that_is_known(rho: int) -> None:
    """In the target, and where the target is out of reach."""
    rows = [(0, 0, 0, 1, 1), (1, 0, 0, 1, 1), (2, 0, 2, 1, 1)]
    mdp = mk.MDP.from_transitions(rows, mk.TotalReward(target=[0]), rho=rho, minimize=True)
    sol = mk.solve(mdp, LabeledRTDP())
    assert sol.steps == 0
    assert sol.status.ok
    assert sol.lower == sol.upper == (0 if rho == 0 else np.inf)


def test_other_problems_are_refused_with_what_is_needed() -> None:
    mdp = mk.instances.make("maze")
    for other in (
        mdp.under(mk.Discounted(0.9)),
        mdp.under(mdp.criterion, minimize=False),
        mk.MDP.from_transitions([(0, 0, 0, 1, 1)], mk.TotalReward(target=[0]), minimize=True),
    ):
        with pytest.raises(UnsupportedError, match="a total problem with initial states, and with costs"):
            mk.solve(other, LabeledRTDP())
