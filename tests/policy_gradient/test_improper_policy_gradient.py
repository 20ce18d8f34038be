"""Policy gradients over mixtures of controllers against closed forms and differences."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.models.canonical import canonical
from mdpkit.operators.advantages import GAE
from mdpkit.solvers.policy_gradient import ImproperNaturalActorCritic, ImproperPolicyGradient


def nth(mdp: mk.MDP, solver: object, n: int) -> object:
    return next(islice(mk.iterates(mdp, solver), n, None))  # type: ignore[arg-type]


def hills(gamma: float = 0.9, rho: object = 0) -> mk.MDP:
    """State 0 leads to 1 or 2 and back; action 0 earns one in 1, action 1 a half in 2."""
    P = np.zeros((3, 2, 3))
    P[0, 0, 1] = P[0, 1, 2] = 1
    P[1:, :, 0] = 1
    return mk.MDP(P, np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.5]]), mk.Discounted(gamma), rho=rho)


FIRST, SECOND = np.array([1.0, 0.0] * 3), np.array([0.0, 1.0] * 3)


def test_value_of_a_mixture_in_closed_form() -> None:
    # V(x) = gamma (x^2 + (1 - x)^2/2)/(1 - gamma^2) for weight x of always-first; its derivative by hand.
    for copies in (1, 2, 3):
        solver = ImproperPolicyGradient(eta=0.01, controllers=np.array([FIRST] + [SECOND] * copies))
        state = nth(hills(), solver, 0)
        x = 1 / (1 + copies)
        scale = 0.9 / (1 - 0.81)
        assert np.isclose(state.V[0], scale * (x**2 + (1 - x) ** 2 / 2))
        after = nth(hills(), solver, 1)
        slope = scale * (2 * x - (1 - x)) * x * (1 - x)  # dx/dtheta = x (1 - x)
        assert np.isclose(after.theta[0], 0.01 * slope)


def test_the_hill_depends_on_the_start() -> None:
    # The notes' instance, uniform law: from 1/4 it ends at 2.377, from 1/2 at 4.754 (observed there).
    mdp = hills(rho=[1 / 3] * 3)
    ends = {}
    for copies in (1, 3):
        state = nth(mdp, ImproperPolicyGradient(eta=0.2, controllers=np.array([FIRST] + [SECOND] * copies)), 2000)
        ends[copies] = float(np.mean(state.V))
    assert abs(ends[1] - 4.754) < 0.01
    assert abs(ends[3] - 2.377) < 0.01


def test_gradient_against_differences() -> None:
    mdp = mk.instances.make("garnet", S=3, A=3, branching=2, seed=3, gamma="9/10").under(rho=[0.2, 0.3, 0.5])
    rng = np.random.default_rng(0)
    K = rng.dirichlet(np.ones(3), size=(4, 3)).reshape(4, 9)
    P, r = mdp.P.toarray(), mdp.r

    def J(theta: np.ndarray) -> float:
        w = np.exp(theta) / np.exp(theta).sum()
        pi = w @ K
        M = np.add.reduceat(pi[:, None] * P, mdp.pair_ptr[:-1])
        V = np.linalg.solve(np.eye(3) - 0.9 * M, np.add.reduceat(pi * r, mdp.pair_ptr[:-1]))
        return float(mdp.rho @ V)

    states = list(islice(mk.iterates(mdp, ImproperPolicyGradient(eta=0.5, controllers=K)), 3))
    for old, new in pairwise(states):
        slope = [(J(old.theta + 1e-5 * e) - J(old.theta - 1e-5 * e)) / 2e-5 for e in np.eye(4)]
        assert np.allclose(new.theta - old.theta, 0.5 * np.array(slope), atol=1e-8)
    natural = list(islice(mk.iterates(mdp, ImproperNaturalActorCritic(eta=0.5, controllers=K)), 2))
    step = natural[1].theta - natural[0].theta
    fisher = np.eye(4) / 4 - 1 / 16
    slope = [(J(1e-5 * e) - J(-1e-5 * e)) / 2e-5 for e in np.eye(4)]
    assert np.allclose(step - step.mean(), 0.5 * np.linalg.pinv(fisher) @ slope, atol=1e-7)


def test_a_mixture_may_be_better_than_its_controllers() -> None:
    # Two states that need different actions, controllers that are right in one each, and are indifferent together.
    P = np.full((2, 2, 2), 0.5)
    r = np.array([[1.0, 0.9], [0.0, 1.0]])
    mdp = mk.MDP(P, r, mk.Discounted(0.5), rho=[0.5, 0.5])
    sol = mk.solve(mdp, ImproperPolicyGradient(eta=1.0), max_steps=200)
    assert sol.last_policy[0, 1] > 0.9  # always the second is the best single weight


def test_default_controllers_are_constant_actions() -> None:
    mdp = mk.MDP(
        np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]]), np.array([0.0, 1.0, 2.0]), mk.Discounted(0.5),
        state=[0, 0, 1], action=[0, 1, 0], rho=0,
    )  # fmt: skip
    state = nth(mdp, ImproperPolicyGradient(), 0)
    assert len(state.theta) == 2
    assert np.allclose(state.V, np.linalg.solve(np.eye(2) - 0.5 * np.array([[0.75, 0.25], [0, 1]]), [0.5, 2.0]))


def test_controllers_by_states_and_actions() -> None:
    cube = np.array([[[1, 0]] * 3, [[0, 1]] * 3])
    a = nth(hills(), ImproperPolicyGradient(eta=1, controllers=cube), 3)
    b = nth(hills(), ImproperPolicyGradient(eta=1, controllers=np.array([FIRST, SECOND])), 3)
    assert np.array_equal(a.theta, b.theta)
    exact = ImproperPolicyGradient(controllers=[[Fraction(1, 3), Fraction(2, 3)] * 3])
    assert np.isclose(nth(hills(), exact, 1).theta[0], 0)


def test_bad_input() -> None:
    with pytest.raises(OptionError, match="eta is not positive"):
        ImproperPolicyGradient(eta=-1)
    with pytest.raises(OptionError, match="wrong shape"):
        nth(hills(), ImproperPolicyGradient(controllers=[[1.0, 0.0]]), 0)
    with pytest.raises(OptionError, match="controller 1, state 2: sum 2"):
        nth(hills(), ImproperPolicyGradient(controllers=[FIRST, [1, 0, 1, 0, 1, 1]]), 0)
    with pytest.raises(OptionError, match="no policy"):
        nth(hills(), ImproperPolicyGradient(controllers=[[2, -1] * 3]), 0)


@pytest.mark.parametrize("kind", [ImproperPolicyGradient, ImproperNaturalActorCritic])
def test_a_sampled_critic_finds_the_best_controller(kind: Any) -> None:
    # Swimming right everywhere is the best of the two controllers, which the exact method finds too.
    mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    sampled = kind(eta=1.0, advantages=GAE(lambda_=0.9, episodes=200, length=40))
    state = sampled.init(canonical(mdp))
    rng = np.random.default_rng(0)
    for _ in range(30):
        state = sampled.step(canonical(mdp), state, rng)
    assert np.exp(state.theta[1]) / np.exp(state.theta).sum() > 0.9
