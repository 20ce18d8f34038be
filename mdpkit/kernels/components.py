r"""Sweeps over strongly connected components, one after another: each is solved before those that lead to it begin.

``order[first[c]:first[c + 1]]`` are the states of component c, and edges lead to components of the same or a smaller number.
Rows are substochastic (a discount is already in ``data``).
"""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit

from mdpkit.kernels.fast import bound_sweep

__all__ = ["enclose", "enclose_components", "solve_components"]

FLOOR = 2.0**-20
"""Changes count relative to a value, or to this share of the largest one."""


@njit(cache=True, nogil=True)
def _action_value(k, indptr, indices, data, r, V):
    total = r[k]
    for e in range(indptr[k], indptr[k + 1]):
        total += data[e] * V[indices[e]]
    return total


@njit(cache=True, nogil=True)
def _alone(s, pair_ptr, indptr, indices, data, r, V):
    """Value of a state whose only cycle is its own loop: max_a (r + sum over the others) / (1 - loop)."""
    top = -np.inf
    for k in range(pair_ptr[s], pair_ptr[s + 1]):
        total, loop = r[k], 0.0
        for e in range(indptr[k], indptr[k + 1]):
            if indices[e] == s:
                loop += data[e]
            else:
                total += data[e] * V[indices[e]]
        if loop < 1.0:
            top = max(top, total / (1.0 - loop))
    return top


@njit(cache=True, nogil=True)
def _sweep(states, backward, pair_ptr, indptr, indices, data, r, floor, V):
    """One Gauss--Seidel sweep; the largest change, and the largest relative one."""
    change, relative = 0.0, 0.0
    for i in range(states.size):
        s = states[states.size - 1 - i if backward else i]
        top = -np.inf
        for k in range(pair_ptr[s], pair_ptr[s + 1]):
            top = max(top, _action_value(k, indptr, indices, data, r, V))
        moved = abs(top - V[s])
        change = max(change, moved)
        if moved > 0.0:
            relative = max(relative, moved / (max(abs(top), abs(V[s])) + floor))
        V[s] = top
    return change, relative


@njit(cache=True, nogil=True)
def _evaluate(states, place, indptr, indices, data, r, policy, A, V):
    """The value of a policy on one component by elimination without pivoting; false where it does not leave it."""
    m = states.size
    for i in range(m):
        k = policy[states[i]]
        for j in range(m + 1):
            A[i, j] = 0.0
        A[i, i] = 1.0
        A[i, m] = r[k]
        for e in range(indptr[k], indptr[k + 1]):
            j = place[indices[e]]
            if j >= 0:
                A[i, j] -= data[e]
            else:
                A[i, m] += data[e] * V[indices[e]]
    for i in range(m):
        if not A[i, i] > 2.0**-48:
            return False
        for l in range(i + 1, m):
            factor = A[l, i] / A[i, i]
            if factor != 0.0:
                for j in range(i + 1, m + 1):
                    A[l, j] -= factor * A[i, j]
    for i in range(m - 1, -1, -1):
        total = A[i, m]
        for j in range(i + 1, m):
            total -= A[i, j] * A[j, m]
        A[i, m] = total / A[i, i]
    for i in range(m):
        V[states[i]] = A[i, m]
    return True


@njit(cache=True, nogil=True)
def _improve(states, backward, pair_ptr, indptr, indices, data, r, policy, V):
    """Raise V and the policy, in place and state by state; whether an action was changed for more than rounding."""
    changed = False
    for i in range(states.size):
        s = states[states.size - 1 - i if backward else i]
        here = _action_value(policy[s], indptr, indices, data, r, V)
        top, arg, size = here, policy[s], abs(V[s])
        for k in range(pair_ptr[s], pair_ptr[s + 1]):
            q = _action_value(k, indptr, indices, data, r, V)
            size = max(size, abs(r[k]))
            if q > top:
                top, arg = q, k
        if top > here + 2.0**-46 * size:
            policy[s] = arg
            V[s] = top
            changed = True
        elif here > V[s]:
            V[s] = here
    return changed


