"""Accounts of play: what regret compares with, bounds round by round, ranges of rewards, and where a bound says something."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.environment import Adversarial, Delayed, Environment, independent, unit_rewards
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.learner import LARGEST, Learner
from mdpkit.play import optimum
from mdpkit.regret import Regret
from mdpkit.solvers.exploration import PSRL, UCBVI, DelayAdaptedPolicyOptimization, OptimisticQLearning


class Bounded(Learner[Any]):
    """Plays the first pairs, and has a bound of its own."""

    kinds = ("finite", "average", "discounted")

    def __init__(self, bound: Any = None, limit: int = 0):
        object.__setattr__(self, "formula", bound)

    def begin(self, view: Any, rng: Any) -> Any:
        return view

    def policy(self, state: Any) -> Any:
        first = state.pair_ptr[:-1]
        return np.tile(first, (state.H, 1)) if state.H else first

    def observe(self, state: Any, feedback: Any, rng: Any) -> Any:
        return state

    def bound(self, view: Any, rounds: Any) -> Any:
        return None if self.formula is None else self.formula(np.asarray(rounds, dtype=float))


def two(criterion: Any, low: float = 0.0, high: float = 1.0) -> mk.MDP:
    """A state with two pairs, of which the second pays more."""
    return mk.MDP(np.ones((1, 2, 1)), [[low, high]], criterion, rho=0)


def run(problem: Any, learner: Any, n: int = 5) -> Regret:
    kind = (problem if isinstance(problem, Environment) else Environment(problem)).base.problem.kind
    return mk.play(problem, learner, **{"steps" if kind == "average" else "episodes": n}, rng=np.random.default_rng(0))


def test_the_best_gain_is_the_mean_over_the_initial_law_of_what_each_class_allows() -> None:
    # Three states that are never left, and one from which the best of them can be chosen.
    P = np.zeros((5, 4))
    P[[0, 1, 2, 3, 4], [0, 1, 2, 0, 1]] = 1
    state, action = np.array([0, 1, 2, 3, 3]), np.array([0, 0, 0, 0, 1])
    mdp = mk.MDP(
        P, [0.25, 1.0, 0.5, 0.0, 0.0], mk.AverageReward(), state=state, action=action, rho=[0.5, 0, 0.25, 0.25]
    )
    assert optimum(Environment(mdp), 3) == pytest.approx(0.5 * 0.25 + 0.25 * 0.5 + 0.25 * 1.0, rel=1e-12)


def test_regret_of_rounds_adds_up_with_their_signs() -> None:
    tables = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    regret = run(Adversarial(two(mk.FiniteHorizon(1)), tables), Bounded(), 3)
    assert regret.per_round.tolist() == [1, -1, 1]
    assert regret.cumulative.tolist() == [1, 0, 1]
    assert regret.total == 1
    assert regret.per_episode is regret.per_round


def test_a_bound_after_each_round() -> None:
    regret = run(two(mk.FiniteHorizon(1)), Bounded(lambda n: 10 * n), 3)
    assert regret.bound is not None
    assert regret.bound.tolist() == [10, 20, 30]
    assert run(two(mk.FiniteHorizon(1)), Bounded(), 3).bound is None


@pytest.mark.parametrize(
    ("criterion", "width"),
    [(mk.FiniteHorizon(3), 3.0), (mk.AverageReward(), 1.0), (mk.Discounted("3/4"), 4.0)],
)
def test_what_a_round_can_cost_by_the_range_of_the_rewards(criterion: Any, width: float) -> None:
    assert run(two(criterion), Bounded()).trivial == pytest.approx(width)
    assert run(two(criterion, -2.0, 1.0), Bounded()).trivial == pytest.approx(3 * width)
    # Coins pay zero or one, whatever their means.
    assert run(Environment(two(criterion, 0.25, 0.5), "bernoulli"), Bounded()).trivial == pytest.approx(width)
    # A policy that always takes the first pair loses just that, in the mean.
    regret = run(two(criterion, -2.0, 1.0), Bounded())
    np.testing.assert_allclose(regret.per_round, regret.trivial, rtol=1e-12)


def test_from_where_a_bound_says_something() -> None:
    mdp = two(mk.FiniteHorizon(2))

    def first(formula: Any) -> Any:
        return run(mdp, Bounded(formula)).informative_from

    assert first(None) is None
    # 20 sqrt(n) < 2 n from n = 101 on.
    assert first(lambda n: 20 * np.sqrt(n)) == 101
    assert first(lambda n: 2 * n - 1) == 1
    assert first(lambda n: 2 * n) is None
    # What is good for a while only does not count: below 2n up to 10^4 and then again from 10^6 on.
    assert first(lambda n: np.where((n > 10**4) & (n < 10**6), 3 * n, n)) == 10**6
    assert first(lambda n: np.where(n > 10**9, 3 * n, n)) is None


def test_ranges_that_learners_are_told() -> None:
    mdp = two(mk.FiniteHorizon(2), -0.5, 0.75)
    view = Environment(mdp).view(10)
    assert (view.low, view.high, view.rounds) == (-0.5, 0.75, 10)
    costs = mk.MDP(np.ones((1, 2, 1)), [[0.25, 0.75]], mk.FiniteHorizon(2), rho=0, minimize=True)
    view = Environment(costs).view(10)
    assert (view.low, view.high) == (-0.75, -0.25)
    assert view.r is not None
    assert view.r.tolist() == [[-0.25, -0.75]]
    told = Adversarial(mdp, [[2.0, 3.0], [0.0, 1.0]]).view(10)
    assert (told.low, told.high, told.r) == (0.0, 3.0, None)
    with pytest.raises(OptionError, match=r"rewards in \[-0.5, 0.75\]"):
        mk.play(mdp, UCBVI(), episodes=2, rng=np.random.default_rng(0))
    # On arrival between -1 and 2, in the mean 1/2.
    moving = mk.MDP(np.full((2, 1, 2), 0.5), np.array([[[-1.0, 2.0]], [[0.0, 1.0]]]), mk.FiniteHorizon(2), rho=0)
    view = Environment(moving).view(3)
    assert (view.low, view.high) == (-1.0, 2.0)
    assert view.r is not None
    assert view.r.tolist() == [[0.5, 0.5]]
    paid = mk.play(Environment(moving), Bounded(), episodes=50, rng=np.random.default_rng(0), keep=True).rewards
    assert paid is not None
    assert set(np.unique(paid)) == {-1.0, 0.0, 1.0, 2.0}
    # An adversary's rewards take their place, whose range is then the adversary's.
    other = Adversarial(moving, [[0.25, 0.75]])
    assert (other.view(3).low, other.view(3).high) == (0.25, 0.75)
    paid = mk.play(other, Bounded(), episodes=50, rng=np.random.default_rng(0), keep=True).rewards
    assert paid is not None
    assert set(np.unique(paid)) == {0.25, 0.75}


def test_costs_that_depend_on_the_next_state_are_paid_with_their_sign() -> None:
    P, r = np.full((2, 1, 2), 0.5), np.array([[[1.0, 3.0]], [[0.0, 1.0]]])
    mdp = mk.MDP(P, r, mk.FiniteHorizon(1), rho=0, minimize=True)
    regret = mk.play(mdp, Bounded(), episodes=40, rng=np.random.default_rng(0), keep=True)
    assert regret.rewards is not None
    assert set(np.unique(regret.rewards)) == {-1.0, -3.0}
    assert regret.best == -2.0


def test_unit_rewards_of_costs_and_of_one_value() -> None:
    costs = mk.MDP(np.ones((1, 2, 1)), [[1.0, 5.0]], mk.FiniteHorizon(2), rho=0, minimize=True)
    unit = unit_rewards(costs)
    assert unit.r.ravel().tolist() == [1.0, 0.0]
    assert not unit.minimize
    assert unit_rewards(two(mk.FiniteHorizon(2), 3.0, 3.0)).r.ravel().tolist() == [0.0, 0.0]
    moving = mk.MDP(np.full((2, 1, 2), 0.5), np.array([[[-1.0, 2.0]], [[0.0, 1.0]]]), mk.FiniteHorizon(2), rho=0)
    with pytest.raises(UnsupportedError, match="not rescaled"):
        unit_rewards(moving)


def test_what_is_hidden_and_what_is_revealed() -> None:
    mdp = two(mk.FiniteHorizon(2))
    assert Environment(mdp).view(3).P is None
    assert Environment(mdp, known=True).view(3).P is not None
    assert Environment(mdp, "bernoulli").view(3).r is None
    assert Adversarial(mdp, [[0.0, 1.0]]).view(3).r is None
    assert Delayed(mdp, 1).view(3).r is not None
    assert not Environment(mdp).view(3).delays
    staged = Adversarial(mdp, np.zeros((1, 2, 2))).view(3)
    assert (staged.reward_tables, staged.tables, staged.stages) == (2, 1, None)


def test_learners_do_not_ask_for_tables_beyond_memory() -> None:
    view = Environment(two(mk.FiniteHorizon(2))).view(3)
    view.table(LARGEST)
    with pytest.raises(UnsupportedError, match="too large for tables"):
        view.table(2, LARGEST // 2 + 1)


def test_who_plays_what() -> None:
    late = Delayed(two(mk.FiniteHorizon(2)), 1).view(5)
    assert DelayAdaptedPolicyOptimization().accepts(late)
    for kind in (UCBVI, PSRL, OptimisticQLearning):
        assert not kind().accepts(late)
        assert kind().accepts(Environment(two(mk.FiniteHorizon(2))).view(5))
        assert not kind().accepts(Environment(two(mk.AverageReward())).view(5))


def test_tables_come_in_turn_by_default() -> None:
    assert Adversarial(two(mk.FiniteHorizon(1)), np.zeros((3, 2))).which(7).tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_a_table_of_probability_zero_is_never_drawn() -> None:
    class Zero:
        """Draws the least number that there is."""

        def random(self, n: int) -> Any:
            return np.zeros(n)

    tables: Any = np.zeros((3, 2))
    assert independent(tables, [0.0, 0.5, 0.5], 2, Zero())[1].tolist() == [1, 1]  # type: ignore[arg-type]


def test_drawn_actions_have_their_probabilities() -> None:
    class Mixed(Bounded):
        """Plays the second pair with probability 0.3."""

        def policy(self, state: Any) -> Any:
            return np.tile([0.7, 0.3], (state.H, 1))

    n = 4000
    pairs = mk.play(two(mk.FiniteHorizon(2)), Mixed(), episodes=n, rng=np.random.default_rng(1), keep=True).pairs
    assert pairs is not None
    assert np.all(np.abs(np.mean(pairs, axis=0) - 0.3) < 5 * (0.21 / n) ** 0.5)
    # Of two stages, independently.
    assert abs(np.mean(pairs[:, 0] * pairs[:, 1]) - 0.09) < 5 * (0.09 * 0.91 / n) ** 0.5


@pytest.mark.parametrize("seed", range(4))
def test_the_history_of_an_endless_run_ends_where_the_run_does(seed: int) -> None:
    told: list[Any] = []

    class Told(Bounded):
        """Writes down what it is told."""

        def observe(self, state: Any, feedback: Any, rng: Any) -> Any:
            told.append(feedback)
            return state

    P = np.full((3, 1, 3), 1 / 3)
    endless = mk.MDP(P, np.arange(3.0)[:, None], mk.AverageReward(), rho=0)
    regret = mk.play(endless, Told(), steps=30, rng=np.random.default_rng(seed), keep=True)
    assert regret.states is not None
    assert regret.states.tolist() == [*(step.s for step in told), told[-1].s_next]
