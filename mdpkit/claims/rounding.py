r"""How far the floats of a solver may be from the exact update: bounds that are derived, never picked.

The model of arithmetic is the standard one: :math:`\operatorname{fl}(x \circ y) = (x \circ y)(1 + \delta)`,
:math:`|\delta| \le u = 2^{-53}`, for sums, products and quotients of floats, and :math:`\operatorname{fl}(x) = x (1 +
\delta)` for rationals that become floats; fused operations and other orders of summation only leave factors out. A
product of m such factors or their reciprocals is :math:`1 + \theta` with :math:`|\theta| \le \gamma_m = \frac{m u}{1
- m u}` (Higham 2002, Lemma 3.1, recalled). Underflow adds at most :math:`2^{-1074}` for each operation.

**A backup.** :math:`r + \gamma \sum_j p_j V_j` with n terms, from floats V taken as they are: each term carries at
most n + 5 factors (p and :math:`\gamma` made floats, two products, n additions and that of r), the reward n + 2. So
the computed value of a pair is off by at most :math:`\gamma_{n+6} (|r| + \gamma \sum_j p_j |V_j|)`, and the maximum
over pairs by at most the largest of these, since :math:`|\max a - \max b| \le \max |a - b|`. This holds for any order
of the additions, and where the discount was multiplied into the probabilities beforehand.

**Several backups.** If each of k updates with modulus :math:`\gamma` is off by at most e, the last is off by at most
:math:`(1 + \gamma + \dots + \gamma^{k-1}) e`; :func:`accumulated` keeps the sum with each update's own e.

**Optimistic steps from below.** Let :math:`c_k = \max(V_k - TV_k)^+`, and let :math:`V_{k+1}` be an average of
:math:`T_\pi^{j+1} V_k`, with :math:`\pi` greedy for :math:`V_k`, up to e. As :math:`T_\pi^{j+2} V_k \ge T_\pi^{j+1}
V_k - \gamma c_k`, the exact average A has :math:`TA \ge A - \gamma c_k`, so :math:`c_{k+1} \le \gamma c_k + (1 +
\gamma) e`; and :math:`A \ge TV_k - \frac{\gamma}{1-\gamma} c_k`. Hence :math:`V_{k+1} \ge V_k - \frac{c_k}{1-\gamma}
- e`, :math:`V_k \le V^* + \frac{c_k}{1-\gamma}`, and what :math:`T^k V_0` exceeds :math:`V_k` by is at most
:math:`b_{k+1} = \gamma b_k + \frac{\gamma}{1-\gamma} c_k + e`: :class:`Rising`.

**A linear system.** :math:`(I - M) x = b` with n unknowns, M the policy's discounted rows. Gaussian elimination with
partial pivoting solves a system off by :math:`|\Delta A| \le \gamma_{3n} |\hat L| |\hat U|` (Higham 2002, Theorem
9.4, recalled), where :math:`|\hat L| \le 1` and the entries of :math:`\hat U` are at most :math:`2^{n-1}` times the
largest of A, which is 1: in norm :math:`\varepsilon = n^2 2^{n-1} \gamma_{3n}`. Without pivoting, as A is row
diagonally dominant, :math:`|\hat L||\hat U|` is in norm at most 2n - 1 times that of A (Higham, Theorem 9.9,
recalled), which is less. Making the entries floats adds :math:`2 \gamma_4`. Hence :math:`\|\hat x - x\| \le
\|A^{-1}\| (u \|b\| + (\varepsilon + 2\gamma_4) \|\hat x\|)`. A step of iterative refinement computes its residual up
to :math:`\gamma_{n+6} (\|b\| + 2\|\hat x\|)` and solves for a correction of at most twice the size of the solution,
so its error is at most :math:`\|A^{-1}\| (\gamma_{n+6} (\|b\| + 2 \|\hat x\|) + 2 (\varepsilon + 2\gamma_4) \|\hat
x\|) + u \|\hat x\|`. All of these are at most :math:`4 \|A^{-1}\| (\varepsilon + \gamma_{n+6}) (\|\hat x\| + \|b\|)`,
as :math:`\|A^{-1}\| \ge \frac12`, which :func:`solve_error` gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from mdpkit.claims.enclosure import Interval, Row, all_equal, all_leq, equal
from mdpkit.claims.exact import Exact, sup

__all__ = [
    "UNIT",
    "Accumulated",
    "Rising",
    "all_close_below",
    "all_near",
    "backup_error",
    "factors",
    "gain_errors",
    "near",
    "pair_errors",
    "solve_error",
]

UNIT = Fraction(1, 2**53)
TINY = Fraction(1, 2**1074)


def factors(m: int) -> Fraction:
    """How far a product of m factors 1 + delta can be from one."""
    return m * UNIT / (1 - m * UNIT)


def pair_errors(exact: Exact, V: Sequence[Any], r: Sequence[Any] | None = None, stage: int = 0) -> list[Fraction]:
    """Bound on the rounding of r + gamma P V in floats, of each pair."""
    r = exact.r if r is None else r
    size = exact.q([abs(v) for v in V], [abs(x) for x in r], stage)
    many = len(exact.P) > exact.L
    count = [len(exact.P[k + stage * exact.L if many else k]) for k in range(exact.L)]
    return [factors(n + 6) * x + (n + 6) * TINY for x, n in zip(size, count, strict=True)]


def backup_error(exact: Exact, V: Sequence[Any], stage: int = 0) -> list[Fraction]:
    """Bound on the rounding of the backup of V, of each state."""
    return exact.best(pair_errors(exact, V, stage=stage))


class Accumulated:
    """The error of updates with a modulus, each off by its own bound."""

    def __init__(self, modulus: Any):
        self.modulus, self.value = modulus, Fraction(0)

    def add(self, error: Any) -> Fraction:
        """After one more update that is off by ``error``."""
        self.value = self.modulus * self.value + error
        return self.value


class Rising:
    """How far rounding can bend the order of optimistic steps, started within ``error`` of a value below its backup."""

    def __init__(self, modulus: Any, error: Any = 0, drop: Any = 0):
        self.modulus = modulus
        self.fall, self.behind = drop + (1 + modulus) * error, error
        self.slack = self.fall / (1 - modulus) + error

    def add(self, error: Any) -> Fraction:
        """After a step that is off by ``error``: what each inequality may miss."""
        gamma, rest = self.modulus, 1 - self.modulus
        fell = self.fall
        self.behind = gamma * self.behind + gamma / rest * fell + error
        self.fall = gamma * fell + (1 + gamma) * error
        self.slack = max(self.behind, fell / rest + error, self.fall / rest)
        return self.slack


def solve_error(inverse: Any, n: int, x: Sequence[Any], b: Sequence[Any]) -> Fraction:
    """Bound on the error of the computed solution x of a system of n unknowns; ``inverse`` bounds the inverse's norm."""
    epsilon = n * n * 2 ** (n - 1) * factors(3 * n)
    return 4 * max(Fraction(1, 2), inverse) * (epsilon + factors(n + 6)) * (sup(x) + sup(b))


