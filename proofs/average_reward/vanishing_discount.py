r"""Claims about the average reward as the limit of discounted problems: every policy is judged exactly."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, claim, fact, leq, mutant, point
from mdpkit.claims.claim import Rate
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.rounding import all_near, gain_errors
from mdpkit.claims.trial import call, iterates, pose
from mdpkit.kernels.gain import evaluate_average
from mdpkit.proofs.average_reward.multichain_policy_iteration import CASES
from mdpkit.solvers.average_reward import VanishingDiscount

F = Fraction
FACTOR, FIRST = F(1, 4), F(1, 2)


def blackwell(exact: Exact, gamma: Fraction) -> bool:
    """Whether the discount lies beyond the point from which on the optimal policies do not change, up to 1 - 2^-60.

    A policy's value is a rational function of the discount, of numerator and denominator of degree at most S, so two policies
    change places at most 2S times in a state; that none do between here and 1 - 2^-60 is sampled, not proved.
    """
    last: set[int] | None = None
    rest = 1 - gamma
    while rest > F(1, 2**60):
        pairs = exact.under_discount(1 - rest).optimal_pairs
        if last is not None and pairs != last:
            return False
        last, rest = pairs, rest / 2**10
    return True


@claim(
    "blackwell1962:vanishing-discount",
    says=r"""
\exists \gamma_0 < 1 : \pi \text{ optimal for some } \gamma \in (\gamma_0, 1) \Rightarrow g^\pi = g^* \text{ and } h^\pi = h^*,
\qquad (1-\gamma) V^*_\gamma \to g^*""",
    where="Theorem 5 of the paper, recalled; proved, see docs",
    kind="identity",
    mode="numeric",
    instances=CASES,
    controls=[
        mutant("at every discount, not from some discount on", always=True),
        mutant("discounts half as near to one", factor=F(1, 2)),
        mutant("the gain of the discounted value without its factor", bare=True),
        mutant("another first discount", tested=VanishingDiscount(gamma0=0.25)),
    ],
    about=[VanishingDiscount],
    caveat="that no optimal policy changes beyond the last discount looked at is sampled up to 1 - 2^-60",
)
def vanishing_discount(
    mdp: Any,
    *,
    tested: Any = None,
    always: bool = False,
    factor: Fraction = FACTOR,
    bare: bool = False,
    steps: int = 7,
) -> Iterator[Row]:
    """From some discount on optimal policies have the largest gain, and the largest bias among those."""
    exact = Exact.of(mdp)
    star = exact.optimal
    best_bias: Any = None
    for k, state in enumerate(iterates(mdp, tested or VanishingDiscount(), steps, arithmetic="float")):
        choice, at = list(exact.exit(state.choice)), f"k={k}"
        g, h = exact.gain_and_bias(choice)
        gain_error, bias_error = gain_errors(exact, choice)
        yield all_near(state.gain, g, gain_error, f"gain, {at}")
        yield all_near(state.bias, h, bias_error, f"bias, {at}")
        yield all_equal([F(state.rest)], [(1 - FIRST) * factor**k], f"one less the discount, {at}")
        if not k:
            largest = [max(exact.r[j] for j in pairs) for pairs in exact.pairs]
            yield all_equal([exact.r[j] for j in choice], largest, "the first policy is greedy for the reward")
            continue
        rest = (1 - FIRST) * FACTOR ** (k - 1)
        twin = exact.under_discount(1 - rest)
        yield all_equal(twin.value(choice), twin.optimal, f"optimal for the discount, {at}")
        if always or (k >= 4 and blackwell(exact, 1 - rest)):
            yield all_equal(g, star, f"the largest gain, {at}")
            if best_bias is None:
                optimal = [exact.gain_and_bias(c) for c in exact.policies() if exact.gain(c) == star]
                best_bias = [max(b) for b in zip(*(b for _, b in optimal), strict=True)]
            yield all_equal(h, best_bias, f"the largest bias, {at}")
        if k == steps:
            yield fact(blackwell(exact, 1 - rest), "the last discount is beyond the last change")
            # W = g / (1 - gamma) + h misses the policy's equation by (1 - gamma) Ph, so V differs from it by at most ||h||.
            off = [(1 if bare else rest) * v - x for v, x in zip(twin.optimal, star, strict=True)]
            yield leq(sup(off), 2 * rest * sup(h), f"(1 - gamma) V, {at}")


@claim(
    "blackwell1962:laurent",
    says=r"(1-\gamma) V^\pi_\gamma = g^\pi + (1-\gamma) h^\pi + O((1-\gamma)^2)",
    where="the expansion of the paper, recalled; the rate is that of its second term",
    kind="rate",
    mode="exact",
    instances=CASES,
    rate=(
        *(Rate(-1.0, "exactly", within=0.05, series=f"without the bias, {x}") for x in ("first", "last")),
        *(Rate(-2.0, "at_most", within=0.05, series=f"with the bias, {x}") for x in ("first", "last")),
    ),
    controls=[
        mutant("relative values in place of the bias", shift=True),
        mutant("the bias counted twice", twice=2),
    ],
    about=[VanishingDiscount],
)
def laurent(mdp: Any, *, shift: bool = False, twice: int = 1) -> Iterator[Row]:
    """Discounted values come near to the gain like one less the discount, and with the bias like its square."""
    exact = Exact.of(mdp)
    problem, _ = pose(mdp)
    for name, choice in (("first", [p[0] for p in exact.pairs]), ("last", [p[-1] for p in exact.pairs])):
        found = call(evaluate_average, problem.P, problem.r_exact, np.array(choice))
        g, h = (exactly(x) for x in found)
        own = exact.gain_and_bias(choice)
        yield all_equal(g, own[0], f"gain of the {name} actions")
        yield all_equal(h, own[1], f"bias of the {name} actions")
        if shift:
            h = [x - h[0] + 1 for x in h]
        for k in range(8, 24, 2):
            rest = F(1, 2**k)
            V = [rest * v for v in exact.under_discount(1 - rest).value(choice)]
            first = sup(v - x for v, x in zip(V, g, strict=True))
            second = sup(v - x - twice * rest * y for v, x, y in zip(V, g, h, strict=True))
            if first:
                yield point(2**k, first, series=f"without the bias, {name}")
            if second:
                yield point(2**k, second, series=f"with the bias, {name}")
            yield leq(first, 2 * rest * sup(h), f"1 - gamma = 2^-{k}, {name}")
