r"""Playing: a learner in an environment, round by round, with its exact regret; the only loops over rounds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple, cast

import numpy as np

from mdpkit.environment import Environment, environment_of
from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.kernels.gain import evaluate_average, improved_average
from mdpkit.learner import Arena, Delayed, Episode, Learner, Log, Step, View
from mdpkit.models.canonical import Canonical
from mdpkit.models.sampling import check_count, check_generator
from mdpkit.regret import Regret
from mdpkit.typing import Array, Floats, Ints

__all__ = ["Round", "learner_of", "optimum", "play", "rounds"]

CHUNK = 1 << 12


class Round(NamedTuple):
    """A round as it is played: what the learner knew and played, what that is worth, what happened, and what it is told."""

    k: int
    state: Any
    policy: Any
    value: float
    history: tuple[Any, Any, Any]
    feedback: list[Any]


UNITS = {"finite": "episode", "average": "step", "discounted": "epoch"}


def play(
    problem: Any,
    learner: Learner[Any] | str,
    *,
    episodes: int | None = None,
    steps: int | None = None,
    rng: np.random.Generator,
    keep: bool = False,
    compiled: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Regret:
    r"""Let a learner act in a problem that it does not know, and compute its regret exactly.

    Two streams of random numbers are spawned from ``rng``, one for the environment and one for the learner: learners that are
    played with generators of the same seed meet the same luck.

    Parameters
    ----------
    problem : MDP or Environment
        Under ``FiniteHorizon`` (episodes), ``AverageReward`` (steps of one run), or ``Discounted`` (epochs of geometric length,
        after each of which the state is drawn anew).
    learner : Learner or str
        Or its name with parameters, ``"ucbvi?bonus=bernstein"``, see :func:`mdpkit.choose.learner`.
    episodes : int
        Number of episodes, or of epochs.
    steps : int
        Number of steps of a continuing problem.
    rng : numpy.random.Generator
    keep : bool
        Whether to keep all states, pairs and rewards.
    compiled : bool, optional
        Whether to use the learner's compiled loop; where it has one, by default. The results are the same.
    progress : (round, rounds) -> None, optional
        Called as the run goes on.

    Returns
    -------
    Regret

    Raises
    ------
    UnsupportedError
        For a learner of other problems, or one without a compiled loop where that is asked for.
    OptionError
        If the number of rounds is missing, or given in the wrong unit.

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(5))
    >>> learner = mk.solvers.exploration.UCBVI()
    >>> mk.play(river, learner, episodes=200, rng=np.random.default_rng(0))
    Regret(26.1246 after 200 episodes of UCBVI)
    """
    environment = environment_of(problem)
    kind = environment.base.problem.kind
    check_generator(rng)
    rounds = _rounds(kind, episodes, steps)
    player = learner_of(learner)
    environment, view = _posed(environment, player, rounds)
    arena = environment.arena(rounds)
    started = time.perf_counter()
    outer, own = rng.spawn(2)
    state = player.begin(view, own)
    runner = _RUNNERS[kind](environment, view, arena, player, keep)
    done = 0
    while done < rounds:
        n = min(CHUNK, rounds - done)
        log = runner.log(done, n)
        after = None
        if compiled is not False:
            after = player.loop(view, arena, state, log, outer, own)
            if after is None and compiled:
                raise UnsupportedError(f"{type(player).__name__} has no compiled loop for {environment!r}")
        if after is None:
            compiled = False
            after = runner.run(state, log, outer, own)
        state = after
        runner.store(log)
        done += n
        if progress is not None:
            progress(done, rounds)
    best = optimum(environment, rounds)
    return Regret(
        best=best,
        values=runner.values[:rounds],
        unit=UNITS[kind],
        series={name: runner.series[:, i] for i, name in enumerate(player.series)},
        learner=player,
        environment=environment,
        steps=runner.steps(),
        view=view,
        **runner.history(),
        seconds=time.perf_counter() - started,
    )


def rounds(problem: Any, learner: Learner[Any] | str, n: int, rng: np.random.Generator) -> Iterator[Round]:
    """The rounds of :func:`play`, one by one, as the learner's methods define them; each is yielded before it is observed.

    Parameters
    ----------
    problem : MDP or Environment
    learner : Learner or str
    n : int
        Number of episodes, epochs or steps.
    rng : numpy.random.Generator
    """
    player = learner_of(learner)
    environment, view = _posed(problem, player, n)
    outer, own = rng.spawn(2)
    state = player.begin(view, own)
    runner = _RUNNERS[view.kind](environment, view, environment.arena(n), player, False)
    yield from runner.rounds(state, 0, n, outer, own)


def learner_of(one: Any) -> Learner[Any]:
    """A learner, or the one of that name.

    Raises
    ------
    OptionError
        For what is neither.
    """
    if isinstance(one, str):
        from mdpkit.choose import learner

        return learner(one)
    if not isinstance(one, Learner):
        raise OptionError(
            "this is no learner",
            found=repr(one),
            needed="a learner such as UCBVI(), or its name",
            way_out="see `mdpkit methods`",
        )
    return cast("Learner[Any]", one)


def _posed(problem: Any, learner: Learner[Any], rounds: int) -> tuple[Environment, View]:
    environment = environment_of(problem)
    kind = environment.base.problem.kind
    view = environment.view(rounds)
    if not learner.accepts(view):
        names = {"finite": "episodes", "average": "average reward", "discounted": "discounted reward"}
        needed = " or ".join(names[k] for k in learner.kinds)
        raise UnsupportedError(
            f"{type(learner).__name__} does not play {names[kind]} in {environment!r}",
            needed=f"{needed} with {learner.needs}" if learner.needs else needed,
            way_out="mdp.under(...) changes the criterion; `mdpkit methods` lists the learners",
        )
    return environment, view


def _rounds(kind: str, episodes: int | None, steps: int | None) -> int:
    unit, given, other = ("steps", steps, episodes) if kind == "average" else ("episodes", episodes, steps)
    if other is not None or given is None:
        raise OptionError(
            f"a problem of {'average reward' if kind == 'average' else 'episodes'} is played in {unit}",
            found=f"episodes={episodes}, steps={steps}",
            needed=f"{unit}=…",
        )
    check_count(given, unit, 1)
    return int(given)


# -- what is best ----------------------------------------------------------------------------------------------------


def optimum(environment: Environment, rounds: int) -> Any:
    """What regret compares with: optimal value at the initial law, optimal gain, or ``(rounds,)`` of the best fixed policy."""
    problem = environment.base.problem
    rho = np.asarray(environment.base.mdp.rho, dtype=np.float64)
    if problem.kind == "finite":
        which = environment.which(rounds)
        used, share = np.unique(which, return_counts=True)
        tables = environment.tables
        mean = np.tensordot(share / share.sum(), tables[used], axes=1)
        V, choice = stage_values(problem, mean)
        if len(used) == 1:
            return float(rho @ V[0])
        worth = {int(m): float(rho @ stage_values(problem, tables[m], choice)[0][0]) for m in used}
        return np.array([worth[int(m)] for m in which])
    choice = problem.pair_ptr[:-1].copy()
    if problem.kind == "discounted":
        gamma = float(problem.gamma[0])
        while True:
            V = discounted_value(problem, choice, gamma)
            better = _improved(problem.r + gamma * (problem.P @ V), problem.pair_ptr, choice)
            if np.array_equal(better, choice):
                return float(rho @ V)
            choice = better
    while True:
        gain, bias = evaluate_average(problem.P, problem.r, choice)
        better = improved_average(problem.P, problem.r, problem.pair_ptr, gain, bias, choice)
        if np.array_equal(better, choice):
            return float(rho @ gain)
        choice = better


def _improved(q: Array, pair_ptr: Ints, choice: Ints) -> Ints:
    from mdpkit.kernels import reference

    return reference.greedy_stable(q, pair_ptr, choice, 2.0**-44 * np.maximum(1.0, np.abs(q[choice])))


def stage_values(problem: Canonical, r: Array, policy: Any = None) -> tuple[Floats, Ints]:
    """Values ``(H + 1, S)`` of stages and the pairs chosen; optimal, or of ``policy``, pairs ``(H, S)`` or laws ``(H, L)``."""
    H, S, L = problem.H, problem.n_states, problem.mdp.n_pairs
    assert H is not None
    V, choice = np.zeros((H + 1, S)), np.zeros((H, S), dtype=np.int64)
    P = problem.P
    for h in range(H - 1, -1, -1):
        rows = P if P.n_rows == L else P.rows(h * L, (h + 1) * L)
        q = r[min(h, len(r) - 1)] + rows @ V[h + 1]
        if policy is None:
            from mdpkit.kernels import optimism

            V[h], choice[h] = optimism.greedy(q, problem.pair_ptr)
        elif policy.dtype.kind in "iu":
            V[h], choice[h] = q[policy[h]], policy[h]
        else:
            V[h] = np.add.reduceat(policy[h] * q, problem.pair_ptr[:-1])
    return V, choice


def discounted_value(problem: Canonical, policy: Array, gamma: float) -> Floats:
    """Value ``(S,)`` of pairs ``(S,)`` or a law ``(L,)``, by a dense solve."""
    from mdpkit.kernels import occupancy

    pi = policy
    if policy.dtype.kind in "iu":
        pi = np.zeros(problem.mdp.n_pairs)
        pi[policy] = 1.0
    return occupancy.evaluate(problem.P, problem.r, problem.gamma, pi, problem.pair_ptr)


# -- rounds, one by one: the definition ------------------------------------------------------------------------------


class _Runner:
    """Rounds of one kind of problem, played as the learner's methods define them."""

    def __init__(self, environment: Environment, view: View, arena: Arena, learner: Learner[Any], keep: bool):
        self.environment, self.view, self.arena, self.learner, self.keep = environment, view, arena, learner, keep
        n, m = view.rounds, len(learner.series)
        self.values, self.series = np.empty(n), np.empty((n, m))
        self.parts: list[Log] = []

    @property
    def length(self) -> int:
        """Steps of a round."""
        return self.view.H or 1

    def log(self, first: int, n: int) -> Log:
        """Room for the next rounds, some of it in the result itself."""
        kept, H = (n if self.keep else 0), self.length
        part = slice(first, first + n)
        return Log(
            first, self.values[part], self.series[part], np.empty((kept, H + 1), dtype=np.int64),
            np.empty((kept, H), dtype=np.int64), np.empty((kept, H)),
        )  # fmt: skip

    def store(self, log: Log) -> None:
        """Keep the history of some rounds."""
        if self.keep:
            self.parts.append(log)

    def history(self) -> dict[str, Any]:
        """The kept history."""
        if not self.keep:
            return {}
        return {
            name: np.concatenate([getattr(part, name) for part in self.parts])
            for name in ("states", "pairs", "rewards")
        }

    def steps(self) -> int:
        """Interactions with the environment."""
        return self.view.rounds * self.length

    def step(self, table: int, h: int, k: int, rng: np.random.Generator) -> tuple[int, float]:
        """``(next state, reward)``; the definition of :func:`mdpkit.kernels.online.episodes.step`."""
        a = self.arena
        row = h * a.stride + k
        i, j = int(a.indptr[row]), int(a.indptr[row + 1])
        e = i + int(np.searchsorted(a.cum[i:j], rng.random(), side="right"))
        reward = float(a.extra[e] if len(a.extra) else a.tables[table, min(h, a.tables.shape[1] - 1), k])
        if a.noise:
            reward = 1.0 if rng.random() < reward else 0.0
        return int(a.indices[e]), reward

    def act(self, policy: Array, s: int, rng: np.random.Generator) -> int:
        """The pair that a row of a policy, pairs ``(S,)`` or a law ``(L,)``, takes in state s."""
        if policy.dtype.kind in "iu":
            return int(policy[s])
        i, j = int(self.arena.pair_ptr[s]), int(self.arena.pair_ptr[s + 1])
        u, total, last = rng.random(), 0.0, i
        for k in range(i, j):
            if policy[k] > 0:
                last = k
                total += float(policy[k])
                if u < total:
                    return k
        return last

    def first(self, rng: np.random.Generator) -> int:
        """The state in which a run begins."""
        return int(np.searchsorted(self.arena.start, rng.random(), side="right"))

    def drawn(self, policy: Any, own: np.random.Generator) -> Any:
        """The policy itself, or the one drawn from a list with weights."""
        if not isinstance(policy, list):
            return policy
        u, total = own.random(), 0.0
        for weight, part in policy:  # pyright: ignore[reportUnknownVariableType]
            total += float(weight)  # pyright: ignore[reportUnknownArgumentType]
            if u < total:
                return part  # pyright: ignore[reportUnknownVariableType]
        return policy[-1][1]  # pyright: ignore[reportUnknownVariableType]

    def worth(self, policy: Any, table: int) -> float:
        """Exact value of what is played; of a list, the mean."""
        if isinstance(policy, list):
            return sum(float(w) * self.worth(part, table) for w, part in policy)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return self.value(self.check(policy), table)

    def check(self, policy: Any) -> Array:
        """The policy, of a shape that can be played."""
        found = np.asarray(policy)
        v = self.view
        shapes = {"i": v.n_states, "u": v.n_states, "f": v.n_pairs}
        size = shapes.get(found.dtype.kind)
        needed = (v.H, size) if v.kind == "finite" else (size,)
        if size is None or found.shape != needed:
            raise ModelError(
                f"{type(self.learner).__name__} plays no policy",
                found=f"{found.dtype} {found.shape}",
                needed=f"{needed}",
            )
        return found

    def value(self, policy: Array, table: int) -> float:
        """Exact value at the initial law."""
        raise NotImplementedError

    def rounds(
        self, state: Any, first: int, n: int, outer: np.random.Generator, own: np.random.Generator
    ) -> Generator[Round, None, Any]:
        """Play n rounds, one by one; each is yielded before the learner observes it. Returns the state after them."""
        raise NotImplementedError

    def run(self, state: Any, log: Log, outer: np.random.Generator, own: np.random.Generator) -> Any:
        """Play the rounds of the log."""
        playing = self.rounds(state, log.first, len(log.values), outer, own)
        for i in range(len(log.values)):
            played = next(playing)
            log.values[i] = played.value
            log.series[i] = self.learner.notes(played.state)
            if self.keep:
                log.states[i], log.pairs[i], log.rewards[i] = played.history
        try:
            next(playing)
        except StopIteration as end:
            return end.value


