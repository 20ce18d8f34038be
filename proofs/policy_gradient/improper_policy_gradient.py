r"""Claims about policy gradients over mixtures of controllers.

Derivatives are those of Bellman's equation, differentiated by a parameter, so that no formula of the policy gradient theorem is
believed. The rate of global convergence is false as recalled: its counterexample is here. Derivations are in
``docs/theory/policy_gradient/finite_horizon_and_mixtures.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from mdpkit.claims import Case, Row, all_equal, claim, equal, leq, mutant, premise
from mdpkit.claims.cases import bandit, chosen, discounted, joined
from mdpkit.claims.judge import Judge, ball, exp, largest, total
from mdpkit.claims.trial import iterates
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.solvers.policy_gradient import ImproperNaturalActorCritic, ImproperPolicyGradient

F = Fraction
ONE, HALF, NINE_TENTHS = F(1), F(1, 2), F(9, 10)


class Mixed(NamedTuple):
    """A mixture: weights, policy, value, gradient in the parameters, and rows that pin the iterate down."""

    k: int
    theta: list[Any]
    w: list[Any]
    pi: list[Any]
    V: list[Any]
    gradient: list[Any]
    rows: list[Row]


def controllers_of(judge: Judge, solver: ImproperPolicyGradient) -> list[list[Any]]:
    """The controllers' probabilities of pairs, by the definition of the default."""
    if solver.controllers:
        return [[ball(x) for x in row] for row in solver.controllers]
    M = max(len(pairs) for pairs in judge.pairs)
    return [
        [ball(int(k == pairs[min(m, len(pairs) - 1)])) for pairs in judge.pairs for k in pairs] for m in range(M)
    ]  # fmt: skip


def softmax(theta: Any) -> list[Any]:
    """Weights; of power series where some of the parameters are."""
    weights = [x.exp() for x in theta]
    whole = total(weights)
    return [x / whole for x in weights]


def derivative(judge: Judge, K: Any, theta: Any, pi: Any, V: Any) -> list[Any]:
    """Derivatives of the objective by the parameters: Bellman's equation differentiated."""
    flint: Any = import_module("flint")
    q = judge.q(V)
    out = []
    for m in range(len(theta)):
        moved = [ball(x) for x in theta]
        moved[m] = flint.arb_series([moved[m], 1], 2)
        w = softmax(moved)
        slope = [ball(x[1]) for x in w]
        pi_slope = [total(slope[i] * K[i][k] for i in range(len(K))) for k in range(judge.L)]
        V_slope = judge._solve(judge._matrix(pi), judge.mean(pi_slope, q))  # pyright: ignore[reportPrivateUsage]
        out.append(judge.objective(V_slope))
    return out


def the_run(
    judge: Judge, solver: ImproperPolicyGradient, n: int, tested: Any = None, natural: bool = False
) -> Iterator[Mixed]:
    """The iterates of the tested solver, with rows that say that they follow the gradient, or the natural one."""
    K = controllers_of(judge, solver)
    M = len(K)
    expected = [ball(0)] * M
    for k, state in enumerate(iterates(judge.mdp, tested or solver, n)):
        theta = [ball(x) for x in state.theta]
        w = softmax(theta)
        pi = [total(w[m] * K[m][j] for m in range(M)) for j in range(judge.L)]
        V = judge.value(pi)
        if natural:
            rows = [all_equal(w, softmax(expected), f"weights at k={k}")]
        else:
            rows = [all_equal(theta, expected, f"theta at k={k}")]
        rows.append(all_equal(state.V, V, f"V at k={k}"))
        gradient = derivative(judge, K, theta, pi, V)
        direction = _natural(w, gradient) if natural else gradient
        expected = [x + ball(solver.eta) * g for x, g in zip(theta, direction, strict=True)]
        yield Mixed(k, theta, w, pi, V, gradient, rows)


def _natural(w: Any, gradient: Any) -> list[Any]:
    """The pseudo-inverse of diag(w) - ww' times the gradient: the kernel, the constants, is filled with ones."""
    flint: Any = import_module("flint")
    M = len(w)
    fisher = [(w[i] if i == j else ball(0)) - w[i] * w[j] + 1 for i in range(M) for j in range(M)]
    return list(flint.arb_mat(M, M, fisher).solve(flint.arb_mat(M, 1, list(gradient))).entries())


