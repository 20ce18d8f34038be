r"""Claims about the softmax policy gradient with exact gradients.

The judge takes the gradient without the policy gradient theorem: along one probability the value is a quotient of affine
functions. The proofs are in the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from mdpkit.claims import Case, Rate, Row, all_equal, claim, equal, leq, mutant, point
from mdpkit.claims.cases import bandit, chosen, discounted, joined, locks, ragged
from mdpkit.claims.enclosure import precision
from mdpkit.claims.judge import Judge, ball, exp, largest, log
from mdpkit.claims.trial import iterates
from mdpkit.models.criterion import Discounted, EntropyRegularized
from mdpkit.models.mdp import MDP
from mdpkit.solvers.policy_gradient import SoftmaxPolicyGradient

HALF = Fraction(1, 2)
GAMMAS = (HALF, Fraction(9, 10))


def lopsided(**options: Any) -> Any:
    """Random models whose initial law prefers later states."""

    def cases(level: Any, rng: Any) -> Iterator[Case]:
        for name, mdp in discounted(**options)(level, rng):
            law = np.array([Fraction(2 * (s + 1), mdp.n_states * (mdp.n_states + 1)) for s in range(mdp.n_states)])
            yield Case(f"{name}, rho=lopsided", mdp.under(rho=law))

    return cases


MODELS = joined(lopsided(sizes=((1, 3), (2, 2), (3, 2)), gammas=GAMMAS, fast=3, full=9), ragged())


def copies(n: int, gamma: Fraction = HALF) -> Case:
    """Bandits with rewards 1 and 0, n of them side by side."""
    P = [[[Fraction(int(s == t)) for t in range(n)]] * 2 for s in range(n)]
    return Case(f"{n} bandits, gamma={gamma}", MDP(P, [[Fraction(1), Fraction(0)]] * n, Discounted(gamma)))


class Iterate(NamedTuple):
    """A policy of the tested solver with the judge's numbers about it, and the rows that tie it to the one before."""

    k: int
    log_pi: list[Any]
    pi: list[Any]
    V: list[Any]
    gradient: list[Any]
    rows: list[Row]


def the_iterates(
    judge: Judge,
    eta: Any,
    n: int,
    tau: Fraction | None = None,
    reference: Any = None,
    wrong: str = "",
) -> Iterator[Iterate]:
    """The iterates 0 to n, with the rows that say that they start at zero and follow the gradient."""
    problem = judge.mdp if tau is None else judge.mdp.under(EntropyRegularized(judge.gamma_exact, tau, reference))
    log_reference = [ball(0)] * judge.L if reference is None else [log(x) for x in reference]
    expected: Any = [ball(0)] * judge.L
    for k, state in enumerate(iterates(problem, SoftmaxPolicyGradient(eta), n)):
        theta, log_pi = list(state.theta), list(state.log_pi)
        pi = [exp(x) for x in log_pi]
        paid = judge.r if tau is None else judge.soft_rewards(log_pi, tau, log_reference)
        V = judge.value(pi, paid)
        rows = [
            all_equal(theta, expected, f"k={k}: theta"),
            all_equal(log_pi, judge.log_softmax(theta), f"k={k}: log pi"),
            all_equal(state.V, V, f"k={k}: V"),
        ]
        gradient = judge.logit_gradient(pi, paid)
        yield Iterate(k, log_pi, pi, V, gradient, rows)
        moved = gradient
        if wrong == "normalized":
            moved = [(1 - judge.gamma) * x for x in gradient]
        elif wrong == "probabilities":
            moved = judge.gradient(pi, paid)
        elif wrong == "no entropy":
            moved = judge.logit_gradient(pi)
        elif wrong == "uniform":
            moved = judge.logit_gradient(pi, paid, [ball(Fraction(1, judge.S))] * judge.S)
        expected = [x + ball(eta) * y for x, y in zip(theta, moved, strict=True)]


