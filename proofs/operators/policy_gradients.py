r"""Gradients of a policy's value: the policy gradient theorem and the natural gradient, with symbols and exactly."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from mdpkit.claims import Row, equal, fact, mutant
from mdpkit.claims.cases import once
from mdpkit.claims.claim import claim
from mdpkit.claims.judge import Judge, array
from mdpkit.claims.trial import call, pose
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.proofs.operators._symbols import TwoByTwo, inverse_relations
from mdpkit.proofs.operators.performance_difference import MODELS, policies

F = Fraction


@claim(
    "sutton2000:policy-gradient",
    says=r"\frac{d V^{\pi_t}(\rho)}{dt} = \sum_s d^\pi_\rho(s) \sum_a \dot\pi(a|s) Q^\pi(s,a); \quad "
    r"\frac{\partial V(\rho)}{\partial \theta(s,a)} = d_\rho^\pi(s)\, \pi(a|s)\, A^\pi(s,a) \text{ for softmax policies}",
    where="Theorem 1 (recalled); proved here. Run exactly on larger models: sutton2000:policy-gradient-exact",
    kind="identity",
    mode="symbolic",
    instances=once(),
    domain="the matrix identity for all numbers of states and actions and every smooth family of policies, to first order in "
    "noncommuting symbols; the derivatives written out for S = A = 2, all laws, rewards, discounts, policies",
    controls=[
        mutant("the derivative of the rewards left out", rewards=False),
        mutant("the initial law for the visits", initial=True),
        mutant("action values for advantages in the softmax form", baseline=False),
        mutant("the normalized visits", normalized=True),
    ],
)
def policy_gradient(
    _: Any, *, rewards: bool = True, initial: bool = False, baseline: bool = True, normalized: bool = False
) -> Iterator[Row]:
    """The derivative of a policy's value takes the visits and the action values as if they were constant."""
    import sympy

    # All sizes, to first order in t: P + tD, r + te; X is the inverse of I - gamma P.
    X, P, D, r, e = sympy.symbols("X P D r e", commutative=False)
    g, t = sympy.Symbol("gamma", positive=True), sympy.Symbol("t")
    V = X * r
    q_slope = (e if rewards else 0) + g * D * V
    slope = q_slope if initial else X * q_slope
    if normalized:
        slope = (1 - g) * slope
    # V + t V' solves (I - gamma (P + tD)) W = r + te up to order t^2.
    left = sympy.expand((V + t * slope) - g * (P + t * D) * (V + t * slope) - r - t * e)
    orders = [left.coeff(t, 0), left.coeff(t, 1)]
    yield fact(all(inverse_relations(x, g, [(X, P)]) == 0 for x in orders), "all sizes")

    # S = A = 2: the derivative by the probability of action 0 in each state, and by softmax parameters.
    m = TwoByTwo()
    pi = m.policy("p")
    det, V = m.value(pi)
    q = m.q(det, V)
    objective = sum((m.rho[s] * V[s] for s in range(2)), m.zero)
    _, d = m.visits(pi)
    if initial:
        d = [x * det for x in m.rho]
    if normalized:
        d = [(1 - m.gamma) * x for x in d]
    for s in range(2):
        p = m.of[f"p{s}0"]
        numerator = objective.diff(p) * det - objective * det.diff(p)  # over det^2
        drop = m.zero if rewards else (m.r[s][0] - m.r[s][1]) * det
        yield fact(numerator == d[s] * (q[s][0] - q[s][1] - drop), f"S = A = 2, state {s}")
        # dp/dtheta(s, 0) = p(1 - p) for a softmax policy.
        A = q[s][0] - (V[s] if baseline else m.zero)
        yield fact(numerator * p * (1 - p) == d[s] * p * (A - drop * (1 - p)), f"softmax, state {s}")


