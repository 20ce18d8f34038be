r"""LSVI-UCB: least-squares value iteration on the features, with a bonus for directions that were rarely seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import optimistic_least_squares as least_squares
from mdpkit.kernels import reference
from mdpkit.kernels.optimistic_least_squares import Plan, Sums
from mdpkit.learner import Arena, Episode, Learner, Log, View
from mdpkit.typing import Array, Floats, Ints

__all__ = ["LSVIUCB", "State"]

UNIT_NORM = 1e-9
"""How far above one rounding may bring the norm of a feature."""


class State(NamedTuple):
    """Sums over all data, the last plan and its greedy pairs; inverses and growth of the determinants since; plans made."""

    view: View
    sums: Sums
    plan: Plan
    choice: Ints
    inverse: Floats
    ratio: Floats
    plans: int


@dataclass(frozen=True)
class LSVIUCB(Learner[State]):
    r"""Optimistic least-squares value iteration for episodes of a linear MDP.

    .. math:: w_h = \Lambda_h^{-1} \sum_i \phi_h^i \bigl(r_h^i + \bar V_{h+1}(s_{h+1}^i)\bigr), \quad
              \Lambda_h = \lambda I + \sum_i \phi_h^i {\phi_h^i}^\top, \quad
              \bar Q_h = \min\bigl\{\bigl(\phi^\top w_h + \beta_h \|\phi\|_{\Lambda_h^{-1}}\bigr)^+, H - h\bigr\}

    from the last stage h = H - 1 to the first, :math:`\bar V_h = \max_a \bar Q_h`. It plans again once the determinant of
    some :math:`\Lambda_h` has grown by more than the factor ``growth`` since the last plan; with ``growth=1``, after every
    episode.

    **Guarantee.** What is planned is that, ``jin2020:lsvi-ucb-plan``. With probability :math:`1-\delta`,
    :math:`\bar Q_h \ge Q_h^*` in all episodes: ``jin2020:optimism``. The regret then grows as :math:`\sqrt K`:
    ``jin2020:regret``. It plans at most :math:`H d \log(1 + K/(d\lambda))/\log(\text{growth}) + 1` times:
    ``jin2020:rare-plans``.

    *Departures.* With :math:`c = H - h`,
    :math:`\beta_h = \tfrac c2 \sqrt{d \log(1 + \tfrac{K}{d\lambda}) + 2 S \log(1 + c\sqrt K) + 2\log\tfrac H\delta} + 1 +
    2 c \sqrt{d\lambda}` is derived here: values are covered state by state, which for few states is less than the paper's
    :math:`O(dH\sqrt{\log(dKH/\delta)})` from a cover of order :math:`d^2`, and depends on S. Values are cut off at
    zero as well. Since the states are finitely many, sums over the data take the place of the data.

    Parameters
    ----------
    beta : number, optional
        The factor of the bonus in all stages, in place of the derived one.
    lambda_ : number
        The ridge, at least one.
    delta : float
        Failure probability.
    growth : number
        At least one.

    References
    ----------
    ``jin2020`` (Algorithm 1, recalled), ``abbasi2011`` for the confidence sets and for planning rarely (recalled).

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> mdp = mk.instances.make("linear-hypercube-episodic", H=3)
    >>> regret = mk.play(mdp, LSVIUCB(growth=2), episodes=200, rng=np.random.default_rng(0))
    >>> bool(np.all(regret.series["index"] >= regret.best)), int(regret.series["plans"][-1]) <= 60
    (True, True)
    """

    beta: Any = None
    lambda_: Any = 1.0
    delta: Any = 0.1
    growth: Any = 1.0

    cites: ClassVar = ("jin2020", "abbasi2011")
    claims: ClassVar = ("jin2020:lsvi-ucb-plan", "jin2020:optimism", "jin2020:regret", "jin2020:rare-plans")
    kinds: ClassVar = ("finite",)
    needs: ClassVar = "features (an mk.LinearMDP) of norm at most one"
    series: ClassVar = ("index", "plans")
    optimistic: ClassVar = True
    bounded_by: ClassVar = "jin2020:regret"
    bound_holds: ClassVar = "with probability 1 − 2δ"

    def __post_init__(self) -> None:
        self.probability("delta")
        if self.beta is not None:
            self.not_negative("beta")
        for name in ("lambda_", "growth"):
            self.positive(name)
            if not getattr(self, name) >= 1:
                raise OptionError(f"{name} is too small", found=getattr(self, name), needed=f"{name} >= 1")

    def accepts(self, view: View) -> bool:
        """Whether these are episodes of a model with features."""
        return super().accepts(view) and view.phi is not None

    def radius(self, view: View, sets: float = 0.0) -> Floats:
        """The factors of the bonus, ``(H,)``; with ``sets`` the logarithm of the number of sets of data it is to hold for."""
        assert view.H is not None and view.phi is not None
        c = view.H - np.arange(view.H, dtype=np.float64)
        if self.beta is not None:
            return np.full(view.H, float(self.beta))
        d, K, lambda_ = view.phi.shape[1], view.rounds, float(self.lambda_)
        inside = d * math.log(1 + K / (d * lambda_)) + 2 * (math.log(view.H / float(self.delta)) + sets)
        return (
            c / 2 * np.sqrt(inside + 2 * view.n_states * np.log(1 + c * math.sqrt(K)))
            + 1
            + 2 * c * math.sqrt(d * lambda_)
        )

    def checked(self, view: View) -> View:
        """The view, if rewards and features are what the bonus assumes.

        Raises
        ------
        OptionError
            For rewards outside [0, 1], or features of norm above one.
        """
        view.unit_rewards(self)
        assert view.H is not None and view.phi is not None
        view.table(view.H, view.phi.shape[1], max(view.phi.shape[1], view.n_states))
        norms = np.linalg.norm(view.phi, axis=1)
        k = int(np.argmax(norms))
        if norms[k] > 1 + UNIT_NORM:
            raise OptionError(
                f"{type(self).__name__} assumes features of norm at most one",
                found=f"norm {norms[k]:.6g} of state {int(view.state[k])}, action {int(view.action[k])}",
                needed="norms <= 1",
                way_out="divide phi by the largest norm, and multiply mu and theta by it",
            )
        return view

    def begin(self, view: View, rng: np.random.Generator) -> State:
        """No data: everything is worth all that can be had."""
        self.checked(view)
        assert view.H is not None and view.phi is not None
        sums = least_squares.blank(view.H, view.phi.shape[1], view.n_states)
        return self._planned(State(view, sums, None, None, None, None, 0))  # type: ignore[arg-type]

    def policy(self, state: State) -> Ints:
        """The greedy pairs of the last plan, ``(H, S)``."""
        return state.choice

    def observe(self, state: State, feedback: Episode, rng: np.random.Generator) -> State:
        """Add the episode to the sums, and plan again if a determinant has grown enough."""
        phi: Any = state.view.phi
        sums = least_squares.collected(state.sums, phi, feedback.pairs, feedback.rewards, feedback.states[1:])
        inverse, ratio = least_squares.grown(state.inverse, state.ratio, phi[feedback.pairs])
        state = state._replace(sums=sums, inverse=inverse, ratio=ratio)
        return self._planned(state) if np.any(ratio > float(self.growth)) else state

    def _planned(self, state: State) -> State:
        plan, choice = self.made(state.view, state.sums)
        ratio = np.ones(len(choice))
        return state._replace(plan=plan, choice=choice, inverse=plan.inverse, ratio=ratio, plans=state.plans + 1)

    def made(self, view: View, sums: Sums, sets: float = 0.0) -> tuple[Plan, Ints]:
        """The plan from sums over data, and its greedy pairs; ``sets`` as for :meth:`radius`."""
        assert view.H is not None and view.phi is not None
        ceiling = view.H - np.arange(view.H, dtype=np.float64)
        plan = least_squares.plan(sums, view.phi, view.pair_ptr, float(self.lambda_), self.radius(view, sets), ceiling)
        return plan, np.array([reference.greedy(q, view.pair_ptr) for q in plan.Q])

    def notes(self, state: State) -> tuple[float, ...]:
        """The optimistic value at the initial law, and the number of plans so far."""
        return float(state.view.rho @ state.plan.V[0]), float(state.plans)  # type: ignore[operator]

    def loop(
        self, view: View, arena: Arena, state: State, log: Log, outer: np.random.Generator, own: np.random.Generator
    ) -> State | None:
        """The same, compiled: one agent whose data are the server's at once."""
        from mdpkit.kernels.online import linear

        n, kernels = len(log.values), cast(Any, linear)
        sums = Sums(*(x.copy() for x in state.sums))
        own_parts = [x[None].copy() for x in (*sums, *state.plan, state.choice, state.inverse, state.ratio)]
        counts = np.array([state.plans], dtype=np.int64)
        kernels.cooperative(
            arena, view.phi, float(self.lambda_), self.radius(view), float(self.growth), np.zeros(n, dtype=np.int64),
            tuple(sums), tuple(own_parts), 0, counts, True, outer, log,
        )  # fmt: skip
        w, Q, V, planned, choice, inverse, ratio = (x[0] for x in own_parts[3:])
        return State(view, sums, Plan(w, Q, V, planned), choice, inverse, ratio, int(counts[0]))

    def bound(self, view: View, rounds: Array) -> Array | None:
        r"""On the regret after K episodes, with probability :math:`1 - 2\delta`; derived.

        .. math:: 2 \sqrt{g} \sum_h \beta_h \sqrt{2 d K \log(1 + \tfrac{K}{d\lambda})} +
                  \sqrt{\tfrac K2 \log\tfrac1\delta \sum_{c \le H} c^2}, \qquad g = \text{growth}
        """
        if self.beta is not None:
            return None
        assert view.H is not None and view.phi is not None
        K, d = np.asarray(rounds, dtype=np.float64), view.phi.shape[1]
        potential = np.sqrt(2 * d * K * np.log(1 + K / (d * float(self.lambda_))))
        c = np.arange(1, view.H + 1)
        luck = np.sqrt(K / 2 * math.log(1 / float(self.delta)) * float(np.sum(c * c)))
        return 2 * math.sqrt(float(self.growth)) * float(np.sum(self.radius(view))) * potential + luck
