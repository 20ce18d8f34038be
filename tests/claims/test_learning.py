"""The judge's side of learning: counts, laws and exact values by hand, and against values in floats."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.claims.exact import Exact
from mdpkit.claims.learning import (
    Counts,
    continuing,
    episodic,
    initial,
    law_of,
    stage_values,
    staged,
    value_error,
    value_of,
)

F = Fraction


def model(H: int = 2) -> mk.MDP:
    """Two states with one and two actions."""
    P = np.array([[F(1, 3), F(2, 3)], [F(1), F(0)], [F(1, 4), F(3, 4)]], dtype=object)
    r = np.array([F(1, 2), F(0), F(1, 5)], dtype=object)
    rho = np.array([F(1, 4), F(3, 4)], dtype=object)
    return mk.MDP(P, r, mk.FiniteHorizon(H), state=[0, 1, 1], action=[0, 0, 1], rho=rho)


def test_laws_of_what_was_played() -> None:
    exact = Exact.of(model())
    assert law_of(exact, np.array([[0, 2], [0, 1]])) == [[1, 0, 1], [1, 1, 0]]
    # Probabilities in floats are rescaled in each state.
    found = law_of(exact, np.array([[0.5, 0.25, 0.5]]))
    assert found == [[1, F(1, 3), F(2, 3)]]
    with pytest.raises(ValueError, match="none of state 0"):
        law_of(exact, np.array([[1, 2]]))


def test_values_by_hand() -> None:
    exact = Exact.of(model())
    # Last stage: 1/2, and 1/5 by pair 2; before it pair 1, which pays nothing and leads to state 0.
    V = stage_values(exact, np.array([[0, 1], [0, 2]]))
    assert V == [[F(1, 2) + F(1, 3) * F(1, 2) + F(2, 3) * F(1, 5), F(1, 2)], [F(1, 2), F(1, 5)], [0, 0]]
    assert initial(exact, V[0]) == F(1, 4) * V[0][0] + F(3, 4) * F(1, 2)
    assert value_of(exact, np.array([[0, 1], [0, 2]])) == initial(exact, V[0])


def test_values_under_other_rewards_are_those_of_the_stage() -> None:
    exact = Exact.of(model())
    policy = np.array([[0, 1], [0, 2]])
    r = [[F(1), F(2), F(3)], [F(5), F(7), F(11)]]
    assert stage_values(exact, policy, r) == [[1 + F(1, 3) * 5 + F(2, 3) * 11, 2 + 5], [5, 11], [0, 0]]
    # One table for all stages.
    assert stage_values(exact, policy, r[:1]) == [[1 + F(1, 3) * 1 + F(2, 3) * 3, 2 + 1], [1, 3], [0, 0]]
    assert value_of(exact, policy, r) == F(1, 4) * (1 + F(5, 3) + F(22, 3)) + F(3, 4) * 7


def test_a_mixture_is_worth_its_mean() -> None:
    exact = Exact.of(model())
    a, b = np.array([[0, 1], [0, 2]]), np.array([[0, 2], [0, 1]])
    assert value_of(exact, [(0.25, a), (0.75, b)]) == F(1, 4) * value_of(exact, a) + F(3, 4) * value_of(exact, b)


@pytest.mark.parametrize("by_stage", [False, True])
def test_counts(by_stage: bool) -> None:
    exact = Exact.of(model())
    counts = Counts(exact, by_stage=by_stage)
    for states, pairs in (([0, 1, 1], [0, 2]), ([1, 0, 1], [1, 0]), ([0, 0, 1], [0, 0])):
        counts.add(np.array(states), np.array(pairs))
    if by_stage:
        assert counts.visits == [[2, 1, 0], [2, 0, 1]]
        assert counts.law(0, 0) == {1: F(1, 2), 0: F(1, 2)}
        assert counts.law(0, 1) == {1: 1}
        assert (counts.n(0, 1), counts.n(2, 1), counts.n(2, 0)) == (2, 1, 0)
    else:
        assert counts.visits == [[4, 1, 1]]
        assert counts.law(0, 1) == {1: F(3, 4), 0: F(1, 4)}
        assert (counts.n(0, 1), counts.n(2)) == (4, 1)
    assert Counts(exact, by_stage=by_stage).law(2, 1) == {}


def test_laws_by_stage_are_used_by_stage() -> None:
    mdp = staged(3, 3)
    exact = Exact.of(mdp)
    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.ones(2), size=(3, 2))
    value = value_of(exact, table.reshape(3, 4))
    truth = mk.evaluate(mdp, table).value
    assert abs(float(value) - truth) <= float(value_error(exact))
    assert 0 < value_error(exact) < F(1, 10**12)


def test_instances_are_as_they_are_said_to_be() -> None:
    rng = np.random.default_rng(0)
    cases = [case.problem for case in episodic(fast=3, by_stage=True)("fast", rng)]
    assert len(cases) == 4
    assert {int(np.ptp(np.diff(m.pair_ptr))) for m in cases} >= {0, 2}
    assert [Exact.of(m).H for m in cases] == [3, 2, 4, 3]
    assert len(Exact.of(cases[-1]).P) == 3 * cases[-1].n_pairs
    for mdp in [*cases, *(case.problem for case in continuing(fast=2)("fast", rng))]:
        assert np.all((np.asarray(mdp.r, dtype=float) >= 0) & (np.asarray(mdp.r, dtype=float) <= 1))
        assert sum(mdp.rho_exact.tolist()) == 1
