r"""Claims about goals as inference (VSC-RL): Doob's transform, the evidence lower bound, and subgoals.

The judge solves for desirabilities, for the policies' own evidence lower bounds and for values by its own linear systems.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mdpkit.claims import Case, Interval, Row, all_equal, all_leq, claim, equal, leq, mutant, premise
from mdpkit.claims.cases import bandits, chosen, deterministic, discounted, joined
from mdpkit.claims.judge import Judge, ball, balls, log
from mdpkit.claims.trial import call, iterates, pose
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.operators.goals import Goal, subgoal_bound
from mdpkit.solvers.regularized_dp import DesirabilityIteration

LIFE = Fraction(9, 10)


def rooms(gaps: Sequence[int], slip: Fraction = Fraction(0)) -> MDP:
    """Two rooms of two by three cells with a wall between them that has holes at the heights ``gaps``.

    Four moves; a move into a wall stays. With ``slip``, a move fails and stays with that probability.
    """
    cells = [(x, y) for x in range(5) for y in range(3) if x != 2 or y in gaps]
    number = {cell: k for k, cell in enumerate(cells)}
    S = len(cells)
    P = np.full((S, 4, S), Fraction(0), dtype=object)
    r = np.full((S, 4), Fraction(0), dtype=object)
    for (x, y), s in number.items():
        for a, (dx, dy) in enumerate(((1, 0), (-1, 0), (0, 1), (0, -1))):
            t = number.get((x + dx, y + dy), s)
            P[s, a, s] += slip
            P[s, a, t] += 1 - slip
    return MDP(P, r, Discounted(LIFE), rho=0, state_names=cells)


def place(mdp: MDP, cell: tuple[int, int]) -> int:
    """The state of a cell."""
    assert mdp.state_names is not None
    return mdp.state_names.index(cell)


class GoalJudge(Judge):
    """Desirabilities and evidence lower bounds by the judge's own linear systems."""

    def hit(self, mu: Any, goal: int, start: Any = None) -> list[Any]:
        """E[lambda^T] of each state, T the time of the first entry into ``goal``."""
        flint = __import__("flint")
        A = self._matrix(mu)
        rows = [[A[s, t] for t in range(self.S)] for s in range(self.S)]
        rows[goal] = [ball(int(t == goal)) for t in range(self.S)]
        return self._solve(
            flint.arb_mat(self.S, self.S, [x for row in rows for x in row]), [int(s == goal) for s in range(self.S)]
        )

    def evidence(self, pi: Any, mu: Any, goal: int, free: Sequence[int]) -> list[Any]:
        """E[T] log lambda - KL(pi || mu) along the path, from each state of ``free``, which ``pi`` leaves for the goal."""
        flint = __import__("flint")
        index = {s: i for i, s in enumerate(free)}
        A = [[ball(int(i == j)) for j in range(len(free))] for i in range(len(free))]
        b = []
        for s, i in index.items():
            cost = log(self.gamma)
            for k in self.pairs[s]:
                if pi[k] > 0:
                    cost = cost - ball(pi[k]) * (log(pi[k]) - log(mu[k]))
                for t in range(self.S):
                    if t in index:
                        A[i][index[t]] = A[i][index[t]] - ball(pi[k]) * self.P[k][t]
            b.append(cost)
        return self._solve(flint.arb_mat(len(free), len(free), [x for row in A for x in row]), b)

    def best_evidence(self, mu: Any, goal: int, free: Sequence[int], sweeps: int = 300) -> list[Interval]:
        """The largest evidence lower bound: below soft sweeps from zero, above the evidence of their policy."""
        V: list[Any] = [ball(0)] * self.S
        ahead, pi = V, mu
        for _ in range(sweeps):
            ahead = [x.exp() for x in self.ahead(V)]
            pi = self.tilt(mu, ahead)
            total = [sum((ball(mu[k]) * ahead[k] for k in pairs), ball(0)) for pairs in self.pairs]
            V = [(log(self.gamma) + log(x)).mid() if s != goal else ball(0) for s, x in enumerate(total)]
        # The sweeps fall to the optimum; what the middles forget is less than a power of two.
        above = [V[s] + ball(Fraction(1, 2**60)) for s in free]
        return [Interval(x, y) for x, y in zip(self.evidence(pi, mu, goal, free), above, strict=True)]

    def tilt(self, mu: Any, weight: Any) -> list[Any]:
        """In proportion to mu times weight, of each pair."""
        w = [ball(m) * x for m, x in zip(mu, weight, strict=True)]
        total = [sum((w[k] for k in pairs), ball(0)) for pairs in self.pairs]
        return [w[k] / total[self.state[k]] for k in range(self.L)]

    def ahead(self, h: Any) -> list[Any]:
        """P h, of each pair."""
        return [sum((self.P[k][t] * ball(h[t]) for t in range(self.S)), ball(0)) for k in range(self.L)]


