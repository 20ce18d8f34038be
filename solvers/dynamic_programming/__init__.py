"""Dynamic programming: planning with a known model, discounted, over a finite horizon, or for total reward."""

from mdpkit.solvers.dynamic_programming.anchored_value_iteration import AnchoredValueIteration
from mdpkit.solvers.dynamic_programming.anderson_value_iteration import AndersonValueIteration
from mdpkit.solvers.dynamic_programming.backward_induction import BackwardInduction
from mdpkit.solvers.dynamic_programming.bellman_action_decomposition import BellmanActionDecomposition
from mdpkit.solvers.dynamic_programming.gauss_seidel import GaussSeidel
from mdpkit.solvers.dynamic_programming.inexact_policy_iteration import InexactPolicyIteration
from mdpkit.solvers.dynamic_programming.interval_iteration import IntervalIteration
from mdpkit.solvers.dynamic_programming.lambda_policy_iteration import LambdaPolicyIteration
from mdpkit.solvers.dynamic_programming.linear_programming import LinearProgramming
from mdpkit.solvers.dynamic_programming.modified_policy_iteration import ModifiedPolicyIteration
from mdpkit.solvers.dynamic_programming.policy_iteration import PolicyIteration
from mdpkit.solvers.dynamic_programming.policy_optimization_with_action_decomposition import (
    PolicyOptimizationWithActionDecomposition,
)
from mdpkit.solvers.dynamic_programming.prioritized_sweeping import PrioritizedSweeping
from mdpkit.solvers.dynamic_programming.random_policy_valuation import RandomPolicyValuation
from mdpkit.solvers.dynamic_programming.real_time_dynamic_programming import LabeledRTDP
from mdpkit.solvers.dynamic_programming.topological_value_iteration import TopologicalValueIteration
from mdpkit.solvers.dynamic_programming.value_iteration import ValueIteration

__all__ = [
    "AnchoredValueIteration",
    "AndersonValueIteration",
    "BackwardInduction",
    "BellmanActionDecomposition",
    "GaussSeidel",
    "InexactPolicyIteration",
    "IntervalIteration",
    "LabeledRTDP",
    "LambdaPolicyIteration",
    "LinearProgramming",
    "ModifiedPolicyIteration",
    "PolicyIteration",
    "PolicyOptimizationWithActionDecomposition",
    "PrioritizedSweeping",
    "RandomPolicyValuation",
    "TopologicalValueIteration",
    "ValueIteration",
]
