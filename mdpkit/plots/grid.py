"""Values and policies of models whose states are the cells of a grid."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.evaluation import Evaluation
from mdpkit.models.mdp import MDP
from mdpkit.models.policy import Markov, Stationary
from mdpkit.plots.axes import axes_of, value_name
from mdpkit.solution import Solution
from mdpkit.typing import Array, Floats, Ints

__all__ = ["value_and_policy"]

DIRECTIONS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0), "west": (0, -1), "east": (0, 1)}
DIRECTIONS |= {"north": (-1, 0), "south": (1, 0)}
MOST_VALUES = 144
"""Cells up to which values are written into them."""


def value_and_policy(result: Solution | Evaluation, shape: tuple[int, int] | None = None, ax: Any = None) -> Any:
    """Values as colors, and the policy as arrows, on the grid whose cells are the states.

    Arrows show actions named left, right, up, down (or by points of the compass), others by the most likely cell to
    which they lead; a randomized policy has an arrow for each action, as long as it is likely. States in which every
    action stays have none. Over a finite horizon, stage 0 is shown. Values are written where there are at most 144 cells.

    Parameters
    ----------
    result : Solution or Evaluation
    shape : (rows, columns), optional
        Cells are numbered row by row. By default the ``state_names`` of the model are the cells (row, column), and cells
        that are no states are walls.
    ax : matplotlib Axes, optional
        New ones by default.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        If the states are not cells of a grid.
    """
    mdp = result.problem
    y, x, height, width = _cells(mdp, shape)
    V = np.asarray(result.V[0] if result.V.ndim == 2 else result.V, dtype=np.float64)
    cells = np.full((height, width), np.nan)
    cells[y, x] = np.where(np.isfinite(V), V, np.nan)
    written = height * width <= MOST_VALUES
    room = 0.75 if written else max(0.12, 7.0 / max(height, width))
    ax = axes_of(ax, (max(4.0, room * width + 1.6), max(3.0, room * height + 0.9)))
    image = ax.imshow(np.ma.masked_invalid(cells), cmap=_colors())
    dark = image.cmap(image.norm(np.nan_to_num(V, posinf=0, neginf=0)))[:, :3] @ [0.299, 0.587, 0.114] < 0.5
    dark &= np.isfinite(V)
    ink = np.where(dark, "white", "black")
    if written:
        largest = float(np.max(np.abs(V[np.isfinite(V)]), initial=0.0))
        size = 9 if max(height, width) <= 8 else 7
        for s in range(mdp.n_states):
            ax.text(x[s], y[s] - 0.28, _short(V[s], largest), ha="center", va="center", fontsize=size, color=ink[s])
    _arrows(ax, mdp, _policy(result), y, x, ink, 0.14 if written else 0.0)
    ax.set_xlabel("column")
    ax.set_ylabel("row")
    for axis, n in ((ax.xaxis, width), (ax.yaxis, height)):
        axis.set_ticks(np.arange(0, n, max(1, n // 8)))
    ax.figure.colorbar(image, ax=ax, label=value_name(mdp))
    return ax


def _colors() -> Any:
    matplotlib: Any = import_module("matplotlib")
    return matplotlib.colormaps["cividis"].with_extremes(bad="#d9d9d9")


def _cells(mdp: MDP, shape: tuple[int, int] | None) -> tuple[Ints, Ints, int, int]:
    if shape is not None:
        height, width = shape
        if height * width != mdp.n_states:
            raise OptionError(
                "the grid has another number of cells than the model has states",
                found=f"{height} x {width}",
                needed=f"{mdp.n_states} cells",
            )
        y, x = np.divmod(np.arange(mdp.n_states), width)
        return y, x, height, width
    names = mdp.state_names or ()
    try:
        y, x = np.array([(int(row), int(column)) for row, column in names], dtype=np.int64).reshape(-1, 2).T
    except (TypeError, ValueError):
        y = x = np.zeros(0, dtype=np.int64)
    if len(y) != mdp.n_states or y.min() < 0 or x.min() < 0:
        raise OptionError(
            "the states of the model are no cells of a grid",
            needed="state_names that are pairs (row, column)",
            way_out="pass shape=(rows, columns)",
        )
    return y, x, int(y.max()) + 1, int(x.max()) + 1


def _policy(result: Solution | Evaluation) -> Floats | None:
    """Weights of the pairs ``(L,)`` in stage 0; none for a policy with memory."""
    policy: Any = result.pi if isinstance(result, Solution) else result.policy
    if isinstance(policy, Markov):
        policy = policy.stages[0] if policy.stages else None
    return policy.weights.astype(np.float64) if isinstance(policy, Stationary) else None


def _arrows(ax: Any, mdp: MDP, weights: Floats | None, y: Ints, x: Ints, ink: Array, below: float) -> None:
    if weights is None:
        return
    P, L = mdp.P, mdp.n_pairs
    stays = np.ones(L, dtype=bool)
    row = P.row_of % L
    stays[row[P.indices != mdp.state[row]]] = False
    moving = np.bincount(mdp.state, weights=~stays, minlength=mdp.n_states) > 0
    used = np.flatnonzero((weights > 0.005) & moving[mdp.state])
    step = np.zeros((len(used), 2))
    for i, k in enumerate(used.tolist()):
        known = None if mdp.pair_names is None else DIRECTIONS.get(str(mdp.pair_names[k]).lower())
        if known is None:
            entries = slice(int(P.indptr[k]), int(P.indptr[k + 1]))
            t = int(P.indices[entries][np.argmax(P.data[entries])])
            s = int(mdp.state[k])
            move = np.array([y[t] - y[s], x[t] - x[s]], dtype=np.float64)
            known = tuple(move / max(np.hypot(*move), 1e-300))
        step[i] = known
    s = mdp.state[used]
    most = np.maximum.reduceat(weights, mdp.pair_ptr[:-1])[s]
    pure = weights[used] > 0.995
    for group, width, long in ((pure, 0.05, np.full(len(used), 0.5)), (~pure, 0.03, 0.28 * weights[used] / most)):
        if not group.any():
            continue
        # A certain action has its arrow in the middle of the room; several start there together.
        back = long / 2 if group is pure else 0 * long
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


def _short(value: float, largest: float) -> str:
    """Three digits; what is rounding beside the largest value is zero."""
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) <= 1e-12 * largest:
        return "0"
    text = f"{value:.3g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.0e}"
    return text.replace("-", "−")
