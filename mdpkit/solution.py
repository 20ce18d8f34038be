"""What a solver returns: a solution with its certificate, and the status that explains it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mdpkit.certificates.certificate import refuse_both_infinities
from mdpkit.errors import ModelError, OptionError, UndefinedValueError, UnsupportedError
from mdpkit.typing import Array

if TYPE_CHECKING:
    from mdpkit.certificates import Certificate
    from mdpkit.models import MDP
    from mdpkit.reductions.communicating import Communicating

__all__ = ["Solution", "Status"]


class Status(Enum):
    """How a run ended. The members' values are the help text."""

    SOLVED = "solved: the stop rule is met, and the bounds are certified"
    EXACT = "solved exactly: the bounds coincide in rational arithmetic"
    ROUNDING = (
        "stopped at the rounding of float arithmetic before the stop rule was met; the bounds are true. "
        "Ask for less (until=Gap(rel=1e-6)) or for rationals (exact=True, --exact)"
    )
    STEPS = "stopped at the largest number of steps before the stop rule was met; the bounds are true. Raise max_steps"
    STALLED = (
        "stopped where further steps of this method change nothing, before the stop rule was met: it does not come to the "
        "optimum here; the bounds are true. Choose another method"
    )
    INTERRUPTED = "interrupted: the best answer so far; the bounds are true"

    @property
    def ok(self) -> bool:
        """Whether the stop rule was met."""
        return self in (Status.SOLVED, Status.EXACT)

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, eq=False)
class Solution:
    """A certified answer to a planning problem.

    Attributes
    ----------
    V : (S,) float, or (H+1, S) for a finite horizon
        Values: inside the certificate's bounds. For an exact solution, the floats nearest to the rationals. The value of
        average reward is the gain.
    pi : Stationary or Markov
        A policy; its value is certified to be at least ``certificate.lower`` (at most ``upper`` when minimizing). With entropy
        in the objective it is randomized: the softmax of the action values.
    status : Status
    steps : int
        Iterations made.
    solver : object
        The solver, with its hyper-parameters.
    certificate : Certificate
        ``lower``, ``upper``, ``valid``, ``verify(problem, exact=False)``, ``save(path)``.
    dual : array or None
        Dual variables where the solver has them: for the linear program, the occupancy of each pair ``(L,)``.
    gain : (S,) float or None
        For average reward: V.
    bias : (S,) float or None
        For average reward: the bias of ``pi``, normalized by :math:`P^* h = 0`. Computed when it is first asked for.
    exact_bias : (S,) object or None
        The bias as Fractions, where the solution is exact.
    classes : Communicating or None
        For average reward: the communicating classes of the model; see :func:`mdpkit.classify`.
    exact : object array or None
        The exact values as Fractions, where they were computed (``Fraction`` or ``float('inf')`` entries).
    trace : tuple of (step, gap)
        Certified gap as the run went on.
    times : tuple of float
        Seconds into the run at each entry of ``trace``.
    last_policy : Stationary, Markov or None
        The randomized policy at which a gradient or mirror-descent method stopped; ``pi`` is greedy for its value, and at
        least as good.
    why : str
        Why this solver was chosen.
    seconds : float
        Wall time of the run.
    """

    V: Array
    pi: Any
    status: Status
    steps: int
    solver: Any
    certificate: Certificate
    problem: MDP = field(repr=False)
    dual: Array | None = None
    exact: Array | None = None
    trace: tuple[tuple[int, float], ...] = ()
    times: tuple[float, ...] = ()
    why: str = ""
    seconds: float = 0.0
    last_policy: Any = None

    @cached_property
    def Q(self) -> Array:
        """Action values ``(S, A)`` (``(H, S, A)`` for a finite horizon), NaN where an action is not admissible.

        For average reward they are relative: r - g + Ph, with the gain and bias of the policy.
        """
        from mdpkit.operators.values import action_table, action_values, relative_pair_values

        if self.bias is not None:
            gain = (
                self.V if self.exact is not None else self._poisson[0]
            )  # as accurate as the bias, whatever the bounds
            return action_table(self.problem, relative_pair_values(self.problem, gain, self.bias))

        c = self.certificate
        if self.V.ndim == 1 and c.below.ndim == 2 and len(c.below) > 1:
            # A bounded property reports stage 0; the first action is worth what stage 1 is.
            below, above = (np.asarray(bound[1], dtype=np.float64) for bound in (c.below, c.above))
            return action_values(self.problem, c.offset + c.sign * (below + 0.5 * (above - below)))
        return action_values(self.problem, self.V)

    @property
    def average(self) -> bool:
        """Whether the criterion is the average reward."""
        from mdpkit.models.criterion import AverageReward

        return isinstance(self.problem.criterion, AverageReward)

    @property
    def gain(self) -> Array | None:
        """Long-run average reward from each state, ``(S,)``; None under another criterion."""
        return self.V if self.average else None

    @cached_property
    def bias(self) -> Array | None:
        """Bias of the policy ``pi``, ``(S,)``, with P* h = 0; None under another criterion than the average reward."""
        if not self.average:
            return None
        exact = self.exact_bias
        if exact is not None:
            return exact.astype(np.float64)
        return self._poisson[1]

    @cached_property
    def _poisson(self) -> tuple[Array, Array]:
        """Gain and bias of the policy ``pi`` in floats."""
        from mdpkit.kernels.gain import evaluate_average

        return evaluate_average(self.problem.P.stochastic, self.problem.r, self.certificate.choice)

    @property
    def exact_bias(self) -> Array | None:
        """Bias of the policy as Fractions, ``(S,)``, where the solution is exact."""
        c = self.certificate
        return c.sign * c.below_bias if self.exact is not None and c.below_bias is not None else None

    def relative_value(self, ref: int = 0) -> Array:
        """Howard's relative values: the bias less that of the state ``ref``, ``(S,)``; Fractions where it is exact.

        Raises
        ------
        UnsupportedError
            Under another criterion than the average reward.
        OptionError
            If ``ref`` is no state.
        """
        bias: Array | None = self.bias if self.exact_bias is None else self.exact_bias
        if bias is None:
            raise UnsupportedError(
                f"there are no relative values under {self.problem.criterion}", needed="mk.AverageReward()"
            )
        if not 0 <= ref < self.problem.n_states:
            raise OptionError("ref is no state", found=ref, needed=f"0 <= ref < {self.problem.n_states}")
        return bias - bias[ref]

    @cached_property
    def classes(self) -> Communicating | None:
        """Communicating classes of the model; None under another criterion than the average reward."""
        from mdpkit.reductions.communicating import classify

        return classify(self.problem) if self.average else None

    @property
    def value(self) -> float:
        """Value at the initial state or law."""
        return float(self._initial(self.V))

    @property
    def lower(self) -> float:
        """Certified lower bound at the initial state or law."""
        return self.certificate.initial(self.problem)[0]

    @property
    def upper(self) -> float:
        """Certified upper bound at the initial state or law."""
        return self.certificate.initial(self.problem)[1]

    @property
    def exact_value(self) -> Fraction | float | None:
        """Exact value at the initial state or law, if the solution is exact."""
        if self.exact is None:
            return None
        return self.certificate.initial_exact(self.problem)

    def _initial(self, V: Array) -> Any:
        if self.problem.rho is None:
            raise ModelError("the model has no initial state", way_out="give rho=… to the model, or read solution.V")
        V = V[0] if V.ndim == 2 else V
        support = np.flatnonzero(self.problem.rho)
        refuse_both_infinities(support, V[support], V[support])
        return float(self.problem.rho[support] @ V[support])

    def __repr__(self) -> str:
        gap = self.certificate.gap
        name = type(self.solver).__name__
        bounds = ""
        if self.problem.rho is not None:
            try:
                bounds = f"value {self.value:.10g} in [{self.lower:.10g}, {self.upper:.10g}], "
            except UndefinedValueError:
                bounds = "no value at the initial law, "
        return f"Solution({self.status}: {bounds}largest gap {gap:.2g}, {self.steps} steps of {name})"

    def _repr_html_(self) -> str:
        from html import escape

        rows = [("status", self.status.value), ("solver", repr(self.solver)), ("steps", f"{self.steps:,}")]
        if self.problem.rho is not None:
            try:
                value = [("value", f"{self.value:.12g}"), ("certified", f"[{self.lower:.12g}, {self.upper:.12g}]")]
            except UndefinedValueError:
                value = [("value", "undefined at the initial law")]
            rows += value
        rows.append(("largest gap", f"{self.certificate.gap:.3g}"))
        rows.append(("arithmetic", self.certificate.arithmetic))
        if self.why:
            rows.append(("why", self.why))
        body = "".join(f"<tr><th style='text-align:left'>{k}</th><td>{escape(v)}</td></tr>" for k, v in rows)
        return f"<table><caption>Solution</caption>{body}</table>"
