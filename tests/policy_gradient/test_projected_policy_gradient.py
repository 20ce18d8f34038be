"""Projected policy gradient against closed forms and central differences."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.claims.trial import iterates
from mdpkit.errors import OptionError
from mdpkit.solvers.policy_gradient import ProjectedPolicyGradient

F = Fraction


def test_two_arms_end_on_time() -> None:
    # The worse arm loses eta Delta/(2(1 - gamma)) a step: 1/2, 3/8, 1/4, 1/8, 0 with eta = 1/4, Delta = 1/2, gamma = 1/2.
    mdp = mk.MDP([[[F(1)]] * 2], [[F(1, 4), F(3, 4)]], mk.Discounted("1/2"), rho=0)
    states = list(iterates(mdp, ProjectedPolicyGradient(F(1, 4)), 5, arithmetic="rational"))
    assert [state.pi[0] for state in states] == [F(1, 2), F(3, 8), F(1, 4), F(1, 8), 0, 0]
    assert states[4].V[0] == F(3, 2)


def test_the_gradient_is_that_of_the_probabilities() -> None:
    # Independent: central differences of the value in the probabilities; a step so small that it stays inside.
    S, A, gamma, eta = 3, 2, 0.9, 1e-3
    rho = np.array([0.2, 0.3, 0.5])
    mdp = mk.instances.make("garnet", S=S, A=A, branching=2, seed=3, gamma="9/10").under(rho=rho)
    P, r = mdp.P.toarray(), mdp.r

    def J(pi: np.ndarray) -> float:
        M = np.add.reduceat(pi[:, None] * P, mdp.pair_ptr[:-1])
        return float(rho @ np.linalg.solve(np.eye(S) - gamma * M, np.add.reduceat(pi * r, mdp.pair_ptr[:-1])))

    first, second = islice(mk.iterates(mdp, ProjectedPolicyGradient(eta)), 2)
    h = 1e-6
    slopes = np.array([(J(first.pi + h * e) - J(first.pi - h * e)) / (2 * h) for e in np.eye(S * A)]).reshape(S, A)
    tangent = slopes - slopes.mean(axis=1, keepdims=True)  # the projection's part inside the simplex
    assert np.allclose((second.pi - first.pi) / eta, tangent.ravel(), atol=1e-6)


def test_it_ends_at_an_optimal_policy() -> None:
    mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    sol = mk.solve(mdp, ProjectedPolicyGradient(eta=10), max_steps=200)
    best = mk.solve(mdp, exact=True)
    assert sol.status.ok
    assert np.allclose(sol.V, best.V, rtol=1e-9)


def test_step_sizes_are_checked() -> None:
    with pytest.raises(OptionError, match="eta is not positive"):
        ProjectedPolicyGradient(eta=0)
