"""Pictures of results: functions ``(result, ax=None) -> ax``. They need the ``plots`` extra (matplotlib)."""

from mdpkit.plots.axes import style
from mdpkit.plots.bars import values
from mdpkit.plots.chain import chain_graph
from mdpkit.plots.convergence import convergence
from mdpkit.plots.grid import value_and_policy
from mdpkit.plots.regret import regret, series, suboptimality
from mdpkit.plots.sample_complexity import sample_complexity
from mdpkit.plots.tables import occupancy, policy_matrix, stages

__all__ = [
    "chain_graph",
    "convergence",
    "occupancy",
    "policy_matrix",
    "regret",
    "sample_complexity",
    "series",
    "stages",
    "style",
    "suboptimality",
    "value_and_policy",
    "values",
]
