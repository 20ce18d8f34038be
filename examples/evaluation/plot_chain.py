"""
The chain of a policy
=====================

A stationary policy makes a Markov chain of the model. It is drawn as a graph: the wider an edge, the likelier the
transition; recurrent classes have a color and a shape, and probabilities are fractions where the model is exact.
"""

# %%
# RiverSwim under its optimal policy: always swim to the right.

# sphinx_gallery_thumbnail_number = 3
import mdpkit as mk

ax = mk.plots.chain_graph(mk.solve(mk.instances.make("riverswim")))

# %%
# Another policy of the same model goes left in the first two states, and ends in the first one for good.

ax = mk.plots.chain_graph(mk.instances.make("riverswim"), policy=[0, 0, 1, 1, 1, 1])

# %%
# On a grid the states stand on their cells. The optimal policy of FrozenLake keeps away from three of the four holes.

ax = mk.plots.chain_graph(mk.solve(mk.instances.make("frozenlake")))

# %%
# Edges are bent or states set on a circle where lines would run through a state.

ax = mk.plots.chain_graph(mk.solve(mk.instances.make("gambler", goal=12)))
