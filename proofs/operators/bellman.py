r"""Claims about Bellman's operators, in rationals: what every solver and every certificate rests on.

The library's operators run on arrays of Fractions; the judge computes the same by its own code. No rounding, no tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Case, Row, all_equal, all_leq, claim, equal, fact, leq, mutant
from mdpkit.claims.cases import by_pairs, chosen, discounted, joined, named
from mdpkit.claims.exact import Exact, exactly, span, sup
from mdpkit.claims.judge import array
from mdpkit.claims.trial import call, pose
from mdpkit.models.criterion import Discounted, TotalReward
from mdpkit.models.mdp import MDP
from mdpkit.operators.bellman import BellmanOptimality, BellmanPolicy

F = Fraction
LOOP = "a costly loop and a way out"
ONE_STATE = "garnet?S=1&A=1&branching=1&seed=2"
CASES = joined(discounted(fast=3), by_pairs(), named(ONE_STATE, gamma=F(9, 10)))
ONE_FACTOR = joined(discounted(fast=4), named(ONE_STATE, gamma=F(9, 10)))


def two_loops() -> MDP:
    """Two states that stay: differences between them fall by the discount factor and no faster."""
    P = [[[F(1), F(0)]], [[F(0), F(1)]]]
    return MDP(P, [[F(1)], [F(2)]], Discounted(F(9, 10)), rho=0)


class Tested:
    """The library's operators on a model, as the code under test sees it."""

    def __init__(self, mdp: MDP, pi: Any = None):
        self.exact = Exact.of(mdp)
        problem, _ = pose(mdp)
        self.T = BellmanOptimality(problem.mdp)
        self.on = None if pi is None else BellmanPolicy(problem.mdp, pi)

    def __call__(self, V: Sequence[Any]) -> list[Fraction]:
        """TV."""
        return exactly(call(self.T, array(V)))

    def greedy(self, V: Sequence[Any]) -> list[int]:
        """A greedy pair of each state."""
        return [int(k) for k in call(self.T.greedy, array(V))]

    def policy(self, V: Sequence[Any]) -> list[Fraction]:
        """The operator of the policy."""
        assert self.on is not None
        return exactly(call(self.on, array(V)))


def draw(exact: Exact, rng: np.random.Generator, n: int, size: int = 1000) -> list[list[Fraction]]:
    """Values in hundredths, of both signs."""
    return [[F(int(x), 100) for x in rng.integers(-size, size + 1, exact.S)] for _ in range(n)]


def stochastic(exact: Exact, rng: np.random.Generator) -> tuple[Any, list[Fraction]]:
    """A stationary policy with rational probabilities: as a matrix, and by pairs."""
    A = exact.mdp.n_actions
    pi = np.full((exact.S, A), F(0), dtype=object)
    action = exact.mdp.action.tolist()
    for pairs in exact.pairs:
        weights = [int(x) for x in rng.integers(1, 9, len(pairs))]
        for k, w in zip(pairs, weights, strict=True):
            pi[exact.state[k], action[k]] = F(w, sum(weights))
    return pi, [pi[s, a] for s, a in zip(exact.state, action, strict=True)]


def mixed(exact: Exact, weights: Sequence[Fraction], V: Sequence[Any]) -> list[Fraction]:
    """The backup of a policy that randomizes."""
    q = exact.q(V)
    return [sum((weights[k] * q[k] for k in pairs), F(0)) for pairs in exact.pairs]


@claim(
    "puterman1994:axioms",
    says=r"""
V \le W \Rightarrow TV \le TW, \qquad T(V + c) = TV + \gamma c, \qquad
\text{and the same for } T_\pi, \text{ which is affine}""",
    where="Section 6.2, recalled; proved, see docs (Lemma 1)",
    kind="identity",
    mode="exact",
    instances=ONE_FACTOR,
    controls=[
        mutant("the constant not discounted", factor=1),
        mutant("monotone in the other direction", sign=-1),
        mutant("the optimality operator is affine, too", affine=True),
    ],
)
def axioms(
    mdp: Any, *, rng: np.random.Generator, factor: int = 0, sign: int = 1, affine: bool = False
) -> Iterator[Row]:
    """Bellman's operators are monotone and shift constants, and those of policies are affine."""
    exact = Exact.of(mdp)
    pi, weights = stochastic(exact, rng)
    T = Tested(mdp, pi)
    for i, (V, W) in enumerate(zip(draw(exact, rng, 8), draw(exact, rng, 8), strict=True)):
        TV = T(V)
        yield all_equal(TV, exact.backup(V), f"TV_{i}")
        yield all_equal(T.policy(V), mixed(exact, weights, V), f"T_pi V_{i}")
        up = [max(x, y) for x, y in zip(V, W, strict=True)]
        for name, operator in (("T", T), ("T_pi", T.policy)):
            low, high = operator(V), operator(up)
            yield all_leq([sign * x for x in low], [sign * x for x in high], f"{name} is monotone, {i}")
            for c in (F(-3), F(7, 5)):
                moved = operator([v + c for v in V])
                shift = c if factor else exact.modulus * c
                yield all_equal(moved, [x + shift for x in low], f"{name} shifts constants, {i}, c={c}")
        theta = F(int(rng.integers(1, 9)), 10)
        between = [theta * x + (1 - theta) * y for x, y in zip(V, W, strict=True)]
        for operator in (T.policy, T) if affine else (T.policy,):
            mix = [theta * x + (1 - theta) * y for x, y in zip(operator(V), operator(W), strict=True)]
            yield all_equal(operator(between), mix, f"affine, {i}")
        mix = [theta * x + (1 - theta) * y for x, y in zip(TV, T(W), strict=True)]
        yield all_leq(T(between), mix, f"T is convex, {i}")


