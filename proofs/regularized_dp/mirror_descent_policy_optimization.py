r"""Claims about mirror descent policy optimization.

Bounds do not tell it from its neighbors: a step with the divergence the other way round stays monotone and inside the rate.
So the exact step is pinned by what its logarithms add up to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Rate, Row, all_equal, claim, equal, leq, mutant, point
from mdpkit.claims.cases import bandit, chosen, discounted, joined, named
from mdpkit.claims.judge import Judge, ball, exp, log
from mdpkit.claims.trial import iterates
from mdpkit.kernels import softmax
from mdpkit.proofs.regularized_dp.mirror_descent_value_iteration import Regularized, plus, regularized, times
from mdpkit.solvers.regularized_dp import MirrorDescentPolicyOptimization

F = Fraction
K = 6
FALLING = MirrorDescentPolicyOptimization(eta=F(3, 2), decay=K)
EARLY = MirrorDescentPolicyOptimization(eta=F(3, 2), decay=K - 1)
RANDOM = joined(
    discounted(sizes=((2, 3), (3, 2), (2, 2)), gammas=(F(1, 2), F(9, 10)), fast=3, full=9),
    named("puterman-two-state", gamma=F(9, 10)),
)
PAID = joined(
    discounted(sizes=((2, 3), (3, 2), (2, 2)), gammas=(F(1, 2), F(9, 10)), fast=3, full=9),
    named("riverswim?n_states=3&gamma=1/2"),
)


class UniformAnchor(MirrorDescentPolicyOptimization):
    """A wrong step: from the uniform policy, and not from the last one."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step of another algorithm."""
        uniform = self.init(problem).log_pi
        return super().step(problem, state._replace(log_pi=uniform), rng)


class ForwardKL(MirrorDescentPolicyOptimization):
    r"""The step of trust-region methods: the penalty is :math:`\mathrm{KL}(\pi_k \| \pi)`.

    Its policy is :math:`\pi_k / (t (\nu - A))` with the number :math:`\nu > \max A` for which it sums to one.
    """

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """By bisection, in the middles of the balls."""
        from mdpkit.operators.on_policy import OnPolicy

        on = OnPolicy(problem)
        A, t = on.advantage(state.V), 1 / self._penalty(on, state.k + 1)
        log_pi: Any = np.empty(on.n_pairs, dtype=object)
        for s in range(on.n_states):
            pairs = range(int(on.pair_ptr[s]), int(on.pair_ptr[s + 1]))
            p, a = [exp(state.log_pi[j]).mid() for j in pairs], [A[j].mid() for j in pairs]
            low, high = max(a, key=float), max(a, key=float) + 1 / t.mid()
            for _ in range(100):
                nu = ((low + high) / 2).mid()
                mass = sum(x / (t.mid() * (nu - y)) for x, y in zip(p, a, strict=True))
                low, high = (nu, high) if float(mass) > 1 else (low, nu)
            for j, x, y in zip(pairs, p, a, strict=True):
                log_pi[j] = log(x / (t.mid() * (high - y))).mid()
        return self._valued(on, softmax.log_softmax(log_pi, on.pair_ptr), state.k + 1)


def steps_of(solver: Any, n: int) -> list[Any]:
    """The step sizes t_1 to t_n."""
    eta = ball(solver.eta)
    if solver.decay is None:
        return [eta] * n
    return [eta * ball(F(solver.decay - k + 1, solver.decay)) for k in range(1, n + 1)]


def iterated(judge: Judge, tested: Any, n: int) -> Iterator[tuple[int, Any, list[Any], list[Row]]]:
    """``k``, the state, its policy's value by the judge, and the rows for both ends."""
    start = judge.log_uniform()
    for k, state in enumerate(iterates(judge.mdp, tested, n)):
        V = judge.value([exp(x) for x in state.log_pi])
        rows = [all_equal(state.V, V, f"V_{k}")]
        if not k:
            rows.append(all_equal(state.log_pi, start, "log pi_0"))
        yield k, state, V, rows


