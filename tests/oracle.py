"""An independent judge of small models: every deterministic policy, in rationals, by plain Python.

Nothing here calls the library. A model is a list over states of lists of actions ``(reward, {next state: probability})``.
Infinite values are ``float('inf')``; ``None`` stands for a value that is not defined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import gcd
from typing import Any

F = Fraction
ONE = F(1)
INF = float("inf")
Row = dict[int, Fraction]
Model = list[list[tuple[Fraction, Row]]]


def linear(A: Sequence[Sequence[Fraction]], b: Sequence[Fraction]) -> list[Fraction]:
    """The solution of Ax = b by Gauss--Jordan elimination."""
    n = len(b)
    M = [[*map(F, A[i]), F(b[i])] for i in range(n)]
    for c in range(n):
        pivot = next(i for i in range(c, n) if M[i][c] != 0)
        M[c], M[pivot] = M[pivot], M[c]
        M[c] = [x / M[c][c] for x in M[c]]
        for i in range(n):
            if i != c and M[i][c] != 0:
                factor = M[i][c]
                M[i] = [x - factor * y for x, y in zip(M[i], M[c], strict=True)]
    return [row[n] for row in M]


def policies(model: Model) -> Iterator[tuple[int, ...]]:
    """All deterministic stationary policies."""
    return product(*(range(len(actions)) for actions in model))


def chain(model: Model, policy: Sequence[int]) -> tuple[list[Fraction], list[Row]]:
    """Rewards and rows of a policy's chain."""
    picked = [model[s][a] for s, a in enumerate(policy)]
    return [r for r, _ in picked], [row for _, row in picked]


def reachable(rows: list[Row], s: int) -> set[int]:
    """States that can be reached from s, itself included."""
    seen, todo = {s}, [s]
    while todo:
        for t, p in rows[todo.pop()].items():
            if p and t not in seen:
                seen.add(t)
                todo.append(t)
    return seen


def recurrent_classes(rows: list[Row]) -> list[frozenset[int]]:
    """Closed communicating classes."""
    reach = [reachable(rows, s) for s in range(len(rows))]
    return list({frozenset(reach[s]) for s in range(len(rows)) if all(s in reach[t] for t in reach[s])})


def stationary(rows: list[Row], members: Sequence[int]) -> list[Fraction]:
    """Stationary law of a recurrent class."""
    members = list(members)
    n = len(members)
    A = [[rows[members[j]].get(members[i], F(0)) - (i == j) for j in range(n)] for i in range(n)]
    A[0] = [F(1)] * n
    return linear(A, [F(1)] + [F(0)] * (n - 1))


def period(rows: list[Row], members: frozenset[int]) -> int:
    """Period of a recurrent class."""
    start = min(members)
    level, todo, d = {start: 0}, [start], 0
    while todo:
        s = todo.pop(0)
        for t, p in rows[s].items():
            if not p:
                continue
            if t in level:
                d = gcd(d, level[s] + 1 - level[t])
            else:
                level[t] = level[s] + 1
                todo.append(t)
    return abs(d)


def hitting(rows: list[Row], target: set[int] | frozenset[int]) -> list[Fraction]:
    """Probability of ever entering the target."""
    n = len(rows)
    can = [bool(reachable(rows, s) & target) for s in range(n)]
    open_ = [s for s in range(n) if can[s] and s not in target]
    x = solve_on(rows, open_, [sum((p for t, p in rows[s].items() if t in target), F(0)) for s in range(n)])
    return [F(1) if s in target else x.get(s, F(0)) for s in range(n)]


def solve_on(rows: list[Row], states: list[int], b: Sequence[Fraction], gamma: Fraction = ONE) -> dict[int, Fraction]:
    """The solution of x = b + gamma P x on the given states (x is zero elsewhere)."""
    A = [[F(s == t) - gamma * rows[s].get(t, F(0)) for t in states] for s in states]
    return dict(zip(states, linear(A, [b[s] for s in states]), strict=True)) if states else {}


@dataclass
class Total:
    """Total reward of a chain: values, gains, and what made some of them undefined."""

    value: list[Any]
    gain: list[Fraction]
    mixed: set[int] = field(default_factory=set)
    noisy: list[tuple[frozenset[int], int]] = field(default_factory=list)


