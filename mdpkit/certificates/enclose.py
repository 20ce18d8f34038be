r"""From a solver's raw answer to certified bounds: float enclosures, and exact values.

The solver's value is a hint. Bounds are built from it by shifting (discounted), by recursion (finite horizon), or by
solving the problem again with rewards moved by the rounding errors (total reward), and then checked like any others.
"""

from __future__ import annotations

import numpy as np

from mdpkit.certificates import soft
from mdpkit.certificates.certificate import Certificate
from mdpkit.certificates.checks import (
    average_shortfalls,
    integer_stages,
    shortfall,
    stage_lower,
    stage_upper,
    stage_values,
)
from mdpkit.errors import ModelError
from mdpkit.kernels import reference
from mdpkit.kernels.evaluation import Factorization, take_rows
from mdpkit.kernels.gain import improve_average_exact
from mdpkit.kernels.improvement import ImproperPolicyError, improve, improve_exact, repair, scale
from mdpkit.kernels.rational import to_fraction
from mdpkit.models.canonical import Canonical, canonical
from mdpkit.models.criterion import EntropyRegularized
from mdpkit.models.mdp import MDP
from mdpkit.reductions.communicating import Communicating, communicating
from mdpkit.reductions.end_components import Quotient, Structure, analyze
from mdpkit.solver import Answer
from mdpkit.typing import Array, Floats, Ints, Objects

__all__ = ["certify", "certify_exact"]

UNIT = 2.0**-53

THEOREMS = {
    "discounted": "inductive bounds of a contraction",
    "finite": "backward induction with outward rounding",
    "total": "inductive bounds of total reward with a proper witness",
    "average": "superharmonic gains supported by a bias",
    "regularized": "inductive bounds of the soft Bellman operator",
}


def certify(mdp: MDP, answer: Answer, *, quick: bool = False) -> Certificate:
    """A float certificate from an answer; checked, whatever the answer was.

    Where the answer is poor the bounds are wide, and may be infinite for total reward; they are never wrong. With
    ``quick`` the upper side of total reward is not computed, only what the answer or the kind of problem gives for free.
    """
    p = canonical(mdp)
    if p.kind == "average":
        return _average(p, answer)
    witness = None
    if p.kind == "regularized":
        with np.errstate(all="ignore"):  # the check refuses what overflows
            below, above, choice, witness = soft.enclose(p, answer, shortfall)
    elif p.kind == "discounted":
        with np.errstate(over="ignore", invalid="ignore"):  # the check refuses what overflows
            below, above, choice = _discounted(p, answer)
    elif p.kind == "finite":
        below, above, choice = _finite(p, answer)
    else:
        below, above, choice = _total(p, answer, quick)
    about = f"{mdp.origin}, up to rounding"
    if p.kind == "total" and p.fixed_value is not None and not np.any(p.r):
        certificate = _certificate(p, "float", about, *_probabilities(p, below, above, choice)).issued(mdp)
        if certificate.valid:
            return certificate
    certificate = _certificate(p, "float", about, below, above, choice, policy=witness).issued(mdp)
    if certificate.valid:
        return certificate
    if p.kind == "total" and answer.below is not None:
        return certify(mdp, answer._replace(below=None, above=None), quick=quick)
    if p.kind == "total":
        st = analyze(p)
        below, above = np.where(st.finite, -np.inf, below), np.where(st.finite, np.inf, above)
        return _certificate(p, "float", about, below, above, choice).issued(mdp)
    raise ModelError(
        "no float bounds could be certified",
        found=certificate.checked and certificate.checked.reason,
        needed="rewards and values well inside the range of floats",
        way_out="rescale the rewards" + ("" if witness is not None else ", or solve with exact=True"),
    )


