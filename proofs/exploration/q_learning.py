r"""Claims of Q-learning with upper confidence bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Interval, Row, all_equal, claim, equal, fact, leq, mutant
from mdpkit.claims.cases import chosen, joined, once
from mdpkit.claims.claim import Case
from mdpkit.claims.exact import Exact
from mdpkit.claims.judge import ball, log
from mdpkit.claims.learning import episodic, initial, staged, value_error
from mdpkit.claims.rounding import factors, near
from mdpkit.claims.statistics import proportion
from mdpkit.claims.trial import call, play, rounds
from mdpkit.environment import Environment
from mdpkit.kernels import q_learning as kernel
from mdpkit.models.criterion import FiniteHorizon
from mdpkit.models.mdp import MDP
from mdpkit.solvers.exploration.q_learning import OptimisticQLearning

DELTA = Fraction(1, 10)


@claim(
    "jin2018:weights",
    says=r"\alpha_t^i = \alpha_i \prod_{j=i+1}^t (1 - \alpha_j): \; \sum_i \alpha_t^i = 1, \; \max_i \alpha_t^i \le"
    r" \tfrac{2H}t, \; \sum_i (\alpha_t^i)^2 \le \tfrac{2H}t, \; \tfrac1{\sqrt t} \le \sum_i \tfrac{\alpha_t^i}{\sqrt i} \le"
    r" \tfrac2{\sqrt t}, \; \sum_{t=i}^n \alpha_t^i + \tfrac nH \alpha_n^i = 1 + \tfrac1H",
    where="Lemma 4.1, recalled; the last identity, whose limit is the lemma's, is derived in docs/theory/exploration",
    kind="identity",
    mode="exact",
    instances=once("H = 1, 2, 3, 5"),
    controls=[
        mutant("the step 1/n", classic=True),
        mutant("a step of the visit before", late=1),
    ],
    about=[OptimisticQLearning],
    domain="t up to 24; the roots are enclosed by their squares",
)
def weights(_: Any, *, classic: bool = False, late: int = 0, T: int = 24) -> Iterator[Row]:
    """The weights of the targets are a law with small squares, and each target's weights over time sum to 1 + 1/H."""
    for H in (1, 2, 3, 5):
        alpha = [
            Fraction(1, n) if classic else Fraction(call(kernel.step_size, Fraction(n + late), H))
            for n in range(1, T + 1)
        ]
        yield equal(alpha[0], 1, f"H={H}, the first step forgets the start")
        now: list[Fraction] = []
        over = [Fraction(0)] * T
        for t in range(1, T + 1):
            now = [x * (1 - alpha[t - 1]) for x in now] + [alpha[t - 1]]
            at = f"H={H}, t={t}"
            yield equal(sum(now, Fraction(0)), 1, f"{at}, sum")
            yield leq(max(now), Fraction(2 * H, t), f"{at}, largest")
            yield leq(sum((x * x for x in now), Fraction(0)), Fraction(2 * H, t), f"{at}, squares")
            # sqrt(t/i) between rationals, to 10^-9.
            low, high = ([_root(Fraction(t, i), up) for i in range(1, t + 1)] for up in (0, 1))
            yield leq(1, sum((x * y for x, y in zip(now, high, strict=True)), Fraction(0)), f"{at}, roots from below")
            yield leq(sum((x * y for x, y in zip(now, low, strict=True)), Fraction(0)), 2, f"{at}, roots from above")
            for i, x in enumerate(now):
                over[i] += x
            if t in (1, 7, T):
                rest = [s + Fraction(t, H) * x for s, x in zip(over, now, strict=False)]
                yield all_equal(rest, [1 + Fraction(1, H)] * t, f"{at}, over time")


