"""Least-squares temporal differences against estimated models and regressions."""

from __future__ import annotations

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.models.canonical import canonical
from mdpkit.operators.task import Task
from mdpkit.solvers.evaluation import LeastSquaresTemporalDifferences, TemporalDifferences


def model() -> mk.MDP:
    return mk.instances.make("random-dense", S=3, A=2, gamma="4/5", seed=1)


def test_tabular_answer_is_the_value_of_the_estimated_chain() -> None:
    # Certainty equivalence: with one feature a state, LSTD(0) solves the chain with the frequencies that were seen.
    mdp, pi = model(), np.full((3, 2), 0.5)
    task = Task(canonical(mdp), pi)
    lstd, rng = LeastSquaresTemporalDifferences(ridge=1e-12), np.random.default_rng(0)
    state, counts, paid = lstd.init(task, rng), np.zeros((3, 3)), np.zeros(3)
    for _ in range(500):
        seen = task.draw(state.walk.at, rng)
        state = lstd.update(task, state, seen)
        counts[seen.state, seen.next_state] += 1
        paid[seen.state] += mdp.r[seen.pair]
    n = counts.sum(axis=1)
    value = np.linalg.solve(np.eye(3) - 0.8 * counts / n[:, None], paid / n)
    assert lstd.answer(task, state) == pytest.approx(value, rel=1e-9)


def test_exact_moments_give_the_fixed_point() -> None:
    mdp, pi = model(), np.full((3, 2), 0.5)
    phi = [[1, 0], [1, 1], [1, 4]]
    for lam in (0, 0.5, 1):
        found = mk.estimate(mdp, pi, LeastSquaresTemporalDifferences(lambda_=lam, expected=True), features=phi, steps=0)
        other = TemporalDifferences(lambda_=lam).fixed_point(Task(canonical(mdp), pi, features=phi))
        assert found.value == pytest.approx(other, rel=1e-10)


def test_drawn_estimates_come_nearer_than_those_of_steps() -> None:
    mdp, pi = model(), np.full((3, 2), 0.5)
    least, steps = (
        mk.estimate(mdp, pi, kind, steps=5000, rng=np.random.default_rng(7))
        for kind in (LeastSquaresTemporalDifferences(), TemporalDifferences(eta=0.1))
    )
    assert least.error < 0.05 * least.exact.max()
    assert least.error < steps.error


def test_ridge_is_positive() -> None:
    with pytest.raises(OptionError, match="ridge is not positive"):
        LeastSquaresTemporalDifferences(ridge=0)
