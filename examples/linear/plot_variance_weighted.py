r"""
What weighting by the variance gains
====================================

In a linear MDP action values are learned by regression at a few pairs, the core set, and said of all others. Where some pairs
are noisy and others quiet, plain least squares carries the noise to the quiet ones. Regression weighted by the variance keeps
each pair's error at the pair's own scale; over the horizon H that can save a factor H of samples, or nothing at all.
"""

# %%
# The four corners of a square share three features. At the best corner, (1, 1), one leaves with probability 1/H and the next
# value has a standard deviation of the order of :math:`\sqrt H`; at the corners (1, -1) and (-1, 1) it is of the order of H;
# at (-1, -1) nothing is random.

from fractions import Fraction
from itertools import islice

import matplotlib.pyplot as plt
import numpy as np

import mdpkit as mk
from mdpkit.models.canonical import canonical
from mdpkit.operators.backups import SampledBackup
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.weighted_regression import Differences, Moments, WeightedRegression, deviation
from mdpkit.solvers.linear import VarianceWeightedMDVI, WeightedLeastSquaresMDVI

plt.rcParams.update(mk.plots.style())


def square(H):
    return mk.instances.make("linear-square", leave=Fraction(1, H), gamma=1 - Fraction(1, H))


def spread(regression, variance):
    """Standard deviation of the fitted value of each pair, from one draw at each point of the core set."""
    response = regression.phi @ np.array([regression.fit(row) for row in np.eye(len(regression.core))]).T
    return np.sqrt(response**2 @ variance[regression.core])


# %%
# With f the standard deviation, or anything above it, a design for the features divided by f and weights :math:`1/f^2` keep
# the error at every pair below :math:`f\sqrt{d(1+\varepsilon)}` (the weighted theorem of Kiefer and Wolfowitz). With f = 1 the
# noise of the two uncertain corners is everywhere. Nothing here is drawn: the standard deviations are computed.

H = 100
on = OnPolicy(canonical(square(H)))
V = np.array([mk.solve(square(H)).V[0], 0.0])
variance = np.maximum(on.P @ V**2 - (on.P @ V) ** 2, 0.0)
f = deviation(variance, H)
pairs = ["(-1, -1)", "(1, -1)", "(-1, 1)", "(1, 1)", "absorbing"]
figure, ax = plt.subplots(figsize=(7.2, 3.8), layout="constrained")
places = np.arange(5)
ax.plot(places, spread(WeightedRegression.of(on), variance), "o", color="C3", label="regression with f = 1")
ax.plot(
    places,
    spread(WeightedRegression.of(on, f), variance),
    "o",
    color="C0",
    label=r"weighted with $f = \sigma + \sqrt{H}$",
)
ax.plot(places, f * np.sqrt(4 * 1.01), "_", color="C0", markersize=24, label=r"$f\,\sqrt{d(1+\varepsilon)}$")
ax.plot(places, np.sqrt(variance), "x", color="0.3", label=r"$\sigma$, one draw of the pair itself")
ax.set_xticks(places, pairs)
ax.set_ylabel(f"standard deviation, H = {H}")
ax.legend(frameon=False)
plt.show()

# %%
# The method learns f by itself: a first run with f = 1, a regression of variances, a second run. Here all draws of all phases
# are counted, and N is the squared error of the estimated value times the count: the samples for an error of one. The variance
# is not linear in the features, though, and regressing it (the paper's second algorithm) gives nearly the same f at all corners
# of the square: no gain. The first two moments are linear, and the variance computed from their regressions is right.


def samples(solver, mdp, steps, truth, seed):
    """Squared error of the value of state 0 at the end, times the number of transitions that were drawn."""
    state = next(islice(mk.iterates(mdp, solver, np.random.default_rng(seed)), steps, None))
    inner = getattr(state, "inner", state)
    return (inner.w[0] / inner.mass - truth) ** 2 * state.draws


horizons, backup, runs = [20, 40, 80, 160], SampledBackup(20), 5
methods = {
    "f = 1": ("C3o", lambda H: (WeightedLeastSquaresMDVI(backup=backup), 5 * H)),
    "VWLS, variances regressed": ("C1s", lambda H: (VarianceWeightedMDVI(3 * H, backup, Differences(1000)), 8 * H)),
    "VWLS, moments regressed": ("C0o", lambda H: (VarianceWeightedMDVI(3 * H, backup, Moments(1000)), 8 * H)),
}
figure, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
for name, (style, method) in methods.items():
    counts = []
    for H in horizons:
        (solver, steps), mdp, truth = method(H), square(H), 1 / (1 - (1 - 1 / H) ** 2)
        counts.append(np.mean([samples(solver, mdp, steps, truth, seed) for seed in range(runs)]))
    ax.loglog(horizons, counts, style, label=name)
for power, size, color in ((4, 0.02, "C3"), (3, 0.5, "C0")):
    line = size * np.array(horizons, dtype=float) ** power
    ax.loglog(horizons, line, ":", color=color, label=f"${size:g}\\,H^{power}$, to first order")
ax.set_xticks(horizons, [str(H) for H in horizons], minor=False)
ax.minorticks_off()
ax.set_xlabel("horizon H")
ax.set_ylabel("samples for an error of one")
ax.legend(frameon=False)
plt.show()

# %%
# The dots are means over few runs, and scatter; the dotted lines are what the theory says to first order in the errors. On
# this family the exponents differ by one; that is no law. Where the features of all pairs lie in a simplex and its corners are
# among the pairs, regression with f = 1 is nowhere noisier than a draw of the pair itself, because the variance is concave:
# nothing is left to gain.

mdp = mk.instances.make("linear-mdp", S=10, A=4, d=4, gamma="99/100", seed=1)
on, V = OnPolicy(canonical(mdp)), mk.solve(mdp).V
variance = on.P @ V**2 - (on.P @ V) ** 2
ratio = spread(WeightedRegression.of(on), variance) / np.sqrt(variance)
print(f"noise of the regression with f = 1 over that of a draw, all {len(ratio)} pairs: at most {ratio.max():.3f}")
