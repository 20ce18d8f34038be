r"""Claims about surrogates themselves: what they miss of the return, and what their penalties do to a single ratio.

The performance bounds are checked on two states with two actions, where a search finds the worst of them, and on a family that
attains the constants: with half-half policies, the first action leading to state 0 and the second to 1, and rewards
(-1, 1; 1, -1), advantages are the rewards, and moving :math:`\alpha` to the second action in both states loses
:math:`4 \alpha^2 \gamma / (1-\gamma)` against the surrogate. That is :math:`(1 - \gamma)` times the bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from mdpkit.claims import Case, Rate, Row, all_equal, claim, equal, fact, leq, mutant, point
from mdpkit.claims.cases import once, positive
from mdpkit.claims.judge import Judge, ball, dot, exp, largest, log
from mdpkit.claims.search import Search, dense_models
from mdpkit.claims.trial import call, pose
from mdpkit.kernels import softmax, surrogate
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solvers.policy_gradient import (
    MinorizeMaximize,
    ProximalPolicyOptimization,
    SimplePolicyOptimization,
    TrustRegionPolicyOptimization,
)

HALF = Fraction(1, 2)


class Move(NamedTuple):
    """A model, a policy, and another one."""

    mdp: MDP
    old: list[Fraction]
    new: list[Fraction]


# -- the judge's own divergences ---------------------------------------------------------------------------------------


def relative_entropies(judge: Judge, pi: Any, other: Any) -> list[Any]:
    """KL(pi || other) of each state."""
    return [sum((ball(pi[k]) * log(ball(pi[k]) / ball(other[k])) for k in pairs), ball(0)) for pairs in judge.pairs]


def total_variations(judge: Judge, pi: Any, other: Any) -> list[Any]:
    """Half the l1 distance in each state."""
    return [sum((abs(ball(pi[k]) - ball(other[k])) for k in pairs), ball(0)) / 2 for pairs in judge.pairs]


def gain(judge: Judge, d: Any, A: Any, other: Any) -> Any:
    """sum_s d sum_a other A."""
    return dot(d, judge.mean(other, A))


# -- what the surrogate misses -----------------------------------------------------------------------------------------


def measured(mdp: MDP, old: Any, new: Any) -> tuple[Any, Any, Any, Any, Any]:
    """The surrogate, the divergences and the penalties that average to them, as the library computes them."""
    problem, _ = pose(mdp, None, "ball")
    on = OnPolicy(problem)
    pi, other = (on.number(np.array([ball(x) for x in p], dtype=object)) for p in (old, new))
    V = on.value(pi)
    A = on.advantage(V)
    L = on.rho @ V + surrogate.value(other / pi, pi, A, on.visits(pi), on.pair_ptr)
    KL = softmax.relative_entropy(pi, np.log(pi), np.log(other), on.pair_ptr)
    d, one = on.visits(pi), on.number(1)
    linear = surrogate.value(other / pi, pi, A, d, on.pair_ptr)
    costs = [
        linear - surrogate.value(other / pi, pi, A, d, on.pair_ptr, partial(penalty, beta=one))
        for penalty in (surrogate.tv, surrogate.kl)
    ]
    return L, A, surrogate.total_variation(other, pi, on.pair_ptr), KL, costs


def hard(gamma: Fraction, alpha: Fraction) -> Case:
    """A model and a move that attain the bounds as gamma, and for the relative entropy alpha, go to zero."""
    P = [[[1, 0], [0, 1]]] * 2
    mdp = MDP(np.array(P, dtype=object), np.array([[-1, 1], [1, -1]], dtype=object), Discounted(gamma), rho=0)
    return Case(
        f"loses 4 alpha^2 gamma/(1-gamma), gamma={gamma}, alpha={alpha}",
        Move(mdp, [HALF] * 4, [HALF - alpha, HALF + alpha] * 2),
    )


def moves(level: Any, rng: Any) -> Iterator[Case]:
    """Hard moves, and random ones in random models."""
    for gamma, alpha in ((Fraction(1, 10), Fraction(1, 4)), (Fraction(1, 100), Fraction(1, 20))):
        yield hard(gamma, alpha)
    for name, mdp in positive(fast=3, full=9)(level, rng):
        count = np.diff(mdp.pair_ptr)
        both = []
        for _ in range(2):
            weights = [[Fraction(int(x)) for x in rng.integers(1, 50, size=n)] for n in count]
            both.append([x / sum(row) for row in weights for x in row])
        yield Case(name, Move(mdp, *both))


def searched() -> Search:
    """Two states and two actions at gamma = 1/10, and two policies whose probabilities are at least 1/200."""
    models = dense_models(2, 2, Fraction(1, 10))

    def build(x: Sequence[Fraction]) -> Move:
        first = [(1 + 198 * v) / 200 for v in x[models.n :]]
        old, new = ([y for p in ps for y in (p, 1 - p)] for ps in (first[:2], first[2:]))
        return Move(models.build(x[: models.n]), old, new)

    return Search(build, models.n + 4)


def missed(move: Move, constant: Any, which: str, weights: str, power: int, epsilon: str) -> Iterator[Row]:
    """What the surrogate misses, under its bound; the library's surrogate and divergences are those of the judge."""
    judge = Judge(move.mdp)
    V, W = judge.value(move.old), judge.value(move.new)
    A = judge.advantage(V)
    J = judge.objective(W)
    d = judge.visits(move.old if weights == "old" else move.new)
    L = judge.objective(V) + gain(judge, d, A, move.new)
    tested, advantages, TV, KL, costs = call(measured, *move)
    far = total_variations(judge, move.old, move.new)
    near = relative_entropies(judge, move.old, move.new)
    yield equal(tested, L, "the surrogate")
    yield all_equal(advantages, A, "advantages")
    yield all_equal(TV, far, "total variations")
    yield all_equal(KL, near, "relative entropies")
    before = judge.visits(move.old)
    averages = [dot(before, each) for each in (far, near)]
    yield all_equal(costs, averages, "the penalties' averages")
    divergence = largest(far) ** power if which == "tv" else largest(near)
    size = largest([abs(x) for x in A]) if epsilon == "max" else abs(judge.objective(judge.mean(move.new, A)))
    bound = ball(constant) * judge.gamma / (1 - judge.gamma) ** 2 * size * divergence
    yield fact(abs(J - L) > 0, "the surrogate misses something")
    yield leq(abs(J - L), bound, "J - L", k=1)


