"""Regret, suboptimality and the notes of learners against episodes or steps, over seeds.

Colors follow the axes: on a dark ground (``plt.style.context("dark_background")``) they are lighter ones. Learners differ also
in their lines and marks.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.experiments.regret import Curve, RegretExperiment, gathered, nearest_columns
from mdpkit.experiments.statistics import Mean
from mdpkit.plots.axes import COLORS, LINES, MARKERS, axes_of
from mdpkit.regret import Regret
from mdpkit.typing import Array, Floats

__all__ = ["is_dark", "palette", "regret", "regret_figure", "series", "suboptimality"]

DARK_COLORS = ("#56B4E9", "#E69F00", "#2FC79A", "#E59AC4", "#F0E442", "#FF8A4C", "#FFFFFF")
"""Okabe and Ito's colors, the darker ones lightened: each has a contrast of at least 7 to black."""
MARKS = 8
BINS = 60


def is_dark(ax: Any) -> bool:
    """Whether the ground of the axes is dark."""
    colors: Any = import_module("matplotlib.colors")
    red, green, blue, alpha = colors.to_rgba(ax.get_facecolor())
    if alpha < 0.5:
        red, green, blue, alpha = colors.to_rgba(ax.figure.get_facecolor())
    return alpha >= 0.5 and 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.4


def palette(ax: Any) -> tuple[str, ...]:
    """Colors that stand out from the ground of the axes."""
    return DARK_COLORS if is_dark(ax) else COLORS


def regret(
    result: Any, ax: Any = None, *, problem: str | None = None, scale: str = "linear", bound: bool | None = None
) -> Any:
    """Regret against rounds: the mean over seeds, and a band in which its expectation lies at each round.

    Parameters
    ----------
    result : RegretExperiment, or Regret, a sequence of them, or a mapping of labels to these
    ax : matplotlib Axes, optional
        New ones by default.
    problem : str, optional
        Needed where the experiment has several.
    scale : {"linear", "log"}
        With ``"log"`` both axes are logarithmic, and the legend gives the slope over the last decade with its interval, a mean
        over seeds.
    bound : bool, optional
        Whether to draw the learners' own bounds, named by their claims, and what the range of the rewards allows (dotted); the
        dot is where a bound begins to say more. On logarithmic axes by default.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(5))
    >>> run = mk.play(river, mk.solvers.exploration.UCBVI(), episodes=200, rng=np.random.default_rng(0))
    >>> ax = regret(run)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('episodes', 'regret: expected reward lost so far')
    """
    found, curves, ax = _posed(result, problem, scale, ax)
    log = scale == "log"
    for i, (label, curve) in enumerate(curves.items()):
        text = label + (_slope(curve) if log else "")
        _draw(ax, i, curve.at, curve.mean(confidence=found.confidence), text, log)
    if log if bound is None else bound:
        _bounds(ax, curves, found, log)
    _finish(ax, found, log, "regret: expected reward lost so far")
    return ax


def suboptimality(result: Any, ax: Any = None, *, problem: str | None = None, scale: str = "log") -> Any:
    """What is lost in a round: the value of the best policy less that of the policy played, exact.

    Each point is the mean over the rounds since the point before, so that none is left out.

    Parameters
    ----------
    result, ax, problem, scale
        As for :func:`regret`.

    Returns
    -------
    Axes
    """
    found, curves, ax = _posed(result, problem, scale, ax)
    log = scale == "log"
    for i, (label, curve) in enumerate(curves.items()):
        at, values = _binned(curve, log)
        mean = curve.mean(values, found.confidence)
        zero = np.flatnonzero(mean.value > 0)
        if log and (not len(zero) or zero[-1] + 1 < len(at)):
            last = int(at[zero[-1]]) if len(zero) else 0
            label += f" (0 after {found.unit} {last:,})"
        _draw(ax, i, at, mean, label, log)
    each = "per step" if found.unit == "step" else f"per {found.unit}"
    _finish(ax, found, log, f"suboptimality: reward lost {each}")
    return ax


