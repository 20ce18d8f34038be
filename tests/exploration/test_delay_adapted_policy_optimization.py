"""Delay-adapted policy optimization: closed forms, late feedback by hand, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.environment import Adversarial, Delayed, Environment, random_walk, switching
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.play import rounds
from mdpkit.solvers.exploration import DelayAdaptedPolicyOptimization

DAPO = DelayAdaptedPolicyOptimization


def arms(n: int) -> mk.MDP:
    return mk.MDP(np.ones((1, n, 1)), np.zeros((1, n)), mk.FiniteHorizon(1), rho=0)


def two_stages() -> mk.MDP:
    P = np.array([[[0.75, 0.25], [0.25, 0.75]], [[0.5, 0.5], [1.0, 0.0]]])
    return mk.MDP(P, [[0.25, 0.5], [1.0, 0.0]], mk.FiniteHorizon(2), rho=[0.5, 0.5])


def test_exp3_by_hand() -> None:
    # Weights exp(-eta L/p) of the arm that was played, with feedback one episode late.
    world = Delayed(Adversarial(arms(2), [[1.0, 0.25]]), 1)
    G, before = np.zeros(2), []
    for played in rounds(world, DAPO(eta=0.5), 6, np.random.default_rng(2)):
        p = np.exp(-0.5 * (G - G.min()))
        p /= p.sum()
        np.testing.assert_allclose(played.policy[0], p, rtol=1e-12)
        before.append((p, int(played.history[1][0])))
        if played.k:
            old, a = before[played.k - 1]
            G[a] += (1 - [1.0, 0.25][a]) / max(old[a], p[a])


def test_the_bound_is_the_published_form_of_one_stage() -> None:
    # 2 sqrt(ln A (K A / 2 + D)) + d with K = 3000, A = 4: 182, 625 and 1403 for d = 0, 20 and 100.
    for d, value in ((0, 182.4), (20, 625.0), (100, 1402.6)):
        view = Delayed(Adversarial(arms(4), np.zeros((1, 4))), d).view(3000)
        assert DAPO(delay=d).bound(view, np.array([3000]))[0] == pytest.approx(value, abs=0.05)  # type: ignore[index]


@pytest.mark.parametrize("options", [{"weights": "plain"}, {"information": "full"}, {"explore": 0.5}])
def test_presets_for_comparison_promise_nothing(options: dict[str, Any]) -> None:
    assert DAPO(**options).bound(Adversarial(arms(2), np.zeros((1, 2))).view(10), np.array([10])) is None


def test_a_bound_for_two_stages_and_its_step() -> None:
    view = Adversarial(Environment(two_stages(), known=True), np.zeros((1, 4))).view(10_000)
    eta, explore, noise, _ = DAPO().constants(view)
    assert noise == pytest.approx(2 * math.e * 8 * 4) and explore == 2 * eta
    assert eta == pytest.approx(math.sqrt(2 * math.log(2) / (noise * 10_000)))
    assert DAPO().bound(view, np.array([10_000]))[0] == pytest.approx(2 * math.sqrt(2 * math.log(2) * noise * 1e4))  # type: ignore[index]
    assert DAPO(bonus=0.5).bound(view, np.array([10])) is None
    assert DAPO().bound(Adversarial(two_stages(), np.zeros((1, 4))).view(10), np.array([10])) is None
    # Of few episodes the step is the largest that the proof allows.
    assert DAPO().constants(Adversarial(two_stages(), np.zeros((1, 4))).view(1))[0] == pytest.approx(1 / (16 * 1.25))


def test_full_information_is_exponential_weights_on_exact_losses() -> None:
    mdp, tables = two_stages(), np.array([[0.25, 0.5, 1.0, 0.0], [0.0, 1.0, 0.5, 0.5]])
    world = Adversarial(Environment(mdp, known=True), tables, revealed=True)
    total, P = np.zeros((2, 4)), np.array([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
    for played in rounds(world, DAPO(eta=0.5, information="full"), 5, np.random.default_rng(0)):
        weights = np.exp(-0.5 * total).reshape(2, 2, 2)
        pi = (weights / weights.sum(axis=2, keepdims=True)).reshape(2, 4)
        np.testing.assert_allclose(played.policy, pi, rtol=1e-12)
        loss = 1 - tables[played.k % 2]
        V = (pi[1] * loss).reshape(2, 2).sum(axis=1)
        total += np.stack((loss + P @ V, loss))


def test_feedback_that_comes_together_is_used_one_after_the_other() -> None:
    world = Delayed(Adversarial(arms(2), [[1.0, 0.25]]), [1, 0, 0])
    learner = DAPO(eta=0.5)
    state = learner.begin(world.view(3), np.random.default_rng(0))
    playing = list(rounds(world, learner, 3, np.random.default_rng(1)))
    assert [f.episode.k for f in playing[1].feedback] == [0, 1]
    G = np.zeros(2)
    for f in playing[1].feedback:
        q = np.exp(-0.5 * G) / np.exp(-0.5 * G).sum()
        a = int(f.episode.pairs[0])
        G[a] += (1 - f.episode.rewards[0]) / max(0.5, q[a])
    np.testing.assert_allclose(playing[2].policy[0], np.exp(-0.5 * G) / np.exp(-0.5 * G).sum(), rtol=1e-12)
    assert np.allclose(state.pi, 0.5)


def test_compiled_runs_across_chunks_and_uneven_delays() -> None:
    K = 4200
    rng = np.random.default_rng(5)
    delays = rng.integers(0, 40, size=K)
    world = Delayed(Adversarial(two_stages(), *random_walk([0.5, 0.25, 0.75, 0.5], K, 0.125, rng)), delays)
    runs = [
        mk.play(world, DAPO(eta=0.002, explore=0.05), episodes=K, rng=np.random.default_rng(1), compiled=compiled)
        for compiled in (True, False)
    ]
    np.testing.assert_allclose(runs[0].values, runs[1].values, rtol=1e-6)


def test_waiting_for_feedback_costs_regret() -> None:
    tables = [[1.0, 0.25], [0.5, 0.25]]
    totals = [
        np.mean([
            mk.play(Delayed(Adversarial(arms(2), *switching(tables, 2000, 10)), d), DAPO(delay=d), episodes=2000,
                    rng=np.random.default_rng(i)).total
            for i in range(5)
        ])
        for d in (0, 10, 200)
    ]  # fmt: skip
    assert totals[0] < totals[1] < totals[2] < 2000 * 0.25


@pytest.mark.parametrize(
    "options",
    [
        {"eta": 0},
        {"eta": -1.0},
        {"explore": -0.1},
        {"weights": "other"},
        {"information": "none"},
        {"delay": -1},
        {"delta": 1},
    ],
)
def test_parameters_that_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        DAPO(**options)


def test_environments_that_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(OptionError, match=r"rewards in \[0, 1\]"):
        mk.play(Adversarial(arms(2), [[1.5, 0.0]]), DAPO(), episodes=2, rng=rng)
    with pytest.raises(UnsupportedError, match="full information"):
        mk.play(
            Adversarial(Environment(arms(2), known=True), [[0.5, 0.0]]), DAPO(information="full"), episodes=2, rng=rng
        )
    with pytest.raises(UnsupportedError, match="does not play"):
        mk.play(two_stages().under(mk.Discounted(0.5)), DAPO(), episodes=2, rng=rng)
