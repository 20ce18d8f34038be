r"""Claims about labeled real-time dynamic programming: its bounds, as floats without allowance, and what a label says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, all_leq, claim, fact, leq, mutant
from mdpkit.claims.cases import goals, joined, named
from mdpkit.claims.exact import Exact, exactly
from mdpkit.claims.rounding import UNIT, all_near, solve_error
from mdpkit.claims.trial import call, iterates, pose
from mdpkit.proofs.dynamic_programming.interval_iteration import outward
from mdpkit.proofs.dynamic_programming.total_reward import MERGED, Lifted, lifted
from mdpkit.solvers.dynamic_programming import LabeledRTDP

COARSE, FINER = Fraction(1, 2**6), Fraction(1, 2**3)
BUDGET = 1 << 24


class Greedy(LabeledRTDP):
    """Labels that nothing was checked for."""

    def init(self, problem: Any, rng: Any = None) -> Any:
        """All states solved from the start."""
        state = super().init(problem, rng)
        return state._replace(solved=np.ones(len(state.solved), dtype=bool))


def visited(L: Lifted, policy: Sequence[int], starts: Sequence[int]) -> list[int]:
    """The classes that a policy visits."""
    found = list(dict.fromkeys(int(s) for s in starts))
    for s in found:
        found += [t for t in L.row(int(policy[s])) if t not in found]
    return found


def optimistic(exact: Exact, L: Lifted) -> list[Fraction]:
    """The first bound: zero, or the largest known value that can be reached."""
    most = max([*exact.known.values(), Fraction(0)])
    if not most:
        return [Fraction(0)] * L.n
    reach = {s for s, v in exact.known.items() if v > 0}
    while True:
        new = {exact.state[k] for k in range(exact.L) if any(t in reach for t in exact.P[k])} - reach - set(exact.known)
        if not new:
            return [most if any(L.class_of[s] == c for s in reach) else Fraction(0) for c in range(L.n)]
        reach |= new


def the_labels(
    exact: Exact, mdp: Any, solver: LabeledRTDP, tighter: int, walks: bool, rng: np.random.Generator
) -> Iterator[Row]:
    """What labels say, read off the search itself: afterwards the solver brings its upper bound down to the policy's value."""
    from mdpkit.kernels import trials

    problem, tested = pose(mdp, solver)
    state = call(tested.init, problem, rng)
    rows, starts, _ = state.plan
    U, greedy, touched = state.above.copy(), state.greedy.copy(), state.touched.copy()
    solved, mark, stamp, seed = state.solved.copy(), state.mark.copy(), state.stamp, state.seed.copy()
    epsilon = COARSE
    L = lifted(exact, rows.quotient)
    star = [exact.optimal[s] for s in L.members]
    first = exactly(U)
    last = first
    for k in range(14):  # down to where backups move by their rounding only
        done, stamp = call(
            trials.search, starts, float(epsilon), BUDGET, *rows.arrays, rows.margin, U, greedy, solved, touched, mark, stamp,
            seed,
        )  # fmt: skip
        stamp += 1
        upper = exactly(U)
        yield fact(done and all(solved[s] for s in starts), f"the initial states are labeled, epsilon={epsilon}")
        yield all_leq(star, upper, f"V* <= U, epsilon={epsilon}")
        yield all_leq(upper, last, f"U falls, epsilon={epsilon}")
        last = upper
        yield all_leq(L.backup(upper), upper, f"TU <= U, epsilon={epsilon}")
        left = [c for c in range(L.n) if not touched[c]]
        if left:
            yield all_equal([upper[c] for c in left], [first[c] for c in left], "what is not touched keeps its bound")
        reached = visited(L, greedy, [c for c in range(L.n) if solved[c]])
        yield fact(all(solved[c] for c in reached), "what is visited from a label is labeled")
        largest = max((abs(upper[int(s)]) for s in starts), default=Fraction(0))
        largest = max(largest, max((abs(first[int(s)]) for s in starts), default=Fraction(0)))
        q, slack = L.q(upper), max(outward(L, upper))
        error = epsilon * largest / tighter
        fall = [upper[c] - q[int(greedy[c])] for c in reached]
        yield all_leq(fall, [error + slack] * len(reached), f"U - T_sigma U, epsilon={epsilon}")
        try:
            own, steps = L.inverse([int(j) for j in greedy])
        except ZeroDivisionError:
            yield fact(False, "the labeled policy is proper")
            return
        yield all_leq(
            [upper[c] - own[c] for c in reached],
            [(error + slack) * (steps[c] if walks else 1) for c in reached],
            f"U - V_sigma, epsilon={epsilon}",
            k=k,
        )
        solved[:] = False
        epsilon = epsilon * FINER


