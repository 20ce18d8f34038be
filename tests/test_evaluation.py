"""Evaluation of given policies against published tables, closed forms, and independent rational elimination."""

from fractions import Fraction
from itertools import product as cartesian

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mdpkit as mk
from mdpkit.errors import MDPError, ModelError, SizeError, UndefinedValueError
from mdpkit.models import chains

F = Fraction
few = settings(max_examples=25, deadline=None)


def gauss(A, b):
    """Solve A x = b in Fractions, by elimination: nothing of the library."""
    n = len(A)
    M = [[F(x) for x in row] + [F(y)] for row, y in zip(A, b, strict=True)]
    for i in range(n):
        k = next(k for k in range(i, n) if M[k][i] != 0)
        M[i], M[k] = M[k], M[i]
        M[i] = [x / M[i][i] for x in M[i]]
        for k in range(n):
            if k != i and M[k][i]:
                M[k] = [x - M[k][i] * y for x, y in zip(M[k], M[i], strict=True)]
    return [row[n] for row in M]


def law(draw, n):
    weights = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n).filter(any))
    return [F(w, sum(weights)) for w in weights]


@st.composite
def models(draw, policies=1):
    """Tables (P, r, gamma, rho) in Fractions and randomized policies; S, A <= 3."""
    S, A = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    P = [[law(draw, S) for _ in range(A)] for _ in range(S)]
    r = [[F(draw(st.integers(-6, 6)), draw(st.integers(1, 3))) for _ in range(A)] for _ in range(S)]
    gamma = F(draw(st.integers(0, 9)), 10)
    pis = [[law(draw, A) for _ in range(S)] for _ in range(policies)]
    return P, r, gamma, law(draw, S), pis


def build(P, r, criterion, rho=None, **options):
    array = np.array(P, dtype=object)
    return mk.MDP(
        array, np.array(r, dtype=object), criterion, rho=None if rho is None else np.array(rho, dtype=object), **options
    )


def objects(values):
    return np.array(values, dtype=object)


def value(P, r, gamma, pi):
    """Discounted value of a stationary policy by elimination; gamma a number or a table by pairs."""
    S, A = len(P), len(P[0])
    g = gamma if isinstance(gamma, list) else [[gamma] * A for _ in range(S)]
    I_M = [[(s == t) - sum(pi[s][a] * g[s][a] * P[s][a][t] for a in range(A)) for t in range(S)] for s in range(S)]
    return gauss(I_M, [sum(pi[s][a] * r[s][a] for a in range(A)) for s in range(S)])


def action_value(P, r, gamma, V):
    S, A = len(P), len(P[0])
    return [[r[s][a] + gamma * sum(P[s][a][t] * V[t] for t in range(S)) for a in range(A)] for s in range(S)]


def enclosed(evaluation, exact):
    """The bounds contain the exact values, compared as rationals, and V lies between them."""
    lower, upper = evaluation.lower.ravel(), evaluation.upper.ravel()
    for low, v, high, x in zip(lower, evaluation.V.ravel(), upper, np.ravel(exact), strict=True):
        assert low <= v <= high
        if isinstance(x, float) and not np.isfinite(x):
            assert low == x == high
        else:
            assert F(low) <= x <= F(high)
            assert float(high) - float(low) <= 1e-9 * max(1, abs(x))
    return True


# -- known answers -----------------------------------------------------------------------------------------------------


def test_sutton_barto_example_4_1():
    mdp = mk.instances.make("gridworld-4-1")
    table = [0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0]
    exact = mk.evaluate(mdp, mk.Stationary.uniform(mdp), exact=True)
    assert exact.exact.tolist() == table
    assert exact.exact_value == F(sum(table), 14)
    assert exact.verify()
    # each move costs one, so the expected number of moves is minus the value
    assert exact.occupancy.sum() == -exact.exact_value
    floats = mk.evaluate(mdp, np.full((16, 4), 0.25))
    assert floats.exact is None
    assert enclosed(floats, table)
    assert floats.verify()


