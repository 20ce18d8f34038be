"""Measure the solvers side by side and write docs/choose_table.md: ratios within one run, not seconds.

``python benchmarks/choose.py`` from the root of the repository; ``--limit 20`` seconds for one solve.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import subprocess
import time
from datetime import date
from pathlib import Path
from typing import Any

import mdpkit as mk
from mdpkit.choose import methods
from mdpkit.models.canonical import canonical

FORK = multiprocessing.get_context("fork")  # children share the compiled kernels, and can be stopped in foreign code
ROOT = Path(__file__).resolve().parents[1]


def steps(text: str, slip: object) -> mk.MDP:
    """The least number of steps to the goal of a map."""
    room = mk.instances.from_map(text, mk.TotalReward("goal"), step=1, rewards={"G": 1}, slip=slip)
    return room.under(minimize=True)


def problems() -> dict[str, list[tuple[str, mk.MDP]]]:
    """Names and models by kind of problem."""
    make = mk.instances.make
    gamma = mk.Discounted(0.99)
    field = "\n".join("." * 100 for _ in range(50)) + "\n" + "." * 50 + "S....G" + "." * 44
    return {
        "discounted": [
            ("FrozenLake 8x8, γ = .99", make("frozenlake", map_name="8x8").under(gamma)),
            ("RiverSwim, 100 states, γ = .99", make("riverswim", n_states=100).under(gamma)),
            ("Garnet, 1,000 states, γ = .99", make("garnet", S=1000, A=4, branching=5, seed=1, exact=False).under(gamma)),
            ("the same, γ = .9999", make("garnet", S=1000, A=4, branching=5, seed=1, exact=False).under(mk.Discounted(0.9999))),
            ("Garnet, 20,000 states, γ = .99", make("garnet", S=20_000, A=4, branching=5, seed=1, exact=False).under(gamma)),
            ("maze 100x100, γ = .99", make("maze", width=100, height=100, seed=1).under(gamma)),
            ("20,000 states in layers, γ = .99", make("random-layered", width=200, depth=100, A=4, exact=False).under(gamma)),
        ],
        "total": [
            ("Haddad–Monmege, n = 10", make("haddad-monmege", n=10)),
            ("gambler", make("gambler")),
            ("slippery room 60x60", steps("60x60", "1/5")),
            ("20,000 states in layers", make("random-layered", width=200, depth=100, A=4, exact=False)),
            ("goal near in a field of 5,100", steps(field, 0)),
        ],
        "average": [
            ("RiverSwim, 100 states", make("riverswim", n_states=100)),
            ("Howard's automobile", make("howard-automobile")),
            ("Garnet, 1,000 states", make("garnet", S=1000, A=4, branching=5, seed=1, exact=False)),
            ("Garnet, 20,000 states", make("garnet", S=20_000, A=4, branching=5, seed=1, exact=False)),
            ("two queues, 961 states", make("parallel-queues", capacity=30, exact=False)),
            ("15 classes, 800 states", make("multichain-blocks", classes=15, block=20, transient=500)),
        ],
    }  # fmt: skip


WARM = {
    "discounted": lambda: mk.instances.make("puterman-two-state"),
    "total": lambda: mk.instances.make("haddad-monmege", n=3),
    "average": lambda: mk.instances.make("howard-toymaker").under(mk.AverageReward()),
}
"""A small model of each kind, on which the kernels are compiled before anything is timed."""


def _measure(mdp: mk.MDP, solver: object, connection: Any) -> None:
    times: list[float] = []
    while len(times) < 5 and sum(times) < 2.0:
        started = time.perf_counter()
        solution = mk.solve(mdp, solver)
        times.append(time.perf_counter() - started)
    connection.send(statistics.median(times) if solution.status.ok else None)


def seconds(mdp: mk.MDP, solver: object, limit: float) -> float | None:
    """Median time of a solve to the default gap, or None beyond the limit or where the gap is not met."""
    here, there = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_measure, args=(mdp, solver, there))
    child.start()
    try:
        return here.recv() if here.poll(limit) else None
    finally:
        child.kill()
        child.join()


def cell(ratio: float | None) -> str:
    """A ratio as text."""
    if ratio is None:
        return "—"
    text = f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"
    return f"**{text}**" if ratio == 1 else text


def main() -> None:
    """Run everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=float, default=20.0)
    limit = parser.parse_args().limit
    tables: list[str] = []
    for kind, models in problems().items():
        models = [(title, mdp.under(mk.AverageReward()) if kind == "average" else mdp) for title, mdp in models]
        names = list(methods(canonical(models[0][1])))
        for name in names:
            mk.solve(WARM[kind](), name)
        columns: list[dict[str, float | None]] = []
        for title, mdp in models:
            accepted = methods(canonical(mdp))
            taken = {name: seconds(mdp, accepted[name](), limit) for name in names if name in accepted}
            best = min(t for t in taken.values() if t is not None)
            columns.append({name: None if t is None else t / best for name, t in taken.items()})
            print(kind, title, {n: cell(r) for n, r in columns[-1].items()}, flush=True)
        lines = [f"| {kind} | " + " | ".join(title for title, _ in models) + " |", "|---|" + "--:|" * len(models)]
        for name in sorted(names, key=lambda n: statistics.median(c.get(n) or 1e9 for c in columns)):
            row = [cell(column[name]) if name in column else "" for column in columns]
            lines.append(f"| `{name}` | " + " | ".join(row) + " |")
        tables.append("\n".join(lines))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    text = (
        f"""<!-- Written by benchmarks/choose.py; do not edit. -->
## Measured

Time to the default certified gap (relative 1e-9) as a multiple of the fastest solver of the column, all in one run: ratios
carry over to other machines better than seconds. A dash: gap not met within {limit:g} seconds. Empty: not a problem of the
solver's kind. Solvers stand in the order of their medians.
Written by `benchmarks/choose.py` on {date.today().isoformat()} at commit `{commit}`.

"""
        + "\n\n".join(tables)
        + "\n"
    )
    (ROOT / "docs" / "choose_table.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
