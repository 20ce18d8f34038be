"""Regularized value iteration with bonuses, one step an epoch: the compiled loop of its learner."""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit

from mdpkit.kernels.online.episodes import act, first_state, step

__all__ = ["discounted", "mirror_backup", "ravi_ucb"]


@njit(cache=True, nogil=True)
def discounted(r, law, visits, V, gamma, capital, top, scale, q):
    """The twin of :func:`mdpkit.kernels.optimism.discounted`, written into q ``(L,)``."""
    S, L = law.shape
    q[:] = 0.0
    for t in range(S):
        v = V[t]
        for k in range(L):
            q[k] += law[t, k] * v
    for k in range(L):
        n = visits[k]
        if n > 0.0:
            width = gamma * top * np.sqrt((capital + np.log(n * (n + 1.0))) / (2.0 * n))
            q[k] = min(r[k] + gamma * q[k] + scale * width, top)
        else:
            q[k] = top


@njit(cache=True, nogil=True)
def mirror_backup(log_pi, q, eta, pair_ptr, V):
    """The twin of :func:`mdpkit.kernels.softmax.mirror_backup`: V and log_pi are overwritten."""
    for s in range(V.size):
        i, j = pair_ptr[s], pair_ptr[s + 1]
        largest = log_pi[i] + eta * q[i]
        for k in range(i + 1, j):
            largest = max(largest, log_pi[k] + eta * q[k])
        total = 0.0
        for k in range(i, j):
            total += np.exp(log_pi[k] + eta * q[k] - largest)
        soft = largest + np.log(total)
        V[s] = soft / eta
        for k in range(i, j):
            log_pi[k] = log_pi[k] + eta * q[k] - soft


@njit(cache=True, nogil=True)
def _solve(A, b):
    """Gaussian elimination without pivoting, in place: the matrix is diagonally dominant by rows."""
    n = b.size
    for i in range(n):
        for s in range(i + 1, n):
            f = A[s, i] / A[i, i]
            if f != 0.0:
                for t in range(i, n):
                    A[s, t] -= f * A[i, t]
                b[s] -= f * b[i]
    for i in range(n - 1, -1, -1):
        for t in range(i + 1, n):
            b[i] -= A[i, t] * b[t]
        b[i] /= A[i, i]


@njit(cache=True, nogil=True)
def _value(arena, pi, A, b):
    """Exact value at the initial law of the probabilities ``pi (L,)``, discounted; A and b are work space."""
    S = b.size
    A[:] = 0.0
    for s in range(S):
        A[s, s] = 1.0
        b[s] = 0.0
        for k in range(arena.pair_ptr[s], arena.pair_ptr[s + 1]):
            b[s] += pi[k] * arena.tables[0, 0, k]
            for e in range(arena.indptr[k], arena.indptr[k + 1]):
                A[s, arena.indices[e]] -= arena.gamma * pi[k] * arena.data[e]
    _solve(A, b)
    out = 0.0
    for s in range(S):
        out += arena.rho[s] * b[s]
    return out


@njit(cache=True, nogil=True)
def ravi_ucb(arena, r, visits, moves, model, V, q, log_pi, eta, capital, top, scale, outer, log):
    """Epochs of RAVI-UCB; one for each row of the log."""
    values, series, _, lengths = log[1:5]
    S, L = model.shape
    pi, A, b = np.empty(L), np.empty((S, S)), np.empty(S)
    fresh = np.zeros(L, dtype=np.int64)
    for m in range(values.size):
        for k in range(L):
            pi[k] = np.exp(log_pi[k])
        values[m] = _value(arena, pi, A, b)
        estimate = 0.0
        for s in range(S):
            estimate += arena.rho[s] * V[s]
        series[m, 0] = estimate
        s = first_state(arena, outer)
        length = 0
        fresh[:] = 0
        while True:
            k = act(pi, arena.pair_ptr[s], arena.pair_ptr[s + 1], outer)
            s, _ = step(arena, 0, 0, k, outer)
            visits[k] += 1.0
            moves[s, k] += 1.0
            fresh[k] = 1
            length += 1
            if outer.random() >= arena.gamma:
                break
        lengths[m, 0] = length
        for k in range(L):
            if fresh[k]:
                for t in range(S):
                    model[t, k] = moves[t, k] / visits[k]
        discounted(r, model, visits, V, arena.gamma, capital, top, scale, q)
        mirror_backup(log_pi, q, eta, arena.pair_ptr, V)
