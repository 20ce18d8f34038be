r"""Claims about LSVI-UCB.

The features of the instances are multiples of an eighth, and rewards of a sixty-fourth, so that the learner's sums over the
data are exact in floats and are compared as they are. What is planned from them is compared within the rounding of a linear
system: for :math:`\Lambda = \lambda I + \sum\phi\phi^\top` after k episodes, :math:`\|\Lambda^{-1}\| \le 1/\lambda` and
:math:`\|\Lambda\| \le \lambda + k`; elimination perturbs the matrix by at most
:math:`\varepsilon = d^2 2^{d-1} \gamma_{3d}` of its norm (see :mod:`mdpkit.claims.rounding`), and so the entries of the inverse
by at most :math:`\delta = 4 d^2 \varepsilon (\lambda + k)/\lambda^2`, the 4 being for the change of norms, for the ridge that
is added, and for terms of second order. Products with the sums add up :math:`d` or :math:`S` terms each.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Case, Row, all_equal, claim, equal, fact, leq, mutant
from mdpkit.claims.claim import Level
from mdpkit.claims.exact import Exact, solve
from mdpkit.claims.judge import ball, log
from mdpkit.claims.learning import initial, value_error
from mdpkit.claims.rounding import factors, near
from mdpkit.claims.statistics import proportion
from mdpkit.claims.trial import call, play, rounds
from mdpkit.instances import make
from mdpkit.models.criterion import FiniteHorizon
from mdpkit.models.linear import LinearMDP
from mdpkit.proofs.linear.least_squares_value_iteration import features
from mdpkit.proofs.linear.optimal_design import det
from mdpkit.solvers.linear import LSVIUCB

F = Fraction
ZERO = F(0)


def eighths(seed: int, H: int, *, ragged: bool = False, by_stage: bool = False) -> LinearMDP:
    """A random linear MDP: three states, two features that are multiples of an eighth."""
    rng = np.random.default_rng(seed)
    state, action = ([0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2]) if ragged else ([0, 0, 1, 1, 2, 2], [0, 1] * 3)
    first = [int(x) for x in rng.permutation([0, 8, 1, 3, 5, 7])]
    phi = [[F(x, 8), F(8 - x, 8)] for x in first]

    def law() -> list[Fraction]:
        weights = [int(x) for x in rng.integers(1, 8, size=3)]
        return [F(w, sum(weights)) for w in weights]

    mu = [[law(), law()] for _ in range(H)] if by_stage else [law(), law()]
    theta = [F(int(x), 8) for x in rng.permutation(9)[:2]]
    rho = np.array([F(1, 2), F(1, 4), F(1, 4)])
    return LinearMDP(np.array(phi), np.array(mu), theta, FiniteHorizon(H), state=state, action=action, rho=rho)


def small(level: Level, rng: Any) -> Iterator[Case]:
    """Random features, also with actions that differ between states and laws that differ between stages."""
    for i in range(2 if level == "fast" else 6):
        seed, H = int(rng.integers(10**6)), 2 + i % 3
        options = {"ragged": i % 2 == 1, "by_stage": i % 3 == 1}
        yield Case(f"eighths, seed={seed}, H={H}, {options}", eighths(seed, H, **options))


class Data:
    """Sums over the data that the judge was shown, exactly."""

    def __init__(self, mdp: LinearMDP):
        self.exact, self.phi, d = Exact.of(mdp), features(mdp), mdp.dim
        self.H, self.d = self.exact.H or 0, d
        self.Lambda = [[[ZERO] * d for _ in range(d)] for _ in range(self.H)]
        self.b = [[ZERO] * d for _ in range(self.H)]
        self.M = [[[ZERO] * self.exact.S for _ in range(d)] for _ in range(self.H)]
        self.n = 0

    def add(self, history: Any, shift: int = 0) -> None:
        """One more episode: states, pairs and rewards; credited to a later stage if ``shift``."""
        states, pairs, paid = history
        self.n += 1
        for h, k in enumerate(pairs.tolist()):
            at = (h + shift) % self.H
            x = self.phi[k]
            for i in range(self.d):
                self.b[at][i] += x[i] * F(float(paid[h]))
                self.M[at][i][int(states[h + 1])] += x[i]
                for j in range(self.d):
                    self.Lambda[at][i][j] += x[i] * x[j]

    def joined(self, other: Data) -> None:
        """Add what the other holds."""
        self.n += other.n
        for h in range(self.H):
            for i in range(self.d):
                self.b[h][i] += other.b[h][i]
                self.M[h][i] = [x + y for x, y in zip(self.M[h][i], other.M[h][i], strict=True)]
                self.Lambda[h][i] = [x + y for x, y in zip(self.Lambda[h][i], other.Lambda[h][i], strict=True)]

    def ridged(self, h: int, lambda_: Fraction) -> list[list[Fraction]]:
        """The matrix of a stage, with the ridge."""
        return [[x + (lambda_ if i == j else 0) for j, x in enumerate(row)] for i, row in enumerate(self.Lambda[h])]

    def flat(self) -> list[Fraction]:
        """All sums in the order of the arrays."""
        return [
            *(x for part in self.Lambda for row in part for x in row),
            *(x for row in self.b for x in row),
            *(x for part in self.M for row in part for x in row),
        ]


def flat(sums: Any) -> list[Fraction]:
    """The learner's sums, exactly as they are."""
    return [F(x) for part in sums for x in part.ravel().tolist()]


