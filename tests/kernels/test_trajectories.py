"""Drawn, enumerated and compiled trajectories against their definitions."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import UnsupportedError
from mdpkit.kernels import sampling, traces, trajectories
from mdpkit.models.canonical import canonical
from mdpkit.operators.log_linear import LogLinear, horizon
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solvers.policy_gradient import HessianAidedPolicyGradient, NormalizedPolicyGradientIGT, Reinforce

F = Fraction
MODELS = {
    "dense": {"name": "garnet", "S": 4, "A": 3, "branching": 4, "seed": 1, "gamma": "9/10"},
    "sparse": {"name": "garnet", "S": 12, "A": 2, "branching": 2, "seed": 2, "gamma": "4/5"},
    "river": {"name": "riverswim", "n_states": 5, "gamma": "1/2"},
}


def model(name: str) -> mk.MDP:
    options = dict(MODELS[name])
    return mk.instances.make(options.pop("name"), **options)


@pytest.mark.parametrize("name", MODELS)
def test_rollouts_agree_with_their_definition(name: str) -> None:
    mdp = model(name)
    rng = np.random.default_rng(3)
    P, ptr = mdp.P, np.asarray(mdp.pair_ptr, dtype=np.int64)
    pi = rng.random(mdp.n_pairs)
    kernels: Any = sampling
    choice = kernels.cumulative(ptr, pi)
    start = np.cumsum(np.full(mdp.n_states, 1 / mdp.n_states))
    u = rng.random((50, 1 + 2 * 7))
    states, pairs = np.empty((50, 8), dtype=np.int64), np.empty((50, 7), dtype=np.int64)
    kernels.rollouts(u, start, choice[None], ptr, P.indptr, P.indices, P.cumulative, states, pairs)
    expected = trajectories.rollouts(u, start, choice, ptr, P.indptr, P.indices, P.cumulative)
    assert np.array_equal(states, expected[0])
    assert np.array_equal(pairs, expected[1])
    assert np.array_equal(mdp.state[pairs], states[:, :-1])


def test_numbers_on_a_border_go_to_the_next_place() -> None:
    # Two states, two actions each, all halves: a number of exactly one half is beyond the first place.
    P = np.full((2, 2, 2), 0.5)
    mdp = mk.MDP(P, np.zeros((2, 2)), mk.Discounted(0.5))
    ptr = np.asarray(mdp.pair_ptr, dtype=np.int64)
    u, start, choice = np.full((1, 3), 0.5), np.array([0.5, 1.0]), np.array([0.5, 1.0, 0.5, 1.0])
    states, pairs = np.empty((1, 2), dtype=np.int64), np.empty((1, 1), dtype=np.int64)
    kernels: Any = sampling
    kernels.rollouts(u, start, choice[None], ptr, mdp.P.indptr, mdp.P.indices, mdp.P.cumulative, states, pairs)
    expected = trajectories.rollouts(u, start, choice, ptr, mdp.P.indptr, mdp.P.indices, mdp.P.cumulative)
    assert states.tolist() == expected[0].tolist() == [[1, 1]]
    assert pairs.tolist() == expected[1].tolist() == [[3]]


def test_lengths_and_starts_of_trajectories() -> None:
    for gamma in (0.5, 0.9, 0.99):
        H = horizon(None, gamma)
        assert gamma**H <= 0.01 < gamma ** (H - 1)
    policies = LogLinear(OnPolicy(canonical(model("dense").under(rho=[0, 1, 0, 0]))))
    pi = np.exp(policies.log_pi(policies.zeros()))
    for law, first in ((None, 1), (np.array([0.0, 0.0, 0.0, 1.0]), 3)):
        batch = policies.draw(pi, np.random.default_rng(0), 20, 2, law)
        assert batch.states[:, 0].tolist() == [first] * 20


def test_enumeration_holds_each_trajectory_once_and_all_of_the_probability() -> None:
    mdp = mk.instances.make("garnet", S=3, A=2, branching=3, seed=5, gamma="9/10").under(rho=["1/3", "2/3", 0])
    policies = LogLinear(OnPolicy(canonical(mdp)))
    batch = policies.enumerate(3)
    rows = {(*s, *k) for s, k in zip(batch.states.tolist(), batch.pairs.tolist(), strict=True)}
    assert len(rows) == len(batch.pairs)
    pi = np.exp(policies.log_pi(np.linspace(-1, 1, mdp.n_pairs)))
    assert policies.probability(batch, pi).sum() == pytest.approx(1, abs=1e-14)
    assert set(batch.states[:, 0].tolist()) == {0, 1}


def test_rewards_to_go_and_advantages_by_hand() -> None:
    rewards = np.array([[F(1), F(2), F(4)]], dtype=object)
    assert trajectories.rewards_to_go(rewards, F(1, 2))[0].tolist() == [3, 2, 1]
    assert traces.generalized_advantages(rewards, F(1, 2))[0].tolist() == [3, 4, 4]
    assert trajectories.discounts(F(1, 2), 3).tolist() == [1, F(1, 2), F(1, 4)]
    counted = trajectories.counts(np.array([[0, 2, 0]]), rewards, 3)
    assert counted[:, 0].tolist() == [5, 0, 2]


LOOPS = [
    Reinforce(eta=0.5, episodes=1, length=6),
    NormalizedPolicyGradientIGT(length=6),
    HessianAidedPolicyGradient(length=6),
    HessianAidedPolicyGradient(length=6, features="minimal", normalized=False),
    NormalizedPolicyGradientIGT(length=4, features=[[1, 0.5], [0, 1], [2, -1], [1, 1], [0, 0], [1, 3], [0, 2], [1, 0]]),
]


@pytest.mark.parametrize("solver", LOOPS, ids=lambda s: f"{type(s).__name__}-{s.features is None}")
def test_compiled_loops_are_repeated_steps(solver: Any) -> None:
    mdp = mk.instances.make("garnet", S=4, A=2, branching=2, seed=7, gamma="9/10")
    marks = [1, 2, 30]
    traced = solver.trace(canonical(mdp), marks, np.random.default_rng(11))
    states = list(islice(mk.iterates(mdp, solver, np.random.default_rng(11)), 31))
    for mark, theta in zip(marks, traced, strict=True):
        assert np.allclose(theta, states[mark].theta, rtol=1e-9, atol=1e-12)


def test_methods_without_a_compiled_loop_say_so() -> None:
    problem = canonical(model("river"))
    for solver in (
        Reinforce(episodes=2),
        Reinforce(episodes=1, baseline=0.5),
        Reinforce(episodes=1, estimator="reinforce"),
        NormalizedPolicyGradientIGT(episodes=2),
    ):
        with pytest.raises(UnsupportedError, match="no compiled loop"):
            solver.trace(problem, [1], np.random.default_rng(0))
