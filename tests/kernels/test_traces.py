"""Sums of temporal differences that decay backward, term by term."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from mdpkit.kernels import traces

F = Fraction


def objects(values) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    out[:] = [F(x) for x in values]
    return out


def test_each_step_decays_what_follows_it_by_its_own_factor() -> None:
    delta, decay = objects([3, -1, 2, 5]), objects(["1/2", "1/3", "1/5", "1/7"])
    # A_3 = 5; A_2 = 2 + 5/5; A_1 = -1 + 3/3; A_0 = 3 + 0/2. The last factor decays nothing.
    assert traces.generalized_advantages(delta, decay).tolist() == [3, 0, 3, 5]
    definition = [
        sum((np.prod(decay[t:k], initial=F(1)) * delta[k] for k in range(t, 4)), start=F(0)) for t in range(4)
    ]
    assert traces.generalized_advantages(delta, decay).tolist() == definition
    assert delta.tolist() == [3, -1, 2, 5]


def test_one_factor_for_all_steps_and_rows_of_their_own() -> None:
    delta = np.array([[1.0, 2.0, 4.0], [0.0, -1.0, 1.0]])
    assert traces.generalized_advantages(delta, 0.5) == pytest.approx(np.array([[3.0, 4.0, 4.0], [-0.25, -0.5, 1.0]]))


def test_accumulating_traces() -> None:
    assert traces.accumulated(F(3), F(1, 2), F(5)) == F(13, 2)
