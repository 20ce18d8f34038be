"""DRN files of intervals: files in Storm's style read by hand, and malformed files with their line numbers."""

from __future__ import annotations

import gzip
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mdpkit as mk
from mdpkit.errors import MDPError, ParseError, SizeError, UnsupportedError
from mdpkit.io.drn import read_intervals, read_raw

F = Fraction

ROBOT = """// a robot on slippery ground
@type: MDP
@value_type: double-interval
@parameters

@reward_models
steps
@nr_states
4
@nr_choices
5
@model
state 0 [1] init
//[x=0]
\taction go [0.5]
\t\t2 : [0.5, 0.8]
\t\t1 : [0.4,0.9]
\taction wait [0]
\t\t0 : 1
state 1 [1] "the goal"
\taction 0 [0]
\t\t1 : [1, 1]
state 2 [0]
\taction 0 [0]
\t\t0 : [ 0 , 1 ]
\t\t1 : [0, 0]
\t\t2 : [1e-1, 1]
state 3 [0]
\taction 0 [0]
\t\t3 : [1, 1]
"""


def model(*rows: str, kind: str | None = "double-interval", states: int = 2, choices: int = 2, head: str = "") -> str:
    """A file whose header takes seven lines with a value type, six without; the model follows ``@model``."""
    value = "" if kind is None else f"@value_type: {kind}\n"
    return f"@type: MDP\n{value}{head}@nr_states\n{states}\n@nr_choices\n{choices}\n@model\n" + "\n".join(rows) + "\n"


def put(folder: Path, text: str, name: str = "model.drn") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


END = ("state 1", "action 0", "1 : [1, 1]")


