r"""
The regret of four learners
===========================

How much optimism, posterior sampling, Q-learning and plain exploring lose on a river before they swim to its far end.
"""

# %%
# A swimmer in a river of four states, twelve strokes an episode. The current carries back; a small reward waits at the near end
# and a large one at the far end. All learners meet the same luck, and what they lose is exact: the value of what they play
# against the best one, not of what they happen to earn.

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.solvers.exploration import PSRL, UCBVI, ExploreThenCommit, OptimisticQLearning

plt.rcParams.update(mk.plots.style())

K = 100_000
river = mk.instances.make("riverswim", n_states=4).under(mk.FiniteHorizon(12))
learners = {
    "UCBVI": UCBVI(),
    "UCBVI, Bernstein": UCBVI("bernstein"),
    "PSRL": PSRL(),
    "Q-learning": OptimisticQLearning(),
    "explore, then commit": ExploreThenCommit(),
}
runs = {name: mk.play(river, one, episodes=K, rng=np.random.default_rng(0)) for name, one in learners.items()}
k = np.arange(1, K + 1)
at = np.unique(np.geomspace(1, K, 400).astype(int)) - 1
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for name, run in runs.items():
    left.plot(k[:: K // 500], run.cumulative[:: K // 500], label=name)
    right.plot(k[at], run.cumulative[at], label=name)
right.plot(k[at], 3 * np.sqrt(k[at]), color="gray", linestyle=":", label="root of K")
left.set(xlabel="episodes", ylabel="regret (reward)", ylim=(0, 5000))
right.set(xlabel="episodes", ylabel="regret (reward)", xscale="log", yscale="log")
right.legend()

# %%
# Optimistic learners come with a bound that holds with high probability. It is far above what they lose; from how many
# episodes on it says more than that rewards are at most one is computed, not played.

for name, run in runs.items():
    print(f"{name:22s} regret {run.total:9.0f}   bound informative from {run.informative_from}")

# %%
# The theorems need bonuses that are wide. A tenth of them guarantees nothing, and learns much sooner here.

fig, ax = plt.subplots(layout="constrained")
for scale in (1.0, 0.3, 0.1):
    run = mk.play(river, UCBVI(scale=scale), episodes=20_000, rng=np.random.default_rng(0))
    ax.plot(run.cumulative, label=f"UCBVI, {scale:g} of the bonus")
ax.plot(runs["PSRL"].cumulative[:20_000], label="PSRL")
ax.set(xlabel="episodes", ylabel="regret (reward)")
ax.legend()
