"""Conservative exploration by hand: bounds from a few counts, the crossing, the mixture, safe runs, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.claims.learning import staged
from mdpkit.environment import Environment
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.kernels import conservative, optimism
from mdpkit.learner import Episode
from mdpkit.solvers.exploration import UCBVI, EpsMix, StepMix

KINDS: Any = (StepMix, EpsMix)


def coins(*heads: float, H: int = 2) -> mk.MDP:
    """A state whose actions lead to a state that pays 1 with these probabilities, else to one that pays nothing; and back."""
    A = len(heads)
    P = np.array([[0, p, 1 - p] for p in heads] + [[1.0, 0, 0]] * 2)
    r = np.array([0.0] * A + [1.0, 0.0])
    return mk.MDP(P, r, mk.FiniteHorizon(H), state=[0] * A + [1, 2], action=[*range(A), 0, 0], rho=0)


def begun(learner: Any, mdp: mk.MDP, K: int = 10) -> Any:
    return learner.begin(Environment(mdp).view(K), np.random.default_rng(0))


@pytest.mark.parametrize("kind", KINDS)
def test_a_bound_by_hand(kind: Any) -> None:
    # Two episodes by the first action, heads and tails: the bound is 1/2 less a tenth of sqrt(iota / 4).
    mdp, learner = coins(0.5, 0.9), kind((0, 2, 3), threshold=0.25, delta=0.5, scale=0.1)
    state = begun(learner, mdp)
    for k in range(2):
        episode = Episode(k, np.array([0, 1 + k, 0]), np.array([0, 2 + k]), np.array([0.0, 1.0 - k]))
        state = learner.observe(state, episode, np.random.default_rng(0))
    iota = 3 * math.log(2) + math.log(2 * 4 * 10 / 0.5)
    assert learner.iota(Environment(mdp).view(10)) == pytest.approx(iota, rel=1e-14)
    safe = 0.5 - 0.1 * math.sqrt(iota / 4)
    # The other action was never taken: it is worth 1 from above, and nothing from below.
    assert state.V[0, 0] == 1.0
    assert state.choice[0, 0] == 1
    assert state.bounds[0] == 0.0
    share = 0.25 / safe
    if kind is StepMix:
        np.testing.assert_allclose(state.bounds[:2], [0.0, safe], rtol=1e-14)
        np.testing.assert_allclose(learner.policy(state)[0], [share, 1 - share, 1, 1], rtol=1e-14)
        np.testing.assert_array_equal(learner.policy(state)[1], [1, 0, 1, 1])  # nothing is left: the first pair
    else:
        np.testing.assert_allclose(state.bounds[2], safe, rtol=1e-14)
        (eps, base), (rest, greedy) = learner.policy(state)
        assert eps == pytest.approx(share, rel=1e-14)
        assert rest == pytest.approx(1 - share, rel=1e-14)
        np.testing.assert_array_equal(base, [[1, 0, 1, 1]] * 2)
        assert greedy[0, 0] == 1
    index, lower, part = learner.notes(state)
    assert (index, lower) == (1.0, 0.25)
    assert part == pytest.approx(share, rel=1e-14)


def test_without_a_threshold_it_is_optimistic_value_iteration_with_the_wider_bonus() -> None:
    mdp = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(4))
    view = Environment(mdp).view(50)
    wide = StepMix().iota(view)

    class Wide(UCBVI):
        def iota(self, view: Any) -> float:
            return wide

        def loop(self, *arguments: Any) -> Any:
            return None

    a = mk.play(mdp, StepMix(), episodes=50, rng=np.random.default_rng(1), keep=True)
    b = mk.play(mdp, Wide(), episodes=50, rng=np.random.default_rng(1), keep=True)
    assert np.array_equal(a.pairs, b.pairs)
    assert np.array_equal(a.series["index"], b.series["index"])
    assert not a.series["baseline"].any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "mdp", [coins(0.6, 0.95), coins(0.5, 0.05, 0.7, H=4), staged(3, 3)], ids=["coins", "H=4", "by stage"]
)
def test_loops_agree_where_the_baseline_is_mixed_in(kind: Any, mdp: mk.MDP) -> None:
    base = tuple(mdp.pair_ptr[:-1].tolist())
    worth = mk.play(mdp, kind(base, threshold=100.0), episodes=1, rng=np.random.default_rng(0)).values[0]
    learner = kind(base, threshold=0.8 * worth, scale=0.1)
    plain = mk.play(mdp, learner, episodes=300, rng=np.random.default_rng(2), keep=True, compiled=False)
    fast = mk.play(mdp, learner, episodes=300, rng=np.random.default_rng(2), keep=True, compiled=True)
    np.testing.assert_allclose(fast.values, plain.values, rtol=1e-12)
    for name in plain.series:
        np.testing.assert_allclose(fast.series[name], plain.series[name], rtol=1e-9, atol=1e-12)
    for part in ("states", "pairs", "rewards"):
        assert np.array_equal(getattr(fast, part), getattr(plain, part))
    mixed = fast.series["baseline"]
    assert np.any((mixed > 0) & (mixed % 1 > 0))
    assert np.any(mixed == 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_no_episode_is_worth_too_little(kind: Any, seed: int) -> None:
    # An action that would break the constraint, which UCBVI tries.
    mdp, gamma_0 = coins(0.6, 0.1, 0.95), 0.3
    safe = mk.play(mdp, kind((0, 3, 4), threshold=gamma_0), episodes=5000, rng=np.random.default_rng(seed))
    free = mk.play(mdp, UCBVI(), episodes=5000, rng=np.random.default_rng(seed))
    assert np.all(safe.values >= gamma_0)
    assert np.any(free.values < gamma_0)
    assert np.all(safe.series["lower"] <= safe.values + 1e-12)
    assert safe.values[-1] == pytest.approx(0.95)


def test_the_value_of_a_mixture_in_one_stage_is_linear_and_in_all_stages_is_not() -> None:
    rng = np.random.default_rng(5)
    mdp = mk.instances.make("random-dense", S=3, A=2, seed=4).under(mk.FiniteHorizon(3), rho=0)
    base, greedy = np.tile([1.0, 0, 1, 0, 1, 0], (3, 1)), np.tile([0.0, 1, 0, 1, 0, 1], (3, 1))

    def worth(pi: Any) -> float:
        return float(mk.evaluate(mdp, pi.reshape(3, 3, 2)).V[0][0])

    share = float(rng.random())
    for first in range(3):
        ends = [worth(conservative.mixed(base, greedy, first, x)) for x in (0.0, 1.0)]
        mixed = worth(conservative.mixed(base, greedy, first, share))
        assert mixed == pytest.approx((1 - share) * ends[0] + share * ends[1], abs=1e-13)
    ends = [worth(greedy), worth(base)]
    assert abs(worth(share * base + (1 - share) * greedy) - ((1 - share) * ends[0] + share * ends[1])) > 1e-3


def test_a_stage_from_below_by_hand() -> None:
    law = np.array([[0.25, 1.0], [0.75, 0.0]])  # next state first
    found = optimism.pessimistic(
        np.array([0.5, 0.25]), law, np.array([4.0, 0.0]), np.array([0, 2]), np.array([0.5, 0.5]), np.array([1.0, 2.0]),
        iota=0.5, rest=2.0,
    )  # fmt: skip
    # 0.25 + 1.5 less 2 sqrt(0.5 / 8) = 0.5; the other pair was never taken.
    assert found == pytest.approx([0.5 * (0.5 + 1.25) + 0.5 * 0.25])


@pytest.mark.parametrize("kind", KINDS)
def test_baselines_in_all_their_forms(kind: Any) -> None:
    mdp = coins(0.5, 0.9)
    uniform = begun(kind(), mdp).baseline
    np.testing.assert_array_equal(uniform, [[0.5, 0.5, 1, 1]] * 2)
    for same in ((0, 2, 3), [[0, 2, 3], [0, 2, 3]], [1.0, 0, 1, 1], [[1.0, 0, 1, 1]] * 2):
        np.testing.assert_array_equal(begun(kind(same), mdp).baseline, [[1, 0, 1, 1]] * 2)
    assert kind(np.array([0, 2, 3])) == kind((0, 2, 3))
    assert hash(kind(np.array([[1.0, 0, 1, 1]] * 2)))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_refused(kind: Any) -> None:
    mdp = coins(0.5, 0.9)
    for baseline, message in [
        ((2, 0, 3), "other states"),
        ((0.5, 0.5), "no policy"),
        ((0.7, 0.5, 1.0, 1.0), "sum to one"),
        ((1.5, -0.5, 1.0, 1.0), "sum to one"),
        ((math.nan, 1.0, 1.0, 1.0), "sum to one"),
    ]:
        with pytest.raises(OptionError, match=message):
            begun(kind(baseline), mdp)
    for options in ({"threshold": math.nan}, {"threshold": "much"}, {"delta": 0.0}, {"delta": 1.0}, {"scale": -1.0}):
        with pytest.raises(OptionError):
            kind(**options)
    with pytest.raises(UnsupportedError, match="know the rewards"):
        mk.play(Environment(mdp, "bernoulli"), kind(), episodes=2, rng=np.random.default_rng(0))
    big = mk.MDP(mdp.P, 2 * mdp.r, mdp.criterion, state=mdp.state, action=mdp.action, rho=0)
    with pytest.raises(OptionError, match="0, 1"):
        mk.play(big, kind(), episodes=2, rng=np.random.default_rng(0))
