"""Gridworlds: against Gymnasium's tables, shortest paths found by walking the rules again, and maps drawn by hand."""

from __future__ import annotations

from collections import Counter, deque
from fractions import Fraction

import numpy as np
import oracle as o
import pytest

import mdpkit as mk
from mdpkit import instances
from mdpkit.errors import OptionError, SizeError
from mdpkit.instances import from_map
from mdpkit.kernels.graph import Graph, reachable
from mdpkit.kernels.rational import rationalize
from mdpkit.models import Discounted, TotalReward

F = Fraction


def rows_of(mdp):
    """``{(s, a): ({next state: probability}, {next state: reward})}``."""
    P, reward = mdp.P, mdp.rewards["r"]
    paid = reward.exact[P.row_of] if reward.transition_exact is None else reward.transition_exact
    out = {}
    for k, pair in enumerate(zip(mdp.state.tolist(), mdp.action.tolist(), strict=True)):
        e = slice(int(P.indptr[k]), int(P.indptr[k + 1]))
        to = P.indices[e].tolist()
        out[pair] = dict(zip(to, P.exact[e], strict=True)), dict(zip(to, paid[e], strict=True))
    return out


def reached(mdp):
    graph = Graph(mdp.pair_ptr, mdp.P.indptr, mdp.P.indices)
    return reachable(graph, mdp.rho > 0)


def fewest(start, goal, moves):
    """Breadth-first search over ``moves(cell) -> cells``."""
    seen, queue = {start: 0}, deque([start])
    while queue:
        cell = queue.popleft()
        if cell == goal:
            return seen[cell]
        for other in moves(cell):
            if other not in seen:
                seen[other] = seen[cell] + 1
                queue.append(other)
    raise AssertionError("no path")


# ---------------------------------------------------------------------------------------------------- Gymnasium


def environment(name, **options):
    gymnasium = pytest.importorskip("gymnasium")
    if name not in gymnasium.registry:
        pytest.skip(f"this Gymnasium has no {name}")
    return gymnasium.make(name, disable_env_checker=True, **options).unwrapped


def same_as_the_table(mdp, table, ended):
    """Every row is the table's, but in the states where episodes have ended."""
    rows = rows_of(mdp)
    assert len(rows) == sum(map(len, table.values()))
    for s, cells in table.items():
        for a, outcomes in cells.items():
            law, paid = rows[int(s), int(a)]
            if s in ended:
                assert (law, paid) == ({s: 1}, {s: 0})
                continue
            want, earned = Counter(), Counter()
            for p, t, r, done in outcomes:
                assert not done or int(t) in ended
                want[int(t)] += rationalize(p)
                earned[int(t)] += rationalize(p) * int(r)
            assert law == {t: p for t, p in want.items() if p}
            assert paid == {t: earned[t] / p for t, p in want.items() if p}


@pytest.mark.parametrize("options", [{}, {"is_rainy": True}, {"is_rainy": True, "rainy_probability": 0.5}])
def test_taxi_is_gymnasium_s(options):
    env = environment("Taxi-v4", **options)
    mdp = instances.make("taxi", **options)
    ended = set(np.flatnonzero(mdp.labels["delivered"]).tolist())
    assert ended == {0, 85, 410, 475}
    same_as_the_table(mdp, env.P, ended)
    assert np.allclose(mdp.rho, env.initial_state_distrib, rtol=1e-15)
    assert mdp.rho_exact.sum() == 1
    assert reached(mdp).sum() == 404


def test_only_deliveries_end_a_taxi_s_episode():
    env = environment("Taxi-v4")
    mdp = instances.make("taxi")
    seen, ended = reached(mdp), mdp.labels["delivered"]
    for s in np.flatnonzero(seen & ~ended).tolist():
        for a, ((_, t, r, done),) in env.P[s].items():
            assert done == bool(ended[t]) == (r == 20) == (a == 5 and r > 0)


def test_the_table_of_gymnasium_read_as_a_model_is_the_same():
    pytest.importorskip("gymnasium")
    theirs = mk.load("gym:CliffWalking-v1?is_slippery=true").exact()
    ours = instances.make("cliffwalking", is_slippery=True)
    assert rows_of(theirs) == rows_of(ours)
    assert theirs.rho.tolist() == ours.rho.tolist()


