"""Generators keep what they promise: classes by the graph's analysis and by brute force, queues by their closed forms."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import combinations, product
from math import sqrt

import numpy as np
import oracle as o
import pytest

import mdpkit as mk
from mdpkit import instances
from mdpkit.errors import OptionError, SizeError
from mdpkit.instances.generators import varied_subsets
from mdpkit.kernels.graph import Graph, bottom_components, end_components, strong_components

F = Fraction


def graph_of(mdp):
    return Graph(mdp.pair_ptr, mdp.P.indptr, mdp.P.indices)


def some_policies(mdp, count, rng):
    return mdp.pair_ptr[:-1] + rng.integers(0, np.diff(mdp.pair_ptr), size=(count, mdp.n_states))


# -------------------------------------------------------------------------------------------------- structures

STRUCTURES = ("recurrent", "communicating", "weakly-communicating", "unichain", "multichain")
SIZES = [(1, 1), (12, 1), (12, 2), (40, 5)]


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize(("S", "out_degree"), SIZES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_classes_are_as_promised(structure, S, out_degree, seed):
    extra, K = (0, 1) if S == 1 else (3, 4)
    mdp = instances.make(
        "random-mdp",
        S=S,
        A=3,
        structure=structure,
        out_degree=out_degree,
        transient=extra,
        classes=K,
        seed=seed,
        exact=False,
    )
    graph, rng = graph_of(mdp), np.random.default_rng(seed)
    extra = 0 if structure in ("recurrent", "communicating") else extra
    apart = mdp.labels["transient"] if extra else np.zeros(S, dtype=bool)
    assert apart.sum() == extra
    component, _ = end_components(graph)
    for policy in some_policies(mdp, 40, rng):
        label, count = bottom_components(graph, policy)
        assert np.all(label[apart] == -1)
        if structure == "recurrent":
            assert count == 1
            assert np.all(label == 0)
        if structure == "unichain":
            assert count == 1
        if structure == "multichain":
            assert count == K
    assert np.all(component[apart] == -1)
    if structure.endswith("communicating"):
        assert set(component[~apart].tolist()) == {0}
        inside = np.unique(strong_components(graph)[0][~apart])
        assert inside.size == 1


@pytest.mark.parametrize(("structure", "classes"), [("unichain", 1), ("multichain", 2), ("recurrent", 1)])
def test_classes_under_every_policy_by_brute_force(structure, classes):
    for seed in range(4):
        mdp = instances.make(
            "random-mdp", S=6, A=2, structure=structure, classes=classes, transient=1, out_degree=2, seed=seed
        )
        model = o.read(mdp)
        for policy in o.policies(model):
            found = o.recurrent_classes(o.chain(model, policy)[1])
            assert len(found) == classes
            if structure == "recurrent":
                assert found == [frozenset(range(6))]


def test_a_communicating_model_need_not_be_a_unichain_one():
    counts = set()
    for seed in range(20):
        mdp = instances.make("random-mdp", S=8, A=2, out_degree=1, seed=seed, exact=False)
        policies = some_policies(mdp, 30, np.random.default_rng(seed))
        counts |= {bottom_components(graph_of(mdp), policy)[1] for policy in policies}
    assert counts > {1}


@pytest.mark.parametrize("structure", STRUCTURES)
def test_out_degrees_and_numbers(structure):
    options = {"S": 30, "A": 3, "structure": structure, "out_degree": 4, "seed": 5}
    mdp, floats = (instances.make("random-mdp", exact=exact, **options) for exact in (True, False))
    assert np.all(np.diff(mdp.P.indptr) == 4)  # closed sets of 14 and 15 states, or one of 29 or 30
    rows = mdp.P.indices.reshape(-1, 4).astype(int)
    assert np.all(np.diff(rows, axis=1) > 0)
    exact = mdp.P.exact.reshape(-1, 4)
    assert all(sum(row) == 1 for row in exact)
    assert all(p.denominator <= 36 for p in mdp.P.exact)
    assert np.array_equal(floats.P.indices, mdp.P.indices)
    assert np.array_equal(floats.P.data, mdp.P.data)
    assert np.array_equal(floats.r, mdp.r)
    assert mdp.digest == instances.make("random-mdp", **options).digest
    assert mdp.digest != instances.make("random-mdp", **{**options, "seed": 6}).digest


def test_small_closed_sets_lower_the_out_degree():
    mdp = instances.make("random-mdp", S=7, A=2, structure="multichain", classes=3, transient=1, out_degree=5)
    width = np.diff(mdp.P.indptr).reshape(7, 2)
    apart = mdp.labels["transient"]
    assert np.all(width[~apart] == 2)
    assert np.all(width[apart] == 5)


def test_varied_subsets_are_uniform():
    rng, draws = np.random.default_rng(0), 20_000
    n, k = np.tile([5, 3, 4, 0], draws), np.tile([3, 3, 1, 0], draws)
    found = varied_subsets(rng, n, k).reshape(draws, 4, 3)
    first = Counter(map(tuple, np.sort(found[:, 0]).tolist()))
    assert set(first) == set(combinations(range(5), 3))
    assert all(abs(c - draws / 10) < 5 * sqrt(draws * 0.09) for c in first.values())
    assert np.all(np.sort(found[:, 1]) == [0, 1, 2])
    assert np.all(found[:, 2, 1:] == -1)
    assert np.all(np.abs(np.bincount(found[:, 2, 0], minlength=4) - draws / 4) < 5 * sqrt(draws * 3 / 16))
    assert np.all(found[:, 3] == -1)


@pytest.mark.parametrize("exact", [True, False])
def test_sparse_rewards(exact):
    options = {"S": 50, "A": 4, "branching": 3, "seed": 2, "exact": exact}
    full = instances.make("garnet", **options)
    sparse = instances.make("garnet", reward_density="1/10", **options)
    paying = sparse.r != 0
    assert 15 <= paying.sum() <= 20
    assert np.array_equal(sparse.r[paying], full.r[paying])
    assert np.array_equal(sparse.P.data, full.P.data)
    assert not instances.make("garnet", reward_density=0, **options).r.any()
    assert (instances.make("random-mdp", S=20, A=2, reward_density="1/4", exact=exact).r > 0).sum() <= 10


# ------------------------------------------------------------------------------------------- layers, minorization


@pytest.mark.parametrize(("width", "depth", "out_degree"), [(1, 1, 1), (3, 1, 2), (3, 4, 2), (5, 3, 5)])
def test_layers(width, depth, out_degree):
    options = {"width": width, "depth": depth, "A": 2, "out_degree": out_degree, "seed": 4}
    mdp = instances.make("random-layered", **options)
    model = o.read(mdp)
    end = width * depth
    assert len(model) == end + 1
    assert model[end] == [(F(0), {end: 1})] * 2
    for s in range(end):
        for _, row in model[s]:
            layer = s // width + 1
            assert all(t // width == layer for t in row) if layer < depth else row == {end: 1}
            assert len(row) == (out_degree if layer < depth else 1)
    V = {end: F(0)}
    for s in reversed(range(end)):
        V[s] = max(r + sum(p * V[t] for t, p in row.items()) for r, row in model[s])
    assert mk.solve(mdp, exact=True).exact.tolist() == [V[s] for s in range(end + 1)]
    assert mdp.rho_exact.tolist() == [F(1, width)] * width + [0] * (end + 1 - width)
    floats = instances.make("random-layered", exact=False, **options)
    assert np.array_equal(floats.P.toarray(), mdp.P.toarray())
    assert np.array_equal(floats.r, mdp.r)
    assert not floats.is_exact


@pytest.mark.parametrize(("delta", "regeneration", "out_degree"), [("1/10", 1, 2), ("1/3", 7, 3), (0, 2, 1), (1, 3, 2)])
def test_the_minorization_constant_is_exact(delta, regeneration, out_degree):
    options = {"S": 7, "A": 2, "delta": delta, "regeneration": regeneration, "out_degree": out_degree, "seed": 1}
    mdp = instances.make("random-doeblin", **options)
    rows = [row for pairs in o.read(mdp) for _, row in pairs]
    least = [min(row.get(t, F(0)) for row in rows) for t in range(7)]
    delta = F(delta)
    assert sum(least) == delta
    assert least == [delta / regeneration] * regeneration + [0] * (7 - regeneration)
    # Any two rows overlap by delta at least: the contraction of the span, and of total variation.
    assert all(sum(min(p.get(t, 0), q.get(t, 0)) for t in range(7)) >= delta for p, q in product(rows, rows))
    floats = instances.make("random-doeblin", exact=False, **options)
    assert np.allclose(floats.P.toarray(), mdp.P.toarray(), rtol=0, atol=1e-15)
    assert np.array_equal(floats.r, mdp.r)


# ------------------------------------------------------------------------------------------------------- queues


def chain_of(mdp, action):
    """The chain of the policy that takes the given action where it can, and the first one elsewhere."""
    model = o.read(mdp)
    policy = [int(np.flatnonzero(mdp.action[mdp.pairs_of(s)] == action(s))[-1:].sum()) for s in range(len(model))]
    return o.chain(model, policy)


def is_stationary(law, rows):
    flow = [F(0)] * len(law)
    for s, row in enumerate(rows):
        for t, p in row.items():
            flow[t] += law[s] * p
    return flow == law and sum(law) == 1


def normalized(weights):
    return [w / sum(weights) for w in weights]


@pytest.mark.parametrize("capacity", [1, 3, 6])
def test_one_station_is_a_birth_and_death_chain(capacity):
    """The gains of all thresholds from the truncated geometric law; the best of them is the optimum's (Naor)."""
    rho = F(2, 3)
    gains = {}
    for threshold in range(capacity + 1):
        law = normalized([rho**n for n in range(threshold + 1)])
        gains[threshold] = (5 * (1 - law[-1]) - sum(n * p for n, p in enumerate(law))) / F(5, 2)
    mdp = instances.make("tandem-queue", stations=1, capacity=capacity)
    model = o.read(mdp)
    best = max(gains.values())
    for threshold, gain in gains.items():
        rewards, rows = o.chain(model, [int(n < threshold) for n in range(capacity + 1)])
        assert o.chain_total(rewards, rows).gain == [gain] * (capacity + 1)
    # no other policy is better
    assert max(o.chain_total(*o.chain(model, policy)).gain[0] for policy in o.policies(model)) == best


