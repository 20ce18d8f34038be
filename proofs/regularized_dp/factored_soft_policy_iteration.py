r"""Claims about factored soft policy iteration with causal weights (ACE).

The judge recomputes each part's softmax from the means of the action values, by its own sums over the other parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

from mdpkit.claims import Case, Row, all_equal, all_leq, claim, leq, mutant
from mdpkit.claims.cases import chosen, regularized
from mdpkit.claims.judge import Judge, ball, exp, log, log_sum_exp
from mdpkit.claims.trial import iterates
from mdpkit.models.criterion import EntropyRegularized
from mdpkit.models.mdp import MDP
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solvers.regularized_dp import FactoredSoftPolicyIteration, SoftPolicyIteration

SIZES = (2, 2)
WEIGHTS = (Fraction(1), Fraction(2, 5))
ACE = FactoredSoftPolicyIteration(SIZES, WEIGHTS)
FOUR = regularized(sizes=((2, 4), (3, 4)), references=False, full=8)


@dataclass(frozen=True)
class Simultaneous(FactoredSoftPolicyIteration):
    """All parts at once, each against the last policy of the others."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step of Jacobi in place of Gauss and Seidel."""
        on = OnPolicy(problem)
        q = on.q(state.V).reshape(on.n_states, *self._sizes(on))
        factors = [self.improved(on, q, list(state.factors), i) for i in range(len(state.factors))]
        return self._at(on, tuple(factors), state.V)


@dataclass(frozen=True)
class OneTemperature(FactoredSoftPolicyIteration):
    """The temperature tau in place of tau b_i in the improvement."""

    def improved(self, on: OnPolicy, q: Any, factors: Any, i: int) -> Any:
        """The softmax without the weight."""
        return FactoredSoftPolicyIteration(self.sizes).improved(on, q, factors, i)


class Product:
    """The judge's view of policies over products of parts."""

    def __init__(self, judge: Judge, sizes: Sequence[int], weights: Sequence[Fraction]):
        self.judge, self.sizes, self.tau = judge, sizes, judge.temperature
        self.weights = [ball(b) for b in weights]
        self.cells = list(product(*[range(n) for n in sizes]))

    def uniform(self) -> list[list[list[Any]]]:
        """Logarithms of the parts' probabilities: of part i in state s, for each choice."""
        return [[[-log(n)] * n for _ in range(self.judge.S)] for n in self.sizes]

    def joint(self, factors: Any) -> list[Any]:
        """Logarithms of the product policy, of each pair."""
        return [
            sum((ball(factors[i][s][a]) for i, a in enumerate(cell)), ball(0))
            for s in range(self.judge.S)
            for cell in self.cells
        ]

    def means(self, q: Any, factors: Any, i: int) -> list[list[Any]]:
        """Mean action values of part i's choices, the others drawn from their policies."""
        out = [[ball(0)] * self.sizes[i] for _ in range(self.judge.S)]
        for s, pairs in enumerate(self.judge.pairs):
            for k, cell in zip(pairs, self.cells, strict=True):
                weight = sum((ball(factors[j][s][a]) for j, a in enumerate(cell) if j != i), ball(0))
                out[s][cell[i]] = out[s][cell[i]] + exp(weight) * q[k]
        return out

    def softmax(self, q: Any, factors: Any, i: int) -> list[list[Any]]:
        """Part i's softmax at its own temperature."""
        rows = [[x / (self.tau * self.weights[i]) for x in row] for row in self.means(q, factors, i)]
        return [[x - log_sum_exp(row) for x in row] for row in rows]

    def entropies(self, factors: Any) -> list[Any]:
        """The weighted entropies of each state."""
        return [
            sum(
                (-b * exp(x) * ball(x) for b, factor in zip(self.weights, factors, strict=True) for x in factor[s]),
                ball(0),
            )
            for s in range(self.judge.S)
        ]

    def value(self, factors: Any) -> list[Any]:
        """The value of the product policy with its weighted entropies."""
        bonus = self.entropies(factors)
        paid = [self.judge.r[k] + self.tau * bonus[s] for k, s in enumerate(self.judge.state)]
        return self.judge.value([exp(x) for x in self.joint(factors)], paid)


def flat(factors: Any) -> list[Any]:
    """All entries of the factors."""
    return [x for factor in factors for row in factor for x in row]


