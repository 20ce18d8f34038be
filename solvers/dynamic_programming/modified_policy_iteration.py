r"""Modified policy iteration: a greedy step, then m sweeps of the greedy policy's own operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.models.canonical import Canonical
from mdpkit.operators.bellman import Sweeper, largest_shift, span_gap
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Floats, Ints

__all__ = ["ModifiedPolicyIteration", "State"]


class State(NamedTuple):
    """The value before the sweeps (TV), the greedy policy, the change, the gap, and the value after the sweeps."""

    V: Floats
    choice: Ints
    residual: float
    gap: float
    swept: Floats


@dataclass(frozen=True)
class ModifiedPolicyIteration(IterativeSolver[State]):
    r"""Between value iteration (m = 0) and policy iteration (m = infinity).

    .. math:: \pi_{k+1} \in \operatorname{greedy}(V_k), \qquad V_{k+1} = T_{\pi_{k+1}}^{m+1} V_k

    **Guarantee.** From :math:`V_0 \le TV_0` the iterates increase to :math:`V^*`, at least as fast as value iteration's.
    Checked by ``puterman1978:monotone``.

    Parameters
    ----------
    sweeps : int
        m, the number of extra sweeps of each policy.

    References
    ----------
    ``puterman1978``, ``puterman1994`` (Section 6.5, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mk.solve(mk.instances.make("puterman-two-state"), ModifiedPolicyIteration(sweeps=5)).value.__round__(6)
    -8.571429
    """

    sweeps: int = 20
    cites: ClassVar = ("puterman1978", "puterman1994")
    claims: ClassVar = ("puterman1978:monotone",)
    kinds: ClassVar = ("discounted",)

    def __post_init__(self) -> None:
        if isinstance(self.sweeps, bool) or self.sweeps != int(self.sweeps) or self.sweeps < 0:
            raise OptionError("sweeps is no count", found=self.sweeps, needed="an integer >= 0")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Start from the constant that lies below its own backup, min r / (1 - gamma) at the factors that make it least."""
        V = np.full(problem.n_states, largest_shift(problem, float(np.min(problem.r))))
        return State(V, problem.pair_ptr[:-1].copy(), np.inf, np.inf, V)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One greedy backup, whose change gives the bounds, and ``sweeps`` policy backups."""
        sweeper = Sweeper(problem)
        V, choice, low, high = sweeper.backup(state.swept)
        swept = sweeper.evaluate(choice, V, self.sweeps)
        return State(V, choice, max(abs(low), abs(high)), span_gap(problem, low, high), swept)

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The last greedy backup."""
        return Answer(state.V, state.choice)
