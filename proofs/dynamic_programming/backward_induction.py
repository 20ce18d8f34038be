r"""Claims about backward induction over a finite horizon."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Case, Row, all_equal, all_leq, claim, fact, mutant
from mdpkit.claims.cases import chosen, finite_horizon, joined, ragged_costs
from mdpkit.claims.exact import Exact, exactly
from mdpkit.claims.rounding import Accumulated, all_near, backup_error
from mdpkit.claims.trial import answer
from mdpkit.models.criterion import FiniteHorizon, Reachability
from mdpkit.models.mdp import MDP
from mdpkit.solvers.dynamic_programming import BackwardInduction


class MyopicInduction(BackwardInduction):
    """A wrong order of the stages: the first law and the first reward in all of them."""

    def run(self, problem: Any, rng: Any = None) -> Any:
        """The answer with its policy of the first stage in each stage."""
        out = super().run(problem, rng)
        assert out.choice is not None
        return out._replace(choice=np.repeat(out.choice[:1], len(out.choice), axis=0))


def staged(H: int = 3, S: int = 3, A: int = 2, seed: int = 5) -> MDP:
    """A model whose laws and rewards differ between stages, with terminal rewards."""
    rng = np.random.default_rng(seed)
    P = np.empty((H, S, A, S), dtype=object)
    for index in np.ndindex(H, S, A):
        weights = [int(x) for x in rng.integers(1, 8, S)]
        P[index] = [Fraction(w, sum(weights)) for w in weights]
    r = np.array([Fraction(int(x), 100) for x in rng.integers(-99, 100, H * S * A)], dtype=object).reshape(H, S, A)
    terminal = np.array([Fraction(int(x), 10) for x in rng.integers(-20, 21, S)], dtype=object)
    return MDP(P, r, FiniteHorizon(H, terminal=terminal, gamma=Fraction(9, 10)), rho=0)


CASES = joined(
    finite_horizon(),
    chosen(
        lambda: [
            Case("laws, rewards and actions that differ between stages", staged()),
            Case("costs, two, one and three actions, H=4", ragged_costs(FiniteHorizon(4))),
            Case("least probability of state 2 within 3 steps", ragged_costs(Reachability([2], steps=3))),
        ]
    ),
)


@claim(
    "bellman1957:backward-induction",
    says=r"V_h = V_h^* = V_h^\pi \text{ for } h = H, \dots, 0, \text{ with } \pi_h \text{ greedy for } V_{h+1}",
    where="Theorem 4.5.1 of puterman1994, recalled; proved, see docs",
    kind="identity",
    mode="numeric",
    instances=CASES,
    controls=[
        mutant("one stage too few", shift=1),
        mutant("the policy of the first stage in all stages", tested=MyopicInduction()),
        mutant("no terminal reward", terminal=0),
    ],
    about=[BackwardInduction],
)
def backward_induction(mdp: Any, *, tested: Any = None, shift: int = 0, terminal: int = 1) -> Iterator[Row]:
    """Backward induction gives the optimal value of each stage, and its policy attains it."""
    exact = Exact.of(mdp)
    assert exact.H is not None and exact.terminal is not None
    found = answer(mdp, tested or BackwardInduction())
    star = exact.horizon()
    yield fact(len(found.V) == exact.H + 1, "a value of each stage and of the end")
    yield fact(found.choice is not None and len(found.choice) == exact.H, "a decision of each stage")
    yield all_equal(exactly(found.V[exact.H]), [terminal * x for x in _floats(exact.terminal)], "the end")
    total = Accumulated(exact.modulus)
    total.add(max(abs(Fraction(float(x)) - x) for x in exact.terminal))
    for h in range(exact.H - 1, -1, -1):
        after = exactly(found.V[h + 1])
        error = backup_error(exact, after, stage=h)
        q = exact.q(after, stage=h)
        once = [exact.known.get(s, v) for s, v in enumerate(exact.best(q))]
        yield all_near(found.V[h], once, error, f"V_{h} is the backup of V_{h + 1}")
        best = [exact.known.get(s, v) for s, v in enumerate(exact.best(q))]
        taken = [exact.known.get(s, q[k]) for s, k in enumerate(exact.exit(found.choice[h]))]
        yield all_leq(best, [x + 2 * e for x, e in zip(taken, error, strict=True)], f"greedy, h={h}")
        total.add(max(error))
        yield all_near(found.V[h], star[min(h + shift, exact.H)], total.value, f"V_{h} is optimal")
    yield all_equal(exact.horizon(found.choice)[0], star[0], "the policy is optimal, exactly")


def _floats(values: Any) -> list[Fraction]:
    return [Fraction(float(x)) for x in values]
