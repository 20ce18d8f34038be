r"""PRISM's explicit model files: ``.tra``, and beside it ``.sta``, ``.lab``, ``.srew`` and ``.trew`` of the same stem.

A model is read from its ``.tra`` file. Files of the same stem are part of it: ``model.sta`` (values of variables),
``model.lab`` (labels), and ``model.srew``, ``model.trew`` or, for several reward structures, ``model1.srew``,
``model1.trew``, ``model2.srew`` …

- ``S L T`` and lines ``state choice target probability [action]`` are an MDP, ``S T`` and lines without choice a DTMC;
  rows as PRISM's ``-exportrows`` writes them, ``state p:target p:target [action]``, are read too. The counts must be
  right.
- ``1/3`` is a rational, and so are the decimals of a file with such numbers, or of one whose rows all sum to exactly one
  as they are written. A probability with an exponent (``1e-1``) makes the file one of doubles, and so do rows that sum to
  one only within ``ROW_TOLERANCE``. Rewards are rational where the probabilities are.
- The initial state is the one labeled ``init``; without a labels file it is state 0, as in PRISM.
- Names of states are :class:`Valuation`\ s: tuples of numbers that know their variables.
- r(s, a) is state reward plus transition reward. Rewards that differ between the transitions of a choice, which PRISM's
  own reader refuses, are rewards of transitions.
- A state without transitions is an error, or is given the loop that PRISM gives it if :func:`read` is asked to.

What is written is read back the same: numbers, action names other than the action's number, labels, names that are
valuations, named rewards. PRISM itself wants identifiers for labels, actions and reward structures. The files have no
place for the criterion, for minimization, for other names of states, for laws that vary with the stage or for initial
laws over several states (both an error), and number the actions of each state from 0.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np

from mdpkit.errors import ModelError, ModelWarning, ParseError, SizeError
from mdpkit.io.drn import LineError, Number, fail, float_texts, fraction_texts, natural, shown
from mdpkit.io.files import atomic_group, contents, decoded, physical_memory
from mdpkit.io.listed import (
    Column,
    RowError,
    Rows,
    Table,
    exact_decimals,
    reward_of,
    sorted_rows,
    transitions_of,
)
from mdpkit.kernels.rational import dyadic_array
from mdpkit.models.mdp import MDP
from mdpkit.models.rewards import Reward
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Bools, Floats, Ints

__all__ = ["Valuation", "read", "write"]

INITIAL, DEADLOCK = "init", "deadlock"
PACKINGS = ("", ".gz", ".xz")

_RATIONAL = "write the probabilities as p/q"
_ROW = "correct the row, or write its decimals with an exponent (1e-1) if they are rounded"
_EXPORT = "export the model again"
_REFUSED = (
    "CTMC",
    "CTMDP",
    "MA",
    "LTS",
    "POMDP",
    "POPTA",
    "PTA",
    "STPG",
    "SMG",
    "CSG",
    "TSG",
    "IDTMC",
    "IMDP",
    "IPOMDP",
)
_READ = "PRISM files of MDPs and DTMCs are read"
_TITLES = {
    ".tra": "Transitions",
    ".sta": "States",
    ".lab": "Labels",
    ".srew": "State rewards",
    ".trew": "Transition rewards",
}
_STRUCTURE = re.compile(r'# Reward structure(?: "([^"]*)")?')
_DECLARED = re.compile(r'[ \t]*([0-9]+)="([^"]*)"(?=[ \t]|$)')
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_BLANK = " \t\r\f\v"


class Valuation(tuple[Any, ...]):
    """The name of a state: the values of its variables, a tuple that knows their names.

    Parameters
    ----------
    values : iterable of int or bool
    variables : sequence of str, optional
        Their names; ``x0``, ``x1`` … by default.

    Examples
    --------
    >>> name = Valuation((7, True), ("s", "done"))
    >>> name == (7, True), str(name)
    (True, 's=7, done=true')
    """

    variables: tuple[str, ...]

    def __new__(cls, values: Iterable[int | bool], variables: Sequence[str] | None = None) -> Valuation:
        """Make the tuple."""
        self = super().__new__(cls, values)
        self.variables = tuple(f"x{k}" for k in range(len(self))) if variables is None else tuple(variables)
        return self

    def __str__(self) -> str:
        return ", ".join(f"{name}={_value_text(value)}" for name, value in zip(self.variables, self, strict=True))


# -------------------------------------------------------------------------------------------------------------- files


class _Files:
    """The files of one model: which exist, and which names others would have."""

    def __init__(self, path: Path):
        self.path = path
        self.packing = next(p for p in reversed(PACKINGS) if path.name.lower().endswith(p))
        name = path.name[: len(path.name) - len(self.packing)]
        self.stem = name[:-4] if name.lower().endswith(".tra") else name

    def named(self, number: int | None, ending: str, packing: str | None = None) -> Path:
        """The name of one of the files."""
        text = "" if number is None else str(number)
        return self.path.with_name(f"{self.stem}{text}{ending}{self.packing if packing is None else packing}")

    def one(self, number: int | None, ending: str) -> Path | None:
        """The file that exists under one of the packings, packed as the first file is if there are several."""
        packings = (self.packing, *(p for p in PACKINGS if p != self.packing))
        names = [self.named(number, ending, packing) for packing in packings]
        return next((name for name in names if os.path.lexists(name)), None)

    def all(self) -> list[Path]:
        """Every file beside the first that belongs to it."""
        found = [self.named(None, ending, packing) for ending in (".sta", ".lab") for packing in PACKINGS]
        for number in [None, *self.numbers()]:
            found += [self.named(number, ending, packing) for ending in (".srew", ".trew") for packing in PACKINGS]
        return [path for path in found if os.path.lexists(path)]

    def warn_of_old_names(self) -> None:
        """Rewards under the endings of PRISM's older manuals are not read, which should not go unnoticed."""
        for old, new in ((".rews", ".srew"), (".rewt", ".trew")):
            for k in (None, 1):
                path = self.named(k, old)
                if path.exists() and self.one(k, new) is None:
                    what = f"{path} is not read: rename it to {self.named(k, new).name}, as PRISM calls it now"
                    warnings.warn(what, ModelWarning, stacklevel=4)

    def numbers(self) -> list[int]:
        """The numbers of reward files, without those that belong to a model of a longer name."""
        pattern = re.compile(re.escape(self.stem) + r"([1-9][0-9]{0,8})\.[st]rew(\.gz|\.xz)?")
        try:
            names = os.listdir(self.path.parent)
        except OSError:
            return []
        numbers = {int(match[1]) for name in names if (match := pattern.fullmatch(name))}
        return sorted(k for k in numbers if self.one(k, ".tra") is None)


