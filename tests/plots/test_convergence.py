"""Gaps against steps and seconds, with rates."""

from fractions import Fraction

import numpy as np
import pytest

import mdpkit as mk
from mdpkit.errors import OptionError


@pytest.fixture(scope="module")
def solutions():
    mdp = mk.instances.make("forest", gamma=Fraction(9, 10))
    return [mk.solve(mdp, name) for name in ("value_iteration", "gauss_seidel", "value_iteration")]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def curve(ax, label):
    (line,) = [line for line in ax.lines if line.get_label() == label]
    return line.get_data()


def test_convergence(solutions):
    ax = mk.plots.convergence(solutions)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("steps of the method", "gap: upper bound − lower bound")
    assert ax.get_yscale() == "log"
    assert legend(ax) == ["ValueIteration (1)", "GaussSeidel", "ValueIteration (2)"]
    last = ax.lines[1]
    assert last.get_xdata()[0] == solutions[0].steps
    assert last.get_ydata()[0] == solutions[0].certificate.gap
    drawn = dict(zip(*ax.lines[0].get_data(), strict=True))
    for step, gap in solutions[0].trace:
        if np.isfinite(gap) and step < solutions[0].steps:
            assert drawn[step] == gap


def test_curves_differ_in_gray(solutions):
    ax = mk.plots.convergence({str(i): solutions[1] for i in range(7)})
    drawn = [line for line in ax.lines if line.get_label().isdigit()]
    assert len({line.get_marker() for line in drawn}) == 7
    assert len({str(line._dash_pattern) for line in drawn}) == 7
    assert len({line.get_color() for line in drawn}) == 7


def test_seconds_are_those_of_the_run(solutions):
    for solution in solutions:
        assert len(solution.times) == len(solution.trace)
        assert all(a <= b for a, b in zip(solution.times, solution.times[1:], strict=False))
        assert 0 < solution.times[0] and solution.times[-1] <= solution.seconds
    ax = mk.plots.convergence(solutions, against="seconds")
    assert ax.get_xlabel() == "seconds"
    x, y = curve(ax, "GaussSeidel")
    assert x[-1] == solutions[1].seconds and y[-1] == solutions[1].certificate.gap
    assert x[:-1].tolist() == [
        t
        for t, (k, g) in zip(solutions[1].times, solutions[1].trace, strict=True)
        if np.isfinite(g) and k < solutions[1].steps
    ]


def test_rate_of_the_criterion(solutions):
    ax = mk.plots.convergence(solutions[1], rate="gamma")
    assert legend(ax) == ["GaussSeidel", "$0.9^k$"]
    k, bound = curve(ax, "$0.9^k$")
    steps, gaps = curve(ax, "GaussSeidel")
    assert k[0] == steps[0] and bound[0] == gaps[0]
    shown = np.isfinite(bound)
    assert bound[shown] == pytest.approx(gaps[0] * 0.9 ** (k[shown] - steps[0]), rel=1e-12)
    low, high = ax.get_ylim()
    assert low < gaps.min() and high > gaps.max()


def test_rates_are_numbers_functions_or_several(solutions):
    ax = mk.plots.convergence(solutions[1], rate={"half": 0.5, "mine": lambda k: 100 * 0.9**k})
    assert legend(ax) == ["GaussSeidel", "half", "mine"]
    k, bound = curve(ax, "mine")
    shown = np.isfinite(bound)
    assert bound[shown] == pytest.approx(100 * 0.9 ** k[shown])
    assert ax.lines[-1].get_linestyle() == ax.lines[-2].get_linestyle() == "--"


@pytest.mark.parametrize("rate", [1, 0, 1.5, "beta", [0.5], {"a": 2}, lambda k: 3.0])
def test_what_is_no_rate_is_refused(solutions, rate):
    with pytest.raises(OptionError):
        mk.plots.convergence(solutions, rate=rate)


def test_rate_needs_one_discount_and_steps(solutions):
    other = mk.solve(mk.instances.make("forest", gamma=Fraction(1, 2)))
    with pytest.raises(OptionError, match="no common discount"):
        mk.plots.convergence([solutions[0], other], rate="gamma")
    with pytest.raises(OptionError, match="no common discount"):
        mk.plots.convergence([(1, 1.0), (2, 0.5)], rate="gamma")
    with pytest.raises(OptionError, match="per step"):
        mk.plots.convergence(solutions, "seconds", rate=0.9)


def test_traces_and_exact_answers():
    ax = mk.plots.convergence({"mine": [(1, 1.0), (2, float("inf")), (3, 0.01)]})
    assert ax.lines[0].get_data()[0].tolist() == [1, 3]
    assert legend(ax) == ["mine"]
    ax = mk.plots.convergence([(1, 1.0), (2, 0.5)])
    assert ax.get_legend() is None
    ax = mk.plots.convergence({"mine": [(1, 1.0, 0.25), (2, 0.5, 0.75)]}, against="seconds")
    assert ax.lines[0].get_data()[0].tolist() == [0.25, 0.75]
    ax = mk.plots.convergence(mk.solve(mk.instances.make("forest"), "value_iteration", exact=True))
    assert [text.get_text() for text in ax.texts] == ["0"]


@pytest.mark.parametrize("results", [{"mine": 3}, 3, [3, 4], [(1, 2, 3, 4)], [mk.solve, 2]])
def test_what_is_no_trace_is_refused(results):
    with pytest.raises(OptionError):
        mk.plots.convergence(results)


def test_solutions_and_traces_do_not_mix_in_a_list(solutions):
    with pytest.raises(OptionError):
        mk.plots.convergence([solutions[0], [(1, 1.0)]])


def test_axes(solutions, given, same):
    assert mk.plots.convergence(solutions, ax=given) is given
    with pytest.raises(OptionError, match="no such axis"):
        mk.plots.convergence(solutions, against="sweeps")
    with pytest.raises(OptionError, match="no seconds"):
        mk.plots.convergence({"mine": [(1, 1.0)]}, against="seconds")
    assert same(lambda: mk.plots.convergence(solutions, rate="gamma"))


def test_direct_methods_have_their_answer_alone():
    ax = mk.plots.convergence(mk.solve(mk.instances.make("forest"), "linear_programming"))
    assert all(len(line.get_xdata()) <= 1 for line in ax.lines if line.get_label() == "LinearProgramming")


def test_labels_that_matplotlib_hides(solutions):
    ax = mk.plots.convergence({"_hidden": solutions[0]})
    assert ax.get_legend() is None
    ax = mk.plots.convergence(solutions[0], rate={"none": None})
    assert legend(ax) == ["ValueIteration"]
