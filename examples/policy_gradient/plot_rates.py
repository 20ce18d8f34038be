r"""
Three rates of exact policy gradients
=====================================

The softmax policy gradient closes in like :math:`1/k`, the natural one geometrically in the end, and mirror descent with
increasing steps linearly from the start. Solid lines are measured, dashed ones are the bounds that the claims check.
"""

# %%
# One problem, three methods, with exact values. The natural gradient's bound knows no number of states: it is
# ``agarwal2021:npg-rate``. That of mirror descent has the factor :math:`1 - 1/\vartheta`, where :math:`\vartheta` says how much
# more often than the initial law an optimal policy visits some state: ``xiao2022:linear-rate``.

from itertools import islice

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.operators.step_sizes import Increasing
from mdpkit.solvers.policy_gradient import NaturalPolicyGradient, PolicyMirrorDescent, SoftmaxPolicyGradient

plt.rcParams.update(mk.plots.style())

gamma, S, A = 0.5, 5, 3
rho = np.full(S, 1 / S)
mdp = mk.instances.make("garnet", S=S, A=A, branching=2, seed=7, gamma="1/2").under(rho=rho)
best = mk.solve(mdp, exact=True)
visits = mk.evaluate(mdp, best.pi).occupancy.sum(axis=1) / (1 - gamma)
theta = np.max(visits / rho)


def gaps(solver, n):
    """The gap of each policy at the initial law, down to rounding."""
    found = np.array([rho @ (best.V - state.V) for state in islice(mk.iterates(mdp, solver), n)])
    return found[: np.argmax(found < 1e-13) or n]


methods = {
    "softmax policy gradient": SoftmaxPolicyGradient(eta=2 * (1 - gamma) ** 2),
    "natural policy gradient": NaturalPolicyGradient(eta=1.0),
    "mirror descent, increasing steps": PolicyMirrorDescent(Increasing(1.0, theta / (theta - 1))),
}
runs = {name: gaps(solver, 3000) for name, solver in methods.items()}
first = runs["mirror descent, increasing steps"][0] + np.log(A) / ((1 - gamma) * (theta - 1))
bounds = {
    "natural policy gradient": lambda k: (np.log(A) + 1 / (1 - gamma) ** 2) / k,
    "mirror descent, increasing steps": lambda k: first * (1 - 1 / theta) ** k,
}
fig, ax = plt.subplots(figsize=(9, 4.8), layout="constrained")
for name, gap in runs.items():
    k = np.arange(1, len(gap))
    (line,) = ax.loglog(k, gap[1:], "-", label=name)
    if name in bounds:
        ax.loglog(k, bounds[name](k), "--", color=line.get_color(), label=f"bound of {name}")
ax.set_xlabel("steps")
ax.set_ylabel("gap at the initial law (reward)")
_ = fig.legend(loc="outside right upper")

# %%
# The plain gradient cannot be faster than that: on a bandit :math:`k` times its gap tends to :math:`(|A|-1)/(|A|\eta)`,
# whatever the rewards. A claim that has run keeps its curves.

evidence = mk.claims["mei2020:bandit-rate"].run("fast")
print(evidence)

# %%
# Here are the gap, and the bound that is attained in the limit.

curve = next(c for c in evidence.curves if not c.control)
fig, ax = plt.subplots()
ax.loglog(curve.k, curve.bound, "--", label="bound")
ax.loglog(curve.k, curve.measured, "o", markersize=3, label="measured")
ax.set_xlabel("steps")
ax.set_ylabel("gap (reward)")
_ = ax.legend()