def radius(data: Data, K: int, lambda_: Fraction, delta: Fraction, factor: int = 2, sets: Any = 0) -> list[Any]:
    """The factors of the bonus, as balls."""
    S, d, H = data.exact.S, data.d, data.H
    out: list[Any] = []
    for h in range(H):
        c = ball(H - h)
        inside = (
            d * log(1 + F(K) / (d * lambda_)) + factor * S * log(1 + c * ball(K).sqrt()) + 2 * log(H / delta) + 2 * sets
        )
        out.append(c / 2 * inside.sqrt() + 1 + 2 * c * (ball(d) * ball(lambda_)).sqrt())
    return out


def planned(
    data: Data, plan: Any, choice: Any, lambda_: Fraction, beta: list[Any], at: str, *, ridge: bool = True
) -> Iterator[Row]:
    """That Q and V are planned from the data, stage by stage, each from the values of the next one as they are."""
    exact, d, H, k = data.exact, data.d, data.H, data.n
    eps = d * d * 2 ** (d - 1) * factors(3 * d)
    inverse_error = 4 * d * d * eps * (lambda_ + k) / lambda_**2
    arb = type(ball(0))
    V = [[F(x) for x in row] for row in plan.V.tolist()]
    yield all_equal(V[H], [ZERO] * exact.S, f"{at}: V_H")
    for h in range(H - 1, -1, -1):
        moved = [sum((m * v for m, v in zip(row, V[h + 1], strict=True)), ZERO) for row in data.M[h]]
        y = [b + x for b, x in zip(data.b[h], moved, strict=True)]
        matrix = data.ridged(h, lambda_ if ridge else lambda_ / 2)
        w = solve(matrix, y)[0]
        solved = solve(matrix, *data.phi)
        top = F(k) * (H + 1)
        linear = (
            d * d * (inverse_error * top + factors(exact.S + 4) * top / lambda_ + factors(2 * d + 8) * top / lambda_)
        )
        square = d * d * (inverse_error + factors(2 * d + 4) / lambda_)
        worst: list[Row] = []
        q: list[Any] = []
        for x, z, found in zip(data.phi, solved, plan.Q[h].tolist(), strict=True):
            norm = ball(sum((a * b for a, b in zip(x, z, strict=True)), ZERO)) + arb(0, float(square))
            mean = ball(sum((a * b for a, b in zip(x, w, strict=True)), ZERO)) + arb(0, float(linear))
            bonus = beta[h] * norm.sqrt()
            bonus = bonus + arb(0, float(bonus.upper()) * float(factors(64)))
            q.append((mean + bonus).max(ball(0)).min(ball(H - h)))
            worst.append(equal(F(found), q[-1], f"{at}, h={h}: Q"))
        yield from worst
        own = [F(x) for x in plan.Q[h].tolist()]
        yield all_equal(V[h], [max(own[j] for j in pairs) for pairs in exact.pairs], f"{at}, h={h}: V")
        first = [max(pairs, key=lambda j: (own[j], -j)) for pairs in exact.pairs]
        yield fact([int(x) for x in choice[h]] == first, f"{at}, h={h}: greedy")


