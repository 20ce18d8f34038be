"""Column indices: unsigned 32-bit against signed ones in the same compiled sweep, as ratios within one run.

``python benchmarks/indices.py [repeats]`` prints one line a model: median time with signed indices over median time with
unsigned ones, the two taken in turn.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

import mdpkit as mk
from mdpkit.kernels import fast
from mdpkit.models.canonical import canonical


def seconds(p, indices, V, out, choice):
    started = time.perf_counter()
    fast.backup(p.pair_ptr, p.P.indptr, indices, p.P.data, p.r, p.gamma, V, out, choice)
    return time.perf_counter() - started


def main():
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 31
    for S, branching in ((1_000, 3), (1_000, 30), (100_000, 3), (100_000, 30)):
        mdp = mk.instances.make("garnet", S=S, A=4, branching=branching, seed=1, exact=False)
        p = canonical(mdp)
        V = np.random.default_rng(0).random(S)
        out, choice = np.empty(S), np.empty(S, dtype=np.int64)
        kinds = {name: p.P.indices.astype(name) for name in ("uint32", "int32", "int64")}
        times = {name: [] for name in kinds}
        for k in range(repeats + 1):
            for name, indices in kinds.items():
                taken = seconds(p, indices, V, out, choice)
                if k:
                    times[name].append(taken)
        base = statistics.median(times["uint32"])
        ratios = ", ".join(f"{name} {statistics.median(times[name]) / base:.2f}" for name in ("int32", "int64"))
        print(f"{S:,} states, {branching} successors a pair: times uint32's {base * 1e3:.3g} ms: {ratios}")


if __name__ == "__main__":
    main()
