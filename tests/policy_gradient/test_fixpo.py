"""FixPO: the trust region after every update, however large the steps."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.solvers.policy_gradient import FixPO


def largest(mdp: mk.MDP, before: np.ndarray, after: np.ndarray) -> float:
    each = np.exp(before) * (before - after)
    return float(np.add.reduceat(each, mdp.pair_ptr[:-1]).max())


@pytest.mark.parametrize("eta", [1.0, 30.0, 1e4])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_trust_region_holds_whatever_the_step(eta: float, seed: int) -> None:
    # epsilon .05, margin 3 and 4 x 3 models: the setting of the published measurements.
    mdp = mk.instances.make("garnet", S=4, A=3, branching=2, seed=seed, gamma="9/10")
    states = list(islice(mk.iterates(mdp, FixPO(0.05, eta=eta, margin=3)), 15))
    far = [largest(mdp, a.log_pi, b.log_pi) for a, b in pairwise(states)]
    assert max(far) <= 0.05 * (1 + 1e-12)
    assert any(state.repairs for state in states) or eta == 1.0
    assert all(np.all(np.isfinite(state.log_pi)) for state in states)


def test_steps_that_stay_inside_need_no_repair() -> None:
    # Without a repair the update is the penalized ascent: one state, one step, so that beta has not acted yet.
    r = np.array([0.1, 0.5, 0.9])
    mdp = mk.MDP(np.ones((1, 3, 1)), r[None], mk.Discounted(0.5))
    state = next(islice(mk.iterates(mdp, FixPO(eta=0.3, inner=1, beta=7.0)), 1, None))
    weights = np.exp(0.3 * (r - 0.5) / 3)
    assert state.repairs == 0
    assert np.allclose(np.exp(state.log_pi), weights / weights.sum(), rtol=1e-13)
    assert state.beta == 7.0 - 0.2 / 100


def test_a_repair_is_a_step_toward_the_old_policy() -> None:
    # A trust region so small that one repair follows one step; both by hand.
    r = np.array([0.0, 1.0])
    mdp = mk.MDP(np.ones((1, 2, 1)), r[None], mk.Discounted(0.5))
    state = next(islice(mk.iterates(mdp, FixPO(0.02, eta=2.0, inner=1, beta=0.5, eta_beta=1.0)), 1, None))
    x = 2.0 * 0.5 * 1.0  # the difference of the logits: eta pi (A_1 - A_0)
    p = 1 / (1 + np.exp(-x))
    beta = 0.5 - 0.02
    assert -0.5 * np.log(4 * p * (1 - p)) > 0.02
    while -0.5 * np.log(4 * p * (1 - p)) > 0.02:
        far = -0.5 * np.log(4 * p * (1 - p))
        x -= 2 * min(2.0 * beta, 2.0) * (p - 0.5)
        beta += 2 * far - 0.02
        p = 1 / (1 + np.exp(-x))
    assert np.exp(state.log_pi[1]) == pytest.approx(p, rel=1e-12)
    assert state.beta == pytest.approx(beta, rel=1e-12)


def test_parameters_are_checked() -> None:
    for name in ("epsilon", "eta", "inner", "beta", "eta_beta", "floor"):
        with pytest.raises(OptionError, match=f"{name} is not positive"):
            FixPO(**{name: 0})
    with pytest.raises(OptionError, match="margin is out of range"):
        FixPO(margin=0.5)
