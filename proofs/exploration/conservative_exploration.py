r"""Claims of conservative exploration: what is planned, that no episode is worth too little, and what caution costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Interval, Row, all_equal, all_leq, claim, equal, fact, leq, mutant
from mdpkit.claims.claim import Case
from mdpkit.claims.exact import Exact
from mdpkit.claims.judge import ball, log
from mdpkit.claims.learning import Counts, episodic, initial, law_of, staged, value_error, value_of
from mdpkit.claims.rounding import factors, near
from mdpkit.claims.trial import call, play, rounds
from mdpkit.kernels import conservative
from mdpkit.models.criterion import FiniteHorizon
from mdpkit.models.mdp import MDP
from mdpkit.solvers.exploration.conservative_exploration import EpsMix, StepMix

KINDS: Any = (StepMix, EpsMix)


def coins(heads: list[Fraction], H: int = 2) -> MDP:
    """A state whose actions lead to a state that pays with these probabilities, else to one that pays little; and back."""
    A = len(heads)
    P = [[Fraction(0), p, 1 - p] for p in heads] + [[Fraction(1), Fraction(0), Fraction(0)]] * 2
    r = [Fraction(0)] * A + [Fraction(1), Fraction(1, 20)]
    return MDP(
        np.array(P, dtype=object),
        np.array(r, dtype=object),
        FiniteHorizon(H),
        state=[0] * A + [1, 2],
        action=[*range(A), 0, 0],
        rho=0,
    )


def small(level: Any, rng: Any) -> Iterator[Case]:
    """Coins, and problems of episodes with laws by stage."""
    yield Case("coins 3/5, 19/20, H=4", coins([Fraction(3, 5), Fraction(19, 20)], 4))
    yield from episodic(fast=1, full=3, by_stage=True)(level, rng)


def first_pairs(exact: Exact) -> tuple[int, ...]:
    """The baseline: the first pair of each state."""
    return tuple(pairs[0] for pairs in exact.pairs)


def baseline_law(exact: Exact) -> list[list[Fraction]]:
    """The baseline as laws of stages."""
    assert exact.H is not None
    return law_of(exact, [list(first_pairs(exact))] * exact.H)


def baseline_value(exact: Exact) -> Fraction:
    """What the baseline is worth."""
    return value_of(exact, np.array([first_pairs(exact)] * (exact.H or 0)))


def iota_of(exact: Exact, K: int, delta: Any, balls: int = 1) -> Any:
    """The logarithm in the bonus."""
    assert exact.H is not None
    return balls * exact.S * log(2) + log(ball(Fraction(exact.H * exact.L * K) / Fraction(delta)))


def width(exact: Exact, counts: Counts, k: int, h: int, iota: Any, scale: Any = 1) -> Any:
    """The bonus; None where a pair was never taken."""
    assert exact.H is not None
    n = counts.n(k, h)
    return None if not n else ball(scale) * (exact.H - 1 - h) * (ball(iota) / (2 * n)).sqrt()


def backed_up(exact: Exact, counts: Counts, iota: Any, scale: Any, sign: int, law: Any = None) -> list[list[Any]]:
    """Values of all stages, and of its pairs: optimistic (sign 1), or a policy's from below (sign -1; 0 without bonus)."""
    assert exact.H is not None
    V: list[list[Any]] = [[ball(0)] * exact.S]
    pairs: list[list[Any]] = []
    for h in range(exact.H - 1, -1, -1):
        rest = exact.H - 1 - h
        q: list[Any] = []
        for k in range(exact.L):
            r = exact.r[k + h * exact.L if len(exact.r) > exact.L else k]
            b = width(exact, counts, k, h, iota, scale)
            if b is None:
                value = ball(rest if sign > 0 else 0)
            else:
                flow: Any = sum((ball(p) * V[0][t] for t, p in counts.law(k, h).items()), ball(0))
                value = (flow + b).min(ball(rest)) if sign > 0 else (flow + sign * b).max(ball(0))
            q.append(ball(r) + value)
        pairs.insert(0, q)
        if law is None:
            V.insert(0, [_largest([q[k] for k in each]) for each in exact.pairs])
        else:
            V.insert(0, [sum((ball(law[h][k]) * q[k] for k in each if law[h][k]), ball(0)) for each in exact.pairs])
    return [*V, *pairs]


def _largest(values: list[Any]) -> Any:
    out = values[0]
    for x in values[1:]:
        out = out.max(x)
    return out


