"""How many episodes or samples it takes, against accuracy, horizon or size."""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.experiments.sample_complexity import SampleComplexity
from mdpkit.experiments.statistics import mean_of
from mdpkit.plots.axes import LINES, MARKERS, axes_of
from mdpkit.plots.regret import palette
from mdpkit.typing import Bools

__all__ = ["sample_complexity"]

AXES = {
    "eps": "1/ε (ε in units of reward)",
    "horizon": "effective horizon 1/(1 − γ), steps",
    "H": "horizon H, stages",
    "S": "states S",
    "A": "actions A of a state, at most",
    "d": "dimension d of the features",
}
COUNTED = {
    "first": "{unit}s until the policy is ε-optimal",
    "settled": "{unit}s until all policies are ε-optimal",
    "average": "{unit}s until the mean loss is at most ε",
    "mistakes": "{unit}s whose policy is not ε-optimal",
}


def sample_complexity(result: SampleComplexity, against: str | None = None, ax: Any = None) -> Any:
    """Counts against an abscissa, on logarithmic axes: a line for each method and each choice of what else varies.

    A point is the mean over seeds with Student's interval. Where some seeds did not get there, an open mark with an arrow
    stands at the mean with the limit in their place: it is at least as much. The legend has the slopes with their intervals.

    Parameters
    ----------
    result : SampleComplexity
    against : str, optional
        ``"eps"`` (drawn as 1/eps), ``"horizon"`` for 1/(1 - gamma), ``"H"``, ``"S"``, ``"A"``, ``"d"``, or a parameter of the
        grid; the first along which something varies by default.
    ax : matplotlib Axes, optional
        New ones by default.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        If nothing varies along the abscissa, or the result is another one.
    """
    if not isinstance(result, SampleComplexity):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError("there is nothing here to draw", found=type(result).__name__, needed="a SampleComplexity")
    name = against or (result.axes[0] if result.axes else "eps")
    lines = result.lines(name)
    ax = axes_of(ax, (6.4, 4.8))
    colors = palette(ax)
    methods = list(result.methods)
    within: dict[str, int] = {}
    censored = False
    for line in lines:
        i, j = methods.index(line.method), within.setdefault(line.method, 0)
        within[line.method] += 1
        # One method has lines of its own colors; of several, each has one color, and its lines differ in their strokes.
        color = colors[(i if len(methods) > 1 else j) % len(colors)]
        mark, stroke = MARKERS[(i + j) % len(MARKERS)], LINES[(j if len(methods) > 1 else i + j) % len(LINES)]
        x = 1 / line.x if name == "eps" else line.x
        whole: Bools = np.logical_and.reduce(np.isfinite(line.counts))
        height = np.where(np.isfinite(line.counts), line.counts, result.limit).mean(axis=0)
        order = np.argsort(x)
        filled = np.flatnonzero(whole[order]).tolist()
        drawn = {"color": color, "marker": mark, "markersize": 5.5, "zorder": 3}
        ax.plot(
            x[order], height[order], linestyle=stroke, linewidth=1.5, markevery=filled,
            label=_label(result, line, name), **drawn,
        )  # fmt: skip
        ax.plot(x[~whole], height[~whole], linestyle="none", markerfacecolor=ax.get_facecolor(), **drawn)
        if len(line.counts) > 1 and whole.any():
            mean = mean_of(line.counts[:, whole], result.confidence)
            low = np.maximum(np.asarray(mean.lower), np.asarray(mean.value) / 10)
            spread = np.stack((np.asarray(mean.value) - low, np.asarray(mean.upper) - np.asarray(mean.value)))
            ax.errorbar(
                x[whole], height[whole], spread, fmt="none", ecolor=color, elinewidth=1.1, capsize=3, zorder=2.8
            )
        for at, most in zip(x[~whole], height[~whole], strict=True):
            censored = True
            ax.annotate(
                "", (at, most * 1.6), (at, most), arrowprops={"arrowstyle": "->", "color": color, "shrinkA": 5, "lw": 1.2},
                annotation_clip=False,
            )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    if censored:
        ax.set_ylim(low, high * 1.7)
    if high / low < 10:
        middle = np.sqrt(low * high)
        ax.set_ylim(min(low, middle / 4), max(high, middle * 4))
    _ticks(ax, sorted({float(v) for line in lines for v in (1 / line.x if name == "eps" else line.x)}))
    ax.set_xlabel(AXES.get(name, name.replace("_", " ")))
    unit = "draw" if result.unit == "sample" else result.unit
    ax.set_ylabel(COUNTED[result.when].format(unit=unit))
    ax.grid(alpha=0.3)
    n = len(result.seeds)
    title = f"mean of {n} seeds, {100 * result.confidence:.4g} % interval" if n > 1 else "one seed, no interval"
    if censored:
        title += f"\nopen marks with arrows: at least so much (runs of {result.limit:,} {unit}s)"
    ax.legend(
        title=title, title_fontsize="small", fontsize="small", frameon=False, loc="upper left", alignment="left",
        bbox_to_anchor=(-0.02, -0.14),
    )  # fmt: skip
    return ax


def _label(result: SampleComplexity, line: Any, name: str) -> str:
    parts = [line.method] if len(result.methods) > 1 or not line.fixed else []
    text = ", ".join([*parts, *([line.fixed] if line.fixed else [])]).replace("$", r"\$")
    if line.slope is None:
        return text
    sign = -1 if name == "eps" else 1
    value, *ends = (sign * end for end in line.slope[: 3 if line.slope.lower is not None else 1])
    return f"{text}: slope {value + 0.0:.2f}" + (f" [{min(ends) + 0.0:.2f}, {max(ends) + 0.0:.2f}]" if ends else "")


def _ticks(ax: Any, values: list[float]) -> None:
    """The abscissas themselves, where they are few."""
    if len(values) <= 8:
        ax.set_xticks(values, [f"{value:.4g}" for value in values])
        ax.set_xticks([], minor=True)
