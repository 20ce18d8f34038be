r"""Softmax policies linear in features, :math:`\pi_\theta(a|s) \propto e^{\theta^\top \phi(s,a)}`, and their estimators.

Tabular softmax is the case of one feature a pair; *minimal* softmax leaves out the last pair of each state, whose logit is
zero, so that no direction of parameters is idle. Estimators work in any arithmetic: only drawing takes the floats nearest to
the probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mdpkit.errors import ModelError, OptionError
from mdpkit.kernels import segments, softmax, trajectories
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.typing import Array, Ints

__all__ = ["LogLinear", "Trajectories", "frozen", "generator", "horizon"]

SHARE = 1e-2
"""The default length of trajectories leaves out this share of the discounted weight."""


@dataclass(frozen=True, eq=False)
class Trajectories:
    """A batch of trajectories of one length.

    Attributes
    ----------
    states : (N, H + 1) int
    pairs : (N, H) int
    """

    states: Ints
    pairs: Ints

    @property
    def draws(self) -> int:
        """How many transitions were drawn."""
        return self.pairs.size


def frozen(features: Any) -> Any:
    """Features as a solver keeps them: None, ``"minimal"``, or a tuple of rows.

    Raises
    ------
    OptionError
        For anything else.
    """
    if features is None or (isinstance(features, str) and features == "minimal"):
        return features
    rows = np.asarray(features, dtype=object)
    if isinstance(features, str) or rows.ndim != 2 or not rows.size:
        raise OptionError(
            "the features are no matrix", found=features, needed="None, 'minimal', or a row of numbers for each pair"
        )
    return tuple(tuple(row) for row in rows.tolist())


def horizon(length: int | None, gamma: Any) -> int:
    """The length of trajectories: as given, or such that a hundredth of the discounted weight is left out."""
    if length is not None:
        return length
    g = float(gamma)
    return 1 if g <= 0 else max(1, int(np.ceil(np.log(SHARE) / np.log(g))))


def generator(rng: np.random.Generator | None, k: int) -> np.random.Generator:
    """The generator, or the one of step k where none is given."""
    return np.random.default_rng([0, k]) if rng is None else rng


class LogLinear:
    """The policies of a feature matrix on a discounted problem.

    Parameters
    ----------
    on : OnPolicy
    features : None, "minimal", or (L, d) numbers
        None for tabular softmax.

    Raises
    ------
    ModelError
        If the features have not a row for each pair.
    """

    def __init__(self, on: OnPolicy, features: Any = None):
        self.on, self.ptr = on, on.pair_ptr
        self.gamma = on.gamma[0] if on.gamma.dtype == object else float(on.gamma[0])
        L = on.n_pairs
        self._phi: Array | None = None
        self._kept: Ints | None = None
        if isinstance(features, str):
            self._kept = np.delete(np.arange(L), on.pair_ptr[1:] - 1)
            self.dim = len(self._kept)
        elif features is None:
            self.dim = L
        else:
            phi: Array = on.number(np.asarray(features, dtype=object))
            if len(phi) != L:
                raise ModelError("features and pairs differ in number", found=len(phi), needed=f"{L} rows")
            self._phi, self.dim = phi, phi.shape[1]

    # -- policies ----------------------------------------------------------------------------------------------------

    def zeros(self) -> Array:
        """The parameters of the uniform policy, ``(d,)``."""
        return self.on.number(np.zeros(self.dim))

    def logits(self, theta: Array) -> Array:
        r""":math:`\Phi\theta`, ``(L,)``."""
        if self._kept is not None:
            out = self.on.number(np.zeros(self.on.n_pairs))
            out[self._kept] = theta
            return out
        return theta if self._phi is None else self._phi @ theta

    def log_pi(self, theta: Array) -> Array:
        """Logarithms of the policy, ``(L,)``."""
        return softmax.log_softmax(self.logits(theta), self.ptr)

    def project(self, x: Array) -> Array:
        r""":math:`\Phi^\top x`: from logits ``(L,)`` or ``(L, N)`` to parameters."""
        if self._kept is not None:
            return x[self._kept]
        return x if self._phi is None else self._phi.T @ x

    @cached_property
    def matrix(self) -> Array:
        """The features, ``(L, d)``."""
        if self._phi is not None:
            return self._phi
        eye = self.on.number(np.eye(self.on.n_pairs))
        return eye if self._kept is None else eye[:, self._kept]

    # -- exactly -----------------------------------------------------------------------------------------------------

    def gradient(self, pi: Array) -> Array:
        r"""The policy gradient :math:`\Phi^\top (d_\rho \pi A^\pi)`, unnormalized visits, ``(d,)``."""
        on = self.on
        return self.project(on.spread(on.visits(pi)) * pi * on.advantage(on.value(pi)))

    def compatible(self, pi: Array) -> Array:
        r"""The compatible features :math:`\nabla\log\pi(a|s) = \phi(s,a) - \sum_b \pi(b|s) \phi(s,b)`, ``(L, d)``."""
        mean = segments.total(pi[:, None] * self.matrix, self.ptr)
        return self.matrix - np.repeat(mean, np.diff(self.ptr), axis=0)

    def fisher(self, pi: Array) -> Array:
        r"""The Fisher information over the normalized visits, ``(d, d)``."""
        on, psi = self.on, self.compatible(pi)
        weights = (1 - self.gamma) * on.spread(on.visits(pi)) * pi
        return psi.T @ (weights[:, None] * psi)

    def critic(self, pi: Array) -> Array:
        r"""The best compatible critic, :math:`\arg\min_w E_{d^\pi, \pi} (A^\pi - w^\top \nabla\log\pi)^2`, ``(d,)``.

        The Fisher information must be regular, so features may have no idle direction.
        """
        return segments.solve(self.fisher(pi), (1 - self.gamma) * self.gradient(pi))

    # -- trajectories ------------------------------------------------------------------------------------------------

    def draw(self, pi: Array, rng: np.random.Generator, n: int, H: int, start: Array | None = None) -> Trajectories:
        """Draw n trajectories of H steps: for each, one uniform number for its first state, then two a step."""
        from mdpkit.kernels import sampling

        kernels: Any = sampling
        P = self.on.problem.mdp.P
        law = segments.floats(self.on.rho if start is None else start)
        choice = kernels.cumulative(self.ptr, segments.floats(pi))[None]
        states, pairs = np.empty((n, H + 1), dtype=np.int64), np.empty((n, H), dtype=np.int64)
        u = rng.random((n, 1 + 2 * H))
        total = np.cumsum(law)
        kernels.rollouts(
            u, total / total[-1], choice, np.asarray(self.ptr, dtype=np.int64), P.indptr, P.indices, P.cumulative,
            states, pairs,
        )  # fmt: skip
        return Trajectories(states, pairs)

    def follow(self, pi: Array, s: int, u: Array) -> Trajectories:
        """The path from state s: two uniform numbers a step, ``u (H, 2)``, for the action and for the next state."""
        from mdpkit.kernels import sampling

        kernels: Any = sampling
        P, H = self.on.problem.mdp.P, len(u)
        choice = kernels.cumulative(self.ptr, segments.floats(pi))[None]
        states, pairs, entries = (
            np.empty(H + 1, dtype=np.int64),
            np.empty(H, dtype=np.int64),
            np.empty(H, dtype=np.int64),
        )
        states[0] = s
        ptr = np.asarray(self.ptr, dtype=np.int64)
        kernels.walk(s, 0, 0, u, ptr, choice, P.indptr, P.indices, P.cumulative, 0, states[1:], pairs, entries)
        return Trajectories(states[None], pairs[None])

    def enumerate(self, H: int) -> Trajectories:
        """All trajectories of H steps that are possible under a policy of full support: for tiny models."""
        on = self.on
        support = self._dense != 0
        return Trajectories(*trajectories.paths(support, self.ptr, H, np.flatnonzero(on.rho != 0)))

    def probability(self, batch: Trajectories, pi: Array) -> Array:
        """The probability of each trajectory, ``(N,)``."""
        return trajectories.probability(batch.states, batch.pairs, self._dense, pi, self.on.rho)

    @cached_property
    def _dense(self) -> Array:
        P = self.on.P
        return P.dense if P.dense is not None else P.toarray()

    def rewards(self, batch: Trajectories, r: Array | None = None) -> Array:
        """The rewards along each trajectory, ``(N, H)``; ``r (L,)`` in place of the model's if given."""
        return (self.on.r if r is None else r)[batch.pairs]

    def weighted(self, batch: Trajectories, weights: Array, pi: Array) -> Array:
        r""":math:`\sum_h w_h \nabla \log \pi(a_h|s_h)` of each trajectory, ``(N, d)``."""
        sums = trajectories.counts(batch.pairs, weights, self.on.n_pairs)
        return self.project(trajectories.scores(sums, pi, self.ptr)).T

    def gradients(self, batch: Trajectories, pi: Array, r: Array | None = None) -> Array:
        r"""The estimates :math:`\sum_h \nabla \log \pi(a_h|s_h) \sum_{h' \ge h} \gamma^{h'} r_{h'}`, ``(N, d)``."""
        return self.weighted(batch, trajectories.rewards_to_go(self.rewards(batch, r), self.gamma), pi)

    def hessians(self, batch: Trajectories, pi: Array, v: Array) -> Array:
        r"""Estimates of the Hessian times v: :math:`(\nabla\Phi\, \nabla\log p^\top + \nabla^2\Phi) v`, ``(N, d)``.

        :math:`\Phi = \sum_h \Psi_h \log \pi(a_h|s_h)` with the rewards to go :math:`\Psi_h` held fixed, and p the
        probability of the trajectory.
        """
        x = self.logits(v)
        slope = (x - segments.spread(segments.mean(pi, x, self.ptr), self.ptr))[batch.pairs].sum(axis=1)
        to_go = trajectories.rewards_to_go(self.rewards(batch), self.gamma)
        sums = trajectories.counts(batch.pairs, to_go, self.on.n_pairs)
        first = trajectories.scores(sums, pi, self.ptr) * slope
        return self.project(first + trajectories.curvature(sums, x, pi, self.ptr)).T

    def occupancies(self, batch: Trajectories) -> Array:
        r""":math:`\hat\lambda = \sum_h \gamma^h e_{(s_h, a_h)}` of each trajectory, unnormalized, ``(N, L)``."""
        weights = np.broadcast_to(trajectories.discounts(self.gamma, batch.pairs.shape[1]), batch.pairs.shape)
        return trajectories.counts(batch.pairs, weights, self.on.n_pairs).T

    def ratios(self, batch: Trajectories, log_pi: Array, log_other: Array) -> Array:
        r""":math:`p(\tau|\theta') / p(\tau|\theta)` of each trajectory, ``(N,)``: ``log_other`` are those of the numerator."""
        return np.exp((log_other - log_pi)[batch.pairs].sum(axis=1))
