"""Readers and writers of model files, and of the objects of other packages."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mdpkit.errors import OptionError, ParseError
from mdpkit.io.interop import (
    from_dataframe,
    from_pymdptoolbox,
    from_quantecon,
    solution_dataframe,
    to_dataframe,
    to_networkx,
    to_pymdptoolbox,
    to_quantecon,
)

if TYPE_CHECKING:
    from mdpkit.models.mdp import MDP

__all__ = [
    "from_dataframe",
    "from_pymdptoolbox",
    "from_quantecon",
    "load",
    "save",
    "solution_dataframe",
    "to_dataframe",
    "to_networkx",
    "to_pymdptoolbox",
    "to_quantecon",
]

READERS = {
    ".drn": "drn_model",
    ".drn.gz": "drn_model",
    ".drn.xz": "drn_model",
    ".npz": "npz",
    ".umb": "umb",
    ".tra": "prism",
    ".tra.gz": "prism",
    ".tra.xz": "prism",
    ".mdp": "cassandra",
    ".csv": "csv_table",
    ".csv.gz": "csv_table",
}
"""The module of each ending, with functions ``read(path)`` and ``write(mdp, path, overwrite)``."""
ENDINGS = tuple(READERS)
PREFIXES = ("gym:", "instance:")
_SIBLING = "the source is the .tra file of the same stem; the other files are read with it"
_PROGRAM = "build the model first: PRISM's -exportmodel writes .tra, Storm's --exportbuild .drn"
_HINTS = {
    **dict.fromkeys((".sta", ".lab", ".srew", ".trew"), _SIBLING),
    **dict.fromkeys((".prism", ".nm", ".pm", ".sm", ".jani"), _PROGRAM),
    ".pomdp": "partially observable models are not supported",
}


def load(source: str | os.PathLike[str]) -> MDP:
    """The model of a file, a Gymnasium table or a named instance.

    Parameters
    ----------
    source : str or path-like
        A file ``*.drn`` or ``*.tra`` (also with ``.gz`` or ``.xz``), ``*.npz``, ``*.umb``, ``*.mdp``, ``*.csv`` or
        ``*.csv.gz``; ``"gym:FrozenLake-v1?map_name=4x4"`` (see :func:`mdpkit.io.gym.from_gym`); or ``"instance:riverswim"``
        (see :mod:`mdpkit.instances`).

    Raises
    ------
    OptionError
        For an ending or name that is not known: lists what is.
    ParseError
        If the file is missing or malformed.
    """
    if isinstance(source, str) and source.startswith("gym:"):
        from mdpkit.io.gym import from_gym

        return from_gym(source.removeprefix("gym:"))
    if isinstance(source, str) and source.startswith("instance:"):
        import importlib

        instances: Any = importlib.import_module("mdpkit.instances")
        name, parameters = instances.parse(source.removeprefix("instance:"))
        return instances.make(name, **parameters)
    path = _path(source)
    ending = _ending(path, PREFIXES)
    if not path.exists():
        raise ParseError(
            "no such file", path=path, way_out="check the name; named problems are instance:NAME and gym:ID"
        )
    if path.is_dir():
        raise ParseError("is a directory", path=path, needed=f"a file ending in {', '.join(ENDINGS)}")
    return _module(ending).read(path)


def save(mdp: MDP, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write a model; the ending of the name chooses the format.

    ``.npz`` keeps everything; ``.drn`` (``.drn.gz``, ``.drn.xz``) what :mod:`mdpkit.io.drn_model` says, ``.tra`` (likewise)
    what :mod:`mdpkit.io.prism` says, ``.umb`` what :mod:`mdpkit.io.umb` says, ``.mdp`` what
    :func:`mdpkit.io.cassandra.write` says, ``.csv`` (``.csv.gz``) what :mod:`mdpkit.io.csv_table` says.

    Raises
    ------
    OptionError
        For an ending that is not known, or a folder that does not exist.
    OutputExistsError
        If the file exists and ``overwrite`` is false.
    """
    path = _path(path)
    _module(_ending(path, ())).write(mdp, path, overwrite)


def _path(source: Any) -> Path:
    if not isinstance(source, (str, os.PathLike)):
        raise OptionError("this is no name of a file", found=repr(source)[:80], needed="text or a path")
    return Path(cast("str | os.PathLike[str]", source))


def _module(ending: str) -> Any:
    from importlib import import_module

    return import_module(f"mdpkit.io.{READERS[ending]}")


def _ending(path: Path, prefixes: tuple[str, ...]) -> str:
    name = path.name.lower()
    for ending in ENDINGS:
        if name.endswith(ending):
            return ending
    from mdpkit.instances import names

    named = bool(prefixes) and str(path).partition("?")[0] in names()
    raise OptionError(
        f"{str(path)!r} has no known ending",
        found=path.suffix or "no ending",
        needed=", ".join(ENDINGS) + (f", or a name after {' or '.join(prefixes)}" if prefixes else ""),
        way_out=f"instance:{path}" if named else _HINTS.get(path.suffix.lower()),
    )
