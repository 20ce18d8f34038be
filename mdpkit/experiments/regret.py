"""Regret of learners on problems over seeds: ``mdpkit regret`` in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any, cast

import numpy as np

from mdpkit.claims import rates
from mdpkit.environment import Environment, environment_of
from mdpkit.errors import OptionError
from mdpkit.experiments.conduct import (
    Conducted,
    check_seed,
    code,
    conduct,
    pandas_package,
    seed_numbers,
    stored_cells,
)
from mdpkit.experiments.identity import described_method, described_problem, digest_of, generator, named, slug
from mdpkit.experiments.statistics import Comparison, Mean, check_confidence, compared, mean_of
from mdpkit.experiments.store import ExperimentError, Folder
from mdpkit.experiments.sweep import Cell, Status, Task
from mdpkit.experiments.thinning import rule, thinned
from mdpkit.io import load as load_model
from mdpkit.learner import Learner
from mdpkit.models.mdp import MDP
from mdpkit.models.sampling import check_count
from mdpkit.play import learner_of, play, rounds
from mdpkit.regret import Regret
from mdpkit.typing import Array, Floats, Ints

__all__ = [
    "Curve",
    "RegretExperiment",
    "Run",
    "gathered",
    "is_instance",
    "load_regret",
    "nearest_columns",
    "regret",
    "rounds_of",
    "source_of",
]

KIND = "regret"
DECADE = 10
"""Slopes are fitted over the last so-and-so-fold of the rounds."""
POINTS = 40
"""Points of a slope, at equal distances on the logarithmic axis."""


@dataclass(frozen=True, eq=False)
class Run:
    """One cell: a learner on a problem with one seed, thinned.

    Attributes
    ----------
    at : (m,) int
        Rounds that were stored, from 1; the last one is the number of rounds.
    regret : (m,) float
        Regret after so many rounds, exact.
    gap : (m,) float
        What that round lost.
    series, sums : mapping to (m,) float
        What the learner noted in that round, and the sum of its notes up to it.
    bound : (m,) float or None
        The learner's bound on the regret.
    informative_from : int or None
        First round from which the bound lies below ``trivial`` times the number of rounds.
    trivial : float
        What a round can lose at most, by the range of the rewards.
    best : float
        Value of the best policy (against an adversary, its mean over the rounds).
    steps : int
        Interactions with the environment.
    """

    at: Ints
    regret: Floats
    gap: Floats
    series: dict[str, Floats]
    sums: dict[str, Floats]
    bound: Floats | None
    informative_from: int | None
    trivial: float
    best: float
    steps: int

    @property
    def total(self) -> float:
        """Regret of the whole run."""
        return float(self.regret[-1])

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Run:
        """The run that a cell's arrays hold."""
        from_ = int(arrays["informative_from"])
        return cls(
            at=arrays["at"],
            regret=arrays["regret"],
            gap=arrays["gap"],
            series={name[7:]: values for name, values in arrays.items() if name.startswith("series.")},
            sums={name[5:]: values for name, values in arrays.items() if name.startswith("sums.")},
            bound=arrays["bound"] if len(arrays["bound"]) else None,
            informative_from=None if from_ < 0 else from_,
            trivial=float(arrays["trivial"]),
            best=float(arrays["best"]),
            steps=int(arrays["steps"]),
        )


def nearest_columns(at: Ints, wanted: Any) -> Ints:
    """Which stored rounds are the first ones from the wanted ones on, each once."""
    found: Ints = np.searchsorted(at, np.floor(np.asarray(wanted, dtype=np.float64)))
    return np.unique(np.minimum(found, len(at) - 1))


def _bounded(learner: Learner[Any]) -> dict[str, str]:
    """Which claim bounds the regret, and in what sense."""
    return {"bounded_by": learner.bounded_by, "bound_holds": learner.bound_holds}


