"""A sweep over a Dask cluster, here one of this machine: the same numbers as without."""

import subprocess
import sys

import pytest

SCRIPT = """
import joblib
import numpy as np
from dask.distributed import Client, LocalCluster

import mdpkit as mk

if __name__ == "__main__":
    river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(4))
    learners = ["ucbvi", "ucbvi?scale=0.1"]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        with joblib.parallel_config(backend="dask"):
            spread = mk.experiments.regret(river, learners, episodes=300, seeds=3, jobs=-1)
    alone = mk.experiments.regret(river, learners, episodes=300, seeds=3)
    assert spread.computed == 6 and set(spread.runs) == set(alone.runs)
    for key, run in alone.runs.items():
        assert np.array_equal(run.regret, spread.runs[key].regret)
    print("the same")
"""


def test_a_local_cluster(tmp_path):
    pytest.importorskip("joblib")
    pytest.importorskip("distributed")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert run.stdout.strip() == "the same", run.stderr[-3000:]
