"""
Values, policies and stages of any model
========================================

Models that are no grids have their states on an axis.
"""

# %%
# The value of each state with its certified bounds. The run of value iteration is stopped after 10 steps: its
# bounds are wide, and true.

import mdpkit as mk

mdp = mk.instances.make("chain", n_states=8)
ax = mk.plots.values(
    {
        "value iteration, 10 steps": mk.solve(mdp, "value_iteration", until=mk.Steps(10)),
        "optimal": mk.solve(mdp),
        "uniform policy": mk.evaluate(mdp, mk.Stationary.uniform(mdp)),
    }
)

# %%
# The policy as a table; a pair that is not admissible is hatched.

taxicab = mk.solve(mk.instances.make("howard-taxicab"))
ax = mk.plots.policy_matrix(taxicab)

# %%
# Over a finite horizon the value depends on the stage, and so does the best action: Puterman's inventory of three months,
# in rationals.

ax = mk.plots.stages(mk.solve(mk.instances.make("puterman-inventory"), exact=True))
