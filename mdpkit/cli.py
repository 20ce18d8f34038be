"""The command line: ``mdpkit solve``, ``check``, ``regret``, ``sample-complexity``, ``instances``, ``claims``, ``verify``.

Answers go to standard output, everything else to standard error. Exit codes: 0 solved, 1 a check failed or the stop
rule was not met or a claim does not stand, 2 bad input or usage, 130 interrupted.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import numpy as np
import typer

from mdpkit.errors import (
    CertificateError,
    MDPError,
    ModelWarning,
    OptionError,
    OutputExistsError,
    PropertyError,
    UnsupportedError,
    nearest,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from mdpkit.io.pose import Question
    from mdpkit.io.properties import Property
    from mdpkit.models.criterion import Criterion
    from mdpkit.models.mdp import MDP
    from mdpkit.progress import Progress
    from mdpkit.run import StopRule
    from mdpkit.solution import Solution
    from mdpkit.solver import Method, Solver

__all__ = ["app", "main"]

OK, FAILED, BAD, INTERRUPTED = 0, 1, 2, 130
_given: list[str] = []
BY_STATE = ("V", "policy", "bias", "exact_V", "exact_bias")
SHOWN = 12
LONG = 120

logger = logging.getLogger("mdpkit")

app = typer.Typer(
    name="mdpkit",
    help="Solve Markov decision processes, with certificates.",
    epilog="""A SOURCE is a model file (.drn, .tra, both also with .gz or .xz, .umb, .mdp, .csv, .csv.gz, .npz), a named
    instance such as instance:riverswim, or a table of Gymnasium such as gym:FrozenLake-v1. Parameters follow a question
    mark, joined by &. Shells give both signs a meaning of their own, so quote them:
    'instance:riverswim?n_states=20&gamma=0.9'.""",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A model file, instance:NAME or gym:ID; quote parameters: 'instance:riverswim?n_states=20&gamma=0.9'.",
        show_default=False,
    ),
]
PropertyText = Annotated[
    str | None,
    typer.Option("--property", metavar="TEXT", help="A property in PRISM's syntax, for example 'Pmax=? [F \"goal\"]'."),
]
CriterionName = Annotated[
    str | None,
    typer.Option(
        "--criterion",
        metavar="NAME",
        help="discounted, finite-horizon, total, average or regularized; the source's own if it has one.",
    ),
]
Gamma = Annotated[
    str | None,
    typer.Option(
        "--gamma", metavar="X", help="Discount factor, read as a rational: 0.95 is 19/20. Implies discounted."
    ),
]
Tau = Annotated[
    str | None,
    typer.Option("--tau", metavar="X", help="Temperature of the entropy, read as a rational. Implies regularized."),
]
Horizon = Annotated[
    int | None, typer.Option("--horizon", metavar="H", help="Number of stages. Implies finite-horizon.")
]
RewardName = Annotated[
    str | None, typer.Option("--reward", metavar="NAME", help="The reward structure, if there are several.")
]
Minimize = Annotated[
    bool | None, typer.Option("--minimize/--maximize", help="The source's own by default.", show_default=False)
]
Initial = Annotated[int | None, typer.Option("--initial", metavar="STATE", help="Index of the initial state, from 0.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else, on standard output.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite output files.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No warnings, no progress; errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more on standard error.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _given[:] = arguments
    digits = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)  # exact answers may be long
    try:
        code: Any = app(arguments, prog_name="mdpkit", standalone_mode=False)
        return code if isinstance(code, int) else OK
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _hush()
        return OK
    except Exception as error:
        if not hasattr(error, "format_message"):
            if type(error).__name__ == "Abort":
                _say("interrupted")
                return INTERRUPTED
            raise
        return _usage(error)
    finally:
        sys.set_int_max_str_digits(digits)


def _version(wanted: bool) -> None:
    if wanted:
        from mdpkit import __version__

        _write(f"mdpkit {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(  # pyright: ignore[reportUnusedFunction]
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True, show_default=False)
    ] = False,
) -> None: ...


# -- commands ----------------------------------------------------------------------------------------------------------


@app.command()
def solve(
    source: Source,
    property: PropertyText = None,
    criterion: CriterionName = None,
    gamma: Gamma = None,
    tau: Tau = None,
    horizon: Horizon = None,
    reward: RewardName = None,
    minimize: Minimize = None,
    initial: Initial = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method", metavar="NAME", help="A solver, 'name' or 'name?parameter=value' (see mdpkit methods)."
        ),
    ] = None,
    rel: Annotated[
        float | None,
        typer.Option(
            "--rel", metavar="X", help="Certified gap, relative to the value; 1e-9 by default.", show_default=False
        ),
    ] = None,
    abs: Annotated[float | None, typer.Option("--abs", metavar="X", help="Certified gap, absolute.")] = None,
    max_steps: Annotated[
        int | None,
        typer.Option("--max-steps", metavar="N", min=0, help="Largest number of steps of an iterative solver."),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Go on to exact values, in rational arithmetic.")] = False,
    dyadic: Annotated[
        bool, typer.Option("--dyadic", help="As --exact, with the model's floats taken as their bits.")
    ] = False,
    values: Annotated[
        bool, typer.Option("--values", help="Also show the values and the policy of the states.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.npz", help="Write V, policy, lower, upper, and exact where known."),
    ] = None,
    cert: Annotated[
        Path | None, typer.Option("--cert", metavar="FILE.npz", help="Write the certificate, for mdpkit check.")
    ] = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Solve a model and certify the answer.

    The criterion is the source's own (instances have one), or it is implied by --property, --gamma or --horizon.

    Exit codes: 0 solved, 1 the stop rule was not met, 2 bad input or usage, 130 interrupted (the best answer so far is
    printed, and its bounds are true).
    """

    def run() -> int:
        question = _question(property, criterion, gamma, horizon, reward, minimize, initial, tau)
        _check_outputs(source, {"--out": out, "--cert": cert}, force)
        until = _until(rel, abs)
        solver = _method(method)
        with _progress(f"reading {source}", quiet) as progress:
            problem, prop = _pose(source, question, progress)
            if problem.rho is None:
                starts = np.flatnonzero(problem.labels.get("init", np.zeros(0, dtype=bool)))
                if starts.size:
                    raise OptionError(
                        f"{source} has several initial states",
                        found=", ".join(map(str, starts[:12])) + (", …" if starts.size > 12 else ""),
                        needed="one",
                        way_out="choose with --initial STATE",
                    )
                warnings.warn(
                    "the source names no initial state: the value is that of state 0; choose with --initial STATE",
                    ModelWarning,
                    stacklevel=1,
                )
                assert problem.criterion is not None
                problem = problem.under(problem.criterion, rho=0)
            solution, answer = _solve(problem, prop, solver, until, max_steps, exact or dyadic, dyadic, progress)
        report = _report(source, solution, answer, values)
        if json:
            _write(_json(report))
        else:
            _print(_solution_table(report, solution, prop, values))
        _save(solution, question, out, cert, force, report)
        if str(solution.status) == "interrupted":
            return INTERRUPTED
        if prop is not None and prop.bound is not None and answer is None:
            _say("the bounds do not decide the property, and the model has no rational answer", "warning")
            return FAILED
        return OK if solution.status.ok and solution.certificate.valid else FAILED

    _finish(run, quiet, verbose)


