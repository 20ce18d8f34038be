"""Gridworlds drawn as text maps, and mazes.

Actions are 0 left, 1 down, 2 right, 3 up; a move off the grid or into a wall keeps the state. States are the cells that
are no walls, row by row.
"""

from __future__ import annotations

import re
from fractions import Fraction
from importlib import import_module
from typing import Any, Literal

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.instances.build import assemble, check_size, fill, tabulate
from mdpkit.instances.registry import Known, in_range, instance
from mdpkit.models.criterion import Criterion, Discounted, TotalReward
from mdpkit.models.mdp import MDP
from mdpkit.typing import Array, Floats, Ints

F = Fraction
HALF_UNIT = F(1, 2 * 10**10)
ACTIONS = ("left", "down", "right", "up")
DOWN = np.array([0, 1, 0, -1])
RIGHT = np.array([-1, 0, 1, 0])

FROZEN_LAKES = {
    "4x4": "SFFF/FHFH/FFFH/HFFG",
    "8x8": "SFFFFFFF/FFFFFFFF/FFFHFFFF/FFFFFHFF/FFFHFFFF/FHHFFFHF/FHFFHFHF/FFFHFFFG",
}

RANDOM_4_1 = (0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0)
BEST_4_1 = (0, -1, -2, -3, -1, -2, -3, -2, -2, -3, -2, -1, -3, -2, -1, 0)
TABLE_3_8 = (
    "22.0 24.4 22.0 19.4 17.5 19.8 22.0 19.8 17.8 16.0 17.8 19.8 17.8 16.0 14.4 "
    "16.0 17.8 16.0 14.4 13.0 14.4 16.0 14.4 13.0 11.7"
)
RANDOM_3_5 = (
    "3.3 8.8 4.4 5.3 1.5 1.5 3.0 2.3 1.9 0.5 0.1 0.7 0.7 0.4 -0.4 -1.0 -0.4 -0.4 -0.6 -1.2 -1.9 -1.3 -1.2 -1.4 -2.0"
)


def read_map(text: str) -> Array:
    """Cells ``(height, width)`` of a map: rows separated by ``/``, a comma or a line break.

    Letters: ``S`` start, ``G`` goal, ``H`` or ``T`` trap, ``#`` wall, ``F`` or ``.`` free. ``"5x7"`` is an open room of
    5 rows and 7 columns with the start in the upper left and the goal in the lower right corner.

    Raises
    ------
    OptionError
        If the rows differ in length or hold another letter: names the row.
    SizeError
        If the room would not fit in memory.
    """
    size = re.fullmatch(r"\s*(\d{1,9})\s*[xX]\s*(\d{1,9})\s*", text)
    if size is not None:
        height, width = int(size[1]), int(size[2])
        in_range("map", height * width, 2)
        check_size("the gridworld", states=height * width, pairs=4 * height * width, transitions=4 * height * width)
        cells = np.full((height, width), "F", dtype="U1")
        cells[0, 0], cells[-1, -1] = "S", "G"
        return cells
    rows = [row.strip() for row in re.split(r"[/,\n]", text.strip())]
    for k, row in enumerate(rows):
        if not row or len(row) != len(rows[0]):
            raise OptionError(
                f"row {k} of the map differs in length", found=repr(row), needed=f"{len(rows[0])} letters, as row 0 has"
            )
        bad = re.search(r"[^SGHTF.#]", row)
        if bad is not None:
            raise OptionError(
                f"row {k}, column {bad.start()} of the map is no cell",
                found=repr(bad[0]),
                needed="S start, G goal, H or T trap, # wall, F or . free",
            )
    cells = np.array([list(row) for row in rows])
    if np.all(cells == "#"):
        raise OptionError("the map has no cell that is no wall", found=repr(text[:80]))
    return cells


