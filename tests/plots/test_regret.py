"""Pictures of regret, suboptimality, notes and sample complexity: what is drawn, and whether it can be told apart."""

from __future__ import annotations

import io

import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError
from mdpkit.experiments import regret as experiment
from mdpkit.experiments import sample_complexity as counting
from mdpkit.plots.axes import COLORS, LINES
from mdpkit.plots.regret import DARK_COLORS, is_dark, palette, regret_figure

RIVER = mk.instances.make("riverswim").under(mk.FiniteHorizon(8))


@pytest.fixture(scope="module")
def runs():
    return experiment({"river": RIVER}, ["ucbvi", "ucbvi?scale=0.1"], episodes=3000, seeds=3)


@pytest.fixture(scope="module")
def counts():
    def river(n_states):
        return mk.instances.make("riverswim", n_states=n_states).under(mk.FiniteHorizon(6))

    return counting(
        river, ["ucbvi", "ucbvi?scale=0.1"], eps=[0.1, 0.2, 0.4, 0.8], grid={"n_states": [2, 3, 4, 5]}, episodes=500,
        seeds=3, when="average",
    )  # fmt: skip


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_regret_is_the_mean_over_seeds(runs):
    ax = mk.plots.regret(runs)
    for line, curve in zip(ax.get_lines(), runs.curves.values(), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), curve.at)
        np.testing.assert_allclose(line.get_ydata(), curve.regret.mean(axis=0))
    assert len(ax.collections) == 2  # a band each
    mean = next(iter(runs.curves.values())).mean()
    band = ax.collections[0].get_paths()[0].get_extents()
    assert band.y1 == pytest.approx(mean.upper.max())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("episodes", "regret: expected reward lost so far")
    assert ax.get_legend().get_title().get_text() == "mean of 3 seeds, 95 % interval"
    assert ax.get_ylim()[0] == 0


def test_logarithmic_regret_has_slopes_and_bounds(runs):
    ax = mk.plots.regret(runs, scale="log")
    assert ax.get_xscale() == ax.get_yscale() == "log"
    curve = runs.curves["river", "ucbvi"]
    slope = curve.slope
    assert f"ucbvi: slope {slope.value:.3f} [{slope.lower:.3f}, {slope.upper:.3f}]" in labels(ax)
    bound = next(line for line in ax.get_lines() if "azar2017:regret" in str(line.get_label()))
    np.testing.assert_array_equal(bound.get_ydata(), curve.bound)
    assert curve.informative_from > 3000
    assert f"below the dotted line from episode {curve.informative_from:,}, beyond this axis" in bound.get_label()
    trivial = next(line for line in ax.get_lines() if "H × range of rewards" in str(line.get_label()))
    np.testing.assert_allclose(trivial.get_ydata(), 8.0 * curve.at)


def test_where_a_bound_begins_to_say_something_is_marked(runs):
    from dataclasses import replace

    early = {key: replace(run, informative_from=500) for key, run in runs.runs.items()}
    ax = mk.plots.regret(replace(runs, runs=early), scale="log")
    (mark,) = [line for line in ax.get_lines() if len(line.get_xdata()) == 1]
    assert mark.get_xdata()[0] == 500
    assert any("from episode 500 (○)" in text for text in labels(ax))
    never = {key: replace(run, informative_from=None) for key, run in runs.runs.items()}
    assert any("never below" in text for text in labels(mk.plots.regret(replace(runs, runs=never), scale="log")))
    assert not any("bound" in text for text in labels(mk.plots.regret(runs, scale="log", bound=False)))


def test_suboptimality_leaves_nothing_out(runs):
    ax = mk.plots.suboptimality(runs, scale="linear")
    line, curve = ax.get_lines()[0], runs.curves["river", "ucbvi"]
    width = np.diff(line.get_xdata(), prepend=0)
    assert (line.get_ydata() * width).sum() == pytest.approx(curve.totals.mean())
    assert ax.get_ylabel() == "suboptimality: reward lost per episode"


def test_a_gap_of_zero_is_said_on_logarithmic_axes():
    small = mk.instances.make("riverswim", n_states=2).under(mk.FiniteHorizon(3))
    found = experiment({"river": small}, "ucbvi?scale=0.05", episodes=2000, seeds=2)
    (text,) = labels(mk.plots.suboptimality(found))
    assert "(0 after episode" in text


def test_notes(runs):
    ax = mk.plots.series(runs, "index")
    assert ax.get_ylabel() == "index, in each episode" and "best value" in labels(ax)
    total = mk.plots.series(runs, "index", total=True)
    assert total.get_ylabel() == "index, total so far"
    run = runs.runs["river", "ucbvi", 0]
    assert total.get_lines()[0].get_ydata()[-1] == pytest.approx(
        np.mean([runs.runs["river", "ucbvi", s].sums["index"][-1] for s in range(3)])
    )
    assert run.series.keys() == {"index"}
    with pytest.raises(OptionError, match="no learner notes 'switches'"):
        mk.plots.series(runs, "switches")


