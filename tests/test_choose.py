"""Which solver is chosen, by criterion, size and structure, and what is said of it."""

from __future__ import annotations

import re

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.choose import choose

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
