"""Models survive writing and reading; damaged files are named."""

from __future__ import annotations

import io
import os
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdpkit.errors import MDPError, ModelError, OptionError, OutputExistsError, ParseError
from mdpkit.io import load, npz, save
from mdpkit.models import (
    MDP,
    AverageReward,
    Discounted,
    FiniteHorizon,
    Invariance,
    Reachability,
    Stationary,
    TotalReward,
    Transitions,
)

FIELDS = ("n_states", "n_actions", "stages", "minimize", "active", "state_names", "pair_names", "origin")


def same_array(a, b):
    if a is None or b is None:
        assert a is b
        return
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    if a.dtype == object:
        assert a.tolist() == b.tolist()
        assert all(type(x) is Fraction for x in a.tolist())
    else:
        assert a.tobytes() == b.tobytes()


def assert_same_rewards(a, b):
    assert list(a) == list(b)
    for x, y in zip(a.values(), b.values(), strict=True):
        for name in ("values", "exact", "error", "transition", "transition_exact"):
            same_array(getattr(x, name), getattr(y, name))


def assert_same(a: MDP, b: MDP):
    """Every field agrees, bit for bit."""
    for name in FIELDS:
        assert getattr(a, name) == getattr(b, name), name
        assert type(getattr(a, name)) is type(getattr(b, name)), name
    for name in ("pair_ptr", "state", "action", "rho", "rho_exact"):
        same_array(getattr(a, name), getattr(b, name))
    assert (a.P.dense is None) == (b.P.dense is None)
    for name in ("indptr", "indices", "data", "exact"):
        same_array(getattr(a.P, name), getattr(b.P, name))
    assert_same_rewards(a.rewards, b.rewards)
    assert (a.base is None) == (b.base is None)
    if a.base is not None and b.base is not None:
        for name in ("dense", "indptr", "indices", "data", "exact"):
            same_array(getattr(a.base[0], name), getattr(b.base[0], name))
        assert_same_rewards(a.base[1], b.base[1])
    assert list(a.labels) == list(b.labels)
    for name, mask in a.labels.items():
        same_array(mask, b.labels[name])
    assert a.criterion == b.criterion
    assert repr(a.criterion) == repr(b.criterion)
    if a.criterion is not None:
        for name in ("exact", "terminal_exact"):
            assert np.array_equal(getattr(a.criterion, name, None), getattr(b.criterion, name, None))
    assert a.is_exact == b.is_exact
    assert a.digest == b.digest
    assert repr(a) == repr(b)


def round_trip(mdp, path):
    npz.write(mdp, path, overwrite=True)
    again = npz.read(path)
    assert_same(mdp, again)
    return again


# -- random models -----------------------------------------------------------------------------------------------------

NAMES = st.recursive(
    st.one_of(st.integers(), st.text(max_size=4), st.booleans(), st.none(), st.fractions(), st.floats(allow_nan=False)),
    lambda inner: st.tuples(inner, inner),
    max_leaves=4,
)


