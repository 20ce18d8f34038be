"""Martingale conditions and jump processes, against closed forms and the methods of discrete time."""

from __future__ import annotations

from fractions import Fraction
from math import exp, log
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

import mdpkit as mk
from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.kernels import martingale
from mdpkit.models.arithmetic import in_arithmetic
from mdpkit.models.canonical import canonical
from mdpkit.models.jump_process import JumpProcess
from mdpkit.operators.projected import moments
from mdpkit.operators.task import Task
from mdpkit.solvers.evaluation import (
    LeastSquaresTemporalDifferences,
    MartingaleLoss,
    MartingaleOrthogonality,
    MeanSquareTDError,
)

F = Fraction
KINDS = (MartingaleOrthogonality, MartingaleLoss, MeanSquareTDError)


def process(S: int = 4, seed: int = 0, rate: float = 0.7) -> JumpProcess:
    rng = np.random.default_rng(seed)
    L = rng.random((S, S))
    np.fill_diagonal(L, 0)
    return JumpProcess(L - np.diag(L.sum(axis=1)), rng.random(S), rate)


def least(kind: Any, **options: Any) -> Any:
    return kind(method="least squares", expected=True, **options)


def test_two_states_by_their_closed_form() -> None:
    # L = [[-a, a], [b, -b]]: e^{Lt} = pi + e^{-(a+b)t} (I - pi).
    a, b, t = 0.3, 1.1, 0.8
    pi = np.array([[b, a], [b, a]]) / (a + b)
    expected = pi + exp(-(a + b) * t) * (np.eye(2) - pi)
    assert np.allclose(martingale.exponential(np.array([[-a, a], [b, -b]]), t), expected, atol=1e-15)


@pytest.mark.parametrize("dt", [0.0, 1e-6, 0.3, 1.0, 50.0])
def test_exponential_of_a_generator(dt: float) -> None:
    L = process(5, 2).generator * 3
    P = martingale.exponential(L, dt)
    assert np.allclose(P, expm(L * dt), atol=1e-13)
    assert (P >= 0).all() and np.allclose(P.sum(axis=1), 1, atol=1e-15)


def test_exponential_is_within_its_rounding() -> None:
    """Terms below 2^-53 are left out; each product of n terms rounds by n units, and a square doubles what there was."""
    flint = pytest.importorskip("flint")
    p = process(4, 3)
    for dt, halvings in ((0.01, 0), (1.0, 2)):
        n, unit = 4, 2.0**-53
        bound = 2.0**halvings * unit * (martingale.TERMS * (n + 6) + 4 * n)
        exact = flint.arb_mat(n, n, [flint.arb(float(x)) * flint.arb(dt) for x in p.generator.flat]).exp()
        for x, y in zip(p.transition(dt).flat, exact.entries(), strict=True):
            assert abs(flint.arb(float(x)) - y) < bound


def test_uniformized_processes_have_the_same_value_exactly() -> None:
    p = JumpProcess([[-1, 1, 0], [F(1, 2), F(-3, 2), 1], [0, "1/3", "-1/3"]], [1, 0, "2/7"], rate="1/5", rho=1)
    V = p.value(exact=True)
    for speed in (None, 2, F(9, 4)):
        mdp = p.uniformized(speed)
        assert mdp.is_exact and mdp.rho is not None and mdp.rho[1] == 1
        task = Task(in_arithmetic(canonical(mdp), "rational"), [0, 0, 0])
        assert list(task.truth) == list(V)
    floats = p.uniformized(2.5)
    assert not floats.is_exact and np.allclose(mk.evaluate(floats, [0, 0, 0]).V, p.value())


def test_on_a_grid_the_value_is_off_by_half_a_payment() -> None:
    p = process()
    for dt in (0.1, 0.01):
        mdp = p.on_grid(dt)
        assert float(mdp.criterion.gamma) == pytest.approx(exp(-0.7 * dt))
        V = mk.evaluate(mdp, np.zeros(4, dtype=int)).V
        assert np.allclose(V - p.value(), dt / 2 * p.r, atol=dt**2)


