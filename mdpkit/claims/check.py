"""Checking a claim: on its instances, with tighter boxes where it is undecided, and with faults that it must notice."""

from __future__ import annotations

import inspect
import math
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from mdpkit.claims import search
from mdpkit.claims.claim import Case, Claim, Level, Rate
from mdpkit.claims.enclosure import Outcome, Row, precision
from mdpkit.claims.evidence import Curve, Evidence, FaultResult, Verdict
from mdpkit.claims.mutations import Fault, Probe, generic
from mdpkit.claims.rates import Slope, decide, fit
from mdpkit.claims.trial import under
from mdpkit.errors import OptionError, PrecisionError

__all__ = ["check"]

BITS = (128, 512, 2048)
"""Precisions of the balls: the first for all, the next ones for instances with undecided rows."""
UNDECIDED = 0.05
"""Share of undecided rows beyond which nothing is established."""
VACUOUS = 1e4
POINTS = 200

Progress = Callable[[str], None]


class _Run:
    """The rows of one claim on one instance, with or without a fault."""

    def __init__(self, claim: Claim, case: Case, number: int, share: float | None, seed: int):
        self.claim, self.case = claim, case
        self._seed = [seed, zlib.crc32(claim.id.encode()), number]
        self._share = share
        self._accepted = inspect.signature(claim.check).parameters
        self.probe = Probe()

    def rows(self, changes: Mapping[str, Any] | None = None, *, bits: int = BITS[0]) -> list[Row]:
        options: dict[str, Any] = dict(changes or {})
        if "rng" in self._accepted:
            options.setdefault("rng", np.random.default_rng(self._seed))
        if "delta" in self._accepted and self._share is not None:
            options.setdefault("delta", self._share)
        with precision(bits):
            return list(self.claim.check(self.case.problem, **options))

    def refined(
        self, changes: Mapping[str, Any] | None = None, *, stop: Callable[[list[Row]], Any] | None = None
    ) -> list[Row]:
        """The rows, computed again with more bits as long as some are undecided and that helps, or until ``stop`` says so.

        Raises
        ------
        PrecisionError
            If the balls are too wide at the last precision.
        """
        rows: list[Row] | None = None
        for bits in BITS:
            try:
                again = self.rows(changes, bits=bits)
            except PrecisionError:
                if rows is not None or bits == BITS[-1]:
                    if rows is None:
                        raise
                    break
                continue
            if rows is not None and _undecided(again) >= _undecided(rows):
                break
            rows = again
            if not _undecided(rows) or (stop is not None and stop(rows)):
                break
        assert rows is not None
        return rows


def check(
    claim: Claim, level: Level = "fast", *, seed: int = 0, hunting: bool | None = None, progress: Progress | None = None
) -> Evidence:
    """Check a claim; see :meth:`Claim.run`.

    Parameters
    ----------
    claim : Claim
    level : {"fast", "full"}
    seed : int
    hunting : bool, optional
        Whether to search for the worst instance, if the claim says how; at level ``full`` by default.
    progress : text -> None, optional
        Told what is going on.

    Returns
    -------
    Evidence

    Raises
    ------
    OptionError
        For another level, or a negative seed.
    """
    if level not in ("fast", "full"):
        raise OptionError("the level is unknown", found=repr(level), needed="'fast' or 'full'")
    if seed < 0:
        raise OptionError("the seed is negative", found=seed, needed="0 or more")
    started = time.perf_counter()
    say: Progress = progress or _silent
    rng = np.random.default_rng([seed, zlib.crc32(claim.id.encode())])
    with precision(BITS[0]):
        cases = [*claim.instances(level, rng), *search.kept(claim.id, claim.search)]
    share = None if claim.delta is None else claim.delta / max(1, len(cases))
    runs = [_Run(claim, case, i, share, seed) for i, case in enumerate(cases)]
    per_case: list[list[Row]] = []
    for run in runs:
        say(run.case.name)
        with under(run.probe):
            per_case.append(run.refined())

    found: str | None = None
    if claim.search is not None and (level == "full" if hunting is None else hunting):
        say("worst-case search")
        slack, vector = search.hunt(
            claim.search,
            lambda case: _relative(_Run(claim, case, 0, share, seed).rows()),
            rng,
            search.vectors(claim.id, claim.search),
        )
        found = " ".join(map(str, vector))
        worst = Case(f"worst found: {found}", claim.search.build(vector))
        if math.isfinite(slack):
            cases.append(worst)
            runs.append(_Run(claim, worst, len(runs), share, seed))
            with under(runs[-1].probe):
                per_case.append(runs[-1].refined())

    rows = [row for found_rows in per_case for row in found_rows]
    violated, slopes, open_rates = _judged(claim, per_case)
    undecided = _undecided(rows)
    faults = _controls(claim, runs, per_case, say)
    if claim.kind != "counterexample" and claim.mode != "symbolic":
        faults += _generic(claim, runs, say)
    ratio = _ratio(claim, per_case)
    verdict, notes = _verdict(claim, rows, violated, undecided, open_rates, faults, ratio)
    at, slack = _worst(claim, cases, per_case, violated)
    return Evidence.of(
        claim,
        verdict,
        level,
        seed,
        instances=sum(map(bool, per_case)),  # on the others nothing was compared
        rows=len(rows),
        undecided=undecided,
        slack=slack,
        worst=at,
        slope=_shown_slope(claim, slopes),
        ratio=ratio,
        faults=tuple(faults),
        curves=_curves(claim, runs, per_case),
        notes=notes,
        seconds=time.perf_counter() - started,
        found=found,
    )


