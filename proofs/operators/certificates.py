r"""Claims about certificates: whatever value they start from, their floats enclose the exact value, without any allowance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.certificates import certify
from mdpkit.claims import Row, all_leq, claim, fact, mutant
from mdpkit.claims.cases import by_pairs, chosen, discounted, goals, joined, ragged_soft, regularized
from mdpkit.claims.claim import Case
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.judge import Judge, ball, log
from mdpkit.claims.trial import call, pose
from mdpkit.models.mdp import MDP
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


def negative(mdp: MDP) -> MDP:
    """The model with rewards of the other sign, and the other sense."""
    P: Any = np.full((mdp.n_pairs, mdp.n_states), F(0), dtype=object)
    P[mdp.P.row_of, mdp.P.indices.astype(np.int64)] = mdp.P.rationals()
    r = -np.asarray(mdp.reward.exact)
    return MDP(P, r, mdp.criterion, state=mdp.state, action=mdp.action, rho=mdp.rho_exact, minimize=not mdp.minimize)


def soft_costs() -> list[Case]:
    """The ragged models with costs in place of rewards."""
    return [Case(f"{case.name}, costs", negative(case.problem)) for case in ragged_soft()]


@claim(
    "geist2019:soft-inductive-bounds",
    says=r"""
U \ge T_\tau U \Rightarrow U \ge V_\tau^*, \qquad L \le T_{\pi,\tau} L \Rightarrow L \le V_\tau^\pi \le V_\tau^*,
\qquad \text{the bounds of a certificate are such } L, U, \text{ and others are refused}""",
    where="monotone and contracting operators: Propositions 1 and 2, recalled",
    kind="identity",
    mode="numeric",
    instances=joined(regularized(fast=2, full=12), chosen(ragged_soft), chosen(soft_costs)),
    controls=[
        mutant("below and above exchanged", swapped=True),
        mutant("twice the temperature", temperature=2),
        mutant("the entropy for the divergence from the reference", reference=False),
        mutant("the witness is worth the upper bound", promise=True),
    ],
    caveat="bounds from a value that is no solution are wide; that they are narrow where it is one is for the tests",
)
def soft_inductive_bounds(
    mdp: MDP,
    *,
    rng: np.random.Generator,
    swapped: bool = False,
    temperature: int = 1,
    reference: bool = True,
    promise: bool = False,
) -> Iterator[Row]:
    """Certificates of soft problems hold a supersolution and a policy's subsolution, and nothing else passes for one."""
    judge = Judge(negative(mdp) if mdp.minimize else mdp)
    tau, mu = temperature * judge.temperature, judge.log_reference if reference else None
    optimal = judge.soft_optimal(tau, mu)
    problem, _ = pose(mdp)
    solution = np.array([float(ball(x).mid()) for x in optimal])
    size = float(np.max(np.abs(solution))) + 1
    sign = -1 if mdp.minimize else 1
    for i in range(2):
        V = solution if i else rng.uniform(-size, size, judge.S)
        found = call(certify, problem.mdp, Answer(V, None))
        yield fact(found.valid and call(found.verify, problem.mdp, exact=True), f"the certificate holds, {i}")
        low, high = sorted((found.lower, found.upper), key=lambda x: sign * float(x[0]))
        low, high = [sign * F(x) for x in low.tolist()], [sign * F(x) for x in high.tolist()]
        if swapped:
            low, high = high, low
        weight = [F(x) for x in found.policy.tolist()]
        pi = [w / sum(weight[k] for k in judge.pairs[s]) for w, s in zip(weight, judge.state, strict=True)]
        likeliest = [max(weight[k] for k in pairs) for pairs in judge.pairs]
        yield fact([weight[k] for k in found.choice.tolist()] == likeliest, f"the likeliest pairs, {i}")
        yield all_leq(low, optimal, f"L <= V*, {i}")
        yield all_leq(optimal, high, f"V* <= U, {i}")
        yield all_leq(judge.soft_backup(high, tau, mu), high, f"TU <= U, {i}")
        spent = [tau * (log(p) - (0 if mu is None else mu[k])) if p else ball(0) for k, p in enumerate(pi)]
        promised = high if promise else low
        own = judge.mean(pi, [x - y for x, y in zip(judge.q(promised), spent, strict=True)])
        yield all_leq(promised, own, f"L <= T_pi L, {i}")
        if i or swapped:
            continue
        # Bounds moved inward, in one state or all: in balls the check is exact, in floats it accepts nothing wrong.
        for share, states in ((0.5, [0]), (1.5, [0]), (0.5, range(judge.S)), (1.5, range(judge.S))):
            for side, bound in (("above", high), ("below", low)):
                to = np.array([float(x) for x in bound])
                for s in states:
                    to[s] += share * (solution[s] - to[s])
                if side == "above":
                    over, under = to, judge.soft_backup(to, tau, mu)
                else:
                    over = judge.mean(pi, [x - y for x, y in zip(judge.q(to), spent, strict=True)])
                    under = to
                moved = replace(found, **{side: to})
                floats, exact = (bool(call(moved.verify, problem.mdp, exact=how)) for how in (False, True))
                at = f"{side} moved by {share} in {len(states)} states"
                if all(ball(x) >= ball(y) for x, y in zip(over, under, strict=True)):
                    yield fact(exact, f"accepted, {at}")
                else:
                    yield fact(not exact and not floats, f"refused, {at}")
