r"""Models from UMB archives and back: the unified Markov binary format of Storm, PRISM, Modest and others.

An archive ``.umb`` is a tar file, plain or packed by gzip or xz, of one ``index.json`` and binary arrays. The index is
read and checked by the package umbi (the extra ``umb``), the arrays by numpy; nothing is unpickled. Read are MDPs and
DTMCs with double or rational probabilities, and of them

- labels (annotations ``aps`` of states) and rewards (``rewards`` of states, choices and branches: state and choice
  rewards are added up to rewards on pairs; with branch rewards they become rewards on transitions), under their alias;
- the initial state; with several of them the model has no initial law, and the label ``init`` marks them;
- names of choice actions; names of branch actions are left out;
- valuations of states as names: text such as ``x=0 & b=false``.

Where this reader is stricter than the specification: states without choice and choices without branch are errors, files
of values must be there, and rows must sum to one (exactly, if rational). Branches of one choice to the same state are
merged: probabilities are added, rewards averaged by probability.

UMB has no place for a criterion, for minimization, and for initial laws and laws that vary with the stage (which are
errors); the ``.npz`` format has. Names of states that are no valuations of numbers and truth values, and numbers of
actions that are not their places, are written as annotations in the group ``mdpkit``, which other tools pass over.
"""

from __future__ import annotations

import gzip
import importlib
import io
import json
import logging
import os
import re
import tarfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np

from mdpkit.errors import MDPError, ModelError, ParseError, UnsupportedError
from mdpkit.io.drn import ROW_TOLERANCE, RawReward
from mdpkit.io.drn_model import INITIAL, check_flat, pair_reward
from mdpkit.io.files import atomic, contents
from mdpkit.models.mdp import MDP
from mdpkit.models.rewards import Reward, from_entries
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Bools, Floats, Ints, Objects

__all__ = ["read", "write"]

VERSION = 1
"""The newest major version of the format that is read."""

_GROUP = "mdpkit"
_READ = "MDPs and DTMCs in discrete time with double or rational probabilities are read"
_COUNTS = ("#players", "#states", "#initial-states", "#choices", "#choice-actions", "#branches", "#branch-actions",
           "#observations")  # fmt: skip
_SIZES = {"bool": 1, "int": 64, "uint": 64, "double": 64, "rational": 128, "string": 64}
_SIZES |= {f"{name}-interval": 2 * _SIZES[name] for name in ("int", "uint", "double", "rational")}


def _umbi() -> Any:
    """The package umbi's index module."""
    try:
        index = importlib.import_module("umbi.umb.index")
    except ImportError:
        raise UnsupportedError(
            "umbi, which reads the index of .umb archives, is not installed",
            needed="the umb extra",
            way_out='pip install "mdpkit[umb]"',
        ) from None
    log = logging.getLogger("umbi")  # its complaints come back as errors; they need not go to the terminal as well
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    return index


def read(path: str | os.PathLike[str]) -> MDP:
    """Read a ``.umb`` archive.

    Parameters
    ----------
    path : path-like
        A tar archive, packed by gzip or xz or not at all: its first bytes tell.

    Returns
    -------
    MDP
        Rational where the archive's probabilities are.

    Raises
    ------
    ParseError
        The archive is missing, damaged or malformed; names the part of it.
    SizeError
        The archive unpacks to more than fits in memory.
    UnsupportedError
        A model in continuous time, a game, a partially observable, interval or nondeterministic model without
        probabilities; a newer version of the format; or umbi is not installed.

    Source: the specification of UMB, version 1.
    """
    path = Path(path)
    umbi = _umbi()
    return _Reader(path, _files(path), umbi).read()


# ------------------------------------------------------------------------------------------------------------ archive


def _files(path: Path) -> dict[str, bytes]:
    """The files of the archive by name."""
    try:
        with path.open("rb") as file:
            magic = file.read(6)
    except OSError:
        magic = b""
    packing = ".gz" if magic[:2] == b"\x1f\x8b" else ".xz" if magic == b"\xfd7zXZ\x00" else ""
    data = contents(path, "a .umb archive", packing)
    if not data:
        raise ParseError("the file is empty", path=path, needed="a .umb archive")
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                if member.isdir():
                    continue
                name = member.name.removeprefix("./").lstrip("/")
                if not member.isreg() or member.issparse():
                    raise ParseError(f"{name}: a link or special file in the archive", path=path, needed="plain files")
                if name in files:
                    raise ParseError(f"{name}: twice in the archive", path=path, needed="each file once")
                stored = archive.extractfile(member)
                part = b"" if stored is None or member.size > len(data) else stored.read()
                if len(part) != member.size:
                    raise ParseError(
                        f"{name}: the archive is truncated",
                        path=path,
                        found=f"{len(part)} bytes",
                        needed=f"{member.size} bytes",
                        way_out="fetch or export the file again",
                    )
                files[name] = part
    except MDPError:
        raise
    except Exception as error:  # tarfile raises errors of many kinds on damaged headers
        raise ParseError(
            "truncated, or no .umb archive",
            path=path,
            found=f"{error} ({len(data)} bytes)",
            needed="a tar archive, packed by gzip or xz or not at all",
            way_out="fetch or export the file again",
        ) from None
    return files