class _Text:
    """One file: its bytes, the comments at its head, and errors that name it."""

    def __init__(self, path: Path, ending: str):
        self.path = path
        packing = next(p for p in reversed(PACKINGS) if path.name.lower().endswith(p))
        data = contents(path, f"a {ending} file", packing)
        decoded(path, data)
        self.data = data.removeprefix(b"\xef\xbb\xbf")
        if not self.data.strip():
            raise ParseError("the file is empty", path=path, line=1, needed=f"a {ending} file", way_out=_EXPORT)
        self.comments: list[tuple[int, str]] = []
        at = 0
        for number in range(1, 1000):
            end = self.data.find(b"\n", at)
            line = self.data[at : len(self.data) if end < 0 else end].strip()
            if line.startswith(b"#"):
                self.comments.append((number, line.decode()))
            elif line or end < 0:
                break
            at = end + 1
        for number, comment in self.comments:
            for other, title in _TITLES.items():
                if re.fullmatch(rf"# {title}( \([^)]*\))?", comment) and other != ending:
                    self.fail(LineError(f"{title.lower()} in a {ending} file", shown(comment)), number)

    def fail(self, fault: LineError, line: int) -> NoReturn:
        fail(self.path, fault, line)

    def last(self) -> int:
        """The number of the last line that is not blank."""
        return self.data.rstrip().count(b"\n") + 1

    def lines(self) -> list[tuple[int, str]]:
        """The lines that are neither blank nor comments, with their numbers."""
        lines = enumerate(self.data.decode().split("\n"), 1)
        return [(n, text) for n, line in lines if (text := line.strip(_BLANK)) and not text.startswith("#")]


# ------------------------------------------------------------------------------------------------------------ reading


def read(path: str | os.PathLike[str], *, fix_deadlocks: bool = False) -> MDP:
    """Read a model from its ``.tra`` file (``.tra.gz``, ``.tra.xz``) and the files of the same stem beside it.

    Parameters
    ----------
    path : path-like
    fix_deadlocks : bool
        Give each state without transitions a loop and, unless the labels file has it, the label ``deadlock``.

    Returns
    -------
    MDP
        Without criterion; an only reward structure is the active one.

    Raises
    ------
    ParseError
        A file is missing, damaged or malformed, or two do not fit together: names file and line.
    SizeError
        A file unpacks to more than fits in memory.
    UnsupportedError
        CTMC, POMDP, interval model or another that is neither MDP nor DTMC.

    Source: PRISM, ``PrismExplicitImporter`` and ``PrismExplicitExporter``.
    """
    files = _Files(Path(path))
    files.warn_of_old_names()
    model = _Transitions(_Text(files.path, ".tra"), fix_deadlocks)
    P, rows = model.P, model.rows
    labels, initial = model.labels(files.one(None, ".lab"))
    rewards = {name: model.reward(srew, trew) for name, srew, trew in _structures(files)}
    states = files.one(None, ".sta")
    return MDP(
        P,
        state=rows.state,
        action=rows.action,
        rho=initial,
        labels=labels,
        rewards=rewards,
        state_names=None if states is None else _valuations(_Text(states, ".sta"), model.n_states),
        pair_names=model.pair_names,
    )


