"""WLS-MDVI: closed forms, the tabular method, counted draws, bad input."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.kernels import gram
from mdpkit.models.canonical import canonical
from mdpkit.models.linear import LinearMDP
from mdpkit.operators.backups import ExactBackup, SampledBackup
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.weighted_regression import WeightedRegression
from mdpkit.solvers.linear import WeightedLeastSquaresMDVI
from mdpkit.solvers.regularized_dp import MirrorDescentValueIteration

F = Fraction


def test_least_squares_by_hand() -> None:
    # A line through weighted points: the weighted mean of x is 1, of y is 2, the slope 1/2.
    X = np.array([[F(1), F(0)], [F(1), F(1)], [F(1), F(2)]], dtype=object)
    theta = gram.least_squares(
        X, np.array([F(1), F(1), F(1)], dtype=object), np.array([F(1), F(3), F(2)], dtype=object)
    )
    assert theta.tolist() == [F(3, 2), F(1, 2)]
    heavy = gram.least_squares(
        X, np.array([F(1), F(0), F(1)], dtype=object), np.array([F(1), F(9), F(2)], dtype=object)
    )
    assert heavy.tolist() == [F(1), F(1, 2)]


@pytest.mark.parametrize("name", ["linear-mdp", "linear-hypercube", "linear-square"])
@pytest.mark.parametrize("scaled", [False, True])
def test_it_finds_the_value_whatever_the_scale(name: str, scaled: bool) -> None:
    mdp = mk.instances.make(name, **({"S": 5, "A": 3, "d": 3} if name == "linear-mdp" else {}))
    scale = np.random.default_rng(0).uniform(0.1, 5.0, mdp.n_pairs) if scaled else None
    sol = mk.solve(mdp, WeightedLeastSquaresMDVI(scale=scale), max_steps=300)
    truth = mk.solve(mdp).V
    assert np.max(np.abs(sol.V - truth)) < 1e-8
    assert np.max(sol.certificate.upper - sol.certificate.lower) < 1e-7


def test_costs_are_minimized() -> None:
    phi = [[[1, 0], [0, 1]], [["1/2", "1/2"], [0, 1]]]
    mdp = LinearMDP(phi, [["1/2", "1/2"], [0, 1]], [1, 3], mk.Discounted("4/5"), rho=0, minimize=True)
    sol = mk.solve(mdp, WeightedLeastSquaresMDVI(), max_steps=200)
    assert np.allclose(sol.V, mk.solve(mdp).V, atol=1e-8)


@pytest.mark.parametrize("gamma", ["1/2", "9/10"])
def test_with_one_hot_features_it_is_mirror_descent_value_iteration(gamma: str) -> None:
    plain = mk.instances.make("garnet", S=4, A=3, branching=2, seed=5, gamma=gamma)
    mdp, g, kappa = LinearMDP.from_mdp(plain), float(F(gamma)), 0.3
    linear = WeightedLeastSquaresMDVI(temperature=kappa)
    tabular = MirrorDescentValueIteration(lambda_=g * kappa)
    soft = plain.under(mk.EntropyRegularized(g, (1 - g) * kappa))
    ours = islice(mk.iterates(mdp, linear), 12)
    theirs = islice(mk.iterates(soft, tabular), 1, 13)
    for state, other in zip(ours, theirs, strict=True):
        s = state.total / kappa
        totals = np.logaddexp.reduceat(s, plain.pair_ptr[:-1])[plain.state]
        assert np.allclose(s - totals, other.log_pi, atol=1e-10)
        assert np.allclose(state.V, other.V, atol=1e-10)


def test_draws_are_those_of_the_core_set() -> None:
    mdp = mk.instances.make("linear-mdp", S=30, A=5, d=3)
    states = list(
        islice(mk.iterates(mdp, WeightedLeastSquaresMDVI(backup=SampledBackup(7)), np.random.default_rng(0)), 5)
    )
    core = len(states[0].regression.core)
    assert 3 <= core <= 6
    assert [state.draws for state in states] == [7 * core * k for k in range(5)]


def test_backups_at_some_pairs_are_those_of_all() -> None:
    on = OnPolicy(canonical(mk.instances.make("riverswim", n_states=4, gamma="9/10")))
    V, pairs = np.arange(4.0), np.array([5, 1])
    assert ExactBackup()(on, V, 1, None, pairs).q.tolist() == on.q(V)[pairs].tolist()
    few = SampledBackup(3)(on, V, 1, np.random.default_rng(0), pairs)
    assert few.draws == 6
    many = SampledBackup(40_000)(on, V, 1, np.random.default_rng(0), pairs)
    assert np.allclose(many.q, on.q(V)[pairs], atol=0.02)


def test_no_error_is_larger_than_the_scale_says() -> None:
    # Drawn errors of standard deviation f at a core set of a design for f.
    mdp = mk.instances.make("linear-square", leave="1/100", gamma="99/100")
    on, rng = OnPolicy(canonical(mdp)), np.random.default_rng(1)
    f = np.array([0.1, 25.0, 25.0, 5.0, 0.1])
    regression = WeightedRegression.of(on, f)
    errors = np.array([regression.phi @ regression.fit(f[regression.core] * rng.choice([-1, 1], len(regression.core)))
                       for _ in range(2000)])  # fmt: skip
    assert np.all(np.abs(errors) <= f * np.sqrt(4 * 1.01) * (1 + 1e-9))
    plain = WeightedRegression.of(on)
    wrong = np.array([plain.phi @ plain.fit(f[plain.core] * rng.choice([-1, 1], len(plain.core))) for _ in range(200)])
    assert np.max(np.abs(wrong) / f) > 20


def test_bad_input_is_refused() -> None:
    for bad in ({"alpha": 1}, {"alpha": -1}, {"temperature": -1}, {"eps": 0}):
        with pytest.raises(OptionError):
            WeightedLeastSquaresMDVI(**bad)
    mdp = mk.instances.make("linear-square")
    with pytest.raises(ModelError, match="scale and pairs differ"):
        mk.solve(mdp, WeightedLeastSquaresMDVI(scale=[1, 2]), max_steps=1)
    with pytest.raises(ModelError, match="no positive number"):
        mk.solve(mdp, WeightedLeastSquaresMDVI(scale=[1, 2, 3, 4, 0]), max_steps=1)
    with pytest.raises(UnsupportedError, match="does not solve"):
        mk.solve(mk.instances.make("riverswim", gamma="9/10"), WeightedLeastSquaresMDVI(), max_steps=1)
    twice = LinearMDP([[[1, 1]], [[1, 1]]], [["1/2", "1/2"], [0, 0]], [1, 0], mk.Discounted("1/2"))
    with pytest.raises(ModelError, match="full rank"):
        mk.solve(twice, WeightedLeastSquaresMDVI(), max_steps=1)
