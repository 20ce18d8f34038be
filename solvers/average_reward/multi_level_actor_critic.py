r"""Actor-critic for the average reward on one path, with multi-level Monte Carlo estimates of its directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import ModelError, OptionError
from mdpkit.kernels import momentum, multilevel, segments, trajectories
from mdpkit.models.canonical import Canonical
from mdpkit.models.sampling import check_count
from mdpkit.operators.log_linear import LogLinear, frozen, generator
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Array, Ints

__all__ = ["Directions", "MultiLevelActorCritic", "State"]


class Directions(NamedTuple):
    """Where the gain, the critic's weights and the actor's parameters are moved."""

    gain: Any
    w: Array
    theta: Array


class State(NamedTuple):
    """Actor, critic and gain; the sum of squares that scales the actor's steps, and where the path has come to.

    ``level`` and ``visited`` are the level and the pairs of the last step, and ``draws`` counts all transitions.
    """

    theta: Array
    w: Array
    gain: Any
    square: Any
    s: int
    log_pi: Array
    gap: float
    k: int
    draws: int
    level: int
    visited: Ints | None


@dataclass(frozen=True)
class MultiLevelActorCritic(IterativeSolver[State]):
    r"""Multi-level actor-critic (MAC): average reward, a softmax policy, a linear critic, a single path.

    .. math::

       g_t &= g^0 + 2^{J}(g^{J} - g^{J-1}) \text{ if } 2^J \le T_{\max}, \text{ else } g^0, \qquad \Pr(J = j) = 2^{-j} \\
       \eta_{t+1} &= \eta_t + \beta_t\, g_t[r - \eta_t], \qquad
       w_{t+1} = \Pi_R\bigl(w_t + \alpha_t\, g_t[\delta\, \phi(s)]\bigr) \\
       \theta_{t+1} &= \theta_t + \frac{\eta}{\sqrt{\sum_{k \le t} \|g_k[\delta \nabla\log\pi]\|^2}}\;
                       g_t[\delta\, \nabla\log\pi_{\theta_t}(a|s)], \qquad
       \delta = r - \eta_t + (\phi(s') - \phi(s))^\top w_t

    with :math:`g^j` the average over the first :math:`2^j` transitions of the path that goes on from the state where the last
    step ended, all under one policy.

    **Guarantee.** The estimate has the mean of the longest average at the cost of :math:`\log_2 T_{\max}` transitions
    (``mac:multi-level``). Its bias is known exactly and falls like the inverse of the length (``mac:bias``); its second moment
    grows with the logarithm of the length, and with the span of the bias function (``mac:second-moment``). In the long run
    the three directions vanish where the gain is right, the critic at its projected fixed point and the actor at a stationary
    point (``mac:directions``). Drawn estimates agree with the exact mean (``mac:sampled``).

    *Departures.* The critic's and the gain's steps fall like a power of t, and the default critic has one feature a state,
    which leaves its level free. States need not communicate: then the path may end in any recurrent class.

    Parameters
    ----------
    eta : number
        Scale of the actor's steps, positive.
    alpha, beta : number
        First step sizes of the critic and of the gain, positive; they fall like :math:`(1+t)^{-\mathtt{power}}`.
    power : number
        At least zero.
    longest : int
        :math:`T_{\max}`, the most transitions of a step.
    radius : number or None
        Of the ball that the critic's weights are kept in.
    features : None, "minimal", or (L, d) numbers
        The actor's: tabular softmax, with the last logit of each state fixed at zero, or of a log-linear policy.
    critic : None or (S, d) numbers
        The critic's features; one for each state by default.

    References
    ----------
    ``mac`` (Algorithm 1, recalled).

    Examples
    --------
    >>> import mdpkit as mk, numpy as np
    >>> mdp = mk.MDP([[[1.0], [1.0]]], [[0.2, 0.8]], mk.AverageReward(), rho=0)
    >>> sol = mk.solve(mdp, MultiLevelActorCritic(eta=1.0, longest=16), max_steps=60, rng=np.random.default_rng(0))
    >>> bool(sol.last_policy[0, 1] > 0.9)
    True
    """

    cites: ClassVar = ("mac",)
    claims: ClassVar = ("mac:multi-level", "mac:bias", "mac:second-moment", "mac:directions", "mac:sampled")
    kinds: ClassVar = ("average",)
    randomized: ClassVar = True
    sublinear: ClassVar = True

    eta: Any = 0.5
    alpha: Any = 0.5
    beta: Any = 0.5
    power: Any = 0.5
    longest: int = 256
    radius: Any = None
    features: Any = None
    critic: Any = None

    def __post_init__(self) -> None:
        self.positive("eta", "alpha", "beta", *(() if self.radius is None else ("radius",)))
        self.not_negative("power")
        check_count(self.longest, "the longest path of a step", 1)
        object.__setattr__(self, "features", frozen(self.features))
        if isinstance(self.critic, str):
            raise OptionError("the critic's features are no matrix", found=self.critic, needed="None, or a row a state")
        object.__setattr__(self, "critic", frozen(self.critic))

    @property
    def most(self) -> int:
        """The highest level that is drawn."""
        return int(self.longest).bit_length() - 1

    def policies(self, problem: Canonical) -> LogLinear:
        """The class of policies on the problem."""
        return LogLinear(OnPolicy(problem), self.features)

    def phi(self, on: OnPolicy) -> Array:
        """The critic's features, ``(S, d)``.

        Raises
        ------
        ModelError
            If they have not a row for each state.
        """
        if self.critic is None:
            return on.number(np.eye(on.n_states))
        if len(self.critic) != on.n_states:
            raise ModelError("critic and states differ in number", found=len(self.critic), needed=f"{on.n_states} rows")
        return on.number(np.array(self.critic, dtype=object))

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The uniform policy, a critic and a gain of zero, and a state from the initial law."""
        policies = self.policies(problem)
        on = policies.on
        theta, zero = policies.zeros(), on.number(0.0)
        law = np.cumsum(segments.floats(on.rho))
        s = int(np.searchsorted(law / law[-1], generator(rng, 0).random(), side="right"))
        w = on.number(np.zeros(self.phi(on).shape[1]))
        return State(theta, w, zero, zero, s, policies.log_pi(theta), np.inf, 0, 0, 0, None)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """Draw a level, follow the policy, and move gain, critic and actor at once."""
        policies = self.policies(problem)
        on, draw = policies.on, generator(rng, state.k + 1)
        level = multilevel.level(draw.random())
        n = multilevel.length(level, self.most)
        pi = np.exp(state.log_pi)
        path = policies.follow(pi, state.s, draw.random((n, 2)))
        pairs, after = path.pairs[0], path.states[0, 1:]
        weights = multilevel.weights(n, on.number(1.0))
        g = self.directions(policies, self.phi(on), pi, state.gain, state.w, pairs, after, weights)
        fall = on.number(float(1 + state.k) ** float(self.power))
        square = state.square + (g.theta * g.theta).sum()
        w = state.w + on.number(self.alpha) / fall * g.w
        if self.radius is not None:
            w = momentum.within(w, on.number(self.radius))
        theta = momentum.adapted(state.theta, g.theta, on.number(self.eta), square)
        gain = state.gain + on.number(self.beta) / fall * g.gain
        k, s = state.k + 1, int(after[-1])
        return State(theta, w, gain, square, s, policies.log_pi(theta), np.inf, k, state.draws + n, level, pairs)

    @staticmethod
    def directions(
        policies: LogLinear, phi: Array, pi: Array, gain: Any, w: Array, pairs: Ints, after: Ints, weights: Array
    ) -> Directions:
        """Weighted sums over transitions of what moves gain, critic and actor.

        Parameters
        ----------
        policies : LogLinear
        phi : (S, d)
        pi : (L,)
        gain : number
        w : (d,)
        pairs, after : (n,) int
            The pairs, and the states that follow them.
        weights : (n,)
            Those of the multi-level estimate; or the law of the transitions, for the mean.
        """
        on = policies.on
        values, before = phi @ w, on.state[pairs]
        off = on.r[pairs] - gain
        credit = weights * (off + values[after] - values[before])
        by_pair = trajectories.counts(pairs[None], credit[None], on.n_pairs)
        by_state = segments.total(by_pair[:, 0], on.pair_ptr)
        score = trajectories.scores(by_pair, pi, policies.ptr)
        return Directions((weights * off).sum(), phi.T @ by_state, policies.project(score)[:, 0])

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The policy, with the critic's values as relative values."""
        return Answer(self.phi(OnPolicy(problem)) @ state.w, None, policy=np.exp(state.log_pi))
