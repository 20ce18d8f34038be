r"""Anderson-accelerated value iteration: extrapolate from the last backups, and keep only what is at least as good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.models.canonical import Canonical
from mdpkit.operators.bellman import Sweeper, span_gap
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.solvers.dynamic_programming.value_iteration import ValueIteration
from mdpkit.typing import Floats, Ints

__all__ = ["AndersonValueIteration", "State"]


class State(NamedTuple):
    """The last backup, shifted to the middle of its bounds, its policy, residual and gap; and the memory.

    ``backups`` and ``changes`` are the last TV and TV - V; ``wait`` steps are plain before the next attempt, ``pause`` more
    will be if it fails; ``sweeps`` and ``rejected`` count backups and failed attempts so far.
    """

    V: Floats
    choice: Ints
    residual: float
    gap: float
    backups: tuple[Floats, ...] = ()
    changes: tuple[Floats, ...] = ()
    wait: int = 0
    pause: int = 1
    sweeps: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class AndersonValueIteration(IterativeSolver[State]):
    r"""Anderson acceleration (type II) of value iteration, with a safeguard.

    With :math:`Y_i = TV_i` and :math:`F_i = TV_i - V_i` less its mean, over the last m + 1 iterates, the attempt is

    .. math::

       V = \sum_i \alpha_i Y_i, \qquad
       \alpha \in \arg\min \Big\{ \big\| \textstyle\sum_i \alpha_i F_i \big\|_2^2 : \sum_i \alpha_i = 1 \Big\}
           \quad \text{(regularized)}

    It is accepted if :math:`\operatorname{span}(TV - V) \le \gamma \operatorname{span}(F_k)`; otherwise the step is value
    iteration's, :math:`V_{k+1} = Y_k`.

    **Guarantee.** After k + 1 steps :math:`\|TV_k - V_k\| \le \gamma^k \|TV_0 - V_0\|`, every :math:`V_k` being shifted to the
    middle of its bounds; hence :math:`\|TV_k - V^*\| \le \frac{\gamma^{k+1}}{1-\gamma} \|TV_0 - V_0\|`. The k + 1 steps take at
    most 4(k + 1)/3 + 1 backups. Checked by ``zhang2020:safeguard``. Nothing better is promised; that is what the extrapolation
    is for.

    *Departures.* The safeguard is the contraction itself, not a summable sequence. Constants are taken out of the
    residuals, since a shift costs nothing. After a failed attempt 1, 2, 4, ... steps are plain until one succeeds. With a
    discount by pairs, the residuals keep their means, nothing is shifted, and norms take the place of spans.

    Parameters
    ----------
    memory : int
        m, the number of earlier backups that an attempt uses.
    ridge : float
        Regularization, relative to the squared size of the differences of residuals.
    V0 : float
        Initial value of every state.

    References
    ----------
    ``anderson1965``, ``geist2018``, ``zhang2020`` for a safeguard (recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mk.solve(mk.instances.make("puterman-two-state"), AndersonValueIteration()).value.__round__(6)
    -8.571429
    """

    memory: int = 5
    ridge: float = 1e-10
    V0: float = 0.0
    cites: ClassVar = ("anderson1965", "geist2018", "zhang2020")
    claims: ClassVar = ("zhang2020:safeguard",)
    kinds: ClassVar = ("discounted",)

    def __post_init__(self) -> None:
        if isinstance(self.memory, bool) or self.memory != int(self.memory) or self.memory < 1:
            raise OptionError("memory is no count", found=self.memory, needed="an integer >= 1")
        if not isinstance(self.ridge, (int, float)) or not 0 <= self.ridge < np.inf:
            raise OptionError("ridge is no regularization", found=self.ridge, needed="a number >= 0")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Start at ``V0``."""
        return State(*ValueIteration(self.V0).init(problem))

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """An attempt, unless attempts are suspended; a plain sweep if it fails."""
        if len(state.changes) < 2 or state.wait:
            return self._swept(problem, state._replace(wait=max(state.wait - 1, 0)), state.V)
        after = self._swept(problem, state._replace(pause=1), self._extrapolated(state))
        if after.residual <= float(np.max(problem.gamma)) * state.residual:
            return after
        failed = state._replace(wait=state.pause, pause=2 * state.pause)
        return self._swept(problem, failed._replace(sweeps=state.sweeps + 1, rejected=state.rejected + 1), state.V)

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The last backup."""
        return Answer(state.V, state.choice)

    def _swept(self, problem: Canonical, state: State, V: Floats) -> State:
        """``state`` after a backup of V."""
        TV, choice, low, high = Sweeper(problem).backup(V)
        change, residual = TV - V, max(abs(low), abs(high))
        gamma = float(np.max(problem.gamma))
        if gamma == float(np.min(problem.gamma)):
            TV = TV + gamma / (1 - gamma) * (low + high) / 2
            change, residual = change - np.mean(change), (high - low) / 2
        kept = slice(-self.memory - 1, None)
        return state._replace(
            V=TV,
            choice=choice,
            residual=residual,
            gap=span_gap(problem, low, high),
            backups=(*state.backups, TV)[kept],
            changes=(*state.changes, change)[kept],
            sweeps=state.sweeps + 1,
        )

    def _extrapolated(self, state: State) -> Floats:
        """The combination of the backups whose residuals, combined alike, are least."""
        steps = np.diff(np.array(state.changes), axis=0)
        gram = steps @ steps.T
        size = float(np.trace(gram))
        if size == 0:
            return state.V
        gram[np.diag_indices(len(gram))] += self.ridge * size
        weights = np.linalg.lstsq(gram, steps @ state.changes[-1])[0]
        return np.asarray(state.V - weights @ np.diff(np.array(state.backups), axis=0), dtype=np.float64)
