"""Promises of learners that a look at one run with its defaults leaves open: bounds by their formulas, compiled loops with
other parameters, runs that are played in parts, and plans whose bonus is not cut off."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.claims.learning import staged
from mdpkit.environment import Adversarial, Delayed, Environment
from mdpkit.errors import OptionError
from mdpkit.solvers.exploration import (
    PSRL,
    RAVIUCB,
    TSDE,
    UCBVI,
    UCRL2,
    BestOfBothWorldsPolicyOptimization,
    ConservativeDualPolicyOptimization,
    DelayAdaptedPolicyOptimization,
    EpsMix,
    ExploreThenCommit,
    OptimisticQLearning,
    StepMix,
)
from mdpkit.solvers.linear import LSVIUCB, AsyncCoopLSVIUCB

module: Any = importlib.import_module("mdpkit.play")


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def ragged(criterion: Any, r: Any = None) -> mk.MDP:
    """Three states with one, two and three actions."""
    draw = np.random.default_rng(4)
    P = draw.dirichlet(np.ones(3), size=6)
    state, action = np.array([0, 1, 1, 2, 2, 2]), np.array([0, 0, 1, 0, 1, 2])
    reward = draw.random(6) if r is None else r
    return mk.MDP(P, reward, criterion, state=state, action=action, rho=[0.5, 0.25, 0.25])


def paid_on_arrival(criterion: Any) -> mk.MDP:
    """Two actions everywhere, and a reward that depends on the next state."""
    draw = np.random.default_rng(6)
    return mk.MDP(draw.dirichlet(np.ones(3), size=(3, 2)), draw.random((3, 2, 3)), criterion, rho=[0.5, 0.25, 0.25])


def coins() -> mk.MDP:
    """A state with three coins, of which heads lead to a state that pays; two tosses in four stages."""
    P = np.array([[0, 0.5, 0.5], [0, 0.1, 0.9], [0, 0.7, 0.3], [1, 0, 0], [1, 0, 0]])
    state, action = [0, 0, 0, 1, 2], [0, 1, 2, 0, 0]
    return mk.MDP(P, [0.0, 0, 0, 1, 0], mk.FiniteHorizon(4), state=state, action=action, rho=0)


def linear(shared: float = 0.05) -> mk.MDP:
    """Features of pairs that have something in common; with a negative share, what one is paid lowers the others."""
    return mk.LinearMDP.from_mdp(ragged(mk.FiniteHorizon(3)), 0.5 * np.eye(6) + shared)


H3 = mk.FiniteHorizon(3)
TABLES = np.random.default_rng(8).random((3, 3, 6))
KNOWN = Adversarial(Environment(ragged(H3), known=True), TABLES)
HIDDEN = Adversarial(ragged(H3), TABLES)
REVEALED = Adversarial(Environment(ragged(H3), known=True), TABLES, revealed=True)
DELAYS = [3, 0, 1, 0, 9, 2, 5, 0]
RIVER = mk.instances.make("riverswim", n_states=3)

CASES: dict[str, tuple[Any, Any]] = {
    "bernstein": (Environment(ragged(H3)), UCBVI("bernstein", scale=0.05)),
    "bernstein by stage": (Environment(staged(3, 3)), UCBVI("bernstein", scale=0.05)),
    "hoeffding by stage": (Environment(staged(3, 3)), UCBVI(scale=0.1)),
    "q-learning": (Environment(ragged(H3)), OptimisticQLearning(scale=0.05)),
    "q-learning, noise": (Environment(ragged(H3), "bernoulli"), OptimisticQLearning(scale=0.05)),
    "q-learning, paid on arrival": (Environment(paid_on_arrival(H3)), OptimisticQLearning(scale=0.05)),
    "q-learning, adversary": (HIDDEN, OptimisticQLearning(scale=0.05)),
    "explore": (Environment(ragged(H3)), ExploreThenCommit(13)),
    "explore by stage": (Environment(staged(3, 3)), ExploreThenCommit(13)),
    "psrl": (Environment(staged(3, 3)), PSRL(0.3)),
    "psrl, noise": (Environment(staged(3, 3), "bernoulli"), PSRL(0.3)),
    "psrl, adversary": (HIDDEN, PSRL(2.0)),
    "tsde": (Environment(RIVER.under(mk.AverageReward())), TSDE(0.3)),
    "tsde, noise": (Environment(ragged(mk.AverageReward()), "bernoulli"), TSDE(0.3)),
    "ucrl2": (Environment(ragged(mk.AverageReward()), "bernoulli"), UCRL2(scale=0.05)),
    "ucrl2, paid on arrival": (Environment(paid_on_arrival(mk.AverageReward())), UCRL2(scale=0.05)),
    "ravi": (Environment(ragged(mk.Discounted("2/3"))), RAVIUCB(eta=0.5, scale=0.05)),
    "stepmix": (Environment(coins()), StepMix((0, 3, 4), threshold=0.4, scale=0.2)),
    "epsmix": (Environment(coins()), EpsMix((0, 3, 4), threshold=0.4, scale=0.2)),
    "cdpo": (Environment(ragged(H3)), ConservativeDualPolicyOptimization(eta=0.3, models=3, prior=0.3)),
    "cdpo by stage": (Environment(staged(3, 3)), ConservativeDualPolicyOptimization(eta=0.3, models=3, prior=0.3)),
    "tsallis": (KNOWN, BestOfBothWorldsPolicyOptimization(start=1, explore=2, bonus=0.5)),
    "shannon": (HIDDEN, BestOfBothWorldsPolicyOptimization("shannon", start=1, explore=2, bonus=0.5)),
    "barrier": (KNOWN, BestOfBothWorldsPolicyOptimization("barrier", rate=0.5, start=1, explore=2)),
    "delays": (Delayed(KNOWN, DELAYS * 5), DelayAdaptedPolicyOptimization(eta=0.2, bonus=0.5)),
    "delays, unknown law": (Delayed(HIDDEN, DELAYS * 5), DelayAdaptedPolicyOptimization(eta=0.2, explore=0.1)),
    "delays, plain weights": (Delayed(HIDDEN, DELAYS * 5), DelayAdaptedPolicyOptimization(eta=0.2, weights="plain")),
    "delays, full information": (
        Delayed(REVEALED, DELAYS * 5), DelayAdaptedPolicyOptimization(eta=0.2, information="full"),
    ),
    "delays, full information by stage": (
        Delayed(Adversarial(Environment(staged(3, 3), known=True), TABLES[:, :, :4], revealed=True), DELAYS * 5),
        DelayAdaptedPolicyOptimization(eta=0.2, information="full"),
    ),
    "lsvi": (Environment(linear()), LSVIUCB(beta=0.1, growth=1.5)),
    "lsvi without a bonus": (Environment(linear(-0.075)), LSVIUCB(beta=0.0)),
    "lsvi, noise": (Environment(linear(), "bernoulli"), LSVIUCB(beta=0.05)),
    "agents in turn": (Environment(linear()), AsyncCoopLSVIUCB(agents=3, order=(0, 2, 2, 1), beta=0.1)),
    "agents at random": (Environment(linear()), AsyncCoopLSVIUCB(agents=3, alpha=0.5, beta=0.1)),
}  # fmt: skip
ROUNDS = 40


def run(name: str, **options: Any) -> mk.Regret:
    environment, learner = CASES[name]
    unit = "steps" if environment.base.problem.kind == "average" else "episodes"
    keep = environment.base.problem.kind != "discounted"
    return mk.play(environment, learner, **{unit: ROUNDS}, rng=rng(), keep=keep, **options)


def assert_same(one: mk.Regret, two: mk.Regret) -> None:
    np.testing.assert_allclose(one.values, two.values, rtol=1e-11, atol=1e-12)
    for name in one.series:
        np.testing.assert_allclose(one.series[name], two.series[name], rtol=1e-8, atol=1e-11)
    for part in ("states", "pairs", "rewards"):
        if getattr(one, part) is not None:
            assert np.array_equal(getattr(one, part), getattr(two, part)), part
    assert one.steps == two.steps


@pytest.mark.parametrize("name", CASES)
def test_the_compiled_loop_is_the_definition_with_other_parameters_too(name: str) -> None:
    assert_same(run(name, compiled=True), run(name, compiled=False))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("compiled", [True, False])
def test_a_run_does_not_depend_on_the_parts_in_which_it_is_played(
    name: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(name, compiled=compiled)
    monkeypatch.setattr(module, "CHUNK", 7)
    assert_same(run(name, compiled=compiled), whole)


def test_what_the_cases_are_there_for_happens_in_them() -> None:
    distance = run("cdpo").series["distance"]
    assert np.any(distance > 0.01)
    assert np.all(distance <= 0.3 + 1e-12)
    for name in ("stepmix", "epsmix"):
        mixed = run(name).series["baseline"]
        assert np.any(mixed % 1 > 0), name
    assert len(np.unique(run("agents at random").series["agent"])) == 3
    assert run("lsvi").series["plans"][-1] < ROUNDS
    assert run("tsde").series["switches"][-1] < ROUNDS - 1


# -- bounds by their formulas ----------------------------------------------------------------------------------------


def view(environment: Any, K: int = 500) -> Any:
    return Environment(environment).view(K) if isinstance(environment, mk.MDP) else environment.view(K)


N = np.array([1, 7, 100, 500])


def offered(learner: Any, world: Any, K: int = 500) -> Any:
    found = learner.bound(view(world, K), N)
    assert found is not None
    return found


def test_bounds_of_ucbvi() -> None:
    # H = 3, S = 3, L = 6, K = 500; counts are pooled, or kept by stage: S = 2, L = 4.
    K, d = 500, 0.1
    iota = math.log(3 * 6 * K * 3 / d)
    c = math.sqrt(iota / 2) + math.sqrt((3 * math.log(2) + iota) / 2)
    luck = 6 * np.sqrt(N * math.log(1 / d) / 2)
    np.testing.assert_allclose(
        offered(UCBVI(), ragged(H3)), 2 * 6 * 9 + math.sqrt(8) * 2 * c * np.sqrt(6 * 3 * N) + luck, rtol=1e-12
    )
    iota = math.log(3 * 4 * K / d)
    c = math.sqrt(iota / 2) + math.sqrt((2 * math.log(2) + iota) / 2)
    np.testing.assert_allclose(
        offered(UCBVI(), staged(3, 3)), 4 * 9 + 2 * 2 * c * 3 * np.sqrt(4 * N) + luck, rtol=1e-12
    )


@pytest.mark.parametrize("noise", [None, "bernoulli"])
def test_bounds_of_q_learning(noise: Any) -> None:
    K, d, L, H = 500, 0.1, 6, 3
    iota = math.log(2 * H * L * K / d)
    total = np.zeros(len(N))
    squares = 0.0
    for h in range(H):
        rho, rest = (4 / 3) ** h, 2 - h
        total += rho * (L * (3 - h) + 6 * (rest + (noise is not None)) * np.sqrt(H * iota * L * N))
        squares += (rho * rest) ** 2
    total += math.sqrt(K * math.log(1 / d) / 2 * (9 + squares))
    np.testing.assert_allclose(offered(OptimisticQLearning(), Environment(ragged(H3), noise)), total, rtol=1e-12)
    assert OptimisticQLearning(scale=0.5).bound(view(ragged(H3)), N) is None


@pytest.mark.parametrize("length", [None, 20])
def test_bounds_of_exploring_first(length: Any) -> None:
    # 500^(2/3) = 62.996...; three actions at most.
    m = 63 if length is None else length
    assert ExploreThenCommit(length).exploring(view(ragged(H3))) == m
    assert ExploreThenCommit().exploring(view(ragged(H3), 1000)) == 100
    assert ExploreThenCommit(900).exploring(view(ragged(H3))) == 500
    w = math.sqrt((3 * math.log(2) + math.log(6 * 3 * m * 500)) / 2)
    each = 2 * math.sqrt(2) * w * math.sqrt(6 / (m + 1)) * (3 * 2 + 9 * 1) + 3 / 500
    right = [3 * min(n, m) + max(n - m, 0) * each for n in N.tolist()]
    np.testing.assert_allclose(offered(ExploreThenCommit(length), ragged(H3)), right, rtol=1e-12)
    assert ExploreThenCommit().bound(view(ragged(H3, r=np.linspace(0, 2, 6))), N) is None


def test_bounds_of_posterior_sampling() -> None:
    w = math.sqrt((3 * math.log(2) + math.log(6 * 3 * 500 * 500)) / 2)
    np.testing.assert_allclose(
        offered(PSRL(), ragged(H3)), 6 + 2 * 6 * 9 + math.sqrt(8) * 2 * 2 * w * np.sqrt(6 * 3 * N), rtol=1e-12
    )
    w = math.sqrt((2 * math.log(2) + math.log(4 * 3 * 500 * 500)) / 2)
    np.testing.assert_allclose(offered(PSRL(), staged(3, 3)), 6 + 4 * 9 + 4 * 2 * w * 3 * np.sqrt(4 * N), rtol=1e-12)
    assert PSRL().bound(view(Environment(ragged(H3), "bernoulli")), N) is None
    assert PSRL().bound(view(ragged(H3, r=np.linspace(0, 2, 6))), N) is None


@pytest.mark.parametrize("entropy", ["tsallis", "shannon"])
def test_bounds_of_best_of_both_worlds(entropy: str) -> None:
    H, S, A = 3, 3, 3
    z = 4 * math.sqrt(A) if entropy == "tsallis" else A + math.log(A)
    Z = 8 * (math.e - 1) * H**2 * z
    a, kappa = 2 * H * Z, 2 * Z**2
    learner = BestOfBothWorldsPolicyOptimization(entropy)
    assert learner.constants(view(KNOWN)) == pytest.approx((a, 2 * H, kappa, z), rel=1e-14)
    X = 2 * a * (math.sqrt(A) - 1) if entropy == "tsallis" else a * math.log(A)
    # Every f_t is one up to the floor's constant, and kappa / t after it.
    for T in (500, int(4 * kappa)):
        floors = sum(min(1.0, kappa / t) for t in range(1, T + 1)) if T < 10**6 else None
        bound = learner.bound(view(KNOWN, T), np.array([T]))
        assert bound is not None
        root = H * X + math.e * H**2 * S * 4 * math.sqrt(2) * z * math.sqrt(T)
        if floors is not None:
            assert root + math.e * H**2 * S * floors <= bound[0] <= root + math.e * H**2 * S * (floors + 1.001)
    late = float(4 * kappa)
    bound = learner.bound(view(KNOWN), np.array([late]))
    assert bound is not None
    right = H * X + math.e * H**2 * S * (4 * math.sqrt(2) * z * math.sqrt(late) + kappa + kappa * math.log(4) + 1)
    assert bound[0] == pytest.approx(right, rel=1e-12)
    for other in (
        replace(learner, rate=1.0), replace(learner, start=1.0), replace(learner, explore=1.0), replace(learner, bonus=2.0),
        BestOfBothWorldsPolicyOptimization("barrier"),
    ):  # fmt: skip
        assert other.bound(view(KNOWN), N) is None
    assert learner.bound(view(HIDDEN), N) is None


def test_constants_of_the_barrier() -> None:
    z = 3 * math.log(500) + 1
    found = BestOfBothWorldsPolicyOptimization("barrier").constants(view(KNOWN))
    assert found[3] == pytest.approx(z, rel=1e-14)


def test_the_bandit_bound_of_best_of_both_worlds() -> None:
    arms = mk.MDP(np.ones((1, 3, 1)), [[0.5, 0.75, 0.25]], mk.FiniteHorizon(1), rho=0)
    np.testing.assert_allclose(
        offered(BestOfBothWorldsPolicyOptimization(rate=1.0), arms), 4 * np.sqrt(3 * N), rtol=1e-14
    )
    for other in (
        BestOfBothWorldsPolicyOptimization(), BestOfBothWorldsPolicyOptimization("shannon", rate=1.0),
        BestOfBothWorldsPolicyOptimization(rate=1.0, start=1.0), BestOfBothWorldsPolicyOptimization(rate=1.0, explore=1.0),
    ):  # fmt: skip
        assert other.bound(view(arms), N) is None


@pytest.mark.parametrize(("K", "delay"), [(10, 0.0), (500, 0.0), (500, 3.0)])
def test_bounds_with_delays(K: int, delay: float) -> None:
    H, L, A = 3, 6, 3
    grown = (4 / 3) ** 3
    beta = 2 * 9 * (grown - 1 - 1 / 3)
    noise, drift = 2 * math.e * 27 * L, 3 * (3 + beta) * (3 + 4 / 3 * beta)
    # With few episodes the step is the largest that the proof allows.
    most, best = 1 / (2 * 27 * (grown - 1)), math.sqrt(3 * math.log(A) / (K * (noise + drift * delay)))
    eta = min(most, best)
    assert (best < most) == (K > 10)
    learner = DelayAdaptedPolicyOptimization(delay=delay)
    assert learner.constants(view(KNOWN, K)) == pytest.approx((eta, 3 * eta, noise, drift), rel=1e-13)
    right = H * math.log(A) / eta + eta * (noise + drift * delay) * N + H * np.minimum(delay, N)
    np.testing.assert_allclose(offered(learner, KNOWN, K), right, rtol=1e-12)
    for other in (
        replace(learner, weights="plain"), replace(learner, eta=1.01 * most), replace(learner, explore=1.01 * eta),
        replace(learner, bonus=0.5),
    ):  # fmt: skip
        assert other.bound(view(KNOWN, K), N) is None
    assert learner.bound(view(HIDDEN, K), N) is None
    assert replace(learner, information="full").bound(view(REVEALED, K), N) is None


def test_bounds_with_delays_of_one_stage() -> None:
    arms = mk.MDP(np.ones((1, 3, 1)), [[0.5, 0.75, 0.25]], mk.FiniteHorizon(1), rho=0)
    eta = math.sqrt(math.log(3) / (500 * (1.5 + 2)))
    learner = DelayAdaptedPolicyOptimization(delay=2.0)
    assert learner.constants(view(arms)) == pytest.approx((eta, 0.0, 1.5, 1.0), rel=1e-14)
    right = math.log(3) / eta + eta * 3.5 * N + np.minimum(2, N)
    np.testing.assert_allclose(offered(learner, arms), right, rtol=1e-13)
    assert replace(learner, explore=0.1).bound(view(arms), N) is None


@pytest.mark.parametrize(("growth", "lambda_"), [(1.0, 1.0), (1.5, 2.0)])
def test_bounds_of_least_squares(growth: float, lambda_: float) -> None:
    H, S, d, K = 3, 3, 6, 500
    c = np.array([3.0, 2.0, 1.0])
    logs = math.log(1 + K / (d * lambda_))
    beta = c / 2 * np.sqrt(d * logs + 2 * S * np.log(1 + c * math.sqrt(K)) + 2 * math.log(H / 0.1)) + 1
    beta += 2 * c * math.sqrt(d * lambda_)
    learner = LSVIUCB(growth=growth, lambda_=lambda_)
    np.testing.assert_allclose(learner.radius(view(linear())), beta, rtol=1e-13)
    luck = np.sqrt(N / 2 * math.log(10) * 14)
    right = 2 * math.sqrt(growth) * beta.sum() * np.sqrt(2 * d * N * np.log(1 + N / (d * lambda_))) + luck
    np.testing.assert_allclose(offered(learner, linear()), right, rtol=1e-12)
    assert LSVIUCB(beta=1.0).bound(view(linear()), N) is None
    assert LSVIUCB(beta=0.5).radius(view(linear())).tolist() == [0.5] * 3


@pytest.mark.parametrize("alpha", [None, 0.5])
def test_bounds_of_agents_that_share(alpha: Any) -> None:
    H, S, d, K, M = 3, 3, 6, 500, 3
    c = np.array([3.0, 2.0, 1.0])
    sets = math.log(M) + (M - 1) * math.log(K + 1)
    inside = d * math.log(1 + K / d) + 2 * S * np.log(1 + c * math.sqrt(K)) + 2 * math.log(H / 0.1) + 2 * sets
    beta = c / 2 * np.sqrt(inside) + 1 + 2 * c * math.sqrt(d)
    learner = AsyncCoopLSVIUCB(agents=M, alpha=alpha)
    a = 1 / 9 if alpha is None else alpha
    assert learner.threshold == pytest.approx(1 + a, rel=1e-15)
    np.testing.assert_allclose(learner.radius(view(linear())), beta, rtol=1e-13)
    logs = np.log(1 + N / d)
    E = d * logs / math.log(2) + 1
    width = np.sqrt(N * (4 * (1 + a) * d * logs + 2 * M * E * (1 + a) * math.log(1 + a))) + M * E
    right = 2 * beta.sum() * width + np.sqrt(N / 2 * math.log(10) * 14)
    np.testing.assert_allclose(offered(learner, linear()), right, rtol=1e-12)
    most = H * (M + 1 / a + 1) * (d * math.log2(1 + K / d) + 1)
    assert learner.most(view(linear())) == pytest.approx(most, rel=1e-13)
    assert AsyncCoopLSVIUCB(agents=2, alpha=0).most(view(linear())) == math.inf


def test_confidence_sets_hold_for_all_counts_at_once() -> None:
    # S ln 2 + ln(tables L N / delta), N the largest count: of K episodes of H steps where counts are pooled.
    for learner in (DelayAdaptedPolicyOptimization(), BestOfBothWorldsPolicyOptimization()):
        assert learner.iota(view(HIDDEN)) == pytest.approx(3 * math.log(2) + math.log(6 * 1500 / 0.1), rel=1e-14)
        by_stage = Adversarial(staged(3, 3), np.random.default_rng(0).random((2, 4)))
        assert learner.iota(view(by_stage)) == pytest.approx(2 * math.log(2) + math.log(12 * 500 / 0.1), rel=1e-14)
    for kind in (StepMix, EpsMix):
        assert kind().iota(view(ragged(H3))) == pytest.approx(3 * math.log(2) + math.log(3 * 6 * 500 / 0.1), rel=1e-14)
    assert RAVIUCB().capital(view(ragged(mk.Discounted(0.5)))) == pytest.approx(
        3 * math.log(2) + math.log(6 / 0.1), rel=1e-14
    )


# -- plans whose bonus is not cut off --------------------------------------------------------------------------------


@pytest.mark.parametrize("bonus", ["hoeffding", "bernstein"])
@pytest.mark.parametrize("by_stage", [False, True])
def test_plans_of_ucbvi_with_a_small_bonus(bonus: str, by_stage: bool) -> None:
    """With bonuses of the theorem few counts are cut off at what is left; here the bonus itself is seen."""
    mdp = staged(5, 3) if by_stage else ragged(H3)
    K, scale, H, S, L = 12, 1 / 64, 3, mdp.n_states, mdp.n_pairs
    learner = UCBVI(bonus, delta=0.1, scale=scale)
    n = np.zeros((H if by_stage else 1, L))
    moves = np.zeros((len(n), S, L))
    events = H * L * K * (1 if by_stage else H)
    iota = math.log((2 if bonus == "bernstein" else 1) * events / 0.1)
    r = np.asarray(mdp.r, dtype=float).reshape(-1, L)
    loose = 0
    for played in module.rounds(mdp, learner, K, rng()):
        V = np.zeros(S)
        for h in range(H - 1, -1, -1):
            i, rest = h if by_stage else 0, H - 1 - h
            q = np.empty(L)
            for k in range(L):
                if not n[i, k]:
                    q[k] = r[h if len(r) > 1 else 0, k] + rest
                    continue
                p = moves[i, :, k] / n[i, k]
                width = rest * math.sqrt(iota / (2 * n[i, k]))
                if bonus == "bernstein":
                    spread = math.sqrt(max(p @ V**2 - (p @ V) ** 2, 0.0) * iota / n[i, k])
                    width = max(math.sqrt(3) / 0.6 * spread, 3.5 / 0.4 * rest * iota / n[i, k])
                loose += 0 < width and p @ V + scale * width < rest
                q[k] = r[h if len(r) > 1 else 0, k] + min(p @ V + scale * width, rest)
            V = np.maximum.reduceat(q, mdp.pair_ptr[:-1])
            np.testing.assert_allclose(played.state.V[h], V, rtol=1e-12)
            assert np.all(q[played.policy[h]] >= V - 1e-12)
        for h, k in enumerate(played.history[1]):
            n[h if by_stage else 0, k] += 1
            moves[h if by_stage else 0, played.history[0][h + 1], k] += 1
    assert loose > 15


def test_one_feature_that_is_too_long_is_enough() -> None:
    phi = 0.5 * np.eye(6)
    phi[4, 4] = 1.5
    mdp = mk.LinearMDP.from_mdp(ragged(H3), phi)
    for learner in (LSVIUCB(), AsyncCoopLSVIUCB()):
        with pytest.raises(OptionError, match=r"norm 1.5 of state 2, action 1"):
            mk.play(mdp, learner, episodes=2, rng=rng())
