"""Emphatic temporal differences against the book's two states and an independent computation."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.models.arithmetic import in_arithmetic
from mdpkit.models.canonical import canonical
from mdpkit.operators.projected import emphasis, moments
from mdpkit.operators.task import Task, Transition
from mdpkit.solvers.evaluation import EmphaticTemporalDifferences, TemporalDifferences

F = Fraction


def two_states() -> tuple[mk.MDP, list[list[Fraction]], list[list[Fraction]]]:
    """Left or right between two states with features 1 and 2; behavior even, target always right (sutton2016, Section 3)."""
    P = [[[F(1), F(0)], [F(0), F(1)]]] * 2
    mdp = mk.MDP(P, [[F(0), F(0)], [F(0), F(0)]], mk.Discounted(F(9, 10)), rho=0)
    return mdp, [[F(0), F(1)]] * 2, [[F(1, 2), F(1, 2)]] * 2


def test_the_two_states_of_the_paper() -> None:
    # Section 3 and 5, recalled: A = -0.2 without emphasis; with it f = (0.5, 9.5) and A = 3.4.
    mdp, pi, mu = two_states()
    task = Task(in_arithmetic(canonical(mdp), "rational"), np.array(pi), np.array(mu), [[1], [2]])
    assert moments(task, 0).A[0, 0] == F(-1, 5)
    assert list(emphasis(task, 0)) == [F(1, 2), F(19, 2)]
    assert moments(task, 0, emphatic=True).A[0, 0] == F(17, 5)


def test_one_diverges_and_the_other_does_not() -> None:
    _, pi, _ = two_states()
    mdp = mk.MDP([[[1, 0], [0, 1]]] * 2, [[1.0, 0.0], [0.0, 2.0]], mk.Discounted(0.9), rho=0)
    options = {"behavior": [[0.5, 0.5]] * 2, "features": [[1], [2]], "steps": 400}
    plain = mk.estimate(mdp, pi, TemporalDifferences(eta=0.1, expected=True), **options)
    emphatic = mk.estimate(mdp, pi, EmphaticTemporalDifferences(eta=0.1, expected=True), **options)
    assert plain.error > 1000
    assert emphatic.fixed_point is not None
    assert np.allclose(emphatic.value, emphatic.fixed_point, rtol=1e-12)


def test_follow_on_trace_by_hand() -> None:
    mdp, pi, mu = two_states()
    task = Task(in_arithmetic(canonical(mdp), "rational"), np.array(pi), np.array(mu), [[1], [2]])
    etd = EmphaticTemporalDifferences(lambda_=F(1, 2), eta=F(1))
    walk = etd.walk_from(task, 0)
    walk = etd.extended(task, walk, Transition(0, 1, 1))  # ratio 2
    assert (walk.follow, list(walk.e), walk.ratio) == (1, [1], 2)
    walk = etd.extended(task, walk, Transition(1, 3, 1))
    # F = 1 + 0.9 * 2 = 2.8, M = 1/2 + 1.4 = 1.9, e = 0.45 * 2 + 1.9 * 2, then times rho = 2.
    assert walk.follow == F(14, 5)
    assert list(etd.eligibility(task, walk)) == [2 * (F(9, 10) + F(19, 5))]


def test_on_policy_emphasis_is_proportional_to_the_weights() -> None:
    # On policy d P = d, so m = d (1 - gamma lambda) / (1 - gamma): the fixed points agree.
    mdp = mk.instances.make("random-dense", S=4, A=2, gamma="9/10", seed=3)
    phi = np.arange(8.0).reshape(4, 2) ** 2
    pi = np.full((4, 2), 0.5)
    task = Task(canonical(mdp), pi, features=phi)
    assert np.allclose(emphasis(task, 0.3), task.weights * (1 - 0.27) / 0.1)
    a, b = (
        kind(lambda_=0.3, expected=True).fixed_point(task)
        for kind in (TemporalDifferences, EmphaticTemporalDifferences)
    )
    assert a == pytest.approx(b, rel=1e-9)


def test_drawn_estimates_come_near() -> None:
    mdp = mk.instances.make("random-dense", S=3, A=2, gamma="1/2", seed=1)
    etd = EmphaticTemporalDifferences(eta=0.1, decay=0.003)
    found = mk.estimate(
        mdp, np.full((3, 2), 0.5), etd, behavior=[[0.4, 0.6]] * 3, steps=20_000, rng=np.random.default_rng(0)
    )
    assert found.error < 0.1 * np.abs(found.exact).max()
