"""PRISM's explicit files: models read by hand, round trips, the benchmark files, and malformed files."""

from __future__ import annotations

import gzip
import lzma
import os
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mdpkit as mk
from mdpkit.errors import (
    ModelError,
    ModelWarning,
    OutputExistsError,
    ParseError,
    SizeError,
    UnsupportedError,
)
from mdpkit.io import prism
from mdpkit.io.prism import Valuation
from mdpkit.models import MDP, FiniteHorizon, Transitions
from tests.strategies import build, models

F = Fraction

TRA = """# Transitions (MDP)
3 4 6
0 0 1 1/3 go
0 0 2 2/3 go
0 1 0 1 wait

1 0 1 1
# 2 0 2 1
2 0 0 0.5 back
2 0 1 5e-1 back
"""
STA = "(x,done)\n0:(0,false)\n1:(-3,true)\n2:(2,false)\n"
LAB = '0="init" 1="deadlock" 2="goal"\n0: 0\n1: 1 2\n'
TIME_S = '# Reward structure "time"\n# State rewards\n3 2\n0 1/3\n2 2\n'
TIME_T = '# Reward structure "time"\n# Transition rewards\n3 4 1\n0 1 0 5\n'
GAIN_T = '# Reward structure "gain"\n# Transition rewards\n3 4 2\n0 0 1 6\n2 0 1 -0.5\n'
FILES = {
    ".tra": TRA, ".sta": STA, ".lab": LAB, "1.srew": TIME_S, "1.trew": TIME_T, "2.trew": GAIN_T,
}  # fmt: skip

CHAIN = "3 4\n0 0 0.1\n0 1 0.9\n1 2 1 jump\n2 2 1\n"


def store(folder: Path, files: dict[str, str | bytes]) -> Path:
    for ending, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / f"model{ending}").write_bytes(data)
    return folder / "model.tra"


def assert_same(a: MDP, b: MDP) -> None:
    """Equal in everything that the files hold."""
    assert a == b
    assert (a.P.exact is None) == (b.P.exact is None)
    if a.P.exact is not None:
        assert a.P.exact.tolist() == b.P.exact.tolist()
    assert a.action.tolist() == b.action.tolist()
    assert a.pair_names is None or a.pair_names == b.pair_names
    assert list(a.rewards) == list(b.rewards)
    for name, reward in a.rewards.items():
        other = b.rewards[name]
        assert reward.values.tobytes() == other.values.tobytes()
        assert (reward.transition is None) == (other.transition is None)
        if reward.exact is not None:
            assert reward.exact.tolist() == other.exact.tolist()
        if reward.transition is not None:
            assert reward.transition.tobytes() == other.transition.tobytes()
    labels = {name: mask.tolist() for name, mask in b.labels.items()}
    if a.rho is None:
        assert b.rho is None
    else:
        assert a.rho.tolist() == b.rho.tolist()
    assert {name: mask.tolist() for name, mask in a.labels.items()} == {
        k: v for k, v in labels.items() if k in a.labels
    }
    assert set(labels) <= {*a.labels, "init"}


# ------------------------------------------------------------------------------------------------- what is read


def test_files_by_hand(tmp_path: Path) -> None:
    mdp = mk.load(store(tmp_path, FILES))
    assert (mdp.n_states, mdp.n_pairs) == (3, 4)
    assert mdp.state.tolist() == [0, 0, 1, 2]
    assert mdp.action.tolist() == [0, 1, 0, 0]
    assert mdp.pair_names == ("go", "wait", "0", "back")
    assert mdp.P.indptr.tolist() == [0, 2, 3, 4, 6]
    assert mdp.P.indices.tolist() == [1, 2, 0, 1, 0, 1]
    assert mdp.P.exact.tolist() == [F(1, 3), F(2, 3), 1, 1, F(1, 2), F(1, 2)]
    assert mdp.rewards["time"].exact.tolist() == [F(1, 3), F(16, 3), 0, 2]
    assert mdp.rewards["time"].transition is None
    gain = mdp.rewards["gain"]
    assert gain.transition_exact.tolist() == [6, 0, 0, 0, 0, F(-1, 2)]
    assert gain.exact.tolist() == [2, 0, 0, F(-1, 4)]
    assert mdp.rho.tolist() == [1, 0, 0]
    assert {name: np.flatnonzero(mask).tolist() for name, mask in mdp.labels.items()} == {
        "init": [0],
        "deadlock": [1],
        "goal": [1],
    }
    assert mdp.state_names == ((0, False), (-3, True), (2, False))
    assert str(mdp.state_names[1]) == "x=-3, done=true"


def test_chain(tmp_path: Path) -> None:
    files = {".tra": CHAIN, ".srew": "3 1\n1 0.25\n", ".trew": "3 1\n0 1 2\n"}
    mdp = mk.load(store(tmp_path, files))
    assert mdp.pair_names == ("0", "jump", "0")
    assert mdp.P.exact.tolist() == [F(1, 10), F(9, 10), 1, 1]  # rows of decimals that sum to one are rational
    assert mdp.rewards[""].exact.tolist() == [F(9, 5), F(1, 4), 0]
    assert mdp.rewards[""].transition_exact.tolist() == [0, 2, F(1, 4), 0]
    assert mdp.rho.tolist() == [1, 0, 0]  # PRISM's initial state where no label says otherwise
    assert mdp.labels["init"].tolist() == [True, False, False]


