r"""Models from and to the objects of other packages: pymdptoolbox, QuantEcon, pandas, networkx.

None of the packages is needed for what the others hold; each is imported when an object of its own is made, and none to
read one.
"""

from __future__ import annotations

import importlib
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mdpkit.errors import ModelError, OptionError, UnsupportedError, nearest
from mdpkit.kernels.rational import to_fraction
from mdpkit.kernels.sparse import sp
from mdpkit.models.criterion import Criterion, Discounted, TotalReward
from mdpkit.models.mdp import MDP
from mdpkit.models.policy import Markov, Stationary
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Floats, Ints

if TYPE_CHECKING:
    import networkx
    import pandas

__all__ = [
    "COLUMNS",
    "from_dataframe",
    "from_pymdptoolbox",
    "from_quantecon",
    "solution_dataframe",
    "to_dataframe",
    "to_networkx",
    "to_pymdptoolbox",
    "to_quantecon",
]

COLUMNS = ("state", "action", "next_state", "probability", "reward")
"""Names of the columns of a table of transitions, unless told otherwise."""

_CRAAM = ("idstatefrom", "idaction", "idstateto", "probability", "reward")


def _package(name: str, module: str | None = None) -> Any:
    try:
        return importlib.import_module(module or name)
    except ImportError:
        raise UnsupportedError(
            f"{name} is not installed", needed=f"the {name} extra", way_out=f'pip install "mdpkit[{name}]"'
        ) from None


def _sparse(x: Any) -> bool:
    return bool(sp.issparse(x))


def _no_stages(mdp: MDP, what: str) -> None:
    if mdp.stages is not None:
        raise UnsupportedError(f"{what} has no laws or rewards that vary with the stage", found=f"{mdp.stages} stages")


def _discount(mdp: MDP, what: str) -> float:
    """The one discount of a model, 1 for total reward."""
    c = mdp.criterion
    if isinstance(c, Discounted) and np.ndim(c.gamma) == 0:
        return float(c.gamma)
    if isinstance(c, TotalReward) and c.target is None:
        return 1.0
    raise UnsupportedError(
        f"{what} has no such criterion",
        found=c,
        needed="Discounted(gamma) with one factor, or TotalReward()",
        way_out="choose one: mdp.under(mk.Discounted(0.95))",
    )


def _criterion(discount: Any) -> Criterion:
    return TotalReward() if discount == 1 else Discounted(discount)


# ------------------------------------------------------------------------------------------------------- pymdptoolbox


def from_pymdptoolbox(P: Any, R: Any, discount: Any = None) -> MDP:
    """The model of pymdptoolbox's arrays, whose first axis is the action.

    Parameters
    ----------
    P : (A, S, S) array, or sequence of A matrices (S, S)
        Arrays or scipy sparse matrices; ``P[a][s, t]`` is the probability of t after a in s.
    R : (S,), (S, A) or (A, S, S) array, sparse (S, A), or sequence of A matrices (S, S)
        Rewards of states, of states and actions, or of transitions.
    discount : number, optional
        The model's criterion is then discounted, or the total reward for 1.

    Raises
    ------
    ModelError
        Shapes that do not fit, rows that do not sum to one: named.
    OptionError
        A discount outside [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> P = np.array([[[0.5, 0.5], [0.8, 0.2]], [[0.0, 1.0], [0.1, 0.9]]])
    >>> R = np.array([[5, 10], [-1, 2]])
    >>> from_pymdptoolbox(P, R, 0.9)
    MDP(2 states, 4 pairs, 7 transitions; maximize Discounted(gamma=0.9))

    Source: pymdptoolbox, ``mdptoolbox.mdp.MDP``.
    """
    laws = _by_action(P, "P")
    A, S = len(laws), int(laws[0].shape[0])
    for a, law in enumerate(laws):
        if law.shape != (S, S):
            raise ModelError(f"the matrix of action {a} has the wrong shape", found=law.shape, needed=f"({S}, {S})")
    return MDP(laws, _rewards_by_action(R, A, S), None if discount is None else _criterion(discount))


