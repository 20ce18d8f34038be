r"""Numba twins of :mod:`mdpkit.kernels.reference`, on compressed rows with unsigned 32-bit column indices.

Unsigned indices spare the wrap-around test of negative ones; see ``benchmarks/indices.py``. No fast-math: the error bounds of
:func:`shortfall` rest on the order of the operations.
"""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = [
    "action_values",
    "backup",
    "best_of",
    "bound_backup",
    "bound_sweep",
    "gauss_seidel",
    "mass_defect",
    "policy_sweeps",
    "shortfall",
]


@njit(cache=True, nogil=True, inline="always")
def _best_pair(s, pair_ptr, indptr, indices, data, r, gamma, V):
    top = -np.inf
    arg = pair_ptr[s]
    for k in range(pair_ptr[s], pair_ptr[s + 1]):
        total = 0.0
        for e in range(indptr[k], indptr[k + 1]):
            total += data[e] * V[indices[e]]
        q = r[k] + gamma[k] * total
        if q > top:
            top = q
            arg = k
    return top, arg


@njit(cache=True, nogil=True)
def backup(pair_ptr, indptr, indices, data, r, gamma, V, out, choice):
    """Write TV to ``out`` and a greedy pair of each state to ``choice``; least and largest change."""
    low, high = np.inf, -np.inf
    for s in range(pair_ptr.size - 1):
        top, arg = _best_pair(s, pair_ptr, indptr, indices, data, r, gamma, V)
        out[s] = top
        choice[s] = arg
        change = top - V[s]
        low = min(low, change)
        high = max(high, change)
    return low, high


@njit(cache=True, nogil=True)
def best_of(pair_ptr, q, V, out, choice):
    """The maximization of :func:`backup` alone, from given action values."""
    low, high = np.inf, -np.inf
    for s in range(pair_ptr.size - 1):
        top = -np.inf
        arg = pair_ptr[s]
        for k in range(pair_ptr[s], pair_ptr[s + 1]):
            if q[k] > top:
                top = q[k]
                arg = k
        out[s] = top
        choice[s] = arg
        change = top - V[s]
        low = min(low, change)
        high = max(high, change)
    return low, high


@njit(cache=True, nogil=True)
def gauss_seidel(pair_ptr, indptr, indices, data, r, gamma, V, choice):
    """One sweep in place, each state seeing the new values of those before it; least and largest change."""
    low, high = np.inf, -np.inf
    for s in range(pair_ptr.size - 1):
        top, arg = _best_pair(s, pair_ptr, indptr, indices, data, r, gamma, V)
        change = top - V[s]
        V[s] = top
        choice[s] = arg
        low = min(low, change)
        high = max(high, change)
    return low, high


@njit(cache=True, nogil=True)
def policy_sweeps(pairs, indptr, indices, data, r, gamma, V, work, sweeps):
    """Apply the operator of the policy ``pairs`` to V so many times; the result is in V."""
    for _ in range(sweeps):
        for s in range(pairs.size):
            k = pairs[s]
            total = 0.0
            for e in range(indptr[k], indptr[k + 1]):
                total += data[e] * V[indices[e]]
            work[s] = r[k] + gamma[k] * total
        V[:] = work


@njit(cache=True, nogil=True)
def shortfall(pair_ptr, indptr, indices, data, r, r_error, gamma, mass_error, V, D, E):
    """Write V(s) - r - gamma PV of each pair to ``D`` and a bound on its error to ``E``.

    Computed as (1 - gamma) V(s) + gamma sum_j p_j (V(s) - V(j)) - r with a compensated sum, so that the error is
    relative to differences of values. ``E`` bounds the distance to the same expression in exact arithmetic, for all
    coefficients within two units in the last place of the given ones whose rows sum to one up to ``mass_error``.
    """
    unit = 2.0**-53
    for s in range(pair_ptr.size - 1):
        v = V[s]
        for k in range(pair_ptr[s], pair_ptr[s + 1]):
            total, lost, size = 0.0, 0.0, 0.0
            touched = v != 0.0 and (gamma[k] < 1.0 or mass_error[k] > 0.0)
            for e in range(indptr[k], indptr[k + 1]):
                difference = v - V[indices[e]]
                touched = touched or difference != 0.0
                term = data[e] * difference
                new = total + term
                if abs(total) >= abs(term):
                    lost += (total - new) + term
                else:
                    lost += (term - new) + total
                total = new
                size += abs(term)
            n = indptr[k + 1] - indptr[k]
            g = gamma[k]
            keep = (1.0 - g) * v
            flow = g * (total + lost)
            D[k] = keep + flow - r[k]
            error = (
                unit * (32.0 + 4.0 * n * n * unit) * (abs(keep) + g * size + abs(r[k]))
                + r_error[k]
                + ((8.0 * unit if g < 1.0 else 0.0) + mass_error[k]) * g * abs(v)
            )
            # Rows of equal values have no error and must stay exactly tight; elsewhere a product may have underflowed.
            E[k] = error * (1.0 + 2.0**-40) + (n + 4) * 5e-324 if error > 0.0 or touched else 0.0