def series(
    result: Any, name: str, ax: Any = None, *, problem: str | None = None, total: bool = False, scale: str = "linear"
) -> Any:
    """What learners note in each round: an optimistic index, switches of the policy, communication, violations.

    Parameters
    ----------
    result, ax, problem, scale
        As for :func:`regret`.
    name : str
        Of the series; learners without it are left out.
    total : bool
        Draw the sum of the notes so far.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        If no learner has such a series.
    """
    found, curves, ax = _posed(result, problem, scale, ax)
    known = sorted({key for curve in curves.values() for key in curve.runs[0].series})
    if name not in known:
        raise OptionError(f"no learner notes {name!r}", needed=", ".join(known) or "nothing is noted")
    for i, (label, curve) in enumerate(curves.items()):
        if name in curve.runs[0].series:
            _draw(ax, i, curve.at, curve.mean(curve.series(name, total=total), found.confidence), label, scale == "log")
    if name == "index":
        ax.axhline(next(iter(curves.values())).runs[0].best, color=_gray(ax), linestyle=(0, (1, 2)), label="best value")
    words = name.replace("_", " ")
    _finish(ax, found, scale == "log", f"{words}, total so far" if total else f"{words}, in each {found.unit}")
    return ax


def regret_figure(result: Any, *, notes: tuple[str, ...] = ()) -> Any:
    """A figure with a row for each problem: regret on linear and on logarithmic axes, suboptimality, and notes.

    Parameters
    ----------
    result
        As for :func:`regret`.
    notes : tuple of str
        Series to add.

    Returns
    -------
    Figure
    """
    axes_of(None, (1, 1)).figure.clear()  # says what is missing, if matplotlib is
    pyplot: Any = import_module("matplotlib.pyplot")
    pyplot.close()
    found = result if isinstance(result, RegretExperiment) else gathered(result)
    columns = 3 + len(notes)
    problems = [p for p in found.problems if any(key[0] == p for key in found.curves)]
    figure, grid = pyplot.subplots(
        len(problems), columns, figsize=(5.2 * columns, 4.9 * len(problems)), layout="constrained", squeeze=False
    )
    for row, problem in zip(grid, problems, strict=True):
        regret(found, row[0], problem=problem)
        regret(found, row[1], problem=problem, scale="log")
        suboptimality(found, row[2], problem=problem)
        for ax, name in zip(row[3:], notes, strict=True):
            series(found, name, ax, problem=problem)
        about = found.problems[problem].get("criterion")
        if problem:
            row[0].set_title(_plain(problem) + (f", {about}" if about else ""), loc="left", fontsize="medium")
    return figure


# -- parts -------------------------------------------------------------------------------------------------------------


def _posed(result: Any, problem: str | None, scale: str, ax: Any) -> tuple[RegretExperiment, dict[str, Curve], Any]:
    if scale not in ("linear", "log"):
        raise OptionError("there is no such scale", found=repr(scale), needed="'linear' or 'log'")
    if not isinstance(result, RegretExperiment):
        if isinstance(result, (str, bytes)) or not (isinstance(result, Regret) or hasattr(result, "__iter__")):
            raise OptionError(
                "there is nothing here to draw", found=type(result).__name__, needed="a RegretExperiment or a Regret"
            )
        result = gathered(result)
    label = result.problem(problem)
    curves = {name: curve for (where, name), curve in result.curves.items() if where == label}
    if not curves:
        raise OptionError(f"there is no finished run of {label!r} to draw", needed="at least one")
    return result, curves, axes_of(ax, (6.4, 4.4))


def _draw(ax: Any, i: int, at: Array, mean: Mean, label: str, log: bool) -> None:
    """A mean with its band; on logarithmic axes, where it is positive."""
    value: Floats = np.asarray(mean.value, dtype=np.float64)
    lower, upper = np.asarray(mean.lower), np.asarray(mean.upper)
    there = value > 0 if log else np.isfinite(value)
    colors = palette(ax)
    color = colors[i % len(colors)]
    first, last = float(at[0]), float(at[-1])
    wanted: Floats = np.geomspace(first, last, MARKS) if log else np.linspace(first, last, MARKS + 1)[1:]
    if len(wanted) > 1:  # learners mark different places, or marks would hide each other
        shift = 0.5 * (i % 3) / 3
        wanted = wanted[:-1] + shift * np.diff(wanted)
    marks = nearest_columns(at[there], wanted) if there.any() else np.zeros(0, dtype=np.int64)
    ax.plot(
        at[there], value[there], color=color, linestyle=LINES[i % len(LINES)], linewidth=1.7, label=_plain(label),
        marker=MARKERS[i % len(MARKERS)], markersize=4.5, markevery=marks.tolist(), zorder=3,
    )  # fmt: skip
    band = there & np.isfinite(lower) & np.isfinite(upper)
    if np.any(band):
        least = np.where(lower > 0, lower, np.nanmin(value[there]) / 10) if log else lower
        ax.fill_between(at[band], least[band], upper[band], color=color, alpha=0.22, linewidth=0, zorder=2)