def near(value: Any, exact: Any, error: Any, at: str = "", **more: Any) -> Row:
    """That a float is the exact number up to its rounding."""
    return equal(value, Interval(exact - error, exact + error), at, **more)


def all_near(values: Any, exact: Sequence[Any], errors: Any, at: str = "", **more: Any) -> Row:
    """The same for several; ``errors`` is one bound, or one each."""
    each: list[Any] = list(errors) if hasattr(errors, "__len__") else [errors] * len(exact)
    between = [Interval(x - e, x + e) for x, e in zip(exact, each, strict=True)]
    if len(between) != len(values):
        raise ValueError(f"{len(values)} values in place of {len(between)}")
    return all_equal(list(values), between, at, **more)


def all_close_below(left: Sequence[Any], right: Sequence[Any], error: Any, at: str = "", **more: Any) -> Row:
    """``left <= right`` up to a rounding error."""
    return all_leq(list(left), [x + error for x in right], at, **more)


def gain_errors(exact: Exact, choice: Sequence[int]) -> tuple[Fraction, Fraction]:
    r"""Bounds on the errors of the computed gain and bias of a policy.

    A recurrent class is eliminated without subtractions (Grassmann, Taksar & Heyman). If its rates carry at most e factors
    before a state is eliminated, they carry 3e + n + 3 after it: of both rates in the product, of the sum of at most n that
    divides it, and of the operations themselves. Each entry of the law is a sum of products of such a rate with an earlier
    entry, and is divided by a sum of all of them. So the law has relative errors of :math:`\gamma_C` with C as computed below
    (that it grows like :math:`3^n` does not matter here; O'Cinneide 1993 has a bound like :math:`n^3`), and the gain
    is off by :math:`\gamma_{C+n} \|r\|`. The relative values come from the same rates by sums of products with rewards less the
    gain, which in absolute value add up to at most the largest expected number T of steps to the state eliminated last times
    :math:`2\|r\|`; taking off their mean doubles that. On transient states both solve a linear system (:func:`solve_error`).
    """
    n = exact.S
    rates, law = 1, 0
    for _ in range(n):
        rates = 3 * rates + n + 3
        law += rates + n + 1
    C = 2 * law + 2 * rates + 4 * n + 8
    inside, before = exact.hitting(choice)
    size = sup(exact.r[int(k)] for k in choice)
    gain = factors(C) * size + solve_error(before, n, [size], [size])
    # A law that takes steps into a recurrent class carries the errors there over as they are; those of the gain add up.
    relative = factors(C) * 2 * (2 * (inside + 1) * 2 * size)
    largest = sup(exact.gain_and_bias(choice)[1])
    return gain, relative + before * gain + solve_error(before, n, [largest], [2 * size + largest])