@claim(
    "mdpo:log-ratio",
    says=r"\log \pi_K(a|s) - \log \pi_0(a|s) - \sum_{k \le K} t_k Q^{\pi_{k-1}}(s,a) \text{ does not depend on } a, \quad "
    r"t_k = \eta (1 - \tfrac{k-1}{K})",
    where="derived, see docs; the closed form and the falling step size as in the paper's Section 4 and its code (recalled)",
    kind="identity",
    mode="numeric",
    instances=RANDOM,
    controls=[
        mutant("KL(pi_k || pi) as in trust-region methods", tested=ForwardKL(eta=F(3, 2), decay=K)),
        mutant("the anchor is the uniform policy", tested=UniformAnchor(eta=F(3, 2), decay=K)),
        mutant("a constant step size", tested=MirrorDescentPolicyOptimization(eta=F(3, 2))),
        mutant("the step size counted to fall one step early", solver=EARLY, tested=FALLING),
        mutant("three inner steps", tested=MirrorDescentPolicyOptimization(eta=F(3, 2), decay=K, inner=3)),
    ],
    about=[MirrorDescentPolicyOptimization],
)
def log_ratio(
    mdp: Any,
    *,
    solver: MirrorDescentPolicyOptimization = FALLING,
    tested: MirrorDescentPolicyOptimization | None = None,
    steps: int = K,
) -> Iterator[Row]:
    """The logarithm of the policy adds up the action values of all policies before, times their step sizes."""
    judge = Judge(mdp)
    t = [*steps_of(solver, min(steps, solver.decay or steps)), *[ball(0)] * steps]
    total = [ball(0)] * judge.L
    first: Any = None
    for k, state, V, rows in iterated(judge, tested or solver, steps):
        yield from rows
        first = state.log_pi if first is None else first
        rest = [ball(x) - y - z for x, y, z in zip(state.log_pi, first, total, strict=True)]
        anchor = [rest[judge.pairs[s][0]] for s in judge.state]
        yield all_equal(rest, anchor, f"log pi_{k}")
        yield all_equal(
            [sum((exp(state.log_pi[j]) for j in pairs), ball(0)) for pairs in judge.pairs], [1], f"pi_{k} sums to 1"
        )
        total = plus(total, times(t[k], judge.q(V)))


@claim(
    "mdpo:improvement",
    says=r"V^{\pi_{k}} - V^{\pi_{k-1}} = (I - \gamma P_{\pi_k})^{-1} \tfrac{1}{t_k} \bigl( \mathrm{KL}(\pi_k \| \pi_{k-1}) "
    r"+ \mathrm{KL}(\pi_{k-1} \| \pi_k) \bigr) \ge 0",
    where="monotonicity: Section 4, recalled; the identity derived, see docs",
    kind="identity",
    mode="numeric",
    instances=RANDOM,
    controls=[
        mutant("one relative entropy only", both=0),
        mutant("KL(pi_k || pi) as in trust-region methods", tested=ForwardKL(eta=F(3, 2), decay=K)),
        mutant("the visits of the policy before", old_visits=True),
        mutant("the step size of the step before", shift=1),
    ],
    about=[MirrorDescentPolicyOptimization],
)
def improvement(
    mdp: Any,
    *,
    solver: MirrorDescentPolicyOptimization = FALLING,
    tested: MirrorDescentPolicyOptimization | None = None,
    both: int = 1,
    old_visits: bool = False,
    shift: int = 0,
    steps: int = K,
) -> Iterator[Row]:
    """Each step improves in every state, by the divergences between its policies over the step size."""
    judge, soft = Judge(mdp), Regularized(mdp)
    t = steps_of(solver, steps)
    before: Any = None
    for k, state, V, rows in iterated(judge, tested or solver, steps):
        yield from rows
        if before is not None:
            old, old_V = before
            forward = soft.relative_entropy(old.log_pi, state.log_pi)
            kl = plus(soft.relative_entropy(state.log_pi, old.log_pi), times(both, forward))
            paid = [kl[s] / t[max(0, k - 1 - shift)] for s in judge.state]
            pi = [exp(x) for x in (old if old_visits else state).log_pi]
            yield all_equal(plus(V, times(-1, old_V)), judge.value(pi, paid), f"improvement of step {k}")
            yield leq(judge.objective(old_V), judge.objective(V), f"step {k} is no worse")
        before = state, V


