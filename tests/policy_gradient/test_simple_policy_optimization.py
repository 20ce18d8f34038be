"""Simple policy optimization: the closed form against a general optimizer, and its corners."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
from scipy.optimize import minimize

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.kernels import surrogate
from mdpkit.solvers.policy_gradient import SimplePolicyOptimization

ONE = np.array([0, 4])


def best(old: np.ndarray, A: np.ndarray, epsilon: float) -> np.ndarray:
    """Independent: sequential quadratic programming on the simplex."""
    found = minimize(
        lambda p: -(p @ A) + np.sum(np.abs(A) * (p - old) ** 2 / (2 * epsilon * old)),
        old,
        bounds=[(0, 1)] * len(old),
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
        options={"ftol": 1e-15, "maxiter": 500},
    )
    return found.x


@pytest.mark.parametrize("seed", range(20))
def test_the_maximizer_against_a_general_optimizer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    old = rng.dirichlet(np.ones(4))
    A = rng.normal(size=4) * rng.choice([1e-2, 1.0], size=4)
    A -= old @ A
    for epsilon in (0.2, 0.9):
        p = surrogate.maximize_quadratic(old, A, epsilon, ONE)
        assert p.sum() == pytest.approx(1, rel=1e-13) and np.all(p >= 0)
        assert np.allclose(p, best(old, A, epsilon), atol=2e-6)


def test_ratios_that_reach_zero_stay_there() -> None:
    # A small advantage beside large ones: its ratio would be negative.
    F = Fraction
    old = np.array([F(9, 20), F(9, 20), F(1, 20), F(1, 20)], dtype=object)
    A = np.array([F(1), F(1), F(1, 1000), F(-18)], dtype=object)
    p = surrogate.maximize_quadratic(old, A, F(1, 2), ONE)
    assert p[2] == 0 and sum(p) == 1
    nu = {A[j] - abs(A[j]) / F(1, 2) * (p[j] / old[j] - 1) for j in (0, 1, 3)}
    assert len(nu) == 1 and A[2] + abs(A[2]) / F(1, 2) < nu.pop()


def test_actions_without_advantage_take_what_is_left() -> None:
    F = Fraction
    old = np.array([F(1, 2), F(1, 4), F(1, 8), F(1, 8)], dtype=object)
    A = np.array([F(0), F(0), F(1), F(-1)], dtype=object)
    p = surrogate.maximize_quadratic(old, A, F(1, 5), ONE)
    assert p.tolist() == [F(1, 2), F(1, 4), F(3, 20), F(1, 10)]
    A = np.array([F(0), F(0), F(0), F(0)], dtype=object)
    assert surrogate.maximize_quadratic(old, A, F(1, 5), ONE).tolist() == old.tolist()


def test_two_equal_actions_move_by_epsilon() -> None:
    mdp = mk.MDP([[["1"], ["1"]]], [["0", "1"]], mk.Discounted("1/2"))
    state = next(islice(mk.iterates(mdp, SimplePolicyOptimization(Fraction(1, 5))), 1, None))
    assert np.allclose(state.pi, [0.4, 0.6], rtol=1e-15)


def test_some_ratio_leaves_the_region_in_every_random_state() -> None:
    # Random states: some ratio leaves the region in nearly all of them, so that no claim may say otherwise.
    rng = np.random.default_rng(0)
    escaped = 0
    for _ in range(200):
        old = rng.dirichlet(np.ones(4))
        A = rng.normal(size=4)
        p = surrogate.maximize_quadratic(old, A - old @ A, 0.2, ONE)
        escaped += np.max(np.abs(p / old - 1)) > 0.2 + 1e-12
    assert escaped == 200


def test_parameters_are_checked() -> None:
    with pytest.raises(OptionError, match="epsilon is out of range"):
        SimplePolicyOptimization(epsilon=1)
    with pytest.raises(OptionError, match="eta is not positive"):
        SimplePolicyOptimization(eta=0)
    with pytest.raises(OptionError, match="inner is not positive"):
        SimplePolicyOptimization(eta=1, inner=0)
