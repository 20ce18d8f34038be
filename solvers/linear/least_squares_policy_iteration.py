r"""Least-squares policy iteration: policies are evaluated by LSTD-Q, from exact moments or from one batch of draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import ModelError
from mdpkit.kernels import gram, reference, segments
from mdpkit.models.canonical import Canonical
from mdpkit.operators.feature_solver import DesignSolver
from mdpkit.operators.linear_features import LinearFeatures
from mdpkit.operators.log_linear import generator
from mdpkit.solver import Answer
from mdpkit.typing import Array, Floats, Ints

__all__ = ["LeastSquaresPolicyIteration", "State"]


class State(NamedTuple):
    """A policy, the coefficients of its action values; the design; the batch; draws so far."""

    choice: Ints
    theta: Array
    V: Array
    k: int
    weights: Array
    batch: tuple[Ints, Ints] | None
    draws: int
    stable: bool
    gap: float


@dataclass(frozen=True)
class LeastSquaresPolicyIteration(DesignSolver[State]):
    r"""Policy iteration with action values fitted by LSTD-Q (LSPI).

    .. math:: A_k = \sum_i w_i\, \phi_i \bigl(\phi_i - \gamma \textstyle\sum_{s'} P(s'|i)\, \phi(s', \pi_k(s'))\bigr)^\top,
              \quad b = \sum_i w_i\, \phi_i\, r_i, \quad \theta_k = A_k^{-1} b, \quad
              \pi_{k+1}(s) \in \arg\max_a \phi(s,a)^\top \theta_k

    over the support of an optimal design w. With ``samples``, the law of the next state is that of a batch of draws, made
    once and used for every policy.

    **Guarantee.** In a linear MDP, with exact moments, :math:`\phi^\top\theta_k = Q^{\pi_k}` for whatever weights on features
    that span the space, so that the policies are those of policy iteration: ``lagoudakis2003:exact-moments``. With samples,
    the values of the first policy, which does not depend on the batch, are right with probability at least :math:`1-\delta`
    up to :math:`\max_{x} \sum_i |c_{x,i}|\, \gamma B \|\phi_i\|_{\hat G^{-1}} \sqrt{\log(2d'/\delta)/2}`, where
    :math:`\sum_i c_{x,i} \phi_i = (\hat A^{-1} \hat G)^\top \phi_x` over the :math:`d'` pairs of the support:
    ``lagoudakis2003:first-policy`` (derived here).

    *Departures.* The batch comes from an optimal design and not from trajectories. A policy changes only where that improves
    its fitted action values.

    Parameters
    ----------
    samples : int, optional
        Draws of the batch, of which the design's support may take a few more; None for exact moments.
    eps : number
        Accuracy of the design.

    References
    ----------
    ``lagoudakis2003`` (Section 5 and 6, recalled), ``bradtke1996`` for LSTD, ``kiefer1960`` for the design.

    Examples
    --------
    >>> import mdpkit as mk
    >>> sol = mk.solve(mk.instances.make("linear-hypercube"), LeastSquaresPolicyIteration())
    >>> sol.V.round(6).tolist(), sol.pi.actions.tolist()
    ([4.153846, 7.230769], [5, 0])
    """

    cites: ClassVar = ("lagoudakis2003", "bradtke1996", "kiefer1960")
    claims: ClassVar = ("lagoudakis2003:exact-moments", "lagoudakis2003:first-policy")
    kinds: ClassVar = ("discounted",)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The design, the batch, and the values of the policy of first actions."""
        of = LinearFeatures(problem)
        weights, batch, draws = of.core(self.eps), None, 0
        if self.samples is not None:
            counts = np.ceil(weights * self.samples).astype(np.int64)
            batch, draws = of.draw(counts, generator(rng, 0)), int(counts.sum())
            weights = counts.astype(np.float64)
        choice = problem.pair_ptr[:-1].copy()
        return self._valued(of, State(choice, weights, weights, 0, weights, batch, draws, False, np.inf))

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One improvement, and the values of its policy."""
        of = LinearFeatures(problem)
        q = of.phi @ state.theta
        choice = reference.greedy_stable(q, of.pair_ptr, state.choice, self._margin(q))
        stable = bool(np.array_equal(choice, state.choice))
        return self._valued(of, state._replace(choice=choice, k=state.k + 1, stable=stable))

    @staticmethod
    def _margin(q: Array) -> Any:
        """What rounding may make of a tie, in floats."""
        return 0 if q.dtype == object else 1e-12 * float(np.max(np.abs(q)))

    def _valued(self, of: LinearFeatures, state: State) -> State:
        theta = self.evaluate(of, state.choice, state.weights, state.batch)
        V = (of.phi @ theta)[state.choice]
        gap = np.inf if V.dtype == object else of.certain(V, of.q(V))
        return state._replace(theta=theta, V=V, gap=gap)

    def evaluate(self, of: LinearFeatures, choice: Ints, weights: Array, batch: tuple[Ints, Ints] | None) -> Array:
        r"""LSTD-Q: the coefficients of the action values of a policy, ``(d,)``.

        Parameters
        ----------
        of : LinearFeatures
        choice : (S,)
            The policy's pairs.
        weights : (L,)
            Weights of the pairs; of a batch, how often each was drawn.
        batch : (pairs, next states), optional
            Draws in place of the exact law.
        """
        core = np.flatnonzero(segments.floats(weights) > 0)
        if batch is None:
            after = reference.q_values(of.rows(0), 0 * of.phi[:1], of.gamma[:, None], of.phi[choice])[core]
        else:
            pairs, states = batch
            sums: Floats = np.zeros((of.n_pairs, of.dim))
            np.add.at(sums, pairs, of.phi[choice[states]])
            after = of.gamma[core, None] * sums[core] / weights[core, None]
        weighted = weights[core, None] * of.phi[core]
        try:
            return segments.solve(weighted.T @ (of.phi[core] - after), weighted.T @ of.rewards(0)[core])
        except np.linalg.LinAlgError:
            raise ModelError("the matrix of LSTD-Q is singular", way_out="raise the number of samples") from None

    def finished(self, state: State) -> bool:
        """Whether the policy was kept."""
        return state.stable

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The last policy, and its fitted values."""
        return Answer(state.V, state.choice)

    def error(self, problem: Canonical, state: State, delta: float) -> float:
        r"""What the values of the state's policy are off by, at most, with probability :math:`1-\delta`.

        For a policy that does not depend on the batch: the first one. Zero for exact moments.
        """
        if state.batch is None:
            return 0.0
        of = LinearFeatures(problem)
        core = np.flatnonzero(state.weights > 0)
        pairs, states = state.batch
        G: Any = of.phi[core].T @ (state.weights[core, None] * of.phi[core])
        sums: Floats = np.zeros((of.n_pairs, of.dim))
        np.add.at(sums, pairs, of.phi[state.choice[states]])
        A: Any = G - of.gamma[0] * (of.phi[core].T @ sums[core])
        turned: Any = np.linalg.solve(A, G).T @ of.phi.T  # (d, L)
        c: Any = np.linalg.lstsq(of.phi[core].T, turned, rcond=None)[0]
        low, high = of.ranges[0]
        norms = gram.norms(np.linalg.inv(G), of.phi[core])
        off = gram.deviation(float(of.gamma[0]) * float(high - low), norms, len(core), delta)
        return float(np.max(np.abs(c).T @ off))
