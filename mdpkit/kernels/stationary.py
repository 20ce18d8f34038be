r"""Finite Markov chains: stationary laws, gain and bias, limiting and deviation matrix, hitting and mixing times.

A chain is a stochastic matrix :math:`P` in compressed rows. Where its entries are Fractions, everything is exact. In floats
small classes are solved by state elimination without subtractions (Grassmann, Taksar & Heyman 1985), so that small
probabilities too have small relative errors (O'Cinneide 1993); large classes by averaging where that converges fast, and by
sparse factors around a state that is visited often where not.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import ModelError
from mdpkit.kernels import graph as g
from mdpkit.kernels.evaluation import Factorization, take_rows
from mdpkit.kernels.rational import rationalize_array, row_dot, solve_chain, to_fraction
from mdpkit.typing import Array, Floats, Ints, Objects

__all__ = ["gain_and_bias", "recurrent_classes", "stationary_law", "stationary_laws"]

ELIMINATED = 400
"""Classes of at most so many states are eliminated as dense arrays."""
SWEEPS = 1024
"""Most steps of averaging: chains that need more have bottlenecks, and then sparse factors fill in little."""
KRYLOV = 60
"""Dimension of the Krylov spaces."""
ELIMINATED_AT_NEED = 4000
"""The same for classes with slow passages, which sparse factors blur."""
SLOW = 2.0**32
"""Expected steps of a slow passage."""
MOVE = 0.875
"""Averaging steps with this probability and else stays, so that chains with periods converge too."""
ROUNDING = 2.0**-48


# -------------------- rows and classes


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


def _classes(indptr: Ints, indices: Ints) -> tuple[Ints, int]:
    n = len(indptr) - 1
    graph = g.Graph(np.arange(n + 1), indptr, indices.astype(np.uint32))
    return g.bottom_components(graph, np.arange(n))


def recurrent_classes(indptr: Array, indices: Array, data: Array) -> tuple[Ints, int]:
    """The recurrent class of each state, numbered by the smallest state, -1 for transient states; and their number."""
    ptr, columns, _ = _rows(indptr, indices, data)
    return _classes(ptr, columns)


def _restricted(indptr: Ints, indices: Ints, data: Array, states: Ints) -> tuple[Ints, Ints, Array]:
    """Compressed rows and columns of the chosen states, renumbered; entries that lead elsewhere are dropped."""
    local = np.full(len(indptr) - 1, -1, dtype=np.int64)
    local[states] = np.arange(len(states))
    ptr, columns, entries = take_rows(indptr, indices, data, states)
    columns = local[columns]
    inside = columns >= 0
    if not inside.all():
        counts = np.concatenate(([0], np.cumsum(inside)))
        ptr, columns, entries = counts[ptr], columns[inside], entries[inside]
    return ptr, columns, entries


def _csr(indptr: Ints, indices: Ints, data: Floats, shape: tuple[int, int]) -> Any:
    sp: Any = import_module("scipy.sparse")
    return sp.csr_array((data, indices, indptr), shape=shape)


def _by_class(label: Ints, count: int) -> tuple[Ints, Ints]:
    """Recurrent states class by class, and where each class begins."""
    members = np.flatnonzero(label >= 0)
    members = members[np.argsort(label[members], kind="stable")]
    return np.concatenate(([0], np.cumsum(np.bincount(label[members], minlength=count)))), members


# -------------------- stationary laws


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
        If some state cannot be reached from another.

    Notes
    -----
    Kemeny & Snell (1960), ch. IV. Floats on the diagonal of P do not count in classes of at most 400 states: a state is
    left with the sum of the other probabilities.

    Examples
    --------
    >>> stationary_law([0, 2, 3], [0, 1, 0], [0.5, 0.5, 1.0]).round(12).tolist()
    [0.666666666667, 0.333333333333]
    """
    ptr, columns, entries = _rows(indptr, indices, data, exact)
    label, count = _classes(ptr, columns)
    if count != 1 or (label < 0).any():
        s = int(np.flatnonzero(label != 0)[0])
        raise ModelError(
            f"the chain is not irreducible: state {s} and state {int(np.flatnonzero(label == 0)[0])} do not communicate",
            needed="one class of states that all lead to one another",
            way_out="use stationary_laws, which finds the recurrent classes",
        )
    return _laws(ptr, columns, entries, label, count)


