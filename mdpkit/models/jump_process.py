r"""Markov jump processes: finite chains in continuous time, and what they are on a grid or when uniformized."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mdpkit.errors import ModelError, OptionError
from mdpkit.kernels import martingale, segments
from mdpkit.kernels.rational import to_fraction
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.typing import Array, Floats

__all__ = ["JumpProcess"]


@dataclass(frozen=True, eq=False)
class JumpProcess:
    r"""A finite chain in continuous time whose future is discounted: :math:`V = E \int_0^\infty e^{-\rho t} r(X_t)\,dt`.

    Parameters
    ----------
    generator : (S, S) numbers
        L: how often, per unit of time, the process jumps from one state to another; rows sum to zero.
    r : (S,) numbers
        What a unit of time in a state pays.
    rate : number
        :math:`\rho`, positive: the discount rate.
    rho : int or (S,) numbers, optional
        Initial state or law.

    Raises
    ------
    ModelError
        For a matrix that is no generator, or rewards that do not fit it.
    OptionError
        For a rate that is not positive.

    Notes
    -----
    Fractions, integers and strings such as ``"1/3"`` are kept exactly; :meth:`value` is then exact with ``exact=True``.

    Examples
    --------
    >>> process = JumpProcess([[-1, 1], [2, -2]], [1, 0], rate=1)
    >>> process.value(exact=True).tolist()
    [Fraction(3, 4), Fraction(1, 2)]
    >>> process.uniformized()
    MDP(2 states, 2 pairs, 3 transitions; maximize Discounted(gamma=0.6666666666666666); exact (as given))
    """

    generator: Any
    r: Any
    rate: Any
    rho: Any = None
    exact: tuple[Array, Array, Any] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        L: Any = np.asarray(self.generator)
        r: Any = np.asarray(self.r)
        if L.ndim != 2 or L.shape[0] != L.shape[1] or not L.size or r.shape != L.shape[:1]:
            raise ModelError(
                "generator and rewards do not fit", found=f"{L.shape} and {r.shape}", needed="(S, S) and (S,)"
            )
        rate: object = self.rate
        if all(x.dtype.kind in "OUSiub" for x in (L, r)) and not isinstance(rate, (float, np.floating)):
            parts = [np.array([to_fraction(v) for v in x.ravel()], dtype=object).reshape(x.shape) for x in (L, r)]
            object.__setattr__(self, "rate", to_fraction(self.rate))
            object.__setattr__(self, "exact", (*parts, self.rate))
            L, r, sums = *parts, parts[0].sum(axis=1)
            bad = np.flatnonzero([s != 0 for s in sums])
        else:
            L, r = L.astype(np.float64), r.astype(np.float64)
            if not np.all(np.isfinite(L)) or not np.all(np.isfinite(r)):
                raise ModelError("a jump rate or a reward is not finite", needed="numbers")
            sums = L.sum(axis=1)
            bad = np.flatnonzero(np.abs(sums) > 1e-12 * np.abs(L).sum(axis=1))
        if len(bad):
            raise ModelError(f"row {bad[0]} of the generator does not sum to zero", found=str(sums[bad[0]]), needed="0")
        for s, t in np.ndindex(L.shape):
            if s != t and L[s, t] < 0:
                raise ModelError(f"the rate of jumps from {s} to {t} is negative", found=str(L[s, t]), needed=">= 0")
        speed = float(self.rate)
        if not 0 < speed < np.inf:
            raise OptionError("the discount rate is not positive", found=speed, needed="rate > 0")
        floats: Any = L.astype(np.float64), r.astype(np.float64)
        for name, value in zip(("generator", "r"), floats, strict=True):
            value.flags.writeable = False
            object.__setattr__(self, name, value)
        if self.exact is None:
            object.__setattr__(self, "rate", rate)

    @property
    def n_states(self) -> int:
        """The number of states."""
        return len(self.r)

    def value(self, *, exact: bool = False) -> Array:
        r""":math:`V = (\rho I - L)^{-1} r`, ``(S,)``, in floats or in Fractions.

        Raises
        ------
        ModelError
            If it is asked for exactly and the process holds floats.
        """
        L, r, rate = self._numbers(exact)
        return segments.solve(rate * np.eye(len(r), dtype=int if exact else float) - L, r)

    def _numbers(self, exact: bool) -> tuple[Array, Array, Any]:
        if not exact:
            return self.generator, self.r, float(self.rate)
        if self.exact is None:
            raise ModelError("the process holds floats", needed="Fractions, integers or strings such as '1/3'")
        return self.exact

    def transition(self, dt: float) -> Floats:
        r"""Transition probabilities after the time dt, :math:`e^{L\,dt}`, ``(S, S)``.

        Raises
        ------
        OptionError
            If dt is negative.
        """
        if not 0 <= dt < np.inf:
            raise OptionError("time does not run backward", found=dt, needed="dt >= 0")
        return martingale.exponential(self.generator, float(dt))

    def on_grid(self, dt: float) -> MDP:
        r"""The process observed every dt, as a model with one action a state.

        Its transitions are :math:`e^{L\,dt}`, its factor is :math:`e^{-\rho\,dt}` and its rewards are :math:`r\,dt`.
        Its value is off by :math:`\tfrac{dt}{2} r` in the first order, since what a step pays is paid at its start.

        Raises
        ------
        OptionError
            If dt is not positive.
        """
        if not 0 < dt < np.inf:
            raise OptionError("the mesh is not positive", found=dt, needed="dt > 0")
        P = self.transition(dt)
        return MDP(P[:, None], (self.r * dt)[:, None], Discounted(float(np.exp(-float(self.rate) * dt))), rho=self.rho)

    def uniformized(self, speed: Any = None) -> MDP:
        r"""The chain of a Poisson clock that ticks at least as fast as any state is left: a model of the same value exactly.

        With the speed q, :math:`P = I + L/q`, the factor :math:`q/(q+\rho)` and rewards :math:`r/(q+\rho)`: from
        :math:`(\rho - L)V = r` follows :math:`(q + \rho) V = r + q P V`. In rationals where the process is.

        Parameters
        ----------
        speed : number, optional
            q; by default the largest rate at which a state is left.

        Raises
        ------
        OptionError
            If a state is left faster.
        """
        given: object = speed
        exact = self.exact is not None and not isinstance(given, (float, np.floating))
        L, r, rate = self._numbers(exact)
        fastest = max(-x for x in np.diag(L).tolist())
        q: Any = (fastest or 1) if speed is None else to_fraction(speed) if exact else float(speed)
        if q < fastest or q <= 0:
            raise OptionError("a state is left faster than the clock ticks", found=q, needed=f"speed >= {fastest}")
        P: Any = np.eye(len(r), dtype=int if exact else float) + L / q
        gain: Any = r / (q + rate)
        return MDP(P[:, None], gain[:, None], Discounted(q / (q + rate)), rho=self.rho)
