"""What an estimate reports: errors by their definitions, costs with their sign, and the target's own value."""

from __future__ import annotations

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.models.jump_process import JumpProcess
from mdpkit.solvers.evaluation import MultistepEvaluation, TemporalDifferences


def model(sign: int = 1) -> mk.MDP:
    plain = mk.instances.make("random-dense", S=3, A=2, gamma="4/5", seed=1)
    return mk.MDP(
        plain.P.toarray().reshape(3, 2, 3), sign * plain.r.reshape(3, 2), mk.Discounted("4/5"), minimize=sign < 0
    )


TARGET, BEHAVIOR = np.array([[0.9, 0.1]] * 3), np.array([[0.3, 0.7]] * 3)


def value(mdp: mk.MDP, pi: np.ndarray) -> np.ndarray:
    """By a linear system of its own."""
    P = np.einsum("sa,sat->st", pi, mdp.P.toarray().reshape(3, 2, 3))
    return np.linalg.solve(np.eye(3) - 0.8 * P, (pi * mdp.r.reshape(3, 2)).sum(axis=1))


def test_errors_by_their_definitions() -> None:
    mdp, phi, weights = model(), [[1.0], [2.0], [5.0]], [1, 2, 5]
    found = mk.estimate(
        mdp, TARGET, TemporalDifferences(eta=0.01, expected=True), steps=7, behavior=BEHAVIOR, features=phi,
        weights=weights, marks=range(8),
    )  # fmt: skip
    off = found.values - value(mdp, TARGET)
    assert found.errors == pytest.approx(np.abs(off).max(axis=1), rel=1e-9)
    # Weights that do not sum to one are shares all the same.
    assert found.weighted_errors == pytest.approx(np.sqrt(off**2 @ np.array(weights) / 8), rel=1e-9)
    assert found.fixed_point is not None
    assert found.fixed_point_error == pytest.approx(np.abs(found.fixed_point - value(mdp, TARGET)).max(), rel=1e-9)
    assert found.fixed_point_error != pytest.approx(np.abs(found.fixed_point - found.value).max(), rel=1e-3)
    assert found.error == found.errors[-1]


@pytest.mark.parametrize("sign", [1, -1])
def test_values_and_limits_have_the_model_s_sign(sign: int) -> None:
    """Off policy the exact value is the target's, and so is the limit with a feature for each state; costs stay costs."""
    mdp = model(sign)
    truth = value(mdp, TARGET)
    assert np.abs(truth - value(mdp, BEHAVIOR)).max() > 0.05
    for method, steps in ((TemporalDifferences(eta=0.5, expected=True), 3), (MultistepEvaluation(horizon=3), 3)):
        found = mk.estimate(mdp, TARGET, method, steps=steps, behavior=BEHAVIOR)
        assert found.exact == pytest.approx(truth, rel=1e-12)
        assert found.fixed_point == pytest.approx(truth, rel=1e-10)
        assert found.fixed_point_error == pytest.approx(0, abs=1e-10)


def test_the_initial_law_of_a_process_is_kept() -> None:
    process = JumpProcess([[-1, 1], [2, -2]], [1, 0], rate=1, rho=[0.25, 0.75])
    for mdp in (process.on_grid(0.1), process.uniformized()):
        assert mdp.rho is not None and mdp.rho.tolist() == [0.25, 0.75]