@pytest.mark.parametrize("stations", [2, 3])
def test_with_a_limit_in_all_the_stationary_law_is_a_product(stations):
    capacity = 3
    mdp = instances.make("tandem-queue", stations=stations, capacity=capacity, limit="total", skew="3/4", service=2)
    states = [n for n in product(range(capacity + 1), repeat=stations) if sum(n) <= capacity]
    assert mdp.n_states == len(states)
    loads = [1 / (2 * F(3, 4) ** k) for k in range(stations)]
    weights = []
    for n in states:
        weights.append(F(1))
        for load, count in zip(loads, n, strict=True):
            weights[-1] *= load**count
    _, rows = chain_of(mdp, lambda s: 1)
    assert is_stationary(normalized(weights), rows)


@pytest.mark.parametrize("limit", ["buffers", "total"])
@pytest.mark.parametrize(("stations", "capacity"), [(1, 2), (2, 2), (3, 2)])
def test_tandem_queue_by_a_walk_of_the_rules(limit, stations, capacity):
    arrival, service, skew, revenue, holding = F(1), F(3, 2), F(1, 2), F(5), F(2)
    mdp = instances.make("tandem-queue", stations=stations, capacity=capacity, limit=limit, skew=skew, holding=holding)
    clock = arrival + sum(service * skew**k for k in range(stations))
    states = [n for n in product(range(capacity + 1), repeat=stations) if limit == "buffers" or sum(n) <= capacity]
    index = {n: s for s, n in enumerate(states)}
    model = []
    for n in states:
        full = n[0] == capacity if limit == "buffers" else sum(n) == capacity
        pairs = []
        for admit in (0,) if full else (0, 1):
            row = Counter()
            row[index[(n[0] + admit, *n[1:])]] += arrival / clock
            for k in range(stations):
                m = list(n)
                last = k == stations - 1
                if n[k] and (last or limit == "total" or n[k + 1] < capacity):
                    m[k] -= 1
                    if not last:
                        m[k + 1] += 1
                row[index[tuple(m)]] += service * skew**k / clock
            pairs.append(((admit * revenue * arrival - holding * sum(n)) / clock, dict(row)))
        model.append(pairs)
    assert o.read(mdp) == model
    assert mdp.rho[0] == 1


