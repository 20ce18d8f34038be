r"""Conservative exploration: StepMix and EpsMix, which stay above a threshold in every episode."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import conservative, optimism
from mdpkit.learner import Arena, Episode, Learner, Log, View
from mdpkit.typing import Array, Floats, Ints

__all__ = ["EpsMix", "StepMix"]


class State(NamedTuple):
    """Counts, the empirical model, optimistic values and pairs, the baseline, and what is mixed: first, share, lower bound."""

    view: View
    visits: Floats
    moves: Floats
    model: Floats
    V: Floats
    choice: Ints
    baseline: Floats
    bounds: Floats
    mixture: Floats


def _tuples(x: Any) -> Any:
    return tuple(_tuples(y) for y in cast("list[Any]", x)) if isinstance(x, list) else x


@dataclass(frozen=True)
class _Conservative(Learner[State]):
    baseline: Any = None
    threshold: Any = 0.0
    delta: Any = 0.1
    scale: Any = 1.0

    kinds: ClassVar = ("finite",)
    series: ClassVar = ("index", "lower", "baseline")
    optimistic: ClassVar = True
    whole: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self.probability("delta")
        self.not_negative("scale")
        self._number("threshold", "a number")
        if self.baseline is not None:
            # Nested tuples, so that equal learners have equal hashes.
            object.__setattr__(self, "baseline", _tuples(np.asarray(self.baseline).tolist()))

    def _law(self, view: View) -> Floats:
        """The baseline as probabilities of pairs, ``(H, L)``."""
        H, L, S = view.H or 0, view.n_pairs, view.n_states
        if self.baseline is None:
            counts = np.diff(view.pair_ptr)
            return np.tile(1.0 / np.repeat(counts, counts), (H, 1))
        found = np.asarray(self.baseline)
        if found.dtype.kind in "iu" and found.shape in ((S,), (H, S)):
            pairs = np.broadcast_to(found, (H, S))
            if np.any(pairs < view.pair_ptr[:-1]) or np.any(pairs >= view.pair_ptr[1:]):
                raise OptionError("the baseline takes pairs of other states", found=self.baseline)
            return conservative.indicator(np.ascontiguousarray(pairs), L)
        if found.shape not in ((L,), (H, L)):
            raise OptionError(
                "the baseline is no policy", found=f"an array of shape {found.shape}",
                needed=f"pairs ({S},) or ({H}, {S}), or their probabilities ({L},) or ({H}, {L})",
            )  # fmt: skip
        law = np.array(np.broadcast_to(found.astype(np.float64), (H, L)))
        sums = np.add.reduceat(law, view.pair_ptr[:-1], axis=1)
        if not np.all(law >= 0) or not np.allclose(sums, 1.0, rtol=0, atol=1e-9):
            raise OptionError("the baseline's probabilities do not sum to one in each state", found=self.baseline)
        return law

    def iota(self, view: View) -> float:
        r""":math:`S \ln 2 + \ln(H L K/\delta)`: a union over all pairs and the counts that they may reach."""
        assert view.H is not None
        return optimism.ball_iota(view.n_states, math.log(view.H * view.n_pairs * view.rounds / float(self.delta)))

    def begin(self, view: View, rng: np.random.Generator) -> State:
        """No counts: every pair is worth all that can still be had, or nothing."""
        view.unit_rewards(self)
        view.rewards(self)
        n, S, L, H = view.tables, view.n_states, view.n_pairs, view.H
        view.table(n, S, L)
        assert H is not None
        law = self._law(view)
        visits, moves, model = np.zeros((n, L)), np.zeros((n, S, L)), np.zeros((n, S, L))
        V, choice = np.zeros((H + 1, S)), np.zeros((H, S), dtype=np.int64)
        return self._plan(State(view, visits, moves, model, V, choice, law, np.zeros(H + 1), np.zeros(3)))

    def observe(self, state: State, feedback: Episode, rng: np.random.Generator) -> State:
        """Count the episode and plan again."""
        optimism.count(state.visits, state.moves, state.model, feedback.pairs, feedback.states)
        return self._plan(state)

    def _plan(self, state: State) -> State:
        view = state.view
        assert view.r is not None and view.H is not None
        iota, scale = self.iota(view), float(self.scale)
        V, choice = optimism.plan(view.r, state.model, state.visits, view.pair_ptr, view.H, iota=iota, scale=scale)
        mix: Callable[..., conservative.Mixture] = conservative.all_or_nothing if self.whole else conservative.one_step
        found = mix(
            view.r, state.model, state.visits, view.pair_ptr, view.rho, choice, state.baseline, float(self.threshold),
            iota=iota, scale=scale,
        )  # fmt: skip
        mixture = np.array([found.first, found.share, found.lower])
        return state._replace(V=V, choice=choice, bounds=found.bounds, mixture=mixture)

    def notes(self, state: State) -> tuple[float, ...]:
        """The optimistic value at the initial law, the lower bound of what is played, and how much of it is the baseline."""
        first, share, lower = state.mixture.tolist()
        return float(state.view.rho @ state.V[0]), lower, first + share  # type: ignore[operator]

    def loop(
        self, view: View, arena: Arena, state: State, log: Log, outer: np.random.Generator, own: np.random.Generator
    ) -> State | None:
        """The same, compiled."""
        from mdpkit.kernels.online import conservative as compiled

        kernels: Any = compiled
        assert view.r is not None
        kernels.conservative(
            arena, view.r, state.visits, state.moves, state.model, state.V, state.choice, state.baseline, state.bounds,
            state.mixture, float(self.threshold), self.iota(view), float(self.scale), self.whole, outer, own, log,
        )  # fmt: skip
        return state


@dataclass(frozen=True)
class StepMix(_Conservative):
    r"""Optimistic exploration, mixed at one stage with a safe baseline as far as its lower bound asks for.

    .. math:: \underline V^\pi_h = \Bigl\langle \pi_h,\; r_h + \max\{\hat P \underline V^\pi_{h+1} - b_h, 0\} \Bigr\rangle,
        \qquad b_h = (H-1-h) \sqrt{\iota / 2n}

    with h from 0 and :math:`\iota = S \ln 2 + \ln(HLK/\delta)`; :math:`\bar V` and the greedy :math:`\bar\pi` are those of
    optimistic value iteration with the same bonus. Candidate :math:`\pi^{(h)}` follows the baseline on the first h stages and
    :math:`\bar\pi` on the others. If :math:`\underline V(\pi^{(0)})` meets the threshold :math:`\gamma_0` then :math:`\bar\pi`
    is played; else, with the first h for which :math:`\underline V(\pi^{(h)})` does, the mixture *at stage h - 1* of
    :math:`\pi^{(h)}` and :math:`\pi^{(h-1)}` whose lower bounds mix to :math:`\gamma_0`; else the baseline.

    **Guarantee.** With probability :math:`1 - \delta` no episode is worth less than :math:`\gamma_0`, provided the baseline is
    not, and every index is optimistic: ``stepmix:safe``, checked episode by episode. What is planned is the above:
    ``stepmix:plan``. The mixture's value is linear, which mixing at all stages would lose: ``stepmix:one-stage``. An episode in
    which the baseline has a part explores enough to pay for it, ``stepmix:caution-explores``, so that the regret is at most
    :math:`B(K) + \Delta_0 m`, B of order :math:`\sqrt K` and m of order :math:`1/\kappa^2`, where
    :math:`\kappa = V^b - \gamma_0` and :math:`\Delta_0 = V^* - V^b`: ``stepmix:regret``.

    *Departures.* The bonus is that of an empirical law's distance, which serves all policies and values at once; it costs
    a root of S against the Bernstein bonus of the paper. Lemma and constants of the regret are derived in
    ``docs/theory/exploration/conservative.md``.

    Parameters
    ----------
    baseline : array, optional
        Pairs ``(S,)`` or ``(H, S)``, or probabilities of pairs ``(L,)`` or ``(H, L)``; uniform by default.
    threshold : float
        :math:`\gamma_0`, in units of the reward of an episode at the initial law. The learner cannot compute a share of the
        baseline's value, since it does not know the law: give a number.
    delta : float
        Failure probability.
    scale : float
        Factor of the bonus; below one nothing is guaranteed.

    References
    ----------
    ``stepmix``

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(5))
    >>> regret = mk.play(river, StepMix(threshold=0.02), episodes=100, rng=np.random.default_rng(0))
    >>> bool(np.all(regret.values >= 0.02))
    True
    """

    cites: ClassVar = ("stepmix",)
    claims: ClassVar = (
        "stepmix:plan", "stepmix:safe", "stepmix:one-stage", "stepmix:caution-explores", "stepmix:regret",
    )  # fmt: skip

    def policy(self, state: State) -> Array:
        """The greedy pairs ``(H, S)``, or the mixture's probabilities ``(H, L)``."""
        first, share = int(state.mixture[0]), float(state.mixture[1])
        if first == 0 and share == 0:
            return state.choice
        greedy = conservative.indicator(state.choice, state.view.n_pairs)
        return conservative.mixed(state.baseline, greedy, first, share)


