"""Markov chains as objects: closed forms, errors, and the chains of policies."""

from __future__ import annotations

from fractions import Fraction
from math import comb, log2
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import mdpkit as mk
from mdpkit.models import Transitions

F = Fraction
OZ = [["1/2", "1/4", "1/4"], ["1/2", "0", "1/2"], ["1/4", "1/4", "1/2"]]


def cycle(n: int, stay: Any = 0) -> Any:
    """A walk on a cycle that goes either way with equal probability, or stays."""
    P = np.full((n, n), F(0), dtype=object)
    for s in range(n):
        P[s, s] += F(stay)
        P[s, (s + 1) % n] += (1 - F(stay)) / 2
        P[s, (s - 1) % n] += (1 - F(stay)) / 2
    return P


def urn(balls: int) -> Any:
    P = np.full((balls + 1, balls + 1), F(0), dtype=object)
    for k in range(balls):
        P[k, k + 1], P[k + 1, k] = F(balls - k, balls), F(k + 1, balls)
    return P


def ruin(n: int, p: Fraction) -> Any:
    P = np.full((n + 1, n + 1), F(0), dtype=object)
    P[0, 0] = P[n, n] = F(1)
    for k in range(1, n):
        P[k, k + 1], P[k, k - 1] = p, 1 - p
    return P


def both(P: Any) -> list[mk.MarkovChain]:
    """The chain in rationals, in floats, and in floats from a sparse matrix."""
    floats = np.asarray(P, dtype=object).astype(float)
    return [mk.MarkovChain(P), mk.MarkovChain(floats), mk.MarkovChain(sp.csr_array(floats))]


def same(found: Any, expected: Any, chain: mk.MarkovChain) -> None:
    if chain.is_exact:
        assert np.asarray(found, dtype=object).tolist() == np.asarray(expected, dtype=object).tolist()
    else:
        np.testing.assert_allclose(
            np.asarray(found, float), np.asarray(expected, dtype=object).astype(float), atol=1e-12
        )


def test_land_of_oz():
    # Kemeny & Snell, Finite Markov Chains (1960), sec. 4.3 and 4.4 (recalled): fundamental matrix and passage times
    fundamental = np.array([[86, 3, -14], [6, 63, 6], [-14, 3, 86]], dtype=object) / F(75)
    for chain in both(np.array([[F(x) for x in row] for row in OZ], dtype=object)):
        same(chain.stationary, [F(2, 5), F(1, 5), F(2, 5)], chain)
        same(chain.deviation_matrix() + chain.limiting_matrix(), fundamental, chain)
        same(
            chain.mean_first_passage(),
            [[F(5, 2), F(4), F(10, 3)], [F(8, 3), F(5), F(8, 3)], [F(10, 3), F(4), F(5, 2)]],
            chain,
        )
        same(chain.kemeny_constant(), F(32, 15), chain)
        assert chain.periods == (1,) and chain.is_irreducible
        assert chain.mixing_time("1/4") == 1 and chain.mixing_time("1/100") == 4
        np.testing.assert_allclose(np.sort(chain.eigenvalues().real), [-0.25, 0.25, 1], atol=1e-14)
        assert chain.spectral_gap() == pytest.approx(0.75, abs=1e-14)


@pytest.mark.parametrize(("a", "b"), [(F(1, 3), F(1, 7)), (F(1), F(1)), (F(9, 10), F(4, 5))])
def test_two_states(a, b):
    r = np.array([F(3), F(-1)], dtype=object)
    P = np.array([[1 - a, a], [b, 1 - b]], dtype=object)
    for chain in (mk.MarkovChain(P, r), mk.MarkovChain(P.astype(float), r.astype(float))):
        same(chain.stationary, [b / (a + b), a / (a + b)], chain)
        same(chain.gain, [(3 * b - a) / (a + b)] * 2, chain)
        # H = (I - P*) / (a + b), because P has the eigenvalue 1 - a - b on the range of I - P*
        same(chain.deviation_matrix(), np.array([[a, -a], [-b, b]], dtype=object) / (a + b) ** 2, chain)
        same(chain.bias, [4 * a / (a + b) ** 2, -4 * b / (a + b) ** 2], chain)
        same(chain.kemeny_constant(), 1 / (a + b), chain)


