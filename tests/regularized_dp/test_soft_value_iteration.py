"""Soft value iteration and its operators against closed forms and independent computations."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.operators import BellmanOptimality, SoftOptimality, SoftPolicy
from mdpkit.solvers.regularized_dp import SoftValueIteration


def test_one_state_in_closed_form() -> None:
    # One state: V* = tau log sum_a exp(r/tau) / (1 - gamma), and V_k = (1 - gamma^k) V*.
    r, tau, gamma = np.array([0.1, 0.5, 0.9]), 0.3, 0.8
    mdp = mk.MDP(np.ones((1, 3, 1)), r[None], mk.EntropyRegularized(gamma, tau))
    best = tau * logsumexp(r / tau) / (1 - gamma)
    assert np.isclose(mk.solve(mdp, SoftValueIteration()).V[0], best, rtol=1e-9)
    state = next(islice(mk.iterates(mdp, SoftValueIteration()), 7, None))
    assert np.isclose(state.V[0], (1 - gamma**7) * best, rtol=1e-13)


def test_the_soft_maximum_is_a_maximum() -> None:
    # Independent: the maximum over the simplex by a general optimizer.
    q, tau, mu = np.array([0.3, -0.2, 0.9]), 0.4, np.array([0.5, 0.3, 0.2])
    mdp = mk.MDP(np.ones((1, 3, 1)), q[None], mk.EntropyRegularized(0.0, tau, mu[None]))

    def loss(x: np.ndarray) -> float:
        pi = np.exp(x - logsumexp(x))
        return -float(pi @ q - tau * pi @ np.log(pi / mu))

    found = minimize(loss, np.zeros(3), tol=1e-14)
    T = SoftOptimality(mdp)
    assert np.isclose(T(np.zeros(1))[0], -found.fun, rtol=1e-9)
    assert np.allclose(T.probabilities(np.zeros(1)), np.exp(found.x - logsumexp(found.x)), atol=1e-5)


def test_operators_in_costs_and_of_policies() -> None:
    mdp = mk.instances.make("garnet", S=3, A=2, branching=2, seed=4).under(mk.EntropyRegularized("9/10", "1/3"))
    V, pi = np.array([1.0, -2.0, 0.5]), np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])
    q = mdp.r.reshape(3, 2) + 0.9 * (mdp.P.toarray() @ V).reshape(3, 2)
    entropy = -np.sum(np.where(pi > 0, pi * np.log(np.where(pi > 0, pi, 1)), 0), axis=1)
    assert np.allclose(SoftOptimality(mdp)(V), logsumexp(3 * q, axis=1) / 3)
    assert np.allclose(SoftPolicy(mdp, pi)(V), np.sum(pi * q, axis=1) + entropy / 3)
    costs = mdp.under(minimize=True)
    assert np.allclose(SoftOptimality(costs)(V), -logsumexp(-3 * q, axis=1) / 3)
    assert np.allclose(SoftPolicy(costs, pi)(V), np.sum(pi * q, axis=1) - entropy / 3)
    assert SoftOptimality(costs).greedy(V).tolist() == (np.argmin(q, axis=1) + 2 * np.arange(3)).tolist()
    assert np.allclose(SoftOptimality(mdp).q(V).reshape(3, 2), q)
    assert SoftOptimality(mdp).modulus == 0.9
    assert SoftOptimality(mdp).backup(V, slice(1, 3)).value.tolist() == SoftOptimality(mdp)(V)[1:].tolist()
    with pytest.raises(UnsupportedError, match="EntropyRegularized"):
        SoftOptimality(mdp.under(mk.Discounted("9/10")))
    with pytest.raises(UnsupportedError, match="use SoftOptimality"):
        BellmanOptimality(mdp)


def test_a_start_is_in_the_models_own_terms() -> None:
    mdp = mk.MDP(np.ones((1, 1, 1)), [[2.0]], mk.EntropyRegularized(0.5, 1.0), minimize=True)
    states = mk.iterates(mdp, SoftValueIteration(V0=4.0))
    assert next(states).V.tolist() == [-4.0]
    assert next(states).V.tolist() == [-4.0]  # the cost of 2 for ever is 4


@pytest.mark.parametrize("start", [0.0, 50.0])
def test_the_residual_is_the_largest_change(start: float) -> None:
    mdp = mk.instances.make("garnet", S=3, A=2, branching=2, seed=2).under(mk.EntropyRegularized(0.9, 0.2))
    first, second, third = islice(mk.iterates(mdp, SoftValueIteration(V0=start)), 3)
    assert second.residual == np.max(np.abs(second.V - first.V)) > 0
    assert third.residual == np.max(np.abs(third.V - second.V)) > 0


def test_sparse_models() -> None:
    mdp = mk.instances.make("garnet", S=2000, A=3, branching=3, seed=2, exact=False)
    mdp = mdp.under(mk.EntropyRegularized(0.9, 0.1))
    sol = mk.solve(mdp)
    assert type(sol.solver).__name__ == "SoftValueIteration"
    assert sol.status.ok
    exact = mk.solve(mdp, "soft_policy_iteration")
    assert np.allclose(sol.V, exact.V, rtol=1e-8)


def test_the_choice_and_its_reason() -> None:
    small = mk.instances.make("riverswim").under(mk.EntropyRegularized(0.9, 0.1))
    sol = mk.solve(small)
    assert type(sol.solver).__name__ == "SoftPolicyIteration"
    assert "entropy-regularized with 6 states" in sol.why
    slow = mk.instances.make("riverswim", n_states=2000).under(mk.EntropyRegularized(0.9999, 0.1))
    assert type(mk.solve(slow, max_steps=30).solver).__name__ == "SoftPolicyIteration"


def test_temperatures_are_checked() -> None:
    with pytest.raises(OptionError, match="temperature"):
        mk.EntropyRegularized(0.9, 0)
    with pytest.raises(UnsupportedError, match="entropy-regularized problem"):
        mk.solve(mk.instances.make("riverswim"), SoftValueIteration())
