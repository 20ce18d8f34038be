"""How the bounds on the value close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.plots.axes import COLORS, axes_of
from mdpkit.solution import Solution
from mdpkit.typing import Array

__all__ = ["convergence"]

STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def convergence(results: Any, ax: Any = None) -> Any:
    """Width of the bounds on the value against the steps of the method, on a logarithmic scale.

    A curve shows what the method knew of its own error as it ran; the larger last mark is the certified gap of the answer.
    Steps without a bound are left out, and a gap of zero is written at the lower edge.

    Parameters
    ----------
    results : Solution, trace, sequence of solutions, or mapping of labels to solutions or traces
        A trace is a sequence of ``(step, gap)``.
    ax : matplotlib Axes, optional
        New ones by default.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        If a result is neither a solution nor a trace.
    """
    curves = _curves(results)
    ax = axes_of(ax, (6.4, 4.0))
    lowest = [gaps[gaps > 0].min(initial=np.inf) for _, gaps, _ in curves.values()]
    lowest += [final[1] for *_, final in curves.values() if final is not None and final[1] > 0]
    floor = min(lowest, default=1.0) / 10 if np.isfinite(min(lowest, default=1.0)) else 1e-16
    zero = False
    for i, (label, (steps, gaps, final)) in enumerate(curves.items()):
        style: dict[str, Any] = {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)]}
        shown = np.where(gaps > 0, gaps, floor)
        ax.plot(steps, shown, STYLES[i % len(STYLES)], markersize=3.5, linewidth=1.4, label=label, **style)
        zero |= bool(np.any(gaps == 0))
        if final is not None:
            zero |= final[1] == 0
            ax.plot([final[0]], [final[1] or floor], markersize=8, markeredgecolor="black", linestyle="none", **style)
    ax.set_yscale("log")
    ax.set_xlabel("steps of the method")
    ax.set_ylabel("gap: upper bound − lower bound")
    if zero:
        ax.axhline(floor, color="0.6", linewidth=0.8, zorder=0)
        ax.annotate("0", (1.01, floor), xycoords=("axes fraction", "data"), va="center", color="0.4")
    if max((steps.max(initial=1) for steps, *_ in curves.values()), default=1) > 1000:
        ax.set_xscale("log")
    ax.grid(alpha=0.3)
    if any(curves):
        ax.legend(frameon=False)
    return ax


def _curves(results: Any) -> dict[str, tuple[Array, Array, tuple[int, float] | None]]:
    if isinstance(results, Mapping):
        return {str(label): _curve(result) for label, result in results.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(results, Solution):
        return {_name(results): _curve(results)}
    entries: list[Any] = list(results)
    if entries and not all(isinstance(entry, Solution) for entry in entries):
        return {"": _curve(entries)}
    names = [_name(entry) for entry in entries]
    distinct = [n if names.count(n) == 1 else f"{n} ({names[:k].count(n) + 1})" for k, n in enumerate(names)]
    return {n: _curve(entry) for n, entry in zip(distinct, entries, strict=True)}


def _name(solution: Solution) -> str:
    return type(solution.solver).__name__


def _curve(result: Any) -> tuple[Array, Array, tuple[int, float] | None]:
    trace = result.trace if isinstance(result, Solution) else result
    try:
        points = np.array([tuple(point) for point in trace], dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise OptionError(
            "a result to plot is neither a solution nor a trace", found=repr(result)[:60], needed="pairs (step, gap)"
        ) from None
    points = points[np.isfinite(points).all(axis=1)]
    final = None
    if isinstance(result, Solution):
        final = (result.steps, float(result.certificate.gap))
        points = points[points[:, 0] < result.steps]
        if np.isfinite(final[1]):
            points = np.vstack((points, [final]))
        else:
            final = None
    return points[:, 0], points[:, 1], final
