"""Draw the figures of the documentation that are not in its gallery: ``python docs/figures.py`` from the root."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.models.canonical import canonical
from mdpkit.operators import BellmanOptimality
from mdpkit.plots.axes import COLORS
from mdpkit.solvers.dynamic_programming import IntervalIteration

OUT = Path(__file__).parent / "_static"
mpl.rcParams.update({
    "figure.dpi": 150, "savefig.dpi": 150, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.alpha": 0.25, "legend.frameon": False, "savefig.bbox": "tight",
})  # fmt: skip
BLUE, ORANGE, GREEN = COLORS[:3]
GRAY = "0.4"


def plain_value_iteration(mdp: mk.MDP, stop: float = 1e-6) -> tuple[list[float], int]:
    """Values at the start and the sweep after which no state changed by more than ``stop``."""
    T = BellmanOptimality(mdp)
    start = int(np.argmax(mdp.rho))
    V = np.where(canonical(mdp).fixed, canonical(mdp).fixed_value, 0.0)
    values, stopped = [float(V[start])], None
    while stopped is None or len(values) < 6 * stopped:
        new = T(V)
        if stopped is None and np.max(np.abs(new - V)) <= stop:
            stopped = len(values)
        V = new
        values.append(float(V[start]))
    return values, stopped


def bounds(mdp: mk.MDP) -> tuple[list[int], list[float], list[float]]:
    """Certified bounds at the start as interval iteration goes on, on a grid of steps."""
    solver, problem = IntervalIteration(), canonical(mdp)
    steps, lower, upper, due = [], [], [], 0
    for k, state in enumerate(mk.iterates(mdp, solver)):
        if k < due:
            continue
        low, high = mk.certificates.certify(mdp, solver.answer(problem, state)).initial(mdp)
        steps.append(k)
        lower.append(low)
        upper.append(high)
        if high - low < 1e-6:
            return steps, lower, upper
        due = k + max(1, k // 10)


def haddad_monmege() -> None:
    """Plain value iteration against bounds from both sides."""
    for n in (15, 20):
        values, stopped = plain_value_iteration(mk.instances.make("haddad-monmege", n=n))
        print(f"n = {n}: value iteration stops after {stopped} sweeps at {values[stopped]:.6g}")
    mdp = mk.instances.make("haddad-monmege", n=15)
    values, stopped = plain_value_iteration(mdp)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 2.9), sharey=True)
    left.axhline(0.5, color=GRAY, lw=1, ls=":")
    left.plot(values, color=BLUE, label="value iteration")
    left.plot([stopped], [values[stopped]], "o", color=ORANGE, ms=5)
    left.annotate(
        f"stops: {values[stopped]:.5f}", (stopped, values[stopped]), xytext=(1.35 * stopped, 0.3),
        arrowprops={"arrowstyle": "-", "color": ORANGE}, color=ORANGE,
    )  # fmt: skip
    for axis in (left, right):
        axis.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:.0f}k" if x else "0")
    left.set(xlabel="sweeps", ylabel="value at the start", title="plain: no error bound", ylim=(-0.04, 1.04))
    steps, lower, upper = bounds(mdp)
    right.axhline(0.5, color=GRAY, lw=1, ls=":")
    right.fill_between(steps, lower, upper, color=GREEN, alpha=0.15)
    right.plot(steps, upper, color=GREEN, label="upper")
    right.plot(steps, lower, color=GREEN, ls="--", label="lower")
    right.set(xlabel="sweeps", title="interval iteration: enclosed", xlim=left.get_xlim())
    right.legend()
    figure.savefig(OUT / "haddad_monmege.png")
    plt.close(figure)


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    haddad_monmege()
