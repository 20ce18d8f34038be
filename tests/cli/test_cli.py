"""The command line: answers, JSON, files, exit codes, and what it says about bad input."""

from __future__ import annotations

import gzip
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.cli import main
from mdpkit.io.pose import Question

FIELDS = [
    "source", "states", "pairs", "criterion", "gamma", "value", "lower", "upper", "exact", "gain", "status", "method",
    "why", "steps", "seconds", "certificate",
]  # fmt: skip

# From 0: "safe" reaches the goal with 1/3 and the sink otherwise; "slow" the goal surely, at a cost of 2 a step, staying
# with 1/2. So Pmax = 1, Pmin = 1/3, Rmin to the goal = 2 / (1/2) = 4, and Rmax is infinite.
DRN = """@type: MDP
@value_type: rational
@parameters

@reward_models
cost time
@nr_states
3
@nr_choices
4
@model
state 0 [0, 0] init
\taction safe [1, 1]
\t\t1 : 1/3
\t\t2 : 2/3
\taction slow [2, 1]
\t\t0 : 1/2
\t\t1 : 1/2
state 1 [0, 0] goal
\taction stay [0, 0]
\t\t1 : 1
state 2 [0, 0] sink
\taction stay [0, 0]
\t\t2 : 1
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "model.drn"
    path.write_text(DRN)
    return str(path)


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def solved(ask: Callable[..., tuple[int, str, str]]) -> Callable[..., dict[str, Any]]:
    def run(*arguments: object) -> dict[str, Any]:
        code, out, err = ask("solve", *arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


@pytest.fixture
def refused(ask: Callable[..., tuple[int, str, str]]) -> Callable[..., str]:
    """The message of a refusal: exit 2, nothing on standard output, one error and no traceback."""

    def run(*arguments: object) -> str:
        code, out, err = ask(*arguments)
        assert code == 2, (code, out, err)
        assert out == ""
        assert err.count("mdpkit: error: ") == 1
        assert "internal error" not in err
        return err

    return run


# -- answers ------------------------------------------------------------------------------------------------------------


def test_json_has_the_fields_of_the_contract(solved):
    found = solved("instance:three-state")
    assert list(found) == FIELDS
    assert found["source"] == "instance:three-state"
    assert (found["states"], found["pairs"], found["criterion"], found["gamma"]) == (3, 6, "discounted", 0.8)
    assert found["lower"] <= 2953 / 97 <= found["upper"]
    assert found["upper"] - found["lower"] <= 1e-9 * 11438 / 97
    assert found["lower"] <= found["value"] <= found["upper"]
    assert found["exact"] is None
    assert found["gain"] is None
    assert found["status"] == "solved"
    assert found["method"] == "policy_iteration"
    assert found["why"]
    assert found["steps"] >= 1
    assert found["seconds"] > 0
    assert list(found["certificate"]) == ["type", "arithmetic", "valid"]
    assert found["certificate"]["arithmetic"] == "float"
    assert found["certificate"]["valid"] is True


def test_values_and_policy(solved):
    found = solved("instance:three-state", "--values", "--exact")
    assert list(found) == [*FIELDS, "V", "policy", "bias", "exact_V", "exact_bias"]
    assert found["exact_V"] == ["2953/97", "3908/97", "11438/97"]
    assert found["exact_bias"] is None
    assert found["V"] == pytest.approx([2953 / 97, 3908 / 97, 11438 / 97], rel=1e-15)
    assert found["policy"] == [1, 1, 0]
    assert found["bias"] is None
    assert found["exact"] == "2953/97"
    assert found["status"] == "exact"
    assert found["certificate"]["arithmetic"] == "exact"


def test_average_reward(solved, ask, tmp_path):
    options = ("instance:howard-taxicab", "--criterion", "average")
    found = solved(*options, "--exact", "--values", "--cert", tmp_path / "c.npz")
    assert found["exact"] == "1588/119"
    assert found["gain"] == found["value"] == pytest.approx(1588 / 119)
    assert found["V"] == pytest.approx([1588 / 119] * 3)
    bias = found["bias"]
    assert [h - bias[2] for h in bias] == pytest.approx([-20 / 17, 1506 / 119, 0])
    assert found["policy"] == [1, 1, 1]
    assert found["classes"] == {"kind": "communicating", "sizes": [3], "closed": [True], "transient": 0}
    assert found["certificate"] == {
        "type": "superharmonic gains supported by a bias", "arithmetic": "exact", "valid": True,
    }  # fmt: skip
    code, out, _ = ask("check", tmp_path / "c.npz", "instance:howard-taxicab")
    assert code == 0 and "valid" in out
    code, out, _ = ask("solve", "instance:multichain-blocks")
    assert code == 0 and "multichain: 15 classes" in out
    assert solved("instance:three-state")["gain"] is None


def test_a_finite_horizon_has_stages(solved):
    found = solved("instance:puterman-inventory", "--values", "--exact")
    assert found["criterion"] == "finite-horizon"
    assert found["exact"] == "67/16"
    assert found["V"] == [[4.1875, 8.0625, 12.125, 14.1875], [2, 6.25, 10, 10.5], [0, 5, 6, 5], [0, 0, 0, 0]]
    assert found["policy"] == [[3, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("source", "exact"),
    [
        ("instance:riverswim?gamma=0.9", "425329947/326053817"),
        ("instance:leaving", "-100"),
        ("instance:haddad-monmege?n=20", "1/2"),
        ("instance:free-loop", "1"),
        ("instance:free-loop?semantics=total", "0"),
        ("gym:FrozenLake-v1", "868292016472811700/1601938145778704383"),
    ],
)
def test_sources_with_known_answers(solved, source, exact):
    options = ["--gamma", "0.99"] if source.startswith("gym:") else []
    found = solved(source, "--exact", *options)
    assert found["exact"] == exact
    assert found["lower"] <= Fraction(exact) <= found["upper"]


def test_gamma_is_a_decimal_rational(solved):
    # V(0) of Puterman's example is -60/7 at 19/20; the float 0.95 is another number.
    assert solved("instance:puterman-two-state", "--gamma", "0.95", "--exact")["exact"] == "-60/7"
    assert solved("instance:puterman-two-state", "--gamma", "19/20", "--exact")["exact"] == "-60/7"


def test_criterion_and_its_parameters(solved, model):
    discounted = solved(model, "--gamma", "1/2", "--reward", "cost", "--minimize", "--exact")
    assert discounted["criterion"] == "discounted"
    assert discounted["exact"] == "1"  # min(1, 2 / (1 - 1/4))
    assert solved(model, "--gamma", "1/2", "--reward", "cost", "--maximize", "--exact")["exact"] == "8/3"
    finite = solved(model, "--horizon", "2", "--reward", "cost", "--exact")
    assert finite["criterion"] == "finite-horizon"
    assert finite["exact"] == "3"  # 2 + 1/2 * 2
    assert finite["gamma"] == 1
    discounting = solved(model, "--horizon", "2", "--gamma", "0.5", "--reward", "cost", "--exact")
    assert (discounting["criterion"], discounting["exact"]) == ("finite-horizon", "5/2")
    total = solved(model, "--criterion", "total", "--reward", "cost", "--exact")
    assert (total["criterion"], total["exact"], total["gamma"]) == ("total", "4", None)
    assert solved(model, "--gamma", "0.5", "--reward", "cost", "--initial", "2", "--exact")["exact"] == "0"


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ('Pmax=? [F "goal"]', "1"),
        ("Pmin=? [F goal]", "1/3"),
        ("Pmax=? [F<=2 goal]", "3/4"),
        ("Pmin=? [G !goal]", "0"),
        ("Pmax=? [X goal]", "1/2"),
        ('R{"cost"}min=? [F goal]', "4"),
        ('R{"cost"}max=? [F goal]', "inf"),
        ("Pmin>=0.3 [F goal]", True),
        ("Pmin>=1/3 [F goal]", True),
        ("P>=0.34 [F goal]", False),
        ("Pmax>=1 [F goal]", True),
        ('R{"cost"}max<=1000 [F goal]', False),
    ],
)
def test_properties(solved, model, text, exact):
    options = [] if isinstance(exact, bool) or exact == "inf" else ["--exact"]
    found = solved(model, "--property", text, *options)
    assert found["exact"] == exact
    if exact == "inf" or text.startswith('R{"cost"}max'):
        assert found["value"] == found["lower"] == found["upper"] == "inf"


def test_a_bound_that_floats_do_not_decide_is_decided_in_rationals(solved, model):
    found = solved(model, "--property", "Pmin>=1/3 [F goal]")
    assert found["exact"] is True
    assert found["status"] == "exact"
    assert "rationals" in found["why"]
    assert solved(model, "--property", "Pmin>1/3 [F goal]")["exact"] is False


def test_an_undecided_bound_is_no_success(ask, tmp_path):
    # Thirds as decimals: the row does not sum to exactly one, so there is no rational answer, and floats do not decide.
    path = tmp_path / "thirds.drn"
    path.write_text(
        DRN.replace("rational", "double")
        .replace("1/3", "0.33333333333")
        .replace("2/3", "0.66666666666")
        .replace("1/2", "0.5")
    )
    code, out, err = ask("solve", path, "--property", "Pmin>=0.33333333333 [F goal]", "--json")
    assert code == 1
    assert json.loads(out)["exact"] is None
    assert "decide" in err


def test_dyadic(solved, ask, tmp_path):
    path = tmp_path / "thirds.npz"
    P = np.array([[[0.1, 0.9]], [[0.0, 1.0]]])
    P[0, 0] = [1 / 3, 0.6666666666]  # no rational row
    P[0, 0, 1] = 1 - 1 / 3 + 3e-14
    mk.MDP(P, np.array([[1.0], [0.0]]), mk.Discounted("1/2"), rho=0).save(path)
    code, _, err = ask("solve", path, "--exact", "--json")
    assert code == 2
    assert "do not sum to exactly one" in err
    assert "state 0, action 0" in err
    assert Fraction(solved(path, "--dyadic")["exact"]) == 1 / (1 - Fraction(1 / 3) / 2)


def test_an_unmet_stop_rule_is_exit_1(ask):
    code, out, _ = ask("solve", "instance:riverswim", "--method", "value_iteration", "--max-steps", "3", "--json")
    found = json.loads(out)
    assert code == 1
    assert found["status"] == "steps"
    assert found["steps"] == 3
    assert found["lower"] <= 6989776866765 / 184647524779 <= found["upper"]
    assert found["certificate"]["valid"] is True
    code, out, _ = ask("solve", "instance:riverswim", "--method", "value_iteration", "--abs", "1e-30", "--json")
    assert code == 1
    assert json.loads(out)["status"] == "rounding"


def test_tolerances(solved):
    rough = solved("instance:riverswim", "--method", "value_iteration", "--abs", "0.5")
    fine = solved("instance:riverswim", "--method", "value_iteration", "--rel", "1e-8")
    assert 1e-3 < rough["upper"] - rough["lower"] <= 0.5
    assert fine["upper"] - fine["lower"] <= 45e-8
    assert fine["steps"] > rough["steps"]


def test_without_an_initial_state_state_0_is_used_and_said(ask, tmp_path):
    path = tmp_path / "model.drn"
    path.write_text(DRN.replace(" init", ""))
    code, out, err = ask("solve", path, "--property", "Pmin=? [F goal]", "--exact", "--json")
    assert code == 0
    assert json.loads(out)["exact"] == "1/3"
    assert re.fullmatch(r"mdpkit: warning: .*state 0.*--initial.*\n", err)
    code, _, err = ask("solve", path, "--property", "Pmin=? [F goal]", "--initial", "1", "--json")
    assert (code, err) == (0, "")


def test_long_rationals(ask, tmp_path):
    # More digits than Python turns into text by itself: with gamma = .5 - 10**-5000,
    # 1 / (1 - gamma / 2) = 2 * 10**5000 / (15 * 10**4999 + 1).
    source, gamma = "instance:leaving?reward=1&stay=1/2", "0.4" + "9" * 4999
    options = ["--gamma", gamma, "--exact"]
    certificate, answer = tmp_path / "certificate.npz", tmp_path / "answer.npz"
    long = "2" + "0" * 5000 + "/15" + "0" * 4998 + "1"
    code, out, err = ask("solve", source, *options, "--json", "--out", answer)
    assert (code, err) == (0, "")
    assert json.loads(out)["exact"] == long
    assert np.load(answer)["exact"].tolist() == [long, "0"]
    code, out, _ = ask("solve", source, *options, "--cert", certificate)
    assert code == 0
    assert "(5001 over 5001 digits" in " ".join(out.split())
    assert ask("check", certificate, source)[0] == 0


def test_model_warnings_are_lines(ask, tmp_path):
    path = tmp_path / "rough.drn"
    rough = {"rational": "double", "1 : 1/3": "1 : 0.3", "2 : 2/3": "2 : 0.7000000001", "1/2": "0.5"}
    text = DRN
    for old, new in rough.items():
        text = text.replace(old, new)
    path.write_text(text)
    options = ["--gamma", "0.5", "--reward", "cost", "--rel", "1e-6", "--json"]
    code, out, err = ask("solve", path, *options)
    assert code == 0
    assert json.loads(out)["status"] == "solved"
    assert re.fullmatch(r"mdpkit: warning: .*state 0, action 0, sum 1\.0000000001.*\n", err)
    assert ask("solve", path, *options, "--quiet")[2] == ""


def test_table_is_legible_when_piped(ask):
    code, out, err = ask("solve", "instance:riverswim", "--exact", "--values")
    assert code == 0
    assert err == ""
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80
    for part in (
        "instance:riverswim",
        "6 states",
        "Discounted(gamma=0.99)",
        "policy_iteration",
        "37.8547011400",
        "valid",
    ):
        assert part in out
    assert "6989776866765/184647524779" in out
    assert "7449877990" in out.replace("\n", "")


# -- files --------------------------------------------------------------------------------------------------------------


def test_out(solved, tmp_path):
    path = tmp_path / "answer.npz"
    solved("instance:three-state", "--exact", "--out", path)
    with np.load(path, allow_pickle=False) as data:
        assert data["exact"].tolist() == ["2953/97", "3908/97", "11438/97"]
        assert data["policy"].tolist() == [1, 1, 0]
        assert data["V"] == pytest.approx([2953 / 97, 3908 / 97, 11438 / 97], rel=1e-15)
        assert np.all((data["lower"] <= data["V"]) & (data["V"] <= data["upper"]))


def test_nothing_is_overwritten(refused, solved, tmp_path):
    path = tmp_path / "answer.npz"
    path.write_bytes(b"precious")
    for option in ("--out", "--cert"):
        message = refused("solve", "instance:riverswim", option, path)
        assert str(path) in message
        assert "--force" in message
    assert path.read_bytes() == b"precious"
    solved("instance:riverswim", "--out", path, "--force")
    assert np.load(path)["policy"].tolist() == [1] * 6
    assert "no-such-folder" in refused("solve", "instance:riverswim", "--out", tmp_path / "no-such-folder" / "a.npz")
    same = tmp_path / "same.npz"
    assert "also" in refused("solve", "instance:riverswim", "--out", same, "--cert", same)
    assert not same.exists()


def test_an_output_does_not_replace_the_source(refused, tmp_path, model):
    before = Path(model).read_text()
    assert "source" in refused("solve", model, "--property", "Pmax=? [F goal]", "--out", model, "--force")
    assert Path(model).read_text() == before


def test_certificate_is_checked_in_another_process(solved, model, tmp_path):
    path = tmp_path / "certificate.npz"
    solved(model, "--property", 'R{"cost"}min=? [F "goal"]', "--cert", path)
    command = [sys.executable, "-m", "mdpkit", "check", str(path), model, "--exact", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"valid": True, "arithmetic": "exact", "about": "as given", "reason": ""}


@pytest.mark.parametrize(
    "options",
    [
        ["--gamma", "1/3", "--reward", "cost", "--minimize"],
        ["--horizon", "4", "--gamma", "0.9", "--reward", "time"],
        ["--criterion", "total", "--reward", "cost", "--initial", "1"],
        ["--property", "Pmin>=0.2 [F goal]"],
        ["--property", "Pmax=? [F<=3 goal]", "--exact"],
        ["--property", "Pmax=? [X goal]"],
        ["--property", 'R{"cost"}max=? [F goal]'],
    ],
)
def test_a_certificate_poses_its_problem_again(solved, ask, model, tmp_path, options):
    path = tmp_path / "certificate.npz"
    solved(model, *options, "--cert", path)
    code, out, err = ask("check", path, model, "--json")
    assert code == 0, err
    assert json.loads(out)["valid"] is True
    assert json.loads(out)["arithmetic"] == ("exact" if "--exact" in options else "float")
    code, out, _ = ask("check", path, model)
    assert code == 0
    assert "valid" in out


def test_a_false_certificate_is_exit_1(solved, ask, model, tmp_path):
    path = tmp_path / "certificate.npz"
    solved(model, "--property", "Pmin=? [F goal]", "--cert", path)
    with np.load(path) as data:
        arrays = dict(data)
    for name, shift in (("above", -0.01), ("below", 0.01)):
        false = tmp_path / f"{name}.npz"
        np.savez(false, **(arrays | {name: arrays[name] + shift * (arrays[name] != 0) * np.array([1, 0, 0])}))
        code, out, _ = ask("check", false, model, "--json")
        verdict = json.loads(out)
        assert code == 1
        assert verdict["valid"] is False
        assert "state 0" in verdict["reason"]
        assert "NOT valid" in ask("check", false, model)[1]


def test_a_certificate_of_another_model_is_exit_2(solved, refused, model, tmp_path):
    path = tmp_path / "certificate.npz"
    solved(model, "--property", "Pmin=? [F goal]", "--cert", path)
    other = tmp_path / "other.drn"
    other.write_text(DRN.replace("1/3", "1/4").replace("2/3", "3/4"))
    assert "belongs to another model" in refused("check", path, other)
    assert "belongs to another model" in refused("check", path, "instance:riverswim")
    path.write_bytes(path.read_bytes()[:200])
    assert "damaged" in refused("check", path, model)
    assert "no certificate file" in refused("check", tmp_path / "none.npz", model)
    refused("check", model, model)


def test_a_damaged_recipe(solved, refused, model, tmp_path):
    path = tmp_path / "certificate.npz"
    solved(model, "--property", "Pmin=? [F goal]", "--cert", path)
    with np.load(path) as data:
        arrays = dict(data)
    for recipe in ({"horizon": "x"}, {"nonsense": 1}, {"gamma": "none"}, []):
        meta = json.loads(str(arrays["meta"]))
        meta["recipe"] = recipe
        np.savez(path, **(arrays | {"meta": np.array(json.dumps(meta))}))
        refused("check", path, model)


def test_recipes_keep_the_question():
    question = Question(gamma=Fraction(19, 20), reward="cost", minimize=False, initial=0)
    assert question.recipe() == {"gamma": "19/20", "reward": "cost", "minimize": False, "initial": 0}
    assert Question.of_recipe(json.loads(json.dumps(question.recipe()))) == question
    assert Question.of_recipe({}) == Question()


def test_convert(ask, solved, refused, model, tmp_path):
    for name in ("copy.npz", "copy.drn.gz", "copy.tra", "packed.tra.gz"):
        path = tmp_path / name
        assert ask("convert", model, path)[0] == 0
        assert solved(path, "--property", "Pmin=? [F goal]", "--exact")["exact"] == "1/3"
        assert "--force" in refused("convert", model, path)
    refused("convert", model, tmp_path / "copy.txt")
    assert not (tmp_path / "copy.txt").exists()
    (tmp_path / "copy.tra").unlink()
    told = refused("convert", model, tmp_path / "copy.tra")
    assert "copy.lab exists" in told
    assert "--force" in told


def test_convert_to_csv_says_what_is_left_out(ask, solved, refused, tmp_path):
    path = tmp_path / "swim.csv"
    code, _, err = ask("convert", "instance:riverswim", path)
    assert code == 0
    assert "does not hold" in err
    value = solved(path, "--gamma", "0.9", "--initial", "0", "--exact")["exact"]
    assert value == solved("instance:riverswim", "--gamma", "0.9", "--initial", "0", "--exact")["exact"]
    path.write_text("idstatefrom,idaction,idstateto,probability,reward\n0,0,0,0.5,1\n")
    assert "swim.csv: line 2" in refused("solve", path, "--gamma", "0.9")


def test_convert_one_reward_structure_of_several(ask, refused, tmp_path):
    source, out = tmp_path / "two.drn", tmp_path / "two.csv"
    mdp = mk.MDP(np.ones((1, 1, 1)), rewards={"time": [2.0], "cost": [5.0]})
    mk.save(mdp, source)
    assert "--reward" in refused("convert", source, out)
    assert "'cost'" in refused("convert", source, out, "--reward", "costs")
    assert not out.exists()
    assert ask("convert", source, out, "--reward", "cost")[0] == 0
    assert mk.load(out).r.tolist() == [5.0]


# -- lists --------------------------------------------------------------------------------------------------------------


def test_instances(ask):
    code, out, _ = ask("instances", "--json")
    listed = json.loads(out)
    assert code == 0
    assert [item["name"] for item in listed] == mk.instances.names()
    assert all(set(item) == {"name", "summary", "source", "parameters", "known"} for item in listed)
    code, out, _ = ask("instances")
    assert code == 0
    assert all(name in out for name in mk.instances.names())
    assert max(map(len, out.splitlines())) <= 80


def test_one_instance(ask, refused):
    code, out, _ = ask("instances", "riverswim", "--json")
    item = json.loads(out)
    assert code == 0
    assert {p["name"]: p["default"] for p in item["parameters"]} == {
        "n_states": 6,
        "variant": "ucrl2",
        "gamma": "99/100",
    }
    assert any(known["quantity"] == "gain" and known["value"] == "7203/16805" for known in item["known"])
    code, out, _ = ask("instances", "instance:riverswim")
    assert code == 0
    assert "7203/16805" in out
    assert "strehl-littman-self" in out
    assert "did you mean 'riverswim'" in refused("instances", "riversim")


def test_exact_bias(solved, ask):
    found = solved("instance:howard-toymaker", "--criterion", "average", "--exact", "--values")
    assert (found["exact_V"], found["exact_bias"]) == (["2", "2"], ["20/9", "-70/9"])
    assert "exact_V" not in solved("instance:howard-toymaker", "--criterion", "average", "--values")
    code, out, _ = ask("solve", "instance:howard-toymaker", "--criterion", "average", "--exact", "--values")
    assert code == 0
    assert "gain" in out
    assert "-70/9" in out


def test_lists_do_not_break_words(ask):
    """Names, methods and parameters are whole on a screen of 80 columns."""
    for command, named in (("instances", "buffer=6,"), ("methods", "krylov=bicgstab,")):
        code, out, _ = ask(command)
        assert code == 0
        assert named in out.split()
        assert max(map(len, out.splitlines())) <= 80
        assert len(out.splitlines()) < 600


def test_methods(ask, refused, model):
    everything = {item["name"]: item for item in json.loads(ask("methods", "--json")[1])}
    assert {"value_iteration", "policy_iteration", "backward_induction"} <= set(everything)
    assert not any(item["chosen"] for item in everything.values())
    assert everything["value_iteration"]["parameters"] == [
        {"name": "V0", "type": "float", "default": 0.0, "required": False}
    ]
    assert not any(
        p["required"] and p["default"] is not None for item in everything.values() for p in item["parameters"]
    )
    finite = {
        item["name"]: item["chosen"]
        for item in json.loads(ask("methods", model, "--horizon", 3, "--reward", "cost", "--json")[1])
    }
    assert [name for name, chosen in finite.items() if chosen] == ["backward_induction"]
    assert "value_iteration" not in finite
    reach = json.loads(ask("methods", model, "--property", "Pmax=? [F goal]", "--json")[1])
    assert "value_iteration" not in [item["name"] for item in reach]
    assert sum(item["chosen"] for item in reach) == 1
    code, out, _ = ask("methods", "instance:riverswim")
    assert code == 0
    assert "policy_iteration *" in out
    assert "SOURCE" in refused("methods", "--gamma", "0.9")


def test_help_and_version(ask):
    assert ask("--version") == (0, f"mdpkit {mk.__version__}\n", "")
    code, out, _ = ask("solve", "--help")
    assert code == 0
    assert "--property" in out
    assert "quote" in out
    assert "130" in out
    assert ask()[0] == 2


# -- bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--gama", "0.9"], ["--gama", "did you mean '--gamma'"]),
        (["--gamma", "1"], ["--gamma", "0 <= gamma < 1", "--criterion total"]),
        (["--gamma", "-0.1"], ["--gamma", "0 <= gamma < 1"]),
        (["--gamma", "1.5"], ["--gamma", "0 <= gamma < 1"]),
        (["--gamma", "nan"], ["--gamma is no number"]),
        (["--gamma", "inf"], ["--gamma is no number"]),
        (["--gamma", "1/0"], ["--gamma is no number"]),
        (["--gamma", "0,9"], ["--gamma is no number"]),
        (["--gamma"], ["--gamma"]),
        (["--criterion", "discount-ed"], ["did you mean 'discounted'"]),
        (["--criterion", "average", "--gamma", "0.9"], ["--gamma"]),
        (["--criterion", "reachability"], ["--property"]),
        (["--criterion", "total", "--gamma", "0.9"], ["--gamma"]),
        (["--criterion", "discounted", "--horizon", "3"], ["--horizon"]),
        (["--criterion", "finite"], ["--horizon H"]),
        (["--horizon", "-1"], ["-1"]),
        (["--horizon", "2.5"], ["--horizon", "integer"]),
        (["--method", "value_iterating"], ["did you mean 'value_iteration'"]),
        (["--method", "value_iteration?V1=3"], ["V1", "did you mean 'V0'"]),
        (["--method", "value_iteration?cites=x"], ["no parameter 'cites'"]),
        (["--method", "backward_induction"], ["BackwardInduction", "finite"]),
        (["--reward", "rr"], ["unknown reward structure 'rr'", "did you mean 'r'"]),
        (["--initial", "6"], ["--initial", "0 <= s < 6"]),
        (["--initial", "-1"], ["--initial", "0 <= s < 6"]),
        (["--rel", "-1"], ["--rel"]),
        (["--abs", "nan"], ["--abs"]),
        (["--max-steps", "-3"], ["--max-steps"]),
        (["--property", "Pmax=? [F goal]"], ["unknown label 'goal'"]),
        (["surplus"], ["surplus"]),
    ],
)
def test_bad_options(refused, options, parts):
    message = refused("solve", "instance:riverswim", *options)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("instance:riversim", ["did you mean 'riverswim'"]),
        ("instance:riverswim?n_state=5", ["did you mean 'n_states'"]),
        ("instance:riverswim?n_states=many", ["n_states", "integer"]),
        ("instance:riverswim?n_states", ["key=value"]),
        ("instance:riverswim?gamma=1", ["gamma"]),
        ("instance:garnet", ["S"]),
        ("instance:garnet?S=1000000000&A=4&branching=3", ["1,000,000,000 states", "GiB"]),
        ("gym:FrozenLake-v7", ["FrozenLake"]),
        ("nowhere.drn", ["no such file", "instance:NAME"]),
        ("model.txt", [".drn", ".npz"]),
        ("model", ["no known ending"]),
        ("riverswim?n_states=8", ["no known ending", "way out: instance:riverswim?n_states=8"]),
        (".", ["no known ending"]),
    ],
)
def test_bad_sources(refused, tmp_path, monkeypatch, source, parts):
    monkeypatch.chdir(tmp_path)
    message = refused("solve", source)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ([], ["carries no criterion", "--gamma", "--property"]),
        (["--criterion", "discounted"], ["--gamma X"]),
        (["--gamma", "0.9"], ["several reward structures", "--reward NAME", "cost, time"]),
        (["--horizon", "3"], ["--reward NAME"]),
        (["--criterion", "total", "--reward", "cots"], ["did you mean 'cost'"]),
        (["--property", "Pmax=? [F gaol]"], ["unknown label 'gaol'", "did you mean 'goal'", "\n            ^"]),
        (["--property", "Pmax=? [F goal"], ["^", "]"]),
        (["--property", "Pmax=? F goal]"], ["^"]),
        (["--property", ""], ["error"]),
        (["--property", 'R{"coast"}min=? [F goal]'], ["did you mean 'cost'"]),
        (["--property", "Rmin=? [F goal]"], ["cost"]),
        (["--property", "Pmax=? [F goal]", "--gamma", "0.9"], ["--gamma does not go with --property"]),
        (["--property", "Pmax=? [F goal]", "--minimize"], ["--minimize"]),
        (["--property", "Pmax=? [F goal]", "--initial", "3"], ["--initial"]),
    ],
)
def test_bad_problems(refused, model, options, parts):
    message = refused("solve", model, *options)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("1 : 1/3", "1 : 1/4", ["line 13", "sum to"]),
        ("1 : 1/3", "1 : -1/3", ["line 14", "-1/3"]),
        ("1 : 1/3", "1 : nan", ["line 14"]),
        ("1 : 1/3", "9 : 1/3", ["line 14", "9"]),
        ("1 : 1/3", "2 : 1/3", ["line 15"]),
        ("[1, 1]", "[inf, 1]", ["line 13"]),
        ("[1, 1]", "[1, 1, 1]", ["line 13"]),
        ("\taction stay [0, 0]\n\t\t2 : 1\n", "", ["line 22", "2"]),
        ("@nr_states\n3", "@nr_states\n4", ["4"]),
        ("@type: MDP", "@type: POMDP", ["line 1", "POMDP"]),
        ("@model", "@modle", ["@modle"]),
        ("state 1 ", "state 0 ", ["line 19"]),
        ("@nr_states\n3", "@nr_states\n100000000000", ["100"]),
    ],
)
def test_malformed_files_name_the_line(refused, tmp_path, old, new, parts):
    assert old in DRN
    path = tmp_path / "bad.drn"
    path.write_text(DRN.replace(old, new))
    message = refused("solve", path, "--property", "Pmax=? [F goal]")
    assert str(path) in message
    assert all(part in message for part in parts), message


def test_damaged_files(refused, solved, tmp_path, model):
    packed = gzip.compress(DRN.encode())
    short = tmp_path / "short.drn.gz"
    short.write_bytes(packed[: len(packed) // 2])
    assert "short.drn.gz" in refused("solve", short, "--property", "Pmax=? [F goal]")
    noise = tmp_path / "noise.drn.gz"
    noise.write_bytes(b"no gzip at all")
    assert "noise.drn.gz" in refused("solve", noise, "--property", "Pmax=? [F goal]")
    binary = tmp_path / "binary.drn"
    binary.write_bytes(bytes(range(256)))
    assert "binary.drn" in refused("solve", binary, "--property", "Pmax=? [F goal]")
    empty = tmp_path / "empty.npz"
    empty.write_bytes(b"")
    assert "empty.npz" in refused("solve", empty)
    cut = tmp_path / "cut.drn"
    cut.write_text(DRN[: DRN.index("state 1")])
    assert "cut.drn" in refused("solve", cut, "--property", "Pmax=? [F goal]")
    answer = tmp_path / "answer.npz"
    solved(model, "--property", "Pmax=? [F goal]", "--out", answer)
    assert "answer.npz" in refused("solve", answer)


def test_commands_and_arguments(refused):
    assert "did you mean 'solve'" in refused("slove")
    assert "SOURCE" in refused("solve")
    assert "SOURCE" in refused("check", "x.npz")


def test_memory_and_defects_are_messages(ask, refused, monkeypatch):
    import mdpkit.choose

    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(mdpkit.choose, "solve", full)
    assert "memory" in refused("solve", "instance:riverswim")

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(mdpkit.choose, "solve", broken)
    code, out, err = ask("solve", "instance:riverswim", "--json")
    assert (code, out) == (2, "")
    assert "internal error: ZeroDivisionError: oh" in err


# -- interruption and pipes ---------------------------------------------------------------------------------------------


def test_interrupted_before_an_answer(ask, monkeypatch):
    import mdpkit.io

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mdpkit.io, "load", stop)
    code, out, err = ask("solve", "instance:riverswim", "--json")
    assert (code, out) == (130, "")
    assert err == "mdpkit: interrupted before there was an answer\n"


def test_interrupted_in_rationals_gives_the_float_answer(ask, monkeypatch):
    import mdpkit.run

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mdpkit.run, "certify_exact", stop)
    code, out, _ = ask("solve", "instance:three-state", "--exact", "--json")
    found = json.loads(out)
    assert code == 130
    assert found["status"] == "interrupted"
    assert found["exact"] is None
    assert found["lower"] <= 2953 / 97 <= found["upper"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")
def test_interrupting_a_long_run_prints_the_best_answer():
    # Bounds that would need 2**30 sweeps. A terminal on standard error shows progress; standard output is a pipe.
    terminal, side = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "mdpkit",
        "solve",
        "instance:haddad-monmege?n=30",
        "--method",
        "interval_iteration",
    ]
    run = subprocess.Popen(
        [*command, "--max-steps", "2000000000", "--json"], stdout=subprocess.PIPE, stderr=side, stdin=subprocess.DEVNULL
    )
    os.close(side)
    seen = b""
    try:
        end = time.monotonic() + 90
        while not re.search(rb"step [0-9,]+, ", seen):
            assert time.monotonic() < end, seen
            if select.select([terminal], [], [], 1)[0]:
                seen += os.read(terminal, 4096)
        run.send_signal(signal.SIGINT)
        while select.select([terminal], [], [], 0.1)[0] or run.poll() is None:
            try:
                seen += os.read(terminal, 4096)
            except OSError:
                break
        assert run.stdout is not None
        out = run.stdout.read()
        assert run.wait(30) == 130
    finally:
        run.kill()
        run.wait()
        os.close(terminal)
        if run.stdout is not None:
            run.stdout.close()
    found = json.loads(out)
    assert found["status"] == "interrupted"
    assert found["steps"] > 0
    assert found["certificate"]["valid"] is True
    assert found["lower"] <= 0.5 <= found["upper"]
    assert b"Traceback" not in seen


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_closed_pipe_is_no_error():
    read, write = os.pipe()
    os.close(read)
    run = subprocess.run(
        [sys.executable, "-m", "mdpkit", "--version"], stdout=write, stderr=subprocess.PIPE, timeout=60
    )
    os.close(write)
    assert run.stderr == b""
    assert run.returncode == 0
