"""The judge against the independent computations of the tests."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import oracle as o
import pytest

import mdpkit as mk
from mdpkit.claims import cases, equal, precision
from mdpkit.claims.enclosure import Outcome
from mdpkit.claims.judge import Judge, array, ball, balls, dot, largest, log_sum_exp, norm, total, weighted
from mdpkit.errors import ModelError

F = Fraction


def models():
    return [case.problem for case in cases.discounted()("fast", np.random.default_rng(3))]


@pytest.mark.parametrize("i", range(4))
def test_optimal_values_are_those_of_all_policies(i):
    mdp = models()[i]
    judge = Judge(mdp)
    model = o.read(mdp)
    gamma = F(mdp.criterion.exact)
    best = None
    for actions in np.ndindex(*(len(pairs) for pairs in judge.pairs)):
        V = o.discounted_policy(model, list(actions), gamma)
        best = V if best is None else [max(x, y) for x, y in zip(best, V, strict=True)]
    assert judge.optimal == best


@pytest.mark.parametrize("i", range(4))
def test_a_policy_and_its_visits(i):
    mdp = models()[i]
    rng = np.random.default_rng(i)
    with precision(128):
        judge = Judge(mdp)
        pi = [F(0)] * judge.L
        for pairs in judge.pairs:
            weights = rng.integers(1, 9, size=len(pairs)).tolist()
            for k, w in zip(pairs, weights, strict=True):
                pi[k] = F(w, sum(weights))
        V, d = judge.value(pi), judge.visits(pi)
        # Bellman's equations, in floats
        P, r, gamma = mdp.P.toarray(), mdp.r, float(judge.gamma_exact)
        weights = np.array(pi, dtype=float)
        M = np.add.reduceat(weights[:, None] * P, mdp.pair_ptr[:-1])
        x = np.linalg.solve(np.eye(judge.S) - gamma * M, np.add.reduceat(weights * r, mdp.pair_ptr[:-1]))
        assert np.allclose([float(v.mid()) for v in V], x, rtol=1e-10)
        assert equal(sum(d, ball(0)), 1 / (1 - judge.gamma)).outcome is Outcome.HOLDS
        assert (
            equal(
                judge.objective(V), sum((a * b for a, b in zip(d, judge.mean(pi, judge.r), strict=True)), ball(0))
            ).outcome
            is Outcome.HOLDS
        )
        assert (
            equal(norm([x - y for x, y in zip(judge.mean(pi, judge.q(V)), V, strict=True)]), 0).outcome is Outcome.HOLDS
        )


def test_the_soft_optimum_is_enclosed():
    mdp = mk.instances.make("garnet", S=3, A=2, branching=2, seed=5, gamma="9/10")
    tau = F(1, 5)
    with precision(128):
        judge = Judge(mdp)
        V = judge.soft_optimal(tau)
        again = judge.soft_backup(V, tau)
        assert all(equal(x, y).outcome is Outcome.HOLDS for x, y in zip(V, again, strict=True))
    # plain soft value iteration in floats
    P, r = mdp.P.toarray(), mdp.r
    x = np.zeros(3)
    for _ in range(1000):
        q = ((r + 0.9 * P @ x) / 0.2).reshape(3, 2)
        x = 0.2 * np.logaddexp(q[:, 0], q[:, 1])
    assert np.allclose([float(v.mid()) for v in V], x, rtol=1e-12)


def test_helpers():
    with precision(128):
        assert equal(largest([F(1, 3), F(1, 2), F(-5)]), F(1, 2)).outcome is Outcome.HOLDS
        assert equal(norm([F(1, 3), F(-5)]), 5).outcome is Outcome.HOLDS
        assert equal(log_sum_exp([0, 0, 0, 0]), ball(4).log()).outcome is Outcome.HOLDS
        assert equal(log_sum_exp([1000, 1000]), 1000 + ball(2).log()).outcome is Outcome.HOLDS


def test_sums_keep_their_numbers():
    assert weighted([F(1, 2), F(1, 3)], [4, 9]) == 5 and isinstance(weighted([F(1, 2)], [4]), F)
    assert total(x for x in (F(1, 3), F(2, 3))) == 1
    assert array((F(1), 2)).dtype == object and array([F(1, 3)])[0] == F(1, 3)
    with precision(128):
        assert equal(dot([F(1, 2), F(1, 3)], [4, 9]), 5).outcome is Outcome.HOLDS
        assert all(type(x).__name__ == "arb" for x in balls([F(1, 3), 2, 0.5]))


def test_policies_and_soft_rewards_by_hand():
    mdp = mk.instances.make("puterman-two-state").under(mk.Discounted(F(19, 20)))
    with precision(128):
        judge = Judge(mdp)
        assert judge.uniform() == [F(1, 2), F(1, 2), F(1)] and judge.temperature == 0 and judge.log_reference is None
        assert judge.exact_mean(judge.uniform(), [F(2), F(4), F(7)]) == [3, 7]
        expected = [-ball(2).log(), -ball(2).log(), 0]
        assert all(equal(x, y).outcome is Outcome.HOLDS for x, y in zip(judge.log_uniform(), expected, strict=True))
        paid = judge.soft_rewards(judge.log_uniform(), F(1, 2))
        assert equal(paid[0], judge.r[0] + ball(2).log() / 2).outcome is Outcome.HOLDS
        mu = [F(1, 3), F(2, 3), F(1)]
        soft = Judge(mdp.under(mk.EntropyRegularized(F(19, 20), F(1, 2), np.array(mu))))
        assert equal(soft.temperature, F(1, 2)).outcome is Outcome.HOLDS
        assert equal(soft.log_reference[1], ball(F(2, 3)).log()).outcome is Outcome.HOLDS


def test_other_models_are_refused():
    for mdp in (
        mk.instances.make("howard-toymaker").under(mk.Discounted(0.9)),
        mk.instances.make("howard-toymaker").under(minimize=True),
    ):
        with pytest.raises(ModelError, match="the judge wants"):
            Judge(mdp)
