r"""Claims about prioritized sweeping: every backup is made again in rationals, in the order of the keys."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from mdpkit.claims import Row, all_equal, all_leq, claim, leq, mutant
from mdpkit.claims.cases import by_pairs, discounted, goals, joined, named
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.rounding import UNIT, all_near, backup_error, factors
from mdpkit.claims.trial import iterates
from mdpkit.proofs.dynamic_programming.modified_policy_iteration import lowest_start
from mdpkit.proofs.dynamic_programming.total_reward import lifted
from mdpkit.proofs.dynamic_programming.value_iteration import COSTS, ONE_STATE
from mdpkit.solvers.dynamic_programming import PrioritizedSweeping


class Moore(PrioritizedSweeping):
    """The larger of the old and the new priority, as Moore and Atkeson have it: keys may lie below the errors."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The same backups with other keys."""
        import numpy as np

        rows, before = state.plan
        V, key = state.V.copy(), state.key.copy()
        ptr, source, weight = before
        for _ in range(rows.n):
            s = int(np.argmax(key))
            top = max(
                rows.r[k] + sum(rows.data[e] * V[rows.indices[e]] for e in range(rows.indptr[k], rows.indptr[k + 1]))
                for k in range(rows.pair_ptr[s], rows.pair_ptr[s + 1])
            )
            change, V[s], key[s] = abs(top - V[s]), top, 0.0
            for j in range(ptr[s], ptr[s + 1]):
                key[source[j]] = max(key[source[j]], weight[j] * change)
        heap = np.argsort(-key).astype(np.int64)
        place = np.empty_like(heap)
        place[heap] = np.arange(len(heap))
        return self._bounded(problem, state._replace(V=V, key=key, heap=heap, place=place))


class Rows:
    """What is swept: states under a discount, classes for total reward."""

    def __init__(self, exact: Exact, state: Any):
        q = state.plan.rows.quotient
        self.exact, self.L = exact, None if q is None else lifted(exact, q)
        self.n = exact.S if self.L is None else self.L.n
        self.pairs = exact.pairs if self.L is None else self.L.pairs
        if self.L is None:
            self.rows = [{t: exact.gamma[k] * x for t, x in exact.P[k].items()} for k in range(exact.L)]
            self.r = exact.r
            self.star = exact.optimal
        else:
            self.rows = [self.L.row(j) for j in range(len(self.L.pair))]
            self.r = [self.L.r(j) for j in range(len(self.L.pair))]
            self.star = [exact.optimal[s] for s in self.L.members]
        # The largest (discounted) probability of t that a pair of s has.
        self.weight = [
            [max(self.rows[k].get(t, Fraction(0)) for k in self.pairs[s]) for t in range(self.n)] for s in range(self.n)
        ]

    def one(self, s: int, V: Any) -> Any:
        """The backup of one state."""
        return max(self.r[k] + sum((x * V[t] for t, x in self.rows[k].items()), Fraction(0)) for k in self.pairs[s])

    def backup(self, V: Any) -> list[Any]:
        """TV."""
        return [self.one(s, V) for s in range(self.n)]

    def error(self, V: Any) -> Fraction:
        """Bound on the rounding of a backup."""
        return max(backup_error(self.exact, V) if self.L is None else self.L.backup_error(V))


