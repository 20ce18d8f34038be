r"""How many episodes, steps or samples it takes until a policy is eps-optimal: ``mdpkit sample-complexity`` in Python.

What is lost by a policy is exact, the value of the best one less its own, from the initial law. For a learner's run of K
rounds with gaps :math:`g_1, \dots, g_K` the count for :math:`\varepsilon` is, in the sense of ``when``,

``"first"``
    the least n with :math:`g_n \le \varepsilon`;
``"settled"``
    the least n with :math:`g_m \le \varepsilon` for all m from n to K; beyond K nothing is known;
``"average"``
    the least n with :math:`(g_1 + \dots + g_n)/n \le \varepsilon`: a policy drawn from those played so far is
    :math:`\varepsilon`-optimal in the mean;
``"mistakes"``
    how many of the K rounds have :math:`g_n > \varepsilon`, the sample complexity of exploration in the sense of Kakade
    (recalled); reached if the last round is none of them.

For a planning solver that draws from a generative model (its state counts ``draws``), ``"first"`` and ``"settled"`` are the
draws made when the policy of its answer is :math:`\varepsilon`-optimal. A solver that ends before that and has a parameter
``samples`` begins anew with twice as many, with fresh draws; the count is that of its last run alone, known to a factor of two.
What is not reached is reported as more than the limit, and never left out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple, cast

import numpy as np

from mdpkit.choose import learner as learner_of
from mdpkit.choose import learners as known_learners
from mdpkit.choose import matches
from mdpkit.choose import method as solver_of
from mdpkit.choose import methods as known_solvers
from mdpkit.claims import rates
from mdpkit.environment import Environment, environment_of
from mdpkit.errors import OptionError, UnsupportedError, nearest
from mdpkit.experiments.conduct import Conducted, check_seed, code, conduct, pandas_package, seed_numbers, stored_cells
from mdpkit.experiments.identity import described_method, described_problem, digest_of, generator, named, slug
from mdpkit.experiments.regret import rounds_of, source_of
from mdpkit.experiments.statistics import Mean, check_confidence, mean_of
from mdpkit.experiments.store import ExperimentError, Folder
from mdpkit.experiments.sweep import Cell, Status, Task
from mdpkit.learner import Learner
from mdpkit.models.canonical import Canonical, canonical
from mdpkit.models.criterion import Discounted, FiniteHorizon
from mdpkit.models.mdp import MDP
from mdpkit.models.sampling import check_count
from mdpkit.play import discounted_value, optimum, play, rounds, stage_values
from mdpkit.regret import Regret
from mdpkit.run import iterates
from mdpkit.solver import IterativeSolver, Solver
from mdpkit.typing import Floats, Ints

__all__ = ["WHEN", "Line", "SampleComplexity", "counts_of", "load_sample_complexity", "sample_complexity"]

KIND = "sample-complexity"
WHEN = ("first", "settled", "average", "mistakes")
NAMES = {"horizon": "1/(1 − γ)", "H": "H", "S": "S", "A": "A", "d": "d", "eps": "ε"}
EVERY = 64
"""Steps of a solver up to which each is looked at; then so many from each power of two to the next."""
PATIENCE = 10_000
"""Steps without a draw after which a solver is taken for one that draws nothing."""


class Line(NamedTuple):
    """Counts of one method along one abscissa, everything else fixed.

    ``counts`` has ``(n, m)`` entries, seeds by abscissas, infinite where not reached; ``slope`` is that of log counts against
    log abscissas over those that all seeds reached, ``used`` of them: a mean over the seeds' own slopes with its interval.
    """

    method: str
    fixed: str
    x: Floats
    counts: Floats
    slope: Mean | None
    used: int


@dataclass(frozen=True, eq=False)
class SampleComplexity:
    """Counts by point of the grid, method, eps and seed.

    Attributes
    ----------
    points : mapping
        Description of each problem of the grid by label: its parameters, and S, A, H, d, and the effective horizon.
    methods : mapping
        Descriptions by label.
    eps : list of float
    seeds : list of int
    limit : int
        Rounds of a run, or draws of a solver: what is not reached takes more.
    unit : {"episode", "epoch", "step", "sample"}
    when : str
        What is counted.
    seed : int
        The root seed.
    confidence : float
    counts : mapping
        By (point, method, eps, seed): the counts of each ``when``, None where not reached.
    computed, stored, broken, folder
        As for :class:`mdpkit.experiments.RegretExperiment`.
    """

    points: Mapping[str, Any]
    methods: Mapping[str, Any]
    eps: list[float]
    seeds: list[int]
    limit: int
    unit: str
    when: str
    seed: int
    counts: Mapping[tuple[str, str, float, int], Mapping[str, int | None]] = field(repr=False)
    confidence: float = 0.95
    computed: int = 0
    stored: int = 0
    broken: list[str] = field(default_factory=list[str])
    folder: str | None = None

    def count(self, point: str, method: str, eps: float) -> Floats:
        """Counts of the seeds that are there, infinite where not reached, ``(n,)``."""
        keys = [(point, method, eps, s) for s in self.seeds]
        found = [self.counts[key][self.when] for key in keys if key in self.counts]
        return np.array([math.inf if one is None else one for one in found], dtype=np.float64)

    @property
    def missing(self) -> list[tuple[str, str, float, int]]:
        """Cells that are not there."""
        return [key for key in product(self.points, self.methods, self.eps, self.seeds) if key not in self.counts]

    def table(self) -> list[dict[str, Any]]:
        """One row a point, method and eps.

        ``mean`` and its interval are given where all seeds reached eps; else ``more_than`` is a lower bound of the mean, with
        the limit for those that did not. ``median`` is infinite where half of the seeds or more did not.
        """
        rows: list[dict[str, Any]] = []
        for point, method, eps in product(self.points, self.methods, self.eps):
            x = self.count(point, method, eps)
            if not len(x):
                continue
            reached = np.isfinite(x)
            whole = bool(reached.all())
            mean = mean_of(x, self.confidence) if whole else None
            rows.append(
                {
                    "point": point,
                    **self.points[point]["parameters"],
                    "method": method,
                    "eps": eps,
                    "seeds": len(x),
                    "reached": int(reached.sum()),
                    "mean": None if mean is None else mean.value,
                    "lower": None if mean is None else mean.lower,
                    "upper": None if mean is None else mean.upper,
                    "median": float(np.sort(x)[(len(x) - 1) // 2]) if len(x) % 2 else _middle(x),
                    "more_than": None if whole else float(np.where(reached, x, self.limit).mean()),
                }
            )
        return rows

    @cached_property
    def axes(self) -> list[str]:
        """Abscissas along which something varies: ``"eps"``, parameters of the grid, and S, A, H, d and the horizon."""
        found = ["eps"] if len(self.eps) > 1 else []
        seen: list[list[float | None]] = []
        for name in dict.fromkeys(
            name for point in self.points.values() for name in (*point["parameters"], *point["sizes"])
        ):
            values = [self._x(point, name) for point in self.points]
            if len(set(values)) > 1 and None not in values and values not in seen:
                found.append(name)
                seen.append(values)
        return found

    def _x(self, point: str, name: str) -> float | None:
        entry = self.points[point]
        value = entry["sizes"].get(name) if name in entry["sizes"] else entry["parameters"].get(name)
        if isinstance(value, str):  # numbers of a grid are texts, as they were given
            try:
                top, _, bottom = value.partition("/")
                value = float(top) / float(bottom or 1)
            except ValueError:
                return None
        return None if value is None else float(value)

    def lines(self, against: str | None = None) -> list[Line]:
        """Counts along an abscissa, one line for each method and each choice of what else varies.

        Parameters
        ----------
        against : str, optional
            One of :attr:`axes`; the first of them by default.

        Raises
        ------
        OptionError
            If nothing varies along it.
        """
        name = against or (self.axes[0] if self.axes else "eps")
        if name not in (*self.axes, "eps"):
            raise OptionError(
                f"nothing varies along {name!r}",
                needed=", ".join(self.axes) or "a grid",
                way_out=nearest(name, self.axes),
            )
        groups: dict[tuple[str, str], list[tuple[float, Floats]]] = {}
        for point, method, eps in product(self.points, self.methods, self.eps):
            counts = self.count(point, method, eps)
            if len(counts) != len(self.seeds):
                continue
            x = eps if name == "eps" else self._x(point, name)
            assert x is not None
            fixed = [] if name == "eps" or len(self.eps) == 1 else [f"ε = {eps:g}"]
            own = self.points[point]["parameters"]
            # A size that varies stands for the parameters that move it.
            others = [key for key in own if name == "eps" or (key != name and not self._moves(key, name))]
            fixed += [
                f"{key} = {own[key]}"
                for key in others
                if len({str(p["parameters"].get(key)) for p in self.points.values()}) > 1
            ]
            groups.setdefault((method, ", ".join(fixed)), []).append((x, counts))
        found: list[Line] = []
        for (method, fixed), entries in groups.items():
            entries.sort(key=lambda entry: entry[0])
            x, counts = np.array([e[0] for e in entries]), np.stack([e[1] for e in entries], axis=1)
            found.append(Line(method, fixed, x, counts, *_slope(x, counts, self.confidence)))
        return found

    def _moves(self, key: str, name: str) -> bool:
        """Whether a parameter determines a size: one value of the size for each of its values, and several in all."""
        if not any(name in point["sizes"] for point in self.points.values()):
            return False
        seen: dict[str, set[float | None]] = {}
        for label, point in self.points.items():
            seen.setdefault(str(point["parameters"].get(key)), set()).add(self._x(label, name))
        return all(len(values) == 1 for values in seen.values()) and len({min(v, key=str) for v in seen.values()}) > 1

    def slopes(self, against: str | None = None) -> list[dict[str, Any]]:
        """One row a line along an abscissa: the slope with its interval, and how many abscissas it rests on."""
        rows: list[dict[str, Any]] = []
        for line in self.lines(against):
            value, lower, upper = (None, None, None) if line.slope is None else line.slope[:3]
            rows.append(
                {
                    "method": line.method, "fixed": line.fixed, "against": against or self.axes[0], "abscissas": len(line.x),
                    "used": line.used, "slope": value, "lower": lower, "upper": upper,
                }
            )  # fmt: skip
        return rows

    def sentences(self) -> list[str]:
        """What was counted, what was not reached, and what the slopes rest on."""
        what = {
            "first": f"the first {self.unit} whose policy is ε-optimal",
            "settled": f"the first {self.unit} from which on every policy of the run is ε-optimal",
            "average": f"the first {self.unit} up to which the mean loss is at most ε",
            "mistakes": f"the {self.unit}s of the run whose policy is not ε-optimal",
        }[self.when]
        if self.unit == "sample":
            what = "draws from the generative model until the answer's policy is ε-optimal" + (
                ", and stays so" if self.when == "settled" else ""
            )
        found = [f"Counted: {what}; losses are exact, from the initial law."]
        n = len(self.seeds)
        if n < 2:
            found.append("One seed: nothing is known about the spread.")
        unreached = [(row["method"], row["seeds"] - row["reached"]) for row in self.table() if row["mean"] is None]
        if unreached:
            cells = sum(k for _, k in unreached)
            found.append(
                f"{_count(cells, 'run')} did not get there: more than {_count(self.limit, self.unit)}. They count "
                "in medians and lower bounds; their abscissas are left out of the slopes, which would be too small with them."
            )
        short = [line for name in self.axes for line in self.lines(name) if line.slope is None and len(line.x) > 1]
        if short:
            found.append(
                f"Slopes take {rates.FEWEST} abscissas that all seeds reached, more than {_count(len(short), 'line')} had."
            )
        if any(line.slope is not None for name in self.axes for line in self.lines(name)):
            found.append(
                "Slopes are of log counts against log abscissas, means over the seeds' own, with Student's intervals."
            )
        if self.missing:
            found.append(f"{_count(len(self.missing), 'cell')} are missing.")
        return found

    def summary(self) -> dict[str, Any]:
        """All of it in plain types, for JSON."""
        return {
            "kind": KIND,
            "unit": self.unit,
            "limit": self.limit,
            "when": self.when,
            "eps": self.eps,
            "seeds": self.seeds,
            "root_seed": self.seed,
            "confidence": self.confidence,
            "points": dict(self.points),
            "methods": dict(self.methods),
            "rows": self.table(),
            "slopes": [row for name in self.axes for row in self.slopes(name)],
            "statements": self.sentences(),
            "computed": self.computed,
            "stored": self.stored,
            "missing": [list(one) for one in self.missing],
            "broken": self.broken,
            "data": self.folder,
        }  # fmt: skip

    def to_dataframe(self) -> Any:
        """One row a point, method, eps and seed, as a pandas DataFrame; counts are missing where not reached."""
        pandas: Any = pandas_package()
        rows = [
            {
                "point": p,
                **self.points[p]["parameters"],
                **self.points[p]["sizes"],
                "method": m,
                "eps": e,
                "seed": s,
                **counts,
            }
            for (p, m, e, s), counts in self.counts.items()
        ]
        return pandas.DataFrame(rows)

    def plot(self, against: str | None = None, ax: Any = None) -> Any:
        """Counts against an abscissa, on logarithmic axes; see :func:`mdpkit.plots.sample_complexity`."""
        from mdpkit.plots.sample_complexity import sample_complexity as picture

        return picture(self, against=against, ax=ax)

    def __repr__(self) -> str:
        size = f"{_count(len(self.points), 'problem')}, {_count(len(self.methods), 'method')}, {len(self.eps)} eps"
        return f"SampleComplexity({size}, {_count(len(self.seeds), 'seed')}, {self.when} {self.unit})"


def _middle(x: Floats) -> float:
    low, high = np.sort(x)[len(x) // 2 - 1 : len(x) // 2 + 1]
    return float((low + high) / 2)


def _slope(x: Floats, counts: Floats, confidence: float) -> tuple[Mean | None, int]:
    whole = np.isfinite(counts).all(axis=0) & (counts > 0).all(axis=0) & (x > 0)
    used = int(whole.sum())
    fits = [rates.slope(x[whole], row[whole]) for row in counts]
    values = [fit.value for fit in fits if fit is not None]
    if not values or len(values) < len(fits):
        return None, used
    return mean_of(np.array(values), confidence), used


# -- counting ----------------------------------------------------------------------------------------------------------


def counts_of(played: Regret, eps: float) -> dict[str, int | None]:
    """Counts of a learner's run, by the name of what is counted; None where not reached.

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> river = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(5))
    >>> run = mk.play(river, mk.solvers.exploration.UCBVI(), episodes=2000, rng=np.random.default_rng(0))
    >>> counts_of(run, 0.05)
    {'first': 44, 'settled': 44, 'average': 688, 'mistakes': 43}
    """
    gaps = played.per_round
    good = gaps <= eps
    bad: Ints = np.flatnonzero(~good)
    fine: Ints = np.flatnonzero(played.cumulative <= eps * np.arange(1, len(gaps) + 1))
    first: Ints = np.flatnonzero(good)
    last = bool(good[-1])
    return {
        "first": int(first[0]) + 1 if len(first) else None,
        "settled": (int(bad[-1]) + 2 if len(bad) else 1) if last else None,
        "average": int(fine[0]) + 1 if len(fine) else None,
        "mistakes": len(bad) if last else None,
    }


def _learn(
    place: Environment, one: Learner[Any], n: int, root: int, problem: Any, number: int, eps: Sequence[float]
) -> list[dict[str, Any]]:
    unit = "steps" if place.base.problem.kind == "average" else "episodes"
    played = play(place, one, rng=generator(root, problem, number), **cast("Any", {unit: n}))
    return [_arrays(counts_of(played, e)) for e in eps]


def _arrays(counts: Mapping[str, int | None]) -> dict[str, Any]:
    values = {name: np.int64(-1 if value is None else value) for name, value in counts.items()}
    return {**values, "code": np.array(code())}


def _plan(
    mdp: MDP, solver: IterativeSolver[Any], limit: int, root: int, problem: Any, number: int, eps: Sequence[float]
) -> list[dict[str, Any]]:
    best = optimum(environment_of(mdp), 1)
    rng = generator(root, problem, number)
    draws: list[int] = []
    gaps: list[float] = []
    for made, gap in _trace(mdp, solver, limit, rng, best):
        draws.append(made)
        gaps.append(gap)
    found = np.array(gaps)
    return [_arrays(_planned(draws, found, e)) for e in eps]


def _planned(draws: list[int], gaps: Floats, eps: float) -> dict[str, int | None]:
    good: Ints = np.flatnonzero(gaps <= eps)
    bad: Ints = np.flatnonzero(gaps > eps)
    settled = 0 if not len(bad) else int(bad[-1]) + 1
    return {
        "first": draws[int(good[0])] if len(good) else None,
        "settled": draws[settled] if settled < len(draws) else None,
        "average": None,
        "mistakes": None,
    }


def _trace(
    mdp: MDP, solver: IterativeSolver[Any], limit: int, rng: np.random.Generator, best: float
) -> Iterator[tuple[int, float]]:
    """Draws made and what the answer's policy loses, as the solver goes on."""
    problem = canonical(mdp)
    samples = getattr(solver, "samples", None)
    whole = samples is not None and problem.kind == "finite"  # an answer before all stages are done is none
    while True:
        due, made, ended, last = 0, 0, False, 0.0
        for k, state in enumerate(iterates(mdp, solver, rng.spawn(1)[0])):
            made = int(state.draws)
            if made > limit:
                return
            ended = solver.finished(state)
            if ended or (k >= due and not whole):
                last = best - _worth(problem, solver, state)
                due = k + 1 if k < EVERY else k + max(1, k // EVERY)
                if not ended:
                    yield made, last
            if ended:
                break
            if k == PATIENCE and not made:
                break
        if not made:
            raise UnsupportedError(
                f"{type(solver).__name__} drew no sample",
                needed="parameters with which it draws from a generative model",
            )
        yield made, last
        if samples is None:
            return
        samples = 2 * int(samples)
        solver = dataclasses.replace(solver, samples=samples)


def _worth(problem: Canonical, solver: IterativeSolver[Any], state: Any) -> float:
    answer = solver.answer(problem, state)
    policy = answer.policy if answer.policy is not None else answer.choice
    if policy is None:
        raise UnsupportedError(f"{type(solver).__name__} has no policy", needed="a solver whose answer has one")
    policy = np.asarray(policy)
    if policy.dtype.kind not in "iu":
        policy = policy.astype(np.float64)
    rho = np.asarray(problem.mdp.rho, dtype=np.float64)
    if problem.kind == "finite":
        if policy.ndim == 1:
            policy = np.tile(policy, (problem.H or 1, 1))
        r = np.ascontiguousarray(problem.r.reshape(-1, problem.mdp.n_pairs))
        return float(rho @ stage_values(problem, r, policy)[0][0])
    return float(rho @ discounted_value(problem, policy, float(problem.gamma[0])))


# -- the experiment ----------------------------------------------------------------------------------------------------


def sample_complexity(
    problem: Any,
    methods: Any,
    *,
    eps: Any,
    grid: Mapping[str, Sequence[Any]] | None = None,
    episodes: int | None = None,
    steps: int | None = None,
    samples: int | None = None,
    when: str = "first",
    seeds: int | Sequence[int] = 10,
    seed: int = 0,
    jobs: int | None = 1,
    data: Any = None,
    confidence: float = 0.95,
    progress: Callable[[Status], None] | None = None,
    command: str | None = None,
) -> SampleComplexity:
    """Count what learners or sampling solvers take until they are eps-optimal, over a grid of problems.

    Parameters
    ----------
    problem : text, MDP, Environment or callable
        A callable is given a point of the grid as keyword arguments, and returns an MDP or Environment; a text is the name of
        an instance, whose parameters are those of the grid (``gamma`` and ``horizon`` are the criterion's).
    methods : Learner, Solver, text, or sequence or mapping of them
        All learners, or all solvers that draw from a generative model.
    eps : number or sequence of numbers
    grid : mapping of names to values, optional
    episodes, steps, samples : int
        Rounds of a learner's run, or the most draws of a solver: the limit beyond which nothing is known.
    when : {"first", "settled", "average", "mistakes"}
        What is counted, as above; all of them are stored.
    seeds, seed, jobs, data, confidence, progress, command
        As for :func:`mdpkit.experiments.regret`; a later call may add seeds, methods, values of eps, and further points.

    Returns
    -------
    SampleComplexity

    Raises
    ------
    OptionError, UnsupportedError
        If something does not fit: before anything is run.

    Examples
    --------
    >>> import mdpkit as mk
    >>> def river(n_states):
    ...     return mk.instances.make("riverswim", n_states=n_states).under(mk.FiniteHorizon(5))
    >>> found = sample_complexity(river, "ucbvi", eps=[0.05, 0.1], grid={"n_states": [2, 3]}, episodes=1000, seeds=3)
    >>> found
    SampleComplexity(2 problems, 1 method, 2 eps, 3 seeds, first episode)
    >>> found.axes
    ['eps', 'n_states']
    """
    check_confidence(confidence)
    root, numbers, levels = check_seed(seed), seed_numbers(seeds), _levels(eps)
    if when not in WHEN:
        raise OptionError(f"nothing is counted as {when!r}", way_out=nearest(when, WHEN))
    players = {label: _method(one) for label, one in named(methods, (Learner, Solver), "method").items()}
    learning = {isinstance(one, Learner) for one in players.values()}
    if len(learning) > 1:
        raise OptionError("learners count rounds, and solvers draws", needed="an experiment for each")
    (learns,) = learning
    points = {_point(point): (point, _built(problem, point)) for point in _points(grid or {})}
    described: dict[str, Any] = {}
    places: dict[str, Any] = {}
    if learns:
        if samples is not None:
            raise OptionError(
                "learners are given rounds, not samples", found=f"samples={samples}", needed="episodes or steps"
            )
        places = {label: environment_of(place) for label, (_, place) in points.items()}
        unit, limit = rounds_of(places, episodes, steps)
        if when != "average" and (unit == "step" or any(place.adversarial for place in places.values())):
            raise OptionError(
                f"{when!r} looks at single rounds, which say little of continuing problems and against adversaries",
                found=f"when={when!r}",
                needed="when='average'",
            )
    else:
        if samples is None or episodes is not None or steps is not None:
            raise OptionError(
                "solvers are given a number of samples", needed="samples=…, and neither episodes nor steps"
            )
        if when not in ("first", "settled"):
            raise OptionError(f"solvers have no {when!r}", needed="'first' or 'settled'")
        check_count(samples, "samples", 1)
        unit, limit = "sample", int(samples)
        places = {
            label: place.base.mdp if isinstance(place, Environment) else place for label, (_, place) in points.items()
        }
    for label, (point, _) in points.items():
        place = places[label]
        mdp = place.base.mdp if learns else place
        about = described_problem(place, limit) if learns else described_problem(place)
        described[label] = {**about, "parameters": {k: _value(v) for k, v in point.items()}, "sizes": _sizes(mdp)}
    who = {label: described_method(one) for label, one in players.items()}
    manifest: dict[str, Any] = {
        "root_seed": root,
        "limit": limit,
        "unit": unit,
        "problems": described,
        "methods": who,
        "eps": levels,
        "seeds": numbers,
    }
    tasks = [
        Task(
            f"{name} on {label or 'the problem'}, seed {number}",
            f"{name}|{label}",
            tuple(_cell(label, described[label], name, who[name], limit, unit, root, number, e) for e in levels),
            _learn if learns else _plan,
            (place, players[name], limit, root, described[label], number, levels),
        )
        for number in numbers
        for label, place in places.items()
        for name in players
    ]

    def ready() -> None:
        for place in places.values():
            for one in players.values():
                if isinstance(one, Learner):
                    next(rounds(place, cast("Learner[Any]", one), limit, np.random.default_rng(0)))
                else:
                    _check_solver(place, one)

    out = conduct(KIND, manifest, tasks, data=data, jobs=jobs, progress=progress, command=command, ready=ready)
    return _experiment(manifest, out, data, confidence, when)


def _levels(eps: Any) -> list[float]:
    try:
        found = sorted({float(one) for one in ([eps] if isinstance(eps, (int, float, str)) else eps)})
    except (TypeError, ValueError):
        found = []
    if not found or not all(e > 0 and math.isfinite(e) for e in found):
        raise OptionError("eps is no accuracy", found=repr(eps), needed="positive numbers")
    return found


def _method(one: Any) -> Any:
    if not isinstance(one, str):
        if not isinstance(one, (Learner, Solver)):
            raise OptionError("this is no learner and no solver", found=repr(one), needed="UCBVI(), or a name")
        return cast(Any, one)
    key = one.partition("?")[0]
    for known, read in ((known_learners(), learner_of), (known_solvers(), solver_of)):
        if matches(key, known):
            return read(one)
    raise OptionError(f"unknown method {one!r}", way_out=nearest(key, [*known_learners(), *known_solvers()]))


def _check_solver(mdp: MDP, one: Any) -> None:
    if not isinstance(one, IterativeSolver):
        raise UnsupportedError(
            f"{type(one).__name__} has no samples to count", needed="a solver that draws step by step"
        )
    solver = cast("IterativeSolver[Any]", one)
    state = next(iterates(mdp, solver, np.random.default_rng(0)))
    if not hasattr(state, "draws"):
        raise UnsupportedError(
            f"{type(solver).__name__} does not count samples", needed="a solver that draws from a generative model"
        )
    if canonical(mdp).kind not in ("finite", "discounted"):
        raise UnsupportedError(
            f"samples are not counted under {mdp.criterion}", needed="a finite horizon or discounting"
        )


def _points(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    for name, values in grid.items():
        if isinstance(values, (str, bytes)) or not len(values):
            raise OptionError(f"the grid has no values of {name!r}", found=repr(values), needed="a sequence")
    return [dict(zip(grid, choice, strict=True)) for choice in product(*grid.values())]


def _point(point: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in point.items())


def _value(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _built(problem: Any, point: Mapping[str, Any]) -> Any:
    if callable(problem):
        found: Any = problem(**point)
    elif isinstance(problem, str):
        found = _instance(problem, point)
    elif point:
        raise OptionError(
            "a model has no parameters", found=_point(point), needed="the name of an instance, or a function"
        )
    else:
        found = problem
    if not isinstance(found, (MDP, Environment)):
        raise OptionError("this is no problem", found=type(found).__name__, needed="an MDP or an Environment")
    return found


def _instance(text: str, point: Mapping[str, Any]) -> MDP:
    """An instance at a point: ``gamma`` and ``horizon`` pose the problem, the rest are its parameters."""
    from mdpkit import instances

    own = {name: value for name, value in point.items() if name not in ("gamma", "horizon")}
    if not own:
        mdp = source_of(text)
    else:
        name, given = instances.parse(text)
        mdp = instances.make(name, **{**given, **own})
    if "horizon" in point:
        mdp = mdp.under(FiniteHorizon(int(point["horizon"])))
    elif "gamma" in point:
        mdp = mdp.under(Discounted(point["gamma"]))
    return mdp


def _sizes(mdp: MDP) -> dict[str, Any]:
    """What complexities are stated in."""
    p = canonical(mdp)
    found: dict[str, Any] = {"S": mdp.n_states, "A": int(np.diff(mdp.pair_ptr).max())}
    if p.kind == "finite":
        found["H"] = p.H
    elif p.kind == "discounted" and p.one_discount:
        found["horizon"] = 1 / (1 - float(p.gamma[0]))
    phi = getattr(mdp, "features", None)
    if phi is not None:
        found["d"] = int(np.asarray(phi).shape[-1])
    return found


def _cell(
    label: str, problem: Any, name: str, method: Any, limit: int, unit: str, root: int, number: int, eps: float
) -> Cell:
    key = {
        "kind": KIND, "problem": problem["digest"], "method": method, "limit": limit, "unit": unit, "root_seed": root,
        "seed": number, "eps": eps,
    }  # fmt: skip
    folder = f"{slug(label or 'problem', problem['digest'])}/{slug(name, digest_of(method))}"
    return Cell(f"{folder}/eps-{eps!r}-seed-{number:04d}", key)


def _cells(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str, float, int, Cell]]:
    m = manifest
    for label, name, eps, number in product(m["problems"], m["methods"], m["eps"], m["seeds"]):
        cell = _cell(
            label, m["problems"][label], name, m["methods"][name], m["limit"], m["unit"], m["root_seed"], number, eps
        )
        yield label, name, eps, number, cell


def _experiment(
    manifest: Mapping[str, Any], out: Conducted, data: Any, confidence: float, when: str
) -> SampleComplexity:
    counts: dict[tuple[str, str, float, int], dict[str, int | None]] = {}
    for label, name, eps, number, cell in _cells(manifest):
        if cell.name in out.cells:
            arrays = out.cells[cell.name]
            found = {kind: int(arrays[kind]) for kind in WHEN}
            counts[label, name, eps, number] = {kind: None if n < 0 else n for kind, n in found.items()}
    return SampleComplexity(
        points=manifest["problems"], methods=manifest["methods"], eps=list(manifest["eps"]), seeds=list(manifest["seeds"]),
        limit=manifest["limit"], unit=manifest["unit"], when=when, seed=manifest["root_seed"], counts=counts,
        confidence=confidence, computed=out.computed, stored=out.stored, broken=out.broken,
        folder=None if data is None else str(data),
    )  # fmt: skip


def load_sample_complexity(data: Any, when: str = "first", confidence: float = 0.95) -> SampleComplexity:
    """What a folder holds, to look at or to draw again: nothing is run, and nothing in the folder changes.

    Raises
    ------
    ExperimentError
        If there is no such experiment, or no finished cell.
    """
    check_confidence(confidence)
    if when not in WHEN:
        raise OptionError(f"nothing is counted as {when!r}", way_out=nearest(when, WHEN))
    folder = Folder(data, KIND)
    manifest = folder.manifest()
    if manifest is None:
        raise ExperimentError(
            f"{folder.path} holds no experiment", way_out="run one: mdpkit sample-complexity … --data DIR"
        )
    out = stored_cells(folder, {cell.name: cell.key for *_, cell in _cells(manifest)})
    if not out.cells:
        raise ExperimentError(f"{folder.path} holds no finished run", way_out="run the command of its manifest again")
    return _experiment(manifest, out, data, confidence, when)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
