r"""The judge's side of learning: exact values of what was played, counts remade from the history, and instances.

Its own arithmetic, in rationals: nothing here calls the kernels that learners or :func:`mdpkit.play` use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, cast

import numpy as np

from mdpkit.claims.claim import Case, Cases, Level
from mdpkit.claims.exact import Exact
from mdpkit.claims.rounding import factors
from mdpkit.instances import make
from mdpkit.models.criterion import AverageReward, FiniteHorizon
from mdpkit.models.mdp import MDP

__all__ = ["Counts", "continuing", "episodic", "initial", "law_of", "stage_values", "value_error", "value_of"]


def law_of(exact: Exact, policy: Any) -> list[list[Fraction]]:
    """Probabilities of pairs of each stage, exactly: of pairs ``(H, S)``, or of laws ``(H, L)``, rescaled to sum to one."""
    array = np.asarray(policy)
    out: list[list[Fraction]] = []
    for row in array.tolist():
        law = [Fraction(0)] * exact.L
        if array.dtype.kind in "iu":
            for s, k in enumerate(row):
                if k not in exact.pairs[s]:
                    raise ValueError(f"pair {k} is none of state {s}")
                law[k] = Fraction(1)
        else:
            for pairs in exact.pairs:
                total = sum(Fraction(row[k]) for k in pairs)
                for k in pairs:
                    law[k] = Fraction(row[k]) / total
        out.append(law)
    return out


def stage_values(exact: Exact, policy: Any, r: Sequence[Sequence[Any]] | None = None) -> list[list[Fraction]]:
    """Exact values ``V[h][s]`` of what was played; ``r[h][k]`` are other rewards."""
    law = law_of(exact, policy)
    V: list[list[Any]] = [[Fraction(0)] * exact.S]
    for h in range(len(law) - 1, -1, -1):
        q = exact.q(V[0], None if r is None else r[min(h, len(r) - 1)], stage=h)
        V.insert(0, [sum((law[h][k] * q[k] for k in pairs), Fraction(0)) for pairs in exact.pairs])
    return V


def initial(exact: Exact, V: Sequence[Any]) -> Any:
    """The mean of V over the initial law, exactly."""
    rho = exact.mdp.rho_exact
    assert rho is not None
    return sum((Fraction(p) * v for p, v in zip(rho.tolist(), V, strict=True) if p), Fraction(0))


def value_of(exact: Exact, policy: Any, r: Any = None) -> Fraction:
    """Exact value at the initial law of what was played, also of a list of ``(weight, policy)``."""
    if isinstance(policy, list):
        return sum((Fraction(w) * value_of(exact, part, r) for w, part in cast("list[Any]", policy)), Fraction(0))
    return initial(exact, stage_values(exact, policy, r)[0])


def value_error(exact: Exact) -> Fraction:
    r"""Bound on the rounding of the value at the initial law of a policy of H stages with rewards in [0, 1], in floats.

    A stage is a backup of at most n + 6 factors and a mean over at most A pairs, whose probabilities are rescaled by a sum:
    :math:`\gamma_{n + 3A + 9}` of what is added up, at most H; stages add their errors up, and so does the mean over the law.
    """
    assert exact.H is not None
    actions = max(len(pairs) for pairs in exact.pairs)
    return (exact.H + 1) * exact.H * factors(exact.S + 3 * actions + 9)


class Counts:
    """Visits and moves of a history, as integers.

    Attributes
    ----------
    visits : list of list
        ``visits[i][k]``: how often pair k was taken; i is the stage where ``by_stage``, else 0.
    """

    def __init__(self, exact: Exact, *, by_stage: bool):
        self.exact, self.by_stage = exact, by_stage
        n = (exact.H or 1) if by_stage else 1
        self.visits = [[0] * exact.L for _ in range(n)]
        self.moves: list[list[dict[int, int]]] = [[{} for _ in range(exact.L)] for _ in range(n)]

    def add(self, states: Any, pairs: Any) -> None:
        """Count an episode."""
        for h, k in enumerate(pairs):
            self.step(int(k), int(states[h + 1]), h)

    def step(self, k: int, s_next: int, h: int = 0) -> None:
        """Count one step."""
        i = h if self.by_stage else 0
        self.visits[i][k] += 1
        self.moves[i][k][s_next] = self.moves[i][k].get(s_next, 0) + 1

    def law(self, k: int, h: int = 0) -> dict[int, Fraction]:
        """The empirical law of a pair's next state; empty if it was never taken."""
        i = h if self.by_stage else 0
        return {t: Fraction(n, self.visits[i][k]) for t, n in self.moves[i][k].items()}

    def n(self, k: int, h: int = 0) -> int:
        """How often the pair was taken."""
        return self.visits[h if self.by_stage else 0][k]


