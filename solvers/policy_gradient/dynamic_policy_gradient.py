r"""Softmax policy gradient over a finite horizon: all stages at once, or one after another from the last; exact or sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import segments, softmax
from mdpkit.models.canonical import Canonical
from mdpkit.models.sampling import GenerativeModel, check_count, check_generator
from mdpkit.operators.on_stages import OnStages
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Array, Floats, Ints

__all__ = [
    "DynamicPolicyGradient",
    "SimultaneousPolicyGradient",
    "State",
    "StochasticDynamicPolicyGradient",
    "StochasticSimultaneousPolicyGradient",
]


class State(NamedTuple):
    """Parameters of all stages with the values of their policy; the stage to be trained next, and steps made in it."""

    theta: Array
    V: Array
    stage: int
    done: int
    draws: int
    gap: float


def _policy(theta: Array, on: OnStages) -> Array:
    return np.exp(softmax.log_softmax(theta, on.pair_ptr))


@dataclass(frozen=True)
class _StagePolicyGradient(IterativeSolver[State]):
    kinds: ClassVar = ("finite",)
    needs: ClassVar = "at least one stage and no states of known value"
    sublinear: ClassVar = True

    eta: Any = 0.5

    def __post_init__(self) -> None:
        self.positive("eta")

    def accepts(self, problem: Canonical) -> bool:
        """Whether the problem has stages, and rewards rather than states of known value."""
        return super().accepts(problem) and bool(problem.H) and problem.fixed is None

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The uniform policy of every stage."""
        on = OnStages(problem)
        theta = np.tile(on.number(np.zeros(on.n_pairs)), (on.H, 1))
        V = on.value(on.uniform())
        return State(theta, V, on.H - 1, 0, 0, on.gap(V))

    def _moved(self, on: OnStages, theta: Array, h: int, spread: int, gradient: Array) -> Array:
        """Parameters of stage h, moved by ``eta`` over the spread of returns from stage ``spread`` on."""
        B = on.spreads[spread]
        return theta[h] if B == 0 else theta[h] + on.number(self.eta) / B * gradient

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The policy's values, and what is greedy for them."""
        on = OnStages(problem)
        pi = np.array([_policy(theta, on) for theta in state.theta])
        return Answer(state.V, on.greedy(state.V), policy=pi)