@dataclass(frozen=True, eq=False)
class Curve:
    """The runs of a learner on a problem, over seeds.

    ``regret`` and ``gap`` are ``(n, m)``: one row a seed, one column a stored round of ``at``.
    """

    problem: str
    learner: str
    seeds: list[int]
    runs: list[Run] = field(repr=False)
    bounded_by: str = ""
    bound_holds: str = ""

    @property
    def at(self) -> Ints:
        """Stored rounds, ``(m,)``."""
        return self.runs[0].at

    @cached_property
    def regret(self) -> Floats:
        """Regret after each stored round, ``(n, m)``."""
        return np.stack([run.regret for run in self.runs])

    @cached_property
    def gap(self) -> Floats:
        """Mean gap of the rounds since the stored round before, ``(n, m)``: nothing of the run is left out."""
        before = np.concatenate((np.zeros((len(self.runs), 1)), self.regret[:, :-1]), axis=1)
        return (self.regret - before) / np.diff(self.at, prepend=0)

    @property
    def totals(self) -> Floats:
        """Regret of the whole run, ``(n,)``."""
        return self.regret[:, -1]

    @property
    def bound(self) -> Floats | None:
        """The learner's bound at each stored round."""
        return self.runs[0].bound

    @property
    def informative_from(self) -> int | None:
        """First round from which the bound says more than the range of the rewards does."""
        return self.runs[0].informative_from

    def series(self, name: str, *, total: bool = False) -> Floats:
        """What the learner noted in each stored round, or in all rounds up to it, ``(n, m)``."""
        if name not in self.runs[0].series:
            raise OptionError(
                f"{self.learner} notes no {name!r}", needed=", ".join(self.runs[0].series) or "nothing is noted"
            )
        return np.stack([(run.sums if total else run.series)[name] for run in self.runs])

    def mean(self, values: Any = None, confidence: float = 0.95) -> Mean:
        """Mean over seeds at each stored round, with Student's interval; of the regret, or of ``values`` ``(n, m)``."""
        return mean_of(self.regret if values is None else values, confidence)

    @cached_property
    def slope(self) -> Mean | None:
        r"""Slope of log regret against log rounds over the last decade, mean over seeds with its interval.

        Each seed has its own least-squares slope: points of one run depend on each other, and no interval can be read off
        them. None where regret is not positive there, or the run is too short.
        """
        n = int(self.at[-1])
        columns = nearest_columns(self.at, np.geomspace(max(1.0, n / DECADE), n, POINTS))
        if self.at[-1] < 2 * DECADE or np.any(self.regret[:, columns] <= 0):
            return None
        fits = [rates.slope(self.at[columns], row[columns]) for row in self.regret]
        found = [fit.value for fit in fits if fit is not None]
        return mean_of(np.array(found)) if len(found) == len(fits) else None