def _root(x: Fraction, up: int) -> Fraction:
    scale = 10**9
    return Fraction(math.isqrt(x.numerator * scale**2 // x.denominator) + up, scale)


@claim(
    "jin2018:updates",
    says=r"Q_h(s,a) \leftarrow (1 - \alpha_n) Q_h(s,a) + \alpha_n (r + V_{h+1}(s') + b_n), \quad b_n = (H-1-h)"
    r" \sqrt{H \iota/n}, \quad V_h = \min\{H-h, \max_a Q_h\}, \quad Q_h = H-h \text{ at first}",
    where="Algorithm 1, recalled; the bonus is derived in docs/theory/exploration",
    kind="identity",
    mode="numeric",
    instances=episodic(by_stage=True),
    controls=[
        mutant("the step 1/n", classic=True),
        mutant("the bonus without its H", bare=True),
        mutant("the last stage first", backward=True),
        mutant("the visit of before in the bonus", late=1),
    ],
    survivors={"transposed P": "the learner never sees the law: it learns from its history, whichever law made it"},
    about=[OptimisticQLearning],
)
def updates(
    mdp: Any,
    *,
    rng: Any = None,
    classic: bool = False,
    bare: bool = False,
    backward: bool = False,
    late: int = 0,
    K: int = 10,
) -> Iterator[Row]:
    """Every update is that of the algorithm, from the values as they were, and nothing else moves."""
    exact = Exact.of(mdp)
    H = exact.H
    assert H is not None
    for noise, scale in ((None, Fraction(1)), (None, Fraction(1, 16)), ("bernoulli", Fraction(1, 16))):
        iota = log(ball(2 * H * exact.L * K / DELTA))
        Q = [[Fraction(H - h)] * exact.L for h in range(H)]
        V = [[Fraction(H - h)] * exact.S for h in range(H + 1)]
        visits = [[0] * exact.L for _ in range(H)]
        learner = OptimisticQLearning(delta=DELTA, scale=scale)  # type: ignore[arg-type]
        wrap = lambda m, x=noise: Environment(m, x)  # noqa: E731
        moved: Any = None
        for played in rounds(mdp, learner, K, rng, wrap=wrap):
            at = f"{noise or 'no noise'}, scale {scale}, episode {played.k}"
            found, values = played.state.Q.tolist(), played.state.V.tolist()
            if moved is not None:
                yield from _moved(moved, Q, found, at)
            else:
                yield all_equal([x for row in found for x in row], [x for row in Q for x in row], f"{at}, start")
            Q = [[Fraction(x) for x in row] for row in found]
            best = [[min(Fraction(H - h), max(Q[h][k] for k in pairs)) for pairs in exact.pairs] for h in range(H)]
            V = [*best, [Fraction(0)] * exact.S]
            yield all_equal([x for row in values for x in row], [x for row in V for x in row], f"{at}, V")
            for h in range(H):
                for s, pairs in enumerate(exact.pairs):
                    k = int(played.policy[h][s])
                    yield fact(k in pairs and Q[h][k] == max(Q[h][j] for j in pairs), f"{at}, h={h}, s={s}")
            states, taken, paid = played.history
            moved = {}
            fresh = [list(row) for row in Q]
            for h in range(H - 1, -1, -1) if backward else range(H):
                k = int(taken[h])
                yield fact(noise is None or paid[h] in (0, 1), f"{at}, coin")
                visits[h][k] += 1
                n = visits[h][k]
                reward = (
                    Fraction(float(paid[h])) if noise else exact.r[k + h * exact.L if len(exact.r) > exact.L else k]
                )
                alpha = Fraction(1, n) if classic else Fraction(H + 1, H + n)
                width = ball(scale) * (H - 1 - h + (noise is not None))
                width = width * ((1 if bare else H) * iota / max(1, n - late)).sqrt()
                # Stages are moved in order, so that the next one's values are those before the episode.
                after = V[h + 1][int(states[h + 1])]
                if backward and h + 1 < H:
                    after = min(Fraction(H - h - 1), max(fresh[h + 1][j] for j in exact.pairs[int(states[h + 1])]))
                value = ball(1 - alpha) * ball(Q[h][k]) + ball(alpha) * (ball(reward + after) + width)
                fresh[h][k] = Fraction(float(value.mid()))
                moved[h, k] = value, Q[h][k] + reward + after + Fraction(float(width.upper()))


def _moved(moved: Any, before: Any, found: Any, at: str) -> Iterator[Row]:
    """The moved entries up to rounding, at most 16 factors of what is added up, and the others as they were."""
    for (h, k), (value, size) in moved.items():
        error = ball(factors(24) * size)
        yield equal(found[h][k], Interval(value - error, value + error), f"{at}, Q of h={h}, pair {k}")
    kept = [(h, k) for h, row in enumerate(before) for k in range(len(row)) if (h, k) not in moved]
    yield fact(all(Fraction(found[h][k]) == before[h][k] for h, k in kept), f"{at}, nothing else moves")


def _coins(actions: int, edge: Fraction) -> MDP:
    """Two stages: in the first one, one action leads to the paying state with probability 1/2 + edge, the others with 1/2."""
    heads = [Fraction(1, 2)] * (actions - 1) + [Fraction(1, 2) + edge]
    P = [[[Fraction(0), p, 1 - p] for p in heads], *([[[Fraction(1), Fraction(0), Fraction(0)]] * actions] * 2)]
    r = [[Fraction(s == 1)] * actions for s in range(3)]
    return MDP(np.array(P, dtype=object), np.array(r, dtype=object), FiniteHorizon(2), rho=0)


@claim(
    "jin2018:optimism",
    says=r"\Pr\{\exists k \le K, h, s : V^k_h(s) < V^*_h(s)\} \le \delta",
    where="Lemma 4.3, recalled, with another bonus; derived in docs/theory/exploration",
    kind="upper",
    mode="statistical",
    instances=joined(chosen([Case("two coins, edge 1/5", _coins(2, Fraction(1, 5)))]), episodic(fast=0, full=2)),
    controls=[mutant("a hundredth of the bonus", scale=0.01)],
    survivors={
        "off by one in k": "an episode that was never seen leaves values as they are, which are optimistic",
        "transposed P": "in so few episodes the values move by less than their bonus, in whatever world",
        "rewards of the next pair": "in so few episodes the values move by less than their bonus, in whatever world",
    },
    delta=1e-3,
    about=[OptimisticQLearning],
)
def optimism(
    mdp: Any, *, rng: Any = None, delta: float = 1e-3, scale: float = 1.0, runs: int = 24, K: int = 25
) -> Iterator[Row]:
    """Every value is above the optimal one, in all states, stages and episodes of a run, but for a run in 1/delta."""
    exact = Exact.of(mdp)
    best = exact.horizon()
    promised = Fraction(2, 5)
    rounding = 2 * len(best) ** 2 * factors(30) * K
    failures = 0
    for _ in range(runs):
        failures += any(
            Fraction(x) + rounding < v
            for played in rounds(mdp, OptimisticQLearning(delta=promised, scale=scale), K, rng)  # type: ignore[arg-type]
            for row, values in zip(played.state.V.tolist(), best, strict=True)
            for x, v in zip(row, values, strict=True)
        )
    yield leq(proportion(failures, runs, delta), promised, f"{failures} of {runs} runs")


def _long(level: Any, rng: Any) -> Iterator[Case]:
    yield Case("two coins, edge 2/5", _coins(2, Fraction(2, 5)))
    yield Case("laws by stage, H=2", staged(3, 2))
    if level == "full":
        yield Case("five coins, edge 1/4", _coins(5, Fraction(1, 4)))
        yield Case("laws by stage, H=3", staged(5, 3))


@claim(
    "jin2018:regret",
    says=r"\sum_{k \le n} V^* - V^{\pi_k} \le \sum_{h<H} \rho^h \bigl(L (H-h) + 6 (H-1-h) \sqrt{H \iota L n}\bigr)"
    r" + \sqrt{\tfrac12 K \ln\tfrac1\delta \bigl(H^2 + \textstyle\sum_h \rho^{2h} (H-1-h)^2\bigr)} \text{ for all } n \le K"
    r" \text{ together in } 1 - 2\delta, \quad \rho = 1 + 1/H",
    where="Theorem 1, recalled, with constants that are derived in docs/theory/exploration",
    kind="upper",
    mode="statistical",
    instances=_long,
    controls=[
        mutant("nothing is learned: a bonus that never shrinks", scale=1e9),
        mutant("the bound without its roots", power=0.0, lucky=False),
    ],
    survivors={"dropped bonus": "the loop is compiled, and has its own bonus"},
    delta=1e-3,
    about=[OptimisticQLearning],
)
def regret(
    mdp: Any,
    *,
    rng: Any = None,
    delta: float = 1e-3,
    scale: float = 1.0,
    power: float = 0.5,
    lucky: bool = True,
    K: int = 200_000,
) -> Iterator[Row]:
    """The regret of a run stays under the derived bound, and what is reported is exact."""
    exact = Exact.of(mdp)
    H, L = exact.H or 0, exact.L
    small = float(delta) / 2
    run = play(mdp, OptimisticQLearning(delta=small, scale=scale), K, rng, keep=False, compiled=True)
    yield near(run.best, initial(exact, exact.horizon()[0]), value_error(exact), "best")
    iota = math.log(2 * H * L * K / small)
    rho = [(1 + 1 / H) ** h for h in range(H)]
    luck = math.sqrt(K * math.log(1 / small) / 2 * (H * H + sum((rho[h] * (H - 1 - h)) ** 2 for h in range(H))))
    for n in np.unique(np.geomspace(100, K, 12).astype(int)).tolist():
        bound = (luck if lucky else 0.0) + sum(
            rho[h] * (L * (H - h) + 6 * (H - 1 - h) * math.sqrt(H * iota * L) * n**power) for h in range(H)
        )
        if power == 0.5 and scale == 1:
            offered = float(run.learner.bound(run.view, np.array([n]))[0])  # type: ignore[index]
            yield equal(offered, Interval(bound * (1 - 1e-12), bound * (1 + 1e-12)), f"bound at {n}")
        yield leq(float(run.cumulative[n - 1]) + n * float(value_error(exact)), bound, f"K={n}", k=n)
