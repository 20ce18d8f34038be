"""Backward induction: Puterman's inventory, stages that vary, no stage at all."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.solvers.dynamic_programming import BackwardInduction

F = Fraction


def test_puterman_inventory() -> None:
    """Puterman (1994), Sections 3.2 and 4.6.1."""
    sol = mk.solve(mk.instances.make("puterman-inventory"), BackwardInduction(), exact=True)
    exact: Any = sol.exact
    assert exact.shape == (4, 4)
    assert exact[0].tolist() == [F(67, 16), F(129, 16), F(194, 16), F(227, 16)]
    assert exact[1].tolist() == [2, F(25, 4), 10, F(21, 2)]
    assert exact[2].tolist() == [0, 5, 6, 5]
    assert exact[3].tolist() == [0, 0, 0, 0]
    assert sol.pi.actions.tolist() == [[3, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("minimize", [False, True])
def test_stages_that_vary(exact: bool, minimize: bool) -> None:
    rng = np.random.default_rng(3)
    H, S, A = 3, 4, 2
    weights = rng.integers(1, 9, size=(H, S, A, S))
    P = np.empty((H, S, A, S), dtype=object)
    for index in np.ndindex(P.shape):
        P[index] = F(int(weights[index]), int(weights[index[:3]].sum()))
    r = np.array([F(int(x), 10) for x in rng.integers(-9, 10, size=H * S * A)], dtype=object).reshape(H, S, A)
    best = min if minimize else max
    V = [F(0)] * S
    for h in range(H - 1, -1, -1):
        V = [
            best(r[h, s, a] + F(1, 2) * sum(P[h, s, a, t] * V[t] for t in range(S)) for a in range(A)) for s in range(S)
        ]
    arrays = (P, r) if exact else (P.astype(float), r.astype(float))
    mdp = mk.MDP(*arrays, mk.FiniteHorizon(H, "1/2"), minimize=minimize)
    sol = mk.solve(mdp)
    assert all(
        low <= v <= high for low, v, high in zip(sol.certificate.lower[0], V, sol.certificate.upper[0], strict=True)
    )
    assert sol.certificate.verify(mdp, exact=True)
    assert mk.solve(mdp, exact=True).exact[0].tolist() == V  # type: ignore[index]


def test_no_stage() -> None:
    mdp = mk.MDP(np.ones((1, 1, 1)), [1.0], mk.FiniteHorizon(0, terminal=[7.0]))
    sol = mk.solve(mdp)
    assert sol.V.tolist() == [[7.0]]
    assert sol.certificate.verify(mdp)