def rounding(exact: Exact) -> Fraction:
    """How far planned values may be off in floats: S + 20 factors and a mean over pairs, of at most 2H, in each stage.

    Where a width is larger than what can be had, both sides are cut.
    """
    actions = max(len(pairs) for pairs in exact.pairs)
    H = exact.H or 0
    return 2 * (H + 1) * H * factors(exact.S + 3 * actions + 20)


def start(exact: Exact, V: Any) -> Any:
    """The mean over the initial law as a ball."""
    return sum((ball(Fraction(p)) * v for p, v in zip(exact.mdp.rho_exact.tolist(), V, strict=True) if p), ball(0))


def candidate(baseline: Any, greedy: Any, h: int, last: bool = False) -> list[list[Fraction]]:
    """The baseline on the first h stages, the greedy policy on the others."""
    n = len(greedy)
    return [baseline[i] if (i >= n - h if last else i < h) else greedy[i] for i in range(n)]


@claim(
    "stepmix:plan",
    says=r"\bar Q = r + \min\{\hat P \bar V + b, H-1-h\}, \quad \underline V^\pi = \langle \pi, r + \max\{\hat P \underline"
    r" V^\pi - b, 0\} \rangle, \quad \rho \underline V(\pi^{(h)}) + (1 - \rho) \underline V(\pi^{(h-1)}) = \gamma_0",
    where="Algorithm 1, recalled, with a bonus and an order of the candidates that are derived here",
    kind="identity",
    mode="numeric",
    instances=small,
    controls=[
        mutant("lower bounds without their bonus", sign=0),
        mutant("the logarithm without the ball", balls=0),
        mutant("the baseline on the last stages", last=True),
        mutant("neighbors mixed the wrong way round", swapped=True),
    ],
    survivors={"transposed P": "the learner never sees the law: it plans from its history, whichever law made it"},
    about=[StepMix, EpsMix],
)
def plan(
    mdp: Any, *, rng: Any = None, sign: int = -1, balls: int = 1, last: bool = False, swapped: bool = False, K: int = 9
) -> Iterator[Row]:
    """Counts, optimistic values, lower bounds of the candidates, the crossing, and the mixture are those of the algorithm."""
    exact = Exact.of(mdp)
    H = exact.H or 0
    by_stage = len(exact.P) > exact.L
    base = baseline_law(exact)
    scale, delta = Fraction(1, 20), Fraction(1, 2)
    worth = float(baseline_value(exact))
    iota = iota_of(exact, K, delta, balls)
    error = rounding(exact)
    for kind, share_of in ((StepMix, 0.5), (EpsMix, 0.5), (StepMix, 0.9)):
        learner = kind(first_pairs(exact), threshold=share_of * worth, delta=delta, scale=scale)
        threshold = Fraction(learner.threshold)
        counts = Counts(exact, by_stage=by_stage)
        for played in rounds(mdp, learner, K, rng):
            at = f"{kind.__name__}, threshold {share_of} of the baseline, episode {played.k}"
            found = backed_up(exact, counts, iota, scale, 1)
            V, q = found[: H + 1], found[H + 1 :]
            state = played.state
            yield all_equal(
                [v for row in V for v in row],
                [_around(Fraction(x), error) for row in state.V.tolist() for x in row],
                f"{at}: index",
            )
            choice = state.choice.tolist()
            for h in range(H):
                for s, pairs in enumerate(exact.pairs):
                    yield fact(choice[h][s] in pairs, at)
                    yield leq(V[h][s].lower(), q[h][choice[h][s]] + ball(2 * error), f"{at}: greedy")
            greedy = law_of(exact, choice)
            bounds = [None if math.isnan(x) else Fraction(x) for x in state.bounds.tolist()]
            for h, bound in enumerate(bounds):
                if bound is not None and (h + played.k) % 2 == 0:
                    below = backed_up(exact, counts, iota, scale, sign, candidate(base, greedy, h, last))
                    yield equal(_around(bound, error), start(exact, below[0]), f"{at}: bound of candidate {h}")
            yield from _mixture(kind is EpsMix, played, threshold, bounds, base, greedy, swapped, at)
            states, pairs_taken, _ = played.history
            counts.add(states, pairs_taken)


def _around(x: Any, error: Any) -> Any:
    return Interval(x - error, x + error)


