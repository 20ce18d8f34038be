"""Bellman's operators in floats, on slices of states, and where values are known; claims check them in rationals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.models.canonical import canonical
from mdpkit.operators.bellman import BellmanOptimality, BellmanPolicy, Sweeper, largest_shift, span_gap


def model(**options: Any) -> mk.MDP:
    rng = np.random.default_rng(3)
    P = rng.random((9, 4))
    gamma = np.linspace(0.5, 0.95, 9)
    state, action = [0, 0, 0, 1, 2, 2, 3, 3, 3], [0, 1, 2, 0, 0, 1, 0, 1, 2]
    made = mk.MDP(P / P.sum(axis=1, keepdims=True), rng.normal(size=9), state=state, action=action, **options)
    return made.under(mk.Discounted(gamma))


@pytest.mark.parametrize("minimize", [False, True])
def test_slices_of_states(minimize: bool) -> None:
    mdp = model(minimize=minimize)
    T, V = BellmanOptimality(mdp), np.array([1.0, -2.0, 0.5, 3.0])
    gamma: Any = mdp.criterion.gamma  # type: ignore[union-attr]
    q = mdp.r + gamma * (mdp.P.toarray() @ V)
    best = np.minimum if minimize else np.maximum
    assert T(V) == pytest.approx(best.reduceat(q, mdp.pair_ptr[:-1]))
    assert T.q(V) == pytest.approx(q)
    whole = T.backup(V)
    assert q[whole.policy] == pytest.approx(whole.value)
    for rows in (slice(0, 2), slice(1, 3), slice(2, None)):
        part = T.backup(V, rows)
        assert np.array_equal(part.value, whole.value[rows])
        assert np.array_equal(part.policy, whole.policy[rows])


def test_a_policy_that_mixes() -> None:
    mdp = model()
    pi = np.array([0.2, 0.3, 0.5, 1, 0.9, 0.1, 0, 0.4, 0.6])
    V = np.array([1.0, -2.0, 0.5, 3.0])
    T = BellmanPolicy(mdp, pi)
    q = BellmanOptimality(mdp).q(V)
    assert T(V) == pytest.approx(np.add.reduceat(pi * q, mdp.pair_ptr[:-1]))
    assert T.greedy(V).tolist() == [2, 3, 4, 8]
    assert np.array_equal(T.backup(V, slice(1, 3)).value, T(V)[1:3])


def test_known_values_stay() -> None:
    P = np.array([[[0.5, 0.5, 0], [0, 0, 1.0]], [[0, 1.0, 0], [0, 1.0, 0]], [[0, 0, 1.0], [1.0, 0, 0]]])
    mdp = mk.MDP(P, None, mk.Reachability([1]))
    V = np.array([0.5, 0.25, 0.125])
    for T in (BellmanOptimality(mdp), BellmanPolicy(mdp, np.array([0, 0, 1]))):
        assert T(V).tolist() == [0.375, 1.0, 0.5]
    safe = BellmanOptimality(mdp.under(mk.Invariance([0, 2])))
    assert safe(np.array([0.5, 0.0, 0.75])).tolist() == [0.75, 0.0, 0.75]
    least = BellmanOptimality(mdp.under(mk.Invariance([0, 2]), minimize=True))
    assert least(np.array([0.5, 0.0, 0.75])).tolist() == [0.25, 0.0, 0.5]


@pytest.mark.parametrize("sparse", [False, True])
def test_sweeps_of_a_policy(sparse: bool) -> None:
    if sparse:
        mdp = mk.instances.make("garnet", S=400, A=2, branching=2, seed=1, exact=False)
        mdp = mdp.under(mk.Discounted(np.linspace(0.5, 0.9, mdp.n_pairs)))
        assert mdp.P.dense is None
    else:
        mdp = model()
    problem = canonical(mdp)
    sweeper, T = Sweeper(problem), BellmanPolicy(mdp, mdp.action[mdp.pair_ptr[:-1]])
    pairs, V = mdp.pair_ptr[:-1].copy(), np.linspace(-1, 1, mdp.n_states)
    for n in range(4):
        W = V
        for _ in range(n):
            W = T(W)
        assert sweeper.evaluate(pairs, V, n) == pytest.approx(W, rel=1e-13)
    value = sweeper.solve(pairs)
    assert T(value) == pytest.approx(value)
    M = sweeper.rows(pairs)
    assert problem.r[pairs] + M @ V == pytest.approx(T(V))


def test_widths_and_shifts_with_several_discounts() -> None:
    mdp = model()
    problem, T = canonical(mdp), BellmanOptimality(mdp)
    best = mk.solve(mdp).V
    rng = np.random.default_rng(0)
    for i in range(50):
        V = best + rng.normal(size=4) + (i % 3 - 1) * 4
        change = T(V) - V
        low, high = float(change.min()), float(change.max())
        small, large = 0.5, 0.95
        up = max(large * high / (1 - large), small * high / (1 - small))
        down = min(large * low / (1 - large), small * low / (1 - small))
        assert span_gap(problem, low, high) == pytest.approx(up - down)
        assert np.all(T(V) + down - 1e-9 <= best)
        assert np.all(best <= T(V) + up + 1e-9)
        c = largest_shift(problem, low)
        assert c == pytest.approx(low / (1 - large) if low < 0 else low / (1 - small))
        assert np.all(V + c <= T(V + c) + 1e-9)
