"""DRN files: a model read by hand, round trips, the benchmark files, and malformed files with their line numbers."""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import os
import tarfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdpkit.errors import (
    MDPError,
    ModelError,
    OptionError,
    OutputExistsError,
    ParseError,
    SizeError,
    UnsupportedError,
)
from mdpkit.io.drn import RawDRN, RawReward, read_raw, write_raw

F = Fraction

SMALL = """// Exported by storm
// Original model type: MDP
@type: MDP
@value_type: rational
@parameters

@placeholders
$0 : 1/3
$half : 0.5
@reward_models
time cost 
@nr_states
3
@nr_choices
4
@model
state 0 [1, 0.1] init "(x = 0)" done
//[x=0\t& y=1]
\taction go [0, -1/2]
\t\t2 : 2/3
\t\t0 : $0
\taction 1 [2, 0]
// between
\t\t1 : 25e-2
\t\t0 : 2/8
\t\t2 : $half
state 1 [0, 0] "a label: with // everything [1] {x}" goal
\taction __NOLABEL__ [0, 0]
\t\t0 : 0
\t\t1 : 1

state 2
\taction 0
\t\t2 : 1.0
"""


def put(folder: Path, text: str, name: str = "model.drn") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def assert_same(a: RawDRN, b: RawDRN) -> None:
    assert (a.model_type, a.value_type, a.pair_names, a.comments) == (
        b.model_type,
        b.value_type,
        b.pair_names,
        b.comments,
    )
    for name in ("pair_ptr", "indptr", "indices", "data"):
        x, y = getattr(a, name), getattr(b, name)
        assert x.dtype == y.dtype, name
        np.testing.assert_array_equal(x, y, err_msg=name)
    assert_same_exact(a.exact, b.exact)
    assert list(a.rewards) == list(b.rewards)
    for name, reward in a.rewards.items():
        other = b.rewards[name]
        np.testing.assert_array_equal(reward.state, other.state)
        np.testing.assert_array_equal(reward.action, other.action)
        assert_same_exact(reward.state_exact, other.state_exact)
        assert_same_exact(reward.action_exact, other.action_exact)
    assert set(a.labels) == set(b.labels)
    for label, states in a.labels.items():
        np.testing.assert_array_equal(states, b.labels[label])


def assert_same_exact(a: np.ndarray | None, b: np.ndarray | None) -> None:
    assert (a is None) == (b is None)
    if a is not None and b is not None:
        assert all(isinstance(v, Fraction) for v in b)
        assert a.tolist() == b.tolist()


# ------------------------------------------------------------------------------------------------- what is read


def test_small_file_by_hand(tmp_path: Path) -> None:
    raw = read_raw(put(tmp_path, SMALL))
    assert (raw.model_type, raw.value_type) == ("MDP", "rational")
    assert raw.pair_ptr.tolist() == [0, 2, 3, 4]
    assert raw.pair_names == ["go", "1", "__NOLABEL__", "0"]
    assert raw.indptr.tolist() == [0, 2, 5, 6, 7]
    assert raw.indices.tolist() == [0, 2, 0, 1, 2, 1, 2]
    assert raw.exact is not None
    assert raw.exact.tolist() == [F(1, 3), F(2, 3), F(1, 4), F(1, 4), F(1, 2), F(1), F(1)]
    assert raw.data.tolist() == [1 / 3, 2 / 3, 0.25, 0.25, 0.5, 1.0, 1.0]
    assert list(raw.rewards) == ["time", "cost"]
    cost = raw.rewards["cost"]
    assert cost.state_exact is not None
    assert cost.action_exact is not None
    assert cost.state_exact.tolist() == [F(1, 10), F(0), F(0)]
    assert cost.action_exact.tolist() == [F(-1, 2), F(0), F(0), F(0)]
    assert raw.rewards["time"].state.tolist() == [1.0, 0.0, 0.0]
    assert raw.rewards["time"].action.tolist() == [0.0, 2.0, 0.0, 0.0]
    assert {label: states.tolist() for label, states in raw.labels.items()} == {
        "init": [True, False, False],
        "(x = 0)": [True, False, False],
        "done": [True, False, False],
        "a label: with // everything [1] {x}": [False, True, False],
        "goal": [False, True, False],
    }
    assert list(raw.labels)[:3] == ["init", "(x = 0)", "done"]
    assert raw.comments == ["[x=0\t& y=1]", "", ""]
    assert [raw.pair_ptr.dtype, raw.indptr.dtype, raw.indices.dtype, raw.data.dtype] == [
        np.int64,
        np.int64,
        np.uint32,
        np.float64,
    ]


