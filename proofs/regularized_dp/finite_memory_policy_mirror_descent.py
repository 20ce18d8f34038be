r"""Claims about policy mirror descent with finite memory (StaQ).

The paper's convergence theorem asks for a memory above a threshold (recalled). What is checked instead is sharper and holds for
every memory, because the corrected weights sum to one: near the optimum the next error is at most quadratic in the last M.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Case, Rate, Row, all_equal, all_leq, claim, equal, leq, mutant, point
from mdpkit.claims.cases import bandit, chosen, named
from mdpkit.claims.judge import ball, norm
from mdpkit.claims.trial import iterates
from mdpkit.models.criterion import EntropyRegularized
from mdpkit.operators.backups import ActionValues
from mdpkit.proofs.regularized_dp.mirror_descent_value_iteration import Regularized, plus, regularized, times
from mdpkit.solvers.regularized_dp import FiniteMemoryPolicyMirrorDescent

F = Fraction
StaQ = FiniteMemoryPolicyMirrorDescent


class Shuffled(FiniteMemoryPolicyMirrorDescent):
    """A wrong memory: the oldest action values weigh most."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step with the memory turned round."""
        return super().step(problem, state._replace(memory=state.memory[::-1]), rng)


class PlainValues(FiniteMemoryPolicyMirrorDescent):
    """A wrong evaluation: without the entropy."""

    def _valued(self, on: Any, logits: Any, memory: Any, k: int, draws: int) -> Any:
        state = super()._valued(on, logits, memory, k, draws)
        return state._replace(V=on.value(np.exp(state.log_pi)))


def weights(soft: Regularized, solver: Any) -> tuple[Any, Any, list[Any]]:
    """beta, 1/(lambda + tau), and the weights of the remembered action values over tau: they sum to one if corrected."""
    lambda_, tau = ball(solver.lambda_), soft.tau
    beta = lambda_ / (lambda_ + tau)
    M = solver.memory or 1
    scale = (1 - beta) / (1 - beta**M) if solver.corrected else 1 - beta
    return beta, 1 / (lambda_ + tau), [scale * beta**i for i in range(M)]


def followed(soft: Regularized, solver: Any, tested: Any, n: int) -> Iterator[tuple[int, Any, list[Any], list[Row]]]:
    """``k``, the state, the action values of its policy, and the rows that say how it follows from the ones before."""
    judge, tau = soft.judge, soft.tau
    beta, alpha, w = weights(soft, solver)
    seen: list[list[Any]] = []
    logits = [ball(0)] * judge.L
    for k, state in enumerate(iterates(judge.mdp, tested, n)):
        log_pi = soft.judge.log_softmax(soft.pulled(logits, ball(1)))
        V = soft.value(log_pi)
        yield (
            k,
            state,
            judge.q(V),
            [
                all_equal(state.logits, logits, f"xi_{k}"),
                all_equal(state.log_pi, log_pi, f"log pi_{k}"),
                all_equal(state.V, V, f"V_{k}"),
            ],
        )
        seen.insert(0, judge.q(V))
        if solver.memory is None:
            logits = plus(times(beta, logits), times(alpha, seen[0]))
        else:
            logits = plus([ball(0)] * judge.L, *(times(x / tau, q) for x, q in zip(w, seen, strict=False)))


THREE = StaQ(lambda_=F(1, 2), memory=3)