def test_solving_a_property_of_the_files_agrees_with_the_value_by_hand(tmp_path: Path) -> None:
    mdp = mk.load(store(tmp_path, FILES))
    # from 0, "go" enters the goal with 1/3 or returns from state 2 with half of the remaining 2/3: 2/3 / (1 - 1/3)
    solution = mk.solve(mdp.under('Pmin=? [F<=2 "goal"]'), exact=True)
    assert solution.exact_value == 0
    assert mk.solve(mdp.under('Pmax=? [F<=2 "goal"]'), exact=True).exact_value == F(2, 3)
    assert mk.solve(mdp.under('R{"time"}max=? [F "goal"]'), exact=True).exact_value == np.inf


@pytest.mark.parametrize(
    ("rows", "exact"),
    [
        (["0.1", "0.2", "0.7"], True),
        (["1/3", "0.5", "1/6"], True),
        (["0.1", "2e-1", "0.7"], False),
        (["0.333333", "0.333333", "0.333333"], False),
        (["0.3333333333333333", "0.3333333333333333", "0.3333333333333333"], False),
        (["0.1234567891234567891", "0.3", "0.5765432108765432109"], True),
    ],
)
@pytest.mark.filterwarnings("ignore:.*sum to one only to:mdpkit.errors.ModelWarning")
def test_rational_or_double(tmp_path: Path, rows: list[str], exact: bool) -> None:
    body = "".join(f"0 {t} {p}\n" for t, p in enumerate(rows))
    mdp = mk.load(store(tmp_path, {".tra": f"3 5\n{body}1 1 1\n2 2 1\n"}))
    assert (mdp.P.exact is not None) == exact
    assert mdp.P.data.tolist() == [*[float(F(p)) for p in rows], 1, 1]
    if exact:
        assert mdp.P.exact.tolist()[:3] == [F(p) for p in rows]


def test_rows_and_orders_of_lines(tmp_path: Path) -> None:
    one = (
        "6 10 16\n0 0 1 0.1 south\n0 0 3 0.8 south\n0 0 4 0.1 south\n0 1 0 0.4 east\n0 1 1 0.6 east\n1 0 2 0.5 south\n"
    )
    one += "1 0 4 0.5 south\n1 1 2 1 east\n2 0 2 1 stuck\n3 0 3 1 stuck\n4 0 3 0.6 west\n4 0 4 0.4 west\n4 1 5 1 east\n"
    one += "5 0 2 0.9 north\n5 0 5 0.1 north\n5 1 4 1 west\n"
    rolled = "6 10 16\n0 0.1:1 0.8:3 0.1:4 south\n0 0.4:0 0.6:1 east\n1 0.5:2 0.5:4 south\n1 1:2 east\n2 1:2 stuck\n"
    rolled += "3 1:3 stuck\n4 0.6:3 0.4:4 west\n4 1:5 east\n5 0.9:2 0.1:5 north\n5 1:4 west\n"
    trew, trew_rolled = "6 10 2\n2 0 2 3.5\n3 0 3 3.5\n", "6 10 2\n0\n0\n1\n1\n2 3.5:2\n3 3.5:3\n4\n4\n5\n5\n"
    head, *lines = one.splitlines()
    shuffled = "\r\n".join([head, *(lines[k] for k in np.random.default_rng(0).permutation(16)), ""])
    wanted = mk.load(store(tmp_path, {".tra": one, ".trew": trew}))
    assert wanted.r.tolist() == [0, 0, 0, 0, 3.5, 3.5, 0, 0, 0, 0]
    for files in ({".tra": rolled, ".trew": trew_rolled}, {".tra": "\ufeff" + shuffled, ".trew": trew}):
        assert_same(wanted, mk.load(store(tmp_path, files)))
    store(tmp_path, {".trew": "6 10 0\n" + "".join(f"{s}\n" for s in (0, 0, 1, 1, 2, 3, 4, 4, 5, 5))})
    assert not mk.load(tmp_path / "model.tra").r.any()


def test_actions_of_a_chain_that_differ_are_no_name(tmp_path: Path) -> None:
    mdp = mk.load(store(tmp_path, {".tra": "2 3\n0 0 0.5 a\n0 1 0.5 b\n1 1 1 c\n"}))
    assert mdp.pair_names == ("0", "c")


def test_initial_states_in_the_transitions_file(tmp_path: Path) -> None:
    text = "2 2 2\n- - 1 -\n0 0 0 1\n1 0 1 1\n"
    assert mk.load(store(tmp_path, {".tra": text})).rho.tolist() == [0, 1]
    assert mk.load(store(tmp_path, {".tra": text, ".lab": '0="init"\n1: 0\n'})).rho.tolist() == [0, 1]
    with pytest.raises(ParseError, match=r"model.lab: line 2: other initial states"):
        mk.load(store(tmp_path, {".lab": '0="init"\n0: 0\n'}))
    (tmp_path / "model.lab").unlink()
    mdp = mk.load(store(tmp_path, {".tra": "2 2\n- 0 -\n- 1 -\n0 0 1\n1 1 1\n"}))
    assert mdp.rho is None
    assert mdp.labels["init"].all()


def test_deadlocks_are_refused_or_fixed(tmp_path: Path) -> None:
    path = store(tmp_path, {".tra": "6 3 5\n0 0 0 0.4 east\n0 0 1 0.6 east\n1 0 2 0.5\n1 0 4 0.5\n4 0 5 1\n"})
    with pytest.raises(
        ParseError, match=r"line 1: state 2 of 6 has no transition \(and 2 more states\).*fix_deadlocks"
    ):
        mk.load(path)
    mdp = prism.read(path, fix_deadlocks=True)
    assert mdp.P.toarray()[[2, 3, 5]].tolist() == np.eye(6)[[2, 3, 5]].tolist()
    assert np.flatnonzero(mdp.labels["deadlock"]).tolist() == [2, 3, 5]
    assert mdp.P.exact[0] == F(2, 5)
    store(tmp_path, {".tra": "1000000000000 1 1\n0 0 0 1\n"})
    with pytest.raises(ParseError, match="state 1 of 1000000000000 has no transition"):
        mk.load(path)
    with pytest.raises(SizeError, match=r"model.tra: line 1: a model too large"):
        prism.read(path, fix_deadlocks=True)


