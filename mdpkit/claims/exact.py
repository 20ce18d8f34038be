r"""The judge in rationals: exact quantities of a small model under any criterion, by its own code.

Claims about solvers that compute in floats compare with these: a float is a rational, so one update of a solver is computed
again without any error from the very state it started from. Values are those of the maximizing problem (costs are negative
rewards), as in the states of solvers. Nothing here calls the kernels or operators that solvers use.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from fractions import Fraction
from functools import cached_property
from importlib import import_module
from itertools import product
from math import inf, prod
from typing import Any

from mdpkit.errors import ModelError
from mdpkit.models.canonical import canonical
from mdpkit.models.mdp import MDP

__all__ = ["Exact", "exactly", "solve", "span", "sup"]

MOST_POLICIES = 5000
KEPT = 64
"""Judges that are kept; each holds its model, so that no other one gets its identity."""
_MADE: dict[int, tuple[MDP, Exact]] = {}


def exactly(values: Any) -> list[Any]:
    """Numbers as Fractions, floats by their bits; infinities stay floats."""
    return [x if isinstance(x, float) and abs(x) == inf else Fraction(x) for x in (float_or(v) for v in values)]


def float_or(x: Any) -> Any:
    """A numpy number as Python's."""
    return x.item() if hasattr(x, "item") else x


def sup(values: Iterable[Any]) -> Any:
    """Supremum norm."""
    return max(abs(x) for x in values)


def span(values: Sequence[Any]) -> Any:
    """Largest less least."""
    return max(values) - min(values)


def solve(A: Sequence[Sequence[Fraction]], *right: Sequence[Fraction]) -> list[list[Fraction]]:
    """The solutions of A x = b for several right-hand sides.

    Raises
    ------
    ZeroDivisionError
        If A is singular.
    """
    flint: Any = import_module("flint")
    n = len(A)

    def number(x: Any) -> Any:
        x = Fraction(x)
        return flint.fmpq(x.numerator, x.denominator)

    matrix = flint.fmpq_mat(n, n, [number(x) for row in A for x in row])
    columns = flint.fmpq_mat(n, len(right), [number(b[i]) for i in range(n) for b in right])
    X = matrix.solve(columns)
    return [[Fraction(int(X[i, j].p), int(X[i, j].q)) for i in range(n)] for j in range(len(right))]


