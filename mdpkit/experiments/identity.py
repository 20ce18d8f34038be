"""What problems and learners are: a digest and a description in plain types, by which stored results are told apart."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, cast

import numpy as np

from mdpkit.environment import Environment, environment_of
from mdpkit.errors import OptionError
from mdpkit.models.mdp import MDP
from mdpkit.models.sampling import initial_law
from mdpkit.solver import Method
from mdpkit.typing import Array

__all__ = ["described_method", "described_problem", "digest_of", "generator", "named", "slug"]


def digest_of(thing: Any) -> str:
    """SHA-256 of plain types, written as JSON."""
    return hashlib.sha256(json.dumps(thing, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def described_problem(problem: Any, rounds: int | None = None) -> dict[str, Any]:
    """An environment or model in plain types; ``"digest"`` is that of all its numbers.

    Parameters
    ----------
    problem : MDP or Environment
    rounds : int, optional
        How many rounds are played; what an adversary and delays do depends on it. Left out for planning.

    Examples
    --------
    >>> import mdpkit as mk
    >>> found = described_problem(mk.instances.make("riverswim").under(mk.FiniteHorizon(20)), 100)
    >>> found["criterion"], found["states"], len(found["digest"])
    ('FiniteHorizon(H=20)', 6, 64)
    """
    mdp: MDP = problem if rounds is None else environment_of(problem).base.mdp
    h = hashlib.sha256(mdp.digest.encode())
    if mdp.rho is not None:
        h.update(initial_law(mdp).tobytes())
    phi = getattr(mdp, "features", None)
    if phi is not None:
        h.update(np.ascontiguousarray(np.asarray(phi, dtype=np.float64)).tobytes())
    found: dict[str, Any] = {
        "criterion": str(mdp.criterion),
        "goal": "minimize" if mdp.minimize else "maximize",
        "states": mdp.n_states,
        "pairs": mdp.n_pairs,
    }
    if rounds is not None:
        environment = environment_of(problem)
        base = environment.base
        found |= {
            "noise": base.noise,
            "law": "known" if base.known else "unknown",
            "rewards": "adversarial" if environment.adversarial else "fixed",
            "delays": bool(len(environment.arrival(1))),
        }
        h.update(f"{base.noise}|{base.known}".encode())
        if environment.adversarial:
            h.update(np.ascontiguousarray(environment.tables).tobytes())
            h.update(np.ascontiguousarray(environment.which(rounds)).tobytes())
        h.update(np.ascontiguousarray(environment.arrival(rounds)).tobytes())
    return found | {"digest": h.hexdigest()}


def described_method(method: Any) -> dict[str, Any]:
    """A learner or solver in plain types: its class and all its parameters.

    Raises
    ------
    OptionError
        For a parameter that has no description of its own.

    Examples
    --------
    >>> import mdpkit as mk
    >>> described_method(mk.solvers.exploration.UCBVI(scale=0.5))
    {'class': 'UCBVI', 'parameters': {'bonus': 'hoeffding', 'delta': 0.1, 'scale': 0.5}}
    """
    fields = [spec for spec in dataclasses.fields(method) if spec.init]
    return {
        "class": type(method).__qualname__,
        "parameters": {spec.name: _plain(getattr(method, spec.name), spec.name) for spec in fields},
    }


def _plain(value: Any, name: str) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, np.generic):
        return _plain(value.item(), name)
    if isinstance(value, np.ndarray):
        array: Array = np.asarray(cast("Array", value), order="C")
        if array.dtype == object:
            return [_plain(entry, name) for entry in array.ravel().tolist()]
        return f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"
    if isinstance(value, MDP):
        return f"MDP {value.digest[:16]}"
    if isinstance(value, Environment):
        raise OptionError(f"the parameter {name!r} holds an environment", needed="numbers, texts, arrays or functions")
    if isinstance(value, Mapping):
        entries = cast("Mapping[Any, Any]", value)
        return {str(key): _plain(entries[key], name) for key in sorted(entries, key=str)}
    if isinstance(value, Sequence):
        return [_plain(entry, name) for entry in cast("Sequence[Any]", value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {spec.name: _plain(getattr(value, spec.name), name) for spec in dataclasses.fields(value) if spec.init}
        return {"class": type(value).__qualname__, "parameters": parts}
    if callable(value) and "<lambda>" not in (text := getattr(value, "__qualname__", "<lambda>")):
        return f"{value.__module__}.{text}"
    text = repr(value)
    if " at 0x" in text:
        raise OptionError(
            f"the parameter {name!r} cannot be told apart from others in stored results",
            found=text,
            needed="numbers, texts, arrays, named functions or dataclasses of them",
        )
    return text


def generator(root: int, problem: Mapping[str, Any], seed: int) -> np.random.Generator:
    """The generator of a cell: from the root seed, the problem and the number of the seed, and nothing else.

    Learners of a problem share it: what :func:`mdpkit.play` spawns for the environment is the same for all of them.
    """
    words = [int(problem["digest"][i : i + 8], 16) for i in range(0, 32, 8)]
    return np.random.default_rng(np.random.SeedSequence(root, spawn_key=(*words, seed)))


def named(things: Any, kinds: tuple[type, ...], what: str) -> dict[str, Any]:
    """One thing, a sequence or a mapping of them, by label; texts are their own labels, methods are called by their class.

    Raises
    ------
    OptionError
        If there is none, or two have one label.
    """
    if isinstance(things, Mapping):
        found: dict[str, Any] = {str(label): thing for label, thing in cast("Mapping[Any, Any]", things).items()}
    else:
        alone = isinstance(things, (str, *kinds))
        if not alone and not isinstance(things, Iterable):
            raise OptionError(
                f"this is no {what}", found=repr(things)[:60], needed=f"one, a sequence or a mapping of {what}s"
            )
        entries: list[Any] = [things] if alone else list(cast("Iterable[Any]", things))
        labels = [_label(entry, k, what) for k, entry in enumerate(entries)]
        twice = {label for label in labels if labels.count(label) > 1}
        if twice:
            raise OptionError(
                f"two {what}s are called {min(twice)!r}", needed="different ones", way_out="a mapping gives them labels"
            )
        found = dict(zip(labels, entries, strict=True))
    if not found:
        raise OptionError(f"there is no {what}", needed="at least one")
    return found


def _label(entry: Any, k: int, what: str) -> str:
    if isinstance(entry, str):
        return entry.removeprefix("instance:")
    if isinstance(entry, Method):
        given = [
            f"{spec.name}={getattr(entry, spec.name)}"
            for spec in dataclasses.fields(entry)
            if spec.init and getattr(entry, spec.name) != spec.default and spec.default is not dataclasses.MISSING
        ]
        return type(entry).__name__ + (f"({', '.join(given)})" if given else "")
    return f"{what} {k}" if k else what


def slug(label: str, digest: str) -> str:
    """A folder's name: the label as far as file systems like it, and the beginning of the digest."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.")[:48]
    return f"{plain or 'cell'}-{digest[:10]}"
