r"""Storm's explicit text format DRN, read into plain arrays and written back.

The format is the one that Storm's ``DirectEncodingParser`` accepts and its exporter writes: a header of ``@`` keys,
then ``state``, ``action`` and ``destination : probability`` lines. Where this reader is stricter or wider than Storm:

- rows must sum to one (exactly in rational files), deadlocks and duplicate destinations are errors;
- in double files ``p/q`` is accepted, as in Storm; in rational files decimals are exact rationals (``0.1`` is 1/10);
- without ``@value_type`` (older files) the file is rational if some number in it is written ``p/q``, otherwise double;
- a state or action line without ``[...]`` has zero rewards, as in Storm; with it, the number of rewards must fit;
- Storm neither writes nor reads quotes inside labels. Here ``\"`` in a quoted label is read as a quote where Storm's
  own reading of the line fails; such labels are not written;
- what Storm itself compresses is a tar archive of one file inside the gzip or xz data; both that and plainly compressed
  text are read. Plainly compressed text is written; Storm wants it decompressed first;
- interval models (``[0.1, 0.3]`` for a probability) are read by :func:`read_intervals` alone; their intervals are
  closed, and each row must contain a probability distribution.
"""

from __future__ import annotations

import gzip
import io
import lzma
import math
import os
import re
import tarfile
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from mdpkit.errors import (
    ModelError,
    ParseError,
    SizeError,
    UnsupportedError,
    nearest,
)
from mdpkit.io.files import atomic, contents, decoded, physical_memory

__all__ = ["RawDRN", "RawIntervalDRN", "RawReward", "read_intervals", "read_raw", "write_raw"]

ROW_TOLERANCE = 1e-6
"""How far a row of a double file may be from one (Storm prints six digits by default)."""

SLACK = ROW_TOLERANCE + 1e-12
"""What that amounts to in floats: 3 * 0.333333 is off by 1e-6 and a rounding error."""

_MAX_STATES = 2**32 - 1  # column indices are uint32
_MAX_EXPONENT = 10_000  # 1e-10000 is still a rational one can work with, 1e999999999 is a trap
_DECLARE = "declare @value_type: rational"
_DIGITS = "0123456789"
_BLANK = " \t\r\f\v"

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?")
_FRACTION_SOMEWHERE = re.compile(
    r"^[ \t]*(?:[0-9]+[ \t]*:|\$[^\n:]*:|(?:state|action)[ \t]+[^\s\"]+[ \t]*\[)[^\n\"\]/]*[0-9.][ \t]*/", re.MULTILINE
)
_END = r"(?=[ \t\r\f\v\"]|$)"
_LABEL = re.compile(rf'"([^"]+)"{_END}|([^ \t\r\f\v"]+)(?=[ \t\r\f\v]|$)')
_LABEL_ESCAPED = re.compile(rf'"((?:[^"\\]|\\.)+)"{_END}|([^ \t\r\f\v"]+)(?=[ \t\r\f\v]|$)')
_PLAIN_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYWORDS = frozenset({"state", "action", "true", "false"})

_KEYS = (
    "@type:",
    "@value_type:",
    "@parameters",
    "@placeholders",
    "@reward_models",
    "@nr_states",
    "@nr_choices",
    "@model",
)
_TYPES = ("MDP", "DTMC")
_REFUSED_TYPES = ("CTMC", "Markov Automaton", "POMDP", "SMG", "S2PG")
_VALUES = ("rational", "double")
_INTERVALS = ("rational-interval", "double-interval")
_REFUSED_VALUES = ("double-interval", "rational-interval", "parametric")
_READ = "DRN files of type MDP or DTMC with rational or double values are read"
_ROBUST = f"{_READ}; robust models do not come yet: mdpkit.io.drn.read_intervals(path) returns the intervals as arrays"

Number = Fraction | float
Exact = NDArray[np.object_]


class _Sized:
    """The sizes of rows in compressed form."""

    pair_ptr: NDArray[np.int64]
    indptr: NDArray[np.int64]

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return len(self.pair_ptr) - 1

    @property
    def n_pairs(self) -> int:
        """Number of state-action pairs L."""
        return len(self.indptr) - 1


@dataclass(frozen=True, eq=False)
class RawReward:
    """One reward structure: ``state (S,)`` and ``action (L,)`` rewards, float64 and, in rational files, exact."""

    state: NDArray[np.float64]
    action: NDArray[np.float64]
    state_exact: Exact | None = None
    action_exact: Exact | None = None


@dataclass(frozen=True, eq=False)
class RawDRN(_Sized):
    """A DRN file as plain arrays; S states, L state-action pairs, nnz transitions.

    Parameters
    ----------
    model_type : str
        ``"MDP"`` or ``"DTMC"``.
    value_type : str
        ``"rational"`` or ``"double"``.
    pair_ptr : (S+1,) int64
        Pairs of state ``s`` are ``pair_ptr[s]:pair_ptr[s+1]``.
    pair_names : list of str, (L,)
        Action names or numbers as written.
    indptr, indices, data : (L+1,) int64, (nnz,) uint32, (nnz,) float64
        Transition rows with ascending columns and without explicit zeros. In rational files ``data`` is the correctly
        rounded value of ``exact``.
    exact : (nnz,) object array of Fraction, or None
        None for double files. Equal texts share one object.
    rewards : dict of str to RawReward
        In the order of the file; the name may be empty.
    labels : dict of str to (S,) bool
        In order of appearance.
    comments : list of str, (S,), or None
        Comment lines between a state line and its first action (state valuations), stripped, joined by newlines.
    """

    model_type: str
    value_type: str
    pair_ptr: NDArray[np.int64]
    pair_names: list[str]
    indptr: NDArray[np.int64]
    indices: NDArray[np.uint32]
    data: NDArray[np.float64]
    exact: Exact | None
    rewards: dict[str, RawReward] = field(default_factory=lambda: {})
    labels: dict[str, NDArray[np.bool_]] = field(default_factory=lambda: {})
    comments: list[str] | None = None