def test_compressed_siblings(tmp_path: Path) -> None:
    wanted = mk.load(store(tmp_path, FILES))
    (tmp_path / "packed").mkdir()
    packers = [gzip.compress, lzma.compress, bytes]
    for k, (ending, text) in enumerate(FILES.items()):
        pack, suffix = packers[k % 3], (".gz", ".xz", "")[k % 3]
        (tmp_path / "packed" / f"m{ending}{suffix}").write_bytes(pack(text.encode()))
    again = mk.load(tmp_path / "packed" / "m.tra.gz")
    assert_same(wanted, again)
    assert again.state_names == wanted.state_names


def test_names_of_reward_structures(tmp_path: Path) -> None:
    unnamed = "3 1\n0 1\n"
    files = {".tra": CHAIN, "2.srew": unnamed, "10.srew": "# Reward structure\n# State rewards\n" + unnamed}
    assert list(mk.load(store(tmp_path, files)).rewards) == ["2", "10"]
    files = {"2.srew": '# Reward structure "b"\n' + unnamed}
    mdp = mk.load(store(tmp_path, files))
    assert list(mdp.rewards) == ["b", ""]
    assert mdp.active is None
    # PRISM's -exportrows heads the rewards of transitions with no name
    files = {"2.trew": "3 1\n0 2:1\n", "10.srew": unnamed}
    mdp = mk.load(store(tmp_path, files))
    assert {name: reward.values.tolist()[0] for name, reward in mdp.rewards.items()} == {"b": pytest.approx(2.8), "": 1}
    (tmp_path / "model2.trew").unlink()
    # the rewards of a model of a longer name are not this model's
    (tmp_path / "model2.tra").write_text(CHAIN)
    assert list(mk.load(tmp_path / "model.tra").rewards) == [""]


# ---------------------------------------------------------------------------------------------- what is refused


def tra(*rows: str, head: str = "2 2 2") -> dict[str, str]:
    return {".tra": "\n".join([head, *rows, ""])}


GOOD = ("0 0 1 1", "1 0 1 1")
LONG = "9" * 5000

