"""Counts until eps-optimality: by their definition, over grids, with what was not reached."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError, UnsupportedError
from mdpkit.experiments import ExperimentError, SampleComplexity, load_sample_complexity, sample_complexity
from mdpkit.experiments.identity import described_problem, generator
from mdpkit.experiments.sample_complexity import WHEN, counts_of
from mdpkit.learner import View
from mdpkit.regret import Regret
from mdpkit.solver import Answer, IterativeSolver
from mdpkit.solvers.exploration import UCBVI


def river(n_states: Any = 3) -> mk.MDP:
    return mk.instances.make("riverswim", n_states=n_states).under(mk.FiniteHorizon(6))


def with_gaps(*gaps: float) -> Regret:
    view: Any = View("finite", 1, *[np.zeros(1, dtype=np.int64)] * 3, 1, None, None, len(gaps))
    return Regret(1.0, 1.0 - np.array(gaps), "episode", {}, UCBVI(), None, len(gaps), view)


@pytest.mark.parametrize(
    ("gaps", "eps", "counts"),
    [
        # first, settled, average, mistakes; by hand
        ([1, 1, 0, 1, 0, 0], 0.5, (3, 5, 6, 3)),
        ([0.5, 0.5], 0.5, (1, 1, 1, 0)),
        ([0, 1], 0.5, (1, None, 1, None)),
        ([1, 1, 1, 0], 0.5, (4, 4, None, 3)),
        ([1, 1], 0.5, (None, None, None, None)),
        ([1, 0, 0, 0, 1, 1, 1, 0], 0.5, (2, 8, 2, 4)),
        ([0], 0.5, (1, 1, 1, 0)),
    ],
)
def test_counts_by_hand(gaps, eps, counts):
    found = counts_of(with_gaps(*gaps), eps)
    assert tuple(found[name] for name in ("first", "settled", "average", "mistakes")) == counts


def test_counts_are_those_of_the_runs():
    found = sample_complexity(
        river, UCBVI(scale=0.3), eps=[0.05, 0.2], grid={"n_states": [2, 3]}, episodes=800, seeds=2
    )
    for (point, _, eps, number), counts in found.counts.items():
        place = river(int(point[-1]))
        rng = generator(0, described_problem(place, 800), number)
        gaps = mk.play(place, UCBVI(scale=0.3), episodes=800, rng=rng).per_round
        good = gaps <= eps
        assert counts["first"] == (int(np.argmax(good)) + 1 if good.any() else None)
        assert counts["mistakes"] == (int((~good).sum()) if good[-1] else None)
    assert len(found.counts) == 8 and found.computed == 4  # both eps come from one run


def test_what_is_not_reached_is_reported_and_not_dropped():
    found = sample_complexity(river, ["ucbvi"], eps=[1e-9, 5.0], episodes=20, seeds=3)
    low, high = found.table()
    assert (low["eps"], low["reached"], low["mean"], low["more_than"], low["median"]) == (1e-9, 0, None, 20.0, math.inf)
    assert (high["reached"], high["mean"], high["more_than"]) == (3, 1.0, None)
    assert any("3 runs did not get there: more than 20 episodes" in text for text in found.sentences())
    json.dumps(found.summary()["slopes"], allow_nan=False)
    (line,) = found.lines("eps")
    assert np.isinf(line.counts[:, 0]).all() and line.used == 1 and line.slope is None


def hand_made(counts: dict[float, list[int | None]], limit: int = 100) -> SampleComplexity:
    """An experiment with one method and these counts, by eps."""
    seeds = list(range(len(next(iter(counts.values())))))
    table = {("", "m", e, s): dict.fromkeys(WHEN, row[s]) for e, row in counts.items() for s in seeds}
    points = {"": {"parameters": {}, "sizes": {}}}
    return SampleComplexity(points, {"m": {}}, list(counts), seeds, limit, "episode", "first", 0, table)


def test_some_seeds_get_there():
    found = hand_made({0.1: [10, None, 20], 0.2: [None, None, 20], 0.4: [1, 2, 6]})
    some, few, all_ = found.table()
    assert (some["reached"], some["mean"], some["more_than"], some["median"]) == (2, None, 130 / 3, 20)
    assert (few["reached"], few["more_than"], few["median"]) == (1, 220 / 3, math.inf)
    assert (all_["reached"], all_["mean"], all_["more_than"], all_["median"]) == (3, 3, None, 2)
    assert any("3 runs did not get there: more than 100 episodes" in text for text in found.sentences())
    assert hand_made({0.1: [1, 2, 3, None]}).table()[0]["median"] == 2.5
    assert hand_made({0.1: [1, 2, None, None]}).table()[0]["median"] == math.inf


def test_slopes_leave_out_what_not_all_reached():
    found = hand_made({0.1: [None, 80], 0.2: [40, 40], 0.4: [20, 20], 0.8: [10, 10], 1.6: [5, 5]})
    (row,) = found.slopes("eps")
    assert (row["used"], row["abscissas"]) == (4, 5)
    assert row["slope"] == pytest.approx(-1) and row["lower"] == pytest.approx(-1) == row["upper"]
    short = hand_made({0.1: [None, 80], 0.2: [40, 40], 0.4: [20, 20], 0.8: [10, 10]})
    assert short.slopes("eps")[0]["slope"] is None
    assert any("Slopes take 4 abscissas" in text for text in short.sentences())


def test_slopes_and_axes():
    found = sample_complexity(
        river, UCBVI(), eps=0.3, grid={"n_states": [2, 3, 4, 5]}, episodes=3000, seeds=3, when="average"
    )
    assert found.axes == ["n_states"]
    (line,) = found.lines("n_states")
    assert line.slope is not None and line.used == 4
    by_seed = [np.polyfit(np.log([2.0, 3.0, 4.0, 5.0]), np.log(row), 1)[0] for row in line.counts]
    assert line.slope.value == pytest.approx(np.mean(by_seed))
    assert found.slopes()[0]["slope"] == line.slope.value
    with pytest.raises(OptionError, match="nothing varies along 'gamma'"):
        found.lines("gamma")


def test_sizes_are_axes_of_their_own():
    def family(gamma: str) -> mk.MDP:
        return mk.instances.make("riverswim", n_states=3).under(mk.Discounted(gamma))

    found = sample_complexity(family, Guess(), eps=0.5, grid={"gamma": ["1/2", "9/10", "0.99"]}, samples=100, seeds=1)
    assert found.axes == ["gamma", "horizon"]
    (line,) = found.lines("horizon")
    np.testing.assert_allclose(line.x, [2, 10, 100])
    assert found.points["gamma=9/10"]["sizes"]["horizon"] == pytest.approx(10)
    assert found.points["gamma=9/10"]["parameters"] == {"gamma": "9/10"}


class Drawn(NamedTuple):
    choice: Any
    k: int
    draws: int
    gap: float


@dataclass(frozen=True)
class Guess(IterativeSolver[Drawn]):
    """Draws ``each`` samples a step, and chooses the best pairs from step ``good`` on, the worst ones before."""

    each: int = 7
    good: int = 3
    kinds: ClassVar = ("discounted", "finite")
    randomized: ClassVar = True

    def init(self, problem, rng=None):
        return Drawn(self._choice(problem, 0), 0, 0, math.inf)

    def step(self, problem, state, rng=None):
        return Drawn(self._choice(problem, state.k + 1), state.k + 1, state.draws + self.each, math.inf)

    def _choice(self, problem, k):
        pairs = problem.pair_ptr[1:] - 1 if k >= self.good else problem.pair_ptr[:-1]
        return pairs if problem.kind == "discounted" else np.tile(pairs, (problem.H, 1))

    def answer(self, problem, state):
        return Answer(np.zeros(problem.n_states), state.choice)


@dataclass(frozen=True)
class OneShot(Guess):
    """Ends after two steps of ``samples`` draws; its choice is good if it has made 100 draws."""

    samples: int = 10

    def step(self, problem, state, rng=None):
        draws = state.draws + self.samples
        return Drawn(self._choice(problem, self.good if draws >= 100 else 0), state.k + 1, draws, math.inf)

    def finished(self, state):
        return state.k == 2


def test_draws_of_a_solver_are_counted():
    # Right is better everywhere in RiverSwim with this discount; the first pair of a state is left.
    place = mk.instances.make("riverswim", n_states=3).under(mk.Discounted("0.99"))
    found = sample_complexity({"": place}[""], {"guess": Guess()}, eps=[0.01, 1e6], samples=1000, seeds=2)
    assert found.unit == "sample"
    assert found.counts["", "guess", 0.01, 0] == {"first": 21, "settled": 21, "average": None, "mistakes": None}
    assert found.counts["", "guess", 1e6, 1]["first"] == 0
    short = sample_complexity(place, {"guess": Guess()}, eps=0.01, samples=20, seeds=1)
    assert short.table()[0]["more_than"] == 20


def test_a_solver_that_ends_begins_anew_with_twice_as_many():
    place = mk.instances.make("riverswim", n_states=3).under(mk.FiniteHorizon(60))
    found = sample_complexity(place, {"one": OneShot()}, eps=0.01, samples=1000, seeds=1)
    # Runs of 20, 40, 80 and 160 draws.
    assert found.counts["", "one", 0.01, 0]["first"] == 160
    assert sample_complexity(place, {"one": OneShot()}, eps=0.01, samples=159, seeds=1).table()[0]["reached"] == 0


def test_a_solver_of_the_library():
    place = mk.instances.make("linear-hypercube-episodic", H=3)
    solver = "least_squares_value_iteration?samples=10"
    found = sample_complexity(place, solver, eps=[0.05, 0.5], samples=20_000, seeds=3)
    assert all(row["reached"] == 3 for row in found.table())
    assert found.count("", solver, 0.05).mean() >= found.count("", solver, 0.5).mean()
    assert found.points[""]["sizes"]["d"] >= 1


def test_folders_grow_resume_and_are_read(tmp_path):
    options = {"grid": {"n_states": [2, 3]}, "episodes": 200}
    sample_complexity(river, ["ucbvi"], eps=[0.1], seeds=2, data=tmp_path, **options)
    before = {p: p.read_bytes() for p in tmp_path.glob("cells/**/*.npz")}
    more = sample_complexity(river, ["ucbvi", "ucbvi?scale=0.5"], eps=[0.1, 0.2], seeds=3, data=tmp_path, **options)
    after = {p: p.read_bytes() for p in tmp_path.glob("cells/**/*.npz")}
    assert before.items() <= after.items() and len(after) == 2 * 2 * 2 * 3
    again = sample_complexity(river, ["ucbvi", "ucbvi?scale=0.5"], eps=[0.1, 0.2], seeds=3, data=tmp_path, **options)
    assert again.computed == 0 and again.table() == more.table()
    read = load_sample_complexity(tmp_path)
    assert read.table() == more.table() and read.computed == 0 and read.axes == more.axes
    assert load_sample_complexity(tmp_path, "settled").when == "settled"
    with pytest.raises(ExperimentError, match="limit 200 in the folder, 201 asked for"):
        sample_complexity(river, ["ucbvi"], eps=0.1, grid={"n_states": [2, 3]}, episodes=201, data=tmp_path)
    from mdpkit.experiments import load_regret

    with pytest.raises(ExperimentError, match="another kind"):
        load_regret(tmp_path)


def test_jobs_change_nothing(tmp_path):
    pytest.importorskip("joblib")
    for jobs in (1, 2):
        sample_complexity(
            river, ["ucbvi"], eps=[0.1, 0.3], grid={"n_states": [2, 3]}, episodes=200, seeds=2, jobs=jobs,
            data=tmp_path / str(jobs),
        )  # fmt: skip
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / str(j)).glob("cells/**/*.npz")} for j in (1, 2))
    assert one == two and len(one) == 4


def test_as_a_dataframe():
    pytest.importorskip("pandas")
    frame = sample_complexity(river, "ucbvi", eps=0.3, grid={"n_states": [2, 3]}, episodes=50, seeds=2).to_dataframe()
    assert len(frame) == 4 and {"n_states", "S", "H", "method", "eps", "seed", "first", "settled"} <= set(frame.columns)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"eps": 0}, OptionError, "eps is no accuracy"),
        ({"eps": []}, OptionError, "eps is no accuracy"),
        ({"when": "last"}, OptionError, "nothing is counted as 'last'"),
        ({"samples": 10}, OptionError, "rounds, not samples"),
        ({"episodes": None}, OptionError, "episodes"),
        ({"methods": "ucbv"}, OptionError, "unknown method 'ucbv'"),
        ({"methods": ["ucbvi", "value_iteration"]}, OptionError, "an experiment for each"),
        ({"methods": Guess()}, OptionError, "number of samples"),
        (
            {"problem": river().under(mk.Discounted("0.9")), "methods": "value_iteration", "episodes": None, "samples": 9},
            UnsupportedError,
            "ValueIteration does not count samples",
        ),
        ({"methods": Guess(), "episodes": None, "samples": 9, "when": "average"}, OptionError, "solvers have no 'average'"),
        ({"methods": Guess(each=0, good=1), "episodes": None, "samples": 9}, UnsupportedError, "drew no sample"),
        ({"grid": {"n_states": []}}, OptionError, "no values of 'n_states'"),
        ({"problem": river(), "grid": {"n_states": [2]}}, OptionError, "a model has no parameters"),
        ({"problem": lambda: 3}, OptionError, "this is no problem"),
        ({"problem": "riverswim", "grid": {"n_statse": [2]}}, OptionError, "n_states"),
        ({"problem": river().under(mk.AverageReward()), "episodes": None, "steps": 9}, OptionError, "when='average'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(tmp_path, change, error, says):
    options: dict[str, Any] = {"problem": river(), "methods": "ucbvi", "eps": 0.1, "episodes": 9, "seeds": 1} | change
    with pytest.raises(error, match=says):
        sample_complexity(options.pop("problem"), options.pop("methods"), **options)


def test_instances_by_name():
    found = sample_complexity(
        "riverswim?variant=ucrl2",
        "ucbvi",
        eps=0.3,
        grid={"n_states": ["2", "3"], "horizon": ["4", "6"]},
        episodes=30,
        seeds=1,
    )
    assert list(found.points) == [f"n_states={n}, horizon={h}" for n in (2, 3) for h in (4, 6)]
    assert [p["sizes"]["H"] for p in found.points.values()] == [4, 6, 4, 6]
    assert {line.fixed for line in found.lines("n_states")} == {"horizon = 4", "horizon = 6"}
