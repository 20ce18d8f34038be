r"""Cassandra's text format of decision processes, without observations: files ``.MDP``.

The format of pomdp-solve, which many tools for partially observable problems read: a preamble
(``discount:``, ``values:``, ``states:``, ``actions:``), an optional ``start:``, and then any number of ``T:`` and
``R:`` entries, later ones overriding earlier ones. Without ``observations:`` such a file is a fully observable model.
How this reader understands what the description of the format leaves open:

- numbers are decimals, taken exactly: the model is rational if every row of probabilities sums to exactly one, otherwise
  a model of floats whose rows must sum to one within 1e-6 (as is one that :func:`write` wrote of floats);
- ``discount: 1`` is :class:`~mdpkit.models.criterion.TotalReward`, as the sum is then not discounted;
- without ``start:`` the model has no initial law; a lone integer after ``start:`` is a state;
- rewards that no ``R:`` line gives are zero; where some entry names the next state they are rewards on transitions;
- ``R:`` takes the forms for fully observable problems (a number after ``action : state : next``, a row after
  ``action : state``, a matrix after ``action``), and ``*`` in the place of an observation;
- probabilities that no ``T:`` line gives are zero, so that every action must be described in every state;
- ``T: action : state reset`` returns to the initial law, as in later versions of pomdp-solve.
"""

from __future__ import annotations

import os
import re
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np

from mdpkit.errors import ModelError, OptionError, ParseError, SizeError, UnsupportedError, nearest
from mdpkit.io.drn import ROW_TOLERANCE, LineError, fail, first_bad_row
from mdpkit.io.drn_model import check_flat
from mdpkit.io.files import atomic, contents, decoded, physical_memory
from mdpkit.kernels.rational import to_fraction
from mdpkit.models.criterion import Discounted, TotalReward
from mdpkit.models.mdp import MDP
from mdpkit.models.rewards import from_entries
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Ints

__all__ = ["read", "write"]

_SLACK = ROW_TOLERANCE + 1e-12
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_COMMENT = re.compile(r"#[^\n]*")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_SECTIONS = ("discount", "values", "states", "actions", "observations", "start", "T", "O", "R")
_RESERVED = frozenset({*_SECTIONS, "uniform", "identity", "reset", "reward", "cost", "include", "exclude"})
_ALL = -1  # the wildcard *
_FLOATS = "# Written by mdpkit, in floats\n"
"""The first line of files written of floats: what happens to be exact in them stays floats as well."""
_NO_NAME = "0123456789+-.*:"


def read(path: str | os.PathLike[str]) -> MDP:
    """Read a file in Cassandra's format that has no observations.

    Parameters
    ----------
    path : path-like
        Usually named ``*.MDP``.

    Returns
    -------
    MDP
        All A actions in each of the S states; names where the file lists them; the criterion of its discount.

    Raises
    ------
    ParseError
        The file is missing or malformed; names the line.
    UnsupportedError
        The file has observations: it is a POMDP.
    SizeError
        The file is more than fits in memory.

    Source: A. R. Cassandra, the POMDP file format of pomdp-solve.
    """
    path = Path(path)
    text = decoded(path, contents(path, "a file in Cassandra's format (.MDP)"))
    return _Reader(path, text).read()


class _TokenError(LineError):
    """A fault at the token being read, or at ``token``; the reader adds path and line."""

    def __init__(
        self,
        what: str,
        found: object = None,
        needed: str | None = None,
        way_out: str | None = None,
        token: int | None = None,
        refused: bool = False,
    ):
        super().__init__(what, found, needed, way_out, refused)
        self.token = token


def _shown(token: str) -> str:
    return repr(token if len(token) <= 60 else token[:59] + "…")


class _Numbers(dict[str, int]):
    """Text of a decimal to its index in ``exact``, ``floats`` and ``proper`` (probabilities); each text is read once."""

    def __init__(self) -> None:
        super().__init__()
        self.exact: list[Fraction] = []
        self.floats: list[float] = []
        self.proper: list[bool] = []

    def __missing__(self, token: str) -> int:
        if not _DECIMAL.fullmatch(token):
            raise _TokenError("not a number", _shown(token), "a decimal number")
        try:
            value = to_fraction(token)
        except OptionError as error:
            raise _TokenError(error.what, _shown(token), error.needed) from None
        self[token] = known = self.add(value, token)
        return known

    def add(self, value: Fraction, token: str = "") -> int:
        """The index of a number, appended to the table."""
        try:
            near = float(value)
        except OverflowError:
            raise _TokenError("a number beyond the range of floats", needed="magnitudes below 1.8e308") from None
        if token[:1] == "-" and not near:
            near = -0.0
        if value and not near:
            raise _TokenError("a number too small for a float", needed="zero, or magnitudes above 5e-324")
        self.exact.append(value)
        self.proper.append(0 <= value <= 1)
        self.floats.append(near)
        return len(self.exact) - 1


