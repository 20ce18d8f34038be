r"""Moments of martingale conditions on a grid: what temporal-difference methods of continuous time solve for.

A chain ``P (n, n)`` is a process observed every dt, ``r (n,)`` is what a step pays, and a value is :math:`J = \Phi w`, with
features ``phi (n, d)``. Along a step the residual is

.. math:: \delta = f J(X_{i+1}) - (1 + p) J(X_i) + r(X_i),

with :math:`f = e^{-\rho\,dt}, p = 0` where the next value is discounted, and :math:`f = 1, p = \rho\,dt` where discounting is
a rate. Floats, Fractions or balls; everything is expected, nothing is drawn. All moments are A and b of a condition
:math:`b - A w = 0`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.kernels import segments
from mdpkit.typing import Array, Floats

__all__ = ["errors_squared", "exponential", "orthogonality", "projection", "returns", "to_go"]

TERMS = 40
"""Of the Poisson series of a short step, whose rest is far below rounding."""


def eye(like: Array) -> Array:
    """The identity, as wide as ``like``."""
    return np.eye(len(like), dtype=int if like.dtype == object else float)


def exponential(generator: Array, dt: Any) -> Array:
    r"""Transition probabilities after a time, :math:`e^{L\,dt}`, ``(S, S)``, in floats or balls.

    In floats by uniformization: sums of nonnegative terms alone, so that no probability is negative and each is right to
    some digits; a long step is the square of half a step.
    """
    if generator.dtype == object:
        flint: Any = import_module("flint")
        n = len(generator)
        entries = [segments.ball(x) * segments.ball(dt) for x in generator.flat]
        out = np.empty(n * n, dtype=object)
        out[:] = flint.arb_mat(n, n, entries).exp().entries()
        return out.reshape(n, n)
    fastest = float(np.max(-np.diag(generator)))
    if fastest * dt == 0:
        return eye(generator)
    halvings = max(0, int(np.ceil(np.log2(fastest * dt))))
    short = fastest * dt / 2.0**halvings
    jump = eye(generator) + generator / fastest
    np.fill_diagonal(jump, np.maximum(np.diag(jump), 0.0))
    total, term = eye(generator), eye(generator)
    for k in range(1, TERMS):
        term = term @ jump * (short / k)
        total = total + term
    for _ in range(halvings):
        total = _laws(total) @ _laws(total)
    return _laws(total)


def _laws(rows: Floats) -> Floats:
    return rows / rows.sum(axis=1, keepdims=True)


def orthogonality(
    P: Array, r: Array, phi: Array, weights: Array, factor: Any, penalty: Any, decay: Any
) -> tuple[Array, Array]:
    r"""Of the martingale orthogonality conditions :math:`E[\xi_i \delta_i] = b - A w`, ``(d, d)`` and ``(d,)``.

    The test functions are :math:`\xi_i = \sum_{j \le i} c^{i-j} \phi(X_j)` for the ``decay`` c, which for c = 0 is
    :math:`\phi(X_i)`. ``weights (n,)`` are the law of each :math:`X_j`, the stationary one unless c is 0.
    """
    tests = weights[:, None] * phi
    if decay != 0:
        tests = segments.solve((eye(P) - decay * P).T, tests)
    return tests.T @ ((1 + penalty) * phi - factor * (P @ phi)), tests.T @ r


def errors_squared(
    P: Array, r: Array, phi: Array, after: Array, weights: Array, factor: Any, penalty: Any
) -> tuple[Array, Array]:
    r"""Of the mean-square temporal-difference error :math:`E[\delta^2] = w^\top A w - 2 b^\top w + c`.

    ``after (m, d)`` are the features of what follows, with the probabilities ``P (n, m)``; a reward belongs to a row.
    """
    keep = 1 + penalty
    here, there = weights[:, None] * phi, (weights @ P)[:, None] * after
    cross = here.T @ (P @ after)
    A = keep * keep * (here.T @ phi) - factor * keep * (cross + cross.T) + factor * factor * (there.T @ after)
    return A, keep * (here.T @ r) - factor * (after.T @ ((weights * r) @ P))


def to_go(P: Array, r: Array, end: Array, factor: Any, penalty: Any, steps: int) -> list[Array]:
    r"""Expected payments with 0 to ``steps`` steps to go, after which ``end (n,)`` is paid: arrays ``(n,)``."""
    out = [end]
    for _ in range(steps):
        out.append((r + factor * (P @ out[-1])) / (1 + penalty))
    return out


def returns(rewards: Array, end: Any, factor: Any, penalty: Any) -> Array:
    """What is paid along a trajectory from each of its steps on, ``(n,)``, with ``end`` after the last."""
    out, G = rewards.copy(), end
    for i in range(len(rewards) - 1, -1, -1):
        G = out[i] = (rewards[i] + factor * G) / (1 + penalty)
    return out


def projection(values: list[Array], phi: Array, laws: list[Array]) -> tuple[Array, Array]:
    r"""Of the martingale loss: the projection :math:`\min_w \sum_i E_{\mu_i}(V_i - \Phi w)^2`."""
    total, right = laws[0] * 0, laws[0] * 0
    for value, law in zip(values, laws, strict=True):
        total, right = total + law, right + law * value
    return phi.T @ (total[:, None] * phi), phi.T @ right
