"""Markov chains as arrays: stationary laws, gain and bias, limiting and deviation matrices, hitting and mixing times."""

from __future__ import annotations

from fractions import Fraction
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
