"""UMB archives: round trips, what umbi and the specification say of the same bytes, and damaged archives."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import lzma
import os
import struct
import subprocess
import sys
import tarfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import build, random_model

from mdpkit.errors import MDPError, OptionError, OutputExistsError, ParseError, UnsupportedError
from mdpkit.io import load, save
from mdpkit.io.drn_model import read as read_drn
from mdpkit.models import MDP, FiniteHorizon, Transitions

umbi = pytest.importorskip("umbi.umb")
F = Fraction


def assert_same(a: MDP, b: MDP) -> None:
    """Everything that an archive holds agrees, bit for bit."""
    assert (a.n_states, a.n_actions, a.n_pairs) == (b.n_states, b.n_actions, b.n_pairs)
    assert (a.state_names, a.pair_names) == (b.state_names, b.pair_names)
    for x, y in [(a.pair_ptr, b.pair_ptr), (a.action, b.action), (a.rho, b.rho)]:
        np.testing.assert_array_equal(x, y)
    for name in ("indptr", "indices", "data"):
        assert getattr(a.P, name).tobytes() == getattr(b.P, name).tobytes()
    assert a.P == b.P
    assert list(a.labels) == list(b.labels)
    for name, mask in a.labels.items():
        np.testing.assert_array_equal(mask, b.labels[name])
    assert list(a.rewards) == list(b.rewards)
    for x, y in zip(a.rewards.values(), b.rewards.values(), strict=True):
        for name in ("values", "error", "transition"):
            np.testing.assert_array_equal(getattr(x, name), getattr(y, name))
        for name in ("exact", "transition_exact"):
            u, v = getattr(x, name), getattr(y, name)
            assert (u is None) == (v is None)
            assert u is None or u.tolist() == v.tolist()


def round_trip(mdp: MDP, path: Path) -> MDP:
    save(mdp, path, overwrite=True)
    again = load(path)
    assert_same(mdp, again)
    return again


NAMES = [
    lambda s: f"state {s} ä",
    lambda s: s,
    lambda s: (s, s % 2 == 0, -s),
    lambda s: (f"n{s}", F(s, 7)),
    lambda s: s / 3,
    lambda s: (s,),
    lambda s: (2**70 * s, F(1, 2**70 + s)),
]


@st.composite
def models(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    S = draw(st.integers(1, 6))
    raw = random_model(rng, S, 3, (-2, 0, 1))
    L = sum(map(len, raw))
    exact = draw(st.booleans())
    options = {"rho": draw(st.none() | st.integers(0, S - 1))}
    options["labels"] = {name: rng.random(S) < 0.5 for name in draw(st.lists(st.text(max_size=4), max_size=3))}
    options["labels"].pop("init", None)
    if draw(st.booleans()):
        name = draw(st.sampled_from(NAMES))
        options["state_names"] = [name(s) for s in range(S)]
    if draw(st.booleans()):
        options["pair_names"] = [str(rng.integers(3)) * (k % 2) for k in range(L)]
    if draw(st.booleans()):
        options["rewards"] = {"Other reward": rng.normal(size=L), "other-reward": np.array([F(k, 3) for k in range(L)])}
    mdp = build(raw, None, exact=exact, **options)
    if draw(st.booleans()):  # action numbers that are not places
        given = {name: mdp.rewards[name] for name in mdp.rewards}
        options |= {"state": mdp.state, "action": mdp.action * 2 + mdp.state % 2, "rewards": given}
        mdp = MDP(mdp.P, None, **options)
    return mdp


@settings(max_examples=60, deadline=None)
@given(mdp=models())
def test_round_trip(mdp, tmp_path_factory):
    again = round_trip(mdp, tmp_path_factory.getbasetemp() / "model.umb")
    assert (again == mdp) or len(mdp.rewards) > 1  # which of several rewards is active is not written


@pytest.mark.parametrize("exact", [True, False])
def test_rewards_on_transitions(tmp_path, exact):
    P = np.array([[["1/3", "2/3"], ["1", "0"]], [["0", "1"], ["1/7", "6/7"]]], dtype=object)
    r = np.array([[["1", "-2"], ["1/3", "0"]], [["0", "5"], ["1/9", "2"]]], dtype=object)
    to_float = np.vectorize(lambda x: float(F(x)))
    mdp = MDP(P, r, rho=1) if exact else MDP(to_float(P), to_float(r), rho=1)
    assert round_trip(mdp, tmp_path / "m.umb").reward.transition is not None


def test_several_initial_states_are_a_label(tmp_path):
    mdp = MDP(np.ones((3, 1, 3)) / 3, 0.0, labels={"init": [0, 2], "a": [1]})
    save(mdp, tmp_path / "m.umb")
    assert umbi.read(tmp_path / "m.umb").state_is_initial == [True, False, True]
    assert_same(mdp, load(tmp_path / "m.umb"))


def test_same_bytes(tmp_path):
    mdp = MDP(np.ones((3, 2, 3)) / 3, 1.5, rho=0, labels={"x": [1]})
    save(mdp, tmp_path / "a.umb")
    save(mdp, tmp_path / "b.UMB")
    assert (tmp_path / "a.umb").read_bytes() == (tmp_path / "b.UMB").read_bytes()
    with pytest.raises(OutputExistsError):
        save(mdp, tmp_path / "a.umb")


MODELS = Path(os.environ.get("MDPKIT_MODELS", ""))


@pytest.mark.parametrize(
    "name", ["cdrive.2", "consensus.2.K2", "ij.3", "triangle-tireworld.9", "zeroconf.N20.K2.resetTrue"]
)
def test_benchmark_models(tmp_path, name):
    path = MODELS / f"{name}.drn.gz"
    if not os.environ.get("MDPKIT_MODELS") or not path.exists():
        pytest.skip("no benchmark models (set MDPKIT_MODELS)")
    mdp = read_drn(path)
    assert round_trip(mdp, tmp_path / "m.umb") == mdp


# -- umbi's own reading and writing ------------------------------------------------------------------------------------


def test_umbi_reads_what_is_written(tmp_path):
    P = [[["1/3", "2/3"], ["1", "0"]], [["0", "1"], ["0", "1"]]]
    mdp = MDP(P, [["1", "-2"], ["1/3", "0"]], rho=1, labels={"the goal": [1]}, pair_names=["go", "wait", "go", "wait"])
    save(mdp, tmp_path / "m.umb")
    umb = umbi.read(tmp_path / "m.umb", strict=True)
    system = umb.index.transition_system
    assert (system.num_states, system.num_choices, system.num_branches, system.num_players) == (2, 4, 5, 1)
    assert umb.state_is_initial == [False, True]
    assert umb.state_to_choices == [0, 2, 4]
    assert umb.choice_to_branches == [0, 2, 3, 4, 5]
    assert umb.branch_to_target == [0, 1, 0, 1, 1]
    assert umb.branch_to_probability == [F(1, 3), F(2, 3), 1, 1, 1]
    assert [umb.choice_action_to_string[i] for i in umb.choice_to_choice_action] == ["go", "wait", "go", "wait"]
    assert umb.annotations == {
        "aps": {"the-goal": {"states": [False, True]}},
        "rewards": {"r": {"choices": [1, -2, F(1, 3), 0]}},
    }
    assert umb.index.annotations["aps"]["the-goal"].alias == "the goal"
    ats = pytest.importorskip("umbi.ats").read(tmp_path / "m.umb")
    assert ats.initial_states == [1]


@pytest.mark.parametrize("half", [F(1, 2), 0.5])
def test_reads_what_umbi_writes(tmp_path, half):
    ats_module = pytest.importorskip("umbi.ats")
    ats = ats_module.ExplicitAts(num_players=1)
    for _ in range(3):
        ats.add_state()
    ats.set_initial_states([2])
    ats.num_choice_actions, ats.choice_action_to_name = 2, ["left", "right"]
    for s, action, row in [(0, 1, [(1, half), (2, half)]), (0, 0, [(0, half + half)]), (1, 0, [(1, 2 * half)]),
                           (2, 1, [(0, half), (0, half / 2), (1, half / 2)])]:  # fmt: skip
        choice = ats.add_state_choice(s)
        choice.action = action
        for target, p in row:
            choice.add_branch(target=target, prob=p)
    reward = ats.add_reward_annotation("cost")
    reward.set_state_values([1, 2, 3])
    reward.set_choice_values([10, 20, 30, 40])
    reward.set_branch_values([0, 4, 0, 0, 3, 6, 0])
    ats.add_ap_annotation("goal").set_state_values([False, True, False])
    ats_module.write(ats, tmp_path / "m.umb")
    mdp = load(tmp_path / "m.umb")
    assert mdp.pair_names == ("right", "left", "left", "right")
    assert mdp.P.indices.tolist() == [1, 2, 0, 1, 0, 1]
    assert mdp.P.data.tolist() == [0.5, 0.5, 1, 1, 0.75, 0.25]
    # state + choice + expected branch; the merged branches of state 2 pay (1/2*3 + 1/4*6) / (3/4) = 4
    assert mdp.rewards["cost"].transition.tolist() == [11, 15, 21, 32, 47, 43]
    assert mdp.r.tolist() == [13, 21, 32, 46]
    assert mdp.is_exact == isinstance(half, Fraction)
    assert mdp.rho.tolist() == [0, 0, 1]
    assert np.flatnonzero(mdp.labels["goal"]).tolist() == [1]


# -- archives by hand --------------------------------------------------------------------------------------------------


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


def doubles(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def example() -> tuple[dict, dict[str, bytes]]:
    """The four-state model by which the specification is illustrated (README of its example), written out here."""
    index = {
        "format-version": 1,
        "format-revision": 0,
        "transition-system": {
            "time": "discrete", "#players": 1, "#states": 4, "#initial-states": 1, "#choices": 5, "#choice-actions": 2,
            "#branches": 8, "#branch-actions": 0, "#observations": 0,
            "branch-probability-type": {"type": "double", "size": 64},
        },
        "annotations": {
            "aps": {"g": {"alias": "g", "applies-to": ["states"], "type": {"type": "bool", "size": 1}}},
            "rewards": {"r": {"alias": "r", "applies-to": ["choices"], "type": {"type": "double", "size": 64}}},
        },
        "valuations": {"states": {"unique": True, "classes": [{"variables": [
            {"name": "x", "type": {"type": "uint", "size": 2}}, {"name": "b", "type": {"type": "bool", "size": 1}},
            {"padding": 5}]}]}},
    }  # fmt: skip
    files = {
        "state-to-choices.bin": words(0, 2, 3, 4, 5),
        "choice-to-branches.bin": words(0, 2, 4, 6, 7, 8),
        "branch-to-probability.bin": doubles(0.5, 0.5, 0.2, 0.8, 0.9, 0.1, 1, 1),
        "branch-to-target.bin": words(1, 2, 2, 3, 0, 1, 2, 3),
        "state-is-initial.bin": words(1),
        "actions/choices/string-mapping.bin": words(0, 1, 2),
        "actions/choices/strings.bin": b"ab",
        "actions/choices/values.bin": struct.pack("<5I", 0, 1, 0, 0, 0),
        "annotations/aps/g/states/values.bin": words(8),
        "annotations/rewards/r/choices/values.bin": doubles(0, 1, 0, 0, 0),
        "valuations/states/valuations.bin": bytes([0b000, 0b001, 0b010, 0b110]),
    }
    return index, files


def tar(files: dict[str, bytes], prefix: str = "") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def packed(index: object, files: dict[str, bytes], prefix: str = "") -> bytes:
    return tar({"index.json": json.dumps(index).encode(), **files}, prefix)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
@pytest.mark.parametrize("prefix", ["", "./", "/"])
def test_the_example_of_the_specification(tmp_path, pack, prefix):
    path = tmp_path / "m.umb"
    path.write_bytes(pack(packed(*example(), prefix)))
    mdp = load(path)
    assert mdp.state_names == ("x=0 & b=false", "x=1 & b=false", "x=2 & b=false", "x=2 & b=true")
    assert mdp.pair_names == ("a", "b", "a", "a", "a")
    assert mdp.pair_ptr.tolist() == [0, 2, 3, 4, 5]
    assert mdp.P.data.tolist() == [0.5, 0.5, 0.2, 0.8, 0.9, 0.1, 1, 1]
    assert mdp.P.indices.tolist() == [1, 2, 2, 3, 0, 1, 2, 3]
    assert mdp.rewards["r"].values.tolist() == [0, 1, 0, 0, 0]
    assert mdp.labels["g"].tolist() == [False, False, False, True]
    assert mdp.rho.tolist() == [1, 0, 0, 0]


def test_valuations_of_the_specification(tmp_path):
    """The two encodings that the specification spells out bit by bit (section 7, examples 1 and 2)."""
    index, files = example()

    def variable(name, kind, size, **more):
        return {"name": name, "type": {"type": kind, "size": size}, **more}

    variables = [
        variable("v0", "bool", 2), variable("v1", "uint", 6, **{"is-optional": True}), {"padding": 5},
        variable("v2", "string", 64), variable("v3", "bool", 3), {"padding": 7},
    ]  # fmt: skip
    index["valuations"]["states"] = {"unique": False, "#strings": 3, "classes": [{"variables": variables}]}
    row = bytes([0b01101101, 0b01000001, 0, 0, 0, 0, 0, 0, 0, 0b01000000, 0])
    files["valuations/states/valuations.bin"] = row * 3 + bytes(11)
    files["valuations/states/string-mapping.bin"] = words(0, 3, 5, 6)
    files["valuations/states/strings.bin"] = b"xyzabc"
    path = tmp_path / "m.umb"
    path.write_bytes(packed(index, files))
    assert load(path).state_names[2:] == ("v0=true & v1=27 & v2=ab & v3=true", "v0=false & v2=xyz & v3=false")
    variables = [variable("sv0", "uint", 8, offset=-128), variable("sv1", "int", 16)]
    index["valuations"]["states"] = {"unique": False, "classes": [{"variables": variables}]}
    files["valuations/states/valuations.bin"] = bytes([0b10111000, 0b11111111, 0b10111101]) * 4
    path.write_bytes(packed(index, files))
    assert load(path).state_names[0] == "sv0=56 & sv1=-16897"


def test_defaults_of_the_specification(tmp_path):
    """A DTMC may leave out the files that map one to one, and the sizes of types."""
    index, _ = example()
    system = index["transition-system"]
    system.update({"#players": 0, "#choices": 4, "#branches": 4, "#choice-actions": 0, "#initial-states": 0})
    system["branch-probability-type"] = {"type": "rational"}
    index.pop("valuations")
    index["annotations"] = {"rewards": {"r": {"applies-to": ["states"], "type": {"type": "double"}}}}
    kept = {
        "branch-to-target.bin": words(1, 2, 3, 3),
        "branch-to-probability.bin": struct.pack("<qQ", 3, 3) * 4,
        "annotations/rewards/r/states/values.bin": doubles(1, 2, 3, 4),
    }
    path = tmp_path / "m.umb"
    path.write_bytes(packed(index, kept))
    mdp = load(path)
    assert mdp.P.exact.tolist() == [1, 1, 1, 1]
    assert mdp.P.indices.tolist() == [1, 2, 3, 3]
    assert mdp.r.tolist() == [1, 2, 3, 4]
    assert mdp.rho is None


def test_rationals_of_any_size(tmp_path):
    big = F(2**200 + 1, 2**201)
    mdp = MDP(Transitions([0, 2, 3], [0, 1, 1], [float(big), float(1 - big), 1], 2, np.array([big, 1 - big, F(1)])),
              np.array([-big, F(3)]), state=np.array([0, 1]), action=np.array([0, 0]))  # fmt: skip
    again = round_trip(mdp, tmp_path / "m.umb")
    assert again.P.exact.tolist() == [big, 1 - big, 1]
    assert again.reward.exact.tolist() == [-big, 3]


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"time": "stochastic", "#players": 0}, "CTMC"),
        ({"time": "stochastic"}, "CTMDP"),
        ({"time": "urgent-stochastic"}, "Markov automaton"),
        ({"#players": 2, "player-names": ["a", "b"]}, "game of 2 players"),
        ({"#observations": 3, "observations-apply-to": "states"}, "POMDP"),
        ({"branch-probability-type": {"type": "double-interval", "size": 128}}, "interval MDP"),
        ({"branch-probability-type": {"type": "rational-interval"}, "#players": 0}, "interval DTMC"),
        ({"branch-probability-type": None}, "labeled transition system"),
    ],
)
def test_other_models_are_refused_by_name(tmp_path, change, name):
    index, files = example()
    index["transition-system"].update(change)
    index["transition-system"] = {k: v for k, v in index["transition-system"].items() if v is not None}
    (tmp_path / "m.umb").write_bytes(packed(index, files))
    with pytest.raises(UnsupportedError, match=name):
        load(tmp_path / "m.umb")


def test_newer_versions_and_interval_rewards_are_refused(tmp_path):
    index, files = example()
    (tmp_path / "m.umb").write_bytes(packed(index | {"format-version": 2}, files))
    with pytest.raises(UnsupportedError, match="version 2"):
        load(tmp_path / "m.umb")
    index["annotations"]["rewards"]["r"]["type"] = {"type": "double-interval", "size": 128}
    (tmp_path / "m.umb").write_bytes(packed(index, files))
    with pytest.raises(UnsupportedError, match="intervals"):
        load(tmp_path / "m.umb")


def test_what_umb_cannot_hold(tmp_path):
    one = np.ones((2, 1, 2)) / 2
    spread = MDP(one, 0.0, rho=np.array([0.5, 0.5]))
    staged = MDP(np.ones((2, 1, 1, 1)), 0.0, FiniteHorizon(2))
    bits = MDP(np.array([[[0.1, 0.2, 0.7]]] * 3), 0.0).exact(dyadic=True)
    mixed = MDP(one, 0.0, state_names=["a", 1])
    nested = MDP(one, 0.0, state_names=[("a", (1, 2)), ("b", (3, 4))])
    lengths = MDP(one, 0.0, state_names=[(1,), (1, 2)])
    for mdp in (spread, staged, bits, mixed, nested, lengths):
        with pytest.raises(UnsupportedError, match=r"save to \.npz"):
            save(mdp, tmp_path / "m.umb")
    assert not list(tmp_path.iterdir())
    with pytest.raises(OptionError, match="does not exist"):
        save(MDP(one, 0.0), tmp_path / "nowhere" / "m.umb")


def test_without_umbi(tmp_path):
    (tmp_path / "m.umb").write_bytes(packed(*example()))
    code = (
        "import sys; sys.modules['umbi'] = None\n"
        "import mdpkit as mk\n"
        "try:\n"
        f"    mk.load({str(tmp_path / 'm.umb')!r})\n"
        "except mk.MDPError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "mdpkit[umb]"' in done.stdout


# -- damaged archives --------------------------------------------------------------------------------------------------


def system(**changes):
    def apply(index, files):
        index["transition-system"].update({key.replace("n_", "#").replace("_", "-"): v for key, v in changes.items()})
        return packed(index, files)

    return apply


def part(name, data):
    def apply(index, files):
        if data is None:
            files.pop(name)
        else:
            files[name] = data
        return packed(index, files)

    return apply


def indexed(change):
    def apply(index, files):
        change(index)
        return packed(index, files)

    return apply


def rational(*chunks):
    def apply(index, files):
        index["transition-system"]["branch-probability-type"] = {"type": "rational", "size": 128}
        files["branch-to-probability.bin"] = b"".join(struct.pack("<qQ", *chunk) for chunk in chunks)
        return packed(index, files)

    return apply


def raw_index(data):
    return lambda index, files: tar({"index.json": data, **files})


HALVES = [(1, 2)] * 6 + [(1, 1)] * 2
P_PART, T_PART, C_PART, S_PART = (
    "branch-to-probability.bin",
    "branch-to-target.bin",
    "choice-to-branches.bin",
    "state-to-choices.bin",
)
BAD = {
    "empty file": (lambda i, f: b"", "empty"),
    "text renamed": (lambda i, f: b"@type: MDP\n@nr_states\n3\n" * 100, "no .umb archive"),
    "zip renamed": (lambda i, f: b"PK\x03\x04" + bytes(600), "no .umb archive"),
    "zeros": (lambda i, f: bytes(2048), "index.json"),
    "truncated tar": (lambda i, f: packed(i, f)[:1300], "truncated|no .umb archive"),
    "truncated header": (lambda i, f: packed(i, f)[:700], "truncated|no .umb archive"),
    "truncated gzip": (lambda i, f: gzip.compress(packed(i, f))[:-40], "truncated or corrupt gz"),
    "corrupt gzip": (lambda i, f: b"\x1f\x8b" + bytes(50), "truncated or corrupt gz|cannot be read"),
    "corrupt xz": (lambda i, f: lzma.compress(packed(i, f))[:60], "truncated or corrupt xz"),
    "wrong checksum": (lambda i, f: packed(i, f).replace(b"ustar", b"uxtar"), "no .umb archive"),
    "no index": (lambda i, f: tar(f), "index.json: missing"),
    "empty archive": (lambda i, f: tar({}), "index.json: missing"),
    "index is no JSON": (raw_index(b"{'a': 1}"), "index.json: not JSON"),
    "index is no text": (raw_index(b"\xff\xfe\x00"), "index.json: not JSON"),
    "index is deep": (raw_index(b"[" * 100_000), "index.json: not JSON"),
    "index is a list": (raw_index(b"[1, 2]"), "transition-system"),
    "index is a number": (raw_index(b"7"), "transition-system"),
    "no transition-system": (indexed(lambda i: i.pop("transition-system")), "transition-system"),
    "system is a list": (indexed(lambda i: i.update({"transition-system": []})), "transition-system"),
    "no format version": (indexed(lambda i: i.pop("format-version")), "format-version"),
    "format version is text": (indexed(lambda i: i.update({"format-version": "new"})), "format-version"),
    "no #states": (indexed(lambda i: i["transition-system"].pop("#states")), "#states is missing"),
    "text #states": (system(n_states="4"), "#states is no count"),
    "fractional #states": (system(n_states=4.5), "#states is no count"),
    "negative #choices": (system(n_choices=-5), "#choices is no count"),
    "boolean #branches": (system(n_branches=True), "#branches is no count"),
    "no states": (system(n_states=0), "index.json"),
    "absurd #states": (system(n_states=10**18), "wrong size|does not span"),
    "absurd #branches": (system(n_branches=2**63), "branch-to-probability.bin: has the wrong size"),
    "absurd #choices": (system(n_choices=2**62), "choice-to-branches.bin: has the wrong size"),
    "beyond 64 bits": (system(n_states=2**70), "index.json"),
    "wrong #states": (system(n_states=5), "state-to-choices.bin"),
    "wrong #choices": (system(n_choices=4), "choice-to-branches.bin"),
    "wrong #initial-states": (system(**{"n_initial_states": 2}), "state-is-initial.bin"),
    "more initial states than states": (system(**{"n_initial_states": 9}), "index.json"),
    "unknown time": (system(time="dense"), "index.json"),
    "time is a number": (system(time=3), "index.json"),
    "unknown type": (system(branch_probability_type={"type": "decimal", "size": 64}), "index.json"),
    "type of wrong size": (system(branch_probability_type={"type": "double", "size": 32}), "index.json"),
    "type of size zero": (system(branch_probability_type={"type": "rational", "size": 0}), "index.json"),
    "type is text": (system(branch_probability_type="double"), "index.json"),
    "probabilities are integers": (system(branch_probability_type={"type": "int", "size": 64}), "index.json"),
    "rational of 24 bits": (system(branch_probability_type={"type": "rational", "size": 24}), "index.json"),
    "no targets": (part(T_PART, None), "branch-to-target.bin: missing"),
    "no probabilities": (part(P_PART, None), "branch-to-probability.bin: missing"),
    "no choices": (part(S_PART, None), "state-to-choices.bin: missing"),
    "no branches": (part(C_PART, None), "choice-to-branches.bin: missing"),
    "no initial states": (part("state-is-initial.bin", None), "state-is-initial.bin"),
    "target out of range": (part(T_PART, words(1, 2, 2, 4, 0, 1, 2, 3)), "branch-to-target.bin: the target of entry 3"),
    "target beyond int64": (part(T_PART, words(1, 2, 2, 2**64 - 1, 0, 1, 2, 3)), "branch-to-target.bin"),
    "short targets": (part(T_PART, words(1, 2, 2)), "branch-to-target.bin: has the wrong size"),
    "odd bytes": (part(T_PART, words(1, 2, 2, 3, 0, 1, 2, 3)[:-3]), "branch-to-target.bin: has the wrong size"),
    "sum below one": (part(P_PART, doubles(0.5, 0.4, 0.2, 0.8, 0.9, 0.1, 1, 1)), "do not sum to one"),
    "negative": (part(P_PART, doubles(1.5, -0.5, 0.2, 0.8, 0.9, 0.1, 1, 1)), "entry 0 is no probability"),
    "nan": (part(P_PART, doubles(0.5, 0.5, 0.2, float("nan"), 0.9, 0.1, 1, 1)), "entry 3 is not finite"),
    "infinite": (part(P_PART, doubles(0.5, 0.5, 0.2, float("inf"), 0.9, 0.1, 1, 1)), "entry 3 is not finite"),
    "all zero": (part(P_PART, doubles(0, 0, 0.2, 0.8, 0.9, 0.1, 1, 1)), "do not sum to one"),
    "rationals below one": (rational(*HALVES[:-1], (1, 3)), "do not sum to exactly one"),
    "negative rational": (rational((3, 2), (-1, 2), *HALVES[2:]), "entry 0 is no probability"),
    "denominator zero": (rational((1, 0), *HALVES[1:]), "denominator zero"),
    "too few rationals": (rational(*HALVES[1:]), "has the wrong size"),
    "csr descends": (part(S_PART, words(0, 3, 2, 4, 5)), "state-to-choices.bin: descends at entry 2"),
    "csr begins late": (part(S_PART, words(1, 2, 3, 4, 5)), "state-to-choices.bin: does not span"),
    "csr ends early": (part(C_PART, words(0, 2, 4, 6, 7, 7)), "choice-to-branches.bin: does not span"),
    "csr beyond its end": (part(C_PART, words(0, 2, 4, 2**63 + 6, 7, 8)), "choice-to-branches.bin: descends"),
    "deadlock": (part(S_PART, words(0, 2, 2, 4, 5)), "state 1 has none"),
    "choice without branch": (part(C_PART, words(0, 2, 2, 6, 7, 8)), "choice 1 has none"),
    "initial beyond the states": (part("state-is-initial.bin", words(16)), "bits set beyond"),
    "initial of wrong size": (part("state-is-initial.bin", b"\x01"), "state-is-initial.bin: has the wrong size"),
    "action out of range": (part("actions/choices/values.bin", struct.pack("<5I", 0, 2, 0, 0, 0)), "the action of"),
    "actions of wrong size": (part("actions/choices/values.bin", words(0, 1, 0, 0, 0)), "has the wrong size"),
    "names of actions cut": (part("actions/choices/string-mapping.bin", words(0, 1)), "has the wrong size"),
    "names of actions beyond": (part("actions/choices/string-mapping.bin", words(0, 1, 9)), "does not span"),
    "no strings": (part("actions/choices/strings.bin", None), "strings.bin: missing"),
    "no mapping": (part("actions/choices/string-mapping.bin", None), "string-mapping.bin: missing"),
    "names no text": (part("actions/choices/strings.bin", b"\xff\xfe"), "not UTF-8"),
    "label missing": (part("annotations/aps/g/states/values.bin", None), "aps/g/states/values.bin: missing"),
    "label cut": (part("annotations/aps/g/states/values.bin", b"\x08"), "aps/g/states/values.bin: has the wrong size"),
    "label is a number": (indexed(lambda i: i["annotations"]["aps"]["g"]["type"].update(type="int", size=64)), "label"),
    "label of choices": (indexed(lambda i: i["annotations"]["aps"]["g"].update({"applies-to": ["choices"]})), "label"),
    "two labels of one name": (
        indexed(lambda i: i["annotations"]["aps"].update(h=i["annotations"]["aps"]["g"])), "two aps are called 'g'"
    ),
    "reward missing": (part("annotations/rewards/r/choices/values.bin", None), "values.bin: missing"),
    "reward cut": (part("annotations/rewards/r/choices/values.bin", doubles(1, 2)), "has the wrong size"),
    "reward nan": (part("annotations/rewards/r/choices/values.bin", doubles(0, 1, float("nan"), 0, 0)), "not finite"),
    "reward is truth": (
        indexed(lambda i: i["annotations"]["rewards"]["r"]["type"].update(type="bool", size=1)), "of type bool"
    ),
    "reward nowhere": (indexed(lambda i: i["annotations"]["rewards"]["r"].pop("applies-to")), "applies to nothing"),
    "reward of players": (
        indexed(lambda i: i["annotations"]["rewards"]["r"].update({"applies-to": ["players"]})), "index.json"
    ),
    "annotations are a list": (indexed(lambda i: i.update(annotations=[1])), "index.json"),
    "valuations cut": (part("valuations/states/valuations.bin", b"\x00"), "valuations.bin: has the wrong size"),
    "valuations of no whole bytes": (
        indexed(lambda i: i["valuations"]["states"]["classes"][0]["variables"].pop()), "whole bytes"
    ),
    "no valuation class": (indexed(lambda i: i["valuations"]["states"].update(classes=[])), "index.json"),
    "variable without type": (
        indexed(lambda i: i["valuations"]["states"]["classes"][0]["variables"][0].pop("type")), "index.json"
    ),
    "DTMC with choices": (system(n_players=0), "a DTMC with several choices"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_damaged(tmp_path, name, capsys):
    make, message = BAD[name]
    path = tmp_path / "bad.umb"
    path.write_bytes(make(*example()))
    with pytest.raises(ParseError, match=message) as caught:
        load(path)
    assert "bad.umb" in str(caught.value)
    assert capsys.readouterr() == ("", "")


def test_directory_missing_file_and_links(tmp_path):
    (tmp_path / "m.umb").mkdir()
    with pytest.raises(ParseError, match="directory"):
        load(tmp_path / "m.umb")
    with pytest.raises(ParseError, match="no such file"):
        load(tmp_path / "nowhere.umb")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("index.json")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    (tmp_path / "l.umb").write_bytes(out.getvalue())
    with pytest.raises(ParseError, match="a link"):
        load(tmp_path / "l.umb")
    twice = tar({"index.json": b"{}"})[:1024] + tar({"index.json": b"{}"})
    (tmp_path / "t.umb").write_bytes(twice)
    with pytest.raises(ParseError, match="twice"):
        load(tmp_path / "t.umb")


def test_what_unpacks_to_more_than_memory_is_refused(tmp_path, monkeypatch):
    from mdpkit.errors import SizeError
    from mdpkit.io import files

    monkeypatch.setattr(files, "physical_memory", lambda: 2**24)
    (tmp_path / "m.umb").write_bytes(gzip.compress(bytes(2**22)))
    with pytest.raises(SizeError, match="would not fit in memory"):
        load(tmp_path / "m.umb")


@pytest.mark.filterwarnings("ignore::mdpkit.errors.ModelWarning")  # a flipped last bit of a probability
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_flipped_bytes_raise_nothing_else(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(packed(*example()))
    for _ in range(int(rng.integers(1, 4))):
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
    path = tmp_path_factory.getbasetemp() / "flipped.umb"
    path.write_bytes(bytes(data))
    with contextlib.suppress(MDPError):
        load(path)
