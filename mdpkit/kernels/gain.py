r"""Exact gain and bias of one end component, by policy iteration over policies with one recurrent class."""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.kernels import graph as g
from mdpkit.kernels.evaluation import take_rows
from mdpkit.kernels.rational import row_dot, solve_chain, to_fraction
from mdpkit.typing import Array, Bools, Ints, Objects

__all__ = ["communicating_gain"]


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
