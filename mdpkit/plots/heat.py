"""Numbers as colors: on the cells of a grid, or in a table."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.models.mdp import MDP
from mdpkit.plots.axes import axes_of, number, room_of
from mdpkit.typing import Array, Ints

__all__ = ["cells_of", "grid_axes", "has_cells", "heat", "is_written", "settle", "table"]

MOST_VALUES = 144
"""Cells up to which values are written into them, where there are at most 24 rows and columns."""
MOST_HATCHED = 5000
MOST_NAMES = 40
"""Rows or columns up to which each has its name."""
WALL, ENDLESS = "#e8e8e8", "#ffffff"


def cells_of(mdp: MDP, shape: tuple[int, int] | None) -> tuple[Ints, Ints, int, int]:
    """Row and column of each state ``(S,)``, and the numbers of rows and columns.

    Raises
    ------
    OptionError
        If the states are not cells of a grid.
    """
    if shape is not None:
        try:
            height, width = (int(n) for n in shape)
        except (TypeError, ValueError):
            raise OptionError("the shape is no pair of counts", found=shape, needed="(rows, columns)") from None
        if height * width != mdp.n_states or height < 1:
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
    if (
        len(y) != mdp.n_states
        or y.min() < 0
        or x.min() < 0
        or len({*zip(y.tolist(), x.tolist(), strict=True)}) < len(y)
    ):
        raise OptionError(
            "the states of the model are no cells of a grid",
            needed="state_names that are distinct pairs (row, column)",
            way_out="pass shape=(rows, columns); mdpkit.plots.values and policy_matrix draw any model",
        )
    return y, x, int(y.max()) + 1, int(x.max()) + 1


def has_cells(mdp: MDP) -> bool:
    """Whether the state names of a model are the cells of a grid."""
    try:
        cells_of(mdp, None)
    except OptionError:
        return False
    return True


def is_written(height: int, width: int) -> bool:
    """Whether a table of this size has room for its numbers."""
    return height * width <= MOST_VALUES and max(height, width) <= 24


def grid_axes(ax: Any, height: int, width: int) -> tuple[Any, float, bool]:
    """Axes for a grid, the inches that a cell has in them, and whether numbers are written into the cells."""
    written = is_written(height, width)
    room = 0.75 if written else min(0.75, 8.0 / max(height, width))
    given = ax is not None
    ax = axes_of(ax, (max(3.2, room * width + 1.7), max(2.2, room * height + 1.1)))
    ax.set_xlabel("column")
    ax.set_ylabel("row")
    for axis, n in ((ax.xaxis, width), (ax.yaxis, height)):
        axis.set_ticks(np.arange(0, n, max(1, -(-n // 10))))
    return ax, room_of(ax, height, width) if given else room, written


def heat(
    ax: Any, numbers: Array, label: str, room: float, *, written: bool, up: float = 0.0, limits: Any = None
) -> tuple[Array, Any]:
    """Draw a table ``(rows, columns)`` as colors, with a color bar.

    NaN is a hatched cell; infinity, which no color shows, is a white cell with its sign.

    Parameters
    ----------
    room : float
        Inches that a cell has.
    written : bool
        Write the numbers into the cells, ``up`` of a cell above the middle.
    limits : (lowest, highest), optional
        Of the colors; by default those of the finite numbers.

    Returns
    -------
    ink : (rows, columns) str
        The color that is readable in each cell.
    image : AxesImage
    """
    matplotlib: Any = import_module("matplotlib")
    collections: Any = import_module("matplotlib.collections")
    patches: Any = import_module("matplotlib.patches")
    values = numbers.astype(np.float64)
    finite = np.isfinite(values)
    low, high = limits or (values[finite].min(initial=np.inf), values[finite].max(initial=-np.inf))
    low, high = (low, high) if low <= high else (0.0, 1.0)
    if low == high:  # one color, at an end of the bar
        low, high = min(low, 0.0), max(high, 0.0 if low else 1.0)
    image = ax.imshow(
        np.ma.masked_where(~finite, values),
        cmap=matplotlib.colormaps["cividis"].with_extremes(bad=ENDLESS if np.isinf(values).any() else WALL),
        vmin=low,
        vmax=high,
        aspect=ax.get_aspect() if ax.get_aspect() != "auto" else "equal",
    )
    shade = image.cmap(image.norm(np.where(finite, values, low)))[..., :3] @ [0.299, 0.587, 0.114]
    ink = np.where(finite & (shade < 0.5), "white", "black")
    walls = [patches.Rectangle((j - 0.5, i - 0.5), 1, 1) for i, j in np.argwhere(np.isnan(values)).tolist()]
    if len(walls) <= MOST_HATCHED:
        hatch: dict[str, Any] = {"facecolor": WALL, "edgecolor": "#a8a8a8", "hatch": "////", "linewidth": 0}
        ax.add_collection(collections.PatchCollection(walls, **hatch), autolim=False)
    largest = float(np.abs(values[finite]).max(initial=0.0))
    size = float(np.clip(13 * room, 3, 9))
    for i, j in np.argwhere(~np.isnan(values) if written else np.isinf(values)).tolist():
        text = number(numbers[i, j], largest)
        fitting = size * min(1.0, 6.0 / len(text)) if written else float(np.clip(36 * room, 4, 9))
        ax.text(j, i - up * written, text, ha="center", va="center", fontsize=fitting, color=ink[i, j])
    _color_bar(ax, image, label, below=len(values) * room < 2.0)
    return ink, image


def settle(ax: Any, given: Any) -> Any:
    """Lay out a new figure once before it is drawn: beside a color bar, matplotlib's second layout is the right one."""
    engine = ax.figure.get_layout_engine()
    if given is None and engine is not None:
        engine.execute(ax.figure)
    return ax


