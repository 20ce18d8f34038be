r"""The linear programs of gain and bias, primal and dual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mdpkit.kernels import graph as g
from mdpkit.kernels.gain import evaluate_average, improved_average
from mdpkit.kernels.linear_program import TOLERANCE, busiest, check_options, solve_program
from mdpkit.kernels.sparse import sp
from mdpkit.models.canonical import Canonical
from mdpkit.solver import Answer, DirectSolver
from mdpkit.typing import Floats, Ints

__all__ = ["GainBiasLinearProgramming"]


@dataclass(frozen=True)
class GainBiasLinearProgramming(DirectSolver):
    r"""The multichain linear program of the average reward, primal or dual.

    .. math::

       \text{primal:}\quad & \min_{g,h} \sum_s \alpha(s) g(s) \ \text{ s.t. }\
            g(s) \ge \sum_{s'} P(s'|s,a) g(s'), \quad g(s) + h(s) \ge r(s,a) + \sum_{s'} P(s'|s,a) h(s') \\
       \text{dual:}\quad & \max_{x,y \ge 0} \sum_{s,a} r(s,a) x(s,a) \ \text{ s.t. }\
            \sum_a x(s',a) = \sum_{s,a} P(s'|s,a) x(s,a), \\
       & \sum_a x(s',a) + \sum_a y(s',a) - \sum_{s,a} P(s'|s,a) y(s,a) = \alpha(s')

    with :math:`\alpha > 0` uniform, so that every state is solved. The policy takes the actions with :math:`x > 0`, and in
    states without any those with :math:`y > 0` that lead to states with :math:`x > 0`.

    **Guarantee.** Every feasible g dominates the optimal gain, the optimal g is it, and this policy is optimal. Checked by
    ``denardo1968:multichain-program``. The solution's ``dual`` is x, the long-run frequency of each pair from the initial law
    :math:`\alpha`.

    *Departures.* The bias is not the program's, which is known to the LP solver's tolerance only: it is evaluated from the
    policy, which Howard's improvement first changes on transient states, where the program leaves it free, until the bias
    supports the gain.

    Parameters
    ----------
    form : {"primal", "dual"}
        Which of the two is handed to the LP solver; HiGHS returns the other as its multipliers.
    through : {"scipy", "cvxpy"}
        HiGHS directly, or as cvxpy calls it (``lp`` extra).

    References
    ----------
    ``denardo1968``, ``hordijk1979``, ``puterman1994`` (Section 9.3, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> toymaker = mk.instances.make("howard-toymaker").under(mk.AverageReward())
    >>> sol = mk.solve(toymaker, GainBiasLinearProgramming())
    >>> sol.gain.round(9), sol.dual.round(9)
    (array([2., 2.]), array([0.        , 0.77777778, 0.        , 0.22222222]))
    """

    form: str = "primal"
    through: str = "scipy"
    cites: ClassVar = ("denardo1968", "hordijk1979", "puterman1994")
    claims: ClassVar = ("denardo1968:multichain-program",)
    kinds: ClassVar = ("average",)

    def __post_init__(self) -> None:
        check_options(self.form, self.through)

    def run(self, problem: Canonical, rng: np.random.Generator | None = None) -> Answer:
        """Solve the program and evaluate the policy that its dual names."""
        P, S, L = problem.P, problem.n_states, len(problem.r)
        here = sp.csr_array((np.ones(L), (np.arange(L), problem.state)), shape=(L, S))
        drift = here - P.csr
        A = sp.csr_array(sp.block_array([[drift, None], [here, drift]]))
        alpha = np.concatenate((np.full(S, 1.0 / S), np.zeros(S)))
        r = np.concatenate((np.zeros(L), problem.r))
        _, duals, steps = solve_program(A, r, alpha, self.form, self.through)
        y, x = duals[:L], duals[L:]
        choice = busiest(x, problem.pair_ptr, y)
        recurrent = x[choice] > TOLERANCE
        moves = g.policy_reaching(problem.graph, recurrent, ~recurrent, y > TOLERANCE)
        choice = np.where(moves >= 0, moves, choice)
        bias, choice = _supporting(problem, choice)
        return Answer(bias, choice, dual=np.maximum(x, 0.0), steps=steps)


def _supporting(problem: Canonical, choice: Ints) -> tuple[Floats, Ints]:
    """Improve a policy of the largest gain until its bias satisfies the optimality equation where the policy passes once."""
    seen: set[bytes] = set()
    while True:
        gain, bias = evaluate_average(problem.P, problem.r, choice)
        seen.add(choice.tobytes())
        better = improved_average(problem.P, problem.r, problem.pair_ptr, gain, bias, choice)
        if better.tobytes() in seen:
            return bias, choice
        choice = better
