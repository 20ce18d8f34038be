"""How the bounds on the value close."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.models.criterion import Discounted, EntropyRegularized
from mdpkit.plots.axes import COLORS, LINES, MARKERS, axes_of, named_results
from mdpkit.solution import Solution
from mdpkit.typing import Array, Floats

__all__ = ["convergence"]

AXES = {"steps": "steps of the method", "seconds": "seconds"}
LONG = 10
"""Ratio of the longest to the shortest run from which the time axis is logarithmic."""

MOST_MARKS = 25

Rate = float | str | Callable[[Any], Any]


def convergence(
    results: Any, against: str = "steps", rate: Rate | Mapping[str, Rate] | None = None, ax: Any = None
) -> Any:
    r"""Width of the bounds on the value against the steps of the method or the time, on a logarithmic scale.

    A curve shows what the method knew of its own error as it ran; the larger last mark is the certified gap of the answer.
    Entries without a bound are left out, and a gap of zero is written at the lower edge.

    Parameters
    ----------
    results : Solution, trace, sequence of solutions, or mapping of labels to solutions or traces
        A trace is a sequence of ``(step, gap)`` or of ``(step, gap, seconds)``; its gaps may be errors that were measured
        in another way.
    against : {"steps", "seconds"}
        A step is a sweep, an improvement or a linear system, by the method; seconds are those of this machine, and the
        first run of a process also compiles.
    rate : number, "gamma", callable or mapping of labels to these, optional
        A theoretical rate, dashed. A number q in (0, 1) is drawn as :math:`c\,q^k`, through the highest first point of the
        curves; ``"gamma"`` takes q from the criterion of the solutions (value iteration contracts with it: Puterman 1994,
        Theorem 6.3.3, recalled). A callable is the bound itself: it is given the steps as an array.
    ax : matplotlib Axes, optional
        New ones by default.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        If a result is neither a solution nor a trace, has no seconds where they are asked for, or the rate is none.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("forest")
    >>> runs = [mk.solve(mdp, method) for method in ("value_iteration", "policy_iteration")]
    >>> ax = mk.plots.convergence(runs, rate="gamma")
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['ValueIteration', 'PolicyIteration', '$0.9^k$']
    """
    if against not in AXES:
        raise OptionError(
            "there is no such axis of the convergence", found=repr(against), needed="'steps' or 'seconds'"
        )
    if rate is not None and against == "seconds":
        raise OptionError("a rate is one per step, not per second", found=repr(rate), way_out="against='steps'")
    entries = _entries(results)
    curves = {label: _curve(result, label, against) for label, result in entries.items()}
    rates = _rates(rate, entries)
    ax = axes_of(ax, (6.4, 4.0))
    everything = np.concatenate([gaps for _, gaps, _ in curves.values()] or [np.ones(0)])
    floor = float(everything[everything > 0].min(initial=np.inf)) / 10
    floor = floor if np.isfinite(floor) else 1e-16
    for i, (label, (at, gaps, answer)) in enumerate(curves.items()):
        style: dict[str, Any] = {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)]}
        every = {"markevery": max(1, len(at) // MOST_MARKS)}
        shown = np.where(gaps > 0, gaps, floor)
        ax.plot(
            at, shown, linestyle=LINES[i % len(LINES)], markersize=3.5, linewidth=1.4, label=label, **style, **every
        )
        if answer:
            ax.plot(at[-1:], shown[-1:], markersize=8, markeredgecolor="black", linestyle="none", **style)
    ax.set_yscale("log")
    ax.set_xlabel(AXES[against])
    ax.set_ylabel("gap: upper bound − lower bound")
    _draw_rates(ax, rates, curves)
    if np.any(everything == 0):
        ax.axhline(floor, color="0.6", linewidth=0.8, zorder=0)
        ax.annotate("0", (1.01, floor), xycoords=("axes fraction", "data"), va="center", color="0.4")
    ends = [float(at[-1]) for at, *_ in curves.values() if len(at)]
    starts = [float(at.min()) for at, *_ in curves.values() if len(at)]
    if ends and min(starts) > 0 and max(ends) > LONG * min(ends):
        ax.set_xscale("log")
    elif against == "steps":
        ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(framealpha=0.85, edgecolor="none")  # a curve may pass below the names
    return ax


def _entries(results: Any) -> dict[str, Any]:
    """Solutions and traces by label."""
    if isinstance(results, Mapping):
        return {str(label): result for label, result in results.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(results, Solution):
        return named_results(results, Solution)
    try:
        entries: list[Any] = list(results)
    except TypeError:
        raise _no_trace(results) from None
    if entries and not any(isinstance(entry, Solution) for entry in entries):
        return {"": entries}
    return named_results(entries, Solution)


def _curve(result: Any, label: str, against: str) -> tuple[Floats, Floats, bool]:
    """Where and how wide the bounds were, and whether the last entry is a solution's answer."""
    solution = isinstance(result, Solution)
    trace = [(*point, at) for point, at in zip(result.trace, result.times, strict=True)] if solution else result
    try:
        points: Array = np.array([tuple(point) for point in trace], dtype=np.float64)
    except (TypeError, ValueError):
        raise _no_trace(result) from None
    if points.size == 0:
        points = np.zeros((0, 3))
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise _no_trace(result)
    if solution:
        points = points[points[:, 0] < result.steps]
        points = np.vstack((points, [(result.steps, result.certificate.gap, result.seconds)]))
    elif against == "seconds" and points.shape[1] == 2:
        raise OptionError(
            f"the trace {label!r} has no seconds".replace(" ''", ""),
            needed="entries (step, gap, seconds)",
            way_out="give the solution in place of its trace",
        )
    points = points[np.isfinite(points[:, :2]).all(axis=1)]
    answer = solution and bool(np.isfinite(result.certificate.gap))
    return points[:, 0 if against == "steps" else 2], points[:, 1], answer


