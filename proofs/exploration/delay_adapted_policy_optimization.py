r"""Claims of delay-adapted policy optimization."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

from mdpkit.claims import Interval, Row, all_equal, all_leq, claim, equal, fact, leq, mutant
from mdpkit.claims.claim import Case
from mdpkit.claims.exact import Exact
from mdpkit.claims.judge import ball, exp
from mdpkit.claims.learning import Counts, episodic, staged
from mdpkit.claims.losses import (
    at_start,
    drawn_law,
    farthest,
    losses_to_go,
    mean_at,
    objects,
    reached,
    row_of,
    set_to_go,
    start_of,
    totals,
    walks,
)
from mdpkit.claims.rounding import factors
from mdpkit.claims.statistics import bounded_mean
from mdpkit.claims.trial import call, rounds
from mdpkit.environment import Adversarial, Delayed, Environment, switching
from mdpkit.kernels import occupancy_bounds, policy_optimization
from mdpkit.models.criterion import FiniteHorizon
from mdpkit.models.mdp import MDP
from mdpkit.solvers.exploration.delay_adapted_policy_optimization import DelayAdaptedPolicyOptimization

F = Fraction
ZERO = F(0)
ETA, EXPLORE = F(1, 8), F(1, 16)
DELAYS = (0, 2, 0, 1, 3, 0, 0, 5)  # never two at once, some out of order, one never
TABLES = 3


def tables_of(mdp: Any) -> Any:
    """What an adversary makes of a model's rewards in [0, 1]: as they are, turned round, and half of them."""
    r = np.asarray(mdp.r, dtype=np.float64).reshape(-1, mdp.n_pairs)
    return np.stack([r, 1 - r, r / 2])


def _softmax(exact: Exact, row: list[float], eta: Any) -> list[Any]:
    out: list[Any] = [None] * exact.L
    for pairs in exact.pairs:
        least = min(row[k] for k in pairs)
        weights = {k: exp(-ball(F(eta) * (F(row[k]) - F(least)))) for k in pairs}
        total = sum(weights.values(), ball(0))
        for k in pairs:
            out[k] = weights[k] / total
    return out


class _Set:
    """The judge's set of laws: the law itself, or what is within the radius of the counts."""

    def __init__(self, exact: Exact, known: bool, K: int, delta: Fraction):
        self.exact, self.known = exact, known
        self.by_stage = len(exact.P) > exact.L
        n = (exact.H or 1) if self.by_stage else 1
        self.n = n
        self.counts = Counts(exact, by_stage=self.by_stage)
        events = n * exact.L * (K if self.by_stage else K * (exact.H or 1))
        self.iota = exact.S * math.log(2) + math.log(events / delta)

    def law(self) -> Any:
        """``[i][t][k]``."""
        e = self.exact
        if self.known:
            return [[[row_of(e, k, i).get(t, ZERO) for k in range(e.L)] for t in range(e.S)] for i in range(self.n)]
        uniform = {t: F(1, e.S) for t in range(e.S)}
        rows = [[self.counts.law(k, i) or uniform for k in range(e.L)] for i in range(self.n)]
        return [[[rows[i][k].get(t, ZERO) for k in range(e.L)] for t in range(e.S)] for i in range(self.n)]

    def radius(self) -> Any:
        """``[i][k]``, up to rounding."""
        if self.known:
            return [[ZERO] * self.exact.L for _ in range(self.n)]
        return [
            [min(F(2), F(math.sqrt(2 * self.iota / n))) if n else F(2) for n in self.counts.visits[i]]
            for i in range(self.n)
        ]

    def bounds(self, pi: Any) -> tuple[Any, Any]:
        """Least and largest occupancies."""
        e = self.exact
        if self.known:
            mu = reached(e, pi)
            return mu, mu
        law, radius, out = self.law(), self.radius(), list[Any]()
        for sign in (-1, 1):
            out.append([
                [
                    at_start(e, set_to_go(e, law, radius, pi[:h], [F(int(s == t)) for t in range(e.S)], sign=sign))
                    for s in range(e.S)
                ]
                for h in range(len(pi))
            ])  # fmt: skip
        return out[0], out[1]

    def dilated(self, bonus: Any, pi: Any, dilation: Any) -> Any:
        """The bonus-to-go."""
        e, H = self.exact, len(pi)
        law, radius = self.law(), self.radius()
        after, out = [ZERO] * e.S, list[Any]()
        for h in range(H - 1, -1, -1):
            i = h if self.by_stage else 0
            flow = [farthest([law[i][t][k] for t in range(e.S)], radius[i][k], after) for k in range(e.L)]
            out.insert(0, [bonus[h][e.state[k]] + dilation * flow[k] for k in range(e.L)])
            after = mean_at(e, pi[h], out[0])
        return out