def test_walk_on_a_cycle():
    for n, period in ((6, 2), (7, 1)):
        for chain in both(cycle(n)):
            assert chain.periods == (period,)
            same(chain.stationary, [F(1, n)] * n, chain)
            same(chain.hitting_times(0), [F(k * (n - k)) for k in range(n)], chain)
    with pytest.raises(mk.ModelError, match="period 2"):
        mk.MarkovChain(cycle(6)).mixing_time()


def test_urn_has_the_binomial_law():
    for chain in both(urn(8)):
        assert chain.periods == (2,)
        same(chain.stationary, [F(comb(8, k), 2**8) for k in range(9)], chain)


@pytest.mark.parametrize("p", [F(1, 2), F(2, 5)])
def test_ruin_of_the_gambler(p):
    n, x = 6, (1 - p) / p
    for chain in both(ruin(n, p)):
        assert [c.tolist() for c in chain.classes] == [[0], [n]] and chain.transient.tolist() == [1, 2, 3, 4, 5]
        win = [F(k, n) if p == F(1, 2) else (1 - x**k) / (1 - x**n) for k in range(n + 1)]
        length = [F(k * (n - k)) if p == F(1, 2) else (k - n * w) / (1 - 2 * p) for k, w in enumerate(win)]
        same(chain.hitting_probabilities(n), win, chain)
        same(chain.absorption, [[1 - w, w] for w in win], chain)
        same(chain.hitting_times([0, n]), length, chain)
        assert chain.hitting_times(n).tolist() == [float("inf")] * n + [0]
        same(chain.stationary, [[F(int(k == c)) for k in range(n + 1)] for c in (0, n)], chain)
        same(chain.limiting_matrix()[:, n], win, chain)
        with pytest.raises(mk.ModelError, match="2 recurrent classes"):
            chain.mixing_time()
        with pytest.raises(mk.ModelError, match="not irreducible"):
            chain.kemeny_constant()


def test_coupons():
    n = 9
    P = np.full((n + 1, n + 1), F(0), dtype=object)
    for k in range(n + 1):
        P[k, k] = F(k, n)
        if k < n:
            P[k, k + 1] = 1 - F(k, n)
    for chain in both(P):
        same(chain.hitting_times(n)[0], n * sum((F(1, k) for k in range(1, n + 1)), F(0)), chain)


@pytest.mark.parametrize("eps", ["1/4", "1/1000"])
def test_mixing_on_the_complete_graph(eps):
    # A step to one of the n - 1 others: d(t) = (1 - 1/n) (n - 1)**-t.
    n = 5
    P = np.array([[F(int(s != t), n - 1) for t in range(n)] for s in range(n)], dtype=object)
    t = next(t for t in range(99) if (1 - F(1, n)) / (n - 1) ** t <= F(eps))
    for chain in both(P):
        assert chain.mixing_time(eps) == t
        assert chain.entropy_rate() == pytest.approx(log2(n - 1), rel=1e-14)
        assert chain.second_eigenvalue_modulus() == pytest.approx(1 / (n - 1), rel=1e-12)
        assert chain.mixing_time(eps, exact=True) == t


def test_one_state():
    chain = mk.MarkovChain([["1"]], r=["7/2"])
    assert chain.stationary.tolist() == [1] and chain.gain.tolist() == [F(7, 2)] and chain.bias.tolist() == [0]
    assert chain.mixing_time() == 0 and chain.kemeny_constant() == 0 and chain.second_eigenvalue_modulus() == 0


def test_chain_of_a_policy():
    # Howard's taxicab: gain 1588/119 under the policy (1, 1, 1), relative values (-20/17, 1506/119, 0)
    taxicab = mk.MarkovChain.of(mk.instances.make("howard-taxicab").exact(), [1, 1, 1])
    assert taxicab.gain.tolist() == [F(1588, 119)] * 3
    assert (taxicab.bias - taxicab.bias[2]).tolist() == [F(-20, 17), F(1506, 119), 0]
    P = np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.25, 0.75], [1.0, 0.0]]])
    mdp = mk.MDP(P, np.array([[1.0, 2.0], [3.0, 4.0]]), mk.AverageReward())
    chain = mk.MarkovChain.of(mdp, [1, 1])
    assert chain.periods == (2,) and chain.gain.tolist() == [3.0, 3.0]
    np.testing.assert_allclose(chain.bias, [-0.5, 0.5], atol=1e-15)
    mixed = mk.MarkovChain.of(mdp, np.array([[0.5, 0.5], [1.0, 0.0]]))
    np.testing.assert_allclose(mixed.P.toarray(), [[0.25, 0.75], [0.25, 0.75]])
    with pytest.raises(mk.ModelError, match="state 0 has several actions"):
        mk.MarkovChain.of(mdp)
    assert mk.MarkovChain.of(mdp.induced([0, 1])) == mk.MarkovChain.of(mdp, [0, 1])
    with pytest.raises(mk.MDPError, match="vary with the stage"):
        mk.MarkovChain.of(mk.MDP(np.stack([P, P]), 0.0, mk.FiniteHorizon(2)), [0, 0])


