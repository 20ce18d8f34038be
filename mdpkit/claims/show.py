"""Tables and progress of ``mdpkit claims`` and ``mdpkit verify``."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from mdpkit.claims.claim import Claim
from mdpkit.claims.evidence import Evidence, Verdict

__all__ = ["Board", "claim_rows", "claims_table", "verdict_table"]

STYLES = {
    Verdict.PROVED: "bold green",
    Verdict.VERIFIED: "green",
    Verdict.HELD: "green",
    Verdict.CONSISTENT: "cyan",
    Verdict.REFUTED: "bold red",
    Verdict.NOT_ESTABLISHED: "red",
    Verdict.VACUOUS: "yellow",
    Verdict.STATED: "dim",
}


def claim_rows(
    claims: Sequence[Claim], stated: Sequence[dict[str, str]], recorded: dict[str, Any]
) -> list[dict[str, Any]]:
    """Rows of ``mdpkit claims --json``: those that run, and those that are only stated."""
    rows: list[dict[str, Any]] = []
    for c in claims:
        last = recorded["rows"].get(c.id)
        rows.append(
            {
                "id": c.id,
                "paper": c.paper,
                "family": c.family,
                "kind": c.kind,
                "mode": c.mode,
                "title": c.title,
                "says": c.says,
                "where": c.where,
                "domain": c.domain,
                "caveat": c.caveat,
                "controls": [m.name for m in c.controls],
                "about": [kind.__name__ for kind in c.about],
                "verdict": None if last is None else last["verdict"],
                "date": None if last is None else recorded["date"],
            }
        )
    for entry in stated:
        rows.append(
            {
                "id": entry["id"],
                "paper": entry["id"].partition(":")[0],
                "family": None,
                "kind": entry["kind"],
                "mode": None,
                "title": entry["about"],
                "says": entry["says"].strip(),
                "where": entry["where"],
                "domain": "",
                "caveat": "",
                "controls": [],
                "about": [],
                "verdict": str(Verdict.STATED),
                "date": None,
            }
        )
    return rows


def claims_table(rows: Sequence[dict[str, Any]]) -> Any:
    """The claims as a table: id, statement in words, kind, and the last recorded verdict."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("claim, statement, kind and mode", overflow="fold")
    table.add_column("last full run", overflow="fold", max_width=13)
    family = None
    for row in rows:
        if row["family"] != family:
            family = row["family"]
            table.add_section()
            table.add_row(Text((family or "stated, not checked yet").replace("_", " "), style="bold"), "")
        words = Text(row["id"])
        kind = row["kind"] + (f", {row['mode']}" if row["mode"] else "")
        words.append(f"\n{row['title']} ({kind})", style="dim")
        verdict = row["verdict"] or "not recorded"
        style = next((s for v, s in STYLES.items() if str(v) == verdict), "dim")
        table.add_row(words, Text(verdict, style=style))
    return table


def _number(x: float | None) -> str:
    return "" if x is None else f"{x:.2g}"


def verdict_table(results: Sequence[Evidence]) -> Any:
    """The table at the end of a run."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("claim", overflow="fold", ratio=1)
    table.add_column("verdict", overflow="fold", max_width=11)
    table.add_column("tried", justify="right", no_wrap=True)
    table.add_column("slack, slope", justify="right", overflow="fold", max_width=14)
    table.add_column("controls", justify="right", no_wrap=True)
    table.add_column("faults", justify="right", no_wrap=True)
    for e in results:
        if e.slope is not None:
            value, low, high = e.slope
            measure = f"{value:.3g} ± {max(high - value, value - low):.1g}"
        elif e.slack is not None and e.slack < 0 and e.verdict.ok:
            measure = f"= within {-e.slack:.1g}"
        else:
            measure = _number(e.slack)
        own = e.controls
        name = Text(e.id)
        name.append(f"\n{e.title}", style="dim")
        table.add_row(
            name,
            Text(str(e.verdict), style=STYLES[e.verdict]),
            str(e.instances),
            measure,
            f"{sum(f.killed for f in own)}/{len(own)}",
            f"{e.killed}/{e.applicable}" if e.applicable else "",
        )
    return table


class Board:
    """Progress on standard error: how many claims are done, and which are under way; lines where it is no terminal.

    Parameters
    ----------
    total : int
        Number of claims.
    wanted : bool
        Whether to show anything.
    """

    def __init__(self, total: int, wanted: bool = True):
        self.total = total
        self.finished = 0
        self.bad = 0
        self.under_way: dict[str, float] = {}
        self._wanted = wanted
        self._lock = threading.Lock()
        self._live: Any = None
        self._started = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def begun(self, id: str) -> None:
        """A claim has begun."""
        with self._lock:
            self.under_way[id] = time.monotonic()

    def done(self, evidence: Evidence) -> None:
        """A claim is done."""
        with self._lock:
            self.under_way.pop(evidence.id, None)
            self.finished += 1
            self.bad += not evidence.verdict.ok
            finished = self.finished
        if self._wanted and not self._terminal:
            print(  # noqa: T201 - progress where there is no terminal
                f"[{finished}/{self.total}] {evidence.verdict}: {evidence.id} ({evidence.seconds:.1f} s)",
                file=sys.stderr,
                flush=True,
            )
        elif self._wanted and not evidence.verdict.ok and self._live is not None:
            from rich.text import Text

            self._live.console.print(Text(f"{evidence.verdict}: {evidence.id} {evidence.worst}", style="red"))

    def _render(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            seconds = int(time.monotonic() - self._started)
            head = f"{self.finished}/{self.total} claims"
            clock = f"{seconds // 60}:{seconds % 60:02}"
            row = Table.grid(padding=(0, 1))
            bar = ProgressBar(total=max(1, self.total), completed=self.finished, width=30)
            bad = Text(f"{self.bad} not standing" if self.bad else "", style="red")
            row.add_row(Text(head), bar, Text(clock, style="dim"), bad)
            now = time.monotonic()
            lines = [
                Text(f"  {item}  {now - since:.0f} s", style="dim", no_wrap=True, overflow="ellipsis")
                for item, since in self.under_way.items()
            ]
        return Group(row, *lines)

    def __enter__(self) -> Board:
        if self._wanted and self._terminal:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                get_renderable=self._render, console=Console(stderr=True), refresh_per_second=4, transient=True
            )
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
