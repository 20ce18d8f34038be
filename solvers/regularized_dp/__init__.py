"""Regularized dynamic programming: entropy and relative entropy in the backup."""

from mdpkit.solvers.regularized_dp.desirability_iteration import DesirabilityIteration
from mdpkit.solvers.regularized_dp.factored_soft_policy_iteration import FactoredSoftPolicyIteration
from mdpkit.solvers.regularized_dp.soft_policy_iteration import SoftPolicyIteration
from mdpkit.solvers.regularized_dp.soft_value_iteration import SoftValueIteration

__all__ = ["DesirabilityIteration", "FactoredSoftPolicyIteration", "SoftPolicyIteration", "SoftValueIteration"]
