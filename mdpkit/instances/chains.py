"""Chains: hard exploration problems, and small models on which careless methods give wrong answers."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import numpy as np

from mdpkit.instances.build import assemble, check_size, fill, tabulate
from mdpkit.instances.registry import Known, in_range, instance
from mdpkit.models.criterion import Discounted, Reachability, TotalReward
from mdpkit.models.mdp import MDP

F = Fraction


@instance(
    "riverswim",
    source="Strehl and Littman (2008), J. Computer and System Sciences 74(8); Jaksch, Ortner and Auer (2010), JMLR 11",
    known=[
        Known({}, "discounted", "V(0)", F(6989776866765, 184647524779), "recomputed in rationals"),
        Known({"gamma": "9/10"}, "discounted", "V(0)", F(425329947, 326053817), "recomputed in rationals"),
        Known({}, "average", "gain", F(7203, 16805), "recomputed in rationals"),
        Known({"variant": "strehl-littman"}, "average", "gain", F(243000, 109), "recomputed in rationals"),
        Known({"variant": "strehl-littman-self"}, "average", "gain", F(72900, 109), "recomputed in rationals"),
    ],
)
def riverswim(
    *,
    n_states: int = 6,
    variant: Literal["ucrl2", "strehl-littman", "strehl-littman-self"] = "ucrl2",
    gamma: Fraction = Fraction(99, 100),
) -> MDP:
    """RiverSwim: swim right (action 1) against the current to a large reward, or left (action 0) to a small one.

    It is not one problem. In all variants ``left`` moves one state to the left for sure, and the start is state 0.

    ``ucrl2``: ``right`` in the first state stays with .4 and moves on with .6; in the middle it goes back with .05,
    stays with .6, moves on with .35; in the last it goes back with .4 and stays with .6. Rewards: 1/200 for ``left`` in
    the first state, 1 for ``right`` in the last.

    ``strehl-littman``: first .7 / .3, middle .1 / .6 / .3, last .7 / .3. Rewards: 5 for ``left`` in the first state,
    10000 in the last under either action. ``strehl-littman-self`` pays the 10000 only where the last state is kept.
    """
    in_range("n_states", n_states, 2)
    check_size("RiverSwim", states=n_states, pairs=2 * n_states, transitions=4 * n_states)
    if variant == "ucrl2":
        first, middle, last = (F(2, 5), F(3, 5)), (F(1, 20), F(3, 5), F(7, 20)), (F(2, 5), F(3, 5))
        small, large = F(1, 200), F(1)
    else:
        first, middle, last = (F(7, 10), F(3, 10)), (F(1, 10), F(3, 5), F(3, 10)), (F(7, 10), F(3, 10))
        small, large = F(5), F(10000)
    n, end = n_states, n_states - 1
    s, m = np.arange(n), np.arange(1, n - 1)
    row = np.concatenate((2 * s, 2 * m + 1, 2 * m + 1, 2 * m + 1, [1, 1, 2 * end + 1, 2 * end + 1]))
    target = np.concatenate((np.maximum(s - 1, 0), m - 1, m, m + 1, [0, 1, end - 1, end]))
    tail = np.array([*first, *last], dtype=object)
    probability = np.concatenate((fill(n, 1), *(fill(n - 2, p) for p in middle), tail))
    values = fill(2 * n, 0)
    values[0], values[2 * end + 1] = small, large
    if variant == "strehl-littman":
        values[2 * end] = large
    paid = values[row]
    if variant == "strehl-littman-self":
        paid[(row == 2 * end + 1) & (target != end)] = F(0)
    return assemble(
        n,
        np.repeat(s, 2),
        np.tile(np.arange(2), n),
        row,
        target,
        probability,
        Discounted(gamma),
        entry_reward=paid,
        rho=0,
        pair_names=["left", "right"] * n,
    )


@instance(
    "haddad-monmege",
    source="Haddad and Monmege (2018), Theoretical Computer Science 735, interval iteration; the symmetric chain",
    known=[
        Known({"n": n}, "reachability", "V(0)", F(1, 2), "by symmetry: one of the two ends is reached almost surely")
        for n in (1, 10, 20, 50)
    ],
    example={"n": 10},
)
def haddad_monmege(*, n: int) -> MDP:
    """Haddad and Monmege's chain, on which stopped value iteration is wrong: target reached with probability 1/2.

    State 0 is the start, 1 … n lie to its right, n + 1 … 2n to its left. From each, half a step outward, half back to
    the start; the right end n is the target, the left end 2n a sink. Value iteration from zero that stops at a residual
    of 1e-6 says 0.45086 for n = 15 and 9.5e-7 for n = 20.
    """
    in_range("n", n, 1)
    S = 2 * n + 1
    check_size("the chain", states=S, pairs=S, transitions=2 * S)
    s = np.arange(1, S)
    inner = s[(s != n) & (s != 2 * n)]
    return assemble(
        S,
        np.arange(S),
        np.zeros(S, dtype=np.int64),
        np.concatenate((inner, inner, [0, 0, n, 2 * n])),
        np.concatenate((inner + 1, np.zeros(len(inner), dtype=np.int64), [1, n + 1, n, 2 * n])),
        np.concatenate((fill(2 * len(inner) + 2, "1/2"), fill(2, 1))),
        Reachability("target"),
        rho=0,
        labels={"target": [n], "sink": [2 * n]},
    )


@instance(
    "leaving",
    source="A counterexample to stopping on the residual: one state left with probability 1 - stay",
    known=[
        Known({}, "total", "V", (F(-100), F(0)), "closed form: reward / (1 - stay)"),
        Known({"stay": "999/1000", "reward": "-1"}, "total", "V", (F(-1000), F(0)), "closed form: reward / (1 - stay)"),
    ],
)
def leaving(*, reward: Fraction = Fraction(-10), stay: Fraction = Fraction(9, 10)) -> MDP:
    """One state that pays ``reward`` a step and is kept with probability ``stay``: reward / (1 - stay) in all.

    The other state is absorbing and pays nothing. With ``stay=1`` the value is infinite, unless the reward is 0.
    """
    in_range("stay", stay, 0, 1)
    rows = [(0, 0, 0, stay, reward), (0, 0, 1, 1 - stay, reward), (1, 0, 1, 1, 0)]
    return tabulate(2, rows, TotalReward(), rho=0, labels={"left": [1]})


@instance(
    "free-loop",
    source="The two meanings of minimal total cost: R=? [F target] of PRISM, and plain expected total cost",
    known=[
        Known({}, "total", "V", (F(1), F(0)), "a path that misses the target costs infinitely much"),
        Known({}, "total", "policy", (1, 0), "a path that misses the target costs infinitely much"),
        Known({"semantics": "total"}, "total", "V", (F(0), F(0)), "looping for ever costs nothing"),
        Known({"semantics": "total"}, "total", "policy", (0, 0), "looping for ever costs nothing"),
    ],
)
def free_loop(*, semantics: Literal["reach", "total"] = "reach") -> MDP:
    """A loop that costs nothing (action 0) beside a step of cost 1 into the target (action 1): minimal cost 1, or 0.

    ``reach``: cost until the target is entered, infinite where it is missed (``Rmin=? [F "target"]``): 1. ``total``:
    plain total cost, under which hiding in the loop is allowed: 0.
    """
    rows = [(0, 0, 0, 1, 0), (0, 1, 1, 1, 1), (1, 0, 1, 1, 0)]
    criterion = TotalReward(target="target") if semantics == "reach" else TotalReward()
    return tabulate(2, rows, criterion, rho=0, minimize=True, labels={"target": [1]})


@instance(
    "gambler",
    source="Sutton and Barto (2018), Reinforcement Learning, Example 4.3; Dubins and Savage (1965)",
    known=[
        Known({}, "reachability", "V(25)", F(4, 25), "closed form: bold play"),
        Known({}, "reachability", "V(50)", F(2, 5), "closed form: bold play"),
        Known({}, "reachability", "V(75)", F(16, 25), "closed form: bold play"),
        Known({"p": "1/2", "goal": 10}, "reachability", "V(3)", F(3, 10), "closed form: a fair game is a martingale"),
    ],
    example={"goal": 20},
)
def gambler(*, p: Fraction = Fraction(2, 5), goal: int = 100) -> MDP:
    """Gambler's problem: stake a of a capital s, win with probability p, until 0 or ``goal`` is reached.

    The state is the capital, the action the stake 0 … min(s, goal - s); maximized is the probability of reaching
    ``goal``. Entering it pays 1, so total reward has the same value. The start is goal // 2. The optimal policy is not
    unique: for p <= 1/2 bold play, the largest stake, is one. A stake of 0 is allowed, as in the book: a loop that is
    no progress.
    """
    in_range("p", p, 0, 1)
    in_range("goal", goal, 2)
    n_pairs = (goal // 2) * ((goal + 1) // 2) + goal + 1
    check_size("the gambler's problem", states=goal + 1, pairs=n_pairs, transitions=2 * n_pairs)
    s = np.arange(goal + 1)
    count = np.minimum(s, goal - s) + 1
    state = np.repeat(s, count)
    stake = np.arange(len(state)) - np.repeat(np.cumsum(count) - count, count)
    row = np.tile(np.arange(len(state)), 2)
    target = np.concatenate((state + stake, state - stake))
    paid = fill(len(row), 0)
    paid[(target == goal) & (state[row] != goal)] = F(1)
    return assemble(
        goal + 1,
        state,
        stake,
        row,
        target,
        np.concatenate((fill(len(state), p), fill(len(state), 1 - p))),
        Reachability("goal"),
        entry_reward=paid,
        rho=goal // 2,
        labels={"goal": [goal], "ruin": [0]},
    )


@instance(
    "chain",
    source="Strens (2000), A Bayesian framework for reinforcement learning, ICML; Dearden, Friedman and Russell (1998)",
    known=[
        Known({}, "average", "gain", F(2298, 625), "closed form; Strens reports 3677 for 1000 steps"),
        Known({}, "average", "policy", (0, 0, 0, 0, 0), "Strens (2000)"),
    ],
)
def chain(*, n_states: int = 5, slip: Fraction = Fraction(1, 5), gamma: Fraction = Fraction(99, 100)) -> MDP:
    """The chain of Strens: move on for nothing to an end that pays 10 a step, or return to the start for 2.

    Action 0 moves on (in the last state it stays and pays 10), action 1 returns to state 0 and pays 2; with probability
    ``slip`` the other one happens.
    """
    in_range("n_states", n_states, 2)
    in_range("slip", slip, 0, 1)
    check_size("the chain", states=n_states, pairs=2 * n_states, transitions=4 * n_states)
    n = n_states
    s = np.arange(n)
    on = np.minimum(s + 1, n - 1)
    home = np.zeros(n, dtype=np.int64)
    forward, back = fill(n, 0), fill(n, 2)
    forward[n - 1] = F(10)
    return assemble(
        n,
        np.repeat(s, 2),
        np.tile(np.arange(2), n),
        np.concatenate((2 * s, 2 * s, 2 * s + 1, 2 * s + 1)),
        np.concatenate((on, home, on, home)),
        np.concatenate((fill(n, 1 - slip), fill(n, slip), fill(n, slip), fill(n, 1 - slip))),
        Discounted(gamma),
        entry_reward=np.concatenate((forward, back, forward, back)),
        rho=0,
        pair_names=["on", "home"] * n,
    )


@instance(
    "combination-lock",
    source="Whitehead (1991), AAAI; Kakade (2003), thesis (both recalled): a chain that one wrong action resets",
    known=[
        Known({}, "discounted", "V(0)", F(9, 10) ** 9 * 10, "closed form: gamma**(n_states - 1) / (1 - gamma)"),
        Known({}, "discounted", "policy", (0,) * 10, "closed form"),
    ],
)
def combination_lock(*, n_states: int = 10, n_actions: int = 2, gamma: Fraction = Fraction(9, 10)) -> MDP:
    """A combination lock: action 0 is right everywhere and moves on, any other goes back to state 0.

    Only the right action in the last state, which keeps it, pays: 1. A uniformly random policy needs exponentially many
    steps to get there.
    """
    in_range("n_states", n_states, 1)
    in_range("n_actions", n_actions, 1)
    L = n_states * n_actions
    check_size("the lock", states=n_states, pairs=L, transitions=L)
    state = np.repeat(np.arange(n_states), n_actions)
    action = np.tile(np.arange(n_actions), n_states)
    values = fill(L, 0)
    values[(n_states - 1) * n_actions] = F(1)
    return assemble(
        n_states,
        state,
        action,
        np.arange(L),
        np.where(action == 0, np.minimum(state + 1, n_states - 1), 0),
        fill(L, 1),
        Discounted(gamma),
        pair_reward=values,
        rho=0,
    )


@instance(
    "deep-sea",
    source="Osband, Van Roy, Russo and Wen (2019), JMLR 20; bsuite's deep_sea (Osband et al. 2020, ICLR)",
    known=[
        Known({}, "total", "V(0)", F(99, 100), "closed form: always right, 1 - cost"),
        Known({"move_cost": "2"}, "total", "V(0)", F(0), "closed form: always left, where the cost is above 1"),
        Known(
            {"stochastic": True},
            "total",
            "V(0)",
            F(4, 5) ** 4 - F(1, 100) * (1 - F(4, 5) ** 5),
            "closed form, with q = 1 - 1/size: q**(size - 1) - cost (1 - q**size)",
        ),
    ],
)
def deep_sea(
    *,
    size: int = 5,
    stochastic: bool = False,
    move_cost: Fraction = Fraction(1, 100),
    shuffled: bool = False,
    seed: int = 0,
) -> MDP:
    """Deep sea: sink one row a step, to the left for nothing or to the right at a cost; the far corner holds a 1.

    After ``size`` steps it ends. Each move to the right costs move_cost / size, and only a move to the right in the
    last row's last cell pays 1: a random policy gets there with probability 2**-size. Cell (row, column), of those with
    column <= row, which alone can be entered, is state row (row + 1) / 2 + column; the last state is the end.

    Action 1 is right; ``shuffled``, it is drawn for each cell. ``stochastic``: a move to the right falls straight down
    with probability 1/size (bsuite's noise of mean zero in the last row's ends is left out). Then one stops trying
    after the first failure, so that the best return is a little more than bsuite's own, which pays the cost to the end.
    """
    in_range("size", size, 1)
    in_range("seed", seed, 0)
    S = size * (size + 1) // 2 + 1
    check_size("the deep sea", states=S, pairs=2 * S, transitions=3 * S)
    y = np.repeat(np.arange(size), np.arange(1, size + 1))
    x = np.arange(S - 1) - y * (y + 1) // 2
    below = np.where(y < size - 1, (y + 1) * (y + 2) // 2, S - 1)
    down = below + np.where(y < size - 1, x, 0)
    left = below + np.where(y < size - 1, np.maximum(x - 1, 0), 0)
    right = down + (y < size - 1)
    flip = np.random.default_rng(seed).integers(0, 2, size=S - 1) if shuffled else np.zeros(S - 1, dtype=np.int64)
    s = np.arange(S - 1)
    go, stay = 2 * s + 1 - flip, 2 * s + flip
    fails = F(1, size) if stochastic else F(0)
    pays = fill(2 * S, 0)
    pays[go] = -move_cost / size
    pays[go[-1]] += 1
    return assemble(
        S,
        np.repeat(np.arange(S), 2),
        np.tile(np.arange(2), S),
        np.concatenate((stay, go, go, [2 * S - 2, 2 * S - 1])),
        np.concatenate((left, right, down, [S - 1, S - 1])),
        np.concatenate((fill(S - 1, 1), fill(S - 1, 1 - fails), fill(S - 1, fails), fill(2, 1))),
        TotalReward(),
        pair_reward=pays,
        rho=0,
    )