@claim(
    "bonet2003:labels",
    says=r"""
L \le V^* \le U, \qquad U(t) - (T_\sigma U)(t) \le \varepsilon \text{ for all } t \text{ that } \sigma \text{ visits from } s
\Rightarrow U(s) - V^\sigma(s) \le \varepsilon \, E^\sigma_s[\text{steps until the end}]""",
    where="the correctness of labels, Section 4 of the paper, recalled; proved with these bounds in docs/theory",
    kind="upper",
    mode="numeric",
    instances=joined(goals(fast=2, full=8), named("leaving", "haddad-monmege?n=2", "parking-garage?spaces=2&garage=4")),
    controls=[
        mutant("the number of steps left out", walks=False),
        mutant("a tolerance that falls by 16", finer=Fraction(1, 16)),
        mutant("a hundredth of the tolerance", tighter=100),
        mutant("labels without a check", tested=Greedy()),
    ],
    about=[LabeledRTDP],
    caveat="for a policy that is proper everywhere, of which the solver's labels speak where it goes",
)
def labels(
    mdp: Any,
    *,
    rng: np.random.Generator,
    tested: Any = None,
    walks: bool = True,
    tighter: int = 1,
    finer: Fraction = FINER,
    steps: int = 16,
) -> Iterator[Row]:
    """Both bounds hold at all times, and where a state is labeled its bound is near to what the greedy policy is worth."""
    exact = Exact.of(mdp)
    solver = tested or LabeledRTDP()
    before: Any = None
    for k, state in enumerate(iterates(mdp, solver, steps, arithmetic="float", rng=rng)):
        L = lifted(exact, state.plan.rows.quotient)
        star = [exact.optimal[s] for s in L.members]
        upper, lower, starts = exactly(state.above), exactly(state.below), [int(s) for s in state.plan.starts]
        if not k:
            yield all_equal(upper, optimistic(exact, L), "U_0")
            yield fact(all(x == -inf for x in lower), "no lower bound yet")
        yield all_equal([Fraction(state.epsilon)], [COARSE * finer**k], f"tolerance, k={k}")
        yield all_leq(lower, star, f"L <= V*, k={k}")
        yield all_leq(star, upper, f"V* <= U, k={k}")
        yield all_leq(L.backup(upper), upper, f"TU <= U, k={k}")
        if before is not None:
            yield all_leq(upper, before, f"U falls, k={k}")
        if k:
            seen = visited(L, state.greedy, starts)
            yield fact(sorted(map(int, state.visited)) == sorted(seen), f"what the greedy policy visits, k={k}")
            own, reach = L.inverse([int(j) for j in state.greedy])
            at = [int(c) for c in state.visited]
            error = solve_error(max(reach), len(at), exactly(state.value), [L.r(int(state.greedy[c])) for c in at])
            yield all_near(state.value, [own[c] for c in at], error, f"its value, k={k}")
            known = [c for c in range(L.n) if lower[c] > -inf]
            yield fact(set(starts) <= set(known), f"a lower bound of the initial states, k={k}")
            supported = visited(L, state.choice, starts)
            yield fact(set(supported) <= set(known), f"the lower bound is closed, k={k}")
            padded = [x if x > -inf else Fraction(-(10**9)) for x in lower]
            q = L.q(padded)
            yield all_leq(
                [lower[c] for c in supported], [q[int(state.choice[c])] for c in supported], f"L <= TL, k={k}"
            )
            weight = [sum((_law(mdp)[s] for s in range(exact.S) if L.class_of[s] == c), Fraction(0)) for c in starts]
            gap = sum((w * (upper[c] - lower[c]) for w, c in zip(weight, starts, strict=True)), Fraction(0))
            size = max(max(abs(upper[c]), abs(lower[c])) for c in starts)
            yield leq(abs(Fraction(state.gap) - gap), 8 * len(starts) * UNIT * size, f"gap, k={k}")
        before = upper
    yield from the_labels(exact, mdp, solver, tighter, walks, rng)


def _law(mdp: Any) -> list[Fraction]:
    return [Fraction(x) for x in (mdp.rho_exact if mdp.rho_exact is not None else mdp.rho).tolist()]


@claim(
    "bonet2003:enclosure",
    says=r"L \le V^* \le U \text{ on the quotient, with } L = V^\sigma \text{ where } \sigma \text{ goes}",
    where="derived, see docs: trials on the quotient by end components without reward",
    kind="identity",
    mode="exact",
    instances=joined(MERGED, named("gambler?goal=4")),
    controls=[mutant("exchanged", swapped=True), mutant("U at its start", frozen=True)],
    about=[LabeledRTDP],
)
def enclosure(
    mdp: Any, *, rng: np.random.Generator, swapped: bool = False, frozen: bool = False, steps: int = 3
) -> Iterator[Row]:
    """Where states are merged, the bounds enclose the value of the initial states and close with the tolerance."""
    model = (
        mdp if mdp.minimize or (min(Exact.of(mdp).r) >= 0 and max(Exact.of(mdp).r) <= 0) else mdp.under(minimize=True)
    )
    exact = Exact.of(model)
    first: Any = None
    for k, state in enumerate(iterates(model, LabeledRTDP(), steps, arithmetic="float", rng=rng)):
        L = lifted(exact, state.plan.rows.quotient)
        star = [exact.optimal[s] for s in L.members]
        upper, lower = exactly(state.above), exactly(state.below)
        first = upper if first is None else first
        if frozen:
            upper = first
        if swapped:
            upper, lower = lower, upper
        yield all_leq(star, upper, f"V* <= U, k={k}")
        yield all_leq(lower, star, f"L <= V*, k={k}")
        if not k:
            yield all_equal(upper, optimistic(exact, L), "U_0")
        if k:
            own, reach = L.inverse([int(j) for j in state.greedy])
            starts = [int(c) for c in state.plan.starts]
            largest = max(max(abs(upper[c]), abs(first[c])) for c in starts)
            epsilon, slack = COARSE * FINER ** (k - 1), max(outward(L, upper))
            for c in starts:
                yield leq(upper[c], own[c] + (epsilon * largest + slack) * reach[c], f"closes, k={k}")
