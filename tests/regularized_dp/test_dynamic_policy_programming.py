"""Dynamic policy programming against the bandit's closed form and the optimum."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.solvers.regularized_dp import DynamicPolicyProgramming


@pytest.mark.parametrize("mean", ["boltzmann", "log-sum-exp"])
def test_one_state_is_exponential_weights(mean: str) -> None:
    # One state: preferences grow by r less a constant, so pi_{k+1} is soft in eta k r whatever the mean and the discount.
    r = np.array([0.1, 0.5, 0.9])
    mdp = mk.MDP(np.ones((1, 3, 1)), r[None], mk.Discounted(0.8))
    state = next(islice(mk.iterates(mdp, DynamicPolicyProgramming(eta=0.7, mean=mean)), 6, None))
    weights = np.exp(5 * 0.7 * r)
    assert np.allclose(np.exp(state.log_pi), weights / weights.sum(), rtol=1e-12)


@pytest.mark.parametrize("mean", ["boltzmann", "log-sum-exp"])
def test_preferences_of_other_actions_fall_and_the_best_ones_stay_at_the_optimal_value(mean: str) -> None:
    mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    best = mk.solve(mdp)
    state = next(islice(mk.iterates(mdp, DynamicPolicyProgramming(eta=5, mean=mean)), 2000, None))
    psi = state.preferences.reshape(-1, 2)
    assert np.allclose(psi.max(axis=1), best.V, rtol=1e-3)
    assert np.array_equal(psi.argmax(axis=1), best.pi.actions)
    assert np.max(psi.min(axis=1)) < -1


def test_parameters_are_checked() -> None:
    with pytest.raises(OptionError, match="eta is not positive"):
        DynamicPolicyProgramming(eta=0)
    with pytest.raises(OptionError, match="boltzmann or log-sum-exp"):
        DynamicPolicyProgramming(mean="max")
    mdp = mk.instances.make("riverswim").under(mk.EntropyRegularized(0.9, 0.1))
    with pytest.raises(UnsupportedError, match="a discounted problem"):
        mk.solve(mdp, DynamicPolicyProgramming())