@pytest.mark.parametrize("slippery", [False, True])
def test_cliffwalking_is_gymnasium_s(slippery):
    env = environment("CliffWalking-v1", is_slippery=slippery)
    mdp = instances.make("cliffwalking", is_slippery=slippery)
    same_as_the_table(mdp, env.P, {47})
    assert reached(mdp).sum() == 48 - 10
    assert not reached(mdp)[mdp.labels["cliff"]].any()


def test_frozenlake_s_success_rate_is_gymnasium_s():
    env = environment("FrozenLake-v1", map_name="8x8")
    if "success_rate" not in type(env).__init__.__code__.co_varnames:
        pytest.skip("this Gymnasium has no success_rate")
    env = environment("FrozenLake-v1", map_name="8x8", success_rate=0.75)
    mdp = instances.make("frozenlake", map_name="8x8", success_rate="3/4")
    same_as_the_table(mdp, env.P, set(np.flatnonzero(mdp.labels["goal"] | mdp.labels["trap"]).tolist()))


class Dice:
    """Stands for the generator of the environment: every draw is chosen beforehand."""

    def __init__(self, u, choice):
        self.u, self.chosen = u, choice

    def random(self):
        return self.u

    def choice(self, options):
        return options[self.chosen]


@pytest.mark.parametrize("rain", [False, True])
def test_the_fickle_passenger_is_gymnasium_s(rain):
    env = environment("Taxi-v4", is_rainy=rain, fickle_passenger=True)
    mdp = instances.make("taxi", is_rainy=rain, fickle_passenger=True)
    rows = rows_of(mdp)
    assert mdp.rho_exact[:500].tolist() == instances.make("taxi").rho_exact.tolist()
    settled = rows_of(instances.make("taxi", is_rainy=rain))
    over = set(np.flatnonzero(instances.make("taxi").labels["delivered"]).tolist())
    for s in range(500):
        for a in range(6):
            law, paid = settled[s, a]
            assert rows[500 + s, a] == ({500 + t: p for t, p in law.items()}, {500 + t: r for t, r in paid.items()})
            if s in over or s % 7:  # every cell, passenger and destination is among the rest
                continue
            want = Counter()
            cells = [rationalize(cell[0]) for cell in env.P[s][a]]
            for k, p in enumerate(cells):
                if p == 0:
                    continue
                u = float(sum(cells[:k]) + p / 2)
                for drawn, q in ((True, F(3, 10)), (False, F(7, 10))):
                    for other in range(3):
                        env.s, env.fickle_step, env._np_random = s, drawn, Dice(u, other)
                        t, r, _, _, _ = env.step(a)
                        assert r in paid.values()
                        # it is over where the change could have happened, drawn or not
                        env.s, env.fickle_step, env._np_random = s, True, Dice(u, other)
                        env.step(a)
                        want[int(t) + (0 if env.fickle_step else 500)] += p * q / 3
            assert rows[s, a][0] == dict(want)
            assert set(rows[s, a][1].values()) == set(paid.values())


def test_a_taxi_without_whims_or_rain_is_the_plain_one():
    plain = instances.make("taxi")
    assert instances.make("taxi", is_rainy=True, rainy_probability=1) == plain
    calm = instances.make("taxi", fickle_passenger=True, fickle_probability=0)
    n = 500
    V = mk.solve(calm, exact=True).exact
    want = mk.solve(plain, exact=True).exact
    assert V[:n].tolist() == want.tolist() == V[n:].tolist()


# ------------------------------------------------------------------------------------------------- other grids


WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)
FOUR = [(0, -1), (1, 0), (0, 1), (-1, 0)]
KING = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


@pytest.mark.parametrize(
    ("moves", "steps", "best"), [("four", FOUR, 15), ("king", KING, 7), ("king-and-stay", [*KING, (0, 0)], 7)]
)
def test_windy_gridworld_by_breadth_first_search(moves, steps, best):
    def after(cell):
        y, x = cell
        for dy, dx in steps:
            yield min(max(y + dy - WIND[x], 0), 6), min(max(x + dx, 0), 9)

    assert fewest((3, 0), (3, 7), after) == best
    mdp = instances.make("windy-gridworld", moves=moves)
    rows = rows_of(mdp)
    for y in range(7):
        for x in range(10):
            to = {t for a in range(len(steps)) for t in rows[10 * y + x, a][0]}
            assert to == ({37} if (y, x) == (3, 7) else {10 * v + u for v, u in after((y, x))})
    assert mdp.n_actions == len(steps)


