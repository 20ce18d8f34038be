"""Where results come from: versions, commit, machine, command and time."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["commit", "now", "provenance", "versions"]


def versions() -> dict[str, str]:
    """Versions of the code that results depend on."""
    from mdpkit import __version__

    found = {"mdpkit": __version__}
    for package in ("numpy", "scipy", "numba"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # pragma: no cover - they are required
            continue
    return found


def commit() -> str | None:
    """The commit of the source checkout, if this is one; ``+`` after it says that files were changed since."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):
        return None


def now() -> str:
    """The time, with its zone."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def provenance(command: str | None = None) -> dict[str, Any]:
    """What is written down about a run, as plain types."""
    return {
        "command": shlex.join(sys.argv) if command is None else command,
        "started": now(),
        "ended": None,
        "state": "running",
        "commit": commit(),
        "versions": versions() | {"python": platform.python_version()},
        "machine": {
            "name": platform.node(),
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
    }
