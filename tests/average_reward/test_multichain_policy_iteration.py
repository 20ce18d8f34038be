"""Howard's multichain policy iteration: published numbers, all policies by brute force, many recurrent classes."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import oracle as o
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import build, models

import mdpkit as mk
from mdpkit.kernels.gain import evaluate_average, improved_average
from mdpkit.models.canonical import canonical
from mdpkit.operators.bellman import Sweeper
from mdpkit.solvers.average_reward import GainBiasLinearProgramming, MultichainPolicyIteration, RelativeValueIteration

F = Fraction
AVERAGE = mk.AverageReward()


def islands(rng: np.random.Generator, classes: int, size: int, transient: int) -> list:
    """Closed classes of ``size`` states with two actions each, and transient states that choose between them."""
    model = []
    for c in range(classes):
        here = np.arange(c * size, (c + 1) * size)
        for _ in here:
            actions = []
            for _ in range(2):
                weights = rng.integers(1, 6, size=size)
                total = int(weights.sum())
                row = {int(t): F(int(w), total) for t, w in zip(here, weights, strict=True)}
                actions.append((F(int(rng.integers(-9, 10))), row))
            model.append(actions)
    S = classes * size + transient
    for _ in range(transient):
        actions = []
        for _ in range(3):
            targets = rng.choice(S, size=4, replace=False)
            targets[0] = rng.integers(classes * size)  # out for good with probability at least one half
            law = {}
            for t, w in zip(targets, (F(1, 2), F(1, 4), F(1, 8), F(1, 8)), strict=True):
                law[int(t)] = law.get(int(t), F(0)) + w
            actions.append((F(int(rng.integers(-9, 10))), law))
        model.append(actions)
    return model


def enclosed(sol: mk.Solution, gain: list) -> bool:
    c = sol.certificate
    return all(low <= g <= high for low, g, high in zip(c.lower, gain, c.upper, strict=True))


def test_howards_toymaker() -> None:
    # Howard (1960), chapter 4: gain 2, relative values (10, 0), both second actions.
    mdp = mk.instances.make("howard-toymaker").under(AVERAGE)
    sol = mk.solve(mdp, MultichainPolicyIteration(), exact=True)
    assert sol.exact.tolist() == [2, 2]
    assert sol.relative_value(1).tolist() == [10, 0]
    assert sol.exact_bias.tolist() == [F(20, 9), F(-70, 9)]
    assert sol.pi.actions.tolist() == [1, 1]
    assert sol.gain.tolist() == [2.0, 2.0]
    assert sol.certificate.verify(mdp, exact=True)


def test_howards_taxicab() -> None:
    # Howard (1960), chapter 5: gain 13.34; in rationals 1588/119.
    sol = mk.solve(mk.instances.make("howard-taxicab").under(AVERAGE), MultichainPolicyIteration(), exact=True)
    assert sol.exact.tolist() == [F(1588, 119)] * 3
    assert sol.relative_value(2).tolist() == [F(-20, 17), F(1506, 119), 0]
    assert sol.pi.actions.tolist() == [1, 1, 1]


def test_action_values_of_the_toymaker() -> None:
    # r - g + Ph from the relative values (10, 0), shifted by 2.5 * 8/9: the bias is (20/9, -70/9).
    sol = mk.solve(mk.instances.make("howard-toymaker").under(AVERAGE))
    shift = -70 / 9
    expected = np.array([[6 - 2 + 5, 4 - 2 + 8], [-3 - 2 + 4, -5 - 2 + 7]]) + shift
    assert np.allclose(sol.Q, expected, rtol=0, atol=1e-13)
    assert sol.Q.max(axis=1) == pytest.approx(sol.bias)


@settings(max_examples=150, deadline=None)
@given(models(S=4, A=3))
def test_all_policies_by_brute_force(model: list) -> None:
    gain = o.best_gain(model)
    mdp = build(model, AVERAGE)
    sol = mk.solve(mdp, MultichainPolicyIteration(), exact=True)
    assert sol.exact.tolist() == gain
    own, bias = o.poisson(model, sol.certificate.choice - mdp.pair_ptr[:-1])
    assert own == gain
    assert sol.exact_bias.tolist() == bias
    assert sol.certificate.verify(mdp, exact=True)
    floats = mk.solve(build(model, AVERAGE, exact=False), MultichainPolicyIteration())
    assert floats.status is not mk.Status.STEPS
    assert enclosed(floats, gain)
    assert floats.certificate.gap <= 1e-12


@settings(max_examples=40, deadline=None)
@given(models(S=4, A=2))
def test_costs(model: list) -> None:
    cost = [[(-r, row) for r, row in actions] for actions in model]
    least = [-g for g in o.best_gain(model)]
    sol = mk.solve(build(cost, AVERAGE, minimize=True), exact=True)
    assert sol.exact.tolist() == least


@pytest.mark.parametrize("classes", [1, 2, 7, 15])
def test_many_recurrent_classes_agree_with_the_program_and_exactly(classes: int) -> None:
    rng = np.random.default_rng(classes)
    model = islands(rng, classes, size=4, transient=12)
    exact = mk.solve(build(model, AVERAGE), MultichainPolicyIteration(), exact=True)
    # Inside a class and over the mixture of classes, independently: brute force in each, then policies by value iteration.
    inner = [max_gain(model[4 * c : 4 * (c + 1)], 4 * c) for c in range(classes)]
    assert exact.exact[: 4 * classes].tolist() == [g for g in inner for _ in range(4)]
    assert len(set(inner)) > 1 or classes == 1
    mixed = np.array([float(g) for g in exact.exact])
    rows = np.array(
        [
            [[float(row.get(t, 0)) for t in range(len(model))] for _, row in model[s]]
            for s in range(4 * classes, len(model))
        ]
    )
    value = np.concatenate((mixed[: 4 * classes], np.full(12, min(inner, key=float))))
    for _ in range(400):
        value[4 * classes :] = np.max(rows @ value, axis=1)
    assert np.allclose(value, mixed, rtol=0, atol=1e-12)
    for solver in (
        GainBiasLinearProgramming(),
        GainBiasLinearProgramming("dual"),
        MultichainPolicyIteration(),
        RelativeValueIteration(),
    ):
        sol = mk.solve(build(model, AVERAGE, exact=False), solver)
        assert sol.status.ok, solver
        assert enclosed(sol, exact.exact)
    assert mk.classify(build(model, AVERAGE)).n == classes


def max_gain(part: list, first: int) -> Fraction:
    """Best gain of a closed class by brute force; it is the same in each of its states."""
    local = [[(r, {t - first: p for t, p in row.items()}) for r, row in actions] for actions in part]
    gains = o.best_gain(local)
    assert len(set(gains)) == 1
    return gains[0]


def test_gains_never_fall() -> None:
    # from a poor policy, not from the one that the solver's sweeps find
    p = canonical(build(islands(np.random.default_rng(5), 4, 4, 12), AVERAGE))
    choice, seen = p.pair_ptr[:-1], []
    while True:
        gain, bias = evaluate_average(p.P, p.r_exact, choice)
        seen.append((gain, bias))
        better = improved_average(p.P, p.r_exact, p.pair_ptr, gain, bias, choice)
        if np.array_equal(better, choice):
            break
        choice = better
    assert len(seen) >= 3
    for (gain, bias), (next_gain, next_bias) in pairwise(seen):
        assert np.all(next_gain >= gain)
        same = np.all(next_gain == gain)
        assert not same or (np.all(next_bias >= bias) and np.any(next_bias > bias))


def test_a_cycle_needs_no_aperiodicity() -> None:
    # 0 -> 1 -> 0 with rewards 1 and 0, or stay in 0 for 2/5: the cycle's average is 1/2.
    mdp = mk.MDP([[[0, 1], [1, 0]], [[1, 0], [1, 0]]], [["1", "2/5"], ["0", "0"]], AVERAGE)
    sol = mk.solve(mdp, MultichainPolicyIteration(), exact=True)
    assert sol.exact.tolist() == [F(1, 2)] * 2
    assert sol.exact_bias.tolist() == [F(1, 4), F(-1, 4)]


def test_one_state() -> None:
    sol = mk.solve(mk.MDP([[[1], [1]]], [["1/3", "1/4"]], AVERAGE, rho=0), exact=True)
    assert (sol.exact_value, sol.exact_bias.tolist()) == (F(1, 3), [0])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_rewards_far_from_one(seed: int) -> None:
    model = islands(np.random.default_rng(seed), 2, 3, 2)
    for factor in (F(10) ** 9, F(1, 10**9)):
        scaled = [[(r * factor + 7 * factor, row) for r, row in actions] for actions in model]
        sol = mk.solve(build(scaled, AVERAGE, exact=False), MultichainPolicyIteration())
        gain = mk.solve(build(scaled, AVERAGE), exact=True).exact
        assert sol.status.ok
        assert enclosed(sol, gain)


def test_the_first_sweeps_end_where_greedy_policies_never_settle(monkeypatch: pytest.MonkeyPatch) -> None:
    # the greedy policies of this grid keep changing with the time to go, whose sweeps cost nothing but their number
    count = 0
    backup = Sweeper.backup

    def counted(self: Sweeper, V: np.ndarray) -> tuple:
        nonlocal count
        count += 1
        return backup(self, V)

    monkeypatch.setattr(Sweeper, "backup", counted)
    sol = mk.solve(mk.instances.make("gridworld-3-8").under(AVERAGE), MultichainPolicyIteration())
    assert sol.status.ok
    assert count < 10_000
