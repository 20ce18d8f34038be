"""Every known answer is recomputed by small solvers of the test's own, in rationals; and parameters are checked."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from mdpkit import instances
from mdpkit.errors import OptionError, SizeError
from mdpkit.instances.generators import spacings, subsets
from mdpkit.kernels.rational import rationalize, solve_chain
from mdpkit.models import AverageReward, Discounted, FiniteHorizon, Reachability, TotalReward

F = Fraction

# ---------------------------------------------------------------------------------- small solvers in Fractions


def table(mdp):
    """``{s: {a: (reward, {next state: probability})}}`` in Fractions."""
    assert mdp.is_exact
    P, r = mdp.P, mdp.rewards["r"].exact if mdp.rewards else [F(0)] * mdp.n_pairs
    out = {s: {} for s in range(mdp.n_states)}
    for k in range(mdp.n_pairs):
        i, j = P.indptr[k], P.indptr[k + 1]
        law = dict(zip(P.indices[i:j].tolist(), P.exact[i:j].tolist(), strict=True))
        assert sum(law.values()) == 1
        out[int(mdp.state[k])][int(mdp.action[k])] = (r[k], law)
    return out


def linear(rows, right):
    """Gauss's elimination."""
    M = [[*row, b] for row, b in zip(rows, right, strict=True)]
    n = len(M)
    for c in range(n):
        pivot = next(i for i in range(c, n) if M[i][c] != 0)
        M[c], M[pivot] = M[pivot], M[c]
        M[c] = [x / M[c][c] for x in M[c]]
        for i in range(n):
            if i != c and M[i][c] != 0:
                M[i] = [x - M[i][c] * y for x, y in zip(M[i], M[c], strict=True)]
    return [row[n] for row in M]


def chain_value(laws, rewards, gamma=Fraction(1), known=None):
    """Value of a chain by :func:`solve_chain`, which has its own tests against elimination."""
    indptr, indices, data = [0], [], []
    for law in laws:
        for t in sorted(law):
            indices.append(t)
            data.append(gamma * law[t])
        indptr.append(len(indices))
    return list(solve_chain(indptr, indices, data, rewards, known=known))


def uniform_value(T, gamma=Fraction(1), known=None):
    """Value of the policy that takes every action equally often."""
    laws, rewards = [], []
    for s in T:
        law = Counter()
        for _, row in T[s].values():
            law.update({t: p / len(T[s]) for t, p in row.items()})
        laws.append(law)
        rewards.append(sum(r for r, _ in T[s].values()) / len(T[s]))
    return chain_value(laws, rewards, gamma, known)


def q_value(pair, V, gamma=Fraction(1)):
    reward, law = pair
    return reward + gamma * sum((p * V[t] for t, p in law.items()), F(0))


def discounted(T, gamma):
    """Policy iteration; the answer satisfies the optimality equation exactly, which has one solution."""
    policy = {s: min(pairs) for s, pairs in T.items()}
    while True:
        V = chain_value([T[s][policy[s]][1] for s in T], [T[s][policy[s]][0] for s in T], gamma)
        better = {s: max(T[s], key=lambda a: (q_value(T[s][a], V, gamma), a == policy[s])) for s in T}
        if better == policy:
            assert all(V[s] == max(q_value(pair, V, gamma) for pair in T[s].values()) for s in T)
            return V
        policy = better


def average(T):
    """Howard's policy iteration for models all of whose policies have one recurrent class."""
    n = len(T)
    policy = {s: min(pairs) for s, pairs in T.items()}
    while True:
        rows = []
        for s in T:
            law = T[s][policy[s]][1]
            rows.append([F(int(t == s)) - law.get(t, F(0)) for t in range(n - 1)] + [F(1)])
        *h, gain = linear(rows, [T[s][policy[s]][0] for s in T])
        h.append(F(0))
        better = {s: max(T[s], key=lambda a: (q_value(T[s][a], h), a == policy[s])) for s in T}
        if better == policy:
            assert all(gain + h[s] == max(q_value(pair, h) for pair in T[s].values()) for s in T)
            law = [T[s][policy[s]][1] for s in T]
            balance = [[law[s].get(t, F(0)) - F(int(s == t)) for s in range(n)] for t in range(n - 1)] + [[F(1)] * n]
            mu = linear(balance, [F(0)] * (n - 1) + [F(1)])
            shift = sum(m * x for m, x in zip(mu, h, strict=True))
            return gain, h, [x - shift for x in h]
        policy = better