@pytest.mark.parametrize(("servers", "capacity"), [(1, 3), (2, 2), (3, 1)])
def test_parallel_queues_by_a_walk_of_the_rules(servers, capacity):
    arrival, skew = F(3, 2), F(2, 3)
    mdp = instances.make("parallel-queues", servers=servers, capacity=capacity, skew=skew)
    clock = arrival + sum(skew**k for k in range(servers))
    states = list(product(range(capacity + 1), repeat=servers))
    index = {n: s for s, n in enumerate(states)}
    model = []
    for n in states:
        pairs = []
        for join in [k for k in range(servers) if n[k] < capacity] or [None]:
            row = Counter()
            for k in range(servers):
                row[index[tuple(m - (j == k and m > 0) for j, m in enumerate(n))]] += skew**k / clock
            row[index[tuple(m + (j == join) for j, m in enumerate(n))]] += arrival / clock
            pairs.append(((sum(n) + (10 * arrival if join is None else 0)) / clock, dict(row)))
        model.append(pairs)
    assert o.read(mdp) == model
    assert mdp.minimize


def test_servers_without_waiting_room_lose_by_erlang_s_formula():
    load, servers = F(3, 2), 3
    terms = [F(1), load, load**2 / 2, load**3 / 6]
    blocked = terms[-1] / sum(terms)
    cost = (load * 10 * blocked + load * (1 - blocked)) / (load + servers)
    mdp = instances.make("parallel-queues", servers=servers, capacity=1)
    rewards, rows = chain_of(mdp, lambda s: 0)
    assert set(o.chain_total(rewards, rows).gain) == {cost}


