"""Environments of models and models of environments."""

from __future__ import annotations

import sys
import warnings
from fractions import Fraction

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
from gymnasium.utils.env_checker import check_env  # noqa: E402

from mdpkit.errors import ModelError, OptionError, UnsupportedError  # noqa: E402
from mdpkit.io import load  # noqa: E402
from mdpkit.io.gym import MDPEnv, from_gym  # noqa: E402
from mdpkit.models import (  # noqa: E402
    MDP,
    Discounted,
    FiniteHorizon,
    Invariance,
    Reachability,
    TotalReward,
)

PUTERMAN = MDP(
    np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]]),
    np.array([[5.0, 10.0], [-1.0, -1.0]]),
    Discounted(0.95),
    rho=0,
)
TABLES = ["FrozenLake-v1?map_name=4x4", "FrozenLake-v1?map_name=8x8&is_slippery=false", "CliffWalking-v1", "Taxi-v4"]


class Table:
    """An environment reduced to its table."""

    def __init__(self, P, law=None):
        self.P = P
        if law is not None:
            self.initial_state_distrib = law

    @property
    def unwrapped(self):
        return self


def solve(M, b):
    """Gauss-Jordan elimination in Fractions."""
    n = len(b)
    rows = [[*row, x] for row, x in zip(M, b, strict=True)]
    for i in range(n):
        pivot = next(k for k in range(i, n) if rows[k][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for k in range(n):
            if k != i and rows[k][i] != 0:
                rows[k] = [x - rows[k][i] * y for x, y in zip(rows[k], rows[i], strict=True)]
    return [row[-1] for row in rows]


def optimal_value(mdp, gamma):
    """Policy iteration in Fractions, on dictionaries."""
    S, P, r = mdp.n_states, mdp.P, mdp.reward.exact
    rows = [
        dict(zip(P.indices[i:j].tolist(), P.exact[i:j], strict=True))
        for i, j in zip(P.indptr, P.indptr[1:], strict=False)
    ]
    choice = list(mdp.pair_ptr[:-1])
    while True:
        M = [[Fraction(s == t) - gamma * rows[choice[s]].get(t, 0) for t in range(S)] for s in range(S)]
        V = solve(M, [r[k] for k in choice])
        q = [r[k] + gamma * sum(p * V[t] for t, p in rows[k].items()) for k in range(len(rows))]
        better = [max(range(mdp.pair_ptr[s], mdp.pair_ptr[s + 1]), key=lambda k: q[k]) for s in range(S)]
        if all(q[b] == V[s] for s, b in enumerate(better)):
            return V
        choice = better


# -- reading tables ----------------------------------------------------------------------------------------------------


def test_frozen_lake_is_exact():
    mdp = from_gym("FrozenLake-v1?map_name=4x4&is_slippery=true", Discounted("99/100")).exact()
    assert (mdp.n_states, mdp.n_pairs) == (16, 64)
    assert set(mdp.P.exact.tolist()) <= {Fraction(1, 3), Fraction(2, 3), Fraction(1)}
    assert all(sum(mdp.P.exact[i:j]) == 1 for i, j in zip(mdp.P.indptr, mdp.P.indptr[1:], strict=False))
    assert np.flatnonzero(mdp.labels["terminal"]).tolist() == [5, 7, 11, 12, 15]
    assert mdp.rho.tolist() == [1.0] + 15 * [0.0]
    assert optimal_value(mdp, Fraction(99, 100))[0] == Fraction(868292016472811700, 1601938145778704383)


def direct(env, gamma, sweeps=3000):
    """Value iteration on the raw table, where a terminated transition has no future."""
    P = env.unwrapped.P
    V = np.zeros(len(P))
    for _ in range(sweeps):
        V = np.array(
            [
                max(sum(p * (r + gamma * V[t] * (not end)) for p, t, r, end in P[s][a]) for a in P[s])
                for s in range(len(P))
            ]
        )
    return V


@pytest.mark.parametrize("spec", TABLES)
def test_value_is_that_of_the_table(spec):
    name, _, query = spec.partition("?")
    options = {"map_name": "4x4"} if "4x4" in query else {"map_name": "8x8", "is_slippery": False} if query else {}
    env = gymnasium.make(name, **options)
    expected = direct(env, 0.5, 70)
    mdp = from_gym(spec)
    V = np.zeros(mdp.n_states)
    for _ in range(70):
        V = np.maximum.reduceat(mdp.r + 0.5 * (mdp.P @ V), mdp.pair_ptr[:-1])
    inside = ~mdp.labels["terminal"][: len(expected)]
    np.testing.assert_allclose(V[: len(expected)][inside], expected[inside], rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(mdp.rho[: len(expected)], env.unwrapped.initial_state_distrib)
    env.close()


def test_sizes_of_the_toy_texts():
    assert from_gym("CliffWalking-v1").n_states == 48
    taxi = from_gym("Taxi-v4")
    assert taxi.n_states == 501
    assert np.flatnonzero(taxi.labels["terminal"]).tolist() == [500]
    assert taxi.exact().rho_exact[1] == Fraction(1, 300)
    assert load("gym:FrozenLake-v1?map_name=8x8").n_states == 64


def test_merging_averages_rewards():
    table = {
        0: {0: [(0.25, 1, 4.0, False), (0.5, 1, 1.0, False), (0.25, 0, 7.0, False)]},
        1: {0: [(1.0, 1, 0.0, False)]},
    }
    mdp = from_gym(Table(table))
    assert mdp.P.toarray().tolist() == [[0.25, 0.75], [0.0, 1.0]]
    assert mdp.reward.transition.tolist() == [7.0, 2.0, 0.0]
    assert mdp.r.tolist() == [0.25 * 7 + 0.25 * 4 + 0.5, 0.0]
    assert mdp.rho is None
    assert not mdp.labels


def test_terminal_states():
    # 1 is entered by a terminated and by a free transition; 2 by terminated ones only, and pays if left alone
    table = {
        0: {0: [(0.5, 1, 1.0, True), (0.5, 2, 2.0, True)], 1: [(1.0, 1, 0.0, False)]},
        1: {0: [(1.0, 0, 5.0, False)], 1: [(1.0, 2, 6.0, True)]},
        2: {0: [(1.0, 0, 9.0, False)], 1: [(1.0, 2, 9.0, True)]},
    }
    mdp = from_gym(Table(table))
    assert mdp.n_states == 4
    assert np.flatnonzero(mdp.labels["terminal"]).tolist() == [2, 3]
    P = mdp.P.toarray().reshape(4, 2, 4)
    assert P[0, 0].tolist() == [0, 0, 0.5, 0.5]
    assert P[0, 1].tolist() == [0, 1, 0, 0]
    assert np.all(P[2:, :] == np.eye(4)[2:, None, :])
    assert mdp.r.reshape(4, 2).tolist() == [[1.5, 0.0], [5.0, 6.0], [0.0, 0.0], [0.0, 0.0]]
    # a start in state 2 pays 9 first: it may not become absorbing
    started = from_gym(Table(table, [0.0, 0.0, 1.0]))
    assert np.flatnonzero(started.labels["terminal"]).tolist() == [3]
    assert started.r.reshape(4, 2)[2].tolist() == [9.0, 9.0]
    assert started.rho.tolist() == [0.0, 0.0, 1.0, 0.0]


def test_terminal_state_outside_the_table_and_names():
    table = {"a": {"go": [(1.0, "end", 3.0, True)], "stay": [(1.0, "a", 0.0, False), (0.0, "nowhere", 0.0, False)]}}
    mdp = from_gym(Table(table))
    assert mdp.state_names == ("a", "end")
    assert mdp.pair_names == ("go", "stay", "go", "stay")
    assert mdp.P.toarray().tolist() == [[0, 1], [1, 0], [0, 1], [0, 1]]
    assert mdp.labels["terminal"].tolist() == [False, True]
    as_lists = from_gym(Table([[[(1.0, 1, 3.0, True)]], [[(1.0, 1, 0.0, True)]]]))
    assert as_lists.P.toarray().tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({0: {0: [(0.5, 0, 0.0, False)]}}, "do not sum to one"),
        ({0: {0: [(1.0, 1, 0.0, False)]}}, "outside the table"),
        ({0: {0: [(1.0, 0, 0.0)]}}, "state 0, action 0 is malformed"),
        ({0: {0: [(-1.0, 0, 0.0, False), (2.0, 0, 0.0, False)]}}, "out of range"),
        ({0: {0: [(1.0, 0, float("nan"), False)]}}, "out of range"),
        ({0: {0: []}}, "no transition"),
        ({0: {0: 3}}, "malformed"),
        ({0: 3}, "malformed"),
    ],
)
def test_malformed_tables(table, message):
    with pytest.raises(ModelError, match=message):
        from_gym(Table(table))


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        ("FrozenLak-v1", OptionError, "did you mean 'FrozenLake-v1'"),
        ("Taxi-v3", OptionError, "did you mean 'Taxi-v4'"),
        ("FrozenLake-v1?map_nme=4x4", OptionError, "no option 'map_nme'; way out: did you mean 'map_name'"),
        ("FrozenLake-v1?map_name=9x9", OptionError, "9x9"),
        ("FrozenLake-v1?map_name", OptionError, "key=value"),
        ("FrozenLake-v1?is_slippery=true&is_slippery=false", OptionError, "given twice"),
        ("CartPole-v1", UnsupportedError, "no transition table"),
        ("nosuch:Foo-v0", OptionError, "nosuch"),
        ("", OptionError, "no name"),
    ],
)
def test_bad_specs(spec, kind, message):
    with pytest.raises(kind, match=message):
        from_gym(spec)


