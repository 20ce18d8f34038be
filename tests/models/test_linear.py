"""Linear MDPs and linear mixtures: the features stay, the rows are their products, and errors say where they are not."""

from __future__ import annotations

import pickle
from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import ModelError, UnsupportedError
from mdpkit.models.linear import LinearMDP, LinearMixture

PHI = [[["1", "0"], ["1/2", "1/2"]], [["0", "1"], ["1/4", "3/4"]]]
MU = [["1/2", "1/2"], [0, 1]]
MU2 = [MU, [["1/3", "2/3"], [1, 0]]]

F = Fraction


def small(**options):
    return LinearMDP(PHI, MU, [1, 0], mk.Discounted("9/10"), rho=0, **options)


def floating():
    phi = np.array([[[1, 0], [0.5, 0.5]], [[0, 1], [0.25, 0.75]]])
    return LinearMDP(phi, np.array([[0.5, 0.5], [0, 1]]), np.array([1.0, 0]), mk.Discounted(0.9), rho=0)


def test_rows_and_rewards_are_products():
    mdp = small()
    assert mdp.is_exact
    assert mdp.dim == mdp.rank == 2
    rows = np.full((4, 2), F(0), dtype=object)
    rows[mdp.P.row_of, mdp.P.indices.astype(int)] = mdp.P.rationals()
    by_hand = [[F(1, 2), F(1, 2)], [F(1, 4), F(3, 4)], [F(0), F(1)], [F(1, 8), F(7, 8)]]
    assert rows.tolist() == by_hand
    assert mdp.reward.exact.tolist() == [1, F(1, 2), 0, F(1, 4)]
    plain = mk.MDP(
        np.array(by_hand).reshape(2, 2, 2), np.array([[1, F(1, 2)], [0, F(1, 4)]]), mk.Discounted("9/10"), rho=0
    )
    assert plain.digest == mdp.digest
    assert plain != mdp
    assert mk.solve(mdp, exact=True).exact.tolist() == mk.solve(plain, exact=True).exact.tolist()


@pytest.mark.parametrize("make", [small, floating])
def test_features_are_kept(make, tmp_path):
    mdp = make()
    copies = [pickle.loads(pickle.dumps(mdp)), mdp.under(rho=1), mdp.under(mk.FiniteHorizon(3)), mdp.exact()]
    for other in copies:
        assert isinstance(other, LinearMDP)
        assert np.array_equal(other.phi, mdp.phi)
        assert other.fits()
    assert copies[0] == mdp
    assert mdp.exact().digest == mdp.digest
    assert isinstance(mdp.exact().phi_exact[1, 0], F)
    mk.save(mdp, tmp_path / "m.npz")
    again = mk.load(tmp_path / "m.npz")
    assert again == mdp
    assert again.is_exact == mdp.is_exact
    mk.save(mdp.exact(), tmp_path / "e.npz")
    assert mk.load(tmp_path / "e.npz") == mdp.exact()


def test_other_rows_or_rewards_make_a_plain_model():
    mdp = small()
    assert type(mdp.without_rewards()) is LinearMDP
    assert not mdp.without_rewards().theta.any()
    assert type(mdp.induced([0, 1])) is mk.MDP
    assert repr(mdp).startswith("LinearMDP(2 states")


def test_another_archive_is_refused(tmp_path):
    mdp = small()
    wrong = mdp._replace(phi=mdp.phi[::-1].copy(), phi_exact=mdp.phi_exact[::-1].copy())
    assert not wrong.fits()
    mk.save(wrong, tmp_path / "m.npz")
    with pytest.raises(mk.MDPError, match="do not fit"):
        mk.load(tmp_path / "m.npz")


def test_stages():
    mdp = LinearMDP(PHI, MU2, [[1, 0], [0, 1]], mk.FiniteHorizon(2), rho=0)
    assert mdp.stages == 2
    # By hand: V_1 = max over actions of <phi, (0, 1)> = (1/2, 1); V_0(0) = max(1 + 3/4, 1/2 + 1/8 + 3/4) = 7/4.
    assert mk.solve(mdp, exact=True).exact[0].tolist() == [F(7, 4), F(19, 16)]
    one = LinearMDP(PHI, MU, [[1, 0], [0, 1]], mk.FiniteHorizon(2), rho=0)
    assert one.P.n_rows == 4
    assert len(one.r) == 8
    w = mdp.weights(np.array([F(1), F(2)]), stage=1)
    assert w.tolist() == [F(5, 3), F(2)]


def test_ragged_pairs_are_sorted():
    mdp = LinearMDP(
        [["1", "0"], ["1/2", "1/2"], [0, 1]], MU, [1, 0], mk.Discounted("1/2"), state=[1, 0, 0], action=[0, 5, 2],
        pair_names=["c", "b", "a"],
    )  # fmt: skip
    assert mdp.phi.tolist() == [[0, 1], [0.5, 0.5], [1, 0]]
    assert mdp.pair_names == ("a", "b", "c")
    assert mdp.r.tolist() == [0, 0.5, 1]


