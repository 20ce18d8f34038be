r"""Surrogate objectives of policy improvement: one linear gain, and penalties to plug in.

With the ratios :math:`\rho = \pi / \pi_k` and the advantages A of :math:`\pi_k`, all of them are

.. math::

   \sum_s w(s) \sum_a \pi_k(a|s) \bigl(\rho A - c(\rho, A)\bigr)(s,a),

and differ in the cost c. With no cost and the discounted visits for w this is :math:`L_{\pi_k}(\pi) - J(\pi_k)`, the gain of
conservative policy iteration. A penalty is a function of the ratios and the advantages of pairs that returns the cost and its
derivative in the logarithm of the ratio; set its parameters with :func:`functools.partial`. :func:`ascend` climbs any of them
with a softmax policy; where the maximizer is known it has a function of its own. Floats or balls; what needs no logarithm also
Fractions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import PrecisionError
from mdpkit.kernels import roots, segments, softmax
from mdpkit.typing import Array, Ints

__all__ = [
    "Penalty",
    "ascend",
    "clip",
    "gradient",
    "kl",
    "maximize_kl",
    "maximize_kl_max",
    "maximize_quadratic",
    "maximize_tv_max",
    "quadratic",
    "total_variation",
    "tv",
    "value",
]

LEAST = -500.0
"""Logarithm of the least probability of a maximizer in floats, where policies become deterministic."""
SMALLEST = 1e-120
"""Least relative distance of a multiplier from the largest advantage in floats."""

Penalty = Callable[[Array, Array], tuple[Array, Array]]

# -- penalties -------------------------------------------------------------------------------------------------------


def clip(ratio: Array, A: Array, epsilon: Any) -> tuple[Array, Array]:
    r"""What the pessimistic clip takes away: :math:`\rho A - \min(\rho A, \mathrm{clip}(\rho, 1 - \epsilon, 1 + \epsilon) A)`.

    That is :math:`\max(0, (\rho - 1) A - \epsilon |A|)`. At a kink the derivative is zero.
    """
    excess = (ratio - 1) * A - epsilon * np.abs(A)
    if excess.dtype != object:
        beyond = excess > 0
        return np.where(beyond, excess, 0.0), np.where(beyond, ratio * A, 0.0)
    return segments.each(excess, lambda x: _positive(x)[0]), segments.each(
        excess, lambda x: _positive(x)[1]
    ) * ratio * A


def quadratic(ratio: Array, A: Array, epsilon: Any) -> tuple[Array, Array]:
    r""":math:`\frac{|A|}{2 \epsilon} (\rho - 1)^2`."""
    move = (ratio - 1) * np.abs(A) / epsilon
    return move * (ratio - 1) / 2, ratio * move


def kl(ratio: Array, A: Array, beta: Any) -> tuple[Array, Array]:
    r""":math:`-\beta \log \rho`, which averages to :math:`\beta\, \mathrm{KL}(\pi_k \| \pi)`."""
    with np.errstate(divide="ignore"):  # a probability that has vanished costs infinitely much
        return -beta * np.log(ratio), 0 * A - beta


def tv(ratio: Array, A: Array, beta: Any) -> tuple[Array, Array]:
    r""":math:`\frac{\beta}{2} |\rho - 1|`, which averages to :math:`\beta` times the total variation.

    At a kink the derivative is zero.
    """
    move = ratio - 1
    sign = (
        np.sign(move)
        if move.dtype != object
        else segments.each(move, lambda x: 0 if x == 0 else 2 * _positive(x)[1] - 1)
    )
    return beta * np.abs(move) / 2, beta * ratio * sign / 2


def _positive(x: Any) -> tuple[Any, Any]:
    """The positive part and whether there is one; where a ball cannot tell, a ball of both."""
    if x > 0:
        return x, 1
    if x <= 0:
        return x * 0, 0
    zero = segments.ball(0)
    return x.max(zero), zero.union(segments.ball(1))


# -- values and gradients --------------------------------------------------------------------------------------------


def value(ratio: Array, old: Array, A: Array, weights: Array, pair_ptr: Ints, penalty: Penalty | None = None) -> Any:
    """The objective at the policy of these ratios to ``old``."""
    gain = ratio * A if penalty is None else ratio * A - penalty(ratio, A)[0]
    return weights @ segments.mean(old, gain, pair_ptr)


def gradient(
    log_pi: Array, log_old: Array, A: Array, weights: Array, pair_ptr: Ints, penalty: Penalty | None = None
) -> Array:
    r"""The gradient in the logits of a softmax policy, :math:`w (\pi_k g - \pi \langle \pi_k, g \rangle)`, ``(L,)``.

    g is the derivative of :math:`\rho A - c` in the logarithm of the ratio.
    """
    ratio = np.exp(log_pi - log_old)
    slope = ratio * A if penalty is None else ratio * A - penalty(ratio, A)[1]
    rise = np.exp(log_old) * slope
    mean = segments.spread(segments.total(rise, pair_ptr), pair_ptr)
    return segments.spread(weights, pair_ptr) * (rise - np.exp(log_pi) * mean)


def ascend(
    log_old: Array, A: Array, weights: Array, pair_ptr: Ints, penalty: Penalty | None, eta: Any, steps: int
) -> Array:
    """Logarithms of the policy after steps of gradient ascent in the logits, from the old policy, ``(L,)``."""
    log_pi = log_old
    for _ in range(steps):
        log_pi = log_pi + eta * gradient(log_pi, log_old, A, weights, pair_ptr, penalty)
        log_pi = softmax.log_softmax(log_pi, pair_ptr)
    return log_pi


def total_variation(pi: Array, old: Array, pair_ptr: Ints) -> Array:
    """Half the l1 distance in each state, ``(S,)``."""
    return segments.total(np.abs(pi - old), pair_ptr) / 2


# -- maximizers ------------------------------------------------------------------------------------------------------


def maximize_quadratic(old: Array, A: Array, epsilon: Any, pair_ptr: Ints) -> Array:
    r"""The policy that maximizes :math:`\sum_a \pi_k (\rho A - \frac{|A|}{2 \epsilon} (\rho - 1)^2)` in every state, ``(L,)``.

    :math:`\rho = 1 + \epsilon (\mathrm{sign} A - \nu / |A|)`, not below zero, and the multiplier :math:`\nu` makes the
    probabilities sum to one. Actions whose advantage is zero cost nothing: they take what the others leave, in
    proportion to the old policy.
    """
    out = old * 0
    for s in range(len(pair_ptr) - 1):
        pairs = [j for j in range(pair_ptr[s], pair_ptr[s + 1]) if not old[j] <= 0]
        if len(pairs) == 1:
            out[pairs[0]] = old[pairs[0]]
            continue
        free = [j for j in pairs if A[j] == 0]
        active = [j for j in pairs if j not in free]
        up = {j: 1 + epsilon if segments.at_least(A[j], 0, strict=True) else 1 - epsilon for j in active}
        left = 1 - sum(old[j] * up[j] for j in active)
        if free and left >= 0:
            share = sum(old[j] for j in free)
            for j in pairs:
                out[j] = old[j] * (left / share if j in free else up[j])
            continue
        while True:  # the ratios only fall as others are set to zero, so that those stay there
            excess = sum(old[j] * up[j] for j in active) - 1
            nu = excess / sum(epsilon * old[j] / abs(A[j]) for j in active)
            ratio = {j: up[j] - epsilon * nu / abs(A[j]) for j in active}
            kept = [j for j in active if segments.at_least(ratio[j], 0)]
            if len(kept) == len(active):
                break
            active = kept
        for j in active:
            out[j] = old[j] * ratio[j]
    return out


def maximize_kl(log_old: Array, A: Array, beta: Array, pair_ptr: Ints) -> Array:
    r"""Logarithms of the policy that maximizes :math:`\langle \pi, A \rangle - \beta \mathrm{KL}(\pi_k \| \pi)`, ``(L,)``.

    :math:`\pi = \beta \pi_k / (\nu - A)`, where :math:`\nu > \max A` makes the probabilities sum to one; ``beta (S,)``.
    """
    behind = segments.spread(segments.largest(A, pair_ptr), pair_ptr) - A
    old = np.exp(log_old)

    def surplus(y: Array) -> Array:
        return beta * segments.total(old / (segments.spread(y, pair_ptr) + behind), pair_ptr) - 1

    y = roots.decreasing(surplus, beta)
    return softmax.log_softmax(log_old - np.log(segments.spread(y, pair_ptr) + behind), pair_ptr)


def maximize_kl_max(log_old: Array, A: Array, weights: Array, C: Any, pair_ptr: Ints) -> Array:
    r"""Logarithms of the maximizer of :math:`\sum_s w \langle \pi, A \rangle - C \max_s \mathrm{KL}(\pi_k \| \pi)`, ``(L,)``.

    In every state :math:`\pi \propto \pi_k / (\nu - A)`; all states are at the same divergence t, and the multipliers
    :math:`\mu = 1 / \sum_a \frac{\pi_k}{\nu - A}` of that constraint satisfy :math:`\sum_s w \mu = C`. States whose actions
    are all as good as each other, and those that are not visited, stay. In floats no logarithm falls below -500.
    """
    behind = segments.spread(segments.largest(A, pair_ptr), pair_ptr) - A
    visited = np.array([bool(x > 0) for x in weights], dtype=bool)
    moving = segments.spread(visited & _moving(behind, pair_ptr), pair_ptr)
    if not moving.any():
        return log_old
    count = segments.total(moving.astype(np.int64), pair_ptr)
    part = np.concatenate([[0], np.cumsum(count[count > 0])])
    d = weights[count > 0]
    y = _spread_of(behind[moving], log_old[moving], d, C, part)
    out = log_old.copy()
    out[moving] = softmax.log_softmax(log_old[moving] - np.log(segments.spread(y, part) + behind[moving]), part)
    return out if out.dtype == object else np.maximum(out, LEAST)


def _moving(behind: Array, pair_ptr: Ints) -> Array:
    """The states with a choice between unequal actions."""
    several = np.diff(pair_ptr) > 1
    most = segments.largest(behind, pair_ptr)
    if any(c and not (v > 0 or v <= 0) for c, v in zip(several, most, strict=True)):
        raise PrecisionError("balls cannot tell whether the actions of a state differ", needed="more bits")
    return several & np.array([bool(v > 0) for v in most], dtype=bool)


def _tilt(y: Array, behind: Array, old: Array, part: Ints) -> tuple[Array, Array, Array, Array]:
    r"""Divergence and multiplier of the tilt by :math:`y = \nu - \max A`, and their derivatives, ``(S,)`` each."""
    gap = segments.spread(y, part) + behind
    mean = segments.total(old * gap, part)
    share = gap / segments.spread(mean, part)
    u = share - 1
    # Small steps have small u, whose average is zero: two terms of second order are left.
    logs = np.log(share) if u.dtype == object else np.where(u > -0.5, np.log1p(np.maximum(u, -0.5)), np.log(share))
    D = np.log1p(segments.total(old * u**2 / share, part)) + segments.total(old * (logs - u), part)
    Z = segments.total(old / gap, part)
    dZ = -segments.total(old / gap**2, part)
    return D, 1 / Z, dZ / Z + Z, -dZ / Z**2


def _spread_of(behind: Array, log_old: Array, d: Array, C: Any, part: Ints) -> Array:
    y = _in_floats(segments.floats(behind), np.exp(segments.floats(log_old)), segments.floats(d), float(C), part)
    if behind.dtype != object:
        return y
    ctx: Any = import_module("flint").ctx
    y, old = segments.each(y, segments.ball), np.exp(log_old)
    t = _tilt(y, behind, old, part)[0][0]
    for _ in range(int(np.log2(ctx.prec / 20)) + 2):  # among midpoints
        dy, dt = _newton(y, t, behind, old, d, C, part)
        y, t = segments.middles(y + dy), (t + dt).mid()
    # A smaller y has a larger divergence and a smaller multiplier, so that the points y (1 - h) and y (1 + h) bound t.
    h = segments.ball(2) ** (16 - int(ctx.prec))
    for _ in range(60):
        near, far = segments.middles(y * (1 - h)), segments.middles(y * (1 + h))
        high, mu_high = _tilt(near, behind, old, part)[:2]
        low, mu_low = _tilt(far, behind, old, part)[:2]
        if d @ mu_high < C < d @ mu_low:
            most, least = _extreme(high, "max"), _extreme(low, "min")
            wide = _within(y, h, most, least, behind, old, part)
            if wide is not None:
                return wide
        h = 4 * h
    raise PrecisionError("the maximizer could not be enclosed", needed="more bits")


def _extreme(x: Array, which: str) -> Any:
    out = x[0]
    for v in x[1:]:
        out = getattr(out, which)(v)
    return out


def _within(y: Array, h: Any, most: Any, least: Any, behind: Array, old: Array, part: Ints) -> Array | None:
    """Balls around y that hold all spreads whose divergence is between ``least`` and ``most``."""
    for _ in range(20):
        near, far = segments.middles(y * (1 - h)), segments.middles(y * (1 + h))
        below, above = _tilt(near, behind, old, part)[0], _tilt(far, behind, old, part)[0]
        if all(v > most for v in below) and all(v < least for v in above):
            return segments.each(y, partial(_widened, h=2 * h))
        h = 4 * h
    return None


def _widened(x: Any, h: Any) -> Any:
    """A ball around x of relative radius h."""
    arb: Any = import_module("flint").arb
    return arb(x.mid(), (h * x).upper())


def _newton(y: Array, t: Any, behind: Array, old: Array, d: Array, C: Any, part: Ints) -> tuple[Array, Any]:
    """Newton's step for the spreads and the divergence that they have in common."""
    D, mu, dD, dmu = _tilt(y, behind, old, part)
    share = d * dmu / dD
    dt = (C - d @ mu - share @ (t - D)) / np.sum(share)
    return (t + dt - D) / dD, dt


