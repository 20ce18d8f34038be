r"""Emphatic TD(lambda): temporal differences whose weights make them stable off policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mdpkit.solvers.evaluation.temporal_differences import TemporalDifferences

__all__ = ["EmphaticTemporalDifferences"]


@dataclass(frozen=True)
class EmphaticTemporalDifferences(TemporalDifferences):
    r"""Emphatic TD(lambda): each state counts as often as the target would have come to it from those the behavior visits.

    .. math:: F_t = 1 + \gamma \rho_{t-1} F_{t-1}, \quad M_t = \lambda + (1-\lambda) F_t, \quad
              e_t = \rho_t (\gamma\lambda e_{t-1} + M_t \phi_t), \quad w_{t+1} = w_t + \eta_t \delta_t e_t

    The interest is one in every state. Of action values, :math:`F_t` and the trace decay with :math:`\rho_t`, which counts
    nowhere else. With ``expected`` a step is the mean of the above over stationary trajectories.

    **Guarantee.** The increments have the mean :math:`\eta (b - Aw)` with :math:`A = \Phi^\top M (I - P_\lambda) \Phi`, where
    :math:`M = \mathrm{diag}(m)`, :math:`m^\top = d^\top (I - P_\lambda)^{-1}` and
    :math:`I - P_\lambda = (I - \gamma\lambda P)^{-1} (I - \gamma P)`: ``sutton2016:expected-update``. A is positive definite
    for every behavior: rows of :math:`M (I - P_\lambda)` have positive sums, and its columns have the sums d,
    ``sutton2016:positive-definite``. On Baird's star it converges where temporal differences diverge,
    ``sutton2016:baird-star``.

    *Departures.* As for :class:`TemporalDifferences`. Ratios multiply along the follow-on trace, so that the drawn update can
    have an infinite variance: the guarantee is about means.

    Parameters
    ----------
    lambda_ : number in [0, 1]
        Decay of the trace.
    expected : bool
        Take exact means in place of draws.
    eta, decay : number
        Step k has the size ``eta / (1 + k * decay)``.
    start : vector, optional
        The first parameters, zero by default.

    References
    ----------
    ``sutton2016``.

    Examples
    --------
    >>> import mdpkit as mk
    >>> mdp = mk.instances.make("riverswim", n_states=4, gamma="9/10")
    >>> half = [[0.5, 0.5]] * 4
    >>> etd = EmphaticTemporalDifferences(eta=0.05, expected=True)
    >>> found = mk.estimate(mdp, [1, 1, 1, 1], etd, behavior=half, features=[[1], [2], [4], [8]], steps=2000)
    >>> abs(found.error - found.fixed_point_error) < 1e-9
    True
    """

    emphatic: ClassVar = True
    cites: ClassVar = ("sutton2016",)
    claims: ClassVar = ("sutton2016:expected-update", "sutton2016:positive-definite", "sutton2016:baird-star")
