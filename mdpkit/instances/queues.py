"""Queueing networks with finite buffers, uniformized: a step is an event of a Poisson clock that ticks at all rates.

The clock's rate is the sum of the arrival rate and all service rates; a service that is idle or blocked ticks in vain.
The gain is per step: times the clock's rate, it is per unit of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from mdpkit.instances.build import assemble, check_size, fill
from mdpkit.instances.registry import Known, in_range, instance
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.typing import Array, Ints

F = Fraction


def uniformized(
    n_states: int,
    state: Ints,
    action: Ints,
    events: Sequence[tuple[Fraction, Ints]],
    rewards: tuple[Ints, Sequence[Fraction]],
    gamma: Fraction,
    exact: bool,
    **options: Any,
) -> MDP:
    """A discounted model of events ``(rate, next state of each pair (L,))``, with probabilities proportional to rates.

    Rewards are ``(index (L,), values)``; both arrays of numbers are Fractions where ``exact``, else floats.
    """
    total = sum((rate for rate, _ in events), F(0))
    L = len(state)

    def constant(value: Fraction) -> Array:
        return fill(L, value) if exact else np.full(L, float(value))

    table: Array = np.empty(len(rewards[1]), dtype=object)
    table[:] = list(rewards[1])
    return assemble(
        n_states,
        state,
        action,
        np.tile(np.arange(L), len(events)),
        np.concatenate([target for _, target in events]),
        np.concatenate([constant(rate / total) for rate, _ in events]),
        Discounted(gamma if exact else float(gamma)),
        pair_reward=(table if exact else table.astype(np.float64))[rewards[0]],
        **options,
    )


def _rates(arrival: Fraction, service: Fraction, skew: Fraction, count: int) -> list[Fraction]:
    for name, rate in (("arrival", arrival), ("service", service), ("skew", skew)):
        in_range(name, rate, 0, open_low=True)
    return [service * skew**k for k in range(count)]


def _counts(shape: tuple[int, ...]) -> Ints:
    """Customers at each station, ``(stations, states)``, the last station's counting fastest."""
    return np.indices(shape).reshape(len(shape), -1)


@instance(
    "tandem-queue",
    source="Jackson (1957), Operations Research 5; admission control as in Naor (1969), Econometrica 37; defined here",
    known=[
        Known(
            {"stations": 1, "capacity": 6},
            "average",
            "gain",
            F(1426, 1055),
            "closed form: the best of the thresholds (Naor), 713/211 per unit of time",
        ),
        Known({"stations": 1, "capacity": 6}, "average", "policy", (1, 1, 1, 1, 0, 0, 0), "closed form: admit below 4"),
    ],
    example={"stations": 2, "capacity": 2},
)
def tandem_queue(
    *,
    stations: int = 2,
    capacity: int = 3,
    limit: Literal["buffers", "total"] = "buffers",
    arrival: Fraction = Fraction(1),
    service: Fraction = Fraction(3, 2),
    skew: Fraction = Fraction(1),
    revenue: Fraction = Fraction(5),
    holding: Fraction = Fraction(1),
    gamma: Fraction = Fraction(99, 100),
    exact: bool = True,
) -> MDP:
    """Admission to queues in series: refuse (action 0) or admit (action 1) the next arrival, before it is known.

    Customers arrive at rate ``arrival`` and pass all stations in order; station k = 0, 1, … serves at rate
    ``service * skew**k`` and keeps ``capacity`` customers at most, the one in service included; where the next buffer is
    full, it waits (``limit=buffers``). With ``limit=total`` only the number in all is limited, to ``capacity``: under
    the policy that always admits, the stationary law is then a product of powers of arrival over service rate. An
    arrival that is admitted pays ``revenue``, each customer costs ``holding`` per unit of time. Where there is no room,
    action 0 is the only one.

    With one station this is Naor's queue. With ``exact=False`` the numbers are floats, and a million states are built
    in seconds.
    """
    in_range("stations", stations, 1, 20)
    in_range("capacity", capacity, 1)
    serve = _rates(arrival, service, skew, stations)
    box = (capacity + 1) ** stations
    check_size("the tandem queue", states=box, pairs=2 * box, transitions=2 * box * (stations + 1), exact=exact)
    n = _counts((capacity + 1,) * stations)
    if limit == "total":
        n = n[:, n.sum(axis=0) <= capacity]
    stride = (capacity + 1) ** np.arange(stations - 1, -1, -1, dtype=np.int64)
    code = stride @ n
    S = len(code)
    number = np.full(box, -1, dtype=np.int64)
    number[code] = np.arange(S)
    load = n.sum(axis=0)
    room = (n[0] < capacity) if limit == "buffers" else (load < capacity)
    state = np.repeat(np.arange(S), 1 + room)
    action = (np.diff(state, prepend=-1) == 0).astype(np.int64)
    here, counts = code[state], n[:, state]
    events = [(arrival, number[np.where(action == 1, here + stride[0], here)])]
    for k, rate in enumerate(serve):
        busy = counts[k] > 0
        step = -stride[k]
        if k + 1 < stations:
            step = step + stride[k + 1]
            if limit == "buffers":
                busy &= counts[k + 1] < capacity
        events.append((rate, number[np.where(busy, here + step, here)]))
    clock = arrival + sum(serve)
    most = int(load.max())
    values = [(a * revenue * arrival - holding * m) / clock for m in range(most + 1) for a in (0, 1)]
    return uniformized(
        S,
        state,
        action,
        events,
        (2 * load[state] + action, values),
        gamma,
        exact,
        rho=0,
        pair_names=[("refuse", "admit")[a] for a in action.tolist()] if exact else None,
    )