def chain_total(rewards: list[Fraction], rows: list[Row]) -> Total:
    """Limits of the expected partial sums: plus or minus infinity by the gain, else the bias with P*h = 0.

    ``None`` where a class of gain zero whose rewards are not all zero has a period. ``noisy`` lists the classes of gain
    zero with nonzero rewards and their periods; ``mixed`` the states that reach gains of both signs.
    """
    n = len(rows)
    classes = recurrent_classes(rows)
    gain = [F(0)] * n
    bias: list[Any] = [None] * n
    broken: set[int] = set()
    noisy = []
    inside: set[int] = set()
    for members in classes:
        order = sorted(members)
        inside |= members
        law = stationary(rows, order)
        g = sum((x * rewards[s] for x, s in zip(law, order, strict=True)), F(0))
        if g == 0 and any(rewards[s] for s in order):
            d = period(rows, members)
            noisy.append((members, d))
            if d > 1:
                broken |= members
        # h = r - g + Ph with law . h = 0
        m = len(order)
        A = [[F(i == j) - rows[order[i]].get(order[j], F(0)) + law[j] for j in range(m)] for i in range(m)]
        for s, h in zip(order, linear(A, [rewards[s] - g for s in order]), strict=True):
            gain[s], bias[s] = g, h
    out = [s for s in range(n) if s not in inside]
    known = [sum((p * gain[t] for t, p in rows[s].items() if t in inside), F(0)) for s in range(n)]
    for s, g in solve_on(rows, out, known).items():
        gain[s] = g
    known = [
        rewards[s] - gain[s] + sum((p * bias[t] for t, p in rows[s].items() if t in inside), F(0)) for s in range(n)
    ]
    for s, h in solve_on(rows, out, known).items():
        bias[s] = h
    result = Total([], gain, noisy=noisy)
    for s in range(n):
        seen = reachable(rows, s)
        ends = {gain[t] for t in seen & inside}
        if any(g > 0 for g in ends) and any(g < 0 for g in ends):
            result.mixed.add(s)
        if gain[s] != 0:
            result.value.append(INF if gain[s] > 0 else -INF)
        else:
            result.value.append(None if seen & broken else bias[s])
    return result


@dataclass
class Best:
    """Best values over all deterministic policies, and whether the contract calls the problem undefined."""

    value: list[Any]
    undefined: bool
    why: str = ""


def best_total(model: Model) -> Best:
    """Largest total reward over all deterministic stationary policies."""
    n = len(model)
    value: list[Any] = [-INF] * n
    found: list[tuple[tuple[int, ...], Total]] = []
    for policy in policies(model):
        total = chain_total(*chain(model, policy))
        found.append((policy, total))
        for s in range(n):
            if total.value[s] is not None:
                value[s] = max(value[s], total.value[s])
    why = ""
    zero: dict[frozenset[tuple[int, int]], tuple[bool, int]] = {}
    for policy, total in found:
        rewards, rows = chain(model, policy)
        for members in recurrent_classes(rows):
            if total.gain[min(members)] == 0 and value[min(members)] != INF:
                loud = any(rewards[s] for s in members)
                zero[frozenset((s, policy[s]) for s in members)] = (loud, period(rows, members))
        if any(total.gain[s] == 0 or value[s] != INF for s in total.mixed):
            why = why or "mixed"
    for pairs, (loud, d) in zero.items():
        if loud and d > 1:
            why = "period"
        for others, (loud_too, _) in zero.items():
            meet = {s for s, _ in pairs} & {s for s, _ in others}
            if (loud or loud_too) and pairs != others and meet:
                why = "choice"
    return Best(value, bool(why), why)


def best_gain(model: Model) -> list[Fraction]:
    """Largest long-run average reward over all deterministic stationary policies."""
    gains = [chain_total(*chain(model, policy)).gain for policy in policies(model)]
    return [max(g[s] for g in gains) for s in range(len(model))]


def poisson(model: Model, policy: Sequence[int]) -> tuple[list[Fraction], list[Fraction]]:
    """Gain, and bias with P*h = 0, of a policy; see :func:`chain_total`."""
    rewards, rows = chain(model, policy)
    gain = chain_total(rewards, rows).gain
    n = len(rows)
    classes = recurrent_classes(rows)
    laws = {members: dict(zip(sorted(members), stationary(rows, sorted(members)), strict=True)) for members in classes}
    # (I - P) h = r - g on all states but one a class, where the law of the class says P*h = 0
    A = [[F(s == t) - rows[s].get(t, F(0)) for t in range(n)] for s in range(n)]
    b = [rewards[s] - gain[s] for s in range(n)]
    for members, law in laws.items():
        first = min(members)
        A[first], b[first] = [law.get(t, F(0)) for t in range(n)], F(0)
    return gain, linear(A, b)


