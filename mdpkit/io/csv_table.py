r"""Transitions in CSV: ``idstatefrom,idaction,idstateto,probability,reward``, the format of CRAAM and its R package.

- Columns may stand in any order; others are ignored. Fields may be quoted or padded with blanks; blank lines and lines
  that begin with ``#`` are skipped.
- States are numbered from 0 without gaps, and each has an action; a terminal state goes to itself with reward 0. The
  actions of a state may have any numbers. Numbers may be decimals without fraction, ``3.0`` or R's ``1e+05``.
- Rows of the same state, action and next state are added up, as CRAAM does: probabilities are summed, rewards averaged
  with the probabilities as weights.
- If some probability is written ``p/q``, all numbers are rationals (decimals, too) and rows must sum to exactly one.
  Otherwise they are doubles, whose rows sum to one within ``ROW_TOLERANCE``.
- Rewards that are the same on all transitions of every pair are rewards of pairs. Where no reward is given in any row, the
  model has none.

The format has no place for anything else: :func:`write` warns of what it leaves out.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import warnings
from pathlib import Path
from typing import NoReturn, cast

import numpy as np

from mdpkit.errors import ModelWarning, UnsupportedError, nearest
from mdpkit.io.drn import LineError, Number, fail, float_texts, fraction_texts, objects, shown
from mdpkit.io.files import atomic, contents, decoded, physical_memory
from mdpkit.io.listed import Column, RowError, Rows, Table, reward_of, sorted_rows, transitions_of
from mdpkit.kernels.rational import dyadic_array
from mdpkit.models.mdp import MDP
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Floats, Ints, Objects

__all__ = ["COLUMNS", "read", "write"]

COLUMNS = ("idstatefrom", "idaction", "idstateto", "probability", "reward")
"""The header."""

OUTCOME = "idoutcome"
_RATIONAL = "write a probability as p/q: the file is then rational"
_ROW = "correct the row, or write no number as p/q if its decimals are rounded"
_NEEDED = "a .csv file with the columns " + ", ".join(COLUMNS)


# ------------------------------------------------------------------------------------------------------------ reading


def read(path: str | os.PathLike[str]) -> MDP:
    """Read a ``.csv`` or ``.csv.gz`` file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    MDP
        Without criterion, initial state and labels; its reward structure is ``r``.

    Raises
    ------
    ParseError
        The file is missing, damaged or malformed: names the line.
    SizeError
        The file unpacks to more than fits in memory.
    UnsupportedError
        The file has several outcomes for a state and an action, as those of robust models have.
    """
    return _Reader(Path(path)).read()


class _Reader:
    """One file."""

    def __init__(self, path: Path):
        self.path = path

    def fail(self, fault: LineError, line: int) -> NoReturn:
        fail(self.path, fault, line)

    def read(self) -> MDP:
        data = contents(self.path, _NEEDED, ".gz" if self.path.name.lower().endswith(".gz") else "")
        text = decoded(self.path, data)
        if "\n" not in text:
            text = text.replace("\r", "\n")
        if not text.strip():
            self.fail(LineError("the file is empty", needed=",".join(COLUMNS)), 1)
        head, newline, rest = text.partition("\n")
        if '"' in head and '"' not in rest:  # as R writes it: names of columns that need no quotes
            plain = head.replace('"', "")
            text = plain + newline + rest if plain.count(",") == head.count('","') else text
        if '"' in text:
            table, lines, places = self._quoted(text)
        else:
            table = Table(text.encode(), comma=True)
            lines: Ints = table.line
            if not len(table):
                self.fail(LineError("no header", needed=",".join(COLUMNS)), 1)
            places = self._places(table.words(0), int(lines[0]))
        try:
            return self._model(table, lines, places)
        except RowError as error:
            self.fail(error.fault, int(lines[error.row]))

    def _places(self, header: list[str], line: int) -> dict[str, int]:
        """Where each column stands."""
        names = [" ".join(name.split()).lower() for name in header]
        wanted = (*COLUMNS, OUTCOME)
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            way_out = f"the first line names the columns; {nearest(missing[0], names)}"
            if any(mark in header[0] for mark in ";\t"):
                way_out = "separate the columns by commas"
            elif missing == ["reward"]:
                way_out += "; a model without rewards leaves the fields of this column empty"
            what = f"no column {', '.join(missing)}"
            self.fail(LineError(what, shown(",".join(header)), ",".join(COLUMNS), way_out), line)
        twice = [name for name in wanted if names.count(name) > 1]
        if twice:
            self.fail(LineError(f"two columns {twice[0]}", shown(",".join(header)), "one"), line)
        self.width = len(names)
        return {name: names.index(name) for name in wanted if name in names}

    def _quoted(self, text: str) -> tuple[Table, Ints, dict[str, int]]:
        """A table with quotes, reduced to the columns that are wanted."""
        plain = re.sub(r"^[ \t]*#.*$", "", text, flags=re.MULTILINE)  # quotes in comments are not to be balanced
        rows = csv.reader(io.StringIO(plain, newline=""), skipinitialspace=True, strict=True)
        out: list[str] = []
        lines: list[int] = []
        places: dict[str, int] | None = None
        last = 0
        try:
            for row in rows:
                line, last = last + 1, rows.line_num
                if not any(field.strip() for field in row):
                    continue
                if places is None:
                    places = self._places(row, line)
                elif len(row) != self.width:
                    self._bad_width(row, line)
                fields = [row[k] for k in places.values()]
                for field in fields:
                    if any(mark in field for mark in ',"\n'):
                        self.fail(LineError("not a number", shown(field)), line)
                out.append(",".join(fields))
                lines.append(line)
        except csv.Error as error:
            self.fail(LineError("not a line of CSV", str(error)), max(rows.line_num, 1))
        if places is None:
            self.fail(LineError("no header", needed=",".join(COLUMNS)), 1)
        self.width = len(places)
        table = Table("\n".join(out).encode(), comma=True)
        kept = np.array(lines, dtype=np.int64)[table.line - 1]
        return table, kept, dict(zip(places, range(len(places)), strict=True))

    def _bad_width(self, row: list[str], line: int) -> NoReturn:
        few = "few" if len(row) < self.width else "many"
        self.fail(LineError(f"too {few} fields", shown(",".join(row)), f"{self.width}, as in the header"), line)

    def _model(self, table: Table, lines: Ints, places: dict[str, int]) -> MDP:
        body = np.arange(1, len(table))
        odd = np.flatnonzero(table.count[body] != self.width)
        if len(odd):
            row = int(body[odd[0]])
            self._bad_width(table.words(row), int(lines[row]))
        if not len(body):
            self.fail(LineError("no transitions under the header", needed="a row for each"), int(lines[0]))
        source, action, target = (table.naturals(body, places[name], name, decimals=True) for name in COLUMNS[:3])
        if OUTCOME in places:
            outcome = table.naturals(body, places[OUTCOME], OUTCOME, decimals=True)
            if outcome.any():
                line = int(lines[body[np.argmax(outcome != 0)]])
                raise UnsupportedError(
                    f"{self.path}: line {line}: several outcomes of an action, as robust models have, are not supported",
                    found=f"{OUTCOME} {int(outcome.max())}",
                    needed="0 in all rows",
                )
        column = Column(table.texts(body, places["probability"]), body)
        gains = Column(table.texts(body, places["reward"]), body)
        exact = column.has(b"/")
        values, floats = column.probabilities(exact, _RATIONAL)
        rewards: list[Number] | None = None if gains.words == [b""] else gains.rewards(exact)
        S = self._states(source, target, body, lines)
        top = int(np.argmax(action))
        if 8 * S * (int(action[top]) + 1) > physical_memory():
            what = "a number of an action so large that a table of states and actions would not fit in memory"
            raise RowError(int(body[top]), LineError(what, int(action[top]), "the actions of a state numbered from 0"))
        rows = sorted_rows(source, action, target)
        ids, of_reward = column.ids[rows.order], gains.ids[rows.order]
        if len(rows.twins()):
            rows, ids, values, floats, of_reward, rewards = _added(rows, ids, values, of_reward, rewards, exact)
        try:
            P, kept = transitions_of(rows, ids, values, floats, exact, S, _ROW)
        except RowError as error:
            raise self._bad_row(error, source, action, rows, lines[body]) from None
        if rewards is None:
            return MDP(P, state=rows.state, action=rows.action)
        try:
            reward = reward_of(P, rows.state, rows.action, (of_reward[kept], rewards), None, exact)
        except LineError as fault:
            self.fail(fault, int(lines[0]))
        return MDP(P, reward, state=rows.state, action=rows.action)

    def _states(self, source: Ints, target: Ints, body: Ints, lines: Ints) -> int:
        """The number of states, each of which has an action."""
        present, largest = np.unique(source), int(max(source.max(), target.max()))
        if len(present) == largest + 1:
            return largest + 1
        gap = np.flatnonzero(present != np.arange(len(present)))
        state = int(gap[0]) if len(gap) else len(present)
        entered = np.flatnonzero(target == state)
        if len(entered):
            way_out = f"a terminal state goes to itself: {state},0,{state},1,0"
            row, what = int(entered[0]), f"state {state} is entered but has no action"
        else:
            way_out = "number the states from 0 without gaps"
            above = (source > state) | (target > state)
            row, what = int(np.argmax(above)), f"there is no state {state}, but one with a larger number"
        self.fail(LineError(what, needed="rows of every state", way_out=way_out), int(lines[body[row]]))

    def _bad_row(self, error: RowError, source: Ints, action: Ints, rows: Rows, lines: Ints) -> RowError:
        """The error of a row that does not sum to one, with state, action and lines."""
        s, a = int(rows.state[error.row]), int(rows.action[error.row])
        own = np.flatnonzero((source == s) & (action == a))
        numbers = lines[own].tolist()
        listed = ", ".join(map(str, numbers[:20])) + (" …" if len(numbers) > 20 else "")
        where = f" of state {s}, action {a} (line{'s' if len(numbers) > 1 else ''} {listed}) do not"
        fault = error.fault
        fault.what = f"the {fault.what.replace(' do not', where)}"
        return RowError(int(own[0]) + 1, fault)


def _added(
    rows: Rows, ids: Ints, values: list[Number], of_reward: Ints, rewards: list[Number] | None, exact: bool
) -> tuple[Rows, Ints, list[Number], Floats, Ints, list[Number] | None]:
    """Rows of the same transition made one: the sum of the probabilities, and the average of the rewards."""
    p: Array = objects(values)[ids] if exact else np.array(values)[ids]
    first = np.ones(len(ids), dtype=bool)
    first[rows.twins()] = False
    start = np.flatnonzero(first)
    total: Array = np.add.reduceat(p, start)
    new: list[Number] | None = None
    if rewards is not None:
        r: Array = objects(rewards)[of_reward] if exact else np.array(rewards)[of_reward]
        single = np.diff(np.append(start, len(ids))) == 1
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            # weights before products: no product overflows
            share = p / np.where(total == 0, total * 0 + 1, total)[np.cumsum(first) - 1]
            new = np.where(single, r[start], np.add.reduceat(share * r, start)).tolist()
    indptr = np.searchsorted(start, rows.indptr)
    merged = Rows(rows.state, rows.action, indptr, rows.target[start], rows.order[start])
    every: Ints = np.arange(len(start))
    return merged, every, total.tolist(), total.astype(np.float64), every, new


# ------------------------------------------------------------------------------------------------------------ writing


def write(mdp: MDP, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write the transitions and the active rewards of a model to a ``.csv`` or ``.csv.gz`` file.

    Rational where the transitions are (rewards that are floats are then written by their bits), else floats that read
    back bit for bit. A :class:`~mdpkit.errors.ModelWarning` says what the file does not hold: initial law, labels, names,
    further rewards, the criterion, and that the model minimizes.

    Parameters
    ----------
    mdp : MDP
    path : path-like
        Compressed if it ends in ``.gz``. Written to a temporary file first, then renamed.
    overwrite : bool
        Whether an existing file is replaced.

    Raises
    ------
    OutputExistsError
        The file exists and ``overwrite`` is false.
    OptionError
        The folder does not exist, or the path is a folder.
    UnsupportedError
        Laws or rewards vary with the stage, the model has several reward structures and none is chosen, or the rows of a
        model made by ``.exact(dyadic=True)`` do not sum to exactly one.
    """
    from mdpkit.io.drn_model import check_flat

    path = Path(path)
    check_flat(mdp, "CSV", law=False)
    if mdp.active is None and mdp.rewards:
        raise UnsupportedError(
            "CSV has one reward structure",
            found=", ".join(map(repr, mdp.rewards)),
            way_out='choose one: mdp.under(criterion, reward="…"), or --reward of mdpkit convert; .npz holds all',
        )
    with atomic(path, overwrite) as file:
        data = "\n".join([",".join(COLUMNS), *_lines(mdp), ""]).encode()
        if path.name.lower().endswith(".gz"):
            data = gzip.compress(data, mtime=0)
        file.write(data)
    lost = _lost(mdp)
    if lost:
        warnings.warn(f"{path} does not hold {', '.join(lost)}: .npz does", ModelWarning, stacklevel=2)


