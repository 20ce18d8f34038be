r"""UCBVI: value iteration on the empirical model, with a bonus for what is uncertain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import optimism
from mdpkit.learner import Arena, Episode, Learner, Log, View
from mdpkit.typing import Array, Floats, Ints

__all__ = ["UCBVI"]


class State(NamedTuple):
    """Counts, the empirical model, and the optimistic values and policy that follow from them."""

    view: View
    visits: Floats
    moves: Floats
    model: Floats
    V: Floats
    choice: Ints


@dataclass(frozen=True)
class UCBVI(Learner[State]):
    r"""Upper confidence bound value iteration, planned again after every episode.

    .. math:: \bar Q_h(s,a) = r_h(s,a) + \min\{(\hat P \bar V_{h+1})(s,a) + b_h(s,a),\; H-1-h\}, \qquad
        \bar V_h(s) = \max_a \bar Q_h(s,a)

    with h from 0, :math:`b_h = (H-1-h)\sqrt{\iota/2n}` (Hoeffding) or
    :math:`b_h = \max\{c_1 \sqrt{\mathrm{Var}_{\hat P}(\bar V_{h+1}) \iota/n},\, c_2 (H-1-h) \iota/n\}` (Bernstein),
    :math:`c_1 = 2.89, c_2 = 8.75` and :math:`\iota = \ln(2 H L N/\delta)` (Hoeffding without the 2), N the largest possible
    count.

    **Guarantee.** With probability :math:`1 - \delta` the index is optimistic in every episode,
    :math:`\bar V_h \ge V^*_h`. Checked by ``azar2017:optimism``, episode by episode; that planning and counting are those
    above, by ``azar2017:plan``; what an episode loses at most, exactly, by ``azar2017:episode-gap``; the bound on the
    regret, which grows as :math:`\sqrt{K}`, by ``azar2017:regret``; that it does on problems whose gap shrinks as
    :math:`1/\sqrt K`, by ``azar2017:slope``.

    *Departures.* The constants are derived here (``docs/theory/exploration``): a union bound over stages, pairs and counts in
    place of the paper's :math:`7 H L \sqrt{1/N}`, and a Bernstein bonus that is monotone in the value. Where the laws are the
    same in all stages counts are pooled, as in the paper.

    Parameters
    ----------
    bonus : {"hoeffding", "bernstein"}
    delta : float
        Failure probability.
    scale : float
        Factor of the bonus; below one nothing is guaranteed.

    References
    ----------
    ``azar2017``

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(5))
    >>> regret = mk.play(river, UCBVI(), episodes=100, rng=np.random.default_rng(0))
    >>> bool(np.all(regret.series["index"] >= regret.best))
    True
    """

    bonus: str = "hoeffding"
    delta: float = 0.1
    scale: float = 1.0

    cites: ClassVar = ("azar2017",)
    claims: ClassVar = (
        "azar2017:optimism",
        "azar2017:plan",
        "azar2017:episode-gap",
        "azar2017:regret",
        "azar2017:slope",
    )
    kinds: ClassVar = ("finite",)
    series: ClassVar = ("index",)
    optimistic: ClassVar = True
    bounded_by: ClassVar = "azar2017:regret"
    bound_holds: ClassVar = "with probability 1 − 2δ"

    def __post_init__(self) -> None:
        self.probability("delta")
        self.not_negative("scale")
        if self.bonus not in ("hoeffding", "bernstein"):
            raise OptionError("the bonus is unknown", found=self.bonus, needed="'hoeffding' or 'bernstein'")

    def iota(self, view: View) -> float:
        """The logarithm in the bonus: a union over stages, pairs, and counts that a pair may reach."""
        assert view.H is not None
        most = view.rounds * (view.H if view.stages is None else 1)
        # V*_{h+1} differs from stage to stage even where the law does not.
        sides = 2 if self.bonus == "bernstein" else 1
        return math.log(sides * view.H * view.n_pairs * most / self.delta)

    def begin(self, view: View, rng: np.random.Generator) -> State:
        """No counts: every pair is worth all that can still be had."""
        view.unit_rewards(self)
        view.rewards(self)
        n, S, L, H = view.tables, view.n_states, view.n_pairs, view.H
        view.table(n, S, L)
        assert H is not None
        visits, moves = np.zeros((n, L)), np.zeros((n, S, L))
        state = State(view, visits, moves, np.zeros((n, S, L)), np.zeros((H + 1, S)), np.zeros((H, S), dtype=np.int64))
        return self._plan(state)

    def policy(self, state: State) -> Ints:
        """The greedy pairs, ``(H, S)``."""
        return state.choice

    def observe(self, state: State, feedback: Episode, rng: np.random.Generator) -> State:
        """Count the episode and plan again."""
        optimism.count(state.visits, state.moves, state.model, feedback.pairs, feedback.states)
        return self._plan(state)

    def _plan(self, state: State) -> State:
        view = state.view
        assert view.r is not None and view.H is not None
        V, choice = optimism.plan(
            view.r, state.model, state.visits, view.pair_ptr, view.H,
            iota=self.iota(view), scale=float(self.scale), bernstein=self.bonus == "bernstein",
        )  # fmt: skip
        return state._replace(V=V, choice=choice)

    def notes(self, state: State) -> tuple[float, ...]:
        """The optimistic value at the initial law."""
        return (float(state.view.rho @ state.V[0]),)  # type: ignore[operator]

    def bound(self, view: View, rounds: Array) -> Array | None:
        r"""With Hoeffding's bonus, on the regret after K episodes, with probability :math:`1 - 2\delta` (counts pooled).

        .. math:: 2 S A H^2 + \sqrt 8 (H-1) c \sqrt{S A H K} + \tfrac{H(H+1)}{2} \sqrt{K \ln(1/\delta)/2}, \qquad
            c = \sqrt{\iota/2} + \sqrt{\tfrac12 (S \ln 2 + \iota)}

        With counts by stage, the sums over visits run over :math:`S A H` tables of K visits.
        """
        if self.bonus != "hoeffding" or self.scale != 1:
            return None
        H, S, L, K = view.H, view.n_states, view.n_pairs, np.asarray(rounds, dtype=np.float64)
        assert H is not None
        iota, delta = self.iota(view), float(self.delta)
        c = math.sqrt(iota / 2) + math.sqrt((S * math.log(2) + iota) / 2)
        luck = H * (H + 1) / 2 * np.sqrt(K * math.log(1 / delta) / 2)
        if view.stages is None:
            return 2 * L * H**2 + math.sqrt(8) * (H - 1) * c * np.sqrt(L * H * K) + luck
        return L * H**2 + 2 * (H - 1) * c * H * np.sqrt(L * K) + luck

    def loop(
        self, view: View, arena: Arena, state: State, log: Log, outer: np.random.Generator, own: np.random.Generator
    ) -> State | None:
        """The same, compiled."""
        from mdpkit.kernels.online import optimism as compiled

        kernels: Any = compiled
        assert view.r is not None
        kernels.ucbvi(
            arena, view.r, state.visits, state.moves, state.model, state.V, state.choice, self.iota(view),
            float(self.scale), self.bonus == "bernstein", outer, log,
        )  # fmt: skip
        return state
