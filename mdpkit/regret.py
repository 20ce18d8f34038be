r"""The regret of a run: exact, round by round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mdpkit.learner import Learner, View
from mdpkit.typing import Array, Floats, Ints

__all__ = ["Regret"]


@dataclass(frozen=True, eq=False)
class Regret:
    r"""What a learner lost against the best policy, round by round.

    Values are exact: those of the policies that were played, not of what they happened to earn. Of a continuing problem a round
    is a step, and its value the mean reward of the pair that was taken.

    Attributes
    ----------
    best : float or (n,)
        Value of the best policy: the optimal value at the initial law, the optimal gain, or, against an adversary, what
        the best fixed policy in hindsight earns in each episode.
    values : (n,) float
        Value of what was played.
    unit : {"episode", "epoch", "step"}
        What a round is.
    series : mapping
        What the learner noted, ``(n,)`` each: ``"index"``, ``"switches"`` …
    learner : Learner
    environment : Environment
    steps : int
        Interactions with the environment.
    view : View
        What the learner was told.
    states, pairs, rewards : arrays or None
        The history ``(n, H + 1)``, ``(n, H)``, ``(n, H)`` (of a continuing problem ``(n + 1,)``, ``(n,)``, ``(n,)``), if kept.
    seconds : float
    """

    best: Any
    values: Floats
    unit: str
    series: Mapping[str, Floats]
    learner: Learner[Any]
    environment: Any
    steps: int
    view: View = field(repr=False)
    states: Ints | None = None
    pairs: Ints | None = None
    rewards: Floats | None = None
    seconds: float = 0.0

    @cached_property
    def per_round(self) -> Floats:
        """The gap of each round, best less played, ``(n,)``; its sum is the regret."""
        return np.asarray(self.best - self.values)

    @property
    def per_episode(self) -> Floats:
        """The gap of each round, ``(n,)``."""
        return self.per_round

    @cached_property
    def cumulative(self) -> Floats:
        """Regret after each round, ``(n,)``."""
        return np.cumsum(self.per_round)

    @property
    def total(self) -> float:
        """Regret of the whole run."""
        return float(self.cumulative[-1]) if len(self.values) else 0.0

    @cached_property
    def bound(self) -> Array | None:
        """The learner's bound on the regret after each round, ``(n,)``, or None; ``learner.bounded_by`` is its claim."""
        return self.learner.bound(self.view, np.arange(1, len(self.values) + 1))

    @property
    def trivial(self) -> float:
        """What a round can cost at most by the range of the rewards: H of them, or one step's, or 1/(1 - gamma) of them."""
        width = self.view.high - self.view.low
        return width * (self.view.H or (1.0 if self.view.gamma is None else 1 / (1 - self.view.gamma)))

    @cached_property
    def informative_from(self) -> int | None:
        """The first round from which the bound lies below what rounds can cost at most (HK); None if it never does.

        Searched beyond the rounds that were played, up to a million million.
        """
        n = np.unique(np.logspace(0, 12, 2000).astype(np.int64))
        bound = self.learner.bound(self.view, n)
        if bound is None:
            return None
        good = bound < self.trivial * n
        if not good[-1]:
            return None
        bad = np.flatnonzero(~good)
        low, high = (int(n[bad[-1]]), int(n[bad[-1] + 1])) if len(bad) else (0, int(n[0]))
        while high - low > 1:
            middle = (low + high) // 2
            value = self.learner.bound(self.view, np.array([middle]))
            low, high = (low, middle) if value is not None and value[0] < self.trivial * middle else (middle, high)
        return high

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        n = len(self.values)
        return f"Regret({self.total:.6g} after {n:,} {self.unit}s of {type(self.learner).__name__})"
