"""Regularized problems on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.cli import main

RIVER = "instance:riverswim"


def run(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def test_solve_and_check(tmp_path: Path, capsys: Any) -> None:
    cert, out = str(tmp_path / "c.npz"), str(tmp_path / "o.npz")
    arguments = ("solve", RIVER, "--gamma", "0.9", "--tau", "0.1", "--json", "--values", "--cert", cert, "--out", out)
    code, text, _ = run(capsys, *arguments)
    assert code == 0
    report = json.loads(text)
    mdp = mk.instances.make("riverswim").under(mk.EntropyRegularized("9/10", "1/10"))
    sol = mk.solve(mdp)
    assert (report["criterion"], report["gamma"], report["tau"], report["exact"]) == ("regularized", 0.9, 0.1, None)
    assert report["method"] == "soft_policy_iteration"
    assert report["lower"] <= sol.value <= report["upper"]
    assert np.allclose(report["policy"], np.asarray(sol.pi))
    with np.load(out) as data:
        assert data["policy"].shape == (6, 2)
    code, text, _ = run(capsys, "check", cert, RIVER, "--json")
    assert (code, json.loads(text)["arithmetic"]) == (0, "float")
    code, text, _ = run(capsys, "check", cert, RIVER, "--exact", "--json")
    assert (code, json.loads(text)) == (0, {"valid": True, "arithmetic": "ball", "about": "as given", "reason": ""})
    code, _, err = run(capsys, "check", cert, "instance:riverswim?n_states=7")
    assert code == 2
    assert "another model" in err


def test_the_table_shows_likely_actions(capsys: Any) -> None:
    code, text, _ = run(capsys, "solve", RIVER, "--criterion", "regularized", "--tau", "1/10", "--values")
    assert code == 0
    assert "EntropyRegularized(gamma=0.99, tau=0.1)" in text
    assert "1 right with probability 0.9761" in text


def test_parameters_of_parts(capsys: Any) -> None:
    arguments = ("instance:garnet?S=3&A=4&branching=2&seed=1", "--gamma", "0.9", "--tau", "1", "--json", "-q")
    code, text, _ = run(
        capsys, "solve", *arguments, "--method", "factored_soft_policy_iteration?sizes=2,2&weights=1,0.5"
    )
    assert (code, json.loads(text)["status"]) == (1, "stalled")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--criterion", "regularized"), "needs a temperature"),
        (("--tau", "0"), "--tau is no temperature"),
        (("--tau", "much"), "--tau is no temperature"),
        (("--tau", "1", "--criterion", "average"), "--tau does not go with --criterion average"),
        (("--tau", "1", "--gamma", "1"), "outside [0, 1)"),
        (("--tau", "1", "--exact"), "no rationals"),
        (("--tau", "1", "--horizon", "3"), "--tau does not go with"),
        (("--tau", "1", "--property", 'Pmax=? [F "goal"]'), "--tau does not go with --property"),
    ],
)
def test_what_does_not_fit_is_said(capsys: Any, arguments: tuple[str, ...], says: str) -> None:
    code, _, err = run(capsys, "solve", RIVER, *arguments)
    assert code == 2
    assert says in err


def test_a_source_without_discount_is_told(capsys: Any) -> None:
    code, _, err = run(capsys, "solve", "instance:leaving", "--tau", "1")
    assert code == 2
    assert "needs a discount factor" in err
