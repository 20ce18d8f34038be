r"""The maximization problem that a model under its criterion is.

Costs become negative rewards, a probability becomes a total reward with known values in its target, an invariance the
complement of a reachability. Solvers and certificates see this one form; ``offset + sign * V`` maps its values back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mdpkit.errors import ModelError, UnsupportedError
from mdpkit.kernels.rational import to_fraction
from mdpkit.models.criterion import (
    AverageReward,
    Discounted,
    EntropyRegularized,
    FiniteHorizon,
    Invariance,
    Reachability,
    TotalReward,
)
from mdpkit.models.mdp import MDP
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Bools, Floats, Ints

if TYPE_CHECKING:
    from mdpkit.kernels.graph import Graph

__all__ = ["STOCHASTIC", "Canonical", "canonical", "shifted"]

Kind = Literal["discounted", "finite", "total", "average", "regularized"]
Miss = Literal["stay", "worst", "best"]

STOCHASTIC = 1e-12
"""Rows this close to one, besides rounding, stand for rows that sum to one."""


@dataclass(frozen=True, eq=False)
class Canonical:
    r"""Maximize, by pairs: the arrays behind :math:`(TV)(s) = \max_a r(s,a) + \gamma(s,a) \sum_{s'} P(s'|s,a) V(s')`.

    Attributes
    ----------
    mdp : MDP
    kind : {"discounted", "finite", "total", "average", "regularized"}
    sign, offset : int
        The model's value is ``offset + sign * V``.
    r, r_error : (L,) float, or (H*L,)
        Rewards to maximize, and the bound on their rounding.
    gamma : (L,) float
        Discount of each pair; ones for total and average reward.
    fixed : (S,) bool or None
        States whose value is known; ``fixed_value`` (S,) holds it there.
    miss : {"stay", "worst", "best"}
        What a path that never enters ``fixed`` is worth: the limit inferior of its partial sums, minus infinity, or
        plus infinity.
    H : int or None
        Number of stages, with ``terminal`` (S,) rewards at the end.
    tau, reference : float, (L,) float or None
        Of a regularized problem: the temperature, and the probabilities of the reference policy (None: the entropy).
    """

    mdp: MDP
    kind: Kind
    sign: int
    offset: int
    r: Floats
    r_error: Floats
    gamma: Floats
    fixed: Bools | None = None
    fixed_value: Array | None = None
    miss: Miss = "stay"
    H: int | None = None
    terminal: Floats | None = None
    tau: Any = 0.0
    reference: Any = None

    @property
    def P(self) -> Transitions:
        """Rows by pair (by stage and pair where they vary); for average reward they sum to one up to rounding."""
        return self.mdp.P.stochastic if self.kind == "average" else self.mdp.P

    @property
    def pair_ptr(self) -> Ints:
        """First pair of each state."""
        return self.mdp.pair_ptr

    @property
    def state(self) -> Ints:
        """State of each pair."""
        return self.mdp.state

    @property
    def n_states(self) -> int:
        """Number of states."""
        return self.mdp.n_states

    @property
    def one_discount(self) -> bool:
        """Whether all pairs share one discount factor."""
        return bool(np.all(self.gamma == self.gamma[0]))

    @cached_property
    def graph(self) -> Graph:
        """The supports of the transition laws (of the first stage)."""
        from mdpkit.kernels.graph import Graph

        return Graph(self.pair_ptr, self.P.indptr, self.P.indices)

    @cached_property
    def r_exact(self) -> Array:
        """Rewards to maximize, as Fractions."""
        return _signed(self.sign, _exact_rewards(self.mdp, self._rewardless))

    @cached_property
    def gamma_exact(self) -> Array:
        """Discount of each pair, as Fractions."""
        c = self.mdp.criterion
        L = self.mdp.n_pairs
        if isinstance(c, (Discounted, EntropyRegularized, FiniteHorizon)):
            if c.exact is None:
                raise ModelError("the discount factor is a float", way_out="call .exact() on the model first")
            return _by_pairs(self.mdp, c.exact)
        return np.full(L, to_fraction(1), dtype=object)

    @cached_property
    def terminal_exact(self) -> Array:
        """Rewards at the end of the horizon, as Fractions."""
        S = self.n_states
        c = self.mdp.criterion
        if isinstance(c, FiniteHorizon) and c.terminal is not None:
            if c.terminal_exact is None:
                raise ModelError("the terminal rewards are floats", way_out="call .exact() on the model first")
            return _signed(self.sign, c.terminal_exact)
        out = np.full(S, to_fraction(0), dtype=object)
        if self.fixed is not None and self.fixed_value is not None:
            for s in np.flatnonzero(self.fixed):
                out[s] = to_fraction(int(self.fixed_value[s]))
        return out

    @property
    def _rewardless(self) -> bool:
        return isinstance(self.mdp.criterion, (Reachability, Invariance)) or self.mdp.active is None

    def value(self, V: Array) -> Array:
        """The model's value from this form's value."""
        return self.offset + self.sign * V if self.offset or self.sign < 0 else V


def shifted(offset: int, bound: Array, side: float) -> Array:
    """``offset + bound``, a probability, rounded towards ``side`` where the sum is not exact."""
    total = offset + bound
    return np.clip(np.where(total - offset == bound, total, np.nextafter(total, side)), 0.0, 1.0)


def canonical(mdp: MDP) -> Canonical:
    """The canonical form of a model under its criterion.

    Raises
    ------
    ModelError
        Without a criterion, or without rewards where the criterion needs them.
    UnsupportedError
        For a criterion that has no such form.
    """
    c = mdp.criterion
    L, S = mdp.n_pairs, mdp.n_states
    sign = -1 if mdp.minimize else 1
    if c is None:
        raise ModelError(
            "the model has no criterion",
            needed="Discounted(gamma), TotalReward(), …",
            way_out="mdp.under(mk.Discounted(0.95))",
        )
    zero = np.zeros(L)
    ones = np.ones(L)
    if isinstance(c, AverageReward):
        _check_mass(mdp)
        return Canonical(mdp, "average", sign, 0, _signed(sign, mdp.r), mdp.reward.error, ones)
    if isinstance(c, Discounted):
        gamma = _by_pairs(mdp, c.gamma)
        return Canonical(mdp, "discounted", sign, 0, _signed(sign, mdp.r), mdp.reward.error, gamma)
    if isinstance(c, EntropyRegularized):
        reference = None if c.reference is None else _by_pairs(mdp, c.reference)
        return Canonical(
            mdp, "regularized", sign, 0, _signed(sign, mdp.r), mdp.reward.error, np.full(L, c.gamma), tau=c.tau,
            reference=reference,
        )  # fmt: skip
    if isinstance(c, FiniteHorizon):
        terminal = np.zeros(S) if c.terminal is None else _signed(sign, np.asarray(c.terminal))
        r, error = (zero, zero) if mdp.active is None else (_signed(sign, mdp.r), mdp.reward.error)
        gamma = np.full(L, c.gamma, dtype=np.float64)
        return Canonical(mdp, "finite", sign, 0, r, error, gamma, H=c.H, terminal=terminal)
    if isinstance(c, TotalReward):
        r, error = _signed(sign, mdp.r), mdp.reward.error
        if c.target is None:
            return Canonical(mdp, "total", sign, 0, r, error, ones)
        target = mdp.states_of(c.target)
        return Canonical(
            mdp, "total", sign, 0, r, error, ones, target, np.zeros(S), "worst" if mdp.minimize else "best"
        )
    if isinstance(c, Reachability):
        target = mdp.states_of(c.target)
        known = target if c.through is None else target | ~mdp.states_of(c.through)
        value = sign * target.astype(np.float64)
        return _probability(mdp, sign, 0, known, value, c.steps)
    if isinstance(c, Invariance):
        unsafe = ~mdp.states_of(c.safe)
        return _probability(mdp, sign, 1, unsafe, -sign * unsafe.astype(np.float64), c.steps)
    raise UnsupportedError(f"the criterion {c} has no solver in this version")


def _check_mass(mdp: MDP) -> None:
    """Refuse rows that lose or gain probability: over an unbounded time the long-run average is then zero or infinite."""
    if mdp.origin == "as bits":
        _check_bits(mdp)
    bad = np.flatnonzero(mdp.P.mass_defect > STOCHASTIC + 2.0**-50 * mdp.n_states)
    if bad.size:
        k = int(bad[0])
        raise ModelError(
            f"the row of state {int(mdp.state[k])}, action {int(mdp.action[k])} does not sum to one, as an average needs it",
            found=float(mdp.P.take(bad[:1]).data.sum()),
            needed=f"1 within {STOCHASTIC:g}",
            way_out="build the model with normalize=True",
        )


def _check_bits(mdp: MDP) -> None:
    """Refuse floats taken as bits whose rows, as 0.1, 0.2 and 0.7, do not sum to exactly one."""
    sums = np.add.reduceat(mdp.P.rationals(), mdp.P.indptr[:-1])
    bad = np.flatnonzero(sums != 1)
    if bad.size:
        k = int(bad[0])
        raise ModelError(
            f"the bits of the row of state {int(mdp.state[k])}, action {int(mdp.action[k])} do not sum to exactly one, "
            "as an average needs it",
            found=f"1 {'+' if sums[k] > 1 else '-'} {float(abs(sums[k] - 1)):.3g}",
            needed="1",
            way_out="leave out dyadic=True, so that floats stand for the simple fractions beside them",
        )


def _probability(mdp: MDP, sign: int, offset: int, known: Bools, value: Floats, steps: int | None) -> Canonical:
    L = mdp.n_pairs
    zero, ones = np.zeros(L), np.ones(L)
    if steps is None:
        return Canonical(mdp, "total", sign, offset, zero, zero, ones, known, value)
    return Canonical(mdp, "finite", sign, offset, zero, zero, ones, known, value, H=steps, terminal=value)


def _signed(sign: int, values: Array) -> Any:
    return values if sign > 0 else -values


def _by_pairs(mdp: MDP, value: Any) -> Any:
    if np.ndim(value) == 0:
        return np.full(mdp.n_pairs, value, dtype=object if not isinstance(value, float) else np.float64)
    array = np.asarray(value)
    return array[mdp.state, mdp.action] if array.ndim == 2 else array


def _exact_rewards(mdp: MDP, rewardless: bool) -> Array:
    if rewardless:
        return np.full(mdp.n_pairs, to_fraction(0), dtype=object)
    exact = mdp.reward.exact
    if exact is None:
        raise ModelError("the rewards are floats", needed="rationals", way_out="call .exact() on the model first")
    return exact
