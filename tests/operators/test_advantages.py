"""Estimated advantages against exact ones."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import ModelError, OptionError
from mdpkit.models.canonical import canonical
from mdpkit.operators.advantages import GAE, ExactAdvantages
from mdpkit.operators.on_policy import OnPolicy


def on_river(gamma: str = "4/5") -> OnPolicy:
    return OnPolicy(canonical(mk.instances.make("riverswim", n_states=3, gamma=gamma)))


@pytest.mark.parametrize("lambda_", [0, 0.5, 1])
def test_estimates_come_near_the_advantages(lambda_: float) -> None:
    on = on_river()
    estimate = GAE(lambda_=lambda_, episodes=5000, length=15)(on, on.uniform(), np.random.default_rng(1))
    exact = ExactAdvantages()(on, on.uniform())
    assert np.max(np.abs(estimate - exact)) < 0.15 * np.max(np.abs(exact)) + 0.1


def test_the_bias_of_one_step_is_that_of_the_temporal_difference() -> None:
    on = on_river()
    pi, V = on.uniform(), np.array([1.0, -2.0, 0.5])
    error = V - on.value(pi)
    bias = GAE(lambda_=0, critic=V).bias(on, pi, 10)
    assert np.allclose(bias, 0.8 * (on.P @ error) - on.spread(error))


def test_the_bias_of_monte_carlo_is_the_baseline_in_the_limit() -> None:
    on = on_river()
    pi, V = on.uniform(), np.array([1.0, -2.0, 0.5])
    bias = GAE(lambda_=1, critic=V).bias(on, pi, 200)
    assert np.allclose(bias, -on.spread(V - on.value(pi)), atol=1e-12)
    assert np.allclose(GAE(lambda_=Fraction(1, 2)).bias(on, pi, 5), 0, atol=1e-12)


def test_pairs_that_are_not_visited_get_zero() -> None:
    on = OnPolicy(canonical(mk.instances.make("riverswim", n_states=20, gamma="1/2").under(rho=0)))
    estimate = GAE(episodes=1, length=2)(on, on.uniform(), np.random.default_rng(0))
    assert np.count_nonzero(estimate) <= 2


def test_the_same_generator_gives_the_same_estimate() -> None:
    on = on_river()
    a, b = (GAE()(on, on.uniform(), np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(a, b)
    assert np.array_equal(GAE()(on, on.uniform()), GAE()(on, on.uniform()))


def test_parameters_are_checked() -> None:
    for options, says in (
        ({"lambda_": 2}, "lambda_ is out of range"),
        ({"episodes": 0}, "episodes is no count"),
        ({"length": 0}, "length is no count"),
        ({"critic": "best"}, "critic is unknown"),
    ):
        with pytest.raises(OptionError, match=says):
            GAE(**options)
    on = on_river()
    with pytest.raises(ModelError, match="critic and states differ"):
        GAE(critic=(1, 2))(on, on.uniform())
