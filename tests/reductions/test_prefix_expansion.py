"""Words as tokens: the tree, the way there and back, and codes that are none."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.reductions.prefix_expansion import PrefixExpansion, PrefixTree, words_of

F = Fraction


def test_the_tree_by_hand() -> None:
    # Two states; the second lacks action 2, so "11" never follows "1" there.
    state, action = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1])
    tree = PrefixTree.of(state, action, "0,10,11")
    assert tree.prefixes == ((0, ()), (1, ()), (0, ("1",)), (1, ("1",)))
    assert tree.node_ptr.tolist() == [0, 2, 4, 6, 7]
    assert tree.child.tolist() == [-1, 2, -1, 3, -1, -1, -1]
    assert tree.word.tolist() == [0, -1, 3, -1, 1, 2, 4]
    assert tree.length.tolist() == [1, 2, 2, 1, 2]
    assert tree.depth.tolist() == [0, 0, 1, 1]
    pi = np.array([F(1, 4), F(3, 4), F(1), F(0), F(1, 3), F(2, 3), F(1)], dtype=object)
    words = tree.spell(pi)
    assert words.tolist() == [F(1, 4), F(1, 4), F(1, 2), 1, 0]
    assert tree.conditional(words).tolist() == pi.tolist()
    assert tree.descend(np.array([1, 2, 5, 6])).tolist() == [2, 3]
    q = np.array([4.0, 8.0, 2.0, 5.0, 7.0])
    assert tree.expected(q, pi.astype(float)).tolist() == [4.0, 5.0, 4.0, 7.0]


def test_units_inside_a_word_by_hand() -> None:
    # gamma = 1/2 and L = 3: kappa = 1 - (1/2)/3 = 5/6, and 1/2 / (5/6)^2 = 18/25 at the end of three tokens.
    mdp = mk.MDP([[[F(1)]] * 3], [[F(1), F(2), F(3)]], mk.Discounted("1/2"), rho=0)
    expanded = PrefixExpansion("0,10,110").apply(mdp)
    gammas = [F(1, 2), F(5, 6), F(3, 5), F(5, 6), F(18, 25)]
    assert list(expanded.tokens.criterion.exact) == gammas  # type: ignore[union-attr]
    best = mk.solve(expanded.tokens, exact=True)
    assert expanded.values(best.exact).tolist() == [6, 6, 6]  # type: ignore[arg-type]
    assert expanded.retrieve(best.pi).actions.tolist() == [2]
    assert expanded.tokens.state_names == ((0, ()), (0, ("1",)), (0, ("1", "1")))
    assert expanded.tokens.rho.tolist() == [1, 0, 0]  # type: ignore[union-attr]


@pytest.mark.parametrize("discount", ["word", "token"])
def test_floats_and_costs(discount: str) -> None:
    mdp = mk.instances.make("garnet", S=4, A=4, branching=2, gamma="9/10", seed=2)
    floats = mk.MDP(mdp.P.toarray(), mdp.r, mk.Discounted(0.9), state=mdp.state, action=mdp.action, minimize=True)
    expansion = PrefixExpansion("0,10,110,111", discount)  # type: ignore[arg-type]
    expanded = expansion.apply(floats)
    V = expanded.values(mk.solve(expanded.tokens).V)[:4]
    exact = expansion.apply(mdp.under(minimize=True))
    assert np.allclose(V, exact.values(mk.solve(exact.tokens, exact=True).exact)[:4].astype(float), rtol=1e-8)
    assert np.allclose(V, mk.solve(floats).V, rtol=1e-8) is (discount == "word")


def test_laws_and_labels_are_those_of_the_states() -> None:
    mdp = mk.instances.make("garnet", S=3, A=3, branching=2, gamma="9/10", seed=4)
    mdp = mk.MDP(
        mdp.P.toarray().reshape(3, 3, 3), mdp.r.reshape(3, 3), mdp.criterion, rho=[0.5, 0.3, 0.2], labels={"end": [2]}
    )
    tokens = PrefixExpansion("0,10,11").apply(mdp).tokens
    assert tokens.n_states == 6
    assert tokens.rho.tolist() == [0.5, 0.3, 0.2, 0, 0, 0]  # type: ignore[union-attr]
    assert tokens.labels["end"].tolist() == [False, False, True, False, False, False]


def test_tokens_after_a_prefix_that_is_never_spoken_are_uniform() -> None:
    tree = PrefixTree.of(np.zeros(5, dtype=int), np.arange(5), "00,01,02,10,11")
    third, half = F(1, 3), F(1, 2)
    first = np.array([F(1, 4), F(3, 4), F(0), F(0), F(0)], dtype=object)
    assert tree.conditional(first).tolist() == [1, 0, F(1, 4), F(3, 4), 0, half, half]
    second = np.array([F(0), F(0), F(0), F(1, 5), F(4, 5)], dtype=object)
    assert tree.conditional(second).tolist() == [0, 1, third, third, third, F(1, 5), F(4, 5)]


def test_codes_that_are_none() -> None:
    mdp = mk.instances.make("riverswim")
    with pytest.raises(OptionError, match="the word of action 0 is the beginning of that of action 1"):
        PrefixExpansion("1,10")
    with pytest.raises(OptionError, match="the word of action 1 is the beginning of that of action 0"):
        PrefixExpansion("10,1")
    with pytest.raises(OptionError, match="the word of action 1 is empty"):
        PrefixExpansion([("a",), ()])
    with pytest.raises(OptionError, match="the code is unknown"):
        PrefixExpansion("ternary")
    with pytest.raises(OptionError, match=r"too few words.*one for each of the 2 actions"):
        PrefixExpansion([("a", "b")]).apply(mdp)
    with pytest.raises(OptionError, match="the place of the discount is unknown"):
        PrefixExpansion(discount="letter")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="one discount factor"):
        PrefixExpansion().apply(mdp.under(mk.AverageReward()))


def test_binary_words() -> None:
    assert words_of("binary", 1) == (("0",),)
    assert words_of("binary", 5) == tuple(tuple(w) for w in ("000", "001", "010", "011", "100"))