@claim(
    "staq:two-forms",
    says=r"\xi_{k+1} = \beta \xi_k + \tfrac{1}{\lambda+\tau} \Bigl( Q^k + \frac{\beta^M}{1-\beta^M} (Q^k - Q^{k-M}) \Bigr) "
    r"= \frac{1}{(\lambda+\tau)(1-\beta^M)} \sum_{i<M} \beta^i Q^{k-i}; \quad M = 1: \xi_{k+1} = Q^k/\tau",
    where="the corrected update, recalled and seen in reviews of the paper; the equivalence checked here",
    kind="identity",
    mode="numeric",
    instances=regularized(fast=2, full=6),
    controls=[
        mutant("the factor of the correction left out", corrected=0),
        mutant("the oldest action values weigh most", fault=Shuffled),
        mutant("the action values of the last policies without entropy", fault=PlainValues),
        mutant("the memory one shorter", memory_off=-1),
    ],
    about=[StaQ],
)
def two_forms(
    mdp: Any, *, corrected: int = 1, fault: type[StaQ] = StaQ, memory_off: int = 0, steps: int = 5
) -> Iterator[Row]:
    """The corrected finite memory is a recursion; with one action value it is soft policy iteration."""
    soft = Regularized(mdp)
    zero = [ball(0)] * soft.judge.L
    for memory in (1, 3, None):
        solver = StaQ(lambda_=F(1, 2), memory=memory)
        tested = fault(lambda_=F(1, 2), memory=memory and max(1, memory + memory_off))
        beta, alpha, _ = weights(soft, solver)
        share = corrected * beta**memory / (1 - beta**memory) if memory else ball(0)
        seen: list[list[Any]] = []
        xi = zero
        for k, state, Q, rows in followed(soft, solver, tested, steps if memory != 1 else 2):
            yield from rows
            yield all_equal(state.logits, xi, f"recursion of xi_{k}, M={memory}")
            old = seen[memory - 1] if memory and len(seen) >= memory else zero
            seen.insert(0, Q)
            xi = plus(times(beta, xi), times(alpha * (1 + share), Q), times(-alpha * share, old))
            if memory == 1:
                xi = times(1 / soft.tau, Q)


def _near(memory: int | None, **options: Any) -> StaQ:
    return StaQ(lambda_=F(1, 2), memory=memory, **options)


@claim(
    "staq:squared-errors",
    says=r"0 \le Q^*_\tau - \tau \xi_{k+1} \le \frac{\gamma}{2 \tau (1-\gamma)} \sum_{i<M} w_i \|\tau \xi_{k-i} "
    r"- Q^*_\tau\|^2, \quad w_i = \frac{(1-\beta)\beta^i}{1-\beta^M}, \; k \ge M - 1",
    where="derived, see docs; the paper has geometric convergence for a memory above a threshold (recalled)",
    kind="upper",
    mode="numeric",
    instances=regularized(fast=2, full=6),
    controls=[
        mutant("the vanilla truncation", corrected=False),
        mutant("infinite memory", memory=None),
        mutant("errors to the third power", power=3),
    ],
    about=[StaQ],
    caveat="it gives convergence from where the error is below 2 tau (1 - gamma)/gamma; farther off it says nothing",
)
def squared_errors(
    mdp: Any, *, memory: int | None = 3, corrected: bool = True, power: int = 2, steps: int = 9
) -> Iterator[Row]:
    """With corrected weights the error of the logits is at most quadratic in the last M errors, for every memory."""
    soft = Regularized(mdp)
    judge, tau = soft.judge, soft.tau
    solver = StaQ(lambda_=F(1, 2), memory=memory, corrected=corrected)
    _, _, w = weights(soft, StaQ(lambda_=F(1, 2), memory=3))
    best = judge.q(judge.soft_optimal(tau, soft.log_reference))
    constant = judge.gamma / (2 * tau * (1 - judge.gamma))
    errors: list[Any] = []
    for k, state, Q, rows in followed(soft, solver, solver, steps):
        yield from rows
        apart = plus(best, times(-tau, state.logits))
        if len(errors) >= 3 and float(errors[0]) > 1e-8:
            bound = constant * sum((x * e**power for x, e in zip(w, errors, strict=False)), ball(0))
            yield all_leq(apart, bound, f"k={k}", k=k)
            yield leq(sum(Q, ball(0)), sum(best, ball(0)), f"Q_{k} is below the optimum")
            yield leq(0, sum(apart, ball(0)), f"xi_{k} is below the optimum")
        errors.insert(0, norm(apart))


def _bandits() -> Iterator[Case]:
    for r, tau in (((F(1, 5), F(1, 2), F(9, 10)), F(1, 2)), ((F(0), F(1)), F(1, 10))):
        name, mdp = bandit(*r, gamma=F(9, 10))
        yield Case(f"{name}, tau={tau}", mdp.under(EntropyRegularized(F(9, 10), tau)))


