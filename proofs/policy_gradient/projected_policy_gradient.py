r"""Claims about the projected policy gradient, in rationals; the proofs are in the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from mdpkit.claims import Row, all_equal, claim, leq, mutant
from mdpkit.claims.cases import bandits, discounted, joined, locks, positive, ragged
from mdpkit.claims.judge import Judge, ball, projected, weighted
from mdpkit.claims.trial import iterates
from mdpkit.solvers.policy_gradient import ProjectedPolicyGradient

GAMMAS = (Fraction(1, 2), Fraction(9, 10))


class Iterate(NamedTuple):
    """A policy of the tested solver with the judge's numbers about it, and the rows that tie it to the one before."""

    k: int
    pi: list[Fraction]
    V: list[Fraction]
    d: list[Fraction]
    rows: list[Row]


def the_iterates(judge: Judge, eta: Fraction, n: int, wrong: str = "") -> Iterator[Iterate]:
    """The iterates 0 to n, with the rows that say that they start uniform and follow projected gradient steps."""
    expected: Any = judge.uniform()
    for k, state in enumerate(iterates(judge.mdp, ProjectedPolicyGradient(eta), n, arithmetic="rational")):
        pi = list(state.pi)
        V, d = judge.exact_value(pi), judge.exact_visits(pi)
        yield Iterate(k, pi, V, d, [all_equal(pi, expected, f"pi_{k}"), all_equal(state.V, V, f"V_{k}")])
        gradient = judge.exact_gradient(pi)
        if wrong == "normalized":
            gradient = [(1 - judge.gamma_exact) * x for x in gradient]
        elif wrong == "no visits":
            gradient = judge.exact_q(V)
        expected = [Fraction(0)] * judge.L
        for pairs in judge.pairs:
            moved = [pi[j] + eta * gradient[j] for j in pairs]
            if wrong == "divided":
                new = [max(x, Fraction(0)) / sum(max(y, Fraction(0)) for y in moved) for x in moved]
            else:
                new = projected(moved)
            for j, x in zip(pairs, new, strict=True):
                expected[j] = x


@claim(
    "agarwal2021:direct-gradient",
    says=r"""\pi_{k+1} = \mathrm{proj}_{\Delta(A)^S}\bigl(\pi_k + \eta \nabla_\pi V^{\pi_k}(\rho)\bigr), \qquad
             \frac{\partial V^\pi(\rho)}{\partial \pi(a|s)} = d_\rho^\pi(s)\, Q^\pi(s,a)""",
    where="Section 4, recalled; the gradient is taken without the policy gradient theorem",
    kind="identity",
    mode="exact",
    instances=joined(
        discounted(sizes=((1, 3), (2, 2), (3, 2), (2, 3)), gammas=GAMMAS, fast=3, full=12),
        locks(Fraction(1, 2)),
        ragged(),
    ),
    controls=[
        mutant("visits that sum to one", wrong="normalized"),
        mutant("no visits: Euclidean mirror descent", wrong="no visits"),
        mutant("divided by the sum, not projected", wrong="divided"),
    ],
    about=[ProjectedPolicyGradient],
)
def direct_gradient(mdp: Any, *, wrong: str = "", eta: Fraction = Fraction(1, 3), steps: int = 3) -> Iterator[Row]:
    """The step is the projection of a gradient step, in exact arithmetic."""
    for now in the_iterates(Judge(mdp), eta, steps, wrong):
        yield from now.rows


