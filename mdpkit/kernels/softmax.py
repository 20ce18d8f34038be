r"""Entropies and mirror steps of policies, in the logarithms of their probabilities; floats, or balls.

One step serves many methods:

.. math::

   \pi^+ = \arg\max_\pi \; \langle \pi, Q \rangle - \tfrac1\eta \mathrm{KL}(\pi \| \pi_k) - \tau\, \mathrm{KL}(\pi \| \mu),
   \qquad \pi^+ \propto \pi_k^{1/(1+\eta\tau)} \mu^{\eta\tau/(1+\eta\tau)} \exp\bigl(\tfrac{\eta}{1+\eta\tau} Q\bigr),

where the entropy :math:`\tau H(\pi)` is the case of a uniform :math:`\mu`, up to a constant.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.kernels import segments
from mdpkit.typing import Array, Ints

__all__ = [
    "entropy",
    "log_softmax",
    "log_sum_exp",
    "mirror_backup",
    "mirror_step",
    "penalized_step",
    "relative_entropy",
    "soft_maximum",
]


def log_sum_exp(x: Array, pair_ptr: Ints) -> Array:
    r""":math:`\log \sum_a e^{x(s,a)}` of each state, ``(S,)``."""
    # Any shift near the maximum keeps the exponentials in range; of balls the midpoint will do.
    shift = np.maximum.reduceat(segments.floats(x), pair_ptr[:-1])
    return shift + np.log(segments.total(np.exp(x - segments.spread(shift, pair_ptr)), pair_ptr))


def log_softmax(x: Array, pair_ptr: Ints) -> Array:
    r"""Logarithms of :math:`e^{x(s,a)} / \sum_b e^{x(s,b)}`, ``(L,)``."""
    return x - segments.spread(log_sum_exp(x, pair_ptr), pair_ptr)


def soft_maximum(q: Array, tau: Any, pair_ptr: Ints, log_reference: Array | None = None) -> Array:
    r""":math:`\max_\pi \langle \pi, q \rangle + \tau H(\pi) = \tau \log \sum_a e^{q/\tau}`, ``(S,)``.

    With a reference :math:`\mu`: :math:`\max_\pi \langle \pi, q \rangle - \tau \mathrm{KL}(\pi \| \mu)`.
    """
    x = q / tau if log_reference is None else q / tau + log_reference
    return tau * log_sum_exp(x, pair_ptr)


def mirror_step(
    log_pi: Array, q: Array, eta: Any, pair_ptr: Ints, tau: Any = 0, log_reference: Array | None = None
) -> Array:
    r"""Logarithms of the step from :math:`\pi_k`; ``tau`` pulls to the reference, uniform where it is left out, ``(L,)``."""
    return penalized_step(log_pi, eta * q, 1, pair_ptr, eta * tau, log_reference)


def mirror_backup(log_pi: Array, q: Array, eta: Any, pair_ptr: Ints) -> tuple[Array, Array]:
    r"""The value of the mirror step from :math:`\pi_k`, ``(S,)``, and the logarithms of that step, ``(L,)``.

    .. math:: V = \tfrac1\eta \log \sum_a \pi_k e^{\eta Q}, \qquad \pi_{k+1} = \pi_k e^{\eta (Q - V)}
    """
    return log_sum_exp(log_pi + eta * q, pair_ptr) / eta, mirror_step(log_pi, q, eta, pair_ptr)


def penalized_step(
    log_pi: Array, q: Array, lambda_: Any, pair_ptr: Ints, tau: Any = 0, log_reference: Array | None = None
) -> Array:
    r"""Logarithms of :math:`\arg\max_\pi \langle \pi, q \rangle - \lambda \mathrm{KL}(\pi \| \pi_k) + \tau H(\pi)`, ``(L,)``.

    The same step as :func:`mirror_step` by its penalties, of which one may be zero: :math:`\pi \propto
    \pi_k^{\lambda/(\lambda+\tau)} e^{q/(\lambda+\tau)}`. With a reference
    :math:`-\tau \mathrm{KL}(\pi \| \mu)` takes the place of the entropy.
    """
    x = lambda_ * log_pi + q
    if log_reference is not None:
        x = x + tau * log_reference
    return log_softmax(x / (lambda_ + tau), pair_ptr)


def entropy(pi: Array, log_pi: Array, pair_ptr: Ints) -> Array:
    r""":math:`H(\pi) = -\sum_a \pi \log \pi` of each state, ``(S,)``; a probability of zero counts nothing."""
    return -segments.total(_weighted(pi, log_pi), pair_ptr)


def relative_entropy(pi: Array, log_pi: Array, log_other: Array, pair_ptr: Ints) -> Array:
    r""":math:`\mathrm{KL}(\pi \| \mu) = \sum_a \pi \log (\pi / \mu)` of each state, ``(S,)``."""
    with np.errstate(invalid="ignore"):  # where both are zero, which count nothing
        return segments.total(_weighted(pi, log_pi - log_other), pair_ptr)


def _weighted(pi: Array, x: Array) -> Array:
    if pi.dtype == object:
        return pi * x
    return np.where(pi > 0, pi, 0.0) * np.where(pi > 0, x, 0.0)
