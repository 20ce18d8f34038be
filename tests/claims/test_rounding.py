"""Rounding bounds: what floats do stays inside them, and they are not far above it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.claims import Outcome
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.rounding import (
    UNIT,
    Accumulated,
    Rising,
    all_near,
    backup_error,
    factors,
    gain_errors,
    near,
    solve_error,
)
from mdpkit.kernels.gain import evaluate_average
from mdpkit.models.canonical import canonical
from mdpkit.operators.bellman import Sweeper

F = Fraction


def test_factors_bound_products() -> None:
    for m in (1, 3, 10):
        assert (1 + UNIT) ** m - 1 <= factors(m)
        assert 1 - (1 - UNIT) ** m <= factors(m)
        assert 1 / (1 - UNIT) ** m - 1 <= factors(m)
        assert factors(m) <= 2 * m * UNIT


@pytest.mark.parametrize("seed", range(8))
def test_backups_and_solutions_stay_inside(seed: int) -> None:
    mdp = mk.instances.make("garnet", S=4, A=3, branching=3, gamma="99/100", seed=seed)
    exact, sweeper = Exact(mdp), Sweeper(canonical(mdp))
    rng = np.random.default_rng(seed)
    V = rng.normal(size=4) * 10.0 ** rng.integers(-3, 6)
    TV, choice, _, _ = sweeper.backup(V)
    error = backup_error(exact, exactly(V))
    off = [abs(F(x) - y) for x, y in zip(TV.tolist(), exact.backup(exactly(V)), strict=True)]
    assert all(x <= e for x, e in zip(off, error, strict=True))
    assert max(error) <= 1e-14 * max(1.0, float(np.abs(V).max()))
    own = exact.value(choice)
    found = exactly(sweeper.solve(choice))
    reach = max(exact.inverse(choice, [F(1)] * 4)[0])
    bound = solve_error(reach, 4, found, [exact.r[k] for k in choice])
    assert sup(x - y for x, y in zip(found, own, strict=True)) <= bound <= 1e-7 * sup(own)


@pytest.mark.parametrize("seed", range(8))
def test_gains_and_biases_stay_inside(seed: int) -> None:
    mdp = mk.instances.make("garnet", S=4, A=2, branching=1 + seed % 3, seed=seed).under(mk.AverageReward())
    exact, p = Exact(mdp), canonical(mdp)
    for choice in list(exact.policies())[::3]:
        gain, bias = evaluate_average(p.P, p.r, np.array(choice))
        g, h = exact.gain_and_bias(choice)
        for found, true, bound in zip((gain, bias), (g, h), gain_errors(exact, choice), strict=True):
            assert sup(x - y for x, y in zip(exactly(found), true, strict=True)) <= bound


def test_what_adds_up() -> None:
    total = Accumulated(F(1, 2))
    assert [total.add(1) for _ in range(3)] == [1, F(3, 2), F(7, 4)]
    rising = Rising(F(1, 2))
    assert rising.slack == 0
    assert rising.add(F(1)) == F(3, 2) / F(1, 2)  # the fall of a value that is one too high, for ever
    assert rising.behind == 1
    assert rising.add(0) >= F(3, 2)


def test_rows() -> None:
    assert near(1.0, F(1), 0).outcome is Outcome.HOLDS
    assert near(1.0, F(1) + UNIT, UNIT).outcome is Outcome.HOLDS
    assert near(1.0, F(1) + 3 * UNIT, UNIT).outcome is Outcome.VIOLATED
    assert near(1.0, F(1), F(1)).outcome is Outcome.UNDECIDED
    assert all_near([1.0, 2.0], [F(1), F(3)], 0).outcome is Outcome.VIOLATED
    with pytest.raises(ValueError, match="in place of"):
        all_near([1.0], [F(1), F(3)], 0)