@instance(
    "parallel-queues",
    source="Winston (1977), J. Applied Probability 14; Hordijk and Koole (1990), Prob. Eng. Inf. Sci. 4 (recalled)",
    known=[
        Known({"capacity": 1}, "average", "gain", F(330, 203), "Erlang's loss formula for two servers"),
    ],
    example={"capacity": 2, "gamma": "4/5"},
)
def parallel_queues(
    *,
    servers: int = 2,
    capacity: int = 3,
    arrival: Fraction = Fraction(3, 2),
    service: Fraction = Fraction(1),
    skew: Fraction = Fraction(1),
    loss: Fraction = Fraction(10),
    holding: Fraction = Fraction(1),
    gamma: Fraction = Fraction(99, 100),
    exact: bool = True,
) -> MDP:
    """Routing to parallel queues: which of them is the next arrival to join? With equal servers, the shortest.

    Customers arrive at rate ``arrival``; server k = 0, 1, … works at rate ``service * skew**k`` and keeps ``capacity``
    customers at most, the one in service included. Action k sends the next arrival to server k, where there is room;
    where there is none at all, action 0 is the only one and the arrival is lost, which costs ``loss``. Each customer
    costs ``holding`` per unit of time. Minimized is the cost. State: the numbers of customers, the last server's
    counting fastest.

    With ``exact=False`` the numbers are floats, and a million states are built in seconds.
    """
    in_range("servers", servers, 1, 20)
    in_range("capacity", capacity, 1)
    serve = _rates(arrival, service, skew, servers)
    S = (capacity + 1) ** servers
    check_size("the queues", states=S, pairs=servers * S, transitions=servers * S * (servers + 1), exact=exact)
    n = _counts((capacity + 1,) * servers)
    stride = (capacity + 1) ** np.arange(servers - 1, -1, -1, dtype=np.int64)
    admissible = (n < capacity).T
    admissible[-1, 0] = True  # where all is full
    state, action = np.nonzero(admissible)
    lost = state == S - 1
    events = [(arrival, np.where(lost, state, state + stride[action]))]
    for k, rate in enumerate(serve):
        events.append((rate, np.where(n[k, state] > 0, state - stride[k], state)))
    clock = arrival + sum(serve)
    values = [holding * m / clock for m in range(servers * capacity + 1)]
    values[-1] += loss * arrival / clock
    return uniformized(
        S,
        state,
        action,
        events,
        (n.sum(axis=0)[state], values),
        gamma,
        exact,
        rho=0,
        minimize=True,
    )
