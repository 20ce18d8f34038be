"""Inexact policy iteration: monotone whatever the Krylov method does, and as fast as its forcing condition."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.models.canonical import canonical
from mdpkit.operators.bellman import Sweeper, largest_shift
from mdpkit.solvers.dynamic_programming import InexactPolicyIteration

NAMES = ["forest", "riverswim", "three-state", "howard-taxicab", "frozenlake", "chain"]
SOLVERS = [
    InexactPolicyIteration(),
    InexactPolicyIteration(krylov="gmres", alpha=0.01, decay=0.5),
    InexactPolicyIteration(alpha=1.0, V0=-3.0),
    InexactPolicyIteration(max_products=1, restart=1, V0=10.0),  # evaluations end far from their goal
]


def value(mdp: mk.MDP, choice: Any) -> Any:
    p = canonical(mdp)
    return np.linalg.solve(np.eye(p.n_states) - p.gamma[choice][:, None] * p.P.toarray()[choice], p.r[choice])


def star(mdp: mk.MDP) -> Any:
    sign = -1 if mdp.minimize else 1
    return sign * mk.solve(mdp, exact=True).exact.astype(float)  # type: ignore[union-attr]


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_both_claims(name: str, solver: InexactPolicyIteration) -> None:
    """Monotone between TV and V*; near the policy's value where the condition was met; and both rates."""
    mdp = mk.instances.make(name)
    gamma = float(mdp.criterion.gamma)  # type: ignore[union-attr]
    V = star(mdp)
    slack = 1e-12 * np.abs(V).max() / (1 - gamma)
    sweeper = Sweeper(canonical(mdp))
    states = list(islice(mk.iterates(mdp, solver), 40))
    first = np.abs(states[0].evaluated - V).max()
    for k, (before, after) in enumerate(pairwise(states)):
        TV, choice, low, high = sweeper.backup(before.evaluated)
        assert low >= -slack
        assert after.V.tolist() == TV.tolist()
        assert np.all(after.evaluated >= TV - slack)
        assert np.all(after.evaluated <= V + slack)
        error = np.abs(after.evaluated - V).max()
        assert error <= gamma ** (k + 1) * first + slack
        assert after.alpha == pytest.approx(solver.alpha * solver.decay ** (k + 1))
        if after.missed == before.missed:
            own = value(mdp, choice)
            assert np.abs(after.evaluated - own).max() <= 2 * before.alpha * high + slack
            if np.abs(own - V).max() <= slack / 100:
                assert error <= min(gamma, 2 * before.alpha) * np.abs(before.evaluated - V).max() + slack
    if solver.max_products == 1:
        assert states[-1].missed > 0
    else:
        assert np.abs(states[-1].evaluated - V).max() <= 1e-6 * np.abs(V).max() or name == "chain"


def test_the_shift_is_needed() -> None:
    """The inexact solution itself, as in the paper, may lie above V*: it promises nothing from below."""
    mdp = mk.instances.make("garnet", S=50, A=3, branching=3, seed=2)
    problem, V = canonical(mdp), star(mdp)
    solver = InexactPolicyIteration(alpha=1.0)
    above = 0
    for before, after in pairwise(islice(mk.iterates(mdp, solver), 12)):
        sweeper = Sweeper(problem)
        TV, choice, _, high = sweeper.backup(before.evaluated)
        goal = high * (1 - float(problem.gamma[0]))
        y, rest, _ = solver._krylov(sweeper.rows(choice), TV - before.evaluated, goal)
        assert np.abs(rest).max() <= goal
        above += bool(np.any(before.evaluated + y > value(mdp, choice) + 1e-9))
        assert np.all(after.evaluated <= V + 1e-9)
    assert above > 0


def test_superlinear_with_a_decaying_parameter() -> None:
    """A Garnet whose optimal policy is soon found: errors fall by 2 alpha decay^k, faster and faster."""
    mdp = mk.instances.make("garnet", S=60, A=2, branching=8, seed=3).under(mk.Discounted("0.99"))
    V = star(mdp)
    solver = InexactPolicyIteration(alpha=0.5, decay=0.1)
    states = list(islice(mk.iterates(mdp, solver), 8))
    errors = [float(np.abs(state.evaluated - V).max()) for state in states]
    optimal = [k for k, s in enumerate(states[1:]) if np.abs(value(mdp, s.choice) - V).max() < 1e-9]
    assert optimal
    assert optimal[0] <= 4
    for k in optimal:
        assert errors[k + 1] <= 2 * 0.5 * 0.1**k * errors[k] + 1e-10
    assert errors[-1] < 1e-9


