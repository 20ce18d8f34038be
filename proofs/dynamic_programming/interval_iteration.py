r"""Claims about interval iteration: its floats are bounds without any allowance, since it rounds outward."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor, inf
from typing import Any

from mdpkit.claims import Row, all_equal, all_leq, claim, fact, leq, mutant
from mdpkit.claims.cases import goals, joined, named
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.rounding import UNIT, factors
from mdpkit.claims.trial import iterates
from mdpkit.proofs.dynamic_programming.total_reward import MERGED, Lifted, lifted
from mdpkit.solvers.dynamic_programming import IntervalIteration


class Rounded(IntervalIteration):
    """Bounds pulled together a little, as rounding to nearest may do."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """A step whose bounds are one part in 2^40 too near to each other."""
        after = super().step(problem, state, rng)
        middle = (after.below + after.above) / 2
        pull = 2.0**-40 * abs(middle)
        return after._replace(below=after.below + pull, above=after.above - pull)


def outward(L: Lifted, V: Any) -> list[Fraction]:
    """By how much a bound may be rounded outward in one backup, beside the rounding of the backup itself.

    The solver adds (40 + n) u of the row's terms and twice the error of its reward to each pair, and 40 u of the larger of
    the old and the new value to the largest; a few factors (1 + u) on these are within the last term.
    """
    out: list[Fraction] = []
    size = L.errors(V)  # (2n + 6) u times the terms, at least
    for c, pairs in enumerate(L.pairs):
        row = max(size[j] for j in pairs)
        out.append(20 * row + 50 * UNIT * (abs(V[c]) + sup(V)) + factors(4) * max(abs(L.r(j)) for j in pairs))
    return out


def outside(x: Fraction, sign: int) -> Fraction:
    """A number of 90 binary places next to x, outward: long fractions are slow."""
    places = 2**90
    return Fraction(floor(x * places) if sign > 0 else ceil(x * places), places)


@claim(
    "haddad2018:enclosure",
    says=r"""
L_k \le V^* \le U_k, \qquad L_k \le TL_k, \quad U_k \ge TU_k, \qquad
T^j L_k \le L_{k+j} \le L_{k+j+1}, \quad T^j U_k \ge U_{k+j} \ge U_{k+j+1}""",
    where="the correctness of interval iteration on the quotient (for reachability in the paper), recalled; docs/theory",
    kind="upper",
    mode="numeric",
    instances=joined(
        goals(fast=2), MERGED, named("gambler?goal=4", "leaving", "leaving?stay=39/40", "haddad-monmege?n=1")
    ),
    controls=[
        mutant("the two sides exchanged", sides=(1, 0)),
        mutant("rounded to nearest", tested=Rounded()),
        mutant("from below an upper bound", above=-1),
        mutant("two sweeps of value iteration in each step", speed=4),
    ],
    about=[IntervalIteration],
    caveat="that T^j brings both sides to V* is Proposition 2 of bertsekas1991, recalled",
)
def enclosure(
    mdp: Any, *, tested: Any = None, sides: tuple[int, int] = (0, 1), above: int = 1, speed: int = 1, steps: int = 17
) -> Iterator[Row]:
    """Both sides are inductive bounds in every step, move toward each other only, and as fast as value iteration."""
    exact = Exact.of(mdp)
    before: Any = None
    exactly_swept: list[Any] = [None, None]
    error = [Fraction(0), Fraction(0)]
    sound_at: list[Any] = [None, None]
    for k, state in enumerate(iterates(mdp, tested or IntervalIteration(), steps, arithmetic="float")):
        L = lifted(exact, state.plan.quotient)
        star = [exact.optimal[s] for s in L.members]
        now = [exactly(state.below), exactly(state.above)]
        if not k:
            yield all_equal([x for V in now for x in V], [0] * (2 * L.n), "both start at zero")
            signs = [L.r(j) for pairs in L.pairs for j in pairs]
            yield fact(state.sound == (min(signs) >= 0, max(signs) <= 0), "zero bounds rewards of one sign")
        for side in (0, 1):
            V, sign, name = now[sides[side]], 1 - 2 * side, ("L", "U")[side]
            if not state.sound[side]:
                continue
            if sound_at[side] is None:
                sound_at[side], exactly_swept[side] = k, V
            good = [sign * x for x in V]
            yield all_leq(good, [sign * above**side * x for x in star], f"{name}_{k} bounds V*")
            yield all_leq(good, [sign * x for x in L.backup(V)], f"{name}_{k} is inductive")
            if before is not None and before[1][side]:
                old = before[0][sides[side]]
                yield all_leq([sign * x for x in old], good, f"{name}_{k} moves inward")
                # A sweep in place is at least a sweep of value iteration, less what it is rounded by.
                slack = max(outward(L, old))
                swept = L.backup(old)
                for _ in range(speed - 1):
                    swept = L.backup(swept)
                yield all_leq([sign * x for x in swept], [x + slack for x in good], f"T{name}_{k - 1} passed, k={k}")
                # No modulus below one: rounding errors add up.
                error[side] += slack
                exactly_swept[side] = [outside(x, sign) for x in L.backup(exactly_swept[side])]
                off = sup(x - y for x, y in zip(V, star, strict=True))
                bound = sup(x - y for x, y in zip(exactly_swept[side], star, strict=True)) + error[side]
                yield leq(off, bound, f"{name}_{k} closes in", k=k, series=name)
        if all(state.sound):
            width = max((u - x for x, u in zip(*now, strict=True)), default=Fraction(0))
            yield leq(width, Fraction(state.gap) * (1 + 2 * UNIT), f"the gap of step {k}")
        else:
            yield fact(state.gap == inf or L.n == 0, f"no gap without both sides, k={k}")
        before = now, state.sound
    yield fact(before is None or all(before[1]), f"both sides are sound within {steps} steps")
