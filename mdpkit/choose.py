"""``mdpkit.solve``: a solver for the criterion and the size, said aloud, and a certified answer."""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, cast

import numpy as np

from mdpkit.errors import ModelError, OptionError, nearest
from mdpkit.kernels.graph import strong_components
from mdpkit.kernels.sparse import sp
from mdpkit.learner import Learner, View
from mdpkit.models.canonical import Canonical, canonical
from mdpkit.models.criterion import EntropyRegularized, TotalReward
from mdpkit.models.mdp import MDP
from mdpkit.reductions.communicating import communicating
from mdpkit.run import StopRule, run
from mdpkit.solution import Solution, Status
from mdpkit.solver import Estimator, Solver

__all__ = ["choose", "estimators", "learner", "learners", "method", "methods", "solve", "solve_many"]

DIRECT_STATES = 300
DIRECT_WORK = 2e10
SLOW = 0.999
EXACT_PAIRS = 5_000
SMALL_COMPONENT = 64
"""States of components up to which solving one after another was the fastest on large models: measured."""


def solve(
    mdp: MDP,
    solver: Solver | str | None = None,
    *,
    until: StopRule | None = None,
    max_steps: int | None = None,
    exact: bool = False,
    dyadic: bool = False,
    rng: np.random.Generator | None = None,
    progress: Callable[[int, float, float], None] | None = None,
) -> Solution:
    """Solve a planning problem and certify the answer.

    Parameters
    ----------
    mdp : MDP
        A model with a criterion.
    solver : Solver or str, optional
        A solver, or its name (``mdpkit methods`` lists them). Chosen by criterion and size if left out.
    until : StopRule
        ``Gap(rel=1e-9)`` by default: certified bounds closer than that.
    max_steps : int, optional
        Largest number of steps of an iterative solver.
    exact : bool
        Go on in rational arithmetic, to exact values with an exact certificate.
    dyadic : bool
        With ``exact``: take the model's floats as their bits.
    rng : numpy Generator, optional
        For randomized solvers.
    progress : (step, gap, goal) -> None, optional

    Returns
    -------
    Solution

    Raises
    ------
    ModelError, OptionError, UnsupportedError
        A model without criterion or rewards, an unknown solver, a solver for other problems.
    UndefinedValueError
        Where the total reward is undefined; the error's ``witness`` shows why.

    Examples
    --------
    >>> import numpy as np, mdpkit as mk
    >>> P = np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    >>> mdp = mk.MDP(P, np.array([[5.0, 10.0], [-1.0, -1.0]]), mk.Discounted("0.95"), rho=0)
    >>> sol = mk.solve(mdp, exact=True)
    >>> print(*sol.exact)
    -60/7 -20
    >>> bool(sol.certificate.verify(mdp))
    True
    """
    if not isinstance(mdp, MDP):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError("the first argument of solve is no model", found=type(mdp).__name__, needed="an mdpkit.MDP")
    if isinstance(solver, str):
        solver = method(solver)
    given = solver is not None
    if solver is None:
        solver, why = choose(mdp)
    else:
        why = "asked for"
    settings: dict[str, Any] = {"until": until, "max_steps": max_steps, "rng": rng, "progress": progress}
    solution = run(mdp, solver, exact=exact, dyadic=dyadic, why=why, **settings)
    rational = not isinstance(mdp.criterion, EntropyRegularized)
    if solution.status is Status.ROUNDING and not given and rational and mdp.n_pairs <= EXACT_PAIRS:
        try:
            again = run(
                mdp,
                solver,
                exact=True,
                why=f"{why}; float rounding forbids the gap, so in rationals (the model {exact_origin(mdp)})",
                **settings,
            )
        except ModelError:
            return solution
        return again
    return solution


def exact_origin(mdp: MDP) -> str:
    """What :meth:`MDP.exact` makes of a model."""
    return mdp.origin if mdp.is_exact else "rationalized"


def solve_many(problems: Any, solver: Solver | str | None = None, **settings: Any) -> list[Solution]:
    """Solve several models with the same settings; see :func:`solve`."""
    return [solve(mdp, solver, **settings) for mdp in problems]


