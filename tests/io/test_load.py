"""Sources by name: DRN files, tables, instances."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from mdpkit.errors import ModelWarning, OptionError, OutputExistsError, ParseError, UnsupportedError
from mdpkit.io import load, save
from mdpkit.models import MDP, Discounted, FiniteHorizon

needs_drn = pytest.mark.skipif(importlib.util.find_spec("mdpkit.io.drn") is None, reason="mdpkit.io.drn is not there")
needs_instances = pytest.mark.skipif(
    importlib.util.find_spec("mdpkit.instances") is None, reason="mdpkit.instances is not there"
)

TEXT = """@type: MDP
@value_type: rational
@parameters

@reward_models
steps energy
@nr_states
3
@nr_choices
4
@model
state 0 [1, 1/3] init
\taction go [0, 1/6]
\t\t1 : 1/3
\t\t2 : 2/3
\taction wait [2, 0]
\t\t0 : 1
state 1 [0, 0] "the goal" done
\taction 0 [0, 0]
\t\t1 : 1
state 2 [1, 0]
\taction 0 [0, 0]
\t\t0 : 1/2
\t\t1 : 1/2
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "m.drn").write_text(TEXT)
    return tmp_path / "m.drn"


@needs_drn
def test_drn_model(path):
    mdp = load(path)
    assert (mdp.n_states, mdp.n_pairs) == (3, 4)
    assert mdp.pair_ptr.tolist() == [0, 2, 3, 4]
    assert mdp.action.tolist() == [0, 1, 0, 0]
    assert mdp.pair_names == ("go", "wait", "0", "0")
    assert mdp.P.exact.tolist() == [Fraction(1, 3), Fraction(2, 3), 1, 1, Fraction(1, 2), Fraction(1, 2)]
    assert mdp.P.indices.tolist() == [1, 2, 0, 1, 0, 1]
    # state reward + action reward
    assert mdp.rewards["steps"].exact.tolist() == [1, 3, 0, 1]
    assert mdp.rewards["energy"].exact.tolist() == [Fraction(1, 2), Fraction(1, 3), 0, 0]
    assert mdp.active is None
    assert mdp.rho.tolist() == [1.0, 0.0, 0.0]
    assert {name: np.flatnonzero(mask).tolist() for name, mask in mdp.labels.items()} == {
        "init": [0],
        "the goal": [1],
        "done": [1],
    }
    assert mdp.under(Discounted("1/2"), reward="energy").is_exact


@needs_drn
def test_several_initial_states_give_no_law(path):
    path.write_text(TEXT.replace("state 2 [1, 0]", "state 2 [1, 0] init"))
    mdp = load(path)
    assert mdp.rho is None
    assert np.flatnonzero(mdp.labels["init"]).tolist() == [0, 2]


@needs_drn
@pytest.mark.parametrize("ending", ["drn", "drn.gz", "drn.xz", "npz"])
def test_round_trip_through_every_ending(path, tmp_path, ending):
    mdp = load(path)
    target = tmp_path / f"copy.{ending}"
    mdp.save(target)
    again = load(target)
    assert again == mdp
    assert (again.pair_names, again.rho.tolist(), list(again.rewards)) == (
        mdp.pair_names,
        mdp.rho.tolist(),
        list(mdp.rewards),
    )
    for name, reward in mdp.rewards.items():
        assert again.rewards[name].exact.tolist() == reward.exact.tolist()
    assert {name: mask.tolist() for name, mask in again.labels.items()} == {
        name: mask.tolist() for name, mask in mdp.labels.items()
    }
    with pytest.raises(OutputExistsError):
        mdp.save(target)


