r"""Claims about value iteration: the geometric rate, and the bounds of MacQueen with which it stops.

The solver computes in floats. Each iterate is compared with the exact backup of the one before it, up to the rounding of one
backup (:mod:`mdpkit.claims.rounding`); the theorems follow up to the sum of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Case, Row, all_equal, all_leq, claim, equal, leq, mutant
from mdpkit.claims.cases import by_pairs, chosen, discounted, joined, named, ragged_costs
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.judge import array
from mdpkit.claims.rounding import UNIT, Accumulated, all_near, backup_error, near
from mdpkit.claims.trial import call, iterates, pose
from mdpkit.models.criterion import Discounted
from mdpkit.operators.bellman import BellmanOptimality
from mdpkit.solvers.dynamic_programming import GaussSeidel, ModifiedPolicyIteration, ValueIteration

VI = ValueIteration(V0=0.75)
ONE_STATE = "garnet?S=1&A=1&branching=1&seed=2"
"""A loop with a reward: bounds that can be attained are, here."""
COSTS = chosen(
    lambda: [Case("costs, two, one and three actions, gamma=9/10", ragged_costs(Discounted(Fraction(9, 10))))]
)
INSTANCES = joined(discounted(full=12), named(ONE_STATE, gamma=Fraction(9, 10)), by_pairs(), COSTS)


def attains(exact: Exact, choice: Any, V: Sequence[Any], error: Sequence[Any], at: str) -> Row:
    """That a policy is greedy for V, up to the rounding of both action values that were compared."""
    q, choice = exact.q(V), exact.exit(choice)
    return all_leq(exact.best(q), [q[k] + 2 * e for k, e in zip(choice, error, strict=True)], at)


def changes(before: Sequence[Any], after: Sequence[Any]) -> tuple[Fraction, Fraction, Fraction]:
    """Least and largest change of a sweep, and the rounding of a difference."""
    d = [x - y for x, y in zip(after, before, strict=True)]
    return min(d), max(d), UNIT * sup(d)


def shift(exact: Exact, d: Any, upward: bool) -> Any:
    """What a change of every state by d is worth from the next step on: at the factor that makes it safe."""
    both = [gamma * d / (1 - gamma) for gamma in (min(exact.gamma), max(exact.gamma))]
    return max(both) if upward else min(both)


def macqueen_width(exact: Exact, low: Any, high: Any) -> Any:
    """Width of MacQueen's bounds."""
    return shift(exact, high, True) - shift(exact, low, False)


def gap_error(exact: Exact, low: Any, high: Any, rounding: Any) -> Any:
    """Rounding of the width: the two changes, then five operations on each; 1 - gamma loses what gamma was rounded by."""
    scale = exact.modulus / (1 - exact.modulus)
    return scale * (2 * rounding + 16 * UNIT / (1 - exact.modulus) * (abs(low) + abs(high)))


def follows(exact: Exact, before: Any, state: Any, at: str) -> tuple[list[Fraction], list[Row]]:
    """The rows that say a state holds the backup of ``before``, its policy, change and gap; and the bound on its rounding."""
    error = backup_error(exact, before)
    V = exactly(state.V)
    low, high, rounding = changes(before, V)
    return error, [
        all_near(state.V, exact.backup(before), error, f"V{at}"),
        attains(exact, state.choice, before, error, f"policy{at}"),
        near(state.residual, max(abs(low), abs(high)), rounding, f"residual{at}"),
        near(state.gap, macqueen_width(exact, low, high), gap_error(exact, low, high, rounding), f"gap{at}"),
    ]


