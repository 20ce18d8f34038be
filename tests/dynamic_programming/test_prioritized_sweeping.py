"""Prioritized sweeping: keys bound the Bellman errors, values stay on one side, and backups go where they matter."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import pytest
import strategies as g

import mdpkit as mk
from mdpkit.kernels import prioritized
from mdpkit.models.canonical import canonical
from mdpkit.operators.rows import rows_of
from mdpkit.solvers.dynamic_programming import PrioritizedSweeping

F = Fraction
DISCOUNTED = ["riverswim", "chain", "forest", "frozenlake", "gridworld-3-8"]
TOTAL: list[tuple[str, dict[str, int]]] = [
    ("haddad-monmege", {"n": 5}),
    ("gambler", {"goal": 20}),
    ("maze", {}),
    ("leaving", {}),
]


def backed_up(rows: Any, V: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """TV by plain loops over the rows."""
    out = np.full(rows.n, -np.inf)
    for s in range(rows.n):
        for k in range(rows.pair_ptr[s], rows.pair_ptr[s + 1]):
            part = slice(rows.indptr[k], rows.indptr[k + 1])
            out[s] = max(out[s], rows.r[k] + sum(rows.data[part] * V[rows.indices[part]]))
    return out


@pytest.mark.parametrize(("name", "params"), [(name, {}) for name in DISCOUNTED] + TOTAL)
def test_keys_bound_the_errors_and_values_stay_on_their_side(name: str, params: dict[str, int]) -> None:
    mdp = mk.instances.make(name, **params)
    exact: Any = mk.solve(mdp, exact=True).exact
    side = 0
    for state in islice(mk.iterates(mdp, PrioritizedSweeping()), 25):
        rows = state.plan.rows
        q = rows.quotient
        value = (canonical(mdp).sign * (exact if q is None else exact[q.members])).astype(float)
        slack = 1e-12 * max(1.0, np.abs(value).max())
        error = backed_up(rows, state.V) - state.V
        assert np.all(np.abs(error) <= state.key + slack)
        side = side or (1 if np.all(error >= -slack) else -1)
        assert np.all(side * error >= -slack)
        assert np.all(side * (value - state.V) >= -slack)
        assert state.residual == state.key.max()
        if q is None:
            assert np.abs(value - state.V).max() <= state.residual / (1 - canonical(mdp).gamma.max()) + slack


def test_the_heap_is_one() -> None:
    mdp = mk.instances.make("garnet", S=50, A=3, branching=4, seed=3, exact=False)
    for state in islice(mk.iterates(mdp, PrioritizedSweeping()), 10):
        assert sorted(state.heap.tolist()) == list(range(50))
        assert state.place[state.heap].tolist() == list(range(50))
        assert all(state.key[state.heap[(i - 1) // 2]] >= state.key[state.heap[i]] for i in range(1, 50))


@pytest.mark.parametrize("name", ["riverswim", "gridworld-3-8"])
def test_the_number_of_backups_is_bounded(name: str) -> None:
    """The least of the largest keys before the first N backups, one backup at a time, against the docstring's bound."""
    mdp = mk.instances.make(name)
    V = mk.solve(mdp, exact=True).exact.astype(float)  # type: ignore[union-attr]
    state = next(iter(mk.iterates(mdp, PrioritizedSweeping())))
    rows, before = state.plan
    ptr, _, weight = before
    c = max(sum(weight[ptr[s] : ptr[s + 1]]) for s in range(rows.n))
    total = state.key.sum() + c * np.abs(V - state.V).sum()
    value, key, heap, place = state.V, state.key, state.heap, state.place
    kernels: Any = prioritized
    least = np.inf
    for N in range(1, 400):
        least = min(least, key[heap[0]])
        assert least <= total / N * (1 + 1e-12)
        kernels.sweep(1, *rows.arrays, *before, value, key, heap, place)


def test_those_that_lead_to_a_state() -> None:
    for mdp, _ in g.problems(21, 6):
        rows = rows_of(canonical(mdp))
        expected: dict[tuple[int, int], float] = {}
        for s in range(rows.n):
            for k in range(rows.pair_ptr[s], rows.pair_ptr[s + 1]):
                for e in range(rows.indptr[k], rows.indptr[k + 1]):
                    t = int(rows.indices[e])
                    expected[s, t] = max(expected.get((s, t), 0.0), rows.data[e])
        ptr, states, weight = rows.before()
        found = {(int(states[j]), t): weight[j] for t in range(rows.n) for j in range(int(ptr[t]), int(ptr[t + 1]))}
        assert found == expected


def test_a_reward_far_away_is_carried_along_the_one_path_that_leads_to_it() -> None:
    """A corridor of 1000 states in bad order whose end pays once: each state is backed up once, and never again."""
    n = 1000
    order = np.random.default_rng(0).permutation(n)
    model: list[Any] = [None] * n
    for i, s in enumerate(order.tolist()):
        model[s] = [(F(int(i == n - 2)), {int(order[min(i + 1, n - 1)]): F(1)})]
    mdp = g.build(model, mk.TotalReward(), rho=int(order[0]))
    first, second = islice(mk.iterates(mdp, PrioritizedSweeping()), 2)
    assert first.residual == 1.0
    assert second.residual == 0.0
    q = second.plan.rows.quotient
    assert second.V.tolist() == [1.0 if s != order[-1] else 0.0 for s in q.members]
    g.judge(mk.solve(mdp, PrioritizedSweeping()), [F(int(s != order[-1])) for s in range(n)])


def test_random_problems_against_every_policy() -> None:
    for mdp, truth in g.problems(22, 20):
        g.judge(mk.solve(mdp, PrioritizedSweeping()), truth)


def test_one_state_and_everything_known() -> None:
    mdp = mk.MDP([[["1"], ["1"]]], [[1, 3]], mk.Discounted("3/4"))
    g.judge(mk.solve(mdp, PrioritizedSweeping()), [F(12)])
    known = mk.MDP([[["1"]]], [[1]], mk.TotalReward(target=[0]), rho=0)
    g.judge(mk.solve(known, PrioritizedSweeping()), [F(0)])


def test_discounted_values_rise_and_gaps_bound_their_errors() -> None:
    # two loops of which one pays: the first gap is the error itself
    P, r, gamma = np.zeros((3, 1, 3)), np.array([[1.0], [0.0], [0.5]]), 0.9
    P[[0, 1, 2], 0, [0, 1, 0]] = 1
    best = np.array([10.0, 0.0, 9.5])
    mdp = mk.MDP(P, r, mk.Discounted(gamma))
    states = list(islice(mk.iterates(mdp, PrioritizedSweeping()), 200))
    assert states[0].gap == pytest.approx(10)
    for state in states:
        assert np.all(state.V <= best + 1e-12)
        assert np.max(np.abs(state.V - best)) <= state.gap + 1e-12
    assert states[-1].gap < 1e-6