@claim(
    "staq:vanilla-temperature",
    says=r"\text{on a bandit, from step } M \text{ on: } \pi_k = \mathrm{softmax}\bigl( (1 - \beta^M) r/\tau \bigr) "
    r"\text{ without the correction, and } \mathrm{softmax}(r/\tau) \text{ with it}",
    where="derived, see docs",
    kind="identity",
    mode="numeric",
    instances=chosen(_bandits),
    controls=[
        mutant("the corrected weights", corrected=True),
        mutant("the temperature of one more", off=1),
        mutant("the problem's own temperature", off=1000),
    ],
    about=[StaQ],
)
def vanilla_temperature(mdp: Any, *, corrected: bool = False, off: int = 0) -> Iterator[Row]:
    """Without the correction the policy has the temperature tau/(1 - beta^M)."""
    soft = Regularized(mdp)
    tau, r = soft.tau, soft.judge.r
    for memory in (1, 2, 4):
        plain = _near(memory, corrected=corrected)
        beta, _, _ = weights(soft, plain)
        for k, state, _, rows in followed(soft, plain, plain, memory + 2):
            yield from rows
            if k >= memory:
                expected = soft.judge.log_softmax(times((1 - beta ** (memory + off)) / tau, r))
                yield all_equal(state.log_pi, expected, f"log pi_{k}, M={memory}")
        for k, state, _, rows in followed(soft, _near(memory), _near(memory), memory + 2):
            yield from rows
            if k >= memory:
                yield all_equal(
                    state.log_pi, soft.judge.log_softmax(times(1 / tau, r)), f"corrected log pi_{k}, M={memory}"
                )


@claim(
    "staq:vanilla-misses",
    says=r"\text{false: the vanilla truncation } \xi_{k+1} = \tfrac{1}{\lambda+\tau} \textstyle\sum_{i<M} \beta^i Q^{k-i} "
    r"\text{ has } \|Q^*_\tau - Q^k\| \le 2^{-k} \|Q^*_\tau - Q^0\| \text{ for } k = 20, 30",
    where="the paper's reason for the correction (recalled)",
    kind="counterexample",
    mode="numeric",
    instances=chosen([*named("garnet?S=4&A=3&branching=2&gamma=9/10&seed=1")("fast", None)]),
    controls=[mutant("the corrected weights", corrected=True), mutant("infinite memory", memory=None)],
    about=[StaQ],
)
def vanilla_misses(mdp: Any, *, corrected: bool = False, memory: int | None = 5) -> Iterator[Row]:
    """Without the correction the soft optimum is missed."""
    soft = Regularized(mdp.under(EntropyRegularized(F(9, 10), F(1, 10))))
    judge = soft.judge
    best = judge.q(judge.soft_optimal(soft.tau))
    solver = StaQ(lambda_=F(1, 5), memory=memory, corrected=corrected)
    first: Any = None
    for k, state in enumerate(iterates(judge.mdp, solver, 30)):
        if k in (0, 20, 30):
            apart = norm(plus(best, times(-1, judge.q(soft.value(state.log_pi)))))
            if first is None:
                first = apart
                continue
            yield leq(apart, first * ball(2) ** -k, f"k={k}", k=k)


BETA = F(1, 2)
QUARTER = F(1, 4)


def _same_beta() -> Iterator[Case]:
    for gamma in (F(1, 2), F(9, 10)):
        source = f"garnet?S=2&A=3&branching=2&gamma={gamma}&seed=4"
        mdp = next(iter(named(source)("fast", None))).problem
        yield Case(f"{source}, tau=1/4", mdp.under(EntropyRegularized(gamma, F(1, 4))))


