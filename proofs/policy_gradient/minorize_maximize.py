r"""Claims about minorization and maximization: the maximizers, and that the return never falls.

The maximizer with the largest relative entropy is known by its optimality conditions, which the judge checks in balls: in every
state the same divergence, and multipliers that sum to the constant. The one with the largest total variation is recomputed in
rationals by trying every breakpoint of its concave gain.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

from mdpkit.claims import Row, all_equal, claim, equal, fact, leq, mutant
from mdpkit.claims.cases import positive
from mdpkit.claims.judge import Judge, ball, dot, largest
from mdpkit.claims.trial import iterates
from mdpkit.proofs.policy_gradient.surrogate import gain, relative_entropies
from mdpkit.solvers.policy_gradient import MinorizeMaximize

CASES = positive(
    sizes=((2, 2), (3, 3), (2, 3)), gammas=(Fraction(1, 10), Fraction(1, 2), Fraction(9, 10)), fast=3, full=9
)


KL, TV = MinorizeMaximize(), MinorizeMaximize(divergence="tv")


class Warm(MinorizeMaximize):
    """A wrong step: it maximizes around the uniform policy, and not around the last one."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step of another algorithm."""
        return super().step(problem, self.start(problem), rng)


@claim(
    "trpo:monotone",
    says=r"J(\pi_{k+1}) \ge L_{\pi_k}(\pi_{k+1}) - C_k \max_s \mathrm{KL}(\pi_k \| \pi_{k+1})(s) \ge J(\pi_k)",
    where="Theorem 1 and Algorithm 1, recalled; the optimality conditions of the maximizer, derived, see docs",
    kind="monotone",
    mode="numeric",
    instances=CASES,
    controls=[
        mutant("the last policy forgotten", tested=Warm()),
        mutant("the constant 2, as for the total variation's half", constant=2),
        mutant("1 - gamma in place of its square", power=1),
        mutant("the relative entropy of the new policy", swapped=True),
        mutant("the mean of the divergence for its maximum", mean=True),
    ],
    about=[MinorizeMaximize],
)
def monotone(
    mdp: Any,
    *,
    tested: MinorizeMaximize = KL,
    constant: int = 4,
    power: int = 2,
    swapped: bool = False,
    mean: bool = False,
    steps: int = 3,
) -> Iterator[Row]:
    """Maximizing the surrogate less the largest relative entropy never loses return."""
    judge = Judge(mdp)
    before = None
    for k, state in enumerate(iterates(mdp, tested, steps)):
        pi, at = list(state.pi), f"k={k}"
        V = judge.value(pi)
        yield all_equal(state.V, V, f"V_{k}")
        if before is None:
            yield all_equal(pi, judge.uniform(), "the uniform policy")
        else:
            old, W = before
            A, d = judge.advantage(W), judge.visits(old)
            epsilon = largest([abs(x) for x in A])
            C = constant * epsilon * judge.gamma / (1 - judge.gamma) ** power
            far = relative_entropies(judge, pi, old) if swapped else relative_entropies(judge, old, pi)
            most = largest(far)
            yield fact(most > 0, f"the policy moves, {at}")
            if not mean:
                yield all_equal(far, [far[0]] * judge.S, f"the same divergence in all states, {at}")
            # A + mu old/pi is constant in every state: the multiplier mu from the first two actions, then all actions.
            multipliers = []
            for pairs in judge.pairs:
                i, j = pairs[0], pairs[1]
                mu = (A[j] - A[i]) / (ball(old[i]) / pi[i] - ball(old[j]) / pi[j])
                multipliers.append(mu)
                level = A[i] + mu * ball(old[i]) / pi[i]
                yield all_equal([A[b] + mu * ball(old[b]) / pi[b] for b in pairs], [level] * len(pairs), f"nu, {at}")
            if mean:
                yield all_equal(multipliers, [C] * judge.S, f"multipliers, {at}")
            yield equal(dot(d, multipliers), C, f"the constant, {at}")
            rise = gain(judge, d, A, pi)
            yield leq(0, rise - C * most, f"the minorant rises, {at}")
            yield leq(rise - C * most, judge.objective(V) - judge.objective(W), at, k=k)
        before = pi, V


# -- exactly -----------------------------------------------------------------------------------------------------------


