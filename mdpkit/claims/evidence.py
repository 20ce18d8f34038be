"""What a check found: the verdict, the slack, the worst instance, and which faults were noticed."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mdpkit.errors import UnsupportedError

if TYPE_CHECKING:
    from mdpkit.claims.claim import Claim

__all__ = ["Curve", "Evidence", "FaultResult", "Verdict"]


class Verdict(Enum):
    """Verdicts, never mixed. The members' values are the help text."""

    PROVED = "proved: symbolically, on the domain that is printed"
    VERIFIED = "verified: in rational arithmetic, on every instance tried"
    HELD = "held: in rigorous enclosures, on every instance tried"
    CONSISTENT = "consistent: with the samples, at the stated level"
    REFUTED = "refuted: by the instance that is shown"
    NOT_ESTABLISHED = "not established: a fault goes unnoticed, or too much is undecided"
    VACUOUS = "vacuous: the bound is too far from what is measured to say anything"
    STATED = "stated: no check yet"

    @property
    def ok(self) -> bool:
        """Whether the claim may be relied on as far as the verdict goes."""
        return self in (Verdict.PROVED, Verdict.VERIFIED, Verdict.HELD, Verdict.CONSISTENT)

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class FaultResult:
    """A fault and whether the claim noticed it.

    Attributes
    ----------
    name : str
    own : bool
        One of the claim's controls, or a generic mutation.
    applied : bool
        Whether it changed anything.
    killed : bool
    by : str
        The row that it violates, or how the solver broke down.
    reason : str
        Why it may survive.
    """

    name: str
    own: bool
    applied: bool
    killed: bool
    by: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Curve:
    """A measured curve with its bound, for the picture.

    Attributes
    ----------
    label : str
    k, measured, bound : lists of float
        ``bound`` holds NaN where there is none.
    control : bool
        Whether it is that of a control.
    """

    label: str
    k: list[float]
    measured: list[float]
    bound: list[float]
    control: bool = False


