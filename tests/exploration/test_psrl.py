"""Posterior sampling: certain beliefs, known posteriors, stages, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.claims.learning import staged
from mdpkit.environment import Environment
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.play import rounds
from mdpkit.proofs.exploration.psrl import larger
from mdpkit.solvers.exploration import PSRL, TSDE


def test_a_strong_prior_draws_the_uniform_law() -> None:
    river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(4))
    played = next(iter(rounds(river, PSRL(prior=1e12), 1, np.random.default_rng(0))))
    np.testing.assert_allclose(played.state.law, 1 / 3, atol=1e-5)


def test_counts_pool_stages_or_keep_them_apart() -> None:
    river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(4))
    *_, last = rounds(river, PSRL(), 6, np.random.default_rng(0))
    assert last.state.visits.shape == (1, river.n_pairs) and last.state.visits.sum() == 6 * 4
    *_, last = rounds(staged(3, 3), PSRL(), 6, np.random.default_rng(0))
    assert last.state.visits.sum(axis=1).tolist() == [6.0] * 3


def test_expected_maximum_of_two_beta_variables() -> None:
    # Two uniform variables have the expected maximum 2/3; a Beta(2, 1) and a uniform one 3/4, by integration.
    assert larger(1, 1, 1, 1) == pytest.approx(2 / 3)
    assert larger(2, 1, 1, 1) == pytest.approx(3 / 4)
    x = np.random.default_rng(0).beta([3, 2], [4, 6], size=(100_000, 2)).max(axis=1)
    assert float(larger(3, 4, 2, 6)) == pytest.approx(x.mean(), abs=0.003)


def test_it_learns_and_hidden_rewards_too() -> None:
    river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(8))
    for environment in (Environment(river), Environment(river, "bernoulli")):
        run = mk.play(environment, PSRL(), episodes=3000, rng=np.random.default_rng(2))
        assert run.per_round[-500:].mean() < 0.02
        assert run.series["index"][-1] == pytest.approx(run.best, abs=0.3)
    steps = mk.play(
        Environment(river.under(mk.AverageReward()), "bernoulli"), TSDE(), steps=20_000, rng=np.random.default_rng(2)
    )
    assert steps.per_round[-5000:].mean() < 0.05
    assert np.sqrt(2 * 20_000) / 10 < steps.series["switches"][-1]


def test_the_bound_belongs_to_known_rewards() -> None:
    river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(4))
    assert mk.play(river, PSRL(), episodes=5, rng=np.random.default_rng(0)).bound is not None
    assert mk.play(Environment(river, "bernoulli"), PSRL(), episodes=5, rng=np.random.default_rng(0)).bound is None


def test_refusals() -> None:
    river = mk.instances.make("riverswim")
    for kind in (PSRL, TSDE):
        with pytest.raises(OptionError, match="prior"):
            kind(prior=0)
    with pytest.raises(UnsupportedError, match="does not play"):
        mk.play(river.under(mk.AverageReward()), PSRL(), steps=3, rng=np.random.default_rng(0))
    with pytest.raises(UnsupportedError, match="does not play"):
        mk.play(river.under(mk.FiniteHorizon(3)), TSDE(), episodes=3, rng=np.random.default_rng(0))
