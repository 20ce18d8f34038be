r"""Mirror ascent token by token: actions are words, and each token is credited with its own advantage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from mdpkit.kernels import occupancy, segments, softmax, traces
from mdpkit.models.canonical import Canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.reductions.prefix_expansion import PrefixTree, check_discount, read_code
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Array, Bools

__all__ = ["PolicyOptimizationWithActionDecomposition", "State", "token_advantages"]


class State(NamedTuple):
    """A policy of tokens, in logarithms, and the values of all prefixes under it, those of the states first."""

    log_pi: Array
    V: Array
    tree: PrefixTree
    gap: float


@dataclass(frozen=True)
class PolicyOptimizationWithActionDecomposition(IterativeSolver[State]):
    r"""Policy optimization with action decomposition (POAD), in exact form: a mirror step after every prefix.

    .. math:: \pi_{k+1}(w | s, w^{<j}) \propto \pi_k(w | s, w^{<j}) \exp\bigl(\eta A_k(s, w^{<j}, w)\bigr), \qquad
              A_k(s, w^{<j}, w^j) = \begin{cases} V_k(s, w^{\le j}) - V_k(s, w^{<j}) & \text{inside a word} \\
              r(s,a) + \gamma \sum_{s'} P(s'|s,a) V_k(s') - V_k(s, w^{<j}) & \text{at the end of the word } a \end{cases}

    :math:`V_k(s, w^{<j})` is the value of speaking on with :math:`\pi_k`. It starts from uniform tokens.

    **Guarantee.** For rewards in [0, 1], words of length at most L and the law :math:`\rho`:
    :math:`V^*(\rho) - V^{\pi_K}(\rho) \le \frac{1}{K} \bigl(\frac{D}{\eta(1-\gamma)} + \frac{L}{(1-\gamma)^2}\bigr)` with D the
    largest :math:`-\log \pi_0(a|s)` of a word; the number of words enters only through D (``poad:mirror-rate``). Along an
    episode the advantages of a word's tokens add up to that of the word (``poad:token-advantages``).

    *Departures.* The paper's step is PPO's clipped one on sampled episodes, with the estimates of :func:`token_advantages`;
    here the advantages are exact and the step is the one that clipping approximates.

    Parameters
    ----------
    eta : number
        Step size, positive.
    code : str or sequence of words
        The word of each action id: ``"binary"``, ``"0,10,11"``, or sequences of tokens; no word begins another one.
    discount : {"word", "token"}
        Where the discount is: at the end of each word, or after every token, the naive form (NTPO) of the comparison.

    References
    ----------
    ``poad`` (the advantages as in its published code; the rate derived here).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, PolicyOptimizationWithActionDecomposition(eta=10.0, code="0,10"), max_steps=500)
    >>> sol.status.ok, bool(sol.last_policy[0, 1] > 0.99)
    (True, True)
    """

    cites: ClassVar = ("poad",)
    claims: ClassVar = ("poad:mirror-rate", "poad:token-advantages")
    kinds: ClassVar = ("discounted",)
    needs: ClassVar = "one discount factor"
    sublinear: ClassVar = True

    eta: Any = 1.0
    code: Any = "binary"
    discount: Literal["word", "token"] = "word"

    def __post_init__(self) -> None:
        self.positive("eta")
        object.__setattr__(self, "code", read_code(self.code))
        check_discount(self.discount)

    def accepts(self, problem: Canonical) -> bool:
        """Whether the problem is discounted by one factor."""
        return super().accepts(problem) and problem.one_discount

    def _inner(self, on: OnPolicy) -> Any:
        return on.number(1) if self.discount == "word" else on.gamma[0]

    def _evaluated(self, on: OnPolicy, log_pi: Array, tree: PrefixTree) -> State:
        pi, inner = np.exp(log_pi), self._inner(on)
        words = tree.spell(pi)
        # A word of length l takes the time of its discounts: l - 1 inside, one at its end.
        powers = np.array([inner**j for j in range(int(tree.length.max()))], dtype=on.r.dtype)
        delay = powers[tree.length - 1]
        V = occupancy.evaluate(on.P, delay * on.r, delay * on.gamma, words, on.pair_ptr)
        gap = on.gap(V if self.discount == "word" else on.value(words))
        return State(log_pi, tree.expected(on.q(V), pi, inner), tree, gap)

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """Uniform tokens."""
        on = OnPolicy(problem)
        tree = PrefixTree.of(problem.state, problem.mdp.action, self.code)
        pi = on.number(np.ones(tree.n_pairs)) / np.diff(tree.node_ptr)[tree.node]
        return self._evaluated(on, np.log(pi), tree)

    def advantages(self, on: OnPolicy, state: State) -> Array:
        """Advantages of the tokens, ``(M,)``."""
        tree, V = state.tree, state.V
        return tree.values(on.q(V[: on.n_states]), V, self._inner(on)) - segments.spread(V, tree.node_ptr)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One mirror step after every prefix, and its policy's values."""
        on = OnPolicy(problem)
        A = self.advantages(on, state)
        log_pi = softmax.mirror_step(state.log_pi, A, on.number(self.eta), state.tree.node_ptr)
        return self._evaluated(on, log_pi, state.tree)

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The policy of words that the tokens spell, and its value."""
        on = OnPolicy(problem)
        words = state.tree.spell(np.exp(state.log_pi))
        return Answer(on.value(words), None, policy=words)


def token_advantages(
    V: Array, r: Array, last: Bools, gamma: Any, lambda_: Any, discount: Literal["word", "token"] = "word"
) -> Array:
    r"""Generalized advantage estimates of the tokens of an episode: the discount counts at the ends of words.

    Inside a word :math:`\delta_t = V_{t+1} - V_t` and :math:`A_t = \delta_t + \lambda A_{t+1}`; at its end
    :math:`\delta_t = r_t + \gamma V_{t+1} - V_t` and :math:`A_t = \delta_t + \gamma \lambda A_{t+1}`.

    Parameters
    ----------
    V : (T + 1,)
        A critic's values of the prefixes that were met, and of what follows the last token (zero if the episode is over).
    r : (T,)
        Rewards; zero inside words.
    last : (T,) bool
        Whether each token ends a word.
    gamma, lambda_ : number
    discount : {"word", "token"}
        ``"token"`` discounts after every token: the naive form.

    Returns
    -------
    (T,) array

    Examples
    --------
    >>> V, r, last = np.array([1.0, 2.0, 0.0]), np.array([0.0, 3.0]), np.array([False, True])
    >>> token_advantages(V, r, last, 0.5, 1.0)
    array([2., 1.])
    """
    check_discount(discount)
    one = gamma**0
    steps = np.array([gamma if end or discount == "token" else one for end in last.tolist()], dtype=V.dtype)
    return traces.generalized_advantages(r + steps * V[1:] - V[:-1], lambda_ * steps)
