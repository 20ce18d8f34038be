r"""Claims about Anderson-accelerated value iteration: each attempt made again in rationals, and the rate that is kept.

The least squares of an attempt are solved by LAPACK, whose backward stability is documented without a constant: it is
taken to be off by at most :math:`10^3 u` times the matrix. The solver is checked with a regularization of 1/64, so
that this is amplified by at most 64; the guarantee itself rests on the safeguard, whatever the attempt was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from mdpkit.claims import Interval, Outcome, Row, all_equal, claim, equal, fact, leq, mutant
from mdpkit.claims.cases import by_pairs, discounted, joined, named
from mdpkit.claims.exact import Exact, exactly, solve, span, sup
from mdpkit.claims.rounding import UNIT, Accumulated, all_near, backup_error, factors
from mdpkit.claims.trial import iterates
from mdpkit.proofs.dynamic_programming.value_iteration import COSTS, ONE_STATE, gap_error, macqueen_width
from mdpkit.solvers.dynamic_programming import AndersonValueIteration

F = Fraction
MEMORY, RIDGE = 2, F(1, 64)
LAPACK = 1000 * UNIT


class Reckless(AndersonValueIteration):
    """Every attempt accepted."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """A step without the safeguard."""
        if len(state.changes) < 2:
            return self._swept(problem, state, state.V)
        return self._swept(problem, state, self._extrapolated(state))


class Settings:
    """What the statement says of attempts; controls change it."""

    def __init__(self, memory: int = MEMORY, first: int = 2, double: int = 2, centered: bool = True):
        self.memory, self.first, self.double, self.centered = memory, first, double, centered


def attempt(state: Any, centered: bool) -> tuple[list[Any], Fraction]:
    """The extrapolated value from the memory of a state, and how far floats may be from it."""
    F_, Y = [exactly(x) for x in state.changes], [exactly(x) for x in state.backups]
    if not centered:
        F_ = [[x + 1 for x in f] for f in F_]
    steps = [[x - y for x, y in zip(b, a, strict=True)] for a, b in pairwise(F_)]
    moves = [[x - y for x, y in zip(b, a, strict=True)] for a, b in pairwise(Y)]
    m, n = len(steps), len(Y[0])
    G = [[sum((x * y for x, y in zip(a, b, strict=True)), F(0)) for b in steps] for a in steps]
    size = sum((G[i][i] for i in range(m)), F(0))
    if not size:
        return exactly(state.V), F(0)
    for i in range(m):
        G[i][i] += RIDGE * size
    right = [sum((x * y for x, y in zip(a, F_[-1], strict=True)), F(0)) for a in steps]
    w = solve(G, right)[0]
    # Entries of the matrix and the right side are sums of n products of differences; their norms are at most these.
    last = sum((x * x for x in F_[-1]), F(0))
    rough = (factors(2 * n + 4) + LAPACK) * m
    moved = (rough * size * 2 * max(map(abs, w), default=F(0)) + rough * (size + last)) / (RIDGE * size)
    V = exactly(state.V)
    out = [v - sum((a * d[s] for a, d in zip(w, moves, strict=True)), F(0)) for s, v in enumerate(V)]
    spread = sum((sup(d) for d in moves), F(0))
    off = moved * spread + factors(m + 3) * (
        sup(V) + sum((abs(a) * sup(d) for a, d in zip(w, moves, strict=True)), F(0))
    )
    return out, off


class Swept:
    """A backup in rationals as the solver keeps it: shifted to the middle, with its change less the mean."""

    def __init__(self, exact: Exact, V: Sequence[Any], off: Fraction):
        gamma, TV = exact.modulus, exact.backup(V)
        d = [x - y for x, y in zip(TV, V, strict=True)]
        self.low, self.high = min(d), max(d)
        one = max(backup_error(exact, [abs(v) + off for v in V])) + gamma * off
        self.change_error = one + off + factors(4) * sup(d)
        self.once = len(set(exact.gamma)) == 1
        if self.once:
            shift = gamma / (1 - gamma) * (self.low + self.high) / 2
            self.V = [x + shift for x in TV]
            mean = sum(d, F(0)) / len(d)
            self.change = [x - mean for x in d]
            self.residual = span(d) / 2
            self.error = (
                one + gamma / (1 - gamma) * (self.change_error + factors(8) / (1 - gamma) * sup(d)) + UNIT * sup(TV)
            )
            self.change_error += self.change_error + factors(len(d) + 3) * sup(d)
        else:
            self.V, self.change, self.residual, self.error = TV, d, sup(d), one
        self.span_error = 2 * self.change_error


@claim(
    "zhang2020:safeguard",
    says=r"""
