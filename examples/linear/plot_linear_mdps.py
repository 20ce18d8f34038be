r"""
Where to sample, and what to share
==================================

A linear MDP keeps its features. Where to draw so that least squares is good everywhere is a question of optimal design, with a
certificate; what optimism on features costs, and what agents gain by sharing what they saw, is counted exactly.
"""

# %%
# The largest leverage of a design is at least d, and d(1 + eps) certifies it. Steps toward single points alone come near it
# like 1/k; with steps away from points, or from one to another, the last digits come at a geometric rate.

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.kernels import design
from mdpkit.operators.optimal_design import OptimalDesign
from mdpkit.solvers.linear import LSVIUCB, AsyncCoopLSVIUCB

plt.rcParams.update(mk.plots.style())

mdp = mk.instances.make("linear-mdp", S=40, A=5, d=6, anchors=False, seed=3)
fig, ax = plt.subplots(layout="constrained")
for rule in ("forward", "away", "pairwise"):
    w, gaps = design.start(mdp.phi), []
    for _ in range(800):
        gaps.append(design.leverages(mdp.phi, design.gram(mdp.phi, w)).max() / mdp.dim - 1)
        w = design.step(mdp.phi, w, rule)
    gaps = np.array(gaps)
    ax.plot(np.arange(1, 801)[gaps > 1e-13], gaps[gaps > 1e-13], label=rule)
ax.set(xlabel="steps", ylabel="largest leverage over d, less one", xscale="log", yscale="log")
ax.legend()

# %%
# The certificate is checked in rationals. A few of 200 pairs are enough.

found = OptimalDesign.of(mdp.phi, eps="1/1000")
print(len(found.support), "pairs, certified:", found.certificate().verify())

# %%
# Eight agents on an episodic problem in which one corner of a square of actions is best. The theorem's bonus is safe and slow;
# the constant 3 is enough here. Sharing at a threshold costs little more regret than sharing all, and far fewer messages.

cube = mk.instances.make("linear-hypercube-episodic", H=4, delta="1/2", gap="2/5")
K = 6000
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for alpha in (0.0, 1 / 64, 1 / 4, 2.0, 16.0):
    learner = AsyncCoopLSVIUCB(agents=8, alpha=alpha, beta=3)
    regret = mk.play(cube, learner, episodes=K, rng=np.random.default_rng(0))
    left.plot(regret.cumulative, label=f"alpha = {alpha:.3g}")
    right.plot(1 + np.arange(K), 1 + regret.series["communications"], label=f"alpha = {alpha:.3g}")
one = mk.play(cube, LSVIUCB(beta=3), episodes=K, rng=np.random.default_rng(0))
left.plot(one.cumulative, "k--", label="one learner (LSVI-UCB)")
left.set(xlabel="episodes of all agents", ylabel="regret (reward)")
right.set(xlabel="episodes of all agents", ylabel="communications, plus one", xscale="log", yscale="log")
left.legend()
right.legend()
plt.show()
