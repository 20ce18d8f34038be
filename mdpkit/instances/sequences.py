"""Sequences of tokens: trees in which a whole sequence is right or wrong."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.instances.build import check_size, tabulate
from mdpkit.instances.registry import Known, in_range, instance
from mdpkit.models.criterion import FiniteHorizon
from mdpkit.models.mdp import MDP

F = Fraction


def _tree(letters: str, length: int, reward: Callable[[str], Fraction]) -> MDP:
    """State 0 is the empty sequence, then come the longer ones by length; the last state is the end, which stays."""
    sequences = [""]
    for s in sequences:
        if len(s) < length - 1:
            sequences += [s + x for x in letters]
    number = {s: i for i, s in enumerate(sequences)}
    end = len(sequences)
    rows: list[tuple[int, int, int, Fraction, Fraction]] = [(end, 0, end, F(1), F(0))]
    for s, i in number.items():
        for a, x in enumerate(letters):
            last = len(s) == length - 1
            rows.append((i, a, end if last else number[s + x], F(1), reward(s + x) if last else F(0)))
    return tabulate(
        end + 1,
        rows,
        FiniteHorizon(length),
        rho=0,
        labels={"end": [end]},
        state_names=[*sequences, "end"],
        pair_names=[*letters] * end + ["stay"],
    )


@instance(
    "rover-tree",
    source="He et al. (2026), Random policy valuation is enough for LLM reasoning, the didactic example",
    known=[
        Known(
            {},
            "finite-horizon",
            "V",
            (*(F(1),) * 5, *(F(int(s in (7, 12, 13, 18))) for s in range(5, 22))),
            "every first letter can be completed to a right answer",
        ),
        Known(
            {},
            "finite-horizon",
            "V at stage 2",
            tuple(F(int(s in (7, 12, 13, 18))) for s in range(22)),
            "two letters are worth one if they begin a right answer: AC, BD, CA and DB",
        ),
    ],
)
def rover_tree() -> MDP:
    r"""Sequences of three of the letters A, B, C, D, of which ACD, BDC, CAB and DBA are right and pay 1.

    State 0 is the empty sequence; all first letters are equally good, then one of four letters is right each time. Under
    uniform letters a first letter is worth 1/16, the right second one 1/4 and the right third one 1. The softmax policy of
    these values at temperature rho is right with probability
    :math:`\frac{e^{1/(4\rho)}}{e^{1/(4\rho)} + 3} \cdot \frac{e^{1/\rho}}{e^{1/\rho} + 3}`.
    """
    right = ("ACD", "BDC", "CAB", "DBA")
    return _tree("ABCD", 3, lambda s: F(int(s in right)))


@instance("answer-tree", source="Chosen here, after the trees of He et al. (2026); the rewards of all leaves are drawn")
def answer_tree(
    *, length: int = 3, letters: int = 2, right: Fraction = Fraction(1, 4), graded: bool = False, seed: int = 0
) -> MDP:
    """A tree of all sequences of some length, in which a share ``right`` of the leaves, at least one, pays 1.

    Each right leaf is drawn without replacement. ``graded``: the right leaves pay 1/10 … 1 instead, drawn one by one.
    """
    in_range("length", length, 1)
    in_range("letters", letters, 1, 26)
    in_range("right", right, 0, 1)
    in_range("seed", seed, 0)
    leaves = letters**length
    if leaves > 10**7:
        raise OptionError("the tree is too large", found=f"{leaves:,} leaves", needed="at most 10**7")
    check_size("the tree", states=2 * leaves, pairs=2 * leaves, transitions=2 * leaves)
    rng = np.random.default_rng(seed)
    count = max(1, round(right * leaves))
    chosen = rng.choice(leaves, size=count, replace=False)
    tenths = rng.integers(1, 11, size=count) if graded else np.full(count, 10)
    pays = {int(leaf): F(int(x), 10) for leaf, x in zip(chosen, tenths, strict=True)}
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:letters]
    rank = {x: i for i, x in enumerate(alphabet)}

    def reward(s: str) -> Fraction:
        leaf = 0
        for x in s:
            leaf = letters * leaf + rank[x]
        return pays.get(leaf, F(0))

    return _tree(alphabet, length, reward)
