r"""The judge's side of learning against adversaries: losses-to-go, occupancies, sets of laws, and all episodes, in rationals.

Losses are one less rewards; policies are lists of laws ``[h][k]`` over pairs. Nothing here calls the kernels of learners.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from mdpkit.claims.exact import Exact
from mdpkit.claims.learning import initial
from mdpkit.claims.trial import call
from mdpkit.learner import Log

__all__ = [
    "Walk",
    "at_start",
    "best_fixed",
    "drawn_law",
    "farthest",
    "losses_to_go",
    "mean_at",
    "objects",
    "reached",
    "row_of",
    "set_to_go",
    "start_of",
    "totals",
    "walks",
]

ZERO = Fraction(0)


class Walk(NamedTuple):
    """An episode, and its probability under a policy."""

    states: tuple[int, ...]
    pairs: tuple[int, ...]
    chance: Fraction


def objects(values: Any) -> Any:
    """Nested lists as an array of objects."""
    return np.array(values, dtype=object)


def start_of(exact: Exact) -> list[Fraction]:
    """The initial law."""
    rho = exact.mdp.rho_exact
    assert rho is not None
    return [Fraction(x) for x in rho.tolist()]


def row_of(exact: Exact, k: int, h: int) -> dict[int, Fraction]:
    """The law of the next state of a pair at a stage."""
    return exact.P[k + h * exact.L if len(exact.P) > exact.L else k]


def drawn_law(exact: Exact, rng: Any, H: int, most: int = 9) -> list[list[Fraction]]:
    """Rational probabilities of all pairs at all stages, none of them zero."""
    out: list[list[Fraction]] = []
    for _ in range(H):
        law = [ZERO] * exact.L
        for pairs in exact.pairs:
            weights = [int(x) for x in rng.integers(1, most, size=len(pairs))]
            for k, w in zip(pairs, weights, strict=True):
                law[k] = Fraction(w, sum(weights))
        out.append(law)
    return out


def reached(exact: Exact, law: Sequence[Sequence[Any]]) -> list[list[Fraction]]:
    """The probability of being in each state at each stage; laws need not sum to one."""
    mu = [start_of(exact)]
    for h in range(len(law) - 1):
        after = [ZERO] * exact.S
        for s, pairs in enumerate(exact.pairs):
            for k in pairs:
                for t, x in row_of(exact, k, h).items():
                    after[t] += mu[-1][s] * law[h][k] * x
        mu.append(after)
    return mu


def losses_to_go(exact: Exact, law: Sequence[Sequence[Any]], r: Sequence[Sequence[Any]]) -> list[list[Fraction]]:
    """Losses-to-go ``Q[h][k]`` of a policy, from the rewards ``r[h][k]`` (one row for all stages will do)."""
    H, after = len(law), [ZERO] * exact.S
    Q: list[list[Fraction]] = []
    for h in range(H - 1, -1, -1):
        row = r[min(h, len(r) - 1)]
        q = [
            1 - Fraction(row[k]) + sum((x * after[t] for t, x in row_of(exact, k, h).items()), ZERO)
            for k in range(exact.L)
        ]
        Q.insert(0, q)
        after = mean_at(exact, law[h], q)
    return Q


def mean_at(exact: Exact, law: Sequence[Any], q: Sequence[Any]) -> list[Any]:
    """The mean of q over the pairs of each state."""
    return [sum((law[k] * q[k] for k in pairs), ZERO) for pairs in exact.pairs]


def best_fixed(exact: Exact, H: int, tables: Sequence[Any], which: Sequence[int]) -> list[list[Fraction]]:
    """The best deterministic policy against a sequence of tables, as laws."""
    weights = {m: Fraction(which.count(m)) for m in set(which)}
    V, law = [ZERO] * exact.S, list[list[Fraction]]()
    for h in range(H - 1, -1, -1):
        rows = {m: tables[m][min(h, len(tables[m]) - 1)] for m in weights}
        q = [
            sum((w * Fraction(rows[m][k]) for m, w in weights.items()), ZERO)
            + sum((x * V[t] for t, x in row_of(exact, k, h).items()), ZERO)
            for k in range(exact.L)
        ]
        chosen = [max(pairs, key=lambda k: q[k]) for pairs in exact.pairs]
        law.insert(0, [Fraction(int(k in chosen)) for k in range(exact.L)])
        V = [q[k] for k in chosen]
    return law


def walks(exact: Exact, law: Sequence[Sequence[Any]]) -> Iterator[Walk]:
    """All episodes of a policy that have a chance."""

    def longer(states: tuple[int, ...], pairs: tuple[int, ...], chance: Fraction) -> Iterator[Walk]:
        h = len(pairs)
        if h == len(law):
            yield Walk(states, pairs, chance)
            return
        for k in exact.pairs[states[-1]]:
            for t, x in row_of(exact, k, h).items():
                if law[h][k] * x:
                    yield from longer((*states, t), (*pairs, k), chance * law[h][k] * x)

    for s, p in enumerate(start_of(exact)):
        if p:
            yield from longer((s,), (), p)


# -- sets of laws ----------------------------------------------------------------------------------------------------


def farthest(law: Sequence[Any], radius: Any, V: Sequence[Any]) -> Any:
    r"""Largest mean of V within ``radius`` of a law in :math:`\ell_1`, by its dual.

    :math:`\langle \hat p, V \rangle +
    \min_{\lambda \ge 0} \lambda \frac{\beta}{2} + \sum_t \hat p_t (\max V - V_t - \lambda)^+`,
    whose minimum is at zero or at one of the differences.
    """
    gaps = [max(V) - v for v in V]
    return sum((p * v for p, v in zip(law, V, strict=True)), ZERO) + min(
        x * radius / 2 + sum((p * max(g - x, ZERO) for p, g in zip(law, gaps, strict=True)), ZERO)
        for x in (ZERO, *gaps)
    )


def set_to_go(
    exact: Exact, law: Any, radius: Any, pi: Sequence[Sequence[Any]], end: Sequence[Any], *, sign: int = 1
) -> list[Any]:
    """Largest (``sign`` -1: least) mean of ``end`` after the stages of ``pi``, from each state, over ``law (n, S, L)``."""
    V = [sign * v for v in end]
    for h in range(len(pi) - 1, -1, -1):
        i = h if len(law) > 1 else 0
        q = [farthest([law[i][t][k] for t in range(exact.S)], radius[i][k], V) for k in range(exact.L)]
        V = mean_at(exact, pi[h], q)
    return [sign * v for v in V]


def at_start(exact: Exact, V: Sequence[Any]) -> Any:
    """The mean over the initial law."""
    return initial(exact, V)


# -- many runs -------------------------------------------------------------------------------------------------------


def totals(environment: Any, learner: Any, best: Any, K: int, runs: int, rng: Any, marks: Sequence[int] = ()) -> Any:
    """Regret against what is ``best`` in each episode, of independent runs of a compiled loop in one environment.

    ``(runs,)``; after ``marks`` episodes, ``(runs, n)``.
    """
    view, arena = environment.view(K), environment.arena(K)
    best = np.broadcast_to(best, K)
    ends = np.array(marks or [K]) - 1
    out = np.empty((runs, len(ends)))
    for i in range(runs):
        values, nothing = np.empty(K), np.empty((0, 0), dtype=np.int64)
        log = Log(0, values, np.empty((K, 0)), nothing, nothing, np.empty((0, 0)))
        state = call(learner.begin, view, rng)
        call(learner.loop, view, arena, state, log, rng, rng)
        out[i] = np.cumsum(best - values)[ends]
    return out if marks else out[:, 0]
