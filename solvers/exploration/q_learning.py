r"""Optimistic Q-learning: no model, a bonus in every update."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import q_learning
from mdpkit.learner import Arena, Episode, Learner, Log, View
from mdpkit.typing import Array, Floats, Ints

__all__ = ["OptimisticQLearning"]


class State(NamedTuple):
    """Action values, values, counts and greedy pairs of each stage."""

    view: View
    Q: Floats
    V: Floats
    visits: Floats
    choice: Ints


@dataclass(frozen=True)
class OptimisticQLearning(Learner[State]):
    r"""Q-learning with upper confidence bounds (Hoeffding): each visit moves one entry towards a target with a bonus.

    .. math:: Q_h(s,a) \leftarrow (1 - \alpha_n) Q_h(s,a) + \alpha_n \bigl(r + V_{h+1}(s') + b_n\bigr), \qquad
        \alpha_n = \frac{H+1}{H+n}, \quad b_n = (H-1-h) \sqrt{H \iota / n}, \quad V_h = \min\{H - h, \max_a Q_h\}

    with h from 0, from :math:`Q_h = H - h`; n counts the visits of (h, s, a), and :math:`\iota = \ln(2 H L K/\delta)`. Where
    rewards are noisy the bonus has H - h in place of H - 1 - h.

    **Guarantee.** With probability :math:`1 - \delta` the index is optimistic in every episode, :math:`V_h \ge V^*_h`, by
    ``jin2018:optimism``; the updates are those above, by ``jin2018:updates``, and weight the n targets by numbers whose sums
    are known, by ``jin2018:weights``. The regret, :math:`O(\sqrt{H^4 L K \iota})`, is bounded in ``jin2018:regret``.

    *Departures.* The bonus and the constants of the bound are derived in ``docs/theory/exploration``; values of stage h are
    capped at H - h in place of H.

    Parameters
    ----------
    delta : float
        Failure probability.
    scale : float
        Factor of the bonus; below one nothing is guaranteed.

    References
    ----------
    ``jin2018``

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(5))
    >>> regret = mk.play(river, OptimisticQLearning(), episodes=100, rng=np.random.default_rng(0))
    >>> bool(np.all(regret.series["index"] >= regret.best))
    True
    """

    delta: float = 0.1
    scale: float = 1.0

    cites: ClassVar = ("jin2018",)
    claims: ClassVar = ("jin2018:optimism", "jin2018:updates", "jin2018:weights", "jin2018:regret")
    kinds: ClassVar = ("finite",)
    series: ClassVar = ("index",)
    optimistic: ClassVar = True
    bounded_by: ClassVar = "jin2018:regret"
    bound_holds: ClassVar = "with probability 1 − 2δ"

    def __post_init__(self) -> None:
        self.probability("delta")
        self.not_negative("scale")

    def iota(self, view: View) -> float:
        """The logarithm in the bonus: a union over stages, pairs and counts, and two sides."""
        assert view.H is not None
        return math.log(2 * view.H * view.n_pairs * view.rounds / self.delta)

    def begin(self, view: View, rng: np.random.Generator) -> State:
        """Every pair is worth all that can still be had."""
        view.unit_rewards(self)
        H, S, L = view.H, view.n_states, view.n_pairs
        assert H is not None
        view.table(H, L)
        left = np.arange(H, -1, -1, dtype=np.float64)
        return State(
            view, np.repeat(left[:-1, None], L, axis=1), np.repeat(left[:, None], S, axis=1), np.zeros((H, L)),
            np.tile(view.pair_ptr[:-1], (H, 1)).astype(np.int64),
        )  # fmt: skip

    def policy(self, state: State) -> Ints:
        """The greedy pairs, ``(H, S)``."""
        return state.choice

    def observe(self, state: State, feedback: Episode, rng: np.random.Generator) -> State:
        """One update for each step of the episode."""
        view, rewards = state.view, feedback.rewards
        if view.r is not None:
            rewards = view.r[np.minimum(np.arange(len(rewards)), len(view.r) - 1), feedback.pairs]
        q_learning.learn(
            state.Q, state.V, state.visits, state.choice, feedback.states, feedback.pairs, rewards, view.pair_ptr,
            self.iota(view), float(self.scale), float(view.r is None),
        )  # fmt: skip
        return state

    def notes(self, state: State) -> tuple[float, ...]:
        """The optimistic value at the initial law."""
        return (float(state.view.rho @ state.V[0]),)  # type: ignore[operator]

    def bound(self, view: View, rounds: Array) -> Array | None:
        r"""On the regret after n of K episodes, for all n together with probability :math:`1 - 2\delta`.

        .. math:: \sum_{h<H} \rho^h \bigl( L (H-h) + 6 w_h \sqrt{H \iota L n} \bigr)
            + \sqrt{\tfrac12 K \ln(1/\delta) \bigl(H^2 + \textstyle\sum_h \rho^{2h} (H-1-h)^2\bigr)}, \qquad \rho = 1 + 1/H

        with :math:`w_h` the range in the bonus of stage h.
        """
        if self.scale != 1:
            return None
        H, L, n = view.H, view.n_pairs, np.asarray(rounds, dtype=np.float64)
        assert H is not None
        iota, h = self.iota(view), np.arange(H)
        rho, rest = (1 + 1 / H) ** h, (H - 1.0) - h
        width = rest + (view.r is None)
        luck = math.sqrt(view.rounds * math.log(1 / self.delta) / 2 * (H**2 + float(np.sum((rho * rest) ** 2))))
        return float(rho @ (L * (H - h))) + 6 * float(rho @ width) * np.sqrt(H * iota * L * n) + luck

    def loop(
        self, view: View, arena: Arena, state: State, log: Log, outer: np.random.Generator, own: np.random.Generator
    ) -> State | None:
        """The same, compiled."""
        from mdpkit.kernels.online import q_learning as compiled

        kernels: Any = compiled
        kernels.optimistic_q_learning(
            arena, np.empty((0, 0)) if view.r is None else view.r, state.Q, state.V, state.visits, state.choice,
            self.iota(view), float(self.scale), float(view.r is None), outer, log,
        )  # fmt: skip
        return state