def _fractions(x: Any) -> list[list[Fraction]]:
    return [[F(v) for v in row] for row in x.tolist()]


def _learning(level: Any, rng: Any) -> Iterator[Case]:
    for case in episodic(fast=1, full=3, horizons=(2, 2, 3))(level, rng):
        for known in (True, False):
            yield Case(f"{case.name}, {'known' if known else 'unknown'} law", (case.problem, known))
    yield Case("laws by stage, known law", (staged(int(rng.integers(10**6)), 3), True))
    if level == "full":
        yield Case("laws by stage, unknown law", (staged(int(rng.integers(10**6)), 3), False))


@claim(
    "delay-adapted-po:update",
    says=r"\pi_{k,h} \propto \exp(-\eta G_h), \qquad G \leftarrow G + \hat Q_j - B_j \text{ when } j + d_j = k, \qquad"
    r" \hat Q_j = \frac{p}{\max\{p,q\}} \frac{L_h}{u_j p + \gamma}, \qquad B_j = b_j + (1 + \tfrac1H) P \langle p, B_j \rangle",
    where="Algorithm 1 of arXiv 2305.07911, recalled (its abstract seen); bonus and set derived in docs/theory/exploration",
    kind="identity",
    mode="numeric",
    instances=_learning,
    controls=[
        mutant("feedback credited to the policy of the next episode", wrong=1),
        mutant("weights without the maximum", plain=True),
        mutant("a bonus that is not dilated", dilation=F(1)),
        mutant("exploration left out of the estimate", explore=ZERO),
    ],
    about=[DelayAdaptedPolicyOptimization],
)
def update(
    problem: Any, *, rng: Any = None, wrong: int = 0, plain: bool = False, dilation: Any = None, explore: Any = EXPLORE
) -> Iterator[Row]:
    """In every episode the policy is the softmax of what was accumulated, and late feedback adds its estimate less its bonus.

    Rounding: u is off by at most a, which is H(L + 4S + 16) factors of one; all else is relative to denominators of at least
    gamma, and the stages of B add up what one of them misses. Exponentials and logarithms are off by four
    units in the last place.
    """
    mdp, known = problem
    exact, K = Exact.of(mdp), len(DELAYS)
    H, L, S = exact.H or 1, exact.L, exact.S
    A = max(len(pairs) for pairs in exact.pairs)
    dilation = 1 + F(1, H) if dilation is None else dilation
    learner = DelayAdaptedPolicyOptimization(eta=ETA, explore=EXPLORE)

    def wrap(m: Any) -> Any:
        return Delayed(Adversarial(Environment(m, known=known), tables_of(m)), list(DELAYS))

    a = factors(H * (L + 4 * S + 16))
    world = _Set(exact, known, K, F(1, 10))
    tables = tables_of(mdp)
    before: list[list[Fraction]] = [[ZERO] * L for _ in range(H)]
    slack = [[ZERO] * L for _ in range(H)]
    saved: dict[int, Any] = {}
    for played in rounds(mdp, learner, K, rng, wrap=wrap):
        k = played.k
        G, pi = _fractions(played.state.total), _fractions(played.policy)
        for h in range(H):
            at = f"episode {k}, h={h}"
            between = [Interval(x - e, x + e) for x, e in zip(before[h], slack[h], strict=True)]
            yield all_equal(G[h], between, f"{at}, accumulated")
            X = max(abs(x) for x in G[h]) * ETA
            error = factors(math.ceil(12 * X) + 8 * A + 64)
            right = [
                p + ball(0) + type(p)(0, float(error) * 1.01)
                for p in _softmax(exact, played.state.total[h].tolist(), ETA)
            ]
            yield all_equal(pi[h], right, f"{at}, policy")
        states, pairs, rewards = played.history
        table = tables[k % TABLES]
        yield fact(
            all(
                F(x) == F(table[min(h, len(table) - 1), i]) for h, (x, i) in enumerate(zip(rewards, pairs, strict=True))
            ),
            f"episode {k}, rewards",
        )
        saved[k] = (
            pi,
            *world.bounds(pi),
            [int(s) for s in states],
            [int(i) for i in pairs],
            [F(float(x)) for x in rewards],
        )
        due = [j for j in saved if j + DELAYS[j] == k]
        yield fact([f.episode.k for f in played.feedback] == due, f"episode {k}, what arrives")
        before, slack = G, [[ZERO] * L for _ in range(H)]
        for j in due:
            p, lower, upper, path, taken, paid = saved[j]
            if wrong:
                p, lower, upper = saved[min(j + wrong, k)][:3]
            r = [[F(1) if plain else x / max(x, y) for x, y in zip(p[h], pi[h], strict=True)] for h in range(H)]
            bonus: list[list[Fraction]] = []
            for h in range(H):
                R, row = H - h, list[Fraction]()
                for s, own in enumerate(exact.pairs):
                    u, w = upper[h][s], upper[h][s] - lower[h][s]
                    row.append(
                        sum(
                            (
                                R * p[h][i] * (w * p[h][i] + explore) / (u * p[h][i] + EXPLORE)
                                + ETA * R**2 * pi[h][i] * r[h][i] ** 2 / (u * p[h][i] + EXPLORE)
                                for i in own
                            ),
                            ZERO,
                        )
                    )
                bonus.append(row)
            B = world.dilated(bonus, p, dilation)
            most = max(max(row) for row in B)
            per_stage = 2 * (3 * a + factors(A + 20)) / EXPLORE * (H + max(max(row) for row in bonus))
            error_B = 3 * H * (per_stage + factors(4 * S + A + 12) * most)
            before = [[g - x for g, x in zip(G[h], B[h], strict=True)] for h in range(H)]
            loss = ZERO
            estimates = [[ZERO] * L for _ in range(H)]
            for h in range(H - 1, -1, -1):
                loss += 1 - paid[h]
                i = taken[h]
                estimates[h][i] = r[h][i] * loss / (upper[h][path[h]] * p[h][i] + explore)
                before[h][i] += estimates[h][i]
            slack = [
                [
                    error_B + q * (2 * a / EXPLORE + factors(H + 10)) + factors(4) * (abs(g) + most + q)
                    for g, q in zip(G[h], estimates[h], strict=True)
                ]
                for h in range(H)
            ]
            world.counts.add(path, taken)


