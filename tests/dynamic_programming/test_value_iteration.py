"""Value iteration: closed forms, its rate, and MacQueen's bounds."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.choose import method
from mdpkit.solvers.dynamic_programming import ValueIteration

F = Fraction
ITERATIONS = (
    "value_iteration",
    "gauss_seidel",
    "modified_policy_iteration",
    "anchored_value_iteration",
    "anderson_value_iteration",
    "lambda_policy_iteration",
    "inexact_policy_iteration",
)
WITH_START = tuple(name for name in ITERATIONS if name != "modified_policy_iteration")


def test_puterman_two_states() -> None:
    """Puterman (1994), Section 3.1: V = ((5 - 5.5 gamma) / ((1 - gamma/2)(1 - gamma)), -1 / (1 - gamma))."""
    mdp = mk.instances.make("puterman-two-state")
    sol = mk.solve(mdp, ValueIteration())
    for low, value, high in zip(sol.certificate.lower, (F(-60, 7), F(-20)), sol.certificate.upper, strict=True):
        assert F(low) <= value <= F(high)
        assert high - low <= 1e-9 * 20
    assert sol.pi.actions.tolist() == [0, 0]


@pytest.mark.parametrize("name", ["forest", "riverswim", "three-state", "howard-taxicab"])
def test_rate_and_macqueen_bounds(name: str) -> None:
    mdp = mk.instances.make(name)
    exact = mk.solve(mdp, exact=True).exact
    assert exact is not None
    V = exact.astype(float)
    gamma = float(mdp.criterion.gamma)  # type: ignore[union-attr]
    rounding = 1e-12 * np.abs(V).max() / (1 - gamma)
    first = np.abs(V).max()
    before = None
    for k, state in enumerate(islice(mk.iterates(mdp, ValueIteration()), 60)):
        assert np.abs(state.V - V).max() <= gamma**k * first + rounding
        if before is not None:
            change = state.V - before
            low, high = gamma / (1 - gamma) * change.min(), gamma / (1 - gamma) * change.max()
            assert np.all(state.V + low <= V + rounding)
            assert np.all(state.V + high >= V - rounding)
            assert state.gap == pytest.approx(high - low, rel=1e-9, abs=rounding)
            assert state.residual == np.abs(change).max()
        before = state.V


@pytest.mark.parametrize("name", WITH_START)
def test_start_and_minimization(name: str) -> None:
    mdp = mk.MDP(np.ones((1, 2, 1)), np.array([[1.0, 2.0]]), mk.Discounted(0.5), minimize=True)
    solver: Any = method(f"{name}?V0=3.0")
    assert next(mk.iterates(mdp, solver)).V.tolist() == [-3.0]
    sol = mk.solve(mdp, solver)
    assert sol.certificate.lower[0] <= 2 <= sol.certificate.upper[0]
    assert sol.pi.actions.tolist() == [0]


@pytest.mark.parametrize("name", ITERATIONS)
def test_the_step_without_discount_is_the_answer(name: str) -> None:
    mdp = mk.MDP(np.ones((1, 2, 1)), np.array([[1.0, 2.0]]), mk.Discounted(0))
    sol = mk.solve(mdp, name)
    assert sol.steps <= 2
    assert sol.certificate.lower[0] <= 2 <= sol.certificate.upper[0]


@pytest.mark.parametrize("name", [*ITERATIONS, "policy_iteration", "linear_programming"])
def test_discount_by_pairs(name: str) -> None:
    mdp = mk.MDP(np.ones((1, 2, 1)), np.array([[1.0, 1.5]]), mk.Discounted(np.array([["9/10", "1/2"]])))
    sol = mk.solve(mdp, name)
    assert sol.certificate.lower[0] <= 10 <= sol.certificate.upper[0]
    assert sol.status.ok
    assert mk.solve(mdp, name, exact=True).exact == [10]
