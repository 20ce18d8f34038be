r"""The Markov chains that policies induce on a model, and the product of a model with a policy's memory.

A chain is a model with one action a state. In rationals nothing is rounded. In floats the sums over actions are formed in
extended precision and rounded once, so that every entry is within the error that certificates allow for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from mdpkit.errors import ModelError, SizeError, UnsupportedError
from mdpkit.kernels.evaluation import entries_of
from mdpkit.kernels.rational import rationalize_array, to_fraction
from mdpkit.models.criterion import (
    Criterion,
    Discounted,
    EntropyRegularized,
    FiniteHorizon,
    Invariance,
    Reachability,
    TotalReward,
)
from mdpkit.models.mdp import MDP
from mdpkit.models.policy import Stationary
from mdpkit.models.rewards import Reward, from_exact_values
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Bools, Ints, Objects

__all__ = ["Product", "exact_weights", "induced", "mixed_rows", "pair_chain", "product", "stage_chain"]

UNIT = 2.0**-53
MAX_NODES = 2_000_000
"""Largest number of states of a product with a policy's memory."""


def exact_weights(mdp: MDP, weights: Array) -> Objects:
    """Probabilities of the pairs ``(L,)`` as Fractions; floats are rationalized like a model's.

    Raises
    ------
    ModelError
        If a state's probabilities do not sum to exactly one.
    """
    out = weights if weights.dtype == object else rationalize_array(weights)
    sums: Array = np.add.reduceat(out, mdp.pair_ptr[:-1])
    bad = [s for s, total in enumerate(sums.tolist()) if total != 1]
    if bad:
        raise ModelError(
            f"the policy's probabilities in state {bad[0]} do not sum to exactly one",
            found=sums[bad[0]],
            needed="1 in rational arithmetic",
            way_out='give them as rationals such as "1/3"',
        )
    return out


def induced(mdp: MDP, policy: Stationary) -> MDP:
    """The chain of a stationary policy; see :meth:`mdpkit.models.MDP.induced`."""
    c = mdp.criterion
    if mdp.stages is not None:
        return stage_chain(mdp, [policy] * mdp.stages, c)
    if isinstance(c, Discounted) and np.ndim(c.gamma):
        if policy.pairs is None:
            raise UnsupportedError(
                "a discount by pairs under a randomized policy induces no chain on the states",
                way_out="use a deterministic policy, or mdpkit.evaluate, whose chain runs over the pairs",
            )
        c = Discounted(_by_pairs(mdp, c)[policy.pairs])
    if isinstance(c, EntropyRegularized):
        plain = mdp._replace(criterion=Discounted(c.gamma if c.exact is None else c.exact))  # pyright: ignore[reportPrivateUsage]
        return _paid(induced(plain, policy), mdp, c, policy)
    if policy.pairs is not None:
        pairs = policy.pairs
        entries = entries_of(mdp.P.indptr, pairs)[1]
        rewards = {name: reward.take(pairs, entries) for name, reward in mdp.rewards.items()}
        return _chain(mdp, mdp.P.take(pairs), rewards, c)
    rows = np.arange(mdp.n_pairs)
    P, rewards = _mixed(mdp, mdp.pair_ptr, rows, rows, policy.weights, None)
    return _chain(mdp, P, rewards, c)


