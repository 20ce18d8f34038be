"""Mirror ascent on tokens against closed forms and a gradient; estimates along an episode by hand."""

from __future__ import annotations

from itertools import islice
from typing import Literal

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.kernels.traces import generalized_advantages
from mdpkit.models.canonical import canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solvers.dynamic_programming import PolicyOptimizationWithActionDecomposition
from mdpkit.solvers.dynamic_programming.policy_optimization_with_action_decomposition import token_advantages
from mdpkit.solvers.policy_gradient import NaturalPolicyGradient

POAD = PolicyOptimizationWithActionDecomposition


def test_one_step_in_one_state() -> None:
    # Rewards 0, 1, 3 for the words 0, 10, 11 with uniform tokens: after "1" the value is 2 + gamma V, at the start 1 + gamma V.
    mdp = mk.MDP(np.ones((1, 3, 1)), [[0.0, 1.0, 3.0]], mk.Discounted(0.5))
    state = next(islice(mk.iterates(mdp, POAD(0.7, "0,10,11")), 1, None))
    pi = np.exp(state.log_pi)
    assert pi[1] / pi[0] == pytest.approx(np.exp(0.7 * 2))
    assert pi[3] / pi[2] == pytest.approx(np.exp(0.7 * 2))


def test_words_of_one_token_are_the_natural_policy_gradient() -> None:
    mdp = mk.instances.make("garnet", S=3, A=3, branching=2, gamma="9/10", seed=1)
    tokens = next(islice(mk.iterates(mdp, POAD(2.0, "0,1,2")), 6, None))
    words = next(islice(mk.iterates(mdp, NaturalPolicyGradient(eta=2.0 * (1 - 0.9))), 6, None))
    assert np.allclose(tokens.log_pi, words.log_pi, rtol=1e-10, atol=1e-12)


def test_advantages_are_the_gradient_of_the_value() -> None:
    # Independent: d V(rho) / d theta of a token is visits to its node times pi times A, by central differences.
    mdp = mk.instances.make("garnet", S=2, A=3, branching=2, gamma="3/4", seed=4).under(rho=[0.5, 0.5])
    solver = POAD(1.0, "0,10,11")
    problem = canonical(mdp)
    state = next(mk.iterates(mdp, solver))
    tree = state.tree

    def J(theta: np.ndarray) -> float:
        weights = np.exp(theta)
        pi = weights / np.add.reduceat(weights, tree.node_ptr[:-1])[tree.node]
        words = tree.spell(pi)
        M = np.add.reduceat(words[:, None] * mdp.P.toarray(), mdp.pair_ptr[:-1])
        return float(mdp.rho @ np.linalg.solve(np.eye(2) - 0.75 * M, np.add.reduceat(words * mdp.r, mdp.pair_ptr[:-1])))

    n = tree.n_pairs
    gradient = [(J(1e-5 * e) - J(-1e-5 * e)) / 2e-5 for e in np.eye(n)]
    on = OnPolicy(problem)
    pi = np.exp(state.log_pi)
    visits = on.visits(tree.spell(pi))
    reach = np.concatenate((visits, visits * pi[tree.child >= 0]))  # the nodes "1" of both states
    assert np.allclose(gradient, reach[tree.node] * pi * solver.advantages(on, state), atol=1e-8)


def test_the_naive_form_goes_to_another_policy() -> None:
    mdp = mk.MDP([[[1.0], [1.0]]], [[1.0, 1.5]], mk.Discounted(0.5), rho=0)
    good = mk.solve(mdp, POAD(5.0, "0,10"), max_steps=100)
    naive = mk.solve(mdp, POAD(5.0, "0,10", discount="token"), max_steps=100)
    assert good.last_policy[0, 1] > 0.999
    assert naive.last_policy[0, 0] > 0.999


@pytest.mark.parametrize("discount", ["word", "token"])
@pytest.mark.parametrize(("rewards", "best"), [((1.0, 1.5), 3.0), ((-1.0, -1.5), -2.0)])
def test_the_gap_bounds_what_the_words_lose(
    rewards: tuple[float, float], best: float, discount: Literal["word", "token"]
) -> None:
    # With a discount after every token the values are no values of words (losses come later), and are no measure of the gap.
    mdp = mk.MDP([[[1.0], [1.0]]], [list(rewards)], mk.Discounted(0.5), rho=0)
    for state in islice(mk.iterates(mdp, POAD(1.0, "0,10", discount=discount)), 12):
        words = state.tree.spell(np.exp(state.log_pi))
        assert state.gap >= best - words @ mdp.r / 0.5 - 1e-12
    assert (state.gap < 0.01) is (discount == "word")


def test_estimates_by_hand() -> None:
    V, r = np.array([1.0, 2.0, 4.0, 8.0]), np.array([0.0, 3.0, 5.0])
    last = np.array([False, True, True])
    # delta: 2 - 1, 3 + 4/2 - 2, 5 + 8/2 - 4.
    assert generalized_advantages(np.array([1.0, 3.0, 5.0]), np.array([0.5, 0.25, 0.25])).tolist() == [
        3.125,
        4.25,
        5.0,
    ]
    assert token_advantages(V, r, last, 0.5, 0.5).tolist() == [3.125, 4.25, 5.0]
    assert token_advantages(V, r, last, 0.5, 0.0, "token").tolist() == [0.0, 3.0, 5.0]


def test_bad_input() -> None:
    with pytest.raises(OptionError, match="eta is not positive"):
        POAD(0)
    with pytest.raises(OptionError, match="the place of the discount is unknown"):
        token_advantages(np.zeros(2), np.zeros(1), np.array([True]), 0.5, 0.5, "letter")  # type: ignore[arg-type]
