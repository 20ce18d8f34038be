"""N-PG-IGT against closed forms."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice, pairwise

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.solvers.policy_gradient import NormalizedPolicyGradientIGT


def bandit(*r: float) -> mk.MDP:
    return mk.MDP(np.ones((1, len(r), 1)), [list(r)], mk.Discounted("1/2"), rho=0)


def test_steps_have_the_length_of_the_schedule() -> None:
    mdp = mk.instances.make("garnet", S=3, A=2, branching=2, seed=3, gamma="9/10")
    states = list(
        islice(mk.iterates(mdp, NormalizedPolicyGradientIGT(eta=0.8, length=5), np.random.default_rng(0)), 12)
    )
    for t, (now, after) in enumerate(pairwise(states)):
        assert np.linalg.norm(after.theta - now.theta) == pytest.approx(0.8 / (t + 2), rel=1e-12)


def test_where_it_samples() -> None:
    mdp = mk.instances.make("garnet", S=3, A=2, branching=2, seed=3, gamma="9/10")
    states = list(islice(mk.iterates(mdp, NormalizedPolicyGradientIGT(power=1, length=5), np.random.default_rng(0)), 6))
    for t in range(1, 5):  # with beta = 2/(t+2): (1-beta)/beta = t/2
        ahead = states[t].theta + t / 2 * (states[t].theta - states[t - 1].theta)
        assert np.allclose(states[t + 1].point, ahead)


def test_a_bandit_that_pays_one_arm_alone_moves_by_the_harmonic_sum() -> None:
    # Every estimate is along the good arm, so that theta_T is eta (1/2 + 1/3 + ...) once that arm was drawn.
    solver = NormalizedPolicyGradientIGT(eta=Fraction(3, 4), length=1, features="minimal")
    states = list(islice(mk.iterates(bandit(1.0, 0.0), solver, np.random.default_rng(1)), 30))
    first = next(t for t, s in enumerate(states) if s.theta[0] != 0) - 1
    expected = 0.75 * sum(1 / (t + 2) for t in range(first, 29))
    assert states[29].theta[0] == pytest.approx(expected, rel=1e-12)
    assert states[29].gap == pytest.approx(2 / (1 + np.exp(expected)), rel=1e-9)


def test_parameters_are_checked() -> None:
    for power in (0, 2):
        with pytest.raises(OptionError, match="exponent of the averaging weights"):
            NormalizedPolicyGradientIGT(power=power)
    with pytest.raises(OptionError, match="episodes is no count"):
        NormalizedPolicyGradientIGT(episodes=0)