@app.command()
def check(
    certificate: Annotated[str, typer.Argument(metavar="CERT", help="A file written by mdpkit solve --cert.")],
    source: Source,
    exact: Annotated[bool, typer.Option("--exact", help="Verify in rational arithmetic.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Verify a saved certificate against its source, without a solver.

    The problem (property or criterion, and parameters) is read from the certificate, the model from SOURCE.

    Exit codes: 0 valid, 1 not valid, 2 bad input: another model, a damaged file.
    """

    def run() -> int:
        from mdpkit.certificates import Certificate
        from mdpkit.io import load
        from mdpkit.io.pose import Question

        saved = Certificate.load(certificate)
        with _progress(f"reading {source}", quiet) as progress:
            mdp = load(source)
            progress.enter("verifying")
            try:
                problem, _ = Question.of_recipe(saved.recipe).pose(mdp)
            except (OptionError, PropertyError, UnsupportedError) as error:
                raise CertificateError(
                    f"the certificate belongs to another model: its problem cannot be posed on {source}", found=error
                ) from error
            verdict = saved.verify(problem, exact=exact)
        if json:
            names = ("valid", "arithmetic", "about", "reason")
            _write(_json({name: getattr(verdict, name) for name in names}))
        else:
            rows = [
                ("certificate", certificate),
                ("source", source),
                ("model", f"{_size(problem)}, {verdict.about}"),
                ("problem", _goal(problem, saved.recipe.get("property"))),
                ("theorem", saved.theorem),
                ("arithmetic", verdict.arithmetic),
            ]
            if problem.rho is not None and verdict.valid:
                low, high = saved.initial(problem)
                rows.append(("certified", f"{_text(low)} <= value at {_place(problem)} <= {_text(high)}"))
            rows.append(("verdict", "valid" if verdict.valid else f"NOT valid: {verdict.reason}"))
            _print(_facts(rows))
        return OK if verdict.valid else FAILED

    _finish(run, quiet, verbose)


@app.command()
def instances(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One instance, in full.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """List the named problems: parameters, defaults, sources and known values."""

    def run() -> int:
        from mdpkit import instances as known

        if name is not None:
            item = known.info(known.parse(name)[0])
            if json:
                _write(_json(item.as_dict()))
            else:
                _print(*_instance_tables(item))
            return OK
        items = [known.info(each) for each in known.names()]
        if json:
            _write(_json_list([item.as_dict() for item in items]))
            return OK
        table = _grid("instance", "problem; parameters")
        for item in items:
            parameters = ", ".join(p.name + ("=…" if p.required else f"={p.default}") for p in item.parameters)
            table.add_row(item.name, _entry(item.summary.replace("``", ""), parameters))
        _print(table, "mdpkit instances NAME shows one in full; mdpkit solve 'instance:NAME?key=value' solves it.")
        return OK

    _finish(run)


@app.command()
def methods(
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="Only those that solve this source.", show_default=False)
    ] = None,
    property: PropertyText = None,
    criterion: CriterionName = None,
    gamma: Gamma = None,
    tau: Tau = None,
    horizon: Horizon = None,
    reward: RewardName = None,
    minimize: Minimize = None,
    json: Json = False,
) -> None:
    """List solvers, learners and estimators; with a SOURCE, those that accept the problem, and the solver chosen by default."""

    def run() -> int:
        from mdpkit.choose import choose, estimators, learners
        from mdpkit.choose import methods as known
        from mdpkit.models.canonical import canonical

        chosen, why = None, ""
        posed = problem = None
        question = _question(property, criterion, gamma, horizon, reward, minimize, None, tau)
        if source is not None:
            posed, _ = _pose(source, question, None)
            solver, why = choose(posed)
            chosen = type(solver)
            problem = canonical(posed)
        elif question.recipe():
            raise OptionError(
                "these options need a SOURCE", way_out="mdpkit methods SOURCE …, or mdpkit methods alone for all"
            )
        roles: dict[str, Any] = {
            "solver": known(problem),
            "learner": learners() if posed is None else _learners(posed),
            "estimator": estimators(problem),
        }
        if json:
            rows = [
                _method_dict(each, kind, role, kind is chosen)
                for role, found in roles.items()
                for each, kind in found.items()
            ]
            _write(_json_list(rows))
            return OK
        tables: list[Any] = []
        for role, found in roles.items():
            table = _grid(role if role != "solver" else "method", "what it does; for which problems; parameters")
            for each, kind in found.items():
                item = _method_dict(each, kind, role, kind is chosen)
                parameters = ", ".join(
                    f"{p['name']} (required)" if p["required"] else f"{p['name']}={p['default']}"
                    for p in item["parameters"]
                )
                details = ", ".join(item["kinds"]) + (f"; {parameters}" if parameters else "")
                table.add_row(each + (" *" if item["chosen"] else ""), _entry(item["summary"], details))
            tables += [table] if found else []
        _print(*tables, *([f"* chosen for {source}: {why}"] if chosen else []))
        return OK

    _finish(run)


@app.command()
def convert(
    source: Source,
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="A file ending in .npz (lossless), .drn, .tra (.gz, .xz), .umb, .mdp, .csv or .csv.gz."
        ),
    ],
    reward: RewardName = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write a model in another format."""

    def run() -> int:
        from mdpkit.io import load, save

        _check_outputs(source, {"OUT": out}, force)
        with _progress(f"reading {source}", quiet) as progress:
            mdp = load(source)
            if reward is not None:
                mdp = mdp.under(cast("Criterion", mdp.criterion), reward=reward)
            progress.enter(f"writing {out}")
            save(mdp, out, overwrite=force)
        return OK

    _finish(run, quiet)


Instances = Annotated[
    list[str] | None,
    typer.Option(
        "--instance",
        metavar="SOURCE",
        help="A problem: a named instance such as 'riverswim?variant=ucrl2', a model file or gym:ID; repeatable.",
        show_default=False,
    ),
]
LearnerNames = Annotated[
    list[str] | None,
    typer.Option(
        "--learner", metavar="NAME", help="A learner, 'name' or 'name?parameter=value'; repeatable.", show_default=False
    ),
]
Episodes = Annotated[int | None, typer.Option("--episodes", metavar="K", help="Episodes of each run.", min=1)]
StepCount = Annotated[
    int | None, typer.Option("--steps", metavar="T", help="Steps of each run of a continuing problem.", min=1)
]
Seeds = Annotated[
    int | None, typer.Option("--seeds", metavar="N", help="How many seeds; 10 by default.", min=1, show_default=False)
]
RootSeed = Annotated[
    int | None, typer.Option("--seed", metavar="S", help="The root seed; 0 by default.", min=0, show_default=False)
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", metavar="N", help="Runs at a time; as many as cores by default.", show_default=False),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Keep every finished run here, go on from here, or draw what is here.",
        show_default=False,
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw a picture: .png, .pdf or .svg.", show_default=False),
]
Dark = Annotated[bool, typer.Option("--dark", help="A picture for dark pages.")]
Noise = Annotated[
    str | None, typer.Option("--noise", metavar="LAW", help="bernoulli: rewards are coins of their mean, and hidden.")
]
Known = Annotated[bool, typer.Option("--known", help="Tell learners the transition law.")]
UnitRewards = Annotated[bool, typer.Option("--unit-rewards", help="Map rewards onto [0, 1], in proportion.")]
Delay = Annotated[
    int | None, typer.Option("--delay", metavar="D", help="Feedback on an episode comes D episodes later.", min=0)
]
Confidence = Annotated[float, typer.Option("--confidence", metavar="P", help="Of bands and intervals; 0 < P < 1.")]
PICTURES = (".png", ".pdf", ".svg")
DRAWN = "drawn by mdpkit"


@app.command()
def regret(
    instance: Instances = None,
    learner: LearnerNames = None,
    episodes: Episodes = None,
    steps: StepCount = None,
    horizon: Horizon = None,
    gamma: Gamma = None,
    reward: RewardName = None,
    minimize: Minimize = None,
    initial: Initial = None,
    noise: Noise = None,
    known: Known = False,
    unit_rewards: UnitRewards = False,
    delay: Delay = None,
    seeds: Seeds = None,
    seed: RootSeed = None,
    jobs: Jobs = None,
    data: Data = None,
    plot: Plot = None,
    note: Annotated[
        list[str] | None,
        typer.Option("--note", metavar="NAME", help="Also draw what learners note, for example index; repeatable."),
    ] = None,
    dark: Dark = False,
    confidence: Confidence = 0.95,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Play learners on problems over seeds: exact regret, bands, comparisons, pictures.

    Problems are of episodes (--horizon H --episodes K), continuing (--steps T), or discounted with resets (--gamma X
    --episodes K). With --data, finished runs are kept: the same command goes on where a run was stopped, with more seeds or
    learners it adds them, and with --data alone it draws what is there without running anything.

    Exit codes: 0 done, 1 drawn from a folder in which runs are missing, 2 bad input or usage, 130 interrupted.
    """

    def run() -> int:
        from mdpkit import experiments

        _check_picture(plot, force)
        asked = [horizon, gamma, reward, minimize, initial, noise, delay, seeds, seed, episodes, steps]
        if not instance and not learner:
            if any(option is not None for option in asked) or known or unit_rewards or data is None:
                raise OptionError(
                    "nothing to play",
                    needed="--instance SOURCE and --learner NAME",
                    way_out="mdpkit instances and mdpkit methods list them; --data DIR alone draws what a folder holds",
                )
            found = experiments.load_regret(data, confidence)
        else:
            question = _question(
                None, "average" if steps is not None else None, gamma, horizon, reward, minimize, initial, None
            )
            where = _places(instance, question, noise, known, unit_rewards, delay)
            found = _kept(
                lambda tell: experiments.regret(
                    where,
                    _required(learner, "--learner NAME", "mdpkit methods lists the learners"),
                    episodes=episodes,
                    steps=steps,
                    seeds=10 if seeds is None else seeds,
                    seed=seed or 0,
                    jobs=jobs or os.cpu_count() or 1,
                    data=data,
                    confidence=confidence,
                    progress=tell,
                    command=_command(),
                ),
                "playing",
                quiet,
                data,
            )
        if found is None:
            return INTERRUPTED
        if plot is not None:
            from mdpkit.plots.regret import regret_figure

            _draw(lambda: regret_figure(found, notes=tuple(note or ())), plot, dark)
        if json:
            _write(_json(_finite(found.summary())))
        else:
            _print(_regret_table(found), *found.sentences())
            _print(*_kept_where(found, data, plot))
        return FAILED if found.missing else OK

    _finish(run, quiet, verbose)


@app.command("sample-complexity")
def sample_complexity(
    instance: Annotated[
        str | None,
        typer.Option(
            "--instance",
            metavar="SOURCE",
            help="A named instance such as 'riverswim?variant=ucrl2', a model file or gym:ID.",
            show_default=False,
        ),
    ] = None,
    learner: LearnerNames = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="A solver that draws from a generative model, in place of learners; repeatable.",
            show_default=False,
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="NAME=A,B,…",
            help="eps=0.1,0.2 (needed); gamma, horizon, or a parameter of the instance such as n_states=4,6,8; repeatable.",
            show_default=False,
        ),
    ] = None,
    episodes: Episodes = None,
    steps: StepCount = None,
    samples: Annotated[
        int | None, typer.Option("--samples", metavar="N", help="The most draws of a solver.", min=1)
    ] = None,
    when: Annotated[
        str, typer.Option("--when", metavar="WHAT", help="What is counted: first, settled, average or mistakes.")
    ] = "first",
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="NAME", help="Abscissa: eps, horizon for 1/(1-gamma), H, S, A, d, or one of the grid."
        ),
    ] = None,
    horizon: Horizon = None,
    gamma: Gamma = None,
    reward: RewardName = None,
    minimize: Minimize = None,
    initial: Initial = None,
    noise: Noise = None,
    known: Known = False,
    unit_rewards: UnitRewards = False,
    delay: Delay = None,
    seeds: Seeds = None,
    seed: RootSeed = None,
    jobs: Jobs = None,
    data: Data = None,
    plot: Plot = None,
    dark: Dark = False,
    confidence: Confidence = 0.95,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Count episodes, steps or samples until eps-optimality, over a grid of problems.

    Losses are exact. What is not reached within the run is reported as more than its length. With --data, finished runs are
    kept; with --data alone, what is there is shown and drawn without running anything.

    Exit codes: 0 done, 1 shown from a folder in which runs are missing, 2 bad input or usage, 130 interrupted.
    """

    def run() -> int:
        from mdpkit import experiments

        _check_picture(plot, force)
        options = [horizon, gamma, reward, minimize, initial, noise, delay, seeds, seed, episodes, steps, samples, grid]
        if not instance and not learner and not method:
            if any(option is not None for option in options) or known or unit_rewards or data is None:
                raise OptionError(
                    "nothing to count",
                    needed="--instance SOURCE, --grid eps=…, and --learner NAME or --method NAME",
                    way_out="mdpkit instances and mdpkit methods list them; --data DIR alone shows what a folder holds",
                )
            found = experiments.load_sample_complexity(data, when, confidence)
        else:
            axes = _grid_of(grid or [])
            eps = axes.pop("eps", None)
            if eps is None:
                raise OptionError(
                    "no accuracy is given", needed="--grid eps=0.1, or several values: --grid eps=0.1,0.2"
                )
            (source,) = _required([instance] if instance else None, "--instance SOURCE", "mdpkit instances lists them")
            if learner and method:
                raise OptionError("learners count episodes, solvers samples", needed="--learner or --method, not both")
            criterion = "average" if steps is not None else None
            place = _family(
                source, (criterion, gamma, horizon, reward, minimize, initial), noise, known, unit_rewards, delay
            )
            who = _required(learner or method, "--learner NAME or --method NAME", "mdpkit methods lists them")
            found = _kept(
                lambda tell: experiments.sample_complexity(
                    place,
                    who,
                    eps=eps,
                    grid=axes,
                    episodes=episodes,
                    steps=steps,
                    samples=samples,
                    when=when,
                    seeds=10 if seeds is None else seeds,
                    seed=seed or 0,
                    jobs=jobs or os.cpu_count() or 1,
                    data=data,
                    confidence=confidence,
                    progress=tell,
                    command=_command(),
                ),
                "counting",
                quiet,
                data,
            )
        if found is None:
            return INTERRUPTED
        axis = against or (found.axes[0] if found.axes else None)
        if axis is not None:
            found.lines(axis)  # says what there is, if this is none
        if plot is not None:
            _draw(lambda: found.plot(axis).figure, plot, dark)
        if json:
            _write(_json(_finite(found.summary())))
        else:
            _print(*_count_tables(found, axis), *found.sentences())
            _print(*_kept_where(found, data, plot))
        return FAILED if found.missing else OK

    _finish(run, quiet, verbose)


@app.command()
def claims(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID or PATTERN]...", help="Only these, as for verify.", show_default=False),
    ] = None,
    family: Annotated[
        str | None, typer.Option("--family", metavar="NAME", help="Only one family, for example policy_gradient.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list, and nothing else, on standard output.")
    ] = False,
) -> None:
    """List the claims: statements of theorems that can be run, with the verdicts of the last recorded full run."""

    def run() -> int:
        from mdpkit.claims import show
        from mdpkit.claims.registry import find, stated
        from mdpkit.claims.verify import recorded

        last = recorded()
        whole = family is None and not patterns
        rows = show.claim_rows(find(*patterns or (), family=family), stated() if whole else (), last)
        if json:
            _write(_json_list(rows))
            return OK
        if len(rows) == 1:
            _print(str(find(rows[0]["id"])[0]))
        else:
            _print(show.claims_table(rows))
        about = f"verdicts of {last['date']}, commit {last['commit']}" if last["date"] else "no full run is recorded"
        _print(f"{_count(len(rows), 'claim')}; {about}. mdpkit verify ID runs one, mdpkit verify all of them.")
        return OK

    _finish(run)


@app.command()
def verify(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID or PATTERN]...",
            help="Claims such as mdpo:log-ratio, patterns such as 'mdpo:*', or papers such as mdpo; all by default.",
            show_default=False,
        ),
    ] = None,
    level: Annotated[
        str,
        typer.Option("--level", metavar="LEVEL", help="fast (small instances) or full (more, and worst-case search)."),
    ] = "fast",
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", metavar="N", help="Claims at a time; as many as cores by default.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Seed of the random instances and samples.")] = 0,
    family: Annotated[str | None, typer.Option("--family", metavar="NAME", help="Only one family.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list, and nothing else, on standard output.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            help="Write a page with statements, pictures and BibTeX: DIR/index.html.",
            show_default=False,
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew where an earlier run was stopped.")] = False,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            metavar="FILE",
            help="Store the verdicts (proofs/verdicts.json), for the maintainers.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="FILE",
            help="Keep the worst instances found (proofs/worst.toml), for the maintainers.",
            show_default=False,
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Check claims on instances and against faults that they must notice; exit code 1 if one does not stand."""

    def run() -> int:
        return _verify(patterns or [], level, jobs, seed, family, json, report, fresh, record, keep, quiet)

    _finish(run, quiet)


def _verify(
    patterns: Sequence[str],
    level: str,
    jobs: int | None,
    seed: int,
    family: str | None,
    json: bool,
    report: Path | None,
    fresh: bool,
    record: Path | None,
    keep: Path | None,
    quiet: bool,
) -> int:
    import datetime

    from mdpkit import __version__
    from mdpkit.claims import search, show
    from mdpkit.claims import verify as engine
    from mdpkit.claims.registry import find

    if level not in ("fast", "full"):
        raise OptionError("the level is unknown", found=level, needed="fast or full")
    if jobs is not None and jobs < 1:
        raise OptionError("--jobs is no count of processes", found=jobs, needed="1 or more")
    if seed < 0:
        raise OptionError("the seed is negative", found=seed, needed="0 or more")
    if report is not None and report.exists() and not report.is_dir():
        raise OptionError("--report names a file", found=str(report), needed="a folder, which is made if it is missing")
    jobs = jobs or os.cpu_count() or 1
    chosen = find(*patterns, family=family)
    _check_packages(len(chosen) > 1 and jobs > 1, any(c.mode == "symbolic" for c in chosen), report is not None)
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)  # before hours of work, not after them
    today = datetime.date.today()
    rotation = seed or today.toordinal()
    selection = engine.select(chosen, cast(Any, level), jobs, rotation, whole=bool(patterns) or family is not None)
    journal = engine.Journal(level, seed)
    ids = {c.id for c in selection.claims}
    if not journal.usable():
        if not quiet:
            _say(
                f"{journal.folder} cannot be written: a run that is stopped begins anew (MDPKIT_CACHE names another folder)",
                "warning",
            )
        journal = None
    elif fresh:
        journal.close(ids)
    board = show.Board(len(selection.claims), not quiet)
    old = 0 if journal is None else len(set(journal.read()) & ids)
    if old and not quiet:
        _say(f"going on where the last run was stopped: {_count(old, 'claim')} done (--fresh begins anew)")
    if selection.left_out and not quiet:
        _say(
            f"{len(selection.claims)} of {len(chosen)} claims fit the time, drawn with seed {selection.rotation}; "
            "--level full takes all"
        )
    with board:
        result = engine.verify(
            selection.claims,
            cast(Any, level),
            seed=seed,
            jobs=jobs,
            journal=journal,
            begun=board.begun,
            done=board.done,
        )
    commit = _commit()
    if report is not None:
        from mdpkit.claims.report import write

        target = write(result, report, date=today.isoformat(), version=__version__, commit=commit)
        _say(f"the report is {target}")
    if record is not None and not result.interrupted:
        engine.record(record, result, commit, today.isoformat())
    if keep is not None and not result.interrupted:
        search.write(keep, {e.id: [e.found] for e in result.results if e.found})
    if json:
        _write(_json_list([e.row() for e in result.results]))
    else:
        _print(show.verdict_table(result.results))
        for e in result.results:
            if not e.verdict.ok:
                _print(str(e))
        killed, applicable = result.killed
        good, total = sum(e.verdict.ok for e in result.results), len(result.results)
        stand = f"{good} of {_count(total, 'claim')} {'stands' if 1 in (good, total) else 'stand'}"
        _print(
            f"{stand}; {killed} of {applicable} generic faults noticed; {result.seconds:.0f} s, level {level}, seed {seed}"
        )
    if result.interrupted:
        _say("interrupted" + ("" if journal is None else ": the same command goes on from here"))
        return INTERRUPTED
    return OK if result.ok else FAILED


def _check_packages(parallel: bool, symbolic: bool, report: bool) -> None:
    """Refuse before anything is computed where a package is missing."""
    from importlib.util import find_spec

    needed = {"flint": "python-flint"}
    if parallel:
        needed["joblib"] = "joblib"
    if symbolic:
        needed["sympy"] = "sympy"
    if report:
        needed |= {name: name for name in ("jinja2", "latex2mathml", "matplotlib")}
    missing = [package for module, package in needed.items() if find_spec(module) is None]
    if missing:
        raise UnsupportedError(
            "checking claims takes packages that are not installed",
            needed=", ".join(missing),
            way_out="pip install 'mdpkit[claims]'",
        )


def _commit() -> str | None:
    """The commit of the source checkout, if this is one."""
    import subprocess

    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


# -- experiments -------------------------------------------------------------------------------------------------------


def _required(names: list[str] | None, needed: str, way_out: str) -> list[str]:
    if not names:
        raise OptionError("something is missing", needed=needed, way_out=way_out)
    return names


def _places(
    sources: list[str] | None,
    question: Question,
    noise: str | None,
    known: bool,
    unit_rewards: bool,
    delay: int | None,
) -> dict[str, Any]:
    """Environments by source."""
    from mdpkit.experiments.regret import source_of

    names = _required(sources, "--instance SOURCE", "mdpkit instances lists the named ones")
    found: dict[str, Any] = {}
    for text in names:
        label = text.removeprefix("instance:")
        if label in found:
            raise OptionError(f"--instance {text} is given twice", needed="different ones")
        problem, _ = question.pose(source_of(text))
        found[label] = _place_of(problem, noise, known, unit_rewards, delay)
    return found


def _place_of(problem: MDP, noise: str | None, known: bool, unit_rewards: bool, delay: int | None) -> Any:
    from mdpkit.environment import Delayed, Environment
    from mdpkit.environment import unit_rewards as rescaled

    place = Environment(rescaled(problem) if unit_rewards else problem, noise, known=known)
    return place if delay is None else Delayed(place, delay)


def _command() -> str:
    """What was typed, for shells."""
    import shlex

    return shlex.join(["mdpkit", *_given])


def _sweeping(progress: Progress) -> Callable[[Any], None]:
    """The progress line as a sweep tells it."""

    def tell(status: Any) -> None:
        stored = f", {status.stored} of them stored before" if status.stored else ""
        progress.enter(f"{status.done} of {status.total} runs done{stored}", status.left)

    return tell


def _kept(run: Callable[[Callable[[Any], None]], Any], phase: str, quiet: bool, data: Path | None) -> Any:
    """What a sweep gives, or None after Ctrl-C, with a word on what was kept."""
    try:
        with _progress(phase, quiet) as progress:
            return run(_sweeping(progress))
    except KeyboardInterrupt:
        if data is None:
            _say("interrupted; nothing was kept: --data DIR keeps finished runs")
        else:
            done = sum(1 for _ in data.glob("cells/*/*/*.npz"))
            _say(f"interrupted: {_count(done, 'finished run')} kept in {data}; the same command goes on from there")
        return None


def _check_picture(path: Path | None, force: bool) -> None:
    """Refuse a picture before anything is computed; one that was drawn here before is drawn again."""
    from importlib.util import find_spec

    from mdpkit.io.files import check_target

    if path is None:
        return
    if path.suffix.lower() not in PICTURES:
        raise OptionError(
            f"--plot {path} has another ending", found=path.suffix or "none", needed=" or ".join(PICTURES)
        )
    if find_spec("matplotlib") is None:
        raise UnsupportedError("pictures need matplotlib", way_out="pip install 'mdpkit[experiments]'")
    ours = path.is_file() and not path.is_symlink() and DRAWN.encode() in path.read_bytes()
    try:
        check_target(path, force or ours)
    except OutputExistsError:
        raise OutputExistsError(
            f"{path} exists, and was not drawn by mdpkit", way_out="choose another name for --plot, or pass --force"
        ) from None


def _draw(figure: Callable[[], Any], path: Path, dark: bool) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    from mdpkit.io.files import atomic

    ending = path.suffix.lower()[1:]
    style: Any = ["dark_background"] if dark else []
    with plt.style.context(style):
        drawn = figure()
        with atomic(path, overwrite=True) as file:
            words = {"Software": DRAWN} if ending == "png" else {"Creator": DRAWN}
            drawn.savefig(file, format=ending, dpi=150, metadata=words, transparent=False)
        plt.close(drawn)


def _finite(value: Any) -> Any:
    """Plain types for JSON: numbers that are none become null, infinities text."""
    if isinstance(value, dict):
        return {str(key): _finite(entry) for key, entry in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in cast("Sequence[Any]", value)]
    return _plain(value) if isinstance(value, (float, np.floating)) else value


def _interval(value: float | None, lower: float | None, upper: float | None, digits: int = 4) -> str:
    if value is None:
        return ""
    if lower is None or upper is None:
        return f"{value:.{digits}g}"
    return f"{value:.{digits}g} [{lower:.{digits}g}, {upper:.{digits}g}]"


def _regret_table(found: Any) -> Table:
    unit, several = found.unit, len(found.problems) > 1
    table = _grid(
        *(["problem"] if several else []), "learner", "seeds", f"regret after {_count(found.rounds, unit)}",
        f"lost in the last {unit}", "slope of the last decade",
    )  # fmt: skip
    for row in found.table():
        table.add_row(
            *([row["problem"]] if several else []), row["learner"], str(row["seeds"]),
            _interval(row["regret"], row["lower"], row["upper"]), f"{row['last_gap']:.3g}",
            _interval(row["slope"], row["slope_lower"], row["slope_upper"], 3),
        )  # fmt: skip
    return table


def _grid_of(texts: Sequence[str]) -> dict[str, list[str]]:
    """``name=a,b`` as lists of texts."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name, parts = name.strip(), [part.strip() for part in values.split(",")]
        if not equals or not name or not all(parts):
            raise OptionError("--grid does not read", found=text, needed="NAME=A,B,… such as eps=0.1,0.2")
        if name in found or len(set(parts)) < len(parts):
            raise OptionError(f"--grid {name} gives something twice", found=text, needed="each name and value once")
        found[name] = parts
    return found


def _family(
    source: str,
    posed: tuple[Any, ...],
    noise: str | None,
    known: bool,
    unit_rewards: bool,
    delay: int | None,
) -> Callable[..., Any]:
    """The problem at a point of a grid."""
    from mdpkit import instances as named
    from mdpkit.experiments.regret import is_instance, source_of

    criterion, gamma, horizon, reward, minimize, initial = posed

    def build(**given: str) -> Any:
        point: dict[str, Any] = dict(given)
        for name, option in (("gamma", gamma), ("horizon", horizon)):
            if name in point and option is not None:
                raise OptionError(f"--{name} is also in the grid", needed="one of them")
        stages = point.pop("horizon", horizon)
        if stages is not None and not str(stages).isdigit():
            raise OptionError("the horizon in the grid is no number of stages", found=stages, needed="an integer >= 0")
        question = _question(
            None,
            criterion,
            point.pop("gamma", gamma),
            None if stages is None else int(stages),
            reward,
            minimize,
            initial,
            None,
        )
        if point and not is_instance(source):
            raise OptionError(f"{source} has no parameters", found=", ".join(point), needed="gamma or horizon")
        if point:
            name, own = named.parse(source)
            model = named.make(name, **{**own, **point})
        else:
            model = source_of(source)
        problem, _ = question.pose(model)
        return _place_of(problem, noise, known, unit_rewards, delay)

    return build


def _count_tables(found: Any, axis: str | None) -> list[Any]:
    several = any(found.points)
    table = _grid(*(["problem"] if several else []), "method", "eps", "got there", "mean", "median")
    for row in found.table():
        mean = (
            _interval(row["mean"], row["lower"], row["upper"])
            if row["mean"] is not None
            else f"> {row['more_than']:,.6g}"
        )
        median = f"{row['median']:,.6g}" if math.isfinite(row["median"]) else f"> {found.limit:,}"
        table.add_row(
            *([row["point"]] if several else []), row["method"], f"{row['eps']:g}", f"{row['reached']} of {row['seeds']}",
            mean, median,
        )  # fmt: skip
    rows = [] if axis is None else [row for row in found.slopes(axis) if row["slope"] is not None]
    if not rows:
        return [table]
    slopes = _grid(f"slope against {axis}", "where", "slope", "abscissas")
    for row in rows:
        used = f"{row['used']} of {row['abscissas']}"
        slopes.add_row(row["method"], row["fixed"], _interval(row["slope"], row["lower"], row["upper"]), used)
    return [table, slopes]


def _kept_where(found: Any, data: Path | None, plot: Path | None) -> list[str]:
    said: list[str] = []
    if data is not None:
        said.append(f"{data}: {_count(found.computed, 'run')} computed, {found.stored} found there.")
    if plot is not None:
        said.append(f"The picture is {plot}.")
    return said


# -- from options to an answer -----------------------------------------------------------------------------------------


def _question(
    property: str | None,
    criterion: str | None,
    gamma: str | None,
    horizon: int | None,
    reward: str | None,
    minimize: bool | None,
    initial: int | None,
    tau: str | None,
) -> Question:
    from mdpkit.io.pose import Question, read_gamma, read_tau

    factor = None if gamma is None else read_gamma(gamma)
    temperature = None if tau is None else read_tau(tau)
    return Question(property, criterion, factor, horizon, reward, minimize, initial, temperature)


def _pose(source: str, question: Question, progress: Progress | None) -> tuple[MDP, Property | None]:
    from mdpkit.io import load

    mdp = load(source)
    if progress is not None:
        progress.enter("reading the problem")
    return question.pose(mdp)


def _until(rel: float | None, abs: float | None) -> StopRule | None:
    from mdpkit.run import Gap

    for name, value in (("--rel", rel), ("--abs", abs)):
        if value is not None and not value >= 0:
            raise OptionError(f"{name} is no tolerance", found=value, needed="a number >= 0")
    if rel is None and abs is None:
        return None
    return Gap(abs=abs or 0.0, rel=rel or 0.0)


def _method(text: str | None) -> Solver | None:
    from mdpkit.choose import method

    return None if text is None else method(text)


def _solve(
    problem: MDP,
    prop: Property | None,
    solver: Solver | None,
    until: StopRule | None,
    max_steps: int | None,
    exact: bool,
    dyadic: bool,
    progress: Progress,
) -> tuple[Solution, Any]:
    """The solution, and its exact value or the answer of a bounded property (``None`` where neither is known)."""
    from mdpkit.choose import solve
    from mdpkit.solution import Status

    _load_kernels()
    progress.enter("solving in rationals" if exact else "solving")
    settings: dict[str, Any] = {"until": until, "max_steps": max_steps, "progress": progress}
    solution = solve(problem, solver, exact=exact, dyadic=dyadic, **settings)
    if prop is None or prop.bound is None:
        return solution, _exact_value(solution)
    answer = _decided(prop, solution)
    if answer is None and solution.exact is None and solution.status is not Status.INTERRUPTED:
        progress.enter("deciding the bound in rationals")
        try:
            again = solve(problem, solver, exact=True, **settings)
        except KeyboardInterrupt:
            return replace(solution, status=Status.INTERRUPTED), None
        except (MDPError, MemoryError) as error:
            logger.info("no rational answer: %s", error)
            return solution, None
        why = f"{again.why}; float bounds do not decide the property, so in rationals"
        solution = replace(again, why=why, seconds=solution.seconds + again.seconds)
        answer = _decided(prop, solution)
    return solution, answer


def _load_kernels() -> None:
    """Import what a run needs before it starts: a run that is interrupted certifies what it has."""
    from mdpkit import certificates, choose, reductions
    from mdpkit.kernels import evaluation, fast, graph

    _ = certificates, reductions, evaluation, fast, graph
    choose.methods()


def _exact_value(solution: Solution) -> Any:
    """The exact value where it is known: from rationals, or infinite by the structure of the model."""
    if solution.exact is None and solution.lower == solution.upper and math.isinf(solution.lower):
        return solution.lower
    return solution.exact_value


def _decided(prop: Property, solution: Solution) -> bool | None:
    value = solution.exact_value
    return prop.holds(solution.lower, solution.upper) if value is None else prop.holds(value)


def _report(source: str, solution: Solution, answer: Any, values: bool) -> dict[str, Any]:
    """The fields of the JSON object."""
    from mdpkit.choose import methods
    from mdpkit.io.pose import criterion_name

    problem, certificate = solution.problem, solution.certificate
    kind: Any = solution.solver.__class__
    names: dict[Any, str] = {each: name for name, each in methods().items()}
    report: dict[str, Any] = {
        "source": source,
        "states": problem.n_states,
        "pairs": problem.n_pairs,
        "criterion": criterion_name(problem.criterion),
        "gamma": _plain(getattr(problem.criterion, "gamma", None)),
        "value": _plain(solution.value),
        "lower": _plain(solution.lower),
        "upper": _plain(solution.upper),
        "exact": answer if isinstance(answer, bool) else _rational(answer),
        "gain": _plain(solution.value if solution.average else None),
        "status": str(solution.status),
        "method": names.get(kind, kind.__name__),
        "why": solution.why,
        "steps": solution.steps,
        "seconds": solution.seconds,
        "certificate": {"type": certificate.theorem, "arithmetic": certificate.arithmetic, "valid": certificate.valid},
    }
    if hasattr(problem.criterion, "tau"):
        report["tau"] = _plain(getattr(problem.criterion, "tau", None))
    if solution.classes is not None:
        report["classes"] = solution.classes.as_dict()
    if values:
        report |= {"V": _plain(solution.V), "policy": _policy(solution).tolist(), "bias": _plain(solution.bias)}
        if solution.exact is not None:
            report |= {"exact_V": _rationals(solution.exact), "exact_bias": _rationals(solution.exact_bias)}
    return report


def _policy(solution: Solution) -> Any:
    """Action ids, ``(S,)`` or ``(H, S)``; probabilities ``(S, A)`` of a randomized policy."""
    problem = solution.problem
    if solution.certificate.policy is not None:
        return np.asarray(solution.pi)
    return problem.action[solution.certificate.choice]


def _plain(value: Any) -> Any:
    """Numbers as JSON has them; infinities as text."""
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        return [_plain(entry) for entry in value]
    number = float(value)
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else "inf" if number > 0 else "-inf"


def _rational(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, float):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return str(Fraction(int(value.numerator), int(value.denominator)))


def _rationals(value: Any) -> Any:
    """Rationals as text, an array as nested lists."""
    if isinstance(value, np.ndarray):
        return [_rationals(entry) for entry in value]
    return _rational(value)


# -- files -------------------------------------------------------------------------------------------------------------


def _check_outputs(source: str, outputs: dict[str, Path | None], force: bool) -> None:
    """Refuse outputs before anything is computed."""
    from mdpkit.io.files import check_target

    seen: dict[Path, str] = {Path(source).resolve(): "the source"}
    for option, path in outputs.items():
        if path is None:
            continue
        try:
            check_target(path, force)
        except OutputExistsError:
            raise OutputExistsError(
                f"{path} exists", way_out=f"choose another name for {option}, or pass --force"
            ) from None
        if path.resolve() in seen:
            raise OptionError(f"{option} {path} is also {seen[path.resolve()]}", way_out="choose another name")
        if option.startswith("--") and path.suffix.lower() != ".npz":
            raise OptionError(f"{option} {path} has another ending", found=path.suffix or "none", needed=".npz")
        seen[path.resolve()] = option


def _save(
    solution: Solution, question: Question, out: Path | None, cert: Path | None, force: bool, report: dict[str, Any]
) -> None:
    if cert is not None:
        replace(solution.certificate, recipe=question.recipe()).save(cert, overwrite=force)
    if out is not None:
        from mdpkit.io.files import atomic

        arrays: dict[str, Any] = {
            "V": solution.V,
            "policy": _policy(solution),
            "lower": np.asarray(solution.certificate.lower, dtype=np.float64),
            "upper": np.asarray(solution.certificate.upper, dtype=np.float64),
            "report": np.array(json.dumps({key: value for key, value in report.items() if key not in BY_STATE})),
        }
        if solution.exact is not None:
            flat = [_rational(value) for value in solution.exact.ravel().tolist()]
            arrays["exact"] = np.array(flat, dtype=np.str_).reshape(solution.exact.shape)
        with atomic(out, force) as file:
            np.savez_compressed(file, **arrays)


# -- errors, warnings, progress ----------------------------------------------------------------------------------------


def _finish(run: Callable[[], int], quiet: bool = False, verbose: bool = False) -> NoReturn:
    """Run a command's body with its errors and warnings as plain lines, and leave with its exit code."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("mdpkit: %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("ignore" if quiet else "always", ModelWarning)
            warnings.showwarning = _warn
            code = _guarded(run, verbose)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    raise typer.Exit(code)


def _guarded(run: Callable[[], int], verbose: bool) -> int:
    try:
        return run()
    except KeyboardInterrupt:
        _say("interrupted before there was an answer")
        return INTERRUPTED
    except BrokenPipeError:
        _hush()
        return OK
    except MDPError as error:
        _say(str(error), "error")
    except MemoryError:
        _say("the problem does not fit in memory; use a smaller one, or floats in place of --exact", "error")
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        _say(f"{where}{error.strerror or error}", "error")
    except Exception as error:
        if verbose:
            raise
        _say(
            f"internal error: {type(error).__name__}: {error} (a defect of mdpkit: please report it; -v shows more)",
            "error",
        )
    return BAD


def _usage(error: Any) -> int:
    """One line for an error of usage, with the nearest name."""
    message = str(error.format_message()).strip()
    context = getattr(error, "ctx", None)
    if not message:  # no arguments: the help was asked for
        return BAD
    missing = type(error).__name__ == "NoSuchOption" or message.lower().startswith("no such option")
    if context is not None and (missing or "no such command" in message.lower()):
        if missing:
            name = str(getattr(error, "option_name", ""))
            known = [
                option
                for p in context.command.params
                for option in [*p.opts, *p.secondary_opts]
                if option.startswith("--")
            ]
        else:
            name = message.split("'")[1] if "'" in message else ""
            known = list(getattr(context.command, "commands", {}))
        what = f"no such option: {name}" if missing else f"no such command: {name}"
        message = f"{what}; {nearest(name, [*known, '--help'] if missing else known)}"
    path = "mdpkit" if context is None else context.command_path
    if "--help" in message and "Usage:" in message:  # help printed for a command without arguments
        _write(message + "\n", sys.stderr)
        return BAD
    _say(f"{message[0].lower()}{message[1:]}", "error")
    _say(f"try '{path} --help'")
    return int(getattr(error, "exit_code", BAD))


def _say(text: str, kind: str = "") -> None:
    try:
        sys.stderr.write(f"mdpkit: {kind}{': ' if kind else ''}{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def _warn(message: Any, category: Any, filename: Any, lineno: Any, file: Any = None, line: Any = None) -> None:
    _say(" ".join(str(message).split()), "warning")


def _hush() -> None:
    """Nobody reads standard output any more: keep the interpreter from complaining at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _progress(phase: str, quiet: bool) -> Progress:
    from mdpkit.progress import Progress

    return Progress(phase, not quiet)


# -- looks -------------------------------------------------------------------------------------------------------------


def _write(text: str, file: Any = None) -> None:
    file = sys.stdout if file is None else file
    encoding = getattr(file, "encoding", None) or "utf-8"
    try:
        file.write(text.encode(encoding, "replace").decode(encoding))
        file.flush()
    except BrokenPipeError:
        _hush()


def _json(report: dict[str, Any]) -> str:
    """One object, a field a line."""
    lines = (f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in report.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _json_list(items: list[Any]) -> str:
    """One array, an entry a line."""
    return "[\n" + ",\n".join(f"  {json.dumps(item, allow_nan=False)}" for item in items) + "\n]\n"


def _print(*parts: RenderableType) -> None:
    """Tables and text; without colors or control codes where standard output is no terminal."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False, markup=False)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    _write(capture.get())


def _facts(rows: Sequence[tuple[str, str]], title: str | None = None) -> Table:
    """A table of two columns: a name and what it is."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD, show_header=False, title=title, title_justify="left", pad_edge=False, padding=(0, 1)
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, what in rows:
        table.add_row(name, Text(what))
    return table


def _grid(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for k, name in enumerate(columns):
        table.add_column(name, no_wrap=k == 0, overflow="fold")
    return table


def _entry(what: str, details: str) -> Text:
    """What a thing is, and its details dimmed below."""
    from rich.text import Text

    return Text.assemble(what, ("\n" + details if details else "", "dim"))


def _solution_table(report: dict[str, Any], solution: Solution, prop: Property | None, values: bool) -> Any:
    from rich.console import Group

    problem, certificate = solution.problem, solution.certificate
    rows = [
        ("source", str(report["source"])),
        ("model", _size(problem)),
        ("problem", _goal(problem, None if prop is None else prop.text)),
        ("method", f"{report['method']} ({solution.why})"),
        ("value", f"{_text(solution.value)} at {_place(problem)}"),
        ("certified", f"[{_text(solution.lower)}, {_text(solution.upper)}]"),
    ]
    if solution.classes is not None:
        rows.insert(2, ("classes", str(solution.classes)))
    exact = report["exact"]
    if isinstance(exact, bool):
        rows.append(("property", "true" if exact else "false"))
        exact = _rational(_exact_value(solution))
    if exact is not None:
        rows.append(("exact", _short(exact)))
    checked = "valid" if certificate.valid else "NOT valid"
    rows += [
        ("status", f"{solution.status.value} ({_count(solution.steps, 'step')}, {solution.seconds:.3g} s)"),
        ("certificate", f"{checked}: {certificate.theorem}, {certificate.arithmetic} arithmetic"),
    ]
    if not values:
        return _facts(rows)
    return Group(_facts(rows), _values_table(solution))


def _values_table(solution: Solution) -> Table:
    problem = solution.problem
    randomized = solution.certificate.policy is not None
    value, policy = _first(solution.V), _policy(solution) if randomized else _first(_policy(solution))
    choice, exact = _first(solution.certificate.choice), _first(solution.exact)
    bias = solution.exact_bias if solution.exact_bias is not None else solution.bias
    columns = ["V" if bias is None else "gain"] + (["exact"] if exact is not None else [])
    table = _grid("state", *columns, *([] if bias is None else ["bias"]), "action")
    for s in range(min(problem.n_states, SHOWN)):
        name = "" if problem.state_names is None else f" {problem.state_names[s]}"
        likely = problem.action[choice[s]] if randomized else policy[s]
        action = str(likely) if problem.pair_names is None else f"{likely} {problem.pair_names[choice[s]]}"
        if randomized:
            action += f" with probability {policy[s][likely]:.4g}"
        numbers = [_text(value[s])] + ([_short(_rational(exact[s]) or "")] if exact is not None else [])
        if bias is not None:
            numbers.append(_text(bias[s]) if isinstance(bias[s], float) else _short(_rational(bias[s]) or ""))
        table.add_row(f"{s}{name}", *numbers, action)
    if problem.n_states > SHOWN:
        table.caption = f"the first {SHOWN} of {problem.n_states:,} states; all with --json or --out"
    elif solution.pi.__class__.__name__ == "Markov":
        table.caption = "of the first stage; all stages with --json or --out"
    return table


def _first(part: Any) -> Any:
    """The first stage."""
    return part if part is None or part.ndim == 1 else part[0]


def _instance_tables(item: Any) -> list[Any]:
    paragraphs = (" ".join(part.split()) for part in item.description.split("\n\n"))
    rows = [("instance", item.name), ("problem", "\n\n".join(paragraphs).replace("``", "")), ("source", item.source)]
    parts: list[Any] = [_facts(rows)]
    if item.parameters:
        table = _grid("parameter", "type", "default")
        for p in item.parameters:
            kind = " | ".join(p.choices) if p.choices else p.type
            table.add_row(p.name, kind, "required" if p.required else str(p.default))
        parts.append(table)
    if item.known:
        table = _grid("known", "criterion", "value", "source")
        for known in item.known:
            entry = known.as_dict()
            where = ", ".join(f"{key}={value}" for key, value in entry["params"].items())
            parts_of: list[Any] = entry["value"] if isinstance(entry["value"], list) else [entry["value"]]
            text = ", ".join(map(str, parts_of))
            quantity = known.quantity + (f" ({where})" if where else "")
            table.add_row(
                quantity, known.criterion, text if known.exact else f"{text} ± {known.tolerance}", known.source
            )
        parts.append(table)
    return parts


def _learners(problem: MDP) -> dict[str, Any]:
    """The learners that play the problem, if any do."""
    from mdpkit.choose import learners
    from mdpkit.environment import Environment

    try:
        return learners(Environment(problem).view(1))
    except MDPError:
        return {}


def _method_dict(name: str, kind: type[Method], role: str, chosen: bool) -> dict[str, Any]:
    summary = (kind.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    parameters: list[dict[str, Any]] = []
    for spec in fields(kind):
        if not spec.init:
            continue
        required = spec.default is MISSING and spec.default_factory is MISSING
        default = spec.default if spec.default_factory is MISSING else spec.default_factory()
        parameters.append(
            {
                "name": spec.name,
                "type": str(spec.type) if required else type(default).__name__,
                "default": None if required else _plain_default(default),
                "required": required,
            }
        )
    return {
        "name": name,
        "role": role,
        "summary": summary,
        "kinds": list(kind.kinds),
        "parameters": parameters,
        "cites": list(kind.cites),
        "claims": list(kind.claims),
        "chosen": chosen,
    }


def _plain_default(x: Any) -> Any:
    """A default that JSON knows: numbers, text and None as they are, the rest as Python shows it."""
    return x if x is None or isinstance(x, (bool, int, float, str)) else str(x) if isinstance(x, Fraction) else repr(x)


def _size(problem: MDP) -> str:
    return (
        f"{_count(problem.n_states, 'state')}, {_count(problem.n_pairs, 'pair')}, "
        f"{_count(problem.n_transitions, 'transition')}"
    )


def _goal(problem: MDP, text: str | None) -> str:
    if text is not None:
        return text
    reward = "" if problem.active in ("r", None) else f", reward {problem.active!r}"
    return f"{'minimize' if problem.minimize else 'maximize'} {problem.criterion}{reward}"


def _place(problem: MDP) -> str:
    """The initial state or law."""
    assert problem.rho is not None
    support = np.flatnonzero(problem.rho)
    return f"state {int(support[0])}" if len(support) == 1 else "the initial law"


def _text(value: float) -> str:
    return f"{value:.15g}"


def _short(rational: str) -> str:
    """A rational, or its beginning if it is long."""
    if len(rational) <= LONG:
        return rational
    p, _, q = rational.partition("/")
    below = f"/{q[:16]}…" if len(q) > 16 else f"/{q}" if q else ""
    return f"{p[:16]}…{below} ({len(p)} over {max(len(q), 1)} digits; all with --json)"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