def test_puterman_two_states():
    mdp = mk.instances.make("puterman-two-state")
    gamma = F(19, 20)
    first = mk.evaluate(mdp, [0, 0], exact=True)
    assert first.exact.tolist() == [F(-60, 7), -20]
    second = mk.evaluate(mdp, [1, 0], exact=True)
    assert second.exact.tolist() == [10 - gamma / (1 - gamma), -1 / (1 - gamma)]
    assert second.Q[0, 0] == 5 + gamma * (F(1, 2) * -9 + F(1, 2) * -20)
    assert np.isnan(float(second.Q[1, 1])) == (len(mdp.pairs_of(1)) == 1)
    assert first.gain is None
    assert first.bias is None


def test_chain_by_hand():
    # 0 -> 1 with 1/3, else stays; 1 -> 0 with 1/2, else stays; reward 1 in state 0
    P = objects([[[F(2, 3), F(1, 3)]], [[F(1, 2), F(1, 2)]]])
    mdp = mk.MDP(P, objects([[1], [0]]), mk.Discounted("1/2"), rho=0)
    # V1 = 1/4 (V0 + V1), V0 = 1 + V0/3 + V1/6  =>  V1 = V0/3, V0 = 1/(2/3 - 1/18) = 18/11
    result = mk.evaluate(mdp, [0, 0], exact=True)
    assert result.exact.tolist() == [F(18, 11), F(6, 11)]
    assert result.occupancy.ravel().tolist() == [F(9, 11), F(2, 11)]
    horizon = mk.evaluate(mdp.under(mk.FiniteHorizon(2, terminal=objects([0, 12]))), [0, 0], exact=True)
    # V_1 = (1 + 4, 6), V_0 = (1 + 2/3 * 5 + 1/3 * 6, 1/2 * 5 + 1/2 * 6)
    assert horizon.exact.tolist() == [[F(19, 3), F(11, 2)], [5, 6], [0, 12]]
    assert horizon.Q[0].ravel().tolist() == [F(19, 3), F(11, 2)]
    assert horizon.occupancy[:, :, 0].tolist() == [[1, 0], [F(2, 3), F(1, 3)]]


def test_total_reward_until_a_target_and_misses():
    # from 0: action 0 reaches the target 2 with 1/4 at cost 1, action 1 falls into the sink 1
    P = objects([[[F(3, 4), 0, F(1, 4)], [0, 1, 0]], [[0, 1, 0]] * 2, [[0, 0, 1]] * 2])
    r = objects([[1, 1], [5, 0], [7, 7]])
    for minimize in (False, True):
        mdp = mk.MDP(P, r, mk.TotalReward(target=[2]), rho=0, minimize=minimize)
        reach = mk.evaluate(mdp, [0, 0, 0], exact=True)
        assert reach.exact.tolist() == [4, np.inf, 0]
        assert reach.Q[0].tolist() == [4, np.inf]
        assert reach.Q[2].tolist() == [0, 0]
        assert reach.occupancy.tolist() == [[4, 0], [0, 0], [0, 0]]
        # 1/2 each: reaches the target with less than certainty
        for exact in (True, False):
            mixed = mk.evaluate(mdp, objects([[F(1, 2), F(1, 2)]] * 3), exact=exact)
            assert [float(v) for v in mixed.V] == [np.inf, np.inf, 0]
            assert mixed.lower[0] == np.inf == mixed.value
        probability = mdp.under(mk.Reachability([2]))
        mixed = mk.evaluate(probability, objects([[F(1, 2), F(1, 2)]] * 3), exact=True)
        assert mixed.exact.tolist() == [F(1, 8) / (1 - F(3, 8)), 0, 1]
        assert enclosed(mk.evaluate(probability, np.full((3, 2), 0.5)), mixed.exact)
        never = mk.evaluate(mdp.under(mk.Invariance([0, 2])), objects([[F(1, 2), F(1, 2)]] * 3), exact=True)
        assert never.exact.tolist() == [F(1, 5), 0, 1]
        assert enclosed(mk.evaluate(mdp.under(mk.Invariance([0, 2])), np.full((3, 2), 0.5)), never.exact)