def _bounds(ax: Any, curves: dict[str, Curve], found: RegretExperiment, log: bool) -> None:
    colors = palette(ax)
    bounded = [(i, label, curve) for i, (label, curve) in enumerate(curves.items()) if curve.bound is not None]
    for i, label, curve in bounded:
        start = curve.informative_from
        says = "never below the dotted line" if start is None else f"below the dotted line from {found.unit} {start:,}"
        if start is not None:
            says += " (○)" if start <= curve.at[-1] else ", beyond this axis"
        who = "" if len(curves) == 1 else f" of {label}"
        holds = f", {curve.bound_holds}" if curve.bound_holds else ""
        ax.plot(
            curve.at, curve.bound, color=colors[i % len(colors)], linestyle=(0, (6, 2, 1, 2)), linewidth=1.0,
            label=_plain(f"bound{who}, {curve.bounded_by}{holds}:\n{says}"), zorder=2.5,
        )  # fmt: skip
        if start is not None and start <= curve.at[-1] and curve.bound is not None:
            height = float(np.interp(float(start), curve.at.astype(np.float64), curve.bound))
            ax.plot(
                [start], [height], marker="o", markersize=7, fillstyle="none", color=colors[i % len(colors)], zorder=4
            )
    if bounded and log:
        run = bounded[0][2].runs[0]
        each = {"episode": "episodes, H × range of rewards", "step": "steps × range of rewards"}
        text = each.get(found.unit, "epochs, range of rewards / (1 − γ)")
        ax.plot(
            run.at, run.trivial * run.at, color=_gray(ax), linestyle=(0, (1, 2)), linewidth=1.2,
            label=f"most that can be lost: {text}", zorder=1.5,
        )  # fmt: skip


def _slope(curve: Curve) -> str:
    slope = curve.slope
    if slope is None:
        return ""
    if slope.lower is None:
        return f": slope {slope.value:.3f}"
    return f": slope {slope.value:.3f} [{slope.lower:.3f}, {slope.upper:.3f}]"


def _binned(curve: Curve, log: bool) -> tuple[Array, Floats]:
    """Mean gaps between few rounds, from the regret after them."""
    at = curve.at
    n = int(at[-1])
    columns = nearest_columns(at, np.geomspace(1, n, BINS) if log else np.linspace(n / BINS, n, BINS))
    regret_at = curve.regret[:, columns]
    before = np.concatenate((np.zeros((len(regret_at), 1)), regret_at[:, :-1]), axis=1)
    return at[columns], (regret_at - before) / np.diff(at[columns], prepend=0)


def _finish(ax: Any, found: RegretExperiment, log: bool, label: str) -> None:
    if log:
        ax.set_xscale("log")
        ax.set_yscale("log")
    else:
        ax.set_xlim(left=0)
        if all(np.nanmin(line.get_ydata(), initial=0.0) >= 0 for line in ax.get_lines()):
            ax.set_ylim(bottom=0)
    ax.set_xlabel(f"{found.unit}s")
    ax.set_ylabel(label)
    ax.grid(alpha=0.3)
    n = len(found.seeds)
    title = f"mean of {n} seeds, {100 * found.confidence:.4g} % interval" if n > 1 else "one seed, no band"
    names = ax.get_legend_handles_labels()[1]
    wide = max((len(line) for name in names for line in name.split("\n")), default=0) > 24
    ax.legend(
        title=title, title_fontsize="small", fontsize="small", frameon=False, loc="upper left", alignment="left",
        bbox_to_anchor=(-0.02, -0.14), ncols=1 if wide or len(names) < 3 else 2,
    )  # fmt: skip


def _gray(ax: Any) -> str:
    return "0.75" if is_dark(ax) else "0.35"


def _plain(text: str) -> str:
    """Dollars and leading underscores are signs, not formulas or silence."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
