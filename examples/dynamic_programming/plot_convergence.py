r"""
How fast the bounds close
=========================

Every solver bounds its own error as it runs, and the certificate has the last word. The small marks are what the method
knew on its way, the large last one is the certified gap of the answer.
"""

# %%
# Four methods on RiverSwim with 30 states. A step of value iteration or Gauss–Seidel is a sweep over all pairs; one of
# modified policy iteration adds 20 sweeps of one policy; one of policy iteration solves a linear system. Dashed: the rate
# :math:`\gamma^k` with which the Bellman operator contracts. Value iteration is faster than that, because its bounds
# contract in the span.

from itertools import islice

import numpy as np

import mdpkit as mk
from mdpkit.solvers.dynamic_programming import GaussSeidel, ValueIteration

mdp = mk.instances.make("riverswim", n_states=30).under(mk.Discounted("0.99"))
methods = ["value_iteration", "gauss_seidel", "modified_policy_iteration", "policy_iteration"]
runs = [mk.solve(mdp, method) for method in methods]
ax = mk.plots.convergence(runs, rate="gamma")

# %%
# The same runs against time, certificates included. The first run of a process also compiles; this is the second one.

runs = [mk.solve(mdp, method) for method in methods]
ax = mk.plots.convergence(runs, against="seconds")

# %%
# Errors that were measured in another way are drawn like gaps: here the true error of value iteration,
# :math:`\|V_k - V^*\|_\infty`, from the exact solution, beside the bound
# :math:`\gamma^k \|V_0 - V^*\|_\infty` that theory promises.

mdp = mk.instances.make("riverswim")
best = mk.solve(mdp, exact=True).V


def errors(solver):
    return [(k, np.max(np.abs(state.V - best))) for k, state in enumerate(islice(mk.iterates(mdp, solver), 2000))]


ax = mk.plots.convergence(
    {"value iteration": errors(ValueIteration()), "Gauss–Seidel": errors(GaussSeidel())},
    rate={"bound": lambda k: 0.99**k * np.max(best)},
)
ax.set_ylabel("true error in the maximum norm (reward)")
ax.set_xlabel("sweeps")