def choose(mdp: MDP) -> tuple[Solver, str]:
    """A solver for the model, and why."""
    from mdpkit.solvers import dynamic_programming as dp

    p = canonical(mdp)
    size = f"{mdp.n_states:,} states"
    if p.kind == "finite":
        return dp.BackwardInduction(), "a finite horizon is one pass backward"
    if p.kind == "average":
        from mdpkit.solvers import average_reward as ar

        com = communicating(p)
        what = f"average reward, {com.kind}" + (f" ({com.n} classes)" if com.n > 1 else "") + f" with {size}"
        if mdp.n_states <= DIRECT_STATES or _elimination_work(p) <= DIRECT_WORK:
            return ar.MultichainPolicyIteration(), f"{what}: policies evaluated by factorization"
        return ar.RelativeValueIteration(), f"{what}, costly to factor: sweeps in each class"
    if p.kind == "regularized":
        from mdpkit.solvers import regularized_dp as soft

        what = f"entropy-regularized with {size}"
        slow = p.gamma.max() >= SLOW
        if mdp.n_states <= DIRECT_STATES or (slow and _elimination_work(p) <= DIRECT_WORK):
            return (
                soft.SoftPolicyIteration(),
                f"{what}: softmax policies evaluated by factorization, quadratic convergence",
            )
        return soft.SoftValueIteration(), f"{what}: soft sweeps cost less than factorizations"
    dense = mdp.P.dense is not None
    if mdp.n_states > DIRECT_STATES and not dense:
        largest = _largest_component(p)
        if largest <= SMALL_COMPONENT:
            what = "without cycles but loops" if largest == 1 else f"in components of at most {largest} states"
            return dp.TopologicalValueIteration(), f"{size} {what}: the last first"
    if p.kind == "total":
        what = "total reward" if isinstance(mdp.criterion, TotalReward) else "reachability"
        if _elimination_work(p) <= DIRECT_WORK:
            return dp.PolicyIteration(), f"{what} with {size}: policies evaluated by sparse factorization"
        return dp.IntervalIteration(), f"{what} with {size}, costly to factor: bounds swept from both sides"
    if mdp.n_states <= DIRECT_STATES:
        return dp.PolicyIteration(), f"{size}: policies evaluated by {'dense' if dense else 'sparse'} factorization"
    if not dense and p.gamma.max() >= SLOW and _elimination_work(p) <= DIRECT_WORK:
        return dp.PolicyIteration(), f"{size}, a discount close to one: policies evaluated by sparse factorization"
    return dp.ModifiedPolicyIteration(), f"{size}: sweeps cost less than factorizations"


def _largest_component(p: Canonical) -> int:
    """States of the largest strongly connected component."""
    label, _ = strong_components(p.graph)
    return int(np.bincount(label).max())


def _elimination_work(p: Canonical) -> float:
    """Multiplications that factoring I - P may take: the squared envelope widths in reverse Cuthill--McKee order."""
    S = p.n_states
    if p.P.dense is not None:
        return S**3 / 3
    csgraph: Any = import_module("scipy.sparse.csgraph")
    edges = (p.state[p.P.row_of], p.P.indices.astype(np.int64))
    pattern = sp.csr_matrix((np.ones(p.P.nnz, dtype=np.int8), edges), shape=(S, S))
    pattern = sp.csr_matrix(pattern + pattern.T)
    place = np.empty(S, dtype=np.int64)
    place[csgraph.reverse_cuthill_mckee(pattern, symmetric_mode=True)] = np.arange(S)
    entries = pattern.tocoo()
    first = np.arange(S)
    np.minimum.at(first, place[entries.row], place[entries.col])
    return float(np.sum((np.arange(S) - first).astype(np.float64) ** 2))


def methods(problem: Canonical | None = None) -> dict[str, type[Solver]]:
    """All solvers by name, found by walking ``mdpkit.solvers``; only those that accept ``problem`` if it is given."""
    found = cast("dict[str, type[Solver]]", _walked(Solver))
    return {name: kind for name, kind in found.items() if problem is None or kind().accepts(problem)}


def learners(view: View | None = None) -> dict[str, type[Learner[Any]]]:
    """All learners by name, found by walking ``mdpkit.solvers``; only those that play what ``view`` shows if it is given."""
    found = cast("dict[str, type[Learner[Any]]]", _walked(Learner))
    return {name: kind for name, kind in found.items() if view is None or kind().accepts(view)}


def estimators(problem: Canonical | None = None) -> dict[str, type[Estimator[Any]]]:
    """All estimators of the value of a policy by name; only those that accept ``problem`` if it is given."""
    found = cast("dict[str, type[Estimator[Any]]]", _walked(Estimator))
    return {name: kind for name, kind in found.items() if problem is None or kind().accepts(problem)}


