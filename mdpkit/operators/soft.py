r"""Soft Bellman operators, of entropy-regularized problems.

.. math::

   (T_\tau V)(s) &= \tau \log \sum_a \mu(a|s) e^{q(s,a)/\tau}
                  = \max_\pi \langle \pi, q \rangle - \tau \mathrm{KL}(\pi \| \mu) \\
   (T_{\pi,\tau} V)(s) &= \langle \pi, q \rangle - \tau \mathrm{KL}(\pi \| \mu),
   \qquad q(s,a) = r(s,a) + \gamma \sum_{s'} P(s'|s,a) V(s')

Without a reference every action counts :math:`\mu = 1`, and :math:`-\mathrm{KL}` is the entropy. Where the model minimizes
costs, the entropy is subtracted and the maximum is a minimum. Both are monotone, commute with constants up to
:math:`\gamma`, and contract with modulus :math:`\gamma` in the supremum norm (``geist2019``, Proposition 2, recalled).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from mdpkit.errors import UnsupportedError
from mdpkit.kernels import reference
from mdpkit.models.arithmetic import arithmetic_of
from mdpkit.models.canonical import Canonical, canonical
from mdpkit.models.mdp import MDP
from mdpkit.models.policy import Stationary
from mdpkit.operators.bellman import Backup, Operator
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.typing import Array

__all__ = ["SoftOptimality", "SoftPolicy"]


class _Soft(Operator):
    axioms: ClassVar = ("monotone", "shift", "contraction")

    def __init__(self, problem: MDP | Canonical):
        self.problem: Canonical = canonical(problem) if isinstance(problem, MDP) else problem
        if self.problem.kind != "regularized":
            raise UnsupportedError(
                f"a soft operator on a problem under {self.problem.mdp.criterion}",
                needed="mk.EntropyRegularized(gamma, tau)",
                way_out="use BellmanOptimality or BellmanPolicy",
            )
        self.on = OnPolicy(self.problem)

    @property
    def modulus(self) -> float:
        """The discount factor."""
        return float(self.problem.gamma[0])

    def q(self, V: Array) -> Array:
        """Action values over pairs, ``(L,)``, in the model's own terms."""
        return self.problem.value(self._q(V))

    def _q(self, V: Array) -> Array:
        return self.on.q(self.problem.sign * V)


class SoftOptimality(_Soft):
    r"""The operator :math:`T_\tau`: the soft maximum of the action values.

    Parameters
    ----------
    problem : MDP or Canonical
        Under :class:`~mdpkit.models.EntropyRegularized`; a canonical problem may be in balls.

    Examples
    --------
    >>> import numpy as np
    >>> from mdpkit.models import MDP, EntropyRegularized
    >>> mdp = MDP(np.ones((1, 2, 1)), np.array([[1.0, 1.0]]), EntropyRegularized(0.5, 1.0))
    >>> T = SoftOptimality(mdp)
    >>> T(np.array([0.0])).round(6), T.probabilities(np.array([0.0]))
    (array([1.693147]), array([0.5, 0.5]))
    """

    def backup(self, V: Array, rows: slice = slice(None)) -> Backup:
        """TV and the likeliest pair of the softmax policy, on the states of ``rows``."""
        q = self._q(V)
        x = q if self.on.log_reference is None else q + self.problem.tau * self.on.log_reference
        middle = x if x.dtype != object else np.array([float(v.mid()) for v in x])
        policy = reference.greedy(middle, self.problem.pair_ptr)
        return Backup(self.problem.value(self.on.soft_maximum(q))[rows], policy[rows])

    def probabilities(self, V: Array) -> Array:
        r"""The policy that attains the soft maximum, :math:`\pi \propto \mu e^{q/\tau}`, ``(L,)``."""
        return np.exp(self.on.log_softmax(self._q(V)))


class SoftPolicy(_Soft):
    r"""The operator :math:`T_{\pi,\tau}` of a stationary policy.

    Parameters
    ----------
    problem : MDP or Canonical
    policy : Stationary, ``(S,)`` actions, ``(S, A)`` or ``(L,)`` probabilities
        For a canonical problem in balls: the logarithms of the probabilities, ``(L,)``.
    """

    axioms: ClassVar = ("monotone", "shift", "contraction", "affine")

    def __init__(self, problem: MDP | Canonical, policy: Any):
        super().__init__(problem)
        if arithmetic_of(self.problem) == "float":
            pi = Stationary.of(self.problem.mdp, policy).weights.astype(np.float64)
            with np.errstate(divide="ignore"):  # a probability of zero counts nothing
                self.log_pi = np.log(pi)
        else:
            self.log_pi = policy
        self.pi: Array = np.exp(self.log_pi)

    def backup(self, V: Array, rows: slice = slice(None)) -> Backup:
        """T_pi V; its ``policy`` is the likeliest pair of each state."""
        value = self.on.mean(self.pi, self._q(V)) + self.on.regularizer(self.log_pi)
        middle = self.log_pi if self.log_pi.dtype != object else np.array([float(v.mid()) for v in self.log_pi])
        return Backup(self.problem.value(value)[rows], reference.greedy(middle, self.problem.pair_ptr)[rows])
