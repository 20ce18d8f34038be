"""The multi-level actor-critic and its estimator: by hand, against enumeration, and at its fixed point."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.kernels import momentum, multilevel
from mdpkit.models.canonical import canonical
from mdpkit.models.markov import MarkovChain
from mdpkit.solvers.average_reward import MultiLevelActorCritic

F = Fraction


def chain(p: Fraction, q: Fraction) -> tuple[np.ndarray, np.ndarray]:
    P = np.array([[1 - p, p], [q, 1 - q]], dtype=object)
    return P, np.array([F(0), F(1)], dtype=object)


def test_weights_are_signs_of_halves() -> None:
    assert multilevel.weights(1).tolist() == [1.0]
    assert multilevel.weights(2).tolist() == [0.0, 1.0]
    assert multilevel.weights(8).tolist() == [0, -1, -1, -1, 1, 1, 1, 1]
    assert multilevel.weights(4, F(1)).tolist() == [F(0), F(-1), F(1), F(1)]


def test_levels_halve() -> None:
    drawn = [multilevel.level((i + 0.5) / 64) for i in range(64)]
    assert [drawn.count(j) for j in range(1, 7)] == [32, 16, 8, 4, 2, 1]
    assert multilevel.level(0.0) == 1
    assert multilevel.level(np.nextafter(1.0, 0.0)) == 53
    assert [multilevel.length(j, 3) for j in (1, 3, 4)] == [2, 8, 1]


def test_the_mean_is_that_of_the_longest_average_over_all_paths() -> None:
    # Every path of four steps and every level, one by one.
    P, h = chain(F(1, 3), F(1, 4))
    total = np.array([F(0), F(0)], dtype=object)
    for s in (0, 1):
        for path in product((0, 1), repeat=3):
            states = (s, *path)
            chance = np.prod([P[x, y] for x, y in pairwise(states)])
            samples = h[list(states)]
            for j, p in ((1, F(1, 2)), (2, F(1, 4)), (3, F(1, 4))):
                n = multilevel.length(j, 2)
                total[s] += chance * p * (multilevel.weights(n, F(1)) * samples[:n]).sum()
    means = multilevel.averages(P, h, 2)
    assert total.tolist() == means[2].tolist() == multilevel.expectation(means, F(1)).tolist()


def test_the_bias_of_a_slow_chain() -> None:
    # By hand: for two states P^i h - mu h = (1 - p - q)^i (h - mu h), a geometric sum.
    P, h = chain(F(2, 100), F(3, 100))
    means = multilevel.averages(P, 1 - h, 9)
    for j, shown in ((3, -0.505), (6, -0.180), (9, -0.0234)):
        n, x = 2**j, F(95, 100)
        assert means[j][1] - F(3, 5) == -F(3, 5) * (1 - x**n) / (n * (1 - x))
        assert float(means[j][1]) - 0.6 == pytest.approx(shown, abs=5e-4)
    assert multilevel.expected_length(9, F(1)) == 9 + F(1, 512)


def test_steps_are_counted() -> None:
    mdp = mk.instances.make("riverswim", n_states=4).under(mk.AverageReward())
    solver, problem, rng = MultiLevelActorCritic(longest=64), canonical(mdp), np.random.default_rng(3)
    state = solver.init(problem, rng)
    lengths = []
    for _ in range(4000):
        before = state.draws
        state = solver.step(problem, state, rng)
        assert state.visited is not None
        assert state.draws - before == len(state.visited) == multilevel.length(state.level, 6)
        lengths.append(len(state.visited))
    # 6 + 1/64 on average; the variance is at most the sum of 2^-j 4^j.
    assert abs(np.mean(lengths) - multilevel.expected_length(6)) < 4 * np.sqrt(126 / 4000)


def test_the_critic_finds_gain_and_bias_of_a_policy_that_rests() -> None:
    mdp = mk.instances.make("two-cliques", n=2, p="1/8").under(mk.AverageReward())
    solver = MultiLevelActorCritic(eta=1e-9, alpha=0.02, beta=0.02, power=0, longest=64)
    rng, problem = np.random.default_rng(0), canonical(mdp)
    state = solver.init(problem, rng)
    gains, values = [], []
    for k in range(16_000):
        state = solver.step(problem, state, rng)
        if k >= 4_000:
            gains.append(state.gain)
            values.append(state.w - state.w.mean())
    truth = MarkovChain.of(mdp)
    assert np.mean(gains) == pytest.approx(0.5, abs=0.05)
    assert np.max(np.abs(np.mean(values, axis=0) - truth.bias.astype(float))) < 0.1 * np.ptp(truth.bias.astype(float))


def test_it_learns_to_leave_a_poor_state() -> None:
    # Two states, each of which can be kept or left; only the second pays.
    P = [[[1, 0], [0, 1]], [[0, 1], [1, 0]]]
    mdp = mk.MDP(P, [[0.0, 0.0], [1.0, 1.0]], mk.AverageReward(), rho=0)
    sol = mk.solve(mdp, MultiLevelActorCritic(longest=32), max_steps=1500, rng=np.random.default_rng(1))
    assert MarkovChain.of(mdp, sol.last_policy).gain[0] > 0.9


def test_the_ball_keeps_the_critic() -> None:
    mdp = mk.instances.make("two-cliques").under(mk.AverageReward())
    solver, rng = MultiLevelActorCritic(radius=0.5), np.random.default_rng(2)
    problem = canonical(mdp)
    state = solver.init(problem, rng)
    for _ in range(200):
        state = solver.step(problem, state, rng)
        assert np.linalg.norm(state.w) <= 0.5 * (1 + 1e-15)
    assert momentum.within(np.array([3.0, 4.0]), 1.0).tolist() == pytest.approx([0.6, 0.8])
    assert momentum.within(np.array([0.3, 0.4]), 1.0).tolist() == [0.3, 0.4]


def test_steps_of_adagrad() -> None:
    assert momentum.adapted(np.array([1.0]), np.array([0.0]), 2.0, 0.0).tolist() == [1.0]
    assert momentum.adapted(np.array([1.0]), np.array([3.0]), 2.0, 9.0).tolist() == [3.0]


def test_bad_parameters_are_refused() -> None:
    mdp = mk.instances.make("two-cliques").under(mk.AverageReward())
    for bad in (
        {"eta": 0},
        {"alpha": -1},
        {"beta": 0},
        {"power": -1},
        {"longest": 0},
        {"radius": 0},
        {"critic": "rbf"},
    ):
        with pytest.raises(OptionError):
            MultiLevelActorCritic(**bad)
    with pytest.raises(ModelError, match="critic and states differ"):
        mk.solve(mdp, MultiLevelActorCritic(critic=[[1.0], [2.0]]), max_steps=1, rng=np.random.default_rng(0))
    with pytest.raises(UnsupportedError, match="MultiLevelActorCritic does not solve"):
        mk.solve(mk.instances.make("two-cliques"), MultiLevelActorCritic(), max_steps=1, rng=np.random.default_rng(0))