def spread(judge: Judge) -> Fraction:
    """The spread of the rewards."""
    return max(judge.r_exact) - min(judge.r_exact)


def recalled_step(gamma: Fraction) -> Fraction:
    """The step size of the paper, recalled."""
    return (1 - gamma) ** 2 / (7 * gamma**2 + 4 * gamma + 5)


# -- neighboring algorithms ------------------------------------------------------------------------------------------


class InitialLaw(ImproperPolicyGradient):
    """A wrong gradient: the initial law for the visits."""

    def _gains(self, on: Any, K: Any, w: Any, pi: Any, q: Any) -> Any:
        own = np.array([on.rho @ np.add.reduceat(k * q, on.pair_ptr[:-1]) for k in K])
        return own - w @ own


class NoWeights(ImproperPolicyGradient):
    """The natural direction in place of the gradient."""

    def _direction(self, w: Any, gains: Any) -> Any:
        return gains


class SquaredWeights(ImproperPolicyGradient):
    """A wrong gradient: the weights count twice."""

    def _direction(self, w: Any, advantages: Any) -> Any:
        return w * w * advantages


# -- instances -------------------------------------------------------------------------------------------------------


def two_hills(gamma: Fraction = NINE_TENTHS, law: Any = 0, second: Fraction = HALF) -> MDP:
    """Action 0 leads from state 0 to 1, action 1 to 2, both come back; action 0 earns one in 1, action 1 ``second`` in 2."""
    to = [[0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]]
    r = [F(0), F(0), F(1), F(0), F(0), second]
    return MDP([[F(x) for x in row] for row in to], r, Discounted(gamma), state=[0, 0, 1, 1, 2, 2],
               action=[0, 1] * 3, rho=law)  # fmt: skip


FIRST, SECOND = (1, 0) * 3, (0, 1) * 3


def hills() -> list[Case]:
    """The model of two hills, under two laws."""
    law = [F(1, 3)] * 3
    return [Case("two hills, gamma=9/10", two_hills()), Case("two hills, gamma=9/10, uniform law", two_hills(law=law))]


def one_decision(controllers: int) -> list[Case]:
    """Models where actions matter in state 0 only: a bandit, and a cycle that passes a state where nothing is to be chosen."""
    r = [F(4, 5)] + [F(1, 5)] * (controllers - 1)
    P = [[[F(1, 4), F(3, 4)]] * controllers, [[F(1), F(0)]] * controllers]
    cycle = MDP(P, [r, [F(1, 3)] * controllers], Discounted(F(4, 5)), rho=0)
    return [
        bandit(*r),
        Case(f"one decision of {controllers} in a cycle of two", cycle),
    ]


random_models = discounted(sizes=((2, 2), (3, 3)), gammas=(F(1, 2), F(9, 10)), fast=2, full=8, rho="uniform")


# -- claims ----------------------------------------------------------------------------------------------------------


@claim(
    "improper-rl:gradient",
    says=r"\theta^{k+1} - \theta^k = \eta \nabla V^{\pi^k}(\rho),\quad \frac{\partial V(\rho)}{\partial \theta_m} = "
    r"\sum_s d^\pi_\rho(s)\, w_m \bigl(\langle K_m(s), Q^\pi(s, \cdot) \rangle - V^\pi(s)\bigr)",
    where="derived; the method recalled",
    kind="identity",
    mode="numeric",
    instances=joined(random_models, chosen(hills)),
    controls=[
        mutant("the initial law for the visits", wrong=InitialLaw),
        mutant("the natural direction", wrong=NoWeights),
        mutant("the weights squared", wrong=SquaredWeights),
        mutant("the controllers in reverse order", other=True),
    ],
    about=[ImproperPolicyGradient],
)
def gradient(mdp: Any, *, wrong: Any = None, other: bool = False) -> Iterator[Row]:
    """A step of the policy gradient over mixtures is along the derivative of the mixture's value."""
    judge = Judge(mdp)
    plain = judge.uniform()
    last = [int(k == judge.pairs[s][-1]) for k, s in enumerate(judge.state)]
    first = [int(k == judge.pairs[s][0]) for k, s in enumerate(judge.state)]
    for given in (
        ImproperPolicyGradient(eta=F(1, 3)),
        ImproperPolicyGradient(eta=F(1), controllers=(last, plain, first)),
    ):
        used = (wrong or ImproperPolicyGradient)(
            eta=given.eta, controllers=given.controllers[::-1] if other else given.controllers
        )
        for x in the_run(judge, given, 3, used):
            yield from x.rows