def _certificate(
    p: Canonical,
    arithmetic: str,
    about: str,
    below: Array,
    above: Array,
    choice: Ints,
    below_bias: Array | None = None,
    above_bias: Array | None = None,
    policy: Array | None = None,
) -> Certificate:
    from mdpkit.models.criterion import FiniteHorizon

    c = p.mdp.criterion
    return Certificate(
        theorem=THEOREMS[p.kind],
        arithmetic=arithmetic,
        about=about,
        digest=p.mdp.digest,
        below=below,
        above=above,
        choice=choice,
        sign=p.sign,
        offset=p.offset,
        criterion=f"{'minimize' if p.mdp.minimize else 'maximize'} {c!r}",
        whole=p.H is None or isinstance(c, FiniteHorizon),
        below_bias=below_bias,
        above_bias=above_bias,
        policy=policy,
    )


def _greedy(p: Canonical, V: Floats) -> Ints:
    return reference.greedy(reference.q_values(p.P, p.r, p.gamma, V), p.pair_ptr)


# -- discounted ------------------------------------------------------------------------------------------------------


def _discounted(p: Canonical, answer: Answer) -> tuple[Floats, Floats, Ints]:
    V = answer.V
    choice = _greedy(p, V) if answer.choice is None else answer.choice
    if not np.all(np.isfinite(V)):
        V = np.zeros(p.n_states)
    rest = (1.0 - p.gamma) * (1 - 4 * UNIT)
    D, E = shortfall(p, V, False)
    center = 0.5 * float(np.max(-D / rest) + np.min(-D[choice] / rest[choice]))
    if abs(center) > 2.0**-10 * float(np.max(np.abs(V), initial=0.0)):
        V = V + center  # errors are relative to values: measure them where the bounds will be
        D, E = shortfall(p, V, False)
    top = float(np.max(np.abs(V), initial=0.0)) + float(np.max(np.abs(p.r), initial=0.0))
    inflate = 4.0
    below = above = V
    for _ in range(40):
        # E itself grows with the shift: all that is left where rewards cancel to zero, up to rounding.
        E_shifted = E + inflate * UNIT * (np.abs(V[p.state]) + np.abs(p.r) + E) + 1e-300 * (top > 0)
        up = float(np.max((E_shifted - D) / rest))
        down = float(np.min((-D[choice] - E_shifted[choice]) / rest[choice]))
        above, below = V + up, V + down
        above_D, above_E = shortfall(p, above, False)
        below_D, below_E = shortfall(p, below, False)
        if np.all(above_D - above_E >= 0) and np.all((below_D + below_E)[choice] <= 0):
            break
        inflate *= 4.0
    return below, above, choice


# -- finite horizon --------------------------------------------------------------------------------------------------


def _finite(p: Canonical, answer: Answer) -> tuple[Floats, Floats, Ints]:
    assert p.H is not None and p.terminal is not None and answer.choice is not None
    S = p.n_states
    below, above = np.empty((p.H + 1, S)), np.empty((p.H + 1, S))
    slack = np.zeros(S) if p.fixed is not None else 2.0**-49 * np.abs(p.terminal)
    below[p.H], above[p.H] = p.terminal - slack, p.terminal + slack
    for h in range(p.H - 1, -1, -1):
        above[h] = reference.best(stage_upper(p, h, above[h + 1], False), p.pair_ptr)
        below[h] = stage_lower(p, h, below[h + 1], False)[answer.choice[h]]
        if p.fixed is not None:
            below[h][p.fixed] = above[h][p.fixed] = p.terminal[p.fixed]
    return below, above, np.asarray(answer.choice)


# -- total reward ----------------------------------------------------------------------------------------------------


def _total(p: Canonical, answer: Answer, quick: bool) -> tuple[Floats, Floats, Ints]:
    st = analyze(p)
    q = st.quotient
    outside = np.where(st.infinite != 0, st.infinite, 0.0)
    if p.fixed is not None and p.fixed_value is not None:
        outside[p.fixed] = p.fixed_value[p.fixed]
    choice = q.policy(q.proper_choice()) if answer.choice is None else answer.choice
    if q.n == 0:
        return outside, outside.copy(), choice
    if answer.below is not None and answer.above is not None:
        return answer.below, answer.above, choice
    below, choice = _policy_below(p, st, choice, outside)
    above = np.where(st.finite, np.inf, outside) if quick else _perturbed_above(p, st, q, answer.V, outside)
    return np.minimum(below, above), above, choice