def _in_floats(behind: Array, old: Array, d: Array, C: float, part: Ints) -> Array:
    """The spreads in floats: Newton's method in their logarithms, from the solution for small steps; else bisections."""
    mean = segments.total(old * behind, part)
    scale = np.sqrt(np.maximum(segments.total(old * behind**2, part) - mean**2, 0)) + 1e-300
    floor = SMALLEST * segments.largest(behind, part)
    t = min(0.5 * float(d @ scale / C) ** 2, 1.0 + len(d))
    y, before = np.maximum(scale / np.sqrt(2 * t), floor), np.inf
    with np.errstate(all="ignore"):
        for _ in range(100):
            D, mu, dD, dmu = _tilt(y, behind, old, part)
            free = (y > floor) | (t <= D)  # where the policy is as good as deterministic, no divergence is large enough
            share = np.where(free, d * dmu / dD, 0)
            dt = (C - d @ mu - share @ (t - D)) / share.sum()
            moved = np.exp(np.where(free, np.clip((t + dt - D) / (y * dD), -20, 20), 0))
            step = float(np.max(np.abs(moved - 1)))
            if not (np.isfinite(step) and np.isfinite(dt)):
                break
            y, t = np.maximum(y * moved, floor), max(t + float(dt), t / 10)
            if step == 0 or (step < 1e-6 and step >= before):  # as near as the rounding lets it
                return y
            before = step

        def spreads(t: float) -> Array:
            low: Array = np.log(floor)
            high: Array = np.log(scale / np.sqrt(2 * t) + 1e6 * segments.largest(behind, part))
            for _ in range(64):
                middle = (low + high) / 2
                far = _tilt(np.exp(middle), behind, old, part)[0] > t
                low, high = np.where(far, middle, low), np.where(far, high, middle)
            return np.exp(low)

        bottom, top = -700.0, 50 + math.log(2 + len(d))
        for _ in range(64):
            middle = (bottom + top) / 2
            if float(d @ _tilt(spreads(math.exp(middle)), behind, old, part)[1]) > C:
                bottom = middle
            else:
                top = middle
        return spreads(math.exp(bottom))