MALFORMED: dict[str, tuple[dict[str, str | bytes], str, int | None, str]] = {
    # the transitions file
    "empty": ({".tra": ""}, ".tra", 1, "empty"),
    "blank": ({".tra": " \n\n"}, ".tra", 1, "empty"),
    "comments alone": ({".tra": "# Transitions (MDP)\n"}, ".tra", 1, "no header"),
    "header alone": (tra(), ".tra", 1, "fewer transitions than declared"),
    "no transitions declared": (tra(head="2 2 0"), ".tra", 1, "without transitions"),
    "no states": (tra(*GOOD, head="0 2 2"), ".tra", 1, "without states"),
    "one count": (tra(*GOOD, head="2"), ".tra", 1, "not a header"),
    "five counts": (tra(*GOOD, head="2 2 2 2 2"), ".tra", 1, "not a header"),
    "count a word": (tra(*GOOD, head="2 two 2"), ".tra", 1, "not a header"),
    "count negative": (tra(*GOOD, head="2 -2 2"), ".tra", 1, "not a header"),
    "count a decimal": (tra(*GOOD, head="2 2.0 2"), ".tra", 1, "not a header"),
    "no header": (tra(*GOOD[1:], head=GOOD[0]), ".tra", 1, "needed: S"),
    "storm's hint": (tra(*GOOD, head="mdp"), ".tra", 1, "Storm"),
    "fewer transitions": (tra(*GOOD, head="2 2 3"), ".tra", 1, "fewer transitions than declared; found: 2"),
    "more transitions": (tra(*GOOD, head="2 2 1"), ".tra", 3, "more transitions than declared; found: 2"),
    "fewer choices": (tra(*GOOD, head="2 3 2"), ".tra", 1, "another number of choices than declared; found: 2"),
    "more choices": (tra(*GOOD, head="2 1 2"), ".tra", 1, "another number of choices than declared; found: 2"),
    "absurd states": (tra(*GOOD, head="1000000000000 2 2"), ".tra", 1, "state 2 of 1000000000000 has no transition"),
    "absurd choices": (tra(*GOOD, head="2 1000000000000 2"), ".tra", 1, "another number of choices"),
    "absurd transitions": (tra(*GOOD, head="2 2 1000000000000"), ".tra", 1, "fewer transitions"),
    "count of many digits": (tra(*GOOD, head=f"{LONG} 2 2"), ".tra", 1, "has no transition"),
    "missing state": (tra("0 0 2 1", "2 0 2 1", head="3 2 2"), ".tra", 1, "state 1 of 3 has no transition"),
    "missing last state": (tra("0 0 0 1", head="2 1 1"), ".tra", 1, "state 1 of 2 has no transition"),
    "source out of range": (tra(*GOOD, "2 0 0 1", head="2 3 3"), ".tra", 4, "state is out of range; found: 2"),
    "target out of range": (tra("0 0 7 1", GOOD[1]), ".tra", 2, "target state is out of range; found: 7"),
    "source negative": (tra("-1 0 1 1", GOOD[1]), ".tra", 2, "state is not a natural number"),
    "source a decimal": (tra("0.0 0 1 1", GOOD[1]), ".tra", 2, "state is not a natural number"),
    "choice a word": (tra("0 a 1 1", GOOD[1]), ".tra", 2, "choice is not a natural number"),
    "choice negative": (tra("0 -1 1 1", GOOD[1]), ".tra", 2, "choice is not a natural number"),
    "target of many digits": (tra(f"0 0 {LONG} 1", GOOD[1]), ".tra", 2, "target state is too large"),
    "choice of many digits": (tra("0 999999999999999999 1 1", GOOD[1]), ".tra", 2, "but no choice 0"),
    "arabic digits": (tra("0 0 \u0661 1", GOOD[1]), ".tra", 2, "not a natural number"),
    "choices with a gap": (tra(*GOOD, "1 2 1 1", head="2 3 3"), ".tra", 4, "state 1 has choice 2 but no choice 1"),
    "choices from one": (tra(GOOD[0], "1 1 1 1"), ".tra", 3, "state 1 has choice 1 but no choice 0"),
    "too few entries": (tra("0 0", GOOD[1]), ".tra", 2, "too few entries"),
    "no probability": (tra("0 0 1", GOOD[1]), ".tra", 2, "transition systems"),
    "too many entries": (tra("0 0 1 1 a b", GOOD[1]), ".tra", 2, "too many entries"),
    "rows of a DTMC in an MDP": (tra("0 1 1", "1 1 1"), ".tra", 2, "too few entries"),
    "named rows of an MDP in a DTMC": (tra("0 0 1 1 a", GOOD[1], head="2 2"), ".tra", 2, "an MDP's are S L T"),
    "trailing garbage": (tra(*GOOD, "the end"), ".tra", 4, "too few entries"),
    "truncated": (tra(GOOD[0], "1 0"), ".tra", 3, "too few entries"),
    "negative": (tra("0 0 1 -0.5", "0 0 0 1.5", GOOD[1], head="2 2 3"), ".tra", 2, "probability is negative"),
    "above one": (tra("0 0 1 1.5", GOOD[1]), ".tra", 2, "greater than 1"),
    "above one, rational": (tra("0 0 1 4/3", GOOD[1]), ".tra", 2, "greater than 1"),
    "a bit above one, rational": (tra(f"0 0 1 {10**30 + 1}/{10**30}", GOOD[1]), ".tra", 2, "greater than 1"),
    "rates": (tra("0 1 3", "1 1 1", head="2 2"), ".tra", 2, "of a CTMC"),
    "nan": (tra("0 0 1 nan", GOOD[1]), ".tra", 2, "not a number"),
    "inf": (tra("0 0 1 inf", GOOD[1]), ".tra", 2, "not a number"),
    "a word": (tra("0 0 1 p", GOOD[1]), ".tra", 2, "not a number"),
    "a placeholder": (tra("0 0 1 $p", GOOD[1]), ".tra", 2, "not a number"),
    "underscore": (tra("0 0 1 1_0", GOOD[1]), ".tra", 2, "not a number"),
    "decimal comma": (tra("0 0 1 0,5", GOOD[1]), ".tra", 2, "not a number"),
    "hexadecimal": (tra("0 0 1 0x1", GOOD[1]), ".tra", 2, "not a number"),
    "two points": (tra("0 0 1 1.0.0", GOOD[1]), ".tra", 2, "not a number"),
    "exponent alone": (tra("0 0 1 e1", GOOD[1]), ".tra", 2, "not a number"),
    "overflow": (tra("0 0 1 1e999999999", GOOD[1]), ".tra", 2, "probability is too large"),
    "underflow": (tra("0 0 1 1e-400", GOOD[1]), ".tra", 2, "zero in float64"),
    "trap": (tra("0 0 1 1e-999999999", "1 0 1 1/1"), ".tra", 2, "exponent out of range"),
    "many digits": (tra(f"0 0 1 1/{LONG}", GOOD[1]), ".tra", 2, "too many digits"),
    "division by zero": (tra("0 0 1 1/0", GOOD[1]), ".tra", 2, "division by zero"),
    "sum": (
        tra("0 0 0 0.5", "0 0 1 0.4", GOOD[1], head="2 2 3"), ".tra", 2, "of state 0, choice 0 do not sum to 1; found: 0.9",
    ),
    "sum of the second choice": (
        tra(*GOOD, "1 1 0 1/2", head="2 3 3"), ".tra", 4, "of state 1, choice 1 do not sum to 1; found: 1/2",
    ),
    "sum in a file with fractions": (tra("0 0 0 0.333333", "0 0 1 2/3", GOOD[1], head="2 2 3"), ".tra", 2, "do not sum to 1"),
    "only zeros": (tra("0 0 1 0", GOOD[1]), ".tra", 2, "do not sum to 1"),
    "duplicate": (
        tra("0 0 1 0.5", GOOD[1], "0 0 1 0.5", head="2 2 3"),
        ".tra", 4, "duplicate transition of state 0, choice 0 to state 1 (first on line 2)",
    ),
    "two names of a choice": (
        tra("0 0 0 0.5 a", "0 0 1 0.5 b", GOOD[1], head="2 2 3"), ".tra", 3, "two action names; found: 'a, b'",
    ),
    "name of half a choice": (tra("0 0 0 0.5 a", "0 0 1 0.5", GOOD[1], head="2 2 3"), ".tra", 3, "found: 'a, none'"),
    "wrong type": ({".tra": "# Transitions (DTMC)\n2 2 2\n0 0 1 1\n1 0 1 1\n"}, ".tra", 2, "does not fit"),
    "unknown type": ({".tra": "# Transitions (XYZ)\n2 2 2\n"}, ".tra", 1, "unknown model type"),
    "another file": ({".tra": "# Labels\n0=\"init\"\n"}, ".tra", 1, "labels in a .tra file"),
    "binary": ({".tra": bytes(range(256))}, ".tra", 2, "not UTF-8"),
    "zeros": ({".tra": b"\0" * 100}, ".tra", 1, "not a header"),
    "utf-16": ({".tra": "2 2 2\n".encode("utf-16")}, ".tra", 1, "not UTF-8"),
    "utf-16 without mark": ({".tra": "2 2 2\n".encode("utf-16-le")}, ".tra", 1, "not a header"),
    "rolled": (tra("0 1:1 a b", "1 1:1"), ".tra", 2, "not a row"),
    "rolled without value": (tra("0 :1", "1 1:1"), ".tra", 2, "not a transition"),
    "rolled with two colons": (tra("0 1:1:1", "1 1:1"), ".tra", 2, "not a natural number"),
    "rolled chain with choices": (tra("0 1:1", "0 1:1", head="2 2"), ".tra", 3, "a second row of state '0'"),
    "initial line": (tra("- - x -", *GOOD), ".tra", 2, "initial state is not a natural number"),
    "short initial line": (tra("- 0 -", *GOOD), ".tra", 2, "not an initial state"),
    # labels
    "labels empty": ({".lab": ""}, ".lab", 1, "empty"),
    "labels without declaration": ({".lab": "# no\n"}, ".lab", 1, "no labels are declared"),
    "labels undeclared": ({".lab": "0: 0\n"}, ".lab", 1, "not a declaration"),
    "labels of Storm": ({".lab": "#DECLARATION\ninit\n#END\n0 init\n"}, ".lab", 1, "Storm"),
    "label without quotes": ({".lab": "0=init\n"}, ".lab", 1, "not a declaration"),
    "label unterminated": ({".lab": '0="init\n'}, ".lab", 1, "not a declaration"),
    "labels not separated": ({".lab": '0="a"1="b"\n'}, ".lab", 1, "not a declaration"),
    "label index twice": ({".lab": '1="init" 1="goal"\n'}, ".lab", 1, "label index 1 is declared twice"),
    "label index huge": ({".lab": f'{LONG}="init"\n'}, ".lab", 1, "label index is too large"),
    "label twice": ({".lab": '0="a" 1="a"\n'}, ".lab", 1, "declared twice"),
    "label without name": ({".lab": '0=""\n'}, ".lab", 1, "empty label"),
    "label of an unknown state": ({".lab": '0="init"\n3: 0\n'}, ".lab", 2, "state out of range; found: 3"),
    "label of a huge state": ({".lab": f'0="init"\n{LONG}: 0\n'}, ".lab", 2, "state out of range"),
    "label of a negative state": ({".lab": '0="init"\n-1: 0\n'}, ".lab", 2, "not a line of labels"),
    "label without colon": ({".lab": '0="init"\n0 0\n'}, ".lab", 2, "not a line of labels"),
    "unknown label": ({".lab": '0="init"\n0: 1\n'}, ".lab", 2, "not the index of a label; found: '1'"),
    "label by name": ({".lab": '0="init"\n0: init\n'}, ".lab", 2, "not the index of a label"),
    "state without labels": ({".lab": '0="init"\n0:\n'}, ".lab", 2, "without labels"),
    "labels binary": ({".lab": b'0="init"\n\xff\n'}, ".lab", 2, "not UTF-8"),
    "other header in labels": ({".lab": '# States\n0="init"\n'}, ".lab", 1, "states in a .lab file"),
    # states
    "states empty": ({".sta": "\n"}, ".sta", 1, "empty"),
    "states without variables": ({".sta": "0:(0)\n"}, ".sta", 1, "not a declaration of variables"),
    "variable twice": ({".sta": "(x,x)\n"}, ".sta", 1, "distinct names"),
    "variable without name": ({".sta": "(x,)\n"}, ".sta", 1, "without a name"),
    "missing valuations": ({".sta": "(x)\n0:(0)\n1:(1)\n"}, ".sta", 3, "fewer states than in the transitions file"),
    "unknown state": ({".sta": STA + "3:(0,true)\n"}, ".sta", 5, "state out of range"),
    "state twice": ({".sta": STA + "2:(0,true)\n"}, ".sta", 5, "state 2 is listed twice"),
    "too few values": ({".sta": "(x,y)\n0:(0)\n"}, ".sta", 2, "wrong number of values; found: 1 values"),
    "value a word": ({".sta": "(x)\n0:(a)\n"}, ".sta", 2, "not a value"),
    "value a decimal": ({".sta": "(x)\n0:(0.5)\n"}, ".sta", 2, "not a value"),
    "value of many digits": ({".sta": f"(x)\n0:({LONG})\n"}, ".sta", 2, "not a value"),
    "no parenthesis": ({".sta": "(x)\n0:0\n"}, ".sta", 2, "not a line of values"),
    "no state index": ({".sta": "(x)\n(0)\n"}, ".sta", 2, "not a line of values"),
    # rewards
    "rewards empty": ({"1.srew": ""}, "1.srew", 1, "empty"),
    "rewards without header": ({"1.srew": '# Reward structure "time"\n'}, "1.srew", 1, "no header"),
    "rewards of other states": ({"1.srew": TIME_S.replace("3 2", "4 2")}, "1.srew", 3, "other size; found: 4"),
    "rewards of other choices": ({"1.trew": TIME_T.replace("3 4 1", "3 5 1")}, "1.trew", 3, "other size; found: 3 5"),
    "rewards of a chain": ({"1.trew": TIME_T.replace("3 4 1", "3 1")}, "1.trew", 3, "not a header; found: '3 1'"),
    "rewards' header a word": ({"1.srew": TIME_S.replace("3 2", "3 n")}, "1.srew", 3, "not a header"),
    "fewer rewards": ({"1.srew": TIME_S.replace("3 2", "3 3")}, "1.srew", 3, "fewer rewards than declared"),
    "more rewards": ({"1.srew": TIME_S.replace("3 2", "3 1")}, "1.srew", 5, "more rewards than declared"),
    "absurd rewards": ({"1.srew": TIME_S.replace("3 2", "3 1000000000000")}, "1.srew", 3, "fewer rewards"),
    "reward of an unknown state": ({"1.srew": TIME_S.replace("2 2\n", "3 2\n")}, "1.srew", 5, "state is out of range"),
    "reward twice": ({"1.srew": TIME_S.replace("2 2\n", "0 2\n")}, "1.srew", 5, "a second reward of a state (first on line 4)"),
    "transition reward twice": (
        {"1.trew": TIME_T.replace("1 0 5", "1 0 5\n0 1 0 5").replace("4 1\n", "4 2\n")},
        "1.trew", 5, "a second reward of a transition",
    ),
    "reward nan": ({"1.srew": TIME_S.replace("2 2\n", "2 nan\n")}, "1.srew", 5, "reward is not a number"),
    "reward inf": ({"1.srew": TIME_S.replace("2 2\n", "2 -inf\n")}, "1.srew", 5, "reward is not a number"),
    "reward too large": ({"1.srew": TIME_S.replace("2 2\n", "2 1e999\n")}, "1.srew", 5, "reward is too large"),
    "reward trap": ({"1.srew": TIME_S.replace("2 2\n", "2 1e999999999\n")}, "1.srew", 5, "exponent out of range"),
    "sum of rewards too large": (
        {"1.srew": TIME_S.replace("0 1/3", "0 1e308"), "1.trew": TIME_T.replace("0 5", "0 1e308")},
        ".tra", 2, "a sum of rewards is too large",
    ),
    "too few entries of a reward": ({"1.trew": TIME_T.replace("0 1 0 5", "0 1 5")}, "1.trew", 4, "too few entries"),
    "too many entries of a reward": ({"1.srew": TIME_S.replace("2 2\n", "2 2 2\n")}, "1.srew", 5, "too many entries"),
    "reward of no choice": ({"1.trew": TIME_T.replace("0 1 0 5", "0 2 0 5")}, "1.trew", 4, "a transition that is none"),
    "reward of no transition": ({"1.trew": TIME_T.replace("0 1 0 5", "0 1 1 5")}, "1.trew", 4, "a transition that is none"),
    "reward beyond the last transition": ({"1.trew": TIME_T.replace("0 1 0 5", "2 0 2 5")}, "1.trew", 4, "is none"),
    "names that differ": ({"1.trew": GAIN_T}, "1.trew", 1, "different names; found: 'time', 'gain'"),
    "one name twice": ({"2.trew": TIME_T}, "2.trew", 1, "bear the name 'time'"),
    "two names": ({"1.srew": '# Reward structure "a"\n' + TIME_S}, "1.srew", 2, "a second reward structure"),
    "with and without number": ({".srew": TIME_S}, ".srew", 1, "with and without a number"),
    "state rewards in .trew": ({"1.trew": TIME_S}, "1.trew", 2, "state rewards in a .trew file"),
    "transition rewards in .srew": ({"1.srew": TIME_T}, "1.srew", 2, "transition rewards in a .srew file"),
    "rewards binary": ({"1.srew": b"\x89PNG\r\n\xff"}, "1.srew", 1, "not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_name_the_line(tmp_path: Path, case: str) -> None:
    files, ending, line, says = MALFORMED[case]
    path = store(tmp_path, files if ".tra" in files else {**FILES, **files})
    with pytest.raises(ParseError) as caught:
        mk.load(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / f'model{ending}'}: line {line}: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# Transitions (CTMC)\n2 2\n0 1 1\n1 1 1\n", "line 1: models of type CTMC"),
        ("# Transitions (POMDP)\n2 2 2 1\n", "line 1: models of type POMDP"),
        ("2 2 2 1\n0 0 1 1 0\n1 0 1 1 0\n", "line 1: four counts"),
        ("2 2 2\n0 0 1 [0.4,1]\n1 0 1 1\n", r"line 2: probability is an interval '\[0.4,1\]'"),
    ],
)
def test_other_models_are_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"model.tra: {says}.*MDPs and DTMCs are read"):
        mk.load(store(tmp_path, {".tra": text}))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "model.tra"
    for read in (mk.load, prism.read):
        with pytest.raises(ParseError, match="no such file"):
            read(path)
    path.mkdir()
    for read in (mk.load, prism.read):
        with pytest.raises(ParseError, match="is a directory"):
            read(path)
    path.rmdir()
    store(tmp_path, FILES)
    for ending in (".lab", ".sta", "1.srew"):
        (tmp_path / f"model{ending}").unlink()
        (tmp_path / f"model{ending}").mkdir()
        with pytest.raises(ParseError, match=rf"model{ending}: is a directory"):
            mk.load(path)
        (tmp_path / f"model{ending}").rmdir()
        (tmp_path / f"model{ending}").symlink_to(tmp_path / "nowhere")
        with pytest.raises(ParseError, match=rf"model{ending}: no such file"):
            mk.load(path)
        (tmp_path / f"model{ending}").unlink()
    packed = gzip.compress(TRA.encode())
    (tmp_path / "cut.tra.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ParseError, match="truncated or corrupt gz data"):
        mk.load(tmp_path / "cut.tra.gz")
    (tmp_path / "m.tra").write_bytes(packed)
    with pytest.raises(ParseError, match=r"let the name end in \.gz"):
        mk.load(tmp_path / "m.tra")


@given(data=st.data())
@settings(max_examples=100, deadline=None)
@pytest.mark.filterwarnings("ignore:.*sum to one only to:mdpkit.errors.ModelWarning")
def test_damaged_files_are_read_or_refused(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    files = (
        dict(FILES) if data.draw(st.booleans()) else {**FILES, ".tra": TRA.replace("1/3", "0.25").replace("2/3", ".75")}
    )
    ending = data.draw(st.sampled_from(list(files)))
    text = files[ending]
    for _ in range(data.draw(st.integers(1, 3))):
        i = data.draw(st.integers(0, len(text)))
        j = data.draw(st.integers(i, min(len(text), i + 8)))
        text = text[:i] + data.draw(st.text('\n\r\t :/()#"-=01239.e,\0ä', max_size=4)) + text[j:]
    files[ending] = text
    folder = tmp_path_factory.mktemp("prism")
    try:
        mdp = mk.load(store(folder, files))
    except (ParseError, UnsupportedError) as error:
        assert str(folder) in str(error)  # noqa: PT017 (a fault is allowed, not required)
        return
    assert np.allclose(mdp.P.toarray().sum(axis=1), 1, rtol=0, atol=1.1e-6)
    assert all(np.isfinite(reward.values).all() for reward in mdp.rewards.values())


# -------------------------------------------------------------------------------------------------- what is written

words = st.text("abcXYZ019_-.:[]{}()=&|!/'$@#é∧", min_size=1, max_size=6)
texts = st.text(st.characters(exclude_characters='"\n\r', exclude_categories=("Cs",)), min_size=1, max_size=8)


@st.composite
def mdps(draw: st.DrawFn) -> MDP:
    """Models with all that the files hold."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    exact = draw(st.booleans())
    base = build(draw(models(S=5)), None, exact=exact)
    L, S, P = base.n_pairs, base.n_states, base.P
    if not exact and draw(st.booleans()):
        data = rng.random(P.nnz)
        P = Transitions(P.indptr, P.indices, data / np.bincount(P.row_of, data)[P.row_of], S)
    number = st.fractions(-9, 9, max_denominator=9) if exact else st.floats(-1e300, 1e300)
    rewards = {}
    for name in draw(st.lists(st.one_of(st.just(""), texts), max_size=3, unique=True)):
        if draw(st.booleans()):
            entries = draw(st.lists(number, min_size=P.nnz, max_size=P.nnz))
            dense = np.zeros((S, base.n_actions, S), dtype=object if exact else float)
            dense[base.state[P.row_of], base.action[P.row_of], P.indices] = entries
            values = dense
            first = P.indptr[:-1][P.row_of]
            if all(entries[k] == entries[first[k]] for k in range(P.nnz)):
                values = np.array([entries[k] for k in P.indptr[:-1]], dtype=object if exact else float)
        else:
            drawn = draw(st.lists(number, min_size=L, max_size=L))
            values = np.array(drawn, dtype=object if exact else float)
        rewards[name] = values
    labels = {
        name: np.array(draw(st.lists(st.booleans(), min_size=S, max_size=S)))
        for name in draw(st.lists(texts.filter(lambda t: t != "init"), max_size=3, unique=True))
    }
    return MDP(
        P,
        state=base.state,
        action=base.action,
        rewards=rewards,
        labels=labels,
        rho=draw(st.one_of(st.none(), st.integers(0, S - 1))),
        state_names=draw(st.sampled_from([None, [(s, s % 2 == 0) for s in range(S)]])),
        pair_names=draw(st.one_of(st.none(), st.lists(words, min_size=L, max_size=L))),
    )


@given(mdp=mdps(), packing=st.sampled_from(["", ".gz", ".xz"]))
@settings(max_examples=50, deadline=None)
def test_round_trip(mdp: MDP, packing: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("prism")
    path = folder / f"m.tra{packing}"
    mdp.save(path)
    again = mk.load(path)
    assert_same(mdp, again)
    assert again.state_names == mdp.state_names
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    again.save(path, overwrite=True)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before  # reproducible


def test_variables_keep_their_names(tmp_path: Path) -> None:
    mdp = mk.load(store(tmp_path, FILES))
    mdp.save(tmp_path / "copy.tra")
    assert (tmp_path / "copy.sta").read_text() == STA
    assert (tmp_path / "copy.lab").read_text() == LAB
    assert (tmp_path / "copy1.trew").read_text().startswith('# Reward structure "time"\n# Transition rewards\n3 4 5\n')
    name = pickle.loads(pickle.dumps(mdp.state_names[1]))
    assert (name, name.variables) == ((-3, True), ("x", "done"))
    mdp.save(tmp_path / "copy.npz")
    assert mk.load(tmp_path / "copy.npz").state_names == mdp.state_names


def test_zeros_keep_their_sign(tmp_path: Path) -> None:
    mdp = MDP(np.ones((1, 2, 1)), np.array([[0.0, -0.0]]), rho=0)
    mdp.save(tmp_path / "model.tra")
    again = mk.load(tmp_path / "model.tra")
    assert again.digest == mdp.digest
    assert np.signbit(again.r).tolist() == [False, True]


def test_indices_of_labels_may_have_gaps(tmp_path: Path) -> None:
    path = store(tmp_path, {".tra": CHAIN, ".lab": '7="goal" 1="init"\n0: 1\n2: 7\n'})
    assert {name: np.flatnonzero(mask).tolist() for name, mask in mk.load(path).labels.items()} == {
        "goal": [2],
        "init": [0],
    }


def test_rewards_of_old_names_do_not_go_unnoticed(tmp_path: Path) -> None:
    path = store(tmp_path, {".tra": CHAIN, ".rews": "3 1\n0 1\n"})
    with pytest.warns(mk.ModelWarning, match=r"model\.rews is not read.*model\.srew"):
        assert mk.load(path).rewards == {}
    (tmp_path / "model.rews").rename(tmp_path / "model.srew")
    assert mk.load(path).r.tolist() == [1, 0, 0]


def test_blanks_around_values_of_variables(tmp_path: Path) -> None:
    mdp = mk.load(store(tmp_path, FILES))
    (tmp_path / "model.sta").write_text(STA.replace(",", ", ").replace(":(", ": ( "))
    again = mk.load(tmp_path / "model.tra")
    assert again.state_names == mdp.state_names
    assert [name.variables for name in again.state_names] == [("x", "done")] * 3


def test_written_text(tmp_path: Path) -> None:
    P = np.array([[[0.5, 0.5]], [[0.0, 1.0]]])
    MDP(P, np.array([1.0, -0.0]), rho=0).save(tmp_path / "m.tra")
    assert (tmp_path / "m.tra").read_text() == "2 3\n0 0 0.5e0\n0 1 0.5\n1 1 1.0\n"
    assert (tmp_path / "m.srew").read_text() == '# Reward structure "r"\n# State rewards\n2 2\n0 1.0\n1 -0.0\n'
    assert (tmp_path / "m.lab").read_text() == '0="init"\n0: 0\n'
    assert mk.load(tmp_path / "m.tra").P.exact is None


def test_float_rewards_of_rational_laws_are_written_by_their_bits(tmp_path: Path) -> None:
    mdp = MDP([[["1/3", "2/3"]], [["0", "1"]]], np.array([0.1, 0.5]), rho=0)
    mdp.save(tmp_path / "m.tra")
    assert mk.load(tmp_path / "m.tra").reward.exact.tolist() == [F(0.1), F(1, 2)]


def test_existing_files_are_kept_and_stale_ones_removed(tmp_path: Path) -> None:
    big = mk.load(store(tmp_path, FILES))
    small = MDP(np.ones((1, 1, 1)), 1.0, rho=0)
    big.save(tmp_path / "x.tra")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(OutputExistsError, match=r"x\.tra exists"):
        small.save(tmp_path / "x.tra")
    (tmp_path / "x.tra").unlink()
    del before["x.tra"]
    with pytest.raises(OutputExistsError, match=r"x\.(lab|sta|.*rew) exists"):  # they would be taken for the model's
        small.save(tmp_path / "x.tra")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    small.save(tmp_path / "x.tra", overwrite=True)
    assert sorted(p.name for p in tmp_path.glob("*x*")) == ["x.lab", "x.srew", "x.tra"]
    assert mk.load(tmp_path / "x.tra") == small


def test_a_failed_write_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    big = mk.load(store(tmp_path, FILES))
    big.save(tmp_path / "x.tra")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    replace = os.replace
    small = MDP(np.ones((1, 1, 1)), 1.0, rho=0)
    for failing in range(8):
        calls = iter(range(100))

        def broken(source: Path, target: Path, failing: int = failing, calls: object = calls) -> None:
            if next(calls) == failing:
                raise OSError("disk full")
            replace(source, target)

        monkeypatch.setattr(os, "replace", broken)
        with pytest.raises(OSError, match="disk full"):
            small.save(tmp_path / "x.tra", overwrite=True)
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_what_the_files_cannot_hold(tmp_path: Path) -> None:
    P = np.ones((2, 1, 2)) / 2
    spread = MDP(P, 0.0, rho=np.array([0.5, 0.5]))
    staged = MDP(np.ones((2, 1, 1, 1)), 0.0, FiniteHorizon(2), rho=0)
    bits = MDP(np.array([[[0.1, 0.2, 0.7]]] * 3), 0.0, rho=0).exact(dyadic=True)
    for mdp in (spread, staged, bits):
        with pytest.raises(UnsupportedError, match=r"PRISM's format has no .*save to \.npz"):
            mdp.save(tmp_path / "m.tra")
    for bad in ({"labels": {'a"b': [0]}}, {"labels": {"": [0]}}, {"rewards": {'"': 0.0}}, {"pair_names": ["a b", "c"]}):
        with pytest.raises(ModelError, match="cannot be written"):
            MDP(P, **bad).save(tmp_path / "m.tra")
    assert not list(tmp_path.iterdir())


def test_names_that_are_no_valuations_are_left_out(tmp_path: Path) -> None:
    MDP(np.ones((2, 1, 2)) / 2, state_names=["left", "right"]).save(tmp_path / "m.tra")
    assert mk.load(tmp_path / "m.tra").state_names is None
    assert not (tmp_path / "m.sta").exists()
    assert str(Valuation((1, False))) == "x0=1, x1=false"


def test_probabilities_of_six_digits(tmp_path: Path) -> None:
    rows = "".join(f"{s} {t} 0.333333\n" for s in range(3) for t in range(3))
    with pytest.warns(ModelWarning, match="sum to one only to"):
        mdp = mk.load(store(tmp_path, {".tra": f"3 9\n{rows}"}))
    mdp.save(tmp_path / "copy.tra")
    with pytest.warns(ModelWarning, match="sum to one only to"):
        again = mk.load(tmp_path / "copy.tra")
    assert_same(mdp, again)


# ------------------------------------------------------------------------------------------------ benchmark models

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("MDPKIT_MODELS", ROOT.parent / "shared" / "models"))


@pytest.mark.skipif(not (MODELS / "MANIFEST.csv").is_file(), reason=f"no models in {MODELS} (set MDPKIT_MODELS)")
def test_benchmark_models(tmp_path: Path) -> None:
    for source in sorted(MODELS.glob("*.drn.gz")):
        mdp = mk.load(source)
        path = tmp_path / f"{source.name.removesuffix('.drn.gz')}.tra"
        mdp.save(path)
        assert_same(mdp, mk.load(path))
