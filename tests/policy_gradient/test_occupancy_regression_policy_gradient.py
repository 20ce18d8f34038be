"""The linear model of the occupancy against least squares."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import ModelError, OptionError
from mdpkit.models.canonical import canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.utilities import Distance
from mdpkit.solvers.policy_gradient import OccupancyRegressionPolicyGradient as Solver


def test_the_regression_finds_the_occupancy() -> None:
    mdp = mk.instances.make("riverswim", n_states=2, gamma="1/2")
    solver = Solver(eta=1e-9, alpha=0.02, length=10, regression=6000, episodes=1)
    state = next(islice(mk.iterates(mdp, solver, np.random.default_rng(0)), 1, None))
    on = OnPolicy(canonical(mdp))
    exact = on.spread(on.visits(on.uniform())) * on.uniform()
    assert np.max(np.abs(state.weights - exact)) < 0.15


def test_a_target_is_met() -> None:
    mdp = mk.MDP(np.ones((1, 2, 1)), [[0.0, 0.0]], mk.Discounted("1/2"), rho=0)
    solver = Solver(eta=0.1, length=10, utility=Distance((0.5, 1.5)))
    states = list(islice(mk.iterates(mdp, solver, np.random.default_rng(1)), 301))
    assert np.mean([np.exp(s.log_pi)[1] for s in states[200:]]) == pytest.approx(0.75, abs=0.06)


def test_parameters_are_checked() -> None:
    with pytest.raises(OptionError, match="alpha is not positive"):
        Solver(alpha=0)
    with pytest.raises(OptionError, match="regression is no count"):
        Solver(regression=0)
    with pytest.raises(OptionError, match="model of the occupancy is no matrix"):
        Solver(model="minimal")
    mdp = mk.instances.make("riverswim", n_states=3, gamma="1/2")
    with pytest.raises(ModelError, match="features and pairs differ"):
        mk.solve(mdp, Solver(model=[[1.0]]), max_steps=1)
