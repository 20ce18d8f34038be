r"""Finite Markov chains: stationary laws, gain and bias, limiting and deviation matrix, hitting and mixing times.

A chain is a stochastic matrix :math:`P` in compressed rows. Where its entries are Fractions, everything is exact. In floats
the laws of small classes are found by state elimination without subtractions (Grassmann, Taksar & Heyman 1985), so that
small probabilities too have small relative errors (O'Cinneide 1993); large classes by averaging if that converges fast, and
by sparse factors around an often visited state if not.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import ModelError
from mdpkit.kernels import graph as g
from mdpkit.kernels.evaluation import Factorization
from mdpkit.kernels.rational import rationalize_array, solve_chain, to_fraction
from mdpkit.typing import Array, Floats, Ints, Objects

__all__ = ["stationary_law"]

ELIMINATED = 400
"""Classes of at most so many states are eliminated as dense arrays."""
SWEEPS = 240
"""Averaging is given up after so many steps: by then the chain has a bottleneck, and factors are cheap."""
ROUNDING = 2.0**-50


def _rows(indptr: Array, indices: Array, data: Array, exact: bool | None = None) -> tuple[Ints, Ints, Array]:
    """The chain's arrays without zero entries, in the wanted arithmetic."""
    ptr, columns, entries = np.asarray(indptr, dtype=np.int64), np.asarray(indices, dtype=np.int64), np.asarray(data)
    if entries.dtype != object:
        entries = entries.astype(np.float64)
    if exact is True and entries.dtype != object:
        entries = rationalize_array(entries)
    elif exact is False and entries.dtype == object:
        entries = entries.astype(np.float64)
    keep = entries.astype(bool)
    if not keep.all():
        row = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))[keep]
        ptr = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=len(ptr) - 1))))
        columns, entries = columns[keep], entries[keep]
    return ptr, columns, entries


def _graph(indptr: Ints, indices: Ints) -> g.Graph:
    return g.Graph(np.arange(len(indptr)), indptr, indices.astype(np.uint32))


def stationary_law(indptr: Array, indices: Array, data: Array, *, exact: bool | None = None) -> Array:
    r"""The stationary law :math:`\mu = \mu P` of an irreducible chain, periodic or not.

    Parameters
    ----------
    indptr, indices, data : compressed rows of P, ``(n, n)``
    exact : bool, optional
        Whether to compute in rationals: by default where ``data`` holds Fractions. Floats are then rationalized.

    Returns
    -------
    (n,) array of floats or Fractions
        Positive (a float may underflow to zero), with sum one.

    Raises
    ------
    ModelError
        If some state cannot be reached from another, or rationalized rows do not sum to one.

    Notes
    -----
    Kemeny & Snell (1960), ch. IV. The diagonal of P is not used in floats: a row's entry on it is what the others leave.

    Examples
    --------
    >>> stationary_law([0, 2, 3], [0, 1, 0], [0.5, 0.5, 1.0]).round(12).tolist()
    [0.666666666667, 0.333333333333]
    """
    ptr, columns, entries = _rows(indptr, indices, data, exact)
    label, count = g.bottom_components(_graph(ptr, columns), np.arange(len(ptr) - 1))
    if count != 1 or (label < 0).any():
        s = int(np.flatnonzero(label != 0)[0])
        raise ModelError(
            f"the chain is not irreducible: state {s} and state {int(np.flatnonzero(label == 0)[0])} do not communicate",
            needed="one class of states that all lead to one another",
            way_out="find the recurrent classes first (mdpkit.kernels.graph.bottom_components)",
        )
    if entries.dtype == object:
        return _exact_law(ptr, columns, entries)
    return _float_laws(ptr, columns, entries, label, count)


