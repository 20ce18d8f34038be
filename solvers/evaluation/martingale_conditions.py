r"""Temporal differences of a process in continuous time that is observed on a grid: martingale conditions and losses."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.kernels import martingale, segments
from mdpkit.models.arithmetic import arithmetic_of
from mdpkit.models.sampling import check_count
from mdpkit.operators.task import Task, Transition
from mdpkit.solver import Estimator
from mdpkit.typing import Array

__all__ = ["Grid", "MartingaleLoss", "MartingaleOrthogonality", "MeanSquareTDError", "State"]

METHODS = ("steps", "least squares", "gradient")
DISCOUNTING = ("factor", "rate")


class Grid(NamedTuple):
    """Where a trajectory is, the test function ``(d,)``, and the features and payments of an unfinished window."""

    at: int
    trace: Array
    features: Array
    rewards: Array


class State(NamedTuple):
    """Parameters, the means of the moments so far (or the exact ones), the trajectory, and counts."""

    w: Array
    A: Array
    b: Array
    walk: Grid | None
    seen: int
    k: int
    draws: int


@dataclass(frozen=True)
class _OnGrid(Estimator[State]):
    """What the three conditions share: each says that some moments b - Aw vanish."""

    randomized: ClassVar[bool] = True
    needs: ClassVar[str] = "one discount factor, and the behavior's own policy"

    discounting: str = "factor"
    method: str = "steps"
    eta: Any = 0.1
    expected: bool = False

    def __post_init__(self) -> None:
        self.positive("eta")
        for name, known in (("discounting", DISCOUNTING), ("method", METHODS)):
            if getattr(self, name) not in known:
                raise OptionError(f"{name} is unknown", found=getattr(self, name), needed=", ".join(map(repr, known)))

    def form(self, task: Task) -> tuple[Any, Any]:
        """The factor f of the next value and the penalty p of the present one.

        Raises
        ------
        UnsupportedError
            If the rate is asked for in rationals, where it is no number.
        """
        one = task.gamma * 0 + 1
        if self.discounting == "factor":
            return task.gamma, one * 0
        if arithmetic_of(task.problem) == "rational":
            raise UnsupportedError(
                "the rate log(1/gamma) of a rational factor is not rational",
                needed="floats or balls",
                way_out="discounting='factor'",
            )
        return one, -(np.log(task.gamma) if isinstance(task.gamma, float) else task.gamma.log())

    @abstractmethod
    def moments(self, task: Task) -> tuple[Array, Array]:
        """The exact A and b."""

    @abstractmethod
    def observed(self, task: Task, walk: Grid, seen: Transition) -> tuple[Grid, Array | None, Array | None]:
        """The trajectory after a transition, and the A and b that it adds, if any."""

    def init(self, task: Task, rng: np.random.Generator | None = None) -> State:
        """Parameters zero, at a state drawn from the initial law; for expected updates, all moments."""
        return self.begin(task, None if self.expected else task.start(rng))

    def begin(self, task: Task, s: int | None) -> State:
        """Parameters zero, at a state."""
        if any(bool(p != q) for p, q in zip(task.pi, task.mu, strict=True)):
            raise UnsupportedError(
                "martingale conditions are those of the policy that is observed",
                found="a behavior that differs from the target",
                needed="no behavior",
            )
        zero = task.zeros()
        if s is None:
            return State(zero, *self.moments(task), None, 0, 0, 0)
        return State(zero, np.multiply.outer(zero, zero), zero, Grid(s, zero, task.phi[:0], task.on.r[:0]), 0, 0, 0)

    def step(self, task: Task, state: State, rng: np.random.Generator | None = None) -> State:
        """The update of one transition, or its mean."""
        if state.walk is not None:
            return self.update(task, state, task.draw(state.walk.at, rng))
        return self._moved(task, state._replace(k=state.k + 1), state.A, state.b)

    def update(self, task: Task, state: State, seen: Transition) -> State:
        """The update of a given transition, which continues the state's trajectory."""
        assert state.walk is not None
        walk, A, b = self.observed(task, state.walk, seen)
        state = state._replace(walk=walk, k=state.k + 1, draws=state.draws + 1)
        if A is None or b is None:
            return state
        n = state.seen + 1
        state = state._replace(A=state.A + (A - state.A) / n, b=state.b + (b - state.b) / n, seen=n)
        return self._moved(task, state, A, b)

    def _moved(self, task: Task, state: State, A: Array, b: Array) -> State:
        if self.method == "least squares":
            return state
        eta = task.on.number(self.eta)
        if self.method == "gradient":
            return state._replace(w=state.w + eta * (state.A.T @ (state.b - state.A @ state.w)))
        return state._replace(w=state.w + eta * (b - A @ state.w))

    def answer(self, task: Task, state: State) -> Array:
        """The estimate on the nodes."""
        if self.method != "least squares":
            return task.value(state.w)
        if state.A.dtype == object:
            return task.value(segments.solve(state.A, state.b))
        return task.value(np.linalg.lstsq(state.A, state.b, rcond=None)[0])  # of least norm while states are unseen

    def solution(self, task: Task) -> Array:
        """Where the condition holds, on the nodes, ``(n,)``."""
        return task.value(segments.solve(*self.moments(task)))