@dataclass(frozen=True, eq=False)
class RegretExperiment:
    """Regret of learners on problems over seeds.

    Attributes
    ----------
    problems, learners : mapping
        Descriptions by label, as the manifest has them.
    seeds : list of int
    rounds : int
        Episodes, epochs or steps of each run.
    unit : {"episode", "epoch", "step"}
    seed : int
        The root seed.
    confidence : float
        Of bands and intervals.
    runs : mapping
        :class:`Run` by (problem, learner, seed); what is not stored is not there.
    computed, stored : int
        How many runs were computed and how many found.
    broken : list of str
        Files that were set aside.
    folder : str or None
    """

    problems: Mapping[str, Any]
    learners: Mapping[str, Any]
    seeds: list[int]
    rounds: int
    unit: str
    seed: int
    runs: Mapping[tuple[str, str, int], Run] = field(repr=False)
    confidence: float = 0.95
    computed: int = 0
    stored: int = 0
    broken: list[str] = field(default_factory=list[str])
    folder: str | None = None

    @property
    def missing(self) -> list[tuple[str, str, int]]:
        """Runs that are not there."""
        every = ((p, a, s) for p in self.problems for a in self.learners for s in self.seeds)
        return [one for one in every if one not in self.runs]

    @cached_property
    def curves(self) -> dict[tuple[str, str], Curve]:
        """Curves by (problem, learner)."""
        found: dict[tuple[str, str], Curve] = {}
        for problem in self.problems:
            for name in self.learners:
                seeds = [s for s in self.seeds if (problem, name, s) in self.runs]
                if seeds:
                    runs = [self.runs[problem, name, s] for s in seeds]
                    says = [str(self.learners[name].get(key, "")) for key in ("bounded_by", "bound_holds")]
                    found[problem, name] = Curve(problem, name, seeds, runs, *says)
        return found

    def table(self) -> list[dict[str, Any]]:
        """One row a problem and learner: total regret, its interval, the last gap, the slope, and the bound."""
        rows: list[dict[str, Any]] = []
        for (problem, name), curve in self.curves.items():
            total = mean_of(curve.totals, self.confidence)
            last = mean_of(np.array([run.gap[-1] for run in curve.runs]), self.confidence)
            slope = curve.slope
            bound = curve.bound
            rows.append(
                {
                    "problem": problem,
                    "learner": name,
                    "seeds": len(curve.seeds),
                    self.unit + "s": self.rounds,
                    "regret": total.value,
                    "lower": total.lower,
                    "upper": total.upper,
                    "last_gap": last.value,
                    "best": curve.runs[0].best,
                    "slope": None if slope is None else slope.value,
                    "slope_lower": None if slope is None else slope.lower,
                    "slope_upper": None if slope is None else slope.upper,
                    "bound": None if bound is None else float(bound[-1]),
                    "bounded_by": curve.bounded_by or None if bound is not None else None,
                    "informative_from": curve.informative_from,
                }
            )
        return rows

    def compare(self, a: str, b: str, problem: str | None = None, confidence: float | None = None) -> Comparison:
        """Difference of two learners' total regret over the seeds that both have, pair by pair.

        Seeds are common luck: both met the same draws of the environment, so that differences vary less than regrets.

        Parameters
        ----------
        a, b : str
            Labels of learners.
        problem : str, optional
            Needed where there are several.
        confidence : float, optional
            That of the experiment by default.
        """
        for name in (a, b):
            if name not in self.learners:
                raise OptionError(f"there is no learner {name!r} here", needed=", ".join(self.learners))
        problem = self.problem(problem)
        both = [s for s in self.seeds if (problem, a, s) in self.runs and (problem, b, s) in self.runs]
        first, second = (np.array([self.runs[problem, name, s].total for s in both]) for name in (a, b))
        return compared(problem, a, b, first, second, self.confidence if confidence is None else confidence)

    def problem(self, label: str | None) -> str:
        """The label of a problem, or the only one's.

        Raises
        ------
        OptionError
            If there are several and none is named, or there is none of this name.
        """
        if label is None and len(self.problems) == 1:
            return next(iter(self.problems))
        if label is None or label not in self.problems:
            raise OptionError("which problem?", found=label, needed=", ".join(map(repr, self.problems)))
        return label

    def comparisons(self) -> list[Comparison]:
        """All pairs of learners on each problem; their intervals hold together, by Bonferroni's inequality."""
        pairs = [(p, a, b) for p in self.problems for a, b in combinations(self.learners, 2)]
        level = 1 - (1 - self.confidence) / max(1, len(pairs))
        return [self.compare(a, b, p, level) for p, a, b in pairs]

    def sentences(self) -> list[str]:
        """What the seeds say, and what they do not."""
        found: list[str] = []
        level = f"{100 * self.confidence:.4g} %"
        n = len(self.seeds)
        if n < 2:
            found.append("One seed: there is no band, and no learner can be told from another.")
        else:
            found.append(
                f"Bands are Student's {level} intervals of the mean over {n} seeds, at each {self.unit} for itself"
                + (", and rough for so few seeds." if n < 10 else ".")
            )
        pairs = self.comparisons()
        if n > 1 and len(pairs) > 1:
            found.append(f"The intervals of the {len(pairs)} differences hold together with {level} (Bonferroni).")
        several = len(self.problems) > 1
        found += [(f"{c.problem}: " if several else "") + c.sentence() for c in pairs if n > 1 or len(pairs) == 1]
        for (problem, name), curve in self.curves.items():
            if curve.bound is not None:
                start = curve.informative_from
                where = f" on {problem}" if several else ""
                holds = f" ({curve.bound_holds})" if curve.bound_holds else ""
                says = "never less than" if start is None else f"less than, from {self.unit} {start:,} on,"
                found.append(
                    f"The bound {curve.bounded_by} of {name}{where}{holds} is {curve.bound[-1]:.3g} after {self.rounds:,} "
                    f"{self.unit}s; it is {says} the most that the range of the rewards lets them lose."
                )
        missing = self.missing
        if missing:
            p, a, s = missing[0]
            found.append(f"{len(missing)} runs are missing, the first of them {a} on {p}, seed {s}.")
        return found

    def summary(self) -> dict[str, Any]:
        """All of it in plain types, for JSON."""
        return {
            "kind": KIND,
            "unit": self.unit,
            self.unit + "s": self.rounds,
            "seeds": self.seeds,
            "root_seed": self.seed,
            "confidence": self.confidence,
            "problems": dict(self.problems),
            "learners": dict(self.learners),
            "rows": self.table(),
            "comparisons": [
                {**c._asdict(), "difference": None if c.n == 0 else c.difference, "separated": c.separated}
                for c in self.comparisons()
            ],
            "statements": self.sentences(),
            "computed": self.computed,
            "stored": self.stored,
            "missing": [list(one) for one in self.missing],
            "broken": self.broken,
            "data": self.folder,
        }

    def to_dataframe(self) -> Any:
        """One row a problem, learner, seed and stored round, as a pandas DataFrame.

        Raises
        ------
        UnsupportedError
            Without pandas.
        """
        pandas = pandas_package()
        parts: list[Any] = []
        for (problem, name, seed), run in self.runs.items():
            columns: dict[str, Any] = {"problem": problem, "learner": name, "seed": seed, self.unit: run.at}
            columns |= {"regret": run.regret, "gap": run.gap}
            parts.append(pandas.DataFrame(columns | {f"note_{key}": v for key, v in run.series.items()}))
        return pandas.concat(parts, ignore_index=True)

    def plot(self, what: str = "regret", ax: Any = None, **options: Any) -> Any:
        """A picture: ``"regret"``, ``"suboptimality"``, or the name of a series; see :mod:`mdpkit.plots`."""
        from mdpkit.plots.regret import regret as picture
        from mdpkit.plots.regret import series, suboptimality

        if what == "regret":
            return picture(self, ax=ax, **options)
        if what == "suboptimality":
            return suboptimality(self, ax=ax, **options)
        return series(self, what, ax=ax, **options)

    def __repr__(self) -> str:
        size = f"{_count(len(self.problems), 'problem')}, {_count(len(self.learners), 'learner')}"
        return f"RegretExperiment({size}, {_count(len(self.seeds), 'seed')}, {_count(self.rounds, self.unit)})"