def stages(T, H):
    """Backward induction: values and sets of optimal actions of each stage."""
    V, out = [F(0)] * len(T), []
    for _ in range(H):
        Q = {s: {a: q_value(pair, V) for a, pair in T[s].items()} for s in T}
        V = [max(Q[s].values()) for s in T]
        out.insert(0, (V, {s: {a for a in Q[s] if Q[s][a] == V[s]} for s in T}))
    return out


def distances(T, targets):
    """Moves to the targets in a deterministic model."""
    d, level, k = dict.fromkeys(targets, 0), set(targets), 0
    while level:
        k += 1
        level = {s for s in T if s not in d and any(t in level for _, law in T[s].values() for t in law)}
        d.update(dict.fromkeys(level, k))
    return d


# ----------------------------------------------------------------------------------------------- known answers

# The known answers of these are checked in test_textbook.py, against closed forms.
MODULES_ELSEWHERE = {f"mdpkit.instances.{name}" for name in ("long_run", "operations", "replacement", "stopping")}
ELSEWHERE = {
    "jack-car-rental-truncated",
    "maximization-bias-two-point",
    "random-walk",
    "recycling-robot",
    "russell-norvig-4x3",
    "silver-student",
} | {name for name in instances.names() if instances.info(name).build.__module__ in MODULES_ELSEWHERE}
KNOWN = [(name, known) for name in instances.names() if name not in ELSEWHERE for known in instances.info(name).known]


def answer(name, mdp, known):
    """What ``known.quantity`` is, recomputed: a number, a list, or for a policy the sets of optimal actions."""
    if name == "jack-car-rental":
        V = jack_by_hand()
    else:
        T = table(mdp)
        if known.criterion == "discounted":
            gamma = mdp.criterion.exact
            V = uniform_value(T, gamma) if "uniform" in known.quantity else discounted(T, gamma)
            if known.quantity == "policy":
                return [{a for a in T[s] if q_value(T[s][a], V, gamma) == V[s]} for s in T]
        elif known.criterion == "average":
            gain, relative, bias = average(T)
            if known.quantity == "policy":
                return [{a for a in T[s] if q_value(T[s][a], relative) == gain + relative[s]} for s in T]
            return {"gain": gain, "bias": bias, "relative value": relative}[known.quantity]
        elif known.criterion == "finite-horizon":
            at = int(known.quantity.partition("stage ")[2] or 0)
            V, best = stages(T, mdp.criterion.H)[at]
            return V if known.quantity.startswith("V") else [best[s] for s in T]
        elif known.criterion == "reachability":
            V = reach(name, mdp, T)
        elif name not in ("leaving", "free-loop", "gridworld-4-1"):
            V = undiscounted(mdp, T)
            if known.quantity == "value at the start":
                return sum(p * v for p, v in zip(mdp.rho_exact, V, strict=True))
        else:
            V, best = total(name, mdp, T, uniform="uniform" in known.quantity)
            if known.quantity == "policy":
                return best
    return V[int(known.quantity[2:-1])] if known.quantity.startswith("V(") else V


def reach(name, mdp, T):
    target = set(np.flatnonzero(mdp.states_of(mdp.criterion.target)).tolist())
    if name == "haddad-monmege":
        laws, ends = [T[s][0][1] for s in T], {s: F(int(s in target)) for s in T if T[s][0][1] == {s: F(1)}}
        assert len(ends) == 2
        return chain_value(laws, [F(0)] * len(T), known=ends)
    if name != "gambler":
        return layered(T, {s: F(int(s in target)) for s in T if all(law == {s: F(1)} for _, law in T[s].values())})
    bold = [T[s][max(T[s])][1] for s in T]
    V = chain_value(bold, [F(0)] * len(T), known={0: F(0), len(T) - 1: F(1)})
    # An excessive function with value 1 on the target bounds the probability of every policy, and bold play attains it.
    assert all(V[s] >= q_value((F(0), law), V) for s in T for _, law in T[s].values())
    return V