def _mixture(
    whole: bool, played: Any, threshold: Fraction, bounds: Any, base: Any, greedy: Any, swapped: bool, at: str
) -> Iterator[Row]:
    """What is played follows from the bounds."""
    H = len(greedy)
    tried = [0, H] if whole else list(range(H + 1))
    place = next((i for i, h in enumerate(tried) if bounds[h] is None or bounds[h] >= threshold), None)
    small_error = factors(8)
    lower = Fraction(float(played.state.mixture[2]))
    if place is not None and bounds[tried[place]] is None:
        yield fact(False, f"{at}: a candidate was left out")
        return
    if place is None:
        share, first = Fraction(1), H - 1
        yield equal(lower, bounds[H], f"{at}: lower bound")
    elif place == 0:
        share, first = Fraction(0), 0
        yield equal(lower, bounds[0], f"{at}: lower bound")
    else:
        below, above = bounds[tried[place - 1]], bounds[tried[place]]
        share, first = (threshold - below) / (above - below), tried[place] - 1
        yield equal(lower, threshold, f"{at}: lower bound")
    if swapped and place:
        share = 1 - share
    if whole:
        (x, baseline), (y, other) = played.policy
        yield near(x, share, small_error, f"{at}: coin")
        yield near(y, 1 - share, small_error, f"{at}: coin")
        yield fact(np.array_equal(baseline, np.array(base, dtype=float)), f"{at}: baseline")
        yield fact(np.array_equal(other, played.state.choice), f"{at}: greedy")
        return
    policy = np.asarray(played.policy)
    if place == 0:
        yield fact(policy.dtype.kind in "iu" and np.array_equal(policy, played.state.choice), f"{at}: greedy")
        return
    expected = [
        [
            base[h][k] if h < first else greedy[h][k] if h > first else share * base[h][k] + (1 - share) * greedy[h][k]
            for k in range(len(base[h]))
        ]
        for h in range(H)
    ]
    yield all_equal(
        [_around(Fraction(x), small_error) for row in policy.tolist() for x in row],
        [x for row in expected for x in row],
        f"{at}: mixture",
    )


def _everywhere(baseline: Any, greedy: Any, first: int, share: Any) -> Any:
    """Both policies mixed in all stages in which the candidate does not follow the baseline."""
    out = greedy.copy()
    out[:first] = baseline[:first]
    out[first:] = share * baseline[first:] + (1 - share) * greedy[first:]
    return out


def _later(baseline: Any, greedy: Any, first: int, share: Any) -> Any:
    """Mixed one stage too late."""
    return conservative.mixed(baseline, greedy, min(first + 1, len(greedy) - 1), share)


@claim(
    "stepmix:one-stage",
    says=r"V(\rho\text{-mixture at stage } h-1) = \rho V(\pi^{(h)}) + (1-\rho) V(\pi^{(h-1)})",
    where="the design of the paper, recalled from its abstract; derived in docs/theory/exploration/conservative.md",
    kind="identity",
    mode="exact",
    instances=episodic(fast=2, full=6, by_stage=True),
    controls=[
        mutant("mixed in all stages", mix=_everywhere),
        mutant("mixed one stage too late", mix=_later),
    ],
    about=[StepMix],
)
def one_stage(mdp: Any, *, rng: Any = None, mix: Any = conservative.mixed) -> Iterator[Row]:
    """Neighbors differ in one stage, and the value of a mixture in one stage is the mixture of the values."""
    exact = Exact.of(mdp)
    H = exact.H or 0
    for share in (Fraction(1, 3), Fraction(5, 7)):
        laws: list[Any] = []
        for _ in range(2):
            table = np.empty((H, exact.L), dtype=object)
            for h in range(H):
                for pairs in exact.pairs:
                    weights = [Fraction(int(rng.integers(1, 9))) for _ in pairs]
                    for k, w in zip(pairs, weights, strict=True):
                        table[h, k] = w / sum(weights)
            laws.append(table)
        base, greedy = laws
        for h in range(H):
            policy = call(mix, base, greedy, h, share)
            both = [value_of(exact, np.array(candidate(base, greedy, j), dtype=object)) for j in (h + 1, h)]
            at = f"share {share}, stage {h}"
            yield equal(value_of(exact, policy), share * both[0] + (1 - share) * both[1], at)
            yield all_equal(policy[:h], base[:h], at) if h else fact(True, at)
            if h + 1 < H:
                yield all_equal(policy[h + 1 :], greedy[h + 1 :], at)


