"""Compiled kernels of :mod:`mdpkit.kernels.stationary`: elimination of states without subtractions."""
# pyright: basic

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["laws"]

BIG = 2.0**500


@njit(cache=True)
def laws(class_ptr, members, local, indptr, indices, data, limit, law):
    """Write the stationary laws of the closed classes of at most ``limit`` states to ``law``.

    ``members[class_ptr[c]:class_ptr[c + 1]]`` are the states of class ``c``, ``local`` the place of each state among
    them. Returns a class that does not communicate, or -1.
    """
    most = 0
    for c in range(class_ptr.size - 1):
        n = class_ptr[c + 1] - class_ptr[c]
        if most < n <= limit:
            most = n
    full = np.zeros((most, most))
    x = np.empty(most)
    for c in range(class_ptr.size - 1):
        start = class_ptr[c]
        n = class_ptr[c + 1] - start
        if n > limit:
            continue
        A = full[:n, :n]
        A[:, :] = 0.0
        for i in range(n):
            s = members[start + i]
            for e in range(indptr[s], indptr[s + 1]):
                A[i, local[indices[e]]] += data[e]
        for k in range(n - 1, 0, -1):
            # what leaves k for the states before it: 1 - A[k, k], without the subtraction
            leave = 0.0
            for j in range(k):
                leave += A[k, j]
            if not leave > 0.0:
                return c
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
            law[members[start + i]] = x[i] / total
    return -1
