"""VWLS-MDVI: its phases by hand on the square, drawn variances, and what weighting gains in a simulation."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.models.arithmetic import in_arithmetic
from mdpkit.models.canonical import canonical
from mdpkit.operators.backups import SampledBackup
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.weighted_regression import Differences, Moments, WeightedRegression
from mdpkit.solvers.linear import VarianceWeightedMDVI, WeightedLeastSquaresMDVI

F = Fraction


def square(H: int) -> mk.MDP:
    return mk.instances.make("linear-square", leave=F(1, H), gamma=1 - F(1, H))


def test_the_variances_of_the_square_by_hand() -> None:
    # p(1-p) V^2 with the probabilities of staying 0, 1/2, 1/2, 1 times 9/10, and V = 100/19.
    mdp = mk.instances.make("linear-square")
    on = OnPolicy(in_arithmetic(canonical(mdp), "rational"))
    regression, V = WeightedRegression.of(on), np.array([F(100, 19), F(0)], dtype=object)
    size = F(100, 19) ** 2
    exact = [F(0), F(99, 400) * size, F(99, 400) * size, F(9, 100) * size, F(0)]
    assert Moments()(on, regression, V).values.tolist() == exact
    # Least squares over the corners in (1, z): the mean, and slopes of a quarter of the differences.
    fitted = [float(x) for x in Differences()(on, regression, V).values]
    mean, slope = sum(exact[:4]) / 4, (exact[3] - exact[0]) / 4
    assert fitted[3] == pytest.approx(float(mean + 2 * slope), rel=0.03)
    assert fitted[0] == pytest.approx(float(mean - 2 * slope), rel=0.03)


def test_drawn_variances_come_to_the_exact_ones() -> None:
    mdp = square(10)
    on, V = OnPolicy(canonical(mdp)), np.array([5.0, 0.0])
    regression = WeightedRegression.of(on)
    for rule, exact, copies in ((Differences(60_000), Differences(), 2), (Moments(60_000), Moments(), 1)):
        drawn = rule(on, regression, V, np.random.default_rng(0))
        assert np.allclose(drawn.values, exact(on, regression, V).values, atol=0.1)
        assert drawn.draws == copies * 60_000 * len(regression.core)


def test_phases_count_their_draws() -> None:
    mdp = mk.instances.make("linear-mdp", S=6, A=3, d=3)
    solver = VarianceWeightedMDVI(first=4, backup=SampledBackup(2), variance=Differences(5))
    states = list(islice(mk.iterates(mdp, solver, np.random.default_rng(0)), 8))
    first, second = len(states[0].inner.regression.core), len(states[-1].inner.regression.core)
    assert [state.draws for state in states[:5]] == [2 * first * k for k in range(5)]
    assert states[5].draws == 8 * first + 10 * first + 2 * second
    assert states[4].scale is None
    assert states[5].scale is not None
    assert states[5].inner.k == 1


@pytest.mark.parametrize("rule", [Differences(), Moments()])
def test_with_exact_moments_it_finds_the_value(rule: object) -> None:
    mdp = mk.instances.make("linear-hypercube")
    sol = mk.solve(mdp, VarianceWeightedMDVI(first=30, variance=rule), max_steps=300)  # type: ignore[arg-type]
    assert np.allclose(sol.V, mk.solve(mdp).V, atol=1e-7)


def test_weighting_pays_on_the_square() -> None:
    # To first order the claim needs about 2.5 times as many samples without weights here.
    H, runs, steps = 60, 12, 360
    mdp = square(H)
    truth = mk.solve(mdp).V[0]

    def error(scale: np.ndarray | None, seed: int) -> float:
        solver = WeightedLeastSquaresMDVI(scale=scale, backup=SampledBackup(20))
        state = next(islice(mk.iterates(mdp, solver, np.random.default_rng(seed)), steps, None))
        return (state.w[0] / state.mass - truth) ** 2

    on = OnPolicy(canonical(mdp))
    V = np.array([truth, 0.0])
    f = np.sqrt(np.maximum(on.P @ V**2 - (on.P @ V) ** 2, 0.0)) + np.sqrt(H)
    plain = np.mean([error(None, seed) for seed in range(runs)])
    weighted = np.mean([error(f, 100 + seed) for seed in range(runs)])
    assert weighted < plain


def test_bad_input_is_refused() -> None:
    for bad in ({"first": 0}, {"alpha": 2}, {"eps": -1}):
        with pytest.raises(OptionError):
            VarianceWeightedMDVI(**bad)
    with pytest.raises(OptionError):
        Differences(0)
    on = OnPolicy(in_arithmetic(canonical(mk.instances.make("linear-square")), "rational"))
    with pytest.raises(OptionError, match="floats only"):
        Moments(3)(on, WeightedRegression.of(on), np.array([F(1), F(0)], dtype=object), np.random.default_rng(0))