BOUND = {
    "kind": "upper",
    "mode": "numeric",
    "instances": moves,
    "search": searched(),
    "about": [MinorizeMaximize],
}


@claim(
    "trpo:tv-bound",
    says=r"|J(\pi') - L_\pi(\pi')| \le \frac{4 \gamma \epsilon}{(1-\gamma)^2} \max_s \mathrm{TV}(\pi, \pi')(s)^2, "
    r"\qquad \epsilon = \max_{s,a} |A^\pi(s,a)|",
    where="Theorem 1, recalled; proved, see docs",
    controls=[
        mutant("the constant 3.5", constant=Fraction(7, 2)),
        mutant("the constant 3.95", constant=Fraction(395, 100)),
        mutant("the surrogate with the visits of the new policy", weights="new"),
        mutant("the cube of the total variation", power=3),
        mutant("the mean advantage of the new policy for the largest one", epsilon="mean"),
    ],
    **BOUND,
)
def tv_bound(
    move: Move,
    *,
    constant: Any = 4,
    weights: str = "old",
    power: int = 2,
    epsilon: str = "max",
) -> Iterator[Row]:
    """The surrogate misses the return by the square of the total variation, and 4 is the constant."""
    yield from missed(move, constant, "tv", weights, power, epsilon)


@claim(
    "trpo:kl-bound",
    says=r"|J(\pi') - L_\pi(\pi')| \le \frac{2 \gamma \epsilon}{(1-\gamma)^2} \max_s \mathrm{KL}(\pi \| \pi')(s)",
    where="the paper has 4 in place of 2 (Theorem 1 and equation 8, recalled); with Pinsker's inequality, derived here",
    controls=[
        mutant("the constant 1.5", constant=Fraction(3, 2)),
        mutant("the constant 1.95", constant=Fraction(195, 100)),
        mutant("the surrogate with the visits of the new policy", weights="new"),
        mutant("the mean advantage of the new policy for the largest one", epsilon="mean"),
    ],
    **BOUND,
)
def kl_bound(move: Move, *, constant: Any = 2, weights: str = "old", epsilon: str = "max") -> Iterator[Row]:
    """The surrogate misses the return by the relative entropy, and 2 is the constant."""
    yield from missed(move, constant, "kl", weights, 1, epsilon)


