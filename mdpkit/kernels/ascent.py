r"""Stochastic policy gradient methods as compiled loops, one trajectory after another, on log-linear policies.

Each loop is the twin of repeated steps of a solver in ``solvers/policy_gradient``: given the same uniform numbers it
takes the same trajectories and comes to the same parameters up to rounding. ``phi`` is ``(L, d)``; the model is
compressed by rows, with cumulative rows ``cum`` and the cumulative initial law ``start``. Parameters are written to
``out`` after each of ``marks`` steps.
"""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit

from mdpkit.kernels.sampling import _first_above  # pyright: ignore[reportPrivateUsage]

__all__ = ["hessian_aided", "plain", "transported"]


@njit(cache=True, nogil=True)
def _policy(theta, phi, pair_ptr, pi):
    """Write the probabilities of the pairs to ``pi``."""
    for s in range(pair_ptr.size - 1):
        top = -np.inf
        for k in range(pair_ptr[s], pair_ptr[s + 1]):
            pi[k] = 0.0
            for i in range(theta.size):
                pi[k] += phi[k, i] * theta[i]
            top = max(top, pi[k])
        total = 0.0
        for k in range(pair_ptr[s], pair_ptr[s + 1]):
            pi[k] = np.exp(pi[k] - top)
            total += pi[k]
        for k in range(pair_ptr[s], pair_ptr[s + 1]):
            pi[k] /= total


@njit(cache=True, nogil=True, inline="always")
def _chosen(pi, i, j, u):
    """The first pair of i to j - 1 whose cumulative probability exceeds u."""
    total = 0.0
    for k in range(i, j):
        total += pi[k]
    running = 0.0
    for k in range(i, j - 1):
        running += pi[k]
        if running / total > u:
            return k
    return j - 1


@njit(cache=True, nogil=True)
def _draw(u, first, start, pi, pair_ptr, indptr, indices, cum, states, pairs):
    """A trajectory from the numbers ``u[first:]``: one for its first state, then two a step."""
    s = _first_above(start, 0, start.size, u[first])
    for h in range(pairs.size):
        k = _chosen(pi, pair_ptr[s], pair_ptr[s + 1], u[first + 1 + 2 * h])
        states[h], pairs[h] = s, k
        s = np.int64(indices[_first_above(cum, indptr[k], indptr[k + 1], u[first + 2 + 2 * h])])


@njit(cache=True, nogil=True)
def _estimate(states, pairs, r, gamma, phi, pi, pair_ptr, direction, g, bent, mean):
    """Write the estimate of the gradient to ``g``, and of the Hessian times ``direction`` to ``bent``; ``mean`` is scratch."""
    to_go, slope = 0.0, 0.0
    g[:] = 0.0
    bent[:] = 0.0
    for h in range(pairs.size - 1, -1, -1):
        k, s = pairs[h], states[h]
        to_go += gamma**h * r[k]
        mean[:] = 0.0
        along = 0.0
        for b in range(pair_ptr[s], pair_ptr[s + 1]):
            for i in range(g.size):
                mean[i] += pi[b] * phi[b, i]
                along += pi[b] * phi[b, i] * direction[i]
        for i in range(g.size):
            g[i] += to_go * (phi[k, i] - mean[i])
            slope += (phi[k, i] - mean[i]) * direction[i]
        for b in range(pair_ptr[s], pair_ptr[s + 1]):
            centered = -along
            for i in range(g.size):
                centered += phi[b, i] * direction[i]
            for i in range(g.size):
                bent[i] -= to_go * pi[b] * centered * phi[b, i]
    for i in range(g.size):
        bent[i] += slope * g[i]


@njit(cache=True, nogil=True)
def _move(theta, d, step, normalized):
    size = 1.0
    if normalized:
        size = 0.0
        for i in range(d.size):
            size += d[i] * d[i]
        size = np.sqrt(size)
    if size > 0.0:
        for i in range(d.size):
            theta[i] += step / size * d[i]


