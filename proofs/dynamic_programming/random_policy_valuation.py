r"""Claims about random policy valuation: when one look at the uniform policy is enough, and what the softmax policy loses.

What is compared with is counted path by path, in Fractions, by :class:`Paths`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import mdpkit as mk
from mdpkit.claims import Case, Row, all_equal, claim, equal, fact, geq, leq, mutant
from mdpkit.claims.cases import chosen, joined, named
from mdpkit.claims.judge import ball, exp, largest
from mdpkit.claims.trial import answer
from mdpkit.solvers.dynamic_programming import RandomPolicyValuation

F = Fraction
FINE, ONE = F(5, 10**7), F(1)
TEMPERATURES = (F(1, 20), F(1, 10), F(1, 2))
RPV = RandomPolicyValuation()


class Paths:
    """A small rational model over a finite horizon without terminal rewards, followed path by path."""

    def __init__(self, mdp: mk.MDP):
        c: Any = mdp.criterion
        self.H, self.S, self.L = int(c.H), mdp.n_states, mdp.n_pairs
        ptr = mdp.pair_ptr.tolist()
        self.pairs = [range(ptr[s], ptr[s + 1]) for s in range(self.S)]
        self.r = [F(x) for x in mdp.reward.exact.tolist()]  # type: ignore[union-attr]
        self.P: list[list[tuple[int, Fraction]]] = [[] for _ in range(self.L)]
        for k, t, p in zip(mdp.P.row_of.tolist(), mdp.P.indices.tolist(), mdp.P.rationals().tolist(), strict=True):
            self.P[k].append((t, F(p)))
        self.best = cache(self._best)
        self.totals = cache(self._totals)

    def _best(self, h: int, s: int) -> Fraction:
        return F(0) if h == self.H else max(self.best_q(h, k) for k in self.pairs[s])

    def best_q(self, h: int, k: int) -> Fraction:
        """The optimal value of a pair in stage h."""
        return self.r[k] + sum((p * self.best(h + 1, t) for t, p in self.P[k]), F(0))

    def _totals(self, h: int, s: int, mean: bool) -> list[tuple[Fraction, Fraction]]:
        """Every path of uniform actions from a state on: its probability (or, without ``mean``, 1) and what it pays."""
        if h == self.H:
            return [(F(1), F(0))]
        share = F(1, len(self.pairs[s])) if mean else F(1)
        return [(share * w, x) for k in self.pairs[s] for w, x in self.after(h, k, mean)]

    def after(self, h: int, k: int, mean: bool = True) -> list[tuple[Fraction, Fraction]]:
        """The same after a pair in stage h."""
        return [(p * w, self.r[k] + x) for t, p in self.P[k] for w, x in self.totals(h + 1, t, mean)]

    def q(self, h: int, k: int, mean: bool = True) -> Fraction:
        """The value of a pair under uniform actions; without ``mean``, the sum over all paths."""
        return sum((w * x for w, x in self.after(h, k, mean)), F(0))

    def value(self, choice: Any, h: int, s: int) -> Fraction:
        """The value of a deterministic policy, pairs by stage and state."""
        if h == self.H:
            return F(0)
        k = int(choice[h][s])
        return self.r[k] + sum((p * self.value(choice, h + 1, t) for t, p in self.P[k]), F(0))

    def within_reach(self, starts: Iterable[int]) -> list[list[int]]:
        """States that can be met in each stage."""
        met = [sorted(starts)]
        for _ in range(self.H - 1):
            met.append(sorted({t for s in met[-1] for k in self.pairs[s] for t, _ in self.P[k]}))
        return met

    def reach(self, policy: Any, start: int) -> list[list[Any]]:
        """Probabilities of the states in each stage under a policy, probabilities of pairs by stage."""
        law: list[list[Any]] = [[ball(int(s == start)) for s in range(self.S)]]
        for h in range(self.H):
            after = [ball(0)] * self.S
            for s in range(self.S):
                if law[h][s] == 0:
                    continue
                for k in self.pairs[s]:
                    for t, p in self.P[k]:
                        after[t] += law[h][s] * policy[h][k] * ball(p)
            law.append(after)
        return law


def _greedy_rows(mdp: Any, tested: RandomPolicyValuation, *, mean: bool = True, once: bool = False) -> Iterator[Row]:
    paths = Paths(mdp)
    found = answer(mdp, tested, arithmetic="rational")
    for h in range(paths.H):
        expected = []
        for s in range(paths.S):
            if once:  # each end counted once, however many paths lead to it
                ends = {x for k in paths.pairs[s] for _, x in paths.after(h, k)}
                expected.append(sum(ends, F(0)) / len(ends))
            else:
                expected.append(sum((w * x for w, x in paths.totals(h, s, mean)), F(0)))
        yield all_equal(found.V[h], expected, f"V of the uniform policy, stage {h}")
        for s in range(paths.S):
            yield equal(paths.best_q(h, int(found.choice[h][s])), paths.best(h, s), f"greedy, stage {h}, s={s}")
        yield fact(
            all((paths.q(h, k) > 0) == (paths.best_q(h, k) > 0) for k in range(paths.L)),
            f"worth anything, stage {h}",
        )
    for s in range(paths.S):
        yield equal(paths.value(found.choice, 0, s), paths.best(0, s), f"the value of the greedy policy, s={s}")


def _trees(level: Any, rng: Any) -> Iterable[Case]:
    for i in range(2 if level == "fast" else 6):
        length, letters = ((3, 2), (2, 3), (4, 2))[i % 3]
        source = (
            f"answer-tree?length={length}&letters={letters}&right=1/{2 + 3 * (i % 3)}&seed={rng.integers(0, 10_000)}"
        )
        yield Case(source, mk.instances.make(source))


@claim(
    "rover:greedy",
    says=r"Q_u(s,a) > 0 \iff Q^*(s,a) = R, \qquad \arg\max_a Q_u(s,a) \subseteq \arg\max_a Q^*(s,a)",
    where="Theorem 3.1, seen",
    kind="identity",
    mode="exact",
    instances=joined(named("rover-tree"), _trees),
    controls=[
        mutant("a sum over the next actions in place of the mean", mean=False),
        mutant("a stage too few", shorter=1),
    ],
    about=[RandomPolicyValuation],
    domain="deterministic transitions on a tree, terminal rewards 0 or R",
)
def greedy(mdp: Any, *, tested: RandomPolicyValuation = RPV, mean: bool = True, shorter: int = 0) -> Iterator[Row]:
    """The greedy policy of the uniform policy's action values is optimal on trees of right and wrong answers."""
    shown = mdp if not shorter else mdp.under(mk.FiniteHorizon(mdp.criterion.H - shorter))
    yield from _greedy_rows(mdp, tested, mean=mean) if not shorter else _compared(mdp, shown, tested)


