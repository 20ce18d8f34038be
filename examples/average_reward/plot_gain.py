r"""
How the gain is found
=====================

The gain is what a policy earns per step in the long run. RiverSwim's best policy swims against the current, and its gain is
:math:`7203/16805`.
"""

# %%
# In rationals the gain and the bias are exact. Howard's relative values are the bias less that of a chosen state.

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.solvers.average_reward import RelativeValueIteration

river = mk.instances.make("riverswim").under(mk.AverageReward())
sol = mk.solve(river, exact=True)
print(sol.exact[0], sol.classes)
print(*sol.relative_value(ref=0))

# %%
# Relative value iteration bounds the gain at each sweep. How often a transition is made, :math:`\tau`, is the price of making
# chains aperiodic: the bounds close a little later for smaller :math:`\tau`.

runs = {f"τ = {tau:g}": mk.solve(river, RelativeValueIteration(tau=tau)) for tau in (1.0, 0.9, 0.5)}
ax = mk.plots.convergence(runs)
ax.set_title("RiverSwim, six states")

# %%
# On a cycle of two states the price is worth paying: with :math:`\tau = 1` the bounds stand still for ever. Policy iteration
# does not mind.

cycle = mk.instances.make("two-cycle")
runs = {f"τ = {tau:g}": mk.solve(cycle, RelativeValueIteration(tau=tau), max_steps=200) for tau in (1.0, 0.9, 0.5)}
runs["policy iteration"] = mk.solve(cycle, "multichain_policy_iteration")
ax = mk.plots.convergence(runs)
ax.set_title("A cycle of two states")

# %%
# Discounted values tend to the gain, :math:`(1-\gamma) V_\gamma \to g^*`, with an error of the order of :math:`1 - \gamma`.
# The discounted optimal policy is the best one on average long before that.

rest = np.logspace(0, -6, 25)
scaled = np.array([x * mk.solve(river.under(mk.Discounted(1 - x))).V for x in rest])
figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for s, style in ((0, "-"), (5, "--")):
    ax.loglog(rest, np.abs(scaled[:, s] - float(sol.exact[s])), style, label=f"state {s}")
ax.loglog(rest, rest * np.max(np.abs(sol.bias)), ":", color="0.4", label=r"$(1-\gamma)\,\max|h|$")
ax.invert_xaxis()
ax.set_xlabel(r"$1 - \gamma$")
ax.set_ylabel(r"$|(1-\gamma) V_\gamma(s) - g^*|$, reward per step")
ax.legend(frameon=False)
plt.show()
