r"""Softmax policy gradient over mixtures of given controllers, and its natural version, with exact gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import segments, softmax
from mdpkit.models.canonical import Canonical
from mdpkit.operators.advantages import AdvantageEstimator, ExactAdvantages
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import PolicySolver
from mdpkit.solver import Answer
from mdpkit.typing import Array

__all__ = ["ImproperNaturalActorCritic", "ImproperPolicyGradient", "State"]


class State(NamedTuple):
    """Parameters of the weights of the controllers, and the value of their mixture."""

    theta: Array
    V: Array
    gap: float


@dataclass(frozen=True)
class ImproperPolicyGradient(PolicySolver[State]):
    r"""Softmax policy gradient over the weights of base controllers, the same weights in every state.

    .. math:: \pi(a|s) = \sum_m w_m K_m(a|s), \quad w = \mathrm{softmax}(\theta), \qquad
              \theta_m \leftarrow \theta_m + \eta \sum_s d^\pi_\rho(s)\, w_m \Bigl(\sum_a K_m(a|s) Q^\pi(s,a) - V^\pi(s)\Bigr)

    with the unnormalized discounted visits d. It starts from equal weights. The mixture may be better than every controller;
    the method may also stop at a worse one than the best mixture.

    **Guarantee.** The step is the gradient's: ``improper-rl:gradient``. With the step size
    :math:`(1-\gamma)^2/(7\gamma^2+4\gamma+5)` (recalled), and with any up to
    :math:`4(1-\gamma)^2/(\max r - \min r)`, the value never falls:
    ``improper-rl:monotone``; so some iterate's gradient is small: ``improper-rl:stationary``. Where actions matter in one state
    only, and its best controller is unique, the gap times the number of steps tends to :math:`(M-1)/(M\eta)`:
    ``improper-rl:one-decision``. Otherwise it need not come near the best mixture, whatever was recalled:
    ``improper-rl:global-convergence``, ``improper-rl:two-maxima``.

    Parameters
    ----------
    eta : number
        Step size, positive.
    controllers : nested tuple or array
        Probabilities ``(M, S, A)`` or ``(M, L)``. Left out: controller m takes the m-th action of each state, or the last.
    advantages : AdvantageEstimator
        The critic, exact by default; for a sampled one see :class:`mdpkit.operators.advantages.GAE`.

    References
    ----------
    ``improper-rl`` (abstract seen; step size and rate recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, ImproperPolicyGradient(eta=1.0), max_steps=50)
    >>> bool(sol.last_policy[0, 1] > 0.9)
    True
    """

    cites: ClassVar = ("improper-rl",)
    claims: ClassVar = (
        "improper-rl:gradient",
        "improper-rl:monotone",
        "improper-rl:stationary",
        "improper-rl:one-decision",
        "improper-rl:global-convergence",
        "improper-rl:two-maxima",
    )
    eta: Any = 0.1
    controllers: Any = ()
    advantages: AdvantageEstimator = field(default_factory=ExactAdvantages)

    def __post_init__(self) -> None:
        self.positive("eta")
        object.__setattr__(self, "controllers", _frozen(self.controllers))

    def matrix(self, on: OnPolicy) -> Array:
        """Probabilities of the pairs under each controller, ``(M, L)``.

        Raises
        ------
        OptionError
            If a controller has another shape, or is no policy.
        """
        state, start = on.state, on.pair_ptr[:-1]
        if not self.controllers:
            count = np.diff(on.pair_ptr)
            rows = [np.arange(on.n_pairs) == (start + np.minimum(m, count - 1))[state] for m in range(int(count.max()))]
            return np.array([on.number(row.astype(np.float64)) for row in rows])
        given = np.array(self.controllers, dtype=object)
        mdp = on.problem.mdp
        if given.ndim == 3 and given.shape[1:] == (on.n_states, mdp.n_actions):
            given = given[:, mdp.state, mdp.action]
        if given.ndim != 2 or given.shape[1] != on.n_pairs:
            needed = f"(M, {on.n_states}, {mdp.n_actions}) or (M, {on.n_pairs}) probabilities"
            raise OptionError("the controllers have the wrong shape", found=given.shape, needed=needed)
        plain = given.astype(np.float64)
        sums = np.add.reduceat(plain, start, axis=1)
        if np.any(plain < 0) or np.any(np.abs(sums - 1) > 1e-9):
            m, s = (int(x[0]) for x in np.nonzero(np.abs(sums - 1) > 1e-9)) if np.all(plain >= 0) else (0, 0)
            raise OptionError(
                "a controller is no policy",
                found=f"controller {m}, state {s}: sum {sums[m, s]}" if np.all(plain >= 0) else plain.min(),
                needed="probabilities >= 0 that sum to one in each state",
            )
        return on.number(given)

    def _mixture(self, on: OnPolicy, theta: Array) -> tuple[Array, Array, Array]:
        """The controllers, their weights, and the policy that they make."""
        K = self.matrix(on)
        w = np.exp(softmax.log_softmax(theta, np.array([0, len(theta)])))
        return K, w, w @ K

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Equal weights."""
        on = OnPolicy(problem)
        theta = on.number(np.zeros(len(self.matrix(on))))
        V = on.value(self._mixture(on, theta)[2])
        return State(theta, V, on.gap(V))

    def _gains(self, on: OnPolicy, K: Array, w: Array, pi: Array, q: Array) -> Array:
        """What each controller gains in one step over the mixture, under the mixture's visits, ``(M,)``."""
        d = on.visits(pi)
        own = np.array([d @ segments.mean(k, q, on.pair_ptr) for k in K])
        own = own - own[0]  # relative to one of them, so that small ones keep their digits
        return own - w @ own

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One gradient step, and its mixture's value."""
        on = OnPolicy(problem)
        K, w, pi = self._mixture(on, state.theta)
        # Action values do for advantages here, and the value is known already.
        exact = isinstance(self.advantages, ExactAdvantages)
        gains = self._gains(on, K, w, pi, on.q(state.V) if exact else self.advantages(on, pi, rng))
        theta = state.theta + on.number(self.eta) * self._direction(w, gains)
        V = on.value(self._mixture(on, theta)[2])
        return State(theta, V, on.gap(V))

    def _direction(self, w: Array, gains: Array) -> Array:
        return w * gains

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The mixture's value."""
        on = OnPolicy(problem)
        return Answer(state.V, None, policy=self._mixture(on, state.theta)[2])


