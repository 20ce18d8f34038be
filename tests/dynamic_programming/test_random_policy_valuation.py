"""Random policy valuation: the paper's tree, trees by enumeration, and what it refuses."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.models.canonical import canonical
from mdpkit.solvers.dynamic_programming import RandomPolicyValuation


@pytest.mark.parametrize(("rho", "value"), [(0.05, 0.980187), (0.1, 0.802295), (0.5, 0.252247)])
def test_the_paper_tree(rho: float, value: float) -> None:
    """He et al. (2026): ACD, BDC, CAB and DBA are right; the values were recalled."""
    mdp = mk.instances.make("rover-tree")
    sol = mk.solve(mdp, RandomPolicyValuation(temperature=rho))
    assert sol.status.ok
    assert sol.V[0, 0] == 1
    assert mk.evaluate(mdp, sol.last_policy).V[0, 0] == pytest.approx(value, abs=5e-7)
    assert np.allclose(sol.last_policy[0][0], 0.25)


def test_the_softmax_policy_by_enumeration() -> None:
    mdp = mk.instances.make("answer-tree", length=3, letters=2, right="3/8", seed=5)
    pays = {w: mk.solve(mdp).V[0, 0] * 0 for w in product("AB", repeat=3)}
    names = list(mdp.state_names)
    for word in pays:
        s = names.index("".join(word[:2]))
        pays[word] = mdp.r[mdp.pair(s, "AB".index(word[2]))]
    Q = lambda prefix: np.mean([x for w, x in pays.items() if "".join(w).startswith(prefix)])  # noqa: E731
    expected = 0.0
    for word, x in pays.items():
        p = 1.0
        for j in range(3):
            weights = {c: np.exp(Q("".join(word[:j]) + c) / 0.3) for c in "AB"}
            p *= weights[word[j]] / sum(weights.values())
        expected += p * x
    sol = mk.solve(mdp, RandomPolicyValuation(temperature=0.3))
    assert mk.evaluate(mdp, sol.last_policy).V[0, 0] == pytest.approx(expected, rel=1e-12)


def test_what_it_accepts() -> None:
    solver = RandomPolicyValuation()
    tree = mk.instances.make("answer-tree", length=3, letters=3, right="1/5", seed=1)
    assert solver.accepts(canonical(tree))
    twice = mk.MDP.from_transitions([(0, "go", 1, 1, 1), (1, "go", 1, 1, 1)], mk.FiniteHorizon(2), rho=[1, 0])
    graded = mk.instances.make("answer-tree", length=3, letters=2, right="1/2", graded=True, seed=1)
    lost = mk.MDP.from_transitions([(0, "go", 1, 1, 1), (0, "stop", 0, 1, -1), (1, "go", 1, 1, 0)], mk.FiniteHorizon(1))
    luck = [(0, "go", 1, "1/2", 1), (0, "go", 0, "1/2", 1), (1, "go", 1, 1, 0)]
    chance = mk.MDP.from_transitions(luck, mk.FiniteHorizon(1))
    ends = mk.MDP.from_transitions([(0, "go", 1, 1, 1), (1, "go", 1, 1, 0)], mk.FiniteHorizon(1, terminal=[0, 1]))
    for mdp in (twice, graded, tree.under(mk.FiniteHorizon(3, "1/2")), tree.under(minimize=True), lost, chance, ends):
        with pytest.raises(UnsupportedError, match="deterministic transitions and rewards of one size"):
            mk.solve(mdp, solver)
    sol = mk.solve(graded, RandomPolicyValuation(anywhere=True))
    assert sol.certificate.verify(graded, exact=True)


def test_stages_that_vary() -> None:
    # Only the second stage pays, and only for action 1.
    P = np.ones((2, 1, 2, 1))
    r = np.array([[[0.0, 0.0]], [[0.0, 1.0]]])
    sol = mk.solve(mk.MDP(P, r, mk.FiniteHorizon(2), rho=0), RandomPolicyValuation(temperature=0.5))
    assert sol.pi.actions[1, 0] == 1
    assert np.allclose(sol.last_policy[0][0], 0.5)
    assert sol.last_policy[1][0, 1] == pytest.approx(1 / (1 + np.exp(-2)))


def test_what_is_paid_at_the_end_counts() -> None:
    # Left ends where 1 is paid, right where nothing is; the reward is the end's alone.
    rows = [(0, "left", 1, 1, 0), (0, "right", 2, 1, 0), (1, "go", 1, 1, 0), (2, "go", 2, 1, 0)]
    mdp = mk.MDP.from_transitions(rows, mk.FiniteHorizon(1, terminal=[0, 1, 0]), rho=[1, 0, 0])
    sol = mk.solve(mdp, RandomPolicyValuation(temperature=0.5))
    assert sol.V[0, 0] == 1
    assert sol.last_policy[0][0, 0] == pytest.approx(1 / (1 + np.exp(-2)))


def test_a_goal_that_is_left_again_has_been_reached() -> None:
    rows = [(0, "trap", 2, 1, 0), (0, "goal", 1, 1, 0), (1, "go", 2, 1, 0), (2, "go", 2, 1, 0)]
    mdp = mk.MDP.from_transitions(rows, mk.Reachability([1], steps=2), rho=[1, 0, 0])
    sol = mk.solve(mdp, RandomPolicyValuation(temperature=0.5))
    assert sol.V[0] == pytest.approx(1)
    assert sol.pi.actions[0, 0] == 1
    assert sol.last_policy[0][0, 1] == pytest.approx(1 / (1 + np.exp(-2)))


def test_bad_input() -> None:
    with pytest.raises(OptionError, match="temperature is negative"):
        RandomPolicyValuation(temperature=-1)
    with pytest.raises(OptionError, match="letters"):
        mk.instances.make("answer-tree", letters=0)
