r"""Mirror-descent value iteration: greedy steps and evaluations with a penalty on the change of the policy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import softmax
from mdpkit.models.canonical import Canonical
from mdpkit.operators.backups import BackupRule, ExactBackup
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import PenalizedSolver
from mdpkit.typing import Array

__all__ = ["MirrorDescentValueIteration", "State"]


class State(NamedTuple):
    """The k-th policy in logarithms, its evaluation V, the backup q of V, and the transitions drawn so far."""

    log_pi: Array
    V: Array
    q: Array
    k: int
    draws: int
    gap: float


@dataclass(frozen=True)
class MirrorDescentValueIteration(PenalizedSolver[State]):
    r"""Value iteration with KL and entropy regularization, MD-VI.

    .. math::

       \pi_{k+1} &= \arg\max_\pi \langle \pi, q_k \rangle - \lambda \mathrm{KL}(\pi \| \pi_k) + \tau H(\pi)
         \;\propto\; \pi_k^{\lambda/(\lambda+\tau)} \exp\bigl(q_k/(\lambda+\tau)\bigr), \\
       q_{k+1} &= r + \gamma P \bigl( \langle \pi_{k+1}, q_k \rangle - \lambda \mathrm{KL}(\pi_{k+1} \| \pi_k)
         + \tau H(\pi_{k+1}) \bigr) + \epsilon_{k+1}

    The temperature :math:`\tau` and the reference policy, whose relative entropy takes the place of the entropy, are those of
    the problem; of a discounted problem :math:`\tau = 0`. The variant of type 2 leaves the KL penalty out of the second line.
    It starts from :math:`q_0 = 0` and the reference or the uniform policy.

    **Guarantee.** It is dual averaging: with :math:`h_k` the average of the :math:`q_j`, weighted by powers of
    :math:`\beta = \lambda/(\lambda+\tau)`, the policy is softmax of :math:`h_k/\tau`, and h follows soft value iteration with
    averaged errors; checked by ``md-vi:soft-value-iteration`` (:math:`\tau > 0`) and ``md-vi:sum-of-values``
    (:math:`\tau = 0`). Hence for :math:`\tau = 0`: :math:`\|q^* - q_{\pi_{k+1}}\| \le \frac{2\gamma}{1-\gamma} \|\frac{1}{k+1}
    \sum_{j \le k} \epsilon_j\| + O(1/k)`, with a linear horizon and errors that average; checked by
    ``md-vi:averaged-errors`` with its constants, attained by ``md-vi:linear-horizon``, and set against value iteration's
    squared horizon by ``md-vi:against-value-iteration``. Type 2 is pinned down by ``md-vi:second-type``.
    With one fresh sample of each pair a step the averaged error vanishes; checked by ``md-vi:samples-average``.

    Parameters
    ----------
    lambda_ : number
        Weight of the KL penalty, nonnegative; positive for a discounted problem.
    type : {1, 2}
        Whether the evaluation counts the KL penalty (1) or not (2).
    backup : BackupRule
        The backup: exact, disturbed or sampled; see :mod:`mdpkit.operators.backups`.

    References
    ----------
    ``md-vi``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, MirrorDescentValueIteration(lambda_=1), max_steps=200)
    >>> bool(sol.last_policy[0, 1] > 0.99)
    True
    """

    cites: ClassVar = ("md-vi",)
    claims: ClassVar = (
        "md-vi:soft-value-iteration",
        "md-vi:sum-of-values",
        "md-vi:averaged-errors",
        "md-vi:linear-horizon",
        "md-vi:against-value-iteration",
        "md-vi:second-type",
        "md-vi:samples-average",
    )

    lambda_: Any = 1
    type: int = 1
    backup: BackupRule = field(default_factory=ExactBackup)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.type not in (1, 2):
            raise OptionError("the type of the evaluation is unknown", found=self.type, needed="1 or 2")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The reference or the uniform policy, and zero values."""
        on = OnPolicy(problem)
        return State(on.start(), on.number(np.zeros(on.n_states)), on.number(np.zeros(on.n_pairs)), 0, 0, np.inf)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One greedy step and one backup."""
        on = OnPolicy(problem)
        lambda_, tau, ptr = on.number(self.lambda_), on.tau, on.pair_ptr
        log_pi = softmax.penalized_step(state.log_pi, state.q, lambda_, ptr, tau, on.log_reference)
        pi = np.exp(log_pi)
        V = on.mean(pi, state.q)
        if self.type == 1:
            V = V - lambda_ * softmax.relative_entropy(pi, log_pi, state.log_pi, ptr)
        if problem.kind == "regularized":
            V = V + on.regularizer(log_pi)
        q, draws = self.backup(on, V, state.k + 1, rng)
        return State(log_pi, V, q, state.k + 1, state.draws + draws, self.backup.gap(on, V, q))
