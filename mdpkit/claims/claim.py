"""A claim: one statement of a theorem, a function that checks it on one instance, and faults that it must notice."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from mdpkit.claims.enclosure import Row
from mdpkit.errors import OptionError

__all__ = ["Case", "Claim", "Kind", "Level", "Mode", "Mutant", "Rate", "claim", "mutant"]

Kind = Literal["upper", "lower", "tight", "identity", "rate", "monotone", "separation", "counterexample"]
Mode = Literal["symbolic", "exact", "numeric", "statistical"]
Level = Literal["fast", "full"]

KINDS: tuple[str, ...] = ("upper", "lower", "tight", "identity", "rate", "monotone", "separation", "counterexample")
MODES: tuple[str, ...] = ("symbolic", "exact", "numeric", "statistical")


class Case(NamedTuple):
    """An instance to check a claim on: its name and the problem, usually an :class:`~mdpkit.models.MDP`.

    ``name`` rebuilds the problem where it can: ``"random-mdp?S=4&A=2&seed=3"``.
    """

    name: str
    problem: Any


Cases = Callable[[Level, Any], Iterable[Case]]


@dataclass(frozen=True)
class Mutant:
    """A control: the check with other arguments, under which the claim must be refuted.

    Attributes
    ----------
    name : str
        What is wrong in it: ``"KL arguments swapped"``.
    changes : mapping
        Keyword arguments of the check that differ.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])


def mutant(name: str, **changes: Any) -> Mutant:
    """A control of a claim: its check called with ``changes`` must be refuted."""
    return Mutant(name, changes)


@dataclass(frozen=True)
class Rate:
    """The rate of a claim's points.

    Attributes
    ----------
    exponent : float
        Slope of log(value) against log(k), or against k where ``scale`` is ``"geometric"`` (the natural logarithm of the
        factor per step).
    side : {"at_most", "at_least", "exactly"}
    within : float
        Half the width of what counts as the exponent; part of the statement, and printed with it.
    scale : {"power", "geometric"}
    series : str
        Which points.
    """

    exponent: float
    side: Literal["at_most", "at_least", "exactly"] = "exactly"
    within: float = 0.05
    scale: Literal["power", "geometric"] = "power"
    series: str = ""


@dataclass(frozen=True, eq=False)
class Claim:
    """A statement that can be run, and can fail.

    Attributes
    ----------
    id : str
        ``"bibkey:slug"``.
    title : str
        One line of words.
    says : str
        The statement in LaTeX.
    where : str
        Theorem number or section, and whether it was seen, recalled or derived.
    kind, mode : str
    check : function
        Called with an instance and keyword arguments; yields rows.
    instances : (level, rng) -> iterable of Case
    controls : tuple of Mutant
    survivors : mapping
        Name of a fault that the claim does not notice -> why it need not.
    about : tuple of classes
        Solvers that the claim speaks of.
    domain : str
        For which instances the statement is meant; printed with a symbolic proof.
    delta : float or None
        Failure probability of a statistical claim.
    rate : Rate or None
    search : Search or None
        How the instance of least slack is hunted for; see :mod:`mdpkit.claims.search`.
    caveat : str
        What the claim does not say.
    family, module : str
        Room and module of the proof.
    """

    id: str
    title: str
    says: str
    where: str
    kind: Kind
    mode: Mode
    check: Callable[..., Iterator[Row]]
    instances: Cases
    controls: tuple[Mutant, ...]
    survivors: Mapping[str, str]
    about: tuple[type, ...]
    domain: str
    delta: float | None
    rate: tuple[Rate, ...]
    search: Any
    caveat: str
    family: str
    module: str

    @property
    def paper(self) -> str:
        """Key of the paper in the bibliography."""
        return self.id.partition(":")[0]

    def run(self, level: Level = "fast", *, seed: int = 0) -> Any:
        """Check the claim on its instances and against its faults.

        Parameters
        ----------
        level : {"fast", "full"}
        seed : int

        Returns
        -------
        Evidence
        """
        from mdpkit.claims.check import check

        return check(self, level, seed=seed)

    def __str__(self) -> str:
        lines = [
            f"{self.id}: {self.title}",
            f"  {' '.join(self.says.split())}",
            f"  {self.kind}, {self.mode}; {self.where}",
        ]
        lines += [f"  domain: {self.domain}"] if self.domain else []
        lines += [f"  {self.caveat}"] if self.caveat else []
        return "\n".join([*lines, "  controls: " + "; ".join(m.name for m in self.controls)])

    def __repr__(self) -> str:
        return f"Claim({self.id!r}, {self.kind}, {self.mode}: {self.title})"

    def _repr_html_(self) -> str:
        from html import escape

        return (
            f"<p><b>{escape(self.id)}</b> ({self.kind}, {self.mode}): {escape(self.title)}</p>"
            f"<p>\\[{escape(self.says)}\\]</p><p><small>{escape(self.where)}</small></p>"
        )


