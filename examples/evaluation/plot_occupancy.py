r"""
Where a policy spends its time
==============================

The discounted occupancy :math:`d(s,a) = (1-\gamma) \sum_t \gamma^t P(s_t = s, a_t = a)` is a law on the pairs: it sums to
one, and the value is its mean reward over :math:`1 - \gamma`.
"""

# %%
# On a grid the cells show the sum over their actions. More than half of the discounted time on FrozenLake is spent in the goal.

import mdpkit as mk

lake = mk.solve(mk.instances.make("frozenlake"))
ax = mk.plots.occupancy(lake)

# %%
# The uniform policy falls into a hole soon.

mdp = lake.problem
ax = mk.plots.occupancy(mk.evaluate(mdp, mk.Stationary.uniform(mdp)))

# %%
# Other models have a table of states and actions.

mdp = mk.instances.make("riverswim")
ax = mk.plots.occupancy(mk.evaluate(mdp, mk.Stationary.uniform(mdp)))

# %%
# Over a finite horizon it is the probability of each state at each stage.

ax = mk.plots.occupancy(mk.solve(mdp.under(mk.FiniteHorizon(12))))

# %%
# For total reward it is the expected number of visits before the end.

mdp = mk.instances.make("gridworld-4-1")
ax = mk.plots.occupancy(mk.evaluate(mdp, mk.Stationary.uniform(mdp)))
