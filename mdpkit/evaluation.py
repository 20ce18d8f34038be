"""Values that belong to a given policy or value, certified."""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.models.canonical import canonical
from mdpkit.models.mdp import MDP
from mdpkit.typing import Array

__all__ = ["action_values"]


def action_values(mdp: MDP, V: Array) -> Array:
    """Q of a value: ``(S, A)``, or ``(H, S, A)`` from the stages of a finite horizon; NaN where not admissible."""
    from mdpkit.kernels.reference import q_values

    p = canonical(mdp)
    S, A, L = mdp.n_states, mdp.n_actions, mdp.n_pairs
    inner = p.sign * (V - p.offset)
    exact = V.dtype == object
    r, gamma = (p.r_exact, p.gamma_exact) if exact else (p.r, p.gamma)

    def table(q: Array) -> Array:
        out = np.full((S, A), np.nan, dtype=object if exact else np.float64)
        out[mdp.state, mdp.action] = p.value(q)
        return out

    with np.errstate(invalid="ignore"):
        if V.ndim == 1:
            return table(q_values(p.P, r, gamma, inner))
        stages: list[Any] = []
        for h in range(len(V) - 1):
            P = p.P.rows(h * L, (h + 1) * L) if p.P.n_rows != L else p.P
            part = r[h * L : (h + 1) * L] if len(r) != L else r
            stages.append(table(q_values(P, part, gamma, inner[h + 1])))
        return np.array(stages).reshape(len(stages), S, A)
