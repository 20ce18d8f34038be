"""Finite-memory mirror descent against fixed points and floors of the vanilla truncation."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.solvers.regularized_dp import FiniteMemoryPolicyMirrorDescent, MirrorDescentPolicyOptimization

TAU = 0.1


@pytest.fixture
def problem() -> mk.MDP:
    mdp = mk.instances.make("garnet", S=4, A=3, branching=2, seed=2, gamma="9/10")
    return mdp.under(mk.EntropyRegularized("9/10", "1/10"))


def soft_values(problem: mk.MDP) -> np.ndarray:
    V, P = np.zeros(problem.n_states), problem.P.toarray()
    for _ in range(600):
        V = TAU * np.log(np.add.reduceat(np.exp((problem.r + 0.9 * P @ V) / TAU), problem.pair_ptr[:-1]))
    return V


def state_of(problem: mk.MDP, solver, k: int):
    return next(islice(mk.iterates(problem, solver), k, None))


@pytest.mark.parametrize("memory", [1, 2, 3, 5, 8, 20, None])
def test_the_corrected_scheme_reaches_the_soft_optimum_with_any_memory(problem: mk.MDP, memory: int | None) -> None:
    best = soft_values(problem)
    for lambda_ in (0.1, 1.0):
        state = state_of(problem, FiniteMemoryPolicyMirrorDescent(lambda_=lambda_, memory=memory), 250)
        assert np.max(np.abs(state.V - best)) < 1e-10


def test_the_vanilla_fixed_point_has_another_temperature(problem: mk.MDP) -> None:
    lambda_, M = 0.2, 5
    state = state_of(problem, FiniteMemoryPolicyMirrorDescent(lambda_=lambda_, memory=M, corrected=False), 400)
    Q = problem.r + 0.9 * problem.P.toarray() @ state.V
    beta = lambda_ / (lambda_ + TAU)

    def soft(x: np.ndarray) -> np.ndarray:
        weights = np.exp(x - x.max())
        return weights / np.repeat(np.add.reduceat(weights, problem.pair_ptr[:-1]), 3)

    assert np.allclose(np.exp(state.log_pi), soft((1 - beta**M) * Q / TAU), atol=1e-12)
    assert np.max(np.abs(np.exp(state.log_pi) - soft(Q / TAU))) > 0.01


def test_infinite_memory_is_mirror_descent(problem: mk.MDP) -> None:
    one = state_of(problem, FiniteMemoryPolicyMirrorDescent(lambda_=0.5), 7)
    two = state_of(problem, MirrorDescentPolicyOptimization(eta=2.0), 7)
    assert np.allclose(one.log_pi, two.log_pi, rtol=1e-11)
    long = state_of(problem, FiniteMemoryPolicyMirrorDescent(lambda_=0.5, memory=500), 7)
    assert np.allclose(long.log_pi, one.log_pi, rtol=1e-11)


def test_the_memory_is_bounded(problem: mk.MDP) -> None:
    solver = FiniteMemoryPolicyMirrorDescent(memory=3)
    assert [len(state.memory) for state in islice(mk.iterates(problem, solver), 6)] == [0, 1, 2, 3, 3, 3]


def test_the_gap_bounds_the_error(problem: mk.MDP) -> None:
    best = soft_values(problem)
    for k in (0, 2, 10):
        state = state_of(problem, FiniteMemoryPolicyMirrorDescent(lambda_=0.5), k)
        assert 0 <= np.max(best - state.V) <= state.gap + 1e-12


def test_parameters_are_checked() -> None:
    with pytest.raises(OptionError, match="lambda_ is negative"):
        FiniteMemoryPolicyMirrorDescent(lambda_=-1)
    with pytest.raises(OptionError, match="memory is no count"):
        FiniteMemoryPolicyMirrorDescent(memory=0)
