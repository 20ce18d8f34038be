r"""Claims of RAVI-UCB: its steps, the identity they telescope to, optimism on average, and what is lost.

Steps are checked in floats. An argument :math:`x = \log \pi + \eta Q` is off by three factors, and a log-sum-exp by no more
than its arguments, besides what exp, sums and log add: with functions that are right to four units in the last place, no more
than :math:`\gamma_{A + 16}` times one plus the size of the arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from mdpkit.claims import Interval, Row, all_equal, all_leq, claim, equal, fact, leq, mutant
from mdpkit.claims.cases import discounted, joined, ragged
from mdpkit.claims.claim import Case
from mdpkit.claims.exact import Exact
from mdpkit.claims.judge import Judge, array, ball, balls, exp, largest, log, log_sum_exp
from mdpkit.claims.learning import Counts
from mdpkit.claims.rounding import factors, near, solve_error
from mdpkit.claims.trial import call, rounds
from mdpkit.kernels import softmax
from mdpkit.solvers.exploration.regularized_value_iteration_ucb import RAVIUCB

ETA = Fraction(1, 5)
NARROW = Fraction(1, 16)
"""A factor of the bonus with which few epochs bring action values off their largest value."""
SMALL = joined(
    discounted(sizes=((2, 2), (3, 3), (1, 3)), gammas=(Fraction(1, 2), Fraction(9, 10)), fast=2, full=6, rho="first"),
    ragged(fast=1, full=2),
)


def top_of(judge: Judge) -> Fraction:
    """The largest value."""
    return 1 / (1 - judge.gamma_exact)


def action_values(
    judge: Judge, counts: Counts, V: list[Fraction], delta: Any, gamma: int = 1, union: bool = True
) -> list[Any]:
    """Optimistic action values of the counts, as balls."""
    top = top_of(judge)
    out: list[Any] = []
    for k in range(judge.L):
        n, law = counts.n(k), counts.law(k)
        if not n:
            out.append(ball(top))
            continue
        iota = judge.S * log(2) + log(ball(Fraction(judge.L) / delta)) + (log(n * (n + 1)) if union else 0)
        flow = sum((p * V[t] for t, p in law.items()), Fraction(0))
        width = ball(NARROW) * judge.gamma**gamma * ball(top) * (iota / (2 * n)).sqrt()
        out.append((ball(judge.r_exact[k] + judge.gamma_exact * flow) + width).min(ball(top)))
    return out


def soft_error(judge: Judge, log_pi: list[Fraction], eta: Any) -> Fraction:
    """Bound on the rounding of a log-sum-exp of log pi + eta Q."""
    actions = max(len(pairs) for pairs in judge.pairs)
    size = max(abs(x) for x in log_pi) + Fraction(eta) * top_of(judge)
    return factors(actions + 16) * (1 + 3 * size)


def floats(x: Any) -> list[Fraction]:
    """Floats by their bits."""
    return [Fraction(v) for v in x.tolist()]


def around(values: Any, error: Any) -> list[Interval]:
    """Floats and all that is within an error of them."""
    return [Interval(x - error, x + error) for x in values]


@claim(
    "ravi-ucb:step",
    says=r"Q_{k+1} = \min\{r + \gamma \hat P_k V_k + b_k, \tfrac1{1-\gamma}\}, \quad V_{k+1} = \tfrac1\eta \log \sum_a \pi_k"
    r" e^{\eta Q_{k+1}}, \quad \log \pi_{k+1} = \log \pi_k + \eta (Q_{k+1} - V_{k+1})",
    where="the algorithm, recalled; tables and bonus are derived in docs/theory/exploration/ravi_ucb.md",
    kind="identity",
    mode="numeric",
    instances=SMALL,
    controls=[
        mutant("the uniform policy in place of the last one", anchor="uniform"),
        mutant("the hard maximum", anchor="hard"),
        mutant("the bonus without its discount", gamma=0),
        mutant("the logarithm without its union over counts", union=False),
        mutant("the epoch is not counted yet", late=True),
    ],
    survivors={"transposed P": "the learner never sees the law: it plans from its history, whichever law made it"},
    about=[RAVIUCB],
)
def step(
    mdp: Any,
    *,
    rng: Any = None,
    anchor: str = "last",
    gamma: int = 1,
    union: bool = True,
    late: bool = False,
    K: int = 8,
) -> Iterator[Row]:
    """The start, and after each epoch counts, action values, values and policy, from those before."""
    judge, exact = Judge(mdp), Exact.of(mdp)
    delta, top = Fraction(1, 2), top_of(judge)
    learner = RAVIUCB(eta=ETA, delta=delta, scale=NARROW)
    counts = Counts(exact, by_stage=False)
    eta = Fraction(float(ETA))
    before: Any = None
    last: Any = ([], [])
    for played in rounds(mdp, learner, K, rng):
        at, state = f"epoch {played.k}", played.state
        V, log_pi = floats(state.V), floats(state.log_pi)
        if before is None:
            yield all_equal(around(V, factors(4) * top), [top] * judge.S, f"{at}: V")
            yield all_equal(around(log_pi, factors(8) * judge.L), judge.log_uniform(), f"{at}: policy")
        else:
            old_V, old = before
            q = action_values(judge, counts, old_V, delta, gamma, union)
            planned = factors(judge.S + 24) * (1 + 3 * top)
            yield all_equal(around(floats(state.Q), planned), q, f"{at}: Q")
            error = soft_error(judge, old, eta)
            yield from _soft(judge, floats(state.Q), old, V, log_pi, eta, error, anchor, at)
        yield all_equal(
            around(floats(played.policy), factors(16)),
            [exp(x) for x in log_pi],
            f"{at}: policy played",
        )
        before = V, log_pi
        states, pairs, _ = played.history
        if late:
            states, pairs, last = *last, (states, pairs)
        counts.add(states, pairs)


def valued(judge: Judge, played: Any) -> Row:
    """That the value of a round is that of its policy."""
    pi = floats(played.policy)
    value = judge.exact_value(pi)
    error = solve_error(top_of(judge), judge.S, value, judge.exact_mean(pi, judge.r_exact))
    return near(played.value, judge.exact_objective(value), 2 * error, f"epoch {played.k}: value")


def _soft(
    judge: Judge, q: Any, old: Any, V: Any, log_pi: Any, eta: Any, error: Any, anchor: str, at: str
) -> Iterator[Row]:
    """The values and the policy of a step from action values as they are."""
    base = [ball(x) for x in (judge.log_uniform() if anchor == "uniform" else old)]
    x = [b + ball(eta) * ball(y) for b, y in zip(base, q, strict=True)]
    soft = [log_sum_exp([x[k] for k in pairs]) for pairs in judge.pairs]
    values = [y / ball(eta) for y in soft]
    if anchor == "hard":
        values = [largest(ball(q[k]) for k in pairs) for pairs in judge.pairs]
    yield all_equal(around(V, error / eta + factors(2) * top_of(judge)), values, f"{at}: V")
    moved = [b + ball(eta) * (ball(q[k]) - values[judge.state[k]]) for k, b in enumerate(base)]
    yield all_equal(around(log_pi, 2 * error), moved, f"{at}: log pi")


def _hard(log_pi: Any, q: Any, eta: Any, pair_ptr: Any) -> Any:
    """A hard maximum as the value."""
    _, after = softmax.mirror_backup(log_pi, q, eta, pair_ptr)
    V = [largest(q[i:j]) for i, j in pairwise(pair_ptr)]
    return array(V), after


def _plain(log_pi: Any, q: Any, eta: Any, pair_ptr: Any) -> Any:
    """Soft value iteration, always from the uniform policy."""
    uniform = array([-log(int(j - i)) for i, j in pairwise(pair_ptr) for _ in range(i, j)])
    return softmax.mirror_backup(uniform, q, eta, pair_ptr)


def _mean(new: bool) -> Any:
    """The mean under the policy before or after the step as the value."""

    def mean(log_pi: Any, q: Any, eta: Any, pair_ptr: Any) -> Any:
        _, after = softmax.mirror_backup(log_pi, q, eta, pair_ptr)
        pi = [exp(x) for x in (after if new else log_pi)]
        V = [sum((pi[k] * q[k] for k in range(i, j)), ball(0)) for i, j in pairwise(pair_ptr)]
        return array(V), after

    return mean


_old, _new = _mean(False), _mean(True)


def comparator(judge: Judge, rng: Any) -> list[Fraction]:
    """A policy with random rational probabilities."""
    out: list[Fraction] = []
    for pairs in judge.pairs:
        weights = [int(rng.integers(1, 9)) for _ in pairs]
        out += [Fraction(w, sum(weights)) for w in weights]
    return out


def divergence(judge: Judge, d: Any, pi: Any, log_pi: Any) -> Any:
    """The mean over d of KL(pi || pi_k)."""
    return sum(
        (d[judge.state[k]] * ball(p) * (log(p) - ball(log_pi[k])) for k, p in enumerate(pi)),
        ball(0),
    )


@claim(
    "ravi-ucb:telescoping",
    says=r"V^\pi(\rho) - \frac1K \sum_{k<K} V_k(\rho) = \frac{\langle d, V_K - V_0 \rangle + (D_0 - D_K)/\eta - \sum_{k \le K}"
    r" \langle \mu, e_k \rangle}{(1-\gamma) K}, \quad e_{k+1} = Q_{k+1} - r - \gamma P V_k, \quad D_k = \langle d,"
    r" \mathrm{KL}(\pi \| \pi_k) \rangle",
    where="derived in docs/theory/exploration/ravi_ucb.md",
    kind="identity",
    mode="numeric",
    instances=SMALL,
    controls=[
        mutant("the hard maximum", backup=_hard),
        mutant("soft values from the uniform policy", backup=_plain),
        mutant("the mean under the policy before", backup=_old),
        mutant("the mean under the policy after", backup=_new),
        mutant("bonuses left out", excess=0),
    ],
    survivors={
        "off by one in k": "the identity holds from any epoch on, with that epoch's values and policy as the first",
        "dropped bonus": "the identity holds for whatever bonus, which is computed from the action values",
        "stale values": "the identity holds for whatever action values; ravi-ucb:step says what they are",
        "transposed P": "the identity holds for whatever model is estimated; ravi-ucb:step says which",
        "rewards of the next pair": "the identity holds for whatever action values; ravi-ucb:step says what they are",
        "discount (1+γ)/2": "the identity holds for whatever action values; ravi-ucb:step says what they are",
    },
    about=[RAVIUCB],
)
def telescoping(
    mdp: Any, *, rng: Any = None, backup: Any = softmax.mirror_backup, excess: int = 1, K: int = 12
) -> Iterator[Row]:
    """For any comparator: with the true model in balls, without bonus; and for the learner's own epochs."""
    judge = Judge(mdp)
    pi = comparator(judge, rng)
    d = judge.occupancy(pi)
    worth = judge.objective(judge.value(pi))
    V, log_pi = balls([Fraction(1, 3)] * judge.S), array(judge.log_uniform())
    first, start = list(V), divergence(judge, d, pi, log_pi)
    mean = ball(0)
    for k in range(K):
        mean = mean + judge.objective(list(V)) / K
        V, log_pi = call(backup, log_pi, balls(judge.q(list(V))), ball(ETA), mdp.pair_ptr)
        if k == 0:
            gap = (_along(d, V, first) + (start - divergence(judge, d, pi, log_pi)) / ball(ETA)) / (1 - judge.gamma)
            yield equal(worth - mean * K, gap, "true model, K=1")
    gap = _along(d, V, first) + (start - divergence(judge, d, pi, log_pi)) / ball(ETA)
    yield equal(worth - mean, gap / ((1 - judge.gamma) * K), f"true model, K={K}")

    learner = RAVIUCB(eta=ETA, delta=Fraction(1, 2), scale=NARROW)
    eta = Fraction(float(ETA))
    mean, extra, error, before = ball(0), ball(0), Fraction(0), None
    first = start = None
    for played in rounds(mdp, learner, K + 1, rng):
        V, log_pi = floats(played.state.V), floats(played.state.log_pi)
        if before is None:
            first, start = V, divergence(judge, d, pi, log_pi)
        else:
            q = [ball(x) for x in floats(played.state.Q)]
            e = [x - y for x, y in zip(q, judge.q(before[0]), strict=True)]
            extra = extra + sum((d[judge.state[k]] * ball(p) * e[k] for k, p in enumerate(pi)), ball(0))
            # The step holds up to its rounding, in values and in logarithms.
            error += 3 * soft_error(judge, before[1], eta) / eta + factors(2) * top_of(judge)
        if played.k < K:
            mean = mean + judge.objective(V) / K
        before = V, log_pi
    assert before is not None
    gap = _along(d, before[0], first) + (start - divergence(judge, d, pi, before[1])) / ball(eta) - excess * extra
    gap = gap / ((1 - judge.gamma) * K)
    off = error / ((1 - judge.gamma_exact) * K)
    yield equal(worth - mean, gap + ball(0) + _ball_of(off), f"the learner, K={K}")


