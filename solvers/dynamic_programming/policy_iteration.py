r"""Policy iteration: evaluate exactly, improve greedily, change only what gets better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import graph as g
from mdpkit.kernels import improvement, reference
from mdpkit.models.canonical import Canonical
from mdpkit.operators.bellman import Sweeper
from mdpkit.reductions.end_components import Quotient, analyze
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Floats, Ints

__all__ = ["PolicyIteration", "State"]


class State(NamedTuple):
    """A policy with its value: over states, or over the classes of the quotient for total reward."""

    V: Floats
    choice: Ints
    gap: float
    stable: bool
    quotient: Quotient | None
    seen: frozenset[bytes]


@dataclass(frozen=True)
class PolicyIteration(IterativeSolver[State]):
    r"""Howard's policy iteration with sparse direct evaluation.

    .. math:: V_k = (I - \gamma P_{\pi_k})^{-1} r_{\pi_k}, \qquad
              \pi_{k+1}(s) \in \arg\max_a \{ r(s,a) + \gamma \sum_{s'} P(s'|s,a) V_k(s') \}

    A state keeps its action unless another is better by more than rounding, so ties cause no cycles.

    For total reward the same runs on the quotient by end components without reward, from a policy that leaves every
    class almost surely; each policy met does.

    **Guarantee.** :math:`V_{k+1} \ge TV_k \ge V_k`, hence :math:`\|V_k - V^*\| \le \gamma^k \|V_0 - V^*\|` and an end after
    finitely many policies. Checked by ``howard1960:monotone``.

    *Departures.* For total reward the first policy comes from a few sweeps over the strongly connected components, from the
    last to the first, since an improvement of Howard's carries a reward one step back only.

    References
    ----------
    ``howard1960``, ``puterman1994`` (Section 6.4, recalled), ``bertsekas1991`` for total reward.

    Examples
    --------
    >>> import mdpkit as mk
    >>> sol = mk.solve(mk.instances.make("puterman-two-state"), PolicyIteration())
    >>> sol.pi, sol.status
    (Stationary([0, 0]), <Status.SOLVED: 'solved: the stop rule is met, and the bounds are certified'>)
    """

    cites: ClassVar = ("howard1960", "puterman1994", "bertsekas1991")
    claims: ClassVar = ("howard1960:monotone",)
    kinds: ClassVar = ("discounted", "total")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Evaluate the first policy: greedy for the one-step reward, or proper for total reward."""
        if problem.kind == "total":
            q = analyze(problem).quotient
            choice = _swept(q, q.proper_choice())
            return State(improvement.evaluate(q, q.r, choice), choice, np.inf, q.n == 0, q, frozenset())
        choice = reference.greedy(problem.r, problem.pair_ptr)
        return State(Sweeper(problem).solve(choice), choice, np.inf, False, None, frozenset())

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """Improve, then evaluate."""
        q = state.quotient
        if q is not None:
            choice = improvement.improved(q, q.r, state.V, state.choice)
        else:
            values = reference.q_values(problem.P, problem.r, problem.gamma, state.V)
            size = np.abs(state.V) + np.maximum.reduceat(np.abs(problem.r), problem.pair_ptr[:-1])
            choice = reference.greedy_stable(values, problem.pair_ptr, state.choice, improvement.MARGIN * size)
        mark = choice.tobytes()
        if np.array_equal(choice, state.choice) or mark in state.seen:
            return state._replace(stable=True, gap=0.0)
        V = Sweeper(problem).solve(choice) if q is None else improvement.evaluate(q, q.r, choice)
        return State(V, choice, np.inf, False, q, state.seen | {mark})

    def finished(self, state: State) -> bool:
        """Whether the policy was stable."""
        return state.stable

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The policy and its value."""
        q = state.quotient
        if q is None:
            return Answer(state.V, state.choice)
        known = np.zeros(problem.n_states) if q.structure is None else q.structure.infinite.copy()
        if problem.fixed is not None and problem.fixed_value is not None:
            known[problem.fixed] = problem.fixed_value[problem.fixed]
        return Answer(q.expand(state.V, known), q.policy(state.choice))


SWEEPS = 8


def _swept(q: Quotient, choice: Ints) -> Ints:
    """A better start: sweeps from the proper policy's value, component after component from the last to the first.

    A policy's improvement carries a reward one step back; along a row of components a sweep carries it all the way.
    """
    from mdpkit.kernels import fast

    if q.n == 0:
        return choice
    sweep: Any = fast.bound_sweep  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    label, _ = g.strong_components(q.graph)
    order = np.argsort(label[: q.n], kind="stable").astype(np.int64)
    V = improvement.evaluate(q, q.r, choice)
    if not np.all(np.isfinite(V)):
        return choice
    better, margin = choice.copy(), np.zeros(len(q.r))
    for _ in range(SWEEPS):
        _, change = sweep(order, q.pair_ptr, q.indptr, q.indices, q.data, q.r, margin, -1, V, better)
        if change <= improvement.MARGIN:
            break
    return improvement.repair(q, better, choice)