@claim(
    "agarwal2021:direct-gradient-symbolic",
    says=r"\frac{\partial V^\pi(\rho)}{\partial \pi(a|s)} = d_\rho^\pi(s)\, Q^\pi(s,a),\quad "
    r"\text{probabilities as free variables}",
    where="direct parameterization (equation recalled); proved here. On larger ones: sutton2000:policy-gradient-exact",
    kind="identity",
    mode="symbolic",
    instances=once(),
    domain="for S = A = 2, all laws, rewards, discounts, and weights of actions whether they sum to one or not",
    controls=[
        mutant("advantages", baseline=True),
        mutant("the normalized visits", normalized=True),
        mutant("the other action's value", swapped=True),
    ],
)
def direct_gradient(
    _: Any, *, baseline: bool = False, normalized: bool = False, swapped: bool = False
) -> Iterator[Row]:
    """With probabilities as parameters the gradient is visits times action values."""
    m = TwoByTwo()
    pi = m.weights("p")
    det, V = m.value(pi)
    q = m.q(det, V)
    _, d = m.visits(pi)
    objective = sum((m.rho[s] * V[s] for s in range(2)), m.zero)
    for s in range(2):
        for a in range(2):
            p = m.of[f"p{s}{a}"]
            numerator = objective.diff(p) * det - objective * det.diff(p)
            value = q[s][1 - a if swapped else a] - (V[s] if baseline else m.zero)
            factor = 1 - m.gamma if normalized else m.one
            yield fact(numerator == factor * d[s] * value, f"s={s}, a={a}")


@claim(
    "sutton2000:policy-gradient-exact",
    says=r"\frac{\partial V^\pi(\rho)}{\partial \pi(a|s)} = d_\rho^\pi(s)\, Q^\pi(s,a),\quad "
    r"\frac{\partial V^\pi(\rho)}{\partial \theta(s,a)} = d_\rho^\pi(s)\, \pi(a|s)\, A^\pi(s,a)",
    where="Theorem 1 (recalled); proved by sutton2000:policy-gradient and agarwal2021:direct-gradient-symbolic",
    kind="identity",
    mode="exact",
    instances=MODELS,
    controls=[
        mutant("the initial law for the visits", initial=True),
        mutant("action values for advantages", baseline=False),
        mutant("the normalized visits", normalized=True),
    ],
    caveat="what is tested is the library's visits and advantages, against derivatives of exact values: along one probability "
    "the value is a quotient of linear functions, whose derivative three values give",
)
def policy_gradient_exact(
    mdp: Any, *, initial: bool = False, baseline: bool = True, normalized: bool = False
) -> Iterator[Row]:
    """The library's visits times action values are the derivatives of exact values, in rationals."""
    judge = Judge(mdp)
    on = OnPolicy(call(lambda: pose(mdp, None, "rational")[0]))
    for i, pi in enumerate(policies(judge)[:2]):

        def found(pi: Any = pi) -> tuple[Any, Any, Any]:
            V = on.value(array(pi))
            d = on.spread(on.rho if initial else on.visits(array(pi)))
            return d * on.q(V), d * array(pi) * on.advantage(V), d

        direct, soft, d = call(found)
        factor = 1 - judge.gamma_exact if normalized else F(1)
        slopes = [_slope(judge, pi, k) for k in range(judge.L)]
        for k, pairs in enumerate(judge.pairs[s] for s in judge.state):
            # d pi(b|s)/d theta(s,a) = pi(b|s) (1[a = b] - pi(a|s))
            by_theta = pi[k] * (slopes[k] - sum((pi[j] * slopes[j] for j in pairs), F(0)))
            yield equal(slopes[k], factor * direct[k], f"policy {i}, probability {k}")
            value = soft[k] if baseline else d[k] * pi[k] * direct[k] / d[k]
            yield equal(by_theta, factor * value, f"policy {i}, parameter {k}")


