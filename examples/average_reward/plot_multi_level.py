r"""
The average of a slow chain from a few steps
============================================

An average over a path of T steps that starts in the wrong place is off by about :math:`\tau/T`, where :math:`\tau` is the time
that the chain takes to forget its start. Multi-level Monte Carlo has the bias of a path of T steps, and takes about
:math:`\log_2 T` of them.
"""

# %%
# Two cliques of four states are joined by a bridge that is crossed with probability p; the right one pays, and the path begins
# on the left. The gain is 1/2, whatever p. Everything below is computed exactly: the means from powers of the chain, the second
# moments by recursion along the path. Nothing is drawn.

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.kernels import multilevel

plt.rcParams.update(mk.plots.style())


def moments(P, f, weights):
    """First and second moment of the weighted sum of f along a path, by its first state."""
    first, second = np.zeros_like(f), np.zeros_like(f)
    for w in reversed(weights):
        ahead, square = P @ first, P @ second
        second = (w * f) ** 2 + 2 * w * f * ahead + square
        first = w * f + ahead
    return first, second


def multi_level(P, f, m):
    """Bias and second moment of the multi-level estimate from the first state."""
    total = np.zeros((2, len(f)))
    for j in range(1, m + 1):
        total += 2.0**-j * np.array(moments(P, f, multilevel.weights(2**j)))
    total += 2.0**-m * np.array([f, f**2])
    return total[:, 0]


def fixed(P, f, n):
    """Bias and second moment of a plain average over n steps from the first state."""
    return np.array(moments(P, f, np.full(n, 1 / n)))[:, 0]


bridges = {"1/10": "C0", "1/100": "C1", "1/1000": "C3"}
chains = {}
for p in bridges:
    mdp = mk.instances.make("two-cliques", p=p)
    chains[p] = mdp.P.toarray(), np.asarray(mdp.r, dtype=float) - 0.5

# %%
# The bias of one estimate at equal cost: with the highest level m it takes :math:`m + 2^{-m}` steps on average.
# That of a plain average of so few steps hardly moves; the other one falls like :math:`2^{-m}` as soon as :math:`2^m` passes
# the mixing time. What it costs shows in the second panel: the variance, which grows with every level beyond.

levels = np.arange(1, 14)
figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained")
for p, color in bridges.items():
    P, f = chains[p]
    several = np.array([multi_level(P, f, m) for m in levels])
    plain = np.array([fixed(P, f, m) for m in levels])
    left.semilogy(levels, np.abs(several[:, 0]), "-", color=color, label=f"p = {p}")
    left.semilogy(levels, np.abs(plain[:, 0]), ":", color=color)
    right.plot(levels, several[:, 1] - several[:, 0] ** 2, "-", color=color)
    right.plot(levels, plain[:, 1] - plain[:, 0] ** 2, ":", color=color)
left.set_xlabel("steps of an estimate, on average")
left.set_ylabel("|bias|, reward a step")
left.legend(frameon=False, title="solid: multi-level\ndotted: plain average")
right.set_xlabel("steps of an estimate, on average")
right.set_ylabel("variance")
plt.show()

# %%
# So one estimate is worth little, but many can be averaged, and then only the bias stays. Here N steps are spent on plain
# averages of 8 steps, or on multi-level estimates with :math:`T_{\max} = 2^8` or :math:`2^{13}`, all from the same start. The
# dots are what a single long path of N steps gives.

steps = np.logspace(1, 7, 60)
paths = 2 ** np.arange(4, 14)
figure, axes = plt.subplots(1, 3, figsize=(11.5, 3.6), layout="constrained", sharey=True)
for ax, (p, color) in zip(axes, bridges.items(), strict=True):
    P, f = chains[p]
    for name, style, cost, (bias, second) in (
        ("plain, 8 steps", ":", 8, fixed(P, f, 8)),
        (r"$T_{\max} = 2^{8}$", "--", multilevel.expected_length(8), multi_level(P, f, 8)),
        (r"$T_{\max} = 2^{13}$", "-", multilevel.expected_length(13), multi_level(P, f, 13)),
    ):
        many = np.maximum(1, steps / cost)
        ax.loglog(steps, bias**2 + (second - bias**2) / many, style, color=color, label=name)
    ax.loglog(paths, [fixed(P, f, int(n))[1] for n in paths], "o", color="0.4", markersize=3, label="one path")
    ax.set_title(f"bridge p = {p}")
    ax.set_xlabel("steps, all estimates together")
axes[0].set_ylabel("mean squared error")
axes[0].legend(frameon=False)
plt.show()

# %%
# Plain short averages stop at the square of their bias: the slower the chain, the nearer to that of no data at all. The
# multi-level ones go on to theirs. One long path is better than any of them, by the variance that the levels cost: as long as
# the policy stays, that is the thing to do. An actor-critic changes its policy after every estimate and cannot wait that long;
# what it needs of an estimate is that it be right on average.