def _compared(mdp: Any, other: Any, tested: RandomPolicyValuation) -> Iterator[Row]:
    """The answer of another model's solver beside the model's own numbers."""
    paths = Paths(mdp)
    found = answer(other, RandomPolicyValuation(anywhere=True, temperature=tested.temperature), arithmetic="rational")
    expected = [sum((w * x for w, x in paths.totals(0, s, True)), F(0)) for s in range(paths.S)]
    yield all_equal(found.V[0], expected, "V of the uniform policy, stage 0")


def _graphs(level: Any, rng: Any) -> Iterable[Case]:
    """Deterministic graphs in layers, and with cycles, whose last state pays once: paths meet again."""
    for i in range(2 if level == "fast" else 8):
        S, H = 5, 3 + i % 2
        rows = []
        for s in range(S):
            for a in range(2 + (s + i) % 2):
                t = int(rng.integers(0, S)) if i % 2 else min(S, s + 1 + int(rng.integers(0, 3)))
                right = s == S - 1 and a == 0
                rows.append((s, a, S if right else t, 1, int(right)))
        rows.append((S, 0, S, 1, 0))
        mdp = mk.MDP.from_transitions(rows, mk.FiniteHorizon(H))
        yield Case(f"graph {'with cycles' if i % 2 else 'in layers'}, rows {rows}, H={H}", mdp)