def library_gradient(mdp: MDP, log_pi: Any, penalty: Any) -> Any:
    """The gradient of a surrogate at the old policy, and its visits' sum."""
    problem, _ = pose(mdp, None, "ball")
    on = OnPolicy(problem)
    log_pi = on.number(np.array(log_pi, dtype=object))
    pi = np.exp(log_pi)
    return surrogate.gradient(log_pi, log_pi, on.advantage(on.value(pi)), on.visits(pi), on.pair_ptr, penalty)


def some_policy(judge: Judge, rng: Any) -> list[Any]:
    """Logarithms of a random policy."""
    return judge.log_softmax([ball(Fraction(int(x), 1000)) for x in rng.integers(-1500, 1500, size=judge.L)])


@claim(
    "trpo:second-order",
    says=r"\nabla_\theta L_{\pi_\theta}|_{\theta_k} = \nabla J(\theta_k), \qquad "
    r"J(\pi_{\theta_k + t u}) - L_{\pi_k}(\pi_{\theta_k + t u}) = c\, t^2 + O(t^3), \quad c \ne 0",
    where="Section 2, recalled (equations 4 and 5)",
    kind="rate",
    mode="numeric",
    instances=positive(fast=3, full=10),
    controls=[
        mutant("the surrogate with the visits of the new policy, which is the return", weights="new"),
        mutant("the initial law for the visits", weights="initial"),
        mutant("visits that sum to one", scale=True),
    ],
    about=[TrustRegionPolicyOptimization, MinorizeMaximize],
    rate=Rate(-2, "exactly", within=0.02),
    domain="models whose second-order term is not zero",
)
def second_order(mdp: Any, *, rng: Any, weights: str = "old", scale: bool = False) -> Iterator[Row]:
    """The surrogate has the gradient of the return, and misses it by a second-order term."""
    judge = Judge(mdp)
    log_pi = some_policy(judge, rng)
    pi = [exp(x) for x in log_pi]
    V = judge.value(pi)
    A = judge.advantage(V)
    tested = call(library_gradient, mdp, log_pi, None)
    exact = judge.logit_gradient(pi)
    if scale:
        exact = [(1 - judge.gamma) * x for x in exact]
    yield all_equal(tested, exact, "the gradient")
    for j in range(6, 16):
        t = ball(Fraction(1, 2**j))
        new = [exp(x) for x in judge.log_softmax([x + t * y for x, y in zip(log_pi, A, strict=True)])]
        d = judge.rho if weights == "initial" else judge.visits(pi if weights == "old" else new)
        missing = abs(judge.objective(judge.value(new)) - judge.objective(V) - gain(judge, d, A, new))
        yield fact(missing > 0, f"t=2^-{j}")
        if missing > 0:
            yield point(2**j, missing, f"t=2^-{j}")


# -- one ratio ---------------------------------------------------------------------------------------------------------


def grid() -> tuple[Any, Any]:
    """Ratios and advantages, all pairs."""
    ratios = [Fraction(k, 10) for k in range(0, 26)]
    advantages = [Fraction(k, 2) for k in (-3, 0, 1)]
    pairs = [(x, y) for x in ratios for y in advantages]
    return np.array([x for x, _ in pairs], dtype=object), np.array([y for _, y in pairs], dtype=object)


