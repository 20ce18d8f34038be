"""Reward structures over state--action pairs, from every shape the field uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mdpkit.errors import ModelError
from mdpkit.kernels.rational import rationalize_array, to_fraction
from mdpkit.kernels.sparse import sp
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Floats, Ints, Objects

__all__ = ["Reward", "exact_array", "from_entries", "make_reward"]

UNIT = 2.0**-53
TINY, SMALLEST = 2.0**-1000, 2.0**-1074


@dataclass(frozen=True, eq=False)
class Reward:
    """One reward structure: expected reward of each row, and the transition rewards behind it if there are any.

    Attributes
    ----------
    values : (rows,) float
        Expected reward r(s, a) of each pair (of each stage and pair where it varies with time).
    exact : (rows,) object or None
        The same as Fractions.
    error : (rows,) float
        Bound on ``|values - exact value|``, where the exact value may be the float's bits or the rational with small
        denominator next to it.
    transition : (nnz,) float or None
        r(s, a, s') aligned with the stored transitions, where the reward depends on the next state.
    transition_exact : (nnz,) object or None
    """

    values: Floats
    exact: Objects | None
    error: Floats
    transition: Floats | None = None
    transition_exact: Objects | None = None

    def __post_init__(self) -> None:
        for array in (self.values, self.exact, self.error, self.transition, self.transition_exact):
            if array is not None:
                array.flags.writeable = False

    def rationalized(self, P: Transitions, convert: Any = rationalize_array) -> Reward:
        """The same structure in rationals: floats go through ``convert``; P must be exact."""
        if self.exact is not None:
            return self
        if self.transition is None:
            return from_exact_values(convert(self.values))
        return from_exact_transitions(P, convert(self.transition))

    def take(self, rows: Ints, entries: Ints | None = None) -> Reward:
        """The chosen rows (and stored transitions)."""
        pick = slice(0, 0) if entries is None else entries
        return Reward(
            self.values[rows],
            None if self.exact is None else self.exact[rows],
            self.error[rows],
            None if self.transition is None or entries is None else self.transition[pick],
            None if self.transition_exact is None or entries is None else self.transition_exact[pick],
        )


def from_exact_values(exact: Objects) -> Reward:
    """A structure on pairs from Fractions."""
    return Reward(*_nearest(exact))


def from_exact_transitions(P: Transitions, transition: Objects) -> Reward:
    """A structure on transitions from Fractions; P must be exact."""
    ones = np.bincount(P.row_of, minlength=P.n_rows)
    product = P.rationals() * transition
    exact = np.empty(P.n_rows, dtype=object)
    exact[:] = to_fraction(0)
    nonempty = ones > 0
    if len(product):
        exact[nonempty] = np.add.reduceat(product, P.indptr[:-1][nonempty])
    return Reward(*_nearest(exact), transition.astype(np.float64), transition)


def _nearest(exact: Objects) -> tuple[Floats, Objects, Floats]:
    """``(floats, exact, bounds on their distance)``; a float is zero only where the exact number is."""
    try:
        values = exact.astype(np.float64)
    except OverflowError:
        raise ModelError(
            "a reward is beyond the range of floats", needed="numbers below 1e308", way_out="choose a larger unit"
        ) from None
    tiny = np.flatnonzero(np.abs(values) < TINY)
    error = UNIT * np.abs(values)
    for k in tiny[exact[tiny] != 0]:
        error[k] = SMALLEST
        if values[k] == 0:
            values[k] = SMALLEST if exact[k] > 0 else -SMALLEST
    return values, exact, error


def exact_array(values: Any, what: str = "array") -> Objects | None:
    """An object array of Fractions if ``values`` are exact numbers (ints, Fractions, strings), else ``None``.

    Floats standing among exact numbers are read as the rational with small denominator next to them. ``what`` names the
    array in error messages.
    """
    array = np.asarray(values)
    if array.dtype.kind in "fc":
        return None
    if array.dtype.kind in "biu":
        array = array.astype(object)
    out = np.empty(array.shape, dtype=object)
    seen: dict[Any, Any] = {}
    floats: Any = (float, np.floating)
    for index in np.ndindex(array.shape):
        entry: Any = array[index]
        key: Any = (type(entry), entry)
        if key not in seen:
            if isinstance(entry, floats) and np.isfinite(entry):
                seen[key] = rationalize_array(np.array([entry]))[0]
            else:
                place = ", ".join(map(str, index))
                seen[key] = to_fraction(entry, what=f"entry [{place}] of {what}")
        out[index] = seen[key]
    return out


def _listed(x: Any) -> bool:
    return isinstance(x, (list, tuple))


def _sparse(x: Any) -> bool:
    return bool(sp.issparse(x))


def make_reward(
    r: Any,
    P: Transitions,
    state: Ints,
    action: Ints,
    n_states: int,
    stages: int | None,
    *,
    by_action: bool,
    name: str = "r",
) -> Reward:
    """Read ``r`` in any of its shapes into a :class:`Reward`.

    Parameters
    ----------
    r : number, array, sparse matrix or list
        ``(L,)`` or ``(S,)``, ``(S, A)``, ``(S, A, S)``, ``(H, S, A)``, ``(H, S, A, S)``, a sparse matrix with a row a
        pair, or, beside a list of matrices for P, a list of A matrices ``(S, S)`` or vectors ``(S,)``.
    P : Transitions
        ``L`` rows, or ``stages * L`` where the law varies with time.
    state, action : (L,) int
        The pairs.
    stages : int or None
        Number of stages where P or r varies with time.
    by_action : bool
        Whether P came as a list of A matrices (then r may be stacked the same way).

    Raises
    ------
    ModelError
        If the shape fits none of these, or a reward is not finite.
    """
    L, S = len(state), n_states
    n_actions = int(action.max()) + 1 if L else 0
    if isinstance(r, Reward):
        if len(r.values) % L:
            raise ModelError(f"{name} has the wrong length", found=len(r.values), needed=f"{L} pairs")
        return r
    if _sparse(r):
        if r.shape != (L, S):
            raise ModelError(f"sparse {name} has the wrong shape", found=r.shape, needed=f"{(L, S)}: a row a pair")
        csr: Any = sp.csr_array(r, dtype=np.float64)
        return from_entries(np.asarray(csr[P.row_of, P.indices.astype(np.int64)]).ravel(), P, name, state, action)
    if _listed(r) and len(r) and all(_sparse(part) for part in r):
        return make_reward(
            np.stack([part.toarray() for part in r]), P, state, action, S, stages, by_action=by_action, name=name
        )
    array: Array = np.asarray(r)
    if array.dtype.kind in "OUS":
        exact = exact_array(array, name)
        assert exact is not None
        array = exact
    elif array.dtype.kind in "biu":
        array = array.astype(np.float64)
    elif array.dtype.kind != "f":
        raise ModelError(f"{name} is not made of numbers", found=f"an array of {array.dtype}", needed="numbers")
    array = array if array.dtype == object else array.astype(np.float64)
    shape = array.shape
    if array.ndim == 0:
        return _from_values(np.full(L, array[()], dtype=array.dtype), name, state, action)
    if shape == (L,) or (stages and shape == (stages * L,)):
        return _from_values(array, name, state, action)
    if shape == (S,):
        return _from_values(array[state], name, state, action)
    if by_action and array.ndim == 3 and shape == (n_actions, S, S):
        return from_entries(array[action[P.row_of], state[P.row_of], P.indices], P, name, state, action)
    if by_action and shape == (n_actions, S) and shape != (S, n_actions):
        return _from_values(array[action, state], name, state, action)
    if shape == (S, n_actions):
        return _from_values(array[state, action], name, state, action)
    varying = P.n_rows != L
    if (
        array.ndim == 3
        and shape == (S, n_actions, S)
        and not varying
        and not (stages == S and shape[1:] == (S, n_actions))
    ):
        return from_entries(array[state[P.row_of], action[P.row_of], P.indices], P, name, state, action)
    if array.ndim == 3 and stages and shape == (stages, S, n_actions):
        return _from_values(array[:, state, action].reshape(-1), name, state, action)
    if array.ndim == 3 and shape == (S, n_actions, S) and not varying:
        return from_entries(array[state[P.row_of], action[P.row_of], P.indices], P, name, state, action)
    if array.ndim == 4 and stages and shape == (stages, S, n_actions, S) and varying:
        row = P.row_of
        pair = row % L
        return from_entries(array[row // L, state[pair], action[pair], P.indices], P, name, state, action)
    hint = None
    if shape == (n_actions, S):
        hint = f"transpose {name}: its first axis is the state"
    elif shape == (n_actions, S, S):
        hint = f"give P and {name} as lists of A matrices, or move the action to the second axis"
    raise ModelError(
        f"{name} has a shape that does not fit the model",
        found=shape,
        needed=f"({L},) pairs, ({S}, {n_actions}) states and actions, ({S}, {n_actions}, {S}) transitions"
        + (f", or the same with {stages} stages in front" if stages else ""),
        way_out=hint,
    )


def _check_finite(array: Array, name: str, state: Ints, action: Ints, row: Ints | None) -> None:
    if array.dtype == object:
        return
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        index = int(bad[0] if row is None else row[bad[0]]) % len(state)
        raise ModelError(
            f"{name} of state {int(state[index])}, action {int(action[index])} is not finite",
            found=array[bad[0]],
            needed="a finite number",
            way_out="leave an inadmissible action out: give P by pairs with state= and action= index arrays",
        )


def _from_values(values: Array, name: str, state: Ints, action: Ints) -> Reward:
    if values.dtype == object:
        return from_exact_values(values)
    _check_finite(values, name, state, action, None)
    return Reward(np.ascontiguousarray(values), None, 4 * UNIT * np.abs(values))


def from_entries(entries: Array, P: Transitions, name: str, state: Ints, action: Ints) -> Reward:
    """The structure of rewards on the stored transitions, ``(nnz,)``; errors name the pair."""
    if entries.dtype == object:
        if P.exact is not None:
            return from_exact_transitions(P, entries)
        entries = entries.astype(np.float64)
    _check_finite(entries, name, state, action, P.row_of)
    values = np.bincount(P.row_of, weights=P.data * entries, minlength=P.n_rows)
    size = np.bincount(P.row_of, weights=P.data * np.abs(entries), minlength=P.n_rows)
    error = (np.diff(P.indptr) + 12) * UNIT * size
    for k in np.flatnonzero((np.abs(values) <= error) & (error > 0)):
        # Terms that cancel: total reward asks for the sign, and a mean of zero must be zero.
        row = slice(int(P.indptr[k]), int(P.indptr[k + 1]))
        values[k] = float(np.dot(rationalize_array(P.data[row]), rationalize_array(entries[row])))
    return Reward(np.asarray(values, dtype=np.float64), None, error, np.ascontiguousarray(entries))