@st.composite
def models(draw):
    source = np.random.default_rng(draw(st.integers(0, 2**32)))
    S, A = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["dense", "sparse", "exact", "ragged", "stages"]))
    exact_rewards = draw(st.booleans())
    weights = source.integers(0, 4, size=(S, A, S)) + np.eye(S, dtype=int)[:, None, :]
    P = weights / weights.sum(axis=2, keepdims=True)
    exact = np.array([[Fraction(int(w), int(row.sum())) for w in row] for row in weights.reshape(-1, S)]).reshape(
        S, A, S
    )
    pairs: dict = {}
    given_P: object = P
    L, top = S * A, A
    if kind == "sparse":
        given_P = sp.csr_array(P.reshape(S * A, S))
    elif kind == "exact":
        given_P = exact
    elif kind == "stages":
        given_P = np.stack([P, P[::-1, :, ::-1]])
    elif kind == "ragged":
        keep = source.random((S, A)) < 0.5
        keep[:, source.integers(A)] = True
        state, action = np.nonzero(keep)
        L, top = len(state), int(action.max()) + 1
        pairs = {"state": state, "action": action}
        given_P = exact[state, action] if draw(st.booleans()) else P[state, action]

    def reward():
        shape = draw(st.sampled_from(["pairs", "transitions"] if kind in ("dense", "exact") else ["pairs"]))
        numbers = source.integers(-9, 9, size=(S, A, S) if shape == "transitions" else (L,))
        if exact_rewards:
            return np.array([Fraction(int(x), 7) for x in numbers.ravel()]).reshape(numbers.shape)
        return numbers / 7 * source.choice([1.0, 1e-300, 1e300])

    H = 2 if kind == "stages" else 3
    subset = np.flatnonzero(source.random(S) < 0.5)
    finite = FiniteHorizon(
        H, draw(st.sampled_from([1, 0.5, "1/3"])), draw(st.sampled_from([None, [0.1] * S, ["1/3"] * S]))
    )
    others = [
        None,
        Discounted(0.9),
        Discounted("1/3"),
        Discounted(np.full(L, 0.3)),
        Discounted(np.array([Fraction(1, k + 2) for k in range(S * top)]).reshape(S, top)),
        finite,
        TotalReward(),
        TotalReward(subset),
        TotalReward("odd"),
        Reachability("odd", through=subset, steps=4),
        Reachability(np.arange(S) == 0),
        Invariance("odd"),
        AverageReward(),
    ]
    c = draw(st.sampled_from([None, finite] if kind == "stages" else others))
    rho = draw(st.sampled_from([None, S - 1, np.full(S, 1 / S), [f"1/{S}"] * S]))
    named = {name: reward() for name in draw(st.sampled_from([(), ("x",), ("x", "a b/ü")]))}
    return MDP(
        given_P,
        reward() if draw(st.booleans()) else None,
        c,
        rho=rho,
        minimize=draw(st.booleans()),
        labels={"odd": np.arange(S) % 2 == 1, 'ü "/': [0]},
        rewards=named,
        state_names=draw(st.none() | st.lists(NAMES, min_size=S, max_size=S)),
        pair_names=draw(st.none() | st.just([f"a{k}" for k in range(L)])),
        **pairs,
    )


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(mdp=models())
def test_round_trip(mdp, tmp_path):
    round_trip(mdp, tmp_path / "m.npz")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(mdp=models())
def test_round_trip_of_exact_and_induced_models(mdp, tmp_path):
    try:
        exact = mdp.exact(dyadic=True)
    except MDPError:
        exact = mdp
    again = round_trip(exact, tmp_path / "m.npz")
    for name in mdp.rewards if mdp.criterion is not None else ():
        assert again.under(again.criterion, reward=name).digest == exact.under(exact.criterion, reward=name).digest
    if mdp.stages is None:
        policy = Stationary.from_pairs(mdp, mdp.pair_ptr[:-1])
        round_trip(mdp.induced(policy), tmp_path / "m.npz")


def test_huge_rationals(tmp_path):
    tiny = Fraction(1, 3**20_000)
    mdp = MDP(np.array([[[tiny, 1 - tiny]], [[Fraction(0), Fraction(1)]]]), [Fraction(10**6000 + 1, 10**6000), 0], None)
    assert round_trip(mdp, tmp_path / "m.npz").P.exact[0] == tiny


def test_numpy_and_nested_names(tmp_path):
    names = [np.int64(3), (1, ("x", None)), frozenset({1, 2}), np.float32(0.1), Fraction(1, 3), True]
    mdp = MDP(np.eye(6)[:, None, :], 0.0, state_names=names)
    again = round_trip(mdp, tmp_path / "m.npz")
    assert [type(x) for x in again.state_names] == [type(x) for x in names]


def test_unwritable_names_leave_no_file(tmp_path):
    mdp = MDP(np.ones((1, 1, 1)), 0.0, state_names=[object()])
    with pytest.raises(ModelError, match="state's name cannot be written"):
        npz.write(mdp, tmp_path / "m.npz")
    assert os.listdir(tmp_path) == []


def test_floats_beside_the_rationals_are_kept(tmp_path):
    third = np.array([Fraction(1, 3), Fraction(2, 3), Fraction(1)])
    P = Transitions([0, 2, 3], [0, 1, 1], [0.3333333, 0.6666667, 1.0], 2, third)
    mdp = MDP(P, [1.0, 2.0], state=np.array([0, 1]), action=np.array([0, 0]))
    assert round_trip(mdp, tmp_path / "m.npz").P.data[0] == 0.3333333


def big():
    n = 30_000
    source = np.random.default_rng(0)
    indices = np.sort((np.arange(3 * n).reshape(-1, 1) * 7 + np.array([0, 1, 5])) % n, axis=1)
    exact = np.empty(9 * n, dtype=object)
    exact[:] = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)] * (3 * n)
    P = Transitions(np.arange(3 * n + 1) * 3, indices.ravel(), exact.astype(float), n, exact)
    r = np.array([Fraction(k, 10) for k in range(10)])[source.integers(0, 10, size=3 * n)]
    state, action = np.repeat(np.arange(n), 3), np.tile(np.arange(3), n)
    return MDP(P, r, Discounted("99/100"), state=state, action=action, rho=0, labels={"goal": [n - 1]})


