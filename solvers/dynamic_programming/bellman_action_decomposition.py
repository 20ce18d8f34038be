r"""Value iteration token by token: actions are words, and the discount is at their ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from mdpkit.kernels import reference, softmax
from mdpkit.models.arithmetic import number
from mdpkit.models.canonical import Canonical
from mdpkit.operators.bellman import span_gap
from mdpkit.reductions.prefix_expansion import PrefixTree, check_discount, read_code
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Array

__all__ = ["BellmanActionDecomposition", "State"]


class State(NamedTuple):
    """Values of all prefixes, those of the states first."""

    V: Array
    tree: PrefixTree
    gap: float


@dataclass(frozen=True)
class BellmanActionDecomposition(IterativeSolver[State]):
    r"""Bellman backup with action decomposition (BAD): value iteration over states and the tokens spoken so far.

    .. math:: V_{k+1}(s, w^{<j}) = \max_{w^j} Q_k(s, w^{<j}, w^j), \qquad
              Q_k(s, w^{<j}, w^j) = \begin{cases} V_k(s, w^{\le j}) & \text{inside a word} \\
              r(s,a) + \gamma \sum_{s'} P(s'|s,a) V_k(s') & \text{at the end of the word } a \end{cases}

    All prefixes are updated at once. For a model with entropy, or with a reference policy, the maximum is
    :math:`\tau \log \sum_w \exp(Q/\tau)`, and the reference is counted at the end of the word (the soft form, sBAD).

    **Guarantee.** The fixed point is that of the words: V at a state is the optimal value, Q at the end of a word the optimal
    action value (``poad:optimality``), also with entropy (``poad:soft``); with words of length at most L, :math:`\|V_k - V^*\|
    \le \gamma^{\lfloor k/L \rfloor} \|V_0 - V^*\|` over all prefixes (``poad:delayed-backup``). With a discount after every
    token it is the fixed point of another model (``poad:naive-discount``), whose best policy can be worse by more than the
    length of a word (``poad:naive-separation``).

    Parameters
    ----------
    code : str or sequence of words
        The word of each action id: ``"binary"``, ``"0,10,11"``, or sequences of tokens; no word begins another one.
    discount : {"word", "token"}
        Where the discount is: at the end of each word, or after every token, the naive flattening of the comparison.

    References
    ----------
    ``poad`` (the backup, recalled; its fixed point derived, see the theory pages).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("garnet", S=3, A=4, branching=2, gamma="9/10")
    >>> sol = mk.solve(mdp, BellmanActionDecomposition("0,10,110,111"))
    >>> sol.status.ok, sol.pi
    (True, Stationary([3, 0, 2]))
    """

    cites: ClassVar = ("poad",)
    claims: ClassVar = (
        "poad:optimality",
        "poad:soft",
        "poad:delayed-backup",
        "poad:naive-discount",
        "poad:naive-separation",
    )
    kinds: ClassVar = ("discounted", "regularized")
    needs: ClassVar = "one discount factor"

    code: Any = "binary"
    discount: Literal["word", "token"] = "word"

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", read_code(self.code))
        check_discount(self.discount)

    def accepts(self, problem: Canonical) -> bool:
        """Whether the problem is discounted by one factor."""
        return super().accepts(problem) and problem.one_discount

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """All values zero."""
        tree = PrefixTree.of(problem.state, problem.mdp.action, self.code)
        return State(number(problem, np.zeros(tree.n_nodes)), tree, np.inf)

    def words(self, problem: Canonical, state: State) -> Array:
        """Action values of the words ``(L,)``; with entropy, those of the reference policy counted in."""
        q = reference.q_values(problem.P, problem.r, problem.gamma, state.V[: problem.n_states])
        return q if problem.reference is None else q + problem.tau * np.log(problem.reference)

    def pairs(self, problem: Canonical, state: State) -> Array:
        """Action values of the tokens, ``(M,)``."""
        inner = 1 if self.discount == "word" else problem.gamma[0]
        return state.tree.values(self.words(problem, state), state.V, inner)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One backup of every prefix."""
        x = self.pairs(problem, state)
        if problem.kind == "regularized":
            V = softmax.soft_maximum(x, problem.tau, state.tree.node_ptr)
        else:
            V = reference.best(x, state.tree.node_ptr)
        return state._replace(V=V, gap=self._gap(problem, state._replace(V=V)))

    def _gap(self, problem: Canonical, state: State) -> float:
        if state.V.dtype == object:
            return np.inf
        q = self.words(problem, state)
        if problem.kind == "regularized":
            TV = softmax.soft_maximum(q, problem.tau, problem.pair_ptr)
        else:
            TV = np.maximum.reduceat(q, problem.pair_ptr[:-1])
        change = TV - state.V[: problem.n_states]
        return span_gap(problem, float(change.min()), float(change.max()))

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The values of the states, and the words that the greedy tokens spell (with entropy: a policy of words)."""
        V, tree = state.V[: problem.n_states], state.tree
        x = self.pairs(problem, state)
        if problem.kind == "regularized":
            return Answer(V, None, policy=tree.spell(np.exp(softmax.log_softmax(x / problem.tau, tree.node_ptr))))
        return Answer(V, tree.descend(reference.greedy(x, tree.node_ptr)))
