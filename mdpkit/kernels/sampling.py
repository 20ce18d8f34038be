r"""Inverse-CDF sampling on compressed rows: cumulative sums, draws, and whole trajectories.

Every draw takes the first entry of a row whose cumulative sum exceeds a uniform number of [0, 1); entries of width zero
are never drawn, and the last sum is exactly one.
"""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["cumulative", "draw", "rollouts", "walk"]


@njit(cache=True, nogil=True)
def cumulative(indptr, data):
    """Cumulative sums of every row, divided by the row's sum."""
    out = np.empty(data.size)
    for k in range(indptr.size - 1):
        i, j = indptr[k], indptr[k + 1]
        total = 0.0
        for e in range(i, j):
            total += data[e]
            out[e] = total
        for e in range(i, j):
            out[e] /= total
    return out


@njit(cache=True, nogil=True, inline="always")
def _first_above(cum, i, j, u):
    while j - i > 1:
        middle = (i + j - 1) >> 1
        if cum[middle] > u:
            j = middle + 1
        else:
            i = middle + 1
    return i


@njit(cache=True, nogil=True)
def draw(rows, u, indptr, cum):
    """Position of the stored entry drawn from each of ``rows`` with the uniform numbers ``u``."""
    out = np.empty(rows.size, dtype=np.int64)
    for n in range(rows.size):
        k = rows[n]
        out[n] = _first_above(cum, indptr[k], indptr[k + 1], u[n])
    return out


@njit(cache=True, nogil=True)
def walk(s, t, last, u, pair_ptr, choice, indptr, indices, cum, stride, states, pairs, entries):
    """Follow a policy from state s at time t, one step for each row of ``u`` (action, next state).

    ``choice`` (n, L) holds the cumulative action probabilities of n stages, of which the last repeats; the row of P is
    ``t * stride + pair``. Returns the state reached; writes next states, pairs and entries of P.
    """
    for n in range(u.shape[0]):
        k = _first_above(choice[min(t + n, last)], pair_ptr[s], pair_ptr[s + 1], u[n, 0])
        row = (t + n) * stride + k
        e = _first_above(cum, indptr[row], indptr[row + 1], u[n, 1])
        s = np.int64(indices[e])
        states[n] = s
        pairs[n] = k
        entries[n] = e
    return s


@njit(cache=True, nogil=True)
def rollouts(u, start, choice, pair_ptr, indptr, indices, cum, states, pairs):
    """Follow a policy from the initial law, one trajectory for each row of ``u`` (first state, then action and next state).

    ``start`` (S,) holds the cumulative initial law, ``choice`` (1, L) the cumulative action probabilities. Writes the states
    (n, H + 1) and the pairs (n, H); the twin of :func:`mdpkit.kernels.trajectories.rollouts`.
    """
    n, H = pairs.shape
    entries = np.empty(H, dtype=np.int64)
    for i in range(n):
        s = _first_above(start, 0, start.size, u[i, 0])
        states[i, 0] = s
        steps = u[i, 1:].reshape((H, 2))
        walk(s, 0, 0, steps, pair_ptr, choice, indptr, indices, cum, 0, states[i, 1:], pairs[i], entries)
