r"""Claims about the natural policy gradient.

What :class:`~mdpkit.solvers.policy_gradient.NaturalPolicyGradient` produces is checked against its definition by the judge's
own linear algebra, before any bound: a bound alone lets many wrong updates pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from mdpkit.claims import Row, all_equal, claim, leq, mutant
from mdpkit.claims.cases import discounted, joined, named
from mdpkit.claims.judge import Judge, ball, exp, log, log_sum_exp
from mdpkit.claims.trial import iterates
from mdpkit.solvers.policy_gradient import NaturalPolicyGradient


class Anchorless(NaturalPolicyGradient):
    """A wrong step: from the uniform policy, and not from the last one."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step of another algorithm."""
        return super().step(problem, state._replace(log_pi=0 * state.log_pi), rng)


NPG = NaturalPolicyGradient(eta=Fraction(1, 2))


def the_iterates(
    judge: Judge, solver: NaturalPolicyGradient, n: int, tested: NaturalPolicyGradient | None = None
) -> Iterator[tuple[list[Any], list[Any], list[Row]]]:
    """Policies and values of the tested solver, with the rows that say they follow the update of ``solver``."""
    expected = [-log(len(judge.pairs[s])) for s in judge.state]
    for k, state in enumerate(iterates(judge.mdp, tested or solver, n)):
        pi = [exp(x) for x in state.log_pi]
        V = judge.value(pi)
        yield pi, V, [all_equal(state.log_pi, expected, f"log pi_{k}"), all_equal(state.V, V, f"V_{k}")]
        A = judge.advantage(V)
        step = ball(solver.eta) / (1 - judge.gamma)
        raw = [ball(x) + step * y for x, y in zip(state.log_pi, A, strict=True)]
        norm = [log_sum_exp([raw[j] for j in pairs]) for pairs in judge.pairs]
        expected = [x - norm[s] for x, s in zip(raw, judge.state, strict=True)]


@claim(
    "agarwal2021:npg-rate",
    says=r"V^*(\rho) - V^{\pi_K}(\rho) \le \frac{1}{K}\Bigl(\frac{\log|A|}{\eta} + \frac{1}{(1-\gamma)^2}\Bigr)",
    where="Theorem 16, recalled; rewards in [0, 1], uniform start",
    kind="upper",
    mode="numeric",
    instances=joined(discounted(), named("riverswim?n_states=4&gamma=1/2")),
    controls=[
        mutant("the anchor forgotten: softmax of the advantage", tested=Anchorless(eta=Fraction(1, 2))),
        mutant("no first term", solver=NaturalPolicyGradient(eta=Fraction(1, 100)), first=0, second=0),
        mutant("no second term", solver=NaturalPolicyGradient(eta=Fraction(1000)), second=0),
    ],
    about=[NaturalPolicyGradient],
)
def rate(
    mdp: Any,
    *,
    solver: NaturalPolicyGradient = NPG,
    tested: NaturalPolicyGradient | None = None,
    first: int = 1,
    second: int = 1,
    steps: int = 20,
) -> Iterator[Row]:
    """The natural policy gradient closes in like 1/K, whatever the number of states."""
    judge = Judge(mdp)
    best = judge.objective(judge.optimal)
    actions = max(len(pairs) for pairs in judge.pairs)
    bound = first * log(actions) / ball(solver.eta) + second / (1 - judge.gamma) ** 2
    for k, (_, V, rows) in enumerate(the_iterates(judge, solver, steps, tested)):
        yield from rows
        if k:
            yield leq(best - judge.objective(V), bound / k, f"K={k}", k=k)
