"""Random models: Garnet, sparse and dense, layered, of a chosen structure of classes, with a minorization."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.instances.build import assemble, check_size, fill, share
from mdpkit.instances.registry import in_range, instance
from mdpkit.models.criterion import Criterion, Discounted, TotalReward
from mdpkit.models.mdp import MDP
from mdpkit.models.rewards import Reward, from_exact_values
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Floats, Ints

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


def varied_subsets(rng: np.random.Generator, n: Ints, k: Ints) -> Ints:
    """Uniformly random subsets, the i-th of k[i] of the numbers 0 … n[i] - 1: ``(len(n), max k)``, padded with -1."""
    out = np.full((len(n), int(k.max(initial=0))), -1, dtype=np.int64)
    for column in range(out.shape[1]):  # Floyd's algorithm, all subsets at once
        live = column < k
        top = np.where(live, n - k + column, 0)
        draw = rng.integers(0, top + 1)
        taken = np.any(out[:, :column] == draw[:, None], axis=1)
        out[:, column] = np.where(live, np.where(taken, top, draw), -1)
    return out


def _numbers(rng: np.random.Generator, L: int, exact: bool, density: Fraction = Fraction(1), quiet: int = 0) -> Array:
    """Uniform on 0, 1/1000, …, 1; zero for all but a share ``density`` of the pairs, and for the last ``quiet`` ones."""
    thousandths = rng.integers(0, 1001, size=L)
    if density < 1:
        thousandths[rng.permutation(L)[round(density * L) :]] = 0
    thousandths[L - quiet :] = 0
    return share(thousandths, 1000) if exact else thousandths / 1000.0


def _uniform_rewards(
    rng: np.random.Generator, L: int, exact: bool, density: Fraction = Fraction(1), quiet: int = 0
) -> Reward | Floats:
    values = _numbers(rng, L, exact, density, quiet)
    return from_exact_values(values) if exact else values


def _model(
    S: int,
    A: int,
    indptr: Ints,
    indices: Ints,
    P: Transitions | None,
    r: Reward | Floats,
    criterion: Criterion,
    data: Floats,
    rho: Any = 0,
    **options: Any,
) -> MDP:
    """A model in which every action is admissible in every state."""
    rows = Transitions(indptr, indices, data, S) if P is None else P
    state, action = np.repeat(np.arange(S), A), np.tile(np.arange(A), S)
    return MDP(rows, r, criterion, state=state, action=action, rho=rho, **options)


def _discounted(gamma: Fraction, exact: bool) -> Discounted:
    return Discounted(gamma if exact else float(gamma))


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
    *,
    S: int,
    A: int,
    branching: int,
    reward_density: Fraction = Fraction(1),
    seed: int = 0,
    gamma: Fraction = Fraction(19, 20),
    exact: bool = True,
) -> MDP:
    """A Garnet: every pair has ``branching`` next states, drawn without repetition, with random probabilities.

    The probabilities are the spacings of uniform cuts of [0, 1], here on a grid: multiples of 1/10000 (of a finer grid
    where ``branching`` exceeds 100), none zero. Rewards are uniform on 0, 1/1000, …, 1; all but a share
    ``reward_density`` of the pairs, at random, pay 0. With ``exact=False`` the numbers are floats, the grid is 2**-40,
    and large models are built much faster.
    """
    _check_sizes(S, A, seed)
    in_range("reward_density", reward_density, 0, 1)
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
    return _model(
        S, A, indptr, targets, P, _uniform_rewards(rng, L, exact, reward_density), _discounted(gamma, exact), data
    )


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
    return _weighted(S, A, key // S, key % S, np.add.reduceat(weight, start), rng, _discounted(gamma, exact), exact)


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
    return _weighted(
        S, A, np.repeat(np.arange(L), S), np.tile(np.arange(S), L), weight, rng, _discounted(gamma, exact), exact
    )


Structure = Literal["recurrent", "communicating", "weakly-communicating", "unichain", "multichain"]


@instance(
    "random-mdp",
    source="Defined here; the classes of models are those of Puterman (1994), section 8.3 (recalled)",
    example={"S": 8, "A": 2},
)
def random_mdp(
    *,
    S: int,
    A: int,
    out_degree: int = 3,
    structure: Structure = "communicating",
    classes: int = 2,
    transient: int = 1,
    reward_density: Fraction = Fraction(1),
    seed: int = 0,
    gamma: Fraction = Fraction(19, 20),
    exact: bool = True,
) -> MDP:
    """A random model whose structure of classes is guaranteed, whatever the seed.

    ``recurrent``: under every policy all states are one recurrent class. ``communicating``: some policy leads from any
    state to any other. ``weakly-communicating``: the same, but for ``transient`` states that are transient under every
    policy. ``unichain``: every policy has one recurrent class, and the ``transient`` states are never in it.
    ``multichain``: every policy has ``classes`` recurrent classes, in disjoint closed sets of about equal size, and
    ``transient`` states, from which the actions may lead to different ones.

    Every pair has ``out_degree`` next states (fewer where its closed set is smaller), drawn without repetition. For the
    structure's sake one of them is the next state on a random cycle through the closed set (for all actions, or for one
    in each state), or a state nearer to the root of a random order. The weights are 1 … 9, divided by their sum, and
    the rewards uniform on 0, 1/1000, …, 1, but 0 for all but a share ``reward_density`` of the pairs. Which states play
    which part is random; the label ``transient`` marks those.
    """
    _check_sizes(S, A, seed)
    in_range("out_degree", out_degree, 1, S)
    in_range("reward_density", reward_density, 0, 1)
    in_range("transient", transient, 0)
    in_range("classes", classes, 1)
    K = classes if structure == "multichain" else 1
    L, core = S * A, S - (0 if structure in ("recurrent", "communicating") else transient)
    if core < K:
        raise OptionError(
            f"{S} states are too few for {K} closed sets and {transient} transient states",
            found=f"S = {S}",
            needed=f"S >= {K + transient}",
        )
    check_size("the random model", states=S, pairs=L, transitions=L * out_degree, exact=exact)
    rng = np.random.default_rng(seed)
    order = rng.permutation(S)  # the state of each rank: the closed sets one after the other, then transient states
    first = np.arange(K + 1) * core // K
    rank = np.repeat(np.arange(S), A)
    inside = rank < core
    of = np.searchsorted(first[1:-1], rank, side="right")
    low, high = np.where(inside, first[of], 0), np.where(inside, first[of + 1], S)
    forced = np.full(L, -1, dtype=np.int64)
    down = ~inside
    if structure in ("unichain", "multichain"):
        down |= rank > low
    else:
        chosen = np.repeat(rng.integers(0, A, size=S), A) == np.tile(np.arange(A), S)
        ahead = np.where(rank + 1 < core, rank + 1, 0)
        forced = np.where(inside & (chosen | (structure == "recurrent")), ahead, forced)
    forced[down] = low[down] + rng.integers(0, rank[down] - low[down])
    bound = forced >= 0
    span = high - low - bound
    drawn = varied_subsets(rng, span, np.minimum(span, out_degree - bound))
    target = low[:, None] + drawn
    target += bound[:, None] & (target >= forced[:, None])
    target = np.column_stack((np.where(drawn < 0, -1, target), forced))
    kept = target >= 0
    row = (order[rank] * A + np.tile(np.arange(A), S))[np.nonzero(kept)[0]]
    to = order[target[kept]]
    sort = np.argsort(row * S + to)
    labels = {"transient": order[core:]} if core < S else None
    weight = rng.integers(1, 10, size=len(row))
    return _weighted(
        S, A, row[sort], to[sort], weight, rng, _discounted(gamma, exact), exact, reward_density, labels=labels
    )


@instance(
    "random-layered",
    source="Defined here",
    example={"width": 3, "depth": 3, "A": 2},
)
def random_layered(*, width: int, depth: int, A: int, out_degree: int = 2, seed: int = 0, exact: bool = True) -> MDP:
    """A random acyclic model: ``depth`` layers of ``width`` states, each pair leads into the next layer, then an end.

    Every pair has ``out_degree`` next states, drawn without repetition, with weights of 1 … 9 divided by their sum; the
    last layer leads to the last state, which is absorbing. Rewards are uniform on 0, 1/1000, …, 1, and 0 in the end.
    Maximized is the total reward; the start is uniform over the first layer.
    """
    in_range("width", width, 1)
    in_range("depth", depth, 1)
    in_range("A", A, 1)
    in_range("seed", seed, 0)
    in_range("out_degree", out_degree, 1, width)
    S, inner = width * depth + 1, width * (depth - 1) * A
    L = S * A
    check_size("the layered model", states=S, pairs=L, transitions=L * out_degree, exact=exact)
    rng = np.random.default_rng(seed)
    ahead = subsets(rng, width, out_degree, inner) + width * (np.arange(inner)[:, None] // (width * A) + 1)
    rest = np.arange(inner, L)
    row = np.concatenate((np.repeat(np.arange(inner), out_degree), rest))
    target = np.concatenate((ahead.ravel(), np.full(len(rest), S - 1)))
    weight = rng.integers(1, 10, size=len(row))
    rho = fill(S, 0)
    rho[:width] = F(1, width)
    return _weighted(
        S, A, row, target, weight, rng, TotalReward(), exact, quiet=A, rho=rho if exact else rho.astype(np.float64)
    )


@instance(
    "random-doeblin",
    source="Defined here; the condition is Doeblin's",
    example={"S": 6, "A": 2},
)
def random_doeblin(
    *,
    S: int,
    A: int,
    delta: Fraction = Fraction(1, 10),
    regeneration: int = 1,
    out_degree: int = 2,
    seed: int = 0,
    gamma: Fraction = Fraction(19, 20),
    exact: bool = True,
) -> MDP:
    """A random model with the minorization constant ``delta``: P(s' | s, a) >= delta * nu(s') for one law nu.

    The law nu is uniform on the first ``regeneration`` states; with probability ``delta`` the next state is drawn from
    it, else from one of ``out_degree`` states, drawn without repetition, with weights of 1 … 9 divided by their sum.
    The first and the last pair draw from disjoint sets, so that no larger constant is possible: the sum over s' of the
    smallest P(s' | s, a) is ``delta``. Every policy has one recurrent class, and any two laws come closer by the factor
    1 - delta with every step. Rewards are uniform on 0, 1/1000, …, 1.
    """
    _check_sizes(S, A, seed)
    in_range("S", S, 2)
    in_range("delta", delta, 0, 1)
    in_range("regeneration", regeneration, 1, S)
    in_range("out_degree", out_degree, 1, S // 2)
    L, k, m = S * A, out_degree, regeneration
    check_size("the random model", states=S, pairs=L, transitions=L * (k + m), exact=exact)
    rng = np.random.default_rng(seed)
    target = subsets(rng, S, k, L)
    apart = rng.permutation(S)
    target[0], target[-1] = np.sort(apart[:k]), np.sort(apart[k : 2 * k])
    weight = rng.integers(1, 10, size=(L, k))
    total = np.broadcast_to(weight.sum(axis=1)[:, None], (L, k))
    scaled = _ratios(weight.ravel(), total.ravel(), 1 - delta, exact)
    again = fill(L * m, delta / m) if exact else np.full(L * m, float(delta / m))
    return assemble(
        S,
        np.repeat(np.arange(S), A),
        np.tile(np.arange(A), S),
        np.concatenate((np.repeat(np.arange(L), k), np.repeat(np.arange(L), m))),
        np.concatenate((target.ravel(), np.tile(np.arange(m), L))),
        np.concatenate((scaled, again)),
        _discounted(gamma, exact),
        pair_reward=_numbers(rng, L, exact),
        rho=0,
    )


def _ratios(weight: Ints, total: Ints, factor: Fraction, exact: bool) -> Array:
    """``factor * weight / total``: Fractions, equal ones shared, or floats."""
    if not exact:
        return float(factor) * weight / total
    base = int(total.max()) + 1
    distinct, inverse = np.unique(weight * base + total, return_inverse=True)
    table = np.empty(len(distinct), dtype=object)
    table[:] = [factor * Fraction(key // base, key % base) for key in distinct.tolist()]
    return table[inverse]


def _weighted(
    S: int,
    A: int,
    row: Ints,
    target: Ints,
    weight: Ints,
    rng: np.random.Generator,
    criterion: Criterion,
    exact: bool,
    density: Fraction = Fraction(1),
    quiet: int = 0,
    **options: Any,
) -> MDP:
    """A model whose probabilities are weights divided by their sum over the row; rows come sorted.

    The last ``quiet`` pairs pay nothing.
    """
    L = S * A
    indptr = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=L))))
    total = np.add.reduceat(weight, indptr[:-1])[row]
    data = weight / total
    r = _uniform_rewards(rng, L, exact, density, quiet)
    P: Transitions | None = None
    if exact:
        P = Transitions(indptr, target, data, S, _ratios(weight, total, F(1), exact))
    elif len(row) == L * S:
        P = Transitions.from_dense(data.reshape(L, S))
    return _model(S, A, indptr, target, P, r, criterion, data, **options)
