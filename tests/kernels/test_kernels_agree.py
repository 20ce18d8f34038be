"""The fast kernels against their definition, and their error bounds against rationals."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdpkit.kernels import fast, reference
from mdpkit.models import Transitions

F = Fraction
run = settings(deadline=None, max_examples=150, derandomize=True, database=None)


def rows(rng: np.random.Generator, S: int, A: int, dyadic: bool) -> tuple[np.ndarray[Any, Any], Transitions]:
    """Pairs of S states and their random rows."""
    count = rng.integers(1, A + 1, size=S)
    pair_ptr = np.concatenate(([0], np.cumsum(count)))
    indptr, indices, data = [0], [], []
    for _ in range(pair_ptr[-1]):
        support = np.sort(rng.choice(S, size=int(rng.integers(1, S + 1)), replace=False))
        if dyadic:
            cuts = np.sort(rng.integers(0, 2**30 - len(support) + 1, size=len(support) - 1))
            weights = (np.diff(cuts, prepend=0, append=2**30 - len(support)) + 1) / 2**30
        else:
            weights = rng.random(len(support)) + 1e-3
            weights /= weights.sum()
        indices.extend(support)
        data.extend(weights)
        indptr.append(len(indices))
    return pair_ptr, Transitions(indptr, indices, data, S)


def values(rng: np.random.Generator, n: int, kind: str) -> np.ndarray[Any, Any]:
    """Adversarial numbers: of very different sizes, nearly equal, or cancelling."""
    x = rng.normal(size=n)
    if kind == "sizes":
        return x * 10.0 ** rng.integers(-120, 120, size=n)
    if kind == "tiny":
        return x * 10.0 ** rng.integers(-323, -290, size=n)
    if kind == "close":
        return 1e6 + np.round(x) * 2.0**-30
    if kind == "cancel":
        big = 10.0 ** float(rng.integers(0, 16))
        return np.where(np.arange(n) % 2 == 0, big, -big) + x
    if kind == "equal":
        return np.full(n, x[0])
    return np.round(x)


KINDS = st.sampled_from(["sizes", "tiny", "close", "cancel", "equal", "whole"])


def problem(seed: int, kind: str, r_kind: str, gamma: float, many: bool) -> Any:
    rng = np.random.default_rng(seed)
    S = 60 if many else int(rng.integers(1, 7))
    pair_ptr, P = rows(rng, S, 2 if many else 3, dyadic=True)
    L = P.n_rows
    return pair_ptr, P, values(rng, L, r_kind), np.full(L, gamma), values(rng, S, kind)


@run
@given(
    seed=st.integers(0, 2**32),
    kind=KINDS,
    r_kind=KINDS,
    gamma=st.sampled_from([0.0, 0.3, 0.95, 1 - 2**-30, 1.0]),
    many=st.booleans(),
)
def test_error_bounds_contain_the_rational_value(seed: int, kind: str, r_kind: str, gamma: float, many: bool) -> None:
    pair_ptr, P, r, g, V = problem(seed, kind, r_kind, gamma, many and seed % 10 == 0)
    L = P.n_rows
    zero = np.zeros(L)
    D, E, q, Eq = (np.empty(L) for _ in range(4))
    fast.shortfall(pair_ptr, P.indptr, P.indices, P.data, r, zero, g, zero, V, D, E)
    fast.action_values(P.indptr, P.indices, P.data, r, zero, g, V, q, Eq)
    state = np.repeat(np.arange(len(pair_ptr) - 1), np.diff(pair_ptr))
    for k in range(L):
        row = range(int(P.indptr[k]), int(P.indptr[k + 1]))
        flow = sum(F(P.data[e]) * F(V[P.indices[e]]) for e in row)
        exact = F(r[k]) + F(g[k]) * flow
        assert abs(F(q[k]) - exact) <= F(Eq[k])
        assert abs(F(D[k]) - (F(V[state[k]]) - exact)) <= F(E[k])


@run
@given(seed=st.integers(0, 2**32), kind=KINDS, r_kind=KINDS, gamma=st.sampled_from([0.3, 0.95, 1 - 2**-30]))
def test_error_bounds_cover_coefficients_two_units_away(seed: int, kind: str, r_kind: str, gamma: float) -> None:
    """The rational model is another one than the floats': every coefficient may be two units in the last place off."""
    pair_ptr, P, r, g, V = problem(seed, kind, r_kind, gamma, many=False)
    rng = np.random.default_rng(seed)
    L = P.n_rows
    D, E, q, Eq = (np.empty(L) for _ in range(4))
    error = 4 * 2.0**-53 * np.abs(r) + 5e-324
    mass = np.array([(int(n) + 2) * 2.0**-51 for n in np.diff(P.indptr)])
    fast.shortfall(pair_ptr, P.indptr, P.indices, P.data, r, error, g, mass, V, D, E)
    fast.action_values(P.indptr, P.indices, P.data, r, error, g, V, q, Eq)
    state = np.repeat(np.arange(len(pair_ptr) - 1), np.diff(pair_ptr))

    def moved(x: float) -> F:
        return F(x) * (1 + F(int(rng.choice([-1, 1])), 2**52))

    for k in range(L):
        row = range(int(P.indptr[k]), int(P.indptr[k + 1]))
        flow = sum(moved(P.data[e]) * F(V[P.indices[e]]) for e in row)
        exact = moved(r[k]) + moved(g[k]) * flow
        assert abs(F(q[k]) - exact) <= F(Eq[k])
        assert abs(F(D[k]) - (F(V[state[k]]) - exact)) <= F(E[k])


