"""LSVI-UCB against value iteration and plain regression, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.environment import Environment
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.kernels import optimistic_least_squares as least_squares
from mdpkit.play import rounds
from mdpkit.solvers.linear import LSVIUCB


def cube(H=3):
    return mk.instances.make("linear-hypercube-episodic", H=H, delta="1/2", gap="2/5")


def test_the_plan_is_ridge_regression_on_the_data():
    # Independent: all data are kept, and regressed on as an augmented least-squares problem.
    mdp, K = cube(), 30
    phi, seen = mdp.phi, []
    for played in rounds(Environment(mdp), LSVIUCB(beta=0.3, lambda_=2.0), K, np.random.default_rng(1)):
        V = np.zeros(2)
        for h in (2, 1, 0):
            X = np.array([phi[pairs[h]] for _, pairs, _ in seen]).reshape(-1, 4)
            y = np.array([paid[h] + V[states[h + 1]] for states, _, paid in seen])
            w = np.linalg.lstsq(np.vstack((X, np.sqrt(2) * np.eye(4))), np.concatenate((y, np.zeros(4))), rcond=None)[0]
            bonus = 0.3 * np.linalg.norm(np.linalg.solve(np.linalg.cholesky(X.T @ X + 2 * np.eye(4)), phi.T), axis=0)
            Q = np.clip(phi @ w + bonus, 0, 3 - h)
            assert np.allclose(played.state.plan.Q[h], Q, atol=1e-10)
            V = Q.reshape(2, 4).max(axis=1)
        seen.append(played.history)


def test_without_a_bonus_and_with_all_data_it_is_optimal():
    mdp = cube()
    sums = least_squares.blank(3, 4, 2)
    rows = mdp.P.toarray()
    for h in range(3):
        for k in range(8):
            x = mdp.phi[k]
            sums.Lambda[h] += 1e9 * np.outer(x, x)
            sums.b[h] += 1e9 * x * mdp.r[k]
            sums.M[h] += 1e9 * np.outer(x, rows[k])
    plan = least_squares.plan(sums, mdp.phi, mdp.pair_ptr, 1.0, np.zeros(3), np.array([3.0, 2, 1]))
    assert np.allclose(plan.V, mk.solve(mdp).V, atol=1e-6)


def test_regret_flattens_and_noise_is_allowed():
    mdp = cube()
    regret = mk.play(mdp, LSVIUCB(beta=2, growth=1.5), episodes=4000, rng=np.random.default_rng(0))
    first, last = regret.cumulative[999], regret.cumulative[-1] - regret.cumulative[2999]
    assert last < 0.2 * first
    noisy = mk.play(Environment(mdp, "bernoulli"), LSVIUCB(), episodes=20, rng=np.random.default_rng(0))
    assert len(noisy) == 20


def test_plans_are_rare():
    regret = mk.play(cube(), LSVIUCB(growth=2), episodes=5000, rng=np.random.default_rng(0))
    assert 10 < regret.series["plans"][-1] <= 3 * 4 * np.log(1 + 5000 / 4) / np.log(2) + 1


def test_the_bound():
    learner = LSVIUCB(growth=1.5, delta=0.05)
    view = Environment(cube()).view(1000)
    beta = learner.radius(view)
    c = np.array([3.0, 2.0, 1.0])
    inside = 4 * np.log(1 + 250) + 2 * np.log(60) + 4 * np.log(1 + c * np.sqrt(1000))
    assert np.allclose(beta, c / 2 * np.sqrt(inside) + 1 + 4 * c)
    expected = 2 * np.sqrt(1.5) * beta.sum() * np.sqrt(8 * 1000 * np.log(251)) + np.sqrt(500 * np.log(20) * 14)
    assert np.allclose(learner.bound(view, np.array([1000])), expected)
    assert LSVIUCB(beta=1).bound(view, np.array([1000])) is None


def test_what_is_refused():
    for options in ({"lambda_": 0.5}, {"growth": 0.5}, {"beta": -1}, {"delta": 2}):
        with pytest.raises(OptionError):
            LSVIUCB(**options)
    river = mk.instances.make("riverswim").under(mk.FiniteHorizon(3))
    with pytest.raises(UnsupportedError, match="features"):
        mk.play(river, LSVIUCB(), episodes=1, rng=np.random.default_rng(0))
    long = mk.LinearMDP([[["2"]]], [["1/2"]], ["1/4"], mk.FiniteHorizon(2), rho=0)
    with pytest.raises(OptionError, match=r"norm at most one.*norm 2 of state 0, action 0"):
        mk.play(long, LSVIUCB(), episodes=1, rng=np.random.default_rng(0))
    dear = mk.LinearMDP([[["1"]]], [["1"]], ["2"], mk.FiniteHorizon(2), rho=0)
    with pytest.raises(OptionError, match=r"rewards in \[0, 1\]"):
        mk.play(dear, LSVIUCB(), episodes=1, rng=np.random.default_rng(0))
