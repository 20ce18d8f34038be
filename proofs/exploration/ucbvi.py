r"""Claims of optimistic value iteration with confidence bonuses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Interval, Rate, Row, claim, equal, fact, leq, mutant, point
from mdpkit.claims.cases import chosen, drawn_once, joined, once
from mdpkit.claims.claim import Case
from mdpkit.claims.exact import Exact
from mdpkit.claims.judge import ball, log
from mdpkit.claims.learning import Counts, episodic, initial, stage_values, staged, value_error
from mdpkit.claims.rounding import factors, near
from mdpkit.claims.statistics import proportion
from mdpkit.claims.trial import call, play, rounds
from mdpkit.instances import make
from mdpkit.kernels import optimism as kernels
from mdpkit.models.criterion import FiniteHorizon
from mdpkit.models.mdp import MDP
from mdpkit.solvers.exploration.ucbvi import UCBVI

BONUSES = ("hoeffding", "bernstein")


class Forgetful(UCBVI):
    """Never plans again."""

    def observe(self, state: Any, feedback: Any, rng: Any) -> Any:
        """The state as it is."""
        return state

    def loop(self, *arguments: Any) -> Any:
        """None is compiled."""
        return None


def _iota(exact: Exact, K: int, delta: Fraction, bonus: str, by_stage: bool, union: bool = True) -> Any:
    """The logarithm in the bonus: over stages, pairs and counts."""
    assert exact.H is not None
    events = exact.H * exact.L * (K if by_stage else K * exact.H) if union else 1
    return log(ball(Fraction((2 if bonus == "bernstein" else 1) * events) / delta))


def _around(x: Any, error: Any) -> Any:
    """A ball widened by an error."""
    return x + ball(0) + type(ball(0))(0, float(error) * (1 + 1e-9))


def _optimistic(
    exact: Exact, counts: Counts, V: list[Fraction], h: int, iota: Any, bonus: str, half: int, scale: Any = 1
) -> list[tuple[Any, Any]]:
    """Optimistic action values of a stage, and bounds on the rounding of theirs in floats."""
    assert exact.H is not None
    rest = exact.H - 1 - h
    out: list[tuple[Any, Any]] = []
    m = factors(exact.S + 16)
    for k in range(exact.L):
        r = exact.r[k + h * exact.L if len(exact.r) > exact.L else k]
        law, n = counts.law(k, h), counts.n(k, h)
        if not n:
            out.append((ball(r + rest), factors(4) * (1 + rest)))
            continue
        mean = sum((p * V[t] for t, p in law.items()), Fraction(0))
        if bonus == "hoeffding":
            width = rest * (iota / (half * n)).sqrt()
        else:
            second = sum((p * V[t] ** 2 for t, p in law.items()), Fraction(0))
            # In floats the difference of the moments is off by this much, and its root by what the ball then covers.
            low, high = (max(Fraction(0), second - mean**2 + x * m * (second + mean**2)) for x in (-1, 1))
            roots = [(ball(x) * iota / n).sqrt() for x in (low, high)]
            spread = ball(3).sqrt() / ball(Fraction(3, 5)) * roots[0].union(roots[1])
            width = type(spread).max(spread, ball(Fraction(35, 4)) * rest * iota / n)
        width = ball(scale) * width
        value = type(width).min(ball(mean) + width, ball(rest))
        out.append((ball(r) + value, m * (1 + rest + mean + Fraction(float(width.upper())))))
    return out


def _bernstein(three: int, second: Any) -> Iterator[Row]:
    """The bonus of counts from one to a million, on either side of where its terms meet."""
    law, V, iota, rest = [Fraction(1, 4), Fraction(3, 4)], [Fraction(0), Fraction(2)], Fraction(3), Fraction(2)
    columns, values = np.array([[float(p)] for p in law]), np.array([float(v) for v in V])
    for n in (1, 50, 100, 200, 1000, 10**6):
        found = call(kernels.bernstein_bonus, columns, values, np.array([float(n)]), float(iota), float(rest))
        spread = ball(three * Fraction(3, 4) * iota / n).sqrt() / ball(Fraction(3, 5))
        right = type(spread).max(spread, ball(second / Fraction(2, 5) * rest * iota / n))
        yield equal(float(found[0]), _around(right, factors(64) * rest), f"Bernstein's bonus, n={n}")


@claim(
    "azar2017:plan",
    says=r"\bar Q_h = r_h + \min\{\hat P_h \bar V_{h+1} + b_h, H-1-h\}, \quad \bar V_h = \max_a \bar Q_h,"
    r" \quad \hat P_h(s'|s,a) = n(s,a,s')/n(s,a)",
    where="Algorithms 1 to 3, recalled; the bonuses are derived in docs/theory/exploration",
    kind="identity",
    mode="numeric",
    instances=episodic(by_stage=True),
    controls=[
        mutant("the bonus without its two", half=1),
        mutant("the logarithm without its union", union=False),
        mutant("episodes counted at the next stage", shift=1),
        mutant("two for the three of Bernstein's variance", three=2),
        mutant("the second term of Bennett's inequality in Bernstein's place", second=Fraction(7, 3)),
    ],
    survivors={"transposed P": "the learner never sees the law: it plans from its history, whichever law made it"},
    about=[UCBVI],
)
def plan(
    mdp: Any,
    *,
    rng: Any = None,
    half: int = 2,
    union: bool = True,
    shift: int = 0,
    three: int = 3,
    second: Any = Fraction(7, 2),
    K: int = 8,
) -> Iterator[Row]:
    """What is planned in each episode is the optimistic backup of the counts so far, and greedy pairs are played.

    Of so few counts Bernstein's bonus is cut off at what is left, and its second term is the larger one: it is seen in a plan
    with a small factor, and on its own for many counts.
    """
    yield from _bernstein(three, second)
    exact = Exact.of(mdp)
    by_stage = len(exact.P) > exact.L
    assert exact.H is not None
    for bonus, scale in (("hoeffding", Fraction(1)), ("bernstein", Fraction(1, 64))):
        learner = UCBVI(bonus, delta=Fraction(1, 10), scale=scale)  # type: ignore[arg-type]
        counts = Counts(exact, by_stage=by_stage)
        iota = _iota(exact, K, Fraction(1, 10), bonus, by_stage, union)
        for played in rounds(mdp, learner, K, rng):
            V = [[Fraction(x) for x in row] for row in played.state.V.tolist()]
            worst: list[Row] = []
            for h in range(exact.H):
                q = _optimistic(exact, counts, V[h + 1], h, iota, bonus, half, scale)
                for s, pairs in enumerate(exact.pairs):
                    k = int(played.policy[h][s])
                    at = f"{bonus}, episode {played.k}, h={h}, s={s}"
                    worst.append(fact(k in pairs, at))
                    best = max((q[j] for j in pairs), key=lambda pair: float(pair[0]))
                    error = max(q[j][1] for j in pairs)
                    worst.append(equal(V[h][s], _around(best[0], error), at))
                    worst.append(leq(_around(best[0], error).lower(), q[k][0] + ball(2 * error), at))
            yield from worst
            states, pairs_taken, _ = played.history
            if shift:
                states, pairs_taken = states[:-1], pairs_taken[1:]
            counts.add(states, pairs_taken)


def _coins(actions: int, edge: Fraction) -> Any:
    """Two stages: in the first one, one action leads to the paying state with probability 1/2 + edge, the others with 1/2."""
    heads = [Fraction(1, 2)] * (actions - 1) + [Fraction(1, 2) + edge]
    P = [[[Fraction(0), p, 1 - p] for p in heads], *([[[Fraction(1), Fraction(0), Fraction(0)]] * actions] * 2)]
    r = [[Fraction(s == 1)] * actions for s in range(3)]
    return MDP(np.array(P, dtype=object), np.array(r, dtype=object), FiniteHorizon(2), rho=0)


class NoUnion(UCBVI):
    """A bonus without its logarithm."""

    def iota(self, view: Any) -> float:
        """A number that knows no union."""
        return 0.1


@claim(
    "azar2017:optimism",
    says=r"\Pr\{\exists k \le K, h, s: \bar V^k_h(s) < V^*_h(s)\} \le \delta",
    where="Lemma 18, recalled, with other constants; derived in docs/theory/exploration",
    kind="upper",
    mode="statistical",
    instances=joined(
        chosen([Case("two coins, edge 1/5", _coins(2, Fraction(1, 5))), Case("a coin", _coins(1, Fraction(0)))]),
        episodic(fast=1, full=3),
    ),
    controls=[
        mutant("a bonus without its logarithm", kind=NoUnion),
        mutant("a tenth of the bonus", scale=0.1),
    ],
    survivors={
        "off by one in k": "an episode that was never seen leaves fewer counts, which are as valid",
        "transposed P": "in so few episodes the index moves by less than its bonus, in whatever world",
        "stale values": "what was expected a moment ago is optimistic as well; azar2017:plan says what is planned",
    },
    delta=1e-3,
    about=[UCBVI],
)
def optimism(
    mdp: Any,
    *,
    rng: Any = None,
    delta: float = 1e-3,
    kind: Any = UCBVI,
    scale: float = 1.0,
    runs: int = 60,
    K: int = 12,
) -> Iterator[Row]:
    """Every index is above the optimal value, in all states, stages and episodes of a run, but for a run in 1/delta."""
    exact = Exact.of(mdp)
    best = exact.horizon()
    promised = Fraction(1, 5)
    # A stage is off by at most S + 16 factors of numbers that sum to 2H, and stages add up.
    rounding = 2 * len(best) ** 2 * factors(exact.S + 16)
    for bonus in BONUSES:
        failures = 0
        for _ in range(runs):
            learner = kind(bonus, delta=promised, scale=scale)
            failures += any(
                Fraction(x) + rounding < v
                for played in rounds(mdp, learner, K, rng)
                for row, values in zip(played.state.V.tolist(), best, strict=True)
                for x, v in zip(row, values, strict=True)
            )
        yield leq(proportion(failures, runs, delta / 2), promised, f"{bonus}: {failures} of {runs} runs")


@claim(
    "azar2017:episode-gap",
    says=r"V^*_0 - V^{\pi_k}_0 \le \bar V_0 - V^{\pi_k}_0"
    r" = \mathbb{E}_{\pi_k} \sum_h \big[\bar Q_h - r_h - P \bar V_{h+1}\big](s_h, a_h)",
    where="Section 5, recalled; the identity is derived here by telescoping",
    kind="upper",
    mode="numeric",
    instances=joined(drawn_once(episodic(fast=1, horizons=(4,)), 4), episodic(by_stage=True)),
    controls=[
        mutant("visits under the optimal policy", optimal=True),
        mutant("the values of the episode before", late=1),
    ],
    survivors={
        "off by one in k": "the identity holds for whatever is planned; azar2017:plan says what that is",
        "stale values": "the identity holds for whatever is planned; azar2017:plan says what that is",
    },
    about=[UCBVI],
    domain="episodes in which the index is optimistic",
)
def episode_gap(mdp: Any, *, rng: Any = None, optimal: bool = False, late: int = 0, K: int = 10) -> Iterator[Row]:
    """What an episode loses is at most what its policy's own visits see of the overestimation."""
    exact = Exact.of(mdp)
    assert exact.H is not None
    best = exact.horizon()
    star = initial(exact, best[0])
    regret = play(mdp, UCBVI(), K, np.random.default_rng(5), keep=False)
    yield near(float(np.mean(regret.best)), star, value_error(exact), "best")
    before: Any = None
    for played in rounds(mdp, UCBVI(), K, np.random.default_rng(5)):
        V = [[Fraction(x) for x in row] for row in played.state.V.tolist()]
        policy = played.policy
        worth = stage_values(exact, policy)
        value = initial(exact, worth[0])
        claimed = before if late and before is not None else played.value
        yield near(claimed, value, value_error(exact), f"episode {played.k}, value")
        yield near(regret.values[played.k], value, value_error(exact), f"episode {played.k}, compiled value")
        before = played.value
        shown = _greedy(exact, best) if optimal else policy
        law = {s: Fraction(p) for s, p in enumerate(mdp.rho_exact.tolist()) if p}
        excess = Fraction(0)
        for h in range(exact.H):
            after: dict[int, Fraction] = {}
            q = exact.q(V[h + 1], stage=h)
            for s, p in law.items():
                k = int(shown[h][s])
                excess += p * (V[h][s] - q[k])
                for t, x in exact.P[k + h * exact.L if len(exact.P) > exact.L else k].items():
                    after[t] = after.get(t, Fraction(0)) + p * x
            law = after
        yield equal(excess, initial(exact, V[0]) - value, f"episode {played.k}, identity")
        yield leq(star - value, excess, f"episode {played.k}", k=played.k + 1)


