"""Anderson-accelerated value iteration: the rate that the safeguard keeps, and what extrapolation adds."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.models.canonical import canonical
from mdpkit.operators.bellman import Sweeper
from mdpkit.solvers.dynamic_programming import AndersonValueIteration, ValueIteration

NAMES = ["forest", "riverswim", "three-state", "howard-taxicab", "frozenlake", "chain"]


@pytest.mark.parametrize("solver", [AndersonValueIteration(), AndersonValueIteration(memory=1, ridge=0.0, V0=-3.0)])
@pytest.mark.parametrize("name", NAMES)
def test_the_rate_of_the_claim(name: str, solver: AndersonValueIteration) -> None:
    mdp = mk.instances.make(name)
    gamma = float(mdp.criterion.gamma)  # type: ignore[union-attr]
    V = mk.solve(mdp, exact=True).exact.astype(float)  # type: ignore[union-attr]
    rounding = 1e-12 * np.abs(V).max() / (1 - gamma)
    states = islice(mk.iterates(mdp, solver), 1, 150)
    first = next(states)
    for k, state in enumerate(states, 1):
        assert state.residual <= gamma**k * first.residual + rounding
        assert np.abs(state.V - V).max() <= gamma ** (k + 1) / (1 - gamma) * first.residual + rounding
        assert k + 1 <= state.sweeps == k + 1 + state.rejected <= 4 * (k + 1) / 3 + 1
        assert len(state.backups) == len(state.changes) <= solver.memory + 1


def test_the_residual_is_that_of_the_shifted_iterate() -> None:
    """Recomputed: the backup's own change is within gamma times the residual, and the bounds are MacQueen's."""
    mdp = mk.instances.make("frozenlake", map_name="8x8").under(mk.Discounted(0.99))
    V = mk.solve(mdp, exact=True).exact.astype(float)  # type: ignore[union-attr]
    sweeper = Sweeper(canonical(mdp))
    for state in islice(mk.iterates(mdp, AndersonValueIteration()), 1, 80):
        _, _, low, high = sweeper.backup(state.V)
        assert max(abs(low), abs(high)) <= 0.99 * state.residual + 1e-13
        assert np.abs(state.V - V).max() <= state.gap / 2 + 1e-13


def test_the_safeguard_is_at_work() -> None:
    """On a chain attempts fail; without the safeguard the residual would grow."""
    mdp = mk.instances.make("riverswim", n_states=40).under(mk.Discounted(0.99))
    solver = AndersonValueIteration()
    states = list(islice(mk.iterates(mdp, solver), 1, 120))
    assert states[-1].rejected >= 3
    sweeper = Sweeper(canonical(mdp))
    grown = 0
    for state in states[2:60]:
        _, _, low, high = sweeper.backup(solver._extrapolated(state))
        grown += (high - low) / 2 > state.residual
    assert grown > 10


def test_affine_problems_end_after_as_many_steps_as_states() -> None:
    """With one action and full memory it is GMRES, which ends after n steps (Walker and Ni 2011, recalled)."""
    rng = np.random.default_rng(3)
    mdp = mk.MDP(rng.dirichlet(np.full(5, 0.3), size=(5, 1)), rng.normal(size=(5, 1)), mk.Discounted(0.999))
    V = np.linalg.solve(np.eye(5) - 0.999 * mdp.P.toarray(), mdp.r)
    fast = next(islice(mk.iterates(mdp, AndersonValueIteration(memory=5, ridge=0.0)), 8, None))
    slow = next(islice(mk.iterates(mdp, ValueIteration()), 8, None))
    assert fast.residual < 1e-10
    assert fast.V == pytest.approx(V, abs=1e-7)
    assert slow.gap > 1e-3


def test_one_state_is_solved_by_the_first_shift() -> None:
    mdp = mk.MDP(np.ones((1, 2, 1)), np.array([[1.0, 2.0]]), mk.Discounted(0.5), minimize=True)
    states = mk.iterates(mdp, AndersonValueIteration(V0=3.0))
    assert [state.V.tolist() for state in islice(states, 2)] == [[-3.0], [-2.0]]


def test_equal_backups_in_memory() -> None:
    """Ties everywhere: all differences of residuals are zero, and steps go on."""
    mdp = mk.MDP(np.ones((1, 3, 1)), np.ones((1, 3)), mk.Discounted(0.9))
    state = next(islice(mk.iterates(mdp, AndersonValueIteration()), 12, None))
    assert state.V[0] == pytest.approx(10, rel=1e-12)


def test_discount_by_pairs() -> None:
    """Nothing is shifted; the residual keeps the rate of the largest factor."""
    rng = np.random.default_rng(0)
    gamma = rng.choice([0.3, 0.8, 0.95], size=(6, 3))
    mdp = mk.MDP(rng.dirichlet(np.full(6, 0.3), size=(6, 3)), rng.normal(size=(6, 3)), mk.Discounted(gamma))
    first = None
    for k, state in enumerate(islice(mk.iterates(mdp, AndersonValueIteration()), 1, 100)):
        first = state.residual if first is None else first
        assert state.residual <= 0.95**k * first + 1e-13


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"memory": 0}, "memory"),
        ({"memory": 1.5}, "memory"),
        ({"memory": True}, "memory"),
        ({"ridge": -1.0}, "ridge"),
        ({"ridge": float("nan")}, "ridge"),
    ],
)
def test_parameters_out_of_range(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        AndersonValueIteration(**settings)
