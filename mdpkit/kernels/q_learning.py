r"""Optimistic Q-learning of episodes: step sizes, bonuses and one episode's updates; the definition.

Action values ``Q (H, L)``, counts ``visits (H, L)``, values ``V (H + 1, S)`` and greedy pairs ``choice (H, S)``, by stage. The
compiled twins in :mod:`mdpkit.kernels.online.q_learning` give the same bits.
"""

from __future__ import annotations

import math
from typing import Any

from mdpkit.typing import Array, Ints

__all__ = ["learn", "step_bonus", "step_size"]


def step_size(n: Any, H: int) -> Any:
    r""":math:`\alpha_n = (H + 1)/(H + n)`, the step of the n-th visit; a float, or a Fraction of one."""
    return (H + 1) / (H + n)


def step_bonus(n: Any, H: int, iota: float, width: float) -> float:
    r""":math:`w \sqrt{H \iota / n}`: how far n values of range w, weighted as the steps weight them, may lie too low."""
    return width * math.sqrt(H * iota / n)


def learn(
    Q: Array, V: Array, visits: Array, choice: Ints, states: Ints, pairs: Ints, rewards: Array, pair_ptr: Ints,
    iota: float, scale: float, noise: float,
) -> None:  # fmt: skip
    r"""Move the action values along an episode, first stage first, in place.

    .. math:: Q_h(s,a) \leftarrow (1 - \alpha_n) Q_h(s,a) + \alpha_n (r + V_{h+1}(s') + b_n), \qquad
        V_h(s) = \min\{H - h, \max_a Q_h(s,a)\}

    where n counts this visit, and the bonus is that of values of range H - 1 - h (one more where rewards are noisy:
    ``noise = 1``).
    """
    H = len(Q)
    for h in range(H):
        s, k = int(states[h]), int(pairs[h])
        visits[h, k] += 1
        n = float(visits[h, k])
        alpha = step_size(n, H)
        bonus = scale * step_bonus(n, H, iota, H - 1 - h + noise)
        Q[h, k] = (1 - alpha) * Q[h, k] + alpha * (rewards[h] + V[h + 1, states[h + 1]] + bonus)
        i, j = int(pair_ptr[s]), int(pair_ptr[s + 1])
        best = i + int(Q[h, i:j].argmax())
        choice[h, s] = best
        V[h, s] = min(float(H - h), float(Q[h, best]))
