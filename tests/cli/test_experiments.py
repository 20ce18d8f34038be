"""mdpkit regret and mdpkit sample-complexity: answers, JSON, pictures, resuming, and what they say about bad input."""

from __future__ import annotations

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
from pathlib import Path
from typing import Any

import pytest

import mdpkit as mk
from mdpkit.cli import main
from mdpkit.solvers.exploration import UCBVI

REGRET = ["regret", "--instance", "riverswim?n_states=3", "--horizon", 5, "--learner", "ucbvi", "--learner",
          "ucbvi?scale=0.1", "--episodes", 200, "--seeds", 3, "--jobs", 1]  # fmt: skip
COUNT = ["sample-complexity", "--instance", "riverswim", "--horizon", 5, "--learner", "ucbvi?scale=0.3", "--grid",
         "eps=0.1,0.4", "--grid", "n_states=2,3", "--episodes", 200, "--seeds", 2, "--jobs", 1]  # fmt: skip


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_json_has_what_python_has(ask):
    code, out, err = ask(*REGRET, "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(5))
    same = mk.experiments.regret({"riverswim?n_states=3": river}, ["ucbvi", "ucbvi?scale=0.1"], episodes=200, seeds=3)
    assert found["rows"] == json.loads(json.dumps(same.table()))
    assert found["statements"] == same.sentences()
    assert found["episodes"] == 200 and found["seeds"] == [0, 1, 2] and found["unit"] == "episode"
    (comparison,) = found["comparisons"]
    assert comparison["separated"] is True and comparison["n"] == 3 and comparison["needed"] is None


def test_a_table_and_sentences(ask):
    code, out, _ = ask(*REGRET)
    text = " ".join(out.split())
    assert code == 0
    assert "ucbvi?scale=0.1 has less regret than ucbvi" in text
    assert "Student's 95 % intervals of the mean over 3 seeds" in text
    assert "\x1b" not in out


def test_steps_are_of_average_reward(ask):
    code, _, err = ask("regret", "--instance", "riverswim", "--steps", 50, "--learner", "ucbvi")
    assert code == 2 and "does not play average reward" in err


def test_data_are_kept_drawn_and_not_run_again(ask, tmp_path, monkeypatch):
    data, picture = tmp_path / "data", tmp_path / "picture.png"
    code, _, err = ask(*REGRET, "--data", data, "--plot", picture)
    assert (code, err) == (0, "") and picture.read_bytes().startswith(b"\x89PNG")
    manifest = json.loads((data / "experiment.json").read_text())
    assert manifest["runs"][0]["command"].startswith("mdpkit regret --instance 'riverswim?n_states=3' --horizon 5")
    before, drawn = files(data), picture.read_bytes()

    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a learner was called")

    for name in ("begin", "policy", "observe", "loop", "bound"):
        monkeypatch.setattr(UCBVI, name, never)
    picture.unlink()
    assert ask(*REGRET, "--data", data, "--plot", picture)[0] == 0
    assert picture.read_bytes() == drawn
    # One that was drawn here is drawn again.
    code, out, err = ask("regret", "--data", data, "--plot", picture, "--note", "index", "--json", "--dark")
    assert (code, err) == (0, "") and picture.read_bytes() != drawn
    assert json.loads(out)["stored"] == 6
    assert files(data) == before


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_pictures_know_who_drew_them(tmp_path, ending):
    import matplotlib.pyplot as plt

    from mdpkit.cli import _check_picture, _draw
    from mdpkit.errors import OutputExistsError

    path = tmp_path / f"picture.{ending}"
    for _ in range(2):
        _check_picture(path, False)
        _draw(lambda: plt.figure(figsize=(1, 1)), path, False)
    path.write_bytes(b"something else")
    with pytest.raises(OutputExistsError, match="was not drawn by mdpkit"):
        _check_picture(path, False)


def test_a_picture_does_not_replace_other_files(ask, tmp_path):
    (tmp_path / "holiday.png").write_bytes(b"\x89PNG of the sea")
    code, _, err = ask(*REGRET, "--data", tmp_path / "data", "--plot", tmp_path / "holiday.png")
    assert code == 2 and "was not drawn by mdpkit" in err and "--force" in err
    assert not (tmp_path / "data").exists()
    assert (tmp_path / "holiday.png").read_bytes() == b"\x89PNG of the sea"
    for name, says in (("a.gif", "another ending"), ("nowhere/a.png", "does not exist")):
        code, _, err = ask(*REGRET, "--plot", tmp_path / name)
        assert code == 2 and says in err
    assert ask(*REGRET, "--plot", tmp_path / "holiday.png", "--force")[0] == 0


def test_another_experiment_s_folder(ask, tmp_path):
    assert ask(*REGRET, "--data", tmp_path)[0] == 0
    before = files(tmp_path)
    for change, says in (
        (["--horizon", 6], "FiniteHorizon(H=5) in the folder, FiniteHorizon(H=6) asked for"),
        (["--episodes", 300], "rounds 200 in the folder, 300 asked for"),
        (["--seed", 4], "root seed 0 in the folder, 4 asked for"),
        (["--known"], "law unknown in the folder, known asked for"),
    ):
        code, out, err = ask(*REGRET, "--data", tmp_path, *change)
        assert (code, out) == (2, "") and says in err and "nothing was changed" in err
    assert ask(*COUNT, "--data", tmp_path)[0] == 2
    assert files(tmp_path) == before
    code, out, _ = ask(*REGRET, "--data", tmp_path, "--seeds", 4, "--json")
    assert code == 0 and (json.loads(out)["computed"], json.loads(out)["stored"]) == (2, 6)


def test_a_corrupted_cell_is_reported_and_computed_again(ask, tmp_path):
    ask(*REGRET, "--data", tmp_path)
    file = next(tmp_path.glob("cells/*/*/*.npz"))
    good = file.read_bytes()
    file.write_bytes(good[:-40])
    code, out, err = ask("regret", "--data", tmp_path, "--json")
    assert code == 1 and "is broken" in err and "left out" in err
    assert len(json.loads(out)["missing"]) == 1 and file.read_bytes() == good[:-40]
    code, out, err = ask(*REGRET, "--data", tmp_path, "--json")
    assert code == 0 and f"kept as {file.name}.broken-1" in err
    assert json.loads(out)["computed"] == 1 and json.loads(out)["broken"] == [str(file)]
    assert file.read_bytes() == good and (file.parent / f"{file.name}.broken-1").read_bytes() == good[:-40]


def test_model_files_are_played(ask, tmp_path):
    mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(5)).save(tmp_path / "river.npz")
    code, out, _ = ask("regret", "--instance", tmp_path / "river.npz", "--learner", "ucbvi", "--episodes", 50, "--json")
    assert code == 0
    again = ask(
        "regret", "--instance", "riverswim?n_states=3", "--horizon", 5, "--learner", "ucbvi", "--episodes", 50, "--json"
    )
    assert json.loads(out)["rows"][0]["regret"] == json.loads(again[1])["rows"][0]["regret"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["regret"], "nothing to play"),
        (["regret", "--data", "nowhere"], "holds no experiment"),
        (["regret", "--data", "nowhere", "--seeds", 3], "nothing to play"),
        (["regret", "--instance", "riverswim", "--episodes", 5], "--learner NAME"),
        (["regret", "--learner", "ucbvi", "--episodes", 5], "--instance SOURCE"),
        (["regret", "--instance", "riverswin", "--learner", "ucbvi", "--episodes", 5], "did you mean 'riverswim'"),
        (["regret", "--instance", "no.drn", "--learner", "ucbvi", "--horizon", 5, "--episodes", 5], "no such file"),
        ([*REGRET, "--learner", "ucbv"], "did you mean 'ucbvi'"),
        ([*REGRET, "--learner", "ucbvi?scal=1"], "no parameter 'scal'"),
        ([*REGRET, "--learner", "ucbvi"], "two learners are called 'ucbvi'"),
        ([*REGRET, "--instance", "riverswim?n_states=3"], "given twice"),
        ([*REGRET, "--steps", 5], "--horizon does not go with"),
        ([*REGRET, "--noise", "gauss"], "noise is unknown"),
        ([*REGRET, "--noise", "bernoulli"], "needs to know the rewards"),
        ([*REGRET, "--delay", 3], "does not play"),
        ([*REGRET, "--confidence", 2], "confidence"),
        ([*REGRET, "--seeds", 0], "seeds"),
        ([*REGRET, "--note", "switches", "--plot", "x.png"], "no learner notes 'switches'"),
        (["regret", "--instance", "riverswim?variant=strehl-littman", "--horizon", 5, "--learner", "ucbvi", "--episodes", 5],
         "assumes rewards in [0, 1]"),
        (["sample-complexity"], "nothing to count"),
        (["sample-complexity", "--instance", "riverswim", "--learner", "ucbvi"], "--grid eps=0.1"),
        ([*COUNT, "--grid", "eps=1"], "twice"),
        ([*COUNT, "--grid", "actions"], "does not read"),
        ([*COUNT, "--grid", "horizon=3"], "also in the grid"),
        ([*COUNT, "--grid", "n_actions=3"], "n_actions"),
        ([*COUNT, "--when", "later"], "nothing is counted as 'later'"),
        ([*COUNT, "--against", "gamma"], "nothing varies along 'gamma'"),
        ([*COUNT, "--method", "value_iteration"], "not both"),
        ([*COUNT, "--data", "nowhere", "--samples", 3], "rounds, not samples"),
    ],
)  # fmt: skip
def test_bad_input(ask, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    code, out, err = ask(*arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert not list(tmp_path.iterdir())


def test_rewards_are_rescaled_on_request(ask):
    code, out, _ = ask(
        "regret", "--instance", "forest", "--initial", 0, "--horizon", 5, "--learner", "ucbvi", "--episodes", 5,
        "--unit-rewards", "--json",
    )  # fmt: skip
    assert code == 0 and json.loads(out)["rows"][0]["regret"] >= 0


def test_sample_complexity(ask, tmp_path):
    data = tmp_path / "data"
    code, out, err = ask(*COUNT, "--json", "--data", data, "--plot", tmp_path / "p.png", "--against", "n_states")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [(row["point"], row["eps"]) for row in found["rows"]] == [
        ("n_states=2", 0.1), ("n_states=2", 0.4), ("n_states=3", 0.1), ("n_states=3", 0.4),
    ]  # fmt: skip
    assert found["eps"] == [0.1, 0.4] and found["limit"] == 200 and found["when"] == "first"
    before = files(data)
    code, out, _ = ask("sample-complexity", "--data", data, "--when", "settled", "--dark", "--plot", tmp_path / "p.png")
    assert code == 0 and "from which on every policy" in " ".join(out.split())
    assert files(data) == before
    code, out, _ = ask(*COUNT, "--data", data, "--grid", "gamma=1")
    assert code == 2


def test_draws_of_solvers(ask):
    code, out, _ = ask(
        "sample-complexity", "--instance", "linear-hypercube-episodic?H=3", "--method",
        "least_squares_value_iteration?samples=10", "--grid", "eps=0.5", "--samples", 5000, "--seeds", 2, "--jobs", 1,
    )  # fmt: skip
    assert code == 0 and "2 of 2" in out and "draws from the generative model" in " ".join(out.split())


@pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")
def test_ctrl_c_says_how_to_go_on(tmp_path):
    data = tmp_path / "data"
    command = [sys.executable, "-m", "mdpkit", *map(str, REGRET), "--data", str(data)]
    command[command.index("--episodes") + 1] = "20000"
    command[command.index("--seeds") + 1] = "300"
    terminal, side = pty.openpty()
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=side, stdin=subprocess.DEVNULL)
    os.close(side)
    seen = b""
    try:
        end = time.monotonic() + 120
        while not re.search(rb"[0-9]+ of 600 runs done, about 0:[0-9]{2}:[0-9]{2} left", seen):
            assert time.monotonic() < end, seen
            if select.select([terminal], [], [], 1)[0]:
                seen += os.read(terminal, 4096)
        run.send_signal(signal.SIGINT)
        while select.select([terminal], [], [], 0.1)[0] or run.poll() is None:
            try:
                seen += os.read(terminal, 4096)
            except OSError:
                break
        assert run.wait(30) == 130
        assert run.stdout is not None and run.stdout.read() == b""
    finally:
        run.kill()
        run.wait()
        os.close(terminal)
        if run.stdout is not None:
            run.stdout.close()
    assert b"Traceback" not in seen
    kept = len(list(data.glob("cells/*/*/*.npz")))
    words = f"{kept} finished {'run' if kept == 1 else 'runs'} kept in {data}; the same command goes on"
    assert kept and words.encode() in re.sub(rb"\s+", b" ", seen)
    assert json.loads((data / "experiment.json").read_text())["runs"][0]["state"] == "interrupted"


def test_ctrl_c_without_a_folder(ask, monkeypatch):
    def stop(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(UCBVI, "loop", stop)
    code, out, err = ask(*REGRET)
    assert (code, out) == (130, "") and "--data DIR keeps finished runs" in err


def test_help_names_the_commands(ask):
    code, out, _ = ask("--help")
    assert code == 0 and "regret" in out and "sample-complexity" in out
    for command in ("regret", "sample-complexity"):
        code, out, _ = ask(command, "--help")
        assert code == 0 and "130 interrupted" in " ".join(out.split())
