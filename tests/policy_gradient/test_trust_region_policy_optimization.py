"""Trust region policy optimization against the Fisher information by its definition."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.models.arithmetic import in_arithmetic
from mdpkit.models.canonical import canonical
from mdpkit.solvers.policy_gradient import TrustRegionPolicyOptimization


def test_the_step_is_the_scaled_fisher_direction() -> None:
    # Independent: sqrt(2 delta / (g F^+ g)) F^+ g with F by its definition, and g by the policy gradient theorem.
    mdp = mk.instances.make("garnet", S=3, A=3, branching=2, seed=5, gamma="9/10").under(rho=[0.2, 0.3, 0.5])
    S, A, gamma, delta = 3, 3, 0.9, 1e-3
    P, r, pi = mdp.P.toarray(), mdp.r, np.full(9, 1 / 3)
    M = np.add.reduceat(pi[:, None] * P, mdp.pair_ptr[:-1])
    V = np.linalg.solve(np.eye(S) - gamma * M, np.add.reduceat(pi * r, mdp.pair_ptr[:-1]))
    d = (1 - gamma) * np.linalg.solve((np.eye(S) - gamma * M).T, mdp.rho)
    q = r + gamma * P @ V
    g = (np.repeat(d, A) * pi * (q - np.repeat(V, A))) / (1 - gamma)
    F = np.zeros((9, 9))
    for s in range(S):
        block = slice(s * A, (s + 1) * A)
        F[block, block] = d[s] * (np.diag(pi[block]) - np.outer(pi[block], pi[block]))
    x = np.linalg.pinv(F) @ g
    x *= np.sqrt(2 * delta / (g @ x))

    def softmax(theta: np.ndarray) -> np.ndarray:
        weights = np.exp(theta).reshape(S, A)
        return (weights / weights.sum(axis=1, keepdims=True)).ravel()

    def mean_kl(p: np.ndarray) -> float:
        return float(d @ (pi * np.log(pi / p)).reshape(S, A).sum(axis=1))

    j = next(j for j in range(9) if mean_kl(softmax(x / 2**j)) <= delta)
    state = next(islice(mk.iterates(mdp, TrustRegionPolicyOptimization(delta)), 1, None))
    assert np.allclose(np.exp(state.log_pi), softmax(x / 2**j), rtol=1e-9)
    assert mean_kl(softmax(x)) == pytest.approx(delta, rel=0.1)


def test_balls_enclose_the_floats() -> None:
    mdp = mk.instances.make("garnet", S=3, A=2, branching=2, seed=5, gamma="9/10")
    solver = TrustRegionPolicyOptimization(Fraction(1, 100))
    problem = in_arithmetic(canonical(mdp), "ball")
    ball = solver.step(problem, solver.init(problem))
    state = next(islice(mk.iterates(mdp, solver), 1, None))
    assert np.allclose([float(x.mid()) for x in ball.log_pi], state.log_pi, rtol=1e-12)


def test_it_stops_where_no_step_improves() -> None:
    mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    states = list(islice(mk.iterates(mdp, TrustRegionPolicyOptimization(0.5)), 80))
    assert np.all(np.isfinite(states[-1].log_pi)) and states[-1].gap < 1e-6


def test_parameters_are_checked() -> None:
    with pytest.raises(OptionError, match="delta is not positive"):
        TrustRegionPolicyOptimization(delta=0)
    with pytest.raises(OptionError, match="shrink is out of range"):
        TrustRegionPolicyOptimization(shrink=1)
