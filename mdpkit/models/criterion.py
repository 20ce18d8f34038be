r"""Optimality criteria: what of the random rewards is optimized, and which class of policies suffices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels.rational import to_fraction
from mdpkit.typing import Array

__all__ = [
    "AverageReward",
    "Criterion",
    "Discounted",
    "EntropyRegularized",
    "FiniteHorizon",
    "Invariance",
    "Reachability",
    "States",
    "TotalReward",
]

States = str | Sequence[int] | Array
"""A set of states: a label of the model, a boolean mask ``(S,)``, or indices."""


@dataclass(frozen=True, eq=False)
class Criterion:
    """Base of all criteria. Two criteria are equal if they are of one type and print alike."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.key() == other.key()  # type: ignore[union-attr]

    def __hash__(self) -> int:
        return hash(self.key())

    def key(self) -> str:
        """A string that determines the criterion."""
        return repr(self)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (isinstance(value, Sequence) and not isinstance(value, str))


def _is_float(value: Any) -> bool:
    return isinstance(value, (float, np.floating))


def _number(value: Any, what: str) -> tuple[Any, Any]:
    """A number or array as ``(float or float array, exact or None)``; exact unless floats were given."""
    if _is_array(value):
        array: Array = np.asarray(value)
        if array.dtype == object or array.dtype.kind in "US":
            exact = np.empty(array.shape, dtype=object)
            for index, entry in np.ndenumerate(array):
                exact[index] = to_fraction(entry, what=f"entry [{', '.join(map(str, index))}] of {what}")
            return _frozen(exact.astype(np.float64)), _frozen(exact)
        return _frozen(array.astype(np.float64)), None
    exact = None if _is_float(value) else to_fraction(value, what=what)
    return (float(value) if exact is None else float(exact)), exact


def _frozen(array: Array) -> Array:
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Discounted(Criterion):
    r"""Expected discounted reward :math:`E \sum_t \gamma^t r_t` over an infinite horizon.

    A deterministic stationary policy is optimal (Puterman 1994, Theorem 6.2.10, recalled).

    Parameters
    ----------
    gamma : number or array
        Discount factor in [0, 1). An array ``(S, A)`` or ``(L,)`` discounts each pair by its own factor. Exact
        numbers (``Fraction``, ``"0.95"``, ``"19/20"``) stay exact.

    Raises
    ------
    OptionError
        If a factor is outside [0, 1).

    Examples
    --------
    >>> Discounted(0.95)
    Discounted(gamma=0.95)
    """

    gamma: Any
    exact: Any = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        value, exact = _number(self.gamma, "discount factor gamma")
        flat = np.ravel(value)
        bad = np.flatnonzero(~((flat >= 0) & (flat < 1)))
        if bad.size:
            where = "" if np.ndim(value) == 0 else f" of pair {int(bad[0])}"
            raise OptionError(
                f"the discount factor gamma{where} is outside [0, 1)",
                found=flat[bad[0]],
                needed="0 <= gamma < 1",
                way_out="without discounting use TotalReward(), FiniteHorizon(H) or AverageReward()",
            )
        if exact is not None and np.ndim(value) == 0 and not 0 <= exact < 1:
            raise OptionError("the discount factor gamma is outside [0, 1)", found=exact, needed="0 <= gamma < 1")
        object.__setattr__(self, "gamma", value)
        object.__setattr__(self, "exact", exact)

    def key(self) -> str:
        """The factors as floats."""
        return "Discounted([" + ",".join(float(x).hex() for x in np.ravel(self.gamma)) + "])"


