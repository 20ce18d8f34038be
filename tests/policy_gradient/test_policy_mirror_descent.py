"""Policy mirror descent and its parts against closed forms and a general optimizer."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
from scipy.optimize import minimize

import mdpkit as mk
from mdpkit.claims.enclosure import precision
from mdpkit.claims.trial import iterates
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.kernels import segments, simplex
from mdpkit.operators.mirror_maps import Euclidean, KullbackLeibler, Tsallis
from mdpkit.operators.step_sizes import Adaptive, Constant, Increasing
from mdpkit.solvers.policy_gradient import NaturalPolicyGradient, PolicyMirrorDescent

F = Fraction
MAPS = [KullbackLeibler(), Euclidean(), Tsallis(), Tsallis(0.8)]


def run(mdp: mk.MDP, solver: PolicyMirrorDescent, n: int) -> list:
    return list(islice(mk.iterates(mdp, solver), n + 1))


def divergence(mirror: object, p: np.ndarray, x: np.ndarray) -> float:
    """By the definition of a Bregman divergence."""
    if isinstance(mirror, Euclidean):
        return 0.5 * float(np.sum((p - x) ** 2))
    if isinstance(mirror, KullbackLeibler):
        return float(np.sum(p * np.log(p / x)))
    q = float(mirror.q)  # type: ignore[attr-defined]
    h = lambda v: -np.sum(v**q) / (q * (1 - q))  # noqa: E731
    return float(h(p) - h(x) + np.sum(x ** (q - 1) * (p - x)) / (1 - q))


@pytest.mark.parametrize("mirror", MAPS, ids=str)
def test_the_step_is_the_maximizer(mirror: object) -> None:
    # Independent: a general solver (SLSQP) on the step's definition, in the softmax coordinates of two free numbers.
    mdp = mk.instances.make("garnet", S=1, A=3, branching=1, seed=5, gamma="1/2")
    first, second = run(mdp, PolicyMirrorDescent(0.7, mirror), 1)  # type: ignore[arg-type]
    old = mirror.policy(first.point)  # type: ignore[attr-defined]
    q = mdp.r + 0.5 * first.V[0]

    def loss(p: np.ndarray) -> float:
        return -0.7 * q @ p + divergence(mirror, p, old)

    found = minimize(
        loss, old, bounds=[(1e-9, 1)] * 3, constraints={"type": "eq", "fun": lambda p: p.sum() - 1}, tol=1e-14
    )
    assert np.allclose(mirror.policy(second.point), found.x, atol=2e-5)  # type: ignore[attr-defined]


def test_relative_entropy_is_the_natural_gradient() -> None:
    mdp = mk.instances.make("garnet", S=4, A=3, branching=2, seed=1, gamma="9/10")
    one = run(mdp, PolicyMirrorDescent(2.0), 4)
    other = list(islice(mk.iterates(mdp, NaturalPolicyGradient(eta=0.2)), 5))
    for x, y in zip(one, other, strict=True):
        assert np.allclose(x.point, y.log_pi, rtol=1e-10)
    other = list(islice(mk.iterates(mdp, NaturalPolicyGradient(Increasing(0.2))), 5))
    for x, y in zip(run(mdp, PolicyMirrorDescent(Increasing(2.0)), 4), other, strict=True):
        assert np.allclose(x.point, y.log_pi, rtol=1e-10)


@pytest.mark.parametrize("mirror", MAPS, ids=str)
@pytest.mark.parametrize("eta", [0.5, Increasing(0.5), Adaptive(2)], ids=str)
def test_floats_and_balls_agree(mirror: object, eta: object) -> None:
    mdp = mk.instances.make("garnet", S=3, A=3, branching=2, seed=2, gamma="9/10")
    solver = PolicyMirrorDescent(eta, mirror)  # type: ignore[arg-type]
    with precision(128):
        balls = list(iterates(mdp, solver, 4))
        for x, y in zip(run(mdp, solver, 4), balls, strict=True):
            assert np.allclose(x.point, [float(v.mid()) for v in y.point], rtol=1e-9, atol=1e-12)


def test_long_steps_in_floats() -> None:
    mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    for mirror in MAPS:
        last = run(mdp, PolicyMirrorDescent(Increasing(1.0, 10), mirror), 250)[-1]
        assert np.all(np.isfinite(last.V))
        assert last.gap < 1e-9
    for mirror in MAPS:  # past the largest power of the discount factor
        last = run(mdp.under(mk.Discounted("1/10")), PolicyMirrorDescent(Adaptive(), mirror), 250)[-1]
        assert last.gap < 1e-9


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([F(1, 2), F(1, 2)], [F(1, 2), F(1, 2)]),
        ([F(3), F(0), F(-1)], [1, 0, 0]),
        ([F(1), F(1), F(0)], [F(1, 2), F(1, 2), 0]),
        ([F(1), F(3, 4), F(-1)], [F(5, 8), F(3, 8), 0]),
    ],
)
def test_projection_onto_the_simplex(y: list[Fraction], expected: list[Fraction]) -> None:
    # By hand: the threshold is (sum of the support - 1)/size.
    ptr = np.array([0, len(y)])
    assert simplex.project(np.array(y, dtype=object), ptr).tolist() == expected
    assert np.allclose(simplex.project(np.array(y, dtype=float), ptr), np.array(expected, dtype=float), rtol=1e-15)
    with precision(64):
        balls = simplex.project(np.array([segments.ball(v) for v in y], dtype=object), ptr)
        assert all(x.overlaps(segments.ball(F(e))) for x, e in zip(balls, expected, strict=True))


def test_projection_of_ragged_states() -> None:
    rng = np.random.default_rng(3)
    ptr = np.array([0, 1, 4, 9])
    y = rng.normal(size=9) * 3
    x = simplex.project(y, ptr)
    exact = simplex.project(np.array([F(v) for v in y], dtype=object), ptr)
    assert np.allclose(x, exact.astype(float), atol=1e-15)
    assert np.allclose(np.add.reduceat(x, ptr[:-1]), 1, atol=1e-14)
    for s in range(3):  # the nearest point: no vertex is in the direction of what was cut off
        here = slice(ptr[s], ptr[s + 1])
        assert np.all((y[here] - x[here]) @ (np.eye(ptr[s + 1] - ptr[s]) - x[here]).T <= 1e-12)


def test_rules_of_step_sizes() -> None:
    mdp = mk.instances.make("garnet", S=1, A=2, branching=1, seed=5, gamma="1/2")
    good = int(np.argmax(mdp.r))
    gap = abs(mdp.r[0] - mdp.r[1])
    # Log odds grow by the step times the gap: closed forms with one state.
    for rule, total in ((0.5, 1.5), (Constant(0.5), 1.5), (Increasing(0.5, 3), 6.5), (Increasing(0.5), 3.5)):
        point = run(mdp, PolicyMirrorDescent(rule), 3)[-1].point
        assert np.isclose(point[good] - point[1 - good], total * gap, rtol=1e-12)
    point = run(mdp, PolicyMirrorDescent(Adaptive(2)), 1)[-1].point
    assert np.isclose(point[good] - point[1 - good], 2 * np.log(2) * gap, rtol=1e-12)


def test_bad_parameters_are_refused() -> None:
    for make in (
        lambda: PolicyMirrorDescent(eta=0),
        lambda: Constant(-1),
        lambda: Increasing(0),
        lambda: Adaptive(0),
        lambda: NaturalPolicyGradient(eta=-1),
    ):
        with pytest.raises(OptionError, match="eta is not positive"):
            make()
    with pytest.raises(OptionError, match="below one"):
        Increasing(1, F(1, 2))
    with pytest.raises(OptionError, match=r"outside \(0, 1\)"):
        Tsallis(1)
    with pytest.raises(OptionError, match="mirror map is none"):
        PolicyMirrorDescent(mirror="kl")  # type: ignore[arg-type]


def test_regularized_problems_want_the_relative_entropy() -> None:
    mdp = mk.instances.make("riverswim", n_states=3, gamma="9/10").under(mk.EntropyRegularized("9/10", "1/10"))
    with pytest.raises(UnsupportedError):
        list(iterates(mdp, PolicyMirrorDescent(mirror=Euclidean()), 1))
    solver = PolicyMirrorDescent(1.0)
    assert run(mdp, solver, 200)[-1].gap < 1e-6


def test_too_long_natural_steps_with_entropy_are_refused() -> None:
    mdp = mk.instances.make("riverswim", n_states=3, gamma="9/10").under(mk.EntropyRegularized("9/10", "1/10"))
    states = list(islice(mk.iterates(mdp, NaturalPolicyGradient(eta=1)), 40))  # soft policy iteration
    assert states[-1].gap < 1e-10
    with pytest.raises(OptionError, match="too long for the temperature"):
        list(islice(mk.iterates(mdp, NaturalPolicyGradient(eta=1.01)), 2))