def _by_action(P: Any, name: str) -> list[Any]:
    """The matrices of the actions, all of one kind."""
    if _sparse(P):
        raise ModelError(f"{name} is one sparse matrix", found=P.shape, needed="one for each action")
    try:
        parts: list[Any] = [part if _sparse(part) else np.asarray(part) for part in P]
    except (TypeError, ValueError) as error:  # no sequence, or rows of different lengths
        needed = "(A, S, S), or A matrices (S, S)"
        raise ModelError(f"{name} is not made of matrices", found=str(error)[:200], needed=needed) from None
    if not parts or any(part.ndim != 2 for part in parts):
        shapes = [part.shape for part in parts[:4]]
        raise ModelError(f"{name} is not made of matrices", found=shapes, needed="(A, S, S), or A matrices (S, S)")
    if len({_sparse(part) for part in parts}) > 1:
        parts = [sp.csr_array(part) for part in parts]
    return parts


def _rewards_by_action(R: Any, A: int, S: int) -> Array:
    """Rewards ``(S, A)`` or ``(A, S, S)``."""
    needed = f"({S},), ({S}, {A}), ({A}, {S}, {S}), or {A} matrices ({S}, {S})"
    if _sparse(R):
        R = R.toarray()
    try:
        array: Array = np.asarray([part.toarray() if _sparse(part) else part for part in R])
        if array.dtype == object and array.ndim == 1 and all(np.ndim(part) == 2 for part in array):
            array = np.stack(list(array))
    except (TypeError, ValueError) as error:
        raise ModelError("R is no array", found=str(error)[:200], needed=needed) from None
    if array.shape == (S,):
        return np.repeat(array[:, None], A, axis=1)
    if array.shape in ((S, A), (A, S, S)):
        return array
    raise ModelError("R has the wrong shape", found=array.shape, needed=needed)


def to_pymdptoolbox(mdp: MDP, *, sparse: bool | None = None) -> tuple[Any, Floats, float | None]:
    """Arrays ``P, R, discount`` for the solvers of pymdptoolbox.

    Parameters
    ----------
    mdp : MDP
        Every action in every state. Where the model minimizes, rewards are the costs with a minus sign.
    sparse : bool, optional
        Whether P is a list of A sparse matrices ``(S, S)`` in place of one array ``(A, S, S)``; by default where less
        than a quarter of the probabilities is positive.

    Returns
    -------
    P : (A, S, S) array or list of A csr matrices
    R : (S, A) array
        Expected rewards.
    discount : float or None
        1 for total reward; None without criterion.

    Raises
    ------
    UnsupportedError
        Actions that differ from state to state, laws that vary with the stage, another criterion.
    SizeError
        Dense arrays that do not fit in memory.
    """
    _no_stages(mdp, "pymdptoolbox")
    S, A, P = mdp.n_states, mdp.n_actions, mdp.P
    if mdp.n_pairs != S * A:
        raise UnsupportedError(
            "pymdptoolbox has no actions that differ from state to state",
            found=f"{mdp.n_pairs} pairs",
            needed=f"{S} x {A} pairs",
            way_out="give each missing action the law and reward of one that is there",
        )
    discount = None if mdp.criterion is None else _discount(mdp, "pymdptoolbox")
    sign = -1.0 if mdp.minimize else 1.0
    R = sign * mdp.r.reshape(S, A) + 0.0
    rows = [np.arange(S) * A + a for a in range(A)]
    if sparse is None:
        sparse = P.nnz < 0.25 * S * A * S
    if sparse:
        return [sp.csr_matrix(P.csr[row]) for row in rows], R, discount
    return P.toarray().reshape(S, A, S).transpose(1, 0, 2).copy(), R, discount


# ---------------------------------------------------------------------------------------------------------- quantecon