@dataclass(frozen=True, eq=False)
class RawIntervalDRN(_Sized):
    """A DRN file of intervals as plain arrays; S states, L state-action pairs, nnz transitions.

    Parameters
    ----------
    model_type : str
        ``"MDP"`` or ``"DTMC"``.
    value_type : str
        ``"rational-interval"`` or ``"double-interval"``.
    pair_ptr, pair_names, rewards, labels, comments
        As in :class:`RawDRN`.
    indptr, indices : (L+1,) int64, (nnz,) uint32
        Transition rows with ascending columns; transitions whose upper probability is zero are left out.
    lower, upper : (nnz,) float64
        0 <= lower <= upper <= 1; in every row the lower ones sum to at most one, the upper ones to at least one (within
        ``ROW_TOLERANCE`` in double files).
    lower_exact, upper_exact : (nnz,) object array of Fraction, or None
        None for double files; ``lower`` and ``upper`` are their correctly rounded values.
    """

    model_type: str
    value_type: str
    pair_ptr: NDArray[np.int64]
    pair_names: list[str]
    indptr: NDArray[np.int64]
    indices: NDArray[np.uint32]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    lower_exact: Exact | None
    upper_exact: Exact | None
    rewards: dict[str, RawReward] = field(default_factory=lambda: {})
    labels: dict[str, NDArray[np.bool_]] = field(default_factory=lambda: {})
    comments: list[str] | None = None


def read_raw(path: str | os.PathLike[str]) -> RawDRN:
    """Read a ``.drn``, ``.drn.gz`` or ``.drn.xz`` file.

    Parameters
    ----------
    path : path-like
        Compressed if it ends in ``.gz`` or ``.xz``.

    Returns
    -------
    RawDRN
        Plain arrays; every row is a probability distribution.

    Raises
    ------
    ParseError
        The file is missing, damaged or malformed; names the line.
    SizeError
        The header promises, or the compressed file holds, more than fits in memory.
    UnsupportedError
        CTMC, Markov automaton, POMDP, game, interval or parametric model.

    Source: Storm, ``DirectEncodingParser``.
    """
    raw = _reader(path, intervals=False).read()
    assert isinstance(raw, RawDRN)
    return raw


def read_intervals(path: str | os.PathLike[str]) -> RawIntervalDRN:
    """Read a DRN file of intervals: ``@value_type: double-interval``, ``rational-interval``, or none.

    Parameters
    ----------
    path : path-like
        Compressed if it ends in ``.gz`` or ``.xz``. A probability is ``[lower, upper]``, or a number for both.

    Returns
    -------
    RawIntervalDRN
        Plain arrays; every row contains a probability distribution.

    Raises
    ------
    ParseError
        The file is missing, damaged or malformed, or its values are no intervals; names the line.
    SizeError
        As :func:`read_raw`.
    UnsupportedError
        CTMC, Markov automaton, POMDP, game or parametric model.

    Source: Storm, ``DirectEncodingParser`` and ``ValueParser``.
    """
    raw = _reader(path, intervals=True).read()
    assert isinstance(raw, RawIntervalDRN)
    return raw


def _reader(path: str | os.PathLike[str], intervals: bool) -> _Reader:
    text = _read_text(Path(path))
    if not text.strip():
        raise ParseError("the file is empty", path=path, line=1, needed="a DRN header ending in @model")
    return _Reader(path, text, text.split("\n"), intervals)


# ---------------------------------------------------------------------------------------------------------- files


def _read_text(path: Path) -> str:
    """The text of a possibly compressed file, decoded, without byte order mark."""
    packing = path.suffix.lower() if path.suffix.lower() in (".gz", ".xz") else ""
    data = contents(path, "a .drn, .drn.gz or .drn.xz file", packing)
    if packing and data[257:262] == b"ustar":
        data = _only_member(path, data)
    return decoded(path, data)


