"""Every answer that an instance knows for the average reward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mdpkit as mk

CASES = [
    (name, k)
    for name in mk.instances.names()
    for k, known in enumerate(mk.instances.info(name).known)
    if known.criterion == "average"
]


def test_there_are_many() -> None:
    assert len({name for name, _ in CASES}) >= 10


@pytest.mark.parametrize(("name", "k"), CASES)
def test_known_answer(name: str, k: int) -> None:
    info = mk.instances.info(name)
    known = info.known[k]
    mdp = mk.instances.make(name, **dict(known.params)).under(mk.AverageReward())
    exact = mk.solve(mdp, exact=True)
    assert exact.certificate.verify(mdp)

    def near(found: Any, value: Any) -> bool:
        return all(abs(a - b) <= known.tolerance for a, b in zip(np.ravel(found), np.ravel(value), strict=True))

    same = [other for other in info.known if other.params == known.params and other.criterion == "average"]
    policy = next((other.value for other in same if other.quantity == "policy"), None)
    if known.quantity == "policy":
        own = mk.evaluate(mdp, list(known.value), exact=True)
        assert own.exact.tolist() == exact.exact.tolist()
    elif known.quantity.startswith("gain"):
        place = known.quantity.removeprefix("gain").strip("()")
        found = exact.exact[int(place)] if place else exact.exact
        assert near(found, known.value if place else np.broadcast_to(np.array(known.value, dtype=object), mdp.n_states))
    else:
        bias = exact.exact_bias if policy is None else mk.evaluate(mdp, list(policy), exact=True).bias
        if known.quantity == "relative value":
            bias = bias - bias[max(s for s, h in enumerate(known.value) if h == 0)]
        else:
            assert known.quantity == "bias"
        assert near(bias, known.value)
