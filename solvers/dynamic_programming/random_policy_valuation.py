r"""Random policy valuation: the values of the uniform policy, and one greedy or soft step from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mdpkit.kernels import reference, segments, softmax
from mdpkit.models.arithmetic import arithmetic_of, number
from mdpkit.models.canonical import Canonical
from mdpkit.models.transitions import check_memory
from mdpkit.solver import Answer, DirectSolver
from mdpkit.typing import Array

__all__ = ["RandomPolicyValuation"]


@dataclass(frozen=True)
class RandomPolicyValuation(DirectSolver):
    r"""Random policy valuation (ROVER): one backward pass of the uniform policy, then greedy or softmax in its action values.

    .. math:: Q_u(s,a) = r(s,a) + \sum_{s'} P(s'|s,a) \frac{1}{|A(s')|} \sum_{a'} Q_u(s', a'), \qquad
              \pi_\rho(a|s) \propto \exp\bigl(Q_u(s,a)/\rho\bigr)

    One step of policy iteration from the uniform policy, with no iteration to follow.

    **Guarantee.** Where transitions are deterministic and every path pays 0 or R in all, the greedy policy is optimal
    (``rover:greedy``): :math:`Q_u(s,a) > 0` exactly if a path from there is paid. That needs no tree (``rover:graphs``), but
    rewards of one size (``rover:graded``) and certain transitions (``rover:stochastic``). The softmax policy at temperature
    :math:`\rho` loses what it gives to worthless actions in key states, where some but not all actions are worthless:
    :math:`V^{\pi_\rho} \ge R\bigl(1 - \sum_{s \text{ key}} \Pr(s) \frac{N(s)}{N(s) + \exp(\max_a Q_u(s,a)/\rho)}\bigr)`, with
    N(s) their number (``rover:softmax``), if a path from the start is paid at all (``rover:unsolvable``). On the paper's tree
    the numbers are in closed form (``rover:didactic-tree``).

    *Departures.* The paper fits :math:`Q_u` with the logits of a language model; here it is computed.

    Parameters
    ----------
    temperature : number
        Temperature rho of the softmax policy in ``last_policy``; 0 for the greedy policy alone.
    anywhere : bool
        Accept every problem with a finite horizon, without guarantee.

    References
    ----------
    ``rover`` (Theorems 3.1 and 3.2, seen).

    Examples
    --------
    >>> import mdpkit as mk
    >>> sol = mk.solve(mk.instances.make("rover-tree"), RandomPolicyValuation(temperature=0.1))
    >>> sol.status.ok, float(sol.V[0, 0]), np.round(sol.last_policy[1][1], 3)
    (True, 1.0, array([0.066, 0.066, 0.802, 0.066]))
    """

    cites: ClassVar = ("rover",)
    claims: ClassVar = (
        "rover:greedy",
        "rover:graphs",
        "rover:graded",
        "rover:stochastic",
        "rover:softmax",
        "rover:unsolvable",
        "rover:didactic-tree",
    )
    kinds: ClassVar = ("finite",)
    needs: ClassVar = "deterministic transitions and rewards of one size, at most one on each path"

    temperature: Any = 0.0
    anywhere: bool = False

    def __post_init__(self) -> None:
        self.not_negative("temperature")

    def accepts(self, problem: Canonical) -> bool:
        """Whether the greedy policy is known to be optimal, or the problem has a finite horizon and ``anywhere`` is set."""
        return super().accepts(problem) and (self.anywhere or verifiable(problem))

    def run(self, problem: Canonical, rng: np.random.Generator | None = None) -> Answer:
        """One pass over the stages, from the last to the first."""
        H, S, L = problem.H, problem.n_states, len(problem.state)
        assert H is not None and problem.terminal is not None
        check_memory(8.0 * (S * (2 * H + 3) + L * H), f"values and policies of {H} stages and {S} states")
        ptr = problem.pair_ptr
        uniform = number(problem, np.ones(L)) / np.diff(ptr)[problem.state]
        V = np.empty((H + 1, S), dtype=problem.r.dtype)
        choice, policy = np.empty((H, S), dtype=np.int64), np.empty((H, L), dtype=problem.r.dtype)
        V[H] = problem.terminal
        for h in range(H - 1, -1, -1):
            q = reference.q_values(*_stage(problem, h), problem.gamma, V[h + 1])
            V[h] = segments.mean(uniform, q, ptr)
            if problem.fixed is not None and problem.fixed_value is not None:
                V[h][problem.fixed] = number(problem, problem.fixed_value[problem.fixed])
            choice[h] = reference.greedy(_comparable(problem, q), ptr)
            if self.temperature > 0:
                policy[h] = np.exp(softmax.log_softmax(q / number(problem, self.temperature), ptr))
        return Answer(V, choice, steps=H, policy=policy if self.temperature > 0 else None)


def verifiable(problem: Canonical) -> bool:
    """Whether transitions are deterministic, rewards are 0 or one positive number, and no path is paid twice."""
    P, r, terminal = problem.P, problem.r, problem.terminal
    if terminal is None or np.any(problem.gamma != 1) or P.nnz != P.n_rows:
        return False
    paid = np.concatenate((r, terminal))
    R = float(paid.max(initial=0.0))
    if not R > 0 or not np.all((paid == 0) | (paid == R)):
        return False
    V, L = terminal.astype(np.float64), len(problem.state)
    for h in range((problem.H or 0) - 1, -1, -1):
        rows = slice(h * L, (h + 1) * L) if P.n_rows != L else slice(0, L)
        V = np.maximum.reduceat(r[rows if len(r) != L else slice(0, L)] + V[P.indices[rows]], problem.pair_ptr[:-1])
        if problem.fixed is not None and problem.fixed_value is not None:
            V[problem.fixed] = problem.fixed_value[problem.fixed]
        if V.max() > R:
            return False
    return True


def _stage(problem: Canonical, h: int) -> tuple[Any, Array]:
    """Rows and rewards of a stage."""
    L = len(problem.state)
    P = problem.P.rows(h * L, (h + 1) * L) if problem.P.n_rows != L else problem.P
    return P, problem.r[h * L : (h + 1) * L] if len(problem.r) != L else problem.r


def _comparable(problem: Canonical, q: Array) -> Array:
    """Numbers with an order: of balls, their midpoints."""
    return np.array([float(x.mid()) for x in q]) if arithmetic_of(problem) == "ball" else q
