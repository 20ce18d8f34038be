"""The judge in rationals: published values and closed forms, and agreement with the judge in balls."""

from __future__ import annotations

from fractions import Fraction
from math import inf

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.claims.exact import Exact, exactly, solve, span, sup
from mdpkit.errors import ModelError

F = Fraction


def test_howards_toymaker() -> None:
    """Gain 2, bias 20/9 and -70/9 (Howard 1960, chapter 4)."""
    exact = Exact(mk.instances.make("howard-toymaker").under(mk.AverageReward()))
    assert exact.optimal == [2, 2]
    best = next(c for c in exact.policies() if exact.gain(c) == [2, 2])
    assert exact.gain_and_bias(best)[1] == [F(20, 9), F(-70, 9)]


def test_a_periodic_chain_has_its_limit_in_the_mean() -> None:
    exact = Exact(mk.instances.make("two-cycle").under(mk.AverageReward()))
    there = next(c for c in exact.policies() if exact.gain(c) == [3, 3])
    assert exact.limit(there) == [[F(1, 2)] * 2] * 2
    assert exact.gain_and_bias(there)[1] == [F(3, 2), F(-3, 2)]
    assert exact.hitting(there) == (1, 1)


def test_putermans_two_states() -> None:
    """Puterman (1994), Section 3.1: -60/7 and -20 at gamma = 0.95."""
    exact = Exact(mk.instances.make("puterman-two-state"))
    assert exact.optimal == [F(-60, 7), -20]
    assert exact.backup(exact.optimal) == exact.optimal
    assert exact.worst == [min(v[0] for v in map(exact.value, exact.policies())), -20]


def test_inventory_over_three_months() -> None:
    """Puterman (1994), Section 4.6.1."""
    exact = Exact(mk.instances.make("puterman-inventory"))
    assert exact.horizon()[0] == [F(67, 16), F(129, 16), F(97, 8), F(227, 16)]


def test_gamblers_ruin() -> None:
    """Bold play at p = 2/5 with goal 4: from 2, p; from 1, p^2; from 3, p + (1 - p) p."""
    exact = Exact(mk.instances.make("gambler", goal=4))
    assert exact.optimal == [0, F(4, 25), F(2, 5), F(16, 25), 1]


def test_totals_that_are_infinite_or_undefined() -> None:
    loop = mk.MDP([[["1"]]], [["1"]], mk.TotalReward())
    assert Exact(loop).total([0]) == [inf]
    assert Exact(mk.MDP([[["1"]]], [["1"]], mk.TotalReward(), minimize=True)).total([0]) == [-inf]
    swap = mk.MDP([[["0", "1"]], [["1", "0"]]], [["1"], ["-1"]], mk.TotalReward())
    with pytest.raises(ModelError, match="both signs"):
        Exact(swap).total([0, 1])
    idle = Exact(mk.instances.make("idle-loop", semantics="reach"))
    assert idle.optimal[0] == inf


def test_steps_and_inverse() -> None:
    exact = Exact(mk.instances.make("leaving"))
    stay = [s for s in range(exact.S) if s not in exact.known and any(exact.r[k] for k in exact.pairs[s])]
    choice = [p[0] for p in exact.pairs]
    assert set(exact.steps(choice, stay).values()) == {10}
    discounted = Exact(mk.MDP([[["1"]]], [["1"]], mk.Discounted("9/10")))
    assert discounted.inverse([0], [F(1)], scale=F(1, 2))[0] == [F(20, 11)]


def test_discount_near_one() -> None:
    """Nearer to one than floats are: (1 - gamma) V is within 2 (1 - gamma) |h| of the gain."""
    exact = Exact(mk.instances.make("howard-toymaker").under(mk.AverageReward()))
    rest = F(1, 2**80)
    V = exact.under_discount(1 - rest).optimal
    assert sup(rest * v - 2 for v in V) <= 2 * rest * F(70, 9)
    assert exact.optimal == [2, 2]


@pytest.mark.parametrize("seed", range(3))
def test_the_judges_agree(seed: int) -> None:
    pytest.importorskip("flint")
    from mdpkit.claims.judge import Judge

    mdp = mk.instances.make("garnet", S=4, A=3, branching=2, gamma="9/10", seed=seed)
    assert Exact(mdp).optimal == Judge(mdp).optimal


def test_policies_are_counted_first() -> None:
    with pytest.raises(ModelError, match="too many policies"):
        Exact(mk.instances.make("garnet", S=12, A=3, branching=2, gamma="9/10")).policies()
    with pytest.raises(ModelError, match="no pair of each state"):
        Exact(mk.instances.make("puterman-two-state")).exit([2, 2])


def test_numbers() -> None:
    assert exactly(np.array([0.5, -inf])) == [F(1, 2), -inf]
    assert (sup([-3, 2]), span([-3, 2])) == (3, 5)
    assert solve([[F(2), F(0)], [F(0), F(4)]], [F(1), F(1)]) == [[F(1, 2), F(1, 4)]]
    with pytest.raises(ZeroDivisionError):
        solve([[F(0)]], [F(1)])


def test_one_judge_for_each_model() -> None:
    mdp = mk.instances.make("puterman-two-state")
    assert Exact.of(mdp) is Exact.of(mdp)
    assert Exact.of(mdp) is not Exact.of(mk.instances.make("puterman-two-state"))
