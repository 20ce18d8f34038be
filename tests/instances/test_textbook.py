"""Known answers of the textbooks' problems, from closed forms and by proofs of optimality in rationals.

No solver of the library is asked. A policy that theory names is evaluated by elimination (``oracle``), and the
optimality equation, which then holds exactly, proves that it is optimal.
"""

from __future__ import annotations

import json
import math
from fractions import Fraction
from itertools import product

import numpy as np
import oracle as o
import pytest

from mdpkit import instances
from mdpkit.errors import OptionError, SizeError
from mdpkit.models import AverageReward

F = Fraction
MODULES = {f"mdpkit.instances.{name}" for name in ("long_run", "operations", "replacement", "stopping")}


# ------------------------------------------------------------------------------------------- proofs of optimality


def indices(mdp, actions):
    """Positions of action ids in the rows of ``o.read``."""
    return [mdp.pair(s, a) - int(mdp.pair_ptr[s]) for s, a in enumerate(actions)]


def best(mdp, model, value):
    """The best of ``r + P value`` of each state, and the set of the action ids that attain it."""
    pick = min if mdp.minimize else max
    values, ids = [], []
    for s, pairs in enumerate(model):
        q = [r + sum((p * value[t] for t, p in row.items()), F(0)) for r, row in pairs]
        values.append(pick(q))
        ids.append({int(mdp.action[mdp.pair_ptr[s] + k]) for k, x in enumerate(q) if x == values[-1]})
    return values, ids


def prove_discounted(mdp, actions):
    """Value of a policy that satisfies the optimality equation, which has one solution."""
    model, gamma = o.read(mdp), mdp.criterion.exact
    V = o.discounted_policy(model, indices(mdp, actions), gamma)
    values, ids = best(mdp, model, [gamma * v for v in V])
    assert values == V
    assert all(a in choice for a, choice in zip(actions, ids, strict=True))
    return V


def prove_average(mdp, actions):
    """Gain and bias of a policy with one recurrent class that satisfies g + h = max (r + P h)."""
    model = o.read(mdp)
    rewards, rows = o.chain(model, indices(mdp, actions))
    (members,) = o.recurrent_classes(rows)
    law = o.stationary(rows, sorted(members))
    gain = sum((x * rewards[s] for x, s in zip(law, sorted(members), strict=True)), F(0))
    start = min(members)
    free = [s for s in range(len(rows)) if s != start]
    h = o.solve_on(rows, free, [r - gain for r in rewards]) | {start: F(0)}
    values, ids = best(mdp, model, h)
    assert values == [gain + h[s] for s in range(len(rows))]
    assert all(a in choice for a, choice in zip(actions, ids, strict=True))
    shift = sum((x * h[s] for x, s in zip(law, sorted(members), strict=True)), F(0))
    return gain, [h[s] - shift for s in range(len(rows))]


def prove_total(mdp, actions, ends):
    """Value of a policy that ends surely and satisfies the optimality equation; ``ends`` are absorbing, worth 0.

    Where every policy ends, or pays without bound if it does not, the solution is unique and the value.
    """
    model = o.read(mdp)
    rewards, rows = o.chain(model, indices(mdp, actions))
    assert all(rows[s] == {s: 1} and rewards[s] == 0 for s in ends)
    assert all(x == 1 for x in o.hitting(rows, set(ends)))
    x = o.solve_on(rows, [s for s in range(len(rows)) if s not in ends], rewards)
    V = [x.get(s, F(0)) for s in range(len(rows))]
    values, ids = best(mdp, model, V)
    assert values == V
    assert all(a in choice for a, choice in zip(actions, ids, strict=True))
    return V


def known(name, criterion, quantity, **params):
    rows = instances.info(name).known
    return next(k.value for k in rows if (k.criterion, k.quantity, dict(k.params)) == (criterion, quantity, params))


# ------------------------------------------------------------------------------------------------- replacement


def check_howard_automobile():
    """Howard (1960), chapter 5: gain and policy as published, and the policy's optimality equation in rationals."""
    mdp = instances.make("howard-automobile")
    assert (mdp.n_states, mdp.n_actions) == (40, 41)
    policy = known("howard-automobile", "average", "policy")
    gain, bias = prove_average(mdp, policy)
    assert abs(gain - known("howard-automobile", "average", "gain")) <= F(1, 2000)
    # Relative to the last state, trade-in values are differences: both trade for the same car.
    assert bias[0] - bias[39] == 1460 - 80
    # The cycle: a car of 12 quarters is kept to the age of 26, unless it breaks down and is 40.
    (members,) = o.recurrent_classes(o.chain(o.read(mdp), indices(mdp, policy))[1])
    assert members == {*range(12, 26), 39}


