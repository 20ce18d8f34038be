r"""Optimistic least-squares value iteration from sums over the data, in floats, Fractions (without bonus) or balls.

With finitely many states the data of stage h enter through three sums alone:
:math:`\Lambda_h = \lambda I + \sum \phi\phi^\top`, :math:`b_h = \sum \phi\, r` and :math:`M_h = \sum \phi\, e_{s'}^\top`, since
:math:`\sum \phi\, (r + V(s')) = b_h + M_h V` for whatever V. They add up over agents and over time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mdpkit.kernels import gram, segments
from mdpkit.typing import Array, Ints

__all__ = ["Plan", "Sums", "added", "blank", "collected", "plan", "with_ridge"]


class Sums(NamedTuple):
    r"""Sums over the data of each stage: ``Lambda (H, d, d)`` without :math:`\lambda I`, ``b (H, d)``, ``M (H, d, S)``."""

    Lambda: Array
    b: Array
    M: Array


class Plan(NamedTuple):
    """Coefficients ``w (H, d)``, optimistic action values ``Q (H, L)``, values ``V (H + 1, S)``."""

    w: Array
    Q: Array
    V: Array


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


def with_ridge(Lambda: Array, lambda_: Any) -> Array:
    r""":math:`\lambda I + \Lambda`, ``(d, d)``, or of each stage."""
    return Lambda + gram.start(Lambda.shape[-1], lambda_)


def plan(sums: Sums, phi: Array, pair_ptr: Ints, lambda_: Any, beta: Any, ceiling: Any, terminal: Array) -> Plan:
    r"""Plan backward from the last stage.

    .. math:: w_h = \Lambda_h^{-1} (b_h + M_h V_{h+1}), \quad
              Q_h = \min\{\phi^\top w_h + \beta \|\phi\|_{\Lambda_h^{-1}},\; c_h\}, \quad V_h(s) = \max_a Q_h(s,a).

    Parameters
    ----------
    sums : Sums
    phi : (L, d)
    pair_ptr : (S + 1,)
    lambda_, beta : number
        The ridge, and the factor of the bonus.
    ceiling : (H,)
        What can be earned from stage h on, at most.
    terminal : (S,)
        Values after the last stage.
    """
    H, d = sums.b.shape
    kind = phi.dtype
    w, Q = np.empty((H, d), dtype=kind), np.empty((H, len(phi)), dtype=kind)
    V = np.empty((H + 1, len(pair_ptr) - 1), dtype=kind)
    V[H] = terminal
    eye = gram.start(d, 1 + 0 * phi.flat[0]) if phi.dtype == object else np.eye(d)
    for h in range(H - 1, -1, -1):
        inverse = segments.solve(with_ridge(sums.Lambda[h], lambda_), eye)
        w[h] = inverse @ (sums.b[h] + sums.M[h] @ V[h + 1])
        Q[h] = capped(phi @ w[h] + bonus(inverse, phi, beta), ceiling[h])
        V[h] = segments.largest(Q[h], pair_ptr)
    return Plan(w, Q, V)


def bonus(inverse: Array, phi: Array, beta: Any) -> Array:
    r""":math:`\beta \|\phi\|_{\Lambda^{-1}}`, ``(L,)``."""
    return beta * np.sqrt(gram.norms(inverse, phi))


def capped(q: Array, ceiling: Any) -> Array:
    """Action values, at most the ceiling."""
    if q.dtype != object:
        return np.minimum(q, ceiling)
    return segments.each(q, lambda x: x.min(segments.ball(ceiling)) if segments.is_ball(x) else min(x, ceiling))
