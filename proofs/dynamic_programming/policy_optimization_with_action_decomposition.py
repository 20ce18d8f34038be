r"""Claims about policy optimization with action decomposition: its steps, their rate, and the advantages of tokens.

The words' probabilities and the values of their beginnings are put together by
:mod:`mdpkit.proofs.dynamic_programming._words` from the logarithms that the tested solver holds for each named node.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

import mdpkit as mk
from mdpkit.claims import Case, Row, all_equal, all_leq, claim, equal, leq, mutant
from mdpkit.claims.cases import chosen, discounted, joined
from mdpkit.claims.judge import Judge, array, ball, exp, largest, log, log_sum_exp
from mdpkit.claims.trial import call, iterates, pose
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.proofs.dynamic_programming._words import RAGGED, Words
from mdpkit.solvers.dynamic_programming import PolicyOptimizationWithActionDecomposition
from mdpkit.solvers.dynamic_programming.policy_optimization_with_action_decomposition import token_advantages

F = Fraction
ZERO, HALF = F(0), F(1, 2)


class Anchorless(PolicyOptimizationWithActionDecomposition):
    """A wrong step: from the uniform tokens, and not from the last ones."""

    def step(self, problem: Any, state: Any, rng: Any = None) -> Any:
        """The step of another algorithm."""
        return super().step(problem, state._replace(log_pi=0 * state.log_pi), rng)


class OwnWords(PolicyOptimizationWithActionDecomposition):
    """A wrong credit: the advantage of a token over its state, and not over what was spoken."""

    def advantages(self, on: Any, state: Any) -> Any:
        """Advantages with another baseline, and none of the words' ends."""
        A = super().advantages(on, state)
        return np.where(state.tree.inside, A, A * 2)


def POAD(eta: Fraction = HALF, **options: Any) -> PolicyOptimizationWithActionDecomposition:
    """The tested method, with words of lengths 1, 2, 3 and 3."""
    return PolicyOptimizationWithActionDecomposition(eta, RAGGED, **options)


class Tokens:
    """A policy of tokens and what follows from it: words, values, advantages, all by node and token."""

    def __init__(self, judge: Judge, spoken: Words, nodes: Any, log_pi: Any):
        self.nodes = list(nodes)
        self.options = {node: [ks for ks in spoken.after(node) if ks] for node in self.nodes}
        flat = iter(log_pi)
        self.log = {(node, spoken.of[ks[0]][len(node[1])]): next(flat) for node in nodes for ks in self.options[node]}
        self.log_words = [
            sum((self.log[(s, tuple(word[:j])), word[j]] for j in range(len(word))), ball(0))
            for s, word in zip(judge.state, spoken.of, strict=True)
        ]
        self.words = [exp(x) for x in self.log_words]
        self.V = judge.value(self.words)
        self.q = judge.q(self.V)
        self.node_V = {node: spoken.mean(node, self.q, self.words) for node in self.nodes}
        self.A: dict[Any, Any] = {}
        for node in self.nodes:
            s, prefix = node
            for ks in self.options[node]:
                token = spoken.of[ks[0]][len(prefix)]
                ends = spoken.length[ks[0]] == len(prefix) + 1
                value = self.q[ks[0]] if ends else self.node_V[s, (*prefix, token)]
                self.A[node, token] = value - self.node_V[node]


def _two_improvements() -> Case:
    """Staying pays 9/20; the other state pays 1 to those who stay there, which the uniform policy does not know yet."""
    P = [[[F(1), F(0)], [F(0), F(1)]], [[F(0), F(1)], [F(1), F(0)]]]
    mdp = mk.MDP(P, [[F(9, 20), F(0)], [F(1), F(0)]], mk.Discounted(HALF), rho=0)
    return Case("two states, stay or go, rewards 9/20 and 1 for staying, gamma=1/2", mdp)


