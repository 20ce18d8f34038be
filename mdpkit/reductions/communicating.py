r"""Communicating classes of a model: where a policy can stay for ever, and what it can get by moving between them.

In each maximal end component the largest gain is one number, for a policy can go from any state to any other and stay. The
optimal gain of the model is the best mixture of these numbers that can be reached: total reward on the quotient, in which a
component is one state that may be stopped in (de Alfaro 1997; Ashok, Chatterjee, Daca, Křetínský & Meggendorfer 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mdpkit.kernels import graph as g
from mdpkit.kernels.rational import to_fraction
from mdpkit.models.canonical import Canonical
from mdpkit.models.criterion import AverageReward
from mdpkit.models.mdp import MDP
from mdpkit.reductions.end_components import Quotient, Structure
from mdpkit.typing import Array, Bools, Ints

__all__ = ["Communicating", "classify", "communicating"]


@dataclass(frozen=True, eq=False)
class Communicating:
    """The maximal end components of a model.

    Attributes
    ----------
    label : (S,) int
        Component of each state, numbered by the smallest state; -1 for states that every policy leaves for good.
    inside : (L,) bool
        Pairs that keep to the component of their state.
    closed : (n,) bool
        Components that no policy leaves.
    """

    problem: Canonical
    label: Ints
    inside: Bools
    closed: Bools

    @property
    def n(self) -> int:
        """Number of components."""
        return len(self.closed)

    @cached_property
    def classes(self) -> tuple[Ints, ...]:
        """States of each component."""
        order = np.argsort(self.label, kind="stable")
        order = order[np.searchsorted(self.label[order], 0) :]
        return tuple(np.split(order, np.cumsum(np.bincount(self.label[order], minlength=self.n))[:-1]))

    @property
    def transient(self) -> Ints:
        """States that are in no component: every policy leaves them for good."""
        return np.flatnonzero(self.label < 0)

    @property
    def kind(self) -> str:
        """``"communicating"``, ``"weakly communicating"`` or ``"multichain"``.

        In the first two cases the optimal gain is the same in all states. Whether all policies have one recurrent class
        (unichain) is not decided: that is NP-hard (Tsitsiklis 2007, recalled).
        """
        if self.n > 1:
            return "multichain"
        return "weakly communicating" if self.transient.size else "communicating"

    @cached_property
    def quotient(self) -> Quotient:
        """Components merged into one state each, which may be stopped in; the rewards of all its pairs count nothing."""
        p = self.problem
        S = p.n_states
        everywhere = np.ones(S, dtype=bool)
        nothing, nowhere = np.full(S, to_fraction(0), dtype=object), np.full(S, -1, dtype=np.int64)
        stop = np.where(self.label >= 0, 0.0, -np.inf)
        stay = g.policy_staying(p.graph, self.label >= 0, self.inside)
        st = Structure(
            p, np.zeros(S), everywhere, np.ones(len(p.state), dtype=bool), stop, nothing, stay, self.label, self.inside,
            nowhere,
        )  # fmt: skip
        return st.quotient

    @cached_property
    def stopping(self) -> tuple[Ints, Ints]:
        """Pairs of the quotient that stop, and the component of each."""
        q = self.quotient
        rows = np.flatnonzero(q.pair < 0)
        return rows, self.label[q.members[q.owner[rows]]]

    def best(self, gains: Array, margin: Any = 0.0) -> tuple[Array, Ints]:
        """Best gain of each class of the quotient, from the gain of each component, and a policy of the quotient.

        ``margin`` is added with each move from class to class, ``(L',)`` or a number.
        """
        from mdpkit.kernels.improvement import improve

        q = self.quotient
        rows, component = self.stopping
        r = np.where(q.pair >= 0, margin, 0.0)
        r[rows] = gains[component]
        if len(rows) == len(q.pair):
            return r, np.arange(q.n)
        return improve(q, r, margin=0.0)

    def policy(self, moves: Ints, stay: Ints) -> Ints:
        """The model's policy that a policy of the quotient stands for; ``stay`` (S,) is what is done to stay."""
        q = self.quotient
        full = q.policy(moves)
        stopping = (q.pair[moves] < 0)[q.class_of]
        return np.where(stopping, stay, full)

    def as_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        sizes = [len(members) for members in self.classes]
        return {
            "kind": self.kind,
            "sizes": sizes,
            "closed": self.closed.tolist(),
            "transient": int(self.transient.size),
        }

    def __str__(self) -> str:
        parts = [f"{self.n} classes ({int(self.closed.sum())} closed)" if self.n > 1 else "1 class"]
        parts[0] += f" of {', '.join(str(len(c)) for c in self.classes[:6])}{', …' if self.n > 6 else ''} states"
        if self.transient.size:
            n = self.transient.size
            parts.append(f"{n:,} state{'' if n == 1 else 's'} in none")
        return f"{self.kind}: {', '.join(parts)}"

    def __repr__(self) -> str:
        return f"Communicating({self})"


def communicating(p: Canonical) -> Communicating:
    """The maximal end components of a problem."""
    label, inside = g.end_components(p.graph)
    n = int(label.max(initial=-1)) + 1
    closed = np.ones(n, dtype=bool)
    leaving = ~inside & (label[p.state] >= 0)
    closed[label[p.state[leaving]]] = False
    return Communicating(p, label, inside, closed)


def classify(mdp: MDP) -> Communicating:
    """Communicating classes of a model: where a policy can stay for ever and reach each state from each other.

    Parameters
    ----------
    mdp : MDP
        Any model whose laws do not vary with the stage; its criterion and rewards are of no consequence.

    Returns
    -------
    Communicating
        ``classes``, ``closed``, ``transient``, ``kind`` (communicating, weakly communicating, multichain).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mk.classify(mk.instances.make("howard-toymaker"))
    Communicating(communicating: 1 class of 2 states)
    """
    problem = mdp.under(AverageReward())
    nothing = np.zeros(mdp.n_pairs)
    return communicating(Canonical(problem, "average", 1, 0, nothing, nothing, nothing + 1))