@claim(
    "improper-rl:monotone",
    says=r"V^{k+1}(\rho) - V^k(\rho) \ge \eta\Bigl(1 - \frac{\beta\eta}{2}\Bigr) \|\nabla V^k(\rho)\|_2^2,\quad "
    r"\beta = \frac{\max r - \min r}{2(1-\gamma)^2}; \text{ so for } \eta = \frac{(1-\gamma)^2}{7\gamma^2 + 4\gamma + 5} "
    r"\text{ and rewards in } [0, 1], \text{ and for } \eta \le 4(1-\gamma)^2",
    where="step size of the paper recalled; the smoothness derived, see docs",
    kind="monotone",
    mode="numeric",
    instances=joined(random_models, chosen(hills), chosen(lambda: [Case("bandit of rewards 0, 1", MDP(
        [[[F(1)]] * 2], [[F(0), F(1)]], Discounted(F(1, 20)), rho=0))])),
    controls=[
        mutant("a quarter of the curvature", part=F(1, 4)),
        mutant("twice the linear gain", gain=2),
        mutant("the initial law for the visits", wrong=InitialLaw),
    ],
    about=[ImproperPolicyGradient],
)  # fmt: skip
def monotone(mdp: Any, *, part: Fraction = ONE, gain: int = 1, wrong: Any = None) -> Iterator[Row]:
    """Every step of the policy gradient over mixtures gains, also with larger steps than the paper's."""
    judge = Judge(mdp)
    gamma = judge.gamma_exact
    curvature = part * spread(judge) / (2 * (1 - gamma) ** 2)
    for eta in (recalled_step(gamma), 2 * (1 - gamma) ** 2 / spread(judge)):
        solver = ImproperPolicyGradient(eta=eta)
        least: Any = None
        for x in the_run(judge, solver, 8, None if wrong is None else wrong(eta=eta)):
            yield from x.rows
            value = judge.objective(x.V)
            if least is not None:
                yield leq(least, value, f"k={x.k}, eta={float(eta):.3g}")
            least = value + gain * ball(eta) * (1 - ball(curvature * eta / 2)) * total(g * g for g in x.gradient)


@claim(
    "improper-rl:stationary",
    says=r"\min_{k < K} \|\nabla V^k(\rho)\|_2^2 \le \frac{V^*(\rho) - V^0(\rho)}{\eta(1 - \beta\eta/2) K}",
    where="derived from improper-rl:monotone, see docs; a stationary point as the limit: abstract seen, of the actor-critic",
    kind="upper",
    mode="numeric",
    instances=joined(random_models, chosen(hills)),
    controls=[
        mutant("the value of a step for the whole", power=3),
        mutant("the largest gradient for the least, by 1/K^2", largest_one=True, power=2),
        mutant("the weights squared", wrong=SquaredWeights),
    ],
    about=[ImproperPolicyGradient],
    caveat="the optimum is that of all policies, so that the bound is loose where no mixture attains it",
)
def stationary(mdp: Any, *, power: int = 1, largest_one: bool = False, wrong: Any = None) -> Iterator[Row]:
    """Some iterate's gradient is small."""
    judge = Judge(mdp)
    eta = 2 * (1 - judge.gamma_exact) ** 2 / spread(judge)
    solver = ImproperPolicyGradient(eta=eta)
    best = judge.objective(judge.optimal)
    found: Any = None
    room: Any = None
    for x in the_run(judge, solver, 12, None if wrong is None else wrong(eta=eta)):
        yield from x.rows
        if room is None:
            room = (best - judge.objective(x.V)) / (ball(eta) * ball(F(1, 2)))
        else:
            yield leq(found, room / x.k**power, f"K={x.k}", k=x.k)
        size = total(g * g for g in x.gradient)
        found = size if found is None else largest([found, size]) if largest_one else -largest([-found, -size])


