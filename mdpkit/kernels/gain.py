r"""Gain and bias: improvement of policies for the average reward, in floats and in rationals."""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.errors import ModelError
from mdpkit.kernels import graph as g
from mdpkit.kernels.evaluation import take_rows
from mdpkit.kernels.rational import row_dot, solve_chain, to_fraction
from mdpkit.kernels.stationary import gain_and_bias
from mdpkit.typing import Array, Bools, Ints, Objects

__all__ = ["average_lack", "communicating_gain", "evaluate_average", "improve_average_exact", "improved_average"]

MARGIN = 2.0**-44
"""Improvements below this share of the numbers they are computed from are rounding."""


def evaluate_average(P: Any, r: Array, choice: Ints) -> tuple[Array, Array]:
    r"""Gain and bias of a deterministic policy, ``(S,)`` each; the bias has :math:`P^* h = 0`.

    Parameters
    ----------
    P : Transitions
        Rows over pairs: anything with ``indptr``, ``indices``, ``data`` and ``exact``.
    r : (L,) float or Fractions
        Fractions ask for exact values.
    choice : (S,) int
        A pair for each state.
    """
    data = P.rationals() if r.dtype == object else P.data
    indptr, columns, entries = take_rows(P.indptr, P.indices, data, choice)
    gain, bias, _ = gain_and_bias(indptr, columns, entries, r[choice])
    return gain, bias


def improved_average(P: Any, r: Array, pair_ptr: Ints, gain: Array, bias: Array, choice: Ints) -> Ints:
    r"""Howard's improvement: a larger next gain :math:`Pg`, or the same and a larger :math:`r + Ph`.

    A state keeps its pair unless another is better, by more than rounding where the arrays are floats.

    Parameters
    ----------
    P : Transitions
    r : (L,)
    pair_ptr : (S+1,) int
    gain, bias : (S,)
        Of the policy ``choice``.

    Returns
    -------
    choice : (S,) int
    """
    state, rise, q, margin, slack = _rises(P, r, pair_ptr, gain, bias)
    zero: Any = to_fraction(0) if gain.dtype == object else 0.0
    best_rise = np.maximum.reduceat(rise, pair_ptr[:-1])
    rises = best_rise > margin
    floor = np.where(rises, best_rise, zero) - margin
    kept = rise >= floor[state]
    q = np.where(kept, q, -np.inf)
    best = np.maximum.reduceat(q, pair_ptr[:-1])
    better = rises | (best > q[choice] + slack)
    hit = np.flatnonzero(kept & (q == best[state]))
    found = np.zeros(len(gain), dtype=bool)
    found[state[hit]] = True  # nothing is found where numbers overflow
    better, improved = np.flatnonzero(better & found), choice.copy()
    improved[better] = hit[np.searchsorted(state[hit], better)]
    return improved


def average_lack(P: Any, r: Array, pair_ptr: Ints, gain: Array, bias: Array) -> float:
    """What gain and bias lack to satisfy the optimality equations: infinite where a next gain is larger, by more than rounding.

    Else the largest amount by which a pair of the same next gain exceeds :math:`g + h`. Infinite too where numbers overflow.
    """
    state, rise, q, margin, _ = _rises(P, r, pair_ptr, gain, bias)
    if np.any(rise > margin[state]):
        return np.inf
    kept = rise >= -margin[state]
    if not np.all(np.logical_or.reduceat(kept, pair_ptr[:-1])):
        return np.inf
    lack = float(np.max((q - gain[state] - bias[state])[kept], initial=0.0))
    return np.inf if np.isnan(lack) else lack


def _rises(P: Any, r: Array, pair_ptr: Ints, gain: Array, bias: Array) -> tuple[Ints, Array, Array, Any, Any]:
    """State, rise of the gain and r + Ph of each pair; rounding errors of these two by state."""
    state = np.repeat(np.arange(len(gain)), np.diff(pair_ptr))
    next_gain, q = P @ gain, r + P @ bias
    rise = next_gain - gain[state]
    if gain.dtype == object:
        return state, rise, q, np.full(len(gain), to_fraction(0), dtype=object), to_fraction(0)
    margin = MARGIN * (np.abs(gain) + np.maximum.reduceat(np.abs(next_gain), pair_ptr[:-1]))
    slack = MARGIN * (np.abs(bias) + np.maximum.reduceat(np.abs(r) + P @ np.abs(bias), pair_ptr[:-1]))
    return state, rise, q, margin, slack


