"""The compiled loop of explore-then-commit."""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit

from mdpkit.kernels.online.episodes import value_of_choice, value_of_law, walk_choice, walk_law
from mdpkit.kernels.online.optimism import backward, count

__all__ = ["explore_then_commit"]


@njit(cache=True, nogil=True)
def explore_then_commit(arena, r, length, uniform, visits, moves, model, V, choice, outer, log):
    """Episodes that explore while their number is below ``length``, and then follow the plan; one for each row of the log."""
    first, values, _, states, pairs, rewards = log
    H, S, L = arena.H, model.shape[1], model.shape[2]
    keep = states.shape[0] > 0
    path, taken, paid = np.empty(H + 1, dtype=np.int64), np.empty(H, dtype=np.int64), np.empty(H)
    q, A, B = np.empty(L), np.empty(S), np.empty(S)
    changed, value, last = True, 0.0, -1
    for m in range(values.size):
        exploring = first + m < length
        table = arena.which[min(first + m, arena.which.size - 1)]
        if changed or table != last:
            value = (
                value_of_law(arena, table, uniform, A, B) if exploring else value_of_choice(arena, table, choice, A, B)
            )
            changed, last = False, table
        values[m] = value
        if exploring:
            walk_law(arena, table, uniform, outer, path, taken, paid)
        else:
            walk_choice(arena, table, choice, outer, path, taken, paid)
        if keep:
            states[m] = path
            pairs[m] = taken
            rewards[m] = paid
        if exploring:
            count(visits, moves, model, taken, path)
            if first + m + 1 == length:
                backward(r, model, arena.pair_ptr, H, V, choice, q)
                changed = True
