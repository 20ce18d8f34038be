"""Regret over seeds: the same numbers however they are computed, folders that grow and survive, and what is said of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.environment import Adversarial, Delayed, Environment
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.experiments import BrokenCellWarning, ExperimentError, gathered, load_regret, regret
from mdpkit.experiments.identity import described_method, described_problem, generator
from mdpkit.experiments.sweep import Task, sweep
from mdpkit.learner import Learner
from mdpkit.solvers.exploration import UCBVI

RIVER = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(4))
LEARNERS = {"whole": UCBVI(), "tenth": UCBVI(scale=0.1)}
SIZE = {"episodes": 300, "seeds": 3}


def cells(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("cells/**/*.npz"))}


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_runs_are_those_of_play():
    found = regret({"river": RIVER}, LEARNERS, seed=5, **SIZE)
    about = described_problem(RIVER, 300)
    for (_, name, number), run in found.runs.items():
        alone = mk.play(RIVER, LEARNERS[name], episodes=300, rng=generator(5, about, number))
        np.testing.assert_array_equal(run.regret, alone.cumulative[run.at - 1])
        np.testing.assert_array_equal(run.gap, alone.per_round[run.at - 1])
        np.testing.assert_array_equal(run.series["index"], alone.series["index"][run.at - 1])
        np.testing.assert_allclose(run.sums["index"][-1], alone.series["index"].sum(), rtol=1e-12)
        assert run.total == alone.total and run.best == alone.best and run.trivial == alone.trivial
        assert run.informative_from == alone.informative_from
        assert (run.bound is None) == (alone.bound is None)
        if run.bound is not None:
            np.testing.assert_array_equal(run.bound, alone.bound[run.at - 1])
    assert found.computed == 6 and not found.missing


def test_learners_of_a_seed_share_their_luck(monkeypatch):
    seen = []

    module = sys.modules["mdpkit.experiments.regret"]
    real = module.play

    def spy(place, one, *, rng, **rounds):
        seen.append((one, rng.bit_generator.state["state"]["state"]))
        return real(place, one, rng=rng, **rounds)

    monkeypatch.setattr(module, "play", spy)
    regret(RIVER, LEARNERS, **SIZE)
    states = {learner: [s for one, s in seen if one is learner] for learner in LEARNERS.values()}
    first, second = states.values()
    assert first == second and len(set(first)) == 3


def test_seeds_depend_on_the_root_the_problem_and_their_number():
    other = mk.instances.make("riverswim", n_states=4).under(mk.FiniteHorizon(4))
    places = [described_problem(RIVER, 10), described_problem(other, 10)]
    draws = [generator(root, p, k).integers(1 << 60) for root in (0, 1) for p in places for k in (0, 1)]
    assert len(set(draws)) == len(draws)
    # Pinned: another number here would make stored cells and published figures other ones.
    assert generator(0, {"digest": "0123456789abcdef" * 4}, 7).integers(1 << 30) == 756591278


def test_cells_do_not_depend_on_jobs_order_or_company(tmp_path):
    pytest.importorskip("joblib")
    one, two, parts = tmp_path / "one", tmp_path / "two", tmp_path / "parts"
    a = regret({"river": RIVER}, LEARNERS, data=one, **SIZE)
    b = regret({"river": RIVER}, LEARNERS, data=two, jobs=2, **SIZE)
    regret({"river": RIVER}, {"tenth": LEARNERS["tenth"]}, episodes=300, seeds=[2, 0], data=parts)
    c = regret({"river": RIVER}, dict(reversed(LEARNERS.items())), episodes=300, seeds=3, data=parts)
    assert (c.computed, c.stored) == (4, 2)
    assert cells(one) == cells(two) == cells(parts)
    assert len(cells(one)) == 6
    assert [row["regret"] for row in a.table()] == [row["regret"] for row in b.table()]


def test_a_folder_grows_and_reuses_what_it_has(tmp_path):
    regret({"river": RIVER}, {"whole": UCBVI()}, data=tmp_path, episodes=300, seeds=2)
    before = files(tmp_path / "cells")
    more = regret({"river": RIVER}, LEARNERS, data=tmp_path, **SIZE)
    assert (more.computed, more.stored) == (4, 2)
    assert before.items() <= files(tmp_path / "cells").items()
    bigger = {"river": RIVER, "pond": mk.instances.make("riverswim", n_states=2).under(mk.FiniteHorizon(4))}
    assert regret(bigger, LEARNERS, data=tmp_path, **SIZE).stored == 6
    few = regret({"river": RIVER}, {"whole": UCBVI()}, data=tmp_path, episodes=300, seeds=1)
    assert (few.computed, few.stored, few.seeds) == (0, 1, [0])
    whole = load_regret(tmp_path)
    assert set(whole.problems) == {"river", "pond"} and set(whole.learners) == set(LEARNERS)
    assert whole.seeds == [0, 1, 2] and not whole.missing


def test_what_is_stored_is_not_run_again(tmp_path, monkeypatch):
    first = regret({"river": RIVER}, LEARNERS, data=tmp_path, **SIZE)
    before = files(tmp_path)

    def never(*arguments, **options):
        raise AssertionError("a learner was called")

    for name in ("begin", "policy", "observe", "loop", "bound"):
        monkeypatch.setattr(UCBVI, name, never)
    again = regret({"river": RIVER}, LEARNERS, data=tmp_path, **SIZE)
    loaded = load_regret(tmp_path)
    assert (again.computed, again.stored) == (0, 6)
    for found in (again, loaded):
        assert found.table() == first.table()
        assert found.sentences() == first.sentences()
    assert files(tmp_path) == before


def test_a_read_only_folder_is_drawn(tmp_path):
    regret({"river": RIVER}, LEARNERS, data=tmp_path, **SIZE)
    folders = [tmp_path, *(p for p in tmp_path.rglob("*") if p.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert load_regret(tmp_path).stored == 6
        assert regret({"river": RIVER}, LEARNERS, data=tmp_path, **SIZE).stored == 6
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"episodes": 301}, "rounds 300 in the folder, 301 asked for"),
        ({"seed": 1}, "root seed 0 in the folder, 1 asked for"),
        ({"problems": {"river": RIVER.under(mk.FiniteHorizon(5))}}, "FiniteHorizon"),
        ({"problems": {"lake": RIVER.under(mk.FiniteHorizon(5))}}, "'river' in the folder, 'lake' asked for"),
        ({"problems": {"river": Environment(RIVER, known=True)}}, "law unknown in the folder, known asked for"),
        ({"problems": {"river": RIVER.under(rho=1)}}, "other transitions, rewards or initial law"),
        ({"learners": {"whole": UCBVI(delta=0.2)}}, "delta 0.1 in the folder, 0.2 asked for"),
    ],
)
def test_another_experiment_is_refused_and_nothing_touched(tmp_path, change, says):
    base = {"problems": {"river": RIVER}, "learners": {"whole": UCBVI()}, "episodes": 300, "seeds": 1, "data": tmp_path}
    regret(**base)
    before = files(tmp_path)
    with pytest.raises(ExperimentError, match=says):
        regret(**{**base, **change})
    assert files(tmp_path) == before


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_a_corrupted_cell_is_set_aside_and_computed_again(tmp_path, damage):
    regret({"river": RIVER}, LEARNERS, data=tmp_path, **SIZE)
    good = cells(tmp_path)
    name, other = list(good)[1:3]
    file = tmp_path / name
    data = bytearray(good[name])
    middle = data.find(b"regret.npy") + 400
    data[middle] ^= 1
    bad = {"cut": good[name][: len(data) // 2], "flip": bytes(data), "empty": b"", "foreign": good[other]}[damage]
    file.write_bytes(bad)
    with pytest.warns(BrokenCellWarning, match="left out"):
        assert len(load_regret(tmp_path).missing) == 1
    assert file.read_bytes() == bad
    with pytest.warns(BrokenCellWarning, match="is broken"):
        found = regret({"river": RIVER}, LEARNERS, data=tmp_path, **SIZE)
    assert (found.computed, found.stored) == (1, 5)
    assert found.broken == [str(file)] == found.summary()["broken"]
    assert cells(tmp_path) == good
    assert file.with_name(file.name + ".broken-1").read_bytes() == bad
    assert json.loads((tmp_path / "experiment.json").read_text())["runs"][-1]["broken"] == [str(file)]


def test_a_lost_manifest_is_written_again(tmp_path):
    regret({"river": RIVER}, LEARNERS, data=tmp_path, **SIZE)
    good = cells(tmp_path)
    (tmp_path / "experiment.json").unlink()
    found = regret({"river": RIVER}, LEARNERS, data=tmp_path, episodes=300, seeds=4)
    assert (found.computed, found.stored) == (2, 6)
    assert good.items() <= cells(tmp_path).items()
    assert load_regret(tmp_path).stored == 8


def test_the_manifest_says_where_the_numbers_come_from(tmp_path):
    regret({"river": RIVER}, {"whole": UCBVI()}, data=tmp_path, episodes=300, seeds=2, seed=9, command="typed this")
    found = json.loads((tmp_path / "experiment.json").read_text())
    assert found["root_seed"] == 9 and found["rounds"] == 300 and found["unit"] == "episode"
    assert found["problems"]["river"]["criterion"] == "FiniteHorizon(H=4)"
    assert found["learners"]["whole"]["parameters"] == {"bonus": "hoeffding", "delta": 0.1, "scale": 1.0}
    (run,) = found["runs"]
    assert run["command"] == "typed this" and run["state"] == "complete" and run["computed"] == 2
    assert {"mdpkit", "numpy", "scipy", "numba", "python"} <= set(run["versions"])
    assert run["versions"]["mdpkit"] == mk.__version__
    assert {"system", "processor", "cores"} <= set(run["machine"])
    assert run["started"] <= run["ended"] and "commit" in run


SCRIPT = """
import sys, time
import mdpkit as mk
from mdpkit.experiments import regret

