"""Exact rational arithmetic: numbers as fractions, and linear systems of Markov chains solved in rationals.

A chain's values solve ``x = rhs + M x``. Its strongly connected components are solved one by one, successors first:
single states by division, small blocks by state elimination, large blocks by the float LU factors of the block, which
yield the digits of the solution some bits at a time from exact integer residuals (numeric-symbolic refinement; Wan
2006, Cook and Steffy 2011), until fractions can be read off and satisfy the equations exactly. No float is believed.
"""

from __future__ import annotations

import heapq
import importlib
import importlib.util
import math
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mdpkit.errors import ModelError, OptionError

__all__ = [
    "dyadic_array",
    "rationalize",
    "rationalize_array",
    "row_dot",
    "solve_chain",
    "to_fraction",
]

ObjectArray = NDArray[np.object_]
IntArray = NDArray[np.int64]

USE_FLINT: bool = True
"""Whether python-flint is used where it is installed; every function works without it."""

LARGEST_DENOMINATOR = 10**6
LARGEST_EXPONENT = 10_000
SMALL_BLOCK, SMALL_BLOCK_FLINT = 1500, 5000
"""Components whose states times entries are at most this are eliminated (measured, without and with flint)."""
NARROW_FRONT = 64
"""Ill-conditioned components are eliminated in rationals while no state meets more neighbors than this."""
LONG = 4000
"""From this many bits on, flint's gcd is faster than Python's, conversions included: measured."""
MOST_HUBS = 3
"""How many states at most are taken out of an ill-conditioned component one after another to be solved last."""

_TEXT = re.compile(r"\s*[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)([eE](?P<exp>[-+]?\d+))?\s*(/\s*(?P<den>\d[\d_]*)\s*)?")


def _scipy(name: str) -> Any:
    return importlib.import_module(f"scipy.{name}")


@cache
def _import_flint() -> Any:
    return importlib.import_module("flint") if importlib.util.find_spec("flint") is not None else None


def _flint() -> Any:
    return _import_flint() if USE_FLINT else None


# -------------------- numbers


def to_fraction(x: object, *, what: str = "number") -> Fraction:
    """Return the exact value of a number: ints, fractions, decimals and text as written, floats by their bits.

    Parameters
    ----------
    x : int, Fraction, Decimal, numpy number, str or float
        Text is ``"1/3"``, ``"0.95"``, ``"1e-3"``, ``"-2"``.
    what : str
        What the number is, for the error message.

    Raises
    ------
    OptionError
        If ``x`` is not finite, is not a number, has a zero denominator or an exponent over ten thousand.

    Examples
    --------
    >>> to_fraction("0.95"), to_fraction("5/48768"), to_fraction(0.5)
    (Fraction(19, 20), Fraction(5, 48768), Fraction(1, 2))
    """
    if type(x) is Fraction:
        return x
    if isinstance(x, numbers.Rational):
        return Fraction(int(x.numerator), int(x.denominator))
    if isinstance(x, (str, Decimal)):
        return _parse(str(x), what)
    if isinstance(x, (float, np.floating)):
        return _bits(x, what)
    kind = (type(x).__module__.partition(".")[0], type(x).__name__)
    if kind in (("flint", "fmpq"), ("flint", "fmpz")):
        exact: Any = x
        return Fraction(int(exact.p), int(exact.q)) if kind[1] == "fmpq" else Fraction(int(exact))
    needed = "an int, a fraction, a float or text like '1/3'"
    raise OptionError(f"the {what} is not a number", found=repr(x), needed=needed)


def _bits(x: Any, what: str) -> Fraction:
    if not np.isfinite(x):
        raise OptionError(f"the {what} is not finite", found=str(x), needed="a finite number")
    return Fraction(*x.as_integer_ratio())


def _parse(text: str, what: str) -> Fraction:
    match = _TEXT.fullmatch(text)
    needed = "text like '1/3', '0.95', '1e-3' or '-2'"
    if match is None:
        raise OptionError(f"the {what} does not read as a finite rational number", found=repr(text[:80]), needed=needed)
    if match["exp"] is not None and (len(match["exp"]) > 6 or abs(int(match["exp"])) > LARGEST_EXPONENT):
        raise OptionError(
            f"the exponent of the {what} is too large",
            found=repr(text[:80]),
            needed=f"an exponent between -{LARGEST_EXPONENT} and {LARGEST_EXPONENT}",
        )
    head, _, tail = text.partition("/")
    try:
        return Fraction(head.strip()) / int(tail) if tail else Fraction(head.strip())
    except ZeroDivisionError:
        raise OptionError(f"the {what} has a zero denominator", found=repr(text), needed="p/q with q > 0") from None
    except ValueError:
        raise OptionError(f"the {what} does not read as a number", found=repr(text[:80]), needed=needed) from None


def rationalize(x: float) -> Fraction:
    """Return p/q with q <= 10**6 if one lies within two units in the last place of ``x``, else the bits of ``x``.

    A number other than zero never becomes zero.

    Raises
    ------
    OptionError
        If ``x`` is not finite.

    Examples
    --------
    >>> rationalize(0.33333333333333337), rationalize(0.1)
    (Fraction(1, 3), Fraction(1, 10))
    """
    x = float(x)
    bits = to_fraction(x)
    if bits.denominator <= LARGEST_DENOMINATOR:
        return bits
    near = bits.limit_denominator(LARGEST_DENOMINATOR)
    return near if near and abs(near - bits) <= 2 * to_fraction(math.ulp(x)) else bits