def from_quantecon(ddp: Any) -> MDP:
    """The model of a QuantEcon ``DiscreteDP``, in product form or in pair form.

    Rewards of minus infinity mark actions that are not admissible; they are left out. ``beta = 1`` is total reward.

    Parameters
    ----------
    ddp : quantecon.markov.DiscreteDP
        Or any object with its attributes ``R, Q, beta, s_indices, a_indices``.

    Raises
    ------
    OptionError
        The object has not these attributes.
    ModelError
        A state without admissible action, rows that do not sum to one: named.

    Examples
    --------
    Puterman's two-state example, as in QuantEcon's documentation:

    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> R = np.array([[5, 10], [-1, -np.inf]])
    >>> Q = np.array([[[0.5, 0.5], [0, 1]], [[0, 1], [0.5, 0.5]]])
    >>> from_quantecon(SimpleNamespace(R=R, Q=Q, beta=0.95, s_indices=None, a_indices=None))
    MDP(2 states, 3 pairs, 4 transitions; maximize Discounted(gamma=0.95))

    Source: QuantEcon.py, ``quantecon.markov.ddp``.
    """
    try:
        R: Array = np.asarray(ddp.R)
        Q: Any = ddp.Q
        beta = float(ddp.beta)
        state: Any = ddp.s_indices
        action: Any = ddp.a_indices
    except AttributeError as error:
        raise OptionError("this is no DiscreteDP of QuantEcon", found=error, needed="R, Q, beta, s_indices") from None
    if state is None or action is None:
        if R.ndim != 2 or np.shape(Q) != (*R.shape, R.shape[0]):
            raise ModelError(
                "the shapes of R and Q do not fit", found=(R.shape, np.shape(Q)), needed="(S, A) and (S, A, S)"
            )
        S, A = int(R.shape[0]), int(R.shape[1])
        state, action = np.repeat(np.arange(S), A), np.tile(np.arange(A), S)
        R, Q = R.ravel(), np.asarray(Q).reshape(S * A, S)
    state, action = np.array(state, dtype=np.int64), np.array(action, dtype=np.int64)
    if R.shape != state.shape or Q.shape[:1] != R.shape:
        raise ModelError(
            "R, Q and the indices differ in length", found=(R.shape, Q.shape, state.shape), needed="L rows"
        )
    admissible = np.flatnonzero(R != -np.inf)
    rows = Q.tocsr()[admissible] if _sparse(Q) else np.asarray(Q)[admissible]
    return MDP(rows, R[admissible], _criterion(beta), state=state[admissible], action=action[admissible])


def to_quantecon(mdp: MDP, *, sparse: bool | None = None) -> Any:
    """The model as a QuantEcon ``DiscreteDP``.

    In product form where every action is admissible everywhere and the arrays are dense, in pair form otherwise. Where
    the model minimizes, rewards are the costs with a minus sign. Transition rewards are replaced by their expectations.

    Parameters
    ----------
    mdp : MDP
        Under :class:`~mdpkit.models.criterion.Discounted` with one factor, or total reward (``beta = 1``).
    sparse : bool, optional
        By default where less than a quarter of the probabilities is positive.

    Raises
    ------
    UnsupportedError
        QuantEcon is not installed, laws vary with the stage, or another criterion.
    """
    _no_stages(mdp, "QuantEcon")
    beta = _discount(mdp, "QuantEcon")
    ddp: Any = _package("quantecon", "quantecon.markov").DiscreteDP
    S, A, L, P = mdp.n_states, mdp.n_actions, mdp.n_pairs, mdp.P
    R = (-1.0 if mdp.minimize else 1.0) * mdp.r + 0.0
    if sparse is None:
        sparse = P.nnz < 0.25 * L * S
    if sparse:
        return ddp(R, sp.csr_matrix(P.csr), beta, np.array(mdp.state), np.array(mdp.action))
    Q = P.toarray()
    if L == S * A:
        return ddp(R.reshape(S, A), Q.reshape(S, A, S), beta)
    return ddp(R, Q, beta, np.array(mdp.state), np.array(mdp.action))


# ------------------------------------------------------------------------------------------------------------- pandas