def _silent(text: str) -> None:
    """No progress is shown."""


# -- what the rows say -----------------------------------------------------------------------------------------------


def _undecided(rows: Iterable[Row]) -> int:
    return sum(row.outcome is Outcome.UNDECIDED for row in rows)


def _violations(claim: Claim, rows: list[Row]) -> list[str]:
    """What is violated on one instance: rows, and rates; of a counterexample, the rows of the false statement."""
    counted = [row for row in rows if not row.premise] if claim.kind == "counterexample" else rows
    bad = [_shown(row) for row in counted if row.outcome is Outcome.VIOLATED]
    for rate in claim.rate:
        slope = fit(_points(rows, rate), rate.scale)
        if slope is not None and decide(slope, rate) is Outcome.VIOLATED:
            bad.append(f"slope {slope.value:.4g} in [{slope.lower:.4g}, {slope.upper:.4g}], not {_rate(rate)}")
    return bad


def _premises(claim: Claim, rows: Iterable[Row], *outcomes: Outcome) -> list[str]:
    """The premises of a counterexample that are violated, or undecided."""
    found = [row for row in rows if row.premise and row.outcome in outcomes]
    return [f"{row.outcome.value}: {_shown(row)}" for row in found] if claim.kind == "counterexample" else []


def _points(rows: list[Row], rate: Rate) -> list[Row]:
    return [row for row in rows if row.relation == "point" and row.series == rate.series]


def _rate(rate: Rate) -> str:
    sign = {"at_most": "at most ", "at_least": "at least ", "exactly": ""}[rate.side]
    return f"{sign}{rate.exponent:g} ± {rate.within:g}"


def _shown(row: Row) -> str:
    at = f" at {row.at}" if row.at else ""
    if row.relation == "fact":
        return f"false{at}"
    sign = {"<=": ">", "==": "!="}.get(row.relation, row.relation)
    return f"{row.left:.10g} {sign} {row.right:.10g}{at}"


def _judged(claim: Claim, per_case: list[list[Row]]) -> tuple[list[int], list[tuple[Rate, Slope]], list[str]]:
    """Indices of violated instances, the slopes, and the rates that stay open."""
    violated = [i for i, rows in enumerate(per_case) if _violations(claim, rows)]
    slopes: list[tuple[Rate, Slope]] = []
    left_open: list[str] = []
    for rate in claim.rate:
        fitted = [fit(_points(rows, rate), rate.scale) for rows in per_case]
        slopes += [(rate, slope) for slope in fitted if slope is not None]
        if not any(fitted):
            left_open.append(f"no slope of {rate.series or 'the points'}: fewer than four points")
        left_open += [
            f"slope {slope.value:.4g} in [{slope.lower:.4g}, {slope.upper:.4g}] does not decide {_rate(rate)}"
            for slope in fitted
            if slope is not None and decide(slope, rate) is Outcome.UNDECIDED
        ]
    return violated, slopes, left_open


