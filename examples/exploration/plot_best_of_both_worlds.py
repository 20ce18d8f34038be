r"""
Late feedback, and both worlds
==============================

Exponential weights in every state learn against an adversary even if they are told of an episode long after it: the regret has
a term in the root of the total delay. Leaders whose rates follow their visits do more: the same algorithm loses the order of
:math:`\sqrt T` against an adversary and of :math:`\ln T` where rewards are drawn.
"""

# %%
# Delays
# ------
# One state, two arms, and an adversary that changes its table every ten episodes. The bound is
# :math:`2 \sqrt{\ln A\,(AK/2 + dK)} + d`.

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.environment import Adversarial, Delayed, Environment, switching
from mdpkit.solvers.exploration import BestOfBothWorldsPolicyOptimization, DelayAdaptedPolicyOptimization

plt.rcParams.update(mk.plots.style())

K, runs = 5000, 5
arms = mk.MDP(np.ones((1, 2, 1)), np.zeros((1, 2)), mk.FiniteHorizon(1), rho=0)
tables = [[1.0, 0.25], [0.5, 0.625]]

figure, ax = plt.subplots(layout="constrained")
for i, d in enumerate((0, 10, 100)):
    world = Delayed(Adversarial(arms, *switching(tables, K, 10)), d)
    learner = DelayAdaptedPolicyOptimization(delay=d)
    found = [mk.play(world, learner, episodes=K, rng=np.random.default_rng(seed)) for seed in range(runs)]
    ax.plot(np.mean([run.cumulative for run in found], axis=0), "-", color=f"C{i}", label=f"d = {d}")
    ax.plot(found[0].bound, ":", color=f"C{i}", label=f"bound for d = {d}")
ax.set(
    xscale="log",
    yscale="log",
    xlim=(50, K),
    ylim=(3, 3000),
    xlabel="episodes",
    ylabel="regret (reward)",
    title="Late feedback",
)
ax.legend(title="mean of 5 runs")

# %%
# The same algorithm in both worlds
# ---------------------------------
# Two states, three stages, a known law. In the stochastic world rewards are coins. The adversary turns the coins round in 24
# of 50 episodes, so that policies are hard to tell apart. The constants of the proof ask for very many episodes: here start and
# floor are left out and rate and bonus are smaller, with which nothing is promised.

T = 40_000
P = np.array([[[0.75, 0.25], [0.25, 0.75]], [[0.5, 0.5], [0.25, 0.75]]])
means = np.array([[0.25, 0.5], [0.875, 0.25]])
quiet = Environment(mk.MDP(P, means, mk.FiniteHorizon(3), rho=0), "bernoulli", known=True)
turned = (np.arange(T) % 50 >= 26).astype(int)
turning = Adversarial(quiet, np.stack((means.ravel(), 1 - means.ravel())), turned)

learner = BestOfBothWorldsPolicyOptimization(rate=0.25, start=0, explore=0, bonus=0.1)
marks = np.unique(np.geomspace(100, T, 200).astype(int)) // 50 * 50 - 1
figure, ax = plt.subplots(layout="constrained")
for label, world in (("stochastic", quiet), ("adversary", turning)):
    found = [mk.play(world, learner, episodes=T, rng=np.random.default_rng(seed)) for seed in range(3)]
    curve = np.mean([run.cumulative for run in found], axis=0)
    ax.plot(marks + 1, curve[marks], label=label)
ax.plot(marks + 1, 2 * np.sqrt(marks + 1), "k:", label=r"$2\sqrt{T}$")
ax.set(xscale="log", yscale="log", xlabel="episodes", ylabel="regret (reward)", title="Both worlds")
ax.legend(title="mean of 3 runs")
plt.show()

# %%
# In the stochastic world the regret levels off on this scale, as a logarithm does; against the adversary it goes on growing.
# These are pictures of a few runs: what is claimed with constants is the case of one stage, ``bobw-po:bandit-adversarial`` and
# ``bobw-po:bandit-stochastic``.
