r"""Mirror maps of policies: their divergences, and the steps that these define.

The mirror step of a divergence D is

.. math:: \pi^+(\cdot|s) = \arg\max_p \; \eta \langle Q(s,\cdot), p \rangle - D(p \,\|\, \pi(\cdot|s)),

A map keeps a policy as its *point*: the logarithms for the relative entropy, whose small probabilities would
underflow, and the probabilities themselves for the others. Floats, or balls; the Euclidean one also Fractions.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import potentials, segments, simplex, softmax
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.typing import Array

__all__ = ["Euclidean", "KullbackLeibler", "MirrorMap", "Tsallis"]


class MirrorMap(Protocol):
    """What a mirror map can do."""

    def point(self, pi: Array) -> Array:
        """The point of a policy ``pi (L,)``."""
        ...

    def policy(self, point: Array) -> Array:
        """The policy of a point."""
        ...

    def step(self, on: OnPolicy, point: Array, q: Array, eta: Any) -> Array:
        """The mirror step along ``q (L,)``; ``eta`` is a number or ``(L,)``, constant in each state."""
        ...

    def from_vertex(self, on: OnPolicy, point: Array) -> Array:
        r""":math:`D(e_a \,\|\, \pi(\cdot|s))` of each action's vertex, ``(L,)``."""
        ...


@dataclass(frozen=True)
class KullbackLeibler:
    r"""The relative entropy :math:`D(p\|x) = \sum_a p_a \log(p_a/x_a)`: steps are multiplicative weights."""

    def point(self, pi: Array) -> Array:
        """Logarithms."""
        return np.log(pi)

    def policy(self, point: Array) -> Array:
        """Exponentials."""
        return np.exp(point)

    def step(self, on: OnPolicy, point: Array, q: Array, eta: Any) -> Array:
        """Multiplicative weights; of a regularized problem, with its pull to the reference."""
        if on.problem.kind == "regularized":
            return softmax.mirror_step(point, q, eta, on.pair_ptr, on.problem.tau, on.log_reference)
        return softmax.mirror_step(point, q, eta, on.pair_ptr)

    def from_vertex(self, on: OnPolicy, point: Array) -> Array:
        """Minus the logarithm of the probability."""
        return -point


@dataclass(frozen=True)
class Euclidean:
    r"""Half the squared distance :math:`D(p\|x) = \tfrac12 \|p - x\|_2^2`: steps are projected."""

    def point(self, pi: Array) -> Array:
        """Itself."""
        return pi

    def policy(self, point: Array) -> Array:
        """Itself."""
        return point

    def step(self, on: OnPolicy, point: Array, q: Array, eta: Any) -> Array:
        """The projection of the moved policy onto the simplex."""
        return simplex.project(point + eta * q, on.pair_ptr)

    def from_vertex(self, on: OnPolicy, point: Array) -> Array:
        """Half of the squared distance to each vertex."""
        squares = segments.total(point * point, on.pair_ptr)
        return (on.spread(squares) - 2 * point + 1) / 2


@dataclass(frozen=True)
class Tsallis:
    r"""The divergence of Tsallis' entropy, of the potential :math:`h(x) = -\sum_a x_a^q / (q(1-q))`, 0 < q < 1.

    Its second derivative :math:`x^{q-2}` lies between that of the relative entropy (q = 1) and a barrier's (q = 0). A step is
    :math:`p_a = ((1-q)(\lambda + y_a))^{-1/(1-q)}` with :math:`y_a = x_a^{q-1}/(1-q) - \eta Q_a` and :math:`\lambda` such that
    the sum is one, found by Newton's method from the left: the sum is decreasing and convex in :math:`\lambda`.

    Parameters
    ----------
    q : number
        The index, in (0, 1).
    """

    q: Any = Fraction(1, 2)

    def __post_init__(self) -> None:
        if not 0 < self.q < 1:
            raise OptionError(
                "the index q of Tsallis' entropy is outside (0, 1)",
                found=self.q,
                needed="0 < q < 1",
                way_out="KullbackLeibler() is the limit q = 1, Euclidean() the case q = 2",
            )

    def point(self, pi: Array) -> Array:
        """Itself."""
        return pi

    def policy(self, point: Array) -> Array:
        """Itself."""
        return point

    def step(self, on: OnPolicy, point: Array, q: Array, eta: Any) -> Array:
        """The step, solved in each state."""
        rest = 1 - on.number(self.q)
        return potentials.tsallis(point ** (-rest) / rest - eta * q, on.pair_ptr, self.q)

    def from_vertex(self, on: OnPolicy, point: Array) -> Array:
        """The divergence of each vertex."""
        q = on.number(self.q)
        sums = segments.total(point**q, on.pair_ptr)
        return (on.spread(sums) * (1 - q) - 1) / (q * (1 - q)) + point ** (q - 1) / (1 - q)
