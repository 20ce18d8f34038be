r"""Gymnasium: models as environments, and environments with a transition table as models.

Gymnasium is imported when an environment is made or read, not before.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import io
import math
import warnings
from collections.abc import Generator, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

import numpy as np

from mdpkit.errors import ModelError, OptionError, UnsupportedError, nearest
from mdpkit.kernels.rational import rationalize
from mdpkit.kernels.sparse import sp
from mdpkit.models.criterion import Criterion, FiniteHorizon, Invariance, Reachability, TotalReward
from mdpkit.models.mdp import MDP
from mdpkit.models.sampling import check_count, initial_law, sampled_rewards
from mdpkit.models.transitions import DENSE_FROM, Transitions
from mdpkit.typing import Array, Bools, Floats

if TYPE_CHECKING:
    import gymnasium

    _Env = gymnasium.Env[int, int]
else:
    try:
        from gymnasium import Env as _Env
    except ImportError:
        _Env = object

__all__ = ["MDPEnv", "from_gym"]


def _gymnasium() -> Any:
    try:
        return importlib.import_module("gymnasium")
    except ImportError:
        raise UnsupportedError(
            "gymnasium is not installed", needed="the gym extra", way_out='pip install "mdpkit[gym]"'
        ) from None


# ------------------------------------------------------------------------------------------------------ environment


class MDPEnv(_Env):
    r"""A model as a Gymnasium environment with discrete spaces.

    An agent that maximizes its return solves the model: costs of a minimized model are paid with a minus sign; under a
    probability of reaching a target, entering the target pays 1 (under an invariance, leaving the safe states pays -1)
    and nothing else pays. The reward of a step is r(s, a, s') where the model has such; at the end of a finite horizon
    the (discounted) terminal reward comes with the last step. Discounting is left to the agent.

    An episode is *terminated* on entering a state that no action leaves and that pays nothing, or a state whose value
    the criterion fixes (a target); it is *truncated* after ``max_steps`` steps or the criterion's horizon or step
    bound.

    Parameters
    ----------
    mdp : MDP
        Without an initial law every state is an equally likely start.
    seed : int, optional
        Seed of the first episode that is reset without one.
    max_steps : int, optional

    Attributes
    ----------
    P : dict
        Table ``P[s][a] = [(probability, next state, reward, terminated), ...]`` as of Gymnasium's toy texts.

    Raises
    ------
    UnsupportedError
        If gymnasium is not installed.
    OptionError
        If ``max_steps`` is no positive count.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]

    def __init__(self, mdp: MDP, seed: int | None = None, max_steps: int | None = None):
        gymnasium = _gymnasium()
        if max_steps is not None:
            check_count(max_steps, "max_steps", least=1)
        self.mdp = mdp
        self.render_mode = None
        self.observation_space = gymnasium.spaces.Discrete(mdp.n_states)
        self.action_space = gymnasium.spaces.Discrete(mdp.n_actions)
        c = mdp.criterion
        horizon = c.H if isinstance(c, FiniteHorizon) else getattr(c, "steps", None)
        limits = [int(n) for n in (horizon, max_steps, mdp.stages) if n is not None]
        self.max_steps: int | None = min(limits) if limits else None
        self._final_step = horizon
        self._rules = _Rules(mdp)
        start = None if mdp.rho is not None else np.full(mdp.n_states, 1.0 / mdp.n_states)
        self._start = initial_law(mdp, start)
        self.initial_state_distrib = None if mdp.rho is None else np.array(mdp.rho)
        self._ragged = mdp.n_pairs != mdp.n_states * mdp.n_actions
        self.s: int | None = None
        self._steps = 0
        if seed is not None:
            super().reset(seed=int(seed))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Start an episode, in ``options["state"]`` if given; returns the state and the info.

        Raises
        ------
        ModelError, OptionError
            If the state is out of range, or another option is given.
        """
        super().reset(seed=seed)
        given = dict(options or {})
        state = given.pop("state", None)
        if given:
            raise OptionError(f"unknown option {next(iter(given))!r} of reset", needed='options={"state": s}')
        if state is None:
            state = np.searchsorted(self._start, self.np_random.random(), side="right")
        self.mdp.pairs_of(int(state))
        self.s, self._steps = int(state), 0
        return self.s, self._info()

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Take an action; returns next state, reward, terminated, truncated, info.

        Raises
        ------
        ModelError
            If the action is not admissible: names the state and its actions.
        UnsupportedError
            Before the first reset, or after the last stage of a model that varies with the stage.
        """
        mdp, rules = self.mdp, self._rules
        if self.s is None:
            raise UnsupportedError("the environment has no state yet", way_out="call reset() first")
        if mdp.stages is not None and self._steps >= mdp.stages:
            raise UnsupportedError(f"the horizon of {mdp.stages} stages is over", way_out="call reset()")
        pair = mdp.pair(self.s, int(action))
        stage, self._steps = self._steps, self._steps + 1
        u = self.np_random.random()
        if rules.fixed[self.s]:
            reward = 0.0
        else:
            row = pair + stage * rules.P_stride
            i, j = int(mdp.P.indptr[row]), int(mdp.P.indptr[row + 1])
            entry = i + int(np.searchsorted(mdp.P.cumulative[i:j], u, side="right"))
            reward = rules.reward(pair, entry, stage)
            self.s = int(mdp.P.indices[entry])
        if self._steps == self._final_step:
            reward += float(rules.final[self.s])
        terminated = bool(rules.terminal[self.s])
        truncated = self.max_steps is not None and self._steps >= self.max_steps
        return self.s, reward, terminated, truncated, self._info()

    @cached_property
    def P(self) -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:
        """The transition table; without the terminal rewards of a finite horizon."""
        mdp, rules = self.mdp, self._rules
        if mdp.stages is not None:
            raise UnsupportedError(
                "a transition table holds one law, and this model's vary with the stage", way_out="use reset and step"
            )
        indptr, indices, data = mdp.P.indptr.tolist(), mdp.P.indices.tolist(), mdp.P.data.tolist()
        end = rules.terminal.tolist()
        table: dict[int, dict[int, list[tuple[float, int, float, bool]]]] = {s: {} for s in range(mdp.n_states)}
        for k, (s, a) in enumerate(zip(mdp.state.tolist(), mdp.action.tolist(), strict=True)):
            if rules.fixed[s]:
                table[s][a] = [(1.0, s, 0.0, True)]
                continue
            table[s][a] = [
                (data[e], indices[e], rules.reward(k, e, 0), end[indices[e]]) for e in range(indptr[k], indptr[k + 1])
            ]
        return table

    def _info(self) -> dict[str, Any]:
        if not self._ragged or self.s is None:
            return {}
        mask = np.zeros(self.mdp.n_actions, dtype=np.int8)
        mask[self.mdp.action[self.mdp.pairs_of(self.s)]] = 1
        return {"action_mask": mask}

    def __repr__(self) -> str:
        return f"MDPEnv({self.mdp!r})"


