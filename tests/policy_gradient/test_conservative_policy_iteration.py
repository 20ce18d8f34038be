"""Conservative policy iteration against closed forms and policy iteration."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.claims.trial import iterates
from mdpkit.errors import OptionError
from mdpkit.solvers.policy_gradient import ConservativePolicyIteration

F = Fraction


def test_one_state_has_a_closed_form() -> None:
    # One state: the visits are those of any policy, eps = A-bar, and alpha = (1 - gamma)/(4 gamma) for good.
    mdp = mk.MDP([[[F(1)]] * 2], [[F(0), F(1)]], mk.Discounted("1/2"), rho=0)
    alpha = F(1, 4)
    for k, state in enumerate(iterates(mdp, ConservativePolicyIteration(), 4, arithmetic="rational")):
        assert state.pi[0] == F(1, 2) * (1 - alpha) ** k
        assert state.V[0] == 2 * state.pi[1]


def test_full_steps_are_policy_iteration() -> None:
    mdp = mk.instances.make("garnet", S=5, A=3, branching=2, seed=4, gamma="9/10")
    states = list(islice(mk.iterates(mdp, ConservativePolicyIteration(alpha=1)), 12))
    pi = np.full(mdp.n_pairs, 1 / 3)
    for state in states[:4]:
        assert np.array_equal(state.pi, pi)
        q = mdp.r + 0.9 * (mdp.P @ state.V)
        pi = np.zeros(mdp.n_pairs)
        pi[np.arange(5) * 3 + np.argmax(q.reshape(5, 3), axis=1)] = 1
    assert np.allclose(states[-1].V, mk.solve(mdp).V, rtol=1e-9)


def test_the_value_never_falls() -> None:
    mdp = mk.instances.make("riverswim", n_states=6, gamma="99/100").under(rho=0)
    values = [state.V[0] for state in islice(mk.iterates(mdp, ConservativePolicyIteration()), 200)]
    assert np.all(np.diff(values) >= 0)


def test_a_discount_of_zero() -> None:
    # Only the next reward counts: a full step is optimal.
    mdp = mk.instances.make("garnet", S=3, A=2, branching=2, seed=4, gamma="0")
    state = next(islice(mk.iterates(mdp, ConservativePolicyIteration()), 1, None))
    assert state.gap == 0


def test_steps_are_checked() -> None:
    for alpha in (0, -1, 1.5):
        with pytest.raises(OptionError, match="alpha is outside"):
            ConservativePolicyIteration(alpha=alpha)
