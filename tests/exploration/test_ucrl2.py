"""UCRL2: one pair by hand, a known inner maximum, certain knowledge, and bad input."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.environment import Environment
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.kernels import extended
from mdpkit.kernels.online import extended as compiled
from mdpkit.play import rounds
from mdpkit.solvers.exploration import UCRL2


def test_inner_maximum_by_hand() -> None:
    # Half of 0.6 goes to state 1, the best one; 0.2 and then 0.1 are taken from states 2 and 0.
    law = np.array([[Fraction(1, 2)], [Fraction(3, 10)], [Fraction(1, 5)]], dtype=object)
    u = np.array([Fraction(1), Fraction(2), Fraction(0)], dtype=object)
    order = extended.ranked(u)
    assert order.tolist() == [1, 0, 2]
    p = extended.optimistic_law(law, np.array([Fraction(3, 5)], dtype=object), order)
    assert p[:, 0].tolist() == [Fraction(2, 5), Fraction(3, 5), 0]
    full = extended.optimistic_law(law, np.array([Fraction(2)], dtype=object), order)
    assert full[:, 0].tolist() == [0, 1, 0]


def test_without_width_it_is_relative_value_iteration() -> None:
    river = mk.instances.make("riverswim", n_states=4).under(mk.AverageReward())
    best = mk.solve(river)
    law = np.zeros((4, river.n_pairs))
    law[river.P.indices, river.P.row_of] = river.P.data
    _, low, high, choice = extended.iterate(river.r, law, np.zeros(river.n_pairs), river.pair_ptr, 1e-4, lazy=0.5)
    assert low <= best.gain[0] <= high < low + 1e-4
    assert choice.tolist() == [int(k) for k in river.pair_ptr[1:] - 1]  # always to the right


@pytest.mark.parametrize("lazy", [1.0, 0.5])
def test_compiled_sweeps_are_the_definition(lazy: float) -> None:
    rng = np.random.default_rng(3)
    ptr = np.array([0, 2, 3, 6])
    for _ in range(20):
        law = rng.dirichlet(np.ones(3), size=6).T.copy()
        width, r = rng.random(6) * rng.integers(0, 3, size=6), rng.integers(0, 3, size=6) / 2
        u, low, high, choice = extended.iterate(r, law, width, ptr, 0.05, lazy=lazy)
        v, other = np.empty(3), np.empty(3, dtype=np.int64)
        assert compiled.iterate(r, law, width, ptr, 0.05, lazy, v, other) == (low, high)
        assert np.array_equal(u, v) and np.array_equal(choice, other)


def test_first_steps_by_hand() -> None:
    # One state, two actions: both are tried once, then an episode each time the count of the played one has doubled.
    mdp = mk.MDP(np.ones((1, 2, 1)), [[0.0, 1.0]], mk.AverageReward(), rho=0)
    seen = [(r.history[1], int(r.state.marks[1])) for r in rounds(mdp, UCRL2(), 4, np.random.default_rng(0))]
    assert seen[0] == (0, 0)
    run = mk.play(mdp, UCRL2(scale=0.2), steps=2000, rng=np.random.default_rng(0))
    assert run.series["switches"][-1] <= 2 * np.log2(8 * 2000 / 2)
    assert run.total < 60
    assert run.series["index"][0] == 1.0


def test_rewards_are_learned_from_coins() -> None:
    mdp = mk.MDP(np.ones((1, 2, 1)), [[0.2, 0.8]], mk.AverageReward(), rho=0)
    run = mk.play(Environment(mdp, "bernoulli"), UCRL2(scale=0.3), steps=5000, rng=np.random.default_rng(1), keep=True)
    assert set(np.unique(run.rewards)) == {0.0, 1.0}
    assert np.mean(run.pairs[-1000:]) > 0.95
    assert run.best == pytest.approx(0.8)


def test_refusals() -> None:
    river = mk.instances.make("riverswim")
    with pytest.raises(OptionError, match="delta"):
        UCRL2(delta=0)
    with pytest.raises(OptionError, match="scale"):
        UCRL2(scale=-1)
    with pytest.raises(UnsupportedError, match="does not play"):
        mk.play(river.under(mk.FiniteHorizon(3)), UCRL2(), episodes=3, rng=np.random.default_rng(0))
    large = mk.MDP(np.ones((1, 2, 1)), [[0.0, 3.0]], mk.AverageReward(), rho=0)
    with pytest.raises(OptionError, match="rewards in \\[0, 1\\]"):
        mk.play(large, UCRL2(), steps=3, rng=np.random.default_rng(0))
