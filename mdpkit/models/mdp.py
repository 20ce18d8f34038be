r"""Exact Markov decision processes: frozen, validated once."""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, cast

import numpy as np

from mdpkit.errors import ModelError, ModelWarning, OptionError, UnsupportedError, nearest
from mdpkit.kernels.rational import dyadic_array, rationalize_array, to_fraction
from mdpkit.kernels.sparse import sp
from mdpkit.models.criterion import Criterion, Discounted, EntropyRegularized, FiniteHorizon
from mdpkit.models.rewards import Reward, exact_array, make_reward
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Bools, Floats, Ints, Objects

__all__ = ["MDP"]

SILENT = 1e-12
WARNED = 1e-6


class MDP:
    r"""A finite Markov decision process :math:`(S, A, P, r)` with an optimality criterion.

    Parameters
    ----------
    P : array, sparse matrix, list of matrices or Transitions
        ``(S, A, S)``; a scipy sparse matrix ``(S*A, S)`` whose row ``s*A + a`` belongs to the pair (s, a); a list of A
        matrices ``(S, S)``; ``(H, S, A, S)`` where the law varies with the stage; or, together with ``state`` and
        ``action``, rows ``(L, S)`` for the admissible pairs only. Fractions and strings such as ``"1/3"`` are kept
        as exact rationals.
    r : number or array, optional
        Rewards on pairs, ``(S, A)``, ``(L,)``, ``(S,)``, or on transitions, ``(S, A, S)`` (see
        :func:`mdpkit.models.rewards.make_reward`); with ``minimize=True`` they are costs.
    criterion : Criterion, optional
        :class:`Discounted`, :class:`FiniteHorizon`, :class:`TotalReward`, :class:`Reachability`,
        :class:`Invariance`, :class:`AverageReward` or :class:`EntropyRegularized`.
    state, action : (L,) int, optional
        The pairs to which the rows of P belong, for admissible actions that differ from state to state.
    rho : int or (S,) array, optional
        Initial state or initial law.
    minimize : bool
        Minimize in place of maximize.
    labels : mapping of str to states, optional
        Named sets of states: boolean masks ``(S,)`` or indices.
    rewards : mapping of str to array, optional
        Further named reward structures. Without ``r``, an only one is the active one.
    state_names, pair_names : sequence, optional
        Names of the S states, and of the L pairs (their actions).
    normalize : bool
        Divide each row by its sum. Never done unasked.

    Raises
    ------
    ModelError
        Rows that do not sum to one, negative or NaN probabilities, rewards that are not finite, states without an
        action, shapes that do not fit, indices out of range, duplicate pairs: named with state and action.

    Examples
    --------
    Puterman's two-state example (Section 3.1):

    >>> import numpy as np
    >>> P = np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    >>> r = np.array([[5.0, 10.0], [-1.0, -1.0]])
    >>> mdp = MDP(P, r, Discounted(0.95), rho=0)
    >>> mdp
    MDP(2 states, 4 pairs, 5 transitions; maximize Discounted(gamma=0.95))
    """

    n_states: int
    n_actions: int
    P: Transitions
    pair_ptr: Ints
    state: Ints
    action: Ints
    stages: int | None
    minimize: bool
    criterion: Criterion | None
    rewards: Mapping[str, Reward]
    active: str | None
    labels: Mapping[str, Bools]
    rho: Floats | None
    rho_exact: Objects | None
    state_names: tuple[Any, ...] | None
    pair_names: tuple[str, ...] | None
    origin: str
    base: tuple[Transitions, Mapping[str, Reward]] | None

    def __init__(
        self,
        P: Any,
        r: Any = None,
        criterion: Criterion | None = None,
        *,
        state: Any = None,
        action: Any = None,
        rho: Any = None,
        minimize: bool = False,
        labels: Mapping[str, Any] | None = None,
        rewards: Mapping[str, Any] | None = None,
        state_names: Sequence[Any] | None = None,
        pair_names: Sequence[str] | None = None,
        normalize: bool = False,
    ):
        _check_kind(criterion)
        by_action = _listed(P) and len(P) > 0 and all(_is_matrix(part) for part in P)
        rows, state, action, stages = _read_transitions(P, state, action, by_action)
        S = rows.n_states
        L = len(state)
        order = np.lexsort((action, state))
        if not np.array_equal(order, np.arange(L)):
            if stages is not None:
                raise ModelError("time-varying rows must come sorted by state and action")
            rows = rows.take(order)
            if pair_names is not None:
                given = tuple(pair_names)
                ranks: list[int] = order.tolist()
                pair_names = [given[k] for k in ranks]
        else:
            order = None
        state, action = (state, action) if order is None else (state[order], action[order])
        _check_pairs(state, action, S)
        rows = _check_rows(rows, state, action, normalize)
        H = criterion.H if isinstance(criterion, FiniteHorizon) else None
        if stages is not None and H is not None and stages != H:
            raise ModelError("P has another number of stages than the criterion", found=stages, needed=f"H = {H}")
        read = partial(
            make_reward, P=rows, state=state, action=action, n_states=S, stages=stages or H, by_action=by_action
        )
        named: dict[str, Reward] = {}
        for name, value in (dict[str, Any]() if rewards is None else rewards).items():
            named[name] = read(_presort(value, order, L), name=f"reward {name!r}")
        active: str | None = None
        if r is not None:
            active = "r"
            while active in named:
                active += "'"
            named = {active: read(_presort(r, order, L)), **named}
        elif len(named) == 1:
            active = next(iter(named))
        if stages is None and any(len(reward.values) != L for reward in named.values()):
            stages = next(len(reward.values) for reward in named.values() if len(reward.values) != L) // L
        fields: dict[str, Any] = {
            "n_states": S,
            "n_actions": int(action.max()) + 1,
            "P": rows,
            "pair_ptr": _frozen(np.concatenate(([0], np.cumsum(np.bincount(state, minlength=S)))).astype(np.int64)),
            "state": _frozen(state),
            "action": _frozen(action),
            "stages": stages,
            "minimize": bool(minimize),
            "criterion": criterion,
            "rewards": named,
            "active": active,
            "labels": {name: _mask(value, S, f"label {name!r}") for name, value in (labels or {}).items()},
            "state_names": _names(state_names, S, "state_names"),
            "pair_names": _names(pair_names, L, "pair_names"),
            "origin": "as given",
            "base": None,
        }
        fields["rho"], fields["rho_exact"] = _law(rho, S)
        self.__dict__.update(fields)
        self._check_criterion()

    # -- frozen ------------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an MDP is frozen: {name} cannot be set; build a new one, or use .under(...)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"an MDP is frozen: {name} cannot be deleted")

    def _replace(self, **changes: Any) -> MDP:
        other = MDP.__new__(MDP)
        kept = {name: self.__dict__[name] for name in _FIELDS}
        other.__dict__.update(kept | changes)
        other._check_criterion()
        return other

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in _FIELDS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    # -- looks -------------------------------------------------------------------------------------------------------

    @property
    def n_pairs(self) -> int:
        """Number L of admissible state--action pairs."""
        return len(self.state)

    @property
    def n_transitions(self) -> int:
        """Number of stored (positive) transition probabilities."""
        return self.P.nnz

    @property
    def reward(self) -> Reward:
        """The active reward structure.

        Raises
        ------
        ModelError
            If the model has none, or several and none was chosen.
        """
        if self.active is None:
            if self.rewards:
                raise ModelError(
                    "the model has several reward structures and none is chosen",
                    found=", ".join(map(repr, self.rewards)),
                    way_out='name one: mdp.under(criterion, reward="…")',
                )
            raise ModelError("the model has no rewards", needed="a reward structure", way_out="build it with r=…")
        return self.rewards[self.active]

    @property
    def r(self) -> Floats:
        """Expected rewards of the pairs, ``(L,)`` (``(H*L,)`` where they vary with the stage)."""
        return self.reward.values

    @property
    def is_exact(self) -> bool:
        """Whether all probabilities, rewards, discounts and initial masses are rational."""
        reward = None if self.active is None else self.rewards[self.active]
        return (
            self.P.exact is not None
            and (reward is None or reward.exact is not None)
            and (self.rho is None or self.rho_exact is not None)
            and _criterion_is_exact(self.criterion)
        )

    def __repr__(self) -> str:
        goal = "minimize" if self.minimize else "maximize"
        parts = [f"{self.n_states} states, {self.n_pairs} pairs, {self.n_transitions} transitions"]
        if self.stages:
            parts[0] += f", {self.stages} stages"
        parts.append(f"{goal} {self.criterion}" if self.criterion is not None else goal)
        if self.rewards and (len(self.rewards) > 1 or self.active not in ("r", None)):
            parts.append("rewards " + ", ".join(self.rewards))
        if self.labels:
            names = list(self.labels)
            parts.append("labels " + ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else ""))
        if self.is_exact:
            parts.append(f"exact ({self.origin})")
        return f"MDP({'; '.join(parts)})"

    def _repr_html_(self) -> str:
        from html import escape

        rows = [
            ("states", f"{self.n_states:,}"),
            ("state–action pairs", f"{self.n_pairs:,}"),
            ("transitions", f"{self.n_transitions:,}"),
            ("criterion", f"{'minimize' if self.minimize else 'maximize'} {self.criterion}"),
            ("arithmetic", f"rational, {self.origin}" if self.is_exact else "float64"),
        ]
        if self.rewards:
            rows.append(("rewards", ", ".join(self.rewards)))
        if self.labels:
            rows.append(("labels", ", ".join(self.labels)))
        body = "".join(f"<tr><th style='text-align:left'>{k}</th><td>{escape(v)}</td></tr>" for k, v in rows)
        return f"<table><caption>MDP</caption>{body}</table>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MDP):
            return NotImplemented
        return self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of transitions, rewards, criterion and goal: the identity that certificates refer to.

        A model and its :meth:`exact` form have the same one.
        """
        h = hashlib.sha256()
        P, rewards = self.base or (self.P, self.rewards)
        for array in (self.pair_ptr, self.action, P.indptr, P.indices, P.data):
            h.update(np.ascontiguousarray(array).data)  # its buffer, without a copy
        h.update(b"none" if self.active is None else np.ascontiguousarray(rewards[self.active].values).data)
        key = "" if self.criterion is None else self._resolved_criterion().key()
        h.update(f"{self.minimize}|{self.stages}|{key}".encode())
        return h.hexdigest()

    # -- views -------------------------------------------------------------------------------------------------------

    def states_of(self, states: Any) -> Bools:
        """The boolean mask ``(S,)`` of a label, mask or list of indices.

        Raises
        ------
        OptionError
            If the label is unknown (with the nearest one) or an index is out of range.
        """
        if isinstance(states, str):
            if states not in self.labels:
                raise OptionError(f"unknown label {states!r}", way_out=nearest(states, self.labels))
            return self.labels[states]
        return _mask(states, self.n_states, "the set of states")

    def pairs_of(self, s: int) -> Ints:
        """Rows of the pairs of state s, as an index array."""
        if not 0 <= s < self.n_states:
            raise ModelError("state out of range", found=s, needed=f"0 <= s < {self.n_states}")
        return np.arange(int(self.pair_ptr[s]), int(self.pair_ptr[s + 1]))

    def pair(self, s: int, a: int) -> int:
        """Row of the pair (s, a).

        Raises
        ------
        ModelError
            If a is not admissible in s.
        """
        rows = self.pairs_of(s)
        hit = np.flatnonzero(self.action[rows] == a)
        if not hit.size:
            raise ModelError(
                f"action {a} is not admissible in state {s}", needed=f"one of {self.action[rows].tolist()}"
            )
        return int(rows[hit[0]])

    def under(
        self,
        criterion: Criterion | str | None = None,
        *,
        reward: str | None = None,
        minimize: bool | None = None,
        rho: Any = None,
    ) -> MDP:
        """The same model under another criterion, reward structure, goal or initial law.

        Parameters
        ----------
        criterion : Criterion or str, optional
            A criterion, or a property in PRISM's syntax, for example ``'Pmax=? [F "goal"]'``; unchanged by default.
        reward : str, optional
            Name of the reward structure to activate.
        minimize : bool, optional
            Unchanged by default.
        rho : int or (S,), optional
            Initial state or law; unchanged by default.

        Raises
        ------
        OptionError, PropertyError
            Unknown reward structure or label (with the nearest name); a property that does not parse, or one beside a
            reward structure or a goal, which it names itself.
        """
        model, changes = self, dict[str, Any]()
        if isinstance(criterion, str):
            from mdpkit.io.properties import problem_of

            if reward is not None or minimize is not None:
                raise OptionError(
                    "a property names its reward structure and its goal itself",
                    found="reward" if reward is not None else "minimize",
                    needed='R{"name"}min=? … or R{"name"}max=? …',
                )
            model = problem_of(self, criterion)[0]
        elif criterion is not None:
            _check_kind(criterion)
            changes["criterion"] = criterion
        if reward is not None:
            if reward not in self.rewards:
                raise OptionError(f"unknown reward structure {reward!r}", way_out=nearest(reward, self.rewards))
            changes["active"] = reward
        if minimize is not None:
            changes["minimize"] = bool(minimize)
        if rho is not None:
            changes["rho"], changes["rho_exact"] = _law(rho, self.n_states)
        return model._replace(**changes)

    def without_rewards(self) -> MDP:
        """The same model with no reward structure active: all rewards are zero."""
        return self._replace(active=None, rewards={})

    def exact(self, *, dyadic: bool = False) -> MDP:
        """The model in rationals.

        Numbers that were given exactly stay. A float becomes p/q with q <= 10**6 if one lies within 2 ulp (so
        0.33333333333333337 is 1/3), else its bits; then every row must sum to exactly 1.

        Parameters
        ----------
        dyadic : bool
            Take the bits of every float, and allow rows that do not sum to exactly 1.

        Raises
        ------
        ModelError
            If a row does not sum to exactly 1: names the state and the action.
        """
        if self.is_exact and all(reward.exact is not None for reward in self.rewards.values()):
            return self
        convert = dyadic_array if dyadic else rationalize_array
        P = self.P
        given = P.exact is not None
        if not given:
            P = P.with_exact(convert(P.data))
            if not dyadic:
                _check_exact_rows(P, self.state, self.action)
        rewards = {name: reward.rationalized(P, convert) for name, reward in self.rewards.items()}
        rho_exact = self.rho_exact
        if self.rho is not None and rho_exact is None:
            rho_exact = convert(self.rho)
            total = sum(rho_exact.tolist(), start=to_fraction(0))
            if total != 1 and not dyadic:
                raise ModelError(
                    "the initial law does not sum to exactly 1", found=total, way_out="give it as rationals"
                )
        origin = "as bits" if dyadic else "rationalized"
        return self._replace(
            P=P,
            rewards=rewards,
            rho_exact=rho_exact,
            criterion=_exact_criterion(self.criterion, convert),
            origin=origin,
            base=self.base or (self.P, self.rewards),
        )

    def induced(self, policy: Any) -> MDP:
        """The Markov chain that a stationary policy induces: a model with one action a state.

        Parameters
        ----------
        policy : Stationary, ``(S,)`` actions or ``(S, A)`` probabilities
        """
        from mdpkit.models.chains import induced
        from mdpkit.models.policy import Stationary

        return induced(self, Stationary.of(self, policy))

    def as_env(self, *, seed: int | None = None, max_steps: int | None = None) -> Any:
        """The model as a Gymnasium environment with discrete spaces (needs the ``gym`` extra)."""
        from mdpkit.io.gym import MDPEnv

        return MDPEnv(self, seed=seed, max_steps=max_steps)

    def save(self, path: Any, *, overwrite: bool = False) -> None:
        """Write the model in the format of the ending; :func:`mdpkit.io.save` says what each holds."""
        from mdpkit.io import save

        save(self, path, overwrite=overwrite)

    # -- constructors ------------------------------------------------------------------------------------------------

    @classmethod
    def from_function(
        cls,
        initial: Hashable | Mapping[Hashable, Any],
        actions: Callable[[Any], Iterable[Any]],
        step: Callable[[Any, Any], Iterable[tuple[Any, Any, Any]]],
        criterion: Criterion | None = None,
        *,
        minimize: bool = False,
        max_states: int = 10_000_000,
        labels: Mapping[str, Callable[[Any], bool]] | None = None,
    ) -> MDP:
        """Explore the states reachable from ``initial`` and build the model of them.

        Parameters
        ----------
        initial : hashable, or mapping of states to probabilities
        actions : state -> iterable of actions
            A state with no action is terminal: it becomes absorbing, with reward zero.
        step : (state, action) -> iterable of (probability, next state, reward)
        criterion, minimize
            As for :class:`MDP`.
        max_states : int
            Exploration stops with an error beyond so many.
        labels : mapping of name to predicate on states, optional

        Examples
        --------
        >>> def step(n, a):
        ...     return [("1/2", n + 1, 1), ("1/2", n, 0)] if a == "climb" else [(1, n, 0)]
        >>> mdp = MDP.from_function(0, lambda n: ["climb", "rest"] if n < 3 else [], step, Discounted("9/10"))
        >>> mdp.n_states, mdp.state_names
        (4, (0, 1, 2, 3))
        """
        law = dict(initial) if isinstance(initial, Mapping) else {initial: 1}
        index: dict[Any, int] = {s: i for i, s in enumerate(law)}
        todo = list(index)
        rows: list[tuple[Any, Any, Any, Any, Any]] = []
        at = 0
        while at < len(todo):
            s = todo[at]
            at += 1
            chosen = list(actions(s))
            if not chosen:
                rows.append((s, "", s, 1, 0))
            for a in chosen:
                found = False
                for probability, target, reward in step(s, a):
                    found = True
                    rows.append((s, a, target, probability, reward))
                    if target not in index:
                        index[target] = len(todo)
                        todo.append(target)
                if not found:
                    raise ModelError(
                        f"step({s!r}, {a!r}) gives no next state", needed="(probability, next state, reward)"
                    )
            if len(todo) > max_states:
                raise ModelError(
                    f"more than {max_states} states are reachable", way_out="raise max_states, or bound the state space"
                )
        rho: Any = [0] * len(todo)
        for s, probability in law.items():
            rho[index[s]] = probability
        mdp = cls.from_transitions(rows, criterion, minimize=minimize, rho=rho, state_names=todo)
        if labels:
            masks = {name: np.array([bool(test(s)) for s in todo]) for name, test in labels.items()}
            mdp = mdp._replace(labels=masks)
        return mdp

    @classmethod
    def from_transitions(
        cls,
        rows: Iterable[tuple[Any, Any, Any, Any, Any]],
        criterion: Criterion | None = None,
        *,
        minimize: bool = False,
        rho: Any = None,
        state_names: Sequence[Any] | None = None,
        normalize: bool = False,
    ) -> MDP:
        """Build a model from rows ``(state, action, next state, probability, reward)``.

        States and actions are any hashable names. Integer states that are exactly 0 … n-1 keep their numbers; other
        states are numbered in order of first appearance. Several rows for one transition are an error. The numbers
        may be exact.

        Raises
        ------
        ModelError
            Duplicate rows, a state without actions, rows that do not sum to one: named.

        Examples
        --------
        >>> mdp = MDP.from_transitions([(0, "go", 1, 1, 5), (1, "stay", 1, 1, 0)], Discounted("1/2"))
        >>> mdp.pair_names
        ('go', 'stay')
        """
        table = [tuple(row) for row in rows]
        for k, row in enumerate(table):
            if len(row) != 5:
                raise ModelError(
                    f"row {k} has {len(row)} fields", needed="(state, action, next state, probability, reward)"
                )
        names: list[Any]
        if state_names is not None:
            names = list(state_names)
        else:
            seen: dict[Any, None] = {}
            for s, _, t, _, _ in table:
                seen.setdefault(s)
                seen.setdefault(t)
            names = list(seen)
            if all(isinstance(s, (int, np.integer)) for s in names) and set(map(int, names)) == set(range(len(names))):
                names = list(range(len(names)))
        index = {s: i for i, s in enumerate(names)}
        pairs: dict[tuple[int, Any], dict[int, tuple[Any, Any]]] = {}
        for k, (s, a, t, probability, reward) in enumerate(table):
            if s not in index or t not in index:
                raise ModelError(f"row {k} names an unknown state", found=s if s not in index else t)
            successors = pairs.setdefault((index[s], a), {})
            if index[t] in successors:
                raise ModelError(
                    f"row {k} repeats the transition from {s!r} under {a!r} to {t!r}",
                    way_out="add the probabilities up first",
                )
            successors[index[t]] = (probability, reward)
        order = sorted(range(len(pairs)), key=lambda k: keys[k][0]) if (keys := list(pairs)) else []
        state = np.array([keys[k][0] for k in order], dtype=np.int64)
        if not len(state):
            raise ModelError("no transitions were given", needed="at least one row")
        start = np.searchsorted(state, np.arange(len(names) + 1))
        idle = np.flatnonzero(start[1:] == start[:-1])
        if len(idle):
            raise _no_action(names[idle[0]], len(idle))
        action = np.arange(len(state)) - start[state]
        indptr = [0]
        indices: list[int] = []
        data: list[Any] = []
        reward_list: list[Any] = []
        for k in order:
            for target in sorted(pairs[keys[k]]):
                probability, reward = pairs[keys[k]][target]
                if probability == 0:
                    continue
                indices.append(target)
                data.append(probability)
                reward_list.append(reward)
            indptr.append(len(indices))
        is_exact = not any(isinstance(x, (float, np.floating)) for x in data)
        exact = exact_array(np.array(data, dtype=object)) if is_exact else None
        floats = np.array(data, dtype=np.float64) if exact is None else exact.astype(np.float64)
        P = Transitions(np.array(indptr), np.array(indices), floats, len(names), exact)
        is_exact = exact is not None and not any(isinstance(x, (float, np.floating)) for x in reward_list)
        entries: Any = (
            exact_array(np.array(reward_list, dtype=object)) if is_exact else np.array(reward_list, dtype=float)
        )
        checked = cls(
            P,
            None,
            criterion,
            state=state,
            action=action,
            rho=rho,
            minimize=minimize,
            state_names=names,
            pair_names=[str(keys[k][1]) for k in order],
            normalize=normalize,
        )
        from mdpkit.models.rewards import from_entries

        reward = from_entries(entries, checked.P, "r", checked.state, checked.action)
        return checked._replace(rewards={"r": reward}, active="r")

    # -- checks ------------------------------------------------------------------------------------------------------

    def _check_criterion(self) -> None:
        c = self.criterion
        L = self.n_pairs
        if (
            isinstance(c, Discounted)
            and np.ndim(c.gamma)
            and np.size(c.gamma) != L
            and np.shape(c.gamma)
            != (
                self.n_states,
                self.n_actions,
            )
        ):
            raise ModelError(
                "gamma by pairs has the wrong shape",
                found=np.shape(c.gamma),
                needed=f"({L},) or ({self.n_states}, {self.n_actions})",
            )
        if isinstance(c, EntropyRegularized) and c.reference is not None:
            self._check_reference(c)
        if isinstance(c, FiniteHorizon):
            if self.stages is not None and self.stages != c.H:
                raise ModelError(
                    "the model has another number of stages than the criterion", found=self.stages, needed=f"H = {c.H}"
                )
            if c.terminal is not None and np.shape(c.terminal) != (self.n_states,):
                raise ModelError(
                    "terminal has the wrong shape", found=np.shape(c.terminal), needed=f"({self.n_states},)"
                )
        elif c is not None and self.stages is not None:
            raise UnsupportedError(
                f"laws or rewards that vary with the stage do not go with {c}",
                needed="FiniteHorizon(H)",
                way_out="use mk.FiniteHorizon, or one stage's arrays",
            )
        for name in ("target", "through", "safe"):
            value = getattr(c, name, None)
            if value is not None:
                self.states_of(value)

    def _check_reference(self, c: EntropyRegularized) -> None:
        shape = np.shape(c.reference)
        if shape not in ((self.n_pairs,), (self.n_states, self.n_actions)):
            raise ModelError(
                "the reference policy has the wrong shape",
                found=shape,
                needed=f"({self.n_states}, {self.n_actions}) or ({self.n_pairs},)",
            )
        reference = np.asarray(c.reference)
        weights = reference[self.state, self.action] if reference.ndim == 2 else reference
        bad = np.flatnonzero(~(weights > 0))
        if bad.size:
            k = int(bad[0])
            raise ModelError(
                f"the reference policy has no weight on state {int(self.state[k])}, action {int(self.action[k])}",
                found=float(weights[k]),
                needed="> 0 on every admissible action",
            )
        sums = np.add.reduceat(weights, self.pair_ptr[:-1])
        off = np.flatnonzero(np.abs(sums - 1) > 1e-9)
        if off.size:
            raise ModelError(
                f"the reference policy's probabilities in state {int(off[0])} do not sum to one",
                found=float(sums[off[0]]),
                needed="1",
            )

    def _resolved_criterion(self) -> Criterion:
        """The criterion with labels resolved to masks."""
        c = self.criterion
        assert c is not None
        changes = {
            name: self.states_of(value)
            for name in ("target", "through", "safe")
            if isinstance(value := getattr(c, name, None), str)
        }
        if not changes:
            return c
        from dataclasses import replace

        return replace(c, **changes)  # type: ignore[type-var]


_FIELDS = (
    "n_states", "n_actions", "P", "pair_ptr", "state", "action", "stages", "minimize", "criterion", "rewards", "active",
    "labels", "rho", "rho_exact", "state_names", "pair_names", "origin", "base",
)  # fmt: skip


def _frozen(array: Array) -> Any:
    array = array.view()
    array.flags.writeable = False
    return array


def _is_index(x: Any) -> bool:
    return isinstance(x, (int, np.integer)) and not isinstance(x, bool)


def _listed(x: Any) -> bool:
    return isinstance(x, (list, tuple))


def _sparse(x: Any) -> bool:
    return bool(sp.issparse(x))


def _vstack(parts: list[Any]) -> Any:
    return sp.vstack(parts)


def _is_matrix(part: Any) -> bool:
    if _sparse(part):
        return True
    return isinstance(part, np.ndarray) and part.ndim == 2


def _presort(value: Any, order: Ints | None, L: int) -> Any:
    """Bring per-pair rewards into the sorted order of the pairs."""
    if order is None or isinstance(value, Reward):
        return value
    if _sparse(value):
        csr: Any = sp.csr_array(value)
        return csr[order]
    array = np.asarray(value)
    return array[order] if array.ndim >= 1 and array.shape[0] == L and array.ndim == 1 else value


def _read_transitions(P: Any, state: Any, action: Any, by_action: bool) -> tuple[Transitions, Ints, Ints, int | None]:
    if (state is None) != (action is None):
        raise ModelError("state and action come together", needed="both index arrays, or neither")
    if isinstance(P, Transitions) and state is None:
        raise ModelError("rows of Transitions need their pairs", way_out="give state= and action= index arrays")
    if state is not None:
        state, action = _index_array(state, "state"), _index_array(action, "action")
        if isinstance(P, Transitions):
            rows = P
        elif _sparse(P):
            rows = _sparse_rows(P)
        else:
            array = _number_array(P)
            if array.ndim != 2:
                raise ModelError("P by pairs is no matrix", found=array.shape, needed="(L, S): a row a pair")
            if array.shape[0] == len(state) == len(action):
                _checked(array, state, action)
            rows = Transitions.from_dense(array)
        if not len(state) == len(action) == rows.n_rows:
            raise ModelError(
                "state, action and the rows of P differ in number",
                found=f"{len(state)}, {len(action)}, {rows.n_rows}",
                needed="one row for each pair",
            )
        return rows, state, action, None
    if _sparse(P):
        n_rows, S = P.shape
        if S == 0 or n_rows % S:
            raise ModelError(
                "sparse P has the wrong shape",
                found=P.shape,
                needed="(S*A, S), row s*A + a",
                way_out="or give state= and action=",
            )
        A = n_rows // S
        rows = _sparse_rows(P)
        return rows, *_full_pairs(S, A), None
    if by_action:
        parts: list[Any] = list(cast(Any, P))
        shapes: set[Any] = {part.shape for part in parts}
        if len(shapes) != 1 or (shape := next(iter(shapes)))[0] != shape[1]:
            raise ModelError(
                "the matrices of the list differ in shape", found=sorted(shapes), needed="A matrices (S, S)"
            )
        S, A = int(shape[0]), len(parts)
        take = (np.arange(A)[None, :] * S + np.arange(S)[:, None]).ravel()
        if all(isinstance(part, np.ndarray) for part in parts):
            stacked = _number_array(np.stack(parts, axis=1))
            return (
                Transitions.from_dense(_checked(stacked.reshape(S * A, S), *_full_pairs(S, A))),
                *_full_pairs(S, A),
                None,
            )
        stack: Any = sp.csr_array(_vstack(parts))
        rows = _sparse_rows(stack[take])
        return rows, *_full_pairs(S, A), None
    array = _number_array(P)
    if array.ndim == 4:
        H, S, A, S2 = array.shape
        if S != S2:
            raise ModelError("P has the wrong shape", found=array.shape, needed="(H, S, A, S)")
        flat = array.reshape(H * S * A, S)
        return Transitions.from_dense(_checked(flat, *_full_pairs(S, A))), *_full_pairs(S, A), H
    if array.ndim != 3 or array.shape[0] != array.shape[2]:
        hint = None
        if array.ndim == 3 and array.shape[1] == array.shape[2]:
            hint = "this looks like (A, S, S): give a list of A matrices, list(P), or P.transpose(1, 0, 2)"
        elif array.ndim == 2 and array.shape[0] == array.shape[1]:
            hint = "a Markov chain has one action: P[:, None, :]"
        raise ModelError("P has the wrong shape", found=array.shape, needed="(S, A, S)", way_out=hint)
    S, A, _ = array.shape
    if S == 0 or A == 0:
        raise ModelError("the model is empty", found=array.shape, needed="at least one state and one action")
    return Transitions.from_dense(_checked(array.reshape(S * A, S), *_full_pairs(S, A))), *_full_pairs(S, A), None


def _full_pairs(S: int, A: int) -> tuple[Ints, Ints]:
    return np.repeat(np.arange(S, dtype=np.int64), A), np.tile(np.arange(A, dtype=np.int64), S)


def _number_array(P: Any) -> Array:
    try:
        array = np.asarray(P)
    except ValueError as error:
        raise ModelError("P is ragged", found=str(error).split(".")[0], needed="an array (S, A, S)") from None
    if array.dtype.kind in "OUS":
        exact = exact_array(array, "P")
        assert exact is not None
        return exact
    if array.dtype.kind not in "biuf":
        raise ModelError("P is not made of numbers", found=f"an array of {array.dtype}", needed="numbers")
    return array.astype(np.float64)


def _checked(rows: Array, state: Ints, action: Ints) -> Array:
    """Refuse NaN and negative entries here: the stored form keeps the nonzero entries only."""
    if rows.dtype != object and rows.size and rows.min() >= 0 and rows.max() < np.inf:  # NaN fails both
        return rows
    bad = np.argwhere(rows < 0) if rows.dtype == object else np.argwhere(~((rows >= 0) & np.isfinite(rows)))
    if len(bad):
        k, t = map(int, bad[0])
        _bad_probability(rows[k, t], k, t, state, action)
    return rows


def _bad_probability(value: Any, row: int, target: int, state: Ints, action: Ints) -> None:
    pair = row % len(state)
    stage = f"stage {row // len(state)}, " if row >= len(state) else ""
    raise ModelError(
        f"the probability of {stage}state {int(state[pair])}, action {int(action[pair])}, next state {target} "
        "is no probability",
        found=value,
        needed="a finite number >= 0",
    )


def _sparse_rows(P: Any) -> Transitions:
    if P.dtype == object:
        raise ModelError(
            "sparse matrices hold floats only", way_out="pass exact rationals as mdpkit.models.Transitions"
        )
    return Transitions.from_sparse(P)


def _index_array(values: Any, name: str) -> Ints:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ModelError(
            f"{name} is no index array", found=f"{array.dtype} of shape {array.shape}", needed="integers (L,)"
        )
    return array.astype(np.int64)


def _check_pairs(state: Ints, action: Ints, S: int) -> None:
    if not len(state):
        raise ModelError("the model has no state-action pair")
    for name, values, bound in (("state", state, S), ("action", action, None)):
        bad = np.flatnonzero((values < 0) | (values >= (bound if bound is not None else np.iinfo(np.int64).max)))
        if bad.size:
            limit = f"0 <= {name} < {bound}" if bound is not None else f"{name} >= 0"
            raise ModelError(
                f"{name} index of pair {int(bad[0])} is out of range", found=int(values[bad[0]]), needed=limit
            )
    twin = np.flatnonzero((state[1:] == state[:-1]) & (action[1:] == action[:-1]))
    if twin.size:
        k = int(twin[0])
        raise ModelError(
            f"the pair of state {int(state[k])} and action {int(action[k])} is given twice", needed="one row a pair"
        )
    missing = np.flatnonzero(np.bincount(state, minlength=S) == 0)
    if missing.size:
        raise _no_action(int(missing[0]), missing.size)


def _no_action(state: Any, n: int) -> ModelError:
    """The error of ``n`` states without action, of which ``state`` is the first."""
    return ModelError(
        f"state {state!r} has no action" + (f" (and {n - 1} more states)" if n > 1 else ""),
        needed="at least one pair for each state",
        way_out="give a terminal state one action that stays, with reward 0",
    )


def _check_rows(rows: Transitions, state: Ints, action: Ints, normalize: bool) -> Transitions:
    if rows.dense is None and rows.nnz and int(rows.indices.max()) >= rows.n_states:
        k = int(np.argmax(rows.indices >= rows.n_states))
        pair = int(rows.row_of[k]) % len(state)
        raise ModelError(
            f"a next state of state {int(state[pair])}, action {int(action[pair])} is out of range",
            found=int(rows.indices[k]),
            needed=f"< {rows.n_states}",
        )
    if rows.exact is not None:
        negative = [k for k, p in enumerate(rows.exact.tolist()) if p < 0]
        if negative:
            k = negative[0]
            _bad_probability(rows.exact[k], int(rows.row_of[k]), int(rows.indices[k]), state, action)
        if normalize:
            sums = _exact_sums(rows)
            scaled = np.array([p / sums[k] for p, k in zip(rows.exact, rows.row_of, strict=True)], dtype=object)
            return rows.with_exact(scaled)
        _check_exact_rows(rows, state, action)
        return rows
    if rows.dense is None:
        bad = np.flatnonzero(~((rows.data >= 0) & np.isfinite(rows.data)))
        if bad.size:
            k = int(bad[0])
            _bad_probability(rows.data[k], int(rows.row_of[k]), int(rows.indices[k]), state, action)
        sums = np.asarray(rows.csr.sum(axis=1)).ravel()
    else:
        sums = rows.dense.sum(axis=1)
    if normalize:
        empty = np.flatnonzero(sums <= 0)
        if empty.size:
            _bad_sum(int(empty[0]), float(sums[empty[0]]), state, action, empty.size)
        return rows.normalized(sums)
    off = np.abs(sums - 1.0)
    bad = np.flatnonzero(off > WARNED + 2 * SILENT)  # 3 * 0.333333 is off by 1e-6 and a rounding error
    if bad.size:
        _bad_sum(int(bad[0]), float(sums[bad[0]]), state, action, bad.size)
    rough = np.flatnonzero(off > SILENT + 2.0**-52 * np.sqrt(rows.n_states))
    if rough.size:
        k = int(rough[np.argmax(off[rough])])
        pair = k % len(state)
        warnings.warn(
            f"{rough.size} rows of P sum to one only to {off[k]:.1e} (worst: state {int(state[pair])}, action "
            f"{int(action[pair])}, sum {float(sums[k])!r}); they are used as they are: "
            "pass normalize=True to divide by the sum",
            ModelWarning,
            stacklevel=3,
        )
    return rows


def _bad_sum(row: int, total: Any, state: Ints, action: Ints, count: int) -> None:
    pair = row % len(state)
    stage = f"stage {row // len(state)}, " if row >= len(state) else ""
    more = f" (and {count - 1} more rows)" if count > 1 else ""
    missing = f", so {1 - total:.6g} is missing" if total < 1 else ""
    raise ModelError(
        f"the probabilities of {stage}state {int(state[pair])}, action {int(action[pair])} do not sum to one{more}",
        found=f"{total}{missing}",
        needed="1",
        way_out="send missing mass to an absorbing state, or pass normalize=True to divide the rows by their sums",
    )


def _exact_sums(rows: Transitions) -> list[Any]:
    exact = rows.rationals()
    bounds = rows.indptr.tolist()
    values = exact.tolist()
    zero = to_fraction(0)
    return [sum(values[i:j], start=zero) for i, j in itertools.pairwise(bounds)]


def _check_exact_rows(rows: Transitions, state: Ints, action: Ints) -> None:
    sums = _exact_sums(rows)
    bad = [k for k, total in enumerate(sums) if total != 1]
    if bad:
        k = bad[0] % len(state)
        total = sums[bad[0]]
        more = f" (and {len(bad) - 1} more rows)" if len(bad) > 1 else ""
        shown = str(total) if len(str(total)) < 60 else f"1 {'+' if total > 1 else '-'} {abs(float(total - 1)):.3g}"
        raise ModelError(
            f"the probabilities of state {int(state[k])}, action {int(action[k])} do not sum to exactly one{more}",
            found=shown,
            needed="1 in rational arithmetic",
            way_out='give rationals such as "1/3", pass normalize=True, or take the bits: .exact(dyadic=True), --dyadic',
        )


def _check_kind(criterion: Any) -> None:
    if criterion is not None and not isinstance(criterion, Criterion):
        raise OptionError(
            "this is no criterion",
            found=repr(criterion),
            needed="Discounted(gamma), FiniteHorizon(H), TotalReward(), AverageReward() …",
        )


def _law(rho: Any, S: int) -> tuple[Floats | None, Objects | None]:
    if rho is None:
        return None, None
    if _is_index(rho):
        if not 0 <= rho < S:
            raise ModelError("the initial state is out of range", found=int(rho), needed=f"0 <= s < {S}")
        mass, law = np.zeros(S), np.full(S, to_fraction(0), dtype=object)
        mass[int(rho)], law[int(rho)] = 1.0, to_fraction(1)
        return _frozen(mass), _frozen(law)
    array = np.asarray(rho)
    if array.shape != (S,):
        raise ModelError(
            "the initial law rho has the wrong shape", found=array.shape, needed=f"({S},) or a state's index"
        )
    exact = exact_array(array, "rho")
    values = array.astype(np.float64) if exact is None else exact.astype(np.float64)
    bad = np.flatnonzero(~((values >= 0) & np.isfinite(values)))
    if bad.size:
        raise ModelError(
            f"the initial mass of state {int(bad[0])} is no probability", found=values[bad[0]], needed=">= 0"
        )
    total = values.sum() if exact is None else sum(exact.tolist(), start=to_fraction(0))
    if (exact is not None and total != 1) or abs(float(total) - 1) > WARNED + 2 * SILENT:
        raise ModelError("the initial law rho does not sum to one", found=total, needed="1")
    return _frozen(values), None if exact is None else _frozen(exact)


def _mask(value: Any, S: int, what: str) -> Bools:
    array = np.asarray(value)
    if array.dtype == bool:
        if array.shape != (S,):
            raise ModelError(f"{what} has the wrong shape", found=array.shape, needed=f"a mask ({S},)")
        return _frozen(array.copy())
    if array.size and array.dtype.kind not in "iu":
        raise OptionError(f"{what} is no set of states", found=value, needed=f"a mask ({S},), or indices")
    mask = np.zeros(S, dtype=bool)
    index = array.astype(np.int64).ravel()
    bad = index[(index < 0) | (index >= S)]
    if bad.size:
        raise OptionError(f"{what} names a state out of range", found=int(bad[0]), needed=f"0 <= s < {S}")
    mask[index] = True
    return _frozen(mask)


def _names(names: Sequence[Any] | None, n: int, what: str) -> tuple[Any, ...] | None:
    if names is None:
        return None
    names = tuple(names)
    if len(names) != n:
        raise ModelError(f"{what} has the wrong length", found=len(names), needed=str(n))
    return names


def _criterion_is_exact(c: Criterion | None) -> bool:
    if isinstance(c, Discounted):
        return c.exact is not None
    if isinstance(c, EntropyRegularized):
        given = (c.exact, c.tau_exact, *([] if c.reference is None else [c.reference_exact]))
        return all(x is not None for x in given)
    if isinstance(c, FiniteHorizon):
        return c.exact is not None and (c.terminal is None or c.terminal_exact is not None)
    return True


def _exact_criterion(c: Criterion | None, convert: Callable[[Floats], Objects]) -> Criterion | None:
    if c is None or _criterion_is_exact(c):
        return c
    if isinstance(c, Discounted):
        exact = convert(np.atleast_1d(np.asarray(c.gamma, dtype=np.float64)).ravel())
        return Discounted(exact[0] if np.ndim(c.gamma) == 0 else exact.reshape(np.shape(c.gamma)))
    if isinstance(c, EntropyRegularized):
        gamma, tau = (
            exact if exact is not None else convert(np.array([value], dtype=np.float64))[0]
            for value, exact in ((c.gamma, c.exact), (c.tau, c.tau_exact))
        )
        reference = c.reference_exact
        if c.reference is not None and reference is None:
            reference = convert(np.asarray(c.reference, dtype=np.float64).ravel()).reshape(np.shape(c.reference))
        return EntropyRegularized(gamma, tau, reference)
    assert isinstance(c, FiniteHorizon)
    gamma = c.exact if c.exact is not None else convert(np.array([c.gamma], dtype=np.float64))[0]
    terminal = c.terminal_exact
    if c.terminal is not None and terminal is None:
        terminal = convert(np.asarray(c.terminal, dtype=np.float64))
    return FiniteHorizon(c.H, gamma, terminal)