def _paid(chain: MDP, mdp: MDP, c: EntropyRegularized, policy: Stationary) -> MDP:
    """The chain whose rewards include the entropy of the policy, or less its divergence from the reference, in each state."""
    if c.reference is None and policy.pairs is not None:
        return chain
    if mdp.active is None:
        return chain
    pi, ptr = policy.weights.astype(np.float64), mdp.pair_ptr[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(pi > 0, np.log(np.where(pi > 0, pi, 1.0)), 0.0)
        size = np.abs(logs)
        if c.reference is not None:
            mu = np.asarray(c.reference)
            mu = np.log(mu[mdp.state, mdp.action] if mu.ndim == 2 else mu)
            logs, size = logs - mu, size + np.abs(mu)
    sign = -1 if mdp.minimize else 1
    bonus: Array = -sign * c.tau * np.add.reduceat(pi * logs, ptr)
    # Logarithms within four units in the last place, numbers of the model and the policy within two, and the sum.
    n = np.diff(mdp.pair_ptr)
    error: Array = UNIT * (n + 24.0) * c.tau * np.add.reduceat(pi * (size + 1.0), ptr)
    reward = chain.rewards[mdp.active]
    values = reward.values + bonus
    paid = Reward(values, None, reward.error + error + 2 * UNIT * np.abs(values))
    return chain._replace(rewards={**chain.rewards, mdp.active: paid})  # pyright: ignore[reportPrivateUsage]


def stage_chain(
    mdp: MDP, stages: Sequence[Stationary], criterion: Criterion | None, absorbing: Bools | None = None
) -> MDP:
    """The chain of one policy a stage, whose law varies with the stage; states of ``absorbing`` are kept for good."""
    S, L, H = mdp.n_states, mdp.n_pairs, len(stages)
    step_P = L if mdp.P.n_rows != L else 0
    weights = [stage.weights for stage in stages]
    exact = all(w.dtype == object for w in weights)
    weight = np.concatenate([w if exact else w.astype(np.float64) for w in weights])
    ptr = np.concatenate([mdp.pair_ptr[:-1] + h * L for h in range(H)] + [np.array([H * L])])
    pairs = np.tile(np.arange(L), H)
    stage = np.repeat(np.arange(H), L)
    if all(policy.pairs is not None for policy in stages):
        chosen = np.array([policy.pairs for policy in stages])
        later = np.arange(H)[:, None]
        P = mdp.P.take((chosen + later * step_P).ravel())
        rewards = {
            name: reward.take((chosen + later * (L if len(reward.values) != L else 0)).ravel())
            for name, reward in mdp.rewards.items()
        }
    else:
        P, rewards = _mixed(mdp, ptr, pairs + stage * step_P, pairs, weight, stage)
    if absorbing is not None:
        P = _absorbed(P, np.tile(absorbing, H), np.tile(np.arange(S), H))
        rewards = {}
    return _chain(mdp, P, rewards, criterion, stages=H)


def pair_chain(mdp: MDP, weights: Array) -> MDP:
    """The chain over pairs, ``(s, a) -> (s', a')``, of a discounted model: its values are the policy's action values."""
    P, L = mdp.P, mdp.n_pairs
    used = np.flatnonzero(weights.astype(bool))
    count = np.bincount(mdp.state[used], minlength=mdp.n_states)
    first = np.concatenate(([0], np.cumsum(count)))
    repeat = count[P.indices]
    entry = np.repeat(np.arange(P.nnz), repeat)
    inner = np.arange(len(entry)) - np.repeat(np.cumsum(repeat) - repeat, repeat)
    column = used[first[P.indices[entry]] + inner]
    indptr = np.concatenate(([0], np.cumsum(np.bincount(P.row_of[entry], minlength=L))))
    exact = P.exact[entry] * weights[column] if P.exact is not None and weights.dtype == object else None
    data = P.data[entry] * weights[column].astype(np.float64) if exact is None else exact.astype(np.float64)
    rewards = {name: Reward(reward.values, reward.exact, reward.error) for name, reward in mdp.rewards.items()}
    c = mdp.criterion
    if isinstance(c, Discounted):
        c = Discounted(_by_pairs(mdp, c))
    return _model(
        mdp,
        P=Transitions(indptr, column, data, L, exact),
        rewards=rewards,
        criterion=c,
        n_states=L,
        n_actions=1,
        state=np.arange(L, dtype=np.int64),
        action=np.zeros(L, dtype=np.int64),
        pair_ptr=np.arange(L + 1, dtype=np.int64),
        pair_names=None,
        state_names=None,
        labels={},
        rho=None,
        rho_exact=None,
        base=None,
    )


def mixed_rows(P: Transitions, ptr: Ints, rows: Ints, weight: Array) -> tuple[Ints, Ints, Array]:
    """Compressed rows whose i-th is the sum of ``weight[e] * P[rows[e]]`` over e from ``ptr[i]`` to ``ptr[i + 1] - 1``.

    Fractions where P and the weights are exact, else floats, rounded once.
    """
    exact = P.exact is not None and weight.dtype == object
    owner = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
    used = np.flatnonzero(weight.astype(bool))
    rows, owner, weight = rows[used], owner[used], weight[used]
    count = P.indptr[rows + 1] - P.indptr[rows]
    entry = entries_of(P.indptr, rows)[1]
    row, column = np.repeat(owner, count), P.indices[entry].astype(np.int64)
    terms: Array
    if exact:
        assert P.exact is not None
        terms = P.exact[entry] * np.repeat(weight, count)
    elif np.finfo(np.longdouble).nmant >= 60:
        terms = P.data[entry].astype(np.longdouble) * np.repeat(_wide(weight), count)
    else:  # pragma: no cover - no extended precision on this machine
        terms = _fractions(P.data[entry]) * np.repeat(_fractions(weight), count)
    order = np.lexsort((column, row))
    row, column, terms = row[order], column[order], terms[order]
    n = len(ptr) - 1
    if not len(row):
        return np.zeros(n + 1, dtype=np.int64), column, terms.astype(object if exact else np.float64)
    start = np.flatnonzero(np.concatenate(([True], (row[1:] != row[:-1]) | (column[1:] != column[:-1]))))
    total: Array = np.add.reduceat(terms, start)
    indptr = np.concatenate(([0], np.cumsum(np.bincount(row[start], minlength=n)))).astype(np.int64)
    return indptr, column[start], total if exact else total.astype(np.float64)


def _wide(values: Array) -> Array:
    return values.astype(np.float64).astype(np.longdouble)


def _fractions(values: Array) -> Objects:  # pragma: no cover - no extended precision on this machine
    out = np.empty(len(values), dtype=object)
    out[:] = [Fraction(x) for x in values.tolist()]
    return out


def _mixed(
    mdp: MDP, ptr: Ints, rows: Ints, pairs: Ints, weight: Array, stage: Ints | None
) -> tuple[Transitions, dict[str, Reward]]:
    exact = mdp.P.exact is not None and weight.dtype == object
    indptr, columns, data = mixed_rows(mdp.P, ptr, rows, weight)
    if exact:
        P = Transitions(indptr, columns, data.astype(np.float64), mdp.n_states, data)
    else:
        P = Transitions(indptr, columns, data, mdp.n_states)
    rewards: dict[str, Reward] = {}
    for name, reward in mdp.rewards.items():
        L = mdp.n_pairs
        place = pairs if stage is None or len(reward.values) == L else pairs + stage * L
        if exact and reward.exact is not None:
            rewards[name] = from_exact_values(np.add.reduceat(weight * reward.exact[place], ptr[:-1]))
            continue
        share = weight.astype(np.float64)
        value = reward.values[place]
        total: Array = np.add.reduceat(_wide(share) * value, ptr[:-1]).astype(np.float64)
        error: Array = np.add.reduceat(share * (reward.error[place] + 4 * UNIT * np.abs(value)), ptr[:-1])
        rewards[name] = Reward(total, None, error * (1 + 1e-6) + UNIT * np.abs(total))
    return P, rewards


def _absorbed(P: Transitions, rows: Bools, own: Ints) -> Transitions:
    """P with the chosen rows replaced by unit masses on ``own``."""
    keep = ~rows[P.row_of]
    count = np.where(rows, 1, np.diff(P.indptr))
    indptr = np.concatenate(([0], np.cumsum(count)))
    moved = np.repeat(~rows, count)
    indices, data = np.empty(indptr[-1], dtype=np.int64), np.ones(indptr[-1])
    indices[moved], data[moved] = P.indices[keep], P.data[keep]
    indices[~moved] = own[rows]
    exact: Objects | None = None
    if P.exact is not None:
        one: Any = to_fraction(1)
        masses: Objects = np.full(int(indptr[-1]), one, dtype=object)
        masses[moved] = P.exact[keep]
        exact = masses
    return Transitions(indptr, indices, data, P.n_states, exact)


def _by_pairs(mdp: MDP, c: Discounted) -> Array:
    value = np.asarray(c.gamma if c.exact is None else c.exact)
    if value.ndim == 0:
        return np.full(mdp.n_pairs, value[()])
    return value[mdp.state, mdp.action] if value.ndim == 2 else value


def _model(mdp: MDP, **changes: Any) -> MDP:
    for value in changes.values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return mdp._replace(**changes)  # pyright: ignore[reportPrivateUsage]


def _chain(
    mdp: MDP, P: Transitions, rewards: dict[str, Reward], criterion: Criterion | None, stages: int | None = None
) -> MDP:
    S = mdp.n_states
    return _model(
        mdp,
        P=P,
        rewards=rewards,
        active=mdp.active if rewards else None,
        criterion=criterion,
        stages=stages,
        n_actions=1,
        state=np.arange(S, dtype=np.int64),
        action=np.zeros(S, dtype=np.int64),
        pair_ptr=np.arange(S + 1, dtype=np.int64),
        pair_names=None,
        base=None,
    )


# -- memory ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Product:
    """A model times the memory of a policy.

    Attributes
    ----------
    model : MDP
        Its states are the nodes (s, memory); node s of the first S is state s with its start memory.
    policy : Stationary
        The policy on the nodes.
    node_state : (N,) int
        The state of each node.
    pair_of : (L',) int
        The pair of the original model of each pair of the product.
    memories : list
        The memory of each node.
    """

    model: MDP
    policy: Stationary
    node_state: Ints
    pair_of: Ints
    memories: list[Any]


def product(mdp: MDP, policy: Any, *, exact: bool, depth: int | None = None) -> Product:
    """Explore the product of a model with a policy's memory from every state's start memory.

    Nodes keep the pairs that the policy uses; start nodes keep all, so that action values are known there. With
    ``depth``, nodes that no start reaches in fewer steps get an arbitrary pair back to the starts: they end the horizon.

    Raises
    ------
    ModelError
        A choice that is no law over the admissible actions, memory that is not hashable: names state and memory.
    SizeError
        If more than ``MAX_NODES`` nodes are reachable.
    """
    S, L, P = mdp.n_states, mdp.n_pairs, mdp.P
    limit = MAX_NODES
    copies = P.n_rows // L
    pair_ptr: list[int] = mdp.pair_ptr.tolist()
    action: list[int] = mdp.action.tolist()
    successors = _successors(P, L)
    index: dict[Any, int] = {}
    nodes: list[tuple[int, Any]] = []

    def number(s: int, memory: Any) -> int:
        try:
            found = index.setdefault((s, memory), len(nodes))
        except TypeError:
            raise ModelError(
                f"the policy's memory in state {s} is not hashable",
                found=repr(memory)[:80],
                needed="a hashable value, such as a tuple",
            ) from None
        if found == len(nodes):
            nodes.append((s, memory))
            if found >= limit:
                raise SizeError(
                    f"more than {limit:,} pairs of state and memory are reachable under the policy",
                    needed=f"at most {limit:,}",
                    way_out="use a policy whose memory takes few values",
                )
        return found

    for s in range(S):
        number(s, policy.start(s))
    pair_of: list[int] = []
    owner: list[int] = []
    weights: list[Any] = []
    links: list[list[int]] = []
    at, steps, level = 0, 0, S
    while at < len(nodes):
        if at == level:
            steps, level = steps + 1, len(nodes)
        s, memory = nodes[at]
        if depth is not None and steps >= depth:
            owner.append(at)
            pair_of.append(pair_ptr[s])
            weights.append(to_fraction(1) if exact else 1.0)
            links.append(successors[pair_ptr[s]])
            at += 1
            continue
        pairs = range(pair_ptr[s], pair_ptr[s + 1])
        law = _law(mdp, policy, s, memory, [action[k] for k in pairs], exact)
        for k, weight in zip(pairs, law, strict=True):
            if at >= S and not weight:
                continue
            owner.append(at)
            pair_of.append(k)
            weights.append(weight)
            links.append([number(t, policy.advance(memory, s, action[k], t)) for t in successors[k]])
        at += 1
    N, pairs_ = len(nodes), np.array(pair_of, dtype=np.int64)
    node_state = np.array([s for s, _ in nodes], dtype=np.int64)
    state = np.array(owner, dtype=np.int64)
    model = _lifted(mdp, N, node_state, state, pairs_, _lifted_rows(P, L, copies, pairs_, successors, links, N))
    dtype = object if exact else np.float64
    weight = np.empty(len(weights), dtype=dtype)
    weight[:] = weights
    sharp = np.flatnonzero(weight == 1)
    return Product(
        model, Stationary(model, weight, sharp if len(sharp) == N else None), node_state, pairs_, [m for _, m in nodes]
    )


def _successors(P: Transitions, L: int) -> list[list[int]]:
    """Possible next states of each pair, in any stage."""
    if P.n_rows == L:
        indptr, indices = _lists(P)
        return [indices[i:j] for i, j in pairwise(indptr)]
    key: Ints = np.unique(P.row_of % L * P.n_states + P.indices)
    out: list[list[int]] = [[] for _ in range(L)]
    pairs: list[int] = (key // P.n_states).tolist()
    targets: list[int] = (key % P.n_states).tolist()
    for k, t in zip(pairs, targets, strict=True):
        out[k].append(t)
    return out


def _lists(P: Transitions) -> tuple[list[int], list[int]]:
    indptr: Any = P.indptr.tolist()
    return indptr, P.indices.tolist()


def _law(mdp: MDP, policy: Any, s: int, memory: Any, actions: list[int], exact: bool) -> list[Any]:
    row = np.asarray(policy.act(memory, s))
    where = f"the policy's choice in state {s}" + ("" if memory is None else f" with memory {str(memory)[:60]!r}")
    if row.ndim != 1 or len(row) > mdp.n_actions:
        raise ModelError(f"{where} has the wrong shape", found=row.shape, needed=f"({mdp.n_actions},) probabilities")
    given: list[Any] = (rationalize_array(row) if exact and row.dtype != object else row).tolist()
    allowed = set(actions)
    for a, p in enumerate(given):
        if not p >= 0:
            raise ModelError(f"{where} is no law over the actions", found=p, needed="probabilities >= 0")
        if p and a not in allowed:
            raise ModelError(f"{where} uses action {a}, which is not admissible", needed=f"one of {actions}")
    total = sum(given)
    if total != 1 if exact else not abs(float(total) - 1) <= 1e-9:
        raise ModelError(f"{where} does not sum to one", found=total, needed="1" + " in rational arithmetic" * exact)
    chosen = [given[a] if a < len(given) else 0 for a in actions]
    return [to_fraction(p) for p in chosen] if exact else [float(p) for p in chosen]


def _lifted_rows(
    P: Transitions, L: int, copies: int, pair_of: Ints, successors: list[list[int]], links: list[list[int]], N: int
) -> Transitions:
    if copies == 1:
        entry = entries_of(P.indptr, pair_of)[1]
        columns = np.array([j for row in links for j in row], dtype=np.int64)
        counts = np.diff(P.indptr)[pair_of]
    else:
        entry_of: list[int] = []
        columns_of: list[int] = []
        counts_of: list[int] = []
        sources: list[int] = pair_of.tolist()
        indptr, indices = _lists(P)
        for h in range(copies):
            for k, row in zip(sources, links, strict=True):
                i, j = indptr[h * L + k], indptr[h * L + k + 1]
                node = dict(zip(successors[k], row, strict=True))
                entry_of.extend(range(i, j))
                columns_of.extend([node[t] for t in indices[i:j]])
                counts_of.append(j - i)
        entry, columns, counts = (np.array(x, dtype=np.int64) for x in (entry_of, columns_of, counts_of))
    order = np.lexsort((columns, np.repeat(np.arange(len(counts)), counts)))
    entry = entry[order]
    exact = None if P.exact is None else P.exact[entry]
    return Transitions(np.concatenate(([0], np.cumsum(counts))), columns[order], P.data[entry], N, exact)


def _lifted(mdp: MDP, N: int, node_state: Ints, state: Ints, pair_of: Ints, P: Transitions) -> MDP:
    L = mdp.n_pairs
    rewards: dict[str, Reward] = {}
    for name, reward in mdp.rewards.items():
        copies = len(reward.values) // L
        rewards[name] = reward.take(np.concatenate([pair_of + h * L for h in range(copies)]))
    rho, rho_exact = None, None
    if mdp.rho is not None:
        rho = np.concatenate((mdp.rho, np.zeros(N - mdp.n_states)))
    if mdp.rho_exact is not None:
        rho_exact = np.concatenate((mdp.rho_exact, np.full(N - mdp.n_states, to_fraction(0), dtype=object)))
    return _model(
        mdp,
        n_states=N,
        P=P,
        rewards=rewards,
        state=state,
        action=mdp.action[pair_of],
        pair_ptr=np.concatenate(([0], np.cumsum(np.bincount(state, minlength=N)))).astype(np.int64),
        criterion=_lifted_criterion(mdp, node_state, pair_of),
        labels={name: mask[node_state] for name, mask in mdp.labels.items()},
        rho=rho,
        rho_exact=rho_exact,
        state_names=None,
        pair_names=None,
        base=None,
    )


def _lifted_criterion(mdp: MDP, node_state: Ints, pair_of: Ints) -> Criterion | None:
    c = mdp.criterion

    def lift(states: Any) -> Any:
        return None if states is None else mdp.states_of(states)[node_state]

    if isinstance(c, Discounted) and np.ndim(c.gamma):
        return Discounted(_by_pairs(mdp, c)[pair_of])
    if isinstance(c, FiniteHorizon) and c.terminal is not None:
        terminal = np.asarray(c.terminal if c.terminal_exact is None else c.terminal_exact)
        return FiniteHorizon(c.H, c.gamma if c.exact is None else c.exact, terminal[node_state])
    if isinstance(c, TotalReward):
        return TotalReward(lift(c.target))
    if isinstance(c, Reachability):
        return Reachability(lift(c.target), lift(c.through), c.steps)
    if isinstance(c, Invariance):
        return Invariance(lift(c.safe), c.steps)
    return c