def total(name, mdp, T, uniform):
    if name == "leaving":
        return chain_value([T[s][0][1] for s in T], [T[s][0][0] for s in T], known={1: F(0)}), None
    if name == "free-loop":
        assert mdp.minimize
        assert {a: law for a, (_, law) in T[0].items()} == {0: {0: F(1)}, 1: {1: F(1)}}
        assert T[1] == {0: (F(0), {1: F(1)})}
        loop, go = (math.inf if mdp.criterion.target is not None else T[0][0][0]), T[0][1][0]
        return [min(loop, go), F(0)], [{0} if loop < go else {1}, {0}]
    assert name == "gridworld-4-1"
    ends = {s: F(0) for s in T if all(law == {s: F(1)} for _, law in T[s].values())}
    assert set(ends) == {0, 15}
    if uniform:
        return uniform_value(T, known=ends), None
    assert all(r == -1 for s in T if s not in ends for r, _ in T[s].values())
    d = distances(T, ends)
    return [F(-d[s]) for s in T], None


def jack_by_hand(cap=20, gamma=0.9):
    """Value iteration on the car rental, its laws written down anew with scipy's Poisson."""
    from scipy.stats import poisson

    def law(ask, back):
        P, income = np.zeros((cap + 1, cap + 1)), np.zeros(cap + 1)
        for n in range(cap + 1):
            for k in range(n + 1):
                p = poisson.pmf(k, ask) if k < n else poisson.sf(n - 1, ask)
                income[n] += 10 * k * p
                for b in range(cap - (n - k)):
                    P[n, n - k + b] += p * poisson.pmf(b, back)
                P[n, cap] += p * poisson.sf(cap - (n - k) - 1, back)
        return P, income

    (P1, r1), (P2, r2) = law(3, 3), law(4, 2)
    V, change = np.zeros((cap + 1, cap + 1)), 1.0
    while change > 1e-12:
        morning = r1[:, None] + r2[None, :] + gamma * P1 @ V @ P2.T
        new = np.full_like(V, -np.inf)
        for a in range(-5, 6):
            for i in range(max(a, 0), cap + 1):
                for j in range(max(-a, 0), cap + 1):
                    q = morning[min(i - a, cap), min(j + a, cap)] - 2 * abs(a)
                    new[i, j] = max(new[i, j], q)
        change = float(np.max(np.abs(new - V)))
        V = new
    return V.ravel()


def undiscounted(mdp, T):
    """Largest (or least) total reward, where the way to the ends is finite, or dear while it lasts."""
    ends = {s: F(0) for s in T if all(pair == (F(0), {s: F(1)}) for pair in T[s].values())}
    if mdp.minimize:
        T = {s: {a: (-r, law) for a, (r, law) in pairs.items()} for s, pairs in T.items()}
    V = layered(T, ends)
    V = shortest_paths(mdp, T, ends) if V is None else V
    return [-v for v in V] if mdp.minimize else V


def layered(T, ends):
    """Backward recursion where no state but the ends can be entered again, else None."""
    V, left = dict(ends), [s for s in T if s not in ends]
    while left:
        ready = [s for s in left if all(t in V for _, law in T[s].values() for t in law)]
        if not ready:
            return None
        V.update({s: max(q_value(pair, V) for pair in T[s].values()) for s in ready})
        left = [s for s in left if s not in V]
    return [V[s] for s in T]


