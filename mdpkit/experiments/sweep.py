"""Computing many cells: one after another, in processes of this machine, or on a cluster, with joblib."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from mdpkit.errors import OptionError, UnsupportedError

__all__ = ["Cell", "Status", "Task", "check_jobs", "sweep"]

Arrays = Mapping[str, Any]


class Cell(NamedTuple):
    """A unit of storage: its name, which is a path, and its key."""

    name: str
    key: dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A unit of work, which fills one or more cells: ``work(*arguments)`` gives the arrays of each."""

    what: str
    group: str
    cells: tuple[Cell, ...]
    work: Callable[..., Sequence[Arrays]] = field(repr=False)
    arguments: tuple[Any, ...] = field(repr=False)


class Status(NamedTuple):
    """How far a sweep is: tasks done and in all, those found stored, and seconds left, None where nothing is known yet."""

    done: int
    total: int
    stored: int
    left: float | None


def check_jobs(jobs: int | None) -> None:
    """Refuse what is no number of processes.

    Raises
    ------
    OptionError
        For zero, or what is no integer.
    UnsupportedError
        If joblib is needed and missing.
    """
    if jobs is not None and (not isinstance(jobs, int) or isinstance(jobs, bool) or jobs == 0):
        raise OptionError(
            "jobs is no number of processes",
            found=repr(jobs),
            needed="1 or more; -1 for all cores or workers; None for what joblib.parallel_config says",
        )
    if jobs != 1:
        _joblib()


def _joblib() -> Any:
    try:
        return import_module("joblib")
    except ImportError:
        raise UnsupportedError(
            "several cells at a time take joblib", way_out="pip install 'mdpkit[experiments]', or jobs=1"
        ) from None


def sweep(
    tasks: Sequence[Task],
    jobs: int | None = 1,
    *,
    stored: int = 0,
    progress: Callable[[Status], None] | None = None,
) -> Generator[tuple[Task, Sequence[Arrays]]]:
    """Compute tasks, and yield each with its arrays as it ends.

    Parameters
    ----------
    tasks : tasks
        Begun in this order.
    jobs : int or None
        Processes; ``-1`` as many as cores or workers of the cluster; None what ``joblib.parallel_config`` says.
    stored : int
        How many were found stored, for the progress.
    progress : Status -> None, optional
        Told after each task, and at the beginning.
    """
    clock = _Clock(tasks, stored, jobs, progress)
    clock.tell()
    if jobs == 1 or not tasks:
        arrays: Sequence[Arrays]
        for task in tasks:
            seconds, arrays = _timed(task.work, task.arguments, task.what, os.getpid())
            yield task, arrays
            clock.end(task, seconds)  # once it is stored
        return
    joblib = _joblib()
    pool: Any = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, max_nbytes=None)
    clock.jobs = _workers(joblib, jobs)
    here = os.getpid()
    calls = (joblib.delayed(_numbered)(i, t.work, t.arguments, t.what, here) for i, t in enumerate(tasks))
    results: Iterator[tuple[int, float, Sequence[Arrays]]] = pool(calls)
    for i, seconds, arrays in results:
        yield tasks[i], arrays
        clock.end(tasks[i], seconds)


def _workers(joblib: Any, jobs: int | None) -> int:
    try:
        return max(1, int(joblib.effective_n_jobs(jobs)))
    except (ValueError, RuntimeError):  # pragma: no cover - a backend that does not know
        return 1


def _numbered(i: int, work: Callable[..., Any], arguments: Any, what: str, driver: int) -> tuple[int, float, Any]:
    return i, *_timed(work, arguments, what, driver)


def _timed(work: Callable[..., Any], arguments: Any, what: str, driver: int) -> tuple[float, Any]:
    if os.getpid() != driver and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's business
        _mortal(driver)
    started = time.perf_counter()
    try:
        with _one_thread():
            arrays = work(*arguments)
    except Exception as error:
        error.add_note(f"in the cell {what}")
        raise
    return time.perf_counter() - started, arrays


@cache
def _mortal(driver: int) -> None:
    """End this process soon after its driver, if it is a child of it: a driver that was killed cannot do that itself."""
    if os.getppid() != driver:
        return

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _one_thread() -> AbstractContextManager[Any]:
    """Linear algebra in one thread: sums of several threads depend on how many there are."""
    try:
        threads: Any = import_module("threadpoolctl")
    except ImportError:
        return nullcontext()
    return threads.threadpool_limits(limits=1)


class _Clock:
    """What is known about the time that is left: the seconds that tasks of the same group took."""

    def __init__(self, tasks: Sequence[Task], stored: int, jobs: int | None, progress: Callable[[Status], None] | None):
        self.progress, self.stored, self.jobs = progress, stored, jobs or 1
        self.total, self.done = len(tasks) + stored, stored
        self.waiting: dict[str, int] = {}
        for task in tasks:
            self.waiting[task.group] = self.waiting.get(task.group, 0) + 1
        self.took: dict[str, list[float]] = {}

    def end(self, task: Task, seconds: float) -> None:
        self.done += 1
        self.waiting[task.group] -= 1
        self.took.setdefault(task.group, []).append(seconds)
        self.tell()

    def tell(self) -> None:
        if self.progress is not None:
            self.progress(Status(self.done, self.total, self.stored, self.left()))

    def left(self) -> float | None:
        # The first run of a process compiles; the median forgets it.
        known = {group: statistics.median_low(seconds) for group, seconds in self.took.items()}
        if not known:
            return None if any(self.waiting.values()) else 0.0
        usual = statistics.mean(known.values())
        work = sum(n * known.get(group, usual) for group, n in self.waiting.items())
        return work / max(1, abs(self.jobs))
