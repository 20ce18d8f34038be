"""Occupancies, policies, stages and values: the numbers drawn, and the marks of what is missing."""

from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import ModelError, OptionError


def texts(ax):
    return [text.get_text() for text in ax.texts]


def bar_label(ax):
    bar = ax.figure.axes[1]
    return bar.get_xlabel() or bar.get_ylabel()


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def shown(ax):
    return np.ma.filled(ax.images[0].get_array(), np.nan)


@pytest.fixture(scope="module")
def taxicab():
    return mk.solve(mk.instances.make("howard-taxicab"))


def one_way(criterion, **options):
    """Two states: stay, or go for good; discounted visits of the start, staying half the time: 1 / (1 - γ/2)."""
    P = np.array([[["1", "0"], ["0", "1"]], [["0", "1"], ["0", "1"]]])
    return mk.MDP(P, [[1, 0], [0, 0]], criterion, rho=0, **options)


def test_occupancy_of_pairs_is_normalized():
    mdp = one_way(mk.Discounted("1/2"))
    ax = mk.plots.occupancy(mk.evaluate(mdp, mk.Stationary.uniform(mdp), exact=True))
    # (1 - γ) / (1 - γ/2) = 2/3 in the start, half of it with each action; the rest in the other state.
    assert shown(ax) == pytest.approx(np.array([[1 / 3, 1 / 3], [1 / 6, 1 / 6]]))
    assert bar_label(ax) == "occupancy (1 − γ) Σ γᵗ P(sₜ = s, aₜ = a)"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("action", "state")


def test_occupancy_on_a_grid_sums_over_actions():
    solution = mk.solve(mk.instances.make("frozenlake"))
    ax = mk.plots.occupancy(solution)
    d = mk.evaluate(solution.problem, solution.pi).occupancy
    assert shown(ax).ravel() == pytest.approx(d.sum(axis=1))
    assert shown(ax).sum() == pytest.approx(1)
    assert bar_label(ax) == "occupancy (1 − γ) Σ γᵗ P(sₜ = s)"
    assert {"start", "goal", "trap"} <= set(texts(ax))


def test_occupancy_over_stages_and_of_total_reward():
    mdp = mk.instances.make("riverswim").under(mk.FiniteHorizon(4))
    ax = mk.plots.occupancy(mk.solve(mdp))
    assert shown(ax).shape == (6, 4) and shown(ax).sum(axis=0) == pytest.approx(np.ones(4))
    assert (ax.get_xlabel(), bar_label(ax)) == ("stage", "probability")
    lake = mk.instances.make("frozenlake").under(mk.FiniteHorizon(4))
    ax = mk.plots.occupancy(mk.solve(lake))
    assert shown(ax).sum() == pytest.approx(4) and bar_label(ax) == "expected visits in 4 stages"
    mdp = one_way(mk.TotalReward())
    ax = mk.plots.occupancy(mk.evaluate(mdp, mk.Stationary.uniform(mdp)), shape=(1, 2))
    assert shown(ax)[0, 0] == pytest.approx(2) and bar_label(ax) == "expected number of visits"
    toymaker = mk.instances.make("howard-toymaker").under(mk.AverageReward())
    ax = mk.plots.occupancy(mk.solve(toymaker))
    assert shown(ax).sum() == pytest.approx(1) and bar_label(ax) == "long-run frequency"


def test_occupancy_that_is_infinite_has_its_sign():
    ax = mk.plots.occupancy(mk.evaluate(one_way(mk.TotalReward()), [0, 0]))
    assert texts(ax) == ["∞", "0", "0", "0"]
    assert np.isnan(shown(ax)[0, 0])


def test_occupancy_needs_a_start():
    P = np.eye(2)[:, None, :]
    solution = mk.solve(mk.MDP(P, np.ones((2, 1)), mk.Discounted(0.5)))
    with pytest.raises(ModelError, match="no initial state"):
        mk.plots.occupancy(solution)


def test_policy_matrix(taxicab, given):
    ax = mk.plots.policy_matrix(taxicab, ax=given)
    assert ax is given
    assert ticks(ax.yaxis) == ["A", "B", "C"] and ticks(ax.xaxis) == ["0", "1", "2"]
    assert np.isnan(shown(ax)).tolist() == [[False] * 3, [False, False, True], [False] * 3]
    assert len([c for c in ax.collections if c.get_hatch()]) == 1
    assert np.nansum(shown(ax), axis=1).tolist() == [1, 1, 1]
    assert ax.images[0].get_clim() == (0, 1)
    memory = mk.FiniteMemory(lambda s: 0, lambda m, s: 0, lambda m, s, a, t: 0, 3)
    with pytest.raises(OptionError, match="memory"):
        mk.plots.policy_matrix(mk.evaluate(taxicab.problem, memory))