@claim(
    "poad:mirror-rate",
    says=r"V^*(\rho) - V^{\pi_K}(\rho) \le \frac{1}{K} \Bigl( \frac{\max_a -\log \pi_0(a|s)}{\eta (1-\gamma)} + "
    r"\frac{L}{(1-\gamma)^2} \Bigr)",
    where="derived, see docs; rewards in [0, 1], uniform tokens at the start",
    kind="upper",
    mode="numeric",
    instances=joined(
        discounted(sizes=((1, 4), (2, 4), (2, 3)), gammas=(F(1, 2), F(9, 10)), fast=2, full=6),
        chosen(lambda: [_two_improvements()]),
    ),
    controls=[
        mutant("the anchor forgotten", tested=Anchorless(F(1, 2), RAGGED)),
        mutant("a discount after every token", tested=POAD(discount="token")),
        mutant("the ends of words credited twice", tested=OwnWords(F(1, 2), RAGGED)),
        mutant("neither term", solver=POAD(F(1, 100)), first=0, second=0),
        mutant("no second term", solver=POAD(F(1000)), second=0),
    ],
    about=[PolicyOptimizationWithActionDecomposition],
    caveat="of the length L in the second term it is only checked that it is enough",
)
def mirror_rate(
    mdp: Any,
    *,
    solver: PolicyOptimizationWithActionDecomposition | None = None,
    tested: PolicyOptimizationWithActionDecomposition | None = None,
    first: int = 1,
    second: int = 1,
    steps: int = 8,
) -> Iterator[Row]:
    """Mirror ascent on tokens closes in like 1/K; words enter by their length and by their first probability."""
    solver = solver or POAD()
    judge = Judge(mdp)
    spoken = Words(judge, RAGGED)
    eta, gamma = ball(solver.eta), judge.gamma
    best = judge.objective(judge.optimal)
    goal = [ks[0] for ks in judge.optimal_pairs]
    visits = judge.visits(judge.optimal_policy)
    bound: Any = None
    expected: Any = None
    credit: Any = None
    before: Any = None
    for k, state in enumerate(iterates(mdp, tested or solver, steps)):
        now = Tokens(judge, spoken, state.tree.prefixes, state.log_pi)
        if expected is None:
            expected = {key: -log(len(now.options[key[0]])) for key in now.log}
            first_term = first * largest(-x for x in now.log_words) / (eta * (1 - gamma))
            bound = first_term + second * spoken.longest / (1 - gamma) ** 2
        yield all_equal(list(now.log.values()), [expected[key] for key in now.log], f"log pi_{k}")
        yield all_equal(state.V, [now.node_V[node] for node in now.nodes], f"V_{k}")
        gap = best - judge.objective(now.V)
        if k:
            yield all_leq(before.V, now.V, f"monotone, k={k}")
            rise = [now.log_words[j] - before.log_words[j] + credit[j] for j in goal]
            path = sum((d * x for d, x in zip(visits, rise, strict=True)), ball(0)) / eta
            yield equal(best - judge.objective(before.V), path, f"the gap as a sum over the optimal words, k={k - 1}")
            yield leq(gap, bound / k, f"K={k}", k=k)
        raw = {key: x + eta * now.A[key] for key, x in now.log.items()}
        norm = {
            node: log_sum_exp([raw[node, spoken.of[ks[0]][len(node[1])]] for ks in now.options[node]])
            for node in now.nodes
        }
        expected = {key: x - norm[key[0]] for key, x in raw.items()}
        credit = [
            sum((norm[s, tuple(word[:j])] for j in range(len(word))), ball(0))
            for s, word in zip(judge.state, spoken.of, strict=True)
        ]
        before = now


def _rational_policy(judge: Judge) -> list[Fraction]:
    weights = [F(1 + (3 * k) % 4) for k in range(judge.L)]
    return [w / sum(weights[j] for j in judge.pairs[s]) for w, s in zip(weights, judge.state, strict=True)]