def test_plain_total_reward_with_both_signs():
    # state 0 loops under both actions, with rewards 3/10 and -1/10: in floats 0.25 * 0.3 - 0.75 * 0.1 is not zero
    P = objects([[[1], [1]]])
    mdp = mk.MDP(P.astype(float), np.array([[0.3, -0.1]]), mk.TotalReward(), rho=0)
    assert 0.25 * 0.3 - 0.75 * 0.1 != 0
    assert mk.evaluate(mdp, np.array([[0.25, 0.75]])).V.tolist() == [0.0]
    assert mk.evaluate(mdp, np.array([[0.5, 0.5]])).V.tolist() == [np.inf]
    assert mk.evaluate(mdp, np.array([[0.125, 0.875]]), exact=True).exact.tolist() == [-np.inf]
    assert mk.evaluate(mdp, [0]).occupancy.tolist() == [[np.inf, 0.0]]
    # a cycle of +1, -1 has no total reward
    swap = mk.MDP(objects([[[0, 1]], [[1, 0]]]), objects([[1], [-1]]), mk.TotalReward())
    with pytest.raises(UndefinedValueError):
        mk.evaluate(swap, [0, 0])


def test_transient_visits():
    # gambler's ruin on 0..4 with a fair coin from 2: visits 1, 2, 1 of the states 1, 2, 3
    P = np.zeros((5, 1, 5))
    P[0, 0, 0] = P[4, 0, 4] = 1
    for s in (1, 2, 3):
        P[s, 0, s - 1] = P[s, 0, s + 1] = 0.5
    mdp = mk.MDP(P, np.zeros((5, 1)), mk.Reachability([4]), rho=2)
    result = mk.evaluate(mdp, np.zeros(5, dtype=int), exact=True)
    assert result.exact.tolist() == [0, F(1, 4), F(1, 2), F(3, 4), 1]
    assert result.occupancy.ravel().tolist() == [0, 1, 2, 1, 0]
    # a cycle that is never left is visited for ever
    turn = mk.MDP(objects([[[0, 1]], [[1, 0]]]), objects([[0], [0]]), mk.TotalReward(), rho=0)
    assert mk.evaluate(turn, [0, 0]).occupancy.ravel().tolist() == [np.inf, np.inf]


# -- random rational models against elimination ------------------------------------------------------------------------


@few
@given(models(policies=2), st.booleans())
def test_discounted_identities(case, minimize):
    P, r, gamma, rho, (pi, other) = case
    S, A = len(P), len(P[0])
    mdp = build(P, r, mk.Discounted(gamma), rho, minimize=minimize)
    V = value(P, r, gamma, pi)
    result = mk.evaluate(mdp, objects(pi), exact=True)
    assert result.exact.tolist() == V
    assert result.Q.tolist() == action_value(P, r, gamma, V)
    assert enclosed(mk.evaluate(mdp, objects(pi)), V)
    assert enclosed(mk.evaluate(build(P, r, mk.Discounted(gamma)), objects(pi).astype(float)), V)
    d = result.occupancy
    assert d.sum() == 1
    assert (d * objects(r)).sum() == (1 - gamma) * sum(p * v for p, v in zip(rho, V, strict=True))
    for t in range(S):  # flow conservation
        inflow = sum(d[s, a] * P[s][a][t] for s, a in cartesian(range(S), range(A)))
        assert sum(d[t]) == (1 - gamma) * rho[t] + gamma * inflow
    # performance difference: V_pi(rho) - V_other(rho) = 1/(1-gamma) sum d_pi (Q_other - V_other)
    reference = mk.evaluate(mdp, objects(other), exact=True)
    gain = (d * (reference.Q - reference.exact[:, None])).sum() / (1 - gamma)
    assert result.exact_value - reference.exact_value == gain
    assert np.allclose(mk.evaluate(mdp, objects(pi)).occupancy, d.astype(float), rtol=1e-12, atol=1e-14)


