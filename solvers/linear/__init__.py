"""Linear MDPs: methods that see a model through features of its pairs."""

from mdpkit.solvers.linear.variance_weighted_mdvi import VarianceWeightedMDVI
from mdpkit.solvers.linear.weighted_least_squares_mdvi import WeightedLeastSquaresMDVI

__all__ = ["VarianceWeightedMDVI", "WeightedLeastSquaresMDVI"]
