"""Models: one model from every representation, every malformed input by name, and exactness."""

from __future__ import annotations

import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import mdpkit as mk
from mdpkit.errors import MDPError, ModelError, ModelWarning, OptionError, UnsupportedError
from mdpkit.models import Transitions

F = Fraction
P = np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.25, 0.75], [1.0, 0.0]]])
r = np.array([[5.0, 10.0], [-1.0, 2.0]])
GAMMA = mk.Discounted(0.9)


def same(a: mk.MDP, b: mk.MDP) -> bool:
    return a == b and a.digest == b.digest and a.action.tolist() == b.action.tolist() and np.array_equal(a.r, b.r)


# -- representations ----------------------------------------------------------------------------------------------------


def test_all_representations_are_the_same_model() -> None:
    model = mk.MDP(P, r, GAMMA)
    flat = P.reshape(4, 2)
    s, a = np.repeat([0, 1], 2), np.tile([0, 1], 2)
    back = np.array([3, 1, 0, 2])
    rows = [(i, j, t, P[i, j, t], r[i, j]) for i in (1, 0) for j in (0, 1) for t in (1, 0) if P[i, j, t]]
    others = [
        mk.MDP(P.tolist(), r.tolist(), GAMMA),
        mk.MDP(sp.csr_matrix(flat), r, GAMMA),
        mk.MDP(sp.coo_array(flat), r, GAMMA),
        mk.MDP([P[:, 0], P[:, 1]], r, GAMMA),
        mk.MDP((sp.csr_array(P[:, 0]), sp.csr_array(P[:, 1])), r, GAMMA),
        mk.MDP(flat, r.ravel(), GAMMA, state=s, action=a),
        mk.MDP(flat[back], r.ravel()[back], GAMMA, state=s[back], action=a[back]),
        mk.MDP(sp.csc_array(flat[back]), r, GAMMA, state=s[back], action=a[back]),
        mk.MDP(Transitions.from_dense(flat), r, GAMMA, state=s, action=a),
        mk.MDP(P, np.repeat(r[:, :, None], 2, axis=2), GAMMA),
        mk.MDP(P.astype(np.float32), r.astype(np.float32), GAMMA),
        mk.MDP.from_transitions(rows, GAMMA),
    ]
    for other in others:
        assert same(other, model)
        assert hash(other) == hash(model)


def test_rewards_in_every_shape() -> None:
    per_state = np.array([1.0, 2.0])
    assert mk.MDP(P, per_state, GAMMA).r.tolist() == [1, 1, 2, 2]
    assert mk.MDP(P, 3, GAMMA).r.tolist() == [3] * 4
    assert mk.MDP(P, r, GAMMA).r.tolist() == r.ravel().tolist()
    on_transitions = np.arange(8.0).reshape(2, 2, 2)
    expected = [
        F(int(2 * k)) * F(P.reshape(4, 2)[k, 0]) + F(int(2 * k + 1)) * F(P.reshape(4, 2)[k, 1]) for k in range(4)
    ]
    assert mk.MDP(P, on_transitions, GAMMA).r.tolist() == [float(x) for x in expected]
    three = np.full((3, 2, 3), 1 / 3)
    by_action = np.arange(6.0).reshape(2, 3)
    assert mk.MDP([three[:, 0], three[:, 1]], by_action, GAMMA).r.tolist() == by_action.T.ravel().tolist()


def test_time_varying_laws_and_rewards() -> None:
    laws = np.stack([P, P[:, ::-1]])
    pay = np.stack([r, 2 * r])
    mdp = mk.MDP(laws, pay, mk.FiniteHorizon(2))
    assert mdp.stages == 2
    last = (2 * r).max(axis=1)
    first = (r + (P @ last)).max(axis=1)
    assert np.allclose(mk.solve(mdp).V, [first, last, [0, 0]], rtol=1e-14, atol=0)
    with pytest.raises(UnsupportedError, match="stage"):
        mk.MDP(laws, pay, GAMMA)
    with pytest.raises(ModelError, match="stages"):
        mk.MDP(laws, pay, mk.FiniteHorizon(3))


