r"""Off-policy evaluation with eligibility traces that may look at the whole trajectory: expected, and along a trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.models.sampling import check_count
from mdpkit.operators import multistep
from mdpkit.operators.task import Task, Transition
from mdpkit.operators.trace_rules import RecencyBounded, TraceRule
from mdpkit.solver import Estimator
from mdpkit.typing import Array, Ints

__all__ = ["MultistepEvaluation", "OnlineTraces", "Replayed", "Traced"]

USUAL = RecencyBounded(Fraction(9, 10))


class Traced(NamedTuple):
    """Action values, with the weights that errors have for each pair."""

    Q: Array
    eligibility: Array
    k: int
    draws: int = 0


class Replayed(NamedTuple):
    """Action values along a trajectory, those that errors are taken from, and the traces of the pairs behind."""

    Q: Array
    source: Array
    s: int
    pairs: Ints
    memory: Array
    discount: Array
    k: int
    draws: int


@dataclass(frozen=True)
class MultistepEvaluation(Estimator[Traced]):
    r"""Value iteration with the multistep operator of a trace rule: expected off-policy evaluation.

    .. math:: Q_{k+1}(x) = Q_k(x) + E_\mu\Bigl[ \sum_{t<T} \gamma^t \beta_t \bigl( r(x_t) + \gamma E_\pi
              Q_k(s_{t+1}, \cdot) - Q_k(x_t) \bigr) \Bigm| x_0 = x \Bigr], \qquad \beta_0 = 1

    The rule says how the weight :math:`\beta_t` of the pair :math:`x_0` changes with what follows it:
    :class:`~mdpkit.operators.trace_rules.RecencyBounded` (RBIS), ``Retrace``, ``RecursiveRetrace``,
    ``TruncatedImportanceSampling``, ``TreeBackup``, ``FullTrace`` (Q(lambda)), ``ClippedTrace`` (V-trace), ``PerDecision``,
    ``ImportanceSampling``, or one of your own. All histories are followed, and those that end alike are put together.

    **Guarantee.** The iterates are those of the operator, whose fixed point is :math:`Q^\pi`, ``rbis:operator``. Where
    :math:`0 \le \beta_t \le \rho_t \beta_{t-1}` (``rbis:condition`` says which rules keep to it),
    :math:`\|Q_k - Q^\pi\|_\infty \le c^k \|Q_0 - Q^\pi\|_\infty` with
    :math:`c = \max_x \{\gamma - (1-\gamma) \sum_{1 \le t < T} \gamma^t E_x \beta_t\} \le \gamma`, and no smaller c will do,
    ``rbis:norm``. Of all such rules with :math:`\beta_t \le \lambda^t` RBIS has the least c, ``rbis:least-norm``. Without the
    condition the operator need not contract: ``rbis:truncated-importance-sampling``, ``rbis:binary-traces``.

    *Departures.* Credit ends after T lags, which makes another rule with the same fixed point; per-decision rules go without.
    The features of a task only say whether values or action values are asked for: the method is tabular.

    Parameters
    ----------
    rule : TraceRule
    horizon : int or None
        T, the number of lags, 1 for the Bellman operator itself; None for all of them, with per-decision rules.

    References
    ----------
    ``rbis`` (Conditions and Counterexamples by their numbers in the authors' code), ``munos2016``, ``precup2000``,
    ``harutyunyan2016``, ``espeholt2018``.

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> target, behavior = np.array([[0.1, 0.9]] * 4), np.full((4, 2), 0.5)
    >>> found = mk.estimate(mdp, target, MultistepEvaluation(), steps=60, behavior=behavior)
    >>> bool(found.error < 1e-6)
    True
    """

    cites: ClassVar = ("rbis", "munos2016", "precup2000", "harutyunyan2016", "espeholt2018")
    claims: ClassVar = (
        "rbis:operator",
        "rbis:condition",
        "rbis:norm",
        "rbis:least-norm",
        "rbis:truncated-importance-sampling",
        "rbis:binary-traces",
    )

    rule: TraceRule = USUAL
    horizon: int | None = 8

    def __post_init__(self) -> None:
        _check(self.rule, self.horizon)

    def init(self, task: Task, rng: np.random.Generator | None = None) -> Traced:
        """Action values zero."""
        operator = multistep.Multistep(task, self.rule, self.horizon)
        return Traced(task.on.number(np.zeros(task.n_pairs)), operator.eligibility, 0)

    def step(self, task: Task, state: Traced, rng: np.random.Generator | None = None) -> Traced:
        """The operator once."""
        Q = state.Q + state.eligibility @ multistep.errors(task, state.Q)
        return state._replace(Q=Q, k=state.k + 1)

    def answer(self, task: Task, state: Traced) -> Array:
        """Action values, or their means under the target."""
        return _nodes(task, state.Q)

    def fixed_point(self, task: Task) -> Array | None:
        """The value itself; None for rules that may not converge to it."""
        return task.truth if self.rule.lawful else None


@dataclass(frozen=True)
class OnlineTraces(Estimator[Replayed]):
    r"""The same traces along one trajectory of the behavior: the backward view.

    .. math:: Q(x_k) \leftarrow Q(x_k) + \eta\, \gamma^{t-k} \beta_{k,t}\, \delta_t \quad (t - T < k \le t), \qquad
              \delta_t = r(x_t) + \gamma E_\pi Q(s_{t+1}, \cdot) - Q(x_t)

    A trace for each of the last T pairs is kept, since a rule may need its whole past. A step is one transition.

    **Guarantee.** With errors taken from the action values at the start of a block of n transitions, what a block adds is on
    average :math:`\eta \sum_k \Pr(x_k = x) (M_{n-k} Q - Q)(x)`, with :math:`M_j` the operator of
    :class:`MultistepEvaluation` cut after min(j, T) lags, ``rbis:backward-view``; the steps are those written above,
    ``rbis:online``.

    Parameters
    ----------
    rule : TraceRule
    eta : number
        Step size, positive.
    horizon : int
        T, how many of the last pairs are given credit.
    refresh : int
        After so many transitions errors are taken from the action values of the moment: 1 is online.

    References
    ----------
    ``rbis`` (section 4 and the authors' code, seen).

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> mdp = mk.instances.make("random-dense", S=3, A=2, gamma="1/2", seed=1)
    >>> target, behavior = np.array([[0.1, 0.9]] * 3), np.full((3, 2), 0.5)
    >>> rng = np.random.default_rng(0)
    >>> found = mk.estimate(mdp, target, OnlineTraces(eta=0.02), steps=3000, behavior=behavior, rng=rng)
    >>> bool(found.error < 0.1 * max(abs(found.exact)))
    True
    """

    cites: ClassVar = ("rbis",)
    claims: ClassVar = ("rbis:backward-view", "rbis:online")
    randomized: ClassVar = True

    rule: TraceRule = USUAL
    eta: Any = 0.1
    horizon: int = 32
    refresh: int = 1

    def __post_init__(self) -> None:
        self.positive("eta")
        _check(self.rule, self.horizon)
        check_count(self.horizon, "horizon", 1)
        check_count(self.refresh, "refresh", 1)

    def init(self, task: Task, rng: np.random.Generator | None = None) -> Replayed:
        """Action values zero, at a state drawn from the initial law."""
        return self.begin(task, task.start(rng))

    def begin(self, task: Task, s: int) -> Replayed:
        """Action values zero, at a state."""
        Q = task.on.number(np.zeros(task.n_pairs))
        return Replayed(Q, Q, s, np.empty(0, dtype=np.int64), np.array(self.rule.start(Q[:0])), Q[:0], 0, 0)

    def step(self, task: Task, state: Replayed, rng: np.random.Generator | None = None) -> Replayed:
        """One transition of the behavior."""
        after = self.observe(task, state, task.draw(state.s, rng))
        return after._replace(draws=state.draws + 1)

    def observe(self, task: Task, state: Replayed, seen: Transition) -> Replayed:
        """The state after a transition, whoever drew it; in the arithmetic of the task."""
        rule, x = self.rule.converted(task.on.number), seen.pair
        value = task.on.mean(task.pi, state.source)[seen.next_state]
        delta = task.on.r[x] + task.gamma * value - state.source[x]
        behind = np.full(len(state.pairs), x)
        old = rule.advance(tuple(state.memory), task.ratio[behind], task.pi[behind], behind)
        new = rule.start(task.pi[x : x + 1])
        memory = np.array([np.concatenate(parts) for parts in zip(old, new, strict=True)])[:, -self.horizon :]
        discount = np.concatenate([task.gamma * state.discount, new[0]])[-self.horizon :]
        pairs = np.append(state.pairs, x)[-self.horizon :]
        Q = state.Q.copy()
        np.add.at(Q, pairs, task.on.number(self.eta) * delta * (discount * memory[0]))
        k = state.k + 1
        source = Q if k % self.refresh == 0 else state.source
        return Replayed(Q, source, seen.next_state, pairs, memory, discount, k, state.draws)

    def answer(self, task: Task, state: Replayed) -> Array:
        """Action values, or their means under the target."""
        return _nodes(task, state.Q)


def _nodes(task: Task, Q: Array) -> Array:
    return Q if task.by_pairs else task.on.mean(task.pi, Q)


def _check(rule: Any, horizon: Any) -> None:
    if not isinstance(rule, TraceRule):
        raise OptionError(
            "this is no rule of traces",
            found=repr(rule),
            needed="a rule such as mdpkit.operators.trace_rules.RecencyBounded(0.9)",
        )
    if horizon is not None:
        check_count(horizon, "horizon", 1)
