"""Linear programming: primal, dual, scipy and cvxpy agree; the dual is the occupancy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.models.canonical import canonical
from mdpkit.solvers.dynamic_programming import LinearProgramming

WAYS = [("primal", "scipy"), ("dual", "scipy"), ("primal", "cvxpy"), ("dual", "cvxpy")]


@pytest.mark.parametrize(("form", "through"), WAYS)
@pytest.mark.parametrize("name", ["riverswim", "forest", "howard-taxicab", "three-state", "frozenlake"])
def test_discounted(name: str, form: str, through: str) -> None:
    if through == "cvxpy":
        pytest.importorskip("cvxpy")
    mdp = mk.instances.make(name)
    exact: Any = mk.solve(mdp, exact=True).exact
    sol = mk.solve(mdp, LinearProgramming(form, through), until=mk.Gap(rel=1e-6))
    assert np.all((sol.certificate.lower <= exact) & (exact <= sol.certificate.upper))
    assert sol.status.ok
    gamma, S = float(mdp.criterion.gamma), mdp.n_states  # type: ignore[union-attr]
    x = sol.dual
    assert x is not None
    assert np.all(x >= -1e-9)
    inflow = (1 - gamma) / S + gamma * mdp.P.csr.T @ x
    outflow = np.add.reduceat(x, mdp.pair_ptr[:-1])
    assert np.abs(outflow - inflow).max() <= 1e-8
    assert abs(x.sum() - 1) <= 1e-8
    value = float(np.mean(exact.astype(float)))
    assert abs(x @ mdp.r - (1 - gamma) * value) <= 1e-8 * max(1, abs(value))


@pytest.mark.parametrize("form", ["primal", "dual"])
@pytest.mark.parametrize(
    ("name", "params"), [("haddad-monmege", {"n": 5}), ("leaving", {}), ("free-loop", {}), ("gambler", {"goal": 20})]
)
def test_total(name: str, params: dict[str, int], form: str) -> None:
    mdp = mk.instances.make(name, **params)
    exact: Any = mk.solve(mdp, exact=True).exact
    sol = mk.solve(mdp, LinearProgramming(form), until=mk.Gap(rel=1e-6, where="all"))
    assert np.all((sol.certificate.lower <= exact) & (exact <= sol.certificate.upper))
    assert sol.status.ok
    assert sol.dual is not None
    assert np.all(sol.dual >= -1e-9)
    p = canonical(mdp)
    assert np.all(sol.dual[~np.isin(p.state, np.flatnonzero(canonical_free(p)))] == 0)


def canonical_free(p: Any) -> Any:
    return np.ones(p.n_states, dtype=bool) if p.fixed is None else ~p.fixed


def test_options() -> None:
    with pytest.raises(OptionError, match="form"):
        LinearProgramming("both")
    with pytest.raises(OptionError, match="way"):
        LinearProgramming(through="gurobi")
