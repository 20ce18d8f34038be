r"""Claims about certificates: whatever value they start from, their floats enclose the exact value, without any allowance."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.certificates import certify
from mdpkit.claims import Row, all_leq, claim, fact, mutant
from mdpkit.claims.cases import by_pairs, discounted, goals, joined
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.trial import call, pose
from mdpkit.solver import Answer

F = Fraction


@claim(
    "puterman1994:inductive-bounds",
    says=r"""
U \ge TU \Rightarrow U \ge V^*, \qquad L \le T_\sigma L \Rightarrow L \le V^\sigma \le V^*,
\qquad \text{and the bounds of a certificate are such } L, U""",
    where="Section 6.2, recalled; proved, see docs (Lemma 2, and Theorems 9a and 9b for total reward)",
    kind="identity",
    mode="exact",
    instances=joined(discounted(), by_pairs(), goals()),
    controls=[
        mutant("below and above exchanged", swapped=True),
        mutant("the value that the certificate was made from as a bound", tight=True),
        mutant("the policy is worth the upper bound", promise=True),
    ],
    survivors={"argmin for argmax": "a policy that is not greedy makes the bounds wider, not wrong"},
    caveat="bounds from a value that is no solution are wide; that they are narrow where it is one is for the tests",
)
def inductive_bounds(
    mdp: Any, *, rng: np.random.Generator, swapped: bool = False, tight: bool = False, promise: bool = False
) -> Iterator[Row]:
    """Supersolutions lie above the optimal value, subsolutions of a policy below its own; certificates hold such pairs."""
    exact = Exact.of(mdp)
    problem, _ = pose(mdp)
    size = float(sup(exact.optimal)) + 1
    for i in range(6):
        V = rng.uniform(-size, size, exact.S)
        if i == 5:  # and from the solution, rounded
            V = np.array([float(x) for x in exact.optimal])
        V = np.array([float(exact.known.get(s, v)) for s, v in enumerate(V)])
        q = exact.q(exactly(V))
        choice = np.array([max(pairs, key=lambda k: q[k]) for pairs in exact.pairs])
        found = call(certify, problem.mdp, Answer(V, choice))
        yield fact(found.valid, f"the certificate holds, {i}")
        # A certificate speaks in the model's own sign.
        ends = [exact.sign * x for x in exactly(found.lower)], [exact.sign * x for x in exactly(found.upper)]
        low, high = ends if exact.sign > 0 else ends[::-1]
        if swapped:
            low, high = high, low
        if tight:
            low = exactly(V)
        free = [s for s in range(exact.S) if s not in exact.known]
        finite = [s for s in free if abs(low[s]) < float("inf")]
        closed = [s for s in free if abs(high[s]) < float("inf")]
        yield all_leq([low[s] for s in free], [exact.optimal[s] for s in free], f"L <= V*, {i}")
        yield all_leq([exact.optimal[s] for s in free], [high[s] for s in free], f"V* <= U, {i}")
        own = exact.total(found.choice) if exact.kind == "total" else exact.value(found.choice)
        promised = high if promise else low
        yield all_leq([promised[s] for s in free], [own[s] for s in free], f"L <= V_sigma, {i}")
        if len(closed) == len(free):
            U = [exact.known.get(s, high[s]) for s in range(exact.S)]
            TU = exact.backup(U)
            yield all_leq([TU[s] for s in free], [U[s] for s in free], f"TU <= U, {i}")
        if len(finite) == len(free):
            L = [exact.known.get(s, low[s]) for s in range(exact.S)]
            on = exact.on(found.choice, L)
            yield all_leq([L[s] for s in free], [on[s] for s in free], f"L <= T_sigma L, {i}")
