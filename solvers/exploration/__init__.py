"""Exploration: learners that act in an unknown problem, and their regret."""

from mdpkit.solvers.exploration.best_of_both_worlds_policy_optimization import BestOfBothWorldsPolicyOptimization
from mdpkit.solvers.exploration.delay_adapted_policy_optimization import DelayAdaptedPolicyOptimization
from mdpkit.solvers.exploration.ucbvi import UCBVI

__all__ = ["UCBVI", "BestOfBothWorldsPolicyOptimization", "DelayAdaptedPolicyOptimization"]
