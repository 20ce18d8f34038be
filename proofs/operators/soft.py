r"""Claims about the soft Bellman operators: they are what they are called, and have the axioms that they declare."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from mdpkit.claims import Case, Row, all_equal, all_leq, claim, equal, fact, leq, mutant
from mdpkit.claims.cases import chosen, regularized
from mdpkit.claims.judge import Judge, ball, balls, exp, log_sum_exp, norm
from mdpkit.claims.trial import call, pose
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.operators.soft import SoftOptimality, SoftPolicy


def thousandths(rng: Any, n: int) -> list[Fraction]:
    """Random numbers in [-2, 2]."""
    return [Fraction(int(x), 1000) for x in rng.integers(-2000, 2001, size=n)]


def applied(mdp: Any, V: Any, log_pi: Any = None) -> Any:
    """The operator under test at V."""

    def backup() -> Any:
        problem, _ = pose(mdp, None, "ball")
        T = SoftOptimality(problem) if log_pi is None else SoftPolicy(problem, log_pi)
        return T.backup(balls(V))

    return call(backup)


def middles(values: Any) -> list[float]:
    """The middles of balls."""
    return [float(x.mid()) for x in values]


@claim(
    "geist2019:soft-operators",
    says=r"""T_\tau V = \max_\pi T_{\pi,\tau} V, \quad V \le W \Rightarrow TV \le TW, \quad T(V + c) = TV + \gamma c, \quad
    \|TV - TW\|_\infty \le \gamma \|V - W\|_\infty \quad\text{for } T = T_\tau, T_{\pi,\tau}""",
    where="Propositions 1 and 2, recalled; proved, see docs",
    kind="identity",
    mode="numeric",
    instances=regularized(),
    controls=[
        mutant("the entropy counted twice", temperature=2),
        mutant("a shift comes through whole", shift=False),
        mutant("contraction by the square of the discount", power=2),
        mutant("the softmax policy of another value attains the maximum", other=True),
    ],
)
def operators(
    mdp: Any, *, rng: Any, temperature: int = 1, shift: bool = True, power: int = 1, other: bool = False
) -> Iterator[Row]:
    """The soft Bellman operators are monotone, commute with constants up to the discount, and contract."""
    judge = Judge(mdp)
    tau, mu, gamma = temperature * judge.temperature, judge.log_reference, judge.gamma
    V = thousandths(rng, judge.S)
    W = [v + abs(x) for v, x in zip(V, thousandths(rng, judge.S), strict=True)]
    c = Fraction(7, 3)
    log_pi = judge.log_softmax(thousandths(rng, judge.L), 1)
    pi = [exp(x) for x in log_pi]
    spent = [x - (0 if mu is None else m) for x, m in zip(log_pi, mu or log_pi, strict=True)]

    TV, choice, *_ = applied(mdp, V)
    yield all_equal(TV, judge.soft_backup(V, tau, mu), "the soft maximum")
    by_policy = judge.mean(pi, [x - tau * y for x, y in zip(judge.q(V), spent, strict=True)])
    TpiV = applied(mdp, V, balls(log_pi)).value
    yield all_equal(TpiV, by_policy, "the policy's operator")
    yield all_leq(TpiV, TV, "a policy's backup is below the soft maximum")
    best = judge.log_softmax(judge.q(W if other else V), tau, mu)
    yield all_equal(applied(mdp, V, balls(best)).value, TV, "the softmax policy attains it")
    likely = middles(best)
    yield fact(
        all(likely[k] == max(likely[j] for j in judge.pairs[s]) for s, k in enumerate(choice)), "its likeliest pairs"
    )
    for name, policy in (("T", None), ("T_pi", balls(log_pi))):
        TV, TW = applied(mdp, V, policy).value, applied(mdp, W, policy).value
        yield all_leq(TV, TW, f"{name} is monotone")
        if judge.S > 1:
            apart = norm([v - w for v, w in zip(V, W, strict=True)])
            yield leq(norm(TV - TW), gamma**power * apart, f"{name} contracts")
        moved = applied(mdp, [v + c for v in V], policy).value
        yield all_equal(moved, [x + (gamma if shift else 1) * ball(c) for x in TV], f"{name} of a shift")
        # Equal in all states, so that the contraction is attained.
        yield equal(norm(moved - TV), gamma**power * ball(c), f"{name} contracts a shift")


def _negative() -> list[Case]:
    half = Fraction(1, 2)
    r = [[Fraction(1), Fraction(0)], [Fraction(0), Fraction(2)]]
    mdp = MDP([[[half, half], [1, 0]], [[0, 1], [0, 1]]], r, Discounted(half), minimize=True)
    return [Case("two states, costs", mdp)]


@claim(
    "geist2019:costs",
    says=r"\min_\pi \langle \pi, q \rangle - \tau H(\pi) = -\tau \log \sum_a e^{-q(a)/\tau}",
    where="the maximum for the negative of costs; derived here",
    kind="identity",
    mode="numeric",
    instances=chosen(_negative),
    controls=[mutant("the sign of costs forgotten", sign=1)],
)
def costs(mdp: MDP, *, sign: int = -1) -> Iterator[Row]:
    """Where costs are minimized the entropy is subtracted, and the soft minimum takes the place of the maximum."""
    from mdpkit.models.criterion import EntropyRegularized

    c: Any = mdp.criterion
    tau = Fraction(1, 3)
    t = ball(tau)
    soft = mdp.under(EntropyRegularized(c.exact, tau))
    judge = Judge(mdp.under(minimize=False))
    V = [Fraction(1), Fraction(-2)]
    cost = judge.q(V)
    expected = [sign * t * log_sum_exp([sign * cost[k] / t for k in pairs]) for pairs in judge.pairs]
    value, choice, *_ = applied(soft, V)
    yield all_equal(value, expected, "the soft minimum")
    dear = middles(cost)
    yield fact(
        all(dear[k] == min(dear[j] for j in judge.pairs[s]) for s, k in enumerate(choice)), "its likeliest pairs"
    )
    yield fact(soft.minimize, "the model minimizes")