def test_minimizing_costs_is_maximizing_negated_costs() -> None:
    for criterion in (GAMMA, mk.FiniteHorizon(4)):
        low = mk.solve(mk.MDP(P, r, criterion, minimize=True), exact=True)
        high = mk.solve(mk.MDP(P, -r, criterion), exact=True)
        assert np.all(low.exact == -high.exact)  # type: ignore[operator]


def test_from_function_and_state_names() -> None:
    def step(n: int, a: str) -> list[tuple[Any, int, int]]:
        return [("1/2", n + 1, 1), ("1/2", n, 0)] if a == "climb" else [(1, n, 0)]

    mdp = mk.MDP.from_function(0, lambda n: ["climb", "rest"] if n < 3 else [], step, mk.TotalReward())
    assert mdp.state_names == (0, 1, 2, 3)
    assert mdp.is_exact
    assert mk.solve(mdp, exact=True).exact_value == 3
    with pytest.raises(ModelError, match="reachable"):
        mk.MDP.from_function(0, lambda n: ["up"], lambda n, a: [(1, n + 1, 0)], max_states=50)
    with pytest.raises(ModelError, match="no next state"):
        mk.MDP.from_function(0, lambda n: ["up"], lambda n, a: [])


def test_induced_chains() -> None:
    mdp = mk.MDP(P, r, GAMMA)
    chain = mdp.induced(np.array([1, 0]))
    assert chain.P.toarray().tolist() == [[0, 1], [0.25, 0.75]]
    assert chain.r.tolist() == [10, -1]
    mixed = mdp.induced(np.array([[0.5, 0.5], [0.25, 0.75]]))
    assert mixed.P.toarray().tolist() == [[0.25, 0.75], [0.8125, 0.1875]]
    assert mixed.r.tolist() == [7.5, 1.25]
    exact = mdp.exact().induced(np.array([["1/3", "2/3"], [1, 0]], dtype=object))
    assert exact.P.exact.tolist() == [F(1, 6), F(5, 6), F(1, 4), F(3, 4)]  # type: ignore[union-attr]
    assert exact.reward.exact.tolist() == [F(25, 3), -1]  # type: ignore[union-attr]
    with pytest.raises(ModelError, match="state 0"):
        mdp.induced(np.array([2, 0]))


# -- frozen -------------------------------------------------------------------------------------------------------------


def test_a_model_is_frozen_and_owns_its_arrays() -> None:
    laws, pay, mask, rho = P.copy(), r.copy(), np.array([True, False]), np.array([0.5, 0.5])
    s, a = np.repeat([0, 1], 2), np.tile([0, 1], 2)
    flat, gamma = laws.reshape(4, 2), np.full(4, 0.5)
    mdp = mk.MDP(flat, pay.ravel(), mk.Discounted(gamma), state=s, action=a, rho=rho, labels={"goal": mask})
    digest = mdp.digest
    copy = pickle.loads(pickle.dumps(mdp))
    for array in (laws, pay, rho, gamma, s, a):
        array.ravel()[0] += 1
    mask[:] = True
    assert mdp.P.toarray().tolist() == P.reshape(4, 2).tolist()
    assert mdp.r.tolist() == r.ravel().tolist()
    assert mdp.labels["goal"].tolist() == [True, False]
    assert mdp.rho.tolist() == [0.5, 0.5]  # type: ignore[union-attr]
    assert mdp.criterion.gamma.tolist() == [0.5] * 4  # type: ignore[union-attr]
    assert mk.MDP.__hash__(copy) == hash(digest)
    for array in (
        mdp.P.data,
        mdp.P.indices,
        mdp.r,
        mdp.state,
        mdp.action,
        mdp.rho,
        mdp.labels["goal"],
        mdp.criterion.gamma,
    ):  # type: ignore[union-attr]
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(AttributeError, match="frozen"):
        mdp.minimize = True
    with pytest.raises(AttributeError, match="frozen"):
        del mdp.P


def test_what_a_model_prints() -> None:
    assert repr(mk.MDP(P, r, GAMMA)) == "MDP(2 states, 4 pairs, 6 transitions; maximize Discounted(gamma=0.9))"
    assert "minimize" in repr(mk.MDP(P, r, GAMMA, minimize=True))
    assert "exact (rationalized)" in repr(mk.MDP(P, r, GAMMA).exact())
    assert "exact (as bits)" in repr(mk.MDP(P, r, GAMMA).exact(dyadic=True))
    assert "<table>" in mk.MDP(P, r, GAMMA)._repr_html_()


