"""Readers and writers of model files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdpkit.errors import OptionError, ParseError

if TYPE_CHECKING:
    from mdpkit.models.mdp import MDP

__all__ = ["load", "save"]

ENDINGS = (".drn", ".drn.gz", ".drn.xz", ".npz", ".tra", ".tra.gz", ".tra.xz", ".csv", ".csv.gz")
PREFIXES = ("gym:", "instance:")


def load(source: str | os.PathLike[str]) -> MDP:
    """The model of a file, a Gymnasium table or a named instance.

    Parameters
    ----------
    source : str or path-like
        A file ``*.drn`` or ``*.tra`` (also with ``.gz`` or ``.xz``), ``*.csv``, ``*.csv.gz`` or ``*.npz``;
        ``"gym:FrozenLake-v1?map_name=4x4"`` (see
        :func:`mdpkit.io.gym.from_gym`); or ``"instance:riverswim"`` (see :mod:`mdpkit.instances`).

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
    path = Path(source)
    ending = _ending(path, PREFIXES)
    if not path.exists():
        raise ParseError(
            "no such file", path=path, way_out="check the name; named problems are instance:NAME and gym:ID"
        )
    if path.is_dir():
        raise ParseError("is a directory", path=path, needed=f"a file ending in {', '.join(ENDINGS)}")
    if ending == ".npz":
        from mdpkit.io.npz import load_npz

        return load_npz(path)
    if ending.startswith(".tra"):
        from mdpkit.io import prism

        return prism.read(path)
    if ending.startswith(".csv"):
        from mdpkit.io import csv_table

        return csv_table.read(path)
    from mdpkit.io.drn_model import read

    return read(path)


def save(mdp: MDP, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write a model; the ending of the name chooses the format.

    ``.npz`` keeps everything; ``.drn`` (``.drn.gz``, ``.drn.xz``) what :mod:`mdpkit.io.drn_model` says, ``.tra`` (likewise)
    what :mod:`mdpkit.io.prism` says, and ``.csv`` (``.csv.gz``) what :mod:`mdpkit.io.csv_table` says.

    Raises
    ------
    OptionError
        For an ending that is not known, or a folder that does not exist.
    OutputExistsError
        If the file exists and ``overwrite`` is false.
    """
    path = Path(path)
    ending = _ending(path, ())
    if ending == ".npz":
        from mdpkit.io.npz import save_npz

        return save_npz(mdp, path, overwrite)
    if ending.startswith(".tra"):
        from mdpkit.io import prism

        return prism.write(mdp, path, overwrite)
    if ending.startswith(".csv"):
        from mdpkit.io import csv_table

        return csv_table.write(mdp, path, overwrite)
    from mdpkit.io.drn_model import write

    return write(mdp, path, overwrite)


def _ending(path: Path, prefixes: tuple[str, ...]) -> str:
    name = path.name.lower()
    for ending in ENDINGS:
        if name.endswith(ending):
            return ending
    raise OptionError(
        f"{str(path)!r} has no known ending",
        found=path.suffix or "no ending",
        needed=", ".join(ENDINGS) + (f", or a name after {' or '.join(prefixes)}" if prefixes else ""),
    )
