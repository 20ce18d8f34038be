r"""Claims of <your paper>: copy to proofs/<family>/<mechanism>.py and replace what is said about value iteration."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, claim, leq, mutant
from mdpkit.claims.cases import discounted, joined, named
from mdpkit.claims.judge import Judge
from mdpkit.claims.trial import call, pose
from mdpkit.operators.on_policy import OnPolicy


@claim(
    "puterman1994:template",
    says=r"\|V_k - V^*\|_\infty \le \gamma^k \|V_0 - V^*\|_\infty, \qquad V_{k+1} = T V_k, \; V_0 = 0",
    where="Theorem 6.3.1, recalled",  # or: Theorem 2 of arXiv 2003.14089, seen
    kind="upper",  # upper, lower, tight, identity, rate, monotone, separation, counterexample
    mode="exact",  # symbolic, exact (rationals), numeric (balls, or floats with a derived rounding bound), statistical
    instances=joined(discounted(), named("riverswim?n_states=4&gamma=9/10")),
    controls=[mutant("the modulus is gamma squared", power=2)],
)
def geometric(mdp: Any, *, power: int = 1, steps: int = 10) -> Iterator[Row]:
    """Backups close in on the optimal value by the discount factor."""
    judge = Judge(mdp)  # exact values, by its own code
    problem, _ = pose(mdp, None, "rational")  # the problem as the code under test sees it
    on = OnPolicy(problem)
    gamma, best = judge.gamma_exact, judge.optimal
    V = [Fraction(0)] * judge.S
    for k in range(steps + 1):
        error = max(abs(x - y) for x, y in zip(V, best, strict=True))
        yield leq(error, gamma ** (power * k) * max(map(abs, best)), f"k={k}", k=k)
        q = call(on.q, np.array(V, dtype=object))  # the code under test
        after = [max(q[j] for j in pairs) for pairs in judge.pairs]
        yield all_equal(after, judge.backup_exact(V), f"V_{k + 1}")  # the iterates are those of the update
        V = after
