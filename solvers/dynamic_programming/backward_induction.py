r"""Backward induction: dynamic programming over a finite horizon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mdpkit.kernels import reference
from mdpkit.models.canonical import Canonical
from mdpkit.models.transitions import check_memory
from mdpkit.solver import Answer, DirectSolver

__all__ = ["BackwardInduction"]


@dataclass(frozen=True)
class BackwardInduction(DirectSolver):
    r"""Optimal values and policies of every stage, from the last to the first.

    .. math:: V_H = g, \qquad V_h(s) = \max_a \{ r_h(s,a) + \gamma \sum_{s'} P_h(s'|s,a) V_{h+1}(s') \}

    **Guarantee.** :math:`V_h = V_h^*` for each h, and the greedy Markov policy is optimal. Checked by
    ``bellman1957:backward-induction``.

    References
    ----------
    ``bellman1957``, ``puterman1994`` (Section 4.5, recalled).

    Examples
    --------
    >>> import mdpkit as mk
    >>> sol = mk.solve(mk.instances.make("puterman-inventory"), BackwardInduction(), exact=True)
    >>> [str(v) for v in sol.exact[0]]
    ['67/16', '129/16', '97/8', '227/16']
    """

    cites: ClassVar = ("bellman1957", "puterman1994")
    claims: ClassVar = ("bellman1957:backward-induction",)
    kinds: ClassVar = ("finite",)

    def run(self, problem: Canonical, rng: np.random.Generator | None = None) -> Answer:
        """One pass over the stages."""
        H, S, L = problem.H, problem.n_states, len(problem.state)
        assert H is not None and problem.terminal is not None
        check_memory(8.0 * S * (4 * H + 3), f"values and policies of {H} stages and {S} states")
        V, choice = np.empty((H + 1, S)), np.empty((H, S), dtype=np.int64)
        V[H] = problem.terminal
        varying_P, varying_r = problem.P.n_rows != L, len(problem.r) != L
        for h in range(H - 1, -1, -1):
            P = problem.P.rows(h * L, (h + 1) * L) if varying_P else problem.P
            r = problem.r[h * L : (h + 1) * L] if varying_r else problem.r
            V[h], choice[h] = reference.backup(P, r, problem.gamma, V[h + 1], problem.pair_ptr)
            if problem.fixed is not None and problem.fixed_value is not None:
                V[h][problem.fixed] = problem.fixed_value[problem.fixed]
        return Answer(V, choice, steps=H)
