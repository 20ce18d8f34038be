"""Mirror-descent value iteration against closed forms, and what its parameters refuse."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.operators.backups import DisturbedBackup, SampledBackup
from mdpkit.solvers.regularized_dp import MirrorDescentValueIteration


def state_of(mdp: mk.MDP, solver: MirrorDescentValueIteration, k: int, seed: int | None = None):
    rng = None if seed is None else np.random.default_rng(seed)
    return next(islice(mk.iterates(mdp, solver, rng=rng), k, None))


def test_one_state_without_entropy_adds_up_its_rewards() -> None:
    # One state, gamma = 0: q_k = r from the first step on, and pi_k is soft in (k - 1) r / lambda.
    r = np.array([0.1, 0.5, 0.9])
    mdp = mk.MDP(np.ones((1, 3, 1)), r[None], mk.Discounted(0.0))
    state = state_of(mdp, MirrorDescentValueIteration(lambda_=0.3), 7)
    weights = np.exp(6 * r / 0.3)
    assert np.allclose(np.exp(state.log_pi), weights / weights.sum(), rtol=1e-12)
    assert np.array_equal(state.q, r)


def test_one_state_with_entropy_averages_geometrically() -> None:
    # One state, gamma = 0, tau > 0: h_k = (1 - beta^k) r with beta = lambda/(lambda + tau).
    r, tau, lambda_ = np.array([0.2, 0.7]), 0.5, 1.5
    mdp = mk.MDP(np.ones((1, 2, 1)), r[None], mk.EntropyRegularized(0.0, tau))
    state = state_of(mdp, MirrorDescentValueIteration(lambda_=lambda_), 5)
    weights = np.exp((1 - (lambda_ / (lambda_ + tau)) ** 4) * r / tau)
    assert np.allclose(np.exp(state.log_pi), weights / weights.sum(), rtol=1e-13)


def test_without_penalty_it_is_soft_value_iteration() -> None:
    mdp = mk.instances.make("garnet", S=4, A=3, branching=2, seed=2, gamma="9/10").under(
        mk.EntropyRegularized(0.9, 0.3)
    )
    P, V = mdp.P.toarray(), np.zeros(4)
    for k in range(1, 6):
        q = (mdp.r + 0.9 * P @ V) if k > 1 else np.zeros(mdp.n_pairs)
        V = 0.3 * np.log(np.add.reduceat(np.exp(q / 0.3), mdp.pair_ptr[:-1]))
        state = state_of(mdp, MirrorDescentValueIteration(lambda_=0), k)
        assert np.allclose(state.V, V, rtol=1e-12)


def test_the_gap_bounds_the_certificate() -> None:
    mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    solver = MirrorDescentValueIteration(lambda_=0.1)
    for k in (1, 5, 20):
        state = state_of(mdp, solver, k)
        assert mk.solve(mdp, solver, max_steps=k).certificate.gap <= state.gap * (1 + 1e-9) + 1e-9
    assert state.gap < 0.05


def test_samples_are_counted_and_right_on_average() -> None:
    mdp = mk.instances.make("garnet", S=3, A=2, branching=2, seed=1, gamma="1/2")
    solver = MirrorDescentValueIteration(lambda_=1.0, backup=SampledBackup(4000))
    state = state_of(mdp, solver, 2, seed=0)
    assert state.draws == 2 * 4000 * mdp.n_pairs
    exact = mdp.r + 0.5 * mdp.P.toarray() @ state.V
    assert np.max(np.abs(state.q - exact)) < 6 * 0.5 * np.ptp(state.V) / np.sqrt(
        4000
    )  # six standard deviations at most
    with pytest.raises(OptionError, match="random generator"):
        state_of(mdp, solver, 1)


def test_samples_of_a_model_of_costs_have_their_sign() -> None:
    P = np.array([[[0.0, 1.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]])
    mdp = mk.MDP(P, np.array([[1.0, 2.0], [3.0, 4.0]]), mk.Discounted(0.5), minimize=True)
    state = state_of(mdp, MirrorDescentValueIteration(backup=SampledBackup()), 1, seed=0)
    assert state.q.tolist() == [-1.0, -2.0, -3.0, -4.0]


def test_errors_repeat_and_have_mean_zero() -> None:
    errors = DisturbedBackup(scale=0.5, seed=3)
    draws = np.array([errors.errors(4, k).astype(float) for k in range(1, 2001)])
    assert np.array_equal(draws[6], errors.errors(4, 7).astype(float))
    assert np.abs(draws).max() <= 0.5
    assert np.all(np.abs(draws.mean(axis=0)) < 5 * 0.5 / np.sqrt(3 * 2000))


def test_parameters_are_checked() -> None:
    with pytest.raises(OptionError, match="lambda_ is negative"):
        MirrorDescentValueIteration(lambda_=-1)
    with pytest.raises(OptionError, match="type of the evaluation"):
        MirrorDescentValueIteration(type=3)
    with pytest.raises(OptionError, match="scale of the errors"):
        DisturbedBackup(scale=-1)
    with pytest.raises(OptionError, match="number of draws"):
        SampledBackup(0)
    with pytest.raises(UnsupportedError, match="lambda_ > 0"):
        mk.solve(mk.instances.make("riverswim"), MirrorDescentValueIteration(lambda_=0))
