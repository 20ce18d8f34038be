r"""
Temporal differences in continuous time
=======================================

A process that runs in continuous time is observed every :math:`dt`. Temporal differences then make a martingale of what
they estimate; the mesh is felt in the first order, by a term that can be written down. The mean-square temporal-difference
error looks like the natural objective, and finds something else.
"""

# %%
# A queue with four places: arrivals at the rate 1, services at the rate 1.5, discount rate 1/2. Each customer who waits
# costs 1 per unit of time; the value solves :math:`(\rho - L) V = r`, and is exact in rationals.

from fractions import Fraction

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.models.jump_process import JumpProcess
from mdpkit.solvers.evaluation import MartingaleLoss, MartingaleOrthogonality, MeanSquareTDError

plt.rcParams.update(mk.plots.style())

n, up, down = 5, 1, Fraction(3, 2)
L = [[up if t == s + 1 else down if t == s - 1 else 0 for t in range(n)] for s in range(n)]
for s in range(n):
    L[s][s] = -sum(L[s])
queue = JumpProcess(L, [-s for s in range(n)], rate=Fraction(1, 2))
V = queue.value()
print(*queue.value(exact=True))

# %%
# Every estimator gets the exact moments of the process on the grid, and one feature a state. The two ways to discount have
# different first-order terms, :math:`\frac{dt}{2} r` and :math:`\frac{dt}{2} (\rho - L)^{-1} L^2 V` (dotted); without them
# the error is of the second order (dashed). The mean-square error tends to a constant instead.

always = np.zeros(n, dtype=int)
exact = {"method": "least squares", "expected": True}
methods = {
    "orthogonality, factor": (MartingaleOrthogonality(**exact), queue.r / 2),
    "orthogonality, rate": (
        MartingaleOrthogonality(discounting="rate", **exact),
        np.linalg.solve(0.5 * np.eye(n) - queue.generator, queue.generator @ queue.generator @ V) / 2,
    ),
    "martingale loss": (MartingaleLoss(window=None, **exact), None),
    "mean-square TD error": (MeanSquareTDError(**exact), None),
}
meshes = 2.0 ** -np.arange(0, 10)
figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 4.0), layout="constrained")
for i, (name, (method, first)) in enumerate(methods.items()):
    values = np.array([mk.estimate(queue.on_grid(dt), always, method, steps=1).value for dt in meshes])
    style = "--" if name == "martingale loss" else "-"
    left.loglog(meshes, np.max(np.abs(values - V), axis=1), style, color=f"C{i}", label=name, linewidth=2)
    if first is not None:
        left.loglog(meshes, meshes * np.max(np.abs(first)), ":", color="k", linewidth=1)
        rest = np.max(np.abs(values - V - meshes[:, None] * first), axis=1)
        left.loglog(meshes, rest, "--", color=f"C{i}", linewidth=1, label="less its first-order term")
    if name in ("orthogonality, factor", "mean-square TD error"):
        right.plot(values[4], "o-", color=f"C{i}", label=f"{name}, dt = 1/16")
left.set_xlabel("dt")
left.set_ylabel(r"$\|J_{dt} - V\|_\infty$")
left.legend(frameon=False, fontsize=8)
left.set_title("Exact moments, one feature a state")
right.plot(V, "k.--", label="V")
right.set_xlabel("customers")
right.set_ylabel("value")
right.set_xticks(range(n))
right.legend(frameon=False)
right.set_title("The mean-square error flattens")

# %%
# Along one trajectory of 8000 steps of length 1/4: the means of what is drawn replace the exact moments. What stays is the
# error of the mesh, half a payment. Until all states were seen, a value of zero is reported where none was.

figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
drawn = {
    "orthogonality": MartingaleOrthogonality(method="least squares"),
    r"orthogonality, $\lambda = 1/2$": MartingaleOrthogonality(method="least squares", lambda_=0.5, dt=0.25),
    "martingale loss, windows of 60": MartingaleLoss(method="least squares", window=60, counted=30),
    "mean-square TD error": MeanSquareTDError(method="least squares"),
}
for i, (name, method) in enumerate(drawn.items()):
    found = mk.estimate(queue.on_grid(0.25), always, method, steps=8000, rng=np.random.default_rng(2))
    errors = np.max(np.abs(found.values - V), axis=1)
    ax.loglog(found.marks[1:], errors[1:], color=f"C{i}", label=name)
ax.axhline(0.125 * np.max(np.abs(queue.r)), color="k", linestyle=":", linewidth=1, label=r"$dt \max |r| / 2$")
ax.set_xlabel("transitions drawn")
ax.set_ylabel(r"$\|J - V\|_\infty$")
ax.legend(frameon=False)
plt.show()
