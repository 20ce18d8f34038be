"""Multistep operators in floats and in rationals, and the moments that a task keeps."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.models.arithmetic import in_arithmetic
from mdpkit.models.canonical import canonical
from mdpkit.operators import trace_rules as rules
from mdpkit.operators.multistep import Multistep
from mdpkit.operators.projected import moments, projected_value
from mdpkit.operators.task import Task
from mdpkit.solvers.evaluation import EmphaticTemporalDifferences, TemporalDifferences

F = Fraction


def task(kind: str, near: bool = True) -> Task:
    """Ratios that are near to each other and to one: histories differ in the third digit of their weights."""
    mdp = mk.instances.make("random-dense", S=2, A=3, gamma="9/10", seed=4)
    pi = [F(333, 1000), F(334, 1000), F(333, 1000)] * 2 if near else [F(1, 2), F(1, 3), F(1, 6)] * 2
    return Task(in_arithmetic(canonical(mdp), kind), pi, [F(1, 3)] * 6)


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize(
    "rule",
    [
        rules.RecencyBounded(F(99, 100)),
        rules.RecursiveRetrace(F(9, 10)),
        rules.TruncatedImportanceSampling(F(1)),
        rules.BinaryTrace(F(1, 2), (0, 3)),
        rules.ClippedTrace(F(1, 2), F(1001, 1000)),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_histories_are_put_together_in_floats_only_where_they_are_one(rule: rules.TraceRule, near: bool) -> None:
    floats, exact = (Multistep(task(kind, near), rule, 5).eligibility for kind in ("float", "rational"))
    assert floats == pytest.approx(exact.astype(float), rel=1e-11, abs=1e-14)


def test_a_task_keeps_the_moments_of_each_rate_apart() -> None:
    one = task("rational")
    found = {key: moments(one, key[0], emphatic=key[1]) for key in ((F(0), False), (F(1, 2), False), (F(1, 2), True))}
    for (lambda_, emphatic), kept in found.items():
        fresh = moments(task("rational"), lambda_, emphatic=emphatic)
        assert (kept.A == fresh.A).all() and (kept.b == fresh.b).all()
        assert moments(one, lambda_, emphatic=emphatic) is kept
    assert len({str(kept.A.tolist()) for kept in found.values()}) == 3
    # Emphasis weighs updates; the covariance of features is that of the states as they are visited.
    covariance = one.phi.T @ (one.weights[:, None] * one.phi)
    assert all((kept.C == covariance).all() for kept in found.values())


def test_estimators_of_one_task_do_not_disturb_each_other() -> None:
    one = task("float", near=False)
    methods = [
        kind(lambda_=x, expected=True) for kind in (TemporalDifferences, EmphaticTemporalDifferences) for x in (0, 0.9)
    ]
    together = [method.step(one, method.init(one)).w for method in methods]
    apart = [
        method.step(other, method.init(other)).w for method, other in ((m, task("float", near=False)) for m in methods)
    ]
    assert all(np.array_equal(x, y) for x, y in zip(together, apart, strict=True))


@pytest.mark.parametrize("kind", ["float", "rational"])
def test_features_that_others_span_leave_the_projected_value(kind: str) -> None:
    few, many = [[1], [3]], [[2, 0, 1], [6, 0, 3]]
    problem = in_arithmetic(canonical(mk.instances.make("random-dense", S=2, A=3, gamma="9/10", seed=4)), kind)
    first, second = (projected_value(Task(problem, [F(1, 3)] * 6, features=phi), F(1, 2)) for phi in (few, many))
    assert first is not None and second is not None
    assert (first == second).all() if kind == "rational" else first == pytest.approx(second, rel=1e-12)
