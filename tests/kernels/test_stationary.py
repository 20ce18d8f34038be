"""Markov chains as arrays: stationary laws, gain and bias, limiting and deviation matrices, hitting and mixing times."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import oracle
import pytest

from mdpkit.errors import ModelError
from mdpkit.kernels import stationary as st

F = Fraction


def compressed(rows: list[dict[int, Any]], exact: bool = True) -> tuple[Any, Any, Any]:
    """Compressed rows of a chain in the oracle's form."""
    indptr = np.cumsum([0, *map(len, rows)])
    indices = np.array([t for row in rows for t in row])
    data = np.array([p for row in rows for p in row.values()], dtype=object)
    return indptr, indices, data if exact else data.astype(float)


def birth_death(up: list[Any], down: list[Any]) -> list[dict[int, Any]]:
    """States 0, …, n; ``up[k]`` leads from k to k + 1, ``down[k]`` from k + 1 to k."""
    n = len(up)
    rows = []
    for k in range(n + 1):
        row = {}
        if k:
            row[k - 1] = down[k - 1]
        if k < n:
            row[k + 1] = up[k]
        stay = 1 - sum(row.values())
        rows.append(row | ({k: stay} if stay else {}))
    return rows


def irreducible(rng: np.random.Generator, n: int) -> list[dict[int, Any]]:
    rows = []
    for s in range(n):
        weights = {(s + 1) % n: int(rng.integers(1, 5))}
        for t in rng.integers(0, n, size=2).tolist():
            weights[t] = int(rng.integers(1, 9))
        total = sum(weights.values())
        rows.append({t: F(w, total) for t, w in weights.items()})
    return rows


def test_land_of_oz():
    # Kemeny & Snell, Finite Markov Chains (1960): rain, nice, snow
    rows = [{0: F(1, 2), 1: F(1, 4), 2: F(1, 4)}, {0: F(1, 2), 2: F(1, 2)}, {0: F(1, 4), 1: F(1, 4), 2: F(1, 2)}]
    assert st.stationary_law(*compressed(rows)).tolist() == [F(2, 5), F(1, 5), F(2, 5)]
    np.testing.assert_allclose(st.stationary_law(*compressed(rows, False)), [0.4, 0.2, 0.4], rtol=1e-15)


@pytest.mark.parametrize("seed", range(20))
def test_law_of_the_oracle(seed):
    rng = np.random.default_rng(seed)
    rows = irreducible(rng, int(rng.integers(1, 9)))
    law = oracle.stationary(rows, range(len(rows)))
    assert st.stationary_law(*compressed(rows)).tolist() == law
    np.testing.assert_allclose(st.stationary_law(*compressed(rows, False)), np.array(law, dtype=float), rtol=1e-14)


@pytest.mark.parametrize(("n", "accuracy"), [(300, 1e-13), (2000, 1e-10)])
def test_small_probabilities_are_relatively_accurate(n, accuracy):
    # detailed balance: each state is 3/2 times as likely as the one before it, over hundreds of decades
    rows = birth_death([0.375] * n, [0.25] * n)
    law = st.stationary_law(*compressed(rows, False))
    expected = np.array([float(F(2, 3) ** (n - k) / 3 / (1 - F(2, 3) ** (n + 1))) for k in range(n + 1)])
    seen = expected > 1e-300
    np.testing.assert_allclose(law[seen], expected[seen], rtol=accuracy)


def test_periodic_and_large():
    # Ehrenfest's urn has period 2 and the binomial law (Kemeny & Snell 1960, sec. 7.3, recalled)
    for balls, accuracy in ((10, 1e-14), (900, 1e-10)):
        rows = birth_death([(balls - k) / balls for k in range(balls)], [(k + 1) / balls for k in range(balls)])
        law = st.stationary_law(*compressed(rows, False))
        term = [F(1)]
        for k in range(balls):
            term.append(term[-1] * (balls - k) / (k + 1))
        expected = np.array([float(x / 2**balls) for x in term])
        np.testing.assert_allclose(law, expected, rtol=accuracy)


def test_reducible_chain_is_refused():
    with pytest.raises(ModelError, match="not irreducible: state 0 and state 1 do not communicate"):
        st.stationary_law([0, 2, 3], [0, 1, 1], [0.5, 0.5, 1.0])
    with pytest.raises(ModelError, match="not irreducible: state 1 and state 0 do not communicate"):
        st.stationary_law([0, 1, 2], [0, 1], np.array([F(1), F(1)], dtype=object))