def maximize_tv_max(old: Array, A: Array, weights: Array, C: Any, pair_ptr: Ints) -> Array:
    r"""The maximizer of :math:`\sum_s w \langle \pi, A \rangle - C \max_s \mathrm{TV}(\pi_k, \pi)^2`, ``(L,)``.

    At a distance :math:`\alpha` every state moves that much probability from its worst actions to its best one, so that the
    gain is concave and piecewise linear in :math:`\alpha`. No logarithm or root enters: Fractions stay Fractions.
    """
    moves: list[list[tuple[int, Any, Any]]] = []
    best: list[int] = []
    for s in range(len(pair_ptr) - 1):
        pairs = range(pair_ptr[s], pair_ptr[s + 1])
        top = max(pairs, key=lambda j: segments.middle(A[j]))
        best.append(top)
        # Worst first: how much can be moved, and what a unit of it gains.
        order = sorted((j for j in pairs if j != top), key=lambda j: segments.middle(A[j]))
        moves.append([(j, old[j], weights[s] * (A[top] - A[j])) for j in order])
    ends: list[tuple[Any, Any]] = []  # where the slope of the gain falls, and by how much
    for move in moves:
        reached = 0
        for i, (_, mass, gain) in enumerate(move):
            reached = reached + mass
            ends.append((reached, gain - (move[i + 1][2] if i + 1 < len(move) else 0)))
    ends.sort(key=lambda end: segments.middle(end[0]))
    slope = sum(move[0][2] for move in moves if move)
    alpha = A[0] * 0
    for reached, fall in ends:
        if slope <= 2 * C * reached:
            break
        alpha, slope = reached, slope - fall
    alpha = max(alpha, slope / (2 * C), key=segments.middle)
    out = old.copy()
    for top, move in zip(best, moves, strict=True):
        left = alpha
        for j, mass, gain in move:
            if segments.middle(gain) <= 0:
                break
            taken = mass if left >= mass else left
            out[j], out[top], left = out[j] - taken, out[top] + taken, left - taken
    return out
