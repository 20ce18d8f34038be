r"""Certificates of entropy-regularized problems: inductive bounds of the soft Bellman operator.

With :math:`D(s,a) = V(s) - r(s,a) - \gamma \sum_{s'} P(s'|s,a) V(s')`, the shortfall of a pair, V dominates its own soft
backup where :math:`\sum_a \mu(a|s) e^{-D(s,a)/\tau} \le 1` (without a reference every action counts one), and is dominated
by its backup under a policy :math:`\pi` where :math:`\sum_a \pi(a|s) \{-D(s,a) - \tau \log (\pi(a|s)/\mu(a|s))\} \ge 0`.
Shortfalls are relative to differences of values, so that both checks are as sharp as those without entropy.

The floats assume that exponentials and logarithms are within four units in the last place; the check in balls assumes
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from importlib import import_module
from typing import Any

import numpy as np

from mdpkit.errors import UnsupportedError
from mdpkit.kernels import reference
from mdpkit.models.canonical import Canonical
from mdpkit.solver import Answer
from mdpkit.typing import Array, Bools, Floats, Ints

__all__ = ["NO_RATIONALS", "enclose", "no_rationals", "violation"]

UNIT = 2.0**-53
BITS = (64, 128, 512, 2048)
Shortfall = Callable[[Canonical, Array, bool], tuple[Array, Array]]

NO_RATIONALS = "the values of an entropy-regularized problem are logarithms, no rationals"


def no_rationals() -> UnsupportedError:
    """What is said where an exact value is asked for."""
    return UnsupportedError(
        NO_RATIONALS,
        needed="floats",
        way_out="leave exact=True out; certificate.verify(mdp, exact=True) checks the bounds without rounding, in balls",
    )


def _alone(p: Canonical) -> Bools:
    """States with one action, whose logarithm of probability is zero."""
    alone = np.diff(p.pair_ptr) == 1
    if p.reference is not None:
        alone &= np.asarray(p.reference)[p.pair_ptr[:-1]] == 1
    return alone


def _sum(x: Array, p: Canonical) -> Array:
    return np.add.reduceat(x, p.pair_ptr[:-1])


def _log_reference(p: Canonical) -> Any:
    return 0.0 if p.reference is None else np.log(np.asarray(p.reference))


def _room_above(p: Canonical, D: Floats, E: Floats) -> Floats:
    """A lower bound, up to positive factors, on V - TV of each state."""
    n = np.diff(p.pair_ptr)
    x = -(D - E) / p.tau
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused
        terms = np.exp(x) * (1.0 + UNIT * (32.0 + 8.0 * np.abs(x)))
    if p.reference is not None:
        terms = terms * p.reference
    room = 1.0 - _sum(terms, p) * (1.0 + 2.0 * UNIT * (n + 8.0))
    return np.where(_alone(p), (D - E)[p.pair_ptr[:-1]], room)


def _room_below(p: Canonical, D: Floats, E: Floats, pi: Floats) -> Floats:
    r"""A lower bound, up to positive factors, on :math:`T_\pi V - V` of each state, for the probabilities over their sum."""
    n = np.diff(p.pair_ptr)
    used = pi > 0
    with np.errstate(divide="ignore"):
        log_pi, log_reference = np.where(used, np.log(np.where(used, pi, 1.0)), 0.0), _log_reference(p)
    with np.errstate(invalid="ignore"):
        gain = np.where(used, -D - E - p.tau * log_pi + p.tau * log_reference, 0.0)
        size = np.where(used, np.abs(D) + E + p.tau * (np.abs(log_pi) + np.abs(log_reference)), 0.0)
    mass = _sum(pi, p)
    error = UNIT * (n + 40.0) * (_sum(pi * size, p) + 2.0 * p.tau)
    room = _sum(pi * gain, p) + p.tau * mass * np.log(mass) - error
    return np.where(_alone(p), -(D + E)[p.pair_ptr[:-1]], room)


def violation(
    p: Canonical, below: Array, above: Array, choice: Ints, pi: Array | None, shortfall: Shortfall, exact: bool
) -> str:
    """Why the bounds do not hold, or an empty string; ``exact`` checks in balls."""
    if pi is None or pi.dtype != np.float64 or pi.shape != (len(p.r),):
        return "the certificate of a regularized problem has no witness policy of floats"
    if not np.all((pi >= 0) & np.isfinite(pi)) or not np.all(np.abs(_sum(pi, p) - 1) <= 1e-9):
        return "the witness policy is no law in some state"
    if np.any(pi[choice] < reference.best(pi, p.pair_ptr)):
        return "the certificate shows an action that is not the witness policy's likeliest"
    for name, bound in (("below", below), ("above", above)):
        if not np.all(np.isfinite(np.asarray(bound, dtype=np.float64))):
            return f"the bound {name} is not finite"
    if exact:
        return _in_balls(p, below, above, pi, shortfall)
    bad = ~(_room_above(p, *shortfall(p, above, False)) >= 0)
    if bad.any():
        return f"the upper side is not inductive at state {int(np.flatnonzero(bad)[0])}"
    bad = ~(_room_below(p, *shortfall(p, below, False), pi) >= 0)
    if bad.any():
        return f"the lower side is not inductive at state {int(np.flatnonzero(bad)[0])}"
    return ""


def enclose(p: Canonical, answer: Answer, shortfall: Shortfall) -> tuple[Floats, Floats, Ints, Floats]:
    """``(below, above, choice, policy)``: the answer's value shifted down and up, and its softmax policy."""
    V = np.asarray(answer.V, dtype=np.float64)
    if not np.all(np.isfinite(V)):
        V = np.zeros(p.n_states)
    rest = (1.0 - float(p.gamma[0])) * (1 - 4 * UNIT)
    D, E = shortfall(p, V, False)
    rise, pi = _soft(p, D)
    V = (
        V + 0.5 * float(np.max(rise) + np.min(rise)) / rest
    )  # errors are relative to values: measure them where the bounds are
    D, E = shortfall(p, V, False)
    rise, pi = _soft(p, D)
    n = np.diff(p.pair_ptr)
    if not np.all(np.isfinite(pi)):  # beyond floats, which the check refuses
        pi = 1.0 / n[p.state]
    choice = reference.greedy(pi, p.pair_ptr)
    noise = UNIT * (np.abs(V) + reference.best(np.abs(p.r), p.pair_ptr)) + np.maximum.reduceat(E, p.pair_ptr[:-1])
    noise = noise + np.where(_alone(p), 0.0, UNIT * (n + 8.0) * p.tau * (1.0 + np.log(n)))
    below, above, inflate = V, V, 2.0
    for _ in range(40):
        above = V + float(np.max(rise + inflate * noise)) / rest
        below = V + float(np.min(rise - inflate * noise)) / rest
        high = _room_above(p, *shortfall(p, above, False))
        low = _room_below(p, *shortfall(p, below, False), pi)
        if np.all(high >= 0) and np.all(low >= 0):
            break
        inflate *= 2.0
    return below, above, choice, pi


