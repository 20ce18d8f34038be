"""Optimal designs against closed forms, and what the certificate refuses."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from mdpkit.errors import ModelError, OptionError
from mdpkit.kernels import design, gram
from mdpkit.operators.optimal_design import OptimalDesign

F = Fraction


def legendre(d):
    """The D-optimal design of polynomials of degree d - 1 on [-1, 1]: -1, 1 and the roots of P'_{d-1} (Guest, 1958)."""
    inside = np.polynomial.legendre.Legendre.basis(d - 1).deriv().roots()
    return np.concatenate(([-1.0], np.sort(inside), [1.0]))


@pytest.mark.parametrize("rule", ["pairwise", "away", "forward"])
@pytest.mark.parametrize("d", [2, 3, 4, 5])
def test_polynomials(d, rule):
    points = np.sort(np.concatenate((legendre(d), [-0.9, -0.8, -0.3, -0.1, 0.1, 0.3, 0.8, 0.9])))
    found = OptimalDesign.of(np.vander(points, d), eps="1/100" if rule == "forward" else "1/100000", rule=rule)
    assert d <= found.leverage * (1 + 1e-12) <= d * 1.0101
    assert found.certificate().verify("ball")
    if rule != "forward":
        heavy = [points[k] for k in found.support if found.weights[k] > 0.01]
        assert np.allclose(heavy, legendre(d), atol=1e-12)
        assert np.allclose([found.weights[k] for k in found.support if found.weights[k] > 0.01], 1 / d, atol=1e-3)


def test_simplex_and_scale():
    corners = np.eye(3)
    f = np.array([1.0, 2.0, 5.0])
    found = OptimalDesign.of(np.concatenate((corners, np.full((1, 3), 1 / 3))), scale=np.array([1.0, 2, 5, 1]))
    assert found.certificate().verify()
    alone = OptimalDesign.of(corners, scale=f)
    assert np.allclose(alone.weights, 1 / 3)  # det(diag(w / f^2)) is largest for equal weights, whatever f
    assert alone.gap < 1e-12


def test_pruning_and_counts():
    X = np.random.default_rng(0).normal(size=(60, 3))
    uniform = np.full(60, 1 / 60)
    few = design.pruned(X, uniform)
    assert (few > 0).sum() <= 6
    before, after = (design.leverages(X, design.gram(X, w)) for w in (uniform, few))
    assert np.all(after <= before * (1 + 1e-9))
    found = OptimalDesign.of(X, prune=True)
    assert len(found.support) <= 6
    n = 1000
    assert n <= found.counts(n).sum() <= n + len(found.support)


def test_the_certificate_says_no():
    found = OptimalDesign.of(np.array([[1.0, x] for x in (-1.0, 0.3, 1.0)]), eps="1/1000")
    certificate = found.certificate()
    assert certificate.verify()
    assert certificate.largest() <= 2 * (1 + certificate.eps)
    assert not replace(certificate, weights=np.array([F(1, 4), F(1, 2), F(1, 4)])).verify()
    with pytest.raises(ModelError, match="no law"):
        replace(certificate, weights=np.array([F(1, 4), F(1, 2), F(1, 2)])).verify()
    with pytest.raises(ModelError, match="do not span"):
        replace(certificate, weights=np.array([F(0), F(1), F(0)])).verify()
    with pytest.raises(OptionError, match="arithmetic"):
        certificate.verify("float")


def test_bad_input():
    X = np.array([[1.0, 2.0], [2.0, 4.0]])
    with pytest.raises(ModelError, match="deficient rank; found: rank 1"):
        OptimalDesign.of(X)
    with pytest.raises(ModelError, match="deficient rank"):
        OptimalDesign.of(np.array([[F(1), F(2)], [F(2), F(4)]], dtype=object))
    with pytest.raises(ModelError, match="scale"):
        OptimalDesign.of(np.eye(2), scale=[1.0, 0.0])
    with pytest.raises(OptionError, match="eps"):
        OptimalDesign.of(np.eye(2), eps=0)
    with pytest.raises(OptionError, match="rule"):
        OptimalDesign.of(np.eye(2), rule="backward")
    with pytest.raises(OptionError, match="max_steps"):
        OptimalDesign.of(np.random.default_rng(0).normal(size=(50, 4)), max_steps=1)
    with pytest.raises(ModelError, match="wrong shape"):
        OptimalDesign.of(np.ones(3))


def test_gram_matrices():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(20, 3))
    inverse, Lambda = np.eye(3) / 2, gram.start(3, 2.0)
    for x in X:
        ratio = 1 + x @ inverse @ x
        assert np.isclose(gram.growth(Lambda + np.outer(x, x), Lambda), ratio)
        assert gram.has_grown(Lambda + np.outer(x, x), Lambda, ratio * 0.999)
        assert not gram.has_grown(Lambda + np.outer(x, x), Lambda, ratio * 1.001)
        Lambda, inverse = Lambda + np.outer(x, x), gram.sherman_morrison(inverse, x)
    assert np.allclose(inverse, np.linalg.inv(Lambda))
    assert np.allclose(gram.norms(inverse, X), np.einsum("ij,jk,ik->i", X, inverse, X))
    assert gram.has_grown(Lambda + 1e-9, Lambda, 1)
    assert not gram.has_grown(Lambda, Lambda, 1)
    exact = gram.start(2, F(1))
    x = np.array([F(1), F(2)])
    assert gram.sherman_morrison(exact, x).tolist() == [[F(5, 6), F(-1, 3)], [F(-1, 3), F(1, 3)]]
    assert gram.determinant(np.array([[F(0), F(1)], [F(2), F(3)]])) == -2
    assert gram.growth(exact + np.outer(x, x), exact) == 6


def test_how_often_the_determinant_grows():
    # d orthogonal directions in turn attain the bound, up to the rounding to whole times.
    d, n, lambda_ = 3, 3000, 1.0
    det, last, times = 1.0, 1.0, 0
    counts = np.full(d, lambda_)
    for k in range(n):
        counts[k % d] += 1
        det = float(np.prod(counts))
        if det > 2 * last:
            last, times = det, times + 1
    bound = gram.most_growths(d, n, lambda_, 2)
    assert 0.8 * bound <= times <= bound