def test_stages_of_the_inventory():
    # Puterman (1994), Section 4.6.1: values and orders of three months; state 3 has no choice
    solution = mk.solve(mk.instances.make("puterman-inventory"), exact=True)
    ax = mk.plots.stages(solution)
    assert shown(ax)[:, 0].tolist() == [67 / 16, 129 / 16, 194 / 16, 227 / 16]
    assert texts(ax)[:4] == ["67/16", "2", "0", "0"]
    orders = {t.get_position(): t.get_text() for t in ax.texts if t.get_text().startswith("order")}
    assert {(x, round(y)): text for (x, y), text in orders.items()} == {
        (h, s): f"order {3 if (h, s) == (0, 0) else 2 if (h, s) == (1, 0) else 0}" for h in range(3) for s in range(3)
    }
    assert ticks(ax.xaxis) == ["0", "1", "2", "3"]


def test_stages_need_stages(taxicab):
    with pytest.raises(OptionError, match="FiniteHorizon"):
        mk.plots.stages(taxicab)


def test_long_tables_have_no_numbers_and_fewer_names():
    mdp = mk.instances.make("riverswim", n_states=50).under(mk.FiniteHorizon(60))
    ax = mk.plots.stages(mk.solve(mdp))
    assert not texts(ax)
    assert 5 < len(ticks(ax.yaxis)) < 15 and 5 < len(ticks(ax.xaxis)) < 15


def test_values_with_their_bounds():
    mdp = mk.instances.make("forest", gamma=Fraction(9, 10))
    rough = mk.solve(mdp, "gauss_seidel", until=mk.Gap(abs=1))
    ax = mk.plots.values({"rough": rough, "cut": mk.evaluate(mdp, [1, 1, 1])})
    assert ax.get_ylabel() == "expected discounted reward"
    marks, _, (bar,) = ax.containers[0]
    assert marks.get_ydata().tolist() == rough.V.tolist()
    ends = np.array([segment[:, 1] for segment in bar.get_segments()])
    assert ends[:, 0] == pytest.approx(rough.certificate.lower) and ends[:, 1] == pytest.approx(rough.certificate.upper)
    assert (ends[:, 1] > ends[:, 0]).all()
    assert ax.containers[1][0].get_marker() != marks.get_marker()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["rough", "cut"]


def test_infinite_values_are_at_the_edge(given):
    P = np.array([[[1, 0, 0], [1, 0, 0]], [[1, 0, 0], [0, 0, 1]], [[0, 0, 1], [0, 0, 1]]], dtype=float)
    for minimize, sign in ((True, "∞"), (False, "−∞")):
        r = np.ones((3, 2)) if minimize else -np.ones((3, 2))
        r[2] = 0
        mdp = mk.MDP(P, r, mk.TotalReward(target=[2]) if minimize else mk.TotalReward(), minimize=minimize)
        ax = mk.plots.values(mk.solve(mdp))
        assert texts(ax) == [sign]
        assert ax.containers[0][0].get_xdata().tolist() == [1, 2]


def test_many_values_are_lines_with_bands(given, same):
    solution = mk.solve(mk.instances.make("frozenlake", map_name="8x8"))
    ax = mk.plots.values(solution, ax=given)
    assert ax is given and ax.lines[0].get_ydata().tolist() == solution.V.tolist()
    assert len(ax.collections) == 1 and not ax.containers
    assert same(lambda: mk.plots.values(solution))


def test_values_of_other_models_are_refused(taxicab):
    with pytest.raises(OptionError, match="different sizes"):
        mk.plots.values([taxicab, mk.solve(mk.instances.make("puterman-two-state"))])
    with pytest.raises(OptionError, match="no result"):
        mk.plots.values([])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-22, "−22"), (0.54203, "0.542"), (1234.4, "1234"), (2.5e7, "2e7"), (-1e-5, "−1e−5"), (1e-13, "0"),
        (Fraction(-60, 7), "−60/7"), (Fraction(868292016472811700, 1601938145778704383), "0.542"), (np.inf, "∞"),
    ],
)  # fmt: skip
def test_numbers(value, text):
    from mdpkit.plots.axes import number

    assert number(value, 1.0) == text
