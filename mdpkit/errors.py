"""Errors that say what was found, where, what was needed and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CertificateError",
    "MDPError",
    "ModelError",
    "ModelWarning",
    "OptionError",
    "OutputExistsError",
    "ParseError",
    "PrecisionError",
    "PropertyError",
    "SizeError",
    "UndefinedValueError",
    "UnsupportedError",
    "nearest",
]


class MDPError(ValueError):
    """Base of every error that mdpkit raises on purpose.

    Parameters
    ----------
    what : str
        One sentence: what is wrong, and where (state, action, line, option).
    found, needed : object, optional
        The offending value and what was needed in its place.
    way_out : str, optional
        What the caller can do.
    """

    def __init__(self, what: str, *, found: object = None, needed: str | None = None, way_out: str | None = None):
        self.what = what
        self.found = found
        self.needed = needed
        self.way_out = way_out
        parts = [what]
        if found is not None:
            parts.append(f"found: {found}")
        if needed is not None:
            parts.append(f"needed: {needed}")
        if way_out is not None:
            parts.append(f"way out: {way_out}")
        super().__init__("; ".join(parts))


class ModelError(MDPError):
    """The arrays do not make a model: names the state and the action."""


class SizeError(MDPError):
    """The model would not fit in memory: says how big before trying."""


class ParseError(MDPError):
    """A file is malformed: names the file and the line."""

    def __init__(
        self,
        what: str,
        *,
        path: object = None,
        line: int | None = None,
        found: object = None,
        needed: str | None = None,
        way_out: str | None = None,
    ):
        self.path = path
        self.line = line
        where = "" if path is None else f"{path}: "
        where += "" if line is None else f"line {line}: "
        super().__init__(where + what, found=found, needed=needed, way_out=way_out)


class PropertyError(MDPError):
    """A property does not parse or does not fit the model: shows the position."""

    def __init__(
        self,
        what: str,
        *,
        text: str | None = None,
        position: int | None = None,
        found: object = None,
        needed: str | None = None,
        way_out: str | None = None,
    ):
        self.text = text
        self.position = position
        super().__init__(what, found=found, needed=needed, way_out=way_out)
        if text is not None and position is not None:
            self.args = (f"{self.args[0]}\n  {text}\n  {' ' * position}^",)


class OptionError(MDPError):
    """An option, parameter, method or name is unknown or out of range."""


class PrecisionError(MDPError):
    """A computation in balls that needs more bits than the working precision has."""


class UnsupportedError(MDPError):
    """A valid request that this version does not answer: says what it does answer."""


class OutputExistsError(MDPError):
    """An output file exists and is not overwritten."""


class CertificateError(MDPError):
    """A certificate belongs to another model, or its file is damaged."""


class UndefinedValueError(MDPError):
    """The value is undefined; ``witness`` shows why."""

    def __init__(self, what: str, *, witness: object = None, needed: str | None = None, way_out: str | None = None):
        self.witness = witness
        super().__init__(what, found=witness, needed=needed, way_out=way_out)


class ModelWarning(UserWarning):
    """The model was accepted, but something about it deserves a look."""


MANY = 60
"""Names up to which an error lists all of them."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``"did you mean 'x'?"`` with the known name nearest to ``name``, and the known names, or some if they are many.

    Examples
    --------
    >>> nearest("riverswin", ["riverswim", "forest"])
    "did you mean 'riverswim'? known: forest, riverswim"
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    listing = ", ".join(known) if known else "none"
    if len(known) > MANY:
        listing = ", ".join(known[:: -(-len(known) // 8)]) + f", … ({len(known)} in all)"
    return (f"did you mean {close[0]!r}? " if close else "") + f"known: {listing}"
