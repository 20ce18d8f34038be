r"""Actions that are words: the token-level model, whose states are a state and the tokens spoken so far.

A code spells each action as a word of tokens, no word being the beginning of another. The tree of prefixes then has a leaf
for every pair of the model; a token inside a word leads on for certain, pays nothing and takes no time, the last one pays the
reward and is discounted. No pair of :class:`~mdpkit.models.Discounted` may have the factor 1, and none needs it: with the
values after j tokens counted in units of :math:`\kappa^j`, the factors are :math:`\kappa` inside a word and
:math:`\gamma \kappa^{1-\ell}` at the end of one of length :math:`\ell`, all of them below 1 for
:math:`\kappa = 1 - (1-\gamma)/\ell_{\max}`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np

from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.kernels import segments
from mdpkit.kernels.evaluation import entries_of
from mdpkit.kernels.rational import to_fraction
from mdpkit.models.criterion import Discounted
from mdpkit.models.mdp import MDP
from mdpkit.models.policy import Stationary
from mdpkit.models.rewards import from_exact_values
from mdpkit.models.transitions import Transitions
from mdpkit.typing import Array, Ints

__all__ = ["Code", "Expanded", "PrefixExpansion", "PrefixTree", "Word", "read_code", "words_of"]

Word = tuple[Hashable, ...]
Code = str | Sequence[Sequence[Hashable]]
"""A word for each action: ``"binary"``, ``"0,10,11"`` (a character is a token), or sequences of tokens."""


def read_code(code: Any) -> str | tuple[Word, ...]:
    """The code as tuples of tokens, checked; ``"binary"`` stays, since it depends on the number of actions.

    Raises
    ------
    OptionError
        If a word is empty, or the beginning of another one.
    """
    if isinstance(code, str) and "," not in code:
        if code != "binary":
            raise OptionError(
                "the code is unknown", found=code, needed="'binary', or words such as '0,10,11', or lists of tokens"
            )
        return code
    parts = [part.strip() for part in code.split(",")] if isinstance(code, str) else list(code)
    words: list[Word] = [tuple(cast("Sequence[Hashable]", word)) for word in parts]
    for a, word in enumerate(words):
        if not word:
            raise OptionError(f"the word of action {a} is empty", needed="at least one token")
        for b, other in enumerate(words):
            if a != b and other[: len(word)] == word:
                raise OptionError(
                    f"the word of action {a} is the beginning of that of action {b}",
                    found=f"{word} and {other}",
                    needed="a code that is free of prefixes",
                    way_out="end each word with a token of its own",
                )
    return tuple(words)


def words_of(code: Any, n_actions: int) -> tuple[Word, ...]:
    """The word of each of the actions 0 … n_actions - 1.

    Raises
    ------
    OptionError
        If there are fewer words than actions.
    """
    words = read_code(code)
    if isinstance(words, str):
        length = max(1, (n_actions - 1).bit_length())
        return tuple(tuple(format(a, f"0{length}b")) for a in range(n_actions))
    if len(words) < n_actions:
        raise OptionError(
            "the code has too few words", found=len(words), needed=f"one for each of the {n_actions} actions"
        )
    return words[:n_actions]


@dataclass(frozen=True, eq=False)
class PrefixTree:
    """The prefixes of the words of each state, as nodes: the states themselves first, then longer and longer prefixes.

    A *token pair* is a node with a token that may follow; they are sorted by node.

    Attributes
    ----------
    n_states : int
    node_ptr : (N + 1,) int
        First token pair of each node.
    child : (M,) int
        Node that the token leads to, -1 where it ends a word.
    word : (M,) int
        Pair of the model (row) whose word the token ends, -1 inside a word.
    token : (M,) int
        Index of the token in ``vocabulary``.
    level_ptr : tuple of int
        First node of each depth, and N.
    prefixes : tuple of (state, prefix)
    length : (L,) int
        Length of the word of each pair of the model.
    """

    n_states: int
    node_ptr: Ints
    child: Ints
    word: Ints
    token: Ints
    level_ptr: tuple[int, ...]
    vocabulary: tuple[Hashable, ...]
    prefixes: tuple[tuple[int, Word], ...] = field(repr=False)
    length: Ints = field(repr=False)

    @classmethod
    def of(cls, state: Ints, action: Ints, code: Any) -> PrefixTree:
        """The tree of the pairs ``(state, action)`` of a model, sorted by state, under a code."""
        words = words_of(code, int(action.max()) + 1)
        vocabulary = tuple(dict.fromkeys(token for word in words for token in word))
        index = {token: i for i, token in enumerate(vocabulary)}
        S = int(state[-1]) + 1
        below: dict[tuple[int, Word], dict[Hashable, int]] = {(s, ()): {} for s in range(S)}
        for k, (s, a) in enumerate(zip(state.tolist(), action.tolist(), strict=True)):
            word = words[a]
            for j in range(len(word)):
                below.setdefault((s, word[:j]), {})[word[j]] = k if j == len(word) - 1 else -1
        nodes = sorted(below, key=lambda node: (len(node[1]), node[0], [index[t] for t in node[1]]))
        number = {node: i for i, node in enumerate(nodes)}
        ptr, child, ends, tokens = [0], list[int](), list[int](), list[int]()
        for node in nodes:
            for token in sorted(below[node], key=lambda t: index[t]):
                k = below[node][token]
                ends.append(k)
                child.append(-1 if k >= 0 else number[node[0], (*node[1], token)])
                tokens.append(index[token])
            ptr.append(len(ends))
        depth = np.array([len(prefix) for _, prefix in nodes])
        levels = tuple(np.searchsorted(depth, np.arange(int(depth[-1]) + 2)).tolist())
        ints: Callable[[list[int]], Ints] = lambda x: np.array(x, dtype=np.int64)  # noqa: E731
        length = ints([len(words[a]) for a in action.tolist()])
        return cls(S, ints(ptr), ints(child), ints(ends), ints(tokens), levels, vocabulary, tuple(nodes), length)

    @property
    def n_nodes(self) -> int:
        """Number N of nodes."""
        return len(self.node_ptr) - 1

    @property
    def n_pairs(self) -> int:
        """Number M of token pairs."""
        return len(self.child)

    @cached_property
    def node(self) -> Ints:
        """Node of each token pair, ``(M,)``."""
        return np.repeat(np.arange(self.n_nodes), np.diff(self.node_ptr))

    @cached_property
    def depth(self) -> Ints:
        """Tokens spoken before each node, ``(N,)``."""
        return np.repeat(np.arange(len(self.level_ptr) - 1), np.diff(self.level_ptr))

    @cached_property
    def inside(self) -> Array:
        """Whether a token pair is inside a word, ``(M,)``."""
        return self.child >= 0

    def _levels(self) -> Iterator[tuple[slice, slice]]:
        for first, stop in zip(self.level_ptr[:-1], self.level_ptr[1:], strict=True):
            yield slice(first, stop), slice(int(self.node_ptr[first]), int(self.node_ptr[stop]))

    def values(self, q: Array, V: Array, inner: Any = 1) -> Array:
        """Values of the token pairs, ``(M,)``: of the word where it ends, ``inner`` times that of the next node inside it.

        ``q (L,)`` are the action values, ``V (N,)`` those of the nodes.
        """
        out = np.empty(self.n_pairs, dtype=np.result_type(q, V))
        out[self.inside] = inner * V[self.child[self.inside]]
        out[~self.inside] = q[self.word[~self.inside]]
        return out

    def expected(self, q: Array, pi: Array, inner: Any = 1) -> Array:
        """Values of the nodes ``(N,)`` when the token pairs are followed with probabilities ``pi (M,)``: one backward pass."""
        V = np.empty(self.n_nodes, dtype=np.result_type(q, pi))
        V[:] = q[0] * 0
        for nodes, pairs in reversed(list(self._levels())):
            x = self.values(q, V, inner)[pairs]
            V[nodes] = segments.mean(pi[pairs], x, self.node_ptr[nodes.start : nodes.stop + 1] - pairs.start)
        return V

    def spell(self, pi: Array) -> Array:
        """Probabilities of the words, ``(L,)``: products of those of their tokens."""
        reach = np.empty(self.n_nodes, dtype=pi.dtype)
        reach[: self.n_states] = pi[0] * 0 + 1
        out = np.empty(len(self.length), dtype=pi.dtype)
        for _, pairs in self._levels():
            x = reach[self.node[pairs]] * pi[pairs]
            inside = self.inside[pairs]
            reach[self.child[pairs][inside]] = x[inside]
            out[self.word[pairs][~inside]] = x[~inside]
        return out

    def conditional(self, weights: Array) -> Array:
        """Probabilities of the tokens, ``(M,)``, from those of the words; uniform after a prefix that is never spoken."""
        mass = np.empty(self.n_nodes, dtype=weights.dtype)
        mass[:] = weights[0] * 0
        for nodes, pairs in reversed(list(self._levels())):
            x = self.values(weights, mass)[pairs]
            mass[nodes] = segments.total(x, self.node_ptr[nodes.start : nodes.stop + 1] - pairs.start)
        total, count = mass[self.node], np.diff(self.node_ptr)[self.node]
        never = total == 0
        one = total * 0 + 1
        return np.where(never, one / count, self.values(weights, mass) / np.where(never, one, total))

    def descend(self, choice: Ints) -> Ints:
        """The pair of the model that is spelled from each state ``(S,)`` with token pair ``choice[node]`` after each node."""
        at = choice[: self.n_states].copy()
        for _ in range(len(self.level_ptr) - 2):
            on = self.inside[at]
            at[on] = choice[self.child[at[on]]]
        return self.word[at]


@dataclass(frozen=True, eq=False)
class Expanded:
    """A model in tokens, and the way back.

    Attributes
    ----------
    source : MDP
        The model whose actions are words.
    tree : PrefixTree
    tokens : MDP
        The token-level model; state s < S is the state s, and its ``state_names`` are (state, prefix).
    unit : (N,) array
        Units in which ``tokens`` counts the values of its states: 1 in those of the source.
    """

    source: MDP
    tree: PrefixTree
    tokens: MDP
    unit: Array

    def values(self, V: Array) -> Array:
        """Values of the prefixes ``(N,)`` from those of the model ``tokens``; the first S are those of the states."""
        return V * (self.unit if V.dtype == object else self.unit.astype(np.float64))

    def retrieve(self, policy: Any) -> Stationary:
        """The policy of words that a policy of tokens speaks."""
        spoken = Stationary.of(self.tokens, policy)
        if spoken.pairs is not None:
            return Stationary.from_pairs(self.source, self.tree.descend(spoken.pairs))
        return Stationary.of(self.source, self.tree.spell(spoken.weights))

    def lift(self, policy: Any) -> Stationary:
        """The policy of tokens that speaks the words of a policy."""
        return Stationary.of(self.tokens, self.tree.conditional(Stationary.of(self.source, policy).weights))


@dataclass(frozen=True)
class PrefixExpansion:
    r"""The token-level model of a discounted model whose actions are words.

    Parameters
    ----------
    code : str or sequence of words
        See :data:`Code`; the word of action id a is the a-th.
    discount : {"word", "token"}
        Discount at the end of each word, which keeps values and optimal policies; or after every token, the naive flattening,
        in which a word of length :math:`\ell` takes the time of :math:`\ell` steps.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("garnet", S=3, A=4, branching=2, gamma="9/10")
    >>> expanded = PrefixExpansion("0,10,110,111").apply(mdp)
    >>> expanded.tokens.n_states, expanded.tokens.n_pairs, expanded.tokens.is_exact
    (9, 18, True)
    >>> spoken = mk.solve(expanded.tokens, exact=True)
    >>> best = mk.solve(mdp, exact=True)
    >>> bool(np.all(spoken.exact[:3] == best.exact)), bool(np.all(expanded.retrieve(spoken.pi) == best.pi))
    (True, True)
    """

    code: Any = "binary"
    discount: Literal["word", "token"] = "word"

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", read_code(self.code))
        check_discount(self.discount)

    def accepts(self, mdp: MDP) -> bool:
        """Whether the model is discounted by one factor and its laws do not vary with the stage."""
        return isinstance(mdp.criterion, Discounted) and np.ndim(mdp.criterion.gamma) == 0 and mdp.stages is None

    def apply(self, mdp: MDP) -> Expanded:
        """The token-level model; exact where the model is.

        Raises
        ------
        UnsupportedError
            If the model is not discounted by one factor.
        OptionError
            If the code has too few words.
        """
        if not self.accepts(mdp):
            raise UnsupportedError(
                f"words are expanded in models with one discount factor, not under {mdp.criterion}",
                needed="Discounted(gamma)",
                way_out="mdp.under(mk.Discounted(0.95))",
            )
        tree = PrefixTree.of(mdp.state, mdp.action, self.code)
        c = cast(Discounted, mdp.criterion)
        exact = mdp.is_exact
        one: Any = to_fraction(1) if exact else 1.0
        gamma: Any = c.exact if exact else c.gamma
        last, word = ~tree.inside, tree.word[~tree.inside]
        if self.discount == "word":
            kappa = one - (one - gamma) / int(tree.length.max())
            powers = np.array([kappa**j for j in range(int(tree.length.max()))], dtype=object if exact else None)
        else:
            kappa = gamma
            powers = np.array([one] * int(tree.length.max()), dtype=object if exact else None)
        unit: Array = powers[tree.depth]
        dtype = unit.dtype
        factor, r = np.empty(tree.n_pairs, dtype=dtype), np.empty(tree.n_pairs, dtype=dtype)
        factor[tree.inside], r[tree.inside] = kappa, one * 0
        scale = unit[tree.node[last]]
        factor[last] = gamma / scale
        rewards: Any = mdp.reward.exact if exact else mdp.r
        r[last] = rewards[word] / scale
        rho, rho_exact = mdp.rho, mdp.rho_exact
        law: Any = rho_exact if exact else rho
        if law is not None:
            law = np.concatenate((law, np.array([one * 0] * (tree.n_nodes - mdp.n_states), dtype=law.dtype)))
        names = mdp.state_names or tuple(range(mdp.n_states))
        inner = np.zeros(tree.n_nodes - mdp.n_states, dtype=bool)
        tokens = MDP(
            _rows(mdp.P, tree, exact),
            from_exact_values(r) if exact else r,
            Discounted(factor),
            state=tree.node,
            action=tree.token,
            rho=law,
            minimize=mdp.minimize,
            labels={name: np.concatenate((mask, inner)) for name, mask in mdp.labels.items()},
            state_names=[(names[s], prefix) for s, prefix in tree.prefixes],
            pair_names=[str(tree.vocabulary[i]) for i in tree.token.tolist()],
        )
        return Expanded(mdp, tree, tokens, unit)


def check_discount(discount: Any) -> None:
    """Refuse another place of the discount than ``"word"`` and ``"token"``."""
    if discount not in ("word", "token"):
        raise OptionError("the place of the discount is unknown", found=discount, needed="'word' or 'token'")


def _rows(P: Transitions, tree: PrefixTree, exact: bool) -> Transitions:
    """One certain transition inside a word, the rows of the model at its end."""
    last = np.flatnonzero(~tree.inside)
    count = np.ones(tree.n_pairs, dtype=np.int64)
    count[last] = np.diff(P.indptr)[tree.word[last]]
    indptr = np.concatenate(([0], np.cumsum(count)))
    _, entry = entries_of(P.indptr, tree.word[last])
    ending = np.repeat(~tree.inside, count)
    columns = np.empty(int(indptr[-1]), dtype=np.int64)
    columns[~ending], columns[ending] = tree.child[tree.inside], P.indices[entry]
    data = np.ones(len(columns))
    data[ending] = P.data[entry]
    numbers = None
    if exact:
        numbers = np.empty(len(columns), dtype=object)
        numbers[~ending], numbers[ending] = to_fraction(1), P.rationals()[entry]
    return Transitions(indptr, columns, data, tree.n_nodes, numbers)
