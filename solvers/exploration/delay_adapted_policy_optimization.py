r"""Delay-adapted policy optimization: exponential weights in every state, from feedback that comes late."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.kernels import occupancy_bounds, optimism, policy_optimization
from mdpkit.learner import Arena, Delayed, Learner, Log, View
from mdpkit.typing import Array, Floats

__all__ = ["DelayAdaptedPolicyOptimization"]


class State(NamedTuple):
    """Accumulated losses, the policy they make, bounds on its occupancy, and what awaits its feedback."""

    view: View
    law: Floats
    radius: Floats | None
    visits: Floats
    moves: Floats
    total: Floats
    pi: Floats
    lower: Floats
    upper: Floats
    waiting: dict[Any, Any]


@dataclass(frozen=True)
class DelayAdaptedPolicyOptimization(Learner[State]):
    r"""Delay-adapted policy optimization (DAPO) with a dilated bonus; of one state and one stage, Exp3 with delays.

    .. math:: \pi_{k,h}(a|s) \propto \exp\Bigl(-\eta \sum_{j:\, j + d_j < k} (\hat Q_j - B_j)_h(s,a)\Bigr), \qquad
        \hat Q_{j,h}(s_h,a_h) = \frac{p}{\max\{p, q\}} \cdot \frac{\sum_{i \ge h} \ell_i}{u_{j,h}(s_h)\, p + \gamma}

    where p and q are the probabilities of :math:`a_h` when the episode was played and when its feedback arrives,
    :math:`\ell = 1 - r`, and u is the occupancy of the policy that was played, or an upper bound over a confidence set of laws.
    :math:`B_j = b_j + (1 + \frac1H) P \langle \pi_j, B_j \rangle` is the dilated bonus-to-go. Feedback that arrives together
    is used one episode after the other.

    **Guarantee.** What is accumulated and played is that above, by ``delay-adapted-po:update``. With a known law and
    :math:`\gamma = 0`, :math:`E[\hat Q] = \frac{p}{\max\{p,q\}} Q`, exactly, by ``delay-adapted-po:bias``, and
    :math:`\sum_a q\, E[\hat Q^2] \le \frac{H^2}{u} \sum_a \frac{\min\{p,q\}}{\max\{p,q\}}`, by
    ``delay-adapted-po:second-moment``; the bounds u are the largest over the set, by ``delay-adapted-po:occupancy``. The
    expected regret is bounded: of one stage by ``delay-adapted-po:exp3``, of H stages with a known law by
    ``delay-adapted-po:regret``.

    *Departures.* Bonus and constants are derived (``docs/theory/exploration``). The confidence set is an :math:`\ell_1`-ball
    around the empirical law, renewed with each feedback, and with an unknown law no bound on the regret is claimed.

    Parameters
    ----------
    eta : number, optional
        Step size; by default that of the bound for so many episodes and the mean delay ``delay``.
    explore : number, optional
        :math:`\gamma`, by default :math:`\eta H`, and 0 for one stage.
    weights : {"adapted", "plain"}
        Whether to divide by :math:`\max\{p, q\}`, or by p alone (importance weights as without delays).
    information : {"bandit", "full"}
        Whether to estimate losses from what was paid, or to use the whole tables, where they and the law are revealed.
    bonus : float
        Factor of the bonus; other than one nothing is guaranteed for H > 1.
    delay : float
        Mean delay, for the default step size.
    delta : float
        Failure probability of the confidence set.

    References
    ----------
    ``delay-adapted-po``, ``thune2019``, ``luo2021``

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> from mdpkit.environment import Adversarial, Delayed, switching
    >>> arms = mk.MDP(np.ones((1, 2, 1)), np.zeros((1, 2)), mk.FiniteHorizon(1), rho=0)
    >>> world = Delayed(Adversarial(arms, *switching([[0.0, 1.0], [0.75, 0.0]], 1000, 50)), 10)
    >>> learner = DelayAdaptedPolicyOptimization(delay=10)
    >>> regret = mk.play(world, learner, episodes=1000, rng=np.random.default_rng(0))
    >>> bool(regret.total < regret.bound[-1] < 250)
    True
    """

    eta: Any = None
    explore: Any = None
    weights: str = "adapted"
    information: str = "bandit"
    bonus: float = 1.0
    delay: float = 0.0
    delta: float = 0.1

    cites: ClassVar = ("delay-adapted-po", "thune2019", "luo2021")
    claims: ClassVar = (
        "delay-adapted-po:update",
        "delay-adapted-po:bias",
        "delay-adapted-po:second-moment",
        "delay-adapted-po:occupancy",
        "delay-adapted-po:exp3",
        "delay-adapted-po:regret",
    )
    kinds: ClassVar = ("finite",)
    delayed: ClassVar = True
    bounded_by: ClassVar = "delay-adapted-po:regret"
    bound_holds: ClassVar = "in expectation"

    def __post_init__(self) -> None:
        self.probability("delta")
        for name in ("bonus", "delay"):
            self.not_negative(name)
        if self.eta is not None:
            self.positive("eta")
        if self.explore is not None:
            self.not_negative("explore")
        for name, words in (("weights", ("adapted", "plain")), ("information", ("bandit", "full"))):
            if getattr(self, name) not in words:
                raise OptionError(f"{name} is unknown", found=getattr(self, name), needed=" or ".join(map(repr, words)))

    def constants(self, view: View) -> tuple[float, float, float, float]:
        r"""Of the bound on the regret: :math:`\eta`, :math:`\gamma`, and its factors of :math:`\eta K` and :math:`\eta D`.

        For one stage L/2 and 1; for H stages :math:`2 e H^3 L` and :math:`H (H + \beta)(H + (1 + \frac1H) \beta)` with
        :math:`\beta = 2 H^2 ((1 + \frac1H)^H - 1 - \frac1H)`, and :math:`\eta \le 1/(2 H^3 ((1 + \frac1H)^H - 1))`.
        """
        H, L = view.H, view.n_pairs
        assert H is not None
        grown = (1 + 1 / H) ** H
        beta = 2 * H**2 * (grown - 1 - 1 / H)
        noise, drift = (L / 2, 1.0) if H == 1 else (2 * math.e * H**3 * L, H * (H + beta) * (H + (1 + 1 / H) * beta))
        most = math.inf if H == 1 else 1 / (2 * H**3 * (grown - 1))
        logs = math.log(max(2, int(np.max(np.diff(view.pair_ptr)))))
        best = math.sqrt(H * logs / (view.rounds * (noise + drift * self.delay)))
        eta = min(best, most) if self.eta is None else float(self.eta)
        explore = (eta * H if H > 1 else 0.0) if self.explore is None else float(self.explore)
        return eta, explore, noise, drift

    def iota(self, view: View) -> float:
        """The logarithm in the radius of the confidence set."""
        H = view.H or 1
        most = view.rounds * (H if view.stages is None else 1)
        return occupancy_bounds.union(view.tables, view.n_states, view.n_pairs, most, float(self.delta))

    def begin(self, view: View, rng: np.random.Generator) -> State:
        """The uniform policy."""
        view.unit_rewards(self)
        n, S, L, H = view.tables, view.n_states, view.n_pairs, view.H
        view.table(n, S, L)
        assert H is not None and view.rho is not None
        if self.information == "full" and (not view.revealed or view.P is None):
            raise UnsupportedError(
                "full information is not what this environment gives",
                needed="a known law and revealed tables",
                way_out="Adversarial(Environment(mdp, known=True), tables, revealed=True)",
            )
        known = view.P is not None
        law = occupancy_bounds.dense(view.P, n, S, L) if known else np.full((n, S, L), 1 / S)
        radius = None if known else np.full((n, L), 2.0)
        visits, moves = np.zeros((0, L) if known else (n, L)), np.zeros((0, S, L) if known else (n, S, L))
        total = np.zeros((H, L))
        pi = policy_optimization.multiplicative(total, 1.0, view.pair_ptr)
        start = np.asarray(view.rho, dtype=np.float64)
        lower, upper = occupancy_bounds.occupancies(start, law, radius, pi, view.pair_ptr)
        return State(view, law, radius, visits, moves, total, pi, lower.copy(), upper, {})

    def policy(self, state: State) -> Floats:
        """The probabilities of pairs, ``(H, L)``."""
        return state.pi

    def observe(self, state: State, feedback: Any, rng: np.random.Generator) -> State:
        """Add the estimate and the bonus of the episode that the feedback is about."""
        episode, now = (feedback.episode, feedback.k) if isinstance(feedback, Delayed) else (feedback, feedback.k)
        waiting, view = state.waiting, state.view
        # Episodes up to this one were played with what the state holds since the last feedback.
        for k in range(waiting.get("next", 0), now + 1):
            waiting[k] = state.pi, state.lower, state.upper
        waiting["next"] = now + 1
        played, lower, upper = waiting.pop(episode.k)
        eta, explore, _, _ = self.constants(view)
        H = len(played)
        total = state.total
        if self.information == "full":
            total = total + policy_optimization.exact_losses(episode.table, state.law, played, view.pair_ptr)
        else:
            ratio = policy_optimization.adapted(played, state.pi, self.weights == "plain")
            bonus = float(self.bonus) * policy_optimization.delay_bonus(
                lower, upper, played, state.pi, ratio, view.pair_ptr, eta=eta, explore=explore
            )
            total = total - occupancy_bounds.dilated(
                bonus, state.law, state.radius, played, view.pair_ptr, 1.0 + 1.0 / H
            )
            losses = 1 - episode.rewards
            taken = policy_optimization.estimate(
                episode.states, episode.pairs, losses, upper, played, ratio, explore=explore, floor=0.0
            )
            total[np.arange(H), episode.pairs] += taken
        radius = state.radius
        if radius is not None:
            optimism.count(state.visits, state.moves, state.law, episode.pairs, episode.states)
            radius = occupancy_bounds.radius(state.visits, self.iota(view))
        pi = policy_optimization.multiplicative(total, eta, view.pair_ptr)
        start = np.asarray(view.rho, dtype=np.float64)
        lower, upper = occupancy_bounds.occupancies(start, state.law, radius, pi, view.pair_ptr)
        return state._replace(total=total, pi=pi, lower=lower, upper=upper, radius=radius)

    def bound(self, view: View, rounds: Array) -> Array | None:
        r"""On the expected regret against any fixed policy, with constant delay d and D = dK.

        .. math:: \frac{H \ln A}{\eta} + \eta (c_K K + c_D D) + H d

        with the factors of :meth:`constants`. Only with adapted weights from bandit feedback, the bonus as it is, a known law
        (of one stage any law), and steps as small as the proof asks for.
        """
        H = view.H
        assert H is not None
        eta, explore, noise, drift = self.constants(view)
        small = H == 1 or eta <= 1 / (2 * H**3 * ((1 + 1 / H) ** H - 1)) * (1 + 1e-12)
        right = explore == 0 if H == 1 else math.isclose(explore, eta * H)
        plain = self.weights == "plain" or self.information == "full"
        if plain or not small or not right or (H > 1 and (view.P is None or self.bonus != 1)):
            return None
        logs = math.log(max(1, int(np.max(np.diff(view.pair_ptr)))))
        K = np.asarray(rounds, dtype=np.float64)
        return H * logs / eta + eta * (noise + drift * self.delay) * K + H * np.minimum(self.delay, K)

    def loop(
        self, view: View, arena: Arena, state: State, log: Log, outer: np.random.Generator, own: np.random.Generator
    ) -> State | None:
        """The same, compiled."""
        from mdpkit.kernels.online import policy_optimization as compiled

        kernels: Any = compiled
        if "pool" not in state.waiting:
            state.waiting.update(_room(view, arena))
        w = state.waiting
        eta, explore, _, _ = self.constants(view)
        known = state.radius is None
        radius = np.zeros((1, view.n_pairs)) if state.radius is None else state.radius
        kernels.delay_adapted(
            arena, state.law, radius, known, state.visits, state.moves, state.total, state.pi, state.lower, state.upper,
            w["pool"], w["slots"], w["order"], w["pointer"], eta, explore, float(self.bonus), self.weights == "plain",
            self.information == "full", self.iota(view), outer, log,
        )  # fmt: skip
        return state


def _room(view: View, arena: Arena) -> dict[str, Any]:
    """Room for the episodes that await their feedback, and the order in which it comes."""
    K, H, L, S = view.rounds, view.H or 1, view.n_pairs, view.n_states
    arrival = arena.arrival if len(arena.arrival) else np.arange(K)
    due = np.flatnonzero(arrival < K)
    order = due[np.argsort(arrival[due], kind="stable")]
    began, ended = np.bincount(due, minlength=K), np.bincount(arrival[due], minlength=K)
    most = int(np.max(np.cumsum(began) - np.cumsum(ended) + ended, initial=1))
    view.table(most, H, L)
    slot = np.where(arrival < K, 0, -1).astype(np.int64)
    pool = (
        np.empty((most, H, L)), np.empty((most, H, S)), np.empty((most, H, S)), np.empty((most, H + 1), dtype=np.int64),
        np.empty((most, H), dtype=np.int64), np.empty((most, H)),
    )  # fmt: skip
    slots = slot, np.arange(most, dtype=np.int64), np.array([most])
    return {"pool": pool, "slots": slots, "order": order.astype(np.int64), "pointer": np.zeros(1, dtype=np.int64)}
