r"""Backups in the order of their urgency: a binary heap of states by an upper bound on their Bellman errors.

``heap`` holds the states, the largest ``key`` first, ``place`` the position of each. Rows are substochastic.
"""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["arrange", "errors", "sweep"]


@njit(cache=True, nogil=True)
def _down(i, key, heap, place):
    s = heap[i]
    while True:
        child = 2 * i + 1
        if child >= heap.size:
            break
        if child + 1 < heap.size and key[heap[child + 1]] > key[heap[child]]:
            child += 1
        if key[heap[child]] <= key[s]:
            break
        heap[i] = heap[child]
        place[heap[i]] = i
        i = child
    heap[i] = s
    place[s] = i


@njit(cache=True, nogil=True)
def _up(i, key, heap, place):
    s = heap[i]
    while i > 0:
        parent = (i - 1) >> 1
        if key[heap[parent]] >= key[s]:
            break
        heap[i] = heap[parent]
        place[heap[i]] = i
        i = parent
    heap[i] = s
    place[s] = i


@njit(cache=True, nogil=True)
def arrange(key, heap, place):
    """Make a heap of all states."""
    for s in range(key.size):
        heap[s] = s
        place[s] = s
    for i in range(key.size // 2 - 1, -1, -1):
        _down(i, key, heap, place)


@njit(cache=True, nogil=True)
def _backup(s, pair_ptr, indptr, indices, data, r, V):
    top = -np.inf
    for k in range(pair_ptr[s], pair_ptr[s + 1]):
        total = r[k]
        for e in range(indptr[k], indptr[k + 1]):
            total += data[e] * V[indices[e]]
        top = max(top, total)
    return top


@njit(cache=True, nogil=True)
def errors(pair_ptr, indptr, indices, data, r, V, key):
    """Write the Bellman error |TV - V| of each state to ``key``."""
    for s in range(V.size):
        key[s] = abs(_backup(s, pair_ptr, indptr, indices, data, r, V) - V[s])


@njit(cache=True, nogil=True)
def sweep(backups, pair_ptr, indptr, indices, data, r, before_ptr, before, weight, V, key, heap, place):
    """Back up the most urgent state so many times, or until no state is urgent; the number of backups made.

    ``before[before_ptr[s]:before_ptr[s + 1]]`` are the states t that lead to s, and ``weight`` the largest probability
    m(k, s) of their pairs. A change d of V(s) changes (TV)(t) by at most weight * d, which is added to the key of t: so
    every key stays an upper bound on |TV - V| in its state, if it was one.
    """
    for n in range(backups):
        s = heap[0]
        if key[s] <= 0.0:
            return n
        top = _backup(s, pair_ptr, indptr, indices, data, r, V)
        change = abs(top - V[s])
        V[s] = top
        key[s] = 0.0
        _down(0, key, heap, place)
        if change > 0.0:
            for j in range(before_ptr[s], before_ptr[s + 1]):
                t = before[j]
                key[t] += weight[j] * change
                _up(place[t], key, heap, place)
    return backups
