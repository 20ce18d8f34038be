"""Lambda policy iteration: between its two neighbors, its rate and its modulus."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import oracle as o
import pytest
from strategies import build, random_model

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.solvers.dynamic_programming import LambdaPolicyIteration, PolicyIteration, ValueIteration

F = Fraction


def q_values(model: Any, V: list[Fraction], gamma: Fraction) -> list[list[Fraction]]:
    return [[r + gamma * sum(p * V[t] for t, p in row.items()) for r, row in actions] for actions in model]


def iterates(model: Any, V: list[Fraction], gamma: Fraction, lambda_: Fraction, n: int) -> list[list[Fraction]]:
    """The definition with a linear solve, in rationals."""
    found = [V]
    for _ in range(n - 1):
        q = q_values(model, V, gamma)
        choice = [row.index(max(row)) for row in q]
        _, rows = o.chain(model, choice)
        d = [max(row) - v for row, v in zip(q, V, strict=True)]
        rise = o.solve_on(rows, list(range(len(V))), d, lambda_ * gamma)
        V = [v + rise[s] for s, v in enumerate(V)]
        found.append(V)
    return found


@pytest.mark.parametrize("seed", range(30))
def test_rate_and_modulus_in_rationals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, int(rng.integers(1, 4)), 3, (-2, -1, 0, 1, 2))
    gamma, lambda_ = (F(1, 2), F(9, 10), F(99, 100))[seed % 3], (F(0), F(1, 2), F(9, 10), F(1))[seed % 4]
    star = o.best_discounted(model, gamma)
    gaps = [max(row) - x for row in q_values(model, star, gamma) for x in row if x < max(row)]
    least = min(gaps, default=None)
    modulus = gamma * (1 - lambda_) / (1 - lambda_ * gamma)
    start = [F(int(rng.integers(-20, 21)))] * len(model)
    fall = max(F(0), *(v - max(row) for v, row in zip(start, q_values(model, start, gamma), strict=True)))
    bound = o.distance(start, star) + fall / (1 - gamma)
    found = iterates(model, start, gamma, lambda_, 8)
    for k, V in enumerate(found):
        assert o.distance(V, star) <= gamma**k * bound
        if k and (least is None or 2 * gamma * o.distance(found[k - 1], star) < least):
            assert o.distance(V, star) <= modulus * o.distance(found[k - 1], star)
    below = [min(min(r for r, _ in actions) for actions in model) / (1 - gamma)] * len(model)
    before, plain = None, below
    for V in iterates(model, below, gamma, lambda_, 8):
        assert all(p <= v <= w for p, v, w in zip(plain, V, star, strict=True))
        assert before is None or all(v <= w for v, w in zip(before, V, strict=True))
        before, plain = V, [max(row) for row in q_values(model, plain, gamma)]
    states = mk.iterates(build(model, mk.Discounted(gamma)), LambdaPolicyIteration(float(lambda_), V0=float(start[0])))
    floats = [state.swept for state in islice(states, 8)]
    # ties of floats may be broken otherwise, and lead to other policies of equal backups
    if least is None or len(model) == 1:
        for V, W in zip(found, floats, strict=True):
            assert W == pytest.approx([float(v) for v in V], rel=1e-9, abs=1e-9)
    for k, W in enumerate(floats):
        assert np.abs(W - [float(v) for v in star]).max() <= float(gamma**k * bound) + 1e-9


@pytest.mark.parametrize("lambda_", [0.0, 0.3, 0.9, 1.0])
def test_one_state_attains_the_modulus(lambda_: float) -> None:
    """V_k = (1 - alpha^k) / (1 - gamma) with alpha = gamma (1 - lambda) / (1 - lambda gamma)."""
    mdp = mk.MDP(np.ones((1, 1, 1)), np.ones((1, 1)), mk.Discounted(0.9))
    alpha = 0.9 * (1 - lambda_) / (1 - 0.9 * lambda_)
    for k, state in enumerate(islice(mk.iterates(mdp, LambdaPolicyIteration(lambda_)), 20)):
        assert state.swept[0] == pytest.approx((1 - alpha**k) * 10, rel=1e-12)


@pytest.mark.parametrize("name", ["riverswim", "forest", "howard-taxicab"])
def test_between_value_and_policy_iteration(name: str) -> None:
    mdp = mk.instances.make(name)
    scale = np.abs(mk.solve(mdp, exact=True).V).max()
    for zero, plain in islice(
        zip(mk.iterates(mdp, LambdaPolicyIteration(0.0)), mk.iterates(mdp, ValueIteration()), strict=True), 1, 20
    ):
        assert zero.V == pytest.approx(plain.V, abs=1e-12 * scale)
    # from V = 0 the first greedy policy is that of policy iteration
    one, howard = mk.iterates(mdp, LambdaPolicyIteration(1.0)), mk.iterates(mdp, PolicyIteration())
    next(one)
    for ours, theirs in islice(zip(one, howard, strict=True), 5):
        assert ours.swept == pytest.approx(theirs.V, abs=1e-10 * scale)


def test_the_series_is_cut_as_promised() -> None:
    """One action, 500 states, an error that is constant: the modulus is the documented one, not more and not less."""
    n, gamma, lambda_ = 500, 0.99, 0.9
    P = np.zeros((n, 1, n))
    P[np.arange(n), 0, (np.arange(n) + 1) % n] = 1
    mdp = mk.MDP(P, np.ones((n, 1)), mk.Discounted(gamma))
    m = int(np.ceil(np.log(0.01) / np.log(gamma * lambda_)))
    weights = np.append((1 - lambda_) * lambda_ ** np.arange(m), lambda_**m)
    assert weights.sum() == pytest.approx(1)
    modulus = weights @ gamma ** np.arange(1, m + 2)
    exact = gamma * (1 - lambda_) / (1 - lambda_ * gamma)
    assert 0 < modulus - exact <= 0.01 * lambda_ * gamma * (1 - gamma) / (1 - lambda_ * gamma)
    for k, state in enumerate(islice(mk.iterates(mdp, LambdaPolicyIteration(lambda_)), 10)):
        assert state.swept == pytest.approx(np.full(n, (1 - modulus**k) * 100), rel=1e-10)


def test_large_models_of_both_kinds() -> None:
    for mdp in (
        mk.instances.make("garnet", S=450, A=3, branching=3, exact=False),
        mk.MDP(np.random.default_rng(0).dirichlet(np.ones(420), size=(420, 2)), np.eye(420)[:, :2], mk.Discounted(0.9)),
    ):
        for solver in (LambdaPolicyIteration(), LambdaPolicyIteration(1.0), LambdaPolicyIteration(0.0)):
            sol = mk.solve(mdp, solver)
            assert sol.status is mk.Status.SOLVED
            assert sol.certificate.verify(mdp)


@pytest.mark.parametrize("start", [0.0, 50.0])
def test_discount_by_pairs(start: float) -> None:
    """A greedy policy changes when constants are added; the rate from above and below holds all the same."""
    mdp = mk.MDP(np.ones((1, 2, 1)), np.array([[1.0, 1.5]]), mk.Discounted(np.array([["9/10", "1/2"]])))
    bound = abs(start - 10) + max(0.0, start - max(1 + 0.9 * start, 1.5 + 0.5 * start)) / 0.1
    for k, state in enumerate(islice(mk.iterates(mdp, LambdaPolicyIteration(V0=start)), 30)):
        assert abs(state.swept[0] - 10) <= 0.9**k * bound + 1e-12


@pytest.mark.parametrize("lambda_", [-0.1, 1.1, float("nan"), "much"])
def test_lambda_out_of_range(lambda_: Any) -> None:
    with pytest.raises(OptionError, match="lambda_"):
        LambdaPolicyIteration(lambda_)
