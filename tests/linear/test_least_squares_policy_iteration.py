"""Least-squares policy iteration against policy iteration, and LSTD-Q against its equation."""

from __future__ import annotations

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.models.canonical import canonical
from mdpkit.operators.linear_features import LinearFeatures
from mdpkit.solvers.linear import LeastSquaresPolicyIteration


@pytest.mark.parametrize("seed", range(4))
def test_policy_iteration(seed):
    mdp = mk.instances.make("linear-mdp", S=6, A=3, d=4, seed=seed, anchors=bool(seed % 2))
    sol = mk.solve(mdp, LeastSquaresPolicyIteration())
    assert sol.status.ok
    assert np.allclose(sol.V, mk.solve(mdp).V)
    # With one-hot features LSTD-Q is the tabular evaluation.
    hot = mk.LinearMDP.from_mdp(mk.instances.make("garnet", S=4, A=2, branching=2, seed=seed))
    assert np.allclose(mk.solve(hot, LeastSquaresPolicyIteration()).V, mk.solve(hot).V)


def test_lstd_solves_the_projected_equation():
    mdp = mk.instances.make("linear-mdp", S=4, A=2, d=3, seed=1)
    problem = canonical(mdp)
    solver = LeastSquaresPolicyIteration(samples=3000)
    state = solver.init(problem, np.random.default_rng(0))
    pairs, after = state.batch
    of = LinearFeatures(problem)
    # Independent: the least-squares fit of the targets that its own values give is itself.
    targets = of.rewards(0)[pairs] + 0.9 * (mdp.phi @ state.theta)[state.choice[after]]
    again = np.linalg.lstsq(mdp.phi[pairs], targets, rcond=None)[0]
    assert np.allclose(again, state.theta, atol=1e-9)
    assert len(pairs) == state.draws >= 3000
    assert solver.error(problem, state, 0.01) > 0
    assert LeastSquaresPolicyIteration().error(problem, LeastSquaresPolicyIteration().init(problem), 0.01) == 0


def test_samples():
    mdp = mk.instances.make("linear-hypercube")
    sol = mk.solve(mdp, LeastSquaresPolicyIteration(samples=200_000), rng=np.random.default_rng(1), max_steps=20)
    assert sol.pi.actions[0] == 5
    assert np.allclose(sol.V, [54 / 13, 94 / 13], atol=0.2)


def test_what_is_refused():
    with pytest.raises(OptionError, match="number of samples"):
        LeastSquaresPolicyIteration(samples=0)
    with pytest.raises(UnsupportedError, match="features"):
        mk.solve(mk.instances.make("riverswim"), LeastSquaresPolicyIteration())
