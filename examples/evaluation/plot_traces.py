r"""
Traces that look back
=====================

Off-policy evaluation weights the errors that follow a pair by a trace :math:`\beta_t`. How far an operator with such traces
shrinks errors, :math:`\|Z\|_\infty`, can be computed exactly: all histories are followed, and those that end alike are put
together. Smaller is faster; above 1 nothing is promised.
"""

# %%
# Two states, two actions, a behavior that differs from the target. Every rule keeps some credit for every :math:`\lambda`.
# RBIS keeps the most of all those that obey :math:`\beta_t \le \lambda^t` and :math:`\beta_t \le \rho_t \beta_{t-1}`, so
# that its norm is the least of them (recursive Retrace breaks the first bound). Truncated importance sampling breaks the
# second, and Q(lambda), which has no ratio to cut by, more so.

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.models.canonical import canonical
from mdpkit.operators.multistep import Multistep
from mdpkit.operators.task import Task
from mdpkit.operators.trace_rules import (
    FullTrace,
    PerDecision,
    RecencyBounded,
    RecursiveRetrace,
    Retrace,
    TruncatedImportanceSampling,
)
from mdpkit.solvers.evaluation import MultistepEvaluation

plt.rcParams.update(mk.plots.style())

RULES = {
    "RBIS": RecencyBounded,
    "recursive Retrace": RecursiveRetrace,
    r"$\min(\lambda, \rho)$": PerDecision,
    "Retrace": Retrace,
    "truncated IS": TruncatedImportanceSampling,
    r"Q($\lambda$)": FullTrace,
}

mdp = mk.instances.make("random-dense", S=2, A=2, gamma="9/10", seed=3)
target, behavior = np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([[0.4, 0.6], [0.6, 0.4]])
task = Task(canonical(mdp), target, behavior)
lambdas = np.linspace(0, 1, 17)
figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for name, rule in RULES.items():
    ax.plot(lambdas, [Multistep(task, rule(x), 9).norm for x in lambdas], label=name)
ax.axhline(1, color="0.6", linewidth=0.8)
ax.set_ylim(0.3, 1.6)
ax.set_xlabel(r"$\lambda$")
ax.set_ylabel(r"$\|Z\|_\infty$, error after one step over error before")
ax.set_title("Two states, two actions, γ = 0.9, 9 lags")
ax.legend(frameon=False)

# %%
# The counterexample of Daley and others: one state, two actions taken at random, a target that takes the first with
# probability 0.6, and :math:`\lambda = 1`. As the discount factor grows, truncated importance sampling stops being a
# contraction; what obeys the condition never exceeds :math:`\gamma`.

gammas = np.linspace(0.8, 0.96, 17)
figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for name, rule in RULES.items():
    norms = []
    for gamma in gammas:
        bandit = mk.MDP(np.ones((1, 2, 1)), np.array([[0.0, 1.0]]), mk.Discounted(gamma), rho=0)
        one = Task(canonical(bandit), [[0.6, 0.4]], [[0.5, 0.5]])
        norms.append(Multistep(one, rule(1), 80).norm)
    ax.plot(gammas, norms, label=name)
ax.plot(gammas, gammas, "-", color="0.6", linewidth=0.8)
ax.text(0.845, 0.87, r"$\gamma$", color="0.4")
ax.axhline(1, color="0.6", linewidth=0.8)
ax.set_ylim(0, 1.9)
ax.set_xlabel(r"$\gamma$")
ax.set_ylabel(r"$\|Z\|_\infty$")
ax.set_title(r"One state, $\pi = (0.6, 0.4)$, $\mu = (0.5, 0.5)$, $\lambda = 1$")
ax.legend(frameon=False, loc="upper left")

# %%
# What the norms promise, the iterates keep: value iteration with the operator, from zero. Truncated importance sampling is as
# fast as any here; its norm only fails to promise it.

figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for name, rule in list(RULES.items())[:5]:
    found = mk.estimate(
        mdp,
        target,
        MultistepEvaluation(rule(0.9), 10),
        behavior=behavior,
        features="pairs",
        steps=40,
        marks=range(41),
    )
    ax.semilogy(found.marks, found.errors, label=name)
ax.semilogy(found.marks, found.errors[0] * 0.9**found.marks, "-", color="0.6", linewidth=0.8, label=r"$\gamma^k$")
ax.set_xlabel("steps k")
ax.set_ylabel(r"$\|Q_k - Q^\pi\|_\infty$")
ax.set_title(r"$\lambda = 0.9$, 10 lags")
ax.legend(frameon=False)
plt.show()