def test_long_rows() -> None:
    rng = np.random.default_rng(0)
    S = 20_000
    V = rng.normal(size=S) * 10.0 ** rng.integers(-8, 9, size=S)
    weights = rng.integers(1, 100, size=S)
    data = weights / 2.0 ** int(np.ceil(np.log2(weights.sum())))
    zero = np.zeros(1)
    q, E = np.empty(1), np.empty(1)
    fast.action_values(np.array([0, S]), np.arange(S, dtype=np.uint32), data, zero, zero, np.ones(1), V, q, E)
    exact = sum(F(p) * F(v) for p, v in zip(data, V, strict=True))
    assert abs(F(q[0]) - exact) <= F(E[0])
    assert E[0] <= 1e-14 * float(data @ np.abs(V))


def test_rows_of_equal_values_are_tight() -> None:
    """Zero-reward loops must not be blurred: V - PV is exactly zero where V is constant and there is no discount."""
    pair_ptr, P = rows(np.random.default_rng(1), 5, 3, dyadic=False)
    L = P.n_rows
    D, E, zero = np.empty(L), np.empty(L), np.zeros(L)
    fast.shortfall(pair_ptr, P.indptr, P.indices, P.data, zero, zero, np.ones(L), zero, np.full(5, 0.1), D, E)
    assert np.all(D == 0)
    assert np.all(E == 0)


@run
@given(seed=st.integers(0, 2**32), gamma=st.sampled_from([0.0, 0.5, 0.99, 1.0]))
def test_sweeps_agree_with_the_definition(seed: int, gamma: float) -> None:
    rng = np.random.default_rng(seed)
    S = int(rng.integers(1, 8))
    pair_ptr, P = rows(rng, S, 3, dyadic=True)
    L = P.n_rows
    # Whole numbers and powers of two: every order of summation gives the same floats.
    P = Transitions(P.indptr, P.indices, np.round(P.data * 2**8) / 2**8, S)
    r, V = rng.integers(-9, 10, size=L).astype(float), rng.integers(-9, 10, size=S).astype(float)
    g = np.full(L, gamma if gamma in (0.0, 0.5, 1.0) else 0.75)
    arrays = (pair_ptr, P.indptr, P.indices, P.data, r, g)
    out, choice = np.empty(S), np.empty(S, dtype=np.int64)
    low, high = fast.backup(*arrays, V, out, choice)
    value, greedy = reference.backup(P, r, g, V, pair_ptr)
    assert out.tolist() == value.tolist()
    assert choice.tolist() == greedy.tolist()
    assert (low, high) == (float((value - V).min()), float((value - V).max()))
    q = reference.q_values(P, r, g, V)
    other, chosen = np.empty(S), np.empty(S, dtype=np.int64)
    assert fast.best_of(pair_ptr, q, V, other, chosen) == (low, high)
    assert other.tolist() == value.tolist()
    assert chosen.tolist() == greedy.tolist()
    swept = V.copy()
    fast.policy_sweeps(greedy, P.indptr, P.indices, P.data, r, g, swept, np.empty(S), 2)
    once = r[greedy] + g[greedy] * (P @ V)[greedy]
    assert swept.tolist() == (r[greedy] + g[greedy] * (P @ once)[greedy]).tolist()
    seidel, by_hand = V.copy(), V.copy()
    fast.gauss_seidel(*arrays, seidel, choice)
    for s in range(S):
        by_hand[s] = max(r[k] + g[k] * (P.rows(k, k + 1) @ by_hand)[0] for k in range(pair_ptr[s], pair_ptr[s + 1]))
    assert seidel.tolist() == by_hand.tolist()


@run
@given(seed=st.integers(0, 2**32))
def test_the_definition_is_the_same_in_rationals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    S = int(rng.integers(1, 6))
    pair_ptr, P = rows(rng, S, 3, dyadic=True)
    exact = P.with_exact(np.array([F(x) for x in P.data], dtype=object))
    r = np.array([F(int(x), 7) for x in rng.integers(-9, 10, size=P.n_rows)], dtype=object)
    V = np.array([F(int(x), 3) for x in rng.integers(-9, 10, size=S)], dtype=object)
    g = np.full(P.n_rows, F(9, 10), dtype=object)
    value, greedy = reference.backup(exact, r, g, V, pair_ptr)
    state = np.repeat(np.arange(S), np.diff(pair_ptr))
    lack = reference.shortfall(exact, r, g, V, state)
    for s in range(S):
        best = None
        for k in range(pair_ptr[s], pair_ptr[s + 1]):
            row = range(int(P.indptr[k]), int(P.indptr[k + 1]))
            q = r[k] + g[k] * sum(F(P.data[e]) * V[P.indices[e]] for e in row)
            assert lack[k] == V[s] - q
            best = q if best is None or q > best else best
        assert value[s] == best
        assert greedy[s] in range(pair_ptr[s], pair_ptr[s + 1])


@pytest.mark.parametrize("margin", [0, 1])
def test_stable_greedy_leaves_only_for_more(margin: int) -> None:
    q, ptr = np.array([1.0, 2.0, 5.0, 5.0]), np.array([0, 2, 4])
    assert reference.greedy(q, ptr).tolist() == [1, 2]
    assert reference.greedy_stable(q, ptr, np.array([0, 3]), margin).tolist() == [0 if margin else 1, 3]
