r"""A canonical problem as substochastic rows in the order of its strongly connected components.

Under a discount the rows are those of the model times :math:`\gamma`; for total reward they are those of the quotient by end
components without reward. In both, :math:`V(s) = \max_k \{ r(k) + \sum_t m(k,t) V(t) \}` has one solution.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from mdpkit.kernels import graph as g
from mdpkit.models.canonical import Canonical
from mdpkit.operators.bellman import Sweeper
from mdpkit.reductions.end_components import Quotient, analyze
from mdpkit.solver import Answer
from mdpkit.typing import Array, Floats, Ints

__all__ = ["Bounds", "OrderedRows", "answer", "enclose", "rows_of"]

TRIES = 30
PATIENCE = 64


class Bounds(NamedTuple):
    """Inductive bounds of the rows, and a policy that supports the one below."""

    below: Floats
    above: Floats
    choice: Ints


class OrderedRows(NamedTuple):
    """OrderedRows over ``n`` states or classes, read-only, and their components.

    ``order[first[c]:first[c + 1]]`` are the states of component c; edges lead to the same or a smaller number. ``margin``
    bounds the errors of the rewards, ``quotient`` is None under a discount.
    """

    n: int
    pair_ptr: Ints
    indptr: Ints
    indices: Array
    data: Floats
    r: Floats
    margin: Floats
    order: Ints
    first: Ints
    quotient: Quotient | None

    @property
    def arrays(self) -> tuple[Array, ...]:
        """What kernels take: ``pair_ptr, indptr, indices, data, r``."""
        return self.pair_ptr, self.indptr, self.indices, self.data, self.r

    def proper(self) -> Ints:
        """A policy under which V = TV has one solution: any under a discount, else one that leaves almost surely."""
        return self.pair_ptr[:-1].copy() if self.quotient is None else self.quotient.proper_choice()

    def before(self) -> tuple[Ints, Ints, Floats]:
        """``(ptr (n + 1,), states, weights)``: the states that lead to each one, with their largest probability of it."""
        owner = np.repeat(np.arange(self.n), np.diff(self.pair_ptr))
        source = np.repeat(owner, np.diff(self.indptr))
        by = np.lexsort((source, self.indices))
        to, source, data = self.indices[by].astype(np.int64), source[by], self.data[by]
        new = np.flatnonzero(np.diff(to, prepend=-1) | np.diff(source, prepend=-1))
        ptr = np.concatenate(([0], np.cumsum(np.bincount(to[new], minlength=self.n))))
        weight = np.maximum.reduceat(data, new) if len(new) else data
        return g.frozen(ptr, np.int64), g.frozen(source[new], np.int64), g.frozen(weight, np.float64)


def rows_of(problem: Canonical) -> OrderedRows:
    """The rows of a discounted or total-reward problem."""
    if problem.kind == "total":
        q = analyze(problem).quotient
        margin = np.zeros(len(q.pair))
        margin[q.pair >= 0] = 2 * problem.r_error[q.pair[q.pair >= 0]]
        label, count = g.strong_components(q.graph)
        # Every class can leave, so having left (the last state of the graph) is its only bottom component, number 0.
        label, count = label[: q.n] - 1, count - 1
        n, data, r = q.n, q.data, q.r
        pair_ptr, indptr, indices = q.pair_ptr, q.indptr, q.indices
    else:
        q = None
        P = problem.P
        data = P.data * np.repeat(problem.gamma, np.diff(P.indptr))
        size = np.maximum.reduceat(np.abs(problem.r), problem.pair_ptr[:-1]).max() / (1 - problem.gamma.max())
        margin = 2 * (problem.r_error + P.mass_defect * size)
        label, count = g.strong_components(problem.graph)
        n, r = problem.n_states, problem.r
        pair_ptr, indptr, indices = problem.pair_ptr, P.indptr, P.indices
    order = np.argsort(label, kind="stable")
    first = np.concatenate(([0], np.cumsum(np.bincount(label, minlength=count))))
    ints = (g.frozen(x, np.int64) for x in (pair_ptr, indptr, order, first))
    floats = (g.frozen(x, np.float64) for x in (data, r, margin))
    pair_ptr, indptr, order, first = ints
    data, r, margin = floats
    return OrderedRows(n, pair_ptr, indptr, g.frozen(indices, np.uint32), data, r, margin, order, first, q)


def enclose(rows: OrderedRows, V: Floats, slack: Floats) -> Bounds | None:
    """Inductive bounds close to V, and a policy that supports the one below; None where no guess is inductive.

    ``slack`` is about how far V is from the solution in each component, relative to it. The bounds are rounded outward, so
    that the certificate takes them as they are.
    """
    kernels: Any = import_module("mdpkit.kernels.components")
    below, above, choice = np.empty(rows.n), np.empty(rows.n), rows.pair_ptr[:-1].copy()
    found = kernels.enclose_components(
        rows.first,
        rows.order,
        *rows.arrays,
        rows.margin,
        slack,
        TRIES,
        PATIENCE,
        V,
        below,
        above,
        choice,
        choice.copy(),
    )
    return Bounds(below, above, choice) if found else None


def answer(problem: Canonical, rows: OrderedRows, V: Floats, bounds: Bounds | None) -> Answer:
    """The answer of a solver that holds a value of the rows: greedy under a discount, else with its bounds if it has some."""
    q = rows.quotient
    if q is None:
        return Answer(V, Sweeper(problem).backup(V)[1])
    known = np.zeros(problem.n_states) if q.structure is None else q.structure.infinite.copy()
    if problem.fixed is not None and problem.fixed_value is not None:
        known[problem.fixed] = problem.fixed_value[problem.fixed]
    if bounds is None:
        return Answer(q.expand(V, known), q.policy(q.proper_choice()))
    below, above = q.expand(bounds.below, known), q.expand(bounds.above, known)
    return Answer(below, q.policy(bounds.choice), below, above)
