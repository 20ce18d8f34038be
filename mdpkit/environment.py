r"""Environments: a model as it answers a learner, with noise, with an adversary's rewards, or late.

>>> import numpy as np, mdpkit as mk
>>> river = mk.instances.make("riverswim").under(mk.FiniteHorizon(10))
>>> Delayed(Environment(river, noise="bernoulli"), 3)
Delayed(Environment(6 states, H=10, bernoulli rewards), by 3 episodes)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.learner import Arena, View
from mdpkit.models.canonical import Canonical, canonical
from mdpkit.models.mdp import MDP
from mdpkit.models.sampling import check_count, initial_law
from mdpkit.typing import Array, Floats, Ints

__all__ = [
    "Adversarial",
    "Delayed",
    "Environment",
    "environment_of",
    "independent",
    "random_walk",
    "switching",
    "unit_rewards",
]

KINDS = ("finite", "average", "discounted")


class Environment:
    """A model that is acted in: episodes of H stages, one endless run, or discounted episodes with resets.

    Parameters
    ----------
    mdp : MDP
        Under ``FiniteHorizon``, ``AverageReward`` or ``Discounted``.
    noise : None or "bernoulli"
        Whether a reward is paid as it is, or as a coin of this mean; rewards in [0, 1] then, and hidden from learners.
    known : bool
        Whether learners are told the transition law.

    Raises
    ------
    UnsupportedError
        For other criteria, terminal rewards, or a discounted finite horizon.
    OptionError
        For unknown noise, or rewards that are no means of coins.
    """

    def __init__(self, mdp: MDP, noise: str | None = None, *, known: bool = False):
        if not isinstance(mdp, MDP):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise OptionError(
                "there is nothing here to play in", found=type(mdp).__name__, needed="an MDP or an Environment"
            )
        problem = canonical(mdp)
        if problem.kind not in KINDS or problem.fixed is not None:
            raise UnsupportedError(
                f"there is no learning under {mdp.criterion}",
                needed="FiniteHorizon(H), AverageReward() or Discounted(gamma)",
                way_out="mdp.under(mk.FiniteHorizon(20))",
            )
        if problem.kind == "finite" and (np.any(problem.gamma != 1) or np.any(problem.terminal)):
            raise UnsupportedError(
                "learners play undiscounted episodes without terminal rewards",
                found=f"{mdp.criterion}",
                way_out="pay terminal rewards in the last stage",
            )
        if problem.kind == "discounted" and not problem.one_discount:
            raise UnsupportedError("learners play problems of one discount factor", found=f"{mdp.criterion}")
        if noise not in (None, "bernoulli"):
            raise OptionError("the noise is unknown", found=noise, needed="None or 'bernoulli'")
        self.mdp, self.problem, self.noise, self.known = mdp, problem, noise, bool(known)
        initial_law(mdp)  # raises if there is none
        low, high = self.range
        if noise and (low < 0 or high > 1):
            raise OptionError(
                "a reward is no mean of a coin", found=f"rewards in [{low:g}, {high:g}]", needed="0 <= r <= 1",
                way_out="mdpkit.environment.unit_rewards(mdp) rescales them",
            )  # fmt: skip

    @property
    def base(self) -> Environment:
        """The environment without wrappers."""
        return self

    @property
    def adversarial(self) -> bool:
        """Whether rewards change from episode to episode."""
        return False

    @property
    def delayed(self) -> bool:
        """Whether feedback may come late."""
        return False

    @property
    def revealed(self) -> bool:
        """Whether learners are told an episode's whole table with its feedback."""
        return False

    @property
    def tables(self) -> Floats:
        """Mean rewards to maximize, ``(M, n, L)`` with n = 1 or H: the tables that episodes have."""
        return np.ascontiguousarray(self.problem.r.reshape(1, -1, self.mdp.n_pairs))

    @property
    def extra(self) -> Floats:
        """Rewards of stored transitions, signed; empty where rewards depend on pairs alone."""
        own = self.mdp.reward.transition if self.mdp.active is not None else None
        return np.empty(0) if own is None else self.problem.sign * np.asarray(own, dtype=np.float64)

    @property
    def range(self) -> tuple[float, float]:
        """Least and largest reward, to maximize."""
        extra = self.base.extra
        values = self.tables if not len(extra) or self.adversarial else extra
        return float(np.min(values)), float(np.max(values))

    def which(self, rounds: int) -> Ints:
        """Which of the tables each episode has, ``(rounds,)``."""
        return np.zeros(rounds if self.adversarial else 1, dtype=np.int64)

    def arrival(self, rounds: int) -> Ints:
        """The episode at whose end each episode's feedback arrives; empty where that is its own."""
        return np.empty(0, dtype=np.int64)

    def view(self, rounds: int) -> View:
        """What a learner is told before so many rounds."""
        p, mdp = self.base.problem, self.base.mdp
        low, high = self.range
        hidden = self.adversarial or self.base.noise is not None
        return View(
            kind=p.kind,
            n_states=p.n_states,
            pair_ptr=p.pair_ptr,
            state=p.state,
            action=mdp.action,
            H=p.H,
            gamma=float(p.gamma[0]) if p.kind == "discounted" else None,
            rho=mdp.rho,
            rounds=int(rounds),
            stages=None if p.P.n_rows == mdp.n_pairs else p.H,
            r=None if hidden else self.tables[0],
            reward_tables=self.tables.shape[1],
            low=low if self.base.noise is None else 0.0,
            high=high if self.base.noise is None else 1.0,
            P=p.P if self.base.known else None,
            phi=getattr(mdp, "features", None),
            delays=self.delayed,
            revealed=self.revealed,
        )

    def arena(self, rounds: int) -> Arena:
        """The environment as arrays, for compiled loops."""
        p, mdp = self.base.problem, self.base.mdp
        P = p.P
        return Arena(
            H=p.H or 0,
            gamma=float(p.gamma[0]),
            start=initial_law(mdp),
            rho=np.asarray(mdp.rho, dtype=np.float64),
            pair_ptr=p.pair_ptr,
            indptr=np.asarray(P.indptr, dtype=np.int64),
            indices=np.asarray(P.indices, dtype=np.int64),
            cum=np.asarray(P.cumulative),
            data=np.asarray(P.data, dtype=np.float64),
            stride=0 if P.n_rows == mdp.n_pairs else mdp.n_pairs,
            tables=self.tables,
            which=self.which(rounds),
            extra=np.empty(0) if self.adversarial else self.base.extra,
            noise=int(self.base.noise is not None),
            arrival=self.arrival(rounds),
        )

    def __repr__(self) -> str:
        p = self.problem
        kind = f"H={p.H}" if p.kind == "finite" else "no episodes" if p.kind == "average" else f"gamma={p.gamma[0]:g}"
        noise = f", {self.noise} rewards" if self.noise else ""
        return f"Environment({p.n_states} states, {kind}{noise}{', known law' if self.known else ''})"


