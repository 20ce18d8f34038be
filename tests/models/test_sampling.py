"""Draws follow the model's law, are counted, and come from the caller's generator."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.models import MDP, Discounted, FiniteHorizon, FiniteMemory, Markov, Mixture, Reachability, Stationary
from mdpkit.models.sampling import GenerativeModel, Simulator
from mdpkit.simulate import simulate

DELTA = 1e-9


def within_hoeffding(counts, law):
    """Whether all frequencies are within the bound that holds for all of them with probability 1 - DELTA."""
    n = counts.sum()
    slack = np.sqrt(np.log(2 * len(law) / DELTA) / (2 * n))
    return bool(np.all(np.abs(counts / n - law) <= slack))


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def ragged():
    P = np.array(
        [
            [0.0, 0.25, 0.0, 0.75],
            [0.1, 0.2, 0.3, 0.4],
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 1e-300, 1.0],
            [0.5, 0.5, 0.0, 0.0],
        ]
    )
    state, action = np.array([0, 0, 1, 2, 3]), np.array([0, 2, 1, 0, 2])
    return MDP(P, np.arange(5.0), Discounted(0.9), state=state, action=action, rho=np.array([0.5, 0.0, 0.5, 0.0]))


def dense_rows(mdp):
    return mdp.P.csr.toarray()


def test_hoeffding_bound_refutes_a_wrong_law():
    assert not within_hoeffding(np.array([5200, 4800]) * 100, np.array([0.5, 0.5]))
    assert within_hoeffding(np.array([5010, 4990]) * 100, np.array([0.5, 0.5]))


@pytest.mark.parametrize("pair", range(5))
def test_law_and_support(ragged, pair):
    model = GenerativeModel(ragged)
    n = 200_000
    s_next, reward = model.sample(int(ragged.state[pair]), int(ragged.action[pair]), rng(pair), n=n)
    counts = np.bincount(s_next, minlength=4)
    law = dense_rows(ragged)[pair]
    assert set(np.flatnonzero(counts)) <= set(np.flatnonzero(law))
    assert set(np.flatnonzero(law > 1e-3)) <= set(np.flatnonzero(counts))
    assert within_hoeffding(counts, law)
    assert np.all(reward == pair)
    assert model.calls == n


def test_zero_width_entries_are_never_drawn_at_the_ends():
    from mdpkit.kernels.sampling import cumulative, draw

    indptr = np.array([0, 3, 4, 7])
    cum = cumulative(indptr, np.array([0.0, 1.0, 0.0, 0.3, 0.5, 0.25, 0.25]))
    np.testing.assert_array_equal(cum, [0.0, 1.0, 1.0, 1.0, 0.5, 0.75, 1.0])
    u = np.array(
        [
            0.0,
            0.5,
            np.nextafter(1, 0),
            0.0,
            np.nextafter(1, 0),
            0.0,
            np.nextafter(0.5, 0),
            0.5,
            0.75,
            np.nextafter(1, 0),
        ]
    )
    rows = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    np.testing.assert_array_equal(draw(rows, u, indptr, cum), [1, 1, 1, 3, 3, 4, 4, 5, 6, 6])


def test_draw_agrees_with_a_linear_search():
    from mdpkit.kernels.sampling import cumulative, draw

    source = rng(1)
    sizes = source.integers(1, 40, size=200)
    indptr = np.concatenate(([0], np.cumsum(sizes)))
    cum = cumulative(indptr, source.random(indptr[-1]))
    rows, u = source.integers(0, 200, size=3000), source.random(3000)
    expected = [next(e for e in range(indptr[k], indptr[k + 1]) if cum[e] > x) for k, x in zip(rows, u, strict=True)]
    np.testing.assert_array_equal(draw(rows, u, indptr, cum), expected)


def test_scalar_and_vectorized_draws_are_the_same_stream(ragged):
    one, many = GenerativeModel(ragged), GenerativeModel(ragged)
    source = rng(5)
    scalars = [one.sample(0, 2, source) for _ in range(500)]
    s_next, reward = many.sample(0, 2, rng(5), n=500)
    assert [s for s, _ in scalars] == s_next.tolist()
    assert [r for _, r in scalars] == reward.tolist()
    assert one.calls == many.calls == 500
    assert all(type(s) is int and type(r) is float for s, r in scalars)


def test_sample_pairs(ragged):
    model = GenerativeModel(ragged)
    pairs = np.tile(np.arange(5), (40_000, 1))
    s_next, reward = model.sample_pairs(pairs, rng(2))
    assert s_next.shape == reward.shape == pairs.shape
    assert model.calls == pairs.size
    for k in range(5):
        assert within_hoeffding(np.bincount(s_next[:, k], minlength=4), dense_rows(ragged)[k])
    np.testing.assert_array_equal(reward, pairs)
    again = model.sample_pairs(pairs, rng(2))
    np.testing.assert_array_equal(again[0], s_next)
    assert model.sample_pairs([], rng())[0].shape == (0,)
    assert model.calls == 2 * pairs.size


def test_transition_rewards():
    P = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.25, 0.75], [0.0, 1.0]]])
    r = np.array([[[1.0, 2.0], [3.0, 99.0]], [[4.0, 5.0], [99.0, 6.0]]])
    model = GenerativeModel(MDP(P, r, Discounted(0.9)))
    for s in range(2):
        for a in range(2):
            s_next, reward = model.sample(s, a, rng(3), n=100)
            np.testing.assert_array_equal(reward, r[s, a, s_next])
            t, x = model.sample(s, a, rng(4))
            assert x == r[s, a, t]


def test_models_without_rewards_pay_nothing():
    P = np.array([[[0.5, 0.5]], [[0.0, 1.0]]])
    assert GenerativeModel(MDP(P)).sample(0, 0, rng())[1] == 0.0
    several = MDP(P, rewards={"x": [1.0, 2.0], "y": [3.0, 4.0]})
    assert GenerativeModel(several.under(Reachability([1]))).sample(0, 0, rng())[1] == 0.0
    with pytest.raises(ModelError, match="several reward structures"):
        GenerativeModel(several)


def test_errors(ragged):
    model = GenerativeModel(ragged)
    with pytest.raises(ModelError, match=r"action 1 is not admissible in state 0; needed: one of \[0, 2\]"):
        model.sample(0, 1, rng())
    with pytest.raises(ModelError, match="state out of range"):
        model.sample(4, 0, rng())
    with pytest.raises(ModelError, match="pair is out of range; found: 5"):
        model.sample_pairs([0, 5], rng())
    with pytest.raises(OptionError, match="no random generator"):
        model.sample(0, 0, 3)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="no count"):
        model.sample(0, 0, rng(), n=-1)
    with pytest.raises(OptionError, match="no row numbers"):
        model.sample_pairs([0.5], rng())
    with pytest.raises(OptionError, match="does not vary"):
        model.sample(0, 0, rng(), stage=0)
    assert model.calls == 0


def staged():
    P = np.zeros((3, 2, 1, 2))
    P[0, :, 0, 1] = 1  # stage 0 leads to state 1, stage 1 back, stage 2 anywhere
    P[1, :, 0, 0] = 1
    P[2, :, 0, :] = 0.5
    r = np.arange(6.0).reshape(3, 2, 1)
    return MDP(P, r, FiniteHorizon(3), rho=0)


def test_models_that_vary_with_the_stage():
    mdp = staged()
    model = GenerativeModel(mdp)
    assert model.sample(0, 0, rng(), stage=0) == (1, 0.0)
    assert model.sample(1, 0, rng(), stage=1) == (0, 3.0)
    s_next, reward = model.sample_pairs([0, 1], rng(), stage=1)
    assert (s_next.tolist(), reward.tolist()) == ([0, 0], [2.0, 3.0])
    with pytest.raises(OptionError, match="varies with the stage"):
        model.sample(0, 0, rng())
    with pytest.raises(OptionError, match="varies with the stage"):
        model.sample(0, 0, rng(), stage=3)
    run = Simulator(mdp, 0)
    run.reset()
    assert [run.step(0)[0], run.step(0)[0]] == [1, 0]
    assert run.step(0)[1] == 4.0
    with pytest.raises(UnsupportedError, match="horizon of 3 stages is over"):
        run.step(0)
    path = simulate(mdp, [0, 0], 3, rng())
    assert path.states[:3].tolist() == [0, 1, 0]
    assert path.rewards.tolist() == [0.0, 3.0, 4.0]
    with pytest.raises(UnsupportedError, match="3 stages"):
        simulate(mdp, [0, 0], 4, rng())


def test_rewards_that_vary_with_the_stage_alone():
    mdp = MDP(np.ones((1, 1, 1)), np.array([1.0, 2.0, 4.0]).reshape(3, 1, 1), FiniteHorizon(3), rho=0)
    assert simulate(mdp, [0], 3, rng()).rewards.tolist() == [1.0, 2.0, 4.0]
    assert GenerativeModel(mdp).sample(0, 0, rng(), stage=2) == (0, 4.0)


def test_simulator_counts_and_reproduces(ragged):
    def run():
        walk, seen = Simulator(ragged, 7), []
        for _ in range(20):
            seen.append(walk.reset())
            for _ in range(5):
                seen.append(walk.step(int(ragged.action[ragged.pair_ptr[walk.state]])))
        return walk, seen

    (first, seen), (_, again) = run(), run()
    assert seen == again
    assert (first.steps, first.resets, first.stage) == (100, 20, 5)


def test_simulator_takes_the_rng_of_the_call(ragged):
    walk = Simulator(ragged)
    with pytest.raises(UnsupportedError, match="no state yet"):
        walk.step(0, rng())
    with pytest.raises(OptionError, match="no source of randomness"):
        walk.reset()
    assert walk.reset(0) == 0
    with pytest.raises(ModelError, match=r"action 1 is not admissible in state 0; needed: one of \[0, 2\]"):
        walk.step(1, rng())
    with pytest.raises(ModelError, match="out of range"):
        walk.reset(9)
    source = rng(11)
    expected = GenerativeModel(ragged).sample(0, 2, rng(11))
    assert walk.step(2, source) == expected
    assert (walk.steps, walk.resets) == (1, 1)


def test_initial_law(ragged):
    walk = Simulator(ragged, 0)
    counts = np.bincount([walk.reset() for _ in range(20_000)], minlength=4)
    assert counts[1] == counts[3] == 0
    assert within_hoeffding(counts, ragged.rho)
    without = MDP(np.ones((1, 1, 1)), 0.0)
    with pytest.raises(ModelError, match="no initial law"):
        Simulator(without, 0).reset()
    with pytest.raises(ModelError, match="no initial law"):
        simulate(without, [0], 1, rng())


# -- trajectories -----------------------------------------------------------------------------------------------------


def wrapped(pi):
    """The same policy behind the general protocol."""
    return FiniteMemory(lambda s: None, lambda m, s: pi.act(None, s), lambda m, s, a, t: None, pi.shape[1])


def test_compiled_and_general_paths_walk_alike(ragged):
    pi = Stationary.of(ragged, np.array([0.3, 0.7, 1.0, 1.0, 1.0]))
    fast, slow = simulate(ragged, pi, 3000, rng(4)), simulate(ragged, wrapped(pi), 3000, rng(4))
    for name in ("states", "actions", "rewards"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(slow, name))


def test_trajectory_follows_model_and_policy(ragged):
    pi = Stationary.of(ragged, np.array([0.3, 0.7, 1.0, 1.0, 1.0]))
    n = 100_000
    path = simulate(ragged, pi, n, rng(6))
    assert (path.states.shape, path.actions.shape, path.rewards.shape) == ((n + 1,), (n,), (n,))
    pairs = np.array([ragged.pair(s, a) for s, a in zip(path.states[:-1], path.actions, strict=True)])
    np.testing.assert_array_equal(path.rewards, pairs)
    assert within_hoeffding(np.bincount(pairs[path.states[:-1] == 0], minlength=2)[:2], np.array([0.3, 0.7]))
    rows = dense_rows(ragged)
    for k in range(5):
        assert within_hoeffding(np.bincount(path.states[1:][pairs == k], minlength=4), rows[k])


def test_chunks_join(monkeypatch, ragged):
    import importlib

    pi = Stationary.uniform(ragged)
    whole = simulate(ragged, pi, 1000, rng(1))
    monkeypatch.setattr(importlib.import_module("mdpkit.simulate"), "CHUNK", 7)
    parts = simulate(ragged, pi, 1000, rng(1))
    np.testing.assert_array_equal(whole.states, parts.states)
    np.testing.assert_array_equal(whole.rewards, parts.rewards)


def test_markov_policies_and_arrays():
    P = np.zeros((2, 2, 2))
    P[:, 0, 0] = P[:, 1, 1] = 1  # action a leads to state a
    mdp = MDP(P, np.array([[0.0, 1.0], [2.0, 3.0]]), Discounted("1/2"))
    plan = Markov.of(mdp, [[1, 1], [0, 0], [1, 1]])
    path = simulate(mdp, plan, 5, rng(), start=0)
    assert path.actions.tolist() == [1, 0, 1, 1, 1]  # the last stage repeats
    assert path.states.tolist() == [0, 1, 0, 1, 1, 1]
    assert path.rewards.tolist() == [1.0, 2.0, 1.0, 3.0, 3.0]
    np.testing.assert_array_equal(simulate(mdp, np.asarray(plan), 5, rng(), start=0).states, path.states)
    assert simulate(mdp, np.array([[0.0, 1.0], [1.0, 0.0]]), 4, rng(), start=0).states.tolist() == [0, 1, 0, 1, 0]
    assert simulate(mdp, [1, 0], 4, rng(), start=[0, 1]).states.tolist() == [1, 0, 1, 0, 1]
    general = simulate(mdp, FiniteMemory(plan.start, plan.act, plan.advance, 2), 5, rng(), start=0)
    np.testing.assert_array_equal(general.states, path.states)


def test_memory_advances():
    P = np.zeros((2, 2, 2))
    P[:, 0, 0] = P[:, 1, 1] = 1
    mdp = MDP(P, np.zeros((2, 2)), rho=0)
    every_third = FiniteMemory(lambda s: 0, lambda m, s: int(m == 2), lambda m, s, a, t: (m + 1) % 3, 2)
    assert simulate(mdp, every_third, 7, rng()).actions.tolist() == [0, 0, 1, 0, 0, 1, 0]


def test_mixture_is_drawn_once_an_episode():
    P = np.zeros((2, 2, 2))
    P[:, 0, 0] = P[:, 1, 1] = 1
    mdp = MDP(P, np.zeros((2, 2)), rho=0)
    paths = simulate(mdp, Mixture([[0, 0], np.array([1, 1])], np.array([0.25, 0.75])), 6, rng(3), episodes=20_000)
    assert paths.actions.shape == (20_000, 6)
    assert np.all(paths.actions == paths.actions[:, :1])
    assert within_hoeffding(np.bincount(paths.actions[:, 0], minlength=2), np.array([0.25, 0.75]))


def test_discounted_return():
    mdp = MDP(np.ones((1, 1, 1)), 1.0, rho=0)
    path = simulate(mdp, [0], 10, rng())
    assert path.discounted_return("1/2") == float(sum(Fraction(1, 2**t) for t in range(10)))
    assert path.discounted_return(Fraction(1, 2)) == path.discounted_return(0.5)
    assert path.discounted_return(1) == 10
    assert path.discounted_return(0) == 1
    many = simulate(mdp, [0], 10, rng(), episodes=3)
    assert many.discounted_return(1).tolist() == [10.0] * 3
    flip = MDP(np.array([[[0.0, 1.0]], [[1.0, 0.0]]]), np.array([1.0, 1.0]), rho=0)
    assert simulate(flip, [0, 0], 4, rng()).discounted_return(np.array([[0.5], [0.25]])) == 1 + 1 / 2 + 1 / 8 + 1 / 16
    with pytest.raises(OptionError, match="no discount"):
        path.discounted_return(1.5)
    assert simulate(mdp, [0], 0, rng()).discounted_return(0.5) == 0


def test_returns_estimate_the_value():
    P = np.array([[[0.5, 0.5]], [[0.25, 0.75]]])
    mdp = MDP(P, np.array([1.0, 0.0]), Discounted(0.5), rho=0)
    V = np.linalg.solve(np.eye(2) - 0.5 * P[:, 0], [1.0, 0.0])
    returns = simulate(mdp, [0, 0], 60, rng(8), episodes=20_000).discounted_return(0.5)
    slack = 2 * np.sqrt(np.log(2 / DELTA) / (2 * len(returns))) + 2.0**-59  # returns lie in [0, 2]
    assert abs(returns.mean() - V[0]) <= slack


def test_policy_errors(ragged):
    with pytest.raises(ModelError, match="not admissible in state 0"):
        simulate(ragged, FiniteMemory(lambda s: 0, lambda m, s: 1, lambda *x: 0, 3), 3, rng(), start=0)
    with pytest.raises(ModelError, match="no law over the actions"):
        simulate(ragged, FiniteMemory(lambda s: 0, lambda m, s: [0.5, 0.0, 0.0], lambda *x: 0, 3), 3, rng(), start=0)
    with pytest.raises(ModelError, match="no state and no law"):
        simulate(ragged, Stationary.uniform(ragged), 3, rng(), start=[0.5, 0.2, 0.0, 0.0])
    with pytest.raises(OptionError, match="steps is no count"):
        simulate(ragged, Stationary.uniform(ragged), -1, rng())
    with pytest.raises(OptionError, match="no random generator"):
        simulate(ragged, Stationary.uniform(ragged), 1, None)  # type: ignore[arg-type]