@claim(
    "agarwal2021:softmax-gradient",
    says=r"""\theta_{k+1} - \theta_k = \eta \nabla_\theta V^{\pi_k}(\rho), \qquad
             \nabla_{\theta(s,a)} V_\tau^\pi(\rho) = d_\rho^\pi(s)\, \pi(a|s)
             \bigl( Q_\tau^\pi - \tau \log \pi - V_\tau^\pi \bigr)(s,a)""",
    where="Lemma C.1, recalled; with entropy it is that with the rewards r - tau log pi frozen, derived, see docs",
    kind="identity",
    mode="numeric",
    instances=MODELS,
    controls=[
        mutant("visits that sum to one", wrong="normalized"),
        mutant("derivatives by probabilities, not by logits", wrong="probabilities"),
        mutant("the gradient without the entropy's part", wrong="no entropy"),
        mutant("from a uniform initial law", wrong="uniform"),
    ],
    about=[SoftmaxPolicyGradient],
)
def gradient(mdp: Any, *, wrong: str = "", steps: int = 2) -> Iterator[Row]:
    """The direction is the derivative of the value by the logits, with and without entropy."""
    judge = Judge(mdp)
    rank = [Fraction(1 + k - judge.pairs[s][0]) for k, s in enumerate(judge.state)]
    law = [rank[k] / sum(rank[j] for j in judge.pairs[s]) for k, s in enumerate(judge.state)]
    for tau, reference in ((None, None), (Fraction(1, 5), None), (Fraction(1, 5), law)):
        for now in the_iterates(judge, Fraction(3, 4), steps, tau, reference, wrong):
            yield from now.rows


def squares(judge: Judge, x: list[Any]) -> list[Any]:
    """The squared norm of the entries of each state."""
    return [sum((x[k] * x[k] for k in pairs), ball(0)) for pairs in judge.pairs]


@claim(
    "mei2020:monotone",
    says=r"""V^{\pi_{k+1}}(s) - V^{\pi_k}(s) \ge \frac{\eta}{2\, d_k(s)} \|\nabla_{\theta(s,\cdot)} V^{\pi_k}(\rho)\|^2
             \text{ if } \eta \le 2(1-\gamma)^2; \qquad
             V^{\pi_{k+1}}(\rho) - V^{\pi_k}(\rho) \ge \frac\eta2 \|\nabla V^{\pi_k}(\rho)\|^2
             \text{ if } \eta \le \tfrac{(1-\gamma)^3}{8}""",
    where="the second: Lemma 7 (smoothness 8/(1-gamma)^3), recalled; the first is derived, see docs",
    kind="monotone",
    mode="numeric",
    instances=MODELS,
    controls=[
        mutant("steps of 100 (1 - gamma)^2", longer=50),
        mutant("twice the gradient's square", factor=2),
        mutant("divided by 1 - gamma: as if the visits were all in one state", horizon=True),
    ],
    about=[SoftmaxPolicyGradient],
    domain="rewards in [0, 1]",
)
def monotone(mdp: Any, *, longer: int = 1, factor: int = 1, horizon: bool = False, steps: int = 4) -> Iterator[Row]:
    """The value increases in every state, by at least half of what the gradient promises."""
    judge = Judge(mdp)
    rest = 1 - judge.gamma_exact
    for eta, small in ((2 * rest**2 * longer, False), (rest**3 / 8, True)):
        before: Iterate | None = None
        for now in the_iterates(judge, eta, steps):
            yield from now.rows
            if before is not None:
                half = ball(eta) / 2 * factor * factor / (ball(rest) if horizon else 1)
                size, d = squares(judge, before.gradient), judge.visits(before.pi)
                for s in range(judge.S):
                    yield leq(half * size[s] / d[s], now.V[s] - before.V[s], f"eta={eta}, k={now.k}, s={s}")
                if small:
                    gain = judge.objective(now.V) - judge.objective(before.V)
                    yield leq(half * sum(size, ball(0)), gain, f"eta={eta}, k={now.k}: objective")
            before = now


