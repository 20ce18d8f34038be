"""Certificates of regularized problems: what they accept, and what they must refuse."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.certificates import Certificate, certify
from mdpkit.errors import CertificateError, ModelError, UnsupportedError
from mdpkit.solver import Answer


def garnet(tau: Any = "1/2", gamma: Any = "9/10", **options: Any) -> mk.MDP:
    made = mk.instances.make("garnet", S=4, A=3, branching=2, seed=11)
    return made.under(mk.EntropyRegularized(gamma, tau, options.get("reference")))


def moved(c: Certificate, **changes: Any) -> Certificate:
    return replace(c, **changes)


@pytest.mark.parametrize("tau", ["1/1000000", "1/100", "1", "1000"])
@pytest.mark.parametrize("minimize", [False, True])
def test_bounds_that_are_moved_inward_are_refused(tau: str, minimize: bool) -> None:
    mdp = garnet(tau).under(minimize=minimize)
    c = mk.solve(mdp).certificate
    assert c.verify(mdp)
    assert c.verify(mdp, exact=True)
    step = 4 * (c.above - c.below).max() + 1e-13 * np.abs(c.above).max()
    for exact in (False, True):
        assert "upper side" in moved(c, above=c.above - step).verify(mdp, exact=exact).reason
        assert "lower side" in moved(c, below=c.below + step).verify(mdp, exact=exact).reason
        one = np.where(np.arange(4) == 2, step, 0.0)
        assert not moved(c, above=c.above - one).verify(mdp, exact=exact)
        assert not moved(c, below=c.below + one).verify(mdp, exact=exact)


def test_the_float_check_accepts_nothing_that_balls_refuse() -> None:
    mdp = garnet()
    c = mk.solve(mdp).certificate
    width = float((c.above - c.below).max())
    accepted = 0
    for scale in np.linspace(-3, 3, 61) * width:
        for candidate in (moved(c, above=c.above + scale), moved(c, below=c.below + scale)):
            in_floats, in_balls = (candidate.verify(mdp, exact=exact) for exact in (False, True))
            assert in_balls or not in_floats
            accepted += bool(in_balls)
    assert 30 < accepted < 100


def test_the_float_check_is_safe_to_the_last_unit() -> None:
    rows = [("1/3", "2/3", 0), (0, "1/7", "6/7"), ("1/5", "1/5", "3/5"), ("3/11", "8/11", 0), ("1/9", 0, "8/9")]
    P = np.array([[Fraction(x) for x in row] for row in rows], dtype=object)
    r = np.array([Fraction(x) for x in ("1/7", "2/7", "1/3", "5/11", "1/13")], dtype=object)
    mdp = mk.MDP(P, r, mk.EntropyRegularized("9/10", "7/3"), state=[0, 0, 1, 2, 2], action=[0, 1, 0, 0, 1])
    c = mk.solve(mdp).certificate
    unit = np.spacing(c.above)
    for j in range(40):
        for s in range(3):
            step = np.where(np.arange(3) == s, j * unit, 0.0)
            for candidate in (moved(c, above=c.above - step), moved(c, below=c.below + step)):
                assert candidate.verify(mdp, exact=True) or not candidate.verify(mdp)


def test_the_witness_counts_over_its_sum() -> None:
    mdp = garnet()
    c = mk.solve(mdp).certificate
    assert c.policy is not None
    step = 4 * (c.above - c.below).max()
    for mass in (1 + 5e-10, 1 - 5e-10):
        other = moved(c, policy=c.policy * mass)
        for exact in (False, True):
            assert other.verify(mdp, exact=exact)
            assert "lower side" in moved(other, below=c.below + step).verify(mdp, exact=exact).reason


def test_the_witness_is_part_of_the_certificate() -> None:
    mdp = garnet()
    c = mk.solve(mdp).certificate
    assert c.policy is not None
    uniform = np.full(12, 1 / 3)
    for policy, says in (
        (None, "no witness policy"),
        (c.policy[:-1], "no witness policy"),
        (c.policy * 2, "no law"),
        (c.policy * 1.001, "no law"),
        (np.where(np.arange(12) == 0, np.nan, c.policy), "no law"),
        (-c.policy, "no law"),
        (uniform, "lower side"),
    ):
        assert says in moved(c, policy=policy).verify(mdp).reason
    other = np.where(c.choice == mdp.pair_ptr[:-1], c.choice + 1, mdp.pair_ptr[:-1])
    assert "likeliest" in moved(c, choice=other).verify(mdp).reason


def test_a_witness_belongs_to_no_other_criterion() -> None:
    mdp = garnet().under(mk.Discounted("9/10"))
    c = mk.solve(mdp).certificate
    assert "no use" in moved(c, policy=np.full(12, 1 / 3)).verify(mdp).reason


def test_no_exact_certificate() -> None:
    mdp = garnet()
    c = mk.solve(mdp).certificate
    exact = np.array([Fraction(x) for x in c.above], dtype=object)
    forged = moved(c, arithmetic="exact", above=exact, below=exact)
    assert "no rationals" in forged.verify(mdp).reason
    with pytest.raises(UnsupportedError, match="no rationals"):
        mk.solve(mdp, exact=True)


def test_files(tmp_path: Any) -> None:
    mdp = garnet()
    c = mk.solve(mdp).certificate
    c.save(tmp_path / "c.npz")
    again = Certificate.load(tmp_path / "c.npz")
    assert again.policy is not None
    assert np.array_equal(again.policy, c.policy)
    verdict = again.verify(mdp, exact=True)
    assert (verdict.valid, verdict.arithmetic) == (True, "ball")
    for other in (garnet(tau="1/3"), garnet(gamma="8/10"), mdp.under(mk.Discounted("9/10"))):
        with pytest.raises(CertificateError, match="another model"):
            again.verify(other)


def test_states_of_one_action_are_sharp() -> None:
    # Absorbing states without reward: both bounds may be zero there, and no logarithm is taken.
    mdp = mk.MDP([[[0, 1], [0, 1]], [[0, 1], [0, 1]]], [[1, 1], [0, 0]], mk.EntropyRegularized("1/2", 1))
    P = np.array([[0, 1], [0, 1], [0, 1]], dtype=object)
    ragged = mk.MDP(P, np.array([1, 1, 0]), mk.EntropyRegularized("1/2", 1), state=[0, 0, 1], action=[0, 1, 0])
    sol = mk.solve(ragged)
    assert np.allclose(sol.V, [1 + np.log(2), 0], atol=1e-12)
    assert sol.certificate.verify(ragged, exact=True)
    assert np.allclose(mk.solve(mdp).V, [1 + 2 * np.log(2), 2 * np.log(2)], atol=1e-12)
    c = sol.certificate
    zero = moved(c, below=np.where([True, False], c.below, 0.0), above=np.where([True, False], c.above, 0.0))
    assert zero.verify(ragged)
    assert zero.verify(ragged, exact=True)


def test_poor_answers_have_wide_true_bounds() -> None:
    mdp = garnet()
    V = mk.solve(mdp).V
    for guess in (np.zeros(4), np.array([1e6, -1e6, 0, 3.0]), np.full(4, np.nan), V + 1):
        c = certify(mdp, Answer(guess, None))
        assert c.valid
        assert np.all((c.lower <= V) & (V <= c.upper))


@pytest.mark.parametrize("scale", [1e-290, 1e-200, 1e-30, 1e30, 1e200])
def test_rewards_of_any_size(scale: float) -> None:
    P = np.array([[[0.5, 0.5], [0.0, 1.0]], [[1.0, 0.0], [0.25, 0.75]]])
    mdp = mk.MDP(P, scale * np.array([[1.0, 2.0], [0.0, 3.0]]), mk.EntropyRegularized(0.9, scale / 4))
    sol = mk.solve(mdp)
    assert sol.status.ok
    assert sol.certificate.verify(mdp)
    assert np.allclose(sol.V / scale, mk.solve(mk.MDP(P, [[1.0, 2.0], [0, 3.0]], mk.EntropyRegularized(0.9, 0.25))).V)


def test_rewards_beyond_floats_are_refused() -> None:
    mdp = mk.MDP(np.ones((1, 2, 1)), [[1e308, 1e308]], mk.EntropyRegularized(0.99, 1.0))
    with pytest.raises(ModelError, match="rescale"):
        mk.solve(mdp)


def test_float_models_are_certified_for_the_rationals_behind_them() -> None:
    P = np.array([[[0.1, 0.9], [0.3, 0.7]], [[0.6, 0.4], [1 / 3, 2 / 3]]])
    mdp = mk.MDP(P, [[0.1, 0.2], [0.7, 1 / 3]], mk.EntropyRegularized(0.95, 0.3, [[0.1, 0.9], [0.25, 0.75]]))
    verdict = mk.solve(mdp).certificate.verify(mdp, exact=True)
    assert (verdict.valid, verdict.about) == (True, "rationalized")
