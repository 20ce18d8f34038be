"""Other packages' objects: the same problem solved there and here, round trips, refusals."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import build, random_model

import mdpkit as mk
from mdpkit.errors import MDPError, ModelError, OptionError, UnsupportedError
from mdpkit.io.interop import (
    from_dataframe,
    from_pymdptoolbox,
    from_quantecon,
    solution_dataframe,
    to_dataframe,
    to_networkx,
    to_pymdptoolbox,
    to_quantecon,
)
from mdpkit.models import MDP, AverageReward, Discounted, FiniteHorizon, TotalReward

F = Fraction

FOREST_P = np.array([[[0.1, 0.9, 0], [0.1, 0, 0.9], [0.1, 0, 0.9]], [[1, 0, 0], [1, 0, 0], [1, 0, 0.0]]])
FOREST_R = np.array([[0, 0], [0, 1], [4, 2.0]])


# -- pymdptoolbox ------------------------------------------------------------------------------------------------------


def test_forest():
    """The forest of pymdptoolbox's documentation at 0.9: (6561, 7371, 8371)/250 in exact arithmetic."""
    mdp = from_pymdptoolbox(FOREST_P, FOREST_R, 0.9)
    solution = mk.solve(mdp)
    np.testing.assert_allclose(solution.V, [6561 / 250, 7371 / 250, 8371 / 250], rtol=1e-9)
    assert solution.pi.actions.tolist() == [0, 0, 0]


@pytest.mark.parametrize("S", [2, 3])
def test_every_shape_of_pymdptoolbox_means_the_same(S):
    rng = np.random.default_rng(0)
    A = 2  # also as many states as actions
    P, R = rng.dirichlet(np.ones(S), size=(A, S)), rng.normal(size=(A, S, S))
    expected = (P * R).sum(axis=2).T.ravel()
    holder = np.empty(A, dtype=object)
    holder[:] = list(R)
    for laws in (P, list(P), tuple(sp.csr_matrix(p) for p in P), [sp.csr_array(p) for p in P]):
        for rewards in (R, list(R), tuple(R), [sp.csr_matrix(r) for r in R], R.tolist(), holder):
            mdp = from_pymdptoolbox(laws, rewards)
            np.testing.assert_allclose(mdp.P.toarray(), P.transpose(1, 0, 2).reshape(-1, S), rtol=0, atol=0)
            np.testing.assert_allclose(mdp.r, expected, rtol=1e-14)
        pairs = rng.normal(size=(S, A))
        for rewards in (pairs, pairs.tolist(), sp.csr_matrix(pairs)):
            assert from_pymdptoolbox(laws, rewards).r.tolist() == pairs.ravel().tolist()
        states = rng.normal(size=S)
        for rewards in (states, states.tolist()):
            assert from_pymdptoolbox(laws, rewards).r.tolist() == np.repeat(states, A).tolist()
    assert from_pymdptoolbox(P, 0 * R, 1).criterion == TotalReward()
    assert from_pymdptoolbox(P, 0 * R, 1).under(Discounted(0.5)).criterion == Discounted(0.5)


@pytest.mark.parametrize("sparse", [False, True, None])
def test_to_pymdptoolbox_and_back(sparse):
    mdp = from_pymdptoolbox(FOREST_P, FOREST_R, 0.9)
    P, R, discount = to_pymdptoolbox(mdp, sparse=sparse)
    assert isinstance(P, list) == bool(sparse)
    assert from_pymdptoolbox(P, R, discount) == mdp
    costs = MDP(list(FOREST_P), FOREST_R, Discounted(0.9), minimize=True)
    assert to_pymdptoolbox(costs)[1].tolist() == (-FOREST_R).tolist()
    assert to_pymdptoolbox(MDP(list(FOREST_P), FOREST_R))[2] is None


@pytest.mark.parametrize(
    ("P", "R", "message"),
    [
        (FOREST_P[0], FOREST_R, "not made of matrices"),
        (sp.csr_matrix(FOREST_P[0]), FOREST_R, "one sparse matrix"),
        ([], FOREST_R, "not made of matrices"),
        (None, FOREST_R, "not made of matrices"),
        ([[[1, 0], [1]]], FOREST_R, "not made of matrices"),
        ([FOREST_P[0], FOREST_P[1][:2]], FOREST_R, "matrix of action 1"),
        (FOREST_P, FOREST_R.T, "R has the wrong shape"),
        (FOREST_P, 1.0, "R is no array"),
        (FOREST_P, [[1, 2], [3]], "R is no array"),
        (FOREST_P, np.zeros((3, 3, 3)), "R has the wrong shape"),
        (FOREST_P * 0.9, FOREST_R, "do not sum to one"),
        (FOREST_P, FOREST_R + np.nan, "not finite"),
    ],
)
def test_malformed_arrays(P, R, message):
    with pytest.raises(ModelError, match=message):
        from_pymdptoolbox(P, R, 0.9)


