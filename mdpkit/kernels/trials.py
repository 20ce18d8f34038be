r"""Trials from the initial states through the part of a model that a greedy policy visits, with labels (Bonet & Geffner 2003).

Rows are substochastic; what a row lacks to one is the probability of having left for good.
"""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit

from mdpkit.kernels.fast import bound_backup

__all__ = ["envelope", "search"]

DEPTH = 1 << 14
"""The longest trial."""
SHARE = 8
"""A trial may enter one new state, and one more for so many that are known."""


@njit(cache=True, nogil=True)
def _uniform(seed):
    """The next number of [0, 1) of the generator splitmix64, whose state is ``seed[0]``."""
    x = seed[0] + np.uint64(0x9E3779B97F4A7C15)
    seed[0] = x
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return np.float64(x >> np.uint64(11)) * 2.0**-53


@njit(cache=True, nogil=True)
def _successor(k, indptr, indices, data, seed):
    """A state drawn from a row, -1 for having left."""
    u = _uniform(seed)
    for e in range(indptr[k], indptr[k + 1]):
        u -= data[e]
        if u < 0.0:
            return np.int64(indices[e])
    return -1


@njit(cache=True, nogil=True)
def _update(s, pair_ptr, indptr, indices, data, r, margin, U, touched):
    """Lower U(s) to its backup; the pair that attains it, and by how much it fell."""
    top, k = bound_backup(s, pair_ptr, indptr, indices, data, r, margin, 1, U)
    fall = U[s] - top
    if fall > 0.0:
        U[s] = top
    touched[s] = True
    return k, fall


@njit(cache=True, nogil=True)
def _check(
    start, error, pair_ptr, indptr, indices, data, r, margin, U, greedy, solved, touched, mark, stamp, stack, closed
):
    """Label what the greedy policy reaches from ``start`` as solved if no backup there moves by more than ``error``.

    Otherwise back all of it up, the last ones first. Returns whether it is solved, and the number of entries read.
    """
    good, work = True, 0
    height, count = 1, 0
    stack[0] = start
    mark[start] = stamp
    while height > 0:
        height -= 1
        s = stack[height]
        closed[count] = s
        count += 1
        touched[s] = True
        top, k = bound_backup(s, pair_ptr, indptr, indices, data, r, margin, 1, U)
        work += indptr[pair_ptr[s + 1]] - indptr[pair_ptr[s]]
        if U[s] - top > error:
            good = False
            continue
        greedy[s] = k
        for e in range(indptr[k], indptr[k + 1]):
            t = indices[e]
            if not solved[t] and mark[t] != stamp:
                mark[t] = stamp
                stack[height] = t
                height += 1
    for i in range(count - 1, -1, -1):
        s = closed[i]
        if good:
            solved[s] = True
        else:
            _update(s, pair_ptr, indptr, indices, data, r, margin, U, touched)
            work += indptr[pair_ptr[s + 1]] - indptr[pair_ptr[s]]
    return good, work


@njit(cache=True, nogil=True)
def search(
    starts, epsilon, budget, pair_ptr, indptr, indices, data, r, margin, U, greedy, solved, touched, mark, stamp, seed
):
    """Run trials until all ``starts`` are solved or ``budget`` entries were read; whether they are, and the last stamp.

    U is an inductive upper bound and stays one, rounded outward. A state is solved where no state that the greedy policy
    reaches from it has a Bellman error above ``epsilon`` times the largest value of a start; ``greedy`` holds that policy. Lest
    it wander, a trial ends when it has paid what its start is believed to cost, or met as many new states as ``SHARE``
    allows: the checks at its end back up what it leads to, so this delays no state for ever.
    ``mark`` and ``stamp`` are the scratch of the labels, ``seed`` the state of the random numbers.
    """
    path = np.empty(DEPTH, dtype=np.int64)
    stack, closed = np.empty(U.size, dtype=np.int64), np.empty(U.size, dtype=np.int64)
    work, known = 0, 0
    for s in range(touched.size):
        known += touched[s]
    for start in starts:
        while not solved[start]:
            if work > budget:
                return False, stamp
            s, depth, last, paid = start, 0, known + known // SHARE, 0.0
            while s >= 0 and not solved[s] and depth < DEPTH and known <= last and paid <= abs(U[start]):
                path[depth] = s
                depth += 1
                known += not touched[s]
                k, _ = _update(s, pair_ptr, indptr, indices, data, r, margin, U, touched)
                work += indptr[pair_ptr[s + 1]] - indptr[pair_ptr[s]]
                paid -= min(r[k], 0.0)
                s = _successor(k, indptr, indices, data, seed)
            largest = 0.0
            for t in starts:
                largest = max(largest, abs(U[t]))
            while depth > 0:
                depth -= 1
                s = path[depth]
                if solved[s]:
                    continue
                stamp += 1
                good, more = _check(
                    s, epsilon * largest, pair_ptr, indptr, indices, data, r, margin,
                    U, greedy, solved, touched, mark, stamp, stack, closed,
                )  # fmt: skip
                work += more
                if not good:
                    break
    return True, stamp


@njit(cache=True, nogil=True)
def envelope(starts, choice, indptr, indices, mark, stamp):
    """The states that a policy visits from ``starts``, breadth first; they get the mark ``stamp``."""
    out = np.empty(mark.size, dtype=np.int64)
    tail = 0
    for s in starts:
        if mark[s] != stamp:
            mark[s] = stamp
            out[tail] = s
            tail += 1
    head = 0
    while head < tail:
        k = choice[out[head]]
        head += 1
        for e in range(indptr[k], indptr[k + 1]):
            t = np.int64(indices[e])
            if mark[t] != stamp:
                mark[t] = stamp
                out[tail] = t
                tail += 1
    return out[:tail].copy()
