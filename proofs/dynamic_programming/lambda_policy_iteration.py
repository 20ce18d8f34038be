r"""Claims about lambda policy iteration: its average of sweeps, the two sides of its error, and its rate near the solution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from mdpkit.claims import Case, Interval, Outcome, Row, all_equal, all_leq, claim, equal, fact, leq, mutant
from mdpkit.claims.cases import by_pairs, chosen, discounted, joined, named
from mdpkit.claims.claim import Cases, Level
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.rounding import UNIT, Accumulated, Rising, all_near, factors, solve_error
from mdpkit.claims.trial import iterates
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.proofs.dynamic_programming.value_iteration import COSTS, ONE_STATE, follows
from mdpkit.solvers.dynamic_programming import LambdaPolicyIteration, ModifiedPolicyIteration

F = Fraction
HALF = F(1, 2)
RING = 7
"""States of a ring with two speeds: sweeps are cheaper than an elimination there."""


class Averaged(LambdaPolicyIteration):
    """A wrong average: the policy's value under the smaller discount, without the value that it starts from."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The increment counted from the backup."""
        after = super().step(problem, state, rng)
        return after._replace(swept=after.swept - state.swept + after.V)


def ring() -> MDP:
    """States in a ring; a step costs little, two steps at once more; one state pays."""
    import numpy as np

    s = np.arange(RING)
    P = np.full((RING, 2, RING), F(0), dtype=object)
    P[s, 0, (s + 1) % RING] = F(1)
    P[s, 1, (s + 2) % RING] = F(1)
    r = np.array([[F(0), F(1, 10)] if i else [F(1), F(1)] for i in range(RING)], dtype=object)
    return MDP(P, r, Discounted(F(9, 10)), rho=0)


CASES = joined(
    discounted(sizes=((2, 2), (3, 2), (4, 3)), fast=3, full=7),
    by_pairs(),
    COSTS,
    named(ONE_STATE, gamma=F(9, 10)),
    chosen(lambda: [Case(f"a ring of {RING} with two speeds", ring())]),
)


def cut(factor: Fraction) -> int:
    """The first m at which factor^m is 1/100 or less."""
    m = 0
    while factor**m > F(1, 100):
        m += 1
    return m


def average(exact: Exact, choice: Sequence[int], change: Sequence[Any], lambda_: Fraction, m: int | None) -> list[Any]:
    """The increment of an iterate: the series of sweeps, or its first m + 1 terms."""
    if m is None:
        return exact.inverse(choice, change, scale=lambda_)[0]
    term, out = list(change), list(change)
    for _ in range(m):
        term = [lambda_ * exact.gamma[k] * exact.row(k, term) for k in map(int, choice)]
        out = [x + y for x, y in zip(out, term, strict=True)]
    return out


def the_iterates(
    exact: Exact, lambda_: Fraction, start: Fraction, n: int, tested: Any = None
) -> Iterator[tuple[list[Any], Fraction, int | None, list[Row]]]:
    """Iterates, the bound on the rounding of the last step, at which sweep its series was cut, and the identity rows."""
    before: Any = None
    solver = tested or LambdaPolicyIteration(float(lambda_), V0=float(start))
    for k, state in enumerate(iterates(exact.mdp, solver, n, arithmetic="float")):
        V = exactly(state.swept)
        if before is None:
            yield (
                V,
                F(0),
                None,
                [all_equal(V, [exact.sign * start] * exact.S, "V_0"), all_equal(exactly(state.V), V, "V_0")],
            )
        else:
            error, rows = follows(exact, before, state, f"_{k}")
            change = [x - y for x, y in zip(exactly(state.V), before, strict=True)]
            factor = lambda_ * exact.modulus
            reach = 1 / (1 - factor)
            m = cut(factor) if 0 < lambda_ < 1 else (0 if not lambda_ else None)
            rise = average(exact, state.choice, change, lambda_, None)
            sums = UNIT * (sup(before) + sup(V)) + 2 * UNIT * reach * sup(change)
            rounding = solve_error(reach, exact.S, rise, change) + sums
            row = all_near(state.swept, [x + y for x, y in zip(before, rise, strict=True)], rounding, f"swept_{k}")
            if m is not None and row.outcome is not Outcome.HOLDS:
                # The rounding of m sweeps under the smaller discount.
                total = Accumulated(factor)
                for _ in range(m + 1):
                    total.add(factors(exact.S + 8) * reach * sup(change))
                rise, rounding = average(exact, state.choice, change, lambda_, m), total.value + sums
                row = all_near(state.swept, [x + y for x, y in zip(before, rise, strict=True)], rounding, f"cut_{k}")
            else:
                m = None
            yield V, max(error) * reach * 2 + rounding, m, [*rows, row]
        before = V


