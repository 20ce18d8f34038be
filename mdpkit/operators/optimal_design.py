r"""Optimal designs with certificates: how often to sample each pair so that least squares is good at all of them.

The design maximizes :math:`\log\det G(w)`, :math:`G(w) = \sum_i w_i x_i x_i^\top`. For any weights with largest leverage
:math:`g = \max_i x_i^\top G(w)^{-1} x_i`,

.. math:: d \le g, \qquad \max_{w'} \log\det G(w') - \log\det G(w) \le d \log(g/d),

so :math:`g \le d (1 + \varepsilon)` certifies both optimalities of Kiefer and Wolfowitz up to :math:`\varepsilon`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from mdpkit.errors import ModelError, OptionError
from mdpkit.kernels import design, segments
from mdpkit.kernels.rational import to_fraction
from mdpkit.typing import Array, Ints

__all__ = ["DesignCertificate", "OptimalDesign"]


MARGIN = 0.999
"""The search stops a little below what is promised, so that rounding does not spoil the certificate."""


@dataclass(frozen=True, eq=False)
class DesignCertificate:
    r"""Rational weights, and the promise that no leverage is above :math:`d (1 + \varepsilon)`.

    Attributes
    ----------
    X : (n, d) object
        The vectors, as Fractions: floats by their bits.
    weights : (n,) object
        Fractions that sum to one.
    eps : Fraction
    """

    X: Array
    weights: Array
    eps: Fraction

    def largest(self, arithmetic: Literal["rational", "ball"] = "rational") -> Any:
        """The largest leverage: exactly, or a ball that contains it.

        Raises
        ------
        ModelError
            If the weights are no law, or their vectors do not span the space.
        OptionError
            For another arithmetic.
        """
        if arithmetic not in ("rational", "ball"):
            raise OptionError("the arithmetic is unknown", found=repr(arithmetic), needed="'rational' or 'ball'")
        if any(x < 0 for x in self.weights) or sum(self.weights) != 1:
            raise ModelError("the weights are no law", found=sum(self.weights), needed="non-negative, sum 1")
        convert: Any = to_fraction if arithmetic == "rational" else segments.ball
        rows = [[convert(x) for x in row] for row in self.X]
        d = self.X.shape[1]
        G = [[convert(Fraction(0))] * d for _ in range(d)]
        for row, weight in zip(rows, self.weights, strict=True):
            if weight:
                w = convert(weight)
                for i in range(d):
                    for j in range(i + 1):
                        G[i][j] = G[i][j] + w * row[i] * row[j]
        # G = L D L' from its lower half, by its own arithmetic; then x' G^-1 x = sum z_i^2 / D_i with L z = x.
        for j in range(d):
            if not G[j][j] > 0:
                raise ModelError("the vectors with weight do not span the space", needed=f"rank {d}")
            for i in range(j + 1, d):
                factor = G[i][j] / G[j][j]
                for k in range(j + 1, i + 1):
                    G[i][k] = G[i][k] - factor * G[k][j]
            for i in range(j + 1, d):
                G[i][j] = G[i][j] / G[j][j]
        best: Any = None
        for row in rows:
            z: list[Any] = []
            total = convert(Fraction(0))
            for i in range(d):
                z.append(row[i] - sum((G[i][k] * z[k] for k in range(i)), convert(Fraction(0))))
                total = total + z[i] * z[i] / G[i][i]
            best = total if best is None else (best.max(total) if segments.is_ball(total) else max(best, total))
        return best

    def verify(self, arithmetic: Literal["rational", "ball"] = "rational") -> bool:
        """Whether the promise holds: decided in rationals, or certain in balls."""
        d = self.X.shape[1]
        bound = d * (1 + self.eps)
        return bool(self.largest(arithmetic) <= (bound if arithmetic == "rational" else segments.ball(bound)))


@dataclass(frozen=True, eq=False)
class OptimalDesign:
    r"""Weights on vectors, optimal up to :math:`\varepsilon`.

    Attributes
    ----------
    X : (n, d)
        The vectors, divided by their scale if one was given.
    weights : (n,)
        Zero outside of the support.
    leverage : number
        The largest leverage, between d and :math:`d(1 + \varepsilon)`.
    steps : int
        How many steps were taken.
    eps : Fraction
        What is certified.

    Examples
    --------
    Of points on a line, with a constant: the ends.

    >>> design = OptimalDesign.of(np.array([[1.0, x] for x in (-1.0, -0.5, 0.0, 0.5, 1.0)]))
    >>> design.support.tolist(), design.weights.round(6).tolist()
    ([0, 4], [0.5, 0.0, 0.0, 0.0, 0.5])
    >>> design.certificate().verify()
    True
    """

    X: Array
    weights: Array
    leverage: Any
    steps: int
    eps: Fraction

    @classmethod
    def of(
        cls,
        X: Array,
        *,
        scale: Any = None,
        eps: Any = Fraction(1, 100),
        rule: design.Rule = "pairwise",
        prune: bool = False,
        max_steps: int = 100_000,
    ) -> OptimalDesign:
        r"""Find a design by Frank--Wolfe steps with exact line search.

        Parameters
        ----------
        X : (n, d)
            Floats; Fractions are rounded to floats for the search, and kept for the certificate.
        scale : (n,), optional
            Positive numbers f: the design of the vectors :math:`x_i / f_i`, for observations of standard deviation f.
        eps : number
            Stop where the largest leverage is at most :math:`d (1 + \varepsilon)`.
        rule : {"pairwise", "away", "forward"}
            See :func:`mdpkit.kernels.design.step`; ``"forward"``, without away steps, takes of the order of
            :math:`d/\varepsilon` steps.
        prune : bool
            Reduce the support to at most d(d+1)/2 points, which raises no leverage.
        max_steps : int

        Raises
        ------
        ModelError
            If the vectors do not span the space (names their rank), or a scale is not positive.
        OptionError
            If eps is not positive, the rule unknown, or ``max_steps`` are not enough.
        """
        eps = to_fraction(eps, what="eps")
        if eps <= 0:
            raise OptionError("eps is not positive", found=str(eps), needed="eps > 0")
        if rule not in ("forward", "away", "pairwise"):
            raise OptionError("the rule is unknown", found=repr(rule), needed="'pairwise', 'away' or 'forward'")
        X = np.asarray(X)
        if X.ndim != 2 or not X.size:
            raise ModelError("the vectors have the wrong shape", found=X.shape, needed="(n, d)")
        if scale is not None:
            f = np.asarray(scale)
            if f.shape != (len(X),) or not np.all(f > 0):
                raise ModelError("the scale is no positive number for each vector", found=f, needed=f"({len(X)},) > 0")
            X = X / f[:, None]
        floats: Array = segments.floats(X)
        if X.dtype == object and design.rank(X) < X.shape[1]:
            design.start(X)  # which says so
        d = X.shape[1]
        w = design.start(floats)
        for k in range(max_steps + 1):
            g = float(design.leverages(floats, design.gram(floats, w)).max())
            if g <= d * (1 + MARGIN * float(eps)):
                break
            if k == max_steps:
                raise OptionError(
                    f"max_steps = {max_steps} are not enough", found=f"leverage {g:.6g}",
                    needed=f"at most d (1 + eps) = {d * (1 + float(eps)):.6g}", way_out="raise max_steps or eps",
                )  # fmt: skip
            w = design.step(floats, w, rule)
        else:  # pragma: no cover - max_steps < 0
            raise OptionError("max_steps is negative", found=max_steps, needed="0 or more")
        if prune:
            w = design.pruned(floats, w)
            g = float(design.leverages(floats, design.gram(floats, w)).max())
        return cls(X, w, g, k, eps)

    @property
    def support(self) -> Ints:
        """The vectors with weight."""
        return np.flatnonzero(self.weights > 0)

    @property
    def dim(self) -> int:
        """The dimension d."""
        return self.X.shape[1]

    @property
    def gap(self) -> float:
        r"""A bound on how far :math:`\log\det G` is from its maximum: :math:`d \log(g/d)`."""
        return max(0.0, self.dim * math.log(float(self.leverage) / self.dim))

    def counts(self, n: int) -> Ints:
        r"""How often to draw each vector: :math:`\lceil w_i n \rceil`, at most n plus the size of the support, ``(n,)``."""
        return np.ceil(self.weights * n).astype(np.int64)

    def certificate(self) -> DesignCertificate:
        """Weights and vectors in rationals: the weights by their bits, divided by their sum."""
        X = np.empty(self.X.size, dtype=object)
        X[:] = [to_fraction(x) for x in self.X.ravel().tolist()]
        w = np.empty(len(self.weights), dtype=object)
        w[:] = [to_fraction(x) for x in self.weights.tolist()]
        return DesignCertificate(X.reshape(self.X.shape), w / sum(w), self.eps)