def test_bad_processes_are_refused() -> None:
    with pytest.raises(ModelError, match="row 1 of the generator does not sum to zero"):
        JumpProcess([[-1, 1], [1, -2]], [0, 0], 1)
    with pytest.raises(ModelError, match="row 0"):
        JumpProcess([[-1.0, 1.1], [1.0, -1.0]], [0, 0], 1)
    with pytest.raises(ModelError, match="from 1 to 0 is negative"):
        JumpProcess([[-1, 1], [-1, 1]], [0, 0], 1)
    with pytest.raises(ModelError, match="do not fit"):
        JumpProcess([[0, 0], [0, 0]], [0], 1)
    with pytest.raises(ModelError, match="not finite"):
        JumpProcess([[-1.0, 1.0], [0.0, 0.0]], [np.nan, 0.0], 1)
    for rate in (0, -1, 0.0, float("inf")):
        with pytest.raises(OptionError, match="discount rate"):
            JumpProcess([[-1, 1], [1, -1]], [0, 0], rate)
    p = process()
    with pytest.raises(ModelError, match="holds floats"):
        p.value(exact=True)
    with pytest.raises(OptionError, match="backward"):
        p.transition(-1.0)
    with pytest.raises(OptionError, match="mesh"):
        p.on_grid(0.0)
    with pytest.raises(OptionError, match="faster than the clock"):
        p.uniformized(0.1)


def grid_task(features: Any = None) -> Task:
    return Task(canonical(process().on_grid(0.25)), np.zeros(4, dtype=int), features=features)


@pytest.mark.parametrize("lambda_", [0, 0.5, 0.9])
def test_with_a_factor_it_is_td_of_another_lambda(lambda_: float) -> None:
    task = grid_task([[1.0, 0], [1, 1], [1, 2], [1, 3]])
    A, b = MartingaleOrthogonality(lambda_=lambda_, dt=0.25).moments(task)
    td = moments(task, lambda_**0.25 / task.gamma)
    assert np.allclose(A, td.A) and np.allclose(b, td.b)


def test_least_squares_is_lstd() -> None:
    mdp, features = process().on_grid(0.25), [[1.0, 0], [1, 1], [1, 2], [1, 3]]
    pi = np.zeros(4, dtype=int)
    mine = mk.estimate(mdp, pi, least(MartingaleOrthogonality), steps=1, features=features)
    theirs = mk.estimate(mdp, pi, LeastSquaresTemporalDifferences(expected=True), steps=1, features=features)
    assert np.allclose(mine.value, theirs.value)


def test_the_rate_form() -> None:
    """(P - I - log(1/gamma)) J + r = 0."""
    mdp = process().on_grid(0.25)
    J = mk.estimate(mdp, np.zeros(4, dtype=int), least(MartingaleOrthogonality, discounting="rate"), steps=1).value
    P = mdp.P.toarray()
    assert np.allclose(P @ J - (1 - log(float(mdp.criterion.gamma))) * J + mdp.r, 0)


def test_the_loss_without_a_window_projects_the_value() -> None:
    mdp = process().on_grid(0.25)
    phi = np.array([[1.0, 0], [1, 1], [1, 2], [1, 3]])
    found = mk.estimate(mdp, np.zeros(4, dtype=int), least(MartingaleLoss, window=None), steps=1, features=phi)
    root = np.sqrt(found.task.weights)[:, None]
    w = np.linalg.lstsq(root * phi, root[:, 0] * found.exact, rcond=None)[0]
    assert np.allclose(found.value, phi @ w)
    assert found.fixed_point is not None and np.allclose(found.fixed_point, found.value)


