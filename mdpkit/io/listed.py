"""Transitions listed one a line: words and numbers found by array operations, rows and rewards made of them.

What the readers of PRISM's explicit files and of tables in CSV share. A million lines need no loop over the lines; every
distinct word is read once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, cast

import numpy as np

from mdpkit.errors import ModelError
from mdpkit.io.drn import LineError, Number, bad_sum, check_probability, first_bad_row, number, objects, rounded, shown
from mdpkit.models.rewards import UNIT, Reward, from_entries, from_exact_transitions, from_exact_values
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Bools, Floats, Ints, Objects

__all__ = ["Column", "RowError", "Rows", "Table", "exact_decimals", "reward_of", "sorted_rows", "transitions_of"]

LONGEST = 18
"""Digits of the longest index: int64 holds every number of 18."""

_NEWLINE, _COMMA, _HASH = 10, 44, 35
_IS_BLANK = np.zeros(256, dtype=bool)
_IS_BLANK[[9, 11, 12, 13, 32]] = True
_PLAIN = b"0123456789.eE+-"
_TRIMMED_AT_ONCE = 4
_PREFIX = 1000


class RowError(Exception):
    """A fault in a row of a table; the reader adds path and line number."""

    def __init__(self, row: int, fault: LineError):
        super().__init__(row, fault)
        self.row, self.fault = row, fault


class Table:
    """The words of the lines of a text; blank lines and lines that begin with ``#`` are left out.

    Parameters
    ----------
    data : bytes
    comma : bool
        Whether words are separated by commas (and may be empty), in place of blanks.

    Attributes
    ----------
    line : (n,) int64
        Number of each line, from 1.
    count : (n,) int64
        How many words it has.
    """

    line: Ints
    count: Ints

    def __init__(self, data: bytes, *, comma: bool = False):
        self._data = data
        self._bytes = np.frombuffer(data + b"\n" + b" " * (LONGEST + 1), dtype=np.uint8)
        newline = np.flatnonzero(self._bytes == _NEWLINE)
        if comma:
            ends = np.flatnonzero((self._bytes == _COMMA) | (self._bytes == _NEWLINE))
            starts = np.concatenate(([0], ends[:-1] + 1))
            first = np.concatenate(([0], np.searchsorted(ends, newline[:-1]) + 1))
        else:
            word = ~(_IS_BLANK[self._bytes] | (self._bytes == _NEWLINE))
            step = np.diff(word.view(np.int8), prepend=np.int8(0))
            starts, ends = np.flatnonzero(step == 1), np.flatnonzero(step == -1)
            first = np.searchsorted(starts, np.concatenate(([0], newline[:-1] + 1)))
        count = np.diff(np.append(first, len(starts)))
        if comma:
            starts, ends = self._trimmed(starts, ends)
            filled = np.add.reduceat(ends > starts, first) > 0
        else:
            filled = count > 0
        kept = np.flatnonzero(filled)
        kept = kept[self._bytes[starts[first[kept]]] != _HASH]
        self._starts, self._ends, self._first = starts, ends, first[kept]
        self.line, self.count = kept + 1, count[kept]

    def _trimmed(self, starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
        """Fields without the blanks around them."""
        ends = ends.copy()
        for _ in range(_TRIMMED_AT_ONCE):
            left = (starts < ends) & _IS_BLANK[self._bytes[starts]]
            starts = starts + left
            right = (starts < ends) & _IS_BLANK[self._bytes[ends - 1]]
            ends = ends - right
            if not (left.any() or right.any()):
                return starts, ends
        rest = np.flatnonzero((starts < ends) & (_IS_BLANK[self._bytes[starts]] | _IS_BLANK[self._bytes[ends - 1]]))
        for k in rest.tolist():
            i, j = int(starts[k]), int(ends[k])
            starts[k] = j - len(self._data[i:j].lstrip(b" \t\r\f\v"))
            ends[k] = int(starts[k]) + len(self._data[int(starts[k]) : j].rstrip(b" \t\r\f\v"))
        return starts, ends

    def __len__(self) -> int:
        return len(self.line)

    def words(self, row: int) -> list[str]:
        """All words of a row."""
        first = int(self._first[row])
        return [self._text(k) for k in range(first, first + int(self.count[row]))]

    def word(self, row: int, k: int) -> str:
        """One word of a row."""
        return self._text(int(self._first[row]) + k)

    def _text(self, k: int) -> str:
        return self._data[int(self._starts[k]) : int(self._ends[k])].decode()

    def texts(self, rows: Ints, k: int) -> list[bytes]:
        """Word k of each row."""
        at = self._first[rows] + k
        data = self._data
        return [data[i:j] for i, j in zip(self._starts[at].tolist(), self._ends[at].tolist(), strict=True)]

    def equals(self, rows: Ints, k: int, character: str) -> Bools:
        """Whether word k of each row is a character."""
        at = self._first[rows] + k
        return (self._bytes[self._starts[at]] == ord(character)) & (self._ends[at] - self._starts[at] == 1)

    def naturals(self, rows: Ints, k: int, what: str, bound: int | None = None, *, decimals: bool = False) -> Ints:
        """Word k of each row as a natural number, below ``bound`` if there is one.

        With ``decimals`` it may be written as tables often have it, ``3.0`` or ``1e+05``.

        Raises
        ------
        RowError
            A word is none, or too large.
        """
        at = self._first[rows] + k
        start, length = self._starts[at], self._ends[at] - self._starts[at]
        values = np.zeros(len(at), dtype=np.int64)
        good = (length > 0) & (length <= LONGEST)
        for j in range(min(LONGEST, int(length.max(initial=0)))):
            inside = j < length
            digit = self._bytes[start + np.minimum(j, length)] - np.uint8(48)  # below zero wraps around
            good &= ~inside | (digit < 10)
            values = np.where(inside & good, values * 10 + digit, values)
        if not good.all():
            if decimals:
                return self._whole(rows, k, what)
            row = int(np.argmin(good))
            raise RowError(int(rows[row]), _no_natural(self.word(int(rows[row]), k), what))
        if bound is not None and (outside := values >= bound).any():
            row = int(np.argmax(outside))
            needed = f"a number from 0 to {bound - 1}" if bound > 0 else "none"
            raise RowError(int(rows[row]), LineError(f"{what} is out of range", int(values[row]), needed))
        return values

    def _whole(self, rows: Ints, k: int, what: str) -> Ints:
        """Word k of each row, a decimal without fraction."""
        column = Column(self.texts(rows, k), rows)
        values: list[int] = []
        for j, word in enumerate(column.words):
            text = word.decode()
            try:
                value = Fraction(number(text, True, what)) if set(word) <= set(_PLAIN) else None
            except LineError:
                value = None
            if value is None or value.denominator > 1 or not 0 <= value < 10**LONGEST:
                raise column.error(j, _no_natural(text, what))
            values.append(int(value))
        return np.array(values, dtype=np.int64)[column.ids]


def _no_natural(word: str, what: str) -> LineError:
    large = word.isascii() and word.isdigit()
    needed = f"a number below {10**LONGEST}" if large else "a natural number"
    return LineError(f"{what} is {'too large' if large else 'not a natural number'}", shown(word), needed)


class Column:
    """Numbers of a table as written; equal words share one number.

    Attributes
    ----------
    ids : (n,) int64
        Which of ``words`` stands in each row.
    words : list of bytes
        In order of first appearance.
    rows : (n,) int64
        Rows of the table, for errors.
    """

    def __init__(self, words: list[bytes], rows: Ints):
        self.words: list[bytes] = list(dict.fromkeys(words))
        known = dict(zip(self.words, range(len(self.words)), strict=True))
        self.ids: Ints = np.fromiter(map(known.__getitem__, words), np.int64, len(words))
        self.rows = rows

    def has(self, mark: bytes) -> bool:
        """Whether some word contains a character."""
        return mark in b"".join(self.words)

    def numbers(self, exact: bool, what: str) -> list[Number]:
        """Each distinct word as a number: Fractions if ``exact``, else floats (which may be infinite).

        Raises
        ------
        RowError
            A word is no number.
        """
        if not exact and not b"".join(self.words).translate(None, _PLAIN):
            try:
                return list(map(float, self.words))
            except ValueError:  # which one, the loop below says
                pass
        values: list[Number] = []
        for k, word in enumerate(self.words):
            try:
                values.append(number(word.decode(), exact, what))
            except LineError as fault:
                raise self.error(k, fault) from None
        return values

    def error(self, k: int, fault: LineError) -> RowError:
        """The fault in the first row with word k."""
        return RowError(int(self.rows[int(np.argmax(self.ids == k))]), fault)

    def probabilities(self, exact: bool, rational: str) -> tuple[list[Number], Floats]:
        """Each distinct word as a probability, and the floats nearest to them.

        Raises
        ------
        RowError
            A word is no number from 0 to 1, or too small for a float; ``rational`` is the way out of that.
        """
        values = self.numbers(exact, "probability")
        floats = self.floats(values, "probability")
        for k in np.flatnonzero(~((floats > 0) & (floats < 1))).tolist():
            try:
                check_probability(values[k], self.words[k].decode(), exact, rational)
            except LineError as fault:
                raise self.error(k, fault) from None
        return values, floats

    def rewards(self, exact: bool) -> list[Number]:
        """Each distinct word as a reward that a float can hold.

        Raises
        ------
        RowError
            A word is no number, or too large.
        """
        values = self.numbers(exact, "reward")
        self.floats(values, "reward")
        return values

    def floats(self, values: Sequence[Number], what: str) -> Floats:
        """The floats nearest to ``values``, which belong to the words.

        Raises
        ------
        RowError
            A value is too large for a float.
        """
        try:
            floats = np.array(values, dtype=np.float64)
            if np.isfinite(floats).all():
                return floats
        except OverflowError:  # which one, the loop below says
            pass
        for k, value in enumerate(values):
            try:
                rounded(value, what)
            except LineError as fault:
                raise self.error(k, fault) from None
        raise AssertionError("a number is neither finite nor too large")


# --------------------------------------------------------------------------------------------------------------- rows


@dataclass(frozen=True, eq=False)
class Rows:
    """Transitions sorted by state, action and next state.

    Attributes
    ----------
    state, action : (L,) int64
        The pairs.
    indptr : (L+1,) int64
        Their transitions.
    target : (n,) int64
        Next states.
    order : (n,) int64
        Where each transition stood before.
    """

    state: Ints
    action: Ints
    indptr: Ints
    target: Ints
    order: Ints

    @property
    def pair_of(self) -> Ints:
        """The pair of each transition, (n,)."""
        return np.repeat(np.arange(len(self.state)), np.diff(self.indptr))

    def twins(self) -> Ints:
        """Positions of transitions that the one before repeats."""
        same = self.target[1:] == self.target[:-1]
        same[self.indptr[1:-1] - 1] = False
        return np.flatnonzero(same) + 1


def sorted_rows(state: Ints, action: Ints, target: Ints) -> Rows:
    """Sort transitions, keeping the order of repeated ones."""
    n = len(state)
    ds, da, dt = np.diff(state), np.diff(action), np.diff(target)
    order: Ints = np.arange(n)
    if not np.all((ds > 0) | ((ds == 0) & ((da > 0) | ((da == 0) & (dt >= 0))))):
        order = np.lexsort((target, action, state))
        state, action, target = state[order], action[order], target[order]
        ds, da = np.diff(state), np.diff(action)
    start = np.concatenate(([0], np.flatnonzero((ds != 0) | (da != 0)) + 1))
    return Rows(state[start], action[start], np.append(start, n), target, order)


def exact_decimals(rows: Rows, column: Column, ids: Ints, floats: Floats) -> bool:
    """Whether all rows sum to exactly one as the decimals that are written."""
    sums = np.add.reduceat(floats[ids], rows.indptr[:-1])
    if np.any(np.abs(sums - 1) > np.diff(rows.indptr) * 2.0**-52):  # farther than rounding could carry a sum of one
        return False
    indptr, words = rows.indptr[: _PREFIX + 1], column.words
    some: Ints
    some, inverse = np.unique(ids[: int(indptr[-1])], return_inverse=True)
    try:
        chosen = cast("list[int]", some.tolist())
        fractions = [cast(Fraction, number(words[k].decode(), True, "probability")) for k in chosen]
        if first_bad_row(indptr, inverse, fractions) is not None:
            return False
        return first_bad_row(rows.indptr, ids, cast(list[Fraction], column.numbers(True, "probability"))) is None
    except (LineError, RowError):  # an exponent that fits a float only
        return False


def transitions_of(
    rows: Rows, ids: Ints, values: Sequence[Number], floats: Floats, exact: bool, n_states: int, way_out: str
) -> tuple[Transitions, Ints]:
    """The law of rows that sum to one, and the positions of the transitions it keeps, those of positive probability.

    Parameters
    ----------
    ids : (n,) int64
        Which of ``values`` (Fractions if ``exact``) and ``floats`` belongs to each transition.
    way_out : str
        What to do about a rational row that does not sum to one.

    Raises
    ------
    RowError
        A row does not sum to one: names the pair.
    """
    bad = bad_sum(rows.indptr, ids, values, floats, exact)
    if bad is not None:
        row, fault = bad
        fault.way_out = way_out if exact else None
        raise RowError(row, fault)
    positive = np.array([value != 0 for value in values])[ids]
    kept = np.flatnonzero(positive)
    indptr = np.concatenate(([0], np.cumsum(positive)))[rows.indptr]
    ids = ids[kept]
    P = Transitions(indptr, rows.target[kept], floats[ids], n_states, objects(values)[ids] if exact else None)
    return P, kept


# ------------------------------------------------------------------------------------------------------------ rewards


def reward_of(
    P: Transitions,
    state: Ints,
    action: Ints,
    entries: tuple[Ints, Sequence[Number]] | None,
    states: tuple[Ints, Sequence[Number]] | None,
    exact: bool,
) -> Reward:
    """A structure of rewards of transitions, of states, or of their sums.

    Rewards of transitions that are the same on all transitions of every pair are rewards of pairs.

    Parameters
    ----------
    P : Transitions
    state, action : (L,) int64
        The pairs.
    entries, states : pair of (nnz,) or (S,) int64 and list, or None
        Which of the numbers each transition, or each state, has.
    exact : bool
        Whether P and the numbers are rational.

    Raises
    ------
    LineError
        A sum of two rewards is too large for a float.
    """
    try:
        with np.errstate(over="ignore"):
            reward = _reward_of(P, state, action, entries, states, exact)
    except ModelError:
        reward = None
    if reward is None or not np.isfinite(reward.values).all():
        raise LineError("a sum of rewards is too large for float64", needed="a magnitude of at most 1.8e308")
    return reward


def _reward_of(
    P: Transitions,
    state: Ints,
    action: Ints,
    entries: tuple[Ints, Sequence[Number]] | None,
    states: tuple[Ints, Sequence[Number]] | None,
    exact: bool,
) -> Reward:
    if entries is None:
        assert states is not None
        return _of_pairs((states[0][state], states[1]), None, exact)
    ids, values = entries
    same: Array
    if exact:
        known: dict[Number, int] = {}
        same = np.array([known.setdefault(value, k) for k, value in enumerate(values)], dtype=np.int64)[ids]
    else:
        same = np.array(values)[ids]
    if np.array_equal(same, same[P.indptr[:-1]][P.row_of]):
        of_state = None if states is None else (states[0][state], states[1])
        return _of_pairs((ids[P.indptr[:-1]], values), of_state, exact)
    if states is None:
        if exact:
            return from_exact_transitions(P, objects(values)[ids])
        return from_entries(np.array(values)[ids], P, "the reward", state, action)
    source = state[P.row_of]
    if exact:
        return from_exact_transitions(P, _sums((ids, values), (states[0][source], states[1])))
    of_entry, of_state = np.array(values)[ids], np.array(states[1])[states[0]]
    reward = from_entries(of_entry + of_state[source], P, "the reward", state, action)
    size = np.bincount(P.row_of, weights=P.data * np.abs(of_entry), minlength=P.n_rows)
    return replace(reward, error=reward.error + 4 * UNIT * (size + np.abs(of_state[state])))


def _of_pairs(
    first: tuple[Ints, Sequence[Number]], second: tuple[Ints, Sequence[Number]] | None, exact: bool
) -> Reward:
    if exact:
        return from_exact_values(objects(first[1])[first[0]] if second is None else _sums(first, second))
    values: Array = np.array(first[1], dtype=np.float64)[first[0]]
    size = np.abs(values)
    if second is not None:
        other = np.array(second[1], dtype=np.float64)[second[0]]
        values, size = values + other, size + np.abs(other)
    # the decimals of the file, each within half a unit in the last place, and the rounding of their sum
    return Reward(values, None, 4 * UNIT * size)


def _sums(first: tuple[Ints, Sequence[Number]], second: tuple[Ints, Sequence[Number]]) -> Objects:
    """Exact sums, computed once for each pair of numbers."""
    both, inverse = np.unique(first[0] * len(second[1]) + second[0], return_inverse=True)
    sums: list[Any] = [first[1][k // len(second[1])] + second[1][k % len(second[1])] for k in both.tolist()]
    return objects(sums)[inverse]
