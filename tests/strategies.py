"""Random models for the tests, as plain rationals and as models of the library."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
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
