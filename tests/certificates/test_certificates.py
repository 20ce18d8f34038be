"""Certificates enclose the rational truth, and refuse every corruption."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import oracle as o
import pytest
import strategies as g
from hypothesis import given, settings
from hypothesis import strategies as st

import mdpkit as mk
from mdpkit.certificates import Certificate
from mdpkit.errors import CertificateError, ModelError, OutputExistsError, UndefinedValueError
from mdpkit.models.canonical import shifted

F = Fraction
INF = float("inf")


def refused(certificate: Certificate, mdp: mk.MDP) -> None:
    """Not valid in floats nor in rationals, with a reason."""
    for exact in (False, True):
        verdict = certificate.verify(mdp, exact=exact)
        assert not verdict
        assert verdict.reason


def holds(certificate: Certificate, mdp: mk.MDP) -> bool:
    return bool(certificate.verify(mdp)) and bool(certificate.verify(mdp, exact=True))


MODELS = {
    "discounted": lambda: mk.instances.make("forest"),
    "discounted-minimize": lambda: g.build(COSTLY, mk.Discounted("9/10"), minimize=True),
    "finite": lambda: mk.instances.make("puterman-inventory"),
    "total": lambda: mk.instances.make("gridworld-4-1"),
    "target": lambda: g.build(COSTLY, mk.TotalReward(target=[3]), minimize=True),
    "reach": lambda: g.build(RISKY, mk.Reachability([2])),
    "reach-minimize": lambda: g.build(RISKY, mk.Reachability([2]), minimize=True),
    "safe": lambda: g.build(RISKY, mk.Invariance([0, 1])),
    "steps": lambda: g.build(RISKY, mk.Reachability([2], steps=4)),
}
COSTLY = [
    [(F(1), {0: F(1, 2), 1: F(1, 2)}), (F(3), {3: F(2, 3), 0: F(1, 3)})],
    [(F(1), {2: F(1)}), (F(5), {3: F(1)})],
    [(F(1), {0: F(1, 3), 3: F(2, 3)})],
    [(F(0), {3: F(1)})],
]
RISKY = [
    [(F(0), {0: F(1)}), (F(0), {1: F(1, 3), 2: F(2, 3)})],
    [(F(0), {0: F(1, 2), 3: F(1, 2)}), (F(0), {2: F(1, 7), 3: F(6, 7)})],
    [(F(0), {2: F(1)})],
    [(F(0), {3: F(1)})],
]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("exact", [False, True])
class TestSabotage:
    """Each bound is moved inward past the value; nothing of that may pass."""

    def issue(self, name: str, exact: bool) -> tuple[mk.MDP, Certificate]:
        mdp = MODELS[name]()
        certificate = mk.solve(mdp, exact=exact).certificate
        assert certificate.arithmetic == ("exact" if exact else "float")
        assert certificate.valid
        assert holds(certificate, mdp)
        return mdp, certificate

    @pytest.mark.parametrize("amount", [F(1, 10**12), F(1, 10**6), F(1, 100), F(1), F(10**9)])
    def test_one_value_past_the_truth(self, name: str, exact: bool, amount: Fraction) -> None:
        mdp, certificate = self.issue(name, exact)
        truth = mk.solve(mdp, exact=True).certificate.below
        scale = max([abs(F(x)) for x in truth.ravel()])
        for index in np.ndindex(truth.shape):
            for side, sign in (("below", 1), ("above", -1)):
                bound = getattr(certificate, side).copy()
                # In floats beyond what the checks may forgive: one part in 10^12 of the largest value.
                moved = truth[index] + sign * amount * (1 if exact else max(scale, 1))
                bound[index] = moved if exact else float(moved)
                bad = replace(certificate, **{side: bound})
                assert not bad.verify(mdp, exact=True), (index, side)
                assert not bad.verify(mdp), (index, side)

    def test_swapped_sides(self, name: str, exact: bool) -> None:
        mdp, certificate = self.issue(name, exact)
        if not exact and np.any(certificate.below < certificate.above):
            refused(replace(certificate, below=certificate.above, above=certificate.below), mdp)
        above = certificate.above - 1
        refused(replace(certificate, below=certificate.below + 1, above=above), mdp)

    def test_not_numbers_and_wrong_shapes(self, name: str, exact: bool) -> None:
        mdp, certificate = self.issue(name, exact)
        for side in ("below", "above"):
            bound = getattr(certificate, side)
            broken = bound.copy()
            broken.ravel()[0] = float("nan")
            refused(replace(certificate, **{side: broken}), mdp)
            refused(replace(certificate, **{side: bound[..., :-1]}), mdp)
            infinite = bound.copy()
            infinite.ravel()[0] = INF if side == "below" else -INF
            refused(replace(certificate, **{side: infinite}), mdp)
        refused(replace(certificate, choice=certificate.choice[..., :-1]), mdp)
        refused(replace(certificate, choice=certificate.choice.astype(float)), mdp)
        refused(replace(certificate, choice=certificate.choice + 10_000), mdp)
        refused(replace(certificate, choice=certificate.choice - 10_000), mdp)
        refused(replace(certificate, choice=np.roll(certificate.choice, 1, axis=-1)), mdp)

    def test_wrong_goal(self, name: str, exact: bool) -> None:
        mdp, certificate = self.issue(name, exact)
        refused(replace(certificate, sign=-certificate.sign), mdp)
        refused(replace(certificate, offset=1 - certificate.offset), mdp)

    def test_every_worse_policy(self, name: str, exact: bool) -> None:
        """The lower side holds with a policy only if that policy attains it."""
        mdp, certificate = self.issue(name, exact)
        if certificate.choice.ndim != 1:
            return
        model = o.read(mdp)
        base = mdp.pair_ptr[:-1]
        sign = -1 if mdp.minimize else 1
        c: Any = mdp.criterion
        fixed = (
            {int(s) for s in np.flatnonzero(mdp.states_of(c.target))}
            if getattr(c, "target", None) is not None
            else set()
        )
        for policy in islice(o.policies(model), 60 if mdp.n_states > 8 else 300):
            candidate = replace(certificate, choice=base + np.array(policy))
            rewards, rows = o.chain(model, policy)
            if isinstance(c, mk.Discounted):
                value = o.discounted_policy(model, policy, F(c.exact))
            elif isinstance(c, mk.Reachability):
                value = o.hitting(rows, fixed)
            elif isinstance(c, mk.Invariance):
                value = [1 - x for x in o.hitting(rows, set(np.flatnonzero(~mdp.states_of(c.safe)).tolist()))]
            elif fixed:
                reach = o.hitting(rows, fixed)
                if any(x < 1 for x in reach):
                    assert not candidate.verify(mdp, exact=True)
                    assert not candidate.verify(mdp)
                    continue
                x = o.solve_on(rows, [s for s in range(len(rows)) if s not in fixed], rewards)
                value = [x.get(s, F(0)) for s in range(len(rows))]
            else:
                value = o.chain_total(rewards, rows).value
            attains = all(
                sign * v >= b for v, b in zip(value, certificate.below - sign * certificate.offset, strict=True)
            )
            if not attains:
                assert not candidate.verify(mdp, exact=True)
                assert not candidate.verify(mdp)

    def test_other_models(self, name: str, exact: bool) -> None:
        mdp, certificate = self.issue(name, exact)
        for other, make in MODELS.items():
            if other != name:
                with pytest.raises(CertificateError, match="another model"):
                    certificate.verify(make())
        with pytest.raises(CertificateError, match="another model"):
            certificate.verify(mdp.under(mdp.criterion, minimize=not mdp.minimize))

    def test_files(self, name: str, exact: bool, tmp_path: Path) -> None:
        mdp, certificate = self.issue(name, exact)
        path = tmp_path / "c.npz"
        certificate.save(path)
        again = Certificate.load(path)
        assert again.below.tolist() == certificate.below.tolist()
        assert again.above.tolist() == certificate.above.tolist()
        assert again.choice.tolist() == certificate.choice.tolist()
        assert not again.valid  # nothing read from a file is believed before it is checked
        assert holds(again, mdp)
        with pytest.raises(OutputExistsError):
            certificate.save(path)
        certificate.save(path, overwrite=True)
        good = path.read_bytes()
        rng = np.random.default_rng(0)
        for _ in range(12):
            damaged = bytearray(good)
            for k in rng.integers(0, len(damaged), size=8):
                damaged[k] ^= int(rng.integers(1, 256))
            path.write_bytes(bytes(damaged))
            try:
                loaded = Certificate.load(path)
            except CertificateError:
                continue
            same = (
                loaded.below.tolist() == certificate.below.tolist()
                and loaded.above.tolist() == certificate.above.tolist()
            )
            assert same and loaded.choice.tolist() == certificate.choice.tolist()
        for content in (b"", good[: len(good) // 2], b"PK\x03\x04 nothing", b"not a file"):
            path.write_bytes(content)
            with pytest.raises(CertificateError):
                Certificate.load(path)
        with pytest.raises(CertificateError, match="no certificate file"):
            Certificate.load(tmp_path / "missing.npz")


# -- fixed points that are not the value --------------------------------------------------------------------------------


def forged(mdp: mk.MDP, below: list[Any], above: list[Any], actions: list[int]) -> list[Certificate]:
    """A certificate with these canonical bounds, in floats and in rationals."""
    honest = mk.solve(mdp, exact=True).certificate
    choice = mdp.pair_ptr[:-1] + np.array(actions)
    out = []
    for arithmetic in ("float", "exact"):
        arrays = [np.array([F(x) if not isinstance(x, float) else x for x in b], dtype=object) for b in (below, above)]
        if arithmetic == "float":
            arrays = [b.astype(float) for b in arrays]
        out.append(replace(honest, arithmetic=arithmetic, below=arrays[0], above=arrays[1], choice=choice))
    return out


STAY = {0: F(1)}
TRAP = [  # 0 and 1 form an end component; from 1 one may go on to the target 2 or the sink 3
    [(F(0), {1: F(1)})],
    [(F(0), {0: F(1)}), (F(0), {2: F(1, 4), 3: F(3, 4)})],
    [(F(0), {2: F(1)})],
    [(F(0), {3: F(1)})],
]


@pytest.mark.parametrize(
    ("low", "actions"),
    [
        ([F(1, 2), F(1, 2), 1, 0], [0, 0, 0, 0]),  # a wrong fixed point, by postponing for ever
        ([F(1, 2), F(1, 2), 1, 0], [0, 1, 0, 0]),
        ([F(1, 4), F(1, 4), 1, 0], [0, 0, 0, 0]),  # the right value, by a policy that never goes
        ([1, 1, 1, 0], [0, 0, 0, 0]),
    ],
)
def test_lower_bounds_of_reachability_in_an_end_component(low: list[Any], actions: list[int]) -> None:
    mdp = g.build(TRAP, mk.Reachability([2]))
    for certificate in forged(mdp, low, [F(1, 2), F(1, 2), 1, 0], actions):
        refused(certificate, mdp)
    floats, exact = forged(mdp, [F(1, 4), F(1, 4), 1, 0], [F(1, 2), F(1, 2), 1, 0], [0, 1, 0, 0])
    assert floats.verify(mdp, exact=True)  # true though not tight: a larger fixed point is an upper bound
    assert "do not coincide" in exact.verify(mdp).reason


def test_upper_bounds_of_least_probabilities_in_an_end_component() -> None:
    mdp = g.build(TRAP, mk.Reachability([2]), minimize=True)
    # In canonical form values are -Pmin: here 0 in the component. Pretending that the target is met with probability 1/2:
    for certificate in forged(mdp, [F(-1, 2), F(-1, 2), -1, 0], [F(-1, 2), F(-1, 2), -1, 0], [0, 1, 0, 0]):
        refused(certificate, mdp)
    for certificate in forged(mdp, [F(-1, 4), F(-1, 4), -1, 0], [F(-1, 4), F(-1, 4), -1, 0], [0, 0, 0, 0]):
        refused(certificate, mdp)
    for certificate in forged(mdp, [0, 0, -1, 0], [0, 0, -1, 0], [0, 0, 0, 0]):
        assert holds(certificate, mdp)
    for certificate in forged(mdp, [0, 0, -1, 0], [0, 0, -1, 0], [0, 1, 0, 0]):
        refused(certificate, mdp)


def test_upper_bounds_too_low_in_silent_loops() -> None:
    model = [[(F(0), STAY), (F(-3), {1: F(1)})], [(F(0), {1: F(1)})]]
    mdp = g.build(model, mk.TotalReward())
    for certificate in forged(mdp, [-3, 0], [-3, 0], [1, 0]) + forged(mdp, [-3, 0], [F(-1, 10**9), 0], [1, 0]):
        refused(certificate, mdp)
    for certificate in forged(mdp, [0, 0], [0, -1], [0, 0]) + forged(mdp, [0, 1], [0, 1], [0, 0]):
        refused(certificate, mdp)
    for certificate in forged(mdp, [0, 0], [0, 0], [0, 0]):
        assert holds(certificate, mdp)


def test_lower_bounds_of_a_minimizer_who_never_arrives() -> None:
    model = [[(F(0), STAY), (F(1), {1: F(1)})], [(F(0), {1: F(1)})]]
    mdp = g.build(model, mk.TotalReward(target=[1]), minimize=True)
    for certificate in forged(mdp, [0, 0], [0, 0], [0, 0]) + forged(mdp, [-1, 0], [-1, 0], [0, 0]):
        refused(certificate, mdp)
    for certificate in forged(mdp, [-1, 0], [-1, 0], [1, 0])[1:]:  # floats need room for their rounding
        assert holds(certificate, mdp)


def test_finite_bounds_of_infinite_values() -> None:
    gaining = g.build([[(F(1), STAY)]], mk.TotalReward())
    losing = g.build([[(F(-1), STAY)]], mk.TotalReward())
    for certificate in forged(gaining, [0], [10**9], [0]) + forged(gaining, [-INF], [10**9], [0]):
        refused(certificate, gaining)
    for certificate in forged(losing, [-(10**9)], [0], [0]) + forged(losing, [0], [0], [0]):
        refused(certificate, losing)
    silent = g.build([[(F(0), STAY)]], mk.TotalReward())
    for certificate in forged(silent, [INF], [INF], [0]) + forged(silent, [-INF], [-INF], [0]):
        refused(certificate, silent)


def test_values_of_a_chain_of_gain_zero() -> None:
    model = [[(F(1), {0: F(1, 2), 1: F(1, 2)})], [(F(-1), {0: F(1, 2), 1: F(1, 2)})]]
    mdp = g.build(model, mk.TotalReward())
    shift = F(1, 10**6)
    for low, high in (
        ([1 + shift, -1 + shift], [1 + shift, -1 + shift]),
        ([1 - shift, -1 - shift], [1 - shift, -1 - shift]),
    ):
        for certificate in forged(mdp, low, high, [0, 0]):
            refused(certificate, mdp)
    for certificate in forged(mdp, [1, -1], [1, -1], [0, 0])[1:]:
        assert certificate.verify(mdp)


# -- enclosure ----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    gamma=st.sampled_from(["0", "1/3", "9/10", "0.999", "0.9999999"]),
    scale=st.sampled_from([1e-280, 1e-9, 1.0, 1e9, 1e280]),
    minimize=st.booleans(),
)
def test_discounted_bounds_of_float_models_enclose_the_rational_value(
    seed: int, gamma: str, scale: float, minimize: bool
) -> None:
    rng = np.random.default_rng(seed)
    S, A = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    numerators = rng.integers(1, 1000, size=(S, A, S))
    P = numerators / numerators.sum(axis=2, keepdims=True)
    r = rng.normal(size=(S, A)) * scale
    mdp = mk.MDP(P, r, mk.Discounted(gamma), minimize=minimize)
    sol = mk.solve(mdp)
    assert sol.certificate.valid
    assert sol.status.ok
    truth = o.best_discounted(o.read(mdp), F(gamma), minimize=minimize)
    for low, value, high in zip(sol.certificate.lower, truth, sol.certificate.upper, strict=True):
        assert F(low) <= value <= F(high)
    assert sol.certificate.verify(mdp, exact=True)


@settings(deadline=None, max_examples=40, derandomize=True, database=None)
@given(model=g.models(S=3), shift=st.integers(-3, 3), factor=st.integers(1, 4))
def test_affine_changes_of_the_rewards(model: Any, shift: int, factor: int) -> None:
    gamma = F(9, 10)
    value = mk.solve(g.build(model, mk.Discounted(gamma)), exact=True).exact
    changed = [[(factor * r + shift, row) for r, row in actions] for actions in model]
    again = mk.solve(g.build(changed, mk.Discounted(gamma)), exact=True).exact
    assert value is not None
    assert again is not None
    assert list(again) == [factor * v + shift / (1 - gamma) for v in value]


@settings(deadline=None, max_examples=40, derandomize=True, database=None)
@given(model=g.models(S=4), seed=st.integers(0, 1000), criterion=st.sampled_from(["discounted", "reach", "finite"]))
def test_permuting_states_permutes_answers(model: Any, seed: int, criterion: str) -> None:
    S = len(model)
    order = np.random.default_rng(seed).permutation(S)  # new number of each state
    moved: Any = [None] * S
    for s, actions in enumerate(model):
        moved[order[s]] = [(r, {int(order[t]): p for t, p in row.items()}) for r, row in actions]
    made: Any = {
        "discounted": (mk.Discounted("9/10"), mk.Discounted("9/10")),
        "reach": (mk.Reachability([0]), mk.Reachability([int(order[0])])),
        "finite": (mk.FiniteHorizon(3), mk.FiniteHorizon(3)),
    }[criterion]
    for exact in (False, True):
        first = mk.solve(g.build(model, made[0], exact=exact), exact=True).exact
        second = mk.solve(g.build(moved, made[1], exact=exact), exact=True).exact
        assert first is not None
        assert second is not None
        assert np.all(first == second[..., order])


def test_a_rounded_law_at_the_start_is_enclosed() -> None:
    mdp = mk.instances.make("forest")
    rho = np.array([F(1, 3), F(1, 7), 1 - F(1, 3) - F(1, 7)], dtype=object)
    mdp = mdp.under(mdp.criterion, rho=rho)
    exact = mk.solve(mdp, exact=True)
    assert exact.exact_value == sum(a * b for a, b in zip(rho, exact.exact, strict=True))
    for sol in (exact, mk.solve(mdp)):
        assert F(sol.lower) <= exact.exact_value <= F(sol.upper)


@pytest.mark.parametrize("criterion", [mk.Discounted("0.9"), mk.FiniteHorizon(3), mk.AverageReward()])
def test_a_certificate_must_not_say_more_than_is_checked(criterion: Any) -> None:
    mdp = mk.instances.make("howard-toymaker").under(criterion)
    exact, floats = mk.solve(mdp, exact=True).certificate, mk.solve(mdp).certificate
    zero = exact.below * 0
    wide = {"below": exact.below - 1000}
    if isinstance(criterion, mk.AverageReward):
        wide["below_bias"] = zero
        assert replace(floats, below=floats.below - 1000, below_bias=0 * floats.below_bias).verify(mdp)
    for change, says in (
        (wide, "do not coincide"),
        ({"below": exact.below.astype(float), "above": exact.above.astype(float)}, "not made of fractions"),
        ({"arithmetic": "float"}, "of type object"),
        ({"arithmetic": "sure"}, "neither float nor exact"),
        ({"whole": not exact.whole}, "other stages"),
    ):
        verdict = replace(exact, **change).verify(mdp)
        assert not verdict
        assert says in verdict.reason
    longer = replace(floats, above=floats.above.astype(np.longdouble)).verify(mdp)
    assert not longer
    assert "of type float128" in longer.reason or "of type longdouble" in longer.reason


@pytest.mark.parametrize("exact", [False, True])
def test_a_law_over_both_infinities_has_no_value(exact: bool) -> None:
    mdp = mk.MDP(np.eye(3)[:, None], [[1.0], [-1.0], [0.0]], mk.TotalReward(), rho=[0.25, 0.25, 0.5])
    sol = mk.solve(mdp, exact=exact)
    assert sol.status.ok
    assert [float(v) for v in sol.certificate.lower] == [np.inf, -np.inf, 0.0]
    value = mk.evaluate(mdp, [0, 0, 0], exact=exact)
    for ask in (lambda: sol.value, lambda: sol.lower, lambda: value.value, lambda: value.initial):
        with pytest.raises(UndefinedValueError, match="both infinities") as error:
            ask()
        assert error.value.witness == {"plus infinity in state": 0, "minus infinity in state": 1}
    assert "no value at the initial law" in repr(sol)
    assert "no value at the initial law" in repr(value)
    assert "undefined at the initial law" in sol._repr_html_()
    if not exact:
        with pytest.raises(UndefinedValueError, match="both infinities"):
            mk.solve(mdp, until=mk.Gap(where="initial"))
    one_sign = mk.MDP(np.eye(3)[:, None], [[1.0], [1.0], [0.0]], mk.TotalReward(), rho=[0.25, 0.25, 0.5])
    sol = mk.solve(one_sign, exact=exact)
    assert (sol.lower, sol.upper, sol.value) == (np.inf, np.inf, np.inf)


def test_numbers_beyond_floats_are_errors_of_the_library() -> None:
    P = [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]
    mdp = mk.MDP(P, [[1.7e308, -1.7e308], [1e308, 0.0]], mk.Discounted("0.95"))
    with pytest.raises(ModelError, match="no float bounds"):
        mk.solve(mdp)
    with pytest.raises(ModelError, match="an exact value is beyond the range of floats"):
        mk.solve(mdp, exact=True)
    average = mdp.under(mk.AverageReward())
    for name in ("multichain-policy-iteration", "relative-value-iteration", "vanishing-discount"):
        with pytest.raises(ModelError, match="no float bounds"):
            mk.solve(average, name)
    sol = mk.solve(average, exact=True)
    assert sol.certificate.valid
    assert sol.exact.tolist() == [F(1.7e308)] * 2
    huge = np.array([F(-(10**400))] * 2, dtype=object)
    assert not replace(sol.certificate, below=huge, above=huge).verify(average)


def test_shifted_bounds_are_rounded_outward_where_the_sum_is_inexact_only() -> None:
    rng = np.random.default_rng(0)
    bound = -np.concatenate(([0.0, 1.0, 0.5, 2.0**-53, 2.0**-54, 1e-300, 5e-324], rng.random(500) ** 8))
    lower, upper = shifted(1, bound, -np.inf), shifted(1, bound, np.inf)
    for low, b, high in zip(lower, bound, upper, strict=True):
        assert F(low) <= 1 + F(b) <= F(high)
        assert (low == high) == (1 + F(b) in (F(low), F(high)))
    assert lower[:3].tolist() == upper[:3].tolist() == [1.0, 0.0, 0.5]


def test_an_invariance_that_surely_fails_is_zero() -> None:
    mdp = g.build([[(F(0), {1: F(1)})], [(F(0), {1: F(1)})]], mk.Invariance([0]), rho=0)
    for name in ("topological-value-iteration", "policy-iteration"):
        sol = mk.solve(mdp, name)
        assert sol.status.ok
        assert (sol.lower, sol.upper) == (0.0, 0.0)
