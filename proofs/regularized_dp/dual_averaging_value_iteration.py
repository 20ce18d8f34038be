r"""Claims about dual-averaging value iteration: that it is mirror descent, and what it loses with entropy."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from mdpkit.claims import Row, all_equal, all_leq, claim, leq, mutant
from mdpkit.claims.cases import joined
from mdpkit.claims.judge import ball, exp, norm
from mdpkit.claims.trial import iterates
from mdpkit.operators.backups import DisturbedBackup
from mdpkit.proofs.regularized_dp.mirror_descent_value_iteration import (
    PLAIN,
    Regularized,
    errors,
    following,
    plus,
    regularized,
    times,
)
from mdpkit.solvers.regularized_dp import DualAveragingValueIteration, MirrorDescentValueIteration

F = Fraction
NOISE = DisturbedBackup(F(3, 10), seed=11)
DAVI = DualAveragingValueIteration(lambda_=F(3, 2), backup=NOISE)
LOUD = DualAveragingValueIteration(lambda_=F(1, 2), backup=DisturbedBackup(F(5), seed=11))
SLOW = DualAveragingValueIteration(lambda_=8, backup=NOISE)


class LastOnly(DualAveragingValueIteration):
    """A wrong average: the last action values alone."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step that forgets."""
        return super().step(problem, state._replace(h=state.q), rng)


def averages(
    soft: Regularized, solver: Any, tested: Any, steps: int
) -> Iterator[tuple[int, Any, list[Any], list[Row]]]:
    """``k``, the state, the average of the judge before it, and the rows that say that the state follows from its last."""
    judge, lambda_, tau = soft.judge, ball(solver.lambda_), soft.tau
    with_entropy = bool(tau > 0)
    before: Any = None
    old = soft.start()
    for k, state in enumerate(iterates(judge.mdp, tested, steps)):
        if before is None:
            yield (
                k,
                state,
                [ball(0)] * judge.L,
                [all_equal(state.log_pi, old, "log pi_0"), all_equal(state.h, [0], "h_0")],
            )
        else:
            h = [ball(x) for x in before.h]
            scale = tau if with_entropy else lambda_
            log_pi = soft.judge.log_softmax([x / scale for x in soft.pulled(times(1 if with_entropy else k, h), scale)])
            V = soft.evaluation(log_pi, old, before.q, lambda_)
            q = plus(judge.q(V), errors(solver.backup, judge.L, k))
            if with_entropy:
                new = [(lambda_ * x + tau * y) / (lambda_ + tau) for x, y in zip(h, q, strict=True)]
            else:
                new = [(k * x + y) / (k + 1) for x, y in zip(h, q, strict=True)]
            rows = [
                all_equal(state.log_pi, log_pi, f"log pi_{k}"),
                all_equal(state.V, V, f"V_{k}"),
                all_equal(state.q, q, f"q_{k}"),
                all_equal(state.h, new, f"h_{k}"),
            ]
            yield k, state, h, rows
            old = log_pi
        before = state


@claim(
    "md-vi:dual-averaging",
    says=r"\pi_k^{\text{MD-VI}} = \pi_k^{\text{DA-VI}}, \quad q_k^{\text{MD-VI}} = q_k^{\text{DA-VI}} \text{ for all } k",
    where="Section 3 (recalled); derived, see docs",
    kind="identity",
    mode="numeric",
    instances=joined(regularized(fast=2, full=6), PLAIN),
    controls=[
        mutant("the last action values in place of their average", tested=LastOnly(lambda_=F(3, 2), backup=NOISE)),
        mutant("mirror descent of the second type", other=MirrorDescentValueIteration(F(3, 2), type=2, backup=NOISE)),
        mutant("mirror descent with half the penalty", other=MirrorDescentValueIteration(F(3, 4), backup=NOISE)),
    ],
    about=[DualAveragingValueIteration, MirrorDescentValueIteration],
)
def dual_averaging(
    mdp: Any,
    *,
    solver: DualAveragingValueIteration = DAVI,
    tested: DualAveragingValueIteration | None = None,
    other: MirrorDescentValueIteration | None = None,
    steps: int = 5,
) -> Iterator[Row]:
    """Mirror-descent and dual-averaging value iteration have the same policies and action values."""
    soft = Regularized(mdp)
    mirror = other or MirrorDescentValueIteration(lambda_=solver.lambda_, backup=solver.backup)
    pairs = zip(averages(soft, solver, tested or solver, steps), iterates(mdp, mirror, steps), strict=True)
    for (k, state, _, rows), same in pairs:
        yield from rows
        yield all_equal(state.log_pi, same.log_pi, f"policies at k={k}")
        yield all_equal(state.q, same.q, f"action values at k={k}")