@claim(
    "mei2020:domination",
    says=r"""V^*(\rho) - V^\pi(\rho) \le \frac{\sqrt{|S|}}{\min_s \pi(a^*(s)|s)} \Bigl\|\frac{d^*}{d^\pi}\Bigr\|_\infty
             \|\nabla_\theta V^\pi(\rho)\|_2, \qquad V^*(\rho) - V^{\pi_K}(\rho) \le \frac{2 C^2}{\eta\, m\, K},
             \quad \eta \le 2 (1-\gamma)^2""",
    where="Lemma 8 and the shape of Theorem 4, recalled; derived, see docs, with C the largest factor of the first "
    "inequality along the run and m the least ratio of visits to a state after and before a step",
    kind="upper",
    mode="numeric",
    instances=joined(MODELS, locks(HALF), chosen(lambda: [copies(4)])),
    controls=[
        mutant("no number of states", states=False),
        mutant("no probability of the optimal action", probability=False),
        mutant("no mismatch of visits", mismatch=False),
        mutant("the square of the constant left out of the rate", square=False),
    ],
    about=[SoftmaxPolicyGradient],
    domain="rewards in [0, 1], and every state visited",
    caveat="the smallest probability of an optimal action can be exponentially small, and then the rate says nothing for "
    "exponentially many steps: li2023",
)
def domination(
    mdp: Any,
    *,
    states: bool = True,
    probability: bool = True,
    mismatch: bool = True,
    square: bool = True,
    steps: int = 8,
) -> Iterator[Row]:
    """A policy with a small gradient is nearly optimal, and so the gap closes in like 1/K."""
    judge = Judge(mdp)
    eta = 2 * (1 - judge.gamma_exact) ** 2
    star = judge.optimal_policy
    best, d_star = judge.objective(judge.optimal), judge.visits(star)
    C = m = d_before = None
    for now in the_iterates(judge, eta, steps):
        yield from now.rows
        d = judge.visits(now.pi)
        least = -largest([-now.pi[k] for k in range(judge.L) if star[k]])
        factor = ball(judge.S if states else 1).sqrt() / (least if probability else 1)
        if mismatch:
            factor = factor * largest([x / y for x, y in zip(d_star, d, strict=True)])
        norm = sum(squares(judge, now.gradient), ball(0)).sqrt()
        gap = best - judge.objective(now.V)
        yield leq(gap, factor * norm, f"k={now.k}: domination")
        if d_before is not None:
            ratio = -largest([-x / y for x, y in zip(d, d_before, strict=True)])
            m = ratio if m is None else m.min(ratio)
            assert C is not None
            bound = 2 * (C * C if square else 1) / (ball(eta) * m * now.k)
            yield leq(gap, bound, f"K={now.k}", k=now.k)
        C = factor if C is None else C.max(factor)
        d_before = d


def log_odds(judge: Judge, log_pi: Any) -> Any:
    """Of the best arm against another."""
    good = max(range(judge.L), key=lambda k: judge.r_exact[k])
    return log_pi[good] - log_pi[0 if good else 1]


@claim(
    "mei2020:bandit-rate",
    says=r"""V^* - V^{\pi_k} \sim \frac{|A| - 1}{|A|\, \eta\, k}, \qquad
             \sum_{j<k} \tfrac12 G''(z_j) (z_{j+1} - z_j)^2 \le G(z_k) - G(0) - |A| \eta' \Delta k \le
             \sum_{j<k} \tfrac12 G''(z_{j+1}) (z_{j+1} - z_j)^2, \quad G(z) = e^z + 2mz - m^2 e^{-z}""",
    where="Theorem 9 (a lower bound of 1/k), recalled; both sides and the limit are derived, see docs, for "
    "m = |A| - 1 equally bad arms. z = log odds of the best arm, eta' = eta/(1 - gamma), Delta the gap of the rewards",
    kind="rate",
    mode="numeric",
    instances=chosen(
        lambda: [
            bandit(Fraction(0), Fraction(1)),
            bandit(Fraction(1), Fraction(0), Fraction(0), gamma=Fraction(1, 4)),
            bandit(Fraction(1), HALF, Fraction(0)),
        ]
    ),
    controls=[
        mutant("eta for eta/(1 - gamma)", horizon=False),
        mutant("G without the linear term", linear=0),
        mutant("one arm less", fewer=1),
    ],
    about=[SoftmaxPolicyGradient],
    rate=Rate(-1, "exactly", within=0.06),
    domain="bandits with a unique best arm",
    caveat="the two-sided bound for equally bad arms, the rate for all",
)
def bandit_rate(mdp: Any, *, horizon: bool = True, linear: int = 2, fewer: int = 0, steps: int = 56) -> Iterator[Row]:
    """On bandits the gap is of the order 1/k exactly, with a limit that depends on the number of arms and the step alone."""
    judge = Judge(mdp)
    m, rest = judge.L - 1 - fewer, 1 - judge.gamma_exact
    eta = 4 * rest
    best = max(judge.r_exact)
    bad = {r for r in judge.r_exact if r != best}
    drift = (m + 1) * ball(eta) * ball(best - min(bad)) / (ball(rest) if horizon else 1)
    for now in the_iterates(judge, eta, 3):
        yield from now.rows
    low, high, last = ball(0), ball(0), ball(0)
    with precision(512):  # balls widen by a factor in each step
        states = list(iterates(mdp, SoftmaxPolicyGradient(eta), steps))
    for k, state in enumerate(states):
        log_pi = list(state.log_pi)
        gap = sum((exp(x) * ball(best - r) for x, r in zip(log_pi, judge.r_exact, strict=True)), ball(0)) / ball(rest)
        z = log_odds(judge, log_pi)
        if k and len(bad) == 1:
            square = (z - last) ** 2 / 2
            low += (exp(last) - m * m * exp(-last)) * square
            high += (exp(z) - m * m * exp(-z)) * square
            if k % 8 == 0 or k < 4:
                G = exp(z) + linear * m * z - m * m * exp(-z) - (1 - m * m)
                yield leq(drift * k + low, G, f"k={k}: below")
                yield leq(G, drift * k + high, f"k={k}: above")
                bound = (1 + (linear * m * z + m * m - 1 - m - low) / (exp(z) + m)) * m / ((m + 1) * ball(eta) * k)
                yield leq(gap, bound, f"k={k}: gap", k=k)
        last = z
        if k >= 24 and k % 4 == 0:
            yield point(k, gap)


