"""What the descriptions of linear instances promise."""

from __future__ import annotations

from fractions import Fraction

import pytest

import mdpkit as mk

F = Fraction


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("anchors", [True, False])
def test_random_linear_models(seed: int, anchors: bool) -> None:
    mdp = mk.instances.make("linear-mdp", S=4, A=3, d=3, seed=seed, anchors=anchors)
    assert isinstance(mdp, mk.LinearMDP) and mdp.phi_exact is not None
    assert mdp.mu_exact is not None and mdp.theta_exact is not None
    rows = [tuple(row) for row in mdp.phi_exact.tolist()]
    assert all(min(row) >= 0 and sum(row) == 1 for row in rows)
    assert all(min(row) >= 0 and sum(row) == 1 for row in mdp.mu_exact.tolist())
    assert all(0 <= x <= 1 for x in mdp.theta_exact)
    corners = {tuple(F(int(i == j)) for j in range(3)) for i in range(3)}
    if anchors:
        assert corners <= set(rows)
    assert mdp.rank == 3
    assert max(x.denominator for row in rows for x in row) <= 20


def test_features_inside_are_drawn_where_there_are_no_anchors() -> None:
    rows = [
        tuple(row)
        for seed in range(6)
        for row in mk.instances.make("linear-mdp", S=4, A=3, d=3, seed=seed, anchors=False).phi_exact.tolist()
    ]
    assert sum(max(row) == 1 for row in rows) < len(rows) / 6
