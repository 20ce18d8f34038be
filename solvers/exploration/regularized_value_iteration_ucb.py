r"""RAVI-UCB: one step of regularized value iteration with a bonus after each epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import optimism, softmax
from mdpkit.learner import Arena, Episode, Learner, Log, View
from mdpkit.typing import Array, Floats

__all__ = ["RAVIUCB"]


class State(NamedTuple):
    """Counts ``(1, L)``, the empirical model ``(1, S, L)``, values, action values, and logarithms of the policy."""

    view: View
    visits: Floats
    moves: Floats
    model: Floats
    V: Floats
    Q: Floats
    log_pi: Floats


@dataclass(frozen=True)
class RAVIUCB(Learner[State]):
    r"""Regularized approximate value iteration with upper confidence bounds.

    .. math:: Q_{k+1} = \min\bigl\{ r + \gamma \hat P_k V_k + b_k,\; \tfrac{1}{1-\gamma} \bigr\}, \quad
        V_{k+1} = \tfrac1\eta \log \sum_a \pi_k e^{\eta Q_{k+1}}, \quad
        \pi_{k+1} = \pi_k e^{\eta (Q_{k+1} - V_{k+1})}

    after epoch k, which :math:`\pi_k` plays from the initial law until it ends, with probability :math:`1 - \gamma` after each
    step; :math:`b_k = \tfrac{\gamma}{1-\gamma} \sqrt{\iota_n / 2n}` and
    :math:`\iota_n = S \ln 2 + \ln(L n (n+1)/\delta)`. The first policy is uniform, and :math:`V_0 = \tfrac{1}{1-\gamma}`.

    **Guarantee.** The steps are those above: ``ravi-ucb:step``. What a comparator's value exceeds the mean of
    :math:`V_k(\rho)` by is an identity in which nothing but relative entropies, first and last values and the bonuses occur,
    ``ravi-ucb:telescoping``. So, with probability :math:`1 - \delta`, the values are optimistic on average,
    :math:`V^*(\rho) - \tfrac1K \sum_{k<K} V_k(\rho) \le \tfrac{\ln A}{\eta (1-\gamma) K}`, though none of them need be:
    ``ravi-ucb:optimism-on-average``. The step itself costs at most :math:`\eta / 8(1-\gamma)^2`: ``ravi-ucb:softness``. What is
    lost in all is at most a sum that can be computed for each run: ``ravi-ucb:regret-decomposition``.

    *Departures.* Tables of counts in place of linear mixtures; the bonus is derived here
    (``docs/theory/exploration/ravi_ucb.md``), valid for all values and all counts at once.

    Parameters
    ----------
    eta : float
        Step size; of order :math:`(1-\gamma)^{3/2} \sqrt{\ln A / K}` for K epochs.
    delta : float
        Failure probability.
    scale : float
        Factor of the bonus; below one nothing is guaranteed.

    References
    ----------
    ``ravi-ucb``

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> river = mk.instances.make("riverswim", n_states=3).under(mk.Discounted("4/5"))
    >>> regret = mk.play(river, RAVIUCB(), episodes=500, rng=np.random.default_rng(0))
    >>> bool(np.mean(regret.series["estimate"]) >= regret.best)
    True
    """

    eta: Any = 0.1
    delta: Any = 0.1
    scale: Any = 1.0

    cites: ClassVar = ("ravi-ucb",)
    claims: ClassVar = (
        "ravi-ucb:step", "ravi-ucb:telescoping", "ravi-ucb:optimism-on-average", "ravi-ucb:softness",
        "ravi-ucb:regret-decomposition",
    )  # fmt: skip
    kinds: ClassVar = ("discounted",)
    series: ClassVar = ("estimate",)

    def __post_init__(self) -> None:
        self.positive("eta")
        self.probability("delta")
        self.not_negative("scale")

    def capital(self, view: View) -> float:
        r""":math:`S \ln 2 + \ln(L/\delta)`, to which a count adds :math:`\ln n(n+1)`."""
        return optimism.ball_iota(view.n_states, math.log(view.n_pairs / float(self.delta)))

    def begin(self, view: View, rng: np.random.Generator) -> State:
        """No counts, the largest value, and the uniform policy."""
        view.unit_rewards(self)
        view.rewards(self)
        S, L = view.n_states, view.n_pairs
        view.table(S, L)
        assert view.gamma is not None
        counts = np.diff(view.pair_ptr)
        log_pi = -np.log(np.repeat(counts, counts).astype(np.float64))
        top = 1 / (1 - view.gamma)
        moves, model = np.zeros((1, S, L)), np.zeros((1, S, L))
        return State(view, np.zeros((1, L)), moves, model, np.full(S, top), np.full(L, top), log_pi)

    def policy(self, state: State) -> Array:
        """Probabilities of pairs, ``(L,)``."""
        return np.exp(state.log_pi)

    def observe(self, state: State, feedback: Episode, rng: np.random.Generator) -> State:
        """Count the epoch and take one step."""
        view = state.view
        assert view.r is not None and view.gamma is not None
        optimism.count(state.visits, state.moves, state.model, feedback.pairs, feedback.states)
        Q = optimism.discounted(
            view.r[0], state.model[0], state.visits[0], state.V, view.gamma,
            capital=self.capital(view), top=1 / (1 - view.gamma), scale=float(self.scale),
        )  # fmt: skip
        V, log_pi = softmax.mirror_backup(state.log_pi, Q, float(self.eta), view.pair_ptr)
        return state._replace(V=V, Q=Q, log_pi=log_pi)

    def notes(self, state: State) -> tuple[float, ...]:
        """The value estimated at the initial law, which is optimistic on average."""
        return (float(state.view.rho @ state.V),)  # type: ignore[operator]

    def loop(
        self, view: View, arena: Arena, state: State, log: Log, outer: np.random.Generator, own: np.random.Generator
    ) -> State | None:
        """The same, compiled."""
        from mdpkit.kernels.online import regularized as compiled

        kernels: Any = compiled
        assert view.r is not None and view.gamma is not None
        kernels.ravi_ucb(
            arena, view.r[0], state.visits[0], state.moves[0], state.model[0], state.V, state.Q, state.log_pi,
            float(self.eta), self.capital(view), 1 / (1 - view.gamma), float(self.scale), outer, log,
        )  # fmt: skip
        return state
