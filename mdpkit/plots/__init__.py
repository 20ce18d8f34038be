"""Pictures of results: functions ``(result, ax=None) -> ax``. They need the ``plots`` extra (matplotlib)."""

from mdpkit.plots.convergence import convergence
from mdpkit.plots.grid import value_and_policy

__all__ = ["convergence", "value_and_policy"]