def _pairs_of_policies(level: Any, rng: Any) -> Iterator[Case]:
    for case in episodic(fast=2, full=4, horizons=(2, 2, 2), by_stage=True)(level, rng):
        yield Case(case.name, (case.problem, int(rng.integers(10**6))))


def _estimates(
    exact: Exact, p: Any, q: Any, r: Any, *, plain: bool = False, explore: Any = ZERO, swap: bool = False, late: int = 0
) -> tuple[list[list[Fraction]], list[list[Fraction]], list[list[Fraction]]]:
    """Mean and second moment of the code's estimate over all episodes of p, and the occupancies that it used."""
    H, ptr = len(p), np.array([0, *(pairs[-1] + 1 for pairs in exact.pairs)])
    n = H if len(exact.P) > exact.L else 1
    law = objects(
        [[[row_of(exact, k, i).get(t, ZERO) for k in range(exact.L)] for t in range(exact.S)] for i in range(n)]
    )
    _, upper = call(occupancy_bounds.occupancies, objects(start_of(exact)), law, None, objects(p), ptr)
    ratio = call(policy_optimization.adapted, objects(q if swap else p), objects(p if swap else q), plain)
    if late:
        upper = np.roll(upper, -late, axis=0)
    mean = [[ZERO] * exact.L for _ in range(H)]
    square = [[ZERO] * exact.L for _ in range(H)]
    for walk in walks(exact, p):
        losses = objects([1 - F(r[min(h, len(r) - 1)][k]) for h, k in enumerate(walk.pairs)])
        found = call(
            policy_optimization.estimate,
            np.array(walk.states), np.array(walk.pairs), losses, upper, objects(p), ratio, explore=explore, floor=ZERO,
        )  # fmt: skip
        for h, k in enumerate(walk.pairs):
            mean[h][k] += walk.chance * found[h]
            square[h][k] += walk.chance * found[h] ** 2
    return mean, square, upper.tolist()


