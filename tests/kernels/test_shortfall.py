"""The error bound of the shortfall kernel against exact rationals, down to underflow."""

from fractions import Fraction

import numpy as np
import pytest

from mdpkit.kernels import fast


def run(ptr, indptr, indices, data, r, gamma, V, mass=0.0):
    D, E = np.empty(len(r)), np.empty(len(r))
    zeros = np.zeros(len(r))
    fast.shortfall(
        np.array(ptr), np.array(indptr), np.array(indices, dtype=np.uint32), np.array(data), np.array(r), zeros,
        np.array(gamma), zeros + mass, np.array(V), D, E,
    )  # fmt: skip
    return D, E


def exact(s, columns, data, r, gamma, V):
    """V(s) - r - gamma sum p V, with the mass that the row lacks put on the loop at s."""
    v = Fraction(V[s])
    flow = sum(Fraction(p) * (v - Fraction(V[j])) for p, j in zip(data, columns, strict=True))
    return (1 - Fraction(gamma)) * v + Fraction(gamma) * flow - Fraction(r)


@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e-290, 1e-320])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.999, 1.0])
def test_bound_covers_the_rounding(scale, gamma):
    rng = np.random.default_rng(7)
    for _ in range(60):
        n = int(rng.integers(1, 12))
        V = rng.normal(size=12) * scale * 10.0 ** rng.integers(-8, 9, size=12)
        columns = rng.permutation(12)[:n]
        data = rng.dirichlet(np.ones(n)) * 10.0 ** -rng.integers(0, 200, size=n)
        r = float(rng.normal() * scale)
        D, E = run([0, 1] + [1] * 11, [0, n], columns, data, [r], [gamma], V)
        truth = exact(0, columns, data, r, gamma, V)
        assert abs(Fraction(float(D[0])) - truth) <= Fraction(float(E[0]))


def test_products_that_underflow_leave_a_bound():
    D, E = run([0, 1, 2], [0, 1, 2], [1, 1], [1e-200, 1.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1e-200])
    assert D[0] == 0
    assert E[0] > 0
    D, E = run([0, 1], [0, 1], [0], [1.0], [0.0], [0.5], [5e-324])
    assert E[0] > 0


def test_rows_of_equal_values_are_exactly_tight():
    D, E = run([0, 1, 2], [0, 2, 3], [0, 1, 1], [0.5, 0.5, 1.0], [0.0, 0.0], [1.0, 1.0], [0.7, 0.7])
    assert D.tolist() == [0.0, 0.0]
    assert E.tolist() == [0.0, 0.0]