@claim(
    "mei2020:entropy-rate",
    says=r"""z_{k+1} - z^* = (z_k - z^*) \bigl(1 - 2 \eta' \tau\, x_k (1 - x_k)\bigr), \qquad
             |z_k - z^*| \le |z_0 - z^*| \, \bigl(1 - 2 \eta' \tau\, x^* (1 - x^*)\bigr)^k, \quad z^* = \Delta/\tau""",
    where="the shape of Theorem 6, recalled; on two-armed bandits exactly, derived, see docs. z = log odds and x = "
    "probability of the better arm, eta' = eta/(1 - gamma), Delta the gap of the rewards",
    kind="rate",
    mode="numeric",
    instances=chosen(
        lambda: [bandit(HALF, Fraction(1)), bandit(Fraction(3, 4), Fraction(1, 4), gamma=Fraction(9, 10))]
    ),
    controls=[
        mutant("eta for eta/(1 - gamma)", horizon=False),
        mutant("the optimal log odds with twice the temperature", colder=2),
        mutant("without the factor two", two=1),
    ],
    about=[SoftmaxPolicyGradient],
    rate=Rate(-1, "exactly", within=0.05, scale="geometric"),
    domain="two-armed bandits",
    caveat="the points are drawn against k |log(1 - 2 eta' tau x* (1 - x*))|",
)
def entropy_rate(mdp: Any, *, horizon: bool = True, colder: int = 1, two: int = 2, steps: int = 36) -> Iterator[Row]:
    """With entropy the softmax policy gradient is linear, with a known factor on two-armed bandits."""
    judge = Judge(mdp)
    tau, rest = Fraction(2, 5), 1 - judge.gamma_exact
    eta = 2 * rest
    scale = two * ball(eta) * ball(tau) / (ball(rest) if horizon else 1)
    target = ball(abs(judge.r_exact[0] - judge.r_exact[1])) / (ball(tau) * colder)
    x_star = 1 / (1 + exp(-target))
    factor = 1 - scale * x_star * (1 - x_star)
    for now in the_iterates(judge, eta, 3, tau):
        yield from now.rows
    last: Any = None
    problem = mdp.under(EntropyRegularized(judge.gamma_exact, tau))
    for k, state in enumerate(iterates(problem, SoftmaxPolicyGradient(eta), steps)):
        z = log_odds(judge, list(state.log_pi))
        x = 1 / (1 + exp(-z))
        if last is not None:
            old, old_x = last
            yield equal(z - target, (old - target) * (1 - scale * old_x * (1 - old_x)), f"k={k}: step")
        last = z, x
        if k:
            yield leq(abs(z - target), target * factor**k, f"k={k}", k=k)
        if k >= steps // 2:
            yield point(float(-(k * factor.log()).mid()), abs(z - target))