def stationary_laws(indptr: Array, indices: Array, data: Array) -> tuple[Array, Ints, int]:
    """The stationary laws of all recurrent classes, side by side.

    Parameters
    ----------
    indptr, indices, data : compressed rows of P, ``(n, n)``, floats or Fractions

    Returns
    -------
    law : (n,) floats or Fractions
        The probability of each state in the law of its class; zero for transient states.
    label : (n,) int
        The recurrent class of each state, -1 for transient states.
    count : int
        The number of classes.
    """
    ptr, columns, entries = _rows(indptr, indices, data)
    label, count = _classes(ptr, columns)
    return _laws(ptr, columns, entries, label, count), label, count


def _laws(indptr: Ints, indices: Ints, data: Array, label: Ints, count: int) -> Array:
    if data.dtype == object:
        return _exact_laws(indptr, indices, data, label, count)
    return _float_poisson(indptr, indices, data, label, count, np.empty((len(label), 0)))[0]


def _exact_laws(indptr: Ints, indices: Ints, data: Objects, label: Ints, count: int) -> Objects:
    """Exact stationary laws: the visits between two returns to the first state of a class, normalized."""
    zero, one = to_fraction(0), to_fraction(1)
    start, members = _by_class(label, count)
    law = np.full(len(label), zero, dtype=object)
    alone = members[start[:-1]][np.diff(start) == 1]
    law[alone] = one
    several = np.diff(start) > 1
    inner = members[np.repeat(several, np.diff(start))]
    if not inner.size:
        return law
    ptr, columns, entries = _restricted(indptr, indices, data, inner)
    hub = np.concatenate(([0], np.cumsum(np.diff(start)[several])))
    n = len(inner)
    first = np.zeros(n, dtype=bool)
    first[hub[:-1]] = True
    rows = np.repeat(np.arange(n), np.diff(ptr))
    # x = e + M^T x, with the transitions into the first states removed
    order = np.lexsort((rows, columns))
    keep = order[~first[columns[order]]]
    counts = np.bincount(columns[keep], minlength=n)
    right = np.full(n, zero, dtype=object)
    right[first] = one
    visits = solve_chain(np.concatenate(([0], np.cumsum(counts))), rows[keep], entries[keep], right)
    total = np.add.reduceat(visits, hub[:-1])
    law[inner] = visits / np.repeat(total, np.diff(hub))
    return law


# -------------------- gain and bias


def gain_and_bias(indptr: Array, indices: Array, data: Array, r: Array) -> tuple[Array, Array, Ints]:
    r"""Gain :math:`g = P^* r` and bias :math:`h = H r` of a chain with rewards, whatever its classes and periods.

    On a recurrent class with stationary law :math:`\mu`, the gain is :math:`\mu r` and the bias solves Poisson's equation
    :math:`h = r - g + P h` with :math:`\mu h = 0`; on transient states both follow from :math:`g = P g` and
    :math:`h = r - g + P h`.

    Parameters
    ----------
    indptr, indices, data : compressed rows of P, ``(n, n)``, floats or Fractions
    r : (n,) or (n, m)
        Rewards: one reward structure, or m of them.

    Returns
    -------
    gain, bias : like r
        Fractions where P and r are; the gain is the same number in all states of a recurrent class.
    label : (n,) int
        The recurrent class of each state, numbered by the smallest state; -1 for transient states.

    Raises
    ------
    ModelError
        If the arrays do not fit together, or floats do not separate transient states from a class that is never left.

    Notes
    -----
    Puterman (1994), appendix A and sec. 8.2 (recalled).

    Examples
    --------
    Howard's toymaker under the better policy: gain 2, and bias 20/9 and -70/9.

    >>> from fractions import Fraction as F
    >>> rows = np.array([F(4, 5), F(1, 5), F(7, 10), F(3, 10)])
    >>> gain, bias, label = gain_and_bias([0, 2, 4], [0, 1, 0, 1], rows, np.array([F(4), F(-5)]))
    >>> gain.tolist(), bias.tolist()
    ([Fraction(2, 1), Fraction(2, 1)], [Fraction(20, 9), Fraction(-70, 9)])
    """
    ptr, columns, entries = _rows(indptr, indices, data)
    reward = np.asarray(r)
    n = len(ptr) - 1
    if reward.ndim not in (1, 2) or len(reward) != n:
        raise ModelError("the rewards have the wrong shape", found=reward.shape, needed=f"({n},) or ({n}, m)")
    label, count = _classes(ptr, columns)
    R: Array = reward.reshape(n, -1)
    if entries.dtype == object and R.dtype.kind in "Oiub":
        gain, bias = _exact_poisson(ptr, columns, entries, label, count, R.astype(object))
    else:
        entries, R = entries.astype(np.float64), R.astype(np.float64)
        _, gain, bias = _float_poisson(ptr, columns, entries, label, count, R)
        _enter(ptr, columns, entries, label, R, gain, bias)
    return gain.reshape(reward.shape), bias.reshape(reward.shape), label