def test_windows_with_more_to_go_come_near_the_value() -> None:
    mdp = process().on_grid(0.25)
    errors = [
        mk.estimate(mdp, np.zeros(4, dtype=int), least(MartingaleLoss, window=n, counted=m), steps=1).error
        for n, m in ((8, None), (64, None), (64, 1))
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.05 * errors[0]


def test_squares_of_residuals_lose_the_differences() -> None:
    p, pi = process(), np.zeros(4, dtype=int)
    spans = [
        np.ptp(mk.estimate(p.on_grid(dt), pi, least(MeanSquareTDError), steps=1).value) for dt in (0.1, 0.05, 0.025)
    ]
    assert spans[0] < 0.5 * np.ptp(p.value())
    assert np.allclose(np.array(spans[1:]) / spans[:-1], 0.5, atol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_expected_steps_find_the_solution(kind: Any) -> None:
    options = {"window": 8, "counted": 4} if kind is MartingaleLoss else {}
    for method, eta, steps in (("steps", 0.5, 4000), ("gradient", 2.0, 30_000)):
        mdp = process().on_grid(2.0)
        found = mk.estimate(
            mdp, np.zeros(4, dtype=int), kind(method=method, eta=eta, expected=True, **options), steps=steps
        )
        assert np.allclose(found.value, kind(expected=True, **options).solution(found.task), atol=1e-6)
        assert found.draws == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("features", ["states", "pairs"])
def test_means_of_what_is_drawn_tend_to_the_moments(kind: Any, features: str) -> None:
    mdp = mk.instances.make("random-dense", S=2, A=2, gamma="4/5", seed=3)
    options = {"window": 8, "counted": 4} if kind is MartingaleLoss else {}
    task = Task(canonical(mdp), [[0.5, 0.5], [0.2, 0.8]], features=features)
    method, rng = kind(method="least squares", **options), np.random.default_rng(1)
    state = method.init(task, rng)
    for _ in range(8000):
        state = method.step(task, state, rng)
    A, b = method.moments(task)
    assert np.allclose(state.A, A, atol=0.05) and np.allclose(state.b, b, atol=0.05)
    assert state.draws == 8000 and np.allclose(method.answer(task, state), method.solution(task), rtol=0.2)


def test_bad_options_are_refused() -> None:
    for kind in KINDS:
        with pytest.raises(OptionError, match="discounting is unknown"):
            kind(discounting="both")
        with pytest.raises(OptionError, match="method is unknown"):
            kind(method="sgd")
        with pytest.raises(OptionError, match="eta"):
            kind(eta=0)
        mdp = mk.instances.make("random-dense", S=2, A=2, gamma="4/5", seed=3)
        with pytest.raises(UnsupportedError, match="policy that is observed"):
            mk.estimate(mdp, [0, 0], kind(), steps=1, behavior=np.full((2, 2), 0.5), rng=np.random.default_rng(0))
    with pytest.raises(OptionError, match="lambda_"):
        MartingaleOrthogonality(lambda_=1)
    with pytest.raises(OptionError, match="dt"):
        MartingaleOrthogonality(dt=0)
    with pytest.raises(OptionError, match="window"):
        MartingaleLoss(window=None)
    with pytest.raises(OptionError, match="window"):
        MartingaleLoss(window=0)
    with pytest.raises(OptionError, match="counted"):
        MartingaleLoss(window=3, counted=4)


def test_what_is_not_rational_is_refused_in_rationals() -> None:
    mdp = mk.instances.make("random-dense", S=2, A=2, gamma="4/5", seed=3)
    task = Task(in_arithmetic(canonical(mdp), "rational"), [0, 1])
    with pytest.raises(UnsupportedError, match="rate log"):
        MartingaleOrthogonality(discounting="rate", expected=True).moments(task)
    with pytest.raises(UnsupportedError, match="power dt"):
        MartingaleOrthogonality(lambda_=F(1, 2), dt=F(1, 2), expected=True).moments(task)
    assert list(MartingaleOrthogonality(lambda_=F(1, 2), expected=True).fixed_point(task)) == list(task.truth)
