"""Vanishing discount: the threshold of Blackwell's theorem, and the best bias among policies of one gain."""

from __future__ import annotations

from fractions import Fraction

import oracle as o
import pytest
from hypothesis import given, settings
from strategies import build, models

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.solvers.average_reward import VanishingDiscount

F = Fraction
AVERAGE = mk.AverageReward()


def wait_or_take(prize: int) -> mk.MDP:
    """State 0 pays ``prize`` once and ends in 1 for ever, or walks to 2, which pays 1 for ever.

    The prize is better for gamma < prize / (prize + 1): prize against gamma / (1 - gamma).
    """
    P = [[[0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 1]]]
    return mk.MDP(P, [[prize, 0], [0, 0], [1, 1]], AVERAGE)


@pytest.mark.parametrize("prize", [1, 10, 1000, 10**6])
def test_the_threshold(prize: int) -> None:
    mdp = wait_or_take(prize)
    short = mdp.under(mk.Discounted(F(prize, prize + 1) - F(1, 100 * (prize + 1) ** 2)))
    long = mdp.under(mk.Discounted(F(prize, prize + 1) + F(1, 100 * (prize + 1) ** 2)))
    assert mk.solve(short, exact=True).pi.actions[0] == 0
    assert mk.solve(long, exact=True).pi.actions[0] == 1
    sol = mk.solve(mdp, VanishingDiscount())
    assert sol.status.ok
    assert sol.gain.tolist() == pytest.approx([1, 0, 1])
    # the k-th discount, 1 - 4**-k / 2, is the first beyond the threshold
    assert sol.steps == next(k for k in range(40) if F(1, 2) / 4**k < F(1, prize + 1)) + 1


@settings(max_examples=60, deadline=None)
@given(models(S=4, A=3))
def test_the_largest_gain_and_then_the_largest_bias(model: list) -> None:
    sol = mk.solve(build(model, AVERAGE, exact=False), VanishingDiscount(gamma0=0.9999, factor=0.01))
    gain = o.best_gain(model)
    pairs = [o.poisson(model, policy) for policy in o.policies(model)]
    best = [max(h[s] for g, h in pairs if g == gain) for s in range(len(model))]
    own, bias = o.poisson(model, sol.certificate.choice - sol.problem.pair_ptr[:-1])
    assert own == gain
    assert bias == best


@pytest.mark.parametrize("settings", [{"gamma0": 1}, {"gamma0": -0.1}, {"factor": 0}, {"factor": 1.0}, {"factor": "x"}])
def test_parameters_out_of_range(settings: dict) -> None:
    with pytest.raises(OptionError):
        VanishingDiscount(**settings)