class Hopeful(StepMix):
    """Lower bounds with the bonus of upper ones."""

    def _plan(self, state: Any) -> Any:
        true = state
        after = super()._plan(true)
        exactly = conservative.one_step(
            true.view.r, true.model, np.where(true.visits > 0, np.inf, 0), true.view.pair_ptr, true.view.rho, after.choice,
            true.baseline, float(self.threshold), iota=1.0,
        )  # fmt: skip
        return after._replace(
            bounds=exactly.bounds, mixture=np.array([exactly.first, exactly.share, exactly.lower], dtype=float)
        )

    def loop(self, *arguments: Any) -> Any:
        """None is compiled."""
        return None


def _risky(level: Any, rng: Any) -> Iterator[Case]:
    """Problems, and whether all learners are played by their methods for as long as the first one is."""
    whole = level == "full"
    yield Case("coins 3/5, 1/10, 19/20", (coins([Fraction(3, 5), Fraction(1, 10), Fraction(19, 20)]), 110, whole))
    case = coins([Fraction(1, 2), Fraction(1, 20), Fraction(3, 5)], 3)
    yield Case("coins 1/2, 1/20, 3/5, H=3", (case, 110 if whole else 12, whole))
    if whole:
        for each in episodic(fast=1, full=4)(level, rng):
            yield Case(each.name, (each.problem, 110, True))


@claim(
    "stepmix:safe",
    says=r"V^{\pi_k}_1 \ge \gamma_0, \quad \underline V(\pi_k) \le V^{\pi_k}_1, \quad \bar V^k \ge V^* \quad"
    r" \text{for all } k \le K \text{ together with probability } 1 - \delta",
    where="the abstract's guarantee [seen]; this bonus and its proof are derived in docs/theory/exploration/conservative.md",
    kind="upper",
    mode="statistical",
    instances=_risky,
    controls=[
        mutant("a tenth of the bonus", scale=Fraction(1, 10), most=9),
        mutant("lower bounds without their bonus", kinds=(Hopeful,)),
        mutant("no threshold", ignored=True, most=9),
    ],
    survivors={
        "off by one in k": "an episode that was never seen leaves fewer counts, which are as valid",
        "stale values": "the values of a stage nearer to the end are lower bounds too; stepmix:plan says what is planned",
    },
    delta=1e-3,
    about=[StepMix, EpsMix],
    domain="baselines worth at least the threshold",
)
def safe(
    problem: Any,
    *,
    rng: Any = None,
    delta: float = 1e-3,
    scale: Any = 1,
    kinds: Any = KINDS,
    ignored: bool = False,
    most: int = 110,
    long: int = 2200,
) -> Iterator[Row]:
    """No episode is worth less than the threshold, no bound lies on the wrong side, in any episode of any run."""
    mdp, K, whole = problem
    K = min(K, most)
    exact = Exact.of(mdp)
    base = first_pairs(exact)
    worth = baseline_value(exact)
    best = initial(exact, exact.horizon()[0])
    each = delta / (4 * len(KINDS))
    error, planned = value_error(exact), rounding(exact)
    for share in (Fraction(9, 10), Fraction(1, 4)):
        for kind in kinds:
            threshold = float(share * worth)
            learner = kind(base, threshold=-1.0 if ignored else threshold, delta=each, scale=scale)
            at = f"{kind.__name__}, threshold {share} of the baseline"
            values: list[Fraction] = []
            bounds: list[Fraction] = []
            index: list[Fraction] = []
            n = K if whole or (issubclass(kind, StepMix) and share > Fraction(1, 2)) else 9
            for played in rounds(mdp, learner, n, rng):
                values.append(Fraction(played.value))
                notes = learner.notes(played.state)
                index.append(Fraction(notes[0]))
                bounds.append(Fraction(notes[1]))
                if played.k % 16 == 0:
                    yield near(played.value, value_of(exact, played.policy), error, f"{at}, episode {played.k}")
            yield all_leq([Fraction(threshold) - error] * n, values, f"{at}: value")
            if not ignored:
                yield all_leq([x - error - planned for x in bounds], values, f"{at}: lower bound")
            yield all_leq([best - planned] * n, index, f"{at}: index")
            if kind is Hopeful:
                continue
            # The compiled loop goes on for longer.
            run = play(mdp, learner, long, rng, keep=False, compiled=True)
            yield leq(Fraction(threshold) - error, float(np.min(run.values)), f"{at}: value, compiled")
            if not ignored:
                k = int(np.argmax(run.series["lower"] - run.values))
                lower = Fraction(float(run.series["lower"][k])) - error - planned
                yield leq(lower, float(run.values[k]), f"{at}: lower bound, compiled, episode {k}")
            yield leq(best - planned, float(np.min(run.series["index"])), f"{at}: index, compiled")