\|TV_k - V_k\| \le \gamma^k \|TV_0 - V_0\|, \quad \|V_k - V^*\| \le \frac{\gamma^{k}}{1-\gamma} \|TV_0 - V_0\|,
\quad \text{at most } \tfrac43 (k+1) + 1 \text{ backups in } k + 1 \text{ steps}""",
    where="a safeguard in the spirit of the paper, recalled; this one is proved, see docs",
    kind="upper",
    mode="numeric",
    instances=joined(
        discounted(sizes=((2, 2), (3, 2), (4, 3)), fast=3, full=7),
        by_pairs(),
        COSTS,
        named(ONE_STATE, "riverswim?n_states=8", gamma=F(9, 10)),
        named("riverswim?n_states=12", gamma=F(99, 100)),
    ),
    controls=[
        mutant("every attempt accepted", tested=Reckless(memory=5), pinned=False),
        mutant("a memory of one more", tested=AndersonValueIteration(memory=MEMORY + 1, ridge=float(RIDGE), V0=0.5)),
        mutant("the first attempt a step later", settings=Settings(first=3)),
        mutant("pauses that do not double", settings=Settings(double=1)),
        mutant("one power of the discount more", shift=1),
        mutant("at most a sixth more backups", share=F(1, 6), once=0),
    ],
    about=[AndersonValueIteration],
    caveat="attempts are compared up to the backward stability of LAPACK's least squares, assumed with the constant 1000",
)
def safeguard(
    mdp: Any,
    *,
    tested: Any = None,
    settings: Settings | None = None,
    pinned: bool = True,
    shift: int = 0,
    share: Fraction = Fraction(1, 3),
    once: int = 1,
    steps: int = 24,
) -> Iterator[Row]:
    """Accelerated value iteration keeps the contraction, for at most a third more backups."""
    exact = Exact.of(mdp)
    gamma, rules = exact.modulus, settings or Settings()
    total, before, first = Accumulated(gamma), None, F(0)
    solver = tested or AndersonValueIteration(memory=MEMORY, ridge=float(RIDGE), V0=0.5)
    for k, state in enumerate(iterates(mdp, solver, steps, arithmetic="float")):
        at = f"k={k}"
        if before is None:
            if pinned:
                yield all_equal(exactly(state.V), [exact.sign * F(1, 2)] * exact.S, "V_0")
                yield fact((state.wait, state.pause, state.sweeps, state.rejected) == (0, 1, 0, 0), "nothing done yet")
                yield fact(not state.backups and not state.changes, "nothing in memory")
        else:
            plain = Swept(exact, exactly(before.V), F(0))
            if k == 1:
                first = plain.residual
            if pinned:
                yield from _step(exact, before, state, plain, rules, at)
            if len(before.changes) < 2 or pinned:
                total.add(2 * plain.span_error)
            residual = F(state.residual)
            yield leq(residual, gamma ** (k - 1 + shift) * first + total.value, f"residual, {at}", k=k)
            off = sup(x - y for x, y in zip(exactly(state.V), exact.optimal, strict=True))
            bound = gamma ** (k + shift) / (1 - gamma) * first
            yield leq(off, bound + (total.value + plain.error) / (1 - gamma), f"distance, {at}")
            yield leq(state.sweeps, (1 + share) * k + once, f"backups, {at}")
        before = state


def _step(exact: Exact, before: Any, state: Any, plain: Swept, rules: Settings, at: str) -> Iterator[Row]:
    """One step, made again."""
    done, trying = plain, len(before.changes) >= rules.first and not before.wait
    wait, pause, sweeps, rejected = max(before.wait - 1, 0), before.pause, before.sweeps + 1, before.rejected
    if trying:
        value, off = attempt(before, rules.centered)
        tried = Swept(exact, value, off)
        limit = exact.modulus * F(before.residual)
        certain = abs(tried.residual - limit) > tried.span_error + factors(4) * limit
        accepted = tried.residual < limit if certain else state.rejected == before.rejected
        if accepted:
            done, wait, pause = tried, 0, 1
        else:
            wait, pause = before.pause, rules.double * before.pause
            sweeps, rejected = sweeps + 1, rejected + 1
    found = (state.wait, state.pause, state.sweeps, state.rejected)
    yield fact(found == (wait, pause, sweeps, rejected), f"attempts, pauses and backups, {at}")
    rows = [
        all_near(state.V, done.V, done.error, f"V, {at}"),
        all_near(state.changes[-1], done.change, done.change_error, f"change, {at}"),
        equal(
            state.residual,
            Interval(done.residual - done.span_error, done.residual + done.span_error),
            f"residual, {at}",
        ),
    ]
    for row in rows:
        if row.outcome is not Outcome.UNDECIDED or not trying:
            yield row
    low, high = done.low, done.high
    gap, error = macqueen_width(exact, low, high), gap_error(exact, low, high, done.change_error)
    yield leq(abs(F(state.gap) - gap), error + factors(8) * gap, f"gap, {at}")
    for name in ("backups", "changes"):
        old, new = getattr(before, name), getattr(state, name)
        kept = old if len(old) <= rules.memory else old[1:]
        same = len(new) == len(kept) + 1 and all((a == b).all() for a, b in zip(kept, new, strict=False))
        yield fact(same, f"the last {rules.memory + 1} {name} are kept, {at}")
    yield fact((state.backups[-1] == state.V).all(), f"the newest backup, {at}")
