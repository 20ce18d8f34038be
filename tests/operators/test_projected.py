"""The projected Bellman equation against its definition."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.models.arithmetic import in_arithmetic
from mdpkit.models.canonical import canonical
from mdpkit.operators.projected import independent, moments, projected_value
from mdpkit.operators.task import Task

F = Fraction


def task(features, kind="float", **options) -> Task:
    mdp = mk.instances.make("random-dense", S=4, A=2, gamma="9/10", seed=3)
    half = [[F(1, 2), F(1, 2)]] * 4
    problem = in_arithmetic(canonical(mdp), kind)
    return Task(problem, half, [[F(1, 4), F(3, 4)]] * 4, features, **options)


@pytest.mark.parametrize("features", ["states", "pairs", [[1, 0], [1, 1], [1, 2], [1, 5]]])
def test_one_formula_in_all_numbers(features) -> None:
    floats, rationals, balls = (moments(task(features, kind), F(1, 3)) for kind in ("float", "rational", "ball"))
    for x, y, z in zip(floats, rationals, balls, strict=True):
        assert x == pytest.approx(y.astype(float), rel=1e-11, abs=1e-14)
        assert np.all(
            [b.contains(a.numerator) if a.denominator == 1 else True for a, b in zip(y.flat, z.flat, strict=True)]
        )
        assert x == pytest.approx(np.array([float(b.mid()) for b in z.flat]).reshape(x.shape), rel=1e-11, abs=1e-14)


def test_traces_as_a_series() -> None:
    t = task("states")
    total, power = np.zeros((4, 4)), np.eye(4)
    for n in range(400):
        total += (0.9 * 0.5) ** n * power
        power = power @ t.P
    A = np.diag(t.weights) @ total @ (np.eye(4) - 0.9 * t.P)
    assert moments(t, 0.5).A == pytest.approx(A, rel=1e-12, abs=1e-14)


def test_features_that_others_span_change_nothing() -> None:
    few, many = [[1, 0], [1, 1], [1, 2], [1, 5]], [[1, 0, 2, 1], [1, 1, 2, 0], [1, 2, 2, -1], [1, 5, 2, -4]]
    assert independent(np.array(many, dtype=float)).tolist() == [0, 1]
    assert projected_value(task(few), 0) == pytest.approx(projected_value(task(many), 0), rel=1e-12)


def test_no_value_where_the_equation_has_none() -> None:
    # Features 1 and 2 with weights one half each at the discount 5/6 and no end: A is zero.
    chain = mk.MDP([[[F(0), F(1)]], [[F(0), F(1)]]], [[F(1)], [F(0)]], mk.Discounted(F(5, 6)), rho=0)
    stuck = Task(in_arithmetic(canonical(chain), "rational"), [0, 0], features=[[1], [2]], weights=[F(1, 2), F(1, 2)])
    assert moments(stuck, 0).A[0, 0] == 0
    assert projected_value(stuck, 0) is None


def test_weights_of_balls_are_the_stationary_law() -> None:
    t = task("states", "ball")
    assert [float(x.mid()) for x in t.weights] == pytest.approx(task("states").weights.tolist(), rel=1e-13)
