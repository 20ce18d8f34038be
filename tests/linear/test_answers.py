"""What methods with features answer: the policy is greedy for their own values, and optimal where these are exact."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.models.arithmetic import in_arithmetic
from mdpkit.models.canonical import canonical
from mdpkit.operators.backups import ExactBackup, SampledBackup
from mdpkit.solvers.linear import (
    LeastSquaresPolicyIteration,
    LeastSquaresValueIteration,
    VarianceWeightedMDVI,
    WeightedLeastSquaresMDVI,
)

EXACT = [
    (LeastSquaresValueIteration(), 150),
    (LeastSquaresPolicyIteration(), 20),
    (WeightedLeastSquaresMDVI(), 300),
    (WeightedLeastSquaresMDVI(alpha=0.3), 300),
    (VarianceWeightedMDVI(first=20), 300),
]


def model(seed: int) -> mk.LinearMDP:
    """One whose optimal policy is no constant, and is not that of the first actions."""
    mdp = mk.instances.make("linear-mdp", S=5, A=3, d=3, seed=seed, gamma="4/5")
    assert isinstance(mdp, mk.LinearMDP)
    return mdp


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("solver", "steps"), EXACT, ids=lambda x: type(x).__name__)
def test_policies_are_optimal_where_values_are_exact(solver, steps, seed) -> None:
    mdp = model(seed)
    best = mk.solve(mdp)
    gap = np.sort(best.Q, axis=1)
    assert (gap[:, -1] - gap[:, -2]).min() > 1e-3 and len(set(best.pi.actions.tolist())) > 1
    found = mk.solve(mdp, solver, max_steps=steps)
    assert found.pi.actions.tolist() == best.pi.actions.tolist()
    assert found.V == pytest.approx(best.V, abs=1e-6)


@pytest.mark.parametrize("solver", [WeightedLeastSquaresMDVI(), WeightedLeastSquaresMDVI(alpha=0.3)])
def test_early_answers_are_those_of_the_sums(solver) -> None:
    """After a few steps the last regression, its sum and the increments all differ: the estimate is w / A."""
    mdp, problem = model(13), canonical(model(13))
    alpha = 0.8 if solver.alpha is None else solver.alpha
    for k, state in enumerate(islice(mk.iterates(mdp, solver), 5)):
        answer = solver.answer(problem, state)
        s = (mdp.phi @ state.total).reshape(5, 3)
        if k:
            assert answer.V == pytest.approx(s.max(axis=1) * (1 - alpha) / (1 - alpha**k), rel=1e-12)
            # The gap of an exact backup: the width of MacQueen's bounds around the estimate.
            q = mdp.r + 0.8 * mdp.P.toarray() @ answer.V
            change = q.reshape(5, 3).max(axis=1) - answer.V
            assert state.gap == pytest.approx((change.max() - change.min()) / 0.2, rel=1e-9)
        assert (np.asarray(answer.choice) - np.arange(0, 15, 3)).tolist() == s.argmax(axis=1).tolist()


def test_no_bound_is_claimed_from_draws() -> None:
    noisy = WeightedLeastSquaresMDVI(backup=SampledBackup(3))
    states = islice(mk.iterates(model(1), noisy, np.random.default_rng(0)), 4)
    assert [state.gap for state in states] == [np.inf] * 4


@pytest.mark.parametrize("finite", [True, False])
def test_values_are_cut_off_at_what_can_be_earned(finite: bool) -> None:
    """From one draw each, three lucky corners of the square and an unlucky one fit 5/4 of the value that follows."""
    mdp = mk.instances.make("linear-hypercube-episodic", delta="1/2", gap="1/4")
    end = np.array([0.0, 10.0])
    mdp = mdp.under(mk.FiniteHorizon(2, terminal=end) if finite else mk.Discounted("9/10"))
    problem, solver = canonical(mdp), LeastSquaresValueIteration(samples=3)
    cut = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        state = solver.init(problem, rng)
        state = solver.step(problem, state if finite else state._replace(V=end), rng)
        theta, V = (state.theta[1], state.V[1]) if finite else (state.theta, state.V)
        fitted, most = np.maximum.reduceat(mdp.phi @ theta, mdp.pair_ptr[:-1]), 11.0 if finite else 10.0
        assert pytest.approx(np.clip(fitted, 0.0, most), abs=1e-12) == V
        cut += bool(fitted[0] > most + 0.5)
    assert cut > 3


def test_early_answers_of_the_second_run() -> None:
    mdp, problem = model(13), canonical(model(13))
    solver = VarianceWeightedMDVI(first=3)
    differ = False
    for k, state in enumerate(islice(mk.iterates(mdp, solver), 7)):
        inner, answer = state.inner, solver.answer(problem, state)
        differ |= bool(
            np.any(
                (mdp.phi @ inner.theta).reshape(5, 3).argmax(axis=1)
                != (mdp.phi @ inner.total).reshape(5, 3).argmax(axis=1)
            )
        )
        s = (mdp.phi @ inner.total).reshape(5, 3)
        assert inner.k == (k if k <= 3 else k - 3)
        if k:
            assert answer.V == pytest.approx(s.max(axis=1) * 0.2 / (1 - 0.8**inner.k), rel=1e-12)
        assert (np.asarray(answer.choice) - np.arange(0, 15, 3)).tolist() == s.argmax(axis=1).tolist()
    assert differ  # what is greedy for the last regression alone


def test_a_disturbed_backup_is_told_the_number_of_its_step() -> None:
    seen = []

    class Told(ExactBackup):
        def __call__(self, on, V, k, rng=None, pairs=None):
            seen.append(k)
            return super().__call__(on, V, k, rng, pairs)

    list(islice(mk.iterates(model(1), WeightedLeastSquaresMDVI(backup=Told())), 4))
    assert seen == [1, 2, 3]


def test_in_rationals_no_gap_is_claimed() -> None:
    problem = in_arithmetic(canonical(model(1)), "rational")
    for solver in (LeastSquaresValueIteration(), LeastSquaresPolicyIteration(), WeightedLeastSquaresMDVI()):
        state = solver.init(problem)
        assert state.gap == solver.step(problem, state).gap == np.inf