def target_total(model: Model, target: set[int], *, minimize: bool) -> list[Any]:
    """``R=? [F target]``: reward before the target is entered, infinite on paths that miss it."""
    n = len(model)
    worst: list[Any] = [INF if minimize else -INF] * n
    sure: list[bool] = [False] * n
    for policy in policies(model):
        rewards, rows = chain(model, policy)
        reach = hitting(rows, target)
        proper = [s for s in range(n) if reach[s] == 1]
        x = solve_on(rows, [s for s in proper if s not in target], rewards)
        for s in range(n):
            if s in target:
                worst[s] = F(0)
            elif reach[s] == 1:
                sure[s] = True
                worst[s] = min(worst[s], x[s]) if minimize else max(worst[s], x[s])
            elif not minimize:
                worst[s] = INF
    if minimize and any(r < 0 for actions in model for r, _ in actions):
        _gains_before_leaving(model, target, sure, worst)
    return worst


def _gains_before_leaving(model: Model, target: set[int], sure: list[bool], worst: list[Any]) -> None:
    """Minus infinity where a minimizer may collect without bound and reach the target afterwards."""
    n = len(model)
    kept: Model = [
        [(r, row) for r, row in model[s] if s not in target and all(sure[t] or t in target for t in row)]
        or [(F(0), {s: F(1)})]
        for s in range(n)
    ]
    gaining: set[int] = set()
    for policy in policies(kept):
        total = chain_total(*chain(kept, policy))
        for members in recurrent_classes(chain(kept, policy)[1]):
            if total.gain[min(members)] < 0 and all(sure[s] and s not in target for s in members):
                gaining |= members
    union = [{t: F(1) for _, row in kept[s] for t in row} for s in range(n)]
    for s in range(n):
        if s not in target and sure[s] and reachable(union, s) & gaining:
            worst[s] = -INF


def best_reach(model: Model, target: set[int], *, minimize: bool, through: set[int] | None = None) -> list[Fraction]:
    """Best probability of ``through U target``."""
    n = len(model)
    model = [model[s] if s in target or through is None or s in through else [(F(0), {s: F(1)})] for s in range(n)]
    values = [hitting(chain(model, policy)[1], target) for policy in policies(model)]
    return [(min if minimize else max)(v[s] for v in values) for s in range(n)]


def bounded(
    model: Model, value: list[Fraction], fixed: set[int], H: int, *, minimize: bool, gamma: Fraction = ONE
) -> list[Any]:
    """H backups from the terminal values, which are kept in the fixed states."""
    for _ in range(H):
        value = [
            value[s]
            if s in fixed
            else (min if minimize else max)(
                r + gamma * sum((p * value[t] for t, p in row.items()), F(0)) for r, row in model[s]
            )
            for s in range(len(model))
        ]
    return value


def distance(V: Sequence[Fraction], W: Sequence[Fraction]) -> Fraction:
    """Supremum norm of the difference."""
    return max(abs(v - w) for v, w in zip(V, W, strict=True))


def discounted_policy(model: Model, policy: Sequence[int], gamma: Fraction) -> list[Fraction]:
    """Discounted value of a policy."""
    rewards, rows = chain(model, policy)
    x = solve_on(rows, list(range(len(rows))), rewards, gamma)
    return [x[s] for s in range(len(rows))]


def best_discounted(model: Model, gamma: Fraction, *, minimize: bool = False) -> list[Fraction]:
    """Best discounted value over all policies."""
    values = [discounted_policy(model, policy, gamma) for policy in policies(model)]
    return [(min if minimize else max)(v[s] for v in values) for s in range(len(model))]


def read(mdp: Any) -> Model:
    """The model of the library's arrays, in rationals: rewards of the active structure."""
    exact = mdp.exact()
    P = exact.P
    rewards = [F(0)] * exact.n_pairs if exact.active is None else exact.reward.exact.tolist()
    probabilities = P.exact.tolist()
    model: Model = [[] for _ in range(exact.n_states)]
    for k in range(exact.n_pairs):
        row = {int(P.indices[e]): F(probabilities[e]) for e in range(int(P.indptr[k]), int(P.indptr[k + 1]))}
        model[int(exact.state[k])].append((F(rewards[k]), row))
    return model