def test_one_run_and_lists_of_runs(given):
    run = mk.play(RIVER, mk.solvers.exploration.UCBVI(), episodes=50, rng=np.random.default_rng(0))
    ax = mk.plots.regret(run, ax=given)
    assert ax is given and not ax.collections
    assert ax.get_legend().get_title().get_text() == "one seed, no band"
    assert labels(mk.plots.regret({"a": [run, run], "b": run})) == ["a", "b"]
    for nothing in (3, "run", None):
        with pytest.raises(OptionError, match="nothing here to draw"):
            mk.plots.regret(nothing)
    with pytest.raises(OptionError, match="no such scale"):
        mk.plots.regret(run, scale="cubic")


def test_several_problems_are_asked_for_one():
    found = experiment({"a": RIVER, "b": RIVER.under(mk.FiniteHorizon(9))}, "ucbvi", episodes=20, seeds=2)
    with pytest.raises(OptionError, match="which problem"):
        mk.plots.regret(found)
    assert mk.plots.regret(found, problem="b").get_lines()
    assert len(regret_figure(found).axes) == 6


def contrast(a, b):
    def light(color):
        c = np.array(matplotlib.colors.to_rgb(color))
        c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return float(c @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_dark_pages(runs, counts):
    assert all(contrast(color, "black") >= 7 for color in DARK_COLORS)
    with plt.style.context("dark_background"):
        pictures = [mk.plots.regret(runs), mk.plots.regret(runs, scale="log"), mk.plots.sample_complexity(counts)]
        for ax in pictures:
            assert is_dark(ax) and palette(ax) is DARK_COLORS
            ground = ax.get_facecolor()
            for line in ax.get_lines():
                if line.get_linestyle() != "None" or line.get_marker() not in ("None", None):
                    assert contrast(line.get_color(), ground) >= 5, line.get_label()
    light = mk.plots.regret(runs)
    assert not is_dark(light) and palette(light) is COLORS


def test_curves_differ_without_color(runs):
    lines = mk.plots.regret(runs).get_lines()
    looks = {(str(line.get_linestyle()), line.get_marker()) for line in lines}
    assert len(looks) == len(lines)


def test_pictures_are_opaque_and_the_same_again(runs, same):
    assert same(lambda: mk.plots.regret(runs, scale="log"))
    buffer = io.BytesIO()
    regret_figure(runs).savefig(buffer, format="png", dpi=40)
    buffer.seek(0)
    pixels = plt.imread(buffer)
    assert pixels.shape[2] == 3 or pixels[..., 3].min() == 1
    assert pixels.std() > 0.05


def test_words_fit_on_the_figure(runs):
    figure = regret_figure(runs, notes=("index",))
    figure.canvas.draw()
    whole = figure.bbox
    for ax in figure.axes:
        for text in (ax.xaxis.label, ax.yaxis.label, *ax.get_legend().get_texts()):
            box = text.get_window_extent()
            assert whole.x0 <= box.x0 and box.x1 <= whole.x1 + 1, text.get_text()
            assert whole.y0 <= box.y0 and box.y1 <= whole.y1 + 1, text.get_text()


def test_sample_complexity(counts):
    ax = mk.plots.sample_complexity(counts, "n_states")
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert ax.get_ylabel() == "episodes until the mean loss is at most ε"
    assert ax.get_xlabel() == "n states"
    by_label = {str(line.get_label()).partition(":")[0]: line for line in ax.get_lines()}
    for line in counts.lines("n_states"):
        drawn = by_label[f"{line.method}, {line.fixed}"]
        expected = np.where(np.isfinite(line.counts), line.counts, counts.limit).mean(axis=0)
        np.testing.assert_allclose(drawn.get_ydata(), expected)
        reached = np.isfinite(line.counts).all(axis=0)
        assert [drawn.get_ydata()[i] for i in drawn.get_markevery()] == expected[reached].tolist(), "filled marks"
    arrows = [child for child in ax.texts if child.get_text() == ""]
    censored = sum(int((~np.isfinite(line.counts).all(axis=0)).sum()) for line in counts.lines("n_states"))
    assert len(arrows) == censored > 0
    assert "at least so much (runs of 500 episodes)" in ax.get_legend().get_title().get_text()


def test_sample_complexity_against_eps_is_against_its_inverse(counts):
    ax = mk.plots.sample_complexity(counts, "eps")
    assert ax.get_xlabel() == "1/ε (ε in units of reward)"
    np.testing.assert_allclose(sorted(set(ax.get_lines()[0].get_xdata())), [1.25, 2.5, 5, 10])
    row = next(row for row in counts.slopes("eps") if row["slope"] is not None)
    text = next(text for text in labels(ax) if text.startswith(f"{row['method']}, {row['fixed']}:"))
    assert text.endswith(f"slope {-row['slope']:.2f} [{-row['upper']:.2f}, {-row['lower']:.2f}]")


def test_no_picture_of_something_else(counts):
    with pytest.raises(OptionError, match="nothing here to draw"):
        mk.plots.sample_complexity(3)
    with pytest.raises(OptionError, match="nothing varies along 'gamma'"):
        mk.plots.sample_complexity(counts, "gamma")


def test_a_style_for_other_pictures():
    with plt.rc_context(mk.plots.style()):
        ax = plt.figure().gca()
        lines = [ax.plot([0, 1])[0] for _ in COLORS]
    assert [line.get_color() for line in lines] == list(COLORS)
    dashes = [line.get_linestyle() for line in lines]
    assert dashes[:3] == ["-", "--", "-."]
    strokes = {str(line._dash_pattern) for line in lines}
    assert len(strokes) == len(LINES), "each has a stroke of its own"