def multichain(rng: np.random.Generator, n: int) -> list[dict[int, Any]]:
    """Blocks of random sizes, some of them left for others, with deterministic cycles among them."""
    cuts = [0, *sorted(set(rng.integers(1, n, size=max(1, n // 4)).tolist())), n]
    rows: list[dict[int, Any]] = []
    for low, high in pairwise(cuts):
        block = (
            irreducible(rng, high - low)
            if rng.random() < 0.7
            else [{(s + 1) % (high - low): F(1)} for s in range(high - low)]
        )
        leaves = rng.random() < 0.5
        for row in block:
            row = {low + t: p for t, p in row.items()}
            if leaves and rng.random() < 0.5:
                t = int(rng.integers(n))
                row = {s: p * F(2, 3) for s, p in row.items()}
                row[t] = row.get(t, F(0)) + F(1, 3)
            rows.append(row)
    return rows


def gain_and_bias(rows: list[dict[int, Any]], r: list[Any]) -> tuple[list[Any], list[Any]]:
    """By the oracle: gains and biases of the recurrent classes, then of the others."""
    inside = {s: members for members in oracle.recurrent_classes(rows) for s in members}
    gain, bias = [F(0)] * len(rows), [F(0)] * len(rows)
    for members in set(inside.values()):
        order = sorted(members)
        law = oracle.stationary(rows, order)
        g = sum(x * r[s] for x, s in zip(law, order, strict=True))
        A = [[(s == t) - rows[s].get(t, F(0)) + law[j] for j, t in enumerate(order)] for s in order]
        for s, h in zip(order, oracle.linear(A, [r[s] - g for s in order]), strict=True):
            gain[s], bias[s] = g, h
    out = [s for s in range(len(rows)) if s not in inside]
    for s, g in oracle.solve_on(
        rows, out, [sum(p * gain[t] for t, p in row.items() if t in inside) for row in rows]
    ).items():
        gain[s] = g
    flow = [r[s] - gain[s] + sum(p * bias[t] for t, p in row.items() if t in inside) for s, row in enumerate(rows)]
    for s, h in oracle.solve_on(rows, out, flow).items():
        bias[s] = h
    return gain, bias


@pytest.mark.parametrize("seed", range(40))
def test_gain_and_bias_of_the_oracle(seed):
    rng = np.random.default_rng(seed)
    rows = multichain(rng, int(rng.integers(2, 14)))
    r = np.array([F(int(x)) for x in rng.integers(-5, 6, size=len(rows))], dtype=object)
    gain, bias = gain_and_bias(rows, r.tolist())
    g, h, label = st.gain_and_bias(*compressed(rows), r)
    assert g.tolist() == gain and h.tolist() == bias
    assert [set(np.flatnonzero(label == c)) for c in range(label.max() + 1)] == sorted(
        map(set, oracle.recurrent_classes(rows)), key=min
    )
    f, b, label = st.gain_and_bias(*compressed(rows, False), r.astype(float))
    np.testing.assert_allclose(f, np.array(gain, dtype=float), atol=1e-13)
    np.testing.assert_allclose(b, np.array(bias, dtype=float), atol=1e-12)
    assert all(len(set(f[label == c])) == 1 for c in range(label.max() + 1))
    two = st.gain_and_bias(*compressed(rows, False), np.stack([r, r], axis=1).astype(float))[1]
    np.testing.assert_allclose(two, np.stack([b, b], axis=1), atol=1e-13)


def stack(*blocks: Any) -> Any:
    sparse = pytest.importorskip("scipy.sparse")
    return sparse.csr_array(sparse.block_diag(blocks))


def grid(m: int, rng: np.random.Generator, absorbing: list[int]) -> Any:
    """A random walk on an m by m grid that stays at the border; some states are absorbing."""
    sparse = pytest.importorskip("scipy.sparse")
    s = np.arange(m * m)
    row, column = divmod(s, m)
    to = [np.clip(row + a, 0, m - 1) * m + np.clip(column + b, 0, m - 1) for a, b in ((0, 1), (1, 0), (0, -1), (-1, 0))]
    weight = rng.integers(1, 9, size=(4, m * m)).astype(float)
    weight /= weight.sum(axis=0)
    target = np.stack(to)
    target[:, absorbing] = absorbing
    return sparse.csr_array((weight.ravel(), (np.tile(s, 4), target.ravel())), shape=(m * m, m * m))


def expander(n: int, rng: np.random.Generator, absorbing: list[int]) -> Any:
    sparse = pytest.importorskip("scipy.sparse")
    target = rng.integers(0, n, size=(4, n))
    target[:, absorbing] = absorbing
    return sparse.csr_array((np.full(4 * n, 0.25), (np.tile(np.arange(n), 4), target.ravel())), shape=(n, n))


@pytest.mark.parametrize("kind", ["grid", "expander", "absorbed grid", "absorbed expander", "rings", "many"])
def test_large_chains(kind):
    rng = np.random.default_rng(3)
    sparse = pytest.importorskip("scipy.sparse")
    few = rng.choice(900, size=9, replace=False).tolist() if "absorbed" in kind else []
    if kind == "rings":  # periods of 450 and 3
        P = stack(sparse.eye_array(450, k=1) + sparse.eye_array(450, k=-449), *[np.roll(np.eye(3), 1, axis=1)] * 200)
    elif kind == "many":
        P = stack(grid(21, rng, []), expander(500, rng, []), grid(25, rng, [3, 77]), np.eye(20))
    else:
        P = grid(30, rng, few) if "grid" in kind else expander(900, rng, few)
    P.sum_duplicates()
    n = P.shape[0]
    r = rng.normal(size=n)
    gain, bias, label = st.gain_and_bias(P.indptr, P.indices, P.data, r)
    law, _, count = st.stationary_laws(P.indptr, P.indices, P.data)
    size = np.abs(bias).max()
    assert count == label.max() + 1 and np.allclose(np.bincount(label[label >= 0], law[label >= 0]), 1, atol=1e-14)
    np.testing.assert_allclose(law @ P, law, atol=1e-15)
    np.testing.assert_allclose(P @ gain, gain, atol=1e-14)
    np.testing.assert_allclose(r - gain + P @ bias, bias, atol=1e-14 * size)
    inside = label >= 0
    np.testing.assert_allclose(np.bincount(label[inside], (law * bias)[inside]), 0, atol=1e-14 * size)
    assert all(len(set(gain[label == c])) == 1 for c in range(count))
    if kind == "rings":
        assert np.ptp(law[:450]) <= 1e-15 and count == 201


def test_chains_with_a_bottleneck_are_not_averaged_blindly():
    # Two wells, each of which settles long before they balance: from one into the other lead 200 unlikely steps.
    up = [0.25] * 200 + [0.125] * 200 + [0.25] * 200 + [0.125] * 200
    down = [0.125] * 200 + [0.25] * 200 + [0.125] * 200 + [0.1875] + [0.25] * 199
    law = st.stationary_law(*compressed(birth_death(up, down), False))
    log = np.concatenate(([0.0], np.cumsum(np.log(up) - np.log(down))))
    np.testing.assert_allclose(law, np.exp(log - log.max()) / np.exp(log - log.max()).sum(), rtol=1e-11)


def test_passages_too_slow_for_floats_are_refused(monkeypatch):
    rows = birth_death([0.25] * 300 + [0.125] * 300, [0.125] * 300 + [0.25] * 300)
    double = birth_death([0.125] * 300 + [0.25] * 300, [0.25] * 300 + [0.125] * 300)
    assert st.stationary_law(*compressed(rows, False)).argmax() == 300
    monkeypatch.setattr(st, "ELIMINATED_AT_NEED", 500)
    assert st.stationary_law(*compressed(rows, False)).argmax() == 300
    with pytest.raises(ModelError, match="too rarely for floats"):
        st.stationary_law(*compressed(double, False))


@pytest.mark.parametrize("seed", range(25))
def test_identities_of_the_limiting_and_deviation_matrices(seed):
    rng = np.random.default_rng(100 + seed)
    rows = multichain(rng, int(rng.integers(2, 10)))
    n = len(rows)
    chain, floats = compressed(rows), compressed(rows, False)
    P = np.array([[row.get(t, F(0)) for t in range(n)] for row in rows], dtype=object)
    eye = np.array([[F(int(s == t)) for t in range(n)] for s in range(n)], dtype=object)
    limit, H = st.limiting_matrix(*chain), st.deviation_matrix(*chain)
    for product in (P.dot(limit), limit.dot(P), limit.dot(limit)):
        assert (product == limit).all()
    assert (limit.sum(axis=1) == 1).all()
    assert not limit.dot(H).any() and not H.dot(limit).any()
    assert ((eye - P).dot(H) == eye - limit).all()
    # the definition, (I - P + P*) H = I - P*, whose matrix is invertible
    assert ((eye - P + limit).dot(H) == eye - limit).all()
    np.testing.assert_allclose(st.limiting_matrix(*floats), limit.astype(float), atol=1e-13)
    np.testing.assert_allclose(st.deviation_matrix(*floats), H.astype(float), atol=1e-11)
    # the mean of many powers, which the periods do not spoil
    power, mean = np.eye(n), np.zeros((n, n))
    for _ in range(840):
        mean += power / 840
        power = power @ P.astype(float)
    np.testing.assert_allclose(mean, limit.astype(float), atol=np.abs(H.astype(float)).max() * 2 / 840 + 1e-12)


@pytest.mark.parametrize("seed", range(25))
def test_hitting_and_absorption_of_the_oracle(seed):
    rng = np.random.default_rng(200 + seed)
    rows = multichain(rng, int(rng.integers(2, 14)))
    n = len(rows)
    chain, floats = compressed(rows), compressed(rows, False)
    target = np.zeros(n, dtype=bool)
    target[rng.integers(0, n, size=2)] = True
    goal = set(np.flatnonzero(target).tolist())
    probability = oracle.hitting(rows, goal)
    assert st.hitting_probabilities(*chain, target).tolist() == probability
    np.testing.assert_allclose(
        st.hitting_probabilities(*floats, target), np.array(probability, dtype=float), atol=1e-14
    )
    sure = [s for s in range(n) if probability[s] == 1 and s not in goal]
    steps = oracle.solve_on(rows, sure, [F(1)] * n)
    expected = [F(0) if s in goal else steps.get(s, float("inf")) for s in range(n)]
    assert st.hitting_times(*chain, target).tolist() == expected
    np.testing.assert_allclose(st.hitting_times(*floats, target), np.array(expected, dtype=float), rtol=1e-12)
    into, label = st.absorption(*chain)
    for c in range(label.max() + 1):
        assert into[:, c].tolist() == oracle.hitting(rows, set(np.flatnonzero(label == c).tolist()))
    np.testing.assert_allclose(st.absorption(*floats)[0], into.astype(float), atol=1e-14)


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("eps", ["1/4", "1/100"])
def test_mixing_time_by_powers(seed, eps):
    rng = np.random.default_rng(300 + seed)
    rows = irreducible(rng, int(rng.integers(2, 7)))
    if oracle.period(rows, frozenset(range(len(rows)))) > 1:
        rows = [{t: p / 2 for t, p in row.items()} for row in rows]
        for s, row in enumerate(rows):
            row[s] = row.get(s, F(0)) + F(1, 2)
    n = len(rows)
    P = np.array([[row.get(t, F(0)) for t in range(n)] for row in rows], dtype=object)
    law = np.array(oracle.stationary(rows, range(n)), dtype=object)
    power = np.array([[F(int(s == t)) for t in range(n)] for s in range(n)], dtype=object)
    t = 0
    while max(np.abs(power - law).sum(axis=1)) / 2 > F(eps):
        power, t = power.dot(P), t + 1
    assert st.mixing_time(*compressed(rows), eps) == t
    assert st.mixing_time(*compressed(rows, False), eps) == t


def test_ties_of_the_mixing_time_are_decided_exactly():
    # two states that swap with probability 1/4: d(t) = 2**-t / 2, so that eps = 2**-11 is met with equality at t = 10
    rows = [{0: F(3, 4), 1: F(1, 4)}, {0: F(1, 4), 1: F(3, 4)}]
    assert st.mixing_time(*compressed(rows), F(1, 2**11)) == 10
    assert st.mixing_time(*compressed(rows), F(1, 2**11) + F(1, 2**90)) == 10
    assert st.mixing_time(*compressed(rows), F(1, 2**11) - F(1, 2**90)) == 11
    third = [{0: F(2, 3), 1: F(1, 3)}, {0: F(1, 3), 1: F(2, 3)}]  # d(t) = 3**-t / 2, not a float
    for less, t in ((0, 7), (F(1, 3**40), 8)):
        assert st.mixing_time(*compressed(third), F(1, 2 * 3**7) - less) == t
