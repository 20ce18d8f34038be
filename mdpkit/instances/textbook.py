"""Small problems of the textbooks and of other packages, with their published answers."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal

import numpy as np

from mdpkit.instances.build import assemble, check_size, fill, tabulate
from mdpkit.instances.registry import Known, in_range, instance
from mdpkit.models.criterion import Discounted, FiniteHorizon, TotalReward
from mdpkit.models.mdp import MDP
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Floats

F = Fraction
HALF_UNIT_10 = F(1, 2 * 10**10)
TABLE_4X3 = ".812 .868 .918 1 .762 .660 -1 .705 .655 .611 .388 0"


@instance(
    "puterman-two-state",
    source="Puterman (1994), Markov Decision Processes, Section 3.1",
    known=[
        Known({}, "discounted", "V", (F(-60, 7), F(-20)), "closed form"),
        Known({}, "discounted", "policy", (0, 0), "Puterman (1994), Section 6.3"),
        Known(
            {"gamma": "10/11"}, "discounted", "V", (F(0), F(-11)), "closed form; both actions of state 0 are optimal"
        ),
        Known({}, "average", "gain", F(-1), "closed form: state 1 is absorbing"),
        Known({}, "average", "bias", (F(12), F(0)), "closed form: (5 + 1) / (1 - 1/2)"),
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
        Known({}, "average", "gain", F(81, 25), "closed form: r1 * (1 - p)**2, waiting for ever"),
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
        Known({}, "average", "gain", F(58, 5), "recomputed in rationals"),
        Known({}, "average", "policy", (1, 1, 0), "recomputed in rationals"),
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
    example={"capacity": 2},
)
def jack_car_rental(*, capacity: int = 20, max_move: int = 5, gamma: Fraction = Fraction(9, 10)) -> MDP:
    """Jack's car rental: two locations, cars moved overnight at 2 dollars each, 10 dollars a rental. A float model.

    State (i, j), cars at the two locations in the evening, is number i*(capacity + 1) + j; action a moves a - max_move
    cars from the first to the second, as many as there are. Requests are Poisson(3) and Poisson(4), returns Poisson(3)
    and Poisson(2), all with their full tails; returned cars can be rented the day after, and cars over capacity are
    lost. Programs that truncate the Poisson laws get other values: see ``jack-car-rental-truncated``.
    """
    _check_rental(capacity, max_move)
    first = _rental_day(capacity, _poisson(3.0, capacity), _poisson(3.0, capacity))
    second = _rental_day(capacity, _poisson(4.0, capacity), _poisson(2.0, capacity))
    return _car_rental(capacity, max_move, first, second, gamma)


@instance(
    "jack-car-rental-truncated",
    source="Sutton and Barto (2018), Example 4.2, as in S. Zhang's reinforcement-learning-an-introduction (chapter 4)",
    known=[
        Known({}, "discounted", "V(0)", F("405.3040243730"), "recomputed; state (0, 0)", HALF_UNIT_10),
        Known({}, "discounted", "V(220)", F("557.2030424451"), "recomputed; state (10, 10)", HALF_UNIT_10),
        Known(
            {"returns": "constant"}, "discounted", "V(0)", F("415.7678977401"), "recomputed; state (0, 0)", HALF_UNIT_10
        ),
        Known(
            {"returns": "constant"},
            "discounted",
            "V(220)",
            F("566.5916900687"),
            "recomputed; state (10, 10)",
            HALF_UNIT_10,
        ),
    ],
    example={"capacity": 2, "terms": 4},
)
def jack_car_rental_truncated(
    *,
    capacity: int = 20,
    max_move: int = 5,
    terms: int = 11,
    returns: Literal["poisson", "constant"] = "poisson",
    gamma: Fraction = Fraction(9, 10),
) -> MDP:
    """Jack's car rental with Poisson laws cut after their first 11 terms, as popular programs have it. A float model.

    It differs from ``jack-car-rental`` in that numbers of requests and returns are 0 … ``terms`` - 1 with their Poisson
    probabilities, and the rest of the probability, 0.3 % a day, is lost: here it leads to one more state, the last,
    which is absorbing and pays nothing, so that values are lower than the book's. With ``returns=constant`` exactly 3
    and 2 cars come back each day, the default of that program. States and actions are otherwise the same.
    """
    _check_rental(capacity, max_move)
    in_range("terms", terms, 1, 100)
    ask = [_poisson(mean, terms - 1, whole=False) for mean in (3.0, 4.0)]
    if returns == "poisson":
        back = [_poisson(mean, terms - 1, whole=False) for mean in (3.0, 2.0)]
    else:
        back = [np.eye(4)[3], np.eye(4)[2]]
    first, second = (_rental_day(capacity, ask[k], back[k]) for k in (0, 1))
    return _car_rental(capacity, max_move, first, second, gamma, leak=True)


def _poisson(mean: float, last: int, *, whole: bool = True) -> Floats:
    """Probabilities of 0 … ``last``; if ``whole``, those of more are added to the last, which then means "or more"."""
    k = np.arange(last + 120)
    mass = np.exp(k * math.log(mean) - mean - np.array([math.lgamma(x + 1.0) for x in k]))
    law = mass[: last + 1].copy()
    if whole:
        law[-1] = mass[last:][::-1].sum()
    return law


def _rental_day(capacity: int, asked: Floats, back: Floats) -> tuple[Floats, Floats]:
    """Law of the evening's stock ``(n, n)`` given the morning's, and the expected income ``(n,)``.

    The last entries of the laws may stand for "or more" if they are those of ``capacity``, as no more is needed.
    """
    n = capacity + 1
    P, income = np.zeros((n, n)), np.zeros(n)
    for stock in range(n):
        for k, p in enumerate(asked):
            rented = min(k, stock)
            income[stock] += 10.0 * p * rented
            np.add.at(P[stock], np.minimum(stock - rented + np.arange(len(back)), capacity), p * back)
    return P, income * back.sum()


def _car_rental(
    capacity: int,
    max_move: int,
    first: tuple[Floats, Floats],
    second: tuple[Floats, Floats],
    gamma: Fraction,
    *,
    leak: bool = False,
) -> MDP:
    """The car rental of two days' laws; with ``leak``, what they lack to one leads to a further, absorbing state."""
    n = capacity + 1
    S, A = n * n, 2 * max_move + 1
    s = np.repeat(np.arange(S), A)
    move = np.tile(np.arange(A) - max_move, S)
    keep = (move <= s // n) & (-move <= s % n)
    s, move = s[keep], move[keep]
    i, j = np.minimum(s // n - move, capacity), np.minimum(s % n + move, capacity)
    P = (first[0][i, :, None] * second[0][j, None, :]).reshape(len(s), S)
    names = [(k // n, k % n) for k in range(S)]
    pair_names = [f"{k:+d}" for k in move.tolist()]
    action = move + max_move
    if leak:
        # A day's income counts where nothing of either location's day is cut off.
        r = first[1][i] * second[0].sum(axis=1)[j] + second[1][j] * first[0].sum(axis=1)[i] - 2.0 * np.abs(move)
        P = np.append(np.hstack((P, np.maximum(1.0 - P.sum(axis=1, keepdims=True), 0.0))), [[0.0] * S + [1.0]], axis=0)
        r, s, action = np.append(r, 0.0), np.append(s, S), np.append(action, 0)
        names, pair_names = [*names, (-1, -1)], [*pair_names, "stay"]
    else:
        r = first[1][i] + second[1][j] - 2.0 * np.abs(move)
    return MDP(
        Transitions.from_dense(P),
        r,
        Discounted(gamma),
        state=s,
        action=action,
        rho=capacity // 2 * (n + 1),
        state_names=names,
        pair_names=pair_names,
    )


def _check_rental(capacity: int, max_move: int) -> None:
    in_range("capacity", capacity, 0)
    in_range("max_move", max_move, 0)
    n = capacity + 1
    pairs = n * n * min(2 * max_move + 1, 2 * n)
    check_size("the car rental", states=n * n, pairs=pairs, transitions=n * n * pairs, exact=False)


@instance(
    "recycling-robot",
    source="Sutton and Barto (2018), Reinforcement Learning, Example 3.3, whose numbers are symbols; chosen here",
    known=[
        Known({}, "discounted", "V", (F(1000, 59), F(900, 59)), "closed form: search when high, recharge when low"),
        Known({}, "discounted", "policy", (0, 2), "closed form"),
        Known({}, "average", "gain", F(5, 3), "closed form: search / (2 - alpha)"),
        Known({"beta": "19/20"}, "discounted", "policy", (0, 0), "closed form"),
    ],
)
def recycling_robot(
    *,
    alpha: Fraction = Fraction(4, 5),
    beta: Fraction = Fraction(3, 5),
    search: Fraction = Fraction(2),
    wait: Fraction = Fraction(1),
    rescue: Fraction = Fraction(-3),
    gamma: Fraction = Fraction(9, 10),
) -> MDP:
    r"""The recycling robot: search (action 0) or wait (action 1) for cans; with a low battery also recharge (action 2).

    Searching pays ``search`` and keeps a high battery high with probability ``alpha``, a low one low with ``beta``;
    else the low battery is flat, the robot is rescued for ``rescue`` and recharged. Waiting pays ``wait``, recharging
    nothing. To search when high and recharge when low is worth :math:`V(high) = r_s / (1 - \gamma (\alpha + (1 -
    \alpha) \gamma))` and :math:`V(low) = \gamma V(high)`.
    """
    in_range("alpha", alpha, 0, 1)
    in_range("beta", beta, 0, 1)
    rows = [
        *((0, 0, 0, alpha, search), (0, 0, 1, 1 - alpha, search), (0, 1, 0, 1, wait)),
        *((1, 0, 1, beta, search), (1, 0, 0, 1 - beta, rescue), (1, 1, 1, 1, wait), (1, 2, 0, 1, 0)),
    ]
    names = {0: "search", 1: "wait", 2: "recharge"}
    return tabulate(2, rows, Discounted(gamma), rho=0, state_names=("high", "low"), action_names=names)


@instance(
    "random-walk",
    source="Sutton and Barto (2018), Reinforcement Learning, Examples 6.2 and 7.1",
    known=[
        Known({}, "total", "V", (F(0), *(F(k, 6) for k in range(1, 6)), F(0)), "Sutton and Barto (2018), Example 6.2"),
        Known(
            {"n": 19, "left": -1},
            "total",
            "V",
            (F(0), *(F(k - 10, 10) for k in range(1, 20)), F(0)),
            "closed form: the 19 states of Example 7.1",
        ),
    ],
)
def random_walk(*, n: int = 5, left: Fraction = Fraction(0), right: Fraction = Fraction(1)) -> MDP:
    """A fair random walk on states 1 … n between two absorbing ends: a chain, without a choice.

    Entering the end n + 1 pays ``right``, entering the end 0 pays ``left``, other steps nothing; undiscounted, state k
    is worth ((n + 1 - k) left + k right) / (n + 1). The start is the middle.
    """
    in_range("n", n, 1)
    check_size("the walk", states=n + 2, pairs=n + 2, transitions=2 * n + 2)
    rows = [(k, 0, k + d, "1/2", {0: left, n + 1: right}.get(k + d, 0)) for k in range(1, n + 1) for d in (-1, 1)]
    rows += [(0, 0, 0, 1, 0), (n + 1, 0, n + 1, 1, 0)]
    return tabulate(n + 2, rows, TotalReward(), rho=(n + 1) // 2, labels={"left": [0], "right": [n + 1]})


@instance(
    "maximization-bias-two-point",
    source="Sutton and Barto (2018), Reinforcement Learning, Example 6.7, with a law of two points for the normal one",
    known=[
        Known({}, "total", "V", (F(0), F(-1, 10), F(0), F(0)), "closed form: right at once, for nothing"),
        Known({}, "total", "policy", (1, 0, 0, 0), "closed form"),
        Known({"mean": "1/10"}, "total", "V", (F(1, 10), F(1, 10), F(0), F(0)), "closed form: left, for the mean"),
    ],
    example={"actions": 2},
)
def maximization_bias(*, actions: int = 10, mean: Fraction = Fraction(-1, 10), spread: Fraction = Fraction(1)) -> MDP:
    """Left of the start wait many noisy actions of negative mean, which look good to who maximizes over estimates.

    In state 0 action 1 (right) ends for nothing, action 0 (left) leads to state 1 for nothing; there each of the
    ``actions`` ends with ``mean`` + ``spread`` or ``mean`` - ``spread``, equally likely (states 2 and 3). The book draws
    from the normal law with the same mean and variance, which no table of rewards can hold. Undiscounted.
    """
    in_range("actions", actions, 1)
    rows = [(0, 0, 1, F(1), F(0)), (0, 1, 2, F(1), F(0)), (2, 0, 2, F(1), F(0)), (3, 0, 3, F(1), F(0))]
    for a in range(actions):
        rows += [(1, a, 2, F(1, 2), mean + spread), (1, a, 3, F(1, 2), mean - spread)]
    return tabulate(4, rows, TotalReward(), rho=0, state_names=("A", "B", "end", "other end"))


@instance(
    "silver-student",
    source="Silver (2015), UCL course on reinforcement learning, lecture 2",
    known=[
        Known({}, "total", "V", (F(6), F(6), F(8), F(10), F(0)), "Silver (2015), lecture 2"),
        Known({}, "total", "policy", (1, 1, 1, 1, 0), "Silver (2015), lecture 2"),
        Known(
            {},
            "total",
            "V of the uniform policy",
            (F("-2.3"), F("-1.3"), F("2.7"), F("7.4"), F(0)),
            "Silver (2015), lecture 2, printed to one decimal",
            F(1, 20),
        ),
    ],
)
def silver_student() -> MDP:
    """Silver's student: classes, the pub and Facebook until sleep, undiscounted.

    States are 0 Facebook, 1 to 3 the classes, 4 sleep. Facebook: 0 facebook (-1), 1 quit (to class 1). Class 1: 0
    facebook (-1), 1 study (-2). Class 2: 0 sleep, 1 study (-2). Class 3: 0 pub (1, then class 1, 2, 3 with .2, .4, .4),
    1 study (10, then sleep).
    """
    rows = [
        *((0, 0, 0, 1, -1), (0, 1, 1, 1, 0), (1, 0, 0, 1, -1), (1, 1, 2, 1, -2), (2, 0, 4, 1, 0), (2, 1, 3, 1, -2)),
        *((3, 0, 1, "1/5", 1), (3, 0, 2, "2/5", 1), (3, 0, 3, "2/5", 1), (3, 1, 4, 1, 10), (4, 0, 4, 1, 0)),
    ]
    return tabulate(
        5,
        rows,
        TotalReward(),
        rho=1,
        labels={"sleep": [4]},
        state_names=("Facebook", "class 1", "class 2", "class 3", "sleep"),
        pair_names=("facebook", "quit", "facebook", "study", "sleep", "study", "pub", "study", "stay"),
    )


@instance(
    "russell-norvig-4x3",
    source="Russell and Norvig (2010), Artificial Intelligence, third edition, Figure 17.3",
    known=[
        Known(
            {},
            "total",
            "V",
            tuple(F(x) for x in TABLE_4X3.split()),
            "Russell and Norvig (2010), Figure 17.3, printed to three decimals",
            F(1, 2000),
        ),
        Known({}, "total", "policy", (2, 2, 2, 0, 3, 3, 0, 3, 0, 0, 0, 0), "Russell and Norvig (2010), Figure 17.2"),
    ],
)
def russell_norvig(*, reward: Fraction = Fraction(-1, 25), slip: Fraction = Fraction(1, 5)) -> MDP:
    """Russell and Norvig's 4 x 3 world, undiscounted: being in a state pays -.04, in the two terminal ones 1 and -1.

    States are numbered row by row from the top, without the wall: state 3 pays 1, state 6 below it -1, and both lead to
    state 11, in which all is over; the start is state 7, lower left. Actions are 0 left, 1 down, 2 right, 3 up; with
    probability ``slip`` a move goes to one of its sides, half to each; against a wall or the edge one stays. The fourth
    edition pays on transitions, and prints other utilities.
    """
    in_range("slip", slip, 0, 1)
    cells = [(y, x) for y in range(3) for x in range(4) if (y, x) != (1, 1)]
    number = {cell: s for s, cell in enumerate(cells)}
    step = ((0, -1), (1, 0), (0, 1), (-1, 0))
    rows = [(3, 0, 11, F(1), F(1)), (6, 0, 11, F(1), F(-1)), (11, 0, 11, F(1), F(0))]
    for s, (y, x) in enumerate(cells):
        for a in range(4) if s not in (3, 6) else ():
            for b, p in ((a, 1 - slip), ((a + 1) % 4, slip / 2), ((a - 1) % 4, slip / 2)):
                rows.append((s, a, number.get((y + step[b][0], x + step[b][1]), s), p, reward))
    return tabulate(
        12,
        rows,
        TotalReward(),
        rho=7,
        labels={"goal": [3], "trap": [6], "end": [11]},
        state_names=[*cells, "end"],
    )
