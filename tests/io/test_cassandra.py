"""Cassandra's MDP files: published values, all forms of entries against arrays, round trips, malformed files."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import build, random_model

import mdpkit as mk
from mdpkit.errors import MDPError, OptionError, OutputExistsError, ParseError, UnsupportedError
from mdpkit.io import load, save
from mdpkit.io.cassandra import read, write
from mdpkit.models import MDP, AverageReward, Discounted, FiniteHorizon, TotalReward

F = Fraction
DATA = Path(__file__).parent / "data"

SMALL = """\
# two states
discount: 0.95
values: reward
states: left right
actions: stay go
start: left

T: stay identity
T: go : left : right 0.75
T: go : left : left 0.25
T: go : right
0.5 0.5
R: * : * : * 0
R: stay : right : * : * 1.5
"""


def put(folder: Path, text: str, name: str = "model.MDP") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_a_small_file(tmp_path):
    mdp = load(put(tmp_path, SMALL))
    assert (mdp.state_names, mdp.pair_names) == (("left", "right"), ("stay", "go", "stay", "go"))
    assert mdp.P.toarray().tolist() == [[1, 0], [0.25, 0.75], [0, 1], [0.5, 0.5]]
    assert mdp.P.exact.tolist() == [1, F(1, 4), F(3, 4), 1, F(1, 2), F(1, 2)]
    assert mdp.reward.exact.tolist() == [0, 0, F(3, 2), 0]
    assert mdp.reward.transition is None
    assert mdp.rho.tolist() == [1, 0]
    assert mdp.criterion == Discounted("0.95")
    assert mdp.is_exact
    assert not mdp.minimize


def test_russell_and_norvig():
    """Utilities of the 4x3 world as published (Artificial Intelligence: A Modern Approach, figure 17.3, recalled)."""
    mdp = load(DATA / "world4x3.MDP")
    assert mdp.criterion == TotalReward()
    value = dict(zip(mdp.state_names, mk.solve(mdp).V, strict=True))
    published = {
        "c13": 0.812, "c23": 0.868, "c33": 0.918, "c43": 1, "c12": 0.762, "c32": 0.660, "c42": -1,
        "c11": 0.705, "c21": 0.655, "c31": 0.611, "c41": 0.388,
    }  # fmt: skip
    for state, utility in published.items():
        assert abs(value[state] - utility) <= 0.0005 + 1e-9, state


def test_cost_and_numbers_as_names(tmp_path):
    mdp = load(put(tmp_path, "discount:.5 values:cost states:3 actions:2 start:2 T:* uniform R:1:*:* 2", "m.mdp"))
    assert mdp.minimize
    assert (mdp.state_names, mdp.pair_names) == (None, None)
    assert mdp.P.exact.tolist() == [F(1, 3)] * 18
    assert mdp.r.tolist() == [0, 2] * 3
    assert mdp.rho.tolist() == [0, 0, 1]
    assert mk.solve(mdp).V.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("start", "law"),
    [
        ("", None),
        ("start: 1", [0, 1, 0]),
        ("start: b", [0, 1, 0]),
        ("start: uniform", [F(1, 3)] * 3),
        ("start include: a 2", [F(1, 2), 0, F(1, 2)]),
        ("start exclude: b", [F(1, 2), 0, F(1, 2)]),
        ("start exclude: a b", [0, 0, 1]),
        ("start: 0.2 0.3 0.5", [F(1, 5), F(3, 10), F(1, 2)]),
        ("start: 0 1 0", [0, 1, 0]),
        ("start: 0.333333 0.333333 0.333333", [0.333333] * 3),
    ],
)
def test_starts(tmp_path, start, law):
    text = f"discount: 0.9\nvalues: reward\nstates: a b c\nactions: x\n{start}\nT: x identity\n"
    mdp = load(put(tmp_path, text))
    if law is None:
        assert mdp.rho is None
    elif isinstance(law[0], float):
        assert (mdp.rho.tolist(), mdp.rho_exact) == (law, None)
    else:
        assert mdp.rho_exact.tolist() == law


def test_reset_returns_to_the_start(tmp_path):
    text = SMALL.replace("T: go : right\n0.5 0.5", "T: go : right reset").replace("start: left", "start: 0.25 0.75")
    assert load(put(tmp_path, text)).P.toarray()[3].tolist() == [0.25, 0.75]


def test_words_of_the_format_as_names(tmp_path):
    text = "discount: 1 values: reward states: T R actions: start include T: start : T : R 1 T: include identity "
    mdp = load(put(tmp_path, text + "T: start : R : R 1.0 R: start : T : * 4"))
    assert mdp.state_names == ("T", "R")
    assert mdp.pair_names[:2] == ("start", "include")
    assert mdp.r.tolist() == [4, 0, 0, 0]


def test_rounded_rows_are_floats(tmp_path):
    text = "discount: 0.9\nvalues: reward\nstates: 3\nactions: 1\nT: 0\n" + "0.333333 0.333334 0.333333\n" * 2
    exact = load(put(tmp_path, text + "1 0 0\n"))
    assert exact.P.exact is not None
    with pytest.warns(mk.ModelWarning, match="sum to one only to"):
        rough = load(put(tmp_path, text + "0.333333 0.333333 0.333333\n"))
    assert rough.P.exact is None
    assert rough.P.data.tolist() == [0.333333, 0.333334, 0.333333] * 2 + [0.333333] * 3
    with pytest.raises(ParseError, match=r"line 8: .*do not sum to 1"):
        load(put(tmp_path, text + "0.333333 0.333333 0.333331\n"))


# -- every form of entry against arrays --------------------------------------------------------------------------------


@st.composite
def programs(draw):
    """A file of random entries, and the arrays that result when each is carried out in turn."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    S, A = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    named = draw(st.booleans())
    s_names = [f"s{i}" if named else str(i) for i in range(S)]
    a_names = [f"a{i}" if named else str(i) for i in range(A)]
    P, r = np.zeros((A, S, S), dtype=object), np.zeros((A, S, S), dtype=object)
    lines = []

    def pick(names):
        i = int(rng.integers(-1, len(names)))
        if i < 0:
            return "*", slice(None)
        return (names[i] if rng.random() < 0.7 else str(i)), slice(i, i + 1)

    def row():
        weights = rng.multinomial(10, np.ones(S) / S)
        return [F(int(w), 10) for w in weights]

    def text(numbers):
        return " ".join(str(float(x)) for x in numbers)

    for _ in range(int(rng.integers(0, 12))):
        (an, a), (sn, s), (tn, t) = pick(a_names), pick(s_names), pick(s_names)
        kind = int(rng.integers(10))
        if kind <= 2:
            p = F(int(rng.integers(0, 11)), 10)
            P[a, s, t] = p
            lines.append(f"T: {an} : {sn} : {tn} {float(p)}")
        elif kind == 3:
            numbers = row()
            P[a, s, :] = numbers
            lines.append(f"T : {an}:{sn}\n{text(numbers)}")
        elif kind == 4:
            P[a, s, :] = F(1, S)
            lines.append(f"T: {an} : {sn} uniform")
        elif kind == 5:
            matrix = [row() for _ in range(S)]
            P[a] = np.array(matrix, dtype=object)
            lines.append(f"T: {an}\n" + "\n".join(map(text, matrix)))
        elif kind == 6:
            which = rng.choice(["uniform", "identity"])
            P[a] = F(1, S) if which == "uniform" else np.eye(S, dtype=int).astype(object)
            lines.append(f"T: {an} {which}")
        elif kind == 7:
            x = F(int(rng.integers(-9, 10)), 4)
            r[a, s, t] = x
            lines.append(f"R: {an} : {sn} : {tn} {': *' if rng.random() < 0.5 else ''} {float(x)}")
        elif kind == 8:
            numbers = [F(int(x)) for x in rng.integers(-3, 4, size=S)]
            r[a, s, :] = numbers
            lines.append(f"R: {an} : {sn} {text(numbers)} # a row")
        else:
            numbers = np.array([F(int(x)) for x in rng.integers(-3, 4, size=S * S)], dtype=object).reshape(S, S)
            r[a] = numbers
            lines.append(f"R: {an}\n" + "\n".join(text(part) for part in numbers))
    for a in range(A):  # rows that do not sum to one yet
        for s in range(S):
            if sum(P[a, s]) != 1:
                P[a, s] = row()
                lines.append(f"T: {a} : {s} {text(P[a, s])}")
    states = " ".join(s_names) if named else str(S)
    actions = " ".join(a_names) if named else str(A)
    head = f"discount: 0.5\nvalues: reward\nstates: {states}\nactions: {actions}\n"
    return head + "\n".join(lines) + "\n", P, r


