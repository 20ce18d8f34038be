r"""Dual-averaging value iteration: policies that are soft in an average of action values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import softmax
from mdpkit.models.canonical import Canonical
from mdpkit.operators.backups import BackupRule, ExactBackup
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import PenalizedSolver
from mdpkit.typing import Array

__all__ = ["DualAveragingValueIteration", "State"]


class State(NamedTuple):
    """The k-th policy, its evaluation V, the backup q of V, the averages h with these, and the potential of those before."""

    log_pi: Array
    V: Array
    q: Array
    h: Array
    potential: Array
    k: int
    draws: int
    gap: float


@dataclass(frozen=True)
class DualAveragingValueIteration(PenalizedSolver[State]):
    r"""Mirror-descent value iteration written with averages of action values, DA-VI.

    .. math::

       h_k &= \beta h_{k-1} + (1 - \beta) q_k, & \pi_{k+1} &= \mathrm{softmax}(h_k / \tau)
         && \text{for } \tau > 0, \; \beta = \lambda/(\lambda + \tau), \\
       h_k &= \tfrac{k}{k+1} h_{k-1} + \tfrac{1}{k+1} q_k, & \pi_{k+1} &= \mathrm{softmax}((k+1) h_k / \lambda)
         && \text{for } \tau = 0

    with :math:`h_{-1} = 0`. The evaluation needs no policy: with the potential :math:`\Omega(h) = \tau \log \sum_a e^{h/\tau}`

    .. math:: q_{k+1} = r + \gamma P \, \frac{\Omega(h_k) - \beta \Omega(h_{k-1})}{1 - \beta} + \epsilon_{k+1},

    and for :math:`\tau = 0` the difference of :math:`\lambda \log \sum_a e^{S/\lambda}` at the sums :math:`S_k = (k+1) h_k` and
    :math:`S_{k-1}`. A reference policy weighs the exponentials.

    **Guarantee.** Its policies and action values are those of mirror-descent value iteration of type 1, step by step; checked
    by ``md-vi:dual-averaging``. So :math:`\|q^*_\tau - q^\tau_{\pi_{k+1}}\| \le \frac{2\gamma}{1-\gamma} \|h_k - q^*_\tau\|`,
    which contracts by :math:`\gamma` but for averaged errors; checked by ``md-vi:regularized-loss``.

    *Departures.* The paper evaluates with the policy's divergences; the potentials give the same number (derived).

    Parameters
    ----------
    lambda_ : number
        Weight of the KL penalty, nonnegative; positive for a discounted problem.
    backup : BackupRule
        The backup: exact, disturbed or sampled; see :mod:`mdpkit.operators.backups`.

    References
    ----------
    ``md-vi``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, DualAveragingValueIteration(lambda_=1), max_steps=200)
    >>> bool(sol.last_policy[0, 1] > 0.99)
    True
    """

    cites: ClassVar = ("md-vi",)
    claims: ClassVar = ("md-vi:dual-averaging", "md-vi:regularized-loss")

    lambda_: Any = 1
    backup: BackupRule = field(default_factory=ExactBackup)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The reference or the uniform policy, and zero averages."""
        on = OnPolicy(problem)
        zero = on.number(np.zeros(on.n_pairs))
        scale = on.tau if problem.kind == "regularized" else on.number(self.lambda_)
        potential = softmax.soft_maximum(zero, scale, on.pair_ptr, on.log_reference)
        return State(on.start(), on.number(np.zeros(on.n_states)), zero, zero, potential, 0, 0, np.inf)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One soft policy, one backup and one average."""
        on = OnPolicy(problem)
        lambda_, tau, k = on.number(self.lambda_), on.tau, state.k
        if problem.kind == "regularized":
            weighed, scale = state.h, tau
        else:
            weighed, scale = (k + 1) * state.h, lambda_
        potential = softmax.soft_maximum(weighed, scale, on.pair_ptr, on.log_reference)
        log_pi = (weighed - on.spread(potential)) / scale
        if on.log_reference is not None:
            log_pi = log_pi + on.log_reference
        if problem.kind == "regularized":
            V = ((lambda_ + tau) * potential - lambda_ * state.potential) / tau
        else:
            V = potential - state.potential
        q, draws = self.backup(on, V, k + 1, rng)
        if problem.kind == "regularized":
            h = (lambda_ * state.h + tau * q) / (lambda_ + tau)
        else:
            h = ((k + 1) * state.h + q) / (k + 2)
        return State(log_pi, V, q, h, potential, k + 1, state.draws + draws, self.backup.gap(on, V, q))
