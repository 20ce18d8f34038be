r"""Evaluation of a policy in floats: the solution of :math:`x = b + M x` for a (sub)stochastic or discounted M."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import ModelError
from mdpkit.kernels.sparse import sp
from mdpkit.typing import Array, Floats, Ints

__all__ = ["Factorization", "entries_of", "solve_policy", "take_rows"]

DENSE_BELOW = 400


class Factorization:
    """LU factors of I - M, for several right-hand sides.

    I - M is an M-matrix, whose elimination is stable without pivoting for size: the pivots are taken for sparsity, and
    two steps of iterative refinement follow.

    Parameters
    ----------
    indptr, indices, data : compressed rows of M, ``(n, n)``

    Raises
    ------
    ModelError
        If I - M is singular: some class of states is never left.
    """

    def __init__(self, indptr: Array, indices: Array, data: Floats):
        la: Any = import_module("scipy.linalg")
        spl: Any = import_module("scipy.sparse.linalg")
        n = len(indptr) - 1
        M = sp.csr_array((data, np.asarray(indices, dtype=np.int64), indptr), shape=(n, n))
        self._A: Any = sp.csr_array(sp.identity(n, format="csr") - M)
        self._dense: Any = None
        self._lu: Any = None
        try:
            if n <= DENSE_BELOW or M.nnz > 0.2 * n * n:
                import warnings

                with warnings.catch_warnings():
                    warnings.simplefilter("error", la.LinAlgWarning)
                    warnings.simplefilter("ignore", RuntimeWarning)
                    try:
                        self._dense = la.lu_factor(self._A.toarray(), check_finite=False)
                    except la.LinAlgWarning:
                        raise la.LinAlgError from None
            else:
                self._lu = spl.splu(
                    self._A.tocsc(),
                    permc_spec="MMD_AT_PLUS_A",
                    diag_pivot_thresh=0.0,
                    options={"SymmetricMode": True},
                )
        except (RuntimeError, la.LinAlgError):
            raise ModelError(
                "the chain of the policy has a class that is never left", needed="a transient chain"
            ) from None

    def _apply(self, b: Floats, transposed: bool) -> Floats:
        if self._dense is not None:
            la: Any = import_module("scipy.linalg")
            return la.lu_solve(self._dense, b, trans=int(transposed), check_finite=False)
        return self._lu.solve(b, trans="T" if transposed else "N")

    def solve(self, b: Floats, *, transposed: bool = False) -> Floats:
        """The solution of x = b + M x (of x = b + M' x where ``transposed``), ``(n,)`` or ``(n, m)``."""
        A = self._A.T if transposed else self._A
        x = self._apply(b, transposed)
        for _ in range(2):
            x = x + self._apply(b - A @ x, transposed)
        return x


def solve_policy(indptr: Array, indices: Array, data: Floats, b: Floats) -> Floats:
    """The solution of x = b + M x for one right-hand side; see :class:`Factorization`."""
    return Factorization(indptr, indices, data).solve(b)


def entries_of(indptr: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Row starts of the chosen rows put one after another, and the positions of their entries."""
    count = indptr[rows + 1] - indptr[rows]
    start = np.concatenate(([0], np.cumsum(count)))
    total: int = int(start[-1])
    return start, np.arange(total) - np.repeat(start[:-1], count) + np.repeat(indptr[rows], count)


def take_rows(indptr: Ints, indices: Array, data: Array, rows: Ints) -> tuple[Ints, Array, Array]:
    """Compressed form of the chosen rows."""
    start, entry = entries_of(indptr, rows)
    return start, indices[entry], data[entry]