def grids() -> list[Case]:
    """Deterministic rooms, with one hole and with two."""
    return [Case("two rooms, one hole", rooms([1])), Case("two rooms, two holes", rooms([0, 2]))]


def goal_under_test(mdp: MDP, goal: int, reference: Any = None) -> tuple[Any, Any]:
    """The desirability and the transform of the code under test."""

    def both() -> tuple[Any, Any]:
        problem, _ = pose(mdp, None, "ball")
        target = Goal(problem, goal, reference)
        return target.h, target.policy

    return call(both)


def uneven(judge: Judge) -> Any:
    """A reference policy in proportion to 1, 2, ... over the actions of each state."""
    shares = [Fraction(2 * (i + 1), len(p) * (len(p) + 1)) for p in judge.pairs for i in range(len(p))]
    return balls(shares)


def paid(mdp: MDP, goal: int) -> MDP:
    """The goal as a discounted problem: one for entering it, and nothing ever after."""
    judge = Judge(mdp)
    P = np.array(judge.P_exact, dtype=object).reshape(judge.S, -1, judge.S)
    r = P[:, :, goal].copy()
    P[goal], r[goal] = [Fraction(int(t == goal)) for t in range(judge.S)], Fraction(0)
    return MDP(P, r, mdp.criterion)


@claim(
    "vsc-rl:doob",
    says=r"""\max_\pi \mathrm{E}_\pi[T_g] \log \lambda - \mathrm{KL}(p_\pi \| p_\mu) = \log h_g(s), \quad
    h_g(s) = \mathrm{E}_\mu[\lambda^{T_g} | s], \quad \text{attained by } \pi(a|s) \propto \mu(a|s) (P h_g)(s,a)""",
    where="derived, see docs; for deterministic transitions",
    kind="tight",
    mode="numeric",
    instances=chosen(grids),
    controls=[
        mutant("the tilt at twice the temperature", heat=Fraction(1, 2)),
        mutant("the time counted from one", late=1),
        mutant("the reference attains it", of_reference=True),
        mutant("away from the goal", backward=True),
        mutant("the solver's policy after two steps", steps=2),
    ],
    domain="deterministic transitions",
    about=[DesirabilityIteration],
)
def doob(
    mdp: MDP,
    *,
    heat: Fraction = Fraction(1),
    late: int = 0,
    of_reference: bool = False,
    backward: bool = False,
    steps: int = 1,
) -> Iterator[Row]:
    """Doob's transform of the reference attains the evidence lower bound of a goal, and is the first step of the solver."""
    judge = GoalJudge(mdp)
    goal = place(mdp, (4, 2))
    mu = [ball(x) for x in judge.uniform()]
    h, policy = goal_under_test(mdp, goal)
    mine = judge.hit(mu, goal)
    yield all_equal(h, mine, "the desirability")
    ahead = judge.ahead(mine)
    yield all_equal(policy, judge.tilt(mu, [1 / x for x in ahead] if backward else ahead), "the transform")
    other_h, other_policy = goal_under_test(mdp, goal, uneven(judge))
    yield all_equal(other_h, judge.hit(uneven(judge), goal), "the desirability, from another reference")
    transform = judge.tilt(uneven(judge), judge.ahead(other_h))
    yield all_equal(other_policy, transform, "the transform of another reference")
    free = [s for s in range(judge.S) if s != goal]
    pi = judge.tilt(mu, [x ** ball(heat) for x in ahead]) if heat != 1 else list(policy)
    value = judge.evidence(mu if of_reference else pi, mu, goal, free)
    yield all_equal(value, [log(mine[s]) + late * log(judge.gamma) for s in free], "the evidence of the transform")
    for name, other in (
        ("the reference", mu),
        ("a half tilt", judge.tilt(mu, [x ** ball(Fraction(1, 2)) for x in ahead])),
    ):
        yield all_leq(judge.evidence(other, mu, goal, free), [log(mine[s]) for s in free], f"the evidence of {name}")
    *_, state = iterates(problem := paid(mdp, goal), DesirabilityIteration(), steps)
    inside, transform = [k for s in free for k in judge.pairs[s]], judge.tilt(mu, ahead)
    yield all_equal([state.pi[k] for k in inside], [transform[k] for k in inside], "the solver's policy")
    yield all_equal(state.V, Judge(problem).value(state.pi), "its value")