@claim(
    "staq:rates",
    says=r"\|\xi_k - Q^*_\tau/\tau\|_{\text{up to constants}} \asymp \beta^k, \qquad \|Q^*_\tau - Q^k\| \asymp \beta^{2k} "
    r"\qquad (M = \infty, \text{ whatever } \gamma)",
    where="derived, see docs; the paper's rate beta + gamma (1 - beta) (recalled) is an upper bound only",
    kind="rate",
    mode="numeric",
    instances=chosen(_same_beta),
    controls=[
        mutant("a KL weight with beta = 11/20", lambda_=F(11, 36)),
        mutant("the two rates exchanged", exchanged=True),
        mutant("the action values of the last policies without entropy", fault=PlainValues),
    ],
    rate=[
        Rate(math.log(BETA), "exactly", within=0.01, scale="geometric", series="logits"),
        Rate(2 * math.log(BETA), "exactly", within=0.02, scale="geometric", series="action values"),
    ],
    about=[StaQ],
)
def rates(
    mdp: Any, *, lambda_: Any = QUARTER, exchanged: bool = False, fault: type[StaQ] = StaQ, steps: int = 22
) -> Iterator[Row]:
    """Entropic mirror descent contracts the logits by beta and the action values by beta squared, whatever the discount."""
    soft = Regularized(mdp)
    judge, tau = soft.judge, soft.tau
    best = judge.q(judge.soft_optimal(tau))
    solver, tested = StaQ(lambda_=lambda_), fault(lambda_=lambda_)
    names = ("action values", "logits") if exchanged else ("logits", "action values")
    first: Any = None
    bound = (ball(lambda_) + judge.gamma * tau) / (ball(lambda_) + tau)
    for k, state, Q, rows in followed(soft, solver, tested, steps):
        yield from rows if k < 5 else ()
        apart = plus(times(1 / tau, best), times(-1, state.logits))
        # Constants of a state do not change the policy.
        spread = [x - y for x, y in zip(apart, [apart[judge.pairs[s][0]] for s in judge.state], strict=True)]
        lost = norm(plus(best, times(-1, Q)))
        first = lost if first is None else first
        if k >= 10 and k % 3 == 1:
            yield point(k, norm(spread), series=names[0])
            yield point(k, lost, series=names[1])
        if k and k % 6 == 0:
            yield leq(lost, bound**k * first, f"the paper's rate at k={k}")


@dataclass(frozen=True)
class Impulse:
    """One unit error in the n-th backup of the first pair."""

    at: int

    def __call__(self, on: Any, V: Any, k: int, rng: Any = None) -> ActionValues:
        """The exact backup, with the error when it is time."""
        e = np.zeros(on.n_pairs)
        e[0] = float(k == self.at)
        return ActionValues(on.q(V) + on.number(e))

    def gap(self, on: Any, V: Any, q: Any) -> float:
        """Unknown."""
        return math.inf


@claim(
    "staq:noise",
    says=r"\xi_k = \ldots + \tfrac1\tau \sum_{i<M} w_i \epsilon_{k-i}, \quad \sum_{i<M} w_i^2 = "
    r"\frac{(1-\beta)(1+\beta^M)}{(1+\beta)(1-\beta^M)}",
    where="derived, see docs",
    kind="identity",
    mode="numeric",
    instances=chosen(_bandits),
    controls=[
        mutant("the squares of vanilla weights", corrected=False),
        mutant("the variance of infinite memory", memory_factor=0),
        mutant("the plain sum of the weights", power=1),
    ],
    about=[StaQ],
    caveat="on bandits, where action values do not depend on the policy but by a constant of the state",
)
def noise(mdp: Any, *, corrected: bool = True, memory_factor: int = 1, power: int = 2) -> Iterator[Row]:
    """Independent errors of the action values enter the logits with less variance the longer the memory."""
    soft = Regularized(mdp)
    tau = soft.tau
    for memory in (1, 2, 5):
        solver = _near(memory, corrected=corrected)
        beta, _, w = weights(soft, _near(memory))
        at, total = memory + 1, ball(0)
        clean = list(iterates(mdp, solver, at + memory))
        dirty = list(iterates(mdp, replace(solver, backup=Impulse(at)), at + memory))
        for k in range(at, at + memory + 1):
            # Differences between actions: the value of the state moves all of them.
            moved = [ball(x) - y for x, y in zip(dirty[k].logits, clean[k].logits, strict=True)]
            answer = moved[0] - moved[1]
            yield equal(
                answer,
                w[k - at] / tau if k < at + memory else ball(0),
                f"answer to an error {k - at} steps ago, M={memory}",
            )
            total += (tau * answer) * (tau * answer if power == 2 else 1)
        right = (1 - beta) * (1 + memory_factor * beta**memory) / ((1 + beta) * (1 - memory_factor * beta**memory))
        yield equal(total, right, f"variance factor, M={memory}")
        yield all_equal(clean[0].log_pi, soft.start(), "log pi_0")
        yield all_equal(
            clean[-1].log_pi, soft.judge.log_softmax(times(1 / tau, soft.judge.r)), f"pi is soft in r, M={memory}"
        )
        yield all_equal(clean[-1].V, soft.value(clean[-1].log_pi), f"V, M={memory}")