def _exact_law(indptr: Ints, indices: Ints, data: Objects) -> Objects:
    """Exact stationary law: the visits between two returns to the first state, normalized."""
    n = len(indptr) - 1
    rows = np.repeat(np.arange(n), np.diff(indptr))
    # x = e_0 + M^T x with the transitions into the first state removed.
    order = np.lexsort((rows, indices))
    keep = order[indices[order] != 0]
    counts = np.bincount(indices[keep], minlength=n)
    first = np.full(n, to_fraction(0), dtype=object)
    first[0] = to_fraction(1)
    visits = solve_chain(np.concatenate(([0], np.cumsum(counts))), rows[keep], data[keep], first)
    return visits / sum(visits.tolist(), start=to_fraction(0))


def _float_laws(indptr: Ints, indices: Ints, data: Floats, label: Ints, count: int) -> Floats:
    """The stationary laws of all recurrent classes, side by side; zero on transient states."""
    fast: Any = import_module("mdpkit.kernels._stationary_fast")
    members = np.flatnonzero(label >= 0)
    members = members[np.argsort(label[members], kind="stable")]
    size = np.bincount(label[members], minlength=count)
    class_ptr = np.concatenate(([0], np.cumsum(size)))
    local = np.zeros(len(label), dtype=np.int64)
    local[members] = np.arange(len(members)) - np.repeat(class_ptr[:-1], size)
    law = np.zeros(len(label))
    failed = fast.laws(class_ptr, members, local, indptr, indices, data, ELIMINATED, law)
    if failed >= 0:  # pragma: no cover - probabilities below the range of floats
        raise ModelError(
            f"the class of state {int(members[class_ptr[failed]])} communicates only below the range of floats"
        )
    large = members[np.repeat(size > ELIMINATED, size)]
    if large.size:
        law[large] = _large_laws(*_restricted(indptr, indices, data, large), label[large])
    return law


def _restricted(indptr: Ints, indices: Ints, data: Array, states: Ints) -> tuple[Ints, Ints, Array]:
    """Compressed rows and columns of the chosen states, renumbered; entries that lead elsewhere are dropped."""
    from mdpkit.kernels.evaluation import take_rows

    local = np.full(len(indptr) - 1, -1, dtype=np.int64)
    local[states] = np.arange(len(states))
    ptr, columns, entries = take_rows(indptr, indices, data, states)
    columns = local[columns]
    inside = columns >= 0
    if not inside.all():
        counts = np.concatenate(([0], np.cumsum(inside)))
        ptr, columns, entries = counts[ptr], columns[inside], entries[inside]
    return ptr, columns, entries


def _large_laws(indptr: Ints, indices: Ints, data: Floats, label: Ints) -> Floats:
    """Laws of classes whose rows are closed, by averaging, or by the visits between returns to a frequent state."""
    sp: Any = import_module("scipy.sparse")
    n = len(label)
    _, label = np.unique(label, return_inverse=True)
    back: Any = sp.csr_array((data, indices, indptr), shape=(n, n)).T.tocsr()
    x = 1.0 / np.bincount(label)[label]
    before = np.inf
    for k in range(SWEEPS):
        new = 0.5 * (x + back @ x)
        if k % 8 == 7:
            change = float(np.max(np.abs(new - x) / new))
            ratio = (change / before) ** 0.125
            if change == 0 or (0 < ratio < 1 and change * ratio <= ROUNDING * (1 - ratio)):
                return _normalized(new, label)
            before = change
        x = new
    order = np.lexsort((x, label))
    hub = order[np.cumsum(np.bincount(label)) - 1]
    inner = np.ones(n, dtype=bool)
    inner[hub] = False
    rest = np.flatnonzero(inner)
    start = np.zeros(n)
    start[hub] = 1.0
    x = start
    x[rest] = Factorization(*_restricted(indptr, indices, data, rest)).solve((back @ start)[rest], transposed=True)
    return _normalized(np.maximum(x, 0.0), label)


def _normalized(x: Floats, label: Ints) -> Floats:
    return x / np.bincount(label, weights=x)[label]