def test_stochastic_wind():
    rows = rows_of(instances.make("windy-gridworld", stochastic=True))
    # to the right from (4, 6): the wind of column 6 is 2, so 1, 2 or 3 up
    assert rows[46, 2] == ({37: F(1, 3), 27: F(1, 3), 17: F(1, 3)}, {37: -1, 27: -1, 17: -1})
    assert rows[0, 2][0] == {1: 1}
    # up from (1, 3): 0, 1 or 2 cells further than the edge allows
    assert rows[13, 3][0] == {3: 1}
    assert rows[37, 0] == ({37: 1}, {37: 0})
    # to the left from (3, 8): in calm weather just above the goal, as the book says
    assert rows_of(instances.make("windy-gridworld"))[38, 0][0] == {27: 1}


def test_dyna_maze_is_the_figure_s():
    mdp = instances.make("dyna-maze")
    assert mdp.n_states == 47
    walls = {(1, 2), (2, 2), (3, 2), (4, 5), (0, 7), (1, 7), (2, 7)}
    assert set(mdp.state_names) == {(y, x) for y in range(6) for x in range(9)} - walls

    def after(cell):
        for dy, dx in FOUR:
            if (cell[0] + dy, cell[1] + dx) in mdp.state_names:
                yield cell[0] + dy, cell[1] + dx

    assert fewest((2, 0), (0, 8), after) == 14
    assert mdp.state_names[int(np.argmax(mdp.rho))] == (2, 0)
    assert mdp.state_names[int(np.flatnonzero(mdp.labels["goal"])[0])] == (0, 8)


def test_four_rooms():
    mdp = instances.make("four-rooms")
    assert mdp.n_states == 104
    assert np.flatnonzero(mdp.labels["goal"]).tolist() == [62]
    assert set(mdp.rho_exact.tolist()) == {F(0), F(1, 103)}
    rows = rows_of(mdp)
    # from the corner, to the right: 2/3 there; a third of the rest each for up, left (walls) and down
    here = mdp.state_names.index((1, 1))
    assert rows[here, 2][0] == {here: F(2, 9), here + 1: F(2, 3), mdp.state_names.index((2, 1)): F(1, 9)}
    hallways = [(3, 6), (6, 2), (7, 9), (10, 6)]
    open_ = {name for name in mdp.state_names if name not in hallways}
    room = {cell for cell in open_ if cell[0] < 6 and cell[1] < 6}
    assert len(room) == 25
    for name in ("north", "west", "east", "south"):
        other = instances.make("four-rooms", goal=name, success=1)
        goal = other.state_names[int(np.flatnonzero(other.labels["goal"])[0])]
        assert goal in hallways
        far = fewest((1, 1), goal, lambda cell: [(cell[0] + y, cell[1] + x) for y, x in FOUR if near(cell, y, x, mdp)])
        assert mk.solve(other, exact=True).exact[0] == F(9, 10) ** (far - 1)


def near(cell, y, x, mdp):
    return (cell[0] + y, cell[1] + x) in mdp.state_names


def four_by_three(reward):
    pays = {"G": 1 + reward, "T": reward - 1}
    return from_map("...G/.#.T/S...", TotalReward(), rewards=pays, step=reward, slip="1/5")


def test_russell_and_norvig_s_world_as_a_map():
    """Their table (recalled): being in a state pays -.04, here on leaving it; what the two ends pay is paid on entry."""
    table = [0.812, 0.868, 0.918, 0, 0.762, 0.660, 0, 0.705, 0.655, 0.611, 0.388]
    value = mk.solve(four_by_three(F(-1, 25))).V
    assert np.all(np.abs(value - table) <= 0.0005)
    # Below -1.63 one runs for the nearest end, even the trap; near 0 one heads off, into the wall.
    for reward, move in ((F(-2), "right"), (F(-1, 25), "up"), (F(-1, 100), "left")):
        mdp = four_by_three(reward)
        beside = mdp.state_names.index((1, 2))
        assert mdp.pair_names[mdp.pair(beside, int(mk.solve(mdp).pi.actions[beside]))] == move


# ---------------------------------------------------------------------------------------------------- from_map


