"""Linear MDPs: least squares on features, with exact moments, with a generative model, and online."""

from mdpkit.solvers.linear.async_coop_lsvi_ucb import AsyncCoopLSVIUCB
from mdpkit.solvers.linear.least_squares_policy_iteration import LeastSquaresPolicyIteration
from mdpkit.solvers.linear.least_squares_value_iteration import LeastSquaresValueIteration
from mdpkit.solvers.linear.lsvi_ucb import LSVIUCB
from mdpkit.solvers.linear.variance_weighted_mdvi import VarianceWeightedMDVI
from mdpkit.solvers.linear.weighted_least_squares_mdvi import WeightedLeastSquaresMDVI

__all__ = [
    "LSVIUCB",
    "AsyncCoopLSVIUCB",
    "LeastSquaresPolicyIteration",
    "LeastSquaresValueIteration",
    "VarianceWeightedMDVI",
    "WeightedLeastSquaresMDVI",
]