def _verdict(
    claim: Claim,
    rows: list[Row],
    violated: list[int],
    undecided: int,
    open_rates: list[str],
    faults: list[FaultResult],
    ratio: float | None,
) -> tuple[Verdict, tuple[str, ...]]:
    notes: list[str] = []
    if claim.domain:
        notes.append(f"domain: {claim.domain}")
    if claim.delta is not None:
        notes.append(f"level 1 - {claim.delta:g} for all instances together")
    if claim.caveat:
        notes.append(claim.caveat)
    false_statement = claim.kind == "counterexample"
    if violated and not false_statement:
        return Verdict.REFUTED, tuple(notes)
    weak = [f"a premise is {text}" for text in _premises(claim, rows, Outcome.VIOLATED, Outcome.UNDECIDED)]
    weak += [f"{f.name!r} goes unnoticed" for f in faults if f.applied and not f.own and not f.killed and not f.reason]
    weak += [f"the control {f.name!r} is not refuted" for f in faults if f.own and not f.killed]
    if not rows:
        weak.append("nothing was compared")
    if false_statement and not violated:
        weak.append("no instance violates the false statement")
    if not false_statement:
        weak += open_rates
        if undecided > UNDECIDED * len(rows):
            weak.append(f"{undecided} of {len(rows)} comparisons are undecided")
    if weak:
        return Verdict.NOT_ESTABLISHED, tuple(dict.fromkeys(weak + notes))
    if ratio is not None and ratio > VACUOUS:
        return Verdict.VACUOUS, (f"the bound is {ratio:.3g} times what is measured", *notes)
    if claim.mode == "symbolic":
        return Verdict.PROVED, tuple(notes)
    if claim.mode == "exact":
        if all(row.sharp for row in rows):
            return Verdict.VERIFIED, tuple(notes)
        return Verdict.HELD, ("not all comparisons are exact", *notes)
    return (Verdict.CONSISTENT if claim.mode == "statistical" else Verdict.HELD), tuple(notes)


def _worst(claim: Claim, cases: list[Case], per_case: list[list[Row]], violated: list[int]) -> tuple[str, float | None]:
    """Where the slack is least (relative to the sides), and the least slack itself."""
    if violated:
        rows = per_case[violated[0]]
        bad = [row for row in rows if row.outcome is Outcome.VIOLATED]
        first = _violations(claim, rows)[0]
        slack = None if not bad or bad[0].relation == "fact" else -abs(bad[0].slack)
        return f"{cases[violated[0]].name}: {first}", slack
    bounds = [(row, case) for rows, case in zip(per_case, cases, strict=True) for row in rows if row.relation == "<="]
    bounds = [(row, case) for row, case in bounds if math.isfinite(row.slack)]
    if bounds:
        row, case = min(bounds, key=lambda pair: pair[0].relative)
        return f"{case.name}{', ' + row.at if row.at else ''}", min(r.slack for r, _ in bounds)
    same = [(row, case) for rows, case in zip(per_case, cases, strict=True) for row in rows if row.relation == "=="]
    if same:
        row, case = max(same, key=lambda pair: pair[0].slack)
        return f"{case.name}{', ' + row.at if row.at else ''}", -row.slack
    return "", None


def _relative(rows: list[Row]) -> float:
    slacks = [row.relative for row in rows if row.relation == "<=" and math.isfinite(row.slack)]
    return min(slacks, default=math.inf)


def _shown_slope(claim: Claim, slopes: list[tuple[Rate, Slope]]) -> tuple[float, float, float] | None:
    """The slope furthest from the first rate's exponent."""
    own = [slope for rate, slope in slopes if rate is claim.rate[0]] if claim.rate else []
    if not own:
        return None
    slope = max(own, key=lambda s: abs(s.value - claim.rate[0].exponent))
    return slope.value, slope.lower, slope.upper


