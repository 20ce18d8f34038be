"""The Markov chain of a policy as a graph."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from mdpkit.errors import ModelError, OptionError, UnsupportedError
from mdpkit.evaluation import Evaluation
from mdpkit.kernels.graph import Graph, bottom_components, reachable
from mdpkit.models.chains import mixed_rows
from mdpkit.models.mdp import MDP
from mdpkit.models.policy import Mixture, Stationary
from mdpkit.plots.axes import COLORS, axes_of, check_result, room_of, state_name
from mdpkit.plots.heat import cells_of, has_cells
from mdpkit.solution import Solution
from mdpkit.typing import Array, Floats, Ints

__all__ = ["chain_graph"]

MOST_STATES = 60
RADIUS = 0.26
"""Of a node, where neighbors are at distance 1."""
MOST_TEXTS = 60
BENDS = (0.0, 0.18, -0.18, 0.32, -0.32, 0.5, -0.5, 0.75, -0.75, 1.0, -1.0)
"""How far the middle of an edge's control polygon may stand off its chord, by the chord's length."""
LOOP = ((RADIUS, -0.5), (0.82, -0.62), (0.82, 0.62), (RADIUS + 0.02, 0.5))
"""Radius and angle of the control points of a loop."""
PLACES = (0.5, 0.44, 0.56, 0.38, 0.62, 0.32, 0.68, 0.26, 0.74, 0.2, 0.8, 0.14, 0.86)
SHAPES = (4, 6, 3, 8, 5)
"""Corners of the nodes of recurrent classes; transient ones are round, absorbing ones square."""
TRANSIENT, ABSORBING = "#ffffff", "#bdbdbd"


class Chain(NamedTuple):
    """A chain on n of the states: the entries of its matrix, and its classes."""

    states: Ints
    source: Ints
    target: Ints
    probability: Array
    label: Ints
    start: Array


class Drawing(NamedTuple):
    """Control points of the edges and of the loops, by their entry, and ends of the arrows to the starts."""

    edges: dict[int, Floats]
    loops: dict[int, Floats]
    angles: dict[int, float]
    starts: list[Floats]


def chain_graph(
    result: Solution | Evaluation | MDP,
    policy: Any = None,
    ax: Any = None,
    *,
    reached: bool = False,
    layout: str = "auto",
    probabilities: bool | None = None,
) -> Any:
    """The Markov chain of a policy as a graph: states, and the transitions between them.

    The wider an edge, the likelier. Recurrent classes have a color and a shape each, absorbing states are gray squares and
    transient states round; an arrow from nowhere leads to a state in which the chain may start. Probabilities are fractions
    where model and policy are exact and all of them are short, else decimals. Nothing is drawn at random.

    Parameters
    ----------
    result : Solution, Evaluation or MDP
        A model with one action a state needs no policy.
    policy : Stationary, (S,) actions or (S, A) probabilities, optional
        That of the result by default.
    ax : matplotlib Axes, optional
        New ones by default.
    reached : bool
        Only the states that are reached from the initial law.
    layout : {"auto", "cells", "layers", "circle"}
        On the cells of a grid, in layers by their distance from the start, or on a circle. By default cells where the model
        has them, else layers or the circle, in which fewer edges run through a state or cross.
    probabilities : bool, optional
        Whether they are written on the edges; by default if there are at most 60 edges.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        For more than 60 states, a model with several actions and no policy, an unknown layout.
    UnsupportedError
        For a policy with memory or stages, or transitions that vary with the stage: their chain is not one on the states.

    Examples
    --------
    >>> import mdpkit as mk
    >>> ax = mk.plots.chain_graph(mk.instances.make("howard-taxicab"), policy=[1, 1, 1])
    >>> sorted(text.get_text() for text in ax.texts)[-3:]
    ['A', 'B', 'C']
    """
    mdp, policy = _read(result, policy)
    chain = _chain(mdp, policy, reached)
    place = _places(mdp, chain, layout)
    drawn = _drawing(chain, place)
    inside = np.concatenate([*drawn.edges.values(), *drawn.loops.values(), *drawn.starts, place - 0.4, place + 0.4])
    low, high = inside.min(axis=0), inside.max(axis=0)
    width, height = high - low
    given = ax is not None
    each = float(np.clip(10.0 / max(width, height), 0.8, 1.15))
    ax = axes_of(ax, (max(3.0, each * width + 0.3), max(1.8, each * height + 0.6)))
    each = room_of(ax, height, width) if given else each
    ax.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), aspect="equal")
    ax.set_axis_off()
    _draw_edges(
        ax,
        chain,
        place,
        drawn,
        each,
        written=len(chain.source) <= MOST_TEXTS if probabilities is None else probabilities,
    )
    _draw_nodes(ax, mdp, chain, place, each)
    return ax


# -- the chain ---------------------------------------------------------------------------------------------------------


def _read(result: Any, policy: Any) -> tuple[MDP, Stationary]:
    check_result(result, Solution, Evaluation, MDP)
    mdp: MDP = result if isinstance(result, MDP) else result.problem
    if policy is None and isinstance(result, MDP):
        if mdp.n_pairs != mdp.n_states:
            raise OptionError(
                "the model has several actions a state and induces no chain",
                found=f"{mdp.n_pairs} pairs of {mdp.n_states} states",
                needed="a policy",
                way_out="chain_graph(mdp, policy), or chain_graph(mdpkit.solve(mdp))",
            )
        policy = Stationary.from_pairs(mdp, np.arange(mdp.n_states))
    elif policy is None:
        policy = getattr(result, "pi" if isinstance(result, Solution) else "policy")
    if mdp.P.n_rows != mdp.n_pairs:
        raise UnsupportedError("transitions that vary with the stage make no chain on the states alone")
    if isinstance(policy, Mixture) or (hasattr(policy, "start") and not isinstance(policy, Stationary)):
        raise UnsupportedError(
            "the policy's chain is not one on the states alone",
            needed="a stationary policy",
            way_out="of a Markov policy draw one stage: chain_graph(mdp, policy[0])",
        )
    return mdp, Stationary.of(mdp, policy)


def _chain(mdp: MDP, policy: Stationary, reached: bool) -> Chain:
    weights = policy.weights
    if policy.pairs is not None:  # ones and zeros are exact
        weights = weights.astype(np.int64).astype(object)
    S = mdp.n_states
    indptr, target, probability = mixed_rows(mdp.P, mdp.pair_ptr, np.arange(mdp.n_pairs), weights)
    graph = Graph(np.arange(S + 1), indptr, target.astype(np.uint32))
    kept = np.ones(S, dtype=bool)
    start = np.zeros(S, dtype=bool) if mdp.rho is None else mdp.rho > 0
    if reached:
        if not start.any():
            raise ModelError("the model has no initial state", way_out="give it rho=…, or leave reached=False")
        kept = reachable(graph, start)
    n = int(kept.sum())
    if n > MOST_STATES:
        raise OptionError(
            "the chain has too many states for a graph",
            found=n,
            needed=f"at most {MOST_STATES}",
            way_out="reached=True draws those that are reached from the start; mdp.induced(policy) is the chain itself",
        )
    label, _ = bottom_components(graph, np.arange(S))
    states = np.flatnonzero(kept)
    local = np.cumsum(kept) - 1
    source = np.repeat(np.arange(S), np.diff(indptr))
    inside = kept[source]
    return Chain(
        states, local[source[inside]], local[target[inside]], probability[inside], label[states], start[states]
    )


# -- places ------------------------------------------------------------------------------------------------------------


def _places(mdp: MDP, chain: Chain, layout: str) -> Floats:
    """Positions (right, down) of the states ``(n, 2)``."""
    if layout not in ("auto", "cells", "layers", "circle"):
        raise OptionError("there is no such layout", found=repr(layout), needed="auto, cells, layers or circle")
    if layout == "cells" or (layout == "auto" and has_cells(mdp)):
        y, x, *_ = cells_of(mdp, None)
        place: Array = np.stack((x, y), axis=1)[chain.states]
        return place * 1.25
    layers, circle = _layers(chain), _circle(chain)
    if layout == "auto":
        (bad, crossings), (bad_circle, crossings_circle) = _disorder(chain, layers), _disorder(chain, circle)
        better = bad == 0 and crossings <= crossings_circle
        layout = "layers" if better or bad < bad_circle else "circle"
    return layers if layout == "layers" else circle


def _disorder(chain: Chain, place: Floats) -> tuple[int, int]:
    """Numbers of edges that run through a node, and of crossings."""
    found = {e: _edge(chain, place, e) for e in np.flatnonzero(chain.source != chain.target).tolist()}
    if not found:
        return 0, 0
    lines = np.stack([_bezier(curve, np.linspace(0.05, 0.95, 9)) for curve, _ in found.values()])
    a, b = lines[:, :-1].reshape(-1, 2), lines[:, 1:].reshape(-1, 2)
    owner = np.repeat(np.arange(len(lines)), lines.shape[1] - 1)

    def side(p: Floats, q: Floats, r: Floats) -> Floats:
        """On which side of the line from p to q each r lies, all against all."""
        u, v = (q - p)[:, None], r[None] - p[:, None]
        return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

    one = side(a, b, a) * side(a, b, b)
    cross = (one < 0) & (one.T < 0) & (owner[:, None] < owner)
    return sum(not clear for _, clear in found.values()), int(np.count_nonzero(cross))


def _circle(chain: Chain) -> Floats:
    n = len(chain.states)
    angle = 2 * np.pi * np.arange(n) / n - np.pi / 2
    radius = 0.0 if n == 1 else 1.15 / (2 * np.sin(np.pi / n)) if n > 2 else 0.8
    circle: Array = np.stack((np.cos(angle), np.sin(angle)), axis=1)
    return radius * circle


def _layers(chain: Chain) -> Floats:
    """Columns by the distance from the start (or from the first state of each part that it does not reach)."""
    n = len(chain.states)
    after: list[list[int]] = [[] for _ in range(n)]
    before: list[list[int]] = [[] for _ in range(n)]
    edges: list[list[int]] = np.stack((chain.source, chain.target), axis=1).tolist()
    for s, t in edges:
        after[s].append(t)
        before[t].append(s)
    depth = np.full(n, -1)
    roots = np.flatnonzero(chain.start).tolist() or [0]
    while roots:
        queue = deque[int](roots)
        depth[roots] = 0
        while queue:
            s = queue.popleft()
            for t in after[s]:
                if depth[t] < 0:
                    depth[t] = depth[s] + 1
                    queue.append(t)
        roots = np.flatnonzero(depth < 0)[:1].tolist()
    place = np.zeros((n, 2))
    for layer in range(int(depth.max()) + 1):
        members = np.flatnonzero(depth == layer).tolist()
        # Barycenters of the layer before; ties by number.
        height = {
            s: float(np.mean([place[t, 1] for t in before[s] if depth[t] == layer - 1] or [0.0])) for s in members
        }
        members.sort(key=lambda s: (height[s], s))
        for k, s in enumerate(members):
            place[s] = (1.45 * layer, 1.25 * (k - (len(members) - 1) / 2))
    return place


def _edge(chain: Chain, place: Floats, e: int) -> tuple[Floats, bool]:
    """Control points ``(3, 2)`` of an edge: the least bent of the curves that keep clear of the other nodes, if one does."""
    s, t = int(chain.source[e]), int(chain.target[e])
    a, b = place[s], place[t]
    across = np.array([a[1] - b[1], b[0] - a[0]])
    both = bool(np.any((chain.source == t) & (chain.target == s)))
    others = np.delete(place, [s, t], axis=0)
    curves = [np.stack((a, (a + b) / 2 + bend * across, b)) for bend in BENDS if bend > 0 or not both]
    for curve in curves:
        points = _bezier(curve, np.linspace(0, 1, 33))
        if not len(others) or np.hypot(*(points[:, None] - others).T).min() > RADIUS + 0.1:
            return curve, True
    return curves[0], False


def _bezier(curve: Floats, t: Any) -> Floats:
    t = np.asarray(t, dtype=np.float64)[..., None]
    return (1 - t) ** 2 * curve[0] + 2 * t * (1 - t) * curve[1] + t**2 * curve[2]


# -- drawing -----------------------------------------------------------------------------------------------------------


def _drawing(chain: Chain, place: Floats) -> Drawing:
    edges = {e: _edge(chain, place, e)[0] for e in np.flatnonzero(chain.source != chain.target).tolist()}
    toward: list[list[float]] = [[] for _ in place]
    for e, curve in edges.items():
        for node, way in ((int(chain.source[e]), curve[1] - curve[0]), (int(chain.target[e]), curve[1] - curve[2])):
            toward[node].append(float(np.arctan2(way[1], way[0])))
    loops, angles, starts = dict[int, Floats](), dict[int, float](), list[Floats]()
    for e in np.flatnonzero(chain.source == chain.target).tolist():
        s = int(chain.source[e])
        angles[e] = _widest(toward[s])
        toward[s].append(angles[e])
        loops[e] = np.array([place[s] + r * _way(angles[e] + turn) for r, turn in LOOP])
    for s in np.flatnonzero(chain.start).tolist() if chain.start.sum() <= 4 else []:
        way = _way(_widest(toward[s]))
        starts.append(np.array([place[s] + 0.62 * way, place[s] + (RADIUS + 0.02) * way]))
    return Drawing(edges, loops, angles, starts)


def _draw_edges(ax: Any, chain: Chain, place: Floats, drawn: Drawing, each: float, *, written: bool) -> None:
    path: Any = import_module("matplotlib.path").Path
    choices = dict[int, list[Floats]]()
    t = np.linspace(0, 1, 400)
    for e, curve in drawn.edges.items():
        points = _bezier(curve, t)
        out = t[np.hypot(*(points - curve[0]).T) >= RADIUS][0]
        into = t[np.hypot(*(points - curve[2]).T) >= RADIUS + 0.02][-1]
        _arrow(ax, path(_part(curve, out, into), [1, 3, 3]), float(chain.probability[e]), each)
        choices[e] = [_bezier(curve, out + k * (into - out)) for k in PLACES]
    for e, corners in drawn.loops.items():
        _arrow(ax, path(corners, [1, 4, 4, 4]), float(chain.probability[e]), each)
        s, way = int(chain.source[e]), _way(drawn.angles[e])
        choices[e] = [place[s] + r * way for r in (0.68, 0.78, 0.6)]
    for ends in drawn.starts:
        _arrow(ax, path(ends, [1, 2]), 0.25, each)
    if not written:
        return
    size = float(np.clip(7.5 * each, 4, 8))
    boxes = [(*center, RADIUS, RADIUS) for center in place.tolist()]
    for (e, spots), text in zip(choices.items(), _texts(chain.probability[list(choices)]), strict=True):
        half = (0.31 * len(text) * size / 72 / each, 0.55 * size / 72 / each)
        at = next((spot for spot in spots if not _hits(boxes, spot, half)), spots[0])
        boxes.append((float(at[0]), float(at[1]), *half))
        style: dict[str, Any] = {
            "boxstyle": "square,pad=0.06",
            "facecolor": "white",
            "edgecolor": "none",
            "alpha": 0.85,
        }
        ax.text(*at, text, ha="center", va="center", fontsize=size, bbox=style, zorder=3, gid=f"edge {e}")


def _hits(boxes: list[Any], at: Floats, half: tuple[float, float]) -> bool:
    return any(abs(at[0] - x) < w + half[0] and abs(at[1] - y) < h + half[1] for x, y, w, h in boxes)


def _widest(angles: list[float]) -> float:
    """The middle of the widest gap between directions, of equally wide ones that nearest to upward; up without any."""
    if not angles:
        return -np.pi / 2
    order: Floats = np.sort(np.mod(np.array(angles), 2 * np.pi))
    gaps: Floats = np.diff(order, append=order[0] + 2 * np.pi)
    middle = (order + gaps / 2)[gaps > gaps.max() - 1e-9]
    off_up: Floats = np.round(np.mod(middle + 1.5 * np.pi, 2 * np.pi) - np.pi, 9)
    return float(middle[np.argmin(np.abs(off_up))])


def _way(angle: float) -> Floats:
    return np.array([np.cos(angle), np.sin(angle)])


def _part(curve: Floats, a: float, b: float) -> Floats:
    """Control points of the curve between the parameters a and b."""
    first, last = _bezier(curve, a), _bezier(curve, b)
    middle = (1 - a) * (1 - b) * curve[0] + (a + b - 2 * a * b) * curve[1] + a * b * curve[2]
    return np.stack((first, middle, last))


def _arrow(ax: Any, path: Any, probability: float, each: float) -> None:
    patches: Any = import_module("matplotlib.patches")
    width = 0.6 + 2.2 * probability
    style: dict[str, Any] = {
        "arrowstyle": "-|>",
        "mutation_scale": (6 + 2.0 * width) * min(1.0, each),
        "shrinkA": 0,
        "shrinkB": 0,
    }
    ax.add_patch(patches.FancyArrowPatch(path=path, linewidth=width, color="0.25", zorder=2, **style))


def _texts(probabilities: Array) -> list[str]:
    exact = [str(Fraction(p)) if isinstance(p, (int, Fraction)) else "" for p in probabilities.tolist()]
    if all(exact) and max(map(len, exact), default=0) <= 5:
        return exact
    return [f"{float(p):.2g}" for p in probabilities]


def _draw_nodes(ax: Any, mdp: MDP, chain: Chain, place: Floats, each: float) -> None:
    patches: Any = import_module("matplotlib.patches")
    lines: Any = import_module("matplotlib.lines")
    colors: Any = import_module("matplotlib.colors")
    members = {int(c): np.flatnonzero(chain.label == c) for c in np.unique(chain.label) if c >= 0}
    larger = [c for c, states in members.items() if len(states) > 1]
    legend = dict[str, Any]()
    for s, center in enumerate(place.tolist()):
        c = int(chain.label[s])
        edge, fill, corners, name = "black", TRANSIENT, 0, "transient"
        if c >= 0 and c not in larger:
            fill, corners, name = ABSORBING, 4, "absorbing"
        elif c >= 0:
            k = larger.index(c)
            edge = COLORS[k % len(COLORS)]
            fill = tuple(0.35 * x + 0.65 for x in colors.to_rgb(edge))
            corners = SHAPES[(k + 1) % len(SHAPES)]
            name = "recurrent" if len(larger) == 1 else f"recurrent class {k + 1}"
        style: dict[str, Any] = {"facecolor": fill, "edgecolor": edge, "linewidth": 0.9 if c < 0 else 2.0, "zorder": 4}
        turn = np.pi / corners if corners else 0.0
        shape = (
            patches.Circle(center, RADIUS)
            if not corners
            else patches.RegularPolygon(center, corners, radius=RADIUS * 1.12, orientation=turn)
        )
        shape.set(**style)
        ax.add_patch(shape)
        text = state_name(mdp, int(chain.states[s]))
        size = float(np.clip(26 * each * min(0.4, 1.25 / len(text)), 3.5, 10))
        ax.text(*center, text, ha="center", va="center", fontsize=size, zorder=5)
        marker: Any = (corners, 0, 45 if corners == 4 else 0) if corners else "o"
        legend.setdefault(
            name,
            lines.Line2D(
                [], [], linestyle="none", marker=marker, markersize=9, markerfacecolor=fill, markeredgecolor=edge
            ),
        )
    names = sorted(legend, key=lambda name: (name == "transient", name))[:8]
    ax.legend(
        [legend[n] for n in names],
        names,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=int(np.clip(ax.get_window_extent().width / ax.figure.dpi / 1.6, 1, 4)),
        frameon=False,
    )