# -- malformed input ----------------------------------------------------------------------------------------------------


def broken(s: int, a: int, t: int, value: float) -> Any:
    bad = P.copy()
    bad[s, a, t] = value
    return bad


BAD_MODELS: list[tuple[Any, str, type[MDPError]]] = [
    (lambda: mk.MDP(broken(1, 0, 1, 0.5), r, GAMMA), "state 1, action 0 do not sum to one", ModelError),
    (lambda: mk.MDP(P[:, :, :1] * 0 + 1, r), "shape", ModelError),
    (lambda: mk.MDP(broken(0, 1, 0, -0.5), r), "state 0, action 1, next state 0", ModelError),
    (lambda: mk.MDP(broken(1, 1, 0, np.nan), r), "state 1, action 1, next state 0", ModelError),
    (lambda: mk.MDP(broken(1, 1, 0, np.inf), r), "state 1, action 1, next state 0", ModelError),
    (
        lambda: mk.MDP(sp.csr_array(broken(0, 1, 0, -0.5).reshape(4, 2)), r),
        "state 0, action 1, next state 0",
        ModelError,
    ),
    (lambda: mk.MDP([broken(1, 0, 0, np.nan)[:, 0], P[:, 1]], r), "state 1, action 0", ModelError),
    (
        lambda: mk.MDP(np.stack([P, broken(1, 0, 1, 0.5)]), r, mk.FiniteHorizon(2)),
        "stage 1, state 1, action 0",
        ModelError,
    ),
    (lambda: mk.MDP(P, broken(0, 0, 0, 0)[:, :, 0] * np.inf), "state 1, action 0|not finite", ModelError),
    (lambda: mk.MDP(P, [[1, 2], [3, np.nan]]), "state 1, action 1 is not finite", ModelError),
    (lambda: mk.MDP(P, [[1, 2], [3, -np.inf]]), "state 1, action 1 is not finite", ModelError),
    (lambda: mk.MDP(P, [1.0, 2, 3]), "shape", ModelError),
    (lambda: mk.MDP(P, ["1e400", "0"]), "beyond the range", ModelError),
    (lambda: mk.MDP(np.full((2, 3, 3), 1 / 3)), r"\(A, S, S\)", ModelError),
    (lambda: mk.MDP(np.full((3, 3), 1 / 3)), r"P\[:, None, :\]", ModelError),
    (lambda: mk.MDP(sp.csr_array(np.ones((3, 2)) / 2)), "shape", ModelError),
    (lambda: mk.MDP([np.eye(2), np.eye(3)]), "differ in shape", ModelError),
    (lambda: mk.MDP([[[0.5, 0.5], [1.0]], [[0, 1], [1, 0]]]), "ragged", ModelError),
    (lambda: mk.MDP(np.zeros((0, 0, 0))), "empty", ModelError),
    (lambda: mk.MDP(P.astype(complex)), "numbers", ModelError),
    (lambda: mk.MDP([[["a"]]]), "number", OptionError),
    (lambda: mk.MDP([[["1/3", "1/3"]], [[0, 1]]]), "state 0, action 0 do not sum to exactly one", ModelError),
    (lambda: mk.MDP([[["3/2", "-1/2"]], [[0, 1]]]), "state 0, action 0, next state 1", ModelError),
    (lambda: mk.MDP(np.eye(2), state=[0, 0], action=[0, 1]), "state 1 has no action", ModelError),
    (lambda: mk.MDP(np.eye(2), state=[0, 2], action=[0, 0]), "state index of pair 1 is out of range", ModelError),
    (lambda: mk.MDP(np.eye(2), state=[0, -1], action=[0, 0]), "out of range", ModelError),
    (lambda: mk.MDP(np.eye(2), state=[0, 1], action=[0, -1]), "action index of pair 1", ModelError),
    (lambda: mk.MDP(np.eye(2)[[0, 0, 1]], state=[0, 0, 1], action=[0, 0, 0]), "action 0 is given twice", ModelError),
    (lambda: mk.MDP(np.eye(2), state=[0, 1]), "come together", ModelError),
    (lambda: mk.MDP(np.eye(2), state=[0.0, 1.0], action=[0, 0]), "index array", ModelError),
    (lambda: mk.MDP(np.eye(2), state=[0], action=[0]), "number", ModelError),
    (
        lambda: mk.MDP(Transitions([0, 1], [5], [1.0], 1), state=[0], action=[0]),
        "next state of state 0, action 0",
        ModelError,
    ),
    (lambda: mk.MDP(Transitions([0, 1], [0], [1.0], 1)), "pairs", ModelError),
    (lambda: mk.MDP(P, r, rho=2), "initial state is out of range", ModelError),
    (lambda: mk.MDP(P, r, rho=[0.5, 0.4]), "sum to one", ModelError),
    (lambda: mk.MDP(P, r, rho=[1.5, -0.5]), "state 1", ModelError),
    (lambda: mk.MDP(P, r, rho=[1.0]), "shape", ModelError),
    (lambda: mk.MDP(P, r, labels={"goal": [2]}), "'goal' names a state out of range", OptionError),
    (lambda: mk.MDP(P, r, labels={"goal": [True]}), "'goal' has the wrong shape", ModelError),
    (lambda: mk.MDP(P, r, "discounted"), "criterion", OptionError),  # type: ignore[arg-type]
    (lambda: mk.MDP(P, r).under(0.9), "no criterion; found: 0.9", OptionError),  # type: ignore[arg-type]
    (lambda: mk.MDP(P, r).under('Rmin=? [F "init"]', minimize=True), "names its reward structure", OptionError),
    (lambda: mk.MDP(P, r, mk.Discounted([0.5, 0.5])), "gamma", ModelError),
    (lambda: mk.MDP(P, r, mk.FiniteHorizon(2, terminal=[1.0])), "terminal", ModelError),
    (lambda: mk.MDP(P, r, mk.Reachability([5])), "out of range", OptionError),
    (lambda: mk.MDP(P, labels={"goal": [0]}).under(mk.Reachability("gaol")), "did you mean 'goal'", OptionError),
    (lambda: mk.MDP(P, rewards={"time": r}).under(GAMMA, reward="tme"), "did you mean 'time'", OptionError),
    (lambda: mk.MDP(P, rewards={"a": r, "b": r}).reward, "several reward structures", ModelError),
    (lambda: mk.solve(mk.MDP(P, None, GAMMA)), "no rewards", ModelError),
    (lambda: mk.solve(mk.MDP(P, r)), "no criterion", ModelError),
    (lambda: mk.solve(P), "no model", OptionError),  # type: ignore[arg-type]
    (lambda: mk.MDP.from_transitions([]), "no transitions", ModelError),
    (lambda: mk.MDP.from_transitions([(0, "a", 0, 1)]), "row 0 has 4 fields", ModelError),  # type: ignore[list-item]
    (lambda: mk.MDP.from_transitions([(0, "a", 0, 0.5, 1), (0, "a", 0, 0.5, 1)]), "row 1 repeats", ModelError),
    (lambda: mk.MDP.from_transitions([(0, "a", 1, 1, 1)]), "state 1 has no action", ModelError),
]


