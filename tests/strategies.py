"""Random models for the tests, as plain rationals and as models of the library."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import oracle as o
from hypothesis import strategies as st

import mdpkit as mk
from mdpkit.models import Transitions

F = Fraction
LAWS = [(1,), (1,), (1, 1), (1, 2), (1, 3), (1, 1, 1), (1, 1, 2)]


def random_model(rng: np.random.Generator, S: int, A: int, rewards: tuple[int, ...]) -> list[Any]:
    """A model in the oracle's form, with many loops and end components."""
    model = []
    for s in range(S):
        actions = []
        for _ in range(int(rng.integers(1, A + 1))):
            law = [w for w in LAWS if len(w) <= S][int(rng.integers(len([w for w in LAWS if len(w) <= S])))]
            targets = rng.choice(S, size=len(law), replace=False)
            if rng.random() < 0.35:
                targets = np.unique(np.concatenate(([s], targets)))[: len(law)]
                if s not in targets:
                    targets[0] = s
                law = law[: len(targets)]
            total = sum(law)
            actions.append(
                (F(int(rng.choice(rewards))), {int(t): F(w, total) for t, w in zip(targets, law, strict=True)})
            )
        model.append(actions)
    return model


def build(model: list[Any], criterion: Any, *, exact: bool = True, **options: Any) -> mk.MDP:
    """A model of the library from the oracle's form: rational, or the nearest floats."""
    indptr, indices, data, r, state, action = [0], [], [], [], [], []
    for s, actions in enumerate(model):
        for a, (reward, row) in enumerate(actions):
            for t in sorted(row):
                indices.append(t)
                data.append(row[t])
            indptr.append(len(indices))
            r.append(reward)
            state.append(s)
            action.append(a)
    floats = np.array([float(x) for x in data])
    objects = np.array(data, dtype=object)
    P = Transitions(indptr, indices, floats, len(model), objects if exact else None)
    rewards: Any = np.array(r, dtype=object) if exact else np.array([float(x) for x in r])
    return mk.MDP(P, rewards, criterion, state=np.array(state), action=np.array(action), **options)


@st.composite
def models(draw: st.DrawFn, S: int = 4, A: int = 3, rewards: tuple[int, ...] = (-2, -1, 0, 1, 2)) -> list[Any]:
    """A random model in the oracle's form."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    return random_model(rng, draw(st.integers(1, S)), A, rewards)


def problems(seed: int, count: int) -> Iterator[tuple[mk.MDP, list[Any]]]:
    """Small random problems of every stationary kind, in floats and rationals, with the oracle's exact values.

    Discounted, plain total reward, total reward until a target, reachability and invariance, maximizing and minimizing.
    """
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        S = int(rng.integers(1, 5))
        signs = [(-2, -1, 0, 1, 2), (0, 1, 2), (0, -1, -2)][i % 3]
        model = random_model(rng, S, 3 if S < 4 else 2, signs)
        target = set(map(int, np.flatnonzero(rng.random(S) < 0.4))) or {int(rng.integers(S))}
        options: dict[str, Any] = {"minimize": bool(rng.integers(2)), "exact": bool(rng.integers(2))}
        law: Any = rng.multinomial(4, np.full(S, 1 / S)) / 4 if rng.integers(2) else int(rng.integers(S))
        state = int(rng.integers(S))  # a law over values of both infinities would have none itself
        minimize = options["minimize"]
        gamma = F(int(rng.integers(0, 20)), 20)
        yield (
            build(model, mk.Discounted(str(gamma)), rho=law, **options),
            o.best_discounted(model, gamma, minimize=minimize),
        )
        best = o.best_total([[(-r, row) for r, row in actions] for actions in model] if minimize else model)
        if not best.undefined:
            yield (
                build(model, mk.TotalReward(), rho=state, **options),
                [-v for v in best.value] if minimize else best.value,
            )
        yield (
            build(model, mk.TotalReward(target=sorted(target)), rho=state, **options),
            o.target_total(model, target, minimize=minimize),
        )
        yield (
            build(model, mk.Reachability(sorted(target)), rho=law, **options),
            o.best_reach(model, target, minimize=minimize),
        )
        safe = [s not in target for s in range(S)]
        truth = [1 - x for x in o.best_reach(model, target, minimize=not minimize)]
        yield build(model, mk.Invariance(np.array(safe)), rho=law, **options), truth


def judge(sol: mk.Solution, truth: list[Any]) -> None:
    """A solution is solved, its certificate holds in both arithmetics, and its bounds enclose the truth."""
    mdp, certificate = sol.problem, sol.certificate
    # A zero that is rounded outward is known up to a very small number only.
    assert sol.status.ok or sol.upper - sol.lower <= 1e-290, sol.status
    assert certificate.valid
    assert certificate.verify(mdp)
    assert certificate.verify(mdp, exact=True)
    for low, value, high in zip(certificate.lower, truth, certificate.upper, strict=True):
        assert low <= value <= high