def test_equal_texts_share_one_fraction(tmp_path: Path) -> None:
    raw = read_raw(put(tmp_path, model("state 0", "action 0", "0 : 1/2", "1 : 1/2", "state 1", "action 0", "1 : 1")))
    assert raw.exact is not None
    assert raw.exact[0] is raw.exact[1]


def test_windows_lines_byte_order_mark_and_order_of_keys(tmp_path: Path) -> None:
    text = (
        "\ufeff@nr_states\r\n1\r\n@value_type: double\r\n@type: DTMC\r\n@model\r\nstate 0 init\r\n action 0\r\n0 :1\r\n"
    )
    raw = read_raw(put(tmp_path, text))
    assert (raw.model_type, raw.value_type, raw.data.tolist()) == ("DTMC", "double", [1.0])
    assert raw.exact is None


def model(
    *lines: str, states: int = 2, choices: int | None = 2, values: str | None = "rational", head: str = ""
) -> str:
    """A file whose model lines begin at line 8 plus the lines of ``head`` (with both counts and a value type)."""
    text = "@type: MDP\n" + (f"@value_type: {values}\n" if values else "") + head
    text += f"@nr_states\n{states}\n" + (f"@nr_choices\n{choices}\n" if choices is not None else "") + "@model\n"
    return text + "\n".join(lines) + "\n"


TWO = ("state 0 init", "action a", "1 : 1", "state 1", "action b", "1 : 1")


@pytest.mark.parametrize(
    ("number", "needed"),
    [("0.333333", "double"), ("1/3", "rational")],
)
def test_without_value_type_a_fraction_makes_it_rational(tmp_path: Path, number: str, needed: str) -> None:
    rows = (f"0 : {number}", f"1 : {number}", f"2 : {number}")
    lines = (
        "state 0",
        "// 1/2",
        "action a/b",
        *rows,
        "state 1 x/y",
        "action 0",
        "1 : 1",
        "state 2",
        "action 0",
        "2 : 1",
    )
    raw = read_raw(put(tmp_path, model(*lines, states=3, choices=None, values=None)))
    assert raw.value_type == needed
    assert raw.data[0] == float(F(number))


def test_without_value_type_a_fraction_in_a_reward_makes_it_rational(tmp_path: Path) -> None:
    lines = ("state 0 [0]", "action 0 [5/3]", "0 : 1")
    raw = read_raw(put(tmp_path, model(*lines, states=1, choices=1, values=None, head="@reward_models\nr \n")))
    assert raw.rewards["r"].action_exact is not None
    assert raw.rewards["r"].action_exact.tolist() == [F(5, 3)]


def test_double_files_take_fractions_as_storm_does(tmp_path: Path) -> None:
    raw = read_raw(put(tmp_path, model("state 0", "action 0", "0 : 1/3", "1 : 2/3", *TWO[3:], values="double")))
    assert raw.exact is None
    assert raw.data.tolist() == [1 / 3, 2 / 3, 1.0]


@pytest.mark.parametrize("third", ["0.333333", "0.3333333"])
def test_double_rows_of_six_digits_are_accepted(tmp_path: Path, third: str) -> None:
    rows = [f"{s} : {third}" for s in range(3)]
    lines = ("state 0", "action 0", *rows, "state 1", "action 0", "1 : 1", "state 2", "action 0", "2 : 1")
    assert read_raw(put(tmp_path, model(*lines, states=3, choices=3, values="double"))).data[0] == float(third)


