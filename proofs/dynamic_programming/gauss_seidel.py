r"""Claims about Gauss--Seidel value iteration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from mdpkit.claims import Row, all_equal, all_leq, claim, leq, mutant
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.rounding import UNIT, Accumulated, all_near, backup_error, near
from mdpkit.claims.trial import iterates
from mdpkit.proofs.dynamic_programming.value_iteration import INSTANCES, changes
from mdpkit.solvers.dynamic_programming import GaussSeidel, ValueIteration

BELOW = -1
"""A constant below its backup, as the rewards are at least zero."""


def low_start(exact: Exact, low: int) -> Fraction:
    """The constant as the solver is given it; costs of at most one need -10 for -1."""
    return Fraction(low) if exact.sign > 0 or low > 0 else -Fraction(10 * low)


def in_place(exact: Exact, before: Sequence[Any], after: Sequence[Any], backward: bool = False) -> list[Any]:
    """One sweep in place, in which each state sees the values that the solver had by then."""
    out: list[Any] = []
    for s, pairs in enumerate(exact.pairs):
        seen = [after[t] if (t > s if backward else t < s) else before[t] for t in range(exact.S)]
        out.append(max(exact.r[k] + exact.gamma[k] * exact.row(k, seen) for k in pairs))
    return out


@claim(
    "puterman1994:gauss-seidel",
    says=(
        r"\|V_k - V^*\|_\infty \le \gamma^k \|V_0 - V^*\|_\infty, \qquad "
        r"V_0 \le TV_0 \Rightarrow T^k V_0 \le V_k \le V_{k+1} \le V^*"
    ),
    where="Section 6.3.3, recalled; proved, see docs",
    kind="upper",
    mode="numeric",
    instances=INSTANCES,
    controls=[
        mutant("value iteration, whose states do not see each other", tested=ValueIteration),
        mutant("the sweep from the last state to the first", backward=True),
        mutant("one power of the discount more", power=1),
        mutant("from above its backup the iterates do not rise", low=200),
        mutant("as fast as two sweeps of value iteration", speed=2),
    ],
    about=[GaussSeidel],
)
def gauss_seidel(
    mdp: Any, *, tested: Any = GaussSeidel, backward: bool = False, power: int = 0, low: int = BELOW, speed: int = 1,
    steps: int = 12,
) -> Iterator[Row]:  # fmt: skip
    """Sweeps in place contract like value iteration, and from below its backup they are at least as fast."""
    exact = Exact.of(mdp)
    gamma, star = exact.modulus, exact.optimal
    for given, rising in ((Fraction(3, 4), False), (low_start(exact, low), True)):
        start = exact.sign * given
        total, before, plain = Accumulated(gamma), [], [start] * exact.S
        first = sup(v - start for v in star)
        for k, state in enumerate(iterates(mdp, tested(V0=float(given)), steps, arithmetic="float")):
            V, at = exactly(state.V), f"start {start}, k={k}"
            if not k:
                yield all_equal(V, [start] * exact.S, "V_0")
            else:
                # Old and new values both enter, so the bound on the rounding takes the larger of each.
                error = backup_error(exact, [max(abs(x), abs(y)) for x, y in zip(before, V, strict=True)])
                yield all_near(state.V, in_place(exact, before, V, backward), error, f"V_{k}")
                # What V <= GV may miss, for the sweep G: 1 + gamma times the errors so far.
                rise = 2 * (total.value + max(error))
                total.add(max(error))
                least, most, rounding = changes(before, V)
                change = max(abs(least), abs(most))
                yield near(state.residual, change, rounding, f"residual_{k}")
                gap = 2 * change / (1 - gamma)
                yield near(state.gap, gap, 2 * rounding / (1 - gamma) + 8 * UNIT / (1 - gamma) * gap, f"gap_{k}")
                for _ in range(speed):
                    plain = exact.backup(plain)
            distance = sup(x - y for x, y in zip(V, star, strict=True))
            yield leq(distance, gamma ** (k + power) * first + total.value, at, k=k, series=f"start {start}")
            if rising:
                if k:
                    yield all_leq(plain, [v + total.value for v in V], f"T^k V_0 <= V_k, {at}")
                    yield all_leq(before, [v + rise for v in V], f"V rises, {at}")
                yield all_leq(V, [v + total.value for v in star], f"V <= V*, {at}")
            before = V