def shortest_paths(mdp, T, ends):
    """Policy iteration from a proper policy, where every step that does not end costs something.

    Then a policy that does not end loses without bound, and the optimality equation has one solution.
    """
    reward, P, sign = mdp.rewards["r"], mdp.P, -1 if mdp.minimize else 1
    paid = reward.exact[P.row_of] if reward.transition_exact is None else reward.transition_exact
    for k, t, r in zip(mdp.state[P.row_of].tolist(), P.indices.tolist(), paid.tolist(), strict=True):
        assert k in ends or t in ends or sign * r < 0
    d = distances(T, ends)
    policy = {s: min(T[s], key=lambda a: min(d[t] for t in T[s][a][1])) for s in T}
    while True:
        V = chain_value([T[s][policy[s]][1] for s in T], [T[s][policy[s]][0] for s in T], known=ends)
        better = {s: max(T[s], key=lambda a: (q_value(T[s][a], V), a == policy[s])) for s in T if s not in ends}
        if better == {s: policy[s] for s in better}:
            assert all(V[s] == max(q_value(pair, V) for pair in T[s].values()) for s in better)
            return V
        policy.update(better)


@pytest.mark.parametrize(
    ("name", "known"), KNOWN, ids=[f"{n}-{k.criterion}-{k.quantity}-{dict(k.params)}" for n, k in KNOWN]
)
def test_known_answers(name, known):
    mdp = instances.make(name, **known.params)
    found = answer(name, mdp, known)
    if "policy" in known.quantity and "V of" not in known.quantity:
        assert len(found) == len(known.value)
        assert all(a in best for a, best in zip(known.value, found, strict=True))
        return
    value = known.value if isinstance(known.value, tuple) else (known.value,)
    found = found if isinstance(found, list) else [found]
    assert len(found) == len(value)
    if known.exact:
        assert found == list(value)
    else:
        assert all(abs(F(x) - y) <= known.tolerance for x, y in zip(found, value, strict=True))


def test_the_published_numbers_are_those_of_the_sources():
    """The answers are recomputed above from the model; here against numbers that were typed in anew."""

    def known(name, quantity, **params):
        rows = instances.info(name).known
        return next(k.value for k in rows if k.quantity == quantity and dict(k.params) == params)

    assert known("puterman-two-state", "V") == (F(-60, 7), F(-20))
    assert known("frozenlake", "V(0)") == F(868292016472811700, 1601938145778704383)
    assert known("howard-taxicab", "gain") == F(1588, 119)
    assert known("howard-taxicab", "relative value") == (F(-20, 17), F(1506, 119), 0)
    assert known("riverswim", "gain") == F(7203, 16805)
    assert known("gridworld-4-1", "V of the uniform policy")[5:7] == (-18, -20)
    # Decimals of a float recomputation: the first is right to ten places.
    assert f"{float(known('riverswim', 'V(0)')):.10f}" == "37.8547011401"
    assert f"{float(known('riverswim', 'V(0)', gamma='9/10')):.10f}" == "1.3044777421"
    assert [f"{float(x):.1f}" for x in known("howard-taxicab", "V")] == ["121.7", "135.3", "122.8"]


def test_jack_s_model_is_the_one_of_the_hand_written_laws():
    mdp = instances.make("jack-car-rental")
    V = jack_by_hand()
    Q = mdp.r + 0.9 * (mdp.P @ V)
    assert np.max(np.abs(np.maximum.reduceat(Q, mdp.pair_ptr[:-1]) - V)) < 1e-9
    assert not mdp.is_exact
    assert mdp.rho[220] == 1
    assert mdp.state_names[220] == (10, 10)


# -------------------------------------------------------------------------------------------------- the models


@pytest.mark.parametrize("name", instances.names())
def test_every_instance_is_complete(name):
    info = instances.info(name)
    mdp = instances.make(name, **info.example)
    assert mdp == instances.make(name, **info.example)
    assert mdp.criterion is not None
    assert mdp.rho is not None
    assert mdp.is_exact == (not name.startswith("jack-car-rental"))
    assert mdp.rewards or isinstance(mdp.criterion, Reachability)
    assert info.source
    assert 20 < len(info.summary) < 125
    assert json.loads(json.dumps(info.as_dict()))["name"] == name
    if isinstance(mdp.criterion, Discounted):
        assert any(p.name == "gamma" for p in info.parameters)


