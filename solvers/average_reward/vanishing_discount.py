r"""Vanishing discount: the average reward as the limit of discounted problems."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import reference
from mdpkit.kernels.gain import average_lack, evaluate_average
from mdpkit.kernels.improvement import MARGIN
from mdpkit.models.canonical import Canonical
from mdpkit.operators.bellman import Sweeper
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Floats, Ints

__all__ = ["State", "VanishingDiscount"]

SMALLEST = 2.0**-40
"""Distance of the discount from one at which values are rounding only."""


class State(NamedTuple):
    """The optimal policy of the last discount, with its own gain and bias."""

    rest: float
    gain: Floats
    bias: Floats
    choice: Ints
    gap: float


@dataclass(frozen=True)
class VanishingDiscount(IterativeSolver[State]):
    r"""Optimal policies for discounts that tend to one, until one of them is optimal on average.

    .. math:: \gamma_k = 1 - (1 - \gamma_0) q^k, \qquad \pi_k \in \arg\max_\pi V^\pi_{\gamma_k}, \qquad
              (1 - \gamma_k) V_{\gamma_k} \to g^*

    Each discounted problem is solved by policy iteration from the policy before. The answer is the policy, judged by its own
    gain and bias, not :math:`(1 - \gamma) V_\gamma`, whose error falls with :math:`1 - \gamma` only.

    **Guarantee.** From some discount on, the discounted optimal policies have the largest gain in every state (and the largest
    bias among those: Blackwell optimality). Checked by ``blackwell1962:vanishing-discount``; the expansion in
    :math:`1 - \gamma` behind it, by ``blackwell1962:laurent``.

    Parameters
    ----------
    gamma0 : float
        The first discount, in [0, 1).
    factor : float
        Factor q, in (0, 1), of the distance to one.

    References
    ----------
    ``blackwell1962``, ``puterman1994`` (Sections 8.2 and 10.1, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> sol = mk.solve(mk.instances.make("howard-toymaker").under(mk.AverageReward()), VanishingDiscount())
    >>> sol.value.__round__(9), sol.status.ok
    (2.0, True)
    """

    gamma0: float = 0.5
    factor: float = 0.25
    cites: ClassVar = ("blackwell1962", "puterman1994")
    claims: ClassVar = ("blackwell1962:vanishing-discount", "blackwell1962:laurent")
    kinds: ClassVar = ("average",)

    def __post_init__(self) -> None:
        if not isinstance(self.gamma0, (int, float)) or not 0 <= self.gamma0 < 1:
            raise OptionError("gamma0 is no discount", found=self.gamma0, needed="0 <= gamma0 < 1")
        if not isinstance(self.factor, (int, float)) or not 0 < self.factor < 1:
            raise OptionError("factor is out of range", found=self.factor, needed="0 < factor < 1")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The policy that is greedy for the one-step reward."""
        choice = reference.greedy(problem.r, problem.pair_ptr)
        gain, bias = evaluate_average(problem.P, problem.r, choice)
        return State(1.0 - self.gamma0, gain, bias, choice, np.inf)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """Solve for one discount, and judge the policy by its gain and bias."""
        choice = _discounted(problem, 1.0 - state.rest, state.choice)
        gain, bias = evaluate_average(problem.P, problem.r, choice)
        gap = average_lack(problem.P, problem.r, problem.pair_ptr, gain, bias)
        return State(state.rest * self.factor, gain, bias, choice, gap)

    def finished(self, state: State) -> bool:
        """Whether the discount is one up to rounding."""
        return state.rest < SMALLEST

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The policy with its bias."""
        return Answer(state.bias, state.choice)


def _discounted(problem: Canonical, gamma: float, choice: Ints) -> Ints:
    """Policy iteration for one discount."""
    p = replace(problem, kind="discounted", gamma=np.full(len(problem.r), gamma))
    sweeper, seen = Sweeper(p), set[bytes]()
    while choice.tobytes() not in seen:
        seen.add(choice.tobytes())
        V = sweeper.solve(choice)
        if not np.all(np.isfinite(V)):
            break
        size = np.abs(V) + np.maximum.reduceat(np.abs(p.r), p.pair_ptr[:-1])
        choice = reference.greedy_stable(reference.q_values(p.P, p.r, p.gamma, V), p.pair_ptr, choice, MARGIN * size)
    return choice