class AtPolicy:
    """Value, advantages and visits of a policy of a small model, in rationals."""

    def __init__(self, judge: Judge, pi: Any):
        self.judge, self.pi = judge, [Fraction(x) for x in pi]
        self.V, self.visits = judge.exact_value(self.pi), judge.exact_visits(self.pi)
        self.A = [x - self.V[s] for x, s in zip(judge.exact_q(self.V), judge.state, strict=True)]
        self.J = judge.exact_objective(self.V)


def moved(exact: AtPolicy, alpha: Fraction) -> list[Fraction]:
    """The best policy whose total variation is at most alpha in every state."""
    pi = list(exact.pi)
    for pairs in exact.judge.pairs:
        top = max(pairs, key=lambda k: exact.A[k])
        left = alpha
        for k in sorted(pairs, key=lambda k: exact.A[k]):
            if k != top and exact.A[k] < exact.A[top]:
                taken = min(left, pi[k])
                pi[k], pi[top], left = pi[k] - taken, pi[top] + taken, left - taken
    return pi


def rise(exact: AtPolicy, pi: list[Fraction], weights: list[Fraction]) -> Fraction:
    """The surrogate's gain."""
    return sum(
        (weights[s] * pi[k] * exact.A[k] for k, s in enumerate(exact.judge.state)),
        Fraction(0),
    )


def best_tv(exact: AtPolicy, C: Fraction, weights: list[Fraction], power: int) -> list[Fraction]:
    """The maximizer of the gain less C alpha^power, by trying all breakpoints and the peaks between them."""
    corners = {Fraction(0), Fraction(1)}
    for pairs in exact.judge.pairs:
        total = Fraction(0)
        for k in sorted(pairs, key=lambda k: exact.A[k])[:-1]:
            total += exact.pi[k]
            corners.add(total)
    ends = sorted(corners)
    tried = list(ends)
    for low, high in pairwise(ends):
        slope = (rise(exact, moved(exact, high), weights) - rise(exact, moved(exact, low), weights)) / (high - low)
        if power == 2 and low < slope / (2 * C) < high:
            tried.append(slope / (2 * C))
    return moved(exact, max(tried, key=lambda a: rise(exact, moved(exact, a), weights) - C * a**power))


@claim(
    "trpo:monotone-tv",
    says=r"J(\pi_{k+1}) \ge L_{\pi_k}(\pi_{k+1}) - C_k \max_s \mathrm{TV}(\pi_k, \pi_{k+1})(s)^2 \ge J(\pi_k)",
    where="Theorem 1, recalled; the paper maximizes with the relative entropy; the maximizer, derived, see docs",
    kind="monotone",
    mode="exact",
    instances=CASES,
    controls=[
        mutant("the last policy forgotten", tested=Warm(divergence="tv")),
        mutant("the constant 2", constant=2),
        mutant("1 - gamma in place of its square", discount=1),
        mutant("the total variation without its square", power=1),
        mutant("the initial law for the visits", weights="initial"),
    ],
    about=[MinorizeMaximize],
)
def monotone_tv(
    mdp: Any,
    *,
    tested: MinorizeMaximize = TV,
    constant: int = 4,
    discount: int = 2,
    power: int = 2,
    weights: str = "visits",
    steps: int = 2,
) -> Iterator[Row]:
    """Maximizing the surrogate less the largest squared total variation never loses return."""
    judge = Judge(mdp)
    expected = judge.uniform()
    before: AtPolicy | None = None
    low = Fraction(0)
    g = judge.gamma_exact
    for k, state in enumerate(iterates(mdp, tested, steps, arithmetic="rational")):
        yield all_equal(state.pi, expected, f"pi_{k}")
        exact = AtPolicy(judge, state.pi)
        yield all_equal(state.V, exact.V, f"V_{k}")
        if before is not None:
            yield leq(0, low, f"the minorant rises, k={k}")
            yield leq(low, exact.J - before.J, f"k={k}", k=k)
        C = constant * g / (1 - g) ** discount * max(abs(x) for x in exact.A)
        d = exact.visits if weights == "visits" else [x / (1 - g) for x in judge.rho_exact]
        expected = best_tv(exact, C, d, power)
        far = max(sum(abs(expected[j] - exact.pi[j]) for j in pairs) / 2 for pairs in judge.pairs)
        low = rise(exact, expected, d) - C * far**power
        before = exact
