"""Means, comparisons, and what is said of them."""

import numpy as np
import pytest
from scipy import stats

from mdpkit.errors import OptionError
from mdpkit.experiments.statistics import compared, mean_of, quantile, seeds_needed
from mdpkit.experiments.thinning import thinned


def test_the_interval_is_student_s():
    x = np.array([2.0, 4.0, 4.0, 7.0])
    reference = stats.t.interval(0.9, 3, loc=x.mean(), scale=stats.sem(x))
    m = mean_of(x, 0.9)
    assert (m.value, m.n, m.confidence) == (4.25, 4, 0.9)
    np.testing.assert_allclose([m.lower, m.upper], reference, rtol=1e-12)


def test_one_seed_has_no_interval():
    assert mean_of([3.0]) == (3.0, None, None, 1, 0.95)
    m = mean_of(np.ones((1, 4)))
    assert np.isnan(m.lower).all() and np.isnan(m.upper).all()


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 4000))
    m = mean_of(x)
    covered = np.mean((m.lower <= 0) & (m.upper >= 0))
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 4000)


@pytest.mark.parametrize("confidence", [0, 1, -1, 2, float("nan")])
def test_no_confidence(confidence):
    with pytest.raises(OptionError, match="confidence"):
        mean_of([1.0, 2.0], confidence)


def test_pairs_are_compared_and_not_totals():
    luck = 100 * np.random.default_rng(0).normal(size=10)
    a, b = luck + 1 + 0.01 * np.arange(10), luck
    c = compared("p", "a", "b", a, b)
    assert c.separated and c.lower > 0.9 and c.upper < 1.2
    assert (
        c.sentence()
        == f"b has less regret than a, by 1.045, 95 % interval [{c.lower:.4g}, {c.upper:.4g}] over 10 common seeds."
    )
    reverse = compared("p", "b", "a", b, a)
    assert reverse.separated and reverse.sentence() == c.sentence()
    # Without pairing, the luck would hide it.
    assert stats.ttest_ind(a, b).pvalue > 0.5


def test_what_seeds_do_not_tell_is_said():
    rng = np.random.default_rng(1)
    d = rng.normal(size=8) + 0.2
    c = compared("p", "a", "b", d, np.zeros(8))
    assert not c.separated
    assert "8 common seeds do not tell a from b" in c.sentence() or "Eight" in c.sentence()
    assert "contains 0" in c.sentence() and "would take about" in c.sentence()
    assert c.needed is not None and c.needed > 8


def test_seeds_needed_are_the_least():
    for difference, spread in ((1.0, 3.0), (0.1, 1.0), (5.0, 1.0)):
        n = seeds_needed(difference, spread, 0.95)
        assert quantile(n, 0.95) * spread / np.sqrt(n) < difference
        if n > 2:
            assert quantile(n - 1, 0.95) * spread / np.sqrt(n - 1) >= difference
    assert seeds_needed(0.0, 1.0, 0.95) is None
    assert seeds_needed(1e-9, 1.0, 0.95) is None


def test_few_or_no_common_seeds():
    assert "no common seeds" in compared("p", "a", "b", np.empty(0), np.empty(0)).sentence()
    one = compared("p", "a", "b", np.ones(1), np.zeros(1))
    assert not one.separated and "One seed cannot tell" in one.sentence()
    same = compared("p", "a", "b", np.ones(5), np.ones(5))
    assert not same.separated and "the same in each of 5 common seeds" in same.sentence()
    apart = compared("p", "a", "b", np.full(5, 2.0), np.ones(5))
    assert apart.separated and "apart by 1" in apart.sentence()


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 128, 129, 1000, 20_000, 3_000_001])
def test_the_grid_of_stored_rounds(n):
    at = thinned(n)
    assert at[0] == 1 and at[-1] == n and np.all(np.diff(at) > 0)
    np.testing.assert_array_equal(at[:128], np.arange(1, min(n, 128) + 1))
    # Neighbors are at most 1/64 of their place apart, and at most a thousandth of the run (and one).
    gaps = np.diff(at)
    assert np.all(gaps <= np.maximum(1, np.ceil(at[1:] / 64)))
    assert np.all(gaps <= max(1, -(-n // 1000)))
    assert len(at) <= 1000 + 64 * (n.bit_length() + 1)