class _Transitions:
    """The ``.tra`` file: the law, and what the other files refer to."""

    def __init__(self, text: _Text, fix_deadlocks: bool):
        self.text = text
        self.pair_names: list[str] = []
        self.table, self.lines = _table(text)
        try:
            self._read(fix_deadlocks)
        except RowError as error:
            text.fail(error.fault, int(self.lines[error.row]))

    def _read(self, fix_deadlocks: bool) -> None:
        table, text = self.table, self.text
        self.mdp, counts = self._header()
        S, _, T = counts
        self.n_states = S
        top = int(self.lines[0])
        body = np.arange(1, len(table))
        starts: set[int] = set()
        if len(body) and (marked := table.equals(body, 0, "-")).any():
            starts = self._initial(body[marked])
            body = body[~marked]
        self.starts = starts
        width = 4 if self.mdp else 3
        count = table.count[body]
        if len(odd := np.flatnonzero((count < width) | (count > width + 1))):
            self._bad_width(int(body[odd[0]]), width)
        if len(body) != T:
            line = int(self.lines[body[T]]) if len(body) > T else top
            what = "more" if len(body) > T else "fewer"
            text.fail(LineError(f"{what} transitions than declared", len(body), f"{T}, as line {top} says"), line)
        if not T:
            text.fail(LineError("a model without transitions", needed="at least one for each state"), top)
        source = table.naturals(body, 0, "state", S)
        action = table.naturals(body, 1, "choice") if self.mdp else np.zeros(T, dtype=np.int64)
        target = table.naturals(body, width - 2, "target state", S)
        column = Column(table.texts(body, width - 1), body)
        named, names = self._names(body, count > width, width)
        self._deadlocks = self._without(source, S, fix_deadlocks, top)
        ids = column.ids
        if n := len(self._deadlocks):
            source, target = np.append(source, self._deadlocks), np.append(target, self._deadlocks)
            action, named = np.append(action, np.zeros(n, dtype=np.int64)), np.append(named, np.full(n, -1))
            body = np.append(body, np.zeros(n, dtype=np.int64))
            ids = np.append(ids, np.full(n, len(column.words)))
            column.words.append(b"1")
        self.body = body
        rows = self.rows = sorted_rows(source, action, target)
        self._check(rows, counts, top)
        self._law(column, ids[rows.order])
        self._name(named[rows.order], names)

    def _header(self) -> tuple[bool, tuple[int, int, int]]:
        text, words = self.text, self.table.words(0) if len(self.table) else []
        for number, comment in text.comments:
            match = re.fullmatch(r"# Transitions \(([^)]*)\)", comment)
            if match and match[1].upper() in _REFUSED:
                text.fail(LineError(f"models of type {match[1]} are not supported; {_READ}", refused=True), number)
            if match and match[1] not in ("MDP", "DTMC"):
                text.fail(LineError("unknown model type", shown(match[1]), "MDP or DTMC"), number)
        if not words:
            text.fail(LineError("no header", needed="the numbers of states, choices and transitions"), 1)
        line = int(self.lines[0])
        counts = [natural(word) for word in words]
        if len(counts) == 4 and None not in counts and counts[0]:
            what = "four counts, the last of observations: partially observable models are not supported"
            text.fail(LineError(f"{what}; {_READ}", refused=True), line)
        if len(counts) not in (2, 3) or None in counts:
            way_out = None
            if words[0].lower() in ("mdp", "dtmc", "ctmc", "ma", "states"):
                way_out = "this is the format of MRMC or of Storm's older readers; export PRISM's format, or DRN"
            needed = "S L T (an MDP's states, choices, transitions) or S T (a DTMC's)"
            text.fail(LineError("not a header", shown(" ".join(words)), needed, way_out), line)
        S, *L, T = cast(list[int], counts)
        mdp = bool(L)
        types = {m[1] for _, c in text.comments if (m := re.fullmatch(r"# Transitions \(([^)]*)\)", c))}
        if types and types != {"MDP" if mdp else "DTMC"}:
            found = f"{len(counts)} counts under {' and '.join(sorted(types))}"
            text.fail(LineError("the header does not fit the type of the model", found, "3 for MDP, 2 for DTMC"), line)
        if S == 0:
            text.fail(LineError("a model without states", 0, "at least one state"), line)
        return mdp, (S, L[0] if L else S, T)

    def _initial(self, rows: Ints) -> set[int]:
        """Initial states, which PRISM can write as ``- - state -`` (``- state -`` in DTMCs)."""
        k = 2 if self.mdp else 1
        for row in rows.tolist():
            words = self.table.words(row)
            if len(words) != k + 2 or set(words[:k]) != {"-"} or words[k + 1] != "-":
                self._fail("not an initial state", " ".join(words), "- - state -" if self.mdp else "- state -", row)
        return set(self.table.naturals(rows, k, "initial state", self.n_states).tolist())

    def _fail(self, what: str, found: str, needed: str, row: int, way_out: str | None = None) -> NoReturn:
        self.text.fail(LineError(what, shown(found), needed, way_out), int(self.lines[row]))

    def _bad_width(self, row: int, width: int) -> NoReturn:
        words = self.table.words(row)
        way_out = None
        if len(words) == 3 and self.mdp:
            way_out = "the header has three counts, an MDP's; transition systems without probabilities are not read"
        elif len(words) == 5 and not self.mdp:
            way_out = "the header has two counts, a DTMC's; an MDP's are S L T"
        needed = "state choice target probability [action]" if self.mdp else "state target probability [action]"
        few = len(words) < width
        self._fail(f"too {'few' if few else 'many'} entries for a transition", " ".join(words), needed, row, way_out)

    def _names(self, body: Ints, named: Bools, width: int) -> tuple[Ints, list[bytes]]:
        """The action of each transition as an index into names, or -1."""
        ids = np.full(len(body), -1)
        if not named.any():
            return ids, []
        column = Column(self.table.texts(body[named], width), body[named])
        ids[named] = column.ids
        return ids, column.words

    def _without(self, source: Ints, S: int, fix: bool, top: int) -> Ints:
        """The states without transitions, if they are to be fixed."""
        present = np.unique(source)
        if len(present) == S:
            return np.empty(0, dtype=np.int64)
        if not fix:
            gap = np.flatnonzero(present != np.arange(len(present)))
            state = int(gap[0]) if len(gap) else len(present)
            more = f" (and {S - len(present) - 1} more states)" if S - len(present) > 1 else ""
            way_out = "export with deadlocks fixed (PRISM's -fixdl), or read(path, fix_deadlocks=True) for loops"
            self.text.fail(
                LineError(f"state {state} of {S} has no transition{more}", "a deadlock", way_out=way_out), top
            )
        if S * 64 > physical_memory() or S >= 2**32:
            raise SizeError(f"{self.text.path}: line {top}: a model too large to hold", found=f"{S} states")
        return np.setdiff1d(np.arange(S), present, assume_unique=True)

    def _check(self, rows: Rows, counts: tuple[int, int, int], top: int) -> None:
        """No transition twice, and choices from 0 in each state."""
        S, L, _ = counts
        twins = rows.twins()
        if len(twins):
            k = int(twins[np.argmin(rows.order[twins])])
            pair = int(rows.pair_of[k])
            first, second = (int(self.body[rows.order[j]]) for j in (k - 1, k))
            choice = f", choice {int(rows.action[pair])}" if self.mdp else ""
            what = f"duplicate transition of state {int(rows.state[pair])}{choice} to state {int(rows.target[k])}"
            fault = LineError(f"{what} (first on line {int(self.lines[first])})", way_out="add the two probabilities")
            raise RowError(second, fault)
        self.pair_ptr = np.searchsorted(rows.state, np.arange(S + 1))
        rank = np.arange(len(rows.state)) - self.pair_ptr[rows.state]
        gap = np.flatnonzero(rank != rows.action)
        if len(gap):
            pair = int(gap[0])
            what = f"state {int(rows.state[pair])} has choice {int(rows.action[pair])} but no choice {int(rank[pair])}"
            line = int(self.lines[self.body[rows.order[rows.indptr[pair] : rows.indptr[pair + 1]]].min()])
            self.text.fail(LineError(what, needed="the choices of a state numbered from 0 without gaps"), line)
        if self.mdp and len(rows.state) - len(self._deadlocks) != L:
            found = f"{len(rows.state) - len(self._deadlocks)} choices"
            self.text.fail(LineError("another number of choices than declared", found, f"{L} by the header"), top)

    def _law(self, column: Column, ids: Ints) -> None:
        rows = self.rows
        for k, word in enumerate(column.words) if column.has(b"[") or column.has(b"(") else ():
            if word[:1] in (b"[", b"("):
                what = f"probability is an interval {shown(word.decode())}; interval models are not supported; {_READ}"
                raise column.error(k, LineError(what, refused=True))
        self.exact = column.has(b"/")
        values, floats = self._probabilities(column)
        if not self.exact and not (column.has(b"e") or column.has(b"E")):
            self.exact = exact_decimals(rows, column, ids, floats)
            if self.exact:
                values, floats = column.probabilities(True, _RATIONAL)
        try:
            self.P, self.kept = transitions_of(rows, ids, values, floats, self.exact, self.n_states, _ROW)
        except RowError as error:
            pair = error.row
            listed = np.sort(self.body[rows.order[rows.indptr[pair] : rows.indptr[pair + 1]]])
            choice = f", choice {int(rows.action[pair])}" if self.mdp else ""
            error.fault.what = f"the {error.fault.what.replace(' do', f' of state {int(rows.state[pair])}{choice} do')}"
            raise RowError(int(listed[0]), error.fault) from None

    def _probabilities(self, column: Column) -> tuple[list[Number], Floats]:
        try:
            return column.probabilities(self.exact, _RATIONAL)
        except RowError as error:
            if not self.mdp and error.fault.what == "probability is greater than 1":
                error.fault.way_out = "rates, of a CTMC, are not read"
            raise

    def _name(self, named: Ints, names: list[bytes]) -> None:
        """The action of each choice; in PRISM a DTMC's transitions may bear different ones, which are no name."""
        rows = self.rows
        first = named[rows.indptr[:-1]]
        differs = named != first[rows.pair_of]
        if differs.any() and self.mdp:
            k = int(np.argmax(differs))
            pair = int(rows.pair_of[k])
            texts = [names[j].decode() if j >= 0 else "none" for j in (int(named[k]), int(first[pair]))]
            what = f"choice {int(rows.action[pair])} of state {int(rows.state[pair])} has two action names"
            self._fail(what, f"{texts[1]}, {texts[0]}", "one for all its transitions", int(self.body[rows.order[k]]))
        first[rows.pair_of[differs]] = -1
        texts = [name.decode() for name in names]
        self.pair_names = [
            texts[k] if k >= 0 else str(a) for k, a in zip(first.tolist(), rows.action.tolist(), strict=True)
        ]

    # the other files

    def labels(self, path: Path | None) -> tuple[dict[str, Bools], int | None]:
        """Labels, and the initial state if there is one."""
        S = self.n_states
        labels: dict[str, Bools] = {}
        starts = np.array(sorted(self.starts), dtype=np.int64)
        if path is None:
            if not self.starts:
                starts = np.zeros(1, dtype=np.int64)
            labels[INITIAL] = _mask(starts, S)
        else:
            text = _Text(path, ".lab")
            labels = _labels(text, S)
            given = np.flatnonzero(labels.get(INITIAL, np.empty(0)))
            if self.starts and not np.array_equal(given, starts):
                found, needed = ", ".join(map(str, given.tolist())) or "none", ", ".join(map(str, starts.tolist()))
                text.fail(LineError("other initial states than in the transitions file", found, needed), text.last())
            starts = given
        if len(self._deadlocks) and DEADLOCK not in labels:
            labels[DEADLOCK] = _mask(self._deadlocks, S)
        return labels, int(starts[0]) if len(starts) == 1 else None

    def reward(self, srew: Path | None, trew: Path | None) -> Reward:
        """A reward structure from the rewards of states, of transitions, or both."""
        states = None if srew is None else self._state_rewards(_Text(srew, ".srew"))
        entries = None if trew is None else self._transition_rewards(_Text(trew, ".trew"))
        if entries is not None:
            entries = entries[0][self.kept], entries[1]
        try:
            return reward_of(self.P, self.rows.state, self.rows.action, entries, states, self.exact)
        except LineError as fault:
            self.text.fail(fault, int(self.lines[0]))

    def _state_rewards(self, text: _Text) -> tuple[Ints, list[Number]]:
        table = Table(text.data)
        try:
            body = _counted(text, table, table.line, (self.n_states,), "state reward")
            state = table.naturals(body, 0, "state", self.n_states)
            return self._placed(text, table, table.line, body, state, 1, self.n_states, "state")
        except RowError as error:
            text.fail(error.fault, int(table.line[error.row]))

    def _transition_rewards(self, text: _Text) -> tuple[Ints, list[Number]]:
        rows = self.rows
        table, lines = _table(text, self.mdp)
        try:
            sizes = (self.n_states, len(rows.state) - len(self._deadlocks)) if self.mdp else (self.n_states,)
            body = _counted(text, table, lines, sizes, "transition reward")
            state = table.naturals(body, 0, "state", self.n_states)
            choice = table.naturals(body, 1, "choice") if self.mdp else np.zeros(len(body), dtype=np.int64)
            target = table.naturals(body, 2 if self.mdp else 1, "target state", self.n_states)
            pair = self.pair_ptr[state] + choice
            known = pair < self.pair_ptr[state + 1]
            keys = rows.pair_of * self.n_states + rows.target
            key = np.where(known, pair, 0) * self.n_states + target
            at = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
            known &= keys[at] == key
            if not known.all():
                row = int(body[np.argmin(known)])
                fault = LineError("a reward of a transition that is none", shown(" ".join(table.words(row))))
                raise RowError(row, fault)
            return self._placed(text, table, lines, body, at, 3 if self.mdp else 2, len(keys), "transition")
        except RowError as error:
            text.fail(error.fault, int(lines[error.row]))

    def _placed(
        self, text: _Text, table: Table, lines: Ints, body: Ints, at: Ints, k: int, n: int, what: str
    ) -> tuple[Ints, list[Number]]:
        """Numbers put in their n places; zero where none is given."""
        column = Column(table.texts(body, k), body)
        values = column.rewards(self.exact)
        order = np.argsort(at, kind="stable")
        again = np.flatnonzero(at[order][1:] == at[order][:-1])
        if len(again):
            j = int(again[np.argmin(order[again + 1])])
            first = int(lines[body[order[j]]])
            raise RowError(int(body[order[j + 1]]), LineError(f"a second reward of a {what} (first on line {first})"))
        ids = np.zeros(n, dtype=np.int64)
        ids[at] = column.ids + 1
        return ids, [Fraction(0) if self.exact else 0.0, *values]


