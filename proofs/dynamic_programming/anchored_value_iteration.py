r"""Claims about anchored value iteration: both bounds, where they are attained, and what breaks without the worst policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Case, Interval, Row, all_equal, all_leq, claim, equal, leq, mutant
from mdpkit.claims.cases import by_pairs, chosen, discounted, joined
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.rounding import all_near, factors, near
from mdpkit.claims.trial import iterates
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.proofs.dynamic_programming.value_iteration import COSTS, follows
from mdpkit.solvers.dynamic_programming import AnchoredValueIteration

F = Fraction
PATH_GAMMA, PATH_LENGTH = F(9, 10), 7


def shaped(P: Any, r: Any, gamma: Fraction, start: Sequence[Fraction]) -> MDP:
    """The model in which values are less by ``start``: the iterates from zero are those from ``start``, less it."""
    P = np.array(P, dtype=object)
    r = np.array(r, dtype=object)
    base = np.array(start, dtype=object)
    return MDP(P, r + gamma * (P @ base) - base[:, None], Discounted(gamma), rho=0)


def path() -> MDP:
    """States in a row that end in a loop, with value 1 everywhere but -1 at the end: the bound is attained at its length."""
    K = PATH_LENGTH
    star = [F(1)] * (K + 1) + [F(-1)]
    after = [*range(1, K + 2), K + 1]
    P = np.full((K + 2, 1, K + 2), F(0), dtype=object)
    P[np.arange(K + 2), 0, after] = F(1)
    r = np.array([[star[s] - PATH_GAMMA * star[t]] for s, t in enumerate(after)], dtype=object)
    return MDP(P, r, Discounted(PATH_GAMMA), rho=0)


def worst_needed() -> MDP:
    """Stay at a loss or go where it pays, seen from V* + (-20, 20): with the distance to V* alone the bound is false."""
    P = [[[F(1), F(0)], [F(1), F(0)]], [[F(1), F(0)], [F(0), F(1)]]]
    r = [[F(1), F(1)], [F(1), F(-2)]]
    return shaped(P, r, F(999, 1000), [F(980), F(1020)])


def below(gamma: Fraction = Fraction(9, 10)) -> MDP:
    """Two states that pay 1 and 2 and lead to each other; zero lies below its backup."""
    P = [[[F(1, 2), F(1, 2)], [F(0), F(1)]], [[F(1), F(0)], [F(1, 4), F(3, 4)]]]
    return MDP(P, [[F(1), F(1, 2)], [F(2), F(1)]], Discounted(gamma), rho=0)


CASES = joined(
    discounted(full=8),
    by_pairs(),
    COSTS,
    chosen(
        lambda: [
            Case("one state, a loop that pays 1, gamma=9/10", MDP([[[F(1)]]], [[F(1)]], Discounted(F(9, 10)), rho=0)),
            Case("a row of states with value 1 before a loop with value -1", path()),
            Case("the worst policy is needed", worst_needed()),
            Case("two states that pay, gamma=9/10", below()),
        ]
    ),
)


def weight(gamma: Fraction, k: int, base: int = 2) -> Fraction:
    """The anchor's weight."""
    return 1 / sum((gamma ** (-base * i) for i in range(k + 1)), F(0))


def rate(gamma: Fraction, k: int, twice: int = 2) -> Fraction:
    """The factor of the bound on Bellman errors; ``twice`` is 1 from below the backup."""
    power = gamma ** (k + 1)
    return (1 / gamma - gamma) * (1 + twice * gamma - power) / (1 / power - power)


def error_rate(gamma: Fraction, k: int) -> Fraction:
    """The factor of the bound on the error."""
    return gamma**k * (1 + gamma) / (1 + gamma ** (k + 1))


def the_iterates(
    exact: Exact, start: Fraction, n: int, tested: Any = None, base: int = 2
) -> Iterator[tuple[list[Any], Any, list[Row]]]:
    """The solver's iterates, how far rounding may have moved them, and the rows that say they follow the update."""
    gamma, moved, before = exact.modulus, Fraction(0), None
    anchor: list[Any] = []
    solver = tested or AnchoredValueIteration(V0=float(start))
    for k, state in enumerate(iterates(exact.mdp, solver, n, arithmetic="float")):
        rows: list[Row] = []
        V, beta = exactly(state.anchored), weight(gamma, k, base)
        # The weight comes from k quotients, sums and products on the last weight and the squared discount.
        off = factors(8 * k + 8)
        rows.append(near(state.weight, beta, off * beta, f"weight_{k}"))
        if before is None:
            sign = exact.sign
            rows += [all_equal(V, [sign * start] * exact.S, "V_0"), all_equal(exactly(state.V), V, "V_0")]
        else:
            error, more = follows(exact, before, state, f"_{k}")
            rows += more
            TV = exactly(state.V)
            mixed = [beta * a + (1 - beta) * x for a, x in zip(anchor, TV, strict=True)]
            size = beta * sup(anchor) + (1 - beta) * sup(TV)
            last = (off + factors(6)) * size + off * beta * sup(TV)
            rows.append(all_near(state.anchored, mixed, last, f"anchored_{k}"))
            moved = (1 - beta) * (gamma * moved + max(error)) + last
        if before is None:
            anchor = V
        yield V, moved, rows
        before = V