def _only_member(path: Path, data: bytes) -> bytes:
    """The single file of a tar archive, which is what Storm puts inside its compressed files."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            files = [member for member in archive if member.isfile()]
            file = archive.extractfile(files[0]) if len(files) == 1 else None
            inside = b"" if file is None else file.read()
    except (tarfile.TarError, EOFError) as error:
        raise ParseError("truncated or corrupt archive", path=path, found=error, way_out="export it again") from error
    if len(files) != 1:
        raise ParseError("an archive with several or no files", path=path, found=len(files), needed="one DRN file")
    return inside


# -------------------------------------------------------------------------------------------------------- numbers


class LineError(Exception):
    """A fault in the line being read; the reader adds path and line number."""

    def __init__(
        self,
        what: str,
        found: object = None,
        needed: str | None = None,
        way_out: str | None = None,
        refused: bool = False,
    ):
        super().__init__(what)
        self.what, self.found, self.needed, self.way_out, self.refused = what, found, needed, way_out, refused


def fail(path: str | os.PathLike[str], fault: LineError, line: int) -> NoReturn:
    """Raise what a fault in a line of a file amounts to: a ParseError, or an UnsupportedError if it is ``refused``."""
    if fault.refused:
        raise UnsupportedError(
            f"{path}: line {line}: {fault.what}", needed=fault.needed, way_out=fault.way_out
        ) from None
    raise ParseError(
        fault.what, path=path, line=line, found=fault.found, needed=fault.needed, way_out=fault.way_out
    ) from None


def shown(text: str, width: int = 60) -> str:
    """``text`` quoted, and shortened if it is long."""
    return repr(text if len(text) <= width else text[: width - 1] + "…")


def natural(text: str) -> int | None:
    """The natural number written in ASCII digits, else None."""
    if text.isascii() and text.isdigit():
        return int(text) if len(text) <= 18 else 10**18
    return None


def _decimal(text: str) -> Fraction | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    if match[1] is not None and (len(match[1]) > 6 or abs(int(match[1])) > _MAX_EXPONENT):
        raise LineError(
            "exponent out of range", shown(text), f"an exponent of at most {_MAX_EXPONENT} in absolute value"
        )
    return Fraction(text)


class Numbers:
    """Texts to numbers: Fractions in rational files, floats in double files; knows the placeholders."""

    def __init__(self, exact: bool):
        self.exact = exact
        self.placeholders: dict[str, Number] = {}

    def parse(self, text: str, what: str) -> Number:
        """A number or placeholder."""
        text = text.strip(_BLANK)
        if text[:1] == "$":
            value = self.placeholders.get(text[1:])
            if value is None:
                raise LineError(
                    f"{what} is an unknown placeholder", shown(text), way_out="define it in the @placeholders section"
                )
            return value
        if text[:1] in ("[", "("):
            raise LineError(
                f"{what} is an interval {shown(text)}; interval models are not supported; {_ROBUST}", refused=True
            )
        return number(text, self.exact, what)


def number(text: str, exact: bool, what: str) -> Number:
    """The integer, decimal or p/q that ``text`` is: a Fraction if ``exact``, else a float.

    Raises
    ------
    LineError
        ``text`` is no such number, or too large.
    """
    try:
        value = _number(text, exact)
    except ValueError:  # more digits than int() takes
        raise LineError(
            f"{what} has too many digits", f"{len(text)} characters", way_out="raise sys.set_int_max_str_digits"
        ) from None
    if value is None:
        need = "an integer, a decimal or p/q" if exact else "a decimal number or p/q"
        raise LineError(f"{what} is not a number", shown(text), need)
    return value


def _number(text: str, exact: bool) -> Number | None:
    if not exact and (match := _NUMBER.fullmatch(text)):
        return float(match[0])
    above, slash, below = text.partition("/")
    p = _decimal(above.strip(_BLANK))
    q = _decimal(below.strip(_BLANK)) if slash else Fraction(1)
    if p is None or q is None:
        return None
    if q == 0:
        raise LineError("division by zero", shown(text), "a denominator that is not zero")
    value = p / q if slash else p
    return value if exact else rounded(value, "number")


def check_probability(value: Number, text: str, exact: bool, rational: str) -> None:
    """``text``, read as ``value``, is a probability that float64 can hold; ``rational`` says how to keep it exact.

    Raises
    ------
    LineError
        It is negative, greater than one, or in a double file so small that it becomes zero.
    """
    if value < 0:
        raise LineError("probability is negative", shown(text), "a probability from 0 to 1")
    if value > 1 and (exact or value > 1 + SLACK):
        raise LineError("probability is greater than 1", shown(text), "a probability from 0 to 1")
    if value == 0 and not exact and not _is_zero(text):
        raise LineError("probability is positive but zero in float64", shown(text), way_out=rational)


def rounded(value: Number, what: str) -> float:
    """The float64 nearest to ``value``; refuses infinities."""
    try:
        near = float(value)
    except OverflowError:
        near = math.inf
    if math.isinf(near):
        raise LineError(f"{what} is too large for float64", needed="a magnitude of at most 1.8e308")
    return near


class _Probabilities(dict[str, int]):
    """Text of a probability to its index in ``parsed``; every distinct text is parsed and checked once."""

    def __init__(self, numbers: Numbers):
        super().__init__()
        self.numbers = numbers
        self.parsed: list[Number] = []
        self.floats: list[float] = []

    def __missing__(self, text: str) -> int:
        known = self.get(bare := text.partition("//")[0].strip(_BLANK))
        if known is None:
            known = self.add(bare)
            self[bare] = known
        self[text] = known
        return known

    def add(self, text: str) -> int:
        """Parse a text that is new."""
        self.parsed.append(self.end(text))
        self.floats.append(rounded(self.parsed[-1], "probability"))
        return len(self.parsed) - 1

    def end(self, text: str) -> Number:
        """A probability."""
        value = self.numbers.parse(text, "probability")
        check_probability(value, "0" if text[:1] == "$" and value == 0 else text, self.numbers.exact, _DECLARE)
        return value


class _Intervals(_Probabilities):
    """Text of an interval to its index; ``parsed`` and ``floats`` hold the upper ends, ``lower`` the lower ones."""

    def __init__(self, numbers: Numbers):
        super().__init__(numbers)
        self.lower: list[Number] = []
        self.placeholders: dict[str, tuple[Number, Number]] = {}

    def add(self, text: str) -> int:
        low, high = self.interval(text)
        self.lower.append(low)
        self.parsed.append(high)
        self.floats.append(rounded(high, "probability"))
        return len(self.parsed) - 1

    def interval(self, text: str) -> tuple[Number, Number]:
        """Both ends of ``[lower, upper]``, of a number, or of a placeholder for one of them."""
        if text[:1] == "$" and text[1:] in self.placeholders:
            return self.placeholders[text[1:]]
        if text[:1] not in ("[", "("):
            value = self.end(text)
            return value, value
        if text[0] == "(" or text[-1:] == ")":
            raise LineError("interval without its ends", shown(text), "a closed interval [lower, upper]")
        ends = text[1:-1].split(",")
        if text[-1] != "]" or len(ends) != 2:
            raise LineError("not an interval", shown(text), "[lower, upper]")
        low, high = (self.end(part.strip(_BLANK)) for part in ends)
        if low > high:
            raise LineError("the lower end exceeds the upper end", shown(text), "[lower, upper]")
        return low, high


def _is_zero(text: str) -> bool:
    above = text.partition("/")[0]
    return not any(digit in "123456789" for digit in re.split("[eE]", above)[0])


class _Destinations(dict[str, int]):
    """Text of a destination to its state index, checked once for every distinct text."""

    def __init__(self, n_states: int):
        super().__init__()
        self.n_states = n_states

    def __missing__(self, text: str) -> int:
        bare = text.strip(_BLANK)
        state = natural(bare)
        if state is None:
            raise LineError("destination is not a state index", shown(bare), "a natural number")
        if state >= self.n_states:
            raise LineError("destination out of range", bare[:40], f"a state from 0 to {self.n_states - 1}")
        self[text] = state
        return state


class _Rewards(dict[str, int]):
    """Text between the brackets to a row of ``rows``; row 0 is "no brackets", all zero."""

    def __init__(self, numbers: Numbers, spellings: list[list[str]]):
        super().__init__()
        self.numbers = numbers
        self.spellings = spellings
        self.names: list[str] | None = None
        self.rows: list[tuple[Number, ...]] = [()]

    def __missing__(self, text: str) -> int:
        parts = text.split(",") if text.strip(_BLANK) else []
        if self.names is None:
            self.names = self._settle(len(parts))
        names = self.names
        if len(parts) != len(names):
            declared = ", ".join(map(repr, names)) if names else "none"
            raise LineError(
                "wrong number of rewards",
                f"{len(parts)} in {shown('[' + text + ']')}",
                f"{len(names)}, one for each declared reward model ({declared})",
                "list every reward model after @reward_models",
            )
        row = tuple(self.numbers.parse(part, f"reward {name!r}") for part, name in zip(parts, names, strict=True))
        for value, name in zip(row, names, strict=True):
            rounded(value, f"reward {name!r}")
        self[text] = len(self.rows)
        self.rows.append(row)
        return len(self.rows) - 1

    def _settle(self, count: int) -> list[str]:
        """The reading of the names line that fits the first brackets: an unnamed structure shows only as a blank."""
        for names in self.spellings:
            if len(names) == count:
                return names
        if count == 1 and not self.spellings[0]:
            return [""]
        return self.spellings[0]

    def columns(self) -> list[tuple[str, NDArray[np.float64], Exact]]:
        """Name, floats and exact values of each reward structure, indexed like ``rows``."""
        names = self.spellings[0] if self.names is None else self.names
        columns: list[tuple[str, NDArray[np.float64], Exact]] = []
        zero: Number = Fraction(0) if self.numbers.exact else 0.0
        for j, name in enumerate(names):
            values = [zero] + [row[j] for row in self.rows[1:]]
            columns.append((name, np.array([float(v) for v in values]), objects(values)))
        return columns


def objects(values: Sequence[Number]) -> Exact:
    """An array of the numbers themselves."""
    table = np.empty(len(values), dtype=object)
    table[:] = values
    return table


def _split_labels(text: str) -> tuple[str, ...]:
    """The labels at the end of a state line."""
    labels = _match_labels(text, _LABEL)
    if labels is None and '\\"' in text:
        labels = _match_labels(text, _LABEL_ESCAPED)
        if labels is not None:
            labels = [re.sub(r'\\(["\\])', r"\1", label) for label in labels]
    if labels is None:
        odd = text.replace('\\"', "").count('"') % 2
        what = "unterminated quote in the labels" if odd else "misplaced quote in the labels"
        raise LineError(what, shown(text), 'labels as plain words or "in quotes", separated by blanks')
    return tuple(labels)


def _match_labels(text: str, pattern: re.Pattern[str]) -> list[str] | None:
    labels: list[str] = []
    position = 0
    while position < len(text):
        if text[position] in _BLANK:
            position += 1
            continue
        if text.startswith("//", position):  # a comment at the end of the line
            break
        match = pattern.match(text, position)
        if match is None:
            return None
        labels.append(match[1] if match[1] is not None else match[2])
        position = match.end()
    return labels


# --------------------------------------------------------------------------------------------------------- reader


class _Reader:
    """One pass over the lines; the header first, then the model."""

    def __init__(self, path: str | os.PathLike[str], text: str, lines: list[str], intervals: bool):
        self.path = path
        self.intervals = intervals
        self.text = text
        self.lines = lines
        self.keys: dict[str, int] = {}  # header key -> its line
        self.model_type = ""
        self.value_type = ""
        self.n_states = 0
        self.n_choices: int | None = None
        self.placeholders: list[tuple[int, str, str]] = []
        self.spellings: list[list[str]] = [[]]

    def read(self) -> RawDRN | RawIntervalDRN:
        body = self._header()
        numbers = Numbers(self.value_type.startswith("rational"))
        probability_of = _Intervals(numbers) if self.intervals else _Probabilities(numbers)
        for line, name, value in self.placeholders:
            try:
                if isinstance(probability_of, _Intervals) and value.lstrip(_BLANK)[:1] in ("[", "("):
                    probability_of.placeholders[name] = probability_of.interval(value.strip(_BLANK))
                else:
                    numbers.placeholders[name] = numbers.parse(value, f"placeholder ${name}")
            except LineError as fault:
                self._fail(fault, line)
        return self._model(body, numbers, probability_of)

    def _fail(self, fault: LineError, line: int) -> NoReturn:
        fail(self.path, fault, line)

    # header

    def _header(self) -> int:
        """Read the header; return the index of the first line after ``@model``."""
        n = len(self.lines)
        i = 0
        while i < n:
            line = self.lines[i].strip(_BLANK)
            number = i + 1
            i += 1
            if not line or line.startswith("//"):
                continue
            try:
                key = self._key(line, number)
                if key == "@type:":
                    self._set_type(line[len(key) :].strip(_BLANK))
                elif key == "@value_type:":
                    self._set_value_type(line[len(key) :].strip(_BLANK))
                elif key == "@placeholders":
                    i = self._read_placeholders(i)
                elif key == "@model":
                    self._finish_header()
                    return i
                else:
                    i = self._read_value(key, i)
            except LineError as fault:
                self._fail(fault, number)
        self._fail(
            LineError("the file ends before @model", needed="a header ending in @model, then the states"), self._last()
        )

    def _last(self) -> int:
        """The number of the last line that is not blank."""
        n = len(self.lines)
        while n > 1 and not self.lines[n - 1].strip(_BLANK):
            n -= 1
        return n

    def _key(self, line: str, number: int) -> str:
        if not line.startswith("@"):
            raise LineError("not a header line", shown(line), "a header key (@type: …, @nr_states, …) or @model")
        word = line.split(None, 1)[0].partition(":")
        key = word[0] + word[1]
        if key not in _KEYS:
            bare = key.rstrip(":")
            fixed = next((known for known in _KEYS if known.rstrip(":") == bare), None)
            hint = f"write {fixed!r}" if fixed else nearest(key, _KEYS)
            raise LineError("unknown header key", shown(key), way_out=hint)
        if not key.endswith(":") and line != key:
            raise LineError("text after a header key", shown(line), f"{key} alone, its value on the next line")
        if key in self.keys:
            raise LineError(
                f"duplicate header key {key}", needed=f"one {key}", way_out=f"the first is on line {self.keys[key]}"
            )
        self.keys[key] = number
        return key

    def _set_type(self, name: str) -> None:
        if name in _REFUSED_TYPES:
            raise LineError(f"models of type {name} are not supported; {_READ}", refused=True)
        if name not in _TYPES:
            raise LineError("unknown model type", shown(name), "MDP or DTMC", nearest(name, _TYPES + _REFUSED_TYPES))
        self.model_type = name

    def _set_value_type(self, name: str) -> None:
        if self.intervals and name in _VALUES:
            raise LineError(
                "values that are no intervals", name, " or ".join(_INTERVALS), "mdpkit.io.drn.read_raw(path) reads them"
            )
        if name in _REFUSED_VALUES and not (self.intervals and name in _INTERVALS):
            read = _ROBUST if name in _INTERVALS else _READ
            raise LineError(f"values of type {name} are not supported; {read}", refused=True)
        needed = _INTERVALS if self.intervals else _VALUES
        if name not in needed:
            raise LineError(
                "unknown value type", shown(name), " or ".join(needed), nearest(name, _VALUES + _REFUSED_VALUES)
            )
        self.value_type = name

    def _read_value(self, key: str, i: int) -> int:
        """Read the line under ``key`` (comments skipped); return the index after it."""
        while i < len(self.lines) and self.lines[i].lstrip(_BLANK).startswith("//"):
            i += 1
        raw = self.lines[i].rstrip("\r") if i < len(self.lines) else ""
        value = raw.strip(_BLANK)
        if value.startswith("@"):
            raw, value = "", ""
        else:
            i = min(i + 1, len(self.lines))
        if key == "@parameters":
            if value:
                raise LineError(
                    f"parametric models are not supported (parameters {shown(value)}); {_READ}", refused=True
                )
        elif key == "@reward_models":
            self._set_rewards(raw)
        else:
            count = natural(value)
            if count is None:
                self._fail(LineError(f"{key} is not a natural number", shown(value), "a number in digits"), i)
            if key == "@nr_states":
                self.n_states = count
                if count == 0:
                    self._fail(LineError("a model without states", 0, "at least one state"), i)
            else:
                self.n_choices = count
            self.keys[key] = i
        return i

    def _set_rewards(self, raw: str) -> None:
        """Storm ends every name with a blank, so that an empty name is a blank alone; other writers do not."""
        words = raw.split()
        spelled = re.split("[ \t]", raw)
        if spelled[-1] == "":
            spelled.pop()
        for name in words:
            if words.count(name) > 1:
                raise LineError(f"duplicate reward model {name!r}", needed="distinct names")
        self.spellings = [words]
        if spelled.count("") == 1:
            self.spellings.append(spelled)

    def _read_placeholders(self, i: int) -> int:
        seen: set[str] = set()
        while i < len(self.lines):
            line = self.lines[i].strip(_BLANK)
            if line.startswith("@"):
                break
            i += 1
            if not line or line.startswith("//"):
                continue
            name, colon, value = line.partition(":")
            name = name.strip(_BLANK)
            if not colon or not name.startswith("$") or len(name) == 1:
                self._fail(LineError("not a placeholder", shown(line), "$name : value"), i)
            if name in seen:
                self._fail(LineError(f"placeholder {name} is defined twice", needed="distinct names"), i)
            seen.add(name)
            self.placeholders.append((i, name[1:], value))
        return i

    def _finish_header(self) -> None:
        for key in ("@type:", "@nr_states"):
            if key not in self.keys:
                raise LineError(f"missing header key {key}", needed=f"{key} before @model")
        pairs = max(self.n_states, self.n_choices or 0)
        need = 8 * self.n_states + 36 * pairs  # pair_ptr; indptr, one name, one transition with its exact value
        memory = physical_memory()
        if max(self.n_states, pairs) > _MAX_STATES or need > memory:
            raise SizeError(
                f"{self.path}: line {self.keys['@nr_states']}: the header promises a model too large to hold",
                found=f"{self.n_states} states, {pairs} choices, at least {need / 2**30:.1f} GiB",
                needed=f"at most {_MAX_STATES} states and choices, and {memory / 2**30:.1f} GiB",
                way_out="check @nr_states and @nr_choices, or build a smaller model",
            )
        if not self.value_type:
            self.value_type = "rational" if _FRACTION_SOMEWHERE.search(self.text) else "double"
            if self.intervals:
                self.value_type += "-interval"

    # model

    def _model(self, body: int, numbers: Numbers, probability_of: _Probabilities) -> RawDRN | RawIntervalDRN:
        n_states, n_choices, lines = self.n_states, self.n_choices, self.lines
        deterministic = self.model_type == "DTMC"
        destination_of = _Destinations(n_states)
        rewards_of = _Rewards(numbers, self.spellings)
        label_tails: dict[str, tuple[str, ...]] = {}
        label_states: dict[str, list[int]] = {}
        comments: dict[int, str] = {}
        names: dict[str, str] = {}
        pair_names: list[str] = []
        pair_ptr, indptr, action_lines = array("q"), array("q"), array("q")
        state_rewards, action_rewards = array("q"), array("q")
        destinations, probabilities = array("q"), array("q")
        add_destination, add_probability = destinations.append, probabilities.append
        state, state_line, fresh = -1, 0, True  # fresh: no action yet in this state
        number = body
        try:
            for number, raw in enumerate(lines[body:], body + 1):
                line = raw.strip(_BLANK)
                if not line:
                    continue
                first = line[0]
                if first in _DIGITS:
                    target, colon, value = line.partition(":")
                    if fresh:
                        raise LineError(
                            "transition before any action of its state", shown(line), "an action line first"
                        )
                    if not colon:
                        raise LineError("transition without ':'", shown(line), "destination : probability")
                    add_destination(destination_of[target])
                    add_probability(probability_of[value])
                    continue
                words = line.split(None, 2)
                kind = words[0]
                if kind == "action":
                    if state < 0:
                        raise LineError("action before any state", shown(line), "a state line first")
                    if len(words) == 1:
                        raise LineError("action without name", shown(line), "action name [rewards]")
                    if deterministic and not fresh:
                        raise LineError(f"second action in state {state} of a DTMC", shown(line), "one action a state")
                    if n_choices is not None and len(pair_names) == n_choices:
                        raise LineError(
                            "more actions than declared", f"action number {n_choices + 1}", f"@nr_choices {n_choices}"
                        )
                    fresh = False
                    name = words[1]
                    pair_names.append(names.setdefault(name, name))
                    indptr.append(len(destinations))
                    action_lines.append(number)
                    row = 0
                    if len(words) == 3 and not words[2].startswith("//"):
                        text, rest = _brackets(words[2])
                        if text is None or (rest and not rest.startswith("//")):
                            raise LineError("text after the action", shown(rest or words[2]), "[rewards] or nothing")
                        row = rewards_of[text]
                    action_rewards.append(row)
                elif kind == "state":
                    if fresh and state >= 0:
                        number = state_line
                        raise LineError(f"state {state} has no action", "a deadlock", "an action, such as a self-loop")
                    state += 1
                    fresh = True
                    state_line = number
                    text = words[1] if len(words) > 1 else ""
                    index = natural(text)
                    if index is None:
                        raise LineError("state without index", shown(line), "state index [rewards] labels")
                    if index != state:
                        raise LineError("state indices out of order", f"state {text[:40]}", f"state {state}")
                    if state >= n_states:
                        raise LineError("more states than declared", f"state {state}", f"@nr_states {n_states}")
                    pair_ptr.append(len(pair_names))
                    row = 0
                    if len(words) == 3:
                        tail = words[2]
                        if tail[0] == "{":
                            raise LineError(
                                f"state {state} has an observation {shown(tail.partition(' ')[0])}; "
                                f"partially observable models are not supported; {_READ}",
                                refused=True,
                            )
                        text, tail = _brackets(tail)
                        if text is not None:
                            row = rewards_of[text]
                        if tail:
                            labels = label_tails.get(tail)
                            if labels is None:
                                labels = label_tails[tail] = _split_labels(tail)
                            for label in labels:
                                label_states.setdefault(label, []).append(state)
                    state_rewards.append(row)
                elif line.startswith("//"):
                    if fresh and state >= 0 and ((text := line[2:].strip(_BLANK)) or state in comments):
                        comments[state] = f"{comments[state]}\n{text}" if state in comments else text
                elif first in "+-." and ":" in line:
                    raise LineError("destination is not a state index", shown(line), "a natural number")
                elif first == "@":
                    raise LineError("header key after @model", shown(line), "all header keys before @model")
                else:
                    raise LineError(
                        "line not understood",
                        shown(line),
                        "state …, action …, destination : probability, or // comment",
                    )
            number = self._last()
            if state < 0 or (state + 1 < n_states and not fresh):
                number = self.keys["@nr_states"]
                raise LineError("fewer states than declared", f"{state + 1} states", f"@nr_states {n_states}")
            if fresh:
                number = state_line
                raise LineError(f"state {state} has no action", "a deadlock", "an action, such as a self-loop")
            if n_choices is not None and len(pair_names) != n_choices:
                number = self.keys["@nr_choices"]
                raise LineError("fewer actions than declared", f"{len(pair_names)} actions", f"@nr_choices {n_choices}")
        except LineError as fault:
            self._fail(fault, number)
        pair_ptr.append(len(pair_names))
        indptr.append(len(destinations))

        pointer = _integers(indptr)
        ids = _integers(probabilities)
        columns = _integers(destinations).astype(np.uint32)
        if isinstance(probability_of, _Intervals):
            self._check_interval_sums(pointer, ids, probability_of, action_lines)
        else:
            self._check_sums(pointer, ids, probability_of, action_lines)
        pointer, columns, ids = self._sorted_rows(pointer, columns, ids, probability_of, action_lines)
        exact = objects(probability_of.parsed)[ids] if numbers.exact else None
        data = np.array(probability_of.floats)[ids]
        of_state, of_action = _integers(state_rewards), _integers(action_rewards)
        rewards = {
            name: RawReward(
                floats[of_state],
                floats[of_action],
                values[of_state] if numbers.exact else None,
                values[of_action] if numbers.exact else None,
            )
            for name, floats, values in rewards_of.columns()
        }
        masks: dict[str, NDArray[np.bool_]] = {}
        for label, states in label_states.items():
            masks[label] = np.zeros(n_states, dtype=np.bool_)
            masks[label][states] = True
        common: dict[str, Any] = {
            "model_type": self.model_type,
            "value_type": self.value_type,
            "pair_ptr": _integers(pair_ptr),
            "pair_names": pair_names,
            "indptr": pointer,
            "indices": columns,
            "rewards": rewards,
            "labels": masks,
            "comments": [comments.get(s, "") for s in range(n_states)] if comments else None,
        }
        if isinstance(probability_of, _Intervals):
            low = np.array([float(value) for value in probability_of.lower])[ids]
            lower = objects(probability_of.lower)[ids] if numbers.exact else None
            return RawIntervalDRN(**common, lower=low, upper=data, lower_exact=lower, upper_exact=exact)
        return RawDRN(**common, data=data, exact=exact)

    def _check_sums(
        self, indptr: NDArray[np.int64], ids: NDArray[np.int64], probabilities: _Probabilities, action_lines: array[int]
    ) -> None:
        """Every row sums to one: exactly in rational files, within ``ROW_TOLERANCE`` in double files."""
        self._check_not_empty(indptr, action_lines)
        exact = probabilities.numbers.exact
        bad = bad_sum(indptr, ids, probabilities.parsed, np.array(probabilities.floats), exact)
        if bad is not None:
            row, fault = bad
            if exact:
                fault.way_out = "correct the row, or declare @value_type: double if its decimals are rounded"
            self._fail(fault, action_lines[row])

    def _check_not_empty(self, indptr: NDArray[np.int64], action_lines: array[int]) -> None:
        empty = np.flatnonzero(np.diff(indptr) == 0)
        if len(empty):
            fault = LineError(
                "action without transitions", needed="probabilities that sum to 1", way_out="add a self-loop"
            )
            self._fail(fault, action_lines[int(empty[0])])

    def _check_interval_sums(
        self, indptr: NDArray[np.int64], ids: NDArray[np.int64], intervals: _Intervals, action_lines: array[int]
    ) -> None:
        """Every row contains a distribution: the lower ends sum to at most one and the upper ones to at least one."""
        self._check_not_empty(indptr, action_lines)
        exact = intervals.numbers.exact
        slack = 0 if exact else SLACK
        for name, values, sign in (("lower", intervals.lower, 1), ("upper", intervals.parsed, -1)):
            ends = objects(values) if exact else np.array(values)
            excess = sign * (np.add.reduceat(ends[ids], indptr[:-1]) - 1)
            bad = np.flatnonzero(excess > slack)
            if len(bad):
                row = int(bad[0])
                total = 1 + sign * excess[row]
                fault = LineError(
                    f"the {name} ends sum to {'more' if sign > 0 else 'less'} than 1: no distribution lies between them",
                    short(total) if exact else repr(float(total)),
                    f"{'at most' if sign > 0 else 'at least'} 1" + ("" if exact else f" within {ROW_TOLERANCE:g}"),
                )
                self._fail(fault, action_lines[row])

    def _sorted_rows(
        self,
        indptr: NDArray[np.int64],
        columns: NDArray[np.uint32],
        ids: NDArray[np.int64],
        probabilities: _Probabilities,
        action_lines: array[int],
    ) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]]:
        """Rows with ascending columns and without zeros; a duplicate destination is an error."""
        rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        same = rows[1:] == rows[:-1]
        if np.any(same & (columns[1:] <= columns[:-1])):
            order = np.lexsort((columns, rows))
            columns, ids = columns[order], ids[order]
            twice = np.flatnonzero(same & (columns[1:] == columns[:-1]))
            if len(twice):
                row = int(rows[twice[0]])
                self._fail_duplicate(action_lines[row])
        zero = np.array([value == 0 for value in probabilities.parsed])[ids]
        if zero.any():
            kept = np.concatenate(([0], np.cumsum(~zero)))
            indptr, columns, ids = kept[indptr], columns[~zero], ids[~zero]
        return indptr, columns, ids

    def _fail_duplicate(self, action_line: int) -> NoReturn:
        """Find the second line of a destination that occurs twice under the action on ``action_line``."""
        seen: dict[int, int] = {}
        number = action_line
        while True:
            line = self.lines[number].strip(_BLANK)
            number += 1
            if line[:1] not in _DIGITS or not line:
                continue
            target = int(line.partition(":")[0])
            if target in seen:
                self._fail(
                    LineError(
                        f"duplicate destination {target} (first on line {seen[target]})",
                        shown(line),
                        "each destination once in a row",
                        "add the two probabilities",
                    ),
                    number,
                )
            seen[target] = number


def _brackets(text: str) -> tuple[str | None, str]:
    """What stands between leading brackets (None without them), and the rest."""
    if text[0] != "[":
        return None, text
    end = text.find("]")
    if end < 0:
        raise LineError("unterminated bracket in the rewards", shown(text), "[reward, …]")
    return text[1:end], text[end + 1 :].lstrip(_BLANK)


def _integers(values: array[int]) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def bad_sum(
    indptr: NDArray[np.int64],
    ids: NDArray[np.int64],
    values: Sequence[Number],
    floats: NDArray[np.float64],
    exact: bool,
) -> tuple[int, LineError] | None:
    """The first row that does not sum to one, exactly or within ``ROW_TOLERANCE``, and what to say of it."""
    if exact:
        row = first_bad_row(indptr, ids, cast(list[Fraction], values))
        if row is None:
            return None
        begin, end = int(indptr[row]), int(indptr[row + 1])
        total = sum((cast(Fraction, values[i]) for i in ids[begin:end].tolist()), Fraction(0))
        found = f"{short(total)} (about {float(total):.12g})"
        return row, LineError("probabilities do not sum to 1", found, "exactly 1 in a rational file")
    sums = np.add.reduceat(floats[ids], indptr[:-1])
    bad = np.flatnonzero(~(np.abs(sums - 1.0) <= SLACK))
    if not len(bad):
        return None
    row = int(bad[0])
    return row, LineError("probabilities do not sum to 1", repr(float(sums[row])), f"1 within {ROW_TOLERANCE:g}")


def first_bad_row(indptr: NDArray[np.int64], ids: NDArray[np.int64], values: list[Fraction]) -> int | None:
    """The first row whose rationals do not sum to one; rows with the same probabilities are added up once."""
    pairs = [value.as_integer_ratio() for value in values]
    bounds = indptr.tolist()
    flat: list[int] = ids.tolist()
    good: set[tuple[int, ...]] = set()
    begin: int = bounds[0]
    for row, end in enumerate(bounds[1:]):
        key = tuple(flat[begin:end])
        begin = end
        if key in good:
            continue
        terms = [pairs[i] for i in key]
        common = math.lcm(*[q for _, q in terms])
        if sum(p * (common // q) for p, q in terms) != common:
            return row
        good.add(key)
    return None


def short(value: Fraction) -> str:
    """A rational as text for an error message."""
    try:
        text = str(value)
    except ValueError:  # more digits than str() gives
        return "a rational"
    return text if len(text) <= 60 else text[:59] + "…"


# --------------------------------------------------------------------------------------------------------- writer


def write_raw(raw: RawDRN, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write a DRN file that ``read_raw`` reads back equal; the same model gives the same bytes.

    Parameters
    ----------
    raw : RawDRN
        Rationals are written p/q in lowest terms, doubles so that they read back bit for bit.
    path : path-like
        Compressed if it ends in ``.gz`` or ``.xz``. Written to a temporary file first, then renamed.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    OutputExistsError
        The file exists and ``overwrite`` is false.
    ModelError
        The arrays do not fit together, or a name or label cannot be written in DRN.
    OptionError
        The folder does not exist, or the path is a folder.

    Source: Storm, ``DirectEncodingExporter``.
    """
    path = Path(path)
    with atomic(path, overwrite) as file:
        try:
            data = "\n".join(_written(raw)).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ModelError("a name, label or comment is not text that UTF-8 can encode", found=error.reason) from None
        suffix = path.suffix.lower()
        if suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                packed.write(data)
        elif suffix == ".xz":
            with lzma.LZMAFile(file, "wb") as packed:
                packed.write(data)
        else:
            file.write(data)