def _probabilities(p: Canonical, below: Floats, above: Floats, choice: Ints) -> tuple[Floats, Floats, Ints]:
    """Bounds of probabilities kept between zero and one, and exactly one where the graph says so."""
    from mdpkit.kernels import graph as g

    assert p.fixed is not None and p.fixed_value is not None
    least, most = min(0.0, float(np.min(p.fixed_value))), max(0.0, float(np.max(p.fixed_value)))
    below, above, choice = np.maximum(below, least), np.minimum(above, most), choice.copy()
    target = p.fixed & (p.fixed_value != 0)
    if most > 0:
        sure = g.prob_max_one(p.graph, target, ~p.fixed)
        moves = g.policy_reaching(p.graph, target, sure & ~p.fixed)
        choice[moves >= 0] = moves[moves >= 0]
        below[sure] = most
    elif least < 0:
        above[g.prob_min_one(p.graph, target, ~p.fixed)] = least
    return below, above, choice


def _policy_below(p: Canonical, st: Structure, choice: Ints, outside: Floats) -> tuple[Floats, Ints]:
    """Values of the witness policy on its own chain, moved down by the rounding errors."""
    from mdpkit.kernels import graph as g

    finite = np.flatnonzero(st.finite)
    if not np.all(st.allowed[choice[finite]]):
        choice = st.quotient.policy(st.quotient.proper_choice())
    label, _ = g.bottom_components(p.graph, np.where(st.finite, choice, -1))
    trapped = st.finite & (label >= 0)
    if p.miss != "stay" and trapped.any():
        choice = st.quotient.policy(st.quotient.proper_choice())
        trapped &= False
    known = outside.copy()
    staying = trapped & np.isfinite(st.stop)
    known[staying] = np.where(st.stop[staying] == 0, 0.0, np.nextafter(st.stop[staying], -np.inf))
    moving = np.flatnonzero(st.finite & ~trapped)
    below = known.copy()
    below[trapped & ~staying] = -np.inf
    if not len(moving):
        return below, choice
    rows = choice[moving]
    try:
        lu, inflow = _open_chain(p, moving, rows, known)
    except ModelError:
        below[moving] = -np.inf
        return below, choice
    b = p.r[rows] + inflow
    V = lu.solve(b)
    if not np.all(np.isfinite(V)):
        below[moving] = -np.inf
        return below, choice
    margin = None
    inflate = 1.5
    for _ in range(30):
        full = below.copy()
        full[moving] = V
        D, E = shortfall(p, np.where(np.isfinite(full), full, 0.0), False)
        margin = inflate * (E[rows] + UNIT * np.abs(V))
        trial = lu.solve(b - margin)
        full[moving] = trial
        D, E = shortfall(p, np.where(np.isfinite(full), full, 0.0), False)
        if np.all(D[rows] + E[rows] <= 0):
            below[moving] = trial
            return below, choice
        inflate *= 3.0
    below[moving] = -np.inf
    return below, choice


def _open_chain(p: Canonical, states: Ints, rows: Ints, known: Floats) -> tuple[Factorization, Floats]:
    """The chain of ``rows`` between ``states``, factored, and the mean of ``known`` where a step leads outside them."""
    local = np.full(p.n_states, -1, dtype=np.int64)
    local[states] = np.arange(len(states))
    indptr, columns, data = take_rows(p.P.indptr, p.P.indices, p.P.data, rows)
    row_of = np.repeat(np.arange(len(rows)), np.diff(indptr))
    inner = local[columns] >= 0
    inflow = np.zeros(len(rows))
    np.add.at(inflow, row_of[~inner], data[~inner] * known[columns[~inner]])
    counts = np.bincount(row_of[inner], minlength=len(rows))
    return Factorization(np.concatenate(([0], np.cumsum(counts))), local[columns[inner]], data[inner]), inflow