def _table(text: _Text, mdp: bool | None = None) -> tuple[Table, Ints]:
    """The words of a file, a row for each transition, and their lines; ``mdp`` is known in files of rewards."""
    table = Table(text.data)
    body = np.arange(1, len(table))
    long = body[table.count[body] > 1]
    rolled = b":" in text.data and any(b":" in word for word in table.texts(long, 1))
    if rolled or (mdp is not None and len(body) and not len(long)):
        return _unrolled(text, mdp)
    return table, table.line


def _counted(text: _Text, table: Table, lines: Ints, sizes: tuple[int, ...], what: str) -> Ints:
    """The rows below a header of the sizes of the model and the number of rows."""
    names = "S" if what == "state reward" else "S n" if len(sizes) == 1 else "S L n"
    names = "S n" if what == "state reward" else names
    if not len(table):
        text.fail(LineError("no header", needed=names), 1)
    words = table.words(0)
    counts = [natural(word) for word in words]
    top = int(lines[0])
    if len(counts) != len(sizes) + 1 or None in counts:
        text.fail(
            LineError("not a header", shown(" ".join(words)), f"{names}: sizes of the model, then of the file"), top
        )
    if tuple(counts[:-1]) != sizes:
        found, needed = " ".join(words[:-1]), " ".join(map(str, sizes)) + ", as in the transitions file"
        text.fail(LineError("rewards of a model of other size", found, needed), top)
    body = np.arange(1, len(table))
    width = len(sizes) + 2 if what == "transition reward" else 2
    odd = np.flatnonzero(table.count[body] != width)
    if len(odd):
        row = int(body[odd[0]])
        few = "few" if int(table.count[row]) < width else "many"
        needed = {2: "state reward", 3: "state target reward", 4: "state choice target reward"}[width]
        raise RowError(row, LineError(f"too {few} entries for a {what}", shown(" ".join(table.words(row))), needed))
    if len(body) != counts[-1]:
        line = int(lines[body[cast(int, counts[-1])]]) if len(body) > cast(int, counts[-1]) else top
        few = "more" if len(body) > cast(int, counts[-1]) else "fewer"
        text.fail(LineError(f"{few} rewards than declared", len(body), f"{counts[-1]}, as line {top} says"), line)
    return body