river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(4))
learners = {"whole": mk.solvers.exploration.UCBVI(), "tenth": mk.solvers.exploration.UCBVI(scale=0.1)}
wait = float(sys.argv[3])
if __name__ == "__main__":
    regret({"river": river}, learners, episodes=300, seeds=6, jobs=int(sys.argv[2]), data=sys.argv[1],
           progress=lambda status: time.sleep(wait * (status.done >= 4)))
"""


def start(tmp_path: Path, data: Path, jobs: int) -> subprocess.Popen:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, str(script), str(data), str(jobs), "100"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(run: subprocess.Popen, data: Path, n: int) -> None:
    end = time.monotonic() + 120
    while len(cells(data)) < n:
        assert run.poll() is None, run.stderr.read() if run.stderr else ""
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, jobs):
    pytest.importorskip("joblib")
    data, whole = tmp_path / "killed", tmp_path / "whole"
    run = start(tmp_path, data, jobs)
    try:
        wait_for(run, data, 3)
        run.kill()  # at once, without a word
        assert run.wait(30) == -signal.SIGKILL
        end = time.monotonic() + 30
        with suppress(ProcessLookupError):  # its workers end by themselves
            while True:
                os.killpg(run.pid, 0)
                assert time.monotonic() < end
                time.sleep(0.05)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    kept = files(data / "cells")
    assert 3 <= len(kept) < 12
    assert json.loads((data / "experiment.json").read_text())["runs"][0]["state"] == "running"
    (data / "cells" / ".seed-0099.npz.0a.part").write_bytes(b"half a cell")
    found = regret({"river": RIVER}, LEARNERS, episodes=300, seeds=6, data=data)
    assert found.stored == len(kept) and found.computed == 12 - len(kept)
    assert kept.items() <= files(data / "cells").items()
    regret({"river": RIVER}, LEARNERS, episodes=300, seeds=6, data=whole)
    assert cells(data) == cells(whole)
    assert not list(data.rglob("*.part"))
    assert [one["state"] for one in json.loads((data / "experiment.json").read_text())["runs"]] == [
        "killed",
        "complete",
    ]


def test_an_interrupted_run_keeps_what_is_finished(tmp_path):
    def stop(status):
        if status.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        regret({"river": RIVER}, LEARNERS, data=tmp_path, progress=stop, **SIZE)
    assert len(cells(tmp_path)) == 4
    assert json.loads((tmp_path / "experiment.json").read_text())["runs"][0]["state"] == "interrupted"
    assert not regret({"river": RIVER}, LEARNERS, data=tmp_path, **SIZE).missing


@dataclass(frozen=True)
class Clumsy(Learner):
    """Falls over in the middle of a run."""

    at: int = 50
    kinds: ClassVar = ("finite",)

    def begin(self, view, rng):
        return [view, 0]

    def policy(self, state):
        view = state[0]
        return np.tile(view.pair_ptr[:-1], (view.H, 1))

    def observe(self, state, feedback, rng):
        state[1] += 1
        if state[1] == self.at:
            raise ZeroDivisionError("fell over")
        return state


def test_a_learner_that_breaks_down_is_named_and_the_rest_kept(tmp_path):
    with pytest.raises(ZeroDivisionError, match="fell over") as caught:
        regret({"river": RIVER}, {"whole": UCBVI(), "clumsy": Clumsy()}, data=tmp_path, **SIZE)
    assert any("clumsy on river, seed 0" in note for note in caught.value.__notes__)
    assert len(cells(tmp_path)) == 1
    assert json.loads((tmp_path / "experiment.json").read_text())["runs"][0]["state"] == "failed"


@pytest.mark.parametrize(
    ("problem", "options", "error", "says"),
    [
        (RIVER.under(mk.AverageReward()), {"steps": 10}, UnsupportedError, "does not play average reward"),
        (RIVER, {"steps": 10}, OptionError, "played in episodes"),
        (RIVER, {}, OptionError, "played in episodes"),
        (RIVER, {"episodes": 0}, OptionError, "episodes"),
        (RIVER, {"episodes": 10, "seeds": 0}, OptionError, "seeds"),
        (RIVER, {"episodes": 10, "seeds": [1, 1]}, OptionError, "seeds"),
        (RIVER, {"episodes": 10, "seed": -1}, OptionError, "root seed"),
        (RIVER, {"episodes": 10, "jobs": 0}, OptionError, "processes"),
        (RIVER, {"episodes": 10, "confidence": 1.5}, OptionError, "confidence"),
        (Environment(RIVER, "bernoulli"), {"episodes": 10}, UnsupportedError, "know the rewards"),
        (Delayed(RIVER, 2), {"episodes": 10}, UnsupportedError, "does not play"),
        (mk.instances.make("riverswim", variant="strehl-littman").under(mk.FiniteHorizon(4)), {"episodes": 10},
         OptionError, r"assumes rewards in \[0, 1\]"),
        ([RIVER, RIVER.under(mk.AverageReward())], {"episodes": 10}, OptionError, "different units"),
        ([], {"episodes": 10}, OptionError, "no problem"),
        (3, {"episodes": 10}, OptionError, "no problem"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, problem, options, error, says):
    folder = tmp_path / "data"
    with pytest.raises(error, match=says):
        regret(problem, UCBVI(), data=folder, **options)
    assert not folder.exists()


def test_no_learner():
    with pytest.raises(OptionError, match="unknown learner 'ucbv'"):
        regret(RIVER, "ucbv", episodes=10)
    with pytest.raises(OptionError, match="no learner"):
        regret(RIVER, [3], episodes=10)
    with pytest.raises(OptionError, match="two learners are called"):
        regret(RIVER, ["ucbvi", "ucbvi"], episodes=10)


def test_comparisons_and_sentences():
    found = regret(
        {"river": RIVER}, {"a": UCBVI(), "b": UCBVI(scale=0.1), "c": UCBVI(scale=0.1)}, episodes=300, seeds=4
    )
    c = found.compare("a", "b")
    by_hand = [found.runs["river", "a", s].total - found.runs["river", "b", s].total for s in range(4)]
    assert c.difference == pytest.approx(np.mean(by_hand)) and c.separated
    assert found.compare("b", "c").sentence().startswith("b and c are the same in each of 4 common seeds")
    assert [(x.a, x.b, round(x.confidence, 6)) for x in found.comparisons()] == [
        ("a", "b", 0.983333), ("a", "c", 0.983333), ("b", "c", 0.983333),
    ]  # fmt: skip
    words = " ".join(found.sentences())
    assert "Student's 95 % intervals of the mean over 4 seeds" in words and "rough for so few" in words
    assert "Bonferroni" in words and "azar2017:regret" in words
    with pytest.raises(OptionError, match="no learner 'd'"):
        found.compare("a", "d")
    with pytest.raises(OptionError, match="which problem"):
        found.compare("a", "b", "lake")
    one = regret({"river": RIVER}, LEARNERS, episodes=50, seeds=1)
    assert "One seed: there is no band" in one.sentences()[0]
    assert one.table()[0]["lower"] is None
    json.dumps(one.summary(), allow_nan=False)


def test_a_slope_is_that_of_the_curve():
    hard = mk.instances.make("riverswim").under(mk.FiniteHorizon(12))
    found = regret(hard, UCBVI(), episodes=5000, seeds=3)
    ((_, curve),) = found.curves.items()
    slopes = []
    for run in curve.runs:
        there = run.at >= 500
        slopes.append(np.polyfit(np.log(run.at[there]), np.log(run.regret[there]), 1)[0])
    assert curve.slope.value == pytest.approx(np.mean(slopes), abs=0.05)
    assert curve.slope.lower < curve.slope.value < curve.slope.upper and curve.slope.n == 3


def test_gaps_leave_no_round_out():
    found = regret({"river": RIVER}, UCBVI(scale=0.1), episodes=5000, seeds=2)
    ((_, curve),) = found.curves.items()
    width = np.diff(curve.at, prepend=0)
    np.testing.assert_allclose((curve.gap * width).sum(axis=1), curve.totals, rtol=1e-12)


def test_runs_that_were_played_alone_are_gathered():
    runs = [mk.play(RIVER, UCBVI(), episodes=200, rng=np.random.default_rng(k)) for k in range(3)]
    found = gathered({"a": runs, "b": runs[:1]})
    assert found.seeds == [0, 1, 2] and found.rounds == 200
    assert found.compare("a", "b").n == 1
    assert gathered(runs[0]).table()[0]["regret"] == runs[0].total
    with pytest.raises(OptionError, match="different lengths"):
        gathered([runs[0], mk.play(RIVER, UCBVI(), episodes=10, rng=np.random.default_rng(0))])
    for nothing in ([], [3]):
        with pytest.raises(OptionError, match="no runs"):
            gathered(nothing)


def test_as_a_dataframe():
    pytest.importorskip("pandas")
    found = regret({"river": RIVER}, LEARNERS, episodes=60, seeds=2)
    frame = found.to_dataframe()
    assert list(frame.columns[:6]) == ["problem", "learner", "seed", "episode", "regret", "gap"]
    assert len(frame) == 4 * 60
    last = frame[(frame.learner == "whole") & (frame.seed == 1)].iloc[-1]
    assert last.regret == found.runs["river", "whole", 1].total


def test_digests_tell_environments_apart():
    tables = np.random.default_rng(0).random((3, 6))
    places = [
        RIVER, RIVER.under(rho=1), RIVER.under(mk.FiniteHorizon(5)), Environment(RIVER, "bernoulli"),
        Environment(RIVER, known=True), Delayed(RIVER, 1), Delayed(RIVER, 2), Adversarial(RIVER, tables),
        Adversarial(RIVER, tables[::-1]),
    ]  # fmt: skip
    digests = [described_problem(place, 100)["digest"] for place in places]
    assert len(set(digests)) == len(places)
    assert described_problem(Environment(RIVER), 100)["digest"] == digests[0]


def test_parameters_without_a_description_are_refused():
    @dataclass(frozen=True)
    class Odd(UCBVI):
        extra: object = None

    assert described_method(Odd(extra=np.arange(3)))["parameters"]["extra"].startswith("int64 (3,)")
    assert described_method(Odd(extra=np.sort))["parameters"]["extra"] == "numpy.sort"
    for extra in (object(), lambda x: x):
        with pytest.raises(OptionError, match="'extra'"):
            described_method(Odd(extra=extra))


def test_time_left_is_estimated_by_group():
    def work(seconds):
        time.sleep(seconds)
        return [{}]

    tasks = [Task("a", "a", (), work, (0.02,)), Task("b", "b", (), work, (0.001,))] * 3
    seen = []
    assert len(list(sweep(tasks, progress=seen.append, stored=2))) == 6
    assert [s.done for s in seen] == [2, 3, 4, 5, 6, 7, 8] and {s.total for s in seen} == {8}
    assert seen[0].left is None and seen[-1].left == 0
    assert 0.04 < seen[2].left < 0.5