def from_dataframe(
    table: pandas.DataFrame,
    criterion: Criterion | None = None,
    *,
    columns: Sequence[str] | Mapping[str, str] | None = None,
    minimize: bool = False,
    rho: Any = None,
    state_names: Sequence[Hashable] | None = None,
    normalize: bool = False,
) -> MDP:
    """The model of a table with a row for each transition.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``state, action, next_state, probability, reward``, or ``idstatefrom, idaction, idstateto, probability,
        reward`` as of CRAAM's tables. States and actions are any hashable names; floats that are all integers are taken
        as these. Without a column of rewards there are
        none. Probabilities and rewards may be exact (Fractions, text such as ``"1/3"``).
    criterion, minimize, normalize
        As for :class:`~mdpkit.models.mdp.MDP`.
    columns : sequence of five names, or mapping, optional
        Other names of the columns, in the order above, or by the names above.
    rho : name of a state, or mapping of names to probabilities, or (S,) array, optional
        Initial state or law.
    state_names : sequence, optional
        The states in order. By default integers that are exactly 0 … n-1 keep their numbers, others are numbered in
        order of first appearance.

    Raises
    ------
    OptionError
        A column is missing (with the nearest name), or the initial state is none.
    ModelError
        As :meth:`~mdpkit.models.mdp.MDP.from_transitions`.

    Examples
    --------
    >>> import pandas
    >>> table = pandas.DataFrame({"state": ["a", "a", "b"], "action": ["go", "go", "stay"], "next_state": ["a", "b", "b"],
    ...                           "probability": [0.5, 0.5, 1.0], "reward": [1.0, 2.0, 0.0]})
    >>> mdp = from_dataframe(table, Discounted(0.9), rho="a")
    >>> mdp.state_names, mdp.pair_names, mdp.r.tolist()
    (('a', 'b'), ('go', 'stay'), [1.5, 0.0])
    """
    if not hasattr(table, "columns") or not hasattr(table, "to_dict"):
        raise OptionError("this is no table", found=type(table).__name__, needed="a pandas.DataFrame")
    frame: Any = table
    present: list[str] = [str(name) for name in frame.columns]
    names = _column_names(present, columns)
    twice = [name for name in names if present.count(name) > 1]
    if twice:
        raise OptionError(f"the table has two columns {twice[0]!r}", needed="one")
    cells: list[list[Any]] = [frame[name].tolist() for name in names[:4]]
    has_rewards = names[4] in present
    cells.append(frame[names[4]].tolist() if has_rewards else [0] * len(table))
    for k, row in enumerate(zip(*cells, strict=True)):
        for j, cell in enumerate(row):
            if _missing(cell):
                raise ModelError(f"row {k} has no {names[j]}", found=cell, needed="a value in every cell")
            if j < 3 and not isinstance(cell, Hashable):
                raise ModelError(f"the {names[j]} of row {k} is no name", found=cell, needed="a hashable name")
            if j >= 3 and isinstance(cell, str):
                cells[j][k] = to_fraction(cell, what=f"{names[j]} of row {k}")
    if _whole([*cells[0], *cells[2]]):
        cells[0], cells[2] = list(map(int, cells[0])), list(map(int, cells[2]))
    if _whole(cells[1]):
        cells[1] = list(map(int, cells[1]))
    known = dict.fromkeys([*cells[0], *cells[2]])  # numbered as they come as origins, which all of them must be
    if state_names is None and not all(isinstance(s, (int, np.integer)) for s in known):
        state_names = list(known)
    mdp = MDP.from_transitions(
        zip(*cells, strict=True), criterion, minimize=minimize, state_names=state_names, normalize=normalize
    )
    law = None if rho is None else _law(mdp, rho)
    if not has_rewards:
        mdp = mdp.without_rewards()
    return mdp if law is None else mdp.under(cast(Criterion, criterion), rho=law)


