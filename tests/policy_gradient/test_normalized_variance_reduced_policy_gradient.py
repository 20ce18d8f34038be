"""N-VR-PG and utilities of the occupancy against closed forms."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import ModelError, OptionError
from mdpkit.models.canonical import canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.utilities import Distance, Entropy, Return
from mdpkit.solvers.policy_gradient import NormalizedVarianceReducedPolicyGradient as Solver


@pytest.mark.parametrize("utility", [Return(), Distance((0.3, 0.1, 0.5, 0.7)), Entropy(0.05)])
def test_gradients_of_utilities_by_finite_differences(utility: Any) -> None:
    on = OnPolicy(canonical(mk.instances.make("garnet", S=2, A=2, branching=2, seed=0, gamma="1/2")))
    x, h = np.array([0.4, 0.8, 0.1, 0.7]), 1e-6
    difference = [(utility.value(on, x + h * e) - utility.value(on, x - h * e)) / (2 * h) for e in np.eye(4)]
    assert np.allclose(utility.gradient(on, x), difference, atol=1e-8)


def test_estimates_of_the_occupancy_settle_at_the_occupancy() -> None:
    mdp = mk.instances.make("riverswim", n_states=3, gamma="1/2")
    solver = Solver(eta=1e-9, length=12, power=1)
    state = next(islice(mk.iterates(mdp, solver, np.random.default_rng(3)), 4000, None))
    on = OnPolicy(canonical(mdp))
    exact = on.spread(on.visits(on.uniform())) * on.uniform()
    assert np.max(np.abs(state.occupancy - exact)) < 0.05


def test_a_target_is_met() -> None:
    # One state: the occupancy is 2 pi for gamma = 1/2.
    mdp = mk.MDP(np.ones((1, 2, 1)), [[0.0, 0.0]], mk.Discounted("1/2"), rho=0)
    solver = Solver(eta=0.3, power=1, length=10, utility=Distance((0.5, 1.5)))
    state = next(islice(mk.iterates(mdp, solver, np.random.default_rng(1)), 600, None))
    assert np.exp(state.log_pi)[1] == pytest.approx(0.75, abs=0.06)


def test_entropy_explores() -> None:
    mdp = mk.MDP(np.ones((1, 3, 1)), [[1.0, 0.0, 0.0]], mk.Discounted("1/2"), rho=0)
    solver = Solver(eta=0.3, power=1, length=10, utility=Entropy())
    state = next(islice(mk.iterates(mdp, solver, np.random.default_rng(1)), 600, None))
    assert np.allclose(np.exp(state.log_pi), 1 / 3, atol=0.1)


def test_parameters_are_checked() -> None:
    with pytest.raises(OptionError, match="exponent of the schedules"):
        Solver(power=0)
    with pytest.raises(OptionError, match="smoothing is not positive"):
        Entropy(0)
    with pytest.raises(OptionError, match="target is no vector"):
        Distance(3)
    mdp = mk.instances.make("riverswim", n_states=3, gamma="1/2")
    with pytest.raises(ModelError, match="target has another size"):
        mk.solve(mdp, Solver(utility=Distance((1, 2))), max_steps=1)