@claim(
    "rover:graphs",
    says=r"\text{deterministic transitions and } \textstyle\sum_t r_t \in \{0, R\} \text{ on every path} \implies "
    r"\arg\max_a Q_u \subseteq \arg\max_a Q^*",
    where="derived here: Theorem 3.1 without the tree (that it fails on graphs was recalled, and is false)",
    kind="identity",
    mode="exact",
    instances=_graphs,
    controls=[
        mutant("a sum over the next actions in place of the mean", mean=False),
        mutant("each end counted once, not each path to it", once=True),
    ],
    about=[RandomPolicyValuation],
)
def graphs(mdp: Any, *, tested: RandomPolicyValuation = RPV, mean: bool = True, once: bool = False) -> Iterator[Row]:
    """The greedy policy is optimal on any deterministic graph on which a path is paid once or not at all."""
    yield from _greedy_rows(mdp, tested, mean=mean, once=once)


@claim(
    "rover:softmax",
    says=r"V^{\pi_\rho}(s_0) = R\Bigl(1 - \sum_{s \in \mathcal P} \Pr(s) \sum_{a: Q_u(s,a) = 0} \pi_\rho(a|s)\Bigr) \ge "
    r"R\Bigl(1 - \sum_{s \in \mathcal P} \Pr(s) \frac{N(s)}{N(s) + \exp(\max_a Q_u(s,a)/\rho)}\Bigr)",
    where="Theorem 3.2, seen; the identity, and that the bound is attained with one good action in each key state, derived",
    kind="lower",
    mode="numeric",
    instances=joined(named("rover-tree"), _trees, _graphs),
    controls=[
        mutant("a sum over the next actions in place of the mean", mean=False),
        mutant("one worthless action too few", fewer=1),
        mutant("R in place of the largest action value", largest_is_R=True),
        mutant("twice the temperature", factor=2),
    ],
    about=[RandomPolicyValuation],
    domain="as Theorem 3.1, or the graphs; a path from the start is paid",
)
def softmax(
    mdp: Any,
    *,
    mean: bool = True,
    fewer: int = 0,
    largest_is_R: bool = False,
    factor: int = 1,
) -> Iterator[Row]:
    """The softmax policy loses what it gives to worthless actions in key states, and so at most the bound."""
    paths = Paths(mdp)
    R = ball(max(paths.r))
    starts = [0] if mdp.rho is not None else [0, 2]
    q = [[paths.q(h, k, mean) for k in range(paths.L)] for h in range(paths.H)]
    for rho in TEMPERATURES:
        found = answer(mdp, RandomPolicyValuation(temperature=rho), arithmetic="ball")
        policy = found.policy
        for h, met in enumerate(paths.within_reach(starts)):
            top = [max(q[h][k] for k in paths.pairs[s]) for s in met]
            yield all_equal([q[h][found.choice[h][s]] for s in met], top, f"greedy, stage {h}, rho={rho}")
            expected, given = [], []
            for s in met:
                weights = [exp(ball(q[h][k]) / ball(factor * rho)) for k in paths.pairs[s]]
                expected += [w / sum(weights, ball(0)) for w in weights]
                given += [policy[h][k] for k in paths.pairs[s]]
            yield all_equal(given, expected, f"the policy, stage {h}, rho={rho}")
        for start in starts:
            if paths.best(0, start) == 0:
                continue
            law = paths.reach(policy, start)
            value, lost, bound, loose, tight = ball(0), ball(0), ball(0), ball(0), True
            for h in range(paths.H):
                for s, ks in enumerate(paths.pairs):
                    if law[h][s] == 0:
                        continue
                    value += sum((law[h][s] * policy[h][k] * ball(paths.r[k]) for k in ks), ball(0))
                    zero = [k for k in ks if q[h][k] == 0]
                    if not 0 < len(zero) < len(ks):
                        continue
                    lost += law[h][s] * sum((policy[h][k] for k in zero), ball(0))
                    top = R if largest_is_R else largest(q[h][k] for k in ks)
                    tight &= len(ks) - len(zero) == 1
                    n, weight = len(zero) - fewer, exp(top / ball(rho))
                    bound += law[h][s] * n / (n + weight)
                    loose += law[h][s] * n / weight
            at = f"s={start}, rho={rho}"
            yield equal(value, R * (1 - lost), f"the loss is what worthless actions get, {at}")
            if tight:
                yield equal(value, R * (1 - bound), f"attained with one good action in each key state, {at}")
            else:
                yield leq(R * (1 - bound), value, at, k=float(rho), series=f"s={start}")
            yield leq(R * (1 - loose), R * (1 - bound), f"the union bound with exp(-max Q/rho) is weaker, {at}")