def _unrolled(text: _Text, mdp: bool | None = None) -> tuple[Table, Ints]:
    """A file of rows ``state value:target value:target [action]`` with a line for each transition."""
    out: list[bytes] = []
    lines: list[int] = []
    last, choice = b"", -1
    for number, line in enumerate(text.data.split(b"\n"), 1):
        words = line.split()
        if not words or words[0].startswith(b"#"):
            continue
        if not out:
            mdp = len(words) == 3 if mdp is None else mdp
            out.append(line)
            lines.append(number)
            continue
        choice = choice + 1 if words[0] == last else 0
        last = words[0]
        head = [words[0], str(choice).encode()] if mdp else [words[0]]
        pairs = [word for word in words[1:] if b":" in word]
        tail = words[1 + len(pairs) :]
        if len(tail) > 1 or words[1 : 1 + len(pairs)] != pairs:
            fault = LineError("not a row", shown(line.decode().strip()), "state value:target … [action]")
            text.fail(fault, number)
        if not mdp and choice:
            text.fail(LineError(f"a second row of state {shown(last.decode())}", needed="one in a DTMC"), number)
        for pair in pairs:
            value, _, target = pair.partition(b":")
            if not value or not target:
                text.fail(LineError("not a transition", shown(pair.decode()), "value:target"), number)
            out.append(b" ".join([*head, target, value, *tail]))
            lines.append(number)
    return Table(b"\n".join(out)), np.array(lines, dtype=np.int64)


