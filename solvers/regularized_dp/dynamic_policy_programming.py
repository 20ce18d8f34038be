r"""Dynamic policy programming: preferences of actions that add up advantages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import softmax
from mdpkit.models.canonical import Canonical
from mdpkit.operators.backups import BackupRule, ExactBackup
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import PolicySolver
from mdpkit.typing import Array

__all__ = ["DynamicPolicyProgramming", "State"]

MEANS = ("boltzmann", "log-sum-exp")


class State(NamedTuple):
    """The preferences, the policy that the step before took from its own, that policy's mean V, and the transitions drawn."""

    preferences: Array
    log_pi: Array
    V: Array
    k: int
    draws: int
    gap: float


@dataclass(frozen=True)
class DynamicPolicyProgramming(PolicySolver[State]):
    r"""Action preferences :math:`\Psi` that grow apart by what an action lacks, DPP.

    .. math::

       \Psi_{k+1} = \Psi_k - \mathcal{M} \Psi_k + r + \gamma P \mathcal{M} \Psi_k + \epsilon_{k+1}, \qquad
       \pi_{k+1} = \mathrm{softmax}(\eta \Psi_k)

    where :math:`\mathcal{M} \Psi = \langle \pi, \Psi \rangle` is the mean under the policy softmax(:math:`\eta \Psi`), or
    :math:`\mathcal{M} \Psi = \frac1\eta \log \sum_a e^{\eta \Psi}`.

    **Guarantee.** With the logarithm of the sum it is mirror-descent value iteration with :math:`\lambda = 1/\eta`,
    :math:`\tau = 0` and :math:`\Psi_k = q_k + \lambda \log \pi_k`; with the mean the evaluation counts, besides, the entropy of
    the last policy less that of the new one. Checked by ``azar2012:is-mirror-descent``. Either way
    :math:`\|V^* - V^{\pi_{k+1}}\| \le \frac{2}{1-\gamma} \|\frac1k \sum_{j \le k} \epsilon_j\| + O(1/k)`; checked by
    ``azar2012:averaged-errors`` with its constants.

    *Departures.* It starts from :math:`\Psi_0 = \frac1\eta \log \pi_0` for the uniform policy.

    Parameters
    ----------
    eta : number
        Inverse temperature, positive.
    mean : {"boltzmann", "log-sum-exp"}
        The operator :math:`\mathcal{M}`.
    backup : BackupRule
        The backup: exact, disturbed or sampled; see :mod:`mdpkit.operators.backups`.

    References
    ----------
    ``azar2012``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, DynamicPolicyProgramming(eta=1), max_steps=200)
    >>> bool(sol.last_policy[0, 1] > 0.99)
    True
    """

    cites: ClassVar = ("azar2012",)
    claims: ClassVar = ("azar2012:is-mirror-descent", "azar2012:averaged-errors")

    eta: Any = 1
    mean: str = "boltzmann"
    backup: BackupRule = field(default_factory=ExactBackup)

    def __post_init__(self) -> None:
        self.positive("eta")
        if self.mean not in MEANS:
            raise OptionError("the mean of preferences is unknown", found=self.mean, needed=" or ".join(MEANS))

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Preferences of the uniform policy."""
        on = OnPolicy(problem)
        log_pi = on.start()
        return State(log_pi / on.number(self.eta), log_pi, on.number(np.zeros(on.n_states)), 0, 0, np.inf)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One step of the preferences."""
        on = OnPolicy(problem)
        eta = on.number(self.eta)
        log_pi = softmax.log_softmax(eta * state.preferences, on.pair_ptr)
        if self.mean == "boltzmann":
            V = on.mean(np.exp(log_pi), state.preferences)
        else:
            V = softmax.soft_maximum(state.preferences, 1 / eta, on.pair_ptr)
        q, draws = self.backup(on, V, state.k + 1, rng)
        preferences = state.preferences - on.spread(V) + q
        return State(preferences, log_pi, V, state.k + 1, state.draws + draws, self.backup.gap(on, V, q))
