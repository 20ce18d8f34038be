r"""Actor-critic: a policy that follows a critic's advantages, and a critic that learns by temporal differences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import segments, trajectories
from mdpkit.models.canonical import Canonical
from mdpkit.operators.log_linear import LogLinear, generator
from mdpkit.operators.sampled_solver import SampledPolicyGradient, valued
from mdpkit.typing import Array, Ints

__all__ = ["ActorCritic", "State"]


class State(NamedTuple):
    """Parameters and critic, the pair that comes next, and the pairs that the last step visited.

    ``V`` is an exact evaluation, which the method itself never reads.
    """

    theta: Array
    Q: Array
    pair: int
    log_pi: Array
    V: Array
    gap: float
    k: int
    draws: int
    visited: Ints | None


@dataclass(frozen=True)
class ActorCritic(SampledPolicyGradient):
    r"""Actor-critic with a generative model: TD(0) on action values, and a policy gradient with the critic's advantages.

    .. math::

       Q(s,a) &\leftarrow Q(s,a) + \alpha \bigl(r(s,a) + \gamma Q(s',a') - Q(s,a)\bigr) \\
       \theta &\leftarrow \theta + \frac{\eta}{(1-\gamma) n} \sum_{i=1}^n
                 \Bigl(Q(s_i,a_i) - \sum_b \pi_\theta(b|s_i) Q(s_i,b)\Bigr) \nabla \log \pi_\theta(a_i|s_i)

    A step follows the policy for n transitions; after each, with probability :math:`1-\gamma`, it starts again from
    the initial law, so that states are visited by the discounted occupancy. The critic is updated at once, the actor
    at the end of the step. The start is the uniform policy and a critic of zero.

    **Guarantee.** The critic's mean update vanishes at :math:`Q^\pi`, where the actor's mean is the policy gradient
    (``konda2000:mean-direction``); the gradient sees of a critic only its projection on the compatible features
    (``konda2000:projection``), and the best compatible critic gives it exactly (``sutton2000:compatible``).

    *Departures.* The critic is a table, and both step sizes are constant; the paper's critic is linear, and its step
    sizes fall.

    Parameters
    ----------
    eta : number
        Step size of the actor, positive.
    features : None, "minimal", or (L, d) numbers
        Tabular softmax, tabular softmax with the last logit of each state fixed at zero, or the features of a
        log-linear policy.
    length : int, optional
        Transitions a step; by default such that a hundredth of the discounted weight lies beyond.
    alpha : number
        Step size of the critic, in (0, 1].

    References
    ----------
    ``konda2000``, ``sutton2000``.

    Examples
    --------
    >>> import mdpkit as mk, numpy as np
    >>> mdp = mk.MDP([[[1.0], [1.0]]], [[0.2, 0.8]], mk.Discounted("1/2"), rho=0)
    >>> sol = mk.solve(mdp, ActorCritic(eta=1.0, length=10), max_steps=100, rng=np.random.default_rng(0))
    >>> bool(sol.last_policy[0, 1] > 0.9)
    True
    """

    cites: ClassVar = ("konda2000", "sutton2000")
    claims: ClassVar = ("konda2000:mean-direction", "konda2000:projection", "sutton2000:compatible")

    eta: Any = 0.1
    alpha: Any = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.alpha <= 1:
            raise OptionError("the critic's step size alpha is out of range", found=self.alpha, needed="(0, 1]")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The uniform policy, a critic of zero, and a first pair."""
        policies = self.policies(problem)
        theta = policies.zeros()
        rest = valued(policies, theta)
        pair = self._start(policies, segments.floats(np.exp(rest[0])), generator(rng, 0).random(2))
        return State(theta, policies.on.number(np.zeros(policies.on.n_pairs)), pair, *rest, 0, 0, None)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """Follow the policy, learn its values, and improve it."""
        policies = self.policies(problem)
        n = self.horizon(policies)
        on, P = policies.on, problem.mdp.P
        pi = np.exp(state.log_pi)
        law, Q, pair = segments.floats(pi), state.Q.copy(), state.pair
        alpha, stay = on.number(self.alpha), segments.floats(problem.gamma)[0]
        visited = np.empty(n, dtype=np.int64)
        weights = on.number(np.zeros(on.n_pairs))
        for i, u in enumerate(generator(rng, state.k + 1).random((n, 5))):
            visited[i] = pair
            row = slice(P.indptr[pair], P.indptr[pair + 1])
            s = int(P.indices[row][np.searchsorted(P.cumulative[row], u[0], side="right")])
            after = _choose(on.pair_ptr, law, s, u[1])
            Q[pair] = Q[pair] + alpha * (on.r[pair] + policies.gamma * Q[after] - Q[pair])
            weights[pair] = weights[pair] + self.advantage(policies, Q, pi, pair)
            pair = after if u[2] < stay else self._start(policies, law, u[3:])
        direction = policies.project(trajectories.scores(weights[:, None], pi, on.pair_ptr))[:, 0]
        theta = state.theta + on.number(self.eta) / ((1 - policies.gamma) * n) * direction
        return State(theta, Q, pair, *valued(policies, theta), state.k + 1, state.draws + n, visited)

    @staticmethod
    def advantage(policies: LogLinear, Q: Array, pi: Array, pair: int) -> Any:
        """The critic's advantage of a pair."""
        s = policies.on.state[pair]
        here = slice(policies.ptr[s], policies.ptr[s + 1])
        return Q[pair] - (pi[here] * Q[here]).sum()

    @staticmethod
    def _start(policies: LogLinear, law: Array, u: Array) -> int:
        total = np.cumsum(segments.floats(policies.on.rho))
        return _choose(policies.ptr, law, _place(total, u[0]), u[1])


def _choose(pair_ptr: Ints, law: Array, s: int, u: float) -> int:
    return int(pair_ptr[s]) + _place(np.cumsum(law[pair_ptr[s] : pair_ptr[s + 1]]), u)


def _place(total: Array, u: float) -> int:
    place: Any = np.searchsorted(total / total[-1], u, side="right")
    return int(place)