def followed(now: Data, before: Data, inverse: Any, ratio: Any, lambda_: Fraction, at: str) -> Iterator[Row]:
    """That inverses and ratios of determinants, updated since the plan, are those of all data.

    Each rank-one update of an inverse rounds some 16 d^2 factors of entries that are at most one over the ridge, beside what
    the inverse of the plan was off by, and the ratio of determinants takes d^2 products with each.
    """
    d, k = now.d, now.n
    start = 4 * d**4 * 2 ** (d - 1) * factors(3 * d) * (lambda_ + k) / lambda_**2
    error = (k - before.n + 1) * (start + factors(16 * d * d) * (lambda_ + k) / lambda_**2)
    for h in range(now.H):
        matrix = now.ridged(h, lambda_)
        exact = solve(matrix, *[[F(int(i == j)) for i in range(d)] for j in range(d)])
        found = [F(x) for x in inverse[h].ravel().tolist()]
        off = [abs(x - y) for x, y in zip(found, (x for row in exact for x in row), strict=True)]
        yield leq(max(off), error, f"{at}, h={h}: the inverse")
        grown = det(matrix) / det(before.ridged(h, lambda_))
        yield leq(abs(F(float(ratio[h])) - grown), 2 * d * d * error * grown, f"{at}, h={h}: growth")


@claim(
    "jin2020:lsvi-ucb-plan",
    says=r"""w_h = \Lambda_h^{-1} \sum_i \phi_h^i (r_h^i + \bar V_{h+1}(s^i_{h+1})), \quad
             \bar Q_h = \min\{(\phi^\top w_h + \beta_h \|\phi\|_{\Lambda_h^{-1}})^+, H-h\}, \quad
             \text{anew if } \exists h: \det \Lambda_h > g \det \Lambda_h^{\text{plan}}""",
    where="Algorithm 1, recalled, with the bonus and the cut-off derived in docs; g = 1 there",
    kind="identity",
    mode="numeric",
    instances=small,
    controls=[
        mutant("a cover of half as many states in the bonus", cover=1),
        mutant("episodes credited to the next stage", shift=1),
        mutant("half of the ridge", ridge=False),
        mutant("plans at twice the growth", limit=2),
    ],
    survivors={"transposed P": "the learner never sees the law"},
    about=[LSVIUCB],
)
def lsvi_ucb_plan(
    mdp: Any,
    *,
    rng: Any = None,
    cover: int = 2,
    shift: int = 0,
    ridge: bool = True,
    limit: int = 0,
    K: int = 8,
) -> Iterator[Row]:
    """Sums, plans and greedy pairs of each episode are those of the data so far, and it plans when it should."""
    for g, lambda_, beta in ((F(1), F(1), None), (F(1), F(1), F(1, 4)), (F(2), F(3, 2), F(1, 8))):
        learner = LSVIUCB(delta=F(1, 10), growth=g, lambda_=lambda_, beta=beta)
        data = Data(mdp)
        factors_ = radius(data, K, lambda_, F(1, 10), cover)
        used = factors_ if beta is None else [ball(beta)] * data.H
        before, plans = Data(mdp), 1
        for played in rounds(mdp, learner, K, rng):
            at = f"g={g}, beta={beta}, episode {played.k}"
            if beta is None and not played.k:
                own = call(learner.radius, played.state.view).tolist()
                wide = [x + type(x)(0, float(x) * float(factors(64))) for x in factors_]
                yield all_equal([F(x) for x in own], wide, f"{at}: the factors of the bonus")
            yield all_equal(flat(played.state.sums), data.flat(), f"{at}: sums")
            ratios = [det(data.ridged(h, lambda_)) / det(before.ridged(h, lambda_)) for h in range(data.H)]
            # The rank-one updates of the learner round: no ratio of the instances is that close to the growth.
            if any(r > (g if not limit or g == 1 else limit * g) for r in ratios):
                plans, before = plans + 1, Data(mdp)
                before.joined(data)
            yield equal(F(played.state.plans), F(plans), f"{at}: plans")
            yield from followed(data, before, played.state.inverse, played.state.ratio, lambda_, at)
            yield from planned(before, played.state.plan, played.policy, lambda_, used, at, ridge=ridge)
            data.add(played.history, shift)


