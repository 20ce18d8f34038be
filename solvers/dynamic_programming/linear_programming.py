r"""Linear programming: the value as the least supersolution, the occupancy as its dual."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import reference
from mdpkit.models.canonical import Canonical
from mdpkit.reductions.end_components import analyze
from mdpkit.solver import Answer, DirectSolver
from mdpkit.typing import Floats, Ints

__all__ = ["LinearProgramming"]

sp: Any = import_module("scipy.sparse")


@dataclass(frozen=True)
class LinearProgramming(DirectSolver):
    r"""The primal or the dual linear program of a discounted or total-reward problem.

    .. math::

       \text{primal:}\quad & \min_V \sum_s \rho(s) V(s) \ \text{ s.t. }\ V(s) \ge r(s,a) + \gamma \sum_{s'} P(s'|s,a) V(s') \\
       \text{dual:}\quad & \max_{x \ge 0} \sum_{s,a} r(s,a) x(s,a) \ \text{ s.t. }\
             \sum_a x(s',a) - \gamma \sum_{s,a} P(s'|s,a) x(s,a) = \rho(s')

    with :math:`\rho > 0` uniform, so that every state is solved. For total reward the program is that of the quotient by
    end components without reward.

    **Guarantee.** Both have the optimal value, and a basic dual solution is a deterministic policy. Stated as
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
        if self.form not in ("primal", "dual"):
            raise OptionError("unknown form of the linear program", found=self.form, needed="'primal' or 'dual'")
        if self.through not in ("scipy", "cvxpy"):
            raise OptionError("unknown way to the LP solver", found=self.through, needed="'scipy' or 'cvxpy'")

    def run(self, problem: Canonical, rng: np.random.Generator | None = None) -> Answer:
        """Solve the program; the policy is read off the occupancy."""
        if problem.kind == "total":
            return self._total(problem)
        P, L = problem.P, len(problem.r)
        outflow = sp.csr_array((np.ones(L), (np.arange(L), problem.state)), shape=(L, problem.n_states))
        A = sp.csr_array(outflow - sp.diags_array(problem.gamma) @ P.csr)
        V, x, steps = self._solve(A, problem.r)
        choice = _largest(x, problem.pair_ptr, problem.r + problem.gamma * (P @ V) - V[problem.state])
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
        V, x, steps = self._solve(A, q.r)
        from mdpkit.kernels.improvement import repair

        choice = repair(q, _largest(x, q.pair_ptr, q.r + M @ V - V[q.owner]))
        dual[q.pair[q.pair >= 0]] = x[q.pair >= 0]
        return Answer(q.expand(V, known), q.policy(choice), dual=dual, steps=steps)

    def _solve(self, A: Any, r: Floats) -> tuple[Floats, Floats, int]:
        """``(V, x, iterations)`` of min 1'V/n s.t. A V >= r and its dual."""
        n = A.shape[1]
        rho = np.full(n, 1.0 / n)
        scale = max(1.0, float(np.max(np.abs(r), initial=0.0)))
        if self.through == "cvxpy":
            return self._cvxpy(A, r / scale, rho, scale, n)
        linprog: Any = import_module("scipy.optimize").linprog
        # HiGHS's own feasibility tolerances, at their tightest; the certificate measures what they leave.
        options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
        if self.form == "primal":
            found = linprog(rho, A_ub=-A, b_ub=-r / scale, bounds=(None, None), method="highs", options=options)
            _check(found)
            return found.x * scale, -found.ineqlin.marginals, int(found.nit)
        found = linprog(-r / scale, A_eq=sp.csr_array(A.T), b_eq=rho, bounds=(0, None), method="highs", options=options)
        _check(found)
        return -found.eqlin.marginals * scale, found.x, int(found.nit)

    def _cvxpy(self, A: Any, r: Floats, rho: Floats, scale: float, n: int) -> tuple[Floats, Floats, int]:
        try:
            cp: Any = import_module("cvxpy")
        except ImportError:
            raise OptionError(
                "cvxpy is not installed", way_out='pip install "mdpkit[lp]", or through="scipy"'
            ) from None
        if self.form == "primal":
            unknown = cp.Variable(n)
            constraint = A @ unknown >= r
            program = cp.Problem(cp.Minimize(rho @ unknown), [constraint])
        else:
            unknown = cp.Variable(A.shape[0], nonneg=True)
            constraint = sp.csr_array(A.T) @ unknown == rho
            program = cp.Problem(cp.Maximize(r @ unknown), [constraint])
        program.solve(solver=cp.HIGHS)
        if program.status not in ("optimal", "optimal_inaccurate"):
            raise OptionError(f"the LP solver ended with {program.status}", way_out="use another solver")
        steps = int(program.solver_stats.num_iters or 0)
        if self.form == "primal":
            return np.asarray(unknown.value) * scale, np.asarray(constraint.dual_value), steps
        multipliers = np.asarray(constraint.dual_value)
        if float(rho @ multipliers) * float(program.value) < 0:
            multipliers = -multipliers
        return multipliers * scale, np.asarray(unknown.value), steps


def _check(found: Any) -> None:
    if found.status != 0:
        raise OptionError(f"HiGHS did not solve the linear program: {found.message}", way_out="use another solver")


def _largest(x: Floats, pair_ptr: Ints, advantage: Floats) -> Ints:
    """The pair of each state with the largest occupancy; by advantage where a state has none."""
    choice = reference.greedy(x, pair_ptr)
    empty = x[choice] <= 0
    return np.where(empty, reference.greedy(advantage, pair_ptr), choice)