def test_large_exact_models_are_compact(tmp_path):
    mdp = big()
    round_trip(mdp, tmp_path / "m.npz")
    assert (tmp_path / "m.npz").stat().st_size < 10 * mdp.n_transitions / 4


def test_same_model_same_bytes(tmp_path):
    mdp = MDP(np.ones((1, 1, 1)), "1/3", Discounted("1/2"), rho=0)
    for name in ("a.npz", "b.npz"):
        npz.write(mdp, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def model():
    P = np.array([[["1/3", "2/3"], ["1", "0"]], [["0", "1"], ["1/2", "1/2"]]])
    return MDP(
        P, [["1/7", "2"], ["3", "4"]], Discounted("9/10"), rho=0, labels={"goal": [1]}, rewards={"x": [1, 2, 3, 4.0]}
    )


def test_existing_files_are_kept(model, tmp_path):
    path = tmp_path / "m.npz"
    path.write_text("precious")
    with pytest.raises(OutputExistsError, match="exists"):
        model.save(path)
    assert path.read_text() == "precious"
    model.save(path, overwrite=True)
    assert load(path) == model
    assert os.listdir(tmp_path) == ["m.npz"]


def test_a_failing_write_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    save(model, path)
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        save(model, path, overwrite=True)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.npz"]


def test_paths(model, tmp_path):
    with pytest.raises(OptionError, match=r"folder .* does not exist"):
        save(model, tmp_path / "no" / "m.npz")
    (tmp_path / "d.npz").mkdir()
    with pytest.raises(OptionError, match="is a directory"):
        save(model, tmp_path / "d.npz", overwrite=True)
    with pytest.raises(ParseError, match="is a directory"):
        load(tmp_path / "d.npz")
    with pytest.raises(ParseError, match="no such file"):
        load(tmp_path / "m.npz")
    with pytest.raises(ParseError, match="no such file"):
        npz.read(tmp_path / "m.npz")
    for name in ("m.txt", "m", "m.npz.gz", "m.prism"):
        with pytest.raises(OptionError, match=r"\.drn, \.drn\.gz, \.drn\.xz.*\.npz"):
            load(tmp_path / name)
        with pytest.raises(OptionError, match=r"\.drn, \.drn\.gz, \.drn\.xz.*\.npz"):
            save(model, tmp_path / name)
    save(model, tmp_path / "M.NPZ")
    assert load(str(tmp_path / "M.NPZ")) == model


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def test_every_missing_array_is_named(model, tmp_path):
    path = tmp_path / "m.npz"
    save(model, path)
    content = members(path)
    assert {"meta.npy", "rationals.npy", "pair_ptr.npy", "action.npy", "P_indptr.npy"} <= set(content)
    for name in content:
        write_members(path, {k: v for k, v in content.items() if k != name})
        with pytest.raises(ParseError, match=f"'{name.removesuffix('.npy')}' is missing"):
            load(path)


def test_every_damaged_array_is_named(model, tmp_path):
    path = tmp_path / "m.npz"
    save(model, path)
    content = members(path)
    for name, data in content.items():
        array = name.removesuffix(".npy")
        for bad in (
            data[:-1],
            b"",
            data[:20],
            b"junk" * 40,
            npy(np.array([object()])),
            npy(np.array(["x"])),
            data + b"\0",
        ):
            write_members(path, {**content, name: bad})
            with pytest.raises(ParseError, match=array):
                load(path)


def test_truncated_archives(model, tmp_path):
    path = tmp_path / "m.npz"
    save(model, path)
    data = path.read_bytes()
    for size in (0, 1, 30, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(ParseError, match=r"m\.npz: truncated, or no \.npz"):
            load(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), value=st.integers(1, 255))
def test_flipped_bytes_never_escape(model, tmp_path, where, value):
    path = tmp_path / "m.npz"
    save(model, path, overwrite=True)
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= value
    path.write_bytes(data)
    try:
        again = load(path)
    except MDPError:
        return
    assert_same(again, model)  # the byte meant nothing


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("mdpkit_format", np.array(2), "format version; found: 2"),
        ("pair_ptr", np.array([0, 2, 1]), "'pair_ptr' is damaged"),
        ("pair_ptr", np.array([0, 2, 4, 4]), "'pair_ptr' is damaged"),
        ("action", np.array([0, 0, 0, 1]), "'action' is damaged"),
        ("action", np.array([0, 1, 0, 5]), "'action' is damaged"),
        ("P_indptr", np.array([0, 2, 3, 4]), "'P_indptr' is damaged"),
        ("P_indptr", np.array([0, 2, 1, 4, 6]), "'P_indptr' is damaged"),
        ("P_indices", np.array([1, 0, 0, 1, 0, 1], dtype=np.uint32), "'P_indices' is damaged"),
        ("P_indices", np.array([0, 7, 0, 1, 0, 1], dtype=np.uint32), "'P_indices' is damaged"),
        ("P_data_exact", np.array([0, 0, 0, 0, 0, 0], dtype=np.uint32), "'P_data_exact' is damaged"),
        ("P_data_exact", np.array([99, 0, 0, 0, 0, 0], dtype=np.uint32), "'P_data_exact' is damaged"),
        ("rationals", np.frombuffer(b"1/0", dtype=np.uint8), "'rationals' is damaged"),
        ("rationals", np.frombuffer(b"one", dtype=np.uint8), "'rationals' is damaged"),
        ("meta", np.frombuffer(b"{", dtype=np.uint8), "'meta' is damaged"),
        ("meta", np.frombuffer(b"[]", dtype=np.uint8), "'meta' is damaged"),
        ("meta", np.frombuffer(b'{"n_states": 2}', dtype=np.uint8), "'meta' is damaged"),
        ("labels", np.zeros((2, 1), dtype=np.uint8), "'labels' is damaged"),
        ("reward0_values_exact", np.zeros(3, dtype=np.uint32), "'reward0_values' is damaged"),
    ],
)
def test_inconsistent_arrays(model, tmp_path, name, array, message):
    path = tmp_path / "m.npz"
    save(model, path)
    content = members(path)
    assert f"{name}.npy" in content
    write_members(path, {**content, f"{name}.npy": npy(array)})
    with pytest.raises(ParseError, match=message):
        load(path)


