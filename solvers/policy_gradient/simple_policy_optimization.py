r"""Simple policy optimization: a quadratic penalty on the ratios, weighted by the advantages."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.kernels import surrogate
from mdpkit.models.canonical import Canonical
from mdpkit.operators.advantages import AdvantageEstimator, ExactAdvantages
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import PolicySolver, ProbabilityPolicy

__all__ = ["SimplePolicyOptimization"]


@dataclass(frozen=True)
class SimplePolicyOptimization(PolicySolver[ProbabilityPolicy]):
    r"""Policy iteration on a surrogate whose penalty pulls every ratio to one side of its trust region.

    .. math:: \pi_{k+1} = \arg\max_\pi\; \mathbb{E}_{d, \pi_k} \Bigl[ \rho A - \frac{|A|}{2\epsilon} (\rho - 1)^2 \Bigr],
              \qquad \rho = \max\Bigl(0,\; 1 + \epsilon \Bigl(\mathrm{sign} A - \frac{\nu}{|A|}\Bigr)\Bigr)

    where the multiplier :math:`\nu(s)` makes the probabilities sum to one. The maximizer is rational in rational models.
    With a step size ``eta`` it is approached by ``inner`` steps of gradient ascent in the logits from :math:`\pi_k` instead, as
    the paper does. It starts from the uniform policy.

    **Guarantee.** The policies are the maximizers (``simple-po:closed-form``), which the ascent
    (``simple-po:ascent``) finds (``simple-po:limit``). Taken alone, each pair's term is concave, with its maximum at
    :math:`\rho = 1 + \epsilon\, \mathrm{sign} A`, and its derivative leads back from outside, where that of the clipped
    surrogate is zero (``simple-po:aligned``). The sum is no trust region: by the normalization some ratio is
    further than :math:`\epsilon` from one unless the signs of the advantages balance (``simple-po:ratios-escape``).

    *Departures.* The whole problem is the batch, and plain gradient ascent takes the place of Adam.

    Parameters
    ----------
    epsilon : number
        Width of the region of ratios, in (0, 1).
    eta : number, optional
        Step size of the ascent, positive; the exact maximizer if it is left out.
    inner : int
        Steps of the ascent for each policy.
    advantages : AdvantageEstimator

    References
    ----------
    ``simple-po`` (the objective, seen in the text of 2025; the maximizer is derived in the documentation).

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, SimplePolicyOptimization(), max_steps=60)
    >>> bool(sol.last_policy[0, 1] > 0.99)
    True
    """

    cites: ClassVar = ("simple-po",)
    claims: ClassVar = (
        "simple-po:closed-form",
        "simple-po:ascent",
        "simple-po:limit",
        "simple-po:aligned",
        "simple-po:ratios-escape",
    )

    epsilon: Any = Fraction(1, 5)
    eta: Any = None
    inner: int = 20
    advantages: AdvantageEstimator = field(default_factory=ExactAdvantages)

    def __post_init__(self) -> None:
        self.positive("inner", *(() if self.eta is None else ("eta",)))
        if not 0 < self.epsilon < 1:
            raise OptionError("the width epsilon is out of range", found=self.epsilon, needed="0 < epsilon < 1")

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> ProbabilityPolicy:
        """The uniform policy."""
        return self.start(problem)

    def step(
        self, problem: Canonical, state: ProbabilityPolicy, rng: np.random.Generator | None = None
    ) -> ProbabilityPolicy:
        """The maximizer, or the ascent, and its value."""
        on = OnPolicy(problem)
        A, epsilon = self.advantages(on, state.pi, rng), on.number(self.epsilon)
        if self.eta is None:
            return self.valued(on, surrogate.maximize_quadratic(state.pi, A, epsilon, on.pair_ptr))
        d = (1 - on.gamma[0]) * on.visits(state.pi)
        penalty = partial(surrogate.quadratic, epsilon=epsilon)
        log_pi = surrogate.ascend(np.log(state.pi), A, d, on.pair_ptr, penalty, on.number(self.eta), self.inner)
        return self.valued(on, np.exp(log_pi))