def regret(
    problems: Any,
    learners: Any,
    *,
    episodes: int | None = None,
    steps: int | None = None,
    seeds: int | Sequence[int] = 10,
    seed: int = 0,
    jobs: int | None = 1,
    data: Any = None,
    confidence: float = 0.95,
    progress: Callable[[Status], None] | None = None,
    command: str | None = None,
) -> RegretExperiment:
    """Play learners on problems over seeds, and keep what was played.

    Each run is a cell of its own. Its randomness comes from the root seed, the problem and the number of its seed, so that the
    order of the cells, the number of processes and interruptions change nothing, and learners of one seed meet the same luck.

    Parameters
    ----------
    problems : MDP, Environment, text, or sequence or mapping of them
        Texts are sources: names of instances, or files.
    learners : Learner, text, or sequence or mapping of them
    episodes, steps : int
        Rounds of each run, as in :func:`mdpkit.play`.
    seeds : int or sequence of int
        How many, or which.
    seed : int
        The root seed.
    jobs : int or None
        Processes; -1 for all cores; None for what ``joblib.parallel_config`` says, for example a Dask cluster.
    data : path-like, optional
        A folder in which every finished run is kept; a later call goes on from there, and may add seeds and learners.
    confidence : float
        Of bands and intervals.
    progress : callable, optional
        Told a :class:`mdpkit.experiments.sweep.Status` after each run.
    command : str, optional
        What to write down as the command; that of the process by default.

    Returns
    -------
    RegretExperiment

    Raises
    ------
    OptionError, UnsupportedError
        If a learner does not play a problem: before anything is run.
    ExperimentError
        If the folder holds another experiment.

    Examples
    --------
    >>> import mdpkit as mk
    >>> river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(5))
    >>> found = regret(river, ["ucbvi", "ucbvi?scale=0.1"], episodes=200, seeds=5)
    >>> found
    RegretExperiment(1 problem, 2 learners, 5 seeds, 200 episodes)
    >>> found.compare("ucbvi?scale=0.1", "ucbvi").separated
    True
    """
    check_confidence(confidence)
    root, numbers = check_seed(seed), seed_numbers(seeds)
    sources = named(problems, (MDP, Environment), "problem")
    places = {label: environment_of(_loaded(thing)) for label, thing in sources.items()}
    players = {label: learner_of(one) for label, one in named(learners, (Learner,), "learner").items()}
    unit, n = rounds_of(places, episodes, steps)
    described = {label: described_problem(place, n) for label, place in places.items()}
    methods: dict[str, Any] = {}
    for label, one in players.items():
        methods[label] = described_method(one) | _bounded(one)
    tasks = [
        Task(
            f"{name} on {label}, seed {number}",
            f"{name}|{label}",
            (_cell(label, described[label], name, methods[name], n, unit, root, number),),
            _play,
            (place, one, n, root, described[label], number),
        )
        for number in numbers
        for label, place in places.items()
        for name, one in players.items()
    ]
    manifest: dict[str, Any] = {
        "root_seed": root,
        "rounds": n,
        "unit": unit,
        "problems": described,
        "learners": methods,
        "seeds": numbers,
        "thinning": rule(),
    }

    def ready() -> None:
        for place in places.values():
            for one in players.values():
                next(rounds(place, one, n, np.random.default_rng(0)))

    out = conduct(KIND, manifest, tasks, data=data, jobs=jobs, progress=progress, command=command, ready=ready)
    return _experiment(manifest, out, data, confidence)


