"""Modified policy iteration: monotone, and value iteration at m = 0."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.solvers.dynamic_programming import ModifiedPolicyIteration, ValueIteration


@pytest.mark.parametrize("sweeps", [0, 1, 20])
@pytest.mark.parametrize("name", ["riverswim", "forest", "howard-taxicab"])
def test_iterates_increase_to_the_value(name: str, sweeps: int) -> None:
    mdp = mk.instances.make(name)
    V = mk.solve(mdp, exact=True).exact.astype(float)  # type: ignore[union-attr]
    slack = 1e-12 * np.abs(V).max()
    before = None
    for state in islice(mk.iterates(mdp, ModifiedPolicyIteration(sweeps=sweeps)), 40):
        if before is not None:
            assert np.all(state.V >= before - slack)
        assert np.all(state.V <= V + slack)
        before = state.V


def test_without_sweeps_it_is_value_iteration() -> None:
    mdp = mk.instances.make("riverswim")  # rewards from zero: both start at zero
    pair = zip(mk.iterates(mdp, ModifiedPolicyIteration(sweeps=0)), mk.iterates(mdp, ValueIteration()), strict=True)
    for modified, plain in islice(pair, 20):
        assert modified.V.tolist() == plain.V.tolist()


@pytest.mark.parametrize("sweeps", [-1, 1.5, True])
def test_a_count_of_sweeps(sweeps: float) -> None:
    with pytest.raises(OptionError, match="sweeps"):
        ModifiedPolicyIteration(sweeps=sweeps)  # type: ignore[arg-type]


def test_garnet_of_thirty_thousand_states_takes_few_steps() -> None:
    mdp = mk.instances.make("garnet", S=30_000, A=3, branching=3, exact=False)
    sol = mk.solve(mdp)
    assert isinstance(sol.solver, ModifiedPolicyIteration)
    assert sol.status is mk.Status.SOLVED
    assert sol.steps < 40
    assert sol.certificate.verify(mdp)