@claim(
    "lee2023:bellman-error",
    says=r"""
\|TV_k - V_k\| \le \frac{(\gamma^{-1}-\gamma)(1+2\gamma-\gamma^{k+1})}{\gamma^{-(k+1)}-\gamma^{k+1}}
\max\{\|V_0-V^*\|, \|V_0-\hat V\|\}, \\
V_0 \le TV_0 \Rightarrow
\|TV_k - V_k\| \le \frac{(\gamma^{-1}-\gamma)(1+\gamma-\gamma^{k+1})}{\gamma^{-(k+1)}-\gamma^{k+1}} \|V_0-V^*\|""",
    where="Theorem 2, recalled; proved, see docs",
    kind="tight",
    mode="numeric",
    instances=CASES,
    controls=[
        mutant("the worst policy left out", worst=False),
        mutant("once the discount, as from below the backup", twice=1),
        mutant("k + 2 in place of k + 1", later=1),
        mutant("weights by the discount, not its square", base=1),
        mutant("the anchor at another start", tested=AnchoredValueIteration(V0=0.5)),
    ],
    about=[AnchoredValueIteration],
)
def bellman_error(
    mdp: Any, *, worst: bool = True, twice: int = 2, later: int = 0, base: int = 2, tested: Any = None, steps: int = 26
) -> Iterator[Row]:
    """The Bellman error of anchored value iteration falls like 1/k first, also at the worst policy's scale; attained."""
    exact = Exact.of(mdp)
    gamma = exact.modulus
    for start in (F(0), F(-3)):
        from_below: bool | None = None
        length = steps if exact.S == 2 and gamma > F(99, 100) else 10
        for k, (V, moved, rows) in enumerate(the_iterates(exact, start, length, tested, base)):
            yield from rows
            TV = exact.backup(V)
            if from_below is None:
                near_star = sup(x - y for x, y in zip(V, exact.optimal, strict=True))
                near_worst = sup(x - y for x, y in zip(V, exact.worst, strict=True))
                from_below = all(x <= y for x, y in zip(V, TV, strict=True))
            d, slack, at = [x - y for x, y in zip(TV, V, strict=True)], (1 + gamma) * moved, f"start {start}, k={k}"
            either = max(near_star, near_worst) if worst else near_star
            # Where all rows weigh the same discount; the proof needs no more than rows of sum at most one.
            yield leq(sup(d), rate(gamma, k + later, twice) * either + slack, at, k=k, series=f"start {start}")
            yield leq(max(d), rate(gamma, k + later, twice) * near_star + slack, f"rise, {at}")
            if from_below:
                yield leq(sup(d), rate(gamma, k + later, 1) * near_star + slack, f"from below, {at}")
                yield all_leq([-x for x in d], [slack] * exact.S, f"V <= TV, {at}")
            if exact.S == PATH_LENGTH + 2 and k == PATH_LENGTH and not start and not later:
                bound = rate(gamma, k, 2) * near_star
                yield equal(sup(d), Interval(bound - slack, bound + slack), f"attained, {at}")


@claim(
    "lee2023:error",
    says=r"\|V_k - V^*\| \le \gamma^k \frac{1+\gamma}{1+\gamma^{k+1}} \|V_0 - V^*\|",
    where="not recalled from the paper; proved, see docs",
    kind="tight",
    mode="numeric",
    instances=CASES,
    controls=[
        mutant("value iteration's bound", numerator=0),
        mutant("k in place of k + 1 in the denominator", shift=0),
        mutant("the discount of the next power", power=1),
    ],
    about=[AnchoredValueIteration],
)
def error(mdp: Any, *, numerator: int = 1, shift: int = 1, power: int = 0, steps: int = 10) -> Iterator[Row]:
    """The error of the anchored iterate itself is at most twice value iteration's bound, and one state attains it."""
    exact = Exact.of(mdp)
    gamma, start = exact.modulus, F(0)
    for k, (V, moved, rows) in enumerate(the_iterates(exact, start, steps)):
        yield from rows
        off = sup(x - y for x, y in zip(V, exact.optimal, strict=True))
        if not k:
            first = off
        bound = gamma ** (k + power) * first
        bound *= (1 + gamma) / (1 + gamma ** (k + shift)) if numerator else 1
        yield leq(off, bound + moved, f"k={k}", k=k)
        if exact.L == 1 and (numerator, shift, power) == (1, 1, 0):
            yield equal(off, Interval(bound - moved, bound + moved), f"attained, k={k}")
