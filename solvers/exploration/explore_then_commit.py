r"""Explore, then commit: some episodes at random, and the optimal policy of the empirical model from then on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import optimism
from mdpkit.learner import Arena, Episode, Learner, Log, View
from mdpkit.models.sampling import check_count
from mdpkit.typing import Array, Floats, Ints

__all__ = ["ExploreThenCommit"]


class State(NamedTuple):
    """Counts, the empirical model, the plan, and how many episodes explore; ``uniform`` is how they do."""

    view: View
    length: int
    seen: Ints
    uniform: Floats
    visits: Floats
    moves: Floats
    model: Floats
    V: Floats
    choice: Ints


@dataclass(frozen=True)
class ExploreThenCommit(Learner[State]):
    r"""Uniform actions for m episodes, then the plan of the empirical model for the rest.

    .. math:: \pi_k = \text{uniform} \;(k < m), \qquad \pi_k \in \arg\max_\pi V^\pi_{\hat P} \;(k \ge m), \qquad
        \hat P = n(s,a,s')/n(s,a)

    A pair that was never taken leads nowhere, and is worth its reward.

    **Guarantee.** What is played is that, exactly, by ``lattimore2020:plan``. With :math:`m = \lceil K^{2/3} \rceil` the
    expected regret grows as :math:`K^{2/3}`, by ``lattimore2020:commit-regret``, with a constant that is exponential in H, as
    uniform actions need it; no better power is possible for this rule, where optimism has 1/2: ``lattimore2020:separation``.

    *Departures.* The book treats bandits (H = 1); the bound for episodes is derived in ``docs/theory/exploration``.

    Parameters
    ----------
    length : int, optional
        Number m of episodes that explore; :math:`\lceil K^{2/3} \rceil` by default.

    References
    ----------
    ``lattimore2020``

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(5))
    >>> regret = mk.play(river, ExploreThenCommit(length=100), episodes=300, rng=np.random.default_rng(0))
    >>> len(np.unique(regret.values))
    2
    """

    length: int | None = None

    cites: ClassVar = ("lattimore2020",)
    claims: ClassVar = ("lattimore2020:plan", "lattimore2020:commit-regret", "lattimore2020:separation")
    kinds: ClassVar = ("finite",)
    bounded_by: ClassVar = "lattimore2020:commit-regret"
    bound_holds: ClassVar = "in expectation"

    def __post_init__(self) -> None:
        if self.length is not None:
            check_count(self.length, "length", 1)

    def exploring(self, view: View) -> int:
        """How many of the view's episodes explore."""
        chosen = math.ceil(round(view.rounds ** (2 / 3), 9)) if self.length is None else self.length
        return min(int(chosen), view.rounds)

    def begin(self, view: View, rng: np.random.Generator) -> State:
        """No counts."""
        view.rewards(self)
        n, S, L, H = view.tables, view.n_states, view.n_pairs, view.H
        view.table(n, S, L)
        assert H is not None
        actions = np.diff(view.pair_ptr)
        uniform = np.tile(1 / actions[view.state], (H, 1))
        return State(
            view, self.exploring(view), np.zeros(1, dtype=np.int64), uniform, np.zeros((n, L)), np.zeros((n, S, L)),
            np.zeros((n, S, L)), np.zeros((H + 1, S)), np.tile(view.pair_ptr[:-1], (H, 1)).astype(np.int64),
        )  # fmt: skip

    def policy(self, state: State) -> Array:
        """Uniform probabilities ``(H, L)``, later the planned pairs ``(H, S)``."""
        return state.uniform if state.seen[0] < state.length else state.choice

    def observe(self, state: State, feedback: Episode, rng: np.random.Generator) -> State:
        """Count an exploring episode, and plan after the last of them."""
        if state.seen[0] >= state.length:
            return state
        view = state.view
        assert view.r is not None and view.H is not None
        state.seen[0] += 1
        optimism.count(state.visits, state.moves, state.model, feedback.pairs, feedback.states)
        if state.seen[0] < state.length:
            return state
        V, choice = optimism.backward(view.r, state.model, view.pair_ptr, view.H)
        return state._replace(V=V, choice=choice)

    def bound(self, view: View, rounds: Array) -> Array | None:
        r"""On the expected regret after n of K episodes, for rewards in [0, 1].

        .. math:: H \min(m, n) + (n - m)^+ \Bigl( 2 \sqrt 2\, w \sqrt{\tfrac{L}{m+1}} \sum_{h<H} A^{h+1} (H-1-h) + \tfrac HK
            \Bigr), \qquad w = \sqrt{\tfrac12 (S \ln 2 + \ln (L N K))}

        A the largest number of actions, N the number of tables times the largest possible count of m episodes.
        """
        if view.low < 0 or view.high > 1:
            return None
        H, S, L, n = view.H, view.n_states, view.n_pairs, np.asarray(rounds, dtype=np.float64)
        assert H is not None
        m, A = self.exploring(view), int(np.diff(view.pair_ptr).max())
        w = math.sqrt((S * math.log(2) + math.log(L * H * m * view.rounds)) / 2)
        spread = sum(A ** (h + 1) * (H - 1 - h) for h in range(H))
        each = 2 * math.sqrt(2) * w * math.sqrt(L / (m + 1)) * spread + H / view.rounds
        return H * np.minimum(n, m) + np.maximum(n - m, 0) * each

    def loop(
        self, view: View, arena: Arena, state: State, log: Log, outer: np.random.Generator, own: np.random.Generator
    ) -> State | None:
        """The same, compiled."""
        from mdpkit.kernels.online import explore as compiled

        kernels: Any = compiled
        assert view.r is not None
        kernels.explore_then_commit(
            arena, view.r, state.length, state.uniform, state.visits, state.moves, state.model, state.V, state.choice,
            outer, log,
        )  # fmt: skip
        return state
