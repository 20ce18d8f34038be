"""Small models on which algorithms, stop rules and criteria differ: each has a closed form, and says what it separates."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.instances.build import assemble, check_size, fill, tabulate
from mdpkit.instances.registry import Known, in_range, instance
from mdpkit.models.criterion import Discounted, Reachability
from mdpkit.models.linear import LinearMDP
from mdpkit.models.mdp import MDP

F = Fraction


@instance(
    "two-cliques",
    source="Folklore: two well-mixed halves with a narrow bridge between them (the barbell), defined here",
    known=[
        Known({}, "average", "gain", F(1, 2), "the stationary law is uniform, as the matrix is symmetric"),
        Known({}, "average", "bias", (*[F(-27)] * 3, F(-25), F(25), *[F(27)] * 3), "closed form: n/(4p), n/(4p) + n/2"),
        Known({"n": 2, "p": "1/8"}, "average", "bias", (F(-5), F(-4), F(4), F(5)), "closed form: n/(4p), n/(4p) + n/2"),
    ],
)
def two_cliques(*, n: int = 4, p: Fraction = Fraction(1, 25), gamma: Fraction = Fraction(99, 100)) -> MDP:
    """A chain that mixes slowly: two cliques of n states, of which the right one pays 1, joined by one narrow bridge.

    From each state the next is uniform over its clique (itself included), but the two gates n - 1 and n exchange places
    with probability ``p <= 1/n``, taken from the probability of staying. The gain is 1/2 whatever p is, while the bias,
    and with it the time that relative value iteration takes, grows like n/(4p): n/(4p) at the right gate, n/2 more in
    the rest of the right clique, and the opposite on the left.
    """
    in_range("n", n, 2)
    in_range("p", p, 0, F(1, n), open_low=True)
    check_size("the two cliques", states=2 * n, pairs=2 * n, transitions=2 * n * n + 2)
    left = np.arange(n)
    row = np.concatenate((np.repeat(left, n), n + np.repeat(left, n), [n - 1, n]))
    target = np.concatenate((np.tile(left, n), n + np.tile(left, n), [n, n - 1]))
    probability = fill(len(row), F(1, n))
    probability[[n * n - 1, n * n]] -= p
    probability[-2:] = p
    return assemble(
        2 * n,
        np.arange(2 * n),
        np.zeros(2 * n, dtype=np.int64),
        row,
        target,
        probability,
        Discounted(gamma),
        pair_reward=np.concatenate((fill(n, 0), fill(n, 1))),
        rho=0,
    )


@instance(
    "cycle",
    source="Folklore: a periodic chain, and its lazy variant",
    known=[
        Known({}, "average", "gain", F(1, 6), "the stationary law is uniform"),
        Known({}, "average", "bias", tuple(F(k, 12) for k in (5, -5, -3, -1, 1, 3)), "closed form"),
        Known({"stay": "1/2"}, "average", "bias", tuple(F(k, 6) for k in (5, -5, -3, -1, 1, 3)), "closed form"),
        Known({}, "discounted", "V(0)", 1 / (1 - F(9, 10) ** 6), "closed form: 1 / (1 - gamma**n)"),
    ],
)
def cycle(*, n: int = 6, stay: Fraction = Fraction(0), gamma: Fraction = Fraction(9, 10)) -> MDP:
    """A cycle of n states that pays 1 in state 0: periodic, unless a step stays with probability ``stay``.

    The gain is 1/n. With ``stay=0`` the period is n, and neither the expected rewards nor the differences of value
    iteration converge. With d = (n - s) mod n moves to go to state 0 the bias is ((n - 1)/2 - d) / (n (1 - stay)).
    """
    in_range("n", n, 1)
    if not 0 <= stay < 1:
        raise OptionError("parameter 'stay' is out of range", found=str(stay), needed="0 <= stay < 1")
    check_size("the cycle", states=n, pairs=n, transitions=2 * n)
    s = np.arange(n)
    pays = fill(n, 0)
    pays[0] = F(1)
    return assemble(
        n,
        s,
        np.zeros(n, dtype=np.int64),
        np.concatenate((s, s)),
        np.concatenate(((s + 1) % n, s)),
        np.concatenate((fill(n, 1 - stay), fill(n, stay))),
        Discounted(gamma),
        pair_reward=pays,
        rho=0,
    )


@instance(
    "delayed-reward",
    source="Folklore, defined here: a smaller reward at once, or a larger one later",
    known=[
        Known({}, "discounted", "V(0)", F(19, 20) ** 5, "closed form: max(threshold, gamma)**delay"),
        Known({}, "discounted", "policy", (1, 0, 0, 0, 0, 0, 0), "patient, as gamma > threshold"),
        Known({"gamma": "4/5"}, "discounted", "V(0)", F(9, 10) ** 5, "closed form: max(threshold, gamma)**delay"),
        Known({"gamma": "4/5"}, "discounted", "policy", (0,) * 7, "hasty, as gamma < threshold"),
        Known({}, "total", "V(0)", F(1), "without discounting one waits"),
    ],
)
def delayed_reward(*, delay: int = 5, threshold: Fraction = Fraction(9, 10), gamma: Fraction = Fraction(19, 20)) -> MDP:
    """In state 0 take threshold**delay at once (action 0), or wait for a reward of 1 after ``delay`` steps (action 1).

    Either way it ends in the last state, which pays nothing. Waiting is right if and only if gamma >= threshold; a
    method that looks fewer than ``delay`` steps ahead never sees the larger reward.
    """
    in_range("delay", delay, 1)
    in_range("threshold", threshold, 0, 1)
    check_size("the delayed reward", states=delay + 2, pairs=delay + 3, transitions=delay + 3)
    s = np.arange(1, delay + 1)
    pays = fill(delay + 3, 0)
    pays[0], pays[delay + 1] = threshold**delay, F(1)
    return assemble(
        delay + 2,
        np.concatenate(([0, 0], s, [delay + 1])),
        np.concatenate(([0, 1], np.zeros(delay + 1, dtype=np.int64))),
        np.arange(delay + 3),
        np.concatenate(([delay + 1, 1], s + 1, [delay + 1])),
        fill(delay + 3, 1),
        Discounted(gamma),
        pair_reward=pays,
        rho=0,
    )


@instance(
    "blackwell-threshold",
    source="Folklore, defined here: the discount factor from which on the policy of largest gain is optimal",
    known=[
        Known({}, "discounted", "V", (F(10), F(20)), "closed form: 1 / (1 - gamma) below the threshold"),
        Known({}, "discounted", "policy", (0, 0), "staying, as gamma < threshold"),
        Known({"gamma": "99/100"}, "discounted", "V(0)", F(180), "closed form: 2 gamma / (1 - gamma) - 18"),
        Known({"gamma": "99/100"}, "discounted", "policy", (1, 0), "moving, as gamma > threshold"),
    ],
)
def blackwell_threshold(*, threshold: Fraction = Fraction(19, 20), gamma: Fraction = Fraction(9, 10)) -> MDP:
    """Earn 1 a step in state 0 (action 0), or pay once to move to state 1 (action 1), which pays 2 a step.

    The price is (2*threshold - 1) / (1 - threshold), so that moving is optimal if and only if gamma >= threshold. It is
    the only policy of gain 2 and Blackwell optimal, but for every smaller discount factor not optimal.
    """
    if not F(1, 2) <= threshold < 1:
        raise OptionError("parameter 'threshold' is out of range", found=str(threshold), needed="1/2 <= threshold < 1")
    price = (2 * threshold - 1) / (1 - threshold)
    rows = [(0, 0, 0, 1, 1), (0, 1, 1, 1, -price), (1, 0, 1, 1, 2)]
    return tabulate(2, rows, Discounted(gamma), rho=0)


@instance(
    "feinberg-huang",
    source="Feinberg and Huang (2014), Operations Research Letters 42(2) (recalled)",
    known=[
        Known({}, "discounted", "V", (F(1), F(0), F(2)), "closed form: gamma / (1 - gamma), 0, 1 / (1 - gamma)"),
        Known({}, "discounted", "policy", (1, 0, 0), "closed form"),
        Known({"gamma": "9/10"}, "discounted", "V", (F(9), F(0), F(10)), "closed form"),
    ],
)
def feinberg_huang(*, sweeps: int = 20, gamma: Fraction = Fraction(1, 2)) -> MDP:
    """Three states on which value iteration from zero is fooled for as many sweeps as one likes.

    In state 0, action 0 pays gamma (1 - gamma**sweeps) / (1 - gamma) and ends in state 1, which pays nothing; action 1
    pays nothing and leads to state 2, which pays 1 a step. Action 1 is optimal, but greedy for the k-th iterate only
    from k = ``sweeps`` on (there is a tie at k = ``sweeps``): the number of iterations is bounded by no polynomial in
    the number of states and actions.
    """
    in_range("sweeps", sweeps, 0, 100_000)
    in_range("gamma", gamma, 0, open_low=True)
    criterion = Discounted(gamma)  # which refuses gamma = 1
    lure = gamma * (1 - gamma**sweeps) / (1 - gamma)
    rows = [(0, 0, 1, 1, lure), (0, 1, 2, 1, 0), (1, 0, 1, 1, 0), (2, 0, 2, 1, 1)]
    return tabulate(3, rows, criterion, rho=0)


@instance(
    "sweep-order",
    source="Folklore, defined here: Gauss-Seidel sweeps in the order of the states, with it and against it",
    known=[
        Known({}, "discounted", "V(0)", F(9, 10) ** 6, "closed form: gamma**(n - 2)"),
        Known({"direction": "down"}, "discounted", "V(7)", F(9, 10) ** 6, "closed form: gamma**(n - 2)"),
    ],
)
def sweep_order(*, n: int = 8, direction: Literal["up", "down"] = "up", gamma: Fraction = Fraction(9, 10)) -> MDP:
    """A corridor of n states to a reward of 1 on entering its end; ``down`` numbers the same corridor in reverse.

    Gauss-Seidel value iteration in the order 0 … n - 1 is exact after one sweep where the corridor leads ``down`` to
    state 0, and after n - 1 sweeps, no better than value iteration, where it leads ``up`` to state n - 1.
    """
    in_range("n", n, 2)
    check_size("the corridor", states=n, pairs=n, transitions=n)
    s = np.arange(n)
    target = np.minimum(s + 1, n - 1) if direction == "up" else np.maximum(s - 1, 0)
    pays = fill(n, 0)
    pays[n - 2 if direction == "up" else 1] = F(1)
    return assemble(
        n,
        s,
        np.zeros(n, dtype=np.int64),
        s,
        target,
        fill(n, 1),
        Discounted(gamma),
        pair_reward=pays,
        rho=0 if direction == "up" else n - 1,
    )


@instance(
    "melekopoglou-condon",
    source="Melekopoglou and Condon (1994), ORSA Journal on Computing 6(2) (recalled): the chain for one rule",
    known=[
        Known(
            {},
            "reachability",
            "V",
            (F(0), *[F(1)] * 5, F(1, 2), F(3, 4), F(7, 8), F(1)),
            "closed form: the policy 1 0 … 0 reaches the target almost surely",
        ),
    ],
)
def melekopoglou_condon(*, n: int = 4) -> MDP:
    """Simple policy iteration takes 2**n - 1 switches here, if it switches the last improvable state at each step.

    Decision states 1 … n: action 0 leads to state i - 1, action 1 to the chance state n + i. That one leads to the
    chance state n + i - 1 and to state i - 2 with probability 1/2 each; n + 1 leads to the target, state 2n + 1, and
    state 0 is a sink. The advantage of action 1 in state i is 2**(1 - i), with the sign of the parity of the lower
    states' choices: from all zeros the policies run through a Gray code. Howard's rule, which switches all improvable
    states at once, needs n steps.
    """
    in_range("n", n, 1)
    S = 2 * n + 2
    check_size("the chain", states=S, pairs=S + n, transitions=S + 2 * n)
    i, later = np.arange(1, n + 1), np.arange(2, n + 1)
    action = np.concatenate(([0], np.tile([0, 1], n), np.zeros(n + 1, dtype=np.int64)))
    chance = 2 * n + i  # the pairs of the chance states
    return assemble(
        S,
        np.concatenate(([0], np.repeat(i, 2), n + i, [2 * n + 1])),
        action,
        np.concatenate(([0], 2 * i - 1, 2 * i, chance[1:], chance[1:], [2 * n + 1, 3 * n + 1])),
        np.concatenate(([0], i - 1, n + i, n + later - 1, later - 2, [2 * n + 1, 2 * n + 1])),
        np.concatenate((fill(1 + 2 * n, 1), fill(2 * (n - 1), "1/2"), fill(2, 1))),
        Reachability("target"),
        rho=n,
        labels={"target": [2 * n + 1]},
    )


@instance(
    "baird-star",
    source="Baird (1995), ICML; Sutton and Barto (2018), Reinforcement Learning, Figure 11.1",
    known=[Known({}, "discounted", "V", (F(0),) * 7, "there are no rewards")],
)
def baird_star(*, gamma: Fraction = Fraction(99, 100)) -> MDP:
    """Baird's star of seven states: the model on which linear off-policy methods diverge, though every value is zero.

    Action 0, dashed, leads to each of the states 0 … 5 with probability 1/6; action 1, solid, to state 6. The target
    policy is solid; behavior is dashed with probability 6/7. The book's features are 2 w_s + w_7 in the states
    s = 0 … 5 and w_6 + 2 w_7 in state 6.
    """
    sixth = F(1, 6)
    rows = [(s, 0, t, sixth, 0) for s in range(7) for t in range(6)] + [(s, 1, 6, 1, 0) for s in range(7)]
    return tabulate(7, rows, Discounted(gamma), rho=fill(7, F(1, 7)), action_names=("dashed", "solid"))


@instance(
    "tsitsiklis-van-roy",
    source="Tsitsiklis and Van Roy (1996), Machine Learning 22; Sutton and Barto (2018), Example 11.1",
    known=[Known({}, "discounted", "V", (F(0),) * 3, "there are no rewards")],
)
def tsitsiklis_van_roy(*, end: Fraction = Fraction(1, 100), gamma: Fraction = Fraction(99, 100)) -> MDP:
    """Two states with the features 1 and 2 and no rewards, on which least-squares value iteration diverges.

    State 0 leads to state 1, which stays and with probability ``end`` goes to the absorbing state 2. Fitting w to the
    backed-up values of both states multiplies it by gamma (6 - 4 end) / 5, so it diverges if gamma > 5 / (6 - 4 end).
    """
    in_range("end", end, 0, 1)
    rows = [(0, 0, 1, 1, 0), (1, 0, 1, 1 - end, 0), (1, 0, 2, end, 0), (2, 0, 2, 1, 0)]
    return tabulate(3, rows, Discounted(gamma), rho=0)


@instance(
    "linear-square",
    source="Defined here: the four corners of a square share three features, and their variances differ",
    known=[
        Known({}, "discounted", "V", (F(100, 19), F(0)), "closed form: 1 / (1 - gamma (1 - leave))"),
        Known({}, "discounted", "policy", (3, 0), "the corner (1, 1), and the only action"),
        Known({"leave": "1/100", "gamma": "99/100"}, "discounted", "V(0)", F(10000, 199), "closed form"),
    ],
)
def linear_square(*, leave: Fraction = Fraction(1, 10), gamma: Fraction = Fraction(9, 10)) -> LinearMDP:
    """A linear MDP in which weighting by the variance pays: quiet pairs that a regression learns from noisy ones.

    State 0 pays one, state 1 is absorbing and pays nothing. The actions of state 0 are the corners z of the square
    {-1, 1}**2, with features (1, z, 0): one stays with probability (1 - leave) (2 + z_1 + z_2) / 4. The best corner, (1, 1),
    stays with probability 1 - leave; at the corners (1, -1) and (-1, 1) the next state is most uncertain; at (-1, -1) it is
    certain. With ``leave`` of the order of 1 - gamma the variance at the best corner is of the order of the horizon, and at
    the uncertain ones of its square.
    """
    in_range("leave", leave, 0, 1, open_low=True)
    z = np.array([[F(2 * (a & 1) - 1), F(2 * (a >> 1) - 1)] for a in range(4)], dtype=object)
    phi = fill(5 * 4, 0).reshape(5, 4)
    phi[:4, 0], phi[:4, 1:3], phi[4, 3] = F(1), z, F(1)
    stay = np.array([(1 - leave) / 2, (1 - leave) / 4, (1 - leave) / 4, F(0)], dtype=object)
    total = np.array([F(1), F(0), F(0), F(1)], dtype=object)
    theta = np.array([F(1), F(0), F(0), F(0)], dtype=object)
    mu = np.array([stay, total - stay]).T
    return LinearMDP(phi, mu, theta, Discounted(gamma), state=[0, 0, 0, 0, 1], action=[0, 1, 2, 3, 0], rho=0)