class Adversarial(Environment):
    """An environment whose rewards an oblivious adversary chose beforehand, one table for each episode.

    Parameters
    ----------
    environment : Environment or MDP
        With a finite horizon; its own rewards are not paid.
    rewards : (M, L) or (M, H, L)
        Tables of mean rewards by pair, to maximize; :func:`switching`, :func:`random_walk` and :func:`independent` make
        tables and choices: ``Adversarial(mdp, *switching(tables, 1000, 10))``.
    which : (K,) int, optional
        Which table each episode has; episodes go through the tables in turn by default.
    revealed : bool
        Whether feedback tells the whole table of its episode, not only what was paid on the way (full information).

    Raises
    ------
    OptionError
        For shapes that do not fit, for fewer entries of ``which`` than episodes, for tables that are no means of coins
        where rewards are coins, or where an adversary is there already.
    UnsupportedError
        Without a finite horizon.
    """

    def __init__(self, environment: Environment | MDP, rewards: Any, which: Any = None, *, revealed: bool = False):
        self._inner = environment_of(environment)
        self._revealed = bool(revealed)
        if self._inner.adversarial:
            raise OptionError(
                "there is an adversary already", found=repr(self._inner), needed="an environment without one"
            )
        base = self._inner.base
        if base.problem.kind != "finite":
            raise UnsupportedError("an adversary plays episodes", needed="FiniteHorizon(H)")
        H, L = base.problem.H, base.mdp.n_pairs
        tables = np.asarray(rewards, dtype=np.float64)
        tables = tables[:, None, :] if tables.ndim == 2 else tables
        if tables.ndim != 3 or not len(tables) or tables.shape[1] not in (1, H) or tables.shape[2] != L:
            raise OptionError(
                "the adversary's rewards have the wrong shape",
                found=np.shape(rewards),
                needed=f"(M, {L}) or (M, {H}, {L})",
            )
        if not np.all(np.isfinite(tables)):
            raise OptionError("the adversary's rewards are not finite", needed="numbers")
        self._tables = np.ascontiguousarray(tables)
        if base.noise and (tables.min() < 0 or tables.max() > 1):
            raise OptionError(
                "a reward is no mean of a coin", found=f"rewards in [{tables.min():g}, {tables.max():g}]",
                needed="0 <= r <= 1",
            )  # fmt: skip
        self._which = None
        if which is not None:
            chosen = np.asarray(which)
            if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or np.any((chosen < 0) | (chosen >= len(tables))):
                raise OptionError("which names no table", found=which, needed=f"integers from 0 to {len(tables) - 1}")
            self._which = chosen.astype(np.int64)

    @property
    def base(self) -> Environment:
        """The environment without wrappers."""
        return self._inner.base

    @property
    def adversarial(self) -> bool:
        """Whether rewards change from episode to episode."""
        return True

    @property
    def delayed(self) -> bool:
        """Whether feedback may come late."""
        return self._inner.delayed

    @property
    def revealed(self) -> bool:
        """Whether learners are told an episode's whole table with its feedback."""
        return self._revealed

    @property
    def tables(self) -> Floats:
        """Mean rewards to maximize, ``(M, n, L)``."""
        return self._tables

    def which(self, rounds: int) -> Ints:
        """Which of the tables each episode has, ``(rounds,)``."""
        if self._which is None:
            return np.arange(rounds, dtype=np.int64) % len(self._tables)
        if len(self._which) < rounds:
            raise OptionError(
                "the adversary has too few tables", found=f"{len(self._which)} episodes", needed=f"{rounds} episodes"
            )
        return self._which[:rounds]

    def arrival(self, rounds: int) -> Ints:
        """The episode at whose end each episode's feedback arrives; empty where that is its own."""
        return self._inner.arrival(rounds)

    def __repr__(self) -> str:
        return f"Adversarial({self._inner!r}, {len(self._tables)} tables)"