@settings(max_examples=100, deadline=None)
@given(program=programs())
def test_entries_in_turn(program, tmp_path_factory):
    text, P, r = program
    mdp = read(put(tmp_path_factory.getbasetemp(), text))
    want = P.transpose(1, 0, 2).reshape(-1, P.shape[2])
    rows, columns = np.nonzero(want)
    assert mdp.P.indptr.tolist() == np.searchsorted(rows, np.arange(len(want) + 1)).tolist()
    assert mdp.P.indices.tolist() == columns.tolist()
    assert mdp.P.exact.tolist() == want[rows, columns].tolist()
    expected = (P * r).sum(axis=2).T.ravel()
    assert mdp.reward.exact.tolist() == expected.tolist()
    if mdp.reward.transition is not None:
        assert mdp.reward.transition_exact.tolist() == r.transpose(1, 0, 2).reshape(want.shape)[rows, columns].tolist()


# -- round trips -------------------------------------------------------------------------------------------------------


def assert_same(a: MDP, b: MDP) -> None:
    assert a == b
    assert a.state_names == b.state_names
    assert a.pair_names == b.pair_names
    assert a.criterion == b.criterion
    np.testing.assert_array_equal(a.rho, b.rho)
    if a.P.exact is not None:
        assert a.P == b.P
        if a.reward.exact is not None:
            assert a.reward.exact.tolist() == b.reward.exact.tolist()
    np.testing.assert_array_equal(a.reward.transition, b.reward.transition)


