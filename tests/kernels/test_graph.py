"""Graph kernels against brute force: every deterministic policy, every subset of states, plain searches in Python."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import time

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse import csgraph

from mdpkit.errors import ModelError
from mdpkit.kernels import graph as G  # noqa: N812

# ---------------------------------------------------------------- models, as lists: succ[s] = one set for each pair


def build(succ):
    """The Graph of lists of successor lists, and the state of each pair."""
    pairs = [list(row) for rows in succ for row in rows]
    pair_ptr = np.cumsum([0] + [len(rows) for rows in succ])
    indptr = np.cumsum([0] + [len(row) for row in pairs])
    return G.Graph(pair_ptr, indptr, np.array([t for row in pairs for t in row], dtype=np.uint32))


def random_model(rng, n, most_pairs=3, dead_ends=True, fan=3):
    succ = []
    for _ in range(n):
        k = int(rng.integers(0 if dead_ends else 1, most_pairs + 1))
        succ.append([sorted(set(rng.integers(n, size=int(rng.integers(1, fan + 1))).tolist())) for _ in range(k)])
    return succ


def random_mask(rng, size, p=0.7):
    return rng.random(size) < p


def allowed_pairs(succ, pairs):
    """For each state its allowed pairs, as (pair index, successors)."""
    out, k = [], 0
    for rows in succ:
        out.append([(k + i, set(row)) for i, row in enumerate(rows) if pairs[k + i]])
        k += len(rows)
    return out


# ---------------------------------------------------------------- brute force on Markov chains


def closure(edges, start):
    seen, stack = set(start), list(start)
    while stack:
        for t in edges[stack.pop()]:
            if t not in seen:
                seen.add(t)
                stack.append(t)
    return seen


def chain_sets(edges, target, through):
    """States of a chain with probability > 0, and = 1, of ``through U target``; other states and the target absorb."""
    n = len(edges)
    stop = [{s} if target[s] or not through[s] else edges[s] or {s} for s in range(n)]
    reach = [closure(stop, {s}) for s in range(n)]
    goal = {s for s in range(n) if target[s]}
    positive = {s for s in range(n) if reach[s] & goal}
    one = {s for s in range(n) if reach[s] <= positive}
    return positive, one


def policies(choices):
    return itertools.product(*[c if c else [(-1, frozenset())] for c in choices])


def as_mask(states, n):
    mask = np.zeros(n, bool)
    mask[list(states)] = True
    return mask


def brute_sets(succ, target, through, pairs):
    """The four sets, by all deterministic memoryless policies."""
    n = len(succ)
    sets = [chain_sets([set(row) for _, row in p], target, through) for p in policies(allowed_pairs(succ, pairs))]
    positive, one = [p for p, _ in sets], [o for _, o in sets]
    everywhere = set(range(n))
    return [
        as_mask(x, n)
        for x in (
            set().union(*positive),
            everywhere.intersection(*positive),
            set().union(*one),
            everywhere.intersection(*one),
        )
    ]


FOUR = (G.prob_max_positive, G.prob_min_positive, G.prob_max_one, G.prob_min_one)


def random_case(seed, sizes=(1, 5)):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(sizes[0], sizes[1] + 1))
    succ = random_model(rng, n)
    g = build(succ)
    target = random_mask(rng, n, 0.25)
    through = random_mask(rng, n, 0.8)
    pairs = random_mask(rng, g.n_pairs, 0.85)
    return rng, succ, g, target, through, pairs


@pytest.mark.parametrize("block", range(8))
def test_the_four_sets_agree_with_all_policies(block):
    for seed in range(block * 60, block * 60 + 60):
        _, succ, g, target, through, pairs = random_case(seed)
        for f, expected in zip(FOUR, brute_sets(succ, target, through, pairs), strict=True):
            np.testing.assert_array_equal(f(g, target, through, pairs), expected, err_msg=f"{f.__name__} {seed}")
        all_pairs, all_states = np.ones(g.n_pairs, bool), np.ones(g.n_states, bool)
        for f, expected in zip(FOUR, brute_sets(succ, target, all_states, all_pairs), strict=True):
            np.testing.assert_array_equal(f(g, target), expected, err_msg=f"{f.__name__} {seed}")
        np.testing.assert_array_equal(G.can_reach(g, target, pairs), brute_sets(succ, target, all_states, pairs)[0])


def nested_fixed_points(succ, target, through, pairs):
    """The four sets by their textbook fixed points, which scale to models without enumerable policies."""
    n = len(succ)
    choices = allowed_pairs(succ, pairs)
    inner = [s for s in range(n) if through[s] and not target[s]]
    goal = {s for s in range(n) if target[s]}

    def least(step):
        X = set(goal)
        while True:
            Y = X | {s for s in inner if s not in X and step(s, X)}
            if Y == X:
                return X
            X = Y

    max_positive = least(lambda s, X: any(row & X for _, row in choices[s]))
    min_positive = least(lambda s, X: bool(choices[s]) and all(row & X for _, row in choices[s]))
    outer = set(range(n))
    while True:
        shrunk = least(lambda s, X, W=outer: any(row & X and row <= W for _, row in choices[s]))
        if shrunk == outer:
            break
        outer = shrunk
    bad = set(range(n)) - min_positive
    while True:
        more = bad | {s for s in inner if any(row & bad for _, row in choices[s])}
        if more == bad:
            break
        bad = more
    return [as_mask(x, n) for x in (max_positive, min_positive, outer, set(range(n)) - bad)]


def layered_model(rng, n):
    """A model with local moves, loops and leaks, whose end components nest and split many times."""
    succ = []
    for s in range(n):
        rows = []
        for _ in range(int(rng.integers(1, 4))):
            near = np.clip(s + rng.integers(-2, 3, size=int(rng.integers(1, 4))), 0, n - 1).tolist()
            if rng.random() < 0.05:
                near.append(int(rng.integers(n)))
            rows.append(sorted(set(near)))
        succ.append(rows)
    return succ


@pytest.mark.parametrize("seed", range(30))
def test_the_four_sets_agree_with_the_fixed_points_on_larger_models(seed):
    rng = np.random.default_rng(1000 + seed)
    succ = layered_model(rng, 60) if seed % 2 else random_model(rng, 40)
    g = build(succ)
    target, through = random_mask(rng, g.n_states, 0.05), random_mask(rng, g.n_states, 0.97)
    pairs = random_mask(rng, g.n_pairs, 0.95)
    for f, expected in zip(FOUR, nested_fixed_points(succ, target, through, pairs), strict=True):
        np.testing.assert_array_equal(f(g, target, through, pairs), expected, err_msg=f.__name__)


# ---------------------------------------------------------------- policies


def induced(g, policy):
    return [
        set() if k < 0 else set(g.indices[g.indptr[k] : g.indptr[k + 1]].tolist()) for k in np.asarray(policy).tolist()
    ]


def owns(g, policy, pairs):
    chosen = np.flatnonzero(policy >= 0)
    assert (g.pair_state[policy[chosen]] == chosen).all()
    assert pairs[policy[chosen]].all()


@pytest.mark.parametrize("block", range(4))
def test_policies_attain_the_sets(block):
    for seed in range(5000 + block * 80, 5000 + block * 80 + 80):
        rng, succ, g, target, through, pairs = random_case(seed, (1, 6))
        n = g.n_states
        one = G.prob_max_one(g, target, through, pairs)
        # From the set, and from any mask of states: chosen exactly where some policy reaches the target inside it.
        for within in (one, through, random_mask(rng, n, 0.6)):
            policy = G.policy_reaching(g, target, within, pairs)
            owns(g, policy, pairs)
            if n <= 5:
                attainable = brute_sets(succ, target, within, pairs)[2] & ~target & within
                np.testing.assert_array_equal(policy >= 0, attainable)
            _, attained = chain_sets(induced(g, policy), target, within)
            assert set(np.flatnonzero(policy >= 0)) <= attained
        np.testing.assert_array_equal(G.policy_reaching(g, target, one, pairs) >= 0, one & ~target)

        zero = ~G.prob_min_positive(g, target, through, pairs)
        policy = G.policy_avoiding(g, target, through, pairs)
        owns(g, policy, pairs)
        positive, _ = chain_sets(induced(g, policy), target, through)
        assert not positive & set(np.flatnonzero(zero))
        has_pair = np.array([bool(c) for c in allowed_pairs(succ, pairs)])
        np.testing.assert_array_equal(policy >= 0, zero & through & has_pair)

        staying = G.policy_staying(g, zero, pairs)
        owns(g, staying, pairs)
        inside = set(np.flatnonzero(zero).tolist())
        for s, choices in enumerate(allowed_pairs(succ, pairs)):
            first = [k for k, row in choices if zero[s] and row <= inside]
            assert staying[s] == (first[0] if first else -1)


def test_policy_reaching_takes_the_closest_way_first():
    succ = [[[0], [1]], [[2, 0], [3]], [[1, 3]], []]
    g = build(succ)
    policy = G.policy_reaching(g, [False, False, False, True])
    np.testing.assert_array_equal(policy, [1, 3, 4, -1])


# ---------------------------------------------------------------- components


def edge_matrix(g, pairs, states):
    live = np.repeat(pairs, np.diff(g.indptr))
    source = np.repeat(g.pair_state, np.diff(g.indptr))
    to = g.indices.astype(np.int64)
    live &= states[source] & states[to]
    return source[live], to[live]


def same_partition(a, b):
    return len(set(zip(a.tolist(), b.tolist(), strict=True))) == len(set(a.tolist())) == len(set(b.tolist()))


@pytest.mark.parametrize("seed", range(40))
def test_strong_components_agree_with_scipy_and_run_backward(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 400))
    g = build(random_model(rng, n, 2, fan=2) if seed % 2 else layered_model(rng, n))
    pairs = random_mask(rng, g.n_pairs, 0.8) if seed % 3 else np.ones(g.n_pairs, bool)
    states = random_mask(rng, n, 0.9) if seed % 5 else np.ones(n, bool)
    label, count = G.strong_components(g, pairs, states)
    source, to = edge_matrix(g, pairs, states)
    matrix = sparse.csr_array((np.ones(source.size), (source, to)), shape=(n, n))
    _, expected = csgraph.connected_components(matrix, directed=True, connection="strong")
    assert (label[~states] == -1).all()
    assert set(label[states].tolist()) == set(range(count))
    assert same_partition(label[states], expected[states])
    assert (label[source] >= label[to]).all()


def brute_end_components(succ, pairs, states):
    """Maximal end components by trying each set of states."""
    n = len(succ)
    choices = allowed_pairs(succ, pairs)
    found = []
    for size in range(1, n + 1):
        for subset in itertools.combinations(np.flatnonzero(states).tolist(), size):
            C = set(subset)
            inside = {s: [row for _, row in choices[s] if row <= C] for s in C}
            edges = [set().union(*inside[s]) if s in C and inside[s] else set() for s in range(n)]
            if all(inside[s] for s in C) and all(closure(edges, {s}) == C for s in C):
                found.append(C)
    maximal = [C for C in found if not any(C < D for D in found)]
    label = np.full(n, -1)
    for i, C in enumerate(sorted(maximal, key=min)):
        label[list(C)] = i
    mask = [
        bool(pairs[k]) and label[s] >= 0 and all(label[t] == label[s] for t in row)
        for k, (s, row) in enumerate((s, row) for s, rows in enumerate(succ) for row in rows)
    ]
    return label, np.array(mask, bool)


@pytest.mark.parametrize("block", range(5))
def test_end_components_agree_with_all_subsets(block):
    for seed in range(9000 + block * 100, 9000 + block * 100 + 100):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 6))
        succ = random_model(rng, n, 4)
        g = build(succ)
        for pairs, states in (
            (np.ones(g.n_pairs, bool), np.ones(n, bool)),
            (random_mask(rng, g.n_pairs, 0.8), random_mask(rng, n, 0.8)),
        ):
            label, mask = G.end_components(g, pairs, states)
            expected_label, expected_mask = brute_end_components(succ, pairs, states)
            np.testing.assert_array_equal(label, expected_label, err_msg=str(seed))
            np.testing.assert_array_equal(mask, expected_mask, err_msg=str(seed))


def split_until_stable(g, pairs, states):
    """Maximal end components by repeated splitting with scipy: quadratic, but another algorithm."""
    live, alive = pairs.copy(), states.copy()
    while True:
        live &= np.array([alive[g.pair_state[k]] and alive[succ(g, k)].all() for k in range(g.n_pairs)], bool)
        source, to = edge_matrix(g, live, alive)
        matrix = sparse.csr_array((np.ones(source.size), (source, to)), shape=(g.n_states, g.n_states))
        _, comp = csgraph.connected_components(matrix, directed=True, connection="strong")
        kept = live & np.array([(comp[succ(g, k)] == comp[g.pair_state[k]]).all() for k in range(g.n_pairs)], bool)
        still = np.zeros(g.n_states, bool)
        still[g.pair_state[kept]] = True
        if (kept == live).all() and (still == alive).all():
            return np.where(alive, comp, -1), live
        live, alive = kept, still


def succ(g, k):
    return g.indices[g.indptr[k] : g.indptr[k + 1]]


@pytest.mark.parametrize("seed", range(60))
def test_end_components_agree_with_repeated_splitting(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 200))
    g = build(layered_model(rng, n) if seed % 4 else random_model(rng, n, 3, fan=2))
    pairs, states = random_mask(rng, g.n_pairs, 0.97), random_mask(rng, n, 0.99)
    label, mask = G.end_components(g, pairs, states)
    expected_label, expected_mask = split_until_stable(g, pairs, states)
    np.testing.assert_array_equal(mask, expected_mask)
    assert same_partition(label, expected_label)
    np.testing.assert_array_equal(label < 0, expected_label < 0)
    used = label[label >= 0]
    assert list(dict.fromkeys(used.tolist())) == list(range(len(set(used.tolist()))))


@pytest.mark.parametrize("waits", [1, 2, 3])
def test_components_that_peel_off_one_by_one(waits):
    # A gambler who may wait, in groups of `waits` states: leaks at both ends undo the line one group at a time.
    groups = 25
    n = groups * waits + 2
    line = [[[0]]]
    for s in range(1, n - 1):
        first = 1 + (s - 1) // waits * waits
        line.append([[first + (s - first + 1) % waits], [max(s - waits, 0), min(s + waits, n - 1)]])
    line.append([[n - 1]])
    g = build(line)
    label, mask = G.end_components(g)
    expected_label, expected_mask = split_until_stable(g, np.ones(g.n_pairs, bool), np.ones(n, bool))
    np.testing.assert_array_equal(mask, expected_mask)
    assert same_partition(label, expected_label)
    assert label.max() + 1 == groups + 2


# ---------------------------------------------------------------- chains


@pytest.mark.parametrize("seed", range(60))
def test_bottom_components_and_periods_agree_with_plain_searches(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    succ = random_model(rng, n, 2, fan=2)
    g = build(succ)
    policy = np.array([int(rng.integers(a, b)) if b > a else -1 for a, b in itertools.pairwise(g.pair_ptr.tolist())])
    policy[random_mask(rng, n, 0.1)] = -1
    edges = [row or {s} for s, row in enumerate(induced(g, policy))]
    reach = [closure(edges, {s}) for s in range(n)]
    classes = sorted({frozenset(reach[s]) for s in range(n) if all(s in reach[t] for t in reach[s])}, key=min)
    expected = np.full(n, -1)
    for i, C in enumerate(classes):
        expected[list(C)] = i
    label, count = G.bottom_components(g, policy)
    np.testing.assert_array_equal(label, expected)
    assert count == len(classes)
    for i, C in enumerate(classes):
        # The period: the divisor of the lengths up to 3n of all closed walks from one state.
        root, now, lengths = min(C), {min(C)}, []
        for step in range(1, 3 * n + 1):
            now = set().union(*(edges[s] for s in now))
            if root in now:
                lengths.append(step)
        assert G.period(g, policy, label == i) == G.period(g, policy, sorted(C)) == math.gcd(*lengths)


def test_periods_of_known_chains():
    two_cycles = build([[[1]], [[2]], [[3]], [[4, 0]], [[5]], [[0]]])  # lengths 4 and 6
    assert G.period(two_cycles, np.arange(6), np.ones(6, bool)) == 2
    ring = build([[[(s + 1) % 7]] for s in range(7)])
    assert G.period(ring, np.arange(7), range(7)) == 7
    assert G.period(build([[[0]]]), [0], [0]) == 1
    assert G.period(build([[]]), [-1], [0]) == 1


def test_reachable_agrees_with_plain_search():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 12))
        succ = random_model(rng, n, 2, fan=2)
        g = build(succ)
        pairs = random_mask(rng, g.n_pairs, 0.8)
        start = random_mask(rng, n, 0.3)
        edges = [set().union(*(row for _, row in c)) for c in allowed_pairs(succ, pairs)]
        expected = as_mask(closure(edges, np.flatnonzero(start).tolist()), n)
        np.testing.assert_array_equal(G.reachable(g, start, pairs), expected)
        np.testing.assert_array_equal(G.reachable(g, np.flatnonzero(start), pairs), expected)


# ---------------------------------------------------------------- hand cases


def test_single_states():
    loop, dead = build([[[0]]]), build([[]])
    for g, has_component in ((loop, True), (dead, False)):
        label, mask = G.end_components(g)
        assert label.tolist() == ([0] if has_component else [-1])
        assert mask.tolist() == [True] * g.n_pairs
        assert G.strong_components(g)[0].tolist() == [0]
        for f in FOUR:
            assert f(g, [True]).tolist() == [True]
            assert f(g, [False]).tolist() == [False]
            assert f(g, [True], [False]).tolist() == [True]
    empty = build([])
    assert G.strong_components(empty)[1] == 0
    assert G.end_components(empty)[0].size == 0
    assert all(f(empty, np.zeros(0, bool)).size == 0 for f in FOUR)


def test_empty_target_and_all_target():
    g = build([[[0], [1, 2]], [[1]], [[0, 1]]])
    for f in FOUR:
        assert not f(g, np.zeros(3, bool)).any()
        assert f(g, np.ones(3, bool)).all()
    assert (G.policy_reaching(g, np.zeros(3, bool)) == -1).all()
    assert (G.policy_reaching(g, np.ones(3, bool)) == -1).all()


def test_a_loop_that_may_be_left_is_left_by_a_maximizer_only():
    # 0 may wait or try; trying wins with positive probability and else comes back.
    g = build([[[0], [0, 1]], [[1]], [[2], [1, 3]], [[3]]])
    target = np.array([False, True, False, False])
    assert G.prob_max_one(g, target).tolist() == [True, True, False, False]
    assert G.prob_min_positive(g, target).tolist() == [False, True, False, False]
    assert G.prob_max_positive(g, target).tolist() == [True, True, True, False]
    assert G.policy_reaching(g, target).tolist() == [1, -1, -1, -1]
    assert G.policy_avoiding(g, target).tolist() == [0, -1, 3, 5]
    only_try = np.array([False, True, True, True, True, True])
    assert G.prob_min_one(g, target, pairs=only_try).tolist() == [True, True, False, False]


def test_states_that_a_path_may_not_pass_fail():
    g = build([[[1]], [[2]], [[2]]])
    target, through = [False, False, True], [True, False, True]
    for f in FOUR:
        assert f(g, target, through).tolist() == [False, False, True]
        assert f(g, target).all()


def test_a_long_chain_needs_no_recursion():
    n = 200_000
    ptr = np.arange(n + 1)
    onward = G.Graph(ptr, ptr, np.minimum(np.arange(1, n + 1), n - 1))
    last = as_mask([n - 1], n)
    begun = time.perf_counter()
    label, count = G.strong_components(onward)
    assert count == n
    np.testing.assert_array_equal(label, np.arange(n)[::-1])
    assert np.flatnonzero(G.end_components(onward)[0] >= 0).tolist() == [n - 1]
    assert all(f(onward, last).all() for f in FOUR)
    assert G.policy_reaching(onward, last)[0] == 0
    assert np.flatnonzero(G.bottom_components(onward, ptr[:-1])[0] == 0).tolist() == [n - 1]
    assert G.reachable(onward, [0]).all()
    ring = G.Graph(ptr, ptr, (np.arange(n) + 1) % n)
    assert G.strong_components(ring)[1] == 1
    assert G.period(ring, ptr[:-1], np.ones(n, bool)) == n
    assert time.perf_counter() - begun < 20  # with compilation; a quadratic pass would take minutes


def test_a_long_line_that_splits_state_by_state_takes_linear_time():
    # The gambler who may wait: repeated splitting would need n / 2 rounds over the whole line.
    n = 100_000
    inner = np.arange(1, n - 1)
    pair_ptr = np.concatenate(([0, 1], 1 + 2 * np.arange(1, n - 1), [2 * n - 2]))
    length = np.concatenate(([1], np.tile([1, 2], n - 2), [1]))
    indices = np.concatenate(([0], np.stack([inner, inner - 1, inner + 1], axis=1).ravel(), [n - 1]))
    g = G.Graph(pair_ptr, np.concatenate(([0], np.cumsum(length))), indices)
    target = as_mask([0, n - 1], n)
    begun = time.perf_counter()
    label, mask = G.end_components(g)
    np.testing.assert_array_equal(label, np.arange(n))
    assert int(mask.sum()) == n
    assert G.prob_max_one(g, target).all()
    np.testing.assert_array_equal(G.prob_min_positive(g, target), target)
    assert time.perf_counter() - begun < 10  # splitting again and again takes more than a minute


# ---------------------------------------------------------------- errors, and imports


@pytest.mark.parametrize(
    ("pair_ptr", "indptr", "indices", "says"),
    [
        ([0, 1], [0, 1], [1], "successor that is no state"),
        ([0, 1], [0, 1], [-1], "successor that is no state"),
        ([0, 2], [0, 1, 1], [0], "pair 1 of state 0 has no successor"),
        ([0, 2], [0, 1], [0], "pair_ptr is no row pointer"),
        ([0, 1], [0, 2], [0], "indptr is no row pointer"),
        ([0, 2, 1, 2], [0, 1, 2], [0, 0], "pair_ptr is no row pointer"),
        ([], [0], [], "pair_ptr is no row pointer"),
    ],
)
def test_arrays_that_are_no_graph_are_refused(pair_ptr, indptr, indices, says):
    with pytest.raises(ModelError, match=says):
        G.Graph(np.array(pair_ptr, dtype=np.int64), np.array(indptr), np.array(indices, dtype=np.int64))


def test_wrong_masks_and_policies_are_refused():
    g = build([[[1]], [[0], [1]]])
    with pytest.raises(ModelError, match="target is no mask"):
        G.can_reach(g, [0, 1])
    with pytest.raises(ModelError, match="pairs is no mask"):
        G.strong_components(g, pairs=[True, True])
    with pytest.raises(ModelError, match="start is no set of states"):
        G.reachable(g, [2])
    with pytest.raises(ModelError, match="a pair of another state in state 0"):
        G.bottom_components(g, [1, 1])
    with pytest.raises(ModelError, match="policy does not fit"):
        G.bottom_components(g, [0])
    with pytest.raises(ModelError, match="empty class"):
        G.period(g, [0, 1], [])
    with pytest.raises(ModelError, match="successor 1 outside"):
        G.period(g, [0, 1], [0])
    with pytest.raises(ModelError, match="absorbing, but not alone"):
        G.period(g, [0, -1], [0, 1])
    with pytest.raises(ModelError, match="leads from it to"):
        G.period(g, [0, 2], [0, 1])


def test_the_graph_is_read_only_and_inputs_are_left_alone():
    pair_ptr, indptr, indices = np.array([0, 1, 2]), np.array([0, 1, 3]), np.array([1, 0, 1], dtype=np.uint32)
    g = G.Graph(pair_ptr, indptr, indices)
    target, pairs = np.array([True, False]), np.array([True, True])
    kept = target.copy(), pairs.copy()
    for f in FOUR:
        f(g, target, pairs=pairs)
    G.end_components(g, pairs, target)
    np.testing.assert_array_equal(target, kept[0])
    np.testing.assert_array_equal(pairs, kept[1])
    with pytest.raises(ValueError, match="read-only"):
        g.indices[0] = 0
    assert indices.flags.writeable


def test_importing_the_module_does_not_import_numba():
    code = "import sys, mdpkit.kernels.graph; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