@pytest.mark.parametrize("index", range(len(BAD_MODELS)))
def test_malformed_models_are_named(index: int) -> None:
    make, text, kind = BAD_MODELS[index]
    with pytest.raises(kind, match=text), np.errstate(invalid="ignore"):
        make()


def test_under_keeps_what_is_not_named() -> None:
    mdp = mk.MDP(P, r, GAMMA, rho=0, labels={"goal": [1]})
    moved = mdp.under(rho=1)
    assert moved.criterion is mdp.criterion
    assert moved.rho is not None
    assert moved.rho.tolist() == [0, 1]
    assert mdp.under(minimize=True).minimize
    posed = mdp.under('Pmax=? [F "goal"]', rho=1)  # a property has an initial state beside it
    assert posed.rho is not None
    assert posed.rho.tolist() == [0, 1]
    assert mk.solve(posed).value == 1


@pytest.mark.parametrize("gamma", [1, 1.0, -0.1, 1.5, float("nan"), float("inf"), "1", "3/2", F(-1, 2), [0.5, 1.0]])
def test_gamma_outside(gamma: Any) -> None:
    with pytest.raises(OptionError):
        mk.Discounted(gamma)


def test_gamma_one_names_the_way_out() -> None:
    with pytest.raises(OptionError, match="TotalReward"):
        mk.Discounted(1)


