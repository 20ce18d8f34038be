r"""The projected Bellman equation of a task: the moments that linear temporal-difference methods estimate.

Let :math:`d` be the weights of the nodes and :math:`P` their chain under the target. The eligibility traces of a stationary
trajectory of the behavior, weighted by importance ratios and summed node by node, have the mean
:math:`F = (I - \gamma\lambda P^\top)^{-1} M \Phi`, with :math:`M = \mathrm{diag}(d)`, or with the emphasis in place of d. Then
:math:`A = F^\top (\Phi - \gamma P \Phi)`, :math:`b = F^\top r`, and the expected update of the parameters is along b - Aw.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mdpkit.errors import ModelError
from mdpkit.kernels import segments
from mdpkit.operators.task import Task
from mdpkit.typing import Array, Ints

__all__ = ["Moments", "emphasis", "independent", "moments", "projected_value"]


class Moments(NamedTuple):
    """Of the expected update b - Aw, and the covariance of features."""

    A: Array
    b: Array
    C: Array


def emphasis(task: Task, lambda_: Any) -> Array:
    r"""The emphasis of the nodes, :math:`m = \lambda d + (1-\lambda) f` with :math:`f = (I - \gamma P^\top)^{-1} d`, ``(n,)``.

    It is :math:`(I - P_\lambda^\top)^{-1} d` with :math:`I - P_\lambda = (I - \gamma\lambda P)^{-1} (I - \gamma P)`; the
    interest is one in every node.
    """
    lambda_, d = task.on.number(lambda_), task.weights
    follow: Array = segments.solve(_identity(task) - task.gamma * task.P.T, d)
    return lambda_ * d + (1 - lambda_) * follow


def moments(task: Task, lambda_: Any, *, emphatic: bool = False) -> Moments:
    """The moments of temporal differences with traces of rate ``lambda_``, kept by the task."""
    key = ("moments", lambda_, emphatic)
    found: Moments | None = task.kept.get(key)
    if found is None:
        found = task.kept[key] = _moments(task, task.phi, lambda_, emphatic)
    return found


def _moments(task: Task, phi: Array, lambda_: Any, emphatic: bool) -> Moments:
    weights = emphasis(task, lambda_) if emphatic else task.weights
    decay = task.gamma * task.on.number(lambda_)
    F = segments.solve(_identity(task) - decay * task.P.T, weights[:, None] * phi)
    return Moments(F.T @ (phi - task.gamma * (task.P @ phi)), F.T @ task.r, phi.T @ (task.weights[:, None] * phi))


def _identity(task: Task) -> Array:
    return np.eye(task.n, dtype=int if task.P.dtype == object else float)


def independent(phi: Array) -> Ints:
    """Indices of features that span all of them and are linearly independent, decided in floats."""
    values = segments.floats(phi)
    if np.linalg.matrix_rank(values) == values.shape[1]:
        everything: Ints = np.arange(values.shape[1], dtype=np.int64)
        return everything
    chosen: list[int] = []
    for j in range(values.shape[1]):
        if np.linalg.matrix_rank(values[:, [*chosen, j]]) > len(chosen):
            chosen.append(j)
    return np.array(chosen, dtype=np.int64)


def projected_value(task: Task, lambda_: Any, *, emphatic: bool = False) -> Array | None:
    r"""The value :math:`\Phi w` with Aw = b, the solution of the projected equation, ``(n,)``; None if it has not just one.

    Features that others span are left out: they change the parameters, and not the value.
    """
    phi = task.phi[:, independent(task.phi)]
    A, b, _ = _moments(task, phi, lambda_, emphatic)
    try:
        return phi @ segments.solve(A, b)
    except (ModelError, np.linalg.LinAlgError):
        return None
