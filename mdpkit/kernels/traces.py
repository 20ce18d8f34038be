r"""Sums of temporal differences along episodes, with weights that decay backward, and eligibility traces."""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.typing import Array

__all__ = ["accumulated", "generalized_advantages"]


def generalized_advantages(delta: Array, decay: Any) -> Array:
    r"""Generalized advantage estimates :math:`A_t = \delta_t + \lambda \gamma_t A_{t+1}` along the last axis, ``(..., T)``.

    ``delta (..., T)`` are temporal differences, ``decay`` is :math:`\lambda\gamma`, one number or one for each step ``(T,)``;
    :math:`A_T = 0`.
    """
    out, T = delta.copy(), delta.shape[-1]
    decay = [decay] * T if np.ndim(decay) == 0 else decay
    for t in range(T - 2, -1, -1):
        out[..., t] = delta[..., t] + decay[t] * out[..., t + 1]
    return out


def accumulated(trace: Any, decay: Any, added: Any) -> Any:
    """An accumulating trace after one step, ``decay * trace + added``: a number or an array."""
    return decay * trace + added
