r"""TD(lambda): temporal differences credited to an eligibility trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from mdpkit.operators.linear_estimator import SteppingEstimator, Walk
from mdpkit.operators.task import Task, Transition
from mdpkit.typing import Array

__all__ = ["State", "TemporalDifferences"]


class State(NamedTuple):
    """Parameters, the trajectory, the number of the step, and the transitions drawn."""

    w: Array
    walk: Walk | None
    k: int
    draws: int


@dataclass(frozen=True)
class TemporalDifferences(SteppingEstimator[State]):
    r"""TD(lambda) with linear features and accumulating traces.

    .. math:: e_t = \rho_t (\gamma\lambda e_{t-1} + \phi_t), \qquad
              w_{t+1} = w_t + \eta_t \delta_t e_t, \qquad
              \delta_t = r_t + \gamma \phi_{t+1}^\top w_t - \phi_t^\top w_t

    with :math:`\rho_t = \pi(a_t|s_t) / \mu(a_t|s_t)`, which is one on policy. Of action values, :math:`\rho_t` counts in the
    decay alone, and :math:`\phi_{t+1}` is its mean over the target's actions (expected Sarsa). With ``expected``, each step is
    the mean of the above for a trajectory that is stationary under the behavior, :math:`w \leftarrow w + \eta (b - Aw)`.

    **Guarantee.** The sum of the increments along a trajectory, at fixed parameters, is that of the forward view,
    :math:`\eta \sum_t (G_t^\lambda - \phi_t^\top w) \phi_t`, ``sutton1988:forward-view``. The increments have the mean
    :math:`\eta (b - Aw)`, ``sutton1988:expected-update``, whose fixed point solves
    :math:`\Phi w = \Pi T_\lambda \Phi w`, ``tsitsiklis1997:fixed-point``. On policy A is positive definite,
    ``tsitsiklis1997:positive-definite``, and with :math:`\kappa = \gamma(1-\lambda)/(1-\gamma\lambda)` the fixed point has
    :math:`\|\Phi w - V\|_D \le \frac{1}{\sqrt{1-\kappa^2}} \|\Pi V - V\|_D
    \le \frac{1-\lambda\gamma}{1-\gamma} \|\Pi V - V\|_D`, ``tsitsiklis1997:error-bound``, which is attained,
    ``tsitsiklis1997:attained``. Off policy neither holds, and the expected update may diverge: ``baird1995:divergence``,
    ``tsitsiklis1997:two-states``. With steps that decay like 1/k the mean square error of the drawn one falls like 1/k,
    ``bhandari2018:rate``.

    *Departures.* A transition pays r(s, a), the mean reward of its pair. A trajectory never ends: it begins in the initial
    law and goes on through absorbing states.

    Parameters
    ----------
    lambda_ : number in [0, 1]
        Decay of the trace.
    expected : bool
        Take exact means in place of draws.
    eta, decay : number
        Step k has the size ``eta / (1 + k * decay)``.
    start : vector, optional
        The first parameters, zero by default.

    References
    ----------
    ``sutton1988``, ``tsitsiklis1997``, ``baird1995``, ``bhandari2018``.

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> td = TemporalDifferences(lambda_=0.5, eta=0.5, decay=0.001)
    >>> found = mk.estimate(mdp, [1, 1, 1, 1], td, steps=20_000, rng=np.random.default_rng(0))
    >>> found.draws, bool(found.error < 0.05 * found.exact.max())
    (20000, True)
    """

    cites: ClassVar = ("sutton1988", "tsitsiklis1997", "baird1995", "bhandari2018")
    claims: ClassVar = (
        "sutton1988:forward-view",
        "sutton1988:expected-update",
        "tsitsiklis1997:fixed-point",
        "tsitsiklis1997:positive-definite",
        "tsitsiklis1997:error-bound",
        "tsitsiklis1997:attained",
        "baird1995:divergence",
        "tsitsiklis1997:two-states",
        "bhandari2018:rate",
    )

    def init(self, task: Task, rng: np.random.Generator | None = None) -> State:
        """The first parameters, at the start of a trajectory."""
        return State(self.first(task), self.walk(task, rng), 0, 0)

    def step(self, task: Task, state: State, rng: np.random.Generator | None = None) -> State:
        """The update of one transition, or its mean."""
        if state.walk is not None:
            return self.update(task, state, task.draw(state.walk.at, rng))
        A, b, _ = self.moments(task)
        return state._replace(w=state.w + self.step_size(task, state.k) * (b - A @ state.w), k=state.k + 1)

    def update(self, task: Task, state: State, seen: Transition) -> State:
        """The update of a given transition, which continues the state's trajectory."""
        assert state.walk is not None
        walk = self.extended(task, state.walk, seen)
        x, r = self.difference(task, seen)
        change = (r - x @ state.w) * self.eligibility(task, walk)
        return State(state.w + self.step_size(task, state.k) * change, walk, state.k + 1, state.draws + 1)

    def answer(self, task: Task, state: State) -> Array:
        """The estimate."""
        return task.value(state.w)
