"""The numbering of the states must not decide the sign of an end component's gain."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest

import mdpkit as mk

# From a the law is 1/2 a, 1/2 b with reward 1, from b the same with reward -1: gain zero, sums 1 and -1. A detour over
# z loses, whatever state the analysis starts from.
A, B, Z = 0, 1, 2
PAIRS = [
    (A, {A: "1/2", B: "1/2"}, 1),
    (B, {A: "1/2", B: "1/2"}, -1),
    (B, {Z: 1}, -5),
    (Z, {A: 1}, -1),
]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_staying_with_gain_zero_is_found_from_every_home(order):
    P = np.full((len(PAIRS), 3), Fraction(0), dtype=object)
    for k, (_, row, _) in enumerate(PAIRS):
        for t, mass in row.items():
            P[k, order[t]] = Fraction(mass)
    state = [order[s] for s, _, _ in PAIRS]
    action = [0, 0, 1, 0]
    r = np.array([Fraction(x) for _, _, x in PAIRS], dtype=object)
    mdp = mk.MDP(P, r, mk.TotalReward(), state=state, action=action, rho=order[A])
    sol = mk.solve(mdp, exact=True)
    assert [sol.exact[order[s]] for s in (A, B, Z)] == [1, -1, 0]
    assert sol.certificate.valid