@claim(
    "rover:didactic-tree",
    says=r"Q_u = \tfrac1{16}, \tfrac14, 1, \qquad V^{\pi_\rho} = \frac{e^{1/(4\rho)}}{e^{1/(4\rho)}+3} \cdot "
    r"\frac{e^{1/\rho}}{e^{1/\rho}+3} = .980187, .802295, .252247 \text{ at } \rho = .05, .1, .5",
    where="the didactic example, seen; the closed form derived here",
    kind="tight",
    mode="numeric",
    instances=named("rover-tree"),
    controls=[
        mutant("a sum over the next actions in place of the mean", mean=False),
        mutant("the value of the first letter counted once more", extra=1),
        mutant("three letters in place of four", letters=3),
    ],
    about=[RandomPolicyValuation],
)
def didactic(mdp: Any, *, mean: bool = True, extra: int = 0, letters: int = 4) -> Iterator[Row]:
    """On the paper's tree all first letters are alike, and the other two are right with probabilities in closed form."""
    paths = Paths(mdp)
    names = list(mdp.state_names)
    found = answer(mdp, RPV, arithmetic="ball")
    V = found.V
    for word in ("ACD", "BDC", "CAB", "DBA"):
        for h in (1, 2):
            chosen_pair = int(found.choice[h][names.index(word[:h])])
            yield fact(mdp.pair_names[chosen_pair] == word[h], f"after {word[:h]} comes {word[h]}")
    for h, (prefix, share) in enumerate((("", F(1, 16)), ("A", F(1, 16)), ("AC", F(1, 4)))):
        yield equal(V[h][names.index(prefix)], share if mean else share * 4 ** (2 - h), f"V after {prefix!r}")
    for rho, printed in zip(TEMPERATURES, ("0.980187", "0.802295", "0.252247"), strict=True):
        policy = answer(mdp, RandomPolicyValuation(temperature=rho), arithmetic="ball").policy
        law = paths.reach(policy, 0)
        value = sum(
            (law[2][s] * policy[2][k] * ball(paths.r[k]) for s in range(paths.S) for k in paths.pairs[s]), ball(0)
        )
        first, second = (exp(ball(x) / ball(rho)) for x in (F(1, 4), F(1)))
        form = first / (first + letters - 1) * second / (second + letters - 1) * (first / second) ** extra
        yield equal(value, form, f"closed form, rho={rho}")
        yield leq(abs(value - ball(F(printed))), FINE, f"as printed, rho={rho}")


def _false_greedy(mdp: Any) -> Iterator[Row]:
    paths = Paths(mdp)
    found = answer(mdp, RandomPolicyValuation(anywhere=True), arithmetic="rational")
    yield geq(paths.value(found.choice, 0, 0), paths.best(0, 0), "the greedy policy is optimal")