def test_what_pymdptoolbox_cannot_hold():
    ragged = build(random_model(np.random.default_rng(1), 4, 3, (0, 1)), Discounted(0.5))
    with pytest.raises(UnsupportedError, match="differ from state to state"):
        to_pymdptoolbox(ragged)
    with pytest.raises(UnsupportedError, match="stage"):
        to_pymdptoolbox(MDP(np.ones((2, 1, 1, 1)), 0.0, FiniteHorizon(2)))
    with pytest.raises(UnsupportedError, match="no such criterion"):
        to_pymdptoolbox(MDP(np.ones((1, 1, 1)), 0.0, AverageReward()))
    with pytest.raises(OptionError, match="outside"):
        from_pymdptoolbox(FOREST_P, FOREST_R, 1.5)


# -- quantecon ---------------------------------------------------------------------------------------------------------


def test_puterman_as_in_quantecon():
    """V* = ((5 - 5.5 beta) / ((1 - 0.5 beta) (1 - beta)), -1 / (1 - beta)), Puterman (2005), Section 3.1."""
    beta = 0.95
    Q = np.array([[[0.5, 0.5], [0, 1]], [[0, 1], [0.5, 0.5]]])
    ddp = SimpleNamespace(R=np.array([[5, 10], [-1, -np.inf]]), Q=Q, beta=beta, s_indices=None, a_indices=None)
    mdp = from_quantecon(ddp)
    assert mdp.n_pairs == 3
    expected = [(5 - 5.5 * beta) / ((1 - 0.5 * beta) * (1 - beta)), -1 / (1 - beta)]
    np.testing.assert_allclose(mk.solve(mdp).V, expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ["product", "pairs", "sparse"])
def test_quantecon_solves_the_same_problem(kind):
    markov = pytest.importorskip("quantecon.markov")
    rng = np.random.default_rng(3)
    S, A = 6, 3
    Q, R = rng.dirichlet(np.full(S, 0.3), size=(S, A)), rng.normal(size=(S, A))
    R[rng.random((S, A)) < 0.3] = -np.inf
    R[:, 0] = 0.5
    s, a = np.nonzero(np.isfinite(R))
    order = rng.permutation(len(s))  # QuantEcon sorts the pairs
    s, a = s[order], a[order]
    ddp = {
        "product": lambda: markov.DiscreteDP(R, Q, 0.9),
        "pairs": lambda: markov.DiscreteDP(R[s, a], Q[s, a], 0.9, s, a),
        "sparse": lambda: markov.DiscreteDP(R[s, a], sp.csr_matrix(Q[s, a]), 0.9, s, a),
    }[kind]()
    mdp = from_quantecon(ddp)
    assert mdp.n_pairs == len(s)
    theirs = ddp.solve(method="policy_iteration")
    np.testing.assert_allclose(mk.solve(mdp).V, theirs.v, rtol=1e-8)
    for sparse in (None, True, False):
        back = to_quantecon(mdp, sparse=sparse)
        np.testing.assert_allclose(back.solve(method="policy_iteration").v, theirs.v, rtol=1e-12)
        assert from_quantecon(back) == mdp


def test_to_quantecon_keeps_the_form():
    pytest.importorskip("quantecon")
    ddp = to_quantecon(from_pymdptoolbox(FOREST_P, FOREST_R, 0.9))
    assert ddp.Q.shape == (3, 2, 3)
    assert ddp.beta == 0.9
    costs = MDP(list(FOREST_P), FOREST_R, Discounted(0.9), minimize=True)
    np.testing.assert_allclose(to_quantecon(costs).solve(method="pi").v, -mk.solve(costs).V, rtol=1e-8)
    with pytest.raises(UnsupportedError, match="no such criterion"):
        to_quantecon(costs.under(AverageReward()))