def _written(raw: RawDRN) -> Iterable[str]:
    """The lines of the file."""
    _check_raw(raw)
    numbers = fraction_texts() if raw.value_type == "rational" else float_texts
    values = numbers(raw.data if raw.exact is None else raw.exact)
    of_state = _reward_texts(
        [numbers(r.state if r.state_exact is None else r.state_exact) for r in raw.rewards.values()]
    )
    of_action = _reward_texts(
        [numbers(r.action if r.action_exact is None else r.action_exact) for r in raw.rewards.values()]
    )
    tails = [""] * raw.n_states
    for label, states in raw.labels.items():
        word = " " + _label_text(label)
        for s in np.flatnonzero(states).tolist():
            tails[s] += word
    out = [
        "// Exported by mdpkit",
        f"@type: {raw.model_type}",
        f"@value_type: {raw.value_type}",
        "@parameters",
        "",
        "@reward_models",
        "".join(f"{name} " for name in raw.rewards),
        "@nr_states",
        str(raw.n_states),
        "@nr_choices",
        str(raw.n_pairs),
        "@model",
    ]
    pair_ptr, indptr, indices = raw.pair_ptr.tolist(), raw.indptr.tolist(), raw.indices.tolist()
    for s in range(raw.n_states):
        out.append(f"state {s}{of_state[s] if of_state else ''}{tails[s]}")
        if raw.comments is not None and raw.comments[s]:
            out.extend("//" + line for line in raw.comments[s].split("\n"))
        for pair in range(pair_ptr[s], pair_ptr[s + 1]):
            out.append(f"\taction {raw.pair_names[pair]}{of_action[pair] if of_action else ''}")
            out.extend([f"\t\t{indices[k]} : {values[k]}" for k in range(indptr[pair], indptr[pair + 1])])
    out.append("")
    return out