def check_machine_replacement():
    """Renewal: a cycle is the climb to the limit k and, if it takes one, the period of the replacement."""
    c, R, w, N, gamma = 1, 10, F(1, 2), 5, F(9, 10)
    for new, extra in (("next-period", 1), ("at-once", 0)):
        params = {} if new == "next-period" else {"new": new}
        mdp = instances.make("machine-replacement", **params)
        gains = [(R + sum(c * i / w for i in range(k))) / (extra + k / w) for k in range(1, N + 1)] + [F(c * N)]
        limit = gains.index(min(gains)) + 1
        policy = [int(i >= limit) for i in range(N + 1)]
        gain, _ = prove_average(mdp, policy)
        assert gain == min(gains) == known("machine-replacement", "average", "gain", **params)
        assert tuple(policy) == known("machine-replacement", "average", "policy", **params)
    mdp = instances.make("machine-replacement")
    phi, stay = gamma * w / (1 - gamma * (1 - w)), 1 / (1 - gamma * (1 - w))
    values = [
        (sum(phi**i * c * i * stay for i in range(k)) + phi**k * R) / (1 - gamma * phi**k) for k in range(1, N + 1)
    ]
    limit = values.index(min(values)) + 1
    policy = [int(i >= limit) for i in range(N + 1)]
    assert prove_discounted(mdp, policy)[0] == min(values) == known("machine-replacement", "discounted", "V(0)")
    assert tuple(policy) == known("machine-replacement", "discounted", "policy")


# ---------------------------------------------------------------------------------------------------- stopping


def check_secretary():
    """The formula of the textbooks for the first r rejected, and small cases by counting orders."""
    for n in (3, 4, 10):
        success = [F(r, n) * sum((F(1, k) for k in range(r, n)), F(0)) if r else F(1, n) for r in range(n)]
        r = success.index(max(success))
        mdp = instances.make("secretary", n=n)
        policy = [*(int(t > r) for t in range(1, n + 1)), 0, 0]
        model = o.read(mdp)
        # Reaching "best" pays 1, and nothing else does; both ends are absorbing, and every policy ends.
        V = prove_total(mdp, policy, (n, n + 1))
        assert V[0] == max(success) == known("secretary", "reachability", "V(0)", **({} if n == 10 else {"n": n}))
        assert o.hitting(o.chain(model, policy)[1], {n}) == [*V[:n], F(1), F(0)]
        if n == 10:
            assert tuple(policy) == known("secretary", "reachability", "policy")
        else:
            assert max(success) == max(counted(n, r) for r in range(n))


def counted(n, r):
    """Share of the orders of n candidates in which rejecting r and taking the next record takes the best."""
    won = orders = 0
    for order in product(range(n), repeat=n):
        if len(set(order)) == n:
            orders += 1
            bar = max(order[:r], default=-1)
            won += next((x for x in order[r:] if x > bar), -1) == n - 1
    return F(won, orders)


def check_parking_garage():
    spaces, p, garage = 10, F(1, 5), F(10)
    near = 5
    closed = [k - (1 - p) / p + (garage + (1 - p) / p) * (1 - p) ** k for k in range(near + 1)]
    F_k = closed + [closed[near]] * (spaces - near)
    assert all((k <= F_k[k - 1]) == (k <= near) for k in range(1, spaces + 1))
    mdp = instances.make("parking-garage")
    policy = [a for k in range(spaces, 0, -1) for a in (int(k <= near), 0)] + [0, 0]
    V = prove_total(mdp, policy, (2 * spaces + 1,))
    for k in range(1, spaces + 1):
        assert V[2 * (spaces - k) + 1] == F_k[k - 1]
        assert V[2 * (spaces - k)] == min(F(k), F_k[k - 1])
    assert V[1] == known("parking-garage", "total", "V(1)")
    assert tuple(policy) == known("parking-garage", "total", "policy")
    assert mdp.rho_exact.tolist()[:2] == [p, 1 - p]


