"""Chains as graphs: which edges and classes are drawn, and that nothing runs through a state."""

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import MDPError, ModelError, OptionError, UnsupportedError
from mdpkit.plots import chain as module


def chain_of(rows, **options):
    """A model of one action a state from ``{state: {state: probability}}``."""
    n = len(rows)
    P = np.zeros((n, 1, n), dtype=object)
    for s, row in rows.items():
        for t, p in row.items():
            P[s, 0, t] = p
    return mk.MDP(P, **options)


def drawn(ax):
    """Names, edge texts, nodes by number of corners, and arrows."""
    import matplotlib.patches as patches

    edges = [t.get_text() for t in ax.texts if t.get_gid()]
    names = [t.get_text() for t in ax.texts if not t.get_gid()]
    corners = [p.numvertices if isinstance(p, patches.RegularPolygon) else 0 for p in ax.patches if not is_arrow(p)]
    return names, edges, corners, [p for p in ax.patches if is_arrow(p)]


def is_arrow(patch):
    import matplotlib.patches as patches

    return isinstance(patch, patches.FancyArrowPatch)


TWO_CLASSES = {
    0: {1: "1/2", 2: "1/2"}, 1: {3: "1"}, 2: {0: "3/5", 5: "2/5"}, 3: {4: "1"}, 4: {3: "1/4", 4: "3/4"}, 5: {6: "1"},
    6: {5: "1"}, 7: {7: "1"},
}  # fmt: skip


def test_edges_and_classes():
    ax = mk.plots.chain_graph(chain_of(TWO_CLASSES, rho=0))
    names, edges, corners, arrows = drawn(ax)
    assert names == list("01234567")
    assert sorted(edges) == sorted(["1/2", "1/2", "1", "3/5", "2/5", "1", "1/4", "3/4", "1", "1", "1"])
    assert len(arrows) == 12  # and one to the start
    assert corners == [0, 0, 0, 6, 6, 3, 3, 4]
    legend = [t.get_text() for t in ax.get_legend().get_texts()]
    assert legend == ["absorbing", "recurrent class 1", "recurrent class 2", "transient"]
    widths = sorted(arrow.get_linewidth() for arrow in arrows)
    assert widths[-1] == pytest.approx(0.6 + 2.2) and widths[0] == pytest.approx(0.6 + 2.2 / 4)


def test_probabilities_are_fractions_or_decimals():
    P = {0: {0: "1/3", 1: "2/3"}, 1: {0: "12345/100000", 1: "87655/100000"}}
    assert sorted(drawn(mk.plots.chain_graph(chain_of(P)))[1]) == ["0.12", "0.33", "0.67", "0.88"]
    floats = mk.MDP(np.array([[[0.5, 0.5]], [[0.25, 0.75]]]))
    assert sorted(drawn(mk.plots.chain_graph(floats))[1]) == ["0.25", "0.5", "0.5", "0.75"]
    ax = mk.plots.chain_graph(floats, probabilities=False)
    assert drawn(ax)[1] == []


def test_policies_of_results_and_given_ones():
    mdp = mk.instances.make("puterman-two-state")
    uniform = mk.Stationary.uniform(mdp)
    for args in ((mk.evaluate(mdp, uniform, exact=True),), (mdp, uniform), (mk.solve(mdp), uniform)):
        # in state 0: half of (1/2, 1/2) and half of (0, 1); state 1 has one action
        assert sorted(drawn(mk.plots.chain_graph(*args))[1]) == ["1", "1/4", "3/4"]
    solution = mk.solve(mdp)
    first = drawn(mk.plots.chain_graph(solution))[1]
    assert first == drawn(mk.plots.chain_graph(mdp, solution.pi))[1]


def test_grids_are_drawn_on_their_cells():
    solution = mk.solve(mk.instances.make("frozenlake"))
    ax = mk.plots.chain_graph(solution)
    names = {t.get_text(): t.get_position() for t in ax.texts if not t.get_gid()}
    assert len(names) == 16 and names["2,3"] == pytest.approx((3 * 1.25, 2 * 1.25))
    assert ax.yaxis_inverted()