def _walked(base: type) -> dict[str, type]:
    import mdpkit.solvers as rooms

    found: dict[str, type] = {}
    for info in pkgutil.walk_packages(rooms.__path__, "mdpkit.solvers."):
        module = import_module(info.name)
        for name in getattr(module, "__all__", ()):
            item = getattr(module, name)
            if inspect.isclass(item) and issubclass(item, base) and not inspect.isabstract(item):
                found[_snake(name)] = item
    return dict(sorted(found.items()))


def method(text: str) -> Solver:
    """A solver by name, with its parameters: ``"value_iteration"``, ``"modified_policy_iteration?sweeps=5"``.

    A name may be written without its underscores, as its initials (``"lsvi"``), or as the key of its paper (``"mac"``), where
    these belong to one solver.

    Raises
    ------
    OptionError
        Unknown name or parameter, with the nearest one.
    """
    return _read(text, methods(), "method")


def learner(text: str) -> Learner[Any]:
    """A learner by name, as :func:`method` reads names: ``"ucbvi"``, ``"ucbvi?bonus=bernstein&delta=0.05"``, ``"bobw-po"``.

    Raises
    ------
    OptionError
        Unknown name or parameter, with the nearest one.
    """
    return _read(text, learners(), "learner")


def estimator(text: str) -> Estimator[Any]:
    """An estimator by name, as :func:`method` reads names: ``"lstd"``, ``"temporal_differences?eta=0.1"``.

    Raises
    ------
    OptionError
        Unknown name or parameter, with the nearest one.
    """
    return _read(text, estimators(), "estimator")


def matches(name: str, known: Mapping[str, type]) -> list[str]:
    """Which of the known names ``name`` is: one, none, or the several that it is short for.

    Examples
    --------
    >>> matches("step-mix", learners()), matches("LSVI", methods()), matches("spg", methods())
    (['step_mix'], ['least_squares_value_iteration'], ['simultaneous_policy_gradient', 'softmax_policy_gradient'])
    """
    # Underscores are where a reader puts them: step_mix, stepmix and step-mix are one.
    plain = _plain(name)
    same = [each for each in known if _plain(each) == plain]
    if same:
        return same
    initials = [each for each, kind in known.items() if _initials(kind.__name__) == plain]
    if initials:
        return initials
    papers = {each: getattr(kind, "cites", ()) for each, kind in known.items()}
    return [each for each, keys in papers.items() if keys and _plain(keys[0]) == plain]


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "").replace("_", "")


def _initials(name: str) -> str:
    """Of words that are no acronyms the first letter: ``WeightedLeastSquaresMDVI`` is ``wlsmdvi``."""
    words: list[str] = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]+", name)
    return "".join(word if word.isupper() else word[0] for word in words).lower() if len(words) > 1 else ""


def _read(text: str, known: Mapping[str, Any], what: str) -> Any:
    name, _, query = text.partition("?")
    keys = matches(name, known)
    if not keys:
        raise OptionError(f"unknown {what} {name!r}", way_out=nearest(name.strip().replace("-", "_").lower(), known))
    if len(keys) > 1:
        raise OptionError(f"{what} {name!r} is short for several", needed=" or ".join(keys))
    kind = known[keys[0]]
    fields = {spec.name: spec for spec in dataclasses.fields(kind) if spec.init}
    values: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        parameter, equals, value = part.partition("=")
        if parameter not in fields:
            raise OptionError(f"{what} {name!r} has no parameter {parameter!r}", way_out=nearest(parameter, fields))
        known_type = cast("Any", fields[parameter].default).__class__
        if known_type is type(None):  # what may be left out says in its annotation what it is
            known_type = {"int": int, "float": float, "bool": bool}.get(
                str(fields[parameter].type).partition(" ")[0], str
            )
        try:
            if not equals:
                raise ValueError
            if known_type is bool:
                values[parameter] = {"true": True, "false": False}[value.lower()]
            elif known_type is tuple:
                values[parameter] = tuple(int(x) if x.isdigit() else float(x) for x in value.split(","))
            else:
                values[parameter] = known_type(value)
        except (ValueError, KeyError):
            raise OptionError(
                f"parameter {parameter!r} of {what} {name!r} does not read",
                found=value,
                needed=f"a value of type {known_type.__name__}",
            ) from None
    return kind(**values)


def _snake(name: str) -> str:
    out = ""
    for i, c in enumerate(name):
        out += ("_" if c.isupper() and i and not name[i - 1].isupper() else "") + c.lower()
    return out