def check_asset_selling():
    n, gamma = 10, F(9, 10)
    worth = [gamma * sum(range(k, n + 1)) / (n - gamma * (k - 1)) for k in range(1, n + 1)]
    xi = max(worth)
    k = worth.index(xi) + 1
    assert k - 1 < xi <= k
    mdp = instances.make("asset-selling")
    policy = [*(int(x >= k) for x in range(1, n + 1)), 0]
    assert prove_discounted(mdp, policy) == [*(max(xi, F(x)) for x in range(1, n + 1)), 0]
    assert xi == known("asset-selling", "discounted", "V(0)")
    assert known("asset-selling", "discounted", "V(9)") == 10
    assert tuple(policy) == known("asset-selling", "discounted", "policy")
    fee = prove_discounted(instances.make("asset-selling", fee=1), [*(int(x >= 5) for x in range(1, 11)), 0])
    assert fee[0] == -1 + gamma * sum(max(fee[0], F(x)) for x in range(1, 11)) / 10


def check_idle_loop():
    mdp = instances.make("idle-loop")
    model = o.read(mdp)
    assert model == [[(0, {0: 1}), (1, {1: 1})], [(0, {1: 1})]]
    assert tuple(o.best_total(model).value) == known("idle-loop", "total", "V")
    assert [o.chain_total(*o.chain(model, policy)).value[0] for policy in o.policies(model)] == [0, 1]
    assert known("idle-loop", "total", "policy") == (1, 0)
    reach = instances.make("idle-loop", semantics="reach")
    value = o.target_total(o.read(reach), {1}, minimize=False)
    assert tuple(value) == known("idle-loop", "total", "V", semantics="reach") == (math.inf, 0)
    assert reach.criterion.target is not None
    shown = instances.info("idle-loop").as_dict()["known"][2]["value"]
    assert shown == ["inf", "0"]


# -------------------------------------------------------------------------------------------------- operations


def birth_death(up, down):
    """Stationary law of a chain with rates ``up[s]`` from s to s + 1 and ``down[s]`` from s + 1 to s."""
    weight = [F(1)]
    for u, d in zip(up, down, strict=True):
        weight.append(weight[-1] * u / d)
    return [w / sum(weight) for w in weight]


def check_queue_admission():
    lam, mu, R, h, N = F(2, 5), F(1, 2), 10, 1, 10
    gains = []
    for n in range(N + 1):
        law = birth_death([lam] * n, [mu] * n)
        gains.append(lam * R * (1 - law[n]) - h * sum(s * x for s, x in enumerate(law)))
    n = gains.index(max(gains))
    mdp = instances.make("queue-admission")
    policy = known("queue-admission", "average", "policy")
    assert list(policy) == [int(s < n) for s in range(N + 1)]
    assert prove_average(mdp, policy)[0] == max(gains) == known("queue-admission", "average", "gain")
    policy = known("queue-admission", "discounted", "policy")
    assert list(policy) == sorted(policy, reverse=True)
    prove_discounted(mdp, policy)


@pytest.mark.parametrize(
    ("lam", "mu", "R"), [("1/2", "1/2", 8), ("3/5", "1/4", 30), ("1/10", "4/5", 2), ("1/3", "1/3", 0)]
)
def test_admission_by_a_threshold_is_optimal_for_other_numbers(lam, mu, R):
    lam, mu, N = F(lam), F(mu), 5
    laws = [birth_death([lam] * n, [mu] * n) for n in range(N + 1)]
    gains = [lam * R * (1 - law[-1]) - sum(s * x for s, x in enumerate(law)) for law in laws]
    mdp = instances.make("queue-admission", buffer=N, arrival=lam, service=mu, reward=R)
    n = gains.index(max(gains))
    assert prove_average(mdp, [int(s < n) for s in range(N + 1)])[0] == max(gains)


def check_queue_service_rate():
    lam, slow, fast, cost, h, lost, N = F(3, 10), F(7, 20), F(3, 5), 3, 1, 30, 10
    gains = []
    for n in range(1, N + 2):
        law = birth_death([lam] * N, [fast if s >= n else slow for s in range(1, N + 1)])
        gains.append(sum(x * (h * s + cost * (s >= n)) for s, x in enumerate(law)) + law[N] * lam * lost)
    n = gains.index(min(gains)) + 1
    mdp = instances.make("queue-service-rate")
    policy = known("queue-service-rate", "average", "policy")
    assert list(policy) == [int(s >= n) for s in range(N + 1)]
    assert prove_average(mdp, policy)[0] == min(gains) == known("queue-service-rate", "average", "gain")
    policy = known("queue-service-rate", "discounted", "policy")
    assert list(policy) == sorted(policy)
    prove_discounted(mdp, policy)