@njit(cache=True, nogil=True)
def plain(u, start, r, gamma, phi, pair_ptr, indptr, indices, cum, eta, marks, out):
    """Constant steps along single estimates; ``u`` is ``(T, 1 + 2H)``."""
    T, H = u.shape[0], (u.shape[1] - 1) // 2
    d = phi.shape[1]
    theta, g, bent, none = np.zeros(d), np.zeros(d), np.zeros(d), np.zeros(d)
    pi, scratch = np.empty(phi.shape[0]), np.empty(d)
    states, pairs = np.empty(H, dtype=np.int64), np.empty(H, dtype=np.int64)
    mark = 0
    for t in range(T):
        _policy(theta, phi, pair_ptr, pi)
        _draw(u[t], 0, start, pi, pair_ptr, indptr, indices, cum, states, pairs)
        _estimate(states, pairs, r, gamma, phi, pi, pair_ptr, none, g, bent, scratch)
        _move(theta, g, eta, False)
        if mark < marks.size and marks[mark] == t + 1:
            out[mark] = theta
            mark += 1


@njit(cache=True, nogil=True)
def transported(u, start, r, gamma, phi, pair_ptr, indptr, indices, cum, eta, power, marks, out):
    """Implicit gradient transport with normalized steps eta/(t+2) and weights (2/(t+2))^power."""
    T, H = u.shape[0], (u.shape[1] - 1) // 2
    d = phi.shape[1]
    theta, previous, direction = np.zeros(d), np.zeros(d), np.zeros(d)
    g, bent, none, there = np.zeros(d), np.zeros(d), np.zeros(d), np.zeros(d)
    pi, scratch = np.empty(phi.shape[0]), np.empty(d)
    states, pairs = np.empty(H, dtype=np.int64), np.empty(H, dtype=np.int64)
    mark = 0
    for t in range(T):
        weight = (2.0 / (t + 2.0)) ** power
        for i in range(d):
            there[i] = theta[i] + (1.0 - weight) / weight * (theta[i] - previous[i])
        _policy(there, phi, pair_ptr, pi)
        _draw(u[t], 0, start, pi, pair_ptr, indptr, indices, cum, states, pairs)
        _estimate(states, pairs, r, gamma, phi, pi, pair_ptr, none, g, bent, scratch)
        for i in range(d):
            direction[i] = (1.0 - weight) * direction[i] + weight * g[i]
        previous[:] = theta
        _move(theta, direction, eta / (t + 2.0), True)
        if mark < marks.size and marks[mark] == t + 1:
            out[mark] = theta
            mark += 1


@njit(cache=True, nogil=True)
def hessian_aided(u, start, r, gamma, phi, pair_ptr, indptr, indices, cum, eta, normalized, marks, out):
    """The recursion with Hessian-vector products; ``u`` is ``(T, 1 + 2 (1 + 2H))``: q, and two trajectories."""
    T, H = u.shape[0], ((u.shape[1] - 1) // 2 - 1) // 2
    d = phi.shape[1]
    theta, previous, direction = np.zeros(d), np.zeros(d), np.zeros(d)
    g, bent, unused, step, there = np.zeros(d), np.zeros(d), np.zeros(d), np.zeros(d), np.zeros(d)
    pi, scratch = np.empty(phi.shape[0]), np.empty(d)
    states, pairs = np.empty(H, dtype=np.int64), np.empty(H, dtype=np.int64)
    mark = 0
    for t in range(T):
        q = u[t, 0]
        for i in range(d):
            step[i] = theta[i] - previous[i]
            there[i] = q * theta[i] + (1.0 - q) * previous[i]
        _policy(there, phi, pair_ptr, pi)
        _draw(u[t], 1, start, pi, pair_ptr, indptr, indices, cum, states, pairs)
        _estimate(states, pairs, r, gamma, phi, pi, pair_ptr, step, g, bent, scratch)
        _policy(theta, phi, pair_ptr, pi)
        _draw(u[t], 2 + 2 * H, start, pi, pair_ptr, indptr, indices, cum, states, pairs)
        _estimate(states, pairs, r, gamma, phi, pi, pair_ptr, step, g, unused, scratch)
        weight = 2.0 / (t + 2.0)
        for i in range(d):
            direction[i] = (1.0 - weight) * (direction[i] + bent[i]) + weight * g[i]
        previous[:] = theta
        _move(theta, direction, eta / (t + 2.0), normalized)
        if mark < marks.size and marks[mark] == t + 1:
            out[mark] = theta
            mark += 1