@needs_drn
def test_doubles_come_back_bit_for_bit(tmp_path):
    source = np.random.default_rng(0)
    mdp = MDP(source.dirichlet(np.ones(4), size=(4, 2)), source.normal(size=(4, 2)), rho=2)
    mdp.save(tmp_path / "m.drn")
    again = load(tmp_path / "m.drn")
    assert again == mdp
    assert again.rho.tolist() == [0.0, 0.0, 1.0, 0.0]
    assert again.labels["init"].tolist() == [False, False, True, False]
    assert np.all(again.reward.error >= 2.0**-53 * np.abs(again.r))


@needs_drn
def test_float_rewards_of_rational_laws_are_written_by_their_bits(tmp_path):
    mdp = MDP([[["1/3", "2/3"]], [["0", "1"]]], np.array([0.1, 0.5]), rho=0)
    mdp.save(tmp_path / "m.drn")
    again = load(tmp_path / "m.drn")
    assert again.P.exact.tolist() == mdp.P.exact.tolist()
    assert again.reward.exact.tolist() == [Fraction(0.1), Fraction(1, 2)]


@needs_drn
def test_what_drn_cannot_hold(tmp_path):
    spread = MDP(np.ones((2, 1, 2)) / 2, 0.0, rho=np.array([0.5, 0.5]))
    staged = MDP(np.ones((2, 1, 1, 1)), 0.0, FiniteHorizon(2), rho=0)
    bits = MDP(np.array([[[0.1, 0.2, 0.7]]] * 3), 0.0, rho=0).exact(dyadic=True)
    assert sum(bits.P.exact[:3]) != 1
    for mdp in (spread, staged, bits):
        with pytest.raises(UnsupportedError, match=r"save to \.npz"):
            save(mdp, tmp_path / "m.drn")
    assert not (tmp_path / "m.drn").exists()


@needs_drn
def test_probabilities_of_six_digits_make_a_model(tmp_path):
    rows = "".join(f"state {s}\naction 0\n" + "".join(f"{t} : 0.333333\n" for t in range(3)) for s in range(3))
    (tmp_path / "m.drn").write_text(f"@type: DTMC\n@value_type: double\n@nr_states\n3\n@model\n{rows}")
    with pytest.warns(ModelWarning, match="sum to one only to"):
        mdp = load(tmp_path / "m.drn")
    assert mdp.P.data.tolist() == [0.333333] * 9


@needs_drn
def test_malformed_drn(path):
    path.write_text(TEXT.replace("1 : 1/3", "1 : 1/4"))
    with pytest.raises(ParseError, match=r"m\.drn"):
        load(path)


@needs_instances
def test_instances():
    assert load("instance:riverswim?variant=ucrl2").n_states == 6
    with pytest.raises(OptionError, match="riverswim"):
        load("instance:riverswin")


def test_unknown_sources(tmp_path):
    with pytest.raises(OptionError, match="gym: or instance:"):
        load("FrozenLake-v1")
    with pytest.raises(ParseError, match="no such file"):
        load(tmp_path / "m.drn.gz")


def test_importing_io_is_cheap():
    code = "import sys, mdpkit.io; print([m for m in ('numba', 'gymnasium', 'lark', 'flint') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("model.lab", r"the \.tra file of the same stem"),
        ("model.prism", "Storm's --exportbuild"),
        ("model.JANI", "PRISM's -exportmodel"),
        ("model.POMDP", "not supported"),
        (None, "no name of a file; found: None"),
        (3, "no name of a file"),
    ],
)
def test_names_that_are_no_source_get_a_way_out(source, says):
    with pytest.raises(OptionError, match=says):
        load(source)
    with pytest.raises(OptionError, match=says):
        save(MDP(np.ones((1, 1, 1)), 0.0), source)


@pytest.mark.parametrize("ending", ["drn.gz", "tra.xz", "csv.gz"])
def test_text_under_a_packed_name_gets_a_way_out(tmp_path, ending):
    path = tmp_path / f"m.{ending}"
    path.write_text("@type: MDP\n")
    with pytest.raises(ParseError, match=rf"let the name end without \.{ending[-2:]}"):
        load(path)
