r"""
Policy gradients from trajectories
==================================

How far a baseline, a critic and the length of the steps carry a policy that learns from sampled trajectories alone.
"""

# %%
# Three ways to follow the gradient on a random model with five states, one trajectory of 40 steps an iteration (two for the
# method with Hessian-vector products). The gaps are exact: the methods do not see them. :meth:`trace` runs all steps in one
# compiled loop.

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.models.canonical import canonical
from mdpkit.operators.advantages import GAE, ExactAdvantages
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solvers.policy_gradient import HessianAidedPolicyGradient, NormalizedPolicyGradientIGT, Reinforce

plt.rcParams.update(mk.plots.style())

mdp = mk.instances.make("garnet", S=5, A=2, branching=2, seed=1, gamma="9/10")
problem = canonical(mdp)
on = OnPolicy(problem)
best = mk.solve(mdp).V
methods = {
    "REINFORCE": Reinforce(eta=0.02, episodes=1, length=40),
    "N-PG-IGT": NormalizedPolicyGradientIGT(eta=1.5, length=40),
    "N-HARPG": HessianAidedPolicyGradient(eta=1.5, length=40),
}
marks = np.unique(np.geomspace(1, 2000, 20).astype(int))
fig, ax = plt.subplots(layout="constrained")
for name, solver in methods.items():
    policies = solver.policies(problem)
    gaps = [
        [np.mean(best - on.value(np.exp(policies.log_pi(theta)))) for theta in solver.trace(problem, marks, rng)]
        for rng in map(np.random.default_rng, range(10))
    ]
    ax.plot(marks, np.mean(gaps, axis=0), marker="o", label=name)
ax.set(xlabel="steps", ylabel="mean gap of 10 runs (reward)", xscale="log", yscale="log")
ax.legend()

# %%
# Generalized advantage estimates against exact ones, with a critic that is wrong by a constant in the last state. A small
# lambda trusts the critic and has its bias; a large one has the variance of the trajectories.

pi = on.uniform()
wrong = on.value(pi) + np.array([0, 0, 0, 0, 2.0])
exact = ExactAdvantages()(on, pi)
lambdas = np.linspace(0, 1, 9)
rng = np.random.default_rng(1)
bias, error = [], []
for lambda_ in lambdas:
    estimator = GAE(lambda_=lambda_, episodes=20, length=40, critic=wrong)
    off = estimator.bias(on, pi, 40)
    bias.append(np.sqrt(np.mean(np.square(off - on.spread(on.mean(pi, off))))))  # less what depends on the state alone
    runs = [estimator(on, pi, rng) - exact for _ in range(10)]
    error.append(np.sqrt(np.mean(np.square(runs))))
fig, ax = plt.subplots(layout="constrained")
ax.plot(lambdas, error, marker="o", label="root mean square error of 20 trajectories")
ax.plot(lambdas, bias, marker="s", label="bias that a gradient sees")
ax.set(xlabel="lambda", ylabel="error of advantages (reward)")
ax.legend()

# %%
# Normalized steps on a bandit. The gap falls like the power of the number of trajectories that the scale of the steps
# allows; scales above one are trapped at the bad arm in a share of the runs.

bandit = canonical(mk.MDP([[[1.0], [1.0]]], [[1.0, 0.5]], mk.Discounted("1/2"), rho=0))
marks = np.unique(np.geomspace(10, 10_000, 20).astype(int))
fig, ax = plt.subplots(layout="constrained")
for eta in (0.2, 0.7, 4.0):
    solver = NormalizedPolicyGradientIGT(eta=eta, length=1, features="minimal")
    gaps = [1 / (1 + np.exp(solver.trace(bandit, marks, np.random.default_rng(i))[:, 0])) for i in range(20)]
    ax.plot(marks, np.mean(gaps, axis=0), marker="o", label=f"scale {eta}")
ax.set(xlabel="trajectories", ylabel="mean gap of 20 runs (reward)", xscale="log", yscale="log")
ax.legend()