def test_default_criteria():
    assert instances.make("puterman-inventory").criterion == FiniteHorizon(3)
    assert instances.make("leaving").criterion == TotalReward()
    assert instances.make("riverswim").criterion == Discounted("99/100")
    assert instances.make("free-loop", semantics="total").criterion == TotalReward()
    assert instances.make("free-loop").criterion == TotalReward(target="target")
    assert instances.make("howard-taxicab").under(AverageReward()).is_exact


@pytest.mark.parametrize("map_name", ["4x4", "8x8"])
@pytest.mark.parametrize("slippery", [True, False])
def test_frozenlake_is_gymnasium_s(map_name, slippery):
    gymnasium = pytest.importorskip("gymnasium")
    env = gymnasium.make("FrozenLake-v1", map_name=map_name, is_slippery=slippery).unwrapped
    mdp = instances.make("frozenlake", map_name=map_name, is_slippery=slippery)
    reward, P = mdp.rewards["r"], mdp.P
    assert mdp.n_states == env.observation_space.n
    for s, rows in env.P.items():
        for a, outcomes in rows.items():
            want, paid = Counter(), {}
            for p, t, r, _ in outcomes:
                want[int(t)] += rationalize(p)
                paid[int(t)] = r
            k = mdp.pair(s, a)
            entries = slice(P.indptr[k], P.indptr[k + 1])
            got = dict(zip(P.indices[entries].tolist(), P.exact[entries], strict=True))
            assert got == dict(want)
            assert dict(zip(got, reward.transition[entries], strict=True)) == paid


def test_haddad_monmege_fools_stopped_value_iteration():
    for n, said in ((15, "0.45086"), (20, "9.5e-07")):
        mdp = instances.make("haddad-monmege", n=n)
        V = mdp.states_of("target").astype(float)
        while True:
            new = mdp.P @ V
            if np.max(np.abs(new - V)[V < 1]) <= 1e-6:
                break
            V = new
        assert said in (f"{new[0]:.5f}", f"{new[0]:.1e}")


def test_riverswim_variants_pay_differently():
    paid = {
        v: instances.make("riverswim", variant=v).rewards["r"].exact for v in ("strehl-littman", "strehl-littman-self")
    }
    assert [str(x) for x in paid["strehl-littman"]] == ["5", *["0"] * 9, "10000", "10000"]
    assert [str(x) for x in paid["strehl-littman-self"]] == ["5", *["0"] * 10, "3000"]
    two = table(instances.make("riverswim", n_states=2))
    assert two[0][1] == (F(0), {0: F(2, 5), 1: F(3, 5)})
    assert two[1][0] == (F(0), {0: F(1)})
    middle = table(instances.make("riverswim"))[2]
    assert middle[1] == (F(0), {1: F(1, 20), 2: F(3, 5), 3: F(7, 20)})


def test_forest_of_five_classes():
    T = table(instances.make("forest", S=5, p="1/4"))
    assert T[4] == {0: (F(4), {0: F(1, 4), 4: F(3, 4)}), 1: (F(2), {0: F(1)})}
    assert T[0] == {0: (F(0), {0: F(1, 4), 1: F(3, 4)}), 1: (F(0), {0: F(1)})}
    assert [T[s][1][0] for s in range(5)] == [0, 1, 1, 1, 2]


def test_gambler_counts_and_degenerate_odds():
    mdp = instances.make("gambler", goal=7)
    assert np.diff(mdp.pair_ptr).tolist() == [1, 2, 3, 4, 4, 3, 2, 1]
    assert mdp.rho[3] == 1
    assert table(mdp)[3][2] == (F(0), {5: F(2, 5), 1: F(3, 5)})
    assert table(mdp)[4][3] == (F(2, 5), {7: F(2, 5), 1: F(3, 5)})
    sure = table(instances.make("gambler", goal=7, p=1))
    assert sure[4][3] == (F(1), {7: F(1)})


def test_combination_lock_and_chain():
    lock = instances.make("combination-lock", n_states=4, n_actions=3, gamma="1/2")
    assert discounted(table(lock), F(1, 2)) == [F(1, 4), F(1, 2), F(1), F(2)]
    T = table(instances.make("chain", n_states=3))
    assert T[0][0] == (F(2, 5), {0: F(1, 5), 1: F(4, 5)})
    assert T[2][0] == (F(8) + F(2, 5), {0: F(1, 5), 2: F(4, 5)})
    assert T[2][1] == (F(8, 5) + F(2), {0: F(4, 5), 2: F(1, 5)})