@dataclass(frozen=True)
class EpsMix(_Conservative):
    r"""Optimistic exploration, or in its place a safe baseline for a whole episode, by the toss of a coin.

    .. math:: \pi_k = \begin{cases} \pi^b & \text{with probability } \epsilon_k \\ \bar\pi_k & \text{else} \end{cases}, \qquad
        \epsilon_k \underline V(\pi^b) + (1 - \epsilon_k) \underline V(\bar\pi_k) = \gamma_0

    where :math:`\underline V(\bar\pi_k) < \gamma_0 \le \underline V(\pi^b)`; :math:`\epsilon_k` is 0 if the optimistic policy's
    lower bound meets the threshold, and 1 if neither does. Values, bounds and the optimistic :math:`\bar\pi_k` are those of
    :class:`StepMix`.

    **Guarantee.** With probability :math:`1 - \delta` no episode's mean over the coin is worth less than :math:`\gamma_0`,
    provided the baseline is not: ``stepmix:safe``. What is planned is the above: ``stepmix:plan``. An episode in which the
    baseline has a part explores enough to pay for it, ``stepmix:caution-explores``, so that the regret has the bound of
    StepMix: ``stepmix:regret``.

    *Departures.* As in :class:`StepMix`.

    Parameters
    ----------
    baseline : array, optional
        Pairs ``(S,)`` or ``(H, S)``, or probabilities of pairs ``(L,)`` or ``(H, L)``; uniform by default.
    threshold : float
        :math:`\gamma_0`, in units of the reward of an episode at the initial law.
    delta : float
        Failure probability.
    scale : float
        Factor of the bonus; below one nothing is guaranteed.

    References
    ----------
    ``stepmix``

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(5))
    >>> regret = mk.play(river, EpsMix(threshold=0.02), episodes=100, rng=np.random.default_rng(0))
    >>> bool(np.all(regret.values >= 0.02))
    True
    """

    cites: ClassVar = ("stepmix",)
    claims: ClassVar = ("stepmix:plan", "stepmix:safe", "stepmix:caution-explores", "stepmix:regret")
    whole: ClassVar = True

    def policy(self, state: State) -> list[tuple[float, Array]]:
        """The baseline ``(H, L)`` and the greedy pairs ``(H, S)`` with their probabilities."""
        share = float(state.mixture[1])
        return [(share, state.baseline), (1 - share, state.choice)]
