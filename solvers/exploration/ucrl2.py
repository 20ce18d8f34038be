r"""UCRL2: optimism over all models in a confidence set, in episodes that double the counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import extended
from mdpkit.learner import Arena, Learner, Log, Step, View
from mdpkit.typing import Floats, Ints

__all__ = ["UCRL2"]


class State(NamedTuple):
    """Counts, those at the last planning, sums of rewards, and what was planned: ``marks`` are the gain and the episodes."""

    view: View
    visits: Floats
    before: Floats
    moves: Floats
    paid: Floats
    u: Floats
    choice: Ints
    marks: Floats
    at: Ints


@dataclass(frozen=True)
class UCRL2(Learner[State]):
    r"""Upper confidence reinforcement learning: extended value iteration whenever a count has doubled.

    .. math:: u \leftarrow \max_a \bigl\{ \min\{\hat r + d_r, 1\} + \max_{\|p - \hat p\|_1 \le d_p} p u \bigr\}, \qquad
        d_p = \sqrt{14 S \ln(2 A t/\delta)/n}, \quad d_r = \sqrt{7 \ln(2 L t/\delta)/2n}

    from u = 0 until :math:`\max(\tilde Tu - u) - \min(\tilde Tu - u) < 1/\sqrt t`, at the step t at which an episode begins.
    Its greedy policy is played until the state's pair has been taken as often in this episode as in all those before (once, if
    it was new). L is the number of pairs, A the largest number of actions.

    **Guarantee.** With probability :math:`1 - \delta` the noted gain, :math:`\max(\tilde Tu - u)`, is at least the optimal one
    in every episode: ``jaksch2010:optimism``; it is at least the gain of every model in the set, ``jaksch2010:extended-gain``,
    whose inner maximum is that of a linear program, ``jaksch2010:inner-maximum``. What is planned and when, by
    ``jaksch2010:plan``; at most :math:`L \log_2(8T/L)` episodes, ``jaksch2010:switches``; the regret is at most
    :math:`34 D S \sqrt{A T \ln(T/\delta)}`, ``jaksch2010:regret``.

    *Departures.* Optimistic rewards are capped at one, and the gain that is noted is the upper end of the last step, which
    needs no allowance of :math:`1/\sqrt t` to be optimistic.

    Parameters
    ----------
    delta : float
        Failure probability.
    scale : float
        Factor of both widths; below one nothing is guaranteed.

    References
    ----------
    ``jaksch2010``

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> river = mk.instances.make("riverswim", n_states=3).under(mk.AverageReward())
    >>> regret = mk.play(river, UCRL2(), steps=1000, rng=np.random.default_rng(0))
    >>> bool(np.all(regret.series["index"] >= regret.best)), int(regret.series["switches"][-1])
    (True, 26)
    """

    delta: float = 0.1
    scale: float = 1.0

    cites: ClassVar = ("jaksch2010",)
    claims: ClassVar = (
        "jaksch2010:inner-maximum",
        "jaksch2010:extended-gain",
        "jaksch2010:plan",
        "jaksch2010:optimism",
        "jaksch2010:switches",
        "jaksch2010:regret",
    )
    kinds: ClassVar = ("average",)
    series: ClassVar = ("index", "switches")
    optimistic: ClassVar = True

    def __post_init__(self) -> None:
        self.probability("delta")
        self.not_negative("scale")

    def begin(self, view: View, rng: np.random.Generator) -> State:
        """No counts: any law and the best reward are possible."""
        view.unit_rewards(self)
        S, L = view.n_states, view.n_pairs
        view.table(S, L)
        state = State(
            view, np.zeros(L), np.zeros(L), np.zeros((S, L)), np.zeros(L), np.zeros(S), np.zeros(S, dtype=np.int64),
            np.array([0.0, -1.0]), np.array([-1]),
        )  # fmt: skip
        return self._plan(state, 1)

    def policy(self, state: State) -> Ints:
        """The greedy pairs of the last planning, ``(S,)``."""
        return state.choice

    def observe(self, state: State, feedback: Step, rng: np.random.Generator) -> State:
        """Count the step, and plan again if the next pair has been taken often enough."""
        k, after = feedback.pair, state.choice[feedback.s_next]
        state.visits[k] += 1
        state.moves[feedback.s_next, k] += 1
        state.paid[k] += feedback.reward
        if state.visits[after] - state.before[after] >= max(1, state.before[after]):
            return self._plan(state, feedback.t + 2)
        return state

    def confidence(self, view: View, visits: Floats, t: int) -> tuple[Floats, Floats]:
        """Widths of the sets of laws and of rewards at step t, counted from one, ``(L,)`` each."""
        n = np.where(visits > 0, visits, 1)
        most, delta = int(np.diff(view.pair_ptr).max()), float(self.delta)
        laws = extended.law_width(n, view.n_states, math.log(2 * most * t / delta))
        rewards = extended.reward_width(n, math.log(2 * view.n_pairs * t / delta))
        return float(self.scale) * laws, float(self.scale) * rewards

    def _plan(self, state: State, t: int) -> State:
        view, visits = state.view, state.visits
        law = extended.empirical(state.moves, visits)
        width, more = self.confidence(view, visits, t)
        n = np.where(visits > 0, visits, 1)
        width = np.where(visits > 0, width, 2.0)
        r = np.where(visits > 0, np.minimum(state.paid / n + more, 1), 1.0)
        u, _, high, choice = extended.iterate(r, law, width, view.pair_ptr, 1 / math.sqrt(t))
        state.u[:], state.choice[:], state.before[:] = u, choice, visits
        state.marks[:] = high, state.marks[1] + 1
        return state

    def notes(self, state: State) -> tuple[float, ...]:
        """The optimistic gain, and how often it was planned anew."""
        return float(state.marks[0]), float(state.marks[1])

    def loop(
        self, view: View, arena: Arena, state: State, log: Log, outer: np.random.Generator, own: np.random.Generator
    ) -> State | None:
        """The same, compiled."""
        from mdpkit.kernels.online import extended as compiled

        kernels: Any = compiled
        kernels.ucrl2(
            arena, int(np.diff(view.pair_ptr).max()), float(self.delta), float(self.scale), state.visits, state.before,
            state.moves, state.paid, state.u, state.choice, state.marks, state.at, outer, log,
        )  # fmt: skip
        return state
