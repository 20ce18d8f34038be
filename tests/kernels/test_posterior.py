"""Posterior draws: the compiled twins take the same numbers and give the same bits; moments are the closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from mdpkit.kernels import posterior
from mdpkit.kernels.online import posterior as compiled


@pytest.mark.parametrize("prior", [0.05, 0.5, 1.0, 3.0])
def test_compiled_draws_are_the_definition(prior: float) -> None:
    rng = np.random.default_rng(4)
    moves = rng.integers(0, 6, size=(3, 4, 7)).astype(float)
    one, two = np.random.default_rng(5), np.random.default_rng(5)
    plain = posterior.draw_laws(posterior.parameters(prior, moves), one)
    fast = np.empty_like(plain)
    compiled.draw_laws(prior, moves, two, fast, np.empty(4), np.empty(4))
    assert np.array_equal(plain, fast)
    wins, losses = 1 + moves[:, 0], 1 + moves[:, 1]
    means = np.empty_like(wins)
    compiled.draw_means(wins, losses, two, means, np.empty(2), np.empty(2))
    assert np.array_equal(posterior.draw_means(wins, losses, one), means)
    assert one.random() == two.random()


def test_parameters_that_underflow_give_the_mean() -> None:
    alpha = np.array([[1e-308, 3e-308]])
    np.testing.assert_allclose(posterior.dirichlet(alpha, np.random.default_rng(0)), [[0.25, 0.75]])
    out = np.empty(2)
    compiled.dirichlet(alpha[0], np.random.default_rng(0), out)
    np.testing.assert_allclose(out, [0.25, 0.75])


def test_moments() -> None:
    # Means a_i/a and variances a_i (a - a_i)/(a^2 (a + 1)), up to six standard errors.
    alpha = np.array([0.5, 2.0, 4.5])
    n, total = 40_000, 7.0
    p = posterior.dirichlet(np.tile(alpha, (n, 1)), np.random.default_rng(1))
    variance = alpha * (total - alpha) / (total**2 * (total + 1))
    assert np.all(np.abs(p.mean(axis=0) - alpha / total) < 6 * np.sqrt(variance / n))
    np.testing.assert_allclose(p.var(axis=0), variance, rtol=0.1)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-15)