def test_letters_of_one_s_own():
    mdp = from_map("SA#\n.bG", Discounted("1/2"), rewards={"A": 0.1, "b": "-3", "#": -7, "G": 4}, step=-1)
    rows = rows_of(mdp)
    assert mdp.state_names == ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2))
    assert rows[0, 2] == ({1: 1}, {1: F(1, 10)})
    assert rows[1, 2] == ({1: 1}, {1: -7})
    assert rows[0, 3] == ({0: 1}, {0: -7})
    assert rows[1, 1] == ({3: 1}, {3: -3})
    assert rows[1, 0] == ({0: 1}, {0: -1})
    assert rows[3, 2] == ({4: 1}, {4: 4})
    assert rows[4, 2] == ({4: 1}, {4: 0})
    assert set(mdp.labels) == {"goal", "trap", "A", "b"}
    assert np.flatnonzero(mdp.labels["b"]).tolist() == [3]
    # without a word about walls, a kept move pays what the cell pays
    plain = rows_of(from_map("SA", Discounted("1/2"), rewards={"A": 2}, step=-1))
    assert plain[1, 2] == ({1: 1}, {1: 2})
    ending = rows_of(from_map("SAG", Discounted("1/2"), rewards={"A": 2}, terminal="A"))
    assert ending[0, 2] == ({1: 1}, {1: 2})
    assert ending[1, 2] == ({1: 1}, {1: 0})
    assert ending[2, 0] == ({1: 1}, {1: 2})


def test_slip_models():
    cross = ".../.S./..."
    perpendicular = rows_of(from_map(cross, Discounted("1/2"), slip="1/5"))
    assert perpendicular[4, 3][0] == {1: F(4, 5), 3: F(1, 10), 5: F(1, 10)}
    uniform = rows_of(from_map(cross, Discounted("1/2"), slip="1/5", slip_model="uniform"))
    assert uniform[4, 3][0] == {1: F(17, 20), 3: F(1, 20), 5: F(1, 20), 7: F(1, 20)}
    sure = rows_of(from_map(cross, Discounted("1/2"), slip=1, slip_model="uniform"))
    assert all(sure[4, a] == sure[4, 0] for a in range(4))


def test_gridworld_s_text_takes_all_of_it():
    text = "gridworld?map=S.A%0A.%23T&rewards=A:5,%23:-1/2&terminal=T&slip_model=uniform&slip=2/5&gamma=1/2"
    pays = {"A": 5, "#": F(-1, 2), "G": 10, "T": -10, "H": -10}
    want = from_map(
        "S.A/.#T", Discounted("1/2"), rewards=pays, step=-1, slip=F(2, 5), slip_model="uniform", terminal="T"
    )
    assert instances.make(text) == want
    assert instances.make("gridworld", map="S.A\n.#G\n", rewards=" A:5 ").labels["A"].tolist() == [0, 0, 1, 0, 0]
    assert mk.load("instance:" + text) == want


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("S.\n..\n.", {}, ["row 2", "2 letters"]),
        ("S./.Q", {}, ["row 1, column 1", "'Q'", "Q:1"]),
        ("../.G", {}, ["no start", "a cell S"]),
        ("SG", {"rewards": {"A": 1}}, ["letter that the map has not", "'A'"]),
        ("SG", {"rewards": {"AB": 1}}, ["no letter of a map", "'AB'"]),
        ("SG", {"rewards": {"/": 1}}, ["no letter of a map"]),
        ("SG", {"rewards": {1: 1}}, ["no letter of a map", "found: 1"]),
        ("SG", {"rewards": ["A", 1]}, ["no mapping"]),
        (["SG"], {}, ["the map is no text"]),
        ("SG", {"terminal": None}, ["terminal is no text"]),
        ("SG", {"rewards": {"G": "much"}}, ["the reward of 'G'", "no number"]),
        ("SG", {"step": float("nan")}, ["step", "no number"]),
        ("SG", {"slip": 2}, ["'slip'", "out of range"]),
        ("SG", {"slip_model": "sideways"}, ["slip_model", "'sideways'", "perpendicular"]),
        ("SG", {"terminal": "GS"}, ["not terminal", "'GS'"]),
    ],
)
def test_from_map_refuses(text, options, words):
    with pytest.raises(OptionError) as caught:
        from_map(text, Discounted("1/2"), **options)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_rewards_as_text_are_checked():
    with pytest.raises(OptionError, match="letter:number"):
        instances.make("gridworld", map="SA", rewards="A=5")
    with pytest.raises(OptionError, match=r"needed: .*GHT"):
        instances.make("gridworld", map="SG", terminal="S")
    with pytest.raises(SizeError):
        from_map("1000000x1000000", TotalReward())


def test_a_small_map_by_brute_force():
    mdp = from_map("S./HG", Discounted("9/10"), slip="1/4", step="-1/10", rewards={"H": -1})
    best = o.best_discounted(o.read(mdp), F(9, 10))
    assert mk.solve(mdp, exact=True).exact.tolist() == best
