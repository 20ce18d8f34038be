"""Certificates of the average reward: sound for any answer, refused when touched, saved and loaded."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import oracle as o
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import build, models

import mdpkit as mk
from mdpkit.certificates import Certificate, certify, certify_exact
from mdpkit.errors import CertificateError, ModelError
from mdpkit.solver import Answer

F = Fraction
AVERAGE = mk.AverageReward()


@settings(max_examples=150, deadline=None)
@given(models(S=4, A=3), st.integers(0, 2**32 - 1), st.booleans())
def test_any_answer_gives_true_bounds(model: list, seed: int, minimize: bool) -> None:
    rng = np.random.default_rng(seed)
    mdp = build(model, AVERAGE, exact=False, minimize=minimize)
    choice = np.array([rng.integers(a, b) for a, b in zip(mdp.pair_ptr[:-1], mdp.pair_ptr[1:], strict=True)])
    V = rng.normal(size=len(model)) * 10.0 ** rng.integers(-3, 9)
    certificate = certify(mdp, Answer(V, choice))
    assert certificate.valid
    signed = [[(-r if minimize else r, row) for r, row in actions] for actions in model]
    best = o.best_gain(signed)
    own, _ = o.poisson(signed, choice - mdp.pair_ptr[:-1])
    below, above = certificate.below, certificate.above
    assert all(low <= g <= b <= high for low, g, b, high in zip(below, own, best, above, strict=True))
    assert np.all(certificate.lower <= certificate.upper)


def toymaker() -> tuple[mk.MDP, Certificate]:
    mdp = mk.instances.make("howard-toymaker").under(AVERAGE)
    return mdp, mk.solve(mdp, exact=True).certificate


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"above": np.array([F(2), F(2) - F(1, 10**12)], dtype=object)}, "upper side"),
        ({"above": np.array([F(2) - F(1, 10**12)] * 2, dtype=object)}, "upper side"),
        ({"below": np.array([F(2) + F(1, 10**12)] * 2, dtype=object)}, "lower side"),
        ({"below": np.array([F(2), F(2) + F(1, 10**12)], dtype=object)}, "lower side"),
        ({"above_bias": np.array([F(20, 9), F(-70, 9) - F(1, 10**9)], dtype=object)}, "upper side"),
        ({"below_bias": np.array([F(20, 9), F(-70, 9) + F(1, 10**9)], dtype=object)}, "lower side"),
        ({"choice": np.array([0, 3])}, "lower side"),
        ({"above_bias": None}, "no bias"),
        ({"below_bias": np.array([F(0)], dtype=object)}, "bias below is not"),
        ({"above_bias": np.array([F(0), np.inf], dtype=object)}, "bias above is not"),
    ],
)
def test_a_touched_certificate_is_refused(change: dict, says: str) -> None:
    mdp, certificate = toymaker()
    assert certificate.verify(mdp)
    verdict = replace(certificate, **change).verify(mdp)
    assert not verdict
    assert says in verdict.reason


def test_a_gain_that_falls_needs_no_bias() -> None:
    # 0 may go to 1 (gain 5), which pays nothing on the way, or stay for 1: the bound 5 on state 0 is strict at staying.
    mdp = mk.MDP([[[1, 0], [0, 1]], [[0, 1], [0, 1]]], [[1, -100], [5, 5]], AVERAGE)
    sol = mk.solve(mdp, exact=True)
    assert sol.exact.tolist() == [5, 5]
    # the other way round: leaving 1 for 0 loses, however much is paid once
    mdp = mk.MDP([[[1, 0], [1, 0]], [[1, 0], [0, 1]]], [[1, 1], [10**6, 5]], AVERAGE)
    sol = mk.solve(mdp, exact=True)
    assert sol.exact.tolist() == [1, 5]
    assert sol.certificate.verify(mdp)
    floats = mk.solve(mdp)
    assert floats.status.ok
    assert floats.gain.tolist() == pytest.approx([1, 5])


def test_saved_and_loaded(tmp_path) -> None:
    mdp, exact = toymaker()
    floats = mk.solve(mdp).certificate
    for k, certificate in enumerate((exact, floats)):
        path = tmp_path / f"{k}.npz"
        certificate.save(path)
        again = Certificate.load(path)
        assert again.verify(mdp)
        assert again.verify(mdp, exact=True)
        assert again.below_bias.tolist() == certificate.below_bias.tolist()
        assert again.above_bias.tolist() == certificate.above_bias.tolist()
        with pytest.raises(CertificateError, match="another model"):
            again.verify(mdp.under(mk.Discounted("0.9")))


def test_exact_from_the_worst_policy() -> None:
    mdp = mk.instances.make("riverswim").under(AVERAGE)
    certificate = certify_exact(mdp, mdp.pair_ptr[:-1])
    assert set(certificate.lower) == {F(7203, 16805)}


def test_rows_that_lose_probability_are_refused() -> None:
    P = np.array([[[0.5, 0.5 - 1e-9]], [[0.0, 1.0]]])
    with pytest.warns(mk.ModelWarning):
        mdp = mk.MDP(P, [[1.0], [0.0]], AVERAGE)
    with pytest.raises(ModelError, match=r"state 0, action 0 does not sum to one.*normalize=True"):
        mk.solve(mdp)
    assert mk.solve(mk.MDP(P, [[1.0], [0.0]], AVERAGE, normalize=True)).gain.tolist() == pytest.approx([0, 0])


def test_sums_of_tenths_are_no_loss() -> None:
    mdp = mk.MDP(np.full((10, 1, 10), 0.1), np.arange(10.0), AVERAGE)
    assert np.all(mdp.P.data == 0.1)
    sol = mk.solve(mdp)
    assert sol.status.ok
    assert sol.gain == pytest.approx(np.full(10, 4.5))


@pytest.mark.parametrize("rewards", [[0, 2, 1], [1, 0, 0], ["1/3", 0, 0], [-1000000, 0, 1]])
@pytest.mark.parametrize("exact", [False, True])
def test_a_gain_of_zero_is_exact_beside_other_rewards(rewards: list, exact: bool) -> None:
    model = [[(F(r), {0: F(1)}) for r in rewards]]
    for minimize in (False, True):
        sol = mk.solve(build(model, AVERAGE, exact=exact, minimize=minimize), "multichain-policy-iteration")
        best = (min if minimize else max)(map(F, rewards))
        assert sol.status.ok
        assert sol.certificate.lower[0] <= best <= sol.certificate.upper[0]
        assert best != 0 or sol.certificate.gap == 0


def test_mixed_actions_of_one_state_have_float_bounds() -> None:
    # the mixed reward has an error of its own, which the bounds by rewards alone must bear
    for exact in (False, True):
        mdp = build([[(F(0), {0: F(1)}), (F(1), {0: F(1)}), (F(-2, 3), {0: F(1)})]], AVERAGE, exact=exact, rho=0)
        value = mk.evaluate(mdp, [[0.25, 0.5, 0.25]])
        assert value.lower[0] <= F(1, 3) <= value.upper[0]
        assert value.gap < 1e-13


def test_action_values_do_not_depend_on_the_width_of_the_bounds() -> None:
    mdp = mk.MDP([[[0.5, 0.5]], [[0.25, 0.75]]], [[1.0], [2.0]], AVERAGE)
    sol = mk.solve(mdp, "relative-value-iteration", until=mk.Steps(3))
    assert sol.certificate.gap > 1e-6
    assert sol.Q[:, 0] == pytest.approx(sol.bias, rel=1e-12)


def test_bits_that_do_not_sum_to_one_have_no_exact_average() -> None:
    mdp = mk.MDP([[[0.1, 0.2, 0.7]]] * 3, [[1.0], [2.0], [3.0]], AVERAGE)
    assert mk.solve(mdp, exact=True).exact.tolist() == [F(13, 5)] * 3
    with pytest.raises(ModelError, match=r"bits of the row of state 0, action 0 do not sum to exactly one.*1 -"):
        mk.solve(mdp, exact=True, dyadic=True)
    halves = mk.MDP([[[0.25, 0.25, 0.5]]] * 3, [[1.0], [2.0], [3.0]], AVERAGE)
    assert mk.solve(halves, exact=True, dyadic=True).certificate.valid


@pytest.mark.parametrize(
    "name",
    ["multichain-policy-iteration", "relative-value-iteration", "gain-bias-linear-programming", "vanishing-discount"],
)
def test_rows_of_twelve_digits_are_divided_by_their_sums(name: str) -> None:
    third = 0.3333333333331
    mdp = mk.MDP([[[third] * 3]] * 3, [[1e6], [0.0], [3.0]], AVERAGE, rho=0)
    sol = mk.solve(mdp, name)
    assert sol.status.ok
    assert sol.certificate.lower[0] <= F(1000003, 3) <= sol.certificate.upper[0]
    assert sol.bias == pytest.approx([1e6 - 1000003 / 3, -1000003 / 3, 3 - 1000003 / 3], rel=1e-9)
    assert sol.Q[:, 0] == pytest.approx(sol.bias, rel=1e-9)
    assert mk.evaluate(mdp, [0, 0, 0]).bias == pytest.approx(sol.bias, rel=1e-12)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_passages_beyond_floats_leave_true_bounds() -> None:
    mdp = mk.MDP([[[1.0, 5e-324]], [[5e-324, 1.0]]], [[1.0], [0.1]], AVERAGE)
    for name in ("multichain-policy-iteration", "gain-bias-linear-programming", "vanishing-discount"):
        sol = mk.solve(mdp, name)
        assert not sol.status.ok
        assert np.all(sol.certificate.lower <= 0.1)
        assert np.all(sol.certificate.upper >= 1)


@pytest.mark.parametrize("reward", [1.5, -0.3, 1 / 3])
def test_mixed_rewards_that_are_all_the_same(reward: float) -> None:
    """The mean of a randomized policy's rewards is known less well than a reward itself."""
    P = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.3, 0.7]]])
    mdp = mk.MDP(P, [[reward + 0.5, reward - 0.5]] * 2, AVERAGE)
    found = mk.evaluate(mdp, [[0.5, 0.5], [0.5, 0.5]])
    assert found.gap < 1e-13
    assert found.gain == pytest.approx(np.full(2, reward))
    one = mk.evaluate(mk.MDP([[[1.0], [1.0]]], [[0.3, -0.4]], AVERAGE), [[0.5, 0.5]])
    assert one.lower[0] <= F(0.3) / 2 - F(0.4) / 2 <= one.upper[0]


def test_the_exact_value_needs_a_start() -> None:
    mdp = mk.MDP([[[1], [1]]], [[1, 2]], AVERAGE)
    with pytest.raises(ModelError, match="no initial state"):
        _ = mk.solve(mdp, exact=True).exact_value
    assert mk.solve(mdp.under(rho=0), exact=True).exact_value == 2


def test_a_way_to_a_gain_of_zero() -> None:
    # state 0 gives up its own loop for a class of gain zero, which floats know up to rounding only
    model = [
        [(F(-1), {0: F(1)}), (F(-2), {0: F(1)}), (F(-2), {1: F(1, 3), 2: F(2, 3)})],
        [(F(0), {1: F(1)}), (F(-2), {1: F(1, 4), 2: F(3, 4)})],
        [(F(2), {2: F(1, 4), 1: F(3, 4)}), (F(0), {1: F(1, 4), 2: F(3, 4)})],
    ]
    assert o.best_gain(model) == [0, 0, 0]
    sol = mk.solve(build(model, AVERAGE, exact=False), "multichain-policy-iteration")
    assert sol.certificate.gap < 1e-13
