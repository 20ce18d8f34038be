"""Policy iteration: monotone, ends, survives ties, and starts proper for total reward."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.solvers.dynamic_programming import PolicyIteration

F = Fraction


@pytest.mark.parametrize("name", ["riverswim", "forest", "howard-taxicab", "frozenlake", "chain"])
def test_each_policy_is_better(name: str) -> None:
    mdp = mk.instances.make(name)
    V = mk.solve(mdp, exact=True).exact.astype(float)  # type: ignore[union-attr]
    slack = 1e-11 * np.abs(V).max()
    before = None
    for state in islice(mk.iterates(mdp, PolicyIteration()), 30):
        if before is not None:
            assert np.all(state.V >= before - slack)
        assert np.all(state.V <= V + slack)
        before = state.V
        if state.stable:
            break
    else:
        pytest.fail("no end")
    assert np.abs(before - V).max() <= slack


def test_a_tie_ends() -> None:
    """Puterman's example at gamma = 10/11, where both actions of state 0 have value 0."""
    mdp = mk.instances.make("puterman-two-state", gamma="10/11")
    sol = mk.solve(mdp, PolicyIteration())
    assert sol.status.ok
    assert sol.steps < 5
    exact = mk.solve(mdp, PolicyIteration(), exact=True).exact
    assert exact is not None
    assert exact.tolist() == [0, -11]


def test_equal_actions_everywhere() -> None:
    rng = np.random.default_rng(0)
    row = rng.dirichlet(np.ones(12), size=12)
    mdp = mk.MDP(
        np.repeat(row[:, None], 4, axis=1), np.repeat(rng.normal(size=(12, 1)), 4, axis=1), mk.Discounted(0.999)
    )
    assert mk.solve(mdp, PolicyIteration()).steps <= 2


def test_many_end_components() -> None:
    """A tower of two-state end components; each must be left for the next, at a price."""
    n = 200
    rows = []
    for i in range(n):
        a, b = 2 * i, 2 * i + 1
        rows += [(a, "swap", b, 1, 0), (b, "swap", a, 1, 0), (b, "up", min(2 * i + 2, 2 * n), 1, 1)]
    rows += [(2 * n, "stay", 2 * n, 1, 0)]
    mdp = mk.MDP.from_transitions(rows, mk.TotalReward(target=[2 * n]), minimize=True, rho=0)
    assert mk.solve(mdp, PolicyIteration(), exact=True).exact_value == n
    climb = mk.solve(mdp.under(mk.Reachability([2 * n]), minimize=False), PolicyIteration())
    assert climb.lower == climb.upper == 1
    assert climb.steps < 10  # not one a component
    assert mk.solve(mdp.under(mk.TotalReward()), PolicyIteration(), exact=True).exact_value == 0
    assert mk.solve(mdp.under(mk.Reachability([2 * n]), minimize=False), PolicyIteration(), exact=True).exact_value == 1
    assert mk.solve(mdp.under(mk.Reachability([2 * n])), PolicyIteration(), exact=True).exact_value == 0


def test_a_long_chain_of_total_reward() -> None:
    """From s to s + 1 with 3/4, back with 1/4, one unit a step: the expected time h solves a recursion."""
    n = 30_000
    s = np.arange(n - 1)
    indptr = np.concatenate((2 * np.arange(n), [2 * n - 1]))
    indices = np.concatenate((np.stack((np.maximum(s - 1, 0), s + 1), axis=1).ravel(), [n - 1]))
    data = np.concatenate((np.tile([0.25, 0.75], n - 1), [1.0]))
    P = mk.models.Transitions(indptr, indices, data, n)
    r = np.concatenate((np.full(n - 1, -1.0), [0.0]))
    mdp = mk.MDP(P, r, mk.TotalReward(), state=np.arange(n), action=np.zeros(n, dtype=int), rho=0)
    sol = mk.solve(mdp)
    step, total = F(4, 3), F(0)  # expected time from s to s + 1: t_0 = 4/3, t_s = 4/3 + t_(s-1) / 3
    for _ in range(60):
        total += step
        step = F(4, 3) + step / 3
    total += (n - 1 - 60) * 2  # t_s = 2 up to 3**-60
    assert sol.status.ok
    assert F(sol.lower) - F(1, 10**6) <= -total <= F(sol.upper) + F(1, 10**6)
    assert sol.upper - sol.lower <= 1e-9 * 6e4
