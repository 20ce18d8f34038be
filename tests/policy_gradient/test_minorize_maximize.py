"""Minorization and maximization: the maximizers against other optimizers, and monotone returns."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
from scipy.optimize import minimize

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.kernels import segments, surrogate
from mdpkit.solvers.policy_gradient import MinorizeMaximize

PTR = np.array([0, 3, 5, 6, 9])


def problem(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    old = rng.random(9) + 0.1
    old /= segments.spread(segments.total(old, PTR), PTR)
    A = rng.normal(size=9)
    A -= segments.spread(segments.mean(old, A, PTR), PTR)
    return old, A, rng.random(4)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("C", [0.05, 3.0, 500.0])
def test_the_kl_maximizer_against_a_general_optimizer(seed: int, C: float) -> None:
    # Independent: the problem with the largest divergence as a variable t, by sequential quadratic programming.
    old, A, weights = problem(seed)

    def softmax(x: np.ndarray) -> np.ndarray:
        return np.exp(x - segments.spread(np.log(segments.total(np.exp(x), PTR)), PTR))

    def divergences(p: np.ndarray) -> np.ndarray:
        return segments.total(old * np.log(old / p), PTR)

    def objective(p: np.ndarray) -> float:
        return float(weights @ segments.mean(p, A, PTR) - C * divergences(p).max())

    p = np.exp(surrogate.maximize_kl_max(np.log(old), A, weights, C, PTR))
    assert np.allclose(segments.total(p, PTR), 1, rtol=1e-13)
    best = objective(p)
    found = minimize(
        lambda z: C * z[-1] ** 2 - weights @ segments.mean(softmax(z[:-1]), A, PTR),
        np.append(np.log(old), 0.1),
        constraints={"type": "ineq", "fun": lambda z: z[-1] ** 2 - divergences(softmax(z[:-1]))},
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert best >= objective(softmax(found.x[:-1])) - 1e-9
    assert best == pytest.approx(-found.fun, abs=1e-5 * max(1, best))


@pytest.mark.parametrize("seed", range(4))
def test_the_tv_maximizer_against_a_grid(seed: int) -> None:
    old, A, weights = problem(seed)
    for C in (0.01, 3.0, 100.0):
        p = surrogate.maximize_tv_max(old, A, weights, C, PTR)
        assert np.allclose(segments.total(p, PTR), 1, rtol=1e-13) and np.all(p >= 0)

        def objective(p: np.ndarray, C: float = C) -> float:
            return float(weights @ segments.mean(p, A, PTR) - C * surrogate.total_variation(p, old, PTR).max() ** 2)

        # Of policies within a distance the best one is a linear program; it is enough to move mass from worst to best.
        for alpha in np.linspace(0, 1, 101):
            q = old.copy()
            for s in range(4):
                pairs = np.arange(PTR[s], PTR[s + 1])
                top, left = pairs[A[pairs].argmax()], alpha
                for j in pairs[np.argsort(A[pairs])]:
                    if j != top:
                        moved = min(left, q[j])
                        q[j], q[top], left = q[j] - moved, q[top] + moved, left - moved
            assert objective(p) >= objective(q) - 1e-12


def test_small_steps_have_a_closed_form() -> None:
    # C large: the divergence is t = (d sigma / C)^2 / 2 with sigma the deviation of the advantages; here one state.
    old, A = np.array([0.2, 0.3, 0.5]), np.array([1.0, -1.5, 0.5])
    ptr, C = np.array([0, 3]), 1e6
    p = np.exp(surrogate.maximize_kl_max(np.log(old), A, np.array([2.0]), C, ptr))
    t = 0.5 * (2 * np.sqrt(old @ A**2) / C) ** 2
    assert old @ np.log(old / p) == pytest.approx(t, rel=1e-4)
    assert np.allclose((p / old - 1) / A, 2 / C, rtol=1e-4)


@pytest.mark.parametrize("divergence", ["kl", "tv"])
def test_the_return_never_falls(divergence: str) -> None:
    mdp = mk.instances.make("garnet", S=5, A=3, branching=2, seed=1, gamma="3/10")
    V = [state.V for state in islice(mk.iterates(mdp, MinorizeMaximize(divergence=divergence)), 16)]
    J = [float(v.mean()) for v in V]
    assert all(b >= a for a, b in pairwise(J))
    assert J[-1] - J[0] > 0.4 * (mk.solve(mdp).V.mean() - J[0])


def test_parameters_are_checked() -> None:
    assert MinorizeMaximize().constant == 4  # enough for either divergence
    with pytest.raises(OptionError, match="divergence is unknown"):
        MinorizeMaximize(divergence="chi2")
    with pytest.raises(OptionError, match="constant is not positive"):
        MinorizeMaximize(constant=0)
    mdp = mk.instances.make("garnet", S=3, A=2, branching=2, seed=4, gamma="0")
    with pytest.raises(UnsupportedError, match="not zero"):  # the penalty would vanish, and any policy be a maximizer
        mk.solve(mdp, MinorizeMaximize())


@pytest.mark.parametrize("seed", range(6))
def test_policies_that_are_nearly_deterministic(seed: int) -> None:
    # Here Newton's method gives way to bisections; the maximizer beats its own neighbors and the old policy.
    rng = np.random.default_rng(seed)
    old = rng.random(9) ** 40 + 1e-150
    old /= segments.spread(segments.total(old, PTR), PTR)
    A = rng.normal(size=9)
    A -= segments.spread(segments.mean(old, A, PTR), PTR)
    weights, C = rng.random(4), 0.01

    def objective(log_p: np.ndarray) -> float:
        far = segments.total(old * (np.log(old) - log_p), PTR)
        return float(weights @ segments.mean(np.exp(log_p), A, PTR) - C * far.max())

    best = surrogate.maximize_kl_max(np.log(old), A, weights, C, PTR)
    assert np.all(np.isfinite(best)) and np.allclose(segments.total(np.exp(best), PTR), 1)
    for share in (0.01, 0.1, 0.5, 1.0):
        between = np.log((1 - share) * np.exp(best) + share * old)
        assert objective(between) <= objective(best) + 1e-12