@claim(
    "ppo:pessimism",
    says=r"\min(\rho A, \mathrm{clip}(\rho, 1-\epsilon, 1+\epsilon) A) \le \rho A, \text{ with equality iff } "
    r"A (\rho - 1) \le \epsilon |A|; \text{ beyond, the derivative in } \rho \text{ is zero}",
    where="Section 3, recalled",
    kind="identity",
    mode="exact",
    instances=once("a grid of ratios and advantages"),
    controls=[
        mutant("the clip without the minimum", minimum=False),
        mutant("the maximum for the minimum", worst=max),
        mutant("equality wherever the ratio is inside", inside=True),
        mutant("the other side of the clip is flat", side=-1),
    ],
    about=[ProximalPolicyOptimization],
)
def pessimism(
    problem: Any, *, minimum: bool = True, worst: Any = min, inside: bool = False, side: int = 1
) -> Iterator[Row]:
    """The clipped surrogate is a lower bound of the linear one, tight until the clip would help."""
    ratio, A = grid()
    for epsilon in (Fraction(1, 10), Fraction(1, 5), Fraction(3, 5)):
        cost, slope = call(surrogate.clip, ratio, A, epsilon)
        low, high = 1 - epsilon, 1 + epsilon
        for x, a, c, g in zip(ratio, A, cost, slope, strict=True):
            clipped = min(max(x, low), high) * a
            objective = worst(x * a, clipped) if minimum else clipped
            at = f"rho={x}, A={a}, epsilon={epsilon}"
            yield equal(x * a - c, objective, at)
            yield leq(objective, x * a, at)
            tight = low <= x <= high if inside else a * (x - 1) <= epsilon * abs(a)
            yield fact((objective == x * a) == tight, f"equality, {at}")
            beyond = side * a * (x - 1) > epsilon * abs(a)
            yield equal(x * a - g, 0 if beyond else x * a, f"derivative, {at}")


@claim(
    "simple-po:aligned",
    says=r"f(\rho) = \rho A - \frac{|A|}{2\epsilon} (\rho-1)^2: \quad f'' = -\frac{|A|}{\epsilon}, \quad "
    r"\arg\max f = 1 + \epsilon\, \mathrm{sign} A, \quad f'(\rho)(1 + \epsilon\, \mathrm{sign} A - \rho) > 0",
    where="Objective Class, seen (text of 2025); the gradient against the clip's, derived here",
    kind="identity",
    mode="exact",
    instances=once("a grid of ratios and advantages"),
    controls=[
        mutant("A for |A| in the penalty", weight=lambda a: a),
        mutant("the penalty without its half", half=1),
        mutant("the penalty times epsilon", inverse=False),
        mutant("the clipped surrogate for the penalty", penalty=surrogate.clip),
    ],
    about=[SimplePolicyOptimization],
)
def aligned(
    problem: Any,
    *,
    weight: Any = abs,
    half: Any = 2,
    inverse: bool = True,
    penalty: Any = None,
) -> Iterator[Row]:
    """Each pair's objective of SPO is concave around one side of its region, and leads back from outside."""
    ratio, A = grid()
    step = Fraction(1, 10)
    for epsilon in (Fraction(1, 10), Fraction(1, 5), Fraction(3, 5)):
        cost, slope = call(penalty or surrogate.quadratic, ratio, A, epsilon)
        _, flat = call(surrogate.clip, ratio, A, epsilon)
        factor = 1 / epsilon if inverse else epsilon
        value = {}
        for x, a, c, g, h in zip(ratio, A, cost, slope, flat, strict=True):
            at = f"rho={x}, A={a}, epsilon={epsilon}"
            value[x, a] = x * a - c
            yield equal(c, weight(a) * factor * (x - 1) ** 2 / half, f"cost, {at}")
            sign = (a > 0) - (a < 0)
            target = 1 + epsilon * sign
            # The derivative in the ratio times the ratio, as the kernel gives it.
            yield equal(x * a - g, x * abs(a) * (target - x) / epsilon, f"derivative, {at}")
            if a and x and x != target:
                yield fact((x * a - g) * (target - x) > 0, f"leads back, {at}")
            if a and a * (x - 1) > epsilon * abs(a):
                yield fact(x * a - h == 0, f"where the clip is flat, {at}")
        for x, a in value:
            at = f"rho={x}, A={a}, epsilon={epsilon}"
            if 0 < x < Fraction(5, 2):
                second = (value[x + step, a] - 2 * value[x, a] + value[x - step, a]) / step**2
                yield equal(second, -abs(a) / epsilon, f"second difference, {at}")
