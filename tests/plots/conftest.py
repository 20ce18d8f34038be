"""Figures are drawn without a display, closed after each test, and leave matplotlib's settings as they were."""

import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close():
    before = dict(matplotlib.rcParams)
    yield
    import matplotlib.pyplot as plt

    plt.close("all")
    assert dict(matplotlib.rcParams) == before


@pytest.fixture
def given():
    """Axes of a figure that is already there."""
    import matplotlib.pyplot as plt

    return plt.subplots()[1]


@pytest.fixture
def same():
    """Whether two pictures are the same in every pixel."""

    def pixels(ax):
        ax.figure.canvas.draw()
        return bytes(ax.figure.canvas.buffer_rgba())

    return lambda draw: pixels(draw()) == pixels(draw())
