"""Compiled kernels of :mod:`mdpkit.kernels.stationary`: elimination of states without subtractions."""
# pyright: basic

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["eliminate"]

BIG = 2.0**500


@njit(cache=True)
def _law(A, x):
    """Eliminate the states of the irreducible chain A from the last to the second and write its law to ``x``.

    Afterwards ``A[k, j]``, ``j < k``, are the rates from k to the states before it once those after it are gone,
    ``A[k, k]`` is their sum, and ``A[i, k]``, ``i < k``, the expected visits to k from i before a visit to another
    state before k. Returns whether the chain communicates.
    """
    n = x.size
    for k in range(n - 1, 0, -1):
        # what leaves k for the states before it: one minus the diagonal, without the subtraction
        leave = 0.0
        for j in range(k):
            leave += A[k, j]
        if not leave > 0.0:
            return False
        A[k, k] = leave
        for i in range(k):
            weight = A[i, k]
            if weight != 0.0:
                weight /= leave
                A[i, k] = weight
                for j in range(k):
                    A[i, j] += weight * A[k, j]
    x[0] = 1.0
    total = 1.0
    for k in range(1, n):
        value = 0.0
        for i in range(k):
            value += x[i] * A[i, k]
        x[k] = value
        total += value
        if total > BIG:
            for i in range(k + 1):
                x[i] /= BIG
            total /= BIG
    for i in range(n):
        x[i] /= total
    return True


@njit(cache=True)
def _substitute(A, right, x, mean):
    """Solve h = right + Ph on the eliminated chain A with zero at the first state, in place, and write xh to ``mean``."""
    n, m = x.size, right.shape[1]
    for k in range(n - 1, 0, -1):
        for i in range(k):
            weight = A[i, k]
            if weight != 0.0:
                for q in range(m):
                    right[i, q] += weight * right[k, q]
    for q in range(m):
        right[0, q] = 0.0
        mean[q] = 0.0
    for k in range(1, n):
        for j in range(k):
            weight = A[k, j]
            if weight != 0.0:
                for q in range(m):
                    right[k, q] += weight * right[j, q]
        for q in range(m):
            right[k, q] /= A[k, k]
            mean[q] += x[k] * right[k, q]


@njit(cache=True)
def eliminate(class_ptr, members, local, indptr, indices, data, limit, r, law, gain, bias):
    """Stationary laws, gains and biases of the closed classes of at most ``limit`` states, in place.

    ``members[class_ptr[c]:class_ptr[c + 1]]`` are the states of class ``c``, ``local`` the place of each state among
    them; both are reordered. ``r``, ``gain`` and ``bias`` are ``(S, m)``. Returns a class that does not communicate
    in floats, or -1. ``law``, ``gain`` and ``bias`` come as zeros.
    """
    most = 0
    for c in range(class_ptr.size - 1):
        n = class_ptr[c + 1] - class_ptr[c]
        if most < n <= limit:
            most = n
    full = np.zeros((most, most))
    weights = np.empty(most)
    m = r.shape[1]
    right = np.empty((most, m))
    mean = np.empty(m)
    for c in range(class_ptr.size - 1):
        start = class_ptr[c]
        n = class_ptr[c + 1] - start
        if n > limit:
            continue
        A = full[:n, :n]
        x = weights[:n]
        for _ in range(2):
            A[:, :] = 0.0
            for i in range(n):
                s = members[start + i]
                for e in range(indptr[s], indptr[s + 1]):
                    A[i, local[indices[e]]] += data[e]
            if not _law(A, x):
                return c
            # The bias is found with zero at the first place, so that a frequent state must stand there.
            top = 0
            for i in range(1, n):
                if x[i] > x[top]:
                    top = i
            if m == 0 or x[0] * 64.0 >= x[top]:
                break
            s, t = members[start], members[start + top]
            members[start], members[start + top] = t, s
            local[s], local[t] = top, 0
        for i in range(n):
            law[members[start + i]] = x[i]
        # The second time with what the first leaves of the equation: its mean corrects the gain, whose error is then the
        # product of that of the law and that of the bias.
        for _ in range(2 if m else 0):
            for q in range(m):
                mean[q] = 0.0
            for i in range(n):
                s = members[start + i]
                for q in range(m):
                    right[i, q] = r[s, q] - gain[s, q]
                for e in range(indptr[s], indptr[s + 1]):
                    t = indices[e]
                    for q in range(m):
                        right[i, q] += data[e] * (bias[t, q] - bias[s, q])
                for q in range(m):
                    mean[q] += x[i] * right[i, q]
            for i in range(n):
                for q in range(m):
                    gain[members[start + i], q] += mean[q]
                    right[i, q] -= mean[q]
            _substitute(A, right[:n], x, mean)
            for i in range(n):
                for q in range(m):
                    bias[members[start + i], q] += right[i, q] - mean[q]
    return -1
