r"""Least squares on a core set: observations at few pairs, chosen by an optimal design, say it for all pairs.

.. math::

   \theta = \arg\min_\theta \sum_{i \in C} \frac{\rho_i}{f_i^2} (\phi_i^\top \theta - y_i)^2, \qquad
   |\phi(s,a)^\top \theta| \le f(s,a) \sqrt{d (1 + \varepsilon)} \text{ for all } |y_i| \le f_i,

with :math:`\rho` a G-optimal design, up to :math:`\varepsilon`, of the features divided by f.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import gram, segments
from mdpkit.models.sampling import GenerativeModel, check_count, check_generator
from mdpkit.operators.linear_features import HUNDREDTH, LinearFeatures
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.typing import Array, Floats, Ints

__all__ = ["Differences", "Moments", "VarianceRule", "Variances", "WeightedRegression", "deviation"]


def deviation(variance: Floats, horizon: float) -> Floats:
    r""":math:`f = \min\{\sqrt{\max(v, 0)} + \sqrt{H},\, H\}` of each estimated variance v, in floats."""
    return np.minimum(np.sqrt(np.maximum(variance, 0.0)) + np.sqrt(horizon), horizon)


@dataclass(frozen=True, eq=False)
class WeightedRegression:
    """Weighted least squares at the pairs of a core set.

    Attributes
    ----------
    phi : (L, d)
        The features of all pairs.
    core : (n,) int
        The pairs that are observed.
    rho : (n,)
        The design: floats, or their bits.
    scale : (L,)
        f, the scale of the errors.
    """

    phi: Array
    core: Ints
    rho: Array
    scale: Array

    @classmethod
    def of(cls, on: OnPolicy, scale: Array | None = None, eps: Any = HUNDREDTH) -> WeightedRegression:
        """The regression of a linear MDP: the design for the scale, which is one by default.

        Raises
        ------
        ModelError
            If the features are of deficient rank, or the scale is not a positive number for each pair.
        """
        of = LinearFeatures(on.problem)
        rho = of.core(eps, scale)
        core = np.flatnonzero(segments.floats(rho) > 0)
        return cls(of.phi, core, rho[core], on.number(np.ones(on.n_pairs)) if scale is None else scale)

    @property
    def weights(self) -> Array:
        r""":math:`\rho_i / f_i^2`, ``(n,)``."""
        f = self.scale[self.core]
        return self.rho / (f * f)

    def fit(self, y: Array) -> Array:
        """The coefficients from what is observed at the core set, ``(d,)``."""
        return gram.least_squares(self.phi[self.core], self.weights, y)


@dataclass(frozen=True)
class Variances:
    """Estimated variances of the next state's value, of all pairs ``(L,)``, and the number of transitions drawn."""

    values: Array
    draws: int = 0


class VarianceRule(Protocol):
    """What every estimator of variances can do."""

    def __call__(
        self, on: OnPolicy, regression: WeightedRegression, V: Array, rng: np.random.Generator | None = None
    ) -> Variances:
        """The variance of V at the next state, of each pair."""
        ...


@dataclass(frozen=True)
class _Drawn:
    """Draws for each pair of the core set; None for exact moments."""

    n: int | None = None

    def __post_init__(self) -> None:
        if self.n is not None:
            check_count(self.n, "the number of draws n", 1)

    def _moments(self, on: OnPolicy, V: Array, core: Ints) -> tuple[Array, Array]:
        return (on.P @ V)[core], (on.P @ (V * V))[core]

    def _values(
        self, on: OnPolicy, V: Array, core: Ints, copies: int, rng: np.random.Generator | None
    ) -> tuple[Array, int]:
        assert self.n is not None
        if V.dtype == object:
            raise OptionError(
                "transitions are drawn in floats only", found="another arithmetic", needed="a problem in floats"
            )
        oracle = GenerativeModel(on.problem.mdp)
        following, _ = oracle.sample_pairs(
            np.repeat(core, copies * self.n).reshape(-1, copies, self.n), check_generator(rng)
        )
        return V[following], oracle.calls


@dataclass(frozen=True)
class Differences(_Drawn):
    r"""Regression of half the squared differences of two draws, :math:`\frac{1}{2n} \sum_m (V(y_m) - V(z_m))^2`.

    Its mean at a pair of the core set is the variance, which is no linear function of the features: elsewhere it may be far
    off (``vwls-mdvi:regressed-variance``).

    Parameters
    ----------
    n : int or None
        Pairs of draws for each pair of the core set; None for the variance itself.
    """

    def __call__(
        self, on: OnPolicy, regression: WeightedRegression, V: Array, rng: np.random.Generator | None = None
    ) -> Variances:
        """Fit the variances of the core set."""
        core = regression.core
        if self.n is None:
            first, second = self._moments(on, V, core)
            y, draws = second - first * first, 0
        else:
            values, draws = self._values(on, V, core, 2, rng)
            y = self.halves(values[:, 0], values[:, 1]).mean(axis=1)
        return Variances(regression.phi @ regression.fit(y), draws)

    @staticmethod
    def halves(y: Array, z: Array) -> Array:
        """Half the squares of the differences."""
        return (y - z) * (y - z) / 2


@dataclass(frozen=True)
class Moments(_Drawn):
    r"""Regression of the first two moments, which are linear: :math:`\phi^\top\omega_2 - (\phi^\top\omega_1)^2`.

    Parameters
    ----------
    n : int or None
        Draws for each pair of the core set; None for the moments themselves.
    """

    def __call__(
        self, on: OnPolicy, regression: WeightedRegression, V: Array, rng: np.random.Generator | None = None
    ) -> Variances:
        """Fit both moments."""
        draws = 0
        if self.n is None:
            first, second = self._moments(on, V, regression.core)
        else:
            values, draws = self._values(on, V, regression.core, 1, rng)
            first, second = values.mean(axis=(1, 2)), (values * values).mean(axis=(1, 2))
        mean = regression.phi @ regression.fit(first)
        return Variances(regression.phi @ regression.fit(second) - mean * mean, draws)