def clearing(n, c, mu, first):
    other = 1 - first
    work = [sum((F(k) / mu[f] for k in range(1, n[f] + 1)), F(0)) for f in (0, 1)]
    return c[first] * work[first] + c[other] * (F(n[other] * n[first]) / mu[first] + work[other])


@pytest.mark.parametrize(("cost_2", "first"), [(3, 1), (2, None), (1, 0)])
def test_c_mu_clearing(cost_2, first):
    c, mu = (1, cost_2), (F(1, 2), F(1, 4))
    mdp = instances.make("c-mu-clearing", cost_2=cost_2)
    for f in (0, 1) if first is None else (first,):
        policy = [f if (i, j)[f] else int(j > 0) for i in range(4) for j in range(4)]
        V = prove_total(mdp, policy, (0,))
        assert [clearing((i, j), c, mu, f) for i in range(4) for j in range(4)] == V
    if cost_2 == 3:
        assert V[15] == known("c-mu-clearing", "total", "V(15)")
        assert tuple(policy) == known("c-mu-clearing", "total", "policy")


def check_c_mu_clearing():
    test_c_mu_clearing(3, 1)


def check_c_mu_queues():
    """The rule is optimal in the whole of a finite model: its value solves the optimality equation."""
    policy = known("c-mu-queues", "discounted", "policy")
    assert list(policy) == [int(j > 0) for _ in range(7) for j in range(7)]
    prove_discounted(instances.make("c-mu-queues"), policy)
    with pytest.raises(AssertionError):
        prove_discounted(instances.make("c-mu-queues", lost=20), policy)


def check_inventory_fixed_cost():
    K, c, h, p, demand = 4, 1, 1, 5, [F(1, 4), F(1, 2), F(1, 4)]

    def G(y):
        return sum(q * (h * max(y - d, 0) + p * max(d - y, 0)) for d, q in enumerate(demand))

    def cost(s, S):
        m = [1 / (1 - demand[0])]
        for j in range(1, S - s):
            m.append(sum(demand[d] * m[j - d] for d in range(1, min(j, 2) + 1)) / (1 - demand[0]))
        return c * F(1) + (K + sum(m[j] * G(S - j) for j in range(S - s))) / sum(m)

    costs = {(s, S): cost(s, S) for s in range(-2, 4) for S in range(s + 1, 7)}
    s, S = min(costs, key=costs.get)
    mdp = instances.make("inventory-fixed-cost")
    policy = tuple(S - x if x <= s else 0 for x in range(-4, 7))
    gain, _ = prove_average(mdp, policy)
    assert gain == costs[s, S] == known("inventory-fixed-cost", "average", "gain")
    assert policy == known("inventory-fixed-cost", "average", "policy")
    assert policy == known("inventory-fixed-cost", "discounted", "policy")
    prove_discounted(mdp, policy)
    lost = instances.make("inventory-fixed-cost", excess="lost")
    policy = tuple(S - x if x <= s else 0 for x in range(7))
    assert policy == known("inventory-fixed-cost", "discounted", "policy", excess="lost")
    prove_discounted(lost, policy)
    assert prove_average(lost, policy)[0] == known("inventory-fixed-cost", "average", "gain", excess="lost")


# --------------------------------------------------------------------------------------------------- long run


def multichain(mdp):
    """Best gain of every state over all policies."""
    found = [o.chain_total(*o.chain(o.read(mdp), policy)) for policy in o.policies(o.read(mdp))]
    return [max(total.gain[s] for total in found) for s in range(mdp.n_states)]


def gain_and_bias(mdp, actions):
    """Of one policy; the oracle's bias where the gain is taken off."""
    rewards, rows = o.chain(o.read(mdp), indices(mdp, actions))
    gain = o.chain_total(rewards, rows).gain
    members = [sorted(c) for c in o.recurrent_classes(rows)]
    flat = [r - g for r, g in zip(rewards, gain, strict=True)]
    h = {}
    for order in members:
        law = o.stationary(rows, order)
        A = [[F(s == t) - rows[s].get(t, F(0)) + x for t, x in zip(order, law, strict=True)] for s in order]
        h |= dict(zip(order, o.linear(A, [flat[s] for s in order]), strict=True))
    out = [s for s in range(len(rows)) if s not in h]
    known_part = [flat[s] + sum((p * h[t] for t, p in rows[s].items() if t in h), F(0)) for s in range(len(rows))]
    h |= o.solve_on(rows, out, known_part)
    return gain, [h[s] for s in range(len(rows))]