def _exact_poisson(
    indptr: Ints, indices: Ints, data: Objects, label: Ints, count: int, R: Objects
) -> tuple[Objects, Objects]:
    """Exact gain and bias."""
    law = _exact_laws(indptr, indices, data, label, count)
    start, members = _by_class(label, count)
    weights = (start, members, law[members])
    gain, bias = (np.full(R.shape, to_fraction(0), dtype=object) for _ in range(2))
    gain[members] = row_dot(*weights, R)[label[members]]
    first = np.zeros(len(label), dtype=bool)
    first[members[start[:-1]]] = True
    inner = np.flatnonzero((label >= 0) & ~first)
    if inner.size:
        bias[inner] = solve_chain(*_restricted(indptr, indices, data, inner), R[inner] - gain[inner])
    bias[members] = bias[members] - row_dot(*weights, bias)[label[members]]
    passing = np.flatnonzero(label < 0)
    if passing.size:
        rows = take_rows(indptr, indices, data, passing)
        inside = _restricted(indptr, indices, data, passing)
        gain[passing] = gain[members[0]] if count == 1 else solve_chain(*inside, row_dot(*rows, gain))
        bias[passing] = solve_chain(*inside, R[passing] - gain[passing] + row_dot(*rows, bias))
    return gain, bias


def _float_poisson(
    indptr: Ints, indices: Ints, data: Floats, label: Ints, count: int, R: Floats
) -> tuple[Floats, Floats, Floats]:
    """Laws, gains and biases of the recurrent states; zero elsewhere."""
    start, members = _by_class(label, count)
    size = np.diff(start)
    law, gain, bias = _eliminated(indptr, indices, data, start, members, ELIMINATED, R)
    large = members[np.repeat(size > ELIMINATED, size)]
    if large.size:
        rows = _restricted(indptr, indices, data, large)
        begin = np.concatenate(([0], np.cumsum(size[size > ELIMINATED])))
        found = _large_poisson(*rows, begin, R[large])
        if found is None and int(size.max()) <= ELIMINATED_AT_NEED:
            found = _eliminated(*rows, begin, np.arange(len(large)), ELIMINATED_AT_NEED, R[large])
        if found is None:
            raise _too_rare(int(large[0]))
        law[large], gain[large], bias[large] = found
    return law, gain, bias


def _eliminated(
    indptr: Ints, indices: Ints, data: Floats, start: Ints, members: Ints, limit: int, R: Floats
) -> tuple[Floats, Floats, Floats]:
    """Laws, gains and biases of the classes of at most ``limit`` states."""
    fast: Any = import_module("mdpkit.kernels._stationary_fast")
    n, size = len(R), np.diff(start)
    local = np.zeros(n, dtype=np.int64)
    local[members] = np.arange(len(members)) - np.repeat(start[:-1], size)
    law, gain, bias = np.zeros(n), np.zeros(R.shape), np.zeros(R.shape)
    R = np.ascontiguousarray(R)
    failed = fast.eliminate(start, members.copy(), local, indptr, indices, data, limit, R, law, gain, bias)
    if failed >= 0:
        raise _too_rare(int(members[start[failed]]))
    return law, gain, bias