@dataclass(frozen=True)
class MartingaleOrthogonality(_OnGrid):
    r"""CTD(lambda), CLSTD and CGTD: temporal differences that are orthogonal to test functions.

    .. math:: E \sum_i \xi_i \delta_i = 0, \qquad \delta_i = J_w(X_{i+1}) - J_w(X_i) + r_i\,dt - \rho J_w(X_i)\,dt, \qquad
              \xi_i = \sum_{j \le i} \lambda^{t_i - t_j} \phi(X_j)

    A value J is the true one if and only if :math:`e^{-\rho t} J(X_t) + \int_0^t e^{-\rho s} r_s\,ds` is a martingale, whose
    increments are orthogonal to all that is known before. ``"steps"`` follows :math:`w \leftarrow w + \eta\, \xi_i \delta_i`,
    CTD(0) for lambda = 0 and else CTD(lambda); ``"least squares"`` solves the conditions of the means, CLSTD;
    ``"gradient"`` descends half the squared length of these moments, CGTD. The model is the process on the grid: its
    discount factor is :math:`e^{-\rho\,dt}` and its rewards are :math:`r\,dt`, as
    :class:`~mdpkit.models.jump_process.JumpProcess` makes them. With ``discounting="factor"``,
    :math:`\delta_i = e^{-\rho\,dt} J_w(X_{i+1}) - J_w(X_i) + r_i\,dt`, which is TD(:math:`\lambda^{dt}/\gamma`).

    **Guarantee.** Steps are those of the update, ``martingale-td:online``, and exact moments are its means,
    ``martingale-td:means``. With one feature a state every lambda and every method has the same solution, the one that makes
    a martingale, ``martingale-td:orthogonality``. On a finite chain with the generator L and
    :math:`V = (\rho - L)^{-1} r` it is off by :math:`\tfrac{dt}{2} r + O(dt^2)` with the factor,
    ``martingale-td:factor``, and by :math:`\tfrac{dt}{2} (\rho - L)^{-1} L^2 V + O(dt^2)` with the rate,
    ``martingale-td:rate``; so of the first order in the mesh, ``martingale-td:first-order``. With both conventions at once
    it would be the value at twice the rate, ``martingale-td:both-conventions``.

    *Departures.* Time is infinite and discounted, and the expected moments are those of a stationary process. The gradient
    is that of the mean moments, with no auxiliary weights.

    Parameters
    ----------
    discounting : {"factor", "rate"}
        How a step is discounted: the next value, or as a rate.
    method : {"steps", "least squares", "gradient"}
    eta : number
        Step size, positive.
    expected : bool
        Take exact moments in place of draws.
    lambda_ : number in [0, 1)
        What is left of a test function after a unit of time.
    dt : number
        Mesh of the grid, read with lambda alone.

    References
    ----------
    ``martingale-td``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> from mdpkit.models.jump_process import JumpProcess
    >>> process = JumpProcess([[-1, 1], [2, -2]], [1, 0], rate=1)
    >>> method = MartingaleOrthogonality(method="least squares", expected=True)
    >>> for dt in (0.1, 0.01):
    ...     found = mk.estimate(process.on_grid(dt), [0, 0], method, steps=1)
    ...     print((found.value - process.value()).round(5).tolist())
    [0.05166, -0.00166]
    [0.00502, -2e-05]
    """

    cites: ClassVar = ("martingale-td",)
    claims: ClassVar = (
        "martingale-td:orthogonality",
        "martingale-td:online",
        "martingale-td:means",
        "martingale-td:factor",
        "martingale-td:rate",
        "martingale-td:first-order",
        "martingale-td:both-conventions",
    )

    lambda_: Any = 0
    dt: Any = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.positive("dt")
        lambda_: Any = self.lambda_
        if not isinstance(lambda_, Real) or not 0 <= lambda_ < 1:
            raise OptionError("lambda_ is no share", found=repr(self.lambda_), needed="0 <= lambda_ < 1")

    def decay(self, task: Task) -> Any:
        """What is left of a test function after a step.

        Raises
        ------
        UnsupportedError
            If it is not rational and the task is.
        """
        lambda_ = task.on.number(self.lambda_)
        if self.dt == 1 or self.lambda_ == 0:
            return lambda_
        if arithmetic_of(task.problem) == "rational":
            raise UnsupportedError("lambda_ to the power dt is not rational", needed="floats or balls", way_out="dt=1")
        return lambda_ ** task.on.number(self.dt)

    def moments(self, task: Task) -> tuple[Array, Array]:
        """The exact A and b."""
        return martingale.orthogonality(task.P, task.r, task.phi, task.weights, *self.form(task), self.decay(task))

    def observed(self, task: Task, walk: Grid, seen: Transition) -> tuple[Grid, Array | None, Array | None]:
        """The trajectory after a transition, and what it adds to A and b."""
        factor, penalty = self.form(task)
        phi = task.phi[task.node(seen)]
        trace = self.decay(task) * walk.trace + phi
        change = (1 + penalty) * phi - factor * task.next_phi[seen.next_state]
        return (
            walk._replace(at=seen.next_state, trace=trace),
            np.multiply.outer(trace, change),
            task.on.r[seen.pair] * trace,
        )

    def fixed_point(self, task: Task) -> Array | None:
        """Where the condition holds."""
        return self.solution(task)


