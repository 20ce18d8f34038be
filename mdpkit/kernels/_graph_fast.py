"""Compiled kernels of :mod:`mdpkit.kernels.graph`: work lists over arrays, no recursion.

Graph arrays come read-only, work arrays writable, so that each kernel is compiled for one signature.
"""
# pyright: basic

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["attract", "end_components", "tarjan"]


@njit(cache=True)
def attract(ptr, items, owner, live, need, seeds):
    """Nodes drawn to ``seeds``: a node joins once ``need`` of its live items are hit by nodes that joined before.

    ``items[ptr[u]:ptr[u + 1]]`` are the items that node ``u`` hits, ``owner`` the node of an item; ``need <= 0`` never
    joins. Consumes ``live`` and ``need``. Returns the breadth-first rank, -1 outside, and the item that let a node in.
    """
    n = need.size
    queue = np.empty(n, np.int64)
    rank = np.full(n, -1, np.int64)
    chosen = np.full(n, -1, np.int64)
    tail = 0
    for u in range(n):
        if seeds[u]:
            rank[u] = 0
            queue[tail] = u
            tail += 1
    head = 0
    while head < tail:
        u = queue[head]
        head += 1
        for j in range(ptr[u], ptr[u + 1]):
            k = items[j]
            if not live[k]:
                continue
            live[k] = False
            v = owner[k]
            if rank[v] >= 0:
                continue
            need[v] -= 1
            if need[v] == 0:
                rank[v] = rank[u] + 1
                chosen[v] = k
                queue[tail] = v
                tail += 1
    return rank, chosen


@njit(cache=True)
def tarjan(pair_ptr, indptr, indices, live, roots, lo, hi, num, work, label, out, at, budget):
    """Strong components of what ``roots[lo:hi]`` reach over live pairs, successors first (Tarjan 1972), no recursion.

    ``num`` is 0 where a state may be visited and S + 1 where it may not; finished states are left at S + 1. ``label``
    numbers the components from 0, ``out[at:]`` lists their states, component by component. With ``budget >= 0`` it
    stops at the first component, or after ``budget`` pairs and entries, and lets unfinished states be visited again.
    ``work`` is (5, S) scratch. Returns the numbers of components and of states listed.
    """
    done = pair_ptr.size
    low, stack, frame, pair_at, entry_at = work[0], work[1], work[2], work[3], work[4]
    index = 0
    count = 0
    listed = 0
    top = 0
    cost = 0
    for r in range(lo, hi):
        if num[roots[r]] != 0:
            continue
        fresh = roots[r]
        depth = -1
        while True:
            if fresh >= 0:
                index += 1
                num[fresh] = index
                low[fresh] = index
                stack[top] = fresh
                top += 1
                depth += 1
                frame[depth] = fresh
                pair_at[depth] = pair_ptr[fresh]
                entry_at[depth] = indptr[pair_ptr[fresh]]
                fresh = -1
            s = frame[depth]
            k = pair_at[depth]
            e = entry_at[depth]
            last = pair_ptr[s + 1]
            while k < last:
                if live[k]:
                    end = indptr[k + 1]
                    while e < end:
                        t = np.int64(indices[e])
                        e += 1
                        cost += 1
                        if num[t] == 0:
                            fresh = t
                            break
                        if num[t] < low[s]:
                            low[s] = num[t]
                    if fresh >= 0:
                        break
                k += 1
                e = indptr[k]
                cost += 1
                if budget >= 0 and cost > budget:
                    break
            if budget >= 0 and cost > budget:
                while top > 0:
                    top -= 1
                    num[stack[top]] = 0
                return 0, 0
            if fresh >= 0:
                pair_at[depth] = k
                entry_at[depth] = e
                continue
            if low[s] == num[s]:
                while True:
                    top -= 1
                    t = stack[top]
                    num[t] = done
                    label[t] = count
                    out[at + listed] = t
                    listed += 1
                    if t == s:
                        break
                count += 1
                if budget >= 0:
                    while top > 0:
                        top -= 1
                        num[stack[top]] = 0
                    return count, listed
            depth -= 1
            if depth < 0:
                break
            parent = frame[depth]
            if low[s] < low[parent]:
                low[parent] = low[s]
    return count, listed


@njit(cache=True)
def _prune(gone, tail, suspects, n_suspects, pred_ptr, pred_pairs, pair_state, live, choices, alive, lost):
    """Kill the pairs that lead to ``gone[:tail]``, remove states without a pair left, and so on.

    Appends what it removes to ``gone`` and states that lose a pair for the first time to ``suspects``.
    """
    head = 0
    while head < tail:
        s = gone[head]
        head += 1
        for j in range(pred_ptr[s], pred_ptr[s + 1]):
            k = pred_pairs[j]
            if not live[k]:
                continue
            live[k] = False
            t = pair_state[k]
            choices[t] -= 1
            if not alive[t]:
                continue
            if not lost[t]:
                lost[t] = True
                suspects[n_suspects] = t
                n_suspects += 1
            if choices[t] == 0:
                alive[t] = False
                gone[tail] = t
                tail += 1
    return tail, n_suspects


