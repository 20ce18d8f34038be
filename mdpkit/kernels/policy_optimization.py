r"""Policy optimization from bandit feedback: estimates of losses-to-go, and bonuses that pay for their noise.

The definition, on numpy arrays of floats or Fractions. Losses are one less rewards. ``upper`` and ``lower (H, S)`` bound the
probability of being in a state at a stage (:mod:`mdpkit.kernels.occupancy_bounds`); where the law is known they are equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.kernels import optimism, potentials, segments, softmax
from mdpkit.typing import Array, Ints

__all__ = [
    "adapted",
    "delay_bonus",
    "estimate",
    "exact_losses",
    "leader",
    "leader_bonus",
    "multiplicative",
    "penalty",
    "to_go",
    "variance",
]


def to_go(losses: Array) -> Array:
    """Sums from each stage to the end, ``(H,)``."""
    out = losses.copy()
    for h in range(len(out) - 2, -1, -1):
        out[h] = out[h] + out[h + 1]
    return out


def adapted(played: Array, now: Array, plain: bool = False) -> Array:
    r"""The ratio :math:`r = p / \max\{p, q\}` of what was played, p, and what is played when its feedback comes, q.

    One with ``plain`` weights; of pairs that both leave out one as well.
    """
    larger = np.maximum(played, now)
    safe = np.where(larger > 0, larger, 1)
    return 0 * played + 1 if plain else np.where(larger > 0, played / safe, 0 * played + 1)


def estimate(
    states: Ints, pairs: Ints, losses: Array, upper: Array, played: Array, ratio: Array, *, explore: Any, floor: Any
) -> Array:
    r"""The estimate of the loss-to-go of each pair taken, ``(H,)``; that of other pairs is zero.

    .. math:: \hat Q_h(s_h, a_h) = \frac{r_h(s_h, a_h) \sum_{i \ge h} \ell_i}{(u_h(s_h) + f)\, p_h(a_h|s_h) + \gamma}

    ``played`` and ``ratio`` are ``(H, L)``; ``explore`` is :math:`\gamma` and ``floor`` is f.
    """
    total = to_go(losses)
    out = total.copy()
    for h, k in enumerate(pairs):
        out[h] = ratio[h, k] * total[h] / ((upper[h, states[h]] + floor) * played[h, k] + explore)
    return out


def delay_bonus(
    lower: Array, upper: Array, played: Array, now: Array, ratio: Array, pair_ptr: Ints, *, eta: Any, explore: Any
) -> Array:
    r"""What late feedback on an episode may cost in each state, ``(H, S)``, with R = H - h stages to go.

    .. math:: b_h(s) = R \sum_a p_a \frac{(u - l) p_a + \gamma}{u p_a + \gamma}
        + \eta R^2 \sum_a \frac{q_a r_a^2}{u p_a + \gamma}

    The first sum is what the estimate leaves out on the side of the policy played p, the second its second moment under q.
    """
    H = len(played)
    out = np.empty(upper.shape, dtype=upper.dtype)
    for h in range(H):
        rest = H - h
        u, wide = segments.spread(upper[h], pair_ptr), segments.spread(upper[h] - lower[h], pair_ptr)
        below = u * played[h] + explore
        safe = np.where(below > 0, below, 1)
        left = played[h] * (wide * played[h] + explore) / safe
        square = now[h] * ratio[h] * ratio[h] / safe
        each = rest * left + eta * rest * rest * square
        each[~(below > 0)] = 0
        out[h] = segments.total(each, pair_ptr)
    return out


def multiplicative(total: Array, eta: Any, pair_ptr: Ints) -> Array:
    r"""The policy :math:`\pi_h(a|s) \propto \exp(-\eta G_h(s,a))` of accumulated losses, ``(H, L)``."""
    return np.array([np.exp(softmax.log_softmax(-eta * row, pair_ptr)) for row in total])


def exact_losses(table: Array, law: Array, pi: Array, pair_ptr: Ints) -> Array:
    """Losses-to-go ``(H, L)`` of a policy under a known law, from the rewards ``table (1 or H, L)`` of all pairs."""
    out = np.empty_like(pi)
    after = 0 * pi[0, : len(pair_ptr) - 1]
    for h in range(len(pi) - 1, -1, -1):
        flow = optimism.expected(law[h if len(law) > 1 else 0], after)
        out[h] = (1 - table[h if len(table) > 1 else 0]) + flow
        after = segments.total(pi[h] * out[h], pair_ptr)
    return out


# -- follow the regularized leader -----------------------------------------------------------------------------------


def leader(total: Array, rate: Array, pair_ptr: Ints, entropy: str) -> Array:
    r"""The regularized leader of each state, ``(L,)``: :math:`\arg\min_p \langle p, G \rangle + \psi(p)/\eta`.

    :math:`\psi` is :math:`-2 \sum \sqrt{p_a}` (``"tsallis"``), :math:`\sum p_a \ln p_a` (``"shannon"``) or
    :math:`-\sum \ln p_a` (``"barrier"``); ``rate (S,)`` is :math:`\eta`.
    """
    y = segments.spread(rate, pair_ptr) * total
    if entropy == "shannon":
        return np.exp(softmax.log_softmax(-y, pair_ptr))
    return potentials.tsallis(y, pair_ptr, 0) if entropy == "barrier" else potentials.tsallis(2 * y, pair_ptr, 0.5)


def penalty(pi: Array, pair_ptr: Ints, entropy: str, log_rounds: float) -> Array:
    r"""What a change of :math:`1/\eta` costs against a comparator, per unit, ``(S,)``.

    :math:`2 (\sum \sqrt{p_a} - 1)`, :math:`-\sum p_a \ln p_a`, or :math:`A \ln T` of the barrier, whose comparator keeps
    off the boundary by 1/T.
    """
    if entropy == "tsallis":
        return 2 * (segments.total(np.sqrt(pi), pair_ptr) - 1)
    if entropy == "shannon":
        return -segments.total(pi * np.log(np.where(pi > 0, pi, 1.0)), pair_ptr)
    return np.diff(pair_ptr) * log_rounds


def variance(pi: Array, pair_ptr: Ints, entropy: str, small: Array) -> Array:
    r"""The second moment of an importance weighted loss in the norm of the potential, at most, ``(S,)``.

    :math:`\sum_a w_a` with :math:`w_a = c_a \sqrt{p_a}`, :math:`c_a`, or :math:`c_a p_a`. Where the rate is ``small (S,)``,
    losses may be shifted by what was paid, and :math:`c_a = 4(1 - p_a)` (Tsallis) or :math:`2(1 - p_a)`; elsewhere it is one.
    """
    factor = 4.0 if entropy == "tsallis" else 2.0
    shifted = np.where(segments.spread(small, pair_ptr), factor * (1 - pi), 1.0)
    if entropy == "tsallis":
        return segments.total(shifted * np.sqrt(pi), pair_ptr)
    return segments.total(shifted if entropy == "shannon" else shifted * pi, pair_ptr)


def leader_bonus(
    lower: Array, upper: Array, pi: Array, rate: Array, change: Array, pair_ptr: Ints, rest: int, *,
    floor: Any, entropy: str, log_rounds: float,
) -> Array:  # fmt: skip
    r"""The bonus of a stage with R stages to go, ``(S,)``: penalty, noise, and what the estimate leaves out.

    .. math:: b(s) = \Bigl(\frac1{\eta_t} - \frac1{\eta_{t-1}}\Bigr) \mathrm{penalty}(\pi)
        + \frac{\eta_t R^2}{u + f} \mathrm{variance}(\pi) + R \frac{u - l + f}{u + f}
    """
    seen = upper + floor > 0
    wide = np.where(seen, upper + floor, 1.0)
    small = 4 * rest * rate <= wide
    value = (
        change * penalty(pi, pair_ptr, entropy, log_rounds)
        + rate * (rest * rest) / wide * variance(pi, pair_ptr, entropy, small)
        + rest * (upper - lower + floor) / wide
    )
    return np.where(seen, value, 0.0)