@few
@given(models(), st.data())
def test_discount_by_pairs(case, data):
    P, r, _, rho, (pi,) = case
    S, A = len(P), len(P[0])
    gamma = [[F(data.draw(st.integers(0, 9)), 10) for _ in range(A)] for _ in range(S)]
    mdp = build(P, r, mk.Discounted(objects(gamma)), rho)
    V = value(P, r, gamma, pi)
    result = mk.evaluate(mdp, objects(pi), exact=True)
    assert result.exact.tolist() == V
    assert result.Q.tolist() == [
        [r[s][a] + gamma[s][a] * sum(P[s][a][t] * V[t] for t in range(S)) for a in range(A)] for s in range(S)
    ]
    floats = mk.evaluate(mdp, objects(pi).astype(float))
    assert enclosed(mk.evaluate(mdp, objects(pi)), V)
    assert np.allclose(floats.V, np.array(V, dtype=float), rtol=1e-12, atol=1e-12)
    d = result.occupancy
    assert d.sum() == 1
    assert (d * objects(r) / (1 - objects(gamma))).sum() == result.exact_value
    actions = [data.draw(st.integers(0, A - 1)) for _ in range(S)]
    sharp = [[F(a == actions[s]) for a in range(A)] for s in range(S)]
    assert mk.evaluate(mdp, actions, exact=True).exact.tolist() == value(P, r, gamma, sharp)


@few
@given(models(policies=3), st.booleans(), st.booleans())
def test_markov_policies(case, varying, minimize):
    P, r, gamma, rho, pis = case
    S, A, H = len(P), len(P[0]), len(pis)
    laws = [P, P[::-1], P] if varying else [P] * H
    rewards = [r, r[::-1], r] if varying else [r] * H
    end = list(range(S))
    c = mk.FiniteHorizon(H, gamma, objects(end))
    mdp = build(laws if varying else P, rewards if varying else r, c, rho, minimize=minimize)
    V, Q, visits, x = [objects(end)], [], [], list(rho)
    for h in reversed(range(H)):
        q = action_value(laws[h], rewards[h], gamma, V[0].tolist())
        Q.insert(0, q)
        V.insert(0, objects([sum(pis[h][s][a] * q[s][a] for a in range(A)) for s in range(S)]))
    for h in range(H):
        d = [[x[s] * pis[h][s][a] for a in range(A)] for s in range(S)]
        visits.append(d)
        x = [sum(d[s][a] * laws[h][s][a][t] for s, a in cartesian(range(S), range(A))) for t in range(S)]
    result = mk.evaluate(mdp, objects(pis), exact=True)
    assert result.exact.tolist() == [list(row) for row in V]
    assert result.Q.tolist() == Q
    assert result.occupancy.tolist() == visits
    assert enclosed(mk.evaluate(mdp, objects(pis)), np.array(V))
    assert np.allclose(mk.evaluate(mdp, objects(pis)).occupancy, objects(visits).astype(float), rtol=1e-14, atol=1e-15)
    # one policy in all stages, and the same as a policy with memory
    same = mk.evaluate(mdp, objects(pis[0]), exact=True)
    assert same.exact.tolist() == mk.evaluate(mdp, objects([pis[0]] * H), exact=True).exact.tolist()
    memory = mk.FiniteMemory(lambda s: 0, lambda m, s: objects(pis[min(m, H - 1)][s]), lambda m, s, a, t: m + 1, A)
    lifted = mk.evaluate(mdp, memory, exact=True)
    assert lifted.exact.tolist() == list(V[0])
    assert lifted.occupancy.tolist() == visits
    assert lifted.Q.tolist() == Q[0]
    assert enclosed(mk.evaluate(mdp, memory), V[0])


