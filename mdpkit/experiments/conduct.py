"""Conducting an experiment: what is stored is read, the rest is computed and stored as it comes."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, cast

import numpy as np

from mdpkit.errors import ModelWarning, OptionError, UnsupportedError
from mdpkit.experiments.provenance import now, provenance, versions
from mdpkit.experiments.store import ExperimentError, Folder
from mdpkit.experiments.sweep import Status, Task, check_jobs, sweep
from mdpkit.typing import Array

__all__ = [
    "Conducted",
    "MixedVersionsWarning",
    "check_seed",
    "code",
    "conduct",
    "merged",
    "pandas_package",
    "seed_numbers",
    "stored_cells",
]


class MixedVersionsWarning(ModelWarning):
    """Stored cells were computed by other versions of the code than the rest."""


GROWING = ("learners", "methods", "seeds", "eps")
"""Entries of a manifest that a later run may add to."""


@dataclass
class Conducted:
    """The arrays of cells by name, and where they come from."""

    cells: dict[str, dict[str, Array]] = field(default_factory=dict[str, dict[str, Array]])
    computed: int = 0
    stored: int = 0
    broken: list[str] = field(default_factory=list[str])


def check_seed(seed: Any) -> int:
    """The root seed.

    Raises
    ------
    OptionError
        If it is no integer, or negative.
    """
    found = _integer(seed)
    if found is None or found < 0:
        raise OptionError("the root seed is no count", found=repr(seed), needed="an integer >= 0")
    return found


def _integer(x: Any) -> int | None:
    try:
        return None if isinstance(x, bool) else operator.index(x)
    except TypeError:
        return None


def seed_numbers(seeds: Any) -> list[int]:
    """The numbers of the seeds: ``n`` means 0 to n - 1.

    Raises
    ------
    OptionError
        If there is none, or one is no count, or comes twice.
    """
    n = _integer(seeds)
    if n is not None:
        found = list(range(n))
    else:
        parts: list[Any] = list(seeds) if isinstance(seeds, Iterable) else []  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        found = [-1 if (one := _integer(part)) is None else one for part in parts]
    if not found or min(found) < 0 or len(set(found)) < len(found):
        raise OptionError(
            "the seeds are none", found=repr(cast(Any, seeds))[:60], needed="their number, or different integers >= 0"
        )
    return found


def conduct(
    kind: str,
    manifest: dict[str, Any],
    tasks: Sequence[Task],
    *,
    data: Any = None,
    jobs: int | None = 1,
    progress: Callable[[Status], None] | None = None,
    command: str | None = None,
    ready: Callable[[], None] | None = None,
) -> Conducted:
    """Compute the cells of tasks that are not stored yet; without a folder, all of them, in memory.

    Parameters
    ----------
    kind : str
    manifest : dict
        What the experiment is; it must agree with the folder's.
    tasks : tasks
    data : path-like, optional
        The folder.
    jobs, progress
        See :func:`mdpkit.experiments.sweep.sweep`.
    command : str, optional
        Written down; the process's own by default.
    ready : callable, optional
        Called before the first cell is computed, once there is one to compute; may refuse.

    Raises
    ------
    ExperimentError
        If the folder holds another experiment.
    """
    check_jobs(jobs)
    out = Conducted()
    if data is None:
        if ready is not None:
            ready()
        _compute(out, tasks, None, jobs, progress)
        return out
    folder = Folder(data, kind)
    merged(folder, manifest)  # refuses before anything is written
    missing = [task for task in tasks if not _found(out, folder, task, quiet=True)]
    if not missing:
        out.stored = len(tasks)
        _check_versions(out)
        return out
    if ready is not None:
        ready()
    with folder.locked():
        whole = merged(folder, manifest)
        missing = [task for task in missing if not _found(out, folder, task)]
        out.stored, out.broken = len(tasks) - len(missing), folder.broken
        for old in whole.setdefault("runs", []):
            if old["state"] == "running":  # its process held the lock that this one holds
                old["state"] = "killed"
        record = provenance(command) | {"jobs": jobs, "tasks": len(missing), "broken": out.broken}
        whole["runs"].append(record)
        folder.write_manifest(whole)
        state = "failed"
        try:
            _compute(out, missing, folder, jobs, progress)
            state = "complete"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            record |= {"ended": now(), "state": state, "computed": out.computed}
            folder.write_manifest(whole)
    _check_versions(out)
    return out


def _found(out: Conducted, folder: Folder, task: Task, *, quiet: bool = False) -> bool:
    """Whether all cells of a task are stored; they are noted then. Quiet, broken ones are left as they are."""
    found: dict[str, dict[str, Array]] = {}
    for cell in task.cells:
        arrays = folder.peek(cell.name, cell.key) if quiet else folder.read(cell.name, cell.key)
        if arrays is None:
            return False
        found[cell.name] = arrays
    out.cells |= found
    return True


def _compute(
    out: Conducted,
    tasks: Sequence[Task],
    folder: Folder | None,
    jobs: int | None,
    progress: Callable[[Status], None] | None,
) -> None:
    for task, arrays in sweep(tasks, jobs, stored=out.stored, progress=progress):
        for cell, values in zip(task.cells, arrays, strict=True):
            if folder is not None:
                folder.write(cell.name, cell.key, values)
            out.cells[cell.name] = {name: np.asarray(value) for name, value in values.items()}
        out.computed += 1


def _check_versions(out: Conducted) -> None:
    codes = {str(arrays["code"]) for arrays in out.cells.values() if "code" in arrays}
    if len(codes) > 1:
        warnings.warn(
            f"the cells were computed by different versions: {'; '.join(sorted(codes))}",
            MixedVersionsWarning,
            stacklevel=3,
        )


def code() -> str:
    """The versions that a cell was computed by, as text."""
    return " ".join(f"{name} {number}" for name, number in versions().items())


def pandas_package() -> Any:
    """The package pandas.

    Raises
    ------
    UnsupportedError
        Without it.
    """
    try:
        return import_module("pandas")
    except ImportError:
        raise UnsupportedError(
            "pandas is not installed", needed="pandas", way_out="pip install 'mdpkit[pandas]'"
        ) from None


def stored_cells(folder: Folder, cells: Mapping[str, Mapping[str, Any]]) -> Conducted:
    """The cells, by name and key, that the folder holds; nothing is computed, renamed or written."""
    out = Conducted(broken=folder.broken)
    for name, key in cells.items():
        found = folder.read(name, key, aside=False)
        if found is not None:
            out.cells[name] = found
            out.stored += 1
    _check_versions(out)
    return out


def merged(folder: Folder, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The folder's manifest, with what this run adds to it.

    Raises
    ------
    ExperimentError
        Names what differs.
    """
    old = folder.manifest()
    if old is None:
        return dict(manifest)
    differences = list(_differences(old, manifest))
    if differences:
        raise ExperimentError(
            f"{folder.path} holds another experiment: {'; '.join(differences)}",
            way_out="choose another folder; nothing was changed (an experiment takes more seeds, more learners, and further "
            "problems beside all of its own)",
        )
    whole = dict(old)
    for name, value in manifest.items():
        if isinstance(value, dict):
            whole[name] = old[name] | value
        elif isinstance(value, list):
            known = cast("list[Any]", old[name])
            whole[name] = sorted({*known, *cast("list[Any]", value)})
    return whole


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name, value in new.items():
        theirs = old.get(name)
        words = name.replace("_", " ")
        if isinstance(value, dict) and isinstance(theirs, dict):
            ours, theirs = cast("dict[str, Any]", value), cast("dict[str, Any]", theirs)
            found += [_one(words, label, theirs[label], ours[label]) for label in ours if label in theirs]
            if name not in GROWING and not (ours.keys() <= theirs.keys() or ours.keys() >= theirs.keys()):
                found.append(f"{words} {_listed(theirs)} in the folder, {_listed(ours)} asked for")
        elif name not in GROWING and value != theirs:
            found.append(f"{words} {theirs} in the folder, {value} asked for")
    return [text for text in found if text]


def _one(words: str, label: str, theirs: Any, ours: Any) -> str:
    """How two descriptions of one label differ; empty where they do not."""
    a, b = _flat(theirs), _flat(ours)
    for entry in (a, b):
        for name in ("bounded_by", "bound_holds"):
            entry.pop(name, None)
    if a == b:
        return ""
    visible = [key for key in sorted({*a, *b}) if a.get(key) != b.get(key) and key != "digest"]
    parts = [f"{key} {a.get(key, 'none')} in the folder, {b.get(key, 'none')} asked for" for key in visible]
    return f"{words[:-1]} {label!r}: " + (", ".join(parts) or "other transitions, rewards or initial law")


def _flat(entry: Any) -> dict[str, Any]:
    found = dict(cast("Mapping[str, Any]", entry))
    return found | found.pop("parameters", {})


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, names))
