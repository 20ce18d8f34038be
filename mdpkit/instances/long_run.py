"""Models on which the long run is not what it seems: periodic, with several classes, or best only in the limit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from mdpkit.instances.build import check_size, tabulate
from mdpkit.instances.registry import Known, in_range, instance
from mdpkit.models.criterion import AverageReward, Discounted
from mdpkit.models.mdp import MDP

F = Fraction


@instance(
    "two-cycle",
    source="Folklore; Puterman (1994), Section 8.5, on why value iteration needs aperiodic chains",
    known=[
        Known({}, "average", "gain", F(3), "closed form: the mean of the cycle"),
        Known({}, "average", "bias", (F(3, 2), F(-3, 2)), "closed form: a quarter of the difference, either sign"),
        Known({}, "average", "policy", (0, 0), "the mean of the cycle, 3, is more than staying pays, 2"),
    ],
)
def two_cycle(*, there: Fraction = Fraction(6), back: Fraction = Fraction(0), stay: Fraction = Fraction(2)) -> MDP:
    """Two states that alternate, for rewards ``there`` and ``back``, or stay (action 1) for ``stay``: period two.

    While ``stay`` is less than the mean of the cycle, that mean is the gain. For these numbers the differences V_(n+1) -
    V_n of value iteration alternate for ever between (2, 4) and (4, 2): their span does not shrink, with or without a
    reference state, before the model is made aperiodic.
    """
    rows = [(0, 0, 1, 1, there), (0, 1, 0, 1, stay), (1, 0, 0, 1, back), (1, 1, 1, 1, stay)]
    return tabulate(2, rows, AverageReward(), rho=0, action_names={0: "move", 1: "stay"})


@instance(
    "nine-moves",
    source="Howard (1960), Dynamic Programming and Markov Processes, chapter 6 (numbers recalled, answers recomputed)",
    known=[
        Known({}, "average", "gain", F(7), "closed form: the largest mean of a cycle"),
        Known({}, "average", "relative value", (F(-4), F(-2), F(0)), "closed form"),
        Known({}, "average", "policy", (2, 2, 2), "closed form; in state 2, going to state 1 is as good as staying"),
    ],
)
def nine_moves() -> MDP:
    """Three states, every move from each to each (action t leads to state t), of rewards 1, 2, 3; 6, 4, 5; 8, 9, 7.

    Its 27 policies have one to three classes, and periods one to three. The best gain is the largest mean of a cycle:
    7, of staying in state 2 and of going to and fro between the states 1 and 2. The bias, normalized over the recurrent
    states, differs between the two: (-4, -2, 0) and (-3, -1, 1).
    """
    paid = ((1, 2, 3), (6, 4, 5), (8, 9, 7))
    rows = [(s, t, t, 1, paid[s][t]) for s in range(3) for t in range(3)]
    return tabulate(3, rows, AverageReward(), rho=0)


@instance(
    "blackwell-1962",
    source="Blackwell (1962), Annals of Mathematical Statistics 33(2), the first example (recalled)",
    known=[
        Known({}, "discounted", "V", (F(2), F(0)), "closed form: 2 at once, against 1 / (1 - gamma/2) < 2"),
        Known({}, "discounted", "policy", (1, 0), "closed form"),
        Known({}, "average", "gain", F(0), "closed form: nothing is earned in the end"),
        Known({}, "average", "bias", (F(2), F(0)), "closed form: the same for both actions"),
    ],
)
def blackwell_1962(*, gamma: Fraction = Fraction(9, 10)) -> MDP:
    r"""Blackwell's example of a policy that is nearly optimal, but for no discount factor optimal.

    In state 0, action 0 pays 1 and leaves for state 1 with probability 1/2; action 1 pays 2 and leaves for sure. State
    1 is absorbing and pays nothing. Action 0 is worth :math:`1 / (1 - \gamma/2)`, less than 2 for every
    :math:`\gamma < 1`; gain and bias do not tell the two apart.
    """
    rows = [(0, 0, 0, "1/2", 1), (0, 0, 1, "1/2", 1), (0, 1, 1, 1, 2), (1, 0, 1, 1, 0)]
    return tabulate(2, rows, Discounted(gamma), rho=0)


@instance(
    "now-or-later",
    source="Folklore: a discount factor above which the best policy is that of the long run",
    known=[
        Known({}, "discounted", "V", (F(38), F(20), F(40)), "closed form"),
        Known({}, "discounted", "policy", (1, 0, 0), "closed form: the discount factor exceeds 10/11"),
        Known({"gamma": "10/11"}, "discounted", "V(0)", F(20), "closed form: both actions are optimal"),
        Known({"gamma": "9/10"}, "discounted", "V", (F(19), F(10), F(20)), "closed form"),
        Known({"gamma": "9/10"}, "discounted", "policy", (0, 0, 0), "closed form: it is less than 10/11"),
        Known({}, "average", "gain", (F(2), F(1), F(2)), "closed form: two classes"),
        Known({}, "average", "policy", (1, 0, 0), "closed form: the larger flow"),
        Known({"flow_later": 1}, "average", "gain", (F(1), F(1), F(1)), "closed form: the same for both actions"),
        Known({"flow_later": 1}, "average", "bias", (F(9), F(0), F(0)), "closed form: 10 - 1, of action 0"),
    ],
)
def now_or_later(
    *,
    now: Fraction = Fraction(10),
    flow_now: Fraction = Fraction(1),
    flow_later: Fraction = Fraction(2),
    gamma: Fraction = Fraction(19, 20),
) -> MDP:
    r"""Take ``now`` at once and ``flow_now`` a step for ever (action 0), or nothing and then ``flow_later`` (action 1).

    State 0 chooses, states 1 and 2 are absorbing. With :math:`d` the difference of the flows, action 1 is better where
    :math:`\gamma > n / (n + d)`: 10/11 for these numbers. The best average is that of the larger flow, whatever is paid
    now; where the flows are equal, both actions have the best gain and only the bias tells them apart.
    """
    rows = [(0, 0, 1, 1, now), (0, 1, 2, 1, 0), (1, 0, 1, 1, flow_now), (2, 0, 2, 1, flow_later)]
    return tabulate(3, rows, Discounted(gamma), rho=0)


@instance(
    "multichain-blocks",
    source="Defined here",
    known=[
        Known({}, "average", "gain(10)", F(1), "by construction: the first class"),
        Known({}, "average", "gain(54)", F(15), "by construction: the last class"),
        Known({"classes": 40, "block": 5}, "average", "gain(209)", F(40), "by construction: the last class"),
    ],
    example={"classes": 3, "block": 2, "transient": 3},
)
def multichain_blocks(
    *, classes: int = 15, block: int = 3, transient: int = 10, actions: int = 2, seed: int = 0
) -> MDP:
    r"""Many recurrent classes, of gains 1, 2, 3, …, and transient states that choose among them.

    First come the ``transient`` states, then ``classes`` blocks of ``block`` states. In a block every action can lead
    to every state of the block (random weights of 1 … 9, divided by their sum), and the rewards are :math:`k + h(s) -
    \sum_{s'} P(s' | s, a) h(s')` with random h, less a loss of 0 for one random action of each state and of 1 … 5 for
    the others: the gain of the k-th class, k = 1, 2, …, is k, and the actions without loss are its best. From a
    transient state every action keeps it with some probability, or leads to three random ones of the later transient
    states and the classes; its gain is that of its best action, computed from the last transient state to the first.
    """
    for name, value, low in (("classes", classes, 1), ("block", block, 1), ("transient", transient, 0)):
        in_range(name, value, low)
    in_range("actions", actions, 1)
    in_range("seed", seed, 0)
    S = transient + classes * block
    check_size(
        "the model",
        states=S,
        pairs=S * actions,
        transitions=actions * (4 * transient + classes * block * block),
    )
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, int, int, Fraction, Fraction]] = []
    for s in range(transient):
        for a in range(actions):
            others = S - s - 1
            targets = [s, *(s + 1 + rng.choice(others, size=min(3, others), replace=False)).tolist()]
            reward = F(int(rng.integers(0, 10)))
            rows += [(s, a, t, p, reward) for t, p in zip(targets, _law(rng, len(targets)), strict=True)]
    for k in range(classes):
        first = transient + k * block
        h = rng.integers(0, 10, size=block).tolist()
        for i in range(block):
            best = int(rng.integers(0, actions))
            for a in range(actions):
                law = _law(rng, block)
                mean = sum((p * x for p, x in zip(law, h, strict=True)), F(0))
                reward = k + 1 + h[i] - mean - (0 if a == best else int(rng.integers(1, 6)))
                rows += [(first + i, a, first + j, p, reward) for j, p in enumerate(law)]
    return tabulate(S, rows, AverageReward(), rho=0)


def _law(rng: np.random.Generator, n: int) -> list[Fraction]:
    """Random weights of 1 … 9, divided by their sum."""
    weights = rng.integers(1, 10, size=n).tolist()
    return [F(w, sum(weights)) for w in weights]