@pytest.mark.parametrize("sparse", [False, True])
def test_the_largest_shift_keeps_a_subsolution(sparse: bool) -> None:
    """V + c <= T_pi (V + c) with the policy's own rows; with one factor, equality in some state."""
    rng = np.random.default_rng(4)
    for gamma in (0.9, rng.choice([0.0, 0.5, 0.95], size=(30, 2))):
        P = np.eye(30)[rng.integers(0, 30, size=(30, 2))] if sparse else rng.dirichlet(np.ones(30), size=(30, 2))
        problem = canonical(mk.MDP(P, rng.normal(size=(30, 2)), mk.Discounted(gamma)))
        assert (problem.P.dense is None) == sparse
        pairs = problem.pair_ptr[:-1] + rng.integers(0, 2, size=30)
        V = rng.normal(size=30)
        M = P.reshape(60, 30)[pairs] * problem.gamma[pairs][:, None]
        change = problem.r[pairs] + M @ V - V
        for low in (change.min(), change.min() - 3.0):
            raised = V + largest_shift(problem, low)
            rest = problem.r[pairs] + M @ raised - raised
            assert rest.min() >= -1e-12
            if np.ndim(gamma) == 0 and low == change.min():
                assert rest.min() == pytest.approx(0, abs=1e-12)
        sweeper = Sweeper(problem)
        assert sweeper.rows(pairs) @ V == pytest.approx(M @ V, abs=1e-13)
        assert sweeper.solve(pairs) == pytest.approx(np.linalg.solve(np.eye(30) - M, problem.r[pairs]), abs=1e-10)


def test_products_are_counted() -> None:
    """Each product with the policy's matrix, by a matrix that counts."""
    mdp = mk.instances.make("garnet", S=50, A=2, branching=4, seed=1)
    problem = canonical(mdp)
    for krylov in ("gmres", "bicgstab"):
        solver = InexactPolicyIteration(krylov=krylov)
        M = Sweeper(problem).rows(problem.pair_ptr[:-1])

        class Counting:
            shape = M.shape
            seen = 0

            def __matmul__(self, x: Any, M: Any = M) -> Any:
                Counting.seen += 1
                return M @ x

        b = np.random.default_rng(0).normal(size=50)
        y, rest, products = solver._krylov(Counting(), b, 1e-6)
        assert products == Counting.seen > 5
        assert rest == pytest.approx(b - (y - M @ y), abs=1e-12)
        assert np.abs(rest).max() <= 1e-6


def test_a_large_sparse_model_near_one() -> None:
    mdp = mk.instances.make("garnet", S=8_000, A=2, branching=3, seed=1, exact=False).under(mk.Discounted(0.999))
    sol = mk.solve(mdp, InexactPolicyIteration(), until=mk.Gap(rel=1e-6))
    assert sol.status is mk.Status.SOLVED
    assert sol.steps < 15
    assert sol.certificate.verify(mdp)


def test_the_start_is_lowered() -> None:
    mdp = mk.MDP(np.ones((1, 2, 1)), np.array([[1.0, 2.0]]), mk.Discounted(0.5), minimize=True)
    first = next(mk.iterates(mdp, InexactPolicyIteration(V0=1.0)))
    assert first.V.tolist() == [-1.0]
    assert first.evaluated.tolist() == [-2.0]  # lowered to where it is its own backup
    assert next(mk.iterates(mdp, InexactPolicyIteration(V0=3.0))).evaluated.tolist() == [-3.0]


@pytest.mark.parametrize("start", [-80.0, 0.0, 50.0])
def test_discount_by_pairs(start: float) -> None:
    rng = np.random.default_rng(0)
    gamma = rng.choice([0.3, 0.8, 0.95], size=(6, 3))
    mdp = mk.MDP(rng.dirichlet(np.full(6, 0.3), size=(6, 3)), rng.normal(size=(6, 3)), mk.Discounted(gamma))
    V = mk.solve(mdp, "policy_iteration").V
    sweeper = Sweeper(canonical(mdp))
    states = list(islice(mk.iterates(mdp, InexactPolicyIteration(V0=start, alpha=0.9)), 30))
    first = np.abs(states[0].evaluated - V).max()
    for k, (before, after) in enumerate(pairwise(states)):
        TV, _, low, _ = sweeper.backup(before.evaluated)
        assert low >= -1e-11
        assert np.all(TV - 1e-11 <= after.evaluated)
        assert np.all(after.evaluated <= V + 1e-7)
        assert np.abs(after.evaluated - V).max() <= 0.95 ** (k + 1) * first + 1e-7


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"decay": 1.5}, "decay"),
        ({"krylov": "cg"}, "Krylov"),
        ({"restart": 0}, "restart"),
        ({"max_products": 2.5}, "max_products"),
    ],
)
def test_parameters_out_of_range(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        InexactPolicyIteration(**settings)


@pytest.mark.parametrize("solver", SOLVERS[:2], ids=str)
def test_products_are_counted_over_all_steps(solver: InexactPolicyIteration, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another counter, in the matrix itself."""
    seen = 0
    rows = Sweeper.rows

    class Counted:
        def __init__(self, M: Any):
            self.M, self.shape = M, M.shape

        def __matmul__(self, x: Any) -> Any:
            nonlocal seen
            seen += 1
            return self.M @ x

    monkeypatch.setattr(Sweeper, "rows", lambda self, pairs: Counted(rows(self, pairs)))
    for state in islice(mk.iterates(mk.instances.make("riverswim"), solver), 6):
        assert state.products == seen
    assert seen > 10