@claim(
    "poad:token-advantages",
    says=r"\sum_j A(s, w^{<j}, w^j) = A(s,a), \qquad \hat A^{\lambda=1}(s, w^{<1}, w^1) = \hat A^{\lambda=1}(s,a), \qquad "
    r"E[\hat A^\lambda \mid s, w] = Q^\pi(s,w) - V^\pi(s)",
    where="the estimates as in the published code [code]; the identities derived here",
    kind="identity",
    mode="numeric",
    instances=discounted(sizes=((2, 4), (2, 3)), gammas=(F(1, 2), F(9, 10)), fast=2, full=4),
    controls=[
        mutant("a discount after every token", discount="token"),
        mutant("lambda once for each word", by_words=True),
        mutant("another lambda", lambda_shift=F(1, 10)),
        mutant("the exact advantages with twice the credit at the ends of words", tested=OwnWords(F(1, 2), RAGGED)),
    ],
    about=[PolicyOptimizationWithActionDecomposition],
)
def advantages(
    mdp: Any,
    *,
    tested: PolicyOptimizationWithActionDecomposition | None = None,
    discount: Any = "word",
    by_words: bool = False,
    lambda_shift: Fraction = ZERO,
) -> Iterator[Row]:
    """The advantages of a word's tokens add up to its own, and estimates with a discount at its end are as good as exact."""
    judge = Judge(mdp)
    spoken = Words(judge, RAGGED)
    gamma = judge.gamma_exact
    pi = _rational_policy(judge)
    V = judge.exact_value(pi)
    q = spoken.q(V)
    exact = cache(lambda s, prefix: spoken.mean((s, tuple(prefix)), q, pi))
    rough = lambda s, prefix: F(s + 1, 3) - F(len(prefix), 7) + F(prefix.count("1"), 5)  # noqa: E731

    def estimate(path: Any, end: int, critic: Any, lambda_: Any) -> tuple[list[Any], list[Any], list[bool]]:
        """Estimates along the words ``path``, which lead to the state ``end``; temporal differences; ends of words."""
        nodes = [(judge.state[k], spoken.of[k][:j]) for k in path for j in range(spoken.length[k])]
        last = [j == spoken.length[k] - 1 for k in path for j in range(spoken.length[k])]
        pays = [judge.r_exact[k] if j == spoken.length[k] - 1 else F(0) for k in path for j in range(spoken.length[k])]
        values = [critic(s, prefix) for s, prefix in nodes] + [critic(end, "")]
        found = call(
            token_advantages, array(values), array(pays), np.array(last), gamma, lambda_ + lambda_shift, discount
        )
        steps = [gamma if x else F(1) for x in last]
        return (
            list(found),
            [r + g * v - u for r, g, u, v in zip(pays, steps, values[:-1], values[1:], strict=True)],
            last,
        )

    paths = [
        ((k, m), t)
        for k in judge.pairs[0]
        for s in range(judge.S)
        if judge.P_exact[k][s] > 0
        for m in judge.pairs[s]
        for t in range(judge.S)
        if judge.P_exact[m][t] > 0
    ]
    for lambda_ in (F(0), F(2, 5), F(1)):
        means: dict[str, list[Any]] = {token: [F(0), F(0)] for token in "01"}
        for number, (path, end) in enumerate(paths):
            if number < 6:
                found, delta, last = estimate(path, end, rough, lambda_)
                yield all_equal(found, _sums(delta, last, gamma, lambda_, by_words), f"path {number}, lambda={lambda_}")
                cut = spoken.length[path[0]]
                word = [
                    judge.r_exact[path[0]] + gamma * rough(judge.state[path[1]], "") - rough(0, ""),
                    judge.r_exact[path[1]] + gamma * rough(end, "") - rough(judge.state[path[1]], ""),
                ]
                if lambda_ == 0:
                    yield equal(sum(found[:cut], F(0)), word[0], f"the sum over a word, path {number}")
                if lambda_ == 1:
                    yield equal(found[0], word[0] + gamma * word[1], f"lambda=1 at the first token, path {number}")
            found, *_ = estimate(path, end, exact, lambda_)
            k, m = path
            weight = pi[k] * judge.P_exact[k][judge.state[m]] * pi[m] * judge.P_exact[m][end]
            token = spoken.of[k][0]
            means[token][0] += weight * found[0]
            means[token][1] += weight
        for token, (total, mass) in means.items():
            ks = [k for k in judge.pairs[0] if spoken.of[k][0] == token]
            own = sum((pi[k] * q[k] for k in ks), F(0)) / sum((pi[k] for k in ks), F(0))
            yield equal(total / mass, own - V[0], f"the mean estimate, token {token}, lambda={lambda_}")

    problem, solver = pose(mdp, tested or POAD(), "ball")
    state = call(solver.init, problem)
    A = call(solver.advantages, OnPolicy(problem), state)
    now = Tokens(judge, spoken, state.tree.prefixes, state.log_pi)
    named_A = dict(zip(now.log, A, strict=True))
    for k, word in enumerate(spoken.of):
        s = judge.state[k]
        total = sum((named_A[(s, tuple(word[:j])), word[j]] for j in range(len(word))), ball(0))
        yield equal(total, now.q[k] - now.V[s], f"exact advantages of the word {word} in s={s}")
    yield all_equal(list(A), list(now.A.values()), "exact advantages of the tokens")
    second = call(solver.step, problem, state)
    then = Tokens(judge, spoken, second.tree.prefixes, second.log_pi)
    yield all_equal(second.V, list(then.node_V.values()), "values after a step")
    stepped = then.log
    for node in now.nodes:
        at = [key for key in now.log if key[0] == node]
        x, y = ([z[key] - z[at[0]] for key in at] for z in (stepped, now.A))
        yield all_equal(x, [HALF.numerator * v / HALF.denominator for v in y], f"the first step after {node}")
    yield from _naive_values(judge, spoken)


def _naive_values(judge: Judge, spoken: Words) -> Iterator[Row]:
    """With a discount after every token the values are those of words that take as many steps as they have tokens."""
    problem, solver = pose(judge.mdp, POAD(discount="token"), "ball")
    state = call(solver.init, problem)
    now = Tokens(judge, spoken, state.tree.prefixes, state.log_pi)
    q = judge.q(state.V[: judge.S])
    means = [spoken.mean(node, q, now.words, judge.gamma) for node in state.tree.prefixes]
    yield all_equal(state.V, means, "values with a discount after every token")
    V = dict(zip(state.tree.prefixes, means, strict=True))
    expected: list[Any] = []
    for node in now.nodes:
        s, prefix = node
        for ks in now.options[node]:
            child = (s, (*prefix, spoken.of[ks[0]][len(prefix)]))
            expected.append((judge.gamma * V[child] if child in V else q[ks[0]]) - V[node])
    yield all_equal(call(solver.advantages, OnPolicy(problem), state), expected, "advantages with that discount")
    found = call(solver.answer, problem, state)
    yield all_equal(found.V, judge.value(now.words), "the answer counts a word as one action")


def _sums(delta: list[Any], last: list[bool], gamma: Any, lambda_: Any, by_words: bool) -> list[Any]:
    """The estimates as sums of temporal differences: each token between counts lambda, each end of a word gamma."""
    out = []
    for t in range(len(delta)):
        total, weight = F(0), F(1)
        for i in itertools.count(t):
            if i == len(delta):
                break
            total += weight * delta[i]
            weight *= (lambda_ if last[i] or not by_words else 1) * (gamma if last[i] else 1)
        out.append(total)
    return out