class _Episodes(_Runner):
    """Episodes of H stages."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.waiting: dict[int, deque[Episode]] = {}

    def value(self, policy: Array, table: int) -> float:
        """Exact value at the initial law."""
        problem = self.environment.base.problem
        V, _ = stage_values(problem, self.arena.tables[table], policy)
        return float(self.arena.rho @ V[0])

    def rounds(
        self, state: Any, first: int, n: int, outer: np.random.Generator, own: np.random.Generator
    ) -> Generator[Round, None, Any]:
        """Play n episodes."""
        H, arena = self.length, self.arena
        for k in range(first, first + n):
            table = int(arena.which[min(k, len(arena.which) - 1)])
            policy = self.learner.policy(state)
            value = self.worth(policy, table)
            chosen = self.drawn(policy, own)
            states, pairs, rewards = np.empty(H + 1, dtype=np.int64), np.empty(H, dtype=np.int64), np.empty(H)
            s = states[0] = self.first(outer)
            for h in range(H):
                pairs[h] = self.act(chosen[h], s, outer)
                s, rewards[h] = self.step(table, h, int(pairs[h]), outer)
                states[h + 1] = s
            told = arena.tables[table] if self.view.revealed else None
            feedback = self.feedback(Episode(k, states, pairs, rewards, told))
            yield Round(k, state, policy, value, (states, pairs, rewards), feedback)
            for each in feedback:
                state = self.learner.observe(state, each, own)
        return state

    def feedback(self, episode: Episode) -> list[Any]:
        """What arrives at the end of an episode, earlier ones first."""
        arrival = self.arena.arrival
        if not len(arrival):
            return [episode]
        k = episode.k
        self.waiting.setdefault(int(arrival[k]), deque()).append(episode)
        return [Delayed(k, old) for old in self.waiting.pop(k, ())]


class _Steps(_Runner):
    """One endless run."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.at: int | None = None

    def history(self) -> dict[str, Any]:
        """The kept history, as one run."""
        found = super().history()
        if found:
            states = found["states"]
            found = {
                "states": np.concatenate((states[:, 0], states[-1:, 1])),
                "pairs": found["pairs"][:, 0],
                "rewards": found["rewards"][:, 0],
            }
        return found

    def rounds(
        self, state: Any, first: int, n: int, outer: np.random.Generator, own: np.random.Generator
    ) -> Generator[Round, None, Any]:
        """Play n steps."""
        if self.at is None:
            self.at = self.first(outer)
        r = self.arena.tables[0, 0]
        for t in range(first, first + n):
            s = self.at
            policy = self.check(self.learner.policy(state))
            k = self.act(policy, s, outer)
            s_next, reward = self.step(0, 0, k, outer)
            feedback = Step(t, s, k, reward, s_next)
            yield Round(t, state, policy, float(r[k]), ((s, s_next), k, reward), [feedback])
            state = self.learner.observe(state, feedback, own)
            self.at = s_next
        return state