def _fork(sure: Fraction, chance: Fraction = ONE) -> mk.MDP:
    """Left, one of two actions pays 1; right, both pay ``sure``, and the way there succeeds with probability ``chance``."""
    rows = [(0, "left", 1, 1, 0), (0, "right", 2, chance, 0), (3, "stay", 3, 1, 0)]
    rows += [(0, "right", 3, 1 - chance, 0)] if chance < 1 else []
    rows += [(1, a, 3, 1, int(a == "right")) for a in ("left", "right")]
    rows += [(2, a, 3, 1, sure) for a in ("left", "right")]
    return mk.MDP.from_transitions(rows, mk.FiniteHorizon(2), rho=[1, 0, 0, 0])


@claim(
    "rover:graded",
    says=r"\text{rewards of several sizes: } \arg\max_a Q_u \subseteq \arg\max_a Q^* \text{ is false}",
    where="derived here; that it must fail was recalled",
    kind="counterexample",
    mode="exact",
    instances=chosen(lambda: [Case("fork: (0, 1) or (3/5, 3/5)", _fork(F(3, 5)))]),
    controls=[mutant("rewards of one size", size=F(1))],
    about=[RandomPolicyValuation],
)
def graded(mdp: Any, *, size: Any = None) -> Iterator[Row]:
    """With rewards of several sizes the greedy policy of the uniform one prefers many fair answers to one good one."""
    yield from _false_greedy(mdp if size is None else _fork(size))


@claim(
    "rover:stochastic",
    says=r"\text{random transitions: } \arg\max_a Q_u \subseteq \arg\max_a Q^* \text{ is false}",
    where="derived here; that it must fail was recalled",
    kind="counterexample",
    mode="exact",
    instances=chosen(lambda: [Case("fork: (0, 1), or (1, 1) with probability 3/5", _fork(F(1), F(3, 5)))]),
    controls=[mutant("a way that is certain", certain=True)],
    about=[RandomPolicyValuation],
)
def stochastic(mdp: Any, *, certain: bool = False) -> Iterator[Row]:
    """With random transitions the greedy policy of the uniform one takes a chance although it could have certainty."""
    yield from _false_greedy(_fork(F(1)) if certain else mdp)


@claim(
    "rover:unsolvable",
    says=r"\text{no paid path: } V^{\pi_\rho} \ge R\Bigl(1 - \sum_{s \in \mathcal P} \ldots\Bigr) \text{ is false, for } "
    r"\mathcal P = \emptyset",
    where="derived here: Theorem 3.2 needs a path from the start that is paid",
    kind="counterexample",
    mode="numeric",
    instances=chosen(lambda: [Case("fork: (0, 1) or (0, 0), from the right", _fork(F(0)).under(rho=[0, 0, 1, 0]))]),
    controls=[mutant("a start from which a path is paid", start=0)],
    about=[RandomPolicyValuation],
)
def unsolvable(mdp: Any, *, start: int = 2) -> Iterator[Row]:
    """Where nothing can be won the bound promises everything, since there is no key state."""
    paths = Paths(mdp)
    rho = TEMPERATURES[-1]
    policy = answer(mdp, RandomPolicyValuation(temperature=rho), arithmetic="ball").policy
    law = paths.reach(policy, start)
    value, bound = ball(0), ball(0)
    for h in range(paths.H):
        for s, ks in enumerate(paths.pairs):
            value += sum((law[h][s] * policy[h][k] * ball(paths.r[k]) for k in ks), ball(0))
            n = sum(paths.q(h, k) == 0 for k in ks)
            if 0 < n < len(ks):
                bound += law[h][s] * n / (n + exp(largest(paths.q(h, k) for k in ks) / ball(rho)))
    yield geq(value, 1 - bound, "the bound of Theorem 3.2")
