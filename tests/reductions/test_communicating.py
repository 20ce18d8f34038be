"""Communicating classes against a search over all policies."""

from __future__ import annotations

import numpy as np
import oracle as o
from hypothesis import given, settings
from strategies import build, models

import mdpkit as mk


@settings(max_examples=100, deadline=None)
@given(models(S=4, A=3))
def test_classes_are_those_of_some_policy(model: list) -> None:
    found = mk.classify(build(model, None))
    recurrent: set[frozenset[int]] = set()
    for policy in o.policies(model):
        recurrent |= set(o.recurrent_classes(o.chain(model, policy)[1]))
    # Unions of recurrent classes that meet, as far as they go, are the maximal end components.
    merged: list[set[int]] = []
    for members in recurrent:
        meeting = [m for m in merged if m & members]
        merged = [m for m in merged if not m & members] + [set(members).union(*meeting)]
    assert {frozenset(c.tolist()) for c in found.classes} == {frozenset(m) for m in merged}
    assert set(found.transient.tolist()) == set(range(len(model))) - set().union(*merged)
    for members, closed in zip(found.classes, found.closed, strict=True):
        inside = set(members.tolist())
        assert closed == all(set(row) <= inside for s in inside for _, row in model[s])
    one = found.n == 1
    assert found.kind == (
        "multichain" if not one else "communicating" if not found.transient.size else "weakly communicating"
    )
    if one:
        assert len(set(o.best_gain(model))) == 1


def test_what_it_says() -> None:
    assert str(mk.classify(mk.instances.make("riverswim"))) == "communicating: 1 class of 6 states"
    lake = mk.classify(mk.instances.make("frozenlake"))
    assert lake.kind == "multichain"
    assert sorted(len(c) for c in lake.classes if len(c) == 1) == [1] * 5  # four holes and the goal
    assert np.array_equal(np.sort(np.concatenate([*lake.classes, lake.transient])), np.arange(16))
