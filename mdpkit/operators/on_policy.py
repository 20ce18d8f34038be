r"""A discounted problem seen from a policy: values, advantages and visits, in the problem's own arithmetic.

Policies are probabilities of pairs, ``pi (L,)``; ``V (S,)``, ``Q (L,)`` and advantages ``A (L,)`` are those of the canonical
(maximizing) form. Everything is an exact linear solve: no sampling, no iteration. In floats the model may be sparse; in
Fractions or balls (:func:`mdpkit.models.arithmetic.in_arithmetic`) it is dense and small.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from mdpkit.kernels import occupancy, reference, segments, softmax
from mdpkit.models.arithmetic import InArithmetic, number
from mdpkit.models.canonical import Canonical
from mdpkit.typing import Array

__all__ = ["OnPolicy"]


class OnPolicy:
    """What gradient and mirror-descent methods ask of a discounted problem.

    Parameters
    ----------
    problem : Canonical
        Of kind ``"discounted"`` or ``"regularized"``, in any arithmetic.

    Attributes
    ----------
    rho : (S,)
        The model's initial law, or the uniform one where it has none.
    """

    def __init__(self, problem: Canonical):
        self.problem = problem
        self.P, self.r, self.gamma, self.pair_ptr = problem.P, problem.r, problem.gamma, problem.pair_ptr
        self.state, self.n_states, self.n_pairs = problem.state, problem.n_states, len(problem.r)

    @cached_property
    def rho(self) -> Array:
        """The initial law, ``(S,)``."""
        p = self.problem
        if isinstance(p, InArithmetic):
            return p.rho
        return np.full(p.n_states, 1 / p.n_states) if p.mdp.rho is None else p.mdp.rho

    @cached_property
    def log_reference(self) -> Array | None:
        """Logarithms of the reference policy of a regularized problem, ``(L,)``; None for the entropy."""
        return None if self.problem.reference is None else np.log(self.problem.reference)

    def gap(self, V: Array) -> float:
        r"""A bound on :math:`V^* - V^\pi` for V the value of a policy; infinite in other numbers than floats."""
        if V.dtype == object:
            return np.inf
        change = float(np.max(self.best(self.q(V)) - V))
        return max(0.0, change) / (1 - float(np.max(self.gamma)))

    def number(self, x: Any) -> Any:
        """A number or an array in the problem's arithmetic."""
        return number(self.problem, x)

    def uniform(self) -> Array:
        """The uniform policy, ``(L,)``."""
        count = np.diff(self.pair_ptr)[self.state]
        one = self.number(np.ones(self.n_pairs))
        return one / count

    def q(self, V: Array) -> Array:
        """Action values of a value of the next state, r + gamma PV, ``(L,)``."""
        return reference.q_values(self.P, self.r, self.gamma, V)

    def value(self, pi: Array, r: Array | None = None) -> Array:
        """The value of a policy, ``(S,)``; with other rewards ``r``, ``(L,)`` or ``(L, m)``, theirs."""
        return occupancy.evaluate(self.P, self.r if r is None else r, self.gamma, pi, self.pair_ptr)

    def soft_maximum(self, q: Array) -> Array:
        r""":math:`\max_\pi \langle \pi, q \rangle + \tau H(\pi)`, or with :math:`-\tau \mathrm{KL}(\pi \| \mu)`, ``(S,)``."""
        return softmax.soft_maximum(q, self.problem.tau, self.pair_ptr, self.log_reference)

    def log_softmax(self, q: Array) -> Array:
        r"""Logarithms of the policy that attains the soft maximum, :math:`\pi \propto \mu e^{q/\tau}`, ``(L,)``."""
        x = q / self.problem.tau
        return softmax.log_softmax(x if self.log_reference is None else x + self.log_reference, self.pair_ptr)

    def regularizer(self, log_pi: Array) -> Array:
        r""":math:`\tau H(\pi)` of each state, or :math:`-\tau \mathrm{KL}(\pi \| \mu)` with a reference, ``(S,)``."""
        pi, tau = np.exp(log_pi), self.problem.tau
        if self.log_reference is None:
            return tau * softmax.entropy(pi, log_pi, self.pair_ptr)
        return -tau * softmax.relative_entropy(pi, log_pi, self.log_reference, self.pair_ptr)

    def regularized_rewards(self, log_pi: Array) -> Array:
        r"""Rewards with what a regularized problem pays in each state, entropy or minus divergence; else r, ``(L,)``."""
        return self.r + self.spread(self.regularizer(log_pi)) if self.problem.kind == "regularized" else self.r

    def mean(self, pi: Array, x: Array) -> Array:
        """Expectation over the actions of each state, ``(S,)``."""
        return segments.mean(pi, x, self.pair_ptr)

    def spread(self, x: Array) -> Array:
        """A value of each state, repeated for its pairs, ``(L,)``."""
        return segments.spread(x, self.pair_ptr)

    def advantage(self, V: Array) -> Array:
        """Action values less the value of the state, ``(L,)``."""
        return self.q(V) - self.spread(V)

    def visits(self, pi: Array, rho: Array | None = None) -> Array:
        """Expected discounted visits to each state from the initial law (unnormalized: they sum to 1/(1 - gamma)), ``(S,)``."""
        return occupancy.visits(self.P, self.gamma, pi, self.pair_ptr, self.rho if rho is None else rho)

    def best(self, q: Array) -> Array:
        """Largest action value of each state, of a regularized problem the soft maximum, ``(S,)``."""
        return self.soft_maximum(q) if self.problem.kind == "regularized" else reference.best(q, self.pair_ptr)

    def span_gap(self, V: Array, q: Array) -> float:
        r"""The width of the bounds on :math:`V^*` that the backup q of any V gives; infinite in other numbers than floats."""
        if V.dtype == object:
            return np.inf
        change = self.best(q) - V
        rounding = float(
            np.finfo(np.float64).eps * np.max(np.abs(V))
        )  # or an exact zero is promised around numbers that round
        return (float(np.max(change) - np.min(change)) + rounding) / (1 - float(np.max(self.gamma)))

    @property
    def tau(self) -> Any:
        """The temperature in the problem's arithmetic, zero for a discounted problem."""
        return self.number(self.problem.tau)

    def start(self) -> Array:
        """Logarithms of the policy to begin with: the reference, or the uniform policy, ``(L,)``."""
        return np.log(self.uniform()) if self.log_reference is None else self.log_reference

    def own_value(self, log_pi: Array) -> Array:
        """The value of a policy as the problem's criterion counts it: with its entropy if it is regularized, ``(S,)``."""
        return self.value(np.exp(log_pi), self.regularized_rewards(log_pi))
