r"""Claims about policy iteration, under a discount and for total reward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from mdpkit.claims import Row, all_equal, all_leq, claim, fact, leq, mutant
from mdpkit.claims.cases import by_pairs, discounted, goals, joined, named
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.rounding import all_near, pair_errors, solve_error
from mdpkit.claims.trial import iterates
from mdpkit.proofs.dynamic_programming.total_reward import Lifted, lifted
from mdpkit.proofs.dynamic_programming.value_iteration import COSTS, ONE_STATE
from mdpkit.solvers.dynamic_programming import ModifiedPolicyIteration, PolicyIteration

MARGIN = Fraction(1, 2**46)
"""What an action must be better by, of the value and the largest reward of its state."""


class Lazy(PolicyIteration):
    """A wrong improvement: of state 0 alone."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The next policy in state 0, the old one elsewhere."""
        after = super().step(problem, state, rng)
        choice = state.choice.copy()
        choice[0] = after.choice[0]
        if state.quotient is not None or after.stable:
            return after
        from mdpkit.operators.bellman import Sweeper

        return after._replace(choice=choice, V=Sweeper(problem).solve(choice))


def improves(
    q: Sequence[Any], groups: Sequence[range], error: Sequence[Any], size: Sequence[Any], old: Any, new: Any, at: str
) -> list[Row]:
    """The rows that say a policy is the improvement of another: the best, or the same where none is better by the margin."""
    best = [max(q[k] for k in pairs) for pairs in groups]
    worst = [2 * max(error[k] for k in pairs) for pairs in groups]
    kept = [k == j for k, j in zip(old, new, strict=True)]
    margin = [MARGIN * x + e for x, e in zip(size, worst, strict=True)]
    rows = [
        all_leq(
            best,
            [q[k] + (m if same else e) for k, same, m, e in zip(new, kept, margin, worst, strict=True)],
            f"greedy {at}",
        )
    ]
    changed = [
        (q[j] + MARGIN * x, q[k] + e) for j, k, same, x, e in zip(old, new, kept, size, worst, strict=True) if not same
    ]
    if changed:
        rows.append(all_leq([x for x, _ in changed], [y for _, y in changed], f"for more than rounding {at}"))
    return rows


