"""Topological value iteration: one pass over a graph without cycles is exact, and so is a pass over small components."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import oracle as o
import pytest
import strategies as g

import mdpkit as mk
from mdpkit.models.canonical import canonical
from mdpkit.operators.rows import rows_of
from mdpkit.solvers.dynamic_programming import TopologicalValueIteration

F = Fraction


def after(mdp: mk.MDP, steps: int) -> Any:
    """The state after so many passes."""
    return next(islice(mk.iterates(mdp, TopologicalValueIteration()), steps, None))


def acyclic(rng: np.random.Generator, S: int, loops: bool) -> list[Any]:
    """Moves to larger states with halves and quarters, perhaps with a loop; the last state stays for nothing."""
    order = rng.permutation(S)  # the states' numbers say nothing about the order
    model: list[Any] = [None] * S
    for i, s in enumerate(order[:-1].tolist()):
        actions = []
        for _ in range(int(rng.integers(1, 4))):
            ahead = order[i + 1 :][rng.permutation(S - i - 1)[:2]].tolist()
            row = dict.fromkeys(ahead, F(1, len(ahead)))
            if loops and rng.integers(2):
                row = {t: p / 2 for t, p in row.items()} | {s: F(1, 2)}
            actions.append((F(int(rng.integers(-8, 9))), row))
        model[s] = actions
    model[int(order[-1])] = [(F(0), {int(order[-1]): F(1)})]
    return model


def swept(model: list[Any], gamma: Fraction, *, minimize: bool) -> list[Fraction]:
    """Exact values by backups in the order of the graph, loops in closed form."""
    V: dict[int, Fraction] = {}
    while len(V) < len(model):
        for s, actions in enumerate(model):
            if s not in V and all(t in V or t == s for _, row in actions for t in row):
                values = [
                    F(0)
                    if row == {s: 1} and r == 0
                    else (r + gamma * sum((p * V[t] for t, p in row.items() if t != s), F(0)))
                    / (1 - gamma * row.get(s, F(0)))
                    for r, row in actions
                ]
                V[s] = min(values) if minimize else max(values)
    return [V[s] for s in range(len(model))]


@pytest.mark.parametrize("minimize", [False, True])
def test_one_pass_over_a_graph_without_cycles_is_exact(minimize: bool) -> None:
    """Halves and integers: no rounding at all."""
    for seed in range(10):
        model = acyclic(np.random.default_rng(seed), 30, loops=False)
        mdp = g.build(model, mk.Discounted("1/2"), minimize=minimize)
        V = canonical(mdp).value(after(mdp, 1).V)
        assert [F(v) for v in V] == swept(model, F(1, 2), minimize=minimize)
        mdp = g.build(model, mk.TotalReward(), minimize=minimize)
        state = after(mdp, 1)
        value = canonical(mdp).value(state.rows.quotient.expand(state.V, np.zeros(30)))
        assert [F(v) for v in value] == swept(model, F(1), minimize=minimize)
        g.judge(mk.solve(mdp, TopologicalValueIteration()), swept(model, F(1), minimize=minimize))


@pytest.mark.parametrize("gamma", [F(1, 2), F(1)])
def test_loops_are_no_cycles(gamma: Fraction) -> None:
    for seed in range(10):
        model = acyclic(np.random.default_rng(seed), 30, loops=True)
        criterion = mk.TotalReward() if gamma == 1 else mk.Discounted(str(gamma))
        mdp = g.build(model, criterion)
        truth = swept(model, gamma, minimize=False)
        sol = mk.solve(mdp, TopologicalValueIteration(), until=mk.Gap(rel=1e-12))
        g.judge(sol, truth)
        assert sol.steps == 1


def test_leaving_is_solved_by_its_closed_form() -> None:
    """Reward -10, staying with 9/10: -10 / (1 - 9/10)."""
    state = after(mk.instances.make("leaving"), 1)
    assert state.V.min() == pytest.approx(-100, rel=1e-14)


@pytest.mark.parametrize("n", [10, 20])
def test_a_slow_component_is_eliminated(n: int) -> None:
    """Haddad and Monmege's chain: one half, where sweeps need some 2**n of them."""
    mdp = mk.instances.make("haddad-monmege", n=n)
    state = after(mdp, 1)
    middle = state.rows.quotient.class_of[np.flatnonzero(mdp.rho)[0]]
    assert abs(state.V[middle] - 0.5) <= 2.0**n * 1e-15
    g.judge(mk.solve(mdp, TopologicalValueIteration(), until=mk.Gap(rel=1e-3)), list(mk.solve(mdp, exact=True).exact))