def test_joining_the_shortest_queue_is_optimal():
    for options in ({}, {"servers": 3, "capacity": 2}, {"arrival": 3, "gamma": "9/10"}):
        mdp = instances.make("parallel-queues", **options)
        model, capacity = o.read(mdp), options.get("capacity", 3)
        gamma = mdp.criterion.exact
        V = mk.solve(mdp, exact=True).exact.tolist()
        states = list(product(range(capacity + 1), repeat=options.get("servers", 2)))
        for s, n in enumerate(states):
            q = [r + gamma * sum(p * V[t] for t, p in row.items()) for r, row in model[s]]
            for k, a in enumerate(mdp.action[mdp.pairs_of(s)].tolist()):
                if n[a] == min(n):
                    assert q[k] == min(q) == V[s]


@pytest.mark.parametrize("name", ["tandem-queue", "parallel-queues"])
def test_queues_in_floats(name):
    exact, floats = instances.make(name, skew="1/3"), instances.make(name, skew="1/3", exact=False)
    assert not floats.is_exact
    assert np.allclose(floats.P.toarray(), exact.P.toarray(), rtol=0, atol=1e-15)
    assert np.allclose(floats.r, exact.r, rtol=1e-15)
    assert floats.n_pairs == exact.n_pairs
    assert floats.minimize == exact.minimize


def test_a_large_queue_is_built_without_a_loop_over_states():
    mdp = instances.make("tandem-queue", capacity=199, exact=False)
    assert mdp.n_states == 40_000
    assert np.max(np.abs(mdp.P.csr.sum(axis=1) - 1)) < 1e-15
    assert mdp.P.data.min() > 0.2


# ------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("random-mdp?S=4&A=2&structure=multichain&classes=4&transient=1", ["4 states are too few", "S >= 5"]),
        ("random-mdp?S=1&A=2&structure=unichain&out_degree=1", ["too few", "S >= 2"]),
        ("random-mdp?S=4&A=2&out_degree=5", ["'out_degree'", "<= 4"]),
        ("random-mdp?S=4&A=2&reward_density=2", ["'reward_density'"]),
        ("random-mdp?S=4&A=2&structure=ergodic", ["none of the choices", "recurrent"]),
        ("garnet?S=4&A=2&branching=2&reward_density=-1", ["'reward_density'"]),
        ("random-layered?width=2&depth=2&A=2&out_degree=3", ["'out_degree'", "<= 2"]),
        ("random-doeblin?S=5&A=2&out_degree=3", ["'out_degree'", "<= 2"]),
        ("random-doeblin?S=5&A=2&delta=2", ["'delta'"]),
        ("tandem-queue?service=0", ["'service'", "0 < service"]),
        ("parallel-queues?servers=0", ["'servers'"]),
        ("parallel-queues?arrival=-1", ["'arrival'"]),
    ],
)
def test_parameters_are_checked(text, words):
    with pytest.raises(OptionError) as caught:
        instances.make(text)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "random-mdp?S=1000000000&A=4",
        "random-layered?width=100000&depth=100000&A=2",
        "random-doeblin?S=10000000000&A=2",
        "tandem-queue?stations=20&capacity=9",
        "parallel-queues?servers=20&capacity=9",
        "deep-sea?size=10000000",
        "two-cliques?n=1000000&p=1/1000000",
        "cycle?n=100000000000",
        "delayed-reward?delay=100000000000",
        "sweep-order?n=100000000000",
        "melekopoglou-condon?n=100000000000",
    ],
)
def test_size_is_checked_before_anything_is_allocated(text):
    with pytest.raises(SizeError, match=r"would need about [\d,.]+ GiB"):
        instances.make(text)