@claim(
    "bertsekas1996:monotone",
    says=r"""
V_0 \le TV_0 \Rightarrow T^k V_0 \le V_k \le V_{k+1} \le V^*, \qquad
-\gamma^k \|V_0 - V^*\| - \frac{\gamma^k - \alpha^k}{1-\gamma} c_0 \le V_k - V^* \le \frac{\alpha^k}{1-\gamma} c_0, \quad
c_0 = \max(V_0 - TV_0)^+,\ \alpha = \frac{\gamma(1-\lambda)}{1-\lambda\gamma}""",
    where="the paper's convergence theorem, recalled; the rate from any start is proved, see docs",
    kind="upper",
    mode="numeric",
    instances=CASES,
    controls=[
        mutant("the increment counted from the backup", tested=Averaged),
        mutant("without the fall of the start", fall=0),
        mutant("modified policy iteration", tested=lambda lambda_, V0: ModifiedPolicyIteration(2)),
        mutant("the square of the discount", power=2),
        mutant("the rise of two sweeps", speed=2),
    ],
    about=[LambdaPolicyIteration],
)
def monotone(
    mdp: Any, *, tested: Any = None, fall: int = 1, power: int = 1, speed: int = 1, steps: int = 6
) -> Iterator[Row]:
    """From below its backup lambda policy iteration rises to the optimal value; from anywhere both sides are bounded."""
    exact = Exact.of(mdp)
    gamma, star = exact.modulus, exact.optimal
    once = len(set(exact.gamma)) == 1
    seen: set[bool] = set()
    for lambda_, start in ((HALF, F(-1)), (F(7, 8), F(40)), (F(1), F(2))):
        solver = None if tested is None else tested(float(lambda_), V0=float(start))
        before, plain, rising = [], [exact.sign * start] * exact.S, Rising(gamma)
        alpha = gamma * (1 - lambda_) / (1 - lambda_ * gamma)
        for k, (V, error, m, rows) in enumerate(the_iterates(exact, lambda_, start, steps, solver)):
            yield from rows
            at = f"lambda {lambda_}, start {start}, k={k}"
            TV = exact.backup(V)
            if not k:
                first = sup(x - y for x, y in zip(V, star, strict=True))
                c = max(F(0), *(x - y for x, y in zip(V, TV, strict=True)))
            else:
                rising.add(error)
                seen.add(m is not None)
                if m is not None:
                    alpha = sum(
                        (lambda_**j * (1 - lambda_ if j < m else 1) * gamma ** (j + 1) for j in range(m + 1)), F(0)
                    )
                for _ in range(speed):
                    plain = exact.backup(plain)
            slack, c0 = rising.slack, c * fall
            off = [x - y for x, y in zip(V, star, strict=True)]
            if once:
                low = gamma ** (power * k) * first + (gamma**k - alpha**k) / (1 - gamma) * c0 + slack
                yield leq(-min(off), low, f"from below, {at}", k=k, series=f"lambda {lambda_}, start {start}")
                yield leq(max(off), alpha**k / (1 - gamma) * c0 + slack, f"from above, {at}")
            yield leq(sup(off), gamma ** (power * k) * (first + c0 / (1 - gamma)) + slack, f"both sides, {at}")
            if start < 0 and exact.sign > 0 and k:
                yield all_leq(plain, [v + slack for v in V], f"T^k V_0 <= V_k, {at}")
                yield all_leq(before, [v + slack for v in V], f"rises, {at}")
            before = V
    if exact.S == RING and tested is None:
        yield fact(seen == {True, False}, "the series is cut where that is cheaper, and summed where not")


