"""Comparisons of enclosures: what is decided, and what is not."""

from __future__ import annotations

import math
from fractions import Fraction

import flint
import pytest

from mdpkit.claims import Interval, Outcome, all_equal, all_leq, equal, fact, geq, leq, point, precision

F = Fraction
HOLDS, VIOLATED, UNDECIDED = Outcome.HOLDS, Outcome.VIOLATED, Outcome.UNDECIDED


@pytest.mark.parametrize(
    ("left", "right", "outcome"),
    [
        (F(1, 3), F(1, 3), HOLDS),
        (F(1, 3), 1 / 3, VIOLATED),  # the float is below one third
        (1 / 3, F(1, 3), HOLDS),
        (Interval(0, 1), 1, HOLDS),
        (Interval(0, 1), F(999, 1000), UNDECIDED),
        (Interval(2, 3), Interval(0, F(19, 10)), VIOLATED),
        (Interval(2, 3), Interval(0, 2), UNDECIDED),  # they touch
        (1, math.inf, HOLDS),
        (-math.inf, math.inf, HOLDS),
        (math.inf, 1, VIOLATED),
        (math.inf, math.inf, HOLDS),
        (math.nan, 1, UNDECIDED),
        (0, 0.0, HOLDS),
        (True, 0, VIOLATED),
    ],
)
def test_leq(left, right, outcome):
    assert leq(left, right).outcome is outcome
    assert geq(right, left).outcome is outcome


@pytest.mark.parametrize(
    ("left", "right", "outcome"),
    [
        (F(1, 3), F(1, 3), HOLDS),
        (F(1, 3), 1 / 3, VIOLATED),
        (Interval(0, 1), F(1, 2), UNDECIDED),  # they meet, and say little
        (Interval(0, 1), 2, VIOLATED),
        (Interval(1, 1 + F(1, 10**12)), 1, HOLDS),
        (Interval(0, F(1, 10**6)), 0, UNDECIDED),
        (Interval(10**12, 10**12 + 1), 10**12, HOLDS),  # narrow for its size
    ],
)
def test_equal(left, right, outcome):
    assert equal(left, right).outcome is outcome
    assert equal(right, left).outcome is outcome


def test_balls_are_read_exactly():
    with precision(64):
        third = flint.arb(1) / 3
        assert leq(third, F(1, 3)).outcome is UNDECIDED
        assert leq(third, F(1, 3) + F(1, 2**60)).outcome is HOLDS
        assert leq(third, F(1, 3) - F(1, 2**60)).outcome is VIOLATED
        assert equal(third, F(1, 3)).outcome is HOLDS
        assert equal(third, F(1, 3) + F(1, 10**15)).outcome is VIOLATED
        assert leq(flint.arb(2) ** 5000, 0).outcome is VIOLATED
        assert equal(flint.arb(-3), -3).sharp


def test_more_bits_decide():
    def row(bits):
        with precision(bits):
            return leq(flint.arb(2).sqrt() ** 2, F(2) + F(1, 2**200)).outcome

    assert [row(bits) for bits in (64, 128, 256)] == [UNDECIDED, UNDECIDED, HOLDS]


def test_balls_that_are_no_numbers_decide_nothing():
    with precision(64):
        assert leq(flint.arb.nan(), 1).outcome is UNDECIDED
        assert leq(flint.arb(1) / flint.arb(0, 1), 1e300).outcome is UNDECIDED


def test_of_many_the_worst_is_shown():
    row = all_leq([1, 2, 3], [5, 3, 9], "x")
    assert (row.outcome, row.slack, row.at) == (HOLDS, 1, "x[1]")
    row = all_leq([1, 4, 30], [5, 3, 9], "x")
    assert (row.outcome, row.at) == (VIOLATED, "x[2]")
    row = all_equal([F(1), Interval(0, 1)], [1, F(1, 2)], "y")
    assert (row.outcome, row.at) == (UNDECIDED, "y[1]")
    with pytest.raises(ValueError, match="nothing to compare"):
        all_equal([], [])


def test_slack_is_that_of_the_ends():
    row = leq(Interval(0, 1), Interval(3, 5), "here", k=2, series="a")
    assert (row.slack, row.left, row.right, row.k, row.series) == (2, 0.5, 4, 2, "a")
    assert row.relative == 0.5
    assert not row.sharp
    assert leq(1, 2).sharp


def test_facts_and_points():
    assert fact(1 == 1).outcome is HOLDS
    assert fact([]).outcome is VIOLATED
    assert (point(3, F(1, 2)).k, point(3, F(1, 2)).left) == (3.0, 0.5)


def test_what_is_no_number_is_refused():
    with pytest.raises(TypeError, match="no enclosure"):
        leq("1", 2)