def test_exactness_and_rewards():
    chain = mk.MarkovChain([["1/3", "2/3"], [1, 0]], r=[1, 0], rho=0, names=["up", "down"])
    assert chain.is_exact and chain.gain.tolist() == [F(3, 5)] * 2 and chain.rho is not None
    floats = mk.MarkovChain([[1 / 3, 2 / 3], [1.0, 0.0]], r=[1.0, 0.0])
    assert not floats.is_exact and floats.exact().gain.tolist() == [F(3, 5)] * 2
    assert floats.exact().mixing_time() == floats.mixing_time(exact=True) == floats.mixing_time()
    half = mk.MarkovChain([["1/3", "2/3"], [1, 0]], r=[0.1, 0.0])  # exact probabilities, rewards in floats
    assert half.stationary.tolist() == [F(3, 5), F(2, 5)]
    np.testing.assert_allclose(half.gain, [0.06, 0.06], rtol=1e-15)
    moves = mk.MarkovChain([["1/3", "2/3"], [1, 0]], r=[["3", "0"], ["0", "0"]])  # on transitions
    assert moves.r.tolist() == [1, 0]
    assert chain.hitting_times("up").tolist() == [0, 1]
    sparse = mk.MarkovChain(Transitions([0, 1, 2], [1, 0], [1.0, 1.0], 2))
    assert sparse.periods == (2,)


def test_looks():
    assert repr(mk.MarkovChain(OZ)) == "MarkovChain(3 states, 8 transitions; one recurrent class; exact)"
    chain = mk.MarkovChain(ruin(4, F(1, 2)).astype(float), r=np.zeros(5))
    assert repr(chain) == "MarkovChain(5 states, 8 transitions; 2 recurrent classes, 3 transient states; with rewards)"
    with pytest.raises(AttributeError, match="frozen"):
        chain.mdp = None
    assert len({mk.MarkovChain(OZ), mk.MarkovChain(OZ)}) == 1


def test_errors_name_the_state():
    with pytest.raises(mk.ModelError, match=r"state 1, action 0 do not sum to one"):
        mk.MarkovChain([[1.0, 0.0], [0.5, 0.4]])
    with pytest.raises(mk.ModelError, match=r"state 0, action 0, next state 1"):
        mk.MarkovChain([[1.5, -0.5], [0.5, 0.5]])
    with pytest.raises(mk.ModelError, match="not square"):
        mk.MarkovChain([[0.5, 0.5]])
    with pytest.raises(mk.ModelError, match=r"MarkovChain.of\(mdp, policy\)"):
        mk.MarkovChain(np.zeros((2, 2, 2)))
    with pytest.raises(mk.ModelError, match="no rewards"):
        _ = mk.MarkovChain(OZ).gain
    with pytest.raises(mk.MDPError, match="unknown state 'N'"):
        mk.MarkovChain(OZ).hitting_times("N")
    with pytest.raises(mk.MDPError, match="out of range"):
        mk.MarkovChain(OZ).hitting_times(3)
    with pytest.raises(mk.MDPError, match="target is empty"):
        mk.MarkovChain(OZ).hitting_probabilities(np.zeros(3, dtype=bool))
    with pytest.raises(mk.MDPError, match="eps is out of range"):
        mk.MarkovChain(OZ).mixing_time(1)


def test_large_matrices_are_refused_before_they_are_made():
    n = 300_000
    chain = mk.MarkovChain(sp.csr_array((np.ones(n), (np.arange(n), np.arange(n))), shape=(n, n)))
    with pytest.raises(mk.MDPError, match="the limiting matrix would need"):
        chain.limiting_matrix()
    with pytest.raises(mk.MDPError, match="would need"):
        _ = chain.stationary
