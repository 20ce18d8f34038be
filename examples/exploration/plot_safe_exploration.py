r"""
Exploration above a threshold
=============================

A baseline is known to be worth more than a threshold :math:`\gamma_0`. StepMix and EpsMix explore as optimistically as lower
confidence bounds allow, and no episode is worth less than :math:`\gamma_0`; UCBVI tries whatever may be good.
"""

# %%
# **The problem.** From a start one of four actions is taken, which leads to a state that pays, or to one that pays nothing;
# then back to the start. The baseline takes an action that is good half of the time. One action is better; two are far worse
# than what is asked for, and only trying tells them apart.

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.solvers.exploration import UCBVI, EpsMix, StepMix

plt.rcParams.update(mk.plots.style())

heads = [0.5, 0.05, 0.1, 0.9]
P = np.array([[0, p, 1 - p] for p in heads] + [[1.0, 0, 0]] * 2)
r = np.array([0.0, 0, 0, 0, 1, 0])
mdp = mk.MDP(P, r, mk.FiniteHorizon(4), state=[0, 0, 0, 0, 1, 2], action=[0, 1, 2, 3, 0, 0], rho=0)
baseline = (0, 4, 5)  # the pairs it takes: the first action, and the only ones of the other states
gamma_0, episodes = 0.6, 20_000

learners = {
    "UCBVI": UCBVI(),
    "EpsMix": EpsMix(baseline, threshold=gamma_0),
    "StepMix": StepMix(baseline, threshold=gamma_0),
}
runs = {
    name: mk.play(mdp, learner, episodes=episodes, rng=np.random.default_rng(3)) for name, learner in learners.items()
}

# %%
# **The promise.** With probability :math:`1 - \delta` all episodes are worth at least :math:`\gamma_0`: ``stepmix:safe``. The
# values are those of the policies that were played, not what they earned; the upper picture shows some of the episodes.

fig, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7, 6))
k = np.arange(1, episodes + 1)
shown = np.unique(np.geomspace(1, episodes, 240).astype(int)) - 1
for (name, run), marker in zip(runs.items(), "ox+", strict=True):
    above.semilogx(k[shown], run.values[shown], marker, label=name, markersize=4, fillstyle="none")
    below.semilogx(k, np.cumsum(run.values < gamma_0), label=name)
above.axhline(gamma_0, color="black", linestyle="--", linewidth=1)
above.text(1.1, gamma_0 + 0.03, r"$\gamma_0$")
above.set_ylabel("value of the episode (reward)")
above.legend(loc="upper left")
below.set_xlabel("episode")
below.set_ylabel("episodes below the threshold")
_ = below.legend()

# %%
# **The price.** At first nothing is known, and the baseline is played. As its value becomes certain, there is room for a share
# of the optimistic policy, until the baseline is needed no more. An episode in which it has a part explores enough to pay for
# it (``stepmix:caution-explores``), so that the regret is behind by a constant: ``stepmix:regret``.

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
left.plot([], [])  # the color of UCBVI
for name, factor, marker in (("EpsMix", 4, "x"), ("StepMix", 1, "+")):
    part = factor * runs[name].series["baseline"]
    left.semilogx(k[shown], part[shown], marker, label=name, markersize=4)
left.set_xlabel("episode")
left.set_ylabel("stages of the baseline, on average")
left.legend(fontsize="small")
for name, run in runs.items():
    right.loglog(k, run.cumulative, label=name)
right.set_xlabel("episodes")
right.set_ylabel("regret (reward)")
right.legend(fontsize="small")
fig.tight_layout()
