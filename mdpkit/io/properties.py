"""Properties in PRISM's syntax on labeled models: text to masks over states.

A property is ``P`` or ``R{"name"}``, then ``min`` or ``max``, then ``=?`` or a bound, then a path formula in brackets.
At every operand position the model's own labels are tried first (the longest match; white space and redundant
parentheses are ignored), and only then ``( ) ! & | => <=> true false "label"``. Exported models need this: there
``((s1 = 12) & (s2 = 12))`` is one label whose halves are none.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mdpkit.errors import ModelError, OptionError, PropertyError, nearest

__all__ = ["Property", "label_expression", "parse_property"]

Mask = NDArray[np.bool_]
Optimize = Literal["min", "max"]
PathKind = Literal["reach", "until", "globally", "next"]

PATHS = "F a, F<=k a, a U b, a U<=k b, G a, G<=k a, X a, where a and b are state formulas"
OPERANDS = 'a label, (, !, true, false or "label"'
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}


@dataclass(frozen=True, eq=False)
class Property:
    """A checked property of a labeled model.

    Parameters
    ----------
    text : str
        The property as it was given.
    kind : {"P", "R"}
        Probability of a path formula, or expected reward until a target.
    optimize : {"min", "max"}
        Over policies; for a bound without min or max the side that makes it hold for all policies.
    reward : str or None
        The reward structure of an R property.
    bound : (str, Fraction) or None
        One of ``>= > <= <`` and the threshold; None for ``=?``.
    path : {"reach", "until", "globally", "next"}
        F, U, G and X.
    left : (S,) bool or None
        a in ``a U b``.
    right : (S,) bool
        The target, or the operand of G and X.
    steps : int or None
        k in ``F<=k``, ``U<=k``, ``G<=k``; None without a bound on steps.
    """

    text: str
    kind: Literal["P", "R"]
    optimize: Optimize
    reward: str | None
    bound: tuple[str, Fraction] | None
    path: PathKind
    left: Mask | None
    right: Mask
    steps: int | None

    def holds(self, lower: Any, upper: Any = None) -> bool | None:
        """Decide the bound from certified bounds of the value; None where they do not decide it.

        Parameters
        ----------
        lower, upper : Fraction, int or float
            Bounds on the value, compared exactly; without ``upper``, ``lower`` is the exact value.

        Raises
        ------
        OptionError
            If the property has no bound, a bound is not a number, or the bounds cross.

        Examples
        --------
        >>> a = {"a": np.array([True])}
        >>> parse_property("P>=1/2 [F a]", labels=a, n_states=1, rewards=[]).holds(Fraction(1, 3), Fraction(2, 3))
        """
        if self.bound is None:
            raise OptionError(
                "the property asks for a value and has no bound to decide",
                found=self.text,
                needed="a bound such as >=1",
            )
        low = _number(lower, "lower")
        high = low if upper is None else _number(upper, "upper")
        if low > high:
            raise OptionError("the bounds of the value cross", found=f"[{lower}, {upper}]", needed="lower <= upper")
        name, threshold = self.bound
        compare = COMPARE[name]
        pair = compare(low, threshold), compare(high, threshold)
        return pair[0] if pair[0] == pair[1] else None


def _number(value: Any, name: str) -> Fraction | float:
    """``value`` as a Fraction or a float; Python compares these two exactly."""
    if hasattr(value, "numerator") and hasattr(value, "denominator"):  # int, Fraction, NumPy's and FLINT's numbers
        return Fraction(int(value.numerator), int(value.denominator))
    if isinstance(value, str) and re.fullmatch(r"-?\d+(/0*[1-9]\d*|\.\d*)?", value):
        return Fraction(value)
    try:
        as_float = float(value)
    except (TypeError, ValueError):
        as_float = math.nan
    if math.isnan(as_float):
        raise OptionError(
            f"{name} is not a number", found=repr(value), needed="a Fraction, an int, a float or 1/3 as text"
        )
    return as_float


def parse_property(
    text: str, *, labels: Mapping[str, Mask], n_states: int, rewards: Sequence[str], chain: bool = False
) -> Property:
    """Parse a property in PRISM's syntax against the labels and reward structures of a model.

    Parameters
    ----------
    text : str
        For example ``Pmax=? [F "goal"]`` or ``R{"time"}min<=5/2 [F (s = 4)]``; decimals are exact rationals.
    labels : mapping of str to (S,) bool
        The model's labels; ``init`` and ``deadlock`` are labels like the others.
    n_states : int
        S.
    rewards : sequence of str
        Names of the reward structures; ``R`` without a name is allowed with exactly one.
    chain : bool
        The model has one action a state, so min or max may be left out.

    Raises
    ------
    PropertyError
        If the text is malformed, names something the model has not, or is of another logic; shows the position.
    ModelError
        If a mask is not (S,) bool.

    Examples
    --------
    >>> goal = {"goal": np.array([False, True])}
    >>> prop = parse_property('P>=0.95 [ F<=10 "goal" ]', labels=goal, n_states=2, rewards=[])
    >>> prop.optimize, prop.bound, prop.path, prop.steps
    ('min', ('>=', Fraction(19, 20)), 'reach', 10)
    """
    source = _Source(text)
    head = _Header(source, rewards, chain)
    body = _Formula(source, _Labels(labels, n_states), n_states)
    path = body.parse_path(head.end, head.kind)
    return Property(
        text, head.kind, head.optimize, head.reward, head.bound, path.kind, path.left, path.right, path.steps
    )


def label_expression(text: str, labels: Mapping[str, Mask], n_states: int) -> Mask:
    """The states of a state formula: labels, ``! & | => <=>``, parentheses, ``true`` and ``false``.

    Parameters
    ----------
    text : str
        For example ``"finished" & (!"agree")``.
    labels : mapping of str to (S,) bool
        The model's labels.
    n_states : int
        S.

    Returns
    -------
    (S,) bool
        Read-only.

    Raises
    ------
    PropertyError
        If the text is malformed or a label is unknown; shows the position.
    ModelError
        If a mask is not (S,) bool.

    Examples
    --------
    >>> label_expression("!a => b", {"a": np.array([True, False]), "b": np.array([False, False])}, 2).tolist()
    [True, False]
    """
    source = _Source(text)
    return _Formula(source, _Labels(labels, n_states), n_states).parse_state()


# --- words and symbols ------------------------------------------------------------------------------------------------


class _Piece(NamedTuple):
    """A word, number, string or symbol of the text, and where it stands."""

    text: str
    start: int
    end: int


PIECE = re.compile(
    r"""
    "[^"]*"                                 # a quoted label
  | [^\W\d]\w*                              # a word
  | (?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?  # a number
  | <=> | => | <= | >= | != | && | \|\|     # symbols of several characters
  | \S                                      # any other sign
    """,
    re.VERBOSE,
)
WORD = re.compile(r"[^\W\d]\w*\Z")
NUMBER = re.compile(r"\d|\.\d")
TEMPORAL = frozenset("FGXUWR")  # never the name of a function, so a parenthesis after them opens a group
CLOSING = {")": "(", "]": "[", "}": "{"}


def _pieces(text: str) -> list[_Piece]:
    return [_Piece(match.group(), match.start(), match.end()) for match in PIECE.finditer(text)]


def _mates(words: Sequence[str]) -> dict[int, int] | None:
    """The partner of each bracket; None where brackets do not pair up."""
    mates: dict[int, int] = {}
    stack: list[int] = []
    for i, word in enumerate(words):
        if word in ("(", "[", "{"):
            stack.append(i)
        elif word in CLOSING:
            if not stack or words[stack[-1]] != CLOSING[word]:
                return None
            j = stack.pop()
            mates[i], mates[j] = j, i
    return None if stack else mates


def _redundant(words: Sequence[str]) -> set[int]:
    """Parentheses that hold one name, number, call or group, or that are the whole of a call's argument.

    These mean nothing wherever they stand; what else is redundant depends on the neighbors and is left to the grammar.
    """

    class Frame:
        def __init__(self, start: int, call: bool):
            self.start, self.call = start, call
            self.items = 0
            self.group: tuple[int, int] | None = None  # the last item, where it is a group that is kept

        def end_argument(self) -> None:
            if self.call and self.items == 1 and self.group is not None:
                redundant.update(self.group)
            self.items, self.group = 0, None

    redundant: set[int] = set()
    frames = [Frame(-1, False)]
    for i, word in enumerate(words):
        top = frames[-1]
        if word == "(":
            call = i > 0 and WORD.match(words[i - 1]) is not None and words[i - 1] not in TEMPORAL
            frames.append(Frame(i, call))
        elif word == ")" and len(frames) > 1:
            frames.pop()
            below = frames[-1]
            if top.call:
                top.end_argument()
                below.group = None  # the call is one item with its name, which is counted
                continue
            below.items += 1
            below.group = (top.start, i)
            if top.items == 1:
                redundant.update((top.start, i))
                below.group = top.group
        elif word == ",":
            top.end_argument()
        else:
            top.items += 1
            top.group = None
    return redundant


LOOSEST = 0
LEVEL = {"?": LOOSEST, ":": LOOSEST, "=>": 1, "<=>": 2, "|": 3, "&": 4, "!": 5}
ATOM = 6  # comparisons and arithmetic bind tighter than every Boolean operator
ARITHMETIC = frozenset(["=", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/"])
INFIX = frozenset(["&", "|", "=>", "<=>"])


class _Label(NamedTuple):
    """A label without its redundant parentheses, the level of its loosest operator, and the names it stands for."""

    words: tuple[str, ...]
    level: int
    names: list[str]


class _Labels:
    """The model's labels, to be found at a place in a text."""

    def __init__(self, labels: Mapping[str, Mask], n_states: int):
        self.masks: dict[str, Mask] = {}
        self.first: dict[str, list[_Label]] = {}
        self.spelled: dict[tuple[str, ...], _Label] = {}
        for name, given in labels.items():
            mask = np.asarray(given)
            if mask.dtype != np.bool_ or mask.shape != (n_states,):
                raise ModelError(
                    f"label {name!r} is not a mask over the states",
                    found=f"{mask.dtype} of shape {mask.shape}",
                    needed=f"bool of shape ({n_states},)",
                )
            self.masks[name] = mask
            words = self.normal([piece.text for piece in _pieces(name)])
            if not words:
                continue
            if words not in self.spelled:
                label = _Label(words, self.level(words), [])
                self.spelled[words] = label
                self.first.setdefault(words[0], []).append(label)
            self.spelled[words].names.append(name)

    @staticmethod
    def normal(words: list[str]) -> tuple[str, ...]:
        """The words without redundant parentheses, the outer ones included; empty for a label whose brackets clash."""
        mates = _mates(words)
        if mates is None:
            return ()
        redundant = _redundant(words)
        low, high = 0, len(words) - 1
        while low < high and words[low] == "(" and mates[low] == high:
            low, high = low + 1, high - 1
        return tuple(words[i] for i in range(low, high + 1) if i not in redundant)

    @staticmethod
    def level(words: Sequence[str]) -> int:
        """The level of the loosest operator outside all brackets."""
        level, depth = ATOM, 0
        for word in words:
            depth += (word in CLOSING.values()) - (word in CLOSING)
            if depth == 0:
                level = min(level, LEVEL.get(word, ATOM))
        return level

    def mask(self, names: Sequence[str], spellings: Sequence[list[str]]) -> Mask | None:
        """The mask that these names share; where they differ, that of the first spelling that is a name, else None."""
        masks = [self.masks[name] for name in names]
        if all(np.array_equal(mask, masks[0]) for mask in masks[1:]):
            return masks[0]
        for spelling in spellings:
            for name in names:
                if [piece.text for piece in _pieces(name)] == spelling:
                    return self.masks[name]
        return None


class _Source:
    """The text, cut into pieces, with errors that point into it."""

    def __init__(self, text: str):
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise PropertyError("a property is a text", found=type(text).__name__, text="", position=0)
        self.text = text
        self.pieces = _pieces(text)
        self.words = [piece.text for piece in self.pieces]
        self.redundant = _redundant(self.words)
        self.inside = list(range(len(self.pieces) + 1))  # the first piece that is no redundant opening parenthesis
        for i in reversed(range(len(self.pieces))):
            if i in self.redundant and self.words[i] == "(":
                self.inside[i] = self.inside[i + 1]

    def word(self, i: int) -> str:
        """Piece ``i``; empty past the end."""
        return self.words[i] if i < len(self.words) else ""

    def position(self, i: int) -> int:
        """Where piece ``i`` starts, or the end of the text."""
        return self.pieces[i].start if i < len(self.pieces) else len(self.text)

    def error(
        self, what: str, i: int, *, found: str | None = None, needed: str | None = None, way_out: str | None = None
    ):
        """A PropertyError that points at piece ``i``."""
        if found is None:
            found = repr(self.word(i)) if self.word(i) else "the end of the text"
        shown = re.sub(r"\s", " ", self.text)  # on one line the caret stands under its sign
        return PropertyError(
            what, text=shown, position=self.position(i), found=found or None, needed=needed, way_out=way_out
        )

    def refuse(self, what: str, i: int, needed: str = f"one of {PATHS}", way_out: str | None = None) -> PropertyError:
        """The error for a sound formula of a logic that is not answered here."""
        return self.error(f"{what} not supported", i, needed=needed, way_out=way_out)

    def rational(self, i: int) -> tuple[Fraction, int]:
        """The number ``[-]n`` or ``[-]n/d`` at piece ``i``, and the piece after it."""
        start, sign = i, 1
        if self.word(i) in ("-", "+"):
            sign = -1 if self.word(i) == "-" else 1
            i += 1
        value, i = self.literal(i)
        if self.word(i) == "/":
            below, after = self.literal(i + 1)
            if below == 0:
                raise self.error("the bound divides by zero", i + 1)
            value, i = value / below, after
        if WORD.match(self.word(i)) or self.word(i) in ("+", "-", "*", "/"):
            raise self.error("the bound is not a plain number", start, found="", needed="a number such as 0.95 or 5/2")
        return sign * value, i

    def literal(self, i: int) -> tuple[Fraction, int]:
        """The unsigned decimal at piece ``i`` as an exact rational."""
        word = self.word(i)
        if WORD.match(word):
            raise self.refuse(f"the constant {word!r} in a bound is", i, needed="a number", way_out="write its value")
        if not NUMBER.match(word):
            raise self.error("a number is missing", i, needed="a number such as 0.95 or 5/2")
        digits, _, exponent = word.lower().partition("e")
        if len(digits) > 1000 or len(exponent) > 5 or abs(int(exponent or 0)) > 1000:
            raise self.error("the number is too long", i, needed="at most 1000 digits")
        return Fraction(word), i + 1


# --- the part before the brackets -------------------------------------------------------------------------------------

OTHER_HEADS = {
    "S": "the steady-state operator S is",
    "LRA": "the long-run average operator LRA is",
    "T": "the time operator T is",
    "E": "the CTL quantifier E is",
    "A": "the CTL quantifier A is",
    "filter": "filter(...) is",
    "multi": "multi(...), several objectives in one property, is",
    "const": "a constant declaration is",
    "label": "a label declaration is",
    "<": "the coalition operator <<...>> of games is",
    "!": "a Boolean combination of properties is",
    "(": "a Boolean combination of properties is",
}
HEAD = 'P or R{"name"}, then min or max, then =? or a bound, then [ path formula ]'


class _Header:
    """``Pmax=? [``, ``R{"time"}min<=5/2 [`` and the like; ``end`` is the piece after the bracket."""

    kind: Literal["P", "R"]
    optimize: Optimize
    reward: str | None
    bound: tuple[str, Fraction] | None
    end: int

    def __init__(self, source: _Source, rewards: Sequence[str], chain: bool):
        self.source = source
        match = re.match(r"(P|R)(min|max)?\Z", source.word(0))
        if match is None:
            raise self.wrong_head()
        self.kind = "P" if match[1] == "P" else "R"
        side = match[2]
        i = 1
        self.reward = None
        if self.kind == "R":
            i = self.read_reward(i, rewards)
        elif source.word(i) == "{":
            raise source.error("P takes no name in braces", i, needed="R for rewards")
        if source.word(i) in ("min", "max"):
            if side is not None:
                raise source.error("min or max is given twice", i)
            side = source.word(i)
            i += 1
        i = self.read_bound(i)
        if source.word(i) != "[":
            raise source.error("the path formula stands in brackets", i, needed="[")
        self.end = i + 1
        if side is None and self.bound is not None:
            # a bound without min or max is for all policies
            side = "min" if self.bound[0] in (">=", ">") else "max"
        if side is None and not chain:
            raise source.error(
                f"min or max is needed: the value of {self.kind}=? depends on the policy",
                1,
                needed=f"{self.kind}min=? or {self.kind}max=?",
            )
        self.optimize = "min" if side == "min" else "max"

    def wrong_head(self) -> PropertyError:
        source, word = self.source, self.source.word(0)
        if not word:
            return source.error("the property is empty", 0, needed=HEAD)
        plain = re.sub(r"(min|max)\Z", "", word)
        if word == "<" and source.word(1) != "<":
            plain = ""
        if plain in OTHER_HEADS:
            return source.refuse(OTHER_HEADS[plain], 0, needed=HEAD)
        if source.word(1) == ":":
            return source.refuse("a name before the property is", 0, needed=HEAD, way_out="leave the name out")
        return source.error("a property begins with P or R", 0, needed=HEAD)

    def read_reward(self, i: int, rewards: Sequence[str]) -> int:
        source = self.source
        if source.word(i) != "{":
            if len(rewards) != 1:
                raise source.error(
                    "R without a name needs exactly one reward structure",
                    i - 1,
                    found=f"{len(rewards)} reward structures" + (f": {', '.join(sorted(rewards))}" if rewards else ""),
                    needed='R{"name"}' if rewards else "a model with rewards",
                )
            self.reward = rewards[0]
            return i
        if source.word(0) != "R":
            raise source.error("the name of the reward structure stands before min or max", i, needed='R{"name"}min')
        word = source.word(i + 1)
        if NUMBER.match(word):
            raise source.refuse("a reward structure by its number is", i + 1, needed='R{"name"}')
        if not WORD.match(word) and not (len(word) > 1 and word.startswith('"')):
            raise source.error("the name of a reward structure is missing", i + 1, needed='R{"name"}')
        self.reward = word.strip('"')
        if self.reward not in rewards:
            raise source.error(
                f"unknown reward structure {self.reward!r}", i + 1, found="", way_out=nearest(self.reward, rewards)
            )
        if source.word(i + 2) != "}":
            raise source.error("the name of the reward structure is not closed", i + 2, needed="}")
        if source.word(i + 3) == "{":
            raise source.refuse("a property of two reward structures is", i + 3, needed='R{"name"}')
        return i + 3

    def read_bound(self, i: int) -> int:
        source = self.source
        word = source.word(i)
        self.bound = None
        if word == "=" and source.word(i + 1) == "?":
            return i + 2
        if word == "=":
            raise source.refuse("equality with a number is", i, needed="=? or one of >= > <= <")
        if word not in COMPARE:
            raise source.error("=? or a bound is missing", i, needed="=? or one of >= > <= < with a number")
        value, end = source.rational(i + 1)
        if self.kind == "P" and not 0 <= value <= 1:
            raise source.error("the bound is not a probability", i + 1, found=str(value), needed="0 <= bound <= 1")
        self.bound = word, value
        return end


# --- the part in the brackets -----------------------------------------------------------------------------------------

GRAMMAR = r"""
path: FINALLY state                     -> unary
    | GLOBALLY state                    -> unary
    | NEXT state                        -> unary
    | state UNTIL state                 -> until
    | LEFT path RIGHT                   -> group
?state: equivalent
    | equivalent IMPLIES state          -> implies
?equivalent: either
    | equivalent IFF either             -> iff
?either: both
    | either OR both                    -> either
?both: negated
    | both AND negated                  -> both
?negated: NOT negated                   -> negated
    | LEFT state RIGHT                  -> group
    | OPERAND                           -> operand
%declare FINALLY GLOBALLY NEXT UNTIL IMPLIES IFF OR AND NOT LEFT RIGHT OPERAND
"""
TOKENS = {"=>": "IMPLIES", "<=>": "IFF", "|": "OR", "&": "AND", "!": "NOT", "(": "LEFT", ")": "RIGHT"}
UNARY: dict[str, tuple[str, PathKind]] = {
    "F": ("FINALLY", "reach"),
    "G": ("GLOBALLY", "globally"),
    "X": ("NEXT", "next"),
}
NAMES = {
    "U": "nested temporal operators (LTL) are",
    "F": "nested temporal operators (LTL) are",
    "G": "nested temporal operators (LTL) are",
    "X": "nested temporal operators (LTL) are",
    "W": "the temporal operator W (weak until) is",
    "R": "the temporal operator R (release) is",
    "E": "the CTL quantifier E is",
    "A": "the CTL quantifier A is",
    "filter": "filter(...) is",
    "multi": "multi(...) is",
}
REWARD_PATHS = {
    "C": "the cumulative reward C is",
    "I": "the instantaneous reward I=k is",
    "S": "the long-run reward S is",
}


class _Path(NamedTuple):
    kind: PathKind
    left: Mask | None
    right: Mask
    steps: int | None


@functools.cache
def _grammar() -> Any:
    """The LALR(1) parser; formulas are evaluated as they are reduced, so depth costs no recursion."""
    import lark

    class Evaluate(lark.Transformer[Any, Any]):
        def unary(self, parts: list[Any]) -> _Path:
            kind, steps = parts[0].value
            return _Path(kind, None, parts[1], steps)

        def until(self, parts: list[Any]) -> _Path:
            return _Path("until", parts[0], parts[2], parts[1].value[1])

        def group(self, parts: list[Any]) -> Any:
            return parts[1]

        def operand(self, parts: list[Any]) -> Mask:
            return parts[0].value

        def negated(self, parts: list[Any]) -> Mask:
            return ~parts[1]

        def both(self, parts: list[Any]) -> Mask:
            return parts[0] & parts[2]

        def either(self, parts: list[Any]) -> Mask:
            return parts[0] | parts[2]

        def iff(self, parts: list[Any]) -> Mask:
            return parts[0] == parts[2]

        def implies(self, parts: list[Any]) -> Mask:
            return ~parts[0] | parts[2]

    return lark.Lark(GRAMMAR, parser="lalr", lexer="basic", start=["path", "state"], transformer=Evaluate())


class _Formula:
    """Cut the pieces into tokens, labels first, and feed them to the grammar."""

    def __init__(self, source: _Source, labels: _Labels, n_states: int):
        self.source = source
        self.labels = labels
        self.n_states = n_states
        self.on_path = False
        self.depth = 0
        self.loose: str | None = None  # a label that would match, were it in parentheses

    def parse_state(self) -> Mask:
        mask, end = self.run("state", 0)
        if end < len(self.source.pieces):
            raise self.unexpected(end)
        return _frozen(mask)

    def parse_path(self, start: int, kind: str) -> _Path:
        self.on_path = True
        source = self.source
        if kind == "R":
            word, after = source.word(start), source.word(start + 1)
            if word in REWARD_PATHS and after in ("]", "<=", "<", "=", "["):
                raise source.refuse(REWARD_PATHS[word], start, needed="F a, the reward before a is reached")
        path, end = self.run("path", start)
        if kind == "R" and (path.kind != "reach" or path.steps is not None):
            raise source.refuse(
                "a reward over another path formula than F a is", start, needed="F a, the reward before a is reached"
            )
        if source.word(end) != "]":
            raise self.unexpected(end)
        if end + 1 < len(source.pieces):
            if source.word(end + 1) == "{":
                raise source.refuse("a filter {...} after the property is", end + 1, needed="nothing after ]")
            if source.word(end + 1) in INFIX:
                raise source.refuse("a Boolean combination of properties is", end + 1, needed="one property")
            raise source.error("something follows the property", end + 1, needed="nothing after ]")
        left = None if path.left is None else _frozen(path.left)
        return path._replace(left=left, right=_frozen(path.right))

    def run(self, start: Literal["path", "state"], i: int) -> tuple[Any, int]:
        """Parse from piece ``i`` to the first piece that no formula goes on with; the result and that piece."""
        from lark import Token
        from lark.exceptions import UnexpectedInput

        parser = _grammar().parse_interactive(start=start)

        def feed(name: str, i: int, value: object = None) -> Any:
            token = Token(name, self.source.word(i), start_pos=self.source.position(i))
            token.value = value
            try:
                return parser.feed_token(token)
            except UnexpectedInput as error:
                raise self.rejected(name, i) from error

        path_start, level = start == "path", LOOSEST
        while True:
            # an operand is due
            word = self.source.word(i)
            found = self.find(i, level)
            if path_start and word in UNARY and not (found and self.goes_on(found[1])):
                name, kind = UNARY[word]
                after, steps = self.steps(i)
                feed(name, i, (kind, steps))
                path_start, level, i = False, LOOSEST, after
                continue
            if found is None and word in ("!", "("):
                feed(TOKENS[word], i)
                self.depth += word == "("
                path_start, level, i = path_start and word == "(", LEVEL["!"] if word == "!" else LOOSEST, i + 1
                continue
            mask, after = found if found is not None else self.operand(i)
            feed("OPERAND", i, mask)
            path_start, i = False, after
            # an operator is due
            while self.source.word(i) == ")":
                feed("RIGHT", i)
                self.depth -= 1
                i += 1
            word = self.source.word(i)
            if word in INFIX:
                feed(TOKENS[word], i)
                level, i = LEVEL[word], i + 1
            elif word == "U" and self.on_path:
                after, steps = self.steps(i)
                feed("UNTIL", i, ("until", steps))
                level, i = LOOSEST, after
            elif word in ("]", ""):
                return feed("$END", i), i
            else:
                raise self.unexpected(i)

    def goes_on(self, i: int) -> bool:
        """Whether a formula goes on at ``i`` so that the label before it was an operand, not an operator F, G, X."""
        if self.source.word(i) == "U":
            return self.source.word(i + 1) not in {"", "]", ")", *INFIX}
        return self.source.word(i) in INFIX

    def find(self, i: int, level: int) -> tuple[Mask, int] | None:
        """The longest label at piece ``i``, after an operator of this level; its mask and the piece after it."""
        source, best, best_end = self.source, None, i
        j = source.inside[min(i, len(source.pieces))]
        for label in self.labels.first.get(source.word(j), ()):
            end = self.match(label.words, j, j - i)
            if end is None or end <= best_end:
                continue
            after = source.word(end)
            bare = label.level < ATOM or after in ARITHMETIC or after in ("?", "(")
            if bare and not self.stands(label.level, level, after):
                # here its outer parentheses would not be redundant
                if after not in ARITHMETIC:
                    self.loose = label.names[0]
                continue
            best, best_end = label, end
        if best is None:
            return None
        self.loose = None
        return self.value(best, i, best_end), best_end

    @staticmethod
    def stands(own: int, before: int, after: str) -> bool:
        """Whether a label of level ``own`` keeps together without parentheses between its neighbors."""
        if after in ARITHMETIC or after in ("?", "("):
            return False
        right = LEVEL.get(after, LOOSEST - 1)
        if own == LOOSEST:
            return before == LOOSEST and right < LOOSEST
        return own >= before and (own > right or (own == right and after != "=>"))

    def match(self, words: Sequence[str], i: int, depth: int) -> int | None:
        """The piece after ``words``, read from ``i`` inside ``depth`` redundant parentheses; None if not there."""
        source, k = self.source, 0
        while k < len(words) or depth > 0:
            word = source.word(i)
            if i in source.redundant:
                depth += 1 if word == "(" else -1
                if depth < 0:
                    return None
            elif k < len(words) and word == words[k]:
                k += 1
            else:
                return None
            i += 1
        return i

    def value(self, label: _Label, i: int, end: int) -> Mask:
        low, high = i, end
        while low > 0 and self.source.word(low - 1) == "(" and self.source.word(high) == ")":
            low, high = low - 1, high + 1
        spellings = [self.source.words[low + k : high - k] for k in range(i - low + 1)]
        mask = self.labels.mask(label.names, spellings)
        if mask is None:
            raise self.source.error(
                "the label is ambiguous", i, found=" and ".join(label.names), way_out="spell it as in the model"
            )
        return mask

    def operand(self, i: int) -> tuple[Mask, int]:
        """A constant or quoted label at piece ``i``, and the piece after it."""
        source, word = self.source, self.source.word(i)
        if word in ("true", "false"):
            return np.full(self.n_states, word == "true"), i + 1
        if len(word) > 1 and word.startswith('"'):
            name = word[1:-1]
            if name in self.labels.masks:
                return self.labels.masks[name], i + 1
            words = [piece.text for piece in _pieces(name)]
            label = self.labels.spelled.get(_Labels.normal(words))
            if label is not None:
                return self.value(label, i, i + 1), i + 1
            raise source.error(f"unknown label {name!r}", i, found="", way_out=nearest(name, self.labels.masks))
        if word == '"':
            raise source.error("a quoted label is not closed", i, needed='"')
        if word in ("", "]", ")", ",", *INFIX, "&&", "||"):
            raise source.error("an operand is missing", i, needed=OPERANDS)
        self.refuse_word(i)
        end = self.extent(i)
        name = source.text[source.position(i) : source.pieces[end - 1].end]
        loose = None if self.loose is None else f"write the label {self.loose!r} in parentheses"
        raise source.error(f"unknown label {name!r}", i, found="", way_out=loose or nearest(name, self.labels.masks))

    def extent(self, i: int) -> int:
        """The piece after the unknown operand at ``i``, as far as it would reach."""
        source, j, depth = self.source, i, 0
        while j < len(source.pieces):
            word = source.word(j)
            if depth == 0 and j > i and (word in INFIX or word in (")", "]", "U", "W", "&&", "||")):
                break
            depth += (word == "(") - (word == ")")
            j += 1
        return max(j, i + 1)

    def refuse_word(self, i: int) -> None:
        """Refuse by name the operators of other logics at piece ``i``."""
        source, word, after = self.source, self.source.word(i), self.source.word(i + 1)
        nested = re.match(r"(P|R|S|T|LRA)(min|max)?\Z", word) and after in ("=", "{", "min", "max", *COMPARE)
        if nested and "[" in source.words[i:]:
            raise source.refuse(f"the operator {word} inside a formula (nesting) is", i)
        if word in NAMES and after not in ARITHMETIC - {"<=", "<", ">", ">="}:
            raise source.refuse(NAMES[word], i)

    def steps(self, i: int) -> tuple[int, int | None]:
        """The piece after the temporal operator at ``i`` and its bound, and the number of steps."""
        source, name, i = self.source, self.source.word(i), i + 1
        word = source.word(i)
        if word == "[":
            raise source.refuse("a time interval is", i, needed=f"{name}<=k")
        if word == "{":
            raise source.refuse("a reward-bounded operator is", i, needed=f"{name}<=k")
        if word in (">=", ">", "="):
            raise source.refuse(f"the bound {name}{word} is", i, needed=f"{name}<=k or {name}<k")
        if word not in ("<=", "<"):
            return i, None
        if name == "X":
            raise source.refuse("a bound on X is", i)
        bound = source.word(i + 1)
        if bound in ("-", "(", "+") or WORD.match(bound):
            raise source.refuse("an expression or constant as a bound is", i + 1, needed="a number of steps, 0 or more")
        value, after = source.literal(i + 1)
        if value.denominator != 1:
            raise source.error("the bound is not a whole number of steps", i + 1, needed="an integer")
        if (
            after < len(source.pieces)
            and source.position(after) == source.pieces[i + 1].end
            and WORD.match(source.word(after))
        ):
            raise source.error("white space is missing after the bound", after, needed="a number, then an operand")
        steps = int(value) - (word == "<")
        if steps < 0:
            raise source.error("the bound leaves no step", i, found="<0", needed="<=k, or <k with k >= 1")
        return after, steps

    def rejected(self, name: str, i: int) -> PropertyError:
        """The error for a token that the grammar does not take; operands and NOT always fit where they are due."""
        source = self.source
        if name == "$END":
            if self.depth > 0:
                return source.error("a parenthesis is not closed", i, needed=")")
            return source.error("the formula has no temporal operator", i, needed=f"one of {PATHS}")
        if name == "RIGHT":
            return source.error("the parenthesis was never opened", i, needed="an operator or the end")
        if source.word(i) in INFIX:
            return source.refuse(f"{source.word(i)} between path formulas (LTL) is", i)
        return source.refuse("nested temporal operators (LTL) are", i)

    def unexpected(self, i: int) -> PropertyError:
        """The error for a piece that no formula goes on with."""
        source, word = self.source, self.source.word(i)
        hints = {"&&": "write &", "||": "write |; conditional properties are not supported", "->": "write =>"}
        if word in ("W", "R"):
            return source.refuse(NAMES[word], i)
        if word == "U":
            return source.error("U stands between state formulas of a property", i, needed="& | => <=>")
        if not word:
            return source.error("the bracket is not closed", i, needed="]")
        ends = "]" if self.on_path else "the end"
        return source.error(
            f"{word!r} is unexpected",
            i,
            needed=f"& | => <=> ) {'U ' if self.on_path else ''}or {ends}",
            way_out=hints.get(word),
        )


def _frozen(mask: Mask) -> Mask:
    """A copy that cannot be written."""
    copy = np.array(mask, dtype=np.bool_)
    copy.flags.writeable = False
    return copy


def problem_of(mdp: Any, text: str) -> tuple[Any, Property]:
    """The planning problem that a property poses on a model, and the parsed property.

    Parameters
    ----------
    mdp : MDP
    text : str
        For example ``'R{"steps"}max=? [F "finished"]'``.

    Returns
    -------
    problem : MDP
        The model under the criterion, with the reward structure, that the property names.
    prop : Property

    Raises
    ------
    PropertyError
        If the property does not parse or does not fit the model.
    """
    from mdpkit.models.criterion import FiniteHorizon, Invariance, Reachability, TotalReward

    chain = mdp.n_pairs == mdp.n_states
    prop = parse_property(text, labels=mdp.labels, n_states=mdp.n_states, rewards=list(mdp.rewards), chain=chain)
    minimize = prop.optimize == "min"
    if prop.kind == "R":
        return mdp.under(TotalReward(prop.right), reward=prop.reward, minimize=minimize), prop
    if prop.path == "globally":
        return mdp.under(Invariance(prop.right, prop.steps), minimize=minimize), prop
    if prop.path == "next":
        bare = mdp.under(FiniteHorizon(1, terminal=[Fraction(int(x)) for x in prop.right]), minimize=minimize)
        return bare.without_rewards(), prop
    return mdp.under(Reachability(prop.right, prop.left, prop.steps), minimize=minimize), prop