# -------------------------------------------------------------------------------------------------- gridworlds


def test_gridworld_from_text():
    mdp = instances.make("gridworld?map=S.%23/FHG&slip=1/2&gamma=1/2")
    assert mdp.state_names == ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2))
    T = table(mdp)
    # right from the start: 1/2 right, 1/4 up against the edge, 1/4 down
    assert T[0][2] == (F(-1), {1: F(1, 2), 0: F(1, 4), 2: F(1, 4)})
    # right from (0, 1): a wall to the right, the trap below, the edge above
    assert T[1][2] == (F(3, 4) * -1 + F(1, 4) * -10, {1: F(3, 4), 3: F(1, 4)})
    assert all(T[s][a] == (F(0), {s: F(1)}) for s in (3, 4) for a in range(4))
    assert np.flatnonzero(mdp.labels["goal"]).tolist() == [4]
    assert np.flatnonzero(mdp.labels["trap"]).tolist() == [3]


def test_gridworld_corridor_closed_form():
    V = discounted(table(instances.make("gridworld", map="SFG", slip=0, gamma="9/10")), F(9, 10))
    assert [F(-1) + F(9, 10) * 10, F(10), F(0)] == V


def test_gridworld_starts_and_sizes():
    mdp = instances.make("gridworld", map="SSG")
    assert mdp.rho_exact.tolist() == [F(1, 2), F(1, 2), 0]
    room = instances.make("gridworld", map="5x7")
    assert room.n_states == 35
    assert room.rho[0] == 1
    assert np.flatnonzero(room.labels["goal"]).tolist() == [34]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SF/F", ["row 1", "2 letters"]),
        ("SF/FX", ["row 1, column 1", "'X'"]),
        ("##", ["no cell"]),
        ("", ["row 0"]),
        ("1x1", ["out of range"]),
        ("GF", ["no start", "a cell S"]),
    ],
)
def test_gridworld_refuses(text, words):
    with pytest.raises(OptionError) as caught:
        instances.make("gridworld", map=text)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(("width", "height"), [(7, 5), (1, 6), (6, 1), (2, 1)])
