"""
Values and policies on grids
============================

A model whose ``state_names`` are cells (row, column) is drawn as the grid that it is: values as colors and numbers, the
policy as arrows, the labels of the model in their cells.
"""

# %%
# On FrozenLake a move slips to either side with probability 1/3. The best policy shuns the holes by walking into walls.

import mdpkit as mk

lake = mk.solve(mk.instances.make("frozenlake", map_name="8x8"))
ax = mk.plots.value_and_policy(lake)

# %%
# Cells that are no states are walls. Here each step costs 1, the trap costs 10 and the goal brings 10.

room = mk.instances.make("gridworld", map="S..#..G/.#.#.T./.#...#./...#...", slip="1/10")
ax = mk.plots.value_and_policy(mk.solve(room))

# %%
# Sutton and Barto's Example 3.8: every action leads from A to A' for 10 and from B to B' for 5. The jumps have arrows of
# their own.

ax = mk.plots.value_and_policy(mk.solve(mk.instances.make("gridworld-3-8")))
ax.set_title("Sutton and Barto, Example 3.8")

# %%
# A randomized policy has an arrow for each action. This is the uniform one of their Example 4.1; its values are integers,
# which the exact evaluation shows.

mdp = mk.instances.make("gridworld-4-1")
uniform = mk.evaluate(mdp, mk.Stationary.uniform(mdp), exact=True)
ax = mk.plots.value_and_policy(uniform)

# %%
# Larger grids have no numbers, and signs in place of labels. The states of a maze have no names: ``shape`` says which cells
# they are. The lines are walls: no action leads from one side to the other.

maze = mk.solve(mk.instances.make("maze", width=30, height=30))
ax = mk.plots.value_and_policy(maze, shape=(30, 30))
