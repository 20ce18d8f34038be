r"""Claims of posterior sampling: exact parameters and draws, the identity behind it, and regret under the prior."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from math import comb
from typing import Any

import numpy as np

from mdpkit.claims import Interval, Rate, Row, all_equal, claim, equal, fact, leq, mutant, point
from mdpkit.claims.cases import once
from mdpkit.claims.exact import Exact
from mdpkit.claims.judge import ball, largest
from mdpkit.claims.learning import Counts, continuing, episodic
from mdpkit.claims.rounding import all_near, factors, near
from mdpkit.claims.statistics import bounded_mean
from mdpkit.claims.trial import call, play, rounds
from mdpkit.environment import Environment, environment_of
from mdpkit.kernels import posterior as kernel
from mdpkit.learner import Episode
from mdpkit.models.criterion import FiniteHorizon
from mdpkit.models.mdp import MDP
from mdpkit.solvers.exploration.psrl import PSRL, TSDE


class Unmoved(PSRL):
    """Draws again after each episode, and never updates."""

    def observe(self, state: Any, feedback: Any, rng: Any) -> Any:
        """A draw from the prior."""
        return self._draw(state, rng)

    def loop(self, *arguments: Any) -> Any:
        """None is compiled."""
        return None


def _drawn(own: Any, counts: Counts, n: int, prior: Any) -> list[list[list[float]]]:
    """Laws ``[i][k][t]`` from single gamma variables, in the order of stages, pairs and states."""
    exact = counts.exact
    out: list[list[list[float]]] = []
    for i in range(n):
        rows: list[list[float]] = []
        for k in range(exact.L):
            moves = counts.moves[i][k]
            g = [own.standard_gamma(float(prior + moves.get(t, 0))) for t in range(exact.S)]
            whole = sum(map(Fraction, g))
            rows.append([float(Fraction(x) / whole) for x in g])
        out.append(rows)
    return out


def _coins(own: Any, wins: list[list[int]], losses: list[list[int]]) -> list[list[float]]:
    out: list[list[float]] = []
    for a, b in zip(wins, losses, strict=True):
        row: list[float] = []
        for x, y in zip(a, b, strict=True):
            g, h = own.standard_gamma(1.0 + x), own.standard_gamma(1.0 + y)
            row.append(float(Fraction(g) / (Fraction(g) + Fraction(h))))
        out.append(row)
    return out


def _law_row(found: Any, laws: list[list[list[float]]], S: int, at: str) -> Row:
    """That laws ``(n, S, L)`` are these, up to the roundings of a sum of S and a quotient."""
    mine = [laws[i][k][t] for i in range(len(laws)) for t in range(S) for k in range(len(laws[0]))]
    return all_near(np.asarray(found).ravel().tolist(), list(map(Fraction, mine)), factors(S + 4), at)


@claim(
    "osband2013:posterior",
    says=r"\hat P_k(\cdot|s,a) \sim \mathrm{Dirichlet}(c + n_k(s,a,\cdot)), \quad \hat r_k(s,a) \sim \mathrm{Beta}(1 +"
    r" \text{wins}, 1 + \text{losses}), \quad V_h = \max_a (\hat r_k + \hat P_k V_{h+1})",
    where="Section 3, recalled; the laws are conjugate, derived in docs/theory/exploration",
    kind="identity",
    mode="numeric",
    instances=episodic(by_stage=True),
    controls=[
        mutant("the posterior is never updated", frozen=True),
        mutant("half of the prior", share=Fraction(1, 2)),
        mutant("episodes counted at the next stage", shift=1),
    ],
    survivors={"transposed P": "the learner never sees the law: it draws from its history, whichever law made it"},
    about=[PSRL],
)
def posterior(
    mdp: Any, *, rng: Any = None, frozen: bool = False, share: Any = 1, shift: int = 0, K: int = 8
) -> Iterator[Row]:
    """Each episode's model is the next draw from the prior's parameters plus the counts, and its best policy is played."""
    exact = Exact.of(mdp)
    assert exact.H is not None
    by_stage = len(exact.P) > exact.L
    for noise, prior in ((None, Fraction(1)), ("bernoulli", Fraction(1, 2))):
        seed = int(rng.integers(2**31))
        own = np.random.default_rng(seed).spawn(2)[1]
        counts = Counts(exact, by_stage=by_stage)
        rows = len(exact.r) // exact.L
        wins, losses = ([[0] * exact.L for _ in range(rows)] for _ in range(2))
        wrap = lambda m, x=noise: Environment(m, x)  # noqa: E731
        for played in rounds(mdp, PSRL(float(prior)), K, np.random.default_rng(seed), wrap=wrap):
            state, at = played.state, f"{noise or 'no noise'}, episode {played.k}"
            laws = _drawn(own, counts, exact.H if by_stage else 1, prior * share)
            yield _law_row(state.law, laws, exact.S, f"{at}, laws")
            if noise:
                r = _coins(own, wins, losses)
                yield all_near(
                    state.r.ravel().tolist(), [Fraction(x) for row in r for x in row], factors(6), f"{at}, r"
                )
            else:
                yield all_near(state.r.ravel().tolist(), exact.r, factors(2), f"{at}, known rewards")
            # Plans are made of the laws as they are in floats; they are the judge's up to rounding.
            model, paid, V = state.law.tolist(), state.r.tolist(), state.V.tolist()
            for h in range(exact.H):
                i = h if by_stage else 0
                after = [Fraction(x) for x in V[h + 1]]
                q = [
                    Fraction(paid[h if len(paid) > 1 else 0][k])
                    + sum((Fraction(model[i][t][k]) * after[t] for t in range(exact.S)), Fraction(0))
                    for k in range(exact.L)
                ]
                error = factors(exact.S + 8) * (exact.H + 1)
                yield all_near(V[h], exact.best(q), error, f"{at}, h={h}")
                for s, pairs in enumerate(exact.pairs):
                    k = int(played.policy[h][s])
                    yield fact(k in pairs and max(q[j] for j in pairs) - q[k] <= 2 * error, f"{at}, h={h}, s={s}")
            if frozen:
                continue
            states, taken, rewards = played.history
            counts.add(states[:-1] if shift else states, taken[1:] if shift else taken)
            for h, (k, x) in enumerate(zip(taken.tolist(), rewards.tolist(), strict=True)):
                (wins if x else losses)[h if rows > 1 else 0][k] += 1
        fresh = PSRL(float(prior))
        yield fact(fresh.prior == prior, "prior")


@claim(
    "osband2013:dirichlet",
    says=r"p \sim \mathrm{Dirichlet}(\alpha): \quad \mathrm{E}\, p_i = \frac{\alpha_i}{\bar\alpha}, \quad"
    r" \mathrm{E}\, p_i p_j = \frac{\alpha_i (\alpha_j + [i = j])}{\bar\alpha (\bar\alpha + 1)},"
    r" \quad \bar\alpha = \textstyle\sum_i \alpha_i",
    where="the law of normalized gamma variables; derived in docs/theory/exploration",
    kind="identity",
    mode="statistical",
    instances=once("parameters from 1/2 to 6"),
    controls=[
        mutant("moments of independent draws", one=0),
        mutant("parameters of the prior alone", counted=False),
    ],
    delta=1e-3,
    about=[PSRL, TSDE],
)
def dirichlet(
    _: Any, *, rng: Any = None, delta: float = 1e-3, one: int = 1, counted: bool = True, n: int = 60_000
) -> Iterator[Row]:
    """The first two moments of laws that are drawn, pair by pair, are those of the Dirichlet law of the pair."""
    S, L = 3, 2
    moves = np.array([[[0.0, 5.0], [1.0, 0.0], [3.0, 2.0]]])
    prior = Fraction(1, 2)
    alpha = call(kernel.parameters, float(prior), moves)
    p = call(kernel.draw_laws, np.repeat(alpha, n, axis=0), rng)
    means = call(kernel.draw_means, np.full(n, 2.0), np.full(n, 5.0), rng)
    share = delta / (L * (S + S * S) + 2)
    for k in range(L):
        a = [prior + (Fraction(int(x)) if counted else 0) for x in moves[0, :, k]]
        whole = sum(a, Fraction(0))
        for i in range(S):
            found = bounded_mean(p[:, i, k], 0, 1, share)
            yield equal(found, a[i] / whole, f"pair {k}, mean of {i}", resolution=0.02)
            for j in range(S):
                exact = a[i] * (a[j] + one * (i == j)) / (whole * (whole + one))
                yield equal(
                    bounded_mean(p[:, i, k] * p[:, j, k], 0, 1, share), exact, f"{k}, {i}, {j}", resolution=0.02
                )
    yield equal(bounded_mean(means, 0, 1, share), Fraction(2, 7), "Beta, mean", resolution=0.02)
    square = Fraction(2 * (2 + one), 7 * (7 + one))
    yield equal(bounded_mean(means**2, 0, 1, share), square, "Beta, second moment", resolution=0.02)


# -- two coins: what is best in the posterior is rational ------------------------------------------------------------


def coins(p: Any, q: Any) -> MDP:
    """Two stages: each of two actions leads to the paying state with its own probability; ``p``, ``q`` are laws ``(3,)``."""
    P = np.zeros((3, 2, 3))
    P[0, 0], P[0, 1] = p, q
    P[1:, :, 0] = 1.0
    return MDP(P, [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]], FiniteHorizon(2), rho=0)


def larger(a: int, b: int, c: int, d: int) -> Fraction:
    r"""The expectation of the larger of two independent Beta variables with whole parameters.

    It is :math:`1 - \int F G`, and :math:`F(x) = \sum_{j \ge a} \binom{n}{j} x^j (1-x)^{n-j}`, n = a + b - 1; the integral of
    :math:`x^i (1-x)^j` is :math:`i!\, j!/(i+j+1)!`.
    """
    n, m = a + b - 1, c + d - 1
    out = Fraction(1)
    for i in range(a, n + 1):
        for j in range(c, m + 1):
            out -= Fraction(comb(n, i) * comb(m, j), (n + m + 1) * comb(n + m, i + j))
    return out


HISTORIES = (((0, 1),) * 3, ((0, 1), (1, 0), (1, 0), (1, 1)))
"""Episodes of two coins: the action, and whether it led to the paying state."""


class Swapped(PSRL):
    """Credits what an action did to the other one."""

    def observe(self, state: Any, feedback: Any, rng: Any) -> Any:
        """Count the wrong pairs."""
        return super().observe(state, feedback._replace(pairs=feedback.pairs ^ 1), rng)

    def loop(self, *arguments: Any) -> Any:
        """None is compiled."""
        return None


def _drawn_values(learner: Any, view: Any, history: Any, runs: int, rng: Any) -> list[float]:
    """Optimal values of models drawn after a history, each from a belief that went through it."""
    found: list[float] = []
    for _ in range(runs):
        state = learner.begin(view, rng)
        for k, (action, won) in enumerate(history):
            to = 1 if won else 2
            episode = Episode(k, np.array([0, to, 0]), np.array([action, 2 * to]), np.array([0.0, float(won)]))
            state = learner.observe(state, episode, rng)
        found.append(float(learner.notes(state)[0]))
    return found


@claim(
    "osband2013:identity",
    says=r"\mathrm{E}[V^*_{M_k} \mid \mathcal H_k] = \mathrm{E}[V^*_{M} \mid \mathcal H_k] ="
    r" \mathrm{E} \max\{B_0, B_1\}, \quad B_a \sim \mathrm{Beta}(1 + n_a^+, 2 + n_a^-)",
    where="Lemma 1, recalled; the right side is derived in docs/theory/exploration, and computed in rationals",
    kind="identity",
    mode="statistical",
    instances=once("two coins and two histories"),
    controls=[
        mutant("the posterior is never updated", kind=Unmoved),
        mutant("a prior of four in place of one", prior=4.0),
    ],
    delta=1e-3,
    about=[PSRL],
    caveat="one family, whose expectation over the posterior is a rational number",
)
def identity(
    _: Any, *, rng: Any = None, delta: float = 1e-3, kind: Any = PSRL, prior: float = 1.0, runs: int = 300
) -> Iterator[Row]:
    """Given the history, the drawn and the unknown model are alike: their optimal values have the same expectation."""
    law = np.array([0.25, 0.5, 0.25])
    view = environment_of(coins(law, law)).view(10)
    learner = kind(prior)
    for number, history in enumerate(HISTORIES):
        wins = [sum(1 for action, won in history if action == a and won) for a in (0, 1)]
        losses = [sum(1 for action, won in history if action == a and not won) for a in (0, 1)]
        found = call(_drawn_values, learner, view, history, runs, rng)
        exact = larger(1 + wins[0], 2 + losses[0], 1 + wins[1], 2 + losses[1])
        yield equal(bounded_mean(found, 0, 1, delta / len(HISTORIES)), exact, f"history {number}", resolution=0.2)


@claim(
    "osband2013:bayes-regret",
    says=r"\mathrm{E} \sum_{k \le n} V^*_M - V^{\pi_k}_M \le 2 H + 2 S A H^2 + 2 \sqrt 8 (H-1) w \sqrt{S A H n}, \qquad"
    r" w = \sqrt{\tfrac12 (S \ln 2 + \ln(SAHK \cdot K))}",
    where="Theorem 1, recalled, with other constants; derived in docs/theory/exploration",
    kind="rate",
    mode="statistical",
    instances=once("two coins from the prior"),
    controls=[
        mutant("the posterior is never updated", kind=Unmoved, K=120, runs=6),
        mutant("feedback is credited to the other action", kind=Swapped, K=120, runs=6),
    ],
    survivors={"stale values": "it reaches the first draw alone: the loop is compiled"},
    delta=1e-3,
    rate=Rate(0.5, "at_most", 0.05),
    about=[PSRL],
    caveat="for continuous priors the expected regret grows much slower than its bound",
)
def bayes_regret(
    _: Any, *, rng: Any = None, delta: float = 1e-3, kind: Any = PSRL, runs: int = 40, K: int = 5000
) -> Iterator[Row]:
    """Over models from the prior, the mean regret stays under the bound and grows no faster than the root of n."""
    total: list[Any] = []
    offered: Any = None
    marks = np.unique(np.geomspace(K / 30, K, 8).astype(int))
    for i in range(runs):
        p, q = rng.dirichlet(np.ones(3), size=2)
        run = play(coins(p, q), kind(), K, rng, keep=False, compiled=True if kind is PSRL else None)
        if i < 3:
            yield near(float(run.best), Fraction(float(max(p[1], q[1]))), factors(40), "best")
        total.append(run.cumulative[marks - 1])
        offered = run.learner.bound(run.view, marks)
    H, S, L = 2, 3, 6
    w = math.sqrt((S * math.log(2) + math.log(L * H * K * K)) / 2)
    for i, n in enumerate(marks.tolist()):
        bound = 2 * H + 2 * L * H**2 + math.sqrt(8) * (H - 1) * 2 * w * math.sqrt(L * H * n)
        yield equal(float(offered[i]), Interval(bound * (1 - 1e-12), bound * (1 + 1e-12)), f"bound at {n}")
        # An episode loses at most one, the second stage's reward.
        samples = [min(float(n), max(0.0, float(row[i]))) for row in total]
        yield leq(float(bounded_mean(samples, 0, n, delta / len(marks)).upper), bound, f"n={n}, upper end")
        found = sum(samples) / runs
        yield leq(found, bound, f"n={n}", k=n)
        yield point(n, found)


class Eager(TSDE):
    """Draws a new model at every step."""

    def observe(self, state: Any, feedback: Any, rng: Any) -> Any:
        """As if no episode ever lasted."""
        state.marks[2:] = -1
        return super().observe(state, feedback, rng)

    def loop(self, *arguments: Any) -> Any:
        """None is compiled."""
        return None


@claim(
    "ouyang2017:posterior",
    says=r"t_{k+1} = \min\{t > t_k : t > t_k + T_{k-1} \text{ or } n_t(s,a) > 2 n_{t_k}(s,a)\}, \quad \hat P_k \sim"
    r" \mathrm{Dirichlet}(c + n_{t_k}), \quad u \leftarrow \tfrac12 (u + T_{\hat P_k} u)",
    where="Algorithm 1, recalled; half steps and their end are derived in docs/theory/exploration",
    kind="identity",
    mode="numeric",
    instances=continuing(fast=2, full=4),
    controls=[
        mutant("the posterior is never updated", frozen=True),
        mutant("whole steps", lazy=1),
        mutant("episodes end at a count that doubled, not more", over=0),
    ],
    survivors={"transposed P": "the learner never sees the law: it draws from its history, whichever law made it"},
    about=[TSDE],
)
def tsde_posterior(
    mdp: Any, *, rng: Any = None, frozen: bool = False, lazy: Any = Fraction(1, 2), over: int = 1, T: int = 40
) -> Iterator[Row]:
    """Episodes begin when they should; each plays the policy that half steps find in the next draw from the posterior."""
    exact = Exact.of(mdp)
    for noise in (None, "bernoulli"):
        seed = int(rng.integers(2**31))
        own = np.random.default_rng(seed).spawn(2)[1]
        counts, drawn = Counts(exact, by_stage=False), Counts(exact, by_stage=False)
        wins, losses = [[0] * exact.L], [[0] * exact.L]
        start, length, before, episodes = 0, 0, [0] * exact.L, 0
        policy: list[int] | None = None
        wrap = lambda m, x=noise: Environment(m, x)  # noqa: E731
        for played in rounds(mdp, TSDE(), T, np.random.default_rng(seed), wrap=wrap):
            t, state = played.k + 1, played.state
            (s, s_next), k, reward = played.history
            at = f"{noise or 'no noise'}, t={t}"
            yield near(played.value, exact.r[k], factors(3), f"{at}, mean reward")
            due = policy is None or t > start + length
            due = due or any(counts.n(j) >= 2 * before[j] + over and counts.n(j) > before[j] for j in range(exact.L))
            if due:
                laws = _drawn(own, drawn if frozen else counts, 1, Fraction(1))
                yield _law_row(state.law, laws, exact.S, f"{at}, laws")
                if noise:
                    r = _coins(own, wins, losses)[0]
                    yield all_near(state.r[0].tolist(), list(map(Fraction, r)), factors(6), f"{at}, rewards")
                yield from _swept(exact, state, t, lazy, at)
                policy = [int(x) for x in played.policy]
                before = [counts.n(j) for j in range(exact.L)]
                start, length, episodes = t, t - start, episodes + 1
            yield fact([int(x) for x in played.policy] == policy, f"{at}, policy")
            yield fact(int(state.marks[1]) == episodes - 1, f"{at}, episodes")
            yield fact(policy is not None and k == policy[s], f"{at}, pair")
            counts.step(k, s_next)
            (wins if reward else losses)[0][k] += 1


def _swept(exact: Exact, state: Any, t: int, lazy: Any, at: str) -> Iterator[Row]:
    """That u, gain and policy are those of the sweeps in the drawn model, in balls from its floats."""
    law = [[ball(x) for x in row] for row in np.asarray(state.law[0]).T.tolist()]
    r = [ball(x) for x in np.asarray(state.r[0]).tolist()]
    lazy = ball(lazy)
    v: list[Any] = [ball(0)] * exact.S
    sweeps = 0
    while True:
        sweeps += 1
        q = [r[k] + sum((p * x for p, x in zip(law[k], v, strict=True)), ball(0)) for k in range(exact.L)]
        step = [largest([q[k] for k in pairs]) - v[s] for s, pairs in enumerate(exact.pairs)]
        low, high = -largest([-x for x in step]), largest(step)
        if float(high - low) < 1 / math.sqrt(t) or sweeps == 50 * t + 1:
            break
        v = [x + lazy * y for x, y in zip(v, step, strict=True)]
        least = -largest([-x for x in v])
        v = [x - least for x in v]
    size = max(Fraction(float(x.upper())) for x in v) + 2
    rounding = ball(2 * sweeps * factors(exact.S + 24) * size)
    yield all_equal(state.u.tolist(), [Interval(x - rounding, x + rounding) for x in v], f"{at}, u")
    yield equal(float(state.marks[0]), Interval(high - 2 * rounding, high + 2 * rounding), f"{at}, gain")
    for s, pairs in enumerate(exact.pairs):
        k = int(state.choice[s])
        yield fact(k in pairs, at)
        yield leq(largest([q[j] for j in pairs]).lower(), (q[k] + 4 * rounding).upper(), f"{at}, greedy")


@claim(
    "ouyang2017:switches",
    says=r"K_T \le \sqrt{2 M T}, \qquad M = 1 + L \log_2(1 + T/L)",
    where="Lemma 1, recalled, with another logarithm; derived in docs/theory/exploration",
    kind="upper",
    mode="numeric",
    instances=continuing(fast=2, full=4),
    controls=[
        mutant("a draw at every step", kind=Eager, T=300),
        mutant("one count in place of L", together=True),
    ],
    survivors={
        "transposed P": "the bound holds in every model",
        "rewards of the next pair": "the bound holds in every model",
        "argmin for argmax": "it reaches the first plan alone, of the prior's draw: the loop is compiled",
        "stale values": "it reaches the first plan alone, of the prior's draw: the loop is compiled",
    },
    about=[TSDE],
)
def tsde_switches(
    mdp: Any, *, rng: Any = None, kind: Any = TSDE, together: bool = False, T: int = 100_000
) -> Iterator[Row]:
    """The number of episodes is at most about the root of the number of steps."""
    L = mdp.n_pairs
    run = play(mdp, kind(), T, rng, keep=False, compiled=None if kind is Eager else True)
    episodes = run.series["switches"] + 1
    yield fact(episodes[0] == 1 and bool(np.all(np.isin(np.diff(episodes), (0, 1)))), "one by one")
    for t in np.unique(np.geomspace(4, T, 30).astype(int)).tolist():
        M = 1 + (1 if together else L) * math.log2(1 + t / L)
        yield leq(int(episodes[t - 1]), math.sqrt(2 * M * t) * (1 + 1e-12), f"t={t}", k=t)