def _color_bar(ax: Any, image: Any, label: str, *, below: bool) -> None:
    """A bar as long as the image: on its right, or below a low one."""
    box: Any = import_module("matplotlib.transforms").Bbox.from_extents
    bar = ax.figure.colorbar(image, ax=ax, location="bottom" if below else "right", aspect=30 if below else 20)
    bar.set_label(label)
    bar.outline.set_linewidth(0.6)

    def beside(bar_axes: Any, _: Any) -> Any:
        # The image is as large as its aspect allows, which is known only when it is drawn.
        bar_axes.set_box_aspect(None)  # the layout has set it again
        of, own = ax.get_position(), bar_axes.get_position(original=True)
        if below:
            return box(of.x0, max(own.y0, own.y1 - 0.15 / ax.figure.get_figheight()), of.x1, own.y1)
        inch = 1 / ax.figure.get_figwidth()
        left = min(own.x0, of.x1 + 0.12 * inch)
        return box(left, of.y0, left + min(own.width, 0.15 * inch), of.y1)

    bar.ax.set_axes_locator(beside)


def table(
    ax: Any,
    numbers: Array,
    label: str,
    rows: tuple[str, list[str]],
    columns: tuple[str, list[str]],
    limits: Any = None,
    up: float = 0.0,
) -> tuple[Any, Array]:
    """A table of numbers as colors; ``rows`` and ``columns`` are what they are, and their names.

    Returns
    -------
    ax : Axes
    ink : (rows, columns) str
    """
    height, width = numbers.shape
    written = is_written(height, width)
    room = 0.55 if written else min(0.55, 8.0 / max(height, width))
    given = ax
    ax = axes_of(ax, (max(3.2, room * width + 2.0), max(2.2, room * height + 1.2)))
    room = room if given is None else room_of(ax, height, width)
    ink, _ = heat(ax, numbers, label, room, written=written, up=up, limits=limits)
    for axis, (what, names) in ((ax.yaxis, rows), (ax.xaxis, columns)):
        each = max(1, -(-len(names) // MOST_NAMES))
        if each > 1:
            each = -(-len(names) // 12)
        shown = range(0, len(names), each)
        axis.set_ticks(list(shown), [names[k] for k in shown])
        axis.set_label_text(what)
    if max((len(name) for name in columns[1]), default=0) * 0.09 > room * 0.95:
        ax.tick_params(axis="x", labelrotation=90)
    return settle(ax, given), ink
