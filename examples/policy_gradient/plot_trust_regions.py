r"""
Trust regions
=============

How far may a policy move before the surrogate that moved it is wrong? The theorem answers with a constant, practice with a
radius, a clip or a penalty.
"""

# %%
# Return, surrogate and lower bounds, from the half-half policy, at :math:`\gamma = 1/10`. On the left along the advantages of a
# random model: the surrogate is nearly right, and the bounds are far below, so that the steps which they allow are short.
# On the right the model that attains the constants 4 (with the total variation) and 2 (with the relative entropy) as
# :math:`\gamma \to 0`: either action leads to a state of its own, and moving to one of them brings what the surrogate does
# not see.

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

plt.rcParams.update(mk.plots.style())


def compare(mdp, policies):
    """Return, surrogate and both lower bounds at each policy, from the uniform one."""
    on = OnPolicy(canonical(mdp))
    ptr, pi = on.pair_ptr, on.uniform()
    V = on.value(pi)
    A, d, gamma = on.advantage(V), on.visits(pi), float(on.gamma[0])
    C = gamma / (1 - gamma) ** 2 * np.abs(A).max()
    rows = []
    for new in policies:
        L = on.rho @ V + surrogate.value(new / pi, pi, A, d, ptr)
        tv = surrogate.total_variation(new, pi, ptr).max()
        kl = softmax.relative_entropy(pi, np.log(pi), np.log(new), ptr).max()
        rows.append((on.rho @ on.value(new), L, L - 4 * C * tv**2, L - 2 * C * kl))
    return np.array(rows).T


def along(mdp, steps):
    """The policies along the advantages of the uniform one."""
    on = OnPolicy(canonical(mdp))
    A = on.advantage(on.value(on.uniform()))
    return [np.exp(softmax.log_softmax(t * A, on.pair_ptr)) for t in steps]


def moved(alphas):
    """In two states, alpha more of the second of two actions."""
    return [np.array([0.5 - alpha, 0.5 + alpha] * 2) for alpha in alphas]


random_model = mk.instances.make("garnet", S=4, A=2, branching=2, seed=3, gamma="1/10")
hard_model = mk.MDP([[[1, 0], [0, 1]]] * 2, [[-1, 1], [1, -1]], mk.Discounted("1/10"))
steps, alphas = np.linspace(0, 4, 60), np.linspace(0, 0.45, 60)
names = ("return J", "surrogate L", "L − 4 γε/(1−γ)² TV²", "L − 2 γε/(1−γ)² KL")
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, mdp, x, policies in (
    (left, random_model, steps, along(random_model, steps)),
    (right, hard_model, alphas, moved(alphas)),
):
    for curve, label, style in zip(compare(mdp, policies), names, ("-", "--", ":", "-."), strict=True):
        ax.plot(x, curve, style, label=label)
left.set_xlabel("step along the advantages")
right.set_xlabel("probability moved in each state")
left.set_ylabel("expected discounted reward")
right.legend()

# %%
# The share of the bound that a step uses, over :math:`\gamma`: the hard model's is :math:`1 - \gamma`.

gammas = np.linspace(0.01, 0.9, 30)
fig, ax = plt.subplots()
for label, model in (("random model", random_model), ("hard model", hard_model)):
    shares = []
    for gamma in gammas:
        mdp = model.under(mk.Discounted(gamma))
        J, L, tv, _ = compare(mdp, moved([0.25]) if model is hard_model else along(mdp, [0.5]))
        shares.append(abs(J - L)[0] / (L - tv)[0])
    ax.semilogy(gammas, shares, label=label)
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
        most = np.abs(after[used] / before[used] - 1).max()
        ratio.append(most if most > 0 else np.nan)
        with np.errstate(divide="ignore"):
            each = softmax.relative_entropy(before, np.log(before), np.log(after), mdp.pair_ptr)
        far.append(each.max() if each.max() > 0 else np.nan)
    left.semilogy(range(1, 41), ratio, label=name)
    right.semilogy(range(1, 41), far, label=name)
left.axhline(0.2, color="black", linewidth=0.8)
right.axhline(0.05, color="black", linewidth=0.8)
left.set_ylabel("largest |ρ − 1|")
right.set_ylabel("largest relative entropy of a state")
for ax in (left, right):
    ax.set_xlabel("update")
left.legend()
