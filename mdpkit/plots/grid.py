"""Values and policies of models whose states are the cells of a grid."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.evaluation import Evaluation
from mdpkit.models.mdp import MDP
from mdpkit.models.policy import Markov, Stationary
from mdpkit.plots.axes import check_result, first_stage, is_probability, shortened, value_name
from mdpkit.plots.heat import cells_of, grid_axes, heat, settle
from mdpkit.solution import Solution
from mdpkit.typing import Array, Bools, Floats, Ints

__all__ = ["border_lines", "first_policy", "state_marks", "value_and_policy"]

DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0), "west": (0, -1), "east": (0, 1)}
DIRECTIONS |= {"north": (-1, 0), "south": (1, 0)}
MOST_CELLS = 22_500
SIGNS = ("*", "X", "P", "D", "^", "v", "s")


def value_and_policy(
    result: Solution | Evaluation,
    shape: tuple[int, int] | None = None,
    ax: Any = None,
    *,
    value: bool = True,
    policy: bool = True,
    labels: bool = True,
) -> Any:
    """Values as colors, and the policy as arrows, on the grid whose cells are the states.

    Arrows show actions named left, right, up, down (or by points of the compass), others by where they lead on average,
    and a dot an action that stays; a randomized policy has an arrow for each action, as long as it is likely. States in
    which every action stays have none, and a state that every action leaves for the same distant cell has a curved one.
    Over a finite horizon, stage 0 is shown. Values are written where there are at most 144 cells, and 24 rows and
    columns; infinite ones are white cells. A line between two cells says that no action leads from one to the other. Beyond
    22,500 cells there are colors alone.

    Parameters
    ----------
    result : Solution or Evaluation
    shape : (rows, columns), optional
        Cells are numbered row by row. By default the ``state_names`` of the model are the cells (row, column), and cells
        that are no states are walls, which are hatched.
    ax : matplotlib Axes, optional
        New ones by default.
    value, policy, labels : bool
        What is drawn. Labels are those of the model that hold in less than half of the states, and the start.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        If the states are not cells of a grid, or the result is another one.

    Examples
    --------
    >>> import mdpkit as mk
    >>> ax = mk.plots.value_and_policy(mk.solve(mk.instances.make("frozenlake")))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('column', 'row')
    """
    check_result(result)
    mdp = result.problem
    y, x, height, width = cells_of(mdp, shape)
    given = ax
    ax, room, written = grid_axes(ax, height, width)
    ink = np.full(mdp.n_states, "black", dtype="U5")
    if value:
        V = first_stage(result.V)
        exact = result.exact
        shown: Array = V if exact is None else exact[0] if exact.ndim == 2 else exact
        cells = np.full((height, width), np.nan, dtype=shown.dtype)
        cells[y, x] = shown
        limits = (0.0, 1.0) if is_probability(mdp) else None
        ink = heat(ax, cells, value_name(mdp), room, written=written, up=0.31 if policy else 0.12, limits=limits)[0][
            y, x
        ]
    else:
        ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")
    still = _still(mdp)
    border_lines(ax, mdp, y, x, room)
    below = 0.0 if not (written and value) else 0.07 if policy else 0.2
    if policy and mdp.n_states <= MOST_CELLS:
        _arrows(ax, mdp, first_policy(result), still, y, x, ink, below, room)
    if labels:
        state_marks(ax, mdp, y, x, ink, room, written=written, middle=still | (not policy), below=below)
    return settle(ax, given)


def first_policy(result: Solution | Evaluation) -> Floats | None:
    """Weights of the pairs ``(L,)`` in stage 0; none for a policy with memory."""
    policy: Any = result.pi if isinstance(result, Solution) else result.policy
    if isinstance(policy, Markov):
        policy = policy.stages[0] if policy.stages else None
    return policy.weights.astype(np.float64) if isinstance(policy, Stationary) else None


# -- what the model says about its cells -------------------------------------------------------------------------------


def _leaving(mdp: MDP) -> Bools:
    """Whether each pair ``(L,)`` leads to another state, in any stage."""
    row = mdp.P.row_of % mdp.n_pairs
    leaves = np.zeros(mdp.n_pairs, dtype=bool)
    leaves[row[mdp.P.indices != mdp.state[row]]] = True
    return leaves


def _still(mdp: MDP) -> Bools:
    """The states that no action leaves, ``(S,)``."""
    return np.bincount(mdp.state, weights=_leaving(mdp), minlength=mdp.n_states) == 0


def border_lines(ax: Any, mdp: MDP, y: Ints, x: Ints, room: float) -> None:
    """A line between neighboring cells neither of which leads to the other; none between two that are never left.

    Where most neighbors are no neighbors, the model is not one of moves on the grid, and there are no lines.
    """
    if mdp.n_states > MOST_CELLS:
        return
    collections: Any = import_module("matplotlib.collections")
    still = _still(mdp)
    at = {cell: s for s, cell in enumerate(zip(y.tolist(), x.tolist(), strict=True))}
    source, target = mdp.state[mdp.P.row_of % mdp.n_pairs], mdp.P.indices
    near = np.abs(y[source] - y[target]) + np.abs(x[source] - x[target]) == 1
    joined = {(s, t) for s, t in zip(source[near].tolist(), target[near].tolist(), strict=True)}
    lines, pairs = list[Any](), 0
    for (i, j), s in at.items():
        for v, u in ((i, j + 1), (i + 1, j)):
            t = at.get((v, u))
            if t is None or (still[s] and still[t]):
                continue
            pairs += 1
            if (s, t) not in joined and (t, s) not in joined:
                lines.append(
                    [(u - 0.5, v - 0.5), (u - 0.5, v + 0.5)] if v == i else [(u - 0.5, v - 0.5), (u + 0.5, v - 0.5)]
                )
    if lines and 3 * len(lines) < 2 * pairs:
        effects: Any = import_module("matplotlib.patheffects")
        width = float(np.clip(4 * room, 1.0, 2.5))
        style: dict[str, Any] = {"color": "black", "linewidth": width, "capstyle": "projecting"}
        style["path_effects"] = [
            effects.withStroke(linewidth=1.8 * width, foreground="white")
        ]  # seen on dark cells too
        ax.add_collection(collections.LineCollection(lines, **style), autolim=False)


def _marks(mdp: MDP) -> dict[str, Bools]:
    """The labels that tell states apart, and the start."""
    S = mdp.n_states
    marks = dict[str, Bools]()
    if mdp.rho is not None and "start" not in mdp.labels:
        marks["start"] = mdp.rho > 0
    marks |= mdp.labels
    target = getattr(mdp.criterion, "target", None)
    if target is not None and not isinstance(target, str):
        marks.setdefault("target", mdp.states_of(target))
    return {name: states for name, states in marks.items() if 0 < 2 * int(states.sum()) < S}


def state_marks(
    ax: Any, mdp: MDP, y: Ints, x: Ints, ink: Array, room: float, *, written: bool, middle: Bools, below: float
) -> None:
    """Names of the labels in their cells, in the ``middle`` or at the foot; as signs with a legend where cells are small."""
    marks = _marks(mdp)
    if written:
        names = [", ".join(name for name, states in marks.items() if states[s]) for s in range(mdp.n_states)]
        for s in filter(names.__getitem__, range(mdp.n_states)):
            text = shortened(names[s], 12)
            size = float(np.clip(11 * room * min(1.0, 7 / len(text)), 3, 8.5))
            style: dict[str, Any] = {"fontsize": size, "color": ink[s], "ha": "center", "va": "center"}
            if middle[s]:
                ax.text(x[s], y[s] + below, text, fontweight="bold", **style)
            else:
                ax.text(x[s], y[s] + 0.41, text, style="italic", **style)
        return
    signs = iter(SIGNS)
    for name, states in marks.items():
        hollow = name == "start"
        sign = "o" if hollow else next(signs, None)
        if sign is None:
            break
        ax.plot(
            x[states],
            y[states],
            sign,
            markersize=float(np.clip(72 * room * (0.95 if hollow else 0.7), 4, 14)),
            markerfacecolor="none" if hollow else "white",
            markeredgecolor="white" if hollow and ink[states][0] == "white" else "black",
            markeredgewidth=1.4 if hollow else 0.9,
            label=shortened(name),
        )
    if marks:
        handles, names = ax.get_legend_handles_labels()
        ax.legend(handles, names, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False, labelcolor="black")
        for handle in ax.get_legend().legend_handles:
            handle.set_markeredgecolor("black")
            handle.set_markersize(8)


# -- arrows ------------------------------------------------------------------------------------------------------------


def _arrows(
    ax: Any, mdp: MDP, weights: Floats | None, still: Bools, y: Ints, x: Ints, ink: Array, below: float, room: float
) -> None:
    if weights is None:
        return
    jumps = _jumps(ax, mdp, y, x, room)
    used = np.flatnonzero((weights > 0.005) & ~(still | jumps)[mdp.state])
    step = _directions(mdp, y, x)[used]
    s = mdp.state[used]
    stays = ~step.any(axis=1)
    ax.plot(
        x[s[stays]], y[s[stays]] + below, "o", color="black", markeredgecolor="white", markersize=10 * min(room, 0.6)
    )
    most = np.maximum.reduceat(weights, mdp.pair_ptr[:-1])[s]
    pure = weights[used] > 0.995
    for group, width, long in ((pure, 0.05, np.full(len(used), 0.44)), (~pure, 0.03, 0.26 * weights[used] / most)):
        group = group & ~stays
        if not group.any():
            continue
        # A certain action has its arrow in the middle of the room; several start there together.
        back = long / 2 if width == 0.05 else 0 * long
        ax.quiver(
            (x[s] - step[:, 1] * back)[group],
            (y[s] + below - step[:, 0] * back)[group],
            (step[:, 1] * long)[group],
            (step[:, 0] * long)[group],
            color=ink[s][group],
            angles="xy",
            scale_units="xy",
            scale=1,
            units="xy",
            width=width,
            headwidth=4,
            headlength=4,
            headaxislength=3.6,
        )


def _directions(mdp: MDP, y: Ints, x: Ints) -> Floats:
    """Unit vectors (down, right) of the pairs ``(L, 2)``; zero for one that stays.

    By the pair's name; else by the way on which its action id leads in the whole model, if that is one of eight ways: a
    move that slips to both sides leads straight on in the open, but not beside a wall.
    """
    P, L = mdp.P, mdp.n_pairs
    row = P.row_of % L
    out = np.zeros((L, 2))
    for axis, place in ((0, y), (1, x)):
        out[:, axis] = np.bincount(row, weights=P.data * (place[P.indices] - place[mdp.state[row]]), minlength=L)
    out[np.abs(out) < 1e-9] = 0.0
    total = np.stack([np.bincount(mdp.action, weights=out[:, axis]) for axis in (0, 1)], axis=1)
    path = np.bincount(mdp.action, weights=np.hypot(*out.T))
    angle: Floats = np.round(np.arctan2(total[:, 0], total[:, 1]) * 4 / np.pi) * np.pi / 4
    way = np.round(np.stack((np.sin(angle), np.cos(angle)), axis=1), 12)
    plain = np.hypot(*total.T) > 0.6 * path
    leaves = _leaving(mdp)
    for k in range(L):
        name = "" if mdp.pair_names is None else str(mdp.pair_names[k]).lower()
        if name in DIRECTIONS:
            out[k] = DIRECTIONS[name]
        elif plain[mdp.action[k]] and leaves[k]:
            out[k] = way[mdp.action[k]]
    length = np.hypot(*out.T)[:, None]
    return np.divide(out, length, out=np.zeros_like(out), where=length > 0)


def _jumps(ax: Any, mdp: MDP, y: Ints, x: Ints, room: float) -> Bools:
    """Draw the jumps: states all of whose pairs lead to one and the same distant cell."""
    P = mdp.P
    jumps = np.zeros(mdp.n_states, dtype=bool)
    if P.n_rows != mdp.n_pairs:
        return jumps
    first = P.indices[P.indptr[:-1]].astype(np.int64)
    sure = np.diff(P.indptr) == 1
    same = np.logical_and.reduceat(sure & (first == first[mdp.pair_ptr[:-1]][mdp.state]), mdp.pair_ptr[:-1])
    target = first[mdp.pair_ptr[:-1]]
    jumps = same & (np.maximum(np.abs(y - y[target]), np.abs(x - x[target])) > 1)
    effects: Any = import_module("matplotlib.patheffects")
    style: dict[str, Any] = {
        "arrowstyle": "-|>",
        "connectionstyle": "arc3,rad=0.04",
        "color": "black",
        "linewidth": float(np.clip(2.4 * room, 0.8, 1.6)),
        "mutation_scale": float(np.clip(18 * room, 5, 13)),
        "path_effects": [effects.withStroke(linewidth=float(np.clip(5 * room, 1.6, 3.4)), foreground="white")],
    }
    for s in np.flatnonzero(jumps).tolist():
        t = int(target[s])
        down = float(np.sign(y[t] - y[s]))
        # On the right of the numbers and the other arrows.
        ax.annotate("", (x[t] + 0.4, y[t] - 0.25 * down), (x[s] + 0.4, y[s] - 0.1 * down), arrowprops=style)
    return jumps
