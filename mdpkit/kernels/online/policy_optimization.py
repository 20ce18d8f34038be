"""Compiled twins of :mod:`mdpkit.kernels.occupancy_bounds` and :mod:`mdpkit.kernels.policy_optimization`, and their loops."""
# pyright: reportUntypedFunctionDecorator=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np
from numba import njit

from mdpkit.kernels.online.episodes import value_of_law, walk_law
from mdpkit.kernels.online.optimism import count
from mdpkit.kernels.potentials import LEAST, STEPS

__all__ = ["delay_adapted", "dilated", "leaders", "most", "occupancies", "stage_bounds", "tsallis"]

TSALLIS, SHANNON, BARRIER = 0, 1, 2


@njit(cache=True, nogil=True)
def most(law, radius, V, out):
    """Largest expectations over the set, written into out ``(L,)``."""
    S, L = law.shape
    out[:] = 0.0
    for t in range(S):
        for k in range(L):
            out[k] += law[t, k] * V[t]
    order = np.argsort(V, kind="mergesort")
    top = order[S - 1]
    for k in range(L):
        left = min(radius[k] / 2.0, 1.0 - law[top, k])
        for i in range(S - 1):
            t = order[i]
            moved = min(left, law[t, k])
            out[k] += moved * (V[top] - V[t])
            left -= moved


@njit(cache=True, nogil=True)
def expected(law, V, out):
    """Expectations of V at the next state, written into out ``(L,)``."""
    out[:] = 0.0
    for t in range(law.shape[0]):
        for k in range(law.shape[1]):
            out[k] += law[t, k] * V[t]


@njit(cache=True, nogil=True)
def means(pi, x, pair_ptr, out):
    """Means over the pairs of each state, written into out ``(S,)``."""
    for s in range(out.size):
        total = 0.0
        for k in range(pair_ptr[s], pair_ptr[s + 1]):
            total += pi[k] * x[k]
        out[s] = total


@njit(cache=True, nogil=True)
def stage_bounds(h, start, law, radius, pi, pair_ptr, lower, out):
    """Largest (least) probabilities of states at stage h over the set, written into out ``(S,)``."""
    n, S, L = law.shape
    V, q = np.empty(S), np.empty(L)
    for s in range(S):
        V[:] = 0.0
        V[s] = -1.0 if lower else 1.0
        for j in range(h - 1, -1, -1):
            i = j if n > 1 else 0
            most(law[i], radius[i], V, q)
            means(pi[j], q, pair_ptr, V)
        total = 0.0
        for t in range(S):
            total += start[t] * V[t]
        out[s] = -total if lower else total


@njit(cache=True, nogil=True)
def forward(mu, law, pi, pair_ptr, out):
    """The law of the next stage's state, written into out ``(S,)``."""
    S = mu.size
    out[:] = 0.0
    for s in range(S):
        for k in range(pair_ptr[s], pair_ptr[s + 1]):
            flow = mu[s] * pi[k]
            for t in range(S):
                out[t] += flow * law[t, k]


@njit(cache=True, nogil=True)
def stage_of(h, start, law, radius, known, pi, pair_ptr, lower, upper):
    """Bounds of one stage, written into ``lower[h]`` and ``upper[h]``; earlier stages are there already."""
    if known:
        if h == 0:
            upper[0] = start
        else:
            forward(upper[h - 1], law[h - 1 if law.shape[0] > 1 else 0], pi[h - 1], pair_ptr, upper[h])
        lower[h] = upper[h]
    else:
        stage_bounds(h, start, law, radius, pi, pair_ptr, False, upper[h])
        stage_bounds(h, start, law, radius, pi, pair_ptr, True, lower[h])


@njit(cache=True, nogil=True)
def occupancies(start, law, radius, known, pi, pair_ptr, lower, upper):
    """Bounds of all stages, written into lower and upper ``(H, S)``."""
    for h in range(pi.shape[0]):
        stage_of(h, start, law, radius, known, pi, pair_ptr, lower, upper)


