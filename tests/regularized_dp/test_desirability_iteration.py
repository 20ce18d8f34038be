"""Doob's transform, evidence lower bounds and subgoals against sums over paths and closed forms."""

from __future__ import annotations

from itertools import islice, product

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.models.canonical import canonical
from mdpkit.operators.goals import Goal, subgoal_bound, subgoal_policy
from mdpkit.solvers.regularized_dp import DesirabilityIteration

LIFE = 0.9


def line(n: int) -> mk.MDP:
    """States 0 to n - 1 in a row, a step left or right; the ends keep."""
    P = np.zeros((n, 2, n))
    for s in range(n):
        P[s, 0, max(s - 1, 0)] = P[s, 1, min(s + 1, n - 1)] = 1
    return mk.MDP(P, np.zeros((n, 2)), mk.Discounted(LIFE))


def test_bandit_in_closed_form() -> None:
    # One state without discount: the k-th policy is in proportion to r^k.
    r = np.array([1.0, 2.0, 4.0])
    mdp = mk.MDP(np.ones((1, 3, 1)), r[None], mk.Discounted(0.0))
    state = next(islice(mk.iterates(mdp, DesirabilityIteration()), 5, None))
    assert np.allclose(state.pi, r**5 / np.sum(r**5), rtol=1e-12)


def test_desirability_is_a_sum_over_paths() -> None:
    # Independent: all paths of up to fourteen steps that enter at their end, each with its probability and chance to live.
    mdp = line(3)
    h = Goal(canonical(mdp), 2).h
    total = 0.0
    for steps in range(1, 15):
        for path in product((-1, 1), repeat=steps):
            places = np.array([1, *path])
            for i in range(1, steps + 1):
                places[i] = max(places[i - 1] + places[i], 0)
                if places[i] == 2:
                    break
            total += (LIFE / 2) ** steps * (i == steps and places[i] == 2)
    assert total <= h[1] <= total + LIFE**15
    # The gambler's recursion: h_0 = l (h_0 + h_1) / 2, h_1 = l (h_0 + 1) / 2.
    half = LIFE / 2
    h_0 = half**2 / (1 - half - half**2)
    assert np.allclose(h, [h_0, half * (h_0 + 1), 1], rtol=1e-13)


def test_the_transform_on_a_line() -> None:
    mdp = line(3)
    goal = Goal(canonical(mdp), 2)
    h = goal.h
    pi = goal.policy.reshape(3, 2)
    assert np.isclose(pi[1, 1], 1 / (h[0] + 1))
    assert np.isclose(pi[0, 1], h[1] / (h[0] + h[1]))


def test_out_of_reach_the_reference_stays() -> None:
    P = np.array([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
    mdp = mk.MDP(P, np.zeros((2, 2)), mk.Discounted(LIFE))
    goal = Goal(canonical(mdp), 1)
    assert goal.h.tolist() == [0.0, 1.0]
    assert goal.policy.tolist() == [0.5] * 4
    state = next(islice(mk.iterates(mdp, DesirabilityIteration()), 3, None))
    assert state.pi.tolist() == [0.5] * 4


def test_subgoals_on_a_line_are_doorways() -> None:
    problem = canonical(line(5))
    legs = subgoal_bound(problem, 0, [2, 4])
    assert np.isclose(np.prod(legs), Goal(problem, 4).h[0], rtol=1e-13)
    back = subgoal_bound(problem, 1, [0, 4])
    assert np.prod(back) < Goal(problem, 4).h[1]
    with pytest.raises(OptionError, match="empty"):
        subgoal_bound(problem, 0, [])
    with pytest.raises(OptionError, match="empty"):
        Goal(problem, np.zeros(5, dtype=bool))


def test_the_policy_that_pursues_subgoals() -> None:
    # Value of the goal's reward under the policy with memory: at a doorway it is that of the goal's own transform.
    mdp = line(5)
    problem = canonical(mdp)
    P = mdp.P.toarray().reshape(5, 2, 5).copy()
    r = P[:, :, 4].copy()
    P[4], r[4] = np.eye(5)[4], 0
    paid = mk.MDP(P, r, mk.Discounted(LIFE))
    through = mk.evaluate(paid, subgoal_policy(problem, [2, 4]))
    whole = mk.evaluate(paid, Goal(problem, 4).policy.reshape(5, 2))
    assert np.isclose(through.V[0], whole.V[0], rtol=1e-9)
    state = next(islice(mk.iterates(paid, DesirabilityIteration()), 1, None))
    assert np.allclose(state.pi[:8], Goal(problem, 4).policy[:8], rtol=1e-12)


def test_subgoals_are_pursued_from_any_reference_one_after_the_other() -> None:
    problem = canonical(line(5))
    reference = np.array([0.3, 0.7] * 5)
    policy = subgoal_policy(problem, [2, 0, 4], reference)
    legs = [Goal(problem, g, reference).policy.reshape(5, 2) for g in (2, 0, 4)]
    assert not np.allclose(legs[0][1], Goal(problem, 2).policy.reshape(5, 2)[1])
    memory = policy.start(1)
    path = [1, 2, 1, 0, 1, 2, 3, 4]
    goals = [0, 1, 1, 2, 2, 2, 2, 2]
    for i, s in enumerate(path):
        assert policy.act(memory, s) == pytest.approx(legs[goals[i]][s])
        if i < 7:
            memory = policy.advance(memory, s, 0, path[i + 1])
    # A subgoal that is named twice, or where the path begins, is reached at once.
    again = subgoal_policy(problem, [1, 1, 4], reference)
    assert again.act(again.start(1), 1) == pytest.approx(legs[2][1])
    bound = subgoal_bound(problem, 1, [2, 0, 4], reference)
    assert bound == pytest.approx([Goal(problem, g, reference).h[s] for g, s in ((2, 1), (0, 2), (4, 0))])


def test_sparse_models_agree_with_dense_ones() -> None:
    mdp = mk.instances.make("garnet", S=500, A=2, branching=3, seed=1, exact=False).under(mk.Discounted(LIFE))
    assert mdp.P.dense is None
    dense = mk.MDP(mdp.P.toarray().reshape(500, 2, 500), mdp.r.reshape(500, 2), mk.Discounted(LIFE))
    goal = [3, 7]
    assert np.allclose(Goal(canonical(mdp), goal).h, Goal(canonical(dense), goal).h, rtol=1e-10)


def test_it_approaches_the_optimum() -> None:
    mdp = mk.instances.make("garnet", S=4, A=3, branching=2, seed=2, gamma="9/10").under(rho=0)
    sol = mk.solve(mdp, DesirabilityIteration(), max_steps=1000)
    assert sol.status is mk.Status.STEPS
    assert mk.evaluate(mdp, sol.last_policy).value >= 0.999 * mk.solve(mdp).value


def test_negative_rewards_are_refused() -> None:
    mdp = mk.MDP(np.ones((1, 2, 1)), [[-1.0, 2.0]], mk.Discounted(0.5))
    with pytest.raises(UnsupportedError, match="rewards that are not negative"):
        mk.solve(mdp, DesirabilityIteration())