def _whole(cells: list[Any]) -> bool:
    """Whether integers became floats, as pandas makes them where cells were missing once."""
    number = (int, float, np.integer, np.floating)
    return any(isinstance(x, (float, np.floating)) for x in cells) and all(
        isinstance(x, number) and float(cast(Any, x)).is_integer() for x in cells
    )


def _missing(cell: Any) -> bool:
    """Whether a cell is None, NaN or the like."""
    try:
        return cell is None or bool(cell != cell)
    except (TypeError, ValueError):  # pandas' NA has no truth value
        return True


def _column_names(present: list[str], columns: Sequence[str] | Mapping[str, str] | None) -> list[str]:
    if columns is None:
        names: list[str] = list(_CRAAM if {*_CRAAM[:4]} <= set(present) else COLUMNS)
    elif isinstance(columns, Mapping):
        unknown = [name for name in columns if name not in COLUMNS]
        if unknown:
            raise OptionError(f"no column is called {unknown[0]!r}", way_out=nearest(str(unknown[0]), COLUMNS))
        names = [columns.get(name, name) for name in COLUMNS]
    else:
        names = list(columns)
        if len(names) != len(COLUMNS):
            raise OptionError("columns has the wrong length", found=len(names), needed=", ".join(COLUMNS))
    given = names if columns is not None else names[:4]
    for name in given:
        if name not in present:
            raise OptionError(f"the table has no column {name!r}", way_out=nearest(name, present))
    return names


def _law(mdp: MDP, rho: Any) -> Any:
    names = mdp.state_names
    index: dict[Any, int] = {name: s for s, name in enumerate(names if names is not None else range(mdp.n_states))}
    if isinstance(rho, Mapping):
        given = cast("Mapping[Any, Any]", rho)
        law: list[Any] = [0] * mdp.n_states
        for name, probability in given.items():
            if name not in index:
                raise OptionError("the initial law names no state", found=repr(name), way_out=_near(name, index))
            law[index[name]] = probability
        return np.array(law, dtype=float if any(isinstance(p, float) for p in law) else object)
    if isinstance(rho, (np.ndarray, list)):
        return np.asarray(cast(Any, rho))
    if not isinstance(rho, Hashable) or rho not in index:
        raise OptionError("the initial state is no state", found=repr(rho), way_out=_near(rho, index))
    return index[rho]


def _near(name: Any, index: Mapping[Any, int]) -> str:
    return nearest(str(name), [str(known) for known in list(index)[:2000]])


def to_dataframe(mdp: MDP, *, columns: Sequence[str] | None = None, reward: str | None = None) -> pandas.DataFrame:
    """A table with a row for each transition of a model.

    Parameters
    ----------
    mdp : MDP
    columns : sequence of five names, optional
        In place of ``state, action, next_state, probability, reward``; ``idstatefrom, …`` for CRAAM.
    reward : str, optional
        Which reward structure; by default the active one. Without any the column is left out.

    Returns
    -------
    pandas.DataFrame
        Names of states and actions where the model has them, else numbers. Rewards are r(s, a, s') where the model has
        such, else r(s, a). A rational model's numbers are Fractions. :func:`from_dataframe` reads it back.

    Raises
    ------
    UnsupportedError
        pandas is not installed, or laws or rewards vary with the stage.
    OptionError
        An unknown reward structure, or another number of columns.
    """
    pandas = _package("pandas")
    _no_stages(mdp, "a table of transitions")
    names = list(COLUMNS if columns is None else columns)
    if len(names) != len(COLUMNS):
        raise OptionError("columns has the wrong length", found=len(names), needed=", ".join(COLUMNS))
    P = mdp.P
    state = _named(mdp, mdp.state[P.row_of])
    following = _named(mdp, P.indices.astype(np.int64))
    action: list[Any] = mdp.action[P.row_of].tolist()
    if mdp.pair_names is not None:
        action = [mdp.pair_names[k] for k in P.row_of.tolist()]
    data: dict[str, Any] = {
        names[0]: _column(pandas, state),
        names[1]: _column(pandas, action),
        names[2]: _column(pandas, following),
        names[3]: P.data.copy() if P.exact is None else _column(pandas, P.exact.tolist()),
    }
    rewards = _transition_rewards(mdp, reward)
    if rewards is not None:
        data[names[4]] = rewards.copy() if rewards.dtype != object else _column(pandas, rewards.tolist())
    return pandas.DataFrame(data)


