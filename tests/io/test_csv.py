"""Transitions in CSV: tables read by hand, round trips, the benchmark files, and malformed files."""

from __future__ import annotations

import csv
import gzip
import io
import os
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mdpkit as mk
from mdpkit.errors import ModelWarning, OutputExistsError, ParseError, UnsupportedError
from mdpkit.io import csv_table
from mdpkit.models import MDP, Discounted, FiniteHorizon, TotalReward, Transitions
from tests.strategies import build, models

F = Fraction

HEAD = "idstatefrom,idaction,idstateto,probability,reward"
TABLE = f"""{HEAD}
0,0,0,0.8,0
0,0,1,0.2,0.5
1,0,0,5e-1,1
1,0,1,0.5,1
0,2,0,0.1,1
0,2,1,.9,1
"""


def table(*rows: str, head: str = HEAD) -> str:
    return "\n".join([head, *rows, ""])


def put(folder: Path, text: str | bytes, name: str = "model.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def assert_same(a: MDP, b: MDP) -> None:
    """Equal in everything that the file holds."""
    assert a.state.tolist() == b.state.tolist()
    assert a.action.tolist() == b.action.tolist()
    assert (a.P.exact is None) == (b.P.exact is None)
    assert a.P.indptr.tolist() == b.P.indptr.tolist()
    assert a.P.indices.tolist() == b.P.indices.tolist()
    assert a.P.data.tobytes() == b.P.data.tobytes()
    if a.P.exact is not None:
        assert a.P.exact.tolist() == b.P.exact.tolist()
    assert (a.active is None) == (b.active is None)
    if a.active is not None:
        assert a.r.tobytes() == b.r.tobytes()
        assert (a.reward.transition is None) == (b.reward.transition is None)
        if a.reward.transition is not None:
            assert a.reward.transition.tobytes() == b.reward.transition.tobytes()
        if a.reward.exact is not None:
            assert a.reward.exact.tolist() == b.reward.exact.tolist()


def test_table_by_hand(tmp_path: Path) -> None:
    mdp = mk.load(put(tmp_path, TABLE))
    assert mdp.state.tolist() == [0, 0, 1]
    assert mdp.action.tolist() == [0, 2, 0]  # numbers of actions are kept
    assert mdp.P.toarray().tolist() == [[0.8, 0.2], [0.1, 0.9], [0.5, 0.5]]
    assert mdp.P.exact is None
    assert mdp.reward.transition.tolist() == [0, 0.5, 1, 1, 1, 1]
    assert mdp.r.tolist() == [0.1, 1, 1]
    assert (mdp.rho, mdp.labels, mdp.pair_names, mdp.state_names, mdp.criterion) == (None, {}, None, None, None)


def test_a_fraction_makes_the_table_rational(tmp_path: Path) -> None:
    mdp = mk.load(put(tmp_path, table("0,0,0,1/3,0.1", "0,0,1,2/3,-1/7", "1,0,1,1.0,0")))
    assert mdp.P.exact.tolist() == [F(1, 3), F(2, 3), 1]
    assert mdp.reward.transition_exact.tolist() == [F(1, 10), F(-1, 7), 0]
    assert mdp.reward.exact.tolist() == [F(1, 30) - F(2, 21), 0]
    mdp = mk.load(put(tmp_path, table("0,0,0,1,1/3", "1,0,1,1,0")))  # of the rewards alone: rounded
    assert mdp.P.exact is None
    assert mdp.r.tolist() == [1 / 3, 0]


VARIANTS: dict[str, str | bytes] = {
    "windows": TABLE.replace("\n", "\r\n"),
    "byte order mark": "\ufeff" + TABLE,
    "blank lines": TABLE.replace("\n", "\n\n  \n"),
    "lines of commas": TABLE + ",,,,\n",
    "comments": "# made by hand\n" + TABLE.replace("\n0,2", "\n# x, \"y\n0,2"),
    "no newline at the end": TABLE.rstrip("\n"),
    "blanks": TABLE.replace(",", " ,\t "),
    "many blanks": TABLE.replace(",", "         ,            "),
    "capitals": TABLE.replace("idstatefrom", "IdStateFrom"),
    "scientific": TABLE.replace("0.8", "8.0E-1").replace("0.2", "+2e-01"),
    "leading zeros": TABLE.replace("\n1,0", "\n01,00"),
    "quoted": "\n".join(",".join(f'"{word}"' for word in line.split(",")) for line in TABLE.splitlines()),
    "quoted header": "\n".join([",".join(f'"{word}"' for word in HEAD.split(",")), *TABLE.splitlines()[1:]]),
    "partly quoted": TABLE.replace("0,0,1", '"0", "0",1'),
    "zeros": TABLE + "1,0,0,0,0\n",
    "outcomes": "\n".join(
        line + (",idoutcome" if k == 0 else ",0") for k, line in enumerate(TABLE.splitlines())
    ),
    "extra columns": "\n".join(
        (f",{line},note" if k == 0 else f'{k},{line},"a, ""b"""') for k, line in enumerate(TABLE.splitlines())
    ),
    "other order": "\n".join(
        ",".join(line.split(",")[k] for k in (4, 2, 0, 3, 1)) for line in TABLE.splitlines()
    ),
    "lone carriage returns": TABLE.replace("\n", "\r"),
    "ids as R and pandas write doubles": TABLE.replace("0,0,1", "0.0,0e+00,1.00").replace("1,0,1,0.5", "1e+00,.0,1,0.5"),
    "rows in any order": "\n".join([HEAD, *reversed(TABLE.splitlines()[1:])]),
    "split rows": TABLE.replace("1,0,1,0.5,1", "1,0,1,0.25,1\n1,0,1,0.25,1"),
}  # fmt: skip


@pytest.mark.parametrize("case", VARIANTS)
def test_tables_that_differ_in_form_only(tmp_path: Path, case: str) -> None:
    assert_same(mk.load(put(tmp_path, TABLE)), mk.load(put(tmp_path, VARIANTS[case], "other.csv")))


def test_compressed(tmp_path: Path) -> None:
    path = put(tmp_path, gzip.compress(TABLE.encode()), "model.csv.gz")
    assert_same(mk.load(put(tmp_path, TABLE)), mk.load(path))


def test_repeated_rows_add_up(tmp_path: Path) -> None:
    rows = ("0,0,1,1/4,8", "0,0,0,1/2,1", "0,0,1,1/8,2", "0,0,1,1/8,4", "1,0,1,1,0", "0,0,0,0,7")
    mdp = mk.load(put(tmp_path, table(*rows)))
    assert mdp.P.exact.tolist() == [F(1, 2), F(1, 2), 1]
    # (8/4 + 2/8 + 4/8) / (1/2)
    assert mdp.reward.transition_exact.tolist() == [1, F(11, 2), 0]
    floats = mk.load(put(tmp_path, table(*rows).replace("1/4", "0.25").replace("1/8", "0.125").replace("1/2", "0.5")))
    assert floats.P.data.tolist() == [0.5, 0.5, 1]
    assert floats.reward.transition.tolist() == [1, 5.5, 0]


def test_no_rewards(tmp_path: Path) -> None:
    mdp = mk.load(put(tmp_path, table("0,0,0,1,")))
    assert mdp.rewards == {}


# ---------------------------------------------------------------------------------------------- what is refused

GOOD = ("0,0,1,1,0", "1,0,1,1,0")
LONG = "9" * 5000

MALFORMED: dict[str, tuple[str | bytes, int, str]] = {
    "empty": ("", 1, "empty"),
    "blank": ("\n \n", 1, "empty"),
    "comments alone": ("# nothing\n", 1, "no header"),
    "header alone": (table(), 1, "no transitions under the header"),
    "no header": (table(*GOOD[1:], head=GOOD[0]), 1, "no column idstatefrom"),
    "missing column": (table("0,0,0,1", head=HEAD.removesuffix(",reward")), 1, "leaves the fields of this column empty"),
    "state a fraction": (table(GOOD[0], "1.5,0,1,1,0"), 3, "idstatefrom is not a natural number; found: '1.5'"),
    "state beside a decimal": (table("0.0,0,1,1,0", "one,0,1,1,0"), 3, "not a natural number; found: 'one'"),
    "action a negative decimal": (table("0,-1.0,1,1,0", GOOD[1]), 2, "idaction is not a natural number; found: '-1.0'"),
    "state a decimal too large": (table("1e+18,0,1,1,0", GOOD[1]), 2, "not a natural number; found: '1e+18'"),
    "state a trap": (table("1e999999999,0,1,1,0", GOOD[1]), 2, "not a natural number"),
    "misspelled column": (table(*GOOD, head=HEAD.replace("idstateto", "idstatto")), 1, "no column idstateto"),
    "column twice": (table(*GOOD, head=HEAD + ",reward"), 1, "two columns reward"),
    "semicolons": (table(*GOOD).replace(",", ";"), 1, "separate the columns by commas"),
    "tabs": (table(*GOOD).replace(",", "\t"), 1, "separate the columns by commas"),
    "too few fields": (table(GOOD[0], "1,0,1,1"), 3, "too few fields; found: '1,0,1,1'"),
    "too many fields": (table(GOOD[0], "1,0,1,1,0,0"), 3, "too many fields"),
    "decimal comma": (table("0,0,1,0,5,0", GOOD[1]), 2, "too many fields"),
    "one word": (table("0,0,1,1,0", "the end"), 3, "too few fields"),
    "truncated": (table(*GOOD)[:-6], 3, "too few fields"),
    "source negative": (table("-1,0,1,1,0", GOOD[1]), 2, "idstatefrom is not a natural number"),
    "source a decimal": (table("0.5,0,1,1,0", GOOD[1]), 2, "idstatefrom is not a natural number"),
    "source a word": (table("s0,0,1,1,0", GOOD[1]), 2, "idstatefrom is not a natural number"),
    "source missing": (table(",0,1,1,0", GOOD[1]), 2, "idstatefrom is not a natural number; found: ''"),
    "action negative": (table("0,-1,1,1,0", GOOD[1]), 2, "idaction is not a natural number"),
    "action huge": (table("0,999999999999999999,1,1,0", GOOD[1]), 2, "would not fit in memory"),
    "action of many digits": (table(f"0,{LONG},1,1,0", GOOD[1]), 2, "idaction is too large"),
    "target a decimal": (table("0,0,1.5,1,0", GOOD[1]), 2, "idstateto is not a natural number"),
    "target of many digits": (table(f"0,0,{LONG},1,0", GOOD[1]), 2, "idstateto is too large"),
    "target without action": (table(*GOOD, "1,1,2,1,0"), 4, "state 2 is entered but has no action"),
    "absurd target": (table("0,0,1000000000000,1,0"), 2, "there is no state 1"),
    "gap": (table(*GOOD, "3,0,3,1,0"), 4, "there is no state 2, but one with a larger number"),
    "states from one": (table("1,0,1,1,0", "2,0,1,1,0"), 2, "there is no state 0"),
    "negative": (table("0,0,0,-0.5,0", "0,0,1,1.5,0", GOOD[1]), 2, "probability is negative"),
    "above one": (table("0,0,1,1.5,0", GOOD[1]), 2, "greater than 1"),
    "above one, rational": (table("0,0,1,4/3,0", GOOD[1]), 2, "greater than 1"),
    "nan": (table("0,0,1,nan,0", GOOD[1]), 2, "probability is not a number"),
    "inf": (table("0,0,1,inf,0", GOOD[1]), 2, "probability is not a number"),
    "missing": (table("0,0,1,,0", GOOD[1]), 2, "probability is not a number; found: ''"),
    "NA": (table("0,0,1,NA,0", GOOD[1]), 2, "probability is not a number"),
    "percent": (table("0,0,1,100%,0", GOOD[1]), 2, "probability is not a number"),
    "underscore": (table("0,0,1,1_0,0", GOOD[1]), 2, "probability is not a number"),
    "overflow": (table("0,0,1,1e999999999,0", GOOD[1]), 2, "probability is too large"),
    "underflow": (table("0,0,1,1e-400,0", GOOD[1]), 2, "zero in float64"),
    "trap": (table("0,0,1,1e999999999,0", "1,0,1,1/1,0"), 2, "exponent out of range"),
    "many digits": (table(f"0,0,1,1/{LONG},0", GOOD[1]), 2, "too many digits"),
    "division by zero": (table("0,0,1,1/0,0", GOOD[1]), 2, "division by zero"),
    "sum": (
        table("0,0,0,0.5,0", GOOD[1], "0,0,1,0.4,0"), 2, "of state 0, action 0 (lines 2, 4) do not sum to 1; found: 0.9",
    ),
    "sum of one line": (table(GOOD[0], "1,3,1,0.5,0"), 3, "of state 1, action 3 (line 3) do not sum to 1"),
    "rational sum": (table("0,0,0,1/3,0", "0,0,1,0.666,0", GOOD[1]), 2, "needed: exactly 1"),
    "repeated rows above one": (table(GOOD[0], GOOD[0], GOOD[1]), 2, "(lines 2, 3) do not sum to 1; found: 2.0"),
    "only zeros": (table("0,0,1,0,0", GOOD[1]), 2, "do not sum to 1; found: 0.0"),
    "reward missing": (table("0,0,1,1,", GOOD[1]), 2, "reward is not a number; found: ''"),
    "reward a word": (table("0,0,1,1,five", GOOD[1]), 2, "reward is not a number"),
    "reward nan": (table("0,0,1,1,NaN", GOOD[1]), 2, "reward is not a number"),
    "reward inf": (table("0,0,1,1,-inf", GOOD[1]), 2, "reward is not a number"),
    "reward too large": (table("0,0,1,1,1e999", GOOD[1]), 2, "reward is too large"),
    "rational reward too large": (table("0,0,1,1/1,1e999", GOOD[1]), 2, "reward is too large"),
    "reward trap": (table("0,0,1,1/1,1e999999999", GOOD[1]), 2, "exponent out of range"),
    "quote unterminated": (table('"0,0,1,1,0', GOOD[1]), 3, "not a line of CSV"),
    "line break in the header": (table(*GOOD, head=HEAD.replace("idaction", '"id\naction"')), 1, "did you mean 'id action'"),
    "quote inside": (table('"0"x,0,1,1,0', GOOD[1]), 2, "not a line of CSV"),
    "comma in quotes": (table('0,0,1,"0,5",0', GOOD[1]), 2, "not a number; found: '0,5'"),
    "line break in quotes": (table('0,0,1,"1\n",0', GOOD[1]), 2, "not a number"),
    "huge quoted field": (table(f'0,0,1,"{"1" * 200_000}",0', GOOD[1]), 2, "not a line of CSV"),
    "too few quoted fields": (table('"0","0","1"', GOOD[1]), 2, "too few fields"),
    "quoted header without rows": (f'"{HEAD.replace(",", chr(34) + "," + chr(34))}"\n"', 2, "not a line of CSV"),
    "binary": (bytes(range(256)), 2, "not UTF-8"),
    "zeros of a disk": (b"\0" * 100, 1, "no column"),
    "utf-16": (TABLE.encode("utf-16"), 1, "not UTF-8"),
    "utf-16 without mark": (TABLE.encode("utf-16-le"), 1, "no column"),
    "archive": (gzip.compress(TABLE.encode()), 1, "end in .gz"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_files_name_the_line(tmp_path: Path, case: str) -> None:
    text, line, says = MALFORMED[case]
    path = put(tmp_path, text)
    with pytest.raises(ParseError) as caught:
        mk.load(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{path}: line {line}: ")


def test_outcomes_of_robust_models_are_refused(tmp_path: Path) -> None:
    text = table("0,0,0,0,1,0", "0,0,1,0,1,0", head=HEAD.replace("idstateto", "idoutcome,idstateto"))
    with pytest.raises(UnsupportedError, match=r"model.csv: line 3: several outcomes"):
        mk.load(put(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "model.csv"
    for read in (mk.load, csv_table.read):
        with pytest.raises(ParseError, match="no such file"):
            read(path)
    path.mkdir()
    for read in (mk.load, csv_table.read):
        with pytest.raises(ParseError, match="is a directory"):
            read(path)
    with pytest.raises(ParseError, match="truncated or corrupt gz data"):
        mk.load(put(tmp_path, gzip.compress(TABLE.encode())[:30], "cut.csv.gz"))


@given(data=st.data())
@settings(max_examples=100, deadline=None)
@pytest.mark.filterwarnings("ignore:.*sum to one only to:mdpkit.errors.ModelWarning")
def test_damaged_files_are_read_or_refused(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    text = data.draw(st.sampled_from([TABLE, VARIANTS["quoted"], VARIANTS["extra columns"]]))
    for _ in range(data.draw(st.integers(1, 3))):
        i = data.draw(st.integers(0, len(text)))
        j = data.draw(st.integers(i, min(len(text), i + 8)))
        text = text[:i] + data.draw(st.text('\n\r\t ,;"/#-01239.e\0ä', max_size=4)) + text[j:]
    path = put(tmp_path_factory.mktemp("csv"), text)
    try:
        mdp = mk.load(path)
    except (ParseError, UnsupportedError) as error:
        assert str(path) in str(error)  # noqa: PT017 (a fault is allowed, not required)
        return
    assert np.allclose(mdp.P.toarray().sum(axis=1), 1, rtol=0, atol=1.1e-6)
    assert all(np.isfinite(reward.values).all() for reward in mdp.rewards.values())


# -------------------------------------------------------------------------------------------------- what is written


@st.composite
def mdps(draw: st.DrawFn) -> MDP:
    """Models with nothing but transitions and rewards."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    exact = draw(st.booleans())
    base = build(draw(models(S=5)), None, exact=exact)
    P = base.P
    if not exact and draw(st.booleans()):
        data = rng.random(P.nnz)
        P = Transitions(P.indptr, P.indices, data / np.bincount(P.row_of, data)[P.row_of], base.n_states)
    action = base.action * draw(st.integers(1, 3)) + draw(st.integers(0, 2))
    number = st.fractions(-9, 9, max_denominator=9) if exact else st.floats(-1e300, 1e300)
    kind = draw(st.sampled_from(["none", "pairs", "transitions"]))
    n = base.n_pairs if kind == "pairs" else P.nnz
    drawn = draw(st.lists(number, min_size=n, max_size=n))
    values = np.array(drawn, dtype=object if exact else float)
    if kind == "transitions":
        first = P.indptr[:-1][P.row_of]
        if all(drawn[k] == drawn[first[k]] for k in range(n)):
            values = values[P.indptr[:-1]]
        else:
            dense = np.zeros((base.n_states, int(action.max()) + 1, base.n_states), dtype=object if exact else float)
            dense[base.state[P.row_of], action[P.row_of], P.indices] = drawn
            values = dense
    return MDP(P, None if kind == "none" else values, state=base.state, action=action)


@given(mdp=mdps(), packing=st.sampled_from(["", ".gz"]))
@settings(max_examples=50, deadline=None)
def test_round_trip(mdp: MDP, packing: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("csv") / f"m.csv{packing}"
    mdp.save(path)
    again = mk.load(path)
    assert again == mdp
    assert_same(mdp, again)
    before = path.read_bytes()
    again.save(path, overwrite=True)
    assert path.read_bytes() == before  # reproducible


def test_written_text(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    mk.load(put(tmp_path, TABLE)).save(path)
    rows = list(csv.DictReader(io.StringIO(path.read_text())))  # as the standard library reads it
    assert list(rows[0]) == HEAD.split(",")
    assert [tuple(map(float, row.values())) for row in rows[2:4]] == [(0, 2, 0, 0.1, 1), (0, 2, 1, 0.9, 1)]
    MDP([[["0", "1"]], [["1", "0"]]], 2).save(path, overwrite=True)
    assert path.read_text() == f"{HEAD}\n0,0,1,1/1,2\n1,0,0,1,2\n"
    assert mk.load(path).P.exact.tolist() == [1, 1]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    mdp = MDP(
        np.ones((2, 1, 2)) / 2,
        1.0,
        Discounted(0.9),
        rho=0,
        labels={"goal": [1]},
        rewards={"cost": 2.0},
        state_names=["a", "b"],
        pair_names=["x", "y"],
        minimize=True,
    )
    says = (
        r"does not hold the initial state, the labels \(goal\), the reward structures 'cost', the names of the states, "
        r"the names of the actions, the criterion, that the model minimizes: \.npz does"
    )
    with pytest.warns(ModelWarning, match=says):
        mdp.save(tmp_path / "m.csv")
    assert mk.load(tmp_path / "m.csv").r.tolist() == [1, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MDP(np.ones((1, 1, 1)), 1.0).save(tmp_path / "plain.csv")
    with pytest.raises(OutputExistsError, match=r"m\.csv exists"):
        mdp.save(tmp_path / "m.csv")


def test_what_the_table_cannot_hold(tmp_path: Path) -> None:
    staged = MDP(np.ones((2, 1, 1, 1)), 0.0, FiniteHorizon(2), rho=0)
    bits = MDP(np.array([[[0.1, 0.2, 0.7]]] * 3), 0.0, rho=0).exact(dyadic=True)
    for mdp in (staged, bits):
        with pytest.raises(UnsupportedError, match=r"CSV has no .*save to \.npz"):
            mdp.save(tmp_path / "m.csv")
    with pytest.raises(UnsupportedError, match=r"one reward structure; found: 'a', 'b'"):
        MDP(np.ones((1, 1, 1)), rewards={"a": 1.0, "b": 2.0}).save(tmp_path / "m.csv")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------ benchmark models

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("MDPKIT_MODELS", ROOT.parent / "shared" / "models"))


@pytest.mark.skipif(not (MODELS / "MANIFEST.csv").is_file(), reason=f"no models in {MODELS} (set MDPKIT_MODELS)")
def test_benchmark_models(tmp_path: Path) -> None:
    for source in sorted(MODELS.glob("*.drn.gz")):
        mdp = mk.load(source)
        path = tmp_path / f"{source.name.removesuffix('.drn.gz')}.csv"
        for name in list(mdp.rewards) or [None]:
            chosen = mdp.under(TotalReward(), reward=name)
            with pytest.warns(ModelWarning, match="does not hold the initial state, the labels"):
                chosen.save(path, overwrite=True)
            again = mk.load(path).under(TotalReward())
            assert again == chosen
            assert_same(chosen, again)
