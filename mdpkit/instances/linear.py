"""Linear MDPs with their features: random ones, and the hypercubes behind lower bounds, whose values have a closed form."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.instances.build import check_size, fill, share
from mdpkit.instances.generators import spacings
from mdpkit.instances.registry import Known, in_range, instance
from mdpkit.kernels import design
from mdpkit.models.criterion import Criterion, Discounted, FiniteHorizon
from mdpkit.models.linear import LinearMDP
from mdpkit.typing import Array, Objects

F = Fraction
MOST = 12
"""Coordinates of a hypercube: it has two to that many actions."""


@instance(
    "linear-mdp",
    source="Jin, Yang, Wang and Jordan (2020), COLT, Example 2.2 (recalled): features in the simplex; chosen here in detail",
    example={"S": 4, "A": 3, "d": 3},
)
def linear_mdp(
    *, S: int, A: int, d: int, anchors: bool = True, seed: int = 0, gamma: Fraction = Fraction(9, 10)
) -> LinearMDP:
    """A random linear MDP: features in the simplex of d corners, each corner with a law of the next state and a reward.

    So every row is a mixture of d laws, and every reward of d rewards in [0, 1]. With ``anchors``, some d pairs lie in the
    corners themselves; without, all features are inside, and drawn again until they are of full rank. All numbers are
    rationals with small denominators.
    """
    for name, value in (("S", S), ("A", A), ("d", d)):
        in_range(name, value, 1)
    in_range("seed", seed, 0)
    if d > S * A:
        raise OptionError("parameter 'd' is out of range", found=d, needed=f"at most S*A = {S * A}, for a full rank")
    check_size("the linear MDP", states=S, pairs=S * A, transitions=S * S * A)
    rng = np.random.default_rng(seed)
    corners: Array = fill(d * d, 0).reshape(d, d)
    corners[np.arange(d), np.arange(d)] = F(1)
    while True:
        phi: Array = share(spacings(rng, d, max(20, 2 * d), S * A), max(20, 2 * d))
        if anchors:
            phi[rng.permutation(S * A)[:d]] = corners
        if design.rank(phi) == d:
            break
    mu = share(spacings(rng, S, max(20, 2 * S), d), max(20, 2 * S))
    theta = share(rng.integers(0, 1001, size=d), 1000)
    return LinearMDP(phi.reshape(S, A, d), mu, theta, Discounted(gamma), rho=0)


def _actions(m: int) -> Objects:
    """The corners of the hypercube, ``(2**m, m)``, coordinate i of action a being -1 or 1 with bit i of a."""
    bits: Any = np.right_shift.outer(np.arange(2**m, dtype=np.int64), np.arange(m, dtype=np.int64)) & 1
    return share(np.asarray(2 * bits - 1, dtype=np.int64), 1)


def _vector(first: Objects, *rest: Any) -> Objects:
    out = np.empty(len(first) + len(rest), dtype=object)
    out[: len(first)], out[len(first) :] = first, [F(x) for x in rest]
    return out


def _check_cube(m: int, delta: Fraction, gap: Fraction, hidden: int) -> None:
    in_range("m", m, 1, MOST)
    in_range("delta", delta, 0, F(1, 2), open_low=True)
    in_range("gap", gap, 0, delta, open_low=True)
    in_range("hidden", hidden, 0, 2**m - 1)


@instance(
    "linear-hypercube",
    source="Zhou, He and Gu (2021), ICML, the instance of the lower bound (recalled); the value is derived here",
    known=[
        Known({}, "discounted", "V", (F(2700, 650), F(4700, 650)), "closed form: see the description"),
        Known({}, "discounted", "policy", (5, 0), "the hidden corner, and anything"),
        Known({"gamma": "1/2", "m": 2, "hidden": 1}, "discounted", "V", (F(6, 25), F(46, 25)), "closed form"),
    ],
)
def linear_hypercube(
    *, m: int = 3, delta: Fraction = Fraction(1, 10), gap: Fraction = Fraction(1, 20), hidden: int = 5,
    gamma: Fraction = Fraction(9, 10),
) -> LinearMDP:  # fmt: skip
    """Two states, and the 2**m corners of a hypercube for actions: only a hidden corner is best, by little.

    State 1 pays one, state 0 nothing. From state 1 one falls to state 0 with probability ``delta``, whatever one does; from
    state 0 one rises with probability delta + gap <a, s>/m, where a, s in {-1, 1}**m are the action and the hidden corner
    (whose coordinate i is the sign of bit i of ``hidden``). It is linear in m + 2 features. With p = delta + gap the optimal
    values are gamma p / D and (1 - gamma + gamma p) / D, D = (1 - gamma) (1 - gamma + gamma (p + delta)).
    """
    return _hypercube(m, delta, gap, hidden, delta, Discounted(gamma))


@instance(
    "linear-hypercube-episodic",
    source="after Zhou, Gu and Szepesvari (2021), COLT (recalled), on two states; the value is derived here",
    known=[
        Known({}, "finite-horizon", "V", (F(1467, 1000), F(4)), "closed form: see the description"),
        Known({"H": 2, "delta": "1/4", "gap": "1/8"}, "finite-horizon", "V", (F(3, 8), F(2)), "closed form: p, H"),
    ],
)
def linear_hypercube_episodic(
    *, H: int = 4, m: int = 2, delta: Fraction = Fraction(1, 5), gap: Fraction = Fraction(1, 10), hidden: int = 1
) -> LinearMDP:
    """Over H stages: state 1 pays one a step for ever, and from state 0 one gets there sooner by a hidden corner.

    From state 0 one moves to state 1 with probability delta + gap <a, s>/m, where a, s in {-1, 1}**m are the action and the
    hidden corner, as in ``linear-hypercube``. It is linear in m + 2 features. With p = delta + gap the optimal value of state 0
    is the sum of (1 - p)**(h - 1) p (H - h) over the stages h = 1 … H.
    """
    in_range("H", H, 1)
    return _hypercube(m, delta, gap, hidden, F(0), FiniteHorizon(H))


def _hypercube(m: int, delta: Fraction, gap: Fraction, hidden: int, fall: Fraction, criterion: Criterion) -> LinearMDP:
    _check_cube(m, delta, gap, hidden)
    A, a = 2**m, _actions(m)
    check_size("the hypercube", states=2, pairs=2 * A, transitions=4 * A)
    phi: Array = fill(2 * A * (m + 2), 0).reshape(2, A, m + 2)
    phi[0, :, :m] = a / F(2 * m)  # of norm at most one
    phi[0, :, m] = F(1, 2)
    phi[1, :, m + 1] = F(1)
    up = _vector(2 * gap * a[hidden], 2 * delta, 1 - fall)
    total = _vector(fill(m, 0), 2, 1)
    return LinearMDP(phi, np.array([total - up, up]).T, _vector(fill(m + 1, 0), 1), criterion, rho=0)
