r"""Optimal designs: weights on feature vectors that make least squares as good as it can be, in floats or Fractions.

``X (n, d)`` holds the vectors in its rows and ``w (n,)`` weights that sum to one. The information matrix is
:math:`G(w) = \sum_i w_i x_i x_i^\top`, the leverages are :math:`g_i = x_i^\top G(w)^{-1} x_i`; their mean under w is d. A
design is D-optimal if it maximizes :math:`\log\det G`, and by Kiefer and Wolfowitz exactly then G-optimal, with
:math:`\max_i g_i = d`. The steps here maximize the determinant, each with exact line search.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mdpkit.errors import ModelError
from mdpkit.kernels import segments
from mdpkit.typing import Array, Ints

__all__ = [
    "Rule", "basis", "gram", "kernel_vector", "leverages", "pairwise_length", "pruned", "rank", "start", "step",
    "toward_length",
]  # fmt: skip

Rule = Literal["forward", "away", "pairwise"]


def gram(X: Array, w: Array) -> Array:
    r"""The information matrix :math:`\sum_i w_i x_i x_i^\top`, ``(d, d)``."""
    return X.T @ (w[:, None] * X)


def leverages(X: Array, G: Array) -> Array:
    r""":math:`x_i^\top G^{-1} x_i` of each row, ``(n,)``.

    Raises
    ------
    ModelError
        If G is singular.
    """
    try:
        solved = segments.solve(G, X.T)
    except np.linalg.LinAlgError:
        raise ModelError("the information matrix is singular", needed="weights whose vectors span the space") from None
    return (X * solved.T).sum(axis=1)


def basis(X: Array) -> Ints:
    """Rows that span the row space, each the one with the largest rest after the ones before (pivoted Gram--Schmidt).

    In floats, rests below ``max(n, d)`` times the rounding unit of the largest row count as zero.
    """
    rest: Array = X.copy()
    n, d = X.shape
    chosen: list[int] = []
    exact = X.dtype == object
    floor: Any = 0
    for _ in range(min(n, d)):
        size = (rest * rest).sum(axis=1)
        k = int(np.argmax(size))
        if not chosen and not exact:
            floor = float(size[k]) * (max(n, d) * np.finfo(np.float64).eps) ** 2
        if not size[k] > floor:
            break
        chosen.append(k)
        along = rest @ rest[k] / size[k]
        rest = rest - np.outer(along, rest[k])
    return np.array(chosen, dtype=np.int64)


def rank(X: Array) -> int:
    """The rank of the rows: exact in Fractions, numerical in floats."""
    return len(basis(X)) if X.dtype == object else int(np.linalg.matrix_rank(X))


def start(X: Array) -> Array:
    """Equal weights on d independent rows, ``(n,)``.

    Raises
    ------
    ModelError
        If the rows do not span the space.
    """
    chosen = basis(X)
    n, d = X.shape
    if len(chosen) < d:
        raise ModelError(
            "the features are of deficient rank",
            found=f"rank {len(chosen)}",
            needed=f"the dimension d = {d}",
            way_out="leave out features that are combinations of others, or project on a basis of their span",
        )
    w = np.zeros(n, dtype=X.dtype)
    if X.dtype == object:
        w[:] = _one(X) * 0
    w[chosen] += 1 / d if X.dtype != object else _one(X) / d
    return w


def _one(X: Array) -> Any:
    from mdpkit.kernels.rational import to_fraction

    return segments.ball(1) if segments.is_ball(X.flat[0]) else to_fraction(1)


def toward_length(g: Any, d: int, weight: Any) -> Any:
    r"""The step :math:`\alpha` that maximizes :math:`\det G((1-\alpha) w + \alpha e_i)` for a row of leverage g, w_i given.

    :math:`\alpha = (g - d)/(d (g - 1))`, positive where g > d; away from the row, where g < d, at least
    :math:`-w_i/(1-w_i)`, which drops it.
    """
    if g >= d:
        return (g - d) / (d * (g - 1)) if g > d else 0 * g
    lowest = -weight / (1 - weight)
    if g <= 1:
        return lowest
    return max(lowest, (g - d) / (d * (g - 1)))


def pairwise_length(g_to: Any, g_from: Any, g_both: Any, weight: Any) -> Any:
    r"""How much weight, at most ``weight``, a row gives to another so as to maximize the determinant.

    :math:`\det G(w + t (e_j - e_i)) / \det G(w) = 1 + t (g_j - g_i) - t^2 (g_i g_j - g_{ij}^2)`.
    """
    curvature = g_from * g_to - g_both * g_both
    if not curvature > 0:
        return weight
    return min(weight, (g_to - g_from) / (2 * curvature))


def step(X: Array, w: Array, rule: Rule = "pairwise") -> Array:
    """One step to a larger determinant.

    Parameters
    ----------
    X : (n, d)
    w : (n,)
    rule : {"forward", "away", "pairwise"}
        Toward the row of largest leverage; or away from the one of least leverage in the support where that is the
        longer way from d; or weight from the latter to the former.
    """
    G = gram(X, w)
    g = leverages(X, G)
    d = X.shape[1]
    best = int(np.argmax(g))
    support = np.flatnonzero(w > 0)
    worst = int(support[np.argmin(g[support])])
    out: Array = w.copy()
    if best == worst:
        return out
    if rule == "pairwise":
        both = X[worst] @ segments.solve(G, X[best])
        t = pairwise_length(g[best], g[worst], both, w[worst])
        out[best], out[worst] = w[best] + t, w[worst] - t
        return out
    k = worst if rule == "away" and d - g[worst] > g[best] - d else best
    alpha = toward_length(g[k], d, w[k])
    out = (1 - alpha) * w
    out[k] = out[k] + alpha
    if k == worst and alpha == -w[k] / (1 - w[k]):
        out[k] = 0 * w[k]  # in floats as well
    return out


def kernel_vector(A: Array) -> Array:
    """A vector other than zero with ``A v = 0``, for A ``(m, n)`` with m < n, ``(n,)``."""
    if A.dtype != object:
        return np.linalg.svd(A)[2][-1]
    rows = [list(row) for row in A]
    n = A.shape[1]
    pivots: list[int] = []
    for j in range(n):
        r = len(pivots)
        k = next((i for i in range(r, len(rows)) if rows[i][j] != 0), None)
        if k is None:
            # Column j depends on the pivots before it.
            v = np.empty(n, dtype=object)
            v[:] = [0 * A.flat[0]] * n
            v[j] += 1
            for i, p in enumerate(pivots):
                v[p] = -rows[i][j]
            return v
        rows[r], rows[k] = rows[k], rows[r]
        lead = rows[r][j]
        rows[r] = [x / lead for x in rows[r]]
        for i in range(len(rows)):
            if i != r and rows[i][j] != 0:
                factor = rows[i][j]
                rows[i] = [x - factor * y for x, y in zip(rows[i], rows[r], strict=True)]
        pivots.append(j)
    raise ModelError("the matrix has no kernel", found=A.shape, needed="fewer rows than columns")


def pruned(X: Array, w: Array) -> Array:
    r"""Weights on at most d(d+1)/2 of the rows whose information matrix is at least that of w, ``(n,)``.

    As long as more rows have weight, some combination :math:`\sum_i v_i x_i x_i^\top` of theirs vanishes, with
    :math:`\sum_i v_i \ge 0`. Taking away as much of v as the weights allow leaves the matrix as it is, drops a row, and does
    not raise the sum of the weights; dividing by the sum then enlarges the matrix.
    """
    d = X.shape[1]
    i, j = np.triu_indices(d)
    out: Array = w.copy()
    while True:
        support = np.flatnonzero(out > 0)
        if len(support) <= d * (d + 1) // 2:
            return out / out.sum()
        rows = X[support]
        v = kernel_vector((rows[:, i] * rows[:, j]).T)
        v = v if v.sum() >= 0 else -v
        up = np.flatnonzero(v > 0)
        ratio = out[support[up]] / v[up]
        k = int(np.argmin(ratio))
        out[support] = out[support] - ratio[k] * v
        out[support[up[k]]] = 0 * ratio[k]
        out[out < 0] = 0 * ratio[k]  # rounding of floats