class _Rules:
    """Rewards to maximize, and where episodes end."""

    def __init__(self, mdp: MDP):
        c, S, L, P = mdp.criterion, mdp.n_states, mdp.n_pairs, mdp.P
        sign = -1.0 if mdp.minimize else 1.0
        self.P_stride = L if P.n_rows != L else 0
        self.fixed: Bools = np.zeros(S, dtype=bool)
        self.final: Floats = np.zeros(S)
        if isinstance(c, (Reachability, Invariance)):
            entered = mdp.states_of(c.target) if isinstance(c, Reachability) else ~mdp.states_of(c.safe)
            self.fixed = entered.copy()
            if isinstance(c, Reachability) and c.through is not None:
                self.fixed |= ~mdp.states_of(c.through)
            pays = sign if isinstance(c, Reachability) else -sign
            self.values: Floats = np.zeros(L)
            self.transition: Array | None = pays * entered[P.indices] + 0.0
        else:
            values, transition = sampled_rewards(mdp)
            self.values = sign * values + 0.0
            self.transition = None if transition is None else sign * transition + 0.0
            if isinstance(c, TotalReward) and c.target is not None:
                self.fixed = mdp.states_of(c.target).copy()
            if isinstance(c, FiniteHorizon) and c.terminal is not None:
                self.final = float(c.gamma) * sign * np.asarray(c.terminal) + 0.0
        self.r_stride = L if len(self.values) != L else 0
        self.terminal: Bools = self.fixed | (_idle(mdp, self.values, self.transition) & (self.final == 0))

    def reward(self, pair: int, entry: int, stage: int) -> float:
        if self.transition is not None:
            return float(self.transition[entry])
        return float(self.values[pair + stage * self.r_stride])