@claim(
    "howard1960:monotone",
    says=r"V_{k+1} \ge TV_k \ge V_k, \quad \|V_k - V^*\| \le \gamma^k \|V_0 - V^*\|, \quad V_k = V^* \text{ for some } k",
    where=(
        "Theorem 6.4.2 of puterman1994, recalled, proved, see docs; bertsekas1991 Proposition 2 for total reward, recalled"
    ),
    kind="monotone",
    mode="numeric",
    instances=joined(
        discounted(),
        by_pairs(),
        COSTS,
        named(ONE_STATE, "riverswim?n_states=6", gamma=Fraction(9, 10)),
        goals(),
        named("haddad-monmege?n=2", "gambler?goal=5", "parking-garage?spaces=2&garage=4"),
    ),
    controls=[
        mutant("a policy's value after a few sweeps", tested=ModifiedPolicyIteration(3), pinned=False),
        mutant("only one state improved", tested=Lazy()),
        mutant("as fast as two sweeps of value iteration", sweeps=2),
        mutant("optimal after one improvement", most=1),
    ],
    about=[PolicyIteration],
)
def monotone(
    mdp: Any, *, tested: Any = None, pinned: bool = True, sweeps: int = 1, most: int | None = None, steps: int = 12
) -> Iterator[Row]:
    """Each policy is at least as good as the backup of the last one's value, and the optimal one comes soon."""
    exact = Exact.of(mdp)
    states = iterates(mdp, tested or PolicyIteration(), steps, arithmetic="float")
    if exact.kind == "total":
        if pinned:
            yield from _total(exact, states, most)
        return
    gamma, star = exact.modulus, exact.optimal
    before: Any = None
    seen: set[tuple[int, ...]] = set()
    for k, state in enumerate(states):
        V, choice, at = exactly(state.V), exact.exit(state.choice), f"k={k}"
        if pinned:
            largest = [max(exact.r[j] for j in pairs) for pairs in exact.pairs]
            if not k:
                yield all_equal([exact.r[j] for j in choice], largest, "the first policy is greedy for the reward")
            right = [exact.r[j] for j in choice]
            own, reach = exact.inverse(choice, right, [Fraction(1)] * exact.S)
            error = solve_error(max(reach), exact.S, V, right)
            yield all_near(state.V, own, error, f"V_{k} is the policy's value")
        else:
            error = Fraction(0)
        if before is None:
            first = sup(x - v for x, v in zip(star, V, strict=True))
        else:
            q = exact.q(before.V)
            if pinned:
                size = [abs(v) + max(abs(exact.r[j]) for j in p) for v, p in zip(before.V, exact.pairs, strict=True)]
                yield from improves(q, exact.pairs, pair_errors(exact, before.V), size, before.choice, choice, at)
            slack = 3 * (error + before.error) / (1 - gamma) + 3 * max(MARGIN * x for x in map(abs, q)) / (1 - gamma)
            yield all_leq(before.V, [x + slack for x in exact.best(q)], f"V_(k-1) <= TV_(k-1), {at}")
            TV = exact.best(q)
            for _ in range(sweeps - 1):
                TV = exact.backup(TV)
            yield all_leq(TV, [v + slack for v in V], f"TV_(k-1) <= V_k, {at}")
            bound = gamma**k * first + k * slack
            yield leq(sup(x - v for x, v in zip(star, V, strict=True)), bound, f"distance, {at}", k=k)
        if most is not None and k == most:
            yield all_equal(exact.value(choice), star, f"optimal after {most} steps")
        if pinned and state.stable:
            yield fact(
                before is not None and tuple(choice) == tuple(before.choice), "the last policy is its own improvement"
            )
            yield all_equal(exact.value(choice), star, "the last policy is optimal")
            return
        yield fact(tuple(choice) not in seen, f"no policy comes twice, {at}")
        seen.add(tuple(choice))
        before = _Seen(V, choice, error)
    yield fact(not pinned, f"the end comes within {steps} steps")


class _Seen:
    """A policy met, with its value and the bound on its rounding."""

    def __init__(self, V: Any, choice: Any, error: Any):
        self.V, self.choice, self.error = V, choice, error


def _total(exact: Exact, states: Iterator[Any], most: int | None) -> Iterator[Row]:
    """The same on the quotient of a total-reward problem."""
    before: Any = None
    for k, state in enumerate(states):
        L: Lifted = lifted(exact, state.quotient)
        V, at = exactly(state.V), f"k={k}"
        choice = [int(c) for c in state.choice]
        own, reach = L.inverse(choice)
        error = solve_error(max(reach), L.n, V, [L.r(c) for c in choice])
        yield all_near(state.V, own, error, f"V_{k} is the policy's value")
        star = [exact.optimal[s] for s in L.members]
        yield all_leq(V, [x + error for x in star], f"V_{k} <= V*")
        if before is not None:
            q, slack = L.q(before.V), 2 * max(L.errors(before.V)) + error + before.error
            size = [abs(v) + max(abs(L.r(j)) for j in p) for v, p in zip(before.V, L.pairs, strict=True)]
            yield from improves(q, L.pairs, L.errors(before.V), size, before.choice, choice, at)
            slack = slack * (1 + max(reach)) + 2 * MARGIN * max(size) * max(reach)
            yield all_leq(before.V, [x + slack for x in L.best(q)], f"V_(k-1) <= TV_(k-1), {at}")
            yield all_leq(L.best(q), [v + slack for v in V], f"TV_(k-1) <= V_k, {at}")
        if state.stable or (most is not None and k == most):
            yield all_equal(own, star, "the last policy is optimal")
            return
        before = _Seen(V, choice, error)
    yield fact(False, "the end comes")