@claim(
    "puterman1994:contraction",
    says=r"\|TV - TW\|_\infty \le \gamma \|V - W\|_\infty, \text{ with equality where } W = V + c",
    where="Proposition 6.2.4, recalled; proved, see docs (Lemma 1)",
    kind="tight",
    mode="exact",
    instances=joined(CASES, chosen(lambda: [Case("two loops", two_loops())])),
    controls=[
        mutant("the square of the modulus", power=2),
        mutant("the least discount factor", least=True),
        mutant("in the seminorm of the span with the square", seminorm=2),
    ],
)
def contraction(
    mdp: Any, *, rng: np.random.Generator, power: int = 1, least: bool = False, seminorm: int = 1
) -> Iterator[Row]:
    """The optimality operator contracts in the supremum norm with the discount factor, and constants attain it."""
    exact = Exact.of(mdp)
    T = Tested(mdp)
    gamma = min(exact.gamma) if least else exact.modulus
    once = len(set(exact.gamma)) == 1
    yield equal(exactly([call(lambda: T.T.modulus)])[0], F(float(exact.modulus)), "the declared modulus")
    for i, (V, W) in enumerate(zip(draw(exact, rng, 10), draw(exact, rng, 10), strict=True)):
        TV, TW = T(V), T(W)
        yield all_equal(TV, exact.backup(V), f"TV_{i}")
        d, e = [x - y for x, y in zip(V, W, strict=True)], [x - y for x, y in zip(TV, TW, strict=True)]
        yield leq(sup(e), gamma**power * sup(d), f"the norm, {i}")
        if once:
            yield leq(span(e), exact.modulus**seminorm * span(d), f"the span, {i}")
        # Far above the rewards the larger discount decides.
        high = [v + 10**6 for v in V]
        off = [x - y for x, y in zip(T([v + 1 for v in high]), T(high), strict=True)]
        if once:
            yield equal(sup(off), exact.modulus, f"attained, {i}")
        yield leq(sup(off), gamma**power, f"constants, {i}")


@claim(
    "puterman1994:optimality-equation",
    says=r"V^* = TV^* = \max_\pi V^\pi, \text{ and the maximum is attained by every policy that is greedy for } V^*",
    where="Theorems 6.2.5 and 6.2.7, recalled; proved, see docs",
    kind="identity",
    mode="exact",
    instances=joined(discounted(sizes=((1, 3), (2, 2), (3, 2), (3, 3)), full=12), by_pairs()),
    controls=[
        mutant("greedy for the reward alone", myopic=True),
        mutant("the least of the policies' values", worst=True),
    ],
)
def optimality_equation(mdp: Any, *, myopic: bool = False, worst: bool = False) -> Iterator[Row]:
    """The fixed point of the optimality operator is the largest value of a policy in every state at once."""
    exact = Exact.of(mdp)
    T = Tested(mdp)
    values = [exact.value(choice) for choice in exact.policies()]
    star = [(min if worst else max)(v[s] for v in values) for s in range(exact.S)]
    yield all_equal(T(star), star, "V* = TV*")
    greedy = T.greedy([F(0)] * exact.S if myopic else star)
    yield all_equal(exact.value(exact.exit(greedy)), star, "a greedy policy attains it")
    yield fact(any(v == star for v in values), "one policy is best in all states")


@claim(
    "howard1960:improvement",
    says=r"\pi' \text{ greedy for } V^\pi \Rightarrow V^{\pi'} \ge TV^\pi \ge V^\pi, \text{ with equality only at } V^*",
    where="Section 4 of the book, recalled; proved, see docs (Theorem 4)",
    kind="monotone",
    mode="exact",
    instances=joined(CASES, named("riverswim?n_states=6", gamma=F(9, 10))),
    controls=[
        mutant("the greedy policy of the worst action", other=True),
        mutant("two sweeps below it", sweeps=2),
    ],
)
def improvement(mdp: Any, *, other: bool = False, sweeps: int = 1) -> Iterator[Row]:
    """A policy that is greedy for another one's value is at least as good as the backup of that value."""
    exact = Exact.of(mdp)
    T = Tested(mdp)
    starts = [[p[0] for p in exact.pairs], [p[-1] for p in exact.pairs]]
    starts.append([min(p, key=lambda k: exact.q(exact.worst)[k]) for p in exact.pairs])
    for i, choice in enumerate(starts):
        V = exact.value(choice)
        q = exact.q(V)
        new = T.greedy(V) if not other else [min(p, key=lambda k: q[k]) for p in exact.pairs]
        TV = V
        for _ in range(sweeps):
            TV = T(TV)
        W = exact.value(exact.exit(new))
        yield all_equal(T(V), exact.backup(V), f"TV, {i}")
        yield all_leq(V, TV, f"V <= TV, {i}")
        yield all_leq(TV, W, f"TV <= V', {i}")
        yield fact((W == V) == (V == exact.optimal), f"equal only at the optimum, {i}")