def _lines(mdp: MDP) -> list[str]:
    P: Transitions = mdp.P
    row = P.row_of
    rational = P.exact is not None
    texts_of = fraction_texts() if rational else float_texts
    probabilities = texts_of(P.data if P.exact is None else P.exact)
    if rational and not any("/" in text for text in probabilities):
        probabilities[0] += "/1"  # otherwise the file would be one of doubles
    gains = [""] * P.nnz
    if mdp.active is not None:
        reward = mdp.rewards[mdp.active]
        pairs = reward.transition is None
        values, exact = (reward.values, reward.exact) if pairs else (reward.transition, reward.transition_exact)
        assert values is not None
        numbers: Floats | Objects = values if not rational else dyadic_array(values) if exact is None else exact
        gains = texts_of(numbers)
        if pairs:
            of_pair, pair_of = gains, cast("list[int]", row.tolist())
            gains = [of_pair[k] for k in pair_of]
    columns = mdp.state[row].tolist(), mdp.action[row].tolist(), P.indices.tolist(), probabilities, gains
    return [f"{s},{a},{t},{p},{r}" for s, a, t, p, r in zip(*columns, strict=True)]


def _lost(mdp: MDP) -> list[str]:
    """What a table of transitions does not hold."""
    lost: list[str] = []
    if mdp.rho is not None:
        lost.append("the initial state" if np.count_nonzero(mdp.rho) == 1 else "the initial law")
    if mdp.labels:
        lost.append(f"the labels ({', '.join(mdp.labels)})")
    others = [name for name in mdp.rewards if name != mdp.active]
    if others:
        lost.append(f"the reward structures {', '.join(map(repr, others))}")
    if mdp.active not in (None, "r"):
        lost.append(f"the name {mdp.active!r} of the rewards")
    if mdp.state_names is not None and mdp.state_names != tuple(range(mdp.n_states)):
        lost.append("the names of the states")
    if mdp.pair_names is not None and list(mdp.pair_names) != list(map(str, mdp.action.tolist())):
        lost.append("the names of the actions")
    if mdp.criterion is not None:
        lost.append("the criterion")
    if mdp.minimize:
        lost.append("that the model minimizes")
    return lost