@claim(
    "mdpo:falling-steps",
    says=r"V^*(\rho) - V^{\pi_K}(\rho) \le \frac{2}{(1-\gamma)(K+1)} \Bigl( \frac{\log |A|}{\eta} + \frac{1}{1-\gamma} \Bigr), "
    r"\quad (1-\gamma) t_k (V^* - V^{\pi_{k-1}})(\rho) = \mathrm{E}_{d^*} [ \mathrm{KL}(\pi^* \| \pi_{k-1}) "
    r"- \mathrm{KL}(\pi^* \| \pi_k) + \mathrm{KL}(\pi_{k-1} \| \pi_k) ]",
    where="derived, see docs, from the three points of mirror descent; the paper cites rates of such methods",
    kind="upper",
    mode="numeric",
    instances=PAID,
    controls=[
        mutant("no first term", solver=MirrorDescentPolicyOptimization(eta=F(1, 100), decay=K), first=0, second=0),
        mutant("the divergence between the policies the other way round", swapped=True),
        mutant("the visits of the last policy", own_visits=True),
        mutant("KL(pi_k || pi) as in trust-region methods", tested=ForwardKL(eta=F(3, 2), decay=K)),
    ],
    about=[MirrorDescentPolicyOptimization],
    domain="rewards in [0, 1], uniform start",
)
def falling_steps(
    mdp: Any,
    *,
    solver: MirrorDescentPolicyOptimization = FALLING,
    tested: MirrorDescentPolicyOptimization | None = None,
    first: int = 1,
    second: int = 1,
    swapped: bool = False,
    own_visits: bool = False,
) -> Iterator[Row]:
    """With a step size that falls linearly to zero the last policy is still one over K from the optimum."""
    judge, soft = Judge(mdp), Regularized(mdp)
    steps = solver.decay or K
    t = steps_of(solver, steps)
    best = judge.optimal_policy
    occupied = judge.occupancy(best)
    actions = max(len(pairs) for pairs in judge.pairs)
    top = judge.objective(judge.optimal)

    def to_best(log_pi: Any) -> list[Any]:
        return [-x for x in judge.mean(best, log_pi)]

    before: Any = None
    spent = ball(0)
    for k, state, V, rows in iterated(judge, tested or solver, steps):
        yield from rows
        if before is not None:
            old, old_V = before
            between = soft.relative_entropy(*((state.log_pi, old.log_pi) if swapped else (old.log_pi, state.log_pi)))
            change = plus(to_best(old.log_pi), times(-1, to_best(state.log_pi)), between)
            weights = judge.occupancy([exp(x) for x in state.log_pi]) if own_visits else occupied
            right = sum((d * x for d, x in zip(weights, change, strict=True)), ball(0))
            left = (1 - judge.gamma) * t[k - 1] * (top - judge.objective(old_V))
            yield equal(left, right, f"three points of step {k}")
            spent += t[k - 1]
            # The same bound after k of the K steps: the sum of the step sizes is what counts.
            bound = (first * log(actions) + second * ball(solver.eta) / (1 - judge.gamma)) / ((1 - judge.gamma) * spent)
            yield leq(top - judge.objective(V), bound, f"k={k}", k=k)
        before = state, V
    yield equal(spent, ball(solver.eta) * ball(F(steps + 1, 2)), "sum of the step sizes")


INNER = MirrorDescentPolicyOptimization(eta=F(1, 2), inner=1, alpha=F(3, 4))


class NoWeights(MirrorDescentPolicyOptimization):
    """A wrong gradient: all states count alike."""

    def _climb(self, on: Any, start: Any, A: Any, penalty: Any, steps: int) -> Any:
        weights = on.spread((1 - on.gamma[0]) * on.visits(np.exp(start)))
        return super()._climb(on, start, A / weights, penalty, steps)


