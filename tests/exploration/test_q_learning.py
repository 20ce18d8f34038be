"""Optimistic Q-learning: an update by hand, certain rewards, and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.environment import Environment
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.kernels import q_learning
from mdpkit.play import rounds
from mdpkit.solvers.exploration import OptimisticQLearning


def test_steps_by_hand() -> None:
    assert [q_learning.step_size(n, 3) for n in (1, 2, 5)] == [1.0, 0.8, 0.5]
    assert q_learning.step_bonus(4, 3, 2.0, 5.0) == pytest.approx(5 * math.sqrt(1.5))


def test_an_episode_by_hand() -> None:
    # One state, one action, two stages, reward 1/2, no bonus in the last stage: Q_1 = 1/2 at once, Q_0 sees the old V_1 = 1.
    mdp = mk.MDP(np.ones((1, 1, 1)), [[0.5]], mk.FiniteHorizon(2), rho=0)
    learner = OptimisticQLearning(delta=0.5)
    states = [played.state.Q.copy() for played in rounds(mdp, learner, 3, np.random.default_rng(0))]
    iota = math.log(2 * 2 * 1 * 3 / 0.5)
    assert states[0].tolist() == [[2.0], [1.0]]
    assert states[1][1, 0] == 0.5 and states[1][0, 0] == pytest.approx(0.5 + 1 + math.sqrt(2 * iota))
    second = 0.25 * states[1][0, 0] + 0.75 * (0.5 + 0.5 + math.sqrt(2 * iota / 2))
    assert states[2][0, 0] == pytest.approx(second)


def test_the_last_stage_learns_without_a_bonus() -> None:
    bandit = mk.MDP(np.ones((1, 3, 1)), [[0.1, 0.9, 0.4]], mk.FiniteHorizon(1), rho=0)
    run = mk.play(bandit, OptimisticQLearning(), episodes=50, rng=np.random.default_rng(0))
    assert run.total == pytest.approx(1.3)  # each action once, then the best one: losses of 0.8 and 0.5
    noisy = mk.play(
        Environment(bandit, "bernoulli"), OptimisticQLearning(), episodes=3000, rng=np.random.default_rng(0)
    )
    assert 10 < noisy.total < 0.6 * 3000 * 0.8
    assert noisy.bound[-1] > noisy.total


def test_bound_only_with_the_whole_bonus() -> None:
    river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(4))
    assert mk.play(river, OptimisticQLearning(scale=0.5), episodes=5, rng=np.random.default_rng(0)).bound is None


def test_refusals() -> None:
    with pytest.raises(OptionError, match="delta"):
        OptimisticQLearning(delta=1.5)
    river = mk.instances.make("riverswim")
    with pytest.raises(UnsupportedError, match="does not play"):
        mk.play(river.under(mk.AverageReward()), OptimisticQLearning(), steps=3, rng=np.random.default_rng(0))
    costs = mk.MDP(np.ones((1, 2, 1)), [[0.0, 3.0]], mk.FiniteHorizon(2), rho=0)
    with pytest.raises(OptionError, match="rewards in \\[0, 1\\]"):
        mk.play(costs, OptimisticQLearning(), episodes=3, rng=np.random.default_rng(0))