def _too_rare(state: int) -> ModelError:
    return ModelError(
        f"some states of the class of state {state} lead to one another too rarely for floats",
        needed=f"passages in less than {SLOW:.0e} expected steps in classes of over {ELIMINATED_AT_NEED} states",
        way_out="compute in rationals",
    )


def _large_poisson(
    indptr: Ints, indices: Ints, data: Floats, start: Ints, R: Floats
) -> tuple[Floats, Floats, Floats] | None:
    """Laws, gains and biases of closed classes, given one after another: by averaging, or by factors around a hub.

    None where the way to the hub, a frequent state of the class, is slow.
    """
    n, m = R.shape
    label = np.repeat(np.arange(len(start) - 1), np.diff(start))
    P = _csr(indptr, indices, data, (n, n))
    back: Any = P.T.tocsr()
    law, steps = _average(back, start, label)
    if steps:
        gain = _class_means(law, R, start)[label]
        bias = _sum_lazily(P, R - gain, steps) if m else gain
        if bias is not None:
            return law, gain, bias - _class_means(law, bias, start)[label]
    again = False
    while True:
        order = np.lexsort((law, label))
        hub = order[start[1:] - 1]
        inner = np.ones(n, dtype=bool)
        inner[hub] = False
        rest = np.flatnonzero(inner)
        try:
            lu = Factorization(*_restricted(indptr, indices, data, rest))
        except ModelError:
            return None
        visits = np.zeros(n)
        visits[hub] = 1.0
        visits[rest] = np.maximum(lu.solve((back @ visits)[rest], transposed=True), 0.0)
        law = _normalized(visits, start, label)
        if again or (law[hub] * 64.0 >= np.maximum.reduceat(law, start[:-1])).all():
            break
        again = True
    passage = np.abs(lu.solve(np.ones(len(rest))))
    if not (passage.max() < SLOW and np.isfinite(law).all()):
        return None
    gain = _class_means(law, R, start)[label]
    bias = np.zeros((n, m))
    if m:
        bias[rest] = lu.solve((R - gain)[rest])
    return law, gain, bias - _class_means(law, bias, start)[label]


def _average(back: Any, start: Ints, label: Ints) -> tuple[Floats, int]:
    """Laws by lazy steps from two starts until these are proportional, and the steps; zero steps for too many."""
    x = np.ones((len(label), 2))
    x[:, 1] = 0.5 + np.modf(np.arange(len(label)) * 0.6180339887498949)[0]  # excites every mode
    first = 0.0
    for k in range(1, SWEEPS + 1):
        x = (1 - MOVE) * x + MOVE * (back @ x)
        if k % 16 == 0:
            ratio = x[:, 0] / x[:, 1]
            low, high = np.minimum.reduceat(ratio, start[:-1]), np.maximum.reduceat(ratio, start[:-1])
            distance = float(np.max((high - low) / high))
            if distance <= ROUNDING:
                return _normalized(x[:, 0], start, label), k
            if k == 32:
                first = distance
            elif k >= 64:
                rate = np.log(first / distance) / (k - 32)
                if rate * (SWEEPS - k) < np.log(distance / ROUNDING):
                    break
    return x[:, 0], 0


def _normalized(x: Floats, start: Ints, label: Ints) -> Floats:
    return (x / np.add.reduceat(x.astype(np.longdouble), start[:-1])[label]).astype(np.float64)


