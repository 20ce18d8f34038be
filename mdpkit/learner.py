r"""Learners: algorithms that know a part of the problem and learn the rest by acting.

A learner sees a :class:`View`, the problem without its unknown parts, and feedback as tagged records (:class:`Step`,
:class:`Episode`, :class:`Delayed`). :func:`mdpkit.play` runs it, and computes its regret exactly.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.solver import Method
from mdpkit.typing import Array, Floats, Ints

__all__ = ["Arena", "Delayed", "Episode", "Learner", "Log", "Step", "View"]

State = TypeVar("State")

LARGEST = 100_000_000
"""Entries of the largest table of counts that a learner may ask for."""


class Step(NamedTuple):
    """One step of a continuing problem: at time t, pair ``pair`` of state s was taken."""

    t: int
    s: int
    pair: int
    reward: float
    s_next: int


class Episode(NamedTuple):
    """One episode: ``states (n + 1,)``, ``pairs (n,)`` (rows of the model), ``rewards (n,)``; n is H, or random with resets.

    ``table (1 or H, L)`` are the mean rewards of all pairs, where the environment reveals them.
    """

    k: int
    states: Ints
    pairs: Ints
    rewards: Floats
    table: Floats | None = None


class Delayed(NamedTuple):
    """What arrives at the end of episode ``k``: an earlier episode (``episode.k <= k``)."""

    k: int
    episode: Episode


@dataclass(frozen=True, eq=False)
class View:
    """A problem as a learner sees it: without its transition law, unless the environment reveals it.

    Attributes
    ----------
    kind : {"finite", "average", "discounted"}
    n_states : int
    pair_ptr, state, action : arrays
        The admissible pairs, sorted by state.
    H : int or None
        Number of stages of an episode.
    gamma : float or None
        Discount factor.
    rho : (S,) or None
        Initial law.
    rounds : int
        Number K of episodes, or T of steps, that will be played.
    stages : int or None
        H where the laws vary with the stage; None where they are the same in all stages.
    r : (n, L) or None
        Mean rewards to maximize, n = 1 or H, where they are known beforehand.
    reward_tables : int
        n, also where the rewards are hidden: H where they vary with the stage, else one.
    low, high : float
        Range of the rewards.
    P : Transitions or None
        The transition law, where the environment reveals it.
    phi : (L, d) or None
        Features, where the model has them.
    delays : bool
        Whether feedback may come late.
    revealed : bool
        Whether feedback on an episode tells the mean rewards of all pairs.
    """

    kind: str
    n_states: int
    pair_ptr: Ints
    state: Ints
    action: Ints
    H: int | None
    gamma: float | None
    rho: Array | None
    rounds: int
    stages: int | None = None
    r: Array | None = None
    reward_tables: int = 1
    low: float = 0.0
    high: float = 1.0
    P: Any = None
    phi: Array | None = None
    delays: bool = False
    revealed: bool = False

    @property
    def n_pairs(self) -> int:
        """Number L of admissible pairs."""
        return len(self.state)

    @property
    def tables(self) -> int:
        """How many laws a pair has: H where they vary with the stage, else one."""
        return 1 if self.stages is None else self.stages

    def rewards(self, learner: Any) -> Array:
        """The known mean rewards, ``(n, L)``.

        Raises
        ------
        UnsupportedError
            If the environment hides them.
        """
        if self.r is None:
            raise UnsupportedError(
                f"{type(learner).__name__} needs to know the rewards",
                needed="an environment of fixed rewards without noise",
                way_out="play another learner, or leave out the noise",
            )
        return self.r

    def unit_rewards(self, learner: Any) -> None:
        """Check that rewards lie in [0, 1], as a learner's bonuses assume.

        Raises
        ------
        OptionError
            If they do not.
        """
        if self.low < 0 or self.high > 1:
            raise OptionError(
                f"{type(learner).__name__} assumes rewards in [0, 1]",
                found=f"rewards in [{self.low:g}, {self.high:g}]",
                needed="0 <= r <= 1",
                way_out="mdpkit.environment.unit_rewards(mdp) rescales them",
            )

    def table(self, *shape: int) -> None:
        """Check that a table of counts is no larger than memory allows.

        Raises
        ------
        UnsupportedError
            If it is.
        """
        entries = int(np.prod(shape))
        if entries > LARGEST:
            raise UnsupportedError(
                "the model is too large for tables of counts",
                found=f"{entries:,} entries",
                needed=f"at most {LARGEST:,}",
            )


class Arena(NamedTuple):
    """An environment as compiled loops see it.

    ``tables (M, n, L)`` are mean rewards, of which episode k has ``which[k]``; n is 1 or H. ``extra (nnz,)`` are rewards of
    stored transitions, or empty. ``stride`` is L where the laws vary with the stage, else 0. ``noise`` is 1 for Bernoulli
    rewards. ``arrival (K,)`` is the episode at whose end the feedback of episode k arrives.
    """

    H: int
    gamma: float
    start: Floats
    rho: Floats
    pair_ptr: Ints
    indptr: Ints
    indices: Array
    cum: Floats
    data: Floats
    stride: int
    tables: Floats
    which: Ints
    extra: Floats
    noise: int
    arrival: Ints


class Log(NamedTuple):
    """What a run writes down, one row a round.

    ``values (n,)`` are the exact values of the policies played (of a continuing problem, mean rewards), ``series (n, m)`` what
    the learner notes, and, where the whole history is kept, ``states (n, H + 1)``, ``pairs (n, H)``, ``rewards (n, H)``.
    ``first`` is the number of the first round. Of discounted epochs ``pairs (n, 1)`` are their lengths, if a compiled loop
    played them.
    """

    first: int
    values: Floats
    series: Floats
    states: Ints
    pairs: Ints
    rewards: Floats


@dataclass(frozen=True)
class Learner(Method, Generic[State]):
    """Base of all learners: hyper-parameters in a frozen dataclass, no loops.

    A state may be changed in place by :meth:`observe`; whoever needs an earlier one copies it. Class attributes besides those
    of every method: ``series``, the names of what :meth:`notes` reports after each round; ``optimistic``, whether the first of
    them, ``"index"``, is meant to lie above the optimal value; ``delayed``, whether feedback may come late; ``bounded_by``,
    the claim that :meth:`bound` belongs to; ``bound_holds``, in what sense it bounds the regret.
    """

    series: ClassVar[tuple[str, ...]] = ()
    optimistic: ClassVar[bool] = False
    delayed: ClassVar[bool] = False
    bounded_by: ClassVar[str] = ""
    bound_holds: ClassVar[str] = ""

    def accepts(self, view: View) -> bool:
        """Whether the learner plays problems of this kind."""
        return view.kind in self.kinds and (self.delayed or not view.delays)

    @abstractmethod
    def begin(self, view: View, rng: np.random.Generator) -> State:
        """The state before the first round."""

    @abstractmethod
    def policy(self, state: State) -> Any:
        """What is played now.

        Of episodes: pairs ``(H, S)`` int, or probabilities of pairs ``(H, L)`` float; of other problems ``(S,)`` or ``(L,)``.
        A list of ``(weight, policy)`` is drawn from once an episode.
        """

    @abstractmethod
    def observe(self, state: State, feedback: Any, rng: np.random.Generator) -> State:
        """The state after a :class:`Step`, :class:`Episode` or :class:`Delayed`."""

    def notes(self, state: State) -> tuple[float, ...]:
        """Values of ``series`` that belong to the policy played now."""
        return ()

    def bound(self, view: View, rounds: Array) -> Array | None:
        """The bound of ``bounded_by`` on the regret after so many rounds; None where there is none."""
        return None

    def loop(
        self, view: View, arena: Arena, state: State, log: Log, outer: np.random.Generator, own: np.random.Generator
    ) -> State | None:
        """Play as many rounds as ``log`` has rows, compiled; None where the learner has no compiled loop.

        Draws and results are those of the round-by-round definition: ``outer`` gives what the environment draws, ``own`` what
        the learner does.
        """
        return None
