"""Temporal differences against closed forms and textbook examples."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import ModelError, OptionError
from mdpkit.models.arithmetic import in_arithmetic
from mdpkit.models.canonical import canonical
from mdpkit.operators.task import Task, Transition
from mdpkit.solvers.evaluation import TemporalDifferences

F = Fraction


def walk(n: int = 5) -> mk.MDP:
    """The random walk of Sutton (1988), Figure 3: left or right from the middle; the right end pays one."""
    S = n + 2
    P = np.zeros((S, 1, S))
    P[0, 0, 0] = P[S - 1, 0, S - 1] = 1
    for s in range(1, n + 1):
        P[s, 0, s - 1] = P[s, 0, s + 1] = 0.5
    r = np.zeros((S, 1))
    r[n, 0] = 0.5  # the mean of one at the right end and zero at the left neighbor
    return mk.MDP(P, r, mk.Discounted(0.999999), rho=(n + 1) // 2)


def test_random_walk() -> None:
    # Sutton (1988), Section 3.2: without a discount the values are 1/6, 2/6, … 5/6.
    found = mk.estimate(walk(), np.zeros(7, dtype=int), TemporalDifferences(expected=True), steps=0, weights=np.ones(7))
    assert np.allclose(found.exact[1:-1], np.arange(1, 6) / 6, atol=1e-4)
    assert found.fixed_point is not None
    assert np.allclose(found.fixed_point, found.exact, atol=1e-9)


def test_one_step_by_hand() -> None:
    # From zero, the state left moves by eta times its reward, and no other.
    mdp = mk.MDP(np.full((2, 1, 2), 0.5), np.array([[3.0], [1.0]]), mk.Discounted(0.5), rho=0)
    found = mk.estimate(mdp, [0, 0], TemporalDifferences(eta=0.1), steps=1, rng=np.random.default_rng(0))
    assert found.value.tolist() == pytest.approx([0.3, 0.0])
    assert found.draws == 1


def test_traces_of_states_and_pairs_by_hand() -> None:
    # Two transitions off policy: of states rho_t multiplies all of the trace, of pairs only its decay.
    P = np.full((2, 2, 2), F(1, 2), dtype=object)
    r = np.array([[F(1), F(2)], [F(3), F(4)]], dtype=object)
    problem = in_arithmetic(canonical(mk.MDP(P, r, mk.Discounted(F(1, 2)), rho=0)), "rational")
    pi, mu = [[F(1, 3), F(2, 3)]] * 2, [[F(1, 2), F(1, 2)]] * 2
    td = TemporalDifferences(eta=F(1), lambda_=F(1, 2))
    first, second = Transition(0, 0, 1), Transition(1, 3, 0)  # ratios 2/3 and 4/3
    for features, one, two in (
        ("states", [F(2, 3), F(0)], [F(2, 3) + (4 + F(1, 3)) * F(4, 3) * F(1, 4) * F(2, 3), (4 + F(1, 3)) * F(4, 3)]),
        ("pairs", [F(1), 0, 0, 0], [1 + (4 + F(1, 6)) * F(1, 4) * F(4, 3), 0, 0, 4 + F(1, 6)]),
    ):
        task = Task(problem, np.array(pi), np.array(mu), features)
        state = td.init(task, np.random.default_rng(0))
        state = state._replace(walk=td.walk_from(task, 0))
        state = td.update(task, state, first)
        assert list(state.w) == one
        assert list(td.update(task, state, second).w) == two


def test_closed_form_of_expected_updates() -> None:
    # One state: w_k = (1 - (1 - eta (1 - gamma))^k) r / (1 - gamma).
    mdp = mk.MDP(np.ones((1, 1, 1)), np.array([[2.0]]), mk.Discounted(0.75))
    found = mk.estimate(mdp, [0], TemporalDifferences(eta=0.5, expected=True), steps=9)
    assert found.value[0] == pytest.approx((1 - (1 - 0.5 * 0.25) ** 9) * 8, rel=1e-13)


def test_sharp_bound_is_five_fourths() -> None:
    # Derived: states that follow each other, features 3 and 1, discount 3/5: the error is 5/4 of the least possible one.
    mdp = mk.MDP([[[0, 1]], [[1, 0]]], [[1.0], [0.0]], mk.Discounted(0.6), rho=0)
    found = mk.estimate(mdp, [0, 0], TemporalDifferences(expected=True), features=[[3], [1]], steps=0)
    assert found.fixed_point is not None
    least = np.linalg.norm(found.exact - np.array([3, 1]) * (found.exact @ [3, 1]) / 10)
    assert np.linalg.norm(found.fixed_point - found.exact) == pytest.approx(1.25 * least, rel=1e-12)


def test_baird_star_diverges() -> None:
    star = mk.instances.make("baird-star")
    behavior = [[6 / 7, 1 / 7]] * 7
    phi = np.zeros((7, 8))
    phi[range(6), range(6)], phi[:6, 7], phi[6, 6], phi[6, 7] = 2, 1, 1, 2
    td = TemporalDifferences(eta=0.01, expected=True, start=(1, 1, 1, 1, 1, 1, 10, 1))
    found = mk.estimate(star, [1] * 7, td, behavior=behavior, features=phi, steps=1000)
    # Independent: the matrix by its definition, uniform weights.
    P = np.zeros((7, 7))
    P[:, 6] = 1
    A = phi.T @ (phi - 0.99 * P @ phi) / 7
    w = np.array(td.start, dtype=float)
    for _ in range(1000):
        w = w - 0.01 * A @ w
    assert found.error == pytest.approx(np.max(np.abs(phi @ w)), rel=1e-9)
    assert found.error > 100
    assert found.fixed_point_error == pytest.approx(0, abs=1e-12)  # two features too many leave the value as it is


def test_drawn_estimates_come_near() -> None:
    mdp = mk.instances.make("random-dense", S=3, A=2, gamma="4/5", seed=1)
    pi = np.full((3, 2), 0.5)
    td = TemporalDifferences(lambda_=0.5, eta=0.3, decay=0.003)
    for features, behavior in (("states", None), ("pairs", [[0.3, 0.7]] * 3), ("states", [[0.3, 0.7]] * 3)):
        found = mk.estimate(
            mdp, pi, td, features=features, behavior=behavior, steps=20_000, rng=np.random.default_rng(5)
        )
        assert found.error < 0.1 * np.abs(found.exact).max()
        assert found.weighted_errors[-1] <= found.error


def test_draws_are_those_of_the_generator() -> None:
    # Independent: the same uniform numbers, inverted by hand: one for the start, then two a step.
    mdp = mk.instances.make("random-dense", S=3, A=2, gamma="4/5", seed=1).under(rho=[0.2, 0.5, 0.3])
    pi, mu = np.array([[0.5, 0.5], [0.9, 0.1], [0.3, 0.7]]), np.array([[0.4, 0.6], [0.5, 0.5], [0.7, 0.3]])
    td = TemporalDifferences(lambda_=0.7, eta=0.2, decay=0.1)
    found = mk.estimate(mdp, pi, td, behavior=mu, steps=60, rng=np.random.default_rng(4), marks=range(61))
    rng, P, r = np.random.default_rng(4), mdp.P.toarray().reshape(3, 2, 3), mdp.r.reshape(3, 2)
    s, w, e, rho = int(np.searchsorted([0.2, 0.7, 1.0], rng.random(), side="right")), np.zeros(3), np.zeros(3), 1.0
    for k in range(60):
        u = rng.random(2)
        a = int(u[0] >= mu[s, 0])
        t = int(np.searchsorted(np.cumsum(P[s, a]), u[1], side="right"))
        rho = pi[s, a] / mu[s, a]
        e = rho * (0.8 * 0.7 * e + np.eye(3)[s])
        w = w + 0.2 / (1 + 0.1 * k) * (r[s, a] + 0.8 * w[t] - w[s]) * e
        assert found.values[k + 1] == pytest.approx(w, rel=1e-12)
        s = t


def test_options_are_checked() -> None:
    with pytest.raises(OptionError, match="eta is not positive"):
        TemporalDifferences(eta=0)
    with pytest.raises(OptionError, match="lambda_ is above one"):
        TemporalDifferences(lambda_=2)
    with pytest.raises(OptionError, match="lambda_ is negative"):
        TemporalDifferences(lambda_=-0.1)
    with pytest.raises(OptionError, match="decay is negative"):
        TemporalDifferences(decay=-1)
    with pytest.raises(OptionError, match="expected is neither"):
        TemporalDifferences(expected="yes")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="start is no vector"):
        TemporalDifferences(start="ones")
    with pytest.raises(ModelError, match="start and features differ"):
        mk.estimate(walk(), [0] * 7, TemporalDifferences(start=(1, 2)), steps=1, rng=np.random.default_rng(0))
    with pytest.raises(OptionError, match="needed: rng"):
        mk.estimate(walk(), [0] * 7, TemporalDifferences(), steps=1)