@njit(cache=True, nogil=True)
def dilated(bonus, law, radius, known, pi, pair_ptr, dilation, out):
    """The dilated bonus-to-go, written into out ``(H, L)``."""
    H, S = bonus.shape
    after = np.zeros(S)
    q = np.empty(law.shape[2])
    for h in range(H - 1, -1, -1):
        i = h if law.shape[0] > 1 else 0
        if known:
            expected(law[i], after, q)
        else:
            most(law[i], radius[i], after, q)
        for s in range(S):
            for k in range(pair_ptr[s], pair_ptr[s + 1]):
                out[h, k] = bonus[h, s] + dilation * q[k]
        means(pi[h], out[h], pair_ptr, after)


@njit(cache=True, nogil=True)
def softmax(x, pair_ptr, out):
    """The policy of logits x ``(L,)``, written into out."""
    for s in range(pair_ptr.size - 1):
        i, j = pair_ptr[s], pair_ptr[s + 1]
        top = x[i]
        for k in range(i + 1, j):
            top = max(top, x[k])
        total = 0.0
        for k in range(i, j):
            total += np.exp(x[k] - top)
        shift = top + np.log(total)
        for k in range(i, j):
            out[k] = np.exp(x[k] - shift)


@njit(cache=True, nogil=True)
def tsallis(y, pair_ptr, q, out):
    """The points of least Tsallis potential, written into out ``(L,)``."""
    rest = 1.0 - q
    power = -1.0 / rest
    for s in range(pair_ptr.size - 1):
        i, j = pair_ptr[s], pair_ptr[s + 1]
        least = y[i]
        for k in range(i + 1, j):
            least = min(least, y[k])
        level = 1.0 / rest
        for _ in range(STEPS):
            total, slope = 0.0, 0.0
            for k in range(i, j):
                base = rest * (level + max(y[k] - least, 0.0))
                weight = base**power
                total += weight
                slope += weight / base
            ahead = level + (total - 1.0) / slope
            if not level < ahead:
                break
            level = ahead
        total = 0.0
        for k in range(i, j):
            out[k] = (rest * (level + max(y[k] - least, 0.0))) ** power
            total += out[k]
        for k in range(i, j):
            out[k] = max(out[k] / total, LEAST)


@njit(cache=True, nogil=True)
def widen(visits, pairs, iota, radius):
    """Renew the radii of the pairs of an episode, in place."""
    for h in range(pairs.size):
        i = h if visits.shape[0] > 1 else 0
        k = pairs[h]
        radius[i, k] = min(np.sqrt(2.0 * iota / max(visits[i, k], 1.0)), 2.0)


@njit(cache=True, nogil=True)
def ratio_of(p, q, plain):
    """The ratio p / max(p, q), or one."""
    larger = max(p, q)
    return 1.0 if plain or larger <= 0.0 else p / larger


@njit(cache=True, nogil=True)
def delay_bonus(lower, upper, played, now, plain, pair_ptr, eta, explore, out):
    """What late feedback may cost, written into out ``(H, S)``."""
    H, S = upper.shape
    for h in range(H):
        rest = H - h
        for s in range(S):
            u, wide, total = upper[h, s], upper[h, s] - lower[h, s], 0.0
            for k in range(pair_ptr[s], pair_ptr[s + 1]):
                p, q = played[h, k], now[h, k]
                below = u * p + explore
                if below > 0.0:
                    r = ratio_of(p, q, plain)
                    left = p * (wide * p + explore) / below
                    total += rest * left + eta * rest * rest * (q * r * r / below)
            out[h, s] = total