@njit(cache=True, nogil=True)
def action_values(indptr, indices, data, r, r_error, gamma, V, q, E):
    """Write r + gamma PV of each pair to ``q`` and a bound on its error, as :func:`shortfall` bounds it, to ``E``."""
    unit = 2.0**-53
    for k in range(indptr.size - 1):
        total, lost, size = 0.0, 0.0, 0.0
        for e in range(indptr[k], indptr[k + 1]):
            term = data[e] * V[indices[e]]
            new = total + term
            if abs(total) >= abs(term):
                lost += (total - new) + term
            else:
                lost += (term - new) + total
            total = new
            size += abs(term)
        n = indptr[k + 1] - indptr[k]
        q[k] = r[k] + gamma[k] * (total + lost)
        E[k] = (unit * (16.0 + 4.0 * n * n * unit) * (gamma[k] * size + abs(r[k])) + r_error[k]) * (1.0 + 2.0**-40) + (
            n + 4
        ) * 5e-324


@njit(cache=True, nogil=True, inline="always")
def bound_backup(s, pair_ptr, indptr, indices, data, r, margin, side, V):
    """The backup of a bound in one state, over substochastic rows, and its pair.

    It is rounded up for ``side`` 1, down for -1, and to nearest for 0.
    """
    unit = 2.0**-53
    top = -np.inf
    arg = pair_ptr[s]
    for k in range(pair_ptr[s], pair_ptr[s + 1]):
        total, size = 0.0, 0.0
        for e in range(indptr[k], indptr[k + 1]):
            term = data[e] * V[indices[e]]
            total += term
            size += abs(term)
        q = r[k] + total
        if side != 0:
            n = indptr[k + 1] - indptr[k]
            slack = (40.0 + n) * unit * (size + abs(r[k])) + margin[k]
            q += side * slack
        if q > top:
            top = q
            arg = k
    return top + side * 40.0 * unit * max(abs(top), abs(V[s])), arg


@njit(cache=True, nogil=True)
def bound_sweep(order, pair_ptr, indptr, indices, data, r, margin, side, V, choice):
    """One Gauss--Seidel sweep of a bound of total reward over substochastic rows, in place.

    ``side`` 1 keeps an upper bound inductive (values only fall, rounding goes up), -1 a lower one (values only rise,
    rounding goes down; ``choice`` supports them), 0 is plain value iteration. Returns the number of
    states at which the bound was not inductive (they keep their value) and the largest relative change.
    """
    broken = 0
    change = 0.0
    for i in range(order.size):
        s = order[i]
        old = V[s]
        top, arg = bound_backup(s, pair_ptr, indptr, indices, data, r, margin, side, V)
        if side == 0 or (top - old) * side <= 0.0:
            choice[s] = arg  # its backup supports the value kept, also where nothing moves
            if top != old:
                V[s] = top
                change = max(change, abs(top - old) / max(abs(top), abs(old)))
        else:
            broken += 1
    return broken, change


@njit(cache=True, nogil=True)
def mass_defect(indptr, data, out):
    """Write an upper bound on ``|row sum - 1|`` of each row to ``out``: a compensated sum and its rounding."""
    unit = 2.0**-53
    for k in range(indptr.size - 1):
        total, lost = 0.0, 0.0
        for e in range(indptr[k], indptr[k + 1]):
            new = total + data[e]
            if total >= data[e]:
                lost += (total - new) + data[e]
            else:
                lost += (data[e] - new) + total
            total = new
        n = indptr[k + 1] - indptr[k]
        out[k] = (abs((total - 1.0) + lost) + unit * (2.0 + 2.0 * n * n * unit) * (abs(total) + 1.0)) * (1.0 + 2.0**-40)
