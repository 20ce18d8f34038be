r"""Policies: stationary, Markov, with finite memory, and mixtures of them.

Every policy follows one protocol, ``start(s) -> memory``, ``act(memory, s) -> row``, ``advance(memory, s, a, s')``, and is
evaluated exactly on the product of model and memory. A stationary policy is an array ``pi[s, a]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from mdpkit.errors import ModelError
from mdpkit.kernels.rational import to_fraction
from mdpkit.models.mdp import MDP
from mdpkit.models.rewards import exact_array
from mdpkit.models.transitions import check_memory
from mdpkit.typing import Array, Floats, Ints, Objects

__all__ = ["FiniteMemory", "Markov", "Mixture", "Policy", "Stationary"]


@runtime_checkable
class Policy(Protocol):
    """What every policy can do. Memory is any hashable value; ``act`` returns probabilities over action ids."""

    def start(self, s: int) -> Any:
        """Memory in the first state."""
        ...

    def act(self, memory: Any, s: int) -> Array:
        """Probabilities of the actions ``(A,)`` in state s."""
        ...

    def advance(self, memory: Any, s: int, a: int, s_next: int) -> Any:
        """Memory after the transition."""
        ...


class Stationary:
    """A stationary policy of a model: an array ``pi[s, a]``.

    Behaves as an array ``(S, A)`` (``np.asarray(pi)``, ``pi[s, a]``, ``pi.shape``); inadmissible pairs have
    probability zero. Build it with :meth:`of`.

    Attributes
    ----------
    weights : (L,) float or object
        Probability of each admissible pair.
    pairs : (S,) int or None
        The chosen row of each state if the policy is deterministic.
    """

    def __init__(self, mdp: MDP, weights: Array, pairs: Ints | None):
        self.state, self.action, self.pair_ptr = mdp.state, mdp.action, mdp.pair_ptr
        self.shape = (mdp.n_states, mdp.n_actions)
        self._weights, self.pairs = weights, pairs

    @property
    def weights(self) -> Array:
        """Probability of each admissible pair, ``(L,)``."""
        return self._weights

    @classmethod
    def from_pairs(cls, mdp: MDP, pairs: Ints) -> Stationary:
        """The deterministic policy that takes row ``pairs[s]`` in state s."""
        weights = np.zeros(mdp.n_pairs)
        weights[pairs] = 1.0
        return cls(mdp, weights, np.asarray(pairs, dtype=np.int64))

    @classmethod
    def uniform(cls, mdp: MDP) -> Stationary:
        """Every admissible action with equal probability (exactly)."""
        count = np.diff(mdp.pair_ptr)
        share = {int(n): to_fraction(f"1/{n}") for n in np.unique(count)}
        weights = np.array([share[int(n)] for n in count[mdp.state]], dtype=object)
        return cls(mdp, weights, None if np.any(count > 1) else np.arange(mdp.n_states))

    @classmethod
    def of(cls, mdp: MDP, policy: Any) -> Stationary:
        """Read a policy: a :class:`Stationary`, actions ``(S,)``, or probabilities ``(S, A)`` or ``(L,)``.

        Raises
        ------
        ModelError
            An action that is not admissible, rows that do not sum to one: names the state.
        """
        if isinstance(policy, Stationary):
            if policy.shape != (mdp.n_states, mdp.n_actions) or not (
                np.array_equal(policy.pair_ptr, mdp.pair_ptr) and np.array_equal(policy.action, mdp.action)
            ):
                raise ModelError(
                    "the policy belongs to another model", found=policy.shape, needed=f"{(mdp.n_states, mdp.n_actions)}"
                )
            return policy
        array = np.asarray(policy)
        if array.ndim == 1 and array.dtype.kind in "iu" and array.shape == (mdp.n_states,):
            return cls.from_pairs(mdp, _pairs_of_actions(mdp, array))
        if array.dtype.kind in "OUSiub":
            array = exact_array(array)
            assert array is not None
        if array.shape == (mdp.n_states, mdp.n_actions):
            inside = np.zeros(array.shape, dtype=bool)
            inside[mdp.state, mdp.action] = True
            outside = np.argwhere(~inside & (array != 0))
            if len(outside):
                s, a = map(int, outside[0])
                raise ModelError(
                    f"the policy uses action {a}, which is not admissible in state {s}", found=array[s, a], needed="0"
                )
            array = array[mdp.state, mdp.action]
        if array.shape != (mdp.n_pairs,):
            raise ModelError(
                "the policy has the wrong shape",
                found=array.shape,
                needed=f"({mdp.n_states},) actions, or ({mdp.n_states}, {mdp.n_actions}) probabilities",
            )
        bad = [k for k, p in enumerate(array.tolist()) if not p >= 0]
        if bad:
            k = bad[0]
            raise ModelError(
                f"the policy's weight of state {int(mdp.state[k])}, action {int(mdp.action[k])} is no probability",
                found=array[k],
                needed=">= 0",
            )
        sums = np.add.reduceat(array, mdp.pair_ptr[:-1])
        off = (
            np.flatnonzero(np.abs(sums.astype(np.float64) - 1) > 1e-9)
            if array.dtype != object
            else np.flatnonzero(sums != 1)
        )
        if off.size:
            raise ModelError(
                f"the policy's probabilities in state {int(off[0])} do not sum to one", found=sums[off[0]], needed="1"
            )
        one = array == 1
        pairs = np.flatnonzero(one) if int(one.sum()) == mdp.n_states and np.all((array == 0) | one) else None
        return cls(mdp, array, pairs)

    @cached_property
    def actions(self) -> Ints:
        """The action of each state ``(S,)``; raises ModelError for a randomized policy."""
        if self.pairs is None:
            raise ModelError("the policy is randomized", way_out="use pi[s, a]")
        return self.action[self.pairs]

    @property
    def deterministic(self) -> bool:
        """Whether each state has one action."""
        return self.pairs is not None

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        check_memory(8.0 * self.shape[0] * self.shape[1], f"a dense policy of {self.shape[0]} states")
        dense = np.zeros(self.shape, dtype=np.float64 if dtype is None else dtype)
        dense[self.state, self.action] = self._weights if dtype is object else self._weights.astype(np.float64)
        return dense

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(self)[key]

    def __len__(self) -> int:
        return self.shape[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stationary):
            return NotImplemented
        return self.shape == other.shape and bool(np.all(self._weights == other._weights))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self.pairs is None:
            return f"Stationary({self.shape[0]} states, randomized)"
        shown = ", ".join(map(str, self.actions[:12]))
        return f"Stationary([{shown}{', …' if self.shape[0] > 12 else ''}])"

    def start(self, s: int) -> Any:
        """No memory."""
        return None

    def act(self, memory: Any, s: int) -> Array:
        """Row s."""
        row = np.zeros(self.shape[1], dtype=self._weights.dtype)
        i, j = self.pair_ptr[s], self.pair_ptr[s + 1]
        row[self.action[i:j]] = self._weights[i:j]
        return row

    def advance(self, memory: Any, s: int, a: int, s_next: int) -> Any:
        """No memory."""
        return None


def _pairs_of_actions(mdp: MDP, actions: Array) -> Ints:
    lookup = np.full((1,), -1)
    key = mdp.state * mdp.n_actions + mdp.action
    wanted = np.arange(mdp.n_states) * mdp.n_actions + actions
    lookup = np.searchsorted(key, wanted)
    lookup = np.minimum(lookup, len(key) - 1)
    bad = np.flatnonzero((key[lookup] != wanted) | (actions < 0) | (actions >= mdp.n_actions))
    if bad.size:
        s = int(bad[0])
        raise ModelError(
            f"action {int(actions[s])} is not admissible in state {s}",
            needed=f"one of {mdp.action[mdp.pair_ptr[s] : mdp.pair_ptr[s + 1]].tolist()}",
        )
    return lookup


@dataclass(frozen=True, eq=False)
class Markov:
    """A policy that depends on the stage: one stationary policy for each of the H stages.

    Behaves as an array ``(H, S, A)``.
    """

    stages: tuple[Stationary, ...]

    @classmethod
    def of(cls, mdp: MDP, policy: Any) -> Markov:
        """Read actions ``(H, S)`` or probabilities ``(H, S, A)``."""
        if isinstance(policy, Markov):
            policy = policy.stages
        return cls(tuple(Stationary.of(mdp, stage) for stage in policy))

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(H, S, A)``."""
        S, A = self.stages[0].shape if self.stages else (0, 0)
        return len(self.stages), S, A

    @property
    def actions(self) -> Ints:
        """Actions ``(H, S)`` of a deterministic policy."""
        return np.array([stage.actions for stage in self.stages])

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.array([stage.__array__(dtype) for stage in self.stages])

    def __getitem__(self, key: Any) -> Any:
        return self.stages[key] if isinstance(key, (int, np.integer)) else np.asarray(self)[key]

    def __len__(self) -> int:
        return len(self.stages)

    def start(self, s: int) -> int:
        """Stage 0."""
        return 0

    def act(self, memory: int, s: int) -> Array:
        """Row s of the stage; the last stage's after the horizon."""
        return self.stages[min(memory, len(self.stages) - 1)].act(None, s)

    def advance(self, memory: int, s: int, a: int, s_next: int) -> int:
        """The next stage."""
        return min(memory + 1, len(self.stages))


