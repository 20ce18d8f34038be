r"""Transition laws as rows over state--action pairs: the linear map :math:`V \mapsto PV`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import SizeError
from mdpkit.kernels.evaluation import entries_of
from mdpkit.kernels.sparse import sp
from mdpkit.typing import Array, Floats, Ints, Objects

__all__ = ["Transitions", "check_memory"]

DENSE_FROM = 0.25
"""Share of nonzeros from which an array given as dense stays dense: one matrix product beats gathering."""


def check_memory(n_bytes: float, what: str) -> None:
    """Raise :class:`~mdpkit.errors.SizeError` if ``n_bytes`` exceed the machine's memory; nothing is allocated."""
    import os

    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # pragma: no cover - not on POSIX
        return
    if n_bytes > 0.9 * total:
        raise SizeError(
            f"{what} would need about {n_bytes / 2**30:,.1f} GiB of memory",
            needed=f"at most {0.9 * total / 2**30:,.1f} GiB on this machine",
            way_out="use a smaller problem, or sparse state-action pairs in place of dense arrays",
        )


class Transitions:
    """Rows of transition probabilities, one a pair (or one a stage and pair).

    Stored dense ``(rows, S)`` or compressed by rows with unsigned 32-bit column indices. ``data`` is float64;
    ``exact`` holds the same entries as Fractions where the model is rational.

    Parameters
    ----------
    indptr : (rows + 1,) int
        Start of each row in ``indices`` and ``data``.
    indices : (nnz,) int
        Next states, ascending and without repetition in each row.
    data : (nnz,) float
        Probabilities, all positive.
    n_states : int
        Number of columns.
    exact : (nnz,) object, optional
        The probabilities as :class:`fractions.Fraction`.
    """

    __slots__ = ("__dict__", "n_rows", "n_states")

    n_rows: int
    n_states: int

    def __init__(
        self,
        indptr: Array | Sequence[int],
        indices: Array | Sequence[int],
        data: Array | Sequence[float],
        n_states: int,
        exact: Objects | None = None,
    ):
        cache = self.__dict__
        cache["indptr"] = _frozen(np.asarray(indptr, dtype=np.int64))
        cache["indices"] = _frozen(np.asarray(indices, dtype=np.uint32))
        cache["data"] = _frozen(np.asarray(data, dtype=np.float64))
        cache["exact"] = None if exact is None else _frozen(np.asarray(exact, dtype=object))
        cache["dense"] = None
        self.n_states = int(n_states)
        self.n_rows = len(cache["indptr"]) - 1

    @classmethod
    def from_dense(cls, rows: Array) -> Transitions:
        """Rows given as an array ``(rows, S)``; kept dense where a quarter or more of it is nonzero."""
        if rows.dtype == object:
            row, column = np.nonzero(rows)
            exact = rows[row, column]
            indptr = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=rows.shape[0]))))
            return cls(indptr, column, exact.astype(np.float64), rows.shape[1], exact)
        if np.count_nonzero(rows) < DENSE_FROM * rows.size:
            return cls.from_sparse(sp.csr_array(rows))
        self = cls.__new__(cls)
        self.n_rows, self.n_states = rows.shape
        self.__dict__["dense"] = _frozen(np.array(rows, dtype=np.float64, order="C"))
        self.__dict__["exact"] = None
        return self

    @classmethod
    def from_sparse(cls, rows: Any) -> Transitions:
        """Rows given as any scipy sparse matrix or array ``(rows, S)``; explicit zeros are dropped."""
        csr: Any = sp.csr_array(rows, dtype=np.float64, copy=True)
        csr.sum_duplicates()
        csr.eliminate_zeros()
        return cls(csr.indptr, csr.indices, csr.data, csr.shape[1])

    @cached_property
    def dense(self) -> Floats | None:
        """The rows as an array ``(rows, S)`` if they are stored so, else ``None``."""
        return None

    @cached_property
    def _compressed(self) -> tuple[Ints, Array, Floats]:
        dense = self.dense
        assert dense is not None
        # not through scipy's coordinates, which take five times as long on a dense array
        rows, S = dense.shape
        count = np.count_nonzero(dense, axis=1)
        indptr = np.concatenate(([0], np.cumsum(count, dtype=np.int64)))
        flat = dense.reshape(-1)
        if int(indptr[-1]) == flat.size:
            return _frozen(indptr), _frozen(np.tile(np.arange(S, dtype=np.uint32), rows)), flat
        kept = flat != 0
        indices = np.broadcast_to(np.arange(S, dtype=np.uint32), dense.shape)[kept.reshape(dense.shape)]
        return _frozen(indptr), _frozen(indices), _frozen(flat[kept])

    @cached_property
    def indptr(self) -> Ints:
        """Row starts ``(rows + 1,)`` int64."""
        return self._compressed[0]

    @cached_property
    def indices(self) -> Array:
        """Next states ``(nnz,)`` uint32."""
        return self._compressed[1]

    @cached_property
    def data(self) -> Floats:
        """Probabilities ``(nnz,)`` float64."""
        return self._compressed[2]

    @cached_property
    def exact(self) -> Objects | None:
        """Probabilities ``(nnz,)`` as Fractions, or ``None`` for a float model."""
        return None

    @property
    def nnz(self) -> int:
        """Number of stored transitions."""
        return int(self.indptr[-1])

    @property
    def shape(self) -> tuple[int, int]:
        """``(rows, S)``."""
        return self.n_rows, self.n_states

    @cached_property
    def csr(self) -> Any:
        """The rows as a :class:`scipy.sparse.csr_array` (sharing the probabilities)."""
        return sp.csr_array((self.data, self.indices.astype(np.int64), self.indptr), shape=self.shape)

    @cached_property
    def row_of(self) -> Ints:
        """Row of every stored transition, ``(nnz,)``."""
        return _frozen(np.repeat(np.arange(self.n_rows, dtype=np.int64), np.diff(self.indptr)))

    @cached_property
    def cumulative(self) -> Floats:
        """Cumulative sums of the rows ``(nnz,)``, each row divided by its sum: what sampling inverts."""
        from mdpkit.kernels import sampling

        kernels: Any = sampling
        return _frozen(kernels.cumulative(self.indptr, self.data))

    @cached_property
    def mass_defect(self) -> Floats:
        """Upper bound on ``|row sum - 1|`` of the float rows ``(rows,)``, rounding of the sum included."""
        if self.exact is not None:
            n = np.diff(self.indptr)
            return _frozen(n * 2.0**-53)  # every float is its rational correctly rounded, whose row sums to one
        fast: Any = import_module("mdpkit.kernels.fast")
        out = np.empty(self.n_rows)
        fast.mass_defect(self.indptr, self.data, out)
        return _frozen(out)

    @cached_property
    def stochastic(self) -> Transitions:
        """These rows, each divided by its sum if one of them misses one by more than rounding."""
        if self.exact is not None or np.all(self.mass_defect <= 2.0**-50 * max(self.n_states, 4)):
            return self
        return self.normalized(np.asarray(self.csr.sum(axis=1)).ravel())

    def normalized(self, sums: Floats) -> Transitions:
        """The float rows divided by ``sums`` ``(rows,)``."""
        if self.dense is not None:
            return Transitions.from_dense(self.dense / sums[:, None])
        return Transitions(self.indptr, self.indices, self.data / sums[self.row_of], self.n_states)

    def __matmul__(self, V: Array) -> Array:
        """``PV`` for ``V`` of shape ``(S,)``: floats, or exactly where ``V`` holds Fractions."""
        if V.dtype == object:
            from mdpkit.kernels import rational

            return rational.row_dot(self.indptr, self.indices, self.rationals(), V)
        if self.dense is not None:
            return self.dense @ V
        return self.csr @ V

    def rationals(self) -> Objects:
        """The exact probabilities; raises :class:`~mdpkit.errors.MDPError` on a float model."""
        if self.exact is None:
            from mdpkit.errors import ModelError

            raise ModelError(
                "exact arithmetic on a model of floats",
                needed="rational probabilities",
                way_out="call .exact() on the model first",
            )
        return self.exact

    def rows(self, start: int, stop: int) -> Transitions:
        """Rows ``start`` to ``stop - 1`` as a map of their own (views, no copies)."""
        if self.dense is not None:
            part = Transitions.__new__(Transitions)
            part.n_rows, part.n_states = stop - start, self.n_states
            part.__dict__["dense"] = self.dense[start:stop]
            part.__dict__["exact"] = None
            return part
        i, j = int(self.indptr[start]), int(self.indptr[stop])
        exact = None if self.exact is None else self.exact[i:j]
        return Transitions(self.indptr[start : stop + 1] - i, self.indices[i:j], self.data[i:j], self.n_states, exact)

    def take(self, rows: Ints) -> Transitions:
        """The chosen rows, in the order given."""
        rows = np.asarray(rows, dtype=np.int64)
        if self.dense is not None and self.exact is None:
            part = Transitions.__new__(Transitions)
            part.n_rows, part.n_states = len(rows), self.n_states
            part.__dict__["dense"] = _frozen(self.dense[rows])
            part.__dict__["exact"] = None
            return part
        indptr, entry = entries_of(self.indptr, rows)
        exact = None if self.exact is None else self.exact[entry]
        return Transitions(indptr, self.indices[entry], self.data[entry], self.n_states, exact)

    def toarray(self) -> Floats:
        """The rows as a new dense array ``(rows, S)``."""
        check_memory(8.0 * self.n_rows * self.n_states, f"a dense copy of {self.n_rows} rows of {self.n_states} states")
        return np.array(self.dense) if self.dense is not None else self.csr.toarray()

    def with_exact(self, exact: Objects) -> Transitions:
        """The same rows with these exact entries; the floats become the entries correctly rounded."""
        return Transitions(self.indptr, self.indices, exact.astype(np.float64), self.n_states, exact)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Transitions):
            return NotImplemented
        if self.shape != other.shape or (self.exact is None) != (other.exact is None):
            return False
        same = np.array_equal(self.indptr, other.indptr) and np.array_equal(self.indices, other.indices)
        if not same or self.exact is None:
            return same and np.array_equal(self.data, other.data)
        return bool(np.all(self.exact == other.exact))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        kind = "dense" if self.dense is not None else f"{self.nnz} nonzeros"
        exact = ", exact" if self.exact is not None else ""
        return f"Transitions({self.n_rows} rows, {self.n_states} states, {kind}{exact})"


def _frozen(array: Array) -> Any:
    array = array.view()
    array.flags.writeable = False
    return array
