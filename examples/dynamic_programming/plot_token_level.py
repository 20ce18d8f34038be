r"""
Actions that are spelled
========================

A language agent chooses an action token by token. Where the discount is counted, and how a right answer is found, are
questions about the tree of its tokens.
"""

# %%
# Four actions with words of lengths 1, 2, 3 and 3. With the discount at the end of each word, value iteration on tokens has the
# values of the actions as its limit; a word of three tokens is seen three sweeps late. With a discount after every token, the
# limit belongs to another model.

from itertools import islice

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.solvers.dynamic_programming import (
    BellmanActionDecomposition,
    PolicyOptimizationWithActionDecomposition,
    RandomPolicyValuation,
)

code = "0,10,110,111"
mdp = mk.instances.make("random-dense", S=3, A=4, gamma="9/10", seed=1)
best = mk.solve(mdp, exact=True).V


def errors(solver):
    return [(k, np.max(np.abs(s.V[:3] - best))) for k, s in enumerate(islice(mk.iterates(mdp, solver), 200))]


ax = mk.plots.convergence(
    {
        "at the end of each word": errors(BellmanActionDecomposition(code)),
        "after every token": errors(BellmanActionDecomposition(code, discount="token")),
    },
    rate={"bound": lambda k: 0.9 ** (k // 3) * np.max(best)},
)
ax.set_ylabel("error in the maximum norm (reward)")
ax.set_xlabel("backups of all prefixes")

# %%
# Mirror ascent on tokens. Each token has an advantage of its own; with the naive discount the policy converges too, to a
# worse one.

fig, ax = plt.subplots()
for discount, label in (("word", "POAD"), ("token", "naive (NTPO)")):
    solver = PolicyOptimizationWithActionDecomposition(1.0, code, discount)
    values = [mk.evaluate(mdp, s.tree.spell(np.exp(s.log_pi))).V.mean() for s in islice(mk.iterates(mdp, solver), 60)]
    ax.plot(values, label=label)
ax.axhline(best.mean(), color="gray", linestyle="--", label="optimal")
ax.set_xlabel("steps")
ax.set_ylabel("mean value of the policy (reward)")
ax.legend()

# %%
# A tree of answers, right or wrong: one evaluation of the uniform policy is enough to be right, and a temperature keeps many
# right answers alive. The diversity is the entropy of the right answers that are given.

tree = mk.instances.make("answer-tree", length=4, letters=3, right="1/5", seed=3)
temperatures = np.geomspace(0.02, 2.0, 25)
success, diversity = [], []
for temperature in temperatures:
    policy = mk.solve(tree, RandomPolicyValuation(temperature=temperature)).last_policy
    reach, given = {0: 1.0}, []
    for h in range(4):
        after = {}
        for s, p in reach.items():
            for k in tree.pairs_of(s):
                q = p * policy[h].weights[k]
                if tree.r[k] > 0:
                    given.append(q)
                t = int(tree.P.indices[k])
                after[t] = after.get(t, 0.0) + q
        reach = after
    law = np.array(given) / sum(given)
    success.append(sum(given))
    diversity.append(np.exp(-np.sum(law * np.log(law))))

fig, ax = plt.subplots()
ax.semilogx(temperatures, success, label="probability of a right answer")
ax.set_xlabel("temperature")
ax.set_ylabel("probability")
other = ax.twinx()
other.semilogx(temperatures, diversity, color="C1", label="right answers in use")
other.set_ylabel("exp(entropy) of the right answers")
fig.legend(loc="upper center", ncols=2)