@njit(cache=True, nogil=True)
def delay_adapted(
    arena, law, radius, known, visits, moves, total, pi, lower, upper, pool, slots, order, pointer,
    eta, explore, scale, plain, full, iota, outer, log,
):  # fmt: skip
    """Episodes of delay-adapted policy optimization; one for each row of the log."""
    first, values, _series, states, pairs, rewards = log
    pools_pi, pools_lower, pools_upper, pools_states, pools_pairs, pools_rewards = pool
    slot, free, top = slots
    H, S, L = arena.H, upper.shape[1], total.shape[1]
    keep = states.shape[0] > 0
    path, taken, paid = np.empty(H + 1, dtype=np.int64), np.empty(H, dtype=np.int64), np.empty(H)
    A, B, after, q = np.empty(S), np.empty(S), np.empty(S), np.empty(L)
    bonus, extra = np.empty((H, S)), np.empty((H, L))
    dilation = 1.0 + 1.0 / H
    for m in range(values.size):
        episode = first + m
        table = arena.which[min(episode, arena.which.size - 1)]
        values[m] = value_of_law(arena, table, pi, A, B)
        walk_law(arena, table, pi, outer, path, taken, paid)
        if keep:
            states[m], pairs[m], rewards[m] = path, taken, paid
        if slot[episode] >= 0:
            top[0] -= 1
            place = free[top[0]]
            slot[episode] = place
            pools_pi[place], pools_lower[place], pools_upper[place] = pi, lower, upper
            pools_states[place], pools_pairs[place], pools_rewards[place] = path, taken, paid
        while pointer[0] < order.size and arena_arrival(arena, order[pointer[0]]) == episode:
            j = order[pointer[0]]
            pointer[0] += 1
            place = slot[j]
            free[top[0]] = place
            top[0] += 1
            played, low, up = pools_pi[place], pools_lower[place], pools_upper[place]
            old_states, old_pairs, old_rewards = pools_states[place], pools_pairs[place], pools_rewards[place]
            if full:
                own = arena.tables[arena.which[min(j, arena.which.size - 1)]]
                after[:] = 0.0
                for h in range(H - 1, -1, -1):
                    expected(law[h if law.shape[0] > 1 else 0], after, q)
                    for k in range(L):
                        extra[h, k] = (1.0 - own[h if own.shape[0] > 1 else 0, k]) + q[k]
                    means(played[h], extra[h], arena.pair_ptr, after)
                for h in range(H):
                    for k in range(L):
                        total[h, k] += extra[h, k]
            else:
                delay_bonus(low, up, played, pi, plain, arena.pair_ptr, eta, explore, bonus)
                for h in range(H):
                    for s in range(S):
                        bonus[h, s] *= scale
                dilated(bonus, law, radius, known, played, arena.pair_ptr, dilation, extra)
                for h in range(H):
                    for k in range(L):
                        total[h, k] -= extra[h, k]
                loss = 0.0
                for h in range(H - 1, -1, -1):
                    loss += 1.0 - old_rewards[h]
                    k = old_pairs[h]
                    r = ratio_of(played[h, k], pi[h, k], plain)
                    total[h, k] += r * loss / (up[h, old_states[h]] * played[h, k] + explore)
            for h in range(H):
                for k in range(L):
                    q[k] = -eta * total[h, k]
                softmax(q, arena.pair_ptr, pi[h])
            if not known:
                count(visits, moves, law, old_pairs, old_states)
                widen(visits, old_pairs, iota, radius)
            occupancies(arena.rho, law, radius, known, pi, arena.pair_ptr, lower, upper)


@njit(cache=True, nogil=True)
def arena_arrival(arena, j):
    """The episode at whose end feedback on episode j arrives."""
    return arena.arrival[j] if arena.arrival.size else j


@njit(cache=True, nogil=True)
def lead(start, law, radius, known, total, inverse, t, base, factor, explore, entropy, pair_ptr, pi, lower, upper,
         rate, change):  # fmt: skip
    """The regularized leaders of all stages, in place, with bounds on their occupancies and their rates."""
    H, S = upper.shape
    floor = min(1.0, explore / t)
    y = np.empty(total.shape[1])
    for h in range(H):
        stage_of(h, start, law, radius, known, pi, pair_ptr, lower, upper)
        for s in range(S):
            wide = upper[h, s] + floor
            before = factor * np.sqrt(inverse[h, s])
            if wide > 0.0:
                inverse[h, s] += 1.0 / wide
            after = factor * np.sqrt(inverse[h, s])
            change[h, s] = after - before
            rate[h, s] = 1.0 / (base + after) if base + after > 0.0 else 0.0
            for k in range(pair_ptr[s], pair_ptr[s + 1]):
                y[k] = rate[h, s] * total[h, k]
        if entropy == SHANNON:
            for k in range(y.size):
                y[k] = -y[k]
            softmax(y, pair_ptr, pi[h])
        elif entropy == BARRIER:
            tsallis(y, pair_ptr, 0.0, pi[h])
        else:
            for k in range(y.size):
                y[k] = 2.0 * y[k]
            tsallis(y, pair_ptr, 0.5, pi[h])