def improve_average_exact(
    P: Any, r: Objects, pair_ptr: Ints, choice: Ints, max_steps: int = 10_000
) -> tuple[Objects, Objects, Ints]:
    r"""Exact optimal gain, the bias of a gain-optimal policy with :math:`P^*h = 0`, and the policy; multichain.

    On the end of the iteration :math:`Pg \le g` for all pairs, and :math:`r + Ph \le g + h` for those with :math:`Pg = g`.

    Notes
    -----
    A step either raises the gain somewhere and lowers it nowhere, or keeps it, then it keeps the recurrent classes of the new
    policy and raises the bias of transient states; so no policy comes twice (Howard 1960; Veinott 1966, recalled).
    """
    choice = np.asarray(choice, dtype=np.int64)
    for _ in range(max_steps):
        gain, bias = evaluate_average(P, r, choice)
        better = improved_average(P, r, pair_ptr, gain, bias, choice)
        if np.array_equal(better, choice):
            return gain, bias, choice
        choice = better
    raise ModelError("exact policy iteration did not end", found=f"{max_steps} policies")  # pragma: no cover


def communicating_gain(
    graph: g.Graph, data: Objects, r: Objects, where: Bools, inside: Bools
) -> tuple[Any, Objects, Ints]:
    r"""Largest gain of an end component, a policy that attains it, and a vector h with :math:`\max_a r + Ph - h = g` on it.

    Parameters
    ----------
    graph : Graph
    data : (nnz,) Fractions
        The probabilities.
    r : (L,) Fractions
    where : (S,) bool
        The states of the end component.
    inside : (L,) bool
        Its pairs.

    Returns
    -------
    gain : Fraction
    h : (S,) Fractions
        Zero outside, and at one state of the component.
    policy : (S,) int
        A pair for each state of the component, -1 outside; one recurrent class.

    Notes
    -----
    Each policy is evaluated by its excursions from a state of its recurrent class: expected reward and expected length
    until the return (renewal reward). A policy is left for strict improvements only; an improved policy whose recurrent
    class lies elsewhere has a larger gain there, and the policy is made to lead to that class (Howard 1960).
    """
    states = np.flatnonzero(where)
    pairs = np.flatnonzero(inside)
    rows = take_rows(graph.indptr, graph.indices, data, pairs)
    owner = graph.pair_state[pairs]
    home = int(states[0])
    policy = _leading_to(graph, where, inside, home, None)
    zero = to_fraction(0)
    while True:
        gain, h = _evaluate(graph, data, r, states, policy, home)
        value = np.full(graph.n_states, zero, dtype=object)
        value[states] = h
        lack = r[pairs] + row_dot(*rows, value) - value[owner]
        better = policy.copy()
        top: dict[int, Any] = {}
        for k, s, advantage in zip(pairs.tolist(), owner.tolist(), lack.tolist(), strict=True):
            if advantage > top.get(s, gain):
                top[s] = advantage
                better[s] = k
        if not top:
            return gain, value, np.where(where, policy, -1)
        chosen = np.where(where, better, -1)
        label, _ = g.bottom_components(graph, chosen)
        classes = [np.flatnonzero(where & (label == c)) for c in np.unique(label[where & (label >= 0)])]
        best = max(classes, key=lambda members: _class_gain(graph, data, r, members, better))
        home = int(best[0])
        policy = better if len(classes) == 1 else _leading_to(graph, where, inside, home, (best, better))


def _leading_to(graph: g.Graph, where: Bools, inside: Bools, home: int, kept: tuple[Ints, Ints] | None) -> Ints:
    """A policy of the component whose only recurrent class is that of ``home`` (the class and policy ``kept``)."""
    target = np.zeros(graph.n_states, dtype=bool)
    target[home if kept is None else kept[0]] = True
    policy = g.policy_reaching(graph, target, where & ~target, inside)
    if kept is None:
        policy[home] = np.flatnonzero(inside & (graph.pair_state == home))[0]
    else:
        policy[kept[0]] = kept[1][kept[0]]
    return policy


def _evaluate(graph: g.Graph, data: Objects, r: Objects, states: Ints, policy: Ints, home: int) -> tuple[Any, Array]:
    """Gain, and the values of the excursions with the gain taken off, of a policy with one recurrent class."""
    local = np.full(graph.n_states, -1, dtype=np.int64)
    local[states] = np.arange(len(states))
    chosen = policy[states]
    indptr, columns, values = take_rows(graph.indptr, graph.indices, data, chosen)
    keep = columns != home
    row_of = np.repeat(np.arange(len(states)), np.diff(indptr))[keep]
    counts = np.concatenate(([0], np.cumsum(np.bincount(row_of, minlength=len(states)))))
    right = np.empty((len(states), 2), dtype=object)
    right[:, 0], right[:, 1] = r[chosen], to_fraction(1)
    x = solve_chain(counts, local[columns[keep]], values[keep], right)
    at = local[home]
    gain = x[at, 0] / x[at, 1]
    return gain, x[:, 0] - gain * x[:, 1]


def _class_gain(graph: g.Graph, data: Objects, r: Objects, members: Ints, policy: Ints) -> Any:
    return _evaluate(graph, data, r, members, policy, int(members[0]))[0]