def _mask(states: Ints, n: int) -> Bools:
    mask = np.zeros(n, dtype=bool)
    mask[states] = True
    return mask


def _labels(text: _Text, S: int) -> dict[str, Bools]:
    """The labels of a ``.lab`` file: declarations ``0="init" 1="goal"``, then ``state: index index``."""
    for number, comment in text.comments:
        if comment.startswith("#DECLARATION"):
            way_out = "this is the format of MRMC or of Storm's older readers; export PRISM's"
            text.fail(LineError("not a labels file of PRISM", shown(comment), '0="init" 1="goal" …', way_out), number)
    lines = text.lines()
    if not lines:
        if any(comment == "# Labels" for _, comment in text.comments):
            return {}
        text.fail(LineError("no labels are declared", needed='0="init" 1="goal" …'), 1)
    number, line = lines[0]
    names: dict[int, str] = {}
    at = 0
    while at < len(line):
        match = _DECLARED.match(line, at)
        if match is None:
            text.fail(LineError("not a declaration of labels", shown(line[at:]), 'index="label"'), number)
        index = int(match[1][:19])
        if index in names or len(match[1]) > 18:
            what = f"label index {index} is declared twice" if index in names else "label index is too large"
            text.fail(LineError(what, match[1][:40], "distinct numbers below 10**18"), number)
        if not match[2] or match[2] in names.values():
            what = f"label {match[2]!r} is declared twice" if match[2] else "empty label"
            text.fail(LineError(what, needed="distinct names"), number)
        names[index] = match[2]
        at = match.end()
    members: dict[int, list[int]] = {index: [] for index in names}
    known: dict[str, list[int]] = {}
    for number, line in lines[1:]:
        word, colon, rest = line.partition(":")
        state = natural(word.strip(_BLANK))
        if not colon or state is None:
            text.fail(LineError("not a line of labels", shown(line), "state: index index …"), number)
        if state >= S:
            text.fail(LineError("state out of range", word.strip(_BLANK)[:40], f"a state from 0 to {S - 1}"), number)
        indices = known.get(rest)
        if indices is None:
            indices = known[rest] = []
            for word in rest.split():
                index = natural(word)
                if index is None or index not in names:
                    needed = f"one of {', '.join(map(str, list(names)[:20]))}"
                    text.fail(LineError("not the index of a label", shown(word), needed), number)
                indices.append(index)
            if not indices:
                text.fail(LineError("a state without labels", shown(line), "state: index index …"), number)
        for index in indices:
            members[index].append(state)
    return {name: _mask(np.array(members[index], dtype=np.int64), S) for index, name in names.items()}


