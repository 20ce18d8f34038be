r"""GTD, GTD2 and TDC: stochastic gradient methods for the projected Bellman error, stable off policy."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.operators.linear_estimator import SteppingEstimator, Walk
from mdpkit.operators.projected import Moments
from mdpkit.operators.task import Task, Transition
from mdpkit.typing import Array

__all__ = ["GTD", "GTD2", "TDC", "State"]


class State(NamedTuple):
    """Parameters, auxiliary weights, the trajectory, the number of the step, and the transitions drawn."""

    w: Array
    u: Array
    walk: Walk | None
    k: int
    draws: int


@dataclass(frozen=True)
class _GradientTD(SteppingEstimator[State]):
    """Two sequences: auxiliary weights u that follow the expected update, and parameters that descend."""

    beta: Any = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.positive("beta")

    def init(self, task: Task, rng: np.random.Generator | None = None) -> State:
        """The first parameters, at the start of a trajectory; the auxiliary weights are zero."""
        return State(self.first(task), task.zeros(), self.walk(task, rng), 0, 0)

    def step(self, task: Task, state: State, rng: np.random.Generator | None = None) -> State:
        """The update of one transition, or its mean."""
        if state.walk is not None:
            return self.update(task, state, task.draw(state.walk.at, rng))
        m = self.moments(task)
        return self._moved(task, state, *self.means(m, m.b - m.A @ state.w, state.u))._replace(k=state.k + 1)

    def update(self, task: Task, state: State, seen: Transition) -> State:
        """The update of a given transition, which continues the state's trajectory."""
        assert state.walk is not None
        walk = self.extended(task, state.walk, seen)
        x, r = self.difference(task, seen)
        e = self.eligibility(task, walk)
        toward = (r - x @ state.w) * e
        changes = self.changes(task, seen, x, e, toward, state.u)
        return self._moved(task, state, *changes)._replace(walk=walk, k=state.k + 1, draws=state.draws + 1)

    def _moved(self, task: Task, state: State, dw: Array, du: Array) -> State:
        size = self.step_size(task, state.k)
        second = size * (task.on.number(self.beta) / task.on.number(self.eta))
        return state._replace(w=state.w + size * dw, u=state.u + second * du)

    @abstractmethod
    def changes(self, task: Task, seen: Transition, x: Array, e: Array, toward: Array, u: Array) -> tuple[Array, Array]:
        r"""The directions of w and u: ``x`` is :math:`\phi - \gamma\phi'`, ``e`` the trace, ``toward`` :math:`\delta e`."""

    @abstractmethod
    def means(self, m: Moments, toward: Array, u: Array) -> tuple[Array, Array]:
        r"""The means of the directions: ``toward`` is :math:`b - Aw`."""

    def answer(self, task: Task, state: State) -> Array:
        """The estimate."""
        return task.value(state.w)


@dataclass(frozen=True)
class GTD(_GradientTD):
    r"""GTD(lambda): descend the norm of the expected TD update.

    .. math:: u_{t+1} = u_t + \beta_t (\delta_t e_t - u_t), \qquad
              w_{t+1} = w_t + \eta_t (\phi_t - \gamma \phi_{t+1}) (e_t^\top u_t)

    with the traces and temporal differences of
    :class:`~mdpkit.solvers.evaluation.temporal_differences.TemporalDifferences`. With ``expected`` a step is
    :math:`u + \beta (b - Aw - u)`, :math:`w + \eta A^\top u`, the mean over stationary trajectories.

    **Guarantee.** The increments have these means, and where u is the expected update b - Aw, w moves along the negative
    gradient of :math:`\tfrac12 \|b - Aw\|^2`, ``sutton2008:gradient``. Whatever the behavior, if A is regular the expected
    steps converge to the fixed point of TD(lambda) for all small step sizes, ``sutton2008:convergence``.

    *Departures.* As for TD(lambda); the trace is that of :class:`TDC` with traces (``maei2011``), and the paper's for
    ``lambda_ = 0``.

    Parameters
    ----------
    lambda_ : number in [0, 1]
        Decay of the trace.
    expected : bool
        Take exact means in place of draws.
    eta, decay : number
        Step k of the parameters has the size ``eta / (1 + k * decay)``.
    start : vector, optional
        The first parameters, zero by default.
    beta : number
        Step k of the auxiliary weights has the size ``beta / (1 + k * decay)``.

    References
    ----------
    ``sutton2008``, ``maei2011``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> found = mk.estimate(
    ...     mdp, [1, 1, 1, 1], GTD(eta=0.5, beta=0.5, expected=True), behavior=[[0.5, 0.5]] * 4,
    ...     features=[[1], [2], [4], [8]], steps=500,
    ... )
    >>> abs(found.error - found.fixed_point_error) < 1e-6
    True
    """

    cites: ClassVar = ("sutton2008", "maei2011")
    claims: ClassVar = ("sutton2008:gradient", "sutton2008:convergence")

    def changes(self, task: Task, seen: Transition, x: Array, e: Array, toward: Array, u: Array) -> tuple[Array, Array]:
        """The directions of w and u."""
        return x * (e @ u), toward - u

    def means(self, m: Moments, toward: Array, u: Array) -> tuple[Array, Array]:
        """The means of the directions."""
        return m.A.T @ u, toward - u


