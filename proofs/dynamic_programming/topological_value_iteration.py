r"""Claims about topological value iteration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from mdpkit.claims import Case, Row, all_equal, all_leq, claim, fact, leq, mutant
from mdpkit.claims.cases import by_pairs, chosen, discounted, goals, joined, named
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.rounding import UNIT, backup_error
from mdpkit.claims.trial import iterates
from mdpkit.models.criterion import Discounted, TotalReward
from mdpkit.models.mdp import MDP
from mdpkit.proofs.dynamic_programming.total_reward import lifted
from mdpkit.proofs.dynamic_programming.value_iteration import COSTS
from mdpkit.solvers.dynamic_programming import TopologicalValueIteration

FIRST, FASTER = Fraction(1, 2**10), Fraction(1, 2**5)
"""The tolerance before the first pass, and its factor in each."""
FLOOR = Fraction(1, 2**20)
SMALL_RING, LARGE_RING = 5, 520
WALK = Fraction(99, 100)
"""Discount of the ring that is too large for an elimination."""


class Backward(TopologicalValueIteration):
    """The components in the wrong order."""

    def init(self, problem: Any, rng: Any = None) -> Any:
        """The states with their order turned around: one component for each."""
        state = super().init(problem, rng)
        rows = state.rows
        order = rows.order[::-1].copy()
        sizes = [int(b - a) for a, b in zip(rows.first[:-1], rows.first[1:], strict=True)][::-1]
        first = rows.first.copy()
        for c, size in enumerate(sizes):
            first[c + 1] = first[c] + size
        return state._replace(rows=rows._replace(order=order, first=first))


def path(criterion: Any, *, loops: bool = False, seed: int = 0) -> MDP:
    """Seven states in no order of their numbers, each leading to later ones with halves and quarters; the last stays."""
    import numpy as np

    rng = np.random.default_rng(seed)
    n = 7
    order = [int(s) for s in rng.permutation(n)]
    P = np.full((n, 2, n), Fraction(0), dtype=object)
    r = np.full((n, 2), Fraction(0), dtype=object)
    for i, s in enumerate(order[:-1]):
        for a in range(2):
            stay = Fraction(int(loops and rng.integers(2)), 2)
            P[s, a, s] += stay
            for _ in range(2):
                P[s, a, order[int(rng.integers(i + 1, n))]] += (1 - stay) / 2
            r[s, a] = Fraction(int(rng.integers(-8, 9)))
    P[order[-1], :, order[-1]] = Fraction(1)
    return MDP(P, r, criterion, rho=0)


def two_rings(n: int, gamma: Fraction) -> MDP:
    """A ring of n states that pays 1 a step, with a way from its last state to a second ring that pays nothing."""
    import numpy as np

    s = np.arange(n)
    state = np.concatenate((s, [n - 1], n + s))
    action = np.concatenate((np.zeros(n, dtype=int), [1], np.zeros(n, dtype=int)))
    to = np.concatenate(((s + 1) % n, [n], n + (s + 1) % n))
    by = np.lexsort((action, state))
    P = np.full((2 * n + 1, 2 * n), Fraction(0), dtype=object)
    P[np.arange(2 * n + 1), to[by]] = Fraction(1)
    r = np.array([Fraction(int(t < n)) for t in state[by]], dtype=object)
    return MDP(P, r, Discounted(gamma), state=state[by], action=action[by], rho=0)


def walk(n: int, gamma: Fraction) -> MDP:
    """A walker on a ring who steps to either side and is paid 1, and two states that lead there: 1 / (1 - gamma) everywhere.

    The two states are solved after the ring, and to the last bit.
    """
    import numpy as np

    s = np.arange(n)
    P = np.full((n + 2, 1, n + 2), Fraction(0), dtype=object)
    P[s, 0, (s + 1) % n] = P[s, 0, (s - 1) % n] = Fraction(1, 2)
    P[n, 0, n + 1] = Fraction(1)
    P[n + 1, 0, n] = P[n + 1, 0, 0] = Fraction(1, 2)
    return MDP(P, np.full((n + 2, 1), Fraction(1), dtype=object), Discounted(gamma), rho=0)


PATHS = chosen(
    lambda: [
        Case("seven states without a cycle, gamma=1/2", path(Discounted(Fraction(1, 2)))),
        Case("seven states without a cycle but loops, gamma=1/2", path(Discounted(Fraction(1, 2)), loops=True, seed=1)),
        Case("seven states without a cycle but loops, total reward", path(TotalReward(), loops=True, seed=2)),
    ]
)
RINGS = chosen(
    lambda: [
        Case(f"two rings of {SMALL_RING}", two_rings(SMALL_RING, Fraction(3, 4))),
        Case(f"a walk on a ring of {LARGE_RING}, gamma={WALK}", walk(LARGE_RING, WALK)),
    ]
)


def components(exact: Exact) -> list[list[int]]:
    """Strongly connected components of the model's graph, by its transitive closure."""
    reach = [{s} | {t for k in exact.pairs[s] for t in exact.P[k]} for s in range(exact.S)]
    for t in range(exact.S):
        for s in range(exact.S):
            if t in reach[s]:
                reach[s] = reach[s] | reach[t]
    found: list[list[int]] = []
    for s in range(exact.S):
        if not any(s in c for c in found):
            found.append([t for t in reach[s] if s in reach[t]])
    return found


