r"""Claims about trust region policy optimization: its step, recomputed, and the trust region it fills."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from mdpkit.claims import Rate, Row, all_equal, claim, equal, fact, leq, mutant, point
from mdpkit.claims.cases import bandit, chosen, discounted, joined
from mdpkit.claims.judge import Judge, ball, dot, exp
from mdpkit.claims.trial import iterates
from mdpkit.proofs.policy_gradient.surrogate import gain, relative_entropies
from mdpkit.solvers.policy_gradient import TrustRegionPolicyOptimization


class Timid(TrustRegionPolicyOptimization):
    """A wrong step: without the factor two under the root."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step of half the length in the quadratic model."""
        return TrustRegionPolicyOptimization(Fraction(self.delta) / 2, self.shrink).step(problem, state, rng)


TRPO = TrustRegionPolicyOptimization(Fraction(1, 2), Fraction(2, 3))
# Here the two orders of the relative entropy ask for different steps.
BANDIT = chosen([bandit(0, "1/5", 1)])


@claim(
    "trpo:natural-step",
    says=r"\tfrac12 x^\top F x = \delta, \; x = \sqrt{2\delta / \mathbb{E}_{d,\pi}[A^2]}\, A; \quad "
    r"\mathbb{E}_d \mathrm{KL}(\pi_k \| \pi_{\theta_k + x}) = \delta + O(\delta^{3/2}); \quad "
    r"\mathbb{E}_d \mathrm{KL}(\pi_k \| \pi_{k+1}) \le \delta",
    where="Section 6 and Appendix C, recalled; the tabular direction is kakade2001's; the limit, derived here",
    kind="rate",
    mode="numeric",
    instances=joined(BANDIT, discounted(sizes=((3, 3), (4, 2), (2, 3)), fast=2, full=9)),
    controls=[
        mutant("no factor two under the root", tested=Timid(Fraction(1, 2), Fraction(2, 3))),
        mutant("the divergence at the largest state", worst=True),
        mutant("the initial law for the visits", weights="initial"),
        mutant("the action values for the advantages", values=True),
        mutant("backtracking by a third", shrink=Fraction(1, 3)),
    ],
    about=[TrustRegionPolicyOptimization],
    rate=Rate(-0.5, "at_most", within=0.05),
)
def natural_step(
    mdp: Any,
    *,
    solver: TrustRegionPolicyOptimization = TRPO,
    tested: TrustRegionPolicyOptimization | None = None,
    worst: bool = False,
    weights: str = "visits",
    values: bool = False,
    shrink: Fraction | None = None,
    steps: int = 2,
) -> Iterator[Row]:
    """TRPO takes the longest of its natural gradient steps inside the trust region, which is filled as it shrinks."""
    judge = Judge(mdp)
    factor = ball(shrink or solver.shrink)
    delta = ball(solver.delta)
    expected = judge.log_uniform()
    rejected = 0
    before: Any = None
    pi, log_pi, d, A, last = before, before, before, before, before
    for k, state in enumerate(iterates(mdp, tested or solver, steps)):
        log_pi, at = list(state.log_pi), f"k={k}"
        yield all_equal(log_pi, expected, f"log pi_{k}")
        pi = [exp(x) for x in log_pi]
        V = judge.value(pi)
        yield all_equal(state.V, V, f"V_{k}")
        if k:
            far = relative_entropies(judge, before, pi)
            yield leq(dot(d, far), delta, f"inside the trust region, {at}", k=k, series="divergence")
            yield leq(0, gain(judge, d, A, pi), f"the surrogate rises, {at}")
            # The Fisher information's length of the step that was taken, from the tested logarithms.
            step = [x - y for x, y in zip(log_pi, last, strict=True)]
            mean = judge.mean(before, step)
            square = judge.mean(before, [(x - mean[s]) ** 2 for x, s in zip(step, judge.state, strict=True)])
            if not worst:
                yield equal(dot(d, square) / 2, delta * factor ** (2 * rejected), f"length, {at}")
        q = judge.q(V)
        A = q if values else judge.advantage(V)
        d = judge.occupancy(pi) if weights == "visits" else judge.rho
        scale = (2 * delta / dot(d, judge.mean(pi, [x * x for x in A]))).sqrt()
        rejected = 0
        while True:
            length = scale * factor**rejected
            expected = judge.log_softmax([x + length * y for x, y in zip(log_pi, A, strict=True)])
            far = relative_entropies(judge, pi, [exp(x) for x in expected])
            most = dot([1] * judge.S, far) if worst else dot(d, far)
            if most <= delta or rejected > 60:
                break
            rejected += 1
        before, last = pi, log_pi
    # How much of the trust region the untried step fills, around the last policy.
    for j in range(24, 60, 7):
        small = ball(Fraction(1, 2**j))
        scale = (2 * small / dot(d, judge.mean(pi, [x * x for x in A]))).sqrt()
        new = [exp(x) for x in judge.log_softmax([x + scale * y for x, y in zip(log_pi, A, strict=True)])]
        filled = abs(dot(d, relative_entropies(judge, pi, new)) / small - 1)
        yield fact(filled < 1, f"delta=2^-{j}")
        yield point(2**j, filled, f"delta=2^-{j}")
