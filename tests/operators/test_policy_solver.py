"""Base classes of policy solvers: what they accept, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.models.canonical import canonical
from mdpkit.operators.policy_solver import PenalizedSolver, PolicySolver
from mdpkit.solvers import policy_gradient, regularized_dp

MDP = mk.MDP([[[1.0], [1.0]]], [[0.0, 1.0]], mk.Discounted(0.5))
BY_PAIRS = MDP.under(mk.Discounted([[0.5, 0.4]]))
SOFT = MDP.under(mk.EntropyRegularized(0.5, 0.1))


def test_one_discount() -> None:
    assert canonical(MDP).one_discount and canonical(SOFT).one_discount
    assert not canonical(BY_PAIRS).one_discount


def solvers(base: type) -> list[type]:
    rooms = (policy_gradient, regularized_dp)
    found = [getattr(room, name) for room in rooms for name in room.__all__]
    return [x for x in found if isinstance(x, type) and issubclass(x, base)]


@pytest.mark.parametrize("kind", solvers(PolicySolver))
def test_policy_solvers_want_one_discount(kind: type) -> None:
    solver = kind()
    assert solver.accepts(canonical(MDP)) and not solver.accepts(canonical(BY_PAIRS))
    assert solver.accepts(canonical(SOFT)) == ("regularized" in kind.kinds)


@pytest.mark.parametrize("kind", solvers(PenalizedSolver))
def test_something_is_regularized(kind: type) -> None:
    assert kind(lambda_=0).accepts(canonical(SOFT)) and not kind(lambda_=0).accepts(canonical(MDP))
    with pytest.raises(OptionError, match="lambda_ is negative; found: -1; needed: lambda_ >= 0"):
        kind(lambda_=-1)


def test_the_answer_is_the_policy_of_the_state() -> None:
    for kind in (policy_gradient.ProjectedPolicyGradient, policy_gradient.PolicyMirrorDescent):
        solver, problem = kind(), canonical(MDP)
        state = solver.init(problem)
        answer = solver.answer(problem, state)
        assert np.allclose(answer.policy, [0.5, 0.5]) and np.allclose(answer.V, [1.0])