def _slope(judge: Judge, pi: Any, k: int) -> Fraction:
    """The derivative of the objective by one weight: of (a + bx)/(1 + cx), from its values at 0 and two other points."""
    h = (1 - judge.gamma_exact) / 4

    def at(x: Fraction) -> Fraction:
        moved = list(pi)
        moved[k] += x
        return judge.exact_objective(judge.exact_value(moved))

    zero, plus, minus = at(F(0)), at(h), at(-h)
    if plus == minus:
        return F(0)
    c = (2 * zero - plus - minus) / (h * (plus - minus))
    b = (plus * (1 + c * h) - zero) / h
    return b - zero * c


# -- the natural gradient --------------------------------------------------------------------------------------------


@claim(
    "kakade2001:multiplicative-weights",
    says=r"F(\theta)\, \tfrac{1}{1-\gamma} A^\pi = \nabla V^\pi(\rho),\quad F = \mathbb{E}_{d^\pi_\rho, \pi}"
    r"[\nabla\log\pi\, \nabla\log\pi^\top],\quad \text{so } F^\dagger \nabla V = \tfrac{1}{1-\gamma} A^\pi + c(s), \;"
    r"\pi^+(a|s) \propto \pi(a|s) e^{\eta A^\pi(s,a)/(1-\gamma)}",
    where="natural gradient of tabular softmax policies (agarwal2021, recalled); proved here. Run on larger models: "
    "kakade2001:fisher",
    kind="identity",
    mode="symbolic",
    instances=once(),
    domain="one state: every number of actions, row by row; S = A = 2 with the Fisher matrix written out, all laws, rewards, "
    "discounts, policies",
    controls=[
        mutant("without the factor 1/(1 - gamma)", factor=False),
        mutant("the Fisher matrix without the mean score", centered=False),
        mutant("the Fisher matrix without the visits", visits=False),
        mutant("the opposite sign", sign=-1),
    ],
)
def multiplicative_weights(
    _: Any, *, factor: bool = True, centered: bool = True, visits: bool = True, sign: int = 1
) -> Iterator[Row]:
    """The natural gradient of softmax policies is the advantage: multiplicative weights in every state."""
    import sympy

    # One state, any number of actions: row a of (diag(p) - p p') Q, with the mean of Q for the sum; V = mean Q.
    p, q, mean, g = sympy.symbols("p_a Q_a mean gamma", positive=True)
    # Scores are e_a - p: E[score score'] = diag(p) - p p'. One state: visits are 1/(1 - gamma).
    row = p * q - (p * mean if centered else 0)
    gradient = p * (q - mean) / (1 - g)
    preconditioned = sign * row * (1 / (1 - g) if factor else 1) * (1 if visits else 1 - g)
    yield fact(sympy.simplify(preconditioned - gradient) == 0, "one state, any number of actions")
    # The kernel of diag(p) - p p' is the constants: x = 1 gives p_a - p_a sum p = 0, and the form is the variance of x.
    two, x, y = sympy.symbols("p x y", positive=True)
    form = two * x**2 + (1 - two) * y**2 - (two * x + (1 - two) * y) ** 2
    yield fact(sympy.expand(form - two * (1 - two) * (x - y) ** 2) == 0, "its kernel is the constants")

    m = TwoByTwo()
    pi = m.policy("p")
    det, V = m.value(pi)
    q2 = m.q(det, V)
    _, d = m.visits(pi)
    for s in range(2):
        A = [sign * (q2[s][a] - V[s]) for a in range(2)]
        own = (1 - m.gamma) * d[s] if visits else det * (1 - m.gamma)
        for a in range(2):
            fisher = [own * pi[s][a] * (int(a == b) - (pi[s][b] if centered else 0)) for b in range(2)]
            # Over det^2, times 1 - gamma on both sides: F A against (1 - gamma) gradient.
            left = sum((fisher[b] * A[b] for b in range(2)), m.zero)
            right = d[s] * pi[s][a] * (q2[s][a] - V[s]) * (1 - m.gamma)
            shrink = m.one if factor else 1 - m.gamma
            yield fact(left * shrink == right, f"S = A = 2, s={s}, a={a}")
