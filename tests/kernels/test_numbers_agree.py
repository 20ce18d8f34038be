"""The shared functions in floats against themselves in balls and Fractions, which claims check: users run the floats."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import PrecisionError
from mdpkit.kernels import desirability, momentum, occupancy, reference, roots, segments, simplex, softmax, surrogate
from mdpkit.models.arithmetic import in_arithmetic
from mdpkit.models.canonical import canonical
from mdpkit.models.transitions import Transitions
from mdpkit.operators.mirror_maps import Euclidean, KullbackLeibler, Tsallis
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.on_stages import OnStages
from mdpkit.operators.soft import SoftOptimality, SoftPolicy
from mdpkit.operators.step_sizes import Adaptive, Increasing
from mdpkit.operators.utilities import Distance, Entropy

pytest.importorskip("flint")

F = Fraction
PTR = np.array([0, 3, 4, 8])
"""States of three, one and four actions."""
Q = [F(3, 2), F(-1), F(1, 4), F(2), F(0), F(5, 2), F(-7, 3), F(5, 4)]
OLD = [F(1, 2), F(1, 3), F(1, 6), F(1), F(1, 10), F(2, 10), F(3, 10), F(4, 10)]
MU = [F(1, 7), F(2, 7), F(4, 7), F(1), F(4, 10), F(3, 10), F(2, 10), F(1, 10)]


def floats(x: Any) -> Any:
    """The nearest floats to numbers of any kind."""
    return np.array(
        [float(v.mid()) if segments.is_ball(v) else float(v) for v in np.ravel(np.asarray(x, dtype=object))]
    )


def balls(x: Any) -> Any:
    """An array of balls."""
    out = np.empty(len(x), dtype=object)
    out[:] = [segments.ball(v) for v in x]
    return out


def rationals(x: Any) -> Any:
    """An array of Fractions."""
    return np.array([F(v) for v in x], dtype=object)


def agree(function: Callable[..., Any], *arguments: Any, kind: Any = balls, rel: float = 1e-11) -> None:
    """A function of lists of numbers, in floats and in other numbers."""
    found = function(*(floats(x) if isinstance(x, list) else x for x in arguments))
    other = function(*(kind(x) if isinstance(x, list) else x for x in arguments))
    for x, y in zip(*((z if isinstance(z, tuple) else (z,)) for z in (found, other)), strict=True):
        assert floats(x) == pytest.approx(floats(y), rel=rel, abs=1e-13)


def test_softmax() -> None:
    agree(softmax.log_sum_exp, Q, PTR)
    agree(softmax.log_softmax, Q, PTR)
    log_old, log_mu = list(np.log(floats(OLD))), list(np.log(floats(MU)))
    for tau in (0.25, 3.0):
        agree(softmax.soft_maximum, Q, tau, PTR)
        agree(softmax.soft_maximum, Q, tau, PTR, log_mu)
        agree(softmax.mirror_step, log_old, Q, 0.7, PTR, tau)
        agree(softmax.mirror_step, log_old, Q, 0.7, PTR, tau, log_mu)
        agree(softmax.penalized_step, log_old, Q, 0.3, PTR, tau, log_mu)
        agree(softmax.penalized_step, log_old, Q, 0.0, PTR, tau)
    # Minus the divergence from uniform policies is the entropy up to constants, and the penalties add up.
    x = (0.3 * np.array(log_old) + floats(Q)) / (0.3 + 2.0)
    assert softmax.penalized_step(np.array(log_old), floats(Q), 0.3, PTR, 2.0) == pytest.approx(
        softmax.log_softmax(x, PTR), rel=1e-13
    )
    agree(softmax.entropy, list(np.exp(log_old)), log_old, PTR)
    agree(softmax.relative_entropy, list(np.exp(log_old)), log_old, log_mu, PTR)


def test_softmax_of_large_numbers() -> None:
    x = np.array([-800.0, 900.0, -1e5, 5.0, 1e5, -1e5, 0.0, 1e5])
    assert softmax.log_sum_exp(x, PTR) == pytest.approx([900.0, 5.0, 1e5 + np.log(2)], rel=1e-15)
    assert np.exp(softmax.log_softmax(x, PTR)) == pytest.approx([0, 1, 0, 1, 0.5, 0, 0, 0.5], abs=1e-10)


def test_probabilities_of_zero_count_nothing() -> None:
    pi = np.array([1.0, 0.0, 0.0, 1.0, 0.5, 0.5, 0.0, 0.0])
    mu = np.array([0.5, 0.5, 0.0, 1.0, 0.25, 0.25, 0.5, 0.0])
    with np.errstate(divide="ignore"):
        log_pi, log_mu = np.log(pi), np.log(mu)
    assert softmax.entropy(pi, log_pi, PTR) == pytest.approx([0, 0, np.log(2)], abs=1e-15)
    assert softmax.relative_entropy(pi, log_pi, log_mu, PTR) == pytest.approx([np.log(2), 0, np.log(2)], abs=1e-15)


def test_projections() -> None:
    for y in (Q, OLD, [10 * x for x in Q], [x / 5 for x in Q], [F(10) ** 15 + x for x in Q], [F(0)] * 8):
        agree(simplex.project, y, PTR, kind=rationals)
        p = simplex.project(rationals(y), PTR)
        assert segments.total(p, PTR).tolist() == [1, 1, 1]
        assert np.min(p) >= 0
        # Optimality: what is positive is moved by one number, what is not would be moved below zero by it.
        for s in range(3):
            here = slice(PTR[s], PTR[s + 1])
            moved = [v - x for v, x in zip(rationals(y)[here], p[here], strict=True) if x > 0]
            assert len(set(moved)) == 1
            assert all(v <= moved[0] for v, x in zip(rationals(y)[here], p[here], strict=True) if x == 0)


A = [F(1, 2), F(-1), F(0), F(1, 3), F(-3), F(2), F(1, 10), F(-1, 5)]
RATIO = [F(1, 2), F(3, 2), F(2), F(1), F(6, 5), F(7, 5), F(4, 5), F(1, 10)]


@pytest.mark.parametrize("penalty", [surrogate.clip, surrogate.quadratic, surrogate.kl, surrogate.tv])
def test_penalties_and_their_slopes(penalty: Any) -> None:
    agree(penalty, RATIO, A, 0.25)
    # The slope is the derivative of the cost in the logarithm of the ratio; no kink is within the step.
    ratio, advantage = np.delete(floats(RATIO), [3]), np.delete(floats(A), [3])
    up, down = (penalty(ratio * np.exp(h), advantage, 0.25)[0] for h in (1e-6, -1e-6))
    assert penalty(ratio, advantage, 0.25)[1] == pytest.approx((up - down) / 2e-6, abs=1e-8)


@pytest.mark.parametrize("penalty", [None, surrogate.clip, surrogate.quadratic, surrogate.kl, surrogate.tv])
def test_surrogates(penalty: Any) -> None:
    cost = penalty and partial(penalty, epsilon=0.25) if penalty in (surrogate.clip, surrogate.quadratic) else penalty
    if penalty in (surrogate.kl, surrogate.tv):
        cost = partial(penalty, beta=0.25)
    log_old, log_pi = list(np.log(floats(OLD))), list(np.log(floats(MU)))
    weights = [F(1, 2), F(2), F(5, 4)]
    agree(surrogate.gradient, log_pi, log_old, A, weights, PTR, cost)
    if penalty is not surrogate.tv:  # whose slope jumps where the ratio of a state's only action may be one
        agree(surrogate.ascend, log_old, A, weights, PTR, cost, 0.1, 3)
    # The gradient is the derivative of the value in the logits.
    x, old, w = np.array(log_pi), floats(OLD), floats(weights)

    def value(logits: Any) -> float:
        ratio = np.exp(softmax.log_softmax(logits, PTR)) / old
        return float(surrogate.value(ratio, old, floats(A), w, PTR, cost))

    slope = [(value(x + e) - value(x - e)) / 2e-6 for e in 1e-6 * np.eye(8)]
    assert surrogate.gradient(x, np.array(log_old), floats(A), w, PTR, cost) == pytest.approx(slope, abs=1e-7)


def best_of(objective: Callable[[Any], float], p: Any, rng: Any) -> bool:
    """Whether no policy near p is better."""
    here = objective(p)
    for _ in range(200):
        other = np.maximum(p + 0.02 * rng.normal(size=8) * (rng.random(8) < 0.6), 1e-12)
        other = other / np.repeat(np.add.reduceat(other, PTR[:-1]), np.diff(PTR))
        if objective(other) > here + 1e-12:
            return False
    return True


def test_maximizers_of_surrogates() -> None:
    rng = np.random.default_rng(0)
    old, a, log_old = floats(OLD), floats(A), list(np.log(floats(OLD)))
    weights = [F(1, 2), F(2), F(5, 4)]
    w = floats(weights)
    for epsilon in (0.1, 0.9, 4.0):
        p = surrogate.maximize_quadratic(old, a, epsilon, PTR)
        exact = surrogate.maximize_quadratic(rationals(OLD), rationals(A), F(epsilon), PTR)
        assert p == pytest.approx(floats(exact), abs=1e-12)
        assert np.min(p) >= 0
        assert segments.total(exact, PTR).tolist() == [1, 1, 1]
        cost = partial(surrogate.quadratic, epsilon=epsilon)
        assert best_of(lambda q: float(surrogate.value(q / old, old, a, w, PTR, cost)), p, rng)  # noqa: B023
    # Actions without advantage take what is left, in proportion to the old policy.
    none = [F(1), F(0), F(0), F(0), F(0), F(0), F(-1), F(2)]
    p = surrogate.maximize_quadratic(rationals(OLD), rationals(none), F(1, 10), PTR)
    assert p[:3].tolist() == [F(11, 20), F(9, 20) * F(2, 3), F(9, 20) * F(1, 3)]
    assert p[3:].tolist() == [1, F(29, 30) * F(1, 10), F(29, 30) * F(1, 5), F(27, 100), F(44, 100)]
    beta = [F(1, 4), F(1), F(3)]
    agree(surrogate.maximize_kl, log_old, A, beta, PTR)
    p = np.exp(surrogate.maximize_kl(np.array(log_old), a, floats(beta), PTR))

    def penalized(q: Any) -> float:
        divergence = np.add.reduceat(old * np.log(old / q), PTR[:-1])
        return float(np.sum(q * a) - floats(beta) @ divergence)

    assert best_of(penalized, p, rng)
    for C in (0.5, 3.0, 40.0):
        agree(surrogate.maximize_kl_max, log_old, A, weights, C, PTR, rel=1e-9)
        p = np.exp(surrogate.maximize_kl_max(np.array(log_old), a, w, C, PTR))

        def worst(q: Any) -> float:
            divergence = np.add.reduceat(old * np.log(old / q), PTR[:-1])
            return float(w @ np.add.reduceat(q * a, PTR[:-1]) - C * np.max(divergence))  # noqa: B023

        assert best_of(worst, p, rng)
        p = surrogate.maximize_tv_max(old, a, w, C, PTR)
        exact = surrogate.maximize_tv_max(rationals(OLD), rationals(A), rationals(weights), F(C), PTR)
        assert p == pytest.approx(floats(exact), abs=1e-12)

        def farthest(q: Any) -> float:
            far = surrogate.total_variation(q, old, PTR)
            return float(w @ np.add.reduceat(q * a, PTR[:-1]) - C * np.max(far) ** 2)  # noqa: B023

        assert best_of(farthest, p, rng)


def test_states_that_are_not_visited_stay() -> None:
    log_old = np.log(floats(OLD))
    log_pi = surrogate.maximize_kl_max(log_old, floats(A), np.array([0.0, 1.0, 1.0]), 1.0, PTR)
    assert np.array_equal(log_pi[:4], log_old[:4])
    assert np.abs(log_pi[4:] - log_old[4:]).min() > 0.01
    tied = np.array([1.0, 1.0, 1.0, 0.0, 2.0, 2.0, 2.0, 2.0])
    assert np.array_equal(surrogate.maximize_kl_max(log_old, tied, np.ones(3), 1.0, PTR), log_old)


def test_roots_are_as_near_as_floats_come_and_are_enclosed() -> None:
    targets = [F(2), F(1, 10**6), F(12345)]
    found = roots.decreasing(lambda x: floats(targets) / x - x, np.ones(3))
    assert found == pytest.approx(np.sqrt(floats(targets)), rel=2e-15)
    enclosed = roots.decreasing(lambda x: balls(targets) / x - x, balls([1, 1, 1]))
    for x, t in zip(enclosed, targets, strict=True):
        assert (x * x).contains(segments.ball(t)) or (x * x).overlaps(segments.ball(t))
        root = segments.ball(t).sqrt()
        assert x.contains(root) or x.overlaps(root)
        assert x.rad() < 1e-6 * x.mid()
    # The end of the ball has a sign of its own on either side.
    y = enclosed[0]
    assert y.lower() ** 2 < 2 < y.upper() ** 2


def test_means_of_weights_that_do_not_sum_to_one() -> None:
    assert segments.mean(rationals(RATIO), rationals(A), PTR)[1] == F(1, 3)
    assert segments.mean(rationals(RATIO), rationals(A), PTR)[0] == F(1, 4) - F(3, 2)
    assert segments.norm(rationals(A)) == 3


def test_linear_systems_with_several_columns() -> None:
    M = [[F(3), F(1), F(0)], [F(1), F(4), F(-1)], [F(1, 2), F(0), F(2)]]
    b = [[F(1), F(2)], [F(3), F(-4)], [F(5), F(6)]]
    exact = segments.solve(np.array(M, dtype=object), np.array(b, dtype=object))
    assert (np.array(M, dtype=object) @ exact).tolist() == b
    assert np.linalg.solve(np.array(M, dtype=float), np.array(b, dtype=float)) == pytest.approx(exact.astype(float))


def test_comparisons_of_balls_are_decided_or_refused() -> None:
    third = segments.ball(F(1, 3))
    with pytest.raises(PrecisionError):
        segments.at_least(third, 3 * third * third)
    assert segments.at_least(F(1), F(1))
    assert not segments.at_least(F(1), F(1), strict=True)
    assert segments.at_least(segments.ball(1), third, strict=True)
    assert not segments.at_least(third, segments.ball(1))
    wide = segments.widened(segments.ball(2), segments.ball(F(1, 8)))
    assert wide.contains(segments.ball(F(17, 8)))
    assert wide.contains(segments.ball(F(15, 8)))


def model(minimize: bool = False, several: bool = False) -> mk.MDP:
    """Three states of three, one and four actions, with an initial law of its own; one discount, or several."""
    rng = np.random.default_rng(4)
    weights = rng.integers(0, 6, size=(8, 3)) + np.array([1, 0, 0])
    P = np.array([[F(int(x), int(row.sum())) for x in row] for row in weights], dtype=object)
    gamma: Any = np.array([F(9, 10) - F(k, 20) for k in range(8)], dtype=object) if several else F(4, 5)
    state, action = [0, 0, 0, 1, 2, 2, 2, 2], [0, 1, 2, 1, 0, 1, 2, 3]
    law = [F(1, 6), F(1, 2), F(1, 3)]
    return mk.MDP(P, rationals(Q), mk.Discounted(gamma), state=state, action=action, rho=law, minimize=minimize)


def softened(mu: str, minimize: bool) -> mk.MDP:
    """The model with entropy, or with a reference policy by pairs or in a table."""
    if mu == "none":
        return model(minimize).under(mk.EntropyRegularized(F(4, 5), F(1, 3)))
    table: Any = rationals(MU)
    if mu == "table":
        mdp = model()
        table = np.full((3, 4), F(0), dtype=object)
        table[mdp.state, mdp.action] = rationals(MU)
    return model(minimize).under(mk.EntropyRegularized(F(4, 5), F(1, 3), table))


@pytest.mark.parametrize("minimize", [False, True])
@pytest.mark.parametrize("mu", ["none", "pairs", "table"])
def test_the_regularized_problem_and_its_policies(mu: str, minimize: bool) -> None:
    problem = canonical(softened(mu, minimize))
    on, other = OnPolicy(problem), OnPolicy(in_arithmetic(problem, "ball"))
    sign = -1 if minimize else 1
    assert floats(on.r) == pytest.approx(sign * floats(Q))
    assert float(on.tau) == pytest.approx(1 / 3)
    log_pi = np.log(floats(OLD))
    V = [F(1), F(-2), F(1, 2)]
    if mu != "none":
        assert on.log_reference is not None
        assert on.log_reference == pytest.approx(np.log(floats(MU)))
    assert on.rho == pytest.approx([1 / 6, 1 / 2, 1 / 3])
    for name in ("regularizer", "own_value", "regularized_rewards"):
        assert getattr(on, name)(log_pi) == pytest.approx(floats(getattr(other, name)(balls(log_pi))), rel=1e-12)
    for name in ("q", "advantage"):
        assert getattr(on, name)(floats(V)) == pytest.approx(floats(getattr(other, name)(balls(V))), rel=1e-12)
    for name in ("soft_maximum", "log_softmax", "best"):
        assert getattr(on, name)(floats(Q)) == pytest.approx(floats(getattr(other, name)(balls(Q))), rel=1e-12)
    for name in ("uniform", "start"):
        assert getattr(on, name)() == pytest.approx(floats(getattr(other, name)()), rel=1e-14)
    pi = np.exp(log_pi)
    for law in (None, V):
        mine = on.visits(pi, None if law is None else floats(law))
        assert mine.sum() == pytest.approx(5 * (1 if law is None else floats(law).sum()))
        assert mine == pytest.approx(floats(other.visits(balls(pi), None if law is None else balls(law))), rel=1e-12)
    for mine, theirs in (
        (SoftOptimality(problem), SoftOptimality(other.problem)),
        (SoftPolicy(problem, floats(OLD)), SoftPolicy(other.problem, balls(log_pi))),
    ):
        assert mine(floats(V)) == pytest.approx(floats(theirs(balls(V))), rel=1e-12)
        assert mine.q(floats(V)) == pytest.approx(sign * on.q(sign * floats(V)), rel=1e-12)
        assert np.array_equal(mine.greedy(floats(V)), theirs.greedy(balls(V)))
    x = sign * floats(SoftOptimality(problem).q(floats(V))) * 3 + (0 if mu == "none" else np.log(floats(MU)))
    assert np.array_equal(SoftOptimality(problem).greedy(floats(V)), reference.greedy(x, PTR))
    assert SoftOptimality(problem).probabilities(floats(V)) == pytest.approx(np.exp(softmax.log_softmax(x, PTR)))


def test_whether_one_discount_holds_everywhere() -> None:
    assert canonical(model()).one_discount
    assert not canonical(model(several=True)).one_discount


def test_without_a_law_all_states_are_as_likely() -> None:
    problem = canonical(mk.MDP(np.full((3, 2, 3), F(1, 3), dtype=object), [[F(1), F(2)]] * 3, mk.Discounted(F(1, 2))))
    assert OnPolicy(problem).rho == pytest.approx([1 / 3] * 3)
    assert OnPolicy(in_arithmetic(problem, "rational")).rho.tolist() == [F(1, 3)] * 3


@pytest.mark.parametrize("mu", ["none", "pairs"])
def test_gaps_bound_what_is_missing(mu: str) -> None:
    mdp = softened(mu, False)
    best = mk.solve(mdp).V
    on = OnPolicy(canonical(mdp))
    for log_pi in (np.log(floats(OLD)), np.log(on.uniform())):
        V = on.own_value(log_pi)
        assert on.gap(V) >= np.max(best - V) - 1e-9
        assert on.gap(V) <= 5 * np.max(on.soft_maximum(on.q(V)) - V) * (1 + 1e-9)
    W = floats([F(1), F(-2), F(1, 2)])
    change = on.soft_maximum(on.q(W)) - W
    assert on.span_gap(W, on.q(W)) == pytest.approx(5 * (np.max(change) - np.min(change)))
    one = mk.MDP(np.ones((1, 2, 1)), np.array([[0.1, 0.3]]), mk.Discounted(0.9))
    alone = OnPolicy(canonical(one))
    assert alone.span_gap(np.array([3.0]), alone.q(np.array([3.0]))) >= 10 * 3 * 2.0**-53
    plain = model()
    on = OnPolicy(canonical(plain))
    V = on.value(floats(OLD))
    assert np.max(mk.solve(plain).V - V) - 1e-9 <= on.gap(V)
    assert on.gap(V) == pytest.approx(5 * np.max(reference.best(on.q(V), PTR) - V))


def test_values_and_visits_by_rows_and_compressed() -> None:
    mdp = model(several=True)
    pi, gamma = floats(OLD), floats(mdp.criterion.gamma)  # type: ignore[union-attr]
    dense = SimpleNamespace(dense=mdp.P.toarray(), n_rows=8, n_states=3)
    sparse: Any = SimpleNamespace(
        dense=None, data=mdp.P.data, indices=mdp.P.indices, indptr=mdp.P.indptr, n_rows=8, n_states=3
    )
    assert isinstance(mdp.P, Transitions)
    r = np.column_stack([floats(Q), floats(A)])
    V = occupancy.evaluate(dense, floats(Q), gamma, pi, PTR)
    q = floats(Q) + gamma * (dense.dense @ V)
    assert segments.mean(pi, q, PTR) == pytest.approx(V, rel=1e-13)
    both = occupancy.evaluate(dense, r, gamma, pi, PTR)
    assert both[:, 0] == pytest.approx(V)
    assert both[:, 1] == pytest.approx(occupancy.evaluate(dense, floats(A), gamma, pi, PTR))
    assert occupancy.evaluate(sparse, floats(Q), gamma, pi, PTR) == pytest.approx(V)
    rho = np.array([0.2, 0.5, 0.3])
    d = occupancy.visits(dense, gamma, pi, PTR, rho)
    assert rho @ V == pytest.approx(d @ segments.mean(pi, floats(Q), PTR))
    assert occupancy.visits(sparse, gamma, pi, PTR, rho) == pytest.approx(d)
    goal = np.array([False, False, True])
    h = desirability.hitting(dense, gamma, pi, PTR, goal)
    assert desirability.hitting(sparse, gamma, pi, PTR, goal) == pytest.approx(h)
    assert segments.mean(pi, gamma * (dense.dense @ h), PTR)[:2] == pytest.approx(h[:2])


@pytest.mark.parametrize("mirror", [KullbackLeibler(), Euclidean(), Tsallis(), Tsallis(F(1, 5)), Tsallis(F(9, 10))])
def test_mirror_maps_and_step_sizes(mirror: Any) -> None:
    problem = canonical(model())
    on, other = OnPolicy(problem), OnPolicy(in_arithmetic(problem, "ball"))
    point, theirs = mirror.point(floats(OLD)), mirror.point(balls(OLD))
    for eta in (0.05, 0.5, 20.0):
        new = mirror.policy(mirror.step(on, point, floats(Q), eta))
        same = mirror.policy(mirror.step(other, theirs, balls(Q), segments.ball(eta)))
        assert new == pytest.approx(floats(same), rel=1e-9, abs=1e-12)
        assert np.add.reduceat(new, PTR[:-1]) == pytest.approx([1, 1, 1])
    tied = list(Q)
    tied[0] = tied[2] = F(7)
    for rule in (Adaptive(2), Increasing(F(1, 3)), Increasing(F(1, 3), F(3, 2))):
        for k in (0, 3):
            mine = rule(k, on, mirror, point, floats(tied))
            assert mine == pytest.approx(float(rule(k, other, mirror, theirs, balls(tied)).mid()), rel=1e-12)
    # Divergences of vertices, by the potentials.
    x = floats(OLD)
    potential: Any = {KullbackLeibler: lambda p: np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0)}
    if isinstance(mirror, Euclidean):
        h, slope = (lambda p: p**2 / 2), x
    elif isinstance(mirror, KullbackLeibler):
        h, slope = potential[KullbackLeibler], np.log(x) + 1
    else:
        i = float(mirror.q)
        h, slope = (lambda p: -(p**i) / (i * (1 - i))), -(x ** (i - 1)) / (1 - i)
    expected = []
    for s in range(3):
        here = slice(PTR[s], PTR[s + 1])
        for vertex in np.eye(PTR[s + 1] - PTR[s]):
            expected.append(np.sum(h(vertex) - h(x[here]) - slope[here] * (vertex - x[here])))
    assert mirror.from_vertex(on, point) == pytest.approx(expected, abs=1e-12)


def test_probabilities_that_vanish_do_not_end_a_run() -> None:
    on = OnPolicy(canonical(model()))
    p = Tsallis(F(9, 10)).step(on, floats(OLD), floats(Q), 1e200)
    assert np.min(p) > 0
    again = Tsallis(F(9, 10)).step(on, p, -floats(Q), 1.0)
    assert np.all(np.isfinite(again))
    assert np.add.reduceat(again, PTR[:-1]) == pytest.approx([1, 1, 1])


def test_steps_that_are_adapted_to_the_nearest_best_action() -> None:
    on = OnPolicy(canonical(model()))
    q = np.array([7.0, 1.0, 7.0, 0.0, 0.0, 5.0, 1.0, 5.0])
    # Best actions 0 and 2 with probabilities 1/2 and 1/6, the only one, and 5 and 7 with 1/5 and 2/5.
    eta = Adaptive(3)(2, on, KullbackLeibler(), np.log(floats(OLD)), q)
    assert eta == pytest.approx(3 * np.log(5 / 2) * (5 / 4) ** 4)


def test_utilities() -> None:
    on = OnPolicy(canonical(model()))
    x = np.array([0.3, 0.0, 2.0, 1.0, 0.1, 0.2, 0.0, 0.7])
    for utility in (Distance(MU), Entropy(0.05)):
        slope = [(utility.value(on, x + e) - utility.value(on, x - e)) / 2e-6 for e in 1e-6 * np.eye(8)]
        assert utility.gradient(on, x) == pytest.approx(slope, abs=1e-5)
    assert Entropy(0.05).gradient(on, -x)[0] == pytest.approx(-1 - np.log(0.025))


def test_stages() -> None:
    rng = np.random.default_rng(2)
    weights = rng.integers(1, 6, size=(3, 3, 2, 3))
    P = np.empty(weights.shape, dtype=object)
    for i, w in np.ndenumerate(weights):
        P[i] = F(int(w), int(weights[i[:-1]].sum()))
    r = np.array([F(int(x), 10) for x in rng.integers(-20, 20, size=18)], dtype=object).reshape(3, 3, 2)
    end = [F(1), F(-2), F(1, 2)]
    for minimize in (False, True):
        mdp = mk.MDP(P, r, mk.FiniteHorizon(3, gamma="4/5", terminal=end), rho=["1/2", "1/6", "1/3"], minimize=minimize)
        problem = canonical(mdp)
        on, other = OnStages(problem), OnStages(in_arithmetic(problem, "ball"))
        sign = -1 if minimize else 1
        pi = [[F(k + 1, 10), F(9 - k, 10)] * 3 for k in range(3)]
        table = np.array([floats(p) for p in pi])
        V, W = on.value(table), other.value([balls(p) for p in pi])
        assert floats(V) == pytest.approx(floats(W), rel=1e-12)
        assert V[3] == pytest.approx(sign * floats(end))
        d = on.visits(table)
        assert d.ravel() == pytest.approx(floats(other.visits([balls(p) for p in pi])), rel=1e-12)
        paid = sum(d[h] @ segments.mean(table[h], on.r(h), on.pair_ptr) for h in range(3))
        last = d[2] @ occupancy.induced(on.P(2), on.gamma, table[2], on.pair_ptr)
        assert paid + last @ V[3] == pytest.approx(on.rho @ V[0])
        # Stages from 1 on kept, those before by another policy.
        mixed = on.value(on.uniform(), V, 1)
        assert np.array_equal(mixed[1:], V[1:])
        assert mixed[0] == pytest.approx(on.value(np.vstack([on.uniform()[:1], table[1:]]))[0])
        for h in range(3):
            A_h = on.advantage(h, table[h], V)
            assert A_h == pytest.approx(on.q(h, V[h + 1]) - np.repeat(V[h], 2), abs=1e-12)
            q = on.q(h, np.asarray(sign * mk.solve(mdp).V)[h + 1])
            assert np.max(q) - np.min(q) <= on.spreads[h] + 1e-12
        best = np.asarray(sign * mk.solve(mdp).V)
        assert np.max(best[:3] - V[:3]) <= on.gap(V) + 1e-12
        other_values = 10 * rng.normal(size=(4, 3))
        other_choice, choice = on.greedy(other_values), on.greedy(best)
        for h in range(3):
            assert np.array_equal(other_choice[h], reference.greedy(on.q(h, other_values[h + 1]), on.pair_ptr))
            assert np.array_equal(choice[h], reference.greedy(on.q(h, best[h + 1]), on.pair_ptr))
            assert on.q(h, best[h + 1])[choice[h]] == pytest.approx(best[h])
        assert on.spreads[3] == pytest.approx(3)
        assert on.spreads[2] == pytest.approx(float(np.max(r[2]) - np.min(r[2])) + 0.8 * 3)


def test_momentum_along_a_zero_direction_is_none() -> None:
    theta = np.array([1.0, -2.0])
    assert np.array_equal(momentum.normalized(theta, np.zeros(2), 0.5), theta)
    moved = momentum.normalized(theta, np.array([3.0, 4.0]), 0.5)
    assert moved == pytest.approx([1.3, -1.6])
