"""Faults that every claim about code should notice: the generic mutations, applied wherever they apply.

A fault changes the problem that the solver sees, a parameter of the solver, or a function that the solver calls, and only
while the solver's own code runs. It *applies* to a claim if it changed something on the way: the problem, a parameter, or a
value returned to the solver. It is *killed* if the claim is then refuted, or if the solver breaks down.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, cast

import numpy as np

from mdpkit.models.mdp import MDP

__all__ = ["GENERIC", "Fault", "Probe", "generic"]

Wrapper = Callable[[Callable[..., Any]], Callable[..., Any]]


class Fault:
    """No fault: the base of the others."""

    name = "none"

    def __init__(self) -> None:
        self.touched = False
        self._places: list[tuple[Any, str, Any, Any]] | None = None

    def problem(self, mdp: MDP) -> MDP:
        """The model as the solver sees it."""
        return mdp

    def solver(self, solver: Any) -> Any:
        """The solver with another parameter."""
        return solver

    def skipped(self) -> int:
        """How many states are dropped at the start."""
        return 0

    def patches(self) -> dict[tuple[str, str], Wrapper]:
        """``(module, name)`` of functions, or ``(module, "Class.method")``, and what is put around them."""
        return {}

    def reaches(self, probe: Probe) -> bool:
        """Whether the fault can change anything in a run that went as ``probe`` saw it."""
        return True

    def _find(self) -> list[tuple[Any, str, Any, Any]]:
        found: list[tuple[Any, str, Any, Any]] = []
        for (module, path), wrapper in self.patches().items():
            home = sys.modules.get(module)
            if home is None:  # never imported, so never called
                continue
            *owner, attribute = path.split(".")
            place = getattr(home, owner[0]) if owner else home
            original = getattr(place, attribute)
            changed = wrapper(original)
            found.append((place, attribute, original, changed))
            if owner:
                continue
            for name, other in list(sys.modules.items()):
                if name.startswith("mdpkit.") and other is not home and not name.startswith("mdpkit.claims"):
                    found += [
                        (other, key, original, changed) for key, value in list(vars(other).items()) if value is original
                    ]
        return found

    @contextmanager
    def installed(self) -> Generator[None]:
        """The patches in place; reentrant."""
        if self._places is None:
            self._places = self._find()
        before = [(place, name, getattr(place, name)) for place, name, _, _ in self._places]
        for place, name, _, changed in self._places:
            setattr(place, name, changed)
        try:
            yield
        finally:
            for place, name, value in before:
                setattr(place, name, value)

    def replaced(self, function: Any) -> Any:
        """The patched form of a function that was looked up before the patches were in place."""
        for _, _, original, changed in self._places or ():
            if function is original:
                return changed
        return function

    def _noted(self, right: Any, wrong: Any) -> Any:
        """The wrong value, noting whether it differs from the right one."""
        if not self.touched:
            self.touched = _differs(right, wrong)
        return wrong


def _differs(x: Any, y: Any) -> bool:
    if isinstance(x, tuple):
        both = cast("tuple[Any, ...]", x)
        return any(_differs(a, b) for a, b in zip(both, y, strict=True))
    a, b = np.asarray(x), np.asarray(y)
    if a.shape != b.shape:
        return True
    if a.dtype == object or b.dtype == object:
        return any(not (p == q or _overlap(p, q)) for p, q in zip(a.flat, b.flat, strict=True))
    return not np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _overlap(p: Any, q: Any) -> bool:
    return hasattr(p, "overlaps") and hasattr(q, "overlaps") and p.overlaps(q)


class Probe(Fault):
    """No fault, but a record of what a run asks for: a problem, parameters of solvers, iterates, functions."""

    name = "probe"

    def __init__(self) -> None:
        super().__init__()
        self.posed = self.iterated = False
        self.fields: set[str] = set()
        self.called: set[tuple[str, str]] = set()

    def problem(self, mdp: MDP) -> MDP:
        """The model, unchanged."""
        self.posed = True
        return mdp

    def solver(self, solver: Any) -> Any:
        """The solver, unchanged; the names of its parameters are noted, and those of rules among them."""
        if dataclasses.is_dataclass(solver):
            for each in dataclasses.fields(solver):
                self.fields.add(each.name)
                value = getattr(solver, each.name)
                if dataclasses.is_dataclass(value) and not isinstance(value, type):
                    self.solver(value)
        return solver

    def skipped(self) -> int:
        """None."""
        self.iterated = True
        return 0

    def patches(self) -> dict[tuple[str, str], Wrapper]:
        """All functions that some fault changes, which are called as they are."""
        targets = {target for kind in GENERIC for target in kind().patches()}
        return {target: self._counted(target) for target in sorted(targets)}

    def _counted(self, target: tuple[str, str]) -> Wrapper:
        def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*arguments: Any, **options: Any) -> Any:
                self.called.add(target)
                return original(*arguments, **options)

            return counted

        return wrapper


class _OfProblem(Fault):
    def reaches(self, probe: Probe) -> bool:
        """Where a problem is posed."""
        return probe.posed


class OtherDiscount(_OfProblem):
    """The discount factor is (1 + gamma)/2."""

    name = "discount (1+γ)/2"

    def problem(self, mdp: MDP) -> MDP:
        """The model with the fault."""
        c = mdp.criterion
        if c is None or not hasattr(c, "gamma"):
            return mdp
        exact = getattr(c, "exact", None)
        gamma = cast(Any, c).gamma if exact is None else exact
        new: Any = (1 + gamma) / 2
        if not np.any(np.asarray(new) != np.asarray(gamma)):
            return mdp
        self.touched = True
        kept = {
            spec.name: exact
            for spec in dataclasses.fields(c)
            if spec.init and (exact := getattr(c, f"{spec.name}_exact", None)) is not None
        }
        return mdp.under(dataclasses.replace(c, **{**kept, "gamma": new}))


class Transposed(_OfProblem):
    """The transition matrix of each action is transposed, its rows divided by their sums."""

    name = "transposed P"

    def problem(self, mdp: MDP) -> MDP:
        """The model with the fault."""
        if mdp.stages is not None or mdp.active is None:
            return mdp
        S, L = mdp.n_states, mdp.n_pairs
        dense = _dense(mdp)
        other = dense.copy()
        full = L == S * mdp.n_actions
        for a in range(mdp.n_actions):
            rows = np.flatnonzero(mdp.action == a)
            if full:
                block = dense[rows].T.copy()
                sums = block.sum(axis=1)
                empty = np.flatnonzero(sums == 0)
                block[empty, empty], sums[empty] = 1, 1
                other[rows] = block / sums[:, None]
            else:  # not every action everywhere: the next states in reverse order
                other[rows] = dense[rows][:, ::-1]
        if not _differs(dense, other):
            return mdp
        self.touched = True
        reward = mdp.reward.exact if mdp.reward.exact is not None else mdp.r
        return MDP(
            other, reward, mdp.criterion, state=mdp.state, action=mdp.action, rho=_rho(mdp), minimize=mdp.minimize
        )


class ShiftedRewards(_OfProblem):
    """Each pair is paid the reward of the next one."""

    name = "rewards of the next pair"

    def problem(self, mdp: MDP) -> MDP:
        """The model with the fault."""
        if mdp.stages is not None or mdp.active is None:
            return mdp
        reward = np.asarray(mdp.reward.exact if mdp.reward.exact is not None else mdp.r)
        other = np.roll(reward, -1)
        if not _differs(reward, other):
            return mdp
        self.touched = True
        return MDP(
            _dense(mdp), other, mdp.criterion, state=mdp.state, action=mdp.action, rho=_rho(mdp), minimize=mdp.minimize
        )


def _dense(mdp: MDP) -> Any:
    exact = mdp.P.exact is not None
    rows: Any = np.full((mdp.n_pairs, mdp.n_states), Fraction(0) if exact else 0.0, dtype=object if exact else float)
    rows[mdp.P.row_of, mdp.P.indices.astype(np.int64)] = mdp.P.rationals() if exact else mdp.P.data
    return rows


def _rho(mdp: MDP) -> Any:
    return mdp.rho if mdp.rho_exact is None else mdp.rho_exact


class Scaled(Fault):
    """A step size or a temperature times a factor."""

    field, factor = "eta", Fraction(2)

    def reaches(self, probe: Probe) -> bool:
        """Where a solver has the parameter."""
        return self.field in probe.fields

    def solver(self, solver: Any) -> Any:
        """The solver with the fault."""
        if solver is None:
            return None
        value = getattr(solver, self.field, None)
        if value is None or isinstance(value, bool):
            return solver
        if dataclasses.is_dataclass(value) and not isinstance(value, type):  # a rule of step sizes
            new: Any = self.solver(value)
        elif isinstance(value, (int, float, Fraction)) and value != 0:
            new = self.factor * value if not isinstance(value, float) else float(self.factor) * value
        else:
            return solver
        try:
            changed = dataclasses.replace(solver, **{self.field: new})
        except (ValueError, TypeError):  # the factor leads out of the parameter's range
            return solver
        self.touched = self.touched or new != value
        return changed


def _scaled(field: str, factor: Fraction, name: str) -> type[Scaled]:
    return type("Scaled", (Scaled,), {"field": field, "factor": factor, "name": name})


class OffByOne(Fault):
    """The first state is dropped, so that state k is called k - 1."""

    name = "off by one in k"

    def reaches(self, probe: Probe) -> bool:
        """Where iterates are asked for."""
        return probe.iterated

    def skipped(self) -> int:
        """One."""
        self.touched = True
        return 1


class _Patched(Fault):
    targets: tuple[tuple[str, str], ...] = ()

    def reaches(self, probe: Probe) -> bool:
        """Where one of the functions is called."""
        return not probe.called.isdisjoint(self.targets)

    def patches(self) -> dict[tuple[str, str], Wrapper]:
        """The functions with the fault."""
        return {target: self._wrapper for target in self.targets}

    def _wrapper(self, original: Callable[..., Any]) -> Callable[..., Any]:
        raise NotImplementedError


class Stale(_Patched):
    """Action values, or the values of policies, are those of the call before."""

    name = "stale values"
    targets = (
        ("mdpkit.kernels.reference", "q_values"),
        ("mdpkit.kernels.occupancy", "evaluate"),
        ("mdpkit.kernels.optimism", "expected"),
        ("mdpkit.operators.bellman", "Sweeper.backup"),
    )

    def _wrapper(self, original: Callable[..., Any]) -> Callable[..., Any]:
        last: list[Any] = []

        def stale(*arguments: Any, **options: Any) -> Any:
            value = original(*arguments, **options)
            before = last[0] if last and _alike(last[0], value) else value
            last[:] = [value]
            return self._noted(value, before)

        return stale


def _first(x: Any) -> Any:
    return cast("tuple[Any, ...]", x)[0] if isinstance(x, tuple) else x


def _alike(x: Any, y: Any) -> bool:
    """Whether two values have one shape and one kind of numbers: a check may run in balls and then in Fractions."""
    a, b = np.asarray(_first(x)), np.asarray(_first(y))
    return a.shape == b.shape and (a.size == 0 or type(a.flat[0]) is type(b.flat[0]))


class ArgMin(_Patched):
    """Minima and minimizers in place of maxima and maximizers."""

    name = "argmin for argmax"
    targets = (
        ("mdpkit.kernels.reference", "best"),
        ("mdpkit.kernels.reference", "greedy"),
        ("mdpkit.kernels.reference", "greedy_stable"),
        ("mdpkit.kernels.optimism", "greedy"),
        ("mdpkit.operators.bellman", "Sweeper.backup"),
        ("mdpkit.operators.bellman", "Sweeper.gauss_seidel"),
    )

    def patches(self) -> dict[tuple[str, str], Wrapper]:
        """The functions with the fault."""
        return {target: self._sweeper if target[1].startswith("Sweeper") else self._negated for target in self.targets}

    nested = False
    """Whether one of the functions is being called by another: a minimum of a minimum would be the maximum again."""

    def _negated(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def least(q: Any, *arguments: Any, **options: Any) -> Any:
            if self.nested:
                return original(q, *arguments, **options)
            self.nested = True
            try:
                right = original(q, *arguments, **options)
                wrong = original(-q, *arguments, **options)
            finally:
                self.nested = False
            # What holds values is turned back; pairs are kept.
            if isinstance(right, tuple):
                return self._noted(right, (-wrong[0], *wrong[1:]))
            return self._noted(right, -wrong if np.asarray(right).dtype == np.asarray(q).dtype else wrong)

        return least

    def _sweeper(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def least(sweeper: Any, V: Any) -> Any:
            right = original(sweeper, V)
            other = dataclasses.replace(sweeper, problem=dataclasses.replace(sweeper.problem, r=-sweeper.problem.r))
            value, choice, low, high = original(other, -V)
            return self._noted(right, (-value, choice, -high, -low))

        return least


class NoBonus(_Patched):
    """Bonuses for what is uncertain are zero."""

    name = "dropped bonus"
    targets = (
        ("mdpkit.kernels.optimism", "hoeffding_bonus"),
        ("mdpkit.kernels.optimism", "bernstein_bonus"),
        ("mdpkit.kernels.extended", "law_width"),
        ("mdpkit.kernels.extended", "reward_width"),
        ("mdpkit.kernels.q_learning", "step_bonus"),
        ("mdpkit.kernels.optimistic_least_squares", "bonus"),
        ("mdpkit.kernels.policy_optimization", "delay_bonus"),
        ("mdpkit.kernels.policy_optimization", "leader_bonus"),
    )

    def _wrapper(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def dropped(*arguments: Any, **options: Any) -> Any:
            right = original(*arguments, **options)
            return self._noted(right, right * 0)

        return dropped


class SwappedKL(_Patched):
    """The arguments of relative entropies are swapped."""

    name = "swapped KL arguments"
    targets = (("mdpkit.kernels.softmax", "relative_entropy"),)

    def _wrapper(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def swapped(pi: Any, log_pi: Any, log_other: Any, pair_ptr: Any) -> Any:
            right = original(pi, log_pi, log_other, pair_ptr)
            with np.errstate(divide="ignore", invalid="ignore"):
                return self._noted(right, original(np.exp(log_other), log_other, log_pi, pair_ptr))

        return swapped


class NoEntropy(_Patched):
    """Entropies and relative entropies count nothing."""

    name = "dropped entropy term"
    targets = (("mdpkit.kernels.softmax", "relative_entropy"), ("mdpkit.kernels.softmax", "entropy"))

    def _wrapper(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def dropped(*arguments: Any) -> Any:
            right = original(*arguments)
            return self._noted(right, right * 0)

        return dropped


class InitialForVisits(_Patched):
    """The initial law in place of the discounted visits."""

    name = "ρ for the visits"
    targets = (("mdpkit.kernels.occupancy", "visits"),)

    def _wrapper(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def initial(P: Any, gamma: Any, pi: Any, pair_ptr: Any, rho: Any) -> Any:
            right = original(P, gamma, pi, pair_ptr, rho)
            return self._noted(right, rho / (1 - gamma[0]))

        return initial


GENERIC: tuple[type[Fault], ...] = (
    OtherDiscount,
    Transposed,
    ShiftedRewards,
    _scaled("eta", Fraction(2), "η → 2η"),
    _scaled("eta", Fraction(1, 2), "η → η/2"),
    _scaled("tau", Fraction(2), "τ → 2τ"),
    OffByOne,
    Stale,
    ArgMin,
    NoBonus,
    SwappedKL,
    NoEntropy,
    InitialForVisits,
)


def generic() -> list[Fault]:
    """The generic faults, new ones each time: some have a memory."""
    return [kind() for kind in GENERIC]
