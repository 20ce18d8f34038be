"""BibTeX of what was used: of a solution, a solver, a claim or its evidence, or a key."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from mdpkit.errors import OptionError, nearest

__all__ = ["Citation", "bibliography", "cite"]


class Citation(str):
    """BibTeX text that prints itself in a notebook."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@cache
def bibliography() -> dict[str, str]:
    """The entries of the bibliography by key, as BibTeX."""
    from importlib.resources import files

    text = files("mdpkit").joinpath("references.bib").read_text(encoding="utf-8")
    entries = (entry.strip() for entry in re.split(r"^(?=@)", text, flags=re.M)[1:])
    return {entry[entry.index("{") + 1 : entry.index(",")].strip(): entry for entry in entries}


def cite(*used: Any) -> Citation:
    """The BibTeX entries of what was used.

    Parameters
    ----------
    used : Solution, Solver (object or class), Claim, Evidence, Run or str
        A string is a key of the bibliography or the id of a claim.

    Returns
    -------
    Citation
        Text; a notebook shows it as it is.

    Raises
    ------
    OptionError
        For a key that is not in the bibliography, or a thing that cites nothing.

    Examples
    --------
    >>> import mdpkit as mk
    >>> text = mk.cite(mk.solve(mk.instances.make("riverswim"), "policy_iteration"))
    >>> text.splitlines()[0]
    '@book{howard1960,'
    """
    known = bibliography()
    chosen: dict[str, str] = {}
    for thing in used:
        for key in _keys(thing):
            if key not in known:
                raise OptionError("the bibliography has no such key", found=repr(key), way_out=nearest(key, known))
            chosen[key] = known[key]
    if not chosen:
        raise OptionError("nothing to cite", needed="a solution, a solver, a claim or a key of the bibliography")
    return Citation("\n\n".join(chosen.values()))


def _keys(thing: Any) -> tuple[str, ...]:
    if isinstance(thing, str):
        return (thing.partition(":")[0],)
    if hasattr(thing, "paper"):  # a claim or its evidence
        about = getattr(thing, "about", ())
        return (thing.paper, *(key for kind in about for key in getattr(kind, "cites", ())))
    if hasattr(thing, "results"):
        return tuple(e.paper for e in thing.results)
    solver = getattr(thing, "solver", thing)
    keys = getattr(solver, "cites", None)
    if not keys:
        raise OptionError("this cites nothing", found=repr(thing), needed="a solution, a solver, a claim or a key")
    return tuple(keys)
