"""The cooperative LSVI-UCB: sharing, counting, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.environment import Environment
from mdpkit.errors import OptionError
from mdpkit.play import rounds
from mdpkit.solvers.linear import LSVIUCB, AsyncCoopLSVIUCB


def cube(H=3):
    return mk.instances.make("linear-hypercube-episodic", H=H, delta="1/2", gap="2/5")


def test_one_agent_is_lsvi_ucb():
    for options in ({}, {"beta": 0.5}):
        many = mk.play(
            cube(), AsyncCoopLSVIUCB(agents=1, alpha=0, **options), episodes=300, rng=np.random.default_rng(2)
        )
        one = mk.play(cube(), LSVIUCB(**options), episodes=300, rng=np.random.default_rng(2))
        assert np.array_equal(many.values, one.values)
        assert np.array_equal(many.series["index"], one.series["index"])
        assert many.series["communications"][-1] == 299


def test_nothing_is_lost_with_any_order():
    learner = AsyncCoopLSVIUCB(agents=3, alpha=0.5, order=(0, 0, 2))
    mdp, total = cube(), np.zeros((3, 4, 4))
    for played in rounds(Environment(mdp), learner, 40, np.random.default_rng(0)):
        state = played.state
        assert state.active == (0, 0, 2)[played.k % 3]
        held = state.server.Lambda + sum(agent.local.Lambda for agent in state.agents)
        assert np.allclose(held, total, atol=1e-12)
        assert not state.agents[1].local.b.any()
        for h, k in enumerate(played.history[1]):
            total[h] += np.outer(mdp.phi[k], mdp.phi[k])


def test_sharing_helps_and_communication_is_rare():
    # A threshold that is never reached: nobody ever plans from data.
    K, mdp = 3000, cube()
    shared = mk.play(mdp, AsyncCoopLSVIUCB(agents=4, beta=2), episodes=K, rng=np.random.default_rng(3))
    alone = mk.play(mdp, AsyncCoopLSVIUCB(agents=4, beta=2, alpha=1e300), episodes=K, rng=np.random.default_rng(3))
    assert shared.total < 0.1 * alone.total
    assert alone.series["communications"][-1] == 0
    learner = AsyncCoopLSVIUCB(agents=4)
    # By hand: H (M + 1/alpha + 1) (d log2(1 + K/d) + 1) with alpha = 1/16, d = 4.
    assert learner.most(shared.view) == pytest.approx(3 * 21 * (4 * np.log2(1 + K / 4) + 1))
    assert shared.series["communications"][-1] <= learner.most(shared.view)
    assert AsyncCoopLSVIUCB(alpha=0).most(shared.view) == np.inf


def test_the_bonus_knows_how_many_agents_there_are():
    view = Environment(cube()).view(100)
    one, three = AsyncCoopLSVIUCB(agents=1).radius(view), AsyncCoopLSVIUCB(agents=3).radius(view)
    assert np.array_equal(one, LSVIUCB().radius(view))
    assert AsyncCoopLSVIUCB(agents=3).sets(view) == pytest.approx(np.log(3) + 2 * np.log(101))
    assert np.all(three > one)


def test_what_is_refused():
    for options in (
        {"agents": 0},
        {"alpha": -1},
        {"order": "random"},
        {"order": (0, 2)},
        {"order": ()},
        {"lambda_": 0},
    ):
        with pytest.raises(OptionError):
            AsyncCoopLSVIUCB(**options)
