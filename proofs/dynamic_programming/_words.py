"""Words and their beginnings, for claims about token-level methods: lists and dictionaries, none of the code under test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from mdpkit.claims.judge import Judge, ball, largest, log_sum_exp

Node = tuple[int, tuple[Any, ...]]

RAGGED = "0,10,110,111"
"""Words of lengths 1, 2, 3 and 3."""


class Words:
    """What a model says when the a-th of ``words`` is its action a.

    Attributes
    ----------
    of : list of str
        The word of each pair.
    gap : (L,) list of int
        Its length.
    """

    def __init__(self, judge: Judge, words: str):
        self.judge = judge
        spelled = words.split(",")
        self.of = [spelled[a] for a in judge.mdp.action.tolist()]
        self.length = [len(word) for word in self.of]
        self.longest = max(self.length)

    def below(self, node: Node) -> list[int]:
        """Pairs of the state whose word begins so."""
        s, prefix = node
        return [k for k in self.judge.pairs[s] if self.of[k].startswith("".join(prefix))]

    def after(self, node: Node) -> list[list[int]]:
        """The same, by the next token, in the order of the tokens 0 and 1."""
        j = len(node[1])
        return [[k for k in self.below(node) if self.of[k][j] == token] for token in "01"]

    def best(self, node: Node, q: Sequence[Any], inner: Any = 1) -> Any:
        """The largest action value of the words that begin so, times ``inner`` for each token still to come but the last."""
        return max(inner ** (self.length[k] - 1 - len(node[1])) * q[k] for k in self.below(node))

    def soft(self, node: Node, q: Sequence[Any], tau: Any) -> Any:
        """The soft maximum of the action values of the words that begin so."""
        return ball(tau) * log_sum_exp([ball(q[k]) / ball(tau) for k in self.below(node)])

    def mean(self, node: Node, q: Sequence[Any], pi: Sequence[Any], inner: Any = 1) -> Any:
        """The mean action value of the words that begin so, under a policy of words that begins so at all."""
        mass = sum((pi[k] for k in self.below(node)), 0 * pi[0])
        factor: Callable[[int], Any] = lambda k: inner ** (self.length[k] - 1 - len(node[1]))  # noqa: E731
        return sum((pi[k] * factor(k) * q[k] for k in self.below(node)), 0 * pi[0]) / mass

    def q(self, V: Sequence[Any]) -> list[Fraction]:
        """Action values of the words, in Fractions."""
        return self.judge.exact_q(V)


def distance(xs: Sequence[Any], ys: Sequence[Any]) -> Any:
    """The largest difference, a Fraction or a ball."""
    differences = [abs(x - y) for x, y in zip(xs, ys, strict=True)]
    return max(differences) if isinstance(differences[0], Fraction) else largest(differences)
