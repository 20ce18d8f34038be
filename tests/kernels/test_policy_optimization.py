"""Kernels of policy optimization from bandit feedback: compiled twins, closed forms, and enumeration."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from mdpkit.kernels import occupancy_bounds, policy_optimization, potentials
from mdpkit.kernels.online import policy_optimization as compiled

F = Fraction
PTR = np.array([0, 1, 3, 6])


def world(seed: int, n: int = 3) -> tuple[Any, Any, Any, Any]:
    """A set of laws of three states, its radii, a policy of three stages, and an initial law."""
    rng = np.random.default_rng(seed)
    law = np.ascontiguousarray(rng.dirichlet(np.ones(3), size=(n, 6)).transpose(0, 2, 1))
    law[0, :, 0] = [1.0, 0.0, 0.0]
    radius = rng.choice([0.0, 0.1, 0.5, 2.0], size=(n, 6))
    pi = np.concatenate([rng.dirichlet(np.ones(k), size=3) for k in (1, 2, 3)], axis=1)
    return law, radius, pi, rng.dirichlet(np.ones(3))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n", [1, 3])
def test_compiled_twins_of_occupancies_and_bonuses(seed: int, n: int) -> None:
    law, radius, pi, start = world(seed, n)
    V = np.array([1.0, -2.0, 1.0]) if seed % 2 else np.random.default_rng(seed).normal(size=3)
    out = np.empty(6)
    compiled.most(law[0], radius[0], V, out)
    np.testing.assert_allclose(out, occupancy_bounds.most(law[0], radius[0], V), rtol=1e-14, atol=1e-15)
    for known in (True, False):
        lower, upper = np.empty((3, 3)), np.empty((3, 3))
        compiled.occupancies(start, law, radius, known, pi, PTR, lower, upper)
        own = occupancy_bounds.occupancies(start, law, None if known else radius, pi, PTR)
        np.testing.assert_allclose(lower, own[0], rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(upper, own[1], rtol=1e-14, atol=1e-15)
        assert np.all(own[0] <= own[1] + 1e-15) and np.all(own[1] <= 1 + 1e-15)
        bonus, B = np.random.default_rng(seed).random((3, 3)), np.empty((3, 6))
        compiled.dilated(bonus, law, radius, known, pi, PTR, 4 / 3, B)
        np.testing.assert_allclose(
            B, occupancy_bounds.dilated(bonus, law, None if known else radius, pi, PTR, 4 / 3), rtol=1e-14
        )
        now = world(seed + 100)[2]
        for plain in (True, False):
            ratio = policy_optimization.adapted(pi, now, plain)
            costs = np.empty((3, 3))
            compiled.delay_bonus(lower, upper, pi, now, plain, PTR, 0.25, 0.1, costs)
            right = policy_optimization.delay_bonus(lower, upper, pi, now, ratio, PTR, eta=0.25, explore=0.1)
            np.testing.assert_allclose(costs, right, rtol=1e-13)
        rate, change = np.full((3, 3), 0.02 if seed % 2 else 0.5), np.full((3, 3), 0.3)
        for i, entropy in enumerate(("tsallis", "shannon", "barrier")):
            compiled.leader_bonus(lower, upper, pi, rate, change, PTR, 0.125, i, 3.0, costs)
            for h in range(3):
                right = policy_optimization.leader_bonus(
                    lower[h],
                    upper[h],
                    pi[h],
                    rate[h],
                    change[h],
                    PTR,
                    3 - h,
                    floor=0.125,
                    entropy=entropy,
                    log_rounds=3.0,
                )
                np.testing.assert_allclose(costs[h], right, rtol=1e-13)


@pytest.mark.parametrize("q", [0.0, 0.25, 0.5, 0.9])
def test_compiled_points_of_least_potential(q: float) -> None:
    rng = np.random.default_rng(3)
    for scale in (1e-6, 1.0, 1e3, 1e8):
        y, out = scale * rng.normal(size=6), np.empty(6)
        compiled.tsallis(y, PTR, q, out)
        right = potentials.tsallis(y, PTR, q)
        np.testing.assert_allclose(out, right, rtol=1e-13)
        np.testing.assert_allclose(np.add.reduceat(right, PTR[:-1]), 1.0, rtol=1e-15)


def test_two_actions_under_the_barrier_solve_a_quadratic() -> None:
    # 1/x + 1/(x + y) = 1 has the root x = (2 - y + sqrt(y^2 + 4)) / 2.
    for y in (0.0, 0.5, 3.0, 1e4):
        x = (2 - y + np.sqrt(y * y + 4)) / 2 if y < 100 else 1 + 1 / (y + 1)
        p = potentials.tsallis(np.array([7.0, 7.0 + y]), np.array([0, 2]), 0)
        assert p[0] == pytest.approx(1 / x, rel=1e-7)


def test_two_equal_losses_and_one_that_is_huge() -> None:
    p = potentials.tsallis(np.array([0.0, 0.0, 1e12]), np.array([0, 3]), 0.5)
    np.testing.assert_allclose(p, [0.5, 0.5, 4e-24], rtol=1e-9)
    assert policy_optimization.leader(np.array([1.0]), np.array([2.0]), np.array([0, 1]), "tsallis")[0] == 1


def test_leaders_of_the_three_entropies_meet_at_equal_losses() -> None:
    for entropy in ("tsallis", "shannon", "barrier"):
        p = policy_optimization.leader(np.full(6, 3.0), np.ones(3), PTR, entropy)
        np.testing.assert_allclose(p, [1, 1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3], rtol=1e-15)


def test_ratios_and_losses_to_go() -> None:
    p, q = np.array([[0.25, 0.75, 0.0]]), np.array([[0.5, 0.5, 0.0]])
    assert policy_optimization.adapted(p, q).tolist() == [[0.5, 1.0, 1.0]]
    assert policy_optimization.adapted(p, q, plain=True).tolist() == [[1.0, 1.0, 1.0]]
    assert policy_optimization.to_go(np.array([0.5, 0.25, 1.0])).tolist() == [1.75, 1.25, 1.0]


def test_the_farthest_mean_by_hand() -> None:
    # Half of the radius goes to the best state, first from the worst one.
    law = np.array([[F(1, 2)], [F(1, 4)], [F(1, 4)]], dtype=object)
    V = np.array([F(0), F(1), F(4)], dtype=object)
    for radius, value in ((0, F(5, 4)), (F(1, 2), F(9, 4)), (F(5, 4), F(5, 4) + 2 + F(3, 8)), (2, F(4))):
        found = occupancy_bounds.most(law, np.array([F(radius)], dtype=object), V)
        assert found[0] == value
    assert occupancy_bounds.radius(np.array([[0, 1, 800]]), 4.0).tolist() == [[2.0, 2.0, 0.1]]


def test_the_law_is_within_the_radius() -> None:
    # The bound of a union over subsets: at level 1/10, over 2000 draws of 30 with three sides.
    rng = np.random.default_rng(0)
    p = np.array([0.5, 0.3, 0.2])
    counts = rng.multinomial(30, p, size=2000) / 30
    iota = occupancy_bounds.union(1, 3, 1, 1, 0.1)
    radius = occupancy_bounds.radius(np.array([[30]]), iota)[0, 0]
    missed = np.mean(np.abs(counts - p).sum(axis=1) > radius)
    assert missed < 0.1