def _by_value(values: ArrayLike, convert: Any) -> ObjectArray:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise OptionError(f"the entry at {where} is not finite", found=array[where], needed="finite numbers")
    distinct, inverse = np.unique(array, return_inverse=True)
    table = np.empty(distinct.size, dtype=object)
    table[:] = [convert(v) for v in distinct.tolist()]
    return table[inverse].reshape(array.shape)


def rationalize_array(values: ArrayLike) -> ObjectArray:
    """Return `rationalize` of every entry, of any shape; equal entries share one Fraction.

    Raises
    ------
    OptionError
        If an entry is not finite: names its index.
    """
    return _by_value(values, rationalize)


def dyadic_array(values: ArrayLike) -> ObjectArray:
    """Return the exact bits of every entry as Fractions, of any shape; equal entries share one Fraction.

    Raises
    ------
    OptionError
        If an entry is not finite: names its index.
    """
    return _by_value(values, Fraction)


def _coprime(numerator: int, denominator: int) -> Fraction:
    """Return the fraction of coprime integers without computing their gcd again."""
    out = object.__new__(Fraction)
    object.__setattr__(out, "_numerator", numerator)
    object.__setattr__(out, "_denominator", denominator)
    return out


def _fractions(values: Iterable[object]) -> list[Fraction]:
    return [v if type(v) is Fraction else to_fraction(v) for v in values]


def _as_objects(values: Sequence[Any]) -> ObjectArray:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def _shared(values: Iterable[object], convert: Any) -> list[Any]:
    """Return ``convert`` of each Fraction, computed once for each distinct object."""
    kept = list(values)
    seen: dict[int, Any] = {}
    out: list[Any] = []
    for v in kept:
        key = id(v)
        w = seen.get(key)
        if w is None:
            w = seen[key] = convert(v if type(v) is Fraction else to_fraction(v))
        out.append(w)
    return out


def _field(flint: Any) -> tuple[Any, Any]:
    """Return the maps from Fraction into the working field and back."""
    if flint is None:
        return to_fraction, to_fraction

    def into(f: Fraction) -> Any:
        return flint.fmpq(f.numerator, f.denominator)

    def back(v: Any) -> Fraction:
        return _coprime(int(v.p), int(v.q))

    return into, back


# -------------------- products with matrices


def _sum_rows(indptr: IntArray, terms: ObjectArray, zero: Any) -> ObjectArray:
    """Return the sums of ``terms`` over rows; empty rows give ``zero``."""
    out = np.full(len(indptr) - 1, zero, dtype=object)
    full = np.flatnonzero(np.diff(indptr))
    if full.size:
        out[full] = np.add.reduceat(terms, indptr[full])
    return out


def _lcm_rows(indptr: IntArray, values: ObjectArray) -> ObjectArray:
    out = np.full(len(indptr) - 1, 1, dtype=object)
    full = np.flatnonzero(np.diff(indptr))
    if full.size:
        out[full] = np.lcm.reduceat(values, indptr[full])
    return out


