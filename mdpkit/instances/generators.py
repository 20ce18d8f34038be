"""Random models: Garnet, sparse and dense."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from mdpkit.instances.build import check_size, share
from mdpkit.instances.registry import in_range, instance
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.models.rewards import Reward, from_exact_values
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Floats, Ints

F = Fraction
FINE = 2**40
"""Denominator of float probabilities: every one is exact in binary, and rows sum to exactly one."""


def subsets(rng: np.random.Generator, n: int, k: int, count: int) -> Ints:
    """``count`` uniformly random subsets of k of the numbers 0 … n - 1, each sorted: ``(count, k)``."""
    out = np.empty((count, k), dtype=np.int64)
    if k <= 64:  # Floyd's algorithm, all subsets at once
        for column, top in enumerate(range(n - k, n)):
            draw = rng.integers(0, top + 1, size=count)
            taken = np.any(out[:, :column] == draw[:, None], axis=1)
            out[:, column] = np.where(taken, top, draw)
    else:
        chunk = max(1, 2**22 // n)
        for i in range(0, count, chunk):
            keys = rng.random((min(chunk, count - i), n))
            out[i : i + chunk] = np.argsort(keys, axis=1)[:, :k]
    out.sort(axis=1)
    return out


def spacings(rng: np.random.Generator, parts: int, denominator: int, count: int) -> Ints:
    """Numerators of ``count`` laws on ``parts`` outcomes: the unit interval cut at random points of a grid.

    Each is at least 1, and they sum to ``denominator``: ``(count, parts)``.
    """
    cuts = np.sort(rng.integers(0, denominator - parts + 1, size=(count, parts - 1)), axis=1)
    return np.diff(cuts, axis=1, prepend=0, append=denominator - parts) + 1


def _uniform_rewards(rng: np.random.Generator, L: int, exact: bool) -> Reward | Floats:
    thousandths = rng.integers(0, 1001, size=L)
    return from_exact_values(share(thousandths, 1000)) if exact else thousandths / 1000.0


def _model(
    S: int,
    A: int,
    indptr: Ints,
    indices: Ints,
    P: Transitions | None,
    r: Reward | Floats,
    gamma: Fraction,
    data: Floats,
) -> MDP:
    rows = Transitions(indptr, indices, data, S) if P is None else P
    state, action = np.repeat(np.arange(S), A), np.tile(np.arange(A), S)
    return MDP(rows, r, Discounted(gamma if isinstance(r, Reward) else float(gamma)), state=state, action=action, rho=0)


def _check_sizes(S: int, A: int, seed: int) -> None:
    in_range("S", S, 1)
    in_range("A", A, 1)
    in_range("seed", seed, 0)


@instance(
    "garnet",
    source="Archibald, McKinnon and Thomas (1995), Journal of the Operational Research Society 46(3)",
    example={"S": 8, "A": 3, "branching": 3},
)
def garnet(
    *, S: int, A: int, branching: int, seed: int = 0, gamma: Fraction = Fraction(19, 20), exact: bool = True
) -> MDP:
    """A Garnet: every pair has ``branching`` next states, drawn without repetition, with random probabilities.

    The probabilities are the spacings of uniform cuts of [0, 1], here on a grid: multiples of 1/10000 (of a finer grid
    where ``branching`` exceeds 100), none zero. Rewards are uniform on 0, 1/1000, …, 1. With ``exact=False`` the
    numbers are floats, the grid is 2**-40, and large models are built much faster.
    """
    _check_sizes(S, A, seed)
    in_range("branching", branching, 1, S)
    L = S * A
    check_size("the Garnet", states=S, pairs=L, transitions=L * branching, exact=exact)
    rng = np.random.default_rng(seed)
    targets = subsets(rng, S, branching, L).ravel()
    grid = max(10_000, 100 * branching) if exact else FINE
    numerators = spacings(rng, branching, grid, L).ravel()
    indptr = np.arange(L + 1) * branching
    data = numerators / grid
    P = Transitions(indptr, targets, data, S, share(numerators, grid)) if exact else None
    return _model(S, A, indptr, targets, P, _uniform_rewards(rng, L, exact), gamma, data)


@instance(
    "random-sparse",
    source="Defined here",
    example={"S": 8, "A": 3},
)
def random_sparse(
    *, S: int, A: int, successors: int = 4, seed: int = 0, gamma: Fraction = Fraction(19, 20), exact: bool = True
) -> MDP:
    """A random model whose pairs differ in their number of next states: uniform on 1 … 2*successors - 1.

    The next states are drawn with repetition, each with a weight of 1 … 9 (weights of equal ones add up), and the
    probabilities are the weights divided by their sum. Rewards are uniform on 0, 1/1000, …, 1.
    """
    _check_sizes(S, A, seed)
    in_range("successors", successors, 1, S)
    L = S * A
    check_size("the random model", states=S, pairs=L, transitions=L * successors, exact=exact)
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 2 * successors, size=L)
    key = np.repeat(np.arange(L), count) * S + rng.integers(0, S, size=int(count.sum()))
    order = np.argsort(key, kind="stable")
    weight = rng.integers(1, 10, size=len(key))[order]
    key, start = np.unique(key[order], return_index=True)
    return _weighted(S, A, key // S, key % S, np.add.reduceat(weight, start), rng, gamma, exact)


@instance(
    "random-dense",
    source="Defined here",
    example={"S": 6, "A": 2},
)
def random_dense(*, S: int, A: int, seed: int = 0, gamma: Fraction = Fraction(19, 20), exact: bool = True) -> MDP:
    """A random model in which every state can follow every other.

    Each transition has a random weight of 1 … 9, and the probabilities are the weights divided by their sum. Rewards
    are uniform on 0, 1/1000, …, 1.
    """
    _check_sizes(S, A, seed)
    L = S * A
    check_size("the random model", states=S, pairs=L, transitions=L * S, exact=exact)
    rng = np.random.default_rng(seed)
    weight = rng.integers(1, 10, size=L * S)
    return _weighted(S, A, np.repeat(np.arange(L), S), np.tile(np.arange(S), L), weight, rng, gamma, exact)


def _weighted(
    S: int, A: int, row: Ints, target: Ints, weight: Ints, rng: np.random.Generator, gamma: Fraction, exact: bool
) -> MDP:
    """A model whose probabilities are weights divided by their sum over the row; rows come sorted."""
    L = S * A
    indptr = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=L))))
    total = np.add.reduceat(weight, indptr[:-1])[row]
    data = weight / total
    r = _uniform_rewards(rng, L, exact)
    if not exact:
        dense = Transitions.from_dense(data.reshape(L, S)) if len(row) == L * S else None
        return _model(S, A, indptr, target, dense, r, gamma, data)
    base = int(total.max()) + 1
    distinct, inverse = np.unique(weight * base + total, return_inverse=True)
    table = np.empty(len(distinct), dtype=object)
    table[:] = [Fraction(k // base, k % base) for k in distinct.tolist()]
    P = Transitions(indptr, target, data, S, table[inverse])
    return _model(S, A, indptr, target, P, r, gamma, data)