class Narrow(LSVIUCB):
    """A bonus that is a fortieth of the derived one."""

    def radius(self, view: Any, sets: float = 0.0) -> Any:
        """The factors, too small."""
        return super().radius(view, sets) / 40


def two_coins() -> Case:
    """The hypercube over three stages, in which the hidden corner is best by much."""
    name = "linear-hypercube-episodic?H=3&delta=1/2&gap=2/5"
    return Case(name, make("linear-hypercube-episodic", H=3, delta="1/2", gap="2/5"))


def for_optimism(level: Level, rng: Any) -> Iterator[Case]:
    """The hypercube, and random features."""
    yield two_coins()
    yield from small(level, rng)


@claim(
    "jin2020:optimism",
    says=r"\Pr\{\exists k \le K, h, s, a: \bar Q^k_h(s,a) < Q_h^*(s,a)\} \le \delta",
    where="Lemma B.5, recalled; derived in docs for the bonus used here",
    kind="upper",
    mode="statistical",
    instances=for_optimism,
    controls=[
        mutant("a fortieth of the bonus", kind=Narrow),
        mutant("the constant 1/5 for the bonus", beta=0.2),
    ],
    survivors={
        "off by one in k": "fewer data are as valid; jin2020:lsvi-ucb-plan says what is planned",
    },
    delta=1e-3,
    about=[LSVIUCB],
    domain="coefficients of backups of norm at most 2 c sqrt(d), as in the paper",
)
def optimism(
    mdp: Any,
    *,
    rng: Any = None,
    delta: float = 1e-3,
    kind: Any = LSVIUCB,
    beta: Any = None,
    runs: int = 16,
    K: int = 12,
) -> Iterator[Row]:
    """Every index is above the optimal action value, but for a run in 1/delta."""
    exact = Exact.of(mdp)
    star, H = exact.horizon(), exact.H or 0
    best = [exact.q(star[h + 1], stage=h) for h in range(H)]
    promised, failures = F(1, 2), 0
    for _ in range(runs):
        failed = False
        for played in rounds(mdp, kind(delta=promised, beta=beta), K, rng):
            Q = played.state.plan.Q.tolist()
            failed = failed or any(F(x) < y for h in range(H) for x, y in zip(Q[h], best[h], strict=True))
        failures += failed
    yield leq(proportion(failures, runs, delta), promised, f"{failures} of {runs} runs")


def for_regret(level: Level, rng: Any) -> Iterator[Case]:
    """The hypercube, where much is to be lost, and random features."""
    yield Case("linear-hypercube-episodic?H=2&m=1&hidden=1&delta=1/2&gap=1/2", _sharp())
    if level == "full":
        yield two_coins()
        yield from small("fast", rng)


def _sharp() -> LinearMDP:
    return make("linear-hypercube-episodic", H=2, m=1, hidden=1, delta="1/2", gap="1/2")  # type: ignore[return-value]