def _ball_of(radius: Any) -> Any:
    zero = ball(0)
    return type(zero)(0, float(radius) * (1 + 1e-9))


def _along(d: Any, V: Any, first: Any) -> Any:
    return sum((x * (ball(v) - ball(w)) for x, v, w in zip(d, V, first, strict=True)), ball(0))


@claim(
    "ravi-ucb:softness",
    says=r"0 \le V_{k+1} - \langle \pi_k, Q_{k+1} \rangle \le \tfrac{\eta}{8 (1-\gamma)^2}",
    where="Hoeffding's lemma; derived in docs/theory/exploration/ravi_ucb.md",
    kind="upper",
    mode="numeric",
    instances=SMALL,
    controls=[
        mutant("a sixteenth", part=16),
        mutant("the hard maximum", backup=_hard),
        mutant("the mean under the policy after", backup=_new),
    ],
    about=[RAVIUCB],
)
def softness(
    mdp: Any, *, rng: Any = None, part: int = 8, backup: Any = softmax.mirror_backup, K: int = 8
) -> Iterator[Row]:
    """The soft value lies above the mean of the action values, by no more than their range allows."""
    judge = Judge(mdp)
    top = top_of(judge)
    # Two actions of the least and the largest value: for a small step the bound is attained in the limit.
    for eta in (Fraction(1, 100), Fraction(1)):
        ends = balls([Fraction(0), top])
        V, _ = call(backup, balls([-log(2)] * 2), ends, ball(eta), np.array([0, 2]))
        gap = V[0] - ball(top) / 2
        yield leq(0, gap, f"two ends, eta={eta}")
        yield leq(gap, eta * top**2 / part, f"two ends, eta={eta}", k=float(1 / eta), series="two ends")
    for number in range(K):
        eta = Fraction(1, 2) ** (number % 4)
        pi = comparator(judge, rng)
        q = [top * Fraction(int(rng.integers(0, 101)), 100) for _ in pi]
        V, _ = call(backup, balls([log(p) for p in pi]), balls(q), ball(eta), mdp.pair_ptr)
        gaps = [v - m for v, m in zip(V, judge.mean(pi, q), strict=True)]
        # Where all action values of a state are the same, the gap is zero.
        apart = [gap for gap, pairs in zip(gaps, judge.pairs, strict=True) if len({q[k] for k in pairs}) > 1]
        yield all_leq([0] * len(apart), apart, f"draw {number}") if apart else fact(True, f"draw {number}")
        yield all_leq(gaps, [ball(eta * top**2 / part)] * judge.S, f"draw {number}")


