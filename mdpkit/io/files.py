"""Writing files whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mdpkit.errors import OptionError, OutputExistsError

__all__ = ["atomic", "check_target"]


@contextmanager
def atomic(path: str | os.PathLike[str], overwrite: bool = False) -> Generator[BinaryIO]:
    """A binary file that takes the name ``path`` when the block ends without error, and vanishes otherwise.

    Raises
    ------
    OutputExistsError
        The file exists and ``overwrite`` is false.
    OptionError
        The folder does not exist or cannot be written to, or the path is a folder.
    """
    path = Path(path)
    check_target(path, overwrite)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        file = temporary.open("xb")
    except OSError as error:
        raise OptionError(f"{path} cannot be written", found=error.strerror or error) from error
    try:
        with file:
            yield file
        check_target(path, overwrite)
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def check_target(path: Path, overwrite: bool) -> None:
    """Raise what :func:`atomic` would raise for a path that cannot be written; nothing is created."""
    if path.is_dir():
        raise OptionError(f"{path} is a directory", needed="a file name")
    if not path.parent.is_dir():
        raise OptionError(f"the folder {path.parent} does not exist", way_out="create it first")
    if not overwrite and (path.exists() or path.is_symlink()):
        raise OutputExistsError(f"{path} exists", way_out="choose another name or pass overwrite=True")