def _coins(level: Any, rng: Any) -> Iterator[Case]:
    yield Case("coins 3/5, 1/10, 19/20", coins([Fraction(3, 5), Fraction(1, 10), Fraction(19, 20)]))
    yield Case("coins 1/2, 3/5, H=3", coins([Fraction(1, 2), Fraction(3, 5)], 3))
    if level == "full":
        yield Case("coins 3/5, 13/20", coins([Fraction(3, 5), Fraction(13, 20)]))
        yield from episodic(fast=0, full=3)(level, rng)


@claim(
    "stepmix:caution-explores",
    says=r"\tfrac{\kappa}{4} \le W(\pi_k) \text{ unless } \pi_k = \bar\pi_k, \qquad V^* - V^{\pi_k} \le W(\pi_k) + \Delta_0"
    r" 1\{\pi_k \ne \bar\pi_k\}, \qquad W(\pi) = \mathbb{E}_\pi \sum_h \min\{2 b_h, H-1-h\}",
    where="derived in docs/theory/exploration/conservative.md, Lemma 3",
    kind="upper",
    mode="numeric",
    instances=_coins,
    controls=[
        mutant("a tenth of the widths", widths=Fraction(1, 10)),
        mutant("the loss without what is explored", explored=0),
    ],
    about=[StepMix, EpsMix],
    domain="runs in which all empirical laws are within their distance",
)
def caution_explores(
    mdp: Any, *, rng: Any = None, widths: Any = 1, explored: int = 1, K: int = 180, delta: Any = Fraction(1, 2)
) -> Iterator[Row]:
    """Whenever the baseline has a part in an episode, the episode sees wide bonuses: caution ends."""
    exact = Exact.of(mdp)
    base = first_pairs(exact)
    by_stage, H = len(exact.P) > exact.L, exact.H or 0
    iota = iota_of(exact, K, delta)
    V_star = initial(exact, exact.horizon()[0])
    worth = baseline_value(exact)
    error = value_error(exact) + rounding(exact)
    for kind in KINDS:
        threshold = float(worth / 8)
        kappa = worth - Fraction(threshold)
        learner = kind(base, threshold=threshold, delta=delta)
        counts = Counts(exact, by_stage=by_stage)
        for played in rounds(mdp, learner, K, rng):
            first, share, _ = played.state.mixture.tolist()
            cautious = bool(first or share)
            if played.k % 9 == 0 or (cautious and share not in (0.0, 1.0)):
                if not _within(exact, counts, iota):
                    return
                at = f"{kind.__name__}, episode {played.k}"
                index = backed_up(exact, counts, iota, 1, 1)[0]
                yield equal(
                    _around(Fraction(learner.notes(played.state)[0]), error), start(exact, index), f"{at}: index"
                )
                yield near(played.value, value_of(exact, played.policy), error, f"{at}: value")
                seen = [
                    [_cut(width(exact, counts, k, h, iota, 2 * widths), H - 1 - h) for k in range(exact.L)]
                    for h in range(H)
                ]
                parts = played.policy if isinstance(played.policy, list) else [(1.0, played.policy)]
                W = sum((ball(Fraction(w)) * _visited(exact, part_, seen) for w, part_ in parts), ball(0))
                if cautious:
                    yield leq(ball((kappa - error) / 4), W, f"{at}: part", k=played.k + 1)
                lost = V_star - value_of(exact, played.policy)
                yield leq(ball(lost - error), explored * W + ball(V_star - worth if cautious else 0), f"{at}: loss")
            states, pairs_taken, _ = played.history
            counts.add(states, pairs_taken)


def _cut(b: Any, rest: int) -> Any:
    return ball(rest) if b is None else b.min(ball(rest))


def _within(exact: Exact, counts: Counts, iota: Any) -> bool:
    """Whether every empirical law is within its distance of the true one."""
    many = len(exact.P) > exact.L
    for h in range(exact.H or 0):
        for k in range(exact.L):
            n, law = counts.n(k, h), counts.law(k, h)
            true = exact.P[k + h * exact.L if many else k]
            apart = sum((abs(law.get(t, 0) - true.get(t, 0)) for t in {*law, *true}), Fraction(0))
            if n and not ball(apart) <= (2 * iota / n).sqrt():
                return False
        if not counts.by_stage:
            break
    return True


