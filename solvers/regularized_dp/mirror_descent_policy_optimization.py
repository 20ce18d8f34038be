r"""Mirror descent policy optimization: a policy's advantages against its change, solved in closed form or by gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import segments, softmax
from mdpkit.models.canonical import Canonical
from mdpkit.models.sampling import check_count
from mdpkit.operators.advantages import AdvantageEstimator, ExactAdvantages
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import PolicySolver
from mdpkit.typing import Array

__all__ = ["MirrorDescentPolicyOptimization", "State"]


class State(NamedTuple):
    """A policy in logarithms, its value, and its number."""

    log_pi: Array
    V: Array
    k: int
    gap: float


@dataclass(frozen=True)
class MirrorDescentPolicyOptimization(PolicySolver[State]):
    r"""Mirror descent in the space of policies, MDPO.

    .. math::

       \pi_k = \arg\max_\pi \mathrm{E}_{s \sim d^{\pi_{k-1}}} \bigl[ \langle \pi, A^{\pi_{k-1}} \rangle
       - \tfrac{1}{t_k} \mathrm{KL}(\pi \| \pi_{k-1}) \bigr] \;\propto\; \pi_{k-1} \exp(t_k A^{\pi_{k-1}}), \qquad
       t_k = \eta \Bigl(1 - \frac{k-1}{K}\Bigr)

    On-policy, the step size falls linearly to zero over K steps, or is constant. With ``inner`` the maximum is only climbed, by
    m steps of gradient ascent on the logits from those of :math:`\pi_{k-1}`. Off-policy, with a KL coefficient c and the
    entropy weight :math:`\tau` of a regularized problem,

    .. math::

       \pi_{k+1} = \arg\min_\pi \langle \pi, c \log \pi + (\tau - c) \log \pi_k - Q_\tau^{\pi_k} \rangle
       \;\propto\; \pi_k^{(c-\tau)/c} \exp\bigl(Q_\tau^{\pi_k}/c\bigr).

    **Guarantee.** :math:`\log \pi_K - \log \pi_0` is :math:`\sum_{k \le K} t_k Q^{\pi_{k-1}}` up to a constant of the state;
    checked by ``mdpo:log-ratio``. Every step improves, by the two relative entropies between the policies over
    :math:`t_k`; checked by ``mdpo:improvement``. With the falling step size
    :math:`V^* - V^{\pi_K} \le \frac{2}{(1-\gamma)(K+1)} \bigl(\frac{\log |A|}{\eta} + \frac{1}{1-\gamma}\bigr)` for
    rewards in [0, 1]; checked by ``mdpo:falling-steps``. One inner step is a policy gradient step, checked by
    ``mdpo:one-inner-step``, and many are the closed form, checked by ``mdpo:many-inner-steps``. Off-policy
    :math:`c = \tau` is the step of soft policy iteration, of which the soft actor-critic is the sampled form; checked
    by ``mdpo:off-policy``.

    *Departures.* Exact gradients and advantages in place of Adam on samples, unless ``advantages`` estimates them; then V and
    the gap are still the exact ones.

    Parameters
    ----------
    eta : number or None
        Step size :math:`t_1`, positive; not used, and may be None, with a coefficient.
    decay : int, optional
        The number K of steps over which the step size falls to zero; constant if left out.
    inner : int, optional
        Gradient steps m in place of the closed form.
    alpha : number
        Step size of the inner steps, positive.
    coefficient : number, optional
        The KL coefficient c of the off-policy form, at least :math:`\tau` and positive; takes the place of ``eta``.
    advantages : AdvantageEstimator
        Where the advantages come from; exact ones for a regularized problem.

    References
    ----------
    ``mdpo``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, MirrorDescentPolicyOptimization(eta=100, decay=20), max_steps=20)
    >>> bool(sol.last_policy[0, 1] > 0.99)
    True
    """

    cites: ClassVar = ("mdpo",)
    claims: ClassVar = (
        "mdpo:log-ratio",
        "mdpo:improvement",
        "mdpo:falling-steps",
        "mdpo:one-inner-step",
        "mdpo:many-inner-steps",
        "mdpo:off-policy",
    )
    kinds: ClassVar = ("discounted", "regularized")
    needs: ClassVar = (
        "one discount factor; exact advantages if it is regularized; a coefficient of at least its temperature"
    )

    eta: Any = 1
    decay: int | None = None
    inner: int | None = None
    alpha: Any = 1
    coefficient: Any = None
    advantages: AdvantageEstimator = field(default_factory=ExactAdvantages)

    def __post_init__(self) -> None:
        for name in ("alpha",) if self.eta is None and self.coefficient is not None else ("eta", "alpha"):
            if getattr(self, name) is None or not getattr(self, name) > 0:
                raise OptionError(
                    f"the step size {name} is not positive", found=getattr(self, name), needed=f"{name} > 0"
                )
        for name in ("decay", "inner"):
            if getattr(self, name) is not None:
                check_count(getattr(self, name), name, 1)
        if self.coefficient is not None:
            self.positive("coefficient")
            if self.decay is not None:
                raise OptionError(
                    "the off-policy form has no falling step size",
                    found=f"coefficient={self.coefficient}, decay={self.decay}",
                    needed="one of them",
                )

    def accepts(self, problem: Canonical) -> bool:
        """Whether the problem has one discount factor and the parameters fit it."""
        fits = self.coefficient is None or float(self.coefficient) >= problem.tau
        return (
            super().accepts(problem)
            and fits
            and (problem.kind == "discounted" or isinstance(self.advantages, ExactAdvantages))
        )

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The reference or the uniform policy."""
        on = OnPolicy(problem)
        return self._valued(on, on.start(), 0)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One mirror step."""
        on = OnPolicy(problem)
        if self.finished(state):
            return state
        penalty = self._penalty(on, state.k + 1)
        if isinstance(self.advantages, ExactAdvantages):
            A = on.advantage(state.V)
        else:
            A = self.advantages(on, np.exp(state.log_pi), rng)
        if self.inner is None:
            log_pi = softmax.penalized_step(state.log_pi, A, penalty, on.pair_ptr, on.tau, on.log_reference)
        else:
            log_pi = self._climb(on, state.log_pi, A, penalty, self.inner)
        return self._valued(on, log_pi, state.k + 1)

    def finished(self, state: State) -> bool:
        """Whether the step size has fallen to zero."""
        return self.decay is not None and state.k >= self.decay

    def _penalty(self, on: OnPolicy, k: int) -> Any:
        """The weight of the KL penalty in step k."""
        if self.coefficient is not None:
            return on.number(self.coefficient) - on.tau
        left = 1 if self.decay is None else Fraction(self.decay - k + 1, self.decay)
        return 1 / (on.number(self.eta) * on.number(left))

    def _climb(self, on: OnPolicy, start: Array, A: Array, penalty: Any, steps: int) -> Array:
        """Gradient ascent on the logits, the states weighed by the last policy's discounted visits."""
        tau, alpha = on.tau, on.number(self.alpha)
        visited = on.spread((1 - on.gamma[0]) * on.visits(np.exp(start)))
        log_pi = start
        for _ in range(steps):
            slope = A - penalty * (log_pi - start) - tau * log_pi
            if on.log_reference is not None:
                slope = slope + tau * on.log_reference
            pi = np.exp(log_pi)
            slope = slope - segments.spread(segments.mean(pi, slope, on.pair_ptr), on.pair_ptr)
            log_pi = softmax.log_softmax(log_pi + alpha * visited * pi * slope, on.pair_ptr)
        return log_pi

    def _valued(self, on: OnPolicy, log_pi: Array, k: int) -> State:
        V = on.own_value(log_pi)
        return State(log_pi, V, k, on.gap(V))