def _rewards(exact: Exact, rng: Any, H: int) -> list[list[Fraction]]:
    return [[F(int(x), 8) for x in rng.integers(0, 9, size=exact.L)] for _ in range(H)]


@claim(
    "delay-adapted-po:bias",
    says=r"E[\hat Q_h(s,a)] = \tfrac{p}{\max\{p,q\}} \tfrac{u p}{u p + \gamma} Q_h(s,a), \qquad"
    r" \sum_a q (Q - E \hat Q) = \sum_a (q - p)^+ Q \;\; (\gamma = 0)",
    where="derived, docs/theory/exploration; the estimator recalled from arXiv 2305.07911, Section 3",
    kind="identity",
    mode="exact",
    instances=_pairs_of_policies,
    controls=[
        mutant("plain importance weights", plain=True),
        mutant("what is played now taken for what was played", swap=True),
        mutant("the occupancy of the next stage", late=1),
        mutant("the ratio p/q without a maximum", ratio="quotient"),
    ],
    about=[DelayAdaptedPolicyOptimization],
    domain="a known law",
)
def bias(
    problem: Any, *, plain: bool = False, swap: bool = False, late: int = 0, ratio: str = "adapted"
) -> Iterator[Row]:
    """The mean of the estimate over the whole tree of episodes, and what it leaves out; without delays it is unbiased."""
    mdp, seed = problem
    exact, rng = Exact.of(mdp), np.random.default_rng(seed)
    H = exact.H or 1
    r = _rewards(exact, rng, H)
    p, q = drawn_law(exact, rng, H), drawn_law(exact, rng, H)
    mu, Q = reached(exact, p), losses_to_go(exact, p, r)
    for explore in (ZERO, F(1, 7)):
        for now, name in ((q, "late"), (p, "at once")):
            mean, _, upper = _estimates(exact, p, now, r, plain=plain, explore=explore, swap=swap, late=late)
            yield all_equal(np.ravel(upper), np.ravel(objects(mu)), f"{name}, occupancies")
            for h, s in product(range(H), range(exact.S)):
                if not mu[h][s]:
                    continue
                at = f"{name}, gamma={explore}, h={h}, s={s}"
                own = exact.pairs[s]
                weight = {k: p[h][k] / (now[h][k] if ratio == "quotient" else max(p[h][k], now[h][k])) for k in own}
                kept = {k: mu[h][s] * p[h][k] / (mu[h][s] * p[h][k] + explore) for k in own}
                yield all_equal([mean[h][k] for k in own], [weight[k] * kept[k] * Q[h][k] for k in own], at)
                if explore:
                    yield all_leq([mean[h][k] for k in own], [Q[h][k] for k in own], at)
                    continue
                left = sum((now[h][k] * (Q[h][k] - mean[h][k]) for k in own), ZERO)
                yield equal(left, sum((max(now[h][k] - p[h][k], ZERO) * Q[h][k] for k in own), ZERO), f"{at}, bias")
                played = sum((p[h][k] * Q[h][k] - now[h][k] * mean[h][k] for k in own), ZERO)
                yield equal(played, sum((max(p[h][k] - now[h][k], ZERO) * Q[h][k] for k in own), ZERO), f"{at}, drift")