def test_floats_of_rationals_are_correctly_rounded(tmp_path: Path) -> None:
    p, q = 7**90 + 1, 3**170
    raw = read_raw(put(tmp_path, model("state 0", "action 0", f"0 : {p}/{q}", f"1 : {q - p}/{q}", *TWO[3:])))
    assert raw.data[0] == float(F(p, q)) == p / q
    tiny = f"1/1{'0' * 400}"
    rest = f"{'9' * 400}/1{'0' * 400}"
    raw = read_raw(put(tmp_path, model("state 0", "action 0", f"0 : {tiny}", f"1 : {rest}", *TWO[3:])))
    assert raw.exact is not None
    assert raw.exact[0] == F(1, 10**400)  # kept, although its float64 is zero
    assert raw.indices.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("names", "brackets", "needed"),
    [
        (" ", "[5]", {"": 5.0}),  # Storm writes an empty name as a blank
        ("", "[5]", {"": 5.0}),  # an editor took the blank away
        ("", "", {}),
        (" time ", "[5, 6]", {"": 5.0, "time": 6.0}),
        ("time  ", "[5, 6]", {"time": 5.0, "": 6.0}),
        (" time", "[5]", {"time": 5.0}),
        ("a\tb", "[5,6]", {"a": 5.0, "b": 6.0}),
        ("a b ", "", {"a": 0.0, "b": 0.0}),  # no brackets: zero, as in Storm
    ],
)
def test_names_of_reward_models(tmp_path: Path, names: str, brackets: str, needed: dict[str, float]) -> None:
    lines = (f"state 0 {brackets} init", "action 0", "0 : 1")
    raw = read_raw(put(tmp_path, model(*lines, states=1, choices=1, head=f"@reward_models\n{names}\n")))
    assert {name: reward.state[0] for name, reward in raw.rewards.items()} == needed
    assert list(raw.rewards) == list(needed)
    assert all(reward.action.tolist() == [0.0] for reward in raw.rewards.values())


@pytest.mark.parametrize(
    ("tail", "labels"),
    [
        ('"a b""c d" e', ["a b", "c d", "e"]),
        (r'"say \"hi\" now" x', ['say "hi" now', "x"]),
        (r'"ends with \" x', ["ends with \\", "x"]),  # Storm's reading wins where there is one
        ("a//b", ["a//b"]),
        ("(x=1)&!y", ["(x=1)&!y"]),
        ('" "', [" "]),
    ],
)
def test_labels(tmp_path: Path, tail: str, labels: list[str]) -> None:
    raw = read_raw(put(tmp_path, model(f"state 0 {tail}", "action 0", "0 : 1", states=1, choices=1)))
    assert list(raw.labels) == labels


def test_comments_before_the_first_action_belong_to_the_state(tmp_path: Path) -> None:
    lines = ("// no state yet", "state 0", "//one", " // two ", "action 0", "// three", "0 : 1", "// four")
    raw = read_raw(put(tmp_path, model(*lines, states=1, choices=1)))
    assert raw.comments == ["one\ntwo"]


def test_comments_at_the_ends_of_lines(tmp_path: Path) -> None:
    tail = "state 0 [1] init goal // here\naction 0 // stays\n0 : 1 // for sure\n"
    text = f"@type: MDP\n@reward_models\nr\n@nr_states\n1\n@model\n{tail}"
    path = tmp_path / "m.drn"
    path.write_text(text)
    raw = read_raw(path)
    assert sorted(raw.labels) == ["goal", "init"]
    assert raw.pair_names == ["0"]
    assert raw.data.tolist() == [1.0]


def test_compressed_files_and_storms_archives(tmp_path: Path) -> None:
    plain = read_raw(put(tmp_path, SMALL))
    data = SMALL.encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("model.drn")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    for content in (data, archive.getvalue()):
        for name, packed in (("m.drn.gz", gzip.compress(content)), ("m.drn.xz", lzma.compress(content))):
            (tmp_path / name).write_bytes(packed)
            assert_same(plain, read_raw(str(tmp_path / name)))


# ------------------------------------------------------------------------------------------------ what is refused

REWARD = "@reward_models\ntime cost \n"  # two lines: the model begins at line 10

