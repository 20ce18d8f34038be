"""Total reward, reachability and invariance against every deterministic policy, in rationals."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import oracle as o
import pytest
import strategies as g

import mdpkit as mk
from mdpkit.errors import UndefinedValueError

F = Fraction
INF = float("inf")
SIGNS = [(-2, -1, 0, 1, 2), (0, 0, 1, 2), (0, 0, -1, -2)]
COUNT = 160
"""Models in each of the tests' cases; all of them were run with many thousands once."""


def check(mdp: mk.MDP, truth: list[Any]) -> list[mk.Solution]:
    """Float and exact answers enclose and equal the truth, and their certificates hold in both arithmetics."""
    solutions = [mk.solve(mdp), mk.solve(mdp, exact=True)]
    for sol in solutions:
        lower, upper = sol.certificate.lower, sol.certificate.upper
        if lower.ndim == 2:
            lower, upper = lower[0], upper[0]
        V = sol.V[0] if sol.V.ndim == 2 else sol.V
        for s, value in enumerate(truth):
            assert lower[s] <= value <= upper[s]
            assert lower[s] <= V[s] <= upper[s] or sol.exact is not None
        assert sol.status.ok
        assert sol.certificate.valid
        assert sol.certificate.verify(mdp)
        assert sol.certificate.verify(mdp, exact=True)
    exact = solutions[1].exact
    assert exact is not None
    assert list(exact[0] if exact.ndim == 2 else exact) == truth
    return solutions


def cases(seed: int, rewards: tuple[int, ...]) -> Any:
    for i in range(COUNT):
        rng = np.random.default_rng((seed, i))
        S = int(rng.integers(1, 5))
        model = g.random_model(rng, S, 3 if S < 4 else 2, rewards)
        target = set(map(int, np.flatnonzero(rng.random(S) < 0.4)))
        yield rng, model, target, bool(rng.integers(2)), bool(rng.integers(2))


def negated(model: Any) -> Any:
    return [[(-r, row) for r, row in actions] for actions in model]


@pytest.mark.parametrize("rewards", SIGNS)
def test_plain_total_reward(rewards: tuple[int, ...]) -> None:
    undefined = 0
    for _, model, _, minimize, exact in cases(1, rewards):
        form = negated(model) if minimize else model
        best = o.best_total(form)
        mdp = g.build(model, mk.TotalReward(), exact=exact, minimize=minimize)
        try:
            solutions = check(mdp, [-v for v in best.value] if minimize else best.value)
        except UndefinedValueError as error:
            assert best.undefined
            assert error.witness is not None  # noqa: PT017 - some models raise, and not in one place
            undefined += 1
            continue
        for sol in solutions:
            value = o.chain_total(*o.chain(form, sol.pi.actions.tolist())).value
            for s, v in enumerate(-x if minimize else x for x in value):
                assert sol.certificate.lower[s] <= v <= sol.certificate.upper[s]
    assert undefined <= COUNT // 20


@pytest.mark.parametrize("rewards", SIGNS)
def test_total_reward_until_a_target(rewards: tuple[int, ...]) -> None:
    for _, model, target, minimize, exact in cases(2, rewards):
        if not target:
            continue
        truth = o.target_total(model, target, minimize=minimize)
        mdp = g.build(model, mk.TotalReward(target=sorted(target)), exact=exact, minimize=minimize)
        for sol in check(mdp, truth):
            rewards_, rows = o.chain(model, sol.pi.actions.tolist())
            reach = o.hitting(rows, target)
            for s, value in enumerate(truth):
                if s in target or (minimize and value == -INF):
                    continue  # minus infinity is approached, by staying longer and longer, not attained
                if value == INF:
                    assert reach[s] < 1
                    continue
                assert reach[s] == 1
                inner = [t for t in range(len(rows)) if reach[t] == 1 and t not in target]
                assert sol.certificate.lower[s] <= o.solve_on(rows, inner, rewards_)[s] <= sol.certificate.upper[s]


def test_reachability_and_invariance() -> None:
    for rng, model, target, minimize, exact in cases(3, (0, 1)):
        S = len(model)
        through = set(map(int, np.flatnonzero(rng.random(S) < 0.7))) if rng.integers(2) else None
        criterion = mk.Reachability(sorted(target), None if through is None else sorted(through))
        truth = o.best_reach(model, target, minimize=minimize, through=through)
        for sol in check(g.build(model, criterion, exact=exact, minimize=minimize), truth):
            kept = [
                row if through is None or s in through or s in target else {s: F(1)}
                for s, row in enumerate(o.chain(model, sol.pi.actions.tolist())[1])
            ]
            for s, value in enumerate(o.hitting(kept, target)):
                assert sol.certificate.lower[s] <= value <= sol.certificate.upper[s]
            assert np.all((sol.certificate.lower >= 0) & (sol.certificate.upper <= 1))
        truth = [1 - x for x in o.best_reach(model, target, minimize=not minimize)]
        safe = np.array([s not in target for s in range(S)])
        for sol in check(g.build(model, mk.Invariance(safe), exact=exact, minimize=minimize), truth):
            assert np.all((sol.certificate.lower >= 0) & (sol.certificate.upper <= 1))


