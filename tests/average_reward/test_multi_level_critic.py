"""The critic of the multi-level actor-critic with features of its own, its answer, and what a step says of its path."""

from __future__ import annotations

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.models.canonical import canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solvers.average_reward import MultiLevelActorCritic

PHI = [[1, 0], [2, 1], [0, 3]]


def model() -> mk.MDP:
    return mk.instances.make("random-dense", S=3, A=2, seed=2).under(mk.AverageReward())


def test_features_of_the_critic_are_those_that_were_given() -> None:
    problem, solver, rng = canonical(model()), MultiLevelActorCritic(critic=PHI, longest=8), np.random.default_rng(0)
    assert solver.phi(OnPolicy(problem)).tolist() == PHI
    phi, r = np.array(PHI, dtype=float), model().r
    state = solver.init(problem, rng)
    for k in range(12):
        new = solver.step(problem, state, rng)
        pairs = new.visited
        assert pairs is not None
        places = [int(x) // 2 for x in pairs]
        # In the order of the path: it begins where the last step ended, and where it goes from each pair is possible.
        assert places[0] == state.s
        after = [*places[1:], new.s]
        delta = r[pairs] - state.gain + phi[after] @ state.w - phi[places] @ state.w
        n = len(pairs)
        each = delta[:, None] * phi[places]
        g = each[0] if n == 1 else each[0] + n * (each.mean(axis=0) - each[: n // 2].mean(axis=0))
        assert new.w == pytest.approx(state.w + 0.5 / np.sqrt(1 + k) * g, rel=1e-9, abs=1e-12)
        state = new


def test_the_answer_is_the_critic_s_value_of_each_state_and_the_policy_played() -> None:
    problem, solver, rng = canonical(model()), MultiLevelActorCritic(critic=PHI, longest=8), np.random.default_rng(1)
    state = solver.init(problem, rng)
    for _ in range(9):
        state = solver.step(problem, state, rng)
    answer = solver.answer(problem, state)
    assert np.abs(state.w).max() > 0.01
    assert answer.V == pytest.approx(np.array(PHI, dtype=float) @ state.w, rel=1e-12)
    logits = state.theta.reshape(3, 2)
    played = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert answer.policy == pytest.approx(played.ravel(), rel=1e-12)


@pytest.mark.parametrize("power", [0.0, 0.75])
def test_steps_fall_like_the_power_that_was_given(power: float) -> None:
    problem, rng = canonical(model()), np.random.default_rng(3)
    solver = MultiLevelActorCritic(power=power, longest=1, beta=0.5)
    state = solver.init(problem, rng)
    for k in range(6):
        new = solver.step(problem, state, rng)
        assert new.visited is not None
        reward = model().r[int(new.visited[0])]
        assert new.gain == pytest.approx(state.gain + 0.5 * (1 + k) ** -power * (reward - state.gain), rel=1e-12)
        state = new
