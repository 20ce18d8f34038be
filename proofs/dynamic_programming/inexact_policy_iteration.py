r"""Claims about inexact policy iteration: its order, whatever the Krylov method did, and its rate where that did enough.

*Rounding of a step.* The start of the inner solver is V + c, with c the shift that makes it a lower bound, and b its
improvement. The inner solver's y has :math:`\|b - (I - M) y\|_2 \le \|b\|_2`, or it is not taken, so :math:`\|y\| \le
Y = (1 + \sqrt n) \|b\| / (1-\gamma)`. All that the order rests on is the backup, the residual of y with one product,
and the constants that are added: sums and products of at most n + 8 terms, none larger than |V| + |TV| + |c| + 2Y,
and the two quotients by :math:`1 - \gamma`, which were rounded by :math:`2u / (1 - \gamma)` in relative terms. So the
next value is within :math:`\ell = 2 (4e + \gamma_{n+16} (|V| + |TV| + |c| + 2Y)) / (1-\gamma)`, with e that of the
backup, of one that has the order exactly. Each step begins with a shift that makes up for the errors before it, so
they do not add up but in the distance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, all_leq, claim, fact, leq, mutant
from mdpkit.claims.cases import by_pairs, discounted, joined, named
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.rounding import Accumulated, all_near, backup_error, factors
from mdpkit.claims.trial import iterates
from mdpkit.claims.variants import recast
from mdpkit.proofs.dynamic_programming.value_iteration import COSTS, ONE_STATE, follows
from mdpkit.solvers.dynamic_programming import InexactPolicyIteration

F = Fraction
SOLVERS = (
    InexactPolicyIteration(alpha=0.125, V0=2.0),
    InexactPolicyIteration(alpha=0.0625, decay=0.5, krylov="gmres", restart=8, V0=2.0),
    InexactPolicyIteration(alpha=0.5, max_products=1, restart=1, V0=2.0),
)


class Unshifted(InexactPolicyIteration):
    """The inexact solution taken as it is."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """A step whose value is one residual too high."""
        after = super().step(problem, state, rng)
        return after._replace(evaluated=after.evaluated + after.residual)


class Unimproved(InexactPolicyIteration):
    """A step that keeps the backup of the value, and drops what the evaluation found."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """Value iteration by another name."""
        after = super().step(problem, state, rng)
        return after._replace(evaluated=np.array(after.V))


class Step:
    """What a step starts from, in rationals, and the bound on its rounding."""

    def __init__(self, exact: Exact, V: Sequence[Any], choice: Any):
        self.TV, gamma = exact.backup(V), exact.modulus
        self.error = max(backup_error(exact, V))
        d = [x - y for x, y in zip(self.TV, V, strict=True)]
        low = min(d)
        self.raised = low / (1 - (gamma if low < 0 else min(exact.gamma)))
        own = [exact.gamma[int(k)] for k in choice]
        # The start of the inner solver is V + raised; the policy is greedy for it, too.
        self.start = [v + self.raised for v in V]
        self.improvement = [x - (1 - g) * self.raised for x, g in zip(d, own, strict=True)]
        self.backup = [x + g * self.raised for x, g in zip(self.TV, own, strict=True)]
        n, size = exact.S, sup(V) + sup(self.TV) + abs(self.raised)
        most = (2 + isqrt(n)) * (sup(self.improvement) + 2 * self.error / (1 - gamma)) / (1 - gamma)
        self.local = 2 * (4 * self.error + factors(n + 16) * (size + 2 * most)) / (1 - gamma)


def the_iterates(
    exact: Exact, solver: InexactPolicyIteration, n: int, tested: Any = None
) -> Iterator[tuple[Any, list[Any], Step | None, list[Row]]]:
    """States, values, the step that led to each, and the rows that say where it started and what it is greedy for."""
    before: Any = None
    for k, state in enumerate(iterates(exact.mdp, tested or solver, n, arithmetic="float")):
        V = exactly(state.evaluated)
        alpha = F(solver.alpha) * F(solver.decay) ** k
        rows = [all_equal([F(state.alpha)], [alpha], f"alpha_{k}")]
        if before is None:
            base = [exact.sign * F(solver.V0)] * exact.S
            step = Step(exact, base, exact.pairs and [p[0] for p in exact.pairs])
            lowered = min(step.raised, F(0))
            rows.append(all_near(state.evaluated, [v + lowered for v in base], step.local, "V_0"))
            rows.append(all_equal(exactly(state.V), base, "V_0 as it was given"))
            rows.append(fact((state.products, state.missed) == (0, 0), "nothing done yet"))
            yield state, V, None, rows
        else:
            step = Step(exact, exactly(before.evaluated), state.choice)
            rows += follows(exact, exactly(before.evaluated), state, f"_{k}")[1]
            rows.append(fact(state.missed - before.missed in (0, 1), f"missed, k={k}"))
            if sup(step.improvement) > step.local:
                # One product in the inner solver, and one for the residual.
                rows.append(fact(state.products >= before.products + 2, f"products are added up, k={k}"))
            yield state, V, step, rows
        before = state


@claim(
    "gargiani2024:monotone",
    says=r"TV_k \le V_{k+1} \le V^*, \quad V_{k+1} \le TV_{k+1}, \quad \|V_k - V^*\| \le \gamma^k \|V_0 - V^*\|",
    where="not in the paper as recalled: it is what the shift and the maximum add; proved, see docs",
    kind="monotone",
    mode="numeric",
    instances=joined(discounted(full=8), by_pairs(), COSTS, named(ONE_STATE, gamma=F(9, 10))),
    controls=[
        mutant("the inexact solution without its shift", tested=Unshifted),
        mutant("two sweeps of value iteration in a step", tested=Unimproved, speed=2),
        mutant("the start not lowered", lowered=False),
        mutant("the square of the discount", tested=Unimproved, power=2),
    ],
    about=[InexactPolicyIteration],
)
def monotone(
    mdp: Any, *, tested: Any = None, speed: int = 1, lowered: bool = True, power: int = 1, steps: int = 6
) -> Iterator[Row]:
    """Whatever the inner solver does, inexact policy iteration rises below the optimal value, as fast as value iteration."""
    exact = Exact.of(mdp)
    gamma, star = exact.modulus, exact.optimal
    for i, solver in enumerate(SOLVERS):
        other = None if tested is None else recast(solver, tested)
        total, local, first = Accumulated(gamma), F(0), F(0)
        for k, (_, V, step, rows) in enumerate(the_iterates(exact, solver, steps, other)):
            yield from rows
            at = f"solver {i}, k={k}"
            off = [x - y for x, y in zip(star, V, strict=True)]
            if step is None:
                local = Step(exact, [exact.sign * F(solver.V0)] * exact.S, [p[0] for p in exact.pairs]).local
                total.add(local)
                first = sup(off)
                if not lowered:
                    yield all_leq([F(solver.V0)] * exact.S, V, "V_0 as it was given")
            else:
                local = step.local
                total.add(local)
                TV = step.TV
                for _ in range(speed - 1):
                    TV = exact.backup(TV)
                yield all_leq(TV, [v + local for v in V], f"TV_(k-1) <= V_k, {at}")
                yield all_leq(step.backup, [v + local for v in V], f"T(V + c) <= V_k, {at}")
            yield all_leq(V, [x + 2 * local for x in exact.backup(V)], f"V_k <= TV_k, {at}")
            yield all_leq(V, [x + 2 * local / (1 - gamma) for x in star], f"V_k <= V*, {at}")
            bound = gamma ** (power * k) * first + total.value + 2 * local / (1 - gamma)
            yield leq(sup(off), bound, f"distance, {at}", k=k, series=f"solver {i}")


@claim(
    "gargiani2024:forcing",
    says=r"""
