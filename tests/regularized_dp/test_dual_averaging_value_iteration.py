"""Dual-averaging value iteration against averages computed apart, and its limits."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.operators.backups import DisturbedBackup
from mdpkit.solvers.regularized_dp import DualAveragingValueIteration, MirrorDescentValueIteration


def test_h_is_the_average_of_the_action_values() -> None:
    mdp = mk.instances.make("garnet", S=4, A=3, branching=2, seed=2, gamma="9/10")
    states = list(islice(mk.iterates(mdp, DualAveragingValueIteration(0.7, DisturbedBackup())), 9))
    assert np.allclose(states[8].h, np.mean([state.q for state in states], axis=0), rtol=1e-13)
    soft = mdp.under(mk.EntropyRegularized(0.9, 0.3))
    states = list(islice(mk.iterates(soft, DualAveragingValueIteration(0.7, DisturbedBackup())), 9))
    weights = 0.3 * 0.7 ** np.arange(8, -1, -1)  # beta = 0.7
    assert np.allclose(states[8].h, weights @ np.array([state.q for state in states]), rtol=1e-12)


def test_the_forms_agree_in_floats_for_long() -> None:
    mdp = mk.instances.make("riverswim", n_states=5, gamma="9/10")
    for problem in (mdp, mdp.under(mk.EntropyRegularized(0.9, 0.1))):
        one = next(islice(mk.iterates(problem, DualAveragingValueIteration(0.5)), 300, None))
        two = next(islice(mk.iterates(problem, MirrorDescentValueIteration(0.5)), 300, None))
        assert np.allclose(one.log_pi, two.log_pi, rtol=1e-9, atol=1e-9)


def test_it_reaches_the_soft_optimum() -> None:
    # Independent: soft value iteration with a reference policy.
    mdp = mk.instances.make("garnet", S=3, A=2, branching=2, seed=5, gamma="1/2")
    mu = np.array([0.2, 0.8] * 3)
    V, P = np.zeros(3), mdp.P.toarray()
    for _ in range(80):
        V = 0.4 * np.log(np.add.reduceat(mu * np.exp((mdp.r + 0.5 * P @ V) / 0.4), mdp.pair_ptr[:-1]))
    problem = mdp.under(mk.EntropyRegularized(0.5, 0.4, mu))
    state = next(islice(mk.iterates(problem, DualAveragingValueIteration(0.4)), 120, None))
    assert np.allclose(state.V, V, rtol=1e-12)
    assert state.gap < 1e-10


def test_parameters_are_checked() -> None:
    with pytest.raises(OptionError, match="lambda_ is negative"):
        DualAveragingValueIteration(-0.1)
    with pytest.raises(UnsupportedError, match="lambda_ > 0"):
        mk.solve(mk.instances.make("riverswim"), DualAveragingValueIteration(0))