def _runs(level: Any, rng: Any) -> Iterator[Case]:
    yield from discounted(sizes=((2, 2), (3, 2)), gammas=(Fraction(1, 2),), fast=2, full=5, rho="first")(level, rng)
    yield from ragged(fast=0, full=1)(level, rng)


@claim(
    "ravi-ucb:optimism-on-average",
    says=r"Q_{k+1} \ge r + \gamma P V_k, \quad V^*(\rho) - \frac1K \sum_{k<K} V_k(\rho) \le \frac{\ln A}{\eta (1-\gamma) K}"
    r" \quad \text{for all } k < K \text{ and all } K \text{ together with probability } 1 - \delta",
    where="derived in docs/theory/exploration/ravi_ucb.md; optimism on average is the paper's idea, recalled",
    kind="upper",
    mode="statistical",
    instances=_runs,
    controls=[
        mutant("no bonus", scale=0),
        mutant("a fiftieth of the bonus", scale=Fraction(1, 50)),
    ],
    survivors={
        "off by one in k": "an epoch that was never seen leaves fewer counts, which are as valid",
        "stale values": "values of the epoch before are larger",
        **dict.fromkeys(
            ["η → 2η", "η → η/2"],
            "the bonuses leave more room than the step size takes; ravi-ucb:step says what is done",
        ),
    },
    delta=1e-3,
    about=[RAVIUCB],
)
def optimism_on_average(
    mdp: Any, *, rng: Any = None, delta: float = 1e-3, scale: Any = 1, K: int = 120
) -> Iterator[Row]:
    """No backup is missed from below in any epoch, so that the mean of the values is nearly optimistic."""
    judge = Judge(mdp)
    best = judge.objective(judge.optimal)
    top = top_of(judge)
    actions = max(len(pairs) for pairs in judge.pairs)
    learner = RAVIUCB(eta=ETA, delta=delta, scale=scale)
    planned = factors(judge.S + 24) * (1 + 3 * top)
    before: Any = None
    mean, error = Fraction(0), Fraction(0)
    for played in rounds(mdp, learner, K, rng):
        V = floats(played.state.V)
        if before is not None:
            q = floats(played.state.Q)
            yield all_leq(judge.exact_q(before[0]), [x + planned for x in q], f"epoch {played.k}: Q")
            error += soft_error(judge, before[1], ETA) * 3 / ETA + factors(2) * top + planned
        before = V, floats(played.state.log_pi)
        mean += judge.exact_objective(V)
        n = played.k + 1
        if n % 8 == 1:
            yield valued(judge, played)
        if n % 5 == 0:
            bound = log(actions) / (ball(Fraction(float(ETA))) * (1 - judge.gamma)) + ball(error) / (1 - judge.gamma)
            yield leq(best - ball(mean) / n, bound / n, f"K={n}")