def _play(place: Environment, one: Learner[Any], n: int, root: int, problem: Any, number: int) -> list[dict[str, Any]]:
    """Play one cell."""
    unit = "steps" if place.base.problem.kind == "average" else "episodes"
    played = play(place, one, rng=generator(root, problem, number), **cast("Any", {unit: n}))
    return [_thin(played)]


def _thin(played: Regret) -> dict[str, Any]:
    """What is stored of a run."""
    one = played.learner
    at = thinned(len(played))
    bound = one.bound(played.view, at)
    informative = None if bound is None else played.informative_from
    sums = {f"sums.{name}": np.cumsum(values)[at - 1] for name, values in played.series.items()}
    return {
        "at": at,
        "regret": played.cumulative[at - 1],
        "gap": played.per_round[at - 1],
        "bound": np.empty(0) if bound is None else np.asarray(bound, dtype=np.float64),
        "informative_from": np.int64(-1 if informative is None else informative),
        "trivial": np.float64(played.trivial),
        "best": np.float64(np.mean(np.asarray(played.best, dtype=np.float64))),
        "steps": np.int64(played.steps),
        "code": np.array(code()),
        **{f"series.{name}": values[at - 1] for name, values in played.series.items()},
        **sums,
    }


def gathered(results: Any, confidence: float = 0.95) -> RegretExperiment:
    """An experiment from runs that were played one by one: a :class:`mdpkit.Regret`, or lists of them by label.

    Parameters
    ----------
    results : Regret, sequence of Regret, or mapping of labels to these
        Of one number of rounds; without labels, runs of one class of learners are its seeds.

    Raises
    ------
    OptionError
        If there is no run, or they are of different lengths or units.
    """
    groups: dict[str, list[Regret]] = {}
    if isinstance(results, Mapping):
        for label, part in cast("Mapping[Any, Any]", results).items():
            groups[str(label)] = [part] if isinstance(part, Regret) else list(part)
    else:
        for one in [results] if isinstance(results, Regret) else list(results):
            groups.setdefault(type(getattr(one, "learner", one)).__name__, []).append(one)
    every = [one for part in groups.values() for one in part]
    if not every or not all(isinstance(one, Regret) for one in every):
        raise OptionError(
            "there are no runs to gather",
            found=repr(cast(Any, results))[:60],
            needed="results of mdpkit.play, or lists of them by label",
        )
    shapes = {(len(one), one.unit) for one in every}
    if len(shapes) > 1:
        raise OptionError("the runs have different lengths", found=sorted(shapes), needed="one number of rounds")
    ((n, unit),) = shapes
    runs = {
        ("", name, k): Run.of({key: np.asarray(value) for key, value in _thin(one).items()})
        for name, part in groups.items()
        for k, one in enumerate(part)
    }
    return RegretExperiment(
        problems={"": {}}, learners={name: _bounded(part[0].learner) for name, part in groups.items()},
        seeds=list(range(max(map(len, groups.values())))), rounds=n, unit=unit, seed=0, runs=runs, confidence=confidence,
        computed=len(runs),
    )  # fmt: skip


