r"""
A KL penalty averages the noise
===============================

Value iteration with sampled backups chases its last errors. With a KL penalty between successive policies the policy is soft
in the *sum* of all action values so far, and in the sum the errors average out.
"""

# %%
# Mirror-descent value iteration on a random model with 100 states, whose backups see one sampled transition of each pair a
# step. Without a penalty (:math:`\lambda = 0`, and hardly any entropy) the policy is greedy for the last noisy values, and its
# loss stops falling. With a penalty the loss falls on, however small :math:`\lambda` is: it decides only how late. Drawn is
# the true loss :math:`\|V^* - V^{\pi_k}\|_\infty`, from an exact evaluation of each policy.

from itertools import islice

import numpy as np

import mdpkit as mk
from mdpkit.models.canonical import canonical
from mdpkit.operators.backups import SampledBackup
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solvers.regularized_dp import MirrorDescentValueIteration

mdp = mk.instances.make("garnet", S=100, A=8, branching=10, seed=1, gamma="9/10")
best = mk.solve(mdp).V
on = OnPolicy(canonical(mdp))
steps = np.unique(np.geomspace(2, 3000, 40).astype(int))


def losses(problem, lambda_):
    solver = MirrorDescentValueIteration(lambda_=lambda_, backup=SampledBackup())
    states = islice(mk.iterates(problem, solver, rng=np.random.default_rng(0)), int(steps[-1]) + 1)
    return [(k, np.max(best - on.value(np.exp(s.log_pi)))) for k, s in enumerate(states) if k in steps]


curves = {"no penalty": losses(mdp.under(mk.EntropyRegularized("9/10", "1/10000")), 0)}
curves |= {f"$\\lambda$ = {x}": losses(mdp, x) for x in (0.1, 1.0, 10.0)}
ax = mk.plots.convergence(curves)
ax.set_xscale("log")
ax.set_xlabel("steps, one transition of each pair a step")
ax.set_ylabel("loss of the policy in the maximum norm (reward)")

# %%
# Why: the errors themselves. Their size in one step does not fall, that of their average does, like :math:`1/\sqrt{k}`; and the
# loss is at most :math:`\frac{2\gamma}{1-\gamma}` times the average, plus :math:`O(1/k)` (the claim ``md-vi:averaged-errors``).

solver = MirrorDescentValueIteration(lambda_=1.0, backup=SampledBackup())
total, single, average = np.zeros(mdp.n_pairs), [], []
for k, state in enumerate(islice(mk.iterates(mdp, solver, rng=np.random.default_rng(0)), int(steps[-1]) + 1)):
    error = state.q - on.q(state.V) if k else 0.0
    total += error
    if k in steps:
        single.append((k, np.max(np.abs(error))))
        average.append((k, np.max(np.abs(total / k))))

ax = mk.plots.convergence(
    {"errors of one step": single, "average of all errors": average},
    rate={r"$1/\sqrt{k}$": lambda k: single[-1][1] / np.sqrt(k)},
)
ax.set_xscale("log")
ax.set_xlabel("steps, one transition of each pair a step")
ax.set_ylabel("error in the maximum norm (reward)")