@pytest.mark.parametrize("H", [-1, 1.5, "3", True, None])
def test_horizons(H: Any) -> None:
    with pytest.raises(OptionError, match="horizon"):
        mk.FiniteHorizon(H)


def test_an_empty_set_of_states_is_a_set() -> None:
    assert mk.solve(mk.MDP(P, criterion=mk.Reachability([])), exact=True).exact.tolist() == [0, 0]  # type: ignore[union-attr]
    for bad in ([0.5], [0.0], "no such label"):
        with pytest.raises(OptionError):
            mk.MDP(P, criterion=mk.Reachability(bad))  # type: ignore[arg-type]


# -- sums and exactness -------------------------------------------------------------------------------------------------


def test_rough_rows_warn_and_normalize_mends() -> None:
    rough = broken(1, 0, 1, 0.75 + 4e-7)
    with pytest.warns(ModelWarning, match="worst: state 1, action 0"):
        mdp = mk.MDP(rough, r, GAMMA)
    assert mdp.P.toarray()[2, 1] == 0.75 + 4e-7
    assert abs(mk.MDP(rough, r, GAMMA, normalize=True).P.toarray()[2].sum() - 1) <= 2**-52
    with pytest.raises(ModelError, match="sum to one"):
        mk.MDP(broken(1, 0, 1, 0.75 + 2e-6), r, GAMMA)
    exact = mk.MDP([[["1", "2"]], [["0", "5"]]], normalize=True)
    assert exact.P.exact.tolist() == [F(1, 3), F(2, 3), 1]  # type: ignore[union-attr]
    with pytest.raises(ModelError, match="sum to one"):
        mk.MDP(np.zeros((1, 1, 1)), normalize=True)


def test_floats_are_read_as_rationals() -> None:
    thirds = np.array([[[1 / 3, 0.33333333333333337, 1 / 3]], [[0, 1, 0]], [[0.1, 0.2, 0.7]]])
    mdp = mk.MDP(thirds, [0.1, 1 / 7, -2.5], mk.Discounted(0.95))
    exact = mdp.exact()
    assert exact.is_exact
    assert exact.origin == "rationalized"
    assert exact.digest == mdp.digest
    assert exact.P.exact.tolist() == [F(1, 3)] * 3 + [1, F(1, 10), F(1, 5), F(7, 10)]  # type: ignore[union-attr]
    assert exact.reward.exact.tolist() == [F(1, 10), F(1, 7), F(-5, 2)]  # type: ignore[union-attr]
    assert exact.criterion.exact == F(19, 20)  # type: ignore[union-attr]
    bits = mdp.exact(dyadic=True)
    assert bits.origin == "as bits"
    assert bits.P.exact[0] == F(1 / 3)  # type: ignore[index]
    assert bits.reward.exact[0] == F(0.1)  # type: ignore[index]
    assert exact.exact() is exact


def test_a_row_of_floats_that_is_no_rational_law_is_named() -> None:
    x = 2**-0.5
    mdp = mk.MDP(np.array([[[1.0, 0.0]], [[x, 1 - x - 2**-53]]]))
    with pytest.raises(ModelError, match="state 1, action 0 do not sum to exactly one"):
        mdp.exact()
    assert mdp.exact(dyadic=True).is_exact


def test_exact_numbers_stay() -> None:
    mdp = mk.MDP([[["1/3", "2/3"]], [[0, 1]]], ["1/7", "0.1"], mk.Discounted("0.95"), rho=["1/3", "2/3"])
    assert mdp.is_exact
    assert mdp.origin == "as given"
    assert mdp.reward.exact.tolist() == [F(1, 7), F(1, 10)]  # type: ignore[union-attr]
    assert mdp.rho_exact.tolist() == [F(1, 3), F(2, 3)]  # type: ignore[union-attr]
    sol = mk.solve(mdp, exact=True)
    v1 = F(1, 10) / F(1, 20)
    v0 = (F(1, 7) + F(19, 20) * F(2, 3) * v1) / (1 - F(19, 20) / 3)
    assert sol.exact.tolist() == [v0, v1]  # type: ignore[union-attr]
    assert sol.exact_value == v0 / 3 + v1 * F(2, 3)
    assert sol.certificate.about == "as given"
