r"""The checks behind certificates: inductive inequalities, in floats with their rounding errors or in rationals.

Nothing here trusts a solver: the arrays of the problem and the two bounds are all that is read.
"""

from __future__ import annotations

import math
from fractions import Fraction
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from mdpkit.certificates import soft
from mdpkit.kernels import graph as g
from mdpkit.kernels import reference
from mdpkit.kernels.rational import to_fraction
from mdpkit.kernels.stages import IntegerStages
from mdpkit.models.canonical import STOCHASTIC, Canonical
from mdpkit.models.criterion import FiniteHorizon
from mdpkit.reductions.end_components import Structure, analyze
from mdpkit.typing import Array, Bools, Floats, Ints

if TYPE_CHECKING:
    from mdpkit.certificates.certificate import Certificate

__all__ = [
    "average_shortfalls",
    "integer_stages",
    "shortfall",
    "stage_lower",
    "stage_upper",
    "stage_values",
    "violation",
]

UNIT = 2.0**-53


def violation(p: Canonical, c: Certificate, *, exact: bool) -> str:
    """Why the certificate does not hold, or an empty string."""
    H = p.H
    S = p.n_states
    if reason := _misstated(p, c):
        return reason
    shape = (H + 1, S) if H is not None else (S,)
    if c.below.shape != shape or c.above.shape != shape:
        return f"the bounds have shape {c.below.shape}, needed {shape}"
    choice_shape = (H, S) if H is not None else (S,)
    if c.choice.shape != choice_shape or c.choice.dtype.kind not in "iu":
        return f"the witness policy has shape {c.choice.shape}, needed {choice_shape}"
    if c.choice.size and not np.all((c.choice >= p.pair_ptr[:-1]) & (c.choice < p.pair_ptr[1:])):
        return "the witness policy uses a pair of another state"
    if (c.sign, c.offset) != (p.sign, p.offset):
        return "the certificate maximizes where the model minimizes, or the reverse"
    below, above = (_numbers(x, exact) for x in (c.below, c.above))
    for name, bound in (("below", below), ("above", above)):
        bad = (
            np.flatnonzero([x != x for x in bound.ravel()])
            if bound.dtype == object
            else np.flatnonzero(np.isnan(bound))
        )
        if bad.size:
            return f"the bound {name} is not a number in state {int(bad[0]) % S}"
    if p.kind == "discounted":
        reason = _discounted(p, below, above, c.choice, exact)
    elif p.kind == "finite":
        reason = _finite(p, below, above, c.choice, exact)
    elif p.kind == "average":
        reason = _average(p, c, below, above, exact)
    elif p.kind == "regularized":
        reason = soft.violation(p, below, above, c.choice, c.policy, shortfall, exact)
    else:
        reason = _total(p, below, above, c.choice, exact)
    if not reason and c.arithmetic == "exact" and not np.all(below == above):
        return "the bounds of an exact certificate do not coincide"
    return reason


def _misstated(p: Canonical, c: Certificate) -> str:
    """Why what the certificate says of itself is not what is checked: it must not show other numbers than these."""
    if c.arithmetic not in ("float", "exact"):
        return f"the arithmetic {c.arithmetic!r} is neither float nor exact"
    if p.kind == "regularized" and c.arithmetic == "exact":
        return soft.NO_RATIONALS
    if p.kind != "regularized" and c.policy is not None:
        return "the certificate has a randomized witness, which this criterion has no use for"
    if c.whole != (p.H is None or isinstance(p.mdp.criterion, FiniteHorizon)):
        return "the certificate shows the bounds of other stages than the criterion asks for"
    for name in ("below", "above", "below_bias", "above_bias"):
        bound: Array | None = getattr(c, name)
        if bound is None:
            continue
        if c.arithmetic == "float" and bound.dtype != np.float64:
            return f"the bound {name} of a float certificate is of type {bound.dtype}"
        if c.arithmetic == "exact" and not (
            bound.dtype == object
            and all(type(x) is Fraction or (type(x) is float and math.isinf(x)) for x in bound.ravel())
        ):
            return f"the bound {name} of an exact certificate is not made of fractions"
    return ""


def shortfall(p: Canonical, V: Array, exact: bool) -> tuple[Array, Array]:
    """V(s) - r - gamma PV of each pair, and the bound on its error (zeros in rationals)."""
    if exact:
        return reference.shortfall(p.P, p.r_exact, p.gamma_exact, V, p.state), np.full(
            len(p.r), to_fraction(0), dtype=object
        )
    return _shortfall(p, V, p.r, p.r_error)


