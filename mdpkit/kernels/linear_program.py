r"""Linear programs of the form :math:`\min \rho^T V` subject to :math:`AV \ge r`, and their duals, by HiGHS."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import reference
from mdpkit.kernels.sparse import sp
from mdpkit.typing import Floats, Ints

__all__ = ["TOLERANCE", "busiest", "check_options", "solve_program"]


TOLERANCE = 1e-10
"""HiGHS's own feasibility tolerances, at their tightest; the certificate measures what they leave."""


def check_options(form: str, through: str) -> None:
    """Raise :class:`~mdpkit.errors.OptionError` unless the options of :func:`solve_program` are known."""
    if form not in ("primal", "dual"):
        raise OptionError("unknown form of the linear program", found=form, needed="'primal' or 'dual'")
    if through not in ("scipy", "cvxpy"):
        raise OptionError("unknown way to the LP solver", found=through, needed="'scipy' or 'cvxpy'")


def solve_program(A: Any, r: Floats, rho: Floats, form: str, through: str) -> tuple[Floats, Floats, int]:
    r"""Solve :math:`\min_V \rho^T V` s.t. :math:`AV \ge r`, or its dual :math:`\max_{x \ge 0} r^T x` s.t. :math:`A^T x = \rho`.

    Parameters
    ----------
    A : sparse (m, n)
    r : (m,)
    rho : (n,)
    form : {"primal", "dual"}
        Which of the two is handed to the solver; it returns the other as its multipliers.
    through : {"scipy", "cvxpy"}

    Returns
    -------
    V : (n,)
    x : (m,)
    steps : int
        Iterations of the solver.

    Raises
    ------
    OptionError
        If the solver fails, or cvxpy is missing.
    """
    scale = max(1.0, float(np.max(np.abs(r), initial=0.0)))
    if through == "cvxpy":
        return _cvxpy(A, r / scale, rho, scale, form)
    linprog: Any = import_module("scipy.optimize").linprog
    options = {"primal_feasibility_tolerance": TOLERANCE, "dual_feasibility_tolerance": TOLERANCE}
    if form == "primal":
        found = linprog(rho, A_ub=-A, b_ub=-r / scale, bounds=(None, None), method="highs", options=options)
        _check(found)
        return found.x * scale, -found.ineqlin.marginals, int(found.nit)
    found = linprog(-r / scale, A_eq=sp.csr_array(A.T), b_eq=rho, bounds=(0, None), method="highs", options=options)
    _check(found)
    return -found.eqlin.marginals * scale, found.x, int(found.nit)


def busiest(x: Floats, pair_ptr: Ints, otherwise: Floats) -> Ints:
    """The pair of each state with the largest occupancy ``x`` (L,); the largest of ``otherwise`` where a state has none."""
    choice = reference.greedy(x, pair_ptr)
    empty = x[choice] <= 0
    return np.where(empty, reference.greedy(otherwise, pair_ptr), choice)


def _cvxpy(A: Any, r: Floats, rho: Floats, scale: float, form: str) -> tuple[Floats, Floats, int]:
    try:
        cp: Any = import_module("cvxpy")
    except ImportError:
        raise OptionError("cvxpy is not installed", way_out='pip install "mdpkit[lp]", or through="scipy"') from None
    if form == "primal":
        unknown = cp.Variable(A.shape[1])
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
    if form == "primal":
        return np.asarray(unknown.value) * scale, np.asarray(constraint.dual_value), steps
    multipliers = np.asarray(constraint.dual_value)
    if np.min(-(A @ multipliers) - r) > np.min(A @ multipliers - r):
        multipliers = -multipliers  # the sign of an equality's multiplier is a convention
    return multipliers * scale, np.asarray(unknown.value), steps


def _check(found: Any) -> None:
    if found.status != 0:
        raise OptionError(f"HiGHS did not solve the linear program: {found.message}", way_out="use another solver")
