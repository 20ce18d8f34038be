r"""Claims about soft value iteration, and the algebra of the log-sum-exp that it rests on."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

from mdpkit.claims import Row, all_equal, all_leq, claim, equal, fact, leq, mutant
from mdpkit.claims.cases import bandits, chosen, joined, once, ragged_soft, regularized
from mdpkit.claims.judge import Judge, ball, largest, norm
from mdpkit.claims.trial import iterates
from mdpkit.models.criterion import EntropyRegularized
from mdpkit.solvers.regularized_dp import SoftValueIteration


def soft_bandits(level: Any, rng: Any) -> Any:
    """One state with entropy: the operator is affine, so that bounds are attained."""
    for case in bandits(fast=2, full=5)(level, rng):
        gamma = Fraction(case.problem.criterion.exact)
        yield case._replace(problem=case.problem.under(EntropyRegularized(gamma, Fraction(1, 4))))


def smallest(values: Any) -> Any:
    """The smallest of several balls."""
    return -largest([-ball(x) for x in values])


@claim(
    "geist2019:soft-rate",
    says=r"\|V_k - V^*_\tau\|_\infty \le \gamma^k \|V_0 - V^*_\tau\|_\infty",
    where="Section 4.1 (the operator is a contraction), recalled; equality in one state is derived here",
    kind="upper",
    mode="numeric",
    instances=joined(regularized(full=15), chosen(ragged_soft), soft_bandits),
    controls=[
        mutant("one more power of the discount", ahead=1),
        mutant("a power less than the truth in one state", ahead=-1),
        mutant("another temperature", temperature=Fraction(11, 10)),
        mutant("the maximum in place of the log-sum-exp", hard=True),
    ],
    about=[SoftValueIteration],
)
def rate(
    mdp: Any, *, steps: int = 12, ahead: int = 0, temperature: Fraction = Fraction(1), hard: bool = False
) -> Iterator[Row]:
    """Soft value iteration closes in by the discount factor with each sweep."""
    judge = Judge(mdp)
    tau, mu = judge.temperature * ball(temperature), judge.log_reference
    best = judge.soft_optimal(tau, mu)
    expected: list[Any] = [ball(Fraction(3))] * judge.S
    first = norm([x - y for x, y in zip(expected, best, strict=True)])
    # One state that stays is off by its own error times the power; with two actions elsewhere it is the furthest.
    attained = any(len(pairs) == 1 for pairs in judge.pairs) or judge.S == 1
    for k, state in enumerate(iterates(mdp, SoftValueIteration(V0=Fraction(3)), steps)):
        yield all_equal(state.V, expected, f"V_{k} is the backup of V_{k - 1}" if k else "the start")
        distance = norm([x - y for x, y in zip(state.V, best, strict=True)])
        bound = judge.gamma ** (k + ahead) * first
        if attained:
            yield equal(distance, bound, f"k={k}, attained")
        elif k or ahead:
            yield leq(distance, bound, f"k={k}", k=k)
        expected = judge.backup(state.V) if hard else judge.soft_backup(state.V, tau, mu)


@claim(
    "geist2019:soft-bounds",
    says=r"""TV + \frac{\gamma}{1-\gamma} \min_s (TV - V)(s) \le V^*_\tau \le TV + \frac{\gamma}{1-\gamma} \max_s (TV - V)(s)
    \quad\text{for } T = T_\tau""",
    where="MacQueen's bounds hold for every monotone operator with T(V + c) = TV + gamma c; derived here",
    kind="upper",
    mode="numeric",
    instances=joined(regularized(full=15), soft_bandits),
    controls=[
        mutant("without the factor gamma/(1 - gamma)", factor=0),
        mutant("the least change above, the largest below", swapped=True),
        mutant("1/(1 - gamma) in place of gamma/(1 - gamma), below", low_power=0),
        mutant("the bounds of the last sweep but one", late=True),
    ],
    about=[SoftValueIteration],
)
def bounds(
    mdp: Any, *, steps: int = 8, factor: int = 1, swapped: bool = False, low_power: int = 1, late: bool = False
) -> Iterator[Row]:
    """The least and the largest change of a sweep enclose the optimal soft value."""
    judge = Judge(mdp)
    tau, mu, gamma = judge.temperature, judge.log_reference, judge.gamma
    best = judge.soft_optimal(tau, mu)
    states = list(iterates(mdp, SoftValueIteration(V0=Fraction(3)), steps))
    yield all_equal(states[0].V, [ball(3)] * judge.S, "the start")
    for k, (before, state) in enumerate(pairwise(states)):
        yield all_equal(state.V, judge.soft_backup(before.V, tau, mu), f"V_{k + 1} is the backup of V_{k}")
        change = [x - y for x, y in zip(state.V, before.V, strict=True)]
        low, high = smallest(change), largest(change)
        if swapped:
            low, high = high, low
        base = before.V if late else state.V
        lower = [x + factor * gamma**low_power / (1 - gamma) * low for x in base]
        upper = [x + factor * gamma / (1 - gamma) * high for x in base]
        if judge.S > 1:
            yield all_leq(lower, best, f"below, k={k}")
            yield all_leq(best, upper, f"above, k={k}")
            near = norm([x - y for x, y in zip(state.V, best, strict=True)])
            yield leq(near, largest([abs(low), abs(high)]) * gamma / (1 - gamma), f"k={k}", k=k)
        else:
            yield all_equal(lower, best, f"below, one state, k={k}")
            yield all_equal(upper, best, f"above, one state, k={k}")


@claim(
    "haarnoja2017:soft-maximum",
    says=r"""\max_{\pi \in \Delta_A} \langle \pi, q \rangle + \tau H(\pi) = \tau \log \sum_a e^{q(a)/\tau},
    \text{ attained by } \pi^*(a) \propto e^{q(a)/\tau} \text{ alone, since } \tau \log \sum_a e^{q(a)/\tau} - \langle \pi, q
    \rangle - \tau H(\pi) = \tau\, \mathrm{KL}(\pi \| \pi^*)""",
    where="Theorem 1, recalled; the variational principle of Gibbs. Gradient and conjugate: geist2019:log-sum-exp-conjugate",
    kind="identity",
    mode="symbolic",
    domain="A = 2, 3, 4 actions, every real q, every tau > 0; KL >= 0 by log t <= t - 1",
    instances=once(),
    controls=[
        mutant("the divergence without the temperature", scale=False),
        mutant("the arguments of the divergence swapped", swapped=True),
        mutant("the maximizer at half the temperature", heat=2),
        mutant("the entropy with the other sign", sign=-1),
    ],
)
def soft_maximum(_: Any, *, scale: bool = True, swapped: bool = False, heat: int = 1, sign: int = 1) -> Iterator[Row]:
    """The entropy-regularized maximum is a log-sum-exp, and the softmax is its one maximizer."""
    import sympy as sp

    tau = sp.Symbol("tau", positive=True)
    for A in (2, 3, 4):
        x = sp.symbols(f"x:{A}", positive=True)  # e^{q/tau}: every q is tau log x
        pi = [*sp.symbols(f"p:{A - 1}", positive=True)]
        pi.append(1 - sum(pi))
        Z = sum(x)
        q = [tau * sp.log(v) for v in x]
        entropy = -sign * sum(p * sp.log(p) for p in pi)
        log_star = [heat * sp.log(v) - sp.log(sum(w**heat for w in x)) for v in x]
        kl = sum(p * (sp.log(p) - s) for p, s in zip(pi, log_star, strict=True))
        if swapped:
            kl = sum(sp.exp(s) * (s - sp.log(p)) for p, s in zip(pi, log_star, strict=True))
        gap = tau * sp.log(Z) - sum(p * v for p, v in zip(pi, q, strict=True)) - tau * entropy
        difference = sp.expand(sp.expand_log(gap - (tau if scale else 1) * kl, force=True))
        yield fact(difference == 0, f"A={A}")
    t = sp.Symbol("t", positive=True)
    slope = sp.diff(t - 1 - sp.log(t), t)
    yield fact(sp.solve(slope, t) == [1] and sp.diff(slope, t).is_positive, "t - 1 - log t has one minimum, at one")
    yield fact((t - 1 - sp.log(t)).subs(t, 1) == 0, "which is zero")


@claim(
    "haarnoja2017:soft-maximum-range",
    says=r"\max_a q(a) \le \tau \log \sum_a e^{q(a)/\tau} \le \max_a q(a) + \tau \log A",
    where="folklore; derived here. Run in balls: geist2019:log-sum-exp-balls",
    kind="upper",
    mode="symbolic",
    domain="A = 2, 3, 4 actions, every real q, every tau > 0; equality above where all q are equal",
    instances=once(),
    controls=[
        mutant("half of tau log A", share=Fraction(1, 2)),
        mutant("above the maximum by tau log 2", least=2),
    ],
)
def soft_range(_: Any, *, share: Fraction = Fraction(1), least: int = 1) -> Iterator[Row]:
    """The log-sum-exp is at least the maximum, and above it by at most tau times the logarithm of the number of actions."""
    import sympy as sp

    for A in (2, 3, 4):
        # u_a = e^{(q_a - max q)/tau} is in (0, 1], and one for an action that attains the maximum.
        rest = sp.symbols(f"u:{A - 1}", positive=True)
        total = 1 + sum(rest)
        slack = [1 - u for u in rest]
        least_total = total.subs(dict.fromkeys(rest, sp.Integer(0)))
        most_total = total.subs(dict.fromkeys(rest, sp.Integer(1)))
        # The sum is increasing in each u, so that its extremes are at the ends.
        yield fact(all(sp.diff(total, u) == 1 for u in rest), f"A={A}: increasing")
        yield fact(least_total >= least, f"A={A}: the sum is at least one")
        yield fact(sp.expand(A - total - sum(slack)) == 0, f"A={A}: the sum is A less what the u lack to one")
        bound = sp.exp(sp.Rational(share.numerator, share.denominator) * sp.log(A))
        yield fact(sp.simplify(most_total - bound) <= 0, f"A={A}: the sum is at most A")
