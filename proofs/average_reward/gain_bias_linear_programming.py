r"""Claims about the linear programs of gain and bias.

HiGHS promises that no constraint, and no dual one, is violated by more than :math:`\tau = 10^{-10}`, after rewards
were divided by their largest absolute value m >= 1. With exact optimal (g, h') of the primal and (x*, y*) of the
dual, weak duality gives for an x, y that misses its balances by :math:`\tau` and may be as low as :math:`-\tau`

.. math:: r x \le \alpha g + \tau \Big( \sum |g| + \sum |h'| + \sum_{s,a} \text{slack} \Big),

and for the other side, of a basis, whose value is that of a primal point that misses its constraints by :math:`\tau
m`, :math:`r x \ge \alpha g - \tau m (\sum x^* + \sum y^*)`. These are the allowances, twice over for HiGHS's own
roundings. The policy and its gain are judged exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Row, all_equal, all_leq, claim, leq, mutant
from mdpkit.claims.exact import Exact, exactly, solve
from mdpkit.claims.rounding import all_near, gain_errors
from mdpkit.claims.trial import answer
from mdpkit.proofs.average_reward.multichain_policy_iteration import CASES
from mdpkit.solver import Answer
from mdpkit.solvers.average_reward import GainBiasLinearProgramming

F = Fraction
TAU = F(1, 10**10)


class Uniform(GainBiasLinearProgramming):
    """The law that is started from in place of long-run frequencies."""

    def run(self, problem: Any, rng: Any = None) -> Answer:
        """The answer with a dual that is one on all pairs, over their number."""
        out = super().run(problem, rng)
        assert out.dual is not None
        return out._replace(dual=np.full_like(out.dual, 1 / len(out.dual)))


def feasible(exact: Exact, g: Sequence[Any], h: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """h plus the least multiple of g, with a little more, for which both constraints hold; and the slacks of the second."""
    most = F(0)
    for k in range(exact.L):
        s = exact.state[k]
        fall = g[s] - exact.row(k, g)
        lack = exact.r[k] + exact.row(k, h) - g[s] - h[s]
        if fall > 0 and lack > 0:
            most = max(most, lack / fall)
    h = [x + most * y for x, y in zip(h, g, strict=True)]
    return h, [g[exact.state[k]] + h[exact.state[k]] - exact.r[k] - exact.row(k, h) for k in range(exact.L)]


def dual_mass(exact: Exact, choice: Sequence[int]) -> Fraction:
    """The sum of exact optimal x* and y* of a policy: frequencies, and the deviation from them made nonnegative."""
    S, limit = exact.S, exact.limit(choice)
    alpha = [F(1, S)] * S
    x = [sum((alpha[s] * limit[s][t] for s in range(S)), F(0)) for t in range(S)]
    A = [
        [F(int(s == t)) - exact.P[int(choice[s])].get(t, F(0)) + limit[s][t] for s in range(S)] for t in range(S)
    ]  # transposed
    y = solve(A, [a - b for a, b in zip(alpha, x, strict=True)])[0]
    factor = max([F(0), *(-v / w for v, w in zip(y, x, strict=True) if w > 0)])
    return 1 + sum((v + factor * w for v, w in zip(y, x, strict=True)), F(0))


@claim(
    "denardo1968:multichain-program",
    says=r"g^* = \min \{ g : g \ge Pg,\ g + h \ge r + Ph \} \text{ in every state, and its dual has the same value}",
    where="recalled; proved, see docs",
    kind="identity",
    mode="numeric",
    instances=CASES,
    controls=[
        mutant("the initial law for the long-run frequencies", tested=Uniform()),
        mutant("the discounted balance, at 9/10", leak=F(9, 10)),
        mutant("the gain of the best state everywhere", best=True),
        mutant("the second constraint without the gain", second=0),
    ],
    survivors={"argmin for argmax": "Howard's improvement, which follows for the bias, mends the policy"},
    about=[GainBiasLinearProgramming],
    caveat="up to the tolerances that HiGHS promises; the policy is optimal exactly",
)
def program(
    mdp: Any, *, tested: Any = None, leak: Fraction = Fraction(1), best: bool = False, second: int = 1
) -> Iterator[Row]:
    """The multichain programs have the optimal gain as their value, and the policy of the dual attains it everywhere."""
    exact = Exact.of(mdp)
    star = exact.optimal
    scale = max(F(1), *map(abs, exact.r))
    for form in ("primal", "dual"):
        found = answer(mdp, replace(tested or GainBiasLinearProgramming(), form=form))
        choice = list(exact.exit(found.choice))
        g, h = exact.gain_and_bias(choice)
        yield all_equal(g, [max(star)] * exact.S if best else star, f"{form}: the policy has the largest gain")
        yield all_near(found.V, h, gain_errors(exact, choice)[1], f"{form}: its bias")
        lifted, slack = feasible(exact, g, h)
        if not second:
            slack = [x - g[exact.state[k]] for k, x in enumerate(slack)]
        yield leq(-min(slack), 0, f"{form}: gain and bias are feasible")
        yield leq(
            max(exact.row(k, g) - g[exact.state[k]] for k in range(exact.L)), 0, f"{form}: the gain is superharmonic"
        )
        assert found.dual is not None
        x = exactly(found.dual)
        for s in range(exact.S):
            out = sum((x[k] for k in exact.pairs[s]), F(0))
            into = sum((exact.P[k].get(s, F(0)) * x[k] for k in range(exact.L)), F(0))
            yield leq(abs(out - leak * into), 4 * TAU * exact.L, f"{form}: a stationary flow, s={s}")
        yield all_leq([F(0)] * exact.L, x, f"{form}: x >= 0")
        yield leq(abs(sum(x, F(0)) - 1), 4 * TAU * exact.L, f"{form}: frequencies")
        worth, goal = sum((a * b for a, b in zip(x, exact.r, strict=True)), F(0)), sum(star, F(0)) / exact.S
        above = sum(map(abs, g), F(0)) + sum(map(abs, lifted), F(0)) + sum(map(abs, slack), F(0))
        allowance = 4 * TAU * scale * (above + dual_mass(exact, choice) + exact.L)
        yield leq(abs(worth - goal), allowance, f"{form}: the value of the dual")
        # Frequencies are those of gain-optimal actions: elsewhere a pair loses its slack.
        yield leq(
            sum((a * b for a, b in zip(x, slack, strict=True)), F(0)) if second else F(0),
            2 * allowance,
            f"{form}: tight",
        )
