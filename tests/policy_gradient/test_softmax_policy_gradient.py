"""Softmax policy gradient against central differences and closed forms."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.solvers.policy_gradient import SoftmaxPolicyGradient


@pytest.mark.parametrize("tau", [0.0, 0.3])
@pytest.mark.parametrize("with_reference", [False, True])
def test_the_direction_is_the_gradient(tau: float, with_reference: bool) -> None:
    # Independent: central differences of the value in the logits.
    S, A, gamma = 3, 2, 0.9
    rho = np.array([0.2, 0.3, 0.5])
    mdp = mk.instances.make("garnet", S=S, A=A, branching=2, seed=3, gamma="9/10").under(rho=rho)
    reference = np.array([[0.3, 0.7]] * S) if with_reference else None
    P, r = mdp.P.toarray(), mdp.r
    problem = mdp.under(mk.EntropyRegularized(gamma, tau, reference)) if tau else mdp
    mu = np.ones((S, A)) if reference is None else reference

    def J(theta: np.ndarray) -> float:
        pi = np.exp(theta) / np.exp(theta).sum(axis=1, keepdims=True)
        paid = pi * (r.reshape(S, A) - tau * np.log(pi / mu))
        M = np.add.reduceat(pi.ravel()[:, None] * P, mdp.pair_ptr[:-1])
        return float(rho @ np.linalg.solve(np.eye(S) - gamma * M, paid.sum(axis=1)))

    states = list(islice(mk.iterates(problem, SoftmaxPolicyGradient(eta=0.7)), 3))
    h = 1e-5
    theta = states[1].theta.reshape(S, A)
    slopes = [(J(theta + h * e) - J(theta - h * e)) / (2 * h) for e in np.eye(S * A).reshape(-1, S, A)]
    assert np.allclose(states[2].theta - states[1].theta, 0.7 * np.array(slopes), atol=1e-8)
    assert np.isclose(rho @ states[1].V, J(theta), rtol=1e-12)


def test_the_limit_on_bandits() -> None:
    # k (V* - V_k) -> (|A| - 1)/(|A| eta), whatever the rewards and the discount: derived in the documentation.
    for gamma in ("1/2", "9/10"):
        mdp = mk.MDP(np.ones((1, 4, 1)), np.array([[1.0, 0.5, 0.3, 0.0]]), mk.Discounted(gamma), rho=0)
        rest = 1 - float(mdp.criterion.gamma)
        eta, k = 4 * rest, 40_000
        state = next(islice(mk.iterates(mdp, SoftmaxPolicyGradient(eta)), k, None))
        assert np.isclose(k * (1 / rest - state.V[0]) * eta, 3 / 4, rtol=2e-3)


def test_with_entropy_it_ends_at_the_soft_optimum() -> None:
    # One state: softmax(r/tau), and the value tau log sum exp(r/tau)/(1 - gamma).
    r = np.array([0.1, 0.4, 0.9])
    mdp = mk.MDP(np.ones((1, 3, 1)), r[None], mk.EntropyRegularized(0.5, 0.3), rho=0)
    state = next(islice(mk.iterates(mdp, SoftmaxPolicyGradient(1.0)), 400, None))
    weights = np.exp(r / 0.3)
    assert np.allclose(np.exp(state.log_pi), weights / weights.sum(), atol=1e-9)
    assert np.isclose(state.V[0], 0.3 * np.log(weights.sum()) / 0.5, rtol=1e-12)
    assert state.gap < 1e-9


def test_step_sizes_are_checked() -> None:
    with pytest.raises(OptionError, match="eta is not positive"):
        SoftmaxPolicyGradient(eta=0)
