r"""Claims about Bellman backups with action decomposition, and about the naive discount after every token.

What the words are, and which begin alike, is taken from :mod:`mdpkit.proofs.dynamic_programming._words`; the nodes of the
tested tree are known by their names alone, a state and the tokens spoken.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

import mdpkit as mk
from mdpkit.certificates import certify_exact
from mdpkit.claims import Case, Row, all_equal, claim, equal, fact, leq, mutant
from mdpkit.claims.cases import chosen, discounted, joined, named
from mdpkit.claims.judge import Judge, array, ball, log
from mdpkit.claims.trial import answer, call, iterates, pose
from mdpkit.proofs.dynamic_programming._words import RAGGED, Words, distance
from mdpkit.reductions.prefix_expansion import PrefixExpansion
from mdpkit.solvers.dynamic_programming import BellmanActionDecomposition

F = Fraction
QUARTER = F(1, 4)
BAD = BellmanActionDecomposition(RAGGED)
NAIVE = BellmanActionDecomposition(RAGGED, discount="token")
EQUAL = "00,01,10,11"
NAIVE_EQUAL = BellmanActionDecomposition(EQUAL, discount="token")

INSTANCES = joined(
    discounted(sizes=((1, 4), (3, 4), (2, 3), (3, 4)), full=10), named("asset-selling?offers=3&gamma=1/2")
)


class Averaged(BellmanActionDecomposition):
    """A wrong backup: the mean over the next tokens inside a word."""

    def pairs(self, problem: Any, state: Any) -> Any:
        """Values of the next prefixes, halved."""
        x = super().pairs(problem, state)
        return np.where(state.tree.inside, x / 2, x)


def _solved_step(mdp: Any, tested: Any, arithmetic: Any, value: Any) -> tuple[Any, Any, Any, Any]:
    """The tested solver, its problem, and its states before and after a step from the values of the named nodes."""
    problem, solver = pose(mdp, tested, arithmetic)
    state = call(solver.init, problem)
    before = state._replace(V=array([value(node) for node in state.tree.prefixes]))
    return problem, solver, before, call(solver.step, problem, before)


@claim(
    "poad:optimality",
    says=r"Q(s, w^{<j}, w^j) = \max_{a \text{ begins with } w^{\le j}} Q^*(s, a) \text{ is the fixed point, and "
    r"} V(s) = V^*(s)",
    where="the consistency of the decomposition with the actions; recalled as a statement, derived here",
    kind="identity",
    mode="exact",
    instances=INSTANCES,
    controls=[
        mutant("a discount after every token", tested=NAIVE),
        mutant("half the value inside a word", tested=Averaged(RAGGED)),
        mutant("the word of the next action", words="10,110,111,0"),
    ],
    about=[BellmanActionDecomposition],
)
def optimality(mdp: Any, *, tested: BellmanActionDecomposition = BAD, words: str = RAGGED) -> Iterator[Row]:
    """The backup with action decomposition has the optimal values of the words as its fixed point."""
    judge = Judge(mdp)
    spoken = Words(judge, words)
    problem, solver, before, after = _solved_step(
        mdp, tested, "rational", lambda node: spoken.best(node, judge.optimal_q)
    )
    yield all_equal(after.V, before.V, "the backup of the lifted optimal values")
    yield all_equal(after.V[: judge.S], judge.optimal, "V of the states")
    yield all_equal(call(solver.words, problem, before), judge.optimal_q, "Q at the end of the words")
    found = call(solver.answer, problem, before)
    for s, k in enumerate(found.choice.tolist()):
        yield fact(k in judge.optimal_pairs[s], f"the word spelled in s={s} is optimal")


@claim(
    "poad:soft",
    says=r"V_\tau(s, w^{<j}) = \tau \log \sum_{a \text{ begins with } w^{<j}} e^{Q^*_\tau(s,a)/\tau}, \qquad "
    r"V_\tau(s) = V^*_\tau(s)",
    where="the soft form (sBAD), recalled; derived here from the chain rule of the entropy",
    kind="identity",
    mode="numeric",
    instances=discounted(sizes=((1, 4), (2, 4), (3, 3)), gammas=(F(1, 2), F(9, 10)), fast=4, full=12),
    controls=[
        mutant("a discount after every token", tested=NAIVE),
        mutant("half the value inside a word", tested=Averaged(RAGGED)),
        mutant("the entropy of the last token alone", chain=False),
        mutant("the reference policy left out", counted=False),
    ],
    about=[BellmanActionDecomposition],
)
def soft(
    mdp: Any,
    *,
    tested: BellmanActionDecomposition = BAD,
    tau: Fraction = QUARTER,
    chain: bool = True,
    counted: bool = True,
) -> Iterator[Row]:
    """With entropy, or a reference policy, the backup over tokens has the soft values of the words as its fixed point."""
    judge = Judge(mdp)
    spoken = Words(judge, RAGGED)
    for given in (False, True):
        reference = None
        if given:
            weights = np.array([F(1 + k % 3) for k in range(judge.L)], dtype=object)
            total = np.add.reduceat(weights, mdp.pair_ptr[:-1])
            reference = weights / total[mdp.state]
        logs = None if reference is None else [log(x) for x in reference]
        V = judge.soft_optimal(tau, logs)
        q = judge.q(V)
        if logs is not None and counted:
            q = [x + ball(tau) * y for x, y in zip(q, logs, strict=True)]
        problem = mdp.under(mk.EntropyRegularized(judge.gamma_exact, tau, reference))
        value: Any = lambda node, q=q: spoken.soft(node, q, tau) if chain else _capped(spoken, node, q, tau)  # noqa: E731
        canonical, solver, before, after = _solved_step(problem, tested, "ball", value)
        what = "with a reference" if given else "with entropy"
        yield all_equal(after.V, before.V, f"the backup of the lifted soft values {what}")
        yield all_equal(after.V[: judge.S], V, f"V of the states {what}")
        found = call(solver.answer, canonical, before)
        policy = [((q[k] - V[s]) / ball(tau)).exp() for k, s in enumerate(judge.state)]
        yield all_equal(found.policy, policy, f"the policy of words {what}")


def _capped(spoken: Words, node: Any, q: Any, tau: Any) -> Any:
    """The largest soft value among the next tokens: entropy is counted at the last token only."""
    options = [ks for ks in spoken.after(node) if ks]
    depth = len(node[1])
    out = None
    for ks in options:
        deeper = [k for k in ks if spoken.length[k] > depth + 1]
        x = q[ks[0]] if not deeper else spoken.soft((node[0], (*node[1], spoken.of[ks[0]][depth])), q, tau)
        out = x if out is None else out.max(x)
    return out


@claim(
    "poad:delayed-backup",
    says=r"V_k(s) = \max_a \{ r(s,a) + \gamma \textstyle\sum_{s'} P(s'|s,a) V_{k-|a|}(s') \}, \qquad "
    r"\|V_k - V^*\|_\infty \le \gamma^{\lfloor k/L \rfloor} \|V_0 - V^*\|_\infty",
    where="derived, see docs; V_j is zero where j < 0, as V_0",
    kind="upper",
    mode="exact",
    instances=INSTANCES,
    controls=[
        mutant("a discount after every token", tested=NAIVE),
        mutant("every word without delay", delay=False),
        mutant("modulus gamma for every backup of tokens", blocks=1),
        mutant("a length too much in the rate", blocks=-1, tested=BellmanActionDecomposition(RAGGED)),
    ],
    about=[BellmanActionDecomposition],
)
def delayed(
    mdp: Any, *, tested: BellmanActionDecomposition = BAD, delay: bool = True, blocks: int = 0, steps: int = 16
) -> Iterator[Row]:
    """A word of n tokens sees the values of n backups ago, and L backups contract like one over words."""
    judge = Judge(mdp)
    spoken = Words(judge, RAGGED)
    size = blocks if blocks > 0 else spoken.longest + blocks
    past: list[list[Fraction]] = []
    start: Any = None
    for k, state in enumerate(iterates(mdp, tested, steps, arithmetic="rational")):
        nodes = state.tree.prefixes
        expected = []
        for node in nodes:
            reach = [F(0)] if k == 0 else []
            for j in spoken.below(node) if k else []:
                back = spoken.length[j] - len(node[1]) if delay else 1
                reach.append(past[k - back][j] if back <= k else F(0))
            expected.append(max(reach))
        yield all_equal(state.V, expected, f"V_{k}")
        past.append(spoken.q(expected[: judge.S]))
        best = [spoken.best(node, judge.optimal_q) for node in nodes]
        error = distance(list(state.V), best)
        start = error if start is None else start
        yield leq(error, judge.gamma_exact ** (k // size) * start, f"k={k}", k=k)


@claim(
    "poad:naive-discount",
    says=r"\gamma \text{ after every token: } V(s) = \max_a \gamma^{|a|-1} \{ r(s,a) + \gamma \textstyle\sum_{s'} "
    r"P(s'|s,a) V(s') \}; \quad |a| = L \text{ for all } a \implies \text{rewards } \gamma^{L-1} r, \text{ discount } "
    r"\gamma^L",
    where="derived here; the case of equal lengths recalled",
    kind="identity",
    mode="exact",
    instances=INSTANCES,
    controls=[
        mutant("a discount at the ends of words only", ragged=BAD, equal_words=BellmanActionDecomposition(EQUAL)),
        mutant("one power of gamma too much on the rewards", extra=1),
        mutant("one power of gamma too few in the discount", shift=-1),
    ],
    about=[BellmanActionDecomposition],
)
def naive_discount(
    mdp: Any,
    *,
    ragged: BellmanActionDecomposition = NAIVE,
    equal_words: BellmanActionDecomposition = NAIVE_EQUAL,
    extra: int = 0,
    shift: int = 0,
) -> Iterator[Row]:
    """A discount after every token solves another model: a word of n tokens takes n steps and pays at the last one."""
    judge = Judge(mdp)
    gamma = judge.gamma_exact
    for words, tested in ((RAGGED, ragged), (EQUAL, equal_words)):
        spoken = Words(judge, words)
        late = [gamma ** (n - 1 + extra) for n in spoken.length]
        factor = [gamma ** (n + shift) if n + shift > 0 else gamma for n in spoken.length]
        other = _with_discounts(judge, [x * y for x, y in zip(late, judge.r_exact, strict=True)], factor)
        V = [F(x) for x in certify_exact(other, mdp.pair_ptr[:-1].copy()).lower.tolist()]
        q = [
            late[k] * judge.r_exact[k]
            + factor[k] * sum((p * v for p, v in zip(judge.P_exact[k], V, strict=True)), F(0))
            for k in range(judge.L)
        ]
        yield fact(all(max(q[k] for k in ks) == V[s] for s, ks in enumerate(judge.pairs)), "V solves the other model")
        raw = [x / gamma ** (n - 1) for x, n in zip(q, spoken.length, strict=True)] if gamma else q
        value: Any = lambda node, spoken=spoken, raw=raw: spoken.best(node, raw, gamma)  # noqa: E731
        _, _, before, after = _solved_step(mdp, tested, "rational", value)
        yield all_equal(after.V, before.V, f"the naive backup, words {words}")
        yield all_equal(after.V[: judge.S], V, f"V of the states, words {words}")
        expanded = call(PrefixExpansion(words, discount=tested.discount).apply, pose(mdp)[0].mdp)
        spelled = certify_exact(expanded.tokens, expanded.tokens.pair_ptr[:-1].copy()).lower
        yield all_equal(expanded.values(spelled)[: judge.S], V, f"the flattened model, words {words}")
        if words == EQUAL and not (extra or shift):
            scaled = mk.MDP(
                judge.mdp.P,
                np.array([gamma * x for x in judge.r_exact], dtype=object),
                mk.Discounted(gamma**2),
                state=judge.mdp.state,
                action=judge.mdp.action,
            )
            yield all_equal(V, Judge(scaled).optimal, "equal lengths: discount gamma^L, rewards gamma^(L-1) r")


def _with_discounts(judge: Judge, r: list[Fraction], gamma: list[Fraction]) -> mk.MDP:
    m = judge.mdp
    return mk.MDP(m.P, array(r), mk.Discounted(array(gamma)), state=m.state, action=m.action)


def _long_word(length: int, gamma: Fraction) -> Case:
    """One state: a word of one token pays 1, one of ``length`` tokens just less than what the naive discount asks of it."""
    worth = sum((gamma**-i for i in range(length)), F(0)) - F(1, 100)
    mdp = mk.MDP([[[F(1)], [F(1)]]], [[F(1), worth]], mk.Discounted(gamma), rho=0)
    return Case(f"one state, words of 1 and {length} tokens, rewards 1 and {worth}, gamma={gamma}", mdp)


@claim(
    "poad:naive-separation",
    says=r"\frac{V^*}{V^{\text{naive}}} = \sum_{i<L} \gamma^{-i} - \varepsilon > L",
    where="derived here: the naive discount prefers a reward of 1 for one token to one below the sum for L tokens",
    kind="separation",
    mode="exact",
    instances=chosen([_long_word(n, g) for n in (2, 3, 5, 8) for g in (F(1, 2), F(9, 10), F(99, 100))][::2]),
    controls=[
        mutant("a discount at the ends of words", tested="word"),
        mutant("a threshold without the powers of gamma", power=0),
    ],
    about=[BellmanActionDecomposition],
)
def naive_separation(mdp: Any, *, tested: Any = "token", power: int = 1) -> Iterator[Row]:
    """The best policy of the naive discount can be worse than the optimal one by a factor of more than the longest word."""
    judge = Judge(mdp)
    gamma, worth = judge.gamma_exact, judge.r_exact[1]
    length = 1
    while sum((gamma**-i for i in range(length)), F(0)) <= worth:
        length += 1
    code = ("0", "1" * length)
    V: list[Fraction] = []
    naive = BellmanActionDecomposition(code, discount="token")
    for k, state in enumerate(iterates(mdp, naive, 2 * length, arithmetic="rational")):
        long = gamma ** (length - 1) * (worth + gamma * V[k - length]) if k >= length else F(0)
        V.append(max(judge.r_exact[0] + gamma * V[k - 1], long) if k else F(0))
        yield equal(state.V[0], V[k], f"V_{k}")
    found = answer(mdp, BellmanActionDecomposition(code, discount=tested), gap=1e-12, most=4000)
    k = int(found.choice[0])
    achieved = judge.r_exact[k] / (1 - gamma)
    ratio = judge.optimal[0] / achieved
    yield equal(ratio, sum((gamma ** (-i * power) for i in range(length)), F(0)) - F(1, 100), f"the ratio, L={length}")
    yield leq(F(length) - F(1, 100), ratio, f"L={length}", k=length)


@claim(
    "poad:expansion",
    says=r"V^{\text{token}}(s) = V^\pi(s), \qquad Q^{\text{token}}(s, w^{<L}, w^L) = Q^\pi(s, a), \qquad "
    r"\pi(w|s, w^{<j}) = \frac{\pi(w^{<j} w \ldots | s)}{\pi(w^{<j} \ldots | s)}",
    where="evaluation, recalled as a statement; derived here, in units of kappa^j",
    kind="identity",
    mode="exact",
    instances=INSTANCES,
    controls=[
        mutant("a discount after every token", discount="token"),
        mutant("values in the units of the token model", scaled=False),
        mutant("tokens with the probabilities of whole words", conditional=False),
    ],
    about=[BellmanActionDecomposition],
)
def expansion(mdp: Any, *, discount: Any = "word", scaled: bool = True, conditional: bool = True) -> Iterator[Row]:
    """The expanded model has the values of every policy and the optimal ones, and policies go there and back."""
    judge = Judge(mdp)
    spoken = Words(judge, RAGGED)
    expanded = call(PrefixExpansion(RAGGED, discount).apply, pose(mdp)[0].mdp)
    nodes, tree = [(s, prefix) for (s, prefix) in expanded.tree.prefixes], expanded.tree
    weights = array([F(1 + (3 * k) % 4) for k in range(judge.L)])
    pi = weights / np.add.reduceat(weights, mdp.pair_ptr[:-1])[mdp.state]
    lifted = call(expanded.lift, pi)
    expected = []
    for node in nodes:
        parts = [sum((pi[k] for k in ks), F(0)) for ks in spoken.after(node) if ks]
        expected += [x / (sum(parts, F(0)) if conditional else F(1)) for x in parts]
    yield all_equal(lifted.weights, expected, "probabilities of the tokens")
    yield all_equal(call(expanded.retrieve, lifted).weights, pi, "there and back")
    # The first action everywhere: after prefixes that it never speaks the tokens are equally likely.
    sure = [F(int(k == pairs[0])) for pairs in judge.pairs for k in pairs]
    held = call(expanded.lift, array(sure))
    expected = []
    for node in nodes:
        parts = [sum((sure[k] for k in ks), F(0)) for ks in spoken.after(node) if ks]
        whole = sum(parts, F(0))
        expected += [x / whole if whole else F(1, len(parts)) for x in parts]
    yield all_equal(held.weights, expected, "probabilities of the tokens of one action")
    yield all_equal(call(expanded.retrieve, held).weights, sure, "one action there and back")
    V = mk.evaluate(expanded.tokens, lifted, exact=True).exact
    values = call(expanded.values, V) if scaled else V
    own = [F(x) for x in mk.evaluate(mdp, mk.Stationary.of(mdp, pi), exact=True).exact.tolist()]
    q = spoken.q(own)
    follows = [sum((pi[k] * q[k] for k in ks), F(0)) for ks in judge.pairs]
    yield all_equal(own, follows, "V of the policy solves its equation")
    yield all_equal(values, [spoken.mean(node, q, list(pi)) for node in nodes], "V of the prefixes")
    best = certify_exact(expanded.tokens, expanded.tokens.pair_ptr[:-1].copy())
    top = call(expanded.values, best.lower) if scaled else best.lower
    yield all_equal(top, [spoken.best(node, judge.optimal_q) for node in nodes], "optimal values of the prefixes")
    words = call(tree.descend, best.choice)
    yield fact(
        all(int(k) in judge.optimal_pairs[s] for s, k in enumerate(words.tolist())), "the words spelled are optimal"
    )
