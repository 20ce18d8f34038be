r"""Claims about relative value iteration, class by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise, product
from math import inf
from typing import Any

from mdpkit.claims import Row, all_equal, claim, fact, leq, mutant
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.rounding import UNIT, Accumulated, all_near, factors, near, pair_errors
from mdpkit.claims.trial import answer, iterates
from mdpkit.proofs.average_reward.multichain_policy_iteration import CASES
from mdpkit.solvers.average_reward import RelativeValueIteration

F = Fraction
TAU = 0.375


class Undamped(RelativeValueIteration):
    """Sweeps without the probability of staying, whatever tau is."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step at tau = 1."""
        return RelativeValueIteration(tau=1.0).step(problem, state, rng)


class Part:
    """A class: its states in the solver's order, and the pairs that keep to it."""

    def __init__(self, exact: Exact, states: Sequence[int]):
        self.exact, self.states = exact, list(states)
        inside = set(states)
        self.pairs = [[k for k in exact.pairs[s] if set(exact.P[k]) <= inside] for s in states]

    def backup(self, h: dict[int, Any]) -> list[Any]:
        """Th, of each state, over the pairs that keep to the class."""
        return [max(self.exact.r[k] + self.exact.row(k, h) for k in pairs) for pairs in self.pairs]

    def gain(self) -> Fraction:
        """The largest gain of a policy that keeps to the class, by looking at each."""
        best = None
        for choice in product(*self.pairs):
            full = {s: k for s, k in zip(self.states, choice, strict=True)}
            whole = [full.get(s, self.exact.pairs[s][0]) for s in range(self.exact.S)]
            g = self.exact.gain(whole)
            top = max(g[s] for s in self.states)
            best = top if best is None else max(best, top)
        assert best is not None
        return best

    def contraction(self, tau: Fraction) -> Fraction:
        """Dobrushin's coefficient of the damped pairs: the span of a difference falls by it in a step."""
        rows: list[dict[int, Fraction]] = []
        for s, pairs in zip(self.states, self.pairs, strict=True):
            for k in pairs:
                row = {t: tau * x for t, x in self.exact.P[k].items()}
                row[s] = row.get(s, F(0)) + 1 - tau
                rows.append(row)
        common = [sum((min(x, b.get(t, F(0))) for t, x in a.items()), F(0)) for a in rows for b in rows]
        return 1 - min(common)