@claim(
    "moore1993:priorities",
    says=r"""
|TV_n - V_n| \le H_n, \quad \min_{n < N} \max_s H_n(s) \le \frac1N \Big( \sum_s H_0(s) + c \sum_s |V^* - V_0|(s) \Big),
\quad c = \gamma \max_s \sum_t \max_a P(s|t,a)""",
    where="not in the papers, whose convergence is recalled; proved, see docs",
    kind="upper",
    mode="numeric",
    instances=joined(
        discounted(gammas=(Fraction(1, 2), Fraction(9, 10))),
        by_pairs(),
        COSTS,
        named(ONE_STATE, gamma=Fraction(9, 10)),
        goals(),
    ),
    controls=[
        mutant("the larger of two priorities, not their sum", tested=Moore(), pinned=False),
        mutant("the least urgent state first", first=-1),
        mutant("no distance to the optimal value in the bound", distance=0, pinned=False),
        mutant("half of the keys", half=2, pinned=False),
    ],
    about=[PrioritizedSweeping],
    caveat="where keys are equal up to rounding the order of the backups is the solver's, and is not compared",
)
def priorities(
    mdp: Any,
    *,
    tested: Any = None,
    first: int = 1,
    distance: int = 1,
    half: int = 1,
    pinned: bool = True,
    steps: int = 8,
) -> Iterator[Row]:
    """Keys bound the Bellman errors, and the largest one before some backup falls like one over their number."""
    exact = Exact.of(mdp)
    rows: Any = None
    before: Any = None
    least, N, bound, lost = None, 0, Fraction(0), Fraction(0)
    for k, state in enumerate(iterates(mdp, tested or PrioritizedSweeping(), steps, arithmetic="float")):
        V, H = exactly(state.V), exactly(state.key)
        if rows is None:
            rows = Rows(exact, state)
            size = max(sup(V), sup(rows.star), max(map(abs, rows.r)))
            # A backup between the start and the optimal value; as much again for the difference, the product and the sum.
            error = 2 * rows.error([size] * rows.n)
        TV = rows.backup(V)
        if not k and pinned:
            yield from _start(exact, rows, V, H, TV, error)
            c = max(sum((rows.weight[t][s] for t in range(rows.n)), Fraction(0)) for s in range(rows.n))
            far = sum((abs(x - y) for x, y in zip(rows.star, V, strict=True)), Fraction(0))
            bound = sum(H, Fraction(0)) + c * far
        elif not k:
            c = max(sum((rows.weight[t][s] for t in range(rows.n)), Fraction(0)) for s in range(rows.n))
            far = sum((abs(x - y) for x, y in zip(rows.star, V, strict=True)), Fraction(0))
            bound = sum(H, Fraction(0)) + distance * c * far
        if k:
            W, K, moved, certain = _swept(rows, *before, first, error)
            off = error * (1 + len(moved)) * 2
            if pinned and certain:
                yield all_near(state.V, W, off, f"V_{k}")
                yield all_near(state.key, K, off * rows.n, f"keys_{k}")
            for top in moved if certain or not pinned else []:
                N += 1
                least = top if least is None else min(least, top)
                lost += (c + rows.n) * error
                if least:
                    yield leq(least, bound / N + lost, f"before {N} backups", k=N)
            if not certain and pinned:
                return
        lost_here = error * (1 + 2 * rows.n * k)
        yield all_leq(
            [abs(x - y) for x, y in zip(TV, V, strict=True)], [h / half + lost_here for h in H], f"|TV - V| <= H, k={k}"
        )
        yield all_equal([Fraction(state.residual)], [max(H)], f"the largest key, k={k}")
        if rows.L is None:
            gap = max(H) / (1 - exact.modulus)
            yield leq(abs(Fraction(state.gap) - gap), 8 * UNIT / (1 - exact.modulus) * gap, f"gap, k={k}")
            off = sup(x - y for x, y in zip(V, rows.star, strict=True))
            yield leq(off, gap / half + lost_here / (1 - exact.modulus), f"distance, k={k}")
        elif state.bounds is not None:
            yield all_leq(exactly(state.bounds.below), rows.star, f"below, k={k}")
            yield all_leq(rows.star, exactly(state.bounds.above), f"above, k={k}")
        before = V, H


def _start(exact: Exact, rows: Rows, V: Any, H: Any, TV: Any, error: Fraction) -> Iterator[Row]:
    """The start, on one side of its backup, with exact errors as keys."""
    yield all_near(list(map(float, H)), [abs(x - y) for x, y in zip(TV, V, strict=True)], error, "keys_0")
    if rows.L is not None:
        yield all_equal(V, [0] * rows.n, "V_0")
        return
    best = min(max(exact.r[k] / (1 - exact.gamma[k]) for k in pairs) for pairs in exact.pairs)
    yield all_near(list(map(float, V)), [best] * rows.n, factors(6) / (1 - exact.modulus) * abs(best), "V_0")
    yield all_leq(V, [x + 2 * error for x in TV], "V_0 <= TV_0")
    yield leq(lowest_start(exact), V[0] + error, "not below the constant of the least reward")


def _swept(rows: Rows, V: Any, H: Any, first: int, error: Fraction) -> tuple[Any, Any, list[Fraction], bool]:
    """As many backups as there are states, from the floats of the solver; the largest key before each; whether no tie came."""
    V, H, moved = list(V), list(H), []
    for _ in range(rows.n):
        order = sorted(range(rows.n), key=lambda s: -first * H[s])
        if H[order[0]] <= 0:
            break
        if rows.n > 1 and abs(H[order[0]] - H[order[1]]) <= 4 * rows.n * rows.n * error:
            return V, H, moved, False
        s = order[0]
        moved.append(max(H))
        top = rows.one(s, V)
        change, V[s], H[s] = abs(top - V[s]), top, Fraction(0)
        for t in range(rows.n):
            if rows.weight[t][s]:
                H[t] += rows.weight[t][s] * change
    return V, H, moved, True