def float_texts(values: NDArray[Any]) -> list[str]:
    """Texts from which the floats are read back bit for bit."""
    return [repr(value) for value in values.tolist()]


def fraction_texts() -> Callable[[NDArray[Any]], list[str]]:
    """A function from an array of Fractions to their texts that writes each shared object once."""
    known: dict[int, tuple[Fraction, str]] = {}  # keeps the object, so that its id stays its own

    def text(value: Fraction) -> str:
        entry = known.get(id(value))
        if entry is None:
            try:
                entry = known[id(value)] = (value, str(value))
            except ValueError:
                raise ModelError(
                    "a rational has too many digits to be written", way_out="raise sys.set_int_max_str_digits"
                ) from None
        return entry[1]

    return lambda values: [text(value) for value in values.tolist()]


def _reward_texts(columns: list[list[str]]) -> list[str]:
    return [f" [{', '.join(row)}]" for row in zip(*columns, strict=True)] if columns else []


def _label_text(label: str) -> str:
    if _PLAIN_LABEL.fullmatch(label) and label not in _KEYWORDS:
        return label
    if not label or '"' in label or "\n" in label or "\r" in label:
        raise ModelError(
            f"label {label!r} cannot be written in DRN", needed="a label without quotes and line breaks, not empty"
        )
    return f'"{label}"'