@dataclass(frozen=True)
class MartingaleLoss(_OnGrid):
    r"""ML: the least mean squared distance to what is paid afterwards, over windows of the trajectory.

    .. math:: \min_w \frac12 E \sum_{i<m} \Bigl( \sum_{i \le j < N} e^{-\rho (t_j - t_i)} r_j\,dt - J_w(X_i) \Bigr)^2 dt

    Where J makes a martingale, this is least: the loss is that of gradient Monte Carlo. ``"steps"`` follows the gradient of
    each window, ``"least squares"`` solves for its minimum.

    **Guarantee.** The minimizer is the projection of the true value, in the mean square, onto what the features span: that of
    the windows, weighted by the laws of :math:`X_i`, ``martingale-td:loss``. Steps along a trajectory are those of the
    windows' gradients, ``martingale-td:online``, with the exact moments as their means, ``martingale-td:means``.

    *Departures.* Windows follow one another along a trajectory, and what is paid after a window is left out: for the paper's
    finite horizon, with m = N, nothing is; for a value without an end, the first m steps have at least N - m more to go.
    Without a window, which the expected loss allows, all is counted.

    Parameters
    ----------
    discounting : {"factor", "rate"}
        How a step is discounted: the next value, or as a rate.
    method : {"steps", "least squares", "gradient"}
    eta : number
        Step size, positive.
    expected : bool
        Take exact moments in place of draws.
    window : int or None
        N; None for all that is paid.
    counted : int or None
        m, how many first steps of a window are compared with what follows; None for all of them.

    References
    ----------
    ``martingale-td``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> loss = MartingaleLoss(method="least squares", expected=True, window=None)
    >>> found = mk.estimate(mdp, [1, 1, 1, 1], loss, steps=1, features=[[1, 0], [1, 1], [1, 2], [1, 3]])
    >>> projected = found.task.weights @ (found.value - found.exact)
    >>> bool(abs(projected) < 1e-12), bool(abs(found.fixed_point_error - found.error) < 1e-9)
    (True, True)
    """

    cites: ClassVar = ("martingale-td",)
    claims: ClassVar = ("martingale-td:loss", "martingale-td:online", "martingale-td:means")

    window: int | None = 64
    counted: int | None = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window is not None:
            check_count(self.window, "window", 1)
            if self.counted is not None:
                check_count(self.counted, "counted", 1)
                if self.counted > self.window:
                    raise OptionError(
                        "more steps are counted than a window has", found=self.counted, needed=f"at most {self.window}"
                    )
        elif not self.expected:
            raise OptionError(
                "what is drawn is paid in windows", found="window=None", needed="a number of steps, or expected=True"
            )

    @property
    def first(self) -> int:
        """How many steps of a window are counted."""
        return self.counted or self.window or 1

    def moments(self, task: Task) -> tuple[Array, Array]:
        """The exact A and b."""
        factor, penalty = self.form(task)
        if self.window is None:
            whole = (1 + penalty) * martingale.eye(task.P) - factor * task.P
            values = [segments.solve(whole, task.r)]
        else:
            values = martingale.to_go(task.P, task.r, task.r * 0, factor, penalty, self.window)[-self.first :]
        A, b = martingale.projection(values, task.phi, [task.weights] * len(values))
        return A / len(values), b / len(values)

    def observed(self, task: Task, walk: Grid, seen: Transition) -> tuple[Grid, Array | None, Array | None]:
        """The trajectory after a transition, and at the end of a window what it adds to A and b."""
        features = np.concatenate([walk.features, task.phi[[task.node(seen)]]])
        rewards = np.concatenate([walk.rewards, task.on.r[[seen.pair]]])
        if len(rewards) < (self.window or 1):
            return Grid(seen.next_state, walk.trace, features, rewards), None, None
        n = self.first
        G, features = martingale.returns(rewards, task.gamma * 0, *self.form(task))[:n], features[:n]
        return (
            Grid(seen.next_state, walk.trace, task.phi[:0], task.on.r[:0]),
            features.T @ features / n,
            features.T @ G / n,
        )

    def fixed_point(self, task: Task) -> Array | None:
        """The minimizer without a window; None with one, which leaves out what is paid later."""
        return None if self.window is not None else self.solution(task)


