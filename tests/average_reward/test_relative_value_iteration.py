"""Relative value iteration: bounds at every step, the need for aperiodicity, several classes."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice, pairwise

import numpy as np
import oracle as o
import pytest
from hypothesis import given, settings
from strategies import build, models

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.solvers.average_reward import RelativeValueIteration

F = Fraction
AVERAGE = mk.AverageReward()


def cycle() -> mk.MDP:
    """0 -> 1 -> 0 with rewards 1 and 0: gain 1/2, period 2."""
    return mk.MDP([[[0, 1]], [[1, 0]]], [["1"], ["0"]], AVERAGE)


@settings(max_examples=60, deadline=None)
@given(models(S=4, A=3))
def test_every_model(model: list) -> None:
    gain = o.best_gain(model)
    sol = mk.solve(build(model, AVERAGE, exact=False), RelativeValueIteration(), until=mk.Gap(abs=1e-7, rel=0))
    low, high = sol.certificate.lower, sol.certificate.upper
    assert sol.status.ok
    assert all(a <= g <= b for a, g, b in zip(low, gain, high, strict=True))
    assert sol.certificate.gap <= 1e-7
    own, _ = o.poisson(model, sol.certificate.choice - sol.problem.pair_ptr[:-1])
    assert all(g >= a for g, a in zip(own, low, strict=True))


def test_the_bounds_enclose_the_gain_at_each_step_and_close() -> None:
    mdp = mk.instances.make("riverswim").under(AVERAGE)
    gain = F(7203, 16805)  # in rationals, from the stationary law of swimming right
    widths = []
    for state in islice(mk.iterates(mdp, RelativeValueIteration()), 1, 200):
        assert state.low[0] <= gain + F(1, 10**14)
        assert gain - F(1, 10**14) <= state.high[0]
        widths.append(state.gap)
    assert widths[-1] < 1e-12
    assert all(b <= a * (1 + 1e-12) + 1e-15 for a, b in pairwise(widths))  # the span never grows


def test_a_periodic_chain_needs_the_transform() -> None:
    still = mk.solve(cycle(), RelativeValueIteration(tau=1.0), max_steps=500)
    assert still.status is mk.Status.STEPS
    assert still.certificate.gap == pytest.approx(1.0)  # 0 <= g <= 1, for ever
    moved = mk.solve(cycle(), RelativeValueIteration(tau=0.5))
    assert moved.status.ok
    assert moved.certificate.lower[0] <= 0.5 <= moved.certificate.upper[0]
    # h_{k+1} = h_k + rise/2 solves a cycle of two states in one step
    assert moved.steps <= 3


def test_the_transform_changes_no_answer() -> None:
    mdp = mk.instances.make("howard-taxicab").under(AVERAGE)
    for tau in (0.1, 0.5, 0.9, 1.0):
        sol = mk.solve(mdp, RelativeValueIteration(tau=tau))
        assert sol.certificate.lower[0] <= F(1588, 119) <= sol.certificate.upper[0]
        assert np.allclose(sol.relative_value(2), [-20 / 17, 1506 / 119, 0], rtol=0, atol=1e-12)


def test_states_outside_all_classes_get_the_best_mixture() -> None:
    # 0 goes to 1 (gain 3) or to 2 (gain -1) evenly, or surely to 3 (gain 1/2).
    P = [
        [[0, "1/2", "1/2", 0], [0, 0, 0, 1]],
        [[0, 1, 0, 0], [0, 1, 0, 0]],
        [[0, 0, 1, 0], [0, 0, 1, 0]],
        [[0, 0, 0, 1], [0, 0, 0, 1]],
    ]
    r = [[100, 100], [3, 2], [-1, -2], ["1/2", 0]]
    sol = mk.solve(mk.MDP(P, r, AVERAGE), RelativeValueIteration())
    assert np.allclose(sol.gain, [1, 3, -1, 0.5], rtol=0, atol=1e-9)
    assert sol.pi.actions.tolist() == [0, 0, 0, 0]
    assert str(sol.classes) == "multichain: 3 classes (3 closed) of 1, 1, 1 states, 1 state in none"


@pytest.mark.parametrize("tau", [0, -0.5, 1.5, float("nan"), "half"])
def test_tau_out_of_range(tau: object) -> None:
    with pytest.raises(OptionError, match="tau"):
        RelativeValueIteration(tau=tau)  # type: ignore[arg-type]
