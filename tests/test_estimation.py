"""The front door of estimators."""

from __future__ import annotations

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.solvers.evaluation import TemporalDifferences


def model() -> mk.MDP:
    return mk.instances.make("random-dense", S=3, A=2, gamma="4/5", seed=1)


PI = [[0.5, 0.5]] * 3


def test_beside_the_exact_value() -> None:
    found = mk.estimate(model(), PI, TemporalDifferences(eta=0.5, expected=True), steps=300)
    assert found.exact == pytest.approx(mk.evaluate(model(), PI).V, rel=1e-12)
    assert found.error < 1e-3 * found.errors[0]
    assert found.errors[0] == pytest.approx(np.abs(found.exact).max())
    assert (found.marks[0], found.steps, found.draws) == (0, 300, 0)
    assert len(found.marks) <= 70
    assert np.all(np.diff(found.weighted_errors) <= 0)


def test_action_values() -> None:
    mdp = model()
    found = mk.estimate(mdp, PI, TemporalDifferences(expected=True), steps=1, features="pairs")
    assert found.exact == pytest.approx(mk.evaluate(mdp, PI).Q[mdp.state, mdp.action], rel=1e-12)
    assert found.fixed_point == pytest.approx(found.exact, rel=1e-10)
    assert "action values" in repr(found)


def test_policies_are_read_as_elsewhere() -> None:
    td = TemporalDifferences(eta=0.5, expected=True)
    for policy in ([1, 0, 1], mk.Stationary.of(model(), [1, 0, 1]), [[0, 1], [1, 0], [0, 1]], [0, 1, 1, 0, 0, 1]):
        found = mk.estimate(model(), policy, td, steps=5)
        assert found.value == pytest.approx(mk.estimate(model(), [1, 0, 1], td, steps=5).value)


def test_divergence_is_silent() -> None:
    found = mk.estimate(model(), PI, TemporalDifferences(eta=1e200, expected=True), steps=20)
    assert not np.isfinite(found.error)


def test_bad_arguments() -> None:
    td = TemporalDifferences(expected=True)
    with pytest.raises(OptionError, match="no model"):
        mk.estimate(PI, PI, td, steps=1)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="no estimator"):
        mk.estimate(model(), PI, TemporalDifferences, steps=1)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="steps"):
        mk.estimate(model(), PI, td, steps=-1)
    with pytest.raises(OptionError, match="mark is out of range"):
        mk.estimate(model(), PI, td, steps=5, marks=[6])
    with pytest.raises(ModelError, match="do not sum to one"):
        mk.estimate(model(), [[0.5, 0.4]] * 3, td, steps=1)
    with pytest.raises(UnsupportedError, match="does not value policies"):
        mk.estimate(model().under(mk.TotalReward()), PI, td, steps=1)
    by_pairs = model().under(mk.Discounted(np.array([[0.5, 0.6]] * 3)))
    with pytest.raises(UnsupportedError, match="needed: one discount factor"):
        mk.estimate(by_pairs, PI, td, steps=1)