def greedy_family() -> list[Case]:
    """A loop that costs 2 gamma, and a way out: a value off by one in either direction makes them equal."""
    cases: list[Case] = []
    for gamma in (F(1, 2), F(9, 10)):
        P = [[[F(1), F(0)], [F(0), F(1)]], [[F(0), F(1)], [F(0), F(1)]]]
        r = [[-2 * gamma, F(0)], [F(0), F(0)]]
        cases.append(Case(f"{LOOP}, gamma={gamma}", MDP(P, r, Discounted(gamma), rho=0)))
    return cases


@claim(
    "singh1994:greedy-loss",
    says=r"""
\|V - V^*\| \le \varepsilon,\ \pi \text{ greedy for } V
\Rightarrow \|V^\pi - V^*\| \le \frac{2\gamma\varepsilon}{1-\gamma}""",
    where="the theorem of the paper, recalled; proved, see docs; attained by a costly loop with a way out",
    kind="tight",
    mode="exact",
    instances=joined(discounted(fast=3), by_pairs(), chosen(greedy_family)),
    controls=[
        mutant("without the two", two=1),
        mutant("the discount squared in front", power=2),
        mutant("the horizon left out", horizon=0),
    ],
)
def greedy_loss(mdp: Any, *, rng: np.random.Generator, two: int = 2, power: int = 1, horizon: int = 1) -> Iterator[Row]:
    """A policy that is greedy for a value off by epsilon loses at most twice that, discounted, over one less the discount."""
    exact = Exact.of(mdp)
    T = Tested(mdp)
    gamma, star = exact.modulus, exact.optimal
    values = [[v + F(int(x), 10) for v, x in zip(star, rng.integers(-20, 21, exact.S), strict=True)] for _ in range(8)]
    # The values that deceive most: states are misjudged by one in either direction.
    values += [[v + e * (-1) ** s for s, v in enumerate(star)] for e in (F(1), F(-1))]
    for i, V in enumerate(values):
        error = sup(x - y for x, y in zip(V, star, strict=True))
        choice = exact.exit(T.greedy(V))
        q = exact.q(V)
        yield all_equal([q[k] for k in choice], exact.best(q), f"greedy, {i}")
        yield all_equal(T(V), exact.best(q), f"TV_{i}")
        loss = sup(x - y for x, y in zip(star, exact.value(choice), strict=True))
        bound = two * gamma**power * error / (1 - gamma if horizon else 1)
        yield leq(loss, bound, f"loss, {i}")
    if exact.S == 2 and exact.r[0] == -2 * gamma and (two, power, horizon) == (2, 1, 1):
        # On the tie the first action is taken: it stays, and pays for ever.
        choice = exact.exit(T.greedy(values[-2]))
        yield equal(star[0] - exact.value(choice)[0], 2 * gamma / (1 - gamma), "attained")


@claim(
    "bertsekas1991:many-solutions",
    says=r"\text{without discounting } V = TV \text{ has one solution}",
    where="the remark on improper policies, recalled; the loop without reward is the usual instance",
    kind="counterexample",
    mode="exact",
    instances=chosen(
        lambda: [
            Case(
                "a loop without reward beside a step that pays 1 and ends",
                MDP(
                    [[[F(1), F(0)], [F(0), F(1)]], [[F(0), F(1)], [F(0), F(1)]]],
                    [[F(0), F(1)], [F(0), F(0)]],
                    TotalReward(target=[1]),
                    rho=0,
                ),
            )
        ]
    ),
    controls=[mutant("the loop discounted", gamma=F(9, 10)), mutant("the loop left for a cost", cost=F(-1))],
    caveat="this is why total reward is solved on a quotient",
)
def many_solutions(mdp: Any, *, gamma: Fraction = Fraction(1), cost: Fraction = Fraction(0)) -> Iterator[Row]:
    """Total reward's optimality equation has other solutions above the value, where a loop costs nothing."""
    exact = Exact.of(mdp)
    for high in (F(2), F(10)):
        V = [high, F(0)]
        TV = [max(cost + gamma * V[0], exact.r[1] + gamma * V[1]), F(0)]
        # The false statement: a V = TV above the value does not exist.
        yield fact(TV != V, f"V = ({high}, 0) solves no optimality equation")
