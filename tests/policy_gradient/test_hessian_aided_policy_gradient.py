"""HARPG against finite differences of the gradient."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.models.canonical import canonical
from mdpkit.solvers.policy_gradient import HessianAidedPolicyGradient


def test_the_mean_product_is_the_difference_of_mean_gradients() -> None:
    mdp = mk.instances.make("garnet", S=2, A=2, branching=2, seed=4, gamma="9/10").under(rho=[0.5, 0.5])
    policies = HessianAidedPolicyGradient(features="minimal").policies(canonical(mdp))
    batch = policies.enumerate(3)

    def gradient(theta: np.ndarray) -> np.ndarray:
        pi = np.exp(policies.log_pi(theta))
        return policies.probability(batch, pi) @ policies.gradients(batch, pi)

    theta, v, h = np.array([0.3, -0.8]), np.array([1.0, 0.5]), 1e-5
    pi = np.exp(policies.log_pi(theta))
    mean = policies.probability(batch, pi) @ policies.hessians(batch, pi, v)
    assert np.allclose(mean, (gradient(theta + h * v) - gradient(theta - h * v)) / (2 * h), atol=1e-8)


def test_two_trajectories_a_step_and_normalized_steps() -> None:
    mdp = mk.instances.make("riverswim", n_states=3, gamma="4/5")
    states = list(islice(mk.iterates(mdp, HessianAidedPolicyGradient(length=7), np.random.default_rng(0)), 6))
    assert [s.draws for s in states] == [14 * t for t in range(6)]
    for t, (now, after) in enumerate(pairwise(states)):
        size = np.linalg.norm(after.theta - now.theta)
        assert size == pytest.approx(1 / (t + 2), rel=1e-12) or not np.any(after.direction)
    plain = HessianAidedPolicyGradient(length=7, normalized=False)
    first, second = islice(mk.iterates(mdp, plain, np.random.default_rng(0)), 2)
    assert np.allclose(second.theta - first.theta, second.direction / 2)
