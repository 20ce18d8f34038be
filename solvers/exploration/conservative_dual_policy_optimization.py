r"""Conservative dual policy optimization: a reference policy, and a better one for the posterior within a trust region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import ensemble, optimism, posterior
from mdpkit.learner import Arena, Episode, Learner, Log, View
from mdpkit.typing import Array, Floats, Ints

__all__ = ["ConservativeDualPolicyOptimization"]


class State(NamedTuple):
    """Counts, drawn models ``(M, n, S, L)``, values, pairs and weights of the reference, the policy, and its mean value."""

    view: View
    visits: Floats
    moves: Floats
    model: Floats
    models: Floats
    V: Floats
    reference: Ints
    weights: Floats
    pi: Floats
    value: Floats


@dataclass(frozen=True)
class ConservativeDualPolicyOptimization(Learner[State]):
    r"""Model-based learning in two updates: greedy for the posterior's mean, then better on average over its draws.

    .. math:: q_t = \arg\max_q V^q_{\tilde f_t}(\rho), \qquad
        \pi_t \approx \arg\max_\pi \frac1M \sum_{m=1}^M V^\pi_{f_m}(\rho) \;\text{ s.t. }\;
        \frac1H \sum_h \mathbb{E}_{s \sim \nu_h} \mathrm{TV}\bigl(\pi_h(\cdot|s), q_{t,h}(\cdot|s)\bigr) \le \eta

    with :math:`\tilde f_t` the mean of the posterior, a Dirichlet law for each pair, :math:`f_1, \dots, f_M` drawn from it,
    and :math:`\nu_h` the law of the state at stage h when :math:`q_t` acts in :math:`\tilde f_t`. Then :math:`\pi_t` plays an
    episode, and the posterior is renewed.

    **Guarantee.** Within the trust region the draws' mean value does not fall below the reference's, and no change at a
    single state and stage within the region improves it: ``cdpo:updates`` in runs, ``cdpo:ascent`` exactly. The draws have
    the posterior's mean: ``cdpo:draws``. With ``search="enumeration"`` the policy is the best deterministic one within the
    region; its mean value grows with :math:`\eta`, from the reference's at 0 to the best of all at 1:
    ``cdpo:trust-region``. In any model the policy differs from the reference by at most H times their distance in that model
    and the span of the reference's action values: ``cdpo:performance-difference``. What is greedy for the mean model is not
    best on average: ``cdpo:mean-model``.

    *Departures.* The mean over draws is not concave, and its best policy within the region is not found exactly: ascent
    changes one state and stage at a time, each exactly, and enumeration is exact among deterministic policies. Episodes of H
    stages in place of discounting; the law of the states in the trust region is that of the reference in the mean model.

    Parameters
    ----------
    eta : float
        Size of the trust region, from 0 (the reference) to 1 (no constraint).
    models : int
        M, the number of draws.
    prior : float
        Parameter of the Dirichlet prior for each next state.
    search : {"ascent", "enumeration"}

    References
    ----------
    ``cdpo``

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(5))
    >>> learner = ConservativeDualPolicyOptimization(eta=0.2, models=4)
    >>> regret = mk.play(river, learner, episodes=50, rng=np.random.default_rng(0))
    >>> bool(np.all(regret.series["distance"] <= 0.2 + 1e-12))
    True
    """

    eta: Any = 0.1
    models: int = 8
    prior: Any = 1.0
    search: str = "ascent"

    cites: ClassVar = ("cdpo",)
    claims: ClassVar = (
        "cdpo:updates", "cdpo:ascent", "cdpo:draws", "cdpo:trust-region", "cdpo:performance-difference", "cdpo:mean-model",
    )  # fmt: skip
    kinds: ClassVar = ("finite",)
    series: ClassVar = ("reference", "posterior", "distance")

    def __post_init__(self) -> None:
        self.not_negative("eta")
        self.positive("models", "prior")
        if int(self.models) != self.models:
            raise OptionError("the number of models is no integer", found=self.models, needed="1, 2, 3, …")
        if self.search not in ("ascent", "enumeration"):
            raise OptionError("the search is unknown", found=self.search, needed="'ascent' or 'enumeration'")

    def begin(self, view: View, rng: np.random.Generator) -> State:
        """The prior, and a first policy."""
        view.rewards(self)
        n, S, L, H, M = view.tables, view.n_states, view.n_pairs, view.H, int(self.models)
        view.table(M + 1, n, S, L)
        assert H is not None
        moves, model = np.zeros((n, S, L)), np.full((n, S, L), 1 / S)
        state = State(
            view, np.zeros((n, L)), moves, model, np.zeros((M, n, S, L)), np.zeros((H + 1, S)),
            np.zeros((H, S), dtype=np.int64), np.zeros((H, S)), np.zeros((H, L)), np.zeros(1),
        )  # fmt: skip
        return self._plan(state, rng)

    def policy(self, state: State) -> Array:
        """Probabilities of pairs, ``(H, L)``."""
        return state.pi

    def observe(self, state: State, feedback: Episode, rng: np.random.Generator) -> State:
        """Renew the posterior, draw models, and update reference and policy."""
        optimism.count(state.visits, state.moves, np.empty_like(state.moves), feedback.pairs, feedback.states)
        return self._plan(state, rng)

    def _plan(self, state: State, rng: np.random.Generator) -> State:
        view = state.view
        assert view.r is not None and view.rho is not None and view.H is not None
        rho: Array = np.asarray(view.rho, dtype=np.float64)
        alpha = posterior.parameters(float(self.prior), state.moves)
        mean = alpha / alpha.sum(axis=1, keepdims=True)
        models = posterior.draw_laws(np.broadcast_to(alpha, (int(self.models), *alpha.shape)), rng)
        V, choice, weights = ensemble.reference(view.r, mean, view.pair_ptr, view.H, rho)
        region = ensemble.Region(choice, weights, float(self.eta))
        update = ensemble.ascent if self.search == "ascent" else ensemble.enumeration
        pi = update(view.r, models, view.pair_ptr, rho, region)
        value = np.array([ensemble.mean_value(view.r, models, pi, view.pair_ptr, rho)])
        return state._replace(model=mean, models=models, V=V, reference=choice, weights=weights, pi=pi, value=value)

    def notes(self, state: State) -> tuple[float, ...]:
        """Value of the reference in the mean model, mean value of the policy over the draws, and their distance."""
        stays = np.take_along_axis(state.pi, state.reference, axis=1)
        distance = float(np.sum(state.weights * (1 - stays)))
        return float(state.view.rho @ state.V[0]), float(state.value[0]), distance  # type: ignore[operator]

    def loop(
        self, view: View, arena: Arena, state: State, log: Log, outer: np.random.Generator, own: np.random.Generator
    ) -> State | None:
        """The same, compiled; enumeration is not."""
        if self.search != "ascent":
            return None
        from mdpkit.kernels.online import ensemble as compiled

        kernels: Any = compiled
        assert view.r is not None
        kernels.cdpo(
            arena, view.r, state.visits, state.moves, state.model, state.models, state.V, state.reference, state.weights,
            state.pi, state.value, float(self.prior), float(self.eta), outer, own, log,
        )  # fmt: skip
        return state