def test_bounded_steps() -> None:
    for rng, model, target, minimize, exact in cases(4, (-2, -1, 0, 1, 2)):
        S, H = len(model), int(rng.integers(0, 5))
        silent = [[(F(0), row) for _, row in actions] for actions in model]
        hit = [F(s in target) for s in range(S)]
        truth = o.bounded(silent, hit, target, H, minimize=minimize)
        for sol in check(
            g.build(model, mk.Reachability(sorted(target), steps=H), exact=exact, minimize=minimize), truth
        ):
            assert np.all((sol.certificate.lower >= 0) & (sol.certificate.upper <= 1))
        truth = [1 - x for x in o.bounded(silent, hit, target, H, minimize=not minimize)]
        safe = np.array([s not in target for s in range(S)])
        check(g.build(model, mk.Invariance(safe, steps=H), exact=exact, minimize=minimize), truth)
        end = [F(int(x), 3) for x in rng.integers(-3, 4, size=S)]
        truth = o.bounded(model, end, set(), H, minimize=minimize, gamma=F(9, 10))
        criterion = mk.FiniteHorizon(H, "9/10", terminal=np.array(end, dtype=object))
        check(g.build(model, criterion, exact=exact, minimize=minimize), truth)


# -- the contract, case by case ---------------------------------------------------------------------------------------

LOOP = {0: F(1)}


def solved(model: Any, criterion: Any, **options: Any) -> list[Any]:
    exact = mk.solve(g.build(model, criterion, **options), exact=True).exact
    assert exact is not None
    return list(exact)


def test_a_minimizer_may_not_hide_from_the_target() -> None:
    model = [[(F(0), LOOP), (F(1), {1: F(1)})], [(F(0), {1: F(1)})]]
    assert solved(model, mk.TotalReward(target=[1]), minimize=True) == [1, 0]
    assert solved(model, mk.TotalReward(), minimize=True) == [0, 0]


def test_a_maximizer_collects_nothing_in_a_silent_loop() -> None:
    model = [[(F(0), LOOP), (F(-1), {1: F(1)})], [(F(0), {1: F(1)})]]
    assert solved(model, mk.TotalReward()) == [0, 0]
    assert solved(model, mk.TotalReward(target=[1])) == [INF, 0]


def test_leaving_costs_exactly_a_hundred() -> None:
    model = [[(F(-10), {0: F(9, 10), 1: F(1, 10)})], [(F(0), {1: F(1)})]]
    assert solved(model, mk.TotalReward()) == [-100, 0]


def test_infinities_apart_are_not_mixed() -> None:
    model = [[(F(1), LOOP)], [(F(-1), {1: F(1)})], [(F(0), {0: F(1)}), (F(7), {1: F(1)})]]
    assert solved(model, mk.TotalReward()) == [INF, -INF, INF]


@pytest.mark.parametrize(("p", "value"), [("2/3", INF), ("1/3", -INF)])
def test_mixed_infinities_go_by_the_gain(p: str, value: float) -> None:
    model = [[(F(9), {1: F(p), 2: 1 - F(p)})], [(F(1), {1: F(1)})], [(F(-1), {2: F(1)})]]
    assert solved(model, mk.TotalReward())[0] == value


@pytest.mark.parametrize("way_out", [False, True])
def test_infinities_that_cancel_are_undefined(way_out: bool) -> None:
    first = [(F(5), {1: F(1, 2), 2: F(1, 2)})] + [(F(0), {3: F(1)})] * way_out
    model = [first, [(F(1), {1: F(1)})], [(F(-1), {2: F(1)})], [(F(0), {3: F(1)})]]
    with pytest.raises(UndefinedValueError, match="cancel"):
        mk.solve(g.build(model, mk.TotalReward()))


def test_partial_sums_that_oscillate_are_undefined() -> None:
    model = [[(F(1), {1: F(1)})], [(F(-1), {0: F(1)})]]
    with pytest.raises(UndefinedValueError, match="converge") as error:
        mk.solve(g.build(model, mk.TotalReward()))
    assert error.value.witness["states"] == [0, 1]


def test_an_aperiodic_chain_of_gain_zero_has_its_bias() -> None:
    model = [[(F(1), {0: F(1, 2), 1: F(1, 2)})], [(F(-1), {0: F(1, 2), 1: F(1, 2)})]]
    assert solved(model, mk.TotalReward()) == [1, -1]


def test_rewards_of_transitions_that_cancel_on_average_are_no_gain() -> None:
    P, r = np.zeros((3, 1, 3)), np.zeros((3, 1, 3))
    P[0, 0], P[1, 0, 0], P[2, 0, 0] = 1 / 3, 1, 1
    r[0, 0] = [0.1, 0.2, -0.3]
    mdp = mk.MDP(P, r, mk.TotalReward())
    sol = mk.solve(mdp)
    assert sol.V.tolist() == [0, 0, 0]
    assert sol.certificate.verify(mdp, exact=True)


def test_a_reward_below_the_floats_keeps_its_sign() -> None:
    mdp = mk.MDP([[[1]]], ["1e-400"], mk.TotalReward())
    assert mk.solve(mdp, exact=True).exact == [INF]


@pytest.mark.parametrize("n", [1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 60])
def test_haddad_and_monmege(n: int) -> None:
    mdp = mk.instances.make("haddad-monmege", n=n)
    sol = mk.solve(mdp)
    assert sol.status.ok
    assert sol.lower <= 0.5 <= sol.upper
    assert sol.upper - sol.lower <= 1e-9 * 0.5
    assert mk.solve(mdp, exact=True).exact_value == F(1, 2)
