r"""Gram matrices that grow by one vector at a time, :math:`\Lambda' = \Lambda + x x^\top`: inverses, norms, determinants.

In floats or Fractions. Determinants say how much has been learned:
:math:`\det\Lambda' = (1 + x^\top \Lambda^{-1} x) \det\Lambda`, so along k vectors of norm at most one from :math:`\lambda I`,
:math:`\det\Lambda \le (\lambda + k/d)^d`, and a rule that acts when the determinant has grown by a factor acts rarely.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mdpkit.errors import ModelError
from mdpkit.kernels import segments
from mdpkit.typing import Array

__all__ = [
    "determinant", "deviation", "growth", "has_grown", "least_squares", "most_growths", "norms", "sherman_morrison", "start",
]  # fmt: skip


def start(d: int, lambda_: Any) -> Array:
    r""":math:`\lambda I`, ``(d, d)``, in the arithmetic of :math:`\lambda`."""
    if isinstance(lambda_, (int, float)):
        return float(lambda_) * np.eye(d)
    out = np.empty((d, d), dtype=object)
    out[:] = 0 * lambda_
    out[np.arange(d), np.arange(d)] = lambda_
    return out


def norms(inverse: Array, X: Array) -> Array:
    r"""Squared norms :math:`x^\top \Lambda^{-1} x` of the rows of X, ``(n,)``."""
    return ((X @ inverse) * X).sum(axis=1)


def sherman_morrison(inverse: Array, x: Array) -> Array:
    r""":math:`(\Lambda + x x^\top)^{-1}` from :math:`\Lambda^{-1}`, ``(d, d)``."""
    y = inverse @ x
    return inverse - np.outer(y, y) / (1 + x @ y)


def determinant(A: Array) -> Any:
    """The determinant of a square matrix: exact in Fractions."""
    if A.dtype != object:
        return float(np.linalg.det(A))
    rows, out = [list(row) for row in A], 1 + 0 * A.flat[0]
    for j in range(len(rows)):
        k = next((i for i in range(j, len(rows)) if rows[i][j] != 0), None)
        if k is None:
            return 0 * out
        if k != j:
            rows[j], rows[k], out = rows[k], rows[j], -out
        out = out * rows[j][j]
        for i in range(j + 1, len(rows)):
            factor = rows[i][j] / rows[j][j]
            if factor != 0:
                rows[i] = [x - factor * y for x, y in zip(rows[i], rows[j], strict=True)]
    return out


def growth(after: Array, before: Array) -> Any:
    """The ratio of two determinants of positive definite matrices; in floats by their logarithms."""
    if after.dtype == object:
        return determinant(after) / determinant(before)
    return math.exp(float(np.linalg.slogdet(after)[1] - np.linalg.slogdet(before)[1]))


def has_grown(after: Array, before: Array, factor: Any) -> bool:
    """Whether the determinant has grown by more than ``factor``: what triggers a new plan or an upload.

    Parameters
    ----------
    after, before : (d, d)
        Positive definite.
    factor : number >= 1
        2 for doubling. With 1 every vector other than zero counts.
    """
    if factor == 1:
        return bool(np.any(segments.floats(after) != segments.floats(before)))
    return bool(growth(after, before) > factor)


def most_growths(d: int, n: int, lambda_: float, factor: float) -> float:
    r"""How often, at most, the determinant grows by ``factor`` along n vectors of norm at most one from :math:`\lambda I`.

    :math:`d \log(1 + n/(d\lambda)) / \log(\text{factor})`: the determinant is at most the d-th power of a d-th of the trace.
    """
    return d * math.log(1 + n / (d * lambda_)) / math.log(factor)


def least_squares(X: Array, w: Array, y: Array) -> Array:
    r"""The coefficients :math:`\arg\min_\theta \sum_i w_i (x_i^\top\theta - y_i)^2`, ``(d,)``.

    Raises
    ------
    ModelError
        If the rows with weight do not span the space.
    """
    weighted = w[:, None] * X
    try:
        return segments.solve(X.T @ weighted, weighted.T @ y)
    except np.linalg.LinAlgError:
        raise ModelError("the least squares have no unique solution", needed="rows that span the space") from None


def deviation(width: Any, norms: Array, events: int, delta: float) -> Array:
    r"""How far least squares from bounded noise is off, at most, with probability :math:`1-\delta`: of each row, ``(n,)``.

    With independent noise of mean zero in intervals of length ``width``, :math:`x^\top\Lambda^{-1}\sum_i x_i \eta_i` is a sum
    whose squared coefficients sum to :math:`x^\top\Lambda^{-1}x`, so by Hoeffding's inequality it exceeds
    :math:`\text{width} \sqrt{\tfrac12 \|x\|^2_{\Lambda^{-1}} \log(2N/\delta)}` with probability at most :math:`\delta/N`.

    Parameters
    ----------
    width : number
    norms : (n,)
        Squared norms :math:`x^\top\Lambda^{-1}x`.
    events : int
        The number N of sums for which it is to hold at once.
    delta : float
    """
    return width * np.sqrt(0.5 * norms * math.log(2 * events / delta))
