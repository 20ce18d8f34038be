"""Trace rules, their multistep operator and the backward view, against published numbers and closed forms."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.models.arithmetic import in_arithmetic
from mdpkit.models.canonical import canonical
from mdpkit.operators import multistep
from mdpkit.operators.multistep import Multistep
from mdpkit.operators.task import Task, Transition
from mdpkit.operators.trace_rules import (
    BinaryTrace,
    ClippedTrace,
    FullTrace,
    ImportanceSampling,
    PerDecision,
    RecencyBounded,
    RecursiveRetrace,
    Retrace,
    TreeBackup,
    TruncatedImportanceSampling,
)
from mdpkit.solvers.evaluation import MultistepEvaluation, OnlineTraces

F = Fraction
HALF = [[F(1, 2), F(1, 2)]]
ALL = (
    BinaryTrace(F(9, 10), (0, 3)),
    ClippedTrace(F(9, 10), F(3, 2)),
    FullTrace(F(9, 10)),
    ImportanceSampling(F(9, 10)),
    PerDecision(F(9, 10)),
    RecencyBounded(F(9, 10)),
    RecursiveRetrace(F(9, 10)),
    Retrace(F(9, 10)),
    TreeBackup(F(9, 10)),
    TruncatedImportanceSampling(F(9, 10)),
)


def one_state(gamma: Any, p: Any, arithmetic: Any = "float") -> Task:
    mdp = mk.MDP([[[F(1)], [F(1)]]], [[F(0), F(1)]], mk.Discounted(gamma), rho=0)
    return Task(in_arithmetic(canonical(mdp), arithmetic), [[p, 1 - p]], HALF)


def task(arithmetic: Any = "float", *, on_policy: bool = False, features: Any = None) -> Task:
    mdp = mk.instances.make("random-dense", S=2, A=2, gamma="9/10", seed=3)
    target = [[F(4, 5), F(1, 5)], [F(3, 10), F(7, 10)]]
    behavior = target if on_policy else [[F(2, 5), F(3, 5)], [F(3, 5), F(2, 5)]]
    return Task(in_arithmetic(canonical(mdp), arithmetic), target, behavior, features)


@pytest.mark.parametrize(("gamma", "published"), [(0.94, 1.1401), (0.93, 0.9937), (0.935, 1.0621), (0.9, 0.7117)])
def test_norms_of_truncated_importance_sampling(gamma: float, published: float) -> None:
    # The first is printed by the authors' code (counterexamples/offpolicy_truncated_is.py, Counterexample 5.7), the others
    # by the same sums at other discounts.
    M = Multistep(one_state(gamma, 0.6), TruncatedImportanceSampling(1), 400)
    assert round(M.norm, 4) == published


def test_the_counterexamples_converge_none_the_less() -> None:
    for M in (
        Multistep(one_state(0.94, 0.6), TruncatedImportanceSampling(1), 400),
        Multistep(one_state(2 / 3, 0.5), BinaryTrace(1, (0,)), 200),
    ):
        assert max(abs(np.linalg.eigvals(M.Z))) < 1
    assert M.norm == pytest.approx(1, abs=1e-12)  # Counterexample 5.8
    assert max(abs(np.linalg.eigvals(M.Z))) == pytest.approx(1 / 3)


def test_far_off_policy_full_traces_diverge() -> None:
    # Q(lambda) has no ratio to cut by: lambda = 1 and a behavior that is far from the target.
    mdp = mk.instances.make("garnet", S=2, A=2, branching=1, gamma="99/100", seed=1)
    off = Task(canonical(mdp), [[0.02, 0.98], [0.98, 0.02]], [[0.98, 0.02], [0.02, 0.98]])
    assert max(abs(np.linalg.eigvals(Multistep(off, FullTrace(1), None).Z))) > 1
    assert Multistep(off, RecencyBounded(1), 40).norm < 0.99


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: type(rule).__name__)
def test_floats_fractions_and_balls_agree(rule: Any) -> None:
    found = {kind: Multistep(task(kind), rule, 4).eligibility for kind in ("float", "rational", "ball")}
    exact = found["rational"]
    assert all(isinstance(x, Fraction) for x in exact.flat)
    assert np.allclose(found["float"], exact.astype(float), rtol=1e-13)
    assert all(b.contains(_flint(x)) for b, x in zip(found["ball"].flat, exact.flat, strict=True))


def _flint(x: Fraction) -> Any:
    flint = pytest.importorskip("flint")
    return flint.arb(flint.fmpq(x.numerator, x.denominator))


@pytest.mark.parametrize(
    "rule", [rule for rule in ALL if isinstance(rule, PerDecision)], ids=lambda r: type(r).__name__
)
def test_all_lags_of_per_decision_rules_are_a_linear_system(rule: Any) -> None:
    whole, long = (Multistep(task(), rule, horizon).eligibility for horizon in (None, 400))
    assert np.allclose(whole, long, atol=1e-10)


def test_one_lag_is_the_bellman_operator() -> None:
    t = task("rational")
    Q = np.array([F(1), F(2), F(-1), F(3)])
    assert list(Multistep(t, RecencyBounded(F(1, 2)), 1)(Q)) == list(t.on.q(t.on.mean(t.pi, Q)))


def test_on_policy_the_rules_agree() -> None:
    t = task("rational", on_policy=True)
    first = Multistep(t, RecencyBounded(F(9, 10)), 5).eligibility
    for rule in (Retrace(F(9, 10)), TruncatedImportanceSampling(F(9, 10)), PerDecision(F(9, 10)), FullTrace(F(9, 10))):
        assert (Multistep(t, rule, 5).eligibility == first).all()


def test_full_credit_on_policy_is_monte_carlo() -> None:
    """One step of the operator with lambda = 1 and all lags is the value."""
    t = task("rational", on_policy=True, features="pairs")
    solver = MultistepEvaluation(Retrace(1), None)
    state = solver.step(t, solver.init(t))
    assert list(solver.answer(t, state)) == list(t.truth)


def test_importance_sampling_has_no_bias_left() -> None:
    """Counterexamples' sanity check of the authors: with lambda = 1 all that Z has left is the horizon."""
    M = Multistep(task("rational"), ImportanceSampling(1), 6)
    assert M.norm == F(9, 10) ** 6