def check_two_cycle():
    mdp = instances.make("two-cycle")
    assert mdp.criterion == AverageReward()
    gain, bias = prove_average(mdp, (0, 0))
    assert (gain, tuple(bias)) == (known("two-cycle", "average", "gain"), known("two-cycle", "average", "bias"))
    assert multichain(mdp) == [3, 3]
    assert known("two-cycle", "average", "policy") == (0, 0)
    model, V, changes = o.read(mdp), [F(0), F(0)], []
    for _ in range(9):
        new = o.bounded(model, V, set(), 1, minimize=False)
        changes.append([x - y for x, y in zip(new, V, strict=True)])
        V = new
    assert changes[1:] == [[2, 4], [4, 2]] * 4


def check_nine_moves():
    mdp = instances.make("nine-moves")
    r = ((1, 2, 3), (6, 4, 5), (8, 9, 7))
    cycles = [F(r[s][s]) for s in range(3)] + [F(r[s][t] + r[t][s], 2) for s in range(3) for t in range(s)]
    cycles += [F(r[0][1] + r[1][2] + r[2][0], 3), F(r[0][2] + r[2][1] + r[1][0], 3)]
    gain, bias = prove_average(mdp, known("nine-moves", "average", "policy"))
    assert gain == max(cycles) == known("nine-moves", "average", "gain")
    assert tuple(h - bias[2] for h in bias) == known("nine-moves", "average", "relative value")
    assert bias == [-4, -2, 0]
    assert prove_average(mdp, (2, 2, 1)) == (7, [-3, -1, 1])
    assert multichain(mdp) == [7, 7, 7]
    chains = [o.chain(o.read(mdp), policy)[1] for policy in o.policies(o.read(mdp))]
    assert {len(o.recurrent_classes(rows)) for rows in chains} == {1, 2, 3}
    assert {o.period(rows, c) for rows in chains for c in o.recurrent_classes(rows)} == {1, 2, 3}


def check_blackwell():
    for gamma in (F(0), F(1, 2), F(9, 10), F(999, 1000)):
        mdp = instances.make("blackwell-1962", gamma=gamma)
        V = prove_discounted(mdp, (1, 0))
        assert tuple(V) == known("blackwell-1962", "discounted", "V")
        assert o.discounted_policy(o.read(mdp), (0, 0), gamma)[0] == 1 / (1 - gamma / 2) < 2
    assert known("blackwell-1962", "discounted", "policy") == (1, 0)
    assert known("blackwell-1962", "average", "gain") == 0
    for policy in ((0, 0), (1, 0)):
        gain, bias = gain_and_bias(mdp, policy)
        assert gain == [0, 0]
        assert tuple(bias) == known("blackwell-1962", "average", "bias")


def check_now_or_later():
    for params in ({}, {"gamma": "10/11"}, {"gamma": "9/10"}):
        mdp = instances.make("now-or-later", **params)
        gamma = mdp.criterion.exact
        Q = (10 + gamma / (1 - gamma), 2 * gamma / (1 - gamma))
        assert (gamma > F(10, 11)) == (Q[1] > Q[0])
        assert (gamma == F(10, 11)) == (Q[1] == Q[0])
        V = prove_discounted(mdp, (Q.index(max(Q)), 0, 0))
        assert V == [max(Q), 1 / (1 - gamma), 2 / (1 - gamma)]
        for k in instances.info("now-or-later").known:
            if k.criterion == "discounted" and dict(k.params) == params:
                answer = {"V": tuple(V), "V(0)": V[0], "policy": (Q.index(max(Q)), 0, 0)}
                assert k.value == answer[k.quantity]
    mdp = instances.make("now-or-later")
    assert tuple(multichain(mdp)) == known("now-or-later", "average", "gain")
    gain, _ = gain_and_bias(mdp, known("now-or-later", "average", "policy"))
    assert tuple(gain) == known("now-or-later", "average", "gain")
    tie = instances.make("now-or-later", flow_later=1)
    (gain, bias), (other, worse) = gain_and_bias(tie, (0, 0, 0)), gain_and_bias(tie, (1, 0, 0))
    assert tuple(gain) == tuple(other) == known("now-or-later", "average", "gain", flow_later=1)
    assert tuple(bias) == known("now-or-later", "average", "bias", flow_later=1)
    assert worse[0] < bias[0]


