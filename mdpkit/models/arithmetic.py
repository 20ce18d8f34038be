"""A canonical problem in other numbers than floats: Fractions, or balls that enclose every result."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import segments
from mdpkit.models.canonical import Canonical
from mdpkit.models.criterion import EntropyRegularized
from mdpkit.typing import Array

__all__ = ["Arithmetic", "InArithmetic", "Rows", "arithmetic_of", "in_arithmetic", "number"]

Arithmetic = Literal["float", "rational", "ball"]


class Rows:
    """Dense rows of numbers of any kind, with what solvers ask of :class:`~mdpkit.models.transitions.Transitions`."""

    def __init__(self, dense: Array):
        self.dense = dense
        self.n_rows, self.n_states = dense.shape

    def __matmul__(self, V: Array) -> Array:
        return self.dense @ V

    def rows(self, start: int, stop: int) -> Rows:
        """Rows start to stop - 1."""
        return Rows(self.dense[start:stop])


@dataclass(frozen=True, eq=False)
class InArithmetic(Canonical):
    """A canonical problem whose ``P``, ``r``, ``gamma``, ``terminal``, ``tau``, ``reference``, ``rho`` are such numbers."""

    arithmetic: Arithmetic = "ball"
    dense_rows: Any = field(default=None, repr=False)
    rho: Any = field(default=None, repr=False)

    @property
    def P(self) -> Any:
        """Rows by pair (by stage and pair where they vary)."""
        return self.dense_rows


def arithmetic_of(problem: Canonical) -> Arithmetic:
    """The arithmetic of a canonical problem."""
    return problem.arithmetic if isinstance(problem, InArithmetic) else "float"


def number(problem: Canonical, x: Any) -> Any:
    """A number or an array in the problem's arithmetic; floats are taken by their bits."""
    kind = arithmetic_of(problem)
    if kind == "float":
        return np.asarray(x, dtype=np.float64) if isinstance(x, np.ndarray) else float(x)
    from mdpkit.kernels.rational import to_fraction

    convert = segments.ball if kind == "ball" else to_fraction
    if not isinstance(x, np.ndarray):
        return convert(x)
    array: Array = x  # pyright: ignore[reportUnknownVariableType]
    out = np.empty(array.size, dtype=object)
    out[:] = [convert(v) for v in array.ravel().tolist()]
    return out.reshape(array.shape)


def in_arithmetic(problem: Canonical, arithmetic: Arithmetic) -> Canonical:
    """The same problem in rationals or balls; its model must be rational (call ``.exact()`` on it first).

    Meant for small models: the rows become dense.

    Raises
    ------
    ModelError
        If the model holds floats that stand for no rationals.
    OptionError
        If the arithmetic is unknown.
    """
    if arithmetic == "float":
        return problem
    if arithmetic not in ("rational", "ball"):
        raise OptionError("the arithmetic is unknown", found=arithmetic, needed="'float', 'rational' or 'ball'")
    p = problem
    dense: Array = np.full((p.P.n_rows, p.P.n_states), 0, dtype=object)
    dense[p.P.row_of, p.P.indices.astype(np.int64)] = p.P.rationals()
    rho = _law(p)
    blank = InArithmetic(
        **{f.name: getattr(p, f.name) for f in dataclasses.fields(Canonical)}, arithmetic=arithmetic, dense_rows=None
    )
    return dataclasses.replace(
        blank,
        r=number(blank, np.asarray(p.r_exact)),
        gamma=number(blank, np.asarray(p.gamma_exact)),
        terminal=None if p.terminal is None else number(blank, np.asarray(p.terminal_exact)),
        dense_rows=Rows(number(blank, dense)),
        rho=number(blank, rho),
        **_temperature(blank),
    )


def _temperature(p: Canonical) -> dict[str, Any]:
    c = p.mdp.criterion
    if not isinstance(c, EntropyRegularized):
        return {}
    reference = c.reference_exact
    if reference is not None and np.ndim(reference) == 2:
        reference = reference[p.state, p.mdp.action]
    return {
        "tau": number(p, c.tau_exact),
        "reference": None if reference is None else number(p, np.asarray(reference)),
    }


def _law(p: Canonical) -> Array:
    from mdpkit.kernels.rational import to_fraction

    mdp = p.mdp
    if mdp.rho_exact is not None:
        return np.asarray(mdp.rho_exact)
    S = p.n_states
    out = np.empty(S, dtype=object)
    out[:] = [to_fraction(1) / S] * S if mdp.rho is None else [to_fraction(x) for x in mdp.rho.tolist()]
    return out