@dataclass(frozen=True)
class Evidence:
    """The evidence for a claim.

    Attributes
    ----------
    id, paper, family, kind, mode, title, says, where : str
        Of the claim.
    verdict : Verdict
    level : {"fast", "full"}
    seed : int
    instances : int
        How many instances were tried.
    rows, undecided : int
        How many comparisons, and how many of them stayed undecided.
    slack : float or None
        Least slack of the inequalities; for equalities alone, minus the largest difference that the enclosures leave open.
    worst : str
        The instance and the place of the least slack, or of the refutation.
    slope : tuple or None
        ``(slope, lower, upper)`` of the rate.
    ratio : float or None
        bound/measured over the last quarter of the range, on the instance where the bound is closest.
    faults : tuple of FaultResult
    curves : tuple of Curve
    notes : tuple of str
        What else should be read: the domain of a proof, the level of a test, a reason.
    seconds : float
    found : str or None
        The vector of the worst instance that a search found.
    """

    id: str
    paper: str
    family: str
    kind: str
    mode: str
    title: str
    says: str
    where: str
    verdict: Verdict
    level: str
    seed: int
    instances: int = 0
    rows: int = 0
    undecided: int = 0
    slack: float | None = None
    worst: str = ""
    slope: tuple[float, float, float] | None = None
    ratio: float | None = None
    faults: tuple[FaultResult, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    found: str | None = None

    @classmethod
    def of(cls, claim: Claim, verdict: Verdict, level: str, seed: int, **found: Any) -> Evidence:
        """The evidence for a claim, with what the claim says of itself."""
        names = ("id", "paper", "family", "kind", "mode", "title", "says", "where")
        said = {name: getattr(claim, name) for name in names}
        return cls(**said, verdict=verdict, level=level, seed=seed, **found)

    @property
    def controls(self) -> tuple[FaultResult, ...]:
        """The claim's own controls."""
        return tuple(f for f in self.faults if f.own)

    @property
    def generic(self) -> tuple[FaultResult, ...]:
        """The generic mutations that applied."""
        return tuple(f for f in self.faults if not f.own and f.applied)

    @property
    def killed(self) -> int:
        """How many of the applicable generic mutations were noticed."""
        return sum(f.killed for f in self.generic)

    @property
    def applicable(self) -> int:
        """How many generic mutations applied."""
        return len(self.generic)

    @property
    def survivors(self) -> tuple[FaultResult, ...]:
        """Faults that went unnoticed."""
        return tuple(f for f in self.faults if f.applied and not f.killed)

    def row(self) -> dict[str, Any]:
        """The row of ``mdpkit verify --json``."""
        own = self.controls
        return {
            "id": self.id,
            "paper": self.paper,
            "family": self.family,
            "kind": self.kind,
            "mode": self.mode,
            "verdict": str(self.verdict),
            "instances": self.instances,
            "undecided": self.undecided,
            "slack": _finite(self.slack),
            "slope": None if self.slope is None else [_finite(x) for x in self.slope],
            "ratio": _finite(self.ratio),
            "controls": f"{sum(f.killed for f in own)}/{len(own)}",
            "killed": self.killed,
            "applicable": self.applicable,
            "seconds": round(self.seconds, 3),
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything, in plain types; :meth:`from_dict` reads it."""
        return {**asdict(self), "verdict": self.verdict.name}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Evidence:
        """What :meth:`as_dict` wrote."""
        data = dict(data)
        data["verdict"] = Verdict[data["verdict"]]
        data["faults"] = tuple(FaultResult(**f) for f in data["faults"])
        data["curves"] = tuple(Curve(**{k: v for k, v in c.items()}) for c in data["curves"])
        data["notes"] = tuple(data["notes"])
        data["slope"] = None if data["slope"] is None else tuple(data["slope"])
        return cls(**data)

    def to_json(self) -> str:
        """One line of JSON; NaN and infinities as Python's json writes them."""
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def to_dataframe(self) -> Any:
        """The curves as a pandas DataFrame: ``curve, control, k, measured, bound``."""
        rows = [
            {"curve": c.label, "control": c.control, "k": k, "measured": m, "bound": b}
            for c in self.curves
            for k, m, b in zip(c.k, c.measured, c.bound, strict=True)
        ]
        try:
            pandas: Any = import_module("pandas")
        except ImportError:
            raise UnsupportedError(
                "pandas is not installed", needed="pandas", way_out="pip install 'mdpkit[pandas]'"
            ) from None
        return pandas.DataFrame(rows, columns=["curve", "control", "k", "measured", "bound"])

    def plot(self, ax: Any = None) -> Any:
        """Draw the measured curve against its bound, and a control in another line style."""
        from mdpkit.plots.claims import evidence

        return evidence(self, ax=ax)

    @property
    def claim(self) -> Claim:
        """The claim itself."""
        from mdpkit.claims.registry import get

        return get(self.id)

    def __str__(self) -> str:
        own = self.controls
        lines = [
            f"{self.id}: {self.title}",
            f"  {self.verdict} on {_count(self.instances, 'instance')}, {_count(self.rows, 'comparison')}"
            + (f", {self.undecided} undecided" if self.undecided else ""),
        ]
        if self.slack is not None:
            word = "least slack" if self.slack >= 0 else "violated by" if not self.verdict.ok else "equal within"
            lines.append(f"  {word} {abs(self.slack):.3g}" + (f" at {self.worst}" if self.worst else ""))
        elif self.worst:
            lines.append(f"  at {self.worst}")
        if self.slope is not None:
            value, low, high = self.slope
            lines.append(f"  slope {value:.4g}, 95 % interval [{low:.4g}, {high:.4g}]")
        if self.ratio is not None:
            lines.append(f"  bound / measured {self.ratio:.3g} where they are closest")
        lines.append(f"  controls refuted {sum(f.killed for f in own)}/{len(own)}: " + "; ".join(f.name for f in own))
        if self.applicable:
            lines.append(f"  generic faults noticed {self.killed}/{self.applicable}")
        lines += [
            f"  {f.name!r} goes unnoticed: {f.reason}" for f in self.survivors if f.reason
        ]  # others are in the notes
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Evidence({self.id!r}, {self.verdict}, {self.instances} instances)"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<pre>{escape(str(self))}</pre>"


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _finite(x: float | None) -> float | None:
    return None if x is None or not math.isfinite(x) else float(x)