@pytest.mark.parametrize("n", [5, 600])
def test_rings_below_and_above_the_size_of_elimination(n: int) -> None:
    """Two rings of n states, the second after the first: 1 a step on the first, 0 on the second, gamma = 1/2.

    A state may leave the first ring only at its end, for a state worth nothing, so it never does: the value is 2. A
    minimizer leaves at the end: V(i) = 2 - 2^(i - n + 1), which is 1 in the last state.
    """
    ring = [[(F(1), {(i + 1) % n: F(1)})] for i in range(n)]
    ring[n - 1].append((F(1), {n: F(1)}))
    second = [[(F(0), {n + (i + 1) % n: F(1)})] for i in range(n)]
    for minimize in (False, True):
        mdp = g.build(ring + second, mk.Discounted("1/2"), minimize=minimize)
        truth = [2 - F(1, 2 ** (n - 1 - i)) if minimize else F(2) for i in range(n)] + [F(0)] * n
        g.judge(mk.solve(mdp, TopologicalValueIteration()), truth)


def test_the_bound_of_the_docstring_holds_at_every_pass() -> None:
    for seed in range(5):
        mdp = mk.instances.make("garnet", S=60, A=3, branching=3, seed=seed, exact=True)
        gamma = float(mdp.criterion.gamma)
        V = mk.solve(mdp, exact=True).exact.astype(float)  # type: ignore[union-attr]
        for state in islice(mk.iterates(mdp, TopologicalValueIteration()), 1, 8):
            assert len(state.rows.first) < 61  # some component is larger than one state
            error = np.abs(state.V - V).max()
            assert error <= gamma / (1 - gamma) * state.residual + 1e-13 * np.abs(V).max()


def test_random_problems_against_every_policy() -> None:
    for mdp, truth in g.problems(11, 30):
        g.judge(mk.solve(mdp, TopologicalValueIteration()), truth)


def test_components_come_before_those_that_lead_to_them() -> None:
    for mdp, _ in g.problems(12, 10):
        rows = rows_of(canonical(mdp))
        number = np.empty(rows.n, dtype=int)
        for c in range(len(rows.first) - 1):
            number[rows.order[rows.first[c] : rows.first[c + 1]]] = c
        assert sorted(rows.order.tolist()) == list(range(rows.n))
        for s in range(rows.n):
            for k in range(rows.pair_ptr[s], rows.pair_ptr[s + 1]):
                for t in rows.indices[rows.indptr[k] : rows.indptr[k + 1]]:
                    assert number[t] <= number[s]


@pytest.mark.parametrize("target", [[0], [0, 1]])
def test_initial_in_the_target_and_everything_known(target: list[int]) -> None:
    model = [[(F(1), {0: F(1)})], [(F(3), {0: F(1, 2), 1: F(1, 2)})]]
    truth = o.target_total(model, set(target), minimize=True)
    for exact in (False, True):
        mdp = g.build(model, mk.TotalReward(target=target), minimize=True, rho=0, exact=exact)
        g.judge(mk.solve(mdp, TopologicalValueIteration()), truth)


def test_one_state() -> None:
    mdp = mk.MDP([[["1"], ["1"]]], [[1, 3]], mk.Discounted("3/4"))
    assert after(mdp, 1).V.tolist() == [12.0]
    g.judge(mk.solve(mdp, TopologicalValueIteration()), [F(12)])


@pytest.mark.parametrize("gamma", [0.5, 0.9, 0.99])
def test_the_gap_of_every_pass_bounds_its_error(gamma: float) -> None:
    S = 600  # one component, larger than those that are solved at once
    s = np.arange(S)
    P, r = np.zeros((S, S)), np.ones(S)
    P[s, (s + 1) % S] = P[s, (s - 1) % S] = 0.5
    best = np.linalg.solve(np.eye(S) - gamma * P, r)
    mdp = mk.MDP(P[:, None], r[:, None], mk.Discounted(gamma))
    for state in islice(mk.iterates(mdp, TopologicalValueIteration()), 1, 6):
        assert np.max(np.abs(state.V - best)) <= state.gap + 1e-9
