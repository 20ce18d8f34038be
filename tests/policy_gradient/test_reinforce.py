"""REINFORCE, its baselines and the log-linear class against closed forms and finite differences."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.models.canonical import canonical
from mdpkit.operators.log_linear import LogLinear
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solvers.policy_gradient import Reinforce


def bandit(*r: float) -> mk.MDP:
    return mk.MDP(np.ones((1, len(r), 1)), [list(r)], mk.Discounted("1/2"), rho=0)


def test_one_step_on_a_bandit_by_hand() -> None:
    # H = 1 and uniform start: theta += eta r(a) (e_a - pi).
    r = np.array([0.2, 0.9, 0.4])
    state = next(
        islice(mk.iterates(bandit(*r), Reinforce(eta=0.7, length=1, episodes=1), np.random.default_rng(4)), 1, None)
    )
    a = int(state.batch.pairs[0, 0])
    expected = 0.7 * r[a] * (np.eye(3)[a] - 1 / 3)
    assert np.allclose(state.theta, expected, atol=1e-15)
    assert state.draws == 1


def test_enumerated_mean_is_the_finite_difference_of_the_objective() -> None:
    mdp = mk.instances.make("garnet", S=2, A=2, branching=2, seed=9, gamma="9/10").under(rho=[0.3, 0.7])
    features = np.array([[1.0, 0.5], [-0.3, 1.0], [0.2, 0.1], [0.0, -1.0]])
    solver = Reinforce(features=features, length=3)
    policies = solver.policies(canonical(mdp))
    P, r = mdp.P.toarray(), mdp.r

    def J(theta: np.ndarray[Any, Any]) -> float:
        x = (features @ theta).reshape(2, 2)
        pi = np.exp(x - x.max(axis=1, keepdims=True))
        pi /= pi.sum(axis=1, keepdims=True)
        law, total = np.array([0.3, 0.7]), 0.0
        for h in range(3):
            flow = (law[:, None] * pi).ravel()
            total += 0.9**h * flow @ r
            law = flow @ P
        return total

    theta = np.array([0.4, -0.7])
    pi = np.exp(policies.log_pi(theta))
    batch = policies.enumerate(3)
    mean = policies.probability(batch, pi) @ solver.estimates(policies, batch, pi)
    h = 1e-6
    difference = [(J(theta + h * e) - J(theta - h * e)) / (2 * h) for e in np.eye(2)]
    assert np.allclose(mean, difference, atol=1e-9)


def test_the_optimal_baseline_of_two_arms() -> None:
    # One arm drawn with probability p: scores are 1-p and -p, so b* = (p(1-p)^2 r0 + (1-p)p^2 r1)/(p(1-p)^2 + (1-p)p^2).
    p, r = 0.3, (2.0, 5.0)
    best = ((1 - p) * r[0] + p * r[1]) / 1.0
    theta = np.array([np.log(p / (1 - p))])
    policies = LogLinear(OnPolicy(canonical(bandit(*r))), "minimal")
    pi = np.exp(policies.log_pi(theta))
    batch = policies.enumerate(1)
    chances = policies.probability(batch, pi)

    def variance(b: float) -> float:
        g = Reinforce(length=1, features="minimal", estimator="reinforce", baseline=b).estimates(policies, batch, pi)[
            :, 0
        ]
        return float(chances @ g**2 - (chances @ g) ** 2)

    grid = np.linspace(0, 6, 601)
    assert grid[np.argmin([variance(b) for b in grid])] == pytest.approx(best, abs=0.01)
    assert variance(best) == pytest.approx(0, abs=1e-12)  # two arms: nothing is left


@pytest.mark.parametrize("baseline", [None, 0.5, "mean", "optimal"])
def test_it_learns_the_best_arm(baseline: Any) -> None:
    solver = Reinforce(eta=0.5, length=3, baseline=baseline, features="minimal")
    sol = mk.solve(bandit(0.2, 0.8), solver, max_steps=150, rng=np.random.default_rng(2))
    assert sol.last_policy[0, 1] > 0.9


def test_minimal_softmax_is_tabular_softmax_with_one_logit_fixed() -> None:
    mdp = mk.instances.make("garnet", S=3, A=3, branching=2, seed=1, gamma="9/10")
    on = OnPolicy(canonical(mdp))
    minimal, full = LogLinear(on, "minimal"), LogLinear(on)
    theta = np.linspace(-1, 1, minimal.dim)
    logits = np.zeros(9)
    logits[[0, 1, 3, 4, 6, 7]] = theta
    assert np.allclose(minimal.log_pi(theta), full.log_pi(logits))
    assert minimal.matrix.shape == (9, 6)
    pi = np.exp(minimal.log_pi(theta))
    assert np.linalg.matrix_rank(full.fisher(pi)) == 6
    assert np.linalg.matrix_rank(minimal.fisher(pi)) == 6
    # With all of the tabular advantages representable, the critic is exact.
    fit = minimal.compatible(pi) @ minimal.critic(pi)
    assert np.allclose(fit, on.advantage(on.value(pi)))


def test_bad_parameters_are_refused() -> None:
    for options, says in (
        ({"eta": 0}, "eta is not positive"),
        ({"length": 0}, "length of trajectories is no count"),
        ({"episodes": 1.5}, "episodes is no count"),
        ({"estimator": "pgt"}, "estimator is unknown"),
        ({"baseline": "best"}, "baseline is unknown"),
        ({"baseline": "mean", "episodes": 1}, "no other trajectories"),
        ({"baseline": (1, 2), "estimator": "reinforce"}, "constant baseline"),
        ({"features": "tabular"}, "features are no matrix"),
        ({"features": [1, 2]}, "features are no matrix"),
    ):
        with pytest.raises(OptionError, match=says):
            Reinforce(**options)
    with pytest.raises(ModelError, match="features and pairs differ"):
        mk.solve(bandit(0, 1), Reinforce(features=[[1.0]]), max_steps=1)
    with pytest.raises(UnsupportedError, match="does not solve"):
        mk.solve(bandit(0, 1).under(mk.AverageReward()), Reinforce())