@dataclass(frozen=True)
class MeanSquareTDError(_OnGrid):
    r"""MSTDE, the mean-square temporal-difference error: an objective that fails in continuous time.

    .. math:: \min_w E \sum_i \frac{1}{dt} \bigl( J_w(X_{i+1}) - J_w(X_i) + r_i\,dt - \rho J_w(X_i)\,dt \bigr)^2

    It is here to be seen failing: the square of the residual is of the order of the quadratic variation of J along the
    process, which is least where J is constant.

    **Guarantee.** The objective is the squared error of the mean residuals plus the variance of the next value,
    ``martingale-td:quadratic-variation``; steps along a trajectory follow the gradient, ``martingale-td:online``, and have the
    exact moments as their means, ``martingale-td:means``. With one feature a state, one action, the stationary law :math:`\mu`
    and discounting as a rate, the minimizer has the mean :math:`\mu V` exactly and tends to the constant
    :math:`c = \mu r/\rho` of that size:
    :math:`J = c + dt\,J_1 + O(dt^2)` with :math:`\tfrac12 (L + L^*) J_1 = \tfrac12 (L^* - \rho)(r - \mu r)`,
    ``martingale-td:flat``, so not to V, ``martingale-td:mean-square-error``. It is right where the process is deterministic,
    ``martingale-td:deterministic``.

    *Departures.* ``"steps"`` follows the gradient of each residual's square, with the next value in it, and without 1/dt, which
    would change the step size alone.

    Parameters
    ----------
    discounting : {"factor", "rate"}
        How a step is discounted: the next value, or as a rate.
    method : {"steps", "least squares", "gradient"}
    eta : number
        Step size, positive.
    expected : bool
        Take exact moments in place of draws.

    References
    ----------
    ``martingale-td``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> from mdpkit.models.jump_process import JumpProcess
    >>> process = JumpProcess([[-1, 1], [2, -2]], [1, 0], rate=1)
    >>> process.value()
    array([0.75, 0.5 ])
    >>> flat = MeanSquareTDError(method="least squares", expected=True)
    >>> mk.estimate(process.on_grid(0.001), [0, 0], flat, steps=1).value.round(3)
    array([0.667, 0.667])
    """

    cites: ClassVar = ("martingale-td",)
    claims: ClassVar = (
        "martingale-td:quadratic-variation",
        "martingale-td:online",
        "martingale-td:means",
        "martingale-td:flat",
        "martingale-td:mean-square-error",
        "martingale-td:deterministic",
    )

    def moments(self, task: Task) -> tuple[Array, Array]:
        """The exact A and b: over pairs, since the reward and the next state depend on the action together."""
        on, P = task.on, task.on.P
        dense = P.dense if P.dense is not None else P.toarray()
        phi = task.phi if task.by_pairs else task.phi[task.state]
        weights = on.spread(task.state_weights) * task.mu
        return martingale.errors_squared(dense, on.r, phi, task.next_phi, weights, *self.form(task))

    def observed(self, task: Task, walk: Grid, seen: Transition) -> tuple[Grid, Array | None, Array | None]:
        """The trajectory after a transition, and what it adds to A and b."""
        factor, penalty = self.form(task)
        change = (1 + penalty) * task.phi[task.node(seen)] - factor * task.next_phi[seen.next_state]
        return (
            walk._replace(at=seen.next_state),
            np.multiply.outer(change, change),
            task.on.r[seen.pair] * change,
        )