def the_iterates(
    mdp: MDP, n: int, solver: FactoredSoftPolicyIteration, tested: FactoredSoftPolicyIteration | None = None
) -> Iterator[tuple[Product, Any, list[Row]]]:
    """The judge's view, the states, and the rows that say that they follow the update of ``solver``."""
    judge = Judge(mdp)
    on = Product(judge, solver.sizes, solver.weights or (Fraction(1),) * len(solver.sizes))
    expected = on.uniform()
    for k, state in enumerate(iterates(mdp, tested or solver, n)):
        V = on.value(state.factors)
        yield (
            on,
            state,
            [
                all_equal(flat(state.factors), flat(expected), f"the parts of policy {k}"),
                all_equal(state.log_pi, on.joint(state.factors), f"policy {k} is their product"),
                all_equal(state.V, V, f"V_{k}"),
            ],
        )
        q = judge.q(state.V)
        expected = [[list(row) for row in factor] for factor in state.factors]
        for i in range(len(expected)):
            expected[i] = on.softmax(q, expected, i)


@claim(
    "ace:monotone",
    says=r"V^{\pi_{k+1}} \ge V^{\pi_k}, \quad \pi_{k+1} \text{ by coordinates in turn, with temperature } \tau b_i",
    where="derived, see docs: each coordinate maximizes a lower bound that it shares with the others",
    kind="monotone",
    mode="numeric",
    instances=FOUR,
    controls=[
        mutant("all parts at once", tested=Simultaneous(SIZES, WEIGHTS)),
        mutant("tau in place of tau b_i", tested=OneTemperature(SIZES, WEIGHTS)),
        mutant("the entropies without their weights", solver=FactoredSoftPolicyIteration(SIZES), tested=ACE),
        mutant("the weights in the other order", tested=FactoredSoftPolicyIteration(SIZES, WEIGHTS[::-1])),
        mutant("the values fall", sign=-1),
    ],
    about=[FactoredSoftPolicyIteration],
)
def monotone(
    mdp: MDP,
    *,
    steps: int = 3,
    sign: int = 1,
    solver: FactoredSoftPolicyIteration = ACE,
    tested: FactoredSoftPolicyIteration | None = None,
) -> Iterator[Row]:
    """Coordinates in turn never lose value, whatever the weights of the entropies."""
    last: Any = None
    for k, (_, state, rows) in enumerate(the_iterates(mdp, steps, solver, tested)):
        yield from rows
        if last is not None:
            yield all_leq([sign * x for x in last.V], [sign * x for x in state.V], f"V_{k} is above V_{k - 1}")
        last = state


@claim(
    "sac:restricted-class",
    says=r"""\mathrm{KL}(\pi_{k+1} \| e^{Q_k/\tau}/Z) \le \mathrm{KL}(\pi_k \| e^{Q_k/\tau}/Z) \text{ in each state}
    \;\Rightarrow\; V_{k+1} \ge T_{\pi_{k+1}} V_k \ge V_k""",
    where="Lemma 2 (soft policy improvement in a class Pi), recalled; here the class of product policies",
    kind="monotone",
    mode="numeric",
    instances=FOUR,
    controls=[
        mutant("all parts at once", tested=Simultaneous(SIZES)),
        mutant("the divergence from the softmax at half the temperature", heat=2),
        mutant("the product reaches the soft maximum", whole=True),
    ],
    about=[FactoredSoftPolicyIteration, SoftPolicyIteration],
)
def restricted(
    mdp: MDP,
    *,
    steps: int = 3,
    heat: int = 1,
    whole: bool = False,
    tested: FactoredSoftPolicyIteration | None = None,
) -> Iterator[Row]:
    """Improvement within a restricted class is monotone where it comes nearer to the softmax of the action values."""
    last: Any = None
    for k, (on, state, rows) in enumerate(the_iterates(mdp, steps, FactoredSoftPolicyIteration(SIZES), tested)):
        yield from rows
        if last is not None:
            judge, tau = on.judge, on.tau
            q = judge.q(last.V)
            target = judge.log_softmax([heat * x for x in q], tau)
            near, far = (
                judge.mean([exp(x) for x in log_pi], [ball(x) - y for x, y in zip(log_pi, target, strict=True)])
                for log_pi in (state.log_pi, last.log_pi)
            )
            yield all_leq(near, far, f"policy {k} is nearer to the softmax")
            lifted = judge.mean(
                [exp(x) for x in state.log_pi], [x - tau * y for x, y in zip(q, state.log_pi, strict=True)]
            )
            soft = judge.soft_backup(last.V, tau)
            if heat == 1:
                drop = [x - tau * y for x, y in zip(soft, near, strict=True)]
                yield all_equal(lifted, drop, f"its backup is the soft maximum less tau times the divergence, k={k}")
            yield all_leq(last.V, lifted, f"T V_{k - 1} is above V_{k - 1}")
            yield all_leq(soft if whole else lifted, state.V, f"V_{k} is above T V_{k - 1}")
        last = state


