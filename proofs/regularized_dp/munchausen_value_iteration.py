r"""Claims about Munchausen value iteration."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from mdpkit.claims import Row, all_equal, claim, mutant
from mdpkit.claims.cases import joined
from mdpkit.claims.judge import ball
from mdpkit.claims.trial import iterates
from mdpkit.operators.backups import DisturbedBackup
from mdpkit.proofs.regularized_dp.mirror_descent_value_iteration import (
    PLAIN,
    Regularized,
    errors,
    plus,
    regularized,
    times,
)
from mdpkit.solvers.regularized_dp import MirrorDescentValueIteration, MunchausenValueIteration

F = Fraction
NOISE = DisturbedBackup(F(3, 10), seed=5)
MVI = MunchausenValueIteration(lambda_=F(3, 2), backup=NOISE)


class Unpaid(MunchausenValueIteration):
    """A wrong step: the bonus is paid now, but not taken back in the next state."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step with the bonus of the state before dropped."""
        from mdpkit.operators.on_policy import OnPolicy

        on = OnPolicy(problem)
        return super().step(problem, state._replace(Q=state.Q - on.number(self.lambda_) * state.log_pi), rng)


@claim(
    "vieillard2020:is-mirror-descent",
    says=r"Q_k = q_k^{\text{MD-VI}} + \lambda \log \pi_k, \quad \pi_k = \pi_k^{\text{MD-VI}}, \qquad "
    r"Q_{k+1} = r + \alpha (Q_k - m Q_k) + \gamma P m Q_k + \epsilon_{k+1}, \quad m Q = (\lambda + \tau) \log \textstyle\sum_a "
    r"e^{Q/(\lambda + \tau)}, \quad \alpha = \lambda/(\lambda + \tau)",
    where="Theorem 1, recalled, and derived, see docs; the second form is conservative value iteration",
    kind="identity",
    mode="numeric",
    instances=joined(regularized(fast=2, full=6), PLAIN),
    controls=[
        mutant("the bonus forgotten", tested=Unpaid(lambda_=F(3, 2), backup=NOISE)),
        mutant("mirror descent of the second type", other=MirrorDescentValueIteration(F(3, 2), type=2, backup=NOISE)),
        mutant("alpha one", conservative=1),
        mutant("the bonus with the whole temperature", bonus=2),
    ],
    about=[MunchausenValueIteration, MirrorDescentValueIteration],
)
def is_mirror_descent(
    mdp: Any,
    *,
    solver: MunchausenValueIteration = MVI,
    tested: MunchausenValueIteration | None = None,
    other: MirrorDescentValueIteration | None = None,
    conservative: int = 0,
    bonus: int = 1,
    steps: int = 5,
) -> Iterator[Row]:
    """Munchausen value iteration is mirror-descent value iteration, and conservative value iteration, in other variables."""
    soft = Regularized(mdp)
    judge, lambda_, tau = soft.judge, ball(solver.lambda_), soft.tau
    total = lambda_ + tau
    mirror = other or MirrorDescentValueIteration(lambda_=solver.lambda_, backup=solver.backup)
    before: Any = None
    for k, (state, same) in enumerate(
        zip(iterates(mdp, tested or solver, steps), iterates(mdp, mirror, steps), strict=True)
    ):
        yield all_equal(state.log_pi, same.log_pi, f"policies at k={k}")
        yield all_equal(state.Q, plus(same.q, times(bonus * lambda_, state.log_pi)), f"Q_{k}")
        if before is None:
            yield all_equal(state.log_pi, soft.start(), "log pi_0")
        else:
            alpha = ball(1) if conservative else lambda_ / total
            Q = [ball(x) for x in before.Q]
            pulled = soft.pulled(Q, tau)
            m = soft.soft_maximum(pulled, total)
            yield all_equal(state.log_pi, soft.judge.log_softmax([x / total for x in pulled]), f"log pi_{k}")
            kept = [alpha * (x - m[s]) for x, s in zip(pulled, judge.state, strict=True)]
            e = errors(solver.backup, judge.L, k)
            yield all_equal(state.Q, plus(judge.q(m), kept, e), f"Q_{k} as conservative value iteration")
        before = state