def _greedy(exact: Exact, V: Any) -> list[list[int]]:
    out: list[list[int]] = []
    for h in range(exact.H or 0):
        q = exact.q(V[h + 1], stage=h)
        out.append([max(pairs, key=lambda k: q[k]) for pairs in exact.pairs])
    return out


def _long(level: Any, rng: Any) -> Iterator[Case]:
    yield Case("two coins, edge 2/5", _coins(2, Fraction(2, 5)))
    yield Case("eight coins, edge 1/20", _coins(8, Fraction(1, 20)))
    yield Case("laws by stage, H=2", staged(3, 2))
    if level == "full":
        yield Case("riverswim?n_states=3, H=4", make("riverswim?n_states=3").under(FiniteHorizon(4)))
        yield Case("five coins, edge 1/10", _coins(5, Fraction(1, 10)))


@claim(
    "azar2017:regret",
    says=r"\sum_{k \le K} V^* - V^{\pi_k} \le 2 S A H^2 + \sqrt 8 (H-1) c \sqrt{SAHK}"
    r" + \tfrac{H(H+1)}2 \sqrt{K \ln(1/\delta)/2}"
    r" \text{ for each } K \text{ in } 1 - 2\delta, \quad c = \sqrt{\iota/2} + \sqrt{(S \ln 2 + \iota)/2}",
    where="Theorem 1, recalled, with constants and one more root of S; derived in docs/theory/exploration",
    kind="upper",
    mode="statistical",
    instances=_long,
    controls=[
        mutant("nothing is learned", kind=Forgetful),
        mutant("the bound without its root of K", power=0.0),
    ],
    delta=1e-3,
    about=[UCBVI],
    caveat="the leading term is larger than the paper's by a root of S; laws by stage have a bound of their own",
)
def regret(
    mdp: Any, *, rng: Any = None, delta: float = 1e-3, kind: Any = UCBVI, power: float = 0.5, K: int = 40_000
) -> Iterator[Row]:
    """The regret of a run stays under the derived bound, and what is reported is exact."""
    exact = Exact.of(mdp)
    H, L, S = exact.H or 0, exact.L, exact.S
    # The bound holds for each K: twelve of them are looked at, and the sets are valid but for twice this.
    small = float(delta) / 16
    learner = kind(delta=small)
    by_stage = len(exact.P) > exact.L
    run = play(mdp, learner, K, rng, keep=False, compiled=None if kind is Forgetful else True)
    yield near(run.best, initial(exact, exact.horizon()[0]), value_error(exact), "best")
    iota = math.log(H * L * (K if by_stage else K * H) / small)
    c = math.sqrt(iota / 2) + math.sqrt((S * math.log(2) + iota) / 2)
    for n in np.unique(np.geomspace(100, K, 12).astype(int)).tolist():
        root = n**power
        luck = H * (H + 1) / 2 * root * math.sqrt(math.log(1 / small) / 2)
        if by_stage:
            bound = L * H**2 + 2 * (H - 1) * c * H * math.sqrt(L) * root + luck
        else:
            bound = 2 * L * H**2 + math.sqrt(8) * (H - 1) * c * math.sqrt(L * H) * root + luck
        offered = learner.bound(run.view, np.array([n]))
        if power == 0.5:
            yield equal(float(offered[0]), Interval(bound * (1 - 1e-12), bound * (1 + 1e-12)), f"bound at {n}")
        rounding = n * float(value_error(exact))
        yield leq(float(run.cumulative[n - 1]) + rounding, bound, f"K={n}", k=n)