def block_gain(model, states):
    """Best average of a class that every action leaves irreducible: over all choices, by stationary laws."""
    inside = [[(r, {states.index(t): p for t, p in row.items()}) for r, row in model[s]] for s in states]
    gains = []
    for policy in o.policies(inside):
        rewards, rows = o.chain(inside, policy)
        law = o.stationary(rows, range(len(states)))
        gains.append(sum(x * r for x, r in zip(law, rewards, strict=True)))
    return max(gains)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"seed": 3, "block": 1},
        {"seed": 1, "classes": 4, "block": 4, "transient": 6, "actions": 3},
        {"classes": 1, "block": 1, "transient": 1},
        {"classes": 2, "transient": 0},
    ],
)
def test_multichain_blocks(params):
    mdp = instances.make("multichain-blocks", **params)
    assert mdp.criterion == AverageReward()
    model = o.read(mdp)
    first, block = params.get("transient", 10), params.get("block", 3)
    gain = [F(0)] * mdp.n_states
    for k in range(params.get("classes", 15)):
        states = list(range(first + k * block, first + (k + 1) * block))
        assert all(set(row) == set(states) for s in states for _, row in model[s])
        assert block_gain(model, states) == k + 1
        for s in states:
            gain[s] = F(k + 1)
    for s in range(first - 1, -1, -1):
        assert all(min(row) == s and 0 < row[s] < 1 for _, row in model[s])
        away = [sum(p * gain[t] for t, p in row.items() if t != s) / (1 - row[s]) for _, row in model[s]]
        gain[s] = max(away)
    for k in instances.info("multichain-blocks").known:
        if dict(k.params) == params:
            assert gain[int(k.quantity[5:-1])] == k.value
    if mdp.n_states <= 12 and len(list(o.policies(model))) < 5000:
        assert gain == multichain(mdp)


def check_multichain_blocks():
    """The defaults are above; of the large one only the last class is known."""
    test_multichain_blocks({})
    mdp = instances.make("multichain-blocks", classes=40, block=5)
    model = o.read(mdp)
    assert block_gain(model, list(range(205, 210))) == known(
        "multichain-blocks", "average", "gain(209)", classes=40, block=5
    )
    small = instances.make("multichain-blocks", classes=2, block=2, transient=3)
    best_gain = multichain(small)
    assert best_gain[3:] == [1, 1, 2, 2]
    assert len(set(best_gain[:3])) > 1


# ---------------------------------------------------------------------------------------------------- textbook


def check_recycling_robot():
    alpha, gamma = F(4, 5), F(9, 10)
    high = 2 / (1 - gamma * (alpha + (1 - alpha) * gamma))
    assert prove_discounted(instances.make("recycling-robot"), (0, 2)) == [high, gamma * high]
    assert known("recycling-robot", "discounted", "V") == (high, gamma * high)
    assert known("recycling-robot", "discounted", "policy") == (0, 2)
    # High for 1 / (1 - alpha) periods that pay 2, then one of recharging.
    gain, _ = prove_average(instances.make("recycling-robot"), (0, 2))
    assert gain == 2 / (2 - alpha) == known("recycling-robot", "average", "gain")
    prove_discounted(instances.make("recycling-robot", beta="19/20"), (0, 0))
    assert known("recycling-robot", "discounted", "policy", beta="19/20") == (0, 0)
    with pytest.raises(AssertionError):
        prove_discounted(instances.make("recycling-robot"), (0, 0))


def check_random_walk():
    for n, left in ((5, 0), (19, -1)):
        mdp = instances.make("random-walk", n=n, left=left)
        V = prove_total(mdp, [0] * (n + 2), (0, n + 1))
        assert V[1:-1] == [F((n + 1 - k) * left + k, n + 1) for k in range(1, n + 1)]
        assert tuple(V) == known("random-walk", "total", "V", **({} if n == 5 else {"n": 19, "left": -1}))


def check_maximization_bias():
    mdp = instances.make("maximization-bias-two-point")
    V = prove_total(mdp, known("maximization-bias-two-point", "total", "policy"), (2, 3))
    assert tuple(V) == known("maximization-bias-two-point", "total", "V")
    V = prove_total(instances.make("maximization-bias-two-point", mean="1/10"), (0, 0, 0, 0), (2, 3))
    assert tuple(V) == known("maximization-bias-two-point", "total", "V", mean="1/10")
    paid = mdp.reward.transition[mdp.P.indptr[mdp.pair(1, 4)] :][:2].tolist()
    assert sum(paid) / 2 == pytest.approx(-0.1)
    assert (paid[0] - paid[1]) ** 2 / 4 == pytest.approx(1.0)  # mean and variance of the book's normal law