def clearance(ax):
    """Least distance of an edge's points from the middle of a state that is not one of its ends."""
    centers = np.array([t.get_position() for t in ax.texts if not t.get_gid()])
    t = np.linspace(0, 1, 200)[:, None]
    least = np.inf
    for arrow in drawn(ax)[3]:
        corners = arrow._path_original.vertices
        if len(corners) != 3:  # a loop, or the arrow to a start
            continue
        points = (1 - t) ** 2 * corners[0] + 2 * t * (1 - t) * corners[1] + t**2 * corners[2]
        distance = np.hypot(*(points[:, None] - centers).T)
        ends = {int(np.argmin(distance[:, 0])), int(np.argmin(distance[:, -1]))}
        assert len(ends) == 2
        least = min([least, *(distance[k].min() for k in range(len(centers)) if k not in ends)])
    return least


@pytest.mark.parametrize(
    "source",
    ["riverswim", "forest", "howard-taxicab", "gambler?goal=12", "garnet?S=12&A=2&branching=3",
     "garnet?S=25&A=2&branching=2", "haddad-monmege?n=6", "chain"],
)  # fmt: skip
def test_no_edge_runs_through_a_state(source):
    ax = mk.plots.chain_graph(mk.solve(mk.load(f"instance:{source}")))
    assert clearance(ax) > module.RADIUS


def test_texts_do_not_cover_states():
    ax = mk.plots.chain_graph(mk.solve(mk.instances.make("garnet", S=12, A=2, branching=2)))
    centers = np.array([t.get_position() for t in ax.texts if not t.get_gid()])
    spots = np.array([t.get_position() for t in ax.texts if t.get_gid()])
    assert np.abs(spots[:, None] - centers).max(axis=-1).min() > module.RADIUS


def test_reached_states_alone():
    mdp = chain_of(TWO_CLASSES, rho=1)
    assert drawn(mk.plots.chain_graph(mdp, reached=True))[0] == ["1", "3", "4"]
    with pytest.raises(ModelError, match="initial"):
        mk.plots.chain_graph(chain_of(TWO_CLASSES), reached=True)


def test_large_chains_are_refused_with_a_way_out():
    solution = mk.solve(mk.instances.make("frozenlake", map_name="8x8", is_slippery=False))
    with pytest.raises(OptionError, match="reached=True") as caught:
        mk.plots.chain_graph(solution)
    assert caught.value.found == 64
    assert len(drawn(mk.plots.chain_graph(solution, reached=True))[0]) == 15


def test_layouts(given, same):
    mdp = chain_of(TWO_CLASSES, rho=0)
    places = {}
    for layout in ("layers", "circle"):
        ax = mk.plots.chain_graph(mdp, layout=layout)
        places[layout] = np.array([t.get_position() for t in ax.texts if not t.get_gid()])
    radius = np.hypot(*(places["circle"] - places["circle"].mean(axis=0)).T)
    assert radius == pytest.approx(radius[0])
    assert places["layers"][:7, 0] == pytest.approx(1.45 * np.array([0, 1, 1, 2, 3, 2, 3]))
    with pytest.raises(OptionError, match="no cells"):
        mk.plots.chain_graph(mdp, layout="cells")
    with pytest.raises(OptionError, match="no such layout"):
        mk.plots.chain_graph(mdp, layout="spring")
    assert mk.plots.chain_graph(mdp, ax=given) is given
    assert same(lambda: mk.plots.chain_graph(mdp))


def test_one_state():
    ax = mk.plots.chain_graph(chain_of({0: {0: "1"}}))
    assert drawn(ax)[0] == ["0"] and drawn(ax)[2] == [4]
    ax.figure.canvas.draw()


def test_what_induces_no_chain_is_refused():
    mdp = mk.instances.make("forest")
    with pytest.raises(OptionError, match="several actions"):
        mk.plots.chain_graph(mdp)
    with pytest.raises(UnsupportedError, match="stationary"):
        mk.plots.chain_graph(mk.solve(mdp.under(mk.FiniteHorizon(3))))
    memory = mk.FiniteMemory(lambda s: 0, lambda m, s: 0, lambda m, s, a, t: 0, 2)
    with pytest.raises(UnsupportedError):
        mk.plots.chain_graph(mk.evaluate(mdp, memory))
    mixture = mk.Mixture([mk.Stationary.of(mdp, [0, 0, 0]), mk.Stationary.of(mdp, [1, 1, 1])], [0.5, 0.5])
    with pytest.raises(UnsupportedError):
        mk.plots.chain_graph(mk.evaluate(mdp, mixture))
    with pytest.raises(MDPError):
        mk.plots.chain_graph(mdp, [5, 5, 5])
    staged = mk.MDP(np.full((2, 2, 1, 2), 0.5), np.ones((2, 1)), mk.FiniteHorizon(2))
    with pytest.raises(UnsupportedError, match="vary"):
        mk.plots.chain_graph(staged)
