"""Regularized dynamic programming: entropy and relative entropy in the backup."""

from mdpkit.solvers.regularized_dp.desirability_iteration import DesirabilityIteration
from mdpkit.solvers.regularized_dp.dual_averaging_value_iteration import DualAveragingValueIteration
from mdpkit.solvers.regularized_dp.dynamic_policy_programming import DynamicPolicyProgramming
from mdpkit.solvers.regularized_dp.factored_soft_policy_iteration import FactoredSoftPolicyIteration
from mdpkit.solvers.regularized_dp.finite_memory_policy_mirror_descent import FiniteMemoryPolicyMirrorDescent
from mdpkit.solvers.regularized_dp.mirror_descent_policy_optimization import MirrorDescentPolicyOptimization
from mdpkit.solvers.regularized_dp.mirror_descent_value_iteration import MirrorDescentValueIteration
from mdpkit.solvers.regularized_dp.munchausen_value_iteration import MunchausenValueIteration
from mdpkit.solvers.regularized_dp.soft_policy_iteration import SoftPolicyIteration
from mdpkit.solvers.regularized_dp.soft_value_iteration import SoftValueIteration

__all__ = [
    "DesirabilityIteration",
    "DualAveragingValueIteration",
    "DynamicPolicyProgramming",
    "FactoredSoftPolicyIteration",
    "FiniteMemoryPolicyMirrorDescent",
    "MirrorDescentPolicyOptimization",
    "MirrorDescentValueIteration",
    "MunchausenValueIteration",
    "SoftPolicyIteration",
    "SoftValueIteration",
]
