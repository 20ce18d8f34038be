"""Reading files no larger than memory, writing them whole or not at all."""

from __future__ import annotations

import gzip
import lzma
import os
import secrets
import zlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

from mdpkit.errors import OptionError, OutputExistsError, ParseError, SizeError

__all__ = ["atomic", "atomic_group", "check_target", "contents", "decoded", "physical_memory"]


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
        raise OutputExistsError(f"{path} exists", way_out="choose another name, or pass overwrite=True (--force)")


def physical_memory() -> int:
    """Bytes of physical memory (16 GiB where the system does not say)."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 16 * 2**30


def contents(path: Path, needed: str, packing: str = "") -> bytes:
    """The bytes of a file, unpacked: no more of them than a sixteenth of the memory.

    Parameters
    ----------
    path : Path
    needed : str
        What the file should be, for error messages: ``"a .drn file"``.
    packing : str
        ``""``, ``".gz"`` or ``".xz"``.

    Raises
    ------
    ParseError
        The file is missing, a folder, not readable, or its packed data are damaged.
    SizeError
        The file is, or unpacks to, more than fits in memory.
    """
    if path.is_dir():
        raise ParseError("is a directory", path=path, needed=needed)
    limit = physical_memory() // 16  # the bytes, what is parsed of them and the arrays live together for a moment
    chunks: list[bytes] = []
    size = 0
    try:
        with _opened(path, packing) as file:
            while chunk := file.read(1 << 24):
                size += len(chunk)
                if size > limit:
                    raise SizeError(
                        f"{path}: more than {limit / 2**30:.1f} GiB and the arrays read from it would not fit in memory",
                        needed=f"at most {limit} bytes after decompression",
                        way_out="build a smaller model or use a machine with more memory",
                    )
                chunks.append(chunk)
    except FileNotFoundError:
        raise ParseError("no such file", path=path, needed=f"an existing file: {needed}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as error:
        with path.open("rb") as file:
            packed = file.read(6).startswith(_MAGIC[packing])
        again = "fetch or export the file again"
        raise ParseError(
            f"truncated or corrupt {packing[1:]} data",
            path=path,
            found=f"{error} after {size} bytes",
            way_out=again
            if packed
            else f"this is no {packing[1:]} data: let the name end without {packing}, or {again}",
        ) from error
    except OSError as error:
        raise ParseError("cannot be read", path=path, found=error.strerror or str(error)) from error
    return b"".join(chunks)


_MAGIC = {".gz": b"\x1f\x8b", ".xz": b"\xfd7zXZ\x00"}


def _opened(path: Path, packing: str) -> IO[bytes]:
    if packing == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if packing == ".xz":
        return cast(IO[bytes], lzma.open(path, "rb"))
    return path.open("rb")


def decoded(path: Path, data: bytes) -> str:
    """UTF-8 text without byte order mark; a ParseError names the line of the first other byte."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = "save the file as UTF-8"
        if data.startswith(_MAGIC[".gz"]):
            hint = "this is gzip data: let the name end in .gz"
        elif data.startswith(_MAGIC[".xz"]):
            hint = "this is xz data: let the name end in .xz"
        raise ParseError(
            "not UTF-8 text",
            path=path,
            line=data.count(b"\n", 0, error.start) + 1,
            found=f"byte 0x{data[error.start]:02x} at offset {error.start}",
            way_out=hint,
        ) from None


@contextmanager
def atomic_group(
    paths: Iterable[Path], overwrite: bool = False, stale: Iterable[Path] = ()
) -> Generator[dict[Path, BinaryIO]]:
    """Several binary files that take their names together when the block ends without error, or none of them does.

    Parameters
    ----------
    paths : iterable of Path
    overwrite : bool
        Whether existing files are replaced, and ``stale`` ones removed.
    stale : iterable of Path
        Files that would be taken for part of the group.

    Raises
    ------
    OutputExistsError
        One of the files, or a stale one, exists and ``overwrite`` is false.
    OptionError
        As :func:`atomic`.
    """
    paths, stale = list(paths), list(stale)
    for path in paths + stale:
        check_target(path, overwrite)
    token = secrets.token_hex(6)

    def beside(path: Path, suffix: str) -> Path:
        return path.with_name(f".{path.name}.{token}.{suffix}")

    files: dict[Path, BinaryIO] = {}
    old: list[Path] = []
    new: list[Path] = []
    try:
        for path in paths:
            try:
                files[path] = beside(path, "part").open("xb")
            except OSError as error:
                raise OptionError(f"{path} cannot be written", found=error.strerror or error) from error
        yield files
        for file in files.values():
            file.close()
        for path in paths + stale:
            check_target(path, overwrite)
        try:
            for path in paths + stale:
                if path.exists() or path.is_symlink():
                    os.replace(path, beside(path, "old"))
                    old.append(path)
            for path in paths:
                os.replace(beside(path, "part"), path)
                new.append(path)
        except BaseException:
            for path in new:
                path.unlink()
            for path in old:
                os.replace(beside(path, "old"), path)
            old.clear()
            raise
    finally:
        for path, file in files.items():
            file.close()
            with suppress(FileNotFoundError):
                beside(path, "part").unlink()
        for path in old:
            beside(path, "old").unlink()
