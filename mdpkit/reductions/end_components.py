r"""Total reward: infinite values by graph analysis, and the quotient by end components without reward.

The classes of states come first (de Alfaro 1997; Baier & Katoen 2008, chapter 10; for rewards of both signs, Baier,
Bertrand, Dubslaff, Gburek & Sankur 2018, recalled): where the value is infinite, and where staying for ever is an option. On
what is left, end components whose rewards are all zero are merged into one state each (Haddad & Monmege 2018 do this for
reachability); then every policy either leaves for good or loses without bound, and the Bellman equation has one solution.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mdpkit.errors import UndefinedValueError
from mdpkit.kernels import graph as g
from mdpkit.kernels.evaluation import take_rows
from mdpkit.kernels.rational import to_fraction
from mdpkit.kernels.stationary import stationary_law
from mdpkit.models.canonical import Canonical
from mdpkit.typing import Array, Bools, Floats, Ints, Objects

__all__ = ["Quotient", "Structure", "analyze"]


@dataclass(frozen=True, eq=False)
class Structure:
    """What the graph and the signs of the rewards say about a total-reward problem (in canonical form).

    Attributes
    ----------
    infinite : (S,) float
        plus or minus infinity where the value is infinite, else 0.
    finite : (S,) bool
        States with a finite value that is not known beforehand.
    allowed : (L,) bool
        Pairs of finite states that keep to finite and known states.
    stop : (S,) float
        Value of staying for ever without leaving the state's end component; minus infinity where that is no option.
        ``stop_exact`` holds Fractions.
    stay : (S,) int
        The pair to take in order to stay, -1 where there is none.
    group : (S,) int
        The end component without reward that the state belongs to, -1 for none.
    inside : (L,) bool
        Pairs that keep to the state's group.
    unbounded : (S,) int
        A policy that attains plus infinity where that is the value and a stationary policy can; -1 elsewhere.
    """

    problem: Canonical
    infinite: Floats
    finite: Bools
    allowed: Bools
    stop: Floats
    stop_exact: Objects
    stay: Ints
    group: Ints
    inside: Bools
    unbounded: Ints

    @cached_property
    def quotient(self) -> Quotient:
        """The finite part with its groups merged."""
        return Quotient.of(self)


def analyze(p: Canonical) -> Structure:
    """Classify the states of a total-reward problem.

    Raises
    ------
    UndefinedValueError
        Where partial sums neither converge nor diverge; the witness names states of the end component.
    """
    graph = p.graph
    S = p.n_states
    fixed = np.zeros(S, dtype=bool) if p.fixed is None else np.asarray(p.fixed)
    free = ~fixed
    pairs = free[p.state]
    infinite = np.zeros(S)
    stop, stop_exact = np.full(S, -np.inf), np.full(S, to_fraction(0), dtype=object)
    stay = np.full(S, -1, dtype=np.int64)
    unbounded = np.full(S, -1, dtype=np.int64)
    positive, negative = pairs & (p.r > 0), pairs & (p.r < 0)

    if p.miss == "best":
        finite = free & g.prob_min_one(graph, fixed)
        infinite[free & ~finite] = np.inf
        unbounded = g.policy_avoiding(graph, fixed)
        missing = ~g.prob_min_positive(graph, fixed)
        _lead(graph, missing & free, infinite == np.inf, pairs, unbounded)
    elif p.miss == "worst":
        within = g.prob_max_one(graph, fixed)
        infinite[free & ~within] = -np.inf
        usable = pairs & g.pairs_inside(graph, within)
        if positive.any():
            gaining, *_ = _gains(p, usable, free & within, proper=True)
            if gaining.any():
                infinite[free & within & g.can_reach(graph, gaining, usable)] = np.inf
        finite = free & (infinite == 0)
    else:
        gaining, neutral, exits, unbounded = _gains(p, pairs, free, proper=False)
        for states, values, taken in exits:
            stop[states] = values.astype(np.float64)
            stop_exact[states] = values
            stay[states] = taken
        goal = fixed | neutral | gaining
        within = g.prob_max_one(graph, goal) if negative.any() else np.ones(S, dtype=bool)
        if gaining.any() and not within.all():
            infinite = _gain_signs(p, gaining, neutral, fixed, unbounded)
        else:
            infinite[free & ~within] = -np.inf
            if gaining.any():
                infinite[free & g.can_reach(graph, gaining, pairs)] = np.inf
                _lead(graph, gaining, infinite == np.inf, pairs, unbounded)
        finite = free & (infinite == 0)

    allowed = finite[p.state] & g.pairs_inside(graph, finite | fixed)
    silent = allowed & (p.r == 0)
    label, inside = g.end_components(graph, silent, finite)
    if p.miss == "stay":
        member = label >= 0
        stop[member] = 0.0
        stop_exact[member] = to_fraction(0)
        keep = g.policy_staying(graph, member, inside)
        stay[member] = keep[member]
        stop[~finite], stay[~finite] = -np.inf, -1
    return Structure(p, infinite, finite, allowed, stop, stop_exact, stay, label, inside, unbounded)


def _lead(graph: g.Graph, target: Bools, states: Bools, pairs: Bools, policy: Ints) -> None:
    """Give ``policy`` pairs that lead ``states`` toward ``target`` with positive probability, keeping to ``pairs``."""
    row_of = np.repeat(np.arange(graph.n_pairs), np.diff(graph.indptr))
    usable = np.flatnonzero((pairs & states[graph.pair_state])[row_of])
    row_of, successor = row_of[usable], graph.indices[usable]
    source = graph.pair_state[row_of]
    reached = target.copy()
    while True:
        hit = np.flatnonzero(reached[successor] & ~reached[source])
        if not hit.size:
            return
        policy[source[hit[::-1]]] = row_of[hit[::-1]]
        reached[source[hit]] = True


def _gains(p: Canonical, pairs: Bools, states: Bools, *, proper: bool) -> tuple[Bools, Bools, list[Any], Ints]:
    """Sign of the largest attainable gain of each maximal end component of ``pairs``.

    Returns the states of components of positive gain, those from which one can stay with gain zero (none where
    ``proper``, when staying is no option), and ``(states, values, pairs)`` of chains with gain zero, nonzero rewards
    and converging sums, and a policy that gains in the components of positive gain.
    """
    graph = p.graph
    policy = np.full(p.n_states, -1, dtype=np.int64)
    label, inside = g.end_components(graph, pairs, states)
    gaining, neutral = np.zeros(p.n_states, dtype=bool), np.zeros(p.n_states, dtype=bool)
    exits: list[Any] = []
    count = int(label.max(initial=-1)) + 1
    if count == 0:
        return gaining, neutral, exits, policy
    owner = label[p.state]
    used = np.flatnonzero(inside)
    has_plus = np.bincount(owner[used], weights=p.r[used] > 0, minlength=count) > 0
    has_minus = np.bincount(owner[used], weights=p.r[used] < 0, minlength=count) > 0
    member = label >= 0
    silent_label, _ = g.end_components(graph, inside & (p.r == 0), member)
    neutral |= (silent_label >= 0) & ~(member & (has_plus & ~has_minus)[label])
    gaining |= member & (has_plus & ~has_minus)[label]
    source = np.zeros(p.n_states, dtype=bool)
    plus = np.flatnonzero(inside & gaining[p.state] & (p.r > 0))[::-1]
    source[p.state[plus]] = True
    policy[p.state[plus]] = plus
    _lead(graph, source, gaining, inside, policy)
    for c in np.flatnonzero(has_plus & has_minus):
        where = label == c
        sign, chains, moves = _mixed_component(p, where, inside & where[p.state], proper=proper)
        if sign > 0:
            policy[where] = moves[where]
            gaining |= where
            neutral &= ~where
        elif sign == 0 and not proper:
            for states_, values, taken in chains:
                neutral[states_] = True
                exits.append((states_, values, taken))
    return gaining, neutral, exits, policy


def _mixed_component(p: Canonical, where: Bools, inside: Bools, *, proper: bool) -> tuple[int, list[Any], Ints]:
    """Exact sign of the largest gain of an end component with rewards of both signs.

    At gain zero the bias h is a potential: the pairs with r = h - Ph are those that a policy of gain zero can use for
    ever, and along them the expected partial sums are h(s) - E h(s_n).
    """
    from mdpkit.kernels.gain import communicating_gain

    exact = _exact(p)
    graph = p.graph
    gain, h, policy = communicating_gain(graph, exact.P.rationals(), exact.r_exact, where, inside)
    if gain != 0 or proper:
        return int(gain > 0) - int(gain < 0), [], policy
    pairs = np.flatnonzero(inside)
    lack = h[p.state[pairs]] - exact.r_exact[pairs] - exact.P.take(pairs) @ h
    tight = np.zeros(len(inside), dtype=bool)
    tight[pairs[np.array([x == 0 for x in lack])]] = True
    label, stays = g.end_components(graph, tight, where)
    chains: list[Any] = []
    for c in range(int(label.max(initial=-1)) + 1):
        members = np.flatnonzero(label == c)
        used = np.flatnonzero(stays & (label == c)[p.state])
        if not np.any(p.r[used] != 0):
            continue
        choice = np.full(p.n_states, -1, dtype=np.int64)
        choice[p.state[used]] = used
        if len(used) != len(members) or g.period(graph, choice, members) != 1:
            shown = ", ".join(map(str, members[:8])) + (", …" if len(members) > 8 else "")
            raise UndefinedValueError(
                f"the total reward is undefined: the end component of states {{{shown}}} has gain zero but nonzero rewards, "
                "whose partial sums do not converge",
                witness={
                    "states": members.tolist(),
                    "pairs": [(int(p.state[k]), int(p.mdp.action[k]), str(exact.r_exact[k] * p.sign)) for k in used],
                },
                way_out="use Discounted, FiniteHorizon or AverageReward, or remove the loop",
            )
        law = _stationary(exact, choice, members)
        mean = sum((law * h[members]).tolist(), start=to_fraction(0))
        chains.append((members, h[members] - mean, choice[members]))
    return 0, chains, policy


def _stationary(exact: Canonical, choice: Ints, members: Ints) -> Objects:
    """Exact stationary law of one recurrent class under a policy."""
    local = np.full(exact.n_states, -1, dtype=np.int64)
    local[members] = np.arange(len(members))
    indptr, columns, data = take_rows(exact.P.indptr, exact.P.indices, exact.P.rationals(), choice[members])
    return stationary_law(indptr, local[columns], data)


def _gain_signs(p: Canonical, gaining: Bools, neutral: Bools, fixed: Bools, policy: Ints) -> Floats:
    """Infinite values where some components gain, others lose, and both may be within reach: signs of the optimal gain.

    Where the graph does not decide, the gains are computed exactly: the largest one of each component, and then the best
    mixture of them that can be reached. ``policy`` is completed to one that attains plus infinity.
    """
    from mdpkit.kernels.gain import communicating_gain
    from mdpkit.kernels.improvement import improve_exact

    graph, free = p.graph, ~fixed
    pairs = free[p.state]
    within = g.prob_max_one(graph, fixed | neutral | gaining)
    kept = pairs & g.pairs_inside(graph, within)
    surely = free & within & g.can_reach(graph, gaining, kept)
    _lead(graph, gaining, surely, kept, policy)
    infinite = np.zeros(p.n_states)
    infinite[free & ~within] = -np.inf
    infinite[surely] = np.inf
    open_ = free & ~surely & g.can_reach(graph, gaining, pairs)
    if not open_.any():
        return infinite
    exact = _exact(p)
    data = exact.P.rationals()
    label, inside = g.end_components(graph, pairs, free)
    stop_exact = np.full(p.n_states, to_fraction(0), dtype=object)
    nowhere = np.full(p.n_states, -1, dtype=np.int64)
    stay = nowhere.copy()
    for c in range(int(label.max(initial=-1)) + 1):
        where = label == c
        stop_exact[where], _, moves = communicating_gain(graph, data, exact.r_exact, where, inside & where[p.state])
        stay[where] = moves[where]
    stop = np.where(label >= 0, stop_exact.astype(np.float64), -np.inf)
    components = Structure(p, np.zeros(p.n_states), free, pairs, stop, stop_exact, stay, label, inside, nowhere)
    q = components.quotient
    r, rows = q.exact(exact)
    r[q.pair >= 0] = to_fraction(0)
    value, best = improve_exact(q.pair_ptr, q.indptr, q.indices, rows, r, q.proper_choice())
    mixed = q.policy(best)
    gain = q.expand(value, np.full(p.n_states, to_fraction(0), dtype=object))
    sign = np.array([(x > 0) - (x < 0) for x in gain], dtype=np.int64)
    # A policy of gain zero uses only pairs that conserve the optimal gain.
    even = pairs & (sign[p.state] == 0) & ~g.pairs_inside(graph, sign == 0)
    for k in np.flatnonzero(even):
        row = slice(int(exact.P.indptr[k]), int(exact.P.indptr[k + 1]))
        if sum((a * b for a, b in zip(data[row], gain[exact.P.indices[row]], strict=True)), start=to_fraction(0)) == 0:
            s = int(p.state[k])
            raise UndefinedValueError(
                f"the total reward of state {s} is undefined: plus and minus infinity cancel in the best attainable gain, zero",
                witness={
                    "state": s,
                    "action": int(p.mdp.action[k]),
                    "gaining states": np.flatnonzero(gaining)[:8].tolist(),
                },
                way_out="use Discounted, FiniteHorizon or AverageReward",
            )
    infinite[open_] = np.where(sign > 0, np.inf, np.where(sign < 0, -np.inf, 0.0))[open_]
    winning = open_ & (infinite == np.inf)
    policy[winning] = mixed[winning]
    return infinite


def _exact(p: Canonical) -> Canonical:
    if p.mdp.is_exact:
        return p
    from mdpkit.models.canonical import canonical

    return canonical(p.mdp.exact())


@dataclass(frozen=True, eq=False)
class Quotient:
    """The finite part of a total-reward problem: substochastic rows over classes of states.

    ``n`` classes; the pairs of class i are ``pair_ptr[i]`` to ``pair_ptr[i + 1] - 1``. Known values are folded into
    ``r``; a stop is a pair without transitions whose reward is its value.

    Attributes
    ----------
    members : (n,) int
        A state of each class; ``class_of`` (S,) maps back, -1 outside.
    pair : (L',) int
        Row of the model, or -1 for a stop.
    leak : (L',) bool
        Whether the pair can leave the finite part.
    """

    problem: Canonical
    structure: Structure | None
    n: int
    members: Ints
    class_of: Ints
    pair_ptr: Ints
    pair: Ints
    owner: Ints
    indptr: Ints
    indices: Ints
    data: Floats
    r: Floats
    leak: Bools

    @classmethod
    def of(cls, st: Structure) -> Quotient:
        """The quotient of a structure."""
        return cls.build(st.problem, st.allowed & ~st.inside, st.group, st.finite, st)

    @classmethod
    def build(
        cls, p: Canonical, where_pairs: Bools, group: Ints, finite: Bools, st: Structure | None = None
    ) -> Quotient:
        """Merge ``group``s and keep ``where_pairs``; see :class:`Structure` for the arguments."""
        states = np.flatnonzero(finite)
        n_groups = int(group.max(initial=-1)) + 1
        raw = np.where(group >= 0, group, n_groups + np.arange(p.n_states))
        _, first, inverse = np.unique(raw[states], return_index=True, return_inverse=True)
        # Classes in the order of their first states, so that sweeps follow the model's own order.
        rank = np.empty(len(first), dtype=np.int64)
        by_state = np.argsort(first)
        rank[by_state] = np.arange(len(first))
        members = states[first[by_state]]
        class_of = np.full(p.n_states, -1, dtype=np.int64)
        class_of[states] = rank[inverse]
        pair = np.flatnonzero(where_pairs)
        owner = class_of[p.state[pair]]
        if st is not None:
            stopping = np.flatnonzero(np.isfinite(st.stop))
            _, one = np.unique(class_of[stopping], return_index=True)
            stopping = stopping[one]
            pair = np.concatenate((pair, np.full(len(stopping), -1)))
            owner = np.concatenate((owner, class_of[stopping]))
        order = np.argsort(owner, kind="stable")
        pair, owner = pair[order], owner[order]
        n = len(members)
        pair_ptr = np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=n)))).astype(np.int64)
        self = cls(p, st, n, members, class_of, pair_ptr, pair, owner, *_EMPTY)
        r, (indptr, indices, data), leak = self._arrays(p, exact=False)
        object.__setattr__(self, "indptr", indptr)
        object.__setattr__(self, "indices", indices)
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "r", r)
        object.__setattr__(self, "leak", leak)
        return self

    def _arrays(self, p: Canonical, *, exact: bool) -> tuple[Array, tuple[Ints, Ints, Array], Bools]:
        real = self.pair >= 0
        rows = np.where(real, self.pair, 0)
        source = p.P.rationals() if exact else p.P.data
        indptr, columns, data = take_rows(p.P.indptr, p.P.indices, source, rows)
        row_of = np.repeat(np.arange(len(rows)), np.diff(indptr))
        keep = real[row_of]
        row_of, columns, data = row_of[keep], columns[keep], data[keep]
        target = self.class_of[columns]
        out = target < 0
        leak = ~real
        leak[row_of[out]] = True
        rewards = p.r_exact if exact else p.r
        r = rewards[rows].copy()
        if self.structure is not None:
            stop = self.structure.stop_exact if exact else self.structure.stop
            r[~real] = stop[self.members[self.owner[~real]]]
        if p.fixed_value is not None and out.any():
            known = p.fixed_value[columns[out]]
            if exact:
                known = np.array([to_fraction(int(v)) for v in known], dtype=object)
            np.add.at(r, row_of[out], data[out] * known)
        row_of, target, data = row_of[~out], target[~out], data[~out]
        order = np.lexsort((target, row_of))
        row_of, target, data = row_of[order], target[order], data[order]
        if len(row_of):
            new = np.concatenate(([True], (row_of[1:] != row_of[:-1]) | (target[1:] != target[:-1])))
            at = np.flatnonzero(new)
            data = np.add.reduceat(data, at)
            row_of, target = row_of[at], target[at]
        ptr = np.concatenate(([0], np.cumsum(np.bincount(row_of, minlength=len(rows))))).astype(np.int64)
        return r, (ptr, target.astype(np.int64), data), leak

    def exact(self, p: Canonical) -> tuple[Objects, Objects]:
        """``(r, data)`` in Fractions, aligned with ``indptr`` and ``indices``; ``p`` is the exact problem."""
        r, (indptr, _, data), _ = self._arrays(p, exact=True)
        assert np.array_equal(indptr, self.indptr)
        return r, data

    @cached_property
    def graph(self) -> g.Graph:
        """Supports of the quotient, with one more state that stands for having left."""
        counts = np.diff(self.indptr)
        extra = self.leak.astype(np.int64)
        ptr = np.concatenate(([0], np.cumsum(counts + extra), [0]))
        ptr[-1] = ptr[-2] + 1
        columns = np.empty(ptr[-1], dtype=np.uint32)
        row_of = np.repeat(np.arange(len(counts)), counts)
        columns[np.arange(len(row_of)) + np.concatenate(([0], np.cumsum(extra)))[row_of]] = self.indices
        columns[(ptr[1:-1] - 1)[self.leak]] = self.n
        columns[-1] = self.n
        return g.Graph(np.concatenate((self.pair_ptr, [self.pair_ptr[-1] + 1])), ptr, columns)

    def proper_choice(self) -> Ints:
        """A policy of the quotient that leaves almost surely, ``(n,)``."""
        out = np.zeros(self.n + 1, dtype=bool)
        out[self.n] = True
        return g.policy_reaching(self.graph, out, ~out)[: self.n]

    def trapped(self, choice: Ints) -> Bools:
        """Classes of ``choice`` from which it never leaves, ``(n,)``."""
        label, _ = g.bottom_components(self.graph, np.concatenate((choice, [self.pair_ptr[-1]])))
        return (label >= 0)[: self.n]

    def choice_of(self, policy: Ints) -> Ints:
        """The quotient's rows for a policy of the model without groups."""
        local = np.full(len(self.problem.r), -1, dtype=np.int64)
        real = np.flatnonzero(self.pair >= 0)
        local[self.pair[real]] = real
        return local[policy[self.members]]

    def expand(self, V: Array, other: Array) -> Array:
        """Values of the classes as values of the states; ``other`` (S,) elsewhere."""
        out = other.copy()
        inside = self.class_of >= 0
        out[inside] = V[self.class_of[inside]]
        return out

    def policy(self, choice: Ints) -> Ints:
        """The model's policy that a policy of the quotient stands for: it reaches the chosen exit, or stays."""
        st = self.structure
        assert st is not None
        p = self.problem
        full = p.pair_ptr[:-1].copy()  # any admissible pair where nothing is to be chosen
        row = self.pair[choice]
        stopping = row < 0
        finite = np.flatnonzero(self.class_of >= 0)
        stops = finite[stopping[self.class_of[finite]]]
        full[stops] = st.stay[stops]
        exits = np.zeros(p.n_states, dtype=bool)
        exits[p.state[row[~stopping]]] = True
        full[p.state[row[~stopping]]] = row[~stopping]
        waiting = np.zeros(p.n_states, dtype=bool)
        waiting[finite] = ~stopping[self.class_of[finite]]
        waiting &= ~exits
        if waiting.any():
            moves = g.policy_reaching(p.graph, exits, waiting, st.inside)
            full[waiting] = moves[waiting]
        return np.where(st.unbounded >= 0, st.unbounded, full)


_EMPTY = (
    np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool),
)  # fmt: skip