def _integer_rows(indptr: IntArray, data: Iterable[object]) -> tuple[ObjectArray, ObjectArray]:
    """Return integers N and row denominators D > 0 with data = N / D."""
    pairs = _shared(data, _parts)
    denominators = _as_objects([d for _, d in pairs])
    D = _lcm_rows(indptr, denominators)
    N = _as_objects([n for n, _ in pairs]) * (np.repeat(D, np.diff(indptr)) // denominators)
    return N, D


def row_dot(indptr: ArrayLike, indices: ArrayLike, data: ArrayLike, x: ArrayLike) -> ObjectArray:
    """Return the exact product of a sparse matrix and a vector, or the columns of a matrix.

    Parameters
    ----------
    indptr : (m + 1,) int array
    indices : (nnz,) int array
    data : (nnz,) array of Fractions
    x : (n,) or (n, c) array of Fractions

    Returns
    -------
    (m,) or (m, c) object array of Fractions

    Raises
    ------
    ModelError
        If the arrays are not a sparse matrix with columns 0, …, n-1.
    """
    ptr, idx, values, _ = _csr(indptr, indices, data, len(np.asarray(x, dtype=object)), square=False)
    X = np.asarray(x, dtype=object)
    if X.ndim == 2:
        out = np.empty((len(ptr) - 1, X.shape[1]), dtype=object)
        for c in range(X.shape[1]):
            out[:, c] = row_dot(ptr, idx, values, X[:, c])
        return out
    N, D = _integer_rows(ptr, values)
    fractions = _fractions(X)
    p = _as_objects([f.numerator for f in fractions])[idx]
    q = _as_objects([f.denominator for f in fractions])[idx]
    Q = _lcm_rows(ptr, q)
    total = _sum_rows(ptr, N * p * (np.repeat(Q, np.diff(ptr)) // q), 0)
    return _as_objects(list(map(_lowest, total, D * Q)))


def _lowest(numerator: int, denominator: int) -> Fraction:
    """Return the quotient; the gcds of long numbers are flint's, where it is installed."""
    flint = _flint() if denominator.bit_length() > LONG else None
    if flint is None:
        return Fraction(numerator, denominator)
    v = flint.fmpq(numerator, denominator)
    return _coprime(int(v.p), int(v.q))


def _csr(
    indptr: ArrayLike, indices: ArrayLike, data: ArrayLike, columns: int, *, square: bool
) -> tuple[IntArray, IntArray, ObjectArray, int]:
    ptr = np.asarray(indptr, dtype=np.int64)
    idx = np.asarray(indices, dtype=np.int64)
    values = np.asarray(data, dtype=object)
    n = len(ptr) - 1
    if n < 0 or ptr[0] != 0 or ptr[-1] != len(idx) or len(idx) != len(values) or (np.diff(ptr) < 0).any():
        raise ModelError(
            "the row pointers, columns and entries of the sparse matrix do not fit together",
            found=f"{len(ptr)} pointers, {len(idx)} columns, {len(values)} entries",
            needed="increasing pointers from 0 to the number of entries",
        )
    if square and columns != n:
        raise ModelError("the right-hand side has a wrong length", found=columns, needed=f"{n} entries, one a state")
    if len(idx) and (idx.min() < 0 or idx.max() >= columns):
        bad = int(np.flatnonzero((idx < 0) | (idx >= columns))[0])
        row = int(np.searchsorted(ptr, bad, side="right")) - 1
        needed = f"0 to {columns - 1}"
        raise ModelError(f"row {row} refers to a column outside the matrix", found=int(idx[bad]), needed=needed)
    return ptr, idx, values, n


# -------------------- the chain


def solve_chain(
    indptr: ArrayLike,
    indices: ArrayLike,
    data: ArrayLike,
    rhs: ArrayLike,
    *,
    known: Mapping[int, Any] | None = None,
) -> ObjectArray:
    """Return the unique solution of ``x = rhs + M x`` in exact rationals.

    Parameters
    ----------
    indptr, indices, data : CSR arrays of the (n, n) matrix M
        ``data`` holds Fractions (or what `to_fraction` reads). I - M must be invertible, as it is where M is a
        discounted stochastic matrix, or substochastic and left with certainty from every state.
    rhs : (n,) or (n, m) array of Fractions
        One right-hand side, or m of them.
    known : mapping from state to its value(s), optional
        States whose rows are ignored, because their values are given (a number, or m numbers).

    Returns
    -------
    (n,) or (n, m) object array of Fractions

    Raises
    ------
    ModelError
        If I - M is singular (names a state of the offending component), or the arrays do not fit together.

    References
    ----------
    Wan, "An algorithm to solve integer linear systems exactly using numerical methods" (2006); Cook and Steffy,
    "Solving very sparse rational systems of equations" (2011).

    Examples
    --------
    >>> half = Fraction(1, 2)
    >>> solve_chain([0, 2, 3], [0, 1, 0], [half, half / 2, half], [0, 1])
    array([Fraction(2, 3), Fraction(4, 3)], dtype=object)
    """
    right = np.asarray(rhs, dtype=object)
    if right.ndim not in (1, 2):
        raise ModelError("the right-hand side has a wrong shape", found=right.shape, needed="(n,) or (n, m)")
    ptr, idx, values, n = _csr(indptr, indices, data, len(right), square=True)
    columns = right if right.ndim == 2 else right[:, None]
    m = columns.shape[1]
    flint = _flint()
    into, back = _field(flint)

    entries = _as_objects(_shared(values, to_fraction))
    rows = np.repeat(np.arange(n, dtype=np.int64), np.diff(ptr))
    keep = entries.astype(bool)
    given: dict[int, Any] = {int(state): value for state, value in (known or {}).items()}
    x: list[list[Any]] = [[into(v) for v in _fractions(columns[:, c])] for c in range(m)]
    for state, value in given.items():
        if not 0 <= state < n:
            raise ModelError("a value is given for a state that does not exist", found=state, needed=f"0 to {n - 1}")
        amounts = np.asarray(value, dtype=object).ravel()
        if len(amounts) != m:
            raise ModelError(f"the known value of state {state} has a wrong length", found=len(amounts), needed=str(m))
        for c in range(m):
            x[c][state] = into(to_fraction(amounts[c]))
    keep &= ~np.isin(rows, list(given))
    rows, idx, entries = rows[keep], idx[keep], entries[keep]
    ptr = np.searchsorted(rows, np.arange(n + 1, dtype=np.int64))

    _Chain(flint, ptr, idx, _shared(entries, into), x).solve()
    out = np.empty((n, m), dtype=object)
    for c in range(m):
        out[:, c] = [back(v) for v in x[c]]
    return out if right.ndim == 2 else out[:, 0]


def _components(n: int, rows: IntArray, columns: IntArray) -> Iterable[list[int]]:
    """Yield the strongly connected components of a graph, each after all components that it can reach."""
    if n == 0:
        return
    graph = _scipy("sparse").csr_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(n, n))
    found = _scipy("sparse.csgraph").connected_components(graph, directed=True, connection="strong")
    count, labels = int(found[0]), np.asarray(found[1], dtype=np.int64)
    order = np.argsort(labels, kind="stable")
    first = np.searchsorted(labels[order], np.arange(count + 1)).tolist()
    members: list[int] = order.tolist()

    tail, head = labels[rows], labels[columns]
    between = np.unique(tail[tail != head] * count + head[tail != head])
    tail, head = between // count, between % count
    waiting: list[int] = np.bincount(tail, minlength=count).tolist()
    by_head = np.argsort(head, kind="stable")
    start = np.searchsorted(head[by_head], np.arange(count + 1)).tolist()
    predecessors: list[int] = tail[by_head].tolist()
    ready = [c for c in range(count) if waiting[c] == 0]
    while ready:
        c = ready.pop()
        yield members[first[c] : first[c + 1]]
        for p in predecessors[start[c] : start[c + 1]]:
            waiting[p] -= 1
            if waiting[p] == 0:
                ready.append(p)


def _singular(state: int, size: int) -> ModelError:
    where = f"state {state}" + (f" and the {size - 1} states that communicate with it" if size > 1 else "")
    return ModelError(
        f"the equations of the chain are singular at {where}: the chain never leaves",
        needed="I - M invertible: every state leaks, is discounted, or reaches a state of known value",
        way_out="give the values of states that are never left (known=...)",
    )


class _Chain:
    """The system x = rhs + M x being solved in place: ``x[c][i]`` is the right-hand side until it is the solution."""

    def __init__(
        self,
        flint: Any,
        ptr: IntArray,
        idx: IntArray,
        entries: list[Any],
        x: list[list[Any]],
        names: Sequence[int] | None = None,
        depth: int = 0,
    ):
        self.flint = flint
        self.names: Sequence[int] = range(len(ptr) - 1) if names is None else names
        self.depth = depth
        self.ptr_array, self.idx_array = ptr, idx
        self.one: Any = Fraction(1) if flint is None else flint.fmpq(1)
        self.ptr: list[int] = ptr.tolist()
        self.idx: list[int] = idx.tolist()
        self.entries = entries
        self.x = x

    def solve(self) -> None:
        n = len(self.ptr) - 1
        rows = np.repeat(np.arange(n, dtype=np.int64), np.diff(self.ptr_array))
        for block in _components(n, rows, self.idx_array):
            if len(block) == 1:
                self.solve_state(block[0])
            else:
                self.solve_block(block)

    def solve_state(self, s: int) -> None:
        idx, entries = self.idx, self.entries
        span = range(self.ptr[s], self.ptr[s + 1])
        stay = sum(entries[e] for e in span if idx[e] == s)
        if stay == 1:
            raise _singular(self.names[s], 1)
        for x in self.x:
            total = x[s]
            for e in span:
                if idx[e] != s:
                    total = total + entries[e] * x[idx[e]]
            x[s] = total / (1 - stay) if stay else total

    def local(self, block: list[int]) -> tuple[list[dict[int, Any]], list[list[Any]], list[Any]]:
        """Return the block's own rows as dicts, and its right-hand sides with what flows in from solved states.

        Each right-hand side comes multiplied by a common denominator of the values that flow in, the third part: the
        gcds of the elimination then have one short argument.
        """
        position = {s: i for i, s in enumerate(block)}
        idx, entries = self.idx, self.entries
        rows: list[dict[int, Any]] = []
        inflow: list[tuple[int, int, Any]] = []
        for i, s in enumerate(block):
            row: dict[int, Any] = {}
            for e in range(self.ptr[s], self.ptr[s + 1]):
                j = position.get(idx[e])
                if j is None:
                    inflow.append((i, idx[e], entries[e]))
                else:
                    row[j] = row[j] + entries[e] if j in row else entries[e]
            rows.append(row)
        right: list[list[Any]] = []
        scales: list[Any] = []
        for x in self.x:
            sources = {j: _parts(x[j]) for j in {j for _, j, _ in inflow}}
            own = [_parts(x[s]) for s in block]
            scale = _common([q for _, q in sources.values()] + [q for _, q in own])
            column = [p * (scale // q) for p, q in own]
            scaled = {j: p * (scale // q) for j, (p, q) in sources.items()}
            for i, j, weight in inflow:
                column[i] = column[i] + weight * scaled[j]
            right.append([self.one * v for v in column])
            scales.append(scale)
        return rows, right, scales

    def solve_small(
        self, block: list[int], rows: list[dict[int, Any]], right: list[list[Any]], scales: list[Any]
    ) -> None:
        self.finish(block, _eliminate(rows, right, [self.names[s] for s in block]), scales)

    def finish(self, block: list[int], solution: list[list[Any]], scales: list[Any]) -> None:
        for x, column, scale in zip(self.x, solution, scales, strict=True):
            for s, v in zip(block, column, strict=True):
                x[s] = v / scale if scale != 1 else v

    def solve_block(self, block: list[int]) -> None:
        rows, right, scales = self.local(block)
        if len(block) * sum(map(len, rows)) <= (SMALL_BLOCK if self.flint is None else SMALL_BLOCK_FLINT):
            self.solve_small(block, rows, right, scales)
            return
        _, back = _field(self.flint)
        system = _Integral([{j: back(v) for j, v in row.items() if v} for row in rows])
        if system.closed:
            raise _singular(self.names[block[0]], len(block))
        solution = system.refine(right, scales)
        names = [self.names[s] for s in block]
        if solution is not None:
            self.finish(block, solution, [1] * len(solution))
        elif _narrow(rows, NARROW_FRONT):
            self.solve_small(block, rows, right, scales)
        elif self.depth < MOST_HUBS:
            self.finish(block, self.solve_around(system.hub(), rows, right, names), scales)
        elif self.flint is not None:
            self.finish(block, _lift(self.flint, rows, right, names), scales)
        else:
            self.solve_small(block, rows, right, scales)

    def solve_around(
        self, hub: int, rows: list[dict[int, Any]], right: list[list[Any]], names: list[int]
    ) -> list[list[Any]]:
        """Solve a block for the values of all states but one in terms of that one's, then for that one.

        Where a chain returns to some state again and again before it leaves, the chain stopped at that state is
        well-conditioned, however rarely the chain leaves.
        """
        rest = [i for i in range(len(rows)) if i != hub]
        position = {i: k for k, i in enumerate(rest)}
        ptr, idx, entries = [0], list[int](), list[Any]()
        for i in rest:
            for j, v in rows[i].items():
                if j != hub:
                    idx.append(position[j])
                    entries.append(v)
            ptr.append(len(idx))
        zero = 0 * self.one
        x = [[column[i] for i in rest] for column in right] + [[rows[i].get(hub, zero) for i in rest]]
        shape = (np.array(ptr, dtype=np.int64), np.array(idx, dtype=np.int64))
        _Chain(self.flint, *shape, entries, x, [names[i] for i in rest], self.depth + 1).solve()
        back = x.pop()
        row = rows[hub]
        leave = 1 - sum((v * (back[position[j]] if j != hub else 1) for j, v in row.items()), zero)
        if not leave:
            raise _singular(names[hub], len(names))
        out: list[list[Any]] = []
        for column, values in zip(right, x, strict=True):
            value = sum((v * values[position[j]] for j, v in row.items() if j != hub), column[hub]) / leave
            whole = [v + w * value for v, w in zip(values, back, strict=True)]
            out.append([*whole[:hub], value, *whole[hub:]])
        return out


def _parts(v: Any) -> tuple[Any, Any]:
    """Return numerator and denominator, as fmpz of an fmpq."""
    return (v.numerator, v.denominator) if isinstance(v, Fraction) else (v.p, v.q)


def _common(denominators: list[Any]) -> Any:
    """Return the least common multiple of positive ints or fmpz."""
    if isinstance(denominators[0], int):
        return math.lcm(*set(denominators))
    out = denominators[0]
    for q in denominators:
        if q != out:
            out = out.lcm(q)
    return out


# -------------------- elimination


def _eliminate(rows: list[dict[int, Any]], right: list[list[Any]], names: Sequence[int]) -> list[list[Any]]:
    """Solve x = right + rows x by eliminating states, those with the fewest neighbors first; consumes its arguments."""
    n = len(rows)
    predecessors: list[set[int]] = [set() for _ in range(n)]
    for i, row in enumerate(rows):
        for j in row:
            if j != i:
                predecessors[j].add(i)
    heap = [(len(predecessors[v]) * len(rows[v]), v) for v in range(n)]
    heapq.heapify(heap)
    alive = [True] * n
    order: list[int] = []
    while heap:
        cost, v = heapq.heappop(heap)
        row = rows[v]
        if not alive[v] or cost < len(predecessors[v]) * len(row):
            if alive[v]:
                heapq.heappush(heap, (len(predecessors[v]) * len(row), v))
            continue
        stay = row.pop(v, 0)
        if stay == 1:  # impossible while the spectral radius is below one and M is nonnegative
            row[v] = stay
            continue  # comes back when the elimination of a successor changes it
        alive[v] = False
        order.append(v)
        for j in row:
            predecessors[j].discard(v)
        if stay:
            leave = 1 / (1 - stay)
            for j in row:
                row[j] = row[j] * leave
            for x in right:
                x[v] = x[v] * leave
        for u in predecessors[v]:
            other = rows[u]
            weight = other.pop(v)
            for x in right:
                if x[v]:
                    x[u] = x[u] + weight * x[v]
            for j, m in row.items():
                old = other.get(j)
                if old is None:
                    other[j] = weight * m
                    if j != u:
                        predecessors[j].add(u)
                else:
                    other[j] = old + weight * m
            heapq.heappush(heap, (len(predecessors[u]) * len(other), u))
        for j in row:
            heapq.heappush(heap, (len(predecessors[j]) * len(rows[j]), j))
    left = [v for v in range(n) if alive[v]]
    if left:
        _eliminate_dense(left, rows, right, names)
    for v in reversed(order):
        for x in right:
            total = x[v]
            for j, m in rows[v].items():
                total = total + m * x[j]
            x[v] = total
    return right


def _eliminate_dense(
    alive: list[int], rows: list[dict[int, Any]], right: list[list[Any]], names: Sequence[int]
) -> None:
    """Solve the remaining states by Gaussian elimination with row exchanges, in place."""
    n = len(alive)
    table = [[(1 if u == v else 0) - rows[u].get(v, 0) for v in alive] + [x[u] for x in right] for u in alive]
    for k in range(n):
        pivot = next((i for i in range(k, n) if table[i][k]), None)
        if pivot is None:
            raise _singular(names[alive[k]], len(names))
        table[k], table[pivot] = table[pivot], table[k]
        top = [v / table[k][k] for v in table[k]]
        table[k] = top
        for i in range(n):
            factor = table[i][k]
            if i != k and factor:
                table[i] = [a - factor * b for a, b in zip(table[i], top, strict=True)]
    for i, u in enumerate(alive):
        for c, x in enumerate(right):
            x[u] = table[i][n + c]


def _narrow(rows: list[dict[int, Any]], limit: int) -> bool:
    """Whether eliminating states, those with the fewest neighbors first, never meets over ``limit`` neighbors."""
    n = len(rows)
    neighbors: list[set[int]] = [set() for _ in range(n)]
    for i, row in enumerate(rows):
        for j in row:
            if j != i:
                neighbors[i].add(j)
                neighbors[j].add(i)
    heap = [(len(neighbors[v]), v) for v in range(n)]
    heapq.heapify(heap)
    alive = [True] * n
    while heap:
        degree, v = heapq.heappop(heap)
        if not alive[v] or degree != len(neighbors[v]):
            continue
        if degree > limit:
            return False
        alive[v] = False
        for u in neighbors[v]:
            neighbors[u] |= neighbors[v]
            neighbors[u] -= {u, v}
            heapq.heappush(heap, (len(neighbors[u]), u))
    return True


def _lift(flint: Any, rows: list[dict[int, Any]], right: list[list[Any]], names: Sequence[int]) -> list[list[Any]]:
    """Solve a large block that floats cannot handle and that fills in, by flint's dense p-adic lifting."""
    n = len(rows)
    A = flint.fmpq_mat(n, n)
    for i, row in enumerate(rows):
        A[i, i] = 1
        for j, v in row.items():
            A[i, j] = A[i, j] - v
    B = flint.fmpq_mat(n, len(right), [x[i] for i in range(n) for x in right])
    try:
        X = A.solve(B)
    except ZeroDivisionError:
        raise _singular(names[0], n) from None
    return [[X[i, c] for i in range(n)] for c in range(len(right))]


# -------------------- numeric-symbolic iterative refinement


class _Integral:
    """The block (D - N) x = D rhs over the integers, with D > 0 diagonal and the float factors of I - N/D."""

    def __init__(self, rows: list[dict[int, Fraction]]):
        self.n = len(rows)
        self.ptr = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        self.idx = np.fromiter((j for row in rows for j in row), dtype=np.int64, count=int(self.ptr[-1]))
        data = [v for row in rows for v in row.values()]
        self.N, self.D = _integer_rows(self.ptr, data)
        sums = _sum_rows(self.ptr, self.N, 0)
        self.nonnegative = all(v >= 0 for v in self.N)
        # irreducible and substochastic: invertible if and only if one row sums to less than one
        self.substochastic = self.nonnegative and bool((sums <= self.D).all())
        self.closed = self.substochastic and bool((sums == self.D).all())
        self.floats = np.array([float(v) for v in data])

    def factor(self, floats: NDArray[np.float64]) -> Any:
        sparse = _scipy("sparse")
        M = sparse.csr_array((floats, self.idx, self.ptr), shape=(self.n, self.n))
        try:
            lu = _scipy("sparse.linalg").splu((sparse.eye_array(self.n) - M).tocsc(), permc_spec="COLAMD")
        except RuntimeError:  # singular to working precision
            return None
        return lu

    def hub(self) -> int:
        """Return a state that the chain visits often."""
        M = _scipy("sparse").csr_array((np.abs(self.floats), self.idx, self.ptr), shape=(self.n, self.n)).T.tocsr()
        visits: Any = np.full(self.n, 1.0 / self.n)
        weight = visits
        for _ in range(200):
            weight = M @ weight
            weight = weight / weight.sum()
            visits = visits + weight
        return int(visits.argmax())

    def apply(self, x: ObjectArray) -> ObjectArray:
        """Return (D - N) x."""
        return self.D * x - _sum_rows(self.ptr, self.N * x[self.idx], 0)

    def invertible(self, lu: Any) -> bool:
        """Prove that the spectral radius is below one: |M| w < w for a vector w > 0 of integers."""
        if self.substochastic:
            return not self.closed
        if not self.nonnegative:
            lu = self.factor(np.abs(self.floats))
            if lu is None:
                return False
        w = np.asarray(lu.solve(np.ones(self.n)))
        if not (np.isfinite(w).all() and (w > 0).all() and w.max() < 2.0**200):
            return False
        W = _as_objects([round(v * 2**40) for v in (w / w.min()).tolist()])
        image = self.D * W - _sum_rows(self.ptr, np.abs(self.N) * W[self.idx], 0)
        return bool((image > 0).all())

    def refine(self, right: list[list[Any]], scales: list[Any]) -> list[list[Any]] | None:
        """Return the exact solutions of the right-hand sides over their scales; None where floats do not help."""
        lu = self.factor(self.floats)
        if lu is None or not self.invertible(lu):
            return None
        out: list[list[Any]] = []
        for x, scale in zip(right, scales, strict=True):
            solution = self.refine_one(lu, x, scale)
            if solution is None:
                return None
            out.append(solution)
        return out

    def refine_one(self, lu: Any, right: list[Any], over: Any) -> list[Any] | None:
        flint = _flint()
        parts = [_parts(v) for v in right]
        scale = int(_common([q for _, q in parts]))
        b = _as_objects([int(p) * (scale // int(q)) for p, q in parts]) * self.D
        if not b.any():
            return [0 * v for v in right]
        steps = float(np.abs(np.asarray(lu.solve(np.ones(self.n)))).max())
        bits = min(44, int(50 - math.log2(steps))) if 0 < steps < 2.0**60 else 0
        while bits >= 8:
            stream = _Digits(self, lu, b, bits)
            found = self.read_off(stream, b)
            if found is not None:
                p, q = found
                if flint is None:
                    return [Fraction(v, q * scale * over) for v in p]
                common = q * scale * over
                return [flint.fmpq(v, common) for v in p]
            bits -= 4
        return None

    def read_off(self, stream: _Digits, b: ObjectArray) -> tuple[list[Any], Any] | None:
        """Return numerators and the common denominator of the solution of A x = b, verified; None if digits run out."""
        # Cramer and Hadamard: the denominator is at most the product of the rows' norms
        bound = sum((math.isqrt(int(d)) + 1).bit_length() * 2 + 2 for d in self.D * self.D)
        target = 4 * stream.bits
        while True:
            if not stream.extend(target):
                return None
            digits, places, slack = stream.value()
            found = _common_denominator(digits, places, slack)
            if found is not None and self.verify(*found, b):
                return found
            if places > 2 * bound + 2 * slack + 200:
                return None
            target = places + max(places * 2 // 5, 2 * stream.bits)

    def verify(self, p: list[Any], q: Any, b: ObjectArray) -> bool:
        """Whether (D - N) p = q b, in integers."""
        flint = _flint()
        if flint is None:
            return bool((self.apply(_as_objects(p)) == b * q).all())
        return bool((self.apply(_as_objects(p)) == _as_objects([flint.fmpz(v) for v in b]) * q).all())


class _Digits:
    """The binary digits of the solution of A x = b, ``bits`` more of all components at each step."""

    def __init__(self, system: _Integral, lu: Any, b: ObjectArray, bits: int):
        self.system, self.lu, self.bits = system, lu, bits
        self.head = _split(b, bits)  # (rounds, n): the digits of b, highest first
        self.rounds: list[IntArray] = []
        largest = int(max(np.abs(system.N).max(), system.D.max()))
        self.matrix: Any = None
        if largest < 2**58:
            self.matrix = _scipy("sparse").csr_array(
                (system.N.astype(np.int64), system.idx, system.ptr), shape=(system.n, system.n)
            )
            self.diagonal = system.D.astype(np.int64)
            self.divisor: Any = self.diagonal.astype(np.float64)
            self.residual: Any = np.zeros(system.n, dtype=np.int64)
        else:
            self.divisor = system.D
            self.residual = np.zeros(system.n, dtype=object)
        self.error = 1.0

    def extend(self, places: int) -> bool:
        """Compute ``places`` binary places after the point; False if the floats are too coarse for this step width."""
        s, D = self.bits, self.divisor
        while (len(self.rounds) - len(self.head)) * s < places:
            k = len(self.rounds)
            feed = self.head[k] if k < len(self.head) else None
            if self.matrix is not None:
                todo = np.ldexp(self.residual.astype(np.float64), s)
                # the true residual is far below 2**63, so sums that wrap around come out right
                exact = self.residual << s
                if feed is not None:
                    todo += feed
                    exact = exact + feed
                y = np.asarray(self.lu.solve(todo / D))
                if not np.abs(y).max() < 2.0**56:
                    return False
                digit = np.rint(y).astype(np.int64)
                residual = exact - self.diagonal * digit + self.matrix @ digit
                ratio = np.abs(residual.astype(np.float64)) / D
            else:
                exact = self.residual * (1 << s)
                if feed is not None:
                    exact = exact + feed
                y = np.asarray(self.lu.solve((exact / D).astype(np.float64)))
                if not np.abs(y).max() < 2.0**56:
                    return False
                digit = np.rint(y).astype(np.int64)
                residual = exact - self.system.apply(digit.astype(object))
                ratio = np.abs((residual / D).astype(np.float64))
            if ratio.max() > 8.0:
                return False
            self.residual = residual
            self.rounds.append(digit)
        y = np.asarray(self.lu.solve((self.residual / D).astype(np.float64)))
        self.error = float(np.abs(y).max())
        return True

    def value(self) -> tuple[list[int], int, int]:
        """Return integers X, places T and slack g with x = X / 2**T up to 2**(g - T)."""
        digits = np.array(self.rounds)
        carry = np.zeros(self.system.n, dtype=np.int64)
        for k in range(len(digits) - 1, 0, -1):
            total = digits[k] + carry
            carry = total >> self.bits
            digits[k] = total & ((1 << self.bits) - 1)
        X = _join(digits[0] + carry, digits[1:], self.bits)
        return X, (len(self.rounds) - len(self.head)) * self.bits, max(2, math.ceil(math.log2(self.error + 1)) + 2)


def _split(b: ObjectArray, bits: int) -> IntArray:
    """Return the digits of the integers b in base 2**bits, highest first; only the first row is signed."""
    rounds = max(1, -(-(max(int(v).bit_length() for v in b) + 1) // bits))
    width = -(-rounds * bits // 8)
    raw = np.frombuffer(b"".join(int(v).to_bytes(width, "big", signed=True) for v in b), dtype=np.uint8)
    out = np.empty((rounds, len(b)), dtype=np.int64)
    chunk = max(1, 2**22 // (width * 8))
    for i in range(0, len(b), chunk):
        part = np.unpackbits(raw.reshape(len(b), width)[i : i + chunk], axis=1)[:, width * 8 - rounds * bits :]
        wide = np.zeros((part.shape[0], rounds, 64), dtype=np.uint8)
        wide[:, :, 64 - bits :] = part.reshape(part.shape[0], rounds, bits)
        out[:, i : i + chunk] = np.packbits(wide, axis=2).reshape(-1, rounds, 8).view(">i8")[:, :, 0].T
    sign = 1 << (bits - 1)
    out[0] = (out[0] ^ sign) - sign
    return out


def _join(top: IntArray, digits: IntArray, bits: int) -> list[int]:
    """Return top * 2**(bits * K) + the numbers written by the K rows of digits in base 2**bits, highest first."""
    K, n = digits.shape
    if K == 0:
        return top.tolist()
    tops: list[int] = top.tolist()
    out: list[int] = []
    pad = -K * bits % 8
    chunk = max(1, 2**22 // (K * 64))
    for i in range(0, n, chunk):
        part = np.ascontiguousarray(digits[:, i : i + chunk].T.astype(">i8"))
        wide = np.unpackbits(part.view(np.uint8).reshape(-1, K, 8), axis=2)[:, :, 64 - bits :].reshape(-1, K * bits)
        packed = np.packbits(wide, axis=1)  # pads with zeros at the low end
        for j, row in enumerate(packed):
            out.append((tops[i + j] << (K * bits)) + (int.from_bytes(row.tobytes(), "big") >> pad))
    return out


def _common_denominator(X: list[int], places: int, slack: int) -> tuple[list[Any], Any] | None:
    """Return integers p and q with p / q near X / 2**places: the only candidates with a small denominator q."""
    flint = _flint()
    values: list[Any] = X if flint is None else [flint.fmpz(v) for v in X]
    one: Any = 1 if flint is None else flint.fmpz(1)
    unit, half = one << places, one << (places - 1)
    q: Any = one
    limit = (places - slack) // 2 - 16
    if limit <= 0:
        return None
    p: list[Any] = []
    fixed: list[Any] = []
    for x in values:
        scaled = x * q
        near = (scaled + half) >> places
        rest = scaled - (near << places)
        if abs(rest) > q << slack:
            factor = _denominator(rest % unit, places, slack + q.bit_length())
            if factor is None or (q * factor).bit_length() > limit:
                return None
            q = q * factor
            near = (x * q + half) >> places
        p.append(near)
        fixed.append(q)
    return [a if f == q else a * (q // f) for a, f in zip(p, fixed, strict=True)], q


def _denominator(x: Any, places: int, slack: int) -> Any:
    """Return the least q with q x within q 2**slack of a multiple of 2**places, if too small to be an accident."""
    stop = (places + slack) // 2
    a, b = (x * 0 + 1) << places, x
    if b.bit_length() <= stop:
        return None if b else x * 0 + 1
    (A, B, _, _), a, b = _euclid(a, b, stop)
    quotient, rest = divmod(a, b)
    q = B + quotient * A
    return q if rest.bit_length() <= slack + q.bit_length() and q.bit_length() <= (places - slack) // 2 - 16 else None


def _euclid(a: Any, b: Any, stop: int) -> tuple[tuple[Any, Any, Any, Any], Any, Any]:
    """Run Euclid's algorithm on a > b >= 2**stop to the last remainders that are both at least 2**stop.

    Returns the matrix (p, q; r, s) with (a, b) = (p, q; r, s) (a', b'), and a', b'. Long numbers are reduced by what
    their leading halves dictate; a' > b' >= 0 proves that the quotients were right.
    """
    p, q, r, s = 1, 0, 0, 1
    floor = (b * 0 + 1) << stop
    while True:
        n = a.bit_length()
        half = (n - stop) // 2
        if half > 40:
            shift = n - 2 * half
            high = b >> shift
            if high.bit_length() > half + 2:
                (E, F, G, H), _, _ = _euclid(a >> shift, high, half + 2)
                even = E * H - F * G == 1
                u, v = (H * a - F * b, E * b - G * a) if even else (F * b - H * a, G * a - E * b)
                if u > v >= floor and G:
                    a, b = u, v
                    p, q, r, s = p * E + q * G, p * F + q * H, r * E + s * G, r * F + s * H
                    continue
        quotient, rest = divmod(a, b)
        if rest < floor:
            return (p, q, r, s), a, b
        a, b = b, rest
        p, q, r, s = p * quotient + q, p, r * quotient + s, r