@claim(
    "improper-rl:one-decision",
    says=r"a(n - \log x_n) \le G(x_n) - G(1) \le a(n + e^{a/4N} \log x_n),\quad x = \frac{w_{m^*}}{w_m},\; "
    r"G(x) = x + 2N\log x - \frac{N^2}{x},\; N = M - 1,\; a = \eta M d(s_0) \Delta, "
    r"\text{ so that } n (V^* - V^n) \to \frac{M-1}{M\eta}",
    where="the limit and both bounds derived, see docs",
    kind="tight",
    mode="numeric",
    instances=chosen(lambda: [*one_decision(2), one_decision(3)[1]]),
    domain="actions matter in one state, transitions do not depend on them; one best controller, and one gap of all others",
    controls=[
        mutant("the weights squared", wrong=SquaredWeights),
        mutant("M - 1 for M", count=-1),
        mutant("the initial law for the visits", wrong=InitialLaw),
        mutant("no logarithm", logarithm=0),
    ],
    about=[ImproperPolicyGradient],
)
def one_decision_rate(mdp: Any, *, wrong: Any = None, count: int = 0, logarithm: int = 1) -> Iterator[Row]:
    """Where one state decides, the gap is inverse to the number of steps with a constant that both bounds give."""
    judge = Judge(mdp)
    visits = judge.visits(judge.optimal_policy)[0]
    M = len(judge.pairs[0])
    N = M - 1
    eta = F(2)
    gap = judge.r_exact[0] - judge.r_exact[1]
    a = ball(eta * (M + count) * gap) * visits
    best = judge.objective(judge.optimal)
    solver = ImproperPolicyGradient(eta=eta)
    for x in the_run(judge, solver, 30, None if wrong is None else wrong(eta=eta)):
        if x.k > 10 and x.k % 10:
            continue
        yield from x.rows
        if x.k:
            t = x.theta[0] - x.theta[1]
            ratio = exp(t)
            grown = ratio + 2 * N * t - N**2 / ratio - (1 - N**2)
            yield leq(a * (x.k - logarithm * t), grown, f"n={x.k}, below", k=x.k, series="below")
            yield leq(grown, a * (x.k + logarithm * exp(a / (4 * N)) * t), f"n={x.k}, above", k=x.k, series="above")
            yield equal(visits * ball(gap) * N / (ratio + N), best - judge.objective(x.V), f"gap at n={x.k}")


@claim(
    "improper-rl:natural-step",
    says=r"w^{k+1} = \mathrm{softmax}\bigl(\theta^k + \eta F(\theta^k)^\dagger \nabla V^{\pi^k}(\rho)\bigr),\quad "
    r"F = \mathrm{diag}(w) - w w^\top",
    where="natural gradient of the softmax weights, derived",
    kind="identity",
    mode="numeric",
    instances=joined(random_models, chosen(hills)),
    controls=[
        mutant("the gradient itself", wrong=ImproperPolicyGradient),
        mutant("the initial law for the visits", wrong=InitialLaw),
        mutant("the normalized visits", normalized=True),
    ],
    about=[ImproperNaturalActorCritic],
)
def natural_step(mdp: Any, *, wrong: Any = None, normalized: bool = False) -> Iterator[Row]:
    """The natural step solves the Fisher information's system for the gradient."""
    judge = Judge(mdp)
    eta = F(1, 10)
    solver = ImproperNaturalActorCritic(eta=eta * (1 - judge.gamma_exact) if normalized else eta)
    tested = None if wrong is None and not normalized else (wrong or ImproperNaturalActorCritic)(eta=eta)
    for x in the_run(judge, solver, 4, tested, natural=True):
        yield from x.rows