@claim(
    "schweitzer1971:span",
    says=r"""
\min_s (Th_k - h_k)(s) \le g^* \le \max_s (Th_k - h_k)(s), \quad \text{the left sides rise, the right ones fall, and }
\operatorname{span}(Th_k - h_k) \le \delta_\tau^k \operatorname{span}(Th_0 - h_0)""",
    where=(
        "the paper's transformation, recalled; the bounds, and the rate by Dobrushin's coefficient of the damped pairs, are "
        "proved, see docs"
    ),
    kind="upper",
    mode="numeric",
    instances=CASES,
    controls=[
        mutant("no probability of staying, where the chain is periodic", tested=Undamped(tau=TAU), pinned=False),
        mutant("least and largest rise exchanged", ends=(1, 0)),
        mutant("one power of the coefficient more", power=1),
        mutant("the rise of the damped sweep, not of the backup", damped=True),
        mutant("the whole model as one class", whole=True),
    ],
    about=[RelativeValueIteration],
    caveat="where two pairs have no next state in common even when damped, nothing is said of the rate",
)
def span_bounds(
    mdp: Any,
    *,
    tested: Any = None,
    pinned: bool = True,
    ends: tuple[int, int] = (0, 1),
    power: int = 0,
    damped: bool = False,
    whole: bool = False,
    steps: int = 12,
) -> Iterator[Row]:
    """In each class the least and the largest rise of a sweep enclose the gain, and come together."""
    exact = Exact.of(mdp)
    tau = F(TAU)
    solver = tested or RelativeValueIteration(tau=TAU)
    before: Any = None
    parts: list[Part] = []
    last = None
    for k, state in enumerate(iterates(mdp, solver, steps, arithmetic="float")):
        order, ptr = [int(s) for s in state.plan.order], [int(x) for x in state.plan.class_ptr]
        h = exactly(state.h)
        values = dict(zip(order, h, strict=True))
        if not k:
            parts = [Part(exact, order[a:b]) for a, b in pairwise(ptr)]
            kept = all(all(part.pairs) for part in parts)
            yield fact(kept, "each state can be kept to its class")
            if not kept:
                return
            gains = [part.gain() for part in parts]
            rates = [part.contraction(tau) for part in parts]
            total = [Accumulated(rate) for rate in rates]
            firsts: list[Any] = [None] * len(parts)
            yield all_equal(h, [0] * len(h), "h_0")
            yield fact(all(x == -inf for x in state.low) and all(x == inf for x in state.high), "no bounds yet")
            reach = [_mutual(part) for part in parts]
            yield fact(all(reach), "classes communicate")
            taken = {s for part in parts for s in part.states}
            yield fact(len(taken) == len(order), "no state is in two classes")
            for choice in exact.policies():
                yield fact(all(set(c) <= taken for c in exact.classes(choice)), "recurrent states are in classes")
            if whole:
                yield all_equal([min(exact.optimal)], [max(exact.optimal)], "one gain everywhere")
        else:
            size = {**dict.fromkeys(range(exact.S), F(0)), **{s: abs(v) for s, v in before.items()}}
            error = max(pair_errors(exact, [size[s] for s in range(exact.S)]))
            for c, part in enumerate(parts):
                at = f"class {c}, k={k}"
                old = [before[s] for s in part.states]
                rise = [x - y for x, y in zip(part.backup(before), old, strict=True)]
                rounding = error + UNIT * sup(rise)
                if damped:
                    rise = [tau * x for x in rise]
                low, high = exactly([state.low[c], state.high[c]])
                if pinned:
                    yield near(state.low[c], min(rise), rounding, f"least rise, {at}")
                    yield near(state.high[c], max(rise), rounding, f"largest rise, {at}")
                    new = [x + tau * d for x, d in zip(old, rise, strict=True)]
                    new = [x - new[0] for x in new]
                    off = 2 * (rounding + factors(4) * (sup(old) + sup(rise))) + UNIT * sup(new)
                    yield all_near([state.h[i] for i in range(ptr[c], ptr[c + 1])], new, off, f"h, {at}")
                both = (low, high)
                yield leq(both[ends[0]], gains[c] + rounding, f"below the gain, {at}")
                yield leq(gains[c], both[ends[1]] + rounding, f"above the gain, {at}")
                if firsts[c] is None:
                    firsts[c] = (high - low, low, high)
                else:
                    slack = 8 * rounding + 8 * factors(4) * (sup(old) + sup(rise))
                    if pinned and last is not None:
                        yield leq(last[c][0], low + slack, f"the lower bound rises, {at}")
                        yield leq(high, last[c][1] + slack, f"the upper bound falls, {at}")
                    total[c].add(slack)
                    bound = rates[c] ** (k - 1 + power) * firsts[c][0] + total[c].value
                    if rates[c] < 1:
                        yield leq(high - low, bound, f"closes, {at}", k=k, series=f"class {c}")
            gap = max(F(float(state.high[c])) - F(float(state.low[c])) for c in range(len(parts)))
            yield near(state.gap, gap, UNIT * gap, f"gap, k={k}")
            last = [tuple(exactly([state.low[c], state.high[c]])) for c in range(len(parts))]
        before = values
    if pinned and not damped:
        found = answer(mdp, solver, gap=1e-9, most=2000)
        yield all_equal(exact.gain(exact.exit(found.choice)), exact.optimal, "the classes are mixed as well as can be")


def _mutual(part: Part) -> bool:
    reach = {
        s: {s} | {t for k in pairs for t in part.exact.P[k]} for s, pairs in zip(part.states, part.pairs, strict=True)
    }
    for t in part.states:
        for s in part.states:
            if t in reach[s]:
                reach[s] = reach[s] | reach[t]
    return all(set(part.states) <= reach[s] for s in part.states)
