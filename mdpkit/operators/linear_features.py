r"""A problem whose model is a :class:`~mdpkit.models.linear.LinearMDP`, seen through its features, in its own arithmetic."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from mdpkit.kernels import reference, segments
from mdpkit.models.arithmetic import InArithmetic, arithmetic_of, number
from mdpkit.models.canonical import Canonical
from mdpkit.models.linear import LinearMDP
from mdpkit.models.sampling import GenerativeModel
from mdpkit.operators.optimal_design import OptimalDesign
from mdpkit.typing import Array, Floats, Ints

__all__ = ["LinearFeatures", "has_features"]


def has_features(problem: Canonical) -> bool:
    """Whether the problem's model is a linear MDP whose rewards and laws are linear in its features."""
    return isinstance(problem.mdp, LinearMDP) and problem.fixed is None


class LinearFeatures:
    """Features of the pairs, backups of a few of them, and draws.

    Parameters
    ----------
    problem : Canonical
        Discounted by one factor, or over a finite horizon; its model is a :class:`LinearMDP`.

    Attributes
    ----------
    phi : (L, d)
        In the problem's arithmetic.
    """

    def __init__(self, problem: Canonical):
        mdp: Any = problem.mdp
        self.problem, self.mdp, self.pair_ptr = problem, mdp, problem.pair_ptr
        self.n_states, self.n_pairs, self.dim = problem.n_states, len(problem.state), mdp.dim
        self.finite = problem.kind == "finite"
        self.gamma = problem.gamma
        exact = isinstance(problem, InArithmetic)
        self.phi: Array = number(problem, np.asarray(mdp.phi_exact)) if exact else mdp.phi

    def number(self, x: Any) -> Any:
        """A number or an array in the problem's arithmetic."""
        return number(self.problem, x)

    def core(self, eps: Any, scale: Array | None = None) -> Array:
        r"""Weights of an optimal design of the features, in the problem's arithmetic, ``(L,)``.

        With a ``scale`` (L,), positive numbers f, of the features divided by f.

        Raises
        ------
        ModelError
            If the features are of deficient rank: says which, and what to do.
        """
        self.mdp.need_full_rank("a design of the features")
        found = OptimalDesign.of(self.mdp.phi, scale=None if scale is None else segments.floats(scale), eps=eps)
        if arithmetic_of(self.problem) == "float":
            return found.weights
        return self.number(found.certificate().weights)

    def rows(self, h: int) -> Any:
        """Transition rows of stage h, by pair."""
        P, L = self.problem.P, self.n_pairs
        return P.rows(h * L, (h + 1) * L) if P.n_rows != L else P

    def rewards(self, h: int) -> Array:
        """Rewards of stage h, ``(L,)``."""
        r, L = self.problem.r, self.n_pairs
        return r[h * L : (h + 1) * L] if len(r) != L else r

    def q(self, V: Array, h: int = 0) -> Array:
        """Exact action values of stage h from values of the next state, ``(L,)``."""
        return reference.q_values(self.rows(h), self.rewards(h), self.gamma, V)

    def best(self, q: Array) -> Array:
        """Largest action value of each state, ``(S,)``."""
        return segments.largest(q, self.pair_ptr) if segments.is_ball(q[0]) else reference.best(q, self.pair_ptr)

    def greedy(self, q: Array) -> Ints:
        """First greedy pair of each state, ``(S,)``."""
        return reference.greedy(q, self.pair_ptr)

    def draw(self, counts: Ints, rng: np.random.Generator, h: int = 0) -> tuple[Ints, Ints]:
        """Draw each pair so many times, in stage h: the pairs, and their next states."""
        pairs = np.repeat(np.arange(self.n_pairs), counts)
        stage = h if self.mdp.stages is not None else None
        return pairs, GenerativeModel(self.mdp).sample_pairs(pairs, rng, stage=stage)[0]

    def sampled_q(self, V: Floats, counts: Ints, rng: np.random.Generator, h: int = 0) -> Floats:
        """r + gamma V(s'), averaged over fresh draws, of the pairs with counts, ``(L,)``; zero elsewhere."""
        pairs, after = self.draw(counts, rng, h)
        mean = np.bincount(pairs, V[after], minlength=self.n_pairs) / np.maximum(counts, 1)
        return np.where(counts > 0, self.rewards(h) + self.gamma * mean, 0.0)

    @cached_property
    def ranges(self) -> list[tuple[Any, Any]]:
        """Bounds of what can be earned from each stage on, ``H + 1`` of them; of a discounted problem, one."""
        p = self.problem
        if not self.finite:
            one = 1 - self.gamma[0]
            return [(min(p.r) / one, max(p.r) / one)]
        assert p.H is not None and p.terminal is not None
        out: list[tuple[Any, Any]] = [(min(p.terminal), max(p.terminal))]
        for h in range(p.H - 1, -1, -1):
            r, g = self.rewards(h), self.gamma[0]
            out.append((min(r) + g * out[-1][0], max(r) + g * out[-1][1]))
        return out[::-1]

    def clipped(self, V: Array, h: int = 0) -> Array:
        """Values of stage h, no lower and no higher than what can be earned."""
        low, high = self.ranges[h]
        return np.minimum(np.maximum(V, low), high)

    def certain(self, V: Array, q: Array) -> float:
        r"""The width of bounds on :math:`V^*` from the exact backup q of V; infinite in other numbers than floats."""
        if V.dtype == object:
            return np.inf
        change = self.best(q) - V
        rounding = float(np.finfo(np.float64).eps * np.max(np.abs(V)))
        return (float(np.max(change) - np.min(change)) + rounding) / (1 - float(self.gamma[0]))


HUNDREDTH = Fraction(1, 100)
"""The default accuracy of designs."""