def _sum_lazily(P: Any, b: Floats, steps: int) -> Floats | None:
    """The sum of the lazy chain's expected b's, or None if it has not settled soon after ``steps``."""
    x = MOVE * b
    for k in range(1, 2 * steps + 17):
        new = (1 - MOVE) * x + MOVE * (b + P @ x)
        if k >= steps and k % 16 == 0:
            size = np.max(np.abs(new), axis=0)
            if (np.max(np.abs(new - x), axis=0) <= ROUNDING * size).all():
                return new
        x = new
    return None


def _class_means(law: Floats, x: Floats, start: Ints) -> Floats:
    """Means of the columns of x under the law of each class, ``(count, m)``."""
    return np.add.reduceat(law.astype(np.longdouble)[:, None] * x, start[:-1], axis=0).astype(np.float64)


class _Passing:
    """The transient states: solves x = b + Qx on them.

    Small sets are factored. Large ones are summed where they are left fast, else solved in Krylov spaces where these
    converge fast, else factored: where neither is fast there are bottlenecks, and factors fill in little.
    """

    def __init__(self, indptr: Ints, indices: Ints, data: Floats, label: Ints):
        self.states = np.flatnonzero(label < 0)
        rows = take_rows(indptr, indices, data, self.states)
        self.rows: Any = _csr(*rows, (len(self.states), len(label)))
        self._inside = _restricted(indptr, indices, data, self.states)
        self._lu: Factorization | None = None
        self._steps = 0
        self._krylov = False
        if len(self.states) > ELIMINATED:
            self._Q: Any = _csr(*self._inside, (len(self.states), len(self.states)))
            self._steps = self._lifetime()
            self._krylov = not self._steps

    def _lifetime(self) -> int:
        """Steps after which what comes later is below rounding, by the probability to be there still; zero for many."""
        alive = np.ones(len(self.states))
        for k in range(1, SWEEPS + 1):
            alive = self._Q @ alive
            if k % 8 == 0:
                most = float(alive.max())
                # the sum of the powers of Q from the k-th on is at most k most / (1 - most)
                if k * most <= ROUNDING * (1 - most):
                    return k
                if k >= 32 and -np.log(most) * SWEEPS < 35.0 * k:
                    break
        return 0

    def solve(self, b: Floats) -> Floats:
        """The solution for one or several columns."""
        if self._krylov:
            columns = [self._in_krylov_space(c) for c in b.reshape(len(b), -1).T]
            if all(c is not None for c in columns):
                return np.stack(columns, axis=1).reshape(b.shape)
            self._krylov = False
        if self._steps:
            x = b
            for _ in range(self._steps):
                x = b + self._Q @ x
            return x
        if self._lu is None:
            self._lu = Factorization(*self._inside)
        return self._lu.solve(b)

    def _in_krylov_space(self, b: Floats) -> Any:
        """Restarted GMRES as long as each round gains three digits, down to the rounding of the residual; or None."""
        gmres: Any = import_module("scipy.sparse.linalg").gmres
        sp: Any = import_module("scipy.sparse")
        A = sp.identity(len(b), format="csr") - self._Q
        x, rest = np.zeros(len(b)), b
        for _ in range(8):
            size = float(np.abs(rest).max())
            if size <= 2.0**-50 * float(np.abs(b).max() + np.abs(x).max()):
                return x
            step, _ = gmres(A, rest, rtol=1e-8, restart=KRYLOV, maxiter=1)
            rest = b - (x + step - self._Q @ (x + step))
            if not float(np.abs(rest).max()) <= 1e-3 * size:
                return None
            x = x + step
        return None


def _enter(indptr: Ints, indices: Ints, data: Floats, label: Ints, R: Floats, gain: Floats, bias: Floats) -> None:
    """Complete gain and bias on the transient states, in place."""
    if not (label < 0).any():
        return
    passing = _Passing(indptr, indices, data, label)
    T = passing.states
    closed = gain[label >= 0]
    low, high = closed.min(axis=0), closed.max(axis=0)
    # a mean of the gains of classes; exactly theirs where they are all the same
    gain[T] = low if (low == high).all() else np.clip(passing.solve(passing.rows @ gain), low, high)
    bias[T] = passing.solve(R[T] - gain[T] + passing.rows @ bias)
