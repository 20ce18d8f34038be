r"""Sums of temporal differences along an episode, with weights that decay backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.typing import Array

__all__ = ["generalized_advantages"]


def generalized_advantages(delta: Array, discount: Array, lambda_: Any) -> Array:
    r"""Generalized advantage estimates :math:`A_t = \delta_t + \lambda \gamma_t A_{t+1}` of an episode, ``(T,)``.

    ``delta (T,)`` are temporal differences, ``discount (T,)`` the discount of each step; :math:`A_T = 0`.
    """
    out = np.empty_like(delta)
    following: Any = 0
    for t in range(len(delta) - 1, -1, -1):
        following = out[t] = delta[t] + lambda_ * discount[t] * following
    return out