@dataclass(frozen=True)
class DynamicPolicyGradient(_StagePolicyGradient):
    r"""Softmax policy gradient trained backward in time: each stage against the policies already trained after it.

    .. math:: \theta_h(s,a) \leftarrow \theta_h(s,a) + \frac{\eta}{B_h}\, \mu_h(s)\, \pi_h(a|s)\, A_h^{\pi}(s,a)
              \quad \text{for } h = H-1, \dots, 0

    ``steps`` times for each stage, with :math:`B_h` the spread of returns from stage h on, :math:`(H-h)R^*` for rewards in
    :math:`[0, R^*]`. The step is along the gradient of the mean of :math:`V_h` under :math:`\mu_h`, the policies of the later
    stages held fixed, so that each stage is a softmax bandit with contexts. It starts from the uniform policy. After the first
    stage it begins again at the last one, from where it is.

    **Guarantee.** In the first pass the step is the gradient's: ``dynpg:gradient``. It satisfies a weak
    Polyak--Lojasiewicz inequality with the least probability of a best action, which never falls below 1/\|A\|:
    ``dynpg:weak-pl``; ascends for :math:`\eta \le 2`: ``dynpg:ascent``; and comes within :math:`4 B_h |S| |A|^2 / n` of the
    best response to the later stages with :math:`\eta = 1/2`: ``dynpg:rate``. Sharply, :math:`n\delta_n` tends to
    :math:`|S|(|A|-1)/(|A|\,\eta/B_h)` whatever :math:`\mu_h` and the rewards, where best actions are unique:
    ``dynpg:sharp-rate``, ``dynpg:sharp-limit``. The errors of the stages add up: ``dynpg:sum-over-stages``. The number of
    steps to a given accuracy grows like :math:`H^3`: ``dynpg:horizon``.

    *Departures.* The step is in units of :math:`1/B_h`; :math:`\eta = 1/2` is the paper's :math:`1/(2(H-h)R^*)` (recalled).
    The paper makes one pass.

    Parameters
    ----------
    eta : number
        Step size times the spread of returns, positive.
    steps : int
        Gradient steps of a stage before the one before it is trained.
    mu : tuple of numbers
        Law of the state in which each stage is trained, positive everywhere; uniform where it is left out.

    References
    ----------
    ``dynpg`` (abstract seen; step size recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("puterman-inventory")
    >>> sol = mk.solve(mdp, DynamicPolicyGradient(eta=2.0, steps=50), max_steps=150)
    >>> sol.status.ok, sol.last_policy.shape
    (True, (3, 4, 4))
    """

    cites: ClassVar = ("dynpg",)
    claims: ClassVar = (
        "dynpg:gradient",
        "dynpg:weak-pl",
        "dynpg:ascent",
        "dynpg:rate",
        "dynpg:sharp-rate",
        "dynpg:sharp-limit",
        "dynpg:sum-over-stages",
        "dynpg:horizon",
    )

    steps: int = 100
    mu: Any = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.steps, "the number of steps of a stage", 1)
        mu = tuple(self.mu)
        if mu and not (all(x > 0 for x in mu) and abs(sum(mu) - 1) <= 1e-9):
            raise OptionError(
                "mu is no law that is positive everywhere", found=mu, needed="probabilities > 0 with sum 1"
            )
        object.__setattr__(self, "mu", mu)

    def law(self, on: OnStages) -> Array:
        """The law of the state in which a stage is trained, ``(S,)``.

        Raises
        ------
        OptionError
            If ``mu`` has another length than the number of states.
        """
        if not self.mu:
            return on.uniform_law()
        if len(self.mu) != on.n_states:
            raise OptionError("mu has the wrong length", found=len(self.mu), needed=f"{on.n_states} probabilities")
        return np.array([on.number(x) for x in self.mu])

    def _gradient(self, on: OnStages, state: State, h: int, rng: np.random.Generator | None) -> tuple[Array, int]:
        pi = _policy(state.theta[h], on)
        return segments.spread(self.law(on), on.pair_ptr) * pi * on.advantage(h, pi, state.V), 0

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One gradient step of one stage."""
        on = OnStages(problem)
        h = state.stage
        gradient, draws = self._gradient(on, state, h, rng)
        theta = state.theta.copy()
        theta[h] = self._moved(on, theta, h, h, gradient)
        V = on.value([_policy(theta[j], on) for j in range(h + 1)], state.V, h + 1)
        stage, done = h, state.done + 1
        if done == self.steps:
            stage, done = (h - 1) % on.H, 0
        return State(theta, V, stage, done, state.draws + draws, on.gap(V))


@dataclass(frozen=True)
class SimultaneousPolicyGradient(_StagePolicyGradient):
    r"""Softmax policy gradient over a finite horizon that moves the parameters of all stages at once.

    .. math:: \theta_h(s,a) \leftarrow \theta_h(s,a) + \frac{\eta}{B_0}\, d_h^{\pi}(s)\, \pi_h(a|s)\, A_h^{\pi}(s,a)
              \quad \text{for all } h

    with the discounted laws :math:`d_h^\pi` of the states from the model's initial law, which is the gradient of
    :math:`V_0^\pi(\rho)`, and the spread :math:`B_0` of returns. It starts from the uniform policy.

    **Guarantee.** The step is the gradient's: ``dynpg:simultaneous-gradient``. The objective is :math:`B_0/2`-smooth, so that
    it ascends for :math:`\eta \le 2`, and its gap is at most :math:`2\beta H |S| D^2/(c^2 n)` with :math:`\beta = B_0/\eta`,
    D the largest ratio of the optimal policy's visits to its own, and c the least probability of an optimal action along the
    run: ``dynpg:simultaneous-rate``.

    *Departures.* The paper's step is :math:`1/(H^2 R^* (2 - 1/|A|))` (recalled), that is
    :math:`\eta = 1/(H(2 - 1/|A|))` here; larger ones are allowed by a better bound of the curvature (derived).

    Parameters
    ----------
    eta : number
        Step size times the spread of returns, positive.

    References
    ----------
    ``dynpg`` (abstract seen; step size recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("puterman-inventory")
    >>> mk.solve(mdp, SimultaneousPolicyGradient(eta=2.0), max_steps=300).status.ok
    True
    """

    cites: ClassVar = ("dynpg",)
    claims: ClassVar = ("dynpg:simultaneous-gradient", "dynpg:simultaneous-rate")

    def _gradients(self, on: OnStages, state: State, rng: np.random.Generator | None) -> tuple[list[Array], int]:
        pi = np.array([_policy(theta, on) for theta in state.theta])
        d = on.visits(pi)
        return [segments.spread(d[h], on.pair_ptr) * pi[h] * on.advantage(h, pi[h], state.V) for h in range(on.H)], 0

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One gradient step of all stages."""
        on = OnStages(problem)
        gradients, draws = self._gradients(on, state, rng)
        theta = state.theta.copy()
        for h, gradient in enumerate(gradients):
            theta[h] = self._moved(on, theta, h, 0, gradient)
        V = on.value(np.array([_policy(x, on) for x in theta]))
        return State(theta, V, state.stage, state.done + 1, state.draws + draws, on.gap(V))


# -- sampled ---------------------------------------------------------------------------------------------------------


def _rollout(
    on: OnStages, theta: Array, first: int, law: Array, batch: int, seed: int, rng: np.random.Generator | None
) -> tuple[list[Ints], list[Floats], int]:
    """Pairs of each stage from ``first`` on, and the returns from each, of ``batch`` trajectories; and draws made."""
    from mdpkit.kernels import sampling

    rng = np.random.default_rng(seed) if rng is None else check_generator(rng)
    kernels: Any = sampling
    mdp, H = on.problem.mdp, on.H
    oracle = GenerativeModel(mdp)
    start = np.cumsum(np.asarray(law, dtype=np.float64))
    s: Ints = np.searchsorted(start / start[-1], rng.random(batch), side="right")
    pairs: list[Ints] = []
    rewards: list[Floats] = []
    for h in range(first, H):
        pi = _policy(theta[h], on)
        pair = kernels.draw(s, rng.random(batch), on.pair_ptr, kernels.cumulative(on.pair_ptr, pi))
        s, paid = oracle.sample_pairs(pair, rng, stage=h if mdp.stages is not None else None)
        pairs.append(pair)
        rewards.append(on.problem.sign * paid)
    returns: list[Floats] = []
    to_go = on.terminal[s]
    for pair, paid in zip(reversed(pairs), reversed(rewards), strict=True):
        to_go = paid + on.gamma[pair] * to_go
        returns.append(to_go)
    return pairs, returns[::-1], oracle.calls


def _score_weighted(on: OnStages, pi: Array, pair: Ints, weights: Floats) -> Array:
    r"""The mean over a batch of :math:`\nabla \log \pi(a|s)` times a weight, ``(L,)``."""
    hit = np.bincount(pair, weights, minlength=on.n_pairs)
    return (hit - pi * segments.spread(segments.total(hit, on.pair_ptr), on.pair_ptr)) / len(pair)


@dataclass(frozen=True)
class StochasticDynamicPolicyGradient(DynamicPolicyGradient):
    r"""Softmax policy gradient trained backward in time with sampled gradients.

    .. math:: \theta_h \leftarrow \theta_h + \frac{\eta}{B_h} \cdot \frac{1}{K} \sum_{i \le K}
              \nabla \log \pi_h(a^i|s^i) \sum_{j \ge h} \gamma^{j-h} r_j^i, \qquad s^i \sim \mu_h,\; a^i \sim \pi_h

    The K trajectories of a step go on with the policies already trained.

    **Guarantee.** The estimate has the exact gradient of ``DynamicPolicyGradient`` as its mean:
    ``dynpg:sampled-gradient``.

    *Departures.* The exact value of the policy is carried along, for the certificate alone.

    Parameters
    ----------
    eta : number
        Step size times the spread of returns, positive.
    steps : int
        Gradient steps of a stage before the one before it is trained.
    mu : tuple of numbers
        Law of the state in which each stage is trained; uniform where it is left out.
    batch : int
        Trajectories a step.

    References
    ----------
    ``dynpg`` (abstract seen), ``williams1992``.

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> mdp = mk.instances.make("puterman-inventory")
    >>> solver = StochasticDynamicPolicyGradient(eta=2.0, steps=50, batch=200)
    >>> mk.solve(mdp, solver, max_steps=150, rng=np.random.default_rng(0)).steps <= 150
    True
    """

    cites: ClassVar = ("dynpg", "williams1992")
    claims: ClassVar = ("dynpg:sampled-gradient",)
    randomized: ClassVar = True

    batch: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.batch, "the number of trajectories of a batch", 1)

    def _gradient(self, on: OnStages, state: State, h: int, rng: np.random.Generator | None) -> tuple[Array, int]:
        pairs, returns, draws = _rollout(on, state.theta, h, self.law(on), self.batch, state.draws, rng)
        return _score_weighted(on, _policy(state.theta[h], on), pairs[0], returns[0]), draws


