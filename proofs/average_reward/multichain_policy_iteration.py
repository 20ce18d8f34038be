r"""Claims about Howard's policy iteration for the average reward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import inf
from typing import Any

from mdpkit.claims import Case, Row, all_equal, all_leq, claim, fact, mutant
from mdpkit.claims.cases import chosen, joined
from mdpkit.claims.claim import Level
from mdpkit.claims.exact import Exact
from mdpkit.claims.rounding import all_near, gain_errors, pair_errors
from mdpkit.claims.trial import iterates
from mdpkit.kernels.gain import evaluate_average
from mdpkit.models.criterion import AverageReward
from mdpkit.models.mdp import MDP
from mdpkit.solvers.average_reward import MultichainPolicyIteration
from mdpkit.solvers.average_reward.multichain_policy_iteration import State

F = Fraction
FEWEST, SWEEPS, PLACES = 8, 150, 120
"""Sweeps for the first policy: at least, at most in these models, and the binary places that are kept of their values."""


class FromTheFirst(MultichainPolicyIteration):
    """The same steps from the first action everywhere, so that there is something to improve."""

    def init(self, problem: Any, rng: Any = None) -> State:
        """Evaluate the first actions."""
        choice = problem.pair_ptr[:-1].copy()
        gain, bias = evaluate_average(problem.P, problem.r, choice)
        return State(gain, bias, choice, inf, frozenset())


class BiasOnly(FromTheFirst):
    """A wrong improvement: of r + Ph alone, as if the gain were the same everywhere."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> State:
        """A step that does not look at the gain."""
        import numpy as np

        after = super().step(problem, state._replace(gain=np.zeros_like(state.gain)), rng)
        if after.gap == 0.0:
            return state._replace(gap=0.0)
        return after


def multichain(level: Level, rng: Any) -> Iterator[Case]:
    """Random models whose policies have several recurrent classes: laws on one or two states."""
    for i in range(4 if level == "fast" else 16):
        source = f"garnet?S={3 + i % 2}&A=2&branching={1 + i % 2}&seed={int(rng.integers(0, 10_000))}"
        from mdpkit.instances import make, parse

        name, params = parse(source)
        yield Case(f"{source}, average", make(name, **params).under(AverageReward()))


def _average(source: str) -> Case:
    from mdpkit.instances import make, parse

    name, params = parse(source)
    return Case(f"{source}, average", make(name, **params).under(AverageReward()))


def two_classes() -> MDP:
    """A state that may go to a loop that pays 1 at once or to one that pays 2 later, by way of a state that costs."""
    P = [
        [[F(0), F(1), F(0), F(0)], [F(0), F(0), F(0), F(1)]],
        [[F(0), F(1), F(0), F(0)], [F(0), F(1), F(0), F(0)]],
        [[F(0), F(0), F(1), F(0)], [F(0), F(1, 2), F(1, 2), F(0)]],
        [[F(1), F(0), F(0), F(0)], [F(0), F(0), F(1, 3), F(2, 3)]],
    ]
    r = [[F(5), F(-4)], [F(1), F(1)], [F(2), F(9)], [F(0), F(0)]]
    return MDP(P, r, AverageReward(), rho=0)


NAMED = ("howard-toymaker", "two-cycle", "nine-moves", "now-or-later", "blackwell-1962")
CASES = joined(
    multichain,
    chosen(lambda: [Case("two loops, one of them later", two_classes()), *map(_average, NAMED)]),
)


def settled(exact: Exact, choice: Sequence[int]) -> bool:
    """Whether a policy is greedy for the reward of so many steps, at least 8, up to the rounding of that many sweeps."""
    V = [F(0)] * exact.S
    for k in range(SWEEPS):
        q = exact.q(V)
        error = 2 * (k + 1) * max(pair_errors(exact, [abs(v) + k for v in V]))
        if k >= FEWEST and all(q[c] >= max(q[j] for j in p) - error for c, p in zip(choice, exact.pairs, strict=True)):
            return True
        V = exact.best(q)
        V = [F(round((v - V[0]) * 2**PLACES), 2**PLACES) for v in V]
    return False


