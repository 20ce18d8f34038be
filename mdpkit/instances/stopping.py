"""Optimal stopping: the secretary, a space to park, an asset to sell, and a loop that is left for a reward."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal

from mdpkit.instances.build import check_size, tabulate
from mdpkit.instances.registry import Known, in_range, instance
from mdpkit.models.criterion import Discounted, Reachability, TotalReward
from mdpkit.models.mdp import MDP

F = Fraction


@instance(
    "secretary",
    source="Gilbert and Mosteller (1966), J. American Statistical Association 61; the states are the records",
    known=[
        Known({}, "reachability", "V(0)", F(3349, 8400), "closed form: 3/10 * (1/3 + 1/4 + … + 1/9)"),
        Known({}, "reachability", "policy", (*(0,) * 3, *(1,) * 7, 0, 0), "closed form: reject the first three"),
        Known({"n": 3}, "reachability", "V(0)", F(1, 2), "closed form: 1/3 * (1 + 1/2)"),
        Known({"n": 4}, "reachability", "V(0)", F(11, 24), "closed form: 1/4 * (1 + 1/2 + 1/3)"),
    ],
    example={"n": 5},
)
def secretary(*, n: int = 10) -> MDP:
    """The secretary problem: take the best of n candidates, who come in random order, on the spot or never.

    State t - 1 is candidate t, the best so far (others are never worth taking, and are skipped): pass (action 0) or
    take (action 1). The next best so far is candidate u with probability t / (u (u - 1)), and there is none with
    probability t / n: then, and only then, candidate t was the best of all. Maximized is the probability of the state
    "best". The first r are rejected and the next record is taken, with r the smallest number for which 1/(r + 1) + … +
    1/(n - 1) <= 1; it succeeds with probability r/n (1/r + … + 1/(n - 1)). Entering "best" pays 1.
    """
    in_range("n", n, 1)
    check_size("the secretary problem", states=n + 2, pairs=2 * n + 2, transitions=n * (n + 5) // 2 + 2)
    best, failed = n, n + 1
    rows: list[tuple[int, int, int, Fraction, int]] = []
    for t in range(1, n + 1):
        rows += [(t - 1, 0, u - 1, F(t, u * (u - 1)), 0) for u in range(t + 1, n + 1)]
        rows.append((t - 1, 0, failed, F(t, n), 0))
        rows += [(t - 1, 1, best, F(t, n), 1), (t - 1, 1, failed, 1 - F(t, n), 0)]
    rows += [(best, 0, best, F(1), 0), (failed, 0, failed, F(1), 0)]
    return tabulate(
        n + 2,
        rows,
        Reachability("best"),
        rho=0,
        labels={"best": [best], "failed": [failed]},
        state_names=[*(f"record {t}" for t in range(1, n + 1)), "best", "failed"],
        pair_names=["pass", "take"] * n + ["stay"] * 2,
    )


@instance(
    "parking-garage",
    source="Bertsekas (2017), Dynamic Programming and Optimal Control, volume 1, the parking problem (recalled)",
    known=[
        Known({}, "total", "V(1)", F(17461, 3125), "closed form: 5 - q/p + (garage + q/p) q**5, with q = 1 - p"),
        Known({}, "total", "policy", (0, 0) * 5 + (1, 0) * 5 + (0, 0), "closed form: park at a distance of at most 5"),
    ],
    example={"spaces": 4, "garage": 4},
)
def parking_garage(*, spaces: int = 10, free: Fraction = Fraction(1, 5), garage: Fraction = Fraction(10)) -> MDP:
    r"""Drive towards a destination past spaces that may be free; who parks walks, who never does pays a garage.

    State 2 (spaces - k) is a free space at distance k = ``spaces`` … 1, the next state one that is taken; a space is
    free with probability ``free`` = p. Action 0 drives on, action 1 (at a free space) parks, for a cost of k. Behind
    the last space is the garage, which costs ``garage``. The expected cost on the way to distance k is
    :math:`F_k = p \min(k, F_{k-1}) + (1 - p) F_{k-1}`, with F_0 the garage's; parking is optimal where
    :math:`k \le F_{k-1}`: near enough. Codes that go round the block, or have no garage, solve another problem.
    """
    in_range("spaces", spaces, 1)
    in_range("free", free, 0, 1)
    check_size("the street", states=2 * spaces + 2, pairs=3 * spaces + 2, transitions=6 * spaces + 2)
    at_garage, parked = 2 * spaces, 2 * spaces + 1
    rows: list[tuple[int, int, int, Fraction, Fraction]] = []
    for k in range(spaces, 0, -1):
        here = 2 * (spaces - k)
        for s in (here, here + 1):
            if k == 1:
                rows.append((s, 0, at_garage, F(1), F(0)))
            else:
                rows += [(s, 0, here + 2, free, F(0)), (s, 0, here + 3, 1 - free, F(0))]
        rows.append((here, 1, parked, F(1), F(k)))
    rows += [(at_garage, 0, parked, F(1), garage), (parked, 0, parked, F(1), F(0))]
    street = [(word, k) for k in range(spaces, 0, -1) for word in ("free", "taken")]
    return tabulate(
        2 * spaces + 2,
        rows,
        TotalReward(target="parked"),
        rho=[free, 1 - free] + [F(0)] * (2 * spaces),
        minimize=True,
        labels={"parked": [parked]},
        state_names=[*street, "garage", "parked"],
        pair_names=["drive on", "park", "drive on"] * spaces + ["pay", "stay"],
    )


@instance(
    "asset-selling",
    source="Karlin (1962), in Studies in Applied Probability and Management Science (recalled); uniform offers",
    known=[
        Known({}, "discounted", "V(0)", F(153, 23), "closed form: xi = gamma E max(offer, xi)"),
        Known({}, "discounted", "V(9)", F(10), "closed form: the offer, above the threshold"),
        Known({}, "discounted", "policy", (*(0,) * 6, *(1,) * 4, 0), "closed form: accept 7 and more"),
    ],
)
def asset_selling(*, offers: int = 10, fee: Fraction = Fraction(0), gamma: Fraction = Fraction(9, 10)) -> MDP:
    r"""Sell an asset: each period an offer, uniform on 1 … ``offers``, is accepted (action 1) or lost (action 0).

    State x - 1 is an offer of x; the last state is "sold", which pays nothing. Waiting costs ``fee`` a period. Waiting
    is worth :math:`\xi`, the solution of :math:`\xi = -c + \gamma E \max(X, \xi)`, and offers of at least that are
    accepted: with threshold k and no fee, :math:`\xi = \gamma \sum_{x \ge k} x / (n - \gamma (k - 1))`. Recalling
    earlier offers would change nothing.
    """
    in_range("offers", offers, 1)
    check_size("the asset", states=offers + 1, pairs=2 * offers + 1, transitions=offers * (offers + 1) + 1)
    sold, chance = offers, F(1, offers)
    rows: list[tuple[int, int, int, Fraction, Fraction]] = [(sold, 0, sold, F(1), F(0))]
    for x in range(offers):
        rows += [(x, 0, y, chance, -fee) for y in range(offers)]
        rows.append((x, 1, sold, F(1), F(x + 1)))
    return tabulate(
        offers + 1,
        rows,
        Discounted(gamma),
        rho=[chance] * offers + [F(0)],
        labels={"sold": [sold]},
        state_names=[*(f"offer {x}" for x in range(1, offers + 1)), "sold"],
        pair_names=["wait", "accept"] * offers + ["stay"],
    )


@instance(
    "idle-loop",
    source="The two meanings of maximal total reward: plain expected total reward, and R=? [F target] of PRISM",
    known=[
        Known({}, "total", "V", (F(1), F(0)), "looping for ever pays nothing"),
        Known({}, "total", "policy", (1, 0), "looping for ever pays nothing"),
        Known({"semantics": "reach"}, "total", "V", (math.inf, F(0)), "a path that misses the target counts infinite"),
    ],
)
def idle_loop(*, semantics: Literal["total", "reach"] = "total") -> MDP:
    """A loop that pays nothing (action 0) beside a step that pays 1 and ends (action 1): the best total is 1.

    A loop without reward is nothing to collect infinity from, though every upper bound of 1 and more is a fixed point
    of the optimality equation. ``total``: plain total reward, 1. ``reach``: reward until the target is entered,
    infinite where it is missed (``Rmax=? [F "target"]``), which the loop can be made to do.
    """
    rows = [(0, 0, 0, 1, 0), (0, 1, 1, 1, 1), (1, 0, 1, 1, 0)]
    criterion = TotalReward(target="target") if semantics == "reach" else TotalReward()
    return tabulate(2, rows, criterion, rho=0, labels={"target": [1]})
