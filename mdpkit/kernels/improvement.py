r"""Policy improvement on substochastic or discounted rows, in floats and in rationals.

The exact loop serves both the solvers and the certificates: from a float policy to exact values, improving the policy
until no pair is better. A policy is left only for a strict improvement; so from a proper policy all policies met are
proper, and the loop ends (Bertsekas & Tsitsiklis 1991, Proposition 2, recalled; the argument is in ``docs/theory``).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from mdpkit.errors import ModelError
from mdpkit.kernels import rational, reference
from mdpkit.kernels.evaluation import solve_policy, take_rows
from mdpkit.typing import Array, Bools, Floats, Ints, Objects

__all__ = ["ImproperPolicyError", "Rows", "evaluate", "evaluate_exact", "improve", "improve_exact", "repair", "scale"]


class Rows(Protocol):
    """Substochastic rows over classes of states, from which a proper policy can always leave."""

    @property
    def n(self) -> int:
        """Number of classes."""
        ...

    @property
    def pair_ptr(self) -> Ints:
        """First pair of each class."""
        ...

    @property
    def indptr(self) -> Ints:
        """Row starts."""
        ...

    @property
    def indices(self) -> Array:
        """Next classes."""
        ...

    @property
    def data(self) -> Floats:
        """Probabilities."""
        ...

    def proper_choice(self) -> Ints:
        """A policy that leaves almost surely."""
        ...

    def trapped(self, choice: Ints) -> Bools:
        """Where a policy never leaves."""
        ...


class ImproperPolicyError(ModelError):
    """A policy has a class that is never left: its value is infinite or undefined."""


def evaluate_exact(indptr: Ints, indices: Array, data: Objects, r: Objects, choice: Ints) -> Objects:
    """Exact value of a policy, the solution of V = r + M V on its rows, ``(n,)`` of Fractions."""
    ptr, columns, values = take_rows(indptr, indices, data, choice)
    try:
        return rational.solve_chain(ptr, columns, values, r[choice])
    except ModelError as error:
        raise ImproperPolicyError(str(error)) from None


def improve_exact(
    pair_ptr: Ints, indptr: Ints, indices: Array, data: Objects, r: Objects, choice: Ints, max_steps: int = 10_000
) -> tuple[Objects, Ints]:
    """Exact optimal value and policy from a starting policy.

    Parameters
    ----------
    pair_ptr, indptr, indices, data : arrays
        Rows M over pairs sorted by state; ``data`` are Fractions (times the discount).
    r : (L,) Fractions
    choice : (n,) int
        Starting policy, proper.

    Raises
    ------
    ImproperPolicyError
        If an improved policy never leaves some class: its gain is positive.
    """
    choice = np.asarray(choice, dtype=np.int64)
    for _ in range(max_steps):
        V = evaluate_exact(indptr, indices, data, r, choice)
        q = r + rational.row_dot(indptr, indices, data, V)
        better = reference.greedy_stable(q, pair_ptr, choice)
        if np.array_equal(better, choice):
            return V, choice
        choice = better
    raise ModelError("exact policy improvement did not end", found=f"{max_steps} policies")  # pragma: no cover


def scale(data: Objects, indptr: Ints, gamma: Any) -> Objects:
    """Rows times the discount of their pairs."""
    return data * np.repeat(gamma, np.diff(indptr))


MARGIN = 2.0**-46


def evaluate(rows: Rows, r: Floats, choice: Ints) -> Floats:
    """Float value of a policy on its rows, ``(n,)``."""
    ptr, columns, data = take_rows(rows.indptr, rows.indices, rows.data, choice)
    return solve_policy(ptr, columns, data, r[choice])


def action_values(rows: Rows, r: Floats, V: Floats) -> Floats:
    """r + MV of each pair."""
    flow = np.zeros(len(r))
    if len(rows.indices):
        products = np.concatenate((rows.data * V[rows.indices], [0.0]))
        nonempty = np.diff(rows.indptr) > 0
        flow[nonempty] = np.add.reduceat(products, rows.indptr[:-1][nonempty])
    return r + flow


def improved(rows: Rows, r: Floats, V: Floats, choice: Ints, margin: float = MARGIN) -> Ints:
    """One tie-stable improvement that stays proper: pairs are left only for gains above ``margin`` times the values."""
    q = action_values(rows, r, V)
    size = np.abs(V) + np.maximum.reduceat(np.abs(r), rows.pair_ptr[:-1])
    better = reference.greedy_stable(q, rows.pair_ptr, choice, margin * size)
    return repair(rows, better, choice)


def repair(rows: Rows, choice: Ints, proper: Ints | None = None) -> Ints:
    """Replace choices in classes that are never left by those of a proper policy (one is built if none is given)."""
    for _ in range(rows.n + 1):
        trapped = rows.trapped(choice)
        if not trapped.any():
            return choice
        if proper is None:
            proper = rows.proper_choice()
        if np.array_equal(choice[trapped], proper[trapped]):
            return proper
        choice = np.where(trapped, proper, choice)
    raise ModelError("no proper policy was found")  # pragma: no cover - each round fixes a state for good


def improve(
    rows: Rows,
    r: Floats,
    choice: Ints | None = None,
    *,
    hint: Floats | None = None,
    margin: float = MARGIN,
    max_steps: int = 1000,
) -> tuple[Floats, Ints]:
    """Float policy iteration; starts from ``choice``, or greedily from the values ``hint``, made proper.

    With a ``margin`` of zero it goes on into the rounding, until a policy comes again.

    Returns
    -------
    V : (n,) float
    choice : (n,) int
    """
    if choice is None:
        choice = rows.proper_choice()
        if hint is not None:
            choice = repair(rows, reference.greedy(action_values(rows, r, hint), rows.pair_ptr), choice)
    seen: set[bytes] = set()
    for _ in range(max_steps):
        V = evaluate(rows, r, choice)
        better = improved(rows, r, V, choice, margin)
        if np.array_equal(better, choice) or better.tobytes() in seen:
            return V, choice
        seen.add(choice.tobytes())
        choice = better
    raise ModelError("policy iteration did not end", found=f"{max_steps} policies", way_out="use exact=True")
