r"""Best-of-both-worlds policy optimization: a regularized leader in every state, with rates that follow its visits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import occupancy_bounds, optimism, policy_optimization
from mdpkit.learner import Arena, Episode, Learner, Log, View
from mdpkit.typing import Array, Floats, Ints

__all__ = ["BestOfBothWorldsPolicyOptimization"]

ENTROPIES = ("tsallis", "shannon", "barrier")


class State(NamedTuple):
    """Accumulated losses and inverse occupancies, the leaders, bounds on their occupancy, and their rates."""

    view: View
    law: Floats
    radius: Floats | None
    visits: Floats
    moves: Floats
    total: Floats
    inverse: Floats
    t: Ints
    pi: Floats
    lower: Floats
    upper: Floats
    rate: Floats
    change: Floats


@dataclass(frozen=True)
class BestOfBothWorldsPolicyOptimization(Learner[State]):
    r"""Follow the regularized leader in every state, on losses-to-go less a dilated bonus.

    .. math:: \pi_{t,h}(\cdot|s) = \arg\min_p \Bigl\langle p, \sum_{\tau < t} (\hat Q_\tau - B_\tau)_h(s, \cdot) \Bigr\rangle
        + \frac{\psi(p)}{\eta_{t,h}(s)}, \qquad
        \frac1{\eta_{t,h}(s)} = a + cH \sqrt{\sum_{\tau \le t} \frac1{u_{\tau,h}(s) + f_\tau}}

    with :math:`\hat Q_h(s_h,a_h) = \sum_{i \ge h} \ell_i / ((u_h(s_h) + f) \pi_h(a_h|s_h))`, :math:`\ell = 1 - r`,
    :math:`f_t = \min\{1, \kappa/t\}`, u the occupancy of the policy, or an upper bound over a confidence set of laws, and
    :math:`\psi = -2 \sum \sqrt{p}` (Tsallis), :math:`\sum p \ln p` (Shannon) or :math:`-\sum \ln p` (log-barrier). B is the
    dilated bonus-to-go of :math:`b = (\frac1{\eta_t} - \frac1{\eta_{t-1}}) \mathrm{pen}(\pi) +
    \frac{\eta_t R^2}{u + f} \mathrm{var}(\pi) + R \frac{u - l + f}{u + f}` with R stages to go.

    **Guarantee.** Rates, leaders and what is accumulated are those above, by ``bobw-po:update``; Tsallis' leader and the
    barrier's solve their condition, by ``bobw-po:leader``. The regret is
    :math:`\sum_h E_{\mu^*} \langle \pi_t - \pi^*, Q_t \rangle`, exactly, by ``bobw-po:regret-decomposition``; the dilated bonus
    pays for itself, :math:`\sum_h E_{\mu^*} [b + \frac1H \langle \pi, B \rangle + \langle \pi - \pi^*, B \rangle] \le
    e V^\pi(b)`, by ``bobw-po:dilated-bonus``; in every run each state's leader loses no more than penalties and noise, by
    ``bobw-po:leader-regret``, and the bonus covers what that is in the mean, by ``bobw-po:bonus-covers-noise``. On bandits
    the regret is at most :math:`4 \sqrt{AT}` in the mean against any adversary and grows like :math:`\ln T` against a
    stochastic one, by ``bobw-po:bandit-adversarial`` and ``bobw-po:bandit-stochastic``.

    *Departures.* Rates, bonus and constants are derived for a known law (``docs/theory/exploration``); the floor f keeps
    bonuses small in place of the paper's virtual episodes. The confidence set is an :math:`\ell_1`-ball renewed after every
    episode, and with an unknown law no bound on the regret is claimed. The default constants are those of the proof, which
    need very many episodes; ``start=0, explore=0`` leaves them out.

    Parameters
    ----------
    entropy : {"tsallis", "shannon", "barrier"}
    rate : float
        c, the slope of inverse rates over H.
    start : float, optional
        a, by default :math:`2 H Z` with :math:`Z = 8 (e - 1) H^2 z`, and 0 for one stage; z is :math:`4 \sqrt A` (Tsallis),
        :math:`A + \ln A` (Shannon) or :math:`A \ln T + 1`.
    explore : float, optional
        :math:`\kappa`, by default :math:`2 Z^2`, and 0 for one stage.
    bonus : float
        Factor of the bonus; other than one nothing is guaranteed for H > 1.
    delta : float
        Failure probability of the confidence set.

    References
    ----------
    ``bobw-po``, ``zimmert2021``, ``luo2021``

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> from mdpkit.environment import Environment
    >>> arms = mk.MDP(np.ones((1, 2, 1)), [[0.5, 0.75]], mk.FiniteHorizon(1), rho=0)
    >>> learner = BestOfBothWorldsPolicyOptimization(rate=1.0)
    >>> regret = mk.play(Environment(arms, "bernoulli"), learner, episodes=5000, rng=np.random.default_rng(0))
    >>> bool(regret.total < 60)
    True
    """

    entropy: str = "tsallis"
    rate: float = 2.0
    start: Any = None
    explore: Any = None
    bonus: float = 1.0
    delta: float = 0.1

    cites: ClassVar = ("bobw-po", "zimmert2021", "luo2021")
    claims: ClassVar = (
        "bobw-po:update",
        "bobw-po:leader",
        "bobw-po:regret-decomposition",
        "bobw-po:dilated-bonus",
        "bobw-po:leader-regret",
        "bobw-po:bonus-covers-noise",
        "bobw-po:bandit-adversarial",
        "bobw-po:bandit-stochastic",
    )
    kinds: ClassVar = ("finite",)
    bounded_by: ClassVar = "bobw-po:bonus-covers-noise"
    bound_holds: ClassVar = "in expectation"

    def __post_init__(self) -> None:
        self.probability("delta")
        self.positive("rate")
        self.not_negative("bonus")
        for name in ("start", "explore"):
            if getattr(self, name) is not None:
                self.not_negative(name)
        if self.entropy not in ENTROPIES:
            raise OptionError("the entropy is unknown", found=self.entropy, needed=" or ".join(map(repr, ENTROPIES)))

    def constants(self, view: View) -> tuple[float, float, float, float]:
        r"""The constants a, cH and :math:`\kappa` of rates and floor, and z of the bonus."""
        H = view.H
        assert H is not None
        actions, logs = float(np.max(np.diff(view.pair_ptr))), math.log(view.rounds)
        z = {
            "tsallis": 4 * math.sqrt(actions),
            "shannon": actions + math.log(actions),
            "barrier": actions * logs + 1,
        }[self.entropy]
        Z = 8 * (math.e - 1) * H**2 * z if H > 1 else 0.0
        start = 2 * H * Z if self.start is None else float(self.start)
        explore = 2 * Z**2 if self.explore is None else float(self.explore)
        return start, float(self.rate) * H, explore, z

    def iota(self, view: View) -> float:
        """The logarithm in the radius of the confidence set."""
        most = view.rounds * ((view.H or 1) if view.stages is None else 1)
        return occupancy_bounds.union(view.tables, view.n_states, view.n_pairs, most, float(self.delta))

    def begin(self, view: View, rng: np.random.Generator) -> State:
        """Uniform leaders."""
        view.unit_rewards(self)
        n, S, L, H = view.tables, view.n_states, view.n_pairs, view.H
        view.table(n, S, L)
        assert H is not None and view.rho is not None
        known = view.P is not None
        law = occupancy_bounds.dense(view.P, n, S, L) if known else np.full((n, S, L), 1 / S)
        visits, moves = np.zeros((0, L) if known else (n, L)), np.zeros((0, S, L) if known else (n, S, L))
        state = State(
            view, law, None if known else np.full((n, L), 2.0), visits, moves, np.zeros((H, L)), np.zeros((H, S)),
            np.ones(1, dtype=np.int64), np.empty((H, L)), np.empty((H, S)), np.empty((H, S)), np.empty((H, S)),
            np.empty((H, S)),
        )  # fmt: skip
        self._lead(state)
        return state

    def policy(self, state: State) -> Floats:
        """The probabilities of pairs, ``(H, L)``."""
        return state.pi

    def floor(self, view: View, t: int) -> float:
        r""":math:`f_t = \min\{1, \kappa/t\}`."""
        return min(1.0, self.constants(view)[2] / t)

    def _lead(self, state: State) -> None:
        """Stage by stage: bounds on the occupancy, rates, leaders; in place."""
        view, pi = state.view, state.pi
        base, factor, _, _ = self.constants(view)
        floor = self.floor(view, int(state.t[0]))
        start = np.asarray(view.rho, dtype=np.float64)
        for h in range(len(pi)):
            if state.radius is not None:
                state.upper[h] = occupancy_bounds.stage_bounds(h, start, state.law, state.radius, pi, view.pair_ptr)
                state.lower[h] = occupancy_bounds.stage_bounds(
                    h, start, state.law, state.radius, pi, view.pair_ptr, lower=True
                )
            else:
                i = h - 1 if len(state.law) > 1 else 0
                state.upper[h] = (
                    occupancy_bounds.forward(state.upper[h - 1], state.law[i], pi[h - 1], view.pair_ptr) if h else start
                )
                state.lower[h] = state.upper[h]
            wide = state.upper[h] + floor
            before = factor * np.sqrt(state.inverse[h])
            state.inverse[h] += np.where(wide > 0, 1.0 / np.where(wide > 0, wide, 1.0), 0.0)
            after = factor * np.sqrt(state.inverse[h])
            state.change[h] = after - before
            below = base + after
            state.rate[h] = np.where(below > 0, 1.0 / np.where(below > 0, below, 1.0), 0.0)
            pi[h] = policy_optimization.leader(state.total[h], state.rate[h], view.pair_ptr, self.entropy)

    def observe(self, state: State, feedback: Episode, rng: np.random.Generator) -> State:
        """Add the episode's estimate and bonus, and find the next leaders."""
        view, pi, H = state.view, state.pi, len(state.pi)
        floor = self.floor(view, int(state.t[0]))
        bonus = np.array([
            policy_optimization.leader_bonus(
                state.lower[h], state.upper[h], pi[h], state.rate[h], state.change[h], view.pair_ptr, H - h,
                floor=floor, entropy=self.entropy, log_rounds=math.log(view.rounds),
            )
            for h in range(H)
        ])  # fmt: skip
        state.total[:] -= occupancy_bounds.dilated(
            float(self.bonus) * bonus, state.law, state.radius, pi, view.pair_ptr, 1.0 + 1.0 / H
        )
        taken = policy_optimization.estimate(
            feedback.states, feedback.pairs, 1 - feedback.rewards, state.upper, pi, np.ones_like(pi),
            explore=0.0, floor=floor,
        )  # fmt: skip
        state.total[np.arange(H), feedback.pairs] += taken
        if state.radius is not None:
            optimism.count(state.visits, state.moves, state.law, feedback.pairs, feedback.states)
            state.radius[:] = occupancy_bounds.radius(state.visits, self.iota(view))
        state.t[0] += 1
        self._lead(state)
        return state

    def bound(self, view: View, rounds: Array) -> Array | None:
        r"""On the expected regret against any fixed policy, with a known law and the constants of the proof (Tsallis, Shannon).

        .. math:: H X + e \bigl( 4 \sqrt 2 z H^2 S \sqrt T + H^2 S \textstyle\sum_t f_t \bigr),

        X being :math:`2 a (\sqrt A - 1)` or :math:`a \ln A`. For one stage with Tsallis' entropy and c = 1, of A pairs a state,
        :math:`4 \sqrt{A T}` a state.
        """
        H, S, T = view.H, view.n_states, np.asarray(rounds, dtype=np.float64)
        assert H is not None
        start, _, explore, z = self.constants(view)
        actions = float(np.max(np.diff(view.pair_ptr)))
        if H == 1:
            plain = self.entropy == "tsallis" and self.rate == 1 and start == 0 and explore == 0
            return 4 * S * np.sqrt(actions * T) if plain else None
        default = self.rate == 2 and self.start is None and self.explore is None and self.bonus == 1
        if view.P is None or self.entropy == "barrier" or not default:
            return None
        X = start * (2 * (math.sqrt(actions) - 1) if self.entropy == "tsallis" else math.log(actions))
        floors = np.minimum(T, explore) + explore * np.log(np.maximum(1.0, T / explore))
        return H * X + math.e * H**2 * S * (4 * math.sqrt(2) * z * np.sqrt(T) + floors + 1)

    def loop(
        self, view: View, arena: Arena, state: State, log: Log, outer: np.random.Generator, own: np.random.Generator
    ) -> State | None:
        """The same, compiled."""
        from mdpkit.kernels.online import policy_optimization as compiled

        kernels: Any = compiled
        base, factor, explore, _ = self.constants(view)
        radius = np.zeros((1, view.n_pairs)) if state.radius is None else state.radius
        kernels.leaders(
            arena, state.law, radius, state.radius is None, state.visits, state.moves, state.total, state.inverse, state.t,
            state.pi, state.lower, state.upper, state.rate, state.change, base, factor, explore, float(self.bonus),
            ENTROPIES.index(self.entropy), math.log(view.rounds), self.iota(view), outer, log,
        )  # fmt: skip
        return state
