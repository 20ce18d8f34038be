r"""Total reward on the quotient by end components without reward, as exact numbers; and why there must be one.

:class:`Lifted` computes the backup of the quotient in rationals on the model's own states, where all members of a class have
its value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from mdpkit.claims import Row, all_equal, all_leq, claim, fact, mutant
from mdpkit.claims.cases import chosen, goals, joined, named
from mdpkit.claims.claim import Case
from mdpkit.claims.exact import Exact, exactly, solve
from mdpkit.claims.rounding import TINY, factors
from mdpkit.claims.trial import call, pose
from mdpkit.models.criterion import TotalReward
from mdpkit.models.mdp import MDP
from mdpkit.reductions.end_components import analyze
from mdpkit.solvers.dynamic_programming import IntervalIteration, PolicyIteration, TopologicalValueIteration

__all__ = ["Lifted", "lifted"]


class Lifted:
    """The quotient's pairs as pairs of the model: the classes, their members, and a backup in rationals.

    ``q`` is the quotient that the solver works on; the numbers are all taken from the model.
    """

    def __init__(self, exact: Exact, q: Any):
        self.exact, self.n = exact, int(q.n)
        self.class_of = [int(c) for c in q.class_of]
        self.members = [int(s) for s in q.members]
        ptr = [int(x) for x in q.pair_ptr]
        self.pairs = [range(ptr[c], ptr[c + 1]) for c in range(self.n)]
        self.pair = [int(k) for k in q.pair]
        self._r = [self._reward(k) for k in self.pair]
        self._rows = [self._law(k) for k in self.pair]

    def r(self, j: int) -> Fraction:
        """The reward of a pair of the quotient, with what is known of the states that it enters; a stop is worth nothing."""
        return self._r[j]

    def row(self, j: int) -> dict[int, Fraction]:
        """Probabilities of the classes that a pair leads to."""
        return self._rows[j]

    def _reward(self, k: int) -> Fraction:
        if k < 0:
            return Fraction(0)
        known = sum((x * self.exact.known[t] for t, x in self.exact.P[k].items() if t in self.exact.known), Fraction(0))
        return self.exact.r[k] + known

    def _law(self, k: int) -> dict[int, Fraction]:
        out: dict[int, Fraction] = {}
        for t, x in self.exact.P[k].items() if k >= 0 else ():
            if self.class_of[t] >= 0:
                out[self.class_of[t]] = out.get(self.class_of[t], Fraction(0)) + x
        return out

    def q(self, V: Sequence[Any]) -> list[Any]:
        """Values of the pairs."""
        return [self.r(j) + sum((x * V[c] for c, x in self.row(j).items()), Fraction(0)) for j in range(len(self.pair))]

    def best(self, q: Sequence[Any]) -> list[Any]:
        """The largest of each class."""
        return [max(q[j] for j in pairs) for pairs in self.pairs]

    def backup(self, V: Sequence[Any]) -> list[Any]:
        """TV, of each class."""
        return self.best(self.q(V))

    def errors(self, V: Sequence[Any]) -> list[Fraction]:
        """Bounds on the rounding of the pairs' values: known values and members add as many sums as there are states."""
        out: list[Fraction] = []
        for j in range(len(self.pair)):
            n = len(self.exact.P[self.pair[j]]) if self.pair[j] >= 0 else 0
            size = sum((x * abs(V[c]) for c, x in self.row(j).items()), abs(self.exact.r[self.pair[j]]) if n else 0)
            size += (
                sum((x for t, x in self.exact.P[self.pair[j]].items() if t in self.exact.known), Fraction(0))
                if n
                else 0
            )
            out.append(factors(2 * n + 6) * size + (2 * n + 6) * TINY)
        return out

    def backup_error(self, V: Sequence[Any]) -> list[Fraction]:
        """Bounds on the rounding of a backup."""
        return self.best(self.errors(V))

    def inverse(self, choice: Sequence[int], *right: Sequence[Any]) -> list[list[Fraction]]:
        """The value of a policy of the quotient, its expected number of steps, and other solutions of x = b + Mx."""
        A = [[Fraction(int(i == c)) for c in range(self.n)] for i in range(self.n)]
        for i, j in enumerate(choice):
            for c, x in self.row(j).items():
                A[i][c] -= x
        return solve(A, [self.r(j) for j in choice], [Fraction(1)] * self.n, *right)


