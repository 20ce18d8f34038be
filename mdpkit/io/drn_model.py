r"""Models from DRN files and back.

DRN holds transitions, action names, labels and named rewards. It has no place for the criterion, for minimization, for
names of states, for rewards on transitions (their expectations are written) and for laws that vary with the stage (an
error); the ``.npz`` format has.
"""

from __future__ import annotations

import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from mdpkit.errors import UnsupportedError
from mdpkit.kernels.rational import dyadic_array, to_fraction
from mdpkit.models.mdp import MDP
from mdpkit.models.rewards import Reward, from_exact_values
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Bools, Ints, Objects

if TYPE_CHECKING:
    from mdpkit.io.drn import RawDRN, RawReward

__all__ = ["check_flat", "from_raw", "pair_reward", "read", "to_raw", "write"]

INITIAL = "init"


def read(path: str | os.PathLike[str]) -> MDP:
    """Read a ``.drn``, ``.drn.gz`` or ``.drn.xz`` file; see :func:`mdpkit.io.drn.read_raw` for its errors."""
    from mdpkit.io.drn import read_raw

    return from_raw(read_raw(path))


def write(mdp: MDP, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write a ``.drn``, ``.drn.gz`` or ``.drn.xz`` file; see :func:`to_raw` and :func:`mdpkit.io.drn.write_raw`."""
    from mdpkit.io.drn import write_raw

    write_raw(to_raw(mdp), path, overwrite)


def from_raw(raw: RawDRN) -> MDP:
    """The model of a DRN file: r(s, a) is state reward plus action reward, the state labeled ``init`` the start.

    Actions are numbered within each state and keep their names. With several initial states, or none, the model has no
    initial law. Rationals stay rational; an only reward structure is the active one.
    """
    pair_ptr: Ints = np.asarray(raw.pair_ptr, dtype=np.int64)
    S = len(pair_ptr) - 1
    state: Ints = np.repeat(np.arange(S, dtype=np.int64), np.diff(pair_ptr))
    action: Ints = np.arange(len(state), dtype=np.int64) - pair_ptr[state]
    start = np.flatnonzero(raw.labels[INITIAL]) if INITIAL in raw.labels else np.empty(0)
    return MDP(
        Transitions(raw.indptr, raw.indices, raw.data, S, raw.exact),
        state=state,
        action=action,
        rho=int(start[0]) if len(start) == 1 else None,
        labels=raw.labels,
        rewards={name: pair_reward(reward, state) for name, reward in raw.rewards.items()},
        pair_names=raw.pair_names,
    )


def pair_reward(raw: RawReward, state: Ints) -> Reward:
    """State reward plus action reward; ``state`` holds the states of the pairs."""
    if raw.state_exact is not None and raw.action_exact is not None:
        return from_exact_values(_sums(raw.state_exact, raw.action_exact, state))
    of_state = raw.state[state]
    values = np.where(of_state == 0, raw.action, of_state + raw.action)  # -0.0 stays what it is
    # the decimals of the file, each within half a unit in the last place, and the rounding of their sum
    error = 4 * 2.0**-53 * (np.abs(of_state) + np.abs(raw.action))
    return Reward(values, None, error)


def _sums(of_state: Objects, of_action: Objects, state: Ints) -> Objects:
    """Exact sums, computed once for each pair of objects."""
    known: dict[tuple[int, int], Any] = {}
    out = np.empty(len(state), dtype=object)
    sums: list[Any] = []
    for x, y in zip(of_state[state].tolist(), of_action.tolist(), strict=True):
        key = (id(x), id(y))
        if key not in known:
            known[key] = to_fraction(x) + to_fraction(y)
        sums.append(known[key])
    out[:] = sums
    return out


def to_raw(mdp: MDP) -> RawDRN:
    """A model as the content of a DRN file; all rewards are written as rewards of actions.

    Rational where the transitions are (rewards that are floats are then written by their bits), else double.

    Raises
    ------
    UnsupportedError
        If laws or rewards vary with the stage, the initial law is spread over several states, or the rows of a model
        made by ``.exact(dyadic=True)`` do not sum to exactly one.
    """
    from mdpkit.io.drn import RawDRN, RawReward

    labels = check_flat(mdp, "DRN")
    P = mdp.P
    rational = P.exact is not None
    rewards: dict[str, Any] = {}
    for name, reward in mdp.rewards.items():
        exact = reward.exact if reward.exact is not None or not rational else dyadic_array(reward.values)
        zero = _constant(Fraction(0), mdp.n_states) if rational else None
        rewards[name] = RawReward(np.zeros(mdp.n_states), reward.values, zero, exact if rational else None)
    names = mdp.pair_names if mdp.pair_names is not None else mdp.action.tolist()
    return RawDRN(
        model_type="DTMC" if mdp.n_pairs == mdp.n_states else "MDP",
        value_type="rational" if rational else "double",
        pair_ptr=mdp.pair_ptr,
        pair_names=[str(name) for name in names],
        indptr=P.indptr,
        indices=P.indices,
        data=P.data,
        exact=P.exact,
        rewards=rewards,
        labels=labels,
    )


def check_flat(mdp: MDP, format: str, law: bool = True) -> dict[str, Bools]:
    """The labels, with the initial state's, of a model that a format of rows and labels can hold.

    Without ``law`` the initial law is of no concern.

    Raises
    ------
    UnsupportedError
        As :func:`to_raw`.
    """
    if mdp.stages is not None:
        raise UnsupportedError(
            f"{format} has no laws or rewards that vary with the stage",
            found=f"{mdp.stages} stages",
            way_out="save to .npz",
        )
    labels = dict(mdp.labels)
    if mdp.rho is not None and law:
        start = np.flatnonzero(mdp.rho)
        if len(start) != 1:
            raise UnsupportedError(
                f"{format} has no initial law",
                found=f"a law over {len(start)} states",
                needed="one state",
                way_out="save to .npz",
            )
        labels[INITIAL] = np.asarray(mdp.rho) > 0
    P = mdp.P
    if mdp.origin == "as bits" and P.exact is not None and np.any(np.add.reduceat(P.exact, P.indptr[:-1]) != 1):
        raise UnsupportedError(
            f"{format} has no rational laws that do not sum to exactly one",
            found="a model of the bits of floats",
            way_out="save to .npz, or save the model of floats",
        )
    return labels


def _constant(value: Any, n: int) -> Array:
    out = np.empty(n, dtype=object)
    out[:] = value
    return out
