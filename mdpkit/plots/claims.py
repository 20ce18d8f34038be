"""Pictures of evidence: what was measured, the bound beside it, and a control in another line style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mdpkit.errors import OptionError

if TYPE_CHECKING:
    from mdpkit.claims.evidence import Evidence

__all__ = ["evidence"]

MOST = 3
"""How many curves are drawn, each with its bound."""
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""The palette of Okabe and Ito, told apart by the color-blind."""

SHOWN = 3
"""Measured curves that a picture draws at most; more are unreadable, and :meth:`Evidence.to_dataframe` has all."""


def evidence(result: Evidence, ax: Any = None) -> Any:
    """Draw the curves of a claim's evidence: the instance of least slack, and a control on it.

    Parameters
    ----------
    result : Evidence
    ax : matplotlib Axes, optional
        A new figure by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    OptionError
        If the claim compares numbers that follow no abscissa.
    """
    import matplotlib.pyplot as plt

    if not result.curves:
        raise OptionError("the evidence has no curve to draw", found=result.id, way_out="print it instead")
    if ax is None:
        _, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    numbers = [x for c in result.curves for x in (*c.measured, *c.bound) if math.isfinite(x)]
    positive = bool(numbers) and min(numbers) > 0 and max(numbers) > 20 * min(numbers)
    own = [c for c in result.curves if not c.control]
    controls = [c for c in result.curves if c.control]
    shown, left_out = own[:SHOWN], len(own) - SHOWN
    for i, curve in enumerate(shown):
        color = COLORS[i % len(COLORS)]
        _line(ax, curve.k, curve.measured, color, "-", _name(curve.label, "measured"), marker=len(curve.k) < 30)
        if any(math.isfinite(b) for b in curve.bound):
            equal = result.kind in ("identity", "tight") and np.allclose(curve.measured, curve.bound, equal_nan=True)
            word = "equal to" if equal else "bound"
            _line(ax, curve.k, curve.bound, color, "--", f"{word}{_of(curve.label)}")
    for i, curve in enumerate(controls[: 1 if left_out > 0 else SHOWN]):
        _line(ax, curve.k, curve.measured, "#666666", ":" if i == 0 else "-.", f"control: {curve.label}", width=1.6)
    if positive:
        ax.set_yscale("log")
    if result.slope is not None and positive and all(min(c.k, default=0) > 0 for c in own):
        ax.set_xscale("log")
    elif all(float(k).is_integer() for c in result.curves for k in c.k):
        from matplotlib.ticker import MaxNLocator

        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("k")
    ax.set_title(result.title, fontsize="medium", wrap=True)
    ax.grid(True, which="major", alpha=0.25)
    note = f"{SHOWN} of {len(own)} curves" if left_out > 0 else None
    if len(ax.lines) <= 3:
        ax.legend(fontsize="small", frameon=False, title=note, title_fontsize="small")
    else:  # below, where it hides nothing
        ax.legend(
            fontsize="small", frameon=False, title=note, title_fontsize="small", loc="upper center",
            bbox_to_anchor=(0.5, -0.16), ncols=2 if max(len(str(line.get_label())) for line in ax.lines) < 36 else 1,
        )  # fmt: skip
    return ax


def _name(label: str, other: str) -> str:
    return label or other


def _of(label: str) -> str:
    return "" if label in ("", "measured") else f", {label}"


def _line(
    ax: Any,
    x: Sequence[float],
    y: Sequence[float],
    color: str,
    style: str,
    label: str,
    *,
    marker: bool = False,
    width: float = 1.8,
) -> None:
    values, there = np.array(y, dtype=float), np.isfinite(np.array(y, dtype=float))
    # Points without a bound do not interrupt its line.
    place = np.array(x, dtype=float)[there]
    mark = "." if marker else None
    ax.plot(place, values[there], style, color=color, label=label, linewidth=width, marker=mark)