def test_maze_is_a_spanning_tree(width, height):
    mdp = instances.make("maze", width=width, height=height, seed=3)
    T, S = table(mdp), width * height
    moves = {(s, t, a) for s in T for a, (_, law) in T[s].items() for t in law}
    assert (S - 1, S - 1, 0) in moves
    passages = {frozenset((s, t)) for s, t, _ in moves if s != t}
    assert len(passages) == S - 1
    step = {0: -1, 1: width, 2: 1, 3: -width}
    assert all(t - s == step[a] for s, t, a in moves if width > 1 and s != t)
    assert all((a in (1, 3)) for s, t, a in moves if width == 1 and s != t)
    assert all(abs(s % width - t % width) + abs(s // width - t // width) == 1 for s, t, _ in moves if s != t)
    assert len(distances(T, [S - 1])) == S
    assert all(r == (s != S - 1) for s in T for r, _ in T[s].values())
    assert mdp.minimize
    back = {(t, s) for s, t, _ in moves if s != S - 1}
    assert all((s, t) in back for s, t, _ in moves if t != S - 1)


# -------------------------------------------------------------------------------------------------- generators


def test_seeds():
    for text in (
        "garnet?S=9&A=2&branching=4",
        "random-sparse?S=9&A=2",
        "random-dense?S=9&A=2",
        "maze?width=5&height=5",
    ):
        one, same, other = (instances.make(text, seed=seed) for seed in (1, 1, 2))
        assert one.digest == same.digest
        assert one.digest != other.digest


@pytest.mark.parametrize(("S", "branching"), [(1, 1), (9, 1), (9, 4), (9, 9), (100, 80)])
@pytest.mark.parametrize("exact", [True, False])
def test_garnet(S, branching, exact):
    mdp = instances.make("garnet", S=S, A=3, branching=branching, exact=exact)
    assert np.all(np.diff(mdp.P.indptr) == branching)
    assert mdp.is_exact is exact
    rows = mdp.P.indices.reshape(-1, branching)
    assert np.all(np.diff(rows.astype(np.int64), axis=1) > 0)
    assert np.all(mdp.P.data > 0)
    assert np.all(mdp.P.csr.sum(axis=1) == 1) or exact  # on the binary grid sums are exact in floats too
    if exact:
        assert all(sum(mdp.P.exact[k * branching : (k + 1) * branching]) == 1 for k in range(3 * S))
    assert mdp.r.min() >= 0
    assert mdp.r.max() <= 1


def test_subsets_are_uniform():
    rng = np.random.default_rng(0)
    draws = 60_000
    count = Counter(map(tuple, subsets(rng, 5, 3, draws).tolist()))
    assert set(count) == set(combinations(range(5), 3))
    assert all(abs(c - draws / 10) < 5 * math.sqrt(draws * 0.09) for c in count.values())
    many = subsets(rng, 90, 70, 500)
    assert np.all(np.diff(many, axis=1) > 0)
    assert many.min() == 0
    assert many.max() == 89
    share = np.bincount(many.ravel(), minlength=90) / 500
    assert np.all(np.abs(share - 70 / 90) < 5 * math.sqrt(70 / 90 * 20 / 90 / 500))


def test_spacings_sum_and_mean():
    parts = spacings(np.random.default_rng(0), 4, 10_000, 20_000)
    assert np.all(parts >= 1)
    assert np.all(parts.sum(axis=1) == 10_000)
    deviation = math.sqrt(3 / 80) * 10_000 / math.sqrt(20_000)  # of a Beta(1, 3) mean
    assert np.all(np.abs(parts.mean(axis=0) - 2500) < 5 * deviation)


def test_random_models():
    sparse = instances.make("random-sparse", S=50, A=3, successors=5)
    width = np.diff(sparse.P.indptr)
    assert width.min() >= 1
    assert width.max() <= 9
    assert len(set(width.tolist())) > 5
    table(sparse)
    dense = instances.make("random-dense", S=7, A=2)
    assert dense.n_transitions == 98
    table(dense)
    floats = instances.make("random-dense", S=7, A=2, exact=False)
    assert np.array_equal(floats.P.toarray(), dense.P.toarray())
    assert np.array_equal(floats.r, dense.r)
    assert not floats.is_exact


@pytest.mark.parametrize(
    "text",
    [
        "garnet?S=1000000000&A=4&branching=5",
        "random-dense?S=1000000&A=2",
        "random-sparse?S=1000000000&A=2",
        "gridworld?map=1000000x1000000",
        "maze?width=1000000&height=1000000",
        "gambler?goal=100000000",
        "jack-car-rental?capacity=3000",
        "riverswim?n_states=1000000000000",
        "forest?S=1000000000000",
    ],
)
def test_size_is_checked_before_anything_is_allocated(text):
    with pytest.raises(SizeError, match=r"would need about [\d,.]+ GiB"):
        instances.make(text)


# ---------------------------------------------------------------------------------------------- names and text


def test_parse():
    assert instances.parse("riverswim") == ("riverswim", {})
    assert instances.parse("riverswim?") == ("riverswim", {})
    assert instances.parse("riverswim?variant=ucrl2&n_states=8") == ("riverswim", {"variant": "ucrl2", "n_states": "8"})
    assert instances.parse("instance:forest?p=1%2F10") == ("forest", {"p": "1/10"})
    assert instances.parse("gridworld?map=S%23/%47+&x=%C3%A9=%26") == ("gridworld", {"map": "S#/G+", "x": "é=&"})


@pytest.mark.parametrize(
    "text",
    ["", "?S=3", "forest?S", "forest?=3", "forest?S=3&", "forest?S=3&S=4", "forest?S=%3", "forest?S=%zz", "f%FF?S=3"],
)
def test_parse_refuses(text):
    with pytest.raises(OptionError):
        instances.parse(text)


def test_text_and_numbers_make_the_same_model():
    one = instances.make("forest?S=4&p=0.1&gamma=0.95&r1=4")
    assert one == instances.make("forest", S=4, p=F(1, 10), gamma="19/20", r1=4)
    assert one == instances.make("forest", S=np.int64(4), p=0.1, gamma=0.95, r1=4.0)
    assert one.is_exact
    assert one.criterion.exact == F(19, 20)
    third = instances.make("forest", p=1 / 3).P.exact
    assert F(1, 3) in third.tolist()
    assert instances.make("frozenlake?is_slippery=No") == instances.make("frozenlake", is_slippery=False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("riverswin", ["unknown instance 'riverswin'", "'riverswim'"]),
        ("riverswim?varient=ucrl2", ["no parameter 'varient'", "'variant'"]),
        ("riverswim?variant=ucrl3", ["none of the choices", "'ucrl3'", "'ucrl2'", "strehl-littman-self"]),
        ("riverswim?n_states=six", ["'n_states'", "'riverswim'", "no integer", "'six'", "needed: an integer"]),
        ("riverswim?n_states=6.0", ["no integer", "'6.0'"]),
        ("riverswim?n_states=1", ["'n_states'", "out of range", "2 <= n_states"]),
        ("riverswim?gamma=1", ["gamma", "outside [0, 1)"]),
        ("riverswim?gamma=nan", ["'gamma'", "no number", "'nan'"]),
        ("forest?p=3/2", ["'p'", "out of range", "0 <= p <= 1"]),
        ("forest?p=1/0", ["'p'", "no number"]),
        ("frozenlake?is_slippery=maybe", ["no boolean", "'maybe'", "true or false"]),
        ("garnet?S=8&A=3", ["'garnet'", "'branching'", "integer", "branching=…"]),
        ("garnet?S=8&A=3&branching=9", ["'branching'", "1 <= branching <= 8"]),
        ("garnet?S=8&A=3&branching=0", ["'branching'", "found: 0"]),
        ("garnet?S=8&A=3&branching=2&seed=-1", ["'seed'", "0 <= seed"]),
        ("haddad-monmege", ["needs a value", "'n'"]),
        ("leaving?stay=2", ["'stay'", "out of range"]),
    ],
)
def test_errors_name_the_parameter(text, words):
    with pytest.raises(OptionError) as caught:
        instances.make(text)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("riverswim", {"n_states": 6.0}),
        ("riverswim", {"n_states": True}),
        ("riverswim", {"variant": 1}),
        ("riverswim", {"gamma": None}),
        ("riverswim", {"gamma": True}),
        ("riverswim", {"gamma": float("inf")}),
        ("frozenlake", {"is_slippery": 2}),
        ("gridworld", {"map": ["SG"]}),
    ],
)
def test_wrong_types(name, params):
    with pytest.raises(OptionError, match=r"parameter .* found: .* needed: "):
        instances.make(name, **params)


def test_a_parameter_is_not_given_twice():
    with pytest.raises(OptionError, match="twice"):
        instances.make("forest?S=3", S=4)


def test_two_instances_of_one_name_are_refused():
    with pytest.raises(OptionError, match="two instances"):
        instances.instance("forest", source="")(lambda: None)


def test_info():
    info = instances.info("riverswim")
    by_name = {p.name: p for p in info.parameters}
    assert by_name["variant"].choices == ("ucrl2", "strehl-littman", "strehl-littman-self")
    assert by_name["n_states"].default == 6
    assert by_name["gamma"].type == "number"
    assert not by_name["gamma"].required
    assert instances.info("garnet").parameters[0].required
    assert info.as_dict()["known"][2]["value"] == "7203/16805"
    with pytest.raises(OptionError, match="did you mean 'gambler'"):
        instances.info("gamblr")


def test_instances_import_no_solver():
    code = "import sys, mdpkit.instances as i; i.make('riverswim'); print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not [m for m in loaded if m.startswith(("mdpkit.solvers", "numba", "gymnasium"))]
