"""A linear MDP seen through its features: what can be earned, and what deviations least squares promise."""

from __future__ import annotations

from fractions import Fraction
from math import log, sqrt
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.kernels import gram
from mdpkit.models.arithmetic import in_arithmetic
from mdpkit.models.canonical import canonical
from mdpkit.operators.linear_features import LinearFeatures, has_features
from mdpkit.solvers.linear import LeastSquaresPolicyIteration, LeastSquaresValueIteration

F = Fraction


def staged(**options: Any) -> mk.LinearMDP:
    """Two stages with a discount and a terminal reward: rewards in [0, 2] and then in [-1, 3]."""
    phi = [[["1", "0"], ["1/2", "1/2"]], [["0", "1"], ["1/4", "3/4"]]]
    mu = [[["1/2", "1/2"], [0, 1]], [[1, 0], ["1/3", "2/3"]]]
    criterion = mk.FiniteHorizon(2, terminal=np.array([F(5), F(-4)], dtype=object), gamma=F(1, 2))
    return mk.LinearMDP(phi, mu, [[0, 2], [3, -1]], criterion, rho=0, **options)


def test_what_can_be_earned_from_a_stage_on() -> None:
    of = LinearFeatures(in_arithmetic(canonical(staged()), "rational"))
    # Backward: the terminal rewards; then -1 - 4/2 and 3 + 5/2; then 0 - 3/2 and 2 + 11/4.
    assert of.ranges == [(F(-3, 2), F(19, 4)), (F(-3), F(11, 2)), (F(-4), F(5))]
    assert of.clipped(np.array([F(-9), F(9)], dtype=object), 1).tolist() == [F(-3), F(11, 2)]
    costs = LinearFeatures(in_arithmetic(canonical(staged(minimize=True)), "rational"))
    assert costs.ranges[0] == (F(-19, 4), F(3, 2))
    forever = LinearFeatures(canonical(mk.instances.make("linear-hypercube", gamma="1/2")))
    assert forever.ranges == [(0.0, 2.0)]


def test_bounds_on_the_optimal_value_are_as_wide_as_they_say() -> None:
    # MacQueen: V* is between V + min(TV - V)/(1 - gamma) and V + max(TV - V)/(1 - gamma).
    mdp = mk.instances.make("linear-mdp", S=4, A=3, d=3, seed=2, gamma="4/5")
    of = LinearFeatures(canonical(mdp))
    V = np.array([1.0, 3.0, 0.0, 2.0])
    q = mdp.r + 0.8 * mdp.P.toarray() @ V
    change = q.reshape(4, 3).max(axis=1) - V
    assert of.certain(V, of.q(V)) == pytest.approx((change.max() - change.min()) / 0.2, rel=1e-12)
    # At the value itself what is left is rounding, which is counted: the width is not zero.
    best = mk.solve(mdp).V
    assert 0 < of.certain(best, best.repeat(3)) < 1e-13


def test_models_without_features() -> None:
    mdp = mk.instances.make("linear-mdp", S=4, A=3, d=3)
    assert has_features(canonical(mdp))
    assert not has_features(canonical(mk.instances.make("riverswim")))


def test_deviation_of_a_weighted_sum() -> None:
    # Hoeffding: P(|sum c_i eta_i| > t) <= 2 exp(-2 t^2 / (width^2 sum c_i^2)), equated with delta / N.
    norms = np.array([0.04, 0.25, 1.0])
    for x, t in zip(norms, gram.deviation(3.0, norms, 7, 0.01), strict=True):
        assert 2 * np.exp(-2 * t * t / (9 * x)) == pytest.approx(0.01 / 7, rel=1e-12)


@pytest.mark.parametrize("n", [50, 800])
def test_the_bound_of_sampled_value_iteration(n: int) -> None:
    """As its docstring has it: e = gamma B sqrt(g log(2 N L / delta) / 2), B the range of the values that follow."""
    forever = mk.instances.make("linear-mdp", S=4, A=3, d=3, anchors=False, seed=6, gamma="9/10")
    ranges = [[(forever.r.max() - forever.r.min()) / 0.1], [8.5, 9.0]]
    for mdp, wide, gamma in ((forever, ranges[0], 0.9), (staged(), ranges[1], 0.5)):
        solver, problem = LeastSquaresValueIteration(samples=n), canonical(mdp)
        w = solver.init(problem).weights
        G = sum(np.ceil(x * n) * np.outer(f, f) for x, f in zip(w, mdp.phi, strict=True))
        g = max(f @ np.linalg.inv(G) @ f for f in mdp.phi)
        assert g <= mdp.dim * 1.01 / n
        found = solver.error(problem, w, 0.05, 6)
        expected = [gamma * B * sqrt(g / 2 * log(2 * 6 * mdp.n_pairs / 0.05)) for B in wide]
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_bound_of_least_squares_policy_iteration(seed: int) -> None:
    r"""As its docstring has it: max_x sum_i \|c_xi\| gamma B sqrt(norm_i log(2 d'/delta) / 2), from the batch itself."""
    if seed == 2:  # corners of a square, one of them from the three others: with a negative coefficient
        mdp = mk.instances.make("linear-hypercube", m=2, hidden=1, gamma="9/10")
    else:
        mdp = mk.instances.make("linear-mdp", S=4, A=3, d=3, anchors=False, seed=6, gamma="9/10")
    solver, problem = LeastSquaresPolicyIteration(samples=500), canonical(mdp)
    state = solver.init(problem, np.random.default_rng(seed))
    assert state.batch is not None
    pairs, after = state.batch
    counts = np.bincount(pairs, minlength=mdp.n_pairs)
    core = [k for k in range(mdp.n_pairs) if counts[k]]
    G = sum(np.outer(mdp.phi[k], mdp.phi[k]) for k in pairs)
    A = sum(
        np.outer(mdp.phi[k], mdp.phi[k] - 0.9 * mdp.phi[state.choice[t]]) for k, t in zip(pairs, after, strict=True)
    )
    B = (mdp.r.max() - mdp.r.min()) / 0.1
    off = [0.9 * B * sqrt(mdp.phi[i] @ np.linalg.inv(G) @ mdp.phi[i] * log(2 * len(core) / 0.05) / 2) for i in core]
    c = np.linalg.pinv(mdp.phi[core].T) @ (np.linalg.inv(A) @ G).T @ mdp.phi.T
    assert solver.error(problem, state, 0.05) == pytest.approx((np.abs(c).T @ off).max(), rel=1e-9)
