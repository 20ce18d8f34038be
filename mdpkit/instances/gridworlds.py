"""Gridworlds drawn as text maps, and mazes.

Actions are 0 left, 1 down, 2 right, 3 up; a move off the grid or into a wall keeps the state. States are the cells that
are no walls, row by row.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from fractions import Fraction
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np

from mdpkit.errors import OptionError
from mdpkit.instances.build import assemble, check_size, fill, tabulate
from mdpkit.instances.registry import Known, in_range, instance, read_number
from mdpkit.kernels.sparse import sp
from mdpkit.models.criterion import Criterion, Discounted, TotalReward
from mdpkit.models.mdp import MDP
from mdpkit.typing import Array, Floats, Ints, Number

F = Fraction
ACTIONS = ("left", "down", "right", "up")
LETTERS = "SGHTF.#"
Slip = Literal["perpendicular", "uniform"]
DOWN = np.array([0, 1, 0, -1])
RIGHT = np.array([-1, 0, 1, 0])

FROZEN_LAKES = {
    "4x4": "SFFF/FHFH/FFFH/HFFG",
    "8x8": "SFFFFFFF/FFFFFFFF/FFFHFFFF/FFFFFHFF/FFFHFFFF/FHHFFFHF/FHFFHFHF/FFFHFFFG",
}

FOUR_ROOMS = (
    "#############/#SSSSS#SSSSS#/#SSSSS#SSSSS#/#SSSSSSSSSSS#/#SSSSS#SSSSS#/#SSSSS#SSSSS#/##S####SSSSS#/"
    "#SSSSS###S###/#SSSSS#SSSSS#/#SSSSS#SSSSS#/#SSSSSSSSSSS#/#SSSSS#SSSSS#/#############"
)

RANDOM_4_1 = (0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0)
BEST_4_1 = (0, -1, -2, -3, -1, -2, -3, -2, -2, -3, -2, -1, -3, -2, -1, 0)
TABLE_3_8 = (
    "22.0 24.4 22.0 19.4 17.5 19.8 22.0 19.8 17.8 16.0 17.8 19.8 17.8 16.0 14.4 "
    "16.0 17.8 16.0 14.4 13.0 14.4 16.0 14.4 13.0 11.7"
)
RANDOM_3_5 = (
    "3.3 8.8 4.4 5.3 1.5 1.5 3.0 2.3 1.9 0.5 0.1 0.7 0.7 0.4 -0.4 -1.0 -0.4 -0.4 -0.6 -1.2 -1.9 -1.3 -1.2 -1.4 -2.0"
)


def read_map(text: str, own: Collection[str] = ()) -> Array:
    """Cells ``(height, width)`` of a map: rows separated by ``/``, a comma or a line break.

    Letters: ``S`` start, ``G`` goal, ``H`` or ``T`` trap, ``#`` wall, ``F`` or ``.`` free, and those of ``own``.
    ``"5x7"`` is an open room of 5 rows and 7 columns with the start in the upper left and the goal in the lower right
    corner.

    Raises
    ------
    OptionError
        If the rows differ in length or hold another letter: names row and column, from 0.
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
        bad = next((x for x, letter in enumerate(row) if letter not in LETTERS and letter not in own), None)
        if bad is not None:
            raise OptionError(
                f"row {k}, column {bad} of the map is no cell",
                found=repr(row[bad]),
                needed="S start, G goal, H or T trap, # wall, F or . free",
                way_out=f"give the letter a reward: {row[bad]}:1",
            )
    cells = np.array([list(row) for row in rows])
    if np.all(cells == "#"):
        raise OptionError("the map has no cell that is no wall", found=repr(text[:80]))
    return cells