def test_no_discrete_dp():
    with pytest.raises(OptionError, match="no DiscreteDP"):
        from_quantecon(FOREST_P)
    bad = SimpleNamespace(R=np.zeros((2, 2)), Q=np.zeros((2, 3, 2)), beta=0.9, s_indices=None, a_indices=None)
    with pytest.raises(ModelError, match="do not fit"):
        from_quantecon(bad)
    nowhere = SimpleNamespace(
        R=np.full((1, 1), -np.inf), Q=np.ones((1, 1, 1)), beta=0.9, s_indices=None, a_indices=None
    )
    with pytest.raises(ModelError):
        from_quantecon(nowhere)


# -- pandas ------------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), exact=st.booleans(), named=st.booleans())
def test_tables_come_back(seed, exact, named):
    pytest.importorskip("pandas")
    rng = np.random.default_rng(seed)
    raw = random_model(rng, 5, 3, (-1, 0, 2))
    names = [("cell", int(i)) for i in rng.permutation(5)] if named else None
    mdp = build(raw, Discounted("0.5"), exact=exact, state_names=names)
    table = to_dataframe(mdp)
    assert list(table.columns) == ["state", "action", "next_state", "probability", "reward"]
    assert len(table) == mdp.n_transitions
    again = from_dataframe(table, Discounted("0.5"))
    assert again.state_names == (tuple(names) if named else tuple(range(5)))
    assert again.P.indices.tolist() == mdp.P.indices.tolist()
    assert again.P == mdp.P
    assert again.r.tolist() == mdp.r.tolist()


def test_tables_of_transition_rewards_and_other_columns():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(
        {
            "idstatefrom": [0, 0, 1],
            "idaction": [0, 0, 0],
            "idstateto": [0, 1, 1],
            "probability": ["1/3", "2/3", "1"],
            "reward": [3, 6, 0],
        }
    )
    mdp = from_dataframe(table, rho=1)
    assert mdp.is_exact
    assert mdp.reward.exact.tolist() == [5, 0]
    assert mdp.rho.tolist() == [0, 1]
    names = ["idstatefrom", "idaction", "idstateto", "probability", "reward"]
    back = to_dataframe(mdp, columns=names)
    assert list(back.columns) == names
    assert back["reward"].tolist() == [3, 6, 0]
    assert back["probability"].tolist() == [F(1, 3), F(2, 3), 1]
    renamed = table.rename(columns={"idstatefrom": "s", "idaction": "a", "idstateto": "t", "probability": "p"})
    columns = {"state": "s", "action": "a", "next_state": "t", "probability": "p"}
    assert from_dataframe(renamed, columns=columns, rho={1: F(1)}) == mdp
    assert from_dataframe(renamed, columns=["s", "a", "t", "p", "reward"]).reward.exact.tolist() == [5, 0]
    assert dict(from_dataframe(table.drop(columns="reward")).rewards) == {}
    floats = {"idstatefrom": float, "idaction": float, "idstateto": float}
    again = from_dataframe(table.iloc[[2, 0, 1]].astype(floats), rho=1)
    assert (again, again.state_names, again.pair_names) == (mdp, mdp.state_names, mdp.pair_names)
    assert from_dataframe(table, rho={0: "1/4", 1: "3/4"}).rho_exact.tolist() == [F(1, 4), F(3, 4)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="next_state"), "no column 'next_state'"),
        (lambda t: t.assign(probability=[0.5, None, 1.0]), "row 1 has no probability"),
        (lambda t: t.assign(state=["a", None, "b"]), "row 1 has no state"),
        (lambda t: t.assign(probability=[0.5, 0.4, 1.0]), "do not sum to one"),
        (lambda t: t.assign(probability=[1.5, -0.5, 1.0]), "no probability"),
        (lambda t: t.assign(probability=["half", "half", "1"]), "probability of row 0"),
        (lambda t: t.assign(next_state=["a", "c", "b"]), "state 'c' has no action"),
        (lambda t: t.assign(x=0).set_axis([*t.columns, "action"], axis=1), "two columns 'action'"),
        (lambda t: t.assign(next_state=["a", "a", "b"]), "repeats"),
        (lambda t: t.assign(state=[["a"], ["a"], ["b"]]), "no name"),
        (lambda t: t.assign(reward=[1.0, float("inf"), 0.0]), "not finite"),
        (lambda t: t.iloc[:0], "no transitions"),
        (lambda t: t.to_numpy(), "no table"),
    ],
)
def test_malformed_tables(change, message):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(
        {
            "state": ["a", "a", "b"],
            "action": ["x"] * 3,
            "next_state": ["a", "b", "b"],
            "probability": [0.5, 0.5, 1.0],
            "reward": [1.0, 2.0, 0.0],
        }
    )
    assert from_dataframe(table, rho="b").rho.tolist() == [0, 1]
    with pytest.raises(OptionError, match="no state"):
        from_dataframe(table, rho="c")
    with pytest.raises(OptionError, match="no column is called"):
        from_dataframe(table, columns={"from": "state"})
    with pytest.raises(MDPError, match=message):
        from_dataframe(change(table))


