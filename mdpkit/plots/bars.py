"""Values of the states of any model, with their certified bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.models.mdp import MDP
from mdpkit.plots.axes import COLORS, LINES, MARKERS, axes_of, first_stage, named_results, state_name, value_name
from mdpkit.solution import Solution
from mdpkit.typing import Array, Floats, Ints

__all__ = ["values"]

MOST_MARKS = 60
"""States up to which each has its mark and its name."""


def values(results: Any, ax: Any = None) -> Any:
    """Value of each state, with its certified bounds as error bars.

    Over a finite horizon, stage 0 is shown. An infinite value is an arrowhead at the edge. Beyond 60 states the values are
    lines, and the bounds a band.

    Parameters
    ----------
    results : Solution or Evaluation, sequence of them, or mapping of labels to them
        Of models with the same states.
    ax : matplotlib Axes, optional
        New ones by default.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        If a result is another one, or they are of models of different sizes.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("forest")
    >>> ax = mk.plots.values({"optimal": mk.solve(mdp), "always wait": mk.evaluate(mdp, [0, 0, 0])})
    >>> ax.get_ylabel()
    'expected discounted reward'
    """
    entries = named_results(results)
    if not entries:
        raise OptionError("there is no result to draw", needed="at least one")
    problems: list[MDP] = [result.problem for result in entries.values()]
    mdp, S = problems[0], problems[0].n_states
    if any(problem.n_states != S for problem in problems):
        raise OptionError(
            "the results are of models of different sizes", found=[problem.n_states for problem in problems]
        )
    few = S <= MOST_MARKS
    ax = axes_of(ax, (max(4.0, min(10.0, 1.6 + 0.3 * S * len(entries) ** 0.5)) + 2.0 * (len(entries) > 1), 3.6))
    ax.grid(alpha=0.3)
    at: Ints = np.arange(S)
    for i, (label, result) in enumerate(entries.items()):
        V = first_stage(result.V)
        lower, upper = _bounds(result)
        color, shift = COLORS[i % len(COLORS)], (i - (len(entries) - 1) / 2) * 0.5 / len(entries)
        finite = np.isfinite(V) & np.isfinite(lower) & np.isfinite(upper)
        if few:
            width = np.stack((V[finite] - lower[finite], upper[finite] - V[finite])).clip(min=0)
            style: dict[str, Any] = {"fmt": MARKERS[i % len(MARKERS)], "capsize": 4, "markersize": 5, "color": color}
            ax.errorbar(at[finite] + shift, V[finite], width, label=label, **style)
        else:
            ax.plot(at, np.where(finite, V, np.nan), linestyle=LINES[i % len(LINES)], color=color, label=label)
            ax.fill_between(at, lower, upper, where=finite, color=color, alpha=0.25, linewidth=0)
        for sign, mark, edge in ((1, "^", 0.97), (-1, "v", 0.03)):
            endless = np.flatnonzero(V == sign * np.inf)
            if endless.size:
                place: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "linestyle": "none"}
                ax.plot(endless + shift, np.full(len(endless), edge), marker=mark, color=color, **place)
                for s in endless.tolist() if few else []:
                    text = "∞" if sign > 0 else "−∞"
                    ax.text(s + shift + 0.1, edge, text, va="center", color=color, transform=ax.get_xaxis_transform())
    ax.set_xlabel("state")
    ax.set_ylabel(value_name(mdp))
    ax.ticklabel_format(axis="y", useOffset=False)
    if few:
        names = [state_name(mdp, s) for s in range(S)]
        widest = max(map(len, names))
        long = widest > (3 if S > 12 else 8)
        ax.set_xticks(at, names, rotation=90 if long else 0)
        ax.set_xlim(-0.6, S - 0.4)
    if len(entries) > 1 and ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def _bounds(result: Any) -> tuple[Floats, Floats]:
    source = result.certificate if isinstance(result, Solution) else result
    lower: Array = source.lower
    upper: Array = source.upper
    return first_stage(lower), first_stage(upper)
