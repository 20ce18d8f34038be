"""Conservative dual policy optimization: a problem solved by hand, both searches, the trust region, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

import mdpkit as mk
from mdpkit.claims.learning import staged
from mdpkit.environment import Environment
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.kernels import ensemble
from mdpkit.play import rounds
from mdpkit.solvers.exploration import PSRL, ConservativeDualPolicyOptimization

CDPO = ConservativeDualPolicyOptimization
PTR = np.array([0, 2, 3, 4])


def gamble() -> tuple[Any, Any, Any]:
    """Rewards, and two models: a risky action pays 1 and lasts for ever or ends; a safe one pays 0.6 and then 0.65."""
    models = np.zeros((2, 1, 3, 4))
    for m in range(2):
        models[m, 0] = np.array([[0, 1, 0], [m, 0, 1 - m], [0, 1, 0], [0, 0, 1]]).T
    return np.array([[0.6, 1.0, 0.65, 0.0]]), models, np.array([1.0, 0, 0])


def test_the_reference_is_safe_and_the_mean_over_models_is_not() -> None:
    r, models, rho = gamble()
    V, choice, weights = ensemble.reference(r, models.mean(axis=0), PTR, 3, rho)
    # Three stages: safe 0.6 + 2 x 0.65 = 1.9; risky 1 + 1/2 (1 + 1/2) = 1.75 in the mean model, (1 + 3)/2 = 2 on average.
    assert V[0, 0] == pytest.approx(1.9)
    np.testing.assert_array_equal(choice[:, 0], [0, 1, 1])
    np.testing.assert_allclose(weights, [[1 / 3, 0, 0], [0, 1 / 3, 0], [0, 1 / 3, 0]])
    for search in (ensemble.ascent, ensemble.enumeration):
        free = search(r, models, PTR, rho, ensemble.Region(choice, weights, 1.0))
        assert ensemble.mean_value(r, models, free, PTR, rho) == pytest.approx(2.0)
        held = search(r, models, PTR, rho, ensemble.Region(choice, weights, 0.0))
        assert ensemble.mean_value(r, models, held, PTR, rho) == pytest.approx(1.9)
    part = ensemble.ascent(r, models, PTR, rho, ensemble.Region(choice, weights, 0.1))
    # A tenth of the region is three tenths of the first state's visits.
    np.testing.assert_allclose(part[0, :2], [0.7, 0.3])
    assert ensemble.mean_value(r, models, part, PTR, rho) == pytest.approx(0.7 * 1.9 + 0.3 * 2)


def random_ensemble(seed: int, H: int = 3, S: int = 3, A: int = 2, M: int = 3) -> Any:
    rng = np.random.default_rng(seed)
    models = np.swapaxes(rng.dirichlet(np.full(S, 0.3), size=(M, H, S * A)), -1, -2)
    r, ptr, rho = rng.random((H, S * A)), np.arange(0, S * A + 1, A), rng.dirichlet(np.ones(S))
    _, choice, weights = ensemble.reference(r, models.mean(axis=0), ptr, H, rho)
    return r, models, ptr, rho, choice, weights


def test_slopes_are_derivatives_and_a_single_stage_is_a_linear_program() -> None:
    r, models, ptr, rho, _, _ = random_ensemble(1)
    rng = np.random.default_rng(0)
    pi = rng.dirichlet(np.ones(2), size=(3, 3)).reshape(3, 6)
    G = ensemble.slopes(r, models, pi, ptr, rho)
    base = ensemble.mean_value(r, models, pi, ptr, rho)
    for h, k in np.ndindex(3, 6):
        moved = pi.copy()
        moved[h, k] += 0.5
        # The mean value is linear in each row, so that differences are exact.
        assert (ensemble.mean_value(r, models, moved, ptr, rho) - base) / 0.5 == pytest.approx(G[h, k], abs=1e-12)
    # In a single stage what the region holds is a knapsack: scipy's linear program.
    law, share = models[:, :1], np.array([rho])
    one = np.array([[0.1, 0.9, 0.2, 0.4, 0.7, 0.3]])
    at = np.array([[0, 2, 5]])
    for eta in (0.1, 0.4, 0.9):
        found = ensemble.ascent(one, law, ptr, rho, ensemble.Region(at, share, eta))
        c = -np.repeat(rho, 2) * one[0]
        other = np.ones(6)
        other[at[0]] = 0
        best = linprog(
            c, A_ub=[np.repeat(rho, 2) * other], b_ub=[eta], A_eq=np.kron(np.eye(3), np.ones((1, 2))), b_eq=np.ones(3)
        )
        assert ensemble.mean_value(one, law, found, ptr, rho) == pytest.approx(-best.fun, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_enumeration_is_monotone_and_ascent_keeps_within_what_is_possible(seed: int) -> None:
    r, models, ptr, rho, choice, weights = random_ensemble(seed)
    at_reference = ensemble.mean_value(r, models, ensemble.taken(choice, 6), ptr, rho)
    best = max(ensemble.mean_value(r, models, ensemble.taken(c, 6), ptr, rho) for c in ensemble.deterministic(ptr, 3))
    last = at_reference
    for eta in (0.0, 0.05, 0.2, 0.5, 1.0):
        region = ensemble.Region(choice, weights, eta)
        exact, climbed = ensemble.enumeration(r, models, ptr, rho, region), ensemble.ascent(r, models, ptr, rho, region)
        value = ensemble.mean_value(r, models, exact, ptr, rho)
        assert value >= last - 1e-12
        last = value
        reached = ensemble.mean_value(r, models, climbed, ptr, rho)
        assert at_reference - 1e-12 <= reached <= best + 1e-12
        for pi in (exact, climbed):
            moved = 1 - np.take_along_axis(pi, choice, axis=1)
            assert np.sum(weights * moved) <= eta + 1e-12
    assert last == pytest.approx(best)


def test_without_a_region_and_with_one_draw_it_is_posterior_sampling() -> None:
    # One model and no constraint: the best policy of the drawn model, which posterior sampling plays.
    mdp = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(4))
    learner = CDPO(eta=1.0, models=1)
    for played in rounds(mdp, learner, 10, np.random.default_rng(4)):
        state = played.state
        V = np.zeros(3)
        for _ in range(4):
            V = np.max((mdp.r + state.models[0, 0].T @ V).reshape(3, 2), axis=1)
        assert state.value[0] == pytest.approx(mdp.rho @ V, abs=1e-10)
    assert set(PSRL.kinds) & set(CDPO.kinds)


@pytest.mark.parametrize("mdp", [mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(4)), staged(2, 4)])
@pytest.mark.parametrize("eta", [0.05, 0.4])
def test_loops_agree(mdp: mk.MDP, eta: float) -> None:
    learner = CDPO(eta=eta, models=3)
    plain = mk.play(mdp, learner, episodes=60, rng=np.random.default_rng(2), keep=True, compiled=False)
    fast = mk.play(mdp, learner, episodes=60, rng=np.random.default_rng(2), keep=True, compiled=True)
    np.testing.assert_allclose(fast.values, plain.values, rtol=1e-12)
    for name in plain.series:
        np.testing.assert_allclose(fast.series[name], plain.series[name], rtol=1e-9, atol=1e-12)
    assert np.array_equal(fast.pairs, plain.pairs)
    assert np.max(fast.series["distance"]) > 0.01
    assert np.all(fast.series["distance"] <= eta + 1e-12)


def test_enumeration_in_a_run() -> None:
    mdp = staged(3, 2)
    found = mk.play(mdp, CDPO(eta=0.3, models=3, search="enumeration"), episodes=20, rng=np.random.default_rng(0))
    climbed = mk.play(mdp, CDPO(eta=0.3, models=3), episodes=1, rng=np.random.default_rng(0))
    assert np.all(found.series["distance"] <= 0.3 + 1e-12)
    assert np.isfinite(climbed.total)
    with pytest.raises(UnsupportedError, match="no compiled loop"):
        mk.play(mdp, CDPO(search="enumeration"), episodes=2, rng=np.random.default_rng(0), compiled=True)


def test_what_is_refused() -> None:
    for options in (
        {"eta": -0.1},
        {"eta": math.nan},
        {"models": 0},
        {"models": 1.5},
        {"prior": 0.0},
        {"search": "all"},
    ):
        with pytest.raises(OptionError):
            CDPO(**options)
    mdp = mk.instances.make("riverswim", n_states=6).under(mk.FiniteHorizon(8))
    with pytest.raises(UnsupportedError, match="too many policies"):
        mk.play(mdp, CDPO(search="enumeration"), episodes=2, rng=np.random.default_rng(0))
    with pytest.raises(UnsupportedError, match="know the rewards"):
        mk.play(Environment(mdp, "bernoulli"), CDPO(), episodes=2, rng=np.random.default_rng(0))