def _perturbed_above(p: Canonical, st: Structure, q: Quotient, V: Floats, outside: Floats) -> Floats:
    """Optimal values of the problem whose rewards are moved up by the rounding errors: dominates its own backup."""
    guess = np.where(np.isfinite(V), V, 0.0)
    guess[st.finite == 0] = outside[st.finite == 0]
    finite_guess = np.where(np.isfinite(guess), guess, 0.0)
    value = finite_guess[q.members]
    _, E = shortfall(p, finite_guess, False)
    real = q.pair >= 0
    error = np.zeros(len(q.pair))
    error[real] = E[q.pair[real]]
    choice: Ints | None = None
    inflate = 1.5
    checked = np.flatnonzero(st.allowed)
    for _ in range(30):
        margin = inflate * (error + UNIT * np.abs(value[q.owner])) * real
        margin += inflate * UNIT * np.abs(q.r) * ~real
        try:
            value_up, choice = improve(q, q.r + margin, choice, hint=value)
        except (ImproperPolicyError, ModelError):
            break
        if not np.all(np.isfinite(value_up)):
            break
        above = q.expand(value_up, outside)
        D, E = shortfall(p, np.where(np.isfinite(above), above, 0.0), False)
        stopping = np.isfinite(st.stop)
        if np.all(D[checked] - E[checked] >= 0) and np.all(above[stopping] >= np.nextafter(st.stop[stopping], -np.inf)):
            above[stopping] = np.maximum(above[stopping], st.stop[stopping])
            return above
        inflate *= 3.0
    above = outside.copy()
    above[st.finite] = np.inf
    return above


# -- average reward --------------------------------------------------------------------------------------------------


def _average(p: Canonical, answer: Answer) -> Certificate:
    """Bounds from a bias: of each communicating class, then of the best mixture of classes; of the witness on its chain.

    Whatever the bias is, the largest rise r + Ph - h inside a class bounds its gain from above, and the least rise of the
    witness bounds its gain from below.
    """
    about = f"{p.mdp.origin}, up to rounding"
    h = np.where(np.isfinite(answer.V), answer.V, 0.0)
    com = communicating(p)
    choice = _greedy(p, h) if answer.choice is None else answer.choice
    D, _ = shortfall(p, h, False)
    # Rewards themselves are bounds: a side takes them where the bias says less everywhere.
    flat = np.zeros(p.n_states)
    most, least = flat + _largest_reward(p, np.arange(len(p.r)), 1), flat + _largest_reward(p, choice, -1)
    inflate = 1.5
    for _ in range(12):
        above = _average_above(p, com, h, D, inflate)
        below = _average_below(p, com, choice, h, D, inflate)
        high = (most, flat) if above is None or np.all(above >= most) else (above, h)
        low = (least, flat) if below is None or np.all(below <= least) else (below, h)
        certificate = _certificate(p, "float", about, low[0], high[0], choice, low[1], high[1]).issued(p.mdp)
        if certificate.valid:
            return certificate
        inflate *= 4.0
    certificate = _certificate(p, "float", about, least, most, choice, flat, flat).issued(p.mdp)
    if not certificate.valid:
        raise ModelError(
            "no float bounds could be certified",
            found=certificate.checked and certificate.checked.reason,
            needed="rewards well inside the range of floats",
            way_out="rescale the rewards, or solve with exact=True",
        )
    return certificate


def _largest_reward(p: Canonical, pairs: Ints, side: int) -> float:
    """The largest reward of the pairs for side 1, the least for -1, with its error: what the check takes without a bias."""
    nothing = np.zeros(p.n_states)
    bound = side * float(np.max(side * p.r[pairs]))
    for _ in range(8):
        _, (D, E) = average_shortfalls(p, nothing + bound, nothing, False)
        lack = float(np.max((E - side * D)[pairs]))
        if not lack > 0:
            break
        bound = float(np.nextafter(bound + side * 1.5 * lack, side * np.inf))
    return bound


