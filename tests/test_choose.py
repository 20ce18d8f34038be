"""Which solver is chosen, by criterion, size and structure, and what is said of it."""

from __future__ import annotations

import re

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.choose import choose, estimators, learners, matches, methods
from mdpkit.errors import OptionError
from mdpkit.solvers.evaluation import TemporalDifferences
from mdpkit.solvers.exploration import UCBVI

AVERAGE = mk.AverageReward()


def garnet(S: int) -> mk.MDP:
    return mk.instances.make("garnet", S=S, A=2, branching=3, seed=1, exact=False)


@pytest.mark.parametrize(
    ("mdp", "solver", "says"),
    [
        (mk.instances.make("puterman-inventory"), "BackwardInduction", "one pass backward"),
        (mk.instances.make("riverswim"), "PolicyIteration", "6 states"),
        (garnet(1000).under(mk.Discounted(0.9)), "ModifiedPolicyIteration", "sweeps"),
        (mk.instances.make("riverswim", n_states=2000).under(mk.Discounted(0.9999)), "PolicyIteration", "close to one"),
        (mk.instances.make("random-layered", width=20, depth=30, A=2), "TopologicalValueIteration", "without cycles"),
        (mk.instances.make("haddad-monmege", n=3), "PolicyIteration", "reachability"),
        (mk.instances.make("leaving"), "PolicyIteration", "total reward"),
        (mk.instances.make("multichain-blocks"), "MultichainPolicyIteration", r"multichain \(15 classes\)"),
        (garnet(20_000).under(AVERAGE), "RelativeValueIteration", "communicating with 20,000 states, costly"),
        (
            mk.MDP(np.full((400, 2, 400), 1 / 400), np.zeros((400, 2)), mk.Discounted(0.9)),
            "ModifiedPolicyIteration",
            "",
        ),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_the_choice_and_its_reason(mdp: mk.MDP, solver: str, says: str) -> None:
    chosen, why = choose(mdp)
    assert type(chosen).__name__ == solver
    assert re.search(says, why), why


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("Step-Mix", learners, ["step_mix"]),
        ("lsvi", methods, ["least_squares_value_iteration"]),
        ("lrtdp", methods, ["labeled_rtdp"]),
        ("td", estimators, ["temporal_differences"]),
        ("mac", methods, ["multi_level_actor_critic"]),
        ("bobw-po", learners, ["best_of_both_worlds_policy_optimization"]),
        ("rbis", estimators, ["multistep_evaluation", "online_traces"]),
        ("ppo", methods, ["penalized_policy_optimization", "proximal_policy_optimization"]),
        ("nothing", methods, []),
    ],
)
def test_names_initials_and_papers(name, known, found) -> None:
    assert matches(name, known()) == found


def test_names_are_taken_wherever_objects_are() -> None:
    mdp = mk.instances.make("riverswim", n_states=3)
    river = mdp.under(mk.FiniteHorizon(3))
    same = [mk.play(river, one, episodes=9, rng=np.random.default_rng(0)).values for one in ("ucbvi", UCBVI())]
    np.testing.assert_array_equal(*same)
    errors = [
        mk.estimate(mdp, [1, 1, 1], one, steps=9, rng=np.random.default_rng(0)).value
        for one in ("td?eta=0.1", TemporalDifferences(eta=0.1))
    ]
    np.testing.assert_array_equal(*errors)
    with pytest.raises(OptionError, match=r"'ppo' is short for several; needed: penalized.* or proximal"):
        mk.solve(mdp, "ppo")
    with pytest.raises(OptionError, match="no learner"):
        mk.play(river, 3, episodes=9, rng=np.random.default_rng(0))  # type: ignore[arg-type]
