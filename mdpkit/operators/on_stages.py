r"""A finite-horizon problem seen from a Markov policy: values, advantages and visits of all stages, in its own arithmetic.

Policies are probabilities of the pairs of each stage, ``pi (H, L)``; values are ``V (H + 1, S)``, the last row being the
terminal rewards. Everything is one pass over the stages. The stationary twin is :mod:`mdpkit.operators.on_policy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from mdpkit.kernels import occupancy, reference, segments
from mdpkit.models.arithmetic import InArithmetic, number
from mdpkit.models.canonical import Canonical
from mdpkit.typing import Array

__all__ = ["OnStages"]


class OnStages:
    """What gradient methods ask of a finite-horizon problem.

    Parameters
    ----------
    problem : Canonical
        Of kind ``"finite"``, in any arithmetic, without states of known value.

    Attributes
    ----------
    H : int
        Number of stages.
    rho : (S,)
        The model's initial law, or the uniform one where it has none.
    """

    def __init__(self, problem: Canonical):
        assert problem.H is not None and problem.terminal is not None
        self.problem, self.H, self.terminal = problem, problem.H, problem.terminal
        self.gamma, self.pair_ptr, self.state = problem.gamma, problem.pair_ptr, problem.state
        self.n_states, self.n_pairs = problem.n_states, len(problem.state)

    @cached_property
    def rho(self) -> Array:
        """The initial law, ``(S,)``."""
        p = self.problem
        if isinstance(p, InArithmetic):
            return p.rho
        return self.uniform_law() if p.mdp.rho is None else p.mdp.rho

    def number(self, x: Any) -> Any:
        """A number or an array in the problem's arithmetic."""
        return number(self.problem, x)

    def uniform_law(self) -> Array:
        """The uniform law of states, ``(S,)``."""
        return self.number(np.ones(self.n_states)) / self.n_states

    def P(self, h: int) -> Any:
        """Transition rows of stage h, by pair."""
        P, L = self.problem.P, self.n_pairs
        return P.rows(h * L, (h + 1) * L) if P.n_rows != L else P

    def r(self, h: int) -> Array:
        """Rewards of stage h, ``(L,)``."""
        r, L = self.problem.r, self.n_pairs
        return r[h * L : (h + 1) * L] if len(r) != L else r

    @cached_property
    def spreads(self) -> list[Any]:
        r"""Bounds :math:`B_h` of the spread of returns from stage h on, in the problem's arithmetic, ``H + 1`` of them.

        :math:`B_H = \max g - \min g` and :math:`B_h = \max r_h - \min r_h + \gamma B_{h+1}`: no action value of stage h is
        further than this from another one.
        """
        p, L = self.problem, self.n_pairs
        exact = isinstance(p, InArithmetic)
        r, g = (p.r_exact, p.terminal_exact) if exact else (p.r, self.terminal)
        discount: Any = max(p.gamma_exact if exact else p.gamma)
        out: list[Any] = [max(g) - min(g)]
        for h in range(self.H - 1, -1, -1):
            stage = r[h * L : (h + 1) * L] if len(r) != L else r
            out.append(max(stage) - min(stage) + discount * out[-1])
        return [self.number(x) for x in out[::-1]]

    def uniform(self) -> Array:
        """The uniform policy of every stage, ``(H, L)``."""
        count = np.diff(self.pair_ptr)[self.state]
        return np.tile(self.number(np.ones(self.n_pairs)) / count, (self.H, 1))

    def q(self, h: int, V: Array) -> Array:
        """Action values of stage h from values of the next one, ``(L,)``."""
        return reference.q_values(self.P(h), self.r(h), self.gamma, V)

    def value(self, pi: Sequence[Array] | Array, V: Array | None = None, before: int | None = None) -> Array:
        """The values of a policy, ``(H + 1, S)``; those of ``V`` are kept from stage ``before`` on, where pi is not asked."""
        out = np.empty((self.H + 1, self.n_states), dtype=self.terminal.dtype)
        start = self.H if V is None or before is None else before
        out[start:] = self.terminal if V is None else V[start:]
        for h in range(start - 1, -1, -1):
            out[h] = segments.mean(pi[h], self.q(h, out[h + 1]), self.pair_ptr)
        return out

    def advantage(self, h: int, pi: Array, V: Array) -> Array:
        r"""Advantages of stage h under ``pi (L,)``, from values of the next one, ``(L,)``.

        Action values are taken relative to a large one of each state first, so that small advantages keep their digits.
        """
        q = self.q(h, V[h + 1])
        q = q - segments.spread(segments.largest(q, self.pair_ptr), self.pair_ptr)
        return q - segments.spread(segments.mean(pi, q, self.pair_ptr), self.pair_ptr)

    def visits(self, pi: Array, rho: Array | None = None) -> Array:
        r"""Discounted laws of the states, :math:`\gamma^h \Pr(s_h = s)`, ``(H, S)``."""
        out = np.empty((self.H, self.n_states), dtype=self.terminal.dtype)
        law = self.rho if rho is None else rho
        for h in range(self.H):
            out[h] = law
            law = law @ occupancy.induced(self.P(h), self.gamma, pi[h], self.pair_ptr)
        return out

    def greedy(self, V: Array) -> Array:
        """Greedy pairs of every stage, ``(H, S)``."""
        return np.array([reference.greedy(self.q(h, V[h + 1]), self.pair_ptr) for h in range(self.H)])

    def gap(self, V: Array) -> float:
        r"""A bound on :math:`V_h^* - V_h^\pi` for V the values of a policy; infinite in other numbers than floats."""
        if V.dtype == object:
            return np.inf
        short = [np.max(reference.best(self.q(h, V[h + 1]), self.pair_ptr) - V[h]) for h in range(self.H)]
        return max(0.0, float(np.sum(short)))