def additive() -> list[Case]:
    """Rewards that are sums over the parts, and transitions that no action changes: Q is additive over the parts."""
    found: list[Case] = []
    for rows, law in (
        ([[0, 1, 2, 3], [3, 1, 2, 0]], [[Fraction(1, 3), Fraction(2, 3)], [Fraction(1, 2), Fraction(1, 2)]]),
        ([[1, 5, 0, 4], [2, 2, 0, 0]], [[Fraction(0), Fraction(1)], [Fraction(1, 4), Fraction(3, 4)]]),
    ):
        P = [[law[s]] * 4 for s in range(2)]
        mdp = MDP(P, [[Fraction(x) for x in row] for row in rows], EntropyRegularized(Fraction(4, 5), Fraction(1, 2)))
        found.append(Case(f"additive rewards {rows}", mdp))
    return found


@claim(
    "ace:one-part",
    says=r"""d = 1, b = 1:\ \pi_{k+1} \propto e^{Q_k/\tau}; \qquad
    Q(s, a) = \textstyle\sum_i Q_i(s, a_i),\ b = 1:\ \prod_i \pi_i \propto e^{Q_k/\tau}""",
    where="derived, see docs",
    kind="identity",
    mode="numeric",
    instances=chosen(additive),
    controls=[
        mutant("rewards that are not additive", spoiled=True),
        mutant("a weight of one half", weights=(Fraction(1), Fraction(1, 2))),
        mutant("two parts in the order of three", heat=2),
    ],
    about=[FactoredSoftPolicyIteration, SoftPolicyIteration],
)
def one_part(mdp: MDP, *, spoiled: bool = False, weights: tuple[Fraction, ...] = (), heat: int = 1) -> Iterator[Row]:
    """With one part, or additive action values, factored soft policy iteration is soft policy iteration."""
    if spoiled:
        r = mdp.reward.exact.reshape(2, 4).copy()  # type: ignore[union-attr]
        r[0, 0] += 1
        mdp = MDP([[row] * 4 for row in _laws(mdp)], r, mdp.criterion)
    judge = Judge(mdp)
    expected = [-log(4)] * judge.L
    one, two = FactoredSoftPolicyIteration(), FactoredSoftPolicyIteration(SIZES, weights)
    for k, (a, b) in enumerate(zip(iterates(mdp, one, 3), iterates(mdp, two, 3), strict=True)):
        yield all_equal(a.log_pi, expected, f"one part, policy {k}")
        yield all_equal(b.log_pi, expected, f"two parts, policy {k}")
        V = judge.soft_value(expected, judge.temperature)
        yield all_equal(a.V, V, f"one part, V_{k}")
        yield all_equal(b.V, V, f"two parts, V_{k}")
        expected = judge.log_softmax([heat * x for x in judge.q(V)], judge.temperature)


def _laws(mdp: MDP) -> list[list[Fraction]]:
    judge = Judge(mdp)
    return [judge.P_exact[pairs[0]] for pairs in judge.pairs]


def one_state(rewards: list[int], tau: Fraction) -> MDP:
    """Four actions in one state, two by two."""
    r = [[Fraction(x) for x in rewards]]
    return MDP([[[Fraction(1)]] * 4], r, EntropyRegularized(Fraction(1, 2), tau))


def games() -> list[Case]:
    """Two parts that should agree, as (0, 0) or as (1, 1)."""
    return [
        Case("two by two, r=(4, 0, 0, 5), tau=1/4", one_state([4, 0, 0, 5], Fraction(1, 4))),
        Case("two by two, r=(3, 1, 2, 2), tau=1", one_state([3, 1, 2, 2], Fraction(1))),
    ]


@claim(
    "ace:fixed-point",
    says=r"\pi_i \propto \exp \frac{\mathrm{E}_{a_j \sim \pi_j, j \ne i} Q^\pi}{\tau b_i}\ \forall i, \text{ in the limit}",
    where="derived, see docs",
    kind="identity",
    mode="numeric",
    instances=chosen(games),
    controls=[
        mutant("the weight left out", solver=ACE, told=FactoredSoftPolicyIteration(SIZES)),
        mutant("before the limit", steps=1),
    ],
    survivors={"off by one in k": "a limit is where it is from whichever step it is counted"},
    about=[FactoredSoftPolicyIteration],
    caveat="the limit is a Nash equilibrium of the parts in each state, not the best product policy",
)
def fixed_point(
    mdp: MDP,
    *,
    steps: int = 40,
    solver: FactoredSoftPolicyIteration = ACE,
    told: FactoredSoftPolicyIteration | None = None,
) -> Iterator[Row]:
    """In the limit every part is the softmax of its own mean action values."""
    judge = Judge(mdp)
    on = Product(judge, SIZES, (told or solver).weights or (Fraction(1),) * 2)
    *_, state = iterates(mdp, solver, steps)
    V = on.value(state.factors)
    yield all_equal(state.V, V, "the value")
    for i in range(2):
        expected = on.softmax(judge.q(V), state.factors, i)
        yield all_equal(flat([state.factors[i]]), flat([expected]), f"part {i}")


