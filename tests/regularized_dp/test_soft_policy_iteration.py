"""Soft policy iteration against closed forms, general optimizers and simulation of its parts."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

import mdpkit as mk
from mdpkit.errors import ModelError, UnsupportedError
from mdpkit.solvers.regularized_dp import SoftPolicyIteration


def garnet(tau: object = "1/3", **options: object) -> mk.MDP:
    mdp = mk.instances.make("garnet", S=3, A=3, branching=2, seed=6)
    return mdp.under(
        mk.EntropyRegularized("4/5", tau, options.get("reference")),
        rho=[Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)],
    )


def soft_objective(mdp: mk.MDP, pi: np.ndarray, tau: float, gamma: float) -> float:
    """The value at the initial law with its entropy, by a linear solve of its own."""
    P, r = mdp.P.toarray(), mdp.r
    M = np.add.reduceat(pi.ravel()[:, None] * P, mdp.pair_ptr[:-1])
    reward = np.add.reduceat(pi.ravel() * (r - tau * np.log(pi.ravel())), mdp.pair_ptr[:-1])
    return float(mdp.rho @ np.linalg.solve(np.eye(len(M)) - gamma * M, reward))


def test_no_policy_is_better() -> None:
    # Independent: the maximum over softmax policies by a general optimizer.
    mdp = garnet()
    sol = mk.solve(mdp)

    def loss(x: np.ndarray) -> float:
        theta = x.reshape(3, 3)
        return -soft_objective(mdp, np.exp(theta - logsumexp(theta, axis=1, keepdims=True)), 1 / 3, 0.8)

    found = minimize(loss, np.zeros(9), tol=1e-12)
    assert np.isclose(sol.value, -found.fun, rtol=1e-8)
    theta = found.x.reshape(3, 3)
    assert np.allclose(np.asarray(sol.pi), np.exp(theta - logsumexp(theta, axis=1, keepdims=True)), atol=1e-4)
    assert np.isclose(soft_objective(mdp, np.asarray(sol.pi), 1 / 3, 0.8), sol.value, rtol=1e-12)


def test_the_first_steps_by_hand() -> None:
    # Puterman's two states: the first policy is uniform in state 0, where V_0 solves V = 7.5 + H/2 + 0.95 (V/4 - 15).
    tau = 0.5
    mdp = mk.instances.make("puterman-two-state").under(mk.EntropyRegularized("19/20", "1/2"))
    first, second = islice(mk.iterates(mdp, SoftPolicyIteration()), 2)
    V = (7.5 + tau * np.log(2) - 0.95 * 15) / (1 - 0.95 / 4)
    assert np.allclose(first.V, [V, -20], rtol=1e-12)
    q = np.array([5 + 0.95 * (V / 2 - 10), 10 - 19])
    assert np.allclose(np.exp(second.log_pi[:2]), np.exp(q / tau - logsumexp(q / tau)), rtol=1e-10)


def test_the_solution_is_a_fixed_point() -> None:
    mdp = garnet()
    sol = mk.solve(mdp)
    assert np.allclose(sol.V, logsumexp(3 * sol.Q, axis=1) / 3, atol=1e-9)
    assert np.allclose(np.asarray(sol.pi), np.exp(3 * (sol.Q - sol.V[:, None])), atol=1e-9)
    assert sol.last_policy is not None
    assert np.allclose(np.asarray(sol.last_policy), np.asarray(sol.pi), atol=1e-9)


def test_entropy_and_uniform_reference_differ_by_a_constant() -> None:
    uniform = np.full((3, 3), Fraction(1, 3), dtype=object)
    with_reference = mk.solve(garnet(reference=uniform))
    plain = mk.solve(garnet())
    assert np.allclose(plain.V - with_reference.V, np.log(3) / 3 / (1 - 0.8), rtol=1e-10)
    assert np.allclose(np.asarray(plain.pi), np.asarray(with_reference.pi), atol=1e-10)


def test_a_cold_problem_is_the_plain_one() -> None:
    mdp = garnet(tau="1/1000000")
    plain = mk.solve(mdp.under(mk.Discounted("4/5")))
    sol = mk.solve(mdp)
    assert np.all(sol.V - plain.V <= 1e-6 * np.log(3) / 0.2 + 1e-9)
    assert np.argmax(np.asarray(sol.pi), axis=1).tolist() == plain.pi.actions.tolist()


def test_a_hot_problem_is_uniform() -> None:
    assert np.allclose(np.asarray(mk.solve(garnet(tau=10**6)).pi), 1 / 3, atol=1e-5)


@pytest.mark.parametrize("minimize_", [False, True])
@pytest.mark.parametrize(
    "reference", [None, np.array([[Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)]] * 3, dtype=object)]
)
def test_the_policy_attains_its_value(minimize_: bool, reference: object) -> None:
    mdp = garnet(reference=reference).under(minimize=minimize_)
    sol = mk.solve(mdp)
    evaluation = mk.evaluate(mdp, sol.pi)
    assert np.all((sol.certificate.lower <= evaluation.V) & (evaluation.V <= sol.certificate.upper))
    assert evaluation.verify()
    assert evaluation.occupancy is not None
    assert np.isclose(evaluation.occupancy.sum(), 1)
    pi = np.asarray(sol.pi)
    mu = 1 if reference is None else np.asarray(reference, dtype=float)
    sign = -1 if minimize_ else 1
    assert np.allclose(np.sum(pi * (evaluation.Q - sign * np.log(pi / mu) / 3), axis=1), evaluation.V, atol=1e-12)


def test_policies_are_evaluated_with_their_entropy() -> None:
    mdp = garnet()
    uniform = mk.evaluate(mdp, mk.Stationary.uniform(mdp))
    plain = mk.evaluate(mdp.under(mk.Discounted("4/5")), mk.Stationary.uniform(mdp))
    assert np.allclose(uniform.V - plain.V, np.log(3) / 3 / 0.2, rtol=1e-12)
    fixed = mk.evaluate(mdp, [0, 1, 2], exact=True)
    assert np.all(fixed.exact == mk.evaluate(mdp.under(mk.Discounted("4/5")), [0, 1, 2], exact=True).exact)
    with pytest.raises(UnsupportedError, match="no rationals"):
        mk.evaluate(mdp, mk.Stationary.uniform(mdp), exact=True)
    mixture = mk.evaluate(mdp, mk.Mixture([mk.Stationary.uniform(mdp), [0, 1, 2]], [0.5, 0.5]))
    assert np.allclose(mixture.V, (uniform.V + fixed.V) / 2)


def test_policies_with_memory() -> None:
    mdp = garnet()
    alternating = mk.FiniteMemory(lambda s: 0, lambda m, s: np.full(3, 1 / 3), lambda m, s, a, t: 1 - m, 3)
    assert np.allclose(mk.evaluate(mdp, alternating).V, mk.evaluate(mdp, mk.Stationary.uniform(mdp)).V)
    reference = np.full((3, 3), Fraction(1, 3), dtype=object)
    with pytest.raises(UnsupportedError, match="reference policy"):
        mk.evaluate(garnet(reference=reference), alternating)


def test_a_given_policy_against_a_reference() -> None:
    mu = np.array([[Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)]] * 3, dtype=object)
    mdp = garnet(reference=mu)
    fixed = mk.evaluate(mdp, [0, 1, 2])
    plain = mk.evaluate(mdp.under(mk.Discounted("4/5")), [0, 1, 2])
    P = mdp.P.toarray()[[0, 4, 8]]
    bonus = np.linalg.solve(np.eye(3) - 0.8 * P, np.log([0.5, 0.25, 0.25]) / 3)
    assert np.allclose(fixed.V, plain.V + bonus, rtol=1e-12)


def test_files_keep_the_criterion(tmp_path: object) -> None:
    mu = np.array([[Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)]] * 3, dtype=object)
    for i, mdp in enumerate((garnet(), garnet(reference=mu), garnet(tau=0.3), garnet(reference=mu.astype(float)))):
        path = f"{tmp_path}/{i}.npz"
        mdp.save(path)
        again = mk.load(path)
        assert again == mdp
        assert again.criterion == mdp.criterion
        assert again.is_exact == mdp.is_exact
        assert again.exact().digest == mdp.digest
        assert "tau=" in repr(again)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        (np.full((2, 3), 1 / 3), "wrong shape"),
        (np.array([[0.5, 0.5, 0.0]] * 3), "no weight on state 0, action 2"),
        (np.array([[0.5, 0.5, 0.5]] * 3), "do not sum to one"),
    ],
)
def test_references_are_checked(reference: np.ndarray, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        garnet(reference=reference)