def _check_raw(raw: RawDRN) -> None:
    """The arrays fit together and would be accepted by the reader."""
    if raw.model_type not in _TYPES:
        raise ModelError("unknown model type", found=repr(raw.model_type), needed="MDP or DTMC")
    if raw.value_type not in _VALUES:
        raise ModelError("unknown value type", found=repr(raw.value_type), needed="rational or double")
    S, L, nnz = raw.n_states, raw.n_pairs, len(raw.indices)
    actions, sizes = np.diff(raw.pair_ptr), np.diff(raw.indptr)
    if S < 1 or raw.pair_ptr[0] != 0 or raw.pair_ptr[-1] != L or np.any(actions < 1):
        raise ModelError("pair_ptr does not give every state an action", needed=f"ascending from 0 to {L}")
    if raw.model_type == "DTMC" and L != S:
        raise ModelError("a DTMC has one action a state", found=f"{L} actions for {S} states")
    if raw.indptr[0] != 0 or raw.indptr[-1] != nnz or np.any(sizes < 1):
        raise ModelError("indptr does not give every action a transition", needed=f"ascending from 0 to {nnz}")
    if nnz and int(raw.indices.max()) >= S:
        raise ModelError("destination out of range", found=int(raw.indices.max()), needed=f"a state from 0 to {S - 1}")
    exact = raw.value_type == "rational"
    _check_shape("data", raw.data, nnz)
    _check_exact("exact", raw.exact, nnz, exact)
    for name, reward in raw.rewards.items():
        if re.search(r"\s", name) or name.startswith(("@", "//")):
            raise ModelError(f"reward name {name!r} cannot be written in DRN", needed="a name without blanks, @ or //")
        _check_shape(f"state reward {name!r}", reward.state, S)
        _check_shape(f"action reward {name!r}", reward.action, L)
        _check_exact(f"state reward {name!r}", reward.state_exact, S, exact)
        _check_exact(f"action reward {name!r}", reward.action_exact, L, exact)
    for label, states in raw.labels.items():
        if states.shape != (S,):
            raise ModelError(f"label {label!r} has the wrong shape", found=states.shape, needed=f"({S},)")
    if len(raw.pair_names) != L:
        raise ModelError("pair_names has the wrong length", found=len(raw.pair_names), needed=str(L))
    for name in set(raw.pair_names):
        if not name or re.search(r"\s", name):
            raise ModelError(
                f"action name {name!r} cannot be written in DRN", needed="a name without blanks, not empty"
            )
    if raw.comments is not None and len(raw.comments) != S:
        raise ModelError("comments has the wrong length", found=len(raw.comments), needed=str(S))


def _check_shape(what: str, values: NDArray[np.float64], n: int) -> None:
    if values.shape != (n,):
        raise ModelError(f"{what} has the wrong shape", found=values.shape, needed=f"({n},)")
    if not np.isfinite(values).all():
        raise ModelError(f"{what} is not finite at {int(np.flatnonzero(~np.isfinite(values))[0])}")


def _check_exact(what: str, values: Exact | None, n: int, needed: bool) -> None:
    if (values is not None) != needed:
        raise ModelError(
            f"{what}: exact values are {'missing' if needed else 'present'}", needed="them in rational files only"
        )
    if values is not None and (values.shape != (n,) or not all(isinstance(v, Fraction) for v in values.tolist())):
        raise ModelError(f"{what}: exact values are not {n} Fractions")