@st.composite
def models(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    S, A = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    weights = rng.multinomial(8, np.ones(S) / S, size=(S, A))
    P = weights / 8 if draw(st.booleans()) else rng.dirichlet(np.ones(S), size=(S, A))
    shape = draw(st.sampled_from([(S, A), (S, A, S)]))
    r = rng.choice([1.0, 1e-9, 1e200], size=shape) * rng.normal(size=shape)
    if draw(st.booleans()):
        P = np.array([[[F(int(w), 8) for w in row] for row in rows] for rows in weights], dtype=object)
        r = np.array([F(int(x), 40) for x in rng.integers(-99, 99, size=r.size)], dtype=object).reshape(shape)
    if draw(st.booleans()):
        P = np.full((S, A, S), F(1, S), dtype=object)
        r = rng.integers(-9, 9, size=shape).astype(object)
    law = draw(st.sampled_from([None, "state", "uniform", "some", "floats"]))
    rho = {
        None: None,
        "state": S - 1,
        "uniform": np.array([F(1, S)] * S, dtype=object),
        "some": np.array([F(1, 2), F(1, 2)] + [F(0)] * (S - 2), dtype=object) if S > 1 else 0,
        "floats": rng.dirichlet(np.ones(S)),
    }[law]
    return MDP(
        P,
        r,
        draw(st.sampled_from([Discounted(0.9), Discounted("0.125"), TotalReward()])),
        rho=rho,
        minimize=draw(st.booleans()),
        state_names=[f"s-{i}" for i in range(S)] if draw(st.booleans()) else None,
        pair_names=[f"a_{i}" for i in range(A)] * S if draw(st.booleans()) else None,
    )


@settings(max_examples=60, deadline=None)
@given(mdp=models())
def test_round_trip(mdp, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "copy.mdp"
    save(mdp, path, overwrite=True)
    assert_same(mdp, load(path))


def test_files_come_back(tmp_path):
    mdp = load(DATA / "world4x3.MDP")
    save(mdp, tmp_path / "copy.MDP")
    assert_same(mdp, load(tmp_path / "copy.MDP"))
    with pytest.raises(OutputExistsError):
        save(mdp, tmp_path / "copy.MDP")


def test_benchmark_models(tmp_path):
    """What of a benchmark model the format can hold, once the rest is taken away."""
    if not os.environ.get("MDPKIT_MODELS"):
        pytest.skip("no benchmark models (set MDPKIT_MODELS)")
    mdp = load(Path(os.environ["MDPKIT_MODELS"]) / "ij.3.drn.gz")
    with pytest.raises(UnsupportedError, match="differ from state to state"):
        save(mdp, tmp_path / "m.mdp")
    chain = mdp.induced(np.zeros(mdp.n_states, dtype=int))
    plain = MDP(chain.P, 0.0, Discounted("0.5"), state=chain.state, action=chain.action, rho=chain.rho)
    save(plain, tmp_path / "m.mdp")
    again = load(tmp_path / "m.mdp")
    assert again.P == plain.P
    assert again == plain


def test_what_the_format_cannot_hold(tmp_path):
    half = np.ones((2, 1, 2)) / 2
    third = [[["1/3", "2/3"]], [["0", "1"]]]
    ragged = build(random_model(np.random.default_rng(1), 4, 3, (0, 1)), Discounted(0.5))
    assert ragged.n_pairs < ragged.n_states * ragged.n_actions
    refused = {
        "stage": MDP(np.ones((2, 1, 1, 1)), 0.0, FiniteHorizon(2)),
        "from state to state": ragged,
        "no labels": MDP(half, 0.0, Discounted(0.5), labels={"goal": [0]}),
        "second reward structure": MDP(half, 0.0, Discounted(0.5), rewards={"more": np.ones(2)}),
        "without active reward": MDP(half, None, Discounted(0.5)),
        "without criterion": MDP(half, 0.0),
        "such criterion": MDP(half, 0.0, AverageReward()),
        "such criterion; found: TotalReward": MDP(half, 0.0, TotalReward([0])),
        "finite decimal": MDP(third, 0.0, Discounted(0.5)),
        "discount that is no finite decimal": MDP(half, 0.0, Discounted("1/3")),
        "state of this name": MDP(half, 0.0, Discounted(0.5), state_names=["a", "b c"]),
        "action of this name": MDP(half, 0.0, Discounted(0.5), pair_names=["uniform", "uniform"]),
        "names differ from state to state": MDP(half, 0.0, Discounted(0.5), pair_names=["x", "y"]),
        "bits of floats": MDP(np.array([[[0.1, 0.2, 0.7]]] * 3), 0.0, Discounted(0.5)).exact(dyadic=True),
    }
    for what, mdp in refused.items():
        with pytest.raises(UnsupportedError, match=what):
            save(mdp, tmp_path / "m.mdp")
    assert not list(tmp_path.iterdir())
    with pytest.raises(OptionError, match="does not exist"):
        save(MDP(half, 0.0, Discounted(0.5)), tmp_path / "nowhere" / "m.mdp")


def test_lossy(tmp_path):
    P = [[["1/3", "2/3"]], [["0", "1"]]]
    mdp = MDP(P, ["1/7", "2"], Discounted("1/3"), labels={"x": [1]}, rewards={"more": [1, 2]}, state_names=[(0,), (1,)])
    write(mdp, tmp_path / "m.mdp", lossy=True)
    again = read(tmp_path / "m.mdp")
    assert again.P.data.tolist() == mdp.P.data.tolist()
    assert again.r.tolist() == mdp.r.tolist()
    assert again.criterion == mdp.criterion
    assert (again.labels, again.state_names, list(again.rewards)) == ({}, None, ["r"])


# -- malformed files ---------------------------------------------------------------------------------------------------


def change(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new)


BAD = {
    "empty": ("", 1, "empty"),
    "comments only": ("# nothing\n\n# here\n", 1, "empty"),
    "no discount": (change("discount: 0.95\n", ""), 13, "no discount:"),
    "no values": (change("values: reward\n", ""), 13, "no values:"),
    "no states": (change("states: left right\n", ""), 5, "start: before states:"),
    "no actions": (change("actions: stay go\n", ""), 5, "start: before actions:"),
    "two discounts": (change("values: reward", "discount: 0.5"), 3, "a second discount:"),
    "discount above one": (change("0.95", "1.5"), 2, r"outside \[0, 1\]"),
    "discount too near one": (change("0.95", "0." + "9" * 30), 2, "rounds to 1"),
    "negative discount": (change("0.95", "-0.5"), 2, r"outside \[0, 1\]"),
    "discount is a word": (change("0.95", "high"), 2, "not a number"),
    "discount is a fraction": (change("0.95", "19/20"), 2, "not a number"),
    "discount nan": (change("0.95", "nan"), 2, "not a number"),
    "discount missing": (change("discount: 0.95", "discount:"), 3, "not a number"),
    "huge exponent": (change("0.95", "1e-999999999"), 2, "exponent"),
    "values unknown": (change("values: reward", "values: profit"), 3, "reward or cost"),
    "colon missing": (change("values: reward", "values reward"), 3, "not understood"),
    "zero states": (change("states: left right", "states: 0"), 4, "no states"),
    "negative states": (change("states: left right", "states: -2"), 4, "not the name of a state"),
    "states without list": (change("states: left right", "states:"), 5, "without number or names"),
    "fractional states": (change("states: left right", "states: 2.5"), 4, "not the name of a state"),
    "absurd states": (change("states: left right", "states: 99999999999999999999"), 4, "more states than fit"),
    "absurd actions": (change("actions: stay go", "actions: 999999999999"), 5, "more actions than fit"),
    "state named twice": (change("left right", "left left"), 4, "named twice"),
    "state named by a number": (change("left right", "left 2nd"), 4, "not the name of a state"),
    "start unknown": (change("start: left", "start: lft"), 6, "did you mean 'left'"),
    "start out of range": (change("start: left", "start: 2"), 6, "out of range"),
    "start wildcard": (change("start: left", "start: *"), 6, r"\* is no state here"),
    "start too short": (change("start: left", "start: 1.0"), 6, "too few numbers"),
    "start too long": (change("start: left", "start: 0.5 0.25 0.25"), 6, "the initial law has more numbers than fit"),
    "start sums to two": (change("start: left", "start: 1.0 1.0"), 6, "does not sum to 1"),
    "start negative": (change("start: left", "start: 1.5 -0.5"), 6, "not a probability"),
    "start excludes all": (change("start: left", "start exclude: left right"), 6, "leaves no state"),
    "start includes none": (change("start: left", "start include:"), 8, "leaves no state"),
    "unknown action": (change("T: stay identity", "T: stya identity"), 8, "did you mean 'stay'"),
    "unknown state": (change("left : right", "left : rigt"), 9, "did you mean 'right'"),
    "action out of range": (change("T: stay", "T: 2"), 8, "action out of range"),
    "negative state": (change("left : right", "left : -1"), 9, "unknown state"),
    "probability above one": (change("0.75", "1.75"), 9, "greater than 1"),
    "negative probability": (change("0.25", "-0.25"), 10, "negative"),
    "probability nan": (change("0.25", "nan"), 10, "not a number"),
    "probability infinite": (change("0.25", "inf"), 10, "not a number"),
    "probability of two points": (change("0.25", "0.2.5"), 10, "not a number"),
    "probability missing": (change("left : right 0.75", "left : right"), 10, "not a number"),
    "two probabilities": (change("0.75", "0.75 0.25"), 9, "more numbers than fit"),
    "row sums to less": (change("0.25", "0.2"), 10, "action go in state left do not sum to 1"),
    "row too short": (change("0.5 0.5", "1.0"), 12, "too few numbers"),
    "row too long": (change("0.5 0.5", "0.5 0.25 0.25"), 12, "more numbers than fit"),
    "row with a word": (change("0.5 0.5", "0.5 half"), 12, "not a number"),
    "row of identity": (change("right\n0.5 0.5", "right identity"), 11, "does not stand for a row"),
    "matrix of reset": (change("stay identity", "stay reset"), 8, "does not stand for a matrix"),
    "matrix too short": (change("stay identity", "stay\n1 0\n0"), 10, "too few numbers"),
    "row not given": (change("T: go : right\n0.5 0.5\n", ""), 12, "action go has no transitions in state right"),
    "matrix not given": (change("T: stay identity\n", ""), 13, "action stay has no transitions in state left"),
    "row set to zero": (change("0.5 0.5", "0 0"), 11, "action go has no transitions in state right"),
    "reset without start": (SMALL.replace("start: left\n", "").replace("0.5 0.5", "reset"), 11, "reset without start:"),
    "reward is a word": (change("1.5", "much"), 14, "not a number"),
    "reward infinite": (change("1.5", "1e400"), 14, "beyond the range"),
    "reward missing": (change(" 1.5\n", "\n"), 14, "ends in the middle"),
    "reward on an observation": (change("* : * 1.5", "* : left 1.5"), 14, "reward on an observation"),
    "reward row too short": (change("R: * : * : * 0", "R: * : * 1.0"), 13, "too few numbers"),
    "reward of five parts": (change("* : * 1.5", "* : * : * 1.5"), 14, "not a number"),
    "unknown section": (change("R: * : * : * 0", "Q: * : * : * 0"), 13, "not understood"),
    "T without colon": (change("T: stay", "T stay"), 8, "not understood"),
    "T before states": ("discount: 0.9\nT: * identity\n" + SMALL, 2, "T: before states:"),
    "ends after T": (SMALL + "T:", 15, "ends in the middle"),
    "not UTF-8": (None, 1, "not UTF-8"),
    "binary": ("\0\1\2\3", 1, "not understood"),
    "DRN renamed": ("@type: MDP\n@value_type: double\n", 1, "not understood"),
}


@pytest.mark.parametrize("name", BAD)
def test_malformed(tmp_path, name):
    text, line, message = BAD[name]
    path = put(tmp_path, text or "", "bad.MDP")
    if text is None:
        path.write_bytes(b"discount: \xff")
    with pytest.raises(ParseError, match=message) as caught:
        load(path)
    assert caught.value.line == line
    assert f"bad.MDP: line {line}: " in str(caught.value)


@pytest.mark.parametrize("extra", ["observations: 2\n", "O: go\nuniform\n"])
def test_observations_are_refused(tmp_path, extra):
    path = put(tmp_path, SMALL.replace("start: left", extra + "start: left"))
    with pytest.raises(UnsupportedError, match=r"model\.MDP: line 6: .*POMDP"):
        load(path)


def test_directory_and_missing_file(tmp_path):
    (tmp_path / "m.MDP").mkdir()
    with pytest.raises(ParseError, match="directory"):
        load(tmp_path / "m.MDP")
    with pytest.raises(ParseError, match="no such file"):
        load(tmp_path / "nowhere.mdp")


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_scrambled_files_raise_nothing_else(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    words = SMALL.split()
    for _ in range(int(rng.integers(1, 4))):
        k = int(rng.integers(len(words)))
        words[k] = [words[int(rng.integers(len(words)))], "", "*", "7", ":", "uniform", "start"][int(rng.integers(7))]
    path = put(tmp_path_factory.getbasetemp(), " ".join(words), "scrambled.mdp")
    try:
        load(path)
    except MDPError as error:
        message = str(error)
    else:
        message = "scrambled.mdp: line 1"
    assert "scrambled.mdp: line 1" in message


def test_large_files_are_linear(tmp_path):
    """A wildcard of rewards, sparse rows and a default: nothing of the order of states times states is made."""
    n = 60_000  # a matrix of n x n numbers would not fit in memory
    lines = [f"discount: 0.9\nvalues: reward\nstates: {n}\nactions: 2\nT: * identity\nR: * : * : * -1"]
    lines += [f"T: 0 : {s} : {s} 0.5\nT: 0 : {s} : {s + 1} 0.5" for s in range(0, n - 1, 20)]
    mdp = load(put(tmp_path, "\n".join(lines)))
    assert mdp.n_transitions == 2 * n + len(lines) - 1
    assert set(mdp.r.tolist()) == {-1.0}
