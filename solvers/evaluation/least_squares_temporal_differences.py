r"""LSTD(lambda): the parameters at which the temporal differences that were seen are orthogonal to their traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import segments
from mdpkit.operators.linear_estimator import LinearEstimator, Walk
from mdpkit.operators.task import Task, Transition
from mdpkit.typing import Array

__all__ = ["LeastSquaresTemporalDifferences", "State"]


class State(NamedTuple):
    """Sums of moments (or the exact moments), the trajectory, the number of the step, and the transitions drawn."""

    A: Array
    b: Array
    walk: Walk | None
    k: int
    draws: int


@dataclass(frozen=True)
class LeastSquaresTemporalDifferences(LinearEstimator[State]):
    r"""LSTD(lambda): solve the linear equations that TD(lambda) approaches step by step.

    .. math:: A_n = \sum_{t<n} e_t (\phi_t - \gamma \phi_{t+1})^\top, \qquad b_n = \sum_{t<n} e_t r_t, \qquad
              (A_n + \varepsilon I)\, w_n = b_n

    with the traces :math:`e_t` of :class:`~mdpkit.solvers.evaluation.temporal_differences.TemporalDifferences`. There is no
    step size. With ``expected`` the moments are exact, and there is nothing to regularize.

    **Guarantee.** The parameters solve the equations of the sums, whose terms have the means A and b, so that with exact
    moments they are the fixed point of TD(lambda), ``bradtke1996:exact-moments``. LSTD(1) is the least-squares regression of
    the returns on the features, ``boyan2002:regression``.

    *Departures.* The equations are solved anew for each answer, in place of an inverse that is updated. A transition pays
    r(s, a), and a trajectory never ends.

    Parameters
    ----------
    lambda_ : number in [0, 1]
        Decay of the trace.
    expected : bool
        Take exact means in place of draws.
    ridge : number
        The :math:`\varepsilon > 0` that makes the equations regular from the start; its effect vanishes like 1/n.

    References
    ----------
    ``bradtke1996``, ``boyan2002``.

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> lstd = LeastSquaresTemporalDifferences()
    >>> found = mk.estimate(mdp, [1, 1, 1, 1], lstd, steps=5000, rng=np.random.default_rng(0))
    >>> bool(found.error < 0.1 * found.exact.max())
    True
    """

    cites: ClassVar = ("bradtke1996", "boyan2002")
    claims: ClassVar = ("bradtke1996:exact-moments", "boyan2002:regression")

    ridge: Any = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.positive("ridge")

    def init(self, task: Task, rng: np.random.Generator | None = None) -> State:
        """No moments yet, or all of them."""
        if self.expected:
            A, b, _ = self.moments(task)
            return State(A, b, None, 0, 0)
        zero = task.zeros()
        return State(np.multiply.outer(zero, zero), zero, self.walk(task, rng), 0, 0)

    def step(self, task: Task, state: State, rng: np.random.Generator | None = None) -> State:
        """The sums with one more transition; exact moments stay as they are."""
        if state.walk is not None:
            return self.update(task, state, task.draw(state.walk.at, rng))
        return state._replace(k=state.k + 1)

    def update(self, task: Task, state: State, seen: Transition) -> State:
        """The sums with a given transition, which continues the state's trajectory."""
        assert state.walk is not None
        walk = self.extended(task, state.walk, seen)
        x, r = self.difference(task, seen)
        e = self.eligibility(task, walk)
        return State(state.A + np.multiply.outer(e, x), state.b + r * e, walk, state.k + 1, state.draws + 1)

    def answer(self, task: Task, state: State) -> Array:
        """The estimate at the solution of the equations."""
        ridge = task.on.number(0 if self.expected else self.ridge)
        eye = np.eye(task.dim, dtype=int if state.A.dtype == object else float)
        return task.value(segments.solve(state.A + ridge * eye, state.b))
