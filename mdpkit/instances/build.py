"""Assembly of exact models from lists of transitions, without loops over states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.errors import SizeError
from mdpkit.kernels.rational import to_fraction
from mdpkit.models.criterion import Criterion
from mdpkit.models.mdp import MDP
from mdpkit.models.rewards import Reward, from_exact_transitions, from_exact_values
from mdpkit.models.transitions import Transitions, check_memory
from mdpkit.typing import Array, Ints, Objects

__all__ = ["assemble", "check_size", "fill", "share", "tabulate"]


def check_size(what: str, *, states: int, pairs: int, transitions: int, exact: bool = True) -> None:
    """Raise :class:`~mdpkit.errors.SizeError` if a model of this size would not fit, before anything is allocated."""
    per_transition, per_pair, per_state = (112, 240, 240) if exact else (56, 56, 32)
    check_memory(
        float(per_transition * transitions + per_pair * pairs + per_state * states),
        f"{what} with {states:,} states, {pairs:,} pairs and {transitions:,} transitions",
    )
    if states > 2**32:
        raise SizeError(f"{what} has more states than 32-bit indices hold", found=states, needed="at most 2**32 states")


def fill(n: int, value: Any) -> Objects:
    """An object array ``(n,)`` of one shared Fraction."""
    array = np.empty(n, dtype=object)
    array[:] = to_fraction(value)
    return array


def share(numerators: Ints, denominator: int) -> Objects:
    """Fractions ``numerators / denominator``, equal ones shared."""
    distinct, inverse = np.unique(numerators, return_inverse=True)
    table = np.empty(len(distinct), dtype=object)
    table[:] = [Fraction(n, denominator) for n in distinct.tolist()]
    return table[inverse.reshape(np.shape(numerators))]


def assemble(
    n_states: int,
    state: Ints,
    action: Ints,
    row: Ints,
    target: Ints,
    probability: Array,
    criterion: Criterion,
    *,
    entry_reward: Objects | None = None,
    pair_reward: Array | None = None,
    **options: Any,
) -> MDP:
    """A model from entries in any order; entries of one row with one target are added up, zeros are dropped.

    Parameters
    ----------
    n_states : int
    state, action : (L,) int
        The pairs, sorted by state, then action.
    row, target, probability : (N,) arrays
        Pair, next state and probability of every entry: Fractions, or floats for a model in floats.
    entry_reward : (N,) object, optional
        Reward r(s, a, s') of every entry, Fractions all; entries that are added up give their conditional mean.
    pair_reward : (L,) array, optional
        Reward r(s, a), in its place: Fractions, or floats.
    **options
        Further arguments of :class:`~mdpkit.models.MDP`.
    """
    kept = np.flatnonzero(probability.astype(bool))
    order = kept[np.argsort(row[kept] * n_states + target[kept], kind="stable")]
    row, target, probability = row[order], target[order], probability[order]
    first = np.concatenate(([True], (row[1:] != row[:-1]) | (target[1:] != target[:-1])))
    start = np.flatnonzero(first)
    reward = None if entry_reward is None else entry_reward[order]
    if len(start) < len(row):
        total = np.add.reduceat(probability, start)
        if reward is not None:
            several = np.flatnonzero(np.diff(np.append(start, len(row))) > 1)
            mean = reward[start]
            weighted = np.add.reduceat(probability * reward, start)
            mean[several] = weighted[several] / total[several]
            reward = mean
        row, target, probability = row[start], target[start], total
    indptr = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=len(state)))))
    exact = probability if probability.dtype == object else None
    P = Transitions(indptr, target, probability.astype(np.float64), n_states, exact)
    r: Reward | Array | None = None
    if reward is not None:
        r = from_exact_transitions(P, reward)
    elif pair_reward is not None:
        r = from_exact_values(pair_reward) if pair_reward.dtype == object else pair_reward
    return MDP(P, r, criterion, state=state, action=action, **options)


def tabulate(
    n_states: int,
    rows: Iterable[tuple[int, int, int, Any, Any]],
    criterion: Criterion,
    *,
    action_names: Sequence[str] | Mapping[int, str] | None = None,
    **options: Any,
) -> MDP:
    """A model from rows ``(state, action, next state, probability, reward)`` of exact numbers, in any order."""
    s, a, t, p, r = zip(*rows, strict=True)
    source, act = np.array(s, dtype=np.int64), np.array(a, dtype=np.int64)
    pairs, row = np.unique(np.stack((source, act), axis=1), axis=0, return_inverse=True)
    state, action = pairs[:, 0].copy(), pairs[:, 1].copy()
    if action_names is not None:
        options["pair_names"] = [action_names[k] for k in action.tolist()]
    return assemble(
        n_states,
        state,
        action,
        row.reshape(-1).astype(np.int64),
        np.array(t, dtype=np.int64),
        _objects(p),
        criterion,
        entry_reward=_objects(r),
        **options,
    )


def _objects(values: Iterable[Any]) -> Objects:
    out = [to_fraction(value) for value in values]
    array: Array = np.empty(len(out), dtype=object)
    array[:] = out
    return array
