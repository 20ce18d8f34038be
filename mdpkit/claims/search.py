"""Worst-case search: a bounded optimizer hunts for the instance on which a claim has the least slack.

The worst instance found is kept in ``proofs/worst.toml`` (with the level ``full`` and ``--keep``) and is checked from then on
like any other. The search is by differential evolution over a vector of numbers in [0, 1], which ``build`` turns into a model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mdpkit.claims.claim import Case
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP

__all__ = ["Search", "dense_models", "hunt", "kept", "vectors", "write"]

GRID = 10_000


@dataclass(frozen=True)
class Search:
    """What is searched.

    Attributes
    ----------
    build : vector in [0, 1]^n of Fractions -> problem
    n : int
        Length of the vector.
    evaluations : int
        Bound on the number of instances tried.
    """

    build: Callable[[Sequence[Fraction]], Any]
    n: int
    evaluations: int = 400


def dense_models(S: int, A: int, gamma: Fraction | None = None, *, low: int = -1, high: int = 1) -> Search:
    """Models with S states and A actions: transition laws, rewards in [low, high], and the discount unless it is given."""
    L = S * A
    n = L * (S - 1) + L + (gamma is None)

    def build(x: Sequence[Fraction]) -> MDP:
        P = np.full((L, S), Fraction(0), dtype=object)
        for k in range(L):
            rest = Fraction(1)
            for t in range(S - 1):
                P[k, t] = rest * x[k * (S - 1) + t]
                rest -= P[k, t]
            P[k, S - 1] = rest
        r = np.array([low + (high - low) * v for v in x[L * (S - 1) : L * S]], dtype=object)
        discount = gamma if gamma is not None else min(x[-1], Fraction(99, 100))
        return MDP(P.reshape(S, A, S), r.reshape(S, A), Discounted(discount), rho=0)

    return Search(build, n)


def rational(x: Any) -> list[Fraction]:
    """The vector on the grid of ten-thousandths, so that it can be written down."""
    return [Fraction(round(float(v) * GRID), GRID) for v in x]


class _EnoughError(Exception):
    """The bound on evaluations is met."""


def hunt(
    search: Search,
    slack: Callable[[Case], float],
    rng: np.random.Generator,
    start: Sequence[Sequence[Fraction]] = (),
) -> tuple[float, list[Fraction]]:
    """The least relative slack found, and the vector of its instance; the vectors of ``start`` are tried first."""
    differential_evolution: Any = import_module("scipy.optimize").differential_evolution
    best = (math.inf, [Fraction(0)] * search.n)
    seen = 0

    def objective(x: Any) -> float:
        nonlocal best, seen
        if seen >= search.evaluations:
            raise _EnoughError
        seen += 1
        vector = rational(x)
        try:
            value = slack(Case(_name(vector), search.build(vector)))
        except (ArithmeticError, ValueError):
            return 1e9
        if value < best[0]:
            best = (value, vector)
        return value if math.isfinite(value) else 1e9

    for vector in start:
        objective([float(x) for x in vector])
    with suppress(_EnoughError):
        differential_evolution(
            objective, [(0, 1)] * search.n, rng=rng, popsize=6, maxiter=1000, polish=False, tol=0, init="sobol"
        )
    return best


def _name(vector: Sequence[Fraction]) -> str:
    return "worst found: " + " ".join(str(v) for v in vector)


@cache
def _stored() -> dict[str, list[str]]:
    import tomllib
    from importlib.resources import files

    file = files("mdpkit.proofs").joinpath("worst.toml")
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def vectors(id: str, search: Search | None) -> list[list[Fraction]]:
    """The vectors of the worst instances kept for a claim."""
    if search is None:
        return []
    found = [[Fraction(part) for part in text.split()] for text in _stored().get(id, [])]
    return [vector for vector in found if len(vector) == search.n]


def kept(id: str, search: Search | None) -> list[Case]:
    """The worst instances kept for a claim."""
    return [] if search is None else [Case(_name(v), search.build(v)) for v in vectors(id, search)]


def write(path: Path, worst: dict[str, list[str]]) -> None:
    """Write the worst instances: those of ``worst`` in place of the older ones of the same claim."""
    merged = {**_stored(), **worst}
    lines = ["# The instances of least slack found by search, checked from then on: vectors of mdpkit.claims.search.\n"]
    for id_, vectors in sorted(merged.items()):
        lines += [f'\n"{id_}" = [\n', *(f'  "{v}",\n' for v in vectors), "]\n"]
    path.write_text("".join(lines), encoding="utf-8")
    _stored.cache_clear()