class _References(dict[str, int]):
    """Token to index: names, numbers below ``n``, and the wildcard where it is allowed."""

    def __init__(self, what: str, n: int, names: Sequence[str] | None):
        super().__init__({"*": _ALL})
        self.what, self.n, self.names = what, n, names
        for i, name in enumerate(names or ()):
            self[name] = i

    def __missing__(self, token: str) -> int:
        if token.isascii() and token.isdigit():
            index = int(token) if len(token) <= 18 else self.n
            if index < self.n:
                self[token] = index
                return index
            raise _TokenError(f"{self.what} out of range", _shown(token), f"a number from 0 to {self.n - 1}")
        if self.names is None:
            raise _TokenError(
                f"not a {self.what}", _shown(token), f"a number from 0 to {self.n - 1}, or *: the file lists no names"
            )
        known = self.names if len(self.names) <= 5000 else self.names[:0]  # to compare with more would take long
        raise _TokenError(f"unknown {self.what}", _shown(token), way_out=nearest(token, known) if known else None)


class _Entries:
    """Entries in the order of the file: indices of action, state, next state (-1 for all), number and token."""

    def __init__(self) -> None:
        self.columns = tuple(array("q") for _ in range(5))
        self.append = tuple(column.append for column in self.columns)

    def arrays(self) -> tuple[Ints, ...]:
        """The columns as arrays."""
        return tuple(np.array(column, dtype=np.int64) for column in self.columns)


class _Block:
    """Numbers for whole rows: ``kind`` is row, matrix, uniform, identity or reset; ``at`` its place among entries."""

    def __init__(self, kind: str, action: int, state: int, at: int, token: int, ids: Ints | None = None, end: int = 0):
        self.kind, self.action, self.state, self.at = kind, action, state, at
        self.token, self.ids, self.end = token, ids, end


