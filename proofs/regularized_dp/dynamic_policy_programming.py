r"""Claims about dynamic policy programming."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from mdpkit.claims import Row, all_equal, claim, leq, mutant
from mdpkit.claims.judge import ball, exp, log, norm
from mdpkit.claims.trial import iterates
from mdpkit.operators.backups import DisturbedBackup
from mdpkit.proofs.regularized_dp.mirror_descent_value_iteration import (
    PLAIN,
    Regularized,
    errors,
    following,
    plus,
    times,
)
from mdpkit.solvers.regularized_dp import DynamicPolicyProgramming, MirrorDescentValueIteration

F = Fraction
NOISE = DisturbedBackup(F(3, 10), seed=3)
SOFT = DynamicPolicyProgramming(eta=F(2, 3), mean="log-sum-exp", backup=NOISE)
MEAN = DynamicPolicyProgramming(eta=F(2, 3), backup=NOISE)


def followed(soft: Regularized, solver: Any, tested: Any, steps: int) -> Iterator[tuple[int, Any, Any, list[Row]]]:
    """``k``, the state before and the state k, with the rows that say that it follows."""
    judge, eta = soft.judge, ball(solver.eta)
    before: Any = None
    for k, state in enumerate(iterates(judge.mdp, tested, steps)):
        if before is None:
            rows = [all_equal(state.preferences, times(1 / eta, soft.start()), "Psi_0")]
        else:
            Psi = [ball(x) for x in before.preferences]
            log_pi = soft.judge.log_softmax(times(eta, Psi))
            boltzmann = solver.mean == "boltzmann"
            V = judge.mean([exp(x) for x in log_pi], Psi) if boltzmann else soft.potential(Psi, 1 / eta)
            kept = [x - V[s] for x, s in zip(Psi, judge.state, strict=True)]
            expected = plus(kept, judge.q(V), errors(solver.backup, judge.L, k))
            rows = [
                all_equal(state.log_pi, log_pi, f"log pi_{k}"),
                all_equal(state.V, V, f"V_{k}"),
                all_equal(state.preferences, expected, f"Psi_{k}"),
            ]
        yield k, before, state, rows
        before = state


@claim(
    "azar2012:is-mirror-descent",
    says=r"\Psi_k = q_k + \lambda \log \pi_k, \; \lambda = 1/\eta, \text{ with the log-sum-exp; with the mean } "
    r"\mathcal{M}\Psi_k = \langle \pi_{k+1}, q_k \rangle - \lambda \mathrm{KL}(\pi_{k+1} \| \pi_k) + \lambda H(\pi_k) "
    r"- \lambda H(\pi_{k+1}), \; q_k = r + \gamma P \mathcal{M} \Psi_{k-1} + \epsilon_k \; (k \ge 1)",
    where="derived, see docs; the first is known from the paper on mirror-descent value iteration (recalled)",
    kind="identity",
    mode="numeric",
    instances=PLAIN,
    controls=[
        mutant("the mean in place of the log-sum-exp", tested=MEAN),
        mutant("mirror descent of the second type", other=MirrorDescentValueIteration(F(3, 2), type=2, backup=NOISE)),
        mutant("the entropies left out", entropies=0),
    ],
    about=[DynamicPolicyProgramming, MirrorDescentValueIteration],
)
def is_mirror_descent(
    mdp: Any,
    *,
    solver: DynamicPolicyProgramming = SOFT,
    tested: DynamicPolicyProgramming | None = None,
    mean: DynamicPolicyProgramming = MEAN,
    other: MirrorDescentValueIteration | None = None,
    entropies: int = 1,
    steps: int = 5,
) -> Iterator[Row]:
    """Dynamic policy programming is mirror-descent value iteration without entropy, in terms of preferences."""
    soft = Regularized(mdp)
    judge = soft.judge
    lambda_ = 1 / ball(solver.eta)
    mirror = other or MirrorDescentValueIteration(lambda_=1 / F(solver.eta), backup=solver.backup)
    for (k, _, state, rows), same in zip(
        followed(soft, solver, tested or solver, steps), iterates(mdp, mirror, steps), strict=True
    ):
        yield from rows
        yield all_equal(state.log_pi, same.log_pi, f"policies at k={k}")
        yield all_equal(state.preferences, plus(same.q, times(lambda_, same.log_pi)), f"preferences at k={k}")
    old = soft.start()
    q = [ball(0)] * judge.L
    for k, _, state, rows in followed(soft, mean, mean, steps):
        yield from rows
        if k:
            V = soft.evaluation(state.log_pi, old, q, lambda_)
            last = times(min(k - 1, 1), soft.entropy(old))  # the preferences of the start hold no entropy
            change = times(entropies * lambda_, plus(last, times(-1, soft.entropy(state.log_pi))))
            yield all_equal(state.V, plus(V, change), f"mean of the preferences at k={k}")
            q = plus(judge.q(state.V), errors(mean.backup, judge.L, k))
            old = [ball(x) for x in state.log_pi]


@claim(
    "azar2012:averaged-errors",
    says=r"\|V^* - V^{\pi_{k+1}}\|_\infty \le \frac{1}{(1-\gamma) k} \Bigl( 2 \bigl\| \textstyle\sum_{j \le k} "
    r"\epsilon_j \bigr\| + 2 \|\Psi_0\| + 2 \gamma \max_s |\mathcal{L} \Psi_k| + \frac{\log |A|}{\eta} \Bigr), \quad "
    r"\mathcal{L} \Psi = \tfrac1\eta \log \textstyle\sum_a e^{\eta \Psi}",
    where="derived, see docs; the paper's Theorems 2 and 5 (recalled) have the horizon squared in the last terms",
    kind="upper",
    mode="numeric",
    instances=PLAIN,
    controls=[
        mutant("the errors left out of the identity", counted=0),
        mutant("the preferences of the start left out", start=0),
        mutant("the mean in place of the logarithm of the sum", sharp=0),
        mutant("the other mean", tested=SOFT),
    ],
    about=[DynamicPolicyProgramming],
    caveat="the bound is loose on random models; the identity that it comes from is checked with it",
)
def averaged_errors(
    mdp: Any,
    *,
    solver: DynamicPolicyProgramming = MEAN,
    tested: DynamicPolicyProgramming | None = None,
    counted: int = 1,
    start: int = 1,
    sharp: int = 1,
    steps: int = 7,
) -> Iterator[Row]:
    """Dynamic policy programming loses the average of its errors, with a linear horizon."""
    soft = Regularized(mdp)
    judge, gamma, eta = soft.judge, soft.judge.gamma, ball(solver.eta)
    actions = max(len(pairs) for pairs in judge.pairs)
    first = times(start / eta, soft.start())
    E = [ball(0)] * judge.L
    for k, before, state, rows in followed(soft, solver, tested or solver, steps):
        yield from rows
        if k > 1:
            # The policy of this state is soft in the preferences before it, which have seen k - 1 errors.
            n = k - 1
            pi = [exp(x) for x in state.log_pi]
            top = soft.potential(before.preferences, 1 / eta) if sharp else judge.mean(pi, before.preferences)
            y = plus(times(counted, E), first, times(-gamma, following(judge, top)), times(-1 / eta, state.log_pi))
            V = judge.value(pi)
            loss = [ball(b) - v for b, v in zip(judge.optimal, V, strict=True)]
            both = zip(judge.value(pi, y), judge.value(judge.optimal_policy, y), strict=True)
            yield all_equal(loss, [(u - v) / n for u, v in both], f"loss of pi_{k}")
            bound = 2 * norm(E) + 2 * norm(first) + 2 * gamma * norm(top) + log(actions) / eta
            yield leq(norm(loss), bound / ((1 - gamma) * n), f"k={k}", k=n)
        if k:
            E = plus(E, errors(solver.backup, judge.L, k))
