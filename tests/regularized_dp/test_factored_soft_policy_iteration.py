"""Factored soft policy iteration against soft policy iteration, a general optimizer and games solved by hand."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.models.canonical import canonical
from mdpkit.solvers.regularized_dp import FactoredSoftPolicyIteration, SoftPolicyIteration


def test_one_part_is_soft_policy_iteration() -> None:
    mdp = mk.instances.make("garnet", S=4, A=3, branching=2, seed=1).under(mk.EntropyRegularized("9/10", "1/5"))
    one = islice(mk.iterates(mdp, FactoredSoftPolicyIteration()), 5)
    for a, b in zip(one, islice(mk.iterates(mdp, SoftPolicyIteration()), 5), strict=True):
        assert np.allclose(a.log_pi, b.log_pi, atol=1e-12)
        assert np.allclose(a.V, b.V, atol=1e-11)
    assert mk.solve(mdp, FactoredSoftPolicyIteration()).status.ok


def test_two_parts_by_hand() -> None:
    # One state, r = 3 a1 a2: from the uniform start part 1 sees the means 0 and 3/2, and part 2 what part 1 became.
    mdp = mk.MDP(np.ones((1, 4, 1)), [[0.0, 0.0, 0.0, 3.0]], mk.EntropyRegularized(0.0, 1.0))
    state = next(islice(mk.iterates(mdp, FactoredSoftPolicyIteration((2, 2), (1, 2))), 1, None))
    p = expit(1.5)
    assert np.allclose(np.exp(state.factors[0]), [[1 - p, p]])
    assert np.allclose(np.exp(state.factors[1])[0, 1], expit(3 * p / 2))


def test_three_parts_of_different_sizes() -> None:
    # Independent: the best response of each part to the limit, from sums over an array of rewards.
    rng = np.random.default_rng(3)
    r, b, tau = rng.normal(size=(2, 3, 2)), (1.0, 0.5, 2.0), 0.7
    mdp = mk.MDP(np.ones((1, 12, 1)), r.reshape(1, 12), mk.EntropyRegularized(0.0, tau))
    sol = mk.solve(mdp, FactoredSoftPolicyIteration((2, 3, 2), b), max_steps=500)
    pi = np.asarray(sol.last_policy).reshape(2, 3, 2)
    parts = [pi.sum(axis=(1, 2)), pi.sum(axis=(0, 2)), pi.sum(axis=(0, 1))]
    assert np.allclose(pi, np.einsum("i,j,k->ijk", *parts))
    for i, others in enumerate(("ijk,j,k->i", "ijk,i,k->j", "ijk,i,j->k")):
        q = np.einsum(others, r, *[p for j, p in enumerate(parts) if j != i]) / (tau * b[i])
        assert np.allclose(parts[i], np.exp(q - logsumexp(q)), atol=1e-9)


def test_the_objective_is_a_local_maximum() -> None:
    # Independent: no small change of the parts raises the weighted objective of a model with two states.
    mdp = mk.instances.make("garnet", S=2, A=4, branching=2, seed=8).under(mk.EntropyRegularized("4/5", "1/2"))
    b = (1.0, 0.4)
    state = next(islice(mk.iterates(mdp, FactoredSoftPolicyIteration((2, 2), b)), 200, None))
    P, r = mdp.P.toarray(), mdp.r

    def objective(theta: np.ndarray) -> float:
        parts = [x - logsumexp(x, axis=1, keepdims=True) for x in theta.reshape(2, 2, 2)]
        pi = np.exp(parts[0][:, :, None] + parts[1][:, None, :]).reshape(8)
        bonus = sum(-w * np.sum(np.exp(x) * x, axis=1) for w, x in zip(b, parts, strict=True))
        M = np.add.reduceat(pi[:, None] * P, [0, 4])
        return float(np.linalg.solve(np.eye(2) - 0.8 * M, np.add.reduceat(pi * r, [0, 4]) + 0.5 * bonus).mean())

    start = np.stack(state.factors).ravel()
    assert np.isclose(objective(start), state.V.mean(), rtol=1e-12)
    assert -minimize(lambda x: -objective(x), start).fun <= state.V.mean() + 1e-9


def test_values_never_fall() -> None:
    for seed in range(5):
        mdp = mk.instances.make("garnet", S=3, A=9, branching=2, seed=seed).under(mk.EntropyRegularized(0.9, 0.1))
        states = islice(mk.iterates(mdp, FactoredSoftPolicyIteration((3, 3), (1, 0.4))), 12)
        assert all(np.all(b.V >= a.V - 1e-11) for a, b in pairwise(states))


def test_where_it_stops_is_said() -> None:
    mdp = mk.instances.make("garnet", S=3, A=4, branching=2, seed=1).under(mk.EntropyRegularized("9/10", 1), rho=0)
    sol = mk.solve(mdp, FactoredSoftPolicyIteration((2, 2), (1, 0.5)))
    assert sol.status is mk.Status.STALLED
    assert sol.lower <= mk.solve(mdp).value <= sol.upper
    assert mk.solve(mdp, "factored_soft_policy_iteration?sizes=2,2&weights=1,0.5").V.tolist() == sol.V.tolist()


def test_a_state_that_rises_keeps_it_going() -> None:
    # In the other state all actions are alike, so that its value never changes.
    P = np.zeros((2, 4, 2))
    P[0, :, 0] = P[1, :, 1] = 1
    mdp = mk.MDP(P, [[1.0, 0.0, 0.0, 0.9], [0.0] * 4], mk.EntropyRegularized(0.5, 0.2), rho=0)
    solver = FactoredSoftPolicyIteration((2, 2))
    states = list(islice(mk.iterates(mdp, solver), 4))
    assert states[1].V[1] == pytest.approx(states[0].V[1])
    assert all(after.V[0] > now.V[0] for now, after in pairwise(states))
    assert not any(solver.finished(state) for state in states)
    assert [state.rise for state in states[1:]] == [np.max(b.V - a.V) for a, b in pairwise(states)]


def test_the_answer_counts_each_entropy_once() -> None:
    # The weights are the method's; the criterion, and so the answer and the gap, knows nothing of them.
    mdp = mk.instances.make("garnet", S=3, A=4, branching=2, seed=1).under(mk.EntropyRegularized("9/10", 1), rho=0)
    problem, best = canonical(mdp), mk.solve(mdp).V
    for weights in ((1, 0.5), (3, 1)):
        solver = FactoredSoftPolicyIteration((2, 2), weights)
        for state in islice(mk.iterates(mdp, solver), 4):
            found = solver.answer(problem, state)
            assert found.policy is not None
            pi = found.policy
            paid = np.add.reduceat(pi * (mdp.r - np.log(pi)), mdp.pair_ptr[:-1])
            M = np.add.reduceat(pi[:, None] * mdp.P.toarray(), mdp.pair_ptr[:-1])
            V = np.linalg.solve(np.eye(3) - 0.9 * M, paid)
            assert np.allclose(found.V, V, rtol=1e-10)
            assert not np.allclose(state.V, V, rtol=1e-3)
            assert state.gap >= np.max(best - V) * (1 - 1e-9)


def test_other_problems_are_refused() -> None:
    river = mk.instances.make("riverswim", n_states=3)
    for mdp, sizes in (
        (river.under(mk.EntropyRegularized("9/10", 1)), (2, 2)),  # two actions, not four
        (river.under(mk.EntropyRegularized("9/10", 1, np.array([0.25, 0.75] * 3))), ()),
    ):
        with pytest.raises(UnsupportedError, match="no reference policy"):
            mk.solve(mdp, FactoredSoftPolicyIteration(sizes))


def test_bad_parts_are_refused() -> None:
    for bad, says in (
        ({"sizes": (2, 0)}, "no counts"),
        ({"sizes": (2, 2), "weights": (1.0,)}, "differ in number"),
        ({"sizes": (2, 2), "weights": (1.0, 0.0)}, "not positive"),
    ):
        with pytest.raises(OptionError, match=says):
            FactoredSoftPolicyIteration(**bad)  # type: ignore[arg-type]
    mdp = mk.instances.make("garnet", S=3, A=3, branching=2, seed=1).under(mk.EntropyRegularized("9/10", 1))
    with pytest.raises(UnsupportedError, match="as many actions in each state"):
        mk.solve(mdp, FactoredSoftPolicyIteration((2, 2)))