def _idle(mdp: MDP, values: Floats, transition: Array | None) -> Bools:
    """States that no action leaves, without reward."""
    P, L = mdp.P, mdp.n_pairs
    stays = np.diff(P.indptr) == 1
    stays &= P.indices[np.minimum(P.indptr[:-1], P.nnz - 1)] == np.tile(mdp.state, P.n_rows // L)
    free = values == 0
    if transition is not None:
        free &= np.bincount(P.row_of, weights=np.abs(transition), minlength=P.n_rows) == 0
    idle = np.all(stays.reshape(-1, L), axis=0) & np.all(free.reshape(-1, L), axis=0)
    return np.logical_and.reduceat(idle, mdp.pair_ptr[:-1])


# ------------------------------------------------------------------------------------------------------------- table


def from_gym(env: Any, criterion: Criterion | None = None) -> MDP:
    """The model of a Gymnasium environment that has a transition table, such as the toy texts.

    Repeated next states of one action are merged (probabilities added, rewards averaged by probability). States that
    are entered by terminated transitions only become absorbing, with reward zero; where a state is entered otherwise
    too (or episodes start there), the terminated transitions lead to one more absorbing state instead, with the last
    index. The label ``"terminal"`` marks both. A limit on the length of episodes is no part of the table: it is left
    out.

    Parameters
    ----------
    env : gymnasium.Env or str
        An environment with ``env.unwrapped.P``, or its id with options,
        ``"FrozenLake-v1?map_name=8x8&is_slippery=true"`` (values are ``true``, ``false``, numbers or text,
        percent-encoded where needed).
    criterion : Criterion, optional

    Raises
    ------
    UnsupportedError
        If gymnasium is not installed, or the environment has no table.
    OptionError
        For an unknown id (with the nearest one) or keyword.
    ModelError
        If the table is malformed: names state and action.

    Examples
    --------
    >>> from_gym("FrozenLake-v1?map_name=4x4").exact()
    MDP(16 states, 64 pairs, 148 transitions; maximize; labels terminal; exact (rationalized))
    """
    made: Any = _make(env) if isinstance(env, str) else None
    try:
        core = env if made is None else made
        with _quiet():
            core = getattr(core, "unwrapped", core)
            table, law = getattr(core, "P", None), getattr(core, "initial_state_distrib", None)
        if table is None or not _is_table(table) or not len(table):
            name = env if made is not None else repr(env)
            raise UnsupportedError(
                f"{name} has no transition table",
                found="no env.unwrapped.P" if table is None else f"an env.unwrapped.P of type {type(table).__name__}",
                needed="env.unwrapped.P[s][a] = [(probability, next state, reward, terminated), ...]",
                way_out="FrozenLake, CliffWalking and Taxi have one; build other models with MDP.from_function",
            )
        return _read_table(table, law, criterion)
    finally:
        if made is not None:
            with contextlib.suppress(Exception), _quiet():
                made.close()


Entry = tuple[float, Any, float, bool]


def _read_table(table: Any, law: Any, criterion: Criterion | None) -> MDP:
    rows = {(s, a): _entries(s, a, cell) for s, row in _items(table) for a, cell in _items(row)}
    names = list(dict.fromkeys(s for s, _ in _items(table)))
    ends = dict.fromkeys(t for cell in rows.values() for _, t, _, done in cell if done)
    enters = {t for cell in rows.values() for _, t, _, done in cell if not done}
    known = set(names)
    for (s, a), cell in rows.items():
        for _, t, _, done in cell:
            if t not in known and not done:
                raise ModelError(f"state {s!r}, action {a!r} leads to a state outside the table", found=t)
    names += [t for t in ends if t not in known]
    numbered = all(isinstance(s, int) for s in names)
    if numbered:
        names.sort()
    actions = list(dict.fromkeys(a for _, a in rows))
    if all(isinstance(a, int) for a in actions):
        if min(actions) < 0:
            raise ModelError("an action of the table is negative", found=min(actions), needed="actions >= 0")
        ids = {a: a for a in actions}
    else:
        ids = {a: i for i, a in enumerate(actions)}
    S = len(names)
    index = {s: i for i, s in enumerate(names)}
    rho = _initial(law, S, [index[s] for s, _ in _items(table)])
    started = {t for t in ends if rho is not None and rho[index[t]] > 0}
    busy = {s for (s, _), cell in rows.items() if any(t != s or r != 0 or not done for _, t, r, done in cell)}
    absorbing = {t for t in ends if t not in enters and not (t in started and t in busy)}
    spare = any(t not in absorbing for t in ends)
    pairs: list[tuple[int, int, dict[int, list[tuple[float, float]]]]] = []
    for (s, a), cell in rows.items():
        merged: dict[int, list[tuple[float, float]]] = {}
        if s in absorbing:
            merged[index[s]] = [(1.0, 0.0)]
        else:
            for p, t, r, done in cell:
                merged.setdefault(S if done and t not in absorbing else index[t], []).append((p, r))
        pairs.append((index[s], ids[a], merged))
    added = [index[t] for t in absorbing if t not in known] + ([S] if spare else [])
    pairs += [(s, a, {s: [(1.0, 0.0)]}) for s in added for a in sorted(ids.values())]
    pairs.sort(key=lambda pair: pair[:2])
    n = S + spare
    if rho is not None and spare:
        rho = np.append(rho, 0.0)
    terminal = np.zeros(n, dtype=bool)
    terminal[[index[t] for t in absorbing]] = True
    terminal[S:] = True
    state_names: list[Any] | None = None
    if not numbered or names != list(range(S)):
        state_names = names + (["terminal"] if spare else [])
    action_names = None if ids == {a: a for a in actions} else {i: str(a) for a, i in ids.items()}
    return _build(pairs, n, criterion, rho, terminal, state_names, action_names)


def _build(
    pairs: list[tuple[int, int, dict[int, list[tuple[float, float]]]]],
    n: int,
    criterion: Criterion | None,
    rho: Floats | None,
    terminal: Bools,
    state_names: list[Any] | None,
    action_names: dict[int, str] | None,
) -> MDP:
    indptr, indices = [0], list[int]()
    data, rewards = list[float](), list[float]()
    by_pair: list[float] | None = []
    for _, _, merged in pairs:
        for t in sorted(merged):
            parts = merged[t]
            indices.append(t)
            data.append(parts[0][0] if len(parts) == 1 else math.fsum(p for p, _ in parts))
            rewards.append(_mean(parts))
        row = rewards[indptr[-1] :]
        indptr.append(len(indices))
        if by_pair is not None:
            by_pair = None if any(r != row[0] for r in row) else by_pair
        if by_pair is not None:
            by_pair.append(row[0])
    rows = Transitions(indptr, indices, data, n)
    # rewards that do not depend on the next state stay rewards of pairs, so that no sum rounds them
    r: Any = by_pair
    if by_pair is None:
        r = sp.csr_array((rewards, np.asarray(indices), np.asarray(indptr)), shape=(len(pairs), n))
    return MDP(
        rows.toarray() if len(data) >= DENSE_FROM * len(pairs) * n else rows,
        r if by_pair is None else np.asarray(by_pair),
        criterion,
        state=np.array([s for s, _, _ in pairs]),
        action=np.array([a for _, a, _ in pairs]),
        rho=rho,
        labels={"terminal": terminal} if terminal.any() else None,
        state_names=state_names,
        pair_names=None if action_names is None else [action_names[a] for _, a, _ in pairs],
    )


def _mean(parts: list[tuple[float, float]]) -> float:
    """The average reward of merged transitions, rounded once where the numbers are short rationals."""
    first = parts[0][1]
    if all(r == first for _, r in parts):
        return first
    weights = [rationalize(p) for p, _ in parts]
    return float(sum(w * rationalize(r) for w, (_, r) in zip(weights, parts, strict=True)) / sum(weights))


def _items(table: Any) -> Iterator[tuple[Any, Any]]:
    if not _is_table(table):
        raise ModelError("the transition table is malformed", found=type(table).__name__, needed="P[s][a] = [...]")
    keys: Any = getattr(table, "keys", lambda: range(len(table)))()
    for key in keys:
        yield _plain(key), table[key]


def _is_table(table: Any) -> bool:
    return isinstance(table, (Mapping, list, tuple))


def _plain(key: Any) -> Any:
    return key.item() if isinstance(key, np.integer) else key


def _entries(s: Any, a: Any, cell: Any) -> list[Entry]:
    """The transitions of positive probability."""
    out: list[Entry] = []
    for entry in cell if _is_table(cell) else [cell]:
        try:
            p, t, r, done = entry
            p, r, done = float(p), float(r), bool(done)
        except (TypeError, ValueError):
            raise ModelError(
                f"the table's entry of state {s!r}, action {a!r} is malformed",
                found=entry,
                needed="(probability, next state, reward, terminated)",
            ) from None
        if not 0 <= p < np.inf or not np.isfinite(r):
            raise ModelError(
                f"the table's entry of state {s!r}, action {a!r} is out of range",
                found=entry,
                needed="a probability >= 0 and a finite reward",
            )
        if p > 0:
            out.append((p, _plain(t), r, done))
    if not out:
        raise ModelError(f"state {s!r}, action {a!r} has no transition", needed="probabilities that sum to one")
    return out


def _initial(law: Any, S: int, table: list[int]) -> Floats | None:
    if law is None:
        return None
    given = np.asarray(law, dtype=np.float64)
    if given.shape == (S,):
        return given
    if given.shape != (len(table),):
        raise ModelError("initial_state_distrib does not fit the table", found=given.shape, needed=f"({S},)")
    rho = np.zeros(S)
    rho[table] = given
    return rho


# -------------------------------------------------------------------------------------------------------------- spec


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Without the warnings and greetings that environments print."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def _make(spec: str) -> Any:
    """Make the environment that a text names."""
    gymnasium = _gymnasium()
    name, options = _parse_spec(spec)
    try:
        with _quiet():
            return gymnasium.make(name, disable_env_checker=True, **options)
    except gymnasium.error.Error as error:
        if name not in gymnasium.registry or isinstance(error, gymnasium.error.DeprecatedEnv):
            hint = _suggestion(gymnasium, name)
            raise OptionError(f"gymnasium knows no environment {name!r}", way_out=hint) from None
        raise OptionError(f"gymnasium cannot make {name}", found=error) from None
    except Exception as error:
        accepted = _keywords(gymnasium, name)
        unknown = [key for key in options if accepted is not None and key not in accepted]
        if unknown and accepted is not None:
            raise OptionError(f"{name} has no option {unknown[0]!r}", way_out=nearest(unknown[0], accepted)) from None
        if isinstance(error, ImportError):
            raise OptionError(f"{name} needs a package that is not installed", found=error) from None
        found = f"{type(error).__name__}: {error}"
        raise OptionError(f"gymnasium cannot make {name} with these options", found=found) from None


def _suggestion(gymnasium: Any, name: str) -> str:
    """The nearest id, and those known to have a table."""
    close = difflib.get_close_matches(name, [str(key) for key in gymnasium.registry], n=1, cutoff=0.5)
    tables = [key for key, spec in gymnasium.registry.items() if "toy_text" in str(spec.entry_point)]
    listing = ", ".join(sorted(key for key in tables if not key.startswith("Blackjack")))
    return (f"did you mean {close[0]!r}? " if close else "") + f"with a table: {listing}"


def _keywords(gymnasium: Any, name: str) -> list[str] | None:
    """The keywords of an environment's class, if it can be told."""
    entry = getattr(gymnasium.registry.get(name), "entry_point", None)
    try:
        with _quiet():
            creator: Any = gymnasium.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
            parameters = inspect.signature(creator).parameters.values()
    except Exception:
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters]


def _parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    name, _, query = spec.partition("?")
    name = unquote(name.strip())
    if not name:
        raise OptionError("the environment has no name", found=spec, needed="an id such as FrozenLake-v1?map_name=4x4")
    options: dict[str, Any] = {}
    for part in query.split("&") if query else []:
        key, equals, value = part.partition("=")
        key = unquote(key)
        if not equals or not key.isidentifier():
            raise OptionError(f"the option {part!r} of {name} is malformed", needed="key=value, separated by &")
        if key in options:
            raise OptionError(f"the option {key!r} of {name} is given twice", needed="one value")
        options[key] = _value(unquote(value))
    return name, options


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for read in (int, float):
        with contextlib.suppress(ValueError):
            return read(text)
    return text