def grid(
    cells: Array,
    criterion: Criterion,
    *,
    slip: Fraction = Fraction(0),
    step: Fraction = Fraction(0),
    goal: Fraction = Fraction(1),
    trap: Fraction = Fraction(0),
) -> MDP:
    """The gridworld of a map; goals and traps are absorbing, and pay once, on entry.

    Parameters
    ----------
    cells : (height, width) letters
    criterion : Criterion
    slip : Fraction
        Probability of going at right angles to the move chosen, half to each side.
    step, goal, trap : Fraction
        Reward of a move into a free cell, of one into a goal, and of one into a trap.
    """
    free = cells != "#"
    S = int(free.sum())
    sides = 2 if slip else 0
    check_size("the gridworld", states=S, pairs=4 * S, transitions=4 * S * (1 + sides))
    height, width = cells.shape
    number = np.full(cells.shape, -1, dtype=np.int64)
    number[free] = np.arange(S)
    y, x = np.nonzero(free)
    letter = cells[free]
    final = np.isin(letter, ["G", "H", "T"])

    def after(move: Ints) -> Ints:
        """The state that each state's move leads to, ``(S, 4)``."""
        v, u = y[:, None] + DOWN[move], x[:, None] + RIGHT[move]
        inside = (v >= 0) & (v < height) & (u >= 0) & (u < width)
        there = np.where(inside, number[np.clip(v, 0, height - 1), np.clip(u, 0, width - 1)], -1)
        return np.where((there < 0) | final[:, None], np.arange(S)[:, None], there)

    moves = np.arange(4)
    target = [after(moves).ravel()]
    probability = [fill(4 * S, 1 - slip)]
    if sides:
        target += [after((moves + 1) % 4).ravel(), after((moves - 1) % 4).ravel()]
        probability += [fill(8 * S, slip / 2)]
    to = np.concatenate(target)
    row = np.tile(np.arange(4 * S), 1 + sides)
    paid = fill(len(row), step)
    paid[letter[to] == "G"] = goal
    paid[np.isin(letter[to], ["H", "T"])] = trap
    paid[final[row // 4]] = F(0)
    start = np.flatnonzero(letter == "S")
    start = start if start.size else np.flatnonzero(~final)[:1]
    rho = fill(S, 0)
    rho[start if start.size else [0]] = F(1, max(len(start), 1))
    return assemble(
        S,
        np.repeat(np.arange(S), 4),
        np.tile(moves, S),
        row,
        to,
        np.concatenate(probability),
        criterion,
        entry_reward=paid,
        rho=rho,
        labels={"goal": letter == "G", "trap": np.isin(letter, ["H", "T"])},
        state_names=list(zip(y.tolist(), x.tolist(), strict=True)),
        pair_names=list(ACTIONS) * S,
    )


@instance(
    "frozenlake",
    source="Gymnasium 1.x, FrozenLake-v1",
    known=[
        Known(
            {},
            "discounted",
            "V(0)",
            F(868292016472811700, 1601938145778704383),
            "Gymnasium's table, recomputed in rationals",
        ),
        Known(
            {"map_name": "8x8"}, "discounted", "V(0)", F("0.4146403618"), "recomputed in rationals", F(1, 2 * 10**10)
        ),
        Known({"is_slippery": False}, "discounted", "V(0)", F(99, 100) ** 5, "closed form: six moves to the goal"),
        Known(
            {"is_slippery": False, "map_name": "8x8"},
            "discounted",
            "V(0)",
            F(99, 100) ** 13,
            "closed form: fourteen moves to the goal",
        ),
    ],
)
def frozenlake(
    *, map_name: Literal["4x4", "8x8"] = "4x4", is_slippery: bool = True, gamma: Fraction = Fraction(99, 100)
) -> MDP:
    """FrozenLake: cross the ice to the goal; a hole ends it. Each move slips to either side with probability 1/3.

    Entering the goal pays 1. Actions are 0 left, 1 down, 2 right, 3 up; holes and the goal are absorbing.
    """
    slip = F(2, 3) if is_slippery else F(0)
    return grid(read_map(FROZEN_LAKES[map_name]), Discounted(gamma), slip=slip)


@instance(
    "gridworld-3-8",
    source="Sutton and Barto (2018), Reinforcement Learning, Examples 3.5 and 3.8",
    known=[
        Known({}, "discounted", "V(1)", F(1000000, 40951), "closed form: 10 / (1 - gamma**5)"),
        Known(
            {},
            "discounted",
            "V",
            tuple(F(x) for x in TABLE_3_8.split()),
            "Sutton and Barto (2018), Figure 3.5, printed to one decimal",
            F(1, 20),
        ),
        Known(
            {},
            "discounted",
            "V of the uniform policy",
            tuple(F(x) for x in RANDOM_3_5.split()),
            "Sutton and Barto (2018), Figure 3.2, printed to one decimal",
            F(1, 20),
        ),
    ],
)
def gridworld_3_8(*, gamma: Fraction = Fraction(9, 10)) -> MDP:
    """Sutton and Barto's 5 x 5 grid: all actions lead from A to A' for 10 and from B to B' for 5; bumping costs 1.

    States are numbered row by row: A is state 1 and A' state 21, B is state 3 and B' state 13. The task does not end.
    """
    rows: list[tuple[int, int, int, int, int]] = []
    for s in range(25):
        for a in range(4):
            y, x = s // 5 + int(DOWN[a]), s % 5 + int(RIGHT[a])
            if s in (1, 3):
                rows.append((s, a, {1: 21, 3: 13}[s], 1, {1: 10, 3: 5}[s]))
            elif 0 <= y < 5 and 0 <= x < 5:
                rows.append((s, a, 5 * y + x, 1, 0))
            else:
                rows.append((s, a, s, 1, -1))
    names = [(s // 5, s % 5) for s in range(25)]
    return tabulate(25, rows, Discounted(gamma), rho=0, state_names=names, action_names=ACTIONS)


@instance(
    "gridworld-4-1",
    source="Sutton and Barto (2018), Reinforcement Learning, Example 4.1",
    known=[
        Known({}, "total", "V of the uniform policy", tuple(map(F, RANDOM_4_1)), "Sutton and Barto (2018), Figure 4.1"),
        Known({}, "total", "V", tuple(map(F, BEST_4_1)), "distance to the nearer terminal corner"),
    ],
)
def gridworld_4_1() -> MDP:
    """Sutton and Barto's 4 x 4 grid: reward -1 a move, undiscounted, until one of two opposite corners is reached.

    The book's terminal state, drawn twice, is here the two states 0 and 15: absorbing, with reward 0. Plain total
    reward is then the book's return, as every move outside of them costs something. The start is uniform on the other
    14 states.
    """
    cells = read_map("GFFF/FFFF/FFFF/FFFG")
    mdp = grid(cells, TotalReward(), step=F(-1), goal=F(-1))
    rho = fill(16, "1/14")
    rho[[0, 15]] = F(0)
    return mdp.under(TotalReward(), rho=rho)


@instance("gridworld", source="Parameters are free; rules as in Gymnasium's FrozenLake", example={"map": "3x4"})
def gridworld(
    *,
    map: str = "8x8",
    slip: Fraction = Fraction(1, 5),
    step_reward: Fraction = Fraction(-1),
    goal_reward: Fraction = Fraction(10),
    trap_reward: Fraction = Fraction(-10),
    gamma: Fraction = Fraction(99, 100),
) -> MDP:
    """A gridworld drawn as text: rows separated by ``/``; S start, G goal, T or H trap, # wall, F or . free.

    ``map=5x7`` is an open room of 5 rows and 7 columns from the upper left to the lower right corner. A move goes
    astray with probability ``slip``, half to each side. It pays ``step_reward``, but ``goal_reward`` or ``trap_reward``
    where it enters a goal or a trap, which are absorbing. Several starts are equally likely; without one, the first
    free cell is it. Actions are 0 left, 1 down, 2 right, 3 up.
    """
    in_range("slip", slip, 0, 1)
    cells = read_map(map)
    return grid(cells, Discounted(gamma), slip=slip, step=step_reward, goal=goal_reward, trap=trap_reward)


@instance("maze", source="A uniformly weighted random spanning tree of the grid (Kruskal's algorithm)")
def maze(*, width: int = 10, height: int = 10, seed: int = 0) -> MDP:
    """A random perfect maze as a shortest-path problem: cost 1 a move from the upper left to the lower right corner.

    Between any two cells there is exactly one path: the passages are the minimal spanning tree of the grid under random
    weights. Only moves through passages are admissible (0 left, 1 down, 2 right, 3 up); cell (y, x) is state
    y*width + x. Minimized is the total cost until the target is entered.
    """
    in_range("width", width, 1)
    in_range("height", height, 1)
    in_range("width * height", width * height, 2)
    in_range("seed", seed, 0)
    S = width * height
    check_size("the maze", states=S, pairs=2 * S, transitions=2 * S)
    cell = np.arange(S).reshape(height, width)
    one = np.concatenate((cell[:, :-1].ravel(), cell[:-1].ravel()))
    other = np.concatenate((cell[:, 1:].ravel(), cell[1:].ravel()))
    weight = (np.random.default_rng(seed).permutation(len(one)) + 1).astype(np.float64)
    one, other = _spanning_tree(one, other, weight, S)
    forward = np.where((other == one + 1) & (width > 1), 2, 1)
    state = np.concatenate((one, other, [S - 1]))
    action = np.concatenate((forward, np.where(forward == 2, 0, 3), [0]))
    target = np.concatenate((other, one, [S - 1]))
    keep = (state != S - 1) | (target == S - 1)
    state, action, target = state[keep], action[keep], target[keep]
    order = np.lexsort((action, state))
    state, action, target = state[order], action[order], target[order]
    L = len(state)
    cost = fill(L, 1)
    cost[state == S - 1] = F(0)
    return assemble(
        S,
        state,
        action,
        np.arange(L),
        target,
        fill(L, 1),
        TotalReward(target="target"),
        pair_reward=cost,
        rho=0,
        minimize=True,
        labels={"target": [S - 1]},
        pair_names=["stay" if s == S - 1 else ACTIONS[a] for s, a in zip(state.tolist(), action.tolist(), strict=True)],
    )


def _spanning_tree(one: Ints, other: Ints, weight: Floats, n: int) -> tuple[Ints, Ints]:
    """Edges ``(n - 1,)`` of the minimal spanning tree, the smaller end first."""
    sparse: Any = import_module("scipy.sparse")
    graph: Any = import_module("scipy.sparse.csgraph")
    tree = graph.minimum_spanning_tree(sparse.coo_array((weight, (one, other)), shape=(n, n)).tocsr()).tocoo()
    row, column = np.asarray(tree.row, dtype=np.int64), np.asarray(tree.col, dtype=np.int64)
    return np.minimum(row, column), np.maximum(row, column)
