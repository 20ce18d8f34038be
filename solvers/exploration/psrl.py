r"""Posterior sampling: in each episode, the optimal policy of a model drawn from what is believed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import extended, optimism, posterior
from mdpkit.learner import Arena, Episode, Learner, Log, Step, View
from mdpkit.typing import Array, Floats, Ints

__all__ = ["PSRL", "TSDE"]


class Belief(NamedTuple):
    """Counts, the parameters of the Beta laws of hidden rewards, and the model drawn last."""

    view: View
    visits: Floats
    moves: Floats
    model: Floats
    wins: Floats
    losses: Floats
    law: Floats
    r: Floats
    V: Floats
    choice: Ints


class Run(NamedTuple):
    """The same of a continuing problem; ``marks`` are gain, number, first step and length before of the episode."""

    view: View
    visits: Floats
    before: Floats
    moves: Floats
    wins: Floats
    losses: Floats
    law: Floats
    r: Floats
    u: Floats
    choice: Ints
    marks: Floats
    at: Ints


def _coins(view: View) -> tuple[Floats, Floats]:
    """Beta(1, 1) for each hidden mean, ``(n, L)`` each; nothing where rewards are known."""
    shape = (view.reward_tables if view.r is None else 0, view.n_pairs)
    return np.ones(shape), np.ones(shape)


def _rewards(view: View, wins: Array, losses: Array, rng: np.random.Generator) -> Array:
    """Known rewards, or means drawn from their Beta laws, ``(n, L)``."""
    return view.r if view.r is not None else posterior.draw_means(wins, losses, rng)


@dataclass(frozen=True)
class PSRL(Learner[Belief]):
    r"""Posterior sampling for reinforcement learning: plan in one model drawn from the posterior, play an episode, update.

    .. math:: M_k \sim \Pr(M \mid \text{history}), \qquad \pi_k \in \arg\max_\pi V^\pi_{M_k}, \qquad
        \hat P(\cdot|s,a) \sim \mathrm{Dirichlet}(c + n(s,a,\cdot))

    Rewards are known, or coins whose means have Beta laws from Beta(1, 1) on; a reward that is no coin counts as its share of
    a success.

    **Guarantee.** The parameters are the prior's plus the counts, and the model is the next draw, exactly:
    ``osband2013:posterior``. Drawn laws have the moments of the Dirichlet law, ``osband2013:dirichlet``; given the history,
    the value of the drawn model is that of the unknown one in expectation, ``osband2013:identity``; so that under the prior
    the expected regret, :math:`O(HS\sqrt{L H K \ln})`, is bounded in ``osband2013:bayes-regret``.

    Parameters
    ----------
    prior : float
        Parameter c of each next state; positive.

    References
    ----------
    ``osband2013``

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(5))
    >>> regret = mk.play(river, PSRL(), episodes=300, rng=np.random.default_rng(0))
    >>> bool(np.all(regret.per_round[200:] < 0.2))
    True
    """

    prior: float = 1.0

    cites: ClassVar = ("osband2013",)
    claims: ClassVar = (
        "osband2013:posterior",
        "osband2013:dirichlet",
        "osband2013:identity",
        "osband2013:bayes-regret",
    )
    kinds: ClassVar = ("finite",)
    series: ClassVar = ("index",)
    bounded_by: ClassVar = "osband2013:bayes-regret"
    bound_holds: ClassVar = "in the mean over the prior"

    def __post_init__(self) -> None:
        self.positive("prior")

    def begin(self, view: View, rng: np.random.Generator) -> Belief:
        """The prior, and a model drawn from it."""
        if view.r is None:
            view.unit_rewards(self)
        n, S, L, H = view.tables, view.n_states, view.n_pairs, view.H
        view.table(n, S, L)
        assert H is not None
        rows = view.reward_tables
        state = Belief(
            view, np.zeros((n, L)), np.zeros((n, S, L)), np.zeros((n, S, L)), *_coins(view), np.zeros((n, S, L)),
            np.zeros((rows, L)), np.zeros((H + 1, S)), np.zeros((H, S), dtype=np.int64),
        )  # fmt: skip
        return self._draw(state, rng)

    def policy(self, state: Belief) -> Ints:
        """The optimal pairs of the model drawn last, ``(H, S)``."""
        return state.choice

    def observe(self, state: Belief, feedback: Episode, rng: np.random.Generator) -> Belief:
        """Count the episode, and draw again."""
        optimism.count(state.visits, state.moves, state.model, feedback.pairs, feedback.states)
        if state.view.r is None:
            for h, k in enumerate(feedback.pairs):
                i = h if len(state.wins) > 1 else 0
                state.wins[i, k] += feedback.rewards[h]
                state.losses[i, k] += 1 - feedback.rewards[h]
        return self._draw(state, rng)

    def _draw(self, state: Belief, rng: np.random.Generator) -> Belief:
        view = state.view
        assert view.H is not None
        law = posterior.draw_laws(posterior.parameters(float(self.prior), state.moves), rng)
        r = _rewards(view, state.wins, state.losses, rng)
        V, choice = optimism.backward(r, law, view.pair_ptr, view.H)
        return state._replace(law=law, r=np.array(r), V=V, choice=choice)

    def notes(self, state: Belief) -> tuple[float, ...]:
        """The value of the model drawn last at the initial law."""
        return (float(state.view.rho @ state.V[0]),)  # type: ignore[operator]

    def bound(self, view: View, rounds: Array) -> Array | None:
        r"""On the expected regret after n of K episodes where the model has this prior and rewards in [0, 1] are known.

        .. math:: 2 H + 2 L H^2 + \sqrt{8}\, (H-1)\, 2w \sqrt{L H n}, \qquad w = \sqrt{\tfrac12 (S \ln 2 + \ln (L N K))}

        N the largest possible count. With counts by stage, :math:`2 H + L H^2 + 4 (H-1) w H \sqrt{L n}`.
        """
        if view.r is None or view.low < 0 or view.high > 1:
            return None
        H, S, L, n = view.H, view.n_states, view.n_pairs, np.asarray(rounds, dtype=np.float64)
        assert H is not None
        pooled = view.stages is None
        events = L * view.tables * view.rounds * (H if pooled else 1)
        w = math.sqrt((S * math.log(2) + math.log(events * view.rounds)) / 2)
        if pooled:
            return 2 * H + 2 * L * H**2 + math.sqrt(8) * (H - 1) * 2 * w * np.sqrt(L * H * n)
        return 2 * H + L * H**2 + 4 * (H - 1) * w * H * np.sqrt(L * n)

    def loop(
        self, view: View, arena: Arena, state: Belief, log: Log, outer: np.random.Generator, own: np.random.Generator
    ) -> Belief | None:
        """The same, compiled."""
        from mdpkit.kernels.online import posterior as compiled

        kernels: Any = compiled
        kernels.psrl(
            arena, np.empty((0, 0)) if view.r is None else view.r, float(self.prior), state.visits, state.moves,
            state.model, state.wins, state.losses, state.law, state.r, state.V, state.choice, outer, own, log,
        )  # fmt: skip
        return state


@dataclass(frozen=True)
class TSDE(Learner[Run]):
    r"""Thompson sampling with dynamic episodes: posterior sampling in one endless run, with two rules of when to draw.

    .. math:: t_{k+1} = \min\{t > t_k : t > t_k + T_{k-1} \text{ or } n_t(s,a) > 2 n_{t_k}(s,a) \text{ for a pair}\}, \qquad
        T_k = t_{k+1} - t_k

    At :math:`t_k` a model is drawn as in PSRL, and a policy of nearly its optimal gain found by relative value iteration with
    half steps, until the span of a step is below :math:`1/\sqrt{t_k}`.

    **Guarantee.** Parameters, draws and times are those above, by ``ouyang2017:posterior``; after T steps there are at most
    :math:`\sqrt{2 M T}` episodes with :math:`M = 1 + L \log_2(1 + T/L)`, by ``ouyang2017:switches``.

    Parameters
    ----------
    prior : float
        Parameter of each next state in the Dirichlet prior; positive.

    References
    ----------
    ``ouyang2017``

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> river = mk.instances.make("riverswim", n_states=3).under(mk.AverageReward())
    >>> regret = mk.play(river, TSDE(), steps=3000, rng=np.random.default_rng(0))
    >>> bool(regret.total < 300)
    True
    """

    prior: float = 1.0

    cites: ClassVar = ("ouyang2017",)
    claims: ClassVar = ("ouyang2017:posterior", "ouyang2017:switches")
    kinds: ClassVar = ("average",)
    series: ClassVar = ("index", "switches")

    def __post_init__(self) -> None:
        self.positive("prior")

    def begin(self, view: View, rng: np.random.Generator) -> Run:
        """The prior, and a model drawn from it."""
        if view.r is None:
            view.unit_rewards(self)
        S, L = view.n_states, view.n_pairs
        view.table(S, L)
        state = Run(
            view, np.zeros(L), np.zeros(L), np.zeros((1, S, L)), *_coins(view), np.zeros((1, S, L)), np.zeros((1, L)),
            np.zeros(S), np.zeros(S, dtype=np.int64), np.array([0.0, -1.0, 0.0, 0.0]), np.array([-1]),
        )  # fmt: skip
        return self._draw(state, 1, rng)

    def policy(self, state: Run) -> Ints:
        """The pairs of the last planning, ``(S,)``."""
        return state.choice

    def observe(self, state: Run, feedback: Step, rng: np.random.Generator) -> Run:
        """Count the step, and draw again if the episode is over."""
        k, t = feedback.pair, feedback.t + 2
        state.visits[k] += 1
        state.moves[0, feedback.s_next, k] += 1
        if state.view.r is None:
            state.wins[0, k] += feedback.reward
            state.losses[0, k] += 1 - feedback.reward
        if t > state.marks[2] + state.marks[3] or state.visits[k] > 2 * state.before[k]:
            return self._draw(state, t, rng)
        return state

    def _draw(self, state: Run, t: int, rng: np.random.Generator) -> Run:
        view = state.view
        state.law[:] = posterior.draw_laws(posterior.parameters(float(self.prior), state.moves), rng)
        state.r[:] = _rewards(view, state.wins, state.losses, rng)
        still = np.zeros(view.n_pairs)
        u, _, high, choice = extended.iterate(
            state.r[0], state.law[0], still, view.pair_ptr, 1 / math.sqrt(t), lazy=0.5
        )
        state.u[:], state.choice[:], state.before[:] = u, choice, state.visits
        state.marks[:] = high, state.marks[1] + 1, t, t - state.marks[2]
        return state

    def notes(self, state: Run) -> tuple[float, ...]:
        """An upper bound on the gain of the model drawn last, and how many were drawn before it."""
        return float(state.marks[0]), float(state.marks[1])

    def loop(
        self, view: View, arena: Arena, state: Run, log: Log, outer: np.random.Generator, own: np.random.Generator
    ) -> Run | None:
        """The same, compiled."""
        from mdpkit.kernels.online import posterior as compiled

        kernels: Any = compiled
        kernels.tsde(
            arena, np.empty((0, 0)) if view.r is None else view.r, float(self.prior), state.visits, state.before,
            state.moves, state.wins, state.losses, state.law, state.r, state.u, state.choice, state.marks, state.at,
            outer, own, log,
        )  # fmt: skip
        return state
