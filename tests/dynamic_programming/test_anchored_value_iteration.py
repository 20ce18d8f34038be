"""Anchored value iteration: its constants in rationals, where they are attained, and what breaks without them."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
import oracle as o
import pytest
from strategies import build, random_model

import mdpkit as mk
from mdpkit.solvers.dynamic_programming import AnchoredValueIteration, ValueIteration

F = Fraction


def rate(gamma: Fraction, k: int, signed: bool = False) -> Fraction:
    """Lee and Ryu (2023), Theorem 2 (recalled); ``signed`` is the case V_0 <= TV_0."""
    power = gamma ** (k + 1)
    return (1 / gamma - gamma) * (1 + (1 if signed else 2) * gamma - power) / (1 / power - power)


def backup(model: Any, V: list[Fraction], gamma: Fraction) -> list[Fraction]:
    return o.bounded(model, V, set(), 1, minimize=False, gamma=gamma)


def anchored(model: Any, start: list[Fraction], gamma: Fraction, n: int) -> list[list[Fraction]]:
    """The definition, with the weights summed afresh."""
    found = [start]
    for k in range(1, n):
        beta = 1 / sum(gamma ** (-2 * i) for i in range(k + 1))
        found.append([beta * a + (1 - beta) * b for a, b in zip(start, backup(model, found[-1], gamma), strict=True)])
    return found


@pytest.mark.parametrize("seed", range(40))
def test_bounds_in_rationals(seed: int) -> None:
    """Both claims on random models, from constants and from anywhere; and the floats follow the rationals."""
    rng = np.random.default_rng(seed)
    model = random_model(rng, int(rng.integers(1, 4)), 3, (-2, -1, 0, 1, 2))
    gamma = (F(1, 3), F(9, 10), F(99, 100), F(999, 1000))[seed % 4]
    best, worst = o.best_discounted(model, gamma), o.best_discounted(model, gamma, minimize=True)
    V0 = F(int(rng.integers(-20, 21)))
    anywhere = [v + F(int(rng.integers(-30, 31)), 3) for v in best]
    below = [min(min(r for r, _ in actions) for actions in model) / (1 - gamma)] * len(model)
    for start in ([V0] * len(model), anywhere, below):
        first, either = o.distance(start, best), max(o.distance(start, best), o.distance(start, worst))
        before = None
        for k, V in enumerate(anchored(model, start, gamma, 12)):
            TV = backup(model, V, gamma)
            assert o.distance(TV, V) <= rate(gamma, k) * either
            assert o.distance(V, best) <= gamma**k * (1 + gamma) / (1 + gamma ** (k + 1)) * first
            assert max(a - b for a, b in zip(TV, V, strict=True)) <= rate(gamma, k) * first
            if start == below:
                assert o.distance(TV, V) <= rate(gamma, k, signed=True) * first
                assert all(v <= w for v, w in zip(V, TV, strict=True))
                assert before is None or all(v <= w for v, w in zip(before, V, strict=True))
            before = V
    exact = anchored(model, [V0] * len(model), gamma, 12)
    states = mk.iterates(build(model, mk.Discounted(gamma)), AnchoredValueIteration(V0=float(V0)))
    for V, state in zip(exact, islice(states, 12), strict=True):
        assert state.anchored == pytest.approx([float(v) for v in V], rel=1e-12, abs=1e-12 / (1 - float(gamma)))


@pytest.mark.parametrize("K", [0, 1, 7])
def test_both_bounds_are_attained(K: int) -> None:
    """A path s_0, ..., s_{K+1} that ends in a loop, with V* = 1 but -1 at the end; and one state."""
    gamma = F(9, 10)
    star = [F(1)] * (K + 1) + [F(-1)]
    after = [*range(1, K + 2), K + 1]
    model = [[(star[s] - gamma * star[t], {t: F(1)})] for s, t in enumerate(after)]
    V = anchored(model, [F(0)] * (K + 2), gamma, K + 1)[K]
    assert o.distance(backup(model, V, gamma), V) == rate(gamma, K)
    if K:  # a bound with a smaller factor fails here
        assert rate(F(89, 100), K) < rate(gamma, K)
    states = mk.iterates(build(model, mk.Discounted(gamma)), AnchoredValueIteration())
    after_k = next(islice(states, K + 1, None))
    assert after_k.residual == pytest.approx(float(rate(gamma, K)), rel=1e-12)
    lone = anchored([[(F(1), {0: F(1)})]], [F(0)], gamma, K + 1)[K]
    assert 10 - lone[0] == 10 * gamma**K * (1 + gamma) / (1 + gamma ** (K + 1))


def test_value_iteration_breaks_the_bound() -> None:
    """Two states that swap, V* = (1, -1): the changes of value iteration shrink by gamma alone."""
    gamma = F(99, 100)
    model = [[(1 + gamma, {1: F(1)})], [(-1 - gamma, {0: F(1)})]]
    star = o.best_discounted(model, gamma)
    assert star == [1, -1]
    plain = [F(0), F(0)]
    for k, V in enumerate(anchored(model, plain, gamma, 50)):
        change = o.distance(backup(model, plain, gamma), plain)
        assert change == (1 + gamma) * gamma**k
        assert o.distance(backup(model, V, gamma), V) <= rate(gamma, k)
        assert k == 0 or change > rate(gamma, k)
        plain = backup(model, plain, gamma)
    assert change > 20 * rate(gamma, 49)


def test_the_worst_policy_is_needed_in_the_bound() -> None:
    """Stay at a loss or go where it pays: with the distance to V* alone the bound is false."""
    gamma = F(999, 1000)
    model = [[(F(1), {0: F(1)})], [(F(1), {0: F(1)}), (F(-2), {1: F(1)})]]
    assert o.best_discounted(model, gamma) == [1000, 1000]
    worst = o.best_discounted(model, gamma, minimize=True)
    assert worst == [1000, -2000]
    start = [F(980), F(1020)]
    V = anchored(model, start, gamma, 25)[24]
    error = o.distance(backup(model, V, gamma), V)
    assert error > F(9, 5) * rate(gamma, 24) * 20
    assert error <= rate(gamma, 24) * o.distance(start, worst)


def test_without_discount_of_the_future_it_is_value_iteration() -> None:
    mdp = mk.instances.make("riverswim").under(mk.Discounted(0))
    pair = zip(mk.iterates(mdp, AnchoredValueIteration(V0=7.0)), mk.iterates(mdp, ValueIteration(V0=7.0)), strict=True)
    for anchor, plain in islice(pair, 5):
        assert anchor.V.tolist() == plain.V.tolist()


def test_the_anchor_of_a_model_that_minimizes() -> None:
    mdp = mk.MDP(np.ones((1, 2, 1)), np.array([[1.0, 2.0]]), mk.Discounted(0.5), minimize=True)
    second = next(islice(mk.iterates(mdp, AnchoredValueIteration(V0=3.0)), 1, None))
    assert second.V.tolist() == [-2.5]
    assert second.weight == 1 / 5
    assert second.anchored.tolist() == [0.2 * -3.0 + 0.8 * -2.5]


def test_discount_by_pairs() -> None:
    """The bounds hold at the largest factor."""
    mdp = mk.MDP(np.ones((1, 2, 1)), np.array([[1.0, 1.5]]), mk.Discounted(np.array([["9/10", "1/2"]])))
    for k, state in enumerate(islice(mk.iterates(mdp, AnchoredValueIteration()), 1, 40)):
        assert state.residual <= float(rate(F(9, 10), k)) * 10
        assert abs(state.V[0] - 10) <= 9 * state.residual + 1e-12


def test_the_weights_are_those_of_the_largest_factor() -> None:
    mdp = mk.MDP(np.ones((1, 2, 1)), np.array([[1.0, 1.5]]), mk.Discounted(np.array([["9/10", "1/2"]])))
    for k, state in enumerate(islice(mk.iterates(mdp, AnchoredValueIteration()), 1, 20), start=1):
        assert state.weight == pytest.approx(float(1 / sum(F(9, 10) ** (-2 * i) for i in range(k + 1))), rel=1e-12)
