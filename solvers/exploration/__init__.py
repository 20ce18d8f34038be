"""Exploration: learners that act in an unknown problem, and their regret."""

from mdpkit.solvers.exploration.conservative_dual_policy_optimization import ConservativeDualPolicyOptimization
from mdpkit.solvers.exploration.conservative_exploration import EpsMix, StepMix
from mdpkit.solvers.exploration.regularized_value_iteration_ucb import RAVIUCB
from mdpkit.solvers.exploration.ucbvi import UCBVI

__all__ = ["RAVIUCB", "UCBVI", "ConservativeDualPolicyOptimization", "EpsMix", "StepMix"]