@few
@given(models(policies=2), st.integers(0, 3), st.booleans())
def test_bounded_steps(case, k, minimize):
    P, r, _, rho, pis = case
    S, A = len(P), len(P[0])
    target, safe = {0}, {0, 1}

    def brute(stages, fixed, end):
        V = [fixed.get(s, end) for s in range(S)]
        for h in reversed(range(k)):
            pi = pis[min(h, stages - 1)]
            V = [fixed.get(s, sum(pi[s][a] * P[s][a][t] * V[t] for a in range(A) for t in range(S))) for s in range(S)]
        return V

    for criterion, fixed, end in (
        (mk.Reachability(sorted(target), steps=k), {0: F(1)}, F(0)),
        (
            mk.Invariance([s for s in range(S) if s in safe], steps=k),
            {s: F(0) for s in range(S) if s not in safe},
            F(1),
        ),
    ):
        mdp = build(P, r, criterion, rho, minimize=minimize)
        for stages, policy in ((1, objects(pis[0])), (2, objects(pis))):
            V = brute(stages, fixed, end)
            result = mk.evaluate(mdp, policy, exact=True)
            assert result.exact.tolist() == V
            assert enclosed(mk.evaluate(mdp, policy), V)
            assert result.verify()
            if k:
                first = pis[0]
                mean = [sum(first[s][a] * result.Q[s, a] for a in range(A)) for s in range(S)]
                assert mean == V
            assert result.occupancy.shape == (k, S, A)


@few
@given(models(policies=2), st.integers(0, 4))
def test_mixture_is_linear(case, n):
    P, r, gamma, rho, (pi, other) = case
    mdp = build(P, r, mk.Discounted(gamma), rho)
    share = F(n, 4)
    mixture = mk.Mixture([mk.Stationary.of(mdp, objects(pi)), objects(other)], objects([share, 1 - share]))
    expected = [
        share * v + (1 - share) * w for v, w in zip(value(P, r, gamma, pi), value(P, r, gamma, other), strict=True)
    ]
    result = mk.evaluate(mdp, mixture, exact=True)
    assert result.exact.tolist() == expected
    assert result.occupancy.sum() == 1
    assert (result.occupancy * objects(r)).sum() == (1 - gamma) * result.exact_value
    assert enclosed(mk.evaluate(mdp, mixture), expected)
    assert result.verify()
    assert "Mixture" in repr(result)


@few
@given(models(), st.booleans())
def test_no_policy_beats_the_optimum(case, minimize):
    P, r, gamma, rho, (pi,) = case
    mdp = build(P, r, mk.Discounted(gamma), rho, minimize=minimize)
    best = mk.solve(mdp, exact=True)
    S, A = len(P), len(P[0])
    attained = []
    for actions in cartesian(range(A), repeat=S):
        V = mk.evaluate(mdp, list(actions), exact=True).exact
        assert all(v >= w if minimize else v <= w for v, w in zip(V, best.exact, strict=True))
        attained.append(V.tolist())
    assert best.exact.tolist() in attained
    randomized = mk.evaluate(mdp, objects(pi), exact=True).exact
    assert all(v >= w if minimize else v <= w for v, w in zip(randomized, best.exact, strict=True))
    assert mk.evaluate(mdp, best.pi, exact=True).exact.tolist() == best.exact.tolist()


@pytest.mark.parametrize(
    "name",
    ["puterman-two-state", "forest", "frozenlake", "gridworld-3-8", "gridworld-4-1", "puterman-inventory"],
)
def test_optimal_policies_of_instances(name):
    mdp = mk.instances.make(name)
    exact = mk.solve(mdp, exact=True)
    floats = mk.evaluate(mdp, mk.solve(mdp).pi)
    assert floats.V.shape == exact.exact.shape
    assert enclosed(floats, exact.exact)
    assert mk.evaluate(mdp, exact.pi, exact=True).exact.tolist() == exact.exact.tolist()


def test_bounded_reachability_of_its_own_policy():
    mdp = mk.instances.make("frozenlake").under(mk.Reachability("goal", steps=9))
    best = mk.solve(mdp, exact=True)
    assert isinstance(best.pi, mk.Markov)
    result = mk.evaluate(mdp, best.pi, exact=True)
    assert result.exact.tolist() == best.exact.tolist()
    assert result.exact_value == best.exact_value > 0


