r"""Claims of best-of-both-worlds policy optimization."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

from mdpkit.claims import Interval, Rate, Row, all_equal, claim, equal, fact, leq, mutant, point
from mdpkit.claims.cases import drawn_once
from mdpkit.claims.claim import Case
from mdpkit.claims.exact import Exact
from mdpkit.claims.judge import ball, exp, log
from mdpkit.claims.learning import episodic, staged, value_error
from mdpkit.claims.losses import (
    at_start,
    best_fixed,
    drawn_law,
    losses_to_go,
    mean_at,
    objects,
    reached,
    row_of,
    start_of,
    totals,
    walks,
)
from mdpkit.claims.rounding import factors, near
from mdpkit.claims.statistics import bounded_mean
from mdpkit.claims.trial import call, play, rounds
from mdpkit.environment import Adversarial, Environment, switching
from mdpkit.kernels import occupancy_bounds, policy_optimization, potentials
from mdpkit.models.criterion import FiniteHorizon
from mdpkit.models.mdp import MDP
from mdpkit.solvers.exploration.best_of_both_worlds_policy_optimization import BestOfBothWorldsPolicyOptimization

F = Fraction
ZERO = F(0)
ENTROPIES = ("tsallis", "shannon", "barrier")
START, EXPLORE, RATE = 1, 2, F(1, 2)


def _tables(mdp: Any) -> Any:
    r = np.asarray(mdp.r, dtype=np.float64).reshape(-1, mdp.n_pairs)
    return np.stack([r, 1 - r, r / 2])


def _adversarial(mdp: Any) -> Any:
    return Adversarial(Environment(mdp, known=True), _tables(mdp))


def _pointers(exact: Exact) -> Any:
    return np.array([0, *(pairs[-1] + 1 for pairs in exact.pairs)])


def _law(exact: Exact, H: int) -> Any:
    n = H if len(exact.P) > exact.L else 1
    return objects(
        [[[row_of(exact, k, i).get(t, ZERO) for k in range(exact.L)] for t in range(exact.S)] for i in range(n)]
    )


def _fractions(x: Any) -> list[list[Fraction]]:
    return [[F(v) for v in row] for row in np.asarray(x).tolist()]


def _root(y: list[Fraction], power: int, steps: int) -> list[Any]:
    r"""Balls around :math:`p_a = (x + y_a)^{-n}` whose sum is one, by bisection; y is at least zero and somewhere zero."""
    low, high = F(1, 2), F(len(y) + 1)

    def total(x: Fraction) -> Fraction:
        return sum((1 / (x + v) ** power for v in y), ZERO)

    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if total(middle) > 1 else (low, middle)
    x = ball(low).union(ball(high))
    return [1 / (x + ball(v)) ** power for v in y]


def _leader(G: list[Fraction], rate: Fraction, entropy: str, steps: int = 60) -> list[Any]:
    r"""The leader of one state, by the judge: :math:`p = (\eta (G - x))^{-2}`, softmax, or :math:`(\eta (G - x))^{-1}`."""
    y = [rate * (g - min(G)) for g in G]
    if entropy == "shannon":
        weights = [exp(-ball(v)) for v in y]
        return [w / sum(weights, ball(0)) for w in weights]
    return _root(y, 2 if entropy == "tsallis" else 1, steps)


def _widened(x: Any, error: Any) -> Any:
    return x + type(ball(0))(0, float(error) * 1.01)


def _penalty(p: list[Any], entropy: str, logs: Any) -> Any:
    if entropy == "tsallis":
        return 2 * (sum((ball(x).sqrt() for x in p), ball(0)) - 1)
    if entropy == "shannon":
        return -sum((ball(x) * log(x) for x in p if x), ball(0))
    return len(p) * logs


def _noise(p: list[Any], entropy: str, small: bool) -> Any:
    c = [(4 if entropy == "tsallis" else 2) * (1 - ball(x)) if small else ball(1) for x in p]
    if entropy == "tsallis":
        return sum((w * ball(x).sqrt() for w, x in zip(c, p, strict=True)), ball(0))
    return sum(c, ball(0)) if entropy == "shannon" else sum((w * ball(x) for w, x in zip(c, p, strict=True)), ball(0))


def _learning(level: Any, rng: Any) -> Iterator[Case]:
    for case in episodic(fast=1, full=3, horizons=(2, 2, 3))(level, rng):
        for entropy in ENTROPIES:
            yield Case(f"{case.name}, {entropy}", (case.problem, entropy))
    yield Case("laws by stage, tsallis", (staged(int(rng.integers(10**6)), 3), "tsallis"))


def _iterates(
    mdp: Any,
    learner: Any,
    T: int,
    rng: Any,
    *,
    rate: Any,
    start: Any,
    explore: Any,
    factor: Any = 1,
    most: int = -1,
    late: int = 0,
    dilation: Any = None,
    floor: int = 1,
    half: int = 1,
) -> Iterator[Row]:
    """What the learner computes in each of T episodes, or in the first ones, from its constants.

    Rounding: an occupancy is off by H(L + 3) factors at most, and denominators are at least f times a probability. A leader's
    level is where Newton's method stands still: off by the error of its sum over the slope, which is at least the largest
    probability to the power 3/2 (2 for the barrier), so that probabilities are off by 8 A^2 times the factors of the sum, and
    by the error of the accumulated losses times 8.
    """
    exact, entropy = Exact.of(mdp), learner.entropy
    H, L, S = exact.H or 1, exact.L, exact.S
    A = max(len(pairs) for pairs in exact.pairs)
    dilation = 1 + F(1, H) if dilation is None else dilation
    a = factors(H * (L + 3) + S + 4)
    logs = log(T)
    tables = _tables(mdp)
    before = [[ZERO] * L for _ in range(H)]
    slack = [[ZERO] * L for _ in range(H)]
    inverse = [[ball(0)] * S for _ in range(H)]
    for played in rounds(mdp, learner, T, rng, wrap=_adversarial):
        t, state = played.k, played.state
        if t == most:
            return
        f = min(F(1), F(explore) / (t + 1))
        G, pi, rates = _fractions(state.total), _fractions(played.policy), _fractions(state.rate)
        change, upper = _fractions(state.change), _fractions(state.upper)
        mu = reached(exact, pi)
        states, pairs, rewards = played.history
        table = tables[t % len(tables)]
        bonus: list[list[Any]] = []
        for h in range(H):
            at, R, row = f"episode {t}, h={h}", H - h, list[Any]()
            yield all_equal(upper[h], [Interval(m - a, m + a) for m in mu[h]], f"{at}, occupancy")
            between = [Interval(x - e, x + e) for x, e in zip(before[h], slack[h], strict=True)]
            yield all_equal(G[h], between, f"{at}, accumulated")
            for s, own in enumerate(exact.pairs):
                wide = upper[h][s] + f
                old = inverse[h][s]
                inverse[h][s] = old + 1 / ball(wide)
                seen = old if late and t else inverse[h][s]
                base = ball(F(start)) + ball(F(rate) * H) * seen.sqrt()
                tiny = factors(4 * T + 16)
                yield equal(rates[h][s], _widened(half / base, tiny / F(start) * 2), f"{at}, s={s}, rate")
                step = ball(F(rate) * H) * (inverse[h][s].sqrt() - old.sqrt())
                yield equal(change[h][s], _widened(step, tiny * (4 * H * (T + 4))), f"{at}, s={s}, change of the rate")
                right = _leader([G[h][k] for k in own], rates[h][s], entropy)
                reach = rates[h][s] * (
                    max(G[h][k] for k in own) - min(G[h][k] for k in own) + max(abs(G[h][k]) for k in own)
                )
                error = factors(math.ceil(8 * A**2 * (A + 16) + 32 * (reach + 1)))
                yield all_equal([pi[h][k] for k in own], [_widened(x, error) for x in right], f"{at}, s={s}, leader")
                p = [pi[h][k] for k in own]
                small = 4 * R * rates[h][s] <= wide
                row.append(
                    ball(change[h][s]) * _penalty(p, entropy, logs)
                    + ball(rates[h][s] * R**2 / wide) * _noise(p, entropy, small)
                    + ball(R * f / wide)
                )
            bonus.append([ball(F(factor)) * b for b in row])
        after: list[Any] = [ball(0)] * S
        B: list[list[Any]] = []
        for h in range(H - 1, -1, -1):
            flow = [sum((ball(x) * after[u] for u, x in row_of(exact, k, h).items()), ball(0)) for k in range(L)]
            B.insert(0, [bonus[h][exact.state[k]] + ball(dilation) * flow[k] for k in range(L)])
            after = [sum((ball(pi[h][k]) * B[0][k] for k in own), ball(0)) for own in exact.pairs]
        size = max(float(abs(x).upper()) for row in B for x in row)
        wrong = (
            3
            * H
            * (2 * factors(64 + 8 * A) * 4 * A * (F(size) + 4 * H * A * (T + 4)) + factors(4 * S + A + 12) * F(size))
        )
        yield fact(
            all(
                F(float(x)) == F(float(table[min(h, len(table) - 1), i]))
                for h, (x, i) in enumerate(zip(rewards, pairs, strict=True))
            ),
            f"episode {t}, rewards",
        )
        before = [[g - F(0) for g in row] for row in G]
        loss, taken = ZERO, [[ZERO] * L for _ in range(H)]
        for h in range(H - 1, -1, -1):
            loss += 1 - F(float(rewards[h]))
            i, s = int(pairs[h]), int(states[h])
            taken[h][i] = loss / ((upper[h][s] + (f if floor else 0)) * pi[h][i])
        middle = [[F(float(x.mid())) for x in row] for row in B]
        before = [[g - b + q for g, b, q in zip(G[h], middle[h], taken[h], strict=True)] for h in range(H)]
        slack = [
            [
                wrong + q * factors(H + 10) + factors(6) * (abs(g) + F(size) + q)
                for g, q in zip(G[h], taken[h], strict=True)
            ]
            for h in range(H)
        ]


@claim(
    "bobw-po:update",
    says=r"\frac1{\eta_t} = a + cH \sqrt{\textstyle\sum_{\tau \le t} \frac1{u_\tau + f_\tau}}, \quad"
    r" \pi_t = \arg\min_p \langle p, G \rangle + \frac{\psi(p)}{\eta_t}, \quad G \leftarrow G + \hat Q_t - B_t, \quad"
    r" \hat Q_t = \frac{L_h}{(u + f) \pi_t}",
    where="Algorithm 1 of arXiv 2302.09408, recalled (abstract seen); rates, floor, bonus derived in docs/theory/exploration",
    kind="identity",
    mode="numeric",
    instances=_learning,
    controls=[
        mutant("rates that see visits one episode late", late=1),
        mutant("a bonus that is not dilated", dilation=F(1)),
        mutant("the estimate without its floor", floor=0),
        mutant("half of the learning rate", half=2),
    ],
    about=[BestOfBothWorldsPolicyOptimization],
    domain="a known law; sets of laws are checked in delay-adapted-po:occupancy, which shares them",
)
def update(
    problem: Any, *, rng: Any = None, late: int = 0, dilation: Any = None, floor: int = 1, half: int = 1, T: int = 7
) -> Iterator[Row]:
    """Occupancies, rates, leaders, and what is accumulated are recomputed in every episode."""
    mdp, entropy = problem
    constants = {"rate": RATE, "start": START, "explore": EXPLORE}
    learner = BestOfBothWorldsPolicyOptimization(entropy, **constants)  # type: ignore[arg-type]
    changes = {"late": late, "dilation": dilation, "floor": floor, "half": half}
    yield from _iterates(mdp, learner, T, rng, **constants, **changes)


def _losses(level: Any, rng: Any) -> Iterator[Case]:
    for i in range(2 if level == "fast" else 6):
        sizes = (1, 2, 3) if i % 2 == 0 else (2, 5)
        G = [F(int(x), 8) for x in rng.integers(-200, 200, size=sum(sizes))]
        rates = [F(int(x), 16) for x in rng.integers(1, 40, size=len(sizes))]
        yield Case(f"{sizes} actions", (sizes, G, rates))


@claim(
    "bobw-po:leader",
    says=r"p_a = \bigl(\tfrac2c \eta (G_a - x)\bigr)^{-2}, \; c = 2, \; x < \min G, \; \sum p_a = 1 \text{ (Tsallis)}, \qquad"
    r" p_a = (\eta (G_a - x))^{-1} \text{ (barrier)}, \qquad p \propto e^{-\eta G} \text{ (Shannon)}",
    where="derived, docs/theory/exploration",
    kind="identity",
    mode="numeric",
    instances=_losses,
    controls=[
        mutant("the other convention of Tsallis' entropy, c = 1", c=1),
        mutant("the root of another index", index=F(1, 4)),
        mutant("losses for gains", sign=-1),
    ],
    about=[BestOfBothWorldsPolicyOptimization],
)
def leader(problem: Any, *, c: int = 2, index: Any = None, sign: int = 1) -> Iterator[Row]:
    """Leaders solve the condition for a minimum, enclosed, and no other point of the simplex does better."""
    sizes, G, rates = problem
    ptr = np.concatenate(([0], np.cumsum(sizes)))
    total, rate = objects([ball(g) for g in G]), objects([ball(x) for x in rates])
    rng = np.random.default_rng(0)
    y = objects([ball(sign * 2 * rates[s] * G[k]) for s in range(len(sizes)) for k in range(ptr[s], ptr[s + 1])])
    direct = call(potentials.tsallis, y, ptr, F(1, 2) if index is None else index)
    for entropy in ENTROPIES:
        p = call(policy_optimization.leader, sign * total, rate, ptr, entropy)
        for s in range(len(sizes)):
            own = range(ptr[s], ptr[s + 1])
            at = f"{entropy}, state {s}"
            yield equal(sum((p[k] for k in own), ball(0)), 1, f"{at}, sum")
            first = ptr[s]

            def slope(q: Any, entropy: str = entropy) -> Any:
                if entropy == "tsallis":
                    return -ball(F(c, 2)) / q.sqrt()
                return q.log() if entropy == "shannon" else -1 / q

            for k in own[1:]:
                left = slope(p[k]) - slope(p[first])
                yield equal(left, ball(rates[s] * (G[first] - G[k])), f"{at}, action {k - first}")
            if entropy == "tsallis":
                yield all_equal([p[k] for k in own], [direct[k] for k in own], f"{at}, by its root")
                right = _leader([G[k] for k in own], rates[s], entropy, 120)
                yield all_equal([p[k] for k in own], right, f"{at}, by bisection")

            def objective(q: list[Any], s: int = s, own: Any = own, entropy: str = entropy) -> Any:
                psi = {
                    "tsallis": lambda x: -c * x.sqrt(),
                    "shannon": lambda x: x * x.log(),
                    "barrier": lambda x: -x.log(),
                }[entropy]
                return sum((ball(rates[s] * G[k]) * x + psi(x) for k, x in zip(own, q, strict=True)), ball(0))

            if len(own) > 1:
                weights = rng.integers(1, 9, size=len(own))
                other = [ball(F(int(w), int(weights.sum()))) for w in weights]
                yield leq(objective([p[k] for k in own]), objective(other), f"{at}, least")


# -- identities of the regret ----------------------------------------------------------------------------------------


def _games(level: Any, rng: Any) -> Iterator[Case]:
    yield from episodic(fast=2, full=5, horizons=(2, 3, 3), by_stage=True)(level, rng)


@claim(
    "bobw-po:regret-decomposition",
    says=r"V^{\pi_t}_t - V^{\pi^*}_t = \sum_h E_{s \sim \mu^*_h} \langle \pi_{t,h} - \pi^*_h, Q^{\pi_t}_{t,h} \rangle(s)"
    r" \text{ of losses, with the best fixed policy } \pi^*",
    where="derived, docs/theory/exploration (performance difference, Kakade & Langford 2002, recalled)",
    kind="identity",
    mode="numeric",
    instances=_games,
    controls=[
        mutant("visits of the policy that is played", own=True),
        mutant("losses of the episode before", late=1),
        mutant("action values of the best policy", star=True),
    ],
    survivors={
        "off by one in k": "the identity holds for whatever is played",
        "stale values": "the identity holds for whatever is played",
        "dropped bonus": "the identity holds for whatever is played",
    },
    about=[BestOfBothWorldsPolicyOptimization],
)
def decomposition(
    mdp: Any, *, rng: Any = None, own: bool = False, late: int = 0, star: bool = False, T: int = 6
) -> Iterator[Row]:
    """What an episode loses to the best fixed policy: by visits of that one and action values of the played one."""
    exact = Exact.of(mdp)
    H = exact.H or 1
    tables = _tables(mdp)
    which = [t % len(tables) for t in range(T)]
    best = best_fixed(exact, H, tables, which)
    learner = BestOfBothWorldsPolicyOptimization(start=START, explore=EXPLORE, rate=RATE)  # type: ignore[arg-type]
    run = play(mdp, learner, T, np.random.default_rng(4), wrap=_adversarial)
    error = value_error(exact)
    compared = np.broadcast_to(run.best, T)
    for played in rounds(mdp, learner, T, np.random.default_rng(4), wrap=_adversarial):
        t = played.k
        pi = [
            [F(x) / sum(F(row[k]) for k in exact.pairs[exact.state[i]]) for i, x in enumerate(row)]
            for row in played.policy.tolist()
        ]
        table = tables[which[max(t - late, 0)]]
        Q = losses_to_go(exact, best if star else pi, table)
        mu = reached(exact, pi if own else best)
        right = sum(
            (
                mu[h][s] * (pi[h][k] - best[h][k]) * Q[h][k]
                for h in range(H)
                for s, pairs in enumerate(exact.pairs)
                for k in pairs
            ),
            ZERO,
        )
        truth = losses_to_go(exact, pi, tables[which[t]])
        worth = H - at_start(exact, mean_at(exact, pi[0], truth[0]))
        yield near(run.values[t], worth, error, f"episode {t}, value")
        yield near(played.value, worth, error, f"episode {t}, value by rounds")
        yield near(compared[t] - run.values[t], right, 2 * error, f"episode {t}")


def _bonuses(level: Any, rng: Any) -> Iterator[Case]:
    for case in episodic(fast=2, full=5, horizons=(3, 4, 2), by_stage=True)(level, rng):
        yield Case(case.name, (case.problem, int(rng.integers(10**6))))


@claim(
    "bobw-po:dilated-bonus",
    says=r"\sum_h E_{\mu^*} \langle \pi - \pi^*, B_h \rangle = \langle \pi, B_1 \rangle(s_1) - \sum_h E_{\mu^*} b_h"
    r" - \frac1H \sum_{h \ge 2} E_{\mu^*} \langle \pi, B_h \rangle, \qquad \langle \pi, B_1 \rangle(s_1) \le"
    r" (1 + \tfrac1H)^{H-1} V^\pi(b) \le e V^\pi(b)",
    where="derived, docs/theory/exploration; the dilated bonus recalled from Luo, Wei & Lee 2021, Lemma 3.1",
    kind="identity",
    mode="exact",
    instances=_bonuses,
    controls=[
        mutant("dilation one", dilation=F(1)),
        mutant("visits of the policy that is played", own=True),
        mutant("the first stage among the subtracted ones", first=0),
        mutant("one power of the dilation less", power=-1),
    ],
    about=[BestOfBothWorldsPolicyOptimization],
)
def dilated_bonus(
    problem: Any, *, dilation: Any = None, own: bool = False, first: int = 1, power: int = 0
) -> Iterator[Row]:
    """The bonus-to-go pays for bonuses at the comparator's states with e times what it costs at one's own."""
    mdp, seed = problem
    exact, rng = Exact.of(mdp), np.random.default_rng(seed)
    H, S = exact.H or 1, exact.S
    pi, star = drawn_law(exact, rng, H), drawn_law(exact, rng, H)
    grown = 1 + F(1, H)
    used = grown if dilation is None else dilation
    law, ptr = _law(exact, H), _pointers(exact)
    for last in (False, True):
        b = [[F(int(x), 4) if not last or h == H - 1 else ZERO for x in rng.integers(1, 9, size=S)] for h in range(H)]
        B = call(occupancy_bounds.dilated, objects(b), law, None, objects(pi), ptr, used)
        mu = reached(exact, pi if own else star)
        means = [mean_at(exact, pi[h], B[h]) for h in range(H)]
        left = sum(
            (mu[h][s] * (means[h][s] - mean_at(exact, star[h], B[h])[s]) for h in range(H) for s in range(S)), ZERO
        )
        top = sum((p * x for p, x in zip(start_of(exact), means[0], strict=True)), ZERO)
        paid = sum((mu[h][s] * b[h][s] for h in range(H) for s in range(S)), ZERO)
        rest = sum((mu[h][s] * means[h][s] for h in range(first, H) for s in range(S)), ZERO) / H
        yield equal(left, top - paid - rest, f"identity, {'last stage' if last else 'all stages'}")
        visited = reached(exact, pi)
        value = sum((visited[h][s] * b[h][s] for h in range(H) for s in range(S)), ZERO)
        bound = grown ** (H - 1 + power) * value
        # A bonus of the last stage alone attains the power.
        yield equal(top, bound, "last stage") if last else leq(top, bound, "all stages")


# -- regret of leaders -----------------------------------------------------------------------------------------------


def _psi(p: list[Any], entropy: str) -> Any:
    if entropy == "tsallis":
        return -2 * sum((x.sqrt() for x in p), ball(0))
    if entropy == "shannon":
        return sum((x * x.log() for x in p if x != 0), ball(0))
    return -sum((x.log() for x in p), ball(0))


def _stability(p: list[Any], g: list[Any], rate: Any, entropy: str) -> Any:
    r""":math:`\max_{q \ge 0} \langle p - q, g \rangle - D_\psi(q, p)/\eta`, in closed form; None where it is infinite."""
    out = ball(0)
    for x, y in zip(p, g, strict=True):
        if entropy == "tsallis":
            w = rate * x.sqrt() * y
            if not w > -1:
                return None
            out += rate * x * x.sqrt() * y * y / (1 + w)
        elif entropy == "shannon":
            out += x * ((-rate * y).exp() - 1 + rate * y) / rate
        else:
            w = rate * x * y
            if not w > -1:
                return None
            out += (w - (1 + w).log()) / rate
    return out


def _runs(level: Any, rng: Any) -> Iterator[Case]:
    # One that is always the same, where the rates' change is paid for with less to spare than at most others.
    for case in drawn_once(episodic(fast=1, horizons=(2,)), 7)(level, rng):
        yield Case(f"{case.name}, shannon", (case.problem, "shannon"))
    for case in episodic(fast=1, full=3, horizons=(2, 2, 3))(level, rng):
        for entropy in ENTROPIES:
            yield Case(f"{case.name}, {entropy}", (case.problem, entropy))


@claim(
    "bobw-po:leader-regret",
    says=r"\sum_{t \le T} \langle \pi_t - u, g_t \rangle \le a (\psi(u) - \psi(\pi_1)) + "
    r"\sum_{t \le T} \Bigl[ \bigl(\tfrac1{\eta_t} - \tfrac1{\eta_{t-1}}\bigr) (\psi(u) - \psi(\pi_t))"
    r" + \max_q \langle \pi_t - q, g_t \rangle - \tfrac{D_\psi(q, \pi_t)}{\eta_t} \Bigr]",
    where="derived, docs/theory/exploration; the scheme recalled from Zimmert & Seldin 2021",
    kind="upper",
    mode="numeric",
    instances=_runs,
    controls=[
        mutant("a quarter of the noise", noise=F(1, 4)),
        mutant("rates that do not pay for their change", change=0),
        mutant("losses charged as gains", sign=-1),
    ],
    about=[BestOfBothWorldsPolicyOptimization],
)
def leader_regret(problem: Any, *, noise: Any = 1, change: int = 1, sign: int = 1, T: int = 30) -> Iterator[Row]:
    """In every run the leader of each state and stage loses penalties and noise at most, against every action.

    The inequality is one of every sequence of losses: the first episodes are recomputed, so that the losses are the method's.
    """
    mdp, entropy = problem
    exact = Exact.of(mdp)
    H = exact.H or 1
    learner = BestOfBothWorldsPolicyOptimization(entropy, rate=0.25, start=START, explore=EXPLORE, bonus=0.125)
    constants: dict[str, Any] = {"rate": F(1, 4), "start": START, "explore": EXPLORE, "factor": F(1, 8)}
    yield from _iterates(mdp, learner, T + 1, np.random.default_rng(7), **constants, most=4)
    seen: list[Any] = []
    for played in rounds(mdp, learner, T + 1, np.random.default_rng(7), wrap=_adversarial):
        state = played.state
        seen.append([_fractions(x) for x in (state.total, played.policy, state.rate, state.change)])
    for h, s in product(range(H), range(exact.S)):
        own = exact.pairs[s]
        if len(own) == 1:
            continue
        n = len(own)
        for best in own:
            if entropy == "barrier":
                u = [ball(F(1, n * T) + (1 - F(1, T) if k == best else 0)) for k in own]
            else:
                u = [ball(F(int(k == best))) for k in own]
            lost, bound = ball(0), START * (_psi(u, entropy) - _psi([ball(F(1, n))] * n, entropy))
            rounded = ZERO
            for t in range(T):
                g = [ball(seen[t + 1][0][h][k] - seen[t][0][h][k]) for k in own]
                p = [ball(seen[t][1][h][k]) for k in own]
                rate = seen[t][2][h][s]
                lost += sign * sum(((x - y) * z for x, y, z in zip(p, u, g, strict=True)), ball(0))
                held = _stability(p, g, ball(rate), entropy)
                if held is None:
                    bound = None
                    break
                bound += change * ball(seen[t][3][h][s]) * (_psi(u, entropy) - _psi(p, entropy)) + ball(noise) * held
                # The leader in floats is off by what bobw-po:update allows.
                reach = rate * 2 * max(abs(seen[t][0][h][k]) for k in own)
                rounded += (
                    4
                    * factors(math.ceil(8 * n**2 * (n + 16) + 32 * (reach + 1)))
                    * max(F(float(abs(x).upper())) for x in g)
                )
                if t + 1 == T:
                    yield leq(
                        lost - ball(rounded), bound, f"h={h}, s={s}, against {best - own[0]}", k=h * exact.S + s + 1
                    )


def _noises(level: Any, rng: Any) -> Iterator[Case]:
    for case in episodic(fast=2, full=4, horizons=(2, 2, 2))(level, rng):
        yield Case(case.name, (case.problem, int(rng.integers(10**6))))


@claim(
    "bobw-po:bonus-covers-noise",
    says=r"E \max_q \langle \pi - q, \hat Q - B \rangle - \tfrac{D_\psi(q, \pi)}{\eta} \le \frac{\eta R^2}{u + f} "
    r" \mathrm{var}(\pi) + \frac1H \langle \pi, B \rangle \;\; (4 \eta B \le \tfrac1H), \qquad"
    r" H X + e \sum_t V^{\pi_t}(b_t) \le H X + e (4 \sqrt 2 z H^2 S \sqrt T + H^2 S \textstyle\sum f_t)",
    where="derived, docs/theory/exploration; the regret it gives is of the order recalled from arXiv 2302.09408 in T alone",
    kind="upper",
    mode="numeric",
    instances=_noises,
    controls=[
        mutant("a quarter of the variance", share=F(1, 4)),
        mutant("losses that were not divided by the policy's probability", weighted=False),
        mutant("a bonus without what the estimate leaves out", left=0),
    ],
    about=[BestOfBothWorldsPolicyOptimization],
    domain="a known law",
    caveat="the constants of the proof are large: the bound beats the trivial one only after very many episodes",
)
def bonus_covers_noise(
    problem: Any, *, share: Any = 1, weighted: bool = True, left: int = 1, T: int = 40
) -> Iterator[Row]:
    """In the mean over all episodes the bonus pays for noise and for what the estimate leaves out, and its sum is bounded."""
    mdp, seed = problem
    exact, rng = Exact.of(mdp), np.random.default_rng(seed)
    H, ptr = exact.H or 1, _pointers(exact)
    pi = drawn_law(exact, rng, H)
    mu = reached(exact, pi)
    # Losses of one make the second moment largest.
    r = [[ZERO] * exact.L for _ in range(H)]
    Q = losses_to_go(exact, pi, r)
    _, upper = call(occupancy_bounds.occupancies, objects(start_of(exact)), _law(exact, H), None, objects(pi), ptr)
    found: list[tuple[Fraction, Any, Any]] = []
    f = F(1, 4)
    for walk in walks(exact, pi):
        estimate = call(
            policy_optimization.estimate, np.array(walk.states), np.array(walk.pairs), objects([F(1)] * H), upper,
            objects(pi if weighted else [[F(1)] * exact.L] * H), objects([[F(1)] * exact.L] * H), explore=ZERO, floor=f,
        )  # fmt: skip
        found.append((walk.chance, walk, estimate))
    for h, (s, own) in product(range(H), enumerate(exact.pairs)):
        if not mu[h][s] or len(own) == 1:
            continue
        p, R = [pi[h][k] for k in own], H - h
        wide = mu[h][s] + f
        mean = {k: ZERO for k in own}
        for chance, walk, estimate in found:
            if walk.states[h] == s:
                mean[walk.pairs[h]] += chance * estimate[h]
        lost = sum((x * (Q[h][k] - mean[k]) for x, k in zip(p, own, strict=True)), ZERO)
        yield equal(
            lost, f / wide * sum((x * Q[h][k] for x, k in zip(p, own, strict=True)), ZERO), f"h={h}, s={s}, left out"
        )
        for entropy, rate in product(ENTROPIES, (wide / (4 * R), wide / R, F(1, 64))):
            small = 4 * R * rate <= wide
            B = [F(int(x), 16) / (4 * H * rate) for x in rng.integers(0, 17, size=len(own))]
            held, weight = ball(0), ZERO
            for chance, walk, estimate in found:
                if walk.states[h] != s:
                    continue
                weight += chance
                shift = R / wide if small else ZERO
                g = [
                    ball((estimate[h] if k == walk.pairs[h] else ZERO) - shift - b) for k, b in zip(own, B, strict=True)
                ]
                held += ball(chance) * _stability([ball(x) for x in p], g, ball(rate), entropy)
            held += ball(1 - weight) * _stability([ball(x) for x in p], [ball(-b) for b in B], ball(rate), entropy)
            noise = call(
                policy_optimization.variance,
                np.array([float(x) for x in p]),
                np.array([0, len(p)]),
                entropy,
                np.array([small]),
            )
            exactly = _noise(p, entropy, small)
            at = f"h={h}, s={s}, {entropy}, {'small' if small else 'large'} rate"
            yield equal(noise[0], _widened(exactly, 8 * factors(len(p) + 8)), f"{at}, kernel")
            paid = ball(share * rate * R**2 / wide) * exactly + ball(
                sum((x * b for x, b in zip(p, B, strict=True)), ZERO) / H
            )
            yield leq(held, paid, at)
    yield from _summed(mdp, exact, left, T)


def _summed(mdp: Any, exact: Exact, left: int, T: int) -> Iterator[Row]:
    """With the constants of the proof: bonuses are small enough, and their sum is under the bound."""
    H, S = exact.H or 1, exact.S
    A = max(len(pairs) for pairs in exact.pairs)
    for entropy in ("tsallis", "shannon"):
        learner = BestOfBothWorldsPolicyOptimization(entropy)
        z = 4 * math.sqrt(A) if entropy == "tsallis" else A + math.log(A)
        Z = 8 * (math.e - 1) * H**2 * z
        start, explore = 2 * H * Z, 2 * Z**2
        X = start * (2 * (math.sqrt(A) - 1) if entropy == "tsallis" else math.log(A))
        cost, floors = 0.0, 0.0
        constants: dict[str, Any] = {"rate": 2, "start": start, "explore": explore}
        yield from _iterates(mdp, learner, T, np.random.default_rng(3), **constants, most=4)
        for played in rounds(mdp, learner, T, np.random.default_rng(3), wrap=_adversarial):
            state, pi, t = played.state, _fractions(played.policy), played.k
            f = min(1.0, explore / (t + 1))
            floors += f
            mu = reached(exact, pi)
            b = np.zeros((H, S))
            for h, (s, own) in product(range(H), enumerate(exact.pairs)):
                R, wide, rate = H - h, float(mu[h][s]) + f, float(state.rate[h, s])
                p = [pi[h][k] for k in own]
                small = 4 * R * rate <= wide
                b[h, s] = (
                    float(state.change[h, s]) * float(_penalty(p, entropy, 0).mid())
                    + rate * R**2 / wide * float(_noise(p, entropy, small).mid())
                    + left * R * f / wide
                )
                cost += float(mu[h][s]) * b[h, s]
            largest = b.max() * H * ((1 + 1 / H) ** H - 1)
            yield leq(float(state.rate.max()) * largest * 4 * H, 1.0, f"{entropy}, episode {t}, bonuses are small")
            made = np.array([
                call(
                    policy_optimization.leader_bonus,
                    state.lower[h], state.upper[h], played.policy[h], state.rate[h], state.change[h], _pointers(exact), H - h,
                    floor=f, entropy=entropy, log_rounds=math.log(T),
                )
                for h in range(H)
            ])  # fmt: skip
            yield all_equal(
                made.ravel(),
                [Interval(x * (1 - 1e-12) - 1e-15, x * (1 + 1e-12) + 1e-15) for x in b.ravel()],
                f"{entropy}, episode {t}, bonus",
            )
        bound = H * X + math.e * H**2 * S * (4 * math.sqrt(2) * z * math.sqrt(T) + floors + 1)
        offered = call(learner.bound, _adversarial(mdp).view(T), np.array([T]))
        yield equal(
            float(offered[0]), Interval(bound * (1 - 1e-12), bound * (1 + 1e-12)), f"{entropy}, the bound offered"
        )
        yield leq(H * X + math.e * cost, bound, f"{entropy}, T={T}", k=T, series=entropy)
        yield leq(math.e * cost, bound - H * X, f"{entropy}, bonuses, T={T}")


# -- bandits ---------------------------------------------------------------------------------------------------------


def _arms(rewards: list[Any]) -> MDP:
    P = objects([[[F(1)]] * len(rewards)])
    return MDP(P, objects([[F(x) for x in rewards]]), FiniteHorizon(1), rho=objects([F(1)]))


TWO = np.array([[0.625, 0.0], [0.75, 0.375]])


def _worlds(level: Any, rng: Any) -> Iterator[Case]:
    yield Case("eight arms, switching", (8, 600, 300))
    if level == "full":
        yield Case("two arms, switching", (2, 300, 1000))


@claim(
    "bobw-po:bandit-adversarial",
    says=r"E \sum_{t \le T} \langle \pi_t - \pi^*, \ell_t \rangle \le 4 \sqrt{A T} - 2 \sqrt T"
    r" \qquad (\tfrac1{\eta_t} = \sqrt t)",
    where="derived, docs/theory/exploration; Theorem 1 of Zimmert & Seldin 2021 with other constants, recalled",
    kind="upper",
    mode="statistical",
    instances=_worlds,
    controls=[
        mutant("the bound without its root of T", power=0.1),
        mutant("rates too small to learn", rate=1000.0),
    ],
    delta=1e-3,
    about=[BestOfBothWorldsPolicyOptimization],
    domain="one state and one stage",
)
def bandit_adversarial(
    problem: Any, *, rng: Any = None, delta: float = 1e-3, power: float = 0.5, rate: float = 1.0
) -> Iterator[Row]:
    """One stage is a bandit, and its expected regret against a switching adversary is under the bound."""
    n, T, runs = problem
    tables = np.concatenate([TWO, np.repeat(TWO[:, 1:], n - 2, axis=1)], axis=1)
    learner = BestOfBothWorldsPolicyOptimization(rate=rate)
    environment = Adversarial(_arms([0] * n), *switching(tables, T, 5))
    gaps = tables[:, :1] - tables
    found = totals(environment, learner, tables[np.arange(T) // 5 % 2, 0], T, runs, rng)
    interval = bounded_mean(found, T * float(gaps.min()), T * float(gaps.max()), delta)
    yield leq(interval, (4 * math.sqrt(n) - 2) * T**power, f"A={n}", k=T)
    if rate == 1 and power == 0.5:
        offered = call(learner.bound, environment.view(T), np.array([T]))
        yield equal(
            float(offered[0]),
            Interval(4 * math.sqrt(n * T) * (1 - 1e-12), 4 * math.sqrt(n * T) * (1 + 1e-12)),
            "offered",
        )


def _gapped(level: Any, rng: Any) -> Iterator[Case]:
    """Coins, and how many runs the interval of the mean is made of."""
    for n, word in ((2, "two"), (4, "four")):
        yield Case(f"{word} coins, gap 1/2", (n, F(1, 2), 200 if level == "fast" else 1000))


@claim(
    "bobw-po:bandit-stochastic",
    says=r"E \sum_{t \le T} \langle \pi_t - \pi^*, \ell_t \rangle \le \sum_{a \ne a^*} \frac{196 (1 + \ln T)}{9 \Delta_a}"
    r" + 16 \sqrt A",
    where="derived, docs/theory/exploration; Theorem 1 of Zimmert & Seldin 2021 with better constants, recalled",
    kind="rate",
    mode="statistical",
    instances=_gapped,
    controls=[
        mutant("a gap that closes as episodes go on", closing=True, sure=False),
        mutant("rates that fall with the number of episodes", rate=100.0, sure=False),
    ],
    rate=Rate(0.0, "at_most", within=0.3),
    delta=1e-3,
    about=[BestOfBothWorldsPolicyOptimization],
    domain="one state and one stage",
    caveat="the bound is compared with an interval of the expectation up to a few thousand episodes; the slope is of the mean"
    " of a few runs, over two decades of T, and a logarithm has slope 1/ln T",
)
def bandit_stochastic(
    problem: Any, *, rng: Any = None, delta: float = 1e-3, closing: bool = False, rate: float = 1.0, sure: bool = True
) -> Iterator[Row]:
    """The same algorithm loses a logarithm of T on coins with a gap."""
    n, gap, many = problem
    T, runs = 60_000, 8
    learner = BestOfBothWorldsPolicyOptimization(rate=rate)
    marks = [int(x) for x in np.geomspace(300, T, 7)]

    def coins(edge: float) -> Any:
        return Environment(_arms([F(3, 4)] + [F(3, 4) - F(edge)] * (n - 1)), "bernoulli")

    if closing:
        found = np.array([totals(coins(2 / math.sqrt(k)), learner, 0.75, k, runs, rng) for k in marks]).T
    else:
        found = totals(coins(float(gap)), learner, 0.75, T, runs, rng, marks)
    for k, value in zip(marks, found.mean(axis=0), strict=True):
        yield point(k, max(float(value), 1e-9))
    if not sure:
        return
    ends = [500, 2000, 4000]
    samples = totals(coins(float(gap)), learner, 0.75, ends[-1], many, rng, ends)
    for i, k in enumerate(ends):
        # What an episode loses lies between zero and the gap; a sum of k such numbers is off by the rounding of each.
        most, error = k * float(gap), 1e-12 * k
        lost = bounded_mean(samples[:, i], -error, most + error, delta / len(ends))
        bound = (n - 1) * 196 * (1 + math.log(k)) / (9 * float(gap)) + 16 * math.sqrt(n)
        yield leq(lost, bound, f"T={k}", k=k)