def test_options_are_read():
    assert from_gym("FrozenLake-v1?is_slippery=False").n_transitions == 64
    from mdpkit.io.gym import _parse_spec

    assert _parse_spec("a/B-v1?x=1&y=0.5&z=true&w=a%26b%20c&v=-3&u=1e-3") == (
        "a/B-v1",
        {"x": 1, "y": 0.5, "z": True, "w": "a&b c", "v": -3, "u": 1e-3},
    )


def test_silent(capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_gym("Taxi-v4")
        with pytest.raises(OptionError):
            from_gym("Taxi-v3")
    assert capfd.readouterr() == ("", "")


def test_without_gymnasium(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    for use in (lambda: from_gym("FrozenLake-v1"), lambda: PUTERMAN.as_env()):
        with pytest.raises(UnsupportedError, match=r'pip install "mdpkit\[gym\]"'):
            use()
    monkeypatch.delitem(sys.modules, "mdpkit.io.gym")
    with pytest.raises(UnsupportedError, match=r'pip install "mdpkit\[gym\]"'):
        PUTERMAN.as_env()


# -- environments ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*render modes:UserWarning")
@pytest.mark.parametrize("mdp", [PUTERMAN, PUTERMAN.under(FiniteHorizon(5)), from_gym(TABLES[0]), from_gym("Taxi-v4")])
def test_gymnasium_accepts_it(mdp):
    env = mdp.as_env(seed=1, max_steps=30)
    assert isinstance(env, gymnasium.Env)
    check_env(env)
    assert env.observation_space.n == mdp.n_states
    assert env.action_space.n == mdp.n_actions


@pytest.mark.parametrize("spec", TABLES)
def test_round_trip(spec):
    mdp = from_gym(spec, Discounted("99/100"))
    again = from_gym(mdp.as_env(), Discounted("99/100"))
    assert again == mdp
    assert again.digest == mdp.digest
    np.testing.assert_array_equal(again.rho, mdp.rho)
    np.testing.assert_array_equal(again.labels["terminal"], mdp.labels["terminal"])


def test_round_trip_of_dense_ragged_and_random_models():
    source = np.random.default_rng(0)
    for S, A in [(1, 1), (3, 2), (12, 4)]:
        P = source.dirichlet(np.ones(S), size=(S, A))
        mdp = MDP(P, source.normal(size=(S, A)), Discounted(0.9), rho=source.dirichlet(np.ones(S)))
        again = from_gym(mdp.as_env().unwrapped, Discounted(0.9))
        assert again == mdp
        np.testing.assert_array_equal(again.rho, mdp.rho)
        by_transition = MDP(P, source.normal(size=(S, A, S)), Discounted(0.9))
        again = from_gym(by_transition.as_env(), Discounted(0.9))
        assert again == by_transition
        if S > 1:  # a lone next state makes them rewards of pairs
            np.testing.assert_array_equal(again.reward.transition, by_transition.reward.transition)
    state, action = np.array([0, 0, 1]), np.array([0, 3, 1])
    ragged = MDP(np.array([[0.5, 0.5], [0, 1], [1, 0]]), [1.0, 2.0, 3.0], state=state, action=action)
    again = from_gym(ragged.as_env())
    assert again == ragged
    assert again.rho is None


def test_absorbing_start_survives_the_round_trip():
    mdp = MDP(np.array([[[0.5, 0.5]], [[0.0, 1.0]]]), np.array([1.0, 0.0]), rho=np.array([0.5, 0.5]))
    again = from_gym(mdp.as_env())
    assert again == mdp
    assert again.rho.tolist() == [0.5, 0.5]


def episode(env, actions, seed=0, options=None):
    out = [env.reset(seed=seed, options=options)[0]]
    for a in actions:
        out.append(env.step(a)[:4])
    return out


def test_seeds():
    env, other = MDPEnv(PUTERMAN), MDPEnv(PUTERMAN)
    assert episode(env, [0] * 20, 5) == episode(other, [0] * 20, 5)
    drawn = {tuple(episode(env, [0] * 20, seed)) for seed in range(20)}
    assert len(drawn) > 1
    first, second = MDPEnv(PUTERMAN, seed=3), MDPEnv(PUTERMAN, seed=3)
    for e in (first, second):
        e.reset()
    assert [first.step(0) for _ in range(20)] == [second.step(0) for _ in range(20)]


def test_steps_follow_the_table():
    mdp = from_gym(TABLES[0])
    env = MDPEnv(mdp, seed=0)
    table = env.P
    state, _ = env.reset()
    assert state == 0
    for _ in range(2000):
        a = int(env.np_random.integers(4))
        target, reward, terminated, truncated, info = env.step(a)
        assert any((t, r, end) == (target, reward, terminated) for _, t, r, end in table[state][a])
        assert (truncated, info) == (False, {})
        state = env.reset()[0] if terminated else target


def test_termination_and_truncation():
    walk = MDP(np.array([[[0.0, 1.0]], [[0.0, 1.0]]]), np.array([1.0, 0.0]), rho=0)
    assert episode(walk.as_env(), [0, 0]) == [0, (1, 1.0, True, False), (1, 0.0, True, False)]
    paying = MDP(np.array([[[0.0, 1.0]], [[0.0, 1.0]]]), np.array([1.0, 2.0]), rho=0)
    assert episode(paying.as_env(max_steps=2), [0, 0]) == [0, (1, 1.0, False, False), (1, 2.0, False, True)]
    # zero under one action only, or on average only
    two = MDP(np.array([[[1.0], [1.0]]]), np.array([[0.0, 1.0]]), rho=0)
    assert episode(two.as_env(), [0]) == [0, (0, 0.0, False, False)]
    line = MDP(np.array([[[0.5, 0.5]], [[0.5, 0.5]]]), np.array([[[1.0, -1.0]], [[1.0, -1.0]]]), rho=0)
    assert episode(line.as_env(), [0])[1][2] is False


def test_targets_end_episodes():
    P = np.array([[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]] * 2, [[1.0, 0.0, 0.0]] * 2])
    chain = MDP(P, np.full((3, 2), 7.0), rho=0, labels={"goal": [1]})
    total = chain.under(TotalReward("goal")).as_env()
    assert episode(total, [0]) == [0, (1, 7.0, True, False)]
    assert episode(total, [1]) == [0, (2, 7.0, False, False)]
    assert episode(total, [0], options={"state": 1}) == [1, (1, 0.0, True, False)]
    assert total.P[1][0] == [(1.0, 1, 0.0, True)]
    reach = chain.under(Reachability("goal", through=[0], steps=3)).as_env()
    assert episode(reach, [0]) == [0, (1, 1.0, True, False)]
    assert episode(reach, [1]) == [0, (2, 0.0, True, False)]  # leaves `through`
    assert reach.max_steps == 3
    least = chain.under(Reachability("goal"), minimize=True).as_env()
    assert episode(least, [0]) == [0, (1, -1.0, True, False)]
    safe = chain.under(Invariance([0, 2])).as_env()
    assert episode(safe, [1, 0, 0]) == [0, (2, 0.0, False, False), (0, 0.0, False, False), (1, -1.0, True, False)]


def test_costs_are_paid_with_a_minus():
    costly = MDP(np.ones((1, 1, 1)), 3.0, Discounted(0.5), rho=0, minimize=True)
    assert episode(costly.as_env(), [0]) == [0, (0, -3.0, False, False)]
    assert costly.as_env().P[0][0] == [(1.0, 0, -3.0, False)]


def test_finite_horizon():
    P = np.array([[[0.0, 1.0]], [[0.0, 1.0]]])
    mdp = MDP(P, np.array([1.0, 0.0]), FiniteHorizon(3, gamma=0.5, terminal=[0.0, 8.0]), rho=0)
    steps = episode(mdp.as_env(), [0, 0, 0])
    assert steps == [0, (1, 1.0, False, False), (1, 0.0, False, False), (1, 4.0, False, True)]
    # the discounted return of the episode is the value
    assert sum(0.5**t * step[1] for t, step in enumerate(steps[1:])) == 1.0 + 0.5**3 * 8.0
    varying = MDP(np.stack([P, P]), np.array([1.0, 2.0]).reshape(2, 1, 1) * np.ones((2, 2, 1)), FiniteHorizon(2), rho=0)
    env = varying.as_env()
    assert episode(env, [0, 0]) == [0, (1, 1.0, False, False), (1, 2.0, False, True)]
    with pytest.raises(UnsupportedError, match="horizon of 2 stages"):
        env.step(0)
    with pytest.raises(UnsupportedError, match="vary with the stage"):
        from_gym(env)


def test_masks_and_errors():
    state, action = np.array([0, 0, 1]), np.array([0, 3, 1])
    ragged = MDP(np.array([[0.5, 0.5], [0, 1], [1, 0]]), [1.0, 2.0, 3.0], state=state, action=action, rho=0)
    env = ragged.as_env(seed=0)
    with pytest.raises(UnsupportedError, match="reset"):
        env.step(0)
    assert env.reset()[1]["action_mask"].tolist() == [1, 0, 0, 1]
    with pytest.raises(ModelError, match=r"action 1 is not admissible in state 0; needed: one of \[0, 3\]"):
        env.step(1)
    assert env.step(3)[4]["action_mask"].tolist() == [0, 1, 0, 0]
    for _ in range(50):
        a = env.action_space.sample(mask=env.reset()[1]["action_mask"])
        env.step(a)
    with pytest.raises(ModelError, match="out of range"):
        env.reset(options={"state": 2})
    with pytest.raises(OptionError, match="unknown option 'start'"):
        env.reset(options={"start": 0})
    with pytest.raises(OptionError, match="max_steps"):
        ragged.as_env(max_steps=0)


def test_start_without_initial_law_is_any_state():
    mdp = MDP(np.full((3, 1, 3), 1 / 3), np.ones(3))
    env = mdp.as_env(seed=0)
    assert {env.reset()[0] for _ in range(200)} == {0, 1, 2}
    assert env.initial_state_distrib is None