@claim(
    "delay-adapted-po:second-moment",
    says=r"\sum_a q\, E[\hat Q^2] \le \frac{R^2}{u} \sum_a \frac{\min\{p,q\}}{\max\{p,q\}} \le \frac{A R^2}{u},"
    r" \qquad R = H - h, \text{ with equality on the left where all losses are one}",
    where="derived, docs/theory/exploration",
    kind="upper",
    mode="exact",
    instances=_pairs_of_policies,
    controls=[
        mutant("plain importance weights", plain=True),
        mutant("one stage to go less", stages=1),
        mutant("the occupancy of the next stage", late=1),
    ],
    about=[DelayAdaptedPolicyOptimization],
    domain="a known law",
)
def second_moment(problem: Any, *, plain: bool = False, stages: int = 0, late: int = 0) -> Iterator[Row]:
    """However far the policy has moved meanwhile, the second moment under it is that of a policy that stayed, at most."""
    mdp, seed = problem
    exact, rng = Exact.of(mdp), np.random.default_rng(seed)
    H = exact.H or 1
    p = drawn_law(exact, rng, H)
    q = drawn_law(exact, rng, H, 200)
    mu = reached(exact, p)
    for r, sharp in (([[ZERO] * exact.L], True), (_rewards(exact, rng, H), False)):
        _, square, _ = _estimates(exact, p, q, r, plain=plain, late=late)
        for h, s in product(range(H), range(exact.S)):
            if mu[h][s]:
                own, R = exact.pairs[s], H - h - stages
                value = sum((q[h][k] * square[h][k] for k in own), ZERO)
                share = sum((min(p[h][k], q[h][k]) / max(p[h][k], q[h][k]) for k in own), ZERO)
                bound = R**2 / mu[h][s] * share
                yield equal(value, bound, f"h={h}, s={s}") if sharp else leq(value, bound, f"h={h}, s={s}")
                yield leq(bound, len(own) * R**2 / mu[h][s], f"h={h}, s={s}, of A", k=h * exact.S + s + 1)


def _small(level: Any, rng: Any) -> Iterator[Case]:
    seeds = range(2 if level == "fast" else 5)
    for _ in seeds:
        seed, H = int(rng.integers(10**6)), 3
        yield Case(f"two states, seed={seed}", (staged(seed, H), seed, True))
    for case in episodic(fast=1, full=3)(level, rng):
        yield Case(case.name, (case.problem, int(rng.integers(10**6)), False))


def _extremes(p: Fraction, radius: Fraction) -> tuple[Fraction, Fraction]:
    """The ends of what the probability of the first of two states may be."""
    return max(ZERO, p - radius / 2), min(F(1), p + radius / 2)


@claim(
    "delay-adapted-po:occupancy",
    says=r"u_h(s) = \max_{P} \Pr_{P,\pi}(s_h = s), \quad l_h(s) = \min_P \Pr_{P,\pi}(s_h = s), \quad"
    r" B_h = b_h + (1 + \tfrac1H) \max_P P_h \langle \pi, B_{h+1} \rangle,"
    r" \quad \|P(\cdot|s,a) - \hat P(\cdot|s,a)\|_1 \le \beta",
    where="derived, docs/theory/exploration; upper occupancy bounds recalled from Jin et al. 2020",
    kind="identity",
    mode="exact",
    instances=_small,
    controls=[
        mutant("the whole radius moves", factor=2),
        mutant("occupancies of the next stage", late=1),
        mutant("least for largest", sign=-1),
    ],
    about=[DelayAdaptedPolicyOptimization],
)
def occupancy(problem: Any, *, factor: int = 1, late: int = 0, sign: int = 1) -> Iterator[Row]:
    """Bounds on occupancies are attained in the set: by a dual formula, and of two states by all its corners."""
    mdp, seed, two = problem
    exact, rng = Exact.of(mdp), np.random.default_rng(seed)
    H, S, L = exact.H or 1, exact.S, exact.L
    n = H if len(exact.P) > L else 1
    ptr = np.array([0, *(pairs[-1] + 1 for pairs in exact.pairs)])
    law = [[[row_of(exact, k, i).get(t, ZERO) for k in range(L)] for t in range(S)] for i in range(n)]
    radius = [[F(int(x), 8) for x in rng.integers(0, 8, size=L)] for _ in range(n)]
    radius[0][0] = F(2)
    pi = drawn_law(exact, rng, H)
    start = objects(start_of(exact))
    lower, upper = call(occupancy_bounds.occupancies, start, objects(law), objects(radius), objects(pi), ptr)
    wide = [[factor * x for x in row] for row in radius]
    mu = reached(exact, pi)
    for h in range(H):
        for s in range(S):
            end = [F(int(s == t)) for t in range(S)]
            own = pi[: max(0, h - late)]
            best = [at_start(exact, set_to_go(exact, law, wide, own, end, sign=x)) for x in (sign, -sign)]
            yield equal(upper[h][s], best[0], f"largest, h={h}, s={s}")
            yield equal(lower[h][s], best[1], f"least, h={h}, s={s}")
        yield all_leq(lower[h], mu[h], f"least, h={h}, of the law inside")
        yield all_leq(mu[h], upper[h], f"largest, h={h}, of the law inside")
    if two and not factor - 1:
        corners = [[_extremes(law[i][0][k], radius[i][k]) for k in range(L)] for i in range(2)]
        found: list[Fraction] = []
        for choice in product(range(2), repeat=2 * L):
            m = list(start_of(exact))
            for h in range(2):
                flow = [m[exact.state[k]] * pi[h][k] for k in range(L)]
                first = sum((flow[k] * corners[h][k][choice[h * L + k]] for k in range(L)), ZERO)
                m = [first, sum(m) - first]
            found.append(m[0])
        yield equal(upper[2][0], max(found), "largest, over all corners")
        yield equal(lower[2][0], min(found), "least, over all corners")
    bonus = [[F(int(x), 4) for x in rng.integers(0, 9, size=S)] for _ in range(H)]
    dilation = 1 + F(1, H)
    B = call(occupancy_bounds.dilated, objects(bonus), objects(law), objects(radius), objects(pi), ptr, dilation)
    after = [ZERO] * S
    for h in range(H - 1, -1, -1):
        i = h if n > 1 else 0
        q = [farthest([law[i][t][k] for t in range(S)], wide[i][k], after) for k in range(L)]
        right = [bonus[h][exact.state[k]] + dilation * q[k] for k in range(L)]
        yield all_equal(B[h], right, f"bonus-to-go, h={h}")
        after = mean_at(exact, pi[h], right)


