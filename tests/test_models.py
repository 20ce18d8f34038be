"""Real models with exact answers: every row of the manifest, in floats inside certified bounds and exactly."""

from __future__ import annotations

import csv
import os
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest

import mdpkit as mk

FOLDER = Path(os.environ.get("MDPKIT_MODELS", Path(__file__).parents[1] / ".." / "shared" / "models"))
MANIFEST = FOLDER / "MANIFEST.csv"
if not MANIFEST.exists():
    pytest.skip(
        f"no models in {FOLDER}: set MDPKIT_MODELS to a folder with MANIFEST.csv to test against real models",
        allow_module_level=True,
    )
with MANIFEST.open(newline="") as file:
    ROWS = list(csv.DictReader(file))


@cache
def load(file: str) -> mk.MDP:
    return mk.load(FOLDER / file)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['family']}-{row['property']}")
def test_model(row: dict[str, str]) -> None:
    model = load(row["drn"])
    assert (model.n_states, model.n_pairs, model.n_transitions) == tuple(
        int(row[key]) for key in ("states", "choices", "transitions")
    )
    mdp = model.under(row["formula"])
    sol, exact = mk.solve(mdp), mk.solve(mdp, exact=True)
    for answer in (sol, exact):
        assert answer.status.ok
        assert answer.certificate.verify(mdp)
        assert answer.certificate.verify(mdp, exact=True)
    if row["exact"] == "True":
        assert exact.exact_value == 1
        assert sol.lower <= 1 <= sol.upper
        return
    value = float("inf") if row["exact"] in ("infinity", "inf") else Fraction(row["exact"])
    assert exact.exact_value == value
    assert sol.lower <= value <= sol.upper
    assert value == float("inf") or abs(Fraction(sol.value) - value) <= Fraction(1, 10**8) * abs(value)