MALFORMED: dict[str, tuple[str, int, str]] = {
    "empty": ("", 1, "empty"),
    "only blanks": ("\n \n", 1, "empty"),
    "garbage first": ("hello\n", 1, "not a header line"),
    "no @type": ("@nr_states\n1\n@model\n", 3, "missing header key @type:"),
    "no @nr_states": ("@type: MDP\n\n@model\n", 3, "missing header key @nr_states"),
    "no @model": ("@type: MDP\n@nr_states\n1\n\n", 3, "ends before @model"),
    "duplicate @type": ("@type: MDP\n@type: MDP\n", 2, "duplicate header key @type:"),
    "duplicate @nr_states": ("@type: MDP\n@nr_states\n1\n@nr_states\n1\n", 4, "duplicate header key @nr_states"),
    "unknown key": ("@type: MDP\n@nr_state\n1\n", 2, "did you mean '@nr_states'"),
    "type without colon": ("@type MDP\n", 1, "write '@type:'"),
    "value on the line of the key": ("@type: MDP\n@nr_states 5\n", 2, "text after a header key"),
    "unknown type": ("// x\n@type: MPD\n", 2, "did you mean 'MDP'"),
    "unknown value type": ("@type: MDP\n@value_type: float\n", 2, "rational or double"),
    "nr_states not a number": ("@type: MDP\n@nr_states\nmany\n", 3, "@nr_states is not a natural number"),
    "nr_states not decimal digits": ("@type: MDP\n@nr_states\n1_0\n", 3, "@nr_states is not a natural number"),
    "nr_states negative": ("@type: MDP\n@nr_states\n-3\n", 3, "@nr_states is not a natural number"),
    "nr_states missing": ("@type: MDP\n@nr_states\n@model\n", 2, "@nr_states is not a natural number"),
    "nr_states at the end": ("@type: MDP\n@nr_states", 2, "@nr_states is not a natural number"),
    "nr_states zero": ("@type: MDP\n@nr_states\n0\n@model\n", 3, "without states"),
    "nr_choices not a number": ("@type: MDP\n@nr_choices\n// c\n2.5\n", 4, "@nr_choices is not a natural number"),
    "duplicate reward model": ("@type: MDP\n@reward_models\na b a\n", 2, "duplicate reward model 'a'"),
    "placeholder without colon": ("@type: MDP\n@placeholders\n$0 1/2\n", 3, "not a placeholder"),
    "placeholder twice": ("@type: MDP\n@placeholders\n$0 : 1\n$0 : 1\n", 4, "defined twice"),
    "placeholder not a number": (model(*TWO, head="@placeholders\n$0 : p+q\n"), 4, "placeholder $0 is not a number"),
    "unknown placeholder": (model("state 0", "action a", "1 : $7"), 10, "unknown placeholder"),
    "more states": (model(*TWO[:2], "0 : 1", *TWO[3:], states=1), 11, "more states than declared"),
    "fewer states": (model(*TWO, states=3), 4, "fewer states than declared"),
    "no states at all": (model(), 4, "fewer states than declared"),
    "more actions": (model(*TWO, choices=1), 12, "more actions than declared"),
    "fewer actions": (model(*TWO, choices=3), 6, "fewer actions than declared"),
    "states out of order": (model("state 1", *TWO[1:]), 8, "found: state 1"),
    "state twice": (model(*TWO[:3], *TWO[:3]), 11, "needed: state 1"),
    "state without index": (model("state", *TWO[1:]), 8, "state without index"),
    "state index not a number": (model("state zero", *TWO[1:]), 8, "state without index"),
    "deadlock": (model("state 0", "", "state 1", "action 0", "1 : 1"), 8, "state 0 has no action"),
    "deadlock at the end": (model("state 0", "action 0", "1 : 1", "state 1", "// end"), 11, "state 1 has no action"),
    "action before state": (model("action 0", "0 : 1"), 8, "action before any state"),
    "action without name": (model("state 0", "action", "0 : 1"), 9, "action without name"),
    "transition before state": (model("0 : 1"), 8, "transition before any action"),
    "transition before action": (model(*TWO[:4], "1 : 1"), 12, "transition before any action"),
    "action without transitions": (model("state 0", "action a", *TWO[3:]), 9, "action without transitions"),
    "destination out of range": (model("state 0", "action a", "2 : 1"), 10, "a state from 0 to 1"),
    "destination negative": (model("state 0", "action a", "-1 : 1"), 10, "destination is not a state index"),
    "destination not an integer": (model("state 0", "action a", "1.0 : 1"), 10, "destination is not a state index"),
    "no colon": (model("state 0", "action a", "1 1"), 10, "transition without ':'"),
    "no probability": (model("state 0", "action a", "1 :"), 10, "probability is not a number"),
    "probability a word": (model("state 0", "action a", "0 : 1", "1 : p"), 11, "probability is not a number"),
    "probability nan": (model("state 0", "action a", "1 : nan", values="double"), 10, "probability is not a number"),
    "probability inf": (model("state 0", "action a", "1 : inf", values="double"), 10, "probability is not a number"),
    "probability negative": (model("state 0", "action a", "0 : -1/2"), 10, "probability is negative"),
    "probability above one": (model("state 0", "action a", "0 : 4/3"), 10, "greater than 1"),
    "double above one": (model("state 0", "action a", "0 : 1.5", values="double"), 10, "greater than 1"),
    "double underflow": (model("state 0", "action a", "0 : 1e-400", values="double"), 10, "zero in float64"),
    "division by zero": (model("state 0", "action a", "0 : 1/0"), 10, "division by zero"),
    "two slashes": (model("state 0", "action a", "0 : 1/2/3"), 10, "probability is not a number"),
    "digits with underscore": (model("state 0", "action a", "0 : 1_0/20"), 10, "probability is not a number"),
    "huge exponent": (model("state 0", "action a", "0 : 1e-999999999"), 10, "exponent out of range"),
    "too many digits": (model("state 0", "action a", "0 : 1/" + "9" * 5000), 10, "too many digits"),
    "sum not one": (model("state 0", "action a", "0 : 1/3", "1 : 0.66", *TWO[3:]), 9, "149/150"),
    "sum of decimals not one": (model("state 0", "action a", "0 : 0.333", "1 : 0.666", *TWO[3:]), 9, "999/1000"),
    "second row not one": (model(*TWO[:5], "0 : 1/2"), 12, "found: 1/2"),
    "double sum": (model(*TWO[:5], "0 : 0.99999", values="double"), 12, "found: 0.99999"),
    "only explicit zeros": (model("state 0", "action a", "0 : 0", *TWO[3:]), 9, "do not sum to 1"),
    "duplicate destination": (
        model("state 0", "action a", "1 : 1/2", "// c", "0 : 0", "1 : 1/2", *TWO[3:]),
        13,
        "duplicate destination 1 (first on line 10)",
    ),
    "too few rewards": (model("state 0 [1]", *TWO[1:], head=REWARD), 10, "found: 1 in"),
    "too many rewards": (model("state 0 [1, 2, 3]", *TWO[1:], head=REWARD), 10, "found: 3 in"),
    "too few action rewards": (model("state 0 [1, 2]", "action a [1]", head=REWARD), 11, "wrong number of rewards"),
    "rewards undeclared": (model("state 0 [1, 2]", *TWO[1:]), 8, "needed: 0, one for each"),
    "no rewards in brackets": (model("state 0 []", *TWO[1:], head=REWARD), 10, "found: 0 in"),
    "reward not a number": (model("state 0 [1, x]", *TWO[1:], head=REWARD), 10, "reward 'cost' is not a number"),
    "reward infinite": (model("state 0 [1, inf]", *TWO[1:], head=REWARD), 10, "reward 'cost' is not a number"),
    "reward too large": (model("state 0 [1, 1e999]", *TWO[1:], head=REWARD), 10, "reward 'cost' is too large"),
    "double too large": (model("state 0 [1, 1e999]", *TWO[1:], head=REWARD, values="double"), 10, "too large"),
    "unterminated bracket": (model("state 0 [1, 2 init", *TWO[1:], head=REWARD), 10, "unterminated bracket"),
    "unterminated action bracket": (model("state 0", "action a [1, 2", head=REWARD), 11, "unterminated bracket"),
    "unterminated quote": (model('state 0 init "x = 1', *TWO[1:]), 8, "unterminated quote"),
    "quote inside": (model('state 0 a"b"', *TWO[1:]), 8, "misplaced quote"),
    "empty label": (model('state 0 ""', *TWO[1:]), 8, "misplaced quote"),
    "text after action": (model("state 0", "action a b", "1 : 1"), 9, "text after the action"),
    "text after action rewards": (model("state 0", "action a [1, 2] b", head=REWARD), 11, "text after the action"),
    "garbage in the model": (model(*TWO[:3], "what is this"), 11, "line not understood"),
    "header key in the model": (model(*TWO[:3], "@nr_states"), 11, "header key after @model"),
    "two actions in a DTMC": (
        "@type: DTMC\n@nr_states\n1\n@model\nstate 0\naction 0\n0 : 1\naction 1\n0 : 1\n",
        8,
        "second action in state 0 of a DTMC",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_name_the_line(tmp_path: Path, case: str) -> None:
    text, line, says = MALFORMED[case]
    path = put(tmp_path, text)
    with pytest.raises(ParseError) as caught:
        read_raw(path)
    assert f"{path}: line {caught.value.line}: " in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        *[
            (f"// x\n@type: {name}\n", f"line 2: models of type {name} are not supported")
            for name in ("CTMC", "Markov Automaton", "POMDP", "SMG", "S2PG")
        ],
        *[
            (f"@type: MDP\n@value_type: {name}\n", f"line 2: values of type {name} are not supported")
            for name in ("double-interval", "rational-interval", "parametric")
        ],
        ("@type: MDP\n@parameters\np q\n", "line 2: parametric models are not supported (parameters 'p q')"),
        (model("state 0 {3} init", *TWO[1:]), "line 8: state 0 has an observation '{3}'"),
        (
            model("state 0", "action a", "1 : [0.4, 0.9]", values=None),
            "line 9: probability is an interval '[0.4, 0.9]'",
        ),
    ],
)
def test_other_models_are_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        read_raw(put(tmp_path, text))
    assert says in str(caught.value)
    assert "MDP or DTMC with rational or double values are read" in str(caught.value)


