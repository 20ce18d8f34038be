"""Axes for the pictures, and what their numbers and states are called."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.evaluation import Evaluation
from mdpkit.models.criterion import AverageReward, Discounted, EntropyRegularized, Invariance, Reachability
from mdpkit.models.mdp import MDP
from mdpkit.solution import Solution
from mdpkit.typing import Array

__all__ = [
    "COLORS",
    "LINES",
    "MARKERS",
    "action_name",
    "axes_of",
    "check_result",
    "first_stage",
    "is_probability",
    "named_results",
    "number",
    "room_of",
    "shortened",
    "state_name",
    "style",
    "value_name",
]

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colors, which color-blind readers tell apart."""
LINES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)), (0, (3, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def style() -> dict[str, Any]:
    """Settings for pictures of your own, ``plt.rcParams.update(mk.plots.style())``.

    Returns
    -------
    dict
        ``axes.prop_cycle``: lines differ in Okabe and Ito's colors, which color-blind readers tell apart, and in their
        strokes, which print keeps.
    """
    cycler: Any = import_module("cycler").cycler
    return {"axes.prop_cycle": cycler(color=COLORS) + cycler(linestyle=LINES)}


def axes_of(ax: Any, size: tuple[float, float]) -> Any:
    """The axes given, or new ones of a figure of this size in inches.

    Raises
    ------
    UnsupportedError
        Without matplotlib.
    """
    try:
        pyplot: Any = import_module("matplotlib.pyplot")
    except ImportError:  # pragma: no cover - matplotlib is installed where the tests run
        raise UnsupportedError("plots need matplotlib", way_out="pip install 'mdpkit[plots]'") from None
    return pyplot.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def room_of(ax: Any, height: float, width: float) -> float:
    """Inches that a unit has in axes ``height`` units high and ``width`` wide, of equal aspect."""
    box = ax.get_window_extent()
    return float(min(box.height / height, box.width / width) / ax.figure.dpi)


def check_result(result: Any, *kinds: type) -> None:
    """Refuse what is no result of these kinds (a solution or an evaluation, if none is given).

    Raises
    ------
    OptionError
        Names the type found.
    """
    kinds = kinds or (Solution, Evaluation)
    if not isinstance(result, kinds):
        raise OptionError(
            "there is nothing here to draw",
            found=type(result).__name__,
            needed=f"a result of the type {' or '.join(kind.__name__ for kind in kinds)}",
            way_out="mdpkit.solve(mdp) and mdpkit.evaluate(mdp, policy) return them",
        )


def named_results(results: Any, *kinds: type) -> dict[str, Any]:
    """One result, a sequence or a mapping of them by label; results without one are called by their solver or policy.

    Raises
    ------
    OptionError
        If one is of another kind.
    """
    if isinstance(results, Mapping):
        found: dict[str, Any] = {str(label): result for label, result in results.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    else:
        try:
            entries: list[Any] = [results] if isinstance(results, (Solution, Evaluation)) else list(results)
        except TypeError:
            entries = [results]
        names = [_name(entry) for entry in entries]
        distinct = [n if names.count(n) == 1 else f"{n} ({names[:k].count(n) + 1})" for k, n in enumerate(names)]
        found = dict(zip(distinct, entries, strict=True))
    for result in found.values():
        check_result(result, *kinds)
    return found


def _name(result: Any) -> str:
    if isinstance(result, Solution):
        return type(result.solver).__name__
    if isinstance(result, Evaluation):
        return f"{type(result.policy).__name__} policy"
    return ""


def first_stage(values: Array) -> Array:
    """Values ``(S,)`` as floats: those of stage 0 over a finite horizon."""
    return np.asarray(values[0] if values.ndim == 2 else values, dtype=np.float64)


def is_probability(problem: MDP) -> bool:
    """Whether the values of a problem are probabilities."""
    return isinstance(problem.criterion, (Reachability, Invariance))


def value_name(problem: MDP) -> str:
    """What the values of a problem measure."""
    c = problem.criterion
    if is_probability(problem):
        return "probability"
    what = "cost" if problem.minimize else "reward"
    if isinstance(c, AverageReward):
        return f"expected {what} per step"
    if isinstance(c, EntropyRegularized):
        return f"expected discounted {what}, {'less' if problem.minimize else 'with'} entropy"
    return f"expected {'discounted' if isinstance(c, Discounted) else 'total'} {what}"


def state_name(mdp: MDP, s: int) -> str:
    """Name of a state, short enough for a label; its number where it has none."""
    return str(s) if mdp.state_names is None else shortened(_plain(mdp.state_names[s]))


def action_name(mdp: MDP, a: int) -> str:
    """Name that an action has in all states, or its number."""
    if mdp.pair_names is not None:
        names = {mdp.pair_names[k] for k in np.flatnonzero(mdp.action == a).tolist()}
        if len(names) == 1:
            return shortened(str(names.pop()))
    return str(a)


def _plain(name: Any) -> str:
    parts: Any = name
    return ",".join(map(str, parts)) if isinstance(name, tuple) else str(name)


def shortened(text: str, most: int = 16) -> str:
    """At most so many signs of a name; a dollar is one, not the start of a formula."""
    return (text if len(text) <= most else f"{text[: most - 1]}…").replace("$", r"\$")


def number(value: Any, largest: float = 0.0) -> str:
    """A number in a few signs: a fraction if it is one and short, else three digits.

    What is rounding beside the largest value is zero.
    """
    if isinstance(value, Fraction) and len(text := str(value)) <= 6:
        return text.replace("-", "−")
    value = float(value)
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) <= 1e-12 * largest:
        return "0"
    size = abs(value)
    text = f"{value:.0e}" if size and not 1e-3 <= size < 1e6 else f"{value:.0f}" if size >= 1e3 else f"{value:.3g}"
    return text.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e").replace("-", "−")
