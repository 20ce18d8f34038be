r"""Finite Markov chains: stationary laws, gain and bias, limiting and deviation matrix, hitting and mixing times.

A chain is a stochastic matrix :math:`P` in compressed rows. Where its entries are Fractions, everything is exact. In floats
small classes are solved by state elimination without subtractions (Grassmann, Taksar & Heyman 1985), so that small
probabilities too have small relative errors (O'Cinneide 1993); large classes by averaging where that converges fast, and by
sparse factors around a state that is visited often where not.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import ModelError, OptionError
from mdpkit.kernels import graph as g
from mdpkit.kernels.evaluation import Factorization, take_rows
from mdpkit.kernels.rational import rationalize_array, row_dot, solve_chain, to_fraction
from mdpkit.kernels.sparse import sp
from mdpkit.typing import Array, Bools, Floats, Ints, Objects

__all__ = [
    "absorption",
    "deviation_matrix",
    "gain_and_bias",
    "hitting_probabilities",
    "hitting_times",
    "limiting_matrix",
    "mixing_time",
    "recurrent_classes",
    "stationary_law",
    "stationary_laws",
]

ELIMINATED = 400
"""Classes of at most so many states are eliminated as dense arrays."""
SWEEPS = 1024
"""Most steps of averaging: chains that need more have bottlenecks, and then sparse factors fill in little."""
FEW = 16
"""Most right-hand sides for which averaging is cheaper than factors."""
KRYLOV = 60
"""Dimension of the Krylov spaces."""
ELIMINATED_AT_NEED = 4000
"""The same for classes with slow passages, which sparse factors blur."""
SLOW, HOPELESS = 2.0**32, 2.0**42
"""Expected steps of slow passages: factors lose as many bits, and are not believed in the second case."""
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
        small = int(size.max()) <= ELIMINATED_AT_NEED
        found = _large_poisson(*rows, begin, R[large], SLOW if small else HOPELESS)
        if found is None and small:
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
        needed=f"passages in less than {HOPELESS:.0e} expected steps in classes of over {ELIMINATED_AT_NEED} states",
        way_out="compute in rationals",
    )


def _large_poisson(
    indptr: Ints, indices: Ints, data: Floats, start: Ints, R: Floats, slow: float
) -> tuple[Floats, Floats, Floats] | None:
    """Laws, gains and biases of closed classes, given one after another: by averaging, or by factors around a hub.

    None where the way to the hub, a frequent state of the class, takes ``slow`` expected steps or more.
    """
    n, m = R.shape
    label = np.repeat(np.arange(len(start) - 1), np.diff(start))
    P = _csr(indptr, indices, data, (n, n))
    back: Any = P.T.tocsr()
    law, steps = _average(back, start, label)
    if steps and m <= FEW:
        gain = _class_means(law, R, start)[label]
        bias = _sum_lazily(P, R - gain, steps) if m else gain
        if bias is not None:
            gain = gain + _class_means(law, R - gain + P @ bias - bias, start)[label]
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
    if not (passage.max() < slow and np.isfinite(law).all()):
        return None
    gain, bias = np.zeros((n, m)), np.zeros((n, m))
    for _ in range(2 if m else 0):  # the second time with what the first leaves: see the compiled kernel
        left = R - gain + P @ bias - bias
        mean = _class_means(law, left, start)[label]
        gain = gain + mean
        step = np.zeros((n, m))
        step[rest] = lu.solve((left - mean)[rest])
        bias = bias + step - _class_means(law, step, start)[label]
    return law, gain, bias


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
    """States that are left for good: solves x = b + Qx on them.

    Small sets are factored. Large ones are summed where they are left fast, else solved in Krylov spaces where these
    converge fast, else factored: where neither is fast there are bottlenecks, and factors fill in little.
    """

    def __init__(self, indptr: Ints, indices: Ints, data: Floats, states: Ints):
        self.states = states
        rows = take_rows(indptr, indices, data, states)
        self.rows: Any = _csr(*rows, (len(states), len(indptr) - 1))
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
        if self._krylov and b[0].size <= FEW:
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
    T = np.flatnonzero(label < 0)
    passing = _Passing(indptr, indices, data, T)
    closed = gain[label >= 0]
    low, high = closed.min(axis=0), closed.max(axis=0)
    # a mean of the gains of classes; exactly theirs where they are all the same
    gain[T] = low if (low == high).all() else np.clip(passing.solve(passing.rows @ gain), low, high)
    bias[T] = passing.solve(R[T] - gain[T] + passing.rows @ bias)


# -------------------- absorption, limiting and deviation matrix


def absorption(indptr: Array, indices: Array, data: Array) -> tuple[Array, Ints]:
    """The probabilities of ending in each recurrent class.

    Parameters
    ----------
    indptr, indices, data : compressed rows of P, ``(n, n)``, floats or Fractions

    Returns
    -------
    probability : (n, count) floats or Fractions
        From each state into each class; zero and one in recurrent states.
    label : (n,) int
        The recurrent class of each state, -1 for transient states.
    """
    ptr, columns, entries = _rows(indptr, indices, data)
    label, count = _classes(ptr, columns)
    exact = entries.dtype == object
    x: Array = np.zeros((len(label), count))
    if exact:
        x = np.full(x.shape, to_fraction(0), dtype=object)
    inside, T = np.flatnonzero(label >= 0), np.flatnonzero(label < 0)
    one: Any = to_fraction(1) if exact else 1.0
    x[inside, label[inside]] = one
    if count == 1:
        x[T] = one
    elif T.size:
        x[T] = _solve_at(ptr, columns, entries, T, x)
        if not exact:
            x[T] = np.clip(x[T], 0.0, 1.0)
    return x, label


def _solve_at(indptr: Ints, indices: Ints, data: Array, states: Ints, known: Array) -> Array:
    """The solution of x = Px at the given states, which are left for good; ``known`` is zero there."""
    if data.dtype == object:
        right = row_dot(*take_rows(indptr, indices, data, states), known)
        return solve_chain(*_restricted(indptr, indices, data, states), right)
    passing = _Passing(indptr, indices, data, states)
    return passing.solve(passing.rows @ known)


def limiting_matrix(indptr: Array, indices: Array, data: Array) -> Array:
    r"""The Cesaro limit :math:`P^* = \lim_n \frac1n \sum_{t<n} P^t`, which exists for every finite chain: ``(n, n)``.

    Row s mixes the stationary laws of the recurrent classes by the probabilities of ending in them.

    Notes
    -----
    Kemeny & Snell (1960), sec. 5.1; Puterman (1994), appendix A.4 (recalled).
    """
    probability, label = absorption(indptr, indices, data)
    law, _, _ = stationary_laws(indptr, indices, data)
    limit: Array = np.zeros((len(label), len(label)))
    if law.dtype == object:
        limit = np.full(limit.shape, to_fraction(0), dtype=object)
    inside = np.flatnonzero(label >= 0)
    limit[:, inside] = probability[:, label[inside]] * law[inside]
    return limit


def deviation_matrix(indptr: Array, indices: Array, data: Array) -> Array:
    r"""The deviation matrix :math:`H = (I - P + P^*)^{-1} (I - P^*)`, ``(n, n)``: the bias is :math:`H r`.

    Notes
    -----
    Column t is the bias of the reward that pays one in state t. Puterman (1994), appendix A.5 (recalled).
    """
    n = len(np.asarray(indptr)) - 1
    exact = np.asarray(data).dtype == object
    unit = np.eye(n, dtype=np.int64)
    return gain_and_bias(indptr, indices, data, unit.astype(object) if exact else unit)[1]


# -------------------- hitting and mixing


def hitting_probabilities(indptr: Array, indices: Array, data: Array, target: Array) -> Array:
    """The probabilities of ever visiting the target, a mask ``(n,)``; one in it. Zeros and ones are exact.

    Returns
    -------
    (n,) floats or Fractions
    """
    ptr, columns, entries, graph, goal = _with_target(indptr, indices, data, target)
    exact = entries.dtype == object
    sure = g.prob_max_one(graph, goal)
    open_ = np.flatnonzero(g.can_reach(graph, goal) & ~sure)
    x: Array = sure.astype(np.float64)
    if exact:
        x = np.full(len(sure), to_fraction(0), dtype=object)
        x[sure] = to_fraction(1)
    if open_.size:
        x[open_] = _solve_at(ptr, columns, entries, open_, x)
        if not exact:
            x = np.clip(x, 0.0, 1.0)
    return x


def hitting_times(indptr: Array, indices: Array, data: Array, target: Array) -> Array:
    """Expected steps until the first visit to the target, a mask ``(n,)``: zero in it, inf where it may be missed.

    Returns
    -------
    (n,) floats, or Fractions and ``float('inf')``
    """
    ptr, columns, entries, graph, goal = _with_target(indptr, indices, data, target)
    sure = g.prob_max_one(graph, goal)
    states = np.flatnonzero(sure & ~goal)
    if entries.dtype == object:
        times = np.full(len(sure), np.inf, dtype=object)
        times[goal] = to_fraction(0)
        if states.size:
            one = np.full(len(states), to_fraction(1), dtype=object)
            times[states] = solve_chain(*_restricted(ptr, columns, entries, states), one)
        return times
    steps = np.where(goal, 0.0, np.inf)
    if states.size:
        steps[states] = _Passing(ptr, columns, entries, states).solve(np.ones(len(states)))
    return steps


def _with_target(indptr: Array, indices: Array, data: Array, target: Array) -> tuple[Ints, Ints, Array, g.Graph, Bools]:
    ptr, columns, entries = _rows(indptr, indices, data)
    goal = np.asarray(target)
    n = len(ptr) - 1
    if goal.dtype != np.bool_ or goal.shape != (n,) or not goal.any():
        raise ModelError(
            "the target is no nonempty set of states",
            found=f"{goal.dtype} of shape {goal.shape}",
            needed=f"a mask ({n},) with one state at least",
        )
    return ptr, columns, entries, g.Graph(np.arange(n + 1), ptr, columns.astype(np.uint32)), goal


def mixing_time(indptr: Array, indices: Array, data: Array, eps: Any = 0.25, *, exact: bool | None = None) -> int:
    r"""The least t with :math:`d(t) = \max_s \|P^t(s, \cdot) - \mu\|_{TV} \le \varepsilon`.

    Parameters
    ----------
    indptr, indices, data : compressed rows of P, ``(n, n)``
        One recurrent class of period one; there may be transient states.
    eps : number in (0, 1)
        Total variation is half the sum of absolute differences.
    exact : bool, optional
        Whether to decide in rationals, by default where ``data`` holds Fractions. The powers of a chain have long
        entries: for small chains that mix fast.

    Raises
    ------
    ModelError
        If the chain has several recurrent classes or a period: then d(t) does not tend to zero.

    Notes
    -----
    d does not increase with t: powers are squared until d is at most eps, and t is put together from its binary digits.
    Levin & Peres (2017), sec. 4.5 (recalled).
    """
    ptr, columns, entries = _rows(indptr, indices, data, exact)
    wanted = to_fraction(eps, what="distance eps")
    if not 0 < wanted < 1:
        raise OptionError("the distance eps is out of range", found=eps, needed="0 < eps < 1")
    label, count = _classes(ptr, columns)
    n = len(label)
    if count > 1:
        raise ModelError(
            f"the chain has {count} recurrent classes: its law does not forget the start", needed="one recurrent class"
        )
    graph = g.Graph(np.arange(n + 1), ptr, columns.astype(np.uint32))
    d = g.period(graph, np.arange(n), label == 0)
    if d > 1:
        raise ModelError(f"the chain has period {d} and does not mix", needed="period 1", way_out="make it lazy")
    law = _laws(ptr, columns, entries, label, count)
    floats = law.astype(np.float64)
    P = np.zeros((n, n))
    P[np.repeat(np.arange(n), np.diff(ptr)), columns] = entries.astype(np.float64)
    t = _mixing_time(P, floats, float(wanted))
    if entries.dtype != object:
        return t
    return _exact_mixing_time(ptr, columns, entries, law, wanted, t)


def _mixing_time(P: Floats, law: Floats, eps: float) -> int:
    def far(power: Floats) -> bool:
        return bool(0.5 * np.max(np.abs(power - law).sum(axis=1)) > eps)

    if not far(np.eye(len(law))):
        return 0
    powers = [P]
    while far(powers[-1]):
        square = powers[-1] @ powers[-1]
        powers.append(square / square.sum(axis=1, keepdims=True))
        if len(powers) > 60:
            raise ModelError(
                "the chain mixes too slowly for floats", found="more than 2**59 steps", way_out="take a larger eps"
            )
    t, at = 0, np.eye(len(law))  # the largest t that is known to be too early, and P^t
    for k in range(len(powers) - 2, -1, -1):
        later = at @ powers[k]
        if far(later):
            t, at = t + 2**k, later
    return t + 1


def _exact_mixing_time(indptr: Ints, indices: Ints, data: Objects, law: Objects, eps: Any, guess: int) -> int:
    """The mixing time in rationals, found from the one in floats."""
    n = len(law)
    scale = math.lcm(*(x.denominator for x in data.tolist()))
    N = np.full((n, n), 0, dtype=object)
    N[np.repeat(np.arange(n), np.diff(indptr)), indices] = [int(x * scale) for x in data.tolist()]
    base = math.lcm(*(x.denominator for x in law.tolist()))
    weights = np.array([int(x * base) for x in law.tolist()], dtype=object)

    def far(power: Objects, t: int) -> bool:
        # twice the distance times scale**t * base
        worst = max(np.abs(power * base - weights * scale**t).sum(axis=1).tolist())
        return worst * eps.denominator > 2 * eps.numerator * base * scale**t

    t = max(guess - 1, 0)
    power, square, left = np.eye(n, dtype=np.int64).astype(object), N, t
    while left:
        if left & 1:
            power = power.dot(square)
        left >>= 1
        if left:
            square = square.dot(square)
    if far(power, t):
        while far(power, t):
            power, t = power.dot(N), t + 1
        return t
    if t == 0:
        return 0
    return _exact_mixing_time(indptr, indices, data, law, eps, t)  # the floats were wrong: step back
