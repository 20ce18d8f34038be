r"""Weighted least squares in features, and the scale of its errors from estimated variances."""

from __future__ import annotations

import numpy as np

from mdpkit.kernels import design, segments
from mdpkit.typing import Array, Floats

__all__ = ["deviation", "fit"]


def fit(X: Array, weights: Array, y: Array) -> Array:
    r""":math:`\arg\min_\theta \sum_i w_i (x_i^\top \theta - y_i)^2`, ``(d,)``; the rows of X with weight span the space."""
    return segments.solve(design.gram(X, weights), X.T @ (weights * y))


def deviation(variance: Floats, horizon: float) -> Floats:
    r""":math:`f = \min\{\sqrt{\max(v, 0)} + \sqrt{H},\, H\}` of each estimated variance v, in floats."""
    return np.minimum(np.sqrt(np.maximum(variance, 0.0)) + np.sqrt(horizon), horizon)