@claim(
    "xiao2022:projected-gradient",
    says=r"""V^{\pi_{k+1}}(s) - V^{\pi_k}(s) \ge \frac{\|\pi_{k+1} - \pi_k\|_s^2}{\eta\, d_k(s)} \ge 0, \qquad
             V^*(\rho) - V^{\pi_K}(\rho) \le \frac{M (\sqrt c + \sqrt{c+4})^2}{4 (1-\gamma)^2 K}, \quad
             M = \Bigl\|\frac{d^*}{\rho}\Bigr\|_\infty, \quad c = \frac{2 |S| M}{\eta}""",
    where="O(1/K) is Theorem 5 in the shape, recalled; the statement for all step sizes is derived, see docs, "
    "with d* normalized and rewards in [0, 1]",
    kind="upper",
    mode="numeric",
    instances=joined(positive(sizes=((2, 2), (3, 2)), gammas=GAMMAS, fast=1, full=6), locks(Fraction(1, 2)), ragged()),
    controls=[
        mutant("twice the move", moves=2),
        mutant("the inequality of a step without its first term", first=0, eta=Fraction(1, 1000)),
        mutant("the inequality of a step without its second term", second=0, eta=Fraction(1000)),
        mutant("the initial law for the visits of the optimal policy", law="rho"),
    ],
    about=[ProjectedPolicyGradient],
    domain="initial laws positive in every state",
)
def sublinear(
    mdp: Any,
    *,
    moves: int = 1,
    first: int = 1,
    second: int = 1,
    law: str = "optimal",
    eta: Fraction = Fraction(1, 2),
    steps: int = 4,
) -> Iterator[Row]:
    """Whatever the step size, projected gradient steps improve every state, and close in like 1/K."""
    judge = Judge(mdp)
    gamma, rho, best = judge.gamma_exact, judge.rho_exact, judge.optimal
    star = [Fraction(x) for x in judge.optimal_policy]
    d_star = [(1 - gamma) * x for x in judge.exact_visits(star)] if law == "optimal" else rho
    M = max(x / y for x, y in zip(d_star, rho, strict=True))
    c = ball(2 * judge.S * M / eta)
    bound = ball(M) * (c.sqrt() + (c + 4).sqrt()) ** 2 / ball(4 * (1 - gamma) ** 2)
    before: Iterate | None = None
    for now in the_iterates(judge, eta, steps):
        yield from now.rows
        gap = weighted(rho, best) - weighted(rho, now.V)
        if before is not None:
            for s, pairs in enumerate(judge.pairs):
                square = sum(((now.pi[j] - before.pi[j]) ** 2 for j in pairs), Fraction(0))
                yield leq(moves * square / (eta * before.d[s]), now.V[s] - before.V[s], f"k={now.k}, s={s}")
            gain = weighted(d_star, now.V) - weighted(d_star, before.V)
            reach = 2 * sum((x / (eta * y) for x, y in zip(d_star, before.d, strict=True)), Fraction(0))
            old = weighted(rho, best) - weighted(rho, before.V)
            yield leq((1 - gamma) * old, first * ball(reach * gain).sqrt() + second * ball(gain), f"step {now.k}")
            yield leq(gap, bound / now.k, f"K={now.k}", k=now.k)
        before = now


@claim(
    "xiao2022:finite-end",
    says=r"""\exists K:\ V^{\pi_K} = V^* ; \qquad \pi_k(b) = \max\Bigl(0, \tfrac12 - \tfrac{k \eta \Delta}{2(1-\gamma)}\Bigr)
             \text{ of the worse of two arms, so } K = \Bigl\lceil \tfrac{1-\gamma}{\eta \Delta} \Bigr\rceil""",
    where="derived, see docs",
    kind="tight",
    mode="exact",
    instances=joined(
        bandits(arms=(2,), fast=2, full=4), positive(sizes=((2, 2), (3, 2)), gammas=GAMMAS, fast=2, full=8)
    ),
    controls=[
        mutant("one step less", fewer=1),
        mutant("no factor 1/(1 - gamma): the visits forgotten", visits=False),
        mutant("twice as fast", speed=2),
    ],
    about=[ProjectedPolicyGradient],
    domain="unique optimal actions",
)
def finite_end(mdp: Any, *, fewer: int = 0, visits: bool = True, speed: int = 1) -> Iterator[Row]:
    """Projected gradients end at an optimal policy after finitely many steps."""
    judge = Judge(mdp)
    if judge.S > 1:
        # Steps that move as much as there is to move.
        lost = [judge.optimal[s] - x for x, s in zip(judge.optimal_q, judge.state, strict=True)]
        eta = 1 / min(x for x in lost if x > 0)
        V: list[Fraction] = []
        for now in the_iterates(judge, Fraction(1, 4), 1):  # one that stays inside
            yield from now.rows
        for now in the_iterates(judge, eta, 12):
            yield from now.rows
            if now.V == judge.optimal:
                break
            V = now.V
        yield all_equal(V if fewer else now.V, judge.optimal, "the last value")
        return
    low, high = sorted(judge.r_exact)
    worse = judge.r_exact.index(low)
    eta = Fraction(1, 3) / (high - low)
    pace = speed * eta * (high - low) / ((1 - judge.gamma_exact) if visits else 1)
    last = -(-(1 - judge.gamma_exact) // (eta * (high - low))) - fewer
    for now in the_iterates(judge, eta, int(last)):
        yield from now.rows
        left = max(Fraction(0), Fraction(1, 2) - now.k * pace / 2)
        yield all_equal([now.pi[worse]], [left], f"k={now.k}: the worse arm")
    yield all_equal(now.V, judge.optimal, f"k={last}: the last value")
