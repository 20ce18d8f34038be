"""Backward induction in integers against the same in Fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.certificates.checks import integer_stages, stage_values
from mdpkit.kernels import reference
from mdpkit.models.canonical import canonical

F = Fraction


def random_model(seed: int, *, stages: bool) -> mk.MDP:
    rng = np.random.default_rng(seed)
    H, S, A = 4, 3, 2
    weights = rng.integers(0, 5, size=(H, S, A, S)) if stages else rng.integers(0, 5, size=(S, A, S))
    weights[..., 0] += 1
    P = np.empty(weights.shape, dtype=object)
    for index, w in np.ndenumerate(weights):
        P[index] = F(int(w), int(weights[index[:-1]].sum()))
    r = np.empty((H, S, A) if stages else (S, A), dtype=object)
    for index, _ in np.ndenumerate(r):
        r[index] = F(int(rng.integers(-9, 9)), int(rng.integers(1, 7)))
    end = [F(int(rng.integers(-5, 5)), 3) for _ in range(S)]
    return mk.MDP(P, r, mk.FiniteHorizon(H, gamma="9/10", terminal=end), rho=0, minimize=bool(seed % 2))


@pytest.mark.parametrize("stages", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_integers_stand_for_the_fractions(seed: int, stages: bool) -> None:
    p = canonical(random_model(seed, stages=stages))
    integers = integer_stages(p)
    V, N = p.terminal_exact, integers.end
    assert p.H is not None
    for h in range(p.H - 1, -1, -1):
        q, _ = stage_values(p, h, V, True)
        n = integers.action_values(h, N)
        assert list(integers.fractions(h, n)) == list(q)
        V, N = reference.best(q, p.pair_ptr), reference.best(n, p.pair_ptr)
        back = integers.integers(h, V)
        assert back is not None
        assert list(back) == list(N)
    assert integers.integers(0, V + F(1, 7**99)) is None


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_value_is_refused(seed: int) -> None:
    mdp = random_model(seed, stages=True)
    sol = mk.solve(mdp, exact=True)
    assert sol.certificate.verify(mdp)
    for change in (F(1, 10**12), F(-1, 10**12), F(1), F(-1)):
        wrong = sol.certificate.above.copy()
        wrong[1, 0] += change
        from dataclasses import replace

        assert not replace(sol.certificate, below=wrong, above=wrong).verify(mdp)