@claim(
    "puterman1994:geometric-rate",
    says=r"\|V_k - V^*\|_\infty \le \gamma^k \|V_0 - V^*\|_\infty",
    where="Theorem 6.3.1, recalled; proved, see docs",
    kind="upper",
    mode="numeric",
    instances=INSTANCES,
    controls=[
        mutant("one power of the discount more", shift=1),
        mutant("the square of the discount", power=2),
        mutant("sweeps in place", tested=GaussSeidel(V0=0.75)),
        mutant("another start", tested=ValueIteration(V0=0.5)),
    ],
    about=[ValueIteration],
)
def geometric_rate(mdp: Any, *, tested: Any = None, shift: int = 0, power: int = 1, steps: int = 20) -> Iterator[Row]:
    """Each sweep of value iteration brings the value nearer by the discount factor."""
    exact = Exact.of(mdp)
    gamma, total, before = exact.modulus, Accumulated(exact.modulus), None
    for k, state in enumerate(iterates(mdp, tested or VI, steps, arithmetic="float")):
        V = exactly(state.V)
        if before is None:
            yield all_equal(V, [exact.sign * Fraction(3, 4)] * exact.S, "V_0")
            first = sup(x - y for x, y in zip(V, exact.optimal, strict=True))
        else:
            error, rows = follows(exact, before, state, f"_{k}") if tested is None else ([], [])
            error = error or backup_error(exact, before)
            yield from rows or [all_near(state.V, exact.backup(before), error, f"V_{k}")]
            total.add(max(error))
        distance = sup(x - y for x, y in zip(V, exact.optimal, strict=True))
        yield leq(distance, gamma ** (power * k + shift) * first + total.value, f"k={k}", k=k)
        before = V


def random_values(exact: Exact, rng: np.random.Generator, n: int) -> Iterator[list[Fraction]]:
    """Values of no particular kind: hundredths of up to the size of the optimal ones."""
    size = int(100 * sup(exact.optimal)) + 100
    for _ in range(n):
        yield [Fraction(int(x), 100) for x in rng.integers(-size, size + 1, exact.S)]


def backed_up(mdp: Any, V: Sequence[Fraction]) -> list[Fraction]:
    """TV by the library's operator, in rationals."""
    problem, _ = pose(mdp)
    return exactly(call(BellmanOptimality(problem.mdp), array(V)))


@claim(
    "macqueen1966:bounds",
    says=(
        r"TV + \frac{\gamma}{1-\gamma} \min_s (TV - V)(s) \le V^* \le TV + \frac{\gamma}{1-\gamma} \max_s (TV - V)(s)"
    ),
    where="the bounds of the paper, recalled; proved, see docs",
    kind="upper",
    mode="exact",
    instances=joined(discounted(), named(ONE_STATE, gamma=Fraction(9, 10))),
    controls=[
        mutant("least and largest change exchanged", ends=(1, 0)),
        mutant("around V in place of TV", around=0),
        mutant("no discount in front", numerator=1),
        mutant("the change counted once, as if nothing followed", series=0),
    ],
    about=[ValueIteration, ModifiedPolicyIteration],
)
def macqueen(
    mdp: Any,
    *,
    rng: np.random.Generator,
    ends: tuple[int, int] = (0, 1),
    around: int = 1,
    numerator: int = 0,
    series: int = 1,
) -> Iterator[Row]:
    """The least and the largest change of one backup enclose the optimal value, whatever was backed up."""
    exact = Exact.of(mdp)
    gamma = exact.modulus
    factor = (1 if numerator else gamma) / ((1 - gamma) if series else 1)
    constants = [[Fraction(c)] * exact.S for c in (-3, 0, 5)]
    for i, V in enumerate([*constants, *random_values(exact, rng, 12)]):
        TV = backed_up(mdp, V)
        yield all_equal(TV, exact.backup(V), f"T V_{i}")
        d = [x - y for x, y in zip(TV, V, strict=True)]
        down, up = ((min(d), max(d))[j] for j in ends)
        middle = TV if around else V
        yield all_leq([x + factor * down for x in middle], exact.optimal, f"below, V_{i}", k=i, series="below")
        yield all_leq(exact.optimal, [x + factor * up for x in middle], f"above, V_{i}", k=i, series="above")
        if exact.S == 1 and (around, numerator, series) == (1, 0, 1):
            yield equal(TV[0] + factor * up, exact.optimal[0], f"attained by one state, V_{i}")
