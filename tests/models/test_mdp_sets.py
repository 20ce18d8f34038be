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


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_rows_kept_dense_compress_as_scipy_does(share: float) -> None:
    import scipy.sparse as sp

    rng = np.random.default_rng(7)
    P = rng.random((6, 2, 6))
    P[rng.random(P.shape) < share] = 0
    P[..., 0] += P.sum(-1) == 0
    P /= P.sum(-1, keepdims=True)
    T = MDP(P, np.zeros((6, 2)), normalize=True).P
    assert T.dense is not None
    csr = sp.csr_array(T.dense)
    np.testing.assert_array_equal(T.indptr, csr.indptr)
    np.testing.assert_array_equal(T.indices, csr.indices)
    np.testing.assert_array_equal(T.data, csr.data)
    assert not T.data.flags.writeable
