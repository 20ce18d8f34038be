r"""Policy evaluation as a task: a problem, a target policy, the behavior that visits the states, and features.

Values are estimated on *nodes*: the states, for state values :math:`V^\pi`, or the admissible pairs, for action values
:math:`Q^\pi`. The features say which: a row for each state, or a row for each pair. Everything is in the problem's own
arithmetic; only drawing takes floats.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.kernels import occupancy, segments, stationary, trajectories
from mdpkit.models.arithmetic import arithmetic_of
from mdpkit.models.canonical import Canonical
from mdpkit.models.policy import Stationary
from mdpkit.models.sampling import check_generator
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.typing import Array, Floats, Ints

__all__ = ["Task", "Transition"]


class Transition(NamedTuple):
    """One step of the behavior policy."""

    state: int
    pair: int
    next_state: int


class Task:
    r"""What a policy is to be valued on, and from which steps.

    Parameters
    ----------
    problem : Canonical
        Discounted, with one discount factor.
    pi : policy
        The target: a :class:`~mdpkit.models.Stationary`, actions ``(S,)``, or probabilities ``(S, A)`` or ``(L,)``.
    mu : policy, optional
        The behavior, which takes every action that the target takes; by default the target.
    features : None, "states", "pairs", (S, d) or (L, d) numbers
        One a state by default, or one a pair; else a row for each state, to estimate values, or for each pair, to
        estimate action values. A matrix with as many rows as states is taken to be of states.
    weights : (S,) numbers, optional
        How often the states are visited; by default the stationary law of the behavior.

    Attributes
    ----------
    on : OnPolicy
    gamma : number
    pi, mu : (L,)
    by_pairs : bool
        Whether the nodes are the pairs.
    phi : (n, d)
        Features of the nodes.

    Raises
    ------
    ModelError
        For a policy, features or weights that do not fit the model, and a behavior that never takes an action of the target.
    UnsupportedError
        For another criterion, or discounts that differ between pairs.
    """

    def __init__(self, problem: Canonical, pi: Any, mu: Any = None, features: Any = None, weights: Any = None):
        gammas = problem.gamma_exact if arithmetic_of(problem) == "ball" else problem.gamma
        if problem.kind != "discounted" or not np.all(gammas == gammas[0]):
            raise UnsupportedError(
                "a policy is estimated under one discount factor",
                found=str(problem.mdp.criterion),
                needed="mk.Discounted(gamma) with a number gamma",
            )
        self.problem = problem
        self.on = on = OnPolicy(problem)
        self.pair_ptr, self.state = on.pair_ptr, on.state
        self.n_states, self.n_pairs = on.n_states, on.n_pairs
        self.gamma: Any = on.gamma[0] if on.gamma.dtype == object else float(on.gamma[0])
        self.pi = self._policy(pi)
        self.mu = self.pi if mu is None else self._policy(mu)
        bad = [k for k in range(self.n_pairs) if self.mu[k] == 0 and self.pi[k] != 0]
        if bad:
            k = bad[0]
            raise ModelError(
                f"the behavior never takes action {int(problem.mdp.action[k])} in state {int(self.state[k])}, which the "
                "target takes",
                needed="a behavior that covers the target",
                way_out="mix it with the target",
            )
        self.by_pairs, self.phi = self._features(features)
        self._weights = None if weights is None else self._law(weights)
        self.kept: dict[Any, Any] = {}  # what is computed from the task once, by name

    def _policy(self, policy: Any) -> Array:
        given: Any = policy if isinstance(policy, Stationary) else np.asarray(policy)
        if (
            not isinstance(given, Stationary)
            and given.dtype == object
            and given.size
            and segments.is_ball(given.flat[0])
        ):
            return given
        return self.on.number(np.asarray(Stationary.of(self.problem.mdp, given).weights))

    def _features(self, features: Any) -> tuple[bool, Array]:
        S, L = self.n_states, self.n_pairs
        if features is None or (isinstance(features, str) and features in ("states", "pairs")):
            by_pairs = features == "pairs"
            return by_pairs, self.on.number(np.eye(L if by_pairs else S))
        rows = np.asarray(features, dtype=object)
        if isinstance(features, str) or rows.ndim != 2 or not rows.size or len(rows) not in (S, L):
            raise ModelError(
                "the features do not fit the model",
                found=features if isinstance(features, str) else rows.shape,
                needed=f"'states', 'pairs', or a matrix of {S} rows (states) or {L} rows (pairs)",
            )
        return len(rows) != S, self.on.number(rows)

    def _law(self, weights: Any) -> Array:
        given = np.asarray(weights, dtype=object)
        if given.shape != (self.n_states,):
            raise ModelError("the weights do not fit the model", found=given.shape, needed=f"({self.n_states},)")
        if not all(bool(x >= 0) for x in given) or all(bool(x == 0) for x in given):
            raise ModelError("the weights are no law", found=list(given), needed="numbers >= 0, not all zero")
        return self.on.number(given)

    # -- exactly -----------------------------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """The number of nodes."""
        return len(self.phi)

    @property
    def dim(self) -> int:
        """The number of features."""
        return self.phi.shape[1]

    @cached_property
    def ratio(self) -> Array:
        r"""The importance ratios :math:`\rho = \pi / \mu`, ``(L,)``; zero where neither policy goes."""
        out = self.pi * 0
        taken = np.array([bool(x != 0) for x in self.mu])
        out[taken] = self.pi[taken] / self.mu[taken]
        return out

    @cached_property
    def state_weights(self) -> Array:
        """How often the states are visited: the weights given, or the stationary law of the behavior, ``(S,)``.

        Raises
        ------
        ModelError
            If the behavior has several recurrent classes.
        """
        return stationary_law(self._chain(self.mu)) if self._weights is None else self._weights

    @cached_property
    def weights(self) -> Array:
        """How often the nodes are visited, ``(n,)``."""
        d = self.state_weights
        return self.on.spread(d) * self.mu if self.by_pairs else d

    def _dense(self) -> Array:
        P = self.on.P
        return P.dense if P.dense is not None else P.toarray()

    def _chain(self, pi: Array) -> Array:
        """The transition matrix of a policy, ``(S, S)``."""
        one = self.on.number(np.ones(self.n_pairs))
        P = occupancy.induced(self.on.P, one, pi, self.pair_ptr)
        dense: Array = P.toarray() if hasattr(P, "toarray") else P
        return dense

    @cached_property
    def P(self) -> Array:
        """Transition probabilities between nodes under the target, ``(n, n)``."""
        if not self.by_pairs:
            return self._chain(self.pi)
        return self._dense()[:, self.state] * self.pi

    @cached_property
    def r(self) -> Array:
        """Rewards of the nodes under the target, ``(n,)``."""
        return self.on.r if self.by_pairs else self.on.mean(self.pi, self.on.r)

    @cached_property
    def truth(self) -> Array:
        r"""What is to be estimated: :math:`V^\pi` or :math:`Q^\pi` on the nodes, ``(n,)``."""
        V = self.on.value(self.pi)
        return self.on.q(V) if self.by_pairs else V

    def zeros(self) -> Array:
        """Parameters zero, ``(d,)``."""
        return self.on.number(np.zeros(self.dim))

    def value(self, w: Array) -> Array:
        r"""The estimate :math:`\Phi w` on the nodes, ``(n,)``."""
        return self.phi @ w

    # -- along a trajectory ------------------------------------------------------------------------------------------

    @cached_property
    def next_phi(self) -> Array:
        r"""Features of a next state: its own, or the mean :math:`\sum_b \pi(b|s) \phi(s, b)` of its pairs, ``(S, d)``."""
        return segments.total(self.pi[:, None] * self.phi, self.pair_ptr) if self.by_pairs else self.phi

    def node(self, seen: Transition) -> int:
        """The node of a transition."""
        return seen.pair if self.by_pairs else seen.state

    @cached_property
    def _rows(self) -> tuple[Floats, Floats, Any]:
        from mdpkit.kernels import sampling

        kernels: Any = sampling
        law = np.cumsum(segments.floats(self.on.rho))
        return law / law[-1], kernels.cumulative(self.pair_ptr, segments.floats(self.mu)), self.problem.mdp.P

    def start(self, rng: np.random.Generator | None) -> int:
        """A state drawn from the initial law.

        Raises
        ------
        OptionError
            Without a generator.
        """
        return trajectories.place(self._rows[0], _checked(rng).random())

    def draw(self, state: int, rng: np.random.Generator | None) -> Transition:
        """One step of the behavior from a state: an action, then a next state."""
        _, choice, P = self._rows
        u = _checked(rng).random(2)
        i, j = int(self.pair_ptr[state]), int(self.pair_ptr[state + 1])
        k = i + trajectories.place(choice[i:j], u[0])
        i, j = int(P.indptr[k]), int(P.indptr[k + 1])
        return Transition(state, k, int(P.indices[i + trajectories.place(P.cumulative[i:j], u[1])]))


def stationary_law(P: Array) -> Array:
    """The stationary law of a chain with one recurrent class, ``(S,)``, in the arithmetic of its matrix.

    Raises
    ------
    ModelError
        If the chain has several recurrent classes.
    """
    n = len(P)
    rows = [np.flatnonzero([bool(x != 0) for x in row]) for row in P]
    ptr = np.concatenate(([0], np.cumsum([len(x) for x in rows]))).astype(np.int64)
    columns: Ints = np.concatenate(rows)
    _, count = stationary.recurrent_classes(ptr, columns, np.ones(len(columns)))
    if count > 1:
        raise ModelError(
            f"the behavior has {count} recurrent classes, so its long-run frequencies depend on the start",
            needed="one recurrent class",
            way_out="give the weights (S,) of the states",
        )
    if P.dtype != object:
        return stationary.stationary_laws(ptr, columns, np.concatenate([P[s, x] for s, x in enumerate(rows)]))[0]
    A = np.eye(n, dtype=int) - P.T
    A[-1] = P[0, 0] * 0 + 1  # one equation follows from the others: the sum in its place
    b = P[0] * 0
    b[-1] = b[-1] + 1
    return segments.solve(A, b)


def _checked(rng: np.random.Generator | None) -> np.random.Generator:
    if rng is None:
        raise OptionError("the estimator draws at random", needed="rng, a numpy.random.Generator")
    check_generator(rng)
    return rng