@pytest.mark.parametrize(
    "head",
    [
        "@type: MDP\n@nr_states\n1000000000000\n@model\n",
        "@type: MDP\n@nr_states\n" + "9" * 5000 + "\n@model\n",
        "@type: MDP\n@nr_choices\n1000000000000\n@nr_states\n2\n@model\n",
    ],
)
def test_an_absurd_size_is_refused_before_allocating(tmp_path: Path, head: str) -> None:
    with pytest.raises(SizeError, match=r"too large to hold.*GiB"):
        read_raw(put(tmp_path, head + "\n".join(TWO)))


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_read_or_refused(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    text = SMALL
    for _ in range(data.draw(st.integers(1, 3))):
        i = data.draw(st.integers(0, len(text)))
        j = data.draw(st.integers(i, min(len(text), i + 20)))
        text = text[:i] + data.draw(st.text('\n\t :/[]{}"\\$@01289.e-statcion', max_size=4)) + text[j:]
    path = put(tmp_path_factory.mktemp("drn"), text)
    try:
        raw = read_raw(path)
    except MDPError as error:
        assert str(path) in str(error)  # noqa: PT017 (a fault is allowed, not required)
        return
    sums = np.add.reduceat(raw.data, raw.indptr[:-1])
    assert np.allclose(sums, 1, rtol=0, atol=1.1e-6)
    assert np.all(np.diff(raw.pair_ptr) >= 1)
    assert raw.pair_ptr[-1] == len(raw.pair_names) == len(raw.indptr) - 1
    assert raw.indices.max() < raw.n_states


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="no such file"):
        read_raw(tmp_path / "nowhere.drn")
    with pytest.raises(ParseError, match="is a directory"):
        read_raw(tmp_path)
    path = tmp_path / "latin.drn"
    path.write_bytes(b"@type: MDP\n// caf\xe9\n")
    with pytest.raises(ParseError, match=r"line 2: not UTF-8 text; found: byte 0xe9 at offset 17"):
        read_raw(path)
    path.write_bytes(gzip.compress(SMALL.encode()))
    with pytest.raises(ParseError, match=r"end in \.gz"):
        read_raw(path)


