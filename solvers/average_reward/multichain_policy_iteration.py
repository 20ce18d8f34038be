r"""Howard's policy iteration for the average reward, with several recurrent classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels.gain import evaluate_average, improved_average
from mdpkit.models.canonical import Canonical
from mdpkit.operators.bellman import Sweeper
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Floats, Ints

__all__ = ["MultichainPolicyIteration", "State"]


class State(NamedTuple):
    """A policy with its gain and its bias."""

    gain: Floats
    bias: Floats
    choice: Ints
    gap: float
    seen: frozenset[bytes]


@dataclass(frozen=True)
class MultichainPolicyIteration(IterativeSolver[State]):
    r"""Howard's policy iteration: first the gain that is reached next, then the bias.

    .. math::

       g_k &= P_{\pi_k} g_k, \qquad h_k = r_{\pi_k} - g_k + P_{\pi_k} h_k \\
       \pi_{k+1}(s) &\in \arg\max \Big\{ r(s,a) + \sum_{s'} P(s'|s,a) h_k(s') : a \in \arg\max_a \sum_{s'} P(s'|s,a) g_k(s')
              \Big\}

    A state keeps its action unless another is better by more than rounding. The chain of each policy is taken apart into its
    recurrent classes, so models with any number of them are solved as they are.

    **Guarantee.** :math:`g_{k+1} \ge g_k`, no policy comes twice, and the last one has the largest gain in every state at
    once. Checked by ``howard1960:multichain``.

    *Departures.* The first policy is the one that sweeps of undiscounted value iteration settle on: an improvement of Howard's
    carries a reward one step back, and a sweep does that for less.

    References
    ----------
    ``howard1960``, ``veinott1966``, ``puterman1994`` (Section 9.2, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> toymaker = mk.instances.make("howard-toymaker").under(mk.AverageReward())
    >>> sol = mk.solve(toymaker, MultichainPolicyIteration(), exact=True)
    >>> print(*sol.exact, *sol.exact_bias)
    2 2 20/9 -70/9
    """

    cites: ClassVar = ("howard1960", "veinott1966", "puterman1994")
    claims: ClassVar = ("howard1960:multichain",)
    kinds: ClassVar = ("average",)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Evaluate the first policy."""
        choice = _swept(problem)
        gain, bias = evaluate_average(problem.P, problem.r, choice)
        return State(gain, bias, choice, np.inf, frozenset())

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """Improve, then evaluate."""
        choice = improved_average(problem.P, problem.r, problem.pair_ptr, state.gain, state.bias, state.choice)
        mark = choice.tobytes()
        if np.array_equal(choice, state.choice) or mark in state.seen:
            return state._replace(gap=0.0)
        gain, bias = evaluate_average(problem.P, problem.r, choice)
        return State(gain, bias, choice, np.inf, state.seen | {mark})

    def finished(self, state: State) -> bool:
        """Whether the policy was stable."""
        return state.gap == 0.0

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The policy and its bias."""
        return Answer(state.bias, state.choice)


WORK = 3e8
"""Transitions that the first sweeps may touch: about half a second."""
OVERHEAD = 50_000
"""Transitions that a sweep of a small model takes as long as."""


def _swept(problem: Canonical) -> Ints:
    """Greedy for the reward of so many steps that it has not changed for a quarter of them."""
    sweeper = Sweeper(problem)
    V, choice, changed = np.zeros(problem.n_states), problem.pair_ptr[:-1], 0
    for k in range(max(100, int(WORK / (problem.P.nnz + OVERHEAD)))):
        V, newest, _, _ = sweeper.backup(V)
        if not np.array_equal(newest, choice):
            changed = k
        choice = newest
        if k - changed >= max(8, changed / 4):
            break
        V -= V[0]
    return choice