def slippery() -> list[Case]:
    """The same rooms where a third of the moves fail."""
    return [Case("two rooms, one hole, slip 1/3", rooms([1], Fraction(1, 3)))]


@claim(
    "vsc-rl:random-transitions",
    says=r"\text{false: } \max_\pi \mathrm{E}_\pi[T_g] \log \lambda - \mathrm{KL}(p_\pi \| p_\mu) = \log h_g(s) "
    r"\text{ where transitions are random}",
    where="found here: the posterior of a path also tilts the transitions, which no policy can",
    kind="counterexample",
    mode="numeric",
    instances=chosen(slippery),
    controls=[mutant("deterministic transitions", slip=Fraction(0))],
    about=[DesirabilityIteration],
    caveat="it remains an upper bound, by Jensen's inequality",
)
def random_transitions(mdp: MDP, *, slip: Fraction | None = None) -> Iterator[Row]:
    """Where transitions are random no policy attains the evidence lower bound."""
    problem = mdp if slip is None else rooms([1], slip)
    judge = GoalJudge(problem)
    goal = place(mdp, (4, 2))
    mu = [ball(Fraction(1, 4))] * judge.L
    h, _ = goal_under_test(problem, goal)
    yield premise(all_equal(h, judge.hit(mu, goal), "the desirability"))
    free = [s for s in range(judge.S) if s != goal]
    largest, bound = judge.best_evidence(mu, goal, free), [log(h[s]) for s in free]
    yield premise(all_leq([x.lower for x in largest], bound, "an upper bound"))
    yield all_equal(largest, bound, "the largest evidence")


def chains() -> list[Case]:
    """Rooms in which the hole is a subgoal, and random models in which any state is."""
    found: list[Case] = []
    for name, gaps, slip in (
        ("one hole", [1], Fraction(0)),
        ("one hole, slip 1/3", [1], Fraction(1, 3)),
        ("two holes", [0, 2], Fraction(0)),
    ):
        mdp = rooms(gaps, slip)
        goals = [place(mdp, (2, gaps[0])), place(mdp, (4, 2))]
        found.append(Case(f"two rooms, {name}", (mdp, 0, goals, len(gaps) == 1)))
    return found


def random_chains(level: Any, rng: Any) -> Iterator[Case]:
    """Random models with two subgoals, which are no doorways."""
    family = discounted(sizes=((3, 2), (4, 3)), fast=2, full=8)
    for case in family(level, rng):
        judge = Judge(case.problem)
        P = np.array(judge.P_exact, dtype=object).reshape(judge.S, -1, judge.S)
        zero = np.full(P.shape[:2], Fraction(0), dtype=object)
        mdp = MDP(P, zero, case.problem.criterion)
        yield Case(f"{case.name}, without rewards, goals 1, 2", (mdp, 0, [1, 2], None))


@claim(
    "vsc-rl:subgoals",
    says=r"\prod_{i=1}^N h_{g_i}(g_{i-1}) \le h_{g_N}(g_0), \text{ with equality where every path that arrives passes } "
    r"g_1, \dots, g_N \text{ in this order}",
    where="derived, see docs: the strong Markov property; random transitions are allowed",
    kind="upper",
    mode="numeric",
    instances=joined(chosen(chains), random_chains),
    controls=[
        mutant("the product is the larger one", turned=True),
        mutant("each leg from the start", from_start=True),
        mutant("one more step for each subgoal", pause=1),
    ],
    about=[DesirabilityIteration],
)
def subgoals(case: Any, *, turned: bool = False, from_start: bool = False, pause: int = 0) -> Iterator[Row]:
    """Going through subgoals is worth at most the goal itself, and as much where they are doorways."""
    mdp, start, goals, doorway = case
    judge = GoalJudge(mdp)
    mu = [ball(x) for x in judge.uniform()]

    def bound(reference: Any = None) -> Any:
        problem, _ = pose(mdp, None, "ball")
        return subgoal_bound(problem, start, goals, reference)

    found = call(bound)
    begins = [start] * len(goals) if from_start else [start, *goals[:-1]]
    legs = [judge.hit(mu, g)[s] for g, s in zip(goals, begins, strict=True)]
    yield all_equal(found, legs, "the legs")
    legs = [judge.hit(uneven(judge), g)[s] for g, s in zip(goals, begins, strict=True)]
    yield all_equal(call(bound, uneven(judge)), legs, "the legs, from another reference")
    whole = judge.hit(mu, goals[-1])[start]
    product = ball(1)
    for x in found:
        product = product * x
    product = product * judge.gamma ** (-pause * (len(goals) - 1))
    if doorway:
        yield equal(product, whole, "at a doorway")
    else:
        yield leq(whole, product, "", k=1) if turned else leq(product, whole, "", k=1)


