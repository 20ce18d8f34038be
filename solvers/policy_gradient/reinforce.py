r"""REINFORCE: policy gradients from sampled trajectories, with baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import trajectories
from mdpkit.models.canonical import Canonical
from mdpkit.models.sampling import check_count
from mdpkit.operators.log_linear import LogLinear, Trajectories, generator
from mdpkit.operators.sampled_solver import SampledPolicyGradient, single, valued
from mdpkit.typing import Array

__all__ = ["Reinforce", "State"]


class State(NamedTuple):
    """Parameters, the policy in logarithms with its value, and what the last step drew.

    ``draws`` counts all transitions drawn so far; ``value`` is an exact evaluation, which the method itself never reads.
    """

    theta: Array
    log_pi: Array
    V: Array
    gap: float
    k: int
    draws: int
    batch: Trajectories | None
    direction: Array | None


@dataclass(frozen=True)
class Reinforce(SampledPolicyGradient):
    r"""Stochastic gradient ascent with likelihood-ratio estimates of the policy gradient.

    .. math::

       \theta_{k+1} = \theta_k + \frac{\eta}{N} \sum_{n=1}^N \sum_{h<H} w_{n,h} \nabla \log
       \pi_{\theta_k}(a_{n,h}|s_{n,h}), \qquad w_h = \sum_{h' \ge h} \gamma^{h'} r_{h'} - \gamma^h b(s_h)

    ``"gpomdp"`` credits each action with the rewards after it, as written; ``"reinforce"`` credits it with the return of the
    whole trajectory, less a constant b. The start is the uniform policy.

    **Guarantee.** The estimate is unbiased for the gradient of the H-step objective (``williams1992:unbiased``,
    ``baxter2001:unbiased``), with any baseline that reads nothing of the same trajectory's actions
    (``williams1992:baseline``); of the constant baselines that of ``greensmith2004:optimal-baseline`` has the least
    variance.

    *Departures.* Trajectories have a fixed length H; the gradient's error is then of the order of :math:`\gamma^H`.

    Parameters
    ----------
    eta : number
        Step size, positive.
    features : None, "minimal", or (L, d) numbers
        Tabular softmax, tabular softmax with the last logit of each state fixed at zero, or the features of a
        log-linear policy.
    length : int, optional
        Length H of the trajectories; by default such that a hundredth of the discounted weight is left out.
    episodes : int
        Trajectories a step.
    estimator : {"gpomdp", "reinforce"}
    baseline : None, number, tuple of numbers, "mean" or "optimal"
        A constant; with ``"gpomdp"`` also a number for each state. ``"mean"`` is the mean return, and ``"optimal"``
        an estimate of the constant of least variance, both of the other trajectories of the batch, so that nothing is
        biased.

    References
    ----------
    ``williams1992``, ``baxter2001``, ``greensmith2004``.

    Examples
    --------
    >>> import mdpkit as mk, numpy as np
    >>> mdp = mk.MDP([[[1.0], [1.0]]], [[0.2, 0.8]], mk.Discounted("1/2"), rho=0)
    >>> solver = Reinforce(eta=1.0, length=5, episodes=10, baseline="mean")
    >>> sol = mk.solve(mdp, solver, max_steps=100, rng=np.random.default_rng(0))
    >>> bool(sol.last_policy[0, 1] > 0.9)
    True
    """

    cites: ClassVar = ("williams1992", "baxter2001", "greensmith2004")
    claims: ClassVar = (
        "williams1992:unbiased",
        "williams1992:baseline",
        "baxter2001:unbiased",
        "greensmith2004:optimal-baseline",
    )

    episodes: int = 10
    estimator: str = "gpomdp"
    baseline: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.episodes, "episodes", 1)
        if self.estimator not in ("gpomdp", "reinforce"):
            raise OptionError("the estimator is unknown", found=self.estimator, needed="'gpomdp' or 'reinforce'")
        b = self.baseline
        if isinstance(b, (list, np.ndarray)):
            b = tuple(np.asarray(b, dtype=object).tolist())
            object.__setattr__(self, "baseline", b)
        if isinstance(b, str):
            if b not in ("mean", "optimal"):
                raise OptionError(
                    "the baseline is unknown", found=b, needed="None, a number, a tuple, 'mean', 'optimal'"
                )
            if self.episodes < 2:
                raise OptionError(
                    "the baseline has no other trajectories to look at",
                    found=f"episodes={self.episodes}",
                    needed="at least 2",
                )
        if isinstance(b, tuple) and self.estimator == "reinforce":
            raise OptionError(
                "whole returns take a constant baseline", found="one for each state", way_out="estimator='gpomdp'"
            )

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The uniform policy."""
        policies = self.policies(problem)
        theta = policies.zeros()
        return State(theta, *valued(policies, theta), 0, 0, None, None)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """Draw a batch and follow its mean estimate."""
        policies = self.policies(problem)
        pi = np.exp(state.log_pi)
        batch = policies.draw(pi, generator(rng, state.k), self.episodes, self.horizon(policies))
        direction = self.estimates(policies, batch, pi).sum(axis=0) / self.episodes
        theta = state.theta + policies.on.number(self.eta) * direction
        return State(theta, *valued(policies, theta), state.k + 1, state.draws + batch.draws, batch, direction)

    def _loop(self) -> tuple[Any, Any, tuple[Any, ...]]:
        if self.episodes > 1 or self.estimator != "gpomdp" or self.baseline is not None:
            return super()._loop()
        from mdpkit.kernels import ascent

        kernels: Any = ascent
        return kernels.plain, single, ()

    def estimates(self, policies: LogLinear, batch: Trajectories, pi: Array) -> Array:
        """The estimate of each trajectory, ``(N, d)``."""
        on, b = policies.on, self.baseline
        N, H = batch.pairs.shape
        powers = trajectories.discounts(policies.gamma, H)
        to_go = trajectories.rewards_to_go(policies.rewards(batch), policies.gamma)
        ones = np.broadcast_to(powers, (N, H))
        if self.estimator == "reinforce":
            to_go = np.repeat(to_go[:, :1], H, axis=1)
            ones = np.broadcast_to(powers[:1], (N, H))
        if b is None:
            return policies.weighted(batch, to_go, pi)
        if isinstance(b, tuple):
            values = on.number(np.array(b, dtype=object))[batch.states[:, :H]]
            return policies.weighted(batch, to_go - ones * values, pi)
        G, T = policies.weighted(batch, to_go, pi), policies.weighted(batch, ones, pi)
        if not isinstance(b, str):
            return G - on.number(b) * T
        # Summed without the trajectory itself, rather than subtracted: zeros stay zeros.
        rest = 1 - np.eye(N, dtype=int)
        others = (
            rest @ to_go[:, 0] / (N - 1)
            if b == "mean"
            else ratio(rest @ (G * T).sum(axis=1), rest @ (T * T).sum(axis=1))
        )
        return G - others[:, None] * T


def ratio(above: Array, below: Array) -> Array:
    """Quotients, zero where the denominator is."""
    return np.array([a / b if b > 0 else b * 0 for a, b in zip(above, below, strict=True)], dtype=above.dtype)