def uniform(model, ends):
    rows, rewards = [], []
    for pairs in model:
        row = {}
        for _, law in pairs:
            for t, p in law.items():
                row[t] = row.get(t, F(0)) + p / len(pairs)
        rows.append(row)
        rewards.append(sum(r for r, _ in pairs) / len(pairs))
    x = o.solve_on(rows, [s for s in range(len(rows)) if s not in ends], rewards)
    return [x.get(s, F(0)) for s in range(len(rows))]


def check_silver_student():
    mdp = instances.make("silver-student")
    V = prove_total(mdp, known("silver-student", "total", "policy"), (4,))
    assert tuple(V) == known("silver-student", "total", "V") == tuple(o.best_total(o.read(mdp)).value)
    printed = known("silver-student", "total", "V of the uniform policy")
    found = uniform(o.read(mdp), {4})
    assert all(abs(x - y) <= F(1, 20) for x, y in zip(found, printed, strict=True))


def check_russell_norvig():
    mdp = instances.make("russell-norvig-4x3")
    V = prove_total(mdp, known("russell-norvig-4x3", "total", "policy"), (11,))
    printed = known("russell-norvig-4x3", "total", "V")
    assert all(abs(x - y) <= F(1, 2000) for x, y in zip(V, printed, strict=True))
    model = o.read(mdp)
    # Up from the start: .8 up, .1 into the left edge, .1 to the right.
    assert model[7][3] == (F(-1, 25), {4: F(4, 5), 7: F(1, 10), 8: F(1, 10)})
    # Every move outside of the terminal states costs something, so who never ends loses without bound.
    assert all(r < 0 for s in range(11) if s not in (3, 6) for r, _ in model[s])


def check_jack_truncated():
    """The loops of the popular program, written down anew with scipy's Poisson."""
    from scipy.stats import poisson

    def day(ask, back, constant, cap=20):
        joint = np.zeros((cap + 1, cap + 1))
        income = np.zeros(cap + 1)
        requests = poisson.pmf(range(11), ask).tolist()
        returns = {back: 1.0} if constant else dict(enumerate(poisson.pmf(range(11), back).tolist()))
        for stock in range(cap + 1):
            for k in range(11):
                for b, q in returns.items():
                    p = requests[k] * q
                    rented = min(stock, k)
                    joint[stock, min(stock - rented + b, cap)] += p
                    income[stock] += p * 10 * rented
        return joint, income

    for constant in (False, True):
        params = {"returns": "constant"} if constant else {}
        (P1, r1), (P2, r2) = day(3, 3, constant), day(4, 2, constant)
        V, change = np.zeros((21, 21)), 1.0
        while change > 1e-12:
            morning = r1[:, None] * P2.sum(axis=1)[None] + r2[None] * P1.sum(axis=1)[:, None] + 0.9 * P1 @ V @ P2.T
            new = np.full_like(V, -np.inf)
            for a in range(-5, 6):
                i, j = np.arange(max(a, 0), 21), np.arange(max(-a, 0), 21)
                q = morning[np.ix_(np.minimum(i - a, 20), np.minimum(j + a, 20))] - 2 * abs(a)
                new[np.ix_(i, j)] = np.maximum(new[np.ix_(i, j)], q)
            change = float(np.max(np.abs(new - V)))
            V = new
        for s, at in ((0, (0, 0)), (220, (10, 10))):
            value = known("jack-car-rental-truncated", "discounted", f"V({s})", **params)
            assert abs(F(float(V[at])) - value) <= F(1, 2 * 10**10)
        mdp = instances.make("jack-car-rental-truncated", **params)
        full = np.append(V.ravel(), 0.0)
        Q = mdp.r + 0.9 * (mdp.P @ full)
        assert np.max(np.abs(np.maximum.reduceat(Q, mdp.pair_ptr[:-1]) - full)) < 1e-9
        assert 0.996 < mdp.P.toarray()[0, :-1].sum() < 0.998


# -------------------------------------------------------------------------------------------------- all of them

CHECKS = {
    "asset-selling": check_asset_selling,
    "blackwell-1962": check_blackwell,
    "c-mu-clearing": check_c_mu_clearing,
    "c-mu-queues": check_c_mu_queues,
    "howard-automobile": check_howard_automobile,
    "idle-loop": check_idle_loop,
    "inventory-fixed-cost": check_inventory_fixed_cost,
    "jack-car-rental-truncated": check_jack_truncated,
    "machine-replacement": check_machine_replacement,
    "maximization-bias-two-point": check_maximization_bias,
    "multichain-blocks": check_multichain_blocks,
    "nine-moves": check_nine_moves,
    "now-or-later": check_now_or_later,
    "parking-garage": check_parking_garage,
    "queue-admission": check_queue_admission,
    "queue-service-rate": check_queue_service_rate,
    "random-walk": check_random_walk,
    "recycling-robot": check_recycling_robot,
    "russell-norvig-4x3": check_russell_norvig,
    "secretary": check_secretary,
    "silver-student": check_silver_student,
    "two-cycle": check_two_cycle,
}