@claim(
    "dai2011:topological",
    says=r"""
\max_{s \in C} |\Delta_C(s)| \le \varepsilon \text{ for all components } C
\Rightarrow \|TV - V\|_\infty \le \gamma\varepsilon,\ \|V - V^*\|_\infty \le \frac{\gamma\varepsilon}{1-\gamma};
\quad \varepsilon = 0 \text{ after one pass if all cycles are loops}""",
    where="the optimality of topological value iteration, recalled; proved with this constant, see docs",
    kind="upper",
    mode="numeric",
    instances=joined(discounted(sizes=((3, 2), (4, 2)), full=12), by_pairs(), COSTS, PATHS, RINGS),
    controls=[
        mutant("a component before those that it leads to", tested=Backward()),
        mutant("the change of the last sweep is the error itself", series=0),
        mutant("a tolerance that falls by 64 in each pass", factor=Fraction(1, 64)),
        mutant("one pass is enough, whatever the graph", acyclic=True),
    ],
    about=[TopologicalValueIteration],
)
def topological(
    mdp: Any,
    *,
    tested: Any = None,
    series: int = 1,
    factor: Fraction = FASTER,
    acyclic: bool | None = None,
    steps: int = 6,
) -> Iterator[Row]:
    """The last sweep of each component bounds the error, and a graph without cycles but loops takes one pass."""
    exact = Exact.of(mdp)
    yield from _passes(exact, mdp, tested or TopologicalValueIteration(), series, factor, acyclic, steps)