# -- regret ----------------------------------------------------------------------------------------------------------


def arms(n: int) -> MDP:
    """One state, one stage, n actions."""
    P = objects([[[F(1)]] * n])
    return MDP(P, objects([[ZERO] * n]), FiniteHorizon(1), rho=objects([F(1)]))


def _gaps(tables: Any, best: int) -> tuple[float, float]:
    """What a round may lose against an arm, least and most."""
    gaps = tables[:, best : best + 1] - tables
    return float(gaps.min()), float(gaps.max())


TWO = np.array([[0.625, 0.0], [0.625, 0.6875]])


def _delays(level: Any, rng: Any) -> Iterator[Case]:
    for d, K in ((0, 400), (60, 1000)) if level == "fast" else ((0, 400), (5, 1000), (20, 1000), (100, 2000)):
        yield Case(f"two arms, d={d}", (d, K, 800 if K == 400 else 300))


@claim(
    "delay-adapted-po:exp3",
    says=r"E \sum_{k \le K} \langle \pi_k - \pi^*, \ell_k \rangle \le \frac{\ln A}{\eta} + \eta \Bigl( \frac{AK}2 + dK \Bigr)"
    r" + d = 2 \sqrt{\ln A (\tfrac{AK}2 + dK)} + d",
    where="derived, docs/theory/exploration; with other constants Theorem 1 of Thune et al. 2019, recalled",
    kind="upper",
    mode="statistical",
    instances=_delays,
    controls=[
        mutant("the bound without what moves meanwhile", drift=0),
        mutant("steps too small to learn", eta=1e-6),
        mutant("the bound without its root of K", power=0.25),
    ],
    delta=1e-3,
    about=[DelayAdaptedPolicyOptimization],
    domain="one state and one stage, constant delay",
)
def exp3(
    problem: Any, *, rng: Any = None, delta: float = 1e-3, drift: int = 1, eta: Any = None, power: float = 0.5
) -> Iterator[Row]:
    """One stage is Exp3 with delays, and its expected regret is under the bound."""
    d, K, runs = problem
    mdp = arms(2)
    learner = DelayAdaptedPolicyOptimization(delay=d, eta=eta)

    environment = Delayed(Adversarial(mdp, *switching(TWO, K, 2)), d)
    low, high = _gaps(TWO, 0)
    interval = bounded_mean(totals(environment, learner, TWO[0, 0], K, runs, rng), K * low, K * high, delta)
    bound = 2 * (math.log(2) * (K + drift * d * K)) ** power + drift * d
    if drift and eta is None and power == 0.5:
        offered = call(learner.bound, environment.view(K), np.array([K]))
        yield equal(float(offered[-1]), Interval(bound * (1 - 1e-12), bound * (1 + 1e-12)), "the bound offered")
    yield leq(interval, bound, f"d={d}", k=K)