@pytest.mark.parametrize("minimize", [False, True])
def test_action_values_of_bounded_properties(minimize):
    mdp = mk.instances.make("frozenlake").under(mk.Reachability("goal", steps=7), minimize=minimize)
    rest = mk.solve(mdp.under(mk.Reachability("goal", steps=6)), exact=True).exact.astype(float)
    solution = mk.solve(mdp)
    P = mdp.P.toarray().reshape(16, 4, 16)
    expected = np.einsum("sat,t->sa", P, rest)
    expected[15] = 1  # the target
    assert np.allclose(solution.Q, expected, rtol=1e-13, atol=1e-15)
    best = solution.Q.min(axis=1) if minimize else solution.Q.max(axis=1)
    assert np.allclose(best, solution.V, rtol=1e-13, atol=1e-15)


# -- memory ------------------------------------------------------------------------------------------------------------


def test_alternating_policy():
    # one state; rewards 1 and 0 in turn: 1 / (1 - gamma^2), and gamma / (1 - gamma^2) after a first 0
    mdp = mk.MDP(objects([[[1], [1]]]), objects([[1, 0]]), mk.Discounted("9/10"), rho=0)
    turn = mk.FiniteMemory(lambda s: 0, lambda m, s: m, lambda m, s, a, t: 1 - m, 2)
    result = mk.evaluate(mdp, turn, exact=True)
    assert result.exact.tolist() == [1 / (1 - F(81, 100))]
    assert result.chain.n_states == 2
    # a first, then the alternation goes on with action 1: gamma^2 / (1 - gamma^2) is what follows two steps
    after = F(81, 100) / (1 - F(81, 100))
    assert result.Q.tolist() == [[1 + after, after]]
    assert result.occupancy.tolist() == [[F(10, 19), F(9, 19)]]
    assert enclosed(mk.evaluate(mdp, turn), result.exact)
    # the same as a Markov policy over an infinite horizon whose last stage repeats
    late = mk.Markov.of(mdp, [[0], [1]])
    assert mk.evaluate(mdp, late, exact=True).exact.tolist() == [1]


def test_memory_that_sees_actions():
    # repeat the first random action for ever: rewards 1 or 0 with probability 1/2 each
    mdp = mk.MDP(objects([[[1], [1]]]), objects([[1, 0]]), mk.Discounted("1/2"), rho=0)
    stubborn = mk.FiniteMemory(
        lambda s: None, lambda m, s: objects([F(1, 2), F(1, 2)]) if m is None else m, lambda m, s, a, t: a, 2
    )
    result = mk.evaluate(mdp, stubborn, exact=True)
    assert result.exact.tolist() == [1]
    assert result.Q.tolist() == [[2, 0]]


@few
@given(models(), st.data())
def test_memory_with_discount_by_pairs(case, data):
    P, r, _, rho, (pi,) = case
    S, A = len(P), len(P[0])
    gamma = [[F(data.draw(st.integers(0, 9)), 10) for _ in range(A)] for _ in range(S)]
    mdp = build(P, r, mk.Discounted(objects(gamma)), rho)
    idle = mk.FiniteMemory(lambda s: "m", lambda m, s: objects(pi[s]), lambda m, s, a, t: (s, a), A)
    result = mk.evaluate(mdp, idle, exact=True)
    assert result.exact.tolist() == value(P, r, gamma, pi)
    plain = mk.evaluate(mdp, objects(pi), exact=True)
    assert result.Q.tolist() == plain.Q.tolist()
    assert result.occupancy.tolist() == plain.occupancy.tolist()


