"""Checking many claims: in parallel, written down as they come, resumed where a run was stopped."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mdpkit.claims.check import check
from mdpkit.claims.claim import Claim, Level
from mdpkit.claims.evidence import Evidence, Verdict
from mdpkit.claims.registry import get

__all__ = ["Journal", "Run", "Selection", "fingerprint", "recorded", "select", "verify"]

BUDGET = 150.0
"""Seconds that the level ``fast`` may take on each core, by the times of the last recorded run."""
UNKNOWN = 2.0
"""Seconds taken for a claim that has no recorded time."""


def _root() -> Path:
    return Path(__file__).resolve().parents[1]


@cache
def fingerprint() -> str:
    """A digest of the library's code and of the versions below it: results of other code are not reused."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    digest = hashlib.sha256()
    for path in sorted([*_root().rglob("*.py"), *_root().glob("solvers/**/*.py"), *_root().glob("proofs/**/*.*")]):
        if path.is_file() and path.name != "verdicts.json" and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(_root())).encode())
            digest.update(path.read_bytes())
    digest.update(platform.python_version().encode())
    for package in ("numpy", "scipy", "numba", "python-flint", "sympy"):
        try:
            digest.update(version(package).encode())
        except PackageNotFoundError:
            digest.update(b"-")
    return digest.hexdigest()[:16]