def _valuations(text: _Text, S: int) -> list[Valuation]:
    """The names of the states in a ``.sta`` file: variables ``(s,d)``, then ``state:(value,value)``."""
    lines = text.lines()
    if not lines:
        text.fail(LineError("no variables are declared", needed="(s,d)"), 1)
    number, line = lines[0]
    if line[0] != "(" or line[-1] != ")":
        text.fail(LineError("not a declaration of variables", shown(line), "(s,d)"), number)
    variables = tuple(name.strip(_BLANK) for name in line[1:-1].split(","))
    if not all(variables) or len(set(variables)) != len(variables):
        text.fail(LineError("variables without a name of their own", shown(line), "distinct names"), number)
    names: dict[int, Valuation] = {}
    known: dict[str, int | bool] = {"true": True, "false": False}
    for number, line in lines[1:]:
        word, _, rest = line.partition(":")
        rest = rest.strip(_BLANK)
        state = natural(word.strip(_BLANK))
        if state is None or rest[:1] != "(" or rest[-1:] != ")":
            text.fail(LineError("not a line of values", shown(line), "state:(value,value)"), number)
        if state >= S:
            text.fail(LineError("state out of range", word.strip(_BLANK)[:40], f"a state from 0 to {S - 1}"), number)
        if state in names:
            text.fail(LineError(f"state {state} is listed twice", needed="each state once"), number)
        words = rest[1:-1].split(",")
        if len(words) != len(variables):
            found, needed = f"{len(words)} values", f"{len(variables)}, one for each of {', '.join(variables)}"
            text.fail(LineError("wrong number of values", found, needed), number)
        for word in words:
            if word not in known:
                value = word.strip(_BLANK)
                if value not in known and not _INTEGER.fullmatch(value):
                    text.fail(LineError("not a value", shown(word), "an integer, true or false"), number)
                known[word] = known[value] if value in known else int(value)
        names[state] = Valuation((known[word] for word in words), variables)
    if len(names) < S:
        state = next(s for s in range(S) if s not in names)
        fault = LineError("fewer states than in the transitions file", f"{len(names)}, without {state}", f"{S}")
        text.fail(fault, text.last())
    return [names[s] for s in range(S)]


def _structures(files: _Files) -> list[tuple[str, Path | None, Path | None]]:
    """Name and files of each reward structure, in the order of their numbers."""
    numbers: list[int | None] = [*files.numbers()]
    alone = files.one(None, ".srew") or files.one(None, ".trew")
    if alone is not None:
        if numbers:
            other = files.one(numbers[0], ".srew") or files.one(numbers[0], ".trew")
            raise ParseError(
                "rewards with and without a number",
                path=alone,
                line=1,
                found=f"{other} beside it",
                way_out="remove the files of another export",
            )
        numbers = [None]
    found: list[tuple[int | None, str | None, Path | None, Path | None]] = []
    for k in numbers:
        pair = files.one(k, ".srew"), files.one(k, ".trew")
        heads = [_structure(_Text(path, ending)) for path, ending in zip(pair, (".srew", ".trew"), strict=True) if path]
        names = [name for name in heads if name is not None]  # PRISM heads files in rows with no name
        if len(set(names)) > 1:
            raise ParseError(
                "the rewards of states and of transitions bear different names",
                path=pair[1],
                line=1,
                found=", ".join(map(repr, names)),
                needed=f"the name in {pair[0]}",
            )
        found.append((k, names[0] if names else None, *pair))
    unnamed = sum(1 for _, name, _, _ in found if not name)
    out: list[tuple[str, Path | None, Path | None]] = []
    for k, name, srew, trew in found:
        text = str(k) if not name and unnamed > 1 else name or ""
        if any(text == other for other, _, _ in out):
            raise ParseError(
                f"two reward structures bear the name {text!r}", path=srew or trew, line=1, needed="distinct names"
            )
        out.append((text, srew, trew))
    return out


def _structure(text: _Text) -> str | None:
    """The name in the comments at the head of a file of rewards."""
    names = [(n, m[1]) for n, comment in text.comments if (m := _STRUCTURE.fullmatch(comment))]
    if len(names) > 1:
        text.fail(LineError("a second reward structure", needed="one in a file"), names[1][0])
    return names[0][1] if names else None


# ------------------------------------------------------------------------------------------------------------ writing


