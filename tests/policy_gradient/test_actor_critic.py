"""Actor-critic against its fixed point and by hand."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.models.canonical import canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solvers.policy_gradient import ActorCritic


def test_the_critic_finds_the_values_of_a_policy_that_rests() -> None:
    mdp = mk.instances.make("riverswim", n_states=3, gamma="1/2")
    solver = ActorCritic(eta=1e-9, alpha=0.02, length=4000)
    state = next(islice(mk.iterates(mdp, solver, np.random.default_rng(1)), 15, None))
    on = OnPolicy(canonical(mdp))
    Q = on.q(on.value(on.uniform()))
    assert np.max(np.abs(state.Q - Q)) < 0.05 * np.max(Q)
    assert state.draws == 60_000


def test_visits_follow_the_discounted_occupancy() -> None:
    mdp = mk.instances.make("riverswim", n_states=3, gamma="9/10")
    solver = ActorCritic(eta=1e-9, length=40_000)
    state = next(islice(mk.iterates(mdp, solver, np.random.default_rng(2)), 1, None))
    on = OnPolicy(canonical(mdp))
    law = 0.1 * on.visits(on.uniform())
    share = np.bincount(mdp.state[state.visited], minlength=3) / 40_000
    assert np.max(np.abs(share - law)) < 0.02


def test_it_learns_the_best_arm() -> None:
    mdp = mk.MDP(np.ones((1, 3, 1)), [[0.1, 0.9, 0.5]], mk.Discounted("1/2"), rho=0)
    sol = mk.solve(mdp, ActorCritic(eta=1.0, alpha=0.2, length=20), max_steps=200, rng=np.random.default_rng(0))
    assert sol.last_policy[0, 1] > 0.9


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(OptionError, match="alpha is out of range"):
        ActorCritic(alpha=0)
    with pytest.raises(OptionError, match="eta is not positive"):
        ActorCritic(eta=-1)