def chain(S: int) -> MDP:
    """Two stages of two actions, one of which pays; of two states, it also leads more often to where more is paid."""
    state = np.repeat(np.arange(S), 2)
    P = objects([[F(1)]] * 2 if S == 1 else [[F(3, 4), F(1, 4)], [F(1, 4), F(3, 4)]] * 2)
    r = objects([F(1, 16), F(15, 16)] if S == 1 else [F(0), F(3, 4), F(1, 4), F(1)])
    start = objects([F(1)] if S == 1 else [F(1, 2), F(1, 2)])
    return MDP(P, r, FiniteHorizon(2), state=state, action=np.tile([0, 1], S), rho=start)


def _mdps(level: Any, rng: Any) -> Iterator[Case]:
    yield Case("one state, H=2, d=0", (chain(1), 0, 2000, 500))
    if level == "full":
        yield Case("one state, H=2, d=1", (chain(1), 1, 6000, 600))
        yield Case("two states, H=2, d=0", (chain(2), 0, 4000, 600))


def _best_values(exact: Exact, table: Any) -> list[Fraction]:
    """Optimal values of the first stage under the rewards of a table."""
    V = [ZERO] * exact.S
    for h in range((exact.H or 1) - 1, -1, -1):
        q = exact.q(V, [F(float(x)) for x in table], stage=h)
        V = [max(q[k] for k in pairs) for pairs in exact.pairs]
    return V


@claim(
    "delay-adapted-po:regret",
    says=r"E \sum_{k \le K} V^{\pi^*}_k - V^{\pi_k}_k \le \frac{H \ln A}{\eta} + \eta \bigl( 2 e H^3 L K + H (H + \beta)"
    r" (H + (1 + \tfrac1H) \beta) D \bigr) + H d, \quad \beta = 2 H^2 ((1 + \tfrac1H)^H - 1 - \tfrac1H), \quad \gamma = \eta H",
    where="derived, docs/theory/exploration; the order in K and D recalled from arXiv 2305.07911, with better powers of H",
    kind="upper",
    mode="statistical",
    instances=_mdps,
    controls=[
        mutant("steps too small to learn", slow=1000),
        mutant("the bound of one stage", stages=1),
    ],
    delta=1e-3,
    about=[DelayAdaptedPolicyOptimization],
    domain="a known law, constant delay",
    caveat="constants and powers of H are larger than the paper's; with an unknown law no bound is claimed",
)
def regret(problem: Any, *, rng: Any = None, delta: float = 1e-3, slow: int = 1, stages: int = 2) -> Iterator[Row]:
    """The expected regret against an adversary, with late feedback, is under the derived bound."""
    mdp, d, K, runs = problem
    exact = Exact.of(mdp)
    H, L = exact.H or 1, exact.L
    grown = (1 + 1 / H) ** H
    beta = 2 * H**2 * (grown - 1 - 1 / H)
    noise, drift = 2 * math.e * H**3 * L, H * (H + beta) * (H + (1 + 1 / H) * beta)
    actions = max(len(pairs) for pairs in exact.pairs)
    eta = math.sqrt(H * math.log(actions) / (K * (noise + drift * d)))
    yield leq(eta, 1 / (2 * H**3 * (grown - 1)), "steps are small")
    learner = DelayAdaptedPolicyOptimization(delay=d, eta=None if slow == 1 else eta / slow)

    # Both tables have the same optimal policy, so that no episode gains on it.
    r = np.asarray(mdp.r, dtype=np.float64)
    tables = np.stack((r, r * 0.75 + 0.125))
    environment = Delayed(Adversarial(Environment(mdp, known=True), *switching(tables, K, 50)), d)
    best = [float(at_start(exact, _best_values(exact, table))) for table in tables]
    found = totals(environment, learner, np.array(best)[np.arange(K) // 50 % 2], K, runs, rng)
    interval = bounded_mean(found, 0.0, K * H * float(r.max() - r.min()), delta)
    if stages == 1:
        noise, drift, H = L / 2, 1.0, 1
    bound = 2 * math.sqrt(H * math.log(actions) * (noise + drift * d) * K) + H * d
    if slow == 1 and stages == 2:
        offered = call(learner.bound, environment.view(K), np.array([K]))
        yield equal(float(offered[-1]), Interval(bound * (1 - 1e-12), bound * (1 + 1e-12)), "the bound offered")
    yield leq(interval, bound, f"K={K}", k=K)
