"""Seconds of ``import mdpkit`` in fresh processes, beside those of ``import scipy.sparse``: medians, and their ratio.

``python benchmarks/imports.py [repeats]``
"""

from __future__ import annotations

import statistics
import subprocess
import sys


def median_of(module: str, repeats: int) -> float:
    code = f"import time; t = time.process_time(); import {module}; print(time.process_time() - t)"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(repeats)
    ]
    return statistics.median(float(run.stdout) for run in runs)


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    ours, base = median_of("mdpkit", repeats), median_of("scipy.sparse", repeats)
    print(
        f"import mdpkit {ours:.3f} s, import scipy.sparse {base:.3f} s (CPU, medians of {repeats}): ratio {ours / base:.2f}"
    )


if __name__ == "__main__":
    main()
