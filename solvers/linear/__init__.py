"""Linear MDPs: least squares on features, with exact moments, with a generative model, and online."""

from mdpkit.solvers.linear.least_squares_policy_iteration import LeastSquaresPolicyIteration
from mdpkit.solvers.linear.least_squares_value_iteration import LeastSquaresValueIteration

__all__ = ["LeastSquaresPolicyIteration", "LeastSquaresValueIteration"]