def write(mdp: MDP, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write a model to ``path``, which ends in ``.tra`` (``.tra.gz``, ``.tra.xz``), and files of its stem beside it.

    All files appear together, or none. Rational where the transitions are (rewards that are floats are then written by
    their bits), else floats that read back bit for bit.

    Parameters
    ----------
    mdp : MDP
    path : path-like
    overwrite : bool
        Whether existing files of the model are replaced; those that the new model does not need are removed.

    Raises
    ------
    OutputExistsError
        One of the files, or one that would be taken for part of the model, exists and ``overwrite`` is false.
    OptionError
        The folder does not exist, or a path is a folder.
    UnsupportedError
        Laws or rewards vary with the stage, the initial law is spread over several states, or the rows of a model made by
        ``.exact(dyadic=True)`` do not sum to exactly one.
    ModelError
        A name or label cannot be written.
    """
    import gzip
    import lzma

    files = _Files(Path(path))
    texts = {name: "\n".join([*lines, ""]) for name, lines in _written(mdp, files).items()}
    stale = [path for path in files.all() if path not in texts]
    with atomic_group(texts, overwrite, stale) as handles:
        for name, text in texts.items():
            try:
                data = text.encode("utf-8")
            except UnicodeEncodeError as error:
                raise ModelError("a name or label is not text that UTF-8 can encode", found=error.reason) from None
            if files.packing == ".gz":
                data = gzip.compress(data, mtime=0)
            elif files.packing == ".xz":
                data = lzma.compress(data)
            handles[name].write(data)


def _written(mdp: MDP, files: _Files) -> dict[Path, list[str]]:
    """The lines of each file."""
    from mdpkit.io.drn_model import check_flat

    labels = check_flat(mdp, "PRISM's format")
    P, S, L = mdp.P, mdp.n_states, mdp.n_pairs
    rational = P.exact is not None
    texts_of = fraction_texts() if rational else float_texts
    texts = texts_of(P.data if P.exact is None else P.exact)
    if not rational and not any("e" in text for text in texts):
        texts[0] += "e0"  # a decimal would be read as the rational it is
    rank: Ints = np.arange(L) - mdp.pair_ptr[mdp.state]
    row = P.row_of
    heads = _heads(mdp, row, rank)
    tails = _tails(mdp, rank)
    header = f"{S} {P.nnz}" if L == S else f"{S} {L} {P.nnz}"
    out = {
        files.path: [header, *(f"{h} {p}{tails[k]}" for h, p, k in zip(heads, texts, row.tolist(), strict=True))],
        files.named(None, ".lab"): _label_lines(labels, S),
    }
    names = _name_lines(mdp.state_names)
    if names is not None:
        out[files.named(None, ".sta")] = names
    for k, (name, reward) in enumerate(mdp.rewards.items(), 1):
        if re.search(r'["\r\n]', name):
            raise ModelError(f"reward name {name!r} cannot be written", needed="a name without quotes and line breaks")
        number = k if len(mdp.rewards) > 1 else None
        title = f'# Reward structure "{name}"' if name else "# Reward structure"
        ending, lines = _reward_lines(mdp, reward, heads, header.rsplit(" ", 1)[0])
        out[files.named(number, ending)] = [title, f"# {_TITLES[ending]}", *lines]
    return out


def _heads(mdp: MDP, row: Ints, rank: Ints) -> list[str]:
    """``state choice target`` of each transition, without the choice in DTMCs."""
    source, target = mdp.state[row].tolist(), mdp.P.indices.tolist()
    if mdp.n_pairs == mdp.n_states:
        return [f"{s} {t}" for s, t in zip(source, target, strict=True)]
    return [f"{s} {a} {t}" for s, a, t in zip(source, rank[row].tolist(), target, strict=True)]


def _tails(mdp: MDP, rank: Ints) -> list[str]:
    """The name of each pair's action after a blank, or nothing where it is the number of the choice."""
    names: Sequence[Any] = mdp.pair_names if mdp.pair_names is not None else mdp.action.tolist()
    tails: list[str] = []
    for name, k in zip(map(str, names), rank.tolist(), strict=True):
        if not name or re.search(r"\s", name):
            raise ModelError(f"action name {name!r} cannot be written", needed="a name without blanks, not empty")
        tails.append("" if name == str(k) else f" {name}")
    return tails


def _label_lines(labels: dict[str, Bools], S: int) -> list[str]:
    for label in labels:
        if not label or re.search(r'["\r\n]', label):
            raise ModelError(
                f"label {label!r} cannot be written", needed="a label without quotes and line breaks, not empty"
            )
    if not labels:
        return ["# Labels"]
    words = [""] * S
    for k, states in enumerate(labels.values()):
        for s in np.flatnonzero(states).tolist():
            words[s] += f" {k}"
    declared = " ".join(f'{k}="{label}"' for k, label in enumerate(labels))
    return [declared, *(f"{s}:{word}" for s, word in enumerate(words) if word)]


def _name_lines(names: tuple[Any, ...] | None) -> list[str] | None:
    """A ``.sta`` file of names that are valuations, or None."""
    if not names or not all(isinstance(name, tuple) for name in names):
        return None
    tuples = cast("tuple[tuple[Any, ...], ...]", names)
    n = len(tuples[0])
    if not n:
        return None
    if not all(len(name) == n and all(map(_is_value, name)) for name in tuples):
        return None
    first = tuples[0]
    variables = first.variables if isinstance(first, Valuation) else Valuation(first).variables
    if not all(re.fullmatch(r"[^\s(),#:]+", name) for name in variables) or len(set(variables)) < n:
        raise ModelError("names of variables cannot be written", found=repr(variables), needed="distinct identifiers")
    lines = [f"{s}:({','.join(map(_value_text, name))})" for s, name in enumerate(tuples)]
    return [f"({','.join(variables)})", *lines]


def _is_value(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return True
    return isinstance(value, (int, np.integer)) and abs(int(cast(Any, value))) < 10**18


def _value_text(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    return str(value)


def _reward_lines(mdp: MDP, reward: Reward, heads: list[str], sizes: str) -> tuple[str, list[str]]:
    """The ending of a structure's file and its lines: rewards of states where they do not depend on the action."""
    P: Transitions = mdp.P
    rational = P.exact is not None
    texts_of = fraction_texts() if rational else float_texts

    def numbers(values: Floats, exact: Array | None) -> Array:
        if not rational:
            return values
        return dyadic_array(values) if exact is None else exact

    if reward.transition is None:
        values = numbers(reward.values, reward.exact)
        first = mdp.pair_ptr[:-1]
        bits: Array = values if rational else values.view(np.int64)  # -0.0 is not 0.0
        if np.all(bits == bits[first][mdp.state]):
            texts = texts_of(values[first])
            lines = [f"{s} {text}" for s, text in enumerate(texts) if _is_listed(text)]
            return ".srew", [f"{mdp.n_states} {len(lines)}", *lines]
        of_pair: list[str] = texts_of(values)
        pairs: list[int] = P.row_of.tolist()
        texts = [of_pair[k] for k in pairs]
    else:
        texts = texts_of(numbers(reward.transition, reward.transition_exact))
    lines = [f"{head} {text}" for head, text in zip(heads, texts, strict=True) if _is_listed(text)]
    return ".trew", [f"{sizes} {len(lines)}", *lines]


def _is_listed(text: str) -> bool:
    return text not in ("0", "0.0")