def stationary_hills() -> MDP:
    """Two hills under the uniform law, the second as high as makes equal weights of K_0, K_1, K_1 a stationary point."""
    gamma = F(9, 10)
    kappa = F(2, 3) * gamma * (1 + 2 * gamma) / (1 - gamma**2)
    return two_hills(gamma, [F(1, 3)] * 3, (kappa + 1) / (2 * kappa + 1))


def exact_slopes(judge: Judge, K: Any) -> list[Fraction]:
    """The objective's derivatives in the parameters at equal weights, exactly: visits times values along each direction."""
    M = len(K)
    pi = [sum((F(K[m][k]) for m in range(M)), F(0)) / M for k in range(judge.L)]
    V, d = judge.exact_value(pi), judge.exact_visits(pi)
    q = judge.exact_q(V)
    return [sum((d[judge.state[k]] * (F(K[m][k]) - pi[k]) / M * q[k] for k in range(judge.L)), F(0)) for m in range(M)]


def bandit_of_controllers() -> MDP:
    """One state: there the weights are those of a bandit."""
    return bandit(1, F(1, 2), gamma=F(9, 10)).problem


def false_rate(mdp: MDP, controllers: Any, natural: bool, bound: Any) -> Iterator[Row]:
    """Rows of a rate: of four steps, and of the 10^12-th where the first iterate is exactly stationary, so that all agree."""
    judge = Judge(mdp)
    eta = F(1, 1000)
    solver = (ImproperNaturalActorCritic if natural else ImproperPolicyGradient)(eta=eta, controllers=controllers)
    best = judge.objective(judge.optimal)
    last: Any = None
    c = ball(1)
    for x in the_run(judge, solver, 4, natural=natural):
        yield from map(premise, x.rows)
        c = -largest([-c, -x.w[0]])
        if x.k:
            yield leq(best - judge.objective(x.V), bound(judge, len(controllers), c, eta) / x.k, f"k={x.k}", k=x.k)
        last = x
    if not any(exact_slopes(judge, controllers)):
        yield leq(best - judge.objective(last.V), bound(judge, len(controllers), c, eta) / 10**12, "k=10^12", k=10**12)


def recalled_bound(judge: Judge, M: int, c: Any, eta: Any) -> Any:
    """The rate of global convergence as recalled, times the number of steps."""
    g = judge.gamma
    star = judge.occupancy(judge.optimal_policy)
    ratio = largest([x / y for x, y in zip(star, judge.rho, strict=True)])
    small = largest([1 / y for y in judge.rho])
    return M * (7 * g**2 + 4 * g + 5) / (c**2 * (1 - g) ** 3) * ratio**2 * small


def natural_bound(judge: Judge, M: int, c: Any, eta: Any) -> Any:
    """The rate of the natural policy gradient with controllers for actions, times the number of steps."""
    return ball(M).log() / ball(eta) + 1 / (1 - judge.gamma) ** 2


FALSE = (
    "Equal weights of K_0 (always action 0), K_1 and K_1 (always action 1) are exactly stationary under the uniform law"
)


@claim(
    "improper-rl:global-convergence",
    says=r"\text{FALSE: } V^*(\rho) - V^k(\rho) \le \frac1k \frac{M(7\gamma^2+4\gamma+5)}{c^2(1-\gamma)^3} "
    r"\Bigl\|\frac{d^*}{\rho}\Bigr\|_\infty^2 \Bigl\|\frac1\rho\Bigr\|_\infty,\quad c = \inf_k w^k_{m^*}",
    where="rate of global convergence as recalled; counterexample derived, see docs",
    kind="counterexample",
    mode="numeric",
    instances=chosen([Case("two hills, gamma=9/10, uniform law, controllers K_0, K_1, K_1", stationary_hills())]),
    controls=[
        mutant("equal weights of two controllers: beyond the minimum", controllers=(FIRST, SECOND)),
        mutant("one state: a bandit of controllers", one=True),
    ],
    about=[ImproperPolicyGradient],
    caveat=f"{FALSE}, so that c = 1/3 for ever. What fails: a controller's advantage changes sign over the states, and the "
    "visits of the best mixture cannot be exchanged for one's own where the weights do not depend on the state",
)
def global_convergence(mdp: Any, *, controllers: Any = (FIRST, SECOND, SECOND), one: bool = False) -> Iterator[Row]:
    """The rate of convergence to the best mixture from every start, as recalled, is violated at a stationary point."""
    if one:
        mdp, controllers = bandit_of_controllers(), ((1, 0), (0, 1), (0, 1))
    yield from false_rate(mdp, controllers, False, recalled_bound)


