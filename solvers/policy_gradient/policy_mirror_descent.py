r"""Policy mirror descent with exact values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.models.canonical import Canonical
from mdpkit.operators import step_sizes
from mdpkit.operators.mirror_maps import KullbackLeibler, MirrorMap
from mdpkit.operators.on_policy import OnPolicy
from mdpkit.operators.policy_solver import PolicySolver
from mdpkit.typing import Array

__all__ = ["PolicyMirrorDescent", "State"]


class State(NamedTuple):
    """A policy as its mirror map keeps it (logarithms for the relative entropy), with its value and its number."""

    point: Array
    V: Array
    k: int
    gap: float


@dataclass(frozen=True)
class PolicyMirrorDescent(PolicySolver[State]):
    r"""Policy mirror descent: a proximal step along the action values in every state.

    .. math:: \pi_{k+1}(\cdot|s) = \arg\max_{p} \; \eta_k \langle Q^{\pi_k}(s,\cdot), p \rangle
              - D\bigl(p \,\|\, \pi_k(\cdot|s)\bigr)

    It starts from the uniform policy. With the relative entropy it is the natural policy gradient; with infinite steps, policy
    iteration. Under an :class:`~mdpkit.models.EntropyRegularized` criterion (relative entropy only) the step also pays
    :math:`\eta_k \tau H(p)`, or :math:`- \eta_k \tau \mathrm{KL}(p \| \mu)`.

    **Guarantee.** Each step is the maximizer of its three-point inequality, ``lan2023:three-point``, and improves the value in
    every state, ``xiao2022:monotone``. With constant steps

    .. math:: V^*(\rho) - V^{\pi_K}(\rho) \le \frac{1}{K+1}\Bigl(\frac{E_{d^*} D(\pi^*\|\pi_0)}{(1-\gamma)\eta}
              + \frac{1}{(1-\gamma)^2}\Bigr)

    for rewards in [0, 1], ``xiao2022:sublinear``. With geometrically increasing steps it is linear, ``xiao2022:linear-rate``;
    with adaptive ones it closes in like :math:`\gamma^k`, as policy iteration, ``johnson2023:gamma-rate``, which is attained,
    ``johnson2023:optimal``; long steps are policy iteration, ``johnson2023:policy-iteration``. With entropy and
    :math:`1 + \eta\tau \ge 1/\gamma`, constant steps are linear too, ``lan2023:linear-rate``.

    *Departures.* Steps are limited to 1e200 in floats.

    Parameters
    ----------
    eta : number or rule
        Step size: a number, :class:`~mdpkit.operators.step_sizes.Constant`, ``Increasing`` or ``Adaptive``.
    mirror : MirrorMap
        :class:`~mdpkit.operators.mirror_maps.KullbackLeibler`, ``Euclidean`` or ``Tsallis``.

    References
    ----------
    ``xiao2022``, ``lan2023``, ``johnson2023``; ``mdpo`` for its use with samples. Theorems recalled, and derived anew in the
    documentation.

    Examples
    --------
    >>> import mdpkit as mk
    >>> from mdpkit.operators.mirror_maps import Euclidean
    >>> from mdpkit.operators.step_sizes import Increasing
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> sol = mk.solve(mdp, PolicyMirrorDescent(Increasing(1), Euclidean()))
    >>> sol.status.ok, sol.pi.actions.tolist()
    (True, [1, 1, 1, 1])
    """

    cites: ClassVar = ("xiao2022", "lan2023", "johnson2023", "mdpo")
    claims: ClassVar = (
        "lan2023:three-point",
        "lan2023:linear-rate",
        "xiao2022:monotone",
        "xiao2022:sublinear",
        "xiao2022:linear-rate",
        "johnson2023:gamma-rate",
        "johnson2023:optimal",
        "johnson2023:policy-iteration",
    )
    kinds: ClassVar = ("discounted", "regularized")
    needs: ClassVar = "one discount factor, and the relative entropy for regularized problems"

    eta: Any = 1.0
    mirror: MirrorMap = field(default_factory=KullbackLeibler)

    def __post_init__(self) -> None:
        step_sizes.rule(self.eta)
        if not all(hasattr(self.mirror, name) for name in ("point", "policy", "step", "from_vertex")):
            raise OptionError(
                "the mirror map is none", found=self.mirror, needed="KullbackLeibler(), Euclidean() or Tsallis(q)"
            )

    def accepts(self, problem: Canonical) -> bool:
        """Whether the problem is discounted by one factor, and fits the mirror map."""
        fits = problem.kind != "regularized" or isinstance(self.mirror, KullbackLeibler)
        return super().accepts(problem) and fits

    def init(self, problem: Canonical, rng: np.random.Generator | None = None) -> State:
        """The uniform policy."""
        on = OnPolicy(problem)
        return self._valued(on, self.mirror.point(on.uniform()), 0)

    def step(self, problem: Canonical, state: State, rng: np.random.Generator | None = None) -> State:
        """One mirror step, and its policy's value."""
        on = OnPolicy(problem)
        q = on.q(state.V)
        eta = step_sizes.rule(self.eta)(state.k, on, self.mirror, state.point, q)
        return self._valued(on, self.mirror.step(on, state.point, q, eta), state.k + 1)

    def _valued(self, on: OnPolicy, point: Array, k: int) -> State:
        pi = self.mirror.policy(point)
        V = on.value(pi, on.regularized_rewards(point))
        return State(point, V, k, on.gap(V))

    def policy(self, state: State) -> Array:
        """The policy of the point."""
        return self.mirror.policy(state.point)