class Exact:
    """Exact quantities of a small rational model.

    Parameters
    ----------
    mdp : MDP

    Attributes
    ----------
    S, L : int
    sign : int
        -1 where the model minimizes: its values are those here with the other sign.
    pairs : list of range
        The pairs of each state.
    state : list of int
        The state of each pair.
    P : list of dict
        Probabilities of next states, by pair (by stage and pair where laws vary).
    r, gamma : list of Fraction
        Of the maximizing problem, by pair (rewards by stage and pair where they vary).
    known : dict
        Values of the states where the path ends, under total reward.
    """

    def __init__(self, mdp: MDP):
        self.mdp = mdp
        self._twins: dict[str, Exact] = {}
        p = canonical(mdp)
        self.kind, self.miss, self.H, self.sign = p.kind, p.miss, p.H, p.sign
        self.S, self.L = p.n_states, len(p.state)
        ptr = p.pair_ptr.tolist()
        self.pairs = [range(ptr[s], ptr[s + 1]) for s in range(self.S)]
        self.state: list[int] = p.state.tolist()
        self.r = [Fraction(x) for x in p.r_exact.tolist()]
        self.gamma = [Fraction(x) for x in p.gamma_exact.tolist()]
        self.P: list[dict[int, Fraction]] = [{} for _ in range(mdp.P.n_rows)]
        for k, t, x in zip(mdp.P.row_of.tolist(), mdp.P.indices.tolist(), mdp.P.rationals().tolist(), strict=True):
            if x:
                law: dict[int, Fraction] = self.P[int(k)]
                law[int(t)] = law.get(int(t), Fraction(0)) + Fraction(x)
        self.terminal = None if p.terminal is None else [Fraction(x) for x in p.terminal_exact.tolist()]
        self.known: dict[int, Fraction] = {}
        if p.fixed is not None and p.fixed_value is not None:
            self.known = {s: Fraction(float_or(p.fixed_value[s])) for s in range(self.S) if p.fixed[s]}

    @classmethod
    def of(cls, mdp: MDP) -> Exact:
        """The judge of a model, with what it has found so far: a claim looks at one model many times."""
        if id(mdp) not in _MADE:
            if len(_MADE) >= KEPT:
                _MADE.pop(next(iter(_MADE)))
            _MADE[id(mdp)] = mdp, cls(mdp)
        return _MADE[id(mdp)][1]

    def under_discount(self, gamma: Fraction) -> Exact:
        """The same model under one discount factor, however near to one."""
        key = f"discount {gamma}"
        if key not in self._twins:
            other = copy(self)
            for name in ("optimal", "worst", "optimal_pairs"):
                other.__dict__.pop(name, None)
            other.kind, other.gamma = "discounted", [gamma] * self.L
            self._twins[key] = other
        return self._twins[key]

    @property
    def modulus(self) -> Fraction:
        """The largest discount factor."""
        return max(self.gamma)

    def exit(self, choice: Sequence[int]) -> Sequence[int]:
        """A policy as pairs, checked: one of each state."""
        out = [int(k) for k in choice]
        if len(out) != self.S or any(k not in self.pairs[s] for s, k in enumerate(out)):
            raise ModelError("no pair of each state", found=out)
        return out

    # -- operators ---------------------------------------------------------------------------------------------------

    def row(self, k: int, V: Sequence[Any], stage: int = 0) -> Any:
        """The expectation of V after pair k."""
        P = self.P[k + stage * self.L] if len(self.P) > self.L else self.P[k]
        return sum((x * V[t] for t, x in P.items()), Fraction(0))

    def q(self, V: Sequence[Any], r: Sequence[Any] | None = None, stage: int = 0) -> list[Any]:
        """r + gamma P V, of each pair."""
        r = self.r if r is None else r
        shift = stage * self.L if len(r) > self.L else 0
        return [r[shift + k] + self.gamma[k] * self.row(k, V, stage) for k in range(self.L)]

    def best(self, q: Sequence[Any]) -> list[Any]:
        """The largest action value of each state."""
        return [max(q[k] for k in pairs) for pairs in self.pairs]

    def backup(self, V: Sequence[Any]) -> list[Any]:
        """TV, of each state."""
        return self.best(self.q(V))

    def on(self, choice: Sequence[int], V: Sequence[Any], r: Sequence[Any] | None = None) -> list[Any]:
        """The operator of a deterministic policy, of each state."""
        r = self.r if r is None else r
        return [r[k] + self.gamma[k] * self.row(k, V) for k in map(int, choice)]

    def policies(self) -> Iterator[tuple[int, ...]]:
        """All deterministic policies, as pairs.

        Raises
        ------
        ModelError
            If there are too many.
        """
        pairs = [pairs[:1] if s in self.known else pairs for s, pairs in enumerate(self.pairs)]
        if prod(map(len, pairs)) > MOST_POLICIES:
            raise ModelError("too many policies to look at each", found=prod(map(len, pairs)))
        return product(*pairs)

    # -- discounted --------------------------------------------------------------------------------------------------

    def _matrix(self, choice: Sequence[int], states: Sequence[int], scale: Fraction = Fraction(1)) -> list[list[Any]]:
        """I - scale gamma P of a policy, on some states."""
        place = {s: i for i, s in enumerate(states)}
        A = [[Fraction(int(i == j)) for j in range(len(states))] for i in range(len(states))]
        for s in states:
            k = int(choice[s])
            for t, x in self.P[k].items():
                if t in place:
                    A[place[s]][place[t]] -= scale * self.gamma[k] * x
        return A

    def inverse(self, choice: Sequence[int], *right: Sequence[Any], scale: Fraction = Fraction(1)) -> list[list[Any]]:
        """Solutions of x = b + scale gamma P x for a policy."""
        return solve(self._matrix(choice, range(self.S), scale), *right)

    def value(self, choice: Sequence[int]) -> list[Fraction]:
        """The discounted value of a deterministic policy."""
        return self.inverse(choice, [self.r[int(k)] for k in choice])[0]

    @cached_property
    def optimal(self) -> list[Any]:
        """The optimal value, exactly: discounted by policy iteration; total reward and gain by looking at each policy."""
        if self.kind == "discounted":
            return self._howard(self.r)
        if self.kind == "total":
            return [max(x) for x in zip(*(self.total(c) for c in self.policies()), strict=True)]
        if self.kind == "average":
            return [max(x) for x in zip(*(self.gain(c) for c in self.policies()), strict=True)]
        raise ModelError("no single value", found=self.kind)

    @cached_property
    def worst(self) -> list[Fraction]:
        """The discounted value of the worst policy."""
        return [-x for x in self._howard([-x for x in self.r])]

    def _howard(self, r: Sequence[Fraction]) -> list[Fraction]:
        choice = [pairs[0] for pairs in self.pairs]
        while True:
            V = self.inverse(choice, [r[k] for k in choice])[0]
            q = self.q(V, r)
            better = [max(pairs, key=lambda k: (q[k], k == choice[s])) for s, pairs in enumerate(self.pairs)]
            if better == choice:
                assert self.best(q) == V
                return V
            choice = better

    @cached_property
    def optimal_pairs(self) -> set[int]:
        """All pairs that attain the optimal discounted value."""
        q = self.q(self.optimal)
        return {k for k in range(self.L) if q[k] == self.optimal[self.state[k]]}

    # -- finite horizon ----------------------------------------------------------------------------------------------

    def horizon(self, choice: Any = None) -> list[list[Fraction]]:
        """Values of all stages, the last first computed: the optimal ones, or those of a Markov policy ``choice[h][s]``."""
        assert self.H is not None and self.terminal is not None
        V: list[list[Any]] = [self.terminal]
        for h in range(self.H - 1, -1, -1):
            q = self.q(V[0], stage=h)
            new = self.best(q) if choice is None else [q[int(k)] for k in choice[h]]
            V.insert(0, [self.known.get(s, v) for s, v in enumerate(new)])
        return V

    # -- chains ------------------------------------------------------------------------------------------------------

    def classes(self, choice: Sequence[int], ends: Iterable[int] = ()) -> list[list[int]]:
        """The recurrent classes of a policy's chain, in which ``ends`` are absorbing."""
        ends = set(ends)
        reach: list[set[int]] = [{s} | (set() if s in ends else set(self.P[int(choice[s])])) for s in range(self.S)]
        for t in range(self.S):
            for s in range(self.S):
                if t in reach[s]:
                    reach[s] = reach[s] | reach[t]
        found: list[list[int]] = []
        for s in range(self.S):
            if all(s in reach[t] for t in reach[s]) and not any(s in c for c in found):
                found.append(sorted(reach[s]))
        return found

    def total(self, choice: Sequence[int]) -> list[Any]:
        """The total reward of a deterministic policy; infinite where rewards of one sign recur.

        Raises
        ------
        ModelError
            If rewards of both signs recur.
        """
        out: dict[int, Any] = {}
        for states in self.classes(choice, self.known):
            if states[0] in self.known:
                out[states[0]] = self.known[states[0]]
                continue
            r = [self.r[int(choice[s])] for s in states]
            if self.miss != "stay":
                value: Any = inf if self.miss == "best" else -inf
            elif not any(r):
                value = Fraction(0)
            elif all(x >= 0 for x in r) or all(x <= 0 for x in r):
                value = inf if max(r) > 0 else -inf
            else:
                raise ModelError("rewards of both signs recur", found=states)
            out |= dict.fromkeys(states, value)
        rest = [s for s in range(self.S) if s not in out]
        # Where an infinite value may be entered, it is the value: only one sign occurs.
        changed = True
        while changed:
            changed = False
            for s in list(rest):
                bad = [out[t] for t in self.P[int(choice[s])] if t in out and abs(out[t]) == inf]
                if bad:
                    out[s] = bad[0]
                    rest.remove(s)
                    changed = True
        if rest:
            b = [
                self.r[int(choice[s])]
                + sum((x * out[t] for t, x in self.P[int(choice[s])].items() if t in out), Fraction(0))
                for s in rest
            ]
            out |= dict(zip(rest, solve(self._matrix(choice, rest), b)[0], strict=True))
        return [out[s] for s in range(self.S)]

    def steps(self, choice: Sequence[int], inside: Sequence[int]) -> dict[int, Fraction]:
        """Expected number of steps until the states ``inside`` are left, from each of them."""
        found = solve(self._matrix(choice, inside), [Fraction(1)] * len(inside))[0]
        return dict(zip(inside, found, strict=True))

    # -- average reward ----------------------------------------------------------------------------------------------

    def limit(self, choice: Sequence[int]) -> list[list[Fraction]]:
        """The limiting matrix of a policy's chain: in the mean, where it is periodic."""
        S, classes = self.S, self.classes(choice)
        law: list[dict[int, Fraction]] = []
        for states in classes:
            A = self._chain(choice, states)
            n = len(states)
            transposed = [[A[j][i] for j in range(n)] for i in range(n)]
            transposed[0] = [Fraction(1)] * n
            mu = solve(transposed, [Fraction(int(i == 0)) for i in range(n)])[0]
            law.append(dict(zip(states, mu, strict=True)))
        enter: list[list[Fraction]] = []
        for states in classes:
            inside = set(states)
            rest = [s for s in range(S) if not any(s in c for c in classes)]
            e = [Fraction(int(s in inside)) for s in range(S)]
            if rest:
                b = [sum((x for t, x in self.P[int(choice[s])].items() if t in inside), Fraction(0)) for s in rest]
                for s, v in zip(rest, solve(self._chain(choice, rest), b)[0], strict=True):
                    e[s] = v
            enter.append(e)
        return [
            [
                sum((e[s] * mu.get(t, Fraction(0)) for e, mu in zip(enter, law, strict=True)), Fraction(0))
                for t in range(S)
            ]
            for s in range(S)
        ]

    def _chain(self, choice: Sequence[int], states: Sequence[int]) -> list[list[Fraction]]:
        """I - P of a policy, on some states."""
        place = {s: i for i, s in enumerate(states)}
        A = [[Fraction(int(i == j)) for j in range(len(states))] for i in range(len(states))]
        for s in states:
            for t, x in self.P[int(choice[s])].items():
                if t in place:
                    A[place[s]][place[t]] -= x
        return A

    def gain(self, choice: Sequence[int]) -> list[Fraction]:
        """The gain of a deterministic policy."""
        r = [self.r[int(k)] for k in choice]
        return [sum((x * y for x, y in zip(row, r, strict=True)), Fraction(0)) for row in self.limit(choice)]

    def gain_and_bias(self, choice: Sequence[int]) -> tuple[list[Fraction], list[Fraction]]:
        """Gain and bias of a deterministic policy; the limiting matrix takes the bias to zero."""
        P = self.limit(choice)
        r = [self.r[int(k)] for k in choice]
        g = [sum((x * y for x, y in zip(row, r, strict=True)), Fraction(0)) for row in P]
        A = self._chain(choice, range(self.S))
        A = [[x + y for x, y in zip(a, p, strict=True)] for a, p in zip(A, P, strict=True)]
        return g, solve(A, [x - y for x, y in zip(r, g, strict=True)])[0]

    def hitting(self, choice: Sequence[int]) -> tuple[Fraction, Fraction]:
        """Largest expected number of steps between states of one recurrent class, and until a recurrent class is entered."""
        inside, classes = Fraction(1), self.classes(choice)
        for states in classes:
            for root in states:
                rest = [s for s in states if s != root]
                if rest:
                    inside = max(inside, *solve(self._chain(choice, rest), [Fraction(1)] * len(rest))[0])
        rest = [s for s in range(self.S) if not any(s in c for c in classes)]
        before = max(solve(self._chain(choice, rest), [Fraction(1)] * len(rest))[0]) if rest else Fraction(1)
        return inside, before
