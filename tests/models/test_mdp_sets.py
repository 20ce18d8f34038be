"""Indices of states are checked, in exact models too."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from mdpkit.errors import ModelError, OptionError
from mdpkit.models import MDP, Transitions


def test_next_states_out_of_range():
    one = np.array([Fraction(1)], dtype=object)
    for exact in (None, one):
        P = Transitions([0, 1], [5], [1.0], 1, exact)
        with pytest.raises(ModelError, match="next state of state 0, action 0 is out of range; found: 5"):
            MDP(P, 0.0, state=np.array([0]), action=np.array([0]))


def test_labels_are_masks_or_indices():
    for bad in ([0.5], ["goal"], "goal"):
        with pytest.raises(OptionError, match="label 'x' is no set of states"):
            MDP(np.ones((1, 1, 1)), labels={"x": bad})
    assert MDP(np.ones((1, 1, 1)), labels={"x": []}).labels["x"].tolist() == [False]