@claim(
    "vsc-rl:no-doorway",
    says=r"\text{false: } \sum_i \log h_{g_i}(g_{i-1}) = \log h_{g_N}(g_0) \text{ for any subgoals on some path to the goal}",
    where="the equivalence that the abstract states (seen: arXiv 2502.07949), without the hypothesis of a doorway",
    kind="counterexample",
    mode="numeric",
    instances=chosen(lambda: [Case("two rooms, two holes, one of them the subgoal", rooms([0, 2]))]),
    controls=[mutant("one hole", gaps=(0,))],
    about=[DesirabilityIteration],
)
def no_doorway(mdp: MDP, *, gaps: tuple[int, ...] = ()) -> Iterator[Row]:
    """A subgoal that can be passed by loses evidence: the sum over the legs is only a lower bound."""
    problem = rooms(gaps) if gaps else mdp
    judge = GoalJudge(problem)
    mu = [ball(Fraction(1, 4))] * judge.L
    hole, goal = place(problem, (2, 0)), place(problem, (4, 2))
    whole = judge.hit(mu, goal)
    found = call(lambda: subgoal_bound(pose(problem, None, "ball")[0], 0, [hole, goal]))
    yield premise(all_equal(found, [judge.hit(mu, hole)[0], whole[hole]], "the legs"))
    parts = log(found[0]) + log(found[1])
    yield premise(leq(parts, log(whole[0]), "a lower bound"))
    yield equal(parts, log(whole[0]), "the sum over the legs")


class Stale(DesirabilityIteration):
    """The reference tilted by the last values, and not the last policy."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step of exponentiated values from the uniform policy."""
        from mdpkit.operators.on_policy import OnPolicy

        return super().step(problem, state._replace(pi=OnPolicy(problem).uniform()), rng)


@claim(
    "vsc-rl:iterated-transform",
    says=r"\pi_{k+1} = \pi_k Q^{\pi_k} / V^{\pi_k} \;\Rightarrow\; V^{\pi_{k+1}} \ge V^{\pi_k}, \qquad "
    r"\pi_k \propto r^k \text{ in one state without discount}",
    where="derived, see docs; rewards that are not negative",
    kind="monotone",
    mode="numeric",
    instances=joined(
        discounted(sizes=((2, 3), (3, 2), (4, 3)), full=12),
        bandits(fast=2, full=4, gamma=Fraction(0)),
        deterministic(fast=1, full=4),
    ),
    controls=[
        mutant("from the uniform policy each time", tested=Stale()),
        mutant("tilted by the square of the action values", power=2),
        mutant("the values fall", sign=-1),
    ],
    about=[DesirabilityIteration],
)
def iterated(
    mdp: MDP, *, steps: int = 4, sign: int = 1, power: int = 1, tested: DesirabilityIteration | None = None
) -> Iterator[Row]:
    """A policy that becomes its own transform never loses value."""
    judge = GoalJudge(mdp)
    expected: Any = [ball(x) for x in judge.uniform()]
    last: Any = None
    for k, state in enumerate(iterates(mdp, tested or DesirabilityIteration(), steps)):
        yield all_equal(state.pi, expected, f"pi_{k}")
        yield all_equal(state.V, judge.value(state.pi), f"V_{k}")
        if last is not None:
            yield all_leq([sign * x for x in last], [sign * x for x in state.V], f"V_{k} is above V_{k - 1}")
        if judge.S == 1 and judge.gamma == 0:
            powers = [x**k for x in judge.r]
            total = sum(powers, ball(0))
            yield all_equal(state.pi, [x / total for x in powers], f"pi_{k} in closed form")
        expected = judge.tilt(state.pi, [x**power for x in judge.q(state.V)])
        last = state.V
