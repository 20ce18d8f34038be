"""RAVI-UCB by hand: a step from a few counts, limits of the step size, epochs, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.environment import Environment
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.kernels import optimism, softmax
from mdpkit.learner import Episode
from mdpkit.solvers.exploration import RAVIUCB


def two_state(gamma: str = "1/2") -> mk.MDP:
    """In state 0: stay for nothing (action 0) or move to state 1 (action 1), which pays 1 and stays."""
    P = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    return mk.MDP(P, np.array([[0.0, 0.0], [1.0, 1.0]]), mk.Discounted(gamma), rho=0)


def begun(learner: Any, mdp: mk.MDP) -> Any:
    return learner.begin(Environment(mdp).view(10), np.random.default_rng(0))


def test_a_step_by_hand() -> None:
    learner = RAVIUCB(eta=0.5, delta=0.5, scale=0.01)
    state = begun(learner, two_state())
    np.testing.assert_array_equal(state.V, [2.0, 2.0])
    np.testing.assert_allclose(learner.policy(state), 0.5)
    # One epoch 0 -> 0 -> 1: pair 0 once, pair 1 once.
    state = learner.observe(
        state, Episode(0, np.array([0, 0, 1]), np.array([0, 1]), np.zeros(2)), np.random.default_rng(0)
    )
    width = 0.01 * 0.5 * 2 * math.sqrt((2 * math.log(2) + math.log(4 / 0.5) + math.log(2)) / 2)
    q = [0.5 * 2 + width, 0.5 * 2 + width, 2.0, 2.0]
    np.testing.assert_allclose(state.Q, q, rtol=1e-14)
    np.testing.assert_allclose(state.V, [q[0], 2.0], rtol=1e-14)
    # A second epoch, by pair 0 alone; V of state 0 has fallen, that of state 1 has not.
    state = learner.observe(state, Episode(1, np.array([0, 0]), np.array([0]), np.zeros(1)), np.random.default_rng(0))
    narrow = 0.01 * 0.5 * 2 * math.sqrt((2 * math.log(2) + math.log(4 / 0.5) + math.log(6)) / 4)
    q2 = [0.5 * q[0] + narrow, 1 + width]
    V = 2 * math.log(0.5 * math.exp(0.5 * q2[0]) + 0.5 * math.exp(0.5 * q2[1]))
    np.testing.assert_allclose(state.Q[:2], q2, rtol=1e-14)
    assert state.V[0] == pytest.approx(V, rel=1e-14)
    np.testing.assert_allclose(learner.policy(state)[:2], 0.5 * np.exp(0.5 * (np.array(q2) - V)), rtol=1e-14)


def test_one_step_of_the_mirror_is_the_variational_maximum() -> None:
    # V = max over laws of <p, q> - KL(p || pi)/eta, which the step attains (Gibbs).
    rng = np.random.default_rng(3)
    ptr, eta = np.array([0, 3]), 0.7
    pi, q = rng.dirichlet(np.ones(3)), rng.random(3)
    V, log_pi = softmax.mirror_backup(np.log(pi), q, eta, ptr)
    p = np.exp(log_pi)
    assert p.sum() == pytest.approx(1, abs=1e-14)

    def objective(p: Any) -> float:
        return float(p @ q - np.sum(p * np.log(p / pi)) / eta)

    assert V[0] == pytest.approx(objective(p), rel=1e-13)
    assert all(objective(rng.dirichlet(np.ones(3))) <= V[0] for _ in range(200))


def test_limits_of_the_step_size() -> None:
    ptr, q, pi = np.array([0, 2]), np.array([0.0, 1.0]), np.array([0.25, 0.75])
    small, _ = softmax.mirror_backup(np.log(pi), q, 1e-9, ptr)
    large, log_pi = softmax.mirror_backup(np.log(pi), q, 1e3, ptr)
    assert small[0] == pytest.approx(pi @ q, abs=1e-6)
    assert large[0] == pytest.approx(1.0, abs=1e-3)
    assert math.exp(log_pi[1]) == pytest.approx(1.0)


def test_what_was_never_taken_is_worth_everything() -> None:
    q = optimism.discounted(
        np.array([0.2, 0.3]), np.zeros((1, 2)), np.zeros(2), np.array([10.0]), 0.9, capital=3.0, top=10.0, scale=0.0
    )
    np.testing.assert_array_equal(q, [10.0, 10.0])


def test_epochs_are_as_long_as_the_discount_says() -> None:
    regret = mk.play(two_state("4/5"), RAVIUCB(), episodes=20_000, rng=np.random.default_rng(0))
    # Geometric of mean 5 and standard deviation sqrt(20): five standard errors.
    assert regret.steps / 20_000 == pytest.approx(5, abs=5 * math.sqrt(20 / 20_000))
    assert regret.unit == "epoch"


@pytest.mark.parametrize("seed", range(3))
def test_the_best_policy_is_found_and_estimates_come_down_to_its_value(seed: int) -> None:
    regret = mk.play(two_state(), RAVIUCB(eta=0.2), episodes=30_000, rng=np.random.default_rng(seed))
    assert regret.best == pytest.approx(1.0)
    assert regret.values[-1] == pytest.approx(1.0, abs=1e-3)
    assert np.mean(regret.series["estimate"]) >= regret.best
    assert regret.series["estimate"][-1] < 1.2


def test_what_is_refused() -> None:
    for options in ({"eta": 0.0}, {"eta": math.inf}, {"eta": "a"}, {"delta": 0.0}, {"scale": -1.0}):
        with pytest.raises(OptionError):
            RAVIUCB(**options)
    with pytest.raises(UnsupportedError, match="does not play"):
        mk.play(two_state().under(mk.FiniteHorizon(3)), RAVIUCB(), episodes=2, rng=np.random.default_rng(0))
    with pytest.raises(UnsupportedError, match="know the rewards"):
        mk.play(Environment(two_state(), "bernoulli"), RAVIUCB(), episodes=2, rng=np.random.default_rng(0))
    with pytest.raises(OptionError, match="different lengths"):
        mk.play(two_state(), RAVIUCB(), episodes=2, rng=np.random.default_rng(0), keep=True)