@dataclass(frozen=True)
class ImproperNaturalActorCritic(ImproperPolicyGradient):
    r"""Natural policy gradient over the weights of base controllers, with an exact or a sampled critic.

    .. math:: \theta_m \leftarrow \theta_m + \eta \sum_s d^\pi_\rho(s) \Bigl(\sum_a K_m(a|s) Q^\pi(s,a) - V^\pi(s)\Bigr)

    The Fisher information :math:`\mathrm{diag}(w) - ww^\top` of the weights, inverted on the gradient, takes the factor
    :math:`w_m` away: multiplicative weights on the controllers' mean advantages.

    **Guarantee.** The step is the Fisher information's pseudo-inverse times the gradient, up to a constant that changes no
    weight: ``improper-rl:natural-step``. It only preconditions: it keeps the stationary points of the gradient, and so the
    counterexample to global convergence, ``improper-rl:natural-counterexample``.

    *Departures.* The paper's critic is learned by TD(0) and the preconditioned gradient by stochastic descent (recalled);
    here the critic is exact unless ``advantages`` estimates it, and the visits and the preconditioning are exact.

    Parameters
    ----------
    eta : number
        Step size, positive.
    controllers : nested tuple or array
        Probabilities ``(M, S, A)`` or ``(M, L)``. Left out: controller m takes the m-th action of each state, or the last.
    advantages : AdvantageEstimator
        The critic, exact by default; for a sampled one see :class:`mdpkit.operators.advantages.GAE`.

    References
    ----------
    ``improper-rl`` (abstract seen), ``kakade2001``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, ImproperNaturalActorCritic(eta=1.0), max_steps=50)
    >>> bool(sol.last_policy[0, 1] > 0.999)
    True
    """

    cites: ClassVar = ("improper-rl", "kakade2001")
    claims: ClassVar = ("improper-rl:natural-step", "improper-rl:natural-counterexample")

    def _direction(self, w: Array, gains: Array) -> Array:
        return gains


def _frozen(x: Any) -> Any:
    """Nested tuples from nested sequences or an array."""
    nested: Any = x
    return tuple(_frozen(y) for y in nested) if isinstance(x, (list, tuple, np.ndarray)) else x
