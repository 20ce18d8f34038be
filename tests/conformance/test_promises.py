"""What solvers promise without a theorem: whom they refuse, whose policy they answer with, and from what they draw."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.choose import methods
from mdpkit.errors import UnsupportedError
from mdpkit.models.canonical import canonical
from mdpkit.operators.backups import SampledBackup
from mdpkit.solver import IterativeSolver

F = Fraction
METHODS = methods()
GARNET = mk.instances.make("garnet", S=4, A=3, branching=2, seed=5)
PLAIN = GARNET.under(mk.Discounted("4/5"))
PAID = mk.MDP(GARNET.P.toarray().reshape(4, 3, 4), np.abs(GARNET.r).reshape(4, 3) + 0.1, mk.Discounted(0.8))
SOFT = GARNET.under(mk.EntropyRegularized("4/5", "1/10", np.array([[F(1, 6), F(1, 3), F(1, 2)]] * 4, dtype=object)))
ENTROPY = GARNET.under(mk.EntropyRegularized("4/5", "1/10"))


def fields(kind: Any) -> set[str]:
    return {each.name for each in dataclasses.fields(kind)}


ONE_DISCOUNT = [name for name, kind in METHODS.items() if "one discount factor" in kind.needs]


@pytest.mark.parametrize("name", ONE_DISCOUNT)
def test_two_discount_factors_are_refused_where_one_is_needed(name: str) -> None:
    gamma = np.full((4, 3), 0.8)
    paid = mk.LinearMDP.from_mdp(PAID) if "features" in METHODS[name].needs else PAID
    assert METHODS[name]().accepts(canonical(paid))
    gamma[2, 1] = 0.5
    two = paid.under(mk.Discounted(gamma))
    assert not METHODS[name]().accepts(canonical(two))
    with pytest.raises(UnsupportedError, match="does not solve"):
        mk.solve(two, name)


def policy_of(solver: Any, state: Any) -> Any:
    """The policy that a state is about."""
    if hasattr(state, "log_pi"):
        return None if getattr(state, "tree", None) is not None else np.exp(state.log_pi)
    if hasattr(state, "pi"):
        return state.pi
    return solver.mirror.policy(state.point) if hasattr(state, "point") and hasattr(solver, "mirror") else None


def walked(name: str, steps: int = 3) -> list[tuple[Any, Any, Any]]:
    """Solver, canonical problem and state after some steps, of each of the small models that the solver accepts."""
    found: list[tuple[Any, Any, Any]] = []
    for mdp in (PLAIN, PAID, ENTROPY, SOFT):
        solver, problem = METHODS[name](), canonical(mdp)
        if "eta" in fields(solver) and mdp in (ENTROPY, SOFT):
            solver = dataclasses.replace(solver, eta=0.5)
        if solver.accepts(problem) and isinstance(solver, IterativeSolver):
            rng = np.random.default_rng(0)
            state = solver.init(problem, rng)
            for _ in range(steps):
                state = solver.step(problem, state, rng)
            found.append((solver, problem, state))
    return found


WITH_POLICY = [
    name for name in METHODS if any(policy_of(solver, state) is not None for solver, _, state in walked(name, 1))
]


@pytest.mark.parametrize("name", WITH_POLICY)
def test_the_answer_is_the_policy_of_the_state(name: str) -> None:
    for solver, problem, state in walked(name):
        policy = solver.answer(problem, state).policy
        assert np.allclose(policy, policy_of(solver, state), rtol=1e-12, atol=0)
        assert np.allclose(np.add.reduceat(policy, problem.pair_ptr[:-1]), 1)


@pytest.mark.parametrize("name", [name for name, kind in METHODS.items() if "backup" in fields(kind)])
def test_sampled_backups_draw_from_the_generator_and_are_counted(name: str) -> None:
    plain = mk.LinearMDP.from_mdp(PLAIN) if "features" in METHODS[name].needs else PLAIN
    problem = canonical(SOFT if METHODS[name]().accepts(canonical(SOFT)) else plain)
    solver: Any = dataclasses.replace(METHODS[name](), backup=SampledBackup(2))

    def run(seed: int) -> Any:
        rng = np.random.default_rng(seed)
        state = solver.init(problem, rng)
        for _ in range(3):
            state = solver.step(problem, state, rng)
        return state

    first, again, other = run(1), run(1), run(2)
    assert first.V.tolist() == again.V.tolist()
    assert first.V.tolist() != other.V.tolist()
    # One-hot features put every pair into the core set.
    assert first.draws == 3 * 2 * len(problem.r)


@dataclass(frozen=True)
class Recorder:
    """Advantages that are exact, and a note of whom they were asked about."""

    asked: Any = field(default_factory=list)

    def __call__(self, on: Any, pi: Any, rng: Any = None) -> Any:
        self.asked.append((pi, rng))
        return on.advantage(on.value(pi))


@pytest.mark.parametrize("name", [name for name, kind in METHODS.items() if "advantages" in fields(kind)])
def test_advantages_are_asked_of_the_own_policy_with_the_own_generator(name: str) -> None:
    recorder, problem, rng = Recorder(), canonical(PLAIN), np.random.default_rng(0)
    solver: Any = dataclasses.replace(METHODS[name](), advantages=recorder)
    state = solver.init(problem, rng)
    for k in range(3):
        before = policy_of(solver, state)
        before = solver.answer(problem, state).policy if before is None else before
        state = solver.step(problem, state, rng)
        pi, given = recorder.asked[k]
        assert given is rng
        assert np.allclose(pi, before, rtol=1e-12, atol=0)


def drawn(state: Any) -> Any:
    """The pairs that a step went through."""
    for where in ("batches", "batch", "visited"):
        found = getattr(state, where, None)
        if found is not None:
            found = found[-1] if isinstance(found, tuple) and where == "batches" else found
            return np.asarray(getattr(found, "pairs", found))
    return None


DRAWING = [
    name
    for name, kind in METHODS.items()
    if kind.randomized and any(drawn(state) is not None for _, _, state in walked(name, 1))
]


def test_sampled_methods_are_found() -> None:
    assert len(DRAWING) >= 6


@pytest.mark.parametrize("name", DRAWING)
def test_without_a_generator_no_step_repeats_the_draws_of_another(name: str) -> None:
    problem, solver = canonical(PLAIN), dataclasses.replace(METHODS[name](), eta=1e-9)  # so that policies stay
    state = solver.init(problem)
    seen: list[Any] = []
    for _ in range(3):
        state = solver.step(problem, state)
        seen.append(drawn(state).tolist())
    assert len({str(x) for x in seen}) == 3
    again = solver.step(problem, solver.init(problem))
    assert drawn(again).tolist() == seen[0]