def _visited(exact: Exact, policy: Any, seen: Any) -> Any:
    """The expected sum of what is seen on the way of a policy."""
    law, V = law_of(exact, policy), [ball(0)] * exact.S
    for h in range(len(law) - 1, -1, -1):
        q = [seen[h][k] + exact_row(exact, k, V, h) for k in range(exact.L)]
        V = [sum((ball(law[h][k]) * q[k] for k in pairs if law[h][k]), ball(0)) for pairs in exact.pairs]
    return start(exact, V)


def exact_row(exact: Exact, k: int, V: Any, h: int) -> Any:
    """The expectation of balls after a pair."""
    P = exact.P[k + h * exact.L if len(exact.P) > exact.L else k]
    return sum((ball(x) * V[t] for t, x in P.items()), ball(0))


def _long(level: Any, rng: Any) -> Iterator[Case]:
    yield Case("coins 3/5, 19/20", coins([Fraction(3, 5), Fraction(19, 20)]))
    if level == "full":
        yield Case("laws by stage, H=2", staged(3, 2))
        yield Case("coins 3/5, 13/20, 1/10", coins([Fraction(3, 5), Fraction(13, 20), Fraction(1, 10)]))


@claim(
    "stepmix:regret",
    says=r"\sum_{k \le K} V^* - V^{\pi_k} \le B(K) + \Delta_0 \min\{m, K\}, \quad B(n) = a + c \sqrt n, \quad"
    r" m = \tfrac{4}{\kappa^2} (c + \sqrt{c^2 + \kappa a})^2",
    where="the abstract's order [seen]; bound and constants derived in docs/theory/exploration/conservative.md, Theorem 4",
    kind="upper",
    mode="statistical",
    instances=_long,
    controls=[
        mutant("only the price of caution", first=0.0, second=1e-3, K=20_000),
        mutant("never more than the baseline", wary=True, kinds=(StepMix,)),
    ],
    survivors={
        "dropped bonus": "faults reach the plan before the first episode alone, which has no counts; the loop is compiled"
    },
    delta=1e-3,
    about=[StepMix, EpsMix],
    caveat="the leading term is larger than the paper's by a root of S",
)
def regret(
    mdp: Any,
    *,
    rng: Any = None,
    delta: float = 1e-3,
    wary: bool = False,
    kinds: Any = KINDS,
    first: float = 1.0,
    second: float = 1.0,
    K: int = 320_000,
) -> Iterator[Row]:
    """The regret is that of exploring, and a price for caution that does not grow."""
    exact = Exact.of(mdp)
    H, L, S = exact.H or 0, exact.L, exact.S
    base = first_pairs(exact)
    worth = baseline_value(exact)
    best = initial(exact, exact.horizon()[0])
    # K is beyond the m episodes that caution may last, so that the baseline alone would lose more than the bound.
    threshold = float(worth / 10)
    kappa, missing = float(worth) - threshold, float(best - worth)
    small_delta = delta / (3 * len(KINDS))
    by_stage = len(exact.P) > exact.L
    capital = S * math.log(2) + math.log(H * L * K / small_delta)
    luck = H * (H - 1) / 2 * math.sqrt(math.log(K / small_delta) / 2)
    if by_stage:
        a, c = H * (H - 1) / 2 * L, H * (H - 1) * math.sqrt(2 * capital * L) + luck
    else:
        a, c = 2 * L * H * (H - 1), 4 * (H - 1) * math.sqrt(capital * L * H) + luck
    most = 4 / kappa**2 * (c + math.sqrt(c**2 + kappa * a)) ** 2
    for kind in kinds:
        learner = kind(base, threshold=float(H + 1) if wary else threshold, delta=small_delta)
        found = play(mdp, learner, 1, rng, keep=False, compiled=True).best
        yield near(found, best, value_error(exact), "best")
        if abs(float(found) - float(best)) > 1e-9:
            return
        run = play(mdp, learner, K, rng, keep=False, compiled=True)
        for n in np.unique(np.geomspace(100, K, 10).astype(int)).tolist():
            bound = first * (a + c * math.sqrt(n)) + second * missing * min(most, n)
            error = n * float(value_error(exact))
            at = f"{kind.__name__}, K={n}"
            yield leq(float(run.cumulative[n - 1]) + error, bound * (1 - 1e-12), at, k=n, series=kind.__name__)