class _Epochs(_Runner):
    """Discounted problems: epochs of geometric length, each from the initial law."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.total = 0
        if self.keep:
            raise OptionError("epochs of different lengths are not kept", found="keep=True", way_out="keep=False")

    def log(self, first: int, n: int) -> Log:
        """Room for the next epochs, and for their lengths."""
        return super().log(first, n)._replace(pairs=np.zeros((n, 1), dtype=np.int64))

    def store(self, log: Log) -> None:
        """Count the steps of a compiled loop."""
        self.total += int(log.pairs.sum())

    def steps(self) -> int:
        """Interactions with the environment."""
        return self.total

    def value(self, policy: Array, table: int) -> float:
        """Exact value at the initial law."""
        problem = self.environment.base.problem
        return float(self.arena.rho @ discounted_value(problem, policy, self.arena.gamma))

    def rounds(
        self, state: Any, first: int, n: int, outer: np.random.Generator, own: np.random.Generator
    ) -> Generator[Round, None, Any]:
        """Play n epochs."""
        for k in range(first, first + n):
            policy = self.learner.policy(state)
            value = self.worth(policy, 0)
            chosen = self.drawn(policy, own)
            states, pairs, rewards = [self.first(outer)], list[int](), list[float]()
            while True:
                pairs.append(self.act(chosen, states[-1], outer))
                s, reward = self.step(0, 0, pairs[-1], outer)
                states.append(s)
                rewards.append(reward)
                if outer.random() >= self.arena.gamma:
                    break
            self.total += len(pairs)
            history = np.array(states), np.array(pairs), np.array(rewards)
            yield Round(k, state, policy, value, history, [Episode(k, *history)])
            state = self.learner.observe(state, Episode(k, *history), own)
        return state


_RUNNERS: dict[str, type[_Runner]] = {"finite": _Episodes, "average": _Steps, "discounted": _Epochs}
