"""A line on a terminal that says how far a run is; nothing where standard error is no terminal."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any

__all__ = ["Progress"]

DELAY = 2.0


class Progress:
    """A progress line on standard error that appears after two seconds and vanishes at the end.

    An instance is itself the callback ``(step, gap, goal)`` of :func:`mdpkit.solve`: calling it only takes notes, the
    line is drawn by a thread.

    Parameters
    ----------
    phase : str
        What is going on; assign to ``phase`` as it changes.
    wanted : bool
        Whether to show anything.
    """

    def __init__(self, phase: str, wanted: bool = True):
        self.phase = phase
        self.notes: tuple[int, float, float] | None = None
        self._wanted = wanted and sys.stderr.isatty()
        self._started = time.monotonic()
        self._end: float | None = None
        self._lock = threading.Lock()
        self._live: Any = None
        self._over = False
        self._timer: threading.Timer | None = None

    def __call__(self, step: int, gap: float, goal: float) -> None:
        """Note the step, the current bound on the gap, and the goal."""
        self.notes = (step, gap, goal)

    def enter(self, phase: str, left: float | None = None) -> None:
        """Begin another phase, of which so many seconds are left, if that is known."""
        self.phase, self.notes = phase, None
        self._end = None if left is None else time.monotonic() + left

    def __enter__(self) -> Progress:
        if self._wanted:
            self._timer = threading.Timer(DELAY, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._over = True
            if self._live is not None:
                self._live.stop()
                self._live = None

    def text(self) -> str:
        """The line, without its spinner."""
        now = time.monotonic()
        elapsed = _clock(now - self._started)
        if self.notes is None:
            left = "" if self._end is None else f", about {_clock(max(0.0, self._end - now))} left"
            return f"{self.phase}{left}  {elapsed}"
        step, gap, goal = self.notes
        towards = "" if goal <= 0 else f", goal {goal:.1e}"
        known = "no bound yet" if gap == float("inf") else f"gap {gap:.1e}"
        return f"{self.phase}: step {step:,}, {known}{towards}  {elapsed}"

    def _show(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner
        from rich.text import Text

        spinner = Spinner("line")

        def line() -> Any:
            spinner.update(text=Text(self.text(), no_wrap=True, overflow="ellipsis"))
            return spinner

        with self._lock:
            if self._over:
                return
            live = Live(get_renderable=line, console=Console(stderr=True), refresh_per_second=8, transient=True)
            live.start()
            self._live = live


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