def allowed(exact: Exact, gain: Sequence[Any], bias: Sequence[Any], old: Sequence[int]) -> list[set[int]]:
    """What Howard's improvement may take in each state, exactly: all that are best, or the old pair where none is better."""
    out: list[set[int]] = []
    for s, pairs in enumerate(exact.pairs):
        rise = {k: exact.row(k, gain) for k in pairs}
        q = {k: exact.r[k] + exact.row(k, bias) for k in pairs}
        top = max(rise.values())
        among = [k for k in pairs if rise[k] == top]
        best = max(q[k] for k in among)
        better = top > gain[s] or best > q[old[s]]
        out.append({k for k in among if q[k] == best} if better else {old[s]})
    return out


@claim(
    "howard1960:multichain",
    says=r"g_{k+1} \ge g_k, \text{ no policy comes twice, and the last one has } g = g^* \text{ in every state}",
    where="chapter 6 of the book and Theorem 9.2.3 of puterman1994, both recalled; proved, see docs",
    kind="monotone",
    mode="numeric",
    instances=CASES,
    controls=[
        mutant("improved by the bias alone", tested=BiasOnly()),
        mutant("the gain falls", sign=-1),
        mutant("optimal after one step", most=1),
    ],
    survivors={
        "stale values": "it reaches only the sweeps that propose the first policy, which then lag behind by one"
    },
    about=[MultichainPolicyIteration],
)
def multichain_improvement(
    mdp: Any, *, tested: Any = None, sign: int = 1, most: int | None = None, steps: int = 15
) -> Iterator[Row]:
    """Each policy's gain is at least that of the one before in every state, and the last one's is the largest."""
    exact = Exact.of(mdp)
    for solver in (tested,) if tested is not None else (MultichainPolicyIteration(), FromTheFirst()):
        name = type(solver).__name__
        before: Any = None
        seen: list[list[int]] = []
        for k, state in enumerate(iterates(mdp, solver, steps, arithmetic="float")):
            choice, at = list(exact.exit(state.choice)), f"{name}, k={k}"
            g, h = exact.gain_and_bias(choice)
            gain_error, bias_error = gain_errors(exact, choice)
            yield all_near(state.gain, g, gain_error, f"gain, {at}")
            yield all_near(state.bias, h, bias_error, f"bias, {at}")
            if before is None:
                yield fact(state.gap == inf and not state.seen, f"the first policy is not judged yet, {name}")
                if name == "MultichainPolicyIteration":
                    yield fact(
                        settled(exact, choice), "the first policy is greedy for the reward of some number of steps"
                    )
            else:
                may = allowed(exact, *before[:2], before[2])
                yield fact(all(c in m for c, m in zip(choice, may, strict=True)), f"Howard's improvement, {at}")
                yield all_leq([sign * x for x in before[0]], [sign * x for x in g], f"the gain rises, {at}")
            if k == most:
                yield all_equal(g, exact.optimal, f"optimal after {most} steps, {name}")
            if state.gap == 0.0:
                yield fact(
                    before is not None and choice == before[2], f"the last policy is its own improvement, {name}"
                )
                yield all_equal(g, exact.optimal, f"the largest gain, {name}")
                q = [exact.r[j] + exact.row(j, h) - g[exact.state[j]] - h[exact.state[j]] for j in range(exact.L)]
                flat = [j for j in range(exact.L) if exact.row(j, g) == g[exact.state[j]]]
                yield all_leq([q[j] for j in flat], [F(0)] * len(flat), f"the optimality equation, {name}")
                break
            yield fact(choice not in seen, f"no policy comes twice, {at}")
            seen.append(choice)
            before = g, h, choice
        else:
            yield fact(False, f"the end comes within {steps} steps, {name}")
