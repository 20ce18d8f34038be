r"""Inexact policy iteration: each policy is evaluated by a Krylov method, only as well as its improvement deserves."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.models.canonical import Canonical
from mdpkit.operators.bellman import Sweeper, largest_shift, span_gap
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.solvers.dynamic_programming.value_iteration import ValueIteration
from mdpkit.typing import Floats, Ints

__all__ = ["InexactPolicyIteration", "State"]

KRYLOV = ("bicgstab", "gmres")


class State(NamedTuple):
    """The backup of the last iterate, its greedy policy, change and gap; the next iterate; and what it took.

    ``alpha`` is the next forcing parameter; ``products`` counts the products with a policy's matrix so far, ``missed`` the
    evaluations that ended before the forcing condition held.
    """

    V: Floats
    choice: Ints
    residual: float
    gap: float
    evaluated: Floats
    alpha: float
    products: int = 0
    missed: int = 0


@dataclass(frozen=True)
class InexactPolicyIteration(IterativeSolver[State]):
    r"""Policy iteration whose policies are evaluated by BiCGStab or GMRES (iPI).

    With :math:`\pi_k` greedy for :math:`V_k`, an approximate solution V of :math:`(I - \gamma P_{\pi_k}) V = r_{\pi_k}`,
    started from :math:`V_k`, is accepted once its residual is a fraction of the improvement, and made a lower bound:

    .. math::

       \|T_{\pi_k} V - V\| \le \alpha_k (1 - \gamma) \|TV_k - V_k\|, \qquad
       V_{k+1} = \max \Big\{ TV_k,\; V + \frac{\min (T_{\pi_k} V - V)}{1 - \gamma} \Big\}, \qquad
       \alpha_k = \alpha \cdot \text{decay}^k

    **Guarantee.** With :math:`V_0` lowered by a constant until :math:`V_0 \le TV_0`, whatever the Krylov method does:
    :math:`TV_k \le V_{k+1} \le V^*` and :math:`V_{k+1} \le TV_{k+1}`, hence :math:`\|V_k - V^*\| \le \gamma^k \|V_0 - V^*\|`.
    Checked by ``gargiani2024:monotone``. Where the forcing condition was met, :math:`V_{k+1}` is also within
    :math:`2\alpha_k \|TV_k - V_k\|` of the policy's value; so once the greedy policies are optimal,
    :math:`\|V_{k+1} - V^*\| \le \min\{\gamma, 2\alpha_k\} \|V_k - V^*\|`: superlinear if decay < 1. Checked by
    ``gargiani2024:forcing``.

    *Departures.* The paper takes the inexact solution itself, and :math:`\alpha` without :math:`1 - \gamma`; its rate is for
    small :math:`\alpha` only (recalled). The shift and the maximum with :math:`TV_k` cost nothing and give one always. Before
    each evaluation :math:`V_k` is raised by the largest constant that keeps it below its backup, which MacQueen's lower
    bound allows. With a discount by pairs the constants take the factor that makes them safe.

    Parameters
    ----------
    alpha, decay : float
        Forcing parameter and its factor from step to step.
    krylov : {"bicgstab", "gmres"}
        The Krylov method. BiCGStab costs less beside its products, but may break down; GMRES may stall between restarts.
        Both cost speed only.
    restart : int
        Length of a cycle of GMRES.
    max_products : int
        Products with a policy's matrix after which no further cycle begins.
    V0 : float
        Initial value of every state.

    References
    ----------
    ``gargiani2024`` (recalled), ``saad1986`` for GMRES, ``vandervorst1992`` for BiCGStab.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mk.solve(mk.instances.make("puterman-two-state"), InexactPolicyIteration()).value.__round__(6)
    -8.571429
    """

    alpha: float = 0.1
    decay: float = 1.0
    krylov: str = "bicgstab"
    restart: int = 30
    max_products: int = 1000
    V0: float = 0.0
    cites: ClassVar = ("gargiani2024", "saad1986", "vandervorst1992")
    claims: ClassVar = ("gargiani2024:monotone", "gargiani2024:forcing")
    kinds: ClassVar = ("discounted",)

    def __post_init__(self) -> None:
        for name in ("alpha", "decay"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 < value <= 1:
                raise OptionError(f"{name} is out of range", found=value, needed="a number above 0, at most 1")
        if self.krylov not in KRYLOV:
            raise OptionError("unknown Krylov method", found=self.krylov, needed=" or ".join(KRYLOV))
        for name in ("restart", "max_products"):
            value = getattr(self, name)
            if isinstance(value, bool) or value != int(value) or value < 1:
                raise OptionError(f"{name} is no count", found=value, needed="an integer >= 1")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Start at ``V0``, lowered below its backup."""
        start = ValueIteration(self.V0).init(problem)
        _, _, low, _ = Sweeper(problem).backup(start.V)
        return State(*start, evaluated=start.V + min(largest_shift(problem, low), 0.0), alpha=float(self.alpha))

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One greedy backup, whose change gives the bounds, and the inexact evaluation of its policy."""
        sweeper = Sweeper(problem)
        V, choice, low, high = sweeper.backup(state.evaluated)
        raised = largest_shift(problem, low)
        start, backup = state.evaluated + raised, V + raised * problem.gamma[choice]
        improvement = backup - start
        goal = state.alpha * (1 - float(np.max(problem.gamma))) * float(np.max(np.abs(improvement)))
        y, rest, products = self._krylov(sweeper.rows(choice), improvement, goal)
        evaluated = start + y + largest_shift(problem, float(np.min(rest)))
        return State(
            V,
            choice,
            max(abs(low), abs(high)),
            span_gap(problem, low, high),
            np.maximum(evaluated, backup),
            state.alpha * self.decay,
            state.products + products,
            state.missed + int(np.max(np.abs(rest)) > goal),
        )

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The last greedy backup."""
        return Answer(state.V, state.choice)

    def _krylov(self, M: Any, b: Floats, goal: float) -> tuple[Floats, Floats, int]:
        """``(y, b - (I - M) y, products)``, from y = 0, until the residual is ``goal`` or less, stagnates, or costs enough."""
        spl: Any = import_module("scipy.sparse.linalg")
        products = 0

        def apply(x: Floats) -> Floats:
            nonlocal products
            products += 1
            return x - M @ x

        A = spl.LinearOperator(M.shape, matvec=apply, dtype=np.float64)
        y, rest = np.zeros_like(b), b
        while products < self.max_products and (size := float(np.max(np.abs(rest)))) > goal:
            norm = float(np.linalg.norm(rest))
            # the methods control the Euclidean norm: ask it to fall by the factor that the supremum norm lacks
            settings: dict[str, Any] = {"rtol": 0.0, "atol": 0.5 * norm * (goal / size)}
            with np.errstate(all="ignore"):
                if self.krylov == "gmres":
                    more, _ = spl.gmres(A, rest, restart=min(self.restart, len(b)), maxiter=1, **settings)
                else:
                    more, _ = spl.bicgstab(A, rest, maxiter=(self.max_products - products + 1) // 2, **settings)
                left = b - apply(y + more)
                if not float(np.linalg.norm(left)) < norm:
                    break
            y, rest = y + more, left
        return y, rest, products
