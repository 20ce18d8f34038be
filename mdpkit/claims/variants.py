"""Wrong variants of a solver, for the controls of claims: another class with the same parameters."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

__all__ = ["recast"]

S = TypeVar("S")


def recast(solver: Any, kind: type[S], **changes: Any) -> S:
    """A solver of another class, usually one derived from its own, with the parameters of ``solver`` but for ``changes``."""
    return kind(**({each.name: getattr(solver, each.name) for each in fields(solver)} | changes))