_REGISTRY: dict[str, Claim] = {}


def _taken(id: str, check: Callable[..., Any]) -> bool:
    """Whether another function has the id; a module that is imported again may register its own anew."""
    old = _REGISTRY.get(id)
    return old is not None and (old.module, old.check.__qualname__) != (check.__module__, check.__qualname__)


def claim(
    id: str,
    *,
    says: str,
    where: str,
    kind: Kind,
    mode: Mode,
    instances: Cases,
    controls: Sequence[Mutant],
    survivors: Mapping[str, str] | None = None,
    about: Sequence[type] = (),
    domain: str = "",
    delta: float | None = None,
    rate: Rate | Sequence[Rate] = (),
    search: Any = None,
    caveat: str = "",
) -> Callable[[Callable[..., Iterator[Row]]], Claim]:
    """Register a check as a claim; the first line of its docstring is the title.

    The check is a generator function ``check(instance, *, rng=None, **changes)``. It yields rows (:func:`leq`,
    :func:`equal`, :func:`fact`, :func:`point` …), reaches the code under test through :mod:`mdpkit.claims.trial` alone, and
    computes what it compares with by itself or with the :class:`~mdpkit.claims.judge.Judge`. If it takes ``rng``, it is
    given a generator seeded by the run, the claim and the instance.

    Raises
    ------
    OptionError
        For an id that is taken or has no colon, an unknown kind or mode, or a missing control, docstring or rate.
    """

    def register(check: Callable[..., Iterator[Row]]) -> Claim:
        title = (inspect.getdoc(check) or "").split("\n\n")[0].replace("\n", " ").strip()
        rates = (rate,) if isinstance(rate, Rate) else tuple(rate)
        for bad, what, needed in (
            (":" not in id, "the claim's id names no paper", "bibkey:slug"),
            (kind not in KINDS, f"the kind of {id} is unknown", ", ".join(KINDS)),
            (mode not in MODES, f"the mode of {id} is unknown", ", ".join(MODES)),
            (not title, f"the check of {id} has no docstring", "one line that says the statement in words"),
            (not controls, f"{id} has no control", "at least one mutant(...) that refutes it"),
            (kind == "rate" and not rates, f"{id} is a rate without one", "rate=Rate(exponent, side)"),
            (mode == "statistical" and delta is None, f"{id} is statistical without a level", "delta=..."),
            (mode == "symbolic" and not domain, f"{id} is symbolic without a domain", "domain='for S = A = 2'"),
            (_taken(id, check), f"the claim {id} is there twice", "another name after the colon"),
        ):
            if bad:
                raise OptionError(what, needed=needed)
        new = Claim(
            id=id,
            title=title.rstrip("."),
            says=says.strip(),
            where=where,
            kind=kind,
            mode=mode,
            check=check,
            instances=instances,
            controls=tuple(controls),
            survivors=dict(survivors or {}),
            about=tuple(about),
            domain=domain,
            delta=delta,
            rate=rates,
            search=search,
            caveat=caveat,
            family=check.__module__.rpartition(".")[0].rpartition(".")[2],
            module=check.__module__,
        )
        _REGISTRY[id] = new
        return new

    return register
