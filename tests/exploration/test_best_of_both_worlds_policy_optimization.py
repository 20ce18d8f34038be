"""Best-of-both-worlds policy optimization: closed forms, both worlds, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.environment import Adversarial, Delayed, Environment, switching
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.play import rounds
from mdpkit.solvers.exploration import BestOfBothWorldsPolicyOptimization

BOBW = BestOfBothWorldsPolicyOptimization


def arms(rewards: list[float]) -> mk.MDP:
    return mk.MDP(np.ones((1, len(rewards), 1)), [rewards], mk.FiniteHorizon(1), rho=0)


def test_tsallis_inf_of_two_arms_by_hand() -> None:
    # p_a = (eta (L_a - x))^-2 with eta = 1/sqrt(t), the root by bisection.
    world = Adversarial(arms([0.0, 0.0]), [[1.0, 0.25], [0.5, 0.75]])
    L = np.zeros(2)
    for played in rounds(world, BOBW(rate=1.0), 8, np.random.default_rng(4)):
        eta = 1 / math.sqrt(played.k + 1)
        low, high = -10 / eta, -1e-9
        for _ in range(200):
            x = (low + high) / 2
            low, high = (x, high) if np.sum((eta * (L - L.min() - x)) ** -2.0) < 1 else (low, x)
        p = (eta * (L - L.min() - low)) ** -2.0
        np.testing.assert_allclose(played.policy[0], p, rtol=1e-9)
        a = int(played.history[1][0])
        L[a] += (1 - played.history[2][0]) / played.policy[0][a]


def test_one_stage_needs_no_floor_and_no_start() -> None:
    view = Environment(arms([0.0, 1.0])).view(100)
    assert BOBW().constants(view)[:3] == (0.0, 2.0, 0.0)
    assert BOBW(rate=1).bound(view, np.array([25]))[0] == pytest.approx(4 * math.sqrt(50))  # type: ignore[index]
    assert BOBW().bound(view, np.array([25])) is None


def test_constants_of_the_proof() -> None:
    mdp = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(2))
    view = Environment(mdp, known=True).view(1000)
    start, slope, explore, z = BOBW().constants(view)
    assert z == pytest.approx(4 * math.sqrt(2)) and slope == 4
    assert start == pytest.approx(4 * 32 * (math.e - 1) * z) and explore == pytest.approx(
        2 * (32 * (math.e - 1) * z) ** 2
    )
    assert BOBW().bound(view, np.array([1000]))[0] > 0  # type: ignore[index]
    assert BOBW("barrier").bound(view, np.array([10])) is None
    assert BOBW().bound(Environment(mdp).view(1000), np.array([10])) is None


@pytest.mark.parametrize("entropy", ["tsallis", "shannon", "barrier"])
def test_the_same_algorithm_in_both_worlds(entropy: str) -> None:
    learner = BOBW(entropy, rate=1.0)
    coins = Environment(arms([0.75, 0.25]), "bernoulli")
    quiet = mk.play(coins, learner, episodes=20_000, rng=np.random.default_rng(1))
    assert (
        quiet.total < (400 if entropy == "barrier" else 150)
        and quiet.cumulative[-1] - quiet.cumulative[9999] < quiet.cumulative[9999]
    )
    turning = Adversarial(arms([0.0, 0.0]), *switching([[1.0, 0.25], [0.25, 0.75]], 20_000, 500))
    assert mk.play(turning, learner, episodes=20_000, rng=np.random.default_rng(1)).total < 20 * math.sqrt(20_000)


def test_unknown_laws_are_learned() -> None:
    mdp = mk.MDP(
        [[[0.9, 0.1], [0.1, 0.9]], [[0.9, 0.1], [0.1, 0.9]]], [[0.0, 0.0], [0.5, 1.0]], mk.FiniteHorizon(3), rho=0
    )
    learner = BOBW(start=0, explore=0, rate=0.25, bonus=0.05)
    for known in (True, False):
        run = mk.play(
            Environment(mdp, "bernoulli", known=known), learner, episodes=20_000, rng=np.random.default_rng(0)
        )
        assert np.mean(run.per_round[-2000:]) < 0.2 * np.mean(run.per_round[:200])


@pytest.mark.parametrize(
    "options",
    [{"entropy": "renyi"}, {"rate": 0}, {"rate": -1.0}, {"start": -1}, {"explore": -1}, {"bonus": -0.5}, {"delta": 0}],
)
def test_parameters_that_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        BOBW(**options)


def test_environments_that_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UnsupportedError, match="does not play"):
        mk.play(Delayed(arms([0.0, 1.0]), 1), BOBW(), episodes=3, rng=rng)
    with pytest.raises(OptionError, match=r"rewards in \[0, 1\]"):
        mk.play(Adversarial(arms([0.0, 0.0]), [[-0.5, 0.0]]), BOBW(), episodes=3, rng=rng)