def _run(mdp: Any, scale: Fraction, K: int, rng: Any) -> Iterator[Any]:
    yield from rounds(mdp, RAVIUCB(eta=ETA, delta=Fraction(1, 2), scale=scale), K, rng)


@claim(
    "ravi-ucb:regret-decomposition",
    says=r"(1-\gamma)(V_k - V^{\pi_k})(\rho) = \langle d_k, V_k - V_{k+1} \rangle + \langle d_k, V_{k+1} - \langle \pi_k,"
    r" Q_{k+1} \rangle \rangle + \langle \mu_k, e_{k+1} \rangle, \quad \sum_{k<K} (V^* - V^{\pi_k})(\rho)"
    r" \le \frac{1}{1-\gamma} \Bigl[ \frac{\ln A}{\eta} + \frac{K \eta}{8 (1-\gamma)^2}"
    r" + \sum_{k<K} \langle d_k, V_k - V_{k+1} \rangle + \langle"
    r" \mu_k, e_{k+1} \rangle \Bigr]",
    where="derived in docs/theory/exploration/ravi_ucb.md",
    kind="upper",
    mode="numeric",
    instances=SMALL,
    controls=[
        mutant("visits of another policy", other=True),
        mutant("bonuses left out", excess=0),
    ],
    survivors={
        "off by one in k": "the bound holds from any epoch on",
        **dict.fromkeys(
            ["dropped bonus", "stale values", "η → 2η", "η → η/2"],
            "the identity holds for whatever action values and steps; ravi-ucb:step says what they are",
        ),
    },
    about=[RAVIUCB],
    domain="runs in which no backup is missed from below",
)
def regret_decomposition(
    mdp: Any, *, rng: Any = None, other: bool = False, excess: int = 1, K: int = 12
) -> Iterator[Row]:
    """What an epoch loses is what its own visits see of the values' change, the softness and the bonuses."""
    judge = Judge(mdp)
    top, gamma = top_of(judge), judge.gamma_exact
    eta = Fraction(float(ETA))
    best = judge.objective(judge.optimal)
    actions = max(len(pairs) for pairs in judge.pairs)
    rho = judge.rho_exact
    before: Any = None
    lost, seen, error, sound = ball(0), ball(0), Fraction(0), True
    runs = ((scale, played) for scale in (Fraction(1), NARROW) for played in _run(mdp, scale, K + 1, rng))
    for scale, played in runs:
        if played.k == 0:
            before, lost, seen, error, sound = None, ball(0), ball(0), Fraction(0), True
        V, q, log_pi = (floats(getattr(played.state, name)) for name in ("V", "Q", "log_pi"))
        if before is not None:
            old_V, pi, value, old_log = before
            shown = judge.uniform() if other else pi
            d = [(1 - gamma) * x for x in judge.exact_visits(shown)]
            e = [x - y for x, y in zip(q, judge.exact_q(old_V), strict=True)]
            sound = sound and min(e) >= -factors(judge.S + 24) * (1 + 3 * top)
            change = sum((x * (v - w) for x, v, w in zip(d, old_V, V, strict=True)), Fraction(0))
            mean = judge.exact_mean(pi, q)
            soft = sum((x * (v - m) for x, v, m in zip(d, V, mean, strict=True)), Fraction(0))
            bonus = sum((d[judge.state[k]] * pi[k] * e[k] for k in range(judge.L)), Fraction(0))
            at = f"scale {scale}, epoch {played.k - 1}"
            gap = sum((p * (v - w) for p, v, w in zip(rho, old_V, value, strict=True)), Fraction(0))
            # Probabilities that do not sum to one in floats let value and reward leak.
            leak = factors(2 * actions + 24) * (1 + max(abs(x) for x in old_log)) * 4 * top
            yield equal(
                Interval((1 - gamma) * gap - leak, (1 - gamma) * gap + leak), change + soft + excess * bonus, at
            )
            error += leak + 3 * soft_error(judge, old_log, eta) / eta
            seen = seen + ball(change + excess * bonus)
            if sound:
                lost = lost + best - ball(sum((p * v for p, v in zip(rho, value, strict=True)), Fraction(0)))
                n = played.k
                total = log(actions) / ball(eta) + ball(n * eta * top**2 / 8 + error) + seen
                yield leq(lost, total / (1 - judge.gamma), f"scale {scale}, K={n}", k=n)
        pi = floats(played.policy)
        value = judge.exact_value(pi)
        yield valued(judge, played)
        before = V, pi, value, log_pi