def _soft(p: Canonical, D: Floats) -> tuple[Floats, Floats]:
    """TV - V of each state, and the softmax policy of V, from the shortfalls."""
    x = -D / p.tau + _log_reference(p)
    top = reference.best(x, p.pair_ptr)
    weight = np.exp(x - top[p.state])
    total = _sum(weight, p)
    return p.tau * (top + np.log(total)), weight / total[p.state]


# -- balls -------------------------------------------------------------------------------------------------------------


def _in_balls(p: Canonical, below: Array, above: Array, pi: Floats, shortfall: Shortfall) -> str:
    try:
        flint: Any = import_module("flint")
    except ImportError:
        raise UnsupportedError(
            "regularized bounds are checked in the ball arithmetic of python-flint, which is not installed",
            needed="python-flint",
            way_out="pip install 'mdpkit[claims]', or verify without exact=True",
        ) from None
    c: Any = p.mdp.criterion
    tau, mu = Fraction(c.tau_exact), c.reference_exact
    if mu is not None:
        mu = mu[p.state, p.mdp.action] if np.ndim(mu) == 2 else mu
    over, under = shortfall(p, above, True)[0], shortfall(p, below, True)[0]
    ptr: list[int] = p.pair_ptr.tolist()
    for s in range(p.n_states):
        pairs = range(ptr[s], ptr[s + 1])
        share = [Fraction(1) if mu is None else Fraction(mu[k]) for k in pairs]
        high = [Fraction(over[k]) for k in pairs]
        if not (sum(share) <= 1 and min(high) >= 0):  # else the sum is at most one, however close
            verdict = _decided(flint, lambda ball, h=high, m=share: 1 - _partition(ball, h, m, tau))
            if verdict:
                return f"the upper side {verdict} at state {s}"
        low, weight = [Fraction(under[k]) for k in pairs], [Fraction(float(pi[k])) for k in pairs]
        mass = sum(weight, Fraction(0))
        weight = [w / mass for w in weight]
        if weight == share:
            if sum((w * d for w, d in zip(weight, low, strict=True)), Fraction(0)) > 0:
                return f"the lower side is not inductive at state {s}"
            continue
        verdict = _decided(flint, lambda ball, d=low, w=weight, m=share: _free_energy(ball, d, w, m, tau))
        if verdict:
            return f"the lower side {verdict} at state {s}"
    return ""


def _partition(ball: Any, D: list[Fraction], mu: list[Fraction], tau: Fraction) -> Any:
    return sum((ball(m) * ball(-d / tau).exp() for d, m in zip(D, mu, strict=True)), ball(Fraction(0)))


def _free_energy(ball: Any, D: list[Fraction], pi: list[Fraction], mu: list[Fraction], tau: Fraction) -> Any:
    total = ball(Fraction(0))
    for d, w, m in zip(D, pi, mu, strict=True):
        if w:
            if not m:
                return ball(Fraction(-1))  # minus infinity, in truth
            total = total + ball(w) * (ball(-d) - ball(tau) * ball(w / m).log())
    return total


def _decided(flint: Any, value: Callable[[Any], Any]) -> str:
    """An empty string where the value is nonnegative, or why not; with more bits until it is decided."""

    def ball(x: Fraction) -> Any:
        return flint.arb(flint.fmpq(x.numerator, x.denominator))

    before = flint.ctx.prec
    try:
        for bits in BITS:
            flint.ctx.prec = bits
            x = value(ball)
            if x >= 0:
                return ""
            if x < 0:
                return "is not inductive"
    finally:
        flint.ctx.prec = before
    return f"is not decided with {BITS[-1]} bits"