def test_memory_under_reachability():
    # to reach 2 from 0 one must try action 0 and then action 1
    P = objects([[[0, 1, 0], [1, 0, 0]], [[1, 0, 0], [0, 0, 1]], [[0, 0, 1]] * 2])
    mdp = mk.MDP(P, None, mk.Reachability("goal"), rho=0, labels={"goal": [2]})
    turn = mk.FiniteMemory(lambda s: 0, lambda m, s: m, lambda m, s, a, t: 1 - m, 2)
    assert mk.evaluate(mdp, turn, exact=True).exact.tolist() == [1, 1, 1]
    late = mk.FiniteMemory(lambda s: 1, lambda m, s: m, lambda m, s, a, t: 1 - m, 2)
    assert mk.evaluate(mdp.under(mk.Reachability("goal", steps=2)), late, exact=True).exact.tolist() == [0, 1, 1]


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ragged():
    """State 0 has actions 0 and 1, state 1 only action 0."""
    P = objects([[0, 1], [1, 0], [0, 1]])
    return mk.MDP(P, objects([1, 2, 3]), mk.Discounted("1/2"), state=[0, 0, 1], action=[0, 1, 0])


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ([0, 1], ["action 1", "state 1"]),
        ([[F(1, 2), F(1, 2)], [F(1, 2), F(1, 2)]], ["action 1", "state 1"]),
        ([[F(1, 2), F(1, 3)], [1, 0]], ["state 0", "sum to one", "5/6"]),
        ([[0.5, 0.4], [1.0, 0.0]], ["state 0", "sum to one"]),
        ([[1.5, -0.5], [1.0, 0.0]], ["state 0", "action 1"]),
        (np.zeros((3, 2)), ["wrong shape"]),
        (
            mk.FiniteMemory(lambda s: 0, lambda m, s: 1, lambda m, s, a, t: 0, 2),
            ["state 1", "action 1", "not admissible"],
        ),
        (
            mk.FiniteMemory(lambda s: 0, lambda m, s: np.array([0.5, 0.4]), lambda m, s, a, t: 0, 2),
            ["state 0", "sum to one"],
        ),
        (mk.FiniteMemory(lambda s: [], lambda m, s: 0, lambda m, s, a, t: m, 2), ["state 0", "hashable"]),
        (mk.FiniteMemory(lambda s: 0, lambda m, s: np.ones(7) / 7, lambda m, s, a, t: m, 7), ["wrong shape"]),
        (mk.Markov(()), ["no stages"]),
    ],
)
def test_refusals_name_the_place(ragged, policy, words):
    with pytest.raises(ModelError) as error:
        mk.evaluate(ragged, policy)
    for word in words:
        assert word in str(error.value)


def test_policy_of_another_model(ragged):
    other = mk.MDP(
        objects([[0, 1], [1, 0], [0, 1]]), objects([1, 2, 3]), mk.Discounted("1/2"), state=[0, 1, 1], action=[0, 0, 1]
    )
    with pytest.raises(ModelError, match="another model"):
        mk.evaluate(ragged, mk.Stationary.uniform(other))
    with pytest.raises(ModelError, match="another model"):
        mk.evaluate(ragged.under(mk.FiniteHorizon(2)), mk.Markov((mk.Stationary.uniform(other),)))


def test_floats_that_are_no_exact_law(ragged):
    third = 0.3333333
    with pytest.raises(ModelError, match="state 0 do not sum to exactly one"):
        mk.evaluate(ragged, [[third, 1 - third + 1e-11], [1.0, 0.0]], exact=True)
    # floats next to rationals are those rationals: V1 = 6, V0 = (1 + V1/2)/3 + 2/3 (2 + V0/2)
    assert mk.evaluate(ragged, [[1 / 3, 2 / 3], [1.0, 0.0]], exact=True).exact.tolist() == [4, 6]


def test_endless_memory_is_refused(ragged, monkeypatch):
    monkeypatch.setattr(chains, "MAX_NODES", 50)
    count = mk.FiniteMemory(lambda s: 0, lambda m, s: 0, lambda m, s, a, t: m + 1, 2)
    with pytest.raises(SizeError, match="more than 50"):
        mk.evaluate(ragged, count)


