"""All claims, found by walking :mod:`mdpkit.proofs`; nothing is registered by hand."""

from __future__ import annotations

import pkgutil
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from typing import Any

from mdpkit.claims.claim import _REGISTRY, Claim  # pyright: ignore[reportPrivateUsage]
from mdpkit.errors import OptionError, nearest

__all__ = ["about", "all_claims", "find", "get", "stated"]


@cache
def _load() -> None:
    proofs: Any = import_module("mdpkit.proofs")
    for item in pkgutil.walk_packages(proofs.__path__, "mdpkit.proofs."):
        import_module(item.name)


def all_claims() -> dict[str, Claim]:
    """The claims by id, sorted by family and id."""
    _load()
    return {c.id: c for c in sorted(_REGISTRY.values(), key=lambda c: (c.family, c.id))}


def get(id: str) -> Claim:
    """The claim of this id.

    Raises
    ------
    OptionError
        If there is none; names the nearest.
    """
    claims = all_claims()
    if id not in claims:
        raise OptionError("there is no such claim", found=repr(id), way_out=nearest(id, claims))
    return claims[id]


def find(*patterns: str, family: str | None = None) -> list[Claim]:
    """Claims whose id matches one of the patterns (``mdpo:*``), is one of them, or whose paper is one of them.

    Raises
    ------
    OptionError
        If a pattern matches nothing, or there is no such family.
    """
    claims = list(all_claims().values())
    if family is not None:
        families = sorted({c.family for c in claims})
        if family not in families:
            raise OptionError(
                "there is no such family of claims", found=repr(family), needed="one of " + ", ".join(families)
            )
        claims = [c for c in claims if c.family == family]
    if not patterns:
        return claims
    chosen: dict[str, Claim] = {}
    for pattern in patterns:
        hit = [c for c in claims if fnmatchcase(c.id, pattern) or c.paper == pattern]
        if not hit:
            raise OptionError("no claim matches", found=repr(pattern), way_out=nearest(pattern, [c.id for c in claims]))
        chosen |= {c.id: c for c in hit}
    return [c for c in claims if c.id in chosen]


def about(solver: Any) -> list[Claim]:
    """What is promised of a solver, given as a class or an object: the claims its docstring names, and those about it.

    Raises
    ------
    OptionError
        For what is no solver, such as a name.
    """
    kind = solver if isinstance(solver, type) else type(solver)
    if not hasattr(kind, "claims"):
        raise OptionError(
            "this is no solver",
            found=repr(solver),
            needed="a solver such as mdpkit.solvers.policy_gradient.NaturalPolicyGradient",
        )
    named = getattr(kind, "claims", ())
    return [c for c in all_claims().values() if c.id in named or kind in c.about]


@cache
def stated() -> tuple[dict[str, str], ...]:
    """Claims that are stated and not checked yet."""
    import tomllib
    from importlib.resources import files

    text = files("mdpkit.proofs").joinpath("stated.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text).get("claim", ()))
