"""Gram matrices that grow: against determinants and inverses by their definitions, and bounds where they are attained."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from math import log, prod

import numpy as np
import pytest

from mdpkit.errors import ModelError
from mdpkit.kernels import gram

F = Fraction


def rational(rows) -> np.ndarray:
    out = np.empty((len(rows), len(rows[0])), dtype=object)
    out[:] = [[F(x) for x in row] for row in rows]
    return out


def leibniz(A: np.ndarray) -> Fraction:
    """The sum over permutations."""
    n, total = len(A), F(0)
    for p in permutations(range(n)):
        inversions = sum(p[i] > p[j] for i in range(n) for j in range(i + 1, n))
        total += (-1) ** inversions * prod((A[i, p[i]] for i in range(n)), start=F(1))
    return total


@pytest.mark.parametrize(
    "rows",
    [
        [[0, 1], [1, 0]],  # one exchange of rows: the sign turns
        [[0, 2, 1], [1, 0, 3], [2, 1, 0]],
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],  # two exchanges
        [[1, 2], [2, 4]],
        [["1/2", "1/3", 1], [2, "-1/5", 0], [1, 1, "7/3"]],
    ],
)
def test_determinants(rows) -> None:
    A = rational(rows)
    assert gram.determinant(A) == leibniz(A)
    assert gram.determinant(A.astype(float)) == pytest.approx(float(leibniz(A)), abs=1e-12)


def test_rank_one_updates() -> None:
    A, x = rational([[2, "1/3"], ["1/3", 1]]), rational([["1/2", -2]])[0]
    inverse = rational([[1, "-1/3"], ["-1/3", 2]]) / gram.determinant(A)
    assert (A @ inverse).tolist() == [[1, 0], [0, 1]]
    after = A + np.outer(x, x)
    assert (after @ gram.sherman_morrison(inverse, x)).tolist() == [[1, 0], [0, 1]]
    assert gram.norms(inverse, x[None])[0] == x @ inverse @ x
    assert gram.growth(after, A) == 1 + gram.norms(inverse, x[None])[0]
    assert gram.growth(after.astype(float), A.astype(float)) == pytest.approx(float(gram.growth(after, A)), rel=1e-14)


def test_what_triggers() -> None:
    A = rational([[1, 0], [0, 1]])
    twice, more = A + rational([[1, 0], [0, 0]]), A + rational([["11/10", 0], [0, 0]])
    assert not gram.has_grown(twice, A, 2)  # by more than the factor
    assert gram.has_grown(more, A, 2)
    assert gram.has_grown(more.astype(float), A.astype(float), 2)
    assert gram.has_grown(A + F(1, 10**30) * A, A, F(101, 100)) is False
    # With the factor one each vector other than zero counts, however little the determinant grows in floats.
    tiny = np.eye(2)
    tiny[0, 1] = tiny[1, 0] = 1e-160
    assert gram.has_grown(tiny, np.eye(2), 1) and not gram.has_grown(np.eye(2), np.eye(2), 1)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_how_often_a_determinant_grows_at_most(d: int) -> None:
    """Vectors along the axes in turn have the largest determinant of all, so that the bound on its logarithm is attained."""
    lambda_, rounds = 0.5, 8
    Lambda = gram.start(d, lambda_)
    for k in range(rounds * d):
        Lambda = Lambda + np.outer(np.eye(d)[k % d], np.eye(d)[k % d])
    whole = np.linalg.slogdet(Lambda)[1] - d * log(lambda_)
    for factor in (1.5, 2.0):
        assert gram.most_growths(d, rounds * d, lambda_, factor) == pytest.approx(whole / log(factor), rel=1e-12)


def test_the_start_is_in_the_numbers_of_the_ridge() -> None:
    assert gram.start(2, F(1, 3)).tolist() == [[F(1, 3), 0], [0, F(1, 3)]]
    assert gram.start(2, 2).tolist() == [[2.0, 0.0], [0.0, 2.0]]


def test_least_squares_that_have_no_one_solution_are_refused() -> None:
    with pytest.raises(ModelError, match="no unique solution"):
        gram.least_squares(np.array([[1.0, 1.0], [2.0, 2.0]]), np.ones(2), np.ones(2))