@dataclass(frozen=True)
class StochasticSimultaneousPolicyGradient(SimultaneousPolicyGradient):
    r"""Softmax policy gradient of all stages at once with sampled gradients.

    .. math:: \theta_h \leftarrow \theta_h + \frac{\eta}{B_0} \cdot \frac{1}{K} \sum_{i \le K} \gamma^h\,
              \nabla \log \pi_h(a_h^i|s_h^i) \sum_{j \ge h} \gamma^{j-h} r_j^i

    from K trajectories a step, started from the model's initial law.

    **Guarantee.** The estimate has the exact gradient as its mean: ``dynpg:sampled-simultaneous-gradient``.

    *Departures.* The exact value of the policy is carried along, for the certificate alone.

    Parameters
    ----------
    eta : number
        Step size times the spread of returns, positive.
    batch : int
        Trajectories a step.

    References
    ----------
    ``dynpg`` (abstract seen), ``williams1992``.

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> mdp = mk.instances.make("puterman-inventory")
    >>> solver = StochasticSimultaneousPolicyGradient(eta=1.0, batch=200)
    >>> mk.solve(mdp, solver, max_steps=100, rng=np.random.default_rng(0)).steps <= 100
    True
    """

    cites: ClassVar = ("dynpg", "williams1992")
    claims: ClassVar = ("dynpg:sampled-simultaneous-gradient",)
    randomized: ClassVar = True

    batch: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.batch, "the number of trajectories of a batch", 1)

    def _gradients(self, on: OnStages, state: State, rng: np.random.Generator | None) -> tuple[list[Array], int]:
        pairs, returns, draws = _rollout(on, state.theta, 0, on.rho, self.batch, state.draws, rng)
        discount = on.gamma[0]
        return [
            discount**h * _score_weighted(on, _policy(state.theta[h], on), pairs[h], returns[h]) for h in range(on.H)
        ], draws
