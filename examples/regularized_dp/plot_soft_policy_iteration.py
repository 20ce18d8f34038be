r"""
Softmax policies by Newton's method
===================================

With entropy in the objective, :math:`\mathrm{E} \sum_t \gamma^t (r_t + \tau H(\pi(\cdot|s_t)))`, the best policy is random, and
the maximum over actions becomes a log-sum-exp. That is smooth, so policy iteration becomes Newton's method in earnest.
"""

# %%
# RiverSwim pays a little for staying on the left bank, and a lot for swimming to the right. The temperature
# :math:`\tau` is the price at which reward is exchanged for entropy: a cold policy swims, a hot one drifts.

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk

plt.rcParams.update(mk.plots.style())

river = mk.instances.make("riverswim", gamma="9/10")
taus = np.logspace(-2, 1, 31)
found = [mk.solve(river.under(mk.EntropyRegularized("9/10", float(tau)))) for tau in taus]

figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for s in (0, 2, 5):
    ax.semilogx(taus, [sol.pi[s, 1] for sol in found], label=f"state {s}")
ax.axhline(0.5, color="0.6", linestyle=":")
ax.set_xlabel(r"temperature $\tau$")
ax.set_ylabel("probability of swimming right")
ax.legend(frameon=False)
plt.show()

# %%
# What does the entropy add? The regularized optimum lies above the plain one by at most :math:`\tau \log|A| /
# (1-\gamma)`, the largest entropy in every step. Hot policies come close to it: they collect entropy, and little
# else. What they lose in reward is at most as much.

plain = mk.solve(river)
gap = [np.max(sol.V - plain.V) for sol in found]
loss = [np.max(plain.V - mk.evaluate(river, sol.pi).V) for sol in found]

figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
ax.loglog(taus, taus * np.log(2) / (1 - 0.9), "--", color="0.4", label=r"$\tau \log|A| / (1-\gamma)$")
ax.loglog(taus, gap, label=r"$\max_s V^*_\tau - V^*$")
ax.loglog(taus, np.maximum(loss, 1e-12), label=r"$\max_s V^* - V^{\pi^*_\tau}$, reward that is lost")
ax.set_ylim(1e-6, None)
ax.set_xlabel(r"temperature $\tau$")
ax.set_ylabel("reward")
ax.legend(frameon=False)
plt.show()

# %%
# Soft value iteration applies the soft backup :math:`T_\tau` and gains a factor :math:`\gamma` a sweep. Soft policy
# iteration, the core of the soft actor-critic, evaluates the policy :math:`\pi_{k+1} \propto e^{Q_k/\tau}` instead.
# Since this policy's kernel is the derivative of the backup, the step is Newton's for the equation :math:`T_\tau V =
# V`, and the error is squared, down to the rounding of floats:
#
# .. math:: \|V^*_\tau - V_{k+1}\|_\infty \le \frac{\gamma^2}{8 \tau (1-\gamma)} \|V^*_\tau - V_k\|_\infty^2.

tau = 0.5
mdp = river.under(mk.EntropyRegularized("9/10", "1/2"))
best = mk.solve(mdp).V


def errors(method, n):
    """Distances to the optimal value in the first n steps."""
    states = mk.iterates(mdp, mk.choose.method(method))
    return np.array([np.max(np.abs(next(states).V - best)) for _ in range(n)])


newton, sweeps = errors("soft_policy_iteration", 5), errors("soft_value_iteration", 25)
bound = 0.9**2 / (8 * tau * (1 - 0.9)) * newton[:-1] ** 2

figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
ax.semilogy(sweeps, label="soft value iteration")
ax.semilogy(sweeps[0] * 0.9 ** np.arange(25), ":", color="0.4", label=r"$\gamma^k \|V_0 - V^*_\tau\|$")
ax.semilogy(np.maximum(newton, 1e-12), "o-", label="soft policy iteration")
ax.semilogy(np.arange(1, 5), bound, "_", color="0.2", markersize=14, label="bound from the step before")
ax.set_xlabel("step $k$")
ax.set_ylabel(r"$\|V_k - V^*_\tau\|_\infty$")
ax.legend(frameon=False)
plt.show()

# %%
# The theorem is a claim that runs: in balls that enclose every number, on models it has not seen, and against wrong
# variants that it must refute.

print(mk.claims["sac:quadratic-rate"].run())

# %%
# The answer carries a certificate: two bounds that the soft Bellman operator moves inward, and the policy that
# attains the lower one. It is checked in floats with all their rounding errors, or in balls.

solution = mk.solve(mdp)
print(solution)
print(solution.certificate.verify(mdp, exact=True))
