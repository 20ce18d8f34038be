r"""Claims about conservative policy iteration, in rationals; the proofs are in the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from mdpkit.claims import Case, Row, all_equal, claim, leq, mutant
from mdpkit.claims.cases import chosen, discounted, joined, locks, ragged
from mdpkit.claims.judge import Judge, weighted
from mdpkit.claims.trial import iterates
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.solvers.policy_gradient import ConservativePolicyIteration

HALF = Fraction(1, 2)
GAMMAS = (HALF, Fraction(9, 10))


def exit_(stays: int, gamma: Fraction) -> Case:
    """A state that many equal actions keep, and one leaves for a reward of one: the bound is nearly attained."""
    P = [
        [[Fraction(1), Fraction(0)]] * stays + [[Fraction(0), Fraction(1)]],
        [[Fraction(0), Fraction(1)]] * (stays + 1),
    ]
    r = [[Fraction(0)] * stays + [Fraction(1)], [Fraction(0)] * (stays + 1)]
    return Case(f"exit with {stays} other actions, gamma={gamma}", MDP(P, r, Discounted(gamma), rho=0))


MODELS = joined(
    discounted(sizes=((1, 3), (2, 2), (3, 2)), gammas=GAMMAS, fast=3, full=12),
    chosen(lambda: [exit_(29, HALF)]),
    locks(HALF),
    ragged(),
    # So small a discount that the recommended step is a full one.
    discounted(sizes=((1, 3), (2, 2)), gammas=(Fraction(1, 10),), fast=2, full=4),
)


class Iterate(NamedTuple):
    """A policy of the tested solver with the judge's numbers about it, and the rows that tie it to the one before."""

    k: int
    J: Fraction
    V: list[Fraction]
    d: list[Fraction]
    mean: Fraction
    largest: Fraction
    alpha: Fraction
    rows: list[Row]


def the_iterates(judge: Judge, alpha: Fraction | None, n: int, wrong: str = "") -> Iterator[Iterate]:
    """The iterates 0 to n, with the rows that say that they start uniform and mix in the greedy policy."""
    gamma = judge.gamma_exact
    expected = judge.uniform()
    for k, state in enumerate(iterates(judge.mdp, ConservativePolicyIteration(alpha), n, arithmetic="rational")):
        pi = list(state.pi)
        V = judge.exact_value(pi)
        q = judge.exact_q(V)
        rows = [all_equal(pi, expected, f"pi_{k}"), all_equal(state.V, V, f"V_{k}")]
        best = [max(pairs, key=lambda j: q[j]) for pairs in judge.pairs]
        gains = [q[j] - v for j, v in zip(best, V, strict=True)]
        d = [(1 - gamma) * x for x in judge.exact_visits(pi)]
        weights = judge.rho_exact if wrong == "rho" else d
        mean = weighted(weights, gains)
        largest = max(gains)
        step = alpha
        if step is None:
            step = min(Fraction(1), (1 - gamma) * mean / (4 * gamma * largest)) if largest > 0 else Fraction(1)
        J = judge.exact_objective(V)
        yield Iterate(k, J, V, d, mean, largest, step, rows)
        expected = [(1 - step) * x for x in pi]
        for j in best:
            expected[j] += step