def from_map(
    text: str,
    criterion: Criterion,
    *,
    rewards: Mapping[str, Number] | None = None,
    step: Number = 0,
    slip: Number = 0,
    slip_model: Slip = "perpendicular",
    terminal: str = "GHT",
) -> MDP:
    """The gridworld of a map.

    A move pays the reward of the letter of the cell in which it ends, which is the cell it began in where a wall or the
    edge keeps it. Goals and traps are absorbing and pay once, on entry. Labels: ``goal``, ``trap``, and each letter of
    one's own.

    Parameters
    ----------
    text : str
        Rows separated by ``/``, a comma or a line break; ``S`` start (several are equally likely), ``G`` goal, ``H`` or
        ``T`` trap, ``#`` wall, ``F`` or ``.`` free, and any other letter that ``rewards`` has. ``"5x7"`` is an open
        room of 5 rows and 7 columns, from the upper left to the lower right corner.
    criterion : Criterion
    rewards : mapping of letters to numbers, optional
        Rewards that differ from ``step``: ``G`` pays 1 and ``H``, ``T`` pay 0 if nothing else is said. That of ``#`` is
        paid by a move that is kept. Floats are read as the rational with small denominator next to them.
    step : number
        Reward of all other moves.
    slip : number
        Probability with which a move goes astray, in [0, 1].
    slip_model : {"perpendicular", "uniform"}
        Where to: half to each side at right angles to the move chosen; or a quarter in each of the four directions,
        that of the move included.
    terminal : str
        The letters that are absorbing.

    Raises
    ------
    OptionError
        Rows of different length or an unknown letter (with row and column, from 0); no start; a reward for a letter
        that the map has not; a number out of range.
    SizeError
        If the model would not fit in memory.

    Examples
    --------
    >>> from mdpkit.models import Discounted
    >>> mdp = from_map("S.A/.#G", Discounted("9/10"), rewards={"A": 2, "G": 10}, step=-1, slip="1/5")
    >>> mdp
    MDP(5 states, 20 pairs, 41 transitions; maximize Discounted(gamma=0.9); labels goal, trap, A; exact (as given))
    """
    for name, value in (("map", text), ("terminal", terminal)):
        if not isinstance(value, str):
            raise OptionError(f"the {name} is no text", found=repr(value)[:80], needed="text")
    if rewards is not None and not isinstance(rewards, Mapping):
        raise OptionError("rewards is no mapping", found=repr(rewards)[:80], needed='{"A": 5}, for example')
    astray = read_number(slip, "slip")
    in_range("slip", astray, 0, 1)
    if slip_model not in get_args(Slip):
        raise OptionError(
            "slip_model is none of the choices", found=repr(slip_model), needed="perpendicular or uniform"
        )
    for letter in (*(rewards or {}), *terminal):
        if not isinstance(letter, str) or len(letter) != 1 or letter in "/," or letter.isspace():
            raise OptionError(
                "this is no letter of a map", found=repr(letter), needed="one character but / and , and blanks"
            )
    pays = {letter: read_number(value, f"the reward of {letter!r}") for letter, value in (rewards or {}).items()}
    usual = read_number(step, "step")
    cells = read_map(text, pays)
    for letter in pays:
        if letter not in LETTERS and not np.any(cells == letter):
            raise OptionError(f"rewards has a letter that the map has not: {letter!r}", found=repr(text[:80]))
    if not np.any(cells == "S"):
        raise OptionError("the map has no start", found=repr(text[:80]), needed="a cell S, or several")
    if "S" in terminal or "#" in terminal:
        raise OptionError("starts and walls are not terminal", found=repr(terminal), needed="other letters, as in GHT")
    free = cells != "#"
    S = int(free.sum())
    if slip_model == "uniform":
        turns = {0: 1 - astray * 3 / 4, 1: astray / 4, 2: astray / 4, 3: astray / 4}
    else:
        turns = {0: 1 - astray, 1: astray / 2, 3: astray / 2}
    turns = {turn: p for turn, p in turns.items() if p}
    check_size("the gridworld", states=S, pairs=4 * S, transitions=4 * S * len(turns))
    height, width = cells.shape
    number = np.full(cells.shape, -1, dtype=np.int64)
    number[free] = np.arange(S)
    y, x = np.nonzero(free)
    letter = cells[free]
    final = np.isin(letter, list(terminal))
    v, u = y[:, None] + DOWN, x[:, None] + RIGHT
    inside = (v >= 0) & (v < height) & (u >= 0) & (u < width)
    there = np.where(inside, number[np.clip(v, 0, height - 1), np.clip(u, 0, width - 1)], -1)
    kept = (there < 0) | final[:, None]
    there = np.where(kept, np.arange(S)[:, None], there)
    moves = np.arange(4)
    to = np.concatenate([there[:, (moves + turn) % 4].ravel() for turn in turns])
    bumped = np.concatenate([kept[:, (moves + turn) % 4].ravel() for turn in turns])
    row = np.tile(np.arange(4 * S), len(turns))
    paid = fill(len(row), usual)
    for name, value in ({"G": F(1), "H": F(0), "T": F(0)} | pays).items():
        if name != "#":
            paid[letter[to] == name] = value
    if "#" in pays:
        paid[bumped] = pays["#"]
    paid[final[row // 4]] = F(0)
    start = np.flatnonzero(letter == "S")
    rho = fill(S, 0)
    rho[start] = F(1, len(start))
    labels = {"goal": letter == "G", "trap": np.isin(letter, ["H", "T"])}
    return assemble(
        S,
        np.repeat(np.arange(S), 4),
        np.tile(moves, S),
        row,
        to,
        np.concatenate([fill(4 * S, p) for p in turns.values()]),
        criterion,
        entry_reward=paid,
        rho=rho,
        labels=labels | {name: letter == name for name in pays if name not in LETTERS},
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
    *,
    map_name: Literal["4x4", "8x8"] = "4x4",
    is_slippery: bool = True,
    success_rate: Fraction = Fraction(1, 3),
    gamma: Fraction = Fraction(99, 100),
) -> MDP:
    """FrozenLake: cross the ice to the goal; a hole ends it. Each move slips to either side with probability 1/3.

    Entering the goal pays 1. Actions are 0 left, 1 down, 2 right, 3 up; holes and the goal are absorbing. On slippery
    ice a move succeeds with probability ``success_rate`` and slips to either side with half of the rest.
    """
    in_range("success_rate", success_rate, 0, 1)
    return from_map(FROZEN_LAKES[map_name], Discounted(gamma), slip=1 - success_rate if is_slippery else 0)


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
    return from_map("GSSS/SSSS/SSSS/SSSG", TotalReward(), step=-1, rewards={"G": -1})


@instance("gridworld", source="Parameters are free; rules as in Gymnasium's FrozenLake", example={"map": "3x4"})
def gridworld(
    *,
    map: str = "8x8",
    slip: Fraction = Fraction(1, 5),
    slip_model: Slip = "perpendicular",
    step_reward: Fraction = Fraction(-1),
    goal_reward: Fraction = Fraction(10),
    trap_reward: Fraction = Fraction(-10),
    rewards: str = "",
    terminal: str = "GHT",
    gamma: Fraction = Fraction(99, 100),
) -> MDP:
    """A gridworld drawn as text: rows separated by ``/``; S start, G goal, T or H trap, # wall, F or . free.

    ``map=5x7`` is an open room of 5 rows and 7 columns from the upper left to the lower right corner. A move goes
    astray with probability ``slip``: half to each side (``perpendicular``), or a quarter in each of the four directions
    (``uniform``). It pays ``step_reward``, but ``goal_reward`` or ``trap_reward`` where it ends in a goal or a trap.
    ``rewards=A:5,#:-1/2`` adds letters of one's own, and what a move costs that a wall or the edge keeps; ``terminal``
    are the letters that are absorbing. Several starts are equally likely. Actions are 0 left, 1 down, 2 right, 3 up.

    Line breaks separate rows too, so that a shell can read the map from a file: ``"gridworld?map=$(cat maze.txt)"``.
    """
    pays: dict[str, Number] = {"G": goal_reward, "T": trap_reward, "H": trap_reward}
    for part in rewards.split(",") if rewards.strip() else []:
        letter, colon, value = part.strip().partition(":")
        if not colon:
            raise OptionError(
                "a part of rewards does not read as letter:number", found=repr(part), needed="A:5,#:-1/2, for example"
            )
        pays[letter] = value
    return from_map(
        map,
        Discounted(gamma),
        rewards=pays,
        step=step_reward,
        slip=slip,
        slip_model=slip_model,
        terminal=terminal,
    )


@instance(
    "four-rooms",
    source="Sutton, Precup and Singh (1999), Artificial Intelligence 112, Figure 2 (the map and the goal are recalled)",
    known=[
        Known({"success": 1}, "discounted", "V(0)", F(9, 10) ** 13, "closed form: fourteen moves to the hallway"),
        Known({"success": 1, "goal": "west"}, "discounted", "V(0)", F(9, 10) ** 5, "closed form: six moves"),
    ],
)
def four_rooms(
    *,
    goal: Literal["east", "north", "west", "south"] = "east",
    success: Fraction = Fraction(2, 3),
    gamma: Fraction = Fraction(9, 10),
) -> MDP:
    """Four rooms joined by four hallways, 104 cells: reach one of the hallways for a reward of 1.

    A move succeeds with probability ``success``, and goes in each of the other three directions with a third of the
    rest; walls keep it. The goal, the hallway between the two eastern rooms unless another is chosen, is absorbing; the
    start is uniform over the other cells. States are numbered row by row; names (y, x) count the outer wall.
    """
    in_range("success", success, F(1, 4), 1)
    y, x = {"north": (3, 6), "west": (6, 2), "east": (7, 9), "south": (10, 6)}[goal]
    rows = FOUR_ROOMS.split("/")
    rows[y] = rows[y][:x] + "G" + rows[y][x + 1 :]
    return from_map("/".join(rows), Discounted(gamma), slip=(1 - success) * F(4, 3), slip_model="uniform")


@instance(
    "dyna-maze",
    source="Sutton and Barto (2018), Reinforcement Learning, Example 8.1 and Figure 8.2",
    known=[
        Known({}, "discounted", "V(15)", F(19, 20) ** 13, "closed form: fourteen moves, as in the book"),
        Known({"gamma": "1/2"}, "discounted", "V(15)", F(1, 2) ** 13, "closed form: fourteen moves, as in the book"),
    ],
)
def dyna_maze(*, gamma: Fraction = Fraction(19, 20)) -> MDP:
    """Sutton and Barto's Dyna maze: 6 x 9 cells with walls, a reward of 1 on entering the goal, 14 moves away.

    The 47 states are numbered row by row; the start is state 15, in the cell (2, 0), and the goal is absorbing. Actions
    are 0 left, 1 down, 2 right, 3 up.
    """
    return from_map(".......#G/..#....#./S.#....#./..#....../.....#.../.........", Discounted(gamma))


@instance(
    "windy-gridworld",
    source="Sutton and Barto (2018), Reinforcement Learning, Example 6.5, Exercises 6.9 and 6.10",
    known=[
        Known({}, "total", "V(30)", F(-15), "Sutton and Barto (2018), Example 6.5: fifteen moves"),
        Known({"moves": "king"}, "total", "V(30)", F(-7), "shortest path: seven moves"),
        Known({"moves": "king-and-stay"}, "total", "V(30)", F(-7), "shortest path: a move that stays does not help"),
        Known({"stochastic": True}, "total", "V(30)", F(-15038, 729), "recomputed in rationals"),
        Known({"moves": "king", "stochastic": True}, "total", "V(30)", F(-13322, 1215), "recomputed in rationals"),
    ],
)
def windy_gridworld(*, moves: Literal["four", "king", "king-and-stay"] = "four", stochastic: bool = False) -> MDP:
    """Sutton and Barto's windy gridworld, 7 x 10: reach the goal while the wind of each column blows upward.

    Every move costs 1, undiscounted, until the goal is entered. It is carried up by the wind of the column that it
    leaves, 0 0 0 1 1 1 2 2 1 0, and stopped by the edge. ``stochastic``: where there is wind, it blows a cell less, as
    stated or a cell more, with probability 1/3 each. Cell (y, x) is state 10*y + x: start 30, goal 37.

    Actions are 0 left, 1 down, 2 right, 3 up; with king's moves also 4 down left, 5 down right, 6 up right, 7 up left;
    ``king-and-stay`` adds 8, which moves by the wind only.
    """
    count = {"four": 4, "king": 8, "king-and-stay": 9}[moves]
    down = np.array([0, 1, 0, -1, 1, 1, -1, -1, 0])[:count]
    right = np.array([-1, 0, 1, 0, -1, 1, 1, -1, 0])[:count]
    S, goal = 70, 37
    state, action = np.repeat(np.arange(S), count), np.tile(np.arange(count), S)
    y, x = state // 10, state % 10
    wind = np.array([0, 0, 0, 1, 1, 1, 2, 2, 1, 0])[x]
    gusts = (-1, 0, 1) if stochastic else (0,)
    target = [
        10 * np.clip(y + down[action] - np.where(wind > 0, wind + gust, 0), 0, 6) + np.clip(x + right[action], 0, 9)
        for gust in gusts
    ]
    to = np.concatenate(target)
    row = np.tile(np.arange(S * count), len(gusts))
    to = np.where(state[row] == goal, goal, to)
    cost = fill(S * count, -1)
    cost[state == goal] = F(0)
    names = (*ACTIONS, "down left", "down right", "up right", "up left", "stay")
    return assemble(
        S,
        state,
        action,
        row,
        to,
        fill(len(row), F(1, len(gusts))),
        TotalReward(),
        pair_reward=cost,
        rho=30,
        labels={"goal": [goal]},
        state_names=[(s // 10, s % 10) for s in range(S)],
        pair_names=list(names[:count]) * S,
    )


@instance(
    "cliffwalking",
    source="Sutton and Barto (2018), Reinforcement Learning, Example 6.6; Gymnasium 1.x, CliffWalking-v1",
    known=[
        Known({}, "total", "V(36)", F(-13), "Sutton and Barto (2018), Example 6.6: the path along the edge"),
        Known({"is_slippery": True}, "total", "V(36)", F(-1817367253278, 28085155277), "recomputed in rationals"),
    ],
)
def cliffwalking(*, is_slippery: bool = False) -> MDP:
    """Cliff walking on 4 x 12 cells: from corner to corner along a cliff that sends one back to the start for -100.

    Every other move costs 1, undiscounted, until the goal, state 47, is entered. Slippery, a move goes as chosen or at
    right angles to it, to either side, each with probability 1/3. Cell (y, x) is state 12*y + x; the start is state 36.
    Actions are Gymnasium's, 0 up, 1 right, 2 down, 3 left; as there, the cells of the cliff are states too, which are
    never entered.
    """
    S, start, goal = 48, 36, 47
    state, action = np.repeat(np.arange(S), 4), np.tile(np.arange(4), S)
    turns = (-1, 0, 1) if is_slippery else (0,)
    row = np.tile(np.arange(4 * S), len(turns))
    move = np.concatenate([(action + turn) % 4 for turn in turns])
    y = np.clip(state[row] // 12 + np.array([-1, 0, 1, 0])[move], 0, 3)
    x = np.clip(state[row] % 12 + np.array([0, 1, 0, -1])[move], 0, 11)
    cliff = (y == 3) & (x > 0) & (x < 11)
    ended = state[row] == goal
    paid = fill(len(row), -1)
    paid[cliff] = F(-100)
    paid[ended] = F(0)
    return assemble(
        S,
        state,
        action,
        row,
        np.where(ended, goal, np.where(cliff, start, 12 * y + x)),
        fill(len(row), F(1, len(turns))),
        TotalReward(),
        entry_reward=paid,
        rho=start,
        labels={"goal": [goal], "cliff": np.arange(37, 47)},
        state_names=[(s // 12, s % 12) for s in range(S)],
        pair_names=["up", "right", "down", "left"] * S,
    )


@instance(
    "taxi",
    source="Dietterich (2000), JAIR 13; Gymnasium 1.3 and later, Taxi-v4 (plain, it is Taxi-v3: recalled)",
    known=[
        Known({}, "total", "V(328)", F(11), "closed form: ten moves and calls, the last of which pays 20"),
        Known(
            {},
            "discounted",
            "V(328)",
            20 * F(99, 100) ** 9 - 100 * (1 - F(99, 100) ** 9),
            "closed form: ten moves and calls, the last of which pays 20",
        ),
        Known({}, "total", "value at the start", F(793, 100), "mean over the 300 starts, by shortest paths"),
    ],
)
def taxi(
    *,
    is_rainy: bool = False,
    rainy_probability: Fraction = Fraction(4, 5),
    fickle_passenger: bool = False,
    fickle_probability: Fraction = Fraction(3, 10),
    gamma: Fraction = Fraction(99, 100),
) -> MDP:
    """Taxi: fetch a passenger at one of four places of a 5 x 5 grid with walls and deliver them to another.

    State ((row*5 + column)*5 + passenger)*4 + destination, with the places R (0, 0), G (0, 4), Y (4, 0), B (4, 3) and
    passenger 4 in the taxi. Actions are 0 south, 1 north, 2 east, 3 west, 4 pick up, 5 drop off. Every step costs 1, a
    pick up or drop off out of place 10, and the delivery pays 20. It ends in one of four states, here absorbing, with
    taxi and passenger at the destination: 404 of the 500 states can be entered. The start is uniform on the 300 states
    with the passenger waiting away from the destination.

    ``is_rainy``: a move that no wall stops goes as chosen with ``rainy_probability``, and to either side with half of
    the rest (a wall keeps it). ``fickle_passenger``: on the first move with the passenger aboard that changes the
    taxi's place, the destination becomes one of the other three with ``fickle_probability``. Then states 500 … 999 are
    those in which this is over; in Gymnasium, which draws it at the start, it is hidden and no part of the state.
    """
    in_range("rainy_probability", rainy_probability, 0, 1)
    in_range("fickle_probability", fickle_probability, 0, 1)
    S, A = 500, 6
    y, x = np.divmod(np.arange(25), 5)
    wall = np.zeros((5, 5), dtype=bool)  # to the east of each cell
    wall[[0, 1, 3, 3, 4, 4], [1, 1, 0, 2, 0, 2]] = True
    wall[:, 4] = True
    west_wall = np.roll(wall, 1, axis=1)
    drive = np.stack(
        (
            5 * np.minimum(y + 1, 4) + x,
            5 * np.maximum(y - 1, 0) + x,
            5 * y + x + ~wall[y, x],
            5 * y + x - ~west_wall[y, x],
        ),
        axis=1,
    )
    places = np.array([0, 4, 20, 23])
    state, action = np.repeat(np.arange(S), A), np.tile(np.arange(A), S)
    cell, rider, destination = state // 20, state // 4 % 5, state % 4
    at = np.full(25, -1)
    at[places] = np.arange(4)
    aboard, here = rider == 4, at[cell]
    over = (rider == destination) & (here == destination)
    call = action >= 4
    fetched = (action == 4) & ~aboard & (here == rider) & ~over
    dropped = (action == 5) & aboard & (here >= 0)
    delivered = dropped & (here == destination) & ~over
    then = np.where(fetched, 4, np.where(dropped, here, rider))
    forward = drive[cell, np.minimum(action, 3)]
    turns = [(forward, rainy_probability if is_rainy else F(1))]
    if is_rainy:
        free = forward != cell
        for side in ((3, 2, 0, 0), (2, 3, 1, 1)):
            aside = drive[cell, np.array(side)[np.minimum(action, 3)]]
            turns.append((np.where(free, aside, cell), (1 - rainy_probability) / 2))
    row = np.tile(np.arange(S * A), len(turns))
    ends = np.concatenate([np.where(call | over, cell, to) for to, _ in turns])
    target = 20 * ends + 4 * then[row] + destination[row]
    probability = np.concatenate([fill(S * A, p) for _, p in turns])
    paid = fill(S * A, -1)
    paid[call & ~fetched & ~dropped] = F(-10)
    paid[delivered] = F(20)
    paid[over] = F(0)
    waiting = (np.arange(S) // 4 % 5 < 4) & (np.arange(S) // 4 % 5 != np.arange(S) % 4)
    rho = fill(S, 0)
    rho[waiting] = F(1, 300)
    if fickle_passenger:
        moved = aboard[row] & (ends != cell[row])
        others = [S + target - target % 4 + (target + k) % 4 for k in range(4)]
        chance = [1 - fickle_probability, *[fickle_probability / 3] * 3]
        row = np.concatenate((row[~moved], *[row[moved]] * 4, row + S * A))
        target = np.concatenate((target[~moved], *[other[moved] for other in others], target + S))
        probability = np.concatenate((probability[~moved], *[probability[moved] * p for p in chance], probability))
        state, action = np.concatenate((state, state + S)), np.tile(action, 2)
        paid, over = np.tile(paid, 2), np.tile(over, 2)
        rho = np.concatenate((rho, fill(S, 0)))
    return assemble(
        len(rho),
        state,
        action,
        row,
        target,
        probability,
        Discounted(gamma),
        pair_reward=paid,
        rho=rho,
        labels={"delivered": over[::A]},
        pair_names=["south", "north", "east", "west", "pick up", "drop off"] * len(rho),
    )


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
    graph: Any = import_module("scipy.sparse.csgraph")
    tree = graph.minimum_spanning_tree(sp.coo_array((weight, (one, other)), shape=(n, n)).tocsr()).tocoo()
    row, column = np.asarray(tree.row, dtype=np.int64), np.asarray(tree.col, dtype=np.int64)
    return np.minimum(row, column), np.maximum(row, column)