def episodic(*, fast: int = 2, full: int = 5, horizons: Sequence[int] = (3, 2, 4), by_stage: bool = False) -> Cases:
    """Small problems of H stages with rewards in [0, 1] and an initial law: dense, ragged, a river; some with laws by stage."""

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i in range(fast if level == "fast" else full):
            seed, H = int(rng.integers(10**6)), horizons[i % len(horizons)]
            if i % 3 == 1:
                name = "riverswim?n_states=3"
                yield Case(f"{name}, H={H}", make(name).under(FiniteHorizon(H)))
                continue
            mdp = _ragged(seed) if i % 3 == 2 else make("random-dense", S=3, A=2, seed=seed)
            name = f"{'ragged' if i % 3 == 2 else 'random-dense'}?seed={seed}, H={H}"
            yield Case(name, mdp.under(FiniteHorizon(H), rho=_law(mdp.n_states)))
        if by_stage:
            yield Case("laws by stage, H=3", staged(int(rng.integers(10**6)), 3))

    return cases


def staged(seed: int, H: int, S: int = 2, A: int = 2) -> MDP:
    """A rational model whose laws and rewards differ from stage to stage."""
    rng = np.random.default_rng(seed)
    P = np.empty((H, S, A, S), dtype=object)
    r = np.empty((H, S, A), dtype=object)
    for index in np.ndindex(H, S, A):
        cut = int(rng.integers(1, 8))
        P[index] = [Fraction(cut, 8), *[Fraction(8 - cut, 8 * (S - 1))] * (S - 1)]
        r[index] = Fraction(int(rng.integers(0, 9)), 8)
    return MDP(P, r, FiniteHorizon(H), rho=_law(S))


def continuing(*, fast: int = 2, full: int = 4) -> Cases:
    """Small communicating problems of average reward with rewards in [0, 1] and an initial state."""

    def cases(level: Level, rng: Any) -> Iterator[Case]:
        for i in range(fast if level == "fast" else full):
            if i % 2:
                yield Case("riverswim?n_states=3, average", make("riverswim?n_states=3").under(AverageReward()))
                continue
            seed = int(rng.integers(10**6))
            mdp = make("random-dense", S=3, A=2, seed=seed)
            yield Case(f"random-dense?seed={seed}, average", mdp.under(AverageReward(), rho=0))

    return cases


def _law(S: int) -> Any:
    weights = [Fraction(2 if s == 0 else 1, S + 1) for s in range(S)]
    return np.array(weights, dtype=object)


def _ragged(seed: int) -> MDP:
    """Three states with one, two and three actions."""
    rng = np.random.default_rng(seed)
    state = np.array([0, 1, 1, 2, 2, 2])
    action = np.array([0, 0, 1, 0, 1, 2])
    rows: list[list[Fraction]] = []
    for _ in state:
        weights = rng.integers(0, 4, size=3) + np.array([1, 0, 0])
        rows.append([Fraction(int(w), int(weights.sum())) for w in weights])
    r = np.array([Fraction(int(x), 10) for x in rng.integers(0, 11, size=6)], dtype=object)
    return MDP(np.array(rows, dtype=object), r, None, state=state, action=action, rho=0)