def _average_above(p: Canonical, com: Communicating, h: Floats, D: Floats, inflate: float) -> Floats | None:
    """Gains that fall strictly with each move between classes, and are the largest rise of the bias inside each."""
    inside = np.flatnonzero(com.inside)
    owner = com.label[p.state[inside]]
    rise = np.full(com.n, -np.inf)
    np.maximum.at(rise, owner, -D[inside])
    least = _least_step(p, rise)
    q = com.quotient
    real = q.pair >= 0
    margin = np.zeros(len(q.pair))
    above = None
    for _ in range(6):
        try:
            value, _ = com.best(rise, margin + inflate * least * real)
        except (ImproperPolicyError, ModelError):
            return None
        above = q.expand(value, np.zeros(p.n_states))
        (fall, error), (short, short_error) = average_shortfalls(p, above, h, False)
        lack = np.zeros(com.n)
        np.maximum.at(lack, owner, (short_error - short)[inside])
        if (np.all((fall - error)[~com.inside] > 0) or not least) and not lack.any():
            return above
        rise = np.where(lack > 0, np.nextafter(rise + inflate * lack, np.inf), rise)
        least = _least_step(p, rise)  # gains that were zero are no longer
        margin[real] = inflate * 2 * error[q.pair[real]]
    return above


def _least_step(p: Canonical, gains: Floats) -> float:
    """By how much the gain must differ, at the least, for a difference that is no rounding; zero without rewards."""
    return UNIT * max(float(np.max(np.abs(gains))), UNIT * float(np.max(np.abs(p.r), initial=0.0)))


def _average_below(
    p: Canonical, com: Communicating, choice: Ints, h: Floats, D: Floats, inflate: float
) -> Floats | None:
    """Gains of the witness on its chain: the least rise of the bias where it stays, and strict means on the way there."""
    from mdpkit.kernels import graph as g

    label, n = g.bottom_components(p.graph, choice)
    staying = np.ones(com.n, dtype=bool)
    staying[com.label[~com.inside[choice] & (com.label >= 0)]] = False
    # Classes in which the witness keeps all states share one gain; elsewhere each recurrent class has its own.
    group = np.where(label >= 0, com.n + label, -1)
    kept = (com.label >= 0) & staying[com.label]
    group[kept] = com.label[kept]
    gain = np.full(com.n + n, np.inf)
    known = group >= 0
    np.minimum.at(gain, group[known], -D[choice][known])
    least = _least_step(p, gain[group[known]])
    moving = np.flatnonzero(~known)
    rows = choice[moving]
    margin = np.full(len(rows), inflate * least)
    below = np.zeros(p.n_states)
    for _ in range(6):
        below[known] = gain[group[known]]
        if len(moving):
            try:
                lu, b = _open_chain(p, moving, rows, below)
            except ModelError:
                return None
            below[moving] = lu.solve(b - margin)
        (fall, error), (short, short_error) = average_shortfalls(p, below, h, False)
        lack = np.zeros(com.n + n)
        np.maximum.at(lack, group[known], (short + short_error)[choice][known])
        if (np.all((fall + error)[rows] < 0) or not least) and not lack.any():
            break
        gain = np.where(lack > 0, np.nextafter(gain - inflate * lack, -np.inf), gain)
        least = _least_step(p, gain[group[known]])  # gains that were zero are no longer
        margin = inflate * (2 * error[rows] + least)
    return below


# -- exact -----------------------------------------------------------------------------------------------------------


