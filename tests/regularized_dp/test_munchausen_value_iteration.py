"""Munchausen value iteration against its bandit, and advantage learning's increased gaps."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.solvers.regularized_dp import MunchausenValueIteration


def test_the_gap_between_actions_grows_by_one_over_one_less_alpha() -> None:
    # A bandit with gamma = 0: at the fixed point Q = r + alpha (Q - max), so that gaps are those of r over 1 - alpha.
    r = np.array([0.3, 0.5])
    mdp = mk.MDP(np.ones((1, 2, 1)), r[None], mk.EntropyRegularized(0.0, 0.1))
    state = next(islice(mk.iterates(mdp, MunchausenValueIteration(lambda_=0.9)), 400, None))  # alpha = 0.9
    assert np.isclose(state.Q[1] - state.Q[0], 0.2 / (1 - 0.9), rtol=1e-12)
    assert np.allclose(np.exp(state.log_pi), np.exp(r / 0.1) / np.exp(r / 0.1).sum(), rtol=1e-12)


def test_without_bonus_it_is_soft_value_iteration() -> None:
    mdp = mk.instances.make("garnet", S=3, A=2, branching=2, seed=5, gamma="1/2")
    V, P = np.zeros(3), mdp.P.toarray()
    q = np.zeros(6)
    for _ in range(10):
        V = 0.4 * np.log(np.add.reduceat(np.exp(q / 0.4), mdp.pair_ptr[:-1]))
        q = mdp.r + 0.5 * P @ V
    problem = mdp.under(mk.EntropyRegularized(0.5, 0.4))
    state = next(islice(mk.iterates(problem, MunchausenValueIteration(lambda_=0)), 10, None))
    assert np.allclose(state.Q, q, rtol=1e-13)


def test_parameters_are_checked() -> None:
    with pytest.raises(OptionError, match="lambda_ is negative"):
        MunchausenValueIteration(-1)
    with pytest.raises(UnsupportedError, match="lambda_ > 0"):
        mk.solve(mk.instances.make("riverswim"), MunchausenValueIteration(0))