def _cell(label: str, problem: Any, name: str, method: Any, n: int, unit: str, root: int, number: int) -> Cell:
    who = {key: method[key] for key in ("class", "parameters")}
    key = {
        "kind": KIND, "problem": problem["digest"], "learner": who, "rounds": n, "unit": unit, "root_seed": root,
        "seed": number,
    }  # fmt: skip
    return Cell(f"{slug(label, problem['digest'])}/{slug(name, digest_of(who))}/seed-{number:04d}", key)


def _experiment(manifest: Mapping[str, Any], out: Conducted, data: Any, confidence: float) -> RegretExperiment:
    runs: dict[tuple[str, str, int], Run] = {}
    for label, name, number, cell in _cells(manifest):
        if cell.name in out.cells:
            runs[label, name, number] = Run.of(out.cells[cell.name])
    return RegretExperiment(
        problems=manifest["problems"], learners=manifest["learners"], seeds=list(manifest["seeds"]),
        rounds=manifest["rounds"], unit=manifest["unit"], seed=manifest["root_seed"], runs=runs, confidence=confidence,
        computed=out.computed, stored=out.stored, broken=out.broken, folder=None if data is None else str(data),
    )  # fmt: skip


def _cells(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str, int, Cell]]:
    for label, problem in manifest["problems"].items():
        for name, method in manifest["learners"].items():
            for number in manifest["seeds"]:
                cell = _cell(
                    label, problem, name, method, manifest["rounds"], manifest["unit"], manifest["root_seed"], number
                )
                yield label, name, number, cell


def load_regret(data: Any, confidence: float = 0.95) -> RegretExperiment:
    """What a folder holds, to look at or to draw again: nothing is run, and nothing in the folder changes.

    Raises
    ------
    ExperimentError
        If there is no such experiment, or no finished run.
    """
    check_confidence(confidence)
    folder = Folder(data, KIND)
    manifest = folder.manifest()
    if manifest is None:
        raise ExperimentError(f"{folder.path} holds no experiment", way_out="run one: mdpkit regret … --data DIR")
    out = stored_cells(folder, {cell.name: cell.key for *_, cell in _cells(manifest)})
    if not out.cells:
        raise ExperimentError(f"{folder.path} holds no finished run", way_out="run the command of its manifest again")
    return _experiment(manifest, out, data, confidence)


def _loaded(thing: Any) -> Any:
    return source_of(thing) if isinstance(thing, str) else thing


def is_instance(text: str) -> bool:
    """Whether a source is a named instance, and no file or table of Gymnasium."""
    name = text.partition("?")[0]
    return text.startswith("instance:") or not (text.startswith("gym:") or set(name) & set("./\\"))


def source_of(text: str) -> MDP:
    """The model of a source: a file, ``gym:ID``, ``instance:NAME``, or the bare name of an instance."""
    return load_model(f"instance:{text.removeprefix('instance:')}" if is_instance(text) else text)


def rounds_of(places: Mapping[str, Environment], episodes: int | None, steps: int | None) -> tuple[str, int]:
    """The unit of rounds, and their number."""
    kinds = {label: place.base.problem.kind for label, place in places.items()}
    units = {label: {"finite": "episode", "average": "step", "discounted": "epoch"}[k] for label, k in kinds.items()}
    if len(set(units.values())) > 1:
        raise OptionError("the problems are played in different units", found=str(units), needed="one experiment each")
    (unit,) = set(units.values())
    given, other, name = (steps, episodes, "steps") if unit == "step" else (episodes, steps, "episodes")
    if given is None or other is not None:
        raise OptionError(
            f"these problems are played in {name}",
            found=f"episodes={episodes}, steps={steps}",
            needed=f"{name}=…",
            way_out="episodes are of finite horizon, steps of average reward: mdp.under(...) changes the criterion",
        )
    check_count(given, name, 1)
    return unit, int(given)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