class Delayed(Environment):
    """An environment whose feedback on episode k arrives at the end of episode k + d.

    Parameters
    ----------
    environment : Environment or MDP
        With a finite horizon.
    delays : int or (K,) int
        d, or d of each episode.

    Raises
    ------
    OptionError
        For a negative delay, a sequence of another length than the number of episodes, or where feedback is late already.
    UnsupportedError
        Without a finite horizon.
    """

    def __init__(self, environment: Environment | MDP, delays: Any):
        self._inner = environment_of(environment)
        if self._inner.base.problem.kind != "finite":
            raise UnsupportedError("feedback is delayed in episodes", needed="FiniteHorizon(H)")
        if self._inner.delayed:
            raise OptionError(
                "feedback is late already", found=repr(self._inner), needed="one wrapper with the sums of the delays"
            )
        array = np.asarray(delays)
        if array.ndim > 1 or array.dtype.kind not in "iu" or np.any(array < 0):
            raise OptionError("the delays are no counts", found=delays, needed="integers >= 0, one or one an episode")
        self._delays = array.astype(np.int64)

    @property
    def base(self) -> Environment:
        """The environment without wrappers."""
        return self._inner.base

    @property
    def adversarial(self) -> bool:
        """Whether rewards change from episode to episode."""
        return self._inner.adversarial

    @property
    def delayed(self) -> bool:
        """Whether feedback may come late."""
        return True

    @property
    def revealed(self) -> bool:
        """Whether learners are told an episode's whole table with its feedback."""
        return self._inner.revealed

    @property
    def tables(self) -> Floats:
        """Mean rewards to maximize, ``(M, n, L)``."""
        return self._inner.tables

    def which(self, rounds: int) -> Ints:
        """Which of the tables each episode has, ``(rounds,)``."""
        return self._inner.which(rounds)

    def delays(self, rounds: int) -> Ints:
        """The delay of each episode, ``(rounds,)``."""
        if self._delays.ndim == 0:
            return np.full(rounds, self._delays)
        if len(self._delays) != rounds:
            raise OptionError(
                "the delays and the episodes differ in number", found=f"{len(self._delays)} delays", needed=f"{rounds}"
            )
        return self._delays

    def arrival(self, rounds: int) -> Ints:
        """The episode at whose end each episode's feedback arrives."""
        return np.arange(rounds) + self.delays(rounds)

    def __repr__(self) -> str:
        least, most = int(self._delays.min(initial=0)), int(self._delays.max(initial=0))
        by = f"{most} episodes" if self._delays.ndim == 0 else f"{least} to {most} episodes"
        return f"Delayed({self._inner!r}, by {by})"