@pytest.mark.parametrize("ending", [".gz", ".xz"])
def test_truncated_or_corrupt_compression(tmp_path: Path, ending: str) -> None:
    rng = np.random.default_rng(0)
    noise = "".join(f"// {x}\n" for x in rng.integers(0, 2**62, 2000))
    packed = (gzip.compress if ending == ".gz" else lzma.compress)((SMALL + noise).encode())
    path = tmp_path / f"m.drn{ending}"
    damaged = bytearray(packed)
    damaged[len(damaged) // 2] ^= 0xFF
    for content in (packed[: len(packed) // 2], packed[:-4], bytes(damaged), b"plain text"):
        path.write_bytes(content)
        with pytest.raises(ParseError, match="truncated or corrupt"):
            read_raw(path)


def test_a_truncated_archive(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("model.drn")
        member.size = 5000
        tar.addfile(member, io.BytesIO(b"x" * 5000))
    path = tmp_path / "m.drn.gz"
    path.write_bytes(gzip.compress(archive.getvalue()[:2000]))
    with pytest.raises(ParseError, match="archive"):
        read_raw(path)


# -------------------------------------------------------------------------------------------------- what is written

words = st.text("abcXYZ019_-.:[]{}()=&|!/'$@#é∧", min_size=1, max_size=6)
label_texts = st.one_of(
    st.sampled_from(["init", "deadlock", "state", "true", "(x = 0)", "0", "a\\", "a b\\", "//", "{1}", "[1]"]),
    st.text(st.characters(exclude_characters='"\n\r', exclude_categories=("Cs",)), min_size=1, max_size=8),
)


@st.composite
def raws(draw: st.DrawFn) -> RawDRN:
    S = draw(st.integers(1, 5))
    rational = draw(st.booleans())
    deterministic = draw(st.booleans())
    actions = [1 if deterministic else draw(st.integers(1, 3)) for _ in range(S)]
    L = sum(actions)
    indptr, indices, exact = [0], [], []
    for _ in range(L):
        support = sorted(draw(st.sets(st.integers(0, S - 1), min_size=1)))
        weights = [draw(st.integers(1, 30)) for _ in support]
        indices += support
        exact += [F(w, sum(weights)) for w in weights]
        indptr.append(len(indices))
    floats = st.floats(allow_nan=False, allow_infinity=False)
    number = st.fractions(-100, 100, max_denominator=99) if rational else floats

    def reward(n: int) -> tuple[np.ndarray, np.ndarray | None]:
        values = draw(st.lists(number, min_size=n, max_size=n))
        return np.array([float(v) for v in values]), objects(values) if rational else None

    names = draw(st.lists(st.one_of(st.just(""), words.filter(lambda w: w[0] not in "@/")), max_size=3, unique=True))
    rewards = {}
    for name in names:
        (state, state_exact), (action, action_exact) = reward(S), reward(L)
        rewards[name] = RawReward(state, action, state_exact, action_exact)
    labels = {}
    for label in draw(st.lists(label_texts, max_size=4, unique=True)):
        states = np.array(draw(st.lists(st.booleans(), min_size=S, max_size=S)))
        if states.any():
            labels[label] = states
    comments = draw(
        st.one_of(st.none(), st.lists(st.sampled_from(["", "[x=1]", "a\n\nb", "// é"]), min_size=S, max_size=S))
    )
    return RawDRN(
        model_type="DTMC" if deterministic else "MDP",
        value_type="rational" if rational else "double",
        pair_ptr=np.concatenate(([0], np.cumsum(actions))).astype(np.int64),
        pair_names=[draw(words) for _ in range(L)],
        indptr=np.array(indptr, dtype=np.int64),
        indices=np.array(indices, dtype=np.uint32),
        data=np.array([float(p) for p in exact]),
        exact=objects(exact) if rational else None,
        rewards=rewards,
        labels=labels,
        comments=comments if comments is not None and any(comments) else None,
    )


def objects(values: list[Fraction]) -> np.ndarray:
    table = np.empty(len(values), dtype=object)
    table[:] = values
    return table


@given(raw=raws(), ending=st.sampled_from(["", ".gz", ".xz"]))
@settings(max_examples=150, deadline=None)
def test_round_trip(raw: RawDRN, ending: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("drn") / f"m.drn{ending}"
    write_raw(raw, path)
    again = read_raw(path)
    assert_same(raw, again)
    first = path.read_bytes()
    write_raw(raw, path, overwrite=True)
    assert path.read_bytes() == first  # reproducible


def test_written_text(tmp_path: Path) -> None:
    path = tmp_path / "out.drn"
    write_raw(read_raw(put(tmp_path, SMALL)), path)
    text = path.read_text()
    assert (
        'state 0 [1, 1/10] init "(x = 0)" done\n//[x=0\t& y=1]\n\taction go [0, -1/2]\n\t\t0 : 1/3\n\t\t2 : 2/3\n'
        in text
    )
    assert "\n@reward_models\ntime cost \n@nr_states\n3\n@nr_choices\n4\n@model\n" in text
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_existing_files_are_kept(tmp_path: Path) -> None:
    raw = read_raw(put(tmp_path, SMALL))
    path = tmp_path / "out.drn"
    path.write_text("precious")
    with pytest.raises(OutputExistsError, match=r"out\.drn exists"):
        write_raw(raw, path)
    assert path.read_text() == "precious"
    write_raw(raw, path, overwrite=True)
    assert_same(raw, read_raw(path))
    with pytest.raises(OptionError, match="is a directory"):
        write_raw(raw, tmp_path, overwrite=True)
    with pytest.raises(OptionError, match="does not exist"):
        write_raw(raw, tmp_path / "no" / "out.drn")


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = read_raw(put(tmp_path, SMALL))
    path = tmp_path / "out.drn"
    path.write_text("precious")

    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_raw(raw, path, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.drn", "out.drn"]
    assert path.read_text() == "precious"


@pytest.mark.parametrize("label", ['a"b', "", "a\nb", "a\rb"])
def test_labels_that_drn_cannot_hold_are_refused(tmp_path: Path, label: str) -> None:
    raw = read_raw(put(tmp_path, SMALL))
    raw.labels[label] = np.ones(3, dtype=bool)
    with pytest.raises(ModelError, match="cannot be written"):
        write_raw(raw, tmp_path / "out.drn")
    assert not (tmp_path / "out.drn").exists()


def test_models_that_drn_cannot_hold_are_refused(tmp_path: Path) -> None:
    raw = read_raw(put(tmp_path, SMALL))
    raw.pair_names[1] = "two words"
    with pytest.raises(ModelError, match="action name 'two words'"):
        write_raw(raw, tmp_path / "out.drn")
    raw.pair_names[1] = "b"
    raw.rewards["time"].state[1] = np.inf
    with pytest.raises(ModelError, match="state reward 'time' is not finite at 1"):
        write_raw(raw, tmp_path / "out.drn")


# ------------------------------------------------------------------------------------------------ benchmark models

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("MDPKIT_MODELS", ROOT.parent / "shared" / "models"))
HAVE_MODELS = (MODELS / "MANIFEST.csv").is_file()


@pytest.mark.skipif(not HAVE_MODELS, reason=f"no benchmark models in {MODELS} (set MDPKIT_MODELS)")
def test_benchmark_models(tmp_path: Path) -> None:
    with (MODELS / "MANIFEST.csv").open() as file:
        sizes = {
            row["drn"]: (int(row["states"]), int(row["choices"]), int(row["transitions"]))
            for row in csv.DictReader(file)
        }
    assert sizes
    for name, size in sizes.items():
        raw = read_raw(MODELS / name)
        assert (raw.n_states, raw.n_pairs, len(raw.indices)) == size, name
        assert raw.value_type == "rational"
        assert int(raw.labels["init"].sum()) == 1, name
        write_raw(raw, tmp_path / name)
        assert_same(raw, read_raw(tmp_path / name))
