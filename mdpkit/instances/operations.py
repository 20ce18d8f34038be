"""Queues and inventories, with the structure that their optimal policies are known to have."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from mdpkit.errors import MDPError, OptionError
from mdpkit.instances.build import check_size, tabulate
from mdpkit.instances.registry import Known, in_range, instance
from mdpkit.kernels.rational import to_fraction
from mdpkit.models.criterion import Discounted, TotalReward
from mdpkit.models.mdp import MDP

F = Fraction
Rows = list[tuple[int, int, int, Fraction, Fraction]]


def _one_event(**chances: Fraction) -> Fraction:
    """Probability that a step brings none of these events, each checked to be a probability."""
    for name, chance in chances.items():
        in_range(name, chance, 0, 1)
    in_range(" + ".join(chances), sum(chances.values(), F(0)), 0, 1)
    return 1 - sum(chances.values(), F(0))


@instance(
    "queue-admission",
    source="Naor (1969), Econometrica 37; Puterman (1994), Section 3.7; numbers chosen here",
    known=[
        Known({}, "average", "gain", F(128, 61), "closed form: stationary law of a birth-death chain, best threshold"),
        Known({}, "average", "policy", (*(1,) * 2, *(0,) * 9), "the threshold 2"),
        Known({}, "discounted", "policy", (*(1,) * 4, *(0,) * 7), "the threshold 4, recomputed in rationals"),
    ],
    example={"buffer": 5},
)
def queue_admission(
    *,
    buffer: int = 10,
    arrival: Fraction = Fraction(2, 5),
    service: Fraction = Fraction(1, 2),
    reward: Fraction = Fraction(10),
    holding: Fraction = Fraction(1),
    gamma: Fraction = Fraction(19, 20),
) -> MDP:
    r"""Admission to an M/M/1 queue, uniformized: reject (action 0) or admit (action 1) who comes in this step.

    The state is the number s = 0 … ``buffer`` in the system. In a step a customer comes with probability ``arrival``,
    or one leaves with probability ``service`` (if there is one), or nothing happens. An admitted one pays ``reward``;
    holding s costs ``holding`` times s. A full system rejects. Admitting below a threshold n is optimal, and its gain
    is :math:`\lambda R (1 - \pi_n) - h \sum_s s \pi_s` with :math:`\pi_s \propto (\lambda / \mu)^s`, s = 0 … n.
    """
    in_range("buffer", buffer, 1)
    idle = _one_event(arrival=arrival, service=service)
    check_size("the queue", states=buffer + 1, pairs=2 * buffer + 1, transitions=6 * buffer + 3)
    rows: Rows = []
    for s in range(buffer + 1):
        for a in (0, 1) if s < buffer else (0,):
            paid = a * arrival * reward - holding * s
            rows += [(s, a, s + a, arrival, paid), (s, a, max(s - 1, 0), service, paid), (s, a, s, idle, paid)]
    return tabulate(buffer + 1, rows, Discounted(gamma), rho=0, action_names={0: "reject", 1: "admit"})


@instance(
    "queue-service-rate",
    source="Crabill (1972), Management Science 18; Lippman (1975), Operations Research 23; numbers chosen here",
    known=[
        Known({}, "average", "gain", F(10734, 4861), "closed form: stationary law of a birth-death chain"),
        Known({}, "average", "policy", (*(0,) * 2, *(1,) * 9), "fast from the threshold 2 on"),
        Known({}, "discounted", "policy", (*(0,) * 4, *(1,) * 7), "fast from the threshold 4 on, recomputed"),
    ],
    example={"buffer": 5},
)
def queue_service_rate(
    *,
    buffer: int = 10,
    arrival: Fraction = Fraction(3, 10),
    slow: Fraction = Fraction(7, 20),
    fast: Fraction = Fraction(3, 5),
    fast_cost: Fraction = Fraction(3),
    holding: Fraction = Fraction(1),
    lost: Fraction = Fraction(30),
    gamma: Fraction = Fraction(19, 20),
) -> MDP:
    r"""An M/M/1 queue, uniformized, whose server works slowly (action 0) or, at a cost, fast (action 1).

    The state is the number s = 0 … ``buffer`` in the system. In a step one comes with probability ``arrival``, one
    leaves with probability ``slow`` or ``fast``. A step costs ``holding`` times s, ``fast_cost`` for fast service, and
    in a full system ``lost`` times ``arrival``, as who comes then is lost. Minimized. Fast service from a threshold on
    has the stationary law of a birth-death chain.
    """
    in_range("buffer", buffer, 1)
    idle = _one_event(arrival=arrival, fast=fast)
    in_range("slow", slow, 0, fast)
    check_size("the queue", states=buffer + 1, pairs=2 * buffer + 2, transitions=6 * buffer + 6)
    rows: Rows = []
    for s in range(buffer + 1):
        for a, rate in enumerate((slow, fast)):
            paid = holding * s + a * fast_cost + (lost * arrival if s == buffer else 0)
            rows += [(s, a, min(s + 1, buffer), arrival, paid), (s, a, max(s - 1, 0), rate, paid)]
            rows.append((s, a, s, idle + fast - rate, paid))
    names = {0: "slow", 1: "fast"}
    return tabulate(buffer + 1, rows, Discounted(gamma), rho=0, minimize=True, action_names=names)


@instance(
    "c-mu-clearing",
    source="Cox and Smith (1961), Queues, the c-mu rule; without arrivals; numbers chosen here",
    known=[
        Known({}, "total", "V(15)", F(120), "closed form: serve the larger cost times rate first"),
        Known({}, "total", "policy", (0, 1, 1, 1) * 4, "the c-mu rule"),
    ],
    example={"jobs_1": 2, "jobs_2": 2},
)
def c_mu_clearing(
    *,
    jobs_1: int = 3,
    jobs_2: int = 3,
    service_1: Fraction = Fraction(1, 2),
    service_2: Fraction = Fraction(1, 4),
    cost_1: Fraction = Fraction(1),
    cost_2: Fraction = Fraction(3),
) -> MDP:
    r"""Two classes of jobs, one server, no arrivals: serve the class with the larger cost times rate first.

    State i (``jobs_2`` + 1) + j stands for i and j jobs left; action 0 serves the first class, action 1 the second
    (none at all where it has no job), and the job served is done with probability ``service_1`` or ``service_2``. A
    step costs ``cost_1`` i + ``cost_2`` j; minimized is the total until nothing is left. Serving class f first costs
    :math:`c_f \sum_{k \le n_f} k / \mu_f + c_o n_o n_f / \mu_f + c_o \sum_{k \le n_o} k / \mu_o`.
    """
    return _two_queues((jobs_1, jobs_2), (F(0), F(0)), (service_1, service_2), (cost_1, cost_2), F(0), None)


@instance(
    "c-mu-queues",
    source="Buyukkoc, Varaiya and Walrand (1985), Advances in Applied Probability 17; finite buffers, numbers chosen",
    known=[
        Known({}, "discounted", "policy", (0, *(1,) * 6) * 7, "the c-mu rule, here optimal everywhere"),
    ],
    example={"buffer": 1},
)
def c_mu_queues(
    *,
    buffer: int = 6,
    arrival_1: Fraction = Fraction(1, 10),
    arrival_2: Fraction = Fraction(1, 10),
    service_1: Fraction = Fraction(1, 2),
    service_2: Fraction = Fraction(1, 4),
    cost_1: Fraction = Fraction(1),
    cost_2: Fraction = Fraction(3),
    lost: Fraction = Fraction(10),
    gamma: Fraction = Fraction(9, 10),
) -> MDP:
    """Two queues with arrivals and one server, uniformized: action 0 serves the first, action 1 the second.

    State i (``buffer`` + 1) + j stands for i and j jobs. In a step one job comes to either queue with its probability
    of arrival, or the job served is done with the probability of its class. A step costs ``cost_1`` i + ``cost_2`` j,
    and a job that finds its queue full goes away, for ``lost``. In unlimited queues serving the larger cost times rate is
    optimal. In limited ones it is for these numbers; with ``lost=20`` a full first queue goes before.
    """
    return _two_queues((buffer, buffer), (arrival_1, arrival_2), (service_1, service_2), (cost_1, cost_2), lost, gamma)


def _two_queues(
    size: tuple[int, int],
    arrival: tuple[Fraction, Fraction],
    service: tuple[Fraction, Fraction],
    cost: tuple[Fraction, Fraction],
    lost: Fraction,
    gamma: Fraction | None,
) -> MDP:
    """Two queues with one server; without ``gamma``, until both are empty."""
    for name, n in zip(("jobs_1", "jobs_2") if gamma is None else ("buffer", "buffer"), size, strict=True):
        in_range(name, n, 1)
    for k in (0, 1):
        in_range(f"service_{k + 1}", service[k], 0, 1, open_low=True)
    _one_event(arrival_1=arrival[0], arrival_2=arrival[1], service=max(service))
    width = size[1] + 1
    S = (size[0] + 1) * width
    check_size("the two queues", states=S, pairs=2 * S, transitions=8 * S)
    rows: Rows = []
    names: list[str] = []
    for s in range(S):
        jobs = divmod(s, width)
        paid = sum((cost[k] * jobs[k] for k in (0, 1)), F(0))
        paid += sum((lost * arrival[k] for k in (0, 1) if jobs[k] == size[k]), F(0))
        for a in [k for k in (0, 1) if jobs[k]] or [0]:
            step = (width, 1)
            moves = [(s + step[k] * (jobs[k] < size[k]), arrival[k]) for k in (0, 1)]
            moves.append((s - step[a] * (jobs[a] > 0), service[a]))
            moves.append((s, 1 - sum((p for _, p in moves), F(0))))
            rows += [(s, a, t, p, paid) for t, p in moves]
            names.append(f"serve {a + 1}" if jobs[a] else "idle")
    return tabulate(
        S,
        rows,
        TotalReward(target="empty") if gamma is None else Discounted(gamma),
        rho=S - 1 if gamma is None else 0,
        minimize=True,
        labels={"empty": [0]},
        state_names=[divmod(s, width) for s in range(S)],
        pair_names=names,
    )


@instance(
    "inventory-fixed-cost",
    source="Scarf (1960), in Mathematical Methods in the Social Sciences; Zheng and Federgruen (1991); numbers chosen",
    known=[
        Known({}, "average", "gain", F(167, 44), "closed form: renewal theory, best s and S"),
        Known({}, "average", "policy", (7, 6, 5, 4, 3, *(0,) * 6), "an (s, S) policy: (0, 3)"),
        Known({}, "discounted", "policy", (7, 6, 5, 4, 3, *(0,) * 6), "an (s, S) policy: (0, 3)"),
        Known({"excess": "lost"}, "average", "gain", F(327, 88), "recomputed in rationals"),
        Known({"excess": "lost"}, "discounted", "policy", (3, *(0,) * 6), "an (s, S) policy: (0, 3)"),
    ],
    example={"capacity": 3, "backlog": 3},
)
def inventory_fixed_cost(
    *,
    capacity: int = 6,
    backlog: int = 4,
    excess: Literal["backlogged", "lost"] = "backlogged",
    demand: str = "1/4,1/2,1/4",
    fixed: Fraction = Fraction(4),
    unit: Fraction = Fraction(1),
    holding: Fraction = Fraction(1),
    penalty: Fraction = Fraction(5),
    gamma: Fraction = Fraction(19, 20),
) -> MDP:
    r"""A stock with a fixed cost of ordering: order up to S where the stock is at most s, an (s, S) policy.

    Action u orders u units, which come at once, for ``fixed`` (if u > 0) and ``unit`` each, up to ``capacity``; then
    comes the demand, 0, 1, 2, … with the probabilities ``demand``. A unit left over costs ``holding``, one short
    ``penalty``. What is short is ``lost`` (the states are stocks 0 … ``capacity``), or it is ``backlogged``: state x +
    ``backlog`` is the stock x = -``backlog`` … ``capacity``, and orders that could let it fall below are not
    admissible. Minimized. The average cost of (s, S) with backlogging is, besides the units,
    :math:`(K + \sum_{j < S - s} m_j G(S - j)) / \sum_{j < S - s} m_j`, with m the renewal mass of the demand and G the
    expected cost of holding and shortage.
    """
    law = _law(demand)
    worst = len(law) - 1
    lowest = -backlog if excess == "backlogged" else 0
    in_range("capacity", capacity, 1)
    if excess == "backlogged":
        in_range("backlog", backlog, max(worst - capacity, 0))
    S = capacity - lowest + 1
    check_size("the inventory", states=S, pairs=S * S, transitions=S * S * len(law))
    rows: Rows = []
    for x in range(lowest, capacity + 1):
        for y in range(max(x, lowest + worst) if excess == "backlogged" else x, capacity + 1):
            u = y - x
            paid = (fixed if u else F(0)) + unit * u
            paid += sum((p * (holding * max(y - d, 0) + penalty * max(d - y, 0)) for d, p in enumerate(law)), F(0))
            rows += [(x - lowest, u, max(y - d, lowest) - lowest, p, paid) for d, p in enumerate(law)]
    return tabulate(
        S,
        rows,
        Discounted(gamma),
        rho=-lowest,
        minimize=True,
        state_names=list(range(lowest, capacity + 1)),
        action_names={u: f"order {u}" for u in range(S)},
    )


def _law(text: str) -> list[Fraction]:
    """The probabilities of 0, 1, 2, … of a text such as ``1/4,1/2,1/4``."""
    try:
        law = [to_fraction(part) for part in text.split(",")]
    except MDPError as error:
        raise OptionError(
            "parameter 'demand' is no law", found=repr(text), needed="probabilities of 0, 1, 2, …: 1/4,1/2,1/4"
        ) from error
    if min(law) < 0 or sum(law) != 1:
        raise OptionError(
            "parameter 'demand' is no law", found=repr(text), needed="probabilities of 0, 1, 2, …, with a sum of 1"
        )
    return law