_LAST: list[tuple[Exact, Any, Lifted]] = []


def lifted(exact: Exact, q: Any) -> Lifted:
    """The quotient that a solver works on, in rationals; the last one is kept, as all states of a run share it."""
    if not _LAST or _LAST[0][0] is not exact or _LAST[0][1] is not q:
        _LAST[:] = [(exact, q, Lifted(exact, q))]
    return _LAST[0][2]


def _free_moves(exit_reward: int = 1) -> MDP:
    """Two states that lead to each other for nothing, each with a way out that pays; then a state that stays."""
    F = Fraction
    P = [
        [[F(0), F(1), F(0)], [F(0), F(0), F(1)]],
        [[F(1), F(0), F(0)], [F(0), F(0), F(1)]],
        [[F(0), F(0), F(1)], [F(0), F(0), F(1)]],
    ]
    r = [[F(0), F(exit_reward)], [F(0), F(2 * exit_reward)], [F(0), F(0)]]
    return MDP(P, r, TotalReward(), rho=0)


MERGED = chosen(lambda: [Case("two states with free moves between them, exits that pay 1 and 2", _free_moves())])
WITH_COMPONENTS = joined(
    MERGED,
    named("idle-loop", "free-loop?semantics=total", "haddad-monmege?n=2", "gambler?goal=4"),
)


@claim(
    "haddad2018:quotient",
    says=(
        r"V^* \text{ is constant on each end component without reward, and the value of their quotient is the one solution of }"
        r" V = TV"
    ),
    where="Section 3 of the paper for reachability, recalled; proved, see docs (Theorem 7)",
    kind="identity",
    mode="exact",
    instances=joined(WITH_COMPONENTS, goals()),
    controls=[
        mutant("nothing merged: the model's own equation has other solutions", merged=False),
        mutant("staying is worth one", stop=1),
    ],
    about=[IntervalIteration, PolicyIteration, TopologicalValueIteration],
)
def quotient(mdp: Any, *, merged: bool = True, stop: int = 0) -> Iterator[Row]:
    """Merging end components without reward keeps the optimal value, and leaves one solution."""
    exact = Exact.of(mdp)
    problem, _ = pose(mdp)
    L = lifted(exact, call(analyze, problem).quotient)
    star = exact.optimal
    for s in range(exact.S):
        if L.class_of[s] >= 0:
            yield all_equal([star[s]], [star[L.members[L.class_of[s]]]], f"one value in each class, s={s}")
        else:
            yield fact(s in exact.known or abs(star[s]) == float("inf"), f"outside is known or infinite, s={s}")
    V = [star[s] for s in L.members]
    if not merged:
        # One more on a class and what leads there for nothing is a solution, too, before merging.
        high = max(v for v in star if abs(v) != float("inf")) + 1
        W = [exact.known.get(s, high) for s in range(exact.S)]
        W = [max(x, v) for x, v in zip(W, [exact.known.get(s, v) for s, v in enumerate(exact.backup(W))], strict=True)]
        TW = [exact.known.get(s, v) for s, v in enumerate(exact.backup(W))]
        if TW == W:
            yield all_leq(W, star, "a solution of the model's own equation")
    q = [x + (stop if L.pair[j] < 0 else 0) for j, x in enumerate(L.q(V))]
    yield all_equal(L.best(q), V, "V* = TV*")
    # A policy iteration in rationals from the worst policy of each class that leaves for sure.
    choice = [int(j) for j in _proper(L)]
    for _ in range(50):
        W = exactly(L.inverse(choice)[0])
        q = L.q(W)
        better = [max(p, key=lambda j: (q[j], j == choice[i])) for i, p in enumerate(L.pairs)]
        if better == choice:
            break
        choice = better
    yield all_equal(W, V, "what policy iteration on the quotient ends with")


def _proper(L: Lifted) -> list[int]:
    """A policy that leaves almost surely: nearer to the way out in each class, by breadth first."""
    out: dict[int, int] = {}
    while len(out) < L.n:
        new = {
            c: j
            for c, pairs in enumerate(L.pairs)
            if c not in out
            for j in pairs
            if sum(L.row(j).values(), Fraction(0)) < 1 or any(d in out for d in L.row(j))
        }
        out |= new
    return [out[c] for c in range(L.n)]
