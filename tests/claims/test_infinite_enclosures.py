"""An enclosure that is the whole line decides nothing."""

from __future__ import annotations

import math

from mdpkit.claims import Interval, Outcome, equal


def test_the_whole_line_is_equal_to_nothing() -> None:
    line = Interval(-math.inf, math.inf)
    assert equal(line, line).outcome is Outcome.UNDECIDED
    assert equal(line, 1.0).outcome is Outcome.UNDECIDED
    assert equal(math.nan, 1).outcome is Outcome.UNDECIDED
