r"""Lambda policy iteration: a greedy step, then an average of the sweeps of the greedy policy with geometric weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log
from typing import ClassVar

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels.evaluation import DENSE_BELOW
from mdpkit.models.canonical import Canonical
from mdpkit.operators.bellman import Sweeper, span_gap
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.solvers.dynamic_programming.modified_policy_iteration import State
from mdpkit.solvers.dynamic_programming.value_iteration import ValueIteration

__all__ = ["LambdaPolicyIteration"]

REST = 0.01
"""The power of lambda gamma at which the series of sweeps is cut."""


@dataclass(frozen=True)
class LambdaPolicyIteration(IterativeSolver[State]):
    r"""Between value iteration (lambda = 0) and policy iteration (lambda = 1).

    .. math::

       V_{k+1} = (1 - \lambda) \sum_{j \ge 0} \lambda^j\, T_{\pi_k}^{j+1} V_k
               = V_k + (I - \lambda\gamma P_{\pi_k})^{-1} (TV_k - V_k), \qquad \pi_k \in \operatorname{greedy}(V_k)

    **Guarantee.** From :math:`V_0 \le TV_0` the iterates increase to :math:`V^*`, at least as fast as value iteration's;
    from any start, with :math:`c` the largest fall of a state from :math:`V_0` to :math:`TV_0` (zero if there is none),
    :math:`\|V_k - V^*\| \le \gamma^k (\|V_0 - V^*\| + \frac{c}{1-\gamma})`. Checked by ``bertsekas1996:monotone``. Once
    :math:`2\gamma\|V_k - V^*\|` is below the least positive gap between the action values of a state, each step contracts
    with modulus :math:`\frac{\gamma(1-\lambda)}{1-\lambda\gamma}`. Checked by ``bertsekas1996:modulus``.

    *Departures.* For :math:`\lambda < 1`, where a dense solve is dearer or there are more than 400 states, the series is cut
    at the first m with :math:`(\lambda\gamma)^m \le 1/100`, and its last term gets all the weight that is left,
    :math:`\lambda^m`. That is again an average of sweeps, so the first guarantee holds as it stands; the modulus grows by at
    most :math:`\frac{1}{100}\frac{\lambda\gamma(1-\gamma)}{1-\lambda\gamma}`.

    Parameters
    ----------
    lambda_ : float
        Between 0 and 1.
    V0 : float
        Initial value of every state.

    References
    ----------
    ``bertsekas1996`` (recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mk.solve(mk.instances.make("puterman-two-state"), LambdaPolicyIteration(lambda_=0.5)).value.__round__(6)
    -8.571429
    """

    lambda_: float = 0.95
    V0: float = 0.0
    cites: ClassVar = ("bertsekas1996",)
    claims: ClassVar = ("bertsekas1996:monotone", "bertsekas1996:modulus")
    kinds: ClassVar = ("discounted",)

    def __post_init__(self) -> None:
        if not isinstance(self.lambda_, (int, float)) or not 0 <= self.lambda_ <= 1:
            raise OptionError("lambda_ is out of range", found=self.lambda_, needed="a number from 0 to 1")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Start at ``V0``."""
        start = ValueIteration(self.V0).init(problem)
        return State(*start, swept=start.V)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One greedy backup, whose change gives the bounds, and the average of the policy's sweeps."""
        V, choice, low, high = Sweeper(problem).backup(state.swept)
        # The increment is the value of the policy for the rewards TV - V and the discount lambda gamma.
        change = V - state.swept
        r = np.zeros_like(problem.r)
        r[choice] = change
        r.setflags(write=False)  # like the model's own, for which the kernels are compiled
        inner = Sweeper(replace(problem, r=r, gamma=self.lambda_ * problem.gamma))
        sweeps = self._sweeps(problem)
        rise = inner.solve(choice) if sweeps is None else inner.evaluate(choice, change, sweeps)
        return State(V, choice, max(abs(low), abs(high)), span_gap(problem, low, high), state.swept + rise)

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The last greedy backup."""
        return Answer(state.V, state.choice)

    def _sweeps(self, problem: Canonical) -> int | None:
        """Sweeps after the greedy one, or None for a linear solve."""
        factor = self.lambda_ * float(np.max(problem.gamma))
        if factor == 0:
            return 0
        if self.lambda_ == 1:
            return None
        n, sweeps = problem.n_states, ceil(log(REST) / log(factor))
        entries = n * problem.P.nnz / len(problem.r)
        return None if n <= DENSE_BELOW and n**3 / 3 < sweeps * entries else sweeps
