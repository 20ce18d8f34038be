"""The engine on claims made for it: true ones, false ones, loose ones, undecided ones, and code with faults."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import flint
import numpy as np
import pytest

import mdpkit as mk
from mdpkit.claims import Case, Interval, Rate, claim, equal, fact, leq, mutant, point
from mdpkit.claims.cases import chosen, discounted
from mdpkit.claims.check import check
from mdpkit.claims.evidence import Evidence, Verdict
from mdpkit.claims.judge import Judge
from mdpkit.claims.trial import call, iterates
from mdpkit.errors import OptionError
from mdpkit.kernels import reference
from mdpkit.models.arithmetic import number
from mdpkit.solver import Answer, IterativeSolver

F = Fraction


@pytest.fixture(autouse=True)
def _registry():
    """Claims made here are forgotten again."""
    import sys

    registry = sys.modules["mdpkit.claims.claim"]._REGISTRY
    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)


def made(check_function: Any, **options: Any) -> Any:
    defaults: dict[str, Any] = {
        "says": "x",
        "where": "made here",
        "kind": "upper",
        "mode": "exact",
        "instances": chosen([Case("one", 1), Case("two", 2)]),
        "controls": [mutant("twice", factor=2)],
    }
    sys.modules["mdpkit.claims.claim"]._REGISTRY.pop("made2026:here", None)
    return claim("made2026:here", **(defaults | options))(check_function)


def true(x, *, factor=1):
    """A true statement."""
    yield leq(factor * x, x, "x")


def test_a_true_claim_is_verified():
    e = made(true).run()
    assert e.verdict is Verdict.VERIFIED
    assert (e.instances, e.rows, e.slack, e.controls[0].killed) == (2, 2, 0, True)
    assert e.controls[0].by == "one: 2 > 1 at x"


def test_a_false_claim_is_refuted_with_its_counterexample():
    def false(x, *, factor=1):
        """A false statement."""
        yield leq(factor * x * x, x, "x")

    e = made(false).run()
    assert e.verdict is Verdict.REFUTED
    assert e.worst == "two: 4 > 2 at x"
    assert e.slack == -2
    assert not e.verdict.ok


def test_a_control_that_is_not_refuted_leaves_the_claim_open():
    e = made(true, controls=[mutant("nothing", factor=1)]).run()
    assert e.verdict is Verdict.NOT_ESTABLISHED
    assert "the control 'nothing' is not refuted" in e.notes


def test_what_is_undecided_is_not_established():
    def wide(x, *, factor=1):
        """Too wide."""
        yield leq(Interval(0, 2 * factor * x), x)

    e = made(wide, controls=[mutant("far", factor=1)], mode="numeric").run()
    assert e.verdict is Verdict.NOT_ESTABLISHED
    assert e.undecided == 2


def test_a_few_undecided_rows_are_counted_and_allowed():
    def mostly(x, *, factor=1):
        """Mostly decided."""
        yield from (leq(factor * i, i) for i in range(1, 40))
        yield leq(Interval(0, 2), 1)

    e = made(mostly, mode="numeric").run()
    assert (e.verdict, e.undecided, e.rows) == (Verdict.HELD, 2, 80)


def test_more_bits_are_taken_where_rows_are_undecided():
    seen = []

    def fine(x, *, factor=1):
        """A difference of 2**-300."""
        seen.append(flint.ctx.prec)
        yield leq(factor * flint.arb(2).sqrt() ** 2, F(2) + F(1, 2**300))

    e = made(fine, mode="numeric").run()
    assert e.verdict is Verdict.HELD
    assert seen[:2] == [128, 512]
    assert flint.ctx.prec not in (128, 512)


def test_a_loose_bound_is_vacuous():
    def loose(x, *, factor=1):
        """A bound far away."""
        yield from (leq(F(factor, 10**5), 1 if factor < 10**5 else 0, k=k) for k in range(1, 9))

    e = made(loose, controls=[mutant("large", factor=10**6)]).run()
    assert e.verdict is Verdict.VACUOUS
    assert e.ratio == pytest.approx(1e5)
    assert not e.verdict.ok


def test_the_ratio_is_that_of_the_last_quarter():
    def closing(x, *, factor=1):
        """A bound that is close at the start only."""
        yield from (leq(F(factor, 10**k), 1, k=k) for k in range(9))

    e = made(closing, controls=[mutant("large", factor=10**9)]).run()
    assert e.ratio == pytest.approx(10**6)


def test_an_exact_claim_with_balls_is_held_and_says_so():
    def rough(x, *, factor=1):
        """Not exact."""
        yield leq(factor * flint.arb(x).sqrt(), x + 1)

    e = made(rough, controls=[mutant("large", factor=10)]).run()
    assert e.verdict is Verdict.HELD
    assert "not all comparisons are exact" in e.notes


def test_nothing_compared_establishes_nothing():
    def empty(x, *, factor=1):
        """Nothing."""
        if factor == 2:
            yield leq(2, 1)

    assert made(empty).run().verdict is Verdict.NOT_ESTABLISHED


def test_counterexamples():
    def tempting(x, *, factor=1):
        """The square is never larger."""
        yield leq(x * x * factor, x)

    e = made(tempting, kind="counterexample", controls=[mutant("on the unit interval", factor=F(1, 2))]).run()
    assert e.verdict is Verdict.VERIFIED
    assert "4 > 2" in e.worst
    e = made(tempting, kind="counterexample", controls=[mutant("still false", factor=1)]).run()
    assert e.verdict is Verdict.NOT_ESTABLISHED
    e = made(true, kind="counterexample").run()  # nothing violates a true statement
    assert e.verdict is Verdict.NOT_ESTABLISHED


@pytest.mark.parametrize(
    ("side", "exponent", "verdict"),
    [
        ("exactly", -2, Verdict.HELD),
        ("exactly", -1, Verdict.REFUTED),
        ("at_most", -1, Verdict.HELD),
        ("at_most", -3, Verdict.REFUTED),
        ("at_least", -3, Verdict.HELD),
        ("at_least", -1, Verdict.REFUTED),
    ],
)
def test_rates_have_a_side(side, exponent, verdict):
    def decay(x, *, power=2):
        """A power law."""
        yield from (point(k, F(1, k**power) if power else F(1)) for k in (1, 2, 4, 8, 16, 32))

    wrong = {"exactly": 4, "at_most": 0, "at_least": 5}[side]
    e = made(
        decay, kind="rate", mode="numeric", rate=Rate(exponent, side), controls=[mutant("other power", power=wrong)]
    ).run()
    assert e.verdict is verdict
    assert abs(e.slope[0] + 2) < 1e-9


def test_a_rate_that_the_interval_does_not_decide_stays_open():
    def noisy(x, *, power=2):
        """Two power laws by turns."""
        yield from (point(k, (3.0 if i % 2 else 1.0) * k**-power) for i, k in enumerate((1, 2, 4, 8, 16, 32)))

    e = made(noisy, kind="rate", mode="numeric", rate=Rate(-2), controls=[mutant("none", power=9)]).run()
    assert e.verdict is Verdict.NOT_ESTABLISHED


def test_a_geometric_rate():
    def decay(x, *, base=2):
        """A geometric decay."""
        yield from (point(k, F(1, base**k)) for k in range(8))

    rate = Rate(float(-np.log(2)), "exactly", 1e-6, "geometric")
    e = made(decay, kind="rate", mode="numeric", rate=rate, controls=[mutant("three", base=3)]).run()
    assert e.verdict is Verdict.HELD


def test_symbolic_claims_print_their_domain():
    def symbols(x, *, factor=1):
        """One is one."""
        yield fact(factor == 1)

    e = made(symbols, kind="identity", mode="symbolic", domain="all real numbers").run()
    assert (e.verdict, e.notes) == (Verdict.PROVED, ("domain: all real numbers",))


def test_a_statistical_claim_gets_a_seeded_generator_and_its_share_of_delta():
    seen = []

    def sampled(x, *, rng, delta, factor=1):
        """A draw."""
        seen.append((rng.random(), delta))
        yield leq(factor * seen[-1][0], 1)

    options: Any = {"mode": "statistical", "delta": 0.1, "controls": [mutant("large", factor=10**9)]}
    assert made(sampled, **options).run(seed=3).verdict is Verdict.CONSISTENT
    first = list(seen)
    seen.clear()
    made(sampled, **options).run(seed=3)
    assert seen == first
    assert {delta for _, delta in first} == {0.05}
    assert first[0][0] != first[1][0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "strange"}, "the kind of"),
        ({"mode": "strange"}, "the mode of"),
        ({"controls": []}, "has no control"),
        ({"kind": "rate"}, "a rate without one"),
        ({"mode": "statistical"}, "without a level"),
        ({"mode": "symbolic"}, "without a domain"),
    ],
)
def test_claims_that_are_not_whole_are_refused(options, says):
    with pytest.raises(OptionError, match=says):
        made(true, **options)


def test_ids_and_docstrings_are_needed():
    def bare(x):
        yield leq(x, x)

    with pytest.raises(OptionError, match="no docstring"):
        made(bare)
    with pytest.raises(OptionError, match="names no paper"):
        claim("here", says="", where="", kind="upper", mode="exact", instances=chosen([]), controls=[mutant("x")])(true)
    with pytest.raises(OptionError, match="the level is unknown"):
        made(true).run("slow")


# -- faults ----------------------------------------------------------------------------------------------------------


class State(NamedTuple):
    V: Any
    gap: float


@dataclass(frozen=True)
class Sweeps(IterativeSolver[State]):
    """Value iteration in any arithmetic, for these tests."""

    kinds = ("discounted",)
    eta: Any = 1

    def init(self, problem, rng=None):
        return State(number(problem, np.zeros(problem.n_states)), np.inf)

    def step(self, problem, state, rng=None):
        q = reference.q_values(problem.P, problem.r, problem.gamma, state.V)
        return State(state.V + number(problem, self.eta) * (reference.best(q, problem.pair_ptr) - state.V), np.inf)

    def answer(self, problem, state):
        return Answer(state.V, None)


def sweeps(mdp, *, pinned=True, eta=1, started=True):
    """Value iteration."""
    judge = Judge(mdp)
    before = None
    for k, state in enumerate(iterates(mdp, Sweeps(), 4, arithmetic="rational")):
        if before is None:
            if started:
                yield leq(max(map(abs, state.V)), 0, "V_0")
        elif pinned:
            after = judge.exact_backup(before)
            yield leq(max(abs(x - eta * y) for x, y in zip(state.V, after, strict=True)), 0, f"k={k}")
        else:
            yield leq(max(state.V), 10**9, f"k={k}")
        before = state.V


FAULTS = {
    "discount (1+γ)/2",
    "transposed P",
    "rewards of the next pair",
    "η → 2η",
    "η → η/2",
    "off by one in k",
    "stale values",
    "argmin for argmax",
}


def test_every_fault_that_applies_is_noticed_where_the_iterates_are_pinned():
    c = made(sweeps, instances=discounted(sizes=((3, 2),)), controls=[mutant("half", eta=F(1, 2))])
    e = c.run()
    assert e.verdict is Verdict.VERIFIED
    assert {f.name for f in e.generic} == FAULTS
    assert e.killed == e.applicable == len(FAULTS)


def test_a_loose_check_lets_faults_through_and_is_not_established():
    def loose(mdp, *, pinned=False, eta=1):
        """Nearly nothing is said."""
        yield from sweeps(mdp, pinned=pinned, eta=eta, started=False)

    e = made(loose, instances=discounted(sizes=((3, 2),)), controls=[mutant("half", pinned=True, eta=F(1, 2))]).run()
    assert e.verdict is Verdict.NOT_ESTABLISHED
    assert {f.name for f in e.survivors} == FAULTS
    e = made(
        loose,
        instances=discounted(sizes=((3, 2),)),
        controls=[mutant("half", pinned=True, eta=F(1, 2))],
        survivors=dict.fromkeys(FAULTS, "nothing is promised"),
    ).run()
    assert e.verdict is Verdict.VERIFIED
    assert e.killed == 0


def test_faults_stay_inside_the_code_under_test():
    seen = []

    def judged(mdp, *, factor=1):
        """The judge is sound while the solver is not."""
        judge = Judge(mdp)
        q = reference.q_values(mdp.P, mdp.r, np.full(mdp.n_pairs, 0.5), np.ones(mdp.n_states))
        seen.append(float(q.sum()))
        for state in iterates(mdp, Sweeps(), 2, arithmetic="rational"):
            yield leq(max(state.V), factor * max(judge.optimal))

    made(judged, instances=discounted(sizes=((2, 2),), fast=1), controls=[mutant("zero", factor=0)]).run()
    assert len(set(seen)) == 1


def test_patches_are_taken_away_again():
    before = reference.q_values, reference.best, reference.greedy
    made(sweeps, instances=discounted(sizes=((2, 2),), fast=1), controls=[mutant("half", eta=F(1, 2))]).run()
    assert (reference.q_values, reference.best, reference.greedy) == before


def test_call_is_under_the_fault_too():
    def valued(mdp, *, factor=1):
        """Action values."""
        problem = mk.models.canonical.canonical(mdp)
        ones = np.ones(mdp.n_states)
        judge = Judge(mdp)
        expected = [factor * x for x in judge.q([1] * judge.S)]
        first = call(reference.q_values, problem.P, problem.r, problem.gamma, 0 * ones)
        q = call(reference.q_values, problem.P, problem.r, problem.gamma, ones)
        yield fact(first is not None)
        yield leq(max(abs(float(x) - float(y)) for x, y in zip(q, expected, strict=True)), 1e-12)

    e = made(
        valued, mode="numeric", instances=discounted(sizes=((2, 2),), fast=1), controls=[mutant("twice", factor=2)]
    ).run()
    assert [(f.name, f.killed) for f in e.generic] == [("stale values", True)]


def test_a_solver_that_breaks_down_under_a_fault_is_noticed():
    @dataclass(frozen=True)
    class Fragile(Sweeps):
        def step(self, problem, state, rng=None):
            after = super().step(problem, state, rng)
            if np.any(np.asarray(after.V) > 600_000):
                raise ArithmeticError("too large")
            return after

    def fragile(mdp, *, factor=1):
        """Values stay small."""
        for state in iterates(mdp, Fragile(), 3, arithmetic="rational"):
            yield leq(max(map(abs, state.V)), factor * 10**6)

    model = mk.MDP([[["1"]]], [["1000000/3"]], mk.Discounted("1/2"))
    e = made(fragile, instances=chosen([Case("one", model)]), controls=[mutant("zero", factor=0)]).run()
    by = {f.name: f.by for f in e.generic}
    assert by["η → 2η"].endswith("breaks down: ArithmeticError")


# -- evidence --------------------------------------------------------------------------------------------------------


def curve(x, *, factor=1):
    """A curve under its bound."""
    yield from (leq(F(factor, k * k), F(1, k), f"k={k}", k=k) for k in range(1, 9))


def test_evidence_prints_plots_and_is_a_table():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    e = made(curve, controls=[mutant("ten times", factor=10)]).run()
    text = str(e)
    assert "verified on 2 instances, 16 comparisons" in text
    assert "controls refuted 1/1: ten times" in text
    ax = e.plot()
    assert [line.get_label() for line in ax.lines] == ["measured", "bound", "control: ten times"]
    assert ax.lines[2].get_linestyle() != ax.lines[0].get_linestyle()
    table = e.to_dataframe()
    assert table.columns.tolist() == ["curve", "control", "k", "measured", "bound"]
    assert len(table) == 16
    with pytest.raises(OptionError, match="no curve"):
        made(true).run().plot()


def test_evidence_survives_json():
    e = made(curve, controls=[mutant("ten times", factor=10)]).run()
    assert Evidence.from_dict(json.loads(e.to_json())) == e
    assert set(e.row()) == {
        "id", "paper", "family", "kind", "mode", "verdict", "instances", "undecided", "slack", "slope", "ratio", "controls",
        "killed", "applicable", "seconds",
    }  # fmt: skip


def test_equalities_show_what_they_leave_open():
    def same(x, *, factor=1):
        """The square of the root."""
        yield equal(factor * flint.arb(x + 1).sqrt() ** 2, x + 1)

    e = made(same, kind="identity", mode="numeric").run()
    assert e.verdict is Verdict.HELD
    assert -1e-30 < e.slack < 0


def test_the_worst_case_search_finds_the_corner():
    from mdpkit.claims.search import Search

    def product(x, *, factor=1):
        """A product is at most a quarter."""
        yield leq(factor * x[0] * (1 - x[0]), F(1, 4))

    e = check(
        made(
            product,
            instances=chosen([Case("at 0", [F(0)])]),
            search=Search(list, 1, 200),
            controls=[mutant("more", factor=F(11, 10))],
        ),
        "full",
    )
    assert e.verdict is Verdict.VERIFIED
    assert e.controls[0].killed  # only on the instance that the search found
    assert abs(F(e.found) - F(1, 2)) < F(1, 10)