def test_unknown_criterion(model, tmp_path):
    path = tmp_path / "m.npz"
    save(model, path)
    content = members(path)
    meta = np.load(io.BytesIO(content["meta.npy"])).tobytes().replace(b"Discounted", b"Discountde")
    write_members(path, {**content, "meta.npy": npy(np.frombuffer(meta, dtype=np.uint8))})
    with pytest.raises(ParseError, match="did you mean 'Discounted'"):
        load(path)


# -- plain arrays ------------------------------------------------------------------------------------------------------

P = np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
R = np.array([[5.0, 10.0], [-1.0, -1.0]])


def test_plain_arrays(tmp_path):
    path = tmp_path / "m.npz"
    np.savez(path, P=P, r=R, gamma=0.95, rho=np.array([1.0, 0.0]), minimize=True, extra=np.arange(3))
    assert_same(load(path), MDP(P, R, Discounted(0.95), rho=np.array([1.0, 0.0]), minimize=True))
    np.savez_compressed(path, P=P, R=R)
    assert_same(load(path), MDP(P, R))
    by_transition = np.arange(8.0).reshape(2, 2, 2)
    np.savez(path, P=P, R=by_transition, rho=1)
    assert_same(load(path), MDP(P, by_transition, rho=1))
    np.savez(path, P=np.array([[["1/3", "2/3"]], [["0", "1"]]]), r=np.array(["1/7", "2"]), gamma="9/10")
    assert load(path).is_exact


@pytest.mark.parametrize(
    ("arrays", "kind", "message"),
    [
        ({}, ParseError, "'P' is missing"),
        ({"Q": P}, ParseError, "'P' is missing.*found: Q"),
        ({"P": P}, ParseError, "'r' is missing"),
        ({"P": P, "r": R, "R": R}, ParseError, "given twice"),
        ({"P": P, "r": np.array([[object()]])}, ParseError, "'r' holds Python objects"),
        ({"P": P + 1j, "r": R}, ParseError, "'P' is damaged"),
        ({"P": P * 0.9, "r": R}, ModelError, "do not sum to one"),
        ({"P": P, "r": R[:, :1, None]}, ModelError, "shape"),
        ({"P": P, "r": R, "gamma": 1.5}, OptionError, "gamma"),
        ({"P": P, "r": R, "rho": np.ones(2)}, ModelError, "rho"),
    ],
)
def test_bad_plain_arrays(tmp_path, arrays, kind, message):
    np.savez(tmp_path / "m.npz", **arrays)
    with pytest.raises(kind, match=message):
        load(tmp_path / "m.npz")


def test_foreign_files(tmp_path):
    path = Path(tmp_path / "m.npz")
    path.write_text("no archive at all")
    with pytest.raises(ParseError, match=r"no \.npz archive"):
        load(path)
    sp.save_npz(path, sp.csr_matrix(np.eye(2)))
    with pytest.raises(ParseError, match="'P' is missing"):
        load(path)