@claim(
    "mdpo:one-inner-step",
    says=r"m = 1: \quad \theta_{k+1} = \theta_k + \alpha (1-\gamma) \nabla_\theta V^{\pi_{\theta_k}}(\rho), \quad "
    r"(1-\gamma) \frac{\partial V^{\pi_\theta}(\rho)}{\partial \theta_{s,a}} = d^{\pi_\theta}(s) "
    r"\pi_\theta(a|s) A^{\pi_\theta}(s,a)",
    where="Section 4 (recalled): one gradient step is the policy gradient; derived, see docs",
    kind="identity",
    mode="numeric",
    instances=joined(
        discounted(sizes=((2, 3), (3, 2)), gammas=(F(1, 2), F(9, 10)), fast=2, full=6, rho="first"),
        named("puterman-two-state", gamma=F(9, 10)),
    ),
    controls=[
        mutant("two inner steps", tested=MirrorDescentPolicyOptimization(eta=F(1, 2), inner=2, alpha=F(3, 4))),
        mutant("all states count alike", tested=NoWeights(eta=F(1, 2), inner=1, alpha=F(3, 4))),
        mutant("the gradient with unnormalized visits", normalized=0),
        mutant("the closed form", tested=MirrorDescentPolicyOptimization(eta=F(1, 2))),
    ],
    about=[MirrorDescentPolicyOptimization],
)
def one_inner_step(
    mdp: Any,
    *,
    solver: MirrorDescentPolicyOptimization = INNER,
    tested: MirrorDescentPolicyOptimization | None = None,
    normalized: int = 1,
    steps: int = 4,
) -> Iterator[Row]:
    """One inner gradient step is a step of the policy gradient, whatever the penalty; a second one sees the penalty."""
    judge, soft = Judge(mdp), Regularized(mdp)
    for m, used in ((1, tested or solver), (2, replace(solver, inner=2))):
        expected = soft.start()
        for k, state, V, rows in iterated(judge, used, steps if m == 1 else 1):
            yield from rows
            yield all_equal(state.log_pi, expected, f"log pi_{k}, m={m}")
            pi = [exp(x) for x in state.log_pi]
            d = judge.occupancy(pi) if normalized else judge.visits(pi)
            A = judge.advantage(V)
            if k == 0:
                gradient = [d[s] * pi[j] * A[j] for j, s in enumerate(judge.state)]
                scale = 1 - judge.gamma if normalized else 1
                yield all_equal([scale * x for x in judge.logit_gradient(pi)], gradient, "derivatives in the logits")
            expected = old = [ball(x) for x in state.log_pi]
            for _ in range(m):
                g = [x - (y - z) / ball(solver.eta) for x, y, z in zip(A, expected, old, strict=True)]
                pi = [exp(x) for x in expected]
                mean = judge.mean(pi, g)
                slope = [d[s] * pi[j] * (g[j] - mean[s]) for j, s in enumerate(judge.state)]
                expected = soft.judge.log_softmax(plus(expected, times(ball(solver.alpha), slope)))


TARGET = math.e / (1 + math.e)
FACTOR = 2 * math.log(1 - 2 * TARGET * (1 - TARGET))


@claim(
    "mdpo:many-inner-steps",
    says=r"\mathrm{KL}(\pi^{(m)} \| \pi_k e^{t A}/Z) \asymp \bigl( 1 - 2 \tfrac{\alpha}{t} p (1-p) \bigr)^{2m} \text{ on a "
    r"bandit with two arms}, \; p \text{ the closed form's probability}",
    where="Section 4: many gradient steps approach the closed form (recalled); the rate derived, see docs",
    kind="rate",
    mode="numeric",
    instances=chosen([bandit(0, 1)]),
    controls=[
        mutant("half the inner step size", alpha=F(1, 2)),
        mutant("the closed form of another step size", target_eta=F(11, 10)),
        mutant("no penalty in the gradient", penalty=F(1, 1000)),
    ],
    rate=Rate(FACTOR, "exactly", within=0.02, scale="geometric"),
    about=[MirrorDescentPolicyOptimization],
)
def many_inner_steps(
    mdp: Any, *, alpha: Any = 1, target_eta: Any = 1, penalty: Any = 1, last: int = 24
) -> Iterator[Row]:
    """Many inner gradient steps approach the closed form, geometrically."""
    judge, soft = Judge(mdp), Regularized(mdp)
    A = judge.advantage(judge.value([exp(x) for x in soft.start()]))
    target = soft.judge.log_softmax(plus(soft.start(), times(ball(target_eta), A)))
    previous: Any = None
    for m in range(8, last + 1, 4):
        solver = MirrorDescentPolicyOptimization(eta=F(1) / F(penalty), inner=m, alpha=alpha)
        state = list(iterates(mdp, solver, 1))[-1]
        yield all_equal(state.V, soft.value(state.log_pi), f"V at m={m}")
        kl = soft.relative_entropy(state.log_pi, target)[0]
        yield point(m, kl)
        if previous is not None:
            yield leq(kl, previous, f"m={m}", k=m)
        previous = kl
        # The gradient steps themselves, on the difference of the two logits.
        x = ball(0)
        for _ in range(m):
            p = 1 / (1 + exp(-x))
            x += 2 * ball(alpha) * p * (1 - p) * (A[1] - A[0] - ball(penalty) * x)
        yield equal(ball(state.log_pi[1]) - state.log_pi[0], x, f"logits at m={m}")