def _no_trace(result: Any) -> OptionError:
    return OptionError(
        "a result to plot is neither a solution nor a trace", found=repr(result)[:60], needed="pairs (step, gap)"
    )


def _rates(rate: Any, entries: dict[str, Any]) -> dict[str, float | Callable[[Any], Any]]:
    """Rates by label: numbers in (0, 1), or bounds as functions of the step."""
    if rate is None:
        return {}
    if isinstance(rate, Mapping):
        parts: dict[Any, Any] = dict(rate)  # pyright: ignore[reportUnknownArgumentType]
        return {str(label): bound for label, part in parts.items() for bound in _rates(part, entries).values()}
    if isinstance(rate, str) and rate == "gamma":
        found = {
            float(c.gamma)
            for result in entries.values()
            if isinstance(result, Solution)
            and isinstance(c := result.problem.criterion, (Discounted, EntropyRegularized))
            and not np.ndim(c.gamma)
        }
        if len(found) != 1:
            raise OptionError(
                "the results have no common discount factor",
                found=", ".join(map(str, sorted(found))) or "none",
                way_out="give the rate as a number, or a mapping of labels to rates",
            )
        rate = found.pop()
    if callable(rate):
        return {"bound": rate}
    try:
        q = float(rate)
    except (TypeError, ValueError):
        q = 0.0
    if not 0 < q < 1:
        raise OptionError(
            "the rate is none",
            found=repr(rate)[:60],
            needed="a number in (0, 1), 'gamma', or a function of the steps",
        )
    return {f"${q:.6g}^k$": q}


def _draw_rates(ax: Any, rates: dict[str, Any], curves: dict[str, tuple[Floats, Floats, bool]]) -> None:
    """Draw the rates over the steps of the curves, and no further down than they."""
    limits = ax.get_ylim()
    first = [(float(gaps[0]), float(at[0])) for at, gaps, _ in curves.values() if len(at) and gaps[0] > 0]
    last = max((float(at[-1]) for at, *_ in curves.values() if len(at)), default=0.0)
    for i, (label, rate) in enumerate(rates.items()):
        top, origin = max(first, default=(1.0, 0.0))
        k = np.unique(
            np.round(np.concatenate((np.linspace(origin, last, 200), np.geomspace(max(origin, 1), max(last, 1), 200))))
        )
        k = k[k >= min((at for _, at in first), default=0.0)]
        with np.errstate(all="ignore"):
            bound = np.asarray(rate(k) if callable(rate) else top * rate ** (k - origin), dtype=np.float64)
        if bound.shape != k.shape:
            raise OptionError("the rate does not give one bound per step", found=bound.shape, needed=f"{k.shape}")
        bound[~(np.isfinite(bound) & (bound >= limits[0]))] = np.nan
        shade = str(0.15 + 0.15 * (i % 4))
        ax.plot(
            k,
            bound,
            linestyle=(0, (6, 3)) if i % 2 == 0 else (0, (2, 2)),
            color=shade,
            linewidth=1.1,
            label=label,
            zorder=3,
        )
    if rates:
        ax.set_ylim(limits)