def near_solutions(level: Level, rng: Any) -> Iterator[Case]:
    """Random models, seen from a value so near to the optimal one that greedy policies are optimal."""
    import numpy as np

    for case in discounted(sizes=((2, 2), (3, 2)), gammas=(HALF, F(9, 10)), fast=3, full=8)(level, rng):
        exact = Exact.of(case.problem)
        if gap(exact) is None:
            continue
        off = [F(int(x), 100) * gap(exact) / (4 * exact.modulus) for x in rng.integers(-99, 100, exact.S)]
        base = np.array([x + y for x, y in zip(exact.optimal, off, strict=True)], dtype=object)
        r = np.array(exact.r, dtype=object)
        P = np.full((exact.L, exact.S), F(0), dtype=object)
        for k, row in enumerate(exact.P):
            for t, x in row.items():
                P[k, t] = x
        mdp = case.problem
        r = r + exact.modulus * (P @ base) - base[mdp.state]
        yield Case(
            f"{case.name}, seen from near V*", MDP(P, r, mdp.criterion, state=mdp.state, action=mdp.action, rho=0)
        )


def gap(exact: Exact) -> Fraction | None:
    """The least positive gap between action values at the optimal value, in one state."""
    q = exact.q(exact.optimal)
    gaps = [exact.optimal[exact.state[k]] - x for k, x in enumerate(q)]
    return min((x for x in gaps if x > 0), default=None)


NEAR: Cases = joined(
    near_solutions,
    named(ONE_STATE, gamma=F(9, 10)),
)


@claim(
    "bertsekas1996:modulus",
    says=r"""
\|V_{k+1} - V^*\| \le \frac{\gamma(1-\lambda)}{1-\lambda\gamma} \|V_k - V^*\| \text{ if } 2\gamma\|V_k - V^*\| < \Delta""",
    where="the paper's asymptotic rate, recalled; the condition is proved, see docs",
    kind="tight",
    mode="numeric",
    instances=NEAR,
    controls=[
        mutant("lambda in place of one less lambda", swapped=True),
        mutant("no discount in the denominator", bare=True),
        mutant("the discount squared", power=2),
    ],
    about=[LambdaPolicyIteration],
    caveat="Delta is the least positive gap between action values at V*; with one action there is none, and no condition",
)
def modulus(mdp: Any, *, swapped: bool = False, bare: bool = False, power: int = 1, steps: int = 6) -> Iterator[Row]:
    """Near the solution lambda policy iteration contracts with its own modulus, and with one state no faster."""
    exact = Exact.of(mdp)
    gamma, star, delta = exact.modulus, exact.optimal, gap(exact)
    for lambda_ in (F(0), HALF, F(7, 8), F(1)):
        weight = lambda_ if swapped else 1 - lambda_
        alpha = gamma**power * weight / (1 - (F(0) if bare else lambda_ * gamma))
        last: Any = None
        met = 0
        for k, (V, error, m, rows) in enumerate(the_iterates(exact, lambda_, F(0), steps)):
            yield from rows
            off, at = sup(x - y for x, y in zip(V, star, strict=True)), f"lambda {lambda_}, k={k}"
            if last is not None and (delta is None or 2 * gamma * last < delta):
                met += 1
                # A series that is cut weighs the tail with at most a hundredth.
                extra = F(0) if m is None else F(1, 100) * lambda_ * gamma * (1 - gamma) / (1 - lambda_ * gamma)
                yield leq(off, (alpha + extra) * last + error, at, k=k, series=f"lambda {lambda_}")
                if exact.L == 1 and not swapped and not bare and power == 1:
                    yield equal(off, Interval(alpha * last - error, alpha * last + error), f"attained, {at}")
            last = off
        yield fact(met == steps, f"near the solution from the start, lambda {lambda_}")