def _climbed(soft: Regularized, c: Fraction) -> Iterator[Row]:
    """One step by two inner steps: the gradient of the off-policy loss in the logits."""
    judge, tau = soft.judge, soft.tau
    solver = MirrorDescentPolicyOptimization(eta=None, coefficient=c, inner=2, alpha=F(3, 2))
    state = list(iterates(judge.mdp, solver, 1))[-1]
    old = soft.start()
    V = soft.value(old)
    d = judge.occupancy([exp(x) for x in old])
    log_pi = old
    for _ in range(2):
        # The loss c log pi + (tau - c) log pi_k - tau log mu - Q, up to constants of the state.
        loss = plus(times(ball(c), log_pi), times(tau - ball(c), old), times(-1, soft.pulled(judge.q(V), tau)))
        pi = [exp(x) for x in log_pi]
        mean = judge.mean(pi, loss)
        slope = [d[s] * pi[j] * (loss[j] - mean[s]) for j, s in enumerate(judge.state)]
        log_pi = soft.judge.log_softmax(plus(log_pi, times(-ball(solver.alpha), slope)))
    yield all_equal(state.log_pi, log_pi, "two inner steps")


def _with_coefficient(c: Any) -> MirrorDescentPolicyOptimization:
    return MirrorDescentPolicyOptimization(eta=None, coefficient=c)


@claim(
    "mdpo:off-policy",
    says=r"\pi_{k+1} \propto \pi_k^{(c-\tau)/c} \mu^{\tau/c} \exp(Q_\tau^{\pi_k}/c); \quad c = \tau: \; \pi_{k+1} \propto \mu "
    r"\exp(Q_\tau^{\pi_k}/\tau), \quad V_\tau^{\pi_{k+1}} - V_\tau^{\pi_k} = (I - \gamma P_{\pi_{k+1}})^{-1} \bigl( c\, "
    r"\mathrm{KL}(\pi_k \| \pi_{k+1}) + (c - \tau) \mathrm{KL}(\pi_{k+1} \| \pi_k) \bigr)",
    where="the loss is that of the paper's code (seen); closed form and improvement derived, see docs",
    kind="identity",
    mode="numeric",
    instances=regularized(fast=3, full=6),
    controls=[
        mutant("the anchor kept at c = tau", anchor=F(1, 2)),
        mutant("the coefficient doubled", factor=2),
        mutant("the divergences of the improvement exchanged", swapped=True),
        mutant("the on-policy form with the same number", on_policy=True),
    ],
    about=[MirrorDescentPolicyOptimization],
)
def off_policy(
    mdp: Any,
    *,
    anchor: Any = None,
    factor: Any = 1,
    swapped: bool = False,
    on_policy: bool = False,
    steps: int = 3,
) -> Iterator[Row]:
    """Off-policy mirror descent goes from a projection on the last policy to soft policy iteration."""
    soft = Regularized(mdp)
    judge, tau = soft.judge, soft.tau
    exact: Any = mdp.criterion
    yield from _climbed(soft, exact.tau_exact * F(7, 2))
    for ratio in (F(1), F(2), F(7, 2)):
        c = exact.tau_exact * ratio
        solver = MirrorDescentPolicyOptimization(eta=c) if on_policy else _with_coefficient(c)
        expected = soft.start()
        before: Any = None
        weight = ball(factor * c)
        for k, state in enumerate(iterates(mdp, solver, steps)):
            V = soft.value(state.log_pi)
            yield all_equal(state.log_pi, expected, f"log pi_{k}, c = {ratio} tau")
            yield all_equal(state.V, V, f"V_{k}, c = {ratio} tau")
            if before is not None:
                old, old_V = before
                there = soft.relative_entropy(old.log_pi, state.log_pi)
                back = soft.relative_entropy(state.log_pi, old.log_pi)
                there, back = (back, there) if swapped else (there, back)
                gain = plus(times(weight, there), times(weight - tau, back))
                paid = [gain[s] for s in judge.state]
                right = judge.value([exp(x) for x in state.log_pi], paid)
                yield all_equal(plus(V, times(-1, old_V)), right, f"improvement of step {k}, c = {ratio} tau")
            before = state, V
            kept = (weight - tau) / weight if anchor is None else ball(anchor)
            pulled = soft.pulled(times(1 / weight, judge.q(V)), tau / weight)
            expected = soft.judge.log_softmax(plus(times(kept, state.log_pi), pulled))
