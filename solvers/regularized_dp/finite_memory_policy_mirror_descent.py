r"""Entropic policy mirror descent that remembers the last few action values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import softmax
from mdpkit.models.canonical import Canonical
from mdpkit.models.sampling import check_count
from mdpkit.operators.backups import BackupRule, ExactBackup
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Array

__all__ = ["FiniteMemoryPolicyMirrorDescent", "State"]


class State(NamedTuple):
    """The k-th policy in logarithms, its regularized value, its logits, the remembered action values (latest first), draws."""

    log_pi: Array
    V: Array
    logits: Array
    memory: tuple[Array, ...]
    k: int
    draws: int
    gap: float


@dataclass(frozen=True)
class FiniteMemoryPolicyMirrorDescent(IterativeSolver[State]):
    r"""Policy mirror descent for an entropy-regularized problem with a memory of M action values (StaQ; M infinite: EPMD).

    With :math:`\beta = \lambda/(\lambda+\tau)` the policy is :math:`\pi_k = \mathrm{softmax}(\xi_k)` and

    .. math::

       \xi_{k+1} = \beta \xi_k + \frac{1}{\lambda+\tau} Q_\tau^{\pi_k} \quad (M = \infty), \qquad
       \xi_{k+1} = \frac{1}{(\lambda+\tau)(1 - \beta^M)} \sum_{i=0}^{M-1} \beta^i Q_\tau^{\pi_{k-i}},

    action values of negative number being zero. The vanilla truncation leaves out :math:`1 - \beta^M`. A reference policy
    weighs the exponentials. It starts from :math:`\xi_0 = 0`.

    **Guarantee.** The corrected recursion is
    :math:`\xi_{k+1} = \beta \xi_k + \frac{1}{\lambda+\tau} \bigl( Q^k + \frac{\beta^M}{1-\beta^M} (Q^k - Q^{k-M}) \bigr)`,
    and with M = 1 soft policy iteration; checked by ``staq:two-forms``. Its weights sum to :math:`1/\tau`, so that near
    the optimum the error is squared every M steps; checked by ``staq:squared-errors``. Without the correction the
    policy goes to another temperature, :math:`\tau/(1-\beta^M)`, checked by ``staq:vanilla-temperature``, and the
    optimum is missed, ``staq:vanilla-misses``. With infinite memory the logits contract by :math:`\beta` and the action
    values by :math:`\beta^2`, whatever the discount; checked by ``staq:rates``. Independent errors of the action values
    enter the logits with the variance :math:`\frac{(1-\beta)(1+\beta^M)}{(1+\beta)(1-\beta^M)}` relative to M = 1;
    checked by ``staq:noise``.

    *Departures.* The paper writes :math:`\eta` for :math:`\lambda`, and fits networks where this has tables.

    Parameters
    ----------
    lambda_ : number
        Weight of the KL penalty, nonnegative.
    memory : int, optional
        The number M of action values kept; all of them if left out.
    corrected : bool
        Whether the weights are divided by :math:`1 - \beta^M`.
    backup : BackupRule
        Where the action values come from, given the exact value: exact or disturbed; see :mod:`mdpkit.operators.backups`.

    References
    ----------
    ``staq``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10").under(mk.EntropyRegularized("9/10", "1/10"))
    >>> from itertools import islice
    >>> state = next(islice(mk.iterates(mdp, FiniteMemoryPolicyMirrorDescent(memory=3)), 50, None))
    >>> len(state.memory), state.gap < 1e-9
    (3, True)
    """

    cites: ClassVar = ("staq",)
    claims: ClassVar = (
        "staq:two-forms",
        "staq:squared-errors",
        "staq:vanilla-temperature",
        "staq:vanilla-misses",
        "staq:rates",
        "staq:noise",
    )
    kinds: ClassVar = ("regularized",)

    lambda_: Any = 1
    memory: int | None = None
    corrected: bool = True
    backup: BackupRule = field(default_factory=ExactBackup)

    def __post_init__(self) -> None:
        self.not_negative("lambda_")
        if self.memory is not None:
            check_count(self.memory, "the memory", 1)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The reference or the uniform policy, and nothing remembered."""
        on = OnPolicy(problem)
        return self._valued(on, on.number(np.zeros(on.n_pairs)), (), 0, 0)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One evaluation enters the memory, the oldest leaves it."""
        on = OnPolicy(problem)
        lambda_, tau = on.number(self.lambda_), on.tau
        beta, alpha = lambda_ / (lambda_ + tau), 1 / (lambda_ + tau)
        q, draws = self.backup(on, state.V, state.k + 1, rng)
        if self.memory is None:
            memory = (q,)
            logits = beta * state.logits + alpha * q
        else:
            memory = (q, *state.memory)[: self.memory]
            logits = alpha * sum((beta**i * x for i, x in enumerate(memory)), 0 * q)
            if self.corrected:
                logits = logits / (1 - beta**self.memory)
        return self._valued(on, logits, memory, state.k + 1, state.draws + draws)

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The policy's regularized value."""
        return Answer(state.V, None, policy=np.exp(state.log_pi))

    def _valued(self, on: OnPolicy, logits: Array, memory: tuple[Array, ...], k: int, draws: int) -> State:
        pulled = logits if on.log_reference is None else logits + on.log_reference
        log_pi = softmax.log_softmax(pulled, on.pair_ptr)
        V = on.own_value(log_pi)
        return State(log_pi, V, logits, memory, k, draws, on.gap(V))