@njit(cache=True)
def end_components(pair_ptr, pair_state, indptr, indices, pred_ptr, pred_pairs, live, alive):
    """Maximal end components of ``alive``, whose ``live`` pairs must all stay inside ``alive``. Consumes both.

    Chatterjee & Henzinger (2014): split into strong components, drop the pairs that leave them; a component that lost
    few pairs is not split again, but searched from the states that lost one, side by side, for a bottom component,
    which is an end component: O(m sqrt(m)) where repeated splitting is O(n m).
    """
    n = alive.size
    label = np.full(n, -1, np.int64)
    mask = np.zeros(live.size, np.bool_)
    choices = np.zeros(n, np.int64)
    lost = np.zeros(n, np.bool_)
    num = np.zeros(n, np.int64)
    comp = np.full(n, -1, np.int64)
    work = np.empty((5, n), np.int64)
    order = np.empty(n, np.int64)
    out = np.empty(n, np.int64)
    gone = np.empty(n, np.int64)
    suspects = np.empty(n, np.int64)
    seg_lo = np.empty(n + 1, np.int64)
    seg_hi = np.empty(n + 1, np.int64)
    # Literal arguments would be compiled as types of their own.
    zero, one, unlimited = np.int64(0), np.int64(1), np.int64(-1)
    count = 0
    for k in range(live.size):
        if live[k]:
            choices[pair_state[k]] += 1
    tail = zero
    for s in range(n):
        if alive[s] and choices[s] == 0:
            alive[s] = False
            gone[tail] = s
            tail += 1
    _prune(gone, tail, suspects, zero, pred_ptr, pred_pairs, pair_state, live, choices, alive, lost)
    filled = 0
    for s in range(n):
        if alive[s]:
            order[filled] = s
            filled += 1
    segments = 0
    if filled > 0:
        seg_lo[0], seg_hi[0] = 0, filled
        segments = 1
    while segments > 0:
        segments -= 1
        lo, hi = seg_lo[segments], seg_hi[segments]
        for i in range(lo, hi):
            num[order[i]] = 0
            lost[order[i]] = False
        tarjan(pair_ptr, indptr, indices, live, order, lo, hi, num, work, comp, out, lo, unlimited)
        tail = zero
        for i in range(lo, hi):
            s = out[i]
            order[i] = s
            for k in range(pair_ptr[s], pair_ptr[s + 1]):
                if not live[k]:
                    continue
                for e in range(indptr[k], indptr[k + 1]):
                    if comp[indices[e]] != comp[s]:
                        live[k] = False
                        choices[s] -= 1
                        lost[s] = True
                        break
            if choices[s] == 0:
                alive[s] = False
                gone[tail] = s
                tail += 1
        _prune(gone, tail, suspects, zero, pred_ptr, pred_pairs, pair_state, live, choices, alive, lost)
        next_lo = lo
        while next_lo < hi:
            first = next_lo
            c = comp[order[first]]
            end = first
            n_suspects = zero
            size = 0
            while next_lo < hi and comp[order[next_lo]] == c:
                s = order[next_lo]
                next_lo += 1
                if alive[s]:
                    order[end] = s
                    end += 1
                    num[s] = 0
                    size += 1 + indptr[pair_ptr[s + 1]] - indptr[pair_ptr[s]] + pair_ptr[s + 1] - pair_ptr[s]
                    if lost[s]:
                        suspects[n_suspects] = s
                        n_suspects += 1
            while end > first:
                members = zero
                if n_suspects == 0:
                    # Nothing was lost: the component is strong and closed.
                    for i in range(first, end):
                        out[members] = order[i]
                        members += 1
                else:
                    kept = zero
                    for i in range(n_suspects):
                        if alive[suspects[i]]:
                            suspects[kept] = suspects[i]
                            kept += 1
                    n_suspects = kept
                    if n_suspects == 0:
                        # A proper bottom component would hold a state that lost a pair: nothing is left.
                        break
                    budget = np.int64(32)
                    while members == 0 and n_suspects * max(budget, n_suspects) <= size:
                        for i in range(n_suspects):
                            _, members = tarjan(
                                pair_ptr,
                                indptr,
                                indices,
                                live,
                                suspects,
                                i,
                                i + one,
                                num,
                                work,
                                comp,
                                out,
                                zero,
                                budget,
                            )
                            if members > 0:
                                break
                        budget *= 2
                    if members == 0:
                        filled = first
                        for i in range(first, end):
                            if alive[order[i]]:
                                order[filled] = order[i]
                                filled += 1
                        seg_lo[segments], seg_hi[segments] = first, filled
                        segments += 1
                        break
                for i in range(members):
                    s = out[i]
                    label[s] = count
                    alive[s] = False
                    gone[i] = s
                    for k in range(pair_ptr[s], pair_ptr[s + 1]):
                        mask[k] = live[k]
                count += 1
                if n_suspects == 0:
                    break
                tail, n_suspects = _prune(
                    gone, members, suspects, n_suspects, pred_ptr, pred_pairs, pair_state, live, choices, alive, lost
                )
                for i in range(tail):
                    s = gone[i]
                    size -= 1 + indptr[pair_ptr[s + 1]] - indptr[pair_ptr[s]] + pair_ptr[s + 1] - pair_ptr[s]
    return label, mask, count
