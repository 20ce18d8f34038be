r"""Linear programming: the value as the least supersolution, the occupancy as its dual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mdpkit.kernels.linear_program import busiest, check_options, solve_program
from mdpkit.kernels.sparse import sp
from mdpkit.models.canonical import Canonical
from mdpkit.reductions.end_components import analyze
from mdpkit.solver import Answer, DirectSolver
from mdpkit.typing import Floats

__all__ = ["LinearProgramming"]


@dataclass(frozen=True)
class LinearProgramming(DirectSolver):
    r"""The primal or the dual linear program of a discounted or total-reward problem.

    .. math::

       \text{primal:}\quad & \min_V \sum_s \rho(s) V(s) \ \text{ s.t. }\ V(s) \ge r(s,a) + \gamma \sum_{s'} P(s'|s,a) V(s') \\
       \text{dual:}\quad & \max_{x \ge 0} \sum_{s,a} r(s,a) x(s,a) \ \text{ s.t. }\
             \sum_a x(s',a) - \gamma \sum_{s,a} P(s'|s,a) x(s,a) = \rho(s')

    with :math:`\rho > 0` uniform, so that every state is solved. For total reward the program is that of the quotient by
    end components without reward.

    **Guarantee.** Both have the optimal value, and a basic dual solution is a deterministic policy. Checked by
    ``depenoux1963:duality``. The solution's ``dual`` is the occupancy :math:`(1-\gamma) x` over pairs (``x`` itself, the
    expected number of visits, for total reward).

    Parameters
    ----------
    form : {"primal", "dual"}
        Which of the two is handed to the LP solver; HiGHS returns the other as its multipliers.
    through : {"scipy", "cvxpy"}
        HiGHS directly, or as cvxpy calls it (``lp`` extra).

    References
    ----------
    ``depenoux1963`` (d'Epenoux), ``puterman1994`` (Section 6.9, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mk.solve(mk.instances.make("puterman-two-state"), LinearProgramming()).dual.round(6)
    array([0.047619, 0.      , 0.952381])
    """

    form: str = "primal"
    through: str = "scipy"
    cites: ClassVar = ("depenoux1963", "puterman1994")
    claims: ClassVar = ("depenoux1963:duality",)
    kinds: ClassVar = ("discounted", "total")

    def __post_init__(self) -> None:
        check_options(self.form, self.through)

    def run(self, problem: Canonical, rng: np.random.Generator | None = None) -> Answer:
        """Solve the program; the policy is read off the occupancy."""
        if problem.kind == "total":
            return self._total(problem)
        P, L = problem.P, len(problem.r)
        outflow = sp.csr_array((np.ones(L), (np.arange(L), problem.state)), shape=(L, problem.n_states))
        A = sp.csr_array(outflow - sp.diags_array(problem.gamma) @ P.csr)
        V, x, steps = solve_program(A, problem.r, _uniform(A), self.form, self.through)
        choice = busiest(x, problem.pair_ptr, problem.r + problem.gamma * (P @ V) - V[problem.state])
        gamma = problem.gamma if np.ptp(problem.gamma) else problem.gamma[0]
        return Answer(V, choice, dual=x * (1 - gamma), steps=steps)

    def _total(self, problem: Canonical) -> Answer:
        st = analyze(problem)
        q = st.quotient
        known = st.infinite.copy()
        if problem.fixed is not None and problem.fixed_value is not None:
            known[problem.fixed] = problem.fixed_value[problem.fixed]
        dual = np.zeros(len(problem.r))
        if q.n == 0:
            return Answer(known, q.policy(np.zeros(0, dtype=np.int64)), dual=dual)
        rows = len(q.pair)
        M = sp.csr_array((q.data, q.indices, q.indptr), shape=(rows, q.n))
        A = sp.csr_array(sp.csr_array((np.ones(rows), (np.arange(rows), q.owner)), shape=(rows, q.n)) - M)
        V, x, steps = solve_program(A, q.r, _uniform(A), self.form, self.through)
        from mdpkit.kernels.improvement import repair

        choice = repair(q, busiest(x, q.pair_ptr, q.r + M @ V - V[q.owner]))
        dual[q.pair[q.pair >= 0]] = x[q.pair >= 0]
        return Answer(q.expand(V, known), q.policy(choice), dual=dual, steps=steps)


def _uniform(A: Any) -> Floats:
    n = A.shape[1]
    return np.full(n, 1.0 / n)
