"""What mdpkit does, in some minutes: ``make demo``, or ``python examples/demo.py [FOLDER]``.

Solves problems of every kind through the command line, checks each certificate again in a process of its own, prints
one table, and draws a picture. Then ``mdpkit verify --level fast`` checks the library's claims about its algorithms,
and writes a page of them. Everything is written to the folder (``demo-output``); nothing is opened. The exit code is 1
if a certificate fails or a claim does not stand.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table


class Problem(NamedTuple):
    name: str
    source: str
    options: tuple[str, ...] = ()


MAZE = "maze.drn.gz"
ICE = "frozenlake.drn.gz"
LAKE = "instance:frozenlake?map_name=8x8"

PROBLEMS = [
    Problem("RiverSwim, γ .99", "instance:riverswim", ("--exact",)),
    Problem("FrozenLake 8×8, γ .99", LAKE),
    Problem("Garnet, γ .999", "instance:garnet?S=2000&A=4&branching=5&exact=false", ("--gamma", "0.999")),
    Problem("Inventory, 3 months", "instance:puterman-inventory", ("--exact",)),
    Problem("RiverSwim, 20 stages", "instance:riverswim", ("--horizon", "20", "--exact")),
    Problem("-10 a step, kept 9/10", "instance:leaving", ("--exact",)),
    Problem("Taxicab, average", "instance:howard-taxicab", ("--criterion", "average", "--exact")),
    Problem("15 classes, average", "instance:multichain-blocks?transient=200", ()),
    Problem("Maze's file, cost", MAZE, ("--property", 'R{"r"}min=? [F "target"]')),
    Problem("Haddad-Monmege 20", "instance:haddad-monmege?n=20", ("--exact",)),
    Problem("Ice's file, Pmax=?", ICE, ("--property", 'Pmax=? [!"trap" U "goal"]', "--exact")),
    Problem("Ice's file, Pmax>=.9", ICE, ("--property", 'Pmax>=0.9 [!"trap" U "goal"]')),
]


def mdpkit(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "mdpkit", *arguments], capture_output=True, text=True, encoding="utf-8"
    )


def solve(problem: Problem, number: int, folder: Path) -> tuple[dict[str, object] | None, str]:
    """The command's JSON, and the verdict on its certificate from a second process."""
    source = str(folder / problem.source) if problem.source in (MAZE, ICE) else problem.source
    certificate = str(folder / f"certificate-{number}.npz")
    run = mdpkit("solve", source, *problem.options, "--json", "--cert", certificate, "--force")
    if run.returncode != 0:
        return None, f"solve failed: {run.stderr.strip()}"
    check = mdpkit("check", certificate, source, "--json")
    if check.returncode not in (0, 1):
        return json.loads(run.stdout), f"check failed: {check.stderr.strip()}"
    verdict = json.loads(check.stdout)
    return json.loads(run.stdout), "valid" if verdict["valid"] else f"NOT valid: {verdict['reason']}"


def row(problem: Problem, found: dict[str, object] | None, verdict: str) -> list[str]:
    if found is None:
        return [problem.name, "", "", "", "", verdict]
    exact = {None: "", True: "true", False: "false"}.get(found["exact"], found["exact"])
    exact = str(exact) if len(str(exact)) <= 9 else f"{str(exact)[:8]}…"
    width = float(str(found["upper"])) - float(str(found["lower"]))
    width = 0.0 if found["exact"] is not None and found["status"] == "exact" else width
    return [
        problem.name,
        f"{found['states']:,}",
        f"{float(str(found['value'])):.8g}",
        f"{width:.1e}" if width else "0",
        exact,
        verdict,
    ]


def draw(path: Path) -> None:
    """Value and policy of the lake, and how fast four methods close their bounds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    import mdpkit as mk

    mdp = mk.load(LAKE)
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.6), layout="constrained", width_ratios=[1.2, 1])
    mk.plots.value_and_policy(mk.solve(mdp), ax=left)
    left.set_title("FrozenLake 8×8, slippery, γ = 0.99: optimal value and policy")
    methods = ("value_iteration", "gauss_seidel", "modified_policy_iteration", "policy_iteration")
    mk.plots.convergence([mk.solve(mdp, method) for method in methods], rate="gamma", ax=right)
    right.set_title("How the bounds on the value close")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> int:
    started = time.perf_counter()
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
    folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    for source, target in (
        ("instance:maze?width=40&height=40&seed=1", MAZE),
        ("instance:frozenlake", ICE),
    ):
        written = mdpkit("convert", source, str(folder / target), "--force")
        if written.returncode != 0:
            console.print(written.stderr, style="bold")
            return 1
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="mdpkit demo", title_justify="left")
    for name in ("problem", "states", "value", "gap", "exact", "checked"):
        table.add_column(
            name, justify="right" if name in ("states", "value", "gap") else "left", no_wrap=name == "problem"
        )
    failed = 0
    with ThreadPoolExecutor(2) as pool:
        work = pool.map(partial(solve, folder=folder), PROBLEMS, range(1, len(PROBLEMS) + 1))
        shown = track(work, "solving", len(PROBLEMS), console=console, transient=True, disable=not console.is_terminal)
        for problem, (found, verdict) in zip(PROBLEMS, shown, strict=True):
            failed += verdict != "valid"
            table.add_row(*row(problem, found, verdict))
    console.print(table)
    picture = folder / "frozenlake.png"
    draw(picture)
    good = len(PROBLEMS) - failed
    console.print("gap: certified upper bound minus lower bound", highlight=False)
    console.print(f"{good} of {len(PROBLEMS)} certificates checked in a second process and valid", highlight=False)
    console.print(
        f"picture: {picture}; models and certificates beside it ({time.perf_counter() - started:.0f} s)",
        highlight=False,
    )
    console.print("\nmdpkit verify --level fast", style="bold", highlight=False)
    report = folder / "claims"
    verified = subprocess.run([sys.executable, "-m", "mdpkit", "verify", "--level", "fast", "--report", str(report)])
    console.print(f"claims: {report / 'index.html'} ({time.perf_counter() - started:.0f} s in all)", highlight=False)
    return 1 if failed or verified.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