@claim(
    "improper-rl:natural-counterexample",
    says=r"\text{FALSE: } V^*(\rho) - V^k(\rho) \le \frac1k \Bigl(\frac{\log M}{\eta} + \frac{1}{(1-\gamma)^2}\Bigr) "
    r"\text{ for the natural gradient over M controllers}",
    where="convergence of the natural actor-critic to a global optimum (abstract seen), in the form of the tabular rate",
    kind="counterexample",
    mode="numeric",
    instances=chosen([Case("two hills, gamma=9/10, uniform law, controllers K_0, K_1, K_1", stationary_hills())]),
    controls=[
        mutant("equal weights of two controllers: beyond the minimum", controllers=(FIRST, SECOND)),
        mutant("one state: a bandit of controllers", one=True),
    ],
    about=[ImproperNaturalActorCritic],
    caveat=f"{FALSE}; the Fisher information only preconditions. The paper may ask for features or errors that exclude it",
)
def natural_counterexample(mdp: Any, *, controllers: Any = (FIRST, SECOND, SECOND), one: bool = False) -> Iterator[Row]:
    """The natural gradient over mixtures need not come near the best one either."""
    if one:
        mdp, controllers = bandit_of_controllers(), ((1, 0), (0, 1), (0, 1))
    yield from false_rate(mdp, controllers, True, natural_bound)


@claim(
    "improper-rl:two-maxima",
    says=r"V(x) = \frac{\gamma}{1-\gamma^2}\Bigl(x^2 + \frac{(1-x)^2}{2}\Bigr) \text{ for weight x of } K_0:\; "
    r"\text{from } x = \tfrac12 \text{ it passes } V(0) = \tfrac{\gamma}{2(1-\gamma^2)},\; "
    r"\text{from } x = \tfrac14 \text{ it never does, and } x \text{ falls}",
    where="derived, see docs",
    kind="separation",
    mode="numeric",
    instances=chosen([Case("two hills, gamma=9/10", two_hills()), Case("two hills, gamma=1/2", two_hills(F(1, 2)))]),
    controls=[
        mutant("the lower start at 1/2 too", low=(FIRST, SECOND)),
        mutant("the upper start at 1/4 too", high=(FIRST, SECOND, SECOND, SECOND)),
        mutant("the weights squared", wrong=SquaredWeights),
    ],
    about=[ImproperPolicyGradient],
)
def two_maxima(
    mdp: Any, *, low: Any = (FIRST, SECOND, SECOND, SECOND), high: Any = (FIRST, SECOND), wrong: Any = None
) -> Iterator[Row]:
    """Which of two local maxima the policy gradient over mixtures climbs depends on its start."""
    judge = Judge(mdp)
    gamma = judge.gamma
    scale = gamma / (1 - gamma**2)
    eta = 2 * (1 - judge.gamma_exact) / 5 if judge.gamma_exact > F(1, 2) else F(1)
    steps = 12
    for start, up in ((low, False), (high, True)):
        solver = ImproperPolicyGradient(eta=eta, controllers=start)
        before: Any = None
        for x in the_run(judge, solver, steps, None if wrong is None else wrong(eta=eta, controllers=start)):
            yield from x.rows
            share = x.w[0]
            value = scale * (share**2 + (1 - share) ** 2 / 2)
            yield equal(value, judge.objective(x.V), f"V at k={x.k}")
            if before is not None:
                yield leq(*((before, share) if up else (share, before)), f"weight at k={x.k}")
            if not up:
                yield leq(value, scale / 2, f"k={x.k}", k=x.k, series="from 1/4")
            elif x.k == steps:
                yield leq(scale / 2, value, f"k={x.k}", k=x.k, series="from 1/2")
            before = share