def test_average_reward():
    mdp = mk.instances.make("howard-toymaker").under(mk.AverageReward())
    e = mk.evaluate(mdp, [0, 0], exact=True)
    # law (4/9, 5/9) of rows (1/2, 1/2), (2/5, 3/5) with rewards 6 and -3: gain 1
    assert e.gain.tolist() == [1, 1]
    assert e.bias.tolist() == [F(50, 9), F(-40, 9)]
    assert e.Q.tolist() == [[F(50, 9), F(4, 5) * F(50, 9) - F(1, 5) * F(40, 9) + 3], [F(-40, 9), -6 + F(50, 9) - 3]]
    assert e.occupancy.tolist() == [[F(4, 9), 0], [F(5, 9), 0]]
    assert e.exact_value == 1
    floats = mk.evaluate(mdp, [[0.5, 0.5], [1.0, 0.0]])
    # rows (13/20, 7/20), (2/5, 3/5) with rewards 5 and -3: law (8/15, 7/15)
    assert floats.lower[0] <= F(19, 15) <= floats.upper[0]
    assert floats.gap < 1e-12
    assert floats.occupancy.sum() == pytest.approx(1)
    assert np.allclose(floats.occupancy, [[4 / 15, 4 / 15], [7 / 15, 0]], rtol=0, atol=1e-15)
    assert float((floats.occupancy * np.array([[6, 4], [-3, -5]])).sum()) == pytest.approx(19 / 15)
    assert mk.evaluate(mdp.under(mk.Discounted(0.9)), [0, 0]).bias is None


def test_average_reward_of_policies_with_memory_and_mixtures():
    P = [[[1, 0], [0, 1]], [[0, 1], [1, 0]]]
    mdp = mk.MDP(objects(P), objects([[0, 1], [4, 0]]), mk.AverageReward(), rho=0)
    moves = mk.FiniteMemory(lambda s: 0, lambda m, s: 1 if m in (0, 3) else 0, lambda m, s, a, t: (m + 1) % 4, 2)
    e = mk.evaluate(mdp, moves, exact=True)  # out, stay, stay, back: (1 + 4 + 4 + 0) / 4
    assert e.exact_value == F(9, 4)
    assert e.occupancy.tolist() == [[0, F(1, 4)], [F(1, 2), F(1, 4)]]
    both = mk.Mixture((moves, mk.Stationary.of(mdp, [0, 0])), ("1/3", "2/3"))
    assert mk.evaluate(mdp, both, exact=True).exact_value == F(3, 4)
    split = mk.MDP(
        objects([[["1/3", 0, "2/3"]], [[0, 1, 0]], [[0, "1/2", "1/2"]]]),
        objects([[9], [1], [5]]),
        mk.AverageReward(),
        rho=0,
    )
    e = mk.evaluate(split, [0, 0, 0], exact=True)
    assert e.exact.tolist() == [1, 1, 1]
    assert e.occupancy.tolist() == [[0], [1], [0]]
    # h = r - g + Ph with h(1) = 0: h(2) = 4 + h(2)/2, h(0) = 8 + h(0)/3 + 2 h(2)/3
    assert e.bias.tolist() == [20, 0, 8]


def test_no_model(ragged):
    with pytest.raises(MDPError, match="no model"):
        mk.evaluate("model", [0, 0])
    assert mk.evaluate(ragged, [0, 0]).occupancy is None
    with pytest.raises(ModelError, match="initial"):
        _ = mk.evaluate(ragged, [0, 0]).value


def test_mixture_of_opposite_infinities():
    mdp = mk.MDP(objects([[[1], [1]]]), objects([[1, -1]]), mk.TotalReward())
    with pytest.raises(UndefinedValueError, match="state 0"):
        mk.evaluate(mdp, mk.Mixture([[0], [1]], [0.5, 0.5]))
    assert mk.evaluate(mdp, mk.Mixture([[0], [1]], [1, 0])).V.tolist() == [np.inf]


def test_induced_chain_keeps_the_stages():
    laws = objects([[[[1, 0]], [[0, 1]]], [[[0, 1]], [[1, 0]]]])
    mdp = mk.MDP(laws, objects([[1], [0]]), mk.FiniteHorizon(2))
    assert mk.solve(mdp.induced([0, 0]), exact=True).exact.tolist() == [[2, 0], [1, 0], [0, 0]]


def test_simulation_agrees():
    mdp = mk.instances.make("forest", gamma="0.9")
    policy = mk.Stationary.uniform(mdp)
    exact = mk.evaluate(mdp.under(mdp.criterion, rho=0), policy)
    paths = mk.simulate(mdp, policy, 150, np.random.default_rng(1), start=0, episodes=4000)
    returns = paths.discounted_return("0.9")
    assert abs(returns.mean() - exact.value) < 4 * returns.std() / 4000**0.5
