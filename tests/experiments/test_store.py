"""Cells that are whole or not there, and folders that refuse what is not theirs."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from mdpkit.errors import OptionError
from mdpkit.experiments.conduct import merged
from mdpkit.experiments.store import (
    BrokenCell,
    BrokenCellWarning,
    ExperimentError,
    Folder,
    atomic_write,
    pack,
    unpack,
)

KEY = {"kind": "regret", "seed": 3, "learner": {"class": "UCBVI", "parameters": {"delta": 0.1}}}
ARRAYS = {"at": np.arange(5), "regret": np.linspace(0, 1, 5), "best": np.float64(2.5), "bound": np.empty(0)}


def test_a_cell_comes_back_bit_for_bit():
    found = unpack(pack(KEY, ARRAYS), KEY)
    assert set(found) == set(ARRAYS)
    for name, value in ARRAYS.items():
        assert found[name].dtype == np.asarray(value).dtype
        assert found[name].shape == np.shape(value)
        np.testing.assert_array_equal(found[name], value)


def test_the_same_cell_has_the_same_bytes():
    assert pack(KEY, ARRAYS) == pack(dict(reversed(KEY.items())), dict(reversed(ARRAYS.items())))


def test_every_damage_is_noticed():
    data = pack(KEY, ARRAYS)
    rng = np.random.default_rng(0)
    changed = 0
    for place in rng.choice(len(data), 300, replace=False).tolist():
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        try:
            found = unpack(bytes(damaged), KEY)
        except BrokenCell:
            changed += 1
            continue
        # A bit of the container that nobody reads, such as a date: the contents are those that were stored.
        assert all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)
    assert changed > 200


@pytest.mark.parametrize("cut", [0, 1, 100, 0.5, -1])
def test_a_file_that_was_cut_off_is_broken(cut):
    data = pack(KEY, ARRAYS)
    end = int(cut * len(data)) if isinstance(cut, float) else cut
    with pytest.raises(BrokenCell):
        unpack(data[:end], KEY)


def test_a_cell_of_another_key_is_broken():
    with pytest.raises(BrokenCell, match="another cell"):
        unpack(pack(KEY, ARRAYS), {**KEY, "seed": 4})


def test_an_array_that_was_exchanged_is_noticed():
    good, other = pack(KEY, ARRAYS), pack(KEY, {**ARRAYS, "regret": np.linspace(0, 2, 5)})
    a, b = unpack(good), unpack(other)
    assert not np.array_equal(a["regret"], b["regret"])
    # The members of one archive with the digest of the other.
    import io

    buffer = io.BytesIO()
    digest = np.load(io.BytesIO(good))["digest"]
    np.savez(buffer, key=np.array(json.dumps(KEY, sort_keys=True)), digest=digest, **b)
    with pytest.raises(BrokenCell, match="digest"):
        unpack(buffer.getvalue(), KEY)


def test_writing_is_atomic(tmp_path, monkeypatch):
    target = tmp_path / "a" / "file"
    atomic_write(target, b"old")

    def full(handle):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        atomic_write(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_data_reach_the_disk_before_the_name(tmp_path, monkeypatch):
    calls = []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("sync"), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), rename(a, b)))
    atomic_write(tmp_path / "file", b"new")
    assert calls[:2] == ["sync", "rename"]
    assert (tmp_path / "file").read_bytes() == b"new"


def test_broken_cells_are_kept_under_other_names(tmp_path):
    folder = Folder(tmp_path, "regret")
    folder.write("p/l/seed-0", KEY, ARRAYS)
    file = folder.cell("p/l/seed-0")
    for n in (1, 2):
        file.write_bytes(b"broken %d" % n)
        with pytest.warns(BrokenCellWarning, match=f"kept as seed-0.npz.broken-{n}"):
            assert folder.read("p/l/seed-0", KEY) is None
        assert not file.exists()
        assert file.with_name(f"seed-0.npz.broken-{n}").read_bytes() == b"broken %d" % n
    assert len(folder.broken) == 2


def test_looking_changes_nothing(tmp_path):
    folder = Folder(tmp_path, "regret")
    folder.write("c", KEY, ARRAYS)
    folder.cell("c").write_bytes(b"broken")
    assert folder.peek("c", KEY) is None
    with pytest.warns(BrokenCellWarning, match="left out"):
        assert folder.read("c", KEY, aside=False) is None
    assert folder.cell("c").read_bytes() == b"broken"
    assert folder.peek("nothing", KEY) is None


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ExperimentError, match=r"holds other files.*thesis\.tex"):
        Folder(tmp_path, "regret").manifest()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match="is a file"):
        Folder(tmp_path / "file", "regret")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"kind": "regret"}', "\xff\xfe"])
def test_a_damaged_manifest_is_refused(tmp_path, text):
    (tmp_path / "experiment.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ExperimentError, match=r"experiment\.json"):
        Folder(tmp_path, "regret").manifest()


def test_another_kind_and_another_format_are_refused(tmp_path):
    Folder(tmp_path, "regret").write_manifest({"seeds": [0]})
    with pytest.raises(ExperimentError, match=r"another kind.*regret.*sample-complexity"):
        Folder(tmp_path, "sample-complexity").manifest()
    (tmp_path / "experiment.json").write_text('{"kind": "regret", "format": 99}')
    with pytest.raises(ExperimentError, match="format 99"):
        Folder(tmp_path, "regret").manifest()


def test_one_run_at_a_time(tmp_path):
    pytest.importorskip("fcntl")
    with (
        Folder(tmp_path, "regret").locked(),
        pytest.raises(ExperimentError, match="another process"),
        Folder(tmp_path, "regret").locked(),
    ):
        pass
    with Folder(tmp_path, "regret").locked():
        pass


def test_leftovers_of_a_killed_write_go(tmp_path):
    part = tmp_path / "cells" / "p" / ".seed-0.npz.0123.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    with Folder(tmp_path, "regret").locked():
        assert not part.exists()


BASE = {
    "root_seed": 0,
    "rounds": 100,
    "problems": {"river": {"criterion": "FiniteHorizon(H=5)", "digest": "a"}},
    "learners": {"ucbvi": {"class": "UCBVI", "parameters": {"delta": 0.1}, "bounded_by": "x"}},
    "seeds": [0, 1],
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"root_seed": 1}, "root seed 0 in the folder, 1 asked for"),
        ({"rounds": 200}, "rounds 100 in the folder, 200 asked for"),
        (
            {"problems": {"river": {"criterion": "FiniteHorizon(H=6)", "digest": "b"}}},
            r"problem 'river': criterion FiniteHorizon\(H=5\) in the folder, FiniteHorizon\(H=6\)",
        ),
        (
            {"problems": {"river": {"criterion": "FiniteHorizon(H=5)", "digest": "b"}}},
            "problem 'river': other transitions, rewards or initial law",
        ),
        ({"problems": {"lake": {"digest": "c"}}}, "problems 'river' in the folder, 'lake' asked for"),
        (
            {"learners": {"ucbvi": {"class": "UCBVI", "parameters": {"delta": 0.2}}}},
            "learner 'ucbvi': delta 0.1 in the folder, 0.2 asked for",
        ),
    ],
)
def test_what_differs_is_named(tmp_path, change, says):
    folder = Folder(tmp_path, "regret")
    folder.write_manifest(BASE)
    before = (tmp_path / "experiment.json").read_bytes()
    with pytest.raises(ExperimentError, match=says):
        merged(folder, {**BASE, **change})
    assert (tmp_path / "experiment.json").read_bytes() == before


def test_an_experiment_grows(tmp_path):
    folder = Folder(tmp_path, "regret")
    folder.write_manifest(BASE)
    found = merged(
        folder,
        {
            **BASE,
            "seeds": [2],
            "learners": {"psrl": {"class": "PSRL", "parameters": {}}},
            "problems": {**BASE["problems"], "lake": {"digest": "c"}},
        },
    )
    assert found["seeds"] == [0, 1, 2]
    assert set(found["learners"]) == {"ucbvi", "psrl"}
    assert set(found["problems"]) == {"river", "lake"}
    assert merged(folder, {**BASE, "seeds": [1]})["seeds"] == [0, 1]
