"""A design's certificate, at the edge of what it promises, and bounds that come with a design."""

from __future__ import annotations

from fractions import Fraction
from math import log

import numpy as np
import pytest

from mdpkit.operators.optimal_design import DesignCertificate, OptimalDesign

F = Fraction


@pytest.mark.parametrize("arithmetic", ["rational", "ball"])
def test_a_certificate_verifies_up_to_its_eps_and_no_further(arithmetic) -> None:
    # On the line, the weight w at one and the rest at zero: the largest leverage is 1/w.
    X = np.array([[F(1)], [F(0)]], dtype=object)
    for w, verifies in ((F(10, 11) + F(1, 1000), True), (F(10, 11) - F(1, 1000), False), (F(5, 6) + F(1, 1000), False)):
        certificate = DesignCertificate(X, np.array([w, 1 - w], dtype=object), F(1, 10))
        assert certificate.verify(arithmetic) is verifies
    assert DesignCertificate(X, np.array([F(10, 11), F(1, 11)], dtype=object), F(1, 10)).verify()
    assert DesignCertificate(X, np.array([F(1, 2), F(1, 2)], dtype=object), F(1, 10)).largest() == 2


def test_the_gap_bounds_the_determinant() -> None:
    """d log(g/d) for weights of our own: at least what is missing to the best determinant, which is known here."""
    X = np.array([[1.0, 0.0], [0.0, 1.0]])
    design = OptimalDesign(X, np.array([0.25, 0.75]), 4.0, 0, F(1))
    assert design.gap == pytest.approx(2 * log(2))
    assert log(0.25) - log(0.25 * 0.75) <= design.gap


def test_counts_are_rounded_up() -> None:
    design = OptimalDesign(np.eye(3), np.array([0.5, 0.26, 0.24]), 3.0, 0, F(1))
    assert design.counts(5).tolist() == [3, 2, 2]
    assert design.counts(1).tolist() == [1, 1, 1]