def _shortfall(p: Canonical, V: Floats, r: Floats, r_error: Floats) -> tuple[Floats, Floats]:
    fast: Any = import_module("mdpkit.kernels.fast")
    D, E = np.empty(len(p.r)), np.empty(len(p.r))
    mass = p.P.mass_defect
    if p.kind in ("total", "average"):
        # Rows that sum to one up to rounding stand for rows that do: end components then keep their mass.
        mass = np.where(mass <= STOCHASTIC + 2.0**-50 * p.n_states, 0.0, mass)
    with np.errstate(all="ignore"):
        fast.shortfall(p.pair_ptr, p.P.indptr, p.P.indices, p.P.data, r, r_error, p.gamma, mass, V, D, E)
    return D, E


def average_shortfalls(
    p: Canonical, gain: Array, bias: Array, exact: bool
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """g(s) - Pg and g(s) + h(s) - r - Ph of each pair, each with the bound on its error (zeros in rationals)."""
    if exact:
        zero = np.full(len(p.r), to_fraction(0), dtype=object)
        first = gain[p.state] - p.P @ gain
        return (first, zero), (gain[p.state] + reference.shortfall(p.P, p.r_exact, p.gamma_exact, bias, p.state), zero)
    nothing = np.zeros(len(p.r))
    with np.errstate(all="ignore"):  # what overflows is refused
        rest = p.r - gain[p.state]
    return _shortfall(p, gain, nothing, nothing), _shortfall(p, bias, rest, p.r_error + 2 * UNIT * np.abs(rest))


def stage_values(p: Canonical, h: int, V: Array, exact: bool) -> tuple[Array, Array]:
    """r + gamma PV of each pair in stage h, and the bound on its error."""
    L = len(p.state)
    varying_P, varying_r = p.P.n_rows != L, len(p.r) != L
    P = p.P.rows(h * L, (h + 1) * L) if varying_P else p.P
    part = slice(h * L, (h + 1) * L) if varying_r else slice(0, L)
    if exact:
        return reference.q_values(P, p.r_exact[part], p.gamma_exact, V), np.full(L, to_fraction(0), dtype=object)
    fast: Any = import_module("mdpkit.kernels.fast")
    q, E = np.empty(L), np.empty(L)
    fast.action_values(P.indptr, P.indices, P.data, p.r[part], p.r_error[part], p.gamma, V, q, E)
    return q, E


def stage_upper(p: Canonical, h: int, V: Array, exact: bool) -> Array:
    """An upper bound on r + gamma PV of each pair in stage h; a mean without rewards is at most the largest value."""
    q, E = stage_values(p, h, V, exact)
    return np.minimum(q + E, np.max(V)) if _averages(p) else q + E


def stage_lower(p: Canonical, h: int, V: Array, exact: bool) -> Array:
    """The lower bound that goes with :func:`stage_upper`."""
    q, E = stage_values(p, h, V, exact)
    return np.maximum(q - E, np.min(V)) if _averages(p) else q - E


def _averages(p: Canonical) -> bool:
    rewardless = p.fixed is not None and not np.any(p.r) and bool(np.all(p.gamma == 1))
    return rewardless and bool(np.all(p.P.mass_defect <= STOCHASTIC + 2.0**-50 * p.n_states))


def _numbers(values: Array, exact: bool) -> Array:
    if not exact:
        return np.asarray(values, dtype=np.float64)
    out = np.empty(values.shape, dtype=object)
    entries: list[Any] = values.ravel().tolist()
    out.ravel()[:] = [x if isinstance(x, float) and not math.isfinite(x) else to_fraction(x) for x in entries]
    return out


def _is_finite(values: Array) -> bool:
    if values.dtype == object:
        return not any(isinstance(x, float) for x in values.ravel().tolist())
    return bool(np.all(np.isfinite(values)))


def _first(mask: Array) -> int:
    return int(np.flatnonzero(mask)[0])


def _discounted(p: Canonical, below: Array, above: Array, choice: Ints, exact: bool) -> str:
    for name, bound in (("below", below), ("above", above)):
        if not _is_finite(bound):
            return f"the bound {name} is not finite"
    D, E = shortfall(p, above, exact)
    bad = ~(D - E >= 0)
    if bad.any():
        k = _first(bad)
        return f"the upper side is not inductive at state {int(p.state[k])}, action {int(p.mdp.action[k])}"
    D, E = (D, E) if below is above else shortfall(p, below, exact)
    bad = ~((D + E)[choice] <= 0)
    if bad.any():
        return f"the lower side is not inductive at state {_first(bad)}"
    return ""


def _finite(p: Canonical, below: Array, above: Array, choice: Ints, exact: bool) -> str:
    assert p.H is not None
    if exact:
        end, slack = p.terminal_exact, p.terminal_exact * 0
    else:
        assert p.terminal is not None
        end, slack = p.terminal, 2.0**-50 * np.abs(p.terminal) * (p.mdp.origin != "as given" or not p.mdp.is_exact)
        if p.fixed is not None:
            slack = np.zeros_like(end)
    if not (np.all(below[p.H] <= end - slack) and np.all(end + slack <= above[p.H])):
        return "the bounds do not enclose the terminal rewards"
    free = np.ones(p.n_states, dtype=bool) if p.fixed is None else ~p.fixed
    if exact and bool(np.all(below == above)):
        verdict = _finite_integers(p, below, choice, free)
        if verdict is not None:
            return verdict
    for h in range(p.H - 1, -1, -1):
        bad = (~(reference.best(stage_upper(p, h, above[h + 1], exact), p.pair_ptr) <= above[h])) & free
        if bad.any():
            return f"the upper side is not inductive at stage {h}, state {_first(bad)}"
        bad = (~(stage_lower(p, h, below[h + 1], exact)[choice[h]] >= below[h])) & free
        if bad.any():
            return f"the lower side is not inductive at stage {h}, state {_first(bad)}"
        if p.fixed is not None and not (
            np.all(below[h][~free] <= end[~free]) and np.all(end[~free] <= above[h][~free])
        ):
            return f"the bounds do not enclose the known values at stage {h}"
    return ""


def integer_stages(p: Canonical) -> IntegerStages:
    """The stages of an exact finite-horizon problem in integers."""
    assert p.H is not None
    P = p.P
    return IntegerStages(P.indptr, P.indices, P.rationals(), p.gamma_exact, p.r_exact, p.terminal_exact, p.H)


def _finite_integers(p: Canonical, V: Array, choice: Ints, free: Bools) -> str | None:
    """The check of exact values in integers over known denominators; None where they do not apply."""
    assert p.H is not None
    stages = integer_stages(p)
    if not stages.usable:
        return None
    after = stages.integers(p.H, V[p.H])
    for h in range(p.H - 1, -1, -1):
        now = stages.integers(h, V[h])
        if now is None or after is None:
            return None
        q = stages.action_values(h, after)
        bad = (reference.best(q, p.pair_ptr) > now) & free
        if bad.any():
            return f"the upper side is not inductive at stage {h}, state {_first(bad)}"
        bad = (q[choice[h]] < now) & free
        if bad.any():
            return f"the lower side is not inductive at stage {h}, state {_first(bad)}"
        if not np.all(V[h][~free] == p.terminal_exact[~free]):
            return f"the bounds do not enclose the known values at stage {h}"
        after = now
    return ""


def _average(p: Canonical, c: Certificate, below: Array, above: Array, exact: bool) -> str:
    """Gains that are superharmonic, or subharmonic for the witness, and where they are harmonic a bias that supports them.

    Where a pair changes the gain strictly, a large multiple of the gain added to the bias supports it; see ``docs/theory``.
    """
    if c.below_bias is None or c.above_bias is None:
        return "the certificate of an average has no bias"
    below_bias, above_bias = (_numbers(x, exact) for x in (c.below_bias, c.above_bias))
    for name, bound in (
        ("gain below", below), ("gain above", above), ("bias below", below_bias), ("bias above", above_bias),
    ):  # fmt: skip
        if bound.shape != (p.n_states,) or not _is_finite(bound):
            return f"the {name} is not a finite number for each state"
    (D, E), (D_bias, E_bias) = average_shortfalls(p, above, above_bias, exact)
    bad = ~((D - E > 0) | ((D - E >= 0) & (D_bias - E_bias >= 0)))
    if bad.any():
        k = _first(bad)
        return f"the upper side is not inductive at state {int(p.state[k])}, action {int(p.mdp.action[k])}"
    if c.below is not c.above or c.below_bias is not c.above_bias:
        (D, E), (D_bias, E_bias) = average_shortfalls(p, below, below_bias, exact)
    D, E, D_bias, E_bias = (x[c.choice] for x in (D, E, D_bias, E_bias))
    bad = ~((D + E < 0) | ((D + E <= 0) & (D_bias + E_bias <= 0)))
    if bad.any():
        return f"the lower side is not inductive at state {_first(bad)}"
    return ""


def _total(p: Canonical, below: Array, above: Array, choice: Ints, exact: bool) -> str:
    st = analyze(p)
    zero: Any = to_fraction(0) if exact else 0.0
    low_is = _infinite_pattern(below)
    high_is = _infinite_pattern(above)
    wrong = (low_is == 1) & (st.infinite != np.inf) | (high_is == -1) & (st.infinite != -np.inf)
    if wrong.any():
        return f"an infinite bound without reason in state {_first(wrong)}"
    wrong = (st.infinite == np.inf) & (high_is != 1) | (st.infinite == -np.inf) & (low_is != -1)
    if wrong.any():
        return f"a finite bound where the value is infinite, in state {_first(wrong)}"
    if p.fixed is not None:
        end = p.terminal_exact if exact else p.fixed_value
        assert end is not None
        if not (np.all(below[p.fixed] <= end[p.fixed]) and np.all(end[p.fixed] <= above[p.fixed])):
            return "the bounds do not enclose the known values"
    return _total_above(p, st, above, high_is, zero, exact) or _total_below(p, st, below, low_is, choice, zero, exact)


def _infinite_pattern(bound: Array) -> Ints:
    values = (
        bound.astype(np.float64)
        if bound.dtype != object
        else np.array([x if isinstance(x, float) else 0.0 for x in bound.tolist()])
    )
    return np.where(np.isinf(values), np.sign(values), 0).astype(np.int64)


def _total_above(p: Canonical, st: Structure, above: Array, infinite: Ints, zero: Any, exact: bool) -> str:
    bounded = st.finite & (infinite == 0)
    if not bounded.any():
        return ""
    checked = st.allowed & bounded[p.state]
    open_ended = np.zeros(len(p.r), dtype=bool)
    open_ended[p.P.row_of[(infinite != 0)[p.P.indices]]] = True
    bad = checked & open_ended
    if bad.any():
        return f"the upper side has an unbounded successor at state {int(p.state[_first(bad)])}"
    V = above.copy()
    V[infinite != 0] = zero
    D, E = _total_shortfall(p, V, checked, exact)
    bad = checked.copy()
    bad[checked] = ~(D - E >= 0)
    if bad.any():
        k = _first(bad)
        return f"the upper side is not inductive at state {int(p.state[k])}, action {int(p.mdp.action[k])}"
    stopping = bounded & np.isfinite(st.stop)
    stop = st.stop_exact if exact else _round(st.stop, up=True)
    if not np.all(above[stopping] >= stop[stopping]):
        return f"the upper side is below the value of staying, in state {_first(stopping & ~(above >= stop))}"
    return ""


def _total_below(
    p: Canonical, st: Structure, below: Array, infinite: Ints, choice: Ints, zero: Any, exact: bool
) -> str:
    bounded = st.finite & (infinite == 0)
    if not bounded.any():
        return ""
    used = choice[bounded]
    if not np.all(st.allowed[used]):
        s = int(p.state[used[~st.allowed[used]][0]])
        return f"the witness policy leaves the finite part in state {s}"
    row = np.zeros(len(p.r), dtype=bool)
    row[used] = True
    open_ended = np.zeros(len(p.r), dtype=bool)
    open_ended[p.P.row_of[(infinite != 0)[p.P.indices]]] = True
    if (row & open_ended).any():
        return f"the lower side has an unbounded successor at state {int(p.state[_first(row & open_ended)])}"
    V = below.copy()
    V[infinite != 0] = zero
    policy = np.where(bounded, choice, -1)
    label, _ = g.bottom_components(p.graph, policy)
    trapped = bounded & (label >= 0)
    staying = np.zeros(p.n_states, dtype=bool)
    if trapped.any():
        if p.miss != "stay":
            return f"the witness policy never reaches the target from state {_first(trapped)}"
        silent = np.zeros(p.n_states, dtype=bool)
        r = p.r[np.where(bounded, choice, 0)]
        loud = np.zeros(p.n_states, dtype=bool)
        loud[trapped] = r[trapped] != 0
        noisy = np.isin(label, np.unique(label[loud]))
        silent = trapped & ~noisy
        if not np.all(V[silent] <= zero):
            s = _first(silent & ~(V <= zero))
            return f"the lower side is positive where the witness policy collects nothing, in state {s}"
        staying = trapped & noisy
        stop = st.stop_exact if exact else _round(st.stop, up=False)
        bad = staying & ~(np.isfinite(st.stop) & (st.stay == choice) & (V <= stop))
        if bad.any():
            return f"the witness policy stays in a class whose rewards do not vanish, in state {_first(bad)}"
    checked = row.copy()
    checked[choice[staying]] = False  # bounded by the exact value of staying instead
    D, E = _total_shortfall(p, V, checked, exact)
    bad = checked.copy()
    bad[checked] = ~(D + E <= 0)
    if bad.any():
        return f"the lower side is not inductive at state {int(p.state[_first(bad)])}"
    return ""


def _total_shortfall(p: Canonical, V: Array, pairs: Bools, exact: bool) -> tuple[Array, Array]:
    if not exact:
        D, E = shortfall(p, V, False)
        return D[pairs], E[pairs]
    rows = np.flatnonzero(pairs)
    part = p.P.take(rows)
    D = V[p.state[rows]] - p.r_exact[rows] - part @ V
    return D, D * 0


def _round(values: Floats, *, up: bool) -> Floats:
    out = values.copy()
    inexact = np.isfinite(values) & (values != 0)
    out[inexact] = np.nextafter(values[inexact], np.inf if up else -np.inf)
    return out