@claim(
    "azar2017:slope",
    says=r"\Delta = 16/\sqrt K: \quad R_K = \Theta(\sqrt K), \qquad R_K \le 2\iota/\Delta + \Delta"
    r" \text{ while the index is optimistic}",
    where="the lower bound of this order is recalled; the upper bound for one gap is derived in docs/theory/exploration",
    kind="rate",
    mode="statistical",
    instances=once("two coins, edge 16/sqrt(K)"),
    controls=[
        mutant("a gap that does not shrink", falling=False, runs=6),
        mutant("nothing is learned: a bonus that never shrinks", scale=1e6, runs=1),
    ],
    survivors={"dropped bonus": "the loop is compiled, and has its own bonus"},
    delta=1e-3,
    rate=Rate(0.5, "exactly", 0.1),
    about=[UCBVI],
    caveat="delta grows in proportion to K, so that the logarithm in the bonus is one constant",
)
def slope(
    _: Any, *, rng: Any = None, scale: float = 1.0, falling: bool = True, runs: int = 40, last: int = 51_200
) -> Iterator[Row]:
    """Where the gap is of the order of 1/sqrt(K), the regret is of the order of sqrt(K): no more, and no less."""
    for K in np.geomspace(last / 32, last, 7).astype(int).tolist():
        edge = 16 / math.sqrt(K) if falling else 0.2
        mdp = _coins(2, Fraction(edge))
        total = 0.0
        for _run in range(runs):
            learner = UCBVI(delta=0.25 * K / last, scale=scale)
            run = play(mdp, learner, K, rng, keep=False, compiled=True)
            if _run == 0:
                yield near(run.best, Fraction(1, 2) + Fraction(edge), Fraction(1, 2**40), "best")
                if abs(float(run.best) - 0.5 - edge) > 1e-9:
                    return
            iota = math.log(2 * 6 * 2 * K / learner.delta)
            # Both bonuses are valid, so the worse action is taken while its own is at least half of the gap.
            yield leq(run.total - 1e-9 * K, 2 * iota / edge + edge, f"K={K}", k=K)
            total += run.total / runs
        yield point(K, total)
