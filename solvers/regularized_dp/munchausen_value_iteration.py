r"""Munchausen value iteration: the scaled logarithm of the policy is added to the reward."""

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

__all__ = ["MunchausenValueIteration", "State"]


class State(NamedTuple):
    """The k-th policy in logarithms, its evaluation V, the action values Q with the bonus, and the transitions drawn."""

    log_pi: Array
    V: Array
    Q: Array
    k: int
    draws: int
    gap: float


@dataclass(frozen=True)
class MunchausenValueIteration(PenalizedSolver[State]):
    r"""Soft value iteration whose reward is raised by :math:`\lambda \log \pi`, M-VI.

    .. math::

       \pi_{k+1} = \mathrm{softmax}\bigl(Q_k / (\lambda + \tau)\bigr), \qquad
       Q_{k+1} = r + \lambda \log \pi_{k+1} + \gamma P \langle \pi_{k+1}, Q_k - (\lambda + \tau) \log \pi_{k+1} \rangle
       + \epsilon_{k+1}

    In the paper's letters its temperature is :math:`\lambda + \tau` and its scaling :math:`\alpha = \lambda/(\lambda + \tau)`.
    The temperature :math:`\tau` of the entropy, and the reference policy, are those of the problem; of a discounted problem
    :math:`\tau = 0`, which is :math:`\alpha = 1`.

    **Guarantee.** It is mirror-descent value iteration of type 1 in other variables, :math:`Q_k = q_k + \lambda \log \pi_k`;
    and conservative value iteration, since :math:`(\lambda + \tau) \log \pi_{k+1}` is :math:`Q_k` less its soft maximum. Both
    checked by ``vieillard2020:is-mirror-descent``.

    *Departures.* It starts from :math:`Q_0 = \lambda \log \pi_0`, for which the equivalence is exact from the start.

    Parameters
    ----------
    lambda_ : number
        Weight of the implicit KL penalty, nonnegative; positive for a discounted problem.
    backup : BackupRule
        The backup: exact, disturbed or sampled; see :mod:`mdpkit.operators.backups`.

    References
    ----------
    ``vieillard2020`` (Theorem 1, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, MunchausenValueIteration(lambda_=1), max_steps=200)
    >>> bool(sol.last_policy[0, 1] > 0.99)
    True
    """

    cites: ClassVar = ("vieillard2020",)
    claims: ClassVar = ("vieillard2020:is-mirror-descent",)

    lambda_: Any = 1
    backup: BackupRule = field(default_factory=ExactBackup)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The reference or the uniform policy, and its bonus."""
        on = OnPolicy(problem)
        log_pi = on.start()
        return State(log_pi, on.number(np.zeros(on.n_states)), on.number(self.lambda_) * log_pi, 0, 0, np.inf)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One soft policy, and one backup with the bonus."""
        on = OnPolicy(problem)
        lambda_, tau = on.number(self.lambda_), on.tau
        pulled = state.Q if on.log_reference is None else state.Q + tau * on.log_reference
        log_pi = softmax.log_softmax(pulled / (lambda_ + tau), on.pair_ptr)
        V = on.mean(np.exp(log_pi), pulled - (lambda_ + tau) * log_pi)
        q, draws = self.backup(on, V, state.k + 1, rng)
        return State(log_pi, V, q + lambda_ * log_pi, state.k + 1, state.draws + draws, self.backup.gap(on, V, q))
