r"""Graph analysis of a Markov decision process: components, qualitative reachability, the policies that attain it.

Only the supports of the transition laws count: an edge leads from a state to each successor, of positive probability,
of each of its allowed pairs. Masks are bool arrays, ``(S,)`` over states and ``(L,)`` over pairs (state, action).
A state without an allowed pair stays where it is for ever.

The sets are those of de Alfaro, *Formal Verification of Probabilistic Systems* (1997), ch. 3, and Baier & Katoen,
*Principles of Model Checking* (2008), sec. 10.6. All take time linear in the number of entries, but for the maximal end
components, which take :math:`O(m\sqrt m)` at worst and a few passes as a rule. All are deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mdpkit.errors import ModelError

__all__ = [
    "Graph",
    "bottom_components",
    "can_reach",
    "end_components",
    "frozen",
    "pairs_inside",
    "period",
    "policy_avoiding",
    "policy_reaching",
    "policy_staying",
    "prob_max_one",
    "prob_max_positive",
    "prob_min_one",
    "prob_min_positive",
    "reachable",
    "strong_components",
]

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Graph:
    """The supports of a model with S states, L pairs and N entries, as read-only arrays.

    Parameters
    ----------
    pair_ptr : (S + 1,) int64
        The pairs of state ``s`` are ``pair_ptr[s], ..., pair_ptr[s + 1] - 1``.
    indptr : (L + 1,) int64
        The entries of pair ``k`` are ``indptr[k], ..., indptr[k + 1] - 1``, at least one.
    indices : (N,) uint32
        The successor of each entry, whose probability is positive.

    Raises
    ------
    ModelError
        If the arrays do not fit together, a successor is no state, or a pair has no successor.
    """

    pair_ptr: IntArray
    indptr: IntArray
    indices: npt.NDArray[np.uint32]

    def __post_init__(self) -> None:
        pair_ptr = frozen(self.pair_ptr, np.int64)
        indptr = frozen(self.indptr, np.int64)
        given = np.asarray(self.indices)
        for name, ptr, total, of in (
            ("pair_ptr", pair_ptr, indptr.size - 1, "pairs"),
            ("indptr", indptr, given.size, "entries"),
        ):
            if ptr.ndim != 1 or ptr.size == 0 or ptr[0] != 0 or ptr[-1] != total or bool((ptr[1:] < ptr[:-1]).any()):
                raise ModelError(
                    f"graph: {name} is no row pointer",
                    found=f"shape {ptr.shape}, from {ptr[:1]} to {ptr[-1:]}",
                    needed=f"non-decreasing from 0 to the number of {of}, {total}",
                )
        n = pair_ptr.size - 1
        if given.size and (int(given.min()) < 0 or int(given.max()) >= n):
            e = int(np.flatnonzero((given < 0) | (given >= n))[0])
            k = int(np.searchsorted(indptr, e, side="right")) - 1
            s = int(np.searchsorted(pair_ptr, k, side="right")) - 1
            raise ModelError(
                f"graph: pair {k} of state {s} has a successor that is no state",
                found=int(given[e]),
                needed=f"0 to {n - 1}",
            )
        empty = np.flatnonzero(indptr[1:] == indptr[:-1])
        if empty.size:
            k = int(empty[0])
            s = int(np.searchsorted(pair_ptr, k, side="right")) - 1
            raise ModelError(
                f"graph: pair {k} of state {s} has no successor",
                needed="an entry of positive probability in each pair",
                way_out="leave the pair out, or let it lead to an absorbing state",
            )
        object.__setattr__(self, "pair_ptr", pair_ptr)
        object.__setattr__(self, "indptr", indptr)
        object.__setattr__(self, "indices", frozen(given, np.uint32))

    @property
    def n_states(self) -> int:
        """The number of states, S."""
        return self.pair_ptr.size - 1

    @property
    def n_pairs(self) -> int:
        """The number of pairs, L."""
        return self.indptr.size - 1

    @cached_property
    def pair_state(self) -> IntArray:
        """The state of each pair, ``(L,)``."""
        return frozen(np.repeat(np.arange(self.n_states), np.diff(self.pair_ptr)), np.int64)

    @cached_property
    def predecessors(self) -> tuple[IntArray, IntArray]:
        """``(ptr (S + 1,), pairs (N,))``: ``pairs[ptr[s]:ptr[s + 1]]`` have the successor ``s``, in order."""
        return _transposed(self.indptr, self.indices, self.n_states)


def frozen(array: Any, dtype: Any) -> npt.NDArray[Any]:
    """A read-only view (a copy where the type or the layout differs): one type for the compiled kernels."""
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


def _transposed(indptr: IntArray, columns: npt.NDArray[Any], n_columns: int) -> tuple[IntArray, IntArray]:
    """The rows in which each column stands: (n_columns + 1,) pointers and (N,) rows."""
    from scipy import sparse  # pyright: ignore[reportMissingTypeStubs]

    scipy_sparse: Any = sparse
    rows = scipy_sparse.csr_array(
        (np.ones(columns.size, np.int8), columns.astype(np.int64), indptr), shape=(indptr.size - 1, n_columns)
    ).tocsc()
    return frozen(rows.indptr, np.int64), frozen(rows.indices, np.int64)


def _mask(name: str, mask: npt.ArrayLike | None, size: int) -> BoolArray:
    """A writable copy of a mask; all true for None."""
    if mask is None:
        return np.ones(size, np.bool_)
    array = np.array(mask)
    if array.dtype != np.bool_ or array.shape != (size,):
        raise ModelError(
            f"graph: {name} is no mask",
            found=f"{array.dtype} array of shape {array.shape}",
            needed=f"bool array of shape ({size},)",
        )
    return array


def _attract(
    ptr: IntArray, items: IntArray, owner: npt.NDArray[Any], live: BoolArray, need: IntArray, seeds: BoolArray
) -> tuple[IntArray, IntArray]:
    """Rank (-1 outside) and chosen item of the nodes drawn to the seeds."""
    from mdpkit.kernels import _graph_fast

    fast: Any = _graph_fast
    return fast.attract(
        frozen(ptr, np.int64), frozen(items, np.int64), frozen(owner, np.int64), live.copy(), need, seeds
    )


def _drawn(graph: Graph, seeds: BoolArray, inner: BoolArray, live: BoolArray) -> tuple[IntArray, IntArray]:
    """Breadth-first backward over live pairs from ``seeds``, through states of ``inner``: rank and chosen pair."""
    ptr, pairs = graph.predecessors
    return _attract(ptr, pairs, graph.pair_state, live, inner.astype(np.int64), seeds)


def pairs_inside(graph: Graph, states: npt.ArrayLike, pairs: npt.ArrayLike | None = None) -> BoolArray:
    """The allowed pairs, of any state, all of whose successors lie in ``states``: a mask ``(L,)``."""
    inside = _mask("states", states, graph.n_states)
    allowed = _mask("pairs", pairs, graph.n_pairs)
    if graph.n_pairs:
        allowed &= np.logical_and.reduceat(inside[graph.indices], graph.indptr[:-1])
    return allowed


def reachable(graph: Graph, start: npt.ArrayLike, pairs: npt.ArrayLike | None = None) -> BoolArray:
    """The states that some policy reaches with positive probability from ``start``, itself included: a mask ``(S,)``.

    ``start`` is a mask ``(S,)`` or an array of states.
    """
    seeds = _states("start", start, graph.n_states)
    live = np.repeat(_mask("pairs", pairs, graph.n_pairs), np.diff(graph.indptr))
    entries = np.arange(graph.indices.size)
    rank, _ = _attract(
        graph.indptr[graph.pair_ptr], entries, graph.indices, live, np.ones(graph.n_states, np.int64), seeds
    )
    return rank >= 0


def _states(name: str, states: npt.ArrayLike, n: int) -> BoolArray:
    """The mask of a mask or of an array of states."""
    array = np.asarray(states)
    if array.dtype == np.bool_:
        return _mask(name, array, n)
    mask = np.zeros(n, np.bool_)
    if array.size == 0:
        return mask
    if not np.issubdtype(array.dtype, np.integer) or int(array.min()) < 0 or int(array.max()) >= n:
        raise ModelError(f"graph: {name} is no set of states", found=array, needed=f"a mask, or integers 0 to {n - 1}")
    mask[array] = True
    return mask


def strong_components(
    graph: Graph, pairs: npt.ArrayLike | None = None, states: npt.ArrayLike | None = None
) -> tuple[IntArray, int]:
    """Strongly connected components of the edges of the allowed pairs between the given states.

    Returns
    -------
    label : (S,) int64
        The component of each state, in reverse topological order: an edge never leads to a larger label. -1 for the
        states outside ``states``.
    count : int
        The number of components.

    Notes
    -----
    Tarjan, *Depth-first search and linear graph algorithms*, SIAM J. Comput. 1 (1972), without recursion.
    """
    from mdpkit.kernels import _graph_fast

    fast: Any = _graph_fast
    n = graph.n_states
    inside = _mask("states", states, n)
    num = np.where(inside, 0, n + 1).astype(np.int64)
    label = np.full(n, -1, np.int64)
    count, _ = fast.tarjan(
        graph.pair_ptr,
        graph.indptr,
        graph.indices,
        _mask("pairs", pairs, graph.n_pairs),
        np.flatnonzero(inside),
        0,
        int(inside.sum()),
        num,
        np.empty((5, n), np.int64),
        label,
        np.empty(n, np.int64),
        0,
        -1,
    )
    return label, int(count)


def end_components(
    graph: Graph, pairs: npt.ArrayLike | None = None, states: npt.ArrayLike | None = None
) -> tuple[IntArray, BoolArray]:
    """Maximal end components: sets of states in which some policy can stay for ever and visit each state.

    Returns
    -------
    label : (S,) int64
        The component of each state, numbered by the smallest state; -1 for the states in none.
    pair_mask : (L,) bool
        The allowed pairs that stay inside the component of their state; at least one for each state with a label.

    Notes
    -----
    de Alfaro (1997), ch. 3; the algorithm is Chatterjee & Henzinger's, *Efficient and dynamic algorithms for
    alternating Büchi games and maximal end-component decomposition*, J. ACM 61 (2014).
    """
    from mdpkit.kernels import _graph_fast

    fast: Any = _graph_fast
    inside = _mask("states", states, graph.n_states)
    live = pairs_inside(graph, inside, pairs) & inside[graph.pair_state]
    ptr, pred = graph.predecessors
    label, mask, count = fast.end_components(
        graph.pair_ptr, graph.pair_state, graph.indptr, graph.indices, ptr, pred, live, inside
    )
    members = np.flatnonzero(label >= 0)[::-1]
    first = np.empty(count, np.int64)
    first[label[members]] = members  # the last assignment, of the smallest state, stays
    number = np.empty(count, np.int64)
    number[np.argsort(first)] = np.arange(count)
    label[members] = number[label[members]]
    return label, mask


def _parts(
    graph: Graph, target: npt.ArrayLike, through: npt.ArrayLike | None, pairs: npt.ArrayLike | None
) -> tuple[BoolArray, BoolArray, BoolArray]:
    """The masks of the target, of the states of ``through`` outside it, and of the allowed pairs."""
    goal = _mask("target", target, graph.n_states)
    return goal, _mask("through", through, graph.n_states) & ~goal, _mask("pairs", pairs, graph.n_pairs)


def _choices(graph: Graph, pairs: BoolArray) -> IntArray:
    """The number of allowed pairs of each state, ``(S,)``."""
    return np.bincount(graph.pair_state[pairs], minlength=graph.n_states).astype(np.int64)


def can_reach(graph: Graph, target: npt.ArrayLike, pairs: npt.ArrayLike | None = None) -> BoolArray:
    """The states from which some policy reaches ``target`` with positive probability, itself included: ``(S,)``."""
    return prob_max_positive(graph, target, pairs=pairs)


def prob_max_positive(
    graph: Graph, target: npt.ArrayLike, through: npt.ArrayLike | None = None, pairs: npt.ArrayLike | None = None
) -> BoolArray:
    """Where Pmax(``through U target``) > 0: some policy reaches the target with positive probability: ``(S,)``.

    A path may pass only states of ``through`` (default: all) before the target; other states are failure sinks.
    The complement of ``Prob0A``, de Alfaro (1997), ch. 3; Baier & Katoen (2008), sec. 10.6.1.
    """
    goal, inner, allowed = _parts(graph, target, through, pairs)
    return _drawn(graph, goal, inner, allowed)[0] >= 0


def prob_min_positive(
    graph: Graph, target: npt.ArrayLike, through: npt.ArrayLike | None = None, pairs: npt.ArrayLike | None = None
) -> BoolArray:
    """Where Pmin(``through U target``) > 0: every policy reaches the target with positive probability: ``(S,)``.

    The least set with the target and the states of ``through`` all of whose allowed pairs, one at least, have a
    successor in the set: the complement of ``Prob0E``, de Alfaro (1997), ch. 3; Baier & Katoen (2008), sec. 10.6.1.
    """
    goal, inner, allowed = _parts(graph, target, through, pairs)
    ptr, pred = graph.predecessors
    need = np.where(inner, _choices(graph, allowed), 0)
    return _attract(ptr, pred, graph.pair_state, allowed, need, goal)[0] >= 0


def prob_min_one(
    graph: Graph, target: npt.ArrayLike, through: npt.ArrayLike | None = None, pairs: npt.ArrayLike | None = None
) -> BoolArray:
    """Where Pmin(``through U target``) = 1: every policy reaches the target almost surely: ``(S,)``.

    These are the states from which no policy comes, before the target, to a state with Pmin = 0: ``Prob1A``,
    de Alfaro (1997), ch. 3; Baier & Katoen (2008), sec. 10.6.1.
    """
    _, inner, allowed = _parts(graph, target, through, pairs)
    zero = ~prob_min_positive(graph, target, through, pairs)
    return ~(_drawn(graph, zero, inner, allowed)[0] >= 0)


def prob_max_one(
    graph: Graph, target: npt.ArrayLike, through: npt.ArrayLike | None = None, pairs: npt.ArrayLike | None = None
) -> BoolArray:
    r"""Where Pmax(``through U target``) = 1: some policy reaches the target almost surely: ``(S,)``.

    ``Prob1E``, :math:`\nu X.\,\mu Y.\ T \cup \{s : \exists k.\ \mathrm{succ}(k) \subseteq X,\ \mathrm{succ}(k) \cap Y
    \ne \emptyset\}` (de Alfaro 1997, ch. 3; Baier & Katoen 2008, sec. 10.6.1), found without the nested fixed point:
    once the end components outside the target are states, every policy that leaves them comes to the target or fails,
    so a state is lost where each pair that leaves its component has a lost successor.
    """
    goal, inner, allowed = _parts(graph, target, through, pairs)
    component, internal = end_components(graph, allowed, inner)
    n_components = int(component.max(initial=-1)) + 1
    single = component < 0
    unit = np.where(single, n_components + np.cumsum(single) - 1, component)
    n_units = n_components + int(single.sum())
    leaving = allowed & ~internal & inner[graph.pair_state]
    owner = unit[graph.pair_state]
    need = np.bincount(owner[leaving], minlength=n_units).astype(np.int64)
    lost = need == 0
    lost[unit[goal]] = False
    ptr, items = _transposed(graph.indptr, unit[graph.indices], n_units)
    return (_attract(ptr, items, owner, leaving, need, lost)[0] < 0)[unit]


def _first_pairs(graph: Graph, pairs: BoolArray, states: BoolArray) -> IntArray:
    """The first pair of the mask in each of the given states, -1 where there is none: ``(S,)``."""
    policy = np.full(graph.n_states, -1, np.int64)
    usable = np.flatnonzero(pairs & states[graph.pair_state])[::-1]
    policy[graph.pair_state[usable]] = usable  # the last assignment, of the first pair, stays
    return policy


def policy_reaching(
    graph: Graph, target: npt.ArrayLike, within: npt.ArrayLike | None = None, pairs: npt.ArrayLike | None = None
) -> IntArray:
    """A memoryless policy that reaches ``target`` almost surely without leaving ``within`` before.

    Each pair keeps to ``within`` and ``target`` and has a successor closer to the target, breadth-first.

    Returns
    -------
    policy : (S,) int64
        A pair for each state of ``within`` outside the target where such a policy exists; elsewhere -1.
    """
    goal, inner, allowed = _parts(graph, target, within, pairs)
    rank, chosen = _drawn(graph, goal, inner, pairs_inside(graph, inner | goal, allowed))
    if (rank[inner] < 0).any():
        inner &= prob_max_one(graph, goal, inner, allowed)
        _, chosen = _drawn(graph, goal, inner, pairs_inside(graph, inner | goal, allowed))
    return chosen


def policy_staying(graph: Graph, keep: npt.ArrayLike, pairs: npt.ArrayLike | None = None) -> IntArray:
    """A memoryless policy that stays in the set ``keep``: the first allowed pair of each state that does not leave it.

    Returns
    -------
    policy : (S,) int64
        -1 outside ``keep``, and where each allowed pair leaves it: then ``keep`` is not closed.
    """
    inside = _mask("keep", keep, graph.n_states)
    return _first_pairs(graph, pairs_inside(graph, inside, pairs), inside)


def policy_avoiding(
    graph: Graph, target: npt.ArrayLike, through: npt.ArrayLike | None = None, pairs: npt.ArrayLike | None = None
) -> IntArray:
    """A memoryless policy with probability 0 of ``through U target`` wherever Pmin is 0.

    Returns
    -------
    policy : (S,) int64
        -1 where Pmin > 0, and where nothing need be chosen: outside ``through`` and without an allowed pair.
    """
    _, inner, allowed = _parts(graph, target, through, pairs)
    zero = ~prob_min_positive(graph, target, through, pairs)
    return _first_pairs(graph, pairs_inside(graph, zero, allowed), zero & inner)


def _policy(graph: Graph, policy: npt.ArrayLike) -> IntArray:
    """A policy whose pairs belong to their states, or ModelError."""
    array = np.asarray(policy)
    if array.shape != (graph.n_states,) or not np.issubdtype(array.dtype, np.integer):
        raise ModelError(
            "graph: the policy does not fit",
            found=f"{array.dtype} array of shape {array.shape}",
            needed=f"one pair index for each of the {graph.n_states} states, -1 where nothing is chosen",
        )
    chosen = array.astype(np.int64)
    wrong = np.flatnonzero((chosen != -1) & ((chosen < graph.pair_ptr[:-1]) | (chosen >= graph.pair_ptr[1:])))
    if wrong.size:
        s = int(wrong[0])
        raise ModelError(
            f"graph: the policy chooses a pair of another state in state {s}",
            found=int(chosen[s]),
            needed=f"-1, or {graph.pair_ptr[s]} to {graph.pair_ptr[s + 1] - 1}",
        )
    return chosen


def bottom_components(graph: Graph, policy: npt.ArrayLike) -> tuple[IntArray, int]:
    """Recurrent classes of the chain of a deterministic policy ``(S,)`` of pair indices; -1 makes a state absorbing.

    Returns
    -------
    label : (S,) int64
        The recurrent class of each state, numbered by the smallest state; -1 for transient states.
    count : int
        The number of classes.

    Raises
    ------
    ModelError
        If the policy chooses a pair that is not one of its state.
    """
    chosen = _policy(graph, policy)
    used = np.zeros(graph.n_pairs, np.bool_)
    used[chosen[chosen >= 0]] = True
    component, count = strong_components(graph, used)
    entries: BoolArray = np.repeat(used, np.diff(graph.indptr))
    source = component[np.repeat(graph.pair_state, np.diff(graph.indptr))[entries]]
    bottom = np.ones(count, np.bool_)
    bottom[source[component[graph.indices[entries]] != source]] = False
    recurrent = np.flatnonzero(bottom[component])
    kept, first, label = np.unique(component[recurrent], return_index=True, return_inverse=True)
    number = np.empty(kept.size, np.int64)
    number[np.argsort(first)] = np.arange(kept.size)
    result = np.full(graph.n_states, -1, np.int64)
    result[recurrent] = number[label]
    return result, int(kept.size)


def period(graph: Graph, policy: npt.ArrayLike, component: npt.ArrayLike) -> int:
    """Period of one recurrent class: the greatest common divisor of the lengths of its cycles.

    Parameters
    ----------
    policy : (S,) int64
        A pair for each state; -1 makes a state absorbing.
    component : (S,) bool or (n,) integers
        The class, as a mask or as its states.

    Raises
    ------
    ModelError
        If the class is empty, not closed, or not strongly connected under the policy.

    Notes
    -----
    The divisor of ``level[s] + 1 - level[t]`` over the edges, for any levels of a search tree: Denardo, *Periods of
    connected networks and powers of nonnegative matrices*, Math. Oper. Res. 2 (1977).
    """
    chosen = _policy(graph, policy)
    states = np.flatnonzero(_states("component", component, graph.n_states))
    if states.size == 0:
        raise ModelError("graph: the period of an empty class is asked for", needed="a recurrent class")
    pairs = chosen[states]
    stays = pairs < 0
    if stays.any():
        if states.size == 1:
            return 1
        raise _not_recurrent(int(states[stays][0]), "it is absorbing, but not alone")
    length = graph.indptr[pairs + 1] - graph.indptr[pairs]
    ptr = np.concatenate(([0], np.cumsum(length)))
    source = np.repeat(np.arange(states.size), length)
    offset: IntArray = np.repeat(graph.indptr[pairs] - ptr[:-1], length)
    entries = np.arange(offset.size) + offset
    successors = graph.indices[entries].astype(np.int64)
    to = np.minimum(np.searchsorted(states, successors), states.size - 1)
    outside = states[to] != successors
    if outside.any():
        raise _not_recurrent(int(states[source[outside][0]]), f"it has successor {int(successors[outside][0])} outside")
    root = np.zeros(states.size, np.bool_)
    root[0] = True
    every = np.ones(to.size, np.bool_)
    once = np.ones(states.size, np.int64)
    level, _ = _attract(ptr, np.arange(to.size), to, every, once.copy(), root)
    back_ptr, back = _transposed(ptr, to, states.size)
    back_level, _ = _attract(back_ptr, back, np.arange(states.size), once.astype(np.bool_), once, root)
    for reached, way in ((level, "leads to it from"), (back_level, "leads from it to")):
        if (reached < 0).any():
            raise _not_recurrent(int(states[reached < 0][0]), f"no path {way} state {int(states[0])}")
    return int(np.gcd.reduce(np.abs(level[source] + 1 - level[to])))


def _not_recurrent(state: int, why: str) -> ModelError:
    return ModelError(
        f"graph: state {state} is in no recurrent class with the others: {why}",
        needed="one recurrent class of the policy, as bottom_components finds them",
    )