@njit(cache=True, nogil=True)
def _iterate_policies(states, place, pair_ptr, indptr, indices, data, r, policy, A, V):
    """Policy iteration on one component, improved by a sweep there and back; false where an evaluation fails."""
    for i in range(states.size):
        place[states[i]] = i
    good = True
    for _ in range(64):
        good = _evaluate(states, place, indptr, indices, data, r, policy, A, V)
        if not good:
            break
        changed = _improve(states, True, pair_ptr, indptr, indices, data, r, policy, V)
        if not changed:
            break
        _improve(states, False, pair_ptr, indptr, indices, data, r, policy, V)
    for i in range(states.size):
        place[states[i]] = -1
    return good


@njit(cache=True, nogil=True)
def solve_components(first, order, pair_ptr, indptr, indices, data, r, epsilon, limit, small, policy, V, slack):
    """Solve the components in their order, in place: each until no state changes by more than ``epsilon``, relatively.

    A component of one state is solved in closed form; others by at most ``limit`` Gauss--Seidel sweeps to and fro. One of
    at most ``small`` states that has been swept for as long as an elimination takes is solved by policy iteration from
    ``policy`` (which must leave every component, and is kept so). Writes the largest relative change of each component's
    last sweep to ``slack``; returns the largest change of a last sweep.
    """
    n = pair_ptr.size - 1
    place = np.full(n, -1, dtype=np.int64)
    size = 0
    for c in range(first.size - 1):
        if first[c + 1] - first[c] <= small:
            size = max(size, first[c + 1] - first[c])
    A = np.empty((size, size + 1))
    largest, last = 0.0, 0.0
    for c in range(first.size - 1):
        states = order[first[c] : first[c + 1]]
        if states.size == 1:
            s = states[0]
            V[s] = _alone(s, pair_ptr, indptr, indices, data, r, V)
            largest = max(largest, abs(V[s]))
            slack[c] = 0.0
            continue
        floor = FLOOR * largest
        change, relative, sweeps = 0.0, 0.0, 0
        work, budget = 0, np.inf
        if states.size <= small:
            budget = states.size**3 / 6.0
            for s in states:
                work += indptr[pair_ptr[s + 1]] - indptr[pair_ptr[s]]
        while sweeps < limit:
            change, relative = _sweep(states, sweeps % 2 == 0, pair_ptr, indptr, indices, data, r, floor, V)
            sweeps += 1
            if relative <= epsilon:
                break
            if sweeps * work >= budget:
                budget = np.inf
                _iterate_policies(states, place, pair_ptr, indptr, indices, data, r, policy, A, V)
        last = max(last, change)
        slack[c] = relative
        for s in states:
            largest = max(largest, abs(V[s]))
    return last


@njit(cache=True, nogil=True)
def enclose(states, side, epsilon, floor, tries, limit, pair_ptr, indptr, indices, data, r, margin, V, bound, witness):
    """An inductive bound around V on some states, given that of the others; whether one was found.

    It is guessed a little outside V and swept at most ``limit`` times until it is inductive, or guessed farther outside.
    """
    far, least = 4.0 * epsilon, 0.0  # zeros may stay zeros, at first
    found = False
    for _ in range(tries):
        for s in states:
            bound[s] = V[s] + side * far * (abs(V[s]) + least)
        for _ in range(limit):
            broken, change = bound_sweep(states, pair_ptr, indptr, indices, data, r, margin, side, bound, witness)
            found = broken == 0
            if found or change == 0.0:
                break
        if found:
            break
        if least > 0.0:
            far *= 8.0
        least = floor
    if found:
        for _ in range(limit):
            _, change = bound_sweep(states, pair_ptr, indptr, indices, data, r, margin, side, bound, witness)
            if change <= epsilon:
                break
    return found


@njit(cache=True, nogil=True)
def enclose_components(
    first, order, pair_ptr, indptr, indices, data, r, margin, slack, tries, limit, V, below, above, choice, other
):
    """Inductive bounds around V, component after component; ``choice`` supports those below. Whether both were found.

    ``slack`` is how far V may be from the solution in each component, relatively; see :func:`enclose`.
    """
    largest = 0.0
    for s in range(V.size):
        largest = max(largest, abs(V[s]))
    floor = FLOOR * largest
    for c in range(first.size - 1):
        states = order[first[c] : first[c + 1]]
        epsilon = max(slack[c], 2.0**-45)
        for side in (1, -1):
            bound = above if side > 0 else below
            witness = other if side > 0 else choice
            if not enclose(
                states,
                side,
                epsilon,
                floor,
                tries,
                limit,
                pair_ptr,
                indptr,
                indices,
                data,
                r,
                margin,
                V,
                bound,
                witness,
            ):
                return False
    return True