def switching(tables: Any, rounds: int, every: int) -> tuple[Floats, Ints]:
    """An adversary that goes through tables in turn and changes to the next one after ``every`` episodes.

    Parameters
    ----------
    tables : (M, L) or (M, H, L)
    rounds : int
        Number K of episodes.
    every : int

    Returns
    -------
    tables, which
        For :class:`Adversarial`.

    Examples
    --------
    >>> switching([[0.0, 1.0], [1.0, 0.0]], 6, 2)[1]
    array([0, 0, 1, 1, 0, 0])
    """
    _check(rounds=rounds, every=every)
    array = np.asarray(tables, dtype=np.float64)
    return array, np.arange(rounds, dtype=np.int64) // every % len(array)


def independent(tables: Any, law: Any, rounds: int, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """An adversary that draws the table of each episode from a law over them: a stochastic world with joint rewards.

    Parameters
    ----------
    tables : (M, L) or (M, H, L)
    law : (M,)
    rounds : int
        Number K of episodes.
    rng : numpy.random.Generator

    Returns
    -------
    tables, which
        For :class:`Adversarial`.

    Raises
    ------
    OptionError
        If the law is none.

    Examples
    --------
    >>> independent([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0], 3, np.random.default_rng(0))[1]
    array([1, 1, 1])
    """
    _check(rounds=rounds)
    array, p = np.asarray(tables, dtype=np.float64), np.asarray(law, dtype=np.float64)
    if p.shape != (len(array),) or np.any(p < 0) or not np.isclose(p.sum(), 1):
        raise OptionError("this is no law over the tables", found=law, needed=f"{len(array)} probabilities")
    cut = np.cumsum(p)
    last = int(np.flatnonzero(p)[-1])
    return array, np.minimum(np.searchsorted(cut, rng.random(rounds), side="right"), last).astype(np.int64)


def random_walk(start: Any, rounds: int, step: float, rng: np.random.Generator, every: int = 1) -> tuple[Floats, Ints]:
    """An adversary whose rewards each walk up or down by ``step``, reflected at 0 and 1, after ``every`` episodes.

    Parameters
    ----------
    start : (L,) or (H, L)
        The first table, in [0, 1].
    rounds : int
        Number K of episodes.
    step : float
        Between 0 and 1.
    rng : numpy.random.Generator
    every : int

    Returns
    -------
    tables, which
        For :class:`Adversarial`.

    Raises
    ------
    OptionError
        For a start or a step outside of [0, 1].

    Examples
    --------
    >>> tables, which = random_walk([0.5, 1.0], 4, 0.25, np.random.default_rng(0), every=2)
    >>> tables.shape, which
    ((2, 2), array([0, 0, 1, 1]))
    """
    _check(rounds=rounds, every=every)
    first = np.asarray(start, dtype=np.float64)
    if not first.size or np.any((first < 0) | (first > 1)) or not 0 <= step <= 1:
        raise OptionError("the walk leaves [0, 1]", found=f"start {start}, step {step}", needed="both in [0, 1]")
    moves = step * rng.choice([-1.0, 1.0], size=((rounds - 1) // every, *first.shape))
    y = np.abs(first + np.concatenate((np.zeros((1, *first.shape)), np.cumsum(moves, axis=0)))) % 2
    return np.minimum(y, 2 - y), np.arange(rounds, dtype=np.int64) // every


def _check(**counts: int) -> None:
    for name, value in counts.items():
        check_count(value, name, 1)


def environment_of(problem: Any) -> Environment:
    """The environment, or the one that a model is without noise."""
    return problem if isinstance(problem, Environment) else Environment(problem)


def unit_rewards(mdp: MDP) -> MDP:
    """The model with its rewards to maximize mapped onto [0, 1], in proportion.

    Optimal policies stay, for undiscounted episodes, discounted and average reward; regret is divided by the range.

    Parameters
    ----------
    mdp : MDP
        With rewards by pair.

    Raises
    ------
    UnsupportedError
        For rewards of transitions.
    """
    p: Canonical = canonical(mdp)
    if mdp.reward.transition is not None:
        raise UnsupportedError("rewards of transitions are not rescaled", way_out="build the model with r(s, a)")
    if mdp.reward.exact is not None:
        values: Any = p.r_exact
    else:
        values = p.r
    low, high = values.min(), values.max()
    shifted = (values - low) / (high - low) if high > low else values - low
    table: Array = shifted if len(shifted) == mdp.n_pairs else shifted.reshape(-1, mdp.n_pairs)
    rho = mdp.rho if mdp.rho_exact is None else mdp.rho_exact
    names: dict[str, Any] = {"labels": mdp.labels, "state_names": mdp.state_names, "pair_names": mdp.pair_names}
    return MDP(mdp.P, table, mdp.criterion, state=mdp.state, action=mdp.action, rho=rho, **names)
