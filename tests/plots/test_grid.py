"""Values and policies on grids: numbers, arrows, labels, walls."""

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError


def labels(ax):
    return ax.get_xlabel(), ax.get_ylabel()


def bar_label(ax):
    bar = ax.figure.axes[1]
    return bar.get_xlabel() or bar.get_ylabel()


def texts(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


def arrows(ax):
    """Position of the middle and direction of each arrow."""
    found = {}
    for quiver in [c for c in ax.collections if hasattr(c, "U")]:
        for (x, y), u, v in zip(quiver.XY, quiver.U, quiver.V, strict=True):
            place = (round(float(y + v / 2 - 0.07)), round(float(x + u / 2)))
            found.setdefault(place, []).append((int(np.sign(round(v, 9))), int(np.sign(round(u, 9)))))
    return found


def borders(ax):
    import matplotlib.collections as collections

    lines = [c for c in ax.collections if isinstance(c, collections.LineCollection)]
    return {tuple(sorted(map(tuple, segment.tolist()))) for c in lines for segment in c.get_segments()}


@pytest.fixture(scope="module")
def lake():
    return mk.solve(mk.instances.make("frozenlake"))


def test_gridworld_with_walls():
    mdp = mk.instances.make("gridworld", map="S./#G", slip=0)
    solution = mk.solve(mdp)
    ax = mk.plots.value_and_policy(solution)
    ax.figure.canvas.draw()
    assert labels(ax) == ("column", "row")
    assert bar_label(ax) == "expected discounted reward"
    image = ax.images[0].get_array()
    assert image.shape == (2, 2)
    assert image.mask.tolist() == [[False, False], [True, False]]
    assert image[0, 1] == solution.V[1] == pytest.approx(10)
    assert texts(ax) == ["8.9", "10", "0", "start", "goal"]
    assert arrows(ax) == {(0, 0): [(0, 1)], (0, 1): [(1, 0)]}
    (hatched,) = [c for c in ax.collections if c.get_hatch()]
    assert hatched.get_paths()[0].get_extents().bounds == (-0.5, 0.5, 1, 1)  # row 1, column 0
    assert ax.yaxis_inverted()


def test_labels_stand_in_their_cells(lake):
    ax = mk.plots.value_and_policy(lake)
    marks = {
        (round(t.get_position()[1]), round(t.get_position()[0])): t.get_text()
        for t in ax.texts
        if t.get_text().isalpha()
    }
    holes = {(1, 1), (1, 3), (2, 3), (3, 0)}
    assert marks == {(0, 0): "start", (3, 3): "goal"} | dict.fromkeys(holes, "trap")
    assert set(arrows(ax)) == {(i, j) for i in range(4) for j in range(4)} - holes - {(3, 3)}
    plain = mk.plots.value_and_policy(lake, labels=False)
    assert not any(text.isalpha() for text in texts(plain))


def test_parts_can_be_left_out(lake):
    ax = mk.plots.value_and_policy(lake, policy=False)
    assert not arrows(ax) and len(ax.images) == 1
    ax = mk.plots.value_and_policy(lake, value=False)
    assert len(arrows(ax)) == 11 and not ax.images
    assert ax.get_xlim() == (-0.5, 3.5) and ax.get_ylim() == (3.5, -0.5)


def test_randomized_policy_has_all_arrows():
    mdp = mk.instances.make("gridworld-4-1")
    ax = mk.plots.value_and_policy(mk.evaluate(mdp, mk.Stationary.uniform(mdp), exact=True))
    assert sorted(arrows(ax)[1, 1]) == [(-1, 0), (0, -1), (0, 1), (1, 0)]
    assert (0, 0) not in arrows(ax)
    assert "−22" in texts(ax)
    assert "start" not in texts(ax)  # the start is nearly everywhere


def test_shape_costs_infinite_values_and_given_axes(given):
    # three cells in a row; the right one is the target, the left one a trap; actions have no names
    P = np.array([[[1, 0, 0], [1, 0, 0]], [[1, 0, 0], [0, 0, 1]], [[0, 0, 1], [0, 0, 1]]], dtype=float)
    mdp = mk.MDP(P, np.ones((3, 2)), mk.TotalReward(target=[2]), minimize=True)
    ax = mk.plots.value_and_policy(mk.solve(mdp), shape=(1, 3), ax=given)
    assert ax is given
    assert texts(ax) == ["∞", "1", "0", "target"]
    assert arrows(ax) == {(0, 1): [(0, 1)]}
    assert bar_label(ax) == "expected total cost"


@pytest.mark.parametrize("slippery", [False, True])
def test_arrows_without_names_are_those_with_names(slippery):
    named = mk.instances.make("frozenlake", is_slippery=slippery)
    names = {"P": named.P, "r": named.r, "state": named.state, "action": named.action}
    bare = mk.MDP(**names, criterion=named.criterion, rho=named.rho)
    policy = (np.arange(16) + np.arange(16) // 4) % 4
    drawn = arrows(mk.plots.value_and_policy(mk.evaluate(named, policy)))
    if not slippery:  # what bumps into the border stays, and without a name that is all that is known of it
        drawn = {(i, j): [(v, u)] for (i, j), [(v, u)] in drawn.items() if 0 <= i + v < 4 and 0 <= j + u < 4}
    assert arrows(mk.plots.value_and_policy(mk.evaluate(bare, policy), shape=(4, 4))) == drawn
    assert {d for (d,) in drawn.values()} == {(0, -1), (1, 0), (0, 1), (-1, 0)}


def test_jumps_have_an_arrow_of_their_own():
    ax = mk.plots.value_and_policy(mk.solve(mk.instances.make("gridworld-3-8")))
    jumps = [text for text in ax.texts if getattr(text, "arrow_patch", None) is not None]
    ends = [(round(t.xyann[1]), round(t.xyann[0]), round(t.xy[1]), round(t.xy[0])) for t in jumps]
    assert ends == [(0, 1, 4, 1), (0, 3, 2, 3)]  # A to A', B to B'
    assert (0, 1) not in arrows(ax) and (0, 3) not in arrows(ax)
    assert not borders(ax)


def test_an_action_that_stays_is_a_dot():
    # left or stay, on two cells
    P = np.array([[[1.0, 0], [1, 0]], [[1, 0], [0, 1]]])
    mdp = mk.MDP(P, np.array([[0, 0], [0, 1.0]]), mk.Discounted(0.5))
    ax = mk.plots.value_and_policy(mk.solve(mdp), shape=(1, 2))
    assert not arrows(ax)
    assert ax.lines[0].get_xdata().tolist() == [1]


def test_mazes_have_walls_between_cells():
    mdp = mk.instances.make("maze", width=5, height=5)
    ax = mk.plots.value_and_policy(mk.solve(mdp), shape=(5, 5))
    assert len(borders(ax)) == 40 - 24  # neighbors less passages of a tree
    passages = {(int(s), int(t)) for s, t in zip(mdp.state[mdp.P.row_of], mdp.P.indices, strict=True)}
    for (x, y), (u, v) in borders(ax):
        s = int((y - 0.5) * 5 + (x + u) / 2) if y == v else int((y + v) / 2 * 5 + x - 0.5)
        assert (s, s + (5 if y == v else 1)) not in passages


def test_probabilities_have_the_whole_scale():
    mdp = mk.instances.make("frozenlake").under(mk.Reachability("goal"))
    ax = mk.plots.value_and_policy(mk.solve(mdp))
    assert ax.images[0].get_clim() == (0, 1)
    assert bar_label(ax) == "probability"


def test_equal_values_have_a_color():
    for reward, limits in ((0, (0, 1)), (3, (0, 6)), (-3, (-6, 0))):
        mdp = mk.MDP(np.eye(2)[:, None, :], np.full((2, 1), reward), mk.Discounted(0.5))
        ax = mk.plots.value_and_policy(mk.solve(mdp), shape=(1, 2))
        ax.figure.canvas.draw()
        assert ax.images[0].get_clim() == pytest.approx(limits)


def test_finite_horizon_shows_the_first_stage():
    mdp = mk.instances.make("frozenlake").under(mk.FiniteHorizon(30))
    solution = mk.solve(mdp)
    ax = mk.plots.value_and_policy(solution)
    assert np.array_equal(np.asarray(ax.images[0].get_array()).ravel(), solution.V[0])


def test_large_grids_have_signs_in_place_of_numbers():
    ax = mk.plots.value_and_policy(mk.solve(mk.instances.make("maze", width=20, height=20)), shape=(20, 20))
    assert not texts(ax)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["start", "target"]
    ax.figure.canvas.draw()
    marks = {
        line.get_label(): line.get_xydata().tolist() for line in ax.lines if line.get_label() in ("start", "target")
    }
    assert marks == {"start": [[0, 0]], "target": [[19, 19]]}


def test_twice_the_same(lake, same):
    assert same(lambda: mk.plots.value_and_policy(lake))


@pytest.mark.parametrize("shape", [None, (2, 2), (7, 1), 3, "ab"])
def test_no_grid_is_refused(shape):
    with pytest.raises(OptionError):
        mk.plots.value_and_policy(mk.solve(mk.instances.make("forest")), shape=shape)


@pytest.mark.parametrize("result", [3, None, "lake"])
@pytest.mark.parametrize("draw", ["value_and_policy", "occupancy", "policy_matrix", "stages", "values", "chain_graph"])
def test_what_is_no_result_is_refused(draw, result):
    with pytest.raises(OptionError, match="nothing here to draw"):
        getattr(mk.plots, draw)(result)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: mk.plots.value_and_policy(mk.solve(mk.instances.make("frozenlake"))),
        lambda: mk.plots.occupancy(mk.solve(mk.instances.make("gridworld-3-8"))),
        lambda: mk.plots.policy_matrix(mk.solve(mk.instances.make("howard-taxicab"))),
        lambda: mk.plots.stages(mk.solve(mk.instances.make("puterman-inventory"))),
        lambda: mk.plots.values(mk.solve(mk.instances.make("howard-taxicab"))),
        lambda: mk.plots.values(
            {"a policy of some name": mk.solve(mk.instances.make("forest"))}
            | {"x": mk.solve(mk.instances.make("forest"))}
        ),
        lambda: mk.plots.chain_graph(
            mk.MDP(
                np.array(
                    [[[0.5, 0.5, 0, 0, 0]], [[0, 0, 1, 0, 0]], [[0, 1, 0, 0, 0]], [[0, 0, 0, 0, 1]], [[0, 0, 0, 1, 0]]]
                )
            )
        ),
        lambda: mk.plots.convergence(mk.solve(mk.instances.make("forest")), rate="gamma"),
        lambda: mk.plots.chain_graph(mk.solve(mk.instances.make("forest"))),
    ],
)
def test_nothing_is_cut_off(draw):
    figure = draw().figure
    figure.canvas.draw()
    inside = figure.get_tightbbox().extents  # of everything drawn, in inches
    assert (inside[:2] >= 0).all() and (inside[2:] <= figure.get_size_inches()).all()


