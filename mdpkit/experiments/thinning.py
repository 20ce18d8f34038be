"""Which rounds of a long run are stored."""

from __future__ import annotations

import numpy as np

from mdpkit.typing import Ints

__all__ = ["EVEN", "OCTAVE", "rule", "thinned"]

EVEN = 1000
"""Points at equal distances."""
OCTAVE = 64
"""Points from each power of two to the next."""


def thinned(n: int) -> Ints:
    """Rounds, from 1 to n, that are stored of a run of n: a grid in integers, the same everywhere.

    All up to 128; then 64 from each power of two to the next, evenly, and 1000 over the whole run, evenly.

    Examples
    --------
    >>> len(thinned(100)), len(thinned(1_000_000)), int(thinned(1_000_000)[-1])
    (100, 1944, 1000000)
    """
    parts = [np.arange(1, EVEN + 1, dtype=np.int64) * n // EVEN]
    power = 1
    while power <= n:
        parts.append(power * (OCTAVE + np.arange(OCTAVE, dtype=np.int64)) // OCTAVE)
        power *= 2
    parts.append(np.array([n], dtype=np.int64))
    found = np.unique(np.concatenate(parts))
    return found[(found >= 1) & (found <= n)]


def rule() -> str:
    """The rule in words, for manifests."""
    return f"{OCTAVE} rounds from each power of two to the next and {EVEN} evenly; totals are of all rounds"