@claim(
    "jin2020:regret",
    says=r"""\sum_{k \le K} V_0^* - V_0^{\pi_k} \le 2\sqrt g \sum_h \beta_h \sqrt{2 d K \log(1 + \tfrac{K}{d\lambda})}
             + \sqrt{\tfrac K2 \log\tfrac1\delta \sum_{c \le H} c^2}""",
    where="Theorem 3.1, recalled, with other constants; derived in docs",
    kind="upper",
    mode="statistical",
    instances=for_regret,
    controls=[
        mutant("nothing is learned: no plan after the first", growth=1e300),
        mutant("the bound without its root of K", power=0.0),
    ],
    delta=1e-3,
    survivors={
        "dropped bonus": "greedy play loses little on these models, and the bound is from above; "
        "jin2020:lsvi-ucb-plan and jin2020:optimism say what the bonus is and does"
    },
    about=[LSVIUCB],
    caveat="the bound is some hundred times what is seen",
)
def regret(
    mdp: Any, *, rng: Any = None, delta: float = 1e-3, growth: float = 1.5, power: float = 0.5, K: int = 500_000
) -> Iterator[Row]:
    """The regret of a run stays under the derived bound, and what is reported is exact."""
    exact = Exact.of(mdp)
    H, d = exact.H or 0, mdp.dim
    grid = np.unique(np.geomspace(100, K, 8).astype(int)).tolist()
    small_delta = F(delta) / (2 * len(grid))
    learner = LSVIUCB(delta=small_delta, growth=growth)
    run = play(mdp, learner, K, rng, keep=False, compiled=True)
    yield near(run.best, initial(exact, exact.horizon()[0]), value_error(exact), "best")
    beta = sum(radius(Data(mdp), K, F(1), small_delta), ball(0))
    luck = (log(1 / small_delta) / 2 * sum(c * c for c in range(1, H + 1))).sqrt()
    for n in grid:
        root = ball(n).sqrt() if power else ball(1)
        bound = 2 * ball(F(3, 2)).sqrt() * beta * (2 * d * log(1 + F(n, d))).sqrt() * root + luck * root
        offered = learner.bound(run.view, np.array([n]))
        if power and growth == 1.5:
            wide = bound + type(bound)(0, float(bound) * 1e-10)
            yield equal(F(float(offered[0])), wide, f"bound at {n}", resolution=1e-9)
        yield leq(F(float(run.cumulative[n - 1])) + n * value_error(exact), bound, f"K={n}", k=n)


@claim(
    "jin2020:rare-plans",
    says=r"\#\{\text{plans}\} \le H\, \frac{d \log(1 + K/(d\lambda))}{\log g} + 1",
    where="derived, see docs; the idea as in abbasi2011, Section 5.1, recalled",
    kind="upper",
    mode="numeric",
    instances=small,
    controls=[
        mutant("a plan after every episode", growth=1.0),
        mutant("the bound without the stages and the dimension", alone=True),
        mutant("the logarithm of the square of the growth", square=True, alone=True),
    ],
    survivors={
        "dropped bonus": "determinants grow no more often, whatever is played",
        "off by one in k": "an episode that was never seen makes no more plans",
        "argmin for argmax": "determinants grow no more often, whatever is played",
    },
    about=[LSVIUCB],
)
def rare_plans(
    mdp: Any, *, rng: Any = None, growth: float = 1.125, alone: bool = False, square: bool = False, K: int = 1500
) -> Iterator[Row]:
    """With rare plans, their number grows like a logarithm."""
    H, d = mdp.criterion.H, mdp.dim
    run = play(mdp, LSVIUCB(growth=growth), K, rng, keep=False, compiled=True)
    plans = run.series["plans"]
    yield equal(F(float(plans[0])), F(1), "the first plan")
    yield fact(bool(np.all(np.diff(plans) >= 0)), "plans are counted")
    events = 1 if alone else H * d
    for n in np.unique(np.geomspace(10, K, 10).astype(int)).tolist():
        base = F(9, 8) ** (2 if square else 1)
        yield leq(F(float(plans[n - 1])), events * log(1 + F(n - 1, d)) / log(base) + 1, f"K={n}", k=n)