@pytest.mark.parametrize("layout", ["constrained", "none"])
def test_the_bar_is_as_long_as_the_image(lake, layout):
    import matplotlib.pyplot as plt

    figure, (left, _) = plt.subplots(1, 2, figsize=(9, 6), layout=layout)
    mk.plots.value_and_policy(lake, ax=left)
    figure.canvas.draw()
    image, bar = left.get_window_extent(), figure.axes[2].get_window_extent()
    assert (bar.y0, bar.y1) == pytest.approx((image.y0, image.y1), abs=1)
    assert image.x1 < bar.x0 < bar.x1 < image.x1 + 0.3 * figure.dpi


def test_names_with_signs_of_formulas(given):
    P = np.array([[[0.5, 0.5]], [[0, 1]]])
    labels = {"$": [0], "_x": [1]}
    mdp = mk.MDP(P, np.ones((2, 1)), mk.Discounted(0.5), rho=0, labels=labels, state_names=["$a_$b$", "c^{d"])
    solution = mk.solve(mdp)
    draws = (mk.plots.chain_graph, mk.plots.values, mk.plots.policy_matrix, mk.plots.occupancy)
    for ax in [draw(solution) for draw in draws] + [mk.plots.value_and_policy(solution, (1, 2), ax=given)]:
        ax.figure.canvas.draw()


def test_long_rows_stay_of_one_size():
    ax = mk.plots.value_and_policy(mk.solve(mk.instances.make("gridworld", map="1x140", slip=0)))
    assert max(ax.figure.get_size_inches()) < 12 and not texts(ax)


def test_very_large_grids_have_colors_alone(lake, monkeypatch):
    from mdpkit.plots import grid

    monkeypatch.setattr(grid, "MOST_CELLS", 15)
    ax = mk.plots.value_and_policy(lake)
    assert not arrows(ax) and len(ax.images) == 1
