"""The linear programs of gain and bias: duality, frequencies, both forms and ways."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import oracle as o
import pytest
from hypothesis import given, settings
from strategies import build, models

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.solvers.average_reward import GainBiasLinearProgramming

F = Fraction
AVERAGE = mk.AverageReward()
WAYS = [(form, through) for form in ("primal", "dual") for through in ("scipy", "cvxpy")]


@pytest.mark.parametrize(("form", "through"), WAYS)
def test_howards_taxicab(form: str, through: str) -> None:
    if through == "cvxpy":
        pytest.importorskip("cvxpy")
    mdp = mk.instances.make("howard-taxicab").under(AVERAGE)
    sol = mk.solve(mdp, GainBiasLinearProgramming(form, through))
    assert sol.status.ok
    assert sol.certificate.lower[0] <= F(1588, 119) <= sol.certificate.upper[0]
    # x is a stationary law of pairs whose mean reward is the gain
    assert sol.dual.sum() == pytest.approx(1)
    assert sol.dual @ mdp.r == pytest.approx(1588 / 119)
    inflow = mdp.P.csr.T @ sol.dual
    assert np.allclose(np.bincount(mdp.state, weights=sol.dual), inflow, rtol=0, atol=1e-9)


@pytest.mark.parametrize("form", ["primal", "dual"])
@settings(max_examples=40, deadline=None)
@given(model=models(S=4, A=3))
def test_every_model(form: str, model: list) -> None:
    gain = o.best_gain(model)
    mdp = build(model, AVERAGE, exact=False)
    sol = mk.solve(mdp, GainBiasLinearProgramming(form))
    assert all(a <= g <= b for a, g, b in zip(sol.certificate.lower, gain, sol.certificate.upper, strict=True))
    assert sol.certificate.gap <= 1e-9
    # strong duality: the frequencies' reward is the mean gain over the uniform initial law
    assert sol.dual @ mdp.r == pytest.approx(float(sum(gain)) / len(gain), abs=1e-8)


def test_unknown_options() -> None:
    with pytest.raises(OptionError, match="form"):
        GainBiasLinearProgramming("both")
    with pytest.raises(OptionError, match="LP solver"):
        GainBiasLinearProgramming(through="gurobi")
