r"""Soft policy iteration for actions with several parts, each with its own weight on its entropy."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import softmax
from mdpkit.models.canonical import Canonical
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.typing import Array, Ints

__all__ = ["FactoredSoftPolicyIteration", "State"]


class State(NamedTuple):
    """The logarithms of each part's probabilities, ``(S, n_i)``, and of their product, ``(L,)``, with its value.

    ``V`` counts the weighted entropies.
    """

    factors: tuple[Array, ...]
    log_pi: Array
    V: Array
    rise: float
    gap: float


@dataclass(frozen=True)
class FactoredSoftPolicyIteration(IterativeSolver[State]):
    r"""Soft policy iteration over products of policies, one part of the action after another.

    An action is :math:`a = (a_1, \dots, a_d)`, and the policy :math:`\pi(a|s) = \prod_i \pi_i(a_i|s)`. With the causal weight
    :math:`b_i` of part i in its entropy,

    .. math:: V^\pi = \mathrm{E} \sum_t \gamma^t \bigl(r_t + \tau \textstyle\sum_i b_i H(\pi_i(\cdot|s_t))\bigr), \qquad
              \pi_i(a_i|s) \propto \exp \frac{\mathrm{E}_{a_j \sim \pi_j, j \ne i} Q^\pi(s,a)}{\tau b_i},
              \quad i = 1, \dots, d \text{ in turn}.

    Each part sees those before it already changed. It starts from the uniform policy.

    **Guarantee.** :math:`V^{\pi_{k+1}} \ge V^{\pi_k}` in every state; checked by ``ace:monotone``. The steps end in a policy
    each of whose parts is the softmax of its own mean; checked by ``ace:fixed-point``. That need not be the best product
    policy: see ``ace:not-the-best``. All parts at once (``ace:simultaneous``), or one temperature for all of them
    (``ace:one-temperature``), can lose value. With unit weights each step decreases the divergence from the softmax of
    all action values, as any improvement within a restricted class should; checked by ``sac:restricted-class``. With one
    part, and with more where Q is additive over them, it is soft policy iteration; checked by ``ace:one-part``.

    *Departures.* The weights are given: how a cause is found from data is no part of this. Other weights than one change the
    problem that is solved, and products are fewer than all policies; the certificate is about the criterion's own optimum,
    so its gap stays open, and ``last_policy`` is the product that was found.

    Parameters
    ----------
    sizes : tuple of int
        Numbers of choices of each part: action ``a`` of a state is the index of ``(a_1, …, a_d)`` in row-major order. One
        part if left out.
    weights : tuple of numbers
        Of the entropies of the parts, positive; ones if left out.

    References
    ----------
    ``ace`` (recalled), ``sac``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("garnet", S=3, A=4, branching=2, seed=1).under(mk.EntropyRegularized("9/10", "1/10"))
    >>> sol = mk.solve(mdp, FactoredSoftPolicyIteration(sizes=(2, 2), weights=(1, 0.5)), max_steps=30)
    >>> bool(abs(sol.last_policy[0].sum() - 1) < 1e-12)
    True
    """

    cites: ClassVar = ("ace", "sac")
    claims: ClassVar = (
        "ace:monotone",
        "ace:fixed-point",
        "ace:not-the-best",
        "ace:simultaneous",
        "ace:one-temperature",
        "ace:one-part",
        "sac:restricted-class",
    )
    kinds: ClassVar = ("regularized",)
    needs: ClassVar = "as many actions in each state as the sizes say, and no reference policy"
    sublinear: ClassVar = True

    sizes: tuple[int, ...] = ()
    weights: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if not all(isinstance(n, (int, np.integer)) and n > 0 for n in self.sizes):
            raise OptionError("the sizes of the parts are no counts", found=self.sizes, needed="positive integers")
        if self.weights and len(self.weights) != max(1, len(self.sizes)):
            raise OptionError(
                "the weights differ in number from the parts",
                found=f"{len(self.weights)} weights",
                needed=f"{max(1, len(self.sizes))}, one for each part",
            )
        if not all(b > 0 for b in self.weights):
            raise OptionError("a weight of the entropy is not positive", found=self.weights, needed="b_i > 0")

    def accepts(self, problem: Canonical) -> bool:
        """Whether every state has as many actions as the sizes say, and there is no reference."""
        count = np.diff(problem.pair_ptr)
        fits = np.all(count == (prod(self.sizes) if self.sizes else count[0]))
        return super().accepts(problem) and bool(fits) and problem.reference is None

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The uniform policy."""
        on = OnPolicy(problem)
        sizes = self._sizes(on)
        factors = tuple(-np.log(on.number(np.full((on.n_states, n), float(n)))) for n in sizes)
        return self._at(on, factors, None)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One part after another becomes the softmax of its mean action values; then the product is evaluated."""
        on = OnPolicy(problem)
        q = on.q(state.V).reshape(on.n_states, *self._sizes(on))
        factors = list(state.factors)
        for i in range(len(factors)):
            factors[i] = self.improved(on, q, factors, i)
        return self._at(on, tuple(factors), state.V)

    def answer(self, problem: Canonical, state: State) -> Answer:
        """The product policy, and its value under the criterion, which counts each entropy once."""
        return Answer(OnPolicy(problem).own_value(state.log_pi), None, policy=np.exp(state.log_pi))

    def finished(self, state: State) -> bool:
        """Whether no state's value rose."""
        return state.rise <= 0

    def improved(self, on: OnPolicy, q: Array, factors: list[Array], i: int) -> Array:
        """The logarithms of part i's softmax, given the other parts, ``(S, n_i)``."""
        for j in reversed(range(len(factors))):
            if j != i:
                # What is left of q are the parts up to j, and i; part j is the (j + 1)-th axis of all.
                law = np.exp(factors[j]).reshape(len(q), *(-1 if k == j else 1 for k in range(q.ndim - 1)))
                q = (q * law).sum(axis=j + 1)
        x = q / (on.problem.tau * self._weight(on, i))
        return softmax.log_softmax(x.ravel(), _ptr(x)).reshape(x.shape)

    def _at(self, on: OnPolicy, factors: tuple[Array, ...], last: Array | None) -> State:
        d = len(factors)
        log_pi: Any = 0
        bonus: Any = 0
        for i, x in enumerate(factors):
            log_pi = log_pi + x.reshape(len(x), *(x.shape[1] if j == i else 1 for j in range(d)))
            flat = x.ravel()
            bonus = bonus + self._weight(on, i) * softmax.entropy(np.exp(flat), flat, _ptr(x))
        log_pi = log_pi.ravel()
        V = on.value(np.exp(log_pi), on.r + on.spread(on.problem.tau * bonus))
        if V.dtype == object:
            return State(factors, log_pi, V, np.inf, np.inf)
        rise = np.inf if last is None else float(np.max(V - last))
        return State(factors, log_pi, V, rise, on.gap(on.own_value(log_pi) if self.weights else V))

    def _sizes(self, on: OnPolicy) -> tuple[int, ...]:
        return self.sizes or (int(on.pair_ptr[1]),)

    def _weight(self, on: OnPolicy, i: int) -> Any:
        return on.number(self.weights[i]) if self.weights else on.number(1)


def _ptr(x: Array) -> Ints:
    """Bounds of the rows of an array ``(S, n)`` laid end to end."""
    return np.arange(x.shape[0] + 1, dtype=np.int64) * x.shape[1]
