r"""Claims about modified policy iteration."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from mdpkit.claims import Row, all_equal, all_leq, claim, mutant
from mdpkit.claims.cases import by_pairs, discounted, joined, named
from mdpkit.claims.exact import Exact, exactly, sup
from mdpkit.claims.rounding import Accumulated, Rising, all_near, factors, pair_errors
from mdpkit.claims.trial import iterates
from mdpkit.proofs.dynamic_programming.value_iteration import COSTS, ONE_STATE, follows
from mdpkit.solvers.dynamic_programming import ModifiedPolicyIteration

SWEEPS = 2


def lowest_start(exact: Exact) -> Fraction:
    """The constant below its own backup that the least reward allows, at the factor that makes it safe."""
    least = min(exact.r)
    return least / (1 - (max(exact.gamma) if least < 0 else min(exact.gamma)))


def start_error(exact: Exact) -> Fraction:
    """Rounding of that constant: of the reward, the factor, their difference from one and the quotient."""
    return factors(4) / (1 - exact.modulus) * abs(lowest_start(exact))


def swept(exact: Exact, choice: Any, V: Any, sweeps: int) -> tuple[list[Any], Any]:
    """So many backups of a policy, and the bound on their rounding."""
    total = Accumulated(exact.modulus)
    for _ in range(sweeps):
        # The floats that were backed up differ from these by their rounding: they are a little larger at most.
        size = [abs(v) + total.value for v in V]
        total.add(max(pair_errors(exact, size)))
        V = exact.on(choice, V)
    return V, total.value


class Raised(ModifiedPolicyIteration):
    """A wrong start, above its backup."""

    def init(self, problem: Any, rng: Any = None) -> Any:
        """One and a half times as far away."""
        state = super().init(problem, rng)
        return state._replace(V=300 + state.V, swept=300 + state.swept)


@claim(
    "puterman1978:monotone",
    says=r"V_0 \le TV_0 \Rightarrow T^k V_0 \le V_k \le V_{k+1} \le V^*, \quad V_k \to V^*",
    where="Theorem 6.5.5 of puterman1994, recalled; proved, see docs",
    kind="monotone",
    mode="numeric",
    instances=joined(discounted(full=12), by_pairs(), COSTS, named(ONE_STATE, gamma=Fraction(9, 10))),
    controls=[
        mutant("one sweep more than stated", tested=ModifiedPolicyIteration(SWEEPS + 1)),
        mutant("as fast as m + 1 sweeps of value iteration", speed=SWEEPS + 1),
        mutant("from above its backup", tested=Raised(SWEEPS), pinned=False),
    ],
    about=[ModifiedPolicyIteration],
    caveat="the limit is checked through the bound of value iteration, which the iterates lie above",
)
def monotone(mdp: Any, *, tested: Any = None, speed: int = 1, pinned: bool = True, steps: int = 8) -> Iterator[Row]:
    """From below its backup modified policy iteration rises to the optimal value, at least as fast as value iteration."""
    exact = Exact.of(mdp)
    star, start = exact.optimal, lowest_start(exact)
    rising, before, plain = Rising(exact.modulus, start_error(exact)), [], [start] * exact.S
    for k, state in enumerate(iterates(mdp, tested or ModifiedPolicyIteration(SWEEPS), steps, arithmetic="float")):
        V, at = exactly(state.swept), f"k={k}"
        if not k:
            if pinned:
                yield all_near(state.swept, plain, start_error(exact), "V_0")
                yield all_equal(state.V, V, "V_0")
        else:
            error, rows = follows(exact, before, state, f"_{k}")
            after, rounding = swept(exact, state.choice, exactly(state.V), SWEEPS)
            if pinned:
                yield from rows
                yield all_near(state.swept, after, rounding, f"swept_{k}")
            slack = rising.add(max(error) + rounding)
            for _ in range(speed):
                plain = exact.backup(plain)
            yield all_leq(plain, [v + slack for v in V], f"T^k V_0 <= V_k, {at}")
            yield all_leq(exact.backup(before), [v + slack for v in V], f"TV_(k-1) <= V_k, {at}")
            yield all_leq(before, [v + slack for v in V], f"V_(k-1) <= V_k, {at}")
        slack = rising.slack
        yield all_leq(V, [v + slack for v in star], f"V_k <= V*, {at}")
        distance = sup(x - y for x, y in zip(V, star, strict=True))
        bound = exact.modulus**k * sup(start - v for v in star) + slack
        yield all_leq([distance], [bound], f"distance, {at}", k=k)
        before = V
