r"""Claims of exploring at random first, and of what it costs against optimism."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.claims import Interval, Rate, Row, all_equal, claim, equal, fact, leq, mutant, point
from mdpkit.claims.cases import once
from mdpkit.claims.claim import Case
from mdpkit.claims.exact import Exact
from mdpkit.claims.learning import Counts, episodic, value_error, value_of
from mdpkit.claims.rounding import all_near, factors, near
from mdpkit.claims.statistics import proportion
from mdpkit.claims.trial import play, rounds
from mdpkit.models.criterion import FiniteHorizon
from mdpkit.models.mdp import MDP
from mdpkit.solvers.exploration.explore_then_commit import ExploreThenCommit
from mdpkit.solvers.exploration.ucbvi import UCBVI


@claim(
    "lattimore2020:plan",
    says=r"\pi_k(a|s) = 1/|A(s)| \; (k < m), \qquad \pi_k \in \arg\max_\pi V^\pi_{\hat P} \; (k \ge m), \qquad"
    r" m = \lceil K^{2/3} \rceil",
    where="Algorithm 1 of chapter 6, recalled, for episodes",
    kind="identity",
    mode="numeric",
    instances=episodic(by_stage=True),
    controls=[
        mutant("one episode more explores", more=1),
        mutant("episodes counted at the next stage", shift=1),
        mutant("the first plan is made of half of the episodes", half=True),
    ],
    about=[ExploreThenCommit],
)
def plan(mdp: Any, *, rng: Any = None, more: int = 0, shift: int = 0, half: bool = False, K: int = 27) -> Iterator[Row]:
    """Uniform actions first; then, for good, a policy that is optimal in the empirical model."""
    exact = Exact.of(mdp)
    assert exact.H is not None
    by_stage = len(exact.P) > exact.L
    for length in (None, 3):
        counts = Counts(exact, by_stage=by_stage)
        m = (9 if length is None else length) + more  # 27^(2/3)
        kept: Any = None
        for played in rounds(mdp, ExploreThenCommit(length), K, rng):
            at = f"m={m}, episode {played.k}"
            exploring = np.asarray(played.policy).dtype.kind == "f"
            yield fact(exploring == (played.k < m), f"{at}, explores")
            if exploring != (played.k < m):
                return
            if played.k < m:
                law = [Fraction(1, len(exact.pairs[exact.state[k]])) for k in range(exact.L)]
                yield all_near(np.asarray(played.policy).ravel().tolist(), law * exact.H, factors(1), f"{at}, uniform")
                states, taken, _ = played.history
                if not half or played.k % 2:
                    counts.add(states[:-1] if shift else states, taken[1:] if shift else taken)
                continue
            yield near(played.value, value_of(exact, played.policy), value_error(exact), f"{at}, value")
            if kept is None:
                kept = np.array(played.policy).tolist()
                best = _planned(exact, counts)
                found = [[Fraction(x) for x in row] for row in played.state.V.tolist()]
                error = (exact.H + 1) * exact.H * factors(exact.S + 8)
                for h in range(exact.H):
                    yield all_near(played.state.V[h].tolist(), best[h][0], error, f"{at}, h={h}")
                    q = _backed(exact, counts, found[h + 1], h)
                    for s, pairs in enumerate(exact.pairs):
                        k = kept[h][s]
                        yield fact(k in pairs and max(q[j] for j in pairs) - q[k] <= 2 * error, f"{at}, h={h}, s={s}")
            yield all_equal([x for row in played.policy.tolist() for x in row], [x for row in kept for x in row], at)


def _backed(exact: Exact, counts: Counts, V: Any, h: int) -> list[Fraction]:
    r = exact.r[h * exact.L :] if len(exact.r) > exact.L else exact.r
    return [r[k] + sum((p * V[t] for t, p in counts.law(k, h).items()), Fraction(0)) for k in range(exact.L)]


def _planned(exact: Exact, counts: Counts) -> list[tuple[list[Fraction], None]]:
    """Optimal values of the empirical model, stage by stage; a pair that was never taken leads nowhere."""
    V = [Fraction(0)] * exact.S
    out: list[tuple[list[Fraction], None]] = []
    for h in range((exact.H or 0) - 1, -1, -1):
        V = exact.best(_backed(exact, counts, V, h))
        out.insert(0, (V, None))
    return out


# -- two coins -------------------------------------------------------------------------------------------------------


def coins(edge: float) -> MDP:
    """Two stages: the second action leads to the paying state with probability 1/2 + edge, the first with 1/2."""
    P = [[[0.0, 0.5, 0.5], [0.0, 0.5 + edge, 0.5 - edge]], *([[[1.0, 0.0, 0.0]] * 2] * 2)]
    return MDP(P, [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]], FiniteHorizon(2), rho=0)


def committed(edge: float, m: int, runs: int, rng: Any) -> tuple[float, int]:
    """What an episode costs while exploring, exactly, and how many runs commit to the worse action after m episodes."""
    wrong, cost, mdp = 0, 0.0, coins(edge)
    for _ in range(runs):
        run = play(mdp, ExploreThenCommit(m), m + 1, rng, keep=False, compiled=True)
        cost = float(run.per_round[0])
        wrong += float(run.per_round[-1]) > edge / 2
    return cost, wrong


@claim(
    "lattimore2020:commit-regret",
    says=r"\mathrm{E} R_K \le H m + K \Bigl( 2\sqrt2\, w \sqrt{\tfrac{L}{m+1}} \sum_h A^{h+1} (H-1-h) + \tfrac HK \Bigr),"
    r" \qquad R_K = O(K^{2/3}) \text{ with } m = \lceil K^{2/3} \rceil",
    where="Theorem 6.1 is for bandits, recalled; derived in docs/theory/exploration for episodes",
    kind="rate",
    mode="statistical",
    instances=once("two coins, edge 2/5, and edge K^(-1/3)"),
    controls=[
        mutant("half of the episodes explore", power=1.0, K_last=30_000),
        mutant("the bound without its roots", bare=True, K_last=3000),
    ],
    delta=1e-3,
    rate=Rate(2 / 3, "at_most", 0.02),
    about=[ExploreThenCommit],
    caveat="the bound is far above for the edge of 2/5: its confidence holds for all values at once",
)
def commit_regret(
    _: Any,
    *,
    rng: Any = None,
    delta: float = 1e-3,
    power: float = 2 / 3,
    bare: bool = False,
    runs: int = 25,
    K_last: int = 1_000_000,
) -> Iterator[Row]:
    """With m of the order of K^(2/3) the expected regret grows no faster than K^(2/3), and stays under the bound."""
    H, S, L, A = 2, 3, 6, 2
    grid = np.unique(np.geomspace(K_last / 300, K_last, 5).astype(int)).tolist()
    for K in grid:
        learner = ExploreThenCommit()
        m = min(K, math.ceil(round(K ** (2 / 3), 9))) if power == 2 / 3 else K // 2
        for edge in (0.4, min(0.4, 4 * K ** (-1 / 3))):
            cost, wrong = committed(edge, m, runs, rng)
            yield near(cost, Fraction(edge) / 2, Fraction(1, 2**40), f"K={K}, cost of exploring")
            if abs(cost - edge / 2) > 1e-9:
                return
            at_most = proportion(wrong, runs, delta / (4 * len(grid))).upper
            w = math.sqrt((S * math.log(2) + math.log(L * H * m * K)) / 2)
            spread = sum(A ** (h + 1) * (H - 1 - h) for h in range(H))
            bound = H * m + (K - m) * (2 * math.sqrt(2) * w * math.sqrt(L / (m + 1)) * spread + H / K)
            if bare:
                bound = H * m**0.5
            yield leq(m * cost + (K - m) * edge * at_most, bound, f"K={K}, edge {edge:.3g}, upper end")
            measured = m * cost + (K - m) * edge * wrong / runs
            yield leq(measured, bound, f"K={K}", k=K, series="edge 2/5" if edge == 0.4 else "edge K^(-1/3)")
            if edge == 0.4:
                yield point(K, measured)
        if power == 2 / 3 and K == grid[0]:
            run = play(coins(0.4), learner, K, rng, keep=False, compiled=True)
            offered = float(run.learner.bound(run.view, np.array([K]))[0])  # type: ignore[index]
            w = math.sqrt((S * math.log(2) + math.log(L * H * m * K)) / 2)
            bound = H * m + (K - m) * (2 * math.sqrt(2) * w * math.sqrt(L / (m + 1)) * 2 + H / K)
            yield equal(offered, Interval(bound * (1 - 1e-12), bound * (1 + 1e-12)), f"bound at {K}")


@lru_cache(maxsize=256)
def chance(m: int, edge: float) -> float:
    """The probability that m uniform episodes make the worse action look as good as the better one, which is then not taken.

    Summed over how often the better one was taken and how often it paid, up to 1e-10 in all, with binomial laws; of equal
    frequencies the first action is taken, which is the worse one.
    """
    binom: Any = import_module("scipy.stats").binom
    low, high = (int(x) for x in binom.interval(1 - 1e-11, m, 0.5))
    total = 0.0
    for n in range(max(low, 1), min(high, m - 1) + 1):
        first, last = (int(x) for x in binom.interval(1 - 1e-11, n, 0.5 + edge))
        paid = np.arange(first, last + 1)
        needed = -(-paid * (m - n) // n)  # of the other, the least number that is as good
        likely = binom.pmf(paid, n, 0.5 + edge) @ binom.sf(needed - 1, m - n, 0.5)
        total += float(binom.pmf(n, m, 0.5)) * float(likely)
    return total


def _repeated(level: Any, rng: Any) -> Iterator[Case]:
    """How many runs are counted, and how many of optimism are compared with its bound."""
    yield Case("two coins, edges 2/5 and 2 K^(-1/3)", (12, 2) if level == "fast" else (80, 12))


@claim(
    "lattimore2020:separation",
    says=r"\max_{\Delta \in \{2/5, 2K^{-1/3}\}} \mathrm{E} R_K \ge K^{2/3}/40 \text{ for each tried length } m, \text{ of"
    r" order } K^{2/3} \text{ at } m = \lceil K^{2/3} \rceil; \qquad R_K(\text{UCBVI}) \le"
    r" \min\{K \Delta, 2\iota/\Delta + \Delta\} \le \sqrt{2 \iota K} + 1",
    where="Section 6.1 for one gap, recalled; the pair of gaps is derived in docs/theory/exploration",
    kind="rate",
    mode="statistical",
    instances=_repeated,
    controls=[
        mutant("the root of K explores", power=0.5),
        mutant("an optimist whose bonus never shrinks", scale=1e6),
        mutant("a gap that stays in place of one that falls", falling=False),
    ],
    survivors={"dropped bonus": "the loop is compiled, and has its own bonus"},
    delta=1e-3,
    rate=Rate(2 / 3, "exactly", 0.03, series="explore-then-commit"),
    about=[ExploreThenCommit, UCBVI],
    caveat="the expected regret of exploring first is summed from binomial laws, and counted commitments of runs agree with"
    " them; every run of optimism is under its bound, whose constant is so large that the orders cross at larger K only",
)
def separation(
    repeated: Any,
    *,
    rng: Any = None,
    delta: float = 1e-3,
    power: float = 2 / 3,
    scale: float = 1.0,
    falling: bool = True,
) -> Iterator[Row]:
    """No length of exploration suits a large and a small gap: the worse costs K^(2/3), and optimism the root of K at most."""
    runs, optimists = repeated
    grid = np.geomspace(5_000, 80_000, 5).astype(int).tolist()
    for K in grid:
        edges = (0.4, 2 * K ** (-1 / 3)) if falling else (0.4, 0.4)
        lengths = {p: math.ceil(round(K**p, 9)) for p in (0.4, power, 5 / 6)}
        for p, m in lengths.items():
            worst = 0.0
            for edge in edges:
                expected = m * edge / 2
                if p <= power:  # otherwise exploring alone costs enough
                    wrong = chance(m, edge)
                    expected += (K - m) * edge * wrong
                    tried = runs if K in (grid[0], grid[-1]) else 1
                    cost, found = committed(edge, m, tried, rng)
                    yield near(cost, Fraction(edge) / 2, Fraction(1, 2**40), f"K={K}, cost of exploring")
                    if abs(cost - edge / 2) > 1e-9:
                        return
                    counted = proportion(found, tried, delta / (4 * len(grid)))
                    at = f"K={K}, m={m}, edge {edge:.3g}, commitments to the worse action"
                    yield leq(counted.lower, wrong + 1e-9, at)
                    yield leq(wrong - 1e-9, counted.upper, at)
                worst = max(worst, expected)
            yield leq(K ** (2 / 3) / 40, worst, f"K={K}, m={m}")
            if p == power:
                yield point(K, worst, series="explore-then-commit")
        learner = UCBVI(delta=delta / 100, scale=scale)
        iota = math.log(2 * 6 * 2 * K / learner.delta)
        for edge in edges:
            for _run in range(optimists):
                run = play(coins(edge), learner, K, rng, keep=False, compiled=True)
                # An action whose gap is more than twice the bonus is not taken while the index is optimistic.
                at = f"K={K}, edge {edge:.3g}"
                yield leq(run.total - 1e-9 * K, 2 * iota / edge + edge, f"{at}, one gap")
                yield leq(
                    run.total - 1e-9 * K, math.sqrt(2 * iota * K) + 1, at, k=K, series=f"optimism, edge {edge:.1f}"
                )