class Journal:
    """The results of a run that may be stopped: one line of JSON each, appended as they come.

    Parameters
    ----------
    level, seed
        Of the run; runs of other levels, seeds or code have journals of their own.
    folder : Path, optional
        ``$MDPKIT_CACHE``, or ``mdpkit`` in the user's cache folder.
    """

    def __init__(self, level: str, seed: int, folder: Path | None = None):
        self.folder = folder or cache_folder()
        self.path = self.folder / f"verify-{level}-{seed}-{fingerprint()}.jsonl"

    def read(self) -> dict[str, Evidence]:
        """The results so far; a line that was cut off is left out."""
        found: dict[str, Evidence] = {}
        if self.path.is_file():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    evidence = Evidence.from_dict(json.loads(line))
                except (ValueError, KeyError, TypeError):
                    continue
                found[evidence.id] = evidence
        return found

    def add(self, evidence: Evidence) -> None:
        """Append a result."""
        self.folder.mkdir(parents=True, exist_ok=True)
        start = ""
        if self.path.is_file():
            with self.path.open("rb") as old:
                old.seek(0, os.SEEK_END)
                if old.tell():
                    old.seek(-1, os.SEEK_END)
                    start = "" if old.read(1) == b"\n" else "\n"
        with self.path.open("a", encoding="utf-8") as file:
            file.write(start + evidence.to_json() + "\n")
            file.flush()
            os.fsync(file.fileno())

    def close(self, ids: Collection[str] | None = None) -> None:
        """Forget the results of claims whose run is complete, or all of them; those of other runs stay."""
        kept = {} if ids is None else {i: e for i, e in self.read().items() if i not in set(ids)}
        if not kept:
            self.path.unlink(missing_ok=True)
            return
        part = self.path.with_suffix(f".{os.getpid()}.part")
        part.write_text("".join(e.to_json() + "\n" for e in kept.values()), encoding="utf-8")
        part.replace(self.path)

    def usable(self) -> bool:
        """Whether results can be written here."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                return True
        except OSError:
            return False


def cache_folder() -> Path:
    """Where stopped runs are kept: ``$MDPKIT_CACHE``, or ``mdpkit`` in the user's cache folder."""
    if os.environ.get("MDPKIT_CACHE"):
        return Path(os.environ["MDPKIT_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "mdpkit"


@cache
def recorded() -> dict[str, Any]:
    """The last recorded full run: ``commit``, ``date``, ``rows`` (by id), ``fast`` (seconds by id); empty if there is none."""
    from importlib.resources import files

    file = files("mdpkit.proofs").joinpath("verdicts.json")
    if not file.is_file():
        return {"commit": None, "date": None, "rows": {}, "fast": {}}
    return json.loads(file.read_text(encoding="utf-8"))


def record(path: Path, run: Run, commit: str | None, date: str) -> None:
    """Store a run as the recorded one: the rows of a full run, or the times of a fast one."""
    old: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    data: dict[str, Any] = {"commit": None, "date": None, "seed": 0, "cores": None, "rows": {}, "fast": {}, **old}
    if run.level == "full":
        rows = {
            e.id: {
                **e.row(),
                "worst": e.worst,
                "faults": [[f.name, f.own, f.killed, f.reason] for f in e.faults if f.applied],
            }
            for e in run.results
        }
        data |= {"commit": commit, "date": date, "seed": run.seed, "cores": os.cpu_count(), "rows": rows}
    else:
        data["fast"] = {e.id: round(e.seconds, 2) for e in run.results}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    recorded.cache_clear()


@dataclass(frozen=True)
class Selection:
    """The claims of a run, and what was left out to fit the time."""

    claims: list[Claim]
    left_out: int = 0
    rotation: int | None = None


def select(claims: Sequence[Claim], level: Level, jobs: int, rotation: int, *, whole: bool = False) -> Selection:
    """All of the claims, or at level ``fast`` as many as fit the time, drawn by ``rotation``.

    Parameters
    ----------
    claims : claims to choose from
    level, jobs
    rotation : int
        Seed of the draw; another one brings other claims.
    whole : bool
        Never leave any out.
    """
    seconds = recorded()["fast"]
    cost = [float(seconds.get(c.id, UNKNOWN)) for c in claims]
    if whole or level == "full" or sum(cost) <= BUDGET * jobs:
        return Selection(list(claims))
    chosen: list[int] = []
    spent = 0.0
    order: list[int] = np.random.default_rng(rotation).permutation(len(claims)).tolist()
    for i in order:
        if spent + cost[i] <= BUDGET * jobs:
            chosen.append(i)
            spent += cost[i]
    return Selection([claims[i] for i in sorted(chosen)], len(claims) - len(chosen), rotation)


@dataclass
class Run:
    """A run of ``mdpkit verify``: its results in the order of the claims."""

    level: Level
    seed: int
    results: list[Evidence] = field(default_factory=list[Evidence])
    resumed: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def ok(self) -> bool:
        """Whether every claim stands."""
        return not self.interrupted and all(e.verdict.ok for e in self.results)

    @property
    def killed(self) -> tuple[int, int]:
        """Generic mutations killed and applicable, over all claims."""
        return sum(e.killed for e in self.results), sum(e.applicable for e in self.results)


def verify(
    claims: Sequence[Claim],
    level: Level = "fast",
    *,
    seed: int = 0,
    jobs: int = 1,
    journal: Journal | None = None,
    begun: Callable[[str], None] | None = None,
    done: Callable[[Evidence], None] | None = None,
) -> Run:
    """Check claims, ``jobs`` at a time.

    Parameters
    ----------
    claims : claims
    level : {"fast", "full"}
    seed : int
    jobs : int
    journal : Journal, optional
        Where results are written as they come, and read from first.
    begun, done : callbacks, optional
        Told the id of each claim as it begins, and its evidence.

    Returns
    -------
    Run
        Also after Ctrl-C, with ``interrupted`` set and what was finished.
    """
    started = time.perf_counter()
    run = Run(level, seed)
    kept = {} if journal is None else journal.read()
    results: dict[str, Evidence] = {c.id: kept[c.id] for c in claims if c.id in kept}
    run.resumed = len(results)
    for evidence in results.values():
        if done is not None:
            done(evidence)
    # The slowest first, so that the cores end together.
    times = {e_id: row["seconds"] for e_id, row in recorded()["rows"].items()} | recorded()["fast"]
    left = sorted((c.id for c in claims if c.id not in results), key=lambda i: -float(times.get(i, UNKNOWN)))
    try:
        for evidence in _checked(left, level, seed, jobs, begun):
            results[evidence.id] = evidence
            if journal is not None:
                journal.add(evidence)
            if done is not None:
                done(evidence)
    except KeyboardInterrupt:
        run.interrupted = True
    else:
        if journal is not None:
            journal.close([c.id for c in claims])
    run.results = [results[c.id] for c in claims if c.id in results]
    run.seconds = time.perf_counter() - started
    return run


def _checked(
    ids: Sequence[str], level: Level, seed: int, jobs: int, begun: Callable[[str], None] | None
) -> Generator[Evidence]:
    def tasks() -> Generator[str]:
        for item in ids:
            if begun is not None:
                begun(item)
            yield item

    if jobs == 1 or len(ids) < 2:
        for item in tasks():
            yield _check(item, level, seed)
        return
    joblib: Any = import_module("joblib")
    pool: Any = joblib.Parallel(
        n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=jobs, timeout=None
    )
    # pre_dispatch = jobs: a claim is begun when a worker is free for it.
    yield from pool(joblib.delayed(_check)(item, level, seed) for item in tasks())


def _check(id: str, level: Level, seed: int) -> Evidence:
    """The evidence for one claim; a check that breaks down establishes nothing."""
    c = get(id)
    started = time.perf_counter()
    try:
        return check(c, level, seed=seed)
    except Exception as error:  # whatever a broken solver raises
        return Evidence.of(
            c,
            Verdict.NOT_ESTABLISHED,
            level,
            seed,
            notes=(f"the check broke down: {type(error).__name__}: {error}",),
            seconds=time.perf_counter() - started,
        )
