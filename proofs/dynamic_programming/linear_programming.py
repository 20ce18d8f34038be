r"""Claims about the linear programs of discounted and total-reward problems.

HiGHS promises that its answer violates no constraint, and no dual one, by more than :math:`\tau = 10^{-10}` after
rewards were divided by their largest absolute value, :math:`m \ge 1` (``mdpkit.kernels.linear_program.TOLERANCE``).
So a value V of the primal is within :math:`\tau m / (1 - \gamma)` of one that satisfies them all, and for the x of a
basis on the pairs of one policy, whose balance is off by at most :math:`\tau` in each state, :math:`\|x - x^\pi\|_1
\le S \tau / (1 - \gamma)`, because x solves the balance equations and the inverse of their matrix has that norm.
These are the allowances below, twice over for the roundings of HiGHS itself; the policy, and what it attains, is
judged exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, all_leq, claim, fact, leq, mutant
from mdpkit.claims.cases import by_pairs, discounted, goals, joined, named
from mdpkit.claims.exact import Exact, exactly
from mdpkit.claims.trial import answer
from mdpkit.proofs.dynamic_programming.value_iteration import COSTS, ONE_STATE
from mdpkit.solver import Answer
from mdpkit.solvers.dynamic_programming import LinearProgramming

TAU = Fraction(1, 10**10)


class Unnormalized(LinearProgramming):
    """The visits x in place of the occupancy."""

    def run(self, problem: Any, rng: Any = None) -> Answer:
        """The answer with a dual that is not what is promised."""
        out = super().run(problem, rng)
        if problem.kind == "total" or out.dual is None:
            return out
        return out._replace(dual=np.asarray(out.dual) / (1 - problem.gamma))


@claim(
    "depenoux1963:duality",
    says=r"""
\min \{ \rho V : V(s) \ge r(s,a) + \gamma P(\cdot|s,a) V \}
= \max \{ r x : x \ge 0,\ \textstyle\sum_a x(s',a) - \gamma \sum_{s,a} P(s'|s,a) x(s,a) = \rho(s') \}""",
    where="Section 5 of the paper; Theorem 6.9.1 of puterman1994; both recalled; proved, see docs",
    kind="identity",
    mode="numeric",
    instances=joined(
        discounted(gammas=(Fraction(1, 2), Fraction(9, 10))),
        by_pairs(),
        COSTS,
        named(ONE_STATE, gamma=Fraction(9, 10)),
        goals(),
    ),
    controls=[
        mutant("the dual not normalized", tested=Unnormalized()),
        mutant("the discount in front of the outflow, too", outflow=0),
        mutant("the largest of the subsolutions of one action", supersolution=0),
        mutant("mass from state 0 alone", uniform=0),
    ],
    about=[LinearProgramming],
    caveat="up to the tolerances that HiGHS promises; the policy that it ends with is optimal exactly",
)
def duality(
    mdp: Any, *, tested: Any = None, outflow: int = 1, supersolution: int = 1, uniform: int = 1
) -> Iterator[Row]:
    """The value is the least supersolution, its program's dual is the occupancy, and a basic solution is a policy."""
    exact = Exact.of(mdp)
    solver = tested or LinearProgramming()
    scale = max(Fraction(1), *map(abs, exact.r))
    states = [s for s in range(exact.S) if s not in exact.known]
    rho = {s: Fraction(1, len(states)) if uniform else Fraction(int(s == 0)) for s in states}
    for form in ("primal", "dual"):
        found = answer(mdp, replace(solver, form=form))
        V, choice = exactly(found.V), exact.exit(found.choice)
        total = exact.kind == "total"
        own = exact.total(choice) if total else exact.value(choice)
        yield all_equal(own, exact.optimal, f"{form}: the policy is optimal, exactly")
        reach = max(exact.steps(choice, states).values()) if total else 1 / (1 - exact.modulus)
        allowed = 2 * TAU * scale * reach
        slack = [V[exact.state[k]] - x for k, x in enumerate(exact.q(V)) if exact.state[k] in rho]
        if not supersolution:
            slack = [-x for x in slack]
        yield leq(-min(slack), 2 * TAU * scale, f"{form}: a supersolution")
        off = [abs(v - x) for v, x in zip(V, exact.optimal, strict=True)]
        yield all_leq(off, [len(states) * allowed] * exact.S, f"{form}: V is optimal")
        assert found.dual is not None
        d = exactly(found.dual)
        # The solution holds (1 - gamma) x, by pairs where these differ; x itself for total reward.
        x = [v if total else v / (1 - g) for v, g in zip(d, exact.gamma, strict=True)]
        yield leq(-min(x), 2 * TAU, f"{form}: x >= 0")
        for s in states:
            here = sum((x[k] for k in exact.pairs[s]), Fraction(0))
            into = sum(
                (
                    exact.gamma[k] * exact.P[k].get(s, Fraction(0)) * x[k]
                    for k in range(exact.L)
                    if exact.state[k] in rho
                ),
                Fraction(0),
            )
            missing = here * (1 if outflow else exact.modulus) - into - rho[s]
            yield leq(abs(missing), 4 * TAU * max(Fraction(1), here), f"{form}: balance, s={s}")
            busy = [k for k in exact.pairs[s] if x[k] > 2 * TAU]
            yield fact(busy == [choice[s]], f"{form}: the basis is a deterministic policy, s={s}")
        visits = _visits(exact, choice, rho)
        most = [4 * len(states) * reach * TAU * max(Fraction(1), reach)] * len(states)
        yield all_leq([abs(x[choice[s]] - visits[s]) for s in states], most, f"{form}: x counts the policy's visits")
        worth = sum((a * b for a, b in zip(x, exact.r, strict=True)), Fraction(0))
        start = sum((rho[s] * exact.optimal[s] for s in states), Fraction(0))
        known = sum(
            (x[k] * p * exact.known[t] for k in range(exact.L) for t, p in exact.P[k].items() if t in exact.known),
            Fraction(0),
        )
        yield leq(abs(worth + known - start), 8 * len(states) * scale * reach**2 * TAU, f"{form}: no duality gap")


def _visits(exact: Exact, choice: Any, rho: dict[int, Fraction]) -> dict[int, Fraction]:
    """Expected (discounted) visits of a policy from rho: the transposed system, state by state by its inverse."""
    states = list(rho)
    out: dict[int, Fraction] = {}
    for s in states:
        ones = [Fraction(int(t == s)) for t in range(exact.S)]
        column = _hits(exact, choice, states, s) if exact.kind == "total" else exact.inverse(choice, ones)[0]
        out[s] = sum((rho[t] * column[t] for t in states), Fraction(0))
    return out


def _hits(exact: Exact, choice: Any, states: list[int], s: int) -> dict[int, Fraction]:
    """Expected visits to s from each state, before the end."""
    from mdpkit.claims.exact import solve

    A = [[Fraction(int(a == b)) - exact.P[choice[a]].get(b, Fraction(0)) for b in states] for a in states]
    return dict(zip(states, solve(A, [Fraction(int(t == s)) for t in states])[0], strict=True))
