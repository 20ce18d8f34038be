r"""Policies for several models at once: their mean value, and its ascent within a trust region around a reference.

Models are laws of next states ``(M, n, S, L)``, next state first, n = 1 or H; policies are probabilities of pairs ``(H, L)``;
the reference takes pairs ``(H, S)``. Floats or Fractions. The mean value

.. math:: J(\pi) = \frac1M \sum_m V^\pi_m(\rho)

is linear in the probabilities of each state at each stage while the others are held, and not in all of them together.
The distance from the reference q, :math:`\frac1H \sum_h \sum_s \nu_h(s) \mathrm{TV}(\pi_h(\cdot|s), q_h(\cdot|s))`, is
linear in all of them, as q is deterministic: the total variation is the probability of other pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from mdpkit.errors import UnsupportedError
from mdpkit.kernels import optimism
from mdpkit.typing import Array, Ints

__all__ = ["Region", "ascent", "enumeration", "evaluate", "mean_value", "reference", "slopes", "visits"]

MOST_POLICIES = 20_000
LEAST = 2.0**-40
"""The least improvement of the mean value for which a step is taken in floats; in Fractions any is."""


class Region(NamedTuple):
    """A reference ``(H, S)``, its weights ``(H, S)``, which sum to one, and the largest distance from it."""

    choice: Ints
    weights: Array
    eta: Any


def _law(models: Array, m: int, h: int) -> Array:
    return models[m, h if models.shape[1] > 1 else 0]


def evaluate(r: Array, models: Array, pi: Array, pair_ptr: Ints) -> tuple[Array, Array]:
    """Values ``(M, H + 1, S)`` and action values ``(M, H, L)`` of a policy in each model."""
    M, S, (H, L) = len(models), len(pair_ptr) - 1, pi.shape
    V, Q = np.zeros((M, H + 1, S), dtype=models.dtype), np.zeros((M, H, L), dtype=models.dtype)
    for m in range(M):
        for h in range(H - 1, -1, -1):
            Q[m, h] = r[h if len(r) > 1 else 0] + optimism.expected(_law(models, m, h), V[m, h + 1])
            V[m, h] = np.add.reduceat(pi[h] * Q[m, h], pair_ptr[:-1])
    return V, Q


def visits(models: Array, pi: Array, pair_ptr: Ints, rho: Array) -> Array:
    """Probabilities ``(M, H, S)`` of states at each stage, of a policy in each model."""
    M, S, H = len(models), len(pair_ptr) - 1, len(pi)
    d = np.zeros((M, H, S), dtype=models.dtype)
    for m in range(M):
        d[m, 0] = rho
        for h in range(H - 1):
            d[m, h + 1] = _law(models, m, h) @ (np.repeat(d[m, h], np.diff(pair_ptr)) * pi[h])
    return d


def mean_value(r: Array, models: Array, pi: Array, pair_ptr: Ints, rho: Array) -> Any:
    """The mean over models of the value at the initial law."""
    V, _ = evaluate(r, models, pi, pair_ptr)
    return sum(V[:, 0] @ rho) / len(models)


def slopes(r: Array, models: Array, pi: Array, pair_ptr: Ints, rho: Array) -> Array:
    r"""Derivatives of the mean value by the probabilities of pairs, :math:`\frac1M \sum_m d_m Q_m`, ``(H, L)``."""
    _, Q = evaluate(r, models, pi, pair_ptr)
    d = visits(models, pi, pair_ptr, rho)
    total = np.zeros(pi.shape, dtype=models.dtype)
    for m in range(len(models)):
        total = total + np.repeat(d[m], np.diff(pair_ptr), axis=1) * Q[m]
    return total / len(models)


def reference(r: Array, model: Array, pair_ptr: Ints, H: int, rho: Array) -> tuple[Array, Ints, Array]:
    """Optimal values ``(H + 1, S)`` and pairs ``(H, S)`` of one model ``(n, S, L)``, and shares of visits ``(H, S)``.

    The shares are the probabilities of states at each stage, divided by H.
    """
    V, choice = optimism.backward(r, model, pair_ptr, H)
    return V, choice, visits(model[None], taken(choice, model.shape[-1], model.dtype), pair_ptr, rho)[0] / H


def taken(choice: Ints, n_pairs: int, dtype: Any = np.float64) -> Array:
    """Probabilities ``(H, L)`` of the pairs ``(H, S)``."""
    out = np.zeros((len(choice), n_pairs), dtype=dtype)
    np.put_along_axis(out, choice, 1, axis=1)
    return out


def ascent(r: Array, models: Array, pair_ptr: Ints, rho: Array, region: Region) -> Array:
    """Ascend the mean value from the reference, one state and stage at a time, ``(H, L)``.

    With the others held, the best probabilities of a state move as much as is left of the region to the best pair, or return to
    the reference. Of all states and stages the one is taken that gains most for what it uses up of the region; one that uses up
    nothing goes first. It ends where none can gain: at a policy that no change at a single state and stage improves,
    of floats by more than :math:`2^{-40}`.
    """
    choice, weights, eta = region
    H, S = choice.shape
    least = 0 if models.dtype == object else LEAST
    moved, other = np.zeros((H, S), dtype=models.dtype), choice.copy()
    pi = taken(choice, models.shape[-1], models.dtype)
    left: Any = eta
    for _ in range(8 * H * S):
        step = _best_step(slopes(r, models, pi, pair_ptr, rho), choice, weights, left, moved, other, pair_ptr, least)
        if step is None:
            break
        h, s, k, mass = step
        left = left - weights[h, s] * (mass - moved[h, s])
        moved[h, s], other[h, s] = mass, k
        pi[h, pair_ptr[s] : pair_ptr[s + 1]] = 0
        pi[h, choice[h, s]] = 1 - mass
        pi[h, k] += mass
    return pi


def _best_step(
    G: Array, choice: Ints, weights: Array, left: Any, moved: Array, other: Ints, pair_ptr: Ints, least: Any
) -> Any:
    """``(stage, state, pair, probability)`` of the step that gains most for what it uses; None where none gains."""
    best: Any = None
    best_free, best_rate = False, 0
    for h in range(len(choice)):
        for s in range(choice.shape[1]):
            q = choice[h, s]
            k = q
            for j in range(pair_ptr[s], pair_ptr[s + 1]):
                if G[h, j] > G[h, k]:
                    k = j
            now = moved[h, s] * (G[h, other[h, s]] - G[h, q])
            mass: Any = 0
            if k != q:
                # What is left may be below zero by rounding.
                w = weights[h, s]
                mass = 1 if w == 0 or moved[h, s] * w + left >= w else max(moved[h, s] + left / w, 0)
            gain, used = mass * (G[h, k] - G[h, q]) - now, weights[h, s] * (mass - moved[h, s])
            if gain <= least:
                continue
            free = bool(used <= 0)
            rate = gain if free else gain / used
            if best is None or (free and not best_free) or (free == best_free and rate > best_rate):
                best, best_free, best_rate = (h, s, int(k), mass), free, rate
    return best


def enumeration(r: Array, models: Array, pair_ptr: Ints, rho: Array, region: Region) -> Array:
    """The deterministic policy of largest mean value within the region, ``(H, L)``; the reference, if none is better.

    Raises
    ------
    UnsupportedError
        If there are too many.
    """
    choice, L = region.choice, models.shape[-1]
    best = taken(choice, L, models.dtype)
    value = mean_value(r, models, best, pair_ptr, rho)
    for candidate in deterministic(pair_ptr, len(choice)):
        if np.sum(region.weights[candidate != choice]) > region.eta:
            continue
        pi = taken(candidate, L, models.dtype)
        found = mean_value(r, models, pi, pair_ptr, rho)
        if found > value:
            best, value = pi, found
    return best


def deterministic(pair_ptr: Ints, H: int) -> Iterator[Ints]:
    """All deterministic policies of H stages, as pairs ``(H, S)``."""
    counts = np.diff(pair_ptr)
    many = prod(int(n) for n in counts) ** H
    if many > MOST_POLICIES:
        raise UnsupportedError(
            "there are too many policies to look at each", found=f"{many:.3g}", needed=f"at most {MOST_POLICIES:,}",
            way_out="search='ascent'",
        )  # fmt: skip
    pairs = [range(i, j) for i, j in pairwise(pair_ptr.tolist())]
    for rows in product(*pairs * H):
        yield np.array(rows).reshape(H, -1)
