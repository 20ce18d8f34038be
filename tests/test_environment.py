"""Environments: adversaries and delays against enumeration, and what they refuse."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.environment import Adversarial, Delayed, Environment, independent, random_walk, switching
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.learner import Learner
from mdpkit.play import optimum, rounds

F = Fraction


def model(H: int = 2) -> mk.MDP:
    """Two states with one and two actions."""
    P = np.array([[F(1, 3), F(2, 3)], [F(1), F(0)], [F(1, 4), F(3, 4)]], dtype=object)
    state, action = np.array([0, 1, 1]), np.array([0, 0, 1])
    rho = np.array([F(1, 2), F(1, 2)], dtype=object)
    return mk.MDP(P, np.zeros(3), mk.FiniteHorizon(H), state=state, action=action, rho=rho)


def value(mdp: mk.MDP, policy: Any, table: Any) -> Fraction:
    """Value of a deterministic Markov policy in rationals."""
    P = np.array(mdp.P.rationals(), dtype=object)
    rows: list[dict[int, Fraction]] = [{} for _ in range(mdp.n_pairs)]
    for k, t, x in zip(mdp.P.row_of, mdp.P.indices, P, strict=True):
        rows[k][int(t)] = x
    V = [F(0)] * mdp.n_states
    for h in range(len(policy) - 1, -1, -1):
        r = table[h if len(table) > 1 else 0]
        V = [F(float(r[k])) + sum((x * V[t] for t, x in rows[k].items()), F(0)) for k in policy[h]]
    return sum((F(x) * v for x, v in zip(mdp.rho_exact.tolist(), V, strict=True)), F(0))  # type: ignore[union-attr]


def enumerated(mdp: mk.MDP, tables: Any, which: Any, H: int) -> tuple[Fraction, set[tuple[float, ...]]]:
    """The best total of a fixed deterministic Markov policy, and what the best policies earn in each episode."""
    ptr = mdp.pair_ptr.tolist()
    choices = list(product(*(range(ptr[s], ptr[s + 1]) for s in range(mdp.n_states))))
    best, found = None, set[tuple[float, ...]]()
    for policy in product(choices, repeat=H):
        worth = {m: value(mdp, policy, tables[m]) for m in set(which)}
        total = sum((worth[m] for m in which), F(0))
        each = tuple(float(worth[m]) for m in which)
        if best is None or total > best:
            best, found = total, {each}
        elif total == best:
            found.add(each)
    assert best is not None
    return best, found


class Uniform(Learner[Any]):
    """Plays uniformly and writes down what it is told, and when."""

    kinds = ("finite",)
    delayed = True

    def begin(self, view: Any, rng: Any) -> Any:
        return view, []

    def policy(self, state: Any) -> Any:
        view, _ = state
        count = np.diff(view.pair_ptr)
        return np.tile(np.repeat(1 / count, count), (view.H, 1))

    def observe(self, state: Any, feedback: Any, rng: Any) -> Any:
        state[1].append(feedback)
        return state


def told(environment: Any, n: int) -> list[Any]:
    """All feedback of a run."""
    return [each for played in rounds(environment, Uniform(), n, np.random.default_rng(0)) for each in played.feedback]


TABLES = np.array([[[0.0, 1.0, 0.25]], [[1.0, 0.0, 0.5]], [[0.5, 0.125, 0.75]]])
BY_STAGE = np.array([[[0.0, 1.0, 0.25], [0.5, 0.25, 0.0]], [[1.0, 0.0, 0.5], [0.0, 0.75, 1.0]]])


@pytest.mark.parametrize(
    ("tables", "which"),
    [
        (TABLES, None),
        (TABLES, [0, 0, 0, 0, 0]),
        (TABLES, [0, 2, 2, 1, 1]),
        (TABLES, [1, 1, 0, 1, 1]),
        (BY_STAGE, [0, 1, 1, 0, 1]),
    ],
)
def test_the_best_fixed_policy_in_hindsight_against_all_deterministic_policies(tables: Any, which: Any) -> None:
    mdp, n = model(), 5
    environment = Adversarial(mdp, tables, which)
    chosen = environment.which(n).tolist()
    total, each = enumerated(mdp, tables, chosen, 2)
    best = np.broadcast_to(optimum(environment, n), n)
    assert float(np.sum(best)) == pytest.approx(float(total), abs=1e-14)
    assert any(np.allclose(best, found, atol=1e-15, rtol=0) for found in each)
    assert np.array_equal(best, np.broadcast_to(optimum(Delayed(environment, 2), n), n))
    # In single episodes the fixed policy may lose to others.
    regret = mk.play(environment, Uniform(), episodes=n, rng=np.random.default_rng(1))
    assert regret.total == pytest.approx(float(total) - float(np.sum(regret.values)))


def test_values_against_an_adversary_are_of_the_table_of_the_episode() -> None:
    mdp = model()
    regret = mk.play(
        Adversarial(mdp, TABLES, [2, 0, 1]), Uniform(), episodes=3, rng=np.random.default_rng(1), keep=True
    )
    uniform = [(0, 1), (0, 2)]
    for k, m in enumerate([2, 0, 1]):
        mean = sum((value(mdp, (a, b), TABLES[m]) for a in uniform for b in uniform), F(0)) / 4
        assert regret.values[k] == pytest.approx(float(mean), abs=1e-15)
        assert np.array_equal(regret.rewards[k], TABLES[m, 0, regret.pairs[k]])  # type: ignore[index]


def test_wrappers_commute() -> None:
    mdp = model()
    one = Delayed(Adversarial(mdp, TABLES, [0, 1, 2, 1]), 1)
    two = Adversarial(Delayed(mdp, 1), TABLES, [0, 1, 2, 1])
    for environment in (one, two):
        assert environment.adversarial and environment.delayed
        view = environment.view(4)
        assert view.delays and view.r is None and (view.low, view.high) == (0.0, 1.0)
    runs = [mk.play(e, Uniform(), episodes=4, rng=np.random.default_rng(3), keep=True) for e in (one, two)]
    assert np.array_equal(runs[0].rewards, runs[1].rewards)
    assert np.array_equal(runs[0].best, runs[1].best)
    assert [(f.k, f.episode.k) for f in told(one, 4)] == [(f.k, f.episode.k) for f in told(two, 4)]


def test_delayed_feedback_arrives_in_order_and_what_comes_after_the_end_never_does() -> None:
    found = told(Delayed(model(), [3, 0, 1, 0, 9]), 5)
    assert [(f.k, f.episode.k) for f in found] == [(1, 1), (3, 0), (3, 2), (3, 3)]
    assert [(f.k, f.episode.k) for f in told(Delayed(model(), 2), 5)] == [(2, 0), (3, 1), (4, 2)]


def test_revealed_tables_come_with_the_feedback_of_their_episode() -> None:
    environment = Delayed(Adversarial(model(), BY_STAGE, [1, 0, 1], revealed=True), 1)
    assert environment.view(3).revealed
    for feedback in told(environment, 3):
        assert np.array_equal(feedback.episode.table, BY_STAGE[[1, 0, 1][feedback.episode.k]])
    assert all(feedback.table is None for feedback in told(Adversarial(model(), TABLES), 3))


def test_an_adversary_of_coins() -> None:
    base = Environment(
        mk.MDP(model().P, [0.5, 0.5, 0.5], mk.FiniteHorizon(2), state=[0, 1, 1], action=[0, 0, 1], rho=0), "bernoulli"
    )
    run = mk.play(Adversarial(base, TABLES), Uniform(), episodes=200, rng=np.random.default_rng(0), keep=True)
    assert set(np.unique(run.rewards)) == {0.0, 1.0}
    with pytest.raises(OptionError, match="mean of a coin"):
        Adversarial(base, 2 * TABLES)


def test_ready_made_adversaries() -> None:
    tables, which = switching(TABLES, 10, 3)
    assert which.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 0]
    assert (
        mk.play(Adversarial(model(), tables, which), Uniform(), episodes=10, rng=np.random.default_rng(0)).steps == 20
    )
    rng = np.random.default_rng(5)
    _, which = independent(TABLES, [0.25, 0.75, 0.0], 4000, rng)
    assert set(which.tolist()) == {0, 1} and abs(np.mean(which == 0) - 0.25) < 0.03
    tables, which = random_walk([[0.5, 1.0, 0.0]], 1000, 0.25, rng)
    assert tables.shape == (1000, 1, 3) and which.tolist() == list(range(1000))
    assert tables.min() == 0 and tables.max() == 1
    assert set(np.unique(np.abs(np.diff(tables, axis=0)))) == {0.25}
    tables, which = random_walk([0.5, 1.0, 0.0], 7, 0.1, rng, every=3)
    assert len(tables) == 3 and which.tolist() == [0, 0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Adversarial(model(), np.zeros((2, 4))), "wrong shape"),
        (lambda: Adversarial(model(), np.zeros((2, 3, 3))), "wrong shape"),
        (lambda: Adversarial(model(), np.zeros((0, 3))), "wrong shape"),
        (lambda: Adversarial(model(), np.full((2, 3), np.nan)), "not finite"),
        (lambda: Adversarial(model(), TABLES, [0, 3]), "names no table"),
        (lambda: Adversarial(model(), TABLES, [-1, 0]), "names no table"),
        (lambda: Adversarial(model(), TABLES, [0.5, 1.0]), "names no table"),
        (lambda: Adversarial(model(), TABLES, [0, 1]).which(3), "too few"),
        (lambda: Adversarial(Adversarial(model(), TABLES), TABLES), "already"),
        (lambda: Adversarial(Delayed(Adversarial(model(), TABLES), 1), TABLES), "already"),
        (lambda: Delayed(Delayed(model(), 1), 1), "late already"),
        (lambda: Delayed(model(), -1), "no counts"),
        (lambda: Delayed(model(), 1.5), "no counts"),
        (lambda: Delayed(model(), [[1]]), "no counts"),
        (lambda: mk.play(Delayed(model(), [1, 2]), Uniform(), episodes=3, rng=np.random.default_rng(0)), "differ"),
        (lambda: mk.play(Delayed(model(), [1, 2]), Uniform(), episodes=1, rng=np.random.default_rng(0)), "differ"),
        (lambda: switching(TABLES, 0, 1), "no count"),
        (lambda: switching(TABLES, 5, 0), "no count"),
        (lambda: independent(TABLES, [0.5, 0.6, 0.1], 5, np.random.default_rng(0)), "no law"),
        (lambda: random_walk([0.5, 1.5], 5, 0.1, np.random.default_rng(0)), "leaves"),
        (lambda: random_walk([0.5, 0.5], 5, 1.1, np.random.default_rng(0)), "leaves"),
    ],
)
def test_what_is_refused(make: Any, match: str) -> None:
    with pytest.raises(OptionError, match=match):
        make()


def test_wrappers_need_episodes() -> None:
    endless = model().under(mk.AverageReward())
    for wrap in (lambda m: Adversarial(m, TABLES), lambda m: Delayed(m, 1)):
        with pytest.raises(UnsupportedError):
            wrap(endless)


def test_learners_that_wait_for_no_feedback_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="does not play"):
        mk.play(Delayed(model(), 1), mk.solvers.exploration.UCBVI(), episodes=2, rng=np.random.default_rng(0))