def _passes(
    exact: Exact, mdp: Any, solver: Any, series: int, factor: Fraction, acyclic: bool | None, steps: int
) -> Iterator[Row]:
    large = exact.S > LARGE_RING
    simple = (not large and all(len(c) == 1 for c in components(exact))) if acyclic is None else acyclic
    discounted_ = exact.kind == "discounted"
    gamma = exact.modulus
    for k, state in enumerate(iterates(mdp, solver, steps, arithmetic="float")):
        V, epsilon = exactly(state.V), exactly([state.residual])[0]
        L = None if discounted_ else lifted(exact, state.rows.quotient)
        if not k:
            yield all_equal(V, [0] * len(V), "V_0")
            yield all_equal([Fraction(state.epsilon)], [FIRST], "the first tolerance")
            continue
        yield all_equal([Fraction(state.epsilon)], [max(FIRST * factor**k, Fraction(1, 2**52))], f"tolerance, k={k}")
        star = [1 / (1 - gamma)] * exact.S if large else _optimal(exact, L)
        backup = exact.backup(V) if L is None else L.backup(V)
        error = max(backup_error(exact, V) if L is None else L.backup_error(V))
        # Sums of a loop are divided by 1 - gamma P(s|s,a): its rounding, relative to the difference.
        loop = max(_loops(exact), default=Fraction(0)) if simple else Fraction(0)
        error = error * (2 + 8 / (1 - loop))
        size = max(map(abs, V))
        if not simple:
            # A change counts relative to the larger of old and new value, and the share FLOOR of the largest.
            tolerance = Fraction(state.epsilon)
            yield leq(epsilon, tolerance / (1 - tolerance) * (1 + FLOOR) * size, f"pass {k} keeps its tolerance")
        else:
            yield leq(epsilon, 0, f"one pass is enough, k={k}")
        distance = sup(x - y for x, y in zip(V, star, strict=True))
        if L is None:
            yield leq(sup(x - y for x, y in zip(backup, V, strict=True)), gamma * epsilon + error, f"TV - V, k={k}")
            bound = gamma * epsilon / (1 - gamma if series else 1) + error / (1 - gamma)
            yield leq(distance, bound, f"k={k}", k=k)
            gap = 2 * gamma * epsilon / (1 - gamma)
            yield leq(abs(Fraction(state.gap) - gap), 8 * UNIT / (1 - gamma) * gap, f"gap, k={k}")
        else:
            yield all_leq([abs(x - y) for x, y in zip(backup, V, strict=True)], [error] * L.n, f"TV = V, k={k}")
            if state.bounds is not None:
                yield all_leq(exactly(state.bounds.below), star, f"below, k={k}")
                yield all_leq(star, exactly(state.bounds.above), f"above, k={k}")
            yield fact(state.bounds is not None, f"bounds are found, k={k}")
        if solver.finished(state):
            rest = error / (1 - gamma) if L is None else error * max(L.inverse(_greedy(L, V))[1])
            yield leq(distance, 2 * rest, f"finished means solved up to rounding, k={k}")


def _optimal(exact: Exact, L: Any) -> list[Any]:
    return exact.optimal if L is None else [exact.optimal[s] for s in L.members]


def _greedy(L: Any, V: Sequence[Any]) -> list[int]:
    q = L.q(V)
    return [max(pairs, key=lambda j: q[j]) for pairs in L.pairs]


def _loops(exact: Exact) -> Iterator[Fraction]:
    """Discounted probabilities of staying that are below one."""
    for k in range(exact.L):
        stay = exact.gamma[k] * exact.P[k].get(exact.state[k], Fraction(0))
        if stay < 1:
            yield stay


@claim(
    "dai2011:bounds",
    says=r"L \le V^* \le U, \qquad L \le T L, \quad U \ge TU",
    where="derived, see docs: inductive bounds around the value of each pass (as hartmanns2020 do)",
    kind="identity",
    mode="exact",
    instances=joined(goals(), named("haddad-monmege?n=2", "gambler?goal=5", "leaving", "idle-loop")),
    controls=[
        mutant("the value itself as a bound", tight=True),
        mutant("below and above exchanged", swapped=True),
    ],
    about=[TopologicalValueIteration],
)
def bounds(mdp: Any, *, tight: bool = False, swapped: bool = False, steps: int = 4) -> Iterator[Row]:
    """For total reward each pass ends with bounds that are inductive as floats, without any allowance."""
    exact = Exact.of(mdp)
    found = 0
    for k, state in enumerate(iterates(mdp, TopologicalValueIteration(), steps, arithmetic="float")):
        L = lifted(exact, state.rows.quotient)
        star = [exact.optimal[s] for s in L.members]
        if not k:
            yield all_equal(exactly(state.V), [0] * L.n, "V_0")
        if state.bounds is None:
            continue
        found += 1
        low, high = exactly(state.bounds.below), exactly(state.bounds.above)
        if tight:
            low = high = exactly(state.V)
        if swapped:
            low, high = high, low
        yield all_leq(low, star, f"below V*, k={k}")
        yield all_leq(star, high, f"above V*, k={k}")
        yield all_leq(low, L.backup(low), f"L <= TL, k={k}")
        yield all_leq(L.backup(high), high, f"TU <= U, k={k}")
        q = L.q(low)
        yield all_leq(low, [q[int(j)] for j in state.bounds.choice], f"the policy supports L, k={k}")
        gap = max((u - x for x, u in zip(low, high, strict=True)), default=Fraction(0))
        yield leq(gap, Fraction(state.gap) * (1 + 2 * UNIT), f"gap, k={k}")
    yield fact(found >= steps - 1, "bounds are found")
