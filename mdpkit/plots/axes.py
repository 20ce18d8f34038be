"""Axes for the pictures, and what their numbers are called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mdpkit.errors import UnsupportedError
from mdpkit.models.criterion import Discounted, Invariance, Reachability
from mdpkit.models.mdp import MDP

__all__ = ["COLORS", "axes_of", "value_name"]

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colors, which color-blind readers tell apart."""


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


def value_name(problem: MDP) -> str:
    """What the values of a problem measure."""
    c = problem.criterion
    if isinstance(c, (Reachability, Invariance)):
        return "probability"
    kind = "discounted" if isinstance(c, Discounted) else "total"
    return f"expected {kind} {'cost' if problem.minimize else 'reward'}"
