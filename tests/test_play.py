"""Playing: exact values and optima against independent ones, streams of randomness, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.environment import Environment, unit_rewards
from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.learner import Learner
from mdpkit.play import optimum, rounds
from mdpkit.solvers.exploration import UCBVI

F = Fraction


class Plays(Learner[Any]):
    """Always the same policy; remembers what it is told."""

    kinds = ("finite", "average", "discounted")

    def __init__(self, policy: Any):
        object.__setattr__(self, "plan", policy)
        object.__setattr__(self, "told", [])

    def begin(self, view: Any, rng: Any) -> Any:
        return view

    def policy(self, state: Any) -> Any:
        return self.plan

    def observe(self, state: Any, feedback: Any, rng: Any) -> Any:
        self.told.append(feedback)
        return state


def model(criterion: Any, **more: Any) -> mk.MDP:
    P = np.array([[["1/2", "1/2"], ["1/4", "3/4"]], [["1/3", "2/3"], ["1", "0"]]], dtype=object)
    return mk.MDP(P, np.array([["1/5", "1/2"], ["1", "0"]], dtype=object), criterion, rho=["3/4", "1/4"], **more)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_values_of_a_random_law_by_stage() -> None:
    mdp = model(mk.FiniteHorizon(3))
    pi = np.array([[0.25, 0.75, 1.0, 0.0], [0.5, 0.5, 0.5, 0.5], [1.0, 0.0, 0.25, 0.75]])
    table = np.zeros((3, 2, 2))
    table[:, 0], table[:, 1] = pi[:, :2], pi[:, 2:]
    truth = mk.evaluate(mdp, table).value
    regret = mk.play(mdp, Plays(pi), episodes=5, rng=rng())
    np.testing.assert_allclose(regret.values, truth, rtol=1e-14)
    assert regret.best == pytest.approx(mk.solve(mdp).value, rel=1e-12)
    assert regret.steps == 15 and regret.unit == "episode"


def test_a_mixture_is_worth_its_mean_and_draws_one_coin() -> None:
    mdp = model(mk.FiniteHorizon(2))
    a, b = np.array([[0, 2]] * 2), np.array([[1, 3]] * 2)
    values = [mk.play(mdp, Plays(x), episodes=1, rng=rng()).values[0] for x in (a, b)]
    regret = mk.play(mdp, Plays([(0.25, a), (0.75, b)]), episodes=4000, rng=rng(), keep=True)
    np.testing.assert_allclose(regret.values, 0.25 * values[0] + 0.75 * values[1], rtol=1e-14)
    assert regret.pairs is not None
    same = (regret.pairs % 2 == 0).all(1) | (regret.pairs % 2 == 1).all(1)
    assert same.all()
    assert abs(np.mean(regret.pairs[:, 0] % 2) - 0.75) < 5 * (0.75 * 0.25 / 4000) ** 0.5


@pytest.mark.parametrize("gamma", ["1/2", "9/10"])
def test_epochs_of_a_discounted_problem(gamma: str) -> None:
    mdp = model(mk.Discounted(gamma))
    learner = Plays(np.array([1, 2]))
    regret = mk.play(mdp, learner, episodes=2000, rng=rng())
    truth = mk.evaluate(mdp, [1, 0]).value
    np.testing.assert_allclose(regret.values, truth, rtol=1e-12)
    assert regret.best == pytest.approx(mk.solve(mdp).value, rel=1e-10)
    # Lengths are geometric with mean 1/(1 - gamma), and undiscounted sums have the discounted value as their mean.
    lengths = np.array([len(e.pairs) for e in learner.told])
    mean = 1 / (1 - F(gamma))
    assert regret.steps == lengths.sum()
    assert abs(lengths.mean() - mean) < 5 * float(F(gamma) ** F(1, 2) * mean) / 2000**0.5
    sums = np.array([e.rewards.sum() for e in learner.told])
    assert abs(sums.mean() - truth) < 5 * sums.std() / 2000**0.5


def test_steps_of_a_continuing_problem() -> None:
    mdp = model(mk.AverageReward())
    learner = Plays(np.array([1, 2]))
    regret = mk.play(mdp, learner, steps=3000, rng=rng(), keep=True)
    assert regret.best == pytest.approx(mk.solve(mdp).value, rel=1e-9)
    assert regret.unit == "step" and len(regret) == 3000
    assert regret.states is not None and regret.pairs is not None
    assert regret.states.shape == (3001,) and regret.pairs.shape == (3000,)
    np.testing.assert_array_equal(regret.pairs, np.array([1, 2])[regret.states[:-1]])
    np.testing.assert_array_equal(regret.values, np.array([0.2, 0.5, 1.0, 0.0])[regret.pairs])
    told = learner.told
    assert [s.s_next for s in told[:-1]] == [s.s for s in told[1:]]
    assert [s.t for s in told] == list(range(3000))


def test_an_optimum_of_many_random_models() -> None:
    for seed in range(8):
        mdp = mk.instances.make("random-sparse", S=6, A=3, seed=seed)
        for criterion in (mk.FiniteHorizon(7), mk.Discounted(0.95), mk.AverageReward()):
            problem = mdp.under(criterion, rho=0)
            assert optimum(Environment(problem), 5) == pytest.approx(mk.solve(problem).value, rel=1e-7)


def test_costs_are_regretted_as_costs() -> None:
    costs = model(mk.FiniteHorizon(2), minimize=True)
    regret = mk.play(costs, Plays(np.array([[0, 2]] * 2)), episodes=1, rng=rng())
    assert -regret.best == pytest.approx(mk.solve(costs).value)
    assert np.all(regret.per_round >= 0)


def test_noise_has_the_right_mean_and_rewards_of_transitions_are_paid() -> None:
    mdp = model(mk.FiniteHorizon(2))
    regret = mk.play(Environment(mdp, "bernoulli"), Plays(np.array([[0, 2]] * 2)), episodes=4000, rng=rng(), keep=True)
    assert regret.rewards is not None and regret.pairs is not None
    assert set(np.unique(regret.rewards)) <= {0.0, 1.0}
    paid = regret.rewards[regret.pairs == 0]
    assert abs(paid.mean() - 0.2) < 5 * 0.4 / len(paid) ** 0.5
    r = np.zeros((2, 2, 2))
    r[0, 0] = [3.0, 5.0]
    moving = mk.MDP(mdp.P, r, mk.FiniteHorizon(1), state=mdp.state, action=mdp.action, rho=0)
    regret = mk.play(moving, Plays(np.array([[0, 2]])), episodes=50, rng=rng(), keep=True)
    assert regret.rewards is not None and regret.states is not None
    np.testing.assert_array_equal(regret.rewards[:, 0], np.where(regret.states[:, 1] == 0, 3.0, 5.0))
    np.testing.assert_allclose(regret.values, 4.0)


def test_learners_of_one_seed_meet_the_same_luck() -> None:
    mdp = model(mk.FiniteHorizon(2))
    a = mk.play(mdp, Plays(np.array([[0, 2]] * 2)), episodes=50, rng=rng(7), keep=True)
    b = mk.play(
        mdp, Plays([(0.5, np.array([[0, 2]] * 2)), (0.5, np.array([[0, 2]] * 2))]), episodes=50, rng=rng(7), keep=True
    )
    assert a.states is not None and b.states is not None
    np.testing.assert_array_equal(a.states, b.states)


def test_unit_rewards() -> None:
    mdp = mk.MDP(
        model(None).P,
        np.array([-2.0, 1.0, 8.0, 3.0]),
        mk.FiniteHorizon(3),
        state=[0, 0, 1, 1],
        action=[0, 1, 0, 1],
        rho=0,
    )
    unit = unit_rewards(mdp)
    np.testing.assert_allclose(unit.r, [0, 0.3, 1, 0.5])
    policy = np.array([[0, 3]] * 3)
    one, two = (mk.play(m, Plays(policy), episodes=1, rng=rng()).total for m in (mdp, unit))
    assert one == pytest.approx(10 * two)
    assert unit_rewards(model(mk.FiniteHorizon(2))).rho_exact is not None


def test_rounds_show_what_is_played_before_it_is_observed() -> None:
    seen = []
    for played in rounds(model(mk.FiniteHorizon(2)), UCBVI(), 3, rng()):
        seen.append(played.state.visits.sum())
    assert seen == [0, 2, 4]


def test_bad_input() -> None:
    mdp = model(mk.FiniteHorizon(2))
    policy = np.array([[0, 2]] * 2)
    with pytest.raises(OptionError, match="played in episodes"):
        mk.play(mdp, Plays(policy), steps=5, rng=rng())
    with pytest.raises(OptionError, match="played in steps"):
        mk.play(model(mk.AverageReward()), Plays(policy), episodes=5, rng=rng())
    with pytest.raises(OptionError, match="episodes is no count"):
        mk.play(mdp, Plays(policy), episodes=0, rng=rng())
    with pytest.raises(OptionError, match="no learner"):
        mk.play(mdp, UCBVI, episodes=5, rng=rng())  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="did you mean 'ucbvi'"):
        mk.play(mdp, "ucbvii", episodes=5, rng=rng())
    with pytest.raises(OptionError, match="no random generator"):
        mk.play(mdp, Plays(policy), episodes=5, rng=0)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="does not play average reward"):
        mk.play(model(mk.AverageReward()), UCBVI(), steps=5, rng=rng())
    with pytest.raises(ModelError, match="plays no policy"):
        mk.play(mdp, Plays(np.zeros((2, 3))), episodes=5, rng=rng())
    with pytest.raises(UnsupportedError, match="no compiled loop"):
        mk.play(mdp, Plays(policy), episodes=5, rng=rng(), compiled=True)
    with pytest.raises(UnsupportedError, match="no learning under"):
        Environment(model(mk.TotalReward()))
    with pytest.raises(UnsupportedError, match="terminal rewards"):
        Environment(model(mk.FiniteHorizon(2, terminal=np.array([1.0, 0.0]))))
    with pytest.raises(UnsupportedError, match="undiscounted"):
        Environment(model(mk.FiniteHorizon(2, gamma=0.5)))
    with pytest.raises(OptionError, match="noise is unknown"):
        Environment(mdp, "gaussian")
    with pytest.raises(OptionError, match="nothing here to play"):
        Environment(3)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="no initial law"):
        Environment(mk.MDP(mdp.P, mdp.r, mdp.criterion, state=mdp.state, action=mdp.action))
    with pytest.raises(OptionError, match="not kept"):
        mk.play(model(mk.Discounted(0.5)), Plays(np.array([0, 2])), episodes=2, rng=rng(), keep=True)
