"""Small problems of the textbooks and of other packages, with their published answers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from mdpkit.instances.build import assemble, check_size, fill, tabulate
from mdpkit.instances.registry import Known, in_range, instance
from mdpkit.models.criterion import Discounted, FiniteHorizon
from mdpkit.models.mdp import MDP
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Floats

F = Fraction
HALF_UNIT_10 = F(1, 2 * 10**10)


@instance(
    "puterman-two-state",
    source="Puterman (1994), Markov Decision Processes, Section 3.1",
    known=[
        Known({}, "discounted", "V", (F(-60, 7), F(-20)), "closed form"),
        Known({}, "discounted", "policy", (0, 0), "Puterman (1994), Section 6.3"),
        Known(
            {"gamma": "10/11"}, "discounted", "V", (F(0), F(-11)), "closed form; both actions of state 0 are optimal"
        ),
    ],
)
def puterman_two_state(*, gamma: Fraction = Fraction(19, 20)) -> MDP:
    r"""Puterman's two-state example: 5 and an even chance to stay, or 10 and move at once to where each step costs 1.

    For :math:`\gamma \ge 10/11`, :math:`V(0) = (5 - 5.5\gamma) / ((1 - .5\gamma)(1 - \gamma))` and
    :math:`V(1) = -1/(1 - \gamma)`; the two actions of state 0 tie at :math:`\gamma = 10/11`.
    """
    rows = [(0, 0, 0, "1/2", 5), (0, 0, 1, "1/2", 5), (0, 1, 1, 1, 10), (1, 0, 1, 1, -1)]
    return tabulate(2, rows, Discounted(gamma), rho=0)


@instance(
    "puterman-inventory",
    source="Puterman (1994), Markov Decision Processes, Sections 3.2 and 4.6.1",
    known=[
        Known(
            {}, "finite-horizon", "V", (F(67, 16), F(129, 16), F(194, 16), F(227, 16)), "Puterman (1994), Section 4.6.1"
        ),
        Known(
            {}, "finite-horizon", "V at stage 1", (F(2), F(25, 4), F(10), F(21, 2)), "Puterman (1994), Section 4.6.1"
        ),
        Known({}, "finite-horizon", "V at stage 2", (F(0), F(5), F(6), F(5)), "Puterman (1994), Section 4.6.1"),
        Known({}, "finite-horizon", "policy at stage 0", (3, 0, 0, 0), "Puterman (1994), Section 4.6.1"),
        Known({}, "finite-horizon", "policy at stage 1", (2, 0, 0, 0), "Puterman (1994), Section 4.6.1"),
        Known({}, "finite-horizon", "policy at stage 2", (0, 0, 0, 0), "Puterman (1994), Section 4.6.1"),
    ],
)
def puterman_inventory(*, H: int = 3) -> MDP:
    """Puterman's stochastic inventory: warehouse of 3, fixed ordering cost 4, H months.

    The state is the stock s, the action the order u with s + u at most 3. Ordering costs 4 + 2u (0 for u = 0), holding
    s + u, a unit sold earns 8; demand is 0, 1, 2 with probabilities 1/4, 1/2, 1/4, and unmet demand is lost.
    """
    in_range("H", H, 0)
    M, demand = 3, {0: F(1, 4), 1: F(1, 2), 2: F(1, 4)}
    rows: list[tuple[int, int, int, Fraction, Fraction]] = []
    for s in range(M + 1):
        for u in range(M - s + 1):
            stock = s + u
            cost = (4 + 2 * u if u else 0) + stock
            mean = sum((p * 8 * min(d, stock) for d, p in demand.items()), F(0)) - cost
            rows += [(s, u, max(stock - d, 0), p, mean) for d, p in demand.items()]
    return tabulate(M + 1, rows, FiniteHorizon(H), rho=0, action_names={u: f"order {u}" for u in range(M + 1)})


@instance(
    "forest",
    source="pymdptoolbox, mdptoolbox.example.forest",
    known=[
        Known({}, "discounted", "V", (F(6561, 250), F(7371, 250), F(8371, 250)), "recomputed in rationals"),
        Known(
            {"gamma": "0.96"},
            "discounted",
            "V",
            (F(46656, 625), F(48816, 625), F(51316, 625)),
            "recomputed in rationals (the package's value-iteration doctest stops short of it)",
        ),
        Known({}, "discounted", "policy", (0, 0, 0), "pymdptoolbox"),
    ],
)
def forest(
    *,
    S: int = 3,
    r1: Fraction = Fraction(4),
    r2: Fraction = Fraction(2),
    p: Fraction = Fraction(1, 10),
    gamma: Fraction = Fraction(9, 10),
) -> MDP:
    """Forest management: wait (action 0) or cut (action 1) a stand of S age classes that may burn.

    Waiting ages the stand by one class, or a fire of probability p sets it back to 0; waiting in the oldest class pays
    r1. Cutting sets it back to 0 and pays 0 in class 0, 1 in the middle classes, r2 in the oldest.
    """
    in_range("S", S, 2)
    in_range("p", p, 0, 1)
    check_size("the forest", states=S, pairs=2 * S, transitions=3 * S)
    s = np.arange(S)
    older = np.minimum(s + 1, S - 1)
    values = fill(2 * S, 0)
    values[3::2] = F(1)
    values[2 * S - 2], values[2 * S - 1] = r1, r2
    return assemble(
        S,
        np.repeat(s, 2),
        np.tile(np.arange(2), S),
        np.concatenate((2 * s, 2 * s, 2 * s + 1)),
        np.concatenate((older, np.zeros(2 * S, dtype=np.int64))),
        np.concatenate((fill(S, 1 - p), fill(S, p), fill(S, 1))),
        Discounted(gamma),
        pair_reward=values,
        rho=0,
        pair_names=["wait", "cut"] * S,
    )


@instance(
    "three-state",
    source="MDPSolver, README",
    known=[
        Known({}, "discounted", "V", (F(2953, 97), F(3908, 97), F(11438, 97)), "recomputed in rationals"),
        Known({}, "discounted", "policy", (1, 1, 0), "recomputed in rationals"),
    ],
)
def three_state(*, gamma: Fraction = Fraction(4, 5)) -> MDP:
    """Three states with two actions each, the first example of the MDPSolver package."""
    P = [
        [["9/10", "1/10", 0], ["1/10", "9/10", 0]],
        [["2/5", "1/2", "1/10"], ["3/10", "1/2", "1/5"]],
        [["1/5", "1/5", "3/5"], ["1/2", "1/2", 0]],
    ]
    r = [[5, -1], [1, -2], [50, 0]]
    return MDP(np.array(P, dtype=object), np.array(r, dtype=object), Discounted(gamma), rho=0)


def _howard(P: list[list[list[str]]], r: list[list[list[int]]], gamma: Fraction, names: tuple[str, ...] | None) -> MDP:
    """A model from matrices P[s][a][t] and r[s][a][t], with as many actions as each state has."""
    rows = [
        (s, a, t, p, r[s][a][t])
        for s, choices in enumerate(P)
        for a, law in enumerate(choices)
        for t, p in enumerate(law)
    ]
    return tabulate(len(P), rows, Discounted(gamma), rho=0, state_names=names)


@instance(
    "howard-toymaker",
    source="Howard (1960), Dynamic Programming and Markov Processes, chapters 3 and 4",
    known=[
        Known({}, "average", "gain", F(2), "Howard (1960)"),
        Known({}, "average", "bias", (F(20, 9), F(-70, 9)), "recomputed in rationals"),
        Known({}, "average", "relative value", (F(10), F(0)), "Howard (1960)"),
        Known({}, "average", "policy", (1, 1), "Howard (1960)"),
        Known({}, "discounted", "V", (F(2020, 91), F(160, 13)), "recomputed in rationals"),
        Known({}, "discounted", "policy", (1, 1), "Howard (1960), chapter 7"),
    ],
)
def howard_toymaker(*, gamma: Fraction = Fraction(9, 10)) -> MDP:
    """Howard's toymaker: a toy in favor or out of it; advertising and research are the second actions.

    Discounted by default. Without discounting the gain is 2 a week, of the policy that takes both second actions.
    """
    P = [[["1/2", "1/2"], ["4/5", "1/5"]], [["2/5", "3/5"], ["7/10", "3/10"]]]
    r = [[[9, 3], [4, 4]], [[3, -7], [1, -19]]]
    return _howard(P, r, gamma, ("successful", "unsuccessful"))


@instance(
    "howard-taxicab",
    source="Howard (1960), Dynamic Programming and Markov Processes, chapter 5",
    known=[
        Known({}, "average", "gain", F(1588, 119), "Howard (1960), 13.34; recomputed in rationals"),
        Known({}, "average", "relative value", (F(-20, 17), F(1506, 119), F(0)), "recomputed in rationals"),
        Known({}, "average", "policy", (1, 1, 1), "Howard (1960)"),
        Known(
            {},
            "discounted",
            "V",
            (F(1459720, 11999), F(1623540, 11999), F(1473920, 11999)),
            "Howard (1960), chapter 7, prints 121.7, 135.3, 122.8 (recalled); recomputed in rationals",
        ),
        Known({}, "discounted", "policy", (1, 1, 1), "recomputed in rationals"),
    ],
)
def howard_taxicab(*, gamma: Fraction = Fraction(9, 10)) -> MDP:
    """Howard's taxicab: three towns; cruise, drive to a stand, or wait for a radio call (not in the second town).

    Discounted by default. Without discounting the gain is 1588/119 a trip, of driving to the stand everywhere.
    """
    P = [
        [["1/2", "1/4", "1/4"], ["1/16", "3/4", "3/16"], ["1/4", "1/8", "5/8"]],
        [["1/2", "0", "1/2"], ["1/16", "7/8", "1/16"]],
        [["1/4", "1/4", "1/2"], ["1/8", "3/4", "1/8"], ["3/4", "1/16", "3/16"]],
    ]
    r = [
        [[10, 4, 8], [8, 2, 4], [4, 6, 4]],
        [[14, 0, 18], [8, 16, 8]],
        [[10, 2, 8], [6, 4, 2], [4, 0, 8]],
    ]
    return _howard(P, r, gamma, ("A", "B", "C"))


@instance(
    "jack-car-rental",
    source="Sutton and Barto (2018), Reinforcement Learning, Example 4.2, with untruncated Poisson laws",
    known=[
        Known({}, "discounted", "V(0)", F("421.4140633965"), "recomputed; state (0, 0)", HALF_UNIT_10),
        Known({}, "discounted", "V(220)", F("574.9483239852"), "recomputed; state (10, 10)", HALF_UNIT_10),
    ],
    example={"capacity": 5},
)
def jack_car_rental(*, capacity: int = 20, max_move: int = 5, gamma: Fraction = Fraction(9, 10)) -> MDP:
    """Jack's car rental: two locations, cars moved overnight at 2 dollars each, 10 dollars a rental. A float model.

    State (i, j), cars at the two locations in the evening, is number i*(capacity + 1) + j; action a moves a - max_move
    cars from the first to the second, as many as there are. Requests are Poisson(3) and Poisson(4), returns Poisson(3)
    and Poisson(2), all with their full tails; returned cars can be rented the day after, and cars over capacity are
    lost. Programs that truncate the Poisson laws get other values.
    """
    in_range("capacity", capacity, 0)
    in_range("max_move", max_move, 0)
    n = capacity + 1
    S, A = n * n, 2 * max_move + 1
    check_size("the car rental", states=S, pairs=S * min(A, 2 * n), transitions=S * S * min(A, 2 * n), exact=False)
    day = [_rental_day(capacity, 3.0, 3.0), _rental_day(capacity, 4.0, 2.0)]
    s = np.repeat(np.arange(S), A)
    move = np.tile(np.arange(A) - max_move, S)
    keep = (move <= s // n) & (-move <= s % n)
    s, move = s[keep], move[keep]
    i, j = np.minimum(s // n - move, capacity), np.minimum(s % n + move, capacity)
    P = (day[0][0][i, :, None] * day[1][0][j, None, :]).reshape(len(s), S)
    r = day[0][1][i] + day[1][1][j] - 2.0 * np.abs(move)
    return MDP(
        Transitions.from_dense(P),
        r,
        Discounted(gamma),
        state=s,
        action=move + max_move,
        rho=capacity // 2 * (n + 1),
        state_names=[(k // n, k % n) for k in range(S)],
        pair_names=[f"{k:+d}" for k in move.tolist()],
    )


def _rental_day(capacity: int, requests: float, returns: float) -> tuple[Floats, Floats]:
    """Law of the evening's stock ``(n, n)`` given the morning's, and the expected income ``(n,)``."""

    def poisson(mean: float) -> tuple[Floats, Floats]:
        k = np.arange(capacity + 120)
        log = k * math.log(mean) - mean - np.array([math.lgamma(x + 1.0) for x in k])
        mass = np.exp(log)
        return mass, np.cumsum(mass[::-1])[::-1]

    n = capacity + 1
    asked, asked_tail = poisson(requests)
    back, back_tail = poisson(returns)
    P = np.zeros((n, n))
    income = np.zeros(n)
    for stock in range(n):
        rented = asked[: stock + 1].copy()
        rented[stock] = asked_tail[stock]
        income[stock] = 10.0 * float(rented @ np.arange(stock + 1))
        for k in range(stock + 1):
            left = stock - k
            P[stock, left:capacity] += rented[k] * back[: capacity - left]
            P[stock, capacity] += rented[k] * back_tail[capacity - left]
    return P, income
