"""The registry of instances: typed parameters, known answers, and text such as ``riverswim?variant=ucrl2``."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints
from urllib.parse import unquote

import numpy as np

from mdpkit.errors import MDPError, OptionError, nearest
from mdpkit.kernels.rational import rationalize, to_fraction
from mdpkit.models.mdp import MDP

__all__ = ["Instance", "Known", "Parameter", "info", "instance", "make", "names", "parse"]

Criteria = Literal["discounted", "finite-horizon", "total", "reachability", "average"]

TRUE = ("true", "yes", "on", "1")
FALSE = ("false", "no", "off", "0")
BOOLEANS: Any = (bool, np.bool_)
INTEGERS: Any = (int, np.integer)
FLOATS: Any = (float, np.floating)


@dataclass(frozen=True)
class Known:
    """An answer known for one choice of the parameters.

    Attributes
    ----------
    params : mapping
        Parameters that differ from the defaults.
    criterion : str
        ``discounted``, ``finite-horizon``, ``total``, ``reachability`` or ``average``. It need not be the model's own.
    quantity : str
        ``"V"`` (all states), ``"V(3)"`` (one of them), ``"gain"`` (one number, or one for each state), ``"gain(3)"``,
        ``"bias"``, ``"policy"`` (an optimal action id for each state), or these in words: ``"V at stage 1"``, ``"V of
        the uniform policy"``.
    value : Fraction or tuple
        The number or numbers; a published decimal is given as printed; infinity is the float.
    source : str
        Where it stands, or how it was found.
    tolerance : Fraction
        Half a unit of the last digit printed; zero where the value is exact.
    """

    params: Mapping[str, Any]
    criterion: Criteria
    quantity: str
    value: Any
    source: str
    tolerance: Fraction = Fraction(0)

    @property
    def exact(self) -> bool:
        """Whether the value is exact."""
        return self.tolerance == 0

    def as_dict(self) -> dict[str, Any]:
        """Plain types for JSON: rationals as text."""
        return {
            "params": {key: _plain(value) for key, value in self.params.items()},
            "criterion": self.criterion,
            "quantity": self.quantity,
            "value": _plain(self.value),
            "exact": self.exact,
            "tolerance": _plain(self.tolerance),
            "source": self.source,
        }


@dataclass(frozen=True)
class Parameter:
    """A parameter of an instance.

    Attributes
    ----------
    name : str
    type : str
        ``"integer"``, ``"number"`` (kept as a rational), ``"boolean"``, ``"text"`` or ``"choice"``.
    required : bool
    default : object
        ``None`` where the parameter is required.
    choices : tuple of str
        The choices, where the type is ``"choice"``.
    """

    name: str
    type: str
    required: bool
    default: Any = None
    choices: tuple[str, ...] = ()

    def read(self, value: Any, where: str) -> Any:
        """Convert a value, or the text of one, to the parameter's type.

        Raises
        ------
        OptionError
            If it has another type or is none of the choices: says which is needed.
        """
        what = f"parameter {self.name!r} of {where}"
        if self.type == "integer":
            return _read_integer(value, what)
        if self.type == "number":
            return read_number(value, what)
        if self.type == "boolean":
            return _read_boolean(value, what)
        if not isinstance(value, str):
            raise OptionError(f"{what} is no text", found=_shown(value), needed="text")
        if self.type == "choice" and value not in self.choices:
            raise OptionError(
                f"{what} is none of the choices",
                found=_shown(value),
                needed="one of " + ", ".join(self.choices),
                way_out=nearest(value, self.choices),
            )
        return value

    def as_dict(self) -> dict[str, Any]:
        """Plain types for JSON: rationals as text."""
        return {
            "name": self.name,
            "type": self.type,
            "required": self.required,
            "default": _plain(self.default),
            "choices": list(self.choices),
        }


@dataclass(frozen=True)
class Instance:
    """A named problem, or a generator of problems.

    Attributes
    ----------
    name, summary, description : str
        ``summary`` is the first line of the description.
    source : str
        Where the problem comes from.
    parameters : tuple of Parameter
    known : tuple of Known
        Answers, each with its source.
    example : mapping
        Parameters of a small instance; empty where the defaults make one.
    """

    name: str
    summary: str
    description: str
    source: str
    parameters: tuple[Parameter, ...]
    known: tuple[Known, ...]
    example: Mapping[str, Any]
    build: Callable[..., MDP] = field(repr=False)

    def make(self, params: Mapping[str, Any]) -> MDP:
        """Check and convert the parameters, and build the model."""
        where = f"instance {self.name!r}"
        by_name = {parameter.name: parameter for parameter in self.parameters}
        for key in params:
            if key not in by_name:
                raise OptionError(f"{where} has no parameter {key!r}", way_out=nearest(key, by_name))
        for parameter in self.parameters:
            if parameter.required and parameter.name not in params:
                given = "&".join(f"{p.name}=…" for p in self.parameters if p.required)
                raise OptionError(
                    f"{where} needs a value for parameter {parameter.name!r}",
                    needed=f"{parameter.name}=<{parameter.type}>",
                    way_out=f"{self.name}?{given}",
                )
        return self.build(**{key: by_name[key].read(value, where) for key, value in params.items()})

    def as_dict(self) -> dict[str, Any]:
        """Plain types for JSON: rationals as text."""
        return {
            "name": self.name,
            "summary": self.summary,
            "source": self.source,
            "parameters": [parameter.as_dict() for parameter in self.parameters],
            "known": [known.as_dict() for known in self.known],
        }


_REGISTRY: dict[str, Instance] = {}


def instance(
    name: str, *, source: str, known: Sequence[Known] = (), example: Mapping[str, Any] | None = None
) -> Callable[[Callable[..., MDP]], Callable[..., MDP]]:
    """Register a function of typed keyword parameters as the instance ``name``.

    Parameters
    ----------
    name : str
        In lower case, words joined by hyphens.
    source : str
        Publication and section, or what was chosen here.
    known : sequence of Known
    example : mapping, optional
        Parameters of a small instance, needed where a parameter has no default.

    The annotations are ``int``, ``Fraction`` (any number), ``bool``, ``str`` or a ``Literal`` of texts; ranges are
    checked by the function itself.
    """

    def register(build: Callable[..., MDP]) -> Callable[..., MDP]:
        if name in _REGISTRY:
            raise OptionError(f"there are two instances of the name {name!r}")
        description = inspect.cleandoc(build.__doc__ or "")
        _REGISTRY[name] = Instance(
            name=name,
            summary=description.partition("\n")[0].rstrip("."),
            description=description,
            source=source,
            parameters=_parameters(build),
            known=tuple(known),
            example=MappingProxyType(dict(example or {})),
            build=build,
        )
        return build

    return register


def names() -> list[str]:
    """Names of all instances, in alphabetical order."""
    return sorted(_REGISTRY)


def info(name: str) -> Instance:
    """What is known about an instance: source, parameters, answers.

    Raises
    ------
    OptionError
        If the name is unknown (with the nearest one).
    """
    if name not in _REGISTRY:
        raise OptionError(f"unknown instance {_shown(name)}", way_out=nearest(name, _REGISTRY))
    return _REGISTRY[name]


def parse(text: str) -> tuple[str, dict[str, str]]:
    """Split ``name?key=value&key=value`` into the name and the texts of its parameters, percent-decoded.

    A leading ``instance:`` is allowed. Names and values are not checked here: :func:`make` does that.

    Raises
    ------
    OptionError
        If a part has no ``=``, a key is empty or comes twice, or a percent sign is not followed by two hex digits.

    Examples
    --------
    >>> parse("riverswim?variant=ucrl2&gamma=19%2F20")
    ('riverswim', {'variant': 'ucrl2', 'gamma': '19/20'})
    """
    name, mark, query = text.removeprefix("instance:").partition("?")
    name = _decoded(name, text).strip()
    if not name:
        raise OptionError("the instance has no name", found=_shown(text), needed="name?key=value&key=value")
    params: dict[str, str] = {}
    for part in query.split("&") if mark and query else []:
        key, equals, value = part.partition("=")
        key = _decoded(key, text).strip()
        if not equals or not key:
            raise OptionError(
                f"a parameter of instance {name!r} does not read as key=value",
                found=_shown(part),
                needed="name?key=value&key=value",
                way_out="write % as %25 and & as %26 within a value",
            )
        if key in params:
            raise OptionError(
                f"parameter {key!r} of instance {name!r} is given twice", found=_shown(text), needed="once"
            )
        params[key] = _decoded(value, text)
    return name, params


def make(name: str, /, **params: Any) -> MDP:
    """Build an instance.

    Parameters
    ----------
    name : str
        A name, or text such as ``"riverswim?variant=ucrl2"``.
    **params
        Its parameters; text is converted. Numbers stay exact: a float is read as the rational with small denominator
        next to it (0.9 is 9/10), else by its bits.

    Raises
    ------
    OptionError
        An unknown instance or parameter (with the nearest name), a missing one, a wrong type, a value out of range.
    SizeError
        If the model would not fit in memory.

    Examples
    --------
    >>> make("forest", S=4, gamma="0.96")
    MDP(4 states, 8 pairs, 12 transitions; maximize Discounted(gamma=0.96); exact (as given))
    """
    base, given = parse(name)
    twice = given.keys() & params.keys()
    if twice:
        raise OptionError(f"parameter {min(twice)!r} of instance {base!r} is given twice", needed="once")
    return info(base).make({**given, **params})


def in_range(name: str, value: Any, low: Any = None, high: Any = None, *, open_low: bool = False) -> None:
    """Raise :class:`OptionError` unless ``low <= value <= high`` (``low < value`` if ``open_low``)."""
    if (low is None or value > low or (value == low and not open_low)) and (high is None or value <= high):
        return
    left = "" if low is None else f"{low} {'<' if open_low else '<='} "
    right = "" if high is None else f" <= {high}"
    raise OptionError(f"parameter {name!r} is out of range", found=_shown(value), needed=f"{left}{name}{right}")


def _parameters(build: Callable[..., MDP]) -> tuple[Parameter, ...]:
    hints = get_type_hints(build)
    out: list[Parameter] = []
    for name, parameter in inspect.signature(build).parameters.items():
        hint = hints.get(name)
        choices: tuple[str, ...] = ()
        kinds: dict[Any, str] = {bool: "boolean", int: "integer", Fraction: "number", str: "text"}
        if get_origin(hint) is Literal:
            kind, choices = "choice", tuple(str(choice) for choice in get_args(hint))
        elif hint in kinds:
            kind = kinds[hint]
        else:
            raise OptionError(
                f"parameter {name!r} of {build.__name__} has no type the registry knows",
                found=hint,
                needed="int, Fraction, bool, str or a Literal of texts",
            )
        required = parameter.default is inspect.Parameter.empty
        out.append(Parameter(name, kind, required, None if required else parameter.default, choices))
    return tuple(out)


def _read_integer(value: Any, what: str) -> int:
    if isinstance(value, INTEGERS) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d{1,40}\s*", value):
        return int(value)
    raise OptionError(f"{what} is no integer", found=_shown(value), needed="an integer, such as 6")


def read_number(value: Any, what: str) -> Fraction:
    """A number, or the text of one, as a rational; a float is the one with small denominator next to it.

    Raises
    ------
    OptionError
        If it is no finite number: begins with ``what``.
    """
    if isinstance(value, BOOLEANS):
        raise OptionError(f"{what} is no number", found=_shown(value), needed="a number, such as 19/20 or 0.95")
    try:
        return rationalize(float(value)) if isinstance(value, FLOATS) else to_fraction(value)
    except MDPError as error:
        raise OptionError(
            f"{what} is no number", found=_shown(value), needed="a finite number, such as 19/20, 0.95 or 1e-3"
        ) from error


def _read_boolean(value: Any, what: str) -> bool:
    if isinstance(value, BOOLEANS):
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in TRUE + FALSE:
        return value.strip().lower() in TRUE
    raise OptionError(f"{what} is no boolean", found=_shown(value), needed="true or false")


def _decoded(part: str, text: str) -> str:
    bad = re.search(r"%(?![0-9A-Fa-f]{2})", part)
    try:
        if bad is None:
            return unquote(part, errors="strict")
    except UnicodeDecodeError:
        pass
    raise OptionError(
        "a percent sign of the instance's text begins no character",
        found=_shown(text),
        needed="%XX with two hex digits, UTF-8",
        way_out="write % itself as %25",
    )


def _shown(value: Any) -> str:
    text = repr(str(value)) if isinstance(value, Fraction) else repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(entry) for entry in cast("tuple[Any, ...]", value)]
    return str(value) if isinstance(value, Fraction) or value in (math.inf, -math.inf) else value
