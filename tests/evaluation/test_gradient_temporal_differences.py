"""Gradient temporal differences on the examples where temporal differences diverge."""

from __future__ import annotations

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.models.canonical import canonical
from mdpkit.operators.projected import moments
from mdpkit.operators.task import Task
from mdpkit.solvers.evaluation import GTD, GTD2, TDC, TemporalDifferences

METHODS = (GTD, GTD2, TDC)


def baird() -> tuple[mk.MDP, dict]:
    phi = np.zeros((7, 8))
    phi[range(6), range(6)], phi[:6, 7], phi[6, 6], phi[6, 7] = 2, 1, 1, 2
    return mk.instances.make("baird-star"), {"behavior": [[6 / 7, 1 / 7]] * 7, "features": phi}


@pytest.mark.parametrize("kind", METHODS)
def test_errors_fall_on_baird_star(kind) -> None:
    # Sutton and Barto (2018), Figure 11.5: the projected error of TDC goes to zero, the value error hardly does.
    star, options = baird()
    start = (1, 1, 1, 1, 1, 1, 10, 1)
    problem = canonical(star)
    task = Task(problem, [1] * 7, options["behavior"], options["features"])
    method = kind(eta=0.02, beta=0.2, expected=True, start=start)
    state, sizes = method.init(task), []
    m = moments(task, 0)
    for _ in range(4000):
        sizes.append(np.linalg.norm(m.b - m.A @ state.w))
        state = method.step(task, state)
    assert sizes[-1] < 0.05 * sizes[0]
    plain = mk.estimate(star, [1] * 7, TemporalDifferences(eta=0.02, expected=True, start=start), steps=4000, **options)
    assert plain.error > 1e6


@pytest.mark.parametrize("kind", METHODS)
def test_expected_steps_come_to_the_fixed_point(kind) -> None:
    mdp = mk.instances.make("random-dense", S=4, A=2, gamma="9/10", seed=2)
    phi = [[1, 0], [1, 1], [1, 2], [1, -1]]
    for lam in (0, 0.6):
        method = kind(eta=0.3, beta=0.6, lambda_=lam, expected=True)
        found = mk.estimate(
            mdp, np.tile([0.8, 0.2], (4, 1)), method, behavior=np.tile([0.3, 0.7], (4, 1)), features=phi, steps=10_000
        )
        # Independent: A and b from their definition.
        task = found.task
        D, P = np.diag(task.weights), task.P
        F = np.linalg.solve(np.eye(4) - 0.9 * lam * P.T, D @ phi)
        w = np.linalg.solve(F.T @ (phi - 0.9 * P @ phi), F.T @ task.r)
        assert found.value == pytest.approx(phi @ w, rel=1e-6)


@pytest.mark.parametrize("kind", METHODS)
def test_drawn_estimates_come_near(kind) -> None:
    mdp = mk.instances.make("random-dense", S=3, A=2, gamma="1/2", seed=1)
    method = kind(eta=0.2, beta=0.4, decay=0.001)
    found = mk.estimate(
        mdp, np.full((3, 2), 0.5), method, behavior=[[0.4, 0.6]] * 3, steps=20_000, rng=np.random.default_rng(0)
    )
    assert found.error < 0.2 * np.abs(found.exact).max()


@pytest.mark.parametrize("kind", METHODS)
def test_step_sizes_are_checked(kind) -> None:
    with pytest.raises(OptionError, match="beta is not positive"):
        kind(beta=0)