def test_estimates_values_and_action_values() -> None:
    mdp = mk.instances.make("random-dense", S=3, A=2, gamma="9/10", seed=2)
    options: dict[str, Any] = {"behavior": np.full((3, 2), 0.5), "steps": 200}
    target = np.array([[0.9, 0.1]] * 3)
    for features in ("states", "pairs"):
        for rule in (RecencyBounded(0.8), RecursiveRetrace(0.8), TreeBackup(1)):
            found = mk.estimate(mdp, target, MultistepEvaluation(rule, 6), features=features, **options)
            assert found.error < 1e-9 and found.fixed_point_error < 1e-9 and found.draws == 0
    assert MultistepEvaluation(TruncatedImportanceSampling(1)).fixed_point(task()) is None


def test_backward_view_by_hand() -> None:
    # One state; the pairs 0, 1, 0 with ratios 6/5 and 4/5, lambda = 1, gamma = 1/2, rewards 0 and 1, eta = 1.
    t = one_state(F(1, 2), F(3, 5), "rational")
    method = OnlineTraces(RecencyBounded(1), 1, horizon=2, refresh=3)
    state = method.begin(t, 0)
    for pair in (0, 1, 0):
        state = method.observe(t, state, Transition(0, pair, 0))
    # All errors are those of Q = 0, the rewards: only the second step pays. Its own pair gets 1, the one before
    # 1/2 min(1, 4/5) = 2/5.
    assert list(state.Q) == [F(2, 5), F(1)]
    assert list(state.source) == list(state.Q) and state.pairs.tolist() == [1, 0]
    assert state.discount.tolist() == [F(1, 2), F(1)] and state.memory[0].tolist() == [F(1), F(1)]


def test_steps_are_observations_of_what_is_drawn() -> None:
    t = task()
    method = OnlineTraces(RecencyBounded(0.9), 0.2, horizon=5)
    state = method.init(t, np.random.default_rng(5))
    rng, again = np.random.default_rng(6), np.random.default_rng(6)
    for k in range(30):
        expected = method.observe(t, state, t.draw(state.s, again))
        state = method.step(t, state, rng)
        assert np.array_equal(state.Q, expected.Q) and state.draws == k + 1 and len(state.pairs) == min(5, k + 1)


def test_drawn_estimates_come_near_the_value() -> None:
    mdp = mk.instances.make("random-dense", S=2, A=2, gamma="1/2", seed=3)
    target, behavior = np.array([[0.8, 0.2], [0.3, 0.7]]), np.full((2, 2), 0.5)
    for rule in (RecencyBounded(0.9), Retrace(0.9), TreeBackup(0.9)):
        found = mk.estimate(
            mdp, target, OnlineTraces(rule, 0.01), behavior=behavior, steps=4000, rng=np.random.default_rng(0)
        )
        assert found.error < 0.05 * np.max(np.abs(found.exact))
        assert found.draws == 4000


def test_bad_rules_are_refused() -> None:
    for bad in (-0.1, 1.1, "1/2", True, None):
        with pytest.raises(OptionError, match="lambda_ is no share"):
            Retrace(bad)
    with pytest.raises(OptionError, match="ceiling"):
        ClippedTrace(1, 0)
    with pytest.raises(OptionError, match="no rule of traces"):
        MultistepEvaluation(rule=0.9)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="horizon"):
        OnlineTraces(horizon=0)
    with pytest.raises(OptionError, match="refresh"):
        OnlineTraces(refresh=0)
    with pytest.raises(OptionError, match="eta"):
        OnlineTraces(eta=0)
    with pytest.raises(OptionError, match="look back"):
        MultistepEvaluation(RecencyBounded(1), None).init(task())


def test_too_many_histories_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multistep, "MOST", 100)
    with pytest.raises(UnsupportedError, match="too many histories"):
        MultistepEvaluation(horizon=9).init(task())