\|T_{\pi_k} V - V\| \le \alpha_k (1-\gamma) \|TV_k - V_k\| \Rightarrow
0 \le V^{\pi_k} - V_{k+1} \le 2\alpha_k \|TV_k - V_k\|, \qquad
V^{\pi_k} = V^* \Rightarrow \|V_{k+1} - V^*\| \le \min\{\gamma, 2\alpha_k\} \|V_k - V^*\|""",
    where="the paper's local rates, recalled; proved, see docs, with these constants",
    kind="upper",
    mode="numeric",
    instances=joined(
        discounted(sizes=((3, 2), (4, 2), (4, 3)), full=8),
        by_pairs(),
        named("riverswim?n_states=8", gamma=F(9, 10)),
        named("riverswim?n_states=8", gamma=F(99, 100)),
    ),
    controls=[
        mutant("a hundredth of alpha", share=F(1, 100)),
        mutant("the value after one sweep", tested=Unimproved),
        mutant("the policy's value from above", side=-1),
    ],
    about=[InexactPolicyIteration],
    caveat="of steps whose evaluation met the forcing condition; the solver counts the others",
)
def forcing(
    mdp: Any, *, tested: Any = None, share: Fraction = Fraction(1), side: int = 1, steps: int = 6
) -> Iterator[Row]:
    """Where the forcing condition was met, the next value is within twice its parameter of the policy's own value."""
    exact = Exact.of(mdp)
    gamma, star = exact.modulus, exact.optimal
    for i, solver in enumerate(SOLVERS):
        other = tested
        if isinstance(tested, type):
            other = recast(solver, tested)
        missed, last = 0, F(0)
        for k, (state, V, step, rows) in enumerate(the_iterates(exact, solver, steps, other)):
            yield from rows
            at = f"solver {i}, k={k}"
            off = sup(x - y for x, y in zip(star, V, strict=True))
            if step is not None and state.missed == missed:
                own = exact.value(state.choice)
                alpha = share * F(solver.alpha) * F(solver.decay) ** (k - 1)
                below = [side * (x - v) for x, v in zip(own, V, strict=True)]
                slack = 2 * step.local / (1 - gamma)
                yield leq(-min(below), slack, f"below the policy's value, {at}")
                bound = 2 * alpha * sup(step.improvement) + slack
                yield leq(max(below), bound, f"near to it, {at}", k=k, series=f"solver {i}")
                if own == star:
                    yield leq(off, min(gamma, 2 * alpha) * last + slack, f"rate, {at}")
            missed, last = state.missed, off
        if solver.max_products > 1:
            yield fact(missed < steps, f"the condition is met at times, solver {i}")
