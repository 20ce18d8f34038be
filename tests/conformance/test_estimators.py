"""Every estimator keeps the promises of its base class, found by walking the rooms."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import pkgutil
from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
import mdpkit.solvers as rooms
from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.models.arithmetic import in_arithmetic
from mdpkit.models.canonical import canonical
from mdpkit.operators.task import Task
from mdpkit.solver import Estimator

F = Fraction
STEPS = 40


def found() -> dict[str, type[Estimator[Any]]]:
    out: dict[str, type[Estimator[Any]]] = {}
    for info in pkgutil.walk_packages(rooms.__path__, "mdpkit.solvers."):
        module = import_module(info.name)
        for name in getattr(module, "__all__", ()):
            item = getattr(module, name)
            if inspect.isclass(item) and issubclass(item, Estimator) and not inspect.isabstract(item):
                out[name] = item
    return dict(sorted(out.items()))


ESTIMATORS = found()
every = pytest.mark.parametrize("name", ESTIMATORS)


def model(**changes: Any) -> mk.MDP:
    return mk.instances.make("random-dense", S=3, A=2, gamma="4/5", seed=1).under(**changes)


def ragged() -> mk.MDP:
    P = [[F(1, 2), F(1, 2)], [F(1), F(0)], [F(1, 4), F(3, 4)]]
    return mk.MDP(P, [F(1), F(0), F(2)], mk.Discounted(F(1, 2)), state=[0, 0, 1], action=[0, 1, 0], rho=0)


def run(estimator: Estimator[Any], mdp: mk.MDP, **options: Any) -> mk.Estimate:
    return mk.estimate(mdp, np.full(mdp.n_pairs, 1.0) / np.diff(mdp.pair_ptr)[mdp.state], estimator, **options)


@every
def test_declares_what_it_is(name):
    kind = ESTIMATORS[name]
    assert dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert kind.cites and kind.claims and kind.kinds and kind.needs
    estimator = kind()
    assert hash(estimator) == hash(kind()) and estimator == kind()
    assert pickle.loads(pickle.dumps(estimator)) == estimator
    assert copy.deepcopy(estimator) == estimator


@every
@pytest.mark.parametrize("make", [model, ragged])
@pytest.mark.parametrize("features", ["states", "pairs"])
def test_estimates_and_counts(name, make, features):
    estimator = ESTIMATORS[name]()
    mdp = make()
    found = run(estimator, mdp, steps=STEPS, rng=np.random.default_rng(0), features=features)
    assert found.value.shape == found.exact.shape == ((mdp.n_states if features == "states" else mdp.n_pairs),)
    assert found.values.shape == (len(found.marks), len(found.value))
    assert np.all(np.isfinite(found.value))
    assert (found.draws > 0) == estimator.randomized
    assert name in repr(found)


@every
def test_same_generator_same_estimate(name):
    estimator = ESTIMATORS[name]()
    first, second = (run(estimator, model(), steps=STEPS, rng=np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first.values, second.values)


@every
def test_marks_leave_the_run_as_it_is(name):
    estimator = ESTIMATORS[name]()
    some, all_ = (
        run(estimator, model(), steps=STEPS, rng=np.random.default_rng(3), marks=marks) for marks in ([7], range(STEPS))
    )
    assert some.marks.tolist() == [0, 7, STEPS]
    assert np.array_equal(some.values, all_.values[[0, 7, STEPS]])


@every
def test_inputs_are_left_alone(name):
    mdp = model()
    before = (mdp.P.data.copy(), mdp.r.copy())
    pi, phi = np.full((3, 2), 0.5), np.eye(3)[:, :2].copy()
    mk.estimate(mdp, pi, ESTIMATORS[name](), steps=5, rng=np.random.default_rng(0), features=phi)
    assert np.array_equal(pi, np.full((3, 2), 0.5)) and np.array_equal(phi, np.eye(3)[:, :2])
    assert np.array_equal(mdp.P.data, before[0]) and np.array_equal(mdp.r, before[1])


@every
def test_steps_leave_the_state_alone(name):
    estimator, rng = ESTIMATORS[name](), np.random.default_rng(0)
    task = Task(canonical(model()), np.full((3, 2), 0.5))
    state = estimator.init(task, rng)
    before = copy.deepcopy(state)
    estimator.step(task, state, rng)
    assert same(state, before)


def same(x: Any, y: Any) -> bool:
    if isinstance(x, tuple):
        return all(same(a, b) for a, b in zip(x, y, strict=True))
    return np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y


@every
@pytest.mark.parametrize("criterion", [mk.FiniteHorizon(3), mk.AverageReward(), mk.EntropyRegularized("1/2", 1)])
def test_refuses_other_criteria(name, criterion):
    with pytest.raises(UnsupportedError, match=r"criterion|value policies"):
        run(ESTIMATORS[name](), model(criterion=criterion), steps=1, rng=np.random.default_rng(0))


@every
def test_costs_are_negative_rewards(name):
    mdp = model()
    costs = mk.MDP(
        mdp.P.toarray(), -mdp.r, mk.Discounted("4/5"), state=mdp.state, action=mdp.action, minimize=True, rho=mdp.rho
    )
    gains, losses = (
        run(ESTIMATORS[name](), x, steps=STEPS, rng=np.random.default_rng(1), weights=[1, 1, 1]) for x in (mdp, costs)
    )
    assert np.allclose(gains.value, -losses.value, rtol=1e-12, atol=1e-14)
    assert np.allclose(gains.exact, -losses.exact)


@every
def test_randomized_ones_want_a_generator(name):
    if ESTIMATORS[name].randomized:
        with pytest.raises(OptionError, match="rng"):
            run(ESTIMATORS[name](), model(), steps=1)


@every
def test_fixed_points_are_exact_in_rationals(name):
    """With one feature a state, and on policy, every fixed point is the value."""
    estimator = ESTIMATORS[name]()
    problem = in_arithmetic(canonical(ragged()), "rational")
    task = Task(problem, [F(1, 3), F(2, 3), F(1)])
    limit = estimator.fixed_point(task)
    if limit is not None:
        assert all(isinstance(x, Fraction) for x in limit)
        assert list(limit) == list(task.truth)


# -- tasks ---------------------------------------------------------------------------------------------------------


def test_tasks_check_what_they_are_given():
    problem = canonical(model())
    half = np.full((3, 2), 0.5)
    with pytest.raises(ModelError, match="features do not fit"):
        Task(problem, half, features=np.ones((4, 1)))
    with pytest.raises(ModelError, match="features do not fit"):
        Task(problem, half, features="none")
    with pytest.raises(ModelError, match="never takes action 1 in state 0"):
        Task(problem, half, mu=[0, 0, 0])
    with pytest.raises(ModelError, match="weights are no law"):
        Task(problem, half, weights=[1, -1, 1])
    with pytest.raises(ModelError, match="weights do not fit"):
        Task(problem, half, weights=[1, 1])
    with pytest.raises(UnsupportedError, match="one discount factor"):
        Task(canonical(model(criterion=mk.TotalReward())), half)


def test_tasks_of_pairs_see_the_chain_of_pairs():
    task = Task(in_arithmetic(canonical(ragged()), "rational"), [F(1, 3), F(2, 3), F(1)], features="pairs")
    assert task.P.tolist() == [[F(1, 6), F(1, 3), F(1, 2)], [F(1, 3), F(2, 3), F(0)], [F(1, 12), F(1, 6), F(3, 4)]]
    assert task.weights @ task.P == pytest.approx(task.weights)
    assert list(task.truth) == list(task.r + task.gamma * task.P @ task.truth)


def test_several_recurrent_classes_need_weights():
    chain = mk.MDP(np.eye(2)[:, None], np.ones((2, 1)), mk.Discounted(0.5))
    task = Task(canonical(chain), [0, 0])
    with pytest.raises(ModelError, match="2 recurrent classes"):
        _ = task.weights
    assert Task(canonical(chain), [0, 0], weights=[1, 1]).weights.tolist() == [1, 1]
