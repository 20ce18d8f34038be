"""Proximal policy optimization: gradients by differences, the penalized maximizer, and the rule of the coefficient."""

from __future__ import annotations

from functools import partial
from itertools import islice, pairwise

import numpy as np
import pytest
from scipy.optimize import minimize

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.kernels import surrogate
from mdpkit.solvers.policy_gradient import PenalizedPolicyOptimization, ProximalPolicyOptimization

PTR = np.array([0, 3, 5])
OLD = np.array([0.2, 0.3, 0.5, 0.6, 0.4])
A = np.array([1.0, -1.5, 0.5, 0.4, -0.6])
WEIGHTS = np.array([0.7, 0.3])
PENALTIES = {
    "none": None,
    "clip": partial(surrogate.clip, epsilon=0.2),
    "quadratic": partial(surrogate.quadratic, epsilon=0.2),
    "kl": partial(surrogate.kl, beta=0.8),
    "tv": partial(surrogate.tv, beta=0.8),
}


def softmax(x: np.ndarray) -> np.ndarray:
    weights = np.exp(x)
    return weights / np.repeat(np.add.reduceat(weights, PTR[:-1]), np.diff(PTR))


@pytest.mark.parametrize("name", PENALTIES)
def test_gradients_are_those_of_the_values(name: str) -> None:
    penalty = PENALTIES[name]
    logits = np.log(OLD) + np.array([0.5, -0.3, 0.1, -0.2, 0.9])

    def value(x: np.ndarray) -> float:
        return surrogate.value(softmax(x) / OLD, OLD, A, WEIGHTS, PTR, penalty)

    h = 1e-6
    numeric = [(value(logits + h * e) - value(logits - h * e)) / (2 * h) for e in np.eye(5)]
    exact = surrogate.gradient(np.log(softmax(logits)), np.log(OLD), A, WEIGHTS, PTR, penalty)
    assert np.allclose(exact, numeric, atol=1e-8)


def test_averages_of_penalties_are_divergences() -> None:
    new = softmax(np.log(OLD) + np.array([0.5, -0.3, 0.1, -0.2, 0.9]))
    ratio = new / OLD
    for name, each in (("kl", OLD * np.log(OLD / new)), ("tv", np.abs(new - OLD) / 2)):
        cost = surrogate.value(ratio, OLD, A, WEIGHTS, PTR) - surrogate.value(
            ratio, OLD, A, WEIGHTS, PTR, PENALTIES[name]
        )
        assert cost == pytest.approx(0.8 * WEIGHTS @ np.add.reduceat(each, PTR[:-1]), rel=1e-12)


def test_the_clip_by_its_definition() -> None:
    ratio, advantages = np.meshgrid(np.linspace(0, 3, 31), np.array([-2.0, 0.0, 1.0]))
    ratio, advantages = ratio.ravel(), advantages.ravel()
    cost, _ = surrogate.clip(ratio, advantages, 0.2)
    defined = np.minimum(ratio * advantages, np.clip(ratio, 0.8, 1.2) * advantages)
    assert np.allclose(ratio * advantages - cost, defined, atol=1e-15)


def test_the_penalized_maximizer_against_a_general_optimizer() -> None:
    beta = np.full(2, 0.3)
    p = np.exp(surrogate.maximize_kl(np.log(OLD), A, beta, PTR))
    found = minimize(
        lambda x: -surrogate.value(softmax(x) / OLD, OLD, A, WEIGHTS, PTR, partial(surrogate.kl, beta=0.3)),
        np.log(OLD),
        tol=1e-12,
    )
    assert np.allclose(p, softmax(found.x), atol=1e-5)
    # Two actions: beta q / (nu - A) with nu from a quadratic equation.
    q, a = np.array([0.6, 0.4]), np.array([0.4, -0.6])
    b = a.sum() + 0.3
    nu = (b + np.sqrt(b**2 - 4 * (a.prod() + 0.3 * (q[0] * a[1] + q[1] * a[0])))) / 2
    assert np.allclose(p[3:], 0.3 * q / (nu - a), rtol=1e-12)


def test_the_first_step_is_the_policy_gradient() -> None:
    # One state: d = 1, and the logits move by eta pi A / (1 - gamma) times 1 - gamma.
    r = np.array([0.1, 0.5, 0.9])
    mdp = mk.MDP(np.ones((1, 3, 1)), r[None], mk.Discounted(0.5))
    state = next(islice(mk.iterates(mdp, ProximalPolicyOptimization(eta=0.3, inner=1)), 1, None))
    weights = np.exp(0.3 * (r - 0.5) / 3)
    assert np.allclose(np.exp(state.log_pi), weights / weights.sum(), rtol=1e-13)


def test_the_coefficient_doubles_and_halves() -> None:
    mdp = mk.instances.make("garnet", S=4, A=3, branching=2, seed=1, gamma="9/10")
    delta = 0.02
    states = list(islice(mk.iterates(mdp, PenalizedPolicyOptimization(delta)), 30))
    for before, after in pairwise(states):
        kappa = after.divergence
        factor = 2 if kappa > 1.5 * delta else 0.5 if kappa < delta / 1.5 else 1
        assert after.beta == factor * before.beta


def test_estimated_advantages_are_drawn_from_the_generator() -> None:
    class Noisy:
        def __call__(self, on, pi, rng=None):
            return on.advantage(on.value(pi)) + 0.01 * rng.normal(size=on.n_pairs)

    mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    solver = ProximalPolicyOptimization(advantages=Noisy())
    one, same, other = (
        list(islice(mk.iterates(mdp, solver, rng=np.random.default_rng(seed)), 5))[-1].V for seed in (1, 1, 2)
    )
    assert one.tolist() == same.tolist() != other.tolist()


def test_parameters_are_checked() -> None:
    for name in ("epsilon", "eta", "inner"):
        with pytest.raises(OptionError, match=f"{name} is not positive"):
            ProximalPolicyOptimization(**{name: 0})
    for name in ("delta", "beta"):
        with pytest.raises(OptionError, match=f"{name} is not positive"):
            PenalizedPolicyOptimization(**{name: 0})
    with pytest.raises(OptionError, match="factor is out of range"):
        PenalizedPolicyOptimization(factor=1)
