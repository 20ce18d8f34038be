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


def problems() -> list[tuple[str, mk.MDP]]:
    """Names and models, from small to large."""
    make = mk.instances.make
    gamma = mk.Discounted(0.99)
    return [
        ("FrozenLake 8x8, γ = .99", make("frozenlake", map_name="8x8").under(gamma)),
        ("RiverSwim, 100 states, γ = .99", make("riverswim", n_states=100).under(gamma)),
        ("Garnet, 1,000 states, γ = .99", make("garnet", S=1000, A=4, branching=5, seed=1, exact=False).under(gamma)),
        (
            "Garnet, 20,000 states, γ = .99",
            make("garnet", S=20_000, A=4, branching=5, seed=1, exact=False).under(gamma),
        ),
        ("Maze 100x100, γ = .99", make("maze", width=100, height=100, seed=1).under(gamma)),
        ("Haddad–Monmege, n = 10", make("haddad-monmege", n=10)),
        ("Gambler, reachability", make("gambler")),
    ]


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
    for warm in (mk.instances.make("puterman-two-state"), mk.instances.make("haddad-monmege", n=3)):
        for kind in methods(canonical(warm)).values():
            mk.solve(warm, kind())
    names = [name for name in methods() if name != "backward_induction"]
    lines = ["| problem | " + " | ".join(f"`{name}`" for name in names) + " |", "|---|" + "--:|" * len(names)]
    for title, mdp in problems():
        accepted = methods(canonical(mdp))
        taken = {name: seconds(mdp, accepted[name](), limit) for name in names if name in accepted}
        best = min(t for t in taken.values() if t is not None)
        row = [
            cell(None if t is None else t / best) if name in taken else ""
            for name, t in ((n, taken.get(n)) for n in names)
        ]
        lines.append(f"| {title} ({mdp.n_states:,} states) | " + " | ".join(row) + " |")
        print(lines[-1], flush=True)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    text = (
        f"""<!-- Written by benchmarks/choose.py; do not edit. -->
## Measured

Time to the default certified gap (relative 1e-9) as a multiple of the fastest solver of the row, all in one run: ratios
carry over to other machines better than seconds. A dash: gap not met within {limit:g} seconds. Empty: not a problem of the
solver's kind. Written by `benchmarks/choose.py` on {date.today().isoformat()} at commit `{commit}`.

"""
        + "\n".join(lines)
        + "\n"
    )
    (ROOT / "docs" / "choose_table.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
