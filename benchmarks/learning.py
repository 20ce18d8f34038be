"""Episodes a second of UCBVI, here and in rlberry-scool, on one core, in one run, alternating: ratios, not seconds.

``python benchmarks/learning.py`` from the root of the repository. rlberry-scool runs in this environment, or in that of
``--peer PYTHON``: once as it is (the planner of 0.7.3 is plain Python), once with its planner compiled by numba. A
dense problem of 20 states, 4 actions and 20 stages; all plan again after every episode. Here the
exact regret of every episode is included; the peer computes none.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

S, A, H = 20, 4, 20
ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "learning.json"

PEER = r"""
import json, logging, sys, time
logging.disable(logging.CRITICAL)
import numpy as np
from rlberry.envs.finite_mdp import FiniteMDP
from rlberry_scool.agents.ucbvi import UCBVIAgent, ucbvi
S, A, H, by_stage, compiled = map(int, sys.argv[1:6])
if compiled:
    import numba
    for name in ("backward_induction_in_place", "backward_induction_reward_sd", "backward_induction_sd"):
        setattr(ucbvi, name, numba.njit(getattr(ucbvi, name)))
rng = np.random.default_rng(0)
P, r = rng.dirichlet(np.ones(S), size=(S, A)), rng.random((S, A))
agent = UCBVIAgent(FiniteMDP(r, P, initial_state_distribution=0), horizon=H, gamma=1.0, stage_dependent=bool(by_stage))
agent.fit(20)
for line in sys.stdin:
    n = int(line)
    started = time.perf_counter()
    agent.fit(n)
    print(json.dumps(n / (time.perf_counter() - started)), flush=True)
"""

PEERS = {"rlberry_scool": 0, "rlberry_scool_compiled": 1}
BONUSES = ("hoeffding", "bernstein")


def peer(python: str, by_stage: int, compiled: int) -> subprocess.Popen[str]:
    """A process that plays the peer's UCBVI for as many episodes as a line of its input says."""
    return subprocess.Popen(
        [python, "-W", "ignore", "-c", PEER, *map(str, (S, A, H, by_stage, compiled))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def rate_of(process: subprocess.Popen[str], episodes: int) -> float:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{episodes}\n")
    process.stdin.flush()
    return float(json.loads(process.stdout.readline()))


def one_core() -> None:
    """Only one core, for this process and its children."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default=sys.executable, help="a Python that has rlberry-scool")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=20_000)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.relative_to(ROOT)}")
    options = parser.parse_args()
    one_core()

    import numpy as np

    import mdpkit as mk
    from mdpkit.solvers.exploration import UCBVI

    rng = np.random.default_rng(0)
    P, r = rng.dirichlet(np.ones(S), size=(S, A)), rng.random((S, A))
    pooled = mk.MDP(P, r, mk.FiniteHorizon(H), rho=0)
    staged = mk.MDP(
        np.broadcast_to(P, (H, S, A, S)).copy(), np.broadcast_to(r, (H, S, A)).copy(), mk.FiniteHorizon(H), rho=0
    )
    report: dict[str, object] = {
        "what": f"UCBVI, dense, S={S}, A={A}, H={H}, planning after every episode, one core; medians, {options.rounds} rounds",
        "date": str(date.today()),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip(),
    }
    for name, mdp, by_stage in (("laws pooled over stages", pooled, 0), ("laws by stage", staged, 1)):
        peers = {label: peer(options.peer, by_stage, compiled) for label, compiled in PEERS.items()}
        rows: dict[str, list[float]] = {label: [] for label in (*peers, *BONUSES)}
        for bonus in BONUSES:
            mk.play(mdp, UCBVI(bonus), episodes=10, rng=np.random.default_rng(0))  # compiles
        for _ in range(options.rounds):
            for label, process in peers.items():
                rows[label].append(rate_of(process, 150 if label == "rlberry_scool" else 3_000))
            for bonus in BONUSES:
                started = time.perf_counter()
                mk.play(mdp, UCBVI(bonus), episodes=options.episodes, rng=np.random.default_rng(0))
                rows[bonus].append(options.episodes / (time.perf_counter() - started))
        for process in peers.values():
            process.communicate()
        medians = {label: statistics.median(rates) for label, rates in rows.items()}
        for bonus in BONUSES:
            rate = medians[bonus]
            print(f"{name}, {bonus}: {rate:,.0f} episodes/s")
            entry: dict[str, float] = {"episodes_per_second": round(rate)}
            for label in PEERS:
                other = medians[label]
                print(f"  {label} {other:,.0f}; ratio {rate / other:,.0f}")
                entry |= {label: round(other), f"ratio_to_{label}": round(rate / other, 1)}
            report[f"{name}, {bonus}"] = entry
    if options.write:
        RESULT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