def _told(error: Exception) -> str:
    """What umbi says about an index, on one line."""
    messages = getattr(error, "messages", None)
    parts: list[str] = []

    def walk(node: Any, place: str) -> None:
        if isinstance(node, dict):
            for key, value in cast("dict[Any, Any]", node).items():
                walk(value, f"{place}{key}: ")
        elif isinstance(node, list):
            for value in cast("list[Any]", node):
                walk(value, place)
        else:
            parts.append(f"{place}{node}")

    walk(str(error) or type(error).__name__ if messages is None else messages, "")
    return "; ".join(parts)[:400]


# ------------------------------------------------------------------------------------------------------------ reading


class _Reader:
    def __init__(self, path: Path, files: dict[str, bytes], umbi: Any):
        self.path, self.files, self.umbi = path, files, umbi
        self.counts: dict[str, int] = {}

    def fail(
        self, part: str, what: str, found: object = None, needed: str | None = None, way_out: str | None = None
    ) -> NoReturn:
        raise ParseError(f"{part}: {what}", path=self.path, found=found, needed=needed, way_out=way_out)

    def refuse(self, what: str) -> NoReturn:
        raise UnsupportedError(f"{self.path}: index.json: {what}; {_READ}")

    # -- parts

    def part(self, name: str) -> bytes:
        if name not in self.files:
            listing = ", ".join(sorted(self.files)[:4]) or "an empty archive"
            listing += f" and {len(self.files) - 4} more" if len(self.files) > 4 else ""
            self.fail(name, "missing in the archive", listing, way_out="export the model again")
        return self.files[name]

    def array(self, name: str, dtype: str, n: int) -> Array:
        """The ``n`` fixed-size values of a file."""
        data, size = self.part(name), np.dtype(dtype).itemsize
        if len(data) != n * size:
            self.fail(name, "has the wrong size", f"{len(data)} bytes", f"{n} values of {size} bytes")
        return np.frombuffer(data, dtype=dtype)

    def below(self, name: str, values: Array, bound: int, what: str) -> Ints:
        bad = np.flatnonzero(values >= bound)
        if len(bad):
            k = int(bad[0])
            self.fail(name, f"{what} of entry {k} is out of range", int(values[k]), f"a number from 0 to {bound - 1}")
        return values.astype(np.int64)

    def pointer(self, name: str, n: int, total: int, what: str, least: int = 0) -> Ints:
        """Where the targets of each of ``n`` sources begin, and their end; one target each where there is no file."""
        if name not in self.files:
            if n != total:
                self.fail(name, "missing in the archive", f"{n} {what}", f"{total}, if each has one target")
            return np.arange(n + 1, dtype=np.int64)
        values = self.array(name, "<u8", n + 1)
        if values[0] != 0 or values[-1] != total:
            self.fail(name, "does not span its targets", f"{values[0]} to {values[-1]}", f"0 to {total}")
        bad = np.flatnonzero(values[1:] < values[:-1])
        if len(bad):
            k = int(bad[0])
            self.fail(name, f"descends at entry {k + 1}", f"{values[k + 1]} after {values[k]}", "ascending numbers")
        pointer = values.astype(np.int64)
        short = np.flatnonzero(np.diff(pointer) < least)
        if len(short):
            self.fail(name, f"{what} {int(short[0])} has none", "a deadlock", "one at least", "add a self-loop")
        return pointer

    def bits(self, name: str, n: int) -> Bools:
        flags = np.unpackbits(self.array(name, "u1", -(-n // 64) * 8), bitorder="little")
        if flags[n:].any():
            self.fail(name, "has bits set beyond its last entry", needed=f"{n} entries, then zeros")
        return flags[:n].astype(bool)

    def strings(self, folder: str, n: int) -> list[str]:
        name = f"{folder}/strings.bin"
        data = self.part(name)
        bounds = self.pointer(f"{folder}/string-mapping.bin", n, len(data), "string").tolist()
        try:
            return [data[bounds[i] : bounds[i + 1]].decode() for i in range(n)]
        except UnicodeDecodeError as error:
            self.fail(name, "not UTF-8 text", f"byte 0x{error.object[error.start]:02x}")

    def numbers(self, name: str, kind: Any, n: int) -> tuple[Floats, Objects | None]:
        """The ``n`` numbers of a file, as floats and (but for doubles) exactly; equal ones share an object."""
        word, bits = _kind(kind), int(kind.size_bits)
        if word == "double":
            values = self.array(name, "<f8", n).astype(np.float64)
            bad = np.flatnonzero(~np.isfinite(values))
            if len(bad):
                self.fail(name, f"entry {int(bad[0])} is not finite", values[bad[0]], "a finite number")
            return values, None
        step = bits // 8
        if bits % (16 if word == "rational" else 8):
            self.fail("index.json", f"{name} has numbers that are no whole bytes", f"size {bits}", "a multiple of 128")
        data = self.part(name)
        if len(data) != n * step:
            self.fail(name, "has the wrong size", f"{len(data)} bytes", f"{n} values of {step} bytes")
        known: dict[bytes, Fraction] = {}
        listed: list[Fraction] = []
        for k in range(n):
            chunk = data[k * step : (k + 1) * step]
            value = known.get(chunk)
            if value is None:
                try:
                    value = known[chunk] = _number(chunk, word)
                except ZeroDivisionError:
                    self.fail(name, f"entry {k} has the denominator zero", needed="a positive denominator")
            listed.append(value)
        exact = np.empty(n, dtype=object)
        exact[:] = listed
        try:
            return exact.astype(np.float64), exact
        except OverflowError:
            self.fail(name, "a number beyond the range of floats", needed="magnitudes below 1.8e308")

    # -- index

    def index(self) -> Any:
        """The index as umbi reads it, when the model is one that is read."""
        data = self.part("index.json")
        try:
            raw: Any = json.loads(data.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            self.fail("index.json", "not JSON", str(error)[:200])
        raw = cast("dict[str, Any]", raw if isinstance(raw, dict) else {})
        system: Any = raw.get("transition-system")
        if not isinstance(system, dict):
            self.fail("index.json", "no object with a transition-system", needed="an index of a UMB archive")
        counts = cast("dict[str, Any]", system)
        for key in _COUNTS:
            count: Any = counts.get(key)
            if key not in counts:
                self.fail("index.json", f"{key} is missing in transition-system", needed="a natural number")
            if type(count) is not int or count < 0:
                self.fail("index.json", f"{key} is no count", repr(count)[:80], "a natural number")
            self.counts[key] = count
        version: Any = raw.get("format-version")
        if type(version) is int and version > VERSION:
            self.refuse(f"version {version} of the format is newer than {VERSION}")
        try:
            _complete(raw)
            index = self.umbi.UmbIndex.from_json(raw)
        except Exception as error:  # umbi and marshmallow raise errors of many kinds
            self.fail("index.json", "does not follow the specification", _told(error))
        self.check_type(index.transition_system)
        return index

    def check_type(self, system: Any) -> None:
        players = self.counts["#players"]
        if system.time == "urgent-stochastic":
            self.refuse("a Markov automaton")
        if system.time == "stochastic":
            self.refuse("a CTMC" if players == 0 else "a CTMDP" if players == 1 else "a stochastic game")
        if players > 1:
            self.refuse(f"a game of {players} players")
        if self.counts["#observations"]:
            self.refuse("a POMDP (a model with observations)")
        kind = system.branch_probability_type
        if kind is None:
            if self.counts["#branches"] == 0:
                self.fail("index.json", "a model without branches", needed="one branch for each choice at least")
            self.refuse("a labeled transition system (branches without probabilities)")
        word = _kind(kind)
        if word.endswith("-interval"):
            self.refuse(f"an interval {'MDP' if players else 'DTMC'}")
        if word not in ("double", "rational"):
            self.fail("index.json", f"probabilities of type {word}", needed="double or rational")

    # -- model

    def read(self) -> MDP:
        index = self.index()
        system = index.transition_system
        S, L, n = self.counts["#states"], self.counts["#choices"], self.counts["#branches"]
        part = "branch-to-probability.bin"
        floats, exact = self.numbers(part, system.branch_probability_type, n)
        self.check_probabilities(part, floats, exact)
        name = "branch-to-target.bin"
        one = S == 1 and name not in self.files  # the default of the specification
        target = np.zeros(n, dtype=np.int64) if one else self.below(name, self.array(name, "<u8", n), S, "the target")
        indptr = self.pointer("choice-to-branches.bin", L, n, "choice", 1)
        pair_ptr = self.pointer("state-to-choices.bin", S, L, "state", 1)
        if self.counts["#players"] == 0 and S != L:
            self.fail("state-to-choices.bin", "a DTMC with several choices in a state", f"{L} choices", f"{S}")
        state: Ints = np.repeat(np.arange(S, dtype=np.int64), np.diff(pair_ptr))
        place = np.arange(L, dtype=np.int64) - pair_ptr[state]
        merge = _Merge(indptr, target, floats, exact)
        P = Transitions(merge.indptr, merge.target, merge.floats, S, merge.exact)
        action, names = self.actions(index, place)
        labels = self.labels(index)
        initial = self.initial()
        start = np.flatnonzero(initial)
        if len(start) > 1:
            labels.setdefault(INITIAL, initial)
        try:
            rewards = {
                name: self.reward(folder, kind, state, merge, P, action, name)
                for name, folder, kind in self.annotations(index, "rewards")
            }
            return MDP(
                P,
                state=state,
                action=action,
                rho=int(start[0]) if len(start) == 1 else None,
                labels=labels,
                rewards=rewards,
                state_names=self.state_names(index),
                pair_names=names,
            )
        except ModelError as error:
            raise ParseError(f"{part}: {error.what}", path=self.path, found=error.found, needed=error.needed) from None

    def check_probabilities(self, part: str, floats: Floats, exact: Objects | None) -> None:
        bad = np.flatnonzero(~((floats >= 0) & (floats <= (1 + ROW_TOLERANCE if exact is None else 1))))
        if exact is not None and not len(bad):
            bad = np.array([k for k, x in enumerate(exact.tolist()) if x < 0 or x > 1 or (x and not floats[k])])
        if len(bad):
            k = int(bad[0])
            value: Any = floats[k] if exact is None else str(exact[k])[:80]
            self.fail(part, f"entry {k} is no probability", value, "a number from 0 to 1 that is a float")

    def initial(self) -> Bools:
        S, count, name = self.counts["#states"], self.counts["#initial-states"], "state-is-initial.bin"
        flags = np.zeros(S, dtype=bool) if name not in self.files else self.bits(name, S)
        if int(flags.sum()) != count:
            self.fail(name, "has another number of initial states than the index", int(flags.sum()), f"{count}")
        return flags

    def actions(self, index: Any, place: Ints) -> tuple[Ints, list[str] | None]:
        """Numbers of the actions, which are their places within the state unless the archive says, and names."""
        L, count, folder = self.counts["#choices"], self.counts["#choice-actions"], "actions/choices"
        name = f"{folder}/values.bin"
        if count == 0:
            return place, None
        if name in self.files:
            which = self.below(name, self.array(name, "<u4", L), count, "the action")
        else:
            which = np.zeros(L, dtype=np.int64)
        names: list[str] | None = None
        if f"{folder}/string-mapping.bin" in self.files or f"{folder}/strings.bin" in self.files:
            self.part(f"{folder}/string-mapping.bin")
            known = self.strings(folder, count)
            names = [known[i] for i in which.tolist()]
        own = self.own(index, "action")
        if own is not None:
            name = f"annotations/{_GROUP}/action/choices/values.bin"
            which = self.below(name, self.array(name, "<u8", L), 2**32, "the action")
        ascending = bool(np.all((which[1:] > which[:-1]) | (place[1:] == 0)))
        if own is not None and not ascending:
            self.fail(name, "the actions of a state do not ascend", needed="distinct numbers in ascending order")
        return (which if own is not None or (names is None and ascending and count <= L) else place), names

    def own(self, index: Any, key: str) -> Any:
        """The description of an annotation that :func:`write` made, or None."""
        groups: dict[str, dict[str, Any]] = index.annotations or {}
        return groups.get(_GROUP, {}).get(key)

    def annotations(self, index: Any, group: str) -> list[tuple[str, str, Any]]:
        """Name, folder and description of the annotations of a group."""
        found: list[tuple[str, str, Any]] = []
        names: set[str] = set()
        groups: dict[str, dict[str, Any]] = index.annotations or {}
        for key, kind in groups.get(group, {}).items():
            place: list[str] = kind.applies_to or []
            if not place or len(set(place)) != len(place):
                self.fail("index.json", f"{group} {key!r} applies to nothing, or twice to the same", place)
            if kind.probability_type is not None:
                self.refuse(f"{group} {key!r} is a distribution")
            name: str = key if kind.alias is None else kind.alias
            if name in names:
                self.fail("index.json", f"two {group} are called {name!r}", needed="distinct names")
            names.add(name)
            found.append((name, f"annotations/{group}/{key}", kind))
        return found

    def labels(self, index: Any) -> dict[str, Bools]:
        labels: dict[str, Bools] = {}
        for name, folder, kind in self.annotations(index, "aps"):
            if _kind(kind.type) != "bool" or kind.type.size_bits != 1 or list(kind.applies_to) != ["states"]:
                found = f"{_kind(kind.type)} for {', '.join(kind.applies_to)}"
                self.fail("index.json", f"the label {name!r} is no truth value of states", found, "bool for states")
            labels[name] = self.bits(f"{folder}/states/values.bin", self.counts["#states"])
        return labels

    def reward(
        self, folder: str, kind: Any, state: Ints, merge: _Merge, P: Transitions, action: Ints, name: str
    ) -> Reward:
        word = _kind(kind.type)
        if word not in ("double", "rational", "int", "uint"):
            if word.endswith("-interval"):
                self.refuse(f"the reward {name!r} consists of intervals")
            self.fail("index.json", f"the reward {name!r} is of type {word}", needed="double or rational")
        sizes = {"states": self.counts["#states"], "choices": len(state), "branches": self.counts["#branches"]}
        places: list[str] = list(kind.applies_to)
        given = {where: self.numbers(f"{folder}/{where}/values.bin", kind.type, sizes[where]) for where in places}
        for where in ("states", "choices"):
            zero = np.full(sizes[where], Fraction(0), dtype=object) if word != "double" else None
            given.setdefault(where, (np.zeros(sizes[where]), zero))
        of_state, of_choice = given["states"], given["choices"]
        pairs = pair_reward(RawReward(of_state[0], of_choice[0], of_state[1], of_choice[1]), state)
        if "branches" not in given:
            return pairs
        values, exact = given["branches"]
        if exact is None or merge.exact is None:
            return from_entries(pairs.values[P.row_of] + merge.means(values), P, name, state, action)
        assert pairs.exact is not None
        return from_entries(pairs.exact[P.row_of] + merge.means(exact), P, name, state, action)

    # -- names of states

    def state_names(self, index: Any) -> list[Any] | None:
        S = self.counts["#states"]
        own = self.own(index, "name")
        if own is not None:
            folder = f"annotations/{_GROUP}/name/states"
            count = own.num_strings or 0
            which = self.below(f"{folder}/values.bin", self.array(f"{folder}/values.bin", "<u8", S), count, "the name")
            known = self.strings(folder, count)
            return [known[i] for i in which.tolist()]
        valuations: dict[str, Any] = index.valuations or {}
        valuation = valuations.get("states")
        if valuation is None:
            return None
        classes: list[Any] = valuation.classes
        if len(classes) != 1:
            self.refuse("valuations of states of several classes")
        fields: list[Any] = classes[0].fields
        names: list[str] = [field.name for field in fields if hasattr(field, "sized_type")]
        if not names:
            return None
        columns = self.valuations(valuation, fields)
        if names == ["name"]:
            return columns[0]
        if names == [str(i) for i in range(len(names))]:
            return list(zip(*columns, strict=True))
        return [
            " & ".join(f"{x}={_value_text(v)}" for x, v in zip(names, row, strict=True) if v is not None)
            for row in zip(*columns, strict=True)
        ]

    def valuations(self, valuation: Any, fields: list[Any]) -> list[list[Any]]:
        """The values of each variable in each state; variables lie from the lowest bit on."""
        S, name, folder = self.counts["#states"], "valuations/states/valuations.bin", "valuations/states"
        bits = sum(int(field.size_bits) for field in fields)
        data = self.part(name)
        if bits % 8 or len(data) != S * (bits // 8):
            self.fail(name, "has the wrong size", f"{len(data)} bytes", f"{S} valuations of {bits} bits, whole bytes")
        step = bits // 8
        rows = [int.from_bytes(data[k : k + step], "little") for k in range(0, len(data), step)]
        strings = None if valuation.num_strings is None else self.strings(folder, valuation.num_strings)
        columns: list[list[Any]] = []
        offset = 0
        for field in fields:
            size = int(field.size_bits)
            if hasattr(field, "sized_type"):
                raw = [(row >> offset) & ((1 << size) - 1) for row in rows]
                columns.append(self.column(name, field, raw, strings))
            offset += size
        return columns

    def column(self, name: str, field: Any, raw: list[int], strings: list[str] | None) -> list[Any]:
        word, size, shift = _kind(field.sized_type), int(field.sized_type.size_bits), field.offset or 0
        there = [True] * len(raw)
        if field.is_optional:
            there, raw = [bool(x >> size) for x in raw], [x & ((1 << size) - 1) for x in raw]
        if word == "string" and strings is None:
            self.fail("index.json", f"the variable {field.name!r} is text without #strings", needed="#strings")

        def value(x: int) -> Any:
            if word == "bool":
                return x != 0
            if word == "string":
                assert strings is not None
                return strings[x]
            if word == "double":
                return float(np.array(x, dtype=np.uint64).view(np.float64))
            if word == "rational":
                half = size // 2
                return Fraction(_signed(x & ((1 << half) - 1), half), x >> half)
            return (_signed(x, size) if word == "int" else x) + shift

        try:
            return [value(x) if here else None for x, here in zip(raw, there, strict=True)]
        except (IndexError, ZeroDivisionError) as error:
            self.fail(name, f"a value of the variable {field.name!r} is out of range", str(error))


class _Merge:
    """Branches as rows of ascending distinct states with positive probabilities."""

    def __init__(self, indptr: Ints, target: Ints, floats: Floats, exact: Objects | None):
        rows = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(indptr))
        positive = np.flatnonzero(floats > 0)
        order = positive[np.lexsort((target[positive], rows[positive]))]
        row, column = rows[order], target[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = (row[1:] != row[:-1]) | (column[1:] != column[:-1])
        self.order, self.begin = order, np.flatnonzero(first)
        self.merged = not first.all()
        self.weights: Array = floats[order] if exact is None else exact[order]
        self.target = column[first]
        self.indptr = np.concatenate(([0], np.cumsum(np.bincount(row[first], minlength=len(indptr) - 1))))
        self.exact: Objects | None = None
        if exact is None:
            self.floats: Floats = self.sums(self.weights)
        else:
            rationals: Objects = self.sums(self.weights)
            self.exact, self.floats = rationals, rationals.astype(np.float64)

    def sums(self, values: Array) -> Any:
        return np.add.reduceat(values, self.begin) if self.merged and len(self.begin) else values

    def means(self, values: Array) -> Array:
        """Values of branches, averaged by probability where branches were merged."""
        values = values[self.order]
        if not self.merged:
            return values
        means = self.sums(self.weights * values) / self.sums(self.weights)
        alone = np.diff(np.append(self.begin, len(values))) == 1
        means[alone] = values[self.begin[alone]]
        return means


def _complete(node: Any) -> None:
    """Write the default sizes of types into an index, which umbi wants and the specification lets one leave out."""
    if isinstance(node, dict):
        given = cast("dict[str, Any]", node)
        kind = given.get("type")
        if isinstance(kind, str) and kind in _SIZES and given.get("size") is None:
            given["size"] = _SIZES[kind]
        for part in given.values():
            _complete(part)
    elif isinstance(node, list):
        for part in cast("list[Any]", node):
            _complete(part)


def _kind(kind: Any) -> str:
    """The name of a type of numbers as in the index."""
    return str(getattr(kind.type, "value", kind.type))


def _signed(x: int, bits: int) -> int:
    return x - (1 << bits) if x >> (bits - 1) else x


def _number(chunk: bytes, word: str) -> Fraction:
    if word != "rational":
        return Fraction(int.from_bytes(chunk, "little", signed=word == "int"))
    half = len(chunk) // 2
    return Fraction(int.from_bytes(chunk[:half], "little", signed=True), int.from_bytes(chunk[half:], "little"))


def _value_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# ------------------------------------------------------------------------------------------------------------ writing


def write(mdp: MDP, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write a ``.umb`` archive that :func:`read` reads back equal; the same model gives the same bytes.

    Parameters
    ----------
    mdp : MDP
        Rationals are written as rationals, floats as doubles. Criterion and goal are not written.
    path : path-like
        Written to a temporary file first, then renamed; packed by gzip.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    UnsupportedError
        Laws or rewards vary with the stage, the initial law is spread over several states, the rows of a model made by
        ``.exact(dyadic=True)`` do not sum to exactly one, a state's name is neither a number, text, nor a tuple of
        such; or umbi is not installed.
    OutputExistsError
        The file exists and ``overwrite`` is false.
    OptionError
        The folder does not exist, or the path is a folder.

    Source: the specification of UMB, version 1.
    """
    files = _Writer(mdp, _umbi()).files()
    with (
        atomic(path, overwrite) as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


class _Writer:
    def __init__(self, mdp: MDP, umbi: Any):
        self.mdp, self.umbi = mdp, umbi
        self.parts: dict[str, bytes] = {}
        self.annotations: dict[str, dict[str, Any]] = {}

    def files(self) -> dict[str, bytes]:
        mdp, P = self.mdp, self.mdp.P
        check_flat(mdp, "UMB")
        initial = np.zeros(mdp.n_states, dtype=bool)
        if mdp.rho is not None:
            initial = np.asarray(mdp.rho) > 0
        elif INITIAL in mdp.labels and np.sum(mdp.labels[INITIAL]) > 1:
            initial = np.asarray(mdp.labels[INITIAL])
        parts = self.parts
        parts["index.json"] = b""
        parts["state-is-initial.bin"] = _bits(initial)
        parts["state-to-choices.bin"] = _words(mdp.pair_ptr)
        parts["choice-to-branches.bin"] = _words(P.indptr)
        parts["branch-to-target.bin"] = _words(P.indices)
        kind, parts["branch-to-probability.bin"] = _numbers(P.data, P.exact)
        n_actions = self.actions()
        for name, mask in mdp.labels.items():
            self.annotate("aps", name, {"states": _bits(mask)}, {"type": "bool", "size": 1})
        for name, reward in mdp.rewards.items():
            on_branches = reward.transition is not None
            values, exact = reward.values, reward.exact
            if on_branches:
                values, exact = cast(Floats, reward.transition), reward.transition_exact
            given, data = _numbers(values, exact)
            self.annotate("rewards", name, {"branches" if on_branches else "choices": data}, given)
        index: dict[str, Any] = {
            "format-version": VERSION,
            "format-revision": 0,
            "file-data": {"tool": "mdpkit"},
            "transition-system": {
                "time": "discrete",
                "#players": 0 if mdp.n_pairs == mdp.n_states else 1,
                "#states": mdp.n_states,
                "#initial-states": int(initial.sum()),
                "#choices": mdp.n_pairs,
                "#choice-actions": n_actions,
                "#branches": P.nnz,
                "#branch-actions": 0,
                "#observations": 0,
                "branch-probability-type": kind,
            },
        }
        valuations = self.state_names()
        if self.annotations:
            index["annotations"] = self.annotations
        if valuations is not None:
            index["valuations"] = {"states": valuations}
        self.umbi.UmbIndex.from_json(index)
        parts["index.json"] = _encoded(json.dumps(index, indent=2, ensure_ascii=False))
        return parts

    def annotate(self, group: str, name: str, data: dict[str, bytes], kind: dict[str, Any]) -> None:
        """Add an annotation with a value for each state, choice or branch."""
        described = self.annotations.setdefault(group, {})
        base = re.sub("[^0-9a-z_-]+", "-", name.lower())[:40] or "unnamed"
        key, k = base, 1
        while key in described:
            k += 1
            key = f"{base}-{k}"
        described[key] = {"alias": name, "applies-to": list(data), "type": kind}
        for where, values in data.items():
            self.parts[f"annotations/{group}/{key}/{where}/values.bin"] = values

    def strings(self, folder: str, names: Iterable[str]) -> None:
        chunks = [_encoded(name) for name in names]
        self.parts[f"{folder}/string-mapping.bin"] = _words(np.cumsum([0, *map(len, chunks)]))
        self.parts[f"{folder}/strings.bin"] = b"".join(chunks)

    def actions(self) -> int:
        """Write the actions of the choices; returns their number."""
        mdp, folder = self.mdp, "actions/choices"
        if mdp.pair_names is None:
            self.parts[f"{folder}/values.bin"] = mdp.action.astype("<u4").tobytes()
            if mdp.n_actions > mdp.n_pairs:
                self.own_actions()
            return mdp.n_actions
        number = {name: i for i, name in enumerate(dict.fromkeys(mdp.pair_names))}
        self.parts[f"{folder}/values.bin"] = np.array([number[name] for name in mdp.pair_names], "<u4").tobytes()
        self.strings(folder, number)
        if np.any(mdp.action != np.arange(mdp.n_pairs) - mdp.pair_ptr[mdp.state]):
            self.own_actions()
        return len(number)

    def own_actions(self) -> None:
        self.annotate(_GROUP, "action", {"choices": _words(self.mdp.action)}, {"type": "uint", "size": 64})

    def state_names(self) -> dict[str, Any] | None:
        """Write the names of the states; returns the description of their valuations, if they are such."""
        names = self.mdp.state_names
        if names is None:
            return None
        if all(isinstance(name, str) for name in names):
            number = {name: i for i, name in enumerate(dict.fromkeys(names))}
            self.annotate(
                _GROUP, "name", {"states": _words(np.array([number[s] for s in names]))}, {"type": "string", "size": 64}
            )
            self.annotations[_GROUP]["name"]["#strings"] = len(number)
            self.strings(f"annotations/{_GROUP}/name/states", number)
            return None
        tuples = all(isinstance(name, tuple) for name in names)
        rows: list[tuple[Any, ...]] = [tuple(name) if tuples else (name,) for name in names]
        if len(set(map(len, rows))) != 1 or not rows[0]:
            _refuse_name(names[0], "tuples of one length")
        variables: list[dict[str, Any]] = []
        packed = [0] * len(rows)
        strings: dict[str, int] = {}
        offset = 0
        for i, column in enumerate(zip(*rows, strict=True)):
            kind, raw = _column(column, strings)
            variables.append({"name": str(i) if tuples else "name", "type": kind})
            packed = [x | y << offset for x, y in zip(packed, raw, strict=True)]
            offset += kind["size"]
        if offset % 8:
            variables.append({"padding": 8 - offset % 8})
        size = -(-offset // 8)
        self.parts["valuations/states/valuations.bin"] = b"".join(x.to_bytes(size, "little") for x in packed)
        described: dict[str, Any] = {"unique": len(set(packed)) == len(packed), "classes": [{"variables": variables}]}
        if strings:
            described["#strings"] = len(strings)
            self.strings("valuations/states", strings)
        return described


def _column(values: Sequence[Any], strings: dict[str, int]) -> tuple[dict[str, Any], list[int]]:
    """The type of a variable, and its values as natural numbers of that size."""
    if all(isinstance(x, (bool, np.bool_)) for x in values):
        return {"type": "bool", "size": 1}, [int(x) for x in values]
    if all(isinstance(x, str) for x in values):
        return {"type": "string", "size": 64}, [strings.setdefault(x, len(strings)) for x in values]
    if all(isinstance(x, (int, np.integer)) and not isinstance(x, bool) for x in values):
        whole = [int(x) for x in values]
        size = -(-max(x.bit_length() + 1 for x in whole) // 8) * 8
        return {"type": "int", "size": size}, [x & ((1 << size) - 1) for x in whole]
    if all(isinstance(x, (float, np.floating)) for x in values):
        return {"type": "double", "size": 64}, np.array(values, dtype=np.float64).view(np.uint64).tolist()
    if all(type(x) is Fraction for x in values):
        half = _half(values)
        mask = (1 << half) - 1
        return {"type": "rational", "size": 2 * half}, [(x.numerator & mask) | x.denominator << half for x in values]
    _refuse_name(values[0], "numbers, truth values or text, of one kind in all states, or tuples of such")


def _refuse_name(name: Any, needed: str) -> NoReturn:
    raise UnsupportedError(
        "UMB has no names of states of this kind", found=repr(name)[:80], needed=needed, way_out="save to .npz"
    )


def _half(values: Iterable[Fraction]) -> int:
    """Bits of numerators and of denominators: a multiple of 64."""
    most = max((max(x.numerator.bit_length() + 1, x.denominator.bit_length()) for x in values), default=1)
    return -(-most // 64) * 64


def _numbers(floats: Floats, exact: Objects | None) -> tuple[dict[str, Any], bytes]:
    """The type of numbers and their bytes."""
    if exact is None:
        return {"type": "double", "size": 64}, np.ascontiguousarray(floats, dtype="<f8").tobytes()
    values: list[Fraction] = exact.tolist()
    half = _half(values) // 8
    known: dict[int, bytes] = {}
    for x in values:  # equal entries mostly share one object
        if id(x) not in known:
            known[id(x)] = x.numerator.to_bytes(half, "little", signed=True) + x.denominator.to_bytes(half, "little")
    return {"type": "rational", "size": 16 * half}, b"".join(known[id(x)] for x in values)


def _words(values: Array) -> bytes:
    return np.asarray(values).astype("<u8").tobytes()


def _bits(mask: Array) -> bytes:
    data = np.packbits(np.asarray(mask, dtype=bool), bitorder="little").tobytes()
    return data + bytes(-len(data) % 8)


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ModelError("a name or label is not text that UTF-8 can encode", found=error.reason) from None