def test_rounding_makes_no_negative_probability():
    # 0.1 * 3 - 0.3 is 5.6e-17 in floats, and zero.
    mdp = LinearMDP(
        np.array([[[0.1, 1.0]], [[0.0, 1.0]]]), np.array([[-3.0, 3.0], [0.3, 0.7]]), None, mk.Discounted(0.5)
    )
    assert mdp.P.toarray()[0].tolist() == [0.0, 1.0]


def test_errors_name_what_is_wrong():
    with pytest.raises(ModelError, match=r"state 1, action 0, next state 0 is no probability; found: -1/2"):
        LinearMDP(PHI, [["1/2", "1/2"], ["-1/2", "3/2"]], [1, 0])
    with pytest.raises(ModelError, match=r"state 0, action 0 do not sum to exactly one.*found: 5/6"):
        LinearMDP(PHI, [["1/2", "1/3"], ["1/2", "1/2"]], [1, 0])
    with pytest.raises(ModelError, match="mu has the wrong shape"):
        LinearMDP(PHI, [[1, 0]], [1, 0])
    with pytest.raises(ModelError, match="theta has the wrong shape"):
        LinearMDP(PHI, MU, [1, 0, 0])
    with pytest.raises(ModelError, match="phi has the wrong shape"):
        LinearMDP(PHI[0], MU, [1, 0])
    with pytest.raises(ModelError, match="number of states"):
        LinearMDP(PHI, [[1, 0, 0], [0, 1, 0]], [1, 0])
    with pytest.raises(ModelError, match="number of stages"):
        LinearMDP(PHI, MU2, [[1, 0]] * 3, mk.FiniteHorizon(2))
    with pytest.raises(UnsupportedError, match="finite horizon alone"):
        LinearMDP(PHI, MU2, [1, 0], mk.Discounted("1/2"))
    with pytest.raises(ModelError, match="not finite"):
        LinearMDP(np.array(PHI, dtype=object) == "1", MU, np.array([np.nan, 0]))
    with pytest.raises(ModelError, match="come together"):
        LinearMDP(PHI[0], MU, [1, 0], state=[0, 1])


def test_rank_and_reduction():
    more = [[[*x, "1"] for x in row] for row in PHI]
    mdp = LinearMDP(more, [*MU, [0, 0]], [0, 0, 1], mk.Discounted("9/10"))
    assert (mdp.dim, mdp.rank) == (3, 2)
    with pytest.raises(ModelError, match=r"needs features of full rank; found: rank 2.*reduced\(\)"):
        mdp.need_full_rank("this")
    fewer = mdp.reduced()
    assert fewer.dim == fewer.rank == 2
    assert fewer.digest == mdp.digest


def test_features_for_an_ordinary_model():
    river = mk.instances.make("riverswim")
    hot = LinearMDP.from_mdp(river)
    assert hot.digest == river.digest
    assert hot.phi.tolist() == np.eye(12).tolist()
    assert LinearMDP.from_mdp(hot) is hot
    assert LinearMDP.from_mdp(small(), small().phi_exact.reshape(2, 2, 2)) == small()
    with pytest.raises(ModelError, match=r"state 3, action 0 is not linear.*distance of 0\.833"):
        LinearMDP.from_mdp(river, np.ones((12, 1)))
    with pytest.raises(ModelError, match="phi has the wrong shape"):
        LinearMDP.from_mdp(river, np.ones((11, 1)))


def test_linear_mixture(tmp_path):
    psi = np.array([[[["1", "0"]], [["1/2", "1/2"]]], [[["0", "1"]], [["0", "1"]]]])
    mdp = LinearMixture(psi, ["1/4", "3/4"], np.array([["0"], ["1"]]), mk.Discounted("9/10"), rho=0)
    V = np.array([F(2), F(5)])
    PV = [F(1, 4) * 2 + F(3, 4) * 5, F(1, 8) * 2 + F(7, 8) * 5]
    assert (mdp.phi_V(V) @ mdp.weights_exact).tolist() == PV
    assert pickle.loads(pickle.dumps(mdp)) == mdp
    assert mdp.exact() is mdp
    assert mdp.fits()
    mk.save(mdp, tmp_path / "m.npz")
    assert mk.load(tmp_path / "m.npz") == mdp
    staged = LinearMixture(psi, [["1/4", "3/4"], [1, 0]], [[0], [1]], mk.FiniteHorizon(2))
    assert staged.stages == 2
    with pytest.raises(ModelError, match="is no probability"):
        LinearMixture(psi, ["5/4", "-1/4"], [[0], [1]])
    with pytest.raises(ModelError, match="weights have the wrong shape"):
        LinearMixture(psi, ["1"], [[0], [1]])
    with pytest.raises(UnsupportedError, match="finite horizon alone"):
        LinearMixture(psi, [["1/4", "3/4"], [1, 0]], [[0], [1]], mk.Discounted("1/2"))
    with pytest.raises(ModelError, match="components are floats"):
        LinearMixture(np.array([[[[1.0, 0.0]], [[0.5, 0.5]]]]), [1.0]).phi_V(V)
