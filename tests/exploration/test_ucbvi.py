"""UCBVI by hand: what is planned from a few counts, bonuses against their formulas, bounds, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.environment import Environment
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.kernels import optimism
from mdpkit.learner import Episode
from mdpkit.solvers.exploration import UCBVI


def two_state(H: int = 3) -> mk.MDP:
    """In state 0: stay for nothing (action 0) or move to state 1 (action 1), which pays 1 and stays."""
    P = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    return mk.MDP(P, np.array([[0.0, 0.0], [1.0, 1.0]]), mk.FiniteHorizon(H), rho=0)


def begun(learner: UCBVI, mdp: mk.MDP, K: int = 10) -> Any:
    return learner.begin(Environment(mdp).view(K), np.random.default_rng(0))


def test_what_was_never_tried_is_worth_all_that_is_left() -> None:
    state = begun(UCBVI(), two_state())
    # r + (H - 1 - h): with the reward of the pair itself known.
    np.testing.assert_array_equal(state.V, [[2, 3], [1, 2], [0, 1], [0, 0]])
    np.testing.assert_array_equal(state.choice, [[0, 2]] * 3)  # ties go to the first pair


@pytest.mark.parametrize("bonus", ["hoeffding", "bernstein"])
def test_a_plan_by_hand(bonus: str) -> None:
    # After one episode 0 -> 1 -> 1 -> 1 by pairs 1, 2, 2 with pooled counts.
    learner = UCBVI(bonus, delta=0.5)
    mdp = two_state()
    state = begun(learner, mdp)
    episode = Episode(0, np.array([0, 1, 1, 1]), np.array([1, 2, 2]), np.array([0.0, 1.0, 1.0]))
    state = learner.observe(state, episode, np.random.default_rng(0))
    iota = math.log((2 if bonus == "bernstein" else 1) * 3 * 4 * 30 / 0.5)
    np.testing.assert_array_equal(state.visits, [[0, 1, 2, 0]])

    def width(n: int, rest: int) -> float:
        return rest * math.sqrt(iota / (2 * n)) if bonus == "hoeffding" else 3.5 / 0.4 * rest * iota / n

    # The empirical laws are certain, so the variance is zero.
    last = [0.0, 0.0, 1.0, 1.0]
    V2 = [0.0, 1.0]
    Q1 = [1.0, min(V2[1] + width(1, 1), 1), 1 + min(V2[1] + width(2, 1), 1), 2.0]
    V1 = [max(Q1[:2]), max(Q1[2:])]
    Q0 = [2.0, min(V1[1] + width(1, 2), 2), 1 + min(V1[1] + width(2, 2), 2), 3.0]
    assert max(last[:2]) == V2[0]
    np.testing.assert_allclose(state.V, [[max(Q0[:2]), max(Q0[2:])], V1, V2, [0, 0]], rtol=1e-14)


def test_the_bernstein_bonus_by_its_formula() -> None:
    law = np.array([[0.25, 1.0], [0.75, 0.0]])
    V, n, iota, rest = np.array([0.0, 2.0]), np.array([10, 40]), 3.0, 5.0
    got = optimism.bernstein_bonus(law, V, n, iota, rest)
    variance = 0.25 * 0.75 * 4
    first = max(math.sqrt(3) / 0.6 * math.sqrt(variance * iota / 10), 8.75 * rest * iota / 10)
    np.testing.assert_allclose(got, [first, 8.75 * rest * iota / 40], rtol=1e-12)


def test_the_bernstein_bonus_is_monotone_in_the_value() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        S = int(rng.integers(2, 6))
        law = rng.dirichlet(np.full(S, 0.3))[:, None]
        low = rng.random(S)
        high = np.minimum(1.0, low + rng.random(S) * (rng.random(S) < 0.5))
        n, iota = np.array([int(rng.integers(3, 400))]), float(rng.uniform(0.7, 10))
        value = [float(v @ law[:, 0] + optimism.bernstein_bonus(law, v, n, iota, 1.0)[0]) for v in (low, high)]
        assert value[0] <= value[1] + 1e-12


def test_a_learner_that_knows_enough_plays_optimally() -> None:
    # With two deterministic states and a small bonus, all pairs are soon tried, and then nothing is lost.
    regret = mk.play(two_state(), UCBVI(scale=0.01), episodes=200, rng=np.random.default_rng(0))
    assert regret.best == 2
    assert np.all(regret.per_round[100:] == 0)
    assert regret.total > 0


def test_the_bound_and_where_it_says_something() -> None:
    learner = UCBVI(delta=0.1)
    view = Environment(two_state(2)).view(1000)
    iota = math.log(2 * 4 * 2000 / 0.1)
    c = math.sqrt(iota / 2) + math.sqrt((2 * math.log(2) + iota) / 2)
    expected = 2 * 4 * 4 + math.sqrt(8) * c * math.sqrt(4 * 2 * 500) + 3 * math.sqrt(500 * math.log(10) / 2)
    bound = learner.bound(view, np.array([500]))
    assert bound is not None and bound[0] == pytest.approx(expected, rel=1e-12)
    regret = mk.play(two_state(2), learner, episodes=1000, rng=np.random.default_rng(0))
    n = regret.informative_from
    assert n is not None
    around = learner.bound(regret.view, np.array([n - 1, n]))
    assert around is not None and around[0] >= 2 * (n - 1) and around[1] < 2 * n
    assert UCBVI("bernstein").bound(view, np.array([5])) is None
    assert UCBVI(scale=0.5).bound(view, np.array([5])) is None


def test_bad_input() -> None:
    with pytest.raises(OptionError, match="bonus is unknown"):
        UCBVI("gaussian")
    with pytest.raises(OptionError, match="delta is no probability"):
        UCBVI(delta=1)
    with pytest.raises(OptionError, match="scale is negative"):
        UCBVI(scale=-1)
    loud = mk.MDP(
        two_state().P,
        np.array([0.0, 5.0, 1.0, 1.0]),
        mk.FiniteHorizon(2),
        state=[0, 0, 1, 1],
        action=[0, 1, 0, 1],
        rho=0,
    )
    with pytest.raises(OptionError, match=r"assumes rewards in \[0, 1\].*\n?.*\[0, 5\]"):
        mk.play(loud, UCBVI(), episodes=2, rng=np.random.default_rng(0))
    with pytest.raises(UnsupportedError, match="needs to know the rewards"):
        mk.play(Environment(two_state(), "bernoulli"), UCBVI(), episodes=2, rng=np.random.default_rng(0))