def _named(mdp: MDP, states: Ints) -> list[Any]:
    listed: list[int] = states.tolist()
    return listed if mdp.state_names is None else [mdp.state_names[s] for s in listed]


def _column(pandas: Any, values: list[Any]) -> Any:
    """A column of any objects: tuples must not be taken for rows."""
    if all(type(x) is int for x in values):
        return np.array(values, dtype=np.int64)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return pandas.Series(column, dtype=object)


def _transition_rewards(mdp: MDP, name: str | None) -> Array | None:
    """r(s, a, s') of the stored transitions, or r(s, a) on each of them."""
    if name is not None and name not in mdp.rewards:
        raise OptionError(f"unknown reward structure {name!r}", way_out=nearest(name, mdp.rewards))
    chosen = mdp.active if name is None else name
    if chosen is None:
        return None
    reward = mdp.rewards[chosen]
    if reward.transition is not None:
        return reward.transition if reward.transition_exact is None else reward.transition_exact
    return (reward.values if reward.exact is None else reward.exact)[mdp.P.row_of]


def solution_dataframe(solution: Any) -> pandas.DataFrame:
    """A table with a row for each state: its value, the certified bounds, and what the policy does.

    Parameters
    ----------
    solution : Solution
        Of :func:`mdpkit.solve`.

    Returns
    -------
    pandas.DataFrame
        Columns ``state, value, lower, upper, action``, for average reward ``bias`` before the action, and
        ``probability`` where the policy randomizes (then with a row for each action that it may take). For a finite
        horizon one row for each stage and state, with ``stage`` first, without ``action`` at the end of the horizon.

    Raises
    ------
    UnsupportedError
        pandas is not installed.
    OptionError
        This is no solution, or its policy has memory.
    """
    pandas = _package("pandas")
    try:
        mdp, V, pi, certificate = solution.problem, np.asarray(solution.V), solution.pi, solution.certificate
    except AttributeError as error:
        raise OptionError("this is no solution", found=error, needed="what mdpkit.solve returns") from None
    staged = V.ndim == 2
    values = np.atleast_2d(V)
    lower, upper = np.asarray(certificate.lower, dtype=float), np.asarray(certificate.upper, dtype=float)
    lower, upper = np.broadcast_to(lower, values.shape), np.broadcast_to(upper, values.shape)
    bias: Any = solution.bias
    rows: list[tuple[Any, ...]] = []
    random = False
    for stage in range(len(values)):
        last = staged and stage == len(values) - 1
        for s in range(mdp.n_states):
            name = mdp.state_names[s] if mdp.state_names is not None else s
            head = (stage, name, float(values[stage, s]), float(lower[stage, s]), float(upper[stage, s]))
            head = (*head, None if bias is None else float(bias[s]))
            if last:
                rows.append((*head, None, 1.0))
                continue
            for action, probability in _choices(mdp, pi, stage, s):
                random |= probability != 1
                rows.append((*head, action, probability))
    titles = ["stage", "state", "value", "lower", "upper", "bias", "action", "probability"]
    data = dict(zip(titles, map(list, zip(*rows, strict=True)), strict=True))
    if not staged:
        del data["stage"]
    if bias is None:
        del data["bias"]
    if not random:
        del data["probability"]
    for title in ("state", "action"):
        data[title] = _column(pandas, data[title])
    return pandas.DataFrame(data)


