"""Gauss--Seidel: never behind value iteration from below."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import UnsupportedError
from mdpkit.solvers.dynamic_programming import GaussSeidel, ValueIteration


@pytest.mark.parametrize("name", ["riverswim", "chain", "forest", "frozenlake"])
def test_between_value_iteration_and_the_value(name: str) -> None:
    mdp = mk.instances.make(name)
    V = mk.solve(mdp, exact=True).exact.astype(float)  # type: ignore[union-attr]
    slack = 1e-12 * np.abs(V).max()
    pair = zip(mk.iterates(mdp, GaussSeidel()), mk.iterates(mdp, ValueIteration()), strict=True)
    for seidel, jacobi in islice(pair, 50):
        assert np.all(jacobi.V <= seidel.V + slack)
        assert np.all(seidel.V <= V + slack)
        assert 2 * np.abs(seidel.V - V).max() <= seidel.gap + slack


def test_a_chain_against_the_order_is_solved_in_one_sweep() -> None:
    """Deterministic moves to lower states: each sees the final value of its successor."""
    n = 30
    P = np.zeros((n, 1, n))
    P[0, 0, 0] = 1
    P[np.arange(1, n), 0, np.arange(n - 1)] = 1
    r = np.ones((n, 1))
    r[0] = 0
    first = next(islice(mk.iterates(mk.MDP(P, r, mk.Discounted(0.5)), GaussSeidel()), 1, None))
    assert first.V.tolist() == [2 - 2.0 ** (1 - s) for s in range(n)]


def test_total_reward_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="discounted"):
        mk.solve(mk.instances.make("leaving"), GaussSeidel())
