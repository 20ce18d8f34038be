r"""Advantages of a policy for the methods that improve it: exact ones, and estimates with one face.

An estimator is called with a problem seen from a policy, the policy and a generator, and returns ``A (L,)``; a solver that
takes one (``advantages=``) runs with exact and with sampled advantages alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mdpkit.errors import ModelError, OptionError
from mdpkit.kernels import segments, traces, trajectories
from mdpkit.models.sampling import check_count
from mdpkit.operators.log_linear import LogLinear, Trajectories, generator, horizon
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.typing import Array

__all__ = ["GAE", "AdvantageEstimator", "ExactAdvantages"]


class AdvantageEstimator(Protocol):
    """What every estimator of advantages can do."""

    def __call__(self, on: OnPolicy, pi: Array, rng: np.random.Generator | None = None) -> Array:
        """Advantages of the pairs under the policy ``pi (L,)``, ``(L,)``."""
        ...


@dataclass(frozen=True)
class ExactAdvantages:
    r""":math:`A^\pi(s,a) = Q^\pi(s,a) - V^\pi(s)` from a linear solve, in the problem's arithmetic."""

    def __call__(self, on: OnPolicy, pi: Array, rng: np.random.Generator | None = None) -> Array:
        """The exact advantages, ``(L,)``."""
        return on.advantage(on.value(pi))


@dataclass(frozen=True)
class GAE:
    r"""Generalized advantage estimates, averaged over the visits of each pair in sampled trajectories.

    .. math::

       \hat A_h = \sum_{l=0}^{H-1-h} (\gamma\lambda)^l \delta_{h+l}, \qquad
       \delta_h = r(s_h, a_h) + \gamma V(s_{h+1}) - V(s_h)

    ``lambda_=1`` is Monte Carlo with V as the baseline and as the value of what was cut off, ``lambda_=0`` the
    one-step temporal difference. For the exact critic each estimate is unbiased, whatever the parameter and the
    length; for others see :meth:`bias`. Pairs that were not visited get zero.

    Parameters
    ----------
    lambda_ : number
        In [0, 1].
    episodes : int
        Trajectories drawn at each call.
    length : int, optional
        Their length; by default such that a hundredth of the discounted weight is left out.
    critic : "exact" or (S,) numbers
        The value V: the policy's own, or a given one.

    References
    ----------
    ``schulman2016``.

    Examples
    --------
    >>> import mdpkit as mk, numpy as np
    >>> from mdpkit.models.canonical import canonical
    >>> on = OnPolicy(canonical(mk.instances.make("riverswim", n_states=3, gamma="9/10")))
    >>> estimate = GAE(lambda_=0.9, episodes=2000)(on, on.uniform(), np.random.default_rng(0))
    >>> bool(np.max(np.abs(estimate - ExactAdvantages()(on, on.uniform()))) < 0.3)
    True
    """

    lambda_: Any = 0.95
    episodes: int = 10
    length: int | None = None
    critic: Any = "exact"

    def __post_init__(self) -> None:
        if not 0 <= self.lambda_ <= 1:
            raise OptionError("lambda_ is out of range", found=self.lambda_, needed="[0, 1]")
        for name in ("episodes", "length"):
            if getattr(self, name) is not None:
                check_count(getattr(self, name), name, 1)
        if isinstance(self.critic, str):
            if self.critic != "exact":
                raise OptionError("the critic is unknown", found=self.critic, needed="'exact' or a value of each state")
        else:
            object.__setattr__(self, "critic", tuple(np.asarray(self.critic, dtype=object).tolist()))

    def value(self, on: OnPolicy, pi: Array) -> Array:
        """The critic's value, ``(S,)``.

        Raises
        ------
        ModelError
            If the critic has not a value for each state.
        """
        if isinstance(self.critic, str):
            return on.value(pi)
        if len(self.critic) != on.n_states:
            raise ModelError(
                "critic and states differ in number", found=len(self.critic), needed=f"{on.n_states} values"
            )
        return on.number(np.array(self.critic, dtype=object))

    def along(self, on: OnPolicy, batch: Trajectories, V: Array) -> Array:
        """The estimate at each step of each trajectory, ``(N, H)``."""
        gamma, states = on.gamma[0], batch.states
        deltas = on.r[batch.pairs] + gamma * V[states[:, 1:]] - V[states[:, :-1]]
        return traces.generalized_advantages(deltas, gamma * on.number(self.lambda_))

    def __call__(self, on: OnPolicy, pi: Array, rng: np.random.Generator | None = None) -> Array:
        """Draw trajectories, and average their estimates pair by pair, ``(L,)``."""
        policies = LogLinear(on)
        batch = policies.draw(pi, generator(rng, 0), self.episodes, horizon(self.length, policies.gamma))
        estimates = self.along(on, batch, self.value(on, pi))
        sums = trajectories.counts(batch.pairs, estimates, on.n_pairs).sum(axis=1)
        visits = np.bincount(batch.pairs.ravel(), minlength=on.n_pairs)
        return sums / np.maximum(visits, 1)

    def bias(self, on: OnPolicy, pi: Array, H: int) -> Array:
        r"""The bias of the estimate at a pair with H steps to go, ``(L,)``.

        With :math:`\epsilon = V - V^\pi` and :math:`\beta = (I - \gamma P_\pi)\epsilon` it is

        .. math::

           \gamma (P\epsilon)(s,a) - \epsilon(s) - \sum_{l=1}^{H-1} (\gamma\lambda)^l (P P_\pi^{l-1} \beta)(s,a).
        """
        error = self.value(on, pi) - on.value(pi)
        gamma, decay = on.gamma[0], on.gamma[0] * on.number(self.lambda_)
        ahead = on.P @ error
        out = gamma * ahead - on.spread(error)
        loss, weight = error - gamma * segments.mean(pi, ahead, on.pair_ptr), decay
        for _ in range(1, H):
            after = on.P @ loss
            out = out - weight * after
            loss, weight = segments.mean(pi, after, on.pair_ptr), weight * decay
        return out