@njit(cache=True, nogil=True)
def leader_bonus(lower, upper, pi, rate, change, pair_ptr, floor, entropy, log_rounds, out):
    """The bonus of all stages, written into out ``(H, S)``."""
    H, S = upper.shape
    for h in range(H):
        rest = H - h
        for s in range(S):
            wide = upper[h, s] + floor
            if wide <= 0.0:
                out[h, s] = 0.0
                continue
            small = 4.0 * rest * rate[h, s] <= wide
            penalty, variance = 0.0, 0.0
            for k in range(pair_ptr[s], pair_ptr[s + 1]):
                p = pi[h, k]
                if entropy == TSALLIS:
                    penalty += np.sqrt(p)
                    variance += (4.0 * (1.0 - p) if small else 1.0) * np.sqrt(p)
                elif entropy == SHANNON:
                    penalty -= p * np.log(p) if p > 0.0 else 0.0
                    variance += 2.0 * (1.0 - p) if small else 1.0
                else:
                    penalty += log_rounds
                    variance += (2.0 * (1.0 - p) if small else 1.0) * p
            if entropy == TSALLIS:
                penalty = 2.0 * (penalty - 1.0)
            out[h, s] = (
                change[h, s] * penalty
                + rate[h, s] * (rest * rest) / wide * variance
                + rest * (upper[h, s] - lower[h, s] + floor) / wide
            )


@njit(cache=True, nogil=True)
def leaders(
    arena, law, radius, known, visits, moves, total, inverse, t, pi, lower, upper, rate, change,
    base, factor, explore, scale, entropy, log_rounds, iota, outer, log,
):  # fmt: skip
    """Episodes of best-of-both-worlds policy optimization; one for each row of the log."""
    first, values, _series, states, pairs, rewards = log
    H, S, L = arena.H, upper.shape[1], total.shape[1]
    keep = states.shape[0] > 0
    path, taken, paid = np.empty(H + 1, dtype=np.int64), np.empty(H, dtype=np.int64), np.empty(H)
    A, B = np.empty(S), np.empty(S)
    bonus, extra = np.empty((H, S)), np.empty((H, L))
    dilation = 1.0 + 1.0 / H
    for m in range(values.size):
        table = arena.which[min(first + m, arena.which.size - 1)]
        values[m] = value_of_law(arena, table, pi, A, B)
        walk_law(arena, table, pi, outer, path, taken, paid)
        if keep:
            states[m], pairs[m], rewards[m] = path, taken, paid
        floor = min(1.0, explore / t[0])
        leader_bonus(lower, upper, pi, rate, change, arena.pair_ptr, floor, entropy, log_rounds, bonus)
        for h in range(H):
            for s in range(S):
                bonus[h, s] *= scale
        dilated(bonus, law, radius, known, pi, arena.pair_ptr, dilation, extra)
        for h in range(H):
            for k in range(L):
                total[h, k] -= extra[h, k]
        loss = 0.0
        for h in range(H - 1, -1, -1):
            loss += 1.0 - paid[h]
            k = taken[h]
            total[h, k] += loss / ((upper[h, path[h]] + floor) * pi[h, k])
        if not known:
            count(visits, moves, law, taken, path)
            widen(visits, taken, iota, radius)
        t[0] += 1
        lead(arena.rho, law, radius, known, total, inverse, t[0], base, factor, explore, entropy, arena.pair_ptr,
             pi, lower, upper, rate, change)  # fmt: skip
