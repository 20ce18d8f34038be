"""Theorems that run: claims, the engine that checks them, and the evidence.

``mdpkit.claims["mdpo:log-ratio"].run()`` checks one claim, ``mdpkit.claims.about(solver)`` lists what is promised of a solver,
``mdpkit verify`` checks them all. A claim lives in ``proofs/<family>/<mechanism>.py``; :func:`claim` registers it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

from mdpkit.claims.claim import Case, Claim, Mutant, Rate, claim, mutant
from mdpkit.claims.enclosure import (
    Interval,
    Outcome,
    Row,
    all_equal,
    all_leq,
    equal,
    fact,
    geq,
    leq,
    point,
    precision,
    premise,
)
from mdpkit.claims.registry import about, all_claims, find, get, stated

__all__ = [
    "Case",
    "Claim",
    "Interval",
    "Mutant",
    "Outcome",
    "Rate",
    "Row",
    "about",
    "all_claims",
    "all_equal",
    "all_leq",
    "claim",
    "equal",
    "fact",
    "find",
    "geq",
    "get",
    "leq",
    "mutant",
    "point",
    "precision",
    "premise",
    "stated",
]


class _Claims(ModuleType):
    """The package itself as a mapping from ids to claims."""

    def __getitem__(self, id: str) -> Claim:
        return get(id)

    def __contains__(self, id: object) -> bool:
        return id in all_claims()

    def __iter__(self) -> Iterator[str]:
        return iter(all_claims())

    def __len__(self) -> int:
        return len(all_claims())


sys.modules[__name__].__class__ = _Claims