def _choices(mdp: MDP, pi: Any, stage: int, s: int) -> list[tuple[Any, Any]]:
    """Names and probabilities of the actions that a policy takes in a state."""
    if not isinstance(pi, (Stationary, Markov)):
        raise OptionError(
            "the policy has memory", found=type(pi).__name__, needed="a policy of the state, or of stage and state"
        )
    row: list[Any] = pi.act(cast(Any, stage), s).tolist()
    found: list[tuple[Any, Any]] = []
    pairs: list[int] = mdp.pairs_of(s).tolist()
    for k in pairs:
        a: int = int(mdp.action[k])
        name: Any = a if mdp.pair_names is None else mdp.pair_names[k]
        if row[a] != 0:
            found.append((name, row[a]))
    return found


# ----------------------------------------------------------------------------------------------------------- networkx


def to_networkx(
    mdp: MDP, policy: Any = None, *, solution: Any = None, reward: str | None = None
) -> networkx.DiGraph[Any]:
    """The graph of a model, or of the Markov chain that a policy induces.

    Parameters
    ----------
    mdp : MDP
    policy : Stationary, (S,) actions, (S, A) probabilities, or Solution, optional
        Without it the result is a ``MultiDiGraph`` with an edge for each action and next state; with it a ``DiGraph``.
    solution : Solution, optional
        Its values become the attribute ``value`` of the states.
    reward : str, optional
        Which reward structure; by default the active one, if there is one.

    Returns
    -------
    networkx.MultiDiGraph or networkx.DiGraph
        Nodes are the numbers of the states, with attributes ``name``, ``labels`` (a list), ``initial`` (the initial
        mass, where there is an initial law) and ``value``. Edges have ``probability`` and ``reward``, and of a model
        ``action`` (its name, if it has one); in a chain the reward of an edge is the expected reward of the state.

    Raises
    ------
    UnsupportedError
        networkx is not installed, or laws or rewards vary with the stage.
    ModelError, OptionError
        The policy is none of the model; an unknown reward structure.
    """
    nx = _package("networkx")
    _no_stages(mdp, "a graph")
    if policy is not None and hasattr(policy, "certificate") and hasattr(policy, "pi"):
        solution, policy = policy if solution is None else solution, policy.pi
    rewards = _transition_rewards(mdp, reward)
    if policy is not None:
        if reward is not None:
            mdp = mdp.under(cast(Criterion, mdp.criterion), reward=reward)
        pi = Stationary.of(mdp, policy)
        chain = mdp.induced(pi)
        rewards = _transition_rewards(chain, None)
        P: Transitions = chain.P
        state: list[int] = P.row_of.tolist()
        graph: Any = nx.DiGraph()
        actions: list[Any] | None = None
    else:
        P = mdp.P
        state = mdp.state[P.row_of].tolist()
        graph = nx.MultiDiGraph()
        names: Any = mdp.pair_names
        actions = [names[k] if names is not None else int(mdp.action[k]) for k in P.row_of.tolist()]
    value = None if solution is None else np.asarray(solution.V)
    if value is not None and value.shape != (mdp.n_states,):
        raise OptionError(
            "the solution belongs to another model", found=value.shape, needed=f"({mdp.n_states},) values"
        )
    labels: list[list[str]] = [[] for _ in range(mdp.n_states)]
    for name, mask in mdp.labels.items():
        for s in np.flatnonzero(mask).tolist():
            labels[s].append(name)
    for s in range(mdp.n_states):
        attributes: dict[str, Any] = {"name": s if mdp.state_names is None else mdp.state_names[s], "labels": labels[s]}
        if mdp.rho is not None:
            attributes["initial"] = float(mdp.rho[s])
        if value is not None:
            attributes["value"] = float(value[s])
        graph.add_node(s, **attributes)
    chances: list[Any] = (P.data if P.exact is None else P.exact).tolist()
    gains: list[Any] | None = None if rewards is None else rewards.tolist()
    for e, (s, t) in enumerate(zip(state, P.indices.tolist(), strict=True)):
        attributes = {"probability": chances[e]}
        if gains is not None:
            attributes["reward"] = gains[e]
        if actions is not None:
            attributes["action"] = actions[e]
        graph.add_edge(s, t, **attributes)
    return graph
