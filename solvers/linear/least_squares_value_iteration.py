r"""Least-squares value iteration of linear MDPs, from exact moments or from a generative model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.kernels import design, gram, segments
from mdpkit.models.canonical import Canonical
from mdpkit.operators.feature_solver import DesignSolver
from mdpkit.operators.linear_features import LinearFeatures
from mdpkit.operators.log_linear import generator
from mdpkit.solver import Answer
from mdpkit.typing import Array, Floats

__all__ = ["LeastSquaresValueIteration", "State"]


class State(NamedTuple):
    """Coefficients and values, of the stages done so far over a finite horizon; the design; draws so far."""

    theta: Array
    V: Array
    k: int
    weights: Array
    draws: int
    gap: float


@dataclass(frozen=True)
class LeastSquaresValueIteration(DesignSolver[State]):
    r"""Value iteration on linear MDPs by regression on the features of a few pairs (LSVI).

    .. math:: \theta_{k+1} = \arg\min_\theta \sum_i w_i \bigl(\phi_i^\top\theta - y_i\bigr)^2, \quad
              y_i = r_i + \frac{\gamma}{n_i} \sum_{j \le n_i} V_k(s'_{ij}), \quad
              V_{k+1}(s) = \max_a \phi(s,a)^\top \theta_{k+1}

    The pairs i are the support of an optimal design w of the features, each drawn :math:`n_i = \lceil w_i n \rceil` times
    anew in each step; without ``samples``, y is the exact backup. Values are cut off at what can be earned. Over a finite
    horizon step k computes stage H - k.

    **Guarantee.** Backups are linear in the features, ``jin2020:linear-backup``, so that with exact moments these are the
    iterates of value iteration, or of backward induction: ``jin2020:exact-moments``. With samples, with probability at least
    :math:`1-\delta`, all action values of N steps are right up to
    :math:`e = \gamma B \sqrt{g \log(2 N L/\delta)/2}` a step, with the range B of values and the largest
    :math:`g = \phi^\top (\sum_i n_i \phi_i \phi_i^\top)^{-1} \phi`, which is at most :math:`d(1+\varepsilon)/n`; and the
    value of the policy up to twice the sum of these:
    ``lattimore2020b:generative-model`` (the constants derived here).

    *Departures.* Papers state orders only. Where values are known to be in a range, they are cut off there.

    Parameters
    ----------
    samples : int, optional
        Draws n of a step, of which the design's support may take a few more; None for exact moments.
    eps : number
        Accuracy of the design: leverages are at most :math:`d (1 + \varepsilon)`.

    References
    ----------
    ``jin2020`` (Proposition 2.3, recalled), ``lattimore2020b`` (recalled), ``kiefer1960`` for the design.

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> mdp = mk.instances.make("linear-hypercube-episodic", H=3)
    >>> mk.solve(mdp, LeastSquaresValueIteration()).V[0].round(6).tolist()
    [0.81, 3.0]
    >>> rough = mk.solve(mdp, LeastSquaresValueIteration(samples=10_000), rng=np.random.default_rng(0), max_steps=3)
    >>> bool(abs(rough.V[0, 0] - 0.81) < 0.05)
    True
    """

    cites: ClassVar = ("jin2020", "lattimore2020b", "kiefer1960")
    claims: ClassVar = ("jin2020:linear-backup", "jin2020:exact-moments", "lattimore2020b:generative-model")
    kinds: ClassVar = ("discounted", "finite")
    sublinear: ClassVar = True

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The design, and values of zero, or the terminal rewards."""
        of = LinearFeatures(problem)
        weights = of.core(self.eps)
        if of.finite:
            assert problem.H is not None and problem.terminal is not None
            V = np.tile(of.number(np.zeros(of.n_states)), (problem.H + 1, 1))
            V[-1] = problem.terminal
            return State(of.number(np.zeros((problem.H, of.dim))), V, 0, weights, 0, np.inf)
        return State(of.number(np.zeros(of.dim)), of.clipped(of.number(np.zeros(of.n_states))), 0, weights, 0, np.inf)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One regression: of the next earlier stage, or of the next iterate."""
        of = LinearFeatures(problem)
        if not of.finite:
            theta, draws = self._regression(of, state, state.V, 0, rng)
            q = of.phi @ theta
            V = of.clipped(of.best(q))
            gap = np.inf if V.dtype == object else of.certain(V, of.q(V))
            return State(theta, V, state.k + 1, state.weights, state.draws + draws, gap)
        assert problem.H is not None
        if state.k == problem.H:
            return state
        h = problem.H - 1 - state.k
        coefficients, draws = self._regression(of, state, state.V[h + 1], h, rng)
        theta, V = state.theta.copy(), state.V.copy()
        theta[h] = coefficients
        V[h] = of.clipped(of.best(of.phi @ coefficients), h)
        return State(theta, V, state.k + 1, state.weights, state.draws + draws, np.inf)

    def _regression(
        self, of: LinearFeatures, state: State, V: Array, h: int, rng: np.random.Generator | None
    ) -> tuple[Array, int]:
        """The coefficients of the backup of V, and how many draws they took."""
        core = np.flatnonzero(segments.floats(state.weights) > 0)
        if self.samples is None:
            return gram.least_squares(of.phi[core], state.weights[core], of.q(V, h)[core]), 0
        counts = self.counts(state.weights)
        y = of.sampled_q(V, counts, generator(rng, state.k), h)
        return gram.least_squares(of.phi[core], counts[core].astype(np.float64), y[core]), int(counts.sum())

    def counts(self, weights: Floats) -> Any:
        """How often each pair is drawn in a step, ``(L,)``."""
        assert self.samples is not None
        return np.ceil(weights * self.samples).astype(np.int64)

    def finished(self, state: State) -> bool:
        """Whether all stages are done."""
        return state.theta.ndim == 2 and state.k == len(state.theta)

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The values, and the greedy policy of the coefficients."""
        of = LinearFeatures(problem)
        if of.finite:
            assert problem.H is not None
            done = range(problem.H - state.k, problem.H)
            choice = np.tile(problem.pair_ptr[:-1], (problem.H, 1))
            for h in done:
                choice[h] = of.greedy(of.phi @ state.theta[h])
            return Answer(state.V, choice, steps=state.k)
        return Answer(state.V, of.greedy(of.phi @ state.theta))

    def error(self, problem: Canonical, weights: Floats, delta: float, steps: int) -> Floats:
        r"""What the values of all pairs are off by in a step, at most, with probability :math:`1-\delta` in all ``steps``.

        Of each stage over a finite horizon, ``(H,)``; else ``(1,)``. Zero for exact moments.
        """
        of = LinearFeatures(problem)
        assert problem.H is not None or not of.finite
        stages = range(problem.H or 1) if of.finite else range(1)
        if self.samples is None:
            return np.zeros(len(stages))
        counts = self.counts(weights).astype(np.float64)
        norm = float(design.leverages(of.phi, design.gram(of.phi, counts)).max())
        out: list[float] = []
        for h in stages:
            low, high = of.ranges[h + 1 if of.finite else 0]
            width = float(of.gamma[0]) * float(high - low)
            out.append(float(gram.deviation(width, np.array([norm]), steps * of.n_pairs, delta)[0]))
        return np.array(out)
