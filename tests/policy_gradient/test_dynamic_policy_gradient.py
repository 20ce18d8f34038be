"""Softmax policy gradients over a finite horizon against closed forms, differences and enumeration."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice, pairwise, product

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.models.canonical import canonical
from mdpkit.operators.on_stages import OnStages
from mdpkit.solvers.policy_gradient import (
    DynamicPolicyGradient,
    SimultaneousPolicyGradient,
    StochasticDynamicPolicyGradient,
    StochasticSimultaneousPolicyGradient,
)


def nth(mdp: mk.MDP, solver: object, n: int, rng: np.random.Generator | None = None) -> object:
    return next(islice(mk.iterates(mdp, solver, rng), n, None))  # type: ignore[arg-type]


def test_two_arms_follow_the_odds_recursion() -> None:
    # One state, two arms, gap 1: the odds w of the better arm obey log w+ = log w + 2 eta w/(1 + w)^2.
    mdp = mk.MDP(np.ones((1, 2, 1)), np.array([[1.0, 0.0]]), mk.FiniteHorizon(1))
    w = 1.0
    for _ in range(25):
        w *= np.exp(2 * 0.7 * w / (1 + w) ** 2)
    state = nth(mdp, DynamicPolicyGradient(eta=0.7, steps=100), 25)
    assert np.isclose(np.exp(state.theta[0, 0] - state.theta[0, 1]), w, rtol=1e-12)
    assert np.isclose(state.V[0, 0], w / (1 + w), rtol=1e-12)


def varying() -> mk.MDP:
    """A model whose laws and rewards vary with the stage, with a discount and terminal rewards."""
    rng = np.random.default_rng(3)
    P = rng.dirichlet(np.ones(3), size=(3, 3, 2))
    r = rng.random((3, 3, 2))
    return mk.MDP(P, r, mk.FiniteHorizon(3, 0.9, [0.0, 1.0, 0.5]), rho=[0.2, 0.5, 0.3])


def objective(mdp: mk.MDP, theta: np.ndarray, h: int, law: np.ndarray) -> float:
    """By its own recursion: the mean of V_h under a law."""
    H, S, A = 3, 3, 2
    P, r = mdp.P.toarray().reshape(H, S, A, S), mdp.r.reshape(H, S, A)
    V = np.array([0.0, 1.0, 0.5])
    for j in range(H - 1, h - 1, -1):
        weights = np.exp(theta[j].reshape(S, A))
        pi = weights / weights.sum(axis=1, keepdims=True)
        V = np.einsum("sa,sa->s", pi, r[j] + 0.9 * P[j] @ V)
    return float(law @ V)


def differences(mdp: mk.MDP, theta: np.ndarray, h: int, law: np.ndarray, step: float = 1e-5) -> np.ndarray:
    out = np.zeros(theta.size)
    for i in range(theta.size):
        e = np.zeros(theta.size)
        e[i] = step
        e = e.reshape(theta.shape)
        out[i] = (objective(mdp, theta + e, h, law) - objective(mdp, theta - e, h, law)) / (2 * step)
    return out.reshape(theta.shape)


def test_steps_are_along_central_differences_where_the_model_varies() -> None:
    mdp = varying()
    B = OnStages(canonical(mdp)).spreads
    mu = (0.5, 0.3, 0.2)
    solver = DynamicPolicyGradient(eta=0.6, steps=2, mu=mu)
    states = list(islice(mk.iterates(mdp, solver), 7))
    for k, (old, new) in enumerate(pairwise(states)):
        h = 2 - k // 2
        slope = differences(mdp, old.theta, h, np.array(mu))
        wanted = np.zeros((3, 6))
        wanted[h] = 0.6 / B[h] * slope[h]
        assert np.allclose(new.theta - old.theta, wanted, atol=1e-9)
    all_at_once = list(islice(mk.iterates(mdp, SimultaneousPolicyGradient(eta=0.6)), 4))
    for old, new in pairwise(all_at_once):
        slope = differences(mdp, old.theta, 0, np.array([0.2, 0.5, 0.3]))
        assert np.allclose(new.theta - old.theta, 0.6 / B[0] * slope, atol=1e-9)


def test_spreads_bound_action_values() -> None:
    mdp = varying()
    on = OnStages(canonical(mdp))
    for choice in product([0.0, 1.0], repeat=3):
        pi = np.tile(np.array([[c, 1 - c] for c in choice]).ravel(), (3, 1))
        V = on.value(pi)
        for h in range(3):
            q = on.q(h, V[h + 1])
            assert q.max() - q.min() <= on.spreads[h] + 1e-12
    assert np.isclose(on.visits(on.uniform()).sum(), 1 + 0.9 + 0.81)


def test_it_comes_near_the_optimum_and_is_certified() -> None:
    mdp = varying()
    best = mk.solve(mdp, "backward_induction").V
    for solver, n in ((DynamicPolicyGradient(eta=4, steps=400), 1200), (SimultaneousPolicyGradient(eta=4), 1200)):
        state = nth(mdp, solver, n)
        lack = best - state.V
        assert np.all(lack >= -1e-12)
        assert np.all(lack <= state.gap + 1e-12)
        assert lack[0].max() < 0.05
    sol = mk.solve(mdp, DynamicPolicyGradient(eta=4, steps=50), max_steps=300)
    assert sol.status.ok
    assert np.allclose(sol.V, best)
    assert np.asarray(sol.last_policy).shape == (3, 3, 2)


def test_costs_are_minimized() -> None:
    mdp = mk.MDP(np.ones((1, 2, 1)), np.array([[1.0, 0.0]]), mk.FiniteHorizon(2), minimize=True)
    for solver in (
        DynamicPolicyGradient(eta=5, steps=30),
        SimultaneousPolicyGradient(eta=5),
        StochasticDynamicPolicyGradient(eta=5, steps=30, batch=50),
        StochasticSimultaneousPolicyGradient(eta=5, batch=50),
    ):
        sol = mk.solve(mdp, solver, max_steps=60, rng=np.random.default_rng(1))
        assert np.asarray(sol.last_policy)[:, 0, 1].min() > 0.9


def test_no_difference_no_step() -> None:
    mdp = mk.MDP(np.ones((1, 2, 1)), np.array([[1.0, 1.0]]), mk.FiniteHorizon(2))
    assert not np.any(nth(mdp, DynamicPolicyGradient(), 5).theta)
    assert not np.any(nth(mdp.exact(), SimultaneousPolicyGradient(), 5).theta)


def test_a_batch_of_every_trajectory_is_the_gradient() -> None:
    # The score-weighted mean over all pairs, each as often as it is drawn, is the expectation.
    from mdpkit.solvers.policy_gradient.dynamic_policy_gradient import _score_weighted

    mdp = mk.MDP(np.ones((2, 2, 2)) / 2, np.array([[1.0, 0.0], [0.5, 2.0]]), mk.FiniteHorizon(1))
    on = OnStages(canonical(mdp))
    pair = np.array([0, 1, 2, 3])
    mean = _score_weighted(on, on.uniform()[0], pair, mdp.r)
    assert np.allclose(mean, [0.125, -0.125, -0.1875, 0.1875])


def test_sampled_gradients_where_the_model_varies() -> None:
    # Means of 200 000 returns of magnitude below 4: six standard errors are below 0.06, most much less.
    mdp = varying()
    B = OnStages(canonical(mdp)).spreads
    mu = np.array([0.5, 0.3, 0.2])
    rng = np.random.default_rng(7)
    batch = 200_000
    states = list(
        islice(mk.iterates(mdp, StochasticDynamicPolicyGradient(eta=1, steps=1, mu=tuple(mu), batch=batch), rng), 4)
    )
    for k, (old, new) in enumerate(pairwise(states)):
        h = 2 - k
        slope = differences(mdp, old.theta, h, mu)[h]
        assert np.allclose(B[h] * (new.theta - old.theta)[h], slope, atol=6 * 4 / np.sqrt(batch))
    states = list(islice(mk.iterates(mdp, StochasticSimultaneousPolicyGradient(eta=1, batch=batch), rng), 2))
    slope = differences(mdp, states[0].theta, 0, np.array([0.2, 0.5, 0.3]))
    assert np.allclose(B[0] * states[1].theta, slope, atol=6 * 4 / np.sqrt(batch))


def test_draws_are_counted() -> None:
    mdp = varying()
    rng = np.random.default_rng(0)
    state = nth(mdp, StochasticDynamicPolicyGradient(steps=1, batch=10), 3, rng)
    assert state.draws == 10 * (1 + 2 + 3)
    assert nth(mdp, StochasticSimultaneousPolicyGradient(batch=10), 3, rng).draws == 90


@pytest.mark.parametrize("kind", [StochasticDynamicPolicyGradient, StochasticSimultaneousPolicyGradient])
def test_without_a_generator_steps_draw_anew_and_runs_repeat(kind: type) -> None:
    mdp, solver = varying(), kind(eta=1e-9, batch=10)  # so that the policies stay what they are
    thetas = [[state.theta for state in islice(mk.iterates(mdp, solver), 4)] for _ in range(2)]
    steps = [np.round(1e12 * (b - a), 1).tolist() for a, b in pairwise(thetas[0])]
    assert len({str(x) for x in steps}) == 3
    assert np.array_equal(*thetas)


@pytest.mark.parametrize("kind", [DynamicPolicyGradient, SimultaneousPolicyGradient])
def test_the_answer_has_the_policy_of_each_stage(kind: type) -> None:
    mdp, solver = varying(), kind()
    state = nth(mdp, solver, 3)
    weights = np.exp(state.theta)
    total = np.add.reduceat(weights, mdp.pair_ptr[:-1], axis=1)
    assert np.allclose(solver.answer(canonical(mdp), state).policy, weights / total[:, mdp.state])


def test_bad_input() -> None:
    with pytest.raises(OptionError, match="eta is not positive"):
        DynamicPolicyGradient(eta=0)
    with pytest.raises(OptionError, match="number of steps"):
        DynamicPolicyGradient(steps=0)
    with pytest.raises(OptionError, match="positive everywhere"):
        DynamicPolicyGradient(mu=(1.0, 0.0))
    with pytest.raises(OptionError, match="batch"):
        StochasticSimultaneousPolicyGradient(batch=0)
    with pytest.raises(OptionError, match="wrong length"):
        nth(varying(), DynamicPolicyGradient(mu=(Fraction(1, 2), Fraction(1, 2))), 1)
    with pytest.raises(OptionError, match="no random generator"):
        nth(varying(), StochasticDynamicPolicyGradient(), 1, 3)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="at least one stage"):
        mk.solve(mk.MDP(np.ones((1, 1, 1)), np.ones((1, 1)), mk.FiniteHorizon(0)), DynamicPolicyGradient())