@claim(
    "kakade2002:improvement",
    says=r"""(1-\gamma)\bigl(V^{\pi_{k+1}} - V^{\pi_k}\bigr)(\rho) \ge \alpha \Bigl(\bar A
             - c\,\frac{\alpha \gamma \varepsilon}{1 - \gamma (1-\alpha)}\Bigr), \quad c = 1""",
    where="Theorem 4.1 with c = 2, for any policy that is mixed in, recalled; with c = 1 for the greedy policy derived in the "
    "documentation, with an example where it is attained in the limit",
    kind="lower",
    mode="exact",
    instances=MODELS,
    controls=[
        mutant("four fifths of the second term", c=Fraction(4, 5)),
        mutant("the initial law for the visits", wrong="rho"),
        mutant("no second term", c=0),
    ],
    about=[ConservativePolicyIteration],
)
def improvement(mdp: Any, *, c: Fraction = Fraction(1), wrong: str = "", steps: int = 2) -> Iterator[Row]:
    """A small step to the greedy policy improves, at least to first order."""
    judge = Judge(mdp)
    gamma = judge.gamma_exact
    for alpha in (Fraction(1, 10), HALF):
        before: Iterate | None = None
        for now in the_iterates(judge, alpha, steps, wrong):
            yield from now.rows
            if before is not None:
                loss = c * alpha * gamma * before.largest / (1 - gamma * (1 - alpha))
                yield leq(alpha * (before.mean - loss), (1 - gamma) * (now.J - before.J), f"alpha={alpha}, k={now.k}")
            before = now


@claim(
    "kakade2002:best-step",
    says=r"""\alpha = \frac{(1-\gamma) \bar A}{4 \gamma \varepsilon} \le 1 \;\Rightarrow\;
             V^{\pi_{k+1}}(\rho) - V^{\pi_k}(\rho) \ge \tfrac{3}{16} \frac{\bar A^2}{\gamma \varepsilon}
             \ge \tfrac18 \frac{\bar A^2}{\gamma \varepsilon}""",
    where="Corollary 4.2 (with 1/8, and the largest reward in place of epsilon), recalled; derived, see docs",
    kind="lower",
    mode="exact",
    instances=MODELS,
    controls=[
        mutant("the first order alone: the factor 1/4", factor=Fraction(1, 4)),
        mutant("the initial law for the visits", wrong="rho"),
        mutant("the step four times too long", alpha_factor=4),
    ],
    about=[ConservativePolicyIteration],
)
def best_step(
    mdp: Any, *, factor: Fraction = Fraction(3, 16), wrong: str = "", alpha_factor: int = 1, steps: int = 2
) -> Iterator[Row]:
    """The step that the bound recommends improves by a multiple of the squared advantage."""
    judge = Judge(mdp)
    gamma = judge.gamma_exact
    before: Iterate | None = None
    for now in the_iterates(judge, None, steps, wrong):
        yield from now.rows
        if before is not None and before.alpha < 1:
            size = before.mean**2 / (gamma * before.largest) * alpha_factor
            yield leq(factor * size, now.J - before.J, f"k={now.k}", k=now.k)
        before = now


@claim(
    "kakade2002:stop",
    says=r"V^*(\rho) - V^{\pi_k}(\rho) \le \frac{1}{1-\gamma} \Bigl\| \frac{d^*}{d^{\pi_k}} \Bigr\|_\infty \bar A_k",
    where="Section 4, the bound of its policies' performance, recalled; derived, see docs",
    kind="upper",
    mode="exact",
    instances=MODELS,
    controls=[
        mutant("no mismatch of visits", mismatch=False),
        mutant("no factor 1/(1 - gamma)", horizon=False),
        mutant("the initial law for the visits", wrong="rho"),
    ],
    about=[ConservativePolicyIteration],
    domain="policies that visit whatever an optimal one visits",
)
def stop(mdp: Any, *, mismatch: bool = True, horizon: bool = True, wrong: str = "", steps: int = 2) -> Iterator[Row]:
    """Where no policy promises improvement, the policy is nearly optimal."""
    judge = Judge(mdp)
    gamma = judge.gamma_exact
    star = [Fraction(x) for x in judge.optimal_policy]
    d_star = [(1 - gamma) * x for x in judge.exact_visits(star)]
    best = judge.exact_objective(judge.optimal)
    for now in the_iterates(judge, None, steps, wrong):
        yield from now.rows
        ratio = max(x / y for x, y in zip(d_star, now.d, strict=True) if y > 0) if mismatch else 1
        bound = ratio * now.mean / ((1 - gamma) if horizon else 1)
        yield leq(best - now.J, bound, f"k={now.k}", k=now.k)
