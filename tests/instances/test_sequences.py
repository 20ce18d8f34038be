"""Trees of answers: their sizes, their right leaves, and what they refuse."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from mdpkit import instances
from mdpkit.errors import OptionError

F = Fraction


@pytest.mark.parametrize(("length", "letters", "right"), [(1, 3, "1/3"), (3, 2, "1/4"), (4, 3, "2/81"), (2, 1, "0")])
def test_the_right_leaves(length: int, letters: int, right: str) -> None:
    mdp = instances.make("answer-tree", length=length, letters=letters, right=right, seed=4)
    inner = sum(letters**j for j in range(length))
    assert mdp.n_states == inner + 1
    assert mdp.n_pairs == letters * inner + 1
    paid = np.flatnonzero(mdp.r)
    assert len(paid) == max(1, round(F(right) * letters**length))
    assert all(len(mdp.state_names[mdp.state[k]]) == length - 1 for k in paid)  # type: ignore[index]
    assert set(mdp.r[paid]) == {1.0}


def test_the_first_of_the_paper() -> None:
    mdp = instances.make("rover-tree")
    names = mdp.state_names
    right = {names[mdp.state[k]] + mdp.pair_names[k] for k in np.flatnonzero(mdp.r)}  # type: ignore[index]
    assert right == {"ACD", "BDC", "CAB", "DBA"}


def test_graded_answers() -> None:
    mdp = instances.make("answer-tree", length=4, right="1/2", graded=True, seed=2)
    values = {x for x in mdp.reward.exact if x > 0}  # type: ignore[union-attr]
    assert len(values) > 1
    assert values <= {F(i, 10) for i in range(1, 11)}
    other = instances.make("answer-tree", length=4, right="1/2", graded=True, seed=3)
    assert mdp != other
    assert mdp == instances.make("answer-tree?length=4&right=1/2&graded=true&seed=2")


def test_what_is_refused() -> None:
    for bad in ({"length": 0}, {"letters": 27}, {"right": "3/2"}, {"seed": -1}):
        with pytest.raises(OptionError, match="out of range"):
            instances.make("answer-tree", **bad)
    with pytest.raises(OptionError, match="the tree is too large"):
        instances.make("answer-tree", length=10, letters=26)