def test_solutions_as_tables():
    pytest.importorskip("pandas")
    mdp = from_pymdptoolbox(FOREST_P, FOREST_R, 0.9)
    table = solution_dataframe(mk.solve(mdp))
    assert list(table.columns) == ["state", "value", "lower", "upper", "action"]
    assert table["action"].tolist() == [0, 0, 0]
    assert (table["lower"] <= table["value"]).all()
    assert (table["value"] <= table["upper"]).all()
    toymaker = mk.instances.make("howard-toymaker").under(mk.AverageReward())
    average = solution_dataframe(mk.solve(toymaker, exact=True))
    assert list(average.columns) == ["state", "value", "lower", "upper", "bias", "action"]
    assert average["bias"].tolist() == [20 / 9, -70 / 9]
    staged = solution_dataframe(mk.solve(mdp.under(FiniteHorizon(2))))
    assert staged["stage"].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert staged["action"].tolist()[6:] == [None] * 3
    assert staged["value"].tolist()[3:6] == [0, 1, 4]  # one step before the end: the best reward
    assert staged["action"].tolist()[4:6] == [1, 0]
    with pytest.raises(OptionError, match="no solution"):
        solution_dataframe(mdp)


# -- networkx ----------------------------------------------------------------------------------------------------------


def test_graphs():
    nx = pytest.importorskip("networkx")
    names = ["young", "middle", "old"]
    mdp = MDP(
        list(FOREST_P), FOREST_R, Discounted(0.9), rho=0, labels={"ripe": [2]}, state_names=names,
        pair_names=["wait", "cut"] * 3,
    )  # fmt: skip
    solution = mk.solve(mdp)
    graph = to_networkx(mdp, solution=solution)
    assert isinstance(graph, nx.MultiDiGraph)
    assert (graph.number_of_nodes(), graph.number_of_edges()) == (3, mdp.n_transitions)
    assert graph.nodes[2] == {"name": "old", "labels": ["ripe"], "initial": 0.0, "value": float(solution.V[2])}
    cut = [data for _, t, data in graph.out_edges(1, data=True) if data["action"] == "cut"]
    assert cut == [{"probability": 1.0, "reward": 1.0, "action": "cut"}]
    for s in graph:
        for action in ("wait", "cut"):
            total = sum(d["probability"] for _, _, d in graph.out_edges(s, data=True) if d["action"] == action)
            assert total == pytest.approx(1, abs=1e-15)


def test_graphs_of_policies():
    nx = pytest.importorskip("networkx")
    mdp = from_pymdptoolbox(FOREST_P, FOREST_R, 0.9)
    chain = to_networkx(mdp, np.array([0, 1, 0]))
    assert type(chain) is nx.DiGraph
    assert sorted(chain.edges) == [(0, 0), (0, 1), (1, 0), (2, 0), (2, 2)]
    assert chain.edges[2, 2] == {"probability": 0.9, "reward": 4.0}
    solved = to_networkx(mdp, mk.solve(mdp))
    assert solved.nodes[0]["value"] == pytest.approx(6561 / 250)
    assert nx.is_strongly_connected(solved)
    with pytest.raises(ModelError, match="not admissible"):
        to_networkx(mdp, np.array([0, 5, 0]))
    with pytest.raises(OptionError, match="unknown reward structure"):
        to_networkx(mdp, reward="costs")


def test_missing_packages_are_named():
    code = (
        "import sys\n"
        "for name in ('pandas', 'networkx', 'quantecon'): sys.modules[name] = None\n"
        "import mdpkit as mk, numpy as np\n"
        "from mdpkit.io import interop\n"
        "mdp = mk.MDP(np.ones((1, 1, 1)), 0.0, mk.Discounted(0.5))\n"
        "for call in (interop.to_dataframe, interop.to_networkx, interop.to_quantecon):\n"
        "    try:\n"
        "        call(mdp)\n"
        "    except mk.MDPError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for package in ("pandas", "networkx", "quantecon"):
        assert f'pip install "mdpkit[{package}]"' in done.stdout


def test_importing_is_cheap():
    names = ("pandas", "networkx", "quantecon", "umbi", "lark", "numba")
    code = f"import sys, mdpkit.io.interop; print([m for m in {names!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