@pytest.mark.parametrize("name", CHECKS)
def test_known_answers(name, monkeypatch):
    """The check of an instance asks for every one of its known answers."""
    left = [(k.criterion, k.quantity, dict(k.params)) for k in instances.info(name).known]
    look = globals()["known"]

    def asked(which, criterion, quantity, **params):
        if which == name and (criterion, quantity, params) in left:
            left.remove((criterion, quantity, params))
        return look(which, criterion, quantity, **params)

    monkeypatch.setitem(globals(), "known", asked)
    CHECKS[name]()
    if name not in ("now-or-later", "multichain-blocks"):  # these go through the list of known answers themselves
        assert not left


def test_every_instance_of_these_modules_is_checked():
    here = {name for name in instances.names() if instances.info(name).build.__module__ in MODULES}
    assert here <= set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_examples_are_small_and_print(name):
    info = instances.info(name)
    assert instances.make(name, **info.example).n_states <= 60
    assert json.loads(json.dumps(info.as_dict(), allow_nan=False))["known"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("howard-automobile?oldest=41", ["'oldest'", "1 <= oldest <= 40"]),
        ("queue-admission?arrival=3/4", ["arrival + service", "0 <= arrival + service <= 1"]),
        ("queue-service-rate?slow=2/3", ["'slow'", "<= 3/5"]),
        ("c-mu-clearing?service_1=0", ["'service_1'", "0 < service_1"]),
        ("c-mu-clearing?jobs_2=0", ["'jobs_2'"]),
        ("inventory-fixed-cost?demand=1/2,1/4", ["'demand'", "a sum of 1"]),
        ("inventory-fixed-cost?demand=3/2,-1/2", ["'demand'"]),
        ("inventory-fixed-cost?demand=a", ["'demand'", "1/4,1/2,1/4"]),
        ("inventory-fixed-cost?demand=", ["'demand'"]),
        ("inventory-fixed-cost?backlog=-1", ["'backlog'", "0 <= backlog"]),
        ("machine-replacement?wear=2", ["'wear'"]),
        ("jack-car-rental-truncated?terms=0", ["'terms'"]),
        ("secretary?n=0", ["'n'"]),
        ("multichain-blocks?actions=0", ["'actions'"]),
    ],
)
def test_errors_name_the_parameter(text, words):
    with pytest.raises(OptionError) as caught:
        instances.make(text)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "secretary?n=10000000",
        "asset-selling?offers=10000000",
        "parking-garage?spaces=10000000000",
        "queue-admission?buffer=10000000000",
        "queue-service-rate?buffer=10000000000",
        "c-mu-queues?buffer=1000000",
        "inventory-fixed-cost?capacity=1000000",
        "machine-replacement?levels=10000000000",
        "random-walk?n=10000000000",
        "multichain-blocks?classes=10000000000",
        "jack-car-rental-truncated?capacity=3000",
    ],
)
def test_size_is_checked_before_anything_is_allocated(text):
    with pytest.raises(SizeError, match=r"would need about [\d,.]+ GiB"):
        instances.make(text)


def test_variants_differ():
    assert instances.make("multichain-blocks").digest == instances.make("multichain-blocks", seed=0).digest
    assert instances.make("multichain-blocks").digest != instances.make("multichain-blocks", seed=1).digest
    lost = instances.make("inventory-fixed-cost", excess="lost")
    assert lost.state_names == tuple(range(7))
    assert instances.make("inventory-fixed-cost").state_names == tuple(range(-4, 7))
    # A stock of -4 + u must not fall below -4 at a demand of 2.
    assert instances.make("inventory-fixed-cost").action[0] == 2
    at_once = o.read(instances.make("machine-replacement", new="at-once"))
    assert at_once[3][1] == (F(10), {0: F(1, 2), 1: F(1, 2)})
    cut = instances.make("howard-automobile", oldest=3)
    assert o.read(cut)[0][0] == (F(-53), {1: F(999, 1000), 2: F(1, 1000)})
    assert o.read(cut)[2][1] == (F(1230 - 2000 - 50), {0: F(1)})
