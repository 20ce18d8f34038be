"""Models of linear laws: what counts as zero, what a reduction keeps, and what a file's rows must fit."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.models.transitions import Transitions

F = Fraction


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_reduction_is_the_same_model(order: tuple[int, ...]) -> None:
    """Whichever features are left out, measures and coefficients of theirs go to the others."""
    phi = np.array([["1/2", "1/2", 1], ["1/4", "3/4", 1], [1, 0, 1], [0, 1, 1]])[:, order]  # the last is the sum
    mu = np.array([["1/4", "1/4"], ["-1/4", "3/4"], ["1/4", "1/4"]])[list(order)]
    theta = np.array([2, -3, 5])[list(order)]
    pairs = {"state": [0, 0, 1, 1], "action": [0, 1, 0, 1]}
    mdp = mk.LinearMDP(phi, mu, theta, mk.Discounted("9/10"), **pairs, rho=0)
    fewer = mdp.reduced()
    assert (mdp.rank, fewer.dim, fewer.rank) == (2, 2, 2)
    assert fewer.digest == mdp.digest
    assert fewer.r.tolist() == mdp.r.tolist() == [4.5, 3.25, 7.0, 2.0]
    assert fewer.P.toarray().tolist() == mdp.P.toarray().tolist()


def test_small_probabilities_that_are_no_rounding_stay() -> None:
    # 0.3 - (0.3 - 1e-12) is ten thousand times what its products round.
    mdp = mk.LinearMDP(
        np.array([[[1.0, 1.0]], [[0.0, 1.0]]]),
        np.array([[-0.3 + 1e-12, 0.3 - 1e-12], [0.3, 0.7]]),
        None,
        mk.Discounted(0.5),
    )
    assert mdp.P.toarray()[0, 0] == pytest.approx(1e-12, abs=1e-15)


def test_rows_that_are_not_the_products_of_the_features_do_not_fit() -> None:
    mdp = mk.LinearMDP(
        np.array([[[0.25, 0.75]], [[0.5, 0.5]]]), np.array([[0.2, 0.8], [0.6, 0.4]]), None, mk.Discounted(0.5)
    )
    assert mdp.fits()
    rows = mdp.P.toarray()
    for change, fits in ((1e-12, True), (1e-6, False)):
        other = mdp._replace(phi=mdp.phi)
        other.__dict__["P"] = Transitions.from_dense(rows + np.array([[change, -change], [0, 0]]))
        assert other.fits() == fits


def test_a_model_that_is_nearly_linear_is_refused() -> None:
    """In rationals not even a millionth is let pass; in floats, what rounding makes is."""
    phi = [["1", "0"], ["1/2", "1/2"], ["0", "1"]]
    for off in (F(0), F(1, 10**6)):
        P = [[F(1, 4), F(3, 4)], [F(1, 2) + off, F(1, 2) - off], [F(3, 4), F(1, 4)]]
        for r in ([F(0), F(1, 2) + off, F(1)], [F(0), F(1, 2), F(1)]):
            mdp = mk.MDP(P, r, mk.Discounted(F(1, 2)), state=[0, 0, 1], action=[0, 1, 0], rho=0)
            if off:
                with pytest.raises(mk.errors.ModelError, match="state 0, action 1 is not linear"):
                    mk.LinearMDP.from_mdp(mdp, phi)
            else:
                assert mk.LinearMDP.from_mdp(mdp, phi).digest == mdp.digest


def test_pairs_of_a_mixture_are_sorted_with_their_rewards() -> None:
    psi = np.array([[["1", "0"], ["1/2", "1/2"], ["0", "1"]], [["0", "1"], ["1/2", "1/2"], ["1", "0"]]])
    r = np.array([F(1), F(2), F(3)], dtype=object)
    state, action = [1, 0, 0], [0, 1, 0]
    mdp = mk.LinearMixture(psi, ["1/4", "3/4"], r, mk.Discounted("1/2"), state=state, action=action, rho=0)
    plain = mk.MDP(
        [[F(1, 4), F(3, 4)], [F(1, 2), F(1, 2)], [F(3, 4), F(1, 4)]],
        r,
        mk.Discounted("1/2"),
        state=state,
        action=action,
        rho=0,
    )
    assert mdp.r.tolist() == [3.0, 2.0, 1.0]
    assert mdp.digest == plain.digest
    assert mdp.phi_V(np.array([F(4), F(0)])).tolist() == [[F(0), F(4)], [F(2), F(2)], [F(4), F(0)]]
