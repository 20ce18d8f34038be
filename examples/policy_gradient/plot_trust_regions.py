r"""
Trust regions
=============

How far may a policy move before the surrogate that moved it is wrong? The theorem answers with a constant, practice with a
radius, a clip or a penalty.
"""

# %%
# Return, surrogate and lower bounds along a line in the logits, from the uniform policy in the direction of its advantages.
# Here :math:`\gamma = 1/10`, where the constants 4 (with the total variation) and 2 (with the relative entropy) are nearly
# sharp for the worst models; this one is random, and the bounds are far below: the steps that they allow are short.

from itertools import islice, pairwise

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.kernels import softmax, surrogate
from mdpkit.models.canonical import canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solvers.policy_gradient import (
    FixPO,
    MinorizeMaximize,
    NaturalPolicyGradient,
    ProximalPolicyOptimization,
    SimplePolicyOptimization,
    TrustRegionPolicyOptimization,
)


def along(mdp, steps):
    """Return, surrogate and both lower bounds at each step size."""
    on = OnPolicy(canonical(mdp))
    ptr, pi = on.pair_ptr, on.uniform()
    V = on.value(pi)
    A, d, gamma = on.advantage(V), on.visits(pi), float(on.gamma[0])
    C = gamma / (1 - gamma) ** 2 * np.abs(A).max()
    rows = []
    for t in steps:
        log_new = softmax.log_softmax(np.log(pi) + t * A, ptr)
        new = np.exp(log_new)
        L = on.rho @ V + surrogate.value(new / pi, pi, A, d, ptr)
        tv = surrogate.total_variation(new, pi, ptr).max()
        kl = softmax.relative_entropy(pi, np.log(pi), log_new, ptr).max()
        rows.append((on.rho @ on.value(new), L, L - 4 * C * tv**2, L - 2 * C * kl))
    return np.array(rows).T


steps = np.linspace(0, 4, 80)
mdp = mk.instances.make("garnet", S=4, A=3, branching=2, seed=3, gamma="1/10")
fig, ax = plt.subplots()
for curve, label, style in zip(
    along(mdp, steps),
    ("return J", "surrogate L", "L − 4 γε/(1−γ)² TV²", "L − 2 γε/(1−γ)² KL"),
    ("-", "--", ":", "-."),
    strict=True,
):
    ax.plot(steps, curve, style, label=label)
ax.set_xlabel("step along the advantages")
ax.set_ylabel("expected discounted reward")
ax.legend()

# %%
# The difference of the first two is of second order in the step, and never more than the bound. Over :math:`\gamma`, the share
# of the bound that a step uses, for the random model and for the one that attains the constant as :math:`\gamma \to 0`.

gammas = np.linspace(0.01, 0.9, 30)
hard = np.array([[[1.0, 0.0], [0.0, 1.0]]] * 2), np.array([[-1.0, 1.0], [1.0, -1.0]])
shares = {"random model": [], "hard model": []}
for gamma in gammas:
    J, L, tv, _ = along(mdp.under(mk.Discounted(gamma)), [0.5])
    shares["random model"].append(abs(J - L)[0] / (L - tv)[0])
    # The hard move is to the second action in both states, from half-half; under its uniform visits L stays at zero.
    alpha = 0.25
    V = mk.evaluate(mk.MDP(*hard, mk.Discounted(gamma)), np.array([[0.5 - alpha, 0.5 + alpha]] * 2)).V
    shares["hard model"].append(abs(V.mean()) / (4 * gamma * alpha**2 / (1 - gamma) ** 2))
fig, ax = plt.subplots()
for label, values in shares.items():
    ax.semilogy(gammas, values, label=label)
ax.set_xlabel("discount γ")
ax.set_ylabel("|J − L| / bound")
ax.legend()

# %%
# The methods on one model, from the uniform policy. Maximizing the lower bound never loses, and is slow; natural gradients
# and trust regions are fast. Every step costs one exact evaluation.

mdp = mk.instances.make("garnet", S=6, A=3, branching=2, seed=3, gamma="9/10")
best = mk.solve(mdp).V.mean()
methods = {
    "lower bound (KL)": MinorizeMaximize(),
    "lower bound (TV)": MinorizeMaximize(divergence="tv"),
    "NPG": NaturalPolicyGradient(eta=0.1),
    "TRPO": TrustRegionPolicyOptimization(delta=0.02),
    "PPO": ProximalPolicyOptimization(eta=5.0, inner=50),
    "SPO": SimplePolicyOptimization(),
    "FixPO": FixPO(0.05, eta=5.0, inner=50, margin=3),
}
runs = {name: list(islice(mk.iterates(mdp, solver), 41)) for name, solver in methods.items()}
ax = mk.plots.convergence(
    {name: [(k, max(best - s.V.mean(), 1e-12)) for k, s in enumerate(states)] for name, states in runs.items()}
)
ax.set_ylabel("V* − V, mean over states (reward)")
ax.set_xlabel("updates")

# %%
# The lower bound's own curve: no step loses anything.

fig, ax = plt.subplots()
for name in ("lower bound (KL)", "lower bound (TV)"):
    ax.plot([s.V.mean() for s in runs[name]], label=name)
ax.axhline(best, color="black", linewidth=0.8, label="V*")
ax.set_xlabel("updates")
ax.set_ylabel("mean value")
ax.legend()

# %%
# How far each update goes: the largest :math:`|\rho - 1|`, and the largest relative entropy of a state. The clip's width and
# SPO's are 1/5, which neither keeps (SPO even sets ratios to zero, where its relative entropy is infinite and left out);
# FixPO's radius is 1/20, which it does. TRPO bounds a mean, so that some states go further.


def policy(state):
    """Probabilities of the pairs, whatever the state calls them."""
    return state.pi if hasattr(state, "pi") else np.exp(state.log_pi)


fig, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for name in ("TRPO", "PPO", "SPO", "FixPO"):
    ratio, far = [], []
    for before, after in pairwise(map(policy, runs[name])):
        used = before > 0
        ratio.append(np.abs(after[used] / before[used] - 1).max())
        with np.errstate(divide="ignore"):
            each = softmax.relative_entropy(before, np.log(before), np.log(after), mdp.pair_ptr)
        far.append(each.max())
    left.semilogy(range(1, 41), ratio, label=name)
    right.semilogy(range(1, 41), np.maximum(far, 1e-12), label=name)
left.axhline(0.2, color="black", linewidth=0.8)
right.axhline(0.05, color="black", linewidth=0.8)
left.set_ylabel("largest |ρ − 1|")
right.set_ylabel("largest relative entropy of a state")
for ax in (left, right):
    ax.set_xlabel("update")
left.legend()