@dataclass(frozen=True, eq=False)
class EntropyRegularized(Criterion):
    r"""Expected discounted reward with entropy, :math:`E \sum_t \gamma^t (r_t + \tau H(\pi(\cdot|s_t)))`.

    With a reference policy :math:`\mu` the entropy is :math:`-\mathrm{KL}(\pi \| \mu)`. The optimal policy is stationary and
    unique, :math:`\pi^* \propto \mu \exp(Q^*_\tau / \tau)` (``geist2019``, recalled).

    Parameters
    ----------
    gamma : number
        Discount factor in [0, 1).
    tau : number
        Temperature, positive.
    reference : array, optional
        Probabilities ``(S, A)`` or ``(L,)`` of the reference policy, positive on admissible actions and summing to one in each
        state. Left out: the entropy itself, whose value is larger by :math:`\tau \log A/(1-\gamma)` than with the uniform
        reference where every state has A actions.

    Raises
    ------
    OptionError
        If gamma is outside [0, 1), tau is not positive, or a reference probability is negative.

    Examples
    --------
    >>> EntropyRegularized("9/10", "1/10")
    EntropyRegularized(gamma=0.9, tau=0.1)
    """

    gamma: Any
    tau: Any
    reference: Any = None
    exact: Any = field(init=False, repr=False, default=None)
    tau_exact: Any = field(init=False, repr=False, default=None)
    reference_exact: Any = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        value, exact = _number(self.gamma, "discount factor gamma")
        tau, tau_exact = _number(self.tau, "temperature tau")
        if np.ndim(value) or not 0 <= value < 1:
            raise OptionError("the discount factor gamma is outside [0, 1)", found=value, needed="0 <= gamma < 1")
        if np.ndim(tau) or not 0 < tau < np.inf:
            raise OptionError(
                "the temperature tau is not positive",
                found=tau,
                needed="tau > 0",
                way_out="without entropy use Discounted(gamma)",
            )
        if self.reference is not None:
            reference, reference_exact = _number(np.asarray(self.reference), "the reference policy")
            if np.any(~(np.asarray(reference) >= 0)):
                raise OptionError("a reference probability is negative", found=float(np.min(reference)), needed=">= 0")
            object.__setattr__(self, "reference", reference)
            object.__setattr__(self, "reference_exact", reference_exact)
        object.__setattr__(self, "gamma", value)
        object.__setattr__(self, "exact", exact)
        object.__setattr__(self, "tau", tau)
        object.__setattr__(self, "tau_exact", tau_exact)

    def key(self) -> str:
        """The numbers as floats."""
        numbers: list[Any] = [self.gamma, self.tau, *([] if self.reference is None else np.ravel(self.reference))]
        return "EntropyRegularized([" + ",".join(float(x).hex() for x in numbers) + "])"

    def __repr__(self) -> str:
        reference = "" if self.reference is None else ", reference=…"
        return f"EntropyRegularized(gamma={self.gamma!r}, tau={self.tau!r}{reference})"


@dataclass(frozen=True, eq=False)
class FiniteHorizon(Criterion):
    r"""Expected reward of H stages, :math:`E[\sum_{h<H} \gamma^h r_h + \gamma^H g(s_H)]`.

    A deterministic Markov (stage-dependent) policy is optimal (Puterman 1994, chapter 4).

    Parameters
    ----------
    H : int
        Number of stages, at least 0.
    gamma : number
        Discount in (0, 1]; 1 by default.
    terminal : array (S,), optional
        Reward g of the state in which the horizon ends; zero by default.
    """

    H: int
    gamma: Any = 1
    terminal: Any = None
    exact: Any = field(init=False, repr=False, default=None)
    terminal_exact: Any = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if isinstance(self.H, bool) or not isinstance(self.H, (int, np.integer)) or self.H < 0:
            raise OptionError("the horizon H is no count of stages", found=self.H, needed="an integer H >= 0")
        gamma, exact = _number(self.gamma, "discount factor gamma")
        if np.ndim(gamma) != 0 or not 0 <= gamma <= 1:
            raise OptionError("the discount factor gamma is outside [0, 1]", found=self.gamma, needed="0 <= gamma <= 1")
        terminal, terminal_exact = (None, None) if self.terminal is None else _number(self.terminal, "terminal reward")
        if terminal is not None and not np.all(np.isfinite(terminal)):
            raise OptionError("a terminal reward is not finite", found=terminal, needed="finite numbers")
        object.__setattr__(self, "H", int(self.H))
        object.__setattr__(self, "gamma", gamma)
        object.__setattr__(self, "exact", exact)
        object.__setattr__(self, "terminal", terminal)
        object.__setattr__(self, "terminal_exact", terminal_exact)

    def __repr__(self) -> str:
        extra = "" if self.gamma == 1 else f", gamma={self.gamma}"
        return f"FiniteHorizon(H={self.H}{extra}{'' if self.terminal is None else ', terminal=…'})"

    def key(self) -> str:
        """Horizon, discount and terminal rewards."""
        tail = "" if self.terminal is None else ",[" + ",".join(float(x).hex() for x in np.ravel(self.terminal)) + "]"
        return f"FiniteHorizon({self.H},{float(self.gamma).hex()}{tail})"