@claim(
    "md-vi:regularized-loss",
    says=r"\|q^*_\tau - q^\tau_{\pi_{k+1}}\| \le \frac{2\gamma}{1-\gamma} \|h_k - q^*_\tau\| \le "
    r"\frac{2\gamma}{1-\gamma} \Bigl( \gamma^k \|h_0 - q^*_\tau\| + \sum_{j=1}^{k} \gamma^{k-j} \|E_j + \beta^j D_0\| "
    r"\Bigr), \quad V^*_\tau - V^\tau_\pi = (I - \gamma P_\pi)^{-1} \tau \mathrm{KL}(\pi \| \pi^*_\tau)",
    where="Theorem 2 (shape seen); this form derived, see docs",
    kind="upper",
    mode="numeric",
    instances=regularized(),
    controls=[
        mutant("the start forgotten", start=0),
        mutant("the errors left out", counted=0, solver=LOUD),
        mutant("KL arguments swapped in the loss", swapped=True),
        mutant("the plain value in place of the soft one", tau_factor=0),
    ],
    about=[DualAveragingValueIteration],
    caveat="the constant 2 gamma/(1 - gamma) is not attained: near the optimum the loss is quadratic in h - q*",
)
def regularized_loss(
    mdp: Any,
    *,
    solver: DualAveragingValueIteration = SLOW,
    start: int = 1,
    counted: int = 1,
    swapped: bool = False,
    tau_factor: int = 1,
    steps: int = 6,
) -> Iterator[Row]:
    """With entropy the loss is that of an average which contracts by the discount, but for averaged errors."""
    soft = Regularized(mdp)
    judge, tau, gamma, lambda_ = soft.judge, soft.tau, soft.judge.gamma, ball(solver.lambda_)
    beta = lambda_ / (lambda_ + tau)
    best_V = judge.soft_optimal(tau, soft.log_reference)
    best = judge.q(best_V)
    log_best = [x / tau - best_V[s] / tau for x, s in zip(soft.pulled(best, tau), judge.state, strict=True)]
    E = [ball(0)] * judge.L
    defect = plus(times(-1, judge.r), times(-gamma, following(judge, soft.potential(E, tau))))
    bound: Any = None
    for k, state, h, rows in averages(soft, solver, solver, steps):
        yield from rows
        if not k:
            continue
        # h is h_{k-1}, in which the policy of this state is soft.
        apart = norm(plus(h, times(-1, best)))
        if bound is None:
            bound = apart
        else:
            yield leq(apart, bound, f"h_{k - 1}", k=k, series="distance of h")
        V = soft.value(state.log_pi)
        loss = plus(best_V, times(-1, V))
        kl = soft.relative_entropy(*((log_best, state.log_pi) if swapped else (state.log_pi, log_best)))
        paid = times(tau * tau_factor, kl)
        spread = [paid[s] for s in judge.state]
        yield all_equal(loss, judge.value([exp(x) for x in state.log_pi], spread), f"loss of pi_{k}")
        yield all_leq(paid, apart**2 / (2 * tau), f"relative entropy at k={k}")
        q_loss = plus(best, times(-1, judge.q(V)))
        yield leq(norm(q_loss), 2 * gamma / (1 - gamma) * apart, f"k={k}", k=k, series="loss")
        E = plus(times(beta, E), times(1 - beta, errors(solver.backup, judge.L, k)))
        bound = gamma * bound + norm(plus(times(counted, E), times(start * beta**k, defect)))
