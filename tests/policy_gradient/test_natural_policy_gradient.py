"""Natural policy gradient against closed forms."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.solvers.policy_gradient import NaturalPolicyGradient


def test_one_state_is_exponential_weights() -> None:
    # One state: V drops out, and after k steps pi is softmax(k eta r / (1 - gamma)).
    r = np.array([0.1, 0.5, 0.9])
    mdp = mk.MDP(np.ones((1, 3, 1)), r[None], mk.Discounted(0.5))
    state = next(islice(mk.iterates(mdp, NaturalPolicyGradient(eta=0.3)), 7, None))
    weights = np.exp(7 * 0.3 * r / 0.5)
    assert np.allclose(np.exp(state.log_pi), weights / weights.sum(), rtol=1e-13)


def test_the_step_is_the_fisher_preconditioned_gradient() -> None:
    # Independent: gradient by central differences, Fisher information by its definition.
    mdp = mk.instances.make("garnet", S=3, A=3, branching=2, seed=3, gamma="9/10").under(rho=[0.2, 0.3, 0.5])
    S, A, gamma = 3, 3, 0.9
    P, r = mdp.P.toarray(), mdp.r

    def softmax(theta: np.ndarray) -> np.ndarray:
        weights = np.exp(theta)
        return weights / weights.sum(axis=1, keepdims=True)

    def J(theta: np.ndarray) -> float:
        pi = softmax(theta).ravel()
        M = np.add.reduceat(pi[:, None] * P, mdp.pair_ptr[:-1])
        V = np.linalg.solve(np.eye(S) - gamma * M, np.add.reduceat(pi * r, mdp.pair_ptr[:-1]))
        return float(mdp.rho @ V)

    theta = np.log(np.full((S, A), 1 / A))
    h = 1e-5
    gradient = np.array([(J(theta + h * e) - J(theta - h * e)) / (2 * h) for e in np.eye(S * A).reshape(-1, S, A)])
    pi = softmax(theta)
    M = np.add.reduceat(pi.ravel()[:, None] * P, mdp.pair_ptr[:-1])
    d = (1 - gamma) * np.linalg.solve((np.eye(S) - gamma * M).T, mdp.rho)
    fisher = np.zeros((S * A, S * A))
    for s in range(S):
        block = slice(s * A, (s + 1) * A)
        fisher[block, block] = d[s] * (np.diag(pi[s]) - np.outer(pi[s], pi[s]))
    step = softmax(theta + 0.4 * (np.linalg.pinv(fisher) @ gradient).reshape(S, A))
    state = next(islice(mk.iterates(mdp, NaturalPolicyGradient(eta=0.4)), 1, None))
    assert np.allclose(np.exp(state.log_pi).reshape(S, A), step, atol=1e-7)


def test_step_sizes_are_checked() -> None:
    with pytest.raises(OptionError, match="eta is not positive"):
        NaturalPolicyGradient(eta=0)
