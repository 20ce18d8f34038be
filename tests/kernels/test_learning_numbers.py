"""Kernels of learners by hand: confidence sets, sweeps that never settle, ties, cuts, and what was never seen."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.environment import Environment
from mdpkit.kernels import ensemble, extended, optimism, q_learning
from mdpkit.kernels import optimistic_least_squares as least_squares
from mdpkit.kernels.online import extended as compiled
from mdpkit.kernels.online import optimism as online
from mdpkit.solvers.exploration import UCRL2

F = Fraction


def test_the_empirical_law_of_a_pair_that_was_never_taken_is_uniform() -> None:
    moves, visits = np.array([[3.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), np.array([4.0, 0.0])
    right = [[0.75, 1 / 3], [0.25, 1 / 3], [0.0, 1 / 3]]
    np.testing.assert_array_equal(extended.empirical(moves, visits), right)
    out = np.empty((3, 2))
    compiled.empirical(moves, visits, out)
    np.testing.assert_array_equal(out, right)


def test_widths_of_ragged_action_sets_use_the_largest() -> None:
    state, action = np.array([0, 1, 1, 1]), np.array([0, 0, 1, 2])
    mdp = mk.MDP(np.full((4, 2), 0.5), np.full(4, 0.5), mk.AverageReward(), state=state, action=action, rho=0)
    laws, rewards = UCRL2(delta=0.2, scale=0.5).confidence(
        Environment(mdp).view(100), np.array([0.0, 1.0, 4.0, 9.0]), 17
    )
    n = np.array([1, 1, 4, 9])
    np.testing.assert_allclose(laws, 0.5 * np.sqrt(14 * 2 * math.log(2 * 3 * 17 / 0.2) / n), rtol=1e-14)
    np.testing.assert_allclose(rewards, 0.5 * np.sqrt(7 * math.log(2 * 4 * 17 / 0.2) / (2 * n)), rtol=1e-14)


def test_sweeps_of_a_periodic_model_end_with_bounds_that_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    # A circle of two states that pays one in one of them: the gain is 1/2, and plain sweeps swing for ever.
    law, ptr = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 1, 2])
    r, width, stop = np.array([1.0, 0.0]), np.zeros(2), 0.25
    calls: list[int] = []
    backup = extended.backup
    monkeypatch.setattr(extended, "backup", lambda *x: calls.append(1) or backup(*x))
    _, low, high, _ = extended.iterate(r, law, width, ptr, stop)
    assert len(calls) == int(50 / stop**2) + 1
    assert low <= 0.5 <= high
    assert high - low >= stop
    u, choice = np.empty(2), np.empty(2, dtype=np.int64)
    assert compiled.iterate(r, law, width, ptr, stop, 1.0, u, choice) == (low, high)
    # Half steps settle.
    _, low, high, _ = extended.iterate(r, law, width, ptr, stop, lazy=0.5)
    assert high - low < stop
    assert low <= 0.5 <= high
    assert compiled.iterate(r, law, width, ptr, stop, 0.5, u, choice) == (low, high)


def test_equal_states_are_ranked_in_their_own_order() -> None:
    u = np.array([1.0, 2.0, 1.0, 2.0])
    order = np.empty(4, dtype=np.int64)
    compiled.ranked(u, order)
    assert extended.ranked(u).tolist() == order.tolist() == [1, 3, 0, 2]


def test_ties_go_to_the_first_pair() -> None:
    V, choice = optimism.greedy(np.array([1.0, 1.0, 0.0, 2.0, 2.0]), np.array([0, 2, 5]))
    assert (V.tolist(), choice.tolist()) == ([1.0, 2.0], [0, 3])


def test_a_variance_is_never_below_zero() -> None:
    # In floats the difference of the moments of a certain value may be less than zero.
    law = np.full((10, 1), 0.1)
    for x in np.random.default_rng(0).random(200) * 100:
        assert optimism.variance(law, np.full(10, x))[0] >= 0


def test_a_bonus_for_all_values_at_once() -> None:
    assert optimism.ball_iota(5, 2.0) == pytest.approx(5 * math.log(2) + 2, rel=1e-15)
    assert optimism.hoeffding_bonus(np.array([8.0]), 4.0, 3.0)[0] == pytest.approx(1.5, rel=1e-15)


def test_discounted_action_values_by_hand() -> None:
    law = np.array([[0.25, 0.0, 1.0], [0.75, 0.0, 0.0]])
    got = optimism.discounted(
        np.array([0.5, 0.5, 1.0]), law, np.array([3.0, 0.0, 1.0]), np.array([1.0, 2.0]), 0.5, capital=1.0, top=2.0,
        scale=0.25,
    )  # fmt: skip
    # n(n + 1) = 12: the bonus is 0.5 * 2 sqrt((1 + ln 12) / 6).
    first = 0.5 + 0.5 * 1.75 + 0.25 * math.sqrt((1 + math.log(12)) / 6)
    last = 1.0 + 0.5 + 0.25 * math.sqrt((1 + math.log(2)) / 2)
    np.testing.assert_allclose(got, [first, 2.0, last], rtol=1e-14)
    assert last < 2.0


def test_steps_and_bonuses_of_q_learning() -> None:
    assert q_learning.step_size(F(1), 4) == 1
    assert q_learning.step_size(F(6), 4) == F(1, 2)
    assert q_learning.step_bonus(2, 4, 8.0, 3.0) == pytest.approx(12.0)


def test_plans_of_a_model_taken_at_its_word_by_stage() -> None:
    # Rewards and laws of two stages, in rationals.
    model = np.array([[[F(1, 2), F(0)], [F(1, 2), F(1)]], [[F(1), F(1)], [F(0), F(0)]]], dtype=object)
    r = np.array([[F(0), F(1, 4)], [F(1), F(3)]], dtype=object)
    V, choice = optimism.backward(r, model, np.array([0, 1, 2]), 2)
    assert V.tolist() == [[2, F(13, 4)], [1, 3], [0, 0]]
    assert choice.tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize("scale", [1, F(1, 100_000)])
def test_in_rationals_ascent_takes_gains_of_any_size(scale: Any) -> None:
    # One state, one stage, two actions: the better one is reached as far as the region allows.
    models = np.array([[[[F(1), F(1)]]]], dtype=object)
    r = np.array([[F(0), F(scale) * F(1, 10**9)]], dtype=object)
    region = ensemble.Region(np.array([[0]]), np.array([[F(1)]], dtype=object), F(1, 4))
    pi = ensemble.ascent(r, models, np.array([0, 2]), np.array([F(1)], dtype=object), region)
    assert pi.tolist() == [[F(3, 4), F(1, 4)]]


def test_in_floats_ascent_leaves_gains_of_rounding_alone() -> None:
    models, ptr, rho = np.array([[[[1.0, 1.0]]]]), np.array([0, 2]), np.array([1.0])
    region = ensemble.Region(np.array([[0]]), np.array([[1.0]]), 1.0)
    for gain, right in ((2.0**-41, [[1.0, 0.0]]), (2.0**-39, [[0.0, 1.0]])):
        assert ensemble.ascent(np.array([[0.0, gain]]), models, ptr, rho, region).tolist() == right


def test_enumeration_allows_the_edge_of_the_region() -> None:
    models, ptr, rho = np.array([[[[F(1), F(1)]]]], dtype=object), np.array([0, 2]), np.array([F(1)], dtype=object)
    r = np.array([[F(0), F(1)]], dtype=object)
    for eta, right in ((F(1), [[0, 1]]), (F(999, 1000), [[1, 0]])):
        region = ensemble.Region(np.array([[0]]), np.array([[F(1)]], dtype=object), eta)
        assert ensemble.enumeration(r, models, ptr, rho, region).tolist() == right


def test_the_bernstein_bonus_where_the_variance_decides() -> None:
    # Below some 37 iota visits the second term is the larger one whatever the variance.
    law, V, iota, rest = np.array([[0.25], [0.75]]), np.array([0.0, 2.0]), 3.0, 2.0
    for n in (100, 200, 4000, 10**6):
        first = math.sqrt(3) / 0.6 * math.sqrt(0.75 * iota / n)
        second = 3.5 / 0.4 * rest * iota / n
        assert (first > second) == (n >= 200)
        got = optimism.bernstein_bonus(law, V, np.array([float(n)]), iota, rest)[0]
        assert got == pytest.approx(max(first, second), rel=1e-12)


@pytest.mark.parametrize("bernstein", [False, True])
@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("seed", range(4))
def test_compiled_plans_from_few_and_many_counts(bernstein: bool, n: int, seed: int) -> None:
    draw, ptr, H, S = np.random.default_rng(seed), np.array([0, 1, 3, 6]), 4, 3
    model = np.ascontiguousarray(draw.dirichlet(np.ones(S), size=(n, 6)).transpose(0, 2, 1))
    visits = draw.choice([0.0, 1.0, 30.0, 3e3, 3e5], size=(n, 6))
    # Values that are alike have a variance that rounding may bring below zero.
    r = draw.random((n, 6)) if seed else np.full((n, 6), 0.3)
    V, choice = np.empty((H + 1, S)), np.empty((H, S), dtype=np.int64)
    online.plan(r, model, visits, ptr, H, 6.0, 0.5, bernstein, V, choice, np.empty(6), np.empty(6))
    right = optimism.plan(r, model, visits, ptr, H, iota=6.0, scale=0.5, bernstein=bernstein)
    np.testing.assert_array_equal(V, right[0])
    np.testing.assert_array_equal(choice, right[1])
    pi, after = np.concatenate([draw.dirichlet(np.ones(k)) for k in (1, 2, 3)]), 2 * draw.random(S)
    out = np.empty(S)
    online.pessimistic(r[0], model[0], visits[0], ptr, pi, after, 6.0, 2.0, 0.5, out, np.empty(6))
    low = optimism.pessimistic(r[0], model[0], visits[0], ptr, pi, after, iota=6.0, rest=2.0, scale=0.5)
    np.testing.assert_allclose(out, low, rtol=1e-14)


def test_least_squares_are_cut_off_at_both_ends() -> None:
    assert least_squares.clipped(np.array([-1.0, 0.5, 3.0]), 2.0).tolist() == [0.0, 0.5, 2.0]
    assert least_squares.bonus(np.diag([4.0, 1.0]), np.array([[1.0, 0.0], [3.0, 4.0]]), 0.5) == pytest.approx(
        [1.0, 0.5 * math.sqrt(52)]
    )


def test_steps_of_ascent_that_cost_nothing_go_first() -> None:
    # Two states of two pairs: the first gains more for what it uses, the second is where the reference never is.
    ptr, choice, other = np.array([0, 2, 4]), np.array([[0, 2]]), np.array([[0, 2]])
    weights, moved = np.array([[1.0, 0.0]]), np.zeros((1, 2))
    G = np.array([[0.0, 5.0, 0.0, 0.125]])
    assert ensemble._best_step(G, choice, weights, 1.0, moved, other, ptr, 0) == (0, 1, 3, 1)
    G[0, 3] = 0.0
    assert ensemble._best_step(G, choice, weights, 0.25, moved, other, ptr, 0) == (0, 0, 1, 0.25)
    assert ensemble._best_step(G, choice, weights, -1e-17, moved, other, ptr, 0) is None
