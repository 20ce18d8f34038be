"""Mirror descent policy optimization against closed forms and its neighbors."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.solvers.policy_gradient import NaturalPolicyGradient
from mdpkit.solvers.regularized_dp import MirrorDescentPolicyOptimization


def state_of(mdp: mk.MDP, solver, k: int, seed: int | None = None):
    rng = None if seed is None else np.random.default_rng(seed)
    return next(islice(mk.iterates(mdp, solver, rng=rng), k, None))


@pytest.fixture
def garnet() -> mk.MDP:
    return mk.instances.make("garnet", S=4, A=3, branching=2, seed=2, gamma="9/10")


def test_a_constant_step_size_is_the_natural_policy_gradient(garnet: mk.MDP) -> None:
    one = state_of(garnet, MirrorDescentPolicyOptimization(eta=3.0), 6)
    two = state_of(garnet, NaturalPolicyGradient(eta=3.0 * (1 - 0.9)), 6)
    assert np.allclose(one.log_pi, two.log_pi, rtol=1e-11, atol=1e-11)


def test_step_sizes_fall_to_zero_and_then_nothing_changes() -> None:
    # A bandit: the logits are the sum of the step sizes 1, 3/4, 1/2, 1/4 times r.
    r = np.array([0.1, 0.5, 0.9])
    mdp = mk.MDP(np.ones((1, 3, 1)), r[None], mk.Discounted(0.5))
    solver = MirrorDescentPolicyOptimization(eta=2.0, decay=4)
    weights = np.exp(2.0 * 2.5 * r)
    assert np.allclose(np.exp(state_of(mdp, solver, 4).log_pi), weights / weights.sum(), rtol=1e-13)
    last = state_of(mdp, solver, 4)
    assert solver.finished(last)
    assert np.array_equal(state_of(mdp, solver, 9).log_pi, last.log_pi)


def test_many_inner_steps_are_the_closed_form(garnet: mk.MDP) -> None:
    exact = state_of(garnet, MirrorDescentPolicyOptimization(eta=0.5), 1)
    far = [
        np.max(
            np.abs(
                state_of(garnet, MirrorDescentPolicyOptimization(eta=0.5, inner=m, alpha=2), 1).log_pi - exact.log_pi
            )
        )
        for m in (1, 10, 100, 1000)
    ]
    assert far == sorted(far, reverse=True)
    assert far[-1] < 1e-12


def test_inner_steps_of_a_regularized_problem_reach_its_closed_form(garnet: mk.MDP) -> None:
    mu = np.tile([0.2, 0.3, 0.5], 4)
    for problem in (garnet.under(mk.EntropyRegularized(0.9, 0.5)), garnet.under(mk.EntropyRegularized(0.9, 0.5, mu))):
        exact = state_of(problem, MirrorDescentPolicyOptimization(eta=0.5), 1)
        many = state_of(problem, MirrorDescentPolicyOptimization(eta=0.5, inner=2000, alpha=1), 1)
        assert np.allclose(many.log_pi, exact.log_pi, atol=1e-12)


def test_the_coefficient_at_the_temperature_is_soft_policy_iteration(garnet: mk.MDP) -> None:
    tau = 0.25
    problem = garnet.under(mk.EntropyRegularized(0.9, tau))
    P, ptr = garnet.P.toarray(), garnet.pair_ptr
    pi = np.full(12, 1 / 3)
    for _ in range(3):
        M = np.add.reduceat(pi[:, None] * P, ptr[:-1])
        V = np.linalg.solve(np.eye(4) - 0.9 * M, np.add.reduceat(pi * (garnet.r - tau * np.log(pi)), ptr[:-1]))
        Q = garnet.r + 0.9 * P @ V
        pi = np.exp(Q / tau) / np.repeat(np.add.reduceat(np.exp(Q / tau), ptr[:-1]), 3)
    state = state_of(problem, MirrorDescentPolicyOptimization(coefficient=tau), 3)
    assert np.allclose(np.exp(state.log_pi), pi, rtol=1e-11)


@dataclass(frozen=True)
class Noisy:
    """Exact advantages and noise."""

    def __call__(self, on, pi, rng=None):
        return on.advantage(on.value(pi)) + 0.1 * rng.standard_normal(on.n_pairs)


def test_estimated_advantages_are_plugged_in(garnet: mk.MDP) -> None:
    solver = MirrorDescentPolicyOptimization(eta=0.5, advantages=Noisy())
    noise = 0.1 * np.random.default_rng(4).standard_normal(12)
    exact = state_of(garnet, MirrorDescentPolicyOptimization(eta=0.5), 1).log_pi + 0.5 * noise
    exact -= np.repeat(np.log(np.add.reduceat(np.exp(exact), garnet.pair_ptr[:-1])), 3)
    assert np.allclose(state_of(garnet, solver, 1, seed=4).log_pi, exact, rtol=1e-12)
    with pytest.raises(UnsupportedError, match="exact advantages"):
        mk.solve(garnet.under(mk.EntropyRegularized(0.9, 0.1)), solver)


def test_parameters_are_checked(garnet: mk.MDP) -> None:
    for wrong, says in (
        ({"eta": 0}, "eta is not positive"),
        ({"eta": None}, "eta is not positive"),
        ({"alpha": -1}, "alpha is not positive"),
        ({"decay": 0}, "decay is no count"),
        ({"inner": 1.5}, "inner is no count"),
        ({"coefficient": 0}, "coefficient is not positive"),
        ({"coefficient": 1, "decay": 5}, "no falling step size"),
    ):
        with pytest.raises(OptionError, match=says):
            MirrorDescentPolicyOptimization(**wrong)
    with pytest.raises(UnsupportedError, match="at least its temperature"):
        mk.solve(garnet.under(mk.EntropyRegularized(0.9, 0.1)), MirrorDescentPolicyOptimization(coefficient=0.05))
