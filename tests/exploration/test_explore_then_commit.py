"""Explore, then commit: lengths, certain worlds, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.environment import Environment
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.solvers.exploration import ExploreThenCommit


@pytest.mark.parametrize(("K", "m"), [(1, 1), (8, 4), (27, 9), (28, 10), (1000, 100), (1_000_000, 10_000)])
def test_length(K: int, m: int) -> None:
    river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(3))
    assert ExploreThenCommit().exploring(Environment(river).view(K)) == m
    assert ExploreThenCommit(5).exploring(Environment(river).view(K)) == min(5, K)


def test_a_certain_world_is_solved_after_it_was_seen() -> None:
    # Deterministic moves on a circle of three, a reward in one place: the empirical model is exact where it was seen.
    P = np.zeros((3, 2, 3))
    for s in range(3):
        P[s, 0, s], P[s, 1, (s + 1) % 3] = 1, 1
    mdp = mk.MDP(P, [[0, 0], [0, 0], [1.0, 0]], mk.FiniteHorizon(5), rho=0)
    run = mk.play(mdp, ExploreThenCommit(40), episodes=200, rng=np.random.default_rng(0))
    assert run.best == 3.0
    assert np.all(run.per_round[:40] == run.per_round[0]) and run.per_round[0] > 1
    assert np.all(run.per_round[40:] == 0)


def test_without_commitment_every_episode_costs_the_same() -> None:
    river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(4))
    run = mk.play(river, ExploreThenCommit(1000), episodes=20, rng=np.random.default_rng(0))
    assert len(np.unique(run.values)) == 1


def test_refusals() -> None:
    river = mk.instances.make("riverswim")
    with pytest.raises(OptionError, match="length"):
        ExploreThenCommit(0)
    with pytest.raises(UnsupportedError, match="does not play"):
        mk.play(river.under(mk.AverageReward()), ExploreThenCommit(), steps=3, rng=np.random.default_rng(0))
    noisy = Environment(river.under(mk.FiniteHorizon(3)), "bernoulli")
    with pytest.raises(UnsupportedError, match="needs to know the rewards"):
        mk.play(noisy, ExploreThenCommit(), episodes=3, rng=np.random.default_rng(0))
