r"""Bellman operators: :math:`T` of optimality and :math:`T_\pi` of a policy.

.. math::

   (TV)(s) &= \max_a \{ r(s,a) + \gamma \sum_{s'} P(s'|s,a) V(s') \} \\
   (T_\pi V)(s) &= \sum_a \pi(a|s) \{ r(s,a) + \gamma \sum_{s'} P(s'|s,a) V(s') \}

(min in place of max where the model minimizes). Both are monotone; under :class:`~mdpkit.models.Discounted` both
are contractions of modulus :math:`\max \gamma` in the supremum norm (Puterman 1994, Proposition 6.2.4, recalled).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import UnsupportedError
from mdpkit.kernels import reference
from mdpkit.kernels.evaluation import solve_policy, take_rows
from mdpkit.kernels.sparse import sp
from mdpkit.models.canonical import Canonical, canonical
from mdpkit.models.mdp import MDP
from mdpkit.models.policy import Stationary
from mdpkit.typing import Array, Ints

__all__ = ["Backup", "BellmanOptimality", "BellmanPolicy", "Operator", "Sweeper", "largest_shift", "span_gap"]


class Backup(NamedTuple):
    """A backed-up value and what attains it.

    ``policy`` holds a pair (row of the model) for each state; ``adversary`` is for robust operators; ``error`` bounds
    the error of an inexact backup.
    """

    value: Array
    policy: Ints
    adversary: Any = None
    error: float = 0.0


class Operator:
    """What every operator offers: ``backup``, from which ``T(V)`` and ``greedy`` derive, and its declared axioms."""

    axioms: ClassVar[tuple[str, ...]] = ()
    norm: ClassVar[str] = "sup"

    @property
    def modulus(self) -> float:
        """Contraction modulus in ``norm`` (1 where there is none)."""
        raise NotImplementedError

    def backup(self, V: Array, rows: slice = slice(None)) -> Backup:
        """The operator at V, on the states of ``rows``."""
        raise NotImplementedError

    def __call__(self, V: Array) -> Array:
        """The operator at V, ``(S,)``."""
        return self.backup(V).value

    def greedy(self, V: Array) -> Ints:
        """A greedy pair of each state, ``(S,)``."""
        return self.backup(V).policy


class _OnModel(Operator):
    def __init__(self, mdp: MDP):
        self.problem: Canonical = canonical(mdp)
        if self.problem.mdp.stages is not None:
            raise UnsupportedError("an operator of one stage on a model that varies with the stage")
        if self.problem.kind == "regularized":
            raise UnsupportedError(
                f"an operator without entropy on a problem under {mdp.criterion}",
                needed="mk.Discounted(gamma)",
                way_out="use SoftOptimality or SoftPolicy, or mdp.under(mk.Discounted(gamma))",
            )

    @property
    def modulus(self) -> float:
        """The largest discount factor."""
        return float(np.max(self.problem.gamma))

    def _inner(self, V: Array) -> Array:
        return self.problem.sign * (V - self.problem.offset)

    def _q(self, V: Array, pairs: slice) -> Array:
        p = self.problem
        exact = V.dtype == object
        r, gamma = (p.r_exact, p.gamma_exact) if exact else (p.r, p.gamma)
        P = p.P if pairs == slice(None) else p.P.rows(pairs.start, pairs.stop)
        return reference.q_values(P, r[pairs], gamma[pairs], self._inner(V))

    def _finish(self, value: Array, states: slice) -> Array:
        p = self.problem
        if p.fixed is not None and p.fixed_value is not None:
            value = np.where(p.fixed[states], p.fixed_value[states], value)
        return p.value(value)


class BellmanOptimality(_OnModel):
    r"""The optimality operator :math:`T` of a model.

    Parameters
    ----------
    mdp : MDP
        Under any criterion but :class:`~mdpkit.models.AverageReward` and :class:`~mdpkit.models.EntropyRegularized`.

    Examples
    --------
    >>> import numpy as np
    >>> from mdpkit.models import MDP, Discounted
    >>> mdp = MDP(np.ones((1, 2, 1)), np.array([[1.0, 2.0]]), Discounted(0.5))
    >>> T = BellmanOptimality(mdp)
    >>> T(np.array([4.0])), T.greedy(np.array([4.0])), T.modulus
    (array([4.]), array([1]), 0.5)
    """

    axioms: ClassVar = ("monotone", "shift", "contraction")

    def backup(self, V: Array, rows: slice = slice(None)) -> Backup:
        """TV and a greedy pair, on the states of ``rows`` (a slice without step)."""
        p = self.problem
        start, stop, _ = rows.indices(p.n_states)
        ptr = p.pair_ptr[start : stop + 1]
        pairs = slice(None) if (start, stop) == (0, p.n_states) else slice(int(ptr[0]), int(ptr[-1]))
        q = self._q(V, pairs)
        local = ptr - ptr[0]
        policy = reference.greedy(q, local) + ptr[0]
        return Backup(self._finish(reference.best(q, local), slice(start, stop)), policy)

    def q(self, V: Array) -> Array:
        """Action values over pairs, ``(L,)``."""
        return self.problem.value(self._q(V, slice(None)))


class BellmanPolicy(_OnModel):
    r"""The operator :math:`T_\pi` of a stationary policy.

    Parameters
    ----------
    mdp : MDP
    policy : Stationary, ``(S,)`` actions or ``(S, A)`` probabilities
    """

    axioms: ClassVar = ("monotone", "shift", "contraction", "affine")

    def __init__(self, mdp: MDP, policy: Any):
        super().__init__(mdp)
        self.policy = Stationary.of(mdp, policy)

    def backup(self, V: Array, rows: slice = slice(None)) -> Backup:
        r"""T_pi V; its ``policy`` is the largest-weight pair of each state."""
        p = self.problem
        weight = self.policy.weights
        if V.dtype != object:
            weight = weight.astype(np.float64)
        q = self._q(V, slice(None)) * weight
        value = self._finish(np.add.reduceat(q, p.pair_ptr[:-1]), slice(None))
        return Backup(value[rows], reference.greedy(weight, p.pair_ptr)[rows])


@dataclass(frozen=True, eq=False)
class Sweeper:
    """The canonical backup in compiled loops: what the iterative solvers call.

    Values are those of the canonical (maximizing) form.
    """

    problem: Canonical

    @cached_property
    def _compressed(self) -> tuple[Array, ...]:
        p = self.problem
        return p.pair_ptr, p.P.indptr, p.P.indices, p.P.data, p.r, p.gamma

    def backup(self, V: Array) -> tuple[Array, Ints, float, float]:
        """``(TV, greedy pairs, least change, largest change)``."""
        fast = _kernels()
        p = self.problem
        out, choice = np.empty_like(V), np.empty(p.n_states, dtype=np.int64)
        if p.P.dense is not None:
            q = reference.q_values(p.P, p.r, p.gamma, V)
            low, high = fast.best_of(p.pair_ptr, q, V, out, choice)
        else:
            low, high = fast.backup(*self._compressed, V, out, choice)
        return out, choice, float(low), float(high)

    def gauss_seidel(self, V: Array) -> tuple[Array, Ints, float, float]:
        """The same for one Gauss--Seidel sweep; V itself is left alone."""
        fast = _kernels()
        out, choice = V.copy(), np.empty(self.problem.n_states, dtype=np.int64)
        low, high = fast.gauss_seidel(*self._compressed, out, choice)
        return out, choice, float(low), float(high)

    def rows(self, pairs: Ints) -> Any:
        r""":math:`\gamma P_\pi` of the policy ``pairs``: an array ``(S, S)``, or a csr_array of scipy's if P is sparse."""
        p = self.problem
        gamma = p.gamma[pairs]
        if p.P.dense is not None:
            return gamma[:, None] * p.P.dense[pairs]
        indptr, columns, data = take_rows(p.P.indptr, p.P.indices, p.P.data, pairs)
        data = data * np.repeat(gamma, np.diff(indptr))
        index = np.int32 if len(data) < 2**31 else np.int64  # scipy's products are faster on short indices
        return sp.csr_array((data, columns.astype(index), indptr.astype(index)), shape=(p.n_states, p.n_states))

    def solve(self, pairs: Ints) -> Array:
        """The value of the policy ``pairs``, by a linear solve."""
        M, r = self.rows(pairs), self.problem.r[pairs]
        if isinstance(M, np.ndarray):
            return np.asarray(np.linalg.solve(np.eye(len(r)) - M, r), dtype=np.float64)
        return solve_policy(M.indptr, M.indices, M.data, r)

    def evaluate(self, pairs: Ints, V: Array, sweeps: int) -> Array:
        """``sweeps`` applications of the operator of the policy ``pairs``."""
        fast = _kernels()
        p = self.problem
        if p.P.dense is not None and sweeps > 0:
            rows, r, gamma = p.P.dense[pairs], p.r[pairs], p.gamma[pairs]
            for _ in range(sweeps):
                V = r + gamma * (rows @ V)
            return V
        _, indptr, indices, data, r, gamma = self._compressed
        out = V.copy()
        fast.policy_sweeps(pairs, indptr, indices, data, r, gamma, out, np.empty_like(out), sweeps)
        return out


def _kernels() -> Any:
    """The compiled kernels, which have no types."""
    from mdpkit.kernels import fast

    return fast


def span_gap(problem: Canonical, low: float, high: float) -> float:
    r"""Width of MacQueen's bounds after a sweep that changed every state by an amount in ``[low, high]``.

    :math:`\frac{\gamma}{1-\gamma}(\overline d - \underline d)`; with a discount by pairs, each end takes the factor
    that makes the bound safe.
    """
    small, large = float(np.min(problem.gamma)), float(np.max(problem.gamma))

    def shift(d: float, gamma: float) -> float:
        return gamma * d / (1 - gamma)

    up = max(shift(high, large), shift(high, small))
    down = min(shift(low, large), shift(low, small))
    return up - down


def largest_shift(problem: Canonical, low: float) -> float:
    r"""A constant c with :math:`V + c \le T_\pi (V + c)`, given that the changes :math:`T_\pi V - V` are ``low`` or more.

    :math:`\frac{1}{1-\gamma}` ``low``, the largest such constant that the changes alone allow; with a discount by pairs, at
    the factor that makes it safe.
    """
    small, large = float(np.min(problem.gamma)), float(np.max(problem.gamma))
    return low / (1 - (large if low < 0 else small))
