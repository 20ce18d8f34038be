"""Action values that belong to a value, one backup deep."""

from __future__ import annotations

from typing import Any

import numpy as np

from mdpkit.kernels.rational import to_fraction
from mdpkit.models.canonical import Canonical, canonical
from mdpkit.models.mdp import MDP
from mdpkit.typing import Array, Bools

__all__ = ["action_table", "action_values", "pair_values", "relative_pair_values"]


def action_values(mdp: MDP, V: Array) -> Array:
    """Q of a value: ``(S, A)``, or ``(H, S, A)`` from the stages of a finite horizon; NaN where not admissible.

    In states whose value is known (a target), every action has that value.
    """
    p = canonical(mdp)
    if V.ndim == 1:
        return action_table(mdp, pair_values(p, 0, V))
    out = [action_table(mdp, pair_values(p, h, V[h + 1])) for h in range(len(V) - 1)]
    return np.array(out).reshape(len(out), mdp.n_states, mdp.n_actions)


def relative_pair_values(mdp: MDP, gain: Array, bias: Array) -> Array:
    """r - g + Ph of each pair ``(L,)`` for average reward; exact where gain and bias are Fractions."""
    r = mdp.r if gain.dtype != object else mdp.reward.exact
    with np.errstate(over="ignore", invalid="ignore"):
        return r - gain[mdp.state] + mdp.P.stochastic @ bias


def pair_values(p: Canonical, h: int, V: Array) -> Array:
    """r + gamma PV of each pair ``(L,)`` in stage h, for V in the model's own terms; known values stay known."""
    L = len(p.state)
    exact = V.dtype == object
    P = p.P.rows(h * L, (h + 1) * L) if p.P.n_rows != L else p.P
    rewards, gamma = (p.r_exact, p.gamma_exact) if exact else (p.r, p.gamma)
    r = rewards[h * L : (h + 1) * L] if len(rewards) != L else rewards
    floats = V.astype(np.float64)
    sign = np.sign(floats) * np.isinf(floats)
    nothing: Any = to_fraction(0) if exact else 0.0
    inner: Array = p.sign * (np.where(sign == 0, V, nothing) - p.offset)
    q: Array = r + gamma * (P @ inner)
    reached: list[Bools] = []
    for side in (1, -1):
        hit = np.zeros(L, dtype=bool)
        if np.any(sign == side):
            hit[P.row_of[(sign == side)[P.indices]]] = True
        reached.append(hit & (p.gamma > 0))
    q = p.value(q)
    q[reached[0]], q[reached[1]] = np.inf, -np.inf
    q[reached[0] & reached[1]] = np.nan
    if p.fixed is not None and p.fixed_value is not None:
        known = p.offset + p.sign * (p.terminal_exact if exact else p.fixed_value)
        inside = p.fixed[p.state]
        q[inside] = known[p.state[inside]]
    return q


def action_table(mdp: MDP, q: Array) -> Array:
    """Values of the pairs ``(L,)`` as an array ``(S, A)``, NaN where an action is not admissible."""
    out = np.full((mdp.n_states, mdp.n_actions), np.nan, dtype=q.dtype)
    out[mdp.state, mdp.action] = q
    return out
