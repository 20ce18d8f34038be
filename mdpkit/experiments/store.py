"""A folder of results: cells that are whole or not there, and a manifest that says what they are.

A cell is an ``.npz`` file of arrays with its key and a digest of all its bytes. It is written under another name in the same
folder, forced to disk, and renamed: a run that is killed leaves finished cells and nothing that looks like one. A file that
does not read, or whose digest or key is another, is never used; it is kept under another name, and its cell computed again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import warnings
import zipfile
import zlib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np

from mdpkit.errors import MDPError, ModelWarning, OptionError
from mdpkit.typing import Array

__all__ = ["BrokenCell", "BrokenCellWarning", "ExperimentError", "Folder", "atomic_write", "pack", "unpack"]

MANIFEST = "experiment.json"
CELLS = "cells"
FORMAT = 1


class ExperimentError(MDPError):
    """A folder holds results of another experiment, or is no folder of results: names what differs."""


class BrokenCellWarning(ModelWarning):
    """A stored cell did not read, or was not what it should be; it was set aside and is computed again."""


class BrokenCell(Exception):  # noqa: N818
    """A file is no cell, or another one than its name says; the message says why."""


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file that is there as a whole or not at all, also after a crash of the machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    with suppress(OSError, AttributeError):  # systems on which a folder cannot be opened
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def pack(key: Mapping[str, Any], arrays: Mapping[str, Any]) -> bytes:
    """The bytes of a cell: the same for the same key and arrays."""
    values = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    text = json.dumps(dict(key), sort_keys=True)
    buffer = io.BytesIO()
    members: dict[str, Any] = {"key": np.array(text), "digest": np.array(_digest(text, values)), **values}
    np.savez(buffer, **members)
    return buffer.getvalue()


def unpack(data: bytes, key: Mapping[str, Any] | None = None) -> dict[str, Array]:
    """The arrays of a cell.

    Raises
    ------
    BrokenCell
        If the bytes are no cell, were changed, or belong to another key.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            values: dict[str, Array] = {name: file[name] for name in file.files}
        text, digest = str(values.pop("key")), str(values.pop("digest"))
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise BrokenCell(f"it does not read ({error or type(error).__name__})") from error
    if _digest(text, values) != digest:
        raise BrokenCell("its contents do not have the digest that was stored with them")
    if key is not None and json.loads(text) != json.loads(json.dumps(dict(key))):
        raise BrokenCell("it belongs to another cell")
    return values


def _digest(text: str, values: Mapping[str, Array]) -> str:
    h = hashlib.sha256(text.encode())
    for name in sorted(values):
        array = np.asarray(values[name], order="C")
        h.update(f"|{name}|{array.dtype.str}|{array.shape}|".encode())
        h.update(array.tobytes())
    return h.hexdigest()


class Folder:
    """Results of an experiment on disk.

    Parameters
    ----------
    path : path-like
    kind : str
        Of the experiment, ``"regret"`` or ``"sample-complexity"``.
    """

    def __init__(self, path: str | os.PathLike[str], kind: str):
        self.path, self.kind = Path(path), kind
        self.broken: list[str] = []
        if self.path.exists() and not self.path.is_dir():
            raise OptionError(
                f"{self.path} is a file", needed="a folder for the results, which is made if it is missing"
            )

    def manifest(self) -> dict[str, Any] | None:
        """What the folder holds, or None where nothing was stored yet.

        Raises
        ------
        ExperimentError
            If the manifest does not read, or the folder holds other things.
        """
        file = self.path / MANIFEST
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            others = [item for item in self.path.iterdir() if not _own(item.name)] if self.path.is_dir() else []
            if others and not (self.path / CELLS).is_dir():
                raise ExperimentError(
                    f"{self.path} holds other files, and no {MANIFEST}",
                    found=min(item.name for item in others),
                    needed="an empty or a new folder, or one of an earlier run",
                ) from None
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ExperimentError(f"{file} cannot be read", found=error) from error
        try:
            found = cast("dict[str, Any]", json.loads(text))
            if not isinstance(found, dict) or not {"kind", "format"} <= set(found):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ValueError("no manifest of an experiment")
        except ValueError as error:
            raise ExperimentError(
                f"{file} is damaged",
                found=error,
                way_out="move this file away: the same command finds the cells, which carry their own keys",
            ) from error
        if found["kind"] != self.kind:
            raise ExperimentError(
                f"{self.path} holds results of another kind",
                found=found["kind"],
                needed=self.kind,
                way_out="choose another folder; nothing was changed",
            )
        if found["format"] != FORMAT:
            raise ExperimentError(
                f"{self.path} was written by another version of mdpkit",
                found=f"format {found['format']}",
                needed=f"format {FORMAT}",
            )
        return found

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Store the manifest, whole or not at all."""
        text = json.dumps({"kind": self.kind, "format": FORMAT, **manifest}, indent=1, ensure_ascii=False)
        atomic_write(self.path / MANIFEST, (text + "\n").encode())

    def cell(self, name: str) -> Path:
        """The file of a cell."""
        return self.path / CELLS / f"{name}.npz"

    def read(self, name: str, key: Mapping[str, Any], *, aside: bool = True) -> dict[str, Array] | None:
        """The arrays of a stored cell; None where there is none, or a broken one.

        A broken file is warned of, and renamed with ``aside``.
        """
        file = self.cell(name)
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OptionError(f"{file} cannot be read", found=error.strerror or error) from error
        try:
            return unpack(data, key)
        except BrokenCell as why:
            kept = f"kept as {self._aside(file).name}, and computed again" if aside else "left out"
            self.broken.append(str(file))
            warnings.warn(f"the cell {file} is broken: {why}; it is {kept}", BrokenCellWarning, stacklevel=2)
            return None

    def peek(self, name: str, key: Mapping[str, Any]) -> dict[str, Array] | None:
        """The arrays of a stored cell, or None; nothing is said or done about a broken one."""
        try:
            return unpack(self.cell(name).read_bytes(), key)
        except (OSError, BrokenCell):
            return None

    def write(self, name: str, key: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Store a cell, whole or not at all."""
        atomic_write(self.cell(name), pack(key, arrays))

    def _aside(self, file: Path) -> Path:
        n = 1
        while (target := file.with_name(f"{file.name}.broken-{n}")).exists():
            n += 1
        os.rename(file, target)
        return target

    @contextmanager
    def locked(self) -> Generator[None]:
        """The folder for one run at a time; the lock vanishes with its process.

        Raises
        ------
        ExperimentError
            If another process writes into the folder.
        OptionError
            If the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise OptionError(f"{self.path} cannot be written", found=error.strerror or error) from error
        try:
            if not _lock(handle):
                raise ExperimentError(
                    f"another process is writing into {self.path}", way_out="wait for it, or choose another folder"
                )
            for leftover in self.path.rglob(".*.part"):  # of a run that was killed while it wrote
                leftover.unlink(missing_ok=True)
            yield
        finally:
            os.close(handle)


def _own(name: str) -> bool:
    return name == ".lock" or (name.startswith(".") and name.endswith(".part"))


def _lock(handle: int) -> bool:
    try:
        fcntl: Any = import_module("fcntl")
    except ImportError:  # pragma: no cover - where there is none, cells are written atomically all the same
        return True
    lock: Callable[[int, int], None] = fcntl.flock
    try:
        lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