def _states(value: States | None) -> Any:
    if value is None or isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.size == 0 and array.dtype != bool:
        array = array.astype(np.int64)
    if array.dtype != bool and array.dtype.kind not in "iu":
        raise OptionError(
            "a set of states is a label, a boolean mask or indices",
            found=f"an array of {array.dtype}",
            needed="one of these",
        )
    array = array.copy()
    array.flags.writeable = False
    return array


def _states_key(value: Any) -> str:
    if value is None or isinstance(value, str):
        return repr(value)
    index = np.flatnonzero(value) if value.dtype == bool else np.unique(value)
    return "{" + ",".join(map(str, index.tolist())) + "}"


def _states_repr(value: Any) -> str:
    if value is None or isinstance(value, str):
        return repr(value)
    count = int(np.count_nonzero(value)) if value.dtype == bool else len(np.unique(value))
    return f"<{count} states>"


@dataclass(frozen=True, eq=False)
class TotalReward(Criterion):
    r"""Expected total reward without discounting.

    Without ``target``: the limit inferior of the expected partial sums, :math:`\liminf_n E \sum_{t<n} r_t`; hiding in
    a loop without reward is allowed and brings nothing. With ``target``: reward accrues until the target is entered,
    and a path that misses the target has infinite reward (the meaning of ``R=? [F target]``), so that a minimizer
    ranges over the policies that reach it almost surely.

    Where the value is finite a deterministic stationary policy is optimal.

    Parameters
    ----------
    target : label, boolean mask or indices, optional
    """

    target: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", _states(self.target))

    def __repr__(self) -> str:
        return "TotalReward()" if self.target is None else f"TotalReward(target={_states_repr(self.target)})"

    def key(self) -> str:
        """The target set spelled out."""
        return f"TotalReward({_states_key(self.target)})"


@dataclass(frozen=True, eq=False)
class Reachability(Criterion):
    r"""Probability of reaching ``target``, passing only through states of ``through`` (``through U target``).

    A deterministic stationary policy is optimal; with ``steps`` (at most so many) a Markov one.

    Parameters
    ----------
    target : label, boolean mask or indices
    through : label, boolean mask or indices, optional
        All states by default.
    steps : int, optional
        Bound on the number of steps; unbounded by default.
    """

    target: Any
    through: Any = None
    steps: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", _states(self.target))
        object.__setattr__(self, "through", _states(self.through))
        _check_steps(self.steps)

    def __repr__(self) -> str:
        through = "" if self.through is None else f", through={_states_repr(self.through)}"
        steps = "" if self.steps is None else f", steps={self.steps}"
        return f"Reachability({_states_repr(self.target)}{through}{steps})"

    def key(self) -> str:
        """The sets spelled out."""
        return f"Reachability({_states_key(self.target)},{_states_key(self.through)},{self.steps})"


@dataclass(frozen=True, eq=False)
class Invariance(Criterion):
    r"""Probability of never leaving ``safe`` (``G safe``), within ``steps`` steps or for ever.

    Parameters
    ----------
    safe : label, boolean mask or indices
    steps : int, optional
    """

    safe: Any
    steps: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "safe", _states(self.safe))
        _check_steps(self.steps)

    def __repr__(self) -> str:
        steps = "" if self.steps is None else f", steps={self.steps}"
        return f"Invariance({_states_repr(self.safe)}{steps})"

    def key(self) -> str:
        """The set spelled out."""
        return f"Invariance({_states_key(self.safe)},{self.steps})"


def _check_steps(steps: int | None) -> None:
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 0):
        raise OptionError("the step bound is no count", found=steps, needed="an integer >= 0 or None")


@dataclass(frozen=True, eq=False)
class AverageReward(Criterion):
    r"""Long-run average reward per step (gain), :math:`\liminf_n \frac1n E \sum_{t<n} r_t`.

    A deterministic stationary policy is optimal in finite models (Puterman 1994, chapter 9).
    """

    def __repr__(self) -> str:
        return "AverageReward()"