class _Reader:
    def __init__(self, path: Path, text: str):
        self.path, self.text = path, text
        self.tokens = _COMMENT.sub("", text).replace(":", " : ").split()
        self.k = 0
        self.seen: dict[str, int] = {}
        self.numbers = _Numbers()
        self.zero, self.one = self.numbers["0"], self.numbers["1"]
        self.gamma: Fraction | None = None
        self.minimize = False
        self.names: dict[str, list[str] | None] = {}
        self.states = self.actions = _References("state", 0, None)
        self.start: list[Fraction] | int | None = None
        self.T, self.R = _Entries(), _Entries()
        self.T_blocks: list[_Block] = []
        self.last: Ints = np.zeros(0, dtype=np.int64)  # which entry or block wrote to a row last, -1 for none
        self.token_at: Ints = self.last  # where entries and blocks begin
        self.block_at: dict[int, _Block] = {}
        self.R_blocks: list[_Block] = []

    def read(self) -> MDP:
        if not self.tokens:
            raise ParseError(
                "the file is empty", path=self.path, line=1, needed="discount:, values:, states:, actions:"
            )
        try:
            self.sections()
            return self.model()
        except _TokenError as fault:
            self.fail(fault)
        except ParseError:
            raise
        except (ModelError, OptionError) as error:
            raise ParseError(
                error.what, path=self.path, found=error.found, needed=error.needed, way_out=error.way_out
            ) from None

    def fail(self, fault: _TokenError) -> NoReturn:
        fail(self.path, fault, self.line(self.k if fault.token is None else fault.token))

    def line(self, token: int) -> int:
        """The line of a token; of the last one for tokens beyond the end."""
        token = min(token, len(self.tokens) - 1)
        ends: list[int] = []
        total = 0
        for line in _COMMENT.sub("", self.text).split("\n"):
            total += len(line.replace(":", " : ").split())
            ends.append(total)
        return bisect_right(ends, token) + 1

    # -- tokens

    def peek(self, ahead: int = 0) -> str:
        """A token, the empty text beyond the end."""
        k = self.k + ahead
        return self.tokens[k] if k < len(self.tokens) else ""

    def take(self, needed: str) -> str:
        if self.k >= len(self.tokens):
            raise _TokenError("the file ends in the middle of an entry", needed=needed)
        token = self.tokens[self.k]
        self.k += 1
        return token

    def colon(self) -> None:
        token = self.peek()
        if token != ":":
            raise _TokenError("a colon is missing", _shown(token) if token else "the end of the file", "':'")
        self.k += 1

    def at_section(self) -> bool:
        """Whether the next tokens open a section, or there are none."""
        word = self.peek()
        if not word:
            return True
        if word == "start" and self.peek(1) in ("include", "exclude"):
            return self.peek(2) == ":"
        return word in _SECTIONS and self.peek(1) == ":"

    # -- sections

    def sections(self) -> None:
        handlers = {
            "discount": self.read_discount,
            "values": self.read_values,
            "states": self.read_names,
            "actions": self.read_names,
            "start": self.read_start,
            "T": self.read_transitions,
            "R": self.read_rewards,
        }
        tokens = self.tokens
        while self.k < len(tokens):
            word = tokens[self.k]
            if word in ("observations", "O") and self.peek(1) == ":":
                raise _TokenError(
                    f"the file has observations ({word}:), so it is a POMDP, and those are not supported",
                    needed="a fully observable model: discount:, values:, states:, actions:, T: and R:",
                    refused=True,
                )
            if not self.at_section():
                hint = None
                if _DECIMAL.fullmatch(word):
                    hint = "the entry before it has more numbers than fit"
                elif word not in ("*", ":"):
                    hint = nearest(word, _SECTIONS)
                raise _TokenError("not understood here", _shown(word), "an entry such as T: or R:", hint)
            if word not in ("T", "R"):
                if word in self.seen:
                    first = self.line(self.seen[word])
                    raise _TokenError(
                        f"a second {word}:", needed=f"one {word}:", way_out=f"the first is on line {first}"
                    )
                self.seen[word] = self.k
            if word in ("T", "R") and len(self.names) == 2:
                begin = self.k
                self.singles()
                if self.k > begin:
                    continue
            if word in ("start", "T", "R"):
                for name in ("states", "actions"):
                    if name not in self.seen:
                        raise _TokenError(f"{word}: before {name}:", needed=f"{name}: in the preamble")
            handlers[word]()
        for word in ("discount", "values", "states", "actions"):
            if word not in self.seen:
                raise _TokenError(f"the file has no {word}:", needed=f"{word}: in the preamble")

    def read_discount(self) -> None:
        self.k += 1
        self.colon()
        value = self.numbers.exact[self.number()]
        if not 0 <= value <= 1:
            raise _TokenError("the discount is outside [0, 1]", float(value), "0 <= discount <= 1", token=self.k - 1)
        if value < 1 and float(value) == 1:
            raise _TokenError("a discount that rounds to 1", needed="1, or at most 1 - 2**-53", token=self.k - 1)
        self.gamma = value

    def read_values(self) -> None:
        self.k += 1
        self.colon()
        word = self.take("reward or cost")
        if word not in ("reward", "cost"):
            raise _TokenError("values: is neither reward nor cost", _shown(word), "reward or cost", token=self.k - 1)
        self.minimize = word == "cost"

    def read_names(self) -> None:
        kind = self.tokens[self.k]
        self.k += 1
        self.colon()
        first = self.k
        while not self.at_section():
            self.k += 1
        words = self.tokens[first : self.k]
        what = kind[:-1]
        names: list[str] | None = words
        if not words:
            raise _TokenError(
                f"{kind}: without number or names", needed=f"a number, or the names of the {kind}", token=first
            )
        if len(words) == 1 and words[0].isascii() and words[0].isdigit():
            names, n = None, int(words[0]) if len(words[0]) <= 18 else 10**18
            if n < 1:
                raise _TokenError(f"no {kind}", words[0], f"at least one {what}", token=first)
        else:
            n = len(words)
            known: set[str] = set()
            for i, word in enumerate(words):
                if word[0] in _NO_NAME or word in known:
                    told = "named twice" if word in known else f"not the name of a {what}"
                    raise _TokenError(
                        f"{_shown(word)} is {told}",
                        needed=f"one number of {kind}, or distinct names that begin with a letter",
                        token=first + i,
                    )
                known.add(word)
        references = _References(what, n, names)
        self.names[kind] = names
        if kind == "states":
            self.states = references
        else:
            self.actions = references
        n_states, n_pairs = max(self.states.n, 1), max(self.states.n, 1) * max(self.actions.n, 1)
        if 48 * n_pairs > physical_memory() or n_states >= 2**32 or n_pairs * n_states >= 2**63:
            raise _TokenError(
                f"more {kind} than fit in memory",
                f"{n} {kind}",
                f"at most {physical_memory() / 2**30:.1f} GiB for all pairs of states and actions",
                token=first,
            )

    def number(self) -> int:
        token = self.take("a number")
        try:
            return self.numbers[token]
        except _TokenError as fault:
            fault.token = self.k - 1
            raise

    def run(self, count: int, what: str) -> Ints:
        """The next ``count`` numbers, as indices."""
        part = self.tokens[self.k : self.k + count]
        known = self.numbers
        try:
            ids = [known[token] for token in part]
        except _TokenError as fault:
            given = next(i for i, token in enumerate(part) if token not in known)
            self.k += given
            if given and self.at_section():
                self.too_few(what, given, count)
            raise fault from None
        if len(part) < count:
            self.k += len(part)
            self.too_few(what, len(part), count)
        self.k += count
        if _DECIMAL.fullmatch(self.peek()):
            raise _TokenError(f"{what} has more numbers than fit", _shown(self.peek()), f"{count} numbers")
        return np.array(ids, dtype=np.int64)

    def too_few(self, what: str, given: int, count: int) -> NoReturn:
        raise _TokenError(
            f"{what} has too few numbers", f"{given} numbers", f"{count} numbers", token=self.k - 1
        ) from None

    def reference(self, known: _References, wildcard: bool = True) -> int:
        token = self.take(f"a {known.what}")
        try:
            index = known[token]
        except _TokenError as fault:
            fault.token = self.k - 1
            raise
        if index == _ALL and not wildcard:
            raise _TokenError(f"* is no {known.what} here", needed=f"the {known.what}s one by one", token=self.k - 1)
        return index

    def read_start(self) -> None:
        self.k += 1
        mode = self.peek()
        if mode in ("include", "exclude"):
            self.k += 1
        else:
            mode = ""
        self.colon()
        first, S = self.k, self.states.n
        if mode:
            chosen: set[int] = set()
            while not self.at_section():
                chosen.add(self.reference(self.states, wildcard=False))
            if mode == "exclude":
                chosen = set(range(S)) - chosen
            if not chosen or self.k == first:
                raise _TokenError(f"start {mode}: leaves no state", needed="at least one initial state", token=first)
            self.set_start({s: Fraction(1, len(chosen)) for s in chosen})
            return
        word = self.peek()
        if word == "uniform":
            self.k += 1
            self.set_start({s: Fraction(1, S) for s in range(S)})
        elif not _DECIMAL.fullmatch(word) or (word.isdigit() and self.lone() and (S > 1 or word == "0")):
            self.start = self.reference(self.states, wildcard=False)
        else:
            ids: list[int] = self.run(S, "the initial law").tolist()
            law = [self.numbers.exact[i] for i in ids]
            for i, value in enumerate(law):
                if not 0 <= value <= 1:
                    raise _TokenError("not a probability", float(value), "a number from 0 to 1", token=first + i)
            total = sum(law, start=Fraction(0))
            if abs(total - 1) > _SLACK:
                raise _TokenError(
                    "the initial law does not sum to 1", float(total), f"1 within {ROW_TOLERANCE:g}", token=first
                )
            self.set_start(dict(enumerate(law)))

    def lone(self) -> bool:
        self.k += 1
        try:
            return self.at_section()
        finally:
            self.k -= 1

    def set_start(self, law: dict[int, Fraction]) -> None:
        certain = [s for s, p in law.items() if p == 1]
        self.start = certain[0] if certain else [law.get(s, Fraction(0)) for s in range(self.states.n)]

    def read_transitions(self) -> None:
        begin, S = self.k, self.states.n
        self.k += 1
        self.colon()
        a = self.reference(self.actions)
        s = t = _ALL
        if self.peek() == ":":
            self.k += 1
            s = self.reference(self.states)
            if self.peek() == ":":
                self.k += 1
                t = self.reference(self.states)
                self.add(self.T, a, s, t, self.probability(), begin)
                return
            kind, allowed, what = "row", ("uniform", "reset"), "the row of probabilities"
        else:
            kind, allowed, what = "matrix", ("uniform", "identity"), "the matrix of probabilities"
        word, at = self.peek(), len(self.T.columns[0])
        if word in ("uniform", "identity", "reset"):
            if word not in allowed:
                raise _TokenError(f"{word} does not stand for a {kind}", needed=f"numbers, {' or '.join(allowed)}")
            if word == "reset" and self.start is None:
                raise _TokenError("reset without start:", needed="start: before the transitions")
            self.k += 1
            self.T_blocks.append(_Block(word, a, s, at, begin))
            return
        first = self.k
        ids = self.run(S if kind == "row" else S * S, what)
        for i in np.unique(ids).tolist():
            fault = self.no_probability(i)
            if fault is not None:
                fault.token = first + int(np.argmax(ids == i))
                raise fault
        self.T_blocks.append(_Block(kind, a, s, at, begin, ids, self.k))

    def probability(self) -> int:
        i = self.number()
        fault = self.no_probability(i)
        if fault is not None:
            fault.token = self.k - 1
            raise fault
        return i

    def no_probability(self, i: int) -> _TokenError | None:
        if self.numbers.proper[i]:
            return None
        what = "a negative probability" if self.numbers.exact[i] < 0 else "a probability greater than 1"
        return _TokenError(what, self.numbers.floats[i], "a probability from 0 to 1")

    def singles(self) -> None:
        """Take the longest run of entries ``T: a : s : s' p`` and ``R: a : s : s' r``, which most files consist of."""
        tokens, states, actions, numbers, proper = (
            self.tokens,
            self.states,
            self.actions,
            self.numbers,
            self.numbers.proper,
        )
        T, R = self.T.append, self.R.append
        k, end = self.k, len(tokens) - 7
        try:
            while k < end:
                word = tokens[k]
                if (
                    (word != "T" and word != "R")
                    or tokens[k + 5] != ":"
                    or tokens[k + 3] != ":"
                    or tokens[k + 1] != ":"
                ):
                    break
                if tokens[k + 7] == ":":
                    break
                a, s, t, i = (
                    actions[tokens[k + 2]],
                    states[tokens[k + 4]],
                    states[tokens[k + 6]],
                    numbers[tokens[k + 7]],
                )
                if word == "R":
                    to_a, to_s, to_t, to_i, to_token = R
                elif proper[i]:
                    to_a, to_s, to_t, to_i, to_token = T
                else:
                    break
                to_a(a)
                to_s(s)
                to_t(t)
                to_i(i)
                to_token(k)
                k += 8
        except _TokenError:
            pass  # the entry is read once more, one token at a time, to name the one at fault
        self.k = k

    def read_rewards(self) -> None:
        begin, S = self.k, self.states.n
        self.k += 1
        self.colon()
        a = self.reference(self.actions)
        s = _ALL
        if self.peek() == ":":
            self.k += 1
            s = self.reference(self.states)
            if self.peek() == ":":
                self.k += 1
                t = self.reference(self.states)
                if self.peek() == ":":
                    self.k += 1
                    token = self.take("*")
                    if token != "*":
                        raise _TokenError(
                            "a reward on an observation in a file without observations",
                            _shown(token),
                            "* in its place",
                            token=self.k - 1,
                        )
                self.add(self.R, a, s, t, self.number(), begin)
                return
            kind, count, what = "row", S, "the row of rewards"
        else:
            kind, count, what = "matrix", S * S, "the matrix of rewards"
        self.R_blocks.append(_Block(kind, a, s, len(self.R.columns[0]), begin, self.run(count, what)))

    def add(self, entries: _Entries, a: int, s: int, t: int, i: int, token: int) -> None:
        for append, value in zip(entries.append, (a, s, t, i, token), strict=True):
            append(value)

    # -- the model

    def model(self) -> MDP:
        S, A = self.states.n, self.actions.n
        indptr, columns, ids = self.rows()
        exact = self.check_rows(indptr, ids)
        floats = np.array(self.numbers.floats)
        table = np.empty(len(self.numbers.exact), dtype=object)
        table[:] = self.numbers.exact
        state, action = np.repeat(np.arange(S), A), np.tile(np.arange(A), S)
        P = Transitions(indptr, columns, floats[ids], S, table[ids] if exact else None)
        numbers = table if exact else floats
        names = self.names["actions"]
        assert self.gamma is not None
        options: dict[str, Any] = {
            "state": state,
            "action": action,
            "rho": self.law(),
            "minimize": self.minimize,
            "state_names": self.names["states"],
            "pair_names": None if names is None else [names[a] for a in action.tolist()],
        }
        entry, on_transitions = self.rewards(P, state, action)
        values = numbers[entry]
        reward = from_entries(values, P, "r", state, action) if on_transitions else values[P.indptr[:-1]]
        criterion = TotalReward() if self.gamma == 1 else Discounted(self.gamma)
        return MDP(P, reward, criterion, **options)

    def law(self) -> Any:
        if not isinstance(self.start, list):
            return self.start
        exact = np.array(self.start, dtype=object)
        rational = sum(self.start) == 1 and not self.text.startswith(_FLOATS)
        return exact if rational else exact.astype(np.float64)

    def rows(self) -> tuple[Ints, Ints, Ints]:
        """The transition rows ``s*A + a``: ``indptr``, next states and indices of probabilities, without zeros."""
        S, A = self.states.n, self.actions.n
        L = S * A
        reset = np.full(L, -1, dtype=np.int64)  # when the whole row was last written
        self.last = last = np.full(L, -1, dtype=np.int64)
        parts: list[tuple[Ints, Ints, Ints, Ints]] = []
        zero = np.array([value == 0 for value in self.numbers.exact])
        size = 0

        def put(rows: Ints, columns: Ints, ids: Ints, when: Ints | int) -> None:
            nonlocal size
            size += len(rows)
            if 96 * size > physical_memory():
                raise SizeError(
                    f"{self.path}: the entries of T stand for more transitions than fit in memory",
                    needed="fewer rows under a wildcard, uniform or with many nonzero entries",
                )
            parts.append((rows, columns, ids, np.broadcast_to(np.asarray(when, dtype=np.int64), rows.shape)))

        a, s, t, i, token = self.T.arrays()
        # entries and blocks share one clock: block number b, standing before entry number at, has time at + b
        places = np.array([block.at for block in self.T_blocks], dtype=np.int64)
        clock = np.arange(len(a)) + np.searchsorted(places, np.arange(len(a)), side="right")
        self.token_at = tokens = np.zeros(len(a) + len(places), dtype=np.int64)
        tokens[clock] = token
        plain = (a >= 0) & (s >= 0) & (t >= 0)
        put(s[plain] * A + a[plain], t[plain], i[plain], clock[plain])
        last_of = s[plain] * A + a[plain]
        np.maximum.at(last, last_of, clock[plain])
        for k in np.flatnonzero(~plain).tolist():
            rows = self.pairs(int(a[k]), int(s[k]))
            now = int(clock[k])
            np.maximum.at(last, rows, now)
            if t[k] >= 0:
                put(rows, np.full(len(rows), t[k]), np.full(len(rows), i[k]), now)
                continue
            np.maximum.at(reset, rows, now)
            if not zero[i[k]]:
                self.guard(len(rows) * S)
                put(np.repeat(rows, S), np.tile(np.arange(S), len(rows)), np.full(len(rows) * S, i[k]), now)
        for b, block in enumerate(self.T_blocks):
            now = block.at + b
            tokens[now] = block.token
            self.block_at[now] = block
            rows = self.pairs(block.action, block.state)
            np.maximum.at(last, rows, now)
            np.maximum.at(reset, rows, now)
            for chosen, columns, ids in self.block(block, rows, zero):
                put(chosen, columns, ids, now)
        row, column, ids, when = (np.concatenate([part[j] for part in parts]) for j in range(4))
        keep = when >= reset[row]
        row, column, ids, when = row[keep], column[keep], ids[keep], when[keep]
        key = row * S + column
        order = np.lexsort((when, key))
        key = key[order]
        final = order[np.append(key[1:] != key[:-1], np.ones(min(len(key), 1), dtype=bool))]
        zero = np.array([value == 0 for value in self.numbers.exact])
        final = final[~zero[ids[final]]]
        counts = np.bincount(row[final], minlength=L)
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            k = int(empty[0])
            raise _TokenError(
                f"action {self.name('actions', k % A)} has no transitions in state {self.name('states', k // A)}"
                + (f" (and {len(empty) - 1} more pairs)" if len(empty) > 1 else ""),
                needed="probabilities that sum to 1 for every action in every state",
                way_out="a terminal state stays where it is: T: action : state : state 1.0",
                token=self.token_of(k),
            )
        return np.concatenate(([0], np.cumsum(counts))), column[final], ids[final]

    def guard(self, size: int) -> None:
        if 96 * size > physical_memory():
            raise SizeError(
                f"{self.path}: an entry of T stands for more transitions than fit in memory",
                found=f"{size} transitions",
                way_out="list the positive probabilities one by one",
            )

    def pairs(self, a: int, s: int) -> Ints:
        """The rows of an action (or all) in a state (or all)."""
        A = self.actions.n
        states = np.arange(self.states.n) if s == _ALL else np.array([s])
        actions = np.arange(A) if a == _ALL else np.array([a])
        return (states[:, None] * A + actions[None, :]).ravel()

    def block(self, block: _Block, rows: Ints, zero: Array) -> list[tuple[Ints, Ints, Ints]]:
        """Rows, next states and indices of probabilities that a block writes."""
        S, A = self.states.n, self.actions.n
        if block.kind == "identity":
            return [(rows, rows // A, np.full(len(rows), self.one))]
        if block.kind in ("uniform", "reset"):
            law: list[Fraction] = [Fraction(1, S)] * S
            if block.kind == "reset":
                law = self.start if isinstance(self.start, list) else [Fraction(s == self.start) for s in range(S)]
            columns = np.array([s for s in range(S) if law[s]], dtype=np.int64)
            known: dict[Fraction, int] = {}
            for p in law:
                if p and p not in known:
                    known[p] = self.numbers.add(p)
            ids = np.array([known[p] for p in law if p], dtype=np.int64)
        elif block.kind == "row":
            assert block.ids is not None
            columns = np.flatnonzero(~zero[block.ids])
            ids = block.ids[columns]
        else:
            assert block.ids is not None
            flat = np.flatnonzero(~zero[block.ids])
            state, columns, ids = flat // S, flat % S, block.ids[flat]
            actions = np.arange(A) if block.action == _ALL else np.array([block.action])
            self.guard(len(flat) * len(actions))
            return [(state * A + a, columns, ids) for a in actions.tolist()]
        self.guard(len(rows) * len(columns))
        return [(np.repeat(rows, len(columns)), np.tile(columns, len(rows)), np.tile(ids, len(rows)))]

    def check_rows(self, indptr: Ints, ids: Ints) -> bool:
        """Whether every row sums to exactly one; an error where one does not within the tolerance."""
        if not self.text.startswith(_FLOATS) and first_bad_row(indptr, ids, self.numbers.exact) is None:
            return True
        sums = np.add.reduceat(np.array(self.numbers.floats)[ids], indptr[:-1])
        bad = np.flatnonzero(~(np.abs(sums - 1.0) <= _SLACK))
        if len(bad):
            k, A = int(bad[0]), self.actions.n
            raise _TokenError(
                f"the probabilities of action {self.name('actions', k % A)} in state {self.name('states', k // A)} do "
                "not sum to 1" + (f" (and {len(bad) - 1} more pairs)" if len(bad) > 1 else ""),
                repr(float(sums[k])),
                f"1 within {ROW_TOLERANCE:g}",
                token=self.token_of(k),
            )
        return False

    def token_of(self, row: int) -> int:
        """Where the file last says something about a row; the end of the file if nowhere."""
        now = int(self.last[row])
        if now < 0:
            return len(self.tokens)
        block = self.block_at.get(now)
        if block is not None and block.kind == "matrix" and block.ids is not None:
            return block.end - len(block.ids) + row // self.actions.n * self.states.n
        return int(self.token_at[now])

    def name(self, kind: str, index: int) -> str:
        names = self.names[kind]
        return str(index) if names is None else names[index]

    def rewards(self, P: Transitions, state: Ints, action: Ints) -> tuple[Ints, bool]:
        """The number of each stored transition, and whether some entry names the next state."""
        S = self.states.n
        a, s, t, i, _ = self.R.arrays()
        places = np.array([block.at for block in self.R_blocks], dtype=np.int64)
        clock = np.arange(len(a)) + np.searchsorted(places, np.arange(len(a)), side="right")
        parts = [(a, s, t, i, clock)]
        for b, block in enumerate(self.R_blocks):
            assert block.ids is not None
            n = len(block.ids)
            of_state = np.full(n, block.state) if block.kind == "row" else np.repeat(np.arange(S), S)
            parts.append((np.full(n, block.action), of_state, np.arange(n) % S, block.ids, np.full(n, block.at + b)))
        a, s, t, i, when = (np.concatenate([part[j] for part in parts]) for j in range(5))
        at_a, at_s, at_t = action[P.row_of], state[P.row_of], P.indices.astype(np.int64)
        found = np.full(P.nnz, self.zero, dtype=np.int64)
        latest = np.full(P.nnz, -1, dtype=np.int64)
        named = np.zeros(P.nnz, dtype=bool)
        for pattern in range(8):  # which of action, state and next state are given; the latest entry that fits counts
            given = (pattern & 4 > 0, pattern & 2 > 0, pattern & 1 > 0)
            mine = np.flatnonzero(((a >= 0) == given[0]) & ((s >= 0) == given[1]) & ((t >= 0) == given[2]))
            if not len(mine):
                continue
            keys, asked = _packed(given, S, a[mine], s[mine], t[mine]), _packed(given, S, at_a, at_s, at_t)
            mine = mine[np.lexsort((when[mine], keys))]
            keys = _packed(given, S, a[mine], s[mine], t[mine])
            place = np.searchsorted(keys, asked, side="right") - 1
            hit = np.flatnonzero((place >= 0) & (keys[place] == asked))
            source = mine[place[hit]]
            newer = when[source] > latest[hit]
            target, source = hit[newer], source[newer]
            latest[target], found[target], named[target] = when[source], i[source], given[2]
        return found, bool(named.any())


def _packed(given: tuple[bool, ...], S: int, a: Ints, s: Ints, t: Ints) -> Ints:
    """One number for the indices that are given."""
    zero = np.zeros(1, dtype=np.int64)
    out = ((a if given[0] else zero) * S + (s if given[1] else zero)) * S + (t if given[2] else zero)
    return np.broadcast_to(out, a.shape)


# ------------------------------------------------------------------------------------------------------------ writing


def write(mdp: MDP, path: str | os.PathLike[str], overwrite: bool = False, *, lossy: bool = False) -> None:
    """Write a model in Cassandra's format, so that :func:`read` returns an equal one.

    The format holds transitions, one structure of rewards or costs without name, a discount (or none, which is total
    reward), an initial law, and names of states and actions that are words. Floats are written with the shortest
    decimals that read back as the same floats, rationals as decimals (or ``uniform``); floats beside rational probabilities
    come back as rationals.

    Parameters
    ----------
    mdp : MDP
        Every action in every state; under :class:`~mdpkit.models.criterion.Discounted` with one factor, or
        :class:`~mdpkit.models.criterion.TotalReward` without target.
    path : path-like
        Written to a temporary file first, then renamed.
    overwrite : bool
        Whether an existing file is replaced.
    lossy : bool
        Leave out what the format cannot hold: labels, reward structures that are not active, names that are no words;
        and round rationals that are no finite decimals to floats.

    Raises
    ------
    UnsupportedError
        The model has what the format cannot hold.
    OutputExistsError
        The file exists and ``overwrite`` is false.
    OptionError
        The folder does not exist, or the path is a folder.
    """
    data = "\n".join(_Writer(mdp, lossy).lines()).encode("ascii")
    with atomic(path, overwrite) as file:
        file.write(data)


class _Writer:
    def __init__(self, mdp: MDP, lossy: bool):
        self.mdp, self.lossy = mdp, lossy
        self.texts: dict[Any, str] = {}
        self.rounded = False

    def refuse(self, what: str, found: object, needed: str | None = None, way_out: str = "save to .npz") -> NoReturn:
        raise UnsupportedError(f"the MDP format has no {what}", found=found, needed=needed, way_out=way_out)

    def lossless(self, what: str, found: object) -> None:
        """Refuse, unless what is found may be left out."""
        if not self.lossy:
            self.refuse(what, found, way_out="save to .npz, or leave it out: mdpkit.io.cassandra.write(…, lossy=True)")

    def lines(self) -> list[str]:
        mdp = self.mdp
        S, A, P = mdp.n_states, mdp.n_actions, mdp.P
        check_flat(mdp, "the MDP format", law=False)
        if mdp.n_pairs != S * A:
            self.refuse("actions that differ from state to state", f"{mdp.n_pairs} pairs", f"{S} x {A} pairs")
        if mdp.labels:
            self.lossless("labels", ", ".join(map(repr, mdp.labels)))
        others = [name for name in mdp.rewards if name != mdp.active]
        if others and mdp.active is not None:
            self.lossless("second reward structure", ", ".join(map(repr, others)))
        if mdp.active is None:
            self.lossless("model without active reward structure", "none")
        reward = None if mdp.active is None else mdp.reward
        law: Any = mdp.rho_exact if mdp.rho_exact is not None else mdp.rho
        entries, on_transitions = self.reward_values()
        rationals: list[Fraction] = []
        for part in (P.exact, mdp.rho_exact, entries if entries.dtype == object else None):
            rationals += [] if part is None or not self.lossy else part.tolist()
        self.rounded = any(_decimal(x) is None for x in rationals)
        floats = P.exact is None or self.rounded
        out = [_FLOATS.strip() if floats else "# Written by mdpkit", f"discount: {self.discount()}"]
        out.append(f"values: {'cost' if mdp.minimize else 'reward'}")
        out.append("states: " + self.names("state", mdp.state_names, S))
        out.append("actions: " + self.names("action", self.action_names(), A))
        if law is not None:
            out.append("start" + self.start(law))
        out.append("")
        state_of, action_of = mdp.state.tolist(), mdp.action.tolist()
        indptr, indices = P.indptr.tolist(), P.indices.tolist()
        chances: list[Any] = (P.data if P.exact is None else P.exact).tolist()
        values: list[Any] = entries.tolist()
        uniform = Fraction(1, S)
        for k in range(mdp.n_pairs):
            i, j = indptr[k], indptr[k + 1]
            head = f"T: {action_of[k]} : {state_of[k]}"
            if P.exact is not None and j - i == S > 1 and all(p == uniform for p in chances[i:j]):
                out.append(f"{head} uniform")
                continue
            out.extend([f"{head} : {indices[e]} {self.text(chances[e], 'probability')}" for e in range(i, j)])
        out.append("")
        written = len(out)
        if reward is not None:
            shown: list[bool] = ((entries != 0) | np.signbit(entries.astype(np.float64))).astype(bool).tolist()
            for k in range(mdp.n_pairs):
                head = f"R: {action_of[k]} : {state_of[k]}"
                if on_transitions:
                    i, j = indptr[k], indptr[k + 1]
                    out.extend([f"{head} : {indices[e]} {self.text(values[e])}" for e in range(i, j) if shown[e]])
                elif shown[k]:
                    out.append(f"{head} : * {self.text(values[k])}")
            if len(out) == written:
                out.append(f"R: {action_of[0]} : {state_of[0]} : {indices[0] if on_transitions else '*'} 0.0")
        out.append("")
        return out

    def reward_values(self) -> tuple[Array, bool]:
        """Rewards of the transitions where there are such, else of the pairs."""
        mdp = self.mdp
        if mdp.active is None:
            return np.zeros(mdp.n_pairs), False
        reward = mdp.reward
        if reward.transition is not None:
            return (reward.transition if reward.transition_exact is None else reward.transition_exact), True
        return (reward.values if reward.exact is None else reward.exact), False

    def discount(self) -> str:
        c = self.mdp.criterion
        if isinstance(c, TotalReward) and c.target is None:
            return "1.0"
        if isinstance(c, Discounted) and np.ndim(c.gamma) == 0:
            return self.text(c.gamma if c.exact is None else c.exact, "discount")
        self.refuse(
            "such criterion" if c is not None else "model without criterion",
            c,
            "Discounted(gamma) with one factor, or TotalReward()",
            "choose one: mdp.under(mk.Discounted(0.95))",
        )

    def names(self, what: str, names: Sequence[Any] | None, n: int) -> str:
        if names is None:
            return str(n)
        known: set[Any] = set()
        for name in names:
            if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _RESERVED or name in known:
                self.lossless(f"{what} of this name", repr(name))
                return str(n)
            known.add(name)
        return " ".join(names)

    def action_names(self) -> list[Any] | None:
        mdp = self.mdp
        if mdp.pair_names is None:
            return None
        names: list[Any] = list(mdp.pair_names[: mdp.n_actions])
        if any(name != names[a] for name, a in zip(mdp.pair_names, mdp.action.tolist(), strict=True)):
            self.lossless("actions whose names differ from state to state", ", ".join(sorted(set(mdp.pair_names))[:6]))
            return None
        return names

    def start(self, law: Array) -> str:
        chosen = np.flatnonzero(law).tolist()
        if len(chosen) == 1 and law[chosen[0]] == 1:
            return f": {chosen[0]}" if self.mdp.n_states > 1 else ": 1.0"
        if law.dtype == object and all(law[s] == Fraction(1, len(chosen)) for s in chosen):
            return " include: " + " ".join(map(str, chosen)) if len(chosen) < len(law) else ": uniform"
        return ": " + " ".join(self.text(p, "initial probability") for p in law.tolist())

    def text(self, value: Any, what: str = "reward") -> str:
        known = self.texts.get(value)
        if known is None or value == 0:  # -0.0 is another text, and equal
            known = (
                _float_text(float(value)) if isinstance(value, float) or self.rounded else _decimal(to_fraction(value))
            )
            if known is None and self.lossy:
                known = _float_text(float(value))
            if known is None:
                self.lossless(f"{what} that is no finite decimal", value)
            self.texts[value] = known = cast(str, known)
        return known


def _float_text(x: float) -> str:
    """The shortest decimal that reads back as x, with digits on both sides of the point."""
    if x == 0 or 1e-6 <= abs(x) < 1e16:
        return np.format_float_positional(x, unique=True, trim="0")
    return np.format_float_scientific(x, unique=True, trim="0")


def _decimal(x: Fraction) -> str | None:
    """The finite decimal of a rational, or None."""
    p, q = x.numerator, x.denominator
    twos = (q & -q).bit_length() - 1
    q >>= twos
    fives = 0
    while q % 5 == 0:
        q //= 5
        fives += 1
    if q != 1:
        return None
    places = max(twos, fives, 1)
    digits = str(abs(p) * 2 ** (places - twos) * 5 ** (places - fives)).rjust(places + 1, "0")
    return f"{'-' if p < 0 else ''}{digits[:-places]}.{digits[-places:]}"
