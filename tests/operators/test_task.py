"""Policy evaluation as a task: what its features are of, and which behaviors it takes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import ModelError, UnsupportedError
from mdpkit.models.arithmetic import in_arithmetic
from mdpkit.models.canonical import canonical
from mdpkit.operators.task import Task, stationary_law
from mdpkit.solvers.evaluation import MartingaleLoss, MartingaleOrthogonality, MeanSquareTDError, MultistepEvaluation

F = Fraction


def chain(**options) -> Task:
    """Two states with one action each, so that there are as many pairs as states."""
    P = [[[F(1, 2), F(1, 2)]], [[F(1, 4), F(3, 4)]]]
    mdp = mk.MDP(P, [[F(1)], [F(0)]], mk.Discounted(F(1, 2)), rho=0)
    return Task(in_arithmetic(canonical(mdp), "rational"), [0, 0], **options)


def test_as_many_rows_as_states_are_features_of_states() -> None:
    assert not chain(features=[[1], [2]]).by_pairs
    assert not chain().by_pairs
    assert chain(features="pairs").by_pairs
    two = mk.instances.make("random-dense", S=3, A=2, gamma="4/5", seed=1)
    half = np.full((3, 2), 0.5)
    assert Task(canonical(two), half, features=np.ones((6, 1))).by_pairs
    assert not Task(canonical(two), half, features=np.ones((3, 1))).by_pairs


def test_the_truth_is_the_target_s() -> None:
    # By hand: V0 = 1 + V0/4 + V1/4 and V1 = V0/8 + 3 V1/8.
    V0 = F(10, 7)
    assert chain().truth.tolist() == [V0, V0 / 5]
    mdp = mk.instances.make("random-dense", S=3, A=2, gamma="4/5", seed=1)
    target, behavior = np.array([[0.9, 0.1]] * 3), np.full((3, 2), 0.5)
    task = Task(canonical(mdp), target, behavior)
    assert task.truth == pytest.approx(mk.evaluate(mdp, target).V, rel=1e-12)
    assert task.truth == pytest.approx(MultistepEvaluation().fixed_point(task), rel=1e-12)
    assert np.abs(task.truth - mk.evaluate(mdp, behavior).V).max() > 1e-3


def test_the_stationary_law_by_hand() -> None:
    # Three states in floats and in rationals; detailed flows: 0 <-> 1 <-> 2 on a line with p up and q down.
    p, q = F(1, 3), F(1, 5)
    P = np.array([[1 - p, p, F(0)], [q, 1 - p - q, p], [F(0), q, 1 - q]], dtype=object)
    weights = [F(1), p / q, (p / q) ** 2]
    law = [x / sum(weights) for x in weights]
    assert stationary_law(P).tolist() == law
    assert stationary_law(P.astype(float)) == pytest.approx([float(x) for x in law], rel=1e-14)
    # A transient state first: it is never visited, whichever equation is left out.
    Q = np.array([[F(0), F(1), F(0)], [F(0), F(1, 2), F(1, 2)], [F(0), F(1), F(0)]], dtype=object)
    assert stationary_law(Q).tolist() == [F(0), F(2, 3), F(1, 3)]
    with pytest.raises(ModelError, match="2 recurrent classes"):
        stationary_law(np.eye(2))


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_behavior_must_cover_the_target_wherever_that_goes(share: float) -> None:
    mdp = mk.instances.make("random-dense", S=3, A=2, gamma="4/5", seed=1)
    target = np.array([[1.0, 0.0], [1 - share, share], [1.0, 0.0]])
    with pytest.raises(ModelError, match="never takes action 1 in state 1"):
        Task(canonical(mdp), target, [0, 0, 0])


@pytest.mark.parametrize("kind", [MartingaleOrthogonality, MartingaleLoss, MeanSquareTDError])
def test_martingale_conditions_refuse_a_behavior_that_differs_in_one_state(kind) -> None:
    mdp = mk.instances.make("random-dense", S=3, A=2, gamma="4/5", seed=1)
    half = np.full((3, 2), 0.5)
    other = half.copy()
    other[1] = 0.25, 0.75
    for given in (other, half):
        task = Task(canonical(mdp), half, given)
        if given is half:
            assert kind(expected=True, **({"window": None} if kind is MartingaleLoss else {})).init(task).k == 0
            continue
        with pytest.raises(UnsupportedError, match="differs from the target"):
            kind().init(task, np.random.default_rng(0))


def test_states_drawn_are_states_although_probabilities_round() -> None:
    """Ten tenths sum to less than one in floats: the largest uniform number must not fall behind the last state."""
    L = np.eye(10)[:, None]
    mdp = mk.MDP(L, np.zeros((10, 1)), mk.Discounted(0.5), rho=np.full(10, 0.1))
    assert np.cumsum(mdp.rho)[-1] < 1
    task = Task(canonical(mdp), [0] * 10)
    assert task._rows[0][-1] == 1.0
