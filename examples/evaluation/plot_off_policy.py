r"""
Convergence is not accuracy
===========================

A policy is to be valued from the steps of another one, with a single feature. Temporal differences then may diverge. Gradient
methods repair that, and emphasis does too, but they do not come to rest at the same point.
"""

# %%
# The river: the target policy always swims right, and the feature doubles from state to state. Transitions come from a behavior
# that swims right with probability one half only.

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.operators.projected import moments
from mdpkit.solvers.evaluation import TDC, EmphaticTemporalDifferences, TemporalDifferences

plt.rcParams.update(mk.plots.style())

mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
right, features = [1, 1, 1, 1], [[1], [2], [4], [8]]
even = [[0.5, 0.5]] * 4

methods = {
    "temporal differences": TemporalDifferences(eta=0.05, expected=True),
    "TDC": TDC(eta=0.2, beta=0.2, expected=True),
    "emphatic": EmphaticTemporalDifferences(eta=0.02, expected=True),
}
runs = {
    name: mk.estimate(mdp, right, method, behavior=even, features=features, steps=3000)
    for name, method in methods.items()
}
fig, ax = plt.subplots()
for name, run in runs.items():
    shown = run.errors < 1e4
    (line,) = ax.loglog(run.marks[shown] + 1, run.errors[shown], label=name)
    if name != "temporal differences":
        ax.axhline(run.fixed_point_error, ls=":", color=line.get_color())
ax.set_xlabel("steps")
ax.set_ylabel("largest error of the value")
_ = ax.legend()

# %%
# Steps are exact means here, so nothing of this is noise. The expected step is :math:`w + \eta (b - Aw)`, and the sign of the
# one number A decides: negative for temporal differences, positive with emphasis, as it is for every behavior:
# ``sutton2016:positive-definite``. TDC converges, ``sutton2009:tdc-convergence``, to the point where :math:`Aw = b`.

for name, run in runs.items():
    emphatic = name == "emphatic"
    A = moments(run.task, 0, emphatic=emphatic).A[0, 0]
    print(f"{name:22} A = {A:7.3f}, error of the fixed point {run.fixed_point_error:6.2f}")

# %%
# That point need not be any good. Let the behavior go from the target (share one) to its opposite, and compare the fixed
# points in the norm of the behavior with the best that the feature allows. On policy temporal differences are within a
# factor of it, ``tsitsiklis1997:error-bound``. On the way A passes through zero, and there the solution of
# :math:`Aw = b` goes to infinity.

shares = np.linspace(0.02, 1, 99)
found = {"temporal differences and TDC": [], "emphatic": [], "the best of the feature": []}
signs = []
for share in shares:
    behavior = [[1 - share, share]] * 4
    for name, method in (("temporal differences and TDC", methods["TDC"]), ("emphatic", methods["emphatic"])):
        run = mk.estimate(mdp, right, method, behavior=behavior, features=features, steps=0)
        d = run.task.weights
        found[name].append(np.sqrt(d @ (run.fixed_point - run.exact) ** 2))
    signs.append(moments(run.task, 0).A[0, 0] > 0)
    phi = run.task.phi[:, 0]
    best = phi * (d @ (phi * run.exact)) / (d @ phi**2)
    found["the best of the feature"].append(np.sqrt(d @ (best - run.exact) ** 2))

fig, ax = plt.subplots()
for (name, errors), style in zip(found.items(), ("-", "-", "k:"), strict=True):
    ax.semilogy(shares, errors, style, label=name)
first = shares[np.argmax(signs)]
ax.axvspan(shares[0], first, alpha=0.15, color="tab:red", label="A < 0: temporal differences diverge")
ax.set_xlabel("how often the behavior swims right")
ax.set_ylabel("weighted error of the fixed point")
ax.set_ylim(0.1, 1e4)
_ = ax.legend(loc="upper left")