def clash() -> list[Case]:
    """Parts that should differ: at once, both move to the same choice; and parts of unequal weights."""
    return [Case("two by two, r=(0, 3, 3, 1), tau=1/4", one_state([0, 3, 3, 1], Fraction(1, 4)))]


def _rise(mdp: MDP, solver: FactoredSoftPolicyIteration, steps: int) -> Iterator[Row]:
    """The rows of the false statement that a step never loses value; the values are the judge's."""
    judge = Judge(mdp)
    on = Product(judge, SIZES, solver.weights or (Fraction(1),) * 2)
    last: Any = None
    for k, state in enumerate(iterates(mdp, solver, steps)):
        V = on.value(state.factors)
        if last is not None:
            yield leq(last[0], V[0], f"V_{k} is above V_{k - 1}")
        last = V


@claim(
    "ace:simultaneous",
    says=r"\text{false: } V^{\pi_{k+1}} \ge V^{\pi_k} \text{ where all parts move at once, } \pi_i^{k+1} \propto \exp"
    r"(\mathrm{E}_{\pi^k} Q / (\tau b_i))",
    where="found here: two parts that should differ",
    kind="counterexample",
    mode="numeric",
    instances=chosen(clash),
    controls=[mutant("one part after the other", solver=FactoredSoftPolicyIteration(SIZES))],
    about=[FactoredSoftPolicyIteration],
)
def simultaneous(
    mdp: MDP, *, solver: FactoredSoftPolicyIteration = Simultaneous(SIZES), steps: int = 4
) -> Iterator[Row]:
    """All parts at once can lose value: each answers what the others were."""
    yield from _rise(mdp, solver, steps)


def uneven() -> list[Case]:
    """Rewards that the second part decides."""
    return [Case("two by two, r=(0, 1, 0, 1), tau=1", one_state([0, 1, 0, 1], Fraction(1)))]


@claim(
    "ace:one-temperature",
    says=r"\text{false: } V^{\pi_{k+1}} \ge V^{\pi_k} \text{ with the temperature } \tau \text{ in place of } \tau b_i "
    r"\text{ in the improvement}",
    where="found here: b = (1, 3) and rewards of the second part alone",
    kind="counterexample",
    mode="numeric",
    instances=chosen(uneven),
    controls=[
        mutant("the temperatures tau b_i", solver=FactoredSoftPolicyIteration(SIZES, (Fraction(1), Fraction(3)))),
        mutant("unit weights", solver=OneTemperature(SIZES, (Fraction(1), Fraction(1)))),
    ],
    about=[FactoredSoftPolicyIteration],
)
def one_temperature(
    mdp: MDP,
    *,
    solver: FactoredSoftPolicyIteration = OneTemperature(SIZES, (Fraction(1), Fraction(3))),
    steps: int = 1,
) -> Iterator[Row]:
    """One temperature for parts of unequal weights can lose value."""
    yield from _rise(mdp, solver, steps)


def trap() -> list[Case]:
    """The uniform mean prefers the choice that the best pair of choices does not use."""
    return [Case("two by two, r=(5, 5, 0, 8), tau=1/10", one_state([5, 5, 0, 8], Fraction(1, 10)))]


@claim(
    "ace:not-the-best",
    says=r"\text{false: } \lim_k V^{\pi_k} \ge V^\pi \text{ for every product policy } \pi",
    where="found here: the limit is a Nash equilibrium of the parts only",
    kind="counterexample",
    mode="numeric",
    instances=chosen(trap),
    controls=[mutant("rewards on which means and maxima agree", rewards=(5, 5, 4, 8))],
    about=[FactoredSoftPolicyIteration],
)
def not_the_best(mdp: MDP, *, steps: int = 12, rewards: tuple[int, ...] = ()) -> Iterator[Row]:
    """The limit of coordinates in turn need not be the best product policy."""
    problem = one_state(list(rewards), Fraction(1, 10)) if rewards else mdp
    on = Product(Judge(problem), SIZES, (Fraction(1),) * 2)
    *_, state = iterates(problem, FactoredSoftPolicyIteration(SIZES), steps)
    near = [[[log(Fraction(1, 100)), log(Fraction(99, 100))]] for _ in SIZES]
    yield leq(on.value(near)[0], on.value(state.factors)[0], "the limit is above the policy that tends to (1, 1)")