def test_file_by_hand(tmp_path: Path) -> None:
    raw = read_intervals(put(tmp_path, ROBOT))
    assert (raw.model_type, raw.value_type, raw.n_states, raw.n_pairs) == ("MDP", "double-interval", 4, 5)
    assert raw.pair_ptr.tolist() == [0, 2, 3, 4, 5]
    assert raw.pair_names == ["go", "wait", "0", "0", "0"]
    assert raw.indptr.tolist() == [0, 2, 3, 4, 6, 7]  # [0, 0] is no transition
    assert raw.indices.tolist() == [1, 2, 0, 1, 0, 2, 3]
    assert raw.lower.tolist() == [0.4, 0.5, 1.0, 1.0, 0.0, 0.1, 1.0]
    assert raw.upper.tolist() == [0.9, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert raw.lower_exact is None
    assert raw.upper_exact is None
    assert raw.rewards["steps"].state.tolist() == [1, 1, 0, 0]
    assert raw.rewards["steps"].action.tolist() == [0.5, 0, 0, 0, 0]
    assert {name: np.flatnonzero(mask).tolist() for name, mask in raw.labels.items()} == {"init": [0], "the goal": [1]}
    assert raw.comments == ["[x=0]", "", "", ""]


def test_rational_intervals_stay_rational(tmp_path: Path) -> None:
    rows = ("state 0", "action a", "0 : [1/3, 2/3]", "1 : $x", *END)
    raw = read_intervals(put(tmp_path, model(*rows, kind="rational-interval", head="@placeholders\n$x : [1/3, 0.7]\n")))
    assert raw.lower_exact is not None
    assert raw.upper_exact is not None
    assert raw.lower_exact.tolist() == [F(1, 3), F(1, 3), 1]
    assert raw.upper_exact.tolist() == [F(2, 3), F(7, 10), 1]
    assert raw.lower.tolist() == [1 / 3, 1 / 3, 1.0]
    assert raw.upper.tolist() == [2 / 3, 0.7, 1.0]


@pytest.mark.parametrize(("number", "kind"), [("0.5", "double-interval"), ("1/2", "rational-interval")])
def test_without_value_type_a_fraction_makes_it_rational(tmp_path: Path, number: str, kind: str) -> None:
    rows = ("state 0", "action a", f"0 : [0, {number}]", "1 : [0.1, 1]", *END)
    raw = read_intervals(put(tmp_path, model(*rows, kind=None)))
    assert raw.value_type == kind
    assert (raw.upper_exact is None) == (kind == "double-interval")
    assert raw.upper.tolist() == [0.5, 1.0, 1.0]


def test_points_of_six_digits_contain_a_distribution_within_tolerance(tmp_path: Path) -> None:
    third = "[0.333333, 0.333333]"
    rows = ("state 0", "action a", f"0 : {third}", f"1 : {third}", f"2 : {third}")
    text = model(*rows, "state 1", "action 0", "1 : 1", "state 2", "action 0", "2 : 1", states=3, choices=3)
    assert read_intervals(put(tmp_path, text)).upper.tolist() == [0.333333] * 3 + [1.0, 1.0]
    with pytest.raises(ParseError, match=r"line 9: the upper ends sum to less than 1.*found: 999999/1000000"):
        read_intervals(put(tmp_path, text.replace("double", "rational")))


def test_compressed_file(tmp_path: Path) -> None:
    path = tmp_path / "m.drn.gz"
    path.write_bytes(gzip.compress(ROBOT.encode()))
    assert read_intervals(path).upper.tolist() == read_intervals(put(tmp_path, ROBOT)).upper.tolist()


def test_load_and_read_raw_refuse_intervals_and_name_their_reader(tmp_path: Path) -> None:
    untyped = model("state 0", "action a", "0 : [0, 1]", "1 : [0, 1]", *END, kind=None)
    for text in (ROBOT, ROBOT.replace("double-interval", "rational-interval"), untyped):
        path = put(tmp_path, text)
        for read in (mk.load, read_raw):
            with pytest.raises(UnsupportedError, match=r"robust models do not come yet: mdpkit.io.drn.read_intervals"):
                read(path)


@pytest.mark.parametrize("kind", ["double", "rational"])
def test_a_file_of_numbers_is_sent_to_read_raw(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ParseError, match=r"line 2: values that are no intervals.*read_raw"):
        read_intervals(put(tmp_path, model("state 0", "action a", "1 : 1", *END, kind=kind)))


def first(*rows: str) -> str:
    """A model whose first action has these transitions; they begin on line 10."""
    return model("state 0", "action a", *rows, *END)


MALFORMED: dict[str, tuple[str, int, str]] = {
    "empty": ("", 1, "empty"),
    "header alone": (model(), 4, "fewer states than declared"),
    "no @model": ("@type: MDP\n@value_type: double-interval\n@nr_states\n1\n", 4, "ends before @model"),
    "unknown value type": (model(*END, kind="double-intervals"), 2, "did you mean 'double-interval'"),
    "lower above upper": (first("0 : [0, 1]", "1 : [0.6, 0.5]"), 11, "lower end exceeds"),
    "negative": (first("0 : [-0.1, 1]"), 10, "probability is negative"),
    "both negative": (first("0 : [-0.2, -0.1]"), 10, "probability is negative"),
    "above one": (first("0 : [0, 1.5]"), 10, "greater than 1"),
    "huge": (first("0 : [0, 1e300]"), 10, "greater than 1"),
    "overflow": (first("0 : [0, 1e999]"), 10, "greater than 1"),
    "nan": (first("0 : [nan, 1]"), 10, "not a number"),
    "infinite": (first("0 : [0, inf]"), 10, "not a number"),
    "underflow": (first("0 : [1e-400, 1]"), 10, "zero in float64"),
    "trap": (model("state 0", "action a", "0 : [0, 1e-999999999]", *END, kind="rational-interval"), 10, "exponent"),
    "digits": (model("state 0", "action a", f"0 : [0, 1/{'9' * 5000}]", *END, kind="rational-interval"), 10, "digits"),
    "division by zero": (first("0 : [0, 1/0]"), 10, "division by zero"),
    "no comma": (first("0 : [0.5 1]"), 10, "not an interval"),
    "three ends": (first("0 : [0, 0.5, 1]"), 10, "not an interval"),
    "one end": (first("0 : [1]"), 10, "not an interval"),
    "no ends": (first("0 : []"), 10, "not an interval"),
    "empty end": (first("0 : [0,]"), 10, "not a number"),
    "unterminated": (first("0 : [0, 1"), 10, "not an interval"),
    "bracket alone": (first("0 : ["), 10, "not an interval"),
    "text behind": (first("0 : [0, 1] x"), 10, "not an interval"),
    "open on the left": (first("0 : (0, 1]"), 10, "interval without its ends"),
    "open on the right": (first("0 : [0, 1)"), 10, "interval without its ends"),
    "no value": (first("0 :"), 10, "not a number"),
    "a word": (first("0 : p"), 10, "not a number"),
    "unknown placeholder": (first("0 : $x"), 10, "unknown placeholder"),
    "unknown placeholder inside": (first("0 : [0, $x]"), 10, "unknown placeholder"),
    "placeholder not an interval": (model(*END, head="@placeholders\n$x : [1, 0]\n"), 4, "lower end exceeds"),
    "lower ends exceed one": (first("0 : [0.6, 0.7]", "1 : [0.5, 0.7]"), 9, "lower ends sum to more than 1"),
    "upper ends below one": (first("0 : [0, 0.4]", "1 : [0.1, 0.5]"), 9, "upper ends sum to less than 1"),
    "only [0, 0]": (first("0 : [0, 0]"), 9, "upper ends sum to less than 1"),
    "second row": (model("state 0", "action a", "0 : [1, 1]", *END[:2], "1 : [0, 0.5]"), 12, "found: 0.5"),
    "action without transitions": (model("state 0", "action a", *END), 9, "action without transitions"),
    "duplicate destination": (first("0 : [0, 1]", "1 : [0, 1]", "0 : [0, 1]"), 12, "duplicate destination 0"),
    "destination out of range": (first("2 : [1, 1]"), 10, "a state from 0 to 1"),
    "destination not an integer": (first("0.5 : [1, 1]"), 10, "not a state index"),
    "no colon": (first("0 [1, 1]"), 10, "transition without ':'"),
    "deadlock": (model("state 0", *END), 8, "state 0 has no action"),
    "missing state": (model("state 0", "action a", "0 : [1, 1]"), 4, "fewer states"),
    "fewer actions": (model("state 0", "action a", "0 : [1, 1]", *END, choices=3), 6, "fewer actions"),
    "interval reward": (
        model("state 0 [[0, 1]]", "action a", "0 : [1, 1]", *END, head="@reward_models\nr\n"), 10, "wrong number of",
    ),
    "truncated": (ROBOT[: ROBOT.index("[ 0 , 1 ]") + 3], 25, "not an interval"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_name_the_line(tmp_path: Path, case: str) -> None:
    text, line, says = MALFORMED[case]
    path = put(tmp_path, text)
    with pytest.raises(ParseError) as caught:
        read_intervals(path)
    assert f"{path}: line {line}: " in str(caught.value)
    assert says in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="no such file"):
        read_intervals(tmp_path / "nowhere.drn")
    with pytest.raises(ParseError, match="is a directory"):
        read_intervals(tmp_path)
    path = tmp_path / "m.drn"
    for content in (ROBOT.encode("utf-16"), bytes(range(256))):
        path.write_bytes(content)
        with pytest.raises(ParseError, match="not UTF-8 text"):
            read_intervals(path)
    with pytest.raises(SizeError, match="too large to hold"):
        read_intervals(put(tmp_path, model(*END, states=10**12)))
    with pytest.raises(UnsupportedError, match="POMDP"):
        read_intervals(put(tmp_path, ROBOT.replace("MDP", "POMDP")))


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_file_is_read_or_refused(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    text = ROBOT if data.draw(st.booleans()) else ROBOT.replace("double", "rational")
    for _ in range(data.draw(st.integers(1, 3))):
        i = data.draw(st.integers(0, len(text)))
        j = data.draw(st.integers(i, min(len(text), i + 10)))
        text = text[:i] + data.draw(st.text('\n\t :/[]()"$@,01289.e-', max_size=4)) + text[j:]
    path = put(tmp_path_factory.mktemp("drn"), text)
    try:
        raw = read_intervals(path)
    except MDPError as error:
        assert str(path) in str(error)  # noqa: PT017 (a fault is allowed, not required)
        return
    assert np.all((raw.lower >= 0) & (raw.lower <= raw.upper) & (raw.upper <= 1 + 1.1e-6))
    assert np.all(np.add.reduceat(raw.lower, raw.indptr[:-1]) <= 1 + 1.1e-6)
    assert np.all(np.add.reduceat(raw.upper, raw.indptr[:-1]) >= 1 - 1.1e-6)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_random_intervals_come_back(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = np.random.default_rng(seed)
    S = int(rng.integers(1, 6))
    lower, upper, lines = [], [], []
    for s in range(S):
        weights = [int(w) for w in rng.integers(1, 9, size=S)]
        lines += [f"state {s}", "action 0"]
        for t, w in enumerate(weights):
            p = F(w, sum(weights))
            low, high = p * F(int(rng.integers(0, 4)), 3), p + (1 - p) * F(int(rng.integers(0, 4)), 3)
            lower.append(low)
            upper.append(high)
            lines.append(f"{t} : [{low}, {high}]")
    text = model(*lines, kind="rational-interval", states=S, choices=S)
    raw = read_intervals(put(tmp_path_factory.mktemp("drn"), text))
    assert raw.lower_exact is not None
    assert raw.upper_exact is not None
    assert raw.lower_exact.tolist() == lower
    assert raw.upper_exact.tolist() == upper
    assert raw.indices.tolist() == list(range(S)) * S