@dataclass(frozen=True)
class GTD2(_GradientTD):
    r"""GTD2(lambda): descend the mean square projected Bellman error.

    .. math:: u_{t+1} = u_t + \beta_t (\delta_t e_t - (\phi_t^\top u_t) \phi_t), \qquad
              w_{t+1} = w_t + \eta_t (\phi_t - \gamma \phi_{t+1}) (e_t^\top u_t)

    with the traces and temporal differences of
    :class:`~mdpkit.solvers.evaluation.temporal_differences.TemporalDifferences`. With ``expected`` a step is
    :math:`u + \beta (b - Aw - Cu)`, :math:`w + \eta A^\top u` with :math:`C = \Phi^\top D \Phi`.

    **Guarantee.** The increments have these means, and where :math:`u = C^{-1}(b - Aw)`, w moves along the negative gradient
    of half the projected Bellman error :math:`(b - Aw)^\top C^{-1} (b - Aw)`, ``sutton2009:gtd2-gradient``. Whatever the
    behavior, if A and C are regular the expected steps converge to the fixed point of TD(lambda) for all small step sizes,
    ``sutton2009:gtd2-convergence``.

    *Departures.* As for TD(lambda); traces are those of ``maei2011``, and the paper's for ``lambda_ = 0``.

    Parameters
    ----------
    lambda_ : number in [0, 1]
        Decay of the trace.
    expected : bool
        Take exact means in place of draws.
    eta, decay : number
        Step k of the parameters has the size ``eta / (1 + k * decay)``.
    start : vector, optional
        The first parameters, zero by default.
    beta : number
        Step k of the auxiliary weights has the size ``beta / (1 + k * decay)``.

    References
    ----------
    ``sutton2009``, ``maei2011``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> found = mk.estimate(
    ...     mdp, [1, 1, 1, 1], GTD2(eta=0.2, beta=0.2, expected=True), behavior=[[0.5, 0.5]] * 4,
    ...     features=[[1], [2], [4], [8]], steps=4000,
    ... )
    >>> abs(found.error - found.fixed_point_error) < 1e-6
    True
    """

    cites: ClassVar = ("sutton2009", "maei2011")
    claims: ClassVar = ("sutton2009:gtd2-gradient", "sutton2009:gtd2-convergence")

    def changes(self, task: Task, seen: Transition, x: Array, e: Array, toward: Array, u: Array) -> tuple[Array, Array]:
        """The directions of w and u."""
        phi = task.phi[task.node(seen)]
        return x * (e @ u), toward - (phi @ u) * phi

    def means(self, m: Moments, toward: Array, u: Array) -> tuple[Array, Array]:
        """The means of the directions."""
        return m.A.T @ u, toward - m.C @ u


@dataclass(frozen=True)
class TDC(_GradientTD):
    r"""TDC(lambda): temporal differences with a correction that makes them a gradient.

    .. math:: u_{t+1} = u_t + \beta_t (\delta_t e_t - (\phi_t^\top u_t) \phi_t), \qquad
              w_{t+1} = w_t + \eta_t (\delta_t e_t - \gamma (1-\lambda) (e_t^\top u_t) \phi_{t+1})

    with the traces and temporal differences of
    :class:`~mdpkit.solvers.evaluation.temporal_differences.TemporalDifferences`. With ``expected`` a step is
    :math:`u + \beta (b - Aw - Cu)`, :math:`w + \eta (b - Aw - (C - A^\top) u)` with :math:`C = \Phi^\top D \Phi`.

    **Guarantee.** The increments have these means, and where :math:`u = C^{-1}(b - Aw)`, w moves along the negative gradient
    of half the projected Bellman error, as for :class:`GTD2`, ``sutton2009:tdc-gradient``. If A and C are regular, the expected
    steps converge to the fixed point of TD(lambda) for small step sizes if :math:`\beta C + \eta (A + A^\top)/2` is positive
    definite, so if u is fast enough, ``sutton2009:tdc-convergence``.

    *Departures.* As for TD(lambda); traces are those of ``maei2011``, and the paper's for ``lambda_ = 0``.

    Parameters
    ----------
    lambda_ : number in [0, 1]
        Decay of the trace.
    expected : bool
        Take exact means in place of draws.
    eta, decay : number
        Step k of the parameters has the size ``eta / (1 + k * decay)``.
    start : vector, optional
        The first parameters, zero by default.
    beta : number
        Step k of the auxiliary weights has the size ``beta / (1 + k * decay)``.

    References
    ----------
    ``sutton2009``, ``maei2011``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> found = mk.estimate(
    ...     mdp, [1, 1, 1, 1], TDC(eta=0.2, beta=0.2, expected=True), behavior=[[0.5, 0.5]] * 4,
    ...     features=[[1], [2], [4], [8]], steps=4000,
    ... )
    >>> abs(found.error - found.fixed_point_error) < 1e-6
    True
    """

    cites: ClassVar = ("sutton2009", "maei2011")
    claims: ClassVar = ("sutton2009:tdc-gradient", "sutton2009:tdc-convergence")

    def changes(self, task: Task, seen: Transition, x: Array, e: Array, toward: Array, u: Array) -> tuple[Array, Array]:
        """The directions of w and u."""
        phi, lambda_ = task.phi[task.node(seen)], task.on.number(self.lambda_)
        after = task.gamma * (1 - lambda_) * task.next_phi[seen.next_state]
        return toward - after * (e @ u), toward - (phi @ u) * phi

    def means(self, m: Moments, toward: Array, u: Array) -> tuple[Array, Array]:
        """The means of the directions."""
        toward_u = toward - m.C @ u
        return toward_u + m.A.T @ u, toward_u
