"""Least-squares value iteration against dynamic programming, and its counts."""

from __future__ import annotations

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.models.canonical import canonical
from mdpkit.solvers.dynamic_programming import BackwardInduction
from mdpkit.solvers.linear import LeastSquaresValueIteration


def test_exact_moments_over_a_horizon():
    mdp = mk.instances.make("linear-mdp", S=5, A=3, d=3, seed=2).under(mk.FiniteHorizon(6))
    for model in (mdp, mdp.under(minimize=True)):
        mine, theirs = mk.solve(model, LeastSquaresValueIteration()), mk.solve(model, BackwardInduction())
        assert np.allclose(mine.V, theirs.V, atol=1e-12)
        assert mine.status.ok


def test_closed_form_of_the_hypercube():
    # V(0) = gamma p / D, see the instance; one regression a step, so gamma^k away.
    mdp = mk.instances.make("linear-hypercube", gamma="1/2")
    sol = mk.solve(mdp, LeastSquaresValueIteration(), max_steps=60)
    p, delta, gamma = 0.15, 0.1, 0.5
    assert np.isclose(sol.V[0], gamma * p / ((1 - gamma) * (1 - gamma + gamma * (p + delta))), atol=1e-12)


def test_draws_and_the_bound():
    mdp = mk.instances.make("linear-hypercube-episodic", H=5)
    solver = LeastSquaresValueIteration(samples=2000)
    problem = canonical(mdp)
    rng = np.random.default_rng(3)
    states = [solver.init(problem)]
    for _ in range(5):
        states.append(solver.step(problem, states[-1], rng))
    a_step = int(np.ceil(states[0].weights * 2000).sum())
    assert [state.draws for state in states] == [a_step * k for k in range(6)]
    assert 2000 <= a_step <= 2000 + (states[0].weights > 0).sum()
    assert solver.finished(states[-1])
    assert solver.step(problem, states[-1], rng) is states[-1]
    bound = solver.error(problem, states[0].weights, 0.01, 5)
    assert bound.shape == (5,)
    star = mk.solve(mdp).V
    assert np.max(np.abs(states[-1].V[0] - star[0])) <= bound.sum()
    assert np.all(LeastSquaresValueIteration().error(problem, states[0].weights, 0.01, 5) == 0)


def test_what_is_refused():
    with pytest.raises(OptionError, match="number of samples"):
        LeastSquaresValueIteration(samples=0)
    with pytest.raises(OptionError, match="eps"):
        LeastSquaresValueIteration(eps=-1)
    with pytest.raises(UnsupportedError, match="features"):
        mk.solve(mk.instances.make("riverswim"), LeastSquaresValueIteration())
    deficient = mk.LinearMDP([[["1", "1"]], [["1", "1"]]], [["1/2", "1/2"], [0, 0]], [1, 0], mk.Discounted("1/2"))
    with pytest.raises(ModelError, match="full rank"):
        mk.solve(deficient, LeastSquaresValueIteration())
    assert mk.solve(deficient.reduced(), LeastSquaresValueIteration(), max_steps=60).V.round(9).tolist() == [2, 2]
