r"""Optimistic least-squares value iteration from sums over the data, in floats or balls.

With finitely many states the data of stage h enter through three sums alone: :math:`\sum \phi\phi^\top`,
:math:`b_h = \sum \phi\, r` and :math:`M_h = \sum \phi\, e_{s'}^\top`, since
:math:`\sum \phi\, (r + V(s')) = b_h + M_h V` for whatever V. They add up over agents and over time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mdpkit.kernels import gram, reference, segments
from mdpkit.typing import Array, Ints

__all__ = ["Plan", "Sums", "added", "blank", "bonus", "clipped", "collected", "grown", "plan", "with_ridge"]


class Sums(NamedTuple):
    r"""Sums over the data of each stage: ``Lambda (H, d, d)`` without :math:`\lambda I`, ``b (H, d)``, ``M (H, d, S)``."""

    Lambda: Array
    b: Array
    M: Array


class Plan(NamedTuple):
    """Coefficients ``w (H, d)``, optimistic action values ``Q (H, L)``, values ``V (H + 1, S)``, ``inverse (H, d, d)``."""

    w: Array
    Q: Array
    V: Array
    inverse: Array


def blank(H: int, d: int, n_states: int) -> Sums:
    """No data."""
    return Sums(np.zeros((H, d, d)), np.zeros((H, d)), np.zeros((H, d, n_states)))


def added(x: Sums, y: Sums) -> Sums:
    """The sums over the data of both."""
    return Sums(x.Lambda + y.Lambda, x.b + y.b, x.M + y.M)


def collected(sums: Sums, phi: Array, pairs: Ints, rewards: Array, after: Ints) -> Sums:
    """The sums with an episode's data: the pair, reward and next state of each stage, ``(H,)``."""
    x = phi[pairs]
    h = np.arange(len(pairs))
    M = sums.M.copy()
    M[h, :, after] += x
    return Sums(sums.Lambda + x[:, :, None] * x[:, None, :], sums.b + x * rewards[:, None], M)


def grown(inverse: Array, ratio: Array, x: Array) -> tuple[Array, Array]:
    r"""Inverses ``(H, d, d)`` and ratios of determinants ``(H,)`` after one more vector of each stage, ``x (H, d)``.

    Rank-one updates: :math:`\det(\Lambda + xx^\top) = (1 + x^\top\Lambda^{-1}x) \det\Lambda`, and Sherman--Morrison.
    """
    new, out = inverse.copy(), ratio.copy()
    for h in range(len(x)):
        out[h] = ratio[h] * (1 + gram.norms(inverse[h], x[h : h + 1])[0])
        new[h] = gram.sherman_morrison(inverse[h], x[h])
    return new, out


def with_ridge(Lambda: Array, lambda_: Any) -> Array:
    r""":math:`\lambda I + \Lambda`, ``(d, d)``, or of each stage."""
    return Lambda + gram.start(Lambda.shape[-1], lambda_)


def plan(sums: Sums, phi: Array, pair_ptr: Ints, lambda_: Any, beta: Array, ceiling: Any) -> Plan:
    r"""Plan backward from the last stage.

    .. math:: w_h = \Lambda_h^{-1} (b_h + M_h V_{h+1}), \quad
              Q_h = \min\{\max\{\phi^\top w_h + \beta_h \|\phi\|_{\Lambda_h^{-1}}, 0\}, c_h\}, \quad
              V_h(s) = \max_a Q_h(s,a)

    with :math:`\Lambda_h = \lambda I + \sum\phi\phi^\top` and :math:`V_H = 0`.

    Parameters
    ----------
    sums : Sums
    phi : (L, d)
    pair_ptr : (S + 1,)
    lambda_ : number
        The ridge.
    beta : (H,)
        Factors of the bonus.
    ceiling : (H,)
        What can be earned from stage h on, at most.
    """
    H, d = sums.b.shape
    kind = phi.dtype
    zero = 0 * phi.flat[0]
    w, Q = np.empty((H, d), dtype=kind), np.empty((H, len(phi)), dtype=kind)
    V, inverse = np.empty((H + 1, len(pair_ptr) - 1), dtype=kind), np.empty((H, d, d), dtype=kind)
    V[H] = zero
    eye = gram.start(d, zero + 1) if phi.dtype == object else np.eye(d)
    for h in range(H - 1, -1, -1):
        inverse[h] = segments.solve(with_ridge(sums.Lambda[h], lambda_), eye)
        w[h] = inverse[h] @ (sums.b[h] + sums.M[h] @ V[h + 1])
        Q[h] = clipped(phi @ w[h] + bonus(inverse[h], phi, beta[h]), ceiling[h])
        V[h] = segments.largest(Q[h], pair_ptr) if phi.dtype == object else reference.best(Q[h], pair_ptr)
    return Plan(w, Q, V, inverse)


def bonus(inverse: Array, phi: Array, beta: Any) -> Array:
    r""":math:`\beta \|\phi\|_{\Lambda^{-1}}`, ``(L,)``."""
    return beta * np.sqrt(gram.norms(inverse, phi))


def clipped(q: Array, ceiling: Any) -> Array:
    """Action values, between zero and the ceiling."""
    if q.dtype != object:
        return np.minimum(np.maximum(q, 0.0), ceiling)
    low, high = segments.ball(0), segments.ball(ceiling)
    return segments.each(q, lambda x: segments.ball(x).max(low).min(high))
