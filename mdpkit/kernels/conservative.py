r"""Policies between a baseline and an optimistic one, of which lower confidence bounds stay above a threshold.

Candidate h follows the baseline on the first h stages and the optimistic pairs on the others: candidate 0 is the optimistic
policy, candidate H the baseline. Neighbors differ in one stage, so that mixing them in that stage mixes their values.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mdpkit.kernels import optimism
from mdpkit.typing import Array, Floats, Ints

__all__ = ["Mixture", "all_or_nothing", "indicator", "mixed", "one_step", "weight"]


class Mixture(NamedTuple):
    """What is mixed.

    ``bounds (H + 1,)`` are lower bounds of the candidates, nan where none was needed. Stages before ``first`` follow the
    baseline, and stage ``first`` does so with probability ``share``; ``lower`` is the lower bound of the mixture.
    """

    bounds: Floats
    first: int
    share: float
    lower: float


def indicator(choice: Ints, n_pairs: int) -> Floats:
    """Probabilities ``(H, L)`` of the pairs ``(H, S)``."""
    out = np.zeros((len(choice), n_pairs))
    np.put_along_axis(out, choice, 1.0, axis=1)
    return out


def weight(threshold: Any, below: Any, above: Any) -> Any:
    r"""The share :math:`\rho` of ``above`` with which :math:`\rho\,` above :math:`+ (1 - \rho)` below is the threshold."""
    return (threshold - below) / (above - below)


def mixed(baseline: Array, greedy: Array, first: int, share: Any) -> Array:
    """The baseline before stage ``first``, the greedy policy after it, and in it the baseline with a probability."""
    out = greedy.copy()
    out[:first] = baseline[:first]
    if first < len(out):
        out[first] = share * baseline[first] + (1 - share) * greedy[first]
    return out


def one_step(
    r: Array, model: Array, visits: Array, pair_ptr: Ints, rho: Array, choice: Ints, baseline: Array, threshold: float, *,
    iota: float, scale: float = 1.0,
) -> Mixture:  # fmt: skip
    """The first candidate whose lower bound meets the threshold, mixed with its neighbor that fails; else the baseline."""
    H, L = baseline.shape
    stage = _stages(r, model, visits, pair_ptr, H, iota, scale)
    tails = _tails(stage, indicator(choice, L), len(pair_ptr) - 1)
    bounds = np.full(H + 1, np.nan)
    bounds[0] = rho @ tails[0]
    if bounds[0] >= threshold:
        return Mixture(bounds, 0, 0.0, float(bounds[0]))
    for h in range(1, H + 1):
        bounds[h] = rho @ _tails(stage, baseline[:h], len(pair_ptr) - 1, tails[h])[0]
        if bounds[h] >= threshold:
            return Mixture(bounds, h - 1, float(weight(threshold, bounds[h - 1], bounds[h])), float(threshold))
    return Mixture(bounds, H, 0.0, float(bounds[H]))


def all_or_nothing(
    r: Array, model: Array, visits: Array, pair_ptr: Ints, rho: Array, choice: Ints, baseline: Array, threshold: float, *,
    iota: float, scale: float = 1.0,
) -> Mixture:  # fmt: skip
    """Candidates 0 and H alone: ``share`` is the probability of the baseline for the whole episode, ``first`` is 0."""
    H, L = baseline.shape
    stage = _stages(r, model, visits, pair_ptr, H, iota, scale)
    bounds = np.full(H + 1, np.nan)
    bounds[0] = rho @ _tails(stage, indicator(choice, L), len(pair_ptr) - 1)[0]
    if bounds[0] >= threshold:
        return Mixture(bounds, 0, 0.0, float(bounds[0]))
    bounds[H] = rho @ _tails(stage, baseline, len(pair_ptr) - 1)[0]
    if bounds[H] >= threshold:
        return Mixture(bounds, 0, float(weight(threshold, bounds[0], bounds[H])), float(threshold))
    return Mixture(bounds, 0, 1.0, float(bounds[H]))


def _stages(r: Array, model: Array, visits: Array, pair_ptr: Ints, H: int, iota: float, scale: float) -> Any:
    def stage(h: int, pi: Array, after: Array) -> Array:
        i = h if len(visits) > 1 else 0
        return optimism.pessimistic(
            r[h if len(r) > 1 else 0], model[i], visits[i], pair_ptr, pi, after,
            iota=iota, rest=float(H - 1 - h), scale=scale,
        )  # fmt: skip

    return stage


def _tails(stage: Any, policy: Array, n_states: int, after: Array | None = None) -> Floats:
    """Lower bounds ``(n + 1, S)`` of the first n stages' policy, before ``after``."""
    n = len(policy)
    V = np.zeros((n + 1, n_states))
    if after is not None:
        V[n] = after
    for h in range(n - 1, -1, -1):
        V[h] = stage(h, policy[h], V[h + 1])
    return V
