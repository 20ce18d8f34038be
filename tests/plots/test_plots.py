"""The pictures show the numbers of their results, with labeled axes."""

from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def labels(ax):
    return ax.get_xlabel(), ax.get_ylabel()


def arrows(ax):
    """Position of the middle and direction of each arrow."""
    found = {}
    for quiver in [c for c in ax.collections if hasattr(c, "U")]:
        for (x, y), u, v in zip(quiver.XY, quiver.U, quiver.V, strict=True):
            place = (round(float(y + v / 2 - 0.14)), round(float(x + u / 2)))
            found.setdefault(place, []).append((int(np.sign(round(v, 9))), int(np.sign(round(u, 9)))))
    return found


def test_gridworld_with_walls():
    mdp = mk.instances.make("gridworld", map="S./#G", slip=0)
    solution = mk.solve(mdp)
    ax = mk.plots.value_and_policy(solution)
    ax.figure.canvas.draw()
    assert labels(ax) == ("column", "row")
    assert ax.figure.axes[1].get_ylabel() == "expected discounted reward"
    image = ax.images[0].get_array()
    assert image.shape == (2, 2)
    assert image.mask.tolist() == [[False, False], [True, False]]
    assert image[0, 1] == solution.V[1] == pytest.approx(10)
    assert [text.get_text() for text in ax.texts] == ["8.9", "10", "0"]
    assert arrows(ax) == {(0, 0): [(0, 1)], (0, 1): [(1, 0)]}


def test_randomized_policy_has_all_arrows():
    mdp = mk.instances.make("gridworld-4-1")
    ax = mk.plots.value_and_policy(mk.evaluate(mdp, mk.Stationary.uniform(mdp), exact=True))
    assert sorted(arrows(ax)[1, 1]) == [(-1, 0), (0, -1), (0, 1), (1, 0)]
    assert (0, 0) not in arrows(ax)
    assert "−22" in {text.get_text() for text in ax.texts}


def test_shape_costs_infinite_values_and_given_axes():
    import matplotlib.pyplot as plt

    # three cells in a row; the right one is the target, the left one a trap; actions have no names
    P = np.array([[[1, 0, 0], [1, 0, 0]], [[1, 0, 0], [0, 0, 1]], [[0, 0, 1], [0, 0, 1]]], dtype=float)
    mdp = mk.MDP(P, np.ones((3, 2)), mk.TotalReward(target=[2]), minimize=True)
    given = plt.subplots()[1]
    ax = mk.plots.value_and_policy(mk.solve(mdp), shape=(1, 3), ax=given)
    assert ax is given
    assert [text.get_text() for text in ax.texts] == ["∞", "1", "0"]
    assert arrows(ax) == {(0, 1): [(0, 1)]}
    assert ax.figure.axes[1].get_ylabel() == "expected total cost"


def test_finite_horizon_shows_the_first_stage():
    mdp = mk.instances.make("frozenlake").under(mk.FiniteHorizon(30))
    solution = mk.solve(mdp)
    ax = mk.plots.value_and_policy(solution)
    assert np.array_equal(np.asarray(ax.images[0].get_array()).ravel(), solution.V[0])


def test_large_grids_have_no_numbers():
    ax = mk.plots.value_and_policy(mk.solve(mk.instances.make("maze", width=20, height=20)), shape=(20, 20))
    assert not ax.texts


@pytest.mark.parametrize("shape", [None, (2, 2), (7, 1)])
def test_no_grid_is_refused(shape):
    with pytest.raises(OptionError):
        mk.plots.value_and_policy(mk.solve(mk.instances.make("forest")), shape=shape)


def test_convergence():
    mdp = mk.instances.make("forest", gamma=Fraction(9, 10))
    solutions = [mk.solve(mdp, name) for name in ("value_iteration", "gauss_seidel", "value_iteration")]
    ax = mk.plots.convergence(solutions)
    assert labels(ax) == ("steps of the method", "gap: upper bound − lower bound")
    assert ax.get_yscale() == "log"
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["ValueIteration (1)", "GaussSeidel", "ValueIteration (2)"]
    last = ax.lines[1]
    assert last.get_xdata()[0] == solutions[0].steps
    assert last.get_ydata()[0] == solutions[0].certificate.gap
    curve = dict(zip(*ax.lines[0].get_data(), strict=True))
    for step, gap in solutions[0].trace:
        if np.isfinite(gap) and step < solutions[0].steps:
            assert curve[step] == gap


def test_convergence_of_traces_and_exact_answers():
    ax = mk.plots.convergence({"mine": [(1, 1.0), (2, float("inf")), (3, 0.01)]})
    assert ax.lines[0].get_data()[0].tolist() == [1, 3]
    assert ax.get_legend().get_texts()[0].get_text() == "mine"
    ax = mk.plots.convergence([(1, 1.0), (2, 0.5)])
    assert ax.get_legend() is None
    ax = mk.plots.convergence(mk.solve(mk.instances.make("forest"), "value_iteration", exact=True))
    assert [text.get_text() for text in ax.texts] == ["0"]
    with pytest.raises(OptionError):
        mk.plots.convergence({"mine": 3})