def certify_exact(mdp: MDP, choice: Ints | None, *, dyadic: bool = False) -> Certificate:
    """Exact values, from a float policy improved in rational arithmetic until no pair is better.

    Raises
    ------
    ModelError
        If the model cannot be made rational (names the row).
    UnsupportedError
        For entropy regularization, whose values are no rationals.
    """
    if isinstance(mdp.criterion, EntropyRegularized):
        raise soft.no_rationals()
    exact = mdp.exact(dyadic=dyadic)
    p = canonical(exact)
    if p.kind == "discounted":
        start = p.pair_ptr[:-1] if choice is None else choice
        data = scale(p.P.rationals(), p.P.indptr, p.gamma_exact)
        V, best = improve_exact(p.pair_ptr, p.P.indptr, p.P.indices, data, p.r_exact, start)
    elif p.kind == "finite":
        V, best = _finite_exact(p)
    elif p.kind == "average":
        start = p.pair_ptr[:-1] if choice is None else choice
        gain, bias, best = improve_average_exact(p.P, p.r_exact, p.pair_ptr, start)
        return _certificate(p, "exact", exact.origin, gain, gain, best, bias, bias).issued(exact)
    else:
        V, best = _total_exact(p, choice)
    return _certificate(p, "exact", exact.origin, V, V, best).issued(exact)


def _finite_exact(p: Canonical) -> tuple[Objects, Ints]:
    assert p.H is not None
    V = np.empty((p.H + 1, p.n_states), dtype=object)
    choice = np.empty((p.H, p.n_states), dtype=np.int64)
    V[p.H] = p.terminal_exact
    stages = integer_stages(p)
    if stages.usable:
        after = stages.end
        known = None if p.fixed is None else stages.end[p.fixed]
        for h in range(p.H - 1, -1, -1):
            q = stages.action_values(h, after)
            after, choice[h] = reference.best(q, p.pair_ptr), reference.greedy(q, p.pair_ptr)
            if known is not None:
                after[p.fixed] = known * stages.scale[p.H - h]
            V[h] = stages.fractions(h, after)
        return V, choice
    for h in range(p.H - 1, -1, -1):
        q, _ = stage_values(p, h, V[h + 1], True)
        V[h], choice[h] = reference.best(q, p.pair_ptr), reference.greedy(q, p.pair_ptr)
        if p.fixed is not None:
            V[h][p.fixed] = p.terminal_exact[p.fixed]
    return V, choice


def _total_exact(p: Canonical, choice: Ints | None) -> tuple[Objects, Ints]:
    st = analyze(p)
    q = st.quotient
    V = np.full(p.n_states, to_fraction(0), dtype=object)
    for s in np.flatnonzero(st.infinite != 0):
        V[s] = float(st.infinite[s])
    if p.fixed is not None:
        V[p.fixed] = p.terminal_exact[p.fixed]
    if q.n == 0:
        return V, q.policy(np.zeros(0, dtype=np.int64))
    start = q.proper_choice() if choice is None else _quotient_choice(q, st, choice)
    r, data = q.exact(p)
    values, best = improve_exact(q.pair_ptr, q.indptr, q.indices, data, r, start)
    return q.expand(values, V), q.policy(best)


def _quotient_choice(q: Quotient, st: Structure, policy: Ints) -> Ints:
    """The quotient's rows for a policy of the model: its exits, as far as it has them; proper elsewhere."""
    p = q.problem
    local = np.full(len(p.r), -1, dtype=np.int64)
    real = np.flatnonzero(q.pair >= 0)
    local[q.pair[real]] = real
    choice = q.proper_choice()
    states = np.flatnonzero(q.class_of >= 0)
    row = local[policy[states]]
    leaving = row >= 0
    # One exit a class: the last write wins, any is proper together with the rest or is repaired below.
    choice[q.class_of[states[leaving]]] = row[leaving]
    stops = np.flatnonzero(q.pair < 0)
    has_stop = np.full(q.n, -1, dtype=np.int64)
    has_stop[q.owner[stops]] = stops
    quiet = np.ones(q.n, dtype=bool)
    quiet[q.class_of[states[leaving]]] = False
    choice = np.where(quiet & (has_stop >= 0), has_stop, choice)
    return repair(q, choice)
