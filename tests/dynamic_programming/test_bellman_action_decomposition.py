"""Value iteration on tokens against closed forms, and the naive discount beside it."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.solvers.dynamic_programming import BellmanActionDecomposition

F = Fraction
CODE = "0,10,110,111"  # lengths 1, 2, 3, 3


def test_one_state_in_closed_form() -> None:
    # A word of one token pays 1, one of two pays 3/2; gamma = 1/2. At its end: V = 3/2 + V/2 = 3. Naive: the short word has
    # 1 + V/2, so V = 2, the long one 1/2 (3/2 + 2/2) = 5/4 < 2: the short one is taken.
    mdp = mk.MDP([[[1.0], [1.0]]], [[1.0, 1.5]], mk.Discounted(0.5), rho=0)
    sol = mk.solve(mdp, BellmanActionDecomposition("0,10"))
    assert sol.status.ok
    assert sol.V[0] == pytest.approx(3, rel=1e-9)
    assert sol.pi.actions.tolist() == [1]
    naive = BellmanActionDecomposition("0,10", discount="token")
    state = next(islice(mk.iterates(mdp, naive), 100, None))
    assert state.V[0] == pytest.approx(2, rel=1e-12)
    assert mk.solve(mdp, naive, max_steps=50).pi.actions.tolist() == [0]


def test_words_arrive_late() -> None:
    # With gamma = 0 a word's reward is seen after as many backups as it has tokens.
    mdp = mk.MDP([[[1.0]] * 4], [[1.0, 2.0, 3.0, 4.0]], mk.Discounted(0.0), rho=0)
    values = [state.V[0] for state in islice(mk.iterates(mdp, BellmanActionDecomposition(CODE)), 5)]
    assert values == [0, 1, 2, 4, 4]


def test_the_naive_discount_on_random_models() -> None:
    # 3 states, 4 actions, words of lengths 1, 2, 3, 3.
    differ, off = 0, []
    for seed in range(10):
        mdp = mk.instances.make("random-dense", S=3, A=4, gamma="9/10", seed=seed)
        best = mk.solve(mdp, exact=True)
        sol = mk.solve(mdp, BellmanActionDecomposition(CODE))
        assert np.allclose(sol.V, best.V, rtol=1e-8)
        state = next(islice(mk.iterates(mdp, BellmanActionDecomposition(CODE, discount="token")), 400, None))
        naive = mk.solve(mdp, BellmanActionDecomposition(CODE, discount="token"), max_steps=400)
        off.append(np.max(np.abs(state.V[:3] - best.V)))
        differ += naive.pi.actions.tolist() != best.pi.actions.tolist()
    assert differ >= 8
    assert min(off) > 0.5


def test_with_entropy_one_state_is_softmax() -> None:
    r = np.array([[0.1, 0.5, 0.9]])
    mdp = mk.MDP(np.ones((1, 3, 1)), r, mk.EntropyRegularized(0.5, 0.2))
    state = next(islice(mk.iterates(mdp, BellmanActionDecomposition("0,10,11")), 200, None))
    assert state.V[0] == pytest.approx(0.2 * np.log(np.exp(r / 0.2).sum()) / 0.5, rel=1e-12)


def test_bad_input() -> None:
    with pytest.raises(OptionError, match="is the beginning of"):
        BellmanActionDecomposition("0,01")
    with pytest.raises(OptionError, match="the place of the discount is unknown"):
        BellmanActionDecomposition(discount="sentence")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="too few words"):
        mk.solve(mk.instances.make("garnet", S=2, A=3, branching=1), BellmanActionDecomposition("0,1"))
    with pytest.raises(UnsupportedError, match="one discount factor"):
        mk.solve(mk.instances.make("riverswim").under(mk.FiniteHorizon(3)), BellmanActionDecomposition())