def _ratio(claim: Claim, per_case: list[list[Row]]) -> float | None:
    """bound/measured over the last quarter of the abscissae, least over instances and curves."""
    if claim.kind not in ("upper", "lower", "rate", "separation"):
        return None
    least: list[float] = []
    for rows in per_case:
        curves: dict[str, list[Row]] = {}
        for row in rows:
            if row.relation == "<=" and row.k is not None:
                curves.setdefault(row.series, []).append(row)
        for curve in curves.values():
            last = max(row.k for row in curve if row.k is not None)
            tail = [row for row in curve if row.k is not None and row.k >= 0.75 * last]
            pairs = [(row.left, row.right) for row in tail if row.ends[0] > 0 and math.isfinite(row.right)]
            # For a lower bound the right side is measured; either way the ratio is large where the bound is far off.
            least += [right / left for left, right in pairs]
    return min(least, default=None)


# -- faults ----------------------------------------------------------------------------------------------------------


BREAKDOWNS = (ArithmeticError, ValueError, np.linalg.LinAlgError)
"""How a mutated solver breaks down: the library's own errors are ValueErrors too."""


def _controls(claim: Claim, runs: list[_Run], per_case: list[list[Row]], say: Progress) -> list[FaultResult]:
    out: list[FaultResult] = []
    for control in claim.controls:
        say(f"control: {control.name}")
        by, killed = "", False
        if claim.kind == "counterexample":
            # The control restores what the true statement asks for, and then nothing may be violated.
            found = [run.refined(control.changes) for run in runs]
            killed = not any(_violations(claim, rows) or _premises(claim, rows, Outcome.VIOLATED) for rows in found)
            by = "not violated" if killed else ""
        else:
            for run in runs:
                bad = _violations(claim, run.refined(control.changes, stop=lambda rows: _violations(claim, rows)))
                if bad:
                    by, killed = f"{run.case.name}: {bad[0]}", True
                    break
        out.append(FaultResult(control.name, own=True, applied=True, killed=killed, by=by))
    return out


def _generic(claim: Claim, runs: list[_Run], say: Progress) -> list[FaultResult]:
    out: list[FaultResult] = []
    for number, example in enumerate(generic()):
        say(f"fault: {example.name}")
        touched, killed, by = False, False, ""
        for run in runs:
            fault: Fault = generic()[number]
            if not fault.reaches(run.probe):
                continue
            try:
                with under(fault), np.errstate(all="ignore"):
                    bad = _violations(claim, run.refined(stop=lambda rows: _violations(claim, rows)))
            except BREAKDOWNS as error:
                bad = [f"breaks down: {type(error).__name__}"] if fault.touched else []
                if not fault.touched:
                    raise
            touched = touched or fault.touched
            if bad and fault.touched:
                killed, by = True, f"{run.case.name}: {bad[0]}"
                break
        if touched:
            reason = "" if killed else claim.survivors.get(example.name, "")
            out.append(FaultResult(example.name, own=False, applied=True, killed=killed, by=by, reason=reason))
    return out


# -- pictures --------------------------------------------------------------------------------------------------------


def _curves(claim: Claim, runs: list[_Run], per_case: list[list[Row]]) -> tuple[Curve, ...]:
    """The curves of the instance with the least slack, and of one control on it."""
    drawn = [i for i, rows in enumerate(per_case) if any(row.k is not None for row in rows)]
    if not drawn:
        return ()
    i = min(drawn, key=lambda j: _relative([row for row in per_case[j] if row.k is not None]))
    curves = _drawn(per_case[i], False, "")
    for control in claim.controls:
        try:
            rows = runs[i].rows(control.changes)
        except BREAKDOWNS:
            continue
        wrong = _drawn(rows, True, control.name)
        if wrong:
            return (*curves, *wrong)
    return tuple(curves)


def _drawn(rows: list[Row], control: bool, name: str) -> list[Curve]:
    curves: dict[str, list[Row]] = {}
    for row in rows:
        if row.k is not None and row.relation != "fact":
            curves.setdefault(row.series, []).append(row)
    out: list[Curve] = []
    for series, points in curves.items():
        points = sorted(points, key=lambda row: row.k or 0.0)
        if len(points) > POINTS:
            keep = np.unique(np.linspace(0, len(points) - 1, POINTS).astype(int))
            points = [points[int(j)] for j in keep]
        label = ", ".join(part for part in (series, name) if part) or "measured"
        out.append(
            Curve(
                label,
                [float(row.k or 0.0) for row in points],
                [row.left for row in points],
                [row.right for row in points],
                control,
            )
        )
    return out