@dataclass(frozen=True)
class FiniteMemory:
    """A policy with memory in a finite set.

    Parameters
    ----------
    initial : s -> memory
    rule : (memory, s) -> action id, or probabilities ``(A,)``
    update : (memory, s, a, s') -> memory
    n_actions : int
    """

    initial: Callable[[int], Any]
    rule: Callable[[Any, int], Any]
    update: Callable[[Any, int, int, int], Any]
    n_actions: int

    def start(self, s: int) -> Any:
        """Memory in the first state."""
        return self.initial(s)

    def act(self, memory: Any, s: int) -> Array:
        """Probabilities ``(A,)``."""
        choice = self.rule(memory, s)
        if isinstance(choice, (int, np.integer)):
            row = np.zeros(self.n_actions)
            row[int(cast(Any, choice))] = 1.0
            return row
        return np.asarray(choice)

    def advance(self, memory: Any, s: int, a: int, s_next: int) -> Any:
        """Memory after the transition."""
        return self.update(memory, s, a, s_next)


@dataclass(frozen=True, eq=False)
class Mixture:
    """One of several policies, drawn once at the start with the given probabilities (kept exactly where exact)."""

    policies: Sequence[Any]
    weights: Floats
    exact: Objects | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        exact = exact_array(np.asarray(self.weights))
        weights = np.asarray(self.weights if exact is None else exact).astype(np.float64)
        if len(weights) != len(self.policies) or np.any(weights < 0) or abs(weights.sum() - 1) > 1e-9:
            raise ModelError(
                "the mixture's weights are no law over its policies",
                found=weights,
                needed="one weight >= 0 each, sum 1",
            )
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "exact", exact)
