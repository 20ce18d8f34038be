r"""Backward induction in integers: rationals over a denominator that is known beforehand, so that no fraction is reduced.

If every discounted probability is an integer over D and every reward one over R, the values h stages before the end are
integers over :math:`R D^h`.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.typing import Array, Ints, Objects

__all__ = ["IntegerStages"]

MAX_BITS = 4096
"""Longest common denominator of the probabilities for which integers over it pay."""


class IntegerStages:
    """The stages of a finite-horizon problem in integers.

    Parameters
    ----------
    indptr, indices, data, gamma : arrays
        Rows over pairs, ``data`` and ``gamma`` (one a pair of a stage) as Fractions; ``stages * L`` rows where they vary.
    r : (L,) or (stages * L,) Fractions
    terminal : (S,) Fractions
    H : int
        Number of stages.
    """

    def __init__(
        self, indptr: Ints, indices: Array, data: Objects, gamma: Objects, r: Objects, terminal: Objects, H: int
    ):
        self.H, self.L = H, len(gamma)
        self.indptr, self.indices = indptr, indices.astype(np.int64)
        if any(x != 1 for x in set(gamma.tolist())):
            data = data * _by_entry(gamma, indptr)
        self.D, self.weights = _common(data)
        self.R, both = _common(np.concatenate((r, terminal)))
        self.r, self.end = both[: len(r)], both[len(r) :]
        self.scale = [1]
        if self.usable:
            for _ in range(H):
                self.scale.append(self.scale[-1] * self.D)

    @property
    def usable(self) -> bool:
        """Whether the common denominator is short enough to pay."""
        return self.D.bit_length() <= MAX_BITS

    def action_values(self, h: int, N: Objects) -> Objects:
        """Integers over ``R D**(H - h)``: the action values of stage h, from the values N of stage h + 1."""
        L = self.L
        varying = len(self.indptr) - 1 != L
        ptr = self.indptr[h * L : (h + 1) * L + 1] if varying else self.indptr
        i, j = int(ptr[0]), int(ptr[-1])
        products = self.weights[i:j] * N[self.indices[i:j]]
        flow: Objects = np.add.reduceat(products, ptr[:-1] - i)
        r = self.r[h * L : (h + 1) * L] if len(self.r) != L else self.r
        return flow + r * self.scale[self.H - h] if any(r) else flow

    def fractions(self, h: int, N: Objects) -> Objects:
        """The values that the integers N of stage h stand for."""
        denominator = self.R * self.scale[self.H - h]
        known = {n: Fraction(n, denominator) for n in set(N.tolist())}
        return _objects([known[n] for n in N.tolist()])

    def integers(self, h: int, V: Array) -> Objects | None:
        """The integers of stage h that stand for the Fractions V, or ``None`` if one is none."""
        denominator = self.R * self.scale[self.H - h]
        out: list[int] = []
        for x in V.tolist():
            quotient, rest = divmod(denominator, x.denominator)
            if rest:
                return None
            out.append(x.numerator * quotient)
        return _objects(out)


def _by_entry(gamma: Objects, indptr: Ints) -> Objects:
    rows = len(indptr) - 1
    return np.repeat(np.tile(gamma, rows // len(gamma)), np.diff(indptr))


def _common(values: Array) -> tuple[int, Objects]:
    """A common denominator, and the numerators over it."""
    entries: list[Any] = values.tolist()
    denominator = math.lcm(*{x.denominator for x in entries})
    return denominator, _objects([x.numerator * (denominator // x.denominator) for x in entries])


def _objects(values: list[Any]) -> Objects:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
